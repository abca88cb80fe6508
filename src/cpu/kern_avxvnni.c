/* kern_avxvnni.c - AVX-VNNI (Intel's consumer processors since 2021): AVX2's kernels with products of bytes and their
 * sum in one instruction. Every result is AVX2's to the bit. */
#define K(name) name##_avxvnni
#define SIMD_VNNI
#include "close_avx2.h"

void goss_kern_init_avxvnni(goss_kern *k) { close_init(k); }
