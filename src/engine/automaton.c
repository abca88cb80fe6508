/* automaton.c - the graph, and lazy determinisation.
 *
 * A configuration is (node, frame): where in the graph, and what to return to. Frames are shared
 * (hash-consed), so equal
 * stacks have equal numbers. A deterministic state is the sorted set of configurations behind which a byte is awaited,
 * and whether the text may end. States and their 256 transitions are made when first asked for: a schema's few dozen
 * states are walked over the vocabulary as table look-ups. Depth is bounded: a stack deeper than MAX_DEPTH is dead. */
#include "automaton.h"
#include "../base/mem.h"
#include <gossamer.h>
#include <string.h>

enum { MAX_NODES = 1 << 20, MAX_DEPTH = 128, MAX_CONFIGS = 4096, HASH = 4096, UNKNOWN = -2 };

/* ---- graph ------------------------------------------------------------------------------------------------- */
void goss_graph_init(goss_graph *g)
{
    *g = (goss_graph){ .nodes = GOSS_BUF(MAX_NODES * sizeof(goss_node)) };
    goss_graph_add(g, GOSS_NODE_RETURN, 0, 0, 0, 0);
}

void goss_graph_free(goss_graph *g) { goss_buf_free(&g->nodes); }

int goss_graph_add(goss_graph *g, int kind, int lo, int hi, int a, int b)
{
    const goss_node node = { (uint8_t)kind, (uint8_t)lo, (uint8_t)hi, a, b };
    const int at = (int)(g->nodes.len / sizeof node), rc = goss_buf_append(&g->nodes, &node, sizeof node);
    if (rc) g->failed = rc;
    return rc ? 0 : at;
}

int goss_graph_bytes(goss_graph *g, int lo, int hi, int next)
{
    return goss_graph_add(g, GOSS_NODE_BYTES, lo, hi, next, 0);
}
int goss_graph_either(goss_graph *g, int a, int b) { return goss_graph_add(g, GOSS_NODE_SPLIT, 0, 0, a, b); }
int goss_graph_call(goss_graph *g, int rule, int next) { return goss_graph_add(g, GOSS_NODE_CALL, 0, 0, rule, next); }

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

/* ---- deterministic states ------------------------------------------------------------------------------------ */
typedef struct config { int32_t node, frame; } config;
typedef struct frame { int32_t node, below, depth, same_hash; } frame;
typedef struct state { uint32_t from, n, same_hash; int accepts; int32_t next[256]; } state;

struct goss_dfa {
    const goss_node *nodes;
    int start, first;
    goss_buf states, configs, frames;        /* state, config, frame */
    int32_t state_hash[HASH], frame_hash[HASH];
    config set[MAX_CONFIGS]; int n_set, accepts;   /* the closure being built */
};

static state *state_at(const goss_dfa *d, int i) { return (state *)(void *)d->states.data + i; }
static frame *frame_at(const goss_dfa *d, int i) { return (frame *)(void *)d->frames.data + i; }
static uint32_t mix(uint32_t h, uint32_t v) { return (h ^ v) * 0x9E3779B1u + (h >> 15); }

static void forget(goss_dfa *d)
{
    goss_buf_clear(&d->states);
    goss_buf_clear(&d->configs);
    goss_buf_clear(&d->frames);
    memset(d->state_hash, -1, sizeof d->state_hash);
    memset(d->frame_hash, -1, sizeof d->frame_hash);
    d->first = GOSS_DEAD;
}

int goss_dfa_open(goss_dfa **out, const goss_graph *g, int start)
{
    *out = NULL;
    if (g->failed) return g->failed;
    goss_dfa *d = goss_mem_alloc(sizeof *d);
    if (!d) return GOSS_ENOMEM;
    d->nodes = (const goss_node *)(const void *)g->nodes.data;
    d->start = start;
    d->states = d->configs = d->frames = GOSS_BUF((size_t)1 << 28);
    forget(d);
    *out = d;
    return 0;
}

void goss_dfa_close(goss_dfa **dfa)
{
    goss_dfa *d = *dfa;
    if (!d) return;
    goss_buf_free(&d->states);
    goss_buf_free(&d->configs);
    goss_buf_free(&d->frames);
    goss_mem_free(d);
    *dfa = NULL;
}

/* The frame "return to node, then to below": -1 is the bottom. -2: too deep or no memory. */
static int frame_for(goss_dfa *d, int node, int below)
{
    const int depth = below < 0 ? 1 : frame_at(d, below)->depth + 1;
    if (depth > MAX_DEPTH) return -2;
    const uint32_t h = mix(mix(1, (uint32_t)node), (uint32_t)below) % HASH;
    for (int f = d->frame_hash[h]; f >= 0; f = frame_at(d, f)->same_hash)
        if (frame_at(d, f)->node == node && frame_at(d, f)->below == below) return f;
    const frame made = { node, below, depth, d->frame_hash[h] };
    const int at = (int)(d->frames.len / sizeof made);
    if (goss_buf_append(&d->frames, &made, sizeof made)) return -2;
    d->frame_hash[h] = at;
    return at;
}

static int in_set(const goss_dfa *d, int node, int f)
{
    for (int i = 0; i < d->n_set; i++)
        if (d->set[i].node == node && d->set[i].frame == f) return 1;
    return 0;
}

/* Everything reachable without a byte. The set doubles as the list of what is still to expand; BYTES stay in it. */
static void close_over(goss_dfa *d, int at)
{
    for (; at < d->n_set; at++) {
        const config c = d->set[at];
        const goss_node *n = &d->nodes[c.node];
        config to[2];
        int n_to = 0;
        if (n->kind == GOSS_NODE_SPLIT) {
            to[n_to++] = (config){ n->a, c.frame };
            to[n_to++] = (config){ n->b, c.frame };
        } else if (n->kind == GOSS_NODE_CALL) {
            const int f = n->b == 0 ? c.frame : frame_for(d, n->b, c.frame); /* a call in last place needs no frame */
            if (f > -2) to[n_to++] = (config){ n->a, f };
        } else if (n->kind == GOSS_NODE_RETURN) {
            if (c.frame < 0) d->accepts = 1;
            else to[n_to++] = (config){ frame_at(d, c.frame)->node, frame_at(d, c.frame)->below };
        }
        for (int i = 0; i < n_to; i++)
            if (d->n_set < MAX_CONFIGS && !in_set(d, to[i].node, to[i].frame)) d->set[d->n_set++] = to[i];
    }
}

static int before(config a, config b) { return a.node != b.node ? a.node < b.node : a.frame < b.frame; }

/* Keeps the configurations that await a byte, in order. */
static void normalise(goss_dfa *d)
{
    int n = 0;
    for (int i = 0; i < d->n_set; i++) {
        const config c = d->set[i];
        if (d->nodes[c.node].kind != GOSS_NODE_BYTES) continue;
        int k = n++;
        for (; k > 0 && before(c, d->set[k - 1]); k--) d->set[k] = d->set[k - 1];
        d->set[k] = c;
    }
    d->n_set = n;
}

/* The state of the set that was built: a new one, or the one that is equal. */
static int intern(goss_dfa *d)
{
    close_over(d, 0);
    normalise(d);
    if (!d->n_set && !d->accepts) return GOSS_DEAD;
    uint32_t h = (uint32_t)d->accepts;
    for (int i = 0; i < d->n_set; i++) h = mix(mix(h, (uint32_t)d->set[i].node), (uint32_t)d->set[i].frame);
    h %= HASH;
    const config *all = (const config *)(const void *)d->configs.data;
    for (int s = d->state_hash[h]; s >= 0; s = (int)state_at(d, s)->same_hash) {
        const state *t = state_at(d, s);
        if (t->n == (uint32_t)d->n_set && t->accepts == d->accepts &&
            (!t->n || !memcmp(all + t->from, d->set, t->n * sizeof *all)))
            return s;
    }
    const int at = (int)(d->states.len / sizeof(state));
    if (goss_buf_reserve(&d->states, sizeof(state))) return GOSS_DEAD;
    state *t = (state *)(void *)(d->states.data + d->states.len);
    *t = (state){ .from = (uint32_t)(d->configs.len / sizeof *all),
                  .n = (uint32_t)d->n_set,
                  .same_hash = (uint32_t)d->state_hash[h],
                  .accepts = d->accepts };
    for (int i = 0; i < 256; i++) t->next[i] = UNKNOWN;
    if (goss_buf_append(&d->configs, d->set, (size_t)d->n_set * sizeof *d->set)) return GOSS_DEAD;
    d->states.len += sizeof(state);
    d->state_hash[h] = at;
    return at;
}

int goss_dfa_start(goss_dfa *d)
{
    if (d->first >= 0) return d->first;
    d->set[0] = (config){ d->start, -1 };
    d->n_set = 1;
    d->accepts = 0;
    return d->first = intern(d);
}

int goss_dfa_next(goss_dfa *d, int s, uint8_t byte)
{
    if (s < 0) return GOSS_DEAD;
    const int known = state_at(d, s)->next[byte];
    if (known != UNKNOWN) return known;
    const uint32_t from = state_at(d, s)->from, n = state_at(d, s)->n;
    int lo = 0, hi = 255;                /* the bytes around this one that the same nodes take */
    d->n_set = d->accepts = 0;
    for (uint32_t i = 0; i < n; i++) {
        const config c = ((const config *)(const void *)d->configs.data)[from + i];
        const goss_node *node = &d->nodes[c.node];
        const int takes = byte >= node->lo && byte <= node->hi;
        const int first = takes ? node->lo : byte > node->hi ? node->hi + 1 : 0,
                  last = takes ? node->hi : byte < node->lo ? node->lo - 1 : 255;
        if (first > lo) lo = first;
        if (last < hi) hi = last;
        if (takes && !in_set(d, node->a, c.frame)) d->set[d->n_set++] = (config){ node->a, c.frame };
    }
    const int to = intern(d);
    for (int i = lo; i <= hi; i++) state_at(d, s)->next[i] = to;
    return to;
}

int goss_dfa_accepts(const goss_dfa *d, int s) { return s >= 0 && state_at(d, s)->accepts; }
int goss_dfa_states(const goss_dfa *d) { return (int)(d->states.len / sizeof(state)); }

int goss_dfa_failed(const goss_dfa *d) { return d->states.failed || d->configs.failed || d->frames.failed; }

/* ---- trimming ------------------------------------------------------------------------------------------------ */
/* Writes the stack of a frame, top first, as return nodes; -1 ends it. */
static void save_stack(const goss_dfa *d, int f, goss_buf *out)
{
    for (; f >= 0; f = frame_at(d, f)->below) goss_buf_i32(out, frame_at(d, f)->node);
    goss_buf_i32(out, -1);
}

int goss_dfa_trim(goss_dfa *d, int s, int most, int *trimmed)
{
    *trimmed = 0;
    if (s < 0 || goss_dfa_states(d) <= most) return s;
    goss_buf saved = GOSS_BUF((size_t)1 << 24);
    const uint32_t from = state_at(d, s)->from, n = state_at(d, s)->n;
    const int accepts = state_at(d, s)->accepts;
    for (uint32_t i = 0; i < n; i++) {
        const config c = ((const config *)(const void *)d->configs.data)[from + i];
        goss_buf_i32(&saved, c.node);
        save_stack(d, c.frame, &saved);
    }
    if (saved.failed) { goss_buf_free(&saved); return s; }
    forget(d);
    d->n_set = 0;
    d->accepts = accepts;
    const int32_t *at = (const int32_t *)(const void *)saved.data;
    for (uint32_t i = 0; i < n; i++) {
        const int node = *at++;
        int depth = 0, f = -1;
        while (at[depth] >= 0) depth++;
        for (int k = depth - 1; k >= 0 && f > -2; k--) f = frame_for(d, at[k], f);
        at += depth + 1;
        if (f > -2) d->set[d->n_set++] = (config){ node, f };
    }
    goss_buf_free(&saved);
    *trimmed = 1;
    return intern(d);
}
