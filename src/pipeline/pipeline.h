/* pipeline.h - the backend of rank 0: the first layers on a backend of its own, the others on the other ranks
 * of a ring. To the engine it is one backend whose steps are in flight. */
#ifndef GOSS_PIPELINE_PIPELINE_H
#define GOSS_PIPELINE_PIPELINE_H
#include "message.h"

typedef struct goss_pipeline_config {
    goss_backend_config backend; /* of the whole model; what it borrows is kept until load is done */
    int (*open)(goss_backend **out, const goss_backend_config *c, goss_error *err); /* this rank's layers */
    const goss_ring *ring;
    goss_pipe_fact facts; /* this rank's */
    const char *path, *split; /* borrowed until load is done; split may be NULL */
    int n_layers;             /* as it was asked for: goss_engine_config */
} goss_pipeline_config;
int goss_pipeline_open(goss_backend **out, const goss_pipeline_config *c, goss_error *err);
/* Blocks: asks all ranks what they have. facts: one for each, own first. */
int goss_pipeline_facts(const goss_ring *ring, const goss_pipe_fact *own, goss_pipe_fact *facts,
                        goss_error *err);
#endif
