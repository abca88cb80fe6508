/* kern_amx.c - AMX int8 tiles for gemm: 16 weight rows by 16 activation rows by 32 products an instruction.
 *
 * A tile of weights (GOSS_TILE_SIGNED) is already what TDPBSSD wants as its second operand: row k holds four
 * elements of each of the 16 weight rows. A block of 32 is one instruction: its int32 results leave the tile
 * to be scaled in float, since every block has scales of its own. Even and odd blocks have tiles of their
 * own, so that one is scaled while the other is multiplied.
 *   tmm0, tmm1   16 activation rows by 32 bytes   tmm2, tmm3   8 by 64 bytes of weights   tmm4, tmm5   16 by 16 int32
 * Types with two scales a block (Q2_K, Q3_K, Q6_K) take signed products of AVX-512 VNNI over the same tiles;
 * calls of few rows
 * never come here (matvec is the lower levels').
 * The processor and the system must both allow tiles: goss_os_cpu_features asks for them. */
#include "kern.h"
#include <immintrin.h>
#include <string.h>
#define ALWAYS static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

enum { M = 16 };

/* Shapes of the tiles: palette 1; rows, and bytes a row; m activation rows. */
typedef struct tile_config {
    uint8_t palette, start, zero[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} tile_config;
static void configure(int m)
{
    tile_config c = { .palette = 1 };
    const int rows[6] = { m, m, 8, 8, m, m }, bytes[6] = { 32, 32, 64, 64, 64, 64 };
    for (int i = 0; i < 6; i++) {
        c.rows[i] = (uint8_t)rows[i];
        c.bytes[i] = (uint16_t)bytes[i];
    }
    /* gcc's _tile_loadconfig claims to read 8 bytes of it */
    __asm__ volatile("" : : "m"(c));
    _tile_loadconfig(&c);
}

/* One block: sums (activation rows, 16 weight rows) = its products. Even and odd blocks have tiles of their
 * own. */
ALWAYS void multiply_even(int32_t *sums, const uint8_t *w, const int8_t *q, int64_t stride)
{
    _tile_zero(4);
    _tile_loadd(2, w, 64);
    _tile_loadd(0, q, stride);
    _tile_dpbssd(4, 0, 2);
    _tile_stored(4, sums, 64);
}
ALWAYS void multiply_odd(int32_t *sums, const uint8_t *w, const int8_t *q, int64_t stride)
{
    _tile_zero(5);
    _tile_loadd(3, w, 64);
    _tile_loadd(1, q, stride);
    _tile_dpbssd(5, 1, 3);
    _tile_stored(5, sums, 64);
}

/* sums (m rows of 16 int32) to floats: acc += sums * (weight scales * the row's scale), and minima times the
 * row's sum. */
ALWAYS void scale_rows(float *acc, const int32_t *sums, const float *ws, const float *wm, const float *d,
                       const int16_t *s, int64_t nb, int m)
{
    const __m512 sw = _mm512_loadu_ps(ws);
    for (int j = 0; j < m; j++) {
        const float dj = d[j * nb];
        __m512 a = _mm512_loadu_ps(acc + j * 16);
        a = _mm512_fmadd_ps(_mm512_mul_ps(sw, _mm512_set1_ps(dj)),
                            _mm512_cvtepi32_ps(_mm512_loadu_si512(sums + j * 16)), a);
        if (wm)
            a = _mm512_fmadd_ps(_mm512_loadu_ps(wm),
                                _mm512_set1_ps(dj * (float)(s[2 * j * nb] + s[2 * j * nb + 1])), a);
        _mm512_storeu_ps(acc + j * 16, a);
    }
}

/* Sixteen activation rows from `row` on. Their sums stay in 16 registers; a block's products leave the tile
 * while the next block is multiplied into the other one. */
ALWAYS void gemm_16(float *y, int64_t y_stride, const goss_tile *t, const goss_acts *x, int64_t row,
                    const int min)
{
    const int64_t nb = t->n / GOSS_BLOCK, stride = x->n;
    const int8_t *q = x->q + row * x->n;
    const float *d = x->d + row * nb;
    const int16_t *s = x->s + row * nb * 2;
    _Alignas(64) int32_t sums[2][M * 16];
    __m512 acc[M];
    UNROLL
    for (int j = 0; j < M; j++) acc[j] = _mm512_setzero_ps();
    multiply_even(sums[0], t->q, q, stride);
    for (int64_t b = 0; b < nb; b++) {
        if (b + 1 < nb && b & 1)
            multiply_even(sums[0], t->q + (b + 1) * 512, q + (b + 1) * GOSS_BLOCK, stride);
        else if (b + 1 < nb) multiply_odd(sums[1], t->q + (b + 1) * 512, q + (b + 1) * GOSS_BLOCK, stride);
        const int32_t *p = sums[b & 1];
        const __m512 ws = _mm512_loadu_ps(t->s + b * GOSS_TILE_ROWS);
        UNROLL
        for (int j = 0; j < M; j++) {
            const __m512 scale = _mm512_mul_ps(ws, _mm512_set1_ps(d[j * nb + b]));
            acc[j] = _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(_mm512_loadu_si512(p + j * 16)), acc[j]);
        }
        if (!min) continue;
        const __m512 wm = _mm512_loadu_ps(t->m + b * GOSS_TILE_ROWS);
        UNROLL
        for (int j = 0; j < M; j++) {
            const int16_t *sj = s + 2 * (j * nb + b);
            acc[j] = _mm512_fmadd_ps(wm, _mm512_set1_ps(d[j * nb + b] * (float)(sj[0] + sj[1])), acc[j]);
        }
    }
    const __mmask16 lanes = (__mmask16)(0xffffu >> (16 - t->n_rows));
    UNROLL
    for (int j = 0; j < M; j++) _mm512_mask_storeu_ps(y + j * y_stride, lanes, acc[j]);
}

/* The same for m < 16 rows, whose sums lie in memory. */
static void gemm_some(float *y, int64_t y_stride, const goss_tile *t, const goss_acts *x, int64_t row, int m)
{
    const int64_t nb = t->n / GOSS_BLOCK;
    const int8_t *q = x->q + row * x->n;
    _Alignas(64) float acc[M * 16];
    _Alignas(64) int32_t sums[M * 16];
    memset(acc, 0, sizeof acc);
    for (int64_t b = 0; b < nb; b++) {
        multiply_even(sums, t->q + b * 512, q + b * GOSS_BLOCK, x->n);
        scale_rows(acc, sums, t->s + b * GOSS_TILE_ROWS, t->has_min ? t->m + b * GOSS_TILE_ROWS : NULL,
                   x->d + row * nb + b, x->s + 2 * (row * nb + b), nb, m);
    }
    const __mmask16 lanes = (__mmask16)(0xffffu >> (16 - t->n_rows));
    for (int j = 0; j < m; j++) _mm512_mask_storeu_ps(y + j * y_stride, lanes, _mm512_load_ps(acc + j * 16));
}

/* Two scales a block (Q2_K, Q3_K, Q6_K): signed bytes on VNNI, by |w| times x with w's sign, as the AVX2 level does. */
ALWAYS __m512i signed_dot(__m512i c, __m512i w, __m512i x)
{
    const __m512i minus = _mm512_mask_sub_epi8(x, _mm512_movepi8_mask(w), _mm512_setzero_si512(), x);
    return _mm512_dpbusd_epi32(c, _mm512_abs_epi8(w), minus);
}
static void gemm_halves(float *y, int64_t y_stride, const goss_tile *t, const goss_acts *x, int64_t row)
{
    const int64_t nb = t->n / GOSS_BLOCK;
    const int8_t *q = x->q + row * x->n;
    __m512 acc = _mm512_setzero_ps();
    for (int64_t g = 0; g < 2 * nb; g++) {
        const float d = x->d[row * nb + g / 2];
        __m512i p = _mm512_setzero_si512();
        for (int64_t k = g * 4; k < g * 4 + 4; k++) {
            int v;
            memcpy(&v, q + k * 4, 4);
            p = signed_dot(p, _mm512_loadu_si512(t->q + k * 64), _mm512_set1_epi32(v));
        }
        acc = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_loadu_ps(t->s + g * GOSS_TILE_ROWS), _mm512_set1_ps(d)),
                              _mm512_cvtepi32_ps(p), acc);
        if (t->has_min)
            acc = _mm512_fmadd_ps(_mm512_loadu_ps(t->m + g * GOSS_TILE_ROWS),
                                  _mm512_set1_ps(d * (float)x->s[row * nb * 2 + g]), acc);
    }
    _mm512_mask_storeu_ps(y, (__mmask16)(0xffffu >> (16 - t->n_rows)), acc);
    (void)y_stride;
}

static void gemm_amx(float *y, int64_t y_stride, const goss_tile *t, const goss_acts *x, int first, int m)
{
    if (t->groups == 2) {
        for (int j = 0; j < m; j++) gemm_halves(y + j * y_stride, y_stride, t, x, first + j);
        return;
    }
    int j = 0;
    if (m >= M) configure(M);
    for (; j + M <= m; j += M) {
        float *to = y + j * y_stride;
        if (t->has_min) gemm_16(to, y_stride, t, x, first + j, 1);
        else gemm_16(to, y_stride, t, x, first + j, 0);
    }
    if (j < m) {
        configure(m - j);
        gemm_some(y + j * y_stride, y_stride, t, x, first + j, m - j);
    }
    _tile_release();
}

void goss_kern_init_amx(goss_kern *k)
{
    k->gemm = gemm_amx;
    k->tile_form = GOSS_TILE_SIGNED;
}
