/* regex.c - parses the pattern into a small tree, then builds the graph from the tree's end to its
 * beginning. Recursion follows the nesting of groups, at most MAX_NEST; sequences and alternatives, which
 * the tree has as long chains, are loops. Characters that JSON escapes in strings (", \, controls) are
 * matched as JSON.stringify writes them.
 *
 * Anchors hold anywhere: what follows an item is known for each of four places: at the text's start or
 * inside it, and before or behind a "$" (behind one nothing more may be read). */
#include "regex.h"
#include "base/error.h"
#include "base/fmt.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "look.h"
#include <string.h>

enum { MAX_ITEMS = 4096, MAX_RANGES = 4096, MAX_REPEAT = 256, MAX_NEST = 32 };
enum { ITEM_EMPTY, ITEM_CLASS, ITEM_CONCAT, ITEM_EITHER, ITEM_REPEAT, ITEM_START, ITEM_END, ITEM_LOOK };
typedef struct item { int kind, a, b, min, max; } item;       /* CLASS: a first range, b count */
typedef struct range { uint32_t lo, hi; } range;
typedef struct parser {
    const uint8_t *s; size_t n, at;
    item items[MAX_ITEMS]; int n_items;
    range ranges[MAX_RANGES]; int n_ranges;
    int nest, loops, any;
    int looks; /* it looks ahead somewhere */
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

/* ---- classes ------------------------------------------------------------------------------------------- */
static void sort_ranges(range *r, int n)
{
    for (int i = 1; i < n; i++)
        for (int k = i; k > 0 && r[k].lo < r[k - 1].lo; k--) {
            const range t = r[k];
            r[k] = r[k - 1];
            r[k - 1] = t;
        }
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
        add_range(p, '\t', '\r');
        add_range(p, ' ', ' ');
        add_range(p, 0xA0, 0xA0);
        add_range(p, 0x1680, 0x1680);
        add_range(p, 0x2000, 0x200A);
        add_range(p, 0x2028, 0x2029);
        add_range(p, 0x202F, 0x202F);
        add_range(p, 0x205F, 0x205F);
        add_range(p, 0x3000, 0x3000);
        add_range(p, 0xFEFF, 0xFEFF);
        break;
    default: return 0;
    }
    if (c < 'a') invert(p, first);
    return 1;
}

/* n digits, or as many as stand before a closing brace (n 0). */
static uint32_t hex_digits(parser *p, int n)
{
    uint32_t v = 0;
    int i = 0;
    for (; p->at < p->n && (n ? i < n : p->s[p->at] != '}') && v <= 0x10FFFF; i++, p->at++) {
        const int d = goss_hex_digit((char)p->s[p->at]);
        if (d < 0) {
            refuse(p, "a code in it is malformed");
            return 0;
        }
        v = v * 16 + (uint32_t)d;
    }
    if (!i || (n && i < n) || v > 0x10FFFF) refuse(p, "a code in it is malformed");
    return v;
}

static uint32_t escape_char(parser *p, uint32_t c)
{
    static const char letters[] = "ntrfv0", meaning[] = "\n\t\r\f\v";
    const char *known = c && c < 0x80 ? strchr(letters, (int)c) : NULL;
    if (known) return (uint8_t)meaning[known - letters];
    if (c == 'x') return hex_digits(p, 2);
    if (c == 'u') {
        const int braces = p->at < p->n && p->s[p->at] == '{';
        p->at += (size_t)braces;
        const uint32_t v = hex_digits(p, braces ? 0 : 4);
        p->at += (size_t)braces;
        return v;
    }
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

/* ---- structure ----------------------------------------------------------------------------------------- */
static int parse_either(parser *p);

/* What stands behind an opening parenthesis: nothing, ?: or a name (PLAIN), ?= or ?!; 0: refused. */
enum { PLAIN = 1, AHEAD, NOT_AHEAD };
static int parse_group_head(parser *p)
{
    if (p->at >= p->n || p->s[p->at] != '?') return PLAIN;
    p->at += p->at + 1 < p->n && p->s[p->at + 1] == 'P' ? 2 : 1;
    const uint8_t c = p->at < p->n ? p->s[p->at] : 0, after = p->at + 1 < p->n ? p->s[p->at + 1] : '=';
    if (c == '=' || c == '!') {
        p->at++;
        return c == '=' ? AHEAD : NOT_AHEAD;
    }
    if (c != ':' && (c != '<' || after == '=' || after == '!')) {
        refuse(p, "it looks behind");
        return 0;
    }
    while (c == '<' && p->at + 1 < p->n && p->s[p->at] != '>') p->at++;
    p->at++;
    return PLAIN;
}

static int parse_atom(parser *p)
{
    const uint32_t c = next_char(p);
    const int first = p->n_ranges;
    switch (c) {
    case '[': return parse_class(p);
    case '(': {
        const int head = parse_group_head(p);
        if (!head) return 0;
        if (++p->nest > MAX_NEST) return refuse(p, "its groups are too deep");
        const int inner = parse_either(p);
        p->nest--;
        if (p->at >= p->n || p->s[p->at] != ')') return refuse(p, "a group is not closed");
        p->at++;
        if (head == PLAIN) return inner;
        p->looks = 1;
        return add_item(p, ITEM_LOOK, inner, head == NOT_AHEAD);
    }
    case '.':
        add_range(p, '\n', '\n');
        add_range(p, '\r', '\r');
        add_range(p, 0x2028, 0x2029);
        invert(p, first);
        break;
    case '\\':
        if (p->at >= p->n) return refuse(p, "it ends in a backslash");
        {
            const uint32_t e = next_char(p);
            if (!named_class(p, (int)e)) { const uint32_t l = escape_char(p, e); add_range(p, l, l); }
        }
        break;
    case '^': return add_item(p, ITEM_START, 0, 0);
    case '$': return add_item(p, ITEM_END, 0, 0);
    case '*':
    case '+':
    case '?': return refuse(p, "it repeats nothing");
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

/* One count at most: what would repeat a count is refused as an atom. */
static int parse_repeat(parser *p)
{
    int a = parse_atom(p);
    const uint8_t c = p->at < p->n && !p->why ? p->s[p->at] : 0;
    int min, max = -1;
    if (c == '*') min = 0;
    else if (c == '+') min = 1;
    else if (c == '?') {
        min = 0;
        max = 1;
    } else if (c == '{' && p->at + 1 < p->n && p->s[p->at + 1] >= '0' && p->s[p->at + 1] <= '9') {
        p->at++;
        min = max = number(p);
        if (p->at < p->n && p->s[p->at] == ',') {
            p->at++;
            max = number(p);
        }
        if (min < 0 || p->at >= p->n || p->s[p->at] != '}') return refuse(p, "a count is malformed");
        if (min > MAX_REPEAT || max > MAX_REPEAT) return refuse(p, "a count is above 256");
        if (max >= 0 && max < min) return refuse(p, "a count runs backwards");
    } else return a;
    p->at++;
    if (p->at < p->n && p->s[p->at] == '?') p->at++; /* lazy or not, the same texts match */
    a = add_item(p, ITEM_REPEAT, a, 0);
    p->items[a].min = min;
    p->items[a].max = max;
    return a;
}

static int parse_concat(parser *p)
{
    int a = add_item(p, ITEM_EMPTY, 0, 0);
    while (p->at < p->n && p->s[p->at] != '|' && p->s[p->at] != ')' && !p->why) {
        a = add_item(p, ITEM_CONCAT, a, parse_repeat(p));
    }
    return a;
}

static int parse_either(parser *p)
{
    int a = parse_concat(p);
    while (p->at < p->n && p->s[p->at] == '|' && !p->why) {
        p->at++;
        a = add_item(p, ITEM_EITHER, a, parse_concat(p));
    }
    return a;
}

/* ---- the graph ----------------------------------------------------------------------------------------- */
enum { NOWHERE = -1, AT_START = 0, INSIDE = 1, ENDED = 2, PLACES = 4 };
/* what follows in each place (INSIDE and ENDED are bits) */
typedef struct tails {
    int at[PLACES];
} tails;

static int join(goss_graph *g, int a, int b)
{
    return a == NOWHERE ? b : b == NOWHERE ? a : goss_graph_either(g, a, b);
}

/* Second hex digits lo..hi of \u00X_, but for those in `but`. */
static int hex_digit(goss_graph *g, uint32_t lo, uint32_t hi, const char *but, int next)
{
    int out = NOWHERE;
    for (uint32_t v = lo; v <= hi; v++) {
        const char digit = "0123456789abcdef"[v];
        if (!strchr(but, digit)) out = join(g, out, goss_graph_bytes(g, digit, digit, next));
    }
    return out;
}

/* Controls lo..hi behind their backslash: a letter, or u00 and two digits. */
static int emit_controls(goss_graph *g, uint32_t lo, uint32_t hi, int next)
{
    static const char letters[] = "btn?fr"; /* of 8 to 13; 11 has none */
    int out = NOWHERE, low = NOWHERE, high = NOWHERE;
    for (uint32_t c = lo > 8 ? lo : 8; c <= hi && c <= 13; c++)
        if (c != 11) out = join(g, out, goss_graph_bytes(g, letters[c - 8], letters[c - 8], next));
    if (lo < 16) low = hex_digit(g, lo, hi < 15 ? hi : 15, "89acd", next);
    if (hi >= 16) high = hex_digit(g, lo > 16 ? lo - 16 : 0, hi - 16, "", next);
    if (low != NOWHERE) low = goss_graph_bytes(g, '0', '0', low);
    if (high != NOWHERE) high = goss_graph_bytes(g, '1', '1', high);
    const int code = join(g, low, high);
    return code == NOWHERE ? out : join(g, out, goss_graph_text(g, "u00", 3, code));
}

/* Code points lo..hi as they stand in a JSON string. */
static int emit_range(goss_graph *g, uint32_t lo, uint32_t hi, int next)
{
    static const uint32_t plain[][2] = { { 0x20, 0x21 }, { 0x23, 0x5B }, { 0x5D, 0x10FFFF } };
    int out = NOWHERE, escaped = lo < 0x20 ? emit_controls(g, lo, hi < 0x1F ? hi : 0x1F, next) : NOWHERE;
    if (lo <= '"' && '"' <= hi) escaped = join(g, escaped, goss_graph_bytes(g, '"', '"', next));
    if (lo <= '\\' && '\\' <= hi) escaped = join(g, escaped, goss_graph_bytes(g, '\\', '\\', next));
    if (escaped != NOWHERE) out = goss_graph_bytes(g, '\\', '\\', escaped);
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        const uint32_t a = lo > plain[i][0] ? lo : plain[i][0], b = hi < plain[i][1] ? hi : plain[i][1];
        if (a <= b) out = join(g, out, goss_graph_codepoints(g, a, b, next));
    }
    return out == NOWHERE ? goss_graph_bytes(g, 1, 0, next) : out;
}

static tails emit(parser *p, int i, tails next);

static tails joined(parser *p, tails a, tails b)
{
    for (int k = 0; k < PLACES; k++) a.at[k] = join(p->g, a.at[k], b.at[k]);
    return a;
}

static tails emit_class(parser *p, const item *t, tails next)
{
    int out = NOWHERE;
    for (int r = 0; r < t->b && next.at[INSIDE] != NOWHERE; r++)
        out = join(p->g, out,
                   emit_range(p->g, p->ranges[t->a + r].lo, p->ranges[t->a + r].hi, next.at[INSIDE]));
    return (tails){ { out, out, NOWHERE, NOWHERE } };
}

static tails emit_loop(parser *p, int i, tails next)
{
    tails loop;
    for (int k = 0; k < PLACES; k++) loop.at[k] = goss_graph_bytes(p->g, 1, 0, 0);
    for (int k = 0; k < PLACES; k++) loop.at[k] = goss_graph_either(p->g, loop.at[k], loop.at[k]);
    p->loops++;
    const tails body = emit(p, i, loop);
    p->loops--;
    for (int k = 0; k < PLACES; k++) {
        const int to = body.at[k] == loop.at[k] ? NOWHERE : body.at[k];
        if (to == NOWHERE && next.at[k] == NOWHERE) {
            loop.at[k] = NOWHERE;
            continue;
        }
        goss_graph_set(p->g, loop.at[k], to == NOWHERE ? next.at[k] : to,
                       next.at[k] == NOWHERE ? to : next.at[k]);
    }
    return loop;
}

static tails emit_repeat(parser *p, const item *t, tails next)
{
    tails out = next;
    if (t->max < 0) out = emit_loop(p, t->a, next);
    else
        for (int i = t->min; i < t->max && !p->g->failed; i++) out = joined(p, emit(p, t->a, out), next);
    for (int i = 0; i < t->min && !p->g->failed; i++) {
        const tails before = out;
        out = emit(p, t->a, out);
        if (!memcmp(&out, &before, sizeof out))
            break; /* it is empty: nested counts of nothing would never end */
    }
    return out;
}

/* A chain of alternatives, from its last to its first. */
static tails emit_either(parser *p, int i, tails next)
{
    tails out = { { NOWHERE, NOWHERE, NOWHERE, NOWHERE } };
    for (int last = 0; !last && !p->g->failed; i = p->items[i].a) {
        last = p->items[i].kind != ITEM_EITHER;
        out = joined(p, emit(p, last ? i : p->items[i].b, next), out);
    }
    return out;
}

/* Any number of characters may follow. */
static int call_any(goss_graph *g, int any, int loop)
{
    return goss_graph_promise(g, goss_graph_call(g, any, loop), GOSS_TEXT_ENDLESS);
}

static int anything(goss_graph *g, int any, int next)
{
    const int loop = goss_graph_either(g, 0, 0);
    goss_graph_set(g, loop, call_any(g, any, loop), next);
    return loop;
}

/* What follows must also begin (or not) with what the group says. In a loop what follows isn't built yet. */
static tails emit_look(parser *p, const item *t, tails next)
{
    if (p->loops) {
        refuse(p, "it looks ahead in something that repeats");
        return next;
    }
    const int open = anything(p->g, p->any, 0);
    const tails ahead = emit(p, t->a, (tails){ { open, open, 0, 0 } });
    for (int k = 0; k < PLACES && !p->why; k++) {
        if (next.at[k] == NOWHERE) continue;
        /* behind a "$" nothing may follow: there only the empty rest can match */
        const int with =
            ahead.at[k & INSIDE] == NOWHERE ? goss_graph_bytes(p->g, 1, 0, 0) : ahead.at[k & INSIDE];
        next.at[k] = goss_look_both(p->g, next.at[k], with, t->b);
        if (next.at[k] < 0) refuse(p, "what it looks at ahead is too large");
    }
    return next;
}

static tails emit(parser *p, int i, tails next)
{
    for (; p->items[i].kind == ITEM_CONCAT && !p->g->failed; i = p->items[i].a)
        next = emit(p, p->items[i].b, next);
    if (p->g->failed) return next;
    switch (p->items[i].kind) {
    case ITEM_CLASS: return emit_class(p, &p->items[i], next);
    case ITEM_EITHER: return emit_either(p, i, next);
    case ITEM_REPEAT: return emit_repeat(p, &p->items[i], next);
    case ITEM_LOOK: return emit_look(p, &p->items[i], next);
    case ITEM_START: return (tails){ { next.at[0], NOWHERE, next.at[ENDED], NOWHERE } };
    case ITEM_END:
        return (
            tails){ { next.at[ENDED], next.at[ENDED | INSIDE], next.at[ENDED], next.at[ENDED | INSIDE] } };
    default: return next;
    }
}

/* The match begins at the text's start, or behind some of it. */
static int emit_pattern(parser *p, int root, int any, int next)
{
    const int open = anything(p->g, any, next);
    const tails t = emit(p, root, (tails){ { open, open, next, next } });
    if (t.at[AT_START] == NOWHERE && t.at[INSIDE] == NOWHERE) return goss_graph_bytes(p->g, 1, 0, 0);
    if (t.at[INSIDE] == NOWHERE) return t.at[AT_START];
    const int later = anything(p->g, any, t.at[INSIDE]);
    return t.at[AT_START] == t.at[INSIDE] ? later
                                          : join(p->g, t.at[AT_START], call_any(p->g, any, later));
}

int goss_regex_compile(goss_graph *g, const char *pattern, size_t n, int any, int next, int *start,
                       goss_error *err)
{
    parser *p = goss_mem_alloc(sizeof *p);
    if (!p) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for a pattern");
    p->s = (const uint8_t *)pattern;
    p->n = n;
    p->g = g;
    p->any = any;
    const int root = parse_either(p);
    if (p->at < p->n) refuse(p, "a group is closed that was not opened");
    if (p->looks && next) refuse(p, "it looks ahead");
    if (!p->why) *start = emit_pattern(p, root, any, next);
    int rc = 0;
    if (p->why)
        rc = goss_fail(err, GOSS_EUNSUPPORTED, (int64_t)p->at, "the pattern \"%.*s\" can't be enforced: %s",
                       (int)(n < 80 ? n : 80), pattern, p->why);
    goss_mem_free(p);
    return rc;
}
