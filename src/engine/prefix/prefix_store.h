/* prefix_store.h - prefixes that outlive the engine, in the application's store (goss_store). All calls take
 * NULL: then prefixes live as long as the engine. */
#ifndef GOSS_PREFIX_PREFIX_STORE_H
#define GOSS_PREFIX_PREFIX_STORE_H
#include "cache.h"
#include "engine/telemetry/telemetry.h"
#include "model/stage.h"

typedef struct goss_prefix_store goss_prefix_store;
typedef struct goss_prefix_store_config {      /* everything is kept */
    const goss_engine_config *engine;
    const goss_gguf *gguf; const goss_model *model;
    goss_backend *const *backend;             /* the one of the moment: a lost device comes back as another */
    int arriving;                              /* weights are still on their way */
    goss_kv_pool *pool; int max_kv;
    goss_cache *cache;
    /* makes room in the pool; 0: there is none */
    int (*evict)(void *ctx, const goss_kv *but); void *evict_ctx;
    goss_telemetry *telemetry;
} goss_prefix_store_config;

/* *out is NULL where the application gave no store, or nothing can be stored. */
int goss_prefix_store_open(goss_prefix_store **out, const goss_prefix_store_config *c, goss_error *err);
/* whole: first stores what is worth it. */
void goss_prefix_store_close(goss_prefix_store **k, int whole);
/* on: nothing is fetched any more, the device is away; 0: it came back. */
void goss_prefix_store_rest(goss_prefix_store *k, int on);
/* Makes an entry of the store that shares more than `have` tokens with ids an entry of the cache; 1: it
 * did. */
int goss_prefix_store_fetch(goss_prefix_store *k, const int32_t *ids, int most, int have);
int goss_prefix_store_waits(const goss_prefix_store *k);          /* something is to be stored in idle time */
void goss_prefix_store_idle(goss_prefix_store *k, int timeout_ms); /* a page; waits so long for it */
int goss_prefix_store_give_up(goss_prefix_store *k);   /* 1: an entry was being written and is not any more */
#endif
