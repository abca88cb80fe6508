/* gpu_fill.c - tokens before the experts are there: the model is usable as soon as everything else is on the device.
 * Its experts follow in the order of the layers while steps run; what a router asks for meanwhile goes first.
 *
 *   absent ---- plan ----> on its way ---- arrived, tables written ----> there
 *     ^                        |
 *     +---- yield, failed -----+            a miss: absent ---- gpu_pages.c fetches it ----> there
 *
 * 1. Only layers with room for all their experts are filled: nothing is thrown out for what nobody asked for, and no
 *    slot is given away while rows are on their way to it.
 * 2. A few experts are on their way at a time. The tables are written when all of them are there; the queue keeps the
 *    order, so steps that were submitted before find them absent and later ones find them.
 * 3. While a step is stopped nothing is begun, and what was planned but not begun gives way (goss_gpu_fill_yield).
 * 4. A source whose map is still being filled (goss_source.need) is waited for only for what a step or the load
 *    needs; the filling takes what its `have` says is there. */
#include "gpu_state.h"
#include "../base/error.h"
#include "../base/fmt.h"
#include "../base/os.h"
#include <string.h>

enum { REPORT_MS = 250, RETRY_MS = 2000, LOOK_MS = 20, CALM_MS = 50, MOST = 96 };

/* ---- sources that are still arriving --------------------------------------------------------------------------- */
/* The source whose map will hold the tensor, NULL where it is there or is read. */
static const goss_source *arriving(const goss_gpu_state *s, const goss_tensor *t)
{
    const goss_source *src = s->arriving ? &s->arriving[t->shard] : NULL;
    const uint8_t *map = src ? src->map : NULL;
    return map && src->need && t->data >= map && t->data < map + src->size ? src : NULL;
}

static goss_range range_of(const goss_source *src, const goss_tensor *t, uint64_t from, uint64_t n)
{
    return (goss_range){ (uint64_t)(t->data - (const uint8_t *)src->map) + from, n };
}

int goss_gpu_need(goss_gpu_state *s, const goss_tensor *t, uint64_t from, uint64_t n, goss_error *err)
{
    const goss_source *src = arriving(s, t);
    const goss_range r = src ? range_of(src, t, from, n) : (goss_range){ 0 };
    const int rc = src ? src->need(src->ctx, &r, 1) : 0;
    return rc < 0 ? goss_fail(err, rc, -1, "fetching %s failed", t->name) : 0;
}

int goss_gpu_fill_need(goss_gpu_state *s, goss_error *err)
{
    goss_gpu_pages *p = &s->pages;
    goss_range r[MOST];
    while (p->n_needed < p->n_queue) {                   /* what is asked for together arrives together */
        const goss_load_item *first = &p->queue[p->n_needed];
        const goss_source *src = arriving(s, first->tensor);
        int n = 0, rc = 0;
        for (; p->n_needed < p->n_queue && n < MOST; p->n_needed++) {
            const goss_load_item *it = &p->queue[p->n_needed];
            const uint64_t row = goss_type_row_bytes(it->tensor->type, it->tensor->ne[0]);
            if (arriving(s, it->tensor) != src) break;
            if (src) r[n++] = range_of(src, it->tensor, it->source_first * row, it->n_rows * row);
        }
        if (n) rc = src->need(src->ctx, r, n);
        if (rc < 0) return goss_fail(err, rc, -1, "fetching experts of %s failed", first->tensor->name);
    }
    return 0;
}

static int is_there(const goss_gpu_state *s, int layer, int e)
{
    const goss_layer *l = &s->base.model->layers[layer];
    const goss_tensor *const all[] = { &l->gate, &l->up, &l->down };
    for (int i = 0; i < 3; i++) {
        const goss_source *src = arriving(s, all[i]);
        const uint64_t n = all[i]->n_bytes / (uint64_t)s->base.model->hp.n_expert;
        const goss_range r = src ? range_of(src, all[i], n * (uint64_t)e, n) : (goss_range){ 0 };
        if (src && !src->have(src->ctx, &r, 1)) return 0;
    }
    return 1;
}

/* ---- what is on its way unasked -------------------------------------------------------------------------------- */
static int is_filled(const goss_gpu_state *s, int layer)
{
    return s->layers[layer].n_slots == s->base.model->hp.n_expert;
}

/* Begins the next experts that can be had. Returns how many are absent still or on their way, as far as it looked. */
static int plan_some(goss_gpu_state *s)
{
    goss_gpu_pages *p = &s->pages;
    const uint32_t keep[8] = { 0 };
    int left = 0;
    for (int l = p->fill_layer; l < s->base.model->hp.n_layer && p->n_fill < GOSS_GPU_FILL; l++) {
        const int before = left;
        for (int e = 0; e < s->base.model->hp.n_expert && is_filled(s, l); e++) {
            if (goss_gpu_slots_has(s, l, e)) continue;
            left++;
            if (p->n_fill == GOSS_GPU_FILL || !is_there(s, l, e)) continue;
            goss_gpu_slots_fetch(s, l, e, keep);
            p->fill[p->n_fill][0] = l;
            p->fill[p->n_fill++][1] = e;
            p->n_needed = p->n_queue;
        }
        if (left == before && l == p->fill_layer) p->fill_layer++;
    }
    return left;
}

/* Layers that have all their experts now. */
static void tell_layers(goss_gpu_state *s)
{
    for (int *l = &s->pages.told; *l < s->pages.fill_layer; ++*l) {
        const goss_layer *w = &s->base.model->layers[*l];
        const goss_tensor *const all[] = { &w->gate, &w->up, &w->down };
        for (int i = 0; i < 3 && is_filled(s, *l); i++) goss_gpu_tell_resident(s, all[i]);
    }
}

void goss_gpu_fill_yield(goss_gpu_state *s)
{
    goss_gpu_pages *p = &s->pages;
    while (p->n_fill && p->at_queue <= p->n_queue - 3 && !p->queue[p->n_queue - 3].done) {
        const int *last = p->fill[--p->n_fill];
        p->n_queue -= 3;
        goss_gpu_slots_drop(s, last[0], last[1]);
        p->fill_layer = 0;
    }
    if (p->n_needed > p->n_queue) p->n_needed = p->n_queue;
}

static void tell(goss_gpu_state *s, const char *status)
{
    char detail[96];
    const double now = goss_os_now_ms();
    if (!strcmp(status, "progress") && now - s->t_report < (double)REPORT_MS) return;
    s->t_report = now;
    goss_gpu_rate(s, detail, sizeof detail, "experts");
    goss_gpu_report(s, "weights_fetch", status, detail, s->bytes_done, s->bytes_total);
}

void goss_gpu_fill_failed(goss_gpu_state *s)
{
    goss_gpu_pages *p = &s->pages;
    while (p->n_fill) {
        const int *last = p->fill[--p->n_fill];
        goss_gpu_slots_drop(s, last[0], last[1]);
    }
    p->n_queue = p->at_queue = p->n_needed = p->fill_layer = 0;
    p->t_fill = goss_os_now_ms() + (double)RETRY_MS;
    goss_gpu_feed_void(s);
    tell(s, "failed");
}

/* Over a network what nobody asked for would delay what the next miss asks for. */
static int is_calm(const goss_gpu_state *s)
{
    int busy = 0;
    for (int i = 0; i < GOSS_TICKETS; i++) busy |= s->tickets[i].busy;
    return !busy || s->base.model->tok_embd.data || goss_os_now_ms() - s->pages.t_stall > (double)CALM_MS;
}

int goss_gpu_fill(goss_gpu_state *s, goss_error *err)
{
    goss_gpu_pages *p = &s->pages;
    if (!p->early) return GOSS_FILLED;
    if (goss_gpu_pages_stopped(s)) return GOSS_FILL_MORE;   /* whoever waits for it polls, and is served first */
    if (!p->n_queue && goss_os_now_ms() < p->t_fill) return GOSS_FILL_LATER;
    int r = goss_gpu_slots_pump(s, err);
    if (r == GOSS_EAGAIN) { tell(s, "progress"); return GOSS_FILL_MORE; }
    if (r == GOSS_EIO) { goss_gpu_fill_failed(s); return GOSS_FILL_LATER; }
    if (!r) r = goss_gpu_slots_write(s);
    if (r) return r;
    if (!is_calm(s)) return GOSS_FILL_MORE;
    const int left = plan_some(s);
    tell_layers(s);
    if (p->n_fill) { tell(s, "progress"); return GOSS_FILL_MORE; }
    p->t_fill = goss_os_now_ms() + (double)LOOK_MS;
    if (left) return GOSS_FILL_LATER;
    p->early = 0;
    tell(s, "completed");
    return GOSS_FILLED;
}
