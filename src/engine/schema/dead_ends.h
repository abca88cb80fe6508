/* dead_ends.h - the last step of compiling: no choice leads where no text can be ended. */
#ifndef GOSS_SCHEMA_DEAD_ENDS_H
#define GOSS_SCHEMA_DEAD_ENDS_H
#include "automaton.h"

/* 1: texts that begin at a node can be ended; 0: they can't; GOSS_ENOMEM. */
int goss_cut_dead_ends(goss_graph *g, int start);
#endif
