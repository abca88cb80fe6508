/* stage_attn.c - the attention half of a layer: norm, q k v, RoPE, cache; scores and values; projection and
 * residual.
 *
 * attn_in    a task is one head: its rows of wq, wk or wv times all rows, rotated and written to the cache at
 *            once. In models with experts its input has 16 bits (int16, or two int8 planes): a small error of
 *            q or k moves the residual, and where two experts are nearly equal the router's choice. With 8
 *            bits 1 of 1,617 golden positions whose best two logits are over 0.25 apart had another best
 *            token; with 16 none, at 1/8 of the products of a layer done twice
 * attend     a task is the query heads of one KV head (or a part of them) for up to 16 rows of a sequence:
 * each page is turned
 *            to floats once, then every query runs over it with its own visible range
 * attn_out   a task is GOSS_CHUNK output rows */
#include "cpu_state.h"
#include <math.h>
#include <string.h>

/* form: how attn_in's activations are given, GOSS_NORM_* */
typedef struct attn_job {
    cpu *c;
    const goss_step *s;
    const goss_layer *l;
    int layer, splits, form;
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

/* Query heads [h0, h0 + n_heads) of rows of the chunk: their state, over all pages that any of them sees. */
static void attend_chunk(const attn_job *a, const cpu_chunk *chunk, int kv_head, int h0, int n_heads,
                         cpu_thread *t)
{
    cpu *c = a->c;
    const goss_hparams *hp = &c->base.model->hp;
    const goss_kv *kv = kv_of(a->s, chunk->first);
    const float *sinks = goss_cpu_floats(&a->l->sinks);
    const int hd = hp->head_dim, window = a->l->windowed ? hp->window : 0;
    const int64_t width = (int64_t)(hp->n_head + 2 * hp->n_head_kv) * hd;
    const goss_row *rows = a->s->rows + chunk->first;
    int n = 0;
    for (int r = 0; r < chunk->n; r++)
        for (int h = h0; h < h0 + n_heads; h++, n++) {
            float *acc = c->desk->att.f + ((int64_t)(chunk->first + r) * hp->n_head + h) * hd;
            memset(acc, 0, (size_t)hd * sizeof *acc);
            t->queries[n] = (goss_attn_q){ c->desk->qkv + (chunk->first + r) * width + h * hd,
                                           acc,
                                           sinks ? sinks[h] : -INFINITY,
                                           sinks ? 1.0f : 0.0f,
                                           0,
                                           0 };
        }
    const int seen =
        c->seen.looks && c->seen.layer == a->layer && c->seen.head >= h0 && c->seen.head < h0 + n_heads
            ? c->seen.head - h0
            : n;
    for (int r = 0; seen < n && r < chunk->n; r++) goss_cpu_see_begin(c, chunk->first + r);
    const int last = rows[chunk->n - 1].pos,
              from = window && rows[0].pos >= window ? rows[0].pos - window + 1 : 0;
    for (int page = from / GOSS_KV_PAGE; page <= last / GOSS_KV_PAGE; page++) {
        const int base = page * GOSS_KV_PAGE;
        goss_cpu_kv_get(c, kv, a->layer, page, kv_head, 0, goss_cpu_min(last + 1 - base, GOSS_KV_PAGE), t->k);
        goss_cpu_kv_get(c, kv, a->layer, page, kv_head, 1, goss_cpu_min(last + 1 - base, GOSS_KV_PAGE), t->v);
        for (int i = 0; i < n; i++) {
            const int pos = rows[i / n_heads].pos, lo = window ? pos - window + 1 - base : 0;
            t->queries[i].lo = lo > 0 ? lo : 0;
            t->queries[i].hi = goss_cpu_min(pos + 1 - base, GOSS_KV_PAGE);
        }
        c->k.attn(t->queries, n, t->k, t->v, hd, hp->attn_scale);
        for (int i = seen; i < n; i += n_heads)
            goss_cpu_see_page(c, chunk->first + i / n_heads, &t->queries[i], t->k, base);
    }
    for (int i = seen; i < n; i += n_heads) goss_cpu_see_end(c, chunk->first + i / n_heads, &t->queries[i]);
    for (int i = 0; i < n; i++) {
        const float scale = 1.0f / t->queries[i].l;
        for (int d = 0; d < hd; d++) t->queries[i].acc[d] *= scale;
        const goss_acts part = goss_cpu_columns(&c->desk->att, chunk->first + i / n_heads, (h0 + i % n_heads) * hd);
        if (hd % GOSS_BLOCK == 0) c->k.quantize(&part, 0, part.f, hd);
    }
}

static void attend_task(void *ctx, int task, int thread)
{
    const attn_job *a = ctx;
    const goss_hparams *hp = &a->c->base.model->hp;
    const int group = hp->n_head / hp->n_head_kv, part = task % a->splits, rest = task / a->splits;
    const int kv_head = rest % hp->n_head_kv, n_heads = group / a->splits;
    attend_chunk(a, &a->c->desk->chunks[rest / hp->n_head_kv], kv_head, kv_head * group + part * n_heads, n_heads,
                 &a->c->thread[thread]);
}

int goss_cpu_attend(goss_backend *b, goss_step *s, int layer)
{
    cpu *c = (cpu *)b;
    const goss_hparams *hp = &b->model->hp;
    const int tasks = c->desk->n_chunks * hp->n_head_kv, group = hp->n_head / hp->n_head_kv,
              nq = hp->n_head * hp->head_dim;
    attn_job a = { .c = c, .s = s, .l = &b->model->layers[layer], .layer = layer, .splits = 1 };
    while (tasks * a.splits < c->n_threads && a.splits < group) do a.splits++; while (group % a.splits);
    const int rc = goss_cpu_run(c, attend_task, &a, tasks * a.splits);
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
