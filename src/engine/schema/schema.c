/* schema.c - see schema.h. Graphs are built backwards: compile_X(job, ..., next) gives the node where X's
 * text begins.
 *
 * A rule stands for a set of claims (compile_job.h). Rules wait in a list until they are compiled, so that
 * schemas may be recursive and no nesting costs stack. At the end what leads nowhere is cut off: a text
 * that has begun can always be ended. */
#include "schema.h"
#include "base/error.h"
#include "base/mem.h"
#include "dead_ends.h"
#include "expand.h"
#include "items.h"
#include "members.h"
#include "scalars.h"
#include "text_ahead.h"
#include <gossamer.h>
#include <string.h>

enum { MAX_RULES = 20000, HASH = 1024, MAX_APART = 3 };
typedef struct rule {
    goss_claims claims;
    int node, same_hash;
} rule;
/* a schema that says n things of a scalar type; hash: of what it says */
typedef struct plain {
    int node, n;
    uint32_t hash;
    int same_hash;
} plain;
typedef struct compiler {
    goss_job job;   /* first: the parts below know only this */
    goss_buf rules, plain;
    int hash[HASH], plain_hash[HASH], apart;
} compiler;

static int compile_facts(goss_job *job, const goss_facts *facts, int next);

/* ---- listed values ------------------------------------------------------------------------------------- */
static int lists(const goss_job *job, int node, int value)
{
    const goss_json *j = job->j;
    const int one = goss_json_get(job->j, node, "const"), list = goss_json_get(job->j, node, "enum");
    int found = list < 0 || (j->nodes[list].start <= j->nodes[value].start &&
                             j->nodes[value].end <= j->nodes[list].end); /* it is of this list */
    if (one >= 0 && !goss_job_equal(job, one, value)) return 0;
    for (int v = goss_json_first(job->j, list); v >= 0 && !found; v = goss_json_next(job->j, v))
        found = goss_job_equal(job, v, value);
    return found;
}

/* Whether a "not" excludes the value by name. */
static int excluded(const goss_job *job, const goss_fact *f, int value)
{
    const int listed = goss_json_next(job->j, f->key);
    if (goss_json_is(job->j, f->key, "const")) return goss_job_equal(job, listed, value);
    if (!goss_json_is(job->j, f->key, "enum")) return 0;
    for (int v = goss_json_first(job->j, listed); v >= 0; v = goss_json_next(job->j, v))
        if (goss_job_equal(job, v, value)) return 1;
    return 0;
}

static int fits_lists(const goss_job *job, const goss_facts *facts, int value)
{
    if (!(facts->types & goss_job_kind_bits(job, value))) return 0;
    for (int i = 0; i < facts->n; i++) {
        const goss_fact *f = &facts->at[i];
        if (f->kind == GOSS_FACT_KEYWORDS && !lists(job, f->node, value)) return 0;
        if (f->kind == GOSS_FACT_NOT && excluded(job, f, value)) return 0;
    }
    return 1;
}

/* A list, or a "const" (*one); -1: no values are listed. */
static int values_of(const goss_job *job, const goss_facts *facts, int *one)
{
    for (int i = 0; i < facts->n; i++) {
        if (facts->at[i].kind != GOSS_FACT_KEYWORDS) continue;
        const int list = goss_json_get(job->j, facts->at[i].node, "enum"),
                  value = goss_json_get(job->j, facts->at[i].node, "const");
        *one = value >= 0;
        if (value >= 0 || list >= 0) return value >= 0 ? value : list;
    }
    return -1;
}

static int says_more(const goss_job *job, const goss_facts *facts)
{
    for (int i = 0; i < facts->n; i++) {
        const goss_fact *f = &facts->at[i];
        if (f->kind == GOSS_FACT_NOT &&
            (goss_json_is(job->j, f->key, "enum") || goss_json_is(job->j, f->key, "const"))) {
            if (!facts->no_lists) return 1;
            continue;
        }
        if (f->kind != GOSS_FACT_KEYWORDS) return 1;
        for (int k = goss_json_first(job->j, f->node); k >= 0;
             k = goss_json_next(job->j, goss_json_next(job->j, k)))
            if (goss_job_constrains(job, k)) return 1;
    }
    return 0;
}

static int takes(goss_dfa *d, int start, goss_str text)
{
    int s = goss_dfa_start(d, start);
    for (uint64_t i = 0; i < text.n; i++) s = goss_dfa_next(d, s, (uint8_t)text.s[i]);
    return goss_dfa_accepts(d, s);
}

static int compile_apart(goss_job *job, const goss_claims *claims, const goss_facts *facts, goss_graph *g,
                         int *start);

/* An automaton of what the facts say besides their lists, NULL: nothing, or the job has failed. */
static goss_dfa *checker(goss_job *job, const goss_facts *facts, goss_graph *g, int *start)
{
    goss_facts unlisted = *facts;
    goss_dfa *d = NULL;
    unlisted.no_lists = 1;
    if (!says_more(job, &unlisted) || compile_apart(job, NULL, &unlisted, g, start)) return NULL;
    const int rc = goss_dfa_open(&d, g);
    if (rc) job->rc = rc;
    return d;
}

static int compile_values(goss_job *job, const goss_facts *facts, int values, int one, int next)
{
    goss_graph g;
    int out = GOSS_NONE, start = 0;
    goss_graph_init(&g);
    goss_graph_count(&g, job->budget);
    goss_dfa *d = checker(job, facts, &g, &start);
    for (int v = one ? values : goss_json_first(job->j, values); v >= 0 && !job->rc;
         v = one ? -1 : goss_json_next(job->j, v)) {
        if (!fits_lists(job, facts, v)) continue;
        const goss_str text = goss_job_written(job, v);
        if (!job->rc && (!d || takes(d, start, text)))
            out = goss_part_either(&job->parts, out, goss_graph_text(job->g, text.s, (size_t)text.n, next));
    }
    goss_dfa_close(&d);
    goss_graph_free(&g);
    return out;
}

/* ---- types --------------------------------------------------------------------------------------------- */
/* The types that are left when values are excluded one by one: arrays and objects as a whole. */
static int types_left(const goss_job *job, const goss_facts *facts)
{
    const goss_json *j = job->j;
    int types = facts->types;
    for (int i = 0; i < facts->n && !facts->no_lists; i++) {
        const goss_fact *f = &facts->at[i];
        const int one = f->kind == GOSS_FACT_NOT && goss_json_is(j, f->key, "const");
        if (!one && !(f->kind == GOSS_FACT_NOT && goss_json_is(j, f->key, "enum"))) continue;
        const int listed = goss_json_next(j, f->key);
        for (int v = one ? listed : goss_json_first(j, listed); v >= 0; v = one ? -1 : goss_json_next(j, v))
            types &= ~(goss_job_kind_bits(job, v) & (GOSS_TYPE_NULL | GOSS_TYPE_ARRAY | GOSS_TYPE_OBJECT));
    }
    return types;
}

static int is_excluded_word(const goss_job *job, const goss_facts *facts, int kind)
{
    const goss_json *j = job->j;
    for (int i = 0; i < facts->n; i++) {
        const goss_fact *f = &facts->at[i];
        if (f->kind != GOSS_FACT_NOT) continue;
        const int listed = goss_json_next(j, f->key);
        if (goss_json_is(j, f->key, "const") && goss_json_kind(j, listed) == kind) return 1;
        for (int v = goss_json_is(j, f->key, "enum") ? goss_json_first(j, listed) : -1; v >= 0;
             v = goss_json_next(j, v))
            if (goss_json_kind(j, v) == kind) return 1;
    }
    return 0;
}

static int compile_words(goss_job *job, const goss_facts *facts, int types, int next)
{
    goss_parts *p = &job->parts;
    int out = types & GOSS_TYPE_NULL ? goss_part_text(p, "null", next) : GOSS_NONE;
    if (!(types & GOSS_TYPE_BOOLEAN)) return out;
    if (!is_excluded_word(job, facts, GOSS_JSON_TRUE))
        out = goss_part_either(p, out, goss_part_text(p, "true", next));
    if (!is_excluded_word(job, facts, GOSS_JSON_FALSE))
        out = goss_part_either(p, out, goss_part_text(p, "false", next));
    return out;
}

static int compile_facts(goss_job *job, const goss_facts *facts, int next)
{
    goss_parts *p = &job->parts;
    int one = 0;
    const int values = facts->no_lists ? -1 : values_of(job, facts, &one);
    if (values >= 0) return compile_values(job, facts, values, one, next);
    if (facts->types == GOSS_TYPE_ANY && !says_more(job, facts))
        return goss_graph_call(job->g, goss_part_value(p), next);
    const int types = types_left(job, facts);
    int out = compile_words(job, facts, types, next);
    if (types & GOSS_TYPE_NUMBER && !job->rc)
        out = goss_part_either(p, out, goss_scalar_number(job, facts, next));
    if (types & GOSS_TYPE_STRING && !job->rc)
        out = goss_part_either(p, out, goss_scalar_string(job, facts, next));
    if (types & GOSS_TYPE_ARRAY && !job->rc)
        out = goss_part_either(p, out, goss_items_compile(job, facts, next));
    if (types & GOSS_TYPE_OBJECT && !job->rc)
        out = goss_part_either(p, out, goss_members_compile(job, facts, next));
    return out;
}

/* ---- claims -------------------------------------------------------------------------------------------- */
static int compile_claims(goss_job *job, const goss_claims *claims, int next)
{
    const goss_alternatives all = goss_expand(job, claims);
    int out = GOSS_NONE;
    for (int i = 0; i < all.n && !job->rc && !job->g->failed; i++)
        out = goss_part_either(&job->parts, out, compile_facts(job, &all.at[i], next));
    return out;
}

/* In one order, without those that say nothing. */
static void normalise(const goss_job *job, goss_claims *c)
{
    int n = 0;
    for (int i = 0; i < c->n; i++) {
        const goss_claim claim = c->at[i];
        const int kind = goss_json_kind(job->j, claim.node);
        if (kind == (claim.not ? GOSS_JSON_FALSE : GOSS_JSON_TRUE)) continue;
        if (kind == GOSS_JSON_OBJECT && !claim.not &&!job->j->nodes[claim.node].n) continue;
        c->at[n++] = claim;
    }
    c->n = n;
}

static int rule_for(goss_job *job, const goss_claims *claims)
{
    compiler *c = (compiler *)(void *)job;
    goss_claims own = *claims;
    normalise(job, &own);
    if (!own.n) return goss_part_value(&job->parts);
    uint32_t h = 2166136261u;
    for (int i = 0; i < own.n; i++) h = (h ^ (uint32_t)(own.at[i].node * 2 + own.at[i].not )) * 16777619u;
    h %= HASH;
    const rule *all = (const rule *)(const void *)c->rules.data;
    for (int r = c->hash[h]; r >= 0; r = all[r].same_hash)
        if (all[r].claims.n == own.n && !memcmp(all[r].claims.at, own.at, (size_t)own.n * sizeof *own.at))
            return all[r].node;
    const int n = (int)(c->rules.len / sizeof *all);
    if (n == MAX_RULES) {
        goss_job_limit(job, own.at[0].node, "more than 20000 different places");
        return 0;
    }
    const rule made = { own, goss_graph_either(job->g, 0, 0), c->hash[h] };
    if (goss_buf_append(&c->rules, &made, sizeof made)) job->rc = GOSS_ENOMEM;
    c->hash[h] = n;
    return made.node;
}

/* ---- plain schemas ------------------------------------------------------------------------------------- */
/* One schema that says a scalar type and has no applicator. */
static int is_plain(const goss_job *job, const goss_claims *c)
{
    static const char *const applicators[] = { "$ref", "anyOf", "oneOf", "allOf", "not", "if" };
    if (c->n != 1 || c->at[0].not ) return 0;
    for (size_t i = 0; i < sizeof applicators / sizeof *applicators; i++)
        if (goss_json_get(job->j, c->at[0].node, applicators[i]) >= 0) return 0;
    return !(goss_job_types_of(job, c->at[0].node) & (GOSS_TYPE_ARRAY | GOSS_TYPE_OBJECT));
}

static int says_something(const goss_job *job, int key)
{
    static const char *const others[] = { "type", "enum", "const", "nullable" };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (goss_json_is(job->j, key, others[i])) return 1;
    return goss_job_constrains(job, key);
}

static uint32_t hash_text(const goss_job *job, int node)
{
    const goss_json_node *n = &job->j->nodes[node];
    uint32_t h = n->end - n->start;
    for (uint32_t i = n->start; i < n->end; i++) h = (h ^ (uint8_t)job->j->text[i]) * 16777619u;
    return h;
}

/* What a plain schema says, whatever the order; *costs: it says more than a type or values. */
static uint32_t hash_plain(const goss_job *job, int node, int *n, int *costs)
{
    const goss_json *j = job->j;
    uint32_t h = 0;
    *n = *costs = 0;
    for (int k = goss_json_first(j, node); k >= 0; k = goss_json_next(j, goss_json_next(j, k))) {
        if (!says_something(job, k)) continue;
        h += hash_text(job, k) * 31 + hash_text(job, goss_json_next(j, k));
        *costs |= goss_job_constrains(job, k);
        ++*n;
    }
    return h;
}

static int same_text(const goss_json *j, int a, int b)
{
    const goss_json_node *x = &j->nodes[a], *y = &j->nodes[b];
    return x->kind == y->kind && x->end - x->start == y->end - y->start &&
           !memcmp(j->text + x->start, j->text + y->start, x->end - x->start);
}

/* Both say n things. */
static int says_the_same(const goss_job *job, int a, int b)
{
    const goss_json *j = job->j;
    for (int k = goss_json_first(j, a); k >= 0; k = goss_json_next(j, goss_json_next(j, k))) {
        const int v = says_something(job, k) ? goss_job_find(job, b, k) : -1;
        if (says_something(job, k) && (v < 0 || !same_text(j, goss_json_next(j, k), v))) return 0;
    }
    return 1;
}

/* The first plain schema that says the same; -1: it is laid out where it stands, since it costs nothing. */
static int first_alike(compiler *c, int node)
{
    int n, costs;
    const uint32_t h = hash_plain(&c->job, node, &n, &costs);
    if (!costs) return -1;
    const plain *all = (const plain *)(const void *)c->plain.data;
    for (int i = c->plain_hash[h % HASH]; i >= 0; i = all[i].same_hash)
        if (all[i].hash == h && all[i].n == n && says_the_same(&c->job, node, all[i].node))
            return all[i].node;
    const plain p = { node, n, h, c->plain_hash[h % HASH] };
    c->plain_hash[h % HASH] = (int)(c->plain.len / sizeof p);
    if (goss_buf_append(&c->plain, &p, sizeof p)) c->job.rc = GOSS_ENOMEM;
    return node;
}

static int compile_value(goss_job *job, const goss_claims *claims, int next)
{
    if (next == GOSS_NONE || job->rc) return GOSS_NONE;
    if (!is_plain(job, claims)) return goss_graph_call(job->g, rule_for(job, claims), next);
    const int alike = first_alike((compiler *)(void *)job, claims->at[0].node);
    goss_claims c = { 0 };
    if (alike < 0) return compile_claims(job, claims, next);
    goss_claims_add(job, &c, alike, 0);
    return goss_graph_call(job->g, rule_for(job, &c), next);
}

/* The rules that wait, and those that they add. */
static void compile_rules(compiler *c)
{
    for (size_t i = 0; i < c->rules.len / sizeof(rule) && !c->job.rc && !c->job.g->failed; i++) {
        const rule r = ((rule *)(void *)c->rules.data)[i];
        int body = compile_claims(&c->job, &r.claims, 0);
        if (body == GOSS_NONE) body = goss_graph_bytes(c->job.g, 1, 0, 0);
        goss_graph_set(c->job.g, r.node, body, body);
    }
}

/* ---- the whole ----------------------------------------------------------------------------------------- */
/* Compiles claims, or (claims NULL) facts, with all rules that they need. */
static int compile_all(compiler *c, const goss_claims *claims, const goss_facts *facts, int *start)
{
    goss_job *job = &c->job;
    job->parts = goss_parts_for(job->g);
    job->n_lengths = 0;
    c->rules = GOSS_BUF(MAX_RULES * sizeof(rule));
    c->plain = GOSS_BUF((size_t)1 << 26);
    memset(c->hash, -1, sizeof c->hash);
    memset(c->plain_hash, -1, sizeof c->plain_hash);
    const int body = claims ? rule_for(job, claims) : compile_facts(job, facts, 0);
    *start = body == GOSS_NONE ? goss_graph_bytes(job->g, 1, 0, 0) : body;
    compile_rules(c);
    goss_buf_free(&c->rules);
    goss_buf_free(&c->plain);
    return job->rc;
}

static int compile_apart(goss_job *job, const goss_claims *claims, const goss_facts *facts, goss_graph *g,
                         int *start)
{
    const int node = claims     ? claims->at[0].node
                     : facts->n ? facts->at[0].node
                                : -1,
              depth = ((compiler *)(void *)job)->apart;
    if (depth == MAX_APART) {
        goss_job_limit(job, node, "lists of values within lists of values");
        return job->rc;
    }
    compiler *c = goss_mem_alloc(sizeof *c);
    if (!c) return job->rc = GOSS_ENOMEM;
    c->job = *job;
    c->job.g = g;
    c->apart = depth + 1;
    compile_all(c, claims, facts, start);
    if (g->failed && !c->job.rc) goss_job_limit(&c->job, node, "it is too large");
    job->blocks = c->job.blocks;
    job->left = c->job.left;
    job->taken = c->job.taken;
    job->text = c->job.text;
    job->rc = c->job.rc;
    goss_mem_free(c);
    return job->rc;
}

static int claims_apart(goss_job *job, const goss_claims *claims, goss_graph *g, int *start)
{
    return compile_apart(job, claims, NULL, g, start);
}

/* Before 2019 what stands beside $ref is ignored. */
static int has_old_refs(const goss_json *j, int root)
{
    goss_buf uri = GOSS_BUF(1 << 16);
    goss_json_string(j, goss_json_get(j, root, "$schema"), &uri);
    const int old = strstr(goss_buf_cstr(&uri), "/draft-0") != NULL;
    goss_buf_free(&uri);
    return old;
}

int goss_schema_compile(goss_graph *g, const goss_json *j, int schema, int root, int *start, goss_error *err)
{
    compiler *c = goss_mem_alloc(sizeof *c);
    if (!c) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for a JSON schema");
    goss_job *job = &c->job;
    *job = (goss_job){ .g = g,
                       .budget = g->budget,
                       .j = j,
                       .root = root,
                       .text = GOSS_BUF(1 << 20),
                       .err = err,
                       .rule = rule_for,
                       .value = compile_value,
                       .apart = claims_apart,
                       .old_refs = has_old_refs(j, root) };
    const int empty = goss_json_kind(j, schema) == GOSS_JSON_OBJECT && !j->nodes[schema].n;
    goss_claims claims = { 0 };
    const goss_facts object = { .types = GOSS_TYPE_OBJECT };
    job->well_formed = goss_job_take(job, j->n_nodes);
    job->targets = goss_job_take(job, j->n_nodes * sizeof *job->targets);
    goss_claims_add(job, &claims, schema, 0);
    compile_all(c, empty ? NULL : &claims, empty ? &object : NULL, start);
    if (!job->rc && g->failed == GOSS_ELIMIT) goss_job_limit(job, schema, "it is too large");
    const int alive = job->rc || g->failed ? GOSS_ENOMEM : goss_cut_dead_ends(g, *start);
    if (!job->rc && alive < 0) job->rc = GOSS_ENOMEM;
    if (!job->rc && goss_budget_late(g->budget)) goss_job_limit(job, schema, "it takes too long");
    if (!job->rc && !alive) goss_job_refuse(job, schema, "it allows nothing");
    if (!job->rc) goss_text_settle(g);
    const int rc = job->rc;
    if (rc == GOSS_ENOMEM) goss_fail(err, rc, -1, "no memory for a JSON schema");
    goss_job_free(job);
    goss_mem_free(c);
    return rc;
}
