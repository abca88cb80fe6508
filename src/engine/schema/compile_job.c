/* compile_job.c - see compile_job.h. */
#include "compile_job.h"
#include "base/error.h"
#include "base/mem.h"
#include "format/json_text.h"
#include <gossamer.h>
#include <string.h>

enum { BLOCK = 1 << 16, MOST_MEMORY = 48 << 20, MOST_COUNT = 1 << 20 };

/* ---- memory and failing -------------------------------------------------------------------------------- */
typedef struct block {
    struct block *before;
    size_t size;
} block;
enum { BLOCK_HEAD = 64 };

static int fail(goss_job *job, int rc, const char *what)
{
    if (!job->rc) job->rc = goss_fail(job->err, rc, -1, "the JSON schema can't be enforced: %s", what);
    return GOSS_NONE;
}

void *goss_job_take(goss_job *job, size_t n)
{
    n = (n + 15) & ~(size_t)15;
    if (job->rc) return NULL;
    if (n > job->left) {
        const size_t size = n + BLOCK_HEAD > BLOCK ? n + BLOCK_HEAD : BLOCK;
        if (job->taken + size > MOST_MEMORY) {
            fail(job, GOSS_ELIMIT, "it has too many parts");
            return NULL;
        }
        int failed = 0;
        block *b = goss_budget_alloc(job->budget, size, &failed);
        if (!b) {
            fail(job, failed, failed == GOSS_ENOMEM ? "there is no memory" : "it is too large");
            return NULL;
        }
        b->before = job->blocks;
        b->size = size;
        job->blocks = b;
        job->left = size - BLOCK_HEAD;
        job->taken += size;
    }
    /* blocks are filled from their end */
    job->left -= n;
    return (char *)job->blocks + BLOCK_HEAD + job->left;
}

void goss_job_free(goss_job *job)
{
    for (block *b = job->blocks, *before; b; b = before) {
        before = b->before;
        goss_budget_free(job->budget, b, b->size);
    }
    job->blocks = NULL;
    goss_buf_free(&job->text);
}

/* The way to a node, as a JSON pointer behind '#': at each container the child whose text holds the
 * node's. */
static void write_path(const goss_json *j, int at, int node, goss_buf *out)
{
    const uint32_t start = j->nodes[node].start, end = j->nodes[node].end;
    goss_buf_str(out, "#");
    for (int below = at; at >= 0 && at != node; at = below) {
        const int object = goss_json_kind(j, at) == GOSS_JSON_OBJECT;
        int i = 0;
        below = -1;
        for (int k = goss_json_first(j, at); k >= 0 && below < 0; i++) {
            const int value = object ? goss_json_next(j, k) : k;
            const goss_json_node *v = &j->nodes[value];
            if (k == node || (v->start <= start && end <= v->end)) below = value;
            if (below >= 0 && object) {
                goss_buf_str(out, "/");
                goss_json_string(j, k, out);
            } else if (below >= 0) goss_buf_printf(out, "/%d", i);
            if (k == node) return;
            k = goss_json_next(j, value);
        }
    }
}

static int refuse(goss_job *job, int rc, int node, const char *what)
{
    enum { MOST_PATH = 110 };
    if (job->rc) return GOSS_NONE;
    goss_buf path = GOSS_BUF(1 << 16);
    if (node >= 0) write_path(job->j, job->root, node, &path);
    const char *s = goss_buf_cstr(&path);
    const size_t n = strlen(s), cut = n > MOST_PATH ? n - MOST_PATH : 0;
    const int64_t at = node >= 0 ? (int64_t)job->j->nodes[node].start : -1;
    job->rc = goss_fail(job->err, rc, at, "the JSON schema can't be enforced: %s (at %s%s)", what,
                        cut ? "..." : "", s + cut);
    goss_buf_free(&path);
    return GOSS_NONE;
}

int goss_job_refuse(goss_job *job, int node, const char *what)
{
    return refuse(job, GOSS_EUNSUPPORTED, node, what);
}
int goss_job_limit(goss_job *job, int node, const char *what) { return refuse(job, GOSS_ELIMIT, node, what); }

int goss_job_pass(goss_job *job, int node, int rc, const char *what)
{
    return rc == GOSS_ENOMEM ? fail(job, rc, what) : refuse(job, rc, node, what);
}

void goss_claims_add(goss_job *job, goss_claims *to, int node, int not )
{
    for (int i = 0; i < to->n; i++)
        if (to->at[i].node == node && to->at[i].not == not ) return;
    if (to->n == to->room) {
        const int room = to->room ? 2 * to->room : 4;
        goss_claim *at = goss_job_take(job, (size_t)room * sizeof *at);
        if (!at) return;
        if (to->n) memcpy(at, to->at, (size_t)to->n * sizeof *at);
        to->at = at;
        to->room = room;
    }
    to->at[to->n++] = (goss_claim){ node, not };
}

/* ---- keywords ------------------------------------------------------------------------------------------ */
enum {
    STRING,
    NUMBER,
    POSITIVE,
    COUNT,
    FLAG,
    FLAG_OR_NUMBER,
    NAMES,
    SCHEMAS,
    SCHEMA,
    LIST,
    LIST_OR_SCHEMA,
    TYPES,
    ARRAY,
    DEPENDENCIES,
    NAME_LISTS
};
static const struct {
    const char *name;
    int shape;
} keywords[] = {
    { "type", TYPES },
    { "enum", ARRAY },
    { "$ref", STRING },
    { "allOf", LIST },
    { "anyOf", LIST },
    { "oneOf", LIST },
    { "not", SCHEMA },
    { "if", SCHEMA },
    { "then", SCHEMA },
    { "else", SCHEMA },
    { "properties", SCHEMAS },
    { "patternProperties", SCHEMAS },
    { "additionalProperties", SCHEMA },
    { "propertyNames", SCHEMA },
    { "required", NAMES },
    { "dependentRequired", NAME_LISTS },
    { "dependentSchemas", SCHEMAS },
    { "dependencies", DEPENDENCIES },
    { "minProperties", COUNT },
    { "maxProperties", COUNT },
    { "items", LIST_OR_SCHEMA },
    { "prefixItems", LIST },
    { "additionalItems", SCHEMA },
    { "contains", SCHEMA },
    { "minContains", COUNT },
    { "maxContains", COUNT },
    { "minItems", COUNT },
    { "maxItems", COUNT },
    { "uniqueItems", FLAG },
    { "minLength", COUNT },
    { "maxLength", COUNT },
    { "pattern", STRING },
    { "format", STRING },
    { "minimum", NUMBER },
    { "maximum", NUMBER },
    { "exclusiveMinimum", FLAG_OR_NUMBER },
    { "exclusiveMaximum", FLAG_OR_NUMBER },
    { "multipleOf", POSITIVE },
    { "nullable", FLAG },
    { "unevaluatedItems", SCHEMA },
    { "unevaluatedProperties", SCHEMA },
};
/* Keywords of the standard that are not held to: a schema that has one is refused. */
static const char *const unsupported[] = { "$dynamicRef", "$recursiveRef" };

static int all_kind(const goss_json *j, int container, int kind)
{
    const int object = goss_json_kind(j, container) == GOSS_JSON_OBJECT;
    for (int k = goss_json_first(j, container); k >= 0;) {
        const int v = object ? goss_json_next(j, k) : k;
        if (goss_json_kind(j, v) != kind) return 0;
        k = goss_json_next(j, v);
    }
    return 1;
}

static int is_schema(const goss_json *j, int v)
{
    const int kind = goss_json_kind(j, v);
    return kind == GOSS_JSON_OBJECT || kind == GOSS_JSON_TRUE || kind == GOSS_JSON_FALSE;
}

static int is_names(const goss_json *j, int v)
{
    return goss_json_kind(j, v) == GOSS_JSON_ARRAY && all_kind(j, v, GOSS_JSON_STRING);
}

/* The members' values (an object's), or the elements, are schemas; lists of names too where those may
 * stand. */
static int all_schemas(const goss_json *j, int container, int or_names, int and_schemas)
{
    const int object = goss_json_kind(j, container) == GOSS_JSON_OBJECT;
    for (int k = goss_json_first(j, container); k >= 0;) {
        const int v = object ? goss_json_next(j, k) : k;
        if (!(and_schemas && is_schema(j, v)) && !(or_names && is_names(j, v))) return 0;
        k = goss_json_next(j, v);
    }
    return 1;
}

static int is_count(const goss_json *j, int v)
{
    const double d = goss_json_number(j, v, -1);
    return d >= 0 && (d > 1e15 || d == (double)(int64_t)d);
}

static int is_shape(const goss_job *job, int v, int shape)
{
    const goss_json *j = job->j;
    const int kind = goss_json_kind(j, v), flag = kind == GOSS_JSON_TRUE || kind == GOSS_JSON_FALSE;
    const int array = kind == GOSS_JSON_ARRAY, object = kind == GOSS_JSON_OBJECT;
    switch (shape) {
    case STRING: return kind == GOSS_JSON_STRING;
    case NUMBER: return kind == GOSS_JSON_NUMBER;
    case POSITIVE: return goss_json_number(j, v, 0) > 0;
    case COUNT: return is_count(j, v);
    case FLAG: return flag;
    case FLAG_OR_NUMBER: return flag || kind == GOSS_JSON_NUMBER;
    case NAMES: return is_names(j, v);
    case SCHEMAS: return object && all_schemas(j, v, 0, 1);
    case SCHEMA: return is_schema(j, v);
    case LIST: return array && j->nodes[v].n && all_schemas(j, v, 0, 1);
    case LIST_OR_SCHEMA: return is_schema(j, v) || (array && all_schemas(j, v, 0, 1));
    case ARRAY: return array;
    case DEPENDENCIES: return object && all_schemas(j, v, 1, 1);
    case NAME_LISTS: return object && all_schemas(j, v, 1, 0);
    default: break;
    }
    if (!array) return goss_job_type_bit(job, v) != 0;
    for (int t = goss_json_first(j, v); t >= 0; t = goss_json_next(j, t))
        if (!goss_job_type_bit(job, t)) return 0;
    return j->nodes[v].n > 0;
}

/* The keyword's name in a sentence. */
static int refuse_keyword(goss_job *job, int key, const char *before, const char *after)
{
    char what[120];
    const goss_json_node *k = &job->j->nodes[key];
    const size_t at = strlen(before), n = k->end - k->start < 48 ? k->end - k->start : 48;
    memcpy(what, before, at);
    memcpy(what + at, job->j->text + k->start, n);
    memcpy(what + at + n, after, strlen(after) + 1);
    goss_job_refuse(job, key, what);
    return 0;
}

int goss_job_well_formed(goss_job *job, int node)
{
    const goss_json *j = job->j;
    if (!job->well_formed || job->well_formed[node]) return job->well_formed != NULL;
    if (!is_schema(j, node)) {
        goss_job_refuse(job, node, "a schema that is neither an object nor true nor false");
        return 0;
    }
    for (int k = goss_json_first(j, node); k >= 0; k = goss_json_next(j, goss_json_next(j, k))) {
        const int v = goss_json_next(j, k);
        for (size_t i = 0; i < sizeof unsupported / sizeof *unsupported; i++)
            if (goss_json_is(j, k, unsupported[i]) && goss_json_kind(j, v) != GOSS_JSON_TRUE)
                return refuse_keyword(job, k, "the keyword \"", "\" is not supported");
        for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
            if (goss_json_is(j, k, keywords[i].name) && !is_shape(job, v, keywords[i].shape))
                return refuse_keyword(job, k, "the value of \"", "\" is not what the keyword wants");
    }
    return job->well_formed[node] = 1;
}

int goss_job_constrains(const goss_job *job, int key)
{
    static const char *const others[] = { "type",
                                          "enum",
                                          "$ref",
                                          "allOf",
                                          "anyOf",
                                          "oneOf",
                                          "not",
                                          "if",
                                          "then",
                                          "else",
                                          "dependentRequired",
                                          "dependentSchemas",
                                          "dependencies",
                                          "nullable" };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (goss_json_is(job->j, key, others[i])) return 0;
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
        if (goss_json_is(job->j, key, keywords[i].name)) return 1;
    return 0;
}

/* ---- reading ------------------------------------------------------------------------------------------- */
int goss_job_same_text(const goss_job *job, int a, int b)
{
    const goss_json_node *x = &job->j->nodes[a], *y = &job->j->nodes[b];
    return !goss_json_text_compare(job->j->text + x->start, x->end - x->start, job->j->text + y->start,
                                   y->end - y->start);
}

int goss_job_find(const goss_job *job, int object, int name)
{
    const goss_json *j = job->j;
    if (goss_json_kind(j, object) != GOSS_JSON_OBJECT) return -1;
    for (int k = goss_json_first(j, object); k >= 0; k = goss_json_next(j, goss_json_next(j, k)))
        if (goss_job_same_text(job, k, name)) return goss_json_next(j, k);
    return -1;
}

int goss_job_lists(const goss_job *job, int array, int name)
{
    for (int r = goss_json_first(job->j, array); r >= 0; r = goss_json_next(job->j, r))
        if (goss_job_same_text(job, r, name)) return 1;
    return 0;
}

int goss_job_type_bit(const goss_job *job, int name)
{
    static const struct {
        const char *name;
        int bits;
    } types[] = { { "null", GOSS_TYPE_NULL },       { "boolean", GOSS_TYPE_BOOLEAN },
                  { "integer", GOSS_TYPE_INTEGER }, { "number", GOSS_TYPE_NUMBER },
                  { "string", GOSS_TYPE_STRING },   { "array", GOSS_TYPE_ARRAY },
                  { "object", GOSS_TYPE_OBJECT } };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (goss_json_is(job->j, name, types[i].name)) return types[i].bits;
    return 0;
}

int goss_job_types_of(const goss_job *job, int node)
{
    const int type = goss_json_get(job->j, node, "type");
    if (type < 0) return GOSS_TYPE_ANY;
    int bits = goss_job_type_bit(job, type);
    if (goss_json_kind(job->j, type) == GOSS_JSON_ARRAY)
        for (int t = goss_json_first(job->j, type); t >= 0; t = goss_json_next(job->j, t))
            bits |= goss_job_type_bit(job, t);
    if (goss_json_bool(job->j, goss_json_get(job->j, node, "nullable"), 0)) bits |= GOSS_TYPE_NULL;
    return bits;
}

int goss_job_kind_bits(const goss_job *job, int value)
{
    static const uint8_t bits[] = { 0, GOSS_TYPE_NULL,   GOSS_TYPE_BOOLEAN, GOSS_TYPE_BOOLEAN,
                                    0, GOSS_TYPE_STRING, GOSS_TYPE_ARRAY,   GOSS_TYPE_OBJECT };
    const int kind = goss_json_kind(job->j, value);
    if (kind != GOSS_JSON_NUMBER) return bits[kind];
    const double d = goss_json_number(job->j, value, 0);
    return d > 9e15 || d < -9e15 || d == (double)(int64_t)d ? GOSS_TYPE_INTEGER : GOSS_TYPE_FRACTION;
}

int goss_job_equal(const goss_job *job, int a, int b)
{
    const goss_json *j = job->j;
    const int kind = goss_json_kind(j, a);
    if (kind != goss_json_kind(j, b)) return 0;
    if (kind == GOSS_JSON_NUMBER) return goss_json_number(j, a, 0) == goss_json_number(j, b, 0);
    if (kind == GOSS_JSON_STRING) return goss_job_same_text(job, a, b);
    if (kind != GOSS_JSON_ARRAY && kind != GOSS_JSON_OBJECT) return 1;
    if (j->nodes[a].n != j->nodes[b].n) return 0;
    int other = goss_json_first(j, b);
    for (int k = goss_json_first(j, a); k >= 0;) {
        const int v = kind == GOSS_JSON_OBJECT ? goss_json_next(j, k) : k;
        const int w = kind == GOSS_JSON_OBJECT ? goss_job_find(job, b, k) : other;
        if (w < 0 || !goss_job_equal(job, v, w)) return 0; /* as deep as the parser let values be */
        k = goss_json_next(j, v);
        if (kind == GOSS_JSON_ARRAY) other = goss_json_next(j, other);
    }
    return 1;
}

goss_str goss_job_string(goss_job *job, int node)
{
    goss_buf_clear(&job->text);
    const int rc = goss_json_string(job->j, node, &job->text);
    if (rc) fail(job, rc, rc == GOSS_ENOMEM ? "there is no memory" : "a string is longer than 1 MB");
    return (goss_str){ (const char *)job->text.data, job->text.len };
}

goss_str goss_job_written(goss_job *job, int node)
{
    const double d = goss_json_number(job->j, node, 0.5);
    goss_buf_clear(&job->text);
    if (d > -1e15 && d < 1e15 && d == (double)(int64_t)d) goss_buf_printf(&job->text, "%lld", (long long)d);
    else goss_json_write(job->j, node, &job->text);
    const int rc = job->text.failed;
    if (rc) fail(job, rc, rc == GOSS_ENOMEM ? "there is no memory" : "a value is longer than 1 MB");
    return (goss_str){ (const char *)job->text.data, job->text.len };
}

uint64_t goss_job_count(const goss_job *job, int node, uint64_t absent)
{
    if (node < 0) return absent;
    const double d = goss_json_number(job->j, node, 0);
    return !(d > 0) ? 0 : d > (double)MOST_COUNT ? (uint64_t)MOST_COUNT : (uint64_t)d;
}
