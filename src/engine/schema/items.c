/* items.c - see items.h.
 *
 * The state between two items: how many stand (up to `cap`), and how many of them were chosen for each
 * "contains". An item that fulfils one may be chosen or not, so that both ways are followed; only where
 * there is a most must those that are not chosen fail it. */
#include "items.h"

enum { MAX_CONTAINS = 3, MAX_CELLS = 20000, UNBOUNDED = 1 << 24, FEW = 3 };
typedef struct contains {
    int node, not, min, max;
} contains;
typedef struct array {
    goss_job *job;
    const goss_facts *facts;
    int min, max, cap, next;
    contains has[MAX_CONTAINS];
    int n_has;
    int n_counts; /* all counts together */
} array;

/* ---- gathering ----------------------------------------------------------------------------------------- */
/* The list of schemas for the first items; *rest: of those behind them. */
static int prefix_of(const goss_json *j, int node, int *rest)
{
    const int items = goss_json_get(j, node, "items"), prefix = goss_json_get(j, node, "prefixItems");
    const int list = goss_json_kind(j, items) == GOSS_JSON_ARRAY;
    *rest = list ? goss_json_get(j, node, "additionalItems") : items;
    return list ? items : prefix;
}

static int evaluates(const goss_json *j, int node, int i)
{
    int rest;
    const int prefix = prefix_of(j, node, &rest);
    return rest >= 0 || (prefix >= 0 && i < (int)j->nodes[prefix].n);
}

/* unevaluatedItems, where nothing in place of the schema has evaluated the item. What "contains" evaluates
 * is not seen: less may be written then. */
static void unevaluated(const array *a, const goss_fact *f, int i, goss_claims *out)
{
    const goss_json *j = a->job->j;
    const int schema = a->job->old_refs ? -1 : goss_json_get(j, f->node, "unevaluatedItems");
    for (int k = 0; k < a->facts->n && schema >= 0; k++) {
        const goss_fact *other = &a->facts->at[k];
        if (other->kind != GOSS_FACT_KEYWORDS || !goss_fact_speaks_for(other, f)) continue;
        if (evaluates(j, other->node, i) ||
            (other != f && goss_json_get(j, other->node, "unevaluatedItems") >= 0))
            return;
    }
    if (schema >= 0) goss_claims_add(a->job, out, schema, 0);
}

static void claims_at(const array *a, int i, goss_claims *out)
{
    const goss_json *j = a->job->j;
    for (int k = 0; k < a->facts->n; k++) {
        const goss_fact *f = &a->facts->at[k];
        if (f->kind == GOSS_FACT_ITEMS) goss_claims_add(a->job, out, f->node, f->not );
        if (f->kind != GOSS_FACT_KEYWORDS) continue;
        int rest;
        const int prefix = prefix_of(j, f->node, &rest),
                  at = prefix < 0 ? -1 : goss_json_at(j, prefix, (uint32_t)i);
        if (at >= 0) goss_claims_add(a->job, out, at, 0);
        else if (rest >= 0) goss_claims_add(a->job, out, rest, 0);
        unevaluated(a, f, i, out);
    }
}

static void add_contains(array *a, int node, int not, int min, int max)
{
    if (!min && max == UNBOUNDED) return;
    if (a->n_has == MAX_CONTAINS) goss_job_limit(a->job, node, "more than 3 contains in one place");
    else a->has[a->n_has++] = (contains){ node, not, min, max };
}

static void gather(array *a, int *longest)
{
    const goss_json *j = a->job->j;
    for (int k = 0; k < a->facts->n && !a->job->rc; k++) {
        const goss_fact *f = &a->facts->at[k];
        const int least = goss_json_get(j, f->node, "minItems"), most = goss_json_get(j, f->node, "maxItems");
        int min = 0, max = UNBOUNDED, rest;
        if (f->kind == GOSS_FACT_CONTAINS) add_contains(a, f->node, f->not, 1, UNBOUNDED);
        else if (f->kind == GOSS_FACT_KEYWORDS) {
            const int has = goss_json_get(j, f->node, "contains"), prefix = prefix_of(j, f->node, &rest);
            min = (int)goss_job_count(a->job, least, 0);
            max = (int)goss_job_count(a->job, most, UNBOUNDED);
            if (prefix >= 0 && (int)j->nodes[prefix].n > *longest) *longest = (int)j->nodes[prefix].n;
            if (has >= 0)
                add_contains(
                    a, has, 0, (int)goss_job_count(a->job, goss_json_get(j, f->node, "minContains"), 1),
                    (int)goss_job_count(a->job, goss_json_get(j, f->node, "maxContains"), UNBOUNDED));
        } else if (f->kind == GOSS_FACT_NOT && goss_json_is(j, f->key, "minItems"))
            max = (int)goss_job_count(a->job, least, 0) - 1;
        else if (f->kind == GOSS_FACT_NOT && goss_json_is(j, f->key, "maxItems"))
            min = (int)goss_job_count(a->job, most, 0) + 1;
        if (min > a->min) a->min = min;
        if (max < a->max) a->max = max;
    }
}

static int impossible(const goss_job *job, const goss_claims *c)
{
    for (int i = 0; i < c->n; i++)
        if (goss_json_kind(job->j, c->at[i].node) == (c->at[i].not ? GOSS_JSON_TRUE : GOSS_JSON_FALSE))
            return 1;
    return 0;
}

static int unique(const array *a)
{
    for (int k = 0; k < a->facts->n; k++)
        if (a->facts->at[k].kind == GOSS_FACT_KEYWORDS &&
            goss_json_bool(a->job->j, goss_json_get(a->job->j, a->facts->at[k].node, "uniqueItems"), 0))
            return a->facts->at[k].node;
    return -1;
}

/* ---- states -------------------------------------------------------------------------------------------- */
static int top(const contains *h) { return h->max < UNBOUNDED ? h->max : h->min; }

/* The counts behind an item that was chosen for the contains in `chosen`; -1: one has too many. */
static int counts_after(const array *a, int counts, int chosen)
{
    int out = 0, unit = 1;
    for (int k = 0; k < a->n_has; k++) {
        const int most = top(&a->has[k]), n = counts / unit % (most + 1);
        const int to = chosen >> k & 1 ? n + 1 : n;
        if (to > most && a->has[k].max < UNBOUNDED) return -1;
        out += (to > most ? most : to) * unit;
        unit *= most + 1;
    }
    return out;
}

static int may_end(const array *a, int i, int counts)
{
    for (int k = 0; k < a->n_has; k++) {
        const int most = top(&a->has[k]);
        if (counts % (most + 1) < a->has[k].min) return 0;
        counts /= most + 1;
    }
    return i >= a->min;
}

static int item(array *a, int i, int chosen, int next)
{
    goss_claims c = { 0 };
    claims_at(a, i, &c);
    for (int k = 0; k < a->n_has; k++)
        if (chosen >> k & 1) goss_claims_add(a->job, &c, a->has[k].node, a->has[k].not );
        else if (a->has[k].max < UNBOUNDED) goss_claims_add(a->job, &c, a->has[k].node, !a->has[k].not );
    if (impossible(a->job, &c)) return GOSS_NONE;
    goss_parts *p = &a->job->parts;
    return goss_part_space(p, a->cap > FEW ? goss_graph_call(p->g, a->job->rule(a->job, &c), next)
                                           : a->job->value(a->job, &c, next));
}

/* What follows i items; `row`: the nodes behind one more. */
static int state(array *a, int i, int counts, const int *row)
{
    goss_parts *p = &a->job->parts;
    int out = GOSS_NONE;
    for (int chosen = 0; chosen < 1 << a->n_has && i < a->max; chosen++) {
        const int to = counts_after(a, counts, chosen);
        if (to >= 0 && row[to] != GOSS_NONE) out = goss_part_either(p, out, item(a, i, chosen, row[to]));
    }
    if (i) out = goss_part_text(p, ",", out);
    return may_end(a, i, counts)
               ? goss_part_either(p, goss_part_space(p, goss_part_text(p, "]", a->next)), out)
               : out;
}

/* From the last row, which leads to itself where there is no most, to the first. */
static int states(array *a)
{
    int *row = goss_job_take(a->job, (size_t)a->n_counts * sizeof *row),
        *before = goss_job_take(a->job, (size_t)a->n_counts * sizeof *before);
    if (!row || !before) return GOSS_NONE;
    for (int c = 0; c < a->n_counts; c++)
        row[c] = a->max < UNBOUNDED ? GOSS_NONE : goss_graph_either(a->job->g, 0, 0);
    for (int c = 0; c < a->n_counts && a->max == UNBOUNDED; c++) {
        int out = state(a, a->cap, c, row);
        if (out == GOSS_NONE) out = goss_graph_bytes(a->job->g, 1, 0, 0);
        goss_graph_set(a->job->g, row[c], out, out);
    }
    for (int i = a->max < UNBOUNDED ? a->max : a->cap - 1; i >= 0 && !a->job->rc; i--) {
        for (int c = 0; c < a->n_counts; c++) before[c] = state(a, i, c, row);
        int *swap = row;
        row = before;
        before = swap;
    }
    return goss_part_text(&a->job->parts, "[", row[0]);
}

int goss_items_compile(goss_job *job, const goss_facts *facts, int next)
{
    array a = { .job = job, .facts = facts, .max = UNBOUNDED, .next = next, .n_counts = 1 };
    int longest = 0;
    gather(&a, &longest);
    if (a.max < a.min || next == GOSS_NONE) return GOSS_NONE;
    goss_claims beyond = { 0 }; /* what is said of all items behind the prefixes */
    claims_at(&a, longest, &beyond);
    if (impossible(job, &beyond) && a.max > longest) a.max = longest;
    a.cap = a.min > longest ? a.min : longest;
    if (a.cap < 1) a.cap = 1;
    for (int k = 0; k < a.n_has; k++) a.n_counts *= top(&a.has[k]) + 1;
    const int last = a.max < UNBOUNDED ? a.max : a.cap, only = unique(&a);
    if ((int64_t)(last + 1) * a.n_counts > MAX_CELLS)
        return goss_job_limit(job, facts->at[0].node, "minItems, maxItems or contains is too large");
    if (only >= 0 && a.max > 1) return goss_job_refuse(job, only, "uniqueItems of more than one item");
    if (a.max < UNBOUNDED && a.max > a.cap) a.cap = a.max;
    return a.max < a.min ? GOSS_NONE : states(&a);
}
