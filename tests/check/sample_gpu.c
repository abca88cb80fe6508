/* sample_gpu.c - the sampler's kernels against goss_sample(): tokens, fixed-point numbers, limits and weights
 * exactly, what is reported about them within bounds. */
#include "tests_gpu.h"
#include "base/fmt.h"
#include "model/sample.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FORBIDDEN = INT32_MIN, BEST = 1 << 30 };
typedef struct sampling {
    goss_sampler s;
    uint32_t vocab, chunks, rows, pos, stride, n_pages;
    gc_step st;
    float *logits;    /* (rows, vocab) */
    uint32_t *mask;   /* NULL: everything */
    int32_t *history; /* (stride): the sequence */
    int32_t *xs;
    uint32_t *chunk; /* what scan makes */
} sampling;

static goss_params params_of(int i)
{
    static const goss_logit_bias bias[] = { { 7, 3.0f }, { 30, -100.0f }, { 150, 2.5f } };
    goss_params p = goss_params_default();
    p.seed = 1234 + (uint64_t)i;
    p.n_probs = i % 3 ? 5 * (i % 5) : 0;
    switch (i % 9) {
    case 0: p.temperature = 0; break;
    case 1: p.temperature = 2; break;
    case 2: p.top_k = 5; break;
    case 3:
        p.top_p = 0.5f;
        p.temperature = 2;
        break;
    case 4:
        p.min_p = 0.2f;
        p.temperature = 2;
        break;
    case 5:
        p.top_k = 40;
        p.top_p = 0.9f;
        p.min_p = 0.02f;
        p.temperature = 1.5f;
        break;
    case 6:
        p.repeat_penalty = 1.3f;
        p.presence_penalty = 0.5f;
        p.frequency_penalty = 0.2f;
        p.temperature = 2;
        break;
    case 7:
        p.bias = bias;
        p.n_bias = 3;
        p.temperature = 2;
        break;
    default:
        p.temperature = 0;
        p.repeat_penalty = 2;
        p.repeat_last_n = 4;
        break;
    }
    return p;
}

static void put_sampler(const sampling *a)
{
    uint32_t *w = a->st.w + a->st.sampler;
    const goss_sampler *p = &a->s;
    const uint32_t words[12] = { bits(p->scale),
                                 bits(p->scale_pos),
                                 bits(p->scale_neg),
                                 (uint32_t)p->presence,
                                 (uint32_t)p->frequency,
                                 (uint32_t)p->greedy,
                                 (uint32_t)p->last_n,
                                 (uint32_t)p->n_probs,
                                 (uint32_t)p->n_bias,
                                 p->top_k,
                                 p->top_p14,
                                 p->min_p_d };
    memcpy(w, words, sizeof words);
    for (int i = 0; i < p->n_bias; i++) {
        w[16 + 2 * i] = (uint32_t)p->bias_token[i];
        w[17 + 2 * i] = (uint32_t)p->bias[i];
    }
    for (uint32_t r = 0; r < a->rows; r++) {
        uint32_t *row = a->st.w + a->st.w[GOSS_STEP_ROWS] + r * GOSS_ROW_WORDS;
        row[7] = a->mask ? 0 : GOSS_GPU_NONE;
        row[8] = goss_sample_random(p->seed_lo, p->seed_hi, a->pos + r + 1);
        row[9] = r + 1 == a->rows;
    }
}

/* sample.h's x of token i after the sequence's first n tokens. */
static int32_t fixed_point(const sampling *a, float l, uint32_t i, uint32_t n)
{
    const goss_sampler *p = &a->s;
    uint32_t count = 0;
    for (uint32_t k = p->last_n && (uint32_t)p->last_n < n ? n - (uint32_t)p->last_n : 0; k < n && p->last_n;
         k++)
        count += a->history[k] == (int32_t)i;
    const float f = l * (count ? l > 0 ? p->scale_pos : p->scale_neg : p->scale);
    int64_t x = f != f ? -BEST : (int64_t)rint(fmin(fmax((double)f, -BEST), BEST)), bias = 0;
    if (count) x -= p->presence + (int64_t)count * p->frequency;
    for (int b = 0; b < p->n_bias; b++)
        if (p->bias_token[b] == (int32_t)i) bias = p->bias[b];
    x += bias;
    x = x < -BEST ? -BEST : x > BEST ? BEST : x;
    return a->mask && !(a->mask[i / 32] >> i % 32 & 1) ? FORBIDDEN : (int32_t)x;
}

static uint32_t key_of(float l)
{
    const uint32_t b = bits(l), key = b & 0x80000000u ? ~b : b | 0x80000000u;
    return key ? key : 1;
}

/* sample_scan.wgsl in plain C: a chunk's 48 words. */
static void scan_chunk(sampling *a, uint32_t row, uint32_t k)
{
    const uint32_t first = k * 1024, n = a->vocab - first < 1024 ? a->vocab - first : 1024;
    const float *l = a->logits + (size_t)row * a->vocab + first;
    uint32_t *w = a->chunk + ((size_t)row * a->chunks + k) * GOSS_CHUNK_WORDS;
    int32_t *x = a->xs + (size_t)row * a->vocab + first, best = FORBIDDEN;
    double top = -1e300, e = 0, el = 0;
    w[1] = 0;
    for (uint32_t i = 0; i < n; i++) {
        x[i] = fixed_point(a, l[i], first + i, a->pos + row + 1);
        if (x[i] > best) {
            best = x[i];
            w[1] = first + i;
        }
        top = fmax(top, (double)l[i]);
    }
    for (uint32_t i = 0; i < n; i++) {
        e += exp((double)l[i] - top);
        el += exp((double)l[i] - top) * (double)l[i];
    }
    w[0] = (uint32_t)best;
    w[2] = bits((float)top);
    w[3] = bits((float)e);
    w[4] = bits((float)el);
    static uint8_t taken[1024];
    memset(taken, 0, sizeof taken);
    for (int p = 0; p < a->s.n_probs; p++) {
        uint32_t at = n;
        for (uint32_t i = 0; i < n; i++)
            if (!taken[i] && (at == n || key_of(l[i]) > key_of(l[at]))) at = i;
        w[8 + 2 * p] = at < n ? key_of(l[at]) : 0;
        w[9 + 2 * p] = at < n ? first + at : 0;
        if (at < n) taken[at] = 1;
    }
}

enum { WEIGHTLESS = 131072 };

static uint32_t distance(const sampling *a, uint32_t row, uint32_t i, int32_t best)
{
    const int32_t x = a->xs[(size_t)row * a->vocab + i];
    return x == FORBIDDEN ? UINT32_MAX : (uint32_t)best - (uint32_t)x;
}

static uint64_t weight(uint32_t d) { return d < WEIGHTLESS ? goss_sample_exp2()[d & 4095] >> (d >> 12) : 0; }

static int32_t best_of(const sampling *a, uint32_t row)
{
    int32_t best = FORBIDDEN;
    for (uint32_t i = 0; i < a->vocab; i++) {
        const int32_t x = a->xs[(size_t)row * a->vocab + i];
        if (x > best) best = x;
    }
    return best;
}

static int rising(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* The definition of top-k and top-p (model/sample.h), by sorting. */
static uint32_t limit_of(gc *g, const sampling *a, uint32_t row)
{
    const int32_t best = best_of(a, row);
    uint32_t *d = gc_alloc(g, a->vocab * sizeof *d), n = 0, limit = WEIGHTLESS - 1;
    for (uint32_t i = 0; d && i < a->vocab; i++)
        if (distance(a, row, i, best) < WEIGHTLESS) d[n++] = distance(a, row, i, best);
    if (!n) return limit;
    qsort(d, n, sizeof *d, rising);
    if (a->s.top_k && a->s.top_k <= n) limit = d[a->s.top_k - 1];
    uint64_t total = 0, sum = 0;
    for (uint32_t k = 0; k < n; k++) total += d[k] <= limit ? weight(d[k]) : 0;
    const uint64_t target = (total * a->s.top_p14 + 16383) >> 14;
    for (uint32_t k = 0; k < n && a->s.top_p14 < GOSS_SAMPLE_ALL_P14; k++)
        if ((sum += weight(d[k])) >= target) return d[k] < limit ? d[k] : limit;
    return limit;
}

/* sample_limit.wgsl and sample_weigh.wgsl in plain C. */
static void weigh_row(gc *g, sampling *a, uint32_t row)
{
    uint32_t *w = a->chunk + (size_t)row * a->chunks * GOSS_CHUNK_WORDS;
    const int32_t best = best_of(a, row);
    uint32_t limit = WEIGHTLESS - 1;
    if (a->s.greedy) return;
    if (goss_sampler_cuts(&a->s)) w[GOSS_CHUNK_LIMIT] = limit = limit_of(g, a, row);
    if (a->s.min_p_d < limit) limit = a->s.min_p_d;
    for (uint32_t k = 0; k < a->chunks; k++, w += GOSS_CHUNK_WORDS) {
        uint64_t sum = 0;
        for (uint32_t i = k * 1024; i < a->vocab && i < (k + 1) * 1024; i++)
            sum += distance(a, row, i, best) <= limit ? weight(distance(a, row, i, best)) : 0;
        w[GOSS_CHUNK_WEIGHT] = (uint32_t)sum;
        w[GOSS_CHUNK_WEIGHT + 1] = (uint32_t)(sum >> 32);
    }
}

static sampling sampling_make(gc *g, int i)
{
    static const uint32_t vocabs[] = { 1024, 1000, 2500, 4096, 31, 201088 };
    goss_error err;
    sampling a = { .vocab = vocabs[i / 18 == 1 ? 5 : i % 5],
                   .rows = 1 + (uint32_t)gc_below(g, 3),
                   .pos = (uint32_t)gc_below(g, 60) };
    const goss_params p = params_of(i);
    goss_sampler_init(&a.s, &p, &err);
    while (a.s.n_bias && a.s.bias_token[a.s.n_bias - 1] >= (int32_t)a.vocab) a.s.n_bias--;
    if ((uint32_t)a.s.n_probs > a.vocab) a.s.n_probs = (int)a.vocab;
    a.chunks = (a.vocab + 1023) / 1024;
    a.stride = 70;
    a.n_pages = 2;
    a.st = gc_step_make(g, a.rows, a.pos, 8, 1, a.n_pages);
    a.logits = gc_floats(g, (size_t)a.rows * a.vocab, 6);
    if (i % 4 == 3) a.mask = gc_alloc(g, (a.vocab + 31) / 32 * 4);
    for (uint32_t k = 0; a.mask && k < a.vocab; k++)
        if (gc_below(g, 3)) a.mask[k / 32] |= 1u << k % 32;
    a.history = gc_alloc(g, a.stride * 4);
    a.xs = gc_alloc(g, (size_t)a.rows * a.vocab * 4);
    a.chunk = gc_alloc(g, (size_t)a.rows * a.chunks * GOSS_CHUNK_WORDS * 4);
    if (g->broken) return a;
    for (uint32_t k = 0; k < a.stride; k++) a.history[k] = gc_below(g, a.vocab < 40 ? (int)a.vocab : 40);
    for (uint32_t r = 0; r < a.rows; r++) { /* two equal best ones, in different chunks where there are */
        float *l = a.logits + (size_t)r * a.vocab;
        for (uint32_t k = 0; k < a.vocab; k++)
            if (l[k] > 12) l[k] = 12 - l[k] / 100;
        l[a.vocab - 1 - r] = l[a.vocab / 2] = 13;
    }
    put_sampler(&a);
    for (uint32_t r = 0; r < a.rows; r++)
        for (uint32_t k = 0; k < a.chunks; k++) scan_chunk(&a, r, k);
    for (uint32_t r = 0; r < a.rows; r++) weigh_row(g, &a, r);
    return a;
}

static void begin(gc *g, gc_case *c, const char *file, const sampling *a, uint32_t x, uint32_t y)
{
    const goss_block_sample p = { .n_vocab = a->vocab, .history_stride = a->stride, .chunks = a->chunks };
    gc_begin(c, file, x, y, 1);
    goss_fmt(c->what, sizeof c->what, "%u rows of %u from %u%s", a->rows, a->vocab, a->pos,
             a->mask ? ", masked" : "");
    gc_params(g, c, &p, sizeof p);
    gc_in(c, a->st.w, a->st.n_words * 4);
}

static size_t chunk_words(const sampling *a) { return (size_t)a->rows * a->chunks * GOSS_CHUNK_WORDS; }

int gc_make_scan(gc *g, gc_case *c, int i)
{
    static uint32_t no_mask[4];
    sampling a = sampling_make(g, i);
    if (g->broken) return 0;
    begin(g, c, "sample_scan.wgsl", &a, a.chunks, a.rows);
    gc_in(c, a.logits, (size_t)a.rows * a.vocab * 4);
    gc_in(c, a.history, a.stride * 4);
    gc_in(c, a.mask ? a.mask : no_mask, a.mask ? (a.vocab + 31) / 32 * 4 : 16);
    gc_buffer *xs = gc_out(g, c, GC_WORD, (size_t)a.rows * a.vocab),
              *chunk = gc_out(g, c, GC_WORD, chunk_words(&a));
    for (size_t k = 0; k < (size_t)a.rows * a.vocab; k++) gc_put(xs, k, (uint32_t)a.xs[k], 0);
    for (uint32_t k = 0; k < a.rows * a.chunks; k++) {
        const uint32_t *w = a.chunk + (size_t)k * GOSS_CHUNK_WORDS;
        const size_t at = (size_t)k * GOSS_CHUNK_WORDS;
        const uint32_t n_here = a.vocab - k % a.chunks * 1024;
        for (size_t j = 0; j < 3; j++) gc_put(chunk, at + j, w[j], 0);
        /* sums of floats read as words: 1e-4 of them is 839 (of 2^23) or twice that; their sign is the
         * same */
        gc_put(chunk, at + 3, w[3], 400);
        gc_put(chunk, at + 4, w[4], 4000);
        for (uint32_t j = 0; j < 2 * (uint32_t)a.s.n_probs; j++)
            gc_put(chunk, at + 8 + j, w[8 + j], j / 2 < n_here ? 0 : GC_ANY);
    }
    return 0;
}

/* What is between the scan and the pick: LIMIT of a row's first chunk, or WEIGHT of each. */
static int make_words(gc *g, gc_case *c, int i, const char *file, int limit)
{
    sampling a = sampling_make(g, i);
    if (g->broken) return 0;
    begin(g, c, file, &a, limit ? a.rows : a.chunks, limit ? 1 : a.rows);
    gc_in(c, a.xs, (size_t)a.rows * a.vocab * 4);
    gc_in(c, goss_sample_exp2(), 4096 * 4);
    gc_buffer *chunk = gc_out(g, c, GC_WORD, chunk_words(&a));
    memcpy(chunk->data, a.chunk, chunk->n);
    const int cuts = goss_sampler_cuts(&a.s);
    for (uint32_t k = 0; k < a.rows * a.chunks && !a.s.greedy; k++) {
        const size_t at = (size_t)k * GOSS_CHUNK_WORDS;
        const size_t first = limit ? GOSS_CHUNK_LIMIT : GOSS_CHUNK_WEIGHT,
                     n = limit ? k % a.chunks == 0 && cuts : 2;
        for (size_t j = first; j < first + n; j++) {
            gc_put(chunk, at + j, a.chunk[at + j], 0);
            ((uint32_t *)(void *)chunk->data)[at + j] = 0xffffffffu;
        }
    }
    return 0;
}

int gc_make_limit(gc *g, gc_case *c, int i) { return make_words(g, c, i, "sample_limit.wgsl", 1); }
int gc_make_weigh(gc *g, gc_case *c, int i) { return make_words(g, c, i, "sample_weigh.wgsl", 0); }

int gc_make_pick(gc *g, gc_case *c, int i)
{
    sampling a = sampling_make(g, i);
    void *scratch = gc_alloc(g, (size_t)a.vocab * 8);
    if (g->broken) return 0;
    begin(g, c, "sample_pick.wgsl", &a, a.rows, 1);
    gc_in(c, a.xs, (size_t)a.rows * a.vocab * 4);
    gc_in(c, goss_sample_exp2(), 4096 * 4);
    gc_buffer *chunk = gc_out(g, c, GC_WORD, chunk_words(&a));
    memcpy(chunk->data, a.chunk, chunk->n);
    gc_in(c, a.logits, (size_t)a.rows * a.vocab * 4);
    gc_buffer *history = gc_out(g, c, GC_WORD, a.stride),
              *pick = gc_out(g, c, GC_WORD, (size_t)(a.rows + 1) * GOSS_PICK_WORDS);
    memcpy(history->data, a.history, history->n);
    for (uint32_t r = 0; r < a.rows; r++) {
        goss_pick want;
        const size_t at = (size_t)r * GOSS_PICK_WORDS;
        goss_sample(&a.s, a.logits + (size_t)r * a.vocab, (int)a.vocab, a.mask, a.history,
                    (int)(a.pos + r + 1), scratch, &want);
        gc_put(pick, at, (uint32_t)want.token, 0);
        gc_put(pick, at + 1, bits(want.logprob), 4000); /* words of floats: relative 2.4e-4 to 4.8e-4 */
        gc_put(pick, at + 2, bits(want.entropy), 40000);
        gc_put(pick, at + 3, (uint32_t)a.s.n_probs, 0);
        for (int k = 0; k < want.n_top; k++) {
            gc_put(pick, at + 4 + 2 * (size_t)k, (uint32_t)want.top[k].token, 0);
            gc_put(pick, at + 5 + 2 * (size_t)k, bits(want.top[k].logprob), 4000);
        }
        if (r + 1 == a.rows) gc_put(history, a.pos + r + 1, (uint32_t)want.token, 0);
    }
    return 0;
}
