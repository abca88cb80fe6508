/* strings.c - see strings.h.
 *
 * A pattern alone is laid out as it is, and lengths alone are a chain. Everything else is the product of
 * automata, one for each language and one for well-formed strings, and a count of characters. It is explored
 * from its first state: where a place in all automata leads is found once, and each place with a count
 * becomes a node of the graph. For "not in a language" to be right a string must have one spelling only: here
 * characters are written as JSON.stringify writes them. */
#include "strings.h"
#include "base/error.h"
#include "base/mem.h"
#include "regex.h"
#include "text_ahead.h"
#include <string.h>

enum {
    MAX_STATES = 30000,
    MAX_PLACES = 4 * MAX_STATES,
    HASH = 2048,
    PRODUCT_KEY = GOSS_MAX_LANGUAGES + 1,
    MOST_TEXTS = 64
};
/* quoted: its texts have their quotes */
typedef struct language {
    goss_graph g;
    goss_dfa *dfa;
    goss_str pattern;
    int quoted;
    int start;
} language;
/* A state of all automata; between: two characters; bytes: how many lead on as text; moves -1: not known. */
typedef struct place { int same_hash, moves, n_moves; uint32_t languages; uint8_t between, bytes; } place;
typedef struct move { int to; uint8_t lo, hi; } move;
/* A place behind so many characters. */
typedef struct state { int place, count, node, same_hash; } state;
struct goss_strings {
    goss_parts *p;
    language well_formed, is[GOSS_MAX_LANGUAGES];
    int n;
    uint64_t min, max;
    /* the product: (n + 1) int32 a place (well_formed, the languages); places, their moves; states */
    goss_buf keys, places, moves, states;
    int32_t place_hash[HASH], state_hash[HASH];
    uint64_t counted;  /* bytes of these lists that the graph's budget knows of */
    uint8_t cut[257]; /* 1: some language tells this byte from the one before it */
    uint8_t bytes[MOST_TEXTS];
    int rc;
    goss_error *err;
};

static const char TOO_MANY[] = "more than 30 patterns and formats in one place";

static int fail(goss_strings *s, int rc, const char *why)
{
    if (!s->rc) s->rc = goss_fail(s->err, rc, -1, "%s", why);
    return GOSS_NONE;
}

/* ---- languages ----------------------------------------------------------------------------------------- */
static int open_language(language *l, int start)
{
    l->start = start;
    return goss_dfa_open(&l->dfa, &l->g);
}

static void close_language(language *l)
{
    goss_dfa_close(&l->dfa);
    goss_graph_free(&l->g);
}

int goss_strings_open(goss_strings **out, goss_parts *p)
{
    goss_strings *s = *out = goss_mem_alloc(sizeof *s);
    if (!s) return GOSS_ENOMEM;
    s->p = p;
    s->max = UINT64_MAX;
    s->keys = s->places = s->moves = s->states = GOSS_BUF((size_t)1 << 26);
    return 0;
}

void goss_strings_close(goss_strings **strings)
{
    goss_strings *s = *strings;
    if (!s) return;
    close_language(&s->well_formed);
    for (int i = 0; i < s->n; i++) close_language(&s->is[i]);
    goss_buf_free(&s->keys);
    goss_buf_free(&s->places);
    goss_buf_free(&s->moves);
    goss_buf_free(&s->states);
    goss_budget_give(s->p->g->budget, s->counted);
    goss_mem_free(s);
    *strings = NULL;
}

int goss_strings_pattern(goss_strings *s, goss_str pattern, goss_error *err)
{
    if (s->n == GOSS_MAX_LANGUAGES) return goss_fail(err, GOSS_ELIMIT, -1, TOO_MANY);
    language *l = &s->is[s->n];
    int start;
    goss_graph_init(&l->g);
    goss_graph_count(&l->g, s->p->g->budget);
    l->pattern = pattern;
    goss_parts p = goss_parts_for(&l->g);
    int rc = goss_regex_compile(&l->g, pattern.s, (size_t)pattern.n, goss_part_plain(&p), 0, &start, err);
    if (!rc && (rc = open_language(l, start)))
        goss_fail(err, rc, -1,
                  rc == GOSS_ENOMEM ? "there is no memory" : "a pattern makes too large an automaton");
    if (!rc) return s->n++;
    close_language(l);
    return rc;
}

/* The text as a string's content. */
static int text_node(goss_graph *g, goss_str text, int next)
{
    goss_buf b = GOSS_BUF(1 << 24);
    int out = 0;
    if (goss_buf_json_string(&b, text.s, (size_t)text.n)) g->failed = GOSS_ENOMEM;
    else out = goss_graph_text(g, (const char *)b.data + 1, b.len - 2, next);
    goss_buf_free(&b);
    return out;
}

int goss_strings_texts(goss_strings *s, const goss_str *texts, int n, goss_error *err)
{
    if (s->n == GOSS_MAX_LANGUAGES) return goss_fail(err, GOSS_ELIMIT, -1, TOO_MANY);
    language *l = &s->is[s->n];
    goss_graph_init(&l->g);
    goss_graph_count(&l->g, s->p->g->budget);
    goss_parts p = goss_parts_for(&l->g);
    int start = GOSS_NONE;
    for (int i = 0; i < n; i++) start = goss_part_either(&p, start, text_node(&l->g, texts[i], 0));
    if (start == GOSS_NONE) start = goss_graph_bytes(&l->g, 1, 0, 0);
    const int rc = open_language(l, start);
    if (!rc) return s->n++;
    close_language(l);
    return goss_fail(err, rc, -1, rc == GOSS_ENOMEM ? "there is no memory" : "too many names");
}

int goss_strings_graph(goss_strings *s, goss_graph *g, int start, goss_error *err)
{
    int rc = s->n == GOSS_MAX_LANGUAGES ? GOSS_ELIMIT : 0;
    language *l = &s->is[s->n];
    if (!rc) {
        *l = (language){ .g = *g, .quoted = 1 };
        goss_graph_init(g);
        rc = open_language(l, start);
        if (!rc) return s->n++;
        close_language(l);
    }
    return goss_fail(err, rc, -1, rc == GOSS_ELIMIT ? TOO_MANY : "there is no memory");
}

/* Of the content: where it begins, and whether it may end. */
static int first_state(language *l)
{
    const int start = goss_dfa_start(l->dfa, l->start);
    return l->quoted ? goss_dfa_next(l->dfa, start, '"') : start;
}
static int may_end(const language *l, int at)
{
    return goss_dfa_accepts(l->dfa, l->quoted ? goss_dfa_next(l->dfa, at, '"') : at);
}

void goss_strings_lengths(goss_strings *s, uint64_t min, uint64_t max)
{
    if (min > s->min) s->min = min;
    if (max != UINT64_MAX && max > GOSS_MAX_LENGTH) max = GOSS_MAX_LENGTH;
    if (max < s->max) s->max = max;
}

int goss_strings_bounded(const goss_strings *s, uint64_t *min, uint64_t *max)
{
    *min = s->min;
    *max = s->max;
    return s->min > 0 || s->max != UINT64_MAX;
}

uint32_t goss_strings_languages(goss_strings *s, goss_str text)
{
    goss_buf b = GOSS_BUF(1 << 24);
    uint32_t out = 0;
    const int rc = goss_buf_json_string(&b, text.s, (size_t)text.n);
    if (rc) s->p->g->failed = rc;
    else
        for (int k = 0; k < s->n; k++) {
            int at = first_state(&s->is[k]);
            for (size_t i = 1; i + 1 < b.len; i++) at = goss_dfa_next(s->is[k].dfa, at, b.data[i]);
            out |= (uint32_t)may_end(&s->is[k], at) << k;
        }
    goss_buf_free(&b);
    return out;
}

/* ---- the product --------------------------------------------------------------------------------------- */
static place *place_at(const goss_strings *s, int i) { return (place *)(void *)s->places.data + i; }
static int n_places(const goss_strings *s) { return (int)(s->places.len / sizeof(place)); }
static int n_states(const goss_strings *s) { return (int)(s->states.len / sizeof(state)); }
static size_t key_bytes(const goss_strings *s) { return ((size_t)s->n + 1) * sizeof(int32_t); }
static uint32_t mix(uint32_t h, uint32_t v) { return (h ^ v) * 0x9E3779B1u ^ (h >> 15); }

static int too_large(goss_strings *s)
{
    fail(s, GOSS_ELIMIT, "patterns, formats and lengths together make too large an automaton");
    return 0;
}

/* How many bytes lead on as text from a state of well_formed, which has few. */
static int count_bytes(goss_strings *s, int text, int within)
{
    int bytes = text < MOST_TEXTS ? s->bytes[text] : 0;
    for (int b = bytes ? 0x100 : within ? 0x80 : 0x20; b < 0x100; b++)
        bytes += b != '\\' && goss_dfa_next(s->well_formed.dfa, text, (uint8_t)b) >= 0;
    if (text < MOST_TEXTS) s->bytes[text] = (uint8_t)bytes;
    return bytes;
}

static uint32_t accepted(const goss_strings *s, const int32_t *key)
{
    uint32_t bits = 0;
    for (int k = 0; k < s->n; k++) bits |= (uint32_t)may_end(&s->is[k], key[k + 1]) << k;
    return bits;
}

static int place_of(goss_strings *s, const int32_t *key)
{
    const size_t bytes = key_bytes(s);
    uint32_t h = 2166136261u;
    for (int i = 0; i <= s->n; i++) h = mix(h, (uint32_t)key[i]);
    h %= HASH;
    for (int i = s->place_hash[h]; i >= 0; i = place_at(s, i)->same_hash)
        if (!memcmp(s->keys.data + (size_t)i * bytes, key, bytes)) return i;
    const int i = n_places(s), between = goss_dfa_accepts(s->well_formed.dfa, key[0]);
    if (i == MAX_PLACES) return too_large(s);
    const place p = { .same_hash = s->place_hash[h], .moves = -1, .between = (uint8_t)between,
                      .languages = between ? accepted(s, key) : 0,
                      .bytes = (uint8_t)count_bytes(s, key[0], !between) };
    if (goss_buf_append(&s->keys, key, bytes) || goss_buf_append(&s->places, &p, sizeof p)) {
        fail(s, GOSS_ENOMEM, "there is no memory");
        return 0;
    }
    return s->place_hash[h] = i;
}

/* Where a byte leads; 0: no string goes on so. `must`: languages without which nothing can follow. */
static int after(goss_strings *s, const int32_t *from, int byte, uint32_t must, int32_t *to)
{
    to[0] = goss_dfa_next(s->well_formed.dfa, from[0], (uint8_t)byte);
    if (to[0] == GOSS_DEAD) return 0;
    for (int k = 0; k < s->n; k++) {
        to[k + 1] = goss_dfa_next(s->is[k].dfa, from[k + 1], (uint8_t)byte);
        if (to[k + 1] == GOSS_DEAD && must >> k & 1) return 0;
    }
    return 1;
}

/* The last byte that every language treats as it does this one. */
static int end_of_class(const goss_strings *s, int byte)
{
    while (!s->cut[byte + 1]) byte++;
    return byte;
}

static void mark_cuts(goss_strings *s, const goss_graph *g)
{
    const goss_node *nodes = (const goss_node *)(const void *)g->nodes.data;
    for (size_t i = 0; i < g->nodes.len / sizeof *nodes; i++)
        if (nodes[i].kind == GOSS_NODE_BYTES) s->cut[nodes[i].lo] = s->cut[nodes[i].hi + 1] = 1;
}

typedef struct ending {
    int (*end)(void *ctx, uint32_t languages);
    void *ctx;
    uint32_t must;
} ending;

/* Finds a place's moves, once. */
static void look(goss_strings *s, int at, uint32_t must)
{
    int32_t key[PRODUCT_KEY], to[PRODUCT_KEY], other[PRODUCT_KEY];
    const size_t bytes = key_bytes(s);
    memcpy(key, s->keys.data + (size_t)at * bytes, bytes);
    const int first = (int)(s->moves.len / sizeof(move));
    for (int b = 0x20, last; b < 0x100; b = last + 1) {
        last = end_of_class(s, b);
        if (!after(s, key, b, must, to)) continue;
        while (last < 0xFF && after(s, key, last + 1, must, other) && !memcmp(other, to, bytes))
            last = end_of_class(s, last + 1);
        const move m = { .lo = (uint8_t)b, .hi = (uint8_t)last, .to = place_of(s, to) };
        if (goss_buf_append(&s->moves, &m, sizeof m)) fail(s, GOSS_ENOMEM, "there is no memory");
    }
    place_at(s, at)->moves = first;
    place_at(s, at)->n_moves = (int)(s->moves.len / sizeof(move)) - first;
}

/* The node of a place behind so many characters; new ones wait to be explored. A place in a string is marked
 * as one, but within an escape. */
static int node_of(goss_strings *s, int at, int count)
{
    const uint32_t h = mix(mix(1, (uint32_t)at), (uint32_t)count) % HASH;
    for (int i = s->state_hash[h]; i >= 0; i = ((state *)(void *)s->states.data)[i].same_hash) {
        const state *t = (state *)(void *)s->states.data + i;
        if (t->place == at && t->count == count) return t->node;
    }
    if (n_states(s) == MAX_STATES) return too_large(s);
    const place *p = place_at(s, at);
    const state t = { at, count, goss_graph_either(s->p->g, 0, 0), s->state_hash[h] };
    goss_text_place(s->p->g, t.node, p->bytes, !p->between);
    s->state_hash[h] = n_states(s);
    if (goss_buf_append(&s->states, &t, sizeof t)) fail(s, GOSS_ENOMEM, "there is no memory");
    return t.node;
}

/* Characters are counted where one has ended; beyond the least, where there is no most, they are not. */
static void explore(goss_strings *s, int i, const ending *e)
{
    const state at = ((state *)(void *)s->states.data)[i];
    if (place_at(s, at.place)->moves < 0) look(s, at.place, e->must);
    const place p = *place_at(s, at.place);
    const int more = s->max != UINT64_MAX || (uint64_t)at.count < s->min;
    int out = GOSS_NONE;
    if (p.between && (uint64_t)at.count >= s->min)
        out = goss_part_text(s->p, "\"", e->end(e->ctx, p.languages));
    for (int k = p.moves; k < p.moves + p.n_moves && !s->rc; k++) {
        const move m = ((move *)(void *)s->moves.data)[k];
        const int count = at.count + (more && place_at(s, m.to)->between);
        if ((uint64_t)count > s->max) continue;
        const int to = node_of(s, m.to, count);
        out = goss_part_either(s->p, out, goss_graph_bytes(s->p->g, m.lo, m.hi, to));
    }
    if (out == GOSS_NONE) out = goss_graph_bytes(s->p->g, 1, 0, 0);
    goss_graph_set(s->p->g, at.node, out, out);
}

static int open_well_formed(goss_strings *s)
{
    if (s->well_formed.dfa) return 0;
    goss_graph_init(&s->well_formed.g);
    goss_graph_count(&s->well_formed.g, s->p->g->budget);
    goss_parts p = goss_parts_for(&s->well_formed.g);
    return open_language(&s->well_formed, goss_part_loop(&p, goss_part_plain(&p), 0));
}

/* The lists have grown. */
static void count_scratch(goss_strings *s)
{
    const uint64_t n = s->keys.cap + s->places.cap + s->moves.cap + s->states.cap;
    const int rc = n > s->counted ? goss_budget_take(s->p->g->budget, n - s->counted) : 0;
    if (rc) too_large(s);
    else if (n > s->counted) s->counted = n;
}

static int product(goss_strings *s, const ending *e)
{
    int32_t key[PRODUCT_KEY] = { 0 };
    if (s->min > GOSS_MAX_LENGTH) return fail(s, GOSS_ELIMIT, "a length is above 100000");
    if (open_well_formed(s)) return fail(s, GOSS_ENOMEM, "there is no memory");
    s->cut[0x20] = s->cut[256] = 1;
    mark_cuts(s, &s->well_formed.g);
    for (int k = 0; k < s->n; k++) mark_cuts(s, &s->is[k].g);
    key[0] = goss_dfa_start(s->well_formed.dfa, s->well_formed.start);
    for (int k = 0; k < s->n; k++) key[k + 1] = first_state(&s->is[k]);
    goss_buf_clear(&s->keys);
    goss_buf_clear(&s->places);
    goss_buf_clear(&s->moves);
    goss_buf_clear(&s->states);
    memset(s->place_hash, -1, sizeof s->place_hash);
    memset(s->state_hash, -1, sizeof s->state_hash);
    const int start = node_of(s, place_of(s, key), 0);
    for (int i = 0; i < n_states(s) && !s->rc && !s->p->g->failed; i++) {
        explore(s, i, e);
        if (goss_budget_late(s->p->g->budget)) fail(s, GOSS_ELIMIT, "it takes too long");
        count_scratch(s);
    }
    for (int k = 0; k < s->n && !s->rc; k++)
        if (goss_dfa_failed(s->is[k].dfa)) fail(s, GOSS_ELIMIT, "a pattern makes too large an automaton");
    return s->rc ? GOSS_NONE : start;
}

int goss_strings_sort(goss_strings *s, int (*end)(void *ctx, uint32_t languages), void *ctx, int *rc,
                      goss_error *err)
{
    const ending e = { end, ctx, 0 };
    s->rc = 0;
    s->err = err;
    const int out = product(s, &e);
    *rc = s->rc;
    return out;
}

typedef struct wanted {
    uint32_t in, out;
    int next;
} wanted;

static int end_of_wanted(void *ctx, uint32_t languages)
{
    const wanted *w = ctx;
    return (languages & w->in) == w->in && !(languages & w->out) ? w->next : GOSS_NONE;
}

/* ---- without a product --------------------------------------------------------------------------------- */
static int lengths_alone(goss_strings *s, int next)
{
    goss_parts *p = s->p;
    const int character = goss_part_character(p), close = goss_part_text(p, "\"", next);
    if (s->max < s->min) return GOSS_NONE;
    if (s->min > GOSS_MAX_LENGTH) return fail(s, GOSS_ELIMIT, "a length is above 100000");
    int out = s->max == UINT64_MAX ? goss_part_loop(p, character, close) : close;
    uint64_t left = 0;
    for (uint64_t i = s->min; i < s->max && s->max != UINT64_MAX; i++)
        out = goss_part_either(p, close, goss_part_call(p, character, ++left, out));
    for (uint64_t i = 0; i < s->min; i++)
        out = goss_part_call(p, character, s->max == UINT64_MAX ? s->max : ++left, out);
    return goss_part_text(p, "\"", out);
}

static int pattern_alone(goss_strings *s, int next)
{
    int start = GOSS_NONE;
    const goss_str t = s->is[0].pattern;
    close_language(&s->is[0]);       /* it was well-formed; its memory is wanted for what follows */
    const int rc = goss_regex_compile(s->p->g, t.s, (size_t)t.n, goss_part_character(s->p),
                                      goss_part_text(s->p, "\"", next), &start, s->err);
    if (rc) s->rc = rc;
    return goss_part_text(s->p, "\"", start);
}

/* A pattern that looks ahead is made for a text that ends in node 0. */
static int looks_ahead(goss_str pattern)
{
    for (uint64_t i = 0; i + 2 < pattern.n; i++)
        if (pattern.s[i] == '(' && pattern.s[i + 1] == '?' &&
            (pattern.s[i + 2] == '=' || pattern.s[i + 2] == '!'))
            return 1;
    return 0;
}

int goss_strings_compile(goss_strings *s, uint32_t in, uint32_t out, int next, int *rc, goss_error *err)
{
    wanted w = { in, out, next };
    const ending e = { end_of_wanted, &w, in };
    const int lengths = s->min > 0 || s->max != UINT64_MAX;
    int start;
    *rc = s->rc = 0;
    s->err = err;
    if (next == GOSS_NONE) return GOSS_NONE;
    if (!s->n) start = lengths_alone(s, next);
    else if (s->n == 1 && in && !lengths && s->is[0].pattern.s && !looks_ahead(s->is[0].pattern))
        start = pattern_alone(s, next);
    else start = goss_part_text(s->p, "\"", product(s, &e));
    *rc = s->rc;
    return start;
}
