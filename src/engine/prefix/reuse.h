/* reuse.h - what was computed once is not computed again. A new prompt takes the longest prefix that it
 * shares with its session's own KV, with other sessions', with the cache, or with the store; and when pages
 * are short, what is needed least gives its own. */
#ifndef GOSS_PREFIX_REUSE_H
#define GOSS_PREFIX_REUSE_H
#include "cache.h"
#include "prefix_store.h"
#include "text/harmony_turn.h"

typedef struct goss_prefixes {
    goss_cache cache;
    goss_prefix_store *store;            /* NULL: none */
    goss_sequence **open; int n_open;    /* (n_open) the sessions' sequences by slot, NULL: free */
    /* what is known of the model's texts */
    const goss_vocab *vocab; const goss_harmony_ids *ids;
    int is_harmony, window, max_rows;
} goss_prefixes;

/* Fills q's KV with what there is of ids[0..most). Returns the positions that it holds; *n_stored: if they
 * came from the store, their number, else 0; q->from says who computed them. */
int goss_prefix_reuse(goss_prefixes *p, goss_sequence *q, const int32_t *ids, int most, int *n_stored);
/* Gives pages back to the pool, but those of `but`. 1: it gave some. */
int goss_prefix_evict(goss_prefixes *p, const goss_kv *but);
/* goss_kv_extend, evicting for room. */
int goss_prefix_extend(goss_prefixes *p, goss_kv *kv, int n);
/* After a chunk of a prompt, of which n_reused positions were not computed: keeps the message boundaries that
 * it passed. */
void goss_prefix_snapshot(goss_prefixes *p, const goss_sequence *q, int n_prompt, int n_reused, int chat);
/* A turn has ended by itself: its canonical form is cached, and warmed in idle time. */
void goss_prefix_finished(goss_prefixes *p, const goss_sequence *q);
#endif
