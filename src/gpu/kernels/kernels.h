/* kernels.h - the kernels' variants: a set of defines gives a text, compiled once; and what a device was
 * found to be. */
#ifndef GOSS_GPU_KERNELS_H
#define GOSS_GPU_KERNELS_H
#include "gpu/device/gpu.h"
#include "base/buf.h"

enum {
    GOSS_MAX_KERNELS = 512,
    GOSS_BATCHES = 3, /* of few rows: 1, 4, GOSS_GPU_BATCH at once */
    GOSS_VARIANTS = 4 /* of a call, at most: batches, or sizes of tiles */
};

/* What the probe found and the limits allow; kernels are chosen by it. */
typedef struct goss_gpu_facts {
    /* subnormal halves; size in use or 0; KV in f16; packed bytes; products of many rows by fragments */
    int half_ok, subgroup, kv_half, packed, fragments;
    /* of products: what the device can, fast or not; and whether those of few rows are of bytes */
    int can_bytes, can_fragments, packed_few;
    uint64_t max_binding;
    /* rows of a step that go through the kernels for few, at most */
    int few_rows;
    /* pages from which on a row is attend_group's, 0: none is */
    int long_pages;
    /* matvec: threads (experts_up, norms), loads at once, threads a row, rows a group */
    uint32_t wg, wg_up, wg_norm, loads, lanes, nr[GOSS_BATCHES];
} goss_gpu_facts;

typedef struct goss_kernel {
    char key[320], name[32];
    int pipeline, marked;                              /* marked: its last binding is the mark (paging.c) */
    uint64_t calls;
    double us;
    uint64_t bytes, ops;
} goss_kernel;

typedef struct goss_kernels {
    goss_gpu *gpu;
    goss_gpu_facts *facts;
    goss_kernel list[GOSS_MAX_KERNELS]; int n, n_ready;
    int failed;                                        /* the last one was refused */
    int paged;                                         /* experts are: kernels of a step stop at the mark */
    /* buffers: 1 KB that nobody cares for, to read it with */
    int spare, back, probing;
} goss_kernels;

/* The number of a kernel with these defines, compiling it when it is new; negative: an error. */
int goss_kernels_get(goss_kernels *k, const char *file, const char *bindings, const char *defines,
                     goss_error *err);
int goss_kernels_ready(goss_kernels *k, goss_error *err);
int goss_kernels_probe(goss_kernels *k, goss_error *err); /* fills in facts: GOSS_EAGAIN, 0 */
/* The defines that threads and reductions need: values per thread, threads a group and all. */
void goss_reduce_defines(const goss_gpu_facts *f, goss_buf *out, uint32_t wg, uint32_t lanes,
                         uint32_t values);
void goss_layout_defines(goss_buf *d, int layout);
/* How keys and values are stored: bytes of an element, the kernels' defines. */
uint32_t goss_kv_size(const goss_gpu_facts *f);
const char *goss_kv_defines(const goss_gpu_facts *f);
/* Fragments (subgroup matrices; FM, FN, FK rows, outputs, values): the defines of matmul_fragments, whose
 * tile is {rows, outputs, a subgroup's rows, its outputs}, `depth` values a step, `planes` halves a value
 * of x; of attend_fragments, and its workgroup memory. */
void goss_fragment_defines(goss_buf *d, const goss_gpu_limits *lim, int subgroup, int layout,
                           const uint32_t tile[4], uint32_t depth, uint32_t planes);
enum { GOSS_ATTEND_SUBGROUPS = 8 };
uint32_t goss_attend_fragment_bytes(const goss_gpu_limits *lim, uint32_t head_dim);
void goss_attend_fragment_defines(goss_buf *d, const goss_gpu_limits *lim, int subgroup, uint32_t heads,
                                  uint32_t head_dim);
/* How attend divides its work, on a software adapter or on a GPU: see the kernel's head. */
void goss_attend_defines(goss_buf *d, const goss_gpu_limits *lim, int software, int subgroup, uint32_t heads,
                         uint32_t head_dim);

/* Whether attend_group can serve so many query heads of a KV head; and its defines. It takes rows that see
 * long_pages, GOSS_GROUP_PAGES at a time. */
enum { GOSS_GROUP_PAGES = 2 };
int goss_attend_group_fits(const goss_gpu_limits *lim, int subgroup, uint32_t heads, uint32_t head_dim);
void goss_attend_group_defines(goss_buf *d, int subgroup, uint32_t heads, uint32_t head_dim,
                               int long_pages);

static inline float goss_bits_float(uint32_t u) { union { uint32_t u; float f; } v = { u }; return v.f; }
static inline uint32_t goss_float_bits(float f) { union { float f; uint32_t u; } v = { f }; return v.u; }
static inline uint32_t goss_ceil_div(uint32_t a, uint32_t b) { return (a + b - 1) / b; }
#endif
