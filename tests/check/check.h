/* check.h - every kernel variant against its reference, with the same bodies for testing and for timing.
 *
 * The core (check.c, check_math.c, check_dot.c, kern_bad.c) does no I/O and needs of libc only string.h and
 * math.h, so it also runs inside wasm. A front end (check_main.c natively) supplies the four calls marked so.
 * Everything random comes from one seed: `gossamer-check --seed N` repeats a run. */
#ifndef CHECK_H
#define CHECK_H
#include "cpu/kern.h"
#include <stddef.h>

enum { CHECK_PAD = 32 };              /* canaries on each side of an output, in floats */

typedef struct check {
    uint64_t rng, seed;
    const char *level, *test;         /* "avx2", "rmsnorm" */
    const goss_kern *ref, *k;
    /* comparisons made; how often this test failed; quiet: failures are expected (mutants) */
    int n_checked, failed, quiet;
    double worst;                     /* largest error over its bound in this test; 1 is the limit */
    double roof;                      /* GB/s that one thread reads; 0 before it was measured */
} check;

typedef struct check_test {
    const char *name;
    void (*run)(check *c, int arg);
    void (*bench)(check *c, int arg);  /* may be NULL */
    int arg;
} check_test;
extern const check_test check_tests[];     /* ended by a NULL name */

typedef struct check_mutant {
    const char *name, *test;          /* what is broken; the test that must see it */
    void (*install)(goss_kern *k);    /* over a table of sound kernels */
} check_mutant;
extern const check_mutant check_mutants[];

/* supplied by the front end */
void check_say(const check *c, const char *what, int64_t index, double got, double want);
void check_time(const check *c, const char *what, double ns, double gb_per_s, double share,
                double gmac_per_s);
double check_now_ns(void);
/* n bytes that end at memory which may not be touched, where the system can do that. One block a slot, 0..7,
 * reused. */
void *check_memory(int slot, size_t n);

void check_begin(check *c, const char *level, const check_test *t, const goss_kern *ref, const goss_kern *k);
uint32_t check_rand(check *c);
int check_below(check *c, int n);                     /* 0..n-1 */
/* -1..1 with zeros, subnormals and now and then a huge one */
float check_randf(check *c);
void check_fail(check *c, const char *why, int64_t index, double got, double want);
void check_value(check *c, int64_t index, double got, double want, double bound);  /* NaN fails */
/* bit for bit */
void check_same(check *c, const char *why, const void *a, const void *b, size_t n, size_t size);
float *check_out(int slot, size_t n);                 /* an output of n floats between canaries, all NaN */
void check_canaries(check *c, const float *out, size_t n);

/* Random blocks of a type: scales in a sensible range (mode 0), or nasty ones, the smallest and largest
 * there are (mode 1). */
void check_weights(check *c, int type, uint8_t *w, int64_t n_blocks, int mode);
/* m random rows, quantised by the reference; in slots 1..4 */
goss_acts check_acts(check *c, int m, int n, float scale);

/* check_dot.c: per weight type */
void check_matvec(check *c, int type);
void check_matvec_bench(check *c, int type);
void check_tile(check *c, int type);
void check_wide(check *c, int type);
void check_tile_bench(check *c, int type);

/* Times a body until 5 ms have gone by. */
#define CHECK_TIMED(ns, body)                 \
    do {                                      \
        const double t0_ = check_now_ns();    \
        int it_ = 0;                          \
        do {                                  \
            body;                             \
            it_++;                            \
        } while (check_now_ns() - t0_ < 5e6); \
        ns = (check_now_ns() - t0_) / it_;    \
    } while (0)
#endif
