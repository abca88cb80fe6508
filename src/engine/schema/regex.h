/* regex.h - a pattern (JSON Schema's "pattern", a subset of ECMA-262) as a graph over the bytes of a JSON
 * string. */
#ifndef GOSS_SCHEMA_REGEX_H
#define GOSS_SCHEMA_REGEX_H
#include "automaton.h"
#include <gossamer.h>
/* Literals, ., classes, \d \w \s and their opposites, groups, alternatives, * + ? {n,m}, ^ and $ anywhere;
 * (?=...) and (?!...) outside of what repeats, where `next` is 0. `any` is the rule of one string
 * character. *start is the node where a match begins, `next` what follows. Refuses the rest with the
 * reason. */
int goss_regex_compile(goss_graph *g, const char *pattern, size_t n, int any, int next, int *start,
                       goss_error *err);
#endif
