/* bench.c - see bench.h. */
#include "bench.h"
#include <time.h>

double goss_bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

uint32_t goss_bench_random(goss_bench *b)
{
    b->random = b->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(b->random >> 33);
}

goss_bench_result *goss_bench_add(goss_bench *b, const char *kind, int length, int sessions)
{
    if (b->n_results == GOSS_BENCH_RESULTS) return NULL;
    goss_bench_result *r = &b->results[b->n_results++];
    *r = (goss_bench_result){ .kind = kind, .length = length, .sessions = sessions };
    return r;
}

int goss_bench_finish(goss_bench *b, goss_session *s, goss_event *done, int32_t *ids, int room, int *n,
                      goss_error *err)
{
    *n = 0;
    for (;;) {
        goss_event ev;
        while (goss_session_event(s, &ev)) {
            if (ev.kind == GOSS_EVENT_TOKEN) {
                b->tokens = (b->tokens ^ (uint32_t)ev.token) * 1099511628211u;
                if (ids && *n < room) ids[(*n)++] = ev.token;
            }
            if (ev.kind == GOSS_EVENT_DONE) {
                *done = ev;
                if (ev.stop == GOSS_STOP_ERROR) *err = ev.error;
                return ev.stop == GOSS_STOP_ERROR;
            }
        }
        if (goss_cli_interrupted()) goss_session_cancel(s);
        if (goss_engine_poll(b->c.engine, 100, err) < 0) return 1;
    }
}
