/* check_math.c - norms, quantisation, rotary positions, attention, activations, conversions: one test a
 * kernel.
 *
 * U is the unit of rounding of float. A bound is U times (a count of roundings, or twice the square root of
 * the number of terms for sums, whose roundings walk at random) times the sum of the magnitudes that were
 * added. */
#include "check.h"
#include <math.h>
#include <string.h>

#define U 5.9604645e-08
#define TINY 1e-37                    /* where float stops being relative */
enum { MAX_N = 8192 };
static const int sizes[] = { 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 127, 256, 2880, 4096, 4097, 0 };

static void said(check *c, const char *what, double ns, double bytes)
{
    check_time(c, what, ns, bytes / ns, c->roof > 0 ? bytes / ns / c->roof : 0, 0);
}
static float *randoms(check *c, int slot, int n, float scale)
{
    float *p = check_memory(slot, (size_t)n * sizeof(float));
    for (int i = 0; i < n; i++) p[i] = scale * check_randf(c);
    return p;
}

static void test_rmsnorm(check *c, int arg)
{
    static float want[MAX_N];
    static const float scales[] = { 1.0f, 1e-4f, 1e4f };
    (void)arg;
    for (int s = 0; sizes[s]; s++)
        for (int e = 0; e < 3; e++) {
            const int n = sizes[s];
            const float *x = randoms(c, 1, n, scales[e]), *w = randoms(c, 2, n, 1.0f);
            float *got = check_out(0, (size_t)n);
            c->ref->rmsnorm(want, x, w, n, 1e-5f);
            c->k->rmsnorm(got, x, w, n, 1e-5f);
            for (int i = 0; i < n; i++)
                check_value(c, i, got[i], want[i], U * (8 + 2 * sqrt(n)) * fabs((double)want[i]) + TINY);
            check_canaries(c, got, (size_t)n);
            if (c->failed) return;
        }
}
static void bench_rmsnorm(check *c, int arg)
{
    const float *x = randoms(c, 1, 2880, 1), *w = randoms(c, 2, 2880, 1);
    float *y = check_out(0, 2880);
    double ns;
    (void)arg;
    CHECK_TIMED(ns, c->k->rmsnorm(y, x, w, 2880, 1e-5f));
    said(c, "2880", ns, 3 * 4 * 2880.0);
}

/* One row of several: every q within half a step (a tie may go either way), sums exact, nothing else
 * touched. */
static void quantize_block(check *c, const goss_acts *x, int64_t b, const float *f)
{
    double top = 0;
    int sum[2] = { 0, 0 };
    for (int i = 0; i < GOSS_BLOCK; i++)
        if (fabs((double)f[i]) > top) top = fabs((double)f[i]);
    const double d = x->d[b];
    check_value(c, b, d, top >= 1e-30f ? top / 127 : 0, 2 * U * top / 127 + 1e-45);
    for (int i = 0; i < GOSS_BLOCK; i++) {
        const int q = x->q[b * GOSS_BLOCK + i];
        sum[i / 16] += q;
        if (q < -127) check_fail(c, "-128 is not a value", i, q, -127);
        check_value(c, b * GOSS_BLOCK + i, q * d, f[i], top >= 1e-30f ? d * (0.5 + 127 * 4 * U) : 1e-30);
    }
    for (int h = 0; h < 2; h++) check_value(c, b, x->s[2 * b + h], sum[h], 1e-9);
}
static void test_quantize(check *c, int arg)
{
    (void)arg;
    for (int s = 0; s < 40; s++) {
        const int nb = 1 + check_below(c, 90), n = nb * GOSS_BLOCK, rows = 1 + check_below(c, 3),
                  first = check_below(c, rows);
        const size_t all = (size_t)(n * rows);
        const float *f = randoms(c, 1, n, s % 3 ? 1.0f : s % 2 ? 1e-20f : 1e-33f);
        goss_acts x = { .n = n,
                        .q = check_memory(2, all),
                        .d = check_out(0, all / GOSS_BLOCK),
                        .s = check_memory(4, all / 8) };
        memset(x.q, 99, all);
        c->k->quantize(&x, first, f, n);
        for (int b = 0; b < nb; b++) quantize_block(c, &x, first * nb + b, f + b * GOSS_BLOCK);
        for (int i = 0; i < n * rows; i++)
            if (i / n != first && x.q[i] != 99) check_fail(c, "wrote into another row", i, x.q[i], 99);
        for (int i = 0; i < nb * rows; i++)
            if (i / nb != first && !isnan(x.d[i])) check_fail(c, "wrote into another row", i, x.d[i], 0);
        check_canaries(c, x.d, all / GOSS_BLOCK);
        if (c->failed) return;
    }
}
static void bench_quantize(check *c, int arg)
{
    goss_acts x = check_acts(c, 1, 2880, 1);
    double ns;
    (void)arg;
    CHECK_TIMED(ns, c->k->quantize(&x, 0, x.f, 2880));
    said(c, "2880", ns, 4 * 2880.0);
}

static void test_rope(check *c, int arg)
{
    (void)arg;
    for (int s = 0; s < 60; s++) {
        const int hd = (1 + check_below(c, 8)) * 16, rd = s % 3 ? hd : hd / 2, half = s & 1,
                  heads = 1 + check_below(c, 5), n = heads * hd;
        const float *t = randoms(c, 1, rd, 1.3f);
        float *want = randoms(c, 2, n, 1.0f), *got = check_out(0, (size_t)n), before[5 * 128];
        memcpy(got, want, (size_t)n * sizeof *got);
        memcpy(before, want, (size_t)n * sizeof *got);
        c->ref->rope(want, t, heads, hd, rd, half);
        c->k->rope(got, t, heads, hd, rd, half);
        for (int i = 0; i < n; i++) {
            const int k = i % hd, mate = i - k + (half ? (k < rd / 2 ? k + rd / 2 : k - rd / 2) : k ^ 1);
            const int pair = half ? k % (rd / 2) : k / 2;
            const double turn = k < rd ? fabs((double)t[pair]) + fabs((double)t[pair + rd / 2]) : 0;
            const double mag = k < rd ? turn * (fabs((double)before[i]) + fabs((double)before[mate])) : 0;
            check_value(c, i, got[i], want[i], 3 * U * mag + TINY);
        }
        check_canaries(c, got, (size_t)n);
        if (c->failed) return;
    }
}
static void bench_rope(check *c, int arg)
{
    const float *t = randoms(c, 1, 64, 1);
    float *x = check_out(0, 4096);
    double ns;
    (void)arg;
    for (int i = 0; i < 4096; i++) x[i] = 0;
    CHECK_TIMED(ns, c->k->rope(x, t, 64, 64, 64, 1));
    said(c, "64 heads of 64", ns, 2 * 4 * 4096.0);
}

/* What a page adds to the bounds: the largest sum |q k| of a visible score, and the largest visible |v|. */
static void attn_magnitudes(const goss_attn_q *q, const float *k, const float *v, int hd, double scale,
                            double *high, double *mag)
{
    for (int key = q->lo; key < q->hi; key++) {
        double t = 0;
        for (int d = 0; d < hd; d++) {
            t += fabs((double)q->q[d] * k[d * GOSS_ATTN_KEYS + key]);
            *mag = fmax(*mag, fabs((double)v[key * hd + d]));
        }
        *high = fmax(*high, t * scale);
    }
}
/* Keys that must not be looked at hold NaN. */
static void attn_poison(const goss_attn_q *q, float *k, float *v, int hd)
{
    for (int key = 0; key < GOSS_ATTN_KEYS; key++)
        for (int d = 0; d < hd && (key < q->lo || key >= q->hi); d++)
            k[d * GOSS_ATTN_KEYS + key] = v[key * hd + d] = NAN;
}
/* Three pages in a row through the online softmax. A score's rounding moves its weight by as much,
 * relatively. */
static void test_attn(check *c, int arg)
{
    enum { Q = 5, HD = 128 };
    static const int dims[] = { 16, 80, 128, 64, 64 };
    static float acc_want[Q][HD];
    (void)arg;
    for (int s = 0; s < 40; s++) {
        const int hd = dims[s % 5], sink = s & 1;
        const float *q = randoms(c, 1, Q * hd, 2.0f), scale = 1.0f / sqrtf((float)hd);
        float *acc = check_out(0, (size_t)(Q * hd));
        memset(acc_want, 0, sizeof acc_want);
        memset(acc, 0, (size_t)(Q * hd) * sizeof *acc);
        for (int i = 0; i < Q; i++) {
            const float m = sink ? 3 * check_randf(c) : -INFINITY, l = sink ? 1.0f : 0.0f;
            goss_attn_q want = { q + i * hd, acc_want[i], m, l, 0, 0 },
                        got = { q + i * hd, acc + i * hd, m, l, 0, 0 };
            double high = 0, mag = 0;
            for (int page = 0; page < 3; page++) {
                float *k = randoms(c, 2, hd * GOSS_ATTN_KEYS, 1.0f),
                      *v = randoms(c, 3, hd * GOSS_ATTN_KEYS, 1.0f);
                want.lo = s % 4 ? check_below(c, 64) : 0;
                want.hi = s % 8 ? want.lo + check_below(c, 65 - want.lo) : GOSS_ATTN_KEYS;
                got.lo = want.lo; got.hi = want.hi;
                attn_magnitudes(&want, k, v, hd, scale, &high, &mag);
                if (s % 3) attn_poison(&want, k, v, hd);
                c->ref->attn(&want, 1, k, v, hd, scale);
                c->k->attn(&got, 1, k, v, hd, scale);
            }
            const double rel = U * (40 + 8 * sqrt(hd) + 4 * sqrt(hd) * high);
            if (want.l == 0) { if (got.l != 0) check_fail(c, "nothing was visible", i, got.l, 0); continue; }
            check_value(c, i, got.m, want.m, U * 2 * sqrt(hd) * (high + 1) + TINY);
            check_value(c, i, got.l * exp((double)got.m - want.m), want.l, rel * want.l);
            for (int d = 0; d < hd; d++)
                check_value(c, d, acc[i * hd + d] / got.l, acc_want[i][d] / want.l, rel * (mag + TINY) * 2);
        }
        check_canaries(c, acc, (size_t)(Q * hd));
        if (c->failed) return;
    }
}
static void bench_attn(check *c, int arg)
{
    const float *q = randoms(c, 1, 8 * 64, 1), *k = randoms(c, 2, 4096, 1), *v = randoms(c, 3, 4096, 1);
    float *acc = check_out(0, 8 * 64);
    goss_attn_q qs[8];
    double ns;
    (void)arg;
    memset(acc, 0, 8 * 64 * sizeof *acc);
    for (int i = 0; i < 8; i++) qs[i] = (goss_attn_q){ q + i * 64, acc + i * 64, 0, 1, 0, 64 };
    CHECK_TIMED(ns, c->k->attn(qs, 8, k, v, 64, 0.125f));
    check_time(c, "8 heads, 64 keys of 64", ns, 2 * 4 * 4096.0 / ns, 0, 8 * 2 * 4096 / ns);
}

static void test_f16_load(check *c, int arg)
{
    static uint16_t h[65536];
    static float want[65536];
    (void)arg;
    for (int i = 0; i < 65536; i++) h[i] = (uint16_t)i;
    c->ref->f16_load(want, h, 65536);
    float *got = check_out(0, 65536);
    c->k->f16_load(got, h, 65536);
    for (int i = 0; i < 65536; i++)
        if (isnan(want[i]) ? !isnan(got[i]) : memcmp(want + i, got + i, 4) != 0)
            check_fail(c, "not the same value", i, got[i], want[i]);
    c->n_checked += 65536;
    for (int n = 1; n < 20; n++) {
        got = check_out(0, (size_t)n);
        c->k->f16_load(got, h + 15360, n);
        check_same(c, "not the same value", got, want + 15360, (size_t)n, 4);
        check_canaries(c, got, (size_t)n);
    }
}
static void test_f16_store(check *c, int arg)
{
    static uint16_t want[4096], got[4096 + 16];
    (void)arg;
    for (int s = 0; s < 60; s++) {
        const int n = s < 20 ? s + 1 : 4096;
        float *x = randoms(c, 1, n, s % 3 == 0 ? 1000.0f : s % 3 == 1 ? 1e-6f : 3e-3f);
        for (int i = 0; i < n; i += 3)
            x[i] =
                goss_f16_to_f32((uint16_t)(check_rand(c) & 0x7bff)) * (1.0f + 0.00048828125f); /* near ties */
        memset(got, 0x5a, sizeof got);
        c->ref->f16_store(want, x, n);
        c->k->f16_store(got, x, n);
        check_same(c, "not rounded to nearest", got, want, (size_t)n, 2);
        if (got[n] != 0x5a5a) check_fail(c, "wrote past its output", n, got[n], 0x5a5a);
    }
}

/* The exponent's argument carries a rounding of U * |x|. Under 1e-30 float's range ends and any such value is
 * right. */
static void test_swiglu(check *c, int silu)
{
    static float want[MAX_N];
    static const float scales[] = { 1.0f, 12.0f, 150.0f };
    for (int s = 0; sizes[s]; s++)
        for (int e = 0; e < 3; e++) {
            const int n = sizes[s];
            float *g = randoms(c, 1, n, scales[e]), *u = randoms(c, 2, n, scales[e]),
                  *got = check_out(0, (size_t)n);
            if (n > 32) {
                g[3] = 10;
                u[3] = 10;
                g[4] = 7;
                u[4] = -7;
                g[5] = -20;
                u[5] = -9;
                g[6] = 0.5f;
                u[6] = -1;
            }
            if (silu) { c->ref->silu_mul(want, g, u, n); c->k->silu_mul(got, g, u, n); }
            else { c->ref->swiglu(want, g, u, n, 1.702f, 7.0f); c->k->swiglu(got, g, u, n, 1.702f, 7.0f); }
            for (int i = 0; i < n; i++) {
                const double x = fabs((double)g[i]) * 1.702, up = fabs((double)u[i]) + 1;
                check_value(c, i, got[i], want[i], U * (20 + 3 * x) * fabs((double)want[i]) + 1e-30 * up);
            }
            check_canaries(c, got, (size_t)n);
            if (c->failed) return;
        }
}
static void bench_swiglu(check *c, int arg)
{
    const float *g = randoms(c, 1, 2880, 1), *u = randoms(c, 2, 2880, 1);
    float *y = check_out(0, 2880);
    double ns;
    (void)arg;
    CHECK_TIMED(ns, c->k->swiglu(y, g, u, 2880, 1.702f, 7.0f));
    said(c, "2880", ns, 3 * 4 * 2880.0);
}

static void test_topk(check *c, int arg)
{
    (void)arg;
    for (int s = 0; s < 200; s++) {
        const int n = 1 + check_below(c, 128), k = 1 + check_below(c, n < 8 ? n : 8);
        float *x = randoms(c, 1, n, 4.0f), *w = check_out(0, (size_t)k), ww[8];
        int32_t ids[8 + 2] = { 0 }, want[8];
        ids[k] = -77;
        if (s % 3 == 0) for (int i = 0; i < n; i++) x[i] = (float)check_below(c, 4);     /* ties */
        c->ref->topk(want, ww, x, n, k);
        c->k->topk(ids, w, x, n, k);
        check_same(c, "not the same choice", ids, want, (size_t)k, 4);
        for (int i = 0; i < k; i++) check_value(c, i, w[i], ww[i], U * 100 * ww[i] + TINY);
        if (ids[k] != -77) check_fail(c, "wrote past its output", k, ids[k], -77);
        check_canaries(c, w, (size_t)k);
        if (c->failed) return;
    }
}

static void test_axpy(check *c, int arg)
{
    (void)arg;
    for (int s = 0; sizes[s]; s++) {
        const int n = sizes[s];
        const float *x = randoms(c, 1, n, 1.0f), a = check_randf(c);
        float *want = randoms(c, 2, n, 1.0f), *got = check_out(0, (size_t)n);
        static float mag[MAX_N];
        for (int i = 0; i < n; i++) {
            mag[i] = fabsf(want[i]) + fabsf(a * x[i]);
            got[i] = want[i];
        }
        c->ref->axpy(want, x, a, n);
        c->k->axpy(got, x, a, n);
        for (int i = 0; i < n; i++) check_value(c, i, got[i], want[i], 2 * U * mag[i] + TINY);
        check_canaries(c, got, (size_t)n);
        if (c->failed) return;
    }
}

#define FLOATS(name, type) { "matvec_" #name, check_matvec, check_matvec_bench, GOSS_##type }
#define BOTH(name, type) FLOATS(name, type), { "gemm_" #name, check_tile, check_tile_bench, GOSS_##type }
const check_test check_tests[] = { { "rmsnorm", test_rmsnorm, bench_rmsnorm, 0 },
                                   { "quantize", test_quantize, bench_quantize, 0 },
                                   { "rope", test_rope, bench_rope, 0 },
                                   { "attn", test_attn, bench_attn, 0 },
                                   { "f16_load", test_f16_load, NULL, 0 },
                                   { "f16_store", test_f16_store, NULL, 0 },
                                   { "swiglu", test_swiglu, bench_swiglu, 0 },
                                   { "silu_mul", test_swiglu, NULL, 1 },
                                   { "topk", test_topk, NULL, 0 },
                                   { "axpy", test_axpy, NULL, 0 },
                                   FLOATS(f32, F32),
                                   FLOATS(f16, F16),
                                   FLOATS(bf16, BF16),
                                   BOTH(q4_0, Q4_0),
                                   BOTH(q4_1, Q4_1),
                                   BOTH(q5_0, Q5_0),
                                   BOTH(q5_1, Q5_1),
                                   BOTH(q8_0, Q8_0),
                                   BOTH(q2_k, Q2_K),
                                   BOTH(q3_k, Q3_K),
                                   BOTH(q4_k, Q4_K),
                                   BOTH(q5_k, Q5_K),
                                   BOTH(q6_k, Q6_K),
                                   BOTH(iq4_nl, IQ4_NL),
                                   BOTH(mxfp4, MXFP4),
                                   { "wide_q8_0", check_wide, NULL, GOSS_Q8_0 },
                                   { NULL, NULL, NULL, 0 } };
