/* build.h - everything that is made for a model on a device. */
#ifndef GOSS_GPU_BUILD_H
#define GOSS_GPU_BUILD_H
#include "state.h"

int goss_build(goss_gpu_state *s, goss_error *err);
/* Of it the calls, for the buffers that there are; their parameters are still to be written. */
int goss_build_calls(goss_gpu_state *s, goss_error *err);
#endif
