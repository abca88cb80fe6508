/* tile_avx2.h - AVX2's own tiles: packing of MXFP4 and Q8_0, and products with many rows. Part of
 * close_avx2.h.
 *
 *   pack    16 rows of MXFP4 are transposed while they are still nibbles, a quarter of the bytes
 *   gemm    16 weight rows by two activation rows: a broadcast serves two registers of weights, and all sums stay in
 *           registers (the body's 8 by 4 does not fit 16 of them: 52 against 103 G products/s on a Zen 3). AVX-VNNI
 *           takes three, and all types as unsigned: a block's sum begins at what the bias of its weights takes back */
#ifndef GOSS_CPU_TILE_AVX2_H
#define GOSS_CPU_TILE_AVX2_H
#include "body.h"

#define AT(i) ((const uint8_t *)w + (i) * row_bytes)
#define UNROLL8 _Pragma("GCC unroll 8")

/* ---- eight rows of a block ----------------------------------------------------------------------------- */
/* Their scales: the first byte as goss_mxfp4_scale has it, or the first two as an f16. */
ALWAYS f8 scales_mxfp4(const uint8_t *const p[8])
{
    /* gathered by the integer units: the vector units' shuffles are what a block's product waits for */
    uint64_t e = 0;
    UNROLL8
    for (int i = 7; i >= 0; i--) e = e << 8 | p[i][0];
    const __m256i v = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)e)), one = _mm256_set1_epi32(1);
    const __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(v, one), 23);
    /* e = 0 and 1 are subnormal */
    const __m256i tiny = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), v);
    return _mm256_castsi256_ps(_mm256_blendv_epi8(tiny, normal, _mm256_cmpgt_epi32(v, one)));
}
ALWAYS f8 scales_f16(const uint8_t *const p[8])
{
    uint16_t h[8];
    UNROLL8
    for (int i = 0; i < 8; i++) memcpy(&h[i], p[i], 2);
    __m128i v = _mm_cvtsi32_si128(h[0]);
    v = _mm_insert_epi16(v, h[1], 1); v = _mm_insert_epi16(v, h[2], 2); v = _mm_insert_epi16(v, h[3], 3);
    v = _mm_insert_epi16(v, h[4], 4); v = _mm_insert_epi16(v, h[5], 5); v = _mm_insert_epi16(v, h[6], 6);
    v = _mm_insert_epi16(v, h[7], 7);
    return _mm256_cvtph_ps(v);
}
/* The first n lanes, the others 0. */
ALWAYS f8 f8_first(f8 v, int n)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_and_ps(v, _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane)));
}
/* a[i]: rows i and 4 + i, 16 bytes each; c[k]: bytes 4 k .. 4 k + 3 of rows 0 to 7. */
ALWAYS void transpose_codes(__m256i c[4], const __m256i a[4])
{
    const __m256i b0 = _mm256_unpacklo_epi32(a[0], a[1]), b1 = _mm256_unpackhi_epi32(a[0], a[1]);
    const __m256i b2 = _mm256_unpacklo_epi32(a[2], a[3]), b3 = _mm256_unpackhi_epi32(a[2], a[3]);
    c[0] = _mm256_unpacklo_epi64(b0, b2); c[1] = _mm256_unpackhi_epi64(b0, b2);
    c[2] = _mm256_unpacklo_epi64(b1, b3); c[3] = _mm256_unpackhi_epi64(b1, b3);
}
/* 16 bytes of each row, from `at` on: word k of the eight rows in c[k]. */
ALWAYS void load_four(__m256i c[4], const uint8_t *const p[8], int at)
{
    __m256i a[4]; /* lane l of a[i]: row 4 l + i */
    UNROLL
    for (int i = 0; i < 4; i++)
        a[i] = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const void *)(p[i] + at))),
                                       _mm_loadu_si128((const void *)(p[i + 4] + at)), 1);
    transpose_codes(c, a);
}

/* ---- pack ---------------------------------------------------------------------------------------------- */
/* Blocks [from, to) of rows 0..n_rows-1 (at most 16; the others become zero) to a tile's q and s. What lies
 * `next` bytes further on is asked for; 0: nothing. */
ALWAYS void pack_mxfp4_blocks(uint8_t *q, float *s, const uint8_t *w, int64_t row_bytes, int n_rows, int bias,
                              int64_t from, int64_t to, int64_t next)
{
    static const uint8_t nothing[17];
    const __m128i values = _mm_loadu_si128((const void *)goss_mxfp4_values);
    const __m256i low = _mm256_set1_epi8(15);
    const __m256i table = _mm256_add_epi8(_mm256_broadcastsi128_si256(values), _mm256_set1_epi8((char)bias));
    const uint8_t *row[16];
    int64_t step[16];
    for (int i = 0; i < 16; i++) {
        row[i] = i < n_rows ? AT(i) + from * 17 : nothing;
        step[i] = i < n_rows ? 17 : 0;
    }
    for (int64_t b = from; b < to; b++, q += 512, s += GOSS_TILE_ROWS)
        for (int half = 0; half < 2; half++) {
            const uint8_t *p[8];
            UNROLL8
            for (int i = 0; i < 8; i++) {
                p[i] = row[half * 8 + i];
                row[half * 8 + i] += step[half * 8 + i];
            }
            if (next) { /* a line of each row every fourth block */
                __builtin_prefetch(p[b & 3] + next, 0, 2);
                __builtin_prefetch(p[4 + (b & 3)] + next, 0, 2);
            }
            const f8 scale = scales_mxfp4(p);
            f8_store(s + half * 8, n_rows >= half * 8 + 8 ? scale : f8_first(scale, n_rows - half * 8));
            __m256i c[4];
            load_four(c, p, 1);
            uint8_t *to_q = q + half * 32;
            UNROLL
            for (int k = 0; k < 4; k++) { /* c[k]: bytes 4 k .. 4 k + 3 of the eight rows */
                b32_store(to_q + k * 64, _mm256_shuffle_epi8(table, _mm256_and_si256(c[k], low)));
                b32_store(to_q + k * 64 + 256,
                          _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(c[k], 4), low)));
            }
        }
}
static void pack_mxfp4_close GOSS_PACK_ARGS
{
    t->n = n; t->n_rows = n_rows; t->groups = 1; t->has_min = 0; t->small = 1; t->bias = tile_bias(t->form, 0, 12);
    pack_mxfp4_blocks(t->q, t->s, w, row_bytes, n_rows, t->bias, 0, n / GOSS_BLOCK, 0);
}
ALWAYS void pack_q8_0_blocks(uint8_t *q, float *s, const uint8_t *w, int64_t row_bytes, int n_rows, int bias,
                             int64_t from, int64_t to, int64_t next)
{
    for (int64_t b = from; b < to; b++, q += 512, s += GOSS_TILE_ROWS)
        for (int half = 0; half < 2; half++) {
            static const uint8_t nothing[34];
            const uint8_t *p[8];
            b32 r[8];
            UNROLL8
            for (int i = 0; i < 8; i++) {
                p[i] = half * 8 + i < n_rows ? AT(half * 8 + i) + b * 34 : nothing;
                r[i] = b32_add(b32_load(p[i] + 2), b32_set1(bias));
            }
            if (next) { /* a line of each row every second block */
                UNROLL
                for (int i = 0; i < 4; i++) __builtin_prefetch(p[i * 2 + (b & 1)] + next, 0, 2);
            }
            f8_store(s + half * 8, scales_f16(p));
            b32_transpose(r);
            UNROLL8
            for (int k = 0; k < 8; k++) b32_store(q + k * 64 + half * 32, r[k]);
        }
}
static void pack_q8_0_close GOSS_PACK_ARGS
{
    t->n = n; t->n_rows = n_rows; t->groups = 1; t->has_min = 0; t->small = t->form == GOSS_TILE_UNSIGNED;
    t->bias = tile_bias(t->form, 0, -1);
    pack_q8_0_blocks(t->q, t->s, w, row_bytes, n_rows, t->bias, 0, n / GOSS_BLOCK, 0);
}

enum { SLAB = 30 /* blocks of a tile that stay in the first cache, 15 KB, while all activation rows pass */ };
/* Blocks [from, to) of a tile of 16 rows. */
typedef struct slab { const uint8_t *q; const float *s; int bias; int64_t from, to; } slab;
/* ---- gemm of 16 weight rows by NM activation rows ------------------------------------------------------ */
/* TILE_ACTS: the most that keeps all sums in 16 registers: without sums in int16 there is room for a third row.
 * Q8_0_BIAS: of Q8_0's weights in a slab. */
#ifdef SIMD_VNNI
enum { TILE_ACTS = 3, Q8_0_BIAS = 128 };
#else
enum { TILE_ACTS = 2, Q8_0_BIAS = 0 };
#endif
/* Weights are read once, not again for each use, and sums grow in order: gcc would load again, or turn the
 * sum into a tree that needs more than 16 registers. Loads are what bounds these loops. */
#define KEEP(v) __asm__("" : "+x"(v))
#ifndef SIMD_VNNI
/* Half a block (16 of its 32 elements) of 16 rows; small types: w is unsigned. */
ALWAYS void half_small(m16 a[TILE_ACTS][2], const uint8_t *w, const int8_t *q, int64_t stride, const int NM)
{
    UNROLL
    for (int k = 0; k < 4; k++) {
        __m256i w0 = b32_load(w + k * 64), w1 = b32_load(w + k * 64 + 32);
        KEEP(w0);
        KEEP(w1);
        UNROLL
        for (int j = 0; j < NM; j++) {
            const __m256i x = b32_bcast4(q + j * stride + k * 4);
            a[j][0] = k ? m16_dot(a[j][0], w0, x) : m16_first(w0, x);
            a[j][1] = k ? m16_dot(a[j][1], w1, x) : m16_first(w1, x);
            KEEP(a[j][0]);
            KEEP(a[j][1]);
        }
    }
}
ALWAYS void gemm_small(float *y, int64_t y_stride, const slab *t, const goss_acts *x, int64_t row, const int NM)
{
    const int64_t nb = x->n / GOSS_BLOCK, stride = x->n, from = t->from, to = t->to;
    const int8_t *q = x->q + row * stride;
    const float *d = x->d + row * nb;
    const int16_t *s = x->s + row * nb * 2;
    f8 acc[TILE_ACTS][2];
    UNROLL
    for (int j = 0; j < NM; j++)
        for (int h = 0; h < 2; h++) acc[j][h] = from ? f8_load(y + j * y_stride + 8 * h) : f8_set1(0.0f);
    for (int64_t b = from; b < to; b++) {
        const uint8_t *w = t->q + (b - from) * 512;
        m16 a[TILE_ACTS][2];
        w8 p[TILE_ACTS][2];
        half_small(a, w, q + b * GOSS_BLOCK, stride, NM);
        UNROLL
        for (int j = 0; j < NM; j++) {
            const __m256i shift = w8_set1(t->bias * (s[2 * (j * nb + b)] + s[2 * (j * nb + b) + 1]));
            p[j][0] = _mm256_sub_epi32(w8_from_m16(a[j][0]), shift);
            p[j][1] = _mm256_sub_epi32(w8_from_m16(a[j][1]), shift);
        }
        half_small(a, w + 256, q + b * GOSS_BLOCK + 16, stride, NM);
        const float *ws = t->s + (b - from) * GOSS_TILE_ROWS;
        const f8 s0 = f8_load(ws), s1 = f8_load(ws + 8);
        UNROLL
        for (int j = 0; j < NM; j++) {
            const f8 dj = f8_set1(d[j * nb + b]);
            p[j][0] = w8_add(p[j][0], w8_from_m16(a[j][0]));
            p[j][1] = w8_add(p[j][1], w8_from_m16(a[j][1]));
            acc[j][0] = f8_fma(f8_mul(s0, dj), f8_from_w8(p[j][0]), acc[j][0]);
            acc[j][1] = f8_fma(f8_mul(s1, dj), f8_from_w8(p[j][1]), acc[j][1]);
        }
    }
    UNROLL
    for (int j = 0; j < NM; j++) { f8_store(y + j * y_stride, acc[j][0]); f8_store(y + j * y_stride + 8, acc[j][1]); }
}

ALWAYS w8 block_start(const slab *t, const int16_t *s) { (void)t; (void)s; return w8_zero(); }
ALWAYS w8 block_dot(w8 c, b32 w, b32 x) { return w8_dot(c, w, x); }
#else
ALWAYS w8 block_start(const slab *t, const int16_t *s) { return w8_set1(-t->bias * (s[0] + s[1])); }
ALWAYS w8 block_dot(w8 c, b32 w, b32 x) { return m16_dot(c, w, x); }
#endif

/* Types that need all eight bits: |w| times x with w's sign, widened at once. AVX-VNNI: all types, unsigned. */
ALWAYS void gemm_bytes(float *y, int64_t y_stride, const slab *t, const goss_acts *x, int64_t row, const int NM)
{
    const int64_t nb = x->n / GOSS_BLOCK, stride = x->n, from = t->from, to = t->to;
    const int8_t *q = x->q + row * stride;
    const float *d = x->d + row * nb;
    const int16_t *s = x->s + row * nb * 2;
    f8 acc[TILE_ACTS][2];
    UNROLL
    for (int j = 0; j < NM; j++)
        for (int h = 0; h < 2; h++) acc[j][h] = from ? f8_load(y + j * y_stride + 8 * h) : f8_set1(0.0f);
    for (int64_t b = from; b < to; b++) {
        const uint8_t *w = t->q + (b - from) * 512;
        w8 p[TILE_ACTS][2];
        UNROLL
        for (int j = 0; j < NM; j++) p[j][0] = p[j][1] = block_start(t, s + 2 * (j * nb + b));
        UNROLL8
        for (int k = 0; k < 8; k++) {
            __m256i w0 = b32_load(w + k * 64), w1 = b32_load(w + k * 64 + 32);
            KEEP(w0);
            KEEP(w1);
            UNROLL
            for (int j = 0; j < NM; j++) {
                const __m256i v = b32_bcast4(q + j * stride + b * GOSS_BLOCK + k * 4);
                p[j][0] = block_dot(p[j][0], w0, v);
                p[j][1] = block_dot(p[j][1], w1, v);
                KEEP(p[j][0]);
                KEEP(p[j][1]);
            }
        }
        const float *ws = t->s + (b - from) * GOSS_TILE_ROWS;
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

ALWAYS void gemm_acts(float *y, int64_t y_stride, const slab *t, const goss_acts *x, int64_t row, const int small,
                      const int NM)
{
#ifndef SIMD_VNNI
    if (small) {
        gemm_small(y, y_stride, t, x, row, NM);
        return;
    }
#endif
    (void)small;
    gemm_bytes(y, y_stride, t, x, row, NM);
}
/* All m rows. */
ALWAYS void gemm_slab(float *y, int64_t y_stride, const slab *t, const goss_acts *x, int64_t first, int m,
                      const int small)
{
    int j = 0;
    for (; j + TILE_ACTS <= m; j += TILE_ACTS) gemm_acts(y + j * y_stride, y_stride, t, x, first + j, small, TILE_ACTS);
    if (TILE_ACTS > 2 && m - j == 2) gemm_acts(y + j * y_stride, y_stride, t, x, first + j, small, 2);
    if (m - j == 1) gemm_acts(y + j * y_stride, y_stride, t, x, first + j, small, 1);
}
static void gemm_close(float *y, int64_t y_stride, const goss_tile *t, const goss_acts *x, int first, int m)
{
    const int64_t nb = t->n / GOSS_BLOCK;
    if (t->groups != 1 || t->has_min || t->n_rows < GOSS_TILE_ROWS) { K(gemm)(y, y_stride, t, x, first, m); return; }
    for (int64_t b = 0; b < nb; b += SLAB) {
        const slab part = { t->q + b * 512, t->s + b * GOSS_TILE_ROWS, t->bias, b, b + SLAB < nb ? b + SLAB : nb };
        if (t->small) gemm_slab(y, y_stride, &part, x, first, m, 1);
        else gemm_slab(y, y_stride, &part, x, first, m, 0);
    }
}
#endif
