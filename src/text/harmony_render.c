/* harmony_render.c - a conversation (JSON of goss_chat_encode) as Harmony tokens, ending where the assistant
 * begins.
 *
 * Texts are encoded without special tokens, piece by piece as the reference does, and control tokens are put
 * in by id: nothing that a user, a tool or a schema says can become one. What the API calls a system prompt
 * goes into the developer message; the system message is Harmony's own. Reasoning of turns that ended in an
 * answer is dropped, that of an open tool chain is kept: what follows the last assistant message without tool
 * calls. */
#include "../base/error.h"
#include "../base/os.h"
#include "harmony.h"
#include <string.h>

enum { TEXT_MAX = 1 << 28 };
typedef struct renderer {
    const goss_vocab *v;
    goss_harmony_ids h;
    const goss_json *j;
    int root, messages, tools, n_functions, browser, python;
    goss_buf *ids;
    goss_buf text; /* of the piece at hand */
    goss_buf name; /* of the author or recipient at hand */
    goss_error *err;
} renderer;

static int fail_at(renderer *r, int node, int code, const char *what) {
    return goss_fail(r->err, code, node >= 0 ? (int64_t)r->j->nodes[node].start : -1, "%s", what);
}

static int is_string(const renderer *r, int node) { return goss_json_kind(r->j, node) == GOSS_JSON_STRING; }

/* ---- messages as tokens ---- */

int goss_harmony_find(const goss_vocab *v, goss_harmony_ids *out) {
    *out = (goss_harmony_ids){ goss_vocab_find(v, "<|start|>"),     goss_vocab_find(v, "<|end|>"),
                               goss_vocab_find(v, "<|message|>"),   goss_vocab_find(v, "<|channel|>"),
                               goss_vocab_find(v, "<|constrain|>"), goss_vocab_find(v, "<|return|>"),
                               goss_vocab_find(v, "<|call|>"),      goss_vocab_find(v, "<|endoftext|>") };
    return out->start >= 0 && out->end >= 0 && out->message >= 0 && out->channel >= 0 &&
           out->constrain >= 0 && out->ret >= 0 && out->call >= 0;
}

static int ordinary(const goss_vocab *v, const char *s, goss_buf *ids) {
    return goss_vocab_encode(v, s, strlen(s), 0, ids);
}

static int add_recipient(const goss_vocab *v, const char *recipient, goss_buf *ids) {
    if (!recipient || !*recipient || !strcmp(recipient, "all")) return 0;
    goss_buf text = GOSS_BUF(TEXT_MAX);
    goss_buf_str(&text, " to=");
    goss_buf_str(&text, recipient);
    int r = ordinary(v, goss_buf_cstr(&text), ids);
    goss_buf_free(&text);
    return r;
}

int goss_harmony_open_message(const goss_vocab *v, const goss_harmony_ids *h, const goss_harmony_header *m,
                              goss_buf *ids) {
    static const char constrain[] = "<|constrain|>";
    const size_t n_mark = sizeof constrain - 1;
    goss_buf_i32(ids, h->start);
    int r = ordinary(v, m->author, ids);
    if (!r && !m->recipient_in_channel) r = add_recipient(v, m->recipient, ids);
    if (!r && m->channel && *m->channel) {
        goss_buf_i32(ids, h->channel);
        r = ordinary(v, m->channel, ids);
    }
    if (!r && m->recipient_in_channel) r = add_recipient(v, m->recipient, ids);
    if (!r && m->content_type && *m->content_type) {
        const int marked = !strncmp(m->content_type, constrain, n_mark);
        goss_buf text = GOSS_BUF(TEXT_MAX);
        goss_buf_str(&text, " ");
        if (!marked) goss_buf_str(&text, m->content_type);
        r = ordinary(v, goss_buf_cstr(&text), ids);
        goss_buf_free(&text);
        if (!r && marked) {
            goss_buf_i32(ids, h->constrain);
            r = ordinary(v, m->content_type + n_mark, ids);
        }
    }
    if (!r) r = goss_buf_i32(ids, h->message);
    return r;
}

int goss_harmony_close_message(const goss_harmony_ids *h, const goss_harmony_header *m, goss_buf *ids) {
    const int call = !strncmp(m->author, "assistant", 9) && m->recipient && *m->recipient &&
                     strcmp(m->recipient, "all") != 0;
    return goss_buf_i32(ids, call ? h->call : h->end);
}

static int whole_message(renderer *r, const goss_harmony_header *m, const goss_buf *content) {
    int rc = goss_harmony_open_message(r->v, &r->h, m, r->ids);
    if (!rc && content->failed) rc = content->failed;
    if (!rc) rc = goss_vocab_encode(r->v, (const char *)content->data, content->len, 0, r->ids);
    return rc ? rc : goss_harmony_close_message(&r->h, m, r->ids);
}

/* ---- content ---- */

/* Appends the next part of a message's content: a string, or an array of {type, text}. *at: 0 at first. 1: a
 * part, 0: no more. */
static int next_part(renderer *r, int content, int *at, goss_buf *out) {
    const int kind = goss_json_kind(r->j, content);
    if (kind == 0 || kind == GOSS_JSON_NULL || *at < 0) return 0;
    if (kind == GOSS_JSON_STRING) {
        *at = -1;
        int rc = goss_json_string(r->j, content, out);
        return rc ? rc : 1;
    }
    if (kind != GOSS_JSON_ARRAY)
        return fail_at(r, content, GOSS_EINVAL, "content is neither a string nor an array of text parts");
    const int part = *at == 0 ? goss_json_first(r->j, content) : goss_json_next(r->j, *at);
    *at = part;
    if (part < 0) return 0;
    const int text = is_string(r, part) ? part : goss_json_get(r->j, part, "text");
    if (!is_string(r, text))
        return fail_at(r, part, GOSS_EUNSUPPORTED,
                       "a part of content is not text, and this model reads only text");
    int rc = goss_json_string(r->j, text, out);
    return rc ? rc : 1;
}

/* All parts, each encoded on its own. */
static int encode_content(renderer *r, int content) {
    int at = 0, rc;
    for (;;) {
        goss_buf_clear(&r->text);
        if ((rc = next_part(r, content, &at, &r->text)) <= 0) return rc;
        if ((rc = goss_vocab_encode(r->v, (const char *)r->text.data, r->text.len, 0, r->ids))) return rc;
    }
}

static int append_content(renderer *r, int content, goss_buf *out) {
    int at = 0, rc;
    while ((rc = next_part(r, content, &at, out)) > 0) {}
    return rc;
}

static int has_content(renderer *r, int content) {
    const int kind = goss_json_kind(r->j, content);
    if (kind == GOSS_JSON_ARRAY) return goss_json_first(r->j, content) >= 0;
    return kind && kind != GOSS_JSON_NULL && !goss_json_is(r->j, content, "");
}

/* ---- system and developer ---- */

/* YYYY-MM-DD of a day counted from 1970-01-01 (Howard Hinnant's civil-from-days). */
static void append_today(goss_buf *text) {
    const int64_t z = goss_os_unix_time() / 86400 + 719468, era = z / 146097, doe = z - era * 146097;
    const int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365,
                  doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    const int64_t mp = (5 * doy + 2) / 153, day = doy - (153 * mp + 2) / 5 + 1,
                  month = mp < 10 ? mp + 3 : mp - 9;
    goss_buf_printf(text, "%04d-%02d-%02d", (int)(yoe + era * 400 + (month <= 2)), (int)month, (int)day);
}

/* The string at key, or `absent`. */
static void setting(renderer *r, const char *key, const char *absent, goss_buf *text) {
    const int node = goss_json_get(r->j, r->root, key);
    if (is_string(r, node))
        goss_json_string(r->j, node, text);
    else
        goss_buf_str(text, absent);
}

static int append_effort(renderer *r, goss_buf *text) {
    static const char *const as[][2] = { { "low", "low" },  { "medium", "medium" }, { "high", "high" },
                                         { "none", "low" }, { "minimal", "low" },   { "xhigh", "high" } };
    int node = goss_json_get(r->j, r->root, "reasoning_effort");
    if (node < 0) node = goss_json_get(r->j, goss_json_get(r->j, r->root, "reasoning"), "effort");
    if (node < 0 || goss_json_kind(r->j, node) == GOSS_JSON_NULL) return goss_buf_str(text, "medium");
    for (size_t i = 0; i < sizeof as / sizeof *as; i++)
        if (goss_json_is(r->j, node, as[i][0])) return goss_buf_str(text, as[i][1]);
    return fail_at(r, node, GOSS_EINVAL, "reasoning_effort is none of low, medium and high");
}

static int render_system(renderer *r) {
    goss_buf *text = &r->text;
    goss_buf_clear(text);
    setting(r, "identity", "You are ChatGPT, a large language model trained by OpenAI.", text);
    goss_buf_str(text, "\nKnowledge cutoff: ");
    setting(r, "knowledge_cutoff", "2024-06", text);
    const int date = goss_json_get(r->j, r->root, "date");
    if (date < 0) {
        goss_buf_str(text, "\nCurrent date: ");
        append_today(text);
    } else if (is_string(r, date) && !goss_json_is(r->j, date, "")) {
        goss_buf_str(text, "\nCurrent date: ");
        goss_json_string(r->j, date, text);
    }
    goss_buf_str(text, "\n\nReasoning: ");
    int rc = append_effort(r, text);
    if (rc) return rc;
    if (r->browser || r->python) goss_buf_str(text, "\n\n# Tools");
    if (r->browser) {
        goss_buf_str(text, "\n\n");
        goss_buf_str(text, goss_harmony_browser);
    }
    if (r->python) {
        goss_buf_str(text, "\n\n");
        goss_buf_str(text, goss_harmony_python);
    }
    goss_buf_str(
        text,
        "\n\n# Valid channels: analysis, commentary, final. Channel must be included for every message.");
    if (r->n_functions)
        goss_buf_str(text, "\nCalls to these tools must go to the commentary channel: 'functions'.");
    return whole_message(r, &(goss_harmony_header){ .author = "system" }, text);
}

static int append_section(goss_buf *text, const char *title) {
    if (text->len) goss_buf_str(text, "\n\n");
    return goss_buf_str(text, title);
}

/* What the answer must look like; nothing for plain text. */
static int append_response_format(renderer *r, goss_buf *text) {
    const goss_json *j = r->j;
    int format = goss_json_get(j, r->root, "response_format");
    if (format < 0) format = goss_json_get(j, goss_json_get(j, r->root, "text"), "format");
    const int type = goss_json_get(j, format, "type");
    if (format < 0 || goss_json_kind(j, format) == GOSS_JSON_NULL || goss_json_is(j, type, "text")) return 0;
    if (goss_json_is(j, type, "json_object"))
        return append_section(
            text, "# Response Formats\n\n## json_object\n\n// A JSON object.\n{\"type\":\"object\"}");
    if (!goss_json_is(j, type, "json_schema"))
        return fail_at(r, format, GOSS_EINVAL,
                       "response_format has a type other than text, json_object and json_schema");
    int inner = goss_json_get(j, format, "json_schema");
    if (inner < 0) inner = format;
    const int name = goss_json_get(j, inner, "name"), about = goss_json_get(j, inner, "description");
    const int schema = goss_json_get(j, inner, "schema");
    if (goss_json_kind(j, schema) != GOSS_JSON_OBJECT)
        return fail_at(r, format, GOSS_EINVAL, "response_format has no schema");
    append_section(text, "# Response Formats\n\n## ");
    if (is_string(r, name))
        goss_json_string(j, name, text);
    else
        goss_buf_str(text, "response");
    goss_buf_str(text, "\n\n");
    if (is_string(r, about)) {
        goss_buf_str(text, "// ");
        goss_json_string(j, about, text);
        goss_buf_str(text, "\n");
    }
    return goss_json_write(j, schema, text);
}

static int is_instruction(const renderer *r, int message) {
    const int role = goss_json_get(r->j, message, "role");
    return goss_json_is(r->j, role, "system") || goss_json_is(r->j, role, "developer");
}

/* The developer message: instructions from the messages [first, end), then, where `all` is set, tools and
 * response format. */
static int render_developer(renderer *r, int first, int end, int all) {
    goss_buf *text = &r->text;
    goss_buf_clear(text);
    for (int k = first; k >= 0 && k != end; k = goss_json_next(r->j, k)) {
        const int content = goss_json_get(r->j, k, "content");
        if (!has_content(r, content)) continue;
        append_section(text, text->len ? "" : "# Instructions\n\n");
        int rc = append_content(r, content, text);
        if (rc) return rc;
    }
    if (all && r->n_functions) {
        append_section(text, "# Tools\n\n");
        int rc = goss_harmony_functions(r->j, r->tools, text, r->err);
        if (rc) return rc;
    }
    if (all) {
        int rc = append_response_format(r, text);
        if (rc) return rc;
    }
    return text->len || text->failed ? whole_message(r, &(goss_harmony_header){ .author = "developer" }, text)
                                     : 0;
}

/* ---- tool calls and results ---- */

static int is_builtin(const char *name) { return !strcmp(name, "python") || !strncmp(name, "browser.", 8); }

/* A tool's full name into r->name: built-in ones stand alone, others live in "functions". */
static const char *full_name(renderer *r, int node) {
    goss_buf_clear(&r->name);
    goss_json_string(r->j, node, &r->name);
    const char *s = goss_buf_cstr(&r->name);
    goss_buf plain = r->name;
    const int builtin = (r->python && !strcmp(s, "python")) || (r->browser && !strncmp(s, "browser.", 8));
    if (builtin || !strncmp(s, "functions.", 10)) return s;
    r->name = GOSS_BUF(TEXT_MAX);
    goss_buf_str(&r->name, "functions.");
    goss_buf_append(&r->name, plain.data, plain.len);
    goss_buf_free(&plain);
    return goss_buf_cstr(&r->name);
}

static int render_call(renderer *r, int call) {
    const int inner = goss_json_get(r->j, call, "function"), f = inner >= 0 ? inner : call;
    const int name = goss_json_get(r->j, f, "name"), arguments = goss_json_get(r->j, f, "arguments");
    if (!is_string(r, name)) return fail_at(r, call, GOSS_EINVAL, "a tool call has no name");
    const char *full = full_name(r, name);
    goss_buf_clear(&r->text);
    if (is_string(r, arguments))
        goss_json_string(r->j, arguments, &r->text);
    else if (arguments >= 0)
        goss_json_write(r->j, arguments, &r->text);
    const goss_harmony_header m = { .author = "assistant",
                                    .recipient = full,
                                    .recipient_in_channel = 1,
                                    .channel = is_builtin(full) ? "analysis" : "commentary",
                                    .content_type = is_builtin(full) ? "code" : "<|constrain|>json" };
    return whole_message(r, &m, &r->text);
}

static int same_id(renderer *r, int a, int b) {
    goss_buf_clear(&r->text);
    return is_string(r, a) && !goss_json_string(r->j, a, &r->text) &&
           goss_json_is(r->j, b, goss_buf_cstr(&r->text));
}

/* The name of the call that a tool message answers: by id, else its own name, else the last call before it.
 * -1: none. */
static int answered_name(renderer *r, int message) {
    const goss_json *j = r->j;
    const int id = goss_json_get(j, message, "tool_call_id"), own = goss_json_get(j, message, "name");
    int last = -1, match = -1;
    for (int k = goss_json_first(j, r->messages); k >= 0 && k != message; k = goss_json_next(j, k)) {
        const int calls = goss_json_get(j, k, "tool_calls");
        if (goss_json_kind(j, calls) != GOSS_JSON_ARRAY) continue;
        for (int c = goss_json_first(j, calls); c >= 0; c = goss_json_next(j, c)) {
            const int inner = goss_json_get(j, c, "function"),
                      name = goss_json_get(j, inner >= 0 ? inner : c, "name");
            last = name;
            if (same_id(r, id, goss_json_get(j, c, "id"))) match = name;
        }
    }
    return is_string(r, match) ? match : is_string(r, own) ? own : last;
}

static int render_result(renderer *r, int message) {
    const int name = answered_name(r, message);
    if (!is_string(r, name)) return fail_at(r, message, GOSS_EINVAL, "a tool message answers no tool call");
    const char *full = full_name(r, name);
    const goss_harmony_header m = { .author = full,
                                    .recipient = "assistant",
                                    .channel = is_builtin(full) ? "analysis" : "commentary" };
    int rc = goss_harmony_open_message(r->v, &r->h, &m, r->ids);
    if (!rc) rc = encode_content(r, goss_json_get(r->j, message, "content"));
    return rc ? rc : goss_buf_i32(r->ids, r->h.end);
}

/* ---- turns ---- */

static int has_calls(const renderer *r, int message) {
    const int calls = goss_json_get(r->j, message, "tool_calls");
    return goss_json_kind(r->j, calls) == GOSS_JSON_ARRAY && goss_json_first(r->j, calls) >= 0;
}

static int render_plain(renderer *r, const char *author, const char *channel, int content) {
    const goss_harmony_header m = { .author = author, .channel = channel };
    int rc = goss_harmony_open_message(r->v, &r->h, &m, r->ids);
    if (!rc) rc = encode_content(r, content);
    return rc ? rc : goss_buf_i32(r->ids, r->h.end);
}

static int reasoning_of(const renderer *r, int message) {
    static const char *const keys[] = { "reasoning_content", "reasoning", "thinking" };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const int node = goss_json_get(r->j, message, keys[i]);
        if (is_string(r, node) && !goss_json_is(r->j, node, "")) return node;
    }
    return -1;
}

static int render_assistant(renderer *r, int message, int keep_reasoning) {
    const int reasoning = reasoning_of(r, message), content = goss_json_get(r->j, message, "content");
    const int calls = has_calls(r, message);
    int rc = 0;
    if (keep_reasoning && reasoning >= 0) rc = render_plain(r, "assistant", "analysis", reasoning);
    if (!rc && has_content(r, content))
        rc = render_plain(r, "assistant", calls ? "commentary" : "final", content);
    if (!calls) return rc;
    for (int k = goss_json_first(r->j, goss_json_get(r->j, message, "tool_calls")); k >= 0 && !rc;
         k = goss_json_next(r->j, k))
        rc = render_call(r, k);
    return rc;
}

static int render_user(renderer *r, int message) {
    const int name = goss_json_get(r->j, message, "name");
    goss_buf author = GOSS_BUF(TEXT_MAX);
    goss_buf_str(&author, "user");
    if (is_string(r, name) && !goss_json_is(r->j, name, "")) {
        goss_buf_str(&author, ":");
        goss_json_string(r->j, name, &author);
    }
    int rc = render_plain(r, goss_buf_cstr(&author), NULL, goss_json_get(r->j, message, "content"));
    goss_buf_free(&author);
    return rc;
}

/* The last message that ended a turn: from the assistant, with content and without calls. -1: none. */
static int last_answer(renderer *r) {
    int last = -1;
    for (int k = goss_json_first(r->j, r->messages); k >= 0; k = goss_json_next(r->j, k))
        if (goss_json_is(r->j, goss_json_get(r->j, k, "role"), "assistant") && !has_calls(r, k) &&
            has_content(r, goss_json_get(r->j, k, "content")))
            last = k;
    return last;
}

static int render_turns(renderer *r, int first) {
    const int answer = last_answer(r);
    int open = answer < 0, rc = 0;
    for (int k = first; k >= 0 && !rc; k = goss_json_next(r->j, k)) {
        const int role = goss_json_get(r->j, k, "role");
        if (goss_json_is(r->j, role, "user"))
            rc = render_user(r, k);
        else if (goss_json_is(r->j, role, "assistant"))
            rc = render_assistant(r, k, open);
        else if (goss_json_is(r->j, role, "tool") || goss_json_is(r->j, role, "function"))
            rc = render_result(r, k);
        else if (is_instruction(r, k))
            rc = render_developer(r, k, goss_json_next(r->j, k), 0);
        else
            rc = fail_at(r, k, GOSS_EINVAL,
                         "a message's role is none of system, developer, user, assistant and tool");
        if (k == answer) open = 1;
    }
    return rc;
}

static int read_tools(renderer *r) {
    const goss_json *j = r->j;
    r->tools = goss_json_get(j, r->root, "tools");
    if (goss_json_is(j, goss_json_get(j, r->root, "tool_choice"), "none")) r->tools = -1;
    r->n_functions = goss_harmony_count_functions(j, r->tools);
    if (!r->n_functions && goss_json_kind(j, r->tools) == GOSS_JSON_ARRAY &&
        goss_json_first(j, r->tools) >= 0)
        return fail_at(r, r->tools, GOSS_EUNSUPPORTED,
                       "none of the tools is of type \"function\", which is all there is here");
    const int builtin = goss_json_get(j, r->root, "builtin_tools");
    for (int k = goss_json_first(j, builtin); k >= 0; k = goss_json_next(j, k)) {
        if (goss_json_is(j, k, "browser"))
            r->browser = 1;
        else if (goss_json_is(j, k, "python"))
            r->python = 1;
        else
            return fail_at(r, k, GOSS_EINVAL,
                           "builtin_tools has something other than \"browser\" and \"python\"");
    }
    return 0;
}

int goss_harmony_encode(const goss_vocab *v, const goss_json *j, int root, goss_buf *ids, goss_error *err) {
    renderer r = { .v = v,
                   .j = j,
                   .root = root,
                   .messages = goss_json_get(j, root, "messages"),
                   .ids = ids,
                   .err = err,
                   .text = GOSS_BUF(TEXT_MAX),
                   .name = GOSS_BUF(TEXT_MAX) };
    if (err) err->code = 0;
    if (!goss_harmony_find(v, &r.h))
        return goss_fail(err, GOSS_EUNSUPPORTED, -1, "the vocabulary lacks Harmony's control tokens");
    int rc = read_tools(&r);
    if (!rc) rc = render_system(&r);
    const int first = goss_json_first(j, r.messages);
    int turns = first;
    while (turns >= 0 && is_instruction(&r, turns)) turns = goss_json_next(j, turns);
    if (!rc) rc = render_developer(&r, first, turns, 1);
    if (!rc) rc = render_turns(&r, turns);
    if (!rc) {
        goss_buf_i32(ids, r.h.start);
        rc = ordinary(v, "assistant", ids);
    }
    goss_buf_free(&r.text);
    goss_buf_free(&r.name);
    if (rc && (!err || !err->code)) goss_fail(err, rc, -1, "the conversation does not fit in memory");
    return rc;
}
