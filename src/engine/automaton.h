/* automaton.h - languages over bytes: a graph with calls (so that schemas may be recursive) that the compilers build,
 * and its deterministic states, made when they are first needed.
 *
 * Nodes are named by index; a graph is built backwards: every maker takes the node that follows. */
#ifndef GOSS_ENGINE_AUTOMATON_H
#define GOSS_ENGINE_AUTOMATON_H
#include "../base/buf.h"

enum {
    GOSS_NODE_BYTES = 1 /* lo..hi, then a */,
    GOSS_NODE_SPLIT /* a or b */,
    GOSS_NODE_CALL /* a, then b */,
    GOSS_NODE_RETURN
};
typedef struct goss_node { uint8_t kind, lo, hi; int32_t a, b; } goss_node;
/* failed: GOSS_ENOMEM or GOSS_ELIMIT; makers then return 0 */
typedef struct goss_graph { goss_buf nodes; int failed; } goss_graph;

void goss_graph_init(goss_graph *g);     /* node 0 is a RETURN: the end of every rule */
void goss_graph_free(goss_graph *g);
int goss_graph_add(goss_graph *g, int kind, int lo, int hi, int a, int b);
int goss_graph_bytes(goss_graph *g, int lo, int hi, int next);
int goss_graph_either(goss_graph *g, int a, int b);
int goss_graph_call(goss_graph *g, int rule, int next);
int goss_graph_text(goss_graph *g, const char *s, size_t n, int next);
void goss_graph_set(goss_graph *g, int node, int a, int b);   /* closes a loop: sets the successors of a SPLIT */
/* One code point lo..hi as UTF-8 (surrogates left out). */
int goss_graph_codepoints(goss_graph *g, uint32_t lo, uint32_t hi, int next);

/* ---- running ----------------------------------------------------------------------------------------------- */
enum { GOSS_DEAD = -1 };
typedef struct goss_dfa goss_dfa;
int goss_dfa_open(goss_dfa **out, const goss_graph *g, int start);   /* g is kept */
void goss_dfa_close(goss_dfa **d);
int goss_dfa_start(goss_dfa *d);
int goss_dfa_next(goss_dfa *d, int state, uint8_t byte);   /* GOSS_DEAD when no text goes on so (or memory is out) */
int goss_dfa_accepts(const goss_dfa *d, int state);        /* the text may end here */
int goss_dfa_states(const goss_dfa *d);
/* memory ran out: from then on states may be dead that are not */
int goss_dfa_failed(const goss_dfa *d);
/* When there are many states: forgets all but this one, and returns its new number. Call between walks only. */
int goss_dfa_trim(goss_dfa *d, int state, int most, int *trimmed);
#endif
