/* scheduler.h - one step out of all sessions that are ready, and its results back to them. */
#ifndef GOSS_ENGINE_SCHEDULER_H
#define GOSS_ENGINE_SCHEDULER_H
#include <gossamer.h>

int goss_steps_open(goss_engine *e);                       /* 0 or GOSS_ENOMEM */
void goss_steps_close(goss_engine *e);
int goss_steps_advance(goss_engine *e, int timeout_ms, goss_error *err); /* 1: more to do, 0: idle */
void goss_steps_drain(goss_engine *e);                     /* waits for what is in flight */
void goss_steps_drop(goss_engine *e);                      /* the device lost what is in flight */
#endif
