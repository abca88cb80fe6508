/* body_matvec.h - few activation rows times weight rows straight from the file, for every type, in the words
 * of simd_*.h.
 *
 * Each (weight row, activation row) pair has one accumulator of eight floats, which takes the blocks in order
 * and is summed at the end. The next group's rows are asked for ahead: a row is short, and the processor's
 * own prefetch stops at each page. How many pairs run side by side depends on the call, the order within a
 * pair never does: results are bit-equal in any batch. */
#ifndef GOSS_CPU_BODY_MATVEC_H
#define GOSS_CPU_BODY_MATVEC_H
#include "body_quant.h"

/* NR weight rows times NM activation rows; both are constants at every call. */
ALWAYS void dots_q(float *y, int64_t y_stride, const uint8_t *w, int64_t row_bytes, const goss_acts *x, int first,
                   unpack_fn unpack, int min, int groups, const int NR, const int NM)
{
    const int nb = x->n / GOSS_BLOCK;
    const int8_t *q = x->q + (int64_t)first * x->n;
    const float *d = x->d + (int64_t)first * nb;
    const int16_t *s = x->s + (int64_t)first * nb * 2;
    f8 acc[4][4];
    float low[4][4];
    UNROLL
    for (int r = 0; r < NR; r++)
        UNROLL
        for (int j = 0; j < NM; j++) { acc[r][j] = f8_set1(0.0f); low[r][j] = 0.0f; }
    const int64_t block_bytes = row_bytes / nb;
    for (int b = 0; b < nb; b++) {
        x32 block[4];
        UNROLL
        for (int j = 0; j < NM; j++) block[j] = x32_load(q + (int64_t)j * x->n + b * GOSS_BLOCK);
        UNROLL
        for (int r = 0; r < NR; r++) {
            __builtin_prefetch(w + (r + NR) * row_bytes + b * block_bytes);
            const blk k = unpack(w + r * row_bytes, b);
            UNROLL
            for (int j = 0; j < NM; j++) {
                const float dj = d[(int64_t)j * nb + b];
                const w8 p = x32_dot(k.q, block[j]);
                acc[r][j] = x32_add(acc[r][j], k.s, p, dj, groups);
                const int16_t *sj = s + ((int64_t)j * nb + b) * 2;
                if (min == 1) low[r][j] += k.m0 * (dj * (float)(sj[0] + sj[1]));
                if (min == 2) low[r][j] += k.m0 * (dj * (float)sj[0]) + k.m1 * (dj * (float)sj[1]);
            }
        }
    }
    UNROLL
    for (int r = 0; r < NR; r++)
        UNROLL
        for (int j = 0; j < NM; j++) y[j * y_stride + r] = f8_sum(acc[r][j]) + low[r][j];
}

ALWAYS void rows_q(float *y, int64_t y_stride, const uint8_t *w, int64_t row_bytes, int n_rows,
                   const goss_acts *x, int first, int m, unpack_fn unpack, int min, int groups)
{
    for (int j = 0; j < m;) {
        const int k = m - j >= 4 ? 4 : m - j >= 2 ? 2 : 1;
        int i = 0;
        if (k == 4)
            for (; i < n_rows; i++)
                dots_q(y + i, y_stride, w + i * row_bytes, row_bytes, x, first + j, unpack, min, groups, 1, 4);
        if (k == 2)
            for (; i + 2 <= n_rows; i += 2)
                dots_q(y + i, y_stride, w + i * row_bytes, row_bytes, x, first + j, unpack, min, groups, 2, 2);
        if (k == 2)
            for (; i < n_rows; i++)
                dots_q(y + i, y_stride, w + i * row_bytes, row_bytes, x, first + j, unpack, min, groups, 1, 2);
        if (k == 1)
            for (; i + 4 <= n_rows; i += 4)
                dots_q(y + i, y_stride, w + i * row_bytes, row_bytes, x, first + j, unpack, min, groups, 4, 1);
        for (; i < n_rows; i++)
            dots_q(y + i, y_stride, w + i * row_bytes, row_bytes, x, first + j, unpack, min, groups, 1, 1);
        y += k * y_stride;
        j += k;
    }
}
#define X(type, min, groups, bias)                                                  \
    static void K(matvec_##type) GOSS_MATVEC_ARGS                                   \
    {                                                                               \
        rows_q(y, y_stride, w, row_bytes, n_rows, x, first, m, unpack_##type, min, groups); \
    }
QUANT_TYPES(X)
#undef X

/* ---- float weights ------------------------------------------------------------------------------------- */
typedef f8 load8_fn(const void *p);
typedef float load1_fn(const void *p);
ALWAYS float f32_value(const void *p) { float f; memcpy(&f, p, 4); return f; }
ALWAYS float bf16_value(const void *p) { uint16_t h; memcpy(&h, p, 2); return goss_bf16_to_f32(h); }

ALWAYS void dots_f(float *y, int64_t y_stride, const uint8_t *w, int64_t row_bytes, const goss_acts *x, int first,
                   load8_fn load8, load1_fn load1, int size, const int NR, const int NM)
{
    const float *f = x->f + (int64_t)first * x->n;
    f8 acc[4][4];
    UNROLL
    for (int r = 0; r < NR; r++)
        UNROLL
        for (int j = 0; j < NM; j++) acc[r][j] = f8_set1(0.0f);
    int k = 0;
    for (; k + 8 <= x->n; k += 8) {
        UNROLL
        for (int r = 0; r < NR; r++) {
            const f8 v = load8(w + r * row_bytes + (int64_t)k * size);
            UNROLL
            for (int j = 0; j < NM; j++) acc[r][j] = f8_fma(v, f8_load(f + (int64_t)j * x->n + k), acc[r][j]);
        }
    }
    UNROLL
    for (int r = 0; r < NR; r++)
        UNROLL
        for (int j = 0; j < NM; j++) {
            float sum = f8_sum(acc[r][j]);
            for (int t = k; t < x->n; t++)
                sum += load1(w + r * row_bytes + (int64_t)t * size) * f[(int64_t)j * x->n + t];
            y[j * y_stride + r] = sum;
        }
}

ALWAYS void rows_f(float *y, int64_t y_stride, const uint8_t *w, int64_t row_bytes, int n_rows,
                   const goss_acts *x, int first, int m, load8_fn load8, load1_fn load1, int size)
{
    int i = 0;
    if (m == 1)
        for (; i + 4 <= n_rows; i += 4)
            dots_f(y + i, y_stride, w + i * row_bytes, row_bytes, x, first, load8, load1, size, 4, 1);
    for (; i < n_rows; i++) {
        const uint8_t *wi = w + i * row_bytes;
        int j = 0;
        for (; j + 4 <= m; j += 4)
            dots_f(y + j * y_stride + i, y_stride, wi, row_bytes, x, first + j, load8, load1, size, 1, 4);
        for (; j < m; j++)
            dots_f(y + j * y_stride + i, y_stride, wi, row_bytes, x, first + j, load8, load1, size, 1, 1);
    }
}
static void K(matvec_f32) GOSS_MATVEC_ARGS
{
    rows_f(y, y_stride, w, row_bytes, n_rows, x, first, m, f8_load_raw, f32_value, 4);
}
static void K(matvec_f16) GOSS_MATVEC_ARGS
{
    rows_f(y, y_stride, w, row_bytes, n_rows, x, first, m, f8_load_f16, f16_value, 2);
}
static void K(matvec_bf16) GOSS_MATVEC_ARGS
{
    rows_f(y, y_stride, w, row_bytes, n_rows, x, first, m, f8_load_bf16, bf16_value, 2);
}
#endif
