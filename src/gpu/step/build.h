/* build.h - everything that is made once for a model on a device. */
#ifndef GOSS_GPU_BUILD_H
#define GOSS_GPU_BUILD_H
#include "state.h"

int goss_build(goss_gpu_state *s, goss_error *err);
#endif
