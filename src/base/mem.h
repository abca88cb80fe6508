/* mem.h - the only place memory comes from. Counts every block, and can be told to fail the Nth request, so
 * that tests can make each allocation fail in turn and see that none leaks. Thread-safe. */
#ifndef GOSS_BASE_MEM_H
#define GOSS_BASE_MEM_H
#include <stddef.h>
#include <stdint.h>

/* zero-filled, 64-byte aligned; NULL when there is none or n is 0 */
void *goss_mem_alloc(size_t n);
void *goss_mem_array(size_t count, size_t size);       /* as alloc, with the product checked */
void *goss_mem_grow(void *p, size_t old_n, size_t n);  /* the new tail is zero; p stays valid on failure */
void goss_mem_free(void *p);                           /* NULL is fine */
/* Zero pages straight from the system, given back untouched pages free of cost (natively): for KV and other
 * big reserves. */
void *goss_mem_reserve(size_t n);
void goss_mem_release(void *p, size_t n);

typedef struct goss_mem_stats { uint64_t n_allocs, n_live, bytes_live, bytes_peak; } goss_mem_stats;
goss_mem_stats goss_mem_get_stats(void);
void goss_mem_reset_peak(void);                        /* bytes_peak = bytes_live */
void goss_mem_fail_at(uint64_t n);                     /* the Nth request from now fails once; 0: never */
#endif
