/* retry.h - opening the device, and opening it again with smaller tiles where a kernel fails. */
#ifndef GOSS_GPU_RETRY_H
#define GOSS_GPU_RETRY_H
#include "state.h"

int goss_retry_open(goss_gpu_state *s, goss_error *err); /* the device */
void goss_retry_clear(goss_gpu_state *s);              /* the device and all memory */
/* err says why a kernel did not compile. GOSS_EAGAIN: it will be tried with smaller tiles; else err's
 * code. */
int goss_retry_kernel(goss_gpu_state *s, goss_error *err);
/* A step failed with code: GOSS_ELOST when it should be tried again with smaller tiles, else code. */
int goss_retry_launch(goss_gpu_state *s, int code, goss_error *err);
#endif
