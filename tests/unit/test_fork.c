/* test_fork.c - branches share what they have in common: goss_session_fork at any point, answers that begin
 * together, prompts that wait for one being computed. What is shared is counted in pages; what comes out is
 * what a session that shared nothing gives.
 *     test_fork [gpu]    (else cpu) */
#include "engine/engine_state.h"
#include "engine/session.h"
#include "engine/trace_last.h"
#include "engine_util.h"
#include <math.h>

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
        sprintf(text + strlen(text),
                "Crow number %d listened to the wind above the forest and counted clouds. ", i);
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
    CHECK(s->seq.active);
}

static void same_answer(const answer *a, const answer *b)
{
    CHECK_INT(a->n, b->n);
    CHECK(a->n > 0 && !memcmp(a->ids, b->ids, (size_t)a->n * sizeof *a->ids));
}

/* What ids are answered with by an engine that knows nothing: one engine for all of them, which forgets. */
static goss_engine *forgetful;
static const answer *cold(const int32_t *ids, int n, int n_new, uint64_t seed)
{
    static answer a;
    goss_session *s = NULL;
    if (!forgetful) forgetful = open_engine(512);
    CHECK_INT(goss_session_open(forgetful, &s, NULL), 0);
    prompt(s, ids, n, n_new, seed);
    run_to_end(forgetful, s, &a);
    CHECK_INT(a.n_reused, 0);
    goss_session_close(&s);
    idle(forgetful);
    goss_cache_clear(&forgetful->prefixes.cache);
    CHECK_INT(pages_used(forgetful), 0);
    return &a;
}

/* ---- forks --------------------------------------------------------------------------------------------- */
/* A branch at the tip, one a few tokens back, and one far behind the window, whose windowed pages are
 * gone. */
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
        for (int i = 0; i * GOSS_KV_PAGE < at; i++) CHECK_INT(f->seq.kv.page[0][i], s->seq.kv.page[0][i]);
        const int m = long_prompt(e, 0, " Then another crow said", other + at, 1024 - at) + at;
        prompt(f, other, m, 12, 0);
        CHECK_INT(f->turn.n_reused, at);
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

/* ---- prompts that come together ------------------------------------------------------------------------ */
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
    const int n = long_prompt(e, 12, "The crow", ids, 1024),
              m = long_prompt(e, 12, "A raven said", other, 1024);
    CHECK_INT(goss_session_open(e, &s, &err), 0);
    CHECK_INT(goss_session_open(e, &f, &err), 0);
    CHECK_INT(goss_session_open(e, &g, &err), 0);
    prompt(s, ids, n, 8, 0);
    for (int i = 0; i < 4; i++) CHECK(goss_engine_poll(e, 100, &err) >= 0);
    prompt(f, other, m, 8, 0);
    prompt(g, other, m, 8, 0);
    CHECK(f->join->waits && f->join->wanted_slot == s->slot && g->join->waits);
    CHECK(goss_engine_poll(e, 0, &err) > 0);
    if (how == 0) goss_session_cancel(s);
    if (how == 1) goss_session_close(&s);
    if (how == 2) s->events.n = GOSS_EVENTS - 1;           /* as if nobody had read them */
    if (how == 3) goss_session_close(&f);                  /* one in the middle of a chain */
    if (f) run_to_end(e, f, &a);
    run_to_end(e, g, &b);
    if (f) same_answer(&a, &b);
    if (f) CHECK(a.n_reused > 0);
    same_answer(&b, cold(other, m, 8, 0));
    if (how == 2) s->events.n = 0;
    goss_session_close(&f);
    goss_session_close(&g);
    goss_session_close(&s);
    goss_engine_close(&e);
}

/* ---- answers that go on -------------------------------------------------------------------------------- */
static void go_on(goss_engine *e, const int32_t *ids, int n, int echo, answer *a)
{
    goss_session *s = NULL;
    goss_params p = greedy_params(80);
    p.chat = 1;
    p.echo = echo;
    CHECK_INT(goss_session_open(e, &s, NULL), 0);
    CHECK_INT(goss_session_prompt(s, ids, n, &p, NULL), 0);
    run_to_end(e, s, a);
    goss_session_close(&s);
}

/* Cut behind any of its tokens an answer goes on, and tells what it has said: the same text, message by
 * message, and the same end. */
static void resumed(void)
{
    static const char chat[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"Which month comes after "
                               "June?\"}],\"date\":\"2025-06-28\"}";
    static int32_t ids[1024];
    static answer whole, part;
    goss_engine *e = open_engine(64);
    const int n = goss_chat_render(e, chat, sizeof chat - 1, ids, 512, NULL);
    CHECK(n > 0 && n < 512);
    go_on(e, ids, n, 0, &whole);
    CHECK(whole.n > 8 && whole.n < 80 && whole.stop == GOSS_STOP_EOS);
    memcpy(ids + n, whole.ids, (size_t)whole.n * sizeof *ids);
    for (int cut = 1; cut <= whole.n; cut++) {
        go_on(e, ids, n + cut, n, &part);
        CHECK(part.n_text == whole.n_text && !memcmp(part.text, whole.text, (size_t)whole.n_text));
        CHECK_INT(part.n, whole.n - cut);
        CHECK_INT(part.stop, GOSS_STOP_EOS);
    }
    go_on(e, ids, n + 4, 0, &part);
    CHECK(part.n_text <= whole.n_text && part.n == whole.n - 4);
    goss_engine_close(&e);
}

/* ---- what is looked at --------------------------------------------------------------------------------- */
static void count_rows(void *ctx, const char *stage, int layer, const float *values, int n_rows, int width)
{
    (void)layer, (void)values, (void)width;
    if (!strcmp(stage, "embed")) *(int *)ctx += n_rows;
}

/* The lens and the attention of all heads; what a session holds is not computed again for a look at it. */
static void looks(void)
{
    enum { LAYERS = 64 };
    static int32_t ids[1024];
    static goss_lens_row cold_rows[LAYERS], rows[LAYERS];
    static float each[64 * 1024], mean[1024];
    static answer a;
    goss_engine *e = open_engine(64);
    goss_session *s = NULL;
    const int n = long_prompt(e, 3, "Then", ids, 1024);
    int seen = 0;
    CHECK_INT(goss_trace_last(e, ids, n - 1, count_rows, &seen, NULL), 0);
    CHECK_INT(seen, n - 1);
    seen = 0;
    CHECK_INT(goss_trace_last(e, ids, n, count_rows, &seen, NULL), 0);
    CHECK_INT(seen, 1);
    const int n_rows = goss_lens(e, ids, n, rows, LAYERS, NULL);
    goss_engine *other = open_engine(64);
    CHECK_INT(goss_lens(other, ids, n, cold_rows, LAYERS, NULL), n_rows);
    goss_engine_close(&other);
    for (int i = 0; i < n_rows; i++) {
        CHECK_INT(rows[i].top[0].token, cold_rows[i].top[0].token);
        CHECK(fabsf(rows[i].kl - cold_rows[i].kl) < 0.02f);
    }
    CHECK_INT(goss_session_open(e, &s, NULL), 0);
    prompt(s, ids, n, 4, 0);
    run_to_end(e, s, &a);
    CHECK_INT(a.ids[0], rows[n_rows - 1].top[0].token);
    goss_model_info info;
    goss_engine_info(e, &info);
    CHECK_INT(goss_attention(e, ids, n, 1, GOSS_HEADS_EACH, each, NULL), 0);
    CHECK_INT(goss_attention(e, ids, n, 1, GOSS_HEADS_MEAN, mean, NULL), 0);
    for (int i = 0; i < n; i++) {
        float sum = 0;
        for (int h = 0; h < info.n_head; h++) sum += each[h * n + i];
        CHECK(fabsf(sum / (float)info.n_head - mean[i]) < 1e-5f);
    }
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
    if (argc < 2) resumed();
    if (argc < 2) looks();
    goss_engine_close(&forgetful);
    return unit_done("fork");
}
