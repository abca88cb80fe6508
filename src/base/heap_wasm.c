/* heap_wasm.c - the heap of the wasm module, what os.h asks of a system: zeroed blocks on memory.grow.
 *
 * One list of blocks in order of address, each with a 64-byte head in front of 64-byte aligned bytes:
 *   [head: size | free | previous][bytes ...][head]...
 * The first free block that is large enough is taken and split; neighbours join when freed. Blocks are few
 * (models, KV, arenas; decoding allocates nothing), so the walk is short. Thread-safe by one spin lock;
 * memory never shrinks. Memory that has just been grown is zero already; only blocks that were in use before
 * are cleared. */
#include "os.h"
#include <stdatomic.h>
#include <string.h>

enum { ALIGN = 64, PAGE = 65536 };
typedef struct block {
    _Alignas(ALIGN) size_t size; /* bytes after the head, a multiple of ALIGN */
    size_t free;
    struct block *prev;
} block;

extern unsigned char __heap_base; /* from the linker: first byte after data and stack */
static block *first, *last;
static atomic_flag lock = ATOMIC_FLAG_INIT;

static block *after(block *b)
{
    block *n = (block *)((unsigned char *)(b + 1) + b->size);
    return b == last ? NULL : n;
}

/* Appends a block of at least n bytes at the end of memory; NULL when the maximum is reached. */
static block *grow(size_t n)
{
    size_t top = __builtin_wasm_memory_size(0) * (size_t)PAGE;
    size_t start =
        last ? (size_t)(last + 1) + last->size : ((size_t)&__heap_base + ALIGN - 1) / ALIGN * ALIGN;
    if (!top) top = SIZE_MAX / PAGE * PAGE; /* 4 GB read as 0 in 32 bits */
    uint64_t need = (uint64_t)start + sizeof(block) + n;
    if (need > top) {
        uint64_t pages = (need - top + PAGE - 1) / PAGE;
        if (need > UINT32_MAX - PAGE || __builtin_wasm_memory_grow(0, (size_t)pages) == SIZE_MAX) return NULL;
    }
    block *b = (block *)start;
    *b = (block){ .size = n, .prev = last };
    if (!first) first = b;
    last = b;
    return b;
}

static void split(block *b, size_t n)
{
    if (b->size < n + sizeof(block) + ALIGN) return;
    block *rest = (block *)((unsigned char *)(b + 1) + n), *next = after(b);
    *rest = (block){ .size = b->size - n - sizeof(block), .free = 1, .prev = b };
    if (next) next->prev = rest;
    else last = rest;
    b->size = n;
}

static void join(block *b) { /* with the block after it */
    block *next = after(b);
    if (!next || !next->free) return;
    block *beyond = after(next);
    b->size += sizeof(block) + next->size;
    if (beyond) beyond->prev = b;
    else last = b;
}

void *goss_os_heap_get(size_t n)
{
    if (!n || n > UINT32_MAX - PAGE) return NULL;
    n = (n + ALIGN - 1) / ALIGN * ALIGN;
    while (atomic_flag_test_and_set(&lock)) { }
    block *b = first;
    while (b && !(b->free && b->size >= n)) b = after(b);
    const int used = b != NULL;
    if (used) split(b, n);
    else b = grow(n);
    if (b) b->free = 0;
    atomic_flag_clear(&lock);
    return used ? memset(b + 1, 0, n) : b ? b + 1 : NULL;
}

void goss_os_heap_put(void *p)
{
    if (!p) return;
    block *b = (block *)p - 1;
    while (atomic_flag_test_and_set(&lock)) { }
    b->free = 1;
    join(b);
    if (b->prev && b->prev->free) join(b->prev);
    atomic_flag_clear(&lock);
}

void *goss_os_reserve(size_t n) { return goss_os_heap_get(n); }

void goss_os_release(void *p, size_t n)
{
    (void)n;
    goss_os_heap_put(p);
}
