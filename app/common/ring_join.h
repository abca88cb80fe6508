/* ring_join.h - --pipeline: this process becomes a rank of a ring. */
#ifndef GOSS_COMMON_RING_JOIN_H
#define GOSS_COMMON_RING_JOIN_H
#include "engine_table.h"

/* Without --pipeline nothing. Else joins the ring: on rank 0 o->config.ring is set, and the ring ends with
 * the process. The other ranks work until rank 0 ends, inside this call. -1: go on; else this process' exit
 * status, after an explanation where it is not 0. */
int goss_ring_join(goss_engine_options *o, const char *command);
/* Any thread. 0, or GOSS_ELOST: which rank is lost. 0 without a ring. */
int goss_ring_check(goss_error *err);
/* SIGTERM has come, to a program that handles it. */
void goss_ring_ending(void);
#endif
