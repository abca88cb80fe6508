/* shader.c - the preprocessor of shader.h. */
#include "shader.h"
#include "../base/embedded.h"
#include "../base/error.h"
#include <string.h>

enum { MAX_NEST = 8 };
typedef struct expansion { goss_buf *out; const char *defines; int depth; goss_error *err; } expansion;

static int is_name(char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; }

/* The longest define that begins name[0..n); its value (or NULL) and length. whole: only one of exactly n characters. */
static int find(const char *defines, const char *name, size_t n, int whole, const char **value, size_t *n_value, size_t *n_found)
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
    while (n > k && s[n - 1] == ' ') n--;
    *rest = s + (n > k ? k + 1 : k);
    *n_rest = n > k ? n - k - 1 : 0;
    return 1;
}

static int expand(expansion *x, const char *file, size_t n_file)
{
    const struct goss_embedded *e = goss_wgsl;
    while (e->name && (strlen(e->name) != n_file || memcmp(e->name, file, n_file))) e++;
    if (!e->name || x->depth > MAX_NEST) return goss_fail(x->err, GOSS_ENOENT, -1, "no kernel file %.*s", (int)n_file, file);
    const char *s = (const char *)e->bytes, *rest;
    int on[MAX_NEST + 1] = { 1 }, level = 0, line = 1;
    size_t n_rest;
    x->depth++;
    for (size_t i = 0, end; i < e->size; i = end + 1, line++) {
        for (end = i; end < e->size && s[end] != '\n'; end++) { }
        if (starts(s + i, end - i, "#if", &rest, &n_rest)) {
            if (level == MAX_NEST) return goss_fail(x->err, GOSS_EFORMAT, line, "%s:%d: too many #if", e->name, line);
            on[level + 1] = on[level] && is_on(x->defines, rest, n_rest);
            level++;
        } else if (starts(s + i, end - i, "#else", &rest, &n_rest) && level) {
            on[level] = on[level - 1] && !on[level];
        } else if (starts(s + i, end - i, "#endif", &rest, &n_rest) && level) {
            level--;
        } else if (on[level] && starts(s + i, end - i, "#include", &rest, &n_rest)) {
            const int r = expand(x, rest, n_rest);
            if (r) return r;
        } else if (on[level]) {
            put_line(x, s + i, end - i);
        }
    }
    x->depth--;
    return level ? goss_fail(x->err, GOSS_EFORMAT, line, "%s: #if without #endif", e->name) : 0;
}

int goss_shader_text(goss_buf *out, const char *file, const char *defines, goss_error *err)
{
    expansion x = { out, defines, 0, err };
    if (is_on(defines, "SUBGROUPS", 9)) goss_buf_str(out, "enable subgroups;\n");
    if (is_on(defines, "HALF", 4)) goss_buf_str(out, "enable f16;\n");
    const int r = expand(&x, file, strlen(file));
    return r ? r : out->failed ? goss_fail(err, GOSS_ENOMEM, -1, "no memory for a kernel's text") : 0;
}
