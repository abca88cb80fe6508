/* native_gpu.h - what check_main.c hands over for --gpu. */
#ifndef NATIVE_GPU_H
#define NATIVE_GPU_H
#include <stdint.h>
typedef struct check_gpu_options {
    const char *level, *test, *mask;
    int full, rest;
    uint64_t seed;
} check_gpu_options;
int check_gpu_main(const check_gpu_options *o); /* exit status */
#endif
