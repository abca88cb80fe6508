/* measure.h - candidates of a model's products are timed on the device, a bit at a time, while nobody waits:
 * what is fastest is for the next load. */
#ifndef GOSS_GPU_MEASURE_H
#define GOSS_GPU_MEASURE_H
#include "state.h"

typedef struct goss_measure goss_measure;
/* goss_backend_vt.measure */
int goss_measure_some(goss_gpu_state *s, int timeout_ms, goss_buf *text);
void goss_measure_disturb(goss_gpu_state *s); /* a step begins: what is being timed is timed again */
void goss_measure_close(goss_measure **m);
#endif
