/* json_tree.c - reading a parsed JSON tree, and writing parts of it back. Every look-up walks: objects of
 * requests are small. */
#include "../base/utf8.h"
#include "json.h"
#include "json_text.h"
#include <string.h>

static unsigned hex4(const char *s)
{
    unsigned v = 0;
    for (int i = 0; i < 4; i++)
        v = v << 4 | (unsigned)(s[i] <= '9' ? s[i] - '0' : (s[i] | 0x20) - 'a' + 10);
    return v;
}

int goss_json_text_next(const char *s, size_t n, uint8_t out[4], size_t *used)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    out[0] = (uint8_t)s[0];
    *used = 1;
    if (s[0] != '\\' || n < 2)
        return 1;
    *used = 2;
    if (s[1] != 'u' || n < 6) {
        const char *hit = strchr(from, s[1]);
        out[0] = (uint8_t)(hit ? to[hit - from] : s[1]);
        return 1;
    }
    *used = 6;
    uint32_t cp = hex4(s + 2);
    if (cp >= 0xD800 && cp < 0xDC00 && n >= 12 && s[6] == '\\' && s[7] == 'u') {
        const uint32_t low = hex4(s + 8);
        if (low >= 0xDC00 && low < 0xE000) {
            cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
            *used = 12;
        }
    }
    return goss_utf8_encode(cp, out); /* half a pair becomes U+FFFD there */
}

int goss_json_text_compare(const char *a, size_t n_a, const char *b, size_t n_b)
{
    uint8_t x[4], y[4];
    int n_x = 0, n_y = 0, i_x = 0, i_y = 0;
    for (;;) {
        size_t used;
        if (i_x == n_x && n_a > 0) {
            n_x = goss_json_text_next(a, n_a, x, &used);
            i_x = 0;
            a += used;
            n_a -= used;
        }
        if (i_y == n_y && n_b > 0) {
            n_y = goss_json_text_next(b, n_b, y, &used);
            i_y = 0;
            b += used;
            n_b -= used;
        }
        if (i_x == n_x || i_y == n_y)
            return (i_x < n_x) - (i_y < n_y);
        if (x[i_x] != y[i_y])
            return x[i_x] < y[i_y] ? -1 : 1;
        i_x++;
        i_y++;
    }
}

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
    if (!x || x->kind != GOSS_JSON_STRING)
        return 0;
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

int goss_json_write(const goss_json *j, int node, goss_buf *out) { return write_text(j, node, ",", ":", out); }
int goss_json_write_spaced(const goss_json *j, int node, goss_buf *out) { return write_text(j, node, ", ", ": ", out); }
