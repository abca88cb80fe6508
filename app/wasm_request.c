/* wasm_request.c - JSON from JavaScript into goss_engine_config and goss_params. Unknown members are
 * ignored, members of
 * the wrong kind are refused by name, so that a typing error in a page is heard of. */
#include "wasm_request.h"
#include "../src/base/error.h"
#include "../src/base/fmt.h"
#include <string.h>

static int number(const goss_json *j, const char *key, double *out, goss_error *err) {
    int node = goss_json_get(j, 0, key), kind = goss_json_kind(j, node);
    if (!kind || kind == GOSS_JSON_NULL) return 0;
    if (kind != GOSS_JSON_NUMBER) return goss_fail(err, GOSS_EINVAL, j->nodes[node].start, "%s must be a number", key);
    *out = goss_json_number(j, node, 0);
    return 0;
}

static int get_f32(const goss_json *j, const char *key, float *out, goss_error *err) {
    double v = (double)*out;
    int rc = number(j, key, &v, err);
    *out = (float)v;
    return rc;
}

static int get_int(const goss_json *j, const char *key, int *out, goss_error *err) {
    double v = *out;
    int rc = number(j, key, &v, err);
    if (!rc && !(v >= -2147483648.0 && v <= 2147483647.0))
        return goss_fail(err, GOSS_EINVAL, -1, "%s is out of range", key);
    *out = rc ? *out : (int)v;
    return rc;
}

static int get_u64(const goss_json *j, const char *key, uint64_t *out, goss_error *err) {
    double v = (double)*out;
    int rc = number(j, key, &v, err);
    if (!rc && !(v >= 0 && v <= 9007199254740992.0)) return goss_fail(err, GOSS_EINVAL, -1, "%s is out of range", key);
    *out = rc ? *out : (uint64_t)v;
    return rc;
}

static int get_flag(const goss_json *j, const char *key, int absent)
{
    return goss_json_bool(j, goss_json_get(j, 0, key), absent);
}

/* ---- requests ------------------------------------------------------------------------------------------ */
static int read_stop(goss_wasm_request *r, goss_error *err) {
    const goss_json *j = &r->json;
    int node = goss_json_get(j, 0, "stop"), kind = goss_json_kind(j, node);
    int one = kind == GOSS_JSON_STRING ? node : kind == GOSS_JSON_ARRAY ? goss_json_first(j, node) : -1;
    for (int n = 0; one >= 0; one = kind == GOSS_JSON_ARRAY ? goss_json_next(j, one) : -1) {
        if (n == GOSS_WASM_STOPS)
            return goss_fail(err, GOSS_ELIMIT, j->nodes[one].start, "at most %d stop texts", GOSS_WASM_STOPS);
        r->stop_text[n] = GOSS_BUF(4096);
        if (goss_json_string(j, one, &r->stop_text[n]))
            return goss_fail(err, GOSS_EINVAL, j->nodes[one].start, "stop must be texts");
        r->stop[n] = goss_buf_cstr(&r->stop_text[n]);
        r->params.stop = r->stop;
        r->params.n_stop = ++n;
    }
    return 0;
}

static int read_bias(goss_wasm_request *r, goss_error *err) {
    const goss_json *j = &r->json;
    int key = goss_json_first(j, goss_json_get(j, 0, "logit_bias"));
    for (int n = 0; key >= 0; n++) {
        int value = goss_json_next(j, key);
        double token;
        size_t len = j->nodes[key].end - j->nodes[key].start;
        if (n == GOSS_WASM_BIASES)
            return goss_fail(err, GOSS_ELIMIT, -1, "at most %d tokens in logit_bias", GOSS_WASM_BIASES);
        if (!goss_read_double(j->text + j->nodes[key].start, len, &token) || token < 0 || token > 2147483647.0)
            return goss_fail(err, GOSS_EINVAL, j->nodes[key].start, "logit_bias: names must be token ids");
        r->bias[n] = (goss_logit_bias){ (int32_t)token, (float)goss_json_number(j, value, 0) };
        r->params.bias = r->bias;
        r->params.n_bias = n + 1;
        key = goss_json_next(j, value);
    }
    return 0;
}

/* response_format: {type: "json_object"} or {type: "json_schema", json_schema: {schema: {...}}} */
static int read_schema(goss_wasm_request *r) {
    const goss_json *j = &r->json;
    int format = goss_json_get(j, 0, "response_format"), type = goss_json_get(j, format, "type");
    int schema = goss_json_get(j, goss_json_get(j, format, "json_schema"), "schema");
    int any = goss_json_is(j, type, "json_object");
    if (!any && !(goss_json_is(j, type, "json_schema") && schema >= 0)) return 0;
    int rc = any ? goss_buf_str(&r->schema, "{}") : goss_json_write(j, schema, &r->schema);
    r->params.json_schema = goss_buf_cstr(&r->schema);
    return rc;
}

static int read_sampling(goss_wasm_request *r, goss_error *err) {
    const goss_json *j = &r->json;
    goss_params *p = &r->params;
    int rc = get_f32(j, "temperature", &p->temperature, err);
    if (!rc) rc = get_f32(j, "top_p", &p->top_p, err);
    if (!rc) rc = get_f32(j, "min_p", &p->min_p, err);
    if (!rc) rc = get_int(j, "top_k", &p->top_k, err);
    if (!rc) rc = get_f32(j, "repetition_penalty", &p->repeat_penalty, err);
    if (!rc) rc = get_f32(j, "presence_penalty", &p->presence_penalty, err);
    if (!rc) rc = get_f32(j, "frequency_penalty", &p->frequency_penalty, err);
    if (!rc) rc = get_u64(j, "seed", &p->seed, err);
    if (!rc) rc = get_int(j, "max_tokens", &p->max_tokens, err);
    if (!rc) rc = get_int(j, "max_completion_tokens", &p->max_tokens, err);
    if (!rc) rc = get_int(j, "top_logprobs", &p->n_probs, err);
    return rc;
}

int goss_wasm_request_read(goss_wasm_request *r, const char *text, size_t n, goss_error *err) {
    memset(r, 0, sizeof *r);
    r->params = goss_params_default();
    r->prompt = GOSS_BUF(1u << 26), r->schema = GOSS_BUF(1u << 20), r->tools = GOSS_BUF(1u << 22);
    int rc = goss_json_parse(&r->json, text, n, NULL, err);
    if (!rc) rc = read_sampling(r, err);
    if (!rc) rc = read_stop(r, err);
    if (!rc) rc = read_bias(r, err);
    if (!rc) rc = read_schema(r);
    if (rc) return rc;
    const goss_json *j = &r->json;
    r->raw = goss_json_kind(j, goss_json_get(j, 0, "messages")) != GOSS_JSON_ARRAY;
    r->params.chat = !r->raw;
    r->params.ignore_stop = get_flag(j, "ignore_stop", 0);
    r->params.draft = get_flag(j, "draft", 0);
    r->tokenize_flags = GOSS_TOKENIZE_BOS | (get_flag(j, "special", 0) ? GOSS_TOKENIZE_SPECIAL : 0);
    if (get_flag(j, "prefill_only", 0)) r->params.max_tokens = -1;
    if (goss_json_kind(j, goss_json_get(j, 0, "tools")) == GOSS_JSON_ARRAY) {
        rc = goss_json_write(j, goss_json_get(j, 0, "tools"), &r->tools);
        r->params.tools_json = goss_buf_cstr(&r->tools);
    }
    if (!rc && r->raw && goss_json_string(j, goss_json_get(j, 0, "prompt"), &r->prompt))
        return goss_fail(err, GOSS_EINVAL, -1, "a request needs messages (an array) or prompt (a text)");
    return rc;
}

void goss_wasm_request_free(goss_wasm_request *r) {
    goss_json_free(&r->json);
    goss_buf_free(&r->prompt);
    goss_buf_free(&r->schema);
    goss_buf_free(&r->tools);
    for (int i = 0; i < GOSS_WASM_STOPS; i++) goss_buf_free(&r->stop_text[i]);
}

/* ---- engine ------------------------------------------------------------------------------------------- */
/* A string member as NUL-terminated text inside c->text, which has room for the whole request and so never moves. */
static const char *get_text(goss_wasm_config *c, int object, const char *key) {
    int node = goss_json_get(&c->json, object, key);
    if (goss_json_kind(&c->json, node) != GOSS_JSON_STRING) return NULL;
    size_t at = c->text.len;
    if (goss_json_string(&c->json, node, &c->text) || goss_buf_append(&c->text, "", 1)) return NULL;
    return (const char *)c->text.data + at;
}

static int read_sources(goss_wasm_config *c, goss_error *err) {
    const goss_json *j = &c->json;
    int list = goss_json_get(j, 0, "sources");
    for (int s = goss_json_first(j, list); s >= 0; s = goss_json_next(j, s)) {
        if (c->engine.n_sources == GOSS_WASM_SOURCES)
            return goss_fail(err, GOSS_ELIMIT, -1, "at most %d shards", GOSS_WASM_SOURCES);
        goss_source *out = &c->sources[c->engine.n_sources];
        double map = goss_json_number(j, goss_json_get(j, s, "map"), 0);
        *out = (goss_source){ .ctx = (void *)(uintptr_t)c->engine.n_sources++,
                              .name = get_text(c, s, "name"),
                              .size = (uint64_t)goss_json_number(j, goss_json_get(j, s, "size"), 0),
                              .map = (const void *)(uintptr_t)map };
    }
    return c->engine.n_sources ? 0 : goss_fail(err, GOSS_EINVAL, -1, "no sources");
}

/* Entries of the store of prefixes; what has no proper name is none. */
static void read_prefixes(goss_wasm_config *c) {
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

static int read_sizes(goss_wasm_config *c, goss_error *err) {
    const goss_json *j = &c->json;
    goss_engine_config *e = &c->engine;
    int rc = get_int(j, "threads", &e->n_threads, err);
    if (!rc) rc = get_int(j, "max_kv", &e->max_kv, err);
    if (!rc) rc = get_int(j, "max_sessions", &e->max_sessions, err);
    if (!rc) rc = get_int(j, "max_rows", &e->max_rows, err);
    if (!rc) rc = get_int(j, "layers", &e->n_layers, err);
    if (!rc) rc = get_int(j, "n_cpu_moe", &e->n_cpu_moe, err);
    if (!rc) rc = get_u64(j, "gpu_memory", &e->gpu_memory, err);
    if (!rc) rc = get_u64(j, "resident_cap", &e->resident_cap, err);
    if (!rc) rc = get_u64(j, "expert_cache", &e->expert_cache, err);
    if (!rc) rc = get_u64(j, "kv_cap", &e->kv_cap, err);
    if (!rc) rc = get_u64(j, "prefix_cache", &e->prefix_store_bytes, err);
    if (!rc) rc = get_int(j, "telemetry_layer", &e->telemetry_layer, err);
    if (!rc) rc = get_int(j, "telemetry_head", &e->telemetry_head, err);
    int mask = GOSS_TELEMETRY_LOAD | GOSS_TELEMETRY_STAGES | GOSS_TELEMETRY_TOKENS;
    if (!rc) rc = get_int(j, "telemetry_mask", &mask, err);
    e->telemetry_mask = (unsigned)mask;
    return rc;
}

int goss_wasm_config_read(goss_wasm_config *c, const char *text, size_t n, goss_error *err) {
    memset(c, 0, sizeof *c);
    c->text = GOSS_BUF(n + 64);
    goss_engine_config *e = &c->engine;
    int rc = goss_json_parse(&c->json, text, n, NULL, err);
    if (!rc && goss_buf_reserve(&c->text, n + 64)) rc = GOSS_ENOMEM;
    if (!rc) rc = read_sources(c, err);
    if (!rc) rc = read_sizes(c, err);
    if (rc) return rc;
    read_prefixes(c);
    e->sources = c->sources;
    e->backend = get_text(c, 0, "backend");
    e->kv_type = get_text(c, 0, "kv_type");
    e->cpu_mask = get_text(c, 0, "cpu_mask");
    e->gpu_mask = get_text(c, 0, "gpu_mask");
    e->moe_fallback = get_flag(&c->json, "moe_fallback", 0);
    e->attn_dense = get_flag(&c->json, "attn_dense", 0);
    e->yarn_llamacpp = get_flag(&c->json, "yarn_llamacpp", 0);
    e->early = get_flag(&c->json, "early", 0);
    e->gpu_limits_default = get_flag(&c->json, "gpu_limits_default", 0);
    return 0;
}

void goss_wasm_config_free(goss_wasm_config *c) {
    goss_json_free(&c->json);
    goss_buf_free(&c->text);
}
