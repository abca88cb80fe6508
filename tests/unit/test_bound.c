/* test_bound.c - schemas can't be bypassed: whatever the temperature, the biases, the beginning and the
 * guard, what is for the user is an answer of the schema; forced calls have arguments of theirs, and are
 * one call. */
#include "engine_util.h"
#include "tests/text/open_vocab.h"

static const char *const MODEL = "models/demo-gptoss-draft.gguf";
enum { TOKENS = 400 };

typedef struct said {
    char content[8192], arguments[8192], recipient[128];
    int n_calls, stop, last_call;
} said;

static void take(said *s, const goss_event *ev)
{
    if (ev->kind == GOSS_EVENT_DONE) s->stop = ev->stop;
    if (ev->kind == GOSS_EVENT_PREFILL) return;
    const int call = ev->recipient && ev->recipient[0];
    if (call && s->last_call != ev->message + 1) {
        s->last_call = ev->message + 1;
        s->n_calls++;
        snprintf(s->recipient, sizeof s->recipient, "%s", ev->recipient);
    }
    if (!ev->n_text || !ev->channel[0] || (!call && !strcmp(ev->channel, "analysis"))) return;
    char *to = call ? s->arguments : s->content;
    if (strlen(to) + (size_t)ev->n_text < sizeof s->content) strncat(to, ev->text, (size_t)ev->n_text);
}

/* The request's prompt, then `begun` as tokens. */
static void ask(goss_engine *e, const char *request, const char *begun, const goss_params *p, said *out)
{
    static int32_t ids[2000];
    goss_error err = { 0 };
    goss_session *s = NULL;
    memset(out, 0, sizeof *out);
    int n = goss_chat_render(e, request, strlen(request), ids, 2000, &err);
    CHECK(n > 0 && n < 1900);
    n += goss_tokenize(e, begun, strlen(begun), GOSS_TOKENIZE_SPECIAL, ids + n, 2000 - n);
    CHECK_INT(goss_session_open(e, &s, &err), 0);
    CHECK_INT(goss_session_prompt(s, ids, n, p, &err), 0);
    for (int done = 0; !done;) {
        goss_event ev;
        while (goss_session_event(s, &ev)) {
            take(out, &ev);
            done |= ev.kind == GOSS_EVENT_DONE;
        }
        if (!done && goss_engine_poll(e, 100, &err) < 0) break;
    }
    goss_session_close(&s);
}

/* The text's first. */
static int32_t token(goss_engine *e, const char *text)
{
    int32_t id = -1;
    CHECK(goss_tokenize(e, text, strlen(text), GOSS_TOKENIZE_SPECIAL, &id, 1) >= 1);
    return id;
}

/* ---- answers ------------------------------------------------------------------------------------------- */
static const char *const schema =
    "{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\",\"maxLength\":9},\"days\":{\"type\":"
    "\"integer\",\"minimum\":1,\"maximum\":9}},\"required\":[\"city\",\"days\"],\"additionalProperties\":false}";
static const char *const tool =
    "[{\"type\":\"function\",\"function\":{\"name\":\"look\",\"parameters\":{\"type\":\"object\",\"properties\":"
    "{\"at\":{\"enum\":[\"Rome\",\"Oslo\"]}},\"required\":[\"at\"],\"additionalProperties\":false}}}]";

static int is_answer(const char *text)
{
    goss_json j = { 0 };
    goss_error err = { 0 };
    int good = !goss_json_parse(&j, text, strlen(text), NULL, &err);
    good = good && goss_json_kind(&j, 0) == GOSS_JSON_OBJECT;
    if (good) {
        const double days = goss_json_number(&j, goss_json_get(&j, 0, "days"), 0);
        good = j.nodes[0].n == 2 && days >= 1 && days <= 9 &&
               goss_json_kind(&j, goss_json_get(&j, 0, "city")) == GOSS_JSON_STRING;
    }
    goss_json_free(&j);
    return good;
}

/* What the prompt itself says in a broken header is content: its own, before ours. */
static const char mine[] = "nonsense of mine";
#define JUNK "<|channel|>nonsense of mine"

/* Every bias pushes towards a way round: a preamble, an end within the reasoning, a message after the
 * answer. */
static void answers(goss_engine *e, int n)
{
    static const char *const begun[] = { "", "<|channel|>commentary<|message|>", "<|channel|>commentary",
                                         "<|channel|>analysis<|message|>Hm.", "<|channel|>commentary here is<|end|>",
                                         "<|channel|>final<|message|>", JUNK };
    static const char *const request =
        "{\"messages\":[{\"role\":\"user\",\"content\":\"Which month comes after June?\"}],\"date\":\"2025-06-28\"}";
    const goss_logit_bias ways[][2] = {
        { { token(e, "<|end|>"), 25 }, { token(e, "commentary"), 30 } },
        { { token(e, "<|return|>"), 30 }, { token(e, "<|end|>"), 25 } },
        { { token(e, "<|end|>"), 25 }, { token(e, "<|message|>"), 20 } },
        { { token(e, "<|call|>"), 20 }, { token(e, "<|end|>"), 25 } },
    };
    int n_answers = 0, n_calls = 0, n_long = 0;
    for (int i = 0; i < n; i++) {
        static said s;
        goss_params p = goss_params_default();
        p.chat = 1;
        p.max_tokens = TOKENS;
        p.json_schema = schema;
        p.temperature = 0.5f + (float)(i % 6) * 0.7f;
        p.seed = (uint64_t)i;
        p.one_call = 1;
        p.no_guard = i & 1;
        p.tools_json = i % 3 == 0 ? NULL : i % 3 == 1 ? "[]" : tool;
        p.bias = ways[i % 4];
        p.n_bias = 2;
        ask(e, request, begun[i % 7], &p, &s);
        const int call = s.stop == GOSS_STOP_CALL, whole = s.stop == GOSS_STOP_EOS;
        n_answers += whole && s.content[0];
        n_calls += call;
        n_long += s.stop == GOSS_STOP_LENGTH;
        CHECK(call || whole || s.stop == GOSS_STOP_LENGTH);
        const char *content = s.content;
        if (i % 7 == 6 && !strncmp(content, mine, sizeof mine - 1)) content += sizeof mine - 1;
        const int good = s.stop == GOSS_STOP_LENGTH || (*content ? is_answer(content) : s.n_calls > 0);
        if (!good) printf("answer %d (stop %d): %s\n", i, s.stop, content);
        CHECK(good);
    }
    printf("%d answers: %d of the schema, %d calls, %d not ended\n", n, n_answers, n_calls, n_long);
    CHECK(n_answers >= n / 2 && n_long <= n / 10);
}

/* ---- calls --------------------------------------------------------------------------------------------- */
static const char *const tools =
    "[{\"type\":\"function\",\"function\":{\"name\":\"look\",\"parameters\":{\"type\":\"object\",\"properties\":"
    "{\"at\":{\"enum\":[\"Rome\",\"Oslo\"]}},\"required\":[\"at\"],\"additionalProperties\":false}}},"
    "{\"type\":\"function\",\"function\":{\"name\":\"now\"}},"
    "{\"type\":\"function\",\"function\":{\"name\":\"odd\",\"parameters\":{\"type\":\"object\",\"properties\":"
    "{\"list\":{\"type\":\"array\",\"uniqueItems\":true}}}}}]";

static void forced(goss_engine *e, const char *choice, const char *name, int n)
{
    static char request[2048];
    static said s;
    snprintf(request, sizeof request,
             "{\"messages\":[{\"role\":\"user\",\"content\":\"Look.\"}],\"date\":\"2025-06-28\",\"tools\":%s,"
             "\"tool_choice\":%s}", tools, choice);
    const goss_logit_bias end = { token(e, "<|end|>"), 30 };
    for (int i = 0; i < n; i++) {
        goss_params p = goss_params_default();
        p.chat = p.must_call = 1;
        p.max_tokens = TOKENS;
        p.tools_json = tools;
        p.temperature = 0.5f + (float)(i % 5) * 0.6f;
        p.seed = (uint64_t)i;
        p.bias = &end;
        p.n_bias = 1;
        ask(e, request, "", &p, &s);
        CHECK_INT(s.n_calls, 1);
        CHECK(!s.content[0] && (!name || !strcmp(s.recipient, name)));
        if (s.stop == GOSS_STOP_LENGTH && !strcmp(s.recipient, "functions.odd")) continue;
        CHECK_INT(s.stop, GOSS_STOP_CALL);
        goss_json j = { 0 };
        goss_error err = { 0 };
        CHECK_INT(goss_json_parse(&j, s.arguments, strlen(s.arguments), NULL, &err), 0);
        CHECK_INT(goss_json_kind(&j, 0), GOSS_JSON_OBJECT);
        const int at = goss_json_get(&j, 0, "at");
        if (!strcmp(s.recipient, "functions.look"))
            CHECK(j.nodes[0].n == 1 && (goss_json_is(&j, at, "Rome") || goss_json_is(&j, at, "Oslo")));
        if (!strcmp(s.recipient, "functions.now")) CHECK_INT(j.nodes[0].n, 0);
        goss_json_free(&j);
    }
}

/* A model that ends its call as a message could make others: with one_call it can't. */
static void one_call(goss_engine *e)
{
    static const char *const request =
        "{\"messages\":[{\"role\":\"user\",\"content\":\"Look.\"}],\"date\":\"2025-06-28\"}";
    static said s;
    const goss_logit_bias end = { token(e, "<|end|>"), 40 };
    for (int one = 0; one < 2; one++) {
        goss_params p = goss_params_default();
        p.chat = 1;
        p.max_tokens = 60;
        p.tools_json = tools;
        p.temperature = 0;
        p.one_call = one;
        p.bias = &end;
        p.n_bias = 1;
        ask(e, request, "<|channel|>commentary to=functions.odd <|constrain|>json<|message|>{}", &p, &s);
        CHECK(one == (s.stop == GOSS_STOP_CALL));
        CHECK_INT(s.n_calls > 1 || s.content[0], !one && (s.n_calls > 1 || s.content[0]));
    }
}

/* ---- the model's own tools ----------------------------------------------------------------------------- */
static int may_write(const goss_vocab *v, const char *tools_json, int builtin, const char *text)
{
    static uint32_t mask[1 << 13];
    goss_chat_parser *p = NULL;
    goss_chat_delta d;
    goss_buf ids = GOSS_BUF(1 << 12);
    int may = 1;
    CHECK_INT(goss_chat_parser_open(&p, v, GOSS_CHAT_HARMONY), 0);
    CHECK_INT(goss_chat_parser_tools(p, tools_json, builtin, NULL), 0);
    CHECK_INT(goss_vocab_encode(v, text, strlen(text), GOSS_TOKENIZE_SPECIAL, &ids), 0);
    const int32_t *id = (const int32_t *)(const void *)ids.data;
    for (size_t i = 0; i < ids.len / sizeof *id && may; i++) {
        may = goss_chat_parser_mask(p, mask) && (mask[id[i] / 32] >> (id[i] & 31) & 1);
        goss_chat_parser_push(p, id[i], &d);
    }
    goss_buf_free(&ids);
    goss_chat_parser_close(&p);
    return may;
}

static void builtin_tools(void)
{
    static const char *const python = "<|channel|>analysis to=python code<|message|>",
                      *const search = "<|channel|>analysis to=browser.search code<|message|>",
                      *const look = "<|channel|>commentary to=functions.look json<|message|>";
    goss_vocab *v = open_vocab(MODEL, NULL);
    CHECK(may_write(v, tool, GOSS_TOOL_PYTHON, python) && !may_write(v, tool, GOSS_TOOL_PYTHON, search));
    CHECK(may_write(v, tool, GOSS_TOOL_BROWSER, search) && !may_write(v, tool, GOSS_TOOL_BROWSER, python));
    CHECK(!may_write(v, tool, 0, python) && may_write(v, "[]", GOSS_TOOL_PYTHON, python));
    CHECK(may_write(v, tool, 3, look) && may_write(v, NULL, 0, python) && !may_write(v, "[]", 3, look));
    CHECK(!may_write(v, tool, 3, "<|start|>assistant to=functions.look<|channel|>final<|message|>"));
    goss_vocab_close(&v);
}

int main(void)
{
    const goss_engine_config c = { .model_path = MODEL, .backend = "cpu", .max_kv = 1024, .max_sessions = 2 };
    goss_engine *e = NULL;
    goss_error err = { 0 };
    if (goss_engine_open(&e, &c, &err)) { printf("open: %s\n", err.text); return 1; }
    answers(e, unit_small() ? 28 : 200);
    forced(e, "\"required\"", NULL, unit_small() ? 5 : 30);
    forced(e, "{\"type\":\"function\",\"function\":{\"name\":\"look\"}}", "functions.look", 5);
    forced(e, "{\"type\":\"function\",\"function\":{\"name\":\"now\"}}", "functions.now", 5);
    one_call(e);
    builtin_tools();
    goss_engine_close(&e);
    return unit_done("bound");
}
