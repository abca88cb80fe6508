/* simd_c.h - the vector words of body_*.h in portable C: plain loops over small arrays, for any machine. See
 * simd_avx2.h for what each word means. f8_fma rounds twice here: fmaf without hardware is far too slow. */
#ifndef GOSS_CPU_SIMD_C_H
#define GOSS_CPU_SIMD_C_H
#include "format/quant.h"
#include <math.h>
#include <string.h>
#define ALWAYS static inline __attribute__((always_inline))
#define UNROLL   /* without registers to keep, unrolling only costs time to compile */

typedef struct f8 { float v[8]; } f8;
typedef struct w8 { int32_t v[8]; } w8, m16;
typedef struct b32 { int8_t v[32]; } b32;
enum { SIMD_TILE_FORM = 0 /* GOSS_TILE_SIGNED */ };
enum { SIMD_ATTN_Q = 1 };   /* queries that attention takes at once: 1 or 2 */
#define EACH8(expr) for (int i = 0; i < 8; i++) r.v[i] = (expr); return r
#define EACH32(expr) for (int i = 0; i < 32; i++) r.v[i] = (int8_t)(expr); return r

ALWAYS f8 f8_set1(float a) { f8 r; EACH8(a); }
ALWAYS f8 f8_set1_bits(uint32_t a) { float f; memcpy(&f, &a, 4); return f8_set1(f); }
ALWAYS f8 f8_halves(float lo, float hi) { f8 r; EACH8(i < 4 ? lo : hi); }
ALWAYS f8 f8_load_raw(const void *p) { f8 r; memcpy(r.v, p, sizeof r.v); return r; }
ALWAYS f8 f8_once(f8 a) { return a; } /* a value that is better kept than loaded again */
ALWAYS f8 f8_load(const float *p) { return f8_load_raw(p); }
ALWAYS float f16_value(const void *p) { uint16_t h; memcpy(&h, p, 2); return goss_f16_to_f32(h); }
ALWAYS f8 f8_set1_f16(const void *p) { return f8_set1(f16_value(p)); }
ALWAYS f8 f8_load_f16(const void *p) { f8 r; EACH8(f16_value((const uint8_t *)p + 2 * i)); }
ALWAYS f8 f8_load_bf16(const void *p) { uint16_t h[8]; memcpy(h, p, 16); f8 r; EACH8(goss_bf16_to_f32(h[i])); }
ALWAYS void f8_store(float *p, f8 a) { memcpy(p, a.v, sizeof a.v); }
ALWAYS void f8_store_f16(void *p, f8 a)
{
    uint16_t h[8];
    for (int i = 0; i < 8; i++) h[i] = goss_f32_to_f16(a.v[i]);
    memcpy(p, h, 16);
}
ALWAYS f8 f8_add(f8 a, f8 b) { f8 r; EACH8(a.v[i] + b.v[i]); }
ALWAYS f8 f8_sub(f8 a, f8 b) { f8 r; EACH8(a.v[i] - b.v[i]); }
ALWAYS f8 f8_mul(f8 a, f8 b) { f8 r; EACH8(a.v[i] * b.v[i]); }
ALWAYS f8 f8_div(f8 a, f8 b) { f8 r; EACH8(a.v[i] / b.v[i]); }
ALWAYS f8 f8_fma(f8 a, f8 b, f8 c) { f8 r; EACH8(a.v[i] * b.v[i] + c.v[i]); }
ALWAYS f8 f8_max(f8 a, f8 b) { f8 r; EACH8(a.v[i] > b.v[i] ? a.v[i] : b.v[i]); }
ALWAYS f8 f8_min(f8 a, f8 b) { f8 r; EACH8(a.v[i] < b.v[i] ? a.v[i] : b.v[i]); }
ALWAYS f8 f8_abs(f8 a) { f8 r; EACH8(fabsf(a.v[i])); }
ALWAYS f8 f8_keep_ge(f8 x, f8 a, f8 b) { f8 r; EACH8(a.v[i] >= b.v[i] ? x.v[i] : 0.0f); }
ALWAYS float f8_sum(f8 a) { return ((a.v[0] + a.v[4]) + (a.v[2] + a.v[6])) + ((a.v[1] + a.v[5]) + (a.v[3] + a.v[7])); }
ALWAYS float f8_top(f8 a)
{
    float m = a.v[0];
    for (int i = 1; i < 8; i++) m = a.v[i] > m ? a.v[i] : m;
    return m;
}

ALWAYS w8 w8_set1(int a) { w8 r; EACH8(a); }
ALWAYS w8 w8_zero(void) { return w8_set1(0); }
ALWAYS w8 w8_add(w8 a, w8 b) { w8 r; EACH8(a.v[i] + b.v[i]); }
ALWAYS f8 f8_from_w8(w8 a) { f8 r; EACH8((float)a.v[i]); }
/* Adding 1.5 * 2^23 leaves the nearest integer (ties to even) in the low bits; right for |a| < 2^22, the
 * callers' range. */
ALWAYS w8 w8_round(f8 a) { w8 r; EACH8((int32_t)((a.v[i] + 12582912.0f) - 12582912.0f)); }
ALWAYS f8 f8_pow2(w8 n)
{
    f8 r;
    for (int i = 0; i < 8; i++) { const uint32_t u = (uint32_t)(n.v[i] + 127) << 23; memcpy(&r.v[i], &u, 4); }
    return r;
}
ALWAYS void w8_sums(w8 a, int *lo, int *hi)
{
    *lo = a.v[0] + a.v[1] + a.v[2] + a.v[3];
    *hi = a.v[4] + a.v[5] + a.v[6] + a.v[7];
}

ALWAYS b32 b32_set1(int a) { b32 r; EACH32(a); }
ALWAYS b32 b32_load(const void *p) { b32 r; memcpy(r.v, p, 32); return r; }
ALWAYS void b32_store(void *p, b32 a) { memcpy(p, a.v, 32); }
ALWAYS b32 b32_and(b32 a, b32 b) { b32 r; EACH32(a.v[i] & b.v[i]); }
ALWAYS b32 b32_or(b32 a, b32 b) { b32 r; EACH32(a.v[i] | b.v[i]); }
ALWAYS b32 b32_add(b32 a, b32 b) { b32 r; EACH32(a.v[i] + b.v[i]); }
ALWAYS b32 b32_sub(b32 a, b32 b) { b32 r; EACH32(a.v[i] - b.v[i]); }
ALWAYS b32 b32_shr(b32 a, int n, int mask) { b32 r; EACH32(((uint8_t)a.v[i] >> n) & mask); }
ALWAYS b32 b32_shl(b32 a, int n, int mask) { b32 r; EACH32(((uint8_t)a.v[i] << n) & mask); }
ALWAYS b32 b32_nibbles(const void *p)
{
    uint8_t v[16];
    memcpy(v, p, 16);
    b32 r; EACH32(i < 16 ? v[i] & 15 : v[i - 16] >> 4);
}
ALWAYS b32 b32_bits(uint32_t bits, int value) { b32 r; EACH32((bits >> i) & 1 ? value : 0); }
ALWAYS b32 b32_lut(const int8_t table[16], b32 k) { b32 r; EACH32(table[k.v[i] & 15]); }
ALWAYS int8_t clip8(int32_t a) { return (int8_t)(a < -128 ? -128 : a > 127 ? 127 : a); }
ALWAYS b32 b32_narrow(w8 a, w8 b, w8 c, w8 d)
{
    b32 r;
    for (int i = 0; i < 8; i++) {
        r.v[i] = clip8(a.v[i]);
        r.v[8 + i] = clip8(b.v[i]);
        r.v[16 + i] = clip8(c.v[i]);
        r.v[24 + i] = clip8(d.v[i]);
    }
    return r;
}
ALWAYS b32 b32_bcast4(const void *p) { int8_t v[4]; memcpy(v, p, 4); b32 r; EACH32(v[i & 3]); }
ALWAYS w8 w8_dot(w8 c, b32 w, b32 x)
{
    w8 r;
    for (int i = 0; i < 8; i++) {
        const int8_t *a = w.v + 4 * i, *b = x.v + 4 * i;
        r.v[i] = c.v[i] + a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3];
    }
    return r;
}
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
ALWAYS void b32_transpose(b32 r[8])
{
    b32 t[8];
    for (int k = 0; k < 8; k++)
        for (int j = 0; j < 8; j++) memcpy(t[k].v + 4 * j, r[j].v + 4 * k, 4);
    memcpy(r, t, sizeof t);
}
#endif
