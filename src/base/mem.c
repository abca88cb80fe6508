/* mem.c - the heap with counters and fault injection.
 *
 *   raw ... [ struct head, within the 64 bytes before ] [ the caller's n bytes, 64-byte aligned ]
 *
 * The bytes come zeroed from goss_os_heap_get (calloc natively), so big blocks cost no page until they are
 * touched. Counters are relaxed atomics: each is exact, a set of them read at once is not a snapshot of other
 * threads' middle. */
#include "mem.h"
#include "os.h"
#include <stdatomic.h>
#include <string.h>

enum { ALIGN = 64 };
struct head { void *raw; size_t n; };

static _Atomic uint64_t n_allocs, n_live, bytes_live, bytes_peak;
static _Atomic uint64_t fail_in; /* requests until one fails; 0: none will */

void goss_mem_fail_at(uint64_t n) { atomic_store(&fail_in, n); }

static int told_to_fail(void)
{
    uint64_t left = atomic_load_explicit(&fail_in, memory_order_relaxed);
    while (left > 0)
        if (atomic_compare_exchange_weak(&fail_in, &left, left - 1))
            return left == 1;
    return 0;
}

static void count_in(size_t n)
{
    atomic_fetch_add_explicit(&n_allocs, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&n_live, 1, memory_order_relaxed);
    const uint64_t live = atomic_fetch_add_explicit(&bytes_live, n, memory_order_relaxed) + n;
    uint64_t peak = atomic_load_explicit(&bytes_peak, memory_order_relaxed);
    while (live > peak && !atomic_compare_exchange_weak(&bytes_peak, &peak, live))
        ;
}

static void count_out(size_t n)
{
    atomic_fetch_sub_explicit(&n_live, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&bytes_live, n, memory_order_relaxed);
}

static struct head *head_of(void *p) { return (struct head *)(void *)((uint8_t *)p - sizeof(struct head)); }

void *goss_mem_alloc(size_t n)
{
    if (n == 0 || n > PTRDIFF_MAX - 2 * (size_t)ALIGN || told_to_fail())
        return NULL;
    uint8_t *raw = goss_os_heap_get(n + sizeof(struct head) + ALIGN);
    if (!raw)
        return NULL;
    const size_t skip = sizeof(struct head) + (ALIGN - 1);
    uint8_t *p = raw + (skip - ((uintptr_t)raw + skip) % ALIGN);
    *head_of(p) = (struct head){ raw, n };
    count_in(n);
    return p;
}

void *goss_mem_array(size_t count, size_t size)
{
    size_t n;
    if (__builtin_mul_overflow(count, size, &n))
        return NULL;
    return goss_mem_alloc(n);
}

void *goss_mem_grow(void *p, size_t old_n, size_t n)
{
    void *q = goss_mem_alloc(n);
    if (q && p) {
        memcpy(q, p, old_n < n ? old_n : n);
        goss_mem_free(p);
    }
    return q;
}

void goss_mem_free(void *p)
{
    if (!p)
        return;
    const struct head h = *head_of(p);
    count_out(h.n);
    goss_os_heap_put(h.raw);
}

void *goss_mem_reserve(size_t n)
{
    if (n == 0 || told_to_fail())
        return NULL;
    void *p = goss_os_reserve(n);
    if (p)
        count_in(n);
    return p;
}

void goss_mem_release(void *p, size_t n)
{
    if (!p)
        return;
    count_out(n);
    goss_os_release(p, n);
}

goss_mem_stats goss_mem_get_stats(void)
{
    return (goss_mem_stats){ .n_allocs = atomic_load(&n_allocs), .n_live = atomic_load(&n_live),
                             .bytes_live = atomic_load(&bytes_live), .bytes_peak = atomic_load(&bytes_peak) };
}

void goss_mem_reset_peak(void) { atomic_store(&bytes_peak, atomic_load(&bytes_live)); }
