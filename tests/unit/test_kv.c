/* test_kv.c - KV pages: random operations on many sequences, against a model that remembers which position of
 * which history every page holds, and kv.c's invariants after every operation. */
#include "base/mem.h"
#include "model/kv.h"
#include "unit.h"
#include <stdlib.h>

enum { SEQS = 6, CAP = 1500, N_FULL = 60, N_WINDOW = 40, WINDOW = 128, ROLLBACK = 96 };

static uint32_t rng_state = 7;
static uint32_t rng(void)
{
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 17;
    rng_state ^= rng_state << 5;
    return rng_state;
}

static goss_kv_pool pool;
static goss_kv kvs[SEQS];
static int64_t history[SEQS][CAP]; /* what each position of each sequence should hold */
static int64_t bytes[GOSS_KV_CLASSES][N_FULL][GOSS_KV_PAGE];        /* what the pages hold */
static int high[SEQS]; /* the longest it was: the rollback counts from there */
static int64_t next_value = 1;
static int bad;

static void fail_at(const char *what, int seq)
{
    if (bad++ < 5) printf("sequence %d: %s\n", seq, what);
}

static void copy_page(void *ctx, int cls, int from, int to)
{
    (void)ctx;
    memcpy(bytes[cls][to], bytes[cls][from], sizeof bytes[cls][to]);
}

/* Rows at [from, n) are written, then every row reads all keys it may see. */
static void write_and_read(int s, int from, int n)
{
    goss_kv *kv = &kvs[s];
    for (int p = from; p < n; p++) {
        history[s][p] = next_value++;
        for (int c = 0; c < GOSS_KV_CLASSES; c++)
            bytes[c][kv->page[c][p / GOSS_KV_PAGE]][p % GOSS_KV_PAGE] = history[s][p];
    }
    for (int p = from; p < n; p++)
        for (int c = 0; c < GOSS_KV_CLASSES; c++)
            for (int j = c == GOSS_KV_WINDOW && p >= WINDOW ? p - WINDOW + 1 : 0; j <= p; j++) {
                const int page = kv->page[c][j / GOSS_KV_PAGE];
                if (page < 0 || bytes[c][page][j % GOSS_KV_PAGE] != history[s][j]) {
                    fail_at("a visible key is wrong", s);
                    return;
                }
            }
}

static void check_invariants(void)
{
    static int refs[GOSS_KV_CLASSES][N_FULL];
    memset(refs, 0, sizeof refs);
    for (int s = 0; s < SEQS; s++)
        for (int c = 0; c < GOSS_KV_CLASSES; c++) {
            const goss_kv *kv = &kvs[s];
            if (kv->base[c] % GOSS_KV_PAGE || (c == GOSS_KV_FULL && kv->base[c])) fail_at("base", s);
            for (int i = 0; i < (CAP + GOSS_KV_PAGE - 1) / GOSS_KV_PAGE; i++) {
                const int there = i >= kv->base[c] / GOSS_KV_PAGE && i * GOSS_KV_PAGE < kv->n;
                if (there != (kv->page[c][i] >= 0))
                    fail_at("a page is there that should not be, or the reverse", s);
                if (kv->page[c][i] >= 0) refs[c][kv->page[c][i]]++;
                for (int j = 0; there && j < GOSS_KV_PAGE && i * GOSS_KV_PAGE + j < kv->n; j++)
                    if (bytes[c][kv->page[c][i]][j] != history[s][i * GOSS_KV_PAGE + j]) {
                        fail_at("a held key is wrong", s);
                        break;
                    }
            }
        }
    for (int c = 0; c < GOSS_KV_CLASSES; c++) {
        int n_free = 0;
        for (int i = 0; i < pool.n_pages[c]; i++) {
            if (refs[c][i] != pool.refs[c][i]) fail_at("references", -1);
            n_free += refs[c][i] == 0;
            if (refs[c][i] && i >= pool.n_touched[c]) fail_at("a page that was never handed out", -1);
        }
        if (n_free != pool.n_free[c]) fail_at("free pages", -1);
        for (int i = 0; i < pool.n_free[c]; i++)
            if (pool.refs[c][pool.free_list[c][i]]) fail_at("a free page is used", -1);
    }
}

static void random_step(int *n_full_up, int *n_state)
{
    const int s = (int)(rng() % SEQS);
    goss_kv *kv = &kvs[s];
    const int before = kv->n;
    switch (rng() % 8) {
    case 0: { /* rewind */
        const int n = before ? before - (int)(rng() % (uint32_t)(rng() % 2 ? ROLLBACK : before + 1)) : 0;
        const int can = n >= 0 && goss_kv_can_truncate(kv, n), rc = goss_kv_truncate(kv, n);
        if (n >= 0 && high[s] - n <= ROLLBACK && !can)
            fail_at("rewinding within the rollback was refused", s);
        if (rc != (can ? 0 : GOSS_ESTATE)) fail_at("truncate", s);
        if (!can) (*n_state)++;
        if (kv->n != (can ? n : before)) fail_at("n after truncate", s);
        break;
    }
    case 1: { /* fork */
        const int to = (int)(rng() % SEQS), n = before ? before - (int)(rng() % (uint32_t)(before + 1)) : 0;
        if (to == s) break;
        goss_kv_clear(&kvs[to]);
        const int can = goss_kv_can_truncate(kv, n), rc = goss_kv_fork(&kvs[to], kv, n);
        if (rc != (can ? 0 : GOSS_ESTATE)) fail_at("fork", s);
        if (rc == 0) memcpy(history[to], history[s], (size_t)n * sizeof history[0][0]);
        high[to] = high[s];
        break;
    }
    case 2: if (rng() % 6 == 0) goss_kv_clear(kv); break;
    default: {
        const int n = before + 1 + (int)(rng() % (rng() % 2 ? 3 : 300)), rc = goss_kv_extend(kv, n);
        if (rc == 0) { write_and_read(s, before, n); if (n > high[s] || !before) high[s] = n; }
        else if (rc != GOSS_EFULL || kv->n != before) fail_at("extend", s);
        else (*n_full_up)++;
    }
    }
}

static void test_random(void)
{
    int full_up = 0, state = 0;
    const uint64_t live = goss_mem_get_stats().n_live;
    CHECK_INT(goss_kv_pool_open(&pool, N_FULL, N_WINDOW, WINDOW, ROLLBACK), 0);
    pool.copy = copy_page;
    for (int s = 0; s < SEQS; s++) CHECK_INT(goss_kv_open(&kvs[s], &pool, CAP), 0);
    const uint64_t allocs = goss_mem_get_stats().n_allocs;
    for (int i = 0; i < 20000 && !bad; i++) {
        random_step(&full_up, &state);
        check_invariants();
    }
    CHECK_INT(bad, 0);
    CHECK(full_up > 10); /* the operations did meet these cases */
    CHECK(state > 10);
    CHECK_INT(goss_mem_get_stats().n_allocs - allocs, 0);
    for (int s = 0; s < SEQS; s++) goss_kv_close(&kvs[s]);
    CHECK_INT(pool.n_free[GOSS_KV_FULL], N_FULL);
    CHECK_INT(pool.n_free[GOSS_KV_WINDOW], N_WINDOW);
    goss_kv_pool_close(&pool);
    CHECK_INT(goss_mem_get_stats().n_live, live);
}

/* One long sequence in chunks never needs more windowed pages than goss_kv_window_pages() says. */
static void test_window_room(void)
{
    for (int chunk = 1; chunk <= 512; chunk = chunk * 3 - 1 + (chunk == 1)) {
        goss_kv kv;
        int refused = 0;
        CHECK_INT(
            goss_kv_pool_open(&pool, 64, goss_kv_window_pages(WINDOW, ROLLBACK, chunk), WINDOW, ROLLBACK), 0);
        CHECK_INT(goss_kv_open(&kv, &pool, 4096), 0);
        for (int n = 0; n < 4096; n += chunk) refused += goss_kv_extend(&kv,
            n + chunk < 4096 ? n + chunk : 4096) != 0;
        CHECK_INT(refused, 0);
        CHECK_INT(goss_kv_extend(&kv, 4097), GOSS_EFULL);
        goss_kv_close(&kv);
        goss_kv_pool_close(&pool);
    }
}

static void test_without_window(void)
{
    goss_kv a, b;
    CHECK_INT(goss_kv_pool_open(&pool, 4, 0, 0, 16), 0);
    CHECK_INT(goss_kv_open(&a, &pool, 200), 0);
    CHECK_INT(goss_kv_open(&b, &pool, 200), 0);
    CHECK_INT(goss_kv_extend(&a, 130), 0);
    CHECK_INT(goss_kv_fork(&b, &a, 100), 0);
    CHECK_INT(pool.n_free[GOSS_KV_FULL], 1);
    CHECK_INT(goss_kv_extend(&b, 129), GOSS_EFULL); /* a copy of the partial page, and one more */
    CHECK_INT(b.n, 100);
    CHECK_INT(goss_kv_extend(&b, 128), 0);
    CHECK(a.page[0][0] == b.page[0][0] && a.page[0][1] != b.page[0][1]);
    CHECK_INT(goss_kv_fork(&b, &a, 100), GOSS_ESTATE); /* not empty */
    CHECK_INT(goss_kv_truncate(&a, 0), 0);
    CHECK_INT(pool.n_free[GOSS_KV_FULL], 2);
    goss_kv_close(&a);
    goss_kv_close(&b);
    goss_kv_pool_close(&pool);
}

/* What comes from a store takes pages of its own, or nothing. */
static void test_restore(void)
{
    goss_kv a, b;
    CHECK_INT(goss_kv_pool_open(&pool, 8, 6, WINDOW, ROLLBACK), 0);
    CHECK_INT(goss_kv_open(&a, &pool, 1000), 0);
    CHECK_INT(goss_kv_open(&b, &pool, 1000), 0);
    CHECK_INT(goss_kv_restore(&a, 300, 50), GOSS_EINVAL);   /* no page begins there */
    CHECK_INT(goss_kv_restore(&a, 300, 192), GOSS_EINVAL);  /* the next row sees position 173 */
    CHECK_INT(goss_kv_restore(&a, 0, 0), GOSS_EINVAL);
    CHECK_INT(goss_kv_restore(&a, 1001, 0), GOSS_EINVAL);
    CHECK_INT(goss_kv_restore(&a, 300, 128), 0);
    CHECK(a.n == 300 && a.base[GOSS_KV_WINDOW] == 128 && a.page[GOSS_KV_WINDOW][1] < 0 &&
        a.page[GOSS_KV_WINDOW][2] >= 0);
    CHECK_INT(pool.n_free[GOSS_KV_FULL], 3);
    CHECK_INT(pool.n_free[GOSS_KV_WINDOW], 3);
    CHECK_INT(goss_kv_restore(&a, 64, 0), GOSS_EINVAL);     /* not empty */
    CHECK_INT(goss_kv_restore(&b, 200, 0), GOSS_EFULL);
    CHECK(b.n == 0 && pool.n_free[GOSS_KV_FULL] == 3);
    CHECK_INT(goss_kv_fork(&b, &a, 299), 0);
    CHECK_INT(goss_kv_extend(&a, 320), 0);                  /* the shared partial pages are copied */
    CHECK(a.page[GOSS_KV_FULL][4] != b.page[GOSS_KV_FULL][4]);
    goss_kv_close(&a);
    goss_kv_close(&b);
    CHECK_INT(pool.n_free[GOSS_KV_FULL], 8);
    CHECK_INT(pool.n_free[GOSS_KV_WINDOW], 6);
    goss_kv_pool_close(&pool);
}

int main(void)
{
    test_restore();
    test_random();
    test_window_room();
    test_without_window();
    return unit_done("kv");
}
