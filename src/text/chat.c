/* chat.c - which format a model chats in, and the formats of llama models.
 *
 * These are plain text between control tokens: text is collected up to the next control token and encoded
 * without special tokens, so that nothing a user says becomes one. (Markers that are text in the format, as
 * zephyr's <|user|>, can be typed by anyone: that is the format's weakness.) Tools have no place in them and
 * are refused. */
#include "chat.h"
#include "../base/error.h"
#include "harmony.h"
#include <string.h>

enum { TEXT_MAX = 1 << 28 };
typedef struct writer {
    const goss_vocab *v;
    const goss_json *j;
    goss_buf *ids, text; /* text: since the last control token */
    goss_error *err;
} writer;

const char *goss_chat_format_name(goss_chat_format f) {
    static const char *const names[] = { "raw", "harmony", "zephyr", "llama2", "llama3", "chatml" };
    return (unsigned)f < sizeof names / sizeof *names ? names[f] : "";
}

static int contains(goss_str s, const char *what) {
    const size_t n = strlen(what);
    for (uint64_t i = 0; i + n <= s.n; i++)
        if (!memcmp(s.s + i, what, n)) return 1;
    return 0;
}

goss_chat_format goss_chat_detect(const goss_vocab *v, const goss_gguf *g) {
    goss_harmony_ids ids;
    goss_str t = { "", 0 };
    if (goss_harmony_find(v, &ids)) return GOSS_CHAT_HARMONY;
    goss_gguf_str(g, "tokenizer.chat_template", &t, NULL);
    if (contains(t, "<|start_header_id|>")) return GOSS_CHAT_LLAMA3;
    if (contains(t, "<|im_start|>")) return GOSS_CHAT_CHATML;
    if (contains(t, "[INST]")) return GOSS_CHAT_LLAMA2;
    if (contains(t, "<|user|>") && contains(t, "<|assistant|>")) return GOSS_CHAT_ZEPHYR;
    if (t.n) return GOSS_CHAT_RAW;
    if (goss_vocab_find(v, "<|start_header_id|>") >= 0) return GOSS_CHAT_LLAMA3;
    return goss_vocab_find(v, "<|im_start|>") >= 0 ? GOSS_CHAT_CHATML : GOSS_CHAT_RAW;
}

/* ---- writing ---- */

static int flush(writer *w) {
    int r = w->text.failed;
    if (!r && w->text.len) r = goss_vocab_encode(w->v, (const char *)w->text.data, w->text.len, 0, w->ids);
    goss_buf_clear(&w->text);
    return r;
}

/* A control token; its name as text where the vocabulary does not have it. */
static int control(writer *w, const char *name) {
    const int32_t id = goss_vocab_find(w->v, name);
    if (id < 0) return goss_buf_str(&w->text, name);
    int r = flush(w);
    return r ? r : goss_buf_i32(w->ids, id);
}

static int end_of_sequence(writer *w) {
    const int32_t id = goss_vocab_eos(w->v);
    int r = flush(w);
    return r || id < 0 ? r : goss_buf_i32(w->ids, id);
}

static int beginning(writer *w) {
    return goss_vocab_adds_bos(w->v) ? goss_buf_i32(w->ids, goss_vocab_bos(w->v)) : 0;
}

static int fail_at(writer *w, int node, int code, const char *what) {
    return goss_fail(w->err, code, node >= 0 ? (int64_t)w->j->nodes[node].start : -1, "%s", what);
}

/* Appends a message's content: a string, or an array of text parts. */
static int content(writer *w, int message) {
    const int node = goss_json_get(w->j, message, "content"), kind = goss_json_kind(w->j, node);
    if (kind == 0 || kind == GOSS_JSON_NULL) return 0;
    if (kind == GOSS_JSON_STRING) return goss_json_string(w->j, node, &w->text);
    if (kind != GOSS_JSON_ARRAY)
        return fail_at(w, node, GOSS_EINVAL, "content is neither a string nor an array of text parts");
    for (int k = goss_json_first(w->j, node); k >= 0; k = goss_json_next(w->j, k)) {
        const int text = goss_json_kind(w->j, k) == GOSS_JSON_STRING ? k : goss_json_get(w->j, k, "text");
        if (goss_json_kind(w->j, text) != GOSS_JSON_STRING)
            return fail_at(w, k, GOSS_EUNSUPPORTED,
                           "a part of content is not text, and this model reads only text");
        int r = goss_json_string(w->j, text, &w->text);
        if (r) return r;
    }
    return 0;
}

/* As content, without blanks at its ends. */
static int trimmed_content(writer *w, int message) {
    const size_t from = w->text.len;
    int r = content(w, message);
    if (r) return r;
    size_t a = from, e = w->text.len;
    while (e > a && memchr(" \t\r\n", w->text.data[e - 1], 4)) e--;
    while (a < e && memchr(" \t\r\n", w->text.data[a], 4)) a++;
    if (e > a) memmove(w->text.data + from, w->text.data + a, e - a);
    w->text.len = from + (e - a);
    return 0;
}

/* ---- formats ---- */

static const char *role_of(writer *w, int message) {
    static const char *const roles[] = { "system", "user", "assistant", "tool" };
    const int node = goss_json_get(w->j, message, "role");
    if (goss_json_is(w->j, node, "developer")) return "system";
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (goss_json_is(w->j, node, roles[i])) return roles[i];
    return NULL;
}

static int zephyr(writer *w, const char *role, int message) {
    goss_buf_str(&w->text, "<|");
    goss_buf_str(&w->text, role);
    goss_buf_str(&w->text, "|>\n");
    int r = content(w, message);
    if (!r) r = end_of_sequence(w);
    return r ? r : goss_buf_str(&w->text, "\n");
}

static int llama3(writer *w, const char *role, int message) {
    int r = control(w, "<|start_header_id|>");
    goss_buf_str(&w->text, strcmp(role, "tool") ? role : "ipython");
    if (!r) r = control(w, "<|end_header_id|>");
    goss_buf_str(&w->text, "\n\n");
    if (!r && message >= 0) r = trimmed_content(w, message);
    return r || message < 0 ? r : control(w, "<|eot_id|>");
}

static int chatml(writer *w, const char *role, int message) {
    int r = control(w, "<|im_start|>");
    goss_buf_str(&w->text, role);
    goss_buf_str(&w->text, "\n");
    if (message < 0) return r;
    if (!r) r = content(w, message);
    if (!r) r = control(w, "<|im_end|>");
    return r ? r : goss_buf_str(&w->text, "\n");
}

/* [INST] <<SYS>> ... <</SYS>> user [/INST] answer </s><s>[INST] ...: the system prompt is part of the first
 * user message. */
static int llama2(writer *w, int first) {
    int open = 0, r = 0;
    for (int k = first; k >= 0 && !r; k = goss_json_next(w->j, k)) {
        const char *role = role_of(w, k);
        if (!role || !strcmp(role, "tool"))
            return fail_at(w, k, GOSS_EINVAL, "this model's chat has only system, user and assistant");
        if (!strcmp(role, "assistant")) {
            if (open) goss_buf_str(&w->text, " [/INST] ");
            open = 0;
            r = trimmed_content(w, k);
            goss_buf_str(&w->text, " ");
            if (!r) r = end_of_sequence(w);
            if (!r && goss_json_next(w->j, k) >= 0) r = beginning(w);
            continue;
        }
        goss_buf_str(&w->text, open ? "\n" : "[INST] ");
        open = 1;
        const int system = !strcmp(role, "system");
        if (system) goss_buf_str(&w->text, "<<SYS>>\n");
        r = trimmed_content(w, k);
        if (system) goss_buf_str(&w->text, "\n<</SYS>>\n");
    }
    if (open) goss_buf_str(&w->text, " [/INST]");
    return r;
}

static int raw(writer *w, int first) {
    int r = 0;
    for (int k = first; k >= 0 && !r; k = goss_json_next(w->j, k)) {
        if (k != first) goss_buf_str(&w->text, "\n");
        r = content(w, k);
    }
    return r;
}

static int by_message(writer *w, goss_chat_format f, int first) {
    int (*const write)(writer *, const char *, int) = f == GOSS_CHAT_ZEPHYR   ? zephyr
                                                      : f == GOSS_CHAT_LLAMA3 ? llama3
                                                                              : chatml;
    int r = 0;
    for (int k = first; k >= 0 && !r; k = goss_json_next(w->j, k)) {
        const char *role = role_of(w, k);
        if (!role)
            return fail_at(w, k, GOSS_EINVAL,
                           "a message's role is none of system, developer, user, assistant and tool");
        if (f == GOSS_CHAT_ZEPHYR && !strcmp(role, "tool"))
            return fail_at(w, k, GOSS_EINVAL, "this model's chat has only system, user and assistant");
        r = write(w, role, k);
    }
    if (r) return r;
    return f == GOSS_CHAT_ZEPHYR ? goss_buf_str(&w->text, "<|assistant|>\n") : write(w, "assistant", -1);
}

int goss_chat_encode(const goss_vocab *v, goss_chat_format f, const goss_json *j, int root, goss_buf *ids,
                     goss_error *err) {
    writer w = { .v = v, .j = j, .ids = ids, .text = GOSS_BUF(TEXT_MAX), .err = err };
    const int messages = goss_json_get(j, root, "messages"), tools = goss_json_get(j, root, "tools");
    if (err) err->code = 0;
    if (goss_json_kind(j, messages) != GOSS_JSON_ARRAY)
        return fail_at(&w, root, GOSS_EINVAL, "the request has no array \"messages\"");
    if (f == GOSS_CHAT_HARMONY) return goss_harmony_encode(v, j, root, ids, err);
    if (goss_json_first(j, tools) >= 0 && !goss_json_is(j, goss_json_get(j, root, "tool_choice"), "none"))
        return fail_at(&w, tools, GOSS_EUNSUPPORTED,
                       "this model's chat format has no tools; a gpt-oss model has");
    const int first = goss_json_first(j, messages);
    int r = beginning(&w);
    if (!r)
        r = f == GOSS_CHAT_LLAMA2 ? llama2(&w, first)
            : f == GOSS_CHAT_RAW  ? raw(&w, first)
                                  : by_message(&w, f, first);
    if (!r) r = flush(&w);
    goss_buf_free(&w.text);
    if (r && (!err || !err->code)) goss_fail(err, r, -1, "the conversation does not fit in memory");
    return r;
}
