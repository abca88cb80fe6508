/* kern_dotprod.c - arm64 with the dot product extension: the same kernels on sdot. */
#include <arm_neon.h>
#define SIMD_DOT vdotq_s32
#include "simd_neon.h"
#define K(name) name##_dotprod
#include "body.h"

void goss_kern_init_dotprod(goss_kern *k) { body_init(k); }
