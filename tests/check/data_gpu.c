/* data_gpu.c - what the cases of check_gpu.h are made of: random numbers, matrices in the GPU's layouts with
 * their meaning (the reference of weights.inc.wgsl), the words of a step. */
#include "tests_gpu.h"
#include "base/mem.h"
#include "format/quant.h"
#include "gpu/kernels/kernels.h"
#include <math.h>
#include <string.h>

uint32_t gc_rand(gc *g)
{
    g->rng ^= g->rng << 13;
    g->rng ^= g->rng >> 7;
    g->rng ^= g->rng << 17;
    return (uint32_t)(g->rng >> 32);
}

int gc_below(gc *g, int n) { return (int)(gc_rand(g) % (uint32_t)n); }

float gc_randf(gc *g)
{
    const uint32_t r = gc_rand(g) & 63;
    const float u = (float)(int32_t)gc_rand(g) * (1.0f / 2147483648.0f);
    return r == 0 ? 0.0f : r == 1 ? u * 1e-30f : r == 2 ? u * 1e-41f : r == 3 ? u * 16.0f : u;
}

void *gc_alloc(gc *g, size_t n)
{
    void *p = g->n_blocks < (int)(sizeof g->blocks / sizeof *g->blocks) ? goss_mem_alloc(n ? n : 4) : NULL;
    if (p) g->blocks[g->n_blocks++] = p;
    else g->broken = 1;
    return p;
}

float *gc_floats(gc *g, size_t n, float scale)
{
    float *f = gc_alloc(g, n * sizeof *f);
    for (size_t i = 0; f && i < n; i++) f[i] = scale * gc_randf(g);
    return f;
}

/* ---- buffers ------------------------------------------------------------------------------------------- */
gc_buffer *gc_in(gc_case *c, const void *data, size_t n_bytes)
{
    gc_buffer *b = &c->buffer[c->n_buffers++];
    *b = (gc_buffer){ .use = 'r', .n = (n_bytes + 3) & ~(size_t)3, .data = (void *)(uintptr_t)data };
    return b;
}

void gc_params(gc *g, gc_case *c, const void *words, size_t n_bytes)
{
    uint8_t *p = gc_alloc(g, 256);
    if (p) memcpy(p, words, n_bytes);
    c->buffer[c->n_buffers++] = (gc_buffer){ .use = 'u', .n = 256, .data = p };
}

gc_buffer *gc_out(gc *g, gc_case *c, int type, size_t n)
{
    gc_buffer *b = &c->buffer[c->n_buffers++];
    const size_t size = type == GC_HALF ? 2 : 4, bytes = (n * size + 3) & ~(size_t)3;
    *b = (gc_buffer){ .use = 'w', .type = type, .n = bytes, .data = gc_alloc(g, bytes) };
    b->want = gc_alloc(g, bytes / size * sizeof *b->want);
    b->bound = gc_alloc(g, bytes / size * sizeof *b->bound);
    if (b->data) memset(b->data, 0xff, bytes); /* a NaN in floats and halves */
    for (size_t i = 0; b->bound && i < bytes / size; i++) b->bound[i] = GC_UNTOUCHED;
    return b;
}

void gc_put(gc_buffer *b, size_t i, double want, double bound)
{
    b->want[i] = want;
    b->bound[i] = bound;
}

double gc_sum_bound(double magnitude, double n) { return GC_U * (8 + 2 * sqrt(n)) * magnitude + 1e-36 * n; }
double gc_packed_bound(double n) { return 1.5e-31 * n / 32; }
double gc_half_bound(double v) { return fabs(v) * 4.8828125e-4 + 3e-8; }

/* ---- matrices ------------------------------------------------------------------------------------------ */
static void random_words(gc *g, void *p, size_t n)
{
    uint32_t *w = p;
    for (size_t i = 0; i < n / 4; i++) w[i] = gc_rand(g);
}

static uint16_t random_half(gc *g, int nasty)
{
    const float s = nasty ? (gc_below(g, 3) ? 6e-8f : 1000.0f) : 0.05f * (float)(1 + gc_below(g, 40));
    return goss_f32_to_f16(gc_below(g, 2) ? s : -s);
}

/* Plain types: values, not bits, or half of them would be huge. */
static void random_plain(gc *g, const gc_matrix *m)
{
    const size_t n = (size_t)m->n_rows * m->n_in;
    for (size_t i = 0; i < n; i++) {
        const float f = gc_randf(g);
        const uint16_t h = m->layout == GOSS_LAYOUT_F16 ? goss_f32_to_f16(f) : goss_f32_to_bf16(f);
        if (m->layout == GOSS_LAYOUT_F32) memcpy(m->q + 4 * i, &f, 4);
        else memcpy(m->q + 2 * i, &h, 2);
    }
}

gc_matrix gc_matrix_make(gc *g, int layout, uint32_t n_in, uint32_t n_rows, int nasty)
{
    gc_matrix m = { .layout = layout,
                    .n_in = n_in,
                    .n_rows = n_rows,
                    .n_units = n_in / 8,
                    .scale_words = goss_layout_scales(layout, n_in) };
    m.n_q = (size_t)(goss_layout_q_bytes(layout, n_in) * n_rows);
    m.n_s = (size_t)(goss_layout_s_bytes(layout, n_in) * n_rows);
    m.q = gc_alloc(g, m.n_q);
    m.s = gc_alloc(g, m.n_s + 16);
    if (!m.q || !m.s) return m;
    if (layout >= GOSS_LAYOUT_F16) {
        random_plain(g, &m);
        m.n_s = 16;
        return m;
    }
    random_words(g, m.q, m.n_q);
    for (size_t i = 0; i < m.n_s && layout == GOSS_LAYOUT_MX4; i++)
        m.s[i] = (uint8_t)(nasty && !gc_below(g, 4) ? 2 + gc_below(g, 20) : 118 + gc_below(g, 12));
    for (size_t i = 0; i < m.n_s / 2 && layout == GOSS_LAYOUT_Q8; i++) {
        const uint16_t h = random_half(g, nasty);
        memcpy(m.s + 2 * i, &h, 2);
    }
    for (size_t i = 0; i < m.n_s / 4 && layout == GOSS_LAYOUT_I8; i++) {
        const float f = goss_f16_to_f32(random_half(g, nasty)) * (i & 1 ? (float)gc_below(g, 3) : 1);
        memcpy(m.s + 4 * i, &f, 4);
    }
    m.n_s += 8; /* the mark of weights beyond halves */
    return m;
}

static uint32_t word_at(const uint8_t *p, size_t i)
{
    uint32_t w;
    memcpy(&w, p + 4 * i, 4);
    return w;
}

static double float_at(const uint8_t *p, size_t i)
{
    float f;
    memcpy(&f, p + 4 * i, 4);
    return (double)f;
}

static double half_at(const uint8_t *p, size_t i)
{
    uint16_t h;
    memcpy(&h, p + 2 * i, 2);
    return (double)goss_f16_to_f32(h);
}

/* 2^(e - 127): ldexp took a third of the references' time. */
static double power_of_two(uint8_t e)
{
    static double powers[256];
    for (int i = 0; i < 256 && powers[255] <= 0; i++) powers[i] = ldexp(1, i - 127);
    return powers[e];
}

/* layout.h's drawing in numbers: value times scale, and the minimum apart. */
static double parts_of(const gc_matrix *m, uint32_t row, uint32_t i, double *minimum)
{
    static const double codes[16] = { -3, -6, -2, -1.5, -1, -4, 0, 0.5, 1, -0.5, 2, 4, 3, 1.5, 4, 6 };
    const size_t at = (size_t)row * m->n_in + i, s = (size_t)row * m->scale_words,
                 unit = (size_t)row * m->n_units + i / 8;
    uint16_t b;
    *minimum = 0;
    switch (m->layout) {
    case GOSS_LAYOUT_MX4: {
        const uint32_t e = i % 8, place = e < 4 ? 2 * e : 2 * e - 7,
                       nibble = word_at(m->q, unit) >> 4 * place & 15;
        return codes[nibble] * power_of_two(m->s[s * 4 + i / 32]);
    }
    case GOSS_LAYOUT_Q8: return half_at(m->s, s * 2 + i / 32) * (double)(int8_t)m->q[at];
    case GOSS_LAYOUT_I8:
        *minimum = float_at(m->s, (s + i / 16) * 2 + 1);
        return float_at(m->s, (s + i / 16) * 2) * (double)(int8_t)m->q[at];
    case GOSS_LAYOUT_F16: return half_at(m->q, at);
    case GOSS_LAYOUT_BF16: memcpy(&b, m->q + 2 * at, 2); return (double)goss_bf16_to_f32(b);
    default: return float_at(m->q, at);
    }
}

double gc_weight(const gc_matrix *m, uint32_t row, uint32_t i)
{
    double minimum;
    const double v = parts_of(m, row, i, &minimum);
    return v + minimum;
}

double gc_dot(const gc_matrix *m, uint32_t row, const float *x, double *magnitude)
{
    double sum = 0, all = 0, minimum;
    for (uint32_t i = 0; i < m->n_in; i++) {
        const double v = parts_of(m, row, i, &minimum), f = (double)x[i];
        sum += (v + minimum) * f;
        all += (fabs(v) + fabs(minimum)) * fabs(f);
    }
    *magnitude = all;
    return sum;
}

void gc_matrix_in(gc_case *c, const gc_matrix *m)
{
    gc_in(c, m->q, m->n_q);
    gc_in(c, m->s, m->n_s);
}

/* ---- defines ------------------------------------------------------------------------------------------- */
void gc_layout_defines(gc_case *c, int layout)
{
    const goss_layout_info *l = goss_layout_get(layout);
    goss_buf_printf(&c->defines, " %s WQ=%s WS=%s ", l->define, l->wq, l->ws);
}

/* As stage_gpu.c chooses for a software adapter and for a GPU. */
gc_tuning gc_tuning_of(const gc *g, int tuning)
{
    gc_tuning t = { tuning ? 128 : 64, tuning ? 32 : 4, { 4, tuning ? 4 : 2, 2 } };
    if (g->subgroup > (int)t.lanes) t.lanes = (uint32_t)g->subgroup;
    return t;
}

void gc_reduce_defines(gc *g, gc_case *c, uint32_t wg, uint32_t lanes, uint32_t values)
{
    const goss_gpu_facts f = { .subgroup = g->subgroup };
    goss_reduce_defines(&f, &c->defines, wg, lanes, values);
}

/* ---- steps --------------------------------------------------------------------------------------------- */
gc_step gc_step_make(gc *g, uint32_t n_rows, uint32_t pos, uint32_t rope_dim, uint32_t chunks,
                     uint32_t pages_there)
{
    enum { SAMPLER = 16 + 2 * 8 };
    gc_step s = { .n_rows = n_rows, .pos = pos, .rope_dim = rope_dim };
    const uint32_t rows = GOSS_STEP_HEADER, list = rows + n_rows * GOSS_ROW_WORDS,
                   table = list + n_rows + n_rows * rope_dim;
    s.rope = list + n_rows;
    s.n_pages = (pos + n_rows - 1) / 64 + 1;
    s.sampler = table + s.n_pages;
    s.n_words = s.sampler + SAMPLER;
    uint32_t *w = s.w = gc_alloc(g, s.n_words * 4);
    if (!w) return s;
    w[0] = n_rows;
    w[GOSS_STEP_ROWS] = rows;
    w[GOSS_STEP_LIST] = list;
    w[GOSS_STEP_ROPE] = s.rope;
    w[GOSS_STEP_CHUNKS] = chunks;
    for (uint32_t i = 0; i < n_rows; i++) {
        uint32_t *r = w + rows + i * GOSS_ROW_WORDS;
        r[1] = pos + i;
        r[3] = r[4] = table;
        r[5] = i;
        r[6] = s.sampler;
        r[7] = GOSS_GPU_NONE;
        w[list + i] = i;
        for (uint32_t k = 0; k < rope_dim; k++) {
            const float f = 1.35f * gc_randf(g) / 16;
            memcpy(w + s.rope + i * rope_dim + k, &f, 4);
        }
    }
    for (uint32_t g16 = 0; g16 * 16 < n_rows; g16++)
        w[GOSS_STEP_GROUPS + g16] = n_rows - g16 * 16 < 16 ? n_rows - g16 * 16 : 16;
    for (uint32_t i = 0; i < s.n_pages; i++) /* every second sequence of pages runs backwards */
        w[table + i] = pos & 1 ? pages_there - 1 - i : i;
    return s;
}

uint32_t gc_step_page(const gc_step *s, uint32_t row, uint32_t index)
{
    return s->w[s->w[s->w[GOSS_STEP_ROWS] + row * GOSS_ROW_WORDS + 3] + index];
}

double gc_weight_size(const gc_matrix *m, uint32_t row, uint32_t i)
{
    double minimum;
    const double v = parts_of(m, row, i, &minimum);
    return fabs(v) + fabs(minimum);
}

/* ---- what several kernels end with --------------------------------------------------------------------- */
static double rope_word(const gc_step *s, uint32_t row, uint32_t i)
{
    return float_at((const uint8_t *)(s->w + s->rope + row * s->rope_dim), i);
}

void gc_finish_pair(const gc_step *s, uint32_t row, uint32_t o, uint32_t n_head, uint32_t n_kv, uint32_t hd,
                    uint32_t rope, uint32_t adjacent, double v[2], double bound[2], uint32_t at[2])
{
    const uint32_t head = o / hd, j = o % hd, i = j / 2, half = rope / 2;
    at[0] = o;
    at[1] = o + 1;
    if (head >= n_head + n_kv || j >= rope) return;
    const double c = rope_word(s, row, i), n = rope_word(s, row, half + i), a = v[0], b = v[1],
                 all = fabs(a * c) + fabs(b * n), other = fabs(b * c) + fabs(a * n), ba = bound[0],
                 bb = bound[1];
    v[0] = a * c - b * n;
    v[1] = b * c + a * n;
    bound[0] = ba * fabs(c) + bb * fabs(n) + 4 * GC_U * all + 1e-36;
    bound[1] = bb * fabs(c) + ba * fabs(n) + 4 * GC_U * other + 1e-36;
    at[0] = head * hd + (adjacent ? j : i);
    at[1] = head * hd + (adjacent ? j + 1 : i + half);
}

size_t gc_kv_at(uint32_t page, uint32_t n_kv, uint32_t head, uint32_t is_v, uint32_t hd, uint32_t position,
                uint32_t d)
{
    const size_t base = ((size_t)(page * n_kv + head) * 2 + is_v) * 64 * hd;
    return base + (is_v ? position * hd + d : d / 4 * 256 + position * 4 + d % 4);
}

const char *gc_kv_defines(int half)
{
    return half ? "KV_HALF KV2=u32 KV4=vec2<u32>" : "KV2=vec2<f32> KV4=vec4<f32>";
}

void gc_put_kv(gc_buffer *pages, const gc_step *s, uint32_t row, uint32_t o, uint32_t n_head, uint32_t n_kv,
               uint32_t hd, double v, double bound)
{
    if (o < n_head * hd) return;
    const uint32_t k = o - n_head * hd, is_v = k >= n_kv * hd, i = k - is_v * n_kv * hd, pos = s->pos + row;
    gc_put(pages, gc_kv_at(gc_step_page(s, row, pos / 64), n_kv, i / hd, is_v, hd, pos % 64, i % hd), v,
           bound + (pages->type == GC_HALF ? gc_half_bound(v) : 0));
}

/* exp is good to 3 + 2 |x| ulp; the derivative of g * sigmoid(alpha g) is below 1.11. */
double gc_swiglu(double gate, double up, double alpha, double limit, double bg, double bu, double *bound)
{
    const double g = fmin(gate, limit), u = fmin(fmax(up, -limit), limit), s = g / (1 + exp(-alpha * g));
    *bound = 1.2 * bg * (fabs(u) + 1) + fabs(s) * (bu + 2 * GC_U * (fabs(u) + 1)) +
             2 * GC_U * (12 + 2 * alpha * fabs(g)) * fabs(s) * (fabs(u) + 1) + 1e-30;
    return s * (u + 1);
}

double gc_silu(double gate, double up, double bg, double bu, double *bound)
{
    const double s = gate / (1 + exp(-gate));
    *bound = 1.2 * bg * fabs(up) + fabs(s) * bu + 2 * GC_U * (12 + 2 * fabs(gate)) * fabs(s * up) + 1e-30;
    return s * up;
}

/* ---- packed activations -------------------------------------------------------------------------------- */
static size_t packed_scales(uint32_t n) { return (size_t)(4 * ((n / 32 + 3) / 4)); }
static size_t packed_words(uint32_t n) { return n / 2 + 2 * packed_scales(n); }

/* Where the high byte of element e lies in a packed row; its low byte is n bytes behind. */
static size_t packed_at(uint32_t n, uint32_t e)
{
    return (size_t)((e % 32 / 16 * (n / 32) + e / 32) * 16 + e % 16);
}

uint32_t *gc_packed(gc *g, size_t n_rows, uint32_t n, float *values, size_t *n_bytes)
{
    const size_t words = packed_words(n);
    *n_bytes = n_rows * words * 4;
    uint32_t *all = gc_alloc(g, *n_bytes);
    for (size_t r = 0; r < n_rows && all; r++)
        for (uint32_t e = 0; e < n; e++) {
            uint8_t *row = (uint8_t *)(all + r * words);
            float *scale = (float *)(void *)(all + r * words + n / 2 + e / 32);
            if (e % 32 == 0) *scale = gc_below(g, 9) ? ldexpf((float)(1 + gc_below(g, 200)), -23) : 0;
            const int q = gc_below(g, 6)   ? gc_below(g, 65025) - 32512
                          : gc_below(g, 2) ? 32512
                                           : -32512,
                      high = (q + 128) >> 8;
            row[packed_at(n, e)] = (uint8_t)high;
            row[packed_at(n, e) + n] = (uint8_t)(q - high * 256);
            values[r * n + e] = (float)q * *scale; /* exact: 15 bits times 8 */
            all[r * words + n / 2 + packed_scales(n) + e / 32] += (uint32_t)q;
        }
    return all;
}

gc_packed_want *gc_packed_out(gc *g, gc_case *c, uint32_t n_rows, uint32_t n)
{
    gc_packed_want *p = gc_alloc(g, sizeof *p);
    const int buffer = c->n_buffers;
    gc_out(g, c, GC_WORD, packed_words(n) * (n_rows + 1));
    if (!p) return NULL;
    *p = (gc_packed_want){ .buffer = buffer, .n_rows = n_rows, .n = n };
    p->want = gc_alloc(g, (size_t)n_rows * n * sizeof *p->want);
    p->bound = gc_alloc(g, (size_t)n_rows * n * sizeof *p->bound);
    p->there = gc_alloc(g, n_rows);
    c->kept[3] = p;
    return p;
}

/* A block's scale is its largest magnitude over 32,512; a value is the nearest multiple of the scale. */
void gc_settle_packed(gc *g, gc_case *c, void *const *out)
{
    const gc_packed_want *p = c->kept[3];
    const size_t words = packed_words(p->n);
    for (uint32_t r = 0; r < p->n_rows; r++) {
        const uint8_t *row = (const uint8_t *)out[p->buffer] + r * words * 4;
        if (!p->there[r]) continue;
        for (uint32_t b = 0; b < p->n / 32; b++) {
            const double *want = p->want + (size_t)r * p->n + b * 32,
                         *bound = p->bound + (size_t)r * p->n + b * 32;
            const double scale = float_at(row, p->n / 2 + b);
            double top = 0, slack = 0;
            for (int k = 0; k < 32; k++) {
                top = fmax(top, fabs(want[k]));
                slack = fmax(slack, bound[k]);
            }
            if (!(fabs(scale - top / 32512) <= (slack + 8 * GC_U * top) / 32512 + 1e-34))
                gc_fail(g, "a block's scale is wrong");
            int sum = 0;
            for (uint32_t k = 0; k < 32; k++) {
                const size_t at = packed_at(p->n, b * 32 + k);
                const int q = 256 * (int8_t)row[at] + (int8_t)row[at + p->n];
                const double got = scale * q;
                sum += q;
                if (!(fabs(got - want[k]) <= bound[k] + 0.501 * scale + slack / 32512 + 1e-30)) {
                    gc_fail(g, "a packed value is wrong");
                    return;
                }
            }
            const size_t sum_at = p->n / 2 + packed_scales(p->n) + b;
            if ((int)word_at(row, sum_at) != sum) gc_fail(g, "a block's sum is wrong");
            gc_put(&c->buffer[p->buffer], r * words + p->n / 2 + b, 0, GC_ANY);
            gc_put(&c->buffer[p->buffer], r * words + sum_at, 0, GC_ANY);
        }
        for (size_t w = 0; w < p->n / 2; w++) gc_put(&c->buffer[p->buffer], r * words + w, 0, GC_ANY);
    }
    g->n_compared += (uint64_t)p->n_rows * p->n;
}
