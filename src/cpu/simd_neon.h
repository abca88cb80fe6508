/* simd_neon.h - the vector words of body_*.h for arm64: pairs of 128-bit registers. See simd_avx2.h for their
 * meaning. w8_dot is SIMD_DOT: vdotq_s32 where a file is built with dotprod (kern_dotprod.c), widening
 * products elsewhere. */
#ifndef GOSS_CPU_SIMD_NEON_H
#define GOSS_CPU_SIMD_NEON_H
#include <arm_neon.h>
#include <stdint.h>
#include <string.h>
#define ALWAYS static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 4")

typedef struct f8 { float32x4_t a, b; } f8;
typedef struct w8 { int32x4_t a, b; } w8, m16;
typedef struct b32 { int8x16_t a, b; } b32;
enum { SIMD_TILE_FORM = 0 /* GOSS_TILE_SIGNED */ };
enum { SIMD_ATTN_Q = 2 };   /* queries that attention takes at once: 1 or 2 */

ALWAYS f8 f8_set1(float a) { return (f8){ vdupq_n_f32(a), vdupq_n_f32(a) }; }
ALWAYS f8 f8_set1_bits(uint32_t a) { const float32x4_t v = vreinterpretq_f32_u32(vdupq_n_u32(a)); return (f8){ v, v }; }
ALWAYS f8 f8_halves(float lo, float hi) { return (f8){ vdupq_n_f32(lo), vdupq_n_f32(hi) }; }
ALWAYS f8 f8_once(f8 a) { return a; } /* a value that is better kept than loaded again */
ALWAYS f8 f8_load(const float *p) { return (f8){ vld1q_f32(p), vld1q_f32(p + 4) }; }
ALWAYS f8 f8_load_raw(const void *p)
{
    const uint8_t *b = p;
    return (f8){ vreinterpretq_f32_u8(vld1q_u8(b)), vreinterpretq_f32_u8(vld1q_u8(b + 16)) };
}
ALWAYS f8 f8_load_f16(const void *p)
{
    const float16x8_t h = vreinterpretq_f16_u8(vld1q_u8(p));
    return (f8){ vcvt_f32_f16(vget_low_f16(h)), vcvt_high_f32_f16(h) };
}
ALWAYS f8 f8_load_bf16(const void *p)
{
    const uint16x8_t h = vreinterpretq_u16_u8(vld1q_u8(p));
    return (f8){ vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(h), 16)),
                 vreinterpretq_f32_u32(vshll_high_n_u16(h, 16)) };
}
ALWAYS void f8_store(float *p, f8 a) { vst1q_f32(p, a.a); vst1q_f32(p + 4, a.b); }
ALWAYS void f8_store_f16(void *p, f8 a)
{
    vst1q_u8(p, vreinterpretq_u8_f16(vcvt_high_f16_f32(vcvt_f16_f32(a.a), a.b)));
}
ALWAYS f8 f8_add(f8 a, f8 b) { return (f8){ vaddq_f32(a.a, b.a), vaddq_f32(a.b, b.b) }; }
ALWAYS f8 f8_sub(f8 a, f8 b) { return (f8){ vsubq_f32(a.a, b.a), vsubq_f32(a.b, b.b) }; }
ALWAYS f8 f8_mul(f8 a, f8 b) { return (f8){ vmulq_f32(a.a, b.a), vmulq_f32(a.b, b.b) }; }
ALWAYS f8 f8_div(f8 a, f8 b) { return (f8){ vdivq_f32(a.a, b.a), vdivq_f32(a.b, b.b) }; }
ALWAYS f8 f8_fma(f8 a, f8 b, f8 c) { return (f8){ vfmaq_f32(c.a, a.a, b.a), vfmaq_f32(c.b, a.b, b.b) }; }
ALWAYS f8 f8_max(f8 a, f8 b) { return (f8){ vmaxq_f32(a.a, b.a), vmaxq_f32(a.b, b.b) }; }
ALWAYS f8 f8_min(f8 a, f8 b) { return (f8){ vminq_f32(a.a, b.a), vminq_f32(a.b, b.b) }; }
ALWAYS f8 f8_abs(f8 a) { return (f8){ vabsq_f32(a.a), vabsq_f32(a.b) }; }
ALWAYS float32x4_t keep4(float32x4_t x, float32x4_t a, float32x4_t b)
{
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(x), vcgeq_f32(a, b)));
}
ALWAYS f8 f8_keep_ge(f8 x, f8 a, f8 b) { return (f8){ keep4(x.a, a.a, b.a), keep4(x.b, a.b, b.b) }; }
ALWAYS float f8_sum(f8 v) { return vaddvq_f32(vaddq_f32(v.a, v.b)); }
ALWAYS float f8_top(f8 v) { return vmaxvq_f32(vmaxq_f32(v.a, v.b)); }
ALWAYS float f16_value(const void *p)
{
    uint16_t h;
    memcpy(&h, p, 2);
    return vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(h))), 0);
}
ALWAYS f8 f8_set1_f16(const void *p) { return f8_set1(f16_value(p)); }

ALWAYS w8 w8_set1(int a) { return (w8){ vdupq_n_s32(a), vdupq_n_s32(a) }; }
ALWAYS w8 w8_zero(void) { return w8_set1(0); }
ALWAYS w8 w8_add(w8 a, w8 b) { return (w8){ vaddq_s32(a.a, b.a), vaddq_s32(a.b, b.b) }; }
ALWAYS f8 f8_from_w8(w8 a) { return (f8){ vcvtq_f32_s32(a.a), vcvtq_f32_s32(a.b) }; }
ALWAYS w8 w8_round(f8 a) { return (w8){ vcvtnq_s32_f32(a.a), vcvtnq_s32_f32(a.b) }; }
ALWAYS float32x4_t pow4(int32x4_t n) { return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23)); }
ALWAYS f8 f8_pow2(w8 n) { return (f8){ pow4(n.a), pow4(n.b) }; }
ALWAYS void w8_sums(w8 v, int *lo, int *hi) { *lo = vaddvq_s32(v.a); *hi = vaddvq_s32(v.b); }

ALWAYS b32 b32_set1(int a) { return (b32){ vdupq_n_s8((int8_t)a), vdupq_n_s8((int8_t)a) }; }
ALWAYS b32 b32_load(const void *p) { const int8_t *b = p; return (b32){ vld1q_s8(b), vld1q_s8(b + 16) }; }
ALWAYS void b32_store(void *p, b32 a) { int8_t *b = p; vst1q_s8(b, a.a); vst1q_s8(b + 16, a.b); }
ALWAYS b32 b32_and(b32 a, b32 b) { return (b32){ vandq_s8(a.a, b.a), vandq_s8(a.b, b.b) }; }
ALWAYS b32 b32_or(b32 a, b32 b) { return (b32){ vorrq_s8(a.a, b.a), vorrq_s8(a.b, b.b) }; }
ALWAYS b32 b32_add(b32 a, b32 b) { return (b32){ vaddq_s8(a.a, b.a), vaddq_s8(a.b, b.b) }; }
ALWAYS b32 b32_sub(b32 a, b32 b) { return (b32){ vsubq_s8(a.a, b.a), vsubq_s8(a.b, b.b) }; }
ALWAYS int8x16_t shift16(int8x16_t a, int n, int mask)
{
    return vandq_s8(vreinterpretq_s8_u8(vshlq_u8(vreinterpretq_u8_s8(a), vdupq_n_s8((int8_t)n))),
                    vdupq_n_s8((int8_t)mask));
}
ALWAYS b32 b32_shr(b32 a, int n, int mask) { return (b32){ shift16(a.a, -n, mask), shift16(a.b, -n, mask) }; }
ALWAYS b32 b32_shl(b32 a, int n, int mask) { return (b32){ shift16(a.a, n, mask), shift16(a.b, n, mask) }; }
ALWAYS b32 b32_nibbles(const void *p)
{
    const uint8x16_t v = vld1q_u8(p);
    return (b32){ vreinterpretq_s8_u8(vandq_u8(v, vdupq_n_u8(15))), vreinterpretq_s8_u8(vshrq_n_u8(v, 4)) };
}
ALWAYS int8x16_t bits16(uint32_t bits, int value)
{
    const uint8x16_t one = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201ull));
    const uint8x16_t v = vcombine_u8(vdup_n_u8((uint8_t)bits), vdup_n_u8((uint8_t)(bits >> 8)));
    return vreinterpretq_s8_u8(vandq_u8(vtstq_u8(v, one), vdupq_n_u8((uint8_t)value)));
}
ALWAYS b32 b32_bits(uint32_t bits, int value) { return (b32){ bits16(bits, value), bits16(bits >> 16, value) }; }
ALWAYS b32 b32_lut(const int8_t table[16], b32 i)
{
    const int8x16_t t = vld1q_s8(table);
    return (b32){ vqtbl1q_s8(t, vreinterpretq_u8_s8(i.a)), vqtbl1q_s8(t, vreinterpretq_u8_s8(i.b)) };
}
ALWAYS int8x16_t narrow16(w8 a, w8 b)
{
    const int16x8_t lo = vcombine_s16(vqmovn_s32(a.a), vqmovn_s32(a.b)),
                    hi = vcombine_s16(vqmovn_s32(b.a), vqmovn_s32(b.b));
    return vcombine_s8(vqmovn_s16(lo), vqmovn_s16(hi));
}
ALWAYS b32 b32_narrow(w8 a, w8 b, w8 c, w8 d) { return (b32){ narrow16(a, b), narrow16(c, d) }; }
ALWAYS b32 b32_bcast4(const void *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    const int8x16_t w = vreinterpretq_s8_u32(vdupq_n_u32(v));
    return (b32){ w, w };
}
ALWAYS w8 w8_dot(w8 c, b32 w, b32 x) { return (w8){ SIMD_DOT(c.a, w.a, x.a), SIMD_DOT(c.b, w.b, x.b) }; }
/* A block of 32 activations as products like them best, and the block's product with weights: any split into
 * lanes will do, so long as the block's first half stays in lanes 0-3. */
typedef b32 x32;
ALWAYS x32 x32_load(const void *p) { return b32_load(p); }
ALWAYS w8 x32_dot(b32 w, x32 x) { return w8_dot(w8_zero(), w, x); }
/* acc + s * p * d; groups (a constant) says whether the lanes of s differ, which is of no use here. */
ALWAYS f8 x32_add(f8 acc, f8 s, w8 p, float d, int groups)
{
    (void)groups;
    return f8_fma(f8_mul(s, f8_from_w8(p)), f8_set1(d), acc);
}
ALWAYS m16 m16_zero(void) { return w8_zero(); }
ALWAYS m16 m16_dot(m16 c, b32 w, b32 x) { return w8_dot(c, w, x); }
ALWAYS w8 w8_from_m16(m16 a) { return a; }

/* Rows r0..r3 of four words each to columns. */
ALWAYS void transpose4(int8x16_t *r0, int8x16_t *r1, int8x16_t *r2, int8x16_t *r3)
{
    const int32x4_t a = vreinterpretq_s32_s8(*r0), b = vreinterpretq_s32_s8(*r1),
                    c = vreinterpretq_s32_s8(*r2), d = vreinterpretq_s32_s8(*r3);
    const int64x2_t ab0 = vreinterpretq_s64_s32(vtrn1q_s32(a, b)), ab1 = vreinterpretq_s64_s32(vtrn2q_s32(a, b));
    const int64x2_t cd0 = vreinterpretq_s64_s32(vtrn1q_s32(c, d)), cd1 = vreinterpretq_s64_s32(vtrn2q_s32(c, d));
    *r0 = vreinterpretq_s8_s64(vtrn1q_s64(ab0, cd0)); *r1 = vreinterpretq_s8_s64(vtrn1q_s64(ab1, cd1));
    *r2 = vreinterpretq_s8_s64(vtrn2q_s64(ab0, cd0)); *r3 = vreinterpretq_s8_s64(vtrn2q_s64(ab1, cd1));
}
ALWAYS void b32_transpose(b32 r[8])
{
    transpose4(&r[0].a, &r[1].a, &r[2].a, &r[3].a);
    transpose4(&r[0].b, &r[1].b, &r[2].b, &r[3].b);
    transpose4(&r[4].a, &r[5].a, &r[6].a, &r[7].a);
    transpose4(&r[4].b, &r[5].b, &r[6].b, &r[7].b);
    for (int i = 0; i < 4; i++) { const int8x16_t t = r[i].b; r[i].b = r[i + 4].a; r[i + 4].a = t; }
}
#endif
