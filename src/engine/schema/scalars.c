/* scalars.c - see scalars.h: facts gathered for bounds.c and strings.c. */
#include "scalars.h"
#include "bounds.h"
#include "formats.h"
#include "strings.h"
#include <string.h>

/* ---- numbers ------------------------------------------------------------------------------------------- */
static goss_str number_text(const goss_job *job, int node)
{
    const goss_json_node *x = &job->j->nodes[node];
    return (goss_str){ job->j->text + x->start, x->end - x->start };
}

static void compare(goss_job *job, goss_number_rules *r, int node, int allowed, int not )
{
    if (r->n_compares == GOSS_MAX_COMPARES) {
        goss_job_limit(job, node, "more than 8 bounds of one number");
        return;
    }
    const goss_str t = number_text(job, node);
    if (!goss_decimal_read(&r->compare[r->n_compares].to, t.s, (size_t)t.n))
        goss_job_limit(job, node, "a number has more than 400 digits");
    r->compare[r->n_compares++].allowed = not ? 7 - allowed : allowed;
}

static void multiple(goss_job *job, goss_number_rules *r, int node, int not )
{
    if (r->n_multiples == GOSS_MAX_MULTIPLES) {
        goss_job_limit(job, node, "more than 6 multipleOf of one number");
        return;
    }
    const goss_str t = number_text(job, node);
    if (!goss_decimal_read(&r->multiple[r->n_multiples].of, t.s, (size_t)t.n))
        goss_job_limit(job, node, "a number has more than 400 digits");
    r->multiple[r->n_multiples++].not = not ;
}

/* One keyword of `node` that is about numbers. In draft 4 exclusiveMinimum is a flag beside minimum. */
static void number_keyword(goss_job *job, goss_number_rules *r, int node, int key, int not )
{
    static const struct {
        const char *name, *flag;
        int allowed;
    } bounds[] = { { "minimum", "exclusiveMinimum", GOSS_SAME | GOSS_MORE },
                   { "exclusiveMinimum", NULL, GOSS_MORE },
                   { "maximum", "exclusiveMaximum", GOSS_SAME | GOSS_LESS },
                   { "exclusiveMaximum", NULL, GOSS_LESS } };
    const goss_json *j = job->j;
    const int v = goss_json_next(j, key);
    if (goss_json_is(j, key, "multipleOf")) {
        multiple(job, r, v, not );
        return;
    }
    for (int i = 0; i < 4; i++) {
        if (!goss_json_is(j, key, bounds[i].name)) continue;
        const int flag = bounds[i].flag ? goss_json_get(j, node, bounds[i].flag) : -1;
        const int strict = goss_json_kind(j, flag) == GOSS_JSON_TRUE;
        if (goss_json_kind(j, v) == GOSS_JSON_NUMBER)
            compare(job, r, v, strict ? bounds[i].allowed & ~GOSS_SAME : bounds[i].allowed, not );
        else if (not ||
                 (goss_json_kind(j, v) == GOSS_JSON_TRUE && goss_json_get(j, node, bounds[i - 1].name) < 0))
            goss_job_refuse(job, v, "a flag where a bound is wanted");
    }
}

/* No value of a list, or not the one. */
static void unlike(goss_job *job, goss_number_rules *r, int key)
{
    const goss_json *j = job->j;
    const int v = goss_json_next(j, key);
    if (goss_json_is(j, key, "const")) {
        if (goss_json_kind(j, v) == GOSS_JSON_NUMBER) compare(job, r, v, GOSS_SAME, 1);
        return;
    }
    for (int x = goss_json_first(j, v); x >= 0; x = goss_json_next(j, x))
        if (goss_json_kind(j, x) == GOSS_JSON_NUMBER) compare(job, r, x, GOSS_SAME, 1);
}

static int is_list(const goss_job *job, int key)
{
    return goss_json_is(job->j, key, "const") || goss_json_is(job->j, key, "enum");
}

int goss_scalar_number(goss_job *job, const goss_facts *facts, int next)
{
    const goss_json *j = job->j;
    int start = GOSS_NONE;
    goss_number_rules *r = goss_job_take(job, sizeof *r);
    if (!r) return GOSS_NONE;
    r->integers = (facts->types & GOSS_TYPE_INTEGER) != 0;
    r->fractions = (facts->types & GOSS_TYPE_FRACTION) != 0;
    for (int i = 0; i < facts->n && !job->rc; i++) {
        const goss_fact *f = &facts->at[i];
        if (f->kind == GOSS_FACT_NOT) {
            if (is_list(job, f->key)) unlike(job, r, f->key);
            else number_keyword(job, r, f->node, f->key, 1);
        }
        for (int k = f->kind == GOSS_FACT_KEYWORDS ? goss_json_first(j, f->node) : -1; k >= 0;
             k = goss_json_next(j, goss_json_next(j, k)))
            number_keyword(job, r, f->node, k, 0);
    }
    const char *why = job->rc ? NULL : goss_bounds_compile(&job->parts, r, next, &start);
    return why ? goss_job_limit(job, facts->n ? facts->at[0].node : -1, why) : start;
}

/* ---- strings ------------------------------------------------------------------------------------------- */
typedef struct gather {
    goss_job *job;
    goss_strings *s;
    uint32_t in, out;
} gather;

static void add_pattern(gather *g, int node, goss_str pattern, int not )
{
    goss_error why;
    const int k = goss_strings_pattern(g->s, pattern, &why);
    if (k < 0) goss_job_pass(g->job, node, k, why.text);
    else if (not ) g->out |= 1u << k;
    else g->in |= 1u << k;
}

/* A string's content that lives as long as the job. */
static goss_str kept(goss_job *job, int node)
{
    const goss_str t = goss_job_string(job, node);
    char *s = goss_job_take(job, (size_t)t.n + 1);
    for (uint64_t i = 0; s && i < t.n; i++) s[i] = t.s[i];
    return (goss_str){ s, s ? t.n : 0 };
}

static void string_keyword(gather *g, int key, int not )
{
    const goss_json *j = g->job->j;
    const int v = goss_json_next(j, key);
    const uint64_t n = goss_json_kind(j, v) == GOSS_JSON_NUMBER ? goss_job_count(g->job, v, 0) : 0;
    if (goss_json_is(j, key, "minLength")) {
        if (!not ) goss_strings_lengths(g->s, n, UINT64_MAX);
        else if (n) goss_strings_lengths(g->s, 0, n - 1);
        else goss_strings_lengths(g->s, 1, 0);
    } else if (goss_json_is(j, key, "maxLength"))
        goss_strings_lengths(g->s, not ? n + 1 : 0, not ? UINT64_MAX : n);
    else if (goss_json_is(j, key, "pattern")) add_pattern(g, v, kept(g->job, v), not );
    else if (goss_json_is(j, key, "format")) {
        const char *p = goss_format_pattern(j, v);
        if (p && !*p) goss_job_refuse(g->job, v, "this format");
        else if (p) add_pattern(g, v, (goss_str){ p, strlen(p) }, not );
        else if (not ) g->out = g->in = ~0u; /* says nothing, so it can't fail to hold */
    }
}

static void unlike_texts(gather *g, int key)
{
    const goss_json *j = g->job->j;
    const int v = goss_json_next(j, key), one = goss_json_is(j, key, "const");
    const uint32_t room = one ? 1 : j->nodes[v].n;
    goss_str *texts = goss_job_take(g->job, (room + 1) * sizeof *texts);
    int n = 0;
    for (int x = one ? v : goss_json_first(j, v); x >= 0 && texts; x = one ? -1 : goss_json_next(j, x))
        if (goss_json_kind(j, x) == GOSS_JSON_STRING) texts[n++] = kept(g->job, x);
    if (!n) return;
    goss_error why;
    const int k = goss_strings_texts(g->s, texts, n, &why);
    if (k < 0) goss_job_pass(g->job, key, k, why.text);
    else g->out |= 1u << k;
}

static void gather_strings(gather *g, const goss_facts *facts)
{
    const goss_json *j = g->job->j;
    for (int i = 0; i < facts->n && !g->job->rc; i++) {
        const goss_fact *f = &facts->at[i];
        if (f->kind == GOSS_FACT_NOT) {
            if (is_list(g->job, f->key)) unlike_texts(g, f->key);
            else string_keyword(g, f->key, 1);
        }
        for (int k = f->kind == GOSS_FACT_KEYWORDS ? goss_json_first(j, f->node) : -1; k >= 0 && !g->job->rc;
             k = goss_json_next(j, goss_json_next(j, k)))
            string_keyword(g, k, 0);
    }
}

/* Strings of which only lengths are said, as a rule that is made once: a chain of a node or two a
 * character. */
static int lengths_rule(goss_job *job, goss_strings *s, uint64_t min, uint64_t max, int *rc, goss_error *why)
{
    for (int i = 0; i < job->n_lengths; i++)
        if (job->lengths[i].min == min && job->lengths[i].max == max) return job->lengths[i].rule;
    const int rule = goss_strings_compile(s, 0, 0, 0, rc, why), n = job->n_lengths;
    if (!*rc && n < (int)(sizeof job->lengths / sizeof *job->lengths)) {
        job->lengths[n].min = min;
        job->lengths[n].max = max;
        job->lengths[job->n_lengths++].rule = rule;
    }
    return rule;
}

int goss_scalar_string(goss_job *job, const goss_facts *facts, int next)
{
    gather g = { .job = job };
    goss_error why;
    int rc = goss_strings_open(&g.s, &job->parts), start = GOSS_NONE;
    if (rc) {
        job->rc = rc;
        return GOSS_NONE;
    }
    gather_strings(&g, facts);
    uint64_t min, max;
    if (job->rc || (g.in & g.out) || next == GOSS_NONE) start = GOSS_NONE;
    else if (!g.in && !g.out && goss_strings_bounded(g.s, &min, &max)) {
        const int rule = lengths_rule(job, g.s, min, max, &rc, &why);
        start = rule == GOSS_NONE ? GOSS_NONE : goss_graph_call(job->g, rule, next);
    } else start = goss_strings_compile(g.s, g.in, g.out, next, &rc, &why);
    goss_strings_close(&g.s);
    if (rc) return goss_job_pass(job, facts->n ? facts->at[0].node : -1, rc, why.text);
    return start;
}
