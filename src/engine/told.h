/* told.h - what is told of all sessions together (telemetry/lanes.h). */
#ifndef GOSS_ENGINE_TOLD_H
#define GOSS_ENGINE_TOLD_H
#include "engine_state.h"

/* A step is done and counted, its results are taken; it ran for ms. */
void goss_told_step(goss_engine *e, const goss_flight *f, double ms);
/* What the backend saw of a row, the one that chose the session's next token. */
void goss_told_seen(goss_engine *e, const goss_session *s, const goss_step *step, int row);
/* Says what was gathered, when it is time, or all of it: nothing more comes (idle). */
void goss_told(goss_engine *e, int idle);
#endif
