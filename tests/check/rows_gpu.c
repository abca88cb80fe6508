/* rows_gpu.c - the kernels that take rows as they are: probe, embed, norm, quantize, repack, qkv_rows,
 * experts_sum, sum_parts. */
#include "check_gpu.h"
#include "tests_gpu.h"
#include "base/fmt.h"
#include "format/quant.h"
#include <math.h>
#include <string.h>

void gc_begin(gc_case *c, const char *file, uint32_t x, uint32_t y, uint32_t z)
{
    goss_fmt(c->file, sizeof c->file, "%s", file);
    c->grid[0] = x;
    c->grid[1] = y;
    c->grid[2] = z;
}

/* ---- probe --------------------------------------------------------------------------------------------- */
static void settle_probe(gc *g, gc_case *c, void *const *out)
{
    const uint32_t *w = out[0], size = w[3];
    gc_buffer *b = &c->buffer[0];
    g->found_subgroup = g->subgroup && size >= 4 && size <= 128 && !(size & (size - 1)) ? (int)size : 0;
    g->found_half = w[2] == 1;
    gc_put(b, 2, w[2] == 1, 0);
    gc_put(b, 3, g->subgroup ? size : 0, 0);
    for (uint32_t i = 0; i < 64 && g->subgroup;
         i++) { /* the engine does without subgroups of another order */
        gc_put(b, 4 + i, i % (size ? size : 1), 0);
        gc_put(b, 68 + i, i - i % (size ? size : 1), 0);
    }
}

int gc_make_probe(gc *g, gc_case *c, int i)
{
    const uint32_t input[2] = { 0x00010200u, 0x83ff7bffu };
    (void)i;
    gc_begin(c, "probe.wgsl", 1, 1, 1);
    g->subgroup = (g->limits->features & GOSS_GPU_SUBGROUPS) != 0;
    gc_buffer *b = gc_out(g, c, GC_WORD, 256);
    memcpy(b->data, input, sizeof input);
    c->settle = settle_probe;
    return 0;
}

/* ---- embed --------------------------------------------------------------------------------------------- */
/* A table cut in two, of which this is one piece that holds the first row's token; tokens from the step and
 * from the history. */
int gc_make_embed(gc *g, gc_case *c, int i)
{
    static const uint32_t lengths[] = { 64, 288, 544, 2880 };
    const int layout = i % GOSS_N_LAYOUTS;
    const uint32_t n_in = lengths[i / GOSS_N_LAYOUTS % 4], rows = 1 + (uint32_t)gc_below(g, 7),
                   first = i & 1 ? 9 : 0, n = 11, stride = 50, pos = (uint32_t)gc_below(g, 20);
    const gc_matrix m = gc_matrix_make(g, layout, n_in, n, i % 5 == 4);
    const gc_step s = gc_step_make(g, rows, pos, 8, 1, 2);
    const goss_block_embed p = { .n_units = n_in / 8, .scale_words = m.scale_words, .first = first, .n = n,
                                 .history_stride = stride };
    gc_begin(c, "embed.wgsl", (n_in / 8 + 63) / 64, rows, 1);
    gc_layout_defines(c, layout);
    goss_fmt(c->what, sizeof c->what, "%u of %u", rows, n_in);
    gc_params(g, c, &p, sizeof p);
    gc_in(c, s.w, s.n_words * 4);
    gc_matrix_in(c, &m);
    gc_buffer *x = gc_out(g, c, GC_FLOAT, (size_t)rows * n_in), *history = gc_out(g, c, GC_WORD, 2 * stride);
    memset(history->data, 0, history->n);
    for (uint32_t r = 0; r < rows; r++) {
        uint32_t *row = s.w + s.w[GOSS_STEP_ROWS] + r * GOSS_ROW_WORDS;
        const uint32_t any = (uint32_t)gc_below(g, r ? 20 : (int)n), token = r ? any : first + any,
                       slot = r & 1, place = slot * stride + pos + r;
        const int sampled = gc_below(g, 3) == 0;
        row[0] = sampled ? 0xffffffffu : token;
        row[2] = slot;
        if (sampled) ((uint32_t *)history->data)[place] = token;
        if (token < first || token >= first + n) continue;
        gc_put(history, place, token, 0);
        for (uint32_t k = 0; k < n_in; k++) {
            const double w = gc_weight(&m, token - first, k);
            gc_put(x, (size_t)r * n_in + k, w,
                   layout == GOSS_LAYOUT_I8 ? 4 * GC_U * gc_weight_size(&m, token - first, k) + 1e-36
                                            : 1e-36);
        }
    }
    return 0;
}

/* ---- norm ---------------------------------------------------------------------------------------------- */
/* The mean of squares has a sum's error, of which the root takes half; inverseSqrt 2 ulp, three products. */
double gc_norm_row(const float *x, const float *gain, uint32_t n, float eps, double *y, double *relative)
{
    double sum = 0;
    for (uint32_t k = 0; k < n; k++) sum += (double)x[k] * (double)x[k];
    const double scale = 1 / sqrt(sum / n + (double)eps);
    for (uint32_t k = 0; k < n; k++) y[k] = (double)x[k] * scale * (double)gain[k];
    *relative = GC_U * (16 + sqrt((double)n));
    return scale;
}

void gc_put_row(gc_buffer *y, gc_packed_want *q, uint32_t r, uint32_t n, const double *want, double relative)
{
    if (q) q->there[r] = 1;
    for (uint32_t k = 0; k < n; k++) {
        const double bound = fabs(want[k]) * relative + 1e-35;
        if (y) gc_put(y, (size_t)r * n + k, want[k], bound);
        else {
            q->want[(size_t)r * n + k] = want[k];
            q->bound[(size_t)r * n + k] = bound;
        }
    }
}

int gc_make_norm(gc *g, gc_case *c, int i)
{
    static const uint32_t lengths[] = { 64, 256, 260, 2880, 8, 1056 };
    const uint32_t n = lengths[i % 6], rows = 1 + (uint32_t)gc_below(g, 20), list = i & 1,
                   first = list ? rows / 2 : 0, gain = 12, wants = list ? rows - first : rows,
                   packed = i >= 6;
    if (packed && (n % 32 || !(g->limits->features & GOSS_GPU_DOT4))) return 1;
    const float eps = 1e-5f;
    const gc_step s = gc_step_make(g, rows, 3, 8, 1, 2);
    for (uint32_t r = 0; r < rows; r++) s.w[s.w[GOSS_STEP_LIST] + r] = rows - 1 - r;
    const float *small = gc_floats(g, gain + n + 8, 2),
                *x = gc_floats(g, (size_t)rows * n, i % 3 == 2 ? 1e-3f : 10);
    const goss_block_norm p = { .n = n, .eps = eps, .gain = gain, .list = list, .first = first };
    gc_begin(c, "norm.wgsl", wants, 1, 1);
    goss_buf_printf(&c->defines, "%sWG=%d ", packed ? "PACKED=y " : "", i % 3 == 1 ? 64 : 256);
    if (g->subgroup) goss_buf_printf(&c->defines, "SG=%d", g->subgroup);
    goss_fmt(c->what, sizeof c->what, "%u of %u", wants, n);
    gc_params(g, c, &p, sizeof p);
    gc_in(c, s.w, s.n_words * 4);
    gc_in(c, small, (gain + n + 8) * 4);
    gc_in(c, x, (size_t)rows * n * 4);
    double *want = gc_alloc(g, n * sizeof *want), relative;
    gc_buffer *y = packed ? NULL : gc_out(g, c, GC_FLOAT, (size_t)wants * n);
    gc_packed_want *q = packed ? gc_packed_out(g, c, wants, n) : NULL;
    if (packed) c->settle = gc_settle_packed;
    for (uint32_t r = 0; r < wants && !g->broken; r++) {
        const uint32_t row = list ? rows - 1 - (first + r) : r;
        gc_norm_row(x + (size_t)row * n, small + gain, n, eps, want, &relative);
        gc_put_row(y, q, r, n, want, relative);
    }
    return 0;
}

/* ---- experts_sum --------------------------------------------------------------------------------------- */
int gc_make_experts_sum(gc *g, gc_case *c, int i)
{
    static const uint32_t lengths[] = { 64, 65, 256, 2880 };
    const uint32_t n = lengths[i % 4], rows = 1 + (uint32_t)gc_below(g, 5), k = 1 + (uint32_t)(i % 5);
    uint32_t *route = gc_alloc(g, (size_t)rows * k * 8);
    const float *y = gc_floats(g, (size_t)rows * k * n, 3), *x = gc_floats(g, (size_t)rows * n, 5);
    const goss_block_sum p = { .n = n, .top_k = k };
    gc_begin(c, "experts_sum.wgsl", (n + 63) / 64, rows, 1);
    goss_fmt(c->what, sizeof c->what, "%u x %u of %u", rows, k, n);
    for (uint32_t r = 0; r < rows * k; r++) {
        const float w = (float)gc_below(g, 1000) / 1000;
        memcpy(route + 2 * r + 1, &w, 4);
    }
    gc_params(g, c, &p, sizeof p);
    gc_in(c, route, (size_t)rows * k * 8);
    gc_in(c, y, (size_t)rows * k * n * 4);
    gc_buffer *out = gc_out(g, c, GC_FLOAT, (size_t)rows * n);
    memcpy(out->data, x, (size_t)rows * n * 4);
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t j = 0; j < n; j++) {
            double sum = (double)x[r * n + j], all = fabs(sum);
            for (uint32_t e = 0; e < k; e++) {
                float w;
                memcpy(&w, route + 2 * (r * k + e) + 1, 4);
                const double v = (double)w * (double)y[(size_t)(r * k + e) * n + j];
                sum += v;
                all += fabs(v);
            }
            gc_put(out, (size_t)r * n + j, sum, GC_U * (4 + 2 * k) * all + 1e-36);
        }
    return 0;
}

/* ---- sum_parts ----------------------------------------------------------------------------------------- */
int gc_make_sum_parts(gc *g, gc_case *c, int i)
{
    static const uint32_t lengths[] = { 64, 66, 2880, 5120 };
    const uint32_t n = lengths[i / 2 % 4], rows = 1 + (uint32_t)gc_below(g, 5), parts = 2 + (uint32_t)(i % 3),
                   add = i & 1, first = 4 * (uint32_t)gc_below(g, 3), stride = first + n + 4 * (parts - 2),
                   bias = gc_below(g, 3) ? 5 : GOSS_GPU_NONE;
    const goss_block_parts p = { .n = n, .first = first, .stride = stride, .bias = bias };
    const gc_step s = gc_step_make(g, rows, 3, 8, 1, 2);
    const float *small = gc_floats(g, 5 + n, 2), *apart = gc_floats(g, (size_t)parts * rows * n, 3),
                *old = gc_floats(g, (size_t)rows * stride, 5);
    if (g->broken) return 0;
    gc_begin(c, "sum_parts.wgsl", (n + 63) / 64, rows, 1);
    goss_buf_printf(&c->defines, "%s APART=%u ", add ? "ADD" : "STORE", parts);
    goss_fmt(c->what, sizeof c->what, "%u x %u of %u%s", rows, parts, n, add ? ", added" : "");
    gc_params(g, c, &p, sizeof p);
    gc_in(c, s.w, s.n_words * 4);
    gc_in(c, small, (5 + (size_t)n) * 4);
    gc_in(c, apart, (size_t)parts * rows * n * 4);
    gc_buffer *y = gc_out(g, c, GC_FLOAT, (size_t)rows * stride);
    memcpy(y->data, old, (size_t)rows * stride * 4);
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t j = 0; j < n; j++) {
            const size_t to = (size_t)r * stride + first + j;
            double sum = (bias == GOSS_GPU_NONE ? 0 : (double)small[bias + j]) + (add ? (double)old[to] : 0),
                   all = fabs(sum) + (add ? 2 * fabs((double)old[to]) : 0);
            for (uint32_t k = 0; k < parts; k++) {
                const double v = (double)apart[((size_t)k * rows + r) * n + j];
                sum += v;
                all += fabs(v);
            }
            gc_put(y, to, sum, GC_U * (2 + parts) * all + 1e-36);
        }
    return 0;
}

/* ---- roof ---------------------------------------------------------------------------------------------- */
int gc_make_roof(gc *g, gc_case *c, int i)
{
    const uint32_t n = i ? 4000 + (uint32_t)gc_below(g, 5000) : 3, threads = i & 1 ? 256 : 1000;
    const goss_block_roof p = { .n = n, .threads = threads };
    uint32_t *src = gc_alloc(g, (size_t)n * 16);
    for (uint32_t k = 0; k < 4 * n; k++) src[k] = (uint32_t)gc_rand(g);
    gc_begin(c, "roof.wgsl", (threads + 255) / 256, 1, 1);
    goss_fmt(c->what, sizeof c->what, "%u by %u", n, threads);
    gc_params(g, c, &p, sizeof p);
    gc_in(c, src, (size_t)n * 16);
    gc_buffer *out = gc_out(g, c, GC_WORD, threads);
    for (uint32_t t = 0; t < threads; t++) {
        uint32_t sum = 0;
        for (uint32_t k = t; k < n; k += threads)
            sum += src[4 * k] + src[4 * k + 1] + src[4 * k + 2] + src[4 * k + 3];
        gc_put(out, t, sum, 0);
    }
    return 0;
}

/* ---- quantize ------------------------------------------------------------------------------------------ */
/* An element on the edge between two bytes may go either way; the scale is one division. */
static void settle_quantize(gc *g, gc_case *c, void *const *out)
{
    const float *x = c->kept[0];
    const uint32_t n = c->keep[0];
    gc_buffer *q = &c->buffer[3];
    for (uint32_t b = 0; b < n; b++) {
        double top = 0;
        for (uint32_t k = 0; k < 32; k++) top = fmax(top, fabs((double)x[b * 32 + k]));
        const int zero = top < 1e-30;
        gc_put(&c->buffer[4], b, zero ? 0 : top / 32512, zero ? 0 : 4 * GC_U * top / 32512);
        for (uint32_t k = 0; k < 32; k++) {
            const double v = zero ? 0 : (double)x[b * 32 + k] * 32512 / top;
            const int8_t *at = (const int8_t *)out[3] + b * 64 + k;
            if (fabs(v - (256.0 * at[0] + at[32])) > 0.5 + 0.02) gc_fail(g, "a value is not the nearest");
        }
        for (uint32_t k = 0; k < 16; k++) gc_put(q, b * 16 + k, 0, GC_ANY);
    }
}

int gc_make_quantize(gc *g, gc_case *c, int i)
{
    static const uint32_t blocks[] = { 1, 3, 90, 64 };
    const uint32_t per_row = blocks[i % 4], rows = 1 + (uint32_t)gc_below(g, 30),
                   times = 1 + (uint32_t)gc_below(g, 4), n = per_row * rows * times, grid_x = 2, spare = 3;
    if (!(g->limits->features & GOSS_GPU_DOT4)) return 1;
    const gc_step s = gc_step_make(g, rows, 0, 8, 1, 2);
    float *x = gc_floats(g, (size_t)n * 32, 4);
    for (uint32_t b = 0; b < n; b++) {
        const int kind = gc_below(g, 8);
        for (uint32_t k = 0; k < 32 && kind < 2; k++) x[b * 32 + k] *= kind ? 1e-35f : 0;
    }
    const goss_block_quantize p = { .n_blocks = per_row, .times = times, .grid_x = grid_x };
    gc_begin(c, "quantize.wgsl", grid_x, (n + 64 * grid_x - 1) / (64 * grid_x), 1);
    goss_fmt(c->what, sizeof c->what, "%u blocks", n);
    gc_params(g, c, &p, sizeof p);
    gc_in(c, s.w, s.n_words * 4);
    gc_in(c, x, (size_t)n * 128);
    gc_out(g, c, GC_WORD, (size_t)(n + spare) * 16);
    gc_out(g, c, GC_FLOAT, n + spare);
    c->kept[0] = x;
    c->keep[0] = n;
    c->settle = settle_quantize;
    return 0;
}

/* ---- to_halves ----------------------------------------------------------------------------------------- */
int gc_make_to_halves(gc *g, gc_case *c, int i)
{
    static const uint32_t sizes[] = { 8, 32, 2880, 64 };
    const uint32_t n = sizes[i % 4], rows = 1 + (uint32_t)gc_below(g, 9),
                   times = 1 + (uint32_t)gc_below(g, 4), all = rows * times, grid_x = 3;
    const gc_step s = gc_step_make(g, rows, 0, 8, 1, 2);
    const int split = i / 4 % 2;
    float *x = gc_floats(g, (size_t)all * n, 4);
    if (g->broken) return 0;
    /* split: 11 bits and a bit more of the same sign, so that each rounding leaves the same over */
    for (size_t k = 0; split && k < (size_t)all * n; k++)
        x[k] = ldexpf((float)(1024 + gc_below(g, 1023)) + 0.1f + 0.003f * (float)gc_below(g, 100),
                      -gc_below(g, 8)) * (gc_below(g, 2) ? 1 : -1);
    for (uint32_t r = 0; r < all; r++) {
        const int kind = gc_below(g, 6);
        for (uint32_t k = 0; k < n && kind < 4; k++)
            x[r * n + k] *= kind > 2 ? 0x1p-120f : kind > 1 ? 0x1p90f : (float)kind;
    }
    const goss_block_to_halves p = { .n = n / 4, .times = times, .grid_x = grid_x };
    gc_begin(c, "to_halves.wgsl", grid_x, ceil_div(all, grid_x), 1);
    if (split) goss_buf_str(&c->defines, "SPLIT");
    goss_fmt(c->what, sizeof c->what, "%u rows of %u%s", all, n, split ? ", split" : "");
    gc_params(g, c, &p, sizeof p);
    gc_in(c, s.w, s.n_words * 4);
    gc_in(c, x, (size_t)all * n * 4);
    gc_buffer *y = gc_out(g, c, GC_HALF, (size_t)all * n * (split ? 2 : 1) + 8),
              *scale = gc_out(g, c, GC_FLOAT, all + 2);
    for (uint32_t r = 0; r < all; r++) {
        float top = 0;
        int e = 0;
        for (uint32_t k = 0; k < n; k++) top = fmaxf(top, fabsf(x[r * n + k]));
        const int some = top >= 1e-30f;
        frexpf(top, &e);
        gc_put(scale, r, some ? ldexp(1, e - 11) : 0, 0);
        for (uint32_t k = 0; k < n; k++) {
            const double v = some ? ldexp((double)x[r * n + k], 11 - e) : 0;
            const size_t at = (size_t)r * n * (split ? 2 : 1) + k;
            const int exponent = some ? ilogb(v) : 0;
            const double high = split ? ldexp(trunc(ldexp(v, 10 - exponent)), exponent - 10) : v;
            gc_put(y, at, high, split ? 0 : gc_half_bound(v) + 6e-8);
            if (split) gc_put(y, at + n, v - high, gc_half_bound(v - high) + 6e-8);
        }
    }
    return 0;
}

/* ---- repack -------------------------------------------------------------------------------------------- */
static const struct {
    int type;
    const char *defines;
} raw_types[] = {
    { GOSS_MXFP4, "MX4" },
    { GOSS_Q8_0, "Q8" },
    { GOSS_F16, "PLAIN UNIT_WORDS=4" },
    { GOSS_BF16, "PLAIN UNIT_WORDS=4" },
    { GOSS_F32, "PLAIN UNIT_WORDS=8" },
    { GOSS_Q4_0, "I8 LEGACY BLOCK_BYTES=18 HAS_MIN=0 HAS_FIFTH=0 IS_IQ4=0 BIAS=8" },
    { GOSS_Q4_1, "I8 LEGACY BLOCK_BYTES=20 HAS_MIN=1 HAS_FIFTH=0 IS_IQ4=0 BIAS=0" },
    { GOSS_Q5_0, "I8 LEGACY BLOCK_BYTES=22 HAS_MIN=0 HAS_FIFTH=1 IS_IQ4=0 BIAS=16" },
    { GOSS_Q5_1, "I8 LEGACY BLOCK_BYTES=24 HAS_MIN=1 HAS_FIFTH=1 IS_IQ4=0 BIAS=0" },
    { GOSS_IQ4_NL, "I8 LEGACY BLOCK_BYTES=18 HAS_MIN=0 HAS_FIFTH=0 IS_IQ4=1 BIAS=0" },
    { GOSS_Q2_K, "I8 Q2_K" },
    { GOSS_Q3_K, "I8 Q3_K" },
    { GOSS_Q4_K, "I8 Q45_K BLOCK_BYTES=144" },
    { GOSS_Q5_K, "I8 Q45_K BLOCK_BYTES=176" },
    { GOSS_Q6_K, "I8 Q6_K" },
};
enum { N_RAW = sizeof raw_types / sizeof *raw_types };

/* Random bytes, with halves that are numbers where a block keeps its scales. */
static void raw_blocks(gc *g, int type, uint8_t *w, size_t n_blocks)
{
    const int bytes = goss_type_get(type)->bytes;
    const int at = type == GOSS_Q2_K ? 80 : type == GOSS_Q3_K ? 108 : type == GOSS_Q6_K ? 208 : 0;
    const int two =
        type == GOSS_Q4_1 || type == GOSS_Q5_1 || type == GOSS_Q4_K || type == GOSS_Q5_K || type == GOSS_Q2_K;
    for (size_t b = 0; b < n_blocks; b++, w += bytes) {
        for (int i = 0; i < bytes; i++) w[i] = (uint8_t)gc_rand(g);
        if (type == GOSS_MXFP4) {
            w[0] = (uint8_t)(gc_below(g, 8) ? 110 + gc_below(g, 30) : gc_below(g, 3));
            continue;
        }
        if (type == GOSS_F32 || type == GOSS_BF16) {
            w[bytes - 1] = (uint8_t)(0x3e | (gc_rand(g) & 0x80));
            continue;
        }
        for (int k = 0; k <= two; k++) {
            const uint16_t h = goss_f32_to_f16(gc_below(g, 5) ? gc_randf(g) : 1e-6f * gc_randf(g));
            memcpy(w + at + 2 * k, &h, 2);
        }
    }
}

/* repack.wgsl's dst_row. */
static uint32_t place_of(const goss_block_repack *p, uint32_t local)
{
    const uint32_t r = local + p->source_row, j = r % p->head_dim, half = p->rope_dim / 2;
    if (p->mode == GOSS_REPACK_PAIRS) return p->row0 + 2 * r;
    if (p->mode == GOSS_REPACK_ROPE && j < p->rope_dim)
        return p->row0 + r - j + (j < half ? 2 * j : 2 * (j - half) + 1);
    return p->row0 + r;
}

/* Does a weight of this row leave the range of halves, as matmul_fragments makes them? */
static int is_beyond(const gc_matrix *m, uint32_t row)
{
    int beyond = 0;
    for (uint32_t k = 0; k < m->n_in && m->layout <= GOSS_LAYOUT_I8; k += 16) {
        uint16_t half;
        float pair[2];
        const uint8_t *s = m->s + (size_t)row * m->scale_words * (m->layout == GOSS_LAYOUT_I8 ? 8 : 4);
        memcpy(&half, s + k / 32 * 2, 2);
        if (m->layout == GOSS_LAYOUT_Q8) beyond |= (half & 0x7fff) > 0x4800;
        if (m->layout == GOSS_LAYOUT_I8) {
            memcpy(pair, s + k / 16 * 8, 8);
            beyond |= !(fabsf(pair[0]) * 128 + fabsf(pair[1]) <= 1000);
        }
        for (uint32_t i = k; i < k + 16 && m->layout == GOSS_LAYOUT_MX4; i++)
            beyond |= (s[i / 32] < 107 || s[i / 32] > 131) && gc_weight(m, row, i) != 0;
    }
    return beyond;
}

/* Every weight that came out means what the block says; rows between are as they were. */
static void settle_repack(gc *g, gc_case *c, void *const *out)
{
    const goss_block_repack *p = c->kept[1];
    const int type = (int)c->keep[0];
    gc_matrix m = { .layout = goss_layout_of(type),
                    .n_in = c->keep[1],
                    .n_units = p->n_units,
                    .scale_words = p->scale_words,
                    .q = out[2],
                    .s = out[3] };
    const size_t q_words = (size_t)goss_layout_q_bytes(m.layout, m.n_in) / 4,
                 s_words = (size_t)goss_layout_s_bytes(m.layout, m.n_in) / 4;
    float *row = c->kept[2];
    int beyond = 0;
    for (uint32_t r = 0; r < p->n_rows; r++) {
        const uint32_t to = place_of(p, r);
        beyond |= is_beyond(&m, to);
        goss_to_float(type, (const uint8_t *)c->kept[0] + (size_t)r * p->row_bytes, row, m.n_in);
        for (uint32_t k = 0; k < m.n_in; k++) {
            const double w = gc_weight(&m, to, k),
                         size = m.layout == GOSS_LAYOUT_I8 ? gc_weight_size(&m, to, k) : 0;
            if (!(fabs(w - (double)row[k]) <= 2 * GC_U * size)) {
                gc_fail(g, "a weight changed");
                return;
            }
        }
        for (size_t k = 0; k < q_words; k++) gc_put(&c->buffer[2], to * q_words + k, 0, GC_ANY);
        for (size_t k = 0; k < s_words; k++) gc_put(&c->buffer[3], to * s_words + k, 0, GC_ANY);
    }
    if (beyond) gc_put(&c->buffer[3], p->beyond, 0x3f800000, 0);
    g->n_compared += (uint64_t)p->n_rows * m.n_in;
}

int gc_make_repack(gc *g, gc_case *c, int i)
{
    const int type = raw_types[i % N_RAW].type, layout = goss_layout_of(type),
              block = goss_type_get(type)->block;
    const uint32_t mode = (uint32_t)(i / N_RAW % 3), hd = 16, rope = i & 1 ? 16 : 12,
                   n_in = (uint32_t)(block == 256    ? 256 * (1 + gc_below(g, 3))
                                     : i / N_RAW > 2 ? 2880
                                                     : 32 * (1 + gc_below(g, 9))),
                   rows = mode == 1 ? 2 * hd : 1 + (uint32_t)gc_below(g, 9),
                   source = mode == 1 ? hd : (uint32_t)gc_below(g, 4),
                   row0 = mode == 2 ? (uint32_t)gc_below(g, 2) - 2 * source : 3, all = 2 * rows + 2 * hd + 8;
    const uint32_t row_bytes = (uint32_t)goss_type_row_bytes(type, n_in),
                   scale_words = goss_layout_scales(layout, n_in);
    const uint32_t per_row = layout == GOSS_LAYOUT_I8   ? n_in / 32
                             : layout <= GOSS_LAYOUT_Q8 ? scale_words
                                                        : n_in / 8,
                   groups = (rows * per_row + 63) / 64, grid_x = groups > 2 ? 2 : groups;
    const size_t n_raw = ((size_t)rows * row_bytes + 3) / 4 * 4;
    uint8_t *raw = gc_alloc(g, n_raw);
    goss_block_repack *kept = gc_alloc(g, sizeof *kept);
    if (!raw || !kept) return 0;
    raw_blocks(g, type, raw, (size_t)rows * n_in / (size_t)block);
    const size_t s_words = scale_words ? (size_t)goss_layout_s_bytes(layout, n_in) / 4 * all : 4;
    const goss_block_repack p = { .n_rows = rows,
                                  .row_bytes = row_bytes,
                                  .per_row = per_row,
                                  .row0 = row0,
                                  .mode = mode,
                                  .head_dim = hd,
                                  .rope_dim = rope,
                                  .n_units = n_in / 8,
                                  .scale_words = scale_words,
                                  .source_row = source,
                                  .grid_x = grid_x,
                                  .beyond = (uint32_t)s_words };
    gc_begin(c, "repack.wgsl", grid_x, (groups + grid_x - 1) / grid_x, 1);
    goss_buf_str(&c->defines, raw_types[i % N_RAW].defines);
    goss_fmt(c->what, sizeof c->what, "%s, %u of %u, mode %u", goss_type_get(type)->name, rows, n_in, mode);
    gc_params(g, c, &p, sizeof p);
    gc_in(c, raw, n_raw);
    gc_out(g, c, GC_WORD, (size_t)goss_layout_q_bytes(layout, n_in) / 4 * all);
    gc_out(g, c, GC_WORD, s_words + 2);
    c->kept[0] = raw;
    *kept = p;
    c->kept[1] = kept;
    c->kept[2] = gc_alloc(g, (size_t)n_in * 4);
    c->keep[0] = (uint32_t)type;
    c->keep[1] = n_in;
    c->settle = settle_repack;
    return 0;
}

/* ---- qkv_rows ------------------------------------------------------------------------------------------ */
int gc_make_qkv_rows(gc *g, gc_case *c, int i)
{
    static const struct {
        uint32_t heads, kv, hd, rope;
    } shapes[] = { { 4, 2, 16, 16 }, { 3, 1, 32, 24 }, { 8, 8, 8, 8 }, { 64, 8, 64, 64 } };
    const int half = i & 1;
    if (half && !g->half_ok) return 1;
    const uint32_t h = shapes[i / 4 % 4].heads, kv = shapes[i / 4 % 4].kv, hd = shapes[i / 4 % 4].hd,
                   rope = shapes[i / 4 % 4].rope, adjacent = (uint32_t)(i / 2 & 1),
                   rows = 1 + (uint32_t)gc_below(g, 20), stride = (h + 2 * kv) * hd,
                   pos = (uint32_t)gc_below(g, 150), pages = (pos + rows - 1) / 64 + 2;
    const gc_step s = gc_step_make(g, rows, pos, rope, 1, pages);
    const float *in = gc_floats(g, (size_t)rows * stride, 8);
    const goss_block_qkv_rows p = { .stride = stride, .n_head = h, .n_kv = kv, .head_dim = hd,
                                    .rope_dim = rope, .adjacent = adjacent, .cls = pos & 1 };
    gc_begin(c, "qkv_rows.wgsl", h + 2 * kv, rows, 1);
    goss_buf_str(&c->defines, gc_kv_defines(half));
    goss_fmt(c->what, sizeof c->what, "%u rows of %u + %u heads of %u from %u", rows, h, kv, hd, pos);
    gc_params(g, c, &p, sizeof p);
    gc_in(c, s.w, s.n_words * 4);
    gc_buffer *x = gc_out(g, c, GC_FLOAT, (size_t)rows * stride),
              *pool = gc_out(g, c, half ? GC_HALF : GC_FLOAT, (size_t)pages * kv * 128 * hd);
    memcpy(x->data, in, x->n);
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t o = 0; o < stride; o += 2) {
            double v[2], b[2] = { 1e-44, 1e-44 };
            uint32_t at[2];
            v[0] = (double)in[r * stride + o];
            v[1] = (double)in[r * stride + o + 1];
            gc_finish_pair(&s, r, o, h, kv, hd, rope, adjacent, v, b, at);
            for (int k = 0; k < 2; k++) {
                gc_put(x, (size_t)r * stride + at[k], v[k], b[k]);
                gc_put_kv(pool, &s, r, o + (uint32_t)k, h, kv, hd, v[k], b[k]);
            }
        }
    return 0;
}
