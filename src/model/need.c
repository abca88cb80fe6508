/* need.c - which bytes of a model the next stage reads, for sources whose map is still being filled.
 *
 * What is asked for together arrives together: all matrices of a layer, then its chosen experts. Ranges are
 * named in the same way every time (a matrix, an expert's matrix, an embedding's row), so that a source can
 * count what was touched. */
#include "stage.h"

enum { MOST = 96, MOST_PART = 8 * GOSS_MAX_LAYERS + 2 };
typedef struct list { goss_backend *b; goss_range r[MOST]; int n, shard, rc; } list;

const goss_source *goss_arriving(const goss_source *sources, int n)
{
    for (int i = 0; i < n; i++)
        if (sources[i].need) return sources;
    return NULL;
}

static void flush(list *l)
{
    const goss_source *s = &l->b->arriving[l->shard];
    if (l->n && s->need && !l->rc) l->rc = s->need(s->ctx, l->r, l->n);
    l->n = 0;
}

/* Bytes [from, from + n) of a tensor. */
static void want(list *l, const goss_tensor *t, uint64_t from, uint64_t n)
{
    if (t->type < 0 || !n || !l->b->arriving[t->shard].map) return;
    if (l->n == MOST || (l->n && l->shard != t->shard)) flush(l);
    l->shard = t->shard;
    const uint8_t *start = l->b->arriving[t->shard].map, *end = start + l->b->arriving[t->shard].size;
    if (t->data < start || t->data >= end) return;           /* a converted copy */
    l->r[l->n++] = (goss_range){ (uint64_t)(t->data - start) + from, n };
}

static int finish(list *l)
{
    flush(l);
    return l->rc;
}

/* Everything of a part of a model, for as many calls as there are sources. */
static int each_part(const goss_source *sources, int n, const goss_model *m, int only)
{
    int rc = 0;
    for (int i = 0; i < n && !rc; i++) {
        goss_range r[MOST_PART];
        int k = 0;
        const goss_source *s = &sources[i];
        if (!s->need || !s->map) continue;
        for (int l = -1; l < m->hp.n_layer; l++) {
            const goss_layer *y = &m->layers[l < 0 ? 0 : l];
            const goss_tensor *const ends[] = { &m->output, &m->tok_embd },
                              *const own[] = { &y->wq,     &y->wk,   &y->wv, &y->wo,
                                               &y->router, &y->gate, &y->up, &y->down };
            for (int t = 0; t < (l < 0 ? 2 : 8); t++) {
                const goss_tensor *x = l < 0 ? ends[t] : own[t];
                if (x->type < 0 || x->shard != i || k == MOST_PART) continue;
                r[k++] = (goss_range){ x->offset, x->n_bytes };
            }
        }
        if (!only) rc = s->need(s->ctx, r, k);
        else if (s->only) s->only(s->ctx, r, k);
    }
    return rc;
}

void goss_only_part(const goss_source *sources, int n, const goss_model *part)
{
    each_part(sources, n, part, 1);
}

int goss_need_part(const goss_source *sources, int n, const goss_model *part)
{
    return each_part(sources, n, part, 0);
}

int goss_need_embed(goss_backend *b, const goss_step *s)
{
    list l = { .b = b };
    const goss_tensor *t = &b->model->tok_embd;
    const uint64_t row = goss_type_row_bytes(t->type, b->model->hp.n_embd);
    for (int i = 0; i < s->n_rows; i++) want(&l, t, row * (uint64_t)s->rows[i].token, row);
    return finish(&l);
}

int goss_need_layer(goss_backend *b, int layer)
{
    list l = { .b = b };
    const goss_layer *w = &b->model->layers[layer];
    const goss_tensor *const all[] = {
        &w->wq, &w->wk, &w->wv, &w->wo, &w->router, &w->gate, &w->up, &w->down
    };
    const int n = b->model->hp.n_expert ? 5 : 8;
    for (int i = 0; i < n; i++)
        if (all[i]->data) want(&l, all[i], 0, all[i]->n_bytes);
    return finish(&l);
}

int goss_need_head(goss_backend *b)
{
    list l = { .b = b };
    want(&l, &b->model->output, 0, b->model->output.n_bytes);
    return finish(&l);
}

int goss_need_experts(goss_backend *b, int layer, const int32_t *chosen, int n)
{
    list l = { .b = b };
    const goss_layer *w = &b->model->layers[layer];
    const goss_tensor *const all[] = { &w->gate, &w->up, &w->down };
    uint8_t seen[1024] = { 0 };
    for (int i = 0; i < n; i++) {
        const uint64_t e = (uint64_t)chosen[i], n_expert = (uint64_t)b->model->hp.n_expert;
        if (e >= sizeof seen || seen[e]) continue;
        seen[e] = 1;
        for (int k = 0; k < 3; k++)
            want(&l, all[k], all[k]->n_bytes / n_expert * e, all[k]->n_bytes / n_expert);
    }
    return finish(&l);
}
