/* kern_neon.c - the arm64 level that every arm64 machine has. */
#include <arm_neon.h>
/* Sums of four products: 16-bit products of bytes are exact, pairs of them are added into 32 bits. */
static inline int32x4_t dot_widening(int32x4_t c, int8x16_t w, int8x16_t x)
{
    const int32x4_t lo = vpaddlq_s16(vmull_s8(vget_low_s8(w), vget_low_s8(x))),
                    hi = vpaddlq_s16(vmull_high_s8(w, x));
    return vaddq_s32(c, vpaddq_s32(lo, hi));
}
#define SIMD_DOT dot_widening
#include "simd_neon.h"
#define K(name) name##_neon
#include "body.h"

void goss_kern_init_neon(goss_kern *k) { body_init(k); }
