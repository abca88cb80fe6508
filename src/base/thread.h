/* thread.h - a fixed pool for data-parallel loops. Workers spin briefly, then sleep; an idle pool uses no
 * CPU. On systems without threads (wasm with one thread) every call runs the work on the caller. */
#ifndef GOSS_BASE_THREAD_H
#define GOSS_BASE_THREAD_H
#include <stddef.h>
#include <stdint.h>
typedef struct goss_pool goss_pool;
/* fn(ctx, task, thread): tasks 0..n_tasks-1 are handed out in order through one atomic counter; thread is
 * 0..n_threads-1. */
typedef void (*goss_task_fn)(void *ctx, int task, int thread);
int goss_pool_open(goss_pool **out, int n_threads);  /* n_threads counts the caller; 0: one per core */
void goss_pool_close(goss_pool **pool);
int goss_pool_threads(const goss_pool *pool);
/* Runs all tasks and returns when they are done (a full barrier). Only from the thread that owns the pool.
 * No allocation. */
void goss_pool_run(goss_pool *pool, goss_task_fn fn, void *ctx, int n_tasks);
/* The same for tasks first..n_tasks-1, but from `until` on (goss_os_now_ms; 0: never) none is begun any more,
 * except that at least one is. Returns the first that was not begun: those before it are done. */
int goss_pool_run_until(goss_pool *pool, goss_task_fn fn, void *ctx, int first, int n_tasks, double until);
#endif
