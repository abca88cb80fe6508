/* crew_wasm.c - a pool's workers are web workers that share one memory.
 *
 * JavaScript starts them before the engine is opened: they are given what they need by messages of a worker
 * that runs no C then. Each calls goss_wasm_thread() and parks here for good. A pool claims parked workers
 * and gives them back when it closes:
 *   parked --claim--> in a pool --quit--> parked
 * Without shared memory between workers none are parked, and every pool has one thread: the caller.
 *
 * Who waits spins for some 50 us (a step has hundreds of jobs, microseconds apart, and waking one that sleeps
 * takes longer than most of them), then sleeps in memory.atomic.wait. */
#include "pool.h"

enum { MAX_THREADS = 64, SPINS = 64000 };
static struct seat {
    _Alignas(64) _Atomic int claimed;
    struct goss_pool *pool;
    int index;
    void (*work)(struct goss_pool *p, int thread);
} seats[MAX_THREADS];
static _Atomic int n_seats;

/* Waits are functions of their own: V8 11.3 (Node 20, Chromium 113), where its first compiler makes a loop
 * that has a wait in it, goes on behind the wait with a wrong address. */
#define ALONE static __attribute__((noinline))
ALONE void wait32(_Atomic int *word, int is)
{
    __builtin_wasm_memory_atomic_wait32((int *)word, is, -1);
}
ALONE void wait64(_Atomic uint64_t *word, uint64_t is)
{
    __builtin_wasm_memory_atomic_wait64((long long *)word, (long long)is, -1);
}
ALONE void notify(void *word, int n) { __builtin_wasm_memory_atomic_notify(word, (unsigned)n); }

__attribute__((export_name("goss_wasm_thread"))) void goss_wasm_thread(void);
__attribute__((export_name("goss_wasm_seats"))) int goss_wasm_seats(void);

void goss_wasm_thread(void)
{
    const int seat = atomic_fetch_add(&n_seats, 1);
    if (seat >= MAX_THREADS) return;
    for (;;) {
        while (!atomic_load(&seats[seat].claimed)) wait32(&seats[seat].claimed, 0);
        seats[seat].work(seats[seat].pool, seats[seat].index);
        atomic_store(&seats[seat].claimed, 0);
    }
}

int goss_wasm_seats(void) { return atomic_load(&n_seats); } /* how many threads are parked or at work */

void goss_crew_pause(void) { }

/* The last worker's core is the one that a page may have for itself while it draws, where no other is free.
 * Else the page's thread takes the core of one in the middle of a task, and all others wait for that. */
__attribute__((import_module("goss"), import_name("lend"))) void js_lend(void);
void goss_crew_lend(const struct goss_pool *p, int thread)
{
    if (thread && thread == p->n_threads - 1) js_lend();
}

int goss_crew_open(struct goss_pool *p, int n_threads, void (*work)(struct goss_pool *p, int thread))
{
    const int n = atomic_load(&n_seats);
    p->n_threads = 1;
    p->spins = SPINS;
    for (int i = 0; i < n && i < MAX_THREADS; i++) {
        if ((n_threads > 0 && p->n_threads >= n_threads) || atomic_load(&seats[i].claimed)) continue;
        struct seat *seat = &seats[i];
        seat->pool = p;
        seat->index = p->n_threads++;
        seat->work = work;
        atomic_store(&seat->claimed, 1);
        notify(&seat->claimed, 1);
    }
    return 0;
}

void goss_crew_close(struct goss_pool *p)
{
    atomic_store(&p->ticket, (uint64_t)++p->job << 32); /* another, for who is about to sleep on the last */
    goss_crew_wake(p, MAX_THREADS);
    for (int i = 0; i < MAX_THREADS; i++) /* each only returns to its seat, which it then marks as free */
        while (atomic_load(&seats[i].claimed) && seats[i].pool == p) { }
}

/* ---- sleeping ------------------------------------------------------------------------------------------ */
void goss_crew_sleep(struct goss_pool *p)
{
    atomic_fetch_add(&p->n_sleeping, 1);
    for (;;) {
        const uint64_t seen = atomic_load(&p->ticket);
        if (goss_pool_has_work(p)) break;
        wait64(&p->ticket, seen);
    }
    atomic_fetch_sub(&p->n_sleeping, 1);
}

void goss_crew_wake(struct goss_pool *p, int n) { notify(&p->ticket, n); }

void goss_crew_owner_sleep(struct goss_pool *p)
{
    atomic_store(&p->owner_sleeps, 1);
    for (;;) {
        const int seen = atomic_load(&p->n_done);
        if (goss_pool_is_done(p)) break;
        wait32(&p->n_done, seen);
    }
    atomic_store(&p->owner_sleeps, 0);
}

void goss_crew_owner_wake(struct goss_pool *p) { notify(&p->n_done, 1); }
