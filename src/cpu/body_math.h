/* body_math.h - norms, quantisation of activations, rotary positions and activations, in the
 * words of simd_*.h. */
#ifndef GOSS_CPU_BODY_MATH_H
#define GOSS_CPU_BODY_MATH_H
#include "body_attn.h"

static void K(rmsnorm)(float *dst, const float *x, const float *w, int n, float eps)
{
    f8 a = f8_set1(0.0f), b = a;
    int i = 0;
    for (; i + 16 <= n; i += 16) {
        const f8 u = f8_load(x + i), v = f8_load(x + i + 8);
        a = f8_fma(u, u, a);
        b = f8_fma(v, v, b);
    }
    float sum = f8_sum(f8_add(a, b));
    for (; i < n; i++) sum += x[i] * x[i];
    const float s = 1.0f / sqrtf(sum / (float)n + eps);
    for (i = 0; i + 8 <= n; i += 8) f8_store(dst + i, f8_mul(f8_mul(f8_load(x + i), f8_set1(s)), f8_load(w + i)));
    for (; i < n; i++) dst[i] = x[i] * s * w[i];
}

static void K(quantize)(const goss_acts *x, int first, const float *f, int n)
{
    for (int64_t b = (int64_t)first * x->n / GOSS_BLOCK, end = b + n / GOSS_BLOCK; b < end; b++, f += GOSS_BLOCK) {
        const f8 v0 = f8_load(f), v1 = f8_load(f + 8), v2 = f8_load(f + 16), v3 = f8_load(f + 24);
        const float top = f8_top(f8_max(f8_max(f8_abs(v0), f8_abs(v1)), f8_max(f8_abs(v2), f8_abs(v3))));
        const int some = top >= 1e-30f;
        const f8 id = f8_set1(some ? 127.0f / top : 0.0f);
        const b32 q = b32_narrow(w8_round(f8_mul(v0, id)), w8_round(f8_mul(v1, id)), w8_round(f8_mul(v2, id)),
                                 w8_round(f8_mul(v3, id)));
        int lo, hi;
        w8_sums(w8_dot(w8_zero(), q, b32_set1(1)), &lo, &hi);
        x->d[b] = some ? top / 127.0f : 0.0f;
        x->s[2 * b] = (int16_t)lo;
        x->s[2 * b + 1] = (int16_t)hi;
        b32_store(x->q + b * GOSS_BLOCK, q);
    }
}

static void K(rope)(float *x, const float *table, int n_heads, int head_dim, int rope_dim, int half)
{
    const int pairs = rope_dim / 2;
    const float *c = table, *s = table + pairs;
    for (int h = 0; h < n_heads; h++, x += head_dim) {
        int i = 0;
        for (; half && i + 8 <= pairs; i += 8) {
            const f8 a = f8_load(x + i), b = f8_load(x + pairs + i), ci = f8_load(c + i), si = f8_load(s + i);
            f8_store(x + i, f8_sub(f8_mul(a, ci), f8_mul(b, si)));
            f8_store(x + pairs + i, f8_add(f8_mul(b, ci), f8_mul(a, si)));
        }
        for (; i < pairs; i++) {
            float *p = half ? x + i : x + 2 * i, *q = half ? x + pairs + i : x + 2 * i + 1;
            const float a = *p, b = *q;
            *p = a * c[i] - b * s[i];
            *q = b * c[i] + a * s[i];
        }
    }
}

static void K(f16_load)(float *dst, const uint16_t *src, int n)
{
    int i = 0;
    for (; i + 8 <= n; i += 8) f8_store(dst + i, f8_load_f16(src + i));
    for (; i < n; i++) dst[i] = f16_value(src + i);
}
static void K(f16_store)(uint16_t *dst, const float *src, int n)
{
    int i = 0;
    for (; i + 8 <= n; i += 8) f8_store_f16(dst + i, f8_load(src + i));
    for (; i < n; i++) dst[i] = goss_f32_to_f16(src[i]);
}

/* g / (1 + exp(-alpha g)) */
ALWAYS f8 f8_gate(f8 g, float alpha)
{
    return f8_div(g, f8_add(f8_set1(1.0f), f8_exp(f8_mul(g, f8_set1(-alpha)))));
}
ALWAYS f8 f8_swiglu(f8 g, f8 u, float alpha, float limit)
{
    const f8 gc = f8_min(g, f8_set1(limit)), uc = f8_max(f8_min(u, f8_set1(limit)), f8_set1(-limit));
    return f8_mul(f8_gate(gc, alpha), f8_add(uc, f8_set1(1.0f)));
}
static void K(swiglu)(float *dst, const float *g, const float *u, int n, float alpha, float limit)
{
    int i = 0;
    for (; i + 8 <= n; i += 8) f8_store(dst + i, f8_swiglu(f8_load(g + i), f8_load(u + i), alpha, limit));
    for (; i < n; i++) {
        float lane[8];
        f8_store(lane, f8_swiglu(f8_set1(g[i]), f8_set1(u[i]), alpha, limit));
        dst[i] = lane[0];
    }
}
static void K(silu_mul)(float *dst, const float *g, const float *u, int n)
{
    int i = 0;
    for (; i + 8 <= n; i += 8) f8_store(dst + i, f8_mul(f8_gate(f8_load(g + i), 1.0f), f8_load(u + i)));
    for (; i < n; i++) {
        float lane[8];
        f8_store(lane, f8_mul(f8_gate(f8_set1(g[i]), 1.0f), f8_set1(u[i])));
        dst[i] = lane[0];
    }
}

static void K(axpy)(float *y, const float *x, float a, int n)
{
    int i = 0;
    for (; i + 8 <= n; i += 8) f8_store(y + i, f8_fma(f8_load(x + i), f8_set1(a), f8_load(y + i)));
    for (; i < n; i++) y[i] += a * x[i];
}
#endif
