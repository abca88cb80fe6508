/* thread.c - how a pool's tasks are handed out. Its threads are a crew's (pool.h).
 *
 * One 64-bit word, the ticket, is the whole hand-out: job number << 32 | tasks left. Taking a task is a
 * compare-and-swap that lowers it by one. A swap can only succeed while its job is open, and a job's fields
 * change only after all its tasks were done, so what a thread read between loading the ticket and swapping it
 * belongs to that job: a worker that wakes late touches nothing, and run() need not wait for it.
 *
 *   run():   set fields, n_done = 0 -> ticket = (job + 1, n) -> wake sleepers -> take tasks
 *            -> wait for n_done == n
 *   worker:  spin on the ticket -> take tasks -> n_done++ each -> nothing for `spins` looks: sleep
 *   lend:    a worker whose core is lent takes no task: the others do them (in a page alone, crew_wasm.c)
 *   until:   the owner looks at the clock after each of its tasks; when it is time it takes all tasks that
 *            are left at once and does none of them. Tasks are taken in order, so those are the last.
 *
 * Sleepers announce themselves before their last look at the ticket and run() publishes the ticket before it
 * looks for sleepers, all in the one order of sequentially consistent operations: no wake-up is lost. */
#include "mem.h"
#include "os.h"
#include "pool.h"
#include "thread.h"
#include <gossamer.h>

/* Takes all tasks that are left, to leave them undone. Returns how many. */
static int take_rest(goss_pool *p)
{
    uint64_t ticket = atomic_load(&p->ticket);
    while ((uint32_t)ticket > 0 &&
           !atomic_compare_exchange_weak(&p->ticket, &ticket, ticket - (uint32_t)ticket)) { }
    const int n = (int)(uint32_t)ticket;
    atomic_fetch_add(&p->n_done, n);
    return n;
}

/* Runs tasks of the open job until none is left to take, or it is time. Returns how many are left undone. */
static int take_tasks(goss_pool *p, int thread, double until)
{
    uint64_t ticket = atomic_load(&p->ticket);
    while ((uint32_t)ticket > 0) {
        goss_crew_lend(p, thread);
        const goss_task_fn fn = atomic_load_explicit(&p->fn, memory_order_relaxed);
        void *ctx = atomic_load_explicit(&p->ctx, memory_order_relaxed);
        const int n = atomic_load_explicit(&p->n_tasks, memory_order_relaxed);
        if (!atomic_compare_exchange_weak(&p->ticket, &ticket, ticket - 1)) continue;
        fn(ctx, n - (int)(uint32_t)ticket, thread);
        const int last = atomic_fetch_add(&p->n_done, 1) + 1 == n;
        if (last && atomic_load(&p->owner_sleeps)) goss_crew_owner_wake(p);
        if (until > 0 && goss_os_now_ms() >= until) return take_rest(p);
        ticket = atomic_load(&p->ticket);
    }
    return 0;
}

/* ---- waiting ------------------------------------------------------------------------------------------- */
static void wait_for_work(goss_pool *p)
{
    for (int i = 0; i < p->spins; i++) {
        if (goss_pool_has_work(p)) return;
        goss_crew_pause();
    }
    goss_crew_sleep(p);
}

static void wait_for_rest(goss_pool *p)
{
    for (int i = 0; i < p->spins; i++) {
        if (goss_pool_is_done(p)) return;
        goss_crew_pause();
    }
    goss_crew_owner_sleep(p);
}

/* A worker's life. */
static void work(goss_pool *p, int thread)
{
    while (!atomic_load(&p->quit)) {
        take_tasks(p, thread, 0);
        wait_for_work(p);
    }
}

/* ---- opening and closing ------------------------------------------------------------------------------- */
int goss_pool_open(goss_pool **out, int n_threads)
{
    goss_pool *p = *out = goss_mem_alloc(sizeof *p);
    const int rc = p ? goss_crew_open(p, n_threads, work) : GOSS_ENOMEM;
    if (rc) goss_pool_close(out);
    return rc;
}

void goss_pool_close(goss_pool **pool)
{
    goss_pool *p = *pool;
    if (!p) return;
    *pool = NULL;
    atomic_store(&p->quit, 1);
    goss_crew_close(p);
    goss_mem_free(p);
}

int goss_pool_threads(const goss_pool *pool) { return pool->n_threads; }

/* ---- a job --------------------------------------------------------------------------------------------- */
static int run_alone(goss_task_fn fn, void *ctx, int first, int n_tasks, double until)
{
    while (first < n_tasks) {
        fn(ctx, first++, 0);
        if (until > 0 && goss_os_now_ms() >= until) break;
    }
    return first;
}

int goss_pool_run_until(goss_pool *pool, goss_task_fn fn, void *ctx, int first, int n_tasks, double until)
{
    const int n = n_tasks - first;
    if (n <= 1 || pool->n_threads == 1) return run_alone(fn, ctx, first, n_tasks, until);
    atomic_store_explicit(&pool->fn, fn, memory_order_relaxed);
    atomic_store_explicit(&pool->ctx, ctx, memory_order_relaxed);
    atomic_store_explicit(&pool->n_tasks, n_tasks, memory_order_relaxed);
    atomic_store_explicit(&pool->n_done, first, memory_order_relaxed);
    atomic_store(&pool->ticket, (uint64_t)++pool->job << 32 | (uint32_t)n);
    const int helpers = n < pool->n_threads ? n - 1 : pool->n_threads - 1;
    if (atomic_load(&pool->n_sleeping)) goss_crew_wake(pool, helpers);
    const int undone = take_tasks(pool, 0, until);
    wait_for_rest(pool);
    return n_tasks - undone;
}

void goss_pool_run(goss_pool *pool, goss_task_fn fn, void *ctx, int n_tasks)
{
    goss_pool_run_until(pool, fn, ctx, 0, n_tasks, 0);
}
