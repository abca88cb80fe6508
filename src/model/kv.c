/* kv.c - page bookkeeping of kv.h.
 *
 * Invariants, for every kv and class (tests/unit/test_kv.c checks them after every operation):
 *   1. pages [base / PAGE, ceil(n / PAGE)) are there (>= 0), all others are -1;
 *   2. refs[page] is the number of kvs that name the page; it is on the free list exactly when that is 0;
 *   3. base[FULL] = 0; base[WINDOW] is a multiple of PAGE, and at most max(0, n - window - rollback + 1) after
 * extend. A page is written only at positions >= n of a kv that extends, so sharing is safe until the page
 * that holds position n itself (the partial one) is extended: extend copies it first when somebody else names
 * it too. */
#include "kv.h"
#include "base/mem.h"
#include <string.h>

static int pages_for(int n)
{
    return (n + GOSS_KV_PAGE - 1) / GOSS_KV_PAGE;
}

int goss_kv_window_pages(int window, int rollback, int max_rows)
{
    return window ? pages_for(window + rollback + max_rows) + 1 : 0;
}

/* ---- pool ---- */
int goss_kv_pool_open(goss_kv_pool *p, int n_full, int n_window, int window, int rollback)
{
    memset(p, 0, sizeof *p);
    p->n_pages[GOSS_KV_FULL] = n_full;
    p->n_pages[GOSS_KV_WINDOW] = n_window;
    p->window = window;
    p->rollback = rollback;
    for (int c = 0; c < GOSS_KV_CLASSES; c++) {
        const int n = p->n_pages[c];
        if (!n) continue;
        p->refs[c] = goss_mem_array((size_t)n, sizeof(int32_t));
        p->free_list[c] = goss_mem_array((size_t)n, sizeof(int32_t));
        if (!p->refs[c] || !p->free_list[c]) {
            goss_kv_pool_close(p);
            return GOSS_ENOMEM;
        }
        for (int i = 0; i < n; i++) p->free_list[c][i] = n - 1 - i; /* page 0 goes first */
        p->n_free[c] = n;
    }
    return 0;
}

void goss_kv_pool_close(goss_kv_pool *p)
{
    for (int c = 0; c < GOSS_KV_CLASSES; c++) {
        goss_mem_free(p->refs[c]);
        goss_mem_free(p->free_list[c]);
    }
    memset(p, 0, sizeof *p);
}

uint64_t goss_kv_pool_shared(const goss_kv_pool *p, int cls)
{
    uint64_t n = 0;
    for (int i = 0; i < p->n_pages[cls]; i++)
        if (p->refs[cls][i] > 1) n += (uint64_t)p->refs[cls][i] - 1;
    return n;
}

static int take_page(goss_kv_pool *p, int c)
{
    const int page = p->free_list[c][--p->n_free[c]];
    p->refs[c][page] = 1;
    if (page >= p->n_touched[c]) p->n_touched[c] = page + 1;
    return page;
}

static void drop_page(goss_kv_pool *p, int c, int32_t *slot)
{
    const int page = *slot;
    *slot = -1;
    if (page >= 0 && --p->refs[c][page] == 0) p->free_list[c][p->n_free[c]++] = page;
}

static int used(const goss_kv_pool *p, int c)
{
    return c == GOSS_KV_FULL || (p->window > 0 && p->n_pages[c] > 0);
}

/* ---- one sequence ---- */
int goss_kv_open(goss_kv *kv, goss_kv_pool *p, int max_positions)
{
    const int n = pages_for(max_positions);
    memset(kv, 0, sizeof *kv);
    kv->pool = p;
    kv->cap = max_positions;
    for (int c = 0; c < GOSS_KV_CLASSES; c++) {
        kv->page[c] = goss_mem_array((size_t)n, sizeof(int32_t));
        if (!kv->page[c]) {
            goss_kv_close(kv);
            return GOSS_ENOMEM;
        }
        for (int i = 0; i < n; i++) kv->page[c][i] = -1;
    }
    return 0;
}

void goss_kv_close(goss_kv *kv)
{
    if (kv->page[GOSS_KV_FULL] && kv->page[GOSS_KV_WINDOW]) goss_kv_clear(kv);
    for (int c = 0; c < GOSS_KV_CLASSES; c++) goss_mem_free(kv->page[c]);
    memset(kv, 0, sizeof *kv);
}

/* The first position that a windowed layer may still be asked for when the sequence is n long, the rollback
 * included. */
static int window_start(const goss_kv_pool *p, int n)
{
    const int start = n - p->window - p->rollback + 1;
    return start > 0 ? start : 0;
}

/* Gives back windowed pages that lie wholly behind what n needs. */
static void release_behind(goss_kv *kv)
{
    const int c = GOSS_KV_WINDOW, keep = window_start(kv->pool, kv->n) / GOSS_KV_PAGE;
    for (int i = kv->base[c] / GOSS_KV_PAGE; i < keep; i++) drop_page(kv->pool, c, &kv->page[c][i]);
    if (kv->base[c] < keep * GOSS_KV_PAGE) kv->base[c] = keep * GOSS_KV_PAGE;
}

/* 1 when the next write goes into a page that others hold too. */
static int must_copy(const goss_kv *kv, int c)
{
    const int page = kv->n % GOSS_KV_PAGE ? kv->page[c][kv->n / GOSS_KV_PAGE] : -1;
    return page >= 0 && kv->pool->refs[c][page] > 1;
}

int goss_kv_extend(goss_kv *kv, int n)
{
    goss_kv_pool *p = kv->pool;
    const int first = pages_for(kv->n), last = pages_for(n);
    if (n > kv->cap) return GOSS_EFULL;
    if (n <= kv->n) return 0;
    if (used(p, GOSS_KV_WINDOW)) release_behind(kv);
    for (int c = 0; c < GOSS_KV_CLASSES; c++)
        if (used(p, c) && p->n_free[c] < last - first + must_copy(kv, c)) return GOSS_EFULL;
    for (int c = 0; c < GOSS_KV_CLASSES; c++) {
        if (!used(p, c)) continue;
        if (must_copy(kv, c)) {
            int32_t *slot = &kv->page[c][kv->n / GOSS_KV_PAGE];
            const int from = *slot, to = take_page(p, c);
            if (p->copy) p->copy(p->ctx, c, from, to);
            drop_page(p, c, slot);
            *slot = to;
        }
        for (int i = first; i < last; i++) kv->page[c][i] = take_page(p, c);
    }
    kv->n = n;
    return 0;
}

int goss_kv_can_truncate(const goss_kv *kv, int n)
{
    if (n < 0 || n > kv->n) return 0;
    if (!used(kv->pool, GOSS_KV_WINDOW) || n == kv->n || n == 0) return 1;
    const int first_seen = n - kv->pool->window + 1; /* by a row at position n */
    return kv->base[GOSS_KV_WINDOW] <= (first_seen > 0 ? first_seen : 0);
}

int goss_kv_truncate(goss_kv *kv, int n)
{
    if (!goss_kv_can_truncate(kv, n)) return GOSS_ESTATE;
    for (int c = 0; c < GOSS_KV_CLASSES; c++) {
        for (int i = pages_for(n); i < pages_for(kv->n); i++) drop_page(kv->pool, c, &kv->page[c][i]);
        if (n == 0) kv->base[c] = 0;
    }
    kv->n = n;
    return 0;
}

int goss_kv_fork(goss_kv *dst, const goss_kv *src, int n)
{
    goss_kv_pool *p = src->pool;
    if (dst->n || n > dst->cap || !goss_kv_can_truncate(src, n)) return GOSS_ESTATE;
    for (int c = 0; c < GOSS_KV_CLASSES; c++) {
        const int last = used(p, c) ? pages_for(n) : 0;
        int first = src->base[c] / GOSS_KV_PAGE;
        if (c == GOSS_KV_WINDOW && window_start(p, n) / GOSS_KV_PAGE > first)
            first = window_start(p, n) / GOSS_KV_PAGE;
        dst->base[c] = last ? first * GOSS_KV_PAGE : 0;
        for (int i = first; i < last; i++) {
            dst->page[c][i] = src->page[c][i];
            p->refs[c][dst->page[c][i]]++;
        }
    }
    dst->n = n;
    return 0;
}

void goss_kv_clear(goss_kv *kv)
{
    goss_kv_truncate(kv, 0);
}

int goss_kv_restore(goss_kv *kv, int n, int window_base)
{
    goss_kv_pool *p = kv->pool;
    const int last = pages_for(n), least = n - p->window + 1;
    if (kv->n || n < 1 || n > kv->cap || window_base < 0 || window_base % GOSS_KV_PAGE ||
        (window_base > 0 && window_base > least))
        return GOSS_EINVAL;
    const int first[GOSS_KV_CLASSES] = { 0, window_base / GOSS_KV_PAGE };
    for (int c = 0; c < GOSS_KV_CLASSES; c++)
        if (used(p, c) && p->n_free[c] < last - first[c]) return GOSS_EFULL;
    for (int c = 0; c < GOSS_KV_CLASSES; c++) {
        if (!used(p, c)) continue;
        for (int i = first[c]; i < last; i++) kv->page[c][i] = take_page(p, c);
        kv->base[c] = first[c] * GOSS_KV_PAGE;
    }
    kv->n = n;
    return 0;
}
