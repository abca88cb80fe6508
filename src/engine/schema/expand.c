/* expand.c - see expand.h. A depth-first walk: tasks are a list that branches share, facts a list that
 * grows at its end. Where a task has options, each is followed with the same rest. */
#include "expand.h"
#include "refs.h"
#include <string.h>

enum { MAX_ALTERNATIVES = 1000, MAX_STEPS = 200000, MAX_BRANCHES = 200, MAX_TRAIL = 200, MAX_PAIRS = 8 };
enum { CLAIM, FACT, TYPES, ANY_OF, ONE_OF, IF, DEPENDS };
enum { LOOSE, NARROW, EXACT }; /* how oneOf is taken */
typedef goss_trail trail;
typedef struct task {
    int what;
    goss_fact f;
    const trail *via;
    const struct task *rest;
} task;
typedef struct facts {
    goss_fact f;
    const struct facts *before;
} facts;
typedef struct done {
    goss_claim c;
    const struct done *before;
} done;
/* a branch of the walk */
typedef struct branch {
    const task *tasks;
    const facts *facts;
    const done *done;
    int types, depth;
} branch;
typedef struct walk {
    goss_job *job;
    goss_facts *found;
    int n, room;
    int steps, exact, over;
} walk;

static void run(walk *w, branch b);

static const task *put(walk *w, int what, goss_fact f, const trail *via, const task *rest)
{
    task *t = goss_job_take(w->job, sizeof *t);
    if (!t) return rest;
    *t = (task){ what, f, via, rest };
    return t;
}

static const task *claim(walk *w, int node, int not, const trail *via, const task *rest)
{
    return put(w, CLAIM, (goss_fact){ .node = node, .not = not }, via, rest);
}
static const task *fact(walk *w, int kind, int node, int not, int key, const task *rest)
{
    return put(w, FACT, (goss_fact){ kind, node, not, key, NULL }, NULL, rest);
}
/* All of a schema's own keywords hold. */
static const task *keywords_of(walk *w, int node, const trail *via, const task *rest)
{
    return put(w, FACT, (goss_fact){ GOSS_FACT_KEYWORDS, node, 0, -1, via }, via, rest);
}
static const task *types(walk *w, int bits, const task *rest)
{
    return put(w, TYPES, (goss_fact){ .node = bits }, NULL, rest);
}

/* ---- branches that can't hold together ----------------------------------------------------------------- */
static int resolved(goss_job *job, int node)
{
    for (int i = 0; i < 8; i++) {
        const int ref = goss_json_get(job->j, node, "$ref"), to = ref < 0 ? -1 : goss_refs_target(job, ref);
        if (to < 0) return node;
        node = to;
    }
    return node;
}

/* The values that a schema lists: an array, or one value (*single); -1: it lists none. */
static int listed(const goss_job *job, int node, int *single)
{
    const int list = goss_json_get(job->j, node, "enum"), one = goss_json_get(job->j, node, "const");
    *single = one >= 0;
    return one >= 0 ? one : list;
}

static int types_said(const goss_job *job, int node)
{
    int single, bits = 0;
    const int values = listed(job, node, &single), said = goss_job_types_of(job, node);
    if (values < 0) return said;
    if (single) return said & goss_job_kind_bits(job, values);
    for (int v = goss_json_first(job->j, values); v >= 0; v = goss_json_next(job->j, v))
        bits |= goss_job_kind_bits(job, v);
    return said & bits;
}

static int lists_value(const goss_job *job, int values, int single, int v)
{
    if (single) return goss_job_equal(job, values, v);
    for (int x = goss_json_first(job->j, values); x >= 0; x = goss_json_next(job->j, x))
        if (goss_job_equal(job, x, v)) return 1;
    return 0;
}

static int no_common_value(const goss_job *job, int a, int b)
{
    int one_a, one_b;
    const int x = listed(job, a, &one_a), y = listed(job, b, &one_b);
    if (x < 0 || y < 0) return 0;
    if (one_a) return !lists_value(job, y, one_b, x);
    for (int v = goss_json_first(job->j, x); v >= 0; v = goss_json_next(job->j, v))
        if (lists_value(job, y, one_b, v)) return 0;
    return 1;
}

/* b can't have a member that a must have. */
static int must_and_may_not(const goss_job *job, int a, int b)
{
    const int props = goss_json_get(job->j, b, "properties"), must = goss_json_get(job->j, a, "required");
    if (goss_json_kind(job->j, goss_json_get(job->j, b, "additionalProperties")) != GOSS_JSON_FALSE ||
        goss_json_get(job->j, b, "patternProperties") >= 0)
        return 0;
    for (int r = goss_json_first(job->j, must); r >= 0; r = goss_json_next(job->j, r))
        if (goss_job_find(job, props, r) < 0) return 1;
    return 0;
}

/* Types apart, values apart, or objects in which a member that both require is told apart so. */
static int apart(goss_job *job, int a, int b, int types, int depth)
{
    a = resolved(job, a);
    b = resolved(job, b);
    if (goss_json_kind(job->j, a) != GOSS_JSON_OBJECT || goss_json_kind(job->j, b) != GOSS_JSON_OBJECT)
        return 0;
    const int both = types & types_said(job, a) & types_said(job, b);
    if (!both || no_common_value(job, a, b)) return 1;
    if (both != GOSS_TYPE_OBJECT || depth == 4) return 0;
    if (must_and_may_not(job, a, b) || must_and_may_not(job, b, a)) return 1;
    const int x = goss_json_get(job->j, a, "properties"), y = goss_json_get(job->j, b, "properties");
    for (int k = goss_json_first(job->j, x); k >= 0; k = goss_json_next(job->j, goss_json_next(job->j, k))) {
        const int other = goss_job_find(job, y, k);
        if (other >= 0 && goss_job_lists(job, goss_json_get(job->j, a, "required"), k) &&
            goss_job_lists(job, goss_json_get(job->j, b, "required"), k) &&
            apart(job, goss_json_next(job->j, k), other, GOSS_TYPE_ANY, depth + 1))
            return 1;
    }
    return 0;
}

/* ---- applicators --------------------------------------------------------------------------------------- */
static void follow(walk *w, branch b, const task *tasks)
{
    b.tasks = tasks;
    b.depth++;
    run(w, b);
}

static void any_of(walk *w, const branch *b, int list, const trail *via)
{
    for (int s = goss_json_first(w->job->j, list); s >= 0; s = goss_json_next(w->job->j, s))
        follow(w, *b, claim(w, s, 0, via, b->tasks));
}

/* A member that `other` requires and `own` had better not have: without it `other` can't hold. -1: none. */
static int telling_member(goss_job *job, int own, int other)
{
    const goss_json *j = job->j;
    own = resolved(job, own);
    other = resolved(job, other);
    const int required = goss_json_get(j, own, "required"), props = goss_json_get(j, own, "properties");
    for (int pass = 0; pass < 2; pass++)
        for (int r = goss_json_first(j, goss_json_get(j, other, "required")); r >= 0;
             r = goss_json_next(j, r))
            if (!goss_job_lists(job, required, r) && (pass || goss_job_find(job, props, r) < 0)) return r;
    return -1;
}

/* What it takes for `other` not to hold besides `own`: all ways, or (NARROW) one way that needs no
 * options. */
static const task *without(walk *w, const branch *b, int own, int other, const trail *via, const task *rest)
{
    if (apart(w->job, own, other, b->types, 0)) return rest;
    const int narrow =
        w->exact == NARROW && (b->types & types_said(w->job, resolved(w->job, other))) == GOSS_TYPE_OBJECT;
    const int name = narrow ? telling_member(w->job, own, other) : -1;
    return name >= 0 ? fact(w, GOSS_FACT_FORBID, -1, 0, name, rest) : claim(w, other, 1, via, rest);
}

static void one_of(walk *w, const branch *b, int list, const trail *via)
{
    const goss_json *j = w->job->j;
    for (int s = goss_json_first(j, list); s >= 0; s = goss_json_next(j, s)) {
        const task *t = b->tasks;
        for (int o = w->exact != LOOSE ? goss_json_first(j, list) : -1; o >= 0; o = goss_json_next(j, o))
            if (o != s) t = without(w, b, s, o, via, t);
        follow(w, *b, claim(w, s, 0, via, t));
    }
}

static void if_then(walk *w, const branch *b, int node, const trail *via)
{
    const int cond = goss_json_get(w->job->j, node, "if"), yes = goss_json_get(w->job->j, node, "then"),
              no = goss_json_get(w->job->j, node, "else");
    follow(w, *b, claim(w, cond, 0, via, yes < 0 ? b->tasks : claim(w, yes, 0, via, b->tasks)));
    follow(w, *b, claim(w, cond, 1, via, no < 0 ? b->tasks : claim(w, no, 0, via, b->tasks)));
}

/* Without the member, or with it and what it wants. */
static void depends(walk *w, const branch *b, int name, int wants, const trail *via)
{
    const goss_json *j = w->job->j;
    follow(w, *b, fact(w, GOSS_FACT_FORBID, -1, 0, name, b->tasks));
    const task *t = b->tasks;
    if (goss_json_kind(j, wants) != GOSS_JSON_ARRAY) t = claim(w, wants, 0, via, t);
    else
        for (int r = goss_json_first(j, wants); r >= 0; r = goss_json_next(j, r))
            t = fact(w, GOSS_FACT_REQUIRE, -1, 0, r, t);
    follow(w, *b, types(w, GOSS_TYPE_OBJECT, fact(w, GOSS_FACT_REQUIRE, -1, 0, name, t)));
}

/* The tasks of a schema's applicators, in the order of its text, before `rest`. Its other keywords stand
 * where its properties do. */
static const task *applicators(walk *w, int node, const trail *via, const task *rest)
{
    const goss_json *j = w->job->j;
    enum { MOST = 64 };
    int keys[MOST], n = 0, ref = -1, placed = 0;
    for (int k = goss_json_first(j, node); k >= 0; k = goss_json_next(j, goss_json_next(j, k))) {
        static const char *const names[] = { "$ref",
                                             "allOf",
                                             "anyOf",
                                             "oneOf",
                                             "not",
                                             "if",
                                             "properties",
                                             "dependentRequired",
                                             "dependentSchemas",
                                             "dependencies" };
        if (goss_json_is(j, k, "$ref")) ref = k;
        for (size_t i = 0; i < sizeof names / sizeof *names && n < MOST; i++)
            if (goss_json_is(j, k, names[i])) keys[n++] = k;
    }
    if (ref >= 0 && w->job->old_refs) {
        keys[0] = ref;
        n = placed = 1;
    }
    for (int i = n - 1; i >= 0; i--) {
        const int v = goss_json_next(j, keys[i]);
        if (goss_json_is(j, keys[i], "properties")) {
            rest = keywords_of(w, node, via, rest);
            placed = 1;
        } else if (goss_json_is(j, keys[i], "$ref")) {
            const int to = goss_refs_target(w->job, v);
            if (to < 0) {
                goss_job_refuse(w->job, v, "a $ref that leads nowhere in this schema");
                return rest;
            }
            rest = claim(w, to, 0, via, rest);
        } else if (goss_json_is(j, keys[i], "not")) rest = claim(w, v, 1, via, rest);
        else if (goss_json_is(j, keys[i], "if") && goss_json_get(j, node, "then") < 0 &&
                 goss_json_get(j, node, "else") < 0)
            continue;
        else if (goss_json_is(j, keys[i], "if")) rest = put(w, IF, (goss_fact){ .node = node }, via, rest);
        else if (goss_json_is(j, keys[i], "anyOf") || goss_json_is(j, keys[i], "oneOf"))
            rest = put(w, goss_json_is(j, keys[i], "anyOf") ? ANY_OF : ONE_OF, (goss_fact){ .node = v }, via,
                       rest);
        else if (goss_json_is(j, keys[i], "allOf")) {
            const task *all = rest; /* in order: the last is put first */
            for (int s = (int)j->nodes[v].n - 1; s >= 0; s--)
                all = claim(w, goss_json_at(j, v, (uint32_t)s), 0, via, all);
            rest = all;
        } else
            for (int d = goss_json_first(j, v); d >= 0; d = goss_json_next(j, goss_json_next(j, d)))
                rest = put(w, DEPENDS, (goss_fact){ .key = d, .node = goss_json_next(j, d) }, via, rest);
    }
    return placed ? rest : keywords_of(w, node, via, rest);
}

/* ---- opposites ----------------------------------------------------------------------------------------- */
static void not_one_of(walk *w, const branch *b, int list, const trail *via)
{
    const goss_json *j = w->job->j;
    const task *none = b->tasks;
    for (int s = goss_json_first(j, list); s >= 0; s = goss_json_next(j, s)) none = claim(w, s, 1, via, none);
    follow(w, *b, none);
    for (int s = goss_json_first(j, list); s >= 0 && j->nodes[list].n <= MAX_PAIRS; s = goss_json_next(j, s))
        for (int o = goss_json_next(j, s); o >= 0; o = goss_json_next(j, o))
            follow(w, *b, claim(w, s, 0, via, claim(w, o, 0, via, b->tasks)));
}

static void not_if(walk *w, const branch *b, int node, const trail *via)
{
    const int cond = goss_json_get(w->job->j, node, "if"), yes = goss_json_get(w->job->j, node, "then"),
              no = goss_json_get(w->job->j, node, "else");
    if (yes >= 0) follow(w, *b, claim(w, cond, 0, via, claim(w, yes, 1, via, b->tasks)));
    if (no >= 0) follow(w, *b, claim(w, cond, 1, via, claim(w, no, 1, via, b->tasks)));
}

static void not_depends(walk *w, const branch *b, int map, const trail *via)
{
    const goss_json *j = w->job->j;
    for (int d = goss_json_first(j, map); d >= 0; d = goss_json_next(j, goss_json_next(j, d))) {
        const int wants = goss_json_next(j, d);
        const task *with = types(w, GOSS_TYPE_OBJECT, fact(w, GOSS_FACT_REQUIRE, -1, 0, d, b->tasks));
        if (goss_json_kind(j, wants) != GOSS_JSON_ARRAY) follow(w, *b, claim(w, wants, 1, via, with));
        else
            for (int r = goss_json_first(j, wants); r >= 0; r = goss_json_next(j, r))
                follow(w, *b, fact(w, GOSS_FACT_FORBID, -1, 0, r, with));
    }
}

static void not_members(walk *w, const branch *b, int key)
{
    const goss_json *j = w->job->j;
    const int v = goss_json_next(j, key), required = goss_json_is(j, key, "required");
    for (int m = goss_json_first(j, v); m >= 0;) {
        const task *t = b->tasks;
        if (required) t = fact(w, GOSS_FACT_FORBID, -1, 0, m, t);
        else
            t = fact(w, GOSS_FACT_REQUIRE, -1, 0, m,
                     fact(w, GOSS_FACT_MEMBER, goss_json_next(j, m), 1, m, t));
        follow(w, *b, types(w, GOSS_TYPE_OBJECT, t));
        m = goss_json_next(j, required ? m : goss_json_next(j, m));
    }
}

static int types_of_keyword(const goss_json *j, int key)
{
    static const struct {
        const char *name;
        int types;
    } of[] = { { "minLength", GOSS_TYPE_STRING },
               { "maxLength", GOSS_TYPE_STRING },
               { "pattern", GOSS_TYPE_STRING },
               { "format", GOSS_TYPE_STRING },
               { "minimum", GOSS_TYPE_NUMBER },
               { "maximum", GOSS_TYPE_NUMBER },
               { "exclusiveMinimum", GOSS_TYPE_NUMBER },
               { "exclusiveMaximum", GOSS_TYPE_NUMBER },
               { "multipleOf", GOSS_TYPE_NUMBER },
               { "minItems", GOSS_TYPE_ARRAY },
               { "maxItems", GOSS_TYPE_ARRAY },
               { "minProperties", GOSS_TYPE_OBJECT },
               { "maxProperties", GOSS_TYPE_OBJECT },
               { "enum", GOSS_TYPE_ANY },
               { "const", GOSS_TYPE_ANY } };
    for (size_t i = 0; i < sizeof of / sizeof *of; i++)
        if (goss_json_is(j, key, of[i].name)) return of[i].types;
    return 0;
}

/* Follows the ways in which one keyword may fail to hold. 0: they can't be said. */
static int not_keyword(walk *w, const branch *b, int node, int key, const trail *via)
{
    const goss_json *j = w->job->j;
    const int v = goss_json_next(j, key), bits = types_of_keyword(j, key);
    static const char *const beyond[] = { "uniqueItems", "prefixItems", "additionalItems", "minContains",
                                          "maxContains" };
    for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++)
        if (goss_json_is(j, key, beyond[i])) return 0;
    if (bits) follow(w, *b, types(w, bits, fact(w, GOSS_FACT_NOT, node, 0, key, b->tasks)));
    else if (goss_json_is(j, key, "type"))
        follow(w, *b, types(w, GOSS_TYPE_ANY & ~goss_job_types_of(w->job, node), b->tasks));
    else if (goss_json_is(j, key, "$ref")) {
        const int to = goss_refs_target(w->job, v);
        if (to < 0) goss_job_refuse(w->job, v, "a $ref that leads nowhere in this schema");
        else follow(w, *b, claim(w, to, 1, via, b->tasks));
    } else if (goss_json_is(j, key, "allOf"))
        for (int s = goss_json_first(j, v); s >= 0; s = goss_json_next(j, s))
            follow(w, *b, claim(w, s, 1, via, b->tasks));
    else if (goss_json_is(j, key, "anyOf")) {
        const task *t = b->tasks;
        for (int s = goss_json_first(j, v); s >= 0; s = goss_json_next(j, s)) t = claim(w, s, 1, via, t);
        follow(w, *b, t);
    } else if (goss_json_is(j, key, "oneOf")) not_one_of(w, b, v, via);
    else if (goss_json_is(j, key, "not")) follow(w, *b, claim(w, v, 0, via, b->tasks));
    else if (goss_json_is(j, key, "if")) not_if(w, b, node, via);
    else if (goss_json_is(j, key, "properties") || goss_json_is(j, key, "required")) not_members(w, b, key);
    else if (goss_json_is(j, key, "patternProperties"))
        for (int k = goss_json_first(j, v); k >= 0; k = goss_json_next(j, goss_json_next(j, k)))
            follow(w, *b,
                   types(w, GOSS_TYPE_OBJECT,
                         fact(w, GOSS_FACT_HAS_MATCHING, goss_json_next(j, k), 1, k, b->tasks)));
    else if (goss_json_is(j, key, "additionalProperties"))
        follow(w, *b, types(w, GOSS_TYPE_OBJECT, fact(w, GOSS_FACT_HAS_OTHER, node, 0, -1, b->tasks)));
    else if (goss_json_is(j, key, "propertyNames"))
        follow(w, *b, types(w, GOSS_TYPE_OBJECT, fact(w, GOSS_FACT_HAS_NAME, v, 0, -1, b->tasks)));
    else if (goss_json_is(j, key, "dependentSchemas") || goss_json_is(j, key, "dependentRequired") ||
             goss_json_is(j, key, "dependencies"))
        not_depends(w, b, v, via);
    else if (goss_json_is(j, key, "items")) {
        if (goss_json_kind(j, v) == GOSS_JSON_ARRAY || goss_json_get(j, node, "prefixItems") >= 0) return 0;
        follow(w, *b, types(w, GOSS_TYPE_ARRAY, fact(w, GOSS_FACT_CONTAINS, v, 1, -1, b->tasks)));
    } else if (goss_json_is(j, key, "contains")) {
        if (goss_json_get(j, node, "minContains") >= 0 || goss_json_get(j, node, "maxContains") >= 0)
            return 0;
        follow(w, *b, types(w, GOSS_TYPE_ARRAY, fact(w, GOSS_FACT_ITEMS, v, 1, -1, b->tasks)));
    }
    return 1;
}

static void opposite(walk *w, const branch *b, int node, const trail *via)
{
    const goss_json *j = w->job->j;
    int said = 0, unsaid = -1;
    const int ref = w->job->old_refs ? goss_json_get(j, node, "$ref") : -1;
    for (int k = goss_json_first(j, node); k >= 0 && !w->over; k = goss_json_next(j, goss_json_next(j, k))) {
        if (ref >= 0 && goss_json_next(j, k) != ref) continue;
        if (not_keyword(w, b, node, k, via)) said++;
        else unsaid = k;
    }
    if (!said && unsaid >= 0) goss_job_refuse(w->job, unsaid, "the opposite of this keyword");
}

/* ---- the walk ------------------------------------------------------------------------------------------ */
static void found(walk *w, const branch *b)
{
    if (w->n == MAX_ALTERNATIVES) {
        w->over = 1;
        return;
    }
    if (w->n == w->room) {
        const int room = w->room ? 2 * w->room : 4;
        goss_facts *at = goss_job_take(w->job, (size_t)room * sizeof *at);
        if (!at) return;
        if (w->n) memcpy(at, w->found, (size_t)w->n * sizeof *at);
        w->found = at;
        w->room = room;
    }
    goss_facts *out = &w->found[w->n];
    *out = (goss_facts){ .types = b->types };
    for (const facts *f = b->facts; f; f = f->before) out->n++;
    out->at = goss_job_take(w->job, (size_t)(out->n + 1) * sizeof *out->at);
    if (!out->at) return;
    int i = out->n;
    for (const facts *f = b->facts; f; f = f->before) out->at[--i] = f->f;
    w->n++;
}

static void add_fact(walk *w, branch *b, goss_fact f)
{
    facts *more = goss_job_take(w->job, sizeof *more);
    if (!more) return;
    *more = (facts){ f, b->facts };
    b->facts = more;
}

/* A claim: already made (nothing to do), contradicted or about itself (0), or to be spread out. */
static int take_claim(walk *w, branch *b, const task *t)
{
    const goss_json *j = w->job->j;
    const int node = t->f.node, not = t->f.not, kind = goss_json_kind(j, node);
    for (const trail *up = t->via; up; up = up->up)
        if (up->node == node && up->not == not ) return 0;
    for (const done *d = b->done; d; d = d->before)
        if (d->c.node == node) return d->c.not == not ;
    if (!goss_job_well_formed(w->job, node)) return 0;
    if (kind != GOSS_JSON_OBJECT) return (kind == GOSS_JSON_TRUE) == !not ;
    done *more = goss_job_take(w->job, sizeof *more);
    trail *via = goss_job_take(w->job, sizeof *via);
    if (!more || !via) return 0;
    *more = (done){ { node, not }, b->done };
    *via = (trail){ node, not, t->via ? t->via->depth + 1 : 0, t->via };
    if (via->depth > MAX_TRAIL)
        return goss_job_limit(w->job, node, "references and applicators more than 200 deep"), 0;
    b->done = more;
    if (!not ) {
        if (!w->job->old_refs || goss_json_get(j, node, "$ref") < 0) b->types &= types_said(w->job, node);
        b->tasks = applicators(w, node, via, b->tasks);
        return 1;
    }
    opposite(w, b, node, via);
    return 0; /* its options were followed */
}

static void run(walk *w, branch b)
{
    if (b.depth > MAX_BRANCHES) w->over = 1;
    while (b.tasks && b.types && !w->over && !w->job->rc) {
        const task *t = b.tasks;
        if (++w->steps > MAX_STEPS) w->over = 1;
        b.tasks = t->rest;
        switch (t->what) {
        case CLAIM:
            if (!take_claim(w, &b, t)) return;
            break;
        case FACT: add_fact(w, &b, t->f); break;
        case TYPES: b.types &= t->f.node; break;
        case ANY_OF: any_of(w, &b, t->f.node, t->via); return;
        case ONE_OF: one_of(w, &b, t->f.node, t->via); return;
        case IF: if_then(w, &b, t->f.node, t->via); return;
        default: depends(w, &b, t->f.key, t->f.node, t->via); return;
        }
    }
    if (b.types && !w->over && !w->job->rc) found(w, &b);
}

int goss_fact_speaks_for(const goss_fact *other, const goss_fact *schema)
{
    for (const trail *t = other->via; t && !t->not ; t = t->up)
        if (t->node == schema->node) return 1;
    return 0;
}

goss_alternatives goss_expand(goss_job *job, const goss_claims *claims)
{
    walk w = { .job = job, .exact = EXACT };
    for (; w.exact >= LOOSE; w.exact--) {
        branch b = { .types = GOSS_TYPE_ANY };
        w.n = w.steps = w.over = 0;
        for (int i = claims->n - 1; i >= 0; i--)
            b.tasks = claim(&w, claims->at[i].node, claims->at[i].not, NULL, b.tasks);
        run(&w, b);
        if (!w.over || job->rc) break;
    }
    if (w.over && !job->rc)
        goss_job_limit(job, claims->n ? claims->at[0].node : -1,
                       "its alternatives are more than 1000 when spread out");
    return (goss_alternatives){ w.found, job->rc ? 0 : w.n };
}
