/* kern_avx512vnni.c - AVX-512 with VNNI: products of bytes four at a time into int32, sixteen lanes wide.
 *
 * matvec: two blocks of a Q8_0 row or four of an MXFP4 row fill a register. vpdpbusd wants unsigned times signed, so
 * weights are shifted up (MXFP4 by 12 through its table, Q8_0 by 128) and the shift times the activations is taken
 * back lane by lane in int32: exact.
 * gemm: tiles are unsigned (GOSS_TILE_UNSIGNED); a lane is one of the 16 weight rows, and the sum starts at
 * minus the shift times the block's sum. |sum| <= 32 * 255 * 127 < 2^31.
 * attention: kern_attn_avx512vnni.c. Everything else is the AVX2 level's.
 * Several activation rows: few_avx512vnni.h, in the same order.
 * Rejected for matvec: the AVX2 level's order (a lane is a weight row). It unpacks a block once for eight activation
 * rows, but reads sixteen rows at once: one row of 20b fell by a third (docs/cpu-performance.md). */
#include "kern.h"
#include <immintrin.h>
#include <string.h>
#define ALWAYS static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")

ALWAYS __m512i two256(const void *lo, const void *hi)
{
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256(lo)), _mm256_loadu_si256(hi), 1);
}
ALWAYS __m512 two_scales(float lo, float hi)
{
    return _mm512_mask_blend_ps(0xff00, _mm512_set1_ps(lo), _mm512_set1_ps(hi));
}
ALWAYS float scale_f16(const void *p) { uint16_t h; memcpy(&h, p, 2); return _cvtsh_ss(h); }
ALWAYS __m512 scale_e8(uint8_t e) { float f; memcpy(&f, &goss_mxfp4_scale[e], 4); return _mm512_set1_ps(f); }

/* ---- MXFP4: four blocks a step, one in each lane of 128 bits ------------------------------------------- */
/* The 16 bytes of blocks b..b+3 of a row; blocks past `last` repeat it. */
ALWAYS __m512i four_codes(const uint8_t *row, int b, int last)
{
    const uint8_t *p = row + b * 17 + 1;
    const int b1 = b + 1 > last ? 0 : 17, b2 = b + 2 > last ? 0 : 34, b3 = b + 3 > last ? 0 : 51;
    __m512i v = _mm512_castsi128_si512(_mm_loadu_si128((const void *)p));
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const void *)(p + b1)), 1);
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const void *)(p + b2)), 2);
    return _mm512_inserti32x4(v, _mm_loadu_si128((const void *)(p + b3)), 3);
}
ALWAYS __m512 four_scales(const uint8_t *row, int b, int last)
{
    const uint8_t *p = row + b * 17;
    const int b1 = b + 1 > last ? 0 : 17, b2 = b + 2 > last ? 0 : 34, b3 = b + 3 > last ? 0 : 51;
    const __m512 lo = _mm512_mask_blend_ps(0x00f0, scale_e8(p[0]), scale_e8(p[b1]));
    const __m512 hi = _mm512_mask_blend_ps(0xf000, scale_e8(p[b2]), scale_e8(p[b3]));
    return _mm512_mask_blend_ps(0xff00, lo, hi);
}
/* The first halves (low nibbles) and second halves (high nibbles) of an activation row's blocks b..b+3, what
 * the shift by 12 adds to their products, and their scales; blocks past the last are 0. */
typedef struct four_acts { __m512i lo, hi, start; __m512 d; } four_acts;
ALWAYS four_acts acts_at(const int8_t *q, const float *d, int64_t at, int n)
{
    const __m512i twelve = _mm512_set1_epi8(12), zero = _mm512_setzero_si512();
    const __m512i a = _mm512_maskz_loadu_epi64(n > 1 ? 0xff : 0x0f, q + at * GOSS_BLOCK);
    const __m512i b = _mm512_maskz_loadu_epi64(n > 3 ? 0xff : n > 2 ? 0x0f : 0, q + at * GOSS_BLOCK + 64);
    four_acts x = { _mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd), zero,
                    _mm512_setzero_ps() };
    x.start =
        _mm512_sub_epi32(zero, _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(zero, twelve, x.lo), twelve, x.hi));
    const __m128 scales = _mm_maskz_loadu_ps((__mmask8)(15u >> (4 - n)), d + at);
    x.d = _mm512_permutexvar_ps(_mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3),
                                _mm512_castps128_ps512(scales));
    return x;
}
/* As dots() below. Rows are asked for one group ahead: the processor's own prefetch stops at the end of a
 * page. */
ALWAYS void dots_mxfp4(float *y, int64_t y_stride, const uint8_t *w, int64_t row_bytes, const goss_acts *x,
                       int first, const int NR, const int NM)
{
    const int nb = x->n / GOSS_BLOCK;
    const int8_t *q = x->q + (int64_t)first * x->n;
    const float *d = x->d + (int64_t)first * nb;
    const __m512i low = _mm512_set1_epi8(15), table = _mm512_broadcast_i32x4(_mm_setr_epi8(
                                                  12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0));
    __m512 acc[4][4];
    UNROLL
    for (int r = 0; r < NR; r++)
        UNROLL
        for (int j = 0; j < NM; j++) acc[r][j] = _mm512_setzero_ps();
    for (int b = 0; b < nb; b += 4) {
        four_acts xj[4];
        UNROLL
        for (int j = 0; j < NM; j++) xj[j] = acts_at(q, d, (int64_t)j * nb + b, nb - b < 4 ? nb - b : 4);
        UNROLL
        for (int r = 0; r < NR; r++) {
            const uint8_t *row = w + r * row_bytes;
            _mm_prefetch((const char *)row + NR * row_bytes + b * 17, _MM_HINT_T0);
            const __m512i v = four_codes(row, b, nb - 1);
            const __m512i lo = _mm512_shuffle_epi8(table, _mm512_and_si512(v, low));
            const __m512i hi = _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(v, 4), low));
            const __m512 s = four_scales(row, b, nb - 1);
            UNROLL
            for (int j = 0; j < NM; j++) {
                const __m512i p =
                    _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(xj[j].start, lo, xj[j].lo), hi, xj[j].hi);
                acc[r][j] = _mm512_fmadd_ps(_mm512_mul_ps(s, xj[j].d), _mm512_cvtepi32_ps(p), acc[r][j]);
            }
        }
    }
    UNROLL
    for (int r = 0; r < NR; r++)
        UNROLL
        for (int j = 0; j < NM; j++) y[j * y_stride + r] = _mm512_reduce_add_ps(acc[r][j]);
}

/* ---- Q8_0: two blocks a step --------------------------------------------------------------------------- */
/* A pair of blocks: 64 unsigned weights and their two scales. */
typedef struct pair { __m512i q; float s0, s1; } pair;
/* one: there is no second block; its scale is 0 and the first is read twice. */
ALWAYS pair pair_q8_0(const uint8_t *row, int b, int one)
{
    const uint8_t *p = row + b * 34, *p2 = one ? p : p + 34;
    const __m512i q = _mm512_xor_si512(two256(p + 2, p2 + 2), _mm512_set1_epi8((char)0x80));
    return (pair){ q, scale_f16(p), one ? 0.0f : scale_f16(p2) };
}

/* NR weight rows times NM activation rows, constants at every call; one accumulator a pair of rows, blocks
 * two by two in order. */
ALWAYS void dots_q8_0(float *y, int64_t y_stride, const uint8_t *w, int64_t row_bytes, const goss_acts *x,
                      int first, const int NR, const int NM)
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
            start[j] = _mm512_sub_epi32(zero, _mm512_dpbusd_epi32(zero, _mm512_set1_epi8((char)128), xj[j]));
            dj[j] = two_scales(d[at], d[at2]);
        }
        UNROLL
        for (int r = 0; r < NR; r++) {
            const uint8_t *row = w + r * row_bytes;
            _mm_prefetch((const char *)row + NR * row_bytes + b * 34, _MM_HINT_T0);
            const pair k = pair_q8_0(row, b, one);
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
#define ROWS(dots)                                                                                          \
    for (int j = 0; j < m;) {                                                                               \
        const int k = m - j >= 4 ? 4 : m - j >= 2 ? 2 : 1;                                                  \
        int i = 0;                                                                                          \
        for (; k == 4 && i + 2 <= n_rows; i += 2) dots(y + i, y_stride, AT(i), row_bytes, x, first + j, 2, 4); \
        for (; k == 4 && i < n_rows; i++) dots(y + i, y_stride, AT(i), row_bytes, x, first + j, 1, 4);      \
        for (; k == 2 && i + 4 <= n_rows; i += 4) dots(y + i, y_stride, AT(i), row_bytes, x, first + j, 4, 2); \
        for (; k == 2 && i < n_rows; i++) dots(y + i, y_stride, AT(i), row_bytes, x, first + j, 1, 2);      \
        for (; k == 1 && i + 4 <= n_rows; i += 4) dots(y + i, y_stride, AT(i), row_bytes, x, first + j, 4, 1); \
        for (; i < n_rows; i++) dots(y + i, y_stride, AT(i), row_bytes, x, first + j, 1, 1);                \
        y += k * y_stride;                                                                                  \
        j += k;                                                                                             \
    }
#define AT(i) ((const uint8_t *)w + (i) * row_bytes)
#include "few_avx512vnni.h"
static int few(const goss_acts *x, int m, int from)
{
    return m >= from && m <= FEW_ROWS && x->n <= FEW_LENGTH;
}
static void matvec_mxfp4_avx512vnni GOSS_MATVEC_ARGS
{
    if (few(x, m, FEW_MXFP4)) few_mxfp4(y, y_stride, w, row_bytes, n_rows, x, first, m);
    else ROWS(dots_mxfp4)
}
static void matvec_q8_0_avx512vnni GOSS_MATVEC_ARGS
{
    if (few(x, m, FEW_Q8_0)) few_q8_0(y, y_stride, w, row_bytes, n_rows, x, first, m);
    else ROWS(dots_q8_0)
}

/* ---- tiles: 16 rows of MXFP4 at once, transposed while they are still nibbles -------------------------- */
static void pack_mxfp4_avx512vnni GOSS_PACK_ARGS
{
    static const uint8_t nothing[17];
    const int bias = t->form == GOSS_TILE_UNSIGNED ? 128 : 0;
    const __m512i low = _mm512_set1_epi8(15);
    const __m512i table = _mm512_broadcast_i32x4(
        _mm_add_epi8(_mm_loadu_si128((const void *)goss_mxfp4_values), _mm_set1_epi8((char)bias)));
    for (int b = 0; b < n / GOSS_BLOCK; b++) {
        __m512i a[4];
        const uint8_t *p[16];
        for (int i = 0; i < 16; i++)
            p[i] = i < n_rows ? (const uint8_t *)w + i * row_bytes + b * 17 : nothing;
        for (int i = 0; i < 16; i++) {
            const uint32_t s = i < n_rows ? goss_mxfp4_scale[p[i][0]] : 0;
            memcpy(t->s + (size_t)b * GOSS_TILE_ROWS + i, &s, 4);
        }
        UNROLL
        for (int i = 0; i < 4; i++) { /* lane l of a[i]: row 4 l + i */
            a[i] = _mm512_castsi128_si512(_mm_loadu_si128((const void *)(p[i] + 1)));
            a[i] = _mm512_inserti32x4(a[i], _mm_loadu_si128((const void *)(p[i + 4] + 1)), 1);
            a[i] = _mm512_inserti32x4(a[i], _mm_loadu_si128((const void *)(p[i + 8] + 1)), 2);
            a[i] = _mm512_inserti32x4(a[i], _mm_loadu_si128((const void *)(p[i + 12] + 1)), 3);
        }
        const __m512i b0 = _mm512_unpacklo_epi32(a[0], a[1]), b1 = _mm512_unpackhi_epi32(a[0], a[1]);
        const __m512i b2 = _mm512_unpacklo_epi32(a[2], a[3]), b3 = _mm512_unpackhi_epi32(a[2], a[3]);
        const __m512i c[4] = { _mm512_unpacklo_epi64(b0, b2), _mm512_unpackhi_epi64(b0, b2),
                               _mm512_unpacklo_epi64(b1, b3), _mm512_unpackhi_epi64(b1, b3) };
        UNROLL
        for (int k = 0; k < 4; k++) { /* c[k]: bytes 4 k .. 4 k + 3 of all rows */
            uint8_t *q = t->q + (size_t)b * 512 + (size_t)k * 64;
            _mm512_storeu_si512(q, _mm512_shuffle_epi8(table, _mm512_and_si512(c[k], low)));
            _mm512_storeu_si512(
                q + 256, _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(c[k], 4), low)));
        }
    }
    t->n = n; t->n_rows = n_rows; t->groups = 1; t->has_min = 0; t->small = 1; t->bias = bias;
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
                acc[j] =
                    _mm512_fmadd_ps(_mm512_mul_ps(sw, _mm512_set1_ps(dj)), _mm512_cvtepi32_ps(p[j]), acc[j]);
                if (min)
                    acc[j] = _mm512_fmadd_ps(_mm512_loadu_ps(wm), _mm512_set1_ps(dj * (float)sum[j]), acc[j]);
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
static void gemm_avx512vnni(float *y, int64_t y_stride, const goss_tile *t, const goss_acts *x, int first,
                            int m)
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
    k->pack_mxfp4 = pack_mxfp4_avx512vnni;
    k->gemm = gemm_avx512vnni;
    goss_kern_init_attn_avx512vnni(k);
    k->tile_form = GOSS_TILE_UNSIGNED;
    k->widen = NULL;               /* two planes of bytes are as fast */
    k->wide_q8_0 = NULL;
}
