/* kern.h - the kernel table: every hot loop of the CPU backend, once, as data.
 *
 * GOSS_KERN_LIST is the only place where a kernel's signature is written. From it come the dispatch table,
 * the prototypes and the list that gossamer-check walks. `_ref` computes in double and is the truth; `_c` is
 * portable and always there.
 *
 * Invariants
 * 1. The arithmetic order for one weight row and one activation row depends on neither the number of rows of
 *    a call nor on what else is in it: a row's result is bit-equal in any batch (matvec_* and attn; gemm
 *    among itself).
 * 2. Activations are int8 blocks of 32 with a float scale; products are exact in int32, scales are applied in
 * float. 3. No kernel allocates, reads past its inputs or writes past its outputs. Weights need no
 * alignment. */
#ifndef GOSS_CPU_KERN_H
#define GOSS_CPU_KERN_H
#include "format/quant.h"
#include "model/kv.h"

enum { GOSS_BLOCK = 32, GOSS_TILE_ROWS = 16, GOSS_ATTN_KEYS = GOSS_KV_PAGE };

/* Rows of activations, as floats and as int8 blocks: f ~ q * d. Written by quantize. */
typedef struct goss_acts {
    int n;               /* elements a row */
    /* (rows, n)      for F32, F16 and BF16 weights; NULL where no such weight reads them */
    float *f;
    int8_t *q;           /* (rows, n)      -127..127 */
    float *d;            /* (rows, n / 32) */
    int16_t *s;          /* (rows, n / 16) sums of q */
} goss_acts;

/* Rows of activations as int16 blocks of 32: f ~ q * d. Written by widen. */
typedef struct goss_wide { int n; int16_t *q; float *d; } goss_wide;

/* Sixteen weight rows unpacked for a product with many activation rows: w = s * (q - bias) + m.
 * q: for each block of 32 and each four of its elements: 16 rows of 4 bytes (an AVX-512 register, a row of
 * an AMX tile).
 *      block 0: [k 0..3][row 0..15][4]  [k 4..7][row 0..15][4] ... 512 bytes;  block 1: ...
 * s, m: (n / 32, groups, 16). Rows from n_rows on are zero. */
typedef struct goss_tile {
    int n, n_rows;
    int groups;          /* scales a block: 1, or 2 (one for 16 elements) */
    /* small: q is unsigned: 0..31, so that four u8 * s8 pairs add up in int16; any byte where form says so */
    int has_min, small;
    int form, bias;      /* form: in, a GOSS_TILE_*; bias: out, what pack added to q */
    uint8_t *q; float *s, *m;   /* GOSS_TILE_BYTES */
} goss_tile;
enum { GOSS_TILE_SIGNED = 0,    /* q is int8 */
       GOSS_TILE_SMALL = 1,     /* small types are shifted to 0..31, others int8 */
       GOSS_TILE_UNSIGNED = 2   /* all types are uint8: signed ones are shifted by 128 */ };
#define GOSS_TILE_Q(n) ((size_t)(n) * GOSS_TILE_ROWS)
#define GOSS_TILE_S(n) ((size_t)(n) / 16 * GOSS_TILE_ROWS)

/* One query head's online softmax over the pages it sees. Start: m = the sink's logit and l = 1, or m =
 * -INFINITY and l = 0; acc = 0. At the end the output is acc / l. */
typedef struct goss_attn_q {
    const float *q;      /* (head_dim) */
    float *acc;          /* (head_dim) */
    float m, l;
    int lo, hi;          /* keys [lo, hi) of this page are visible; may be none */
} goss_attn_q;

/* y[j * y_stride + i] = row i of w times row first + j of x, i < n_rows, j < m. */
#define GOSS_MATVEC_ARGS                                                                           \
    (float *y, int64_t y_stride, const void *w, int64_t row_bytes, int n_rows, const goss_acts *x, \
     int first, int m)
#define GOSS_WIDE_ARGS                                                                             \
    (float *y, int64_t y_stride, const void *w, int64_t row_bytes, int n_rows, const goss_wide *x, \
     int first, int m)
/* Unpacks rows 0..n_rows-1 (at most 16) of n elements; sets all fields of t but form, q, s, m. */
#define GOSS_PACK_ARGS (goss_tile *t, const void *w, int64_t row_bytes, int n_rows, int n)

/* rmsnorm: dst = x / sqrt(mean(x^2) + eps) * w.
 * quantize: rows first.. of x (n a multiple of 32) from f: d = max|f| / 127, q = rint(f / d); blocks under
 *   1e-30 become zero.
 * matvec: y[j * y_stride + i] = weight row i times row first + j of x, i < n_rows, j < m.
 * pack: see GOSS_PACK_ARGS.
 * gemm: y[j * y_stride + i] = row i of the tile times row first + j of x, i < t->n_rows, j < m. The tile must
 *   have the form that the same table's tile_form says.
 * rope: heads of head_dim floats in place; table: cos then sin of rope_dim / 2 pairs; half: see
 *   goss_hparams.rope_half.
 * attn: k (head_dim, 64 keys), v (64 keys, head_dim): the page's keys and values as floats. n_q independent
 *   queries.
 * swiglu: g' = min(g, limit), u' = clamp(u, +-limit), dst = g' / (1 + exp(-alpha g')) * (u' + 1).
 * silu_mul: g / (1 + exp(-g)) * u.
 * topk: the k largest logits, best first, lowest index first among equals, and their softmax.
 * axpy: y += a * x.
 * Beside the list: widen: row `row` of x from its n floats (a multiple of 32). wide_q8_0: as matvec, any m.
 *   Both NULL in levels that do better with two planes of int8. */
/* clang-format off: one entry a line */
#define GOSS_KERN_LIST(X)                                                                                  \
    X(void, rmsnorm, (float *dst, const float *x, const float *w, int n, float eps))                       \
    X(void, quantize, (const goss_acts *x, int first, const float *f, int n))                              \
    X(void, matvec_f32, GOSS_MATVEC_ARGS)                                                                  \
    X(void, matvec_f16, GOSS_MATVEC_ARGS)                                                                  \
    X(void, matvec_bf16, GOSS_MATVEC_ARGS)                                                                 \
    X(void, matvec_q4_0, GOSS_MATVEC_ARGS)                                                                 \
    X(void, matvec_q4_1, GOSS_MATVEC_ARGS)                                                                 \
    X(void, matvec_q5_0, GOSS_MATVEC_ARGS)                                                                 \
    X(void, matvec_q5_1, GOSS_MATVEC_ARGS)                                                                 \
    X(void, matvec_q8_0, GOSS_MATVEC_ARGS)                                                                 \
    X(void, matvec_q2_k, GOSS_MATVEC_ARGS)                                                                 \
    X(void, matvec_q3_k, GOSS_MATVEC_ARGS)                                                                 \
    X(void, matvec_q4_k, GOSS_MATVEC_ARGS)                                                                 \
    X(void, matvec_q5_k, GOSS_MATVEC_ARGS)                                                                 \
    X(void, matvec_q6_k, GOSS_MATVEC_ARGS)                                                                 \
    X(void, matvec_iq4_nl, GOSS_MATVEC_ARGS)                                                               \
    X(void, matvec_mxfp4, GOSS_MATVEC_ARGS)                                                                \
    X(void, pack_q4_0, GOSS_PACK_ARGS)                                                                     \
    X(void, pack_q4_1, GOSS_PACK_ARGS)                                                                     \
    X(void, pack_q5_0, GOSS_PACK_ARGS)                                                                     \
    X(void, pack_q5_1, GOSS_PACK_ARGS)                                                                     \
    X(void, pack_q8_0, GOSS_PACK_ARGS)                                                                     \
    X(void, pack_q2_k, GOSS_PACK_ARGS)                                                                     \
    X(void, pack_q3_k, GOSS_PACK_ARGS)                                                                     \
    X(void, pack_q4_k, GOSS_PACK_ARGS)                                                                     \
    X(void, pack_q5_k, GOSS_PACK_ARGS)                                                                     \
    X(void, pack_q6_k, GOSS_PACK_ARGS)                                                                     \
    X(void, pack_iq4_nl, GOSS_PACK_ARGS)                                                                   \
    X(void, pack_mxfp4, GOSS_PACK_ARGS)                                                                    \
    X(void, gemm, (float *y, int64_t y_stride, const goss_tile *t, const goss_acts *x, int first, int m))  \
    X(void, rope, (float *x, const float *table, int n_heads, int head_dim, int rope_dim, int half))       \
    X(void, attn, (goss_attn_q *q, int n_q, const float *k, const float *v, int head_dim, float scale))    \
    X(void, f16_load, (float *dst, const uint16_t *src, int n))                                            \
    X(void, f16_store, (uint16_t *dst, const float *src, int n))                                           \
    X(void, swiglu, (float *dst, const float *g, const float *u, int n, float alpha, float limit))         \
    X(void, silu_mul, (float *dst, const float *g, const float *u, int n))                                 \
    X(void, topk, (int32_t *ids, float *weights, const float *logits, int n, int k))                       \
    X(void, axpy, (float *y, const float *x, float a, int n))
/* clang-format on */

#define X(ret, name, args) ret (*name) args;
typedef struct goss_kern {
    GOSS_KERN_LIST(X)
    int tile_form;
    void (*widen)(const goss_wide *x, int row, const float *f);
    void (*wide_q8_0) GOSS_WIDE_ARGS;
} goss_kern;
#undef X

typedef void (*goss_matvec_fn) GOSS_MATVEC_ARGS;
typedef void (*goss_pack_fn) GOSS_PACK_ARGS;

/* By weight type; NULL when the type is not computed (pack: or is a float type). */
goss_matvec_fn goss_kern_matvec(const goss_kern *k, int type);
goss_pack_fn goss_kern_pack(const goss_kern *k, int type);

/* The reference, in double; then the levels (levels.h), each of which overrides what it does better. Only
 * those of the processor family are linked. */
void goss_kern_init_ref(goss_kern *k);
void goss_kern_init_c(goss_kern *k);
void goss_kern_init_avx2(goss_kern *k);
void goss_kern_init_avxvnni(goss_kern *k);
void goss_kern_init_avx512vnni(goss_kern *k);
void goss_kern_init_attn_avx512vnni(goss_kern *k);      /* called by the level's own */
void goss_kern_init_amx(goss_kern *k);
void goss_kern_init_neon(goss_kern *k);
void goss_kern_init_dotprod(goss_kern *k);
void goss_kern_init_simd128(goss_kern *k);
void goss_kern_init_relaxed(goss_kern *k);

/* Bits of the float 2^(e - 128): an MXFP4 block's scale over its doubled integer values. */
extern const uint32_t goss_mxfp4_scale[256];
extern const int8_t goss_mxfp4_values[16], goss_iq4_nl_values[16];
#endif
