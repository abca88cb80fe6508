/* test_gpu_ring.c - a model shared out over ranks with a GPU each (SwiftShader does), which are threads here:
 * the same tokens as one process has on the GPU, of 1 to 4 sessions that prefill, decode, draft, follow a
 * schema and branch; and ranks on a GPU and a CPU mixed, against one on a CPU: the same best token wherever
 * its best two are more than 0.25 apart. Skipped where there is no adapter. */
#include "ring_util.h"
#include <math.h>

static const char *const DRAFT = "models/demo-gptoss-draft.gguf";
enum { SESSIONS = 5, TOKENS = 12, PROMPT = 90 };
typedef struct outcome {
    int32_t ids[SESSIONS][TOKENS];
    int n[SESSIONS], n_forked;
} outcome;

static void ranks(const char *first, const char *second)
{
    r.backends[0] = first;
    r.backends[1] = second;
}

static goss_engine *open_ring(int n, const char *split)
{
    goss_engine_config c = begin(n, DRAFT, split);
    c.max_kv = 512;
    c.max_rows = 64;
    return open_engine(&c);
}

static void close_ring(goss_engine *e)
{
    goss_engine_close(&e);
    end();
}

/* ---- tokens -------------------------------------------------------------------------------------------- */
static goss_params params_of(int i)
{
    static const goss_logit_bias bias[] = { { 40, 1.5f }, { 90, -2 } };
    goss_params p = goss_params_default();
    p.ignore_stop = 1;
    p.max_tokens = TOKENS;
    p.temperature = i ? 1 : 0;
    p.seed = (uint64_t)i;
    p.repeat_penalty = i == 1 ? 1.3f : 1;
    p.presence_penalty = i == 1 ? 0.5f : 0;
    p.bias = bias;
    p.n_bias = i == 1 ? 2 : 0;
    p.draft = i == 3;
    p.json_schema =
        i == 2 ? "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}},\"required\":[\"a\"]}"
               : NULL;
    return p;
}

static void take(goss_session *s, outcome *o, int i, int *running)
{
    goss_event ev;
    while (goss_session_event(s, &ev)) {
        if (ev.kind == GOSS_EVENT_TOKEN && ev.token >= 0 && o->n[i] < TOKENS) o->ids[i][o->n[i]++] = ev.token;
        if (ev.kind == GOSS_EVENT_DONE) (*running)--;
        if (ev.kind == GOSS_EVENT_DONE && ev.stop == GOSS_STOP_ERROR) {
            printf("session %d: %s\n", i, ev.error.text);
            CHECK(0);
        }
    }
}

/* n sessions at once, of a short prompt and of longer ones; then one that branches off the last. */
static outcome *run(goss_engine *e, int n)
{
    outcome *o = calloc(1, sizeof *o);
    goss_session *s[SESSIONS] = { 0 };
    goss_error err = { 0 };
    int running = n, rc = 0;
    int32_t ids[PROMPT];
    for (int i = 0; i < n; i++) {
        const int n_ids = 7 + i * 27;
        for (int k = 0; k < n_ids; k++) ids[k] = 10 + (i * 31 + k * 7) % 900;
        const goss_params p = params_of(i);
        CHECK_INT(goss_session_open(e, &s[i], &err), 0);
        CHECK_INT(goss_session_prompt(s[i], ids, n_ids, &p, &err), 0);
    }
    while (running > 0 && (rc = goss_engine_poll(e, 100, &err)) >= 0)
        for (int i = 0; i < n; i++) take(s[i], o, i, &running);
    const int end = goss_session_tokens(s[n - 1], ids, PROMPT), keep = end > 70 ? 70 : end - 2;
    const goss_params p = params_of(0);
    o->n_forked = goss_session_fork(s[n - 1], keep, &s[SESSIONS - 1], &err);
    CHECK_INT(goss_session_prompt(s[SESSIONS - 1], ids, keep + 1, &p, &err), 0);
    for (running = 1; running > 0 && (rc = goss_engine_poll(e, 100, &err)) >= 0;)
        take(s[SESSIONS - 1], o, SESSIONS - 1, &running);
    if (rc < 0) printf("poll: %s\n", err.text);
    CHECK(rc >= 0);
    for (int i = 0; i < SESSIONS; i++) goss_session_close(&s[i]);
    return o;
}

static void same_tokens(goss_engine *one)
{
    outcome *alone[4];
    for (int n = 1; n <= 4; n++) alone[n - 1] = run(one, n);
    CHECK_INT(alone[3]->n[3], TOKENS);
    ranks("gpu", "gpu");
    goss_engine *e = open_ring(2, "1,1");
    goss_model_info info;
    goss_engine_info(e, &info);
    CHECK_STR(info.backend, "gpu");
    for (int n = 1; n <= 4; n++) {
        outcome *two = run(e, n);
        for (int i = 0; i < SESSIONS; i++)
            if (memcmp(alone[n - 1]->ids[i], two->ids[i], sizeof two->ids[i]) != 0)
                printf("%d sessions: session %d differs\n", n, i);
        CHECK(!memcmp(alone[n - 1], two, sizeof *two));
        free(two);
        free(alone[n - 1]);
    }
    close_ring(e);
}

/* ---- logits -------------------------------------------------------------------------------------------- */
/* The first golden: its prompt and answer. */
static int golden_ids(int32_t *ids)
{
    goldens *all = read_goldens("tests/golden/demo-gptoss-draft.golden.json");
    const golden *g = &all->g[0];
    memcpy(ids, g->ids, sizeof *ids * (size_t)g->n_ids);
    memcpy(ids + g->n_ids, g->greedy, sizeof *ids * (size_t)g->n_greedy);
    const int n = g->n_ids + g->n_greedy;
    free(all);
    return n;
}

static int best(const float *l, int n)
{
    int at = 0;
    for (int i = 1; i < n; i++)
        if (l[i] > l[at]) at = i;
    return at;
}

static double gap(const float *l, int n)
{
    const int first = best(l, n);
    double second = -1e30;
    for (int i = 0; i < n; i++)
        if (i != first && (double)l[i] > second) second = (double)l[i];
    return (double)l[first] - second;
}

static float *logits_of(goss_engine *e, const int32_t *ids, int n, int chunk, int n_vocab)
{
    goss_error err = { 0 };
    float *l = calloc((size_t)n * (size_t)n_vocab, sizeof *l);
    if (goss_eval(e, ids, n, chunk, 1, l, &err)) printf("eval: %s\n", err.text);
    return l;
}

static void mixed(void)
{
    static const char *const kinds[][2] = { { "gpu", "cpu" }, { "cpu", "gpu" } };
    int32_t ids[1280];
    const int n = golden_ids(ids);
    ranks("cpu", NULL);
    goss_engine *e = open_ring(1, NULL);
    goss_model_info info;
    goss_engine_info(e, &info);
    const int n_vocab = info.n_vocab;
    float *right = logits_of(e, ids, n, 16, n_vocab);
    close_ring(e);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        ranks(kinds[i][0], kinds[i][1]);
        e = open_ring(2, "1,1");
        float *got = logits_of(e, ids, n, i ? 64 : 16, n_vocab); /* as prompts decode, as they prefill */
        int far = 0, wrong = 0;
        for (int k = 0; k < n; k++) {
            const float *a = right + (size_t)k * (size_t)n_vocab, *b = got + (size_t)k * (size_t)n_vocab;
            if (gap(a, n_vocab) <= 0.25) continue;
            far++;
            wrong += best(a, n_vocab) != best(b, n_vocab);
        }
        CHECK(far > 20);
        CHECK_INT(wrong, 0);
        free(got);
        float state[4096];
        goss_error err = { 0 };
        CHECK_INT(goss_embed(e, ids, n, GOSS_POOL_LAST, state, &err), 0);
        close_ring(e);
    }
    free(right);
}

int main(void)
{
    const goss_engine_config config = { .backend = "gpu", .webgpu_path = getenv("GOSSAMER_WEBGPU") };
    double bytes_ms = 0;
    int own = 0;
    goss_error err = { 0 };
    if (goss_gpu_speed(&config, &bytes_ms, &own, &err)) {
        printf("SKIP a ring of GPUs: %s\ntest_gpu_ring: 0 passed, 0 failed, 1 skipped\n", err.text);
        return 0;
    }
    CHECK(bytes_ms > 1000);
    ranks("gpu", NULL);
    goss_engine *one = open_ring(1, NULL);
    same_tokens(one);
    goss_engine_close(&one);
    mixed();
    return unit_done("test_gpu_ring");
}
