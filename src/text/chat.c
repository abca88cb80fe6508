/* chat.c - which format a model chats in, and the formats of llama models.
 *
 * These are plain text between control tokens: text is collected up to the next control token and encoded
 * without special tokens, so that nothing a user says becomes one. (Markers that are text in the format, as
 * zephyr's <|user|>, can be typed by anyone: that is the format's weakness.) Tools have no place in them and
 * are refused. */
#include "chat.h"
#include "base/error.h"
#include "harmony.h"
#include <string.h>

enum { TEXT_MAX = 1 << 28 };
typedef struct writer {
    const goss_vocab *v;
    const goss_conversation *c;
    goss_buf *ids, text; /* text: since the last control token */
    goss_error *err;
} writer;

const char *goss_chat_format_name(goss_chat_format f)
{
    static const char *const names[] = { "raw", "harmony", "zephyr", "llama2", "llama3", "chatml" };
    return (unsigned)f < sizeof names / sizeof *names ? names[f] : "";
}

static int contains(goss_str s, const char *what)
{
    const size_t n = strlen(what);
    for (uint64_t i = 0; i + n <= s.n; i++)
        if (!memcmp(s.s + i, what, n)) return 1;
    return 0;
}

goss_chat_format goss_chat_detect(const goss_vocab *v, const goss_gguf *g)
{
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

static int flush(writer *w)
{
    int r = w->text.failed;
    if (!r && w->text.len) r = goss_vocab_encode(w->v, (const char *)w->text.data, w->text.len, 0, w->ids);
    goss_buf_clear(&w->text);
    return r;
}

/* A control token; its name as text where the vocabulary does not have it. */
static int control(writer *w, const char *name)
{
    const int32_t id = goss_vocab_find(w->v, name);
    if (id < 0) return goss_buf_str(&w->text, name);
    int r = flush(w);
    return r ? r : goss_buf_i32(w->ids, id);
}

static int end_of_sequence(writer *w)
{
    const int32_t id = goss_vocab_eos(w->v);
    int r = flush(w);
    return r || id < 0 ? r : goss_buf_i32(w->ids, id);
}

static int beginning(writer *w)
{
    return goss_vocab_adds_bos(w->v) ? goss_buf_i32(w->ids, goss_vocab_bos(w->v)) : 0;
}

/* Appends a message's content. */
static int content(writer *w, int message)
{
    const goss_message *m = &w->c->messages[message];
    for (int i = 0; i < m->n_parts; i++) goss_buf_append(&w->text, m->parts[i].s, (size_t)m->parts[i].n);
    return w->text.failed;
}

/* As content, without blanks at its ends. */
static int trimmed_content(writer *w, int message)
{
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

/* The words of roles; llama3 writes another for results. */
static const char *role_of(const goss_message *m)
{
    static const char *const roles[] = { [GOSS_ROLE_DEVELOPER] = "system",
                                         [GOSS_ROLE_USER] = "user",
                                         [GOSS_ROLE_ASSISTANT] = "assistant",
                                         [GOSS_ROLE_TOOL] = "tool" };
    return m->role > 0 && m->role <= GOSS_ROLE_TOOL ? roles[m->role] : NULL;
}

static int no_such_role(writer *w, int message)
{
    return goss_fail(w->err, GOSS_EINVAL, message, "this model's chat has only system, user and assistant");
}

static int zephyr(writer *w, const char *role, int message)
{
    goss_buf_str(&w->text, "<|");
    goss_buf_str(&w->text, role);
    goss_buf_str(&w->text, "|>\n");
    if (message < 0) return 0;
    int r = content(w, message);
    if (!r) r = end_of_sequence(w);
    return r ? r : goss_buf_str(&w->text, "\n");
}

static int llama3(writer *w, const char *role, int message)
{
    int r = control(w, "<|start_header_id|>");
    goss_buf_str(&w->text, strcmp(role, "tool") ? role : "ipython");
    if (!r) r = control(w, "<|end_header_id|>");
    goss_buf_str(&w->text, "\n\n");
    if (!r && message >= 0) r = trimmed_content(w, message);
    return r || message < 0 ? r : control(w, "<|eot_id|>");
}

static int chatml(writer *w, const char *role, int message)
{
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
static int llama2(writer *w)
{
    int open = 0, r = 0;
    for (int i = 0; i < w->c->n_messages && !r; i++) {
        const int role = w->c->messages[i].role;
        if (!role_of(&w->c->messages[i]) || role == GOSS_ROLE_TOOL) return no_such_role(w, i);
        if (role == GOSS_ROLE_ASSISTANT) {
            if (open) goss_buf_str(&w->text, " [/INST] ");
            open = 0;
            r = trimmed_content(w, i);
            goss_buf_str(&w->text, " ");
            if (!r) r = end_of_sequence(w);
            if (!r && i + 1 < w->c->n_messages) r = beginning(w);
            continue;
        }
        goss_buf_str(&w->text, open ? "\n" : "[INST] ");
        open = 1;
        const int system = role == GOSS_ROLE_DEVELOPER;
        if (system) goss_buf_str(&w->text, "<<SYS>>\n");
        r = trimmed_content(w, i);
        if (system) goss_buf_str(&w->text, "\n<</SYS>>\n");
    }
    if (open) goss_buf_str(&w->text, " [/INST]");
    return r;
}

static int raw(writer *w)
{
    int r = 0;
    for (int i = 0; i < w->c->n_messages && !r; i++) {
        if (i) goss_buf_str(&w->text, "\n");
        r = content(w, i);
    }
    return r;
}

static int by_message(writer *w, goss_chat_format f)
{
    int (*const write)(writer *, const char *, int) = f == GOSS_CHAT_ZEPHYR   ? zephyr
                                                      : f == GOSS_CHAT_LLAMA3 ? llama3
                                                                              : chatml;
    int r = 0;
    for (int i = 0; i < w->c->n_messages && !r; i++) {
        const char *role = role_of(&w->c->messages[i]);
        if (!role || (f == GOSS_CHAT_ZEPHYR && !strcmp(role, "tool"))) return no_such_role(w, i);
        r = write(w, role, i);
    }
    return r ? r : write(w, "assistant", -1);
}

static int encode(writer *w, goss_chat_format f)
{
    if (w->c->n_tools)
        return goss_fail(w->err, GOSS_EUNSUPPORTED, -1,
                         "this model's chat format has no tools; a gpt-oss model has");
    int r = beginning(w);
    if (!r) r = f == GOSS_CHAT_LLAMA2 ? llama2(w) : f == GOSS_CHAT_RAW ? raw(w) : by_message(w, f);
    return r ? r : flush(w);
}

static int is_list(int n, const void *list) { return n >= 0 && (!n || list); }

static int is_sound(const goss_conversation *c)
{
    int sound = is_list(c->n_messages, c->messages) && is_list(c->n_tools, c->tools);
    for (int i = 0; i < c->n_messages && sound; i++)
        sound = is_list(c->messages[i].n_parts, c->messages[i].parts) &&
                is_list(c->messages[i].n_calls, c->messages[i].calls);
    return sound;
}

int goss_chat_encode(const goss_vocab *v, goss_chat_format f, const goss_conversation *c, goss_buf *ids,
                     goss_error *err)
{
    if (!is_sound(c)) return goss_fail(err, GOSS_EINVAL, -1, "the conversation has a count without its list");
    writer w = { .v = v, .c = c, .ids = ids, .text = GOSS_BUF(TEXT_MAX), .err = err };
    if (err) err->code = 0;
    const int r = f == GOSS_CHAT_HARMONY ? goss_harmony_encode(v, c, ids, err) : encode(&w, f);
    goss_buf_free(&w.text);
    if (r && (!err || !err->code)) goss_fail(err, r, -1, "the conversation does not fit in memory");
    return r;
}
