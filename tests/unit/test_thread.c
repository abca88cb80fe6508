/* test_thread.c - the pool: every task runs once, in an order that starts in sequence; runs are full
 * barriers; an idle pool sleeps. */
#include "base/mem.h"
#include "base/os.h"
#include "base/thread.h"
#include "unit.h"
#include <stdint.h>
#include <time.h>
#include <unistd.h>

enum { MAX_TASKS = 1000 };
struct job { int hits[MAX_TASKS]; int by[64]; int sum[MAX_TASKS]; int bad_thread, n_threads; };

static void count(void *ctx, int task, int thread)
{
    struct job *j = ctx;
    j->hits[task]++; /* plain on purpose: a second run of the task, or a run without a barrier, is a race that
                        TSan sees */
    if (thread < 0 || thread >= j->n_threads)
        j->bad_thread = 1;
    else
        j->by[thread]++;
    for (int i = 0; i < task % 7 * 20; i++)
        j->sum[task] += i;
}

static void test_counts(int n_threads, int n_runs)
{
    goss_pool *pool;
    CHECK_INT(goss_pool_open(&pool, n_threads), 0);
    CHECK_INT(goss_pool_threads(pool), n_threads);
    static struct job j;
    j = (struct job){ .n_threads = n_threads };
    const uint64_t allocs = goss_mem_get_stats().n_allocs;
    long total = 0;
    int wrong = 0;
    for (int run = 0; run < n_runs; run++) {
        const int n = run * 31 % 97;
        for (int i = 0; i < n; i++)
            j.hits[i] = 0;
        goss_pool_run(pool, count, &j, n);
        for (int i = 0; i < n; i++)
            wrong += j.hits[i] != 1;
        total += n;
        if (run % 500 == 499)
            usleep(2000); /* long enough for the workers to fall asleep */
    }
    CHECK_INT(wrong, 0);
    CHECK_INT(j.bad_thread, 0);
    CHECK_INT(goss_mem_get_stats().n_allocs, allocs);
    long by = 0;
    for (int i = 0; i < n_threads; i++)
        by += j.by[i];
    CHECK_INT(by, total);
    goss_pool_close(&pool);
    CHECK(pool == NULL);
    goss_pool_close(&pool);
}

/* Stopped by the clock and gone on with: every task once, in order, at least one a call. */
static void test_until(int n_threads, double ahead_ms)
{
    goss_pool *pool;
    static struct job j;
    int wrong = 0, calls = 0;
    CHECK_INT(goss_pool_open(&pool, n_threads), 0);
    for (int round = 0; round < 50; round++) {
        j = (struct job){ .n_threads = n_threads };
        for (int at = 0; at < MAX_TASKS; calls++) {
            const int next =
                goss_pool_run_until(pool, count, &j, at, MAX_TASKS, goss_os_now_ms() + ahead_ms);
            CHECK(next > at && next <= MAX_TASKS);
            for (int i = 0; i < MAX_TASKS; i++) wrong += j.hits[i] != (i < next);
            at = next;
        }
    }
    CHECK_INT(wrong, 0);
    CHECK_INT(j.bad_thread, 0);
    printf("# %d threads, %.3f ms: stopped %d times in 50 runs\n", n_threads, ahead_ms, calls - 50);
    if (ahead_ms <= 0) CHECK(calls > 50);
    CHECK_INT(goss_pool_run_until(pool, count, &j, MAX_TASKS, MAX_TASKS, 0), MAX_TASKS);
    goss_pool_close(&pool);
}

static void test_idle(void)
{
    goss_pool *pool;
    static struct job j;
    j.n_threads = 4;
    CHECK_INT(goss_pool_open(&pool, 4), 0);
    goss_pool_run(pool, count, &j, 100);
    usleep(20000);
    const clock_t before = clock();
    usleep(200000);
    CHECK((double)(clock() - before) / CLOCKS_PER_SEC < 0.02);
    goss_pool_close(&pool);
}

static void test_no_memory(void)
{
    goss_pool *pool;
    for (int n = 1; n <= 2; n++) {
        const uint64_t live = goss_mem_get_stats().n_live;
        goss_mem_fail_at((uint64_t)n);
        CHECK(goss_pool_open(&pool, 3) != 0);
        CHECK(pool == NULL);
        CHECK_INT(goss_mem_get_stats().n_live, live);
    }
}

int main(void)
{
    test_counts(1, 300);
    test_counts(2, 5000);
    test_counts(3, 5000);
    test_counts(8, 2000);
    for (int n = 1; n <= 4; n++) {
        test_until(n, -1);
        test_until(n, 0.02);
    }
    test_idle();
    test_no_memory();
    return unit_done("thread");
}
