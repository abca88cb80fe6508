/* text_ahead.h - what places in strings promise of the text ahead (goss_node.text) where only the whole graph
 * can tell: in products of automata, whose ways may end nowhere. */
#ifndef GOSS_SCHEMA_TEXT_AHEAD_H
#define GOSS_SCHEMA_TEXT_AHEAD_H
#include "automaton.h"
/* A SPLIT that stands for a place in a string: between two characters, or within one. It is made of BYTES
 * that don't overlap, each to another place; those of plain characters are `bytes` where none is missing. */
void goss_text_place(goss_graph *g, int node, int bytes, int within);
/* When nothing leads nowhere any more: finds the promises of all places. */
void goss_text_settle(goss_graph *g);
#endif
