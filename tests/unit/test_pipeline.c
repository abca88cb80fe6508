/* test_pipeline.c - a model shared out over the ranks of a ring, which are threads here: the same tokens and
 * logits as from one, for whatever sessions do; messages that don't fit are refused; ranks that fail or are
 * lost are said, and end what runs; layers are shared out as they should be. */
#include "pipeline/split.h"
#include "ring_util.h"

static const char *const DRAFT = "models/demo-gptoss-draft.gguf", *const DEMO = "models/demo-gptoss.gguf";

/* ---- the same from any number of ranks ----------------------------------------------------------------- */
enum { SESSIONS = 16, TOKENS = 24, PROMPT = 200 };
typedef struct outcome {
    int32_t ids[SESSIONS][TOKENS];
    float logprob[SESSIONS][TOKENS];
    int n[SESSIONS], n_forked;
} outcome;

static goss_params params_of(int i)
{
    static const goss_logit_bias bias[] = { { 40, 1.5f }, { 90, -2 } };
    goss_params p = goss_params_default();
    p.ignore_stop = 1;
    p.max_tokens = TOKENS;
    p.temperature = i % 3 ? 1 : 0;
    p.seed = (uint64_t)i;
    p.top_k = i % 4 == 1 ? 20 : 0;
    p.repeat_penalty = i % 5 == 2 ? 1.2f : 1;
    p.frequency_penalty = i % 7 == 3 ? 0.4f : 0;
    p.bias = bias;
    p.n_bias = i % 2 ? 2 : 0;
    p.json_schema =
        i == 6 ? "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}},\"required\":[\"a\"]}"
               : NULL;
    p.draft = i % 6 == 4;
    return p;
}

static void take(goss_session *s, outcome *o, int i, int *running)
{
    goss_event ev;
    while (goss_session_event(s, &ev)) {
        if (ev.kind == GOSS_EVENT_TOKEN && ev.token >= 0 && o->n[i] < TOKENS) {
            o->logprob[i][o->n[i]] = ev.logprob;
            o->ids[i][o->n[i]++] = ev.token;
        }
        if (ev.kind == GOSS_EVENT_DONE) (*running)--;
        if (ev.kind == GOSS_EVENT_DONE && ev.stop == GOSS_STOP_ERROR)
            printf("session %d: %s\n", i, ev.error.text);
    }
}

/* 16 sessions at once, of prompts of many lengths; the last of them is a branch of the first. */
static outcome *run(goss_engine *e)
{
    outcome *o = calloc(1, sizeof *o);
    goss_session *s[SESSIONS] = { 0 };
    goss_error err = { 0 };
    int running = SESSIONS - 1;
    static int32_t ids[PROMPT];
    for (int i = 0; i < SESSIONS - 1; i++) {
        const int n = 3 + i * i % 190;
        for (int k = 0; k < n; k++) ids[k] = 10 + (i / 4 * 31 + k * 7) % 900; /* some begin alike */
        const goss_params p = params_of(i);
        CHECK_INT(goss_session_open(e, &s[i], &err), 0);
        CHECK_INT(goss_session_prompt(s[i], ids, n, &p, &err), 0);
    }
    while (running > 0 && goss_engine_poll(e, 100, &err) >= 0)
        for (int i = 0; i < SESSIONS - 1; i++) take(s[i], o, i, &running);
    const int last = SESSIONS - 1, from = 13;
    const goss_params p = params_of(last);
    o->n_forked = goss_session_fork(s[from], 150, &s[last], &err);
    const int n = goss_session_tokens(s[from], ids, PROMPT);
    CHECK_INT(goss_session_prompt(s[last], ids, n < 170 ? n : 170, &p, &err), 0);
    for (running = 1; running > 0 && goss_engine_poll(e, 100, &err) >= 0;) take(s[last], o, last, &running);
    for (int i = 0; i < SESSIONS; i++) goss_session_close(&s[i]);
    return o;
}

static void same_tokens(void)
{
    goss_engine_config c = begin(1, DEMO, NULL);
    goss_engine *e = open_engine(&c);
    outcome *one = run(e);
    const int n_vocab = 64;
    int32_t ids[64];
    goss_model_info info;
    goss_engine_info(e, &info);
    for (int i = 0; i < n_vocab; i++) ids[i] = 10 + i * 13 % 700;
    float *logits[2] = { calloc((size_t)info.n_vocab * 64, 4), calloc((size_t)info.n_vocab * 64, 4) };
    float *states[2] = { calloc((size_t)info.n_embd, 4), calloc((size_t)info.n_embd, 4) };
    goss_error err = { 0 };
    CHECK_INT(goss_eval(e, ids, 64, 20, 1, logits[0], &err), 0);
    CHECK_INT(goss_embed(e, ids, 64, GOSS_POOL_MEAN, states[0], &err), 0);
    goss_engine_close(&e);
    CHECK_INT(one->n[0], TOKENS);
    static const struct {
        int n;
        const char *split;
    } rings[] = { { 2, "2,4" }, { 3, "1,1,4" }, { 4, NULL }, { 6, NULL } };
    for (size_t i = 0; i < sizeof rings / sizeof *rings; i++) {
        c = begin(rings[i].n, DEMO, rings[i].split);
        e = open_engine(&c);
        outcome *many = run(e);
        CHECK(!memcmp(one, many, sizeof *one));
        free(many);
        CHECK_INT(goss_eval(e, ids, 64, 20, 1, logits[1], &err), 0);
        CHECK_INT(goss_embed(e, ids, 64, GOSS_POOL_MEAN, states[1], &err), 0);
        CHECK(!memcmp(logits[0], logits[1], (size_t)info.n_vocab * 64 * 4));
        CHECK(!memcmp(states[0], states[1], (size_t)info.n_embd * 4));
        CHECK_INT(goss_trace(e, ids, 4, 0, (goss_trace_fn)(void (*)(void))say, NULL, &err),
                  GOSS_EUNSUPPORTED);
        goss_engine_close(&e);
        e = open_engine(&c); /* the ranks take one model after the other */
        goss_engine_close(&e);
        end();
    }
    for (int i = 0; i < 2; i++) {
        free(logits[i]);
        free(states[i]);
    }
    free(one);
}

/* ---- what goes wrong ----------------------------------------------------------------------------------- */
static void refusals(void)
{
    goss_error err = { 0 };
    goss_engine *e = NULL;
    const struct {
        const char *split, *model, *backend;
        int code;
        const char *words;
    } cases[] = {
        { "1,1,1", DRAFT, "cpu", GOSS_EINVAL, "is not one number for each of 2 ranks" },
        { "0,2", DRAFT, "cpu", GOSS_EINVAL, "is not one number" },
        { "2", DRAFT, "cpu", GOSS_EINVAL, "is not one number" },
        { "1,9999999999", DRAFT, "cpu", GOSS_EINVAL, "is not one number" },
        { NULL, DRAFT, "ref", GOSS_EUNSUPPORTED, "computes on CPUs and GPUs" },
        { NULL, "models/none.gguf", "cpu", GOSS_EIO, "none.gguf" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        goss_engine_config c = begin(2, cases[i].model, cases[i].split);
        c.backend = cases[i].backend;
        const int rc = try_open(&e, &c, &err);
        CHECK(rc < 0 && (rc == cases[i].code || cases[i].code == GOSS_EIO));
        CHECK(strstr(err.text, cases[i].words));
        goss_engine_close(&e);
        end();
    }
    char text[1000];
    goss_engine_config c = begin(2, DEMO, NULL);
    CHECK_INT(goss_ring_plan(&c, text, sizeof text, &err), 0);
    CHECK(strstr(text, "rank 0 (here") && strstr(text, "rank 1 (here") && strstr(text, " to 5 and the head"));
    end();
}

/* What one session says of its end while something happens to its ring after a few tokens. */
static goss_error story(goss_engine *e, int lose, int spoil)
{
    static const int32_t ids[] = { 11, 12, 13 };
    goss_session *s = NULL;
    goss_error err = { 0 };
    goss_params p = params_of(0);
    goss_event ev;
    int n = 0;
    p.max_tokens = 500;
    CHECK_INT(goss_session_open(e, &s, &err), 0);
    CHECK_INT(goss_session_prompt(s, ids, 3, &p, &err), 0);
    for (int done = 0; !done;) {
        const int rc = goss_engine_poll(e, 100, &err);
        CHECK(lose || rc >= 0);
        while (!done && goss_session_event(s, &ev)) {
            done = ev.kind == GOSS_EVENT_DONE;
            if (done || ++n != 5) continue;
            pthread_mutex_lock(&r.lock);
            r.lost = lose;
            r.spoil = spoil;
            pthread_cond_broadcast(&r.changed);
            pthread_mutex_unlock(&r.lock);
        }
    }
    CHECK_INT(ev.stop, lose || spoil ? GOSS_STOP_ERROR : GOSS_STOP_LENGTH);
    goss_session_close(&s);
    return ev.error;
}

static void failures(void)
{
    goss_engine_config c = begin(3, DRAFT, "1,1,1");
    goss_model_info info;
    CHECK_INT(goss_plan(&(goss_engine_config){ .model_path = DRAFT }, &info, NULL, NULL), 0);
    if (info.n_layer != 3) c = (end(), begin(2, DRAFT, NULL));
    goss_engine *e = open_engine(&c);
    /* n_rows; of the first sequence its slot and its first page */
    static const int spoils[] = { 1, 16 + 12 + 3, 16 + 12 + 40 + 3 };
    for (size_t i = 0; i < sizeof spoils / sizeof *spoils; i++) {
        const goss_error err = story(e, 0, spoils[i]);
        CHECK_INT(err.code, GOSS_EFORMAT);
        CHECK(strstr(err.text, "rank 1 (here): a step came that does not fit the model"));
        CHECK_INT(goss_engine_state(e), GOSS_ENGINE_READY);
    }
    story(e, 0, 0);
    const goss_error err = story(e, 1, 0);
    CHECK_INT(err.code, GOSS_ELOST);
    CHECK_STR(err.text, "rank 1 is lost");
    CHECK_INT(goss_engine_state(e), GOSS_ENGINE_FAILED);
    goss_engine_close(&e);
    end();
}

/* ---- shares -------------------------------------------------------------------------------------------- */
static int plan_of(const double *speeds, const uint64_t *memory, int n, int32_t *first)
{
    static goss_layer layers[24];
    goss_model m = { .layers = layers, .hp = { .n_layer = 24, .n_embd = 64 } };
    goss_pipe_fact facts[MOST];
    for (int l = 0; l < 24; l++) {
        layers[l].wq = (goss_tensor){ .type = GOSS_F32, .n_bytes = 1000, .ne = { 1, 1, 1, 1 } };
        layers[l].gate = layers[l].up = layers[l].down = layers[l].wq;
    }
    for (int i = 0; i < n; i++) {
        facts[i] = (goss_pipe_fact){ .bytes_ms = speeds[i], .memory = memory[i] };
        snprintf(facts[i].host, sizeof facts[i].host, "host%d", i);
    }
    return goss_split_layers(first, &m, facts, n, NULL, NULL);
}

static void shares(void)
{
    int32_t first[MOST + 1];
    CHECK_INT(plan_of((double[]){ 1, 1 }, (uint64_t[]){ 1 << 30, 1 << 30 }, 2, first), 0);
    CHECK_INT(first[1], 12);
    CHECK_INT(plan_of((double[]){ 3, 1 }, (uint64_t[]){ 1 << 30, 1 << 30 }, 2, first), 0);
    CHECK_INT(first[1], 18);
    CHECK_INT(plan_of((double[]){ 3, 1 }, (uint64_t[]){ 20500, 1 << 30 }, 2, first), 0);
    CHECK_INT(first[1], 5); /* as many as it has room for */
    CHECK_INT(plan_of((double[]){ 1, 2, 2, 1 }, (uint64_t[]){ 1 << 30, 1 << 30, 1 << 30, 1 << 30 }, 4, first),
              0);
    CHECK_INT(first[1], 4);
    CHECK_INT(first[2], 12);
    CHECK_INT(first[3], 20);
    CHECK_INT(first[4], 24);
}

/* The head of 20b is as many bytes as seven layers of one token, and as two of eight sessions. */
static void shares_of_experts(void)
{
    static goss_layer layers[24];
    const goss_tensor dense = { .type = GOSS_Q8_0, .n_bytes = 28000000, .ne = { 1, 1, 1, 1 } };
    const goss_tensor experts = { .type = GOSS_MXFP4, .n_bytes = 133000000, .ne = { 1, 1, 1, 1 } };
    goss_model m = { .layers = layers,
                     .hp = { .n_layer = 24, .n_embd = 2880, .n_expert = 32, .n_expert_used = 4 },
                     .output = { .type = GOSS_Q8_0, .n_bytes = 615000000, .ne = { 1, 1, 1, 1 } } };
    goss_pipe_fact facts[2] = { { .bytes_ms = 1, .memory = 1ull << 40, .host = "a" },
                                { .bytes_ms = 1, .memory = 1ull << 40, .host = "b" } };
    int32_t first[3];
    for (int l = 0; l < 24; l++) {
        layers[l].wq = dense;
        layers[l].gate = layers[l].up = layers[l].down = experts;
    }
    CHECK_INT(goss_split_layers(first, &m, facts, 2, NULL, NULL), 0);
    CHECK_INT(first[1], 13);
}

int main(void)
{
    shares();
    shares_of_experts();
    refusals();
    failures();
    same_tokens();
    return unit_done("test_pipeline");
}
