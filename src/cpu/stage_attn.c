/* stage_attn.c - the attention half of a layer: norm, q k v, RoPE, cache; scores and values; projection and
 * residual.
 *
 * attn_in    a task is one head: its rows of wq, wk or wv times all rows, rotated and written to the cache at
 *            once. In models with experts its input has 16 bits (int16, or two int8 planes): a small error of
 *            q or k moves the residual, and where two experts are nearly equal the router's choice. With 8
 *            bits 1 of 1,617 golden positions whose best two logits are over 0.25 apart had another best
 *            token; with 16 none, at 1/8 of the products of a layer done twice
 * attend     a task is the query heads of one KV head (or a part of them) for up to 16 rows of a sequence:
 *            each page is turned to floats once, then every query runs over it with its own visible range.
 *            Where a layer sees all positions, each SPAN_PAGES pages are summed for themselves and added to
 *            those before, whoever does it: so a long context can be shared out over more threads than there
 *            are KV heads, and a row's result is the same to the bit
 * attn_out   a task is GOSS_CHUNK output rows */
#include "cpu_state.h"
#include <math.h>
#include <string.h>

/* form: how attn_in's activations are given, GOSS_NORM_* */
typedef struct attn_job {
    cpu *c;
    const goss_step *s;
    const goss_layer *l;
    int layer, splits, spans, form;
} attn_job;

static void add_bias(float *y, int64_t stride, const float *bias, int n, int m)
{
    for (int j = 0; bias && j < m; j++)
        for (int i = 0; i < n; i++) y[j * stride + i] += bias[i];
}

static const goss_kv *kv_of(const goss_step *s, int row) { return s->seqs[s->rows[row].seq].kv; }

/* As goss_cpu_product with norm, from its two planes: both products side by side, then their sum. */
static void fine_product(cpu *c, int thread, const goss_tensor *w, int from, int n, int m, float *y,
                         int64_t stride)
{
    for (int i = 0; i < n; i += GOSS_CHUNK) {
        float *both = c->thread[thread].out;
        const int k = goss_cpu_min(n - i, GOSS_CHUNK);
        goss_cpu_product(c, thread, w, 0, from + i, k, &c->desk->fine, 0, 2 * m, both, GOSS_CHUNK);
        for (int j = 0; j < m; j++)
            for (int t = 0; t < k; t++)
                y[j * stride + i + t] = both[2 * j * GOSS_CHUNK + t] + both[(2 * j + 1) * GOSS_CHUNK + t];
    }
}

static void head_task(void *ctx, int task, int thread)
{
    const attn_job *a = ctx;
    cpu *c = a->c;
    const goss_hparams *hp = &c->base.model->hp;
    const int hd = hp->head_dim, nq = hp->n_head, nk = hp->n_head_kv, m = a->s->n_rows;
    const int kind = task < nq        ? 0
                     : task < nq + nk ? 1
                                      : 2,
              head = task - (kind == 0   ? 0
                             : kind == 1 ? nq
                                         : nq + nk);
    const goss_tensor *w = kind == 0 ? &a->l->wq : kind == 1 ? &a->l->wk : &a->l->wv;
    const float *bias = goss_cpu_floats(kind == 0 ? &a->l->bq : kind == 1 ? &a->l->bk : &a->l->bv);
    const int64_t width = (int64_t)(nq + 2 * nk) * hd;
    float *y = c->desk->qkv + (int64_t)task * hd;
    if (a->form == GOSS_NORM_WIDE) {
        const int64_t row_bytes = (int64_t)goss_type_row_bytes(w->type, w->ne[0]);
        c->k.wide_q8_0(y, width, w->data + row_bytes * head * hd, row_bytes, hd, &c->desk->wide, 0, m);
    } else if (a->form == GOSS_NORM_FINE && goss_kern_pack(&c->k, w->type))
        fine_product(c, thread, w, head * hd, hd, m, y, width);
    else goss_cpu_product(c, thread, w, 0, head * hd, hd, &c->desk->norm, 0, m, y, width);
    add_bias(y, width, bias ? bias + head * hd : NULL, hd, m);
    for (int j = 0; j < m; j++, y += width) {
        if (kind < 2) c->k.rope(y, c->desk->turn + (int64_t)j * hp->rope_dim, 1, hd, hp->rope_dim, hp->rope_half);
        if (kind > 0)
            goss_cpu_kv_put(c, kv_of(a->s, j), a->layer, a->s->rows[j].pos, head, kind == 2, y,
                            c->thread[thread].line);
    }
}

int goss_cpu_attn_in(goss_backend *b, goss_step *s, int layer)
{
    cpu *c = (cpu *)b;
    const goss_hparams *hp = &b->model->hp;
    attn_job a = { .c = c, .s = s, .l = &b->model->layers[layer], .layer = layer };
    const int q8_0 = a.l->wq.type == GOSS_Q8_0 && a.l->wk.type == GOSS_Q8_0 && a.l->wv.type == GOSS_Q8_0;
    if (hp->n_expert && hp->n_embd % GOSS_BLOCK == 0)
        a.form = q8_0 && c->k.wide_q8_0 ? GOSS_NORM_WIDE : GOSS_NORM_FINE;
    const int n_heads = hp->n_head + 2 * hp->n_head_kv;
    int rc = goss_cpu_norm(c, &a.l->attn_norm, NULL, s->n_rows, a.form);
    if (!rc) rc = goss_cpu_run(c, head_task, &a, n_heads);
    return rc ? rc
              : goss_cpu_done(c, GOSS_STAGE_ATTN_IN, layer, c->desk->qkv, s->n_rows, n_heads * hp->head_dim);
}

/* ---- attend -------------------------------------------------------------------------------------------- */
/* Query heads [h0, h0 + n_heads) of a chunk's rows, of the KV head that they share. */
typedef struct attn_part { const cpu_chunk *chunk; int kv_head, h0, n_heads; } attn_part;

static int window_of(const attn_job *a) { return a->l->windowed ? a->c->base.model->hp.window : 0; }

static int spans_of(const attn_job *a, const cpu_chunk *chunk)
{
    const int last = a->s->rows[chunk->first + chunk->n - 1].pos;
    return window_of(a) ? 1 : last / (SPAN_PAGES * GOSS_KV_PAGE) + 1;
}

/* Queries that have seen nothing yet, with their sums from `acc` on; the sink counts in the first span. Returns
 * how many. */
static int begin_queries(const attn_job *a, const attn_part *p, int span, goss_attn_q *q, float *acc,
                         int64_t row_stride)
{
    const cpu *c = a->c;
    const goss_hparams *hp = &c->base.model->hp;
    const float *sinks = span ? NULL : goss_cpu_floats(&a->l->sinks);
    const int hd = hp->head_dim, width = (hp->n_head + 2 * hp->n_head_kv) * hd;
    int n = 0;
    for (int r = 0; r < p->chunk->n; r++)
        for (int h = 0; h < p->n_heads; h++, n++) {
            float *to = acc + r * row_stride + (int64_t)h * hd;
            const float *from = c->desk->qkv + (int64_t)(p->chunk->first + r) * width + (p->h0 + h) * hd;
            memset(to, 0, (size_t)hd * sizeof *to);
            q[n] = (goss_attn_q){ from, to, sinks ? sinks[p->h0 + h] : -INFINITY, sinks ? 1.0f : 0.0f, 0, 0 };
        }
    return n;
}

/* Which of the part's queries is watched for a recording; n: none. */
static int watched(const attn_job *a, const attn_part *p, int n)
{
    const cpu *c = a->c;
    const int head = c->seen.head - p->h0;
    return c->seen.looks && c->seen.layer == a->layer && head >= 0 && head < p->n_heads ? head : n;
}

/* n queries over those pages of a span that any of them sees. */
static void attend_span(const attn_job *a, const attn_part *p, int span, goss_attn_q *q, int n, cpu_thread *t)
{
    cpu *c = a->c;
    const goss_hparams *hp = &c->base.model->hp;
    const goss_row *rows = a->s->rows + p->chunk->first;
    const goss_kv *kv = kv_of(a->s, p->chunk->first);
    const int window = window_of(a), see = watched(a, p, n), last = rows[p->chunk->n - 1].pos,
              from = window && rows[0].pos >= window ? rows[0].pos - window + 1 : 0;
    int page = from / GOSS_KV_PAGE, end = last / GOSS_KV_PAGE;
    if (!window) {
        page = span * SPAN_PAGES;
        end = goss_cpu_min(end, page + SPAN_PAGES - 1);
    }
    for (; page <= end; page++) {
        const int base = page * GOSS_KV_PAGE, here = goss_cpu_min(last + 1 - base, GOSS_KV_PAGE);
        goss_cpu_kv_get(c, kv, a->layer, page, p->kv_head, 0, here, t->k);
        goss_cpu_kv_get(c, kv, a->layer, page, p->kv_head, 1, here, t->v);
        for (int i = 0; i < n; i++) {
            const int pos = rows[i / p->n_heads].pos, lo = window ? pos - window + 1 - base : 0;
            q[i].lo = lo > 0 ? lo : 0;
            q[i].hi = goss_cpu_min(pos + 1 - base, GOSS_KV_PAGE);
        }
        c->k.attn(q, n, t->k, t->v, hp->head_dim, hp->attn_scale);
        for (int i = see; i < n; i += p->n_heads)
            goss_cpu_see_page(c, p->chunk->first + i / p->n_heads, &q[i], t->k, base);
    }
}

/* What a query saw in a later span is added to what it saw before. */
static void add_span(goss_attn_q *to, const goss_attn_q *later, int hd)
{
    if (!(later->l > 0)) return;
    const float top = fmaxf(to->m, later->m), a = to->m == top ? 1 : expf(to->m - top),
                b = later->m == top ? 1 : expf(later->m - top);
    for (int d = 0; d < hd; d++) to->acc[d] = to->acc[d] * a + later->acc[d] * b;
    to->l = to->l * a + later->l * b;
    to->m = top;
}

/* A query has seen all: its sum becomes a mean, in the bytes that the projection takes. */
static void end_query(cpu *c, const goss_attn_q *q, int row, int head)
{
    const int hd = c->base.model->hp.head_dim;
    const float scale = 1.0f / q->l;
    const goss_acts part = goss_cpu_columns(&c->desk->att, row, head * hd);
    for (int d = 0; d < hd; d++) part.f[d] = q->acc[d] * scale;
    if (hd % GOSS_BLOCK == 0) c->k.quantize(&part, 0, part.f, hd);
}

/* All spans of the part, one after the other. */
static void attend_part(const attn_job *a, const attn_part *p, cpu_thread *t)
{
    cpu *c = a->c;
    const goss_hparams *hp = &c->base.model->hp;
    const int hd = hp->head_dim, spans = spans_of(a, p->chunk);
    const int64_t stride = (int64_t)hp->n_head * hd;
    goss_attn_q *q = t->queries, *later = q + p->chunk->n * p->n_heads;
    const int n = begin_queries(a, p, 0, q, c->desk->att.f + p->chunk->first * stride + p->h0 * hd, stride),
              see = watched(a, p, n);
    for (int i = see; i < n; i += p->n_heads) goss_cpu_see_begin(c, p->chunk->first + i / p->n_heads);
    attend_span(a, p, 0, q, n, t);
    for (int span = 1; span < spans; span++) {
        begin_queries(a, p, span, later, t->later, (int64_t)p->n_heads * hd);
        attend_span(a, p, span, later, n, t);
        for (int i = 0; i < n; i++) add_span(&q[i], &later[i], hd);
    }
    for (int i = see; i < n; i += p->n_heads) goss_cpu_see_end(c, p->chunk->first + i / p->n_heads, &q[i]);
    for (int i = 0; i < n; i++) end_query(c, &q[i], p->chunk->first + i / p->n_heads, p->h0 + i % p->n_heads);
}

static void attend_task(void *ctx, int task, int thread)
{
    const attn_job *a = ctx;
    const goss_hparams *hp = &a->c->base.model->hp;
    const int group = hp->n_head / hp->n_head_kv, n_heads = group / a->splits, rest = task / a->splits,
              kv_head = rest % hp->n_head_kv;
    const attn_part p = { &a->c->desk->chunks[rest / hp->n_head_kv], kv_head,
                          kv_head * group + task % a->splits * n_heads, n_heads };
    attend_part(a, &p, &a->c->thread[thread]);
}

/* One span of a KV head's queries; what they saw stays in its place of c->desk->spans. */
static void span_task(void *ctx, int task, int thread)
{
    const attn_job *a = ctx;
    cpu *c = a->c;
    const goss_hparams *hp = &c->base.model->hp;
    const int hd = hp->head_dim, group = hp->n_head / hp->n_head_kv, span = task % a->spans,
              rest = task / a->spans, kv_head = rest % hp->n_head_kv;
    const attn_part p = { &c->desk->chunks[rest / hp->n_head_kv], kv_head, kv_head * group, group };
    cpu_thread *t = &c->thread[thread];
    if (span >= spans_of(a, p.chunk)) return;
    const size_t head = ((size_t)span * GOSS_FEW + (size_t)p.chunk->first) * (size_t)hp->n_head + (size_t)p.h0;
    const int n = begin_queries(a, &p, span, t->queries, c->desk->spans + head * (size_t)hd,
                                (int64_t)hp->n_head * hd);
    attend_span(a, &p, span, t->queries, n, t);
    for (int i = 0; i < n; i++)
        c->desk->span_sums[head + (size_t)(i / group * hp->n_head + i % group)] = t->queries[i];
}

/* A head of a row: its spans, in order. */
static void join_task(void *ctx, int task, int thread)
{
    const attn_job *a = ctx;
    cpu *c = a->c;
    const goss_hparams *hp = &c->base.model->hp;
    const int row = task / hp->n_head, pos = a->s->rows[row].pos,
              spans = pos / (SPAN_PAGES * GOSS_KV_PAGE) + 1;
    goss_attn_q *q = c->desk->span_sums + task;
    (void)thread;
    for (int span = 1; span < spans; span++)
        add_span(q, q + (size_t)span * GOSS_FEW * (size_t)hp->n_head, hp->head_dim);
    end_query(c, q, row, task % hp->n_head);
}

/* By KV heads, if those are enough for all threads; else by spans, where there are several and nobody watches;
 * else the queries of a head are split too, and each part turns its pages to floats. */
static int attend_runs(attn_job *a)
{
    cpu *c = a->c;
    const goss_hparams *hp = &c->base.model->hp;
    const int tasks = c->desk->n_chunks * hp->n_head_kv, group = hp->n_head / hp->n_head_kv;
    for (int i = 0; i < c->desk->n_chunks; i++) {
        const int spans = spans_of(a, &c->desk->chunks[i]);
        if (spans > a->spans) a->spans = spans;
    }
    const int seen = c->seen.looks && c->seen.layer == a->layer;
    if (tasks < c->n_threads && a->spans > 1 && !seen && a->s->n_rows <= GOSS_FEW) {
        const int rc = goss_cpu_run(c, span_task, a, tasks * a->spans);
        return rc ? rc : goss_cpu_run(c, join_task, a, a->s->n_rows * hp->n_head);
    }
    while (tasks * a->splits < c->n_threads && a->splits < group) do a->splits++; while (group % a->splits);
    return goss_cpu_run(c, attend_task, a, tasks * a->splits);
}

int goss_cpu_attend(goss_backend *b, goss_step *s, int layer)
{
    cpu *c = (cpu *)b;
    const goss_hparams *hp = &b->model->hp;
    const int nq = hp->n_head * hp->head_dim;
    attn_job a = { .c = c, .s = s, .l = &b->model->layers[layer], .layer = layer, .splits = 1, .spans = 1 };
    const int rc = attend_runs(&a);
    if (rc) return rc;
    if (hp->head_dim % GOSS_BLOCK && nq % GOSS_BLOCK == 0)
        for (int i = 0; i < s->n_rows; i++) c->k.quantize(&c->desk->att, i, c->desk->att.f + (int64_t)i * nq, nq);
    return goss_cpu_done(c, GOSS_STAGE_ATTEND, layer, c->desk->att.f, s->n_rows, nq);
}

static void out_task(void *ctx, int task, int thread)
{
    const attn_job *a = ctx;
    cpu *c = a->c;
    const int n_embd = c->base.model->hp.n_embd, from = task * GOSS_CHUNK,
              n = goss_cpu_min(n_embd - from, GOSS_CHUNK), m = a->s->n_rows;
    const float *bias = goss_cpu_floats(&a->l->bo);
    float *y = c->thread[thread].out;
    goss_cpu_product(c, thread, &a->l->wo, 0, from, n, &c->desk->att, 0, m, y, GOSS_CHUNK);
    for (int j = 0; j < m; j++) {
        float *x = c->desk->x + (int64_t)j * n_embd + from;
        for (int i = 0; i < n; i++) x[i] += y[j * GOSS_CHUNK + i] + (bias ? bias[from + i] : 0.0f);
    }
}

int goss_cpu_attn_out(goss_backend *b, goss_step *s, int layer)
{
    cpu *c = (cpu *)b;
    attn_job a = { .c = c, .s = s, .l = &b->model->layers[layer], .layer = layer };
    const int n_embd = b->model->hp.n_embd,
              rc = goss_cpu_run(c, out_task, &a, (n_embd + GOSS_CHUNK - 1) / GOSS_CHUNK);
    return rc ? rc : goss_cpu_done(c, GOSS_STAGE_ATTN_OUT, layer, c->desk->x, s->n_rows, n_embd);
}
