/* bench.h - what the files of gossamer bench share: the results, and one session run to its end.
 * cmd_bench.c measures prefill, decode, sessions and reports; bench_turn.c a conversation's second turn;
 * bench_draft.c speculation. */
#ifndef GOSS_CLI_BENCH_H
#define GOSS_CLI_BENCH_H
#include "session_cli.h"

enum { GOSS_BENCH_LIST = 16, GOSS_BENCH_RESULTS = 64 };
typedef struct goss_bench_list { int v[GOSS_BENCH_LIST], n; } goss_bench_list;
typedef struct goss_bench_result {
    const char *kind;
    int length, sessions;
    double per_second, ms, roofline, experts;
    double ratio;                  /* against what `note` says; 0: none */
    char note[96];
} goss_bench_result;
typedef struct goss_bench_kernel { char name[24]; double dispatches, us, bytes, roofline; } goss_bench_kernel;
typedef struct goss_bench {
    goss_cli_engine c;
    goss_model_info info;
    goss_bench_list prefill, depths, sessions, turns, drafts;
    const char *choose; /* a file for what is measured, or NULL */
    int n_tokens, repeats, json, no_cold, kernels_too;
    double bandwidth;              /* bytes/s */
    uint64_t random;
    uint64_t tokens;               /* a hash of every token that one session alone gave */
    double load_ms;
    goss_bench_result results[GOSS_BENCH_RESULTS]; int n_results;
    goss_bench_kernel kernels[64]; int n_kernels; double steps; /* of one profiled run */
} goss_bench;

double goss_bench_now(void);                        /* ms */
uint32_t goss_bench_random(goss_bench *b);
/* NULL: no room */
goss_bench_result *goss_bench_add(goss_bench *b, const char *kind, int length, int sessions);
/* Runs one session to its end; its tokens go to ids (room of them; NULL: nowhere), *n counts them. 0, or
 * an error. */
int goss_bench_finish(goss_bench *b, goss_session *s, goss_event *done, int32_t *ids, int room, int *n,
                      goss_error *err);
#endif
