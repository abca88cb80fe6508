/* thread.c - the pool on POSIX threads.
 *
 * One 64-bit word, the ticket, is the whole hand-out: job number << 32 | tasks left. Taking a task is a
 * compare-and-swap that lowers it by one. A swap can only succeed while its job is open, and a job's fields
 * change only after all its tasks were done, so what a thread read between loading the ticket and swapping it
 * belongs to that job: a worker that wakes late touches nothing, and run() need not wait for it.
 *
 *   run():   set fields, n_done = 0 -> ticket = (job + 1, n) -> wake sleepers -> take tasks
 *            -> wait for n_done == n
 *   worker:  spin on the ticket -> take tasks -> n_done++ each -> nothing for SPINS looks: sleep
 *   until:   the owner looks at the clock after each of its tasks; when it is time it takes all tasks that
 *            are left at once and does none of them. Tasks are taken in order, so those are the last.
 *
 * Sleepers announce themselves before their last look at the ticket and run() publishes the ticket before it
 * looks for sleepers, all in the one order of sequentially consistent operations: no wake-up is lost. Where
 * there are fewer cores than threads nobody spins. */
#include "thread.h"
#include "mem.h"
#include "os.h"
#include <gossamer.h>
#include <pthread.h>
#include <stdatomic.h>

enum { SPINS = 4000, MAX_THREADS = 256 };

struct worker { goss_pool *pool; int index; pthread_t id; };
struct goss_pool {
    _Alignas(64) _Atomic uint64_t ticket;
    _Alignas(64) _Atomic int n_done;
    _Alignas(64) _Atomic(goss_task_fn) fn;
    _Atomic(void *) ctx;
    _Atomic int n_tasks;
    _Atomic int n_sleeping, owner_sleeps, quit;
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    int n_threads, n_started, spins, synced;
    uint32_t job;
    struct worker *workers;
};

static void pause_a_little(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

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
        const goss_task_fn fn = atomic_load_explicit(&p->fn, memory_order_relaxed);
        void *ctx = atomic_load_explicit(&p->ctx, memory_order_relaxed);
        const int n = atomic_load_explicit(&p->n_tasks, memory_order_relaxed);
        if (!atomic_compare_exchange_weak(&p->ticket, &ticket, ticket - 1))
            continue;
        fn(ctx, n - (int)(uint32_t)ticket, thread);
        if (atomic_fetch_add(&p->n_done, 1) + 1 == n && atomic_load(&p->owner_sleeps)) {
            pthread_mutex_lock(&p->lock);
            pthread_cond_signal(&p->done);
            pthread_mutex_unlock(&p->lock);
        }
        if (until > 0 && goss_os_now_ms() >= until) return take_rest(p);
        ticket = atomic_load(&p->ticket);
    }
    return 0;
}

static int work_there(goss_pool *p) { return (uint32_t)atomic_load(&p->ticket) > 0 || atomic_load(&p->quit); }

static void wait_for_work(goss_pool *p)
{
    for (int i = 0; i < p->spins; i++) {
        if (work_there(p))
            return;
        pause_a_little();
    }
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->n_sleeping, 1);
    while (!work_there(p))
        pthread_cond_wait(&p->work, &p->lock);
    atomic_fetch_sub(&p->n_sleeping, 1);
    pthread_mutex_unlock(&p->lock);
}

static void *worker_main(void *arg)
{
    const struct worker *w = arg;
    goss_pool *p = w->pool;
    while (!atomic_load(&p->quit)) {
        take_tasks(p, w->index, 0);
        wait_for_work(p);
    }
    return NULL;
}

static int start_workers(goss_pool *p)
{
    for (int i = 1; i < p->n_threads; i++) {
        struct worker *w = &p->workers[i];
        *w = (struct worker){ .pool = p, .index = i };
        if (pthread_create(&w->id, NULL, worker_main, w))
            return GOSS_ENOMEM;
        p->n_started = i;
    }
    return 0;
}

int goss_pool_open(goss_pool **out, int n_threads)
{
    const int cores = goss_os_cores();
    if (n_threads <= 0)
        n_threads = cores;
    if (n_threads > MAX_THREADS)
        n_threads = MAX_THREADS;
    *out = NULL;
    goss_pool *p = goss_mem_alloc(sizeof *p);
    if (!p)
        return GOSS_ENOMEM;
    p->n_threads = n_threads;
    p->spins = n_threads <= cores ? SPINS : 0;
    p->workers = goss_mem_array((size_t)n_threads, sizeof *p->workers);
    p->synced = !pthread_mutex_init(&p->lock, NULL) && !pthread_cond_init(&p->work, NULL) &&
                !pthread_cond_init(&p->done, NULL);
    if (!p->workers || !p->synced || start_workers(p)) {
        goss_pool_close(&p);
        return GOSS_ENOMEM;
    }
    *out = p;
    return 0;
}

void goss_pool_close(goss_pool **pool)
{
    goss_pool *p = *pool;
    if (!p)
        return;
    *pool = NULL;
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->quit, 1);
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    for (int i = 1; i <= p->n_started; i++)
        pthread_join(p->workers[i].id, NULL);
    pthread_cond_destroy(&p->work);
    pthread_cond_destroy(&p->done);
    pthread_mutex_destroy(&p->lock);
    goss_mem_free(p->workers);
    goss_mem_free(p);
}

int goss_pool_threads(const goss_pool *pool) { return pool->n_threads; }

static void wake(goss_pool *p, int n)
{
    if (atomic_load(&p->n_sleeping) == 0)
        return;
    pthread_mutex_lock(&p->lock);
    for (int i = 0; i < n; i++)
        pthread_cond_signal(&p->work);
    pthread_mutex_unlock(&p->lock);
}

static void wait_for_rest(goss_pool *p, int n_tasks)
{
    for (int i = 0; i < p->spins; i++) {
        if (atomic_load(&p->n_done) == n_tasks)
            return;
        pause_a_little();
    }
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->owner_sleeps, 1);
    while (atomic_load(&p->n_done) != n_tasks)
        pthread_cond_wait(&p->done, &p->lock);
    atomic_store(&p->owner_sleeps, 0);
    pthread_mutex_unlock(&p->lock);
}

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
    wake(pool, n - 1 < pool->n_threads - 1 ? n - 1 : pool->n_threads - 1);
    const int undone = take_tasks(pool, 0, until);
    wait_for_rest(pool, n_tasks);
    return n_tasks - undone;
}

void goss_pool_run(goss_pool *pool, goss_task_fn fn, void *ctx, int n_tasks)
{
    goss_pool_run_until(pool, fn, ctx, 0, n_tasks, 0);
}
