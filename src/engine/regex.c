/* regex.c - parses the pattern into a small tree, then builds the graph from the tree's end to its beginning.
 * Characters that JSON escapes in strings (", \, line ends) are matched in their escaped form, as they are
 * generated. */
#include "regex.h"
#include "../base/error.h"
#include "../base/mem.h"
#include "../base/utf8.h"
#include <string.h>

enum { MAX_ITEMS = 4096, MAX_RANGES = 4096, MAX_REPEAT = 256, MAX_NEST = 32 };
enum { ITEM_EMPTY, ITEM_CLASS, ITEM_CONCAT, ITEM_EITHER, ITEM_REPEAT };
typedef struct item { int kind, a, b, min, max; } item;       /* CLASS: a first range, b count */
typedef struct range { uint32_t lo, hi; } range;
typedef struct parser {
    const uint8_t *s; size_t n, at;
    item items[MAX_ITEMS]; int n_items;
    range ranges[MAX_RANGES]; int n_ranges;
    int nest, any, open_start, open_end;
    const char *why;
    goss_graph *g;
} parser;

static int refuse(parser *p, const char *why)
{
    if (!p->why) p->why = why;
    return 0;
}

static int add_item(parser *p, int kind, int a, int b)
{
    if (p->n_items == MAX_ITEMS) return refuse(p, "it is too long");
    p->items[p->n_items] = (item){ kind, a, b, 0, 0 };
    return p->n_items++;
}

static void add_range(parser *p, uint32_t lo, uint32_t hi)
{
    if (p->n_ranges == MAX_RANGES) refuse(p, "its classes are too long");
    else p->ranges[p->n_ranges++] = (range){ lo, hi };
}

/* ---- classes ----------------------------------------------------------------------------------------------- */
static void sort_ranges(range *r, int n)
{
    for (int i = 1; i < n; i++)
        for (int k = i; k > 0 && r[k].lo < r[k - 1].lo; k--) { const range t = r[k]; r[k] = r[k - 1]; r[k - 1] = t; }
}

/* Replaces the ranges from `first` on by what they leave out. */
static void invert(parser *p, int first)
{
    const int n = p->n_ranges - first;
    range old[256];
    if (n > 256) { refuse(p, "a class is too long"); return; }
    memcpy(old, p->ranges + first, (size_t)n * sizeof *old);
    sort_ranges(old, n);
    p->n_ranges = first;
    uint32_t from = 0;
    for (int i = 0; i < n; i++) {
        if (old[i].lo > from) add_range(p, from, old[i].lo - 1);
        if (old[i].hi + 1 > from) from = old[i].hi + 1;
    }
    if (from <= 0x10FFFF) add_range(p, from, 0x10FFFF);
}

/* \d, \w, \s and opposites: 1 when c names one. */
static int named_class(parser *p, int c)
{
    const int first = p->n_ranges;
    switch (c) {
    case 'd': case 'D': add_range(p, '0', '9'); break;
    case 'w':
    case 'W':
        add_range(p, '0', '9');
        add_range(p, 'A', 'Z');
        add_range(p, '_', '_');
        add_range(p, 'a', 'z');
        break;
    case 's':
    case 'S':
        add_range(p, ' ', ' ');
        add_range(p, '\t', '\t');
        add_range(p, '\n', '\n');
        add_range(p, '\r', '\r');
        break;
    default: return 0;
    }
    if (c < 'a') invert(p, first);
    return 1;
}

static uint32_t escape_char(parser *p, uint32_t c)
{
    if (c == 'n') return '\n';
    if (c == 't') return '\t';
    if (c == 'r') return '\r';
    if (c == 'f') return '\f';
    const int letter = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (letter) refuse(p, "it uses an escape that is not supported");
    return c;
}

static uint32_t next_char(parser *p)
{
    uint32_t c = 0;
    const int n = goss_utf8_decode(p->s + p->at, p->n - p->at, &c);
    if (n <= 0) { refuse(p, "it is not UTF-8"); p->at = p->n; return 0; }
    p->at += (size_t)n;
    return c;
}

static int parse_class(parser *p)
{
    const int first = p->n_ranges, not = p->at < p->n && p->s[p->at] == '^';
    p->at += (size_t)not;
    while (p->at < p->n && p->s[p->at] != ']' && !p->why) {
        uint32_t lo = next_char(p);
        if (lo == '\\' && p->at < p->n) {
            lo = next_char(p);
            if (named_class(p, (int)lo)) continue;
            lo = escape_char(p, lo);
        }
        uint32_t hi = lo;
        if (p->at + 1 < p->n && p->s[p->at] == '-' && p->s[p->at + 1] != ']') {
            p->at++;
            hi = next_char(p);
            if (hi == '\\' && p->at < p->n) hi = escape_char(p, next_char(p));
        }
        if (hi < lo) return refuse(p, "a class has a range that runs backwards");
        add_range(p, lo, hi);
    }
    if (p->at >= p->n) return refuse(p, "a class is not closed");
    p->at++;
    if (not) invert(p, first);
    if (p->n_ranges == first) return refuse(p, "a class is empty");
    return add_item(p, ITEM_CLASS, first, p->n_ranges - first);
}

/* ---- structure --------------------------------------------------------------------------------------------- */
static int parse_either(parser *p);

static int parse_atom(parser *p)
{
    const uint32_t c = next_char(p);
    const int first = p->n_ranges;
    switch (c) {
    case '[': return parse_class(p);
    case '(': {
        if (p->at < p->n && p->s[p->at] == '?') {
            if (p->at + 1 >= p->n || p->s[p->at + 1] != ':') return refuse(p, "it looks around or names a group");
            p->at += 2;
        }
        if (++p->nest > MAX_NEST) return refuse(p, "its groups are too deep");
        const int inner = parse_either(p);
        p->nest--;
        if (p->at >= p->n || p->s[p->at] != ')') return refuse(p, "a group is not closed");
        p->at++;
        return inner;
    }
    case '.':
        add_range(p, '\n', '\n');
        add_range(p, '\r', '\r');
        invert(p, first);
        break;
    case '\\':
        if (p->at >= p->n) return refuse(p, "it ends in a backslash");
        {
            const uint32_t e = next_char(p);
            if (!named_class(p, (int)e)) { const uint32_t l = escape_char(p, e); add_range(p, l, l); }
        }
        break;
    case '^': case '$': return refuse(p, "it has an anchor inside");
    case '*': case '+': case '?': case '{': case '}': case ']': return refuse(p, "it repeats nothing");
    default: add_range(p, c, c);
    }
    return add_item(p, ITEM_CLASS, first, p->n_ranges - first);
}

static int number(parser *p)
{
    int v = 0, any = 0;
    for (; p->at < p->n && p->s[p->at] >= '0' && p->s[p->at] <= '9' && v <= MAX_REPEAT; p->at++, any = 1)
        v = v * 10 + (p->s[p->at] - '0');
    return any ? v : -1;
}

static int parse_repeat(parser *p)
{
    int a = parse_atom(p);
    while (p->at < p->n && !p->why) {
        const uint8_t c = p->s[p->at];
        int min, max = -1;
        if (c == '*') min = 0;
        else if (c == '+') min = 1;
        else if (c == '?') { min = 0; max = 1; }
        else if (c == '{') {
            p->at++;
            min = max = number(p);
            if (p->at < p->n && p->s[p->at] == ',') { p->at++; max = number(p); }
            if (min < 0 || p->at >= p->n || p->s[p->at] != '}') return refuse(p, "a count is malformed");
            if (min > MAX_REPEAT || max > MAX_REPEAT) return refuse(p, "a count is above 256");
            if (max >= 0 && max < min) return refuse(p, "a count runs backwards");
        } else return a;
        p->at++;
        if (p->at < p->n && p->s[p->at] == '?') p->at++; /* lazy or not, the same texts match */
        a = add_item(p, ITEM_REPEAT, a, 0);
        p->items[a].min = min;
        p->items[a].max = max;
    }
    return a;
}

static int parse_concat(parser *p)
{
    int a = add_item(p, ITEM_EMPTY, 0, 0);
    while (p->at < p->n && p->s[p->at] != '|' && p->s[p->at] != ')' && !p->why) {
        if (p->s[p->at] == '$' && p->at + 1 == p->n) { p->open_end = 0; p->at++; break; }
        a = add_item(p, ITEM_CONCAT, a, parse_repeat(p));
    }
    return a;
}

static int parse_either(parser *p)
{
    int a = parse_concat(p);
    while (p->at < p->n && p->s[p->at] == '|' && !p->why) {
        if (!p->nest && !(p->open_start && p->open_end))
            return refuse(p, "it mixes anchors and alternatives: put the alternatives in a group");
        p->at++;
        a = add_item(p, ITEM_EITHER, a, parse_concat(p));
        if (!p->nest && !p->open_end)
            return refuse(p, "it mixes anchors and alternatives: put the alternatives in a group");
    }
    return a;
}

/* ---- the graph --------------------------------------------------------------------------------------------- */
static int escaped(goss_graph *g, char c, int next) { return goss_graph_text(g, (const char[2]){ '\\', c }, 2, next); }

/* Code points lo..hi as they stand in a JSON string. */
static int emit_range(goss_graph *g, uint32_t lo, uint32_t hi, int next)
{
    static const struct {
        uint32_t c;
        char as;
    } special[] = {
        { '\n', 'n' }, { '\r', 'r' }, { '\t', 't' }, { '\f', 'f' }, { '"', '"' }, { '\\', '\\' }
    };
    static const uint32_t plain[][2] = { { 0x20, 0x21 }, { 0x23, 0x5B }, { 0x5D, 0x10FFFF } };
    int out = -1;
    for (size_t i = 0; i < sizeof special / sizeof *special; i++) {
        if (special[i].c < lo || special[i].c > hi) continue;
        const int part = escaped(g, special[i].as, next);
        out = out < 0 ? part : goss_graph_either(g, out, part);
    }
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        const uint32_t a = lo > plain[i][0] ? lo : plain[i][0], b = hi < plain[i][1] ? hi : plain[i][1];
        if (a > b) continue;
        const int part = goss_graph_codepoints(g, a, b, next);
        out = out < 0 ? part : goss_graph_either(g, out, part);
    }
    return out < 0 ? goss_graph_bytes(g, 1, 0, next) : out;
}

static int emit(parser *p, int i, int next);

static int emit_repeat(parser *p, const item *t, int next)
{
    int out = next;
    if (t->max < 0) {
        const int loop = goss_graph_either(p->g, 0, 0);
        goss_graph_set(p->g, loop, emit(p, t->a, loop), next);
        out = loop;
    } else {
        for (int i = t->min; i < t->max; i++) out = goss_graph_either(p->g, emit(p, t->a, out), next);
    }
    for (int i = 0; i < t->min; i++) out = emit(p, t->a, out);
    return out;
}

static int emit(parser *p, int i, int next)
{
    const item *t = &p->items[i];
    int out = -1;
    if (p->g->failed) return 0;
    switch (t->kind) {
    case ITEM_CLASS:
        for (int r = 0; r < t->b; r++) {
            const int part = emit_range(p->g, p->ranges[t->a + r].lo, p->ranges[t->a + r].hi, next);
            out = out < 0 ? part : goss_graph_either(p->g, out, part);
        }
        return out;
    case ITEM_CONCAT: return emit(p, t->a, emit(p, t->b, next));
    case ITEM_EITHER: out = emit(p, t->a, next); return goss_graph_either(p->g, out, emit(p, t->b, next));
    case ITEM_REPEAT: return emit_repeat(p, t, next);
    default: return next;
    }
}

static int anything(goss_graph *g, int any, int next)
{
    const int loop = goss_graph_either(g, 0, 0);
    goss_graph_set(g, loop, goss_graph_call(g, any, loop), next);
    return loop;
}

int goss_regex_compile(goss_graph *g, const char *pattern, size_t n, int any, int next, int *start, goss_error *err)
{
    parser *p = goss_mem_alloc(sizeof *p);
    if (!p) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for a pattern");
    p->s = (const uint8_t *)pattern;
    p->n = n;
    p->g = g;
    p->open_start = p->open_end = 1;
    if (n && pattern[0] == '^') { p->open_start = 0; p->at = 1; }
    const int root = parse_either(p);
    if (p->at < p->n) refuse(p, "a group is closed that was not opened");
    int rc = 0;
    if (p->why)
        rc = goss_fail(err, GOSS_EUNSUPPORTED, (int64_t)p->at, "the pattern \"%.*s\" can't be enforced: %s",
                       (int)(n < 80 ? n : 80), pattern, p->why);
    else {
        if (p->open_end) next = anything(g, any, next);
        next = emit(p, root, next);
        *start = p->open_start ? anything(g, any, next) : next;
    }
    goss_mem_free(p);
    return rc;
}
