/* draft_model.h - a smaller model of the same vocabulary that guesses for all sessions at once. It runs on
 * the CPU (ref beside ref): its steps are short. */
#ifndef GOSS_ENGINE_DRAFT_MODEL_H
#define GOSS_ENGINE_DRAFT_MODEL_H
#include "load.h"
#include "pace.h"
#include "prefix/cache.h"

typedef struct goss_draft_model goss_draft_model;
/* A session that wants drafts->want guesses: they are written behind its sequence's known tokens. */
typedef struct goss_draft_ask {
    int slot;
    const goss_sequence *seq; const goss_sampler *sampler;
    goss_drafts *drafts;
} goss_draft_ask;

/* *out is NULL where the config names no draft model. */
int goss_draft_model_open(goss_draft_model **out, const goss_loaded *m, const goss_engine_config *c,
                          goss_error *err);
void goss_draft_model_close(goss_draft_model **d);
/* Guesses for n sessions, whose asks may be reordered. Returns the rounds that it took. */
int goss_draft_model_guess(goss_draft_model *d, goss_draft_ask *asks, int n);
#endif
