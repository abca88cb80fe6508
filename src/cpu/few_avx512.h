/* few_avx512.h - AVX-512 VNNI's products of few activation rows (1 to 16) with rows of MXFP4 and Q8_0 straight from
 * the file. Part of kern_avx512vnni.c.
 *
 * A lane is a weight row and blocks are added in order, exactly as in gemm (here and on AMX): a row's result is the
 * same to the bit in any batch, and in prefill. A block of sixteen rows is transposed in registers and used for up to
 * eight activation rows at once. vpdpbusd wants unsigned times signed, so weights are shifted up (MXFP4 by 12 through
 * its table, Q8_0 by 128), and sums start at minus the shift times the block's sum: exact.
 * Rejected: a lane of elements (four blocks of a row in a register, then a sum across lanes for each pair of rows): 30
 * operations to unpack 128 weights where this needs 40 for 512, and 10 for each activation row where this needs 3. */
#ifndef GOSS_CPU_FEW_AVX512_H
#define GOSS_CPU_FEW_AVX512_H
#include "kern.h"
#include <immintrin.h>
#include <string.h>

enum { FEW_NM = 8 };

/* 16 bytes of each of 16 rows, `at` bytes from p[i]; c[k]: bytes 4 k .. 4 k + 3 of all rows. */
ALWAYS void transpose16(__m512i c[4], const uint8_t *const p[16], int at)
{
    __m512i a[4];
    UNROLL
    for (int i = 0; i < 4; i++) { /* lane l of a[i]: row 4 l + i */
        a[i] = _mm512_castsi128_si512(_mm_loadu_si128((const void *)(p[i] + at)));
        a[i] = _mm512_inserti32x4(a[i], _mm_loadu_si128((const void *)(p[i + 4] + at)), 1);
        a[i] = _mm512_inserti32x4(a[i], _mm_loadu_si128((const void *)(p[i + 8] + at)), 2);
        a[i] = _mm512_inserti32x4(a[i], _mm_loadu_si128((const void *)(p[i + 12] + at)), 3);
    }
    const __m512i b0 = _mm512_unpacklo_epi32(a[0], a[1]), b1 = _mm512_unpackhi_epi32(a[0], a[1]);
    const __m512i b2 = _mm512_unpacklo_epi32(a[2], a[3]), b3 = _mm512_unpackhi_epi32(a[2], a[3]);
    c[0] = _mm512_unpacklo_epi64(b0, b2); c[1] = _mm512_unpackhi_epi64(b0, b2);
    c[2] = _mm512_unpacklo_epi64(b1, b3); c[3] = _mm512_unpackhi_epi64(b1, b3);
}
/* A block of 16 rows as eight registers of unsigned bytes: element 4 k + e of row i at 4 i + e of w[k]. */
ALWAYS void unpack16(__m512i w[8], const uint8_t *const p[16], const int mxfp4)
{
    const __m512i low = _mm512_set1_epi8(15), sign = _mm512_set1_epi8((char)0x80);
    const __m512i table = _mm512_broadcast_i32x4(
        _mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0));
    if (mxfp4) {
        __m512i c[4];
        transpose16(c, p, 1);
        UNROLL
        for (int k = 0; k < 4; k++) {
            w[k] = _mm512_shuffle_epi8(table, _mm512_and_si512(c[k], low));
            w[k + 4] = _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(c[k], 4), low));
        }
    } else {
        transpose16(w, p, 2);
        transpose16(w + 4, p, 18);
        UNROLL
        for (int k = 0; k < 8; k++) w[k] = _mm512_xor_si512(w[k], sign);
    }
}

/* The scales of blocks [from, to) of 16 rows. One row after the other: this is also what brings them near. */
ALWAYS void scales16(float *s, const uint8_t *const row[16], int64_t step, int64_t from, int64_t to, const int mxfp4)
{
    for (int i = 0; i < 16; i++) {
        const uint8_t *p = row[i] + from * step;
        for (int64_t b = 0; b < to - from; b++, p += step) {
            if (mxfp4) memcpy(s + b * 16 + i, &goss_mxfp4_scale[*p], sizeof *s);
            else s[b * 16 + i] = scale_f16(p);
        }
    }
}

/* Blocks whose scales wait in memory: whole rows of the models, so that these are read in one go. */
enum { FEW_PART = 96 };
/* 16 weight rows (n_rows of them are wanted; more: 16 more follow) times NM activation rows. */
ALWAYS void few16(float *y, int64_t y_stride, const uint8_t *const row[16], int64_t row_bytes, int n_rows,
                  int more, const goss_acts *x, int64_t first, const int mxfp4, const int NM)
{
    const int64_t nb = x->n / GOSS_BLOCK, bytes = mxfp4 ? 17 : 34, stride = x->n;
    const int8_t *q = x->q + first * stride;
    const float *d = x->d + first * nb;
    const int16_t *s = x->s + first * nb * 2;
    _Alignas(64) float scale[FEW_PART * 16];
    __m512 acc[FEW_NM];
    UNROLL
    for (int j = 0; j < NM; j++) acc[j] = _mm512_setzero_ps();
    for (int64_t b = 0; b < nb; b++) {
        const uint8_t *p[16];
        __m512i w[8], sum[FEW_NM];
        if (b % FEW_PART == 0)
            scales16(scale, row, bytes, b, b + FEW_PART < nb ? b + FEW_PART : nb, mxfp4);
        UNROLL16
        for (int i = 0; i < 16; i++) p[i] = row[i] + b * bytes;
        for (int64_t i = 0; more && i < bytes * 16; i += 64)  /* the next rows, to the second cache */
            _mm_prefetch((const char *)row[0] + 16 * row_bytes + b * bytes * 16 + i, _MM_HINT_T1);
        unpack16(w, p, mxfp4);
        UNROLL
        for (int j = 0; j < NM; j++) {
            const int16_t *sj = s + 2 * (j * nb + b);
            sum[j] = _mm512_set1_epi32((mxfp4 ? -12 : -128) * (sj[0] + sj[1]));
        }
        UNROLL
        for (int k = 0; k < 8; k++)
            UNROLL
            for (int j = 0; j < NM; j++)
                sum[j] = _mm512_dpbusd_epi32(sum[j], w[k], four(q + j * stride + b * GOSS_BLOCK + k * 4));
        const __m512 sw = _mm512_load_ps(scale + b % FEW_PART * 16);
        UNROLL
        for (int j = 0; j < NM; j++)
            acc[j] = _mm512_fmadd_ps(_mm512_mul_ps(sw, _mm512_set1_ps(d[j * nb + b])), _mm512_cvtepi32_ps(sum[j]),
                                     acc[j]);
    }
    const __mmask16 lanes = (__mmask16)(0xffffu >> (16 - n_rows));
    UNROLL
    for (int j = 0; j < NM; j++) _mm512_mask_storeu_ps(y + j * y_stride, lanes, acc[j]);
}

/* m of 1 to 8. */
ALWAYS void few16_any(float *y, int64_t y_stride, const uint8_t *const row[16], int64_t row_bytes, int n_rows,
                      int more, const goss_acts *x, int64_t first, int m, const int mxfp4)
{
    switch (m) {
    case 1: few16(y, y_stride, row, row_bytes, n_rows, more, x, first, mxfp4, 1); break;
    case 2: few16(y, y_stride, row, row_bytes, n_rows, more, x, first, mxfp4, 2); break;
    case 3: few16(y, y_stride, row, row_bytes, n_rows, more, x, first, mxfp4, 3); break;
    case 4: few16(y, y_stride, row, row_bytes, n_rows, more, x, first, mxfp4, 4); break;
    case 5: few16(y, y_stride, row, row_bytes, n_rows, more, x, first, mxfp4, 5); break;
    case 6: few16(y, y_stride, row, row_bytes, n_rows, more, x, first, mxfp4, 6); break;
    case 7: few16(y, y_stride, row, row_bytes, n_rows, more, x, first, mxfp4, 7); break;
    default: few16(y, y_stride, row, row_bytes, n_rows, more, x, first, mxfp4, FEW_NM); break;
    }
}
ALWAYS void few_rows(float *y, int64_t y_stride, const uint8_t *w, int64_t row_bytes, int n_rows, const goss_acts *x,
                     int first, int m, const int mxfp4)
{
    for (int i = 0; i < n_rows; i += 16) {
        const int n = n_rows - i < 16 ? n_rows - i : 16;
        const uint8_t *row[16];
        for (int r = 0; r < 16; r++) row[r] = w + (i + (r < n ? r : n - 1)) * row_bytes; /* what is left repeats */
        for (int j = 0, k; j < m; j += k) {
            k = m - j > FEW_NM ? (m - j + 1) / 2 : m - j;
            k = k > FEW_NM ? FEW_NM : k;
            few16_any(y + j * y_stride + i, y_stride, row, row_bytes, n, n_rows - i >= 32 && j + k == m, x, first + j,
                      k, mxfp4);
        }
    }
}
static void matvec_mxfp4_avx512vnni GOSS_MATVEC_ARGS { few_rows(y, y_stride, w, row_bytes, n_rows, x, first, m, 1); }
static void matvec_q8_0_avx512vnni GOSS_MATVEC_ARGS { few_rows(y, y_stride, w, row_bytes, n_rows, x, first, m, 0); }
#endif
