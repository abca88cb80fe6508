/* late_source.h - a source that answers later, one read at a time, newest first; dead: with an error. */
#ifndef TESTS_LATE_SOURCE_H
#define TESTS_LATE_SOURCE_H
#include "tests/unit/unit.h"

enum { LATE_MOST = 16 };
typedef struct late {
    const char *bytes;
    goss_engine *e;
    int n, dead;
    uint64_t n_read;
    struct { uint64_t at, tag; void *to; size_t n; } asked[LATE_MOST];
} late;

static inline int late_read(void *ctx, uint64_t offset, void *dst, size_t n, uint64_t tag)
{
    late *l = ctx;
    CHECK(dst != NULL && l->n < LATE_MOST);
    l->asked[l->n].at = offset;
    l->asked[l->n].tag = tag;
    l->asked[l->n].to = dst;
    l->asked[l->n++].n = n;
    return 0;
}

static inline void answer_one(late *l)
{
    if (!l->n) return;
    l->n--;
    if (!l->dead) {
        l->n_read += l->asked[l->n].n;
        memcpy(l->asked[l->n].to, l->bytes + l->asked[l->n].at, l->asked[l->n].n);
    }
    goss_engine_read_done(l->e, l->asked[l->n].tag, l->dead ? GOSS_EIO : 0);
}
#endif
