/* automaton.h - languages over bytes: a graph with calls (so that schemas may be recursive) that the
 * compilers build, and its deterministic states, made when they are first needed.
 *
 * Nodes are named by index; a graph is built backwards: every maker takes the node that follows. */
#ifndef GOSS_SCHEMA_AUTOMATON_H
#define GOSS_SCHEMA_AUTOMATON_H
#include "base/buf.h"
#include "budget.h"

enum {
    GOSS_NODE_BYTES = 1 /* lo..hi, then a */,
    GOSS_NODE_SPLIT /* a or b */,
    GOSS_NODE_CALL /* a, then b */,
    GOSS_NODE_RETURN
};
/* text, of a node where something of a string stands: so many of the characters that stand for themselves, of
 * any kind, lead on from here, and no more (GOSS_TEXT_ENDLESS: any number; 0: nothing is said). Whoever makes
 * the node promises it, so that masks need not try each word. Of BYTES: 1, it is part of such a character. */
enum { GOSS_TEXT_ENDLESS = 255 };
typedef struct goss_node { uint8_t kind, lo, hi, text; int32_t a, b; } goss_node;
/* failed: GOSS_ENOMEM, GOSS_ELIMIT (too many nodes, or too much for the budget) or GOSS_EFULL (budget.h);
 * makers then return 0. budget: who counts the nodes' memory, NULL: nobody. */
typedef struct goss_graph { goss_buf nodes; int failed; goss_budget *budget; } goss_graph;

void goss_graph_init(goss_graph *g);     /* node 0 is a RETURN: the end of every rule */
int goss_graph_count(goss_graph *g, goss_budget *budget);   /* from now on the budget counts it */
void goss_graph_free(goss_graph *g);
int goss_graph_add(goss_graph *g, int kind, int lo, int hi, int a, int b);
int goss_graph_bytes(goss_graph *g, int lo, int hi, int next);
int goss_graph_either(goss_graph *g, int a, int b);
int goss_graph_call(goss_graph *g, int rule, int next);
int goss_graph_text(goss_graph *g, const char *s, size_t n, int next);
/* closes a loop: sets the successors of a SPLIT */
void goss_graph_set(goss_graph *g, int node, int a, int b);
/* Says how many characters may follow (more than 254 are endless to us). Returns the node. */
int goss_graph_promise(goss_graph *g, int node, uint64_t characters);
/* Says that the BYTES among the nodes from..to-1 are parts of such characters. */
void goss_graph_characters(goss_graph *g, int from, int to);
/* One code point lo..hi as UTF-8 (surrogates left out). */
int goss_graph_codepoints(goss_graph *g, uint32_t lo, uint32_t hi, int next);

/* ---- running ------------------------------------------------------------------------------------------- */
/* LATER: the transition was never asked for, and there is no work left for it: see goss_dfa_allow */
enum { GOSS_DEAD = -1, GOSS_LATER = -2 };
typedef struct goss_dfa goss_dfa;
/* g is kept, its budget counts this memory, too */
int goss_dfa_open(goss_dfa **out, const goss_graph *g);
void goss_dfa_close(goss_dfa **d);
/* The state of texts that begin at a node. */
int goss_dfa_start(goss_dfa *d, int node);
/* GOSS_DEAD when no text goes on so (or the automaton has failed) */
int goss_dfa_next(goss_dfa *d, int state, uint8_t byte);
/* How much work goss_dfa_next may do from now on before it says GOSS_LATER: about 10 ns each. One transition
 * may overdraw it by some ms. At first: without end. */
void goss_dfa_allow(goss_dfa *d, int64_t work);
int goss_dfa_accepts(const goss_dfa *d, int state);        /* the text may end here */
/* How many characters that stand for themselves may follow, whatever they are; 0: not known. *no_more: 1:
 * and behind so many none can (GOSS_TEXT_ENDLESS: any number). A control character can't follow before
 * they end. */
int goss_dfa_text(const goss_dfa *d, int state, int *no_more);
int goss_dfa_states(const goss_dfa *d);
/* GOSS_ENOMEM; GOSS_ELIMIT: a state of too many configurations, or too much for the budget; GOSS_EFULL. From
 * then on states may be dead that are not. */
int goss_dfa_failed(const goss_dfa *d);
/* When there are more states than `most`: forgets all but these n, which get new numbers (GOSS_DEAD stays),
 * and returns 1. Call between walks only. */
int goss_dfa_trim(goss_dfa *d, int *const states[], int n, int most);
#endif
