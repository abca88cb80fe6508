/* gates.h - the gates of `gossamer gate`: cmd_gate.c runs them in turn, gates_file.c and gates_model.c are
 * what they do. */
#ifndef GOSS_CLI_GATES_H
#define GOSS_CLI_GATES_H
#include "traced.h"

enum { GOSS_GATE_FAIL = 0, GOSS_GATE_PASS = 1, GOSS_GATE_SKIP = 2 };
typedef struct goss_gate {
    const goss_engine_config *config;   /* as the options say */
    const char *tensor;                 /* B: which one; NULL: the largest */
    int repeat;                         /* B: how many reads */
    int n, k;                           /* C: how many rows and columns of the product; 0: all */
    /* C, D: of the largest difference, relative to the values' root mean square; 0: the default */
    float tolerance;
    const char *text;                   /* C, D, F: what goes in */
    char figure[400];                   /* out: one line about what was seen */
} goss_gate;

/* Each returns a GOSS_GATE_* and fills the figure. */
/* the file parses, and every tensor the model needs is there in the right shape */
int goss_gate_a(goss_gate *g);
int goss_gate_b(goss_gate *g);  /* repeated and divided reads of a range agree */
int goss_gate_c(goss_gate *g);  /* the product with output.weight: GPU against ref */
int goss_gate_d(goss_gate *g);  /* every kernel of cpu and gpu against ref */
int goss_gate_e(goss_gate *g);  /* the GPU under WebGPU's default limits */
int goss_gate_f(goss_gate *g);  /* one prompt through all layers: no NaN, logits as ref's */
int goss_gate_g(goss_gate *g);  /* a whole answer is coherent */
#endif
