/* chat_parse.c - generated tokens to messages, as they come. Never fails, never drops text.
 *
 *      HEADER    --- <|message|>, or hopeless -------------------------------------> CONTENT
 *      HEADER    --- <|start|>: a new header; <|end|>, <|call|>, <|return|>, <|endoftext|> ---> BETWEEN
 *      CONTENT   --- <|end|>, <|call|>, <|return|>, <|endoftext|> -----------------> BETWEEN
 *      CONTENT   --- <|start|>, <|channel|> (the end was forgotten) ---------------> HEADER
 *      BETWEEN   --- <|start|>, or text and <|channel|> (the start was forgotten) -> HEADER
 *      BETWEEN   --- <|message|> --------------------------------------------------> CONTENT
 *
 * What can't be a header becomes content of the channel that the header names, "final" when it names none:
 * when its third foreign word, a line end behind one, or JSON for a known recipient shows that <|message|>
 * was forgotten, when the header is cut short, or when it grows beyond 256 bytes. If <|message|> does come
 * behind one or two foreign words, they become the beginning of the message, or, where it goes to a tool, a
 * message of their own before it. Every byte of a normal token is counted once: as header or as content.
 *
 * Other formats have one message in channel "final". Buffers are sized when the parser is opened: pushing
 * allocates nothing. */
#include "base/error.h"
#include "base/mem.h"
#include "base/order.h"
#include "base/utf8_stream.h"
#include "chat.h"
#include "harmony.h"
#include "vocab_impl.h"

enum { QUEUE_MAX = 4 };
typedef enum place { IN_HEADER, IN_CONTENT, BETWEEN } place;
typedef struct queued {
    goss_chat_delta delta;
    size_t text;
    char recipient[GOSS_HEADER_MAX], content_type[32];
} queued;

struct goss_chat_parser {
    const goss_vocab *v;
    goss_chat_format format;
    goss_harmony_ids h;
    place place;
    int fresh;      /* the message has begun, no delta of it has been given out */
    int drop_space; /* SPM: a leading space of the content is not meant */
    goss_harmony_head head;
    goss_harmony_parsed message; /* whose content it is */
    goss_utf8_stream utf8;
    goss_buf text; /* of this push's deltas */
    queued queue[QUEUE_MAX];
    int n_queue, next;
    uint64_t header_bytes, content_bytes;
    goss_harmony_names names; /* who may be called */
};

/* ---- deltas ---- */

static queued *enqueue(goss_chat_parser *p)
{
    if (p->n_queue == QUEUE_MAX) return &p->queue[QUEUE_MAX - 1]; /* can't be: see push_control */
    queued *q = &p->queue[p->n_queue++];
    q->delta = (goss_chat_delta){ .channel = "" };
    q->text = p->text.len;
    *q->recipient = *q->content_type = 0;
    return q;
}

/* A delta of the current message; the caller sets n when it has added text. */
static queued *content_delta(goss_chat_parser *p)
{
    queued *q = enqueue(p);
    q->delta.channel = p->message.channel;
    q->delta.new_message = p->fresh;
    memcpy(q->recipient, p->message.recipient, sizeof q->recipient);
    memcpy(q->content_type, p->message.content_type, sizeof q->content_type);
    p->fresh = 0;
    return q;
}

/* Adds bytes to the current message: to the last delta if it is of this message, else to a new one. */
static void add_text(goss_chat_parser *p, const uint8_t *s, size_t n)
{
    queued *q = p->n_queue ? &p->queue[p->n_queue - 1] : NULL;
    if (!q || p->fresh || q->delta.in_header || q->delta.ended) q = content_delta(p);
    p->content_bytes += n;
    if (p->drop_space && n) {
        p->drop_space = 0;
        if (*s == ' ') {
            s++;
            n--;
        }
    }
    goss_utf8_push(&p->utf8, s, n, 0, &p->text);
    q->delta.n = p->text.len - q->text;
}

/* Flushes half a character. ended: 0 when only the tokens ran out. */
static void end_message(goss_chat_parser *p, int ended)
{
    queued *q = p->n_queue ? &p->queue[p->n_queue - 1] : NULL;
    if (!q || p->fresh || q->delta.in_header || q->delta.ended) q = content_delta(p);
    goss_utf8_push(&p->utf8, (const uint8_t *)"", 0, 1, &p->text);
    q->delta.n = p->text.len - q->text;
    q->delta.ended = ended;
}

static void header_delta(goss_chat_parser *p)
{
    if (!p->n_queue) enqueue(p)->delta.in_header = 1;
}

static int give(goss_chat_parser *p, goss_chat_delta *delta)
{
    queued *q = &p->queue[p->next++];
    *delta = q->delta;
    delta->recipient = q->recipient;
    delta->content_type = q->content_type;
    delta->text = p->text.data ? (const char *)p->text.data + q->text : "";
    return p->n_queue - p->next + 1;
}

/* ---- headers ---- */

static void begin_header(goss_chat_parser *p, int role_given)
{
    p->place = IN_HEADER;
    p->head.n = 0;
    p->head.role_given = role_given;
}

static void begin_message(goss_chat_parser *p, const goss_harmony_parsed *m)
{
    p->message = *m;
    p->fresh = 1;
    p->place = IN_CONTENT;
    p->utf8 = (goss_utf8_stream){ .n_tail = 0 };
}

/* The bytes [from, end) of the header, without marks, are content after all. */
static void release(goss_chat_parser *p, int from, int end)
{
    for (int i = from; i < end; i++)
        if (!p->head.mark[i]) add_text(p, p->head.byte + i, 1);
}

static void count_header(goss_chat_parser *p, int end)
{
    for (int i = 0; i < end; i++) p->header_bytes += !p->head.mark[i];
}

/* <|message|> will not come: what is no header is content. */
static void give_up_header(goss_chat_parser *p, const goss_harmony_parsed *m)
{
    count_header(p, m->text);
    begin_message(p, m);
    release(p, m->text, p->head.n);
    p->head.n = 0;
}

/* Junk words with the blanks between neighbours, from the i-th on: the end of the run of words that stand
 * together. */
static int junk_run(const goss_chat_parser *p, const goss_harmony_parsed *m, int *i)
{
    int e = goss_harmony_word_end(&p->head, m->junk[*i]);
    while (*i + 1 < m->n_junk) {
        int next = e;
        while (next < p->head.n && !p->head.mark[next] && memchr(" \t\r\n", p->head.byte[next], 4)) next++;
        if (next != m->junk[*i + 1]) break;
        e = goss_harmony_word_end(&p->head, m->junk[++*i]);
    }
    return e;
}

/* <|message|> has come: the header is complete, but junk in it is text. */
static void finish_header(goss_chat_parser *p)
{
    goss_harmony_parsed m;
    goss_harmony_parse_head(&p->head, &m);
    uint64_t junk_bytes = p->content_bytes;
    if (m.n_junk) {
        goss_harmony_parsed text = m;
        *text.recipient = *text.content_type = 0;
        begin_message(p, *m.recipient ? &text : &m);
        for (int i = 0; i < m.n_junk; i++) {
            const int from = m.junk[i];
            release(p, from, junk_run(p, &m, &i));
        }
        if (*m.recipient) end_message(p, 1);
    }
    junk_bytes = p->content_bytes - junk_bytes;
    count_header(p, p->head.n);
    p->header_bytes -= junk_bytes;
    if (!m.n_junk || *m.recipient) begin_message(p, &m);
    p->head.n = 0;
    header_delta(p);
}

static void header_byte(goss_chat_parser *p, uint8_t c)
{
    p->head.byte[p->head.n] = c;
    p->head.mark[p->head.n++] = 0;
    const int full = p->head.n == GOSS_HEADER_MAX;
    if (!full && c != ' ' && c != '\n' && c != '\t' && c != '\r' && c != '{') return;
    goss_harmony_parsed m;
    goss_harmony_parse_head(&p->head, &m);
    if (full || goss_harmony_hopeless(&p->head, &m)) give_up_header(p, &m);
}

static void header_mark(goss_chat_parser *p, uint8_t mark)
{
    if (p->head.n == GOSS_HEADER_MAX - 1) return; /* a byte more and it is given up */
    p->head.byte[p->head.n] = ' ';
    p->head.mark[p->head.n++] = mark;
}

/* The header is over before it was one: a message of what text it held, an empty one where it names a
 * channel. */
static void cut_header(goss_chat_parser *p, int ended)
{
    goss_harmony_parsed m;
    goss_harmony_parse_head(&p->head, &m);
    const int has_text = m.text < p->head.n;
    give_up_header(p, &m);
    p->place = BETWEEN;
    if (has_text || m.named) end_message(p, ended);
    p->fresh = 0;
}

/* ---- tokens ---- */

static void push_text(goss_chat_parser *p, const uint8_t *s, size_t n)
{
    size_t i = 0;
    if (p->place == BETWEEN && n) begin_header(p, 0);
    while (i < n && p->place == IN_HEADER) header_byte(p, s[i++]);
    if (p->place == IN_CONTENT && (i < n || !p->n_queue)) add_text(p, s + i, n - i);
}

/* At most: one message from a cut header, and one delta of the header that follows; or junk, its end, and
 * <|message|>. */
static void push_control(goss_chat_parser *p, int32_t id)
{
    const goss_harmony_ids *h = &p->h;
    const int ends = id == h->end || id == h->ret || id == h->call || id == h->endoftext;
    if (p->place == IN_CONTENT) {
        if (ends || id == h->start || id == h->channel) {
            end_message(p, 1);
            p->place = BETWEEN;
        } else
            return; /* a doubled <|message|>, a stray <|constrain|>, something reserved: no text */
    } else if (p->place == IN_HEADER && (ends || id == h->start))
        cut_header(p, 1);
    if (id == h->start) begin_header(p, 0);
    if (id == h->channel || id == h->constrain) {
        if (p->place == BETWEEN) begin_header(p, 1);
        header_mark(p, id == h->channel ? GOSS_MARK_CHANNEL : GOSS_MARK_CONSTRAIN);
    }
    if (id == h->message) {
        if (p->place == BETWEEN) begin_header(p, 1);
        finish_header(p);
    }
}

static void push_plain(goss_chat_parser *p, int32_t id)
{
    const goss_str s = goss_vocab_bytes(p->v, id, 0);
    if (goss_vocab_is_stop(p->v, id)) {
        end_message(p, 1);
        p->fresh = 1; /* a caller that ignores stops sees another message */
    } else
        add_text(p, (const uint8_t *)s.s, (size_t)s.n);
}

int goss_chat_parser_push(goss_chat_parser *p, int32_t token, goss_chat_delta *delta)
{
    goss_buf_clear(&p->text);
    p->n_queue = p->next = 0;
    if (p->format != GOSS_CHAT_HARMONY)
        push_plain(p, token);
    else {
        const goss_str s = goss_vocab_bytes(p->v, token, 0);
        if (s.n)
            push_text(p, (const uint8_t *)s.s, (size_t)s.n);
        else
            push_control(p, token);
        if (p->place != IN_CONTENT) header_delta(p);
    }
    return p->n_queue ? give(p, delta) : 0;
}

int goss_chat_parser_more(goss_chat_parser *p, goss_chat_delta *delta)
{
    if (p->next >= p->n_queue) return 0;
    give(p, delta);
    return 1;
}

int goss_chat_parser_finish(goss_chat_parser *p, goss_chat_delta *delta)
{
    goss_buf_clear(&p->text);
    p->n_queue = p->next = 0;
    if (p->place == IN_HEADER)
        cut_header(p, 0);
    else if (p->place == IN_CONTENT && (p->utf8.n_tail || (p->fresh && p->format == GOSS_CHAT_HARMONY)))
        end_message(p, 0);
    p->place = BETWEEN;
    return p->n_queue ? give(p, delta) : 0;
}

/* ---- life ---- */

void goss_chat_parser_reset(goss_chat_parser *p)
{
    p->n_queue = p->next = 0;
    p->header_bytes = p->content_bytes = 0;
    p->names.no_analysis = 0;
    begin_header(p, 1);
    if (p->format == GOSS_CHAT_HARMONY) return;
    begin_message(p, &(goss_harmony_parsed){ .channel = "final" });
    p->drop_space = p->v->space_prefix;
}

/* A push adds at most a whole header and a token; a repaired byte takes three. */
int goss_chat_parser_open(goss_chat_parser **out, const goss_vocab *v, goss_chat_format f)
{
    goss_chat_parser *p = *out = goss_mem_alloc(sizeof *p);
    if (!p) return GOSS_ENOMEM;
    uint32_t longest = 0;
    for (int32_t i = 0; i < v->n; i++)
        if (v->offset[i + 1] - v->offset[i] > longest) longest = v->offset[i + 1] - v->offset[i];
    p->v = v;
    p->format = f;
    p->text = GOSS_BUF(SIZE_MAX / 4);
    p->names = (goss_harmony_names){ .any = 1, .text = GOSS_BUF(1 << 20), .order = GOSS_BUF(1 << 20) };
    if (f == GOSS_CHAT_HARMONY && !goss_harmony_find(v, &p->h)) p->format = GOSS_CHAT_RAW;
    if (goss_buf_reserve(&p->text, 3 * ((size_t)longest + GOSS_HEADER_MAX + 8))) {
        goss_chat_parser_close(out);
        return GOSS_ENOMEM;
    }
    goss_chat_parser_reset(p);
    return 0;
}

void goss_chat_parser_close(goss_chat_parser **p)
{
    if (!p || !*p) return;
    goss_buf_free(&(*p)->text);
    goss_buf_free(&(*p)->names.text);
    goss_buf_free(&(*p)->names.order);
    goss_mem_free(*p);
    *p = NULL;
}

int goss_chat_parser_state(const goss_chat_parser *p, const char **channel, const char **recipient)
{
    const int inside = p->place == IN_CONTENT;
    if (channel) *channel = inside ? p->message.channel : "";
    if (recipient) *recipient = inside ? p->message.recipient : "";
    return inside;
}

void goss_chat_parser_no_analysis(goss_chat_parser *p, int on) { p->names.no_analysis = on; }

uint64_t goss_chat_parser_counted(const goss_chat_parser *p, uint64_t *header)
{
    *header = p->header_bytes;
    return p->content_bytes;
}

int goss_chat_parser_mask(const goss_chat_parser *p, uint32_t *mask)
{
    if (p->format != GOSS_CHAT_HARMONY || p->place == IN_CONTENT) return 0;
    if (p->place == IN_HEADER && goss_harmony_guard(p->v, &p->h, &p->head, &p->names, mask)) return 1;
    if (p->place == IN_HEADER && !p->names.no_preambles) return 0;
    memset(mask, 0, ((size_t)p->v->n + 31) / 32 * 4);
    mask[p->h.start / 32] |= (uint32_t)1 << (p->h.start & 31);
    return 1;
}

static int order_names(const void *text, uint32_t a, uint32_t b)
{
    return strcmp((const char *)text + a, (const char *)text + b);
}

/* Appends the recipients of an array's tools. */
static int add_names(goss_harmony_names *to, const goss_json *j)
{
    goss_owned *owned = NULL;
    int rc = 0;
    for (int t = goss_json_first(j, 0); t >= 0 && !rc; t = goss_json_next(j, t)) {
        const uint32_t at = (uint32_t)to->text.len;
        const int inner = goss_json_get(j, t, "function");
        goss_str name;
        rc = goss_json_str(j, goss_json_get(j, inner >= 0 ? inner : t, "name"), &owned, &name);
        if (rc == GOSS_EINVAL) rc = 0; /* no name: nobody can call it */
        else if (!rc) {
            goss_harmony_recipient(name, &to->text);
            rc = goss_buf_append(&to->text, "", 1);
            if (!rc) rc = goss_buf_append(&to->order, &at, sizeof at);
            to->n++;
        }
    }
    goss_owned_free(&owned);
    return rc;
}

/* The model's own tools, by their recipients. */
static int add_builtin(goss_harmony_names *to, int builtin)
{
    static const struct { int tool; const char *name; } names[] = { { GOSS_TOOL_BROWSER, "browser.find" },
                                                                    { GOSS_TOOL_BROWSER, "browser.open" },
                                                                    { GOSS_TOOL_BROWSER, "browser.search" },
                                                                    { GOSS_TOOL_PYTHON, "python" } };
    int rc = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names && !rc; i++) {
        const uint32_t at = (uint32_t)to->text.len;
        if (!(builtin & names[i].tool)) continue;
        rc = goss_buf_append(&to->text, names[i].name, strlen(names[i].name) + 1);
        if (!rc) rc = goss_buf_append(&to->order, &at, sizeof at);
        to->n++;
    }
    return rc;
}

void goss_chat_parser_preambles(goss_chat_parser *p, int may) { p->names.no_preambles = !may; }

int goss_chat_parser_tools(goss_chat_parser *p, const char *tools_json, int builtin, goss_error *err)
{
    goss_json j = { 0 };
    goss_harmony_names *names = &p->names;
    names->any = !tools_json;
    names->n = 0;
    goss_buf_clear(&names->text);
    goss_buf_clear(&names->order);
    if (!tools_json) return 0;
    int rc = goss_json_parse(&j, tools_json, strlen(tools_json), NULL, err);
    if (!rc && ((rc = add_names(names, &j)) || (rc = add_builtin(names, builtin))))
        rc = goss_fail(err, rc, -1, "no memory for the names of the tools");
    goss_json_free(&j);
    if (rc) names->n = 0;
    else if (names->n)
        goss_order((uint32_t *)(void *)names->order.data, (uint32_t)names->n, order_names, names->text.data);
    return rc;
}
