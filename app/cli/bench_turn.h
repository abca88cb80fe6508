/* bench_turn.h - how soon a conversation's second turn begins. */
#ifndef GOSS_CLI_BENCH_TURN_H
#define GOSS_CLI_BENCH_TURN_H
#include "bench.h"

/* A conversation whose history has n tokens and whose last answer has 300 besides its reasoning: how long
 * its second turn takes to its first token, with what the engine kept and without. */
int goss_bench_turn(goss_bench *b, int n, goss_error *err);
#endif
