/* gpu_fill.c - tokens before the download has ended ("early"): the model is ready as soon as everything but its
 * experts is on the device. They follow in the file's order while steps run; what a router asks for meanwhile goes
 * first.
 *
 * 1. Only free slots are filled: nothing is thrown out for an expert that nobody asked for.
 * 2. A few experts are on their way at a time. When they are all there the tables are written; the queue keeps the
 *    order, so steps that were submitted before find them absent and later ones find them.
 * 3. While a step is stopped nothing is begun, and what was planned but not begun gives way (goss_gpu_fill_yield). */
#include "gpu_state.h"
#include "../base/fmt.h"
#include "../base/os.h"
#include <string.h>

enum { REPORT_MS = 250 };

static int has_free_slot(const goss_gpu_state *s, int layer)
{
    const size_t n = (size_t)s->base.model->hp.n_expert, all = n * (size_t)s->base.model->hp.n_layer;
    const uint32_t *expert = s->pages.table + all + (size_t)layer * n;
    for (int i = 0; i < s->layers[layer].n_slots; i++)
        if (expert[i] == GOSS_GPU_NONE) return 1;
    return 0;
}

/* Queues the next absent experts; 0 when none is left that has room. */
static int plan_some(goss_gpu_state *s)
{
    goss_gpu_pages *p = &s->pages;
    const uint32_t keep[8] = { 0 };
    for (; p->fill_layer < s->base.model->hp.n_layer; p->fill_layer++) {
        if (!has_free_slot(s, p->fill_layer)) continue;
        for (int e = 0; e < s->base.model->hp.n_expert && p->n_fill < GOSS_GPU_FILL; e++) {
            if (goss_gpu_slots_has(s, p->fill_layer, e) || !has_free_slot(s, p->fill_layer)) continue;
            goss_gpu_slots_fetch(s, p->fill_layer, e, keep);
            p->fill[p->n_fill][0] = p->fill_layer;
            p->fill[p->n_fill++][1] = e;
        }
        if (p->n_fill == GOSS_GPU_FILL) break;
    }
    return p->n_fill;
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

int goss_gpu_fill(goss_gpu_state *s, goss_error *err)
{
    goss_gpu_pages *p = &s->pages;
    if (s->phase != GOSS_GPU_USABLE || !p->on || !p->early) return 0;
    if (goss_gpu_pages_stopped(s)) return 1;             /* whoever waits for it polls, and is served first */
    int r = goss_gpu_slots_pump(s, err);
    if (r == GOSS_EAGAIN) { tell(s, "progress"); return 1; }
    if (r && r != GOSS_EIO) return r;
    if (r) goss_gpu_slots_forget(s);                     /* the source is dead: steps will ask for what they need */
    const int failed = r != 0;
    r = goss_gpu_slots_write(s);
    if (r) return r;
    if (!failed && plan_some(s)) { tell(s, "progress"); return 1; }
    p->early = 0;
    tell(s, failed ? "failed" : "completed");
    return 0;
}
