/* grammar.c - see grammar.h.
 *
 * Tokens are let through by their bytes. Control tokens stand for no bytes: of them only those that end the
 * generation are let through, where the text may end.
 *
 * Nothing here holds the thread for long: a token's bytes are put aside and taken in by goss_grammar_think,
 * which also makes the mask, both in slices. What a request may take in all is bounded, in bytes (its budget)
 * and in processor time: request_ms, and TOKEN_MS more with every token, since long answers visit many
 * states. */
#include "grammar.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/os.h"
#include "schema.h"
#include "token_mask.h"
#include "text/harmony.h"
#include <string.h>

enum { MAX_STATES = 4000, MAX_TOOLS = 128, SCHEMA_BYTES = 1 << 20, TOKEN_MS = 1 };
enum { REQUEST_MS = 5000 };
static const uint64_t default_all = (uint64_t)512 << 20, default_request = (uint64_t)64 << 20;

typedef struct constraint {
    int node;                           /* where its texts begin in the graph */
    char tool[128];                     /* "functions.name"; "" for the answer */
} constraint;

struct goss_schemas {
    goss_schema_room *room;
    atomic_int refs;
    goss_budget budget;
    goss_graph graph; goss_dfa *dfa; uint64_t n_nodes;
    goss_token_masks masks;
    constraint answer, tools[MAX_TOOLS]; int has_answer, n_tools;
    goss_buf names; int has_tools;           /* the tools, by name alone, as JSON */
    int32_t call;                            /* <|call|>, -1: none */
    double spent_ms; uint64_t n_tokens;      /* of all its generations */
    goss_grammar *users;                     /* those generations */
};

struct goss_grammar {
    goss_schemas *schemas;
    goss_grammar *next;
    const constraint *current; int state;    /* within a constrained content; NULL: not in one */
    goss_buf ahead; size_t taken;            /* bytes of tokens; so many are in `state` */
    goss_mask_walk walk;
    int known, failed;
    int goes_on;                             /* nothing but the generation's end is kept out */
};

/* ---- the room ------------------------------------------------------------------------------------------ */
void goss_schema_room_open(goss_schema_room *r, const goss_vocab *v, int n_vocab, uint64_t all_bytes,
                           uint64_t request_bytes, int request_ms)
{
    r->vocab = v;
    r->n_vocab = n_vocab;
    r->budget.most = all_bytes ? all_bytes : default_all;
    r->request_bytes = request_bytes ? request_bytes : default_request;
    r->request_ms = request_ms ? request_ms : REQUEST_MS;
}

void goss_schema_room_close(goss_schema_room *r)
{
    goss_word_list *w = atomic_load(&r->words);
    goss_word_list_close(&w);
    atomic_store(&r->words, NULL);
}

/* Two threads may make it at the same time: one of them throws its own away. */
static const goss_word_list *words_of(goss_schema_room *r)
{
    goss_word_list *w = atomic_load(&r->words), *made = NULL;
    if (w || goss_word_list_open(&made, r->vocab, r->n_vocab)) return w;
    if (atomic_compare_exchange_strong(&r->words, &w, made)) return made;
    goss_word_list_close(&made);
    return w;
}

/* ---- compiling ----------------------------------------------------------------------------------------- */
/* In the words of clients: which bound it was. */
static int too_much(const goss_schemas *s, int code, goss_error *err)
{
    const goss_schema_room *r = s->room;
    if (code == GOSS_ENOMEM) return goss_fail(err, code, -1, "no memory for JSON schemas");
    if (code == GOSS_EFULL)
        return goss_fail(err, GOSS_ELIMIT, -1,
                         "the JSON schemas of all requests take more than %llu MB: try again when others are "
                         "done",
                         (unsigned long long)(r->budget.most >> 20));
    if (s->budget.late)
        return goss_fail(err, GOSS_ELIMIT, -1, "the request's JSON schemas take more than %d ms to compile",
                         (int)r->request_ms);
    return goss_fail(err, GOSS_ELIMIT, -1,
                     "the request's JSON schemas are too large: they take more than %llu MB, or a pattern has "
                     "too many ways to match",
                     (unsigned long long)(r->request_bytes >> 20));
}

static int add_constraint(goss_schemas *s, constraint *c, const goss_json *j, int schema, goss_error *err)
{
    s->budget.refused = 0;
    const int rc = goss_schema_compile(&s->graph, j, schema, schema, &c->node, err);
    const int ours = rc == GOSS_ENOMEM || (rc && s->budget.late) ? rc : rc ? s->budget.refused : 0;
    const int failed = s->graph.failed ? s->graph.failed : ours;
    return failed ? too_much(s, failed, err) : rc;
}

static void add_name(goss_schemas *s, goss_str name)
{
    goss_buf_str(&s->names, s->names.len > 1 ? ",{\"name\":" : "{\"name\":");
    goss_buf_json_string(&s->names, name.s, (size_t)name.n);
    goss_buf_str(&s->names, "}");
}

/* A schema that the tool does not bring. */
static int add_own(goss_schemas *s, constraint *c, const char *schema, goss_error *err)
{
    goss_json j = { 0 };
    int rc = goss_json_parse(&j, schema, strlen(schema), NULL, err);
    if (!rc) rc = add_constraint(s, c, &j, 0, err);
    goss_json_free(&j);
    return rc;
}

/* Arguments: without parameters there are none; where a tool is not strict, a schema that can't be held to
 * gives way to any object. */
static int add_arguments(goss_schemas *s, constraint *c, const goss_json *j, int params, int strict,
                         goss_error *err)
{
    if (params < 0)
        return add_own(s, c, "{\"type\":\"object\",\"properties\":{},\"additionalProperties\":false}", err);
    const int rc = add_constraint(s, c, j, params, err);
    const int ours = s->graph.failed || s->budget.late;
    const int give_way = !strict && !ours && (rc == GOSS_EUNSUPPORTED || rc == GOSS_ELIMIT);
    if (!give_way) return rc;
    if (err) *err = (goss_error){ .position = -1 };
    return add_own(s, c, "{}", err);
}

static int add_strict(goss_schemas *s, const goss_json *j, int f, goss_str name, int strict, goss_error *err)
{
    const int params = goss_json_get(j, f, "parameters");
    if (s->n_tools == MAX_TOOLS)
        return goss_fail(err, GOSS_ELIMIT, -1, "more than %d tools whose arguments are constrained",
                         (int)MAX_TOOLS);
    if (!name.s) return goss_fail(err, GOSS_EINVAL, -1, "a strict tool has no name");
    goss_buf recipient = GOSS_BUF(sizeof s->tools->tool - 1);
    goss_harmony_recipient(name, &recipient);
    constraint *c = &s->tools[s->n_tools++];
    if (!recipient.failed) memcpy(c->tool, recipient.data, recipient.len);
    const int rc = recipient.failed ? goss_fail(err, GOSS_EINVAL, -1, "a strict tool's name is too long")
                                    : add_arguments(s, c, j, params, strict, err);
    goss_buf_free(&recipient);
    return rc;
}

static int add_tool(goss_schemas *s, const goss_json *j, int tool, int all, goss_error *err)
{
    const int nested = goss_json_get(j, tool, "function"), f = nested >= 0 ? nested : tool,
              named = goss_json_get(j, f, "name");
    goss_owned *owned = NULL;
    goss_str name = { 0 };
    int rc = 0;
    goss_json_str(j, named >= 0 ? named : goss_json_get(j, tool, "name"), &owned, &name);
    if (name.s) add_name(s, name);
    const int strict = goss_json_bool(j, goss_json_get(j, f, "strict"), 0);
    if (strict || (all && name.s)) rc = add_strict(s, j, f, name, strict, err);
    goss_owned_free(&owned);
    return rc;
}

static int add_tools(goss_schemas *s, const char *text, int all, goss_error *err)
{
    goss_json j = { 0 };
    int rc = goss_json_parse(&j, text, strlen(text), NULL, err);
    s->has_tools = 1;
    goss_buf_str(&s->names, "[");
    for (int t = rc ? -1 : goss_json_first(&j, 0); t >= 0 && !rc; t = goss_json_next(&j, t))
        rc = add_tool(s, &j, t, all, err);
    goss_buf_str(&s->names, "]");
    goss_json_free(&j);
    return rc || !s->names.failed ? rc : goss_fail(err, s->names.failed, -1, "the tools' names are too long");
}

static int add_answer(goss_schemas *s, const char *text, goss_error *err)
{
    goss_json j = { 0 };
    const size_t n = strlen(text);
    if (n > SCHEMA_BYTES) return goss_fail(err, GOSS_ELIMIT, -1, "the JSON schema is longer than 1 MB");
    int rc = goss_json_parse(&j, text, n, NULL, err);
    if (!rc) rc = add_constraint(s, &s->answer, &j, 0, err);
    s->has_answer = !rc;
    goss_json_free(&j);
    return rc;
}

/* Every schema must let something through. */
static int check_starts(goss_schemas *s, goss_error *err)
{
    for (int i = s->has_answer ? -1 : 0; i < s->n_tools; i++) {
        const constraint *c = i < 0 ? &s->answer : &s->tools[i];
        const int state = goss_dfa_start(s->dfa, c->node), failed = goss_dfa_failed(s->dfa);
        if (failed) return too_much(s, failed, err);
        if (state == GOSS_DEAD)
            return goss_fail(err, GOSS_EUNSUPPORTED, -1, "the JSON schema allows nothing");
    }
    return 0;
}

static int compile(goss_schemas *s, const char *schema, const char *tools, int all, goss_error *err)
{
    goss_schema_room *r = s->room;
    goss_graph_init(&s->graph);
    int rc = goss_graph_count(&s->graph, &s->budget);
    if (rc) return too_much(s, rc, err);
    if (schema) rc = add_answer(s, schema, err);
    if (!rc && tools) rc = add_tools(s, tools, all, err);
    if (rc || (!s->has_answer && !s->n_tools)) return rc;
    s->n_nodes = s->graph.nodes.len / sizeof(goss_node);
    atomic_fetch_add(&r->n_nodes, s->n_nodes);
    s->masks = (goss_token_masks){ .words = words_of(r), .budget = &s->budget };
    if (!s->masks.words) return too_much(s, GOSS_ENOMEM, err);
    rc = goss_dfa_open(&s->dfa, &s->graph);
    if (rc) return too_much(s, rc, err);
    s->masks.dfa = s->dfa;
    return check_starts(s, err);
}

static uint64_t us(double ms) { return ms > 0 ? (uint64_t)(ms * 1000) : 0; }

int goss_schemas_compile(goss_schemas **out, goss_schema_room *r, const char *schema, const char *tools,
                         int all, goss_error *err)
{
    const double began = goss_os_thread_ms();
    *out = NULL;
    if (!schema && !tools) return 0;
    goss_schemas *s = goss_mem_alloc(sizeof *s);
    if (!s) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for JSON schemas");
    s->room = r;
    s->refs = 1;
    s->budget.all = &r->budget;
    s->budget.most = r->request_bytes;
    s->budget.until_ms = began + r->request_ms;
    s->names = GOSS_BUF(SCHEMA_BYTES);
    s->call = goss_vocab_find(r->vocab, "<|call|>");
    const int rc = compile(s, schema, tools, all, err);
    s->budget.until_ms = 0;
    atomic_fetch_add(&r->spent_us, us(goss_os_thread_ms() - began));
    if (rc) {
        atomic_fetch_add(&r->n_refused, 1);
        goss_schemas_release(&s);
    }
    *out = s;
    return rc;
}

goss_schemas *goss_schemas_share(goss_schemas *s)
{
    if (s) atomic_fetch_add(&s->refs, 1);
    return s;
}

void goss_schemas_release(goss_schemas **schemas)
{
    goss_schemas *s = *schemas;
    *schemas = NULL;
    if (!s || atomic_fetch_sub(&s->refs, 1) > 1) return;
    if (s->masks.words) goss_token_masks_drop(&s->masks);
    goss_dfa_close(&s->dfa);
    goss_graph_free(&s->graph);
    goss_buf_free(&s->names);
    atomic_fetch_sub(&s->room->n_nodes, s->n_nodes);
    goss_mem_free(s);
}

const char *goss_schemas_tools(goss_schemas *s)
{
    return s && s->has_tools ? goss_buf_cstr(&s->names) : NULL;
}

int goss_schemas_answer(const goss_schemas *s) { return s && s->has_answer; }

/* ---- a generation -------------------------------------------------------------------------------------- */
int goss_grammar_open(goss_grammar **out, goss_schemas *s)
{
    *out = NULL;
    if (!s || (!s->has_answer && !s->n_tools)) return 0;
    goss_grammar *g = goss_mem_alloc(sizeof *g);
    if (!g) return GOSS_ENOMEM;
    g->ahead = GOSS_BUF((size_t)1 << 28);
    if (goss_buf_reserve(&g->ahead, 4096)) { goss_mem_free(g); return GOSS_ENOMEM; }
    g->schemas = goss_schemas_share(s);
    g->next = s->users;
    s->users = g;
    *out = g;
    return 0;
}

void goss_grammar_close(goss_grammar **grammar)
{
    goss_grammar *g = *grammar;
    *grammar = NULL;
    if (!g) return;
    goss_grammar **at = &g->schemas->users;
    while (*at != g) at = &(*at)->next;
    *at = g->next;
    goss_mask_walk_end(&g->schemas->masks, &g->walk);
    goss_buf_free(&g->ahead);
    goss_schemas_release(&g->schemas);
    goss_mem_free(g);
}

/* The constraint that binds at the parser's place. */
static const constraint *bound_by(const goss_schemas *s, const goss_chat_parser *parser)
{
    const constraint *answer = s->has_answer ? &s->answer : NULL;
    const char *channel, *recipient;
    if (!parser) return answer;
    if (!goss_chat_parser_state(parser, &channel, &recipient)) return NULL;
    if (!recipient[0]) return strcmp(channel, "analysis") ? answer : NULL;
    for (int i = 0; i < s->n_tools; i++)
        if (!strcmp(recipient, s->tools[i].tool)) return &s->tools[i];
    return NULL;
}

/* In step with the parser: a content that begins starts its automaton, one that has ended forgets it. */
static const constraint *enter(goss_grammar *g, const goss_chat_parser *parser)
{
    const constraint *c = bound_by(g->schemas, parser);
    if (c && c != g->current) {
        goss_buf_clear(&g->ahead);
        g->taken = 0;
        g->state = goss_dfa_start(g->schemas->dfa, c->node);
    }
    g->current = c;
    g->goes_on = 0;
    return c;
}

/* Reasoning, when an answer is owed. */
static int owes_answer(const goss_schemas *s, const goss_chat_parser *parser)
{
    const char *channel, *recipient;
    return s->has_answer && parser && goss_chat_parser_state(parser, &channel, &recipient) && !recipient[0];
}

static void allow_all_but_ends(const goss_schemas *s, uint32_t *mask)
{
    const goss_word_list *words = s->masks.words;
    memset(mask, 0xFF, (size_t)(words->n_vocab / 32) * sizeof *mask);
    if (words->n_vocab % 32) mask[words->n_vocab / 32] = (1u << words->n_vocab % 32) - 1;
    for (int k = 0; k < words->n_stops; k++) mask[words->stops[k] >> 5] &= ~(1u << (words->stops[k] & 31));
}

void goss_grammar_push(goss_grammar *g, const goss_chat_parser *parser, int32_t token)
{
    g->known = 0;
    g->schemas->n_tokens++;
    if (!enter(g, parser)) return;
    const goss_str t = goss_vocab_bytes(g->schemas->room->vocab, token, 0);
    if (!t.n) g->current = NULL;
    else if (goss_buf_append(&g->ahead, t.s, (size_t)t.n)) g->failed = g->ahead.failed;
}

/* Takes in what tokens said. 1: all of it. */
static int take_bytes(goss_grammar *g, double until_ms)
{
    goss_dfa *d = g->schemas->dfa;
    while (g->taken < g->ahead.len) {
        const int to = goss_dfa_next(d, g->state, g->ahead.data[g->taken]);
        if (to != GOSS_LATER) { g->state = to; g->taken++; }
        else if (!goss_slice_more(d, until_ms)) return 0;
    }
    goss_buf_clear(&g->ahead);
    g->taken = 0;
    return 1;
}

/* Many states, or half of the memory: only those where generations stand are kept. */
static void trim(goss_schemas *s)
{
    const int most = atomic_load(&s->budget.used) > s->budget.most / 2 ? 0 : MAX_STATES;
    if (goss_dfa_states(s->dfa) <= most) return;
    goss_buf list = GOSS_BUF((size_t)1 << 20);
    int walks = 0, n = 0;
    for (goss_grammar *g = s->users; g; g = g->next) {
        int *state = &g->state;
        walks |= g->walk.bits != NULL;
        if (g->current && !goss_buf_append(&list, &state, sizeof state)) n++;
    }
    if (!walks && !list.failed) {
        goss_token_masks_drop(&s->masks);
        goss_dfa_trim(s->dfa, (int *const *)(void *)list.data, n, most);
    }
    goss_buf_free(&list);
}

static int advance(goss_grammar *g, double until_ms)
{
    goss_schemas *s = g->schemas;
    if (!g->walk.bits) {
        if (!take_bytes(g, until_ms)) return 0;
        trim(s);
    }
    return g->state < 0 ? 1 : goss_token_mask_make(&s->masks, &g->walk, g->state, until_ms);
}

static void allow_ends(const goss_schemas *s, const constraint *c, uint32_t *mask)
{
    const goss_word_list *words = s->masks.words;
    for (int k = 0; k < words->n_stops; k++) {
        const int32_t i = words->stops[k];
        if (s->call >= 0 && (i == s->call) != (c->tool[0] != 0)) continue;
        mask[i >> 5] |= 1u << (i & 31);
    }
}

static void fill(const goss_grammar *g, uint32_t *mask)
{
    const goss_schemas *s = g->schemas;
    const size_t n = (size_t)(s->masks.words->n_vocab + 31) / 32;
    const uint32_t *bits = g->state >= 0 ? goss_token_mask(&s->masks, g->state) : NULL;
    uint32_t any = 0;
    for (size_t i = 0; i < n; i++) any |= mask[i] = bits ? bits[i] : 0;
    if (goss_dfa_accepts(s->dfa, g->state) || !any) allow_ends(s, g->current, mask);
}

/* The same thread's work for all of the request counts. */
static int check_time(const goss_schemas *s, goss_error *err)
{
    const double most = s->room->request_ms + (double)(TOKEN_MS * s->n_tokens);
    if (s->spent_ms <= most) return 0;
    return goss_fail(err, GOSS_ELIMIT, -1,
                     "the JSON schema takes too long to be held to, more than %d ms of work: does it have a "
                     "pattern with very many ways to match?",
                     (int)most);
}

int goss_grammar_think(goss_grammar *g, const goss_chat_parser *parser, double until_ms, uint32_t *mask,
                       goss_error *err)
{
    goss_schemas *s = g->schemas;
    const double began = goss_os_thread_ms();
    int failed = g->failed;
    if (g->known) return 1;
    if (!failed && !enter(g, parser)) {
        g->goes_on = owes_answer(s, parser);
        if (g->goes_on) allow_all_but_ends(s, mask);
        return g->known = 1;
    }
    const int done = failed ? 0 : advance(g, until_ms) > 0;
    const double ms = goss_os_thread_ms() - began;
    s->spent_ms += ms;
    atomic_fetch_add(&s->room->spent_us, us(ms));
    if (!failed) failed = s->masks.failed ? s->masks.failed : goss_dfa_failed(s->dfa);
    if (failed) failed = too_much(s, failed, err);
    else failed = check_time(s, err);
    if (failed) {
        atomic_fetch_add(&s->room->n_refused, !g->failed);
        return g->failed = failed;
    }
    if (done) fill(g, mask);
    return g->known = done;
}

int goss_grammar_knows(const goss_grammar *g) { return g->known; }
int goss_grammar_binds(const goss_grammar *g) { return g->current || g->goes_on; }
