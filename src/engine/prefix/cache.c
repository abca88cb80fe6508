/* cache.c - the places of the cache. Least recently used goes first, when a place or pages are needed; an
 * entry with rows in flight stays. */
#include "cache.h"
#include "base/mem.h"
#include <string.h>

int goss_tokens_shared(const int32_t *a, int n_a, const int32_t *b, int n_b)
{
    const int n = n_a < n_b ? n_a : n_b;
    int i = 0;
    while (i < n && a[i] == b[i]) i++;
    return i;
}

int goss_sequence_serves(const goss_sequence *q, const int32_t *ids, int most)
{
    const int n = goss_tokens_shared(q->tokens, q->n < q->kv.n ? q->n : q->kv.n, ids, most);
    return n > 0 && goss_kv_can_truncate(&q->kv, n) ? n : 0;
}

/* ---- opening and closing ------------------------------------------------------------------------------- */
int goss_cache_open(goss_cache *c, goss_kv_pool *pool, int max_kv)
{
    for (int i = 0; i < GOSS_CACHED; i++) {
        const int rc = goss_kv_open(&c->entry[i].seq.kv, pool, max_kv);
        if (rc) return rc;
    }
    return 0;
}

void goss_cache_close(goss_cache *c)
{
    for (int i = 0; i < GOSS_CACHED; i++) {
        goss_mem_free(c->entry[i].seq.tokens);
        goss_kv_close(&c->entry[i].seq.kv);
    }
}

void goss_cache_forget(goss_cached *entry)
{
    goss_kv_clear(&entry->seq.kv);
    goss_mem_free(entry->seq.tokens);
    entry->seq.tokens = NULL;
    entry->seq.n = entry->live = entry->warm = entry->store = 0;
}

void goss_cache_clear(goss_cache *c)
{
    for (int i = 0; i < GOSS_CACHED; i++) {
        c->entry[i].seq.n_inflight = 0;
        goss_cache_forget(&c->entry[i]);
    }
}

/* ---- entries ------------------------------------------------------------------------------------------- */
goss_cached *goss_cache_oldest(goss_cache *c, const goss_kv *but)
{
    goss_cached *oldest = NULL;
    for (int i = 0; i < GOSS_CACHED; i++) {
        goss_cached *k = &c->entry[i];
        if (k->live && !k->seq.n_inflight && &k->seq.kv != but && (!oldest || k->seq.used < oldest->seq.used))
            oldest = k;
    }
    return oldest;
}

static goss_cached *free_place(goss_cache *c)
{
    for (int i = 0; i < GOSS_CACHED; i++)
        if (!c->entry[i].live && !c->entry[i].seq.n_inflight) return &c->entry[i];
    goss_cached *oldest = goss_cache_oldest(c, NULL);
    if (oldest) goss_cache_forget(oldest);
    return oldest;
}

/* The entry that already holds exactly these tokens. */
static goss_cached *find_same(goss_cache *c, const int32_t *ids, int n)
{
    for (int i = 0; i < GOSS_CACHED; i++) {
        goss_cached *k = &c->entry[i];
        if (k->live && k->seq.n == n && !memcmp(k->seq.tokens, ids, (size_t)n * sizeof *ids)) return k;
    }
    return NULL;
}

goss_cached *goss_cache_place(goss_cache *c, const int32_t *ids, int n)
{
    goss_cached *k = free_place(c);
    if (!k) return NULL;
    k->seq.tokens = goss_mem_array((size_t)n, sizeof *ids);
    if (!k->seq.tokens) return NULL;
    memcpy(k->seq.tokens, ids, (size_t)n * sizeof *ids);
    k->seq.n = n;
    k->live = 1;
    k->seq.owner = -1;
    k->seq.used = c->clock;
    return k;
}

goss_cached *goss_cache_insert(goss_cache *c, const goss_kv *kv, const int32_t *ids, int n, int have)
{
    goss_cached *k = find_same(c, ids, n);
    if (k) { k->seq.used = c->clock; return k; }
    if (have > 0 && !goss_kv_can_truncate(kv, have)) return NULL;
    k = goss_cache_place(c, ids, n);
    if (!k) return NULL;
    if (have > 0 && goss_kv_fork(&k->seq.kv, kv, have)) { goss_cache_forget(k); return NULL; }
    return k;
}

goss_cached *goss_cache_add(goss_cache *c, const goss_kv *kv, const int32_t *ids, int n)
{
    return n >= GOSS_PREFIX_LEAST ? goss_cache_insert(c, kv, ids, n, n) : NULL;
}

goss_cached *goss_cache_keep(goss_cache *c, const goss_sequence *q, int n)
{
    goss_cached *k = goss_cache_add(c, &q->kv, q->tokens, n);
    if (k && k->seq.owner < 0) k->seq.owner = q->owner;
    return k;
}

goss_cached *goss_cache_find(goss_cache *c, const int32_t *ids, int most, int *best)
{
    goss_cached *found = NULL;
    for (int i = 0; i < GOSS_CACHED; i++) {
        goss_cached *k = &c->entry[i];
        const int n = k->live && !k->seq.n_inflight ? goss_sequence_serves(&k->seq, ids, most) : 0;
        if (n > *best) { *best = n; found = k; }
    }
    return found;
}

goss_cached *goss_cache_next_warm(goss_cache *c)
{
    goss_cached *next = NULL;
    for (int i = 0; i < GOSS_CACHED; i++) {
        goss_cached *k = &c->entry[i];
        if (!k->live || !k->warm || k->seq.n_inflight) continue;
        if (k->seq.kv.n >= k->seq.n) k->warm = 0;
        else if (!next || k->seq.used > next->seq.used) next = k;
    }
    return next;
}
