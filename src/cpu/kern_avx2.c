/* kern_avx2.c - AVX2 with FMA and F16C. */
#define K(name) name##_avx2
#include "close_avx2.h"

void goss_kern_init_avx2(goss_kern *k) { close_init(k); }
