/* few_avx2.h - AVX2's products of few activation rows (1 to 16) with rows of MXFP4 and Q8_0 straight from the
 * file. Part of close_avx2.h.
 *
 * A lane is a weight row and blocks are added in order, exactly as in gemm: a row's result is the same to the
 * bit in any batch, and in prefill. For up to five rows, blocks of eight weight rows are transposed in
 * registers and used at once; for more, sixteen rows are unpacked slab by slab into the first cache and used
 * for all: weights are read and unpacked once. The rows that come next are asked for ahead: the processor's
 * own prefetch stops at the end of a page. Rejected: a lane of elements and a sum across lanes for each pair
 * of rows (131 ns for a row of MXFP4 times one row, 2,307 times 16, one Zen 3 thread at 2,880; now 99 and
 * 546; Q8_0 100 and 2,575, now 120 and 825). */
#ifndef GOSS_CPU_FEW_AVX2_H
#define GOSS_CPU_FEW_AVX2_H
#include "tile_avx2.h"

enum { FEW = 5 }; /* activation rows taken at once, all sums in registers or beside them */

/* Line b of what a group of eight rows' blocks takes a step: all of the next group's bytes in the end. */
ALWAYS void ask(const uint8_t *next, int64_t at, int n)
{
    UNROLL
    for (int i = 0; i < n; i += 64) __builtin_prefetch(next + at * n + i);
}

/* Eight rows of MXFP4 times NM activation rows. */
ALWAYS void eight_mxfp4(float *y, int64_t y_stride, const uint8_t *w, int64_t row_bytes, const goss_acts *x,
                        int64_t row, const int NM)
{
    const int64_t nb = x->n / GOSS_BLOCK, stride = x->n;
    const int8_t *q = x->q + row * stride;
    const float *d = x->d + row * nb;
    const int16_t *s = x->s + row * nb * 2;
    const __m256i low = _mm256_set1_epi8(15);
    const __m256i table = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0));
    f8 acc[FEW];
    UNROLL
    for (int j = 0; j < NM; j++) acc[j] = f8_set1(0.0f);
    for (int64_t b = 0; b < nb; b++) {
        const uint8_t *p[8];
        __m256i c[4];
        m16 lo[FEW], hi[FEW];
        UNROLL8
        for (int i = 0; i < 8; i++) p[i] = w + i * row_bytes + b * 17;
        ask(w + 8 * row_bytes, b, 136);
        load_four(c, p, 1);
        UNROLL
        for (int k = 0; k < 4; k++) {
            const __m256i wl = _mm256_shuffle_epi8(table, _mm256_and_si256(c[k], low));
            const __m256i wh = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(c[k], 4), low));
            UNROLL
            for (int j = 0; j < NM; j++) {
                const int8_t *at = q + j * stride + b * GOSS_BLOCK + k * 4;
                const b32 xl = b32_bcast4(at), xh = b32_bcast4(at + 16);
                lo[j] = k ? m16_dot(lo[j], wl, xl) : m16_first(wl, xl);
                hi[j] = k ? m16_dot(hi[j], wh, xh) : m16_first(wh, xh);
            }
        }
        const f8 scale = scales_mxfp4(p);
        UNROLL
        for (int j = 0; j < NM; j++) {
            const int64_t at = j * nb + b;
            const w8 sum = w8_add(w8_from_m16(lo[j]), w8_from_m16(hi[j]));
            const w8 shift = _mm256_madd_epi16(b32_bcast4((const int8_t *)(s + 2 * at)), _mm256_set1_epi16(12));
            acc[j] = f8_fma(f8_mul(scale, f8_set1(d[at])), f8_from_w8(_mm256_sub_epi32(sum, shift)), acc[j]);
        }
    }
    UNROLL
    for (int j = 0; j < NM; j++) f8_store(y + j * y_stride, acc[j]);
}

ALWAYS void eight_q8_0(float *y, int64_t y_stride, const uint8_t *w, int64_t row_bytes, const goss_acts *x,
                       int64_t row, const int NM)
{
    const int64_t nb = x->n / GOSS_BLOCK, stride = x->n;
    const int8_t *q = x->q + row * stride;
    const float *d = x->d + row * nb;
    f8 acc[FEW];
    UNROLL
    for (int j = 0; j < NM; j++) acc[j] = f8_set1(0.0f);
    for (int64_t b = 0; b < nb; b++) {
        const uint8_t *p[8];
        b32 r[8];
        w8 sum[FEW];
        UNROLL8
        for (int i = 0; i < 8; i++) {
            p[i] = w + i * row_bytes + b * 34;
            r[i] = b32_load(p[i] + 2);
        }
        ask(w + 8 * row_bytes, b, 272);
        b32_transpose(r);
        UNROLL8
        for (int k = 0; k < 8; k++) {
            const __m256i most = _mm256_abs_epi8(r[k]);
            UNROLL
            for (int j = 0; j < NM; j++) {
                const __m256i v = b32_bcast4(q + j * stride + b * GOSS_BLOCK + k * 4);
                sum[j] = w8_dot_abs(k ? sum[j] : w8_zero(), most, r[k], v);
            }
        }
        const f8 scale = scales_f16(p);
        UNROLL
        for (int j = 0; j < NM; j++)
            acc[j] = f8_fma(f8_mul(scale, f8_set1(d[j * nb + b])), f8_from_w8(sum[j]), acc[j]);
    }
    UNROLL
    for (int j = 0; j < NM; j++) f8_store(y + j * y_stride, acc[j]);
}

ALWAYS void eight(float *y, int64_t y_stride, const uint8_t *w, int64_t row_bytes, const goss_acts *x, int64_t row,
                  const int NM, const int mxfp4)
{
    if (mxfp4) eight_mxfp4(y, y_stride, w, row_bytes, x, row, NM);
    else eight_q8_0(y, y_stride, w, row_bytes, x, row, NM);
}

/* At most 16 rows times m, slab by slab; more: 16 more rows follow in this call. */
ALWAYS void sixteen(float *y, int64_t y_stride, const uint8_t *w, int64_t row_bytes, int n_rows, int more,
                    const goss_acts *x, int first, int m, const int mxfp4)
{
    _Alignas(32) uint8_t q[SLAB * 512];
    _Alignas(32) float s[SLAB * GOSS_TILE_ROWS], part[16 * GOSS_TILE_ROWS];
    const int64_t nb = x->n / GOSS_BLOCK, stride = n_rows < GOSS_TILE_ROWS ? GOSS_TILE_ROWS : y_stride;
    float *to = n_rows < GOSS_TILE_ROWS ? part : y;
    for (int64_t b = 0; b < nb; b += SLAB) {
        const slab t = { q, s, mxfp4 ? 12 : Q8_0_BIAS, b, b + SLAB < nb ? b + SLAB : nb };
        const int64_t bytes = mxfp4 ? 17 : 34;
        const int64_t next = t.to < nb ? SLAB * bytes : more ? 16 * row_bytes - b * bytes : 0;
        if (mxfp4) pack_mxfp4_blocks(q, s, w, row_bytes, n_rows, 12, t.from, t.to, next);
        else pack_q8_0_blocks(q, s, w, row_bytes, n_rows, Q8_0_BIAS, t.from, t.to, next);
        gemm_slab(to, stride, &t, x, first, m, mxfp4);
    }
    for (int j = 0; to == part && j < m; j++)
        memcpy(y + j * y_stride, part + j * GOSS_TILE_ROWS, (size_t)n_rows * sizeof *y);
}

ALWAYS void few_rows(float *y, int64_t y_stride, const uint8_t *w, int64_t row_bytes, int n_rows, const goss_acts *x,
                     int first, int m, const int mxfp4)
{
    int i = 0;
    if (m <= FEW)
        for (; i + 8 <= n_rows; i += 8) {
            float *to = y + i;
            const uint8_t *at = AT(i);
            switch (m) {
            case 1: eight(to, y_stride, at, row_bytes, x, first, 1, mxfp4); break;
            case 2: eight(to, y_stride, at, row_bytes, x, first, 2, mxfp4); break;
            case 3: eight(to, y_stride, at, row_bytes, x, first, 3, mxfp4); break;
            case 4: eight(to, y_stride, at, row_bytes, x, first, 4, mxfp4); break;
            default: eight(to, y_stride, at, row_bytes, x, first, 5, mxfp4); break;
            }
        }
    for (; i < n_rows; i += GOSS_TILE_ROWS)
        sixteen(y + i, y_stride, AT(i), row_bytes, n_rows - i < GOSS_TILE_ROWS ? n_rows - i : GOSS_TILE_ROWS,
                n_rows - i >= 2 * GOSS_TILE_ROWS, x, first, m, mxfp4);
}
static void matvec_mxfp4_few GOSS_MATVEC_ARGS { few_rows(y, y_stride, w, row_bytes, n_rows, x, first, m, 1); }
static void matvec_q8_0_few GOSS_MATVEC_ARGS { few_rows(y, y_stride, w, row_bytes, n_rows, x, first, m, 0); }
#endif
