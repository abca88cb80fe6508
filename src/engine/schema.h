/* schema.h - a JSON schema as a byte-level automaton, and its states as masks over the vocabulary.
 *
 * goss_schema compiles; it refuses, with the reason, what it can't hold to exactly. goss_grammar applies schemas during a
 * generation: the answer's (of a chat: the final channel only) and each strict tool's arguments. */
#ifndef GOSS_ENGINE_SCHEMA_H
#define GOSS_ENGINE_SCHEMA_H
#include "../text/chat.h"

typedef struct goss_grammar goss_grammar;
/* schema and tools are JSON texts (borrowed) or NULL. */
int goss_grammar_open(goss_grammar **out, const goss_vocab *v, int n_vocab, const char *schema, const char *tools, goss_error *err);
void goss_grammar_close(goss_grammar **g);
void goss_grammar_reset(goss_grammar *g);                /* a new generation: nothing produced yet */
/* A token was sampled. parser: the chat's, in the state before the token; NULL: everything is content. */
void goss_grammar_push(goss_grammar *g, const goss_chat_parser *parser, int32_t token);
/* 1: mask holds what may come next; 0: anything may. parser: in the state that the next token will find. */
int goss_grammar_mask(goss_grammar *g, const goss_chat_parser *parser, uint32_t *mask);
#endif
