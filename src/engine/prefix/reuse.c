/* reuse.c - finds the longest prefix, and keeps what will be wanted.
 *
 * Windowed layers have given back the pages behind their window, so a long sequence can't be rewound far:
 * snapshots (forks, which hold only references) are taken where conversations branch: at the last message
 * boundaries of a prompt and at its end. A finished Harmony turn is also kept in its canonical form, as the
 * next prompt will show it; what of it is not computed yet is prefilled in idle time. */
#include "reuse.h"
#include "base/mem.h"

enum { BOUNDARIES = 4 };                 /* message boundaries of a prompt that are kept */

/* The open sequence, other than q, that serves most of ids, if that is more than *best, which it raises. */
static const goss_sequence *find_open(const goss_prefixes *p, const goss_sequence *q, const int32_t *ids,
                                      int most, int *best)
{
    const goss_sequence *found = NULL;
    for (int i = 0; i < p->n_open; i++) {
        const goss_sequence *o = p->open[i];
        if (!o || o == q) continue;
        const int n = goss_sequence_serves(o, ids, most);
        if (n > *best) { *best = n; found = o; }
    }
    return found;
}

/* q's KV becomes the first n positions of from's. */
static int take(goss_prefixes *p, goss_sequence *q, const goss_kv *from, int n)
{
    if (q->kv.n >= GOSS_PREFIX_LEAST) goss_cache_keep(&p->cache, q, q->kv.n);
    goss_kv_clear(&q->kv);
    if (goss_kv_fork(&q->kv, from, n)) goss_kv_clear(&q->kv);
    return q->kv.n;
}

int goss_prefix_reuse(goss_prefixes *p, goss_sequence *q, const int32_t *ids, int most, int *n_stored)
{
    *n_stored = 0;
    q->from = q->owner;
    for (int fetched = 0;;) {
        const int own = goss_sequence_serves(q, ids, most);
        int best = own;
        goss_cached *hit = goss_cache_find(&p->cache, ids, most, &best);
        const goss_sequence *other = find_open(p, q, ids, most, &best);
        if (!fetched && goss_prefix_store_fetch(p->store, ids, most, best)) { fetched = 1; continue; }
        if (!other && !hit) {
            if (!own || goss_kv_truncate(&q->kv, own)) goss_kv_clear(&q->kv);
            return q->kv.n;
        }
        q->from = other ? other->owner : hit->seq.owner;
        if (other) return take(p, q, &other->kv, best);
        hit->seq.used = p->cache.clock;
        const int n = take(p, q, &hit->seq.kv, best);
        if (fetched) *n_stored = n;
        return n;
    }
}

/* ---- room ---------------------------------------------------------------------------------------------- */
int goss_prefix_evict(goss_prefixes *p, const goss_kv *but)
{
    if (goss_prefix_store_give_up(p->store)) return 1;   /* it holds pages that are in the store's way only */
    goss_cached *oldest = goss_cache_oldest(&p->cache, but);
    goss_sequence *idle = NULL;
    for (int i = 0; i < p->n_open; i++) {
        goss_sequence *q = p->open[i];
        if (q && !q->active && !q->n_inflight && q->kv.n && (!idle || q->used < idle->used)) idle = q;
    }
    if (idle && (!oldest || idle->used < oldest->seq.used)) { goss_kv_clear(&idle->kv); return 1; }
    if (!oldest) return 0;
    goss_cache_forget(oldest);
    return 1;
}

int goss_prefix_extend(goss_prefixes *p, goss_kv *kv, int n)
{
    int rc;
    while ((rc = goss_kv_extend(kv, n)) == GOSS_EFULL)
        if (!goss_prefix_evict(p, kv)) break;
    return rc;
}

/* ---- what will be wanted ------------------------------------------------------------------------------- */
static void store_later(goss_cached *c, int when)
{
    if (c && c->store < when) c->store = when;
}

/* The instructions of a chat, for the store. */
static void snapshot_instructions(goss_prefixes *p, const goss_sequence *q, int n_prompt, int n_reused)
{
    const int n = goss_harmony_instructions_end(p->vocab, p->ids, q->tokens, n_prompt);
    if (n <= n_reused || n > q->kv.n || !goss_kv_can_truncate(&q->kv, n)) return;
    store_later(goss_cache_keep(&p->cache, q, n), GOSS_STORE_SOON);
}

void goss_prefix_snapshot(goss_prefixes *p, const goss_sequence *q, int n_prompt, int n_reused, int chat)
{
    const int32_t start = p->ids->start;
    if (p->store && chat && start >= 0) snapshot_instructions(p, q, n_prompt, n_reused);
    if (!p->window) return;
    const int done = q->kv.n < n_prompt ? q->kv.n : n_prompt, from = q->kv.n - p->max_rows - GOSS_ROLLBACK;
    if (done == n_prompt) goss_cache_keep(&p->cache, q, n_prompt - 1);
    int found = 0;
    for (int at = n_prompt - 3; at >= GOSS_PREFIX_LEAST && at >= from && found < BOUNDARIES && start >= 0;
         at--) {
        if (q->tokens[at] != start) continue;
        if (at <= done) goss_cache_keep(&p->cache, q, at);
        found++;
    }
}

void goss_prefix_finished(goss_prefixes *p, const goss_sequence *q)
{
    if (!p->is_harmony || q->n < GOSS_PREFIX_LEAST) return;
    int32_t *ids = goss_mem_array((size_t)q->n, sizeof *ids);
    if (!ids) return;
    const int n = goss_harmony_canonical(p->vocab, p->ids, q->tokens, q->n, ids);
    int best = 0;
    const goss_cached *hit = goss_cache_find(&p->cache, ids, n, &best);
    const int own = goss_sequence_serves(q, ids, n);
    const goss_kv *from = own >= best || !hit ? &q->kv : &hit->seq.kv;
    if (own > best) best = own;
    goss_cached *c = best > 0 ? goss_cache_insert(&p->cache, from, ids, n, best) : NULL;
    if (c && c->seq.owner < 0) c->seq.owner = q->owner;
    if (c && c->seq.kv.n < c->seq.n) c->warm = 1;
    store_later(c, GOSS_STORE_AT_END);
    goss_mem_free(ids);
}
