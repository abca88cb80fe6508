/* body_tile.h - many activation rows: sixteen weight rows are unpacked once (pack_*) and multiplied with all
 * of them (gemm).
 *
 * A lane is a weight row, so sums need no reduction across lanes, and scales are loaded eight at a time. The
 * integer products of a block are exact; a bias b that pack added is taken back exactly, as b * (sum of the
 * activations). */
#ifndef GOSS_CPU_BODY_TILE_H
#define GOSS_CPU_BODY_TILE_H
#include "body_quant.h"

/* A block past the last row: nothing. */
ALWAYS blk blk_zero(void) { return (blk){ b32_set1(0), f8_set1(0.0f), 0.0f, 0.0f }; }

ALWAYS void pack_rows(goss_tile *t, const uint8_t *w, int64_t row_bytes, int n_rows, int n, unpack_fn unpack,
                      int min, int groups, int small)
{
    const b32 bias = b32_set1(t->bias);
    for (int b = 0; b < n / GOSS_BLOCK; b++)
        for (int half = 0; half < 2; half++) {
            b32 r[8];
            for (int j = 0; j < 8; j++) {
                const int i = half * 8 + j;
                const blk k = i < n_rows ? unpack(w + i * row_bytes, b) : blk_zero();
                float lane[8], *s = t->s + (size_t)b * groups * GOSS_TILE_ROWS + i,
                               *m = t->m + (size_t)b * groups * GOSS_TILE_ROWS + i;
                f8_store(lane, k.s);
                s[0] = lane[0];
                if (groups == 2) s[GOSS_TILE_ROWS] = lane[4];
                if (min) m[0] = k.m0;
                if (min && groups == 2) m[GOSS_TILE_ROWS] = k.m1;
                r[j] = b32_add(k.q, bias);
            }
            b32_transpose(r);
            for (int g = 0; g < 8; g++) b32_store(t->q + (size_t)b * 512 + g * 64 + half * 32, r[g]);
        }
    t->n = n; t->n_rows = n_rows; t->groups = groups; t->has_min = min != 0;
    t->small = small >= 0 || t->form == GOSS_TILE_UNSIGNED;
}
/* Unsigned types have minima and need no shift; see goss_tile.form for the others. */
ALWAYS int tile_bias(int form, int min, int small)
{
    return min ? 0 : form == GOSS_TILE_SMALL && small > 0 ? small : form == GOSS_TILE_UNSIGNED ? 128 : 0;
}
#define X(type, min, groups, small) \
static void K(pack_##type) GOSS_PACK_ARGS \
{ \
    t->bias = tile_bias(t->form, min, small); \
    pack_rows(t, w, row_bytes, n_rows, n, unpack_##type, min, groups, small); \
}
QUANT_TYPES(X)
#undef X

/* 8 rows of the tile times NM activation rows into out[j][8]. All but the pointers are constants at every
 * call. */
ALWAYS void gemm8(f8 out[4], const goss_tile *t, int half, const int8_t *q, const float *d, const int16_t *s,
                  const int small, const int groups, const int min, const int NM)
{
    const int nb = t->n / GOSS_BLOCK;
    f8 acc[4];
    UNROLL
    for (int j = 0; j < NM; j++) acc[j] = f8_set1(0.0f);
    for (int b = 0; b < nb; b++) {
        const uint8_t *w = t->q + (size_t)b * 512 + half * 32;
        const size_t at = (size_t)b * groups * GOSS_TILE_ROWS + half * 8;
        w8 p[4];
        UNROLL
        for (int g = 0; g < 2; g++) {
            m16 a[4];
            w8 c[4];
            UNROLL
            for (int j = 0; j < NM; j++) { a[j] = m16_zero(); c[j] = w8_zero(); }
            UNROLL
            for (int k = 0; k < 4; k++) {
                const b32 wk = b32_load(w + (g * 4 + k) * 64);
                UNROLL
                for (int j = 0; j < NM; j++) {
                    const b32 xk = b32_bcast4(q + (int64_t)j * t->n + b * GOSS_BLOCK + (g * 4 + k) * 4);
                    if (small) a[j] = m16_dot(a[j], wk, xk);
                    else c[j] = w8_dot(c[j], wk, xk);
                }
            }
            UNROLL
            for (int j = 0; j < NM; j++) {
                const int16_t *sj = s + ((int64_t)j * nb + b) * 2;
                if (small) c[j] = w8_from_m16(a[j]);
                p[j] = groups == 1 && g == 1 ? w8_add(p[j], c[j]) : c[j];
                if (groups == 1 && g == 0) continue;
                const int sum = groups == 1 ? sj[0] + sj[1] : sj[g];
                if (small && !min) p[j] = w8_add(p[j], w8_set1(-t->bias * sum));
                const f8 dj = f8_set1(d[(int64_t)j * nb + b]);
                const size_t ag = at + (groups == 2 ? g * GOSS_TILE_ROWS : 0);
                acc[j] = f8_fma(f8_mul(f8_load(t->s + ag), dj), f8_from_w8(p[j]), acc[j]);
                if (min) acc[j] = f8_fma(f8_load(t->m + ag), f8_mul(dj, f8_set1((float)sum)), acc[j]);
            }
        }
    }
    UNROLL
    for (int j = 0; j < NM; j++) out[j] = acc[j];
}

ALWAYS void gemm_kind(float *y, int64_t y_stride, const goss_tile *t, const goss_acts *x, int first, int m,
                      int small, int groups, int min)
{
    const int64_t nb = x->n / GOSS_BLOCK;
    for (int half = 0; half * 8 < t->n_rows; half++) {
        const int lanes = t->n_rows - half * 8 < 8 ? t->n_rows - half * 8 : 8;
        for (int j = 0; j < m; j += 4) {
            f8 out[4];
            const int64_t row = first + j;
            const int8_t *q = x->q + row * x->n;
            const float *d = x->d + row * nb;
            const int16_t *s = x->s + row * nb * 2;
            const int k = m - j < 4 ? m - j : 4;
            if (k == 4) gemm8(out, t, half, q, d, s, small, groups, min, 4);
            else
                for (int i = 0; i < k; i++)
                    gemm8(out + i, t, half, q + i * x->n, d + i * nb, s + i * nb * 2, small, groups, min, 1);
            for (int i = 0; i < k; i++) {
                float lane[8], *to = y + (j + i) * y_stride + half * 8;
                if (lanes == 8) { f8_store(to, out[i]); continue; }
                f8_store(lane, out[i]);
                memcpy(to, lane, (size_t)lanes * sizeof *to);
            }
        }
    }
}
static void K(gemm)(float *y, int64_t y_stride, const goss_tile *t, const goss_acts *x, int first, int m)
{
    const int kind = t->small * 4 + (t->groups == 2) * 2 + t->has_min;
    switch (kind) {
    case 0: gemm_kind(y, y_stride, t, x, first, m, 0, 1, 0); break;
    case 2: gemm_kind(y, y_stride, t, x, first, m, 0, 2, 0); break;
    case 4: gemm_kind(y, y_stride, t, x, first, m, 1, 1, 0); break;
    case 5: gemm_kind(y, y_stride, t, x, first, m, 1, 1, 1); break;
    case 6: gemm_kind(y, y_stride, t, x, first, m, 1, 2, 0); break;
    case 7: gemm_kind(y, y_stride, t, x, first, m, 1, 2, 1); break;
    default: break;   /* minima without small: no type */
    }
}
#endif
