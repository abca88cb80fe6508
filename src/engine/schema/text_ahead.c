/* text_ahead.c - see text_ahead.h.
 *
 * A place between characters promises one more than the least of the places that its characters lead to; a
 * place within a character as much as the least of those that it leads to. All begin with the endless promise
 * and are lowered until nothing changes: the greatest that is consistent. Places mostly lead to those that
 * were made later, so they are gone through from the last to the first; where that does not come to rest
 * soon, nothing is promised. */
#include "text_ahead.h"

enum { ROUNDS = 12, BETWEEN = 1, WITHIN = 2 };

void goss_text_place(goss_graph *g, int node, int bytes, int within)
{
    if (g->failed) return;
    goss_node *n = (goss_node *)(void *)g->nodes.data + node;
    n->lo = (uint8_t)bytes;
    n->hi = within ? WITHIN : BETWEEN;
}

static int is_place(const goss_node *n) { return n->kind == GOSS_NODE_SPLIT && n->lo; }

/* How many characters may follow when a byte has led to a place. */
static int behind(const goss_node *place)
{
    if (!is_place(place)) return 0;
    return place->hi == BETWEEN && place->text < GOSS_TEXT_ENDLESS - 1 ? place->text + 1 : place->text;
}

/* What the place promises by what is known of others. */
static int promise(const goss_node *nodes, const goss_node *place)
{
    int covered = 0, least = GOSS_TEXT_ENDLESS;
    for (int at = place->a, more = 1; more;) {
        const goss_node *n = &nodes[at], *b = n;
        more = n->kind == GOSS_NODE_SPLIT;
        if (more) {
            at = n->a;
            if (n->a == n->b) continue;
            b = &nodes[n->b];
        }
        if (b->kind != GOSS_NODE_BYTES || b->hi < b->lo || b->lo == '"' || (b->lo == '\\' && b->hi == '\\'))
            continue;
        const int value = behind(&nodes[b->a]);
        covered += b->hi - b->lo + 1;
        if (value < least) least = value;
    }
    return covered == place->lo ? least : 0;
}

void goss_text_settle(goss_graph *g)
{
    goss_node *nodes = (goss_node *)(void *)g->nodes.data;
    const int n = (int)(g->nodes.len / sizeof *nodes);
    int changed = 1;
    for (int i = 0; i < n; i++)
        if (is_place(&nodes[i])) nodes[i].text = GOSS_TEXT_ENDLESS;
    for (int round = 0; round < ROUNDS && changed; round++) {
        changed = 0;
        for (int i = n - 1; i >= 0; i--) {
            if (!is_place(&nodes[i])) continue;
            const int text = promise(nodes, &nodes[i]);
            if (text < nodes[i].text) {
                nodes[i].text = (uint8_t)text;
                changed = 1;
            }
        }
    }
    for (int i = 0; i < n; i++)
        if (is_place(&nodes[i]) && (changed || nodes[i].hi == WITHIN)) nodes[i].text = 0;
}
