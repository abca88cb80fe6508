/* simd_avx2.h - the vector words that body_*.h are written in, for AVX2 + FMA + F16C; with SIMD_VNNI for AVX-VNNI,
 * which multiplies four pairs of bytes, or two of int16, and adds them to an int32 in one instruction. Products are
 * exact either way, so both have the same results.
 *
 * f8: 8 floats; w8: 8 int32; b32: 32 bytes; m16: partial sums of a product of small bytes.
 * Every level's simd_*.h defines the same words with the same meaning; only rounding of f8_fma may differ. */
#ifndef GOSS_CPU_SIMD_AVX2_H
#define GOSS_CPU_SIMD_AVX2_H
#include <immintrin.h>
#include <stdint.h>
#include <string.h>
#define ALWAYS static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 4")

typedef __m256 f8;
typedef __m256i w8, b32, m16;
#ifdef SIMD_VNNI
enum { SIMD_TILE_FORM = 2 /* GOSS_TILE_UNSIGNED: four products add up in 32 bits */ };
#else
enum { SIMD_TILE_FORM = 1 /* GOSS_TILE_SMALL */ };
#endif
#ifndef SIMD_ATTN_OWN
enum { SIMD_ATTN_Q = 2 };   /* queries that attention takes at once: 1 or 2 */
#endif

ALWAYS f8 f8_set1(float a) { return _mm256_set1_ps(a); }
ALWAYS f8 f8_set1_bits(uint32_t a) { return _mm256_castsi256_ps(_mm256_set1_epi32((int)a)); }
ALWAYS f8 f8_halves(float lo, float hi) { return _mm256_set_m128(_mm_set1_ps(hi), _mm_set1_ps(lo)); }
ALWAYS f8 f8_once(f8 a) { __asm__("" : "+x"(a)); return a; } /* loaded once, not again for each use */
ALWAYS f8 f8_load(const float *p) { return _mm256_loadu_ps(p); }
ALWAYS f8 f8_load_raw(const void *p) { return _mm256_castsi256_ps(_mm256_loadu_si256(p)); }
ALWAYS f8 f8_load_f16(const void *p) { return _mm256_cvtph_ps(_mm_loadu_si128(p)); }
ALWAYS f8 f8_load_bf16(const void *p)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(p)), 16));
}
ALWAYS void f8_store(float *p, f8 a) { _mm256_storeu_ps(p, a); }
ALWAYS void f8_store_f16(void *p, f8 a) { _mm_storeu_si128(p, _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT)); }
ALWAYS f8 f8_add(f8 a, f8 b) { return _mm256_add_ps(a, b); }
ALWAYS f8 f8_sub(f8 a, f8 b) { return _mm256_sub_ps(a, b); }
ALWAYS f8 f8_mul(f8 a, f8 b) { return _mm256_mul_ps(a, b); }
ALWAYS f8 f8_div(f8 a, f8 b) { return _mm256_div_ps(a, b); }
ALWAYS f8 f8_fma(f8 a, f8 b, f8 c) { return _mm256_fmadd_ps(a, b, c); }
ALWAYS f8 f8_max(f8 a, f8 b) { return _mm256_max_ps(a, b); }
ALWAYS f8 f8_min(f8 a, f8 b) { return _mm256_min_ps(a, b); }
ALWAYS f8 f8_abs(f8 a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
ALWAYS f8 f8_keep_ge(f8 x, f8 a, f8 b)
{
    return _mm256_and_ps(x, _mm256_cmp_ps(a, b, _CMP_GE_OQ));
} /* a >= b ? x : 0 */
ALWAYS float f8_sum(f8 v)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}
ALWAYS float f8_top(f8 v)
{
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_shuffle_ps(s, s, 1)));
}
ALWAYS float f16_value(const void *p) { uint16_t h; memcpy(&h, p, 2); return _cvtsh_ss(h); }
ALWAYS f8 f8_set1_f16(const void *p) { return f8_set1(f16_value(p)); }

ALWAYS w8 w8_zero(void) { return _mm256_setzero_si256(); }
ALWAYS w8 w8_set1(int a) { return _mm256_set1_epi32(a); }
ALWAYS w8 w8_add(w8 a, w8 b) { return _mm256_add_epi32(a, b); }
ALWAYS f8 f8_from_w8(w8 a) { return _mm256_cvtepi32_ps(a); }
ALWAYS w8 w8_round(f8 a) { return _mm256_cvtps_epi32(a); }                        /* nearest, ties to even */
ALWAYS f8 f8_pow2(w8 n)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}
ALWAYS void w8_sums(w8 v, int *lo, int *hi)                                       /* of lanes 0-3 and 4-7 */
{
    __m256i s = _mm256_add_epi32(v, _mm256_srli_si256(v, 8));
    s = _mm256_add_epi32(s, _mm256_srli_si256(s, 4));
    *lo = _mm_cvtsi128_si32(_mm256_castsi256_si128(s));
    *hi = _mm_cvtsi128_si32(_mm256_extracti128_si256(s, 1));
}

ALWAYS b32 b32_set1(int a) { return _mm256_set1_epi8((char)a); }
ALWAYS b32 b32_load(const void *p) { return _mm256_loadu_si256(p); }
ALWAYS void b32_store(void *p, b32 a) { _mm256_storeu_si256(p, a); }
ALWAYS b32 b32_and(b32 a, b32 b) { return _mm256_and_si256(a, b); }
ALWAYS b32 b32_or(b32 a, b32 b) { return _mm256_or_si256(a, b); }
ALWAYS b32 b32_add(b32 a, b32 b) { return _mm256_add_epi8(a, b); }
ALWAYS b32 b32_sub(b32 a, b32 b) { return _mm256_sub_epi8(a, b); }
/* (a >> n) & mask and (a << n) & mask by byte; the mask must drop what crosses bytes. */
ALWAYS b32 b32_shr(b32 a, int n, int mask)
{
    return b32_and(_mm256_srl_epi16(a, _mm_cvtsi32_si128(n)), b32_set1(mask));
}
ALWAYS b32 b32_shl(b32 a, int n, int mask)
{
    return b32_and(_mm256_sll_epi16(a, _mm_cvtsi32_si128(n)), b32_set1(mask));
}
ALWAYS b32 b32_nibbles(const void *p) /* 16 low nibbles, then 16 high ones */
{
    const __m128i v = _mm_loadu_si128(p);
    return b32_and(_mm256_set_m128i(_mm_srli_epi16(v, 4), v), _mm256_set1_epi8(15));
}
ALWAYS b32 b32_bits(uint32_t bits, int value)                                     /* bit i of bits ? value : 0 */
{
    const __m256i from = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2,
                                          2, 3, 3, 3, 3, 3, 3, 3, 3);
    const __m256i one = _mm256_set1_epi64x((long long)0x8040201008040201ull);
    const __m256i v = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32((int)bits), from), one);
    return b32_and(_mm256_cmpeq_epi8(v, one), b32_set1(value));
}
ALWAYS b32 b32_lut(const int8_t table[16], b32 i)
{
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)table)), i);
}
ALWAYS b32 b32_narrow(w8 a, w8 b, w8 c, w8 d) /* 32 words in order to bytes, saturated */
{
    const __m256i v = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    return _mm256_permutevar8x32_epi32(v, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}
ALWAYS b32 b32_bcast4(const void *p) { int v; memcpy(&v, p, 4); return _mm256_set1_epi32(v); }

/* Sums of four products: w int8, most its absolute values, x int8 in -127..127. w8_pairs: of two products of int16.
 * m16_dot: w in 0..31, up to four times before w8_from_m16: in int16 4 * 2 * 31 * 127 < 2^15. The _first ones begin
 * a sum. */
#ifdef SIMD_VNNI
ALWAYS w8 w8_dot_abs(w8 c, b32 most, b32 w, b32 x) { return _mm256_dpbusd_avx_epi32(c, most, _mm256_sign_epi8(x, w)); }
ALWAYS w8 w8_pairs(w8 c, __m256i a, __m256i b) { return _mm256_dpwssd_avx_epi32(c, a, b); }
ALWAYS m16 m16_dot(m16 c, b32 w, b32 x) { return _mm256_dpbusd_avx_epi32(c, w, x); }
ALWAYS m16 m16_first(b32 w, b32 x) { return m16_dot(_mm256_setzero_si256(), w, x); }
ALWAYS m16 m16_add(m16 a, m16 b) { return _mm256_add_epi32(a, b); }
ALWAYS w8 w8_from_m16(m16 a) { return a; }
#else
/* |w| * |x| pairs reach 2 * 128 * 127 < 2^15, so maddubs never saturates. */
ALWAYS w8 w8_dot_abs(w8 c, b32 most, b32 w, b32 x)
{
    const __m256i p = _mm256_maddubs_epi16(most, _mm256_sign_epi8(x, w));
    return _mm256_add_epi32(c, _mm256_madd_epi16(p, _mm256_set1_epi16(1)));
}
ALWAYS w8 w8_pairs(w8 c, __m256i a, __m256i b) { return _mm256_add_epi32(c, _mm256_madd_epi16(a, b)); }
ALWAYS m16 m16_first(b32 w, b32 x) { return _mm256_maddubs_epi16(w, x); }
ALWAYS m16 m16_dot(m16 c, b32 w, b32 x) { return _mm256_add_epi16(c, m16_first(w, x)); }
ALWAYS m16 m16_add(m16 a, m16 b) { return _mm256_add_epi16(a, b); }
ALWAYS w8 w8_from_m16(m16 a) { return _mm256_madd_epi16(a, _mm256_set1_epi16(1)); }
#endif
ALWAYS w8 w8_pairs_first(__m256i a, __m256i b) { return _mm256_madd_epi16(a, b); }
ALWAYS w8 w8_dot(w8 c, b32 w, b32 x) { return w8_dot_abs(c, _mm256_abs_epi8(w), w, x); }
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
ALWAYS m16 m16_zero(void) { return _mm256_setzero_si256(); }

/* 8 rows of 32 bytes to 8 groups of (8 rows, 4 bytes): a transpose of words. */
ALWAYS void b32_transpose(b32 r[8])
{
    const __m256i a0 = _mm256_unpacklo_epi32(r[0], r[1]), a1 = _mm256_unpackhi_epi32(r[0], r[1]);
    const __m256i a2 = _mm256_unpacklo_epi32(r[2], r[3]), a3 = _mm256_unpackhi_epi32(r[2], r[3]);
    const __m256i a4 = _mm256_unpacklo_epi32(r[4], r[5]), a5 = _mm256_unpackhi_epi32(r[4], r[5]);
    const __m256i a6 = _mm256_unpacklo_epi32(r[6], r[7]), a7 = _mm256_unpackhi_epi32(r[6], r[7]);
    const __m256i b0 = _mm256_unpacklo_epi64(a0, a2), b1 = _mm256_unpackhi_epi64(a0, a2);
    const __m256i b2 = _mm256_unpacklo_epi64(a1, a3), b3 = _mm256_unpackhi_epi64(a1, a3);
    const __m256i b4 = _mm256_unpacklo_epi64(a4, a6), b5 = _mm256_unpackhi_epi64(a4, a6);
    const __m256i b6 = _mm256_unpacklo_epi64(a5, a7), b7 = _mm256_unpackhi_epi64(a5, a7);
    r[0] = _mm256_permute2x128_si256(b0, b4, 0x20); r[4] = _mm256_permute2x128_si256(b0, b4, 0x31);
    r[1] = _mm256_permute2x128_si256(b1, b5, 0x20); r[5] = _mm256_permute2x128_si256(b1, b5, 0x31);
    r[2] = _mm256_permute2x128_si256(b2, b6, 0x20); r[6] = _mm256_permute2x128_si256(b2, b6, 0x31);
    r[3] = _mm256_permute2x128_si256(b3, b7, 0x20); r[7] = _mm256_permute2x128_si256(b3, b7, 0x31);
}
#endif
