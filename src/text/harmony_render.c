/* harmony_render.c - a conversation as Harmony tokens, ending where the assistant begins, or inside the call
 * that it must make.
 *
 * Texts are encoded without special tokens, piece by piece as the reference does, and control tokens are put
 * in by id: nothing that a user, a tool or a schema says can become one. Names in headers are made plain, so
 * that none can pretend to be more of the header. What the API calls a system prompt goes into the developer
 * message; the system message is Harmony's own. Reasoning of turns that ended in an answer is dropped, that
 * of an open tool chain is kept: what follows the last assistant message without tool calls.
 *
 * Results find their calls by id in a sorted list: any number of both costs n log n. */
#include "base/error.h"
#include "base/mem.h"
#include "base/order.h"
#include "base/os.h"
#include "harmony.h"
#include <string.h>

enum { TEXT_MAX = 1 << 28 };
typedef struct renderer {
    const goss_vocab *v;
    goss_harmony_ids h;
    const goss_conversation *c;
    goss_buf *ids;
    goss_buf text;            /* of the piece at hand */
    goss_buf name;            /* of the author or recipient at hand */
    const goss_tool_call **calls;  /* of all messages, in order */
    uint32_t *by_id, n_calls; /* their indices, by id and place */
    uint32_t n_before;        /* calls of the messages before the one at hand */
    goss_error *err;
} renderer;

static int append(goss_buf *text, goss_str s) { return goss_buf_append(text, s.s, (size_t)s.n); }

/* ---- messages as tokens ---- */

int goss_harmony_find(const goss_vocab *v, goss_harmony_ids *out)
{
    *out = (goss_harmony_ids){ goss_vocab_find(v, "<|start|>"),     goss_vocab_find(v, "<|end|>"),
                               goss_vocab_find(v, "<|message|>"),   goss_vocab_find(v, "<|channel|>"),
                               goss_vocab_find(v, "<|constrain|>"), goss_vocab_find(v, "<|return|>"),
                               goss_vocab_find(v, "<|call|>"),      goss_vocab_find(v, "<|endoftext|>") };
    return out->start >= 0 && out->end >= 0 && out->message >= 0 && out->channel >= 0 &&
           out->constrain >= 0 && out->ret >= 0 && out->call >= 0;
}

static int ordinary(const goss_vocab *v, const char *s, goss_buf *ids)
{
    return goss_vocab_encode(v, s, strlen(s), 0, ids);
}

static int add_recipient(const goss_vocab *v, const char *recipient, goss_buf *ids)
{
    if (!recipient || !*recipient || !strcmp(recipient, "all")) return 0;
    goss_buf text = GOSS_BUF(TEXT_MAX);
    goss_buf_str(&text, " to=");
    goss_buf_str(&text, recipient);
    int r = ordinary(v, goss_buf_cstr(&text), ids);
    goss_buf_free(&text);
    return r;
}

int goss_harmony_open_message(const goss_vocab *v, const goss_harmony_ids *h, const goss_harmony_header *m,
                              goss_buf *ids)
{
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

int goss_harmony_close_message(const goss_harmony_ids *h, const goss_harmony_header *m, goss_buf *ids)
{
    const int call = !strncmp(m->author, "assistant", 9) && m->recipient && *m->recipient &&
                     strcmp(m->recipient, "all") != 0;
    return goss_buf_i32(ids, call ? h->call : h->end);
}

static int whole_message(renderer *r, const goss_harmony_header *m, const goss_buf *content)
{
    int rc = goss_harmony_open_message(r->v, &r->h, m, r->ids);
    if (!rc && content->failed) rc = content->failed;
    if (!rc) rc = goss_vocab_encode(r->v, (const char *)content->data, content->len, 0, r->ids);
    return rc ? rc : goss_harmony_close_message(&r->h, m, r->ids);
}

/* ---- names ---- */

static int is_builtin(const char *name) { return !strcmp(name, "python") || !strncmp(name, "browser.", 8); }

/* A tool's full name into r->name: built-in ones stand alone, others live in "functions". */
static const char *full_name(renderer *r, goss_str name)
{
    const int builtin = (r->c->python && name.n == 6 && !memcmp(name.s, "python", 6)) ||
                        (r->c->browser && name.n >= 8 && !memcmp(name.s, "browser.", 8));
    goss_buf_clear(&r->name);
    if (builtin)
        goss_harmony_name(name, &r->name);
    else
        goss_harmony_recipient(name, &r->name);
    return goss_buf_cstr(&r->name);
}

/* ---- content ---- */

static int append_content(const goss_message *m, goss_buf *out)
{
    for (int i = 0; i < m->n_parts; i++) append(out, m->parts[i]);
    return out->failed;
}

static int encode(renderer *r, goss_str s) { return goss_vocab_encode(r->v, s.s, (size_t)s.n, 0, r->ids); }

/* ---- system and developer ---- */

/* YYYY-MM-DD of a day counted from 1970-01-01 (Howard Hinnant's civil-from-days). */
static void append_today(goss_buf *text)
{
    const int64_t z = goss_os_unix_time() / 86400 + 719468, era = z / 146097, doe = z - era * 146097;
    const int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365,
                  doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    const int64_t mp = (5 * doy + 2) / 153, day = doy - (153 * mp + 2) / 5 + 1,
                  month = mp < 10 ? mp + 3 : mp - 9;
    goss_buf_printf(text, "%04d-%02d-%02d", (int)(yoe + era * 400 + (month <= 2)), (int)month, (int)day);
}

static void setting(goss_str s, const char *absent, goss_buf *text)
{
    if (s.s)
        append(text, s);
    else
        goss_buf_str(text, absent);
}

static int render_system(renderer *r)
{
    static const char *const efforts[] = { "medium", "low", "medium", "high" };
    const goss_conversation *c = r->c;
    goss_buf *text = &r->text;
    if (c->effort < 0 || c->effort > 3)
        return goss_fail(r->err, GOSS_EINVAL, -1, "the effort is none of 0 to 3");
    goss_buf_clear(text);
    setting(c->identity, "You are ChatGPT, a large language model trained by OpenAI.", text);
    goss_buf_str(text, "\nKnowledge cutoff: ");
    setting(c->knowledge_cutoff, "2024-06", text);
    if (!c->date.s || c->date.n) goss_buf_str(text, "\nCurrent date: ");
    if (c->date.s)
        append(text, c->date);
    else
        append_today(text);
    goss_buf_str(text, "\n\nReasoning: ");
    goss_buf_str(text, efforts[c->effort]);
    if (c->browser || c->python) goss_buf_str(text, "\n\n# Tools");
    if (c->browser) {
        goss_buf_str(text, "\n\n");
        goss_buf_str(text, goss_harmony_browser);
    }
    if (c->python) {
        goss_buf_str(text, "\n\n");
        goss_buf_str(text, goss_harmony_python);
    }
    goss_buf_str(
        text,
        "\n\n# Valid channels: analysis, commentary, final. Channel must be included for every message.");
    if (c->n_tools)
        goss_buf_str(text, "\nCalls to these tools must go to the commentary channel: 'functions'.");
    return whole_message(r, &(goss_harmony_header){ .author = "system" }, text);
}

static int append_section(goss_buf *text, const char *title)
{
    if (text->len) goss_buf_str(text, "\n\n");
    return goss_buf_str(text, title);
}

/* What the answer must look like; nothing for plain text. */
static int append_format(const goss_conversation *c, goss_buf *text)
{
    if (c->format == GOSS_FORMAT_TEXT) return 0;
    if (c->format == GOSS_FORMAT_OBJECT)
        return append_section(
            text, "# Response Formats\n\n## json_object\n\n// A JSON object.\n{\"type\":\"object\"}");
    append_section(text, "# Response Formats\n\n## ");
    setting(c->schema_name, "response", text);
    goss_buf_str(text, "\n\n");
    if (c->schema_description.s) {
        goss_buf_str(text, "// ");
        append(text, c->schema_description);
        goss_buf_str(text, "\n");
    }
    return append(text, c->schema);
}

/* The developer message: instructions from the messages first to end - 1, then, where `all` is set, tools and
 * response format. */
static int render_developer(renderer *r, int first, int end, int all)
{
    goss_buf *text = &r->text;
    int rc = 0;
    goss_buf_clear(text);
    for (int i = first; i < end; i++) {
        if (!r->c->messages[i].n_parts) continue;
        append_section(text, text->len ? "" : "# Instructions\n\n");
        append_content(&r->c->messages[i], text);
    }
    if (all && r->c->n_tools) {
        append_section(text, "# Tools\n\n");
        rc = goss_harmony_functions(r->c->tools, r->c->n_tools, text, r->err);
    }
    if (!rc && all) rc = append_format(r->c, text);
    if (rc) return rc;
    return text->len || text->failed ? whole_message(r, &(goss_harmony_header){ .author = "developer" }, text)
                                     : 0;
}

/* ---- tool calls and results ---- */

static int render_call(renderer *r, const goss_tool_call *call)
{
    const char *full = full_name(r, call->name);
    goss_buf_clear(&r->text);
    append(&r->text, call->arguments);
    const goss_harmony_header m = { .author = "assistant",
                                    .recipient = full,
                                    .recipient_in_channel = 1,
                                    .channel = is_builtin(full) ? "analysis" : "commentary",
                                    .content_type = is_builtin(full) ? "code" : "<|constrain|>json" };
    return whole_message(r, &m, &r->text);
}

static int compare(goss_str a, goss_str b)
{
    const uint64_t n = a.n < b.n ? a.n : b.n;
    const int c = n ? memcmp(a.s, b.s, (size_t)n) : 0;
    return c ? c : (a.n > b.n) - (a.n < b.n);
}

static int order_calls(const void *records, uint32_t a, uint32_t b)
{
    const goss_tool_call *const *calls = records;
    const int c = compare(calls[a]->id, calls[b]->id);
    return c ? c : (a > b) - (a < b);
}

/* Lists the calls of all messages. */
static int list_calls(renderer *r)
{
    const goss_conversation *c = r->c;
    uint64_t n = 0;
    for (int i = 0; i < c->n_messages; i++) n += (uint64_t)c->messages[i].n_calls;
    if (!n) return 0;
    if (n > INT32_MAX) return GOSS_ELIMIT;
    r->calls = goss_mem_array((size_t)n, sizeof *r->calls);
    r->by_id = goss_mem_array((size_t)n, sizeof *r->by_id);
    if (!r->calls || !r->by_id) return GOSS_ENOMEM;
    for (int i = 0; i < c->n_messages; i++)
        for (int k = 0; k < c->messages[i].n_calls; k++) {
            r->by_id[r->n_calls] = r->n_calls;
            r->calls[r->n_calls++] = &c->messages[i].calls[k];
        }
    goss_order(r->by_id, r->n_calls, order_calls, r->calls);
    return 0;
}

/* The last call of this id before the message at hand, NULL: none. */
static const goss_tool_call *call_of(const renderer *r, goss_str id)
{
    uint32_t from = 0, to = r->n_calls; /* by_id[to] is the first that is not before it */
    while (from < to) {
        const uint32_t mid = from + (to - from) / 2, at = r->by_id[mid];
        const int c = compare(r->calls[at]->id, id);
        if (c < 0 || (c == 0 && at < r->n_before))
            from = mid + 1;
        else
            to = mid;
    }
    const goss_tool_call *found = to ? r->calls[r->by_id[to - 1]] : NULL;
    return found && found->id.s && !compare(found->id, id) ? found : NULL;
}

/* A result says whose it is: by the call's id, else by its own name, else it is the last call's. */
static int render_result(renderer *r, int at)
{
    const goss_message *message = &r->c->messages[at];
    const goss_tool_call *call = message->call_id.s ? call_of(r, message->call_id) : NULL;
    if (!call && !message->name.s && r->n_before) call = r->calls[r->n_before - 1];
    const goss_str name = call ? call->name : message->name;
    if (!name.s) return goss_fail(r->err, GOSS_EINVAL, at, "a tool message answers no tool call");
    const char *full = full_name(r, name);
    const goss_harmony_header m = { .author = full,
                                    .recipient = "assistant",
                                    .channel = is_builtin(full) ? "analysis" : "commentary" };
    int rc = goss_harmony_open_message(r->v, &r->h, &m, r->ids);
    for (int i = 0; i < message->n_parts && !rc; i++) rc = encode(r, message->parts[i]);
    return rc ? rc : goss_buf_i32(r->ids, r->h.end);
}

/* ---- turns ---- */

static int render_plain(renderer *r, const char *author, const char *channel, const goss_str *parts, int n)
{
    const goss_harmony_header m = { .author = author, .channel = channel };
    int rc = goss_harmony_open_message(r->v, &r->h, &m, r->ids);
    for (int i = 0; i < n && !rc; i++) rc = encode(r, parts[i]);
    return rc ? rc : goss_buf_i32(r->ids, r->h.end);
}

static int render_assistant(renderer *r, int at, int keep_reasoning)
{
    const goss_message *m = &r->c->messages[at];
    int rc = 0;
    if (keep_reasoning && m->reasoning.n) rc = render_plain(r, "assistant", "analysis", &m->reasoning, 1);
    if (!rc && m->n_parts)
        rc = render_plain(r, "assistant", m->n_calls ? "commentary" : "final", m->parts, m->n_parts);
    for (int i = 0; i < m->n_calls && !rc; i++)
        rc = m->calls[i].name.s ? render_call(r, &m->calls[i])
                                : goss_fail(r->err, GOSS_EINVAL, at, "a tool call has no name");
    r->n_before += (uint32_t)m->n_calls;
    return rc;
}

static int render_user(renderer *r, const goss_message *m)
{
    goss_buf_clear(&r->name);
    goss_buf_str(&r->name, m->name.n ? "user:" : "user");
    goss_harmony_name(m->name, &r->name);
    return render_plain(r, goss_buf_cstr(&r->name), NULL, m->parts, m->n_parts);
}

/* The last message that ended a turn: from the assistant, with content and without calls. -1: none. */
static int last_answer(const goss_conversation *c)
{
    int i = c->n_messages - 1;
    for (; i >= 0; i--) {
        const goss_message *m = &c->messages[i];
        if (m->role == GOSS_ROLE_ASSISTANT && !m->n_calls && m->n_parts) break;
    }
    return i;
}

static int render_message(renderer *r, int i, int keep_reasoning)
{
    const goss_message *m = &r->c->messages[i];
    switch (m->role) {
    case GOSS_ROLE_USER: return render_user(r, m);
    case GOSS_ROLE_ASSISTANT: return render_assistant(r, i, keep_reasoning);
    case GOSS_ROLE_TOOL: return render_result(r, i);
    case GOSS_ROLE_DEVELOPER: return render_developer(r, i, i + 1, 0);
    default: return goss_fail(r->err, GOSS_EINVAL, i, "a message has no role");
    }
}

/* ---- the answer's beginning ---- */

/* The header of a call that must be made, up to where the model goes on: behind "functions" where it chooses
 * which, in the arguments where the choice is made. */
static int begin_call(renderer *r, goss_str name)
{
    goss_buf_i32(r->ids, r->h.channel);
    goss_buf_clear(&r->text);
    goss_buf_str(&r->text, "commentary to=functions");
    if (name.s) {
        goss_buf_str(&r->text, ".");
        goss_harmony_name(name, &r->text);
        goss_buf_str(&r->text, " ");
    }
    int rc = ordinary(r->v, goss_buf_cstr(&r->text), r->ids);
    if (rc || !name.s) return rc;
    goss_buf_i32(r->ids, r->h.constrain);
    rc = ordinary(r->v, "json", r->ids);
    return rc ? rc : goss_buf_i32(r->ids, r->h.message);
}

static int render_all(renderer *r)
{
    const goss_conversation *c = r->c;
    const int answer = last_answer(c);
    int first = 0;
    while (first < c->n_messages && c->messages[first].role == GOSS_ROLE_DEVELOPER) first++;
    int rc = list_calls(r);
    if (!rc) rc = render_system(r);
    if (!rc) rc = render_developer(r, 0, first, 1);
    for (int i = first; i < c->n_messages && !rc; i++) rc = render_message(r, i, i > answer);
    if (!rc) rc = goss_buf_i32(r->ids, r->h.start);
    if (!rc) rc = ordinary(r->v, "assistant", r->ids);
    return rc || !c->must_call || !c->n_tools ? rc : begin_call(r, c->choice);
}

int goss_harmony_encode(const goss_vocab *v, const goss_conversation *c, goss_buf *ids, goss_error *err)
{
    renderer r = { .v = v,
                   .c = c,
                   .ids = ids,
                   .err = err,
                   .text = GOSS_BUF(TEXT_MAX),
                   .name = GOSS_BUF(TEXT_MAX) };
    if (!goss_harmony_find(v, &r.h))
        return goss_fail(err, GOSS_EUNSUPPORTED, -1, "the vocabulary lacks Harmony's control tokens");
    const int rc = render_all(&r);
    goss_buf_free(&r.text);
    goss_buf_free(&r.name);
    goss_mem_free(r.calls);
    goss_mem_free(r.by_id);
    return rc;
}
