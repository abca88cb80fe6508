/* bench_draft.h - what speculation brings. */
#ifndef GOSS_CLI_BENCH_DRAFT_H
#define GOSS_CLI_BENCH_DRAFT_H
#include "bench.h"

/* Decoding with guesses of which `percent` are right, against decoding without. */
int goss_bench_draft(goss_bench *b, int percent, goss_error *err);
#endif
