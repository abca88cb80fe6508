/* check_gpu.h - every WGSL kernel in every variant against its reference in plain C, over gpu.h: natively and
 * in a browser alike.
 *
 * A case is one dispatch: the kernel's file and defines, its parameters, what every buffer holds before, and
 * for every element of every written buffer what it must hold after: a value and its bound (0: exactly this
 * one), or "untouched". Each case runs twice in one submit: on buffers of the exact size, and inside larger
 * ones that are full of canaries on both sides. What a kernel should write is NaN before (or the sum's other
 * operand), so nothing left out can pass.
 *
 * Nothing blocks: gc_advance() does what can be done and is called again (a browser needs its event loop
 * between). Everything random comes from the seed, the test's name and the case's number. No I/O: gc_say is
 * the front end's. */
#ifndef CHECK_GPU_H
#define CHECK_GPU_H
#include "base/buf.h"
#include "gpu/device/gpu.h"
#include "gpu/kernels/layout.h"
#include <stddef.h>

#define GC_U 5.9604645e-08 /* 2^-24: half an ulp of 1 */
enum { GC_BUFFERS = 10, GC_PIPELINES = 512, GC_MARGIN = 4096 /* bytes of canaries on each side */ };
enum { GC_WORD, GC_FLOAT, GC_HALF }; /* what the elements of a written buffer are */
#define GC_UNTOUCHED (-1.0)          /* as a bound */
#define GC_ANY (-2.0)                /* as a bound: may hold anything (scratch) */

typedef struct gc_buffer {
    char use; /* 'u', 'r', 'w' as in gpu.h */
    int type; /* GC_* of a written one */
    size_t n; /* bytes, a multiple of 4 */
    void *data;
    double *want, *bound; /* a written buffer's elements; bound is GC_UNTOUCHED where nothing is set */
} gc_buffer;

typedef struct gc gc;
typedef struct gc_case {
    char file[32];
    goss_buf defines;
    gc_buffer buffer[GC_BUFFERS];
    int n_buffers;
    uint32_t grid[3];
    char what[128]; /* the size, for messages */
    /* Looks at the outputs (buffer k's bytes at out[k]) where one depends on another, and sets wants; may be
     * NULL. */
    void (*settle)(gc *g, struct gc_case *c, void *const *out);
    uint32_t keep[16];
    void *kept[4]; /* for settle; kept lives as long as the case */
} gc_case;

typedef struct gc_test {
    const char *name;
    int n; /* cases; those from n_quick on are asked for in full runs only */
    int n_quick;
    int (*make)(gc *g, gc_case *c, int i); /* 0: made; 1: this device has no such variant */
} gc_test;
extern const gc_test gc_tests[]; /* ended by a NULL name */
typedef struct gc_mutant {
    const char *test, *from, *to;
    int i; /* a case that must see it */
} gc_mutant;
extern const gc_mutant gc_mutants[]; /* from becomes to in the kernel's final text */

struct gc {
    goss_gpu *gpu;
    const goss_gpu_limits *limits;
    uint64_t seed, rng;
    int full;              /* 1: the cases with the real layers' shapes too */
    int rest;              /* 1: of those, the cases that a quick run leaves out */
    int most;              /* at most this many cases a test; 0: all */
    int no_mutants;        /* 1: the checker itself is not checked */
    const char *only;      /* one test's name, or NULL */
    int exact_halves;      /* 1: as where the device flushes subnormal halves */
    int subgroup, half_ok; /* what kernels are built with: what the first test, probe, found */
    int found_subgroup, found_half;
    /* where it stands */
    int phase, test, i, mutant, in_mutants, tries; /* tries: seeds on which this mutant went unseen */
    gc_case c;
    int pipeline, ids[2][GC_BUFFERS], group[2], back, compiled;
    void *blocks[256];
    int n_blocks;
    struct gc_pipeline {
        char *key;
        int id;
    } pipelines[GC_PIPELINES];
    int n_pipelines;
    /* results */
    int passed, failed, skipped, caught, missed, broken, quiet;
    uint64_t n_compared;
    double worst; /* largest error over its bound */
    char level[24], key[400];
};

/* supplied by the front end: a line of text without its newline */
void gc_say(gc *g, const char *line);

/* seed, full, rest, most, no_mutants and only are the caller's to set in between. 0, or why there is no
 * device (poll: GOSS_EAGAIN). */
int gc_open(gc *g, const goss_gpu_options *o, const char *level, goss_error *err);
int gc_ready(gc *g, goss_error *err);
int gc_advance(gc *g); /* 1: call again, 0: done */
void gc_close(gc *g);
void gc_fail(gc *g, const char *why); /* the case is wrong; for settle */

/* ---- data_gpu.c: what cases are made of ---------------------------------------------------------------- */
uint32_t gc_rand(gc *g);
int gc_below(gc *g, int n);
float gc_randf(gc *g);           /* -1..1 with zeros, subnormals and now and then a large one */
void *gc_alloc(gc *g, size_t n); /* zero-filled, for the life of the case */
float *gc_floats(gc *g, size_t n, float scale);
gc_buffer *gc_in(gc_case *c, const void *data, size_t n_bytes);
void gc_params(gc *g, gc_case *c, const void *words, size_t n_bytes);
gc_buffer *gc_out(gc *g, gc_case *c, int type, size_t n_elements); /* poisoned, all untouched */
void gc_put(gc_buffer *b, size_t i, double want, double bound);
double gc_sum_bound(double magnitude, double n); /* of a sum of n products in f32, any order */
/* Besides, on packed activations: where a block's two scales multiply to less than the least normal float,
 * that is lost times the block's integer, at most 32 * 12 * 32,512. */
double gc_packed_bound(double n);
double gc_half_bound(double v);                  /* of rounding v to half precision */

/* A random matrix in a layout of layout.h, and its weights as numbers. */
typedef struct gc_matrix {
    int layout;
    uint32_t n_in, n_rows, n_units, scale_words;
    uint8_t *q, *s;
    size_t n_q, n_s;
} gc_matrix;
gc_matrix gc_matrix_make(gc *g, int layout, uint32_t n_in, uint32_t n_rows, int nasty);
double gc_weight(const gc_matrix *m, uint32_t row, uint32_t i);
/* Row times x; *magnitude: the sum of all terms' magnitudes. */
double gc_dot(const gc_matrix *m, uint32_t row, const float *x, double *magnitude);
void gc_matrix_in(gc_case *c, const gc_matrix *m); /* adds wq and ws */

/* "F16W WQ=vec4<u32> WS=u32 " and the like; threads and reductions as the engine has them (tuning 0:
 * software, 1: GPU) */
void gc_layout_defines(gc_case *c, int layout);
typedef struct gc_tuning {
    uint32_t wg, lanes, nr[3];
} gc_tuning;
gc_tuning gc_tuning_of(const gc *g, int tuning);
void gc_reduce_defines(gc *g, gc_case *c, uint32_t wg, uint32_t lanes, uint32_t values);

/* The words of a step of n rows of one sequence that starts at position pos, its pages in random order. */
typedef struct gc_step {
    uint32_t *w;
    size_t n_words;
    uint32_t n_rows, pos, n_pages, rope_dim, rope, sampler;
} gc_step;
gc_step gc_step_make(gc *g, uint32_t n_rows, uint32_t pos, uint32_t rope_dim, uint32_t chunks,
                     uint32_t pages_there);
uint32_t gc_step_page(const gc_step *s, uint32_t row, uint32_t index); /* both classes share one table */
#endif
