/* refs.c - see refs.h. A schema with a $id is a resource: pointers and anchors inside start at it, and
 * relative references begin with its URI. URIs are compared as text; "." and ".." in them are not
 * resolved. */
#include "refs.h"
#include "base/fmt.h"
#include <gossamer.h>
#include <string.h>

/* The schema's own name, where it has one that is more than an anchor: a string node, or -1. */
static int id_of(const goss_job *job, int node)
{
    int id = goss_json_get(job->j, node, "$id");
    if (job->old_refs && goss_json_get(job->j, node, "$ref") >= 0) return -1;
    if (id < 0 && job->old_refs) id = goss_json_get(job->j, node, "id");
    if (goss_json_kind(job->j, id) != GOSS_JSON_STRING) return -1;
    const goss_json_node *x = &job->j->nodes[id];
    return x->end > x->start && job->j->text[x->start] != '#' ? id : -1;
}

static size_t before(const char *s, char c)
{
    const char *at = strchr(s, c);
    return at ? (size_t)(at - s) : strlen(s);
}

/* `uri` becomes what `ref` (without fragment) means in its place. */
static void resolve(goss_buf *uri, const char *ref, size_t n)
{
    goss_buf base = *uri;
    const char *b = goss_buf_cstr(&base);
    *uri = GOSS_BUF(1 << 16);
    const size_t colon = before(ref, ':');
    size_t keep = 0;
    const char *slashes = strstr(b, "://");
    const size_t authority = slashes ? (size_t)(slashes - b) + 3 + before(slashes + 3, '/') : 0;
    if (colon < n && colon < before(ref, '/')) keep = 0;
    else if (n && ref[0] == '/') keep = authority;
    else
        for (size_t i = authority; b[i]; i++)
            if (b[i] == '/') keep = i + 1;
    goss_buf_append(uri, b, keep);
    goss_buf_append(uri, ref, n);
    goss_buf_free(&base);
}

static void enter(const goss_job *job, int node, goss_buf *uri)
{
    const int id = id_of(job, node);
    if (id < 0) return;
    goss_buf text = GOSS_BUF(1 << 16);
    goss_json_string(job->j, id, &text);
    const char *s = goss_buf_cstr(&text);
    resolve(uri, s, before(s, '#'));
    goss_buf_free(&text);
}

/* What stands under a keyword: a schema or schemas (an array of them), schemas by name, or data. */
enum { DATA, SCHEMAS, NAMED };
static int below_keyword(const goss_json *j, int key)
{
    static const char *const schemas[] = { "allOf",
                                           "anyOf",
                                           "oneOf",
                                           "not",
                                           "if",
                                           "then",
                                           "else",
                                           "items",
                                           "prefixItems",
                                           "contains",
                                           "additionalItems",
                                           "additionalProperties",
                                           "propertyNames",
                                           "unevaluatedItems",
                                           "unevaluatedProperties" };
    static const char *const named[] = { "properties",  "patternProperties", "$defs",
                                         "definitions", "dependentSchemas",  "dependencies" };
    for (size_t i = 0; i < sizeof schemas / sizeof *schemas; i++)
        if (goss_json_is(j, key, schemas[i])) return SCHEMAS;
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        if (goss_json_is(j, key, named[i])) return NAMED;
    return DATA;
}

/* The child whose text holds the node's, -1: none. *state: what the parent is (SCHEMAS: a schema or an
 * array of them), then the child. */
static int towards(const goss_json *j, int parent, int node, int *state)
{
    const int object = goss_json_kind(j, parent) == GOSS_JSON_OBJECT;
    const uint32_t start = j->nodes[node].start, end = j->nodes[node].end;
    for (int k = goss_json_first(j, parent); k >= 0;) {
        const int v = object ? goss_json_next(j, k) : k;
        if (j->nodes[v].kind >= GOSS_JSON_ARRAY && j->nodes[v].start <= start && end <= j->nodes[v].end) {
            if (object) *state = *state == NAMED ? SCHEMAS : *state == SCHEMAS ? below_keyword(j, k) : DATA;
            return v;
        }
        k = goss_json_next(j, v);
    }
    return -1;
}

/* The innermost resource around a node, and its URI; -1: the node is no schema and in none (of data). */
static int resource_of(const goss_job *job, int node, goss_buf *uri)
{
    int resource = job->root, at = job->root, state = SCHEMAS;
    while (at >= 0) {
        const int schema = state == SCHEMAS && goss_json_kind(job->j, at) == GOSS_JSON_OBJECT;
        if (schema && id_of(job, at) >= 0) {
            resource = at;
            enter(job, at, uri);
        }
        if (at == node) return schema ? resource : -1;
        at = towards(job->j, at, node, &state);
    }
    return resource;
}

/* The resource with this URI. */
static int resource_named(const goss_job *job, const char *wanted)
{
    int found = -1;
    for (uint32_t i = (uint32_t)job->root; i < job->j->n_nodes && found < 0; i++) {
        if (job->j->nodes[i].kind != GOSS_JSON_OBJECT || id_of(job, (int)i) < 0) continue;
        goss_buf uri = GOSS_BUF(1 << 16);
        if (resource_of(job, (int)i, &uri) == (int)i && !strcmp(goss_buf_cstr(&uri), wanted)) found = (int)i;
        goss_buf_free(&uri);
    }
    return found;
}

/* The schema of a resource that has this anchor ("$anchor", "$dynamicAnchor"; before 2019 "$id": "#name"). */
static int anchored(const goss_job *job, int resource, const char *name)
{
    const goss_json *j = job->j;
    for (uint32_t i = (uint32_t)resource; i < j->n_nodes && j->nodes[i].start < j->nodes[resource].end; i++) {
        if (j->nodes[i].kind != GOSS_JSON_OBJECT) continue;
        goss_buf old = GOSS_BUF(1 << 16), uri = GOSS_BUF(1 << 16);
        int id = goss_json_get(j, (int)i, "$id");
        if (id < 0) id = goss_json_get(j, (int)i, "id");
        goss_json_string(j, id, &old);
        const char *s = goss_buf_cstr(&old);
        const int here = goss_json_is(j, goss_json_get(j, (int)i, "$anchor"), name) ||
                         goss_json_is(j, goss_json_get(j, (int)i, "$dynamicAnchor"), name) ||
                         (s[0] == '#' && !strcmp(s + 1, name));
        const int same = here && resource_of(job, (int)i, &uri) == resource;
        goss_buf_free(&old);
        goss_buf_free(&uri);
        if (same) return (int)i;
    }
    return -1;
}

/* %XX resolved in place. */
static void decode_percent(char *s)
{
    char *to = s;
    for (; *s; s++) {
        const int high = *s == '%' ? goss_hex_digit(s[1]) : -1,
                  low = high >= 0 ? goss_hex_digit(s[2]) : -1;
        *to++ = low >= 0 ? (char)(high * 16 + low) : *s;
        if (low >= 0) s += 2;
    }
    *to = 0;
}

static int element(const goss_job *job, int array, const char *digits)
{
    uint32_t i = 0;
    for (const char *d = digits; *d; d++) {
        if (*d < '0' || *d > '9' || i > 1000000) return -1;
        i = i * 10 + (uint32_t)(*d - '0');
    }
    return digits[0] ? goss_json_at(job->j, array, i) : -1;
}

static int pointed(const goss_job *job, int node, char *pointer)
{
    while (node >= 0 && *pointer == '/') {
        char *name = ++pointer, *to = name;
        while (*pointer && *pointer != '/') pointer++;
        const char stop = *pointer;
        *pointer = 0;
        for (const char *s = name; *s; s++) {
            *to = *s;
            if (*s == '~' && (s[1] == '0' || s[1] == '1')) *to = *++s == '0' ? '~' : '/';
            to++;
        }
        *to = 0;
        node = goss_json_kind(job->j, node) == GOSS_JSON_ARRAY ? element(job, node, name)
                                                               : goss_json_get(job->j, node, name);
        *pointer = stop;
    }
    return node;
}

static int find_target(goss_job *job, int ref)
{
    goss_buf text = GOSS_BUF(1 << 16), uri = GOSS_BUF(1 << 16);
    int node = -1;
    if (!goss_json_string(job->j, ref, &text)) {
        char *s = (char *)(uintptr_t)goss_buf_cstr(&text);
        const size_t n = before(s, '#');
        char *fragment = s[n] ? s + n + 1 : s + n;
        int resource = resource_of(job, ref, &uri);
        if (n) {
            resolve(&uri, s, n);
            resource = resource_named(job, goss_buf_cstr(&uri));
        }
        decode_percent(fragment);
        node = resource < 0       ? -1
               : !*fragment       ? resource
               : *fragment == '/' ? pointed(job, resource, fragment)
                                  : anchored(job, resource, fragment);
    }
    if (text.failed == GOSS_ENOMEM || uri.failed == GOSS_ENOMEM)
        goss_job_pass(job, ref, GOSS_ENOMEM, "there is no memory");
    goss_buf_free(&text);
    goss_buf_free(&uri);
    return node;
}

int goss_refs_target(goss_job *job, int ref)
{
    if (!job->targets) return -1; /* the job has failed */
    if (!job->targets[ref]) job->targets[ref] = find_target(job, ref) + 2;
    return job->targets[ref] - 2;
}
