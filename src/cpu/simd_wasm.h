/* simd_wasm.h - the vector words of body_*.h for WebAssembly SIMD: pairs of 128-bit registers. See
 * simd_avx2.h for their meaning.
 * A file that includes it says what SIMD_FMA4(a, b, c) and SIMD_DOT4(c, w, x) are: with or without relaxed
 * operations. */
#ifndef GOSS_CPU_SIMD_WASM_H
#define GOSS_CPU_SIMD_WASM_H
#include "format/quant.h"
#include <stdint.h>
#include <string.h>
#include <wasm_simd128.h>
#define ALWAYS static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 4")

typedef struct f8 { v128_t a, b; } f8;
typedef struct w8 { v128_t a, b; } w8, m16;
typedef struct b32 { v128_t a, b; } b32;
enum { SIMD_TILE_FORM = SIMD_FORM };
enum { SIMD_ATTN_Q = 1 };   /* queries that attention takes at once: 1 or 2 */
#define TWO(op) { op(a.a, b.a), op(a.b, b.b) }

ALWAYS f8 f8_set1(float a) { const v128_t v = wasm_f32x4_splat(a); return (f8){ v, v }; }
ALWAYS f8 f8_set1_bits(uint32_t a) { const v128_t v = wasm_u32x4_splat(a); return (f8){ v, v }; }
ALWAYS f8 f8_halves(float lo, float hi) { return (f8){ wasm_f32x4_splat(lo), wasm_f32x4_splat(hi) }; }
ALWAYS f8 f8_load_raw(const void *p) { const uint8_t *b = p; return (f8){ wasm_v128_load(b), wasm_v128_load(b + 16) }; }
ALWAYS f8 f8_once(f8 a) { return a; } /* a value that is better kept than loaded again */
ALWAYS f8 f8_load(const float *p) { return f8_load_raw(p); }
/* Half to float on the bits: the exponent is moved by a float product, which also makes subnormals right;
 * infinities and NaN
 * would come out finite, so their exponent is filled up. */
ALWAYS v128_t half4(v128_t h)
{
    const v128_t sign = wasm_i32x4_shl(wasm_v128_and(h, wasm_u32x4_splat(0x8000)), 16),
                 body = wasm_v128_and(h, wasm_u32x4_splat(0x7fff));
    const v128_t value = wasm_f32x4_mul(wasm_i32x4_shl(body, 13),
                                        wasm_f32x4_splat(5192296858534827628530496329220096.0f)); /* 2^112 */
    const v128_t special = wasm_v128_and(wasm_i32x4_ge(body, wasm_i32x4_splat(0x7c00)), wasm_u32x4_splat(0x7f800000));
    return wasm_v128_or(wasm_v128_or(value, special), sign);
}
/* Eight normal halves, as nearly all are: the exponent is moved by an addition, on words of 16 bits. */
ALWAYS f8 f8_load_f16(const void *p)
{
    const v128_t h = wasm_v128_load(p), exponent = wasm_v128_and(h, wasm_u16x8_splat(0x7c00)),
                 normal = wasm_v128_and(wasm_i16x8_add(exponent, wasm_i16x8_splat(0x400)), wasm_i16x8_splat(0x7800));
    if (__builtin_expect(!wasm_i16x8_all_true(normal), 0))
        return (f8){ half4(wasm_u32x4_extend_low_u16x8(h)), half4(wasm_u32x4_extend_high_u16x8(h)) };
    const v128_t low = wasm_i16x8_shl(h, 13), rest = wasm_v128_and(wasm_i16x8_shr(h, 3), wasm_u16x8_splat(0x8fff)),
                 high = wasm_i16x8_add(rest, wasm_i16x8_splat(0x3800));
    return (f8){ wasm_i16x8_shuffle(low, high, 0, 8, 1, 9, 2, 10, 3, 11),
                 wasm_i16x8_shuffle(low, high, 4, 12, 5, 13, 6, 14, 7, 15) };
}
ALWAYS f8 f8_load_bf16(const void *p)
{
    const v128_t h = wasm_v128_load(p);
    return (f8){ wasm_i32x4_shl(wasm_u32x4_extend_low_u16x8(h), 16),
                 wasm_i32x4_shl(wasm_u32x4_extend_high_u16x8(h), 16) };
}
ALWAYS void f8_store(float *p, f8 a) { wasm_v128_store(p, a.a); wasm_v128_store(p + 4, a.b); }
ALWAYS void f8_store_f16(void *p, f8 a)
{
    float f[8];
    uint16_t h[8];
    f8_store(f, a);
    for (int i = 0; i < 8; i++) h[i] = goss_f32_to_f16(f[i]);
    memcpy(p, h, 16);
}
ALWAYS f8 f8_add(f8 a, f8 b) { return (f8)TWO(wasm_f32x4_add); }
ALWAYS f8 f8_sub(f8 a, f8 b) { return (f8)TWO(wasm_f32x4_sub); }
ALWAYS f8 f8_mul(f8 a, f8 b) { return (f8)TWO(wasm_f32x4_mul); }
ALWAYS f8 f8_div(f8 a, f8 b) { return (f8)TWO(wasm_f32x4_div); }
ALWAYS f8 f8_max(f8 a, f8 b) { return (f8)TWO(wasm_f32x4_pmax); }
ALWAYS f8 f8_min(f8 a, f8 b) { return (f8)TWO(wasm_f32x4_pmin); }
ALWAYS f8 f8_fma(f8 a, f8 b, f8 c) { return (f8){ SIMD_FMA4(a.a, b.a, c.a), SIMD_FMA4(a.b, b.b, c.b) }; }
ALWAYS f8 f8_abs(f8 a) { return (f8){ wasm_f32x4_abs(a.a), wasm_f32x4_abs(a.b) }; }
ALWAYS f8 f8_keep_ge(f8 x, f8 a, f8 b)
{
    return (f8){ wasm_v128_and(x.a, wasm_f32x4_ge(a.a, b.a)), wasm_v128_and(x.b, wasm_f32x4_ge(a.b, b.b)) };
}
ALWAYS float f8_sum(f8 v)
{
    const v128_t s = wasm_f32x4_add(v.a, v.b), t = wasm_f32x4_add(s, wasm_i32x4_shuffle(s, s, 2, 3, 0, 1));
    return wasm_f32x4_extract_lane(t, 0) + wasm_f32x4_extract_lane(t, 1);
}
ALWAYS float f8_top(f8 v)
{
    const v128_t s = wasm_f32x4_pmax(v.a, v.b), t = wasm_f32x4_pmax(s, wasm_i32x4_shuffle(s, s, 2, 3, 0, 1));
    const float a = wasm_f32x4_extract_lane(t, 0), b = wasm_f32x4_extract_lane(t, 1);
    return a > b ? a : b;
}
ALWAYS float f16_value(const void *p)
{
    uint16_t h;
    memcpy(&h, p, 2);
    return wasm_f32x4_extract_lane(half4(wasm_u32x4_splat(h)), 0);
}

/* A block's scale, finite as all of them are: the sign's copies that a widening makes end where a float has
 * its own. */
ALWAYS f8 f8_set1_f16(const void *p)
{
    const v128_t h = wasm_i32x4_extend_low_i16x8(wasm_v128_load16_splat(p));
    const v128_t v = wasm_f32x4_mul(wasm_v128_and(wasm_i32x4_shl(h, 13), wasm_u32x4_splat(0x8fffe000)),
                                    wasm_f32x4_splat(5192296858534827628530496329220096.0f)); /* 2^112 */
    return (f8){ v, v };
}

ALWAYS w8 w8_set1(int a) { const v128_t v = wasm_i32x4_splat(a); return (w8){ v, v }; }
ALWAYS w8 w8_zero(void) { return w8_set1(0); }
ALWAYS w8 w8_add(w8 a, w8 b) { return (w8)TWO(wasm_i32x4_add); }
ALWAYS f8 f8_from_w8(w8 a) { return (f8){ wasm_f32x4_convert_i32x4(a.a), wasm_f32x4_convert_i32x4(a.b) }; }
ALWAYS v128_t round4(v128_t a) { return wasm_i32x4_trunc_sat_f32x4(wasm_f32x4_nearest(a)); }
ALWAYS w8 w8_round(f8 a) { return (w8){ round4(a.a), round4(a.b) }; }
ALWAYS v128_t pow4(v128_t n) { return wasm_i32x4_shl(wasm_i32x4_add(n, wasm_i32x4_splat(127)), 23); }
ALWAYS f8 f8_pow2(w8 n) { return (f8){ pow4(n.a), pow4(n.b) }; }
ALWAYS int sum4(v128_t v)
{
    const v128_t s = wasm_i32x4_add(v, wasm_i32x4_shuffle(v, v, 2, 3, 0, 1));
    return wasm_i32x4_extract_lane(s, 0) + wasm_i32x4_extract_lane(s, 1);
}
ALWAYS void w8_sums(w8 v, int *lo, int *hi) { *lo = sum4(v.a); *hi = sum4(v.b); }

ALWAYS b32 b32_set1(int a) { const v128_t v = wasm_i8x16_splat((int8_t)a); return (b32){ v, v }; }
ALWAYS b32 b32_load(const void *p) { const uint8_t *b = p; return (b32){ wasm_v128_load(b), wasm_v128_load(b + 16) }; }
ALWAYS void b32_store(void *p, b32 a) { uint8_t *b = p; wasm_v128_store(b, a.a); wasm_v128_store(b + 16, a.b); }
ALWAYS b32 b32_and(b32 a, b32 b) { return (b32)TWO(wasm_v128_and); }
ALWAYS b32 b32_or(b32 a, b32 b) { return (b32)TWO(wasm_v128_or); }
ALWAYS b32 b32_add(b32 a, b32 b) { return (b32)TWO(wasm_i8x16_add); }
ALWAYS b32 b32_sub(b32 a, b32 b) { return (b32)TWO(wasm_i8x16_sub); }
ALWAYS b32 b32_shr(b32 a, int n, int mask)
{
    const uint32_t k = (uint32_t)n;
    return b32_and((b32){ wasm_u8x16_shr(a.a, k), wasm_u8x16_shr(a.b, k) }, b32_set1(mask));
}
ALWAYS b32 b32_shl(b32 a, int n, int mask)
{
    const uint32_t k = (uint32_t)n;
    return b32_and((b32){ wasm_i8x16_shl(a.a, k), wasm_i8x16_shl(a.b, k) }, b32_set1(mask));
}
ALWAYS b32 b32_nibbles(const void *p)
{
    const v128_t v = wasm_v128_load(p);
    return (b32){ wasm_v128_and(v, wasm_i8x16_splat(15)), wasm_u8x16_shr(v, 4) };
}
ALWAYS v128_t bits16(uint32_t bits, int value)
{
    const v128_t one = wasm_u64x2_splat(0x8040201008040201ull);
    const v128_t two = wasm_u32x4_splat(bits & 0xffff);
    const v128_t v = wasm_i8x16_shuffle(two, two, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    return wasm_v128_and(wasm_i8x16_eq(wasm_v128_and(v, one), one), wasm_i8x16_splat((int8_t)value));
}
ALWAYS b32 b32_bits(uint32_t bits, int value) { return (b32){ bits16(bits, value), bits16(bits >> 16, value) }; }
ALWAYS b32 b32_lut(const int8_t table[16], b32 i)
{
    const v128_t t = wasm_v128_load(table);
    return (b32){ wasm_i8x16_swizzle(t, i.a), wasm_i8x16_swizzle(t, i.b) };
}
ALWAYS v128_t narrow16(w8 a, w8 b)
{
    return wasm_i8x16_narrow_i16x8(wasm_i16x8_narrow_i32x4(a.a, a.b), wasm_i16x8_narrow_i32x4(b.a, b.b));
}
ALWAYS b32 b32_narrow(w8 a, w8 b, w8 c, w8 d) { return (b32){ narrow16(a, b), narrow16(c, d) }; }
ALWAYS b32 b32_bcast4(const void *p) { const v128_t v = wasm_v128_load32_splat(p); return (b32){ v, v }; }
ALWAYS v128_t dot4(v128_t c, v128_t w,
                   v128_t x) /* int8 by int8: sums of four, by 16-bit products and two levels of pairs */
{
    const v128_t lo = wasm_i32x4_extadd_pairwise_i16x8(wasm_i16x8_extmul_low_i8x16(w, x));
    const v128_t hi = wasm_i32x4_extadd_pairwise_i16x8(wasm_i16x8_extmul_high_i8x16(w, x));
    return wasm_i32x4_add(
        c, wasm_i32x4_add(wasm_i32x4_shuffle(lo, hi, 0, 2, 4, 6), wasm_i32x4_shuffle(lo, hi, 1, 3, 5, 7)));
}
ALWAYS w8 w8_dot(w8 c, b32 w, b32 x) { return (w8){ dot4(c.a, w.a, x.a), dot4(c.b, w.b, x.b) }; }
/* A block of 32 activations as products like them best: widened once for all weight rows. Its product with
 * weights keeps the block's first half in lanes 0-3; pairs of 16-bit products are one instruction, four sums
 * of int8 are many. */
typedef struct x32 { v128_t v[4]; } x32;
ALWAYS x32 x32_load(const void *p)
{
    const uint8_t *b = p;
    return (x32){ { wasm_i16x8_load8x8(b), wasm_i16x8_load8x8(b + 8), wasm_i16x8_load8x8(b + 16),
                    wasm_i16x8_load8x8(b + 24) } };
}
ALWAYS v128_t dot16(v128_t w, v128_t lo, v128_t hi)
{
    return wasm_i32x4_add(wasm_i32x4_dot_i16x8(wasm_i16x8_extend_low_i8x16(w), lo),
                          wasm_i32x4_dot_i16x8(wasm_i16x8_extend_high_i8x16(w), hi));
}
ALWAYS w8 x32_dot(b32 w, x32 x) { return (w8){ dot16(w.a, x.v[0], x.v[1]), dot16(w.b, x.v[2], x.v[3]) }; }
/* With one scale a block both halves add up as integers first. */
ALWAYS f8 x32_add(f8 acc, f8 s, w8 p, float d, int groups)
{
    if (groups == 2) return f8_fma(f8_mul(s, f8_from_w8(p)), f8_set1(d), acc);
    const v128_t sd = wasm_f32x4_mul(s.a, wasm_f32x4_splat(d));
    return (f8){ SIMD_FMA4(sd, wasm_f32x4_convert_i32x4(wasm_i32x4_add(p.a, p.b)), acc.a), acc.b };
}
ALWAYS m16 m16_zero(void) { return w8_zero(); }
ALWAYS m16 m16_dot(m16 c, b32 w, b32 x) { return (w8){ SIMD_DOT4(c.a, w.a, x.a), SIMD_DOT4(c.b, w.b, x.b) }; }
ALWAYS w8 w8_from_m16(m16 a) { return a; }

ALWAYS void transpose4(v128_t *r0, v128_t *r1, v128_t *r2, v128_t *r3)
{
    const v128_t a = wasm_i32x4_shuffle(*r0, *r1, 0, 4, 1, 5), b = wasm_i32x4_shuffle(*r0, *r1, 2, 6, 3, 7);
    const v128_t c = wasm_i32x4_shuffle(*r2, *r3, 0, 4, 1, 5), d = wasm_i32x4_shuffle(*r2, *r3, 2, 6, 3, 7);
    *r0 = wasm_i64x2_shuffle(a, c, 0, 2); *r1 = wasm_i64x2_shuffle(a, c, 1, 3);
    *r2 = wasm_i64x2_shuffle(b, d, 0, 2); *r3 = wasm_i64x2_shuffle(b, d, 1, 3);
}
ALWAYS void b32_transpose(b32 r[8])
{
    transpose4(&r[0].a, &r[1].a, &r[2].a, &r[3].a);
    transpose4(&r[0].b, &r[1].b, &r[2].b, &r[3].b);
    transpose4(&r[4].a, &r[5].a, &r[6].a, &r[7].a);
    transpose4(&r[4].b, &r[5].b, &r[6].b, &r[7].b);
    for (int i = 0; i < 4; i++) { const v128_t t = r[i].b; r[i].b = r[i + 4].a; r[i + 4].a = t; }
}
#endif
