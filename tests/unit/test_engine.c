/* test_engine.c - sessions on the reference backend: goldens one by one, sixteen at once, reuse, drafts,
 * seeds. */
#include "engine_util.h"

static const char *const MODEL = "models/demo-gptoss.gguf", *const DRAFT = "models/demo-gptoss-draft.gguf";

static goss_engine *open_engine(const char *path, int max_rows)
{
    const goss_engine_config c = {
        .model_path = path, .backend = "ref", .max_rows = max_rows, .max_kv = 2048
    };
    goss_engine *e = NULL;
    goss_error err = { 0 };
    if (goss_engine_open(&e, &c, &err)) { printf("open: %s\n", err.text); exit(1); }
    return e;
}

static int same_ids(const answer *a, const int32_t *ids, int n)
{
    if (a->n != n) return 0;
    for (int i = 0; i < n; i++)
        if (a->ids[i] != ids[i]) return 0;
    return 1;
}

static void one_by_one(const char *path, const goldens *all, int max_rows, int most)
{
    goss_engine *e = open_engine(path, max_rows);
    static answer a;
    for (int i = 0; i < all->n && i < most; i++) {
        const golden *g = &all->g[i];
        goss_session *s = NULL;
        goss_error err = { 0 };
        const goss_params p = greedy_params(g->n_greedy);
        CHECK_INT(goss_session_open(e, &s, &err), 0);
        CHECK_INT(goss_session_prompt(s, g->ids, g->n_ids, &p, &err), 0);
        CHECK_INT(run_to_end(e, s, &a), 0);
        if (!same_ids(&a, g->greedy, g->n_greedy)) {
            unit_failed++;
            printf("%s: differs from its golden (%d tokens, %d wanted)\n", g->prompt, a.n, g->n_greedy);
        } else unit_passed++;
        goss_session_close(&s);
    }
    goss_engine_close(&e);
}

/* All goldens of a file as sessions that run at once: each must come out as alone. */
static void all_at_once(const char *path, const goldens *all, int max_rows, int draft)
{
    goss_engine *e = open_engine(path, max_rows);
    static answer a[MAX_GOLDENS];
    goss_session *s[MAX_GOLDENS] = { 0 };
    goss_error err = { 0 };
    memset(a, 0, sizeof a);
    const int n = all->n < 16 ? all->n : 16;
    for (int i = 0; i < n; i++) {
        goss_params p = greedy_params(all->g[i].n_greedy);
        p.draft = draft;
        CHECK_INT(goss_session_open(e, &s[i], &err), 0);
        CHECK_INT(goss_session_prompt(s[i], all->g[i].ids, all->g[i].n_ids, &p, &err), 0);
    }
    for (int left = n; left;) {
        CHECK(goss_engine_poll(e, 100, &err) >= 0);
        left = 0;
        for (int i = 0; i < n; i++) left += !take_events(s[i], &a[i]);
    }
    for (int i = 0; i < n; i++) {
        const int same = same_ids(&a[i], all->g[i].greedy, all->g[i].n_greedy);
        if (!same) printf("%s: differs when run beside others\n", all->g[i].prompt);
        CHECK(same);
        goss_session_close(&s[i]);
    }
    goss_stats st;
    goss_engine_stats(e, &st);
    CHECK(st.n_rows > st.n_steps);
    if (draft) CHECK(st.n_accepted > 0);
    goss_engine_close(&e);
}

/* The same prompt again costs one row; a longer one only what is new; a shorter one is rewound. */
static void reuse(const goldens *all)
{
    goss_engine *e = open_engine(DRAFT, 0);
    goss_session *s = NULL;
    goss_error err = { 0 };
    static answer a, b;
    const golden *g = &all->g[0];
    const goss_params p = greedy_params(150);
    CHECK_INT(goss_session_open(e, &s, &err), 0);
    for (int again = 0; again < 2; again++) {
        CHECK_INT(goss_session_prompt(s, g->ids, g->n_ids, &p, &err), 0);
        CHECK_INT(run_to_end(e, s, again ? &b : &a), 0);
    }
    CHECK(same_ids(&b, a.ids, a.n));
    int32_t longer[1024];
    memcpy(longer, g->ids, (size_t)g->n_ids * sizeof *longer);
    memcpy(longer + g->n_ids, a.ids, (size_t)a.n * sizeof *longer);
    const int n = g->n_ids + a.n - 20;
    const goss_params short_p = greedy_params(20);
    CHECK_INT(goss_session_prompt(s, longer, n, &short_p, &err), 0);
    CHECK_INT(run_to_end(e, s, &b), 0);
    CHECK(same_ids(&b, a.ids + a.n - 20, 20));
    CHECK_INT(b.n_reused, n - 1);
    goss_session *other = NULL;
    CHECK_INT(goss_session_open(e, &other, &err), 0);
    CHECK_INT(goss_session_prompt(other, longer, n, &short_p, &err), 0);
    CHECK_INT(run_to_end(e, other, &b), 0);
    CHECK(same_ids(&b, a.ids + a.n - 20, 20));
    CHECK(b.n_reused > 0);
    goss_session_close(&s);
    goss_session_close(&other);
    CHECK_INT(goss_session_open(e, &s, &err), 0);
    CHECK_INT(goss_session_prompt(s, longer, n, &short_p, &err), 0);
    CHECK_INT(run_to_end(e, s, &b), 0);
    CHECK(same_ids(&b, a.ids + a.n - 20, 20));
    CHECK_INT(b.n_reused, n - 1);
    goss_session_close(&s);
    goss_engine_close(&e);
}

/* With random numbers by position, drafting changes nothing, whatever the temperature. */
static void seeds(const goldens *all)
{
    goss_engine *e = open_engine(DRAFT, 0);
    goss_error err = { 0 };
    static answer a, b;
    for (int k = 0; k < 4; k++) {
        goss_params p = goss_params_default();
        p.temperature = k % 2 ? 1.0f : 0.5f;
        p.top_k = k == 2 ? 40 : 0;
        p.repeat_penalty = k == 3 ? 1.1f : 1.0f;
        p.seed = 1234 + (uint64_t)k;
        p.max_tokens = 120;
        p.ignore_stop = 1;
        for (int draft = 0; draft < 2; draft++) {
            goss_session *s = NULL;
            p.draft = draft;
            CHECK_INT(goss_session_open(e, &s, &err), 0);
            CHECK_INT(goss_session_prompt(s, all->g[k].ids, all->g[k].n_ids, &p, &err), 0);
            CHECK_INT(run_to_end(e, s, draft ? &b : &a), 0);
            CHECK_INT(draft ? b.stop : a.stop, GOSS_STOP_LENGTH);
            goss_session_close(&s);
        }
        CHECK(same_ids(&b, a.ids, a.n));
    }
    goss_stats st;
    goss_engine_stats(e, &st);
    CHECK(st.n_drafted > 0);
    goss_engine_close(&e);
}

/* On the CPU backend: what sessions say together, in mixed steps, they say alone. */
static void together_as_alone(const goldens *all)
{
    const goss_engine_config c = { .model_path = MODEL, .backend = "cpu", .max_kv = 1024 };
    goss_engine *e = NULL;
    goss_error err = { 0 };
    static answer alone[16], a[16];
    goss_session *s[16] = { 0 };
    const goss_params p = greedy_params(48);
    const int n = all->n < 16 ? all->n : 16;
    CHECK_INT(goss_engine_open(&e, &c, &err), 0);
    for (int i = 0; i < n; i++) {
        CHECK_INT(goss_session_open(e, &s[i], &err), 0);
        CHECK_INT(goss_session_prompt(s[i], all->g[i].ids, all->g[i].n_ids, &p, &err), 0);
        CHECK_INT(run_to_end(e, s[i], &alone[i]), 0);
        goss_session_close(&s[i]);
    }
    goss_engine_close(&e); /* nothing to reuse */
    CHECK_INT(goss_engine_open(&e, &c, &err), 0);
    memset(a, 0, sizeof a);
    int begun = 0;
    for (int left = n, poll = 0; left; poll++) {
        for (; begun < n && begun <= poll / 2; begun++) {
            CHECK_INT(goss_session_open(e, &s[begun], &err), 0);
            CHECK_INT(goss_session_prompt(s[begun], all->g[begun].ids, all->g[begun].n_ids, &p, &err), 0);
        }
        CHECK(goss_engine_poll(e, 100, &err) >= 0);
        left = n - begun;
        for (int i = 0; i < begun; i++) left += !take_events(s[i], &a[i]);
    }
    for (int i = 0; i < n; i++) {
        const int same = same_ids(&a[i], alone[i].ids, alone[i].n);
        if (!same) printf("%s: differs on the CPU when run beside others\n", all->g[i].prompt);
        CHECK(same);
        goss_session_close(&s[i]);
    }
    goss_engine_close(&e);
}

int main(void)
{
    goldens *draft = read_goldens("tests/golden/demo-gptoss-draft.golden.json");
    one_by_one(DRAFT, draft, 0, 100);
    all_at_once(DRAFT, draft, 0, 0);
    all_at_once(DRAFT, draft, 17, 0);
    all_at_once(DRAFT, draft, 0, 1);
    all_at_once(DRAFT, draft, 5, 1);
    reuse(draft);
    seeds(draft);
    goldens *gpt = read_goldens("tests/golden/demo-gptoss.golden.json");
    one_by_one(MODEL, gpt, 0, 2);
    together_as_alone(gpt);
    free(draft);
    free(gpt);
    return unit_done("engine");
}
