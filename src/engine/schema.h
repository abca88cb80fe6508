/* schema.h - a JSON schema compiled to a graph over bytes (automaton.h). What can't be held to exactly is refused with
 * the reason and the position; only annotations are ignored.
 *
 * Texts are a subset of what the schema allows: properties come in the declared order, no property that is not declared
 * unless additionalProperties says so, at most one line break and 32 spaces between tokens, numbers of bounded length.
 * oneOf is taken as anyOf. */
#ifndef GOSS_ENGINE_SCHEMA_H
#define GOSS_ENGINE_SCHEMA_H
#include "../format/json.h"
#include "automaton.h"

/* Compiles node `schema` of j ({}: any object; true: any value). `root`: where $refs start. *start: the
 * graph's entry. */
int goss_schema_compile(goss_graph *g, const goss_json *j, int schema, int root, int *start, goss_error *err);
#endif
