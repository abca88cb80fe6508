/* load_gpu.h - loading a model's weights, a bit at a time. */
#ifndef GOSS_GPU_LOAD_H
#define GOSS_GPU_LOAD_H
#include "weights.h"

int goss_weights_prepare(goss_weights *w,
                         goss_error *err);               /* compiles what repacks; before all other kernels */
int goss_weights_plan(goss_weights *w, goss_error *err); /* after all buffers */
int goss_weights_load(goss_weights *w, goss_error *err); /* GOSS_EAGAIN until all weights are there */
void goss_weights_read_done(goss_weights *w, uint64_t tag, int status);
#endif
