/* moe_gpu.c - the experts' kernels for few rows, and how entries are sorted for many: route, router, choose,
 * experts_up, experts_down, both on floats, group. */
#include "tests_gpu.h"
#include "base/fmt.h"
#include "model/stage.h"
#include <math.h>
#include <string.h>

static float as_float(uint32_t u)
{
    union {
        uint32_t u;
        float f;
    } v = { u };
    return v.f;
}

/* ---- route --------------------------------------------------------------------------------------------- */
/* The choice follows the device's own logits exactly: those have their bounds, and of equal ones the lower
 * number comes first. */
static void put_choice(gc *g, gc_case *c, const float *logits, const uint32_t *slots, int route,
                       const uint32_t *out)
{
    const uint32_t rows = c->keep[0], e = c->keep[1], k = c->keep[2];
    for (uint32_t r = 0; r < rows; r++) {
        const float *l = logits + (size_t)r * e;
        uint32_t chosen[32];
        double total = 0;
        for (uint32_t i = 0; i < k; i++) {
            chosen[i] = e;
            for (uint32_t x = 0; x < e; x++) {
                int taken = 0;
                for (uint32_t j = 0; j < i; j++) taken |= chosen[j] == x;
                if (!taken && (chosen[i] == e || l[x] > l[chosen[i]])) chosen[i] = x;
            }
            total += exp((double)l[chosen[i]] - (double)l[chosen[0]]);
        }
        for (uint32_t i = 0; i < k; i++) {
            const double x = (double)l[chosen[0]] - (double)l[chosen[i]], w = exp(-x) / total;
            const float got = as_float(out[(r * k + i) * 2 + 1]);
            gc_put(&c->buffer[route], (r * k + i) * 2, slots[chosen[i]], 0);
            gc_put(&c->buffer[route], (r * k + i) * 2 + 1, 0, GC_ANY);
            if (!(fabs((double)got - w) <= GC_U * (24 + 4 * x) * w + 1e-36))
                gc_fail(g, "a weight is not the softmax's");
        }
    }
}

static void settle_route(gc *g, gc_case *c, void *const *out)
{
    if (c->kept[3]) gc_settle_packed(g, c, out);
    put_choice(g, c, out[5], (const uint32_t *)c->kept[0] + c->keep[3] * c->keep[1], 6, out[6]);
}

static const struct {
    uint32_t n, e, k;
} sizes[] = {
    { 64, 8, 2 }, { 256, 32, 4 }, { 260, 5, 1 }, { 128, 128, 4 }, { 2880, 32, 4 }, { 2880, 128, 4 }
};

/* What a row's norm and its logits are to be; small: gain, router and bias behind four floats. */
/* at: where the logits begin. */
static void put_router(gc *g, gc_buffer *y, gc_packed_want *q, gc_buffer *logits, uint32_t at, const float *x,
                       const float *small, uint32_t rows, uint32_t n, uint32_t e, float eps)
{
    double *want = gc_alloc(g, n * sizeof *want), relative;
    const float *router = small + 4 + n, *bias = router + (size_t)n * e;
    for (uint32_t r = 0; r < rows && !g->broken; r++) {
        gc_norm_row(x + (size_t)r * n, small + 4, n, eps, want, &relative);
        gc_put_row(y, q, r, n, want, relative);
        for (uint32_t a = 0; a < e; a++) {
            double sum = (double)bias[a], all = fabs(sum);
            for (uint32_t j = 0; j < n; j++) {
                const double v = want[j] * (double)router[a * n + j];
                sum += v;
                all += fabs(v);
            }
            gc_put(logits, at + (size_t)r * e + a, sum, gc_sum_bound(all, n) + relative * all);
        }
    }
}

int gc_make_route(gc *g, gc_case *c, int i)
{
    const uint32_t n = sizes[i / 2 % 6].n, e = sizes[i / 2 % 6].e, k = sizes[i / 2 % 6].k,
                   rows = 1 + (uint32_t)gc_below(g, 6), layer = (uint32_t)(i % 3);
    const uint32_t threads = i & 1 ? g->limits->max_invocations >= 1024 ? 1024 : 256 : 64;
    const gc_tuning t = gc_tuning_of(g, i & 1);
    const int packed = i >= 12;
    if (packed && (n % 32 || !(g->limits->features & GOSS_GPU_DOT4))) return 1;
    const uint32_t groups = threads / t.lanes, each = ceil_div(e, groups) > 4 ? 4 : ceil_div(e, groups);
    const uint32_t gain = 4, router = gain + n, bias = router + n * e, n_small = bias + (e + 3) / 4 * 4;
    float *small = gc_floats(g, n_small, 1);
    const float *x = gc_floats(g, (size_t)rows * n, 3), eps = 1e-5f;
    uint32_t *slots = gc_alloc(g, 3 * e * 4);
    if (g->broken) return 0;
    for (uint32_t s = 0; s < 3 * e; s++) slots[s] = s * 7 % (e + 3);
    if (e > 4) { /* experts 1 and 4 are the same: equal logits */
        memcpy(small + router + 4 * n, small + router + n, n * 4);
        small[bias + 4] = small[bias + 1] = i % 4 == 2 ? 3000.0f : 1.0f;
    }
    const goss_block_route p = { .n = n, .eps = eps, .gain = gain, .router = router, .bias = bias,
                                 .n_expert = e, .top_k = k, .layer = layer };
    gc_begin(c, "route.wgsl", rows, 1, 1);
    goss_buf_printf(&c->defines, "EP=%u IT=%d %s", each, i & 1 ? 5 : 1, packed ? "PACKED=y " : "");
    if (n * 4 + threads * 16 <= g->limits->max_workgroup_bytes)
        goss_buf_printf(&c->defines, "STAGED=%u ", n / 4);
    gc_reduce_defines(g, c, threads, t.lanes, each);
    goss_fmt(c->what, sizeof c->what, "%u rows of %u, %u of %u experts", rows, n, k, e);
    gc_params(g, c, &p, sizeof p);
    gc_in(c, small, n_small * 4);
    gc_in(c, x, (size_t)rows * n * 4);
    gc_in(c, slots, 3 * e * 4);
    gc_buffer *y = packed ? NULL : gc_out(g, c, GC_FLOAT, (size_t)rows * n);
    gc_packed_want *q = packed ? gc_packed_out(g, c, rows, n) : NULL;
    gc_buffer *logits = gc_out(g, c, GC_FLOAT, (size_t)rows * e);
    gc_out(g, c, GC_WORD, (size_t)rows * k * 2);
    put_router(g, y, q, logits, 0, x, small, rows, n, e, eps);
    c->keep[0] = rows;
    c->keep[1] = e;
    c->keep[2] = k;
    c->keep[3] = layer;
    c->kept[0] = slots;
    c->settle = settle_route;
    return 0;
}

/* ---- router and choose: the same in two ---------------------------------------------------------------- */
int gc_make_router(gc *g, gc_case *c, int i)
{
    const uint32_t n = sizes[i % 6].n, e = sizes[i % 6].e, rows = 1 + (uint32_t)gc_below(g, 6), threads = 256;
    if (n % 32 || !(g->limits->features & GOSS_GPU_DOT4)) return 1;
    const uint32_t router = 4 + n, bias = router + n * e, n_small = bias + (e + 3) / 4 * 4;
    const float *small = gc_floats(g, n_small, 1), *x = gc_floats(g, (size_t)rows * n, 3), eps = 1e-5f;
    const uint32_t at = (uint32_t)(i % 3) * e;
    const goss_block_route p = { .n = n, .eps = eps, .gain = 4, .router = router, .bias = bias,
                                 .n_expert = e, .logits = at };
    gc_begin(c, "router.wgsl", e, rows, 1);
    goss_buf_printf(&c->defines, "IT=%u PACKED=y ", ceil_div(n / 4, threads));
    gc_reduce_defines(g, c, threads, threads, 1);
    goss_fmt(c->what, sizeof c->what, "%u rows of %u, %u experts", rows, n, e);
    gc_params(g, c, &p, sizeof p);
    gc_in(c, small, n_small * 4);
    gc_in(c, x, (size_t)rows * n * 4);
    gc_packed_want *q = gc_packed_out(g, c, rows, n);
    gc_buffer *logits = gc_out(g, c, GC_FLOAT, at + (size_t)rows * e);
    put_router(g, NULL, q, logits, at, x, small, rows, n, e, eps);
    c->settle = gc_settle_packed;
    return 0;
}

static void settle_choose(gc *g, gc_case *c, void *const *out)
{
    put_choice(g, c, c->kept[1], (const uint32_t *)c->kept[0] + c->keep[3] * c->keep[1], 3, out[3]);
}

int gc_make_choose(gc *g, gc_case *c, int i)
{
    const uint32_t e = sizes[i % 6].e, k = sizes[i % 6].k, rows = 1 + (uint32_t)gc_below(g, 20),
                   layer = (uint32_t)(i % 3);
    float *logits = gc_floats(g, (size_t)rows * e, i & 1 ? 40 : 2);
    uint32_t *slots = gc_alloc(g, 3 * e * 4);
    if (g->broken) return 0;
    for (uint32_t s = 0; s < 3 * e; s++) slots[s] = s * 7 % (e + 3);
    for (uint32_t r = 0; r < rows && e > 4; r++)
        logits[r * e + 4] = logits[r * e + 1] = 100; /* equal ones, and chosen */
    const goss_block_route p = { .n_expert = e, .top_k = k, .layer = layer };
    gc_begin(c, "choose.wgsl", rows, 1, 1);
    goss_buf_str(&c->defines, "WG=64");
    goss_fmt(c->what, sizeof c->what, "%u rows, %u of %u experts", rows, k, e);
    gc_params(g, c, &p, sizeof p);
    gc_in(c, logits, (size_t)rows * e * 4);
    gc_in(c, slots, 3 * e * 4);
    gc_out(g, c, GC_WORD, (size_t)rows * k * 2);
    c->keep[0] = rows;
    c->keep[1] = e;
    c->keep[2] = k;
    c->keep[3] = layer;
    c->kept[0] = slots;
    c->kept[1] = logits;
    c->settle = settle_choose;
    return 0;
}

/* ---- experts_up_float and experts_down_float ----------------------------------------------------------- */
typedef struct experts {
    int layout, tuning;
    uint32_t n_in, n_out, rows, top_k, n_expert, first, n, bias,
        inverse; /* slots [first, first + n) are in this piece */
    uint32_t *route, *slots;
    float *small;
    gc_matrix m;
} experts;

/* Slots are a permutation of the experts; entries of other pieces and (NONE) of no slot at all are left
 * alone. */
static experts experts_make(gc *g, int i, int down, int split)
{
    static const uint32_t ins[] = { 32, 64, 96, 288 }, outs[] = { 2, 8, 34, 130 };
    const int large = i >= 4 * GOSS_N_LAYOUTS;
    experts e = { .layout = large ? GOSS_LAYOUT_MX4 : i % GOSS_N_LAYOUTS,
                  .tuning = i / GOSS_N_LAYOUTS % 2,
                  .n_in = large ? 2880 : ins[gc_below(g, 4)],
                  .n_out = large ? down ? 2880 : 640 : outs[gc_below(g, 4)],
                  .rows = large ? 1 : 1 + (uint32_t)gc_below(g, 4),
                  .top_k = large ? 4 : 1 + (uint32_t)gc_below(g, 4),
                  .n_expert = large ? 4 : 4 + (uint32_t)gc_below(g, 3) };
    e.first = split ? 1 : 0;
    e.n = split ? e.n_expert - 2 : e.n_expert;
    e.bias = 4;
    e.inverse = e.n_expert * 2;
    e.m = gc_matrix_make(g, e.layout, e.n_in, e.n * e.n_out, 0);
    e.small = gc_floats(g, e.bias + (size_t)e.n_expert * e.n_out, 1);
    e.route = gc_alloc(g, (size_t)e.rows * e.top_k * 8);
    e.slots = gc_alloc(g, (size_t)e.n_expert * 3 * 4);
    if (g->broken) return e;
    for (uint32_t s = 0; s < 3 * e.n_expert; s++) e.slots[s] = (s * 5 + 1) % e.n_expert;
    for (uint32_t r = 0; r < e.rows * e.top_k; r++) {
        e.route[2 * r] = (r / e.top_k + r % e.top_k) % e.n_expert;
        e.route[2 * r + 1] = bits((float)(1 + gc_below(g, 99)) / 100);
    }
    return e;
}

static void experts_in(gc *g, gc_case *c, const experts *e, const goss_block_experts *p, const float *logits,
                       const void *x, size_t n_x)
{
    goss_fmt(c->what, sizeof c->what, "%u rows, %u of %u experts, %u -> %u", e->rows, e->top_k, e->n_expert,
             e->n_in, e->n_out);
    gc_params(g, c, p, sizeof *p);
    if (logits) gc_in(c, logits - e->n_expert, (size_t)e->n_expert * 8);
    else gc_in(c, e->route, (size_t)e->rows * e->top_k * 8);
    gc_matrix_in(c, &e->m);
    gc_in(c, e->small, (e->bias + (size_t)e->n_expert * e->n_out) * 4);
    gc_in(c, x, n_x * 4);
}

static int is_here(const experts *e, uint32_t entry)
{
    return e->route[2 * entry] >= e->first && e->route[2 * entry] < e->first + e->n;
}

/* One output of an entry's expert, bias included, and its bound. */
static double expert_dot(const experts *e, uint32_t entry, uint32_t o, const float *x, double *bound)
{
    const uint32_t slot = e->route[2 * entry];
    const double extra = (double)e->small[e->bias + (size_t)e->slots[e->inverse + slot] * e->n_out + o];
    double mag;
    const double v = gc_dot(&e->m, (slot - e->first) * e->n_out + o, x, &mag) + extra;
    *bound = gc_sum_bound(mag + fabs(extra), e->n_in) + gc_packed_bound(e->n_in);
    return v;
}

int gc_make_experts_up_float(gc *g, gc_case *c, int i)
{
    const experts e = experts_make(g, i, 0, i % 4 == 1);
    const gc_tuning t = gc_tuning_of(g, e.tuning);
    const float *x = gc_floats(g, (size_t)e.rows * e.n_in, 1);
    const uint32_t n_ff = e.n_out / 2;
    const goss_block_experts p = { .n_units = e.m.n_units, .scale_words = e.m.scale_words, .n_out = n_ff,
                                   .top_k = e.top_k, .slot0 = e.first, .n_slots = e.n, .bias = e.bias,
                                   .inverse = e.inverse, .alpha = 1.702f, .limit = 7 };
    gc_begin(c, "experts_up_float.wgsl", ceil_div(e.n_out, t.wg / t.lanes * t.nr[0]), e.rows * e.top_k, 1);
    gc_layout_defines(c, e.layout);
    goss_buf_printf(&c->defines, "NR=%u ", t.nr[0]);
    gc_reduce_defines(g, c, t.wg, t.lanes, t.nr[0]);
    experts_in(g, c, &e, &p, NULL, x, (size_t)e.rows * e.n_in);
    gc_buffer *h = gc_out(g, c, GC_FLOAT, (size_t)e.rows * e.top_k * n_ff);
    gc_in(c, e.slots, (size_t)e.n_expert * 12);
    for (uint32_t r = 0; r < e.rows * e.top_k && !g->broken; r++)
        for (uint32_t o = 0; o < n_ff && is_here(&e, r); o++) {
            double bg, bu, bound;
            const float *row = x + (size_t)(r / e.top_k) * e.n_in;
            const double gate = expert_dot(&e, r, 2 * o, row, &bg),
                         up = expert_dot(&e, r, 2 * o + 1, row, &bu);
            const double v = gc_swiglu(gate, up, (double)1.702f, 7, bg, bu, &bound);
            gc_put(h, (size_t)r * n_ff + o, v, bound);
        }
    return 0;
}

int gc_make_experts_down_float(gc *g, gc_case *c, int i)
{
    const int split = i & 1;
    const experts e = experts_make(g, i, 1, split);
    const gc_tuning t = gc_tuning_of(g, e.tuning);
    const uint32_t nr = e.tuning ? t.nr[0] : 8;
    const float *h = gc_floats(g, (size_t)e.rows * e.top_k * e.n_in, 1);
    const goss_block_experts p = { .n_units = e.m.n_units, .scale_words = e.m.scale_words, .n_out = e.n_out,
                                   .top_k = e.top_k, .slot0 = e.first, .n_slots = e.n, .bias = e.bias,
                                   .inverse = e.inverse };
    gc_begin(c, "experts_down_float.wgsl", ceil_div(e.n_out, nr), e.rows, 1);
    gc_layout_defines(c, e.layout);
    goss_buf_printf(&c->defines, "NR=%u %s", nr, split ? "SPLIT " : "");
    gc_reduce_defines(g, c, e.top_k * t.lanes, t.lanes, nr);
    experts_in(g, c, &e, &p, NULL, h, (size_t)e.rows * e.top_k * e.n_in);
    gc_buffer *y = gc_out(g, c, GC_FLOAT, (size_t)e.rows * e.n_out * (split ? e.top_k : 1));
    gc_in(c, e.slots, (size_t)e.n_expert * 12);
    if (!split) memcpy(y->data, gc_floats(g, (size_t)e.rows * e.n_out, 5), y->n);
    for (uint32_t r = 0; r < e.rows && !g->broken; r++)
        for (uint32_t o = 0; o < e.n_out; o++) {
            double sum = split ? 0 : (double)((float *)y->data)[r * e.n_out + o], all = fabs(sum), bound = 0;
            for (uint32_t k = 0; k < e.top_k; k++) {
                const uint32_t entry = r * e.top_k + k;
                double b;
                if (split && !is_here(&e, entry)) continue;
                const double v = expert_dot(&e, entry, o, h + (size_t)entry * e.n_in, &b),
                             w = (double)as_float(e.route[2 * entry + 1]);
                if (split) {
                    gc_put(y, (size_t)entry * e.n_out + o, v, b);
                    continue;
                }
                sum += w * v;
                all += fabs(w * v);
                bound += w * b;
            }
            if (!split) gc_put(y, (size_t)r * e.n_out + o, sum, bound + GC_U * (4 + 2 * e.top_k) * all);
        }
    return 0;
}

/* ---- experts_up and experts_down: the same on packed activations --------------------------------------- */
/* Even cases: one row; odd ones: several, pairs of the same expert together, and a piece of the experts
 * only. */
static experts packed_experts(gc *g, int i, int down)
{
    static const uint32_t ins[] = { 32, 64, 160, 288 }, outs[] = { 64, 128, 192 }, rows[] = { 2, 5, 16, 64 };
    const int large = i >= 8, many = i & 1;
    experts e = { .layout = i & 2 && !large ? GOSS_LAYOUT_Q8 : GOSS_LAYOUT_MX4,
                  .tuning = i / 4 % 2,
                  .n_in = large ? 2880 : ins[gc_below(g, 4)],
                  .n_out = large  ? down ? 2880 : 640
                           : down ? 34 + 30 * (uint32_t)gc_below(g, 2)
                                  : outs[gc_below(g, 3)],
                  .rows = many ? large ? 4 : rows[gc_below(g, 4)] : 1,
                  .top_k = large ? 4 : 1 + (uint32_t)gc_below(g, 4),
                  .n_expert = large ? 6 : 4 + (uint32_t)gc_below(g, 3) };
    e.first = many ? 1 : 0;
    e.n = many ? e.n_expert - 2 : e.n_expert;
    e.bias = 4;
    e.inverse = e.n_expert * 2;
    e.m = gc_matrix_make(g, e.layout, e.n_in, e.n * e.n_out, 0);
    e.small = gc_floats(g, e.bias + (size_t)e.n_expert * e.n_out, 1);
    e.route = gc_alloc(g, (size_t)e.rows * e.top_k * 8);
    e.slots = gc_alloc(g, (size_t)e.n_expert * 3 * 4);
    if (g->broken) return e;
    for (uint32_t s = 0; s < 3 * e.n_expert; s++) e.slots[s] = (s * 5 + 1) % e.n_expert;
    for (uint32_t r = 0; r < e.rows; r++)
        for (uint32_t k = 0, first = (uint32_t)gc_below(g, (int)e.n_expert); k < e.top_k; k++) {
            e.route[2 * (r * e.top_k + k)] = (first + k) % e.n_expert;
            e.route[2 * (r * e.top_k + k) + 1] = bits((float)(1 + gc_below(g, 99)) / 100);
        }
    return e;
}

/* Logits by which a row chooses its route, behind another layer's, and where its experts are: behind the
 * first table of slots. */
static const float *logits_for(gc *g, experts *e)
{
    float *logits = gc_floats(g, 2 * e->n_expert, 1) + e->n_expert;
    for (uint32_t a = 0; a < e->n_expert && !g->broken; a++) {
        logits[a] = fminf(logits[a], 2); /* an outlier would be chosen */
        e->slots[e->n_expert + a] = (a + 1) % e->n_expert;
    }
    for (uint32_t k = 0; k < e->top_k && !g->broken; k++)
        logits[(e->route[2 * k] + e->n_expert - 1) % e->n_expert] = (float)(8 - k);
    return logits;
}

static void settle_up(gc *g, gc_case *c, void *const *out)
{
    gc_settle_packed(g, c, out);
    put_choice(g, c, c->kept[1], (const uint32_t *)c->kept[0] + c->keep[1], 8, out[8]);
}

int gc_make_experts_up(gc *g, gc_case *c, int i)
{
    if (!(g->limits->features & GOSS_GPU_DOT4)) return 1;
    experts e = packed_experts(g, i, 0);
    const int choose = i % 4 == 0;
    const float *logits = choose ? logits_for(g, &e) : NULL;
    const gc_tuning t = gc_tuning_of(g, e.tuning);
    const uint32_t many = i & 1, b = many ? 2 : 1, wg = e.tuning ? 256 : 64, nr = 64 / (wg / t.lanes),
                   n_ff = e.n_out / 2, pairs = e.rows * e.top_k;
    float *x = gc_alloc(g, (size_t)e.rows * e.n_in * 4);
    size_t n_x = 0;
    const void *bytes = x ? gc_packed(g, e.rows, e.n_in, x, &n_x) : NULL;
    if (g->broken) return 0;
    const goss_block_experts p = { .n_units = e.m.n_units,
                                   .scale_words = e.m.scale_words,
                                   .n_out = n_ff,
                                   .top_k = e.top_k,
                                   .slot0 = e.first,
                                   .n_slots = e.n,
                                   .bias = e.bias,
                                   .inverse = e.inverse,
                                   .alpha = 1.702f,
                                   .limit = 7,
                                   .forward = e.n_expert,
                                   .n_expert = e.n_expert };
    gc_begin(c, "experts_up.wgsl", e.n_out / 64, pairs, 1);
    goss_buf_printf(&c->defines, "PACKED=y B=%u NR=%u IT=%d OUT=%u ", b, nr, 1 + i / 2 % 3, 32 * b);
    if (many) goss_buf_printf(&c->defines, "MANY SHARERS=%u ", 64 * e.top_k);
    if (choose) goss_buf_str(&c->defines, "CHOOSE ");
    gc_layout_defines(c, e.layout);
    gc_reduce_defines(g, c, wg, t.lanes, nr * b);
    experts_in(g, c, &e, &p, logits, bytes, n_x / 4);
    gc_packed_want *q = gc_packed_out(g, c, pairs, n_ff);
    gc_in(c, e.slots, (size_t)e.n_expert * 12);
    if (choose) gc_out(g, c, GC_WORD, (size_t)e.top_k * 2);
    c->keep[0] = 1;
    c->keep[1] = e.n_expert;
    c->keep[2] = e.top_k;
    c->kept[0] = e.slots;
    c->kept[1] = (void *)(uintptr_t)logits;
    c->settle = choose ? settle_up : gc_settle_packed;
    for (uint32_t r = 0; r < pairs && !g->broken; r++) {
        q->there[r] = (uint8_t)is_here(&e, r);
        for (uint32_t o = 0; o < n_ff && q->there[r]; o++) {
            double bg, bu;
            const float *row = x + (size_t)(r / e.top_k) * e.n_in;
            const double gate = expert_dot(&e, r, 2 * o, row, &bg),
                         up = expert_dot(&e, r, 2 * o + 1, row, &bu);
            q->want[(size_t)r * n_ff + o] =
                gc_swiglu(gate, up, (double)1.702f, 7, bg, bu, &q->bound[(size_t)r * n_ff + o]);
        }
    }
    return 0;
}

int gc_make_experts_down(gc *g, gc_case *c, int i)
{
    if (!(g->limits->features & GOSS_GPU_DOT4)) return 1;
    const experts e = packed_experts(g, i, 1);
    const gc_tuning t = gc_tuning_of(g, e.tuning);
    const uint32_t many = i & 1, b = many ? 2 : 1, wg = many ? t.wg : e.top_k * t.lanes, nr = t.nr[0],
                   pairs = e.rows * e.top_k;
    float *h = gc_alloc(g, (size_t)pairs * e.n_in * 4);
    size_t n_h = 0;
    const void *bytes = h ? gc_packed(g, pairs, e.n_in, h, &n_h) : NULL;
    if (g->broken) return 0;
    const goss_block_experts p = { .n_units = e.m.n_units, .scale_words = e.m.scale_words, .n_out = e.n_out,
                                   .top_k = e.top_k, .slot0 = e.first, .n_slots = e.n, .bias = e.bias,
                                   .inverse = e.inverse };
    gc_begin(c, "experts_down.wgsl", ceil_div(e.n_out, many ? wg / t.lanes * nr : nr), many ? pairs : 1, 1);
    goss_buf_printf(&c->defines, "PACKED B=%u NR=%u IT=%d ", b, nr, 1 + i / 2 % 3);
    if (many) goss_buf_printf(&c->defines, "MANY SHARERS=%u ", 64 * e.top_k);
    gc_layout_defines(c, e.layout);
    gc_reduce_defines(g, c, wg, t.lanes, nr * b);
    experts_in(g, c, &e, &p, NULL, bytes, n_h / 4);
    gc_buffer *y = gc_out(g, c, GC_FLOAT, (size_t)e.n_out * (many ? pairs : 1));
    gc_in(c, e.slots, (size_t)e.n_expert * 12);
    if (!many) memcpy(y->data, gc_floats(g, e.n_out, 5), y->n);
    for (uint32_t o = 0; o < e.n_out && !g->broken; o++) {
        double sum = many ? 0 : (double)((float *)y->data)[o], all = fabs(sum), bound = 0;
        for (uint32_t k = 0; k < pairs; k++) {
            double each;
            if (many && !is_here(&e, k)) continue;
            const double v = expert_dot(&e, k, o, h + (size_t)k * e.n_in, &each),
                         w = (double)as_float(e.route[2 * k + 1]);
            if (many) gc_put(y, (size_t)k * e.n_out + o, v, each);
            sum += w * v;
            all += fabs(w * v);
            bound += w * each;
        }
        if (!many) gc_put(y, o, sum, bound + GC_U * (4 + 2 * e.top_k) * all);
    }
    return 0;
}

/* ---- group --------------------------------------------------------------------------------------------- */
/* Tiles in order of slots, cut at keep[3]; inside an expert entries may stand in any order, each once. */
static void settle_group(gc *g, gc_case *c, void *const *out)
{
    const uint32_t n = c->keep[0], n_slots = c->keep[1], list = c->keep[2], most = c->keep[3],
                   *route = c->kept[0], *expert = c->kept[1], *info = out[4];
    uint8_t *seen = c->kept[2];
    gc_buffer *b = &c->buffer[4];
    uint32_t at = 0, tile = 0;
    memset(seen, 0, n);
    for (uint32_t s = 0; s < n_slots; s++) {
        uint32_t count = 0;
        for (uint32_t i = 0; i < n; i++) count += route[2 * i] == s;
        for (uint32_t done = 0; done < count; done += most, tile++) {
            gc_put(b, 4 + 4 * tile, s, 0);
            gc_put(b, 5 + 4 * tile, at + done, 0);
            gc_put(b, 6 + 4 * tile, count - done < most ? count - done : most, 0);
            gc_put(b, 7 + 4 * tile, expert[s], 0);
        }
        for (uint32_t i = 0; i < count; i++, at++) {
            const uint32_t entry = info[list + at];
            gc_put(b, list + at, entry, 0);
            if (entry >= n || seen[entry]++ || route[2 * entry] != s) {
                gc_fail(g, "an entry stands with the wrong expert, or twice");
                return;
            }
        }
    }
    gc_put(b, 0, tile, 0);
}

int gc_make_group(gc *g, gc_case *c, int i)
{
    static const uint32_t counts[] = { 4, 32, 128, 256, 1 }, rows[] = { 1, 17, 64, 200, 512 };
    const uint32_t n_slots = counts[i % 5], n_rows = rows[i / 5 % 5], k = n_slots < 4 ? n_slots : 4,
                   n = n_rows * k, most = i & 1 ? 64 : 128, inverse = n_slots,
                   list = 4 + 4 * (n / most + (n_slots < n ? n_slots : n));
    const gc_step s = gc_step_make(g, n_rows, 0, 8, 1, 2 + n_rows / 64);
    uint32_t *route = gc_alloc(g, (size_t)n * 8), *slots = gc_alloc(g, (size_t)n_slots * 8);
    if (g->broken) return 0;
    for (uint32_t e = 0; e < n; e++)
        route[2 * e] =
            (uint32_t)(i & 1 ? gc_below(g, (int)n_slots) : (gc_below(g, 3) ? 0 : gc_below(g, (int)n_slots)));
    for (uint32_t e = 0; e < 2 * n_slots; e++) slots[e] = gc_rand(g) % 1000;
    const goss_block_group p = { .top_k = k, .n_slots = n_slots, .list = list, .inverse = inverse };
    gc_begin(c, "group.wgsl", 1, 1, 1);
    goss_buf_printf(&c->defines, "TILE=%u", most);
    goss_fmt(c->what, sizeof c->what, "%u rows, %u of %u", n_rows, k, n_slots);
    gc_params(g, c, &p, sizeof p);
    gc_in(c, s.w, s.n_words * 4);
    gc_in(c, route, (size_t)n * 8);
    gc_in(c, slots, (size_t)n_slots * 8);
    gc_out(g, c, GC_WORD, list + n);
    c->keep[0] = n;
    c->keep[1] = n_slots;
    c->keep[2] = list;
    c->keep[3] = most;
    c->kept[0] = route;
    c->kept[1] = slots + inverse;
    c->kept[2] = gc_alloc(g, n);
    c->settle = settle_group;
    return 0;
}
