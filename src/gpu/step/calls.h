/* calls.h - a call from a kernel, its parameters and its buffers. */
#ifndef GOSS_GPU_CALLS_H
#define GOSS_GPU_CALLS_H
#include "record.h"
#include "gpu/weights/weights.h"

/* One kernel without batches: the parameter buffer comes by itself, and the mark where the kernel has it. */
int goss_call_make(goss_weights *w, goss_call *c, const char *file, const char *bindings, const char *defines,
                   const void *params, size_t n_params, const int *buffers, goss_error *err);
int goss_call_group(goss_weights *w, goss_call *c, const int *buffers, int n, goss_error *err);
#endif
