/* told.c - whose rows a step had, and who holds which pages of the KV. */
#include "told.h"
#include "session.h"

void goss_told_step(goss_engine *e, const goss_flight *f, double ms)
{
    if (!goss_lanes_step(&e->lanes, e->stats.n_steps - 1, e->flights.t_collected - ms, ms)) return;
    for (int i = 0; i < f->step.n_seqs; i++) {
        const goss_part *p = &f->parts[i];
        const goss_lane_rows rows = {
            p->warm ? -1 : f->step.seqs[i].slot, p->pos, p->n_rows, p->n_prompt, p->n_drafts, p->n_accepted
        };
        goss_lanes_rows(&e->lanes, &rows);
    }
    goss_lanes_step_end(&e->lanes);
}

void goss_told_seen(goss_engine *e, const goss_session *s, const goss_step *step, int row)
{
    const goss_backend *b = e->loaded.backend;
    const goss_hparams *h = &e->loaded.model.hp;
    if (!e->sees || !(e->telemetry.mask & GOSS_TELEMETRY_SEEN)) return;
    const int n = h->n_layer * h->n_expert_used;
    goss_seen seen = { .expert = e->seen, .weight = n ? e->seen + n : NULL };
    const int got = b->vt->seen(b, step, row, &seen);
    if (got) goss_telemetry_seen(&e->telemetry, &s->turn, &seen, got, h->n_layer, h->n_expert_used);
}

static void tell_pages(goss_engine *e)
{
    goss_lanes_pages(&e->lanes, &e->pool, e->loaded.plan.page_bytes);
    for (int i = 0; i < e->config.max_sessions; i++)
        if (e->sessions[i]) goss_lanes_held(&e->lanes, i, 0, &e->sessions[i]->seq.kv);
    for (int i = 0; i < GOSS_CACHED; i++) {
        const goss_cached *k = &e->prefixes.cache.entry[i];
        if (k->live) goss_lanes_held(&e->lanes, k->seq.owner, 1, &k->seq.kv);
    }
    goss_lanes_pages_end(&e->lanes);
}

void goss_told(goss_engine *e, int idle)
{
    if (goss_lanes_tell(&e->lanes, idle)) tell_pages(e);
}
