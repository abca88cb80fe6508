/* body_attn.h - attention of queries over one page of keys and values, in the words of simd_*.h.
 *
 * A level with wider registers defines SIMD_ATTN_OWN and brings attn_scores and attn_values of its own, which
 * must sum in the same order. */
#ifndef GOSS_CPU_BODY_ATTN_H
#define GOSS_CPU_BODY_ATTN_H
#include "kern.h"
#include <math.h>

/* exp(x) = 2^n * exp(r), r in +-ln2/2, by a polynomial of degree 6: relative error under 3e-7. Below -87 it
 * is 0, above 88 it stays there. */
ALWAYS f8 f8_exp(f8 x)
{
    const f8 c = f8_min(f8_max(x, f8_set1(-87.0f)), f8_set1(88.0f));
    const w8 n = w8_round(f8_mul(c, f8_set1(1.44269504f)));
    const f8 nf = f8_from_w8(n);
    f8 r = f8_fma(nf, f8_set1(-0.693145752f),
                  c); /* ln2 in two parts; the first has 15 bits, so n * it is exact */
    r = f8_fma(nf, f8_set1(-1.42860677e-6f), r);
    f8 p = f8_set1(1.0f / 720.0f);
    p = f8_fma(p, r, f8_set1(1.0f / 120.0f));
    p = f8_fma(p, r, f8_set1(1.0f / 24.0f));
    p = f8_fma(p, r, f8_set1(1.0f / 6.0f));
    p = f8_fma(p, r, f8_set1(0.5f));
    p = f8_fma(p, r, f8_set1(1.0f));
    p = f8_fma(p, r, f8_set1(1.0f));
    return f8_keep_ge(f8_mul(p, f8_pow2(n)), x, f8_set1(-87.0f));
}

#ifndef SIMD_ATTN_OWN
/* Attention of NQ queries (1 or SIMD_ATTN_Q) side by side, which share every load of a key or value. Each has
 * sums of its own in an order of its own: alone or not, its result is the same to the bit. Scores of 32 keys
 * of the page. */
ALWAYS void attn_scores(float s[][GOSS_ATTN_KEYS], const goss_attn_q *q, const float *k, int head_dim, int half,
                        const int NQ)
{
    f8 a[SIMD_ATTN_Q][4];
    UNROLL
    for (int t = 0; t < NQ; t++)
        UNROLL
        for (int j = 0; j < 4; j++) a[t][j] = f8_set1(0.0f);
    for (int i = 0; i < head_dim; i++) {
        f8 x[SIMD_ATTN_Q];
        UNROLL
        for (int t = 0; t < NQ; t++) x[t] = f8_set1(q[t].q[i]);
        UNROLL
        for (int j = 0; j < 4; j++) {
            const f8 kj = f8_once(f8_load(k + i * GOSS_ATTN_KEYS + half * 32 + j * 8));
            UNROLL
            for (int t = 0; t < NQ; t++) a[t][j] = f8_fma(x[t], kj, a[t][j]);
        }
    }
    UNROLL
    for (int t = 0; t < NQ; t++)
        UNROLL
        for (int j = 0; j < 4; j++) f8_store(s[t] + half * 32 + j * 8, a[t][j]);
}
/* acc = acc * c + sum of p[key] * v[key], 32 dimensions of it from `at`. */
ALWAYS void attn_values(const goss_attn_q *q, const float p[][GOSS_ATTN_KEYS], const float *c, const float *v,
                        int head_dim, int at, const int NQ)
{
    f8 a[SIMD_ATTN_Q][4];
    UNROLL
    for (int t = 0; t < NQ; t++)
        UNROLL
        for (int j = 0; j < 4; j++) a[t][j] = f8_mul(f8_load(q[t].acc + at + 8 * j), f8_set1(c[t]));
    for (int key = q->lo; key < q->hi; key++) {
        f8 x[SIMD_ATTN_Q];
        UNROLL
        for (int t = 0; t < NQ; t++) x[t] = f8_set1(p[t][key]);
        UNROLL
        for (int j = 0; j < 4; j++) {
            const f8 vj = f8_once(f8_load(v + (int64_t)key * head_dim + at + 8 * j));
            UNROLL
            for (int t = 0; t < NQ; t++) a[t][j] = f8_fma(x[t], vj, a[t][j]);
        }
    }
    UNROLL
    for (int t = 0; t < NQ; t++)
        UNROLL
        for (int j = 0; j < 4; j++) f8_store(q[t].acc + at + 8 * j, a[t][j]);
}
#endif
enum { ATTN_RUN = 8 };
/* Scores to exp(score - the new maximum); returns what the sums so far must be scaled by. */
ALWAYS float attn_softmax(goss_attn_q *q, float s[GOSS_ATTN_KEYS], float scale)
{
    for (int i = 0; i < q->lo; i++) s[i] = -INFINITY;
    for (int i = q->hi; i < GOSS_ATTN_KEYS; i++) s[i] = -INFINITY;
    f8 most = f8_set1(q->m), sum = f8_set1(0.0f);
    for (int i = 0; i < GOSS_ATTN_KEYS; i += 8) {
        const f8 a = f8_mul(f8_load(s + i), f8_set1(scale));
        f8_store(s + i, a);
        most = f8_max(most, a);
    }
    const float top = f8_top(most);
    for (int i = 0; i < GOSS_ATTN_KEYS; i += 8) {
        const f8 e = f8_exp(f8_sub(f8_load(s + i), f8_set1(top)));
        f8_store(s + i, e);
        sum = f8_add(sum, e);
    }
    const float c = q->m == top ? 1.0f : expf(q->m - top);
    q->l = q->l * c + f8_sum(sum);
    q->m = top;
    return c;
}
/* n queries (at most ATTN_RUN) that see the same keys: all take a part of the page before the next part is
 * touched, since the page alone fills the first cache. */
static void K(attn_run)(goss_attn_q *q, int n, const float *k, const float *v, int head_dim, float scale)
{
    float s[ATTN_RUN][GOSS_ATTN_KEYS], c[ATTN_RUN];
    const int pairs = n / SIMD_ATTN_Q * SIMD_ATTN_Q;
    for (int half = 0; half < 2; half++) {
        if (q->lo >= half * 32 + 32 || q->hi <= half * 32) continue;
        for (int t = 0; t < pairs; t += SIMD_ATTN_Q) attn_scores(s + t, q + t, k, head_dim, half, SIMD_ATTN_Q);
        for (int t = pairs; t < n; t++) attn_scores(s + t, q + t, k, head_dim, half, 1);
    }
    for (int t = 0; t < n; t++) c[t] = attn_softmax(q + t, s[t], scale);
    const float (*p)[GOSS_ATTN_KEYS] = (const float (*)[GOSS_ATTN_KEYS])s;
    int i = 0;
    for (; i + 32 <= head_dim; i += 32) {
        for (int t = 0; t < pairs; t += SIMD_ATTN_Q) attn_values(q + t, p + t, c + t, v, head_dim, i, SIMD_ATTN_Q);
        for (int t = pairs; t < n; t++) attn_values(q + t, p + t, c + t, v, head_dim, i, 1);
    }
    for (; i < head_dim; i++)
        for (int t = 0; t < n; t++) {
            float a = q[t].acc[i] * c[t];
            for (int key = q->lo; key < q->hi; key++) a += s[t][key] * v[(int64_t)key * head_dim + i];
            q[t].acc[i] = a;
        }
}

static void K(attn)(goss_attn_q *qs, int n_q, const float *k, const float *v, int head_dim, float scale)
{
    for (int i = 0, n; i < n_q; i += n) {
        goss_attn_q *q = qs + i;
        for (n = 1; n < ATTN_RUN && i + n < n_q && q[n].lo == q->lo && q[n].hi == q->hi;) n++;
        if (q->lo < q->hi) K(attn_run)(q, n, k, v, head_dim, scale);
    }
}
#endif
