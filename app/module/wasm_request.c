/* wasm_request.c - JSON from JavaScript into goss_engine_config and goss_params. Unknown members are ignored,
 * members of the wrong kind are refused by name, so that a typing error in a page is heard of. */
#include "wasm_request.h"
#include "base/error.h"
#include <string.h>

/* The refusal of a reader in common/. */
static int refused(const goss_reading *r, goss_error *err)
{
    const int64_t at = r->node >= 0 ? (int64_t)r->j->nodes[r->node].start : -1;
    return *r->why ? goss_fail(err, GOSS_EINVAL, at, "%s %s", r->key, r->why)
                   : goss_fail(err, GOSS_ENOMEM, at, "no memory for %s", r->key);
}

static int get_flag(const goss_json *j, const char *key)
{
    return goss_json_bool(j, goss_json_get(j, 0, key), 0);
}

/* ---- requests ------------------------------------------------------------------------------------------ */
/* response_format: {type: "json_object"} or {type: "json_schema", json_schema: {schema: {...}}} */
static int read_schema(goss_wasm_request *r)
{
    const goss_json *j = &r->json;
    int format = goss_json_get(j, 0, "response_format"), type = goss_json_get(j, format, "type");
    int schema = goss_json_get(j, goss_json_get(j, format, "json_schema"), "schema");
    int any = goss_json_is(j, type, "json_object");
    if (!any && !(goss_json_is(j, type, "json_schema") && schema >= 0)) return 0;
    int rc = any ? goss_buf_str(&r->schema, "{}") : goss_json_write(j, schema, &r->schema);
    r->params.json_schema = goss_buf_cstr(&r->schema);
    return rc;
}

static int read_sampling(goss_wasm_request *r, goss_error *err)
{
    goss_reading in = { .j = &r->json, .owned = &r->owned };
    return goss_params_read(&in, 0, &r->params, GOSS_FOR_BROWSER) ||
           goss_params_read_stops(&in, 0, "stop", GOSS_WASM_STOPS, &r->params) ? refused(&in, err) : 0;
}

/* Who may be called, and how often. */
static int read_tools(goss_wasm_request *r)
{
    const goss_json *j = &r->json;
    const int tools = goss_json_get(j, 0, "tools"), choice = goss_json_get(j, 0, "tool_choice");
    const int named = goss_json_get(j, goss_json_get(j, choice, "function"), "name");
    for (int k = goss_json_first(j, goss_json_get(j, 0, "builtin_tools")); k >= 0; k = goss_json_next(j, k))
        r->params.builtin |= goss_json_is(j, k, "browser") ? GOSS_TOOL_BROWSER
                             : goss_json_is(j, k, "python") ? GOSS_TOOL_PYTHON : 0;
    r->params.one_call = goss_json_kind(j, goss_json_get(j, 0, "parallel_tool_calls")) == GOSS_JSON_FALSE;
    if (goss_json_kind(j, tools) != GOSS_JSON_ARRAY) return 0;
    r->params.must_call = goss_json_is(j, choice, "required") || named >= 0;
    const int rc = goss_json_write(j, tools, &r->tools);
    r->params.tools_json = goss_buf_cstr(&r->tools);
    return rc;
}

/* A prompt in tokens. */
static int read_tokens(goss_wasm_request *r, goss_error *err)
{
    const goss_json *j = &r->json;
    const int list = goss_json_get(j, 0, "tokens");
    if (list < 0) return 0;
    if (goss_json_kind(j, list) != GOSS_JSON_ARRAY || goss_json_first(j, list) < 0)
        return goss_fail(err, GOSS_EINVAL, -1, "tokens must be a list of token ids");
    for (int t = goss_json_first(j, list); t >= 0; t = goss_json_next(j, t)) {
        const double id = goss_json_number(j, t, -1);
        if (!(id >= 0 && id < INT32_MAX) || id != (double)(int32_t)id)
            return goss_fail(err, GOSS_EINVAL, -1, "tokens must be a list of token ids");
        if (goss_buf_i32(&r->tokens, (int32_t)id))
            return goss_fail(err, GOSS_ENOMEM, -1, "no memory for the tokens");
    }
    r->params.chat = get_flag(j, "chat");
    const double echo = goss_json_number(j, goss_json_get(j, 0, "echo"), 0);
    r->params.echo = echo > 0 && echo < INT32_MAX ? (int)echo : 0;
    return 0;
}

int goss_wasm_request_read(goss_wasm_request *r, const char *text, size_t n, goss_error *err)
{
    memset(r, 0, sizeof *r);
    r->params = goss_params_default();
    r->prompt = GOSS_BUF(1u << 26), r->schema = GOSS_BUF(1u << 20), r->tools = GOSS_BUF(1u << 22);
    r->tokens = GOSS_BUF(1u << 26);
    int rc = goss_json_parse(&r->json, text, n, NULL, err);
    if (!rc) rc = read_sampling(r, err);
    if (!rc) rc = read_schema(r);
    if (rc) return rc;
    const goss_json *j = &r->json;
    r->raw = goss_json_kind(j, goss_json_get(j, 0, "messages")) != GOSS_JSON_ARRAY;
    r->params.chat = !r->raw;
    r->tokenize_flags = GOSS_TOKENIZE_BOS | (get_flag(j, "special") ? GOSS_TOKENIZE_SPECIAL : 0);
    if (get_flag(j, "prefill_only")) r->params.max_tokens = -1;
    rc = read_tools(r);
    if (!rc) rc = read_tokens(r, err);
    if (!rc && r->raw && !r->tokens.len && goss_json_string(j, goss_json_get(j, 0, "prompt"), &r->prompt))
        return goss_fail(err, GOSS_EINVAL, -1,
                         "a request needs messages (an array), prompt (a text) or tokens");
    return rc;
}

void goss_wasm_request_free(goss_wasm_request *r)
{
    goss_json_free(&r->json);
    goss_buf_free(&r->prompt);
    goss_buf_free(&r->schema);
    goss_buf_free(&r->tools);
    goss_buf_free(&r->tokens);
    goss_owned_free(&r->owned);
}

/* ---- engine ------------------------------------------------------------------------------------------- */
static int read_sources(goss_wasm_config *c, goss_error *err)
{
    const goss_json *j = &c->json;
    goss_reading in = { .j = j, .owned = &c->owned };
    int list = goss_json_get(j, 0, "sources");
    for (int s = goss_json_first(j, list); s >= 0; s = goss_json_next(j, s)) {
        const int n = c->options.config.n_sources, name = goss_json_get(j, s, "name");
        if (n == GOSS_WASM_SOURCES)
            return goss_fail(err, GOSS_ELIMIT, -1, "at most %d shards", GOSS_WASM_SOURCES);
        goss_source *out = &c->sources[n];
        double map = goss_json_number(j, goss_json_get(j, s, "map"), 0);
        *out = (goss_source){ .ctx = (void *)(uintptr_t)n,
                              .size = (uint64_t)goss_json_number(j, goss_json_get(j, s, "size"), 0),
                              .map = (const void *)(uintptr_t)map };
        if (name >= 0 && goss_reading_text(&in, name, "name", &out->name, NULL) < 0) return refused(&in, err);
        c->options.config.n_sources = n + 1;
    }
    return c->options.config.n_sources ? 0 : goss_fail(err, GOSS_EINVAL, -1, "no sources");
}

/* Entries of the store of prefixes; what has no proper name is none. */
static void read_prefixes(goss_wasm_config *c)
{
    const goss_json *j = &c->json;
    int p = goss_json_first(j, goss_json_get(j, 0, "prefixes"));
    for (; p >= 0 && c->n_prefixes < GOSS_WASM_PREFIXES; p = goss_json_next(j, p)) {
        goss_buf name = GOSS_BUF(sizeof c->prefixes[0].name - 1);
        int rc = goss_json_string(j, goss_json_get(j, p, "name"), &name);
        if (!rc) {
            const int i = c->n_prefixes++;
            memcpy(c->prefixes[i].name, goss_buf_cstr(&name), name.len + 1);
            c->prefixes[i].bytes = (uint64_t)goss_json_number(j, goss_json_get(j, p, "bytes"), 0);
            c->prefixes[i].used = (uint64_t)goss_json_number(j, goss_json_get(j, p, "used"), 0);
        }
        goss_buf_free(&name);
    }
}

static int read_options(goss_wasm_config *c, goss_error *err)
{
    goss_reading in = { .j = &c->json, .owned = &c->owned };
    goss_engine_options *o = &c->options;
    o->telemetry_mask = GOSS_TELEMETRY_LOAD | GOSS_TELEMETRY_STAGES | GOSS_TELEMETRY_TOKENS;
    if (goss_reading_rows(&in, 0, goss_engine_rows, GOSS_ENGINE_ROWS, o, GOSS_FOR_BROWSER))
        return refused(&in, err);
    o->config.telemetry_mask = (unsigned)o->telemetry_mask;
    return 0;
}

int goss_wasm_config_read(goss_wasm_config *c, const char *text, size_t n, goss_error *err)
{
    memset(c, 0, sizeof *c);
    int rc = goss_json_parse(&c->json, text, n, NULL, err);
    if (!rc) rc = read_sources(c, err);
    if (!rc) rc = read_options(c, err);
    if (rc) return rc;
    read_prefixes(c);
    c->options.config.sources = c->sources;
    return 0;
}

void goss_wasm_config_free(goss_wasm_config *c)
{
    goss_json_free(&c->json);
    goss_owned_free(&c->owned);
}
