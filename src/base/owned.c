/* owned.c - see owned.h: a list of blocks, the newest first. Small pieces come from it, one behind another; a
 * large one gets a block of its own, behind the newest, so that this goes on. */
#include "owned.h"
#include "mem.h"
#include <string.h>

enum { BLOCK = 4096, ALIGN = 16 };
struct goss_owned {
    goss_owned *next;
    size_t used, cap;
    _Alignas(ALIGN) char bytes[];
};

void *goss_owned_take(goss_owned **list, size_t n)
{
    goss_owned *first = *list;
    if (n > SIZE_MAX / 2) return NULL;
    const size_t room = (n + ALIGN) / ALIGN * ALIGN; /* a zero behind it */
    if (!first || first->cap - first->used < room) {
        const size_t cap = room > BLOCK / 4 ? room : BLOCK;
        goss_owned *block = goss_mem_alloc(sizeof *block + cap);
        if (!block) return NULL;
        block->cap = cap;
        goss_owned **at = first && cap != BLOCK ? &first->next : list;
        block->next = *at;
        *at = first = block;
    }
    void *piece = first->bytes + first->used;
    first->used += room;
    return piece;
}

void *goss_owned_array(goss_owned **list, size_t count, size_t size)
{
    size_t n;
    return __builtin_mul_overflow(count, size, &n) ? NULL : goss_owned_take(list, n);
}

const char *goss_owned_text(goss_owned **list, const void *bytes, size_t n)
{
    char *copy = goss_owned_take(list, n);
    if (copy && n) memcpy(copy, bytes, n);
    return copy;
}

size_t goss_owned_bytes(const goss_owned *list)
{
    size_t n = 0;
    for (const goss_owned *block = list; block; block = block->next) n += block->used;
    return n;
}

void goss_owned_free(goss_owned **list)
{
    for (goss_owned *block = *list, *next; block; block = next) {
        next = block->next;
        goss_mem_free(block);
    }
    *list = NULL;
}
