/* dead_ends.c - see dead_ends.h.
 *
 * Graphs are built backwards, so one pass over the nodes in order finds most of those from which a text can
 * be ended. Those that are left wait at what they lead to, and are looked at again when that is found to end:
 * each edge is followed once. */
#include "dead_ends.h"
#include "base/mem.h"
#include <gossamer.h>

static int leads_on(const goss_node *n, const uint8_t *ends)
{
    switch (n->kind) {
    case GOSS_NODE_BYTES: return n->lo <= n->hi && ends[n->a];
    case GOSS_NODE_SPLIT: return ends[n->a] || ends[n->b];
    case GOSS_NODE_CALL: return ends[n->a] && ends[n->b];
    default: return 1;
    }
}

/* waits[node]: the first edge to it from a node that is left; same[edge]: the next one (-1: none). Edges 2i
 * and 2i + 1 come from left[i]. */
typedef struct waiting {
    int *waits, *same, *left;
    int n;
} waiting;

static void wait_for(waiting *w, int edge, int node)
{
    w->same[edge] = w->waits[node];
    w->waits[node] = edge;
}

/* left[n..] becomes a list of what is still to be told to those that wait. */
static void tell(waiting *w, const goss_node *nodes, uint8_t *ends)
{
    int *ended = w->left + w->n, n = 0;
    for (int i = 0; i < w->n; i++) {
        if (!ends[w->left[i]] && leads_on(&nodes[w->left[i]], ends)) ends[ended[n++] = w->left[i]] = 1;
        while (n > 0)
            for (int e = w->waits[ended[--n]]; e >= 0; e = w->same[e]) {
                const int from = w->left[e / 2];
                if (!ends[from] && leads_on(&nodes[from], ends)) ends[ended[n++] = from] = 1;
            }
    }
}

static int mark(const goss_graph *g, const goss_node *nodes, int n, uint8_t *ends)
{
    waiting w = { .left = NULL };
    for (int i = 0; i < n; i++) w.n += !(ends[i] = (uint8_t)leads_on(&nodes[i], ends));
    const size_t left = (size_t)w.n;
    w.waits = goss_mem_array((size_t)n, sizeof *w.waits);
    w.same = goss_mem_array(2 * left + 1, sizeof *w.same);
    w.left = goss_mem_array(2 * left + 1, sizeof *w.left);
    const int good = w.waits && w.same && w.left;
    for (int i = 0; i < n && good; i++) w.waits[i] = -1;
    for (int i = 0, k = 0; i < n && good; i++) {
        if (ends[i]) continue;
        wait_for(&w, 2 * k, nodes[i].a);
        wait_for(&w, 2 * k + 1, nodes[i].kind == GOSS_NODE_BYTES ? nodes[i].a : nodes[i].b);
        w.left[k++] = i;
    }
    if (good && !goss_budget_late(g->budget)) tell(&w, nodes, ends);
    goss_mem_free(w.waits);
    goss_mem_free(w.same);
    goss_mem_free(w.left);
    return good ? 0 : GOSS_ENOMEM;
}

int goss_cut_dead_ends(goss_graph *g, int start)
{
    goss_node *nodes = (goss_node *)(void *)g->nodes.data;
    const int n = (int)(g->nodes.len / sizeof *nodes);
    uint8_t *ends = goss_mem_alloc((size_t)n);
    const int rc = ends ? mark(g, nodes, n, ends) : GOSS_ENOMEM;
    for (int i = 0; i < n && !rc; i++) {
        if (nodes[i].kind != GOSS_NODE_SPLIT) continue;
        if (!ends[nodes[i].a]) nodes[i].a = nodes[i].b;
        if (!ends[nodes[i].b]) nodes[i].b = nodes[i].a;
    }
    const int alive = rc ? rc : ends[start];
    goss_mem_free(ends);
    return alive;
}
