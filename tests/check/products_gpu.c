/* products_gpu.c - the kernels that multiply a matrix by rows: matvec (few rows) and matmul (many, in
 * tiles). */
#include "tests_gpu.h"
#include "format/quant.h"
#include "gpu/kernels/kernels.h"
#include "base/fmt.h"
#include <math.h>
#include <string.h>

/* ---- matvec -------------------------------------------------------------------------------------------- */
enum {
    STORE,
    ADD,
    ADD_BARE,
    SILU,
    QKV32,
    QKV16,
    N_KINDS,
    N_BATCHES = 3,
    N_FORMS = GOSS_N_LAYOUTS + 2 /* MX4 and Q8 on packed activations */,
    N_SMALL = N_KINDS * N_FORMS * N_BATCHES * 2
};
static const struct {
    const char *words, *bindings;
} kinds[N_KINDS] = { { "STORE", "urrrrrw" },
                     { "ADD", "urrrrrw" },
                     { "ADD", "urrrrrw" },
                     { "PAIRS", "urrrrrw" },
                     { "QKV PAIRS ", "urrrrrww" },
                     { "QKV PAIRS ", "urrrrrww" } };
typedef struct shape {
    uint32_t heads, kv, hd, rope, adjacent;
} shape;
typedef struct product {
    int kind, layout, packed, batch, tuning;
    uint32_t n_in, n_out, rows;
    shape s;
} product;

/* The 20b model's products: q, k, v; the o projection; parts of the head. */
#define QKV_20B          \
    {                    \
        64, 8, 64, 64, 0 \
    }
static const product real[] = { { QKV32, GOSS_LAYOUT_Q8, 1, 0, 1, 2880, 5120, 1, QKV_20B },
                                { QKV16, GOSS_LAYOUT_Q8, 1, 1, 1, 2880, 5120, 3, QKV_20B },
                                { QKV32, GOSS_LAYOUT_Q8, 0, 0, 1, 2880, 5120, 1, QKV_20B },
                                { QKV32, GOSS_LAYOUT_Q8, 1, 2, 0, 2880, 5120, 2, QKV_20B },
                                { ADD, GOSS_LAYOUT_Q8, 1, 0, 1, 4096, 2880, 1, { 0 } },
                                { ADD, GOSS_LAYOUT_Q8, 1, 2, 1, 4096, 2880, 8, { 0 } },
                                { ADD, GOSS_LAYOUT_Q8, 0, 0, 1, 4096, 2880, 1, { 0 } },
                                { STORE, GOSS_LAYOUT_Q8, 1, 0, 1, 2880, 20001, 1, { 0 } },
                                { STORE, GOSS_LAYOUT_Q8, 0, 0, 0, 2880, 4001, 1, { 0 } },
                                { STORE, GOSS_LAYOUT_MX4, 1, 0, 1, 2880, 4001, 2, { 0 } } };
_Static_assert(GC_MATVEC_CASES == N_SMALL + (int)(sizeof real / sizeof *real), "tests_gpu.h counts them");

/* Small cases visit every combination; 77 has no factor in common with their number, so that the first few
 * differ in everything. */
static product small_product(gc *g, int i)
{
    static const uint32_t blocks[] = { 32, 64, 96, 288, 544 }, outs[] = { 1, 7, 16, 37, 64, 130 };
    static const shape shapes[] = { { 2, 1, 16, 16, 0 }, { 4, 2, 8, 8, 1 }, { 3, 1, 32, 24, 0 } };
    static const uint32_t most[N_BATCHES] = { 1, 4, GOSS_GPU_BATCH };
    const int k = i * 77 % N_SMALL, form = k / N_KINDS % N_FORMS;
    product p = { .kind = k % N_KINDS,
                  .layout = form % GOSS_N_LAYOUTS,
                  .packed = form >= GOSS_N_LAYOUTS,
                  .batch = k / (N_KINDS * N_FORMS) % N_BATCHES,
                  .tuning = k / (N_KINDS * N_FORMS * N_BATCHES),
                  .s = shapes[gc_below(g, 3)] };
    p.n_in = blocks[gc_below(g, 5)];
    p.n_out = outs[gc_below(g, 6)];
    if (p.kind == SILU) p.n_out = (p.n_out + 1) / 2 * 2;
    if (p.kind >= QKV32) p.n_out = (p.s.heads + 2 * p.s.kv) * p.s.hd;
    p.rows = p.batch ? 1 + (uint32_t)gc_below(g, (int)most[p.batch]) : 1 + (uint32_t)gc_below(g, 3);
    if (gc_below(g, 5) == 0) p.rows = most[p.batch] + 1;
    return p;
}

static void want_matvec(gc *g, const product *p, const gc_matrix *m, const gc_step *s, const float *x,
                        const float *small, uint32_t bias, uint32_t first, uint32_t stride, gc_buffer *y,
                        gc_buffer *pages)
{
    const double n = p->n_in;
    (void)g;
    for (uint32_t r = 0; r < p->rows; r++)
        for (uint32_t o = 0; o < p->n_out; o += 2) {
            double v[2] = { 0 }, b[2] = { 0 }, mag;
            uint32_t at[2] = { first + o, first + o + 1 };
            for (uint32_t k = 0; k < 2 && o + k < p->n_out; k++) {
                v[k] = gc_dot(m, o + k, x + (size_t)r * p->n_in, &mag);
                const double extra = bias == GOSS_GPU_NONE ? 0 : (double)small[bias + o + k];
                v[k] += extra;
                b[k] = gc_sum_bound(mag + fabs(extra), n) + (p->packed ? gc_packed_bound(n) : 0);
                if (p->kind != ADD && p->kind != ADD_BARE) continue;
                const double old = (double)((const float *)y->data)[(size_t)r * stride + first + o + k];
                v[k] += old;
                b[k] += GC_U * 2 * (fabs(v[k]) + fabs(old));
            }
            if (p->kind == SILU) {
                double bound;
                const double h = gc_silu(v[0], v[1], b[0], b[1], &bound);
                gc_put(y, (size_t)r * stride + (first + o) / 2, h, bound);
                continue;
            }
            if (p->kind >= QKV32)
                gc_finish_pair(s, r, o, p->s.heads, p->s.kv, p->s.hd, p->s.rope, p->s.adjacent, v, b, at);
            for (uint32_t k = 0; k < 2 && o + k < p->n_out; k++) {
                gc_put(y, (size_t)r * stride + at[k], v[k], b[k]);
                if (pages) gc_put_kv(pages, s, r, o + k, p->s.heads, p->s.kv, p->s.hd, v[k], b[k]);
            }
        }
}

int gc_make_matvec(gc *g, gc_case *c, int i)
{
    static const uint32_t batches[N_BATCHES] = { 1, 4, GOSS_GPU_BATCH };
    const product p = i < N_SMALL ? small_product(g, i) : real[i - N_SMALL];
    if (p.kind == QKV16 && !g->half_ok) return 1;
    if (p.packed && !(g->limits->features & GOSS_GPU_DOT4)) return 1;
    const gc_tuning t = gc_tuning_of(g, p.tuning);
    const uint32_t nr = p.tuning && p.n_out < 32768 ? 2 : t.nr[p.batch], batch = batches[p.batch],
                   qkv = p.kind >= QKV32, bias = p.kind == ADD || (qkv && i & 1) ? 4 : GOSS_GPU_NONE,
                   first = p.kind == STORE && i & 1 ? 6 : 0,
                   stride = qkv              ? p.n_out
                            : p.kind == SILU ? p.n_out / 2
                                             : p.n_out + first,
                   pos = (uint32_t)gc_below(g, 140), n_pages = (pos + p.rows - 1) / 64 + 2;
    const gc_step s = gc_step_make(g, p.rows, pos, p.s.rope, 1, n_pages);
    const gc_matrix m = gc_matrix_make(g, p.layout, p.n_in, p.n_out, i < N_SMALL && i % 6 == 5);
    const float *small = gc_floats(g, p.n_out + 4, 1);
    float *x = gc_floats(g, (size_t)p.rows * p.n_in, 1);
    size_t n_x = (size_t)p.rows * p.n_in * 4;
    const void *bytes = p.packed && x ? (const void *)gc_packed(g, p.rows, p.n_in, x, &n_x) : x;
    const goss_block_matvec words = { .n_units = m.n_units, .scale_words = m.scale_words, .first = first,
                                      .n = p.n_out, .stride = stride, .bias = bias, .n_head = p.s.heads,
                                      .n_kv = p.s.kv, .head_dim = p.s.hd, .rope_dim = p.s.rope,
                                      .adjacent = p.s.adjacent, .cls = pos & 1 };
    gc_begin(c, "matvec.wgsl", ceil_div(p.n_out, t.wg / t.lanes * nr), 1, ceil_div(p.rows, batch));
    goss_buf_printf(&c->defines, "%s%s", p.packed ? "PACKED " : "", kinds[p.kind].words);
    if (qkv) goss_buf_str(&c->defines, gc_kv_defines(p.kind == QKV16));
    gc_layout_defines(c, p.layout);
    goss_buf_printf(&c->defines, "B=%u NR=%u IT=%d ", batch, nr, 1 + i % 3);
    gc_reduce_defines(g, c, t.wg, t.lanes, batch * nr);
    goss_fmt(c->what, sizeof c->what, "%s%u rows, %u -> %u", p.packed ? "packed, " : "", p.rows, p.n_in,
             p.n_out);
    gc_params(g, c, &words, sizeof words);
    gc_in(c, s.w, s.n_words * 4);
    gc_matrix_in(c, &m);
    gc_in(c, small, (p.n_out + 4) * 4);
    gc_in(c, bytes, n_x);
    gc_buffer *y = gc_out(g, c, GC_FLOAT, (size_t)p.rows * stride), *pages = NULL;
    if (p.kind == ADD || p.kind == ADD_BARE) memcpy(y->data, gc_floats(g, (size_t)p.rows * stride, 5), y->n);
    if (qkv)
        pages = gc_out(g, c, p.kind == QKV16 ? GC_HALF : GC_FLOAT, (size_t)n_pages * p.s.kv * 128 * p.s.hd);
    if (!g->broken) want_matvec(g, &p, &m, &s, x, small, bias, first, stride, y, pages);
    return 0;
}

/* ---- matvec with the norm inside ----------------------------------------------------------------------- */
/* An output's bound: a sum's, and what 16 bits a value (a scale for each 32) and the norm's own error leave
 * open. */
static double normed_bound(const gc_matrix *m, uint32_t row, const double *x, double relative)
{
    double all = 0, top = 0;
    for (uint32_t k = 0; k < m->n_in; k++) {
        for (uint32_t j = k; k % 32 == 0 && j < k + 32; j++) top = fmax(j == k ? 0 : top, fabs(x[j]));
        all += fabs(gc_weight(m, row, k)) * (0.51 * top / 32512 + 2 * relative * fabs(x[k]));
    }
    return all;
}

int gc_make_matvec_norm(gc *g, gc_case *c, int i)
{
    static const shape shapes[] = { { 2, 1, 16, 16, 0 }, { 4, 2, 16, 16, 1 }, { 3, 1, 32, 24, 0 }, QKV_20B };
    static const uint32_t ins[] = { 32, 288, 1056, 2880 };
    const shape h = shapes[i / 4 % 4];
    const gc_tuning t = gc_tuning_of(g, i & 1);
    const uint32_t n_in = ins[i / 4 % 4], n_out = (h.heads + 2 * h.kv) * h.hd,
                   pos = (uint32_t)gc_below(g, 140), n_pages = pos / 64 + 2, bias = i & 2 ? 4 : GOSS_GPU_NONE,
                   gain = 4 + n_out, nr = i & 1 ? 2 : t.nr[0];
    const float eps = 1e-5f;
    const int half = g->half_ok && i % 3;
    if (!(g->limits->features & GOSS_GPU_DOT4)) return 1;
    const gc_step s = gc_step_make(g, 1, pos, h.rope, 1, n_pages);
    const gc_matrix m = gc_matrix_make(g, i & 2 ? GOSS_LAYOUT_MX4 : GOSS_LAYOUT_Q8, n_in, n_out, 0);
    const float *small = gc_floats(g, gain + n_in, 1), *x = gc_floats(g, n_in, 3);
    double *normed = gc_alloc(g, n_in * sizeof *normed), relative;
    float *rounded = gc_alloc(g, n_in * 4);
    if (g->broken) return 0;
    const goss_block_matvec words = { .n_units = m.n_units, .scale_words = m.scale_words, .n = n_out,
                                      .stride = n_out, .bias = bias, .n_head = h.heads, .n_kv = h.kv,
                                      .head_dim = h.hd, .rope_dim = h.rope, .adjacent = h.adjacent,
                                      .cls = pos & 1, .gain = gain, .eps = eps };
    gc_begin(c, "matvec.wgsl", ceil_div(n_out, 256 / t.lanes * nr), 1, 1);
    goss_buf_printf(&c->defines, "QKV PAIRS %s NORM=%u PACKED=normed", gc_kv_defines(half),
                    (uint32_t)(goss_layout_packed_bytes(n_in) / 4));
    gc_layout_defines(c, m.layout);
    goss_buf_printf(&c->defines, "B=1 NR=%u IT=%d ", nr, 1 + i % 3);
    gc_reduce_defines(g, c, 256, t.lanes, nr);
    goss_fmt(c->what, sizeof c->what, "%u -> %u at %u", n_in, n_out, pos);
    gc_params(g, c, &words, sizeof words);
    gc_in(c, s.w, s.n_words * 4);
    gc_matrix_in(c, &m);
    gc_in(c, small, (gain + n_in) * 4);
    gc_in(c, x, n_in * 4);
    gc_buffer *y = gc_out(g, c, GC_FLOAT, n_out),
              *pages = gc_out(g, c, half ? GC_HALF : GC_FLOAT, (size_t)n_pages * h.kv * 128 * h.hd);
    gc_norm_row(x, small + gain, n_in, eps, normed, &relative);
    for (uint32_t k = 0; k < n_in; k++) rounded[k] = (float)normed[k];
    for (uint32_t o = 0; o < n_out && !g->broken; o += 2) {
        double v[2], b[2], mag;
        uint32_t at[2];
        for (uint32_t k = 0; k < 2; k++) {
            const double extra = bias == GOSS_GPU_NONE ? 0 : (double)small[bias + o + k];
            v[k] = gc_dot(&m, o + k, rounded, &mag) + extra;
            b[k] = gc_sum_bound(mag + fabs(extra), n_in) + normed_bound(&m, o + k, normed, relative);
        }
        gc_finish_pair(&s, 0, o, h.heads, h.kv, h.hd, h.rope, h.adjacent, v, b, at);
        for (uint32_t k = 0; k < 2; k++) {
            gc_put(y, at[k], v[k], b[k]);
            gc_put_kv(pages, &s, 0, o + k, h.heads, h.kv, h.hd, v[k], b[k]);
        }
    }
    return 0;
}

/* ---- matmul -------------------------------------------------------------------------------------------- */
enum { M_STORE, M_ADD, M_SILU, M_UP, M_DOWN, M_KINDS, M_SMALL = M_KINDS * GOSS_N_LAYOUTS * 2 };
static const char *const m_words[] = { "DENSE STORE", "DENSE ADD", "DENSE SILU", "EXPERT UP", "EXPERT DOWN" };
typedef struct tiles {
    int kind, layout, packed;
    uint32_t n_in, n_out, rows, top_k, experts;
} tiles;
static const tiles m_real[] = {
    { M_STORE, GOSS_LAYOUT_Q8, 1, 2880, 640, 65, 1, 1 }, { M_ADD, GOSS_LAYOUT_Q8, 1, 4096, 320, 64, 1, 1 },
    { M_STORE, GOSS_LAYOUT_Q8, 0, 2880, 320, 66, 1, 1 }, { M_UP, GOSS_LAYOUT_MX4, 1, 2880, 640, 20, 4, 8 },
    { M_DOWN, GOSS_LAYOUT_MX4, 1, 2880, 384, 20, 4, 8 }, { M_DOWN, GOSS_LAYOUT_MX4, 0, 2880, 256, 20, 4, 8 }
};
_Static_assert(GC_MATMUL_CASES == M_SMALL + (int)(sizeof m_real / sizeof *m_real), "tests_gpu.h counts them");

static tiles small_tiles(gc *g, int i)
{
    static const uint32_t ins[] = { 32, 64, 96, 288 }, outs[] = { 2, 64, 66, 128, 130, 260 },
                          rows[] = { 1, 17, 63, 64, 65, 100 };
    const int k = i * 37 % M_SMALL;
    tiles t = { k % M_KINDS,
                k / M_KINDS % GOSS_N_LAYOUTS,
                k / (M_KINDS * GOSS_N_LAYOUTS),
                ins[gc_below(g, 4)],
                outs[gc_below(g, 6)],
                rows[gc_below(g, 6)],
                1,
                1 };
    if (t.kind < M_UP) return t;
    t.experts = 1 + (uint32_t)gc_below(g, 6);
    t.top_k = 1 + (uint32_t)gc_below(g, t.experts > 4 ? 4 : (int)t.experts);
    return t;
}

/* Rows in 16 bits with a scale for each 32, as quantize leaves them; values[] is what they mean. */
static void pack_rows(gc *g, const tiles *t, uint32_t n, int8_t *q, float *scale, float *values)
{
    for (uint32_t b = 0; b < n * (t->n_in / 32); b++) {
        scale[b] = gc_below(g, 9) ? ldexpf((float)(1 + gc_below(g, 200)), -23) : 0;
        for (uint32_t e = 0; e < 32; e++) {
            const int v = gc_below(g, 6) ? gc_below(g, 65025) - 32512 : gc_below(g, 2) ? 32512 : -32512,
                      high = (v + 128) >> 8;
            q[b * 64 + e] = (int8_t)high;
            q[b * 64 + 32 + e] = (int8_t)(v - high * 256);
            values[b * 32 + e] = (float)v * scale[b]; /* exact: 15 bits times 8 */
        }
    }
}

/* The step's words for dense tiles; for experts group's words (see group.wgsl) over random choices. */
static uint32_t *make_info(gc *g, const tiles *t, uint32_t tile_rows, uint32_t *n_words, uint32_t *list,
                           uint32_t *n_tiles, uint32_t *expert_of)
{
    const uint32_t n = t->rows * t->top_k;
    uint32_t at = 0, tile = 0;
    if (t->kind < M_UP) {
        const gc_step s = gc_step_make(g, t->rows, 0, 8, 1, 2);
        *n_words = (uint32_t)s.n_words;
        *n_tiles = ceil_div(t->rows, tile_rows);
        return s.w;
    }
    *list = 4 + 4 * (n / tile_rows + t->experts);
    *n_words = *list + n;
    uint32_t *w = gc_alloc(g, *n_words * 4);
    for (uint32_t e = 0; e < n; e++) expert_of[e] = (uint32_t)gc_below(g, (int)t->experts);
    for (uint32_t x = 0; x < t->experts; x++) {
        const uint32_t begin = at;
        for (uint32_t e = n; e--;)
            if (expert_of[e] == x) w[*list + at++] = e;
        for (uint32_t done = begin; done < at; done += tile_rows, tile++) {
            const uint32_t words[4] = { x, done, at - done < tile_rows ? at - done : tile_rows,
                                        t->experts - 1 - x };
            memcpy(w + 4 + 4 * tile, words, sizeof words);
        }
    }
    w[0] = tile;
    *n_tiles = tile + 1; /* as the engine: more than there may be */
    return w;
}

/* rounded: what a product is off, relative to its size, beside a sum's rounding. */
static void want_matmul(const tiles *t, const gc_matrix *m, const float *x, const float *small, uint32_t bias,
                        const uint32_t *expert_of, uint32_t slot0, uint32_t n_slots, gc_buffer *y,
                        uint32_t stride, double rounded)
{
    const int expert = t->kind >= M_UP;
    const uint32_t n = expert ? t->rows * t->top_k : t->rows;
    for (uint32_t e = 0; e < n; e++) {
        const uint32_t slot = expert ? expert_of[e] : 0, row = t->kind == M_UP ? e / t->top_k : e;
        if (expert && (slot < slot0 || slot >= slot0 + n_slots)) continue;
        const uint32_t from =
            bias == GOSS_GPU_NONE ? bias : bias + (expert ? (t->experts - 1 - slot) * t->n_out : 0);
        for (uint32_t o = 0; o < t->n_out; o += 2) {
            double v[2], b[2], mag, bound;
            for (uint32_t k = 0; k < 2; k++) {
                v[k] = gc_dot(m, (expert ? slot - slot0 : 0) * t->n_out + o + k, x + (size_t)row * t->n_in,
                              &mag);
                const double extra = from == GOSS_GPU_NONE ? 0 : (double)small[from + o + k];
                v[k] += extra;
                b[k] = gc_sum_bound(mag + fabs(extra), t->n_in) + rounded * mag;
                if (t->kind != M_ADD) continue;
                const double old = (double)((const float *)y->data)[(size_t)e * stride + o + k];
                v[k] += old;
                b[k] += 2 * GC_U * (fabs(v[k]) + fabs(old));
            }
            if (t->kind == M_UP || t->kind == M_SILU) {
                const double h = t->kind == M_UP
                                     ? gc_swiglu(v[0], v[1], (double)1.702f, 7, b[0], b[1], &bound)
                                     : gc_silu(v[0], v[1], b[0], b[1], &bound);
                gc_put(y, (size_t)e * stride + o / 2, h, bound);
            } else {
                gc_put(y, (size_t)e * stride + o, v[0], b[0]);
                gc_put(y, (size_t)e * stride + o + 1, v[1], b[1]);
            }
        }
    }
}

int gc_make_matmul(gc *g, gc_case *c, int i)
{
    const tiles t = i < M_SMALL ? small_tiles(g, i) : m_real[i - M_SMALL];
    const int packable = t.layout == GOSS_LAYOUT_MX4 || t.layout == GOSS_LAYOUT_Q8, expert = t.kind >= M_UP;
    if (t.packed && (!packable || !(g->limits->features & GOSS_GPU_DOT4))) return 1;
    const uint32_t tile_rows = expert && i % 5 < 3 ? 128 : 64,
                   most = expert && g->limits->max_workgroup_bytes > 33280 ? 4 : 2,
                   nh = i % 3 == 2 ? most : 1 + (uint32_t)(i % 3), nt = 32 * nh,
                   entries = t.rows * t.top_k, x_rows = t.kind == M_DOWN ? entries : t.rows,
                   slot0 = expert && t.experts > 2 ? 1 : 0, n_slots = t.experts - slot0,
                   bias = t.kind == M_SILU ? GOSS_GPU_NONE : 2,
                   stride = t.kind == M_UP || t.kind == M_SILU ? t.n_out / 2 : t.n_out;
    uint32_t n_words, list = 0, n_tiles, *expert_of = gc_alloc(g, entries * 4);
    uint32_t *info = make_info(g, &t, tile_rows, &n_words, &list, &n_tiles, expert_of);
    const gc_matrix m = gc_matrix_make(g, t.layout, t.n_in, n_slots * t.n_out, 0);
    const float *small = gc_floats(g, 2 + (size_t)t.experts * t.n_out, 1);
    float *x = gc_floats(g, (size_t)x_rows * t.n_in, 1), *scale = gc_alloc(g, (size_t)x_rows * t.n_in / 8);
    int8_t *q = gc_alloc(g, (size_t)x_rows * t.n_in * 2);
    if (g->broken) return 0;
    if (t.packed) pack_rows(g, &t, x_rows, q, scale, x);
    const goss_block_matmul p = { .n_units = m.n_units, .scale_words = m.scale_words, .n = t.n_out,
                                  .stride = stride, .bias = bias, .top_k = t.top_k, .list = list,
                                  .slot0 = slot0, .n_slots = n_slots, .alpha = 1.702f, .limit = 7 };
    gc_begin(c, "matmul.wgsl", ceil_div(t.n_out, nt), n_tiles, 1);
    goss_buf_printf(&c->defines, "%s %s", m_words[t.kind], t.packed ? "DOT4" : "");
    gc_layout_defines(c, t.layout);
    const uint32_t ku = i % 2 && g->limits->max_workgroup_bytes >= 8 * 16 * (tile_rows + nt + 4) ? 4 : 2;
    goss_buf_printf(&c->defines, "TILE=%u NI=%u NT=%u NH=%u ", tile_rows, tile_rows / 16, nt, nh);
    if (t.packed) goss_buf_printf(&c->defines, "XV=%u", tile_rows / 64);
    else
        goss_buf_printf(&c->defines, "KU=%u XV=%u WV=%u", ku, tile_rows * ku / 128, ceil_div(nt * ku, 256));
    goss_fmt(c->what, sizeof c->what, "%u rows, %u at once, %u -> %u, %u of %u experts", t.rows, tile_rows,
             t.n_in, t.n_out, t.top_k, t.experts);
    gc_params(g, c, &p, sizeof p);
    gc_in(c, info, n_words * 4);
    gc_matrix_in(c, &m);
    gc_in(c, small, (2 + (size_t)t.experts * t.n_out) * 4);
    if (t.packed) gc_in(c, q, (size_t)x_rows * t.n_in * 2);
    else gc_in(c, x, (size_t)x_rows * t.n_in * 4);
    gc_in(c, scale, t.packed ? (size_t)x_rows * t.n_in / 8 : 16);
    gc_buffer *y = gc_out(g, c, GC_FLOAT, (size_t)entries * stride);
    if (t.kind == M_ADD) memcpy(y->data, gc_floats(g, (size_t)entries * stride, 5), y->n);
    if (!g->broken) want_matmul(&t, &m, x, small, bias, expert_of, slot0, n_slots, y, stride, 0);
    return 0;
}

/* ---- matmul_fragments ---------------------------------------------------------------------------------- */
enum { F_LAYOUTS = GOSS_LAYOUT_F16 + 1, F_SMALL = M_KINDS * F_LAYOUTS * GOSS_VARIANTS };
static const tiles f_real[] = {
    { M_STORE, GOSS_LAYOUT_Q8, 0, 2880, 640, 65, 1, 1 }, { M_ADD, GOSS_LAYOUT_Q8, 0, 4096, 320, 64, 1, 1 },
    { M_UP, GOSS_LAYOUT_MX4, 0, 2880, 640, 20, 4, 8 },   { M_DOWN, GOSS_LAYOUT_MX4, 0, 2880, 384, 20, 4, 8 },
    { M_UP, GOSS_LAYOUT_MX4, 0, 2880, 640, 200, 4, 4 },  { M_DOWN, GOSS_LAYOUT_MX4, 0, 2880, 384, 200, 4, 4 }
};
_Static_assert(GC_FRAGMENT_CASES == F_SMALL + (int)(sizeof f_real / sizeof *f_real),
               "tests_gpu.h counts them");

/* Rows as to_halves leaves them, two for one where they are split, and what they mean. */
static uint16_t *half_rows(gc *g, uint32_t n_rows, uint32_t n, int split, float *scale, float *values)
{
    uint16_t *h = gc_alloc(g, (size_t)n_rows * n * 4);
    for (uint32_t r = 0; r < n_rows && h; r++) {
        scale[r] = gc_below(g, 9) ? ldexpf(1, gc_below(g, 30) - 20) : 0;
        for (uint32_t k = 0; k < n; k++) {
            uint16_t *at = h + (size_t)r * n * (split ? 2 : 1) + k;
            *at = goss_f32_to_f16(gc_below(g, 9) ? 2047 * gc_randf(g) : 1e-7f * gc_randf(g));
            if (split) at[n] = goss_f32_to_f16(gc_randf(g) / 2);
            values[r * n + k] = (goss_f16_to_f32(*at) + (split ? goss_f16_to_f32(at[n]) : 0)) * scale[r];
        }
    }
    return h;
}

/* The scale of one block is beyond halves; the mark behind the scales says so. */
static void go_beyond(gc *g, gc_matrix *m)
{
    const uint32_t mark = 0x3f800000;
    const uint16_t large = goss_f32_to_f16(9000);
    const float pair[2] = { 800, -90000 };
    const size_t n = m->n_s - 8;
    if (m->layout == GOSS_LAYOUT_MX4) m->s[gc_below(g, (int)n)] = gc_below(g, 2) ? 90 : 150;
    else if (m->layout == GOSS_LAYOUT_Q8) memcpy(m->s + 2 * gc_below(g, (int)n / 2), &large, 2);
    else memcpy(m->s + 8 * gc_below(g, (int)n / 8), pair, 8);
    memcpy(m->s + n, &mark, 4);
}

/* x once for each share of the values, nothing in place of the other shares'. */
static float *shared_out(gc *g, const float *x, uint32_t rows, uint32_t n, uint32_t parts, uint32_t share)
{
    float *all = gc_alloc(g, (size_t)parts * rows * n * 4);
    for (uint32_t at = 0; at < parts * rows * n && all; at++)
        all[at] = at % n / share == at / (rows * n) ? x[at % (rows * n)] : 0;
    return all;
}

int gc_make_matmul_fragments(gc *g, gc_case *c, int i)
{
    static const uint32_t shapes[GOSS_VARIANTS][4] = {
        { 16, 64, 16, 16 }, { 32, 64, 16, 32 }, { 64, 128, 32, 32 }, { 128, 128, 64, 32 }
    };
    const goss_gpu_limits *lim = g->limits;
    if (!lim->fragment.m || !g->half_ok || !g->subgroup) return 1;
    const int k = i * 33 % F_SMALL, size = i < F_SMALL ? k / (M_KINDS * F_LAYOUTS) : i % GOSS_VARIANTS;
    tiles t = i < F_SMALL ? small_tiles(g, 0) : f_real[i - F_SMALL];
    if (i < F_SMALL) {
        t.kind = k % M_KINDS;
        t.layout = k / M_KINDS % F_LAYOUTS;
        t.experts = t.kind < M_UP ? 1 : 1 + (uint32_t)gc_below(g, 6);
        t.top_k = t.kind < M_UP ? 1 : 1 + (uint32_t)gc_below(g, t.experts > 4 ? 4 : (int)t.experts);
    }
    const int beyond = i < F_SMALL && t.layout <= GOSS_LAYOUT_I8 && gc_below(g, 6) == 0;
    const int split = t.kind == M_STORE && i % 4 < 2;
    const uint32_t *z = shapes[size], expert = t.kind >= M_UP,
                   depth = t.n_in % 64 || size > 1 || i % 2 ? 32 : 64, entries = t.rows * t.top_k,
                   shares = t.n_in / depth < 3 ? t.n_in / depth : 3,
                   parts = t.kind == M_STORE && i % 3 != 1 ? shares : 1, /* left apart, without biases */
                   x_rows = t.kind == M_DOWN ? entries : t.rows, slot0 = expert && t.experts > 2 ? 1 : 0,
                   n_slots = t.experts - slot0, bias = t.kind == M_SILU || parts > 1 ? GOSS_GPU_NONE : 2,
                   stride = t.kind == M_UP || t.kind == M_SILU ? t.n_out / 2 : t.n_out;
    uint32_t n_words, list = 0, n_tiles, *expert_of = gc_alloc(g, entries * 4);
    uint32_t *info = make_info(g, &t, z[0], &n_words, &list, &n_tiles, expert_of);
    gc_matrix m = gc_matrix_make(g, t.layout, t.n_in, n_slots * t.n_out, 0);
    if (beyond) go_beyond(g, &m);
    const float *small = gc_floats(g, 2 + (size_t)t.experts * t.n_out, 1);
    float *x = gc_alloc(g, (size_t)x_rows * t.n_in * 4), *scale = gc_alloc(g, (size_t)x_rows * 4);
    if (g->broken) return 0;
    const uint16_t *h = half_rows(g, x_rows, t.n_in, split, scale, x);
    const goss_block_matmul p = { .n_units = m.n_units,
                                  .scale_words = m.scale_words,
                                  .n = t.n_out,
                                  .stride = stride,
                                  .bias = bias,
                                  .top_k = t.top_k,
                                  .list = list,
                                  .slot0 = slot0,
                                  .n_slots = n_slots,
                                  .alpha = 1.702f,
                                  .limit = 7,
                                  .beyond = m.n_rows * m.scale_words };
    gc_begin(c, "matmul_fragments.wgsl", ceil_div(t.n_out, z[1]), n_tiles, parts);
    goss_buf_printf(&c->defines, "%s ", m_words[t.kind]);
    if (parts > 1) goss_buf_printf(&c->defines, "APART=%u ", parts);
    gc_layout_defines(c, t.layout);
    goss_fragment_defines(&c->defines, lim, g->subgroup, t.layout, z, depth, split ? 2 : 1);
    goss_fmt(c->what, sizeof c->what, "%u rows, %u at once, %u -> %u, %u of %u experts%s%s, %u apart",
             t.rows, z[0], t.n_in, t.n_out, t.top_k, t.experts, split ? ", split" : "",
             beyond ? ", beyond halves" : "", parts);
    gc_params(g, c, &p, sizeof p);
    gc_in(c, info, n_words * 4);
    gc_matrix_in(c, &m);
    gc_in(c, small, (2 + (size_t)t.experts * t.n_out) * 4);
    gc_in(c, h, (size_t)x_rows * t.n_in * (split ? 4 : 2));
    gc_in(c, scale, (size_t)x_rows * 4);
    gc_buffer *y = gc_out(g, c, GC_FLOAT, (size_t)parts * entries * stride);
    if (t.kind == M_ADD) memcpy(y->data, gc_floats(g, (size_t)entries * stride, 5), y->n);
    if (parts > 1) {
        x = shared_out(g, x, t.rows, t.n_in, parts, ceil_div(t.n_in / depth, parts) * depth);
        t.rows *= parts;
    }
    const int exact = beyond || t.layout == GOSS_LAYOUT_MX4 || t.layout == GOSS_LAYOUT_F16;
    if (!g->broken)
        want_matmul(&t, &m, x, small, bias, expert_of, slot0, n_slots, y, stride, exact ? 0 : 4.8828125e-4);
    return 0;
}
