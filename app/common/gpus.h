/* gpus.h - the GPUs of this machine in the order that the Vulkan loader gives, and how to have one of them. A
 * webgpu.h library takes the first that it finds; so a layer for the loader (app/layer) hides the others. */
#ifndef GOSS_COMMON_GPUS_H
#define GOSS_COMMON_GPUS_H
#include "engine_table.h"

enum { GOSS_GPUS = 64 };
typedef struct goss_gpu_seen {
    char name[256];
    char id[33];  /* what tells it from others of its kind, in hexadecimal digits */
    int is_cpu;   /* software */
} goss_gpu_seen;

/* How many there are (GOSS_GPUS at most), none where there is no Vulkan loader. */
int goss_gpus_list(goss_gpu_seen *list);
/* After reading options, before anything of the GPU is opened: --gpu N hides all others from this process. A
 * process of a pipeline on GPUs that is told no number takes that of its place among the processes here,
 * where there are several. 0, or the exit status after an explanation. */
int goss_gpus_take(goss_engine_options *o, const char *command);
#endif
