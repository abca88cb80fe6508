/* members.c - see members.h.
 *
 * A text of an object is read as: for each declared member, in order, it or nothing; then any number of
 * others. Its state is which declared member comes next, how many stand already (0, 1, ... up to `cap`),
 * and a set: which of the required members that nobody declared have come (those beyond ten count as
 * declared), and which of the things that some member must fulfil were fulfilled by one that was chosen
 * for it. For each state there is a node, made from the last to the first. */
#include "members.h"
#include "other_names.h"
#include "strings.h"
#include <string.h>

enum {
    MAX_FREE = 10,
    MAX_HAS = 3,
    MAX_CELLS = 50000,
    UNBOUNDED = 1 << 24,
    MAX_RULES = 24,
    MAX_CHOICES = 1 << MAX_HAS
};
typedef struct member {
    int name, required, forbidden;
    uint32_t languages;
    goss_claims value;
} member;
/* A language of names: a pattern, what a propertyNames says (which binds or not), the names in
 * "properties". */
enum { PATTERN, BINDING, NAMES, DECLARED };
typedef struct name_rule {
    int node, what;
} name_rule;
typedef struct object {
    goss_job *job;
    const goss_facts *facts;
    member *declared;
    int n, room;
    member free[MAX_FREE];
    int n_free; /* required, but not declared: they may come in any order */
    const goss_fact *has[MAX_HAS];
    int n_has;
    goss_strings *names;
    name_rule rules[MAX_RULES];
    int n_rules;
    int min, max, cap;       /* members; max: UNBOUNDED */
    int others[MAX_CHOICES]; /* the rule of one other member, by what it was chosen for; GOSS_NONE */
    int chosen, next;
} object;

/* ---- what may stand under a name ----------------------------------------------------------------------- */
static int matches(const object *o, int what, int node, uint32_t languages)
{
    for (int r = 0; r < o->n_rules; r++)
        if (o->rules[r].what == what && (languages >> r & 1) &&
            (o->rules[r].node == node ||
             (what == PATTERN && goss_job_same_text(o->job, o->rules[r].node, node))))
            return 1;
    return 0;
}

/* Whether a schema's own keywords say something of the value of such a member. */
static int evaluates(const object *o, const goss_fact *f, int name, uint32_t languages)
{
    const goss_json *j = o->job->j;
    const int patterns = goss_json_get(j, f->node, "patternProperties");
    if (goss_json_get(j, f->node, "additionalProperties") >= 0) return 1;
    if (name >= 0 && goss_job_find(o->job, goss_json_get(j, f->node, "properties"), name) >= 0) return 1;
    for (int k = goss_json_first(j, patterns); k >= 0; k = goss_json_next(j, goss_json_next(j, k)))
        if (matches(o, PATTERN, k, languages)) return 1;
    return 0;
}

/* unevaluatedProperties, where nothing in place of the schema has evaluated the member. */
static void unevaluated(object *o, const goss_fact *f, int name, uint32_t languages, goss_claims *out)
{
    const goss_json *j = o->job->j;
    const int schema = o->job->old_refs ? -1 : goss_json_get(j, f->node, "unevaluatedProperties");
    for (int i = 0; i < o->facts->n && schema >= 0; i++) {
        const goss_fact *other = &o->facts->at[i];
        if (other->kind != GOSS_FACT_KEYWORDS || !goss_fact_speaks_for(other, f)) continue;
        if (evaluates(o, other, name, languages) ||
            (other != f && goss_json_get(j, other->node, "unevaluatedProperties") >= 0))
            return;
    }
    if (schema >= 0) goss_claims_add(o->job, out, schema, 0);
}

/* The claims about the value of a member whose name is in these languages; `name` -1: of one not declared. */
static void claims_of(object *o, int name, uint32_t languages, goss_claims *out)
{
    const goss_json *j = o->job->j;
    for (int i = 0; i < o->facts->n; i++) {
        const goss_fact *f = &o->facts->at[i];
        if (f->kind == GOSS_FACT_MEMBER && name >= 0 && goss_job_same_text(o->job, f->key, name))
            goss_claims_add(o->job, out, f->node, f->not );
        if (f->kind != GOSS_FACT_KEYWORDS) continue;
        const int declared =
            name < 0 ? -1 : goss_job_find(o->job, goss_json_get(j, f->node, "properties"), name);
        const int patterns = goss_json_get(j, f->node, "patternProperties"),
                  rest = goss_json_get(j, f->node, "additionalProperties");
        int known = declared >= 0;
        if (known) goss_claims_add(o->job, out, declared, 0);
        for (int k = goss_json_first(j, patterns); k >= 0; k = goss_json_next(j, goss_json_next(j, k)))
            if (matches(o, PATTERN, k, languages)) {
                goss_claims_add(o->job, out, goss_json_next(j, k), 0);
                known = 1;
            }
        if (!known && rest >= 0) goss_claims_add(o->job, out, rest, 0);
        unevaluated(o, f, name, languages, out);
    }
}

/* What a member with such a name must be to be the one that h asks for; 0: it can't be. */
static int may_be_chosen(object *o, const goss_fact *h, int name, uint32_t languages, goss_claims *out)
{
    const goss_json *j = o->job->j;
    if (h->kind == GOSS_FACT_HAS_NAME) return !matches(o, NAMES, h->node, languages);
    if (h->kind == GOSS_FACT_HAS_MATCHING) {
        if (!matches(o, PATTERN, h->key, languages)) return 0;
        goss_claims_add(o->job, out, h->node, h->not );
        return 1;
    }
    const int props = goss_json_get(j, h->node, "properties"),
              patterns = goss_json_get(j, h->node, "patternProperties");
    if (props >= 0 &&
        (name >= 0 ? goss_job_find(o->job, props, name) >= 0 : matches(o, DECLARED, props, languages)))
        return 0;
    for (int k = goss_json_first(j, patterns); k >= 0; k = goss_json_next(j, goss_json_next(j, k)))
        if (matches(o, PATTERN, k, languages)) return 0;
    goss_claims_add(o->job, out, goss_json_get(j, h->node, "additionalProperties"), 1);
    return 1;
}

static int choose(object *o, int chosen, int name, uint32_t languages, goss_claims *out)
{
    for (int k = 0; k < o->n_has; k++)
        if (chosen >> k & 1 && !may_be_chosen(o, o->has[k], name, languages, out)) return 0;
    return 1;
}

/* Whether propertyNames lets names of these languages stand. */
static int may_be_named(const object *o, uint32_t languages)
{
    for (int r = 0; r < o->n_rules; r++)
        if (o->rules[r].what == BINDING && !(languages >> r & 1)) return 0;
    return 1;
}

static int impossible(const goss_job *job, const goss_claims *c)
{
    for (int i = 0; i < c->n; i++)
        if (goss_json_kind(job->j, c->at[i].node) == (c->at[i].not ? GOSS_JSON_TRUE : GOSS_JSON_FALSE))
            return 1;
    return 0;
}

/* ---- languages of names -------------------------------------------------------------------------------- */
static void add_rule(object *o, int node, int what, int number)
{
    if (number < 0) return;
    if (o->n_rules == MAX_RULES) {
        goss_job_limit(o->job, node, "more than 24 patterns of names in one object");
        return;
    }
    o->rules[o->n_rules++] = (name_rule){ node, what };
}

static void add_pattern(object *o, int key)
{
    goss_error why;
    for (int r = 0; r < o->n_rules; r++)
        if (o->rules[r].what == PATTERN && goss_job_same_text(o->job, o->rules[r].node, key)) return;
    const int k = goss_strings_pattern(o->names, goss_job_string(o->job, key), &why);
    if (k < 0) goss_job_pass(o->job, key, k, why.text);
    add_rule(o, key, PATTERN, k);
}

static void add_patterns(object *o, int node)
{
    const int patterns = goss_json_get(o->job->j, node, "patternProperties");
    for (int k = goss_json_first(o->job->j, patterns); k >= 0 && !o->job->rc;
         k = goss_json_next(o->job->j, goss_json_next(o->job->j, k)))
        add_pattern(o, k);
}

/* The names that a schema of names takes. */
static void add_names(object *o, int schema, int what)
{
    goss_graph g;
    goss_error why;
    int start, k = -1;
    goss_claims c = { 0 };
    goss_claims_add(o->job, &c, schema, 0);
    goss_graph_init(&g);
    goss_graph_count(&g, o->job->budget);
    if (!o->job->apart(o->job, &c, &g, &start)) {
        k = goss_strings_graph(o->names, &g, start, &why);
        if (k < 0) goss_job_pass(o->job, schema, k, why.text);
    }
    goss_graph_free(&g);
    add_rule(o, schema, what, k);
}

/* A string's content that lives as long as the job. */
static goss_str kept(goss_job *job, int node)
{
    const goss_str t = goss_job_string(job, node);
    char *s = goss_job_take(job, (size_t)t.n + 1);
    if (s && t.n) memcpy(s, t.s, (size_t)t.n);
    return (goss_str){ s, s ? t.n : 0 };
}

static void add_declared(object *o, int props)
{
    const goss_json *j = o->job->j;
    goss_str *texts = props < 0 ? NULL : goss_job_take(o->job, (j->nodes[props].n + 1) * sizeof *texts);
    goss_error why;
    int n = 0;
    if (!texts) return;
    for (int k = goss_json_first(j, props); k >= 0; k = goss_json_next(j, goss_json_next(j, k)))
        texts[n++] = kept(o->job, k);
    const int number = goss_strings_texts(o->names, texts, n, &why);
    if (number < 0) goss_job_pass(o->job, props, number, why.text);
    add_rule(o, props, DECLARED, number);
}

static void add_has(object *o, const goss_fact *f)
{
    if (o->n_has == MAX_HAS) {
        goss_job_limit(o->job, f->node, "more than 3 members that must be unlike others");
        return;
    }
    o->has[o->n_has++] = f;
    if (f->kind == GOSS_FACT_HAS_MATCHING) add_pattern(o, f->key);
    else if (f->kind == GOSS_FACT_HAS_NAME) add_names(o, f->node, NAMES);
    else {
        add_patterns(o, f->node);
        add_declared(o, goss_json_get(o->job->j, f->node, "properties"));
    }
}

static void gather_rules(object *o)
{
    for (int i = 0; i < o->facts->n && !o->job->rc; i++) {
        const goss_fact *f = &o->facts->at[i];
        if (f->kind == GOSS_FACT_HAS_MATCHING || f->kind == GOSS_FACT_HAS_NAME ||
            f->kind == GOSS_FACT_HAS_OTHER)
            add_has(o, f);
        if (f->kind != GOSS_FACT_KEYWORDS) continue;
        const int names = goss_json_get(o->job->j, f->node, "propertyNames");
        add_patterns(o, f->node);
        if (names >= 0) add_names(o, names, BINDING);
    }
}

/* ---- the list of members ------------------------------------------------------------------------------- */
static member *find_member(const object *o, int name)
{
    for (int i = 0; i < o->n; i++)
        if (goss_job_same_text(o->job, o->declared[i].name, name)) return &o->declared[i];
    return NULL;
}

static member *declare(object *o, int name)
{
    member *m = find_member(o, name);
    if (m) return m;
    if (o->n == o->room) {
        const int room = o->room ? 2 * o->room : 16;
        member *more = goss_job_take(o->job, (size_t)room * sizeof *more);
        if (!more) return NULL;
        if (o->n) memcpy(more, o->declared, (size_t)o->n * sizeof *more);
        o->declared = more;
        o->room = room;
    }
    o->declared[o->n] = (member){ .name = name };
    return &o->declared[o->n++];
}

static void gather_declared(object *o)
{
    const goss_json *j = o->job->j;
    for (int i = 0; i < o->facts->n; i++) {
        const goss_fact *f = &o->facts->at[i];
        const int props = f->kind == GOSS_FACT_KEYWORDS ? goss_json_get(j, f->node, "properties") : -1;
        for (int k = goss_json_first(j, props); k >= 0; k = goss_json_next(j, goss_json_next(j, k)))
            declare(o, k);
        if (f->kind == GOSS_FACT_MEMBER) declare(o, f->key);
    }
    for (int i = 0; i < o->facts->n; i++) {
        if (o->facts->at[i].kind != GOSS_FACT_FORBID) continue;
        member *m = declare(o, o->facts->at[i].key);
        if (m) m->forbidden = 1;
    }
}

static void require(object *o, int name)
{
    member *m = find_member(o, name);
    for (int i = 0; i < o->n_free && !m; i++)
        if (goss_job_same_text(o->job, o->free[i].name, name)) return;
    if (m) m->required = 1;
    else if (o->n_free < MAX_FREE) o->free[o->n_free++].name = name;
    else if ((m = declare(o, name))) m->required = 1;
}

static void gather_required(object *o)
{
    const goss_json *j = o->job->j;
    for (int i = 0; i < o->facts->n; i++) {
        const goss_fact *f = &o->facts->at[i];
        if (f->kind == GOSS_FACT_REQUIRE) require(o, f->key);
        const int list = f->kind == GOSS_FACT_KEYWORDS ? goss_json_get(j, f->node, "required") : -1;
        for (int r = goss_json_first(j, list); r >= 0; r = goss_json_next(j, r)) require(o, r);
    }
}

static void settle(object *o, member *m)
{
    m->languages = o->n_rules ? goss_strings_languages(o->names, goss_job_string(o->job, m->name)) : 0;
    claims_of(o, m->name, m->languages, &m->value);
    if (!may_be_named(o, m->languages) || impossible(o->job, &m->value)) m->forbidden = 1;
}

static void gather_counts(object *o)
{
    const goss_json *j = o->job->j;
    o->max = UNBOUNDED;
    for (int i = 0; i < o->facts->n; i++) {
        const goss_fact *f = &o->facts->at[i];
        const int least = goss_json_get(j, f->node, "minProperties"),
                  most = goss_json_get(j, f->node, "maxProperties");
        int min = 0, max = UNBOUNDED;
        if (f->kind == GOSS_FACT_KEYWORDS) {
            min = (int)goss_job_count(o->job, least, 0);
            max = (int)goss_job_count(o->job, most, UNBOUNDED);
        } else if (f->kind == GOSS_FACT_NOT && goss_json_is(j, f->key, "minProperties"))
            max = (int)goss_job_count(o->job, least, 0) - 1;
        else if (f->kind == GOSS_FACT_NOT && goss_json_is(j, f->key, "maxProperties"))
            min = (int)goss_job_count(o->job, most, 0) + 1;
        if (min > o->min) o->min = min;
        if (max < o->max) o->max = max;
    }
}

/* ---- other members ------------------------------------------------------------------------------------- */
/* ':' and the value of a member that was not declared, whose name is in these languages. */
static int end_of_name(void *ctx, uint32_t languages)
{
    object *o = ctx;
    goss_claims c = { 0 };
    if (languages >> o->n_rules & 1) return GOSS_NONE; /* a declared name */
    if (!may_be_named(o, languages) || !choose(o, o->chosen, -1, languages, &c)) return GOSS_NONE;
    claims_of(o, -1, languages, &c);
    if (impossible(o->job, &c)) return GOSS_NONE;
    return goss_part_text(&o->job->parts, ":", goss_part_space(&o->job->parts, o->job->value(o->job, &c, 0)));
}

/* The rules of other members, one for each choice. */
static void other_members(object *o)
{
    goss_claims c = { 0 };
    goss_error why;
    const int n = o->n + o->n_free, choices = 1 << o->n_has;
    int rc = 0;
    for (int i = 0; i < choices; i++) o->others[i] = GOSS_NONE;
    claims_of(o, -1, 0, &c);
    goss_str *names = goss_job_take(o->job, ((size_t)n + 1) * sizeof *names);
    if (!names || (!o->n_rules && impossible(o->job, &c))) return;
    for (int i = 0; i < n; i++)
        names[i] = kept(o->job, i < o->n ? o->declared[i].name : o->free[i - o->n].name);
    int plain = -2;
    if (!o->n_rules && choices == 1 && !o->job->rc)
        plain = goss_other_names(o->job, names, n, end_of_name(o, 0));
    o->others[0] = plain;
    if (plain != -2 || o->job->rc) return;
    rc = goss_strings_texts(o->names, names, n, &why);
    for (int i = 0; i < choices && rc >= 0 && !o->job->rc; i++) {
        o->chosen = i;
        o->others[i] =
            goss_part_text(&o->job->parts, "\"", goss_strings_sort(o->names, end_of_name, o, &rc, &why));
    }
    if (rc < 0) goss_job_pass(o->job, o->facts->at[0].node, rc, why.text);
}

/* ---- states -------------------------------------------------------------------------------------------- */
/* The set has the free members' bits first, then those of what some member must fulfil. Others may repeat
 * a name, where the last one counts: so of them one only counts towards the least number (COUNTED: it has
 * come), all count towards the most, and one that was chosen is the last member (CLOSED). */
enum { NOT_COUNTED, COUNTED, CLOSED, PHASES };
static int index_of(const object *o, int set, int count, int phase)
{
    return (set * (o->cap + 1) + count) * PHASES + phase;
}
static int n_sets(const object *o) { return 1 << (o->n_free + o->n_has); }
static int after_one(const object *o, int count)
{
    return count < o->cap ? count + 1 : o->max < UNBOUNDED ? -1 : o->cap;
}

static int member_text(object *o, const member *m, int chosen, int next)
{
    goss_parts *p = &o->job->parts;
    goss_claims c = { 0 };
    if (m->forbidden || next == GOSS_NONE || !choose(o, chosen, m->name, m->languages, &c)) return GOSS_NONE;
    for (int i = 0; i < m->value.n; i++)
        goss_claims_add(o->job, &c, m->value.at[i].node, m->value.at[i].not );
    if (impossible(o->job, &c)) return GOSS_NONE;
    const int value = goss_part_text(p, ":", goss_part_space(p, o->job->value(o->job, &c, next)));
    if (value == GOSS_NONE) return GOSS_NONE;
    const goss_str name = goss_job_written(o->job, m->name);
    return goss_part_space(p, goss_graph_text(o->job->g, name.s, (size_t)name.n, value));
}

/* With a comma where members stand before it. */
static int behind(object *o, int count, int member_node)
{
    return count ? goss_part_text(&o->job->parts, ",", member_node) : member_node;
}

typedef struct cells {
    int *nodes;
    int free_rule[MAX_FREE][MAX_CHOICES];
} cells;

static void other_state(object *o, const cells *c, int set, int count, int phase)
{
    goss_parts *p = &o->job->parts;
    const int node = c->nodes[index_of(o, set, count, phase)], more = after_one(o, count);
    const int counts = o->max < UNBOUNDED || phase == NOT_COUNTED || !count;
    int out = set == n_sets(o) - 1 && count >= o->min ? goss_part_space(p, goss_part_text(p, "}", o->next))
                                                      : GOSS_NONE;
    for (int chosen = 0; chosen < 1 << o->n_has && phase != CLOSED; chosen++) {
        const int with = set | chosen << o->n_free;
        for (int i = 0; i < o->n_free && more >= 0; i++) {
            if (set >> i & 1 || c->free_rule[i][chosen] == GOSS_NONE) continue;
            const int to = c->nodes[index_of(o, with | 1 << i, more, phase)];
            out = goss_part_either(p, out,
                                   behind(o, count, goss_graph_call(p->g, c->free_rule[i][chosen], to)));
        }
        if (o->others[chosen] == GOSS_NONE || (counts && more < 0)) continue;
        const int to = c->nodes[index_of(o, with, counts ? more : count, chosen ? CLOSED : COUNTED)];
        out = goss_part_either(
            p, out, behind(o, count, goss_part_space(p, goss_graph_call(p->g, o->others[chosen], to))));
    }
    if (out == GOSS_NONE) out = goss_graph_bytes(p->g, 1, 0, 0);
    goss_graph_set(p->g, node, out, out);
}

/* row[has * (cap + 1) + count]: no declared member is left. */
static void other_states(object *o, int *row)
{
    const int n = n_sets(o) * (o->cap + 1) * PHASES;
    cells *c = goss_job_take(o->job, sizeof *c);
    if (c) c->nodes = goss_job_take(o->job, (size_t)n * sizeof *c->nodes);
    if (!c || !c->nodes) return;
    for (int i = 0; i < n; i++) c->nodes[i] = goss_graph_either(o->job->g, 0, 0);
    for (int i = 0; i < o->n_free; i++)
        for (int chosen = 0; chosen < 1 << o->n_has; chosen++)
            c->free_rule[i][chosen] = member_text(o, &o->free[i], chosen, 0);
    for (int set = 0; set < n_sets(o); set++)
        for (int count = 0; count <= o->cap && !o->job->rc; count++)
            for (int phase = 0; phase < PHASES; phase++) other_state(o, c, set, count, phase);
    for (int has = 0; has < 1 << o->n_has; has++)
        for (int count = 0; count <= o->cap; count++)
            row[has * (o->cap + 1) + count] = c->nodes[index_of(o, has << o->n_free, count, NOT_COUNTED)];
}

/* One declared member: row becomes what stands before it. `text[chosen]`: it, then what follows in each
 * state. */
static void declared_state(object *o, const member *m, int *row, int *text)
{
    goss_parts *p = &o->job->parts;
    const int width = o->cap + 1, n = width << o->n_has;
    for (int chosen = 0; chosen < 1 << o->n_has; chosen++)
        for (int at = 0; at < n; at++)
            text[chosen * n + at] = at % width && (at / width & chosen) == chosen
                                        ? member_text(o, m, chosen, row[at])
                                        : GOSS_NONE;
    for (int at = 0; at < n; at++) {
        const int more = after_one(o, at % width), has = at / width;
        int here = GOSS_NONE;
        for (int chosen = 0; chosen < 1 << o->n_has && more >= 0; chosen++)
            here = goss_part_either(p, here, text[chosen * n + (has | chosen) * width + more]);
        here = behind(o, at % width, here);
        row[at] = m->required ? here : goss_part_either(p, here, row[at]);
    }
}

static int compile(object *o)
{
    const int certain = o->n + o->n_free;
    int others = 0;
    other_members(o);
    for (int i = 0; i < 1 << o->n_has; i++) others |= o->others[i] != GOSS_NONE;
    if (!others && o->max >= certain) o->max = UNBOUNDED;
    o->cap = o->max < UNBOUNDED ? o->max : o->min;
    if (o->max < UNBOUNDED && o->min > 1 && others)
        return goss_job_refuse(o->job, o->facts->at[0].node,
                               "minProperties above 1 with maxProperties, where names are free");
    if (o->min > o->max) return GOSS_NONE;
    if (o->cap < 1 && o->max) o->cap = 1;
    const int64_t width = o->cap + 1;
    if ((((int64_t)o->n << o->n_has) + n_sets(o)) * width > MAX_CELLS)
        return goss_job_limit(o->job, o->facts->at[0].node,
                              "minProperties or maxProperties is too large here");
    int *row = goss_job_take(o->job, (size_t)(width << o->n_has) * sizeof *row),
        *text = goss_job_take(o->job, (size_t)(width << 2 * o->n_has) * sizeof *text);
    if (!row || !text || o->job->rc) return GOSS_NONE;
    other_states(o, row);
    for (int i = o->n - 1; i >= 0 && !o->job->rc; i--) declared_state(o, &o->declared[i], row, text);
    return goss_part_text(&o->job->parts, "{", row[0]);
}

int goss_members_compile(goss_job *job, const goss_facts *facts, int next)
{
    int said = 0, out = GOSS_NONE;
    for (int i = 0; i < facts->n; i++) {
        const goss_fact *f = &facts->at[i];
        said |= f->kind != GOSS_FACT_KEYWORDS;
        for (int k = said ? -1 : goss_json_first(job->j, f->node); k >= 0;
             k = goss_json_next(job->j, goss_json_next(job->j, k)))
            said |= goss_job_constrains(job, k);
    }
    if (!said || next == GOSS_NONE) return goss_part_object(&job->parts, next);
    object *o = goss_job_take(job, sizeof *o);
    if (!o) return GOSS_NONE;
    *o = (object){ .job = job, .facts = facts, .next = next };
    const int rc = goss_strings_open(&o->names, &job->parts);
    if (rc) {
        job->rc = rc;
        return GOSS_NONE;
    }
    gather_rules(o);
    gather_declared(o);
    gather_required(o);
    gather_counts(o);
    for (int i = 0; i < o->n && !job->rc; i++) settle(o, &o->declared[i]);
    for (int i = 0; i < o->n_free && !job->rc; i++) settle(o, &o->free[i]);
    if (!job->rc) out = compile(o);
    goss_strings_close(&o->names);
    return out;
}
