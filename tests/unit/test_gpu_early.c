/* test_gpu_early.c - tokens before the experts are there: whatever order they come in, from a source that is
 * read and from a map that is still being filled, the tokens are those of the whole file; what a step asks
 * for comes first; a source that fails, a device that is lost and a session that is closed meanwhile do no
 * harm. When all are there nothing is paged any more: then bits, and what is recorded, are those of the whole
 * file too. "packed": reads, by the kernels for packed activations. Skipped where there is no adapter
 * (SwiftShader will do). */
#include "engine/engine_state.h"
#include "gpu/device/gpu_faults.h"
#include "gpu/step/paging.h"
#include "engine_util.h"
#include "late_source.h"

static const char *const MODEL = "models/demo-gptoss.gguf";
enum { MORE = GOSS_TELEMETRY_RECORD | GOSS_TELEMETRY_SEEN | GOSS_TELEMETRY_PANELS };
enum { NEW = 8, SESSIONS = 3, BLOCK = 4096 };
static const int32_t prompt[12] = { 1201, 77, 3002, 415, 9, 2750, 1033, 640, 2211, 3580, 58, 1999 };
static const char *bytes;                              /* the whole file */
static size_t size;
static goss_buf lines;
static const char *kernels;                            /* which (gpu/kernels/choice.h); NULL: by features */

static void on_line(void *ctx, const char *json, size_t n)
{
    (void)ctx;
    goss_buf_append(&lines, json, n);
    goss_buf_append(&lines, "\n", 1);
}

static int count(const char *what)
{
    int n = 0;
    for (const char *at = goss_buf_cstr(&lines); (at = strstr(at, what)); at++) n++;
    return n;
}

static int said(const char *stage, const char *status)
{
    char what[96];
    snprintf(what, sizeof what, "\"stage\":\"%s\",\"status\":\"%s\"", stage, status);
    return count(what);
}

static goss_gpu_state *state_of(goss_engine *e) { return (goss_gpu_state *)(void *)e->loaded.backend; }

static goss_engine_config config(const goss_source *source)
{
    goss_buf_clear(&lines);
    return (goss_engine_config){ .model_path = source ? NULL : MODEL,
                                 .sources = source,
                                 .n_sources = source != NULL,
                                 .backend = "gpu",
                                 .max_kv = 256,
                                 .max_sessions = 6,
                                 .max_rows = 16,
                                 .webgpu_path = getenv("GOSSAMER_WEBGPU"),
                                 .gpu_kernels = kernels,
                                 .on_telemetry = on_line,
                                 .telemetry_mask = GOSS_TELEMETRY_LOAD | GOSS_TELEMETRY_STAGES | MORE };
}

/* ---- a map that is still being filled ------------------------------------------------------------------ */
typedef struct partial { uint8_t *map, *there; uint64_t n_there, n_needed, next; int calls, step; } partial;

static void bring(partial *p, uint64_t block)
{
    const uint64_t at = block * BLOCK, n = size - at < BLOCK ? size - at : BLOCK;
    if (p->there[block]) return;
    memcpy(p->map + at, bytes + at, n);
    p->there[block] = 1;
    p->n_there += n;
}

static int partial_need(void *ctx, const goss_range *r, int n)
{
    partial *p = ctx;
    p->calls++;
    for (int i = 0; i < n; i++) {
        p->n_needed += r[i].n;
        for (uint64_t b = r[i].offset / BLOCK; b * BLOCK < r[i].offset + r[i].n; b++) bring(p, b);
    }
    return 0;
}

static int partial_have(void *ctx, const goss_range *r, int n)
{
    partial *p = ctx;
    for (int i = 0; i < n; i++)
        for (uint64_t b = r[i].offset / BLOCK; b * BLOCK < r[i].offset + r[i].n; b++)
            if (!p->there[b]) return 0;
    return 1;
}

/* Some more of the file, in leaps through it. */
static void trickle(partial *p, int n_blocks)
{
    const uint64_t all = (size + BLOCK - 1) / BLOCK;
    /* 769 is prime: all blocks in turn */
    for (int i = 0; i < n_blocks; i++, p->next++) bring(p, p->next * 769 % all);
}

/* ---- running ------------------------------------------------------------------------------------------- */
typedef struct run { late *l; partial *p; uint64_t at_first; int lose_at; } run;

static void work_of(run *r, goss_engine *e, int turn, int n_tokens)
{
    /* the link is slow beside the device: what nobody waits for does not come between two layers */
    if (r->l && (turn % 64 == 0 || goss_paging_stopped(state_of(e)))) answer_one(r->l);
    if (r->p && r->p->step) trickle(r->p, r->p->step);
    if (r->lose_at && n_tokens >= r->lose_at && goss_engine_state(e) == GOSS_ENGINE_READY) {
        goss_gpu_lose(state_of(e)->gpu);
        r->lose_at = 0;
    }
}

typedef struct made { int32_t token; float logprob; } made;

/* n sessions at once, greedy and not; to: (n, NEW). r->at_first: bytes that had come at the first token. */
static void tokens_of(goss_engine *e, int n, run *r, made to[][NEW])
{
    goss_session *s[SESSIONS] = { 0 };
    goss_error err = { 0 };
    int done = 0, got[SESSIONS] = { 0 }, all = 0;
    for (int i = 0; i < n; i++) {
        goss_params p = goss_params_default();
        p.temperature = i & 1 ? 1.0f : 0.0f;
        p.seed = (uint64_t)i;
        p.ignore_stop = 1;
        p.max_tokens = NEW;
        CHECK_INT(goss_session_open(e, &s[i], &err), 0);
        CHECK_INT(goss_session_prompt(s[i], prompt + i, n == 1 ? 1 : 5 + 2 * i, &p, &err), 0);
    }
    for (int turn = 0; done < n; turn++) {
        if (goss_engine_poll(e, 1, &err) < 0) { printf("poll: %s\n", err.text); CHECK(0); break; }
        for (int i = 0; i < n; i++) {
            goss_event ev;
            while (goss_session_event(s[i], &ev)) {
                if (ev.kind == GOSS_EVENT_TOKEN && got[i] < NEW) {
                    if (!all++) r->at_first = r->l ? r->l->n_read : r->p ? r->p->n_there : 0;
                    to[i][got[i]++] = (made){ ev.token, ev.logprob };
                }
                if (ev.kind == GOSS_EVENT_DONE) { done++; CHECK_INT(ev.stop, GOSS_STOP_LENGTH); }
            }
        }
        work_of(r, e, turn, all);
    }
    for (int i = 0; i < n; i++) goss_session_close(&s[i]);
}

static int load(goss_engine *e, run *r, goss_error *err)
{
    int rc = 0;
    while (!rc && goss_engine_state(e) == GOSS_ENGINE_LOADING) {
        rc = goss_engine_poll(e, 1, err) < 0 ? err->code : 0;
        if (r->l) answer_one(r->l);
    }
    return rc;
}

/* Until everything is there, at most a minute. */
static void fill(goss_engine *e, run *r)
{
    goss_error err = { 0 };
    const double end = goss_os_now_ms() + 60000;
    for (int turn = 0; !said("load_complete", "completed") && goss_os_now_ms() < end; turn++) {
        CHECK(goss_engine_poll(e, 1, &err) >= 0);
        work_of(r, e, turn * 64, 0);
    }
    CHECK_INT(said("load_complete", "completed"), 1);
    CHECK_INT(said("weights_fetch", "completed"), 1);
    CHECK_INT(said("experts_settled", "completed"), 1);
    CHECK(!state_of(e)->weights.slots.on);
    /* tensor_resident of three matrices in six layers */
    CHECK_INT(count("_exps.weight\",\"bytes\""), 18);
}

typedef struct expected { made one[1][NEW], many[SESSIONS][NEW]; } expected;

/* The same tokens; with exact also the same bits. */
static void compare(made x[][NEW], made got[][NEW], int n, int exact)
{
    for (int i = 0; i < n; i++)
        for (int k = 0; k < NEW; k++) {
            CHECK_INT(got[i][k].token, x[i][k].token);
            if (exact) CHECK(got[i][k].logprob == x[i][k].logprob);
        }
}

static void one_same(goss_engine *e, expected *x, run *r, int exact)
{
    made got[1][NEW];
    tokens_of(e, 1, r, got);
    compare(x->one, got, 1, exact);
}

static void same(goss_engine *e, expected *x, run *r, int exact)
{
    made got[SESSIONS][NEW];
    one_same(e, x, r, exact);
    tokens_of(e, SESSIONS, r, got);
    compare(x->many, got, SESSIONS, exact);
}

/* What was recorded of the rows of one answer. */
static void one_seen(goss_engine *e, expected *x, run *r, goss_buf *to)
{
    goss_buf_clear(&lines);
    one_same(e, x, r, 1);
    for (const char *at = goss_buf_cstr(&lines); (at = strstr(at, "\"looks\":")); at++)
        goss_buf_append(to, at, strcspn(at, "}"));
}

static uint64_t misses(const goss_engine *e)
{
    goss_stats st;
    goss_engine_stats(e, &st);
    return st.expert_misses;
}

/* ---- the tests ----------------------------------------------------------------------------------------- */
static void from_reads(expected *x, const goss_buf *seen)
{
    late l = { .bytes = bytes };
    run r = { .l = &l };
    const goss_source src = { .name = "late", .size = size, .read = late_read, .ctx = &l };
    goss_engine_config c = config(&src);
    goss_error err = { 0 };
    goss_session *s = NULL;
    c.early = 1;
    CHECK_INT(goss_engine_open(&l.e, &c, &err), 0);
    if (!l.e) return;
    CHECK_INT(load(l.e, &r, &err), 0);
    const uint64_t ready = l.n_read;
    CHECK(ready < size * 6 / 10);                      /* all but the experts */
    CHECK_INT(said("first_token_ready", "completed"), 1);
    /* what comes unasked fails: it is said, and the engine lives */
    l.dead = 1;
    for (int i = 0; i < 400 && !said("weights_fetch", "failed"); i++) {
        CHECK(goss_engine_poll(l.e, 1, &err) >= 0);
        answer_one(&l);
    }
    CHECK(said("weights_fetch", "failed") == 1 && !said("load_complete", "completed"));
    l.dead = 0;
    /* a session that is closed while it waits for experts */
    CHECK_INT(goss_session_open(l.e, &s, &err), 0);
    goss_params p = goss_params_default();
    CHECK_INT(goss_session_prompt(s, prompt + 1, 1, &p, &err), 0);
    for (int i = 0; i < 5000 && !goss_paging_stopped(state_of(l.e)); i++) goss_engine_poll(l.e, 1, &err);
    CHECK(goss_paging_stopped(state_of(l.e)));
    goss_session_close(&s);
    one_same(l.e, x, &r, !kernels);
    CHECK(r.at_first > ready && r.at_first < size * 9 / 10); /* a token's experts were read for it, not all */
    printf("read: ready at %.1f %%, first token at %.1f %%\n", 100.0 * (double)ready / (double)size,
           100.0 * (double)r.at_first / (double)size);
    CHECK_INT(said("load_complete", "completed"), 0);
    fill(l.e, &r);
    CHECK(l.n_read > size - size / 50);
    const uint64_t before = misses(l.e);
    CHECK(before > 0);
    same(l.e, x, &r, 1);
    CHECK(misses(l.e) == before && l.n_read < size + size / 20); /* all there, and nothing was read twice */
    goss_buf now = GOSS_BUF(1 << 20);
    one_seen(l.e, x, &r, &now);
    CHECK(now.len > 1000 && now.len == seen->len && !memcmp(now.data, seen->data, now.len));
    goss_buf_free(&now);
    goss_engine_close(&l.e);
}

static void from_a_map(expected *x)
{
    partial p = { .map = calloc(1, size), .there = calloc(1, size / BLOCK + 1), .step = 0 };
    run r = { .p = &p };
    const goss_source src = {
        .name = "partial", .size = size, .map = p.map, .need = partial_need, .have = partial_have, .ctx = &p
    };
    goss_engine *e = NULL;
    goss_error err = { 0 };
    const goss_range head = { 0, 140000 };
    partial_need(&p, &head, 1);
    const goss_engine_config c = config(&src);
    CHECK_INT(goss_engine_open(&e, &c, &err), 0);
    if (!e) return;
    CHECK_INT(load(e, &r, &err), 0);
    const uint64_t ready = p.n_there;
    CHECK(ready < size * 6 / 10);
    /* idle: nothing comes by itself */
    for (int i = 0; i < 20; i++) CHECK_INT(goss_engine_poll(e, 1, &err), 0);
    CHECK(p.n_there == ready && !said("load_complete", "completed"));
    one_same(e, x, &r, !kernels);
    printf("map: ready at %.1f %%, first token at %.1f %%\n", 100.0 * (double)ready / (double)size,
           100.0 * (double)r.at_first / (double)size);
    CHECK(r.at_first > ready && r.at_first < ready + (size - ready) / 2); /* 4 of 16 experts a layer */
    p.step = 12;
    r.lose_at = 3;                                     /* a device that is lost meanwhile */
    same(e, x, &r, !kernels);
    CHECK(said("device_lost", "failed") == 1 && said("device_restored", "completed") == 1);
    fill(e, &r);
    CHECK(p.n_there == size);
    const int calls = p.calls;
    same(e, x, &r, !kernels); /* with packed activations, keys that paged steps made have other bits */
    CHECK(p.calls == calls);
    goss_engine_close(&e);
    free(p.map);
    free(p.there);
}

int main(int argc, char **argv)
{
    static expected whole;
    goss_engine *e = NULL;
    goss_error err = { 0 };
    run none = { 0 };
    goss_buf seen = GOSS_BUF(1 << 20);
    lines = GOSS_BUF(1 << 26);
    if (argc > 1 && !strcmp(argv[1], "packed")) kernels = "device *\nfew mx4 256x128 bytes 16\nend\n";
    const goss_engine_config c = config(NULL);
    int rc = goss_engine_open(&e, &c, &err);
    if (!rc) rc = load(e, &none, &err);
    if (rc) { printf("SKIP no GPU: %s\n", err.text); return unit_done("test_gpu_early"); }
    bytes = read_all(MODEL, &size);
    tokens_of(e, 1, &none, whole.one);
    tokens_of(e, SESSIONS, &none, whole.many);
    CHECK_INT(said("load_complete", "completed"), 1);
    one_seen(e, &whole, &none, &seen);
    goss_engine_close(&e);
    from_reads(&whole, &seen);
    if (!kernels) from_a_map(&whole);
    goss_buf_free(&lines);
    goss_buf_free(&seen);
    return unit_done("test_gpu_early");
}
