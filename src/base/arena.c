/* arena.c - one block, handed out in order. What was taken before a reset is zeroed again when it is taken
 * next. */
#include "arena.h"
#include "mem.h"
#include <gossamer.h>
#include <string.h>

enum { ALIGN = 64 };

int goss_arena_open(goss_arena *a, size_t size)
{
    *a = (goss_arena){ 0 };
    a->base = goss_mem_alloc(size);
    if (!a->base)
        return GOSS_ENOMEM;
    a->size = size;
    return 0;
}

void *goss_arena_take(goss_arena *a, size_t n)
{
    const size_t start = (a->used + (ALIGN - 1)) & ~(size_t)(ALIGN - 1);
    if (n == 0 || start > a->size || n > a->size - start)
        return NULL;
    a->used = start + n;
    return memset(a->base + start, 0, n);
}

void goss_arena_reset(goss_arena *a) { a->used = 0; }

void goss_arena_close(goss_arena *a)
{
    goss_mem_free(a->base);
    *a = (goss_arena){ 0 };
}
