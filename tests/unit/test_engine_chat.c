/* test_engine_chat.c - turns: channels, stop texts, schemas on the final channel, prefixes that survive the
 * dropping of analysis and the sliding window. */
#include "engine_util.h"

static const char *const MODEL = "models/demo-gptoss.gguf", *const DRAFT = "models/demo-gptoss-draft.gguf";
static const char *const MONTH = "{\"messages\":[{\"role\":\"user\",\"content\":\"Which month comes after "
                                 "June?\"}],\"date\":\"2025-06-28\"}";

static goss_engine *open_engine(const char *path)
{
    const goss_engine_config c = { .model_path = path, .backend = unit_small() ? "cpu" : "ref",
                                   .max_kv = 2048, .max_sessions = 4 };
    goss_engine *e = NULL;
    goss_error err = { 0 };
    if (goss_engine_open(&e, &c, &err)) { printf("open: %s\n", err.text); exit(1); }
    return e;
}

typedef struct turn {
    char analysis[2048], final[2048], called[128];
    int n_tokens, n_messages, stop, n_reused, n_prompt;
} turn;

static int on_event(void *ctx, const goss_event *ev)
{
    turn *t = ctx;
    t->n_tokens += ev->kind == GOSS_EVENT_TOKEN && ev->token >= 0;
    if (ev->kind != GOSS_EVENT_PREFILL && ev->n_text) {
        char *to = !strcmp(ev->channel, "analysis") ? t->analysis : t->final;
        strncat(to, ev->text, (size_t)ev->n_text);
        if (ev->recipient[0]) snprintf(t->called, sizeof t->called, "%s", ev->recipient);
        if (ev->message + 1 > t->n_messages) t->n_messages = ev->message + 1;
    }
    if (ev->kind == GOSS_EVENT_DONE) {
        t->stop = ev->stop;
        t->n_reused = ev->n_reused;
        t->n_prompt = ev->n_prompt;
    }
    return 0;
}

static int ask(goss_engine *e, const char *json, const goss_params *p, turn *t)
{
    goss_error err = { 0 };
    memset(t, 0, sizeof *t);
    const int rc = goss_generate(e, json, p, on_event, NULL, t, &err);
    if (rc) printf("%s\n", err.text);
    return rc;
}

static void idle(goss_engine *e)
{
    goss_error err;
    while (goss_engine_poll(e, 100, &err) > 0) { }
}

static void channels_and_stops(goss_engine *e)
{
    static turn t;
    goss_params p = greedy_params(0);
    p.chat = 1;
    CHECK_INT(ask(e, MONTH, &p, &t), 0);
    CHECK_STR(t.final, "July comes after June.");
    CHECK_STR(t.analysis, "The months go in order. After June comes July.");
    CHECK_INT(t.stop, GOSS_STOP_EOS);
    CHECK_INT(t.n_messages, 2);
    /* found across tokens, not in the analysis ("After June"), never emitted; the longer one that does not
     * come is released */
    static const char *const stops[] = { "after Ju", "July comes before" };
    p.stop = stops;
    p.n_stop = 2;
    CHECK_INT(ask(e, MONTH, &p, &t), 0);
    CHECK_STR(t.final, "July comes ");
    CHECK_STR(t.analysis, "The months go in order. After June comes July.");
    CHECK_INT(t.stop, GOSS_STOP_TEXT);
    static const char *const never[] = { "June.!", "xyz" };
    p.stop = never;
    CHECK_INT(ask(e, MONTH, &p, &t), 0);
    CHECK_STR(t.final, "July comes after June.");
    CHECK_INT(t.stop, GOSS_STOP_EOS);
    p.n_stop = 0;
    p.max_tokens = 5;
    CHECK_INT(ask(e, MONTH, &p, &t), 0);
    CHECK_INT(t.stop, GOSS_STOP_LENGTH);
    CHECK_INT(t.n_tokens, 5);
}

/* The next turn shows the last without its analysis; what it shares must be there already, warmed in idle
 * time. */
static void turns_reuse(goss_engine *e)
{
    static turn t;
    goss_params p = greedy_params(0);
    p.chat = 1;
    CHECK_INT(ask(e, MONTH, &p, &t), 0);
    idle(e);
    static const char *const second =
        "{\"messages\":[{\"role\":\"user\",\"content\":\"Which month comes after "
        "June?\"},{\"role\":\"assistant\",\"content\":\"July comes after June.\"},"
        "{\"role\":\"user\",\"content\":\"What is the capital of France?\"}],\"date\":\"2025-06-28\"}";
    static turn warm, cold;
    CHECK_INT(ask(e, second, &p, &warm), 0);
    CHECK(warm.n_reused >= t.n_prompt + 6);
    goss_engine *fresh = open_engine(MODEL);
    CHECK_INT(ask(fresh, second, &p, &cold), 0);
    CHECK_INT(cold.n_reused, 0);
    CHECK_STR(warm.final, cold.final);
    CHECK_STR(warm.analysis, cold.analysis);
    goss_engine_close(&fresh);
}

/* A schema binds the final channel only, whatever the temperature; the analysis stays free. */
static void schemas(goss_engine *e)
{
    static const char *const schema =
        "{\"type\":\"object\",\"properties\":{\"month\":{\"type\":\"string\",\"enum\":[\"May\",\"June\","
        "\"July\",\"August\"]},\"number\":{\"type\":\"integer\",\"minimum\":1,"
        "\"maximum\":12},\"ok\":{\"type\":\"boolean\"}},\"required\":[\"month\",\"number\",\"ok\"],"
        "\"additionalProperties\":false}";
    for (int k = 0; k < 3; k++) {
        static turn t;
        goss_params p = greedy_params(200);
        p.chat = 1;
        p.json_schema = schema;
        p.temperature = (float)k * 0.7f;
        p.seed = (uint64_t)k;
        CHECK_INT(ask(e, MONTH, &p, &t), 0);
        goss_json j = { 0 };
        goss_error err = { 0 };
        CHECK_INT(t.stop, GOSS_STOP_EOS);
        CHECK(t.analysis[0] && t.analysis[0] != '{');
        CHECK_INT(goss_json_parse(&j, t.final, strlen(t.final), NULL, &err), 0);
        CHECK_INT(goss_json_kind(&j, goss_json_get(&j, 0, "month")), GOSS_JSON_STRING);
        const double number = goss_json_number(&j, goss_json_get(&j, 0, "number"), 0);
        CHECK(number >= 1 && number <= 12);
        CHECK(goss_json_bool(&j, goss_json_get(&j, 0, "ok"), -1) >= 0);
        CHECK_INT(j.nodes[0].n, 3);
        goss_json_free(&j);
    }
    goss_params p = greedy_params(20);
    goss_error err = { 0 };
    char out[64];
    p.chat = 1;
    p.json_schema = "{\"not\":{}}";
    CHECK_INT(goss_complete(e, MONTH, &p, out, sizeof out, &err), GOSS_EUNSUPPORTED);
    CHECK(strstr(err.text, "not") != NULL);
    p.json_schema = "{\"type\":";
    CHECK_INT(goss_complete(e, MONTH, &p, out, sizeof out, &err), GOSS_EFORMAT);
}

/* A tool's strict arguments follow its schema, whatever it is called: guard, schema and events know it by the
 * name that the model is shown. With a choice the call is begun. */
static void strict_tools(goss_engine *e, const char *name, const char *city, const char *choice,
                         const char *recipient)
{
    char tools[1024], json[2048];
    snprintf(tools, sizeof tools,
             "[{\"type\":\"function\",\"function\":{\"name\":\"%s\",\"strict\":true,"
             "\"description\":\"Gets the current weather in a city.\",\"parameters\":{\"type\":\"object\","
             "\"properties\":{\"city\":{\"type\":\"string\",%s},"
             "\"days\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":9}},"
             "\"required\":[\"city\",\"days\"],\"additionalProperties\":false}}}]",
             name, city);
    snprintf(json, sizeof json,
             "{\"messages\":[{\"role\":\"user\",\"content\":\"What is the weather in "
             "Paris?\"}],\"date\":\"2025-06-28\",\"tools\":%s,\"tool_choice\":%s}",
             tools, choice);
    goss_params p = greedy_params(200);
    p.chat = 1;
    p.tools_json = tools;
    static turn t;
    CHECK_INT(ask(e, json, &p, &t), 0);
    CHECK_INT(t.stop, GOSS_STOP_CALL);
    CHECK_STR(t.called, recipient);
    goss_json j = { 0 };
    goss_error err = { 0 };
    CHECK_INT(goss_json_parse(&j, t.final, strlen(t.final), NULL, &err), 0);
    CHECK_INT(goss_json_kind(&j, goss_json_get(&j, 0, "city")), GOSS_JSON_STRING);
    CHECK(goss_json_number(&j, goss_json_get(&j, 0, "days"), 0) >=
          1); /* the model knows no "days": the mask makes it say one */
    goss_json_free(&j);
}

/* Rewinding far past the window: the snapshots at message boundaries make it cheap, and it changes
 * nothing. */
static void past_the_window(void)
{
    goss_engine *e = open_engine(DRAFT), *fresh = open_engine(DRAFT);
    goss_error err = { 0 };
    goss_session *s = NULL, *f = NULL;
    static answer a, b;
    static int32_t ids[2000];
    static char json[16384];
    int at = snprintf(json, sizeof json, "{\"messages\":[");
    for (int i = 0; i < 12; i++)
        at += snprintf(json + at, sizeof json - (size_t)at,
                       "%s{\"role\":\"%s\",\"content\":\"Once upon a time there was a small crow named Theo "
                       "who lived near a deep forest, and so it was number %d.\"}",
                       i ? "," : "", i % 2 ? "assistant" : "user", i);
    snprintf(json + at, sizeof json - (size_t)at,
             ",{\"role\":\"user\",\"content\":\"Which month comes after June?\"}],\"date\":\"2025-06-28\"}");
    const int n = goss_chat_render(e, json, strlen(json), ids, 2000, &err);
    CHECK(n > 400);
    const goss_params p = greedy_params(200);
    CHECK_INT(goss_session_open(e, &s, &err), 0);
    CHECK_INT(goss_session_prompt(s, ids, n, &p, &err), 0);
    CHECK_INT(run_to_end(e, s, &a), 0);
    CHECK_INT(goss_session_prompt(s, ids, n, &p, &err), 0);
    CHECK_INT(run_to_end(e, s, &b), 0);
    CHECK_INT(b.n_reused, n - 1);
    CHECK(a.n == b.n && !memcmp(a.ids, b.ids, (size_t)a.n * sizeof *a.ids));
    /* the last user's message is edited: everything before it is still there */
    const int edited = n - 8;
    ids[edited] = ids[edited] == 300 ? 301 : 300;
    CHECK_INT(goss_session_prompt(s, ids, n, &p, &err), 0);
    CHECK_INT(run_to_end(e, s, &b), 0);
    CHECK(b.n_reused > n - 60);
    CHECK_INT(goss_session_open(fresh, &f, &err), 0);
    CHECK_INT(goss_session_prompt(f, ids, n, &p, &err), 0);
    CHECK_INT(run_to_end(fresh, f, &a), 0);
    CHECK_INT(a.n_reused, 0);
    CHECK(a.n == b.n && !memcmp(a.ids, b.ids, (size_t)a.n * sizeof *a.ids));
    goss_session_close(&s);
    goss_session_close(&f);
    goss_engine_close(&e);
    goss_engine_close(&fresh);
}

/* A turn that nobody generated has the tokens of one that a model writes, and nothing in it is control. */
static void written_turns(const goss_engine *e)
{
    static const char written[] = "<|channel|>analysis<|message|>It rains.<|end|>"
                                  "<|start|>assistant<|channel|>final<|message|>Yes.<|return|>";
    const goss_str reasoning = { "It rains.", 9 }, said = { "Yes.", 4 }, bad = { "<|return|>", 10 };
    int32_t want[64], got[64];
    goss_error err = { 0 };
    const int n = goss_tokenize(e, written, sizeof written - 1, GOSS_TOKENIZE_SPECIAL, want, 64);
    CHECK_INT(goss_chat_turn(e, reasoning, said, got, 64, &err), n);
    CHECK(n > 8 && n <= 64 && !memcmp(want, got, (size_t)n * sizeof *got));
    const int more = goss_chat_turn(e, bad, said, got, 64, &err);
    CHECK(more > n && more <= 64);
    for (int i = 0; i + 1 < more; i++) CHECK(got[i] != want[n - 1]);
}

/* A draft model, n-grams, and neither say the same, at any temperature, in a chat with its guard. */
static void drafts_agree(void)
{
    static turn t[3];
    for (int k = 0; k < 3; k++) {
        const goss_engine_config c = { .model_path = MODEL,
                                       .backend = "ref",
                                       .max_kv = 1024,
                                       .max_sessions = 2,
                                       .draft_path = k == 2 ? DRAFT : NULL };
        goss_engine *e = NULL;
        goss_error err = { 0 };
        CHECK_INT(goss_engine_open(&e, &c, &err), 0);
        goss_params p = goss_params_default();
        p.chat = 1;
        p.seed = 7;
        p.temperature = 0.8f;
        p.max_tokens = 60;
        p.draft = k > 0;
        CHECK_INT(ask(e, MONTH, &p, &t[k]), 0);
        goss_stats st;
        goss_engine_stats(e, &st);
        if (k == 2) CHECK(st.n_accepted > 5);
        goss_engine_close(&e);
    }
    CHECK_STR(t[1].final, t[0].final);
    CHECK_STR(t[2].final, t[0].final);
    CHECK_STR(t[2].analysis, t[0].analysis);
    CHECK_INT(t[2].n_tokens, t[0].n_tokens);
    const goss_engine_config other = {
        .model_path = MODEL, .backend = "ref", .draft_path = "models/demo-llama-f16.gguf", .max_kv = 512
    };
    goss_engine *e = NULL;
    goss_error err = { 0 };
    CHECK_INT(goss_engine_open(&e, &other, &err), GOSS_EINVAL);
    CHECK(e == NULL && strstr(err.text, "vocabulary"));
}

int main(void)
{
    goss_engine *e = open_engine(MODEL);
    channels_and_stops(e);
    schemas(e);
    written_turns(e);
    if (!unit_small()) {
        turns_reuse(e);
        strict_tools(e, "get_weather", "\"description\":\"The name of the city\"", "\"auto\"",
                     "functions.get_weather");
        static const char *const choices[] = {
            "\"required\"", "{\"type\":\"function\",\"function\":{\"name\":\"wx/get <|call|>\"}}"
        };
        for (int i = 0; i < 2; i++)
            strict_tools(e, "wx/get <|call|>", "\"enum\":[\"Paris\",\"Rome\"]", choices[i],
                         "functions.wx_get___call__");
    }
    goss_engine_close(&e);
    if (!unit_small()) {
        past_the_window();
        drafts_agree();
    }
    return unit_done("engine_chat");
}
