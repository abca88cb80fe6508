/* parse.c - see parse.h. Every refusal names the field and the byte where its value starts. */
#include "parse.h"
#include "log.h"
#include "store.h"
#include "thought_key.h"
#include <stdarg.h>
#include <stdio.h>

static const char *const api_names[GOSS_SRV_N_APIS] = {
    "chat",         "completions", "responses",  "messages",     "api_chat",   "api_generate",
    "compact",      "count_tokens", "tokenize",    "detokenize", "input_tokens", "embeddings", "api_embed",
    "api_embeddings",
};
const char *goss_srv_api_name(goss_srv_api api) { return api_names[api]; }

int goss_srv_refuse(goss_srv_fail *f, int status, const char *code, const char *param, int64_t position,
                    const char *format, ...)
{
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

int goss_srv_refuse_locked(goss_srv_fail *f, int64_t position)
{
    return goss_srv_refuse(f, 400, "conversation_locked", "conversation", position,
                           "another request is being answered in this conversation: try again when it is over");
}

void *goss_srv_keep(goss_srv_request *r, size_t n) { return goss_owned_take(&r->owned, n); }

const char *goss_srv_keep_text(goss_srv_request *r, const void *bytes, size_t n)
{
    return goss_owned_text(&r->owned, bytes, n);
}

int goss_srv_field(const goss_srv_parse *p, int o, const char *key)
{
    return goss_reading_member(&p->read, o, key);
}

int goss_srv_bad(goss_srv_parse *p, int node, const char *param, const char *message)
{
    int64_t at = node >= 0 ? (int64_t)p->j->nodes[node].start : -1;
    return goss_srv_refuse(p->fail, 400, "invalid_value", param, at, "%s%s%s", param, *param ? " " : "",
                           message);
}

int goss_srv_no_memory(goss_srv_parse *p)
{
    return goss_srv_refuse(p->fail, 500, "out_of_memory", "", -1, "out of memory");
}

/* What a reader of common/ answered, as the server's refusal. */
static int told(goss_srv_parse *p, int got)
{
    const goss_reading *r = &p->read;
    if (got >= 0) return 0;
    return *r->why ? goss_srv_bad(p, r->node, r->key, r->why) : goss_srv_no_memory(p);
}

int goss_srv_get_bool(goss_srv_parse *p, int o, const char *key, int *out)
{
    return told(p, goss_reading_flag(&p->read, o, key, out));
}

int goss_srv_get_int(goss_srv_parse *p, int o, const char *key, int min, int max, int *out)
{
    double v;
    const int got = goss_reading_number(&p->read, o, key, min, max, 1, &v);
    if (got > 0) *out = (int)v;
    return told(p, got);
}

int goss_srv_text_of(goss_srv_parse *p, int node, const char *param, const char **out, size_t *n)
{
    return told(p, goss_reading_text(&p->read, node, param, out, n));
}

int goss_srv_get_text(goss_srv_parse *p, int o, const char *key, const char **out)
{
    int node = goss_srv_field(p, o, key);
    return node < 0 ? 0 : goss_srv_text_of(p, node, key, out, NULL);
}

int goss_srv_get_str(goss_srv_parse *p, int o, const char *key, goss_str *out)
{
    const int node = goss_srv_field(p, o, key);
    if (node < 0) return 0;
    if (goss_json_kind(p->j, node) != GOSS_JSON_STRING) return goss_srv_bad(p, node, key, "must be a string");
    if (goss_json_str(p->j, node, &p->r->owned, out)) return goss_srv_no_memory(p);
    const int has_nul = memchr(out->s, 0, (size_t)out->n) != NULL;
    return has_nul ? goss_srv_bad(p, node, key, "must not contain a NUL character") : 0;
}

int goss_srv_json_of(goss_srv_parse *p, int node, const char **out)
{
    goss_buf b = GOSS_BUF(SIZE_MAX / 2);
    if (goss_json_write(p->j, node, &b) == 0) *out = goss_srv_keep_text(p->r, b.data, b.len);
    else *out = NULL;
    goss_buf_free(&b);
    return *out ? 0 : goss_srv_no_memory(p);
}

void goss_srv_note_unknown(goss_srv_parse *p, int o, const char *where, const char *known)
{
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
int goss_srv_get_sampling(goss_srv_parse *p, int o)
{
    p->r->has_seed |= goss_srv_field(p, o, "seed") >= 0;
    return told(p, goss_params_read(&p->read, o, &p->r->params, GOSS_FOR_SERVER));
}

int goss_srv_get_extras(goss_srv_parse *p, int o)
{
    goss_srv_request *r = p->r;
    int layers = -1, node = goss_srv_field(p, o, "layers");
    if (goss_srv_get_bool(p, o, "telemetry", &r->telemetry) ||
        goss_srv_get_int(p, o, "telemetry_top_k", 0, 20, &r->telemetry_top_k) ||
        goss_srv_get_int(p, o, "telemetry_layer", 0, 4095, &r->telemetry_layer) ||
        goss_srv_get_int(p, o, "telemetry_head", 0, 4095, &r->telemetry_head) ||
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

int goss_srv_get_stops(goss_srv_parse *p, int o, const char *key)
{
    return told(p, goss_params_read_stops(&p->read, o, key, p->c->max_stops, &p->r->params));
}

int goss_srv_set_schema(goss_srv_parse *p, int node, const char *param)
{
    if (goss_json_kind(p->j, node) != GOSS_JSON_OBJECT)
        return goss_srv_bad(p, node, param, "must be a JSON schema (an object)");
    const char *text;
    if (goss_srv_json_of(p, node, &text)) return -1;
    if (strlen(text) > p->c->max_schema)
        return goss_srv_bad(p, node, param, "is larger than --max-schema allows");
    p->r->params.json_schema = text;
    return 0;
}

void goss_srv_set_object(goss_srv_parse *p)
{
    p->r->params.json_schema = "{}";
    p->r->chat.format = GOSS_FORMAT_OBJECT;
}

int goss_srv_set_format(goss_srv_parse *p, int object, const char *param)
{
    goss_conversation *c = &p->r->chat;
    const int name = goss_json_get(p->j, object, "name"), about = goss_json_get(p->j, object, "description");
    if (goss_srv_set_schema(p, goss_json_get(p->j, object, "schema"), param)) return -1;
    c->format = GOSS_FORMAT_SCHEMA;
    c->schema = goss_srv_str(p->r->params.json_schema);
    return goss_json_str(p->j, name, &p->r->owned, &c->schema_name) == GOSS_ENOMEM ||
                   goss_json_str(p->j, about, &p->r->owned, &c->schema_description) == GOSS_ENOMEM
               ? goss_srv_no_memory(p)
               : 0;
}

/* ---- the conversation ------------------------------------------------------------------------ */
size_t goss_srv_joined_length(const goss_srv_joined *t) { return t->all.len ? t->all.len : (size_t)t->one.n; }

void goss_srv_join(goss_srv_joined *t, goss_str more)
{
    if (!more.n) return;
    if (!goss_srv_joined_length(t)) { t->one = more; return; }
    t->all.max = SIZE_MAX / 2;
    if (!t->all.len) goss_buf_append(&t->all, t->one.s, (size_t)t->one.n);
    goss_buf_append(&t->all, more.s, (size_t)more.n);
}

int goss_srv_joined_end(goss_srv_parse *p, goss_srv_joined *t, goss_str *out)
{
    *out = t->one;
    if (t->all.len)
        *out = (goss_str){ goss_srv_keep_text(p->r, t->all.data, t->all.len), t->all.len };
    const int failed = t->all.failed || (t->all.len && !out->s);
    goss_buf_free(&t->all);
    *t = (goss_srv_joined){ 0 };
    return failed ? goss_srv_no_memory(p) : 0;
}

void goss_srv_chat_begin(goss_srv_parse *p, const char *effort)
{
    static const char *const efforts[] = { "", "low", "medium", "high" };
    goss_srv_request *r = p->r;
    r->is_chat = r->params.chat = 1;
    for (int i = 1; i <= 3; i++)
        if (!strcmp(effort ? effort : p->c->effort, efforts[i])) r->chat.effort = i;
    if (*p->c->identity) r->chat.identity = goss_srv_str(p->c->identity);
    if (*p->c->date) r->chat.date = goss_srv_str(p->c->date);
    if (!r->params.tools_json) r->params.tools_json = "[]"; /* without tools nothing may be called */
}

int goss_srv_chat_add(goss_srv_parse *p, int node, const goss_message *m)
{
    if (p->n_messages >= p->c->max_messages)
        return goss_srv_bad(p, node, "messages", "hold more messages than --max-messages allows");
    p->n_messages++;
    return goss_buf_append(&p->r->messages, m, sizeof *m) ? goss_srv_no_memory(p) : 0;
}

int goss_srv_chat_content(goss_srv_parse *p, goss_message *m, goss_str text)
{
    goss_str *part = text.n ? goss_srv_keep(p->r, sizeof *part) : NULL;
    if (!text.n) return 0;
    if (!part) return goss_srv_no_memory(p);
    *part = text;
    m->parts = part;
    m->n_parts = 1;
    return 0;
}

int goss_srv_chat_add_text(goss_srv_parse *p, int node, int role, goss_str text)
{
    goss_message m = { .role = role };
    return goss_srv_chat_content(p, &m, text) || goss_srv_chat_add(p, node, &m);
}

int goss_srv_chat_recall(goss_srv_parse *p, goss_message *m)
{
    const goss_message *before = (const goss_message *)(const void *)p->r->messages.data;
    const goss_tool_call *call = m->calls;
    char key[GOSS_SRV_THOUGHT_KEY];
    int found = goss_srv_store_thought(call->id.s, &p->r->owned, &m->reasoning);
    if (!found) {
        goss_srv_thought_key(before, (int)(p->r->messages.len / sizeof *before), call, key);
        if (*key) found = goss_srv_store_thought(key, &p->r->owned, &m->reasoning);
    }
    return found < 0 ? goss_srv_no_memory(p) : 0;
}

/* What stands in the conversation for what is no text: `what`, and where `name` is a text, that. */
static int join_told(goss_srv_parse *p, const char *what, int name, goss_srv_joined *to)
{
    goss_buf out = GOSS_BUF(SIZE_MAX / 2);
    goss_buf_printf(&out, "%s[%s", goss_srv_joined_length(to) ? "\n" : "", what);
    if (goss_json_kind(p->j, name) == GOSS_JSON_STRING) {
        goss_buf_str(&out, " (");
        goss_json_string(p->j, name, &out);
        goss_buf_str(&out, ")");
    }
    goss_buf_str(&out, " was attached here. You can't see it: you read text only.]\n");
    const char *text = out.failed ? NULL : goss_srv_keep_text(p->r, out.data, out.len);
    if (text) goss_srv_join(to, (goss_str){ text, out.len });
    goss_buf_free(&out);
    return text ? 0 : goss_srv_no_memory(p);
}

int goss_srv_join_images(goss_srv_parse *p, int o, goss_srv_joined *to)
{
    const int images = goss_srv_field(p, o, "images");
    int failed = 0;
    if (images >= 0 && goss_json_kind(p->j, images) != GOSS_JSON_ARRAY)
        return goss_srv_bad(p, images, "images", "must be an array");
    for (int i = goss_json_first(p->j, images); i >= 0 && !failed; i = goss_json_next(p->j, i))
        failed = join_told(p, "An image", -1, to);
    return failed;
}

static int join_placeholder(goss_srv_parse *p, int part, goss_srv_joined *to)
{
    static const char *const kinds[][2] = { { "image", "An image" },
                                            { "audio", "A recording" },
                                            { "video", "A video" },
                                            { "file", "A file" },
                                            { "document", "A document" } };
    const int type = goss_json_get(p->j, part, "type"), file = goss_srv_field(p, part, "file");
    static const char *const names[] = { "filename", "file_name", "title", "name" };
    goss_buf word = GOSS_BUF(1 << 16);
    char other[80];
    const char *what = NULL;
    int name = -1;
    goss_json_string(p->j, type, &word);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && !what; i++)
        if (strstr(goss_buf_cstr(&word), kinds[i][0])) what = kinds[i][1];
    for (size_t i = 0; i < sizeof names / sizeof *names && name < 0; i++)
        name = goss_srv_field(p, file >= 0 ? file : part, names[i]);
    if (!what) snprintf(other, sizeof other, "A part of the kind \"%.40s\"", goss_buf_cstr(&word));
    goss_buf_free(&word);
    return join_told(p, what ? what : other, name, to);
}

/* The node of a part's text, -1: it has none. Anthropic's documents may hold theirs in their source. */
static int text_of_part(const goss_srv_parse *p, int part)
{
    static const char *const keys[] = { "text", "refusal", "thinking", "reasoning" };
    const int source = goss_srv_field(p, part, "source");
    if (goss_json_kind(p->j, part) == GOSS_JSON_STRING) return part;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const int text = goss_srv_field(p, part, keys[i]);
        if (goss_json_kind(p->j, text) == GOSS_JSON_STRING) return text;
    }
    return goss_json_is(p->j, goss_srv_field(p, source, "type"), "text") ? goss_srv_field(p, source, "data")
                                                                         : -1;
}

int goss_srv_content_part(goss_srv_parse *p, int part, const char *param, goss_srv_joined *to)
{
    const int type = goss_srv_field(p, part, "type"), text = text_of_part(p, part);
    const int is_text = text == part || goss_json_is(p->j, type, "text") ||
                        goss_json_is(p->j, type, "input_text") || goss_json_is(p->j, type, "output_text");
    goss_str s;
    if (text != part && goss_json_kind(p->j, type) != GOSS_JSON_STRING)
        return goss_srv_bad(p, part, param, "has a part without a type");
    if (is_text && goss_json_kind(p->j, text) != GOSS_JSON_STRING)
        return goss_srv_bad(p, part, param, "has a part without text");
    if (goss_json_kind(p->j, text) != GOSS_JSON_STRING) return join_placeholder(p, part, to);
    if (goss_json_str(p->j, text, &p->r->owned, &s)) return goss_srv_no_memory(p);
    goss_srv_join(to, s);
    return 0;
}

int goss_srv_content(goss_srv_parse *p, int node, const char *param, goss_str *out)
{
    const int kind = goss_json_kind(p->j, node);
    goss_srv_joined text = { 0 };
    int failed = 0;
    if (node < 0 || kind == GOSS_JSON_NULL) return 0;
    if (kind == GOSS_JSON_STRING)
        return goss_json_str(p->j, node, &p->r->owned, out) ? goss_srv_no_memory(p) : 0;
    if (kind != GOSS_JSON_ARRAY) return goss_srv_bad(p, node, param, "must be a string or an array of parts");
    for (int part = goss_json_first(p->j, node); part >= 0 && !failed; part = goss_json_next(p->j, part))
        failed = goss_srv_content_part(p, part, param, &text);
    return goss_srv_joined_end(p, &text, out) || failed ? -1 : 0;
}

void goss_srv_request_let_go(const goss_srv_request *r)
{
    if (r->conversation) goss_srv_store_let_go(r->conversation, r);
}

void goss_srv_request_free(goss_srv_request *r)
{
    goss_srv_request_let_go(r);
    goss_owned_free(&r->owned);
    goss_buf_free(&r->messages);
    goss_buf_free(&r->kept);
    goss_buf_free(&r->body);
    memset(r, 0, sizeof *r);
}
