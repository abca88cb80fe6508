/* grammar.h - schemas applied to a generation as masks over the vocabulary: the answer's schema (of a
 * chat: on what is for the user; reasoning can't end the generation then) and the arguments of tools that
 * say "strict": true, or of all.
 *
 * goss_schemas (gossamer.h) is what one request brings: all its schemas in one graph, with one automaton,
 * one set of masks and one budget, shared by the request's sessions. It may be compiled in any thread;
 * after that the engine's thread alone uses it. A goss_grammar is one generation's place in it. */
#ifndef GOSS_SCHEMA_GRAMMAR_H
#define GOSS_SCHEMA_GRAMMAR_H
#include "budget.h"
#include "text/chat.h"
#include "word_list.h"

typedef struct goss_schema_room {  /* an engine's: what all its schemas share */
    const goss_vocab *vocab; int n_vocab;
    _Atomic(goss_word_list *) words;         /* made when the first schema comes */
    goss_budget budget;                      /* of all schemas together */
    uint64_t request_bytes; double request_ms; /* the most that one request may take */
    atomic_ullong n_nodes, spent_us, n_refused;
} goss_schema_room;
/* Bytes for all, bytes and ms for one request; 0: as many as are sensible. */
void goss_schema_room_open(goss_schema_room *r, const goss_vocab *v, int n_vocab, uint64_t all_bytes,
                           uint64_t request_bytes, int request_ms);
void goss_schema_room_close(goss_schema_room *r);

/* schema and tools are JSON texts (borrowed) or NULL; the room is kept. *out is NULL when both are. all:
 * 1: the tools are taken as strict, but one whose schema can't be held to takes any object. */
int goss_schemas_compile(goss_schemas **out, goss_schema_room *r, const char *schema, const char *tools,
                         int all, goss_error *err);
goss_schemas *goss_schemas_share(goss_schemas *s);     /* one reference more; NULL is fine */
void goss_schemas_release(goss_schemas **s);           /* one less */
/* The tools' names as a JSON array of tools; NULL: the request brought none. */
const char *goss_schemas_tools(goss_schemas *s);
int goss_schemas_answer(const goss_schemas *s);        /* 1: the answer has a schema */

typedef struct goss_grammar goss_grammar;
int goss_grammar_open(goss_grammar **out, goss_schemas *s);    /* *out is NULL when nothing is constrained */
void goss_grammar_close(goss_grammar **g);
/* A token was sampled. parser: the chat's, in the state before the token; NULL: everything is content. */
void goss_grammar_push(goss_grammar *g, const goss_chat_parser *parser, int32_t token);
/* Works on what may come next until it is known or the time has come (goss_os_now_ms). 1: known, and in
 * `mask` (n_vocab bits) if it binds; 0: later; or an error with the reason: the request's budget is used up,
 * the generation can't go on. parser: in the state that the next token will find. */
int goss_grammar_think(goss_grammar *g, const goss_chat_parser *parser, double until_ms, uint32_t *mask,
                       goss_error *err);
int goss_grammar_knows(const goss_grammar *g);         /* 1: nothing is left to think about since the token */
int goss_grammar_binds(const goss_grammar *g);         /* 0: anything may come next */
#endif
