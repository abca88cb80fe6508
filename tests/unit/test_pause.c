/* test_pause.c - a prompt's step on the CPU stands aside for others: their tokens come first, and everybody's
 * are those of an engine that has seen nothing else. While it is paused its session is cancelled, closed and
 * forked, its prompt is asked again, texts are evaluated, a stage fails, the KV is too small, the engine is
 * closed. Slices last no time here (tiny), so a step is paused after each task of the thread that owns it. */
#include "base/error.h"
#include "base/os.h"
#include "engine/engine_state.h"
#include "engine/session.h"
#include "engine_util.h"

static const char *const DRAFT = "models/demo-gptoss-draft.gguf";

/* The levels that are left out, of the engines that are opened. Only on the others do kernels for few rows
 * and for many have the same bits, so that which of them a prompt's end behind a reused prefix goes through,
 * or logits do, changes nothing. */
static const char *without;
#define SAME_BITS "amx,avx512vnni"

static goss_engine *open_engine(int max_kv, uint64_t kv_cap)
{
    const goss_engine_config c = { .model_path = DRAFT, .backend = "cpu", .max_kv = max_kv, .max_sessions = 6,
                                   .kv_cap = kv_cap, .n_threads = 2, .cpu_mask = without };
    goss_engine *e = NULL;
    goss_error err = { 0 };
    if (goss_engine_open(&e, &c, &err)) { printf("open: %s\n", err.text); exit(1); }
    return e;
}

static int tiny(goss_engine *e)
{
    goss_error err = { 0 };
    e->pace.step_ms[1] = 1e-6;
    const int rc = goss_engine_poll(e, 100, &err);
    if (rc < 0) printf("poll: %s\n", err.text);
    CHECK(rc >= 0);
    return rc;
}

static int pages_used(const goss_engine *e)
{
    int n = 0;
    for (int c = 0; c < GOSS_KV_CLASSES; c++) n += e->pool.n_pages[c] - e->pool.n_free[c];
    return n;
}

/* Ids of ordinary tokens; those of two seeds have nothing in common. */
static void make_ids(int32_t *ids, int n, uint32_t seed)
{
    for (int i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        ids[i] = (int32_t)((seed >> 8) % 900);
    }
}

static goss_session *ask(goss_engine *e, const int32_t *ids, int n, int n_new, uint64_t seed)
{
    goss_session *s = NULL;
    goss_error err = { 0 };
    goss_params p = greedy_params(n_new);
    p.ignore_stop = 1;
    p.temperature = seed ? 1 : 0;
    p.seed = seed;
    p.draft = seed == 2;
    CHECK_INT(goss_session_open(e, &s, &err), 0);
    if (goss_session_prompt(s, ids, n, &p, &err)) printf("prompt: %s\n", err.text);
    CHECK(s->seq.active);
    return s;
}

static void finish(goss_engine *e, goss_session *s, answer *a)
{
    while (!take_events(s, a)) tiny(e);
}

/* What an engine answers that has seen nothing and pauses nothing. */
static void cold(const int32_t *ids, int n, int n_new, uint64_t seed, answer *a)
{
    goss_engine *e = open_engine(2048, 0);
    goss_session *s = ask(e, ids, n, n_new, seed);
    e->pace.step_ms[1] = 1e6;
    run_to_end(e, s, a);
    CHECK_INT((int)e->stats.n_paused, 0);
    goss_session_close(&s);
    goss_engine_close(&e);
}

static void same_answer(const answer *a, const answer *b)
{
    CHECK_INT(a->n, b->n);
    CHECK(a->n > 0 && !memcmp(a->ids, b->ids, (size_t)a->n * sizeof *a->ids));
}

enum { LONG = 900, SHORT = 40, NEW = 12 };
static int32_t ids[LONG + 64], shorts[4][SHORT];
static answer whole, others[4];

static void prepare(void)
{
    make_ids(ids, LONG + 64, 1);
    cold(ids, LONG, NEW, 0, &whole);
    for (int i = 0; i < 4; i++) {
        make_ids(shorts[i], SHORT, 100 + (uint32_t)i);
        cold(shorts[i], SHORT, NEW, (uint64_t)i, &others[i]);
    }
}

/* An engine with a long prompt whose step is paused. */
static goss_session *begin_long(goss_engine *e)
{
    goss_session *s = ask(e, ids, LONG, NEW, 0);
    tiny(e);
    CHECK(e->flights.is_paused && s->seq.n_inflight == 1 && s->seq.kv.n == 0);
    return s;
}

/* ---- who comes first ----------------------------------------------------------------------------------- */
static void test_first(void)
{
    static answer a, b;
    goss_engine *e = open_engine(2048, 0);
    goss_session *s = begin_long(e), *f[4];
    memset(&a, 0, sizeof a);
    for (int i = 0; i < 4; i++) {
        memset(&b, 0, sizeof b);
        f[i] = ask(e, shorts[i], SHORT, NEW, (uint64_t)i);
        finish(e, f[i], &b);
        CHECK(e->flights.is_paused && s->seq.kv.n == 0);
        same_answer(&b, &others[i]);
    }
    CHECK(e->stats.n_paused > 0);
    finish(e, s, &a);
    same_answer(&a, &whole);
    CHECK(!e->flights.is_paused);
    while (tiny(e) > 0) { }
    for (int i = 0; i < 4; i++) goss_session_close(&f[i]);
    goss_session_close(&s);
    goss_engine_close(&e);
}

/* ---- what is recorded ---------------------------------------------------------------------------------- */
static double *column_at(const char *head, const char *data, const char *name)
{
    const char *found = strstr(head, name), *at = found ? strstr(found, "\"at\":") : NULL;
    return at ? (double *)(void *)(uintptr_t)(data + strtoul(at + 5, NULL, 10)) : NULL;
}

/* No step ends behind the time at which it is handed out. */
static int check_block(void *n_steps, const void *bytes, size_t n, uint32_t first, uint32_t n_tokens)
{
    (void)first, (void)n_tokens;
    uint32_t size[2];
    memcpy(size, (const char *)bytes + 8, sizeof size);
    CHECK(16 + size[0] + size[1] == n);
    char *head = malloc(size[0] + 1);
    memcpy(head, (const char *)bytes + 16, size[0]);
    head[size[0]] = 0;
    const char *data = (const char *)bytes + 16 + size[0];
    const double *ms = column_at(head, data, "\"step_ms\"");
    const float *took = (const float *)(const void *)column_at(head, data, "\"step_took\"");
    const char *shape = ms ? strstr(strstr(head, "\"step_ms\""), "\"shape\":[") : NULL;
    for (unsigned long i = 0; shape && i < strtoul(shape + 9, NULL, 10); i++, ++*(int *)n_steps)
        CHECK(ms[i] + (double)took[i] <= goss_os_now_ms() + 0.1);
    free(head);
    return 0;
}

static void test_recorded(void)
{
    static answer a, b;
    int n_steps = 0;
    goss_engine *e = open_engine(2048, 0);
    const goss_record_config c = { .block = check_block, .ctx = &n_steps, .block_tokens = 1 };
    CHECK_INT(goss_engine_record(e, &c, NULL), 0);
    goss_session *s = begin_long(e), *f = ask(e, shorts[0], SHORT, NEW, 0);
    finish(e, f, &b);
    finish(e, s, &a);
    CHECK(e->stats.n_paused > 0);
    CHECK_INT(goss_engine_record(e, NULL, NULL), 0);
    CHECK(n_steps > NEW);
    goss_session_close(&f);
    goss_session_close(&s);
    goss_engine_close(&e);
}

/* ---- shares -------------------------------------------------------------------------------------------- */
/* Prompts keep coming: the paused step has its share of the turns, and ends. */
static void test_share(void)
{
    static answer a, b;
    static int32_t next[SHORT];
    goss_engine *e = open_engine(2048, 0);
    goss_session *s = begin_long(e), *f = NULL;
    uint32_t n = 1000;
    memset(&a, 0, sizeof a);
    for (int polls = 0; s->seq.kv.n == 0 && polls < 200000; polls++) {
        if (!f) {
            make_ids(next, SHORT, n++);
            f = ask(e, next, SHORT, 1, 0);
            memset(&b, 0, sizeof b);
        }
        tiny(e);
        if (take_events(f, &b)) goss_session_close(&f);
    }
    CHECK(s->seq.kv.n >= 512);
    goss_session_close(&f);
    finish(e, s, &a);
    same_answer(&a, &whole);
    goss_session_close(&s);
    goss_engine_close(&e);
}

/* ---- what happens meanwhile ---------------------------------------------------------------------------- */
/* Cancelled, or closed: nothing of it is left, not a page, and its session takes another prompt. */
static void test_gone(int closed)
{
    static answer a;
    goss_engine *e = open_engine(2048, 0);
    goss_session *f = ask(e, shorts[0], SHORT, NEW, 0);
    goss_error err = { 0 };
    memset(&a, 0, sizeof a);
    finish(e, f, &a);
    while (tiny(e) > 0) { }
    const int pages = pages_used(e);
    goss_session *s = begin_long(e);
    CHECK(pages_used(e) > pages);
    if (closed) goss_session_close(&s);
    else goss_session_cancel(s);
    while (tiny(e) > 0) { }
    CHECK(!e->flights.is_paused);
    CHECK_INT(pages_used(e), pages);
    if (!closed) {
        memset(&a, 0, sizeof a);
        CHECK(take_events(s, &a));
        CHECK_INT(a.stop, GOSS_STOP_CANCELED);
        CHECK_INT(goss_session_tokens(s, NULL, 0), 0);
        goss_params p = greedy_params(NEW);
        p.ignore_stop = 1;
        CHECK_INT(goss_session_prompt(s, ids, LONG, &p, &err), 0);
    } else s = ask(e, ids, LONG, NEW, 0);
    memset(&a, 0, sizeof a);
    finish(e, s, &a);
    CHECK_INT(a.n_reused, 0);
    same_answer(&a, &whole);
    goss_session_close(&s);
    goss_session_close(&f);
    goss_engine_close(&e);
}

/* Cancelled and asked again at once, before the engine is polled. */
static void test_asked_again(void)
{
    static answer a;
    goss_engine *e = open_engine(2048, 0);
    goss_session *s = begin_long(e), *f = ask(e, ids, LONG, NEW, 0), *g = ask(e, ids, LONG - 300, NEW, 0);
    CHECK(f->join->waits && g->join->waits);       /* what is being computed is not there yet */
    CHECK_INT(f->seq.kv.n, 0);
    goss_session_cancel(s);
    memset(&a, 0, sizeof a);
    finish(e, f, &a);
    same_answer(&a, &whole);
    memset(&a, 0, sizeof a);
    finish(e, g, &a);
    CHECK_INT(a.n, NEW);
    goss_session_close(&f);
    goss_session_close(&g);
    goss_session_close(&s);
    goss_engine_close(&e);
}

/* A fork has what is computed: nothing of the paused rows. */
static void test_fork(void)
{
    static answer a;
    goss_engine *e = open_engine(2048, 0);
    goss_session *s = begin_long(e), *f = NULL;
    goss_error err = { 0 };
    while (!s->seq.kv.n || !e->flights.is_paused) tiny(e);
    const int held = goss_session_tokens(s, NULL, 0);
    CHECK_INT(held, s->seq.kv.n);
    CHECK(held > 0 && held < LONG);
    CHECK_INT(goss_session_fork(s, held + 1, &f, &err), GOSS_EINVAL);
    CHECK_INT(goss_session_fork(s, -1, &f, &err), held);
    goss_params p = greedy_params(NEW);
    p.ignore_stop = 1;
    CHECK_INT(goss_session_prompt(f, ids, LONG, &p, &err), 0);
    memset(&a, 0, sizeof a);
    finish(e, s, &a);
    same_answer(&a, &whole);
    memset(&a, 0, sizeof a);
    finish(e, f, &a);
    same_answer(&a, &whole);
    goss_session_close(&f);
    goss_session_close(&s);
    goss_engine_close(&e);
}

/* Logits and embeddings of other texts, longer than a step beside may be: how many rows of a step want logits
 * says which kernels make them. */
static void test_eval(void)
{
    enum { N = 3 * GOSS_BESIDE_ROWS + 7 };
    static answer a, right;
    static int32_t text[N];
    without = SAME_BITS;
    cold(ids, LONG, NEW, 0, &right);
    goss_engine *quiet = open_engine(2048, 0), *e = open_engine(2048, 0);
    goss_session *s = begin_long(e);
    goss_error err = { 0 };
    const size_t n_vocab = (size_t)e->loaded.model.hp.n_vocab, all = N * n_vocab;
    float *want = malloc(all * sizeof *want), *got = malloc(all * sizeof *got);
    make_ids(text, N, 77);
    for (int n = 5; n <= N; n += N - 5) {
        CHECK_INT(goss_eval(quiet, text, n, 0, 1, want, &err), 0);
        CHECK_INT(goss_eval(e, text, n, 0, 1, got, &err), 0);
        CHECK(!memcmp(got, want, (size_t)n * n_vocab * sizeof *got));
        CHECK_INT(goss_eval(e, text, n, 0, 0, got, &err), 0);
        CHECK(!memcmp(got, want + (size_t)(n - 1) * n_vocab, n_vocab * sizeof *got));
        CHECK_INT(goss_embed(quiet, text, n, GOSS_POOL_MEAN, want, &err), 0);
        CHECK_INT(goss_embed(e, text, n, GOSS_POOL_MEAN, got, &err), 0);
        CHECK(!memcmp(got, want, (size_t)e->loaded.model.hp.n_embd * sizeof *got));
    }
    CHECK(e->flights.is_paused);
    memset(&a, 0, sizeof a);
    finish(e, s, &a);
    same_answer(&a, &right);
    free(want);
    free(got);
    goss_session_close(&s);
    goss_engine_close(&quiet);
    goss_engine_close(&e);
    without = NULL;
}

static goss_backend_vt breaking;
static int broken_attend(goss_backend *b, goss_step *s, int layer)
{
    (void)b; (void)s; (void)layer;
    return GOSS_EIO;
}

/* A stage of the paused step fails: its prompt ends with the error, the others go on. */
static void test_failure(void)
{
    static answer a;
    goss_engine *e = open_engine(2048, 0);
    const int pages = pages_used(e);
    const goss_backend_vt *own = e->loaded.backend->vt;
    goss_session *s = begin_long(e);
    breaking = *own;
    breaking.attend = broken_attend;
    e->loaded.backend->vt = &breaking;
    memset(&a, 0, sizeof a);
    finish(e, s, &a);
    CHECK_INT(a.stop, GOSS_STOP_ERROR);
    CHECK_INT(a.error.code, GOSS_EIO);
    CHECK(!e->flights.is_paused);
    CHECK_INT(pages_used(e), pages);
    e->loaded.backend->vt = own;
    goss_session *f = ask(e, ids, LONG, NEW, 0);
    memset(&a, 0, sizeof a);
    finish(e, f, &a);
    same_answer(&a, &whole);
    goss_session_close(&f);
    goss_session_close(&s);
    goss_engine_close(&e);
}

/* Closed with a step that is paused, its session closed or not. */
static void test_end(void)
{
    for (int i = 0; i < 2; i++) {
        const uint64_t live = goss_mem_get_stats().n_live;
        goss_engine *e = open_engine(2048, 0);
        goss_session *s = begin_long(e);
        if (i) goss_session_close(&s);
        goss_engine_close(&e);
        CHECK_INT(goss_mem_get_stats().n_live, live);
    }
}

/* ---- at random ----------------------------------------------------------------------------------------- */
static uint32_t random_state = 7;
static uint32_t any(uint32_t n)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % n;
}

/* Prompts of all lengths that share beginnings, cancelled and closed at random, on as much KV as is given:
 * every answer that comes to its end is the one of an engine of its own. Of a prompt that was cancelled any
 * length may be reused, so its end may be of few rows or of many. */
static void test_random(uint64_t kv_cap)
{
    enum { SLOTS = 5, KINDS = 8 };
    static const int lengths[KINDS] = { 17, 33, 70, 200, 420, 700, LONG, 5 };
    static answer want[KINDS], a[SLOTS];
    static int32_t texts[KINDS][LONG];
    goss_session *s[SLOTS] = { 0 };
    int kind[SLOTS] = { 0 }, ended = 0, full = 0;
    without = SAME_BITS;
    for (int k = 0; k < KINDS; k++) {
        make_ids(texts[k], lengths[k], k % 2 ? 1 : 10 + (uint32_t)k);
        cold(texts[k], lengths[k], NEW, (uint64_t)(k % 3), &want[k]);
    }
    goss_engine *e = open_engine(1024, kv_cap);
    const int rounds = unit_small() ? 3000 : 30000;
    for (int round = 0; round < rounds; round++) {
        const uint32_t i = any(SLOTS);
        if (!s[i] && !any(20)) {
            kind[i] = (int)any(KINDS);
            s[i] = ask(e, texts[kind[i]], lengths[kind[i]], NEW, (uint64_t)(kind[i] % 3));
            memset(&a[i], 0, sizeof a[i]);
        } else if (s[i] && !any(400)) goss_session_cancel(s[i]);
        else if (s[i] && !any(800)) goss_session_close(&s[i]);
        tiny(e);
        for (int k = 0; k < SLOTS; k++) {
            if (!s[k] || !take_events(s[k], &a[k])) continue;
            full += a[k].stop == GOSS_STOP_ERROR;
            CHECK(a[k].stop != GOSS_STOP_ERROR || a[k].error.code == GOSS_EFULL);
            if (a[k].stop == GOSS_STOP_LENGTH) { same_answer(&a[k], &want[kind[k]]); ended++; }
            goss_session_close(&s[k]);
        }
    }
    printf("# %llu KB: %d ended, %d without room, %llu pauses\n", (unsigned long long)(kv_cap >> 10), ended,
           full, (unsigned long long)e->stats.n_paused);
    CHECK(ended > (unit_small() ? 0 : 10) && e->stats.n_paused > 0);
    for (int k = 0; k < SLOTS; k++) goss_session_close(&s[k]);
    goss_engine_close(&e);
    without = NULL;
}

int main(void)
{
    prepare();
    test_first();
    test_recorded();
    test_share();
    test_gone(0);
    test_gone(1);
    test_asked_again();
    test_fork();
    test_eval();
    test_failure();
    test_end();
    test_random(0);
    test_random((uint64_t)600 << 10);
    return unit_done("pause");
}
