/* pool.h - a pool from within: thread.c hands out the tasks, a crew (crew_posix.c, crew_wasm.c) has the
 * threads, and puts them to sleep and wakes them. */
#ifndef GOSS_BASE_POOL_H
#define GOSS_BASE_POOL_H
#include <stdatomic.h>
#include <stdint.h>

/* ticket: job number << 32 | tasks left; of the job are fn to n_tasks, and n_done of its tasks. */
struct goss_pool {
    _Alignas(64) _Atomic uint64_t ticket;
    _Alignas(64) _Atomic int n_done;
    _Alignas(64) _Atomic(void (*)(void *ctx, int task, int thread)) fn;
    _Atomic(void *) ctx;
    _Atomic int n_tasks;
    _Atomic int n_sleeping, owner_sleeps, quit;
    int n_threads, spins;
    uint32_t job;
    struct goss_crew *crew;
};

/* For a worker: tasks, or the end. */
static inline int goss_pool_has_work(const struct goss_pool *p)
{
    return (uint32_t)atomic_load(&p->ticket) > 0 || atomic_load(&p->quit);
}

/* For the owner: all tasks of its job. */
static inline int goss_pool_is_done(const struct goss_pool *p)
{
    return atomic_load(&p->n_done) == atomic_load(&p->n_tasks);
}

/* Starts n_threads - 1 workers, or as many as there are, each of which works until p->quit; sets n_threads,
 * spins and crew. 0 or GOSS_ENOMEM; then it is closed like any other. */
int goss_crew_open(struct goss_pool *p, int n_threads, void (*work)(struct goss_pool *p, int thread));
void goss_crew_close(struct goss_pool *p);       /* quit is set; returns when no worker is in the pool */
void goss_crew_pause(void);                      /* between two looks of one that spins */
void goss_crew_lend(const struct goss_pool *p, int thread); /* before a task: sleeps while its core is lent */
/* A worker sleeps while goss_pool_has_work() says no, counted in n_sleeping; the owner while
 * goss_pool_is_done() does, with owner_sleeps set. Both say so before they look for the last time. */
void goss_crew_sleep(struct goss_pool *p);
void goss_crew_owner_sleep(struct goss_pool *p);
void goss_crew_wake(struct goss_pool *p, int n); /* so many workers */
void goss_crew_owner_wake(struct goss_pool *p);
#endif
