/* gpu_faults.h - faults that tests ask a device for. The product calls none of it by itself. */
#ifndef GOSS_GPU_FAULTS_H
#define GOSS_GPU_FAULTS_H
#include <stdint.h>

typedef struct goss_gpu goss_gpu;                      /* gpu.h */

/* Devices opened from now on have this much memory for buffers; 0: what they have. */
void goss_gpu_memory_limit(uint64_t bytes);
/* From now on pipelines whose name has `part` don't compile, or with `launch` can't be dispatched. */
void goss_gpu_break(goss_gpu *g, const char *part, int launch);
void goss_gpu_lose(goss_gpu *g);                       /* provokes a device loss */
#endif
