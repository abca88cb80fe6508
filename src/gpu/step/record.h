/* record.h - a submit as it is recorded: the words of gpu.h, cut into submits where somebody else wants
 * the GPU's time. */
#ifndef GOSS_GPU_RECORD_H
#define GOSS_GPU_RECORD_H
#include "gpu/kernels/kernels.h"

/* One dispatch that a step makes, all but its grid. kernel[i]: for 1, 4, 8 rows at once, or each size of
 * tile (kernels without variants: [0]). bytes: of weights that it reads, `times` over; times 0: for each y
 * of the grid. ops: of its products, for each row (goss_rec.rows); times 0: for each y. */
typedef struct goss_call {
    int kernel[GOSS_VARIANTS];
    int group;
    uint32_t params, grid[GOSS_VARIANTS];
    uint64_t bytes, ops;
    int times;
} goss_call;

enum { GOSS_PROFILE_OFF, GOSS_PROFILE_ON, GOSS_PROFILE_AWAITED };
typedef struct goss_rec {
    goss_gpu *gpu;
    goss_kernels *kernels;
    uint32_t *words; size_t n_words, cap_words; int in_pass;
    /* A submit's most GPU time as far as it is known, 0: a step is one submit. What a layer takes: of few
     * rows, a row of many. */
    double cut_ms, row_ms[2], since_cut, t_done;
    int cuts;
    /* Layers of the submit that is recorded, and how many of them are to come; 0: it is the whole step. */
    int ahead, ahead_left;
    /* ON: each dispatch is a pass of its own with timestamps; AWAITED: those of an earlier step are on their
     * way */
    int profiling;
    uint32_t rows, query, query_kernel[GOSS_GPU_MAX_QUERIES / 2];
} goss_rec;

void goss_rec_start(goss_rec *r);                      /* what is recorded is dropped */
/* slot: which of the call's parameters */
void goss_rec_dispatch(goss_rec *r, const goss_call *c, int batch, uint32_t slot, uint32_t x, uint32_t y,
                       uint32_t z);
void goss_rec_end_pass(goss_rec *r);
void goss_rec_copy(goss_rec *r, int from, uint64_t from_offset, int to, uint64_t to_offset, uint64_t n);
void goss_rec_clear(goss_rec *r, int buffer, uint64_t offset, uint64_t n);
void goss_rec_put(goss_rec *r, const uint32_t *words, size_t n);
int goss_rec_flush(goss_rec *r);                       /* submits what is recorded */
/* The device has nothing to do: it shall begin with the step's first layers while the others are recorded. */
void goss_rec_ahead(goss_rec *r);
/* Between two layers of a step of n_rows rows, and within one: ends a submit where it has become long, or the
 * device waits for it. */
int goss_rec_cut(goss_rec *r, int n_rows);
void goss_rec_cut_within(goss_rec *r, int n_rows);
/* A step's result is there: how long are layers? */
void goss_rec_took(goss_rec *r, int n_layer, int n_rows, double t_launch);
#endif
