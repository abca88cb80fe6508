/* check_dot.c - products with weights of every type: matvec_* (few rows, bit-equal in any batch), pack_* and
 * gemm (many).
 *
 * A product's error is measured against the sum of |s q x| + |m x| over its terms, taken from the portable
 * unpacking, whose own exactness is tested first against goss_to_float. */
#include "check.h"
#include <math.h>
#include <string.h>

#define U 5.9604645e-08
enum { MAX_ROWS = 40, MAX_M = 40 };

static int is_float(int type) { return type == GOSS_F32 || type == GOSS_F16 || type == GOSS_BF16; }
/* Row lengths for a type, from one block up to the real models'. */
static int length(int type, int i)
{
    static const int floats[] = { 1, 7, 8, 9, 16, 33, 256, 2880, 0 },
                     blocks[] = { 32, 64, 96, 256, 288, 2880, 0 }, supers[] = { 256, 512, 768, 4096, 0 };
    const int block = goss_type_get(type)->block;
    return (block == 1 ? floats : block == 32 ? blocks : supers)[i];
}

static goss_tile tile(int slot, int n, int form)
{
    uint8_t *p = check_memory(slot, GOSS_TILE_Q(n) + 2 * GOSS_TILE_S(n) * sizeof(float) + 64);
    goss_tile t = { .form = form };
    t.q = p + (64 - (uintptr_t)p % 64) % 64;
    t.s = (float *)(void *)(t.q + GOSS_TILE_Q(n));
    t.m = t.s + GOSS_TILE_S(n);
    memset(t.q, 0xa5, GOSS_TILE_Q(n) + 2 * GOSS_TILE_S(n) * sizeof(float));
    return t;
}
static double tile_s(const goss_tile *t, int i, int k)
{
    return t->s[(size_t)k * (size_t)t->groups / 32 * GOSS_TILE_ROWS + (size_t)i];
}
static double tile_m(const goss_tile *t, int i, int k)
{
    return t->has_min ? t->m[(size_t)k * (size_t)t->groups / 32 * GOSS_TILE_ROWS + (size_t)i] : 0;
}
static int tile_q(const goss_tile *t, int i, int k)
{
    const uint8_t b = t->q[(size_t)k / 4 * 64 + (size_t)i * 4 + (size_t)k % 4];
    return (t->form == GOSS_TILE_SIGNED || !t->bias ? (int8_t)b : b) - t->bias;
}

/* Sums of magnitudes of row i (of at most 16 from w) with every activation row. */
static void magnitudes(int type, const uint8_t *w, int64_t row_bytes, int i, const goss_acts *x, int m,
                       double *mag)
{
    static float row[8192];
    const int n = x->n;
    goss_kern kc;
    goss_kern_init_c(&kc);
    goss_tile t = { 0 };
    if (is_float(type)) goss_to_float(type, w + i * row_bytes, row, n);
    else {
        t = tile(7, n, GOSS_TILE_SIGNED);
        goss_kern_pack(&kc, type)(&t, w + i * row_bytes, row_bytes, 1, n);
    }
    for (int j = 0; j < m; j++) {
        mag[j] = 0;
        for (int k = 0; k < n; k++) {
            const int64_t at = (int64_t)j * n + k;
            if (is_float(type)) mag[j] += fabs((double)row[k] * x->f[at]);
            else
                mag[j] += (fabs(tile_s(&t, 0, k) * tile_q(&t, 0, k)) + fabs(tile_m(&t, 0, k))) *
                          fabs((double)x->q[at] * x->d[at / 32]);
        }
    }
}

static void compare(check *c, int type, const uint8_t *w, int64_t row_bytes, int n_rows, const goss_acts *x,
                    int m, const float *got, int64_t stride)
{
    static float want[MAX_M];
    double mag[MAX_M];
    for (int i = 0; i < n_rows && !c->failed; i++) {
        goss_kern_matvec(c->ref, type)(want, 1, w + i * row_bytes, row_bytes, 1, x, 0, m);
        magnitudes(type, w, row_bytes, i, x, m, mag);
        for (
            int j = 0; j < m;
            /* 1e-44: subnormal results lose bits; 1e-38: MXFP4's smallest scales times small activations */
            j++)
            check_value(c, j * 1000 + i, got[j * stride + i], want[j],
                        U * (8 + 2 * sqrt(x->n)) * mag[j] + 1e-38);
    }
}

/* Nothing is written between the rows of the output, nor outside it. */
static void check_borders(check *c, const float *got, int n_rows, int64_t stride, int m)
{
    for (int j = 0; j < m; j++)
        for (int i = n_rows; i < stride; i++)
            if (!isnan(got[j * stride + i]))
                check_fail(c, "wrote between rows", j * stride + i, got[j * stride + i], 0);
    check_canaries(c, got, (size_t)(stride * m));
}

/* Sizes are dealt, not drawn: every one of the n comes in any n cases, in an order that the seed chooses. */
typedef struct deck { const int *sizes; int n, at, step; } deck;

static deck shuffle(check *c, const int *sizes, int n)     /* n is a prime: every step visits all */
{
    return (deck){ .sizes = sizes, .n = n, .at = check_below(c, n), .step = 1 + check_below(c, n - 1) };
}
static int deal(deck *d) { return d->sizes[d->at = (d->at + d->step) % d->n]; }

void check_matvec(check *c, int type)
{
    const goss_matvec_fn run = goss_kern_matvec(c->k, type);
    static float one[MAX_M * MAX_ROWS];
    static const int row_counts[] = { 1, 3, 4, 5, 8, 13, 16 }, batch_sizes[] = { 1, 2, 3, 4, 5, 7, 11 };
    deck rows = shuffle(c, row_counts, 7), batches = shuffle(c, batch_sizes, 7);
    for (int l = 0; length(type, l); l++)
        for (int s = 0; s < 4; s++) {
            const int n = length(type, l), n_rows = deal(&rows), m = s ? deal(&batches) : 16,
                      pad = check_below(c, 3);
            const goss_acts x = check_acts(c, m, n, s == 3 ? 1e-3f : 1.0f);
            const goss_type_info *t = goss_type_get(type);
            const int64_t row_bytes = (int64_t)goss_type_row_bytes(type, n), stride = n_rows + pad;
            uint8_t *w = check_memory(5, (size_t)(row_bytes * n_rows));
            check_weights(c, type, w, (int64_t)n_rows * n / t->block, s == 2);
            float *got = check_out(0, (size_t)(stride * m));
            run(got, stride, w, row_bytes, n_rows, &x, 0, m);
            compare(c, type, w, row_bytes, n_rows, &x, m, got, stride);
            check_borders(c, got, n_rows, stride, m);
            /* any batch: each row alone, and each weight row alone */
            for (int j = 0; j < m; j++) {
                run(one, stride, w, row_bytes, n_rows, &x, j, 1);
                check_same(c, "a row differs with the batch", one, got + j * stride, (size_t)n_rows, 4);
            }
            for (int i = 0; i < n_rows; i++) {
                run(one, 1, w + i * row_bytes, row_bytes, 1, &x, 0, m);
                for (int j = 0; j < m; j++)
                    check_same(c, "a weight row differs with its neighbours", one + j, got + j * stride + i,
                               1, 4);
            }
            if (c->failed) return;
        }
}

static void compare_pack(check *c, int type, const uint8_t *w, int64_t row_bytes, int n_rows,
                         const goss_tile *t)
{
    static float row[8192];
    for (int i = 0; i < GOSS_TILE_ROWS; i++) {
        if (i < n_rows) goss_to_float(type, w + i * row_bytes, row, t->n);
        for (int k = 0; k < t->n; k++) {
            const double s = tile_s(t, i, k), q = tile_q(t, i, k), m = tile_m(t, i, k);
            if (i >= n_rows) { check_value(c, i * 10000 + k, s * q + m, 0, 1e-60); continue; }
            /* goss_to_float rounds s * q and the sum to float */
            check_value(c, i * 10000 + k, s * q + m, row[k], U * (fabs(s * q) + fabs(s * q + m)) + 1e-45);
            if (t->small && t->form != GOSS_TILE_UNSIGNED && t->bias + q > 31)
                check_fail(c, "not small", k, q, 31);
        }
    }
}

void check_tile(check *c, int type)
{
    static float one[MAX_M * MAX_ROWS];
    static const int batch_sizes[] = { 1, 3, 4, 16, 17, 33, 37 };
    deck batches = shuffle(c, batch_sizes, 7);
    for (int l = 0; length(type, l); l++)
        for (int s = 0; s < 3; s++) {
            const int n = length(type, l), n_rows = s ? 1 + check_below(c, 16) : 16,
                      m = deal(&batches), pad = check_below(c, 3);
            const goss_acts x = check_acts(c, m, n, 1.0f);
            const int64_t row_bytes = (int64_t)goss_type_row_bytes(type, n), stride = n_rows + pad;
            uint8_t *w = check_memory(5, (size_t)(row_bytes * n_rows));
            check_weights(c, type, w, (int64_t)n_rows * n / goss_type_get(type)->block, s == 2);
            goss_tile t = tile(6, n, c->k->tile_form);
            goss_kern_pack(c->k, type)(&t, w, row_bytes, n_rows, n);
            if (t.n != n || t.n_rows != n_rows)
                check_fail(c, "the tile's size is wrong", 0, t.n_rows, n_rows);
            compare_pack(c, type, w, row_bytes, n_rows, &t);
            float *got = check_out(0, (size_t)(stride * m));
            c->k->gemm(got, stride, &t, &x, 0, m);
            compare(c, type, w, row_bytes, n_rows, &x, m, got, stride);
            check_borders(c, got, n_rows, stride, m);
            for (int j = 0; j < m; j++) {
                c->k->gemm(one, stride, &t, &x, j, 1);
                check_same(c, "a row differs with the batch", one, got + j * stride, (size_t)n_rows, 4);
            }
            if (c->failed) return;
        }
}

/* Activations of 16 bits: what widen makes of floats, and its products with Q8_0. */
void check_wide(check *c, int type)
{
    static float row[8192], one[MAX_M * MAX_ROWS];
    static const int row_counts[] = { 1, 3, 16, 17, 31, 32, 40 }, batch_sizes[] = { 1, 2, 3, 16, 17, 32, 37 };
    deck rows = shuffle(c, row_counts, 7), batches = shuffle(c, batch_sizes, 7);
    for (int l = 0; c->k->wide_q8_0 && length(type, l); l++)
        for (int s = 0; s < 4; s++) {
            const int n = length(type, l), n_rows = deal(&rows), m = deal(&batches);
            const goss_acts x = check_acts(c, m, n, s == 3 ? 1e-3f : 1.0f);
            const int64_t row_bytes = (int64_t)goss_type_row_bytes(type, n),
                          stride = n_rows + check_below(c, 3);
            uint8_t *w = check_memory(5, (size_t)(row_bytes * n_rows));
            check_weights(c, type, w, (int64_t)n_rows * n / goss_type_get(type)->block, s == 2);
            const goss_wide wide = { n, check_memory(6, (size_t)m * (size_t)n * 2),
                                     check_memory(7, (size_t)m * (size_t)n / 32 * sizeof(float)) };
            for (int j = 0; j < m; j++) c->k->widen(&wide, j, x.f + (int64_t)j * n);
            /* half a step; floats round three times: 3 * 32767 * 2^-24 of one */
            for (int k = 0; k < m * n; k++)
                check_value(c, k, wide.q[k] * (double)wide.d[k / 32], x.f[k],
                            0.506 * (double)wide.d[k / 32] + 1e-30);
            float *got = check_out(0, (size_t)(stride * m));
            c->k->wide_q8_0(got, stride, w, row_bytes, n_rows, &wide, 0, m);
            for (int i = 0; i < n_rows && !c->failed; i++) {
                goss_to_float(type, w + i * row_bytes, row, n);
                for (int j = 0; j < m; j++) {
                    double want = 0, mag = 0;
                    for (int k = 0; k < n; k++) {
                        const int64_t at = (int64_t)j * n + k;
                        const double p = (double)row[k] * wide.q[at] * (double)wide.d[at / 32];
                        want += p;
                        mag += fabs(p);
                    }
                    check_value(c, j * 1000 + i, got[j * stride + i], want,
                                U * (8 + 2 * sqrt(n)) * mag + 1e-38);
                }
            }
            for (int j = 0; j < m; j++) {
                for (int i = n_rows; i < stride; i++)
                    if (!isnan(got[j * stride + i]))
                        check_fail(c, "wrote between rows", j * stride + i, got[j * stride + i], 0);
                c->k->wide_q8_0(one, stride, w, row_bytes, n_rows, &wide, j, 1);
                check_same(c, "a row differs with the batch", one, got + j * stride, (size_t)n_rows, 4);
            }
            check_canaries(c, got, (size_t)(stride * m));
            if (c->failed) return;
        }
}

/* 2,880 by 2,880 (K-quants: 2,816 long) over 32 MB of weights, so that they come from memory as in
 * decoding. */
static int bench_length(int type) { return goss_type_get(type)->block == 256 ? 2816 : 2880; }

void check_matvec_bench(check *c, int type)
{
    const int n = bench_length(type), rows = 64;
    const int64_t row_bytes = (int64_t)goss_type_row_bytes(type, n), all = 32 << 20,
                  n_rows = all / row_bytes / rows * rows;
    static const struct { int m; const char *what; } batches[] = {
        { 1, "1 row, per weight row" },  { 2, "2 rows, per weight row" }, { 3, "3 rows, per weight row" },
        { 4, "4 rows, per weight row" }, { 5, "5 rows, per weight row" }, { 8, "8 rows, per weight row" },
        { 16, "16 rows, per weight row" }, { 0, NULL }
    };
    uint8_t *w = check_memory(5, (size_t)(row_bytes * n_rows));
    check_weights(c, type, w, n_rows * n / goss_type_get(type)->block, 0);
    for (int b = 0; batches[b].m; b++) {
        const int m = batches[b].m;
        const goss_acts x = check_acts(c, m, n, 1.0f);
        float *y = check_out(0, (size_t)(rows * m));
        int64_t at = 0;
        double ns;
        CHECK_TIMED(ns, (goss_kern_matvec(c->k, type)(y, rows, w + at * row_bytes, row_bytes, rows, &x, 0, m),
                         at = (at + rows) % n_rows));
        ns /= rows;
        check_time(c, batches[b].what, ns, (double)row_bytes / ns,
                   c->roof > 0 ? (double)row_bytes / ns / c->roof : 0, (double)n * m / ns);
    }
}

void check_tile_bench(check *c, int type)
{
    const int n = bench_length(type), m = 64;
    const int64_t row_bytes = (int64_t)goss_type_row_bytes(type, n);
    uint8_t *w = check_memory(5, (size_t)(row_bytes * GOSS_TILE_ROWS));
    check_weights(c, type, w, (int64_t)GOSS_TILE_ROWS * n / goss_type_get(type)->block, 0);
    const goss_acts x = check_acts(c, m, n, 1.0f);
    goss_tile t = tile(6, n, c->k->tile_form);
    float *y = check_out(0, (size_t)(GOSS_TILE_ROWS * m));
    double ns;
    CHECK_TIMED(ns, goss_kern_pack(c->k, type)(&t, w, row_bytes, GOSS_TILE_ROWS, n));
    check_time(c, "pack 16 rows", ns, (double)(row_bytes * GOSS_TILE_ROWS) / ns, 0, 0);
    CHECK_TIMED(ns, c->k->gemm(y, GOSS_TILE_ROWS, &t, &x, 0, m));
    check_time(c, "64 by 16 rows", ns, 0, 0, (double)n * m * (double)GOSS_TILE_ROWS / ns);
}
