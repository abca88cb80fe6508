/* test_fork.c - branches share what they have in common: goss_session_fork at any point, answers that begin together,
 * prompts that wait for one being computed. What is shared is counted in pages; what comes out is what a session that
 * shared nothing gives.
 *     test_fork [gpu]    (else cpu) */
#include "../../src/engine/engine.h"
#include "engine_util.h"

static const char *const DRAFT = "models/demo-gptoss-draft.gguf";
static const char *backend = "cpu";

static goss_engine *open_engine(int max_rows)
{
    const goss_engine_config c = { .model_path = DRAFT, .backend = backend, .max_kv = 1024, .max_sessions = 8,
                                   .max_rows = max_rows, .webgpu_path = getenv("GOSSAMER_WEBGPU") };
    goss_engine *e = NULL;
    goss_error err = { 0 };
    int rc = goss_engine_open(&e, &c, &err);
    while (rc >= 0 && goss_engine_state(e) == GOSS_ENGINE_LOADING) rc = goss_engine_poll(e, 100, &err);
    if (rc < 0) { printf("open: %s\n", err.text); exit(1); }
    return e;
}

static void idle(goss_engine *e)
{
    goss_error err;
    while (goss_engine_poll(e, 100, &err) > 0) { }
}

static int pages_used(const goss_engine *e)
{
    int n = 0;
    for (int c = 0; c < GOSS_KV_CLASSES; c++) n += e->pool.n_pages[c] - e->pool.n_free[c];
    return n;
}

/* A long prompt of raw text: about 20 tokens a line. */
static int long_prompt(const goss_engine *e, int lines, const char *end, int32_t *ids, int cap)
{
    static char text[20000];
    text[0] = 0;
    for (int i = 0; i < lines; i++)
        sprintf(text + strlen(text), "Crow number %d listened to the wind above the forest and counted clouds. ", i);
    strcat(text, end);
    const int n = goss_tokenize(e, text, strlen(text), GOSS_TOKENIZE_BOS, ids, cap);
    CHECK(n > 0 && n < cap);
    return n;
}

static void prompt(goss_session *s, const int32_t *ids, int n, int n_new, uint64_t seed)
{
    goss_error err = { 0 };
    goss_params p = greedy_params(n_new);
    p.ignore_stop = 1;
    p.temperature = seed ? 1 : 0;
    p.seed = seed;
    if (goss_session_prompt(s, ids, n, &p, &err)) printf("prompt: %s\n", err.text);
    CHECK(s->active);
}

static void same_answer(const answer *a, const answer *b)
{
    CHECK_INT(a->n, b->n);
    CHECK(a->n > 0 && !memcmp(a->ids, b->ids, (size_t)a->n * sizeof *a->ids));
}

/* What ids are answered with by an engine that has seen nothing. */
static const answer *cold(const int32_t *ids, int n, int n_new, uint64_t seed)
{
    static answer a;
    goss_engine *e = open_engine(512);
    goss_session *s = NULL;
    CHECK_INT(goss_session_open(e, &s, NULL), 0);
    prompt(s, ids, n, n_new, seed);
    run_to_end(e, s, &a);
    CHECK_INT(a.n_reused, 0);
    goss_session_close(&s);
    goss_engine_close(&e);
    return &a;
}

/* ---- forks --------------------------------------------------------------------------------------------------- */
/* A branch at the tip, one a few tokens back, and one far behind the window, whose windowed pages are gone. */
static void forks(void)
{
    static int32_t ids[1024], other[1024];
    static answer a, b;
    goss_engine *e = open_engine(64);
    goss_session *s = NULL, *f = NULL;
    goss_error err = { 0 };
    CHECK_INT(goss_session_open(e, &s, &err), 0);
    CHECK_INT(goss_session_fork(s, -1, &f, &err), 0);  /* of nothing: nothing */
    goss_session_close(&f);
    const int n = long_prompt(e, 18, "The crow", ids, 1024);
    CHECK(n > 300 && n < 900);
    prompt(s, ids, n, 20, 0);
    run_to_end(e, s, &a);
    idle(e);
    CHECK_INT(goss_session_fork(s, 10000, &f, &err), GOSS_EINVAL);
    CHECK(!f && strstr(err.text, "10000"));
    const int held = goss_session_tokens(s, other, 1024);
    CHECK(held >= n + 19 && !memcmp(other, ids, (size_t)n * sizeof *ids));
    for (int k = 0; k < 2; k++) {
        const int at = k ? held - 30 : held, before = pages_used(e);
        CHECK_INT(goss_session_fork(s, k ? at : -1, &f, &err), at);
        CHECK_INT(goss_session_tokens(f, NULL, 0), at);
        CHECK_INT(pages_used(e), before);              /* nothing is copied, nothing is taken */
        for (int i = 0; i * GOSS_KV_PAGE < at; i++) CHECK_INT(f->kv.page[0][i], s->kv.page[0][i]);
        const int m = long_prompt(e, 0, " Then another crow said", other + at, 1024 - at) + at;
        prompt(f, other, m, 12, 0);
        CHECK_INT(f->n_reused, at);
        run_to_end(e, f, &b);
        CHECK(pages_used(e) <= before + 4);            /* its own end: a page or two of each class */
        same_answer(&b, cold(other, m, 12, 0));
        goss_session_close(&f);
        idle(e);
    }
    const int shares = goss_session_fork(s, 70, &f, &err);
    CHECK(shares >= 0 && shares <= 70 && f != NULL);
    const int m = long_prompt(e, 0, " Then another crow said", other + 70, 900) + 70;
    prompt(f, other, m, 12, 0);
    run_to_end(e, f, &b);
    same_answer(&b, cold(other, m, 12, 0));
    goss_session_close(&f);
    goss_session_close(&s);
    goss_engine_close(&e);
}

/* From a session that generates, at every step of it: the branch goes on as the session does. */
static void forks_running(void)
{
    static int32_t ids[1024], more[1024];
    static answer whole, a, b;
    goss_engine *e = open_engine(64);
    goss_session *s = NULL, *f = NULL;
    goss_error err = { 0 };
    CHECK_INT(goss_session_open(e, &s, &err), 0);
    const int n = long_prompt(e, 8, "The crow", ids, 1024);
    whole = *cold(ids, n, 24, 0);
    prompt(s, ids, n, 24, 0);
    memset(&a, 0, sizeof a);
    for (int done = 0; !done;) {
        CHECK(goss_engine_poll(e, 100, &err) >= 0);
        done = take_events(s, &a);
        if (f || a.n < 6) continue;
        const int held = goss_session_tokens(s, more, 1024), shared = goss_session_fork(s, held, &f, &err);
        CHECK_INT(shared, held);
        CHECK(held >= n && held < n + 24);
        memcpy(more + n, whole.ids, 24 * sizeof *more);  /* at least the token behind what it holds */
        prompt(f, more, held + 1, n + 24 - held - 1, 0);
    }
    run_to_end(e, f, &b);
    same_answer(&a, &whole);
    CHECK(b.n > 0 && !memcmp(b.ids, whole.ids + 24 - b.n, (size_t)b.n * sizeof *b.ids));
    goss_session_close(&f);
    goss_session_close(&s);
    goss_engine_close(&e);
}

/* ---- prompts that come together ------------------------------------------------------------------------------ */
/* n answers to one prompt, asked for at once: it is computed once, each answer is what it would be alone. */
static void together(void)
{
    enum { N = 4 };
    static int32_t ids[1024];
    static answer a[N];
    goss_engine *e = open_engine(64);
    goss_session *s[N] = { 0 };
    goss_error err = { 0 };
    const int n = long_prompt(e, 12, "The crow", ids, 1024);
    for (int i = 0; i < N; i++) {
        CHECK_INT(goss_session_open(e, &s[i], &err), 0);
        prompt(s[i], ids, n, 16, i ? 100 + (uint64_t)i : 0);
    }
    for (int i = 0; i < N; i++) run_to_end(e, s[i], &a[i]);
    goss_stats st;
    goss_engine_stats(e, &st);
    CHECK((int)st.n_rows <= n + N * 18);
    CHECK_INT((int)st.n_reused_tokens, (N - 1) * (n - 1));
    for (int i = 0; i < N; i++) {
        CHECK_INT(a[i].n_reused, i ? n - 1 : 0);
        same_answer(&a[i], cold(ids, n, 16, i ? 100 + (uint64_t)i : 0));
        goss_session_close(&s[i]);
    }
    goss_engine_close(&e);
}

/* The one that computes is cancelled, closed, or nobody reads its events: the others do it themselves. */
static void left_alone(int how)
{
    static int32_t ids[1024], other[1024];
    static answer a, b;
    goss_engine *e = open_engine(16);
    goss_session *s = NULL, *f = NULL, *g = NULL;
    goss_error err = { 0 };
    const int n = long_prompt(e, 12, "The crow", ids, 1024), m = long_prompt(e, 12, "A raven said", other, 1024);
    CHECK_INT(goss_session_open(e, &s, &err), 0);
    CHECK_INT(goss_session_open(e, &f, &err), 0);
    CHECK_INT(goss_session_open(e, &g, &err), 0);
    prompt(s, ids, n, 8, 0);
    for (int i = 0; i < 4; i++) CHECK(goss_engine_poll(e, 100, &err) >= 0);
    prompt(f, other, m, 8, 0);
    prompt(g, other, m, 8, 0);
    CHECK(f->follows == s && g->follows);
    CHECK(goss_engine_poll(e, 0, &err) > 0);
    if (how == 0) goss_session_cancel(s);
    if (how == 1) goss_session_close(&s);
    if (how == 2) s->n_events = GOSS_EVENTS - 1;           /* as if nobody had read them */
    if (how == 3) goss_session_close(&f);                  /* one in the middle of a chain */
    if (f) run_to_end(e, f, &a);
    run_to_end(e, g, &b);
    if (f) same_answer(&a, &b);
    if (f) CHECK(a.n_reused > 0);
    same_answer(&b, cold(other, m, 8, 0));
    if (how == 2) s->n_events = 0;
    goss_session_close(&f);
    goss_session_close(&g);
    goss_session_close(&s);
    goss_engine_close(&e);
}

int main(int argc, char **argv)
{
    if (argc > 1) backend = argv[1];
    forks();
    forks_running();
    together();
    for (int how = 0; how < 4 && argc < 2; how++) left_alone(how);
    return unit_done("fork");
}
