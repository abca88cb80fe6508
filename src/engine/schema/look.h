/* look.h - both of two languages, or one without the other. */
#ifndef GOSS_SCHEMA_LOOK_H
#define GOSS_SCHEMA_LOOK_H
#include "automaton.h"
/* The node of the texts that node `a` takes and node `b` takes (not: doesn't take); all three end in node 0.
 * Negative: GOSS_ENOMEM; GOSS_ELIMIT, too large. */
int goss_look_both(goss_graph *g, int a, int b, int not );
#endif
