/* tests_gpu.h - the makers of cases, one a kernel, and the references that several of them share. */
#ifndef TESTS_GPU_H
#define TESTS_GPU_H
#include "check_gpu.h"

/* Words of parameters: how many groups cover a size, and a number's bits. */
static inline uint32_t ceil_div(uint32_t a, uint32_t b) { return (a + b - 1) / b; }
static inline uint32_t bits(float f)
{
    union {
        float f;
        uint32_t u;
    } v = { f };
    return v.u;
}

enum {
    GC_MATVEC_CASES = 298,
    GC_MATMUL_CASES = 66,
    GC_FRAGMENT_CASES = 86,
    GC_ATTEND_CASES = 28,
    GC_TILE_CASES = 12
};
int gc_make_probe(gc *g, gc_case *c, int i);
int gc_make_embed(gc *g, gc_case *c, int i);
int gc_make_norm(gc *g, gc_case *c, int i);
int gc_make_quantize(gc *g, gc_case *c, int i);
int gc_make_to_halves(gc *g, gc_case *c, int i);
int gc_make_repack(gc *g, gc_case *c, int i);
int gc_make_qkv_rows(gc *g, gc_case *c, int i);
int gc_make_experts_sum(gc *g, gc_case *c, int i);
int gc_make_sum_parts(gc *g, gc_case *c, int i);
int gc_make_roof(gc *g, gc_case *c, int i);
int gc_make_matvec(gc *g, gc_case *c, int i);
int gc_make_matvec_norm(gc *g, gc_case *c, int i);
int gc_make_matmul(gc *g, gc_case *c, int i);
int gc_make_matmul_fragments(gc *g, gc_case *c, int i);
int gc_make_route(gc *g, gc_case *c, int i);
int gc_make_router(gc *g, gc_case *c, int i);
int gc_make_choose(gc *g, gc_case *c, int i);
int gc_make_experts_up(gc *g, gc_case *c, int i);
int gc_make_experts_down(gc *g, gc_case *c, int i);
int gc_make_experts_up_float(gc *g, gc_case *c, int i);
int gc_make_experts_down_float(gc *g, gc_case *c, int i);
int gc_make_group(gc *g, gc_case *c, int i);
int gc_make_attend(gc *g, gc_case *c, int i);
int gc_make_attend_end(gc *g, gc_case *c, int i);
int gc_make_attend_group(gc *g, gc_case *c, int i);
int gc_make_attend_tile(gc *g, gc_case *c, int i);
int gc_make_attend_fragments(gc *g, gc_case *c, int i);
int gc_make_merge(gc *g, gc_case *c, int i);
int gc_make_scan(gc *g, gc_case *c, int i);
int gc_make_limit(gc *g, gc_case *c, int i);
int gc_make_weigh(gc *g, gc_case *c, int i);
int gc_make_pick(gc *g, gc_case *c, int i);

void gc_begin(gc_case *c, const char *file, uint32_t x, uint32_t y, uint32_t z);
double gc_weight_size(const gc_matrix *m, uint32_t row, uint32_t i); /* |scale value| + |minimum| */
/* y (n) and the relative bound of every element; returns the factor. */
double gc_norm_row(const float *x, const float *gain, uint32_t n, float eps, double *y, double *relative);
/* Matrix rows o and o + 1 of q | k | v with their values and bounds: RoPE, and where they go in the usual
 * order. */
void gc_finish_pair(const gc_step *s, uint32_t row, uint32_t o, uint32_t n_head, uint32_t n_kv, uint32_t hd,
                    uint32_t rope, uint32_t adjacent, double v[2], double bound[2], uint32_t at[2]);
/* The value of matrix row o of q | k | v into the pages if it is k or v. */
void gc_put_kv(gc_buffer *pages, const gc_step *s, uint32_t row, uint32_t o, uint32_t n_head, uint32_t n_kv,
               uint32_t hd, double v, double bound);
/* d: in the order of the matrix's rows. */
size_t gc_kv_at(uint32_t page, uint32_t n_kv, uint32_t head, uint32_t is_v, uint32_t hd, uint32_t position,
                uint32_t d);
/* The kernels' words for pages of halves or of floats. */
const char *gc_kv_defines(int half);
/* Clamped SwiGLU of gate and up known within bg and bu; *bound of the result. */
double gc_swiglu(double gate, double up, double alpha, double limit, double bg, double bu, double *bound);
double gc_silu(double gate, double up, double bg, double bu, double *bound);

/* Packed activations (layout.h): random rows with what they mean; and outputs that are packed, known by their
 * values. */
uint32_t *gc_packed(gc *g, size_t n_rows, uint32_t n, float *values, size_t *n_bytes);
typedef struct gc_packed_want {
    int buffer;
    uint32_t n_rows, n;
    double *want, *bound;
    uint8_t *there; /* of each row: whether it is made */
} gc_packed_want;
/* Adds the buffer, with room for a row more; the case's kept[3] is the answer, for gc_settle_packed. */
gc_packed_want *gc_packed_out(gc *g, gc_case *c, uint32_t n_rows, uint32_t n);
/* A row of floats to y, or packed to q. */
void gc_put_row(gc_buffer *y, gc_packed_want *q, uint32_t r, uint32_t n, const double *want, double relative);
void gc_settle_packed(gc *g, gc_case *c, void *const *out);
#endif
