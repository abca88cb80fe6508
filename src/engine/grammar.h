/* grammar.h - schemas applied to a generation as masks over the vocabulary: the answer's schema (of a chat:
 * on the final
 * channel only) and the arguments of tools that say "strict": true. */
#ifndef GOSS_ENGINE_GRAMMAR_H
#define GOSS_ENGINE_GRAMMAR_H
#include "../text/chat.h"

typedef struct goss_word_list goss_word_list; /* the vocabulary in the order of its bytes; one an engine */
int goss_word_list_open(goss_word_list **out, const goss_vocab *v, int n_vocab);
void goss_word_list_close(goss_word_list **w);

typedef struct goss_grammar goss_grammar;
/* schema and tools are JSON texts (borrowed) or NULL; words is kept. *out is NULL when nothing is constrained. */
int goss_grammar_open(goss_grammar **out, const goss_word_list *words, const char *schema, const char *tools,
                      goss_error *err);
void goss_grammar_close(goss_grammar **g);
/* A token was sampled. parser: the chat's, in the state before the token; NULL: everything is content. */
void goss_grammar_push(goss_grammar *g, const goss_chat_parser *parser, int32_t token);
/* memory ran out: what comes next is not constrained rightly */
int goss_grammar_failed(const goss_grammar *g);
/* 1: mask holds what may come next; 0: anything may. parser: in the state that the next token will find. */
int goss_grammar_mask(goss_grammar *g, const goss_chat_parser *parser, uint32_t *mask);
#endif
