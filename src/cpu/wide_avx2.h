/* wide_avx2.h - AVX2's products of Q8_0 with activations of 16 bits, for few rows and many. Part of
 * close_avx2.h.
 *
 * For up to three activation rows eight weight rows are widened in registers; for more, sixteen are widened to int16
 * slab by slab in the first cache, pairs of elements side by side. vpmaddwd adds two products to int32:
 * |sum of a block| <= 32 * 127 * 32767 < 2^31. Blocks are added in order: a row's result is the same to the bit in
 * any batch. Two planes of int8 instead (what other levels do) need four operations for 16 products where this needs
 * two. */
#ifndef GOSS_CPU_WIDE_AVX2_H
#define GOSS_CPU_WIDE_AVX2_H
#include "few_avx2.h"

enum { WIDE_SLAB = 15 /* blocks: 15 KB */, WIDE_BLOCK = 512 /* int16 of a block of 16 rows */,
       WIDE_FEW = 3 /* activation rows taken at once without a slab */ };
#ifdef SIMD_VNNI
enum { WIDE_ROWS = 4 }; /* with a slab: eight sums in flight, since each waits five cycles for the one before */
#else
enum { WIDE_ROWS = 2 };
#endif

/* Block b of eight rows (p): for each pair of elements, the pairs of the rows, 16 rows apart in `to`. */
ALWAYS void widen_eight(int16_t *to, const uint8_t *const p[8])
{
    const __m256i first = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(-1, 0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13));
    const __m256i second = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(-1, 2, -1, 3, -1, 6, -1, 7, -1, 10, -1, 11, -1, 14, -1, 15));
    b32 r[8];
    UNROLL8
    for (int i = 0; i < 8; i++) r[i] = b32_load(p[i] + 2);
    b32_transpose(r);
    UNROLL8
    for (int k = 0; k < 8; k++) {
        b32_store(to + k * 64, _mm256_srai_epi16(_mm256_shuffle_epi8(r[k], first), 8));
        b32_store(to + k * 64 + 32, _mm256_srai_epi16(_mm256_shuffle_epi8(r[k], second), 8));
    }
}
ALWAYS void widen_q8_0(int16_t *q, float *s, const uint8_t *w, int64_t row_bytes, int n_rows, int64_t from, int64_t to)
{
    static const uint8_t nothing[34];
    for (int64_t b = from; b < to; b++, q += WIDE_BLOCK, s += GOSS_TILE_ROWS)
        for (int half = 0; half < 2; half++) {
            const uint8_t *p[8];
            UNROLL8
            for (int i = 0; i < 8; i++) p[i] = half * 8 + i < n_rows ? AT(half * 8 + i) + b * 34 : nothing;
            widen_eight(q + half * 16, p);
            f8_store(s + half * 8, scales_f16(p));
            ask(w + 16 * row_bytes, 2 * b + half, 272);
        }
}

/* Blocks [from, to) of 16 weight rows times NM (up to WIDE_ROWS) activation rows, added to y (from 0: set). */
ALWAYS void gemm_wide(float *y, int64_t y_stride, const int16_t *w, const float *ws, const goss_wide *x, int64_t row,
                      int64_t from, int64_t to, const int NM)
{
    const int64_t nb = x->n / GOSS_BLOCK, stride = x->n;
    const int16_t *q = x->q + row * stride;
    const float *d = x->d + row * nb;
    f8 acc[WIDE_ROWS][2];
    UNROLL
    for (int j = 0; j < NM; j++)
        for (int h = 0; h < 2; h++) acc[j][h] = from ? f8_load(y + j * y_stride + 8 * h) : f8_set1(0.0f);
    for (int64_t b = from; b < to; b++, w += WIDE_BLOCK, ws += GOSS_TILE_ROWS) {
        __m256i p[WIDE_ROWS][2];
        _Pragma("GCC unroll 16")
        for (int k = 0; k < 16; k++) {
            __m256i w0 = b32_load(w + k * 32), w1 = b32_load(w + k * 32 + 16);
            KEEP(w0);
            KEEP(w1);
            UNROLL
            for (int j = 0; j < NM; j++) {
                const __m256i v = b32_bcast4(q + j * stride + b * GOSS_BLOCK + k * 2);
                p[j][0] = k ? w8_pairs(p[j][0], w0, v) : w8_pairs_first(w0, v);
                p[j][1] = k ? w8_pairs(p[j][1], w1, v) : w8_pairs_first(w1, v);
                KEEP(p[j][0]);
                KEEP(p[j][1]);
            }
        }
        const f8 s0 = f8_load(ws), s1 = f8_load(ws + 8);
        UNROLL
        for (int j = 0; j < NM; j++) {
            const f8 dj = f8_set1(d[j * nb + b]);
            acc[j][0] = f8_fma(f8_mul(s0, dj), f8_from_w8(p[j][0]), acc[j][0]);
            acc[j][1] = f8_fma(f8_mul(s1, dj), f8_from_w8(p[j][1]), acc[j][1]);
        }
    }
    UNROLL
    for (int j = 0; j < NM; j++) { f8_store(y + j * y_stride, acc[j][0]); f8_store(y + j * y_stride + 8, acc[j][1]); }
}

/* The sums of v[0] to v[7], one a lane. */
ALWAYS w8 sum_eight(const w8 v[8])
{
    w8 t[4], u[2];
    UNROLL
    for (int i = 0; i < 4; i++)
        t[i] = w8_add(_mm256_unpacklo_epi32(v[2 * i], v[2 * i + 1]), _mm256_unpackhi_epi32(v[2 * i], v[2 * i + 1]));
    UNROLL
    for (int i = 0; i < 2; i++)
        u[i] = w8_add(_mm256_unpacklo_epi64(t[2 * i], t[2 * i + 1]), _mm256_unpackhi_epi64(t[2 * i], t[2 * i + 1]));
    return w8_add(_mm256_permute2x128_si256(u[0], u[1], 0x20), _mm256_permute2x128_si256(u[0], u[1], 0x31));
}

/* Eight weight rows straight from the file times NM activation rows: a block's sum is a whole number, so its
 * order is free: here a lane is a pair of elements, and lanes are added across at a block's end. */
ALWAYS void eight_wide(float *y, int64_t y_stride, const uint8_t *w, int64_t row_bytes, const goss_wide *x, int64_t row,
                       const int NM)
{
    const int64_t nb = x->n / GOSS_BLOCK, stride = x->n;
    const int16_t *q = x->q + row * stride;
    const float *d = x->d + row * nb;
    f8 acc[WIDE_FEW];
    UNROLL
    for (int j = 0; j < NM; j++) acc[j] = f8_set1(0.0f);
    for (int64_t b = 0; b < nb; b++) {
        const uint8_t *p[8];
        w8 sum[WIDE_FEW][8];
        ask(w + 8 * row_bytes, b, 272);
        UNROLL8
        for (int i = 0; i < 8; i++) {
            p[i] = w + i * row_bytes + b * 34;
            const __m256i w0 = _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)(p[i] + 2)));
            const __m256i w1 = _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)(p[i] + 18)));
            UNROLL
            for (int j = 0; j < NM; j++) {
                const int16_t *at = q + j * stride + b * GOSS_BLOCK;
                sum[j][i] = w8_pairs(w8_pairs_first(w0, b32_load(at)), w1, b32_load(at + 16));
            }
        }
        const f8 scale = scales_f16(p);
        UNROLL
        for (int j = 0; j < NM; j++)
            acc[j] = f8_fma(f8_mul(scale, f8_set1(d[j * nb + b])), f8_from_w8(sum_eight(sum[j])), acc[j]);
    }
    UNROLL
    for (int j = 0; j < NM; j++) f8_store(y + j * y_stride, acc[j]);
}

/* 16 weight rows (n_rows of them real) times rows [first, first + m); y has room for 16 values a row. */
static void wide_sixteen(float *y, int64_t y_stride, const uint8_t *w, int64_t row_bytes, int n_rows,
                         const goss_wide *x, int first, int m)
{
    _Alignas(32) int16_t q[WIDE_SLAB * WIDE_BLOCK];
    _Alignas(32) float s[WIDE_SLAB * GOSS_TILE_ROWS];
    const int64_t nb = x->n / GOSS_BLOCK;
    for (int64_t b = 0; b < nb; b += WIDE_SLAB) {
        const int64_t to = b + WIDE_SLAB < nb ? b + WIDE_SLAB : nb;
        int j = 0;
        widen_q8_0(q, s, w, row_bytes, n_rows, b, to);
        for (; j + WIDE_ROWS <= m; j += WIDE_ROWS)
            gemm_wide(y + j * y_stride, y_stride, q, s, x, first + j, b, to, WIDE_ROWS);
        if (WIDE_ROWS > 2 && m - j >= 2) {
            gemm_wide(y + j * y_stride, y_stride, q, s, x, first + j, b, to, 2);
            j += 2;
        }
        if (j < m) gemm_wide(y + j * y_stride, y_stride, q, s, x, first + j, b, to, 1);
    }
}
static void K(wide_q8_0) GOSS_WIDE_ARGS
{
    int i = 0;
    for (; m == 1 && i + 8 <= n_rows; i += 8) eight_wide(y + i, y_stride, AT(i), row_bytes, x, first, 1);
    for (; m == 2 && i + 8 <= n_rows; i += 8) eight_wide(y + i, y_stride, AT(i), row_bytes, x, first, 2);
    for (; m == 3 && i + 8 <= n_rows; i += 8) eight_wide(y + i, y_stride, AT(i), row_bytes, x, first, 3);
    for (; i + GOSS_TILE_ROWS <= n_rows; i += GOSS_TILE_ROWS)
        wide_sixteen(y + i, y_stride, AT(i), row_bytes, GOSS_TILE_ROWS, x, first, m);
    for (int j = 0, k; i < n_rows && j < m; j += k) { /* what is left has no room for 16 values a row */
        float part[16 * GOSS_TILE_ROWS];
        k = m - j < 16 ? m - j : 16;
        wide_sixteen(part, GOSS_TILE_ROWS, AT(i), row_bytes, n_rows - i, x, first + j, k);
        for (int r = 0; r < k; r++)
            memcpy(y + (j + r) * y_stride + i, part + r * GOSS_TILE_ROWS, (size_t)(n_rows - i) * sizeof *y);
    }
}

static void K(widen)(const goss_wide *x, int row, const float *f)
{
    for (int64_t b = (int64_t)row * x->n / GOSS_BLOCK, end = b + x->n / GOSS_BLOCK; b < end; b++, f += GOSS_BLOCK) {
        const f8 v0 = f8_load(f), v1 = f8_load(f + 8), v2 = f8_load(f + 16), v3 = f8_load(f + 24);
        const float top = f8_top(f8_max(f8_max(f8_abs(v0), f8_abs(v1)), f8_max(f8_abs(v2), f8_abs(v3))));
        const int some = top >= 1e-30f;
        const f8 id = f8_set1(some ? 32767.0f / top : 0.0f);
        const __m256i a = _mm256_packs_epi32(w8_round(f8_mul(v0, id)), w8_round(f8_mul(v1, id)));
        const __m256i c = _mm256_packs_epi32(w8_round(f8_mul(v2, id)), w8_round(f8_mul(v3, id)));
        x->d[b] = some ? top / 32767.0f : 0.0f;
        b32_store(x->q + b * GOSS_BLOCK, _mm256_permute4x64_epi64(a, 0xd8));
        b32_store(x->q + b * GOSS_BLOCK + 16, _mm256_permute4x64_epi64(c, 0xd8));
    }
}
#endif
