/* json_tree.c - reading a parsed JSON tree, and writing parts of it back. Every look-up walks: objects of
 * requests are small. */
#include "json.h"
#include "json_text.h"
#include <string.h>

static const goss_json_node *node_at(const goss_json *j, int node)
{
    return node >= 0 && (uint32_t)node < j->n_nodes ? &j->nodes[node] : NULL;
}

static int is_container(const goss_json_node *x)
{
    return x && (x->kind == GOSS_JSON_ARRAY || x->kind == GOSS_JSON_OBJECT);
}

int goss_json_kind(const goss_json *j, int node)
{
    const goss_json_node *x = node_at(j, node);
    return x ? x->kind : 0;
}

int goss_json_first(const goss_json *j, int container)
{
    const goss_json_node *x = node_at(j, container);
    return is_container(x) && x->child ? (int)x->child : -1;
}

int goss_json_next(const goss_json *j, int node)
{
    const goss_json_node *x = node_at(j, node);
    return x && x->next ? (int)x->next : -1;
}

int goss_json_get(const goss_json *j, int object, const char *key)
{
    if (goss_json_kind(j, object) != GOSS_JSON_OBJECT)
        return -1;
    for (int k = goss_json_first(j, object); k >= 0; k = goss_json_next(j, goss_json_next(j, k)))
        if (goss_json_is(j, k, key))
            return goss_json_next(j, k);
    return -1;
}

int goss_json_at(const goss_json *j, int array, uint32_t i)
{
    if (goss_json_kind(j, array) != GOSS_JSON_ARRAY)
        return -1;
    int k = goss_json_first(j, array);
    for (; k >= 0 && i > 0; i--)
        k = goss_json_next(j, k);
    return k;
}

int goss_json_is(const goss_json *j, int node, const char *text)
{
    const goss_json_node *x = node_at(j, node);
    size_t n = strlen(text);
    if (!x || x->kind != GOSS_JSON_STRING || x->end - x->start < n)
        return 0; /* an escape is longer than what it says */
    if (x->end - x->start == n)
        return !memcmp(j->text + x->start, text, n) && !memchr(text, '\\', n);
    for (size_t at = x->start; at < x->end;) {
        uint8_t c[4];
        size_t used;
        const int k = goss_json_text_next(j->text + at, x->end - at, c, &used);
        if ((size_t)k > n || memcmp(c, text, (size_t)k))
            return 0;
        text += k;
        n -= (size_t)k;
        at += used;
    }
    return n == 0;
}

static void append_unescaped(const char *s, size_t n, goss_buf *out)
{
    for (size_t at = 0; at < n;) {
        const char *slash = memchr(s + at, '\\', n - at);
        const size_t plain = slash ? (size_t)(slash - s) - at : n - at;
        goss_buf_append(out, s + at, plain);
        at += plain;
        if (at < n) {
            uint8_t c[4];
            size_t used;
            const int k = goss_json_text_next(s + at, n - at, c, &used);
            goss_buf_append(out, c, (size_t)k);
            at += used;
        }
    }
}

int goss_json_string(const goss_json *j, int node, goss_buf *out)
{
    const goss_json_node *x = node_at(j, node);
    if (!x || x->kind != GOSS_JSON_STRING)
        return GOSS_EINVAL;
    append_unescaped(j->text + x->start, x->end - x->start, out);
    return out->failed;
}

goss_str goss_json_source(const goss_json *j, int node)
{
    const goss_json_node *x = node_at(j, node);
    return x ? (goss_str){ j->text + x->start, x->end - x->start } : (goss_str){ 0 };
}

int goss_json_str(const goss_json *j, int node, goss_owned **owned, goss_str *out)
{
    if (goss_json_kind(j, node) != GOSS_JSON_STRING)
        return GOSS_EINVAL;
    const goss_str s = goss_json_source(j, node);
    *out = s;
    if (!memchr(s.s, '\\', (size_t)s.n))
        return 0;
    uint8_t *copy = goss_owned_take(owned, (size_t)s.n);
    if (!copy)
        return GOSS_ENOMEM;
    goss_buf fixed = { .data = copy, .cap = (size_t)s.n + 1, .max = (size_t)s.n }; /* escapes only shrink */
    append_unescaped(s.s, (size_t)s.n, &fixed);
    *out = (goss_str){ (const char *)copy, fixed.len };
    return 0;
}

int goss_json_compare(const goss_json *j, int a, int b)
{
    const goss_str x = goss_json_source(j, a), y = goss_json_source(j, b);
    return goss_json_text_compare(x.s, (size_t)x.n, y.s, (size_t)y.n);
}

double goss_json_number(const goss_json *j, int node, double absent)
{
    const goss_json_node *x = node_at(j, node);
    return x && x->kind == GOSS_JSON_NUMBER ? x->number : absent;
}

int goss_json_bool(const goss_json *j, int node, int absent)
{
    const int kind = goss_json_kind(j, node);
    return kind == GOSS_JSON_TRUE ? 1 : kind == GOSS_JSON_FALSE ? 0 : absent;
}

/* A string between quotes at s[0], with its escapes made the fewest; returns the bytes used. */
static size_t write_string(const char *s, size_t n, goss_buf *out)
{
    size_t end = 1;
    while (end < n && s[end] != '"')
        end += s[end] == '\\' ? 2 : 1;
    if (!memchr(s, '\\', end)) {
        goss_buf_append(out, s, end + 1);
        return end + 1;
    }
    goss_buf plain = GOSS_BUF(n);
    append_unescaped(s + 1, end - 1, &plain);
    if (plain.failed)
        out->failed = plain.failed;
    else
        goss_buf_json_string(out, (const char *)plain.data, plain.len);
    goss_buf_free(&plain);
    return end + 1;
}

/* The text was checked, so it can be copied token by token without looking at the tree. */
static int write_text(const goss_json *j, int node, const char *comma, const char *colon, goss_buf *out)
{
    const goss_json_node *x = node_at(j, node);
    if (!x)
        return GOSS_EINVAL;
    const int quoted = x->kind == GOSS_JSON_STRING;
    const char *s = j->text + x->start - quoted;
    const size_t n = x->end - x->start + 2 * (size_t)quoted;
    for (size_t at = 0; at < n;) {
        const char c = s[at];
        if (c == '"') {
            at += write_string(s + at, n - at, out);
            continue;
        }
        if (c == ',')
            goss_buf_str(out, comma);
        else if (c == ':')
            goss_buf_str(out, colon);
        else if (c != ' ' && c != '\n' && c != '\r' && c != '\t')
            goss_buf_append(out, &c, 1);
        at++;
    }
    return out->failed;
}

int goss_json_write(const goss_json *j, int node, goss_buf *out)
{
    return write_text(j, node, ",", ":", out);
}
int goss_json_write_spaced(const goss_json *j, int node, goss_buf *out)
{
    return write_text(j, node, ", ", ": ", out);
}
