/* settle.h - a model that was usable before its experts had come (weights/fill.c) ran its steps as if they
 * were paged. Once all are there, calls without that are made and take over. */
#ifndef GOSS_GPU_SETTLE_H
#define GOSS_GPU_SETTLE_H
#include "state.h"

typedef struct goss_settle goss_settle;
/* To be called while all experts are there and no step is being recorded. GOSS_FILLED: it is over, or was
 * never needed; GOSS_FILL_MORE: call again; or an error. */
int goss_settle_some(goss_gpu_state *s);
void goss_settle_close(goss_settle **m);
#endif
