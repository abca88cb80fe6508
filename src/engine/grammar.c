/* grammar.c - masks: which tokens the automaton lets through from a state.
 *
 * Tokens are walked in the order of their bytes, each from the byte where it differs from the one before (a trie
 * without the trie), and only those bytes are kept, one after the other: a walk reads memory forwards. A state that
 * dies at depth d skips every token that shares more than d bytes.
 * Where a state is the inside of a string - every plain character leads back to it - tokens of plain characters alone
 * (97 of 100) are let through by one copy of a mask made with the order, and only the others are walked.
 * Masks are kept by state. Control tokens stand for no bytes: of them only those that end the generation are let
 * through, where the text may end. */
#include "grammar.h"
#include "../base/error.h"
#include "../base/mem.h"
#include "schema.h"
#include <string.h>

enum { MAX_STATES = 4000, MAX_MASKS = 128, MAX_TOOLS = 128, MAX_DEPTH = 256, SCHEMA_BYTES = 1 << 20 };

/* ---- the vocabulary's order -------------------------------------------------------------------------------- */
/* Kinds of words. TEXT: whole characters, but no quote, backslash or control character; LETTERS: letters and digits of
 * ASCII alone. */
enum { TEXT, LETTERS, KINDS };
typedef struct word {
    int32_t id;
    int32_t skip;        /* the next word that shares fewer bytes with the one before it */
    uint32_t from;       /* where the bytes that it doesn't share begin */
    uint16_t n, shared;  /* how many they are, behind how many in common with the one before */
} word;
typedef struct ordered {
    int n;
    int32_t *ids;        /* (n) with 1 to MAX_DEPTH bytes, ascending by bytes; only while the list is made */
    word *words;         /* (n) the same */
    goss_buf bytes;
} ordered;
struct goss_word_list {
    const goss_vocab *vocab;
    int n_vocab;
    ordered all, odd[KINDS];  /* odd: those that are not of a kind */
    uint32_t *plain[KINDS];   /* (n_vocab bits) those that are */
    int32_t *stops; int n_stops;
};

static int compare(const goss_vocab *v, int32_t a, int32_t b)
{
    const goss_str x = goss_vocab_bytes(v, a, 0), y = goss_vocab_bytes(v, b, 0);
    const int c = memcmp(x.s, y.s, (size_t)(x.n < y.n ? x.n : y.n));
    return c ? c : x.n < y.n ? -1 : x.n > y.n;
}

/* Merge sort, bottom up. */
static void sort_ids(const goss_vocab *v, int32_t *ids, int32_t *other, int n)
{
    for (int width = 1; width < n; width *= 2) {
        for (int from = 0; from < n; from += 2 * width) {
            const int mid = from + width < n ? from + width : n, end = from + 2 * width < n ? from + 2 * width : n;
            int a = from, b = mid;
            for (int i = from; i < end; i++)
                other[i] = a < mid && (b >= end || compare(v, ids[a], ids[b]) <= 0) ? ids[a++] : ids[b++];
        }
        memcpy(ids, other, (size_t)n * sizeof *ids);
    }
}

/* Bytes of one whole UTF-8 character at s, 0: there is none. Surrogates and overlong forms are none. */
static int character(const uint8_t *s, uint64_t n)
{
    const uint8_t c = s[0];
    const int len = c < 0x80 ? 1 : c >= 0xC2 && c < 0xE0 ? 2 : c >= 0xE0 && c < 0xF0 ? 3 : c >= 0xF0 &&
        c < 0xF5 ? 4 : 0;
    if (!len || (uint64_t)len > n) return 0;
    for (int i = 1; i < len; i++)
        if ((s[i] & 0xC0) != 0x80) return 0;
    if ((c == 0xE0 && s[1] < 0xA0) || (c == 0xED && s[1] > 0x9F) || (c == 0xF0 && s[1] < 0x90) ||
        (c == 0xF4 && s[1] > 0x8F))
        return 0;
    return len;
}

static int is_letters(goss_str t)
{
    for (uint64_t i = 0; i < t.n; i++) {
        const char c = t.s[i];
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'))) return 0;
    }
    return 1;
}

static int is_plain(goss_str t)
{
    const uint8_t *s = (const uint8_t *)t.s;
    for (uint64_t i = 0; i < t.n;) {
        const int len = s[i] < 0x20 || s[i] == '"' || s[i] == '\\' ? 0 : character(s + i, t.n - i);
        if (!len) return 0;
        i += (uint64_t)len;
    }
    return 1;
}

/* What words in order share, and the bytes that they don't. */
static int index_words(const goss_vocab *v, ordered *w)
{
    w->bytes = GOSS_BUF((size_t)1 << 31);
    w->words = goss_mem_array((size_t)w->n + 1, sizeof *w->words);
    if (!w->words) return GOSS_ENOMEM;
    goss_str before = { 0 };
    for (int i = 0; i < w->n; i++) {
        const goss_str t = goss_vocab_bytes(v, w->ids[i], 0);
        uint64_t same = 0;
        while (same < before.n && same < t.n && before.s[same] == t.s[same]) same++;
        w->words[i] = (word){ .id = w->ids[i],
                              .from = (uint32_t)w->bytes.len,
                              .n = (uint16_t)(t.n - same),
                              .shared = (uint16_t)same };
        goss_buf_append(&w->bytes, t.s + same, (size_t)(t.n - same));
        before = t;
    }
    for (int i = w->n - 1; i >= 0; i--) {
        int next = i + 1;
        while (next < w->n && w->words[next].shared >= w->words[i].shared) next = w->words[next].skip;
        w->words[i].skip = next;
    }
    goss_mem_free(w->ids);
    w->ids = NULL;
    return w->bytes.failed;
}

static void free_words(ordered *w)
{
    goss_mem_free(w->ids);
    goss_mem_free(w->words);
    goss_buf_free(&w->bytes);
}

int goss_word_list_open(goss_word_list **out, const goss_vocab *v, int n_vocab)
{
    *out = NULL;
    goss_word_list *w = goss_mem_alloc(sizeof *w);
    if (!w) return GOSS_ENOMEM;
    w->vocab = v;
    w->n_vocab = n_vocab;
    const int n = goss_vocab_size(v);
    int32_t *other = goss_mem_array((size_t)n, sizeof *other);
    w->all.ids = goss_mem_array((size_t)n, sizeof *w->all.ids);
    w->stops = goss_mem_array((size_t)n, sizeof *w->stops);
    int rc = other && w->all.ids && w->stops ? 0 : GOSS_ENOMEM;
    for (int k = 0; k < KINDS && !rc; k++) {
        w->odd[k].ids = goss_mem_array((size_t)n, sizeof *w->odd[k].ids);
        w->plain[k] = goss_mem_array((size_t)(n_vocab + 31) / 32, sizeof *w->plain[k]);
        if (!w->odd[k].ids || !w->plain[k]) rc = GOSS_ENOMEM;
    }
    for (int i = 0; i < n && !rc; i++) {
        if (goss_vocab_is_stop(v, i)) w->stops[w->n_stops++] = i;
        const uint64_t bytes = goss_vocab_bytes(v, i, 0).n;
        if (bytes && bytes <= MAX_DEPTH && goss_vocab_kind(v, i) != GOSS_TOKEN_CONTROL &&
            goss_vocab_kind(v, i) != GOSS_TOKEN_UNUSED)
            w->all.ids[w->all.n++] = i;
    }
    if (!rc) sort_ids(v, w->all.ids, other, w->all.n);
    for (int i = 0; i < w->all.n && !rc; i++) {
        const int32_t id = w->all.ids[i];
        const goss_str t = goss_vocab_bytes(v, id, 0);
        for (int k = 0; k < KINDS; k++)
            if (k == TEXT ? is_plain(t) : is_letters(t)) w->plain[k][id >> 5] |= 1u << (id & 31);
            else w->odd[k].ids[w->odd[k].n++] = id;
    }
    if (!rc) rc = index_words(v, &w->all);
    for (int k = 0; k < KINDS && !rc; k++) rc = index_words(v, &w->odd[k]);
    goss_mem_free(other);
    if (rc) goss_word_list_close(&w);
    *out = w;
    return rc;
}

void goss_word_list_close(goss_word_list **words)
{
    goss_word_list *w = *words;
    if (!w) return;
    free_words(&w->all);
    for (int k = 0; k < KINDS; k++) {
        free_words(&w->odd[k]);
        goss_mem_free(w->plain[k]);
    }
    goss_mem_free(w->stops);
    goss_mem_free(w);
    *words = NULL;
}

/* ---- a compiled schema ------------------------------------------------------------------------------------- */
typedef struct constraint {
    goss_graph graph; goss_dfa *dfa;
    struct { int state; uint32_t *bits; } masks[MAX_MASKS]; int n_masks;
    char tool[128];                     /* "functions.name"; "" for the answer */
} constraint;

static int open_constraint(constraint *c, const goss_json *j, int schema, int root, goss_error *err)
{
    int start;
    goss_graph_init(&c->graph);
    int rc = goss_schema_compile(&c->graph, j, schema, root, &start, err);
    if (!rc) rc = goss_dfa_open(&c->dfa, &c->graph, start);
    else return rc == GOSS_ENOMEM ? goss_fail(err, rc, -1, "no memory for a JSON schema") : rc;
    if (rc || (goss_dfa_start(c->dfa) == GOSS_DEAD && goss_dfa_failed(c->dfa)))
        return goss_fail(err, GOSS_ENOMEM, -1, "no memory for a JSON schema");
    return goss_dfa_start(c->dfa) == GOSS_DEAD
               ? goss_fail(err, GOSS_EUNSUPPORTED, -1, "the JSON schema allows nothing")
               : 0;
}

static void drop_masks(constraint *c)
{
    for (int i = 0; i < c->n_masks; i++) goss_mem_free(c->masks[i].bits);
    c->n_masks = 0;
}

static void close_constraint(constraint *c)
{
    if (!c) return;
    drop_masks(c);
    goss_dfa_close(&c->dfa);
    goss_graph_free(&c->graph);
    goss_mem_free(c);
}

/* The one state that bytes lo..hi all lead to; GOSS_DEAD: not one, or none. */
static int all_to(goss_dfa *d, int from, int lo, int hi)
{
    const int to = goss_dfa_next(d, from, (uint8_t)lo);
    for (int b = lo + 1; b <= hi && to != GOSS_DEAD; b++)
        if (goss_dfa_next(d, from, (uint8_t)b) != to) return GOSS_DEAD;
    return to;
}

/* Whether every plain character leads from a state back to it: all of ASCII but the quote and the backslash, and each
 * well-formed sequence of UTF-8. Then tokens of plain characters alone are let through, and nothing else is needed of
 * them: the walk would end in the same state. */
static int is_text(goss_dfa *d, int s)
{
    static const struct { uint8_t lo, hi, from, to, more; } lead[] = {
        { 0xC2, 0xDF, 0x80, 0xBF, 0 }, { 0xE0, 0xE0, 0xA0, 0xBF, 1 }, { 0xE1, 0xEC, 0x80, 0xBF, 1 },
        { 0xED, 0xED, 0x80, 0x9F, 1 }, { 0xEE, 0xEF, 0x80, 0xBF, 1 }, { 0xF0, 0xF0, 0x90, 0xBF, 2 },
        { 0xF1, 0xF3, 0x80, 0xBF, 2 }, { 0xF4, 0xF4, 0x80, 0x8F, 2 },
    };
    if (all_to(d, s, 0x20, 0x21) != s || all_to(d, s, 0x23, 0x5B) != s || all_to(d, s, 0x5D, 0x7F) != s) return 0;
    for (size_t i = 0; i < sizeof lead / sizeof *lead; i++) {
        int at = all_to(d, s, lead[i].lo, lead[i].hi);
        if (at != GOSS_DEAD) at = all_to(d, at, lead[i].from, lead[i].to);
        for (int k = 0; k < lead[i].more && at != GOSS_DEAD; k++) at = all_to(d, at, 0x80, 0xBF);
        if (at != s) return 0;
    }
    return 1;
}

/* The same for letters and digits, as patterns have them. */
static int takes_letters(goss_dfa *d, int s)
{
    return all_to(d, s, '0', '9') == s && all_to(d, s, 'A', 'Z') == s && all_to(d, s, 'a', 'z') == s;
}

static void walk(const ordered *w, goss_dfa *d, int from, uint32_t *bits)
{
    int states[MAX_DEPTH + 1];          /* states[k]: after k bytes of the word before */
    states[0] = from;
    for (int i = 0; i < w->n;) {
        const word *t = &w->words[i];
        const uint8_t *bytes = w->bytes.data + t->from;
        int k = 0, *at = states + t->shared;
        for (; k < t->n; k++)
            if ((at[k + 1] = goss_dfa_next(d, at[k], bytes[k])) == GOSS_DEAD) break;
        i++;
        if (k == t->n) bits[t->id >> 5] |= 1u << (t->id & 31);
        else while (i < w->n && w->words[i].shared > t->shared + k) i = w->words[i].skip;
    }
}

static const uint32_t *mask_of(constraint *c, const goss_word_list *w, int state)
{
    for (int i = 0; i < c->n_masks; i++)
        if (c->masks[i].state == state) return c->masks[i].bits;
    if (c->n_masks == MAX_MASKS) drop_masks(c);
    uint32_t *bits = goss_mem_array((size_t)(w->n_vocab + 31) / 32, sizeof *bits);
    if (!bits) return NULL;
    const int kind = is_text(c->dfa, state) ? TEXT : takes_letters(c->dfa, state) ? LETTERS : KINDS;
    if (kind < KINDS) memcpy(bits, w->plain[kind], (size_t)(w->n_vocab + 31) / 32 * sizeof *bits);
    walk(kind < KINDS ? &w->odd[kind] : &w->all, c->dfa, state, bits);
    c->masks[c->n_masks].state = state;
    c->masks[c->n_masks++].bits = bits;
    return bits;
}

/* ---- a generation ------------------------------------------------------------------------------------------ */
struct goss_grammar {
    const goss_word_list *words;
    constraint *answer, *tools[MAX_TOOLS]; int n_tools;
    constraint *current; int state;          /* within a constrained content; NULL: not in one */
    int32_t call;                            /* <|call|>, -1: none */
    int failed;
};

static int add_constraint(constraint **slot, const goss_json *j, int schema, int root, goss_error *err)
{
    *slot = goss_mem_alloc(sizeof **slot);
    return *slot ? open_constraint(*slot, j, schema, root, err)
                 : goss_fail(err, GOSS_ENOMEM, -1, "no memory for a JSON schema");
}

static int add_tool(goss_grammar *g, const goss_json *j, int tool, goss_error *err)
{
    const int nested = goss_json_get(j, tool, "function"), f = nested >= 0 ? nested : tool;
    if (!goss_json_bool(j, goss_json_get(j, f, "strict"), 0)) return 0;
    if (g->n_tools == MAX_TOOLS) return goss_fail(err, GOSS_ELIMIT, -1, "more than %d strict tools", (int)MAX_TOOLS);
    const int params = goss_json_get(j, f, "parameters");
    goss_buf name = GOSS_BUF(256);
    goss_buf_str(&name, "functions.");
    int rc = goss_json_string(j, goss_json_get(j, f, "name"), &name);
    constraint *c = NULL;
    if (rc || name.len >= sizeof c->tool)
        rc = goss_fail(err, GOSS_EINVAL, -1, "a tool's name is missing or longer than 117 bytes");
    else if (params >= 0) rc = add_constraint(&g->tools[g->n_tools++], j, params, params, err);
    if (!rc && params >= 0) memcpy(g->tools[g->n_tools - 1]->tool, name.data, name.len);
    goss_buf_free(&name);
    return rc;
}

static int parse(goss_json *j, const char *text, goss_error *err)
{
    const size_t n = strlen(text);
    if (n > SCHEMA_BYTES) return goss_fail(err, GOSS_ELIMIT, -1, "the JSON schema is longer than 1 MB");
    return goss_json_parse(j, text, n, NULL, err);
}

static int open_tools(goss_grammar *g, const char *text, goss_error *err)
{
    goss_json j = { 0 };
    int rc = parse(&j, text, err);
    for (int t = rc ? -1 : goss_json_first(&j, 0); t >= 0 && !rc; t = goss_json_next(&j, t))
        rc = add_tool(g, &j, t, err);
    goss_json_free(&j);
    return rc;
}

static int open_answer(goss_grammar *g, const char *text, goss_error *err)
{
    goss_json j = { 0 };
    int rc = parse(&j, text, err);
    if (!rc) rc = add_constraint(&g->answer, &j, 0, 0, err);
    goss_json_free(&j);
    return rc;
}

int goss_grammar_open(goss_grammar **out, const goss_word_list *words, const char *schema, const char *tools,
                      goss_error *err)
{
    *out = NULL;
    goss_grammar *g = goss_mem_alloc(sizeof *g);
    if (!g) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for a JSON schema");
    g->words = words;
    g->call = goss_vocab_find(words->vocab, "<|call|>");
    int rc = schema ? open_answer(g, schema, err) : 0;
    if (!rc && tools) rc = open_tools(g, tools, err);
    if (rc || (!g->answer && !g->n_tools)) goss_grammar_close(&g);
    *out = g;
    return rc;
}

void goss_grammar_close(goss_grammar **grammar)
{
    goss_grammar *g = *grammar;
    if (!g) return;
    close_constraint(g->answer);
    for (int i = 0; i < g->n_tools; i++) close_constraint(g->tools[i]);
    goss_mem_free(g);
    *grammar = NULL;
}

/* The constraint that binds at the parser's place. */
static constraint *bound_by(const goss_grammar *g, const goss_chat_parser *parser)
{
    if (!parser) return g->answer;
    const char *channel, *recipient;
    if (!goss_chat_parser_state(parser, &channel, &recipient)) return NULL;
    if (!recipient[0]) return strcmp(channel, "final") ? NULL : g->answer;
    for (int i = 0; i < g->n_tools; i++)
        if (!strcmp(recipient, g->tools[i]->tool)) return g->tools[i];
    return NULL;
}

/* In step with the parser: a content that begins starts its automaton, one that has ended forgets it. */
static constraint *enter(goss_grammar *g, const goss_chat_parser *parser)
{
    constraint *c = bound_by(g, parser);
    if (c && c != g->current) g->state = goss_dfa_start(c->dfa);
    g->current = c;
    return c;
}

void goss_grammar_push(goss_grammar *g, const goss_chat_parser *parser, int32_t token)
{
    constraint *c = enter(g, parser);
    if (!c) return;
    const goss_str t = goss_vocab_bytes(g->words->vocab, token, 0);
    if (!t.n) { g->current = NULL; return; }
    for (uint64_t i = 0; i < t.n; i++) g->state = goss_dfa_next(c->dfa, g->state, (uint8_t)t.s[i]);
    int trimmed;
    g->state = goss_dfa_trim(c->dfa, g->state, MAX_STATES, &trimmed);
    if (trimmed) drop_masks(c);
}

static void allow_ends(const goss_grammar *g, const constraint *c, uint32_t *mask)
{
    for (int k = 0; k < g->words->n_stops; k++) {
        const int32_t i = g->words->stops[k];
        if (g->call >= 0 && (i == g->call) != (c->tool[0] != 0)) continue;
        mask[i >> 5] |= 1u << (i & 31);
    }
}

int goss_grammar_failed(const goss_grammar *g) { return g->failed || (g->current && goss_dfa_failed(g->current->dfa)); }

int goss_grammar_mask(goss_grammar *g, const goss_chat_parser *parser, uint32_t *mask)
{
    constraint *c = enter(g, parser);
    if (!c) return 0;
    const size_t n = (size_t)(g->words->n_vocab + 31) / 32;
    const uint32_t *bits = g->state >= 0 ? mask_of(c, g->words, g->state) : NULL;
    if (g->state >= 0 && !bits) g->failed = 1;
    uint32_t any = 0;
    for (size_t i = 0; i < n; i++) any |= mask[i] = bits ? bits[i] : 0;
    if (goss_dfa_accepts(c->dfa, g->state) || !any) allow_ends(g, c, mask);
    return 1;
}
