/* kv.h - who holds which positions: bookkeeping of append-only KV pages, without the bytes, which backends
 * own.
 *
 * A page holds GOSS_KV_PAGE consecutive positions of all layers of one class. Class FULL: layers that see
 * everything; class WINDOW: layers with a window, whose pages behind window + rollback are given back. Pages
 * are counted references: a fork or snapshot shares them, and copies at most the one partial page of each
 * class when it is written.
 *   kv.page[class][pos / GOSS_KV_PAGE] = page id in the pool, or -1 (never there, or given back)
 * Every position in [kv.base[class], kv.n) is readable, and base[FULL] = 0. With window = 0 or no windowed
 * pages class WINDOW is never used. Windowed pages are given back at the next extend, when no row before it
 * needs them any more. */
#ifndef GOSS_MODEL_KV_H
#define GOSS_MODEL_KV_H
#include <gossamer.h>
enum { GOSS_KV_PAGE = 64, GOSS_KV_FULL = 0, GOSS_KV_WINDOW = 1, GOSS_KV_CLASSES = 2 };

typedef struct goss_kv_pool {
    int n_pages[GOSS_KV_CLASSES], n_free[GOSS_KV_CLASSES];
    int n_touched[GOSS_KV_CLASSES];  /* pages [n_touched, n_pages) were never handed out */
    int32_t *refs[GOSS_KV_CLASSES], *free_list[GOSS_KV_CLASSES];
    /* windowed pages are kept while they hold a position > n - window - rollback */
    int window, rollback;
    /* Copies one page's bytes in the backend (before a shared partial page is written). */
    void (*copy)(void *ctx, int cls, int from, int to); void *ctx;
} goss_kv_pool;
typedef struct goss_kv {
    goss_kv_pool *pool;
    int n, cap, base[GOSS_KV_CLASSES];
    int32_t *page[GOSS_KV_CLASSES];
} goss_kv;

int goss_kv_pool_open(goss_kv_pool *p, int n_full, int n_window, int window, int rollback);
void goss_kv_pool_close(goss_kv_pool *p);
/* References to a class's pages beyond the first: so many pages more there would be if nobody shared. */
uint64_t goss_kv_pool_shared(const goss_kv_pool *p, int cls);
/* Windowed pages that one sequence holds at most, when it grows by at most max_rows at a time. */
int goss_kv_window_pages(int window, int rollback, int max_rows);
int goss_kv_open(goss_kv *kv, goss_kv_pool *p, int max_positions); /* sized once; nothing allocated after */
void goss_kv_close(goss_kv *kv);
/* Pages for positions [kv.n, n), then kv.n = n; GOSS_EFULL leaves kv as it was. */
int goss_kv_extend(goss_kv *kv, int n);
/* A sequence can always go back to its longest length - rollback; further only where the pages are still
 * there. */
int goss_kv_truncate(goss_kv *kv, int n);        /* GOSS_ESTATE when windowed pages for n are gone */
int goss_kv_can_truncate(const goss_kv *kv, int n);
/* dst (empty) becomes src's first n positions, by reference; GOSS_ESTATE as truncate. */
int goss_kv_fork(goss_kv *dst, const goss_kv *src, int n);
void goss_kv_clear(goss_kv *kv);
/* kv (empty) gets pages of its own for positions [0, n), windowed ones from window_base on (a multiple of a
 * page), whose bytes the caller then fills in. GOSS_EFULL leaves it empty; GOSS_EINVAL: no sequence looks
 * like that. */
int goss_kv_restore(goss_kv *kv, int n, int window_base);
#endif
