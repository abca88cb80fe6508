/* settle.c - see settle.h.
 *
 *   nothing ---- calls made, compiled; no step is in flight that was begun before ----> over: they are used
 *                        |
 *                        +---- refused ----> over: steps stay as they are
 *
 * 1. The new calls read the same buffers: experts lie where they came to, and the tables say where.
 * 2. A step that was begun before all were there may stop and run again with the old calls, so its end is
 *    waited for. Those in flight that were begun since do not stop, whatever they were recorded with.
 * 3. From here on bits are those of a model that was whole from the beginning. Before, packed activations
 *    have others: a paged step's router is one workgroup, with its own order of sums. */
#include "settle.h"
#include "build.h"
#include "gpu/weights/report.h"
#include "base/fmt.h"
#include "base/mem.h"
#include "base/os.h"

struct goss_settle {
    goss_calls calls; /* the new ones; then the old ones */
    int over;
    uint64_t serial; /* of the last step that may still stop */
    double began;
};

static void exchange(goss_gpu_state *s, goss_settle *m)
{
    const goss_calls theirs = s->calls;
    s->calls = m->calls;
    m->calls = theirs;
}

static void set_paging(goss_gpu_state *s, int on) { s->weights.slots.on = s->kernels.paged = on; }

static int make_calls(goss_gpu_state *s)
{
    const uint32_t first = s->weights.params.n;
    goss_error ignored;
    goss_settle *m = s->settle = goss_mem_alloc(sizeof *m);
    if (!m) return GOSS_ENOMEM;
    m->began = goss_os_now_ms();
    m->serial = s->paging.serial;
    m->calls.head.n_groups = s->calls.head.n_groups;
    const int n = s->base.model->hp.n_layer;
    m->calls.layers = goss_mem_array((size_t)(n ? n : 1), sizeof *m->calls.layers);
    if (!m->calls.layers) return GOSS_ENOMEM;
    exchange(s, m);
    set_paging(s, 0);
    const int r = goss_build_calls(s, &ignored);
    set_paging(s, 1);
    exchange(s, m);
    return r ? r : goss_params_write(&s->weights, first);
}

static int end(goss_gpu_state *s, const char *status)
{
    char detail[64];
    goss_fmt(detail, sizeof detail, "ms=%.0f", goss_os_now_ms() - s->settle->began);
    goss_report_load(&s->weights, "experts_settled", status, detail, 0, 0);
    s->settle->over = 1;
    return GOSS_FILLED;
}

static int give_up(goss_gpu_state *s)
{
    goss_error ignored;
    while (goss_gpu_error(s->gpu, &ignored)) {}
    s->kernels.failed = 0;
    return end(s, "failed");
}

static int all_there(const goss_gpu_state *s)
{
    int all = s->weights.slots.on && !s->weights.slots.n_host;
    for (int i = 0; i < s->base.model->hp.n_layer; i++)
        all &= s->weights.layers[i].n_slots == s->base.model->hp.n_expert;
    return all;
}

/* Steps in flight; those of them that may still stop. */
static int in_flight(const goss_gpu_state *s, int *old)
{
    int all = 0;
    *old = 0;
    for (int i = 0; i < GOSS_TICKETS; i++) {
        const goss_gpu_ticket *t = &s->tickets[i];
        all += t->busy;
        *old += t->busy && t->serial <= s->settle->serial;
    }
    return all;
}

int goss_settle_some(goss_gpu_state *s)
{
    goss_error ignored;
    int old;
    if (s->settle ? s->settle->over : !all_there(s)) return GOSS_FILLED;
    int r = s->settle ? 0 : make_calls(s);
    if (!s->settle) return GOSS_FILLED;
    if (!r) r = goss_kernels_ready(&s->kernels, &ignored);
    if (r == GOSS_ELOST) return r;
    const int all = in_flight(s, &old);
    if (r == GOSS_EAGAIN || (!r && old)) {
        goss_gpu_poll(s->gpu, all ? 0 : 1);
        return GOSS_FILL_MORE;
    }
    if (r && s->kernels.failed) s->kernels.n_ready = s->kernels.n;
    if (r) return give_up(s);
    exchange(s, s->settle);
    set_paging(s, 0);
    return end(s, "completed");
}

void goss_settle_close(goss_settle **m)
{
    if (*m) goss_mem_free((*m)->calls.layers);
    goss_mem_free(*m);
    *m = NULL;
}
