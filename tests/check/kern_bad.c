/* kern_bad.c - mutants: sound kernels with one plausible mistake each, built over the portable level. The
 * checker must fail every one of them; one that passes is a hole in the checker. */
#include "check.h"
#include <math.h>
#include <string.h>

static goss_kern sound;     /* filled by the first install */

#define RMSNORM (float *dst, const float *x, const float *w, int n, float eps)
static void rmsnorm_no_eps RMSNORM { (void)eps; sound.rmsnorm(dst, x, w, n, 0.0f); }
static void rmsnorm_tail RMSNORM
{
    const float keep = dst[n - 1];
    sound.rmsnorm(dst, x, w, n, eps);
    if (n % 8 == 1) dst[n - 1] = keep;
}
static void rmsnorm_over RMSNORM { sound.rmsnorm(dst, x, w, n, eps); if (n % 8) dst[n] = 0; }
static void rmsnorm_swap RMSNORM
{
    sound.rmsnorm(dst, x, w, n, eps);
    if (n > 1) { const float t = dst[0]; dst[0] = dst[1]; dst[1] = t; }
}
static void rmsnorm_crash RMSNORM
{
    sound.rmsnorm(dst, x, w, n, eps);
    dst[(ptrdiff_t)1 << (sizeof(ptrdiff_t) > 4 ? 40 : 28)] = 1;
}

#define QUANTIZE (const goss_acts *x, int first, const float *f, int n)
static void quantize_trunc QUANTIZE
{
    sound.quantize(x, first, f, n);
    for (int i = 0; i < n; i++) {
        const int64_t k = (int64_t)first * x->n + i;
        const int q = x->d[k / 32] > 0 ? (int)(f[i] / x->d[k / 32]) : 0, was = x->q[k];
        x->q[k] = (int8_t)q;
        x->s[k / 16] = (int16_t)(x->s[k / 16] + q - was);
    }
}
static void quantize_sum QUANTIZE
{
    sound.quantize(x, first, f, n);
    x->s[(int64_t)first * x->n / 16 + n / 16 - 1]++;
}

static void mxfp4_tiny GOSS_MATVEC_ARGS     /* exponents 0 and 1 as if they were normal */
{
    sound.matvec_mxfp4(y, y_stride, w, row_bytes, n_rows, x, first, m);
    for (int i = 0; i < n_rows; i++)
        if (((const uint8_t *)w)[i * row_bytes] == 0) for (int j = 0; j < m; j++) y[j * y_stride + i] *= 2;
}
/* another order of summation for batches: right, but not bit-equal */
static void q8_0_batch GOSS_MATVEC_ARGS
{
    sound.matvec_q8_0(y, y_stride, w, row_bytes, n_rows, x, first, m);
    if (m > 4) y[0] = nextafterf(y[0], 1e30f);
}
static void q4_k_row GOSS_MATVEC_ARGS       /* the last of an odd number of rows repeats the one before */
{
    sound.matvec_q4_k(y, y_stride, w, row_bytes, n_rows, x, first, m);
    if (n_rows % 4 == 1 && n_rows > 1)
        for (int j = 0; j < m; j++) y[j * y_stride + n_rows - 1] = y[j * y_stride + n_rows - 2];
}
static void f32_tail GOSS_MATVEC_ARGS       /* elements after the last whole vector are left out */
{
    goss_acts cut = *x;
    float copy[4096];
    for (int j = 0; j < m; j++) {
        memcpy(copy, x->f + (int64_t)(first + j) * x->n, (size_t)x->n * sizeof *copy);
        for (int i = x->n & ~7; i < x->n; i++) copy[i] = 0;
        cut.f = copy;
        sound.matvec_f32(y + j * y_stride, y_stride, w, row_bytes, n_rows, &cut, 0, 1);
    }
}

#define GEMM (float *y, int64_t y_stride, const goss_tile *t, const goss_acts *x, int first, int m)
static void gemm_last GEMM { sound.gemm(y, y_stride, t, x, first, m > 1 && m % 4 == 1 ? m - 1 : m); }
static void gemm_wide GEMM                   /* writes all sixteen columns of a narrower tile */
{
    sound.gemm(y, y_stride, t, x, first, m);
    if (t->n_rows < GOSS_TILE_ROWS) y[(m - 1) * y_stride + t->n_rows] = 0;
}
static void pack_swap GOSS_PACK_ARGS
{
    sound.pack_mxfp4(t, w, row_bytes, n_rows, n);
    if (n_rows == 16)
        for (int k = 0; k < 4; k++) {
            const uint8_t b = t->q[32 + k];
            t->q[32 + k] = t->q[36 + k];
            t->q[36 + k] = b;
        }
}

#define ATTN (goss_attn_q *q, int n_q, const float *k, const float *v, int head_dim, float scale)
static void attn_window ATTN                 /* the window's left edge is one key off */
{
    for (int i = 0; i < n_q; i++) if (q[i].lo > 0 && q[i].lo + 1 < q[i].hi) q[i].lo++;
    sound.attn(q, n_q, k, v, head_dim, scale);
}
static void attn_rescale ATTN                /* what was summed before a new maximum is not scaled down */
{
    float before[256];
    for (int i = 0; i < n_q; i++) {
        const float m = q[i].m;
        memcpy(before, q[i].acc, (size_t)head_dim * sizeof *before);
        sound.attn(q + i, 1, k, v, head_dim, scale);
        for (int d = 0; d < head_dim && q[i].m > m && m > -1e30f; d++)
            q[i].acc[d] += before[d] * (1 - expf(m - q[i].m));
    }
}

static void rope_pairs(float *x, const float *table, int n_heads, int head_dim, int rope_dim, int half)
{
    sound.rope(x, table, n_heads, head_dim, rope_dim, !half);
}
#define GLU (float *dst, const float *g, const float *u, int n, float alpha, float limit)
static void swiglu_lower GLU                 /* the gate has no lower clamp */
{
    float c[8192];
    for (int i = 0; i < n; i++) c[i] = g[i] < -limit ? -limit : g[i];
    sound.swiglu(dst, c, u, n, alpha, limit);
}
static void swiglu_plus GLU { sound.swiglu(dst, g, u, n, alpha, limit); if (n > 8) dst[n - 1] *= 0.999f; }
static void topk_ties(int32_t *ids, float *weights, const float *logits, int n, int k)
{
    sound.topk(ids, weights, logits, n, k);
    for (int j = 0; j + 1 < k; j++)
        if (logits[ids[j]] == logits[ids[j + 1]]) {
            const int32_t t = ids[j];
            ids[j] = ids[j + 1];
            ids[j + 1] = t;
            return;
        }
}
static void f16_store_trunc(uint16_t *dst, const float *src, int n)
{
    sound.f16_store(dst, src, n);
    for (int i = 0; i < n; i++) if (fabsf(goss_f16_to_f32(dst[i])) > fabsf(src[i])) dst[i]--;
}
static void axpy_tail(float *y, const float *x, float a, int n) { sound.axpy(y, x, a, n & ~7); }

#define M(kernel, mutant) static void install_##mutant(goss_kern *k) { sound = *k; k->kernel = mutant; }
M(rmsnorm, rmsnorm_no_eps)
M(rmsnorm, rmsnorm_tail) M(rmsnorm, rmsnorm_over) M(rmsnorm, rmsnorm_swap) M(rmsnorm, rmsnorm_crash)
    M(quantize, quantize_trunc) M(quantize, quantize_sum) M(matvec_mxfp4, mxfp4_tiny)
        M(matvec_q8_0, q8_0_batch) M(matvec_q4_k, q4_k_row) M(matvec_f32, f32_tail) M(gemm, gemm_last)
            M(gemm, gemm_wide) M(pack_mxfp4, pack_swap) M(attn, attn_window) M(attn, attn_rescale)
                M(rope, rope_pairs) M(swiglu, swiglu_lower) M(swiglu, swiglu_plus) M(topk, topk_ties)
                    M(f16_store, f16_store_trunc) M(axpy, axpy_tail)

#define L(test, mutant) { #mutant, test, install_##mutant }
                        const check_mutant
    check_mutants[] = {
        L("rmsnorm", rmsnorm_no_eps), L("rmsnorm", rmsnorm_tail),    L("rmsnorm", rmsnorm_over),
        L("rmsnorm", rmsnorm_swap),   L("rmsnorm", rmsnorm_crash),   L("quantize", quantize_trunc),
        L("quantize", quantize_sum),  L("matvec_mxfp4", mxfp4_tiny), L("matvec_q8_0", q8_0_batch),
        L("matvec_q4_k", q4_k_row),   L("matvec_f32", f32_tail),     L("gemm_q4_0", gemm_last),
        L("gemm_q8_0", gemm_wide),    L("gemm_mxfp4", pack_swap),    L("attn", attn_window),
        L("attn", attn_rescale),      L("rope", rope_pairs),         L("swiglu", swiglu_lower),
        L("swiglu", swiglu_plus),     L("topk", topk_ties),          L("f16_store", f16_store_trunc),
        L("axpy", axpy_tail),         { NULL, NULL, NULL }
    };
