/* inspect.c - looks into the model on demand: what each layer would have said, and where a token looks. */
#include "base/error.h"
#include "base/mem.h"
#include "engine_state.h"
#include "trace_last.h"
#include <math.h>
#include <string.h>

static int check(const goss_engine *e, const int32_t *ids, goss_error *err)
{
    if (!e || !ids) return goss_fail(err, GOSS_EINVAL, -1, "there is no engine, or there are no tokens");
    if (e->state != GOSS_ENGINE_READY) return goss_fail(err, GOSS_ESTATE, -1, "the model is not loaded");
    return 0;
}

/* ---- the lens ------------------------------------------------------------------------------------------ */
/* residual: (n_layer + 1, n_embd), the embedding's first. */
typedef struct lens {
    int n_layer, n_embd, n_vocab;
    float *residual, *logits, *end;
} lens;

static void keep_residual(void *ctx, const char *stage, int layer, const float *values, int n_rows, int width)
{
    const lens *l = ctx;
    const int ends = !strcmp(stage, "experts") || !strcmp(stage, "ffn"), embed = !strcmp(stage, "embed");
    const float *last = values + (size_t)(n_rows - 1) * (size_t)width;
    if (embed || ends)
        memcpy(l->residual + (size_t)(embed ? 0 : layer + 1) * (size_t)width, last,
               (size_t)width * sizeof *last);
}

static double log_sum(const float *logits, int n, float *most)
{
    double sum = 0;
    *most = -INFINITY;
    for (int i = 0; i < n; i++)
        if (logits[i] > *most) *most = logits[i];
    for (int i = 0; i < n; i++) sum += exp((double)logits[i] - (double)*most);
    return log(sum) + (double)*most;
}

static void offer(goss_lens_row *row, int32_t token, float logprob)
{
    int at = row->n_top;
    if (at == GOSS_LENS_TOP && !(logprob > row->top[at - 1].logprob)) return;
    if (at == GOSS_LENS_TOP) at--;
    else row->n_top++;
    for (; at > 0 && logprob > row->top[at - 1].logprob; at--) row->top[at] = row->top[at - 1];
    row->top[at] = (goss_prob){ token, logprob };
}

static void describe(const lens *l, const float *logits, goss_lens_row *row)
{
    float most;
    const double own = log_sum(logits, l->n_vocab, &most), end = log_sum(l->end, l->n_vocab, &most);
    double entropy = 0, kl = 0;
    for (int i = 0; i < l->n_vocab; i++) {
        const double q = (double)logits[i] - own, p = (double)l->end[i] - end;
        entropy -= exp(q) * q;
        kl += exp(p) * (p - q);
        offer(row, i, (float)q);
    }
    row->entropy = (float)entropy;
    row->kl = kl > 0 ? (float)kl : 0;
}

/* The head on so many residuals from number `first` on; their logits to l->logits. */
static int run_head(goss_engine *e, const lens *l, int first, int n, goss_error *err)
{
    static const int32_t tokens[GOSS_DECODE_ROWS] = { 0 };
    goss_backend *b = e->loaded.backend;
    goss_flight *f = &e->flights.ring[0];
    int rc = goss_prefix_extend(&e->prefixes, &e->scratch, n);
    if (rc) return goss_fail(err, rc, -1, "no room in the KV cache for %d positions", n);
    for (int i = 0; i < n; i++) f->rows[i] = (goss_row){ .pos = i, .want = GOSS_ROW_LOGITS };
    f->seqs[0] = (goss_seq){ .kv = &e->scratch, .slot = e->config.max_sessions, .tokens = tokens };
    f->step = (goss_step){ .rows = f->rows, .n_rows = n, .seqs = f->seqs, .n_seqs = 1 };
    rc = b->vt->begin(b, &f->step, err);
    if (rc) return rc;
    rc = b->vt->put(b, &f->step, l->residual + (size_t)first * (size_t)l->n_embd);
    if (!rc) rc = b->vt->head(b, &f->step);
    if (!rc) rc = b->vt->submit(b, &f->step, err);
    if (!rc)
        while ((rc = b->vt->poll(b, &f->step, 1000, f->picks, err)) == GOSS_EAGAIN) {}
    for (int i = 0; i < n && !rc; i++)
        rc = b->vt->logits(b, &f->step, i, l->logits + (size_t)i * (size_t)l->n_vocab);
    b->vt->release(b, &f->step);
    goss_kv_clear(&e->scratch);
    return rc ? goss_fail(err, rc, -1,
                          rc == GOSS_EUNSUPPORTED ? "the lens needs all experts in memory"
                                                  : "the head can't be run alone")
              : 0;
}

/* Backwards, since all are compared with the last. */
static int look_through(goss_engine *e, lens *l, goss_lens_row *rows, int cap, goss_error *err)
{
    for (int to = l->n_layer + 1; to > 0;) {
        const int n = to < GOSS_DECODE_ROWS ? to : GOSS_DECODE_ROWS, first = to - n;
        const int rc = run_head(e, l, first, n, err);
        if (rc) return rc;
        if (to > l->n_layer)
            memcpy(l->end, l->logits + (size_t)(n - 1) * (size_t)l->n_vocab,
                   (size_t)l->n_vocab * sizeof *l->end);
        for (int i = 0; i < n && first + i < cap; i++) {
            rows[first + i] = (goss_lens_row){ .layer = first + i - 1 };
            describe(l, l->logits + (size_t)i * (size_t)l->n_vocab, &rows[first + i]);
        }
        to = first;
    }
    return l->n_layer + 1;
}

int goss_lens(goss_engine *e, const int32_t *ids, int n, goss_lens_row *rows, int cap, goss_error *err)
{
    int rc = check(e, ids, err);
    if (rc) return rc;
    if (cap < 0 || (!rows && cap)) return goss_fail(err, GOSS_EINVAL, -1, "there is no room for the lens");
    const goss_hparams *h = &e->loaded.model.hp;
    lens l = { .n_layer = h->n_layer, .n_embd = h->n_embd, .n_vocab = h->n_vocab };
    l.residual = goss_mem_array((size_t)l.n_layer + 1, (size_t)l.n_embd * sizeof *l.residual);
    l.logits = goss_mem_array(GOSS_DECODE_ROWS, (size_t)l.n_vocab * sizeof *l.logits);
    l.end = goss_mem_array((size_t)l.n_vocab, sizeof *l.end);
    rc = l.residual && l.logits && l.end ? goss_trace_last(e, ids, n, keep_residual, &l, err)
                                         : goss_fail(err, GOSS_ENOMEM, -1, "no memory for the lens");
    if (rc >= 0) {
        e->loaded.backend->vt->tap(e->loaded.backend, NULL, NULL); /* the heads are nobody's step */
        rc = look_through(e, &l, rows, cap, err);
        goss_observe_attach(e->observer, e->loaded.backend);
    }
    goss_mem_free(l.residual);
    goss_mem_free(l.logits);
    goss_mem_free(l.end);
    return rc;
}

/* ---- attention ----------------------------------------------------------------------------------------- */
/* keys: (n, n_head_kv, head_dim); query: (n_head, head_dim) of the last row. */
typedef struct gaze {
    const goss_hparams *h;
    int layer, n;
    float *keys, *query;
} gaze;

static void keep_keys(void *ctx, const char *stage, int layer, const float *values, int n_rows, int width)
{
    gaze *g = ctx;
    const size_t q = (size_t)(g->h->n_head * g->h->head_dim), k = (size_t)(g->h->n_head_kv * g->h->head_dim);
    if (layer != g->layer || strcmp(stage, "attn_in") != 0) return;
    for (int i = 0; i < n_rows; i++, g->n++)
        memcpy(g->keys + (size_t)g->n * k, values + (size_t)i * (size_t)width + q, k * sizeof *values);
    memcpy(g->query, values + (size_t)(n_rows - 1) * (size_t)width, q * sizeof *values);
}

/* Adds the share-th part of a head's weights. */
static void add_head(const goss_model *m, const gaze *g, int head, double share, double *scores,
                     float *weights)
{
    const goss_hparams *h = g->h;
    const goss_layer *l = &m->layers[g->layer];
    const float *sinks = (const float *)(const void *)l->sinks.data;
    const int hd = h->head_dim, kv_head = head / (h->n_head / h->n_head_kv),
              from = l->windowed && g->n > h->window ? g->n - h->window : 0;
    double most = sinks ? (double)sinks[head] : -1e30;
    for (int i = from; i < g->n; i++) {
        const float *key = g->keys + ((size_t)i * (size_t)h->n_head_kv + (size_t)kv_head) * (size_t)hd;
        scores[i] = 0;
        for (int d = 0; d < hd; d++) scores[i] += (double)g->query[head * hd + d] * (double)key[d];
        scores[i] *= (double)h->attn_scale;
        most = scores[i] > most ? scores[i] : most;
    }
    double sum = sinks ? exp((double)sinks[head] - most) : 0;
    for (int i = from; i < g->n; i++) sum += exp(scores[i] - most);
    for (int i = from; i < g->n; i++) weights[i] += (float)(share * exp(scores[i] - most) / sum);
}

int goss_attention(goss_engine *e, const int32_t *ids, int n, int layer, int head, float *weights,
                   goss_error *err)
{
    int rc = check(e, ids, err);
    if (rc) return rc;
    const goss_hparams *h = &e->loaded.model.hp;
    if (!weights || n < 1 || layer < 0 || layer >= h->n_layer || head < GOSS_HEADS_EACH || head >= h->n_head)
        return goss_fail(err, GOSS_EINVAL, -1, "no room, no tokens, or no such layer or head");
    if (!e->loaded.model.layers[layer].attn_norm.data)
        return goss_fail(err, GOSS_EUNSUPPORTED, -1, "the model's file is not in memory here");
    gaze g = { .h = h, .layer = layer };
    g.keys = goss_mem_array((size_t)n, (size_t)(h->n_head_kv * h->head_dim) * sizeof *g.keys);
    g.query = goss_mem_array((size_t)(h->n_head * h->head_dim), sizeof *g.query);
    double *scores = goss_mem_array((size_t)n, sizeof *scores);
    rc = g.keys && g.query && scores ? goss_trace(e, ids, n, 0, keep_keys, &g, err)
                                     : goss_fail(err, GOSS_ENOMEM, -1, "no memory for the attention");
    const size_t step = head == GOSS_HEADS_EACH ? (size_t)n : 0;
    memset(weights, 0, ((size_t)(h->n_head - 1) * step + (size_t)n) * sizeof *weights);
    for (int i = 0; i < h->n_head && !rc; i++)
        if (head < 0 || i == head)
            add_head(&e->loaded.model, &g, i, head == GOSS_HEADS_MEAN ? 1.0 / h->n_head : 1, scores,
                     weights + (size_t)i * step);
    goss_mem_free(g.keys);
    goss_mem_free(g.query);
    goss_mem_free(scores);
    return rc;
}
