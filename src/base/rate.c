/* rate.c - see rate.h. The sums go to memory, so that no read is left out. */
#include "rate.h"
#include "os.h"
#include <string.h>

enum { TASKS = 64 };
typedef struct reader {
    const uint8_t *bytes;
    size_t each;
    uint64_t sum[TASKS];
} reader;

static void read_part(void *ctx, int task, int thread)
{
    reader *r = ctx;
    const uint8_t *p = r->bytes + (size_t)task * r->each;
    uint64_t a = 0, b = 0, c = 0, d = 0, v[4];
    (void)thread;
    for (size_t i = 0; i < r->each; i += sizeof v) {
        memcpy(v, p + i, sizeof v);
        a += v[0];
        b += v[1];
        c += v[2];
        d += v[3];
    }
    r->sum[task] = a + b + c + d;
}

double goss_memory_rate(goss_pool *pool, const void *bytes, size_t n, double ms)
{
    reader r = { bytes, n / TASKS / 32 * 32, { 0 } };
    double best = 0, now = goss_os_now_ms();
    for (const double until = now + ms; r.each && now < until;) {
        const double began = now;
        goss_pool_run(pool, read_part, &r, TASKS);
        now = goss_os_now_ms();
        const double rate = now > began ? (double)(r.each * TASKS) / (now - began) : 0;
        if (rate > best) best = rate;
    }
    return best;
}
