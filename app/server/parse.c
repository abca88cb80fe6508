/* parse.c - see parse.h. Every refusal names the field and the byte where its value starts. */
#include "parse.h"
#include "../../src/base/fmt.h"
#include "../../src/base/mem.h"
#include "../../src/base/os.h"
#include "log.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct goss_srv_block { goss_srv_block *next; char bytes[]; };

static const char *const api_names[GOSS_SRV_N_APIS] = { "chat",         "completions", "responses",
                                                        "messages",     "api_chat",    "api_generate",
                                                        "count_tokens", "tokenize",    "detokenize" };
const char *goss_srv_api_name(goss_srv_api api) { return api_names[api]; }

int goss_srv_refuse(goss_srv_fail *f, int status, const char *code, const char *param, int64_t position,
                    const char *format, ...) {
    va_list args;
    f->status = status;
    f->type = status == 429   ? "rate_limit_error"
              : status >= 500 ? "server_error"
              : status == 401 ? "authentication_error"
                              : "invalid_request_error";
    f->code = code;
    f->stage = "request";
    f->position = position;
    snprintf(f->param, sizeof f->param, "%s", param ? param : "");
    va_start(args, format);
    vsnprintf(f->message, sizeof f->message, format, args);
    va_end(args);
    return -1;
}

void *goss_srv_keep(goss_srv_request *r, size_t n) {
    goss_srv_block *b = goss_mem_alloc(sizeof *b + n + 1);
    if (!b) return NULL;
    b->next = r->blocks;
    r->blocks = b;
    return b->bytes;
}

const char *goss_srv_keep_text(goss_srv_request *r, const void *bytes, size_t n) {
    char *copy = goss_srv_keep(r, n);
    if (copy && n) memcpy(copy, bytes, n);
    return copy;
}

int goss_srv_field(const goss_srv_parse *p, int o, const char *key) {
    int node = goss_json_get(p->j, o, key);
    return goss_json_kind(p->j, node) == GOSS_JSON_NULL ? -1 : node;
}

int goss_srv_bad(goss_srv_parse *p, int node, const char *param, const char *message) {
    int64_t at = node >= 0 ? (int64_t)p->j->nodes[node].start : -1;
    return goss_srv_refuse(p->fail, 400, "invalid_value", param, at, "%s%s%s", param, *param ? " " : "", message);
}

static int no_memory(goss_srv_parse *p) {
    return goss_srv_refuse(p->fail, 500, "out_of_memory", "", -1, "out of memory");
}

int goss_srv_get_bool(goss_srv_parse *p, int o, const char *key, int *out) {
    int node = goss_srv_field(p, o, key), kind = goss_json_kind(p->j, node);
    if (node < 0) return 0;
    if (kind != GOSS_JSON_TRUE && kind != GOSS_JSON_FALSE) return goss_srv_bad(p, node, key, "must be true or false");
    *out = kind == GOSS_JSON_TRUE;
    return 0;
}

static int number(goss_srv_parse *p, int o, const char *key, double min, double max, int whole, double *out) {
    int node = goss_srv_field(p, o, key);
    char text[96];
    if (node < 0) return 0;
    double v = goss_json_number(p->j, node, NAN);
    if (goss_json_kind(p->j, node) == GOSS_JSON_NUMBER && v >= min && v <= max && (!whole || v == floor(v)))
        return *out = v, 1;
    snprintf(text, sizeof text, "must be %s from %.10g to %.10g", whole ? "a whole number" : "a number", min, max);
    return goss_srv_bad(p, node, key, text);
}

int goss_srv_get_int(goss_srv_parse *p, int o, const char *key, int min, int max, int *out) {
    double v;
    int got = number(p, o, key, min, max, 1, &v);
    if (got > 0) *out = (int)v;
    return got < 0 ? -1 : 0;
}

int goss_srv_get_float(goss_srv_parse *p, int o, const char *key, double min, double max, float *out) {
    double v;
    int got = number(p, o, key, min, max, 0, &v);
    if (got > 0) *out = (float)v;
    return got < 0 ? -1 : 0;
}

int goss_srv_text_of(goss_srv_parse *p, int node, const char *param, const char **out, size_t *n) {
    goss_buf b = GOSS_BUF(SIZE_MAX / 2);
    if (goss_json_kind(p->j, node) != GOSS_JSON_STRING) return goss_srv_bad(p, node, param, "must be a string");
    int failed = goss_json_string(p->j, node, &b) < 0;
    const char *text = failed ? NULL : goss_srv_keep_text(p->r, b.data, b.len);
    if (n) *n = b.len;
    int nul = text && strlen(text) != b.len;
    goss_buf_free(&b);
    if (!text) return no_memory(p);
    if (nul && !n) return goss_srv_bad(p, node, param, "must not contain a NUL character");
    *out = text;
    return 0;
}

int goss_srv_get_text(goss_srv_parse *p, int o, const char *key, const char **out) {
    int node = goss_srv_field(p, o, key);
    return node < 0 ? 0 : goss_srv_text_of(p, node, key, out, NULL);
}

int goss_srv_json_of(goss_srv_parse *p, int node, const char **out) {
    goss_buf b = GOSS_BUF(SIZE_MAX / 2);
    if (goss_json_write(p->j, node, &b) == 0) *out = goss_srv_keep_text(p->r, b.data, b.len);
    else *out = NULL;
    goss_buf_free(&b);
    return *out ? 0 : no_memory(p);
}

void goss_srv_note_unknown(goss_srv_parse *p, int o, const char *where, const char *known) {
    char word[80];
    for (int key = goss_json_first(p->j, o); key >= 0; ) {
        const goss_json_node *k = &p->j->nodes[key];
        size_t n = k->end - k->start;
        snprintf(word, sizeof word, " %.*s ", n > 70 ? 70 : (int)n, p->j->text + k->start);
        if (n > 70 || !strstr(known, word)) goss_srv_log_ignored(where, p->j->text + k->start, n);
        int value = goss_json_next(p->j, key);
        key = goss_json_next(p->j, value);
    }
}

/* ---- fields that protocols share ------------------------------------------------------------- */
static int get_bias(goss_srv_parse *p, int o) {
    int node = goss_srv_field(p, o, "logit_bias");
    if (node < 0) return 0;
    if (goss_json_kind(p->j, node) != GOSS_JSON_OBJECT)
        return goss_srv_bad(p, node, "logit_bias", "must be an object of token ids");
    uint32_t n = p->j->nodes[node].n;
    if (n > 1024) return goss_srv_bad(p, node, "logit_bias", "may name 1024 tokens at most");
    goss_logit_bias *bias = goss_srv_keep(p->r, (n + 1) * sizeof *bias);
    if (!bias) return no_memory(p);
    int k = 0;
    for (int key = goss_json_first(p->j, node); key >= 0; k++) {
        const goss_json_node *id = &p->j->nodes[key];
        int value = goss_json_next(p->j, key);
        double token, weight = goss_json_number(p->j, value, NAN);
        if (goss_read_double(p->j->text + id->start, id->end - id->start, &token) != id->end - id->start ||
            id->end == id->start || token < 0 || token > 1e9 || token != floor(token))
            return goss_srv_bad(p, key, "logit_bias", "names a token that is not an id");
        if (!(weight >= -100 && weight <= 100))
            return goss_srv_bad(p, value, "logit_bias", "must be numbers from -100 to 100");
        bias[k] = (goss_logit_bias){ (int32_t)token, (float)weight };
        key = goss_json_next(p->j, value);
    }
    p->r->params.bias = bias;
    p->r->params.n_bias = k;
    return 0;
}

int goss_srv_get_seed(goss_srv_parse *p, int o) {
    double v;
    int got = number(p, o, "seed", -9007199254740992.0, 9007199254740992.0, 1, &v);
    if (got > 0) p->r->params.seed = (uint64_t)(int64_t)v, p->r->has_seed = 1;
    return got < 0 ? -1 : 0;
}

int goss_srv_get_sampling(goss_srv_parse *p, int o) {
    goss_params *g = &p->r->params;
    int sample = 1;
    if (goss_srv_get_float(p, o, "temperature", 0, 2, &g->temperature) ||
        goss_srv_get_float(p, o, "top_p", 0, 1, &g->top_p) || goss_srv_get_float(p, o, "min_p", 0, 1, &g->min_p) ||
        goss_srv_get_int(p, o, "top_k", 0, 1 << 24, &g->top_k) ||
        goss_srv_get_float(p, o, "presence_penalty", -2, 2, &g->presence_penalty) ||
        goss_srv_get_float(p, o, "frequency_penalty", -2, 2, &g->frequency_penalty) ||
        goss_srv_get_float(p, o, "repetition_penalty", 0.01, 10, &g->repeat_penalty) ||
        goss_srv_get_float(p, o, "repeat_penalty", 0.01, 10, &g->repeat_penalty) ||
        goss_srv_get_int(p, o, "repeat_last_n", -1, 1 << 20, &g->repeat_last_n) ||
        goss_srv_get_bool(p, o, "sample", &sample) || get_bias(p, o) || goss_srv_get_seed(p, o))
        return -1;
    if (!sample) g->temperature = 0;
    if (g->top_p <= 0) g->top_p = 1e-6f; /* 0 stands for "only the best": every protocol accepts it */
    return 0;
}

int goss_srv_get_extras(goss_srv_parse *p, int o) {
    goss_srv_request *r = p->r;
    int layers = -1, node = goss_srv_field(p, o, "layers");
    if (goss_srv_get_bool(p, o, "telemetry", &r->telemetry) ||
        goss_srv_get_int(p, o, "telemetry_top_k", 0, 20, &r->telemetry_top_k) ||
        goss_srv_get_int(p, o, "max_kv", 1, 1 << 30, &r->max_kv) ||
        goss_srv_get_bool(p, o, "moe_fallback", &r->moe_fallback))
        return -1;
    if (node >= 0 && goss_json_is(p->j, node, "all")) {
        r->layers = 0;
    } else if (node >= 0) {
        if (goss_srv_get_int(p, o, "layers", 0, 4096, &layers)) return -1;
        r->layers = layers ? layers : -1;
    }
    return 0;
}

int goss_srv_get_stops(goss_srv_parse *p, int o, const char *key) {
    int node = goss_srv_field(p, o, key), list = goss_json_kind(p->j, node) == GOSS_JSON_ARRAY;
    if (node < 0) return 0;
    uint32_t n = list ? p->j->nodes[node].n : 1;
    if (n > (uint32_t)p->c->max_stops) return goss_srv_bad(p, node, key, "names too many stop strings (--max-stops)");
    const char **stops = goss_srv_keep(p->r, (n + 1) * sizeof *stops);
    if (!stops) return no_memory(p);
    int k = 0;
    for (int s = list ? goss_json_first(p->j, node) : node; s >= 0; s = list ? goss_json_next(p->j, s) : -1) {
        if (goss_srv_text_of(p, s, key, &stops[k], NULL)) return -1;
        if (strlen(stops[k]) > 256) return goss_srv_bad(p, s, key, "is longer than 256 bytes");
        k += stops[k][0] != 0;
    }
    p->r->params.stop = stops;
    p->r->params.n_stop = k;
    return 0;
}

int goss_srv_set_schema(goss_srv_parse *p, int node, const char *param) {
    if (goss_json_kind(p->j, node) != GOSS_JSON_OBJECT)
        return goss_srv_bad(p, node, param, "must be a JSON schema (an object)");
    const char *text;
    if (goss_srv_json_of(p, node, &text)) return -1;
    if (strlen(text) > p->c->max_schema) return goss_srv_bad(p, node, param, "is larger than --max-schema allows");
    p->r->params.json_schema = text;
    return 0;
}

int goss_srv_set_choice(goss_srv_parse *p, int node, const char *mode, const char *name, int n_tools) {
    goss_buf b = GOSS_BUF(4096);
    if (!strcmp(mode, "auto") || !strcmp(mode, "none")) return 0;
    if (!n_tools) return goss_srv_bad(p, node, "tool_choice", "asks for a call but no tools are declared");
    goss_buf_str(&b, "<|channel|>commentary to=functions");
    if (name) goss_buf_printf(&b, ".%s <|constrain|>json<|message|>", name);
    p->r->forced = goss_srv_keep_text(p->r, b.data, b.len);
    int failed = b.failed || !p->r->forced;
    goss_buf_free(&b);
    return failed ? no_memory(p) : 0;
}

/* ---- the conversation ------------------------------------------------------------------------ */
void goss_srv_chat_begin(goss_srv_parse *p) {
    goss_buf_str(&p->r->chat, "{\"messages\":[");
    p->r->is_chat = p->r->params.chat = 1;
}

int goss_srv_chat_message(goss_srv_parse *p, int node, const char *role) {
    if (p->n_messages >= p->c->max_messages)
        return goss_srv_bad(p, node, "messages", "hold more messages than --max-messages allows");
    if (p->n_messages++) goss_buf_str(&p->r->chat, ",");
    goss_buf_printf(&p->r->chat, "{\"role\":\"%s\"", role);
    return 0;
}

void goss_srv_chat_text(goss_srv_parse *p, const char *key, const char *text, size_t n) {
    goss_buf_printf(&p->r->chat, ",\"%s\":", key);
    goss_buf_json_string(&p->r->chat, text, n);
}

void goss_srv_chat_recall(goss_srv_parse *p, const char *id) {
    goss_buf thought = GOSS_BUF((size_t)1 << 20);
    if (p->previous && p->previous->find(p->previous->ctx, id, &thought))
        goss_srv_chat_text(p, "reasoning_content", (const char *)thought.data, thought.len);
    goss_buf_free(&thought);
}

void goss_srv_chat_call(goss_srv_parse *p, const char *id, const char *name, const char *args, size_t n) {
    goss_buf *b = &p->r->chat;
    goss_buf_str(b, "{\"id\":");
    goss_buf_json_string(b, id, strlen(id));
    goss_buf_str(b, ",\"type\":\"function\",\"function\":{\"name\":");
    goss_buf_json_string(b, name, strlen(name));
    goss_buf_str(b, ",\"arguments\":");
    goss_buf_json_string(b, args, n);
    goss_buf_str(b, "}}");
}

int goss_srv_content(goss_srv_parse *p, int node, const char *param, const char *types, goss_buf *out) {
    int kind = goss_json_kind(p->j, node);
    if (node < 0 || kind == GOSS_JSON_NULL) return 0;
    if (kind == GOSS_JSON_STRING) return goss_json_string(p->j, node, out) < 0 ? no_memory(p) : 0;
    if (kind != GOSS_JSON_ARRAY) return goss_srv_bad(p, node, param, "must be a string or an array of parts");
    for (int part = goss_json_first(p->j, node); part >= 0; part = goss_json_next(p->j, part)) {
        int type = goss_json_get(p->j, part, "type"), text = goss_json_get(p->j, part, "text");
        if (goss_json_kind(p->j, part) == GOSS_JSON_STRING) { text = part; type = -1;
        } else if (goss_json_kind(p->j, type) != GOSS_JSON_STRING)
            return goss_srv_bad(p, part, param, "has a part without a type");
        char word[40] = "";
        if (type >= 0) {
            const goss_json_node *t = &p->j->nodes[type];
            snprintf(word, sizeof word, " %.*s ", t->end - t->start > 32 ? 32 : (int)(t->end - t->start),
                     p->j->text + t->start);
            if (!strstr(types, word))
                return goss_srv_bad(p, part, param, "has a part of a kind this model does not read: it reads text");
            if (!strcmp(word, " refusal ")) text = goss_json_get(p->j, part, "refusal");
        }
        if (goss_json_kind(p->j, text) != GOSS_JSON_STRING)
            return goss_srv_bad(p, part, param, "has a part without text");
        if (goss_json_string(p->j, text, out) < 0) return no_memory(p);
    }
    return 0;
}

static void write_date(goss_buf *b, const char *date) {
    char today[16];
    time_t now = (time_t)goss_os_unix_time();
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(today, sizeof today, "%Y-%m-%d", &tm);
    goss_buf_str(b, ",\"date\":");
    goss_buf_json_string(b, *date ? date : today, strlen(*date ? date : today));
}

int goss_srv_chat_end(goss_srv_parse *p, const char *tools, const char *format, const char *effort) {
    goss_buf *b = &p->r->chat;
    goss_buf_str(b, "]");
    p->r->params.tools_json = "[]"; /* without tools nothing may be called */
    if (tools) { goss_buf_str(b, ",\"tools\":"); goss_buf_str(b, tools); p->r->params.tools_json = tools; }
    if (format) { goss_buf_str(b, ",\"response_format\":"); goss_buf_str(b, format); }
    goss_buf_printf(b, ",\"reasoning_effort\":\"%s\"", effort ? effort : p->c->effort);
    if (*p->c->identity) goss_srv_chat_text(p, "identity", p->c->identity, strlen(p->c->identity));
    write_date(b, p->c->date);
    goss_buf_str(b, "}");
    return b->failed ? no_memory(p) : 0;
}

/* ---- the whole ------------------------------------------------------------------------------- */
static int (*const readers[GOSS_SRV_N_APIS])(goss_srv_parse *p) = {
    goss_srv_read_chat,     goss_srv_read_text,   goss_srv_read_responses,
    goss_srv_read_messages, goss_srv_read_ollama, goss_srv_read_ollama,
    goss_srv_read_messages, goss_srv_read_tokens, goss_srv_read_tokens,
};

int goss_srv_request_read(goss_srv_request *r, goss_srv_api api, const goss_srv_config *c,
                          const goss_srv_lookup *previous, const char *body, size_t n, goss_srv_fail *fail) {
    goss_json j = { 0 };
    goss_error err = { 0 };
    goss_json_limits limits = { .max_depth = (uint32_t)c->max_depth };
    memset(r, 0, sizeof *r);
    *r = (goss_srv_request){ .api = api,
                             .model = "",
                             .params = goss_params_default(),
                             .n = 1,
                             .logprobs = -1,
                             .telemetry_top_k = 5,
                             .layers = goss_srv_config_layers(c->layers),
                             .moe_fallback = c->moe_fallback,
                             .show_reasoning = 1,
                             .store = 1 };
    r->chat = GOSS_BUF(8 * c->max_body + 65536); /* escapes may grow a text six times */
    r->turn = GOSS_BUF(8 * c->max_body + 65536);
    goss_srv_parse p = { .j = &j, .r = r, .c = c, .previous = previous, .fail = fail };
    int result = -1;
    if (goss_json_parse(&j, body, n, &limits, &err) < 0) {
        goss_srv_refuse(fail, 400, "invalid_json", "", err.position, "the body is not JSON: %s", err.text);
    } else if (goss_json_kind(&j, 0) != GOSS_JSON_OBJECT) {
        goss_srv_refuse(fail, 400, "invalid_json", "", 0, "the body must be a JSON object");
    } else {
        result = goss_srv_get_text(&p, 0, "model", &r->model);
        if (!result) result = readers[api](&p);
    }
    if (c->speculate || *c->draft) r->params.draft = 1;
    goss_json_free(&j);
    if (result < 0) goss_srv_request_free(r);
    return result;
}

void goss_srv_request_free(goss_srv_request *r) {
    for (goss_srv_block *b = r->blocks, *next; b; b = next) {
        next = b->next;
        goss_mem_free(b);
    }
    goss_buf_free(&r->chat);
    goss_buf_free(&r->turn);
    memset(r, 0, sizeof *r);
}
