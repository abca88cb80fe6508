/* fill.c - tokens before the experts are there: the model is usable as soon as everything else is on the
 * device. Its experts follow in the order of the layers while steps run; what a router asks for meanwhile
 * goes first.
 *
 *   absent ---- plan ----> on its way ---- arrived, tables written ----> there
 *     ^                        |
 *     +---- yield, failed -----+            a miss: absent ---- paging.c fetches  it ----> there
 *
 * 1. Only layers with room for all their experts are filled: nothing is thrown out for what nobody asked
 *    for, and no slot is given away while rows are on their way to it.
 * 2. A few experts are on their way at a time. The tables are written when all of them are there; the
 *    queue keeps the order, so steps that were submitted before find them absent and later ones find them.
 * 3. While a step is stopped nothing is begun, and what was planned but not begun gives way
 *    (goss_fill_yield).
 * 4. A source whose map is still being filled (goss_source.need) is waited for only for what a step or the
 *    load needs; the filling takes what its `have` says is there. */
#include "fill.h"
#include "arriving.h"
#include "feed.h"
#include "report.h"
#include "slots_gpu.h"
#include "base/os.h"
#include <string.h>

enum { REPORT_MS = 250, RETRY_MS = 2000, LOOK_MS = 20 };

/* ---- what is on its way unasked ------------------------------------------------------------------------ */
static int is_filled(const goss_weights *w, int layer)
{
    return w->layers[layer].n_slots == w->model->hp.n_expert;
}

/* Begins the next experts that can be had. Returns how many are absent still or on their way, as far as it
 * looked. */
static int plan_some(goss_weights *w)
{
    goss_slots *p = &w->slots;
    const uint32_t but[8] = { 0 };
    int left = 0;
    for (int l = p->fill_layer; l < w->model->hp.n_layer && p->n_fill < GOSS_GPU_FILL; l++) {
        const int before = left;
        for (int e = 0; e < w->model->hp.n_expert && is_filled(w, l); e++) {
            if (goss_slots_has(w, l, e)) continue;
            left++;
            if (p->n_fill == GOSS_GPU_FILL || !goss_arriving_has(w, l, e)) continue;
            goss_slots_fetch(w, l, e, but);
            p->fill[p->n_fill][0] = l;
            p->fill[p->n_fill++][1] = e;
            p->n_needed = p->n_queue;
        }
        if (left == before && l == p->fill_layer) p->fill_layer++;
    }
    return left;
}

/* Layers that have all their experts now. */
static void tell_layers(goss_weights *w)
{
    for (int *l = &w->slots.told; *l < w->slots.fill_layer; ++*l) {
        const goss_layer *t = &w->model->layers[*l];
        const goss_tensor *const all[] = { &t->gate, &t->up, &t->down };
        for (int i = 0; i < 3 && is_filled(w, *l); i++) goss_report_resident(w, all[i]);
    }
}

void goss_fill_yield(goss_weights *w)
{
    goss_slots *p = &w->slots;
    while (p->n_fill && p->at_queue <= p->n_queue - 3 && !p->queue[p->n_queue - 3].done) {
        const int *last = p->fill[--p->n_fill];
        p->n_queue -= 3;
        goss_slots_drop(w, last[0], last[1]);
        p->fill_layer = 0;
    }
    if (p->n_needed > p->n_queue) p->n_needed = p->n_queue;
}

static void tell(goss_weights *w, const char *status)
{
    char detail[96];
    const double now = goss_os_now_ms();
    if (!strcmp(status, "progress") && now - w->load.t_report < (double)REPORT_MS) return;
    w->load.t_report = now;
    goss_report_rate(w, detail, sizeof detail, "experts");
    goss_report_load(w, "weights_fetch", status, detail, w->load.bytes_done, w->load.bytes_total);
}

void goss_fill_failed(goss_weights *w)
{
    goss_slots *p = &w->slots;
    while (p->n_fill) {
        const int *last = p->fill[--p->n_fill];
        goss_slots_drop(w, last[0], last[1]);
    }
    p->n_queue = p->at_queue = p->n_needed = p->fill_layer = 0;
    p->t_fill = goss_os_now_ms() + (double)RETRY_MS;
    goss_feed_void(w);
    tell(w, "failed");
}

int goss_fill_some(goss_weights *w, int calm, goss_error *err)
{
    goss_slots *p = &w->slots;
    if (!p->early) return GOSS_FILLED;
    if (!p->n_queue && goss_os_now_ms() < p->t_fill) return GOSS_FILL_LATER;
    int r = goss_slots_pump(w, err);
    if (r == GOSS_EAGAIN) { tell(w, "progress"); return GOSS_FILL_MORE; }
    if (r == GOSS_EIO) { goss_fill_failed(w); return GOSS_FILL_LATER; }
    if (!r) r = goss_slots_write(w);
    if (r) return r;
    if (!calm) return GOSS_FILL_MORE;
    const int left = plan_some(w);
    tell_layers(w);
    if (p->n_fill) { tell(w, "progress"); return GOSS_FILL_MORE; }
    p->t_fill = goss_os_now_ms() + (double)LOOK_MS;
    if (left) return GOSS_FILL_LATER;
    p->early = 0;
    tell(w, "completed");
    return GOSS_FILLED;
}
