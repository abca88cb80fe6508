/* test_engine_storm.c - sessions that open, prompt, cancel and close at random on little KV, each answer
 * compared with the one it gives alone; sources that answer late, in pieces or not at all; a device that is
 * lost in the middle; a backend that keeps several steps in flight. */
#include "engine/engine_state.h"
#include "flight_util.h"

static const char *const DRAFT = "models/demo-gptoss-draft.gguf";
static uint64_t random_state = 20251120;

static uint32_t next_random(uint32_t n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % n;
}

static goss_engine *open_with(const goss_engine_config *c)
{
    goss_engine *e = NULL;
    goss_error err = { 0 };
    if (goss_engine_open(&e, c, &err)) { printf("open: %s\n", err.text); exit(1); }
    return e;
}

/* ---- random sessions ----------------------------------------------------------------------------------- */
enum { SLOTS = 6, ROUNDS = 400 };
typedef struct slot { goss_session *s; const golden *g; answer a; int most, cancel_after; } slot;

static int begin(goss_engine *e, slot *t, const goldens *all)
{
    goss_error err = { 0 };
    if (!t->s) CHECK_INT(goss_session_open(e, &t->s, &err), 0);
    t->g = &all->g[next_random((uint32_t)all->n)];
    t->most = 1 + (int)next_random((uint32_t)t->g->n_greedy);
    t->cancel_after = next_random(4) ? 1000 : (int)next_random(20);
    memset(&t->a, 0, sizeof t->a);
    goss_params p = greedy_params(t->most);
    p.draft = (int)next_random(2);
    const int rc = goss_session_prompt(t->s, t->g->ids, t->g->n_ids, &p, &err);
    CHECK_INT(rc, 0);
    return rc;
}

/* 1 when what came is right: a prefix of the golden, whole unless something stopped it. */
static int is_right(const slot *t)
{
    const int n = t->a.n;
    if (n > t->g->n_greedy || memcmp(t->a.ids, t->g->greedy, (size_t)n * sizeof *t->a.ids)) return 0;
    if (t->a.stop == GOSS_STOP_CANCELED) return 1;
    if (t->a.stop == GOSS_STOP_ERROR) return t->a.error.code == GOSS_EFULL;
    return n == t->most;
}

static void storm(const goldens *all, int kv_kb)
{
    const goss_engine_config c = { .model_path = DRAFT,
                                   .backend = "ref",
                                   .max_kv = 512,
                                   .max_sessions = SLOTS,
                                   .max_rows = 40,
                                   .kv_type = "f32",
                                   .kv_cap = (uint64_t)kv_kb << 10 };
    goss_engine *e = open_with(&c);
    static slot slots[SLOTS];
    memset(slots, 0, sizeof slots);
    goss_error err = { 0 };
    int finished = 0, full = 0;
    for (int round = 0; round < (unit_small() ? ROUNDS / 8 : ROUNDS); round++) {
        for (int i = 0; i < SLOTS; i++) {
            slot *t = &slots[i];
            if (!t->g) { if (!next_random(8)) begin(e, t, all); continue; }
            if (next_random(3) && take_events(t->s, &t->a)) {
                CHECK(is_right(t));
                full += t->a.stop == GOSS_STOP_ERROR;
                finished += t->a.stop == GOSS_STOP_LENGTH || t->a.stop == GOSS_STOP_EOS;
                t->g = NULL;
                if (!next_random(3)) goss_session_close(&t->s);
                continue;
            }
            if (t->a.n >= t->cancel_after) goss_session_cancel(t->s);
            if (!next_random(200)) { goss_session_close(&t->s); t->g = NULL; }
        }
        CHECK(goss_engine_poll(e, 10, &err) >= 0);
    }
    CHECK(finished > (unit_small() ? 0 : 5));
    printf("storm with %d KB: %d finished, %d without room\n", kv_kb, finished, full);
    for (int i = 0; i < SLOTS; i++) goss_session_close(&slots[i].s);
    goss_engine_close(&e);
}

/* ---- sources ------------------------------------------------------------------------------------------- */
typedef struct late {
    const char *bytes;
    size_t n;
    struct {
        uint64_t offset, tag;
        void *dst;
        size_t n;
    } queue[16];
    int n_queued, fail_at, n_reads, closed;
} late;

static int late_read(void *ctx, uint64_t offset, void *dst, size_t n, uint64_t tag)
{
    late *l = ctx;
    if (++l->n_reads == l->fail_at || offset + n > l->n || l->n_queued == 16) return GOSS_EIO;
    if (l->n_reads % 3 == 0) { memcpy(dst, l->bytes + offset, n); return 1; }
    l->queue[l->n_queued].offset = offset;
    l->queue[l->n_queued].tag = tag;
    l->queue[l->n_queued].dst = dst;
    l->queue[l->n_queued++].n = n;
    return 0;
}

static void late_close(void *ctx) { ((late *)ctx)->closed++; }

static int load_late(late *l, goss_engine **e, goss_error *err)
{
    const goss_source source = {
        .ctx = l, .name = "late", .size = l->n, .read = late_read, .close = late_close
    };
    const goss_engine_config c = { .sources = &source, .n_sources = 1, .backend = "ref", .max_kv = 256 };
    int rc = goss_engine_open(e, &c, err);
    while (!rc && goss_engine_state(*e) == GOSS_ENGINE_LOADING) {
        if (l->n_queued) { /* the newest first: out of order */
            l->n_queued--;
            memcpy(l->queue[l->n_queued].dst, l->bytes + l->queue[l->n_queued].offset,
                   l->queue[l->n_queued].n);
            goss_engine_read_done(*e, l->queue[l->n_queued].tag, 0);
        }
        rc = goss_engine_poll(*e, 0, err);
        if (rc > 0) rc = 0;
    }
    return rc;
}

static void late_sources(const goldens *all)
{
    late l = { 0 };
    char *bytes = read_all(DRAFT, &l.n);
    l.bytes = bytes;
    goss_engine *e = NULL;
    goss_session *s = NULL;
    goss_error err = { 0 };
    static answer a;
    CHECK_INT(load_late(&l, &e, &err), 0);
    const goss_params p = greedy_params(10);
    CHECK_INT(goss_session_open(e, &s, &err), 0);
    CHECK_INT(goss_session_prompt(s, all->g[0].ids, all->g[0].n_ids, &p, &err), 0);
    CHECK_INT(run_to_end(e, s, &a), 0);
    CHECK(a.n == 10 && !memcmp(a.ids, all->g[0].greedy, 10 * sizeof *a.ids));
    goss_session_close(&s);
    goss_engine_close(&e);
    CHECK_INT(l.closed, 1);
    for (int fail = 1; fail <= 2; fail++) {
        late bad = { .bytes = bytes, .n = l.n, .fail_at = fail };
        goss_engine *f = NULL;
        CHECK_INT(load_late(&bad, &f, &err), GOSS_EIO);
        goss_engine_close(&f);
        CHECK_INT(bad.closed, 1);
    }
    late cut = { .bytes = bytes, .n = 70000 };
    goss_engine *f = NULL;
    CHECK(load_late(&cut, &f, &err) < 0);
    goss_engine_close(&f);
    free(bytes);
}

/* ---- a device that is lost, or keeps several steps in flight ------------------------------------------- */
static void run_wrapped(const goldens *all, int in_flight, int lose_at, int chat)
{
    const goss_engine_config c = {
        .model_path = DRAFT, .backend = "ref", .max_kv = 512, .max_sessions = 4, .max_rows = 64
    };
    goss_engine *e = open_with(&c);
    wrap(e, in_flight, lose_at);
    goss_session *s[4] = { 0 };
    static answer a[4];
    memset(a, 0, sizeof a);
    goss_error err = { 0 };
    for (int i = 0; i < 4; i++) {
        const golden *g = &all->g[i + chat]; /* the first is not a chat */
        goss_params p = greedy_params(g->n_greedy);
        p.chat = chat;
        CHECK_INT(goss_session_open(e, &s[i], &err), 0);
        CHECK_INT(goss_session_prompt(s[i], g->ids, g->n_ids, &p, &err), 0);
    }
    for (int left = 4; left;) {
        CHECK(goss_engine_poll(e, 50, &err) >= 0);
        left = 0;
        for (int i = 0; i < 4; i++) left += !take_events(s[i], &a[i]);
    }
    for (int i = 0; i < 4; i++) {
        CHECK(a[i].n == all->g[i + chat].n_greedy &&
              !memcmp(a[i].ids, all->g[i + chat].greedy, (size_t)a[i].n * sizeof *a[i].ids));
        goss_session_close(&s[i]);
    }
    CHECK_INT(w.lost, lose_at > 0);
    while (goss_engine_poll(e, 50, &err) > 0) { }
    unwrap(e);
    goss_engine_close(&e);
}

int main(void)
{
    goldens *all = read_goldens("tests/golden/demo-gptoss-draft.golden.json");
    storm(all, 64 << 10);
    storm(all, 700);
    late_sources(all);
    if (!unit_small()) {
        run_wrapped(all, 2, 0, 0);
        run_wrapped(all, 2, 0, 1);
        run_wrapped(all, GOSS_FLIGHTS, 0, 0);
        run_wrapped(all, 1, 9, 0);
    }
    run_wrapped(all, 2, 15, 0);
    run_wrapped(all, GOSS_FLIGHTS, 15, 1);
    free(all);
    return unit_done("engine_storm");
}
