/* thread_wasm.c - thread.h on web workers that share one memory.
 *
 * JavaScript starts the workers before the engine is opened: they are given what they need by messages of a
 * worker that runs no C then. Each calls goss_wasm_thread() and parks here for good. A pool claims parked
 * workers and gives them back when it closes:
 *   parked --claim--> in a pool --closing--> parked
 * Without shared memory between workers none are parked, and every pool has one thread: the caller. A run is
 * one generation: the caller publishes the job, bumps `gen`, works too, and waits until `running` is 0.
 * Waiting spins for a while (a step has hundreds of runs, microseconds apart), then sleeps in
 * memory.atomic.wait. */
#include "mem.h"
#include "os.h"
#include "thread.h"
#include <gossamer.h>
#include <stdatomic.h>

enum { MAX_THREADS = 64, SPIN = 4000 };
typedef struct word { _Alignas(64) _Atomic int v; } word;

struct goss_pool {
    word gen, next, running, sleepers;
    _Alignas(64) goss_task_fn fn;
    void *ctx;
    int n_tasks, n_threads, closing;
    word caller_sleeps;
};
static struct { word claimed; goss_pool *pool; int index; } seats[MAX_THREADS];
static _Atomic int n_seats;

__attribute__((export_name("goss_wasm_thread"))) void goss_wasm_thread(void);
__attribute__((export_name("goss_wasm_seats"))) int goss_wasm_seats(void);

/* Returns when *w is no longer `seen`; counts itself in *asleep while it sleeps. */
static void wait_change(word *w, int seen, word *asleep)
{
    for (int i = 0; i < SPIN; i++)
        if (atomic_load_explicit(&w->v, memory_order_acquire) != seen) return;
    atomic_fetch_add(&asleep->v, 1);
    while (atomic_load(&w->v) == seen) __builtin_wasm_memory_atomic_wait32((int *)&w->v, seen, -1);
    atomic_fetch_sub(&asleep->v, 1);
}

static void wake(word *w, word *asleep)
{
    if (atomic_load(&asleep->v)) __builtin_wasm_memory_atomic_notify((int *)&w->v, MAX_THREADS);
}

/* Tasks are taken in order: whoever takes all that are left, when it is time, leaves the last ones undone.
 * Returns how many. */
static int work(goss_pool *p, int thread, double until)
{
    for (int task; (task = atomic_fetch_add_explicit(&p->next.v, 1, memory_order_relaxed)) < p->n_tasks;) {
        p->fn(p->ctx, task, thread);
        if (until <= 0 || goss_os_now_ms() < until) continue;
        const int next = atomic_exchange(&p->next.v, p->n_tasks);
        return next < p->n_tasks ? p->n_tasks - next : 0;
    }
    return 0;
}

static void serve(goss_pool *p, int index)
{
    for (int seen = 0;;) {
        wait_change(&p->gen, seen, &p->sleepers);
        seen = atomic_load(&p->gen.v);
        if (p->closing) return;
        work(p, index, 0);
        if (atomic_fetch_sub(&p->running.v, 1) == 1) wake(&p->running, &p->caller_sleeps);
    }
}

void goss_wasm_thread(void)
{
    int seat = atomic_fetch_add(&n_seats, 1);
    if (seat >= MAX_THREADS) return;
    for (word never = { 0 };;) {
        wait_change(&seats[seat].claimed, 0, &never);
        serve(seats[seat].pool, seats[seat].index);
        seats[seat].pool = NULL;
        atomic_store(&seats[seat].claimed.v, 0);
    }
}

int goss_wasm_seats(void) { return atomic_load(&n_seats); } /* how many threads are parked or at work */

int goss_pool_open(goss_pool **out, int n_threads)
{
    goss_pool *p = *out = goss_mem_alloc(sizeof *p);
    if (!p) return GOSS_ENOMEM;
    int n = atomic_load(&n_seats);
    p->n_threads = 1;
    for (int i = 0; i < n && i < MAX_THREADS; i++) {
        if ((n_threads > 0 && p->n_threads >= n_threads) || atomic_load(&seats[i].claimed.v)) continue;
        seats[i].pool = p;
        seats[i].index = p->n_threads++;
        atomic_store(&seats[i].claimed.v, 1);
        __builtin_wasm_memory_atomic_notify((int *)&seats[i].claimed.v, 1);
    }
    return 0;
}

static void start(goss_pool *p)
{
    atomic_store(&p->running.v, p->n_threads - 1);
    atomic_fetch_add(&p->gen.v, 1);
    wake(&p->gen, &p->sleepers);
}

static void finish(goss_pool *p)
{
    for (int left; (left = atomic_load(&p->running.v)) != 0;)
        wait_change(&p->running, left, &p->caller_sleeps);
}

int goss_pool_run_until(goss_pool *p, goss_task_fn fn, void *ctx, int first, int n_tasks, double until)
{
    p->fn = fn, p->ctx = ctx, p->n_tasks = n_tasks;
    atomic_store(&p->next.v, first);
    int alone = p->n_threads == 1 || n_tasks - first == 1;
    if (!alone) start(p);
    const int undone = work(p, 0, until);
    if (!alone) finish(p);
    return n_tasks - undone;
}

void goss_pool_run(goss_pool *p, goss_task_fn fn, void *ctx, int n_tasks)
{
    goss_pool_run_until(p, fn, ctx, 0, n_tasks, 0);
}

void goss_pool_close(goss_pool **pool)
{
    goss_pool *p = *pool;
    if (!p) return;
    p->closing = 1;
    start(p);
    for (int i = 0; i < MAX_THREADS; i++) /* each only returns to its seat, which it then marks as free */
        while (atomic_load(&seats[i].claimed.v) && seats[i].pool == p) { }
    goss_mem_free(p);
    *pool = NULL;
}

int goss_pool_threads(const goss_pool *p) { return p->n_threads; }
