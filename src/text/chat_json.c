/* chat_json.c - a conversation from JSON in the shape of OpenAI's chat requests: the one reader for all
 * programs but the server, which reads bodies of more protocols and says more about what it refuses. Members
 * of the wrong kind that nothing depends on are as absent. */
#include "base/error.h"
#include "base/mem.h"
#include "chat.h"

typedef struct reader {
    const goss_json *j;
    goss_owned **owned;
    goss_conversation *to;
    goss_error *err;
} reader;

static int refuse(reader *r, int node, int code, const char *what)
{
    return goss_fail(r->err, code, node >= 0 ? (int64_t)r->j->nodes[node].start : -1, "%s", what);
}

static int no_memory(reader *r)
{
    return refuse(r, -1, GOSS_ENOMEM, "the conversation does not fit in memory");
}

static int is_string(const reader *r, int node) { return goss_json_kind(r->j, node) == GOSS_JSON_STRING; }

/* The string at a key; nothing else is one. */
static int text_at(reader *r, int object, const char *key, goss_str *out)
{
    const int node = goss_json_get(r->j, object, key);
    return is_string(r, node) && goss_json_str(r->j, node, r->owned, out) ? no_memory(r) : 0;
}

/* The value as compact JSON. */
static int json_of(reader *r, int node, goss_str *out)
{
    goss_buf text = GOSS_BUF(SIZE_MAX / 2);
    const char *kept = NULL;
    if (!goss_json_write(r->j, node, &text)) kept = goss_owned_text(r->owned, text.data, text.len);
    *out = (goss_str){ kept, text.len };
    goss_buf_free(&text);
    return kept ? 0 : no_memory(r);
}

/* The members of an array; 0 where it is none. */
static uint32_t count(const reader *r, int array)
{
    return goss_json_kind(r->j, array) == GOSS_JSON_ARRAY ? r->j->nodes[array].n : 0;
}

/* ---- messages ---- */

static int read_part(reader *r, int part, goss_str *out)
{
    const int text = is_string(r, part) ? part : goss_json_get(r->j, part, "text");
    if (!is_string(r, text))
        return refuse(r, part, GOSS_EUNSUPPORTED,
                      "a part of content is not text, and this model reads only text");
    return goss_json_str(r->j, text, r->owned, out) ? no_memory(r) : 0;
}

/* A string, or an array of text parts; an empty string is as none. */
static int read_content(reader *r, int content, goss_message *m)
{
    const int kind = goss_json_kind(r->j, content), array = kind == GOSS_JSON_ARRAY;
    if (kind == 0 || kind == GOSS_JSON_NULL) return 0;
    if (!array && kind != GOSS_JSON_STRING)
        return refuse(r, content, GOSS_EINVAL, "content is neither a string nor an array of text parts");
    goss_str *parts = goss_owned_array(r->owned, array ? count(r, content) : 1, sizeof *parts);
    if (!parts) return no_memory(r);
    int rc = 0, part = array ? goss_json_first(r->j, content) : content;
    for (; part >= 0 && !rc; part = array ? goss_json_next(r->j, part) : -1)
        rc = read_part(r, part, &parts[m->n_parts++]);
    m->parts = parts;
    if (!array && !parts->n) m->n_parts = 0;
    return rc;
}

static int read_call(reader *r, int call, goss_tool_call *out)
{
    const int inner = goss_json_get(r->j, call, "function"), f = inner >= 0 ? inner : call;
    const int arguments = goss_json_get(r->j, f, "arguments");
    int rc = text_at(r, f, "name", &out->name);
    if (!rc) rc = text_at(r, call, "id", &out->id);
    if (rc || arguments < 0) return rc;
    return is_string(r, arguments) ? text_at(r, f, "arguments", &out->arguments)
                                   : json_of(r, arguments, &out->arguments);
}

static int read_calls(reader *r, int calls, goss_message *m)
{
    if (!count(r, calls)) return 0;
    goss_tool_call *list = goss_owned_array(r->owned, count(r, calls), sizeof *list);
    if (!list) return no_memory(r);
    int rc = 0;
    for (int k = goss_json_first(r->j, calls); k >= 0 && !rc; k = goss_json_next(r->j, k))
        rc = read_call(r, k, &list[m->n_calls++]);
    m->calls = list;
    return rc;
}

static int read_reasoning(reader *r, int message, goss_str *out)
{
    static const char *const keys[] = { "reasoning_content", "reasoning", "thinking" };
    int rc = 0;
    for (size_t i = 0; i < sizeof keys / sizeof *keys && !out->n && !rc; i++)
        rc = text_at(r, message, keys[i], out);
    return rc;
}

static int role_of(const reader *r, int message)
{
    static const struct { const char *word; int role; } roles[] = {
        { "user", GOSS_ROLE_USER },     { "assistant", GOSS_ROLE_ASSISTANT },
        { "tool", GOSS_ROLE_TOOL },     { "function", GOSS_ROLE_TOOL },
        { "system", GOSS_ROLE_DEVELOPER }, { "developer", GOSS_ROLE_DEVELOPER },
    };
    const int node = goss_json_get(r->j, message, "role");
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (goss_json_is(r->j, node, roles[i].word)) return roles[i].role;
    return 0;
}

static int read_message(reader *r, int node, goss_message *m)
{
    m->role = role_of(r, node);
    if (!m->role)
        return refuse(r, node, GOSS_EINVAL,
                      "a message's role is none of system, developer, user, assistant and tool");
    int rc = read_content(r, goss_json_get(r->j, node, "content"), m);
    if (!rc) rc = text_at(r, node, "name", &m->name);
    if (!rc && m->role == GOSS_ROLE_TOOL) rc = text_at(r, node, "tool_call_id", &m->call_id);
    if (rc || m->role != GOSS_ROLE_ASSISTANT) return rc;
    rc = read_reasoning(r, node, &m->reasoning);
    return rc ? rc : read_calls(r, goss_json_get(r->j, node, "tool_calls"), m);
}

static int read_messages(reader *r, int messages)
{
    if (goss_json_kind(r->j, messages) != GOSS_JSON_ARRAY)
        return refuse(r, 0, GOSS_EINVAL, "the request has no array \"messages\"");
    goss_message *list = goss_owned_array(r->owned, count(r, messages), sizeof *list);
    if (!list) return no_memory(r);
    int rc = 0;
    for (int m = goss_json_first(r->j, messages); m >= 0 && !rc; m = goss_json_next(r->j, m))
        rc = read_message(r, m, &list[r->to->n_messages++]);
    r->to->messages = list;
    return rc;
}

/* ---- tools ---- */

/* The object with name, description and parameters: OpenAI's chat API wraps it, its responses API does not.
 * -1: no function. */
static int function_of(const reader *r, int tool)
{
    const int type = goss_json_get(r->j, tool, "type"), inner = goss_json_get(r->j, tool, "function");
    if (type >= 0 && !goss_json_is(r->j, type, "function")) return -1;
    return goss_json_kind(r->j, inner) == GOSS_JSON_OBJECT ? inner : tool;
}

static int read_tool(reader *r, int tool, goss_tool *out)
{
    const int f = function_of(r, tool), parameters = goss_json_get(r->j, f, "parameters");
    if (f < 0)
        return refuse(r, tool, GOSS_EUNSUPPORTED,
                      "a tool is of a type other than \"function\", which is all there is here");
    if (goss_json_kind(r->j, parameters) == GOSS_JSON_OBJECT)
        out->parameters = goss_json_source(r->j, parameters);
    const int rc = text_at(r, f, "name", &out->name);
    return rc ? rc : text_at(r, f, "description", &out->description);
}

static int read_tools(reader *r, int tools)
{
    if (!count(r, tools)) return 0;
    int n_functions = 0, rc = 0;
    for (int t = goss_json_first(r->j, tools); t >= 0; t = goss_json_next(r->j, t))
        n_functions += function_of(r, t) >= 0;
    if (!n_functions)
        return refuse(r, tools, GOSS_EUNSUPPORTED,
                      "none of the tools is of type \"function\", which is all there is here");
    goss_tool *list = goss_owned_array(r->owned, count(r, tools), sizeof *list);
    if (!list) return no_memory(r);
    for (int t = goss_json_first(r->j, tools); t >= 0 && !rc; t = goss_json_next(r->j, t))
        rc = read_tool(r, t, &list[r->to->n_tools++]);
    r->to->tools = list;
    return rc;
}

static int read_choice(reader *r)
{
    const int choice = goss_json_get(r->j, 0, "tool_choice"), f = goss_json_get(r->j, choice, "function");
    if (goss_json_is(r->j, choice, "none")) return 0;
    r->to->must_call = goss_json_is(r->j, choice, "required") || is_string(r, goss_json_get(r->j, f, "name"));
    const int rc = text_at(r, f, "name", &r->to->choice);
    return rc ? rc : read_tools(r, goss_json_get(r->j, 0, "tools"));
}

static int read_builtin(reader *r)
{
    const int list = goss_json_get(r->j, 0, "builtin_tools");
    for (int k = goss_json_first(r->j, list); k >= 0; k = goss_json_next(r->j, k)) {
        if (goss_json_is(r->j, k, "browser"))
            r->to->browser = 1;
        else if (goss_json_is(r->j, k, "python"))
            r->to->python = 1;
        else
            return refuse(r, k, GOSS_EINVAL,
                          "builtin_tools has something other than \"browser\" and \"python\"");
    }
    return 0;
}

/* ---- the rest ---- */

static int read_effort(reader *r)
{
    static const struct { const char *word; int effort; } words[] = {
        { "low", 1 }, { "medium", 2 }, { "high", 3 }, { "none", 1 }, { "minimal", 1 }, { "xhigh", 3 },
    };
    int node = goss_json_get(r->j, 0, "reasoning_effort");
    if (node < 0) node = goss_json_get(r->j, goss_json_get(r->j, 0, "reasoning"), "effort");
    if (node < 0 || goss_json_kind(r->j, node) == GOSS_JSON_NULL) return 0;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (goss_json_is(r->j, node, words[i].word)) return r->to->effort = words[i].effort, 0;
    return refuse(r, node, GOSS_EINVAL, "reasoning_effort is none of low, medium and high");
}

static int read_format(reader *r)
{
    goss_conversation *to = r->to;
    int format = goss_json_get(r->j, 0, "response_format");
    if (format < 0) format = goss_json_get(r->j, goss_json_get(r->j, 0, "text"), "format");
    const int type = goss_json_get(r->j, format, "type"), nested = goss_json_get(r->j, format, "json_schema");
    const int inner = nested >= 0 ? nested : format, schema = goss_json_get(r->j, inner, "schema");
    if (format < 0 || goss_json_kind(r->j, format) == GOSS_JSON_NULL) return 0;
    if (goss_json_is(r->j, type, "text")) return 0;
    if (goss_json_is(r->j, type, "json_object")) return to->format = GOSS_FORMAT_OBJECT, 0;
    if (!goss_json_is(r->j, type, "json_schema"))
        return refuse(r, format, GOSS_EINVAL,
                      "response_format has a type other than text, json_object and json_schema");
    if (goss_json_kind(r->j, schema) != GOSS_JSON_OBJECT)
        return refuse(r, format, GOSS_EINVAL, "response_format has no schema");
    to->format = GOSS_FORMAT_SCHEMA;
    int rc = json_of(r, schema, &to->schema);
    if (!rc) rc = text_at(r, inner, "name", &to->schema_name);
    return rc ? rc : text_at(r, inner, "description", &to->schema_description);
}

/* A date that is no text stands for none. */
static int read_date(reader *r)
{
    const int date = goss_json_get(r->j, 0, "date");
    if (date >= 0) r->to->date = (goss_str){ "", 0 };
    return text_at(r, 0, "date", &r->to->date);
}

int goss_chat_read(goss_conversation *out, goss_owned **owned, const goss_json *j, goss_error *err)
{
    reader r = { j, owned, out, err };
    *out = (goss_conversation){ 0 };
    int rc = read_messages(&r, goss_json_get(j, 0, "messages"));
    if (!rc) rc = read_choice(&r);
    if (!rc) rc = read_builtin(&r);
    if (!rc) rc = read_effort(&r);
    if (!rc) rc = read_format(&r);
    if (!rc) rc = read_date(&r);
    if (!rc) rc = text_at(&r, 0, "identity", &out->identity);
    return rc ? rc : text_at(&r, 0, "knowledge_cutoff", &out->knowledge_cutoff);
}

static goss_chat_asks asked(const goss_conversation *c, const goss_json *j)
{
    const int parallel = goss_json_get(j, 0, "parallel_tool_calls");
    return (goss_chat_asks){ .builtin = (c->browser ? GOSS_TOOL_BROWSER : 0) |
                                        (c->python ? GOSS_TOOL_PYTHON : 0),
                             .must_call = c->must_call && c->n_tools,
                             .one_call = goss_json_kind(j, parallel) == GOSS_JSON_FALSE };
}

int goss_chat_encode_json(const goss_vocab *v, goss_chat_format f, const char *json, size_t n, goss_buf *ids,
                          goss_chat_asks *asks, goss_error *err)
{
    goss_json j = { 0 };
    goss_owned *owned = NULL;
    goss_conversation c;
    int rc = goss_json_parse(&j, json, n, NULL, err);
    if (!rc) rc = goss_chat_read(&c, &owned, &j, err);
    if (!rc && asks) *asks = asked(&c, &j);
    if (!rc) {
        rc = goss_chat_encode(v, f, &c, ids, err);
        if (rc && err && err->position >= 0) {
            const int m = goss_json_at(&j, goss_json_get(&j, 0, "messages"), (uint32_t)err->position);
            err->position = m >= 0 ? (int64_t)j.nodes[m].start : -1;
        }
    }
    goss_owned_free(&owned);
    goss_json_free(&j);
    return rc;
}
