/* kern_ref.c - the truth: every kernel in double with plain loops, over goss_to_float for weights. Never in a
 * hot path.
 *
 * Products of quantised types are taken with the quantised activations (q * d), so that a kernel's own
 * rounding is all that a comparison sees. Rows are dequantised 8,192 elements at a time. */
#include "kern.h"
#include <math.h>
#include <string.h>

enum { PIECE = 8192 };

static void rmsnorm_ref(float *dst, const float *x, const float *w, int n, float eps)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += (double)x[i] * x[i];
    const double s = 1.0 / sqrt(sum / n + (double)eps);
    for (int i = 0; i < n; i++) dst[i] = (float)(x[i] * s * w[i]);
}

static void quantize_ref(const goss_acts *x, int first, const float *f, int n)
{
    for (int64_t b = (int64_t)first * x->n / GOSS_BLOCK, end = b + n / GOSS_BLOCK; b < end;
         b++, f += GOSS_BLOCK) {
        double top = 0;
        for (int i = 0; i < GOSS_BLOCK; i++)
            if (fabs((double)f[i]) > top) top = fabs((double)f[i]);
        const double d = top >= 1e-30f ? top / 127 : 0;
        double sum[2] = { 0, 0 };
        for (int i = 0; i < GOSS_BLOCK; i++) {
            const double q = d > 0 ? rint(f[i] / d) : 0;
            x->q[b * GOSS_BLOCK + i] = (int8_t)q;
            sum[i / 16] += q;
        }
        x->d[b] = (float)d;
        for (int h = 0; h < 2; h++) x->s[2 * b + h] = (int16_t)sum[h];
    }
}

static double row_dot(const uint8_t *row, int type, const goss_acts *x, int64_t j, int floats)
{
    const goss_type_info *t = goss_type_get(type);
    float w[PIECE];
    double sum = 0;
    for (int at = 0; at < x->n; at += PIECE) {
        const int n = x->n - at < PIECE ? x->n - at : PIECE;
        goss_to_float(type, row + (int64_t)at / t->block * t->bytes, w, n);
        for (int i = 0; i < n; i++) {
            const int64_t k = j * x->n + at + i;
            sum += floats ? (double)w[i] * x->f[k] : (double)w[i] * x->q[k] * x->d[k / GOSS_BLOCK];
        }
    }
    return sum;
}
#define MATVEC(name, type, floats) \
static void matvec_##name##_ref GOSS_MATVEC_ARGS \
{ \
    for (int i = 0; i < n_rows; i++) \
        for (int j = 0; j < m; j++) \
            y[j * y_stride + i] = (float)row_dot((const uint8_t *)w + i * row_bytes, type, x, first + j, floats); \
}
MATVEC(f32, GOSS_F32, 1)
MATVEC(f16, GOSS_F16, 1)
MATVEC(bf16, GOSS_BF16, 1)
MATVEC(q4_0, GOSS_Q4_0, 0)
MATVEC(q4_1, GOSS_Q4_1, 0)
MATVEC(q5_0, GOSS_Q5_0, 0)
MATVEC(q5_1, GOSS_Q5_1, 0)
MATVEC(q8_0, GOSS_Q8_0, 0)
MATVEC(q2_k, GOSS_Q2_K, 0)
MATVEC(q3_k, GOSS_Q3_K, 0)
MATVEC(q4_k, GOSS_Q4_K, 0)
MATVEC(q5_k, GOSS_Q5_K, 0)
MATVEC(q6_k, GOSS_Q6_K, 0)
MATVEC(iq4_nl, GOSS_IQ4_NL, 0)
MATVEC(mxfp4, GOSS_MXFP4, 0)

/* The truth of gemm for any tile, by the tile's own definition; what pack makes is compared with
 * goss_to_float. */
static void gemm_ref(float *y, int64_t y_stride, const goss_tile *t, const goss_acts *x, int first, int m)
{
    for (int i = 0; i < t->n_rows; i++)
        for (int j = 0; j < m; j++) {
            double sum = 0;
            for (int k = 0; k < t->n; k++) {
                const int64_t at = (int64_t)(first + j) * x->n + k,
                              g = (int64_t)k * t->groups / GOSS_BLOCK * GOSS_TILE_ROWS + i;
                const uint8_t b = t->q[k / 4 * 64 + i * 4 + k % 4];
                const int q = (t->bias ? b : (int8_t)b) - t->bias;
                sum += ((double)t->s[g] * q + (t->has_min ? t->m[g] : 0)) * x->q[at] * x->d[at / GOSS_BLOCK];
            }
            y[j * y_stride + i] = (float)sum;
        }
}

static void rope_ref(float *x, const float *table, int n_heads, int head_dim, int rope_dim, int half)
{
    for (int h = 0; h < n_heads; h++, x += head_dim)
        for (int i = 0; i < rope_dim / 2; i++) {
            float *p = half ? x + i : x + 2 * i, *q = half ? x + rope_dim / 2 + i : x + 2 * i + 1;
            const double a = *p, b = *q, c = table[i], s = table[rope_dim / 2 + i];
            *p = (float)(a * c - b * s);
            *q = (float)(b * c + a * s);
        }
}

static void attn_ref(goss_attn_q *qs, int n_q, const float *k, const float *v, int head_dim, float scale)
{
    for (goss_attn_q *q = qs; q < qs + n_q; q++) {
        double s[GOSS_ATTN_KEYS], top = q->m, l = 0;
        if (q->lo >= q->hi) continue;
        for (int i = q->lo; i < q->hi; i++) {
            s[i] = 0;
            for (int d = 0; d < head_dim; d++) s[i] += (double)q->q[d] * k[d * GOSS_ATTN_KEYS + i];
            s[i] *= scale;
            top = fmax(top, s[i]);
        }
        const double c = exp(q->m - top);
        for (int i = q->lo; i < q->hi; i++) l += s[i] = exp(s[i] - top);
        for (int d = 0; d < head_dim; d++) {
            double a = q->acc[d] * c;
            for (int i = q->lo; i < q->hi; i++) a += s[i] * v[i * head_dim + d];
            q->acc[d] = (float)a;
        }
        q->l = (float)(q->l * c + l);
        q->m = (float)top;
    }
}

static void f16_load_ref(float *dst, const uint16_t *src, int n) { goss_to_float(GOSS_F16, src, dst, n); }
static void f16_store_ref(uint16_t *dst, const float *src, int n)
{
    for (int i = 0; i < n; i++) dst[i] = goss_f32_to_f16(src[i]);
}

static void swiglu_ref(float *dst, const float *g, const float *u, int n, float alpha, float limit)
{
    for (int i = 0; i < n; i++) {
        const double gc = fmin(g[i], limit), uc = fmax(fmin(u[i], limit), -limit);
        dst[i] = (float)(gc / (1 + exp(-(double)alpha * gc)) * (uc + 1));
    }
}
static void silu_mul_ref(float *dst, const float *g, const float *u, int n)
{
    for (int i = 0; i < n; i++) dst[i] = (float)(g[i] / (1 + exp(-(double)g[i])) * u[i]);
}

static void topk_ref(int32_t *ids, float *weights, const float *logits, int n, int k)
{
    double sum = 0;
    for (int j = 0; j < k;
         j++) { /* the j-th is the best that comes after the last chosen in (value down, index up) order */
        int best = -1;
        for (int i = 0; i < n; i++) {
            const int after =
                !j || logits[i] < logits[ids[j - 1]] || (logits[i] == logits[ids[j - 1]] && i > ids[j - 1]);
            if (after && (best < 0 || logits[i] > logits[best])) best = i;
        }
        ids[j] = best;
        sum += exp((double)logits[best] - logits[ids[0]]);
    }
    for (int j = 0; j < k; j++) weights[j] = (float)(exp((double)logits[ids[j]] - logits[ids[0]]) / sum);
}

static void axpy_ref(float *y, const float *x, float a, int n)
{
    for (int i = 0; i < n; i++) y[i] = (float)(y[i] + (double)a * x[i]);
}

/* Unpacking is exact in every level: the portable one stands in, and the checker compares it with
 * goss_to_float. */
void goss_kern_init_ref(goss_kern *k)
{
    goss_kern_init_c(k);
    k->rmsnorm = rmsnorm_ref;
    k->quantize = quantize_ref;
    k->gemm = gemm_ref;
    k->rope = rope_ref;
    k->attn = attn_ref;
    k->f16_load = f16_load_ref;
    k->f16_store = f16_store_ref;
    k->swiglu = swiglu_ref;
    k->silu_mul = silu_mul_ref;
    k->topk = topk_ref; k->axpy = axpy_ref;
    k->matvec_f32 = matvec_f32_ref; k->matvec_f16 = matvec_f16_ref; k->matvec_bf16 = matvec_bf16_ref;
    k->matvec_q4_0 = matvec_q4_0_ref; k->matvec_q4_1 = matvec_q4_1_ref; k->matvec_q5_0 = matvec_q5_0_ref;
    k->matvec_q5_1 = matvec_q5_1_ref; k->matvec_q8_0 = matvec_q8_0_ref; k->matvec_q2_k = matvec_q2_k_ref;
    k->matvec_q3_k = matvec_q3_k_ref; k->matvec_q4_k = matvec_q4_k_ref; k->matvec_q5_k = matvec_q5_k_ref;
    k->matvec_q6_k = matvec_q6_k_ref;
    k->matvec_iq4_nl = matvec_iq4_nl_ref;
    k->matvec_mxfp4 = matvec_mxfp4_ref;
}
