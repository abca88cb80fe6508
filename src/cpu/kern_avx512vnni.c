/* kern_avx512vnni.c - AVX-512 with VNNI: products of bytes four at a time into int32, sixteen lanes wide.
 *
 * matvec: few_avx512.h.
 * gemm: tiles are unsigned (GOSS_TILE_UNSIGNED); a lane is one of the 16 weight rows, and the sum starts at
 * minus the shift times the block's sum. |sum| <= 32 * 255 * 127 < 2^31.
 * attention: kern_attn_avx512vnni.c. Everything else is the AVX2 level's. */
#include "kern.h"
#include <immintrin.h>
#include <string.h>
#define ALWAYS static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")
#define UNROLL16 _Pragma("GCC unroll 16")

ALWAYS float scale_f16(const void *p) { uint16_t h; memcpy(&h, p, 2); return _cvtsh_ss(h); }
ALWAYS __m512i four(const int8_t *p) { int v; memcpy(&v, p, 4); return _mm512_set1_epi32(v); }
#include "few_avx512.h"

/* ---- tiles: 16 rows of MXFP4 at once, transposed while they are still nibbles ---------------------------------- */
static void pack_mxfp4_avx512vnni GOSS_PACK_ARGS
{
    static const uint8_t nothing[17];
    const int bias = t->form == GOSS_TILE_UNSIGNED ? 128 : 0;
    const __m512i low = _mm512_set1_epi8(15);
    const __m512i table = _mm512_broadcast_i32x4(
        _mm_add_epi8(_mm_loadu_si128((const void *)goss_mxfp4_values), _mm_set1_epi8((char)bias)));
    for (int b = 0; b < n / GOSS_BLOCK; b++) {
        __m512i c[4];
        const uint8_t *p[16];
        for (int i = 0; i < 16; i++) p[i] = i < n_rows ? (const uint8_t *)w + i * row_bytes + b * 17 : nothing;
        for (int i = 0; i < 16; i++) {
            const uint32_t s = i < n_rows ? goss_mxfp4_scale[p[i][0]] : 0;
            memcpy(t->s + (size_t)b * GOSS_TILE_ROWS + i, &s, 4);
        }
        transpose16(c, p, 1);
        UNROLL
        for (int k = 0; k < 4; k++) { /* c[k]: bytes 4 k .. 4 k + 3 of all rows */
            uint8_t *q = t->q + (size_t)b * 512 + (size_t)k * 64;
            _mm512_storeu_si512(q, _mm512_shuffle_epi8(table, _mm512_and_si512(c[k], low)));
            _mm512_storeu_si512(q + 256,
                                _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(c[k], 4), low)));
        }
    }
    t->n = n; t->n_rows = n_rows; t->groups = 1; t->has_min = 0; t->small = 1; t->bias = bias;
}
/* ---- many rows: 16 weight rows of the tile times NM activation rows ------------------------------------ */
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
    k->pack_mxfp4 = pack_mxfp4_avx512vnni;
    k->gemm = gemm_avx512vnni;
    goss_kern_init_attn_avx512vnni(k);
    k->tile_form = GOSS_TILE_UNSIGNED;
    k->widen = NULL;               /* two planes of bytes are as fast */
    k->wide_q8_0 = NULL;
}
