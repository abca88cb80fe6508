/* shader.c - the preprocessor of shader.h. */
#include "shader.h"
#include "blocks.h"
#include "base/embedded.h"
#include "base/error.h"
#include <string.h>

enum { MAX_NEST = 8 };
typedef struct expansion { goss_buf *out; const char *defines; int depth; goss_error *err; } expansion;

static int is_name(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/* The longest define that begins name[0..n); its value (or NULL) and length. whole: only one of exactly n
 * characters. */
static int find(const char *defines, const char *name, size_t n, int whole, const char **value,
                size_t *n_value, size_t *n_found)
{
    int found = 0;
    *n_found = 0;
    for (const char *d = defines; *d;) {
        size_t len = 0, total = 0;
        while (d[len] && d[len] != '=' && d[len] != ' ') len++;
        while (d[total] && d[total] != ' ') total++;
        if (len && len <= n && len > *n_found && (!whole || len == n) && !memcmp(d, name, len)) {
            found = 1;
            *n_found = len;
            *value = d + (total > len ? len + 1 : len);
            *n_value = total > len ? total - len - 1 : 0;
        }
        d += total;
        while (*d == ' ') d++;
    }
    return found;
}

static int is_on(const char *defines, const char *name, size_t n)
{
    const char *v;
    size_t nv, nf;
    return find(defines, name, n, 1, &v, &nv, &nf) && !(nv == 1 && v[0] == '0');
}

static void put_line(expansion *x, const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        const char *v;
        size_t nv, nf, end = i + 1;
        while (end < n && is_name(s[end])) end++;
        if (s[i] == '$' && find(x->defines, s + i + 1, end - i - 1, 0, &v, &nv, &nf)) {
            goss_buf_append(x->out, v, nv);
            i += 1 + nf;
        } else {
            goss_buf_append(x->out, s + i++, 1);
        }
    }
    goss_buf_append(x->out, "\n", 1);
}

static int starts(const char *s, size_t n, const char *word, const char **rest, size_t *n_rest)
{
    const size_t k = strlen(word);
    if (n < k || memcmp(s, word, k)) return 0;
    if (n > k && s[k] != ' ') return 0;
    while (n > k && s[n - 1] == ' ') n--;
    *rest = s + (n > k ? k + 1 : k);
    *n_rest = n > k ? n - k - 1 : 0;
    return 1;
}

/* ---- words that C and WGSL share (blocks.h) ---------------------------------------------------------- */
#define TEXT_U(name) #name ": u32, "
#define TEXT_F(name) #name ": f32, "
#define TEXT_BLOCK(b) { #b, "struct P { " GOSS_BLOCK_##b(TEXT_U, TEXT_F) "}\n" },
static const struct { const char *name, *text; } blocks[] = { GOSS_BLOCKS(TEXT_BLOCK) };
#define TEXT_STEP(name, value) "const STEP_" #name " = " #value "u;\n"
#define TEXT_ROW(name, value) "const ROW_" #name " = " #value "u;\n"
#define TEXT_SAMPLER(name, value) "const SAMPLER_" #name " = " #value "u;\n"
#define TEXT_CHUNK(name, value) "const CHUNK_" #name " = " #value "u;\n"
#define TEXT_PICK(name, value) "const PICK_" #name " = " #value "u;\n"
#define TEXT_PANEL(name, value) "const PANEL_" #name " = " #value "u;\n"
static const struct { const char *name, *text; } consts[] = {
    { "step", GOSS_STEP_LAYOUT(TEXT_STEP) GOSS_ROW_LAYOUT(TEXT_ROW) },
    { "sampler", GOSS_SAMPLER_LAYOUT(TEXT_SAMPLER) GOSS_CHUNK_LAYOUT(TEXT_CHUNK) },
    { "pick", GOSS_PICK_LAYOUT(TEXT_PICK) },
    { "panel", GOSS_PANEL_WORDS(TEXT_PANEL) },
};

static int put_block(expansion *x, const char *file, const char *name, size_t n)
{
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++)
        if (strlen(blocks[i].name) == n && !memcmp(blocks[i].name, name, n)) {
            goss_buf_str(x->out, blocks[i].text);
            return 0;
        }
    return goss_fail(x->err, GOSS_ENOENT, -1, "%s: no parameter block %.*s", file, (int)n, name);
}

static int put_consts(expansion *x, const char *file, const char *name, size_t n)
{
    for (size_t i = 0; i < sizeof consts / sizeof consts[0]; i++)
        if (strlen(consts[i].name) == n && !memcmp(consts[i].name, name, n)) {
            goss_buf_str(x->out, consts[i].text);
            return 0;
        }
    return goss_fail(x->err, GOSS_ENOENT, -1, "%s: no constants %.*s", file, (int)n, name);
}

typedef struct lines { const char *file, *s; size_t n; } lines;
static int expand_file(expansion *x, const char *file, size_t n_file);
static int expand_lines(expansion *x, lines l);

/* Where the line that starts at i ends. */
static size_t line_end(const lines *l, size_t i)
{
    while (i < l->n && l->s[i] != '\n') i++;
    return i;
}

/* A define's value as a number, or the number itself. */
static long count_of(const char *defines, const char *s, size_t n)
{
    const char *v = s;
    size_t nv = n, nf;
    long count = 0;
    find(defines, s, n, 1, &v, &nv, &nf);
    for (size_t i = 0; i < nv; i++) {
        if (v[i] < '0' || v[i] > '9') return -1;
        count = count * 10 + (v[i] - '0');
    }
    return nv && count <= 256 ? count : -1;
}

/* A #for: head is what follows the word, body where its lines start; *next becomes the start of what follows
 * its #end. */
static int repeat(expansion *x, const lines *l, const char *head, size_t n_head, size_t body, size_t *next)
{
    size_t n_name = 0, at = body, end = body;
    int depth = 1;
    const char *rest;
    size_t n_rest;
    while (n_name < n_head && head[n_name] != ' ') n_name++;
    const long count = n_name < n_head ? count_of(x->defines, head + n_name + 1, n_head - n_name - 1) : -1;
    for (; depth && at < l->n; at = end + 1) {
        end = line_end(l, at);
        if (starts(l->s + at, end - at, "#for", &rest, &n_rest)) depth++;
        if (starts(l->s + at, end - at, "#end", &rest, &n_rest) && end - at == 4) depth--;
        if (!depth) break;
    }
    if (depth || count < 0)
        return goss_fail(x->err, GOSS_EFORMAT, -1, "%s: #for %.*s without a count or an #end", l->file,
                         (int)n_head, head);
    *next = end + 1;
    const char *outer = x->defines;
    int r = 0;
    for (long i = 0; i < count && !r; i++) {
        goss_buf d = GOSS_BUF(8192);
        goss_buf_printf(&d, "%s %.*s=%ld", outer, (int)n_name, head, i);
        x->defines = goss_buf_cstr(&d);
        r = expand_lines(x, (lines){ l->file, l->s + body, at - body });
        goss_buf_free(&d);
    }
    x->defines = outer;
    return r;
}

static int expand_lines(expansion *x, lines l)
{
    const char *s = l.s, *rest;
    int on[MAX_NEST + 1] = { 1 }, level = 0;
    size_t n_rest, next;
    for (size_t i = 0; i < l.n; i = next) {
        const size_t end = line_end(&l, i);
        int r = 0;
        next = end + 1;
        if (starts(s + i, end - i, "#if", &rest, &n_rest)) {
            if (level == MAX_NEST) return goss_fail(x->err, GOSS_EFORMAT, -1, "%s: too many #if", l.file);
            on[level + 1] = on[level] && is_on(x->defines, rest, n_rest);
            level++;
        } else if (starts(s + i, end - i, "#else", &rest, &n_rest) && level) {
            on[level] = on[level - 1] && !on[level];
        } else if (starts(s + i, end - i, "#endif", &rest, &n_rest) && level) {
            level--;
        } else if (!on[level]) {
            continue;
        } else if (starts(s + i, end - i, "#include", &rest, &n_rest)) {
            r = expand_file(x, rest, n_rest);
        } else if (starts(s + i, end - i, "#block", &rest, &n_rest)) {
            r = put_block(x, l.file, rest, n_rest);
        } else if (starts(s + i, end - i, "#consts", &rest, &n_rest)) {
            r = put_consts(x, l.file, rest, n_rest);
        } else if (starts(s + i, end - i, "#for", &rest, &n_rest)) {
            r = repeat(x, &l, rest, n_rest, end + 1, &next);
        } else {
            put_line(x, s + i, end - i);
        }
        if (r) return r;
    }
    return level ? goss_fail(x->err, GOSS_EFORMAT, -1, "%s: #if without #endif", l.file) : 0;
}

static int expand_file(expansion *x, const char *file, size_t n_file)
{
    const struct goss_embedded *e = goss_wgsl;
    while (e->name && (strlen(e->name) != n_file || memcmp(e->name, file, n_file))) e++;
    if (!e->name || x->depth > MAX_NEST)
        return goss_fail(x->err, GOSS_ENOENT, -1, "no kernel file %.*s", (int)n_file, file);
    x->depth++;
    const int r = expand_lines(x, (lines){ e->name, (const char *)e->bytes, e->size });
    x->depth--;
    return r;
}

int goss_shader_text(goss_buf *out, const char *file, const char *defines, goss_error *err)
{
    expansion x = { out, defines, 0, err };
    if (is_on(defines, "SUBGROUPS", 9)) goss_buf_str(out, "enable subgroups;\n");
    if (is_on(defines, "FRAGMENTS", 9))
        goss_buf_str(out, "enable f16;\nenable chromium_experimental_subgroup_matrix;\n"
                          "diagnostic(off, chromium.subgroup_matrix_uniformity);\n");
    const int r = expand_file(&x, file, strlen(file));
    return r ? r : out->failed ? goss_fail(err, GOSS_ENOMEM, -1, "no memory for a kernel's text") : 0;
}
