/* kern_avx512vnni.c - AVX-512 with VNNI: products of bytes four at a time into int32, sixteen lanes wide.
 *
 * matvec (MXFP4, Q8_0): two blocks of a row fill a register. vpdpbusd wants unsigned times signed, so
 * weights are shifted up
 * (MXFP4 by 12 through its table, Q8_0 by 128) and the shift times the activations is taken back lane by
 * lane in int32: exact.
 * gemm: tiles are unsigned (GOSS_TILE_UNSIGNED); a lane is one of the 16 weight rows, and the sum starts at
 * minus the shift
 * times the block's sum. |sum| <= 32 * 255 * 127 < 2^31.
 * Everything else is the AVX2 level's. */
#include "kern.h"
#include <immintrin.h>
#include <string.h>
#define ALWAYS static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")

ALWAYS __m512i two256(const void *lo, const void *hi)
{
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256(lo)), _mm256_loadu_si256(hi), 1);
}
/* 32 nibbles of one block, low ones first. */
ALWAYS __m256i nibbles(const void *p)
{
    const __m128i v = _mm_loadu_si128(p);
    return _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(v, 4), v), _mm256_set1_epi8(15));
}
ALWAYS __m512 two_scales(float lo, float hi)
{
    return _mm512_mask_blend_ps(0xff00, _mm512_set1_ps(lo), _mm512_set1_ps(hi));
}
ALWAYS float scale_f16(const void *p) { uint16_t h; memcpy(&h, p, 2); return _cvtsh_ss(h); }
ALWAYS float scale_e8(uint8_t e) { float f; memcpy(&f, &goss_mxfp4_scale[e], 4); return f; }

/* A pair of blocks: 64 unsigned weights and their two scales. */
typedef struct pair { __m512i q; float s0, s1; } pair;
typedef pair pair_fn(const uint8_t *row, int b, int one);
/* one: there is no second block; its scale is 0 and the first is read twice. */
ALWAYS pair pair_mxfp4(const uint8_t *row, int b, int one)
{
    const uint8_t *p = row + b * 17, *p2 = one ? p : p + 17;
    const __m512i table =
        _mm512_broadcast_i32x4(_mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0));
    const __m512i n = _mm512_inserti64x4(_mm512_castsi256_si512(nibbles(p + 1)), nibbles(p2 + 1), 1);
    return (pair){ _mm512_shuffle_epi8(table, n), scale_e8(p[0]), one ? 0.0f : scale_e8(p2[0]) };
}
ALWAYS pair pair_q8_0(const uint8_t *row, int b, int one)
{
    const uint8_t *p = row + b * 34, *p2 = one ? p : p + 34;
    const __m512i q = _mm512_xor_si512(two256(p + 2, p2 + 2), _mm512_set1_epi8((char)0x80));
    return (pair){ q, scale_f16(p), one ? 0.0f : scale_f16(p2) };
}

/* NR weight rows times NM activation rows, constants at every call; one accumulator a pair of rows, blocks
 * two by two in order. */
ALWAYS void dots(float *y, int64_t y_stride, const uint8_t *w, int64_t row_bytes, const goss_acts *x,
                 int first, pair_fn unpack, int shift, const int NR, const int NM)
{
    const int nb = x->n / GOSS_BLOCK;
    const int8_t *q = x->q + (int64_t)first * x->n;
    const float *d = x->d + (int64_t)first * nb;
    const __m512i zero = _mm512_setzero_si512();
    __m512 acc[4][4];
    UNROLL
    for (int r = 0; r < NR; r++)
        UNROLL
        for (int j = 0; j < NM; j++) acc[r][j] = _mm512_setzero_ps();
    for (int b = 0; b < nb; b += 2) {
        const int one = b + 1 == nb, b2 = one ? b : b + 1;
        __m512i xj[4], start[4];
        __m512 dj[4];
        UNROLL
        for (int j = 0; j < NM; j++) {
            const int64_t at = (int64_t)j * nb + b, at2 = (int64_t)j * nb + b2;
            xj[j] = two256(q + at * GOSS_BLOCK, q + at2 * GOSS_BLOCK);
            start[j] = _mm512_sub_epi32(zero, _mm512_dpbusd_epi32(zero, _mm512_set1_epi8((char)shift), xj[j]));
            dj[j] = two_scales(d[at], d[at2]);
        }
        UNROLL
        for (int r = 0; r < NR; r++) {
            const pair k = unpack(w + r * row_bytes, b, one);
            const __m512 sk = two_scales(k.s0, k.s1);
            UNROLL
            for (int j = 0; j < NM; j++) {
                const __m512i p = _mm512_dpbusd_epi32(start[j], k.q, xj[j]);
                acc[r][j] = _mm512_fmadd_ps(_mm512_mul_ps(sk, dj[j]), _mm512_cvtepi32_ps(p), acc[r][j]);
            }
        }
    }
    UNROLL
    for (int r = 0; r < NR; r++)
        UNROLL
        for (int j = 0; j < NM; j++) y[j * y_stride + r] = _mm512_reduce_add_ps(acc[r][j]);
}
ALWAYS void rows(float *y, int64_t y_stride, const uint8_t *w, int64_t row_bytes, int n_rows,
                 const goss_acts *x, int first, int m, pair_fn unpack, int shift)
{
    for (int j = 0; j < m;) {
        const int k = m - j >= 4 ? 4 : m - j >= 2 ? 2 : 1;
        int i = 0;
        if (k == 4)
            for (; i + 2 <= n_rows; i += 2)
                dots(y + i, y_stride, w + i * row_bytes, row_bytes, x, first + j, unpack, shift, 2, 4);
        if (k == 4)
            for (; i < n_rows; i++)
                dots(y + i, y_stride, w + i * row_bytes, row_bytes, x, first + j, unpack, shift, 1, 4);
        if (k == 2)
            for (; i + 4 <= n_rows; i += 4)
                dots(y + i, y_stride, w + i * row_bytes, row_bytes, x, first + j, unpack, shift, 4, 2);
        if (k == 2)
            for (; i < n_rows; i++)
                dots(y + i, y_stride, w + i * row_bytes, row_bytes, x, first + j, unpack, shift, 1, 2);
        if (k == 1)
            for (; i + 4 <= n_rows; i += 4)
                dots(y + i, y_stride, w + i * row_bytes, row_bytes, x, first + j, unpack, shift, 4, 1);
        for (; i < n_rows; i++) dots(y + i, y_stride, w + i * row_bytes, row_bytes, x, first + j, unpack, shift, 1, 1);
        y += k * y_stride;
        j += k;
    }
}
static void matvec_mxfp4_avx512vnni GOSS_MATVEC_ARGS
{
    rows(y, y_stride, w, row_bytes, n_rows, x, first, m, pair_mxfp4, 12);
}
static void matvec_q8_0_avx512vnni GOSS_MATVEC_ARGS
{
    rows(y, y_stride, w, row_bytes, n_rows, x, first, m, pair_q8_0, 128);
}

/* ---- many rows: 16 weight rows of the tile times NM activation rows ------------------------------------ */
ALWAYS __m512i four(const int8_t *p) { int v; memcpy(&v, p, 4); return _mm512_set1_epi32(v); }

ALWAYS void gemm16(__m512 out[8], const goss_tile *t, const goss_acts *x, int64_t row, const int groups,
                   const int min, const int NM)
{
    const int nb = t->n / GOSS_BLOCK;
    const int8_t *q = x->q + row * x->n;
    const float *d = x->d + row * nb;
    const int16_t *s = x->s + row * nb * 2;
    const float *ws = t->s, *wm = t->m;
    __m512 acc[8];
    UNROLL
    for (int j = 0; j < NM; j++) acc[j] = _mm512_setzero_ps();
    for (int b = 0; b < nb; b++)
        for (int g = 0; g < groups; g++, ws += GOSS_TILE_ROWS, wm += GOSS_TILE_ROWS) {
            const int k0 = groups == 2 ? g * 4 : 0, k1 = groups == 2 ? k0 + 4 : 8;
            __m512i p[8];
            int sum[8];
            UNROLL
            for (int j = 0; j < NM; j++) {
                const int16_t *sj = s + ((int64_t)j * nb + b) * 2;
                sum[j] = groups == 2 ? sj[g] : sj[0] + sj[1];
                p[j] = _mm512_set1_epi32(-t->bias * sum[j]);
            }
            UNROLL
            for (int k = k0; k < k1; k++) {
                const __m512i w = _mm512_loadu_si512(t->q + (size_t)b * 512 + (size_t)k * 64);
                UNROLL
                for (int j = 0; j < NM; j++)
                    p[j] = _mm512_dpbusd_epi32(p[j], w, four(q + (int64_t)j * x->n + b * GOSS_BLOCK + k * 4));
            }
            const __m512 sw = _mm512_loadu_ps(ws);
            UNROLL
            for (int j = 0; j < NM; j++) {
                const float dj = d[(int64_t)j * nb + b];
                acc[j] = _mm512_fmadd_ps(_mm512_mul_ps(sw, _mm512_set1_ps(dj)), _mm512_cvtepi32_ps(p[j]), acc[j]);
                if (min) acc[j] = _mm512_fmadd_ps(_mm512_loadu_ps(wm), _mm512_set1_ps(dj * (float)sum[j]), acc[j]);
            }
        }
    UNROLL
    for (int j = 0; j < NM; j++) out[j] = acc[j];
}
ALWAYS void gemm_kind(float *y, int64_t y_stride, const goss_tile *t, const goss_acts *x, int first, int m,
                      const int groups, const int min)
{
    const __mmask16 lanes = (__mmask16)(0xffffu >> (16 - t->n_rows));
    for (int j = 0; j < m;) {
        __m512 out[8];
        const int k = m - j >= 8 ? 8 : 1;
        if (k == 8) gemm16(out, t, x, first + j, groups, min, 8);
        else gemm16(out, t, x, first + j, groups, min, 1);
        for (int i = 0; i < k; i++) _mm512_mask_storeu_ps(y + (j + i) * y_stride, lanes, out[i]);
        j += k;
    }
}
static void gemm_avx512vnni(float *y, int64_t y_stride, const goss_tile *t, const goss_acts *x, int first, int m)
{
    switch ((t->groups == 2) * 2 + t->has_min) {
    case 0: gemm_kind(y, y_stride, t, x, first, m, 1, 0); break;
    case 1: gemm_kind(y, y_stride, t, x, first, m, 1, 1); break;
    case 2: gemm_kind(y, y_stride, t, x, first, m, 2, 0); break;
    default: gemm_kind(y, y_stride, t, x, first, m, 2, 1); break;
    }
}

void goss_kern_init_avx512vnni(goss_kern *k)
{
    k->matvec_mxfp4 = matvec_mxfp4_avx512vnni;
    k->matvec_q8_0 = matvec_q8_0_avx512vnni;
    k->gemm = gemm_avx512vnni;
    k->tile_form = GOSS_TILE_UNSIGNED;
}
