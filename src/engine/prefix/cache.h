/* cache.h - sequences: tokens with their KV. Sessions have one each; finished ones are cached, by reference
 * to their KV pages, so that the longest prefix that a new prompt shares with any of them is not computed
 * again. */
#ifndef GOSS_PREFIX_CACHE_H
#define GOSS_PREFIX_CACHE_H
#include "model/kv.h"

enum {
    GOSS_CACHED = 48,            /* sequences in the cache */
    GOSS_ROLLBACK = 64,          /* positions that every sequence's windowed layers can be taken back */
    GOSS_PREFIX_LEAST = 16       /* tokens: less is not worth a place */
};

typedef struct goss_sequence {
    goss_kv kv;
    int32_t *tokens; int n;      /* tokens[0..n) are known; kv.n of them, or more, have KV or are in flight */
    int n_inflight;              /* steps under way with rows of it */
    int active, closed;          /* somebody generates with it; only what is in flight still needs it */
    int owner;                   /* slot of the session that it is or was of; -1: none of this engine's */
    int from;                    /* the owner of what its KV was found as last (reuse.h) */
    uint64_t used;               /* the cache's clock when it last had rows */
} goss_sequence;
/* How many positions of ids its KV can serve: what both share; 0 when its windowed pages for that point are
 * gone. */
int goss_sequence_serves(const goss_sequence *q, const int32_t *ids, int most);
int goss_tokens_shared(const int32_t *a, int n_a, const int32_t *b, int n_b);

/* What is to happen to a cached sequence in the application's store. */
enum { GOSS_STORE_NOT, GOSS_STORE_AT_END, GOSS_STORE_SOON, GOSS_STORED };
typedef struct goss_cached {
    goss_sequence seq;     /* its tokens are wanted in full when `warm`: idle time computes what kv.n lacks */
    int live, warm, store;       /* store: GOSS_STORE_* */
} goss_cached;
typedef struct goss_cache { goss_cached entry[GOSS_CACHED]; uint64_t clock; } goss_cache;

int goss_cache_open(goss_cache *c, goss_kv_pool *pool, int max_kv);
void goss_cache_close(goss_cache *c);
void goss_cache_clear(goss_cache *c);                      /* everything: the device lost it */
void goss_cache_forget(goss_cached *entry);
/* A live entry for these tokens without KV; the least recently used gives its place. NULL: no place or no
 * memory. */
goss_cached *goss_cache_place(goss_cache *c, const int32_t *ids, int n);
/* An entry for n tokens whose KV starts as the first `have` positions of kv; the one that there is. NULL:
 * none. */
goss_cached *goss_cache_insert(goss_cache *c, const goss_kv *kv, const int32_t *ids, int n, int have);
/* The same with all of the KV, if it is worth a place. */
goss_cached *goss_cache_add(goss_cache *c, const goss_kv *kv, const int32_t *ids, int n);
/* The same with a session's first n tokens: it is its owner. */
goss_cached *goss_cache_keep(goss_cache *c, const goss_sequence *q, int n);
/* The entry that serves most of ids, if that is more than *best, which it raises. */
goss_cached *goss_cache_find(goss_cache *c, const int32_t *ids, int most, int *best);
goss_cached *goss_cache_oldest(goss_cache *c, const goss_kv *but);
goss_cached *goss_cache_next_warm(goss_cache *c);        /* what idle time should go on with, NULL: nothing */
#endif
