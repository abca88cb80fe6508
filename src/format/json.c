/* json.c - the JSON parser: one loop over the text, one stack frame an open container, nodes in document
 * order.
 *
 * Stricter than many: no duplicate keys, no control characters in strings, valid UTF-8 only, numbers must fit
 * a double, nothing after the value. An escaped half of a surrogate pair is accepted and reads as U+FFFD, as
 * JSON.stringify writes them. Reading the tree is in json_tree.c. */
#include "base/error.h"
#include "base/fmt.h"
#include "base/mem.h"
#include "base/order.h"
#include "base/utf8.h"
#include "json.h"
#include "json_text.h"
#include <math.h>
#include <string.h>

enum { DEFAULT_DEPTH = 64, DEFAULT_NODES = 1 << 20, FIRST_NODES = 64, FEW_KEYS = 8 };
enum state { WANT_VALUE, WANT_VALUE_OR_END, WANT_KEY, WANT_KEY_OR_END, WANT_COMMA_OR_END, WANT_NOTHING };

struct frame { uint32_t container, last; };
struct parser {
    goss_json *j;
    struct frame *stack;
    uint32_t depth, max_depth, max_nodes;
    size_t at;
    goss_error *err;
    int rc;
};

static int fail(struct parser *p, int code, size_t at, const char *what)
{
    if (p->rc == 0)
        p->rc = goss_fail(p->err, code, (int64_t)at, "The JSON text has %s at byte %llu.", what,
                          (unsigned long long)at);
    return p->rc;
}

static int unexpected(struct parser *p, const char *wanted)
{
    char what[64];
    const int ended = p->at >= p->j->n_text;
    goss_fmt(what, sizeof what, ended ? "its end where %s belongs," : "something else where %s belongs",
             wanted);
    return fail(p, GOSS_EFORMAT, p->at, what);
}

/* ---- nodes --------------------------------------------------------------------------------------- */
static int grow(struct parser *p)
{
    goss_json *j = p->j;
    if (j->n_nodes >= p->max_nodes)
        return fail(p, GOSS_ELIMIT, p->at, "more values than the limit");
    uint32_t cap = j->cap ? j->cap * 2 : FIRST_NODES;
    if (cap > p->max_nodes)
        cap = p->max_nodes;
    goss_json_node *nodes = goss_mem_grow(j->nodes, j->n_nodes * sizeof *nodes, cap * sizeof *nodes);
    if (!nodes)
        return fail(p, GOSS_ENOMEM, p->at, "no room in memory");
    j->nodes = nodes;
    j->cap = cap;
    return 0;
}

static uint32_t add_node(struct parser *p, int kind, size_t start, size_t end)
{
    goss_json *j = p->j;
    if (j->n_nodes == j->cap && grow(p))
        return 0;
    const uint32_t at = j->n_nodes++;
    j->nodes[at] = (goss_json_node){ .kind = kind, .start = (uint32_t)start, .end = (uint32_t)end };
    if (p->depth > 0) {
        struct frame *f = &p->stack[p->depth - 1];
        if (f->last)
            j->nodes[f->last].next = at;
        else
            j->nodes[f->container].child = at;
        f->last = at;
    }
    return at;
}

/* ---- tokens -------------------------------------------------------------------------------------- */
static int hex4(const char *s)
{
    int v = 0;
    for (int i = 0; i < 4; i++) {
        const int digit = goss_hex_digit(s[i]);
        if (digit < 0) return -1;
        v = v << 4 | digit;
    }
    return v;
}

/* The string whose opening quote is at p->at: checks it and leaves p->at behind its closing quote. */
static int scan_string(struct parser *p, size_t *start, size_t *end)
{
    const char *s = p->j->text;
    const size_t n = p->j->n_text;
    size_t at = *start = p->at + 1;
    while (at < n && s[at] != '"') {
        const uint8_t c = (uint8_t)s[at];
        uint32_t cp;
        int used = 1;
        if (c < 0x20)
            return fail(p, GOSS_EFORMAT, at, "a control character in a string");
        if (c == '\\') {
            used = at + 1 < n && strchr("\"\\/bfnrt", s[at + 1]) && s[at + 1] ? 2
                   : at + 6 <= n && s[at + 1] == 'u' && hex4(s + at + 2) >= 0 ? 6
                                                                              : 0;
            if (used == 0)
                return fail(p, GOSS_EFORMAT, at, "an unknown or cut escape in a string");
        } else if (c >= 0x80) {
            used = goss_utf8_decode((const uint8_t *)s + at, n - at, &cp);
            if (used <= 0)
                return fail(p, GOSS_EFORMAT, at, "a string that is not UTF-8");
        }
        at += (size_t)used;
    }
    if (at >= n)
        return fail(p, GOSS_EFORMAT, p->at, "a string without its end, begun");
    *end = at;
    p->at = at + 1;
    return 0;
}

static int scan_number(struct parser *p)
{
    double v;
    const size_t used = goss_read_double(p->j->text + p->at, p->j->n_text - p->at, &v);
    if (used == 0)
        return unexpected(p, "a value");
    if (!isfinite(v))
        return fail(p, GOSS_EFORMAT, p->at, "a number too large for a double");
    const uint32_t node = add_node(p, GOSS_JSON_NUMBER, p->at, p->at + used);
    if (p->rc)
        return p->rc;
    p->j->nodes[node].number = v;
    p->at += used;
    return 0;
}

static int scan_word(struct parser *p)
{
    static const struct {
        const char *word;
        size_t n;
        int kind;
    } words[] = { { "null", 4, GOSS_JSON_NULL },
                  { "true", 4, GOSS_JSON_TRUE },
                  { "false", 5, GOSS_JSON_FALSE } };
    for (int i = 0; i < 3; i++)
        if (p->j->n_text - p->at >= words[i].n && !memcmp(p->j->text + p->at, words[i].word, words[i].n)) {
            add_node(p, words[i].kind, p->at, p->at + words[i].n);
            p->at += words[i].n;
            return p->rc;
        }
    return scan_number(p);
}

/* ---- containers ---------------------------------------------------------------------------------- */
static int order_keys(const void *records, uint32_t a, uint32_t b)
{
    const goss_json *j = records;
    return goss_json_text_compare(j->text + j->nodes[a].start, j->nodes[a].end - j->nodes[a].start,
                                  j->text + j->nodes[b].start, j->nodes[b].end - j->nodes[b].start);
}

static uint32_t duplicate_of(const goss_json *j, uint32_t *keys, uint32_t n)
{
    goss_order(keys, n, order_keys, j);
    for (uint32_t i = 1; i < n; i++)
        if (order_keys(j, keys[i - 1], keys[i]) == 0)
            return keys[i] > keys[i - 1] ? keys[i] : keys[i - 1];
    return 0;
}

static int check_keys(struct parser *p, uint32_t object)
{
    const goss_json *j = p->j;
    const uint32_t n = j->nodes[object].n;
    uint32_t few[FEW_KEYS], *keys = few, duplicate = 0, i = 0;
    if (n > FEW_KEYS && !(keys = goss_mem_array(n, sizeof *keys)))
        return fail(p, GOSS_ENOMEM, p->at, "no room in memory");
    for (uint32_t k = j->nodes[object].child; k && i < n; k = j->nodes[j->nodes[k].next].next)
        keys[i++] = k;
    if (n > 1)
        duplicate = duplicate_of(j, keys, n);
    if (keys != few)
        goss_mem_free(keys);
    return duplicate ? fail(p, GOSS_EFORMAT, j->nodes[duplicate].start - 1,
                            "a key for the second time in one object")
                     : 0;
}

static int open_container(struct parser *p, int kind)
{
    if (p->depth == p->max_depth)
        return fail(p, GOSS_ELIMIT, p->at, "deeper nesting than the limit");
    const uint32_t node = add_node(p, kind, p->at, p->at + 1);
    p->stack[p->depth++] = (struct frame){ .container = node };
    p->at++;
    return p->rc;
}

static int close_container(struct parser *p)
{
    const uint32_t node = p->stack[--p->depth].container;
    p->j->nodes[node].end = (uint32_t)++p->at;
    return p->j->nodes[node].kind == GOSS_JSON_OBJECT ? check_keys(p, node) : 0;
}

static void skip_space(struct parser *p)
{
    const char *s = p->j->text;
    while (p->at < p->j->n_text &&
           (s[p->at] == ' ' || s[p->at] == '\n' || s[p->at] == '\r' || s[p->at] == '\t'))
        p->at++;
}

static int next_is(const struct parser *p, char c) { return p->at < p->j->n_text && p->j->text[p->at] == c; }

static enum state after_value(const struct parser *p) { return p->depth ? WANT_COMMA_OR_END : WANT_NOTHING; }

static enum state value(struct parser *p)
{
    size_t start, end;
    if (p->depth > 0 && p->j->nodes[p->stack[p->depth - 1].container].kind == GOSS_JSON_ARRAY)
        p->j->nodes[p->stack[p->depth - 1].container].n++;
    if (next_is(p, '{')) {
        open_container(p, GOSS_JSON_OBJECT);
        return WANT_KEY_OR_END;
    }
    if (next_is(p, '[')) {
        open_container(p, GOSS_JSON_ARRAY);
        return WANT_VALUE_OR_END;
    }
    if (!next_is(p, '"'))
        scan_word(p);
    else if (scan_string(p, &start, &end) == 0)
        add_node(p, GOSS_JSON_STRING, start, end);
    return after_value(p);
}

static enum state key(struct parser *p)
{
    size_t start, end;
    if (!next_is(p, '"')) {
        unexpected(p, "a key in quotes");
        return WANT_KEY;
    }
    if (scan_string(p, &start, &end))
        return WANT_KEY;
    add_node(p, GOSS_JSON_STRING, start, end);
    p->j->nodes[p->stack[p->depth - 1].container].n++;
    skip_space(p);
    if (!next_is(p, ':'))
        unexpected(p, "a colon");
    p->at++;
    return WANT_VALUE;
}

static enum state comma_or_end(struct parser *p)
{
    const int object = p->j->nodes[p->stack[p->depth - 1].container].kind == GOSS_JSON_OBJECT;
    if (next_is(p, object ? '}' : ']')) {
        close_container(p);
        return after_value(p);
    }
    if (!next_is(p, ','))
        unexpected(p, object ? "a comma or }" : "a comma or ]");
    p->at++;
    return object ? WANT_KEY : WANT_VALUE;
}

static int parse_text(struct parser *p)
{
    enum state state = WANT_VALUE;
    for (;;) {
        skip_space(p);
        switch (state) {
        case WANT_KEY_OR_END: state = next_is(p, '}') ? comma_or_end(p) : key(p); break;
        case WANT_VALUE_OR_END: state = next_is(p, ']') ? comma_or_end(p) : value(p); break;
        case WANT_KEY: state = key(p); break;
        case WANT_VALUE: state = value(p); break;
        case WANT_COMMA_OR_END: state = comma_or_end(p); break;
        case WANT_NOTHING:
            return p->at == p->j->n_text ? 0 : fail(p, GOSS_EFORMAT, p->at, "something after its value");
        }
        if (p->rc)
            return p->rc;
    }
}

int goss_json_parse(goss_json *j, const char *text, size_t n, const goss_json_limits *limits, goss_error *err)
{
    *j = (goss_json){ .text = n ? text : "", .n_text = n };
    struct parser p = { .j = j, .err = err, .max_depth = DEFAULT_DEPTH, .max_nodes = DEFAULT_NODES };
    if (limits && limits->max_depth)
        p.max_depth = limits->max_depth;
    if (limits && limits->max_nodes)
        p.max_nodes = limits->max_nodes;
    if (n >= UINT32_MAX)
        return goss_fail(err, GOSS_ELIMIT, 0, "The JSON text is longer than 4 GB.");
    p.stack = goss_mem_array(p.max_depth, sizeof *p.stack);
    if (!p.stack)
        return goss_fail(err, GOSS_ENOMEM, -1, "There is not enough memory to read the JSON text.");
    const int rc = parse_text(&p);
    goss_mem_free(p.stack);
    if (rc)
        goss_json_free(j);
    return rc;
}

void goss_json_free(goss_json *j)
{
    goss_mem_free(j->nodes);
    *j = (goss_json){ 0 };
}
