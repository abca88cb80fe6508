/* budget.c - see budget.h. */
#include "budget.h"
#include "base/mem.h"
#include "base/os.h"
#include <gossamer.h>

int goss_budget_late(goss_budget *b)
{
    if (b && b->until_ms > 0 && goss_os_thread_ms() > b->until_ms) b->late = 1;
    return b && b->late;
}

int goss_budget_take(goss_budget *b, uint64_t n)
{
    if (goss_budget_late(b)) return GOSS_ELIMIT;
    for (goss_budget *at = b; at; at = at->all) {
        if (atomic_fetch_add(&at->used, n) + n <= at->most || !at->most) continue;
        for (goss_budget *undo = b; undo != at; undo = undo->all) atomic_fetch_sub(&undo->used, n);
        atomic_fetch_sub(&at->used, n);
        return b->refused = at == b ? GOSS_ELIMIT : GOSS_EFULL;
    }
    return 0;
}

void goss_budget_give(goss_budget *b, uint64_t n)
{
    for (; b; b = b->all) atomic_fetch_sub(&b->used, n);
}

void *goss_budget_alloc(goss_budget *b, uint64_t n, int *failed)
{
    const int rc = goss_budget_take(b, n);
    if (rc) { *failed = rc; return NULL; }
    void *p = goss_mem_alloc((size_t)n);
    if (!p) {
        *failed = GOSS_ENOMEM;
        goss_budget_give(b, n);
    }
    return p;
}

void goss_budget_free(goss_budget *b, void *p, uint64_t n)
{
    if (!p) return;
    goss_mem_free(p);
    goss_budget_give(b, n);
}
