/* no_gpu.c - what stands for the GPU half of gossamer-check in builds of the CPU kernels alone (emulated levels, arm64). */
#include "tests/check/native_gpu.h"
#include <stdio.h>

int check_gpu_main(const check_gpu_options *o)
{
    (void)o;
    fprintf(stderr, "gossamer-check: this build has no GPU half\n");
    return 2;
}
