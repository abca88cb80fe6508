/* observe.c - layer telemetry. */
#include "engine.h"
int goss_observe_open(goss_engine *e) { (void)e; return 0; }
void goss_observe_close(goss_engine *e) { (void)e; }
void goss_observe_step(goss_engine *e, const goss_step *step) { (void)e; (void)step; }
void goss_observe_reset(goss_engine *e) { (void)e; }
