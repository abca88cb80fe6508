/* arriving.c - ranges of tensors in maps that are still being filled. */
#include "arriving.h"
#include "base/error.h"

enum { MOST = 96 };                                    /* ranges asked for at once */

/* The source whose map will hold the tensor, NULL where it is there or is read. */
static const goss_source *source_of(const goss_weights *w, const goss_tensor *t)
{
    const goss_source *src = w->arriving ? &w->arriving[t->shard] : NULL;
    const uint8_t *map = src ? src->map : NULL;
    return map && src->need && t->data >= map && t->data < map + src->size ? src : NULL;
}

static goss_range range_of(const goss_source *src, const goss_tensor *t, uint64_t from, uint64_t n)
{
    return (goss_range){ (uint64_t)(t->data - (const uint8_t *)src->map) + from, n };
}

int goss_arriving_need(const goss_weights *w, const goss_tensor *t, uint64_t from, uint64_t n,
                       goss_error *err)
{
    const goss_source *src = source_of(w, t);
    const goss_range r = src ? range_of(src, t, from, n) : (goss_range){ 0 };
    const int rc = src ? src->need(src->ctx, &r, 1) : 0;
    return rc < 0 ? goss_fail(err, rc, -1, "fetching %s failed", t->name) : 0;
}

int goss_arriving_need_queue(goss_weights *w, goss_error *err)
{
    goss_slots *p = &w->slots;
    goss_range r[MOST];
    while (p->n_needed < p->n_queue) {                   /* what is asked for together arrives together */
        const goss_load_item *first = &p->queue[p->n_needed];
        const goss_source *src = source_of(w, first->tensor);
        int n = 0, rc = 0;
        for (; p->n_needed < p->n_queue && n < MOST; p->n_needed++) {
            const goss_load_item *it = &p->queue[p->n_needed];
            const uint64_t row = goss_type_row_bytes(it->tensor->type, it->tensor->ne[0]);
            if (source_of(w, it->tensor) != src) break;
            if (src) r[n++] = range_of(src, it->tensor, it->source_first * row, it->n_rows * row);
        }
        if (n) rc = src->need(src->ctx, r, n);
        if (rc < 0) return goss_fail(err, rc, -1, "fetching experts of %s failed", first->tensor->name);
    }
    return 0;
}

int goss_arriving_has(const goss_weights *w, int layer, int e)
{
    const goss_layer *l = &w->model->layers[layer];
    const goss_tensor *const all[] = { &l->gate, &l->up, &l->down };
    for (int i = 0; i < 3; i++) {
        const goss_source *src = source_of(w, all[i]);
        const uint64_t n = all[i]->n_bytes / (uint64_t)w->model->hp.n_expert;
        const goss_range r = src ? range_of(src, all[i], n * (uint64_t)e, n) : (goss_range){ 0 };
        if (src && !src->have(src->ctx, &r, 1)) return 0;
    }
    return 1;
}
