/* split.h - who has which layers: the shares that make the slowest rank as fast as it can be. */
#ifndef GOSS_PIPELINE_SPLIT_H
#define GOSS_PIPELINE_SPLIT_H
#include "message.h"

/* Of a rank: its machine and that one's memory; and how fast its threads read it (measured in some 50 ms). */
void goss_split_host(goss_pipe_fact *f, const char *host);
void goss_split_facts(goss_pipe_fact *f, const char *host, int n_threads);
/* first[0..n]: asked ("12,12"), or by the facts of n ranks, which may be on one machine. An error says what
 * is wrong with `asked`, or that the model has fewer layers than there are ranks. */
int goss_split_layers(int32_t *first, const goss_model *m, const goss_pipe_fact *facts, int n,
                      const char *asked, goss_error *err);
/* "rank 1 (host): layers 12 to 23 and the head, 6.1 GB" */
void goss_split_say(char *text, size_t cap, const goss_model *m, const goss_pipe_fact *facts, int n,
                    const int32_t *first, int rank);
/* Layers [from, to) of m as a model: borrowed, never freed. The first alone has tok_embd, the last output. */
goss_model goss_split_part(const goss_model *m, int from, int to);
#endif
