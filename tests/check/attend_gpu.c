/* attend_gpu.c - attention: attend (a chunk of keys at a time) and merge (chunks and the sink). */
#include "tests_gpu.h"
#include "base/fmt.h"
#include "format/quant.h"
#include "gpu/kernels/kernels.h"
#include <math.h>
#include <string.h>

typedef struct setting {
    uint32_t heads, kv, hd, window, pos, rows, chunks, rope_half;
} setting;
/* Depths on the edges of pages and windows, and past 4,096; the demo's heads and the real models'. */
static const setting settings[] = { { 4, 2, 16, 0, 0, 1, 16, 8 },    { 4, 2, 16, 0, 63, 2, 16, 4 },
                                    { 4, 2, 32, 48, 64, 3, 16, 16 }, { 3, 1, 16, 128, 127, 2, 16, 8 },
                                    { 2, 2, 64, 0, 700, 1, 16, 0 },  { 8, 1, 64, 128, 300, 2, 16, 0 },
                                    { 12, 2, 48, 16, 15, 20, 1, 8 }, { 4, 2, 32, 0, 100, 17, 1, 16 },
                                    { 64, 8, 64, 128, 4200, 1, 16, 32 }, { 64, 8, 64, 0, 4200, 1, 16, 32 },
                                    { 64, 8, 64, 0, 130, 20, 1, 32 }, { 2, 1, 256, 0, 70, 1, 16, 64 },
                                    { 4, 1, 32, 0, 900, 2, 2, 16 },  { 8, 2, 128, 0, 600, 1, 2, 64 } };
enum { N_SETTINGS = sizeof settings / sizeof *settings };
_Static_assert(GC_ATTEND_CASES == 2 * N_SETTINGS, "tests_gpu.h counts them");

static const setting tiled[] = { { 4, 2, 32, 0, 0, 20, 1, 16 },     { 8, 1, 32, 48, 60, 17, 1, 8 },
                                 { 2, 2, 64, 0, 100, 35, 1, 32 },   { 16, 1, 32, 128, 250, 19, 1, 0 },
                                 { 64, 8, 64, 128, 300, 18, 1, 32 }, { 64, 8, 64, 0, 130, 18, 1, 32 } };
_Static_assert(GC_TILE_CASES == 2 * (int)(sizeof tiled / sizeof *tiled), "tests_gpu.h counts them");

typedef struct view {
    uint32_t first_key, first_page, n_pages, per, chunks;
} view;

/* What a row sees, and how its pages fall into chunks. */
static view view_of(const setting *s, uint32_t row)
{
    const uint32_t pos = s->pos + row;
    view v = { .first_key = s->window && pos + 1 > s->window ? pos + 1 - s->window : 0 };
    v.first_page = v.first_key / 64;
    v.n_pages = pos / 64 - v.first_page + 1;
    v.per = ceil_div(v.n_pages, s->chunks);
    v.chunks = ceil_div(v.n_pages, v.per);
    return v;
}

static double kv_value(const void *pool, int half, size_t at)
{
    if (half) return (double)goss_f16_to_f32(((const uint16_t *)pool)[at]);
    return (double)((const float *)pool)[at];
}

/* Random pages; what a row must not see is NaN. */
static void *make_pool(gc *g, const setting *s, const gc_step *st, int half, uint32_t n_pages,
                       size_t *n_bytes)
{
    const size_t n = (size_t)n_pages * s->kv * 128 * s->hd;
    *n_bytes = n * (half ? 2 : 4);
    uint8_t *pool = gc_alloc(g, *n_bytes);
    if (!pool) return NULL;
    memset(pool, 0xff, *n_bytes);
    const uint32_t last = s->pos + s->rows - 1, first = view_of(s, 0).first_key, all = last - first + 1;
    for (uint32_t k = 0; k < 2 * all; k++)             /* the last row may be another sequence's */
        for (uint32_t h = 0; h < s->kv; h++)
            for (uint32_t d = 0; d < 2 * s->hd; d++) {
                const uint32_t key = first + k % all, row = k < all ? 0 : s->rows - 1;
                const size_t at = gc_kv_at(gc_step_page(st, row, key / 64), s->kv, h, d >= s->hd, s->hd,
                                           key % 64, d % s->hd);
                const float f = gc_randf(g);
                const uint16_t h16 = goss_f32_to_f16(f);
                if (half) memcpy(pool + 2 * at, &h16, 2);
                else memcpy(pool + 4 * at, &f, 4);
            }
    return pool;
}

/* What halves as operands leave open, relative to an operand: 0, or half an ulp of a half. */
static double rounded;

/* Keys [from, end) as one head of a row weighs them: e[] = exp(score - top). How far sums may be off,
 * relatively: the kernel's own maximum differs from the true one by rounding, which scales its sums. */
static double weigh(const setting *s, const gc_step *st, const float *q, const void *pool, int half,
                    uint32_t row, uint32_t head, uint32_t from, uint32_t end, double scale, double *e,
                    double *top, double *sum, double *delta)
{
    const uint32_t kvh = head / (s->heads / s->kv);
    const float *qh = q + (size_t)row * (s->heads + 2 * s->kv) * s->hd + head * s->hd;
    const uint32_t turns = 2 * s->rope_half;             /* dims that keys have beside their mates */
    double spread = 0;
    *top = -1e300;
    *delta = *sum = 0;
    for (uint32_t key = from; key < end; key++) {
        double dot = 0, mag = 0;
        for (uint32_t d = 0; d < s->hd; d++) {
            const double t =
                scale * (double)qh[d < turns ? d / 2 + d % 2 * s->rope_half : d] *
                kv_value(pool, half,
                         gc_kv_at(gc_step_page(st, row, key / 64), s->kv, kvh, 0, s->hd, key % 64, d));
            dot += t;
            mag += fabs(t);
        }
        e[key - from] = dot;
        *top = fmax(*top, dot);
        *delta = fmax(*delta, gc_sum_bound(mag, s->hd) + rounded / 32 * mag); /* queries are two halves */
    }
    for (uint32_t key = from; key < end; key++) {
        const double x = *top - e[key - from];
        e[key - from] = exp(-x);
        *sum += e[key - from];
        spread += e[key - from] * x;
    }
    return 2 * *delta + GC_U * (16 + 2 * sqrt((double)(end - from)) + view_of(s, row).n_pages) +
           4 * GC_U * spread / *sum + 2 * rounded;
}

/* The weighted sum of dim d of the values, and of their magnitudes. */
static double values(const setting *s, const gc_step *st, const void *pool, int half, uint32_t row,
                     uint32_t head, uint32_t from, uint32_t end, uint32_t d, const double *e, double *all)
{
    double a = 0;
    *all = 0;
    for (uint32_t key = from; key < end; key++) {
        const size_t at = gc_kv_at(gc_step_page(st, row, key / 64), s->kv, head / (s->heads / s->kv), 1,
                                   s->hd, key % 64, d);
        const double t = e[key - from] * kv_value(pool, half, at);
        a += t;
        *all += fabs(t);
    }
    return a;
}

/* One head of one row over one chunk. */
static void want_chunk(const setting *s, const gc_step *st, const float *q, const void *pool, int half,
                       uint32_t row, uint32_t head, uint32_t chunk, double scale, gc_buffer *part,
                       gc_buffer *stat, double *e)
{
    const view v = view_of(s, row);
    const uint32_t pos = s->pos + row, begin = (v.first_page + chunk * v.per) * 64,
                   end = begin + v.per * 64 < pos + 1 ? begin + v.per * 64 : pos + 1,
                   from = begin > v.first_key ? begin : v.first_key;
    const size_t out = ((size_t)row * s->chunks + chunk) * s->heads + head;
    double top, sum, delta, all;
    const double relative = weigh(s, st, q, pool, half, row, head, from, end, scale, e, &top, &sum, &delta);
    gc_put(stat, out * 2, top, delta);
    gc_put(stat, out * 2 + 1, sum, 2 * relative * sum);
    for (uint32_t d = 0; d < s->hd; d++) {
        const double a = values(s, st, pool, half, row, head, from, end, d, e, &all);
        gc_put(part, out * s->hd + d, a, 2 * relative * all + 8 * GC_U * all + 1e-36);
    }
}

/* One head of one row over all its keys, with its sink. */
static void want_end(const setting *s, const gc_step *st, const float *q, const void *pool, int half,
                     uint32_t row, uint32_t head, double scale, double sink, gc_packed_want *want, double *e)
{
    double top, sum, delta, all;
    const double relative = weigh(s, st, q, pool, half, row, head, view_of(s, row).first_key,
                                  s->pos + row + 1, scale, e, &top, &sum, &delta),
                 total = sum + exp(sink - top);
    const uint32_t from = view_of(s, row).first_key, end = s->pos + row + 1;
    for (uint32_t d = 0; d < s->hd; d++) {
        const size_t to = ((size_t)row * s->heads + head) * s->hd + d;
        want->want[to] = values(s, st, pool, half, row, head, from, end, d, e, &all) / total;
        want->bound[to] =
            (4 * relative + 16 * GC_U * (1 + (sink > -1e38 ? fabs(sink - top) : 0))) * all / total + 1e-36;
        for (uint32_t key = from; key < end && rounded > 0; key++) { /* a weight below the least half */
            const size_t at = gc_kv_at(gc_step_page(st, row, key / 64), s->kv, head / (s->heads / s->kv), 1,
                                       s->hd, key % 64, d);
            want->bound[to] += 6e-8 * fabs(kv_value(pool, half, at)) / total;
        }
    }
}

/* As on a software adapter, and as on a GPU. */
static void defines(gc *g, gc_case *c, int half, uint32_t heads, uint32_t hd, int software, int final)
{
    goss_buf_str(&c->defines, gc_kv_defines(half));
    goss_attend_defines(&c->defines, g->limits, software, g->subgroup, heads, hd);
    if (final) goss_buf_str(&c->defines, " FINAL PACKED=y");
}

static int make_attend(gc *g, gc_case *c, int i, int group)
{
    const setting *s = &settings[i / 2];
    const int half = i & 1;
    if (half && !g->half_ok) return 1;
    const uint32_t per_kv = s->heads / s->kv, last = s->pos + s->rows - 1, n_pages = last / 64 + 1,
                   stride = (s->heads + 2 * s->kv) * s->hd;
    if (group && !goss_attend_group_fits(g->limits, g->subgroup, per_kv, s->hd)) return 1;
    const float scale = 1 / sqrtf((float)s->hd);
    const gc_step st = gc_step_make(g, s->rows, s->pos, 8, s->chunks, n_pages);
    size_t n_pool;
    const void *pool = make_pool(g, s, &st, half, n_pages, &n_pool);
    const float *q = gc_floats(g, (size_t)s->rows * stride, 4);
    uint32_t most = 1;
    for (uint32_t r = 0; r < s->rows; r++)
        if (view_of(s, r).chunks > most) most = view_of(s, r).chunks;
    const goss_block_attend p = { .n_head = s->heads, .n_kv = s->kv, .head_dim = s->hd, .window = s->window,
                                  .cls = s->pos & 1, .stride = stride, .scale = scale, .sinks = GOSS_GPU_NONE,
                                  .half = s->rope_half };
    gc_begin(c, group ? "attend_group.wgsl" : "attend.wgsl", s->kv, most, s->rows);
    if (group) {
        goss_buf_str(&c->defines, gc_kv_defines(half));
        goss_attend_group_defines(&c->defines, g->subgroup, per_kv, s->hd, 1);
    } else defines(g, c, half, per_kv, s->hd, i % 4 < 2, 0);
    goss_fmt(c->what, sizeof c->what, "%u rows from %u, %u + %u heads of %u, window %u", s->rows, s->pos,
             s->heads, s->kv, s->hd, s->window);
    gc_params(g, c, &p, sizeof p);
    gc_in(c, st.w, st.n_words * 4);
    gc_in(c, q, (size_t)s->rows * stride * 4);
    gc_in(c, pool, n_pool);
    const size_t parts = (size_t)s->rows * s->chunks * s->heads;
    gc_buffer *part = gc_out(g, c, GC_FLOAT, parts * s->hd), *stat = gc_out(g, c, GC_FLOAT, parts * 2);
    double *e = gc_alloc(g, ((size_t)last + 1) * sizeof *e);
    for (uint32_t r = 0; r < s->rows && !g->broken; r++)
        for (uint32_t h = 0; h < s->heads; h++)
            for (uint32_t k = 0; k < view_of(s, r).chunks; k++)
                want_chunk(s, &st, q, pool, half, r, h, k, (double)scale, part, stat, e);
    return 0;
}

int gc_make_attend(gc *g, gc_case *c, int i) { return make_attend(g, c, i, 0); }
int gc_make_attend_group(gc *g, gc_case *c, int i) { return make_attend(g, c, i, 1); }

int gc_make_attend_end(gc *g, gc_case *c, int i)
{
    const setting *s = &settings[i / 2];
    const uint32_t sinks = i & 1 ? 6 : GOSS_GPU_NONE, per_kv = s->heads / s->kv, last = s->pos + s->rows - 1,
                   n_pages = last / 64 + 1, stride = (s->heads + 2 * s->kv) * s->hd;
    const int half = g->half_ok && i % 3;
    if (per_kv * s->hd % 32 || !(g->limits->features & GOSS_GPU_DOT4)) return 1;
    const float scale = 1 / sqrtf((float)s->hd);
    const gc_step st = gc_step_make(g, s->rows, s->pos, 8, s->chunks, n_pages);
    size_t n_pool;
    const void *pool = make_pool(g, s, &st, half, n_pages, &n_pool);
    const float *q = gc_floats(g, (size_t)s->rows * stride, 4), *small = gc_floats(g, s->heads + 6, 4);
    const goss_block_attend p = { .n_head = s->heads, .n_kv = s->kv, .head_dim = s->hd, .window = s->window,
                                  .cls = s->pos & 1, .stride = stride, .scale = scale, .sinks = sinks,
                                  .half = s->rope_half };
    gc_begin(c, "attend.wgsl", s->kv, 1, s->rows);
    defines(g, c, half, per_kv, s->hd, i % 4 < 2, 1);
    goss_fmt(c->what, sizeof c->what, "to the end: %u rows from %u, %u + %u heads of %u, window %u", s->rows,
             s->pos, s->heads, s->kv, s->hd, s->window);
    gc_params(g, c, &p, sizeof p);
    gc_in(c, st.w, st.n_words * 4);
    gc_in(c, q, (size_t)s->rows * stride * 4);
    gc_in(c, pool, n_pool);
    gc_packed_want *want = gc_packed_out(g, c, s->rows, s->heads * s->hd);
    gc_in(c, small, (s->heads + 6) * 4);
    double *e = gc_alloc(g, ((size_t)last + 1) * sizeof *e);
    if (g->broken) return 0;
    c->settle = gc_settle_packed;
    memset(want->there, 1, s->rows);
    for (uint32_t r = 0; r < s->rows; r++)
        for (uint32_t h = 0; h < s->heads; h++)
            want_end(s, &st, q, pool, half, r, h, (double)scale,
                     sinks == GOSS_GPU_NONE ? -3e38 : (double)small[sinks + h], want, e);
    return 0;
}

/* A sequence's rows from `cut` on become another one's, with pages of its own behind the first one's. */
static void two_sequences(gc *g, gc_step *st, uint32_t cut, uint32_t n_pages)
{
    uint32_t *w = gc_alloc(g, (st->n_words + n_pages) * 4);
    if (!w) return;
    memcpy(w, st->w, st->n_words * 4);
    for (uint32_t i = 0; i < n_pages; i++) w[st->n_words + i] = 2 * n_pages - 1 - i;
    for (uint32_t r = cut; r < st->n_rows; r++)
        for (uint32_t k = 3; k < 5; k++)
            w[w[GOSS_STEP_ROWS] + r * GOSS_ROW_WORDS + k] = (uint32_t)st->n_words;
    st->w = w;
    st->n_words += n_pages;
}

/* Many rows, of two sequences: in tiles of f32, or by fragments. */
static int make_tiles(gc *g, gc_case *c, int i, int fragments)
{
    const setting *s = &tiled[i / 2];
    const uint32_t sinks = i & 1 ? 6 : GOSS_GPU_NONE, per_kv = s->heads / s->kv, last = s->pos + s->rows - 1,
                   n_pages = last / 64 + 1, stride = (s->heads + 2 * s->kv) * s->hd;
    const goss_gpu_limits *lim = g->limits;
    const int half = fragments || (g->half_ok && i % 3);
    const uint32_t queries = fragments ? GOSS_ATTEND_SUBGROUPS * lim->fragment.m : 32;
    if (fragments && (!lim->fragment.m || !g->half_ok || !g->subgroup || queries % per_kv)) return 1;
    if ((fragments ? goss_attend_fragment_bytes(lim, s->hd) : 160 * s->hd * 4 + 2432) >
        lim->max_workgroup_bytes)
        return 1;
    const float scale = 1 / sqrtf((float)s->hd);
    gc_step st = gc_step_make(g, s->rows, s->pos, 8, s->chunks, n_pages);
    size_t n_pool;
    two_sequences(g, &st, s->rows * 2 / 3, n_pages);
    const void *pool = make_pool(g, s, &st, half, 2 * n_pages, &n_pool);
    const float *q = gc_floats(g, (size_t)s->rows * stride, 4), *small = gc_floats(g, s->heads + 6, 4);
    const goss_block_attend p = { .n_head = s->heads, .n_kv = s->kv, .head_dim = s->hd, .window = s->window,
                                  .cls = s->pos & 1, .stride = stride, .scale = scale, .sinks = sinks,
                                  .half = s->rope_half };
    gc_begin(c, fragments ? "attend_fragments.wgsl" : "attend_tile.wgsl", s->kv,
             ceil_div(s->rows, queries / per_kv), 1);
    goss_buf_str(&c->defines, gc_kv_defines(half));
    if (fragments) goss_attend_fragment_defines(&c->defines, lim, g->subgroup, per_kv, s->hd);
    else
        goss_buf_printf(&c->defines, " HEADS=%u HD=%u R=%u AP=%u", per_kv, s->hd, 32 / per_kv,
                        ceil_div(s->hd, 64));
    goss_fmt(c->what, sizeof c->what, "%u rows from %u, %u + %u heads of %u, window %u", s->rows, s->pos,
             s->heads, s->kv, s->hd, s->window);
    gc_params(g, c, &p, sizeof p);
    gc_in(c, st.w, st.n_words * 4);
    gc_in(c, q, (size_t)s->rows * stride * 4);
    gc_in(c, pool, n_pool);
    gc_in(c, small, (s->heads + 6) * 4);
    gc_buffer *y = gc_out(g, c, GC_FLOAT, (size_t)s->rows * s->heads * s->hd);
    double *e = gc_alloc(g, ((size_t)last + 1) * sizeof *e);
    rounded = fragments ? 4.8828125e-4 : 0;
    const size_t n = (size_t)s->heads * s->hd;
    gc_packed_want want = { .want = gc_alloc(g, s->rows * n * sizeof(double)),
                            .bound = gc_alloc(g, s->rows * n * sizeof(double)) };
    for (uint32_t r = 0; r < s->rows && !g->broken; r++)
        for (uint32_t h = 0; h < s->heads; h++)
            want_end(s, &st, q, pool, half, r, h, (double)scale,
                     sinks == GOSS_GPU_NONE ? -3e38 : (double)small[sinks + h], &want, e);
    for (size_t k = 0; k < s->rows * n && !g->broken; k++) gc_put(y, k, want.want[k], want.bound[k]);
    rounded = 0;
    return 0;
}

int gc_make_attend_tile(gc *g, gc_case *c, int i) { return make_tiles(g, c, i, 0); }
int gc_make_attend_fragments(gc *g, gc_case *c, int i) { return make_tiles(g, c, i, 1); }

int gc_make_merge(gc *g, gc_case *c, int i)
{
    const setting *s = &settings[i / 2 % N_SETTINGS];
    const int packed = i / 2 >= N_SETTINGS;
    if (packed && (s->heads * s->hd % 32 || !(g->limits->features & GOSS_GPU_DOT4))) return 1;
    const uint32_t sinks = i & 1 ? 6 : GOSS_GPU_NONE, n_pages = (s->pos + s->rows - 1) / 64 + 1;
    const gc_step st = gc_step_make(g, s->rows, s->pos, 8, s->chunks, n_pages);
    const size_t parts = (size_t)s->rows * s->chunks * s->heads;
    const float *small = gc_floats(g, s->heads + 6, 4), *part = gc_floats(g, parts * s->hd, 3);
    float *stat = gc_floats(g, parts * 2, 5);
    if (g->broken) return 0;
    for (size_t k = 0; k < parts; k++) stat[2 * k + 1] = 1 + fabsf(stat[2 * k + 1]);
    const goss_block_merge p = { .n_head = s->heads, .head_dim = s->hd, .window = s->window, .sinks = sinks };
    const uint32_t width = s->heads * s->hd;
    gc_begin(c, "merge.wgsl", ceil_div(width / 4, 64), s->rows, 1);
    goss_buf_printf(&c->defines, "%s WG=64 HEADS_CHUNKS=%u", packed ? "PACKED=y" : "",
                    ceil_div(256, s->hd) * GOSS_GPU_CHUNKS);
    goss_fmt(c->what, sizeof c->what, "%u rows from %u, %u heads of %u, window %u", s->rows, s->pos, s->heads,
             s->hd, s->window);
    gc_params(g, c, &p, sizeof p);
    gc_in(c, st.w, st.n_words * 4);
    gc_in(c, small, (s->heads + 6) * 4);
    gc_in(c, part, parts * s->hd * 4);
    gc_in(c, stat, parts * 8);
    gc_buffer *y = packed ? NULL : gc_out(g, c, GC_FLOAT, (size_t)s->rows * width);
    gc_packed_want *q = packed ? gc_packed_out(g, c, s->rows, width) : NULL;
    if (g->broken) return 0;
    if (packed) c->settle = gc_settle_packed;
    if (packed) memset(q->there, 1, s->rows);
    for (uint32_t r = 0; r < s->rows; r++)
        for (uint32_t h = 0; h < s->heads; h++) {
            const uint32_t chunks = view_of(s, r).chunks;
            const double sink = sinks == GOSS_GPU_NONE ? -3e38 : (double)small[sinks + h];
            double top = sink, total, farthest = 0;
            const size_t at = (size_t)r * s->chunks * s->heads + h;
            for (uint32_t k = 0; k < chunks; k++) top = fmax(top, (double)stat[(at + k * s->heads) * 2]);
            total = sinks == GOSS_GPU_NONE ? 0 : exp(sink - top);
            for (uint32_t k = 0; k < chunks; k++) {
                const double x = top - (double)stat[(at + k * s->heads) * 2];
                total += (double)stat[(at + k * s->heads) * 2 + 1] * exp(-x);
                farthest = fmax(farthest, x);
            }
            for (uint32_t d = 0; d < s->hd; d++) {
                double sum = 0, all = 0;
                for (uint32_t k = 0; k < chunks; k++) {
                    const double t = (double)part[(at + k * s->heads) * s->hd + d] *
                                     exp((double)stat[(at + k * s->heads) * 2] - top);
                    sum += t;
                    all += fabs(t);
                }
                const size_t to = ((size_t)r * s->heads + h) * s->hd + d;
                const double bound = GC_U * 2 * (16 + 4 * farthest + 2 * sqrt(chunks)) * all / total + 1e-36;
                if (y) gc_put(y, to, sum / total, bound);
                else {
                    q->want[to] = sum / total;
                    q->bound[to] = bound;
                }
            }
        }
    return 0;
}
