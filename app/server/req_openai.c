/* req_openai.c - reads /v1/chat/completions, /v1/completions, /tokenize and /detokenize. */
#include "tools.h"
#include "base/fmt.h"
#include <string.h>

/* ---- chat ------------------------------------------------------------------------------------ */
/* One call, with an id where the client left it out. Arguments may be a string or (as Ollama's) an object. */
static int read_call(goss_srv_parse *p, int call, goss_tool_call *out)
{
    const int custom = goss_srv_field(p, call, "custom"),
              f = custom >= 0 ? custom : goss_srv_field(p, call, "function"),
              arguments = goss_srv_field(p, f, custom >= 0 ? "input" : "arguments");
    const char *name = NULL, *id = NULL, *json = NULL;
    if (goss_srv_get_text(p, f, "name", &name) || goss_srv_get_text(p, call, "id", &id)) return -1;
    if (!name) return goss_srv_bad(p, call, "messages.tool_calls", "must each name a function");
    if (!id || !*id) {
        char made[24];
        id = goss_srv_keep_text(p->r, made, goss_fmt(made, sizeof made, "call_%d", p->n_calls));
        if (!id) return goss_srv_no_memory(p);
    }
    p->n_calls++;
    p->last_call = id;
    out->id = goss_srv_str(id);
    out->name = goss_srv_str(goss_srv_tools_shown(p->r, name, NULL));
    if (goss_json_kind(p->j, arguments) == GOSS_JSON_STRING) {
        if (goss_json_str(p->j, arguments, &p->r->owned, &out->arguments)) return goss_srv_no_memory(p);
    } else if (arguments >= 0) {
        if (goss_srv_json_of(p, arguments, &json)) return -1;
        out->arguments = goss_srv_str(json);
    }
    if (custom >= 0) out->arguments = goss_srv_tools_wrap(&p->r->owned, out->arguments);
    return custom >= 0 && !out->arguments.s ? goss_srv_no_memory(p) : 0;
}

static int read_calls(goss_srv_parse *p, int calls, goss_message *m)
{
    if (goss_json_kind(p->j, calls) != GOSS_JSON_ARRAY)
        return goss_srv_bad(p, calls, "messages.tool_calls", "must be an array");
    goss_tool_call *list = goss_owned_array(&p->r->owned, p->j->nodes[calls].n, sizeof *list);
    if (!list) return goss_srv_no_memory(p);
    for (int call = goss_json_first(p->j, calls); call >= 0; call = goss_json_next(p->j, call))
        if (read_call(p, call, &list[m->n_calls++])) return -1;
    m->calls = list;
    return 0;
}

/* Reasoning has three names. */
static int read_reasoning(goss_srv_parse *p, int m, goss_message *to)
{
    static const char *const keys[] = { "reasoning_content", "reasoning", "thinking" };
    for (int i = 0; i < 3 && !to->reasoning.s; i++)
        if (goss_srv_get_str(p, m, keys[i], &to->reasoning)) return -1;
    if (to->role != GOSS_ROLE_ASSISTANT) to->reasoning = (goss_str){ 0 };
    return 0;
}

int goss_srv_chat_openai_message(goss_srv_parse *p, int m)
{
    static const struct { const char *word; int role; } roles[] = {
        { "system", GOSS_ROLE_DEVELOPER }, { "developer", GOSS_ROLE_DEVELOPER },
        { "user", GOSS_ROLE_USER },        { "assistant", GOSS_ROLE_ASSISTANT },
        { "tool", GOSS_ROLE_TOOL },        { "function", GOSS_ROLE_TOOL },
    };
    const char *role = NULL, *name = NULL, *id = NULL;
    const int calls = goss_srv_field(p, m, "tool_calls");
    goss_message to = { 0 };
    goss_srv_joined joined = { 0 };
    goss_str text = { 0 };
    if (goss_json_kind(p->j, m) != GOSS_JSON_OBJECT) return goss_srv_bad(p, m, "messages", "must be objects");
    if (goss_srv_get_text(p, m, "role", &role)) return -1;
    for (int i = 0; role && i < 6 && !to.role; i++)
        if (!strcmp(role, roles[i].word)) to.role = roles[i].role;
    if (!to.role)
        return goss_srv_bad(p, m, "messages.role", "must be system, developer, user, assistant or tool");
    if (goss_json_get(p->j, m, "content") < 0 && to.role != GOSS_ROLE_ASSISTANT)
        return goss_srv_bad(p, m, "messages.content", "is missing");
    if (read_reasoning(p, m, &to) || goss_srv_get_text(p, m, "name", &name) ||
        (!name && goss_srv_get_text(p, m, "tool_name", &name)) ||
        goss_srv_get_text(p, m, "tool_call_id", &id) ||
        goss_srv_content(p, goss_srv_field(p, m, "content"), "messages.content", &text))
        return -1;
    goss_srv_join(&joined, text);
    const int failed = goss_srv_join_images(p, m, &joined);
    if (goss_srv_joined_end(p, &joined, &text) || failed || goss_srv_chat_content(p, &to, text)) return -1;
    if (calls >= 0 && to.role == GOSS_ROLE_ASSISTANT && read_calls(p, calls, &to)) return -1;
    if (to.n_calls && !to.reasoning.s && goss_srv_chat_recall(p, &to)) return -1;
    to.name = goss_srv_str(name);
    if (to.role == GOSS_ROLE_TOOL) to.call_id = goss_srv_str(id ? id : p->last_call);
    return goss_srv_chat_add(p, m, &to);
}

static int read_format(goss_srv_parse *p)
{
    const int node = goss_srv_field(p, 0, "response_format"), type = goss_json_get(p->j, node, "type");
    if (node < 0 || goss_json_is(p->j, type, "text")) return 0;
    if (goss_json_is(p->j, type, "json_schema"))
        return goss_srv_set_format(p, goss_json_get(p->j, node, "json_schema"),
                                   "response_format.json_schema.schema");
    if (!goss_json_is(p->j, type, "json_object"))
        return goss_srv_bad(p, node, "response_format", "must be of type text, json_object or json_schema");
    goss_srv_set_object(p);
    return 0;
}

/* -1 is no limit, as llama.cpp's users write it. */
static int read_limit(goss_srv_parse *p, const char *key)
{
    int max = p->r->params.max_tokens, node = goss_srv_field(p, 0, key);
    if (node >= 0 && goss_json_kind(p->j, node) == GOSS_JSON_NUMBER && goss_json_number(p->j, node, 0) == -1)
        return p->r->params.max_tokens = 0;
    if (goss_srv_get_int(p, 0, key, 1, 1 << 30, &max)) return -1;
    p->r->params.max_tokens = max;
    return 0;
}

int goss_srv_read_effort(goss_srv_parse *p, int o, const char *key, const char **effort)
{
    const char *word = NULL;
    if (goss_srv_get_text(p, o, key, &word)) return -1;
    if (!word) return 0;
    static const char *const names[][2] = { { "none", "low" },      { "minimal", "low" }, { "low", "low" },
                                            { "medium", "medium" }, { "high", "high" },   { "xhigh", "high" },
                                            { "max", "high" } };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!strcmp(word, names[i][0])) return *effort = names[i][1], 0;
    return goss_srv_bad(p, goss_json_get(p->j, o, key), key, "must be low, medium or high");
}

static int read_stream(goss_srv_parse *p)
{
    goss_srv_request *r = p->r;
    int options = goss_srv_field(p, 0, "stream_options");
    if (goss_srv_get_bool(p, 0, "stream", &r->stream)) return -1;
    if (options >= 0 && goss_json_kind(p->j, options) != GOSS_JSON_OBJECT)
        return goss_srv_bad(p, options, "stream_options", "must be an object");
    if (options >= 0 && !r->stream)
        return goss_srv_bad(p, options, "stream_options", "may only be given with stream: true");
    return goss_srv_get_bool(p, options, "include_usage", &r->include_usage);
}

int goss_srv_read_chat(goss_srv_parse *p)
{
    static const char known[] =
        " messages model tools tool_choice parallel_tool_calls response_format "
        "reasoning_effort stream stream_options n seed stop "
        "temperature top_p top_k min_p presence_penalty frequency_penalty "
        "repetition_penalty repeat_penalty repeat_last_n logit_bias logprobs "
        "top_logprobs max_tokens max_completion_tokens sample " GOSS_SRV_EXTRAS "user store metadata "
        "reasoning_budget_tokens reasoning_budget thinking_token_budget ";
    goss_srv_request *r = p->r;
    int messages = goss_srv_field(p, 0, "messages"), tools = goss_srv_field(p, 0, "tools"), wanted = 0,
        top = 0, parallel = 1;
    const char *effort = NULL;
    goss_srv_note_unknown(p, 0, "/v1/chat/completions", known);
    if (goss_json_kind(p->j, messages) != GOSS_JSON_ARRAY || !p->j->nodes[messages].n)
        return goss_srv_bad(p, messages, "messages", "must be an array with at least one message");
    if (goss_srv_tools_read(p, tools, "parameters") ||
        goss_srv_tools_choose(p, goss_srv_field(p, 0, "tool_choice")) ||
        goss_srv_tools_use(p) || read_format(p) ||
        goss_srv_read_effort(p, 0, "reasoning_effort", &effort) || read_stream(p) ||
        goss_srv_get_sampling(p, 0) || goss_srv_get_extras(p, 0) || goss_srv_get_stops(p, 0, "stop") ||
        goss_srv_get_int(p, 0, "n", 1, p->c->max_choices, &r->n) ||
        goss_srv_get_bool(p, 0, "logprobs", &wanted) || goss_srv_get_int(p, 0, "top_logprobs", 0, 20, &top) ||
        read_limit(p, "max_tokens") || read_limit(p, "max_completion_tokens") ||
        goss_srv_get_bool(p, 0, "parallel_tool_calls", &parallel))
        return -1;
    if (top && !wanted)
        return goss_srv_bad(p, goss_json_get(p->j, 0, "top_logprobs"), "top_logprobs",
                            "needs logprobs: true");
    if (wanted) r->logprobs = top;
    r->params.one_call = !parallel || r->n_served;
    if (r->n_served && r->n > 1)
        return goss_srv_bad(p, goss_srv_field(p, 0, "n"), "n", "must be 1 with tools that the server runs");
    goss_srv_chat_begin(p, effort);
    for (int m = goss_json_first(p->j, messages); m >= 0; m = goss_json_next(p->j, m))
        if (goss_srv_chat_openai_message(p, m)) return -1;
    return 0;
}

/* ---- completions ----------------------------------------------------------------------------- */
static int read_ids(goss_srv_parse *p, int list, const char *param, goss_srv_prompt *out)
{
    int32_t *ids = goss_srv_keep(p->r, (p->j->nodes[list].n + 1) * sizeof *ids);
    int n = 0;
    if (!ids) return goss_srv_refuse(p->fail, 500, "out_of_memory", param, -1, "out of memory");
    for (int t = goss_json_first(p->j, list); t >= 0; t = goss_json_next(p->j, t)) {
        double v = goss_json_number(p->j, t, -1);
        if (goss_json_kind(p->j, t) != GOSS_JSON_NUMBER || v < 0 || v > 1e9 || v != (double)(int32_t)v)
            return goss_srv_bad(p, t, param, "must hold token ids only");
        ids[n++] = (int32_t)v;
    }
    *out = (goss_srv_prompt){ .ids = ids, .n_ids = n };
    return 0;
}

int goss_srv_read_prompts(goss_srv_parse *p, const char *key, uint32_t most)
{
    goss_srv_request *r = p->r;
    int node = goss_srv_field(p, 0, key), first = goss_json_first(p->j, node),
        kind = goss_json_kind(p->j, node);
    int many = kind == GOSS_JSON_ARRAY && goss_json_kind(p->j, first) != GOSS_JSON_NUMBER;
    if (kind != GOSS_JSON_STRING && (kind != GOSS_JSON_ARRAY || first < 0))
        return goss_srv_bad(p, node, key, "must be a string, an array of strings or token ids");
    uint32_t n = many ? p->j->nodes[node].n : 1;
    if (n > most) return goss_srv_bad(p, node, key, "has more members than are allowed");
    r->prompts = goss_srv_keep(r, n * sizeof *r->prompts);
    if (!r->prompts) return goss_srv_refuse(p->fail, 500, "out_of_memory", key, -1, "out of memory");
    for (int one = many ? first : node; one >= 0; one = many ? goss_json_next(p->j, one) : -1) {
        goss_srv_prompt *q = &r->prompts[r->n_prompts++];
        if (goss_json_kind(p->j, one) == GOSS_JSON_ARRAY
                ? read_ids(p, one, key, q)
                : goss_srv_text_of(p, one, key, &q->text, &q->n_text))
            return -1;
    }
    return 0;
}

static int read_choices(goss_srv_parse *p)
{
    const uint32_t most = (uint32_t)p->c->max_choices;
    const int node = goss_srv_field(p, 0, "prompt");
    if (goss_srv_read_prompts(p, "prompt", 1u << 20)) return -1;
    if ((uint32_t)p->r->n_prompts * (uint32_t)p->r->n > most)
        return goss_srv_bad(p, node, "prompt", "and n ask for more choices than --max-choices allows");
    return 0;
}

/* harmony: true wraps one prompt as the user's message. */
static int wrap(goss_srv_parse *p)
{
    goss_srv_request *r = p->r;
    const goss_srv_prompt *q = r->prompts;
    const char *effort = NULL;
    if (r->n_prompts != 1 || !q->text)
        return goss_srv_bad(p, goss_json_get(p->j, 0, "prompt"), "prompt",
                            "must be one string with harmony: true");
    if (goss_srv_read_effort(p, 0, "reasoning_effort", &effort)) return -1;
    goss_srv_chat_begin(p, effort);
    return goss_srv_chat_add_text(p, 0, GOSS_ROLE_USER, (goss_str){ q->text, q->n_text });
}

int goss_srv_read_text(goss_srv_parse *p)
{
    static const char known[] =
        " prompt model stream stream_options n seed stop temperature top_p top_k min_p "
        "presence_penalty frequency_penalty "
        "repetition_penalty repeat_penalty repeat_last_n logit_bias logprobs max_tokens "
        "echo best_of user harmony reasoning_effort sample " GOSS_SRV_EXTRAS "suffix "
        "reasoning_budget_tokens reasoning_budget thinking_token_budget ";
    goss_srv_request *r = p->r;
    int harmony = p->c->harmony, best_of = 0;
    const char *suffix = NULL;
    goss_srv_note_unknown(p, 0, "/v1/completions", known);
    r->params.max_tokens = 16; /* OpenAI's default here */
    if (goss_srv_get_bool(p, 0, "harmony", &harmony)) return -1;
    if (harmony) r->params.max_tokens = 0;
    if (goss_srv_get_int(p, 0, "n", 1, p->c->max_choices, &r->n) || read_choices(p) || read_stream(p) ||
        goss_srv_get_sampling(p, 0) || goss_srv_get_extras(p, 0) || goss_srv_get_stops(p, 0, "stop") ||
        goss_srv_get_bool(p, 0, "echo", &r->echo) ||
        goss_srv_get_int(p, 0, "logprobs", 0, 20, &r->logprobs) ||
        goss_srv_get_int(p, 0, "best_of", 1, 1 << 20, &best_of) || goss_srv_get_text(p, 0, "suffix", &suffix))
        return -1;
    int max = goss_srv_field(p, 0, "max_tokens");
    /* only the prompt */
    if (max >= 0 && goss_json_kind(p->j, max) == GOSS_JSON_NUMBER && p->j->nodes[max].number == 0)
        r->params.max_tokens = -1;
    else if (read_limit(p, "max_tokens")) return -1;
    if (best_of > r->n)
        return goss_srv_bad(p, goss_json_get(p->j, 0, "best_of"), "best_of",
                            "must not be more than n: use n");
    if (suffix && *suffix)
        return goss_srv_bad(p, goss_json_get(p->j, 0, "suffix"), "suffix",
                            "is not something this model can fill towards");
    return harmony ? wrap(p) : 0;
}

/* ---- tokens ---------------------------------------------------------------------------------- */
int goss_srv_read_tokens(goss_srv_parse *p)
{
    goss_srv_request *r = p->r;
    int special = 0, bos = 0;
    if (r->api == GOSS_SRV_DETOKENIZE) {
        int list = goss_srv_field(p, 0, "tokens");
        if (goss_json_kind(p->j, list) != GOSS_JSON_ARRAY)
            return goss_srv_bad(p, list, "tokens", "must be an array of token ids");
        r->prompts = goss_srv_keep(r, sizeof *r->prompts);
        r->n_prompts = 1;
        return r->prompts ? read_ids(p, list, "tokens", r->prompts) : -1;
    }
    int node = goss_srv_field(p, 0, "content");
    if (node < 0) node = goss_srv_field(p, 0, "text");
    if (node < 0) node = goss_srv_field(p, 0, "prompt");
    if (node < 0) return goss_srv_bad(p, node, "content", "is missing");
    if (goss_srv_get_bool(p, 0, "parse_special", &special) || goss_srv_get_bool(p, 0, "special", &special) ||
        goss_srv_get_bool(p, 0, "add_special", &bos) || goss_srv_get_bool(p, 0, "with_pieces", &r->pieces))
        return -1;
    r->special = special;
    r->bos = bos;
    return goss_srv_text_of(p, node, "content", &r->text, &r->n_text);
}
