/* test_reasoning.c - the reasoning budget: the analysis ends after so many tokens, by Harmony's own
 * tokens, and the answer or a call follows; with drafts, schemas, forks and without the guard too. */
#include "engine_util.h"

static const char *const ASK = "{\"messages\":[{\"role\":\"user\",\"content\":\"Which month comes after "
                               "June?\"}],\"date\":\"2025-06-28\"}";
static const char *const TOOLS =
    "[{\"type\":\"function\",\"function\":{\"name\":\"get_weather\",\"description\":\"Gets the current weather in a "
    "city.\",\"parameters\":{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\",\"description\":\"The "
    "name of the city\"}},\"required\":[\"city\"]}}}]";

typedef struct turn {
    char analysis[4096], final[4096], called[128];
    int n_thought, n_final, stop;
} turn;

static void add(char *to, size_t cap, const goss_event *ev)
{
    const size_t n = strlen(to);
    snprintf(to + n, cap - n, "%.*s", ev->n_text, ev->text);
}

static int on_event(void *ctx, const goss_event *ev)
{
    turn *t = ctx;
    if (ev->kind == GOSS_EVENT_DONE) t->stop = ev->stop;
    if (ev->kind == GOSS_EVENT_PREFILL || !ev->n_text) return 0;
    const int thinks = !strcmp(ev->channel, "analysis");
    if (thinks) t->n_thought++;
    if (!strcmp(ev->channel, "final")) t->n_final++;
    if (ev->recipient[0]) snprintf(t->called, sizeof t->called, "%s", ev->recipient);
    add(thinks ? t->analysis : t->final, sizeof t->final, ev);
    return 0;
}

static turn ask(goss_engine *e, const char *json, const goss_params *p)
{
    static turn t;
    goss_error err = { 0 };
    memset(&t, 0, sizeof t);
    CHECK_INT(goss_generate(e, json, p, on_event, NULL, &t, &err), 0);
    if (err.code) printf("%s\n", err.text);
    return t;
}

/* The analysis is the beginning of what it would be, no longer than the budget, and an answer follows. */
static void test_budgets(goss_engine *e, const goss_params *base, const char *what)
{
    goss_params p = *base;
    const turn whole = ask(e, ASK, &p);
    CHECK(whole.n_thought > 8 && whole.n_final > 0);
    for (int budget = 0; budget <= 8; budget = 2 * budget + !budget) {
        p.reasoning_budget = budget;
        const turn t = ask(e, ASK, &p);
        CHECK(t.n_thought <= budget);
        CHECK(!budget || t.n_thought > budget - 2);
        CHECK(!strncmp(t.analysis, whole.analysis, strlen(t.analysis)));
        CHECK(t.n_final > 0);
        CHECK_INT(t.stop, GOSS_STOP_EOS);
        printf("# %s, budget %d: %d \"%s\", \"%s\"\n", what, budget, t.n_thought, t.analysis, t.final);
    }
    p.reasoning_budget = 1000;
    const turn same = ask(e, ASK, &p);
    CHECK_STR(same.analysis, whole.analysis);
    CHECK_STR(same.final, whole.final);
}

static void test_schema(goss_engine *e, goss_params p)
{
    p.reasoning_budget = 3;
    p.json_schema = "{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"boolean\"}},\"required\":[\"n\"],"
                    "\"additionalProperties\":false}";
    const turn t = ask(e, ASK, &p);
    CHECK(t.n_thought <= 3);
    CHECK(t.final[0] == '{' && strstr(t.final, "\"n\""));
    CHECK((strstr(t.final, "true") || strstr(t.final, "false")));
}

/* A call is still open to the model. */
static void test_tools(goss_engine *e, goss_params p)
{
    char json[1024];
    snprintf(json, sizeof json,
             "{\"messages\":[{\"role\":\"user\",\"content\":\"What is the weather in Paris?\"}],"
             "\"tools\":%s,\"date\":\"2025-06-28\"}", TOOLS);
    p.tools_json = TOOLS;
    CHECK_STR(ask(e, json, &p).called, "functions.get_weather");
    for (int budget = 0; budget < 3; budget++) {
        p.reasoning_budget = budget;
        const turn t = ask(e, json, &p);
        CHECK(t.n_thought <= budget);
        if (budget) continue;               /* after half a thought this small model answers */
        CHECK_STR(t.called, "functions.get_weather");
    }
}

/* A fork begins with nothing spent. */
static void test_fork(goss_engine *e, goss_params p)
{
    int32_t ids[512];
    goss_session *s = NULL, *fork = NULL;
    goss_error err = { 0 };
    const int n = goss_chat_render(e, ASK, strlen(ASK), ids, 512, &err);
    turn t[2] = { { .stop = 0 } };
    p.reasoning_budget = 4;
    CHECK_INT(goss_session_open(e, &s, &err), 0);
    for (int i = 0; i < 2; i++) {
        goss_event ev;
        goss_session *of = i ? fork : s;
        CHECK_INT(goss_session_prompt(of, ids, n, &p, &err), 0);
        while (!t[i].stop) {
            goss_engine_poll(e, 100, &err);
            while (goss_session_event(of, &ev)) on_event(&t[i], &ev);
        }
        if (!i) CHECK(goss_session_fork(s, n, &fork, &err) >= 0);
    }
    CHECK(t[0].n_thought >= 3 && t[0].n_thought <= 4);
    CHECK_INT(t[1].n_thought, t[0].n_thought);
    CHECK_STR(t[1].final, t[0].final);
    goss_session_close(&s);
    goss_session_close(&fork);
}

/* Runs a prompt to its end. */
static turn run_prompt(goss_engine *e, goss_session *s, const int32_t *ids, int n, const goss_params *p)
{
    turn t = { .stop = 0 };
    goss_error err = { 0 };
    goss_event ev;
    CHECK_INT(goss_session_prompt(s, ids, n, p, &err), 0);
    while (!t.stop) {
        CHECK(goss_engine_poll(e, 100, &err) >= 0);
        while (goss_session_event(s, &ev)) on_event(&t, &ev);
    }
    return t;
}

/* A turn that was cut in its analysis, and one that had ended, go on with another message. */
static void test_next_message(goss_engine *e, goss_params p)
{
    enum { CAP = 1024 };
    int32_t ids[CAP], next[CAP], role[8];
    goss_session *s = NULL;
    goss_error err = { 0 };
    const int n = goss_chat_render(e, ASK, strlen(ASK), ids, CAP, &err),
              n_role = goss_tokenize(e, "<|end|><|start|>assistant", 25, GOSS_TOKENIZE_SPECIAL, role, 8);
    CHECK_INT(goss_session_open(e, &s, &err), 0);
    for (int i = 0; i < 2; i++) {
        p.max_tokens = i ? 300 : 6;
        const turn cut = run_prompt(e, s, ids, n, &p);
        CHECK_INT(cut.stop, i ? GOSS_STOP_EOS : GOSS_STOP_LENGTH);
        const int held = goss_session_tokens(s, NULL, 0), m = goss_session_next_message(s, NULL, 0);
        CHECK_INT(m, held + n_role);
        CHECK_INT(goss_session_next_message(s, next, 3), m);
        CHECK_INT(goss_session_next_message(s, next, CAP), m);
        CHECK(!memcmp(next, ids, (size_t)n * sizeof *ids));
        CHECK(!memcmp(next + held, role, (size_t)n_role * sizeof *role));
        p.max_tokens = 300;
        if (!i) CHECK(run_prompt(e, s, next, m, &p).n_final > 0);
    }
    goss_session_close(&s);
}

int main(void)
{
    goss_engine *e = NULL;
    goss_error err = { 0 };
    const goss_engine_config c = { .model_path = "models/demo-gptoss.gguf", .backend = "cpu", .max_kv = 2048,
                                   .max_sessions = 4, .draft_path = "models/demo-gptoss-draft.gguf" };
    if (goss_engine_open(&e, &c, &err)) { printf("SKIP %s\n", err.text); return 0; }
    goss_params p = goss_params_default();
    p.temperature = 0;
    p.chat = 1;
    p.max_tokens = 300;
    test_budgets(e, &p, "plain");
    p.no_guard = 1;
    test_budgets(e, &p, "without the guard");
    p.no_guard = 0;
    p.draft = 1;
    test_budgets(e, &p, "with drafts");
    test_schema(e, p);
    p.draft = 0;
    test_schema(e, p);
    test_tools(e, p);
    test_fork(e, p);
    test_next_message(e, p);
    goss_engine_close(&e);
    return unit_done("reasoning");
}
