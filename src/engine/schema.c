/* schema.c - see schema.h. Graphs are built backwards: compile_X(c, node, next) gives the node where X's text begins.
 *
 * Rules made once and called: white space, one string character, any value; one rule for each $ref target, so that
 * schemas may be recursive. Everything else is laid out in line. */
#include "schema.h"
#include "../base/error.h"
#include "../format/gguf.h"
#include "regex.h"
#include <string.h>

enum { MAX_REFS = 256, MAX_COUNT = 2000, MAX_SPACES = 32, MAX_ENUM_RANGE = 1000, MAX_NEST = 48 };
typedef struct compiler {
    goss_graph *g;
    const goss_json *j;
    int root, nest;
    int space, character, value;                    /* rules; -1: not made yet */
    struct { int node, rule; } refs[MAX_REFS]; int n_refs;
    goss_buf text;
    int rc; goss_error *err;
} compiler;

static int compile(compiler *c, int node, int next);

static int refuse(compiler *c, int node, const char *what)
{
    const int64_t at = node >= 0 ? (int64_t)c->j->nodes[node].start : -1;
    if (!c->rc)
        c->rc = goss_fail(c->err, GOSS_EUNSUPPORTED, at,
                          "the JSON schema can't be enforced: %s (byte %lld of it)", what, (long long)at);
    return 0;
}

/* ---- small parts ------------------------------------------------------------------------------------------- */
static int either(compiler *c, int a, int b) { return a < 0 ? b : goss_graph_either(c->g, a, b); }
static int literal(compiler *c, const char *s, int next) { return goss_graph_text(c->g, s, strlen(s), next); }

/* (nothing | one space | a line break and up to 32 spaces) */
static int space(compiler *c, int next)
{
    if (c->space < 0) {
        int indent = 0;
        for (int i = 0; i < MAX_SPACES; i++)
            indent = goss_graph_either(c->g, 0, goss_graph_bytes(c->g, ' ', ' ', indent));
        c->space = goss_graph_either(c->g, 0,
                                     goss_graph_either(c->g, goss_graph_bytes(c->g, ' ', ' ', 0),
                                                       goss_graph_bytes(c->g, '\n', '\n', indent)));
    }
    return goss_graph_call(c->g, c->space, next);
}

static int hex(compiler *c, int next)
{
    return either(c, goss_graph_bytes(c->g, '0', '9', next),
                  either(c, goss_graph_bytes(c->g, 'a', 'f', next), goss_graph_bytes(c->g, 'A', 'F', next)));
}

/* \uXXXX but for surrogates. */
static int unicode_escape(compiler *c)
{
    goss_graph *g = c->g;
    const int h1 = hex(c, 0), h2 = hex(c, h1), h3 = hex(c, h2);
    const int d = goss_graph_bytes(g, '0', '7', h2);
    int first = either(c, goss_graph_bytes(g, '0', '9', h3), goss_graph_bytes(g, 'a', 'c', h3));
    first = either(c, first, either(c, goss_graph_bytes(g, 'e', 'f', h3), goss_graph_bytes(g, 'A', 'C', h3)));
    first = either(c, first,
                   either(c, goss_graph_bytes(g, 'E', 'F', h3),
                          either(c, goss_graph_bytes(g, 'd', 'd', d), goss_graph_bytes(g, 'D', 'D', d))));
    return literal(c, "\\u", first);
}

static int character_rule(compiler *c)
{
    if (c->character >= 0) return c->character;
    goss_graph *g = c->g;
    int out = either(c, goss_graph_bytes(g, 0x20, 0x21, 0), goss_graph_bytes(g, 0x23, 0x5B, 0));
    out = either(c, out, goss_graph_codepoints(g, 0x5D, 0x10FFFF, 0));
    int escape = -1;
    for (const char *p = "\"\\/bfnrt"; *p; p++) escape = either(c, escape, goss_graph_bytes(g, *p, *p, 0));
    out = either(c, out, goss_graph_bytes(g, '\\', '\\', escape));
    return c->character = either(c, out, unicode_escape(c));
}

static int loop_of(compiler *c, int rule, int next)
{
    const int loop = goss_graph_either(c->g, 0, 0);
    goss_graph_set(c->g, loop, goss_graph_call(c->g, rule, loop), next);
    return loop;
}

static int any_string(compiler *c, int next)
{
    return literal(c, "\"", loop_of(c, character_rule(c), literal(c, "\"", next)));
}

/* min..max digits */
static int digits(compiler *c, int min, int max, int next)
{
    int out = next;
    for (int i = min; i < max; i++) out = goss_graph_either(c->g, next, goss_graph_bytes(c->g, '0', '9', out));
    for (int i = 0; i < min; i++) out = goss_graph_bytes(c->g, '0', '9', out);
    return out;
}

static int unsigned_integer(compiler *c, int zero, int next)
{
    const int large = goss_graph_bytes(c->g, '1', '9', digits(c, 0, 17, next));
    return zero ? either(c, goss_graph_bytes(c->g, '0', '0', next), large) : large;
}

static int any_integer(compiler *c, int next)
{
    const int n = unsigned_integer(c, 1, next);
    return either(c, n, goss_graph_bytes(c->g, '-', '-', n));
}

static int any_number(compiler *c, int next)
{
    goss_graph *g = c->g;
    const int power = digits(c, 1, 2, next), sign = either(c, power,
                                                           either(c, goss_graph_bytes(g, '+', '+', power),
                                                                  goss_graph_bytes(g, '-', '-', power)));
    const int exponent =
        either(c, next, either(c, goss_graph_bytes(g, 'e', 'e', sign), goss_graph_bytes(g, 'E', 'E', sign)));
    return any_integer(c, either(c, exponent, goss_graph_bytes(g, '.', '.', digits(c, 1, 17, exponent))));
}

/* `open` item (, item)* `close`, or empty */
static int list_of(compiler *c, const char *open, int item_rule, const char *close, int next)
{
    const int end = space(c, literal(c, close, next)), loop = goss_graph_either(c->g, 0, 0);
    goss_graph_set(c->g, loop, end, literal(c, ",", space(c, goss_graph_call(c->g, item_rule, loop))));
    return literal(c, open,
                   goss_graph_either(c->g, space(c, literal(c, close, next)),
                                     space(c, goss_graph_call(c->g, item_rule, loop))));
}

static int member_rule(compiler *c, int value_rule)
{
    return any_string(c, literal(c, ":", space(c, goss_graph_call(c->g, value_rule, 0))));
}

static int any_value_rule(compiler *c)
{
    if (c->value >= 0) return c->value;
    c->value = goss_graph_either(c->g, 0, 0);
    int rest = either(c, literal(c, "true", 0), either(c, literal(c, "false", 0), literal(c, "null", 0)));
    rest = either(c, rest, either(c, any_string(c, 0), any_number(c, 0)));
    rest = either(c, rest, list_of(c, "[", c->value, "]", 0));
    goss_graph_set(c->g, c->value, rest, list_of(c, "{", member_rule(c, c->value), "}", 0));
    return c->value;
}

static int any_object(compiler *c, int next) { return list_of(c, "{", member_rule(c, any_value_rule(c)), "}", next); }

/* A value written out, without spaces. */
static int constant(compiler *c, int node, int next)
{
    goss_buf_clear(&c->text);
    if (goss_json_write(c->j, node, &c->text)) { c->rc = GOSS_ENOMEM; return 0; }
    return goss_graph_text(c->g, (const char *)c->text.data, c->text.len, next);
}

/* ---- strings ----------------------------------------------------------------------------------------------- */
static int count_of(compiler *c, int node, const char *key, int absent)
{
    const int n = goss_json_get(c->j, node, key);
    if (n < 0) return absent;
    const double v = goss_json_number(c->j, n, -1);
    if (v < 0 || v != (double)(int)v) return refuse(c, n, "a count is not a whole number");
    if (v > (double)MAX_COUNT) return refuse(c, n, "a count is above 2000");
    return (int)v;
}

static int pattern(compiler *c, const char *p, size_t n, int node, int next)
{
    int start = 0;
    goss_error why;
    const int rc = goss_regex_compile(c->g, p, n, character_rule(c), literal(c, "\"", next), &start, &why);
    if (rc) return refuse(c, node, why.text);
    return literal(c, "\"", start);
}

static int string_format(compiler *c, int node, int next)
{
    static const struct { const char *name, *pattern;
    } known[] = {
        { "date", "^\\d{4}-(0[1-9]|1[0-2])-(0[1-9]|1\\d|2[0-8])$" },
        { "time", "^([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,9})?(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d)$" },
        { "date-time", "^\\d{4}-(0[1-9]|1[0-2])-(0[1-9]|1\\d|2[0-8])T([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\."
                       "\\d{1,9})?(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d)$" },
        { "uuid", "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$" },
        { "ipv4", "^((25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)\\.){3}(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)$" },
        { "email", "^[A-Za-z0-9_+-]+(\\.[A-Za-z0-9_+-]+){0,4}@[A-Za-z0-9-]+(\\.[A-Za-z0-9-]+){1,4}$" },
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (goss_json_is(c->j, node, known[i].name))
            return pattern(c, known[i].pattern, strlen(known[i].pattern), node, next);
    return refuse(c, node, "a string format that is not known here");
}

static int compile_string(compiler *c, int node, int next)
{
    const int pat = goss_json_get(c->j, node, "pattern"), format = goss_json_get(c->j, node, "format");
    const int min = count_of(c, node, "minLength", 0), max = count_of(c, node, "maxLength", -1);
    if ((pat >= 0) + (format >= 0) + (min > 0 || max >= 0) > 1)
        return refuse(c, node, "pattern, format and lengths together");
    if (format >= 0) return string_format(c, format, next);
    if (pat >= 0) {
        goss_buf p = GOSS_BUF(1 << 16);
        const int rc = goss_json_string(c->j, pat, &p),
                  out = rc ? refuse(c, pat, "a pattern is not a string")
                           : pattern(c, (const char *)p.data, p.len, pat, next);
        goss_buf_free(&p);
        return out;
    }
    if (max >= 0 && max < min) return refuse(c, node, "maxLength is below minLength");
    const int close = literal(c, "\"", next);
    int out = max < 0 ? loop_of(c, character_rule(c), close) : close;
    for (int i = min; i < max; i++) out = goss_graph_either(c->g, close, goss_graph_call(c->g, character_rule(c), out));
    for (int i = 0; i < min; i++) out = goss_graph_call(c->g, character_rule(c), out);
    return literal(c, "\"", out);
}

/* ---- numbers ----------------------------------------------------------------------------------------------- */
static int compile_integer(compiler *c, int node, int next)
{
    const int min = goss_json_get(c->j, node, "minimum"), max = goss_json_get(c->j, node, "maximum");
    const int above = goss_json_get(c->j, node, "exclusiveMinimum"),
              below = goss_json_get(c->j, node, "exclusiveMaximum");
    if (min < 0 && max < 0 && above < 0 && below < 0) return any_integer(c, next);
    double lo = goss_json_number(c->j, min, -1e18), hi = goss_json_number(c->j, max, 1e18);
    const double lo2 = goss_json_number(c->j, above, -1e18) + 1, hi2 = goss_json_number(c->j, below, 1e18) - 1;
    lo = lo2 > lo ? lo2 : lo;
    hi = hi2 < hi ? hi2 : hi;
    if (hi > 1e17 && (lo == 0 || lo == 1)) return unsigned_integer(c, lo == 0, next);
    if (lo < -1e9 || hi > 1e9 || lo != (double)(long long)lo || hi != (double)(long long)hi)
        return refuse(c, node, "bounds of an integer other than 0 or 1 below, or both within 1e9");
    if (hi < lo) return refuse(c, node, "the maximum is below the minimum");
    if (hi - lo > (double)MAX_ENUM_RANGE) return refuse(c, node, "an integer range of more than 1000 values");
    int out = -1;
    for (long long v = (long long)lo; v <= (long long)hi; v++) {
        goss_buf_clear(&c->text);
        goss_buf_printf(&c->text, "%lld", v);
        out = either(c, out, goss_graph_text(c->g, (const char *)c->text.data, c->text.len, next));
    }
    return out;
}

static int compile_number(compiler *c, int node, int next)
{
    static const char *const bounds[] = { "maximum", "exclusiveMinimum", "exclusiveMaximum" };
    for (int i = 0; i < 3; i++)
        if (goss_json_get(c->j, node, bounds[i]) >= 0)
            return refuse(c, node, "bounds of a number other than \"minimum\": 0");
    const int min = goss_json_get(c->j, node, "minimum");
    if (min < 0) return any_number(c, next);
    if (goss_json_number(c->j, min, -1) != 0) return refuse(c, min, "bounds of a number other than \"minimum\": 0");
    const int fraction = goss_graph_either(c->g, next, goss_graph_bytes(c->g, '.', '.', digits(c, 1, 17, next)));
    return unsigned_integer(c, 1, fraction);
}

/* ---- arrays ------------------------------------------------------------------------------------------------ */
static int compile_array(compiler *c, int node, int next)
{
    const int items = goss_json_get(c->j, node, "items");
    const int min = count_of(c, node, "minItems", 0), max = count_of(c, node, "maxItems", -1);
    if (max >= 0 && max < min) return refuse(c, node, "maxItems is below minItems");
    const int rule = items < 0 ? any_value_rule(c) : compile(c, items, 0);
    if (!min && max < 0) return list_of(c, "[", rule, "]", next);
    const int end = space(c, literal(c, "]", next));
    int out = end; /* after an item */
    if (max < 0) {
        out = goss_graph_either(c->g, 0, 0);
        goss_graph_set(c->g, out, end, literal(c, ",", space(c, goss_graph_call(c->g, rule, out))));
    } else {
        for (int i = min > 1 ? min : 1; i < max; i++)
            out = goss_graph_either(c->g, end, literal(c, ",", space(c, goss_graph_call(c->g, rule, out))));
    }
    for (int i = 1; i < min; i++) out = literal(c, ",", space(c, goss_graph_call(c->g, rule, out)));
    const int first = max == 0 ? end : space(c, goss_graph_call(c->g, rule, out));
    return literal(c, "[", min || max == 0 ? first : goss_graph_either(c->g, end, first));
}

/* ---- objects ----------------------------------------------------------------------------------------------- */
static int is_required(compiler *c, int node, int key)
{
    const int list = goss_json_get(c->j, node, "required");
    goss_buf name = GOSS_BUF(1 << 16);
    int found = 0;
    if (goss_json_string(c->j, key, &name) == 0)
        for (int r = goss_json_first(c->j, list); r >= 0 && !found; r = goss_json_next(c->j, r))
            found = goss_json_is(c->j, r, goss_buf_cstr(&name));
    goss_buf_free(&name);
    return found;
}

/* The rest of a key that is none of the declared ones; names[0..n) are those that begin like what stands already. */
static int other_key(compiler *c, const goss_str *names, int n, uint64_t depth, int next)
{
    const int tail = loop_of(c, character_rule(c), literal(c, "\"", next));
    int out = -1, ends = 0;
    for (int b = 0x20; b < 0x7F; b++) {
        goss_str with[64];
        int n_with = 0;
        for (int i = 0; i < n; i++)
            if (names[i].n > depth && names[i].s[depth] == b) with[n_with++] = names[i];
        if (b == '"' || b == '\\') continue;
        const int to = n_with ? other_key(c, with, n_with, depth + 1, next) : tail;
        out = either(c, out, goss_graph_bytes(c->g, b, b, to));
    }
    for (int i = 0; i < n; i++) ends |= names[i].n == depth;
    out = either(c, out, goss_graph_codepoints(c->g, 0x80, 0x10FFFF, tail));
    return ends ? out : either(c, out, literal(c, "\"", next));
}

typedef struct members {
    int key[64], value[64], n, extra;
} members; /* extra: the schema of others, -1: none, -2: anything */

static int value_of(compiler *c, int schema, int next)
{
    return schema < 0 ? goss_graph_call(c->g, any_value_rule(c), next) : compile(c, schema, next);
}

static int extra_member(compiler *c, const members *m, int next)
{
    goss_str names[64];
    for (int i = 0; i < m->n; i++) {
        const goss_json_node *k = &c->j->nodes[m->key[i]];
        names[i] = (goss_str){ c->j->text + k->start, k->end - k->start };
        for (uint64_t b = 0; b < names[i].n; b++)
            if (names[i].s[b] == '\\' || (names[i].s[b] & 0x80))
                return refuse(c, m->key[i], "additionalProperties beside a name that is not plain ASCII");
    }
    return literal(c, "\"", other_key(c, names, m->n, 0, literal(c, ":", space(c, value_of(c, m->extra, next)))));
}

static int collect_members(compiler *c, int node, members *m)
{
    const int props = goss_json_get(c->j, node, "properties"),
              extra = goss_json_get(c->j, node, "additionalProperties");
    const int kind = goss_json_kind(c->j, extra);
    m->n = 0;
    m->extra = kind == GOSS_JSON_OBJECT ? extra : kind == GOSS_JSON_TRUE || (extra < 0 && props < 0) ? -2 : -1;
    for (int k = goss_json_first(c->j, props); k >= 0; k = goss_json_next(c->j, goss_json_next(c->j, k))) {
        if (m->n == 64) return refuse(c, k, "more than 64 properties in one object");
        m->key[m->n] = k;
        m->value[m->n++] = goss_json_next(c->j, k);
    }
    for (int r = goss_json_first(c->j, goss_json_get(c->j, node, "required")); r >= 0; r = goss_json_next(c->j, r)) {
        goss_buf name = GOSS_BUF(1 << 16);
        int known = 0;
        if (goss_json_string(c->j, r, &name)) c->rc = GOSS_ENOMEM;
        for (int i = 0; i < m->n; i++) known |= goss_json_is(c->j, m->key[i], goss_buf_cstr(&name));
        goss_buf_free(&name);
        if (known) continue;
        if (m->extra == -1 || m->n == 64) return refuse(c, r, "a required property is not declared");
        m->key[m->n] = r;
        m->value[m->n++] = m->extra;
    }
    return 1;
}

/* first: no member stands yet; rest: one does. From the last member to the first. */
static int compile_object(compiler *c, int node, int next)
{
    members m;
    if (!collect_members(c, node, &m)) return 0;
    if (!m.n && m.extra == -2) return any_object(c, next);
    const int end = space(c, literal(c, "}", next));
    int first = end, rest = end;
    if (m.extra != -1) {
        rest = goss_graph_either(c->g, 0, 0);
        const int member = extra_member(c, &m, rest);
        goss_graph_set(c->g, rest, end, literal(c, ",", space(c, member)));
        first = goss_graph_either(c->g, end, space(c, member));
    }
    for (int i = m.n - 1; i >= 0 && !c->rc; i--) {
        const int required = is_required(c, node, m.key[i]);
        const int member = constant(c, m.key[i], literal(c, ":", space(c, value_of(c, m.value[i], rest))));
        const int more = literal(c, ",", space(c, member)), begin = space(c, member);
        rest = required ? more : goss_graph_either(c->g, more, rest);
        first = required ? begin : goss_graph_either(c->g, begin, first);
    }
    return literal(c, "{", first);
}

/* ---- references -------------------------------------------------------------------------------------------- */
/* "#", "#/$defs/name", "#/definitions/name": the node meant, -1: none. */
static int target_of(compiler *c, int ref)
{
    goss_buf path = GOSS_BUF(4096);
    int node = c->root;
    if (goss_json_kind(c->j, ref) != GOSS_JSON_STRING || goss_json_string(c->j, ref, &path)) node = -1;
    char *s = (char *)(uintptr_t)goss_buf_cstr(&path);
    if (s[0] != '#' || (s[1] && s[1] != '/')) node = -1;
    for (s += s[0] == '#'; node >= 0 && *s == '/';) {
        char *name = ++s;
        while (*s && *s != '/') s++;
        const char sep = *s;
        *s = 0;
        node = goss_json_get(c->j, node, name);
        *s = sep;
    }
    goss_buf_free(&path);
    return node;
}

static int compile_ref(compiler *c, int ref, int next)
{
    const int node = target_of(c, ref);
    if (node < 0) return refuse(c, ref, "a $ref that leads nowhere in this schema");
    for (int i = 0; i < c->n_refs; i++)
        if (c->refs[i].node == node) return goss_graph_call(c->g, c->refs[i].rule, next);
    if (c->n_refs == MAX_REFS) return refuse(c, ref, "more than 256 definitions");
    const int rule = goss_graph_either(c->g, 0, 0);
    c->refs[c->n_refs].node = node;
    c->refs[c->n_refs++].rule = rule;
    const int body = compile(c, node, 0);
    goss_graph_set(c->g, rule, body, body);
    return goss_graph_call(c->g, rule, next);
}

/* ---- schemas ----------------------------------------------------------------------------------------------- */
static const char *const annotations[] = { "title", "description", "default",    "examples", "$schema",
                                           "$id",   "$comment",    "deprecated", "readOnly", "writeOnly",
                                           "$defs", "definitions", "nullable",   "name",     "strict" };
static const char *const handled[] = { "type",
                                       "enum",
                                       "const",
                                       "anyOf",
                                       "oneOf",
                                       "allOf",
                                       "$ref",
                                       "properties",
                                       "required",
                                       "additionalProperties",
                                       "items",
                                       "minItems",
                                       "maxItems",
                                       "minLength",
                                       "maxLength",
                                       "pattern",
                                       "format",
                                       "minimum",
                                       "maximum",
                                       "exclusiveMinimum",
                                       "exclusiveMaximum" };

static int listed(const goss_json *j, int key, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (goss_json_is(j, key, names[i])) return 1;
    return 0;
}

/* Every keyword must be one that is held to. Returns how many are more than annotation. */
static int check_keywords(compiler *c, int node)
{
    int n = 0;
    for (int k = goss_json_first(c->j, node); k >= 0; k = goss_json_next(c->j, goss_json_next(c->j, k))) {
        if (listed(c->j, k, annotations, sizeof annotations / sizeof *annotations)) continue;
        if (listed(c->j, k, handled, sizeof handled / sizeof *handled)) { n++; continue; }
        const goss_json_node *key = &c->j->nodes[k];
        char what[96] = "the keyword \"";
        size_t at = strlen(what), len = key->end - key->start;
        if (len > 48) len = 48;
        memcpy(what + at, c->j->text + key->start, len);
        memcpy(what + at + len, "\"", 2);
        return refuse(c, k, what);
    }
    return n;
}

static int compile_any_of(compiler *c, int list, int next)
{
    int out = -1;
    for (int v = goss_json_first(c->j, list); v >= 0 && !c->rc; v = goss_json_next(c->j, v))
        out = either(c, out, compile(c, v, next));
    return out < 0 ? refuse(c, list, "an empty list of alternatives") : out;
}

static int compile_enum(compiler *c, int list, int next)
{
    int out = -1;
    for (int v = goss_json_first(c->j, list); v >= 0 && !c->rc; v = goss_json_next(c->j, v))
        out = either(c, out, constant(c, v, next));
    return out < 0 ? refuse(c, list, "an empty enum") : out;
}

static int compile_type(compiler *c, int node, int type, int next)
{
    if (goss_json_is(c->j, type, "object")) return compile_object(c, node, next);
    if (goss_json_is(c->j, type, "array")) return compile_array(c, node, next);
    if (goss_json_is(c->j, type, "string")) return compile_string(c, node, next);
    if (goss_json_is(c->j, type, "integer")) return compile_integer(c, node, next);
    if (goss_json_is(c->j, type, "number")) return compile_number(c, node, next);
    if (goss_json_is(c->j, type, "boolean")) return either(c, literal(c, "true", next), literal(c, "false", next));
    if (goss_json_is(c->j, type, "null")) return literal(c, "null", next);
    return refuse(c, type, "an unknown type");
}

static int has(compiler *c, int node, const char *key) { return goss_json_get(c->j, node, key) >= 0; }

static int compile_untyped(compiler *c, int node, int n_keywords, int next)
{
    if (!n_keywords) return goss_graph_call(c->g, any_value_rule(c), next);
    if (has(c, node, "properties") || has(c, node, "required") || has(c, node, "additionalProperties"))
        return compile_object(c, node, next);
    if (has(c, node, "items") || has(c, node, "minItems") || has(c, node, "maxItems"))
        return compile_array(c, node, next);
    if (has(c, node, "pattern") || has(c, node, "minLength") || has(c, node, "maxLength") ||
        has(c, node, "format"))
        return compile_string(c, node, next);
    return refuse(c, node, "bounds without a type");
}

static int compile_keywords(compiler *c, int node, int next)
{
    const int n = check_keywords(c, node), type = goss_json_get(c->j, node, "type");
    if (c->rc) return 0;
    static const char *const alone[] = { "$ref", "anyOf", "oneOf", "allOf" };
    for (int i = 0; i < 4; i++) {
        const int v = goss_json_get(c->j, node, alone[i]);
        if (v < 0) continue;
        if (n > 1) return refuse(c, node, "$ref, anyOf, oneOf or allOf beside other keywords");
        if (i == 0) return compile_ref(c, v, next);
        if (i == 3 && c->j->nodes[v].n != 1) return refuse(c, v, "allOf of more than one schema");
        return compile_any_of(c, v, next);
    }
    if (has(c, node, "const")) return constant(c, goss_json_get(c->j, node, "const"), next);
    if (has(c, node, "enum")) return compile_enum(c, goss_json_get(c->j, node, "enum"), next);
    if (type < 0) return compile_untyped(c, node, n, next);
    if (goss_json_kind(c->j, type) != GOSS_JSON_ARRAY) return compile_type(c, node, type, next);
    int out = -1;
    for (int t = goss_json_first(c->j, type); t >= 0 && !c->rc; t = goss_json_next(c->j, t))
        out = either(c, out, compile_type(c, node, t, next));
    return out < 0 ? refuse(c, type, "an empty list of types") : out;
}

static int compile(compiler *c, int node, int next)
{
    if (c->rc || c->g->failed) return 0;
    const int kind = goss_json_kind(c->j, node);
    if (kind == GOSS_JSON_TRUE) return goss_graph_call(c->g, any_value_rule(c), next);
    if (kind != GOSS_JSON_OBJECT) return refuse(c, node, "a schema that is neither an object nor true");
    if (++c->nest > MAX_NEST) return refuse(c, node, "schemas nested more than 48 deep");
    int out = compile_keywords(c, node, next);
    if (goss_json_bool(c->j, goss_json_get(c->j, node, "nullable"), 0)) out = either(c, out, literal(c, "null", next));
    c->nest--;
    return out;
}

int goss_schema_compile(goss_graph *g, const goss_json *j, int schema, int root, int *start, goss_error *err)
{
    compiler c = { .g = g,
                   .j = j,
                   .root = root,
                   .space = -1,
                   .character = -1,
                   .value = -1,
                   .text = GOSS_BUF(1 << 20),
                   .err = err };
    const int empty = goss_json_kind(j, schema) == GOSS_JSON_OBJECT && !j->nodes[schema].n;
    *start = empty ? any_object(&c, 0) : compile(&c, schema, 0);
    goss_buf_free(&c.text);
    if (!c.rc && g->failed) c.rc = goss_fail(err, g->failed, -1, "the JSON schema is too large");
    return c.rc;
}
