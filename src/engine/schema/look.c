/* look.c - see look.h: the product of two automata, explored from its first state. They run on a copy of the
 * graph, because the product is added to it meanwhile. */
#include "look.h"
#include <gossamer.h>
#include <string.h>

enum { MAX_PAIRS = 4000, HASH = 1024 };
typedef struct pair {
    int32_t a, b, node, same_hash;
} pair;
typedef struct product {
    goss_graph *g, copy;
    goss_dfa *a, *b;
    goss_buf pairs;
    int32_t hash[HASH];
    int not, rc;
} product;

static int n_pairs(const product *p) { return (int)(p->pairs.len / sizeof(pair)); }

static int node_of(product *p, int a, int b)
{
    const uint32_t h = ((uint32_t)a * 0x9E3779B1u + (uint32_t)b) % HASH;
    pair *all = (pair *)(void *)p->pairs.data;
    for (int i = p->hash[h]; i >= 0; i = all[i].same_hash)
        if (all[i].a == a && all[i].b == b) return all[i].node;
    if (n_pairs(p) == MAX_PAIRS) {
        p->rc = GOSS_ELIMIT;
        return 0;
    }
    const pair made = { a, b, goss_graph_either(p->g, 0, 0), p->hash[h] };
    p->hash[h] = n_pairs(p);
    if (goss_buf_append(&p->pairs, &made, sizeof made)) p->rc = GOSS_ENOMEM;
    return made.node;
}

static int either(goss_graph *g, int a, int b) { return a < 0 ? b : goss_graph_either(g, a, b); }

static void explore(product *p, int i)
{
    const pair at = ((pair *)(void *)p->pairs.data)[i];
    int out = goss_dfa_accepts(p->a, at.a) && goss_dfa_accepts(p->b, at.b) != p->not ? 0 : -1;
    for (int byte = 0x20, last; byte < 0x100; byte = last + 1) {
        const int a = goss_dfa_next(p->a, at.a, (uint8_t)byte), b = goss_dfa_next(p->b, at.b, (uint8_t)byte);
        for (last = byte; last < 0xFF && goss_dfa_next(p->a, at.a, (uint8_t)(last + 1)) == a &&
                          goss_dfa_next(p->b, at.b, (uint8_t)(last + 1)) == b;
             last++) {}
        if (a == GOSS_DEAD || (b == GOSS_DEAD && !p->not )) continue;
        const int to = node_of(p, a, b);
        out = either(p->g, out, goss_graph_bytes(p->g, byte, last, to));
    }
    if (out < 0) out = goss_graph_bytes(p->g, 1, 0, 0);
    goss_graph_set(p->g, at.node, out, out);
}

int goss_look_both(goss_graph *g, int a, int b, int not )
{
    product p = { .g = g, .not = not, .pairs = GOSS_BUF(MAX_PAIRS * sizeof(pair)) };
    int start = 0;
    goss_graph_init(&p.copy);
    goss_buf_clear(&p.copy.nodes);
    memset(p.hash, -1, sizeof p.hash);
    p.rc = goss_buf_append(&p.copy.nodes, g->nodes.data, g->nodes.len);
    if (!p.rc) p.rc = goss_graph_count(&p.copy, g->budget);
    if (!p.rc) p.rc = goss_dfa_open(&p.a, &p.copy);
    if (!p.rc) p.rc = goss_dfa_open(&p.b, &p.copy);
    if (!p.rc) start = node_of(&p, goss_dfa_start(p.a, a), goss_dfa_start(p.b, b));
    for (int i = 0; i < n_pairs(&p) && !p.rc && !g->failed; i++) explore(&p, i);
    if (!p.rc) p.rc = goss_dfa_failed(p.a) ? goss_dfa_failed(p.a) : goss_dfa_failed(p.b);
    goss_dfa_close(&p.a);
    goss_dfa_close(&p.b);
    goss_graph_free(&p.copy);
    goss_buf_free(&p.pairs);
    return p.rc ? p.rc : start;
}
