/* schema.h - a JSON schema compiled to a graph over bytes (automaton.h). Keywords of the standard are held
 * to or refused with the reason and the place; others are ignored, as the standard says. docs/schemas.md
 * has the list.
 *
 * Texts are a subset of what the schema allows: members come in the order in which the schema declares
 * them, others behind them; at most one line break and 32 spaces stand between tokens; numbers have a
 * bounded length. oneOf is anyOf where its branches can't be told apart (expand.h). */
#ifndef GOSS_SCHEMA_SCHEMA_H
#define GOSS_SCHEMA_SCHEMA_H
#include "format/json.h"
#include "automaton.h"

/* Compiles node `schema` of j ({}: any object; true: any value). `root`: where $refs start. *start: the
 * graph's entry. GOSS_EUNSUPPORTED: can't be held to, or nothing fulfils it. GOSS_ELIMIT: it is too large. */
int goss_schema_compile(goss_graph *g, const goss_json *j, int schema, int root, int *start, goss_error *err);
#endif
