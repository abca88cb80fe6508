/* crew_posix.c - a pool's workers are POSIX threads, which sleep on condition variables. Where there are
 * fewer cores than threads nobody spins. */
#include "mem.h"
#include "os.h"
#include "pool.h"
#include <gossamer.h>
#include <pthread.h>

enum { SPINS = 4000, MAX_THREADS = 256 };

struct worker { struct goss_pool *pool; int index; pthread_t id; };
struct goss_crew {
    void (*work_on)(struct goss_pool *p, int thread);
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    int n_started, synced;
    struct worker *workers;
};

void goss_crew_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");       /* some 10 ns; a "yield" takes no time on most, nor would SPINS of it */
#endif
}

void goss_crew_lend(const struct goss_pool *p, int thread) { (void)p, (void)thread; }

static void *worker_main(void *arg)
{
    const struct worker *w = arg;
    w->pool->crew->work_on(w->pool, w->index);
    return NULL;
}

static int start_workers(struct goss_pool *p)
{
    struct goss_crew *c = p->crew;
    for (int i = 1; i < p->n_threads; i++) {
        struct worker *w = &c->workers[i];
        *w = (struct worker){ .pool = p, .index = i };
        if (pthread_create(&w->id, NULL, worker_main, w)) return GOSS_ENOMEM;
        c->n_started = i;
    }
    return 0;
}

int goss_crew_open(struct goss_pool *p, int n_threads, void (*work)(struct goss_pool *p, int thread))
{
    const int cores = goss_os_cores(), n = n_threads > 0 ? n_threads : cores;
    struct goss_crew *c = p->crew = goss_mem_alloc(sizeof *c);
    if (!c) return GOSS_ENOMEM;
    c->work_on = work;
    p->n_threads = n < MAX_THREADS ? n : MAX_THREADS;
    p->spins = p->n_threads <= cores ? SPINS : 0;
    c->workers = goss_mem_array((size_t)p->n_threads, sizeof *c->workers);
    c->synced = !pthread_mutex_init(&c->lock, NULL) && !pthread_cond_init(&c->work, NULL) &&
                !pthread_cond_init(&c->done, NULL);
    return c->workers && c->synced ? start_workers(p) : GOSS_ENOMEM;
}

void goss_crew_close(struct goss_pool *p)
{
    struct goss_crew *c = p->crew;
    if (!c) return;
    if (c->synced) {
        pthread_mutex_lock(&c->lock);
        pthread_cond_broadcast(&c->work);
        pthread_mutex_unlock(&c->lock);
        for (int i = 1; i <= c->n_started; i++) pthread_join(c->workers[i].id, NULL);
        pthread_cond_destroy(&c->work);
        pthread_cond_destroy(&c->done);
        pthread_mutex_destroy(&c->lock);
    }
    goss_mem_free(c->workers);
    goss_mem_free(c);
}

/* ---- sleeping ------------------------------------------------------------------------------------------ */
void goss_crew_sleep(struct goss_pool *p)
{
    struct goss_crew *c = p->crew;
    pthread_mutex_lock(&c->lock);
    atomic_fetch_add(&p->n_sleeping, 1);
    while (!goss_pool_has_work(p)) pthread_cond_wait(&c->work, &c->lock);
    atomic_fetch_sub(&p->n_sleeping, 1);
    pthread_mutex_unlock(&c->lock);
}

void goss_crew_wake(struct goss_pool *p, int n)
{
    struct goss_crew *c = p->crew;
    pthread_mutex_lock(&c->lock);
    for (int i = 0; i < n; i++) pthread_cond_signal(&c->work);
    pthread_mutex_unlock(&c->lock);
}

void goss_crew_owner_sleep(struct goss_pool *p)
{
    struct goss_crew *c = p->crew;
    pthread_mutex_lock(&c->lock);
    atomic_store(&p->owner_sleeps, 1);
    while (!goss_pool_is_done(p)) pthread_cond_wait(&c->done, &c->lock);
    atomic_store(&p->owner_sleeps, 0);
    pthread_mutex_unlock(&c->lock);
}

void goss_crew_owner_wake(struct goss_pool *p)
{
    struct goss_crew *c = p->crew;
    pthread_mutex_lock(&c->lock);
    pthread_cond_signal(&c->done);
    pthread_mutex_unlock(&c->lock);
}
