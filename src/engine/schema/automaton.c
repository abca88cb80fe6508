/* automaton.c - the graph, and lazy determinisation.
 *
 * A configuration is (node, frame): where in the graph, and what to return to. Frames are shared
 * (hash-consed), so equal stacks have equal numbers. A deterministic state is the sorted set of
 * configurations behind which a byte is awaited, and whether the text may end. States and their 256
 * transitions are made when first asked for: a schema's few dozen states are walked over the vocabulary as
 * table look-ups. Depth is bounded: a stack deeper than MAX_DEPTH is dead.
 *
 * What a pattern like (.?){256} costs is bounded, too: sets are kept by hash and sorted by merging, so that a
 * transition takes time in proportion to its configurations; they are at most MAX_CONFIGS; work is counted
 * and can be stopped between two transitions; memory is taken from the graph's budget, in blocks that never
 * move. */
#include "automaton.h"
#include "base/mem.h"
#include <gossamer.h>
#include <string.h>

enum { MAX_NODES = 1 << 20, MAX_DEPTH = 128, MAX_CONFIGS = 1 << 14, HASH = 4096, UNKNOWN = -3 };

/* ---- graph --------------------------------------------------------------------------------------------- */
void goss_graph_init(goss_graph *g)
{
    *g = (goss_graph){ .nodes = GOSS_BUF(MAX_NODES * sizeof(goss_node)) };
    goss_graph_add(g, GOSS_NODE_RETURN, 0, 0, 0, 0);
}

int goss_graph_count(goss_graph *g, goss_budget *budget)
{
    g->budget = budget;
    if (!g->failed) g->failed = goss_budget_take(budget, g->nodes.cap);
    if (g->failed) g->budget = NULL;
    return g->failed;
}

void goss_graph_free(goss_graph *g)
{
    if (g->nodes.data) goss_budget_give(g->budget, g->nodes.cap);
    goss_buf_free(&g->nodes);
}

int goss_graph_add(goss_graph *g, int kind, int lo, int hi, int a, int b)
{
    const goss_node node = { (uint8_t)kind, (uint8_t)lo, (uint8_t)hi, 0, a, b };
    const int at = (int)(g->nodes.len / sizeof node);
    const size_t cap = g->nodes.cap;
    if (g->failed) return 0;
    int rc = goss_buf_append(&g->nodes, &node, sizeof node);
    const int refused = g->nodes.cap > cap ? goss_budget_take(g->budget, g->nodes.cap - cap) : 0;
    if (refused) {
        goss_buf_free(&g->nodes);          /* the memory that nobody counted goes at once */
        goss_budget_give(g->budget, cap);
        rc = refused;
    }
    if (rc) g->failed = rc;
    return rc ? 0 : at;
}

int goss_graph_bytes(goss_graph *g, int lo, int hi, int next)
{
    return goss_graph_add(g, GOSS_NODE_BYTES, lo, hi, next, 0);
}
int goss_graph_either(goss_graph *g, int a, int b) { return goss_graph_add(g, GOSS_NODE_SPLIT, 0, 0, a, b); }
int goss_graph_call(goss_graph *g, int rule, int next)
{
    return goss_graph_add(g, GOSS_NODE_CALL, 0, 0, rule, next);
}

int goss_graph_text(goss_graph *g, const char *s, size_t n, int next)
{
    while (n-- > 0) next = goss_graph_bytes(g, (uint8_t)s[n], (uint8_t)s[n], next);
    return next;
}

void goss_graph_set(goss_graph *g, int node, int a, int b)
{
    if (g->failed) return;
    goss_node *n = (goss_node *)(void *)g->nodes.data + node;
    n->a = a;
    n->b = b;
}

int goss_graph_promise(goss_graph *g, int node, uint64_t characters)
{
    if (g->failed) return node;
    goss_node *n = (goss_node *)(void *)g->nodes.data + node;
    n->text = (uint8_t)(characters < GOSS_TEXT_ENDLESS ? characters : GOSS_TEXT_ENDLESS);
    return node;
}

void goss_graph_characters(goss_graph *g, int from, int to)
{
    goss_node *nodes = (goss_node *)(void *)g->nodes.data;
    for (int i = from; i < to && !g->failed; i++) nodes[i].text = nodes[i].kind == GOSS_NODE_BYTES;
}

/* All code points of one length between two encodings, byte by byte: a tree of at most 3 ranges a level. */
static int utf8_range(goss_graph *g, const uint8_t *lo, const uint8_t *hi, int n, int next)
{
    if (n == 1) return goss_graph_bytes(g, lo[0], hi[0], next);
    static const uint8_t min[4] = { 0x80, 0x80, 0x80, 0x80 }, max[4] = { 0xBF, 0xBF, 0xBF, 0xBF };
    if (lo[0] == hi[0]) return goss_graph_bytes(g, lo[0], lo[0], utf8_range(g, lo + 1, hi + 1, n - 1, next));
    int from = lo[0], to = hi[0], out = -1;
    if (memcmp(lo + 1, min, (size_t)n - 1)) {
        out = goss_graph_bytes(g, from, from, utf8_range(g, lo + 1, max, n - 1, next));
        from++;
    }
    if (memcmp(hi + 1, max, (size_t)n - 1)) {
        const int part = goss_graph_bytes(g, to, to, utf8_range(g, min, hi + 1, n - 1, next));
        out = out < 0 ? part : goss_graph_either(g, out, part);
        to--;
    }
    if (from <= to) {
        const int part = goss_graph_bytes(g, from, to, utf8_range(g, min, max, n - 1, next));
        out = out < 0 ? part : goss_graph_either(g, out, part);
    }
    return out;
}

static int encode(uint32_t c, uint8_t out[4])
{
    if (c < 0x80) { out[0] = (uint8_t)c; return 1; }
    const int n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t lead[5] = { 0, 0, 0xC0, 0xE0, 0xF0 };
    for (int i = n - 1; i > 0; i--, c >>= 6) out[i] = (uint8_t)(0x80 | (c & 63));
    out[0] = (uint8_t)(lead[n] | c);
    return n;
}

int goss_graph_codepoints(goss_graph *g, uint32_t lo, uint32_t hi, int next)
{
    static const uint32_t cut[][2] = {
        { 0, 0x7F }, { 0x80, 0x7FF }, { 0x800, 0xD7FF }, { 0xE000, 0xFFFF }, { 0x10000, 0x10FFFF }
    };
    int out = -1;
    for (size_t i = 0; i < sizeof cut / sizeof *cut; i++) {
        const uint32_t from = lo > cut[i][0] ? lo : cut[i][0], to = hi < cut[i][1] ? hi : cut[i][1];
        if (from > to) continue;
        uint8_t a[4], b[4];
        const int n = encode(from, a);
        encode(to, b);
        const int part = utf8_range(g, a, b, n, next);
        out = out < 0 ? part : goss_graph_either(g, out, part);
    }
    return out < 0 ? goss_graph_bytes(g, 1, 0, next) : out;
}

/* ---- deterministic states ------------------------------------------------------------------------------ */
typedef struct config { int32_t node, frame; } config;
typedef struct frame { int32_t node, below, depth, same_hash; } frame;
typedef struct state {
    const config *set;
    int32_t n, same_hash;
    uint8_t accepts, text, no_more; /* goss_dfa_text */
    int32_t next[256];
} state;
enum { STATES = 64, CHUNK = 1 << 12, FRAMES = 1 << 10, BLOCKS = 1 << 10, FIRST_SLOTS = 1 << 8 };
typedef struct chunk { struct chunk *before; int32_t n, used; config all[]; } chunk;  /* configurations */

struct goss_dfa {
    const goss_node *nodes;
    goss_budget *budget;
    int failed;
    int64_t work;
    state *states[BLOCKS]; int n_states;     /* in blocks of STATES */
    frame *frames[BLOCKS]; int n_frames;     /* in blocks of FRAMES */
    chunk *configs;
    int32_t state_hash[HASH], frame_hash[HASH];
    /* the closure being built: its members, room to sort them in, and which are in it */
    config *set, *other; int n_set, cap_set, accepts, text;
    struct { uint32_t number; int32_t at; } *slots; uint32_t n_slots, number;
};

static state *state_at(const goss_dfa *d, int i) { return &d->states[i / STATES][i % STATES]; }
static frame *frame_at(const goss_dfa *d, int i) { return &d->frames[i / FRAMES][i % FRAMES]; }
static uint32_t mix(uint32_t h, uint32_t v) { return (h ^ v) * 0x9E3779B1u + (h >> 15); }

static void *take(goss_dfa *d, size_t n) { return goss_budget_alloc(d->budget, n, &d->failed); }
static void give(goss_dfa *d, void *p, size_t n) { goss_budget_free(d->budget, p, n); }

static void forget(goss_dfa *d)
{
    for (int i = 0; i < d->n_states; i += STATES) give(d, d->states[i / STATES], STATES * sizeof(state));
    for (int i = 0; i < d->n_frames; i += FRAMES) give(d, d->frames[i / FRAMES], FRAMES * sizeof(frame));
    while (d->configs) {
        chunk *c = d->configs;
        d->configs = c->before;
        give(d, c, sizeof *c + (size_t)c->n * sizeof *c->all);
    }
    d->n_states = d->n_frames = 0;
    memset(d->state_hash, -1, sizeof d->state_hash);
    memset(d->frame_hash, -1, sizeof d->frame_hash);
}

int goss_dfa_open(goss_dfa **out, const goss_graph *g)
{
    *out = NULL;
    if (g->failed) return g->failed;
    int failed = 0;
    goss_dfa *d = goss_budget_alloc(g->budget, sizeof *d, &failed);
    if (!d) return failed;
    d->nodes = (const goss_node *)(const void *)g->nodes.data;
    d->budget = g->budget;
    d->work = INT64_MAX;
    forget(d);
    *out = d;
    return 0;
}

static void free_set(goss_dfa *d)
{
    give(d, d->set, (size_t)d->cap_set * sizeof *d->set);
    give(d, d->other, (size_t)d->cap_set * sizeof *d->other);
    give(d, d->slots, d->n_slots * sizeof *d->slots);
}

void goss_dfa_close(goss_dfa **dfa)
{
    goss_dfa *d = *dfa;
    if (!d) return;
    forget(d);
    free_set(d);
    goss_budget_free(d->budget, d, sizeof *d);
    *dfa = NULL;
}

void goss_dfa_allow(goss_dfa *d, int64_t work) { d->work = work; }

/* The frame "return to node, then to below": -1 is the bottom. -2: too deep or no memory. */
static int frame_for(goss_dfa *d, int node, int below)
{
    const int depth = below < 0 ? 1 : frame_at(d, below)->depth + 1, at = d->n_frames;
    if (depth > MAX_DEPTH) return -2;
    const uint32_t h = mix(mix(1, (uint32_t)node), (uint32_t)below) % HASH;
    for (int f = d->frame_hash[h]; f >= 0; f = frame_at(d, f)->same_hash)
        if (frame_at(d, f)->node == node && frame_at(d, f)->below == below) return f;
    if (at % FRAMES == 0 && at / FRAMES == BLOCKS) { d->failed = GOSS_ELIMIT; return -2; }
    if (at % FRAMES == 0 && !(d->frames[at / FRAMES] = take(d, FRAMES * sizeof(frame)))) return -2;
    d->n_frames++;
    *frame_at(d, at) = (frame){ node, below, depth, d->frame_hash[h] };
    d->frame_hash[h] = at;
    return at;
}

/* ---- the set being built */
static void begin_set(goss_dfa *d)
{
    d->n_set = d->accepts = d->text = 0;
    if (++d->number) return;
    d->number = 1;
    if (d->slots) memset(d->slots, 0, d->n_slots * sizeof *d->slots);
}

/* Where (node, frame) is in `slots`, or belongs. */
static uint32_t slot_of(const goss_dfa *d, int node, int f)
{
    uint32_t i = mix(mix(7, (uint32_t)node), (uint32_t)f);
    for (i ^= i >> 16;; i++) {
        i &= d->n_slots - 1;
        if (d->slots[i].number != d->number) return i;
        const config *c = &d->set[d->slots[i].at];
        if (c->node == node && c->frame == f) return i;
    }
}

/* Twice the room, with two slots for each configuration. 0: no more, the automaton has failed. */
static int grow_set(goss_dfa *d)
{
    goss_dfa old = { .budget = d->budget, .set = d->set, .other = d->other, .cap_set = d->cap_set,
                     .slots = d->slots, .n_slots = d->n_slots };
    const uint32_t n = d->n_slots ? 2 * d->n_slots : FIRST_SLOTS;
    if (n / 2 > MAX_CONFIGS) { d->failed = GOSS_ELIMIT; return 0; }
    d->set = take(d, n / 2 * sizeof *d->set);
    d->other = take(d, n / 2 * sizeof *d->other);
    d->slots = take(d, n * sizeof *d->slots);
    d->n_slots = n;
    d->cap_set = (int)n / 2;
    if (d->set && d->other && d->slots) {
        if (d->n_set) memcpy(d->set, old.set, (size_t)d->n_set * sizeof *d->set);
        for (int i = 0; i < d->n_set; i++) {
            const uint32_t s = slot_of(d, d->set[i].node, d->set[i].frame);
            d->slots[s].number = d->number;
            d->slots[s].at = i;
        }
        free_set(&old);
        return 1;
    }
    free_set(d);
    d->set = old.set;
    d->other = old.other;
    d->slots = old.slots;
    d->n_slots = old.n_slots;
    d->cap_set = old.cap_set;
    return 0;
}

static void put(goss_dfa *d, int node, int f)
{
    if (d->n_set == d->cap_set && !grow_set(d)) return;
    const uint32_t i = slot_of(d, node, f);
    if (d->slots[i].number == d->number) return;
    d->slots[i].number = d->number;
    d->slots[i].at = d->n_set;
    d->set[d->n_set++] = (config){ node, f };
}

/* What a node says of the text that follows; in the last frame none can be called for its characters. */
static void note_text(goss_dfa *d, const goss_node *n, int f)
{
    if (n->text > d->text && (f < 0 || frame_at(d, f)->depth < MAX_DEPTH)) d->text = n->text;
}

/* Everything reachable without a byte. The set doubles as the list of what is still to expand; BYTES stay in
 * it. */
static void close_over(goss_dfa *d)
{
    for (int at = 0; at < d->n_set && !d->failed; at++) {
        const config c = d->set[at];
        const goss_node *n = &d->nodes[c.node];
        if (n->text && n->kind != GOSS_NODE_BYTES) note_text(d, n, c.frame);
        if (n->kind == GOSS_NODE_SPLIT) {
            put(d, n->a, c.frame);
            put(d, n->b, c.frame);
        } else if (n->kind == GOSS_NODE_CALL) {
            /* a call in last place needs no frame */
            const int f = n->b == 0 ? c.frame : frame_for(d, n->b, c.frame);
            if (f > -2) put(d, n->a, f);
        } else if (n->kind == GOSS_NODE_RETURN) {
            if (c.frame < 0) d->accepts = 1;
            else put(d, frame_at(d, c.frame)->node, frame_at(d, c.frame)->below);
        }
    }
    d->work -= d->n_set;
}

static int before(config a, config b) { return a.node != b.node ? a.node < b.node : a.frame < b.frame; }

/* Merge sort, bottom up. */
static void sort_set(goss_dfa *d)
{
    for (int width = 1; width < d->n_set; width *= 2) {
        const config *in = d->set;
        config *out = d->other;
        for (int from = 0; from < d->n_set; from += 2 * width) {
            const int mid = from + width < d->n_set ? from + width : d->n_set,
                      end = from + 2 * width < d->n_set ? from + 2 * width : d->n_set;
            int a = from, b = mid;
            for (int i = from; i < end; i++)
                out[i] = a < mid && (b >= end || before(in[a], in[b])) ? in[a++] : in[b++];
        }
        d->other = d->set;
        d->set = out;
    }
}

/* Keeps the configurations that await a byte, in order. */
static void normalise(goss_dfa *d)
{
    int n = 0;
    for (int i = 0; i < d->n_set; i++)
        if (d->nodes[d->set[i].node].kind == GOSS_NODE_BYTES) d->set[n++] = d->set[i];
    d->n_set = n;
    sort_set(d);
}

/* A copy of the set that stays where it is. */
static const config *keep_set(goss_dfa *d)
{
    chunk *c = d->configs;
    if (!c || c->n - c->used < d->n_set) {
        const int n = d->n_set > CHUNK ? d->n_set : CHUNK;
        if (!(c = take(d, sizeof *c + (size_t)n * sizeof *c->all))) return NULL;
        c->n = n;
        c->before = d->configs;
        d->configs = c;
    }
    config *at = c->all + c->used;
    if (d->n_set) memcpy(at, d->set, (size_t)d->n_set * sizeof *at);
    c->used += d->n_set;
    return at;
}

/* Whether nothing but such characters takes one: then all who promise some have said how many at most. */
static int only_characters(const goss_dfa *d)
{
    for (int i = 0; i < d->n_set; i++) {
        const goss_node *n = &d->nodes[d->set[i].node];
        const int one = n->lo == n->hi, other = n->hi < 0x20 || (one && (n->lo == '"' || n->lo == '\\'));
        if (!n->text && !other) return 0;
    }
    return 1;
}

static int add_state(goss_dfa *d, int32_t *hash)
{
    const int at = d->n_states;
    const config *set = keep_set(d);
    if (!set) return GOSS_DEAD;
    if (at % STATES == 0 && at / STATES == BLOCKS) { d->failed = GOSS_ELIMIT; return GOSS_DEAD; }
    if (at % STATES == 0 && !(d->states[at / STATES] = take(d, STATES * sizeof(state)))) return GOSS_DEAD;
    d->n_states++;
    state *t = state_at(d, at);
    t->set = set;
    t->n = d->n_set;
    t->same_hash = *hash;
    t->accepts = (uint8_t)d->accepts;
    t->text = (uint8_t)d->text;
    t->no_more = d->text && (d->text == GOSS_TEXT_ENDLESS || only_characters(d));
    for (int i = 0; i < 256; i++) t->next[i] = UNKNOWN;
    d->work -= 32;
    return *hash = at;
}

/* The state of the set that was built: a new one, or the one that is equal. */
static int intern(goss_dfa *d)
{
    close_over(d);
    if (d->failed) return GOSS_DEAD;
    normalise(d);
    if (!d->n_set && !d->accepts) return GOSS_DEAD;
    uint32_t h = (uint32_t)d->accepts;
    for (int i = 0; i < d->n_set; i++) h = mix(mix(h, (uint32_t)d->set[i].node), (uint32_t)d->set[i].frame);
    int32_t *hash = &d->state_hash[h % HASH];
    for (int s = *hash; s >= 0; s = state_at(d, s)->same_hash) {
        const state *t = state_at(d, s);
        if (t->n == d->n_set && t->accepts == d->accepts &&
            (!t->n || !memcmp(t->set, d->set, (size_t)t->n * sizeof *t->set)))
            return s;
    }
    return add_state(d, hash);
}

int goss_dfa_start(goss_dfa *d, int node)
{
    begin_set(d);
    put(d, node, -1);
    return intern(d);
}

static int make_transition(goss_dfa *d, int s, uint8_t byte)
{
    state *from = state_at(d, s);
    int lo = 0, hi = 255;                /* the bytes around this one that the same nodes take */
    begin_set(d);
    for (int i = 0; i < from->n; i++) {
        const config c = from->set[i];
        const goss_node *node = &d->nodes[c.node];
        const int takes = byte >= node->lo && byte <= node->hi;
        const int first = takes ? node->lo : byte > node->hi ? node->hi + 1 : 0,
                  last = takes ? node->hi : byte < node->lo ? node->lo - 1 : 255;
        if (first > lo) lo = first;
        if (last < hi) hi = last;
        if (takes) put(d, node->a, c.frame);
    }
    d->work -= from->n / 8 + 4;
    const int to = intern(d);
    for (int i = lo; i <= hi; i++) from->next[i] = to;
    return to;
}

int goss_dfa_next(goss_dfa *d, int s, uint8_t byte)
{
    if (s < 0) return GOSS_DEAD;
    const int known = state_at(d, s)->next[byte];
    if (known != UNKNOWN) return known;
    return d->failed ? GOSS_DEAD : d->work <= 0 ? GOSS_LATER : make_transition(d, s, byte);
}

int goss_dfa_accepts(const goss_dfa *d, int s) { return s >= 0 && state_at(d, s)->accepts; }
int goss_dfa_text(const goss_dfa *d, int s, int *no_more)
{
    *no_more = s >= 0 && state_at(d, s)->no_more;
    return s < 0 ? 0 : state_at(d, s)->text;
}
int goss_dfa_states(const goss_dfa *d) { return d->n_states; }
int goss_dfa_failed(const goss_dfa *d) { return d->failed; }

/* ---- trimming ------------------------------------------------------------------------------------------ */
/* Writes a state: whether it accepts, its text, how many configurations it has, and each: its node and the
 * stack of its frame, top first, as return nodes; -1 ends it. */
static void save_state(const goss_dfa *d, int s, goss_buf *out)
{
    const state *t = state_at(d, s);
    goss_buf_i32(out, t->accepts);
    goss_buf_i32(out, t->text);
    goss_buf_i32(out, t->n);
    for (int i = 0; i < t->n; i++) {
        goss_buf_i32(out, t->set[i].node);
        for (int f = t->set[i].frame; f >= 0; f = frame_at(d, f)->below)
            goss_buf_i32(out, frame_at(d, f)->node);
        goss_buf_i32(out, -1);
    }
}

/* Makes it anew, and returns its number; *at moves behind it. */
static int restore_state(goss_dfa *d, const int32_t **at)
{
    const int32_t *p = *at;
    begin_set(d);
    d->accepts = *p++;
    d->text = *p++;
    for (int i = *p++; i > 0; i--) {
        const int node = *p++;
        int depth = 0, f = -1;
        while (p[depth] >= 0) depth++;
        for (int k = depth - 1; k >= 0 && f > -2; k--) f = frame_for(d, p[k], f);
        p += depth + 1;
        if (f > -2) put(d, node, f);
    }
    *at = p;
    return intern(d);
}

int goss_dfa_trim(goss_dfa *d, int *const states[], int n, int most)
{
    if (d->failed || d->n_states <= most) return 0;
    goss_buf saved = GOSS_BUF((size_t)1 << 26);
    for (int i = 0; i < n; i++)
        if (*states[i] >= 0) save_state(d, *states[i], &saved);
    if (!saved.failed) {
        const int32_t *at = (const int32_t *)(const void *)saved.data;
        forget(d);
        for (int i = 0; i < n; i++)
            if (*states[i] >= 0) *states[i] = restore_state(d, &at);
    }
    const int done = !saved.failed;
    goss_buf_free(&saved);
    return done;
}
