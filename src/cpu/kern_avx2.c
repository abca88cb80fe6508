/* kern_avx2.c - the AVX2 level: every kernel of body.h in AVX2, FMA and F16C. */
#include "simd_avx2.h"
#define K(name) name##_avx2
#include "body.h"

void goss_kern_init_avx2(goss_kern *k) { body_init(k); }
