/* req_openai.c - reads /v1/chat/completions, /v1/completions, /tokenize and /detokenize. */
#include "parse.h"
#include "../../src/base/fmt.h"
#include <string.h>

/* ---- chat ------------------------------------------------------------------------------------ */
/* One call as {"id","type","function":{"name","arguments"}}, with an id where the client left it out. Arguments may
 * be a string or
 * (as Ollama's) an object. */
static int write_call(goss_srv_parse *p, int call) {
    goss_buf args = GOSS_BUF(SIZE_MAX / 2);
    int f = goss_json_get(p->j, call, "function"), arguments = goss_json_get(p->j, f, "arguments");
    const char *name = NULL, *id = NULL;
    if (goss_srv_get_text(p, f, "name", &name) || goss_srv_get_text(p, call, "id", &id)) return -1;
    if (!name) return goss_srv_bad(p, call, "messages.tool_calls", "must each name a function");
    if (!id || !*id) {
        char made[24];
        id = goss_srv_keep_text(p->r, made, goss_fmt(made, sizeof made, "call_%d", p->n_calls));
        if (!id) return goss_srv_bad(p, call, "messages.tool_calls", "do not fit in memory");
    }
    p->n_calls++;
    p->last_call = id;
    if (goss_json_kind(p->j, arguments) == GOSS_JSON_STRING) goss_json_string(p->j, arguments, &args);
    else if (arguments >= 0) goss_json_write(p->j, arguments, &args);
    goss_srv_chat_call(p, id, name, (const char *)args.data, args.len);
    goss_buf_free(&args);
    return 0;
}

static int write_calls(goss_srv_parse *p, int calls) {
    if (goss_json_kind(p->j, calls) != GOSS_JSON_ARRAY)
        return goss_srv_bad(p, calls, "messages.tool_calls", "must be an array");
    if (!p->j->nodes[calls].n) return 0;
    goss_buf_str(&p->r->chat, ",\"tool_calls\":[");
    int k = 0;
    for (int call = goss_json_first(p->j, calls); call >= 0; call = goss_json_next(p->j, call)) {
        if (k++) goss_buf_str(&p->r->chat, ",");
        if (write_call(p, call)) return -1;
    }
    goss_buf_str(&p->r->chat, "]");
    return 0;
}

int goss_srv_chat_openai_message(goss_srv_parse *p, int m) {
    static const char *const roles[] = { "system", "developer", "user", "assistant", "tool", "function" };
    goss_buf text = GOSS_BUF(SIZE_MAX / 2);
    const char *role = NULL, *reasoning = NULL, *name = NULL, *id = NULL;
    int r = 0, calls = goss_srv_field(p, m, "tool_calls"), content = goss_srv_field(p, m, "content");
    if (goss_json_kind(p->j, m) != GOSS_JSON_OBJECT) return goss_srv_bad(p, m, "messages", "must be objects");
    if (goss_srv_get_text(p, m, "role", &role)) return -1;
    for (; r < 6 && (!role || strcmp(role, roles[r])); r++) {}
    if (r == 6) return goss_srv_bad(p, m, "messages.role", "must be system, developer, user, assistant or tool");
    if (content < 0 && r != 3) return goss_srv_bad(p, m, "messages.content", "is missing");
    if (goss_srv_get_text(p, m, "reasoning_content", &reasoning) ||
        (!reasoning && goss_srv_get_text(p, m, "reasoning", &reasoning)) ||
        (!reasoning && goss_srv_get_text(p, m, "thinking", &reasoning)) || goss_srv_get_text(p, m, "name", &name) ||
        (!name && goss_srv_get_text(p, m, "tool_name", &name)) || goss_srv_get_text(p, m, "tool_call_id", &id))
        return -1;
    if (goss_srv_chat_message(p, m, r == 5 ? "tool" : roles[r])) return -1;
    int failed = goss_srv_content(p, content, "messages.content", " text refusal ", &text);
    if (!failed && (content >= 0 || calls < 0)) goss_srv_chat_text(p, "content", (const char *)text.data, text.len);
    goss_buf_free(&text);
    if (failed) return -1;
    if (reasoning && r == 3) goss_srv_chat_text(p, "reasoning_content", reasoning, strlen(reasoning));
    const char *called = NULL;
    if (calls >= 0 && !reasoning && goss_srv_get_text(p, goss_json_first(p->j, calls), "id", &called)) return -1;
    if (called && r == 3) goss_srv_chat_recall(p, called);
    if (calls >= 0 && r == 3 && write_calls(p, calls)) return -1;
    if (!id && r >= 4) id = p->last_call;
    if (id && r >= 4) goss_srv_chat_text(p, "tool_call_id", id, strlen(id));
    if (name) goss_srv_chat_text(p, "name", name, strlen(name));
    goss_buf_str(&p->r->chat, "}");
    return 0;
}

/* Checks the tools and gives them as text; the bytes go to the renderer unchanged. */
int goss_srv_read_tools(goss_srv_parse *p, int tools, const char **text, int *n) {
    *text = NULL;
    *n = 0;
    if (tools < 0) return 0;
    if (goss_json_kind(p->j, tools) != GOSS_JSON_ARRAY) return goss_srv_bad(p, tools, "tools", "must be an array");
    if (p->j->nodes[tools].n > (uint32_t)p->c->max_tools)
        return goss_srv_bad(p, tools, "tools", "are more than --max-tools allows");
    for (int t = goss_json_first(p->j, tools); t >= 0; t = goss_json_next(p->j, t)) {
        int f = goss_json_get(p->j, t, "function"), parameters = goss_srv_field(p, f, "parameters"),
            name = goss_json_get(p->j, f, "name");
        if (!goss_json_is(p->j, goss_json_get(p->j, t, "type"), "function"))
            return goss_srv_bad(p, t, "tools", "must be of type function");
        if (goss_json_kind(p->j, name) != GOSS_JSON_STRING || p->j->nodes[name].end == p->j->nodes[name].start ||
            p->j->nodes[name].end - p->j->nodes[name].start > 64)
            return goss_srv_bad(p, t, "tools.function.name", "must have 1 to 64 characters");
        if (parameters >= 0 && goss_json_kind(p->j, parameters) != GOSS_JSON_OBJECT)
            return goss_srv_bad(p, parameters, "tools.function.parameters", "must be a JSON schema (an object)");
        if (parameters >= 0 && p->j->nodes[parameters].end - p->j->nodes[parameters].start > p->c->max_schema)
            return goss_srv_bad(p, parameters, "tools.function.parameters", "are larger than --max-schema allows");
    }
    *n = (int)p->j->nodes[tools].n;
    return *n ? goss_srv_json_of(p, tools, text) : 0;
}

static int tool_named(goss_srv_parse *p, int tools, const char *name) {
    for (int t = goss_json_first(p->j, tools); t >= 0; t = goss_json_next(p->j, t))
        if (goss_json_is(p->j, goss_json_get(p->j, goss_json_get(p->j, t, "function"), "name"), name)) return 1;
    return 0;
}

/* Reads tool_choice; *none is set when the tools are to be left out. */
static int read_choice(goss_srv_parse *p, int tools, int n_tools, int *none) {
    int node = goss_srv_field(p, 0, "tool_choice");
    const char *name = NULL;
    *none = 0;
    if (node < 0) return 0;
    if (goss_json_is(p->j, node, "auto")) return 0;
    if (goss_json_is(p->j, node, "none")) return *none = 1, 0;
    if (goss_json_is(p->j, node, "required")) return goss_srv_set_choice(p, node, "required", NULL, n_tools);
    if (goss_json_kind(p->j, node) != GOSS_JSON_OBJECT ||
        !goss_json_is(p->j, goss_json_get(p->j, node, "type"), "function"))
        return goss_srv_bad(p, node, "tool_choice",
                            "must be none, auto, required or {\"type\":\"function\",\"function\":{\"name\":...}}");
    if (goss_srv_get_text(p, goss_json_get(p->j, node, "function"), "name", &name)) return -1;
    if (!name || !tool_named(p, tools, name))
        return goss_srv_bad(p, node, "tool_choice", "names a function that is not among the tools");
    return goss_srv_set_choice(p, node, "named", name, n_tools);
}

static int read_format(goss_srv_parse *p, const char **text) {
    int node = goss_srv_field(p, 0, "response_format"), type = goss_json_get(p->j, node, "type"),
        js = goss_json_get(p->j, node, "json_schema");
    *text = NULL;
    if (node < 0 || goss_json_is(p->j, type, "text")) return 0;
    if (goss_json_is(p->j, type, "json_object")) p->r->params.json_schema = "{}";
    else if (!goss_json_is(p->j, type, "json_schema"))
        return goss_srv_bad(p, node, "response_format", "must be of type text, json_object or json_schema");
    else if (goss_srv_set_schema(p, goss_json_get(p->j, js, "schema"), "response_format.json_schema.schema"))
        return -1;
    return goss_srv_json_of(p, node, text);
}

/* -1 is no limit, as llama.cpp's users write it. */
static int read_limit(goss_srv_parse *p, const char *key) {
    int max = p->r->params.max_tokens, node = goss_srv_field(p, 0, key);
    if (node >= 0 && goss_json_kind(p->j, node) == GOSS_JSON_NUMBER && goss_json_number(p->j, node, 0) == -1)
        return p->r->params.max_tokens = 0;
    if (goss_srv_get_int(p, 0, key, 1, 1 << 30, &max)) return -1;
    p->r->params.max_tokens = max;
    return 0;
}

int goss_srv_read_effort(goss_srv_parse *p, int o, const char *key, const char **effort) {
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

static int read_stream(goss_srv_parse *p) {
    goss_srv_request *r = p->r;
    int options = goss_srv_field(p, 0, "stream_options");
    if (goss_srv_get_bool(p, 0, "stream", &r->stream)) return -1;
    if (options >= 0 && goss_json_kind(p->j, options) != GOSS_JSON_OBJECT)
        return goss_srv_bad(p, options, "stream_options", "must be an object");
    if (options >= 0 && !r->stream)
        return goss_srv_bad(p, options, "stream_options", "may only be given with stream: true");
    return goss_srv_get_bool(p, options, "include_usage", &r->include_usage);
}

int goss_srv_read_chat(goss_srv_parse *p) {
    static const char known[] = " messages model tools tool_choice parallel_tool_calls response_format "
                                "reasoning_effort stream stream_options n seed stop "
                                "temperature top_p top_k min_p presence_penalty frequency_penalty "
                                "repetition_penalty repeat_penalty repeat_last_n logit_bias logprobs "
                                "top_logprobs max_tokens max_completion_tokens sample telemetry telemetry_top_k "
                                "max_kv layers moe_fallback user store metadata ";
    goss_srv_request *r = p->r;
    int messages = goss_srv_field(p, 0, "messages"), tools = goss_srv_field(p, 0, "tools"), wanted = 0, top = 0,
        none, n_tools, parallel = 0;
    const char *tools_text, *format, *effort = NULL;
    goss_srv_note_unknown(p, 0, "/v1/chat/completions", known);
    if (goss_json_kind(p->j, messages) != GOSS_JSON_ARRAY || !p->j->nodes[messages].n)
        return goss_srv_bad(p, messages, "messages", "must be an array with at least one message");
    if (goss_srv_read_tools(p, tools, &tools_text, &n_tools) || read_choice(p, tools, n_tools, &none) ||
        read_format(p, &format) || goss_srv_read_effort(p, 0, "reasoning_effort", &effort) || read_stream(p) ||
        goss_srv_get_sampling(p, 0) || goss_srv_get_extras(p, 0) || goss_srv_get_stops(p, 0, "stop") ||
        goss_srv_get_int(p, 0, "n", 1, p->c->max_choices, &r->n) || goss_srv_get_bool(p, 0, "logprobs", &wanted) ||
        goss_srv_get_int(p, 0, "top_logprobs", 0, 20, &top) || read_limit(p, "max_tokens") ||
        read_limit(p, "max_completion_tokens") || goss_srv_get_bool(p, 0, "parallel_tool_calls", &parallel))
        return -1;
    if (parallel)
        return goss_srv_bad(p, goss_json_get(p->j, 0, "parallel_tool_calls"), "parallel_tool_calls",
                            "is not possible: this model makes one call a turn; send false or leave it out");
    if (top && !wanted)
        return goss_srv_bad(p, goss_json_get(p->j, 0, "top_logprobs"), "top_logprobs", "needs logprobs: true");
    if (wanted) r->logprobs = top;
    goss_srv_chat_begin(p);
    for (int m = goss_json_first(p->j, messages); m >= 0; m = goss_json_next(p->j, m))
        if (goss_srv_chat_openai_message(p, m)) return -1;
    return goss_srv_chat_end(p, none ? NULL : tools_text, format, effort);
}

/* ---- completions ----------------------------------------------------------------------------- */
static int read_ids(goss_srv_parse *p, int list, const char *param, goss_srv_prompt *out) {
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

static int read_prompts(goss_srv_parse *p) {
    goss_srv_request *r = p->r;
    int node = goss_srv_field(p, 0, "prompt"), first = goss_json_first(p->j, node), kind = goss_json_kind(p->j, node);
    int many = kind == GOSS_JSON_ARRAY && goss_json_kind(p->j, first) != GOSS_JSON_NUMBER;
    if (kind != GOSS_JSON_STRING && (kind != GOSS_JSON_ARRAY || first < 0))
        return goss_srv_bad(p, node, "prompt", "must be a string, an array of strings or token ids");
    uint32_t n = many ? p->j->nodes[node].n : 1;
    if (n * (uint32_t)r->n > (uint32_t)p->c->max_choices)
        return goss_srv_bad(p, node, "prompt", "and n ask for more choices than --max-choices allows");
    r->prompts = goss_srv_keep(r, n * sizeof *r->prompts);
    if (!r->prompts) return goss_srv_refuse(p->fail, 500, "out_of_memory", "prompt", -1, "out of memory");
    for (int one = many ? first : node; one >= 0; one = many ? goss_json_next(p->j, one) : -1) {
        goss_srv_prompt *q = &r->prompts[r->n_prompts++];
        if (goss_json_kind(p->j, one) == GOSS_JSON_ARRAY ? read_ids(p, one, "prompt", q)
                                                         : goss_srv_text_of(p, one, "prompt", &q->text, &q->n_text))
            return -1;
    }
    return 0;
}

/* harmony: true wraps one prompt as the user's message. */
static int wrap(goss_srv_parse *p) {
    goss_srv_request *r = p->r;
    const goss_srv_prompt *q = r->prompts;
    const char *effort = NULL;
    if (r->n_prompts != 1 || !q->text)
        return goss_srv_bad(p, goss_json_get(p->j, 0, "prompt"), "prompt", "must be one string with harmony: true");
    if (goss_srv_read_effort(p, 0, "reasoning_effort", &effort)) return -1;
    goss_srv_chat_begin(p);
    if (goss_srv_chat_message(p, 0, "user")) return -1;
    goss_srv_chat_text(p, "content", q->text, q->n_text);
    goss_buf_str(&r->chat, "}");
    return goss_srv_chat_end(p, NULL, NULL, effort);
}

int goss_srv_read_text(goss_srv_parse *p) {
    static const char known[] = " prompt model stream stream_options n seed stop temperature top_p top_k min_p "
                                "presence_penalty frequency_penalty "
                                "repetition_penalty repeat_penalty repeat_last_n logit_bias logprobs max_tokens "
                                "echo best_of user harmony reasoning_effort sample telemetry "
                                "telemetry_top_k max_kv layers moe_fallback suffix ";
    goss_srv_request *r = p->r;
    int harmony = p->c->harmony, best_of = 0;
    const char *suffix = NULL;
    goss_srv_note_unknown(p, 0, "/v1/completions", known);
    r->params.max_tokens = 16; /* OpenAI's default here */
    if (goss_srv_get_bool(p, 0, "harmony", &harmony)) return -1;
    if (harmony) r->params.max_tokens = 0;
    if (goss_srv_get_int(p, 0, "n", 1, p->c->max_choices, &r->n) || read_prompts(p) || read_stream(p) ||
        goss_srv_get_sampling(p, 0) || goss_srv_get_extras(p, 0) || goss_srv_get_stops(p, 0, "stop") ||
        goss_srv_get_bool(p, 0, "echo", &r->echo) || goss_srv_get_int(p, 0, "logprobs", 0, 20, &r->logprobs) ||
        goss_srv_get_int(p, 0, "best_of", 1, 1 << 20, &best_of) || goss_srv_get_text(p, 0, "suffix", &suffix))
        return -1;
    int max = goss_srv_field(p, 0, "max_tokens");
    /* only the prompt */
    if (max >= 0 && goss_json_kind(p->j, max) == GOSS_JSON_NUMBER && p->j->nodes[max].number == 0)
        r->params.max_tokens = -1;
    else if (read_limit(p, "max_tokens")) return -1;
    if (best_of > r->n)
        return goss_srv_bad(p, goss_json_get(p->j, 0, "best_of"), "best_of", "must not be more than n: use n");
    if (suffix && *suffix)
        return goss_srv_bad(p, goss_json_get(p->j, 0, "suffix"), "suffix",
                            "is not something this model can fill towards");
    return harmony ? wrap(p) : 0;
}

/* ---- tokens ---------------------------------------------------------------------------------- */
int goss_srv_read_tokens(goss_srv_parse *p) {
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
        goss_srv_get_bool(p, 0, "add_special", &bos) || goss_srv_get_bool(p, 0, "with_pieces", &r->pieces)) return -1;
    r->special = special;
    r->bos = bos;
    return goss_srv_text_of(p, node, "content", &r->text, &r->n_text);
}
