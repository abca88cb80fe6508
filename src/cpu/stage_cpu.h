/* stage_cpu.h - the CPU backend's state, shared by its stage files and by nobody else.
 *
 * A step runs inside begin..submit, on the pool. Two ways through every stage:
 *   few  (at most GOSS_FEW rows): weight rows straight from the file times the rows, in an order that does
 *   not depend on the
 *        batch, so that a row's result is bit-equal in any batch of 1 to 16 rows;
 *   many (prefill): sixteen weight rows at a time are unpacked to int8 in the thread's own memory and used
 *   for all rows.
 * All memory is taken in open; begin..poll allocates nothing. */
#ifndef GOSS_CPU_STAGE_CPU_H
#define GOSS_CPU_STAGE_CPU_H
#include "../base/thread.h"
#include "../model/stage.h"
#include "kern.h"

enum {
    GOSS_FEW = 16,
    GOSS_CHUNK = 32 /* output rows a task */,
    GOSS_HEAD_CHUNK = 64,
    GOSS_USED_MAX = 16 /* experts a row */
};

typedef struct cpu_chunk { int first, n; } cpu_chunk;                 /* rows of one sequence, at most GOSS_FEW */
typedef struct cpu_group { int expert, first, n; } cpu_group;         /* places first..first+n-1 of order[] */

/* One thread's own memory. */
typedef struct cpu_thread {
    goss_tile tile;
    /* (max_rows or GOSS_FEW * used, GOSS_HEAD_CHUNK) products before bias, gate or weights */
    float *out, *out2;
    float *k, *v;                /* (head_dim, 64), (64, head_dim) one page's half as floats */
    goss_attn_q *queries;        /* (GOSS_FEW * heads of a group) */
    float *line;                 /* (head_dim) */
} cpu_thread;

typedef struct cpu {
    goss_backend base;
    goss_kern k;
    goss_pool *pool;
    int n_threads, max_rows, busy, many;
    unsigned features;
    uint8_t *room; size_t room_bytes;        /* all activations */
    cpu_thread *thread;
    float *x;                    /* (rows, n_embd) the residual */
    goss_acts norm;              /* (rows, n_embd) */
    /* (rows * 2, n_embd) norm in 16 bits: row 2i its int8 blocks, 2i + 1 those of what they left over */
    goss_acts fine;
    goss_wide wide;              /* (rows, n_embd) norm in 16 bits, where the level has kernels for it */
    goss_acts picked;            /* (rows * used, n_embd) norm in the order of the experts */
    float *qkv;                  /* (rows, (n_head + 2 n_head_kv) * head_dim) */
    goss_acts att;               /* (rows, n_head * head_dim) */
    float *turn;                 /* (rows, rope_dim) */
    float *router;               /* (rows, n_expert) */
    int32_t *chosen; float *weight;          /* (rows, used) */
    int32_t *order, *place;      /* (rows * used) pairs (row * used + slot) by expert; where a pair stands in order */
    cpu_group *groups; int n_groups, *group_first;   /* group_first: (n_expert + 1) scratch */
    goss_acts h;                 /* (rows * used, n_ff) in the order of order[] */
    float *pair_out;             /* (rows * used, n_embd) down's output, many only */
    cpu_chunk *chunks; int n_chunks;
    float *logits; int *want, n_want;        /* (rows, n_vocab) of want[0..n_want) */
    size_t logits_bytes;
    goss_pick *picks; int n_picks;
    goss_sampling *sampling; uint8_t *scratch;   /* of GOSS_FEW rows; n_vocab * 8 bytes each */
    /* KV: page, layer of its class, k or v, head: half_bytes each (stage_kv.c) */
    int kv_type, *layer_index;
    size_t half_bytes, page_bytes[GOSS_KV_CLASSES], kv_bytes[GOSS_KV_CLASSES];
    uint8_t *kv[GOSS_KV_CLASSES];
    goss_tap_fn tap; void *tap_ctx;
    double busy_ms;
} cpu;

/* ---- stage_linear.c ---- */
/* y[j * stride + i] = row from + i of matrix `expert` of w, times row first + j of x; i < n, j < m. No bias. */
void goss_cpu_product(cpu *c, int thread, const goss_tensor *w, int expert, int from, int n,
                      const goss_acts *x, int first, int m, float *y, int64_t stride);
/* Fills norm rows 0..n-1 from rows of x (list[i], or i when list is NULL), as floats and as int8; and in 16 bits, as
 * rows of fine or of wide. */
enum { GOSS_NORM_BYTES, GOSS_NORM_FINE, GOSS_NORM_WIDE };
void goss_cpu_norm(cpu *c, const goss_tensor *gain, const int *list, int n, int form);
void goss_cpu_norm_row(cpu *c, const goss_tensor *gain, int from, int to);
/* x as the window of `width` columns from `at` of its rows: for quantising parts of a row. */
goss_acts goss_cpu_columns(const goss_acts *x, int64_t row, int at);
void goss_cpu_run(cpu *c, goss_task_fn fn, void *ctx, int n_tasks);
static inline const float *goss_cpu_floats(const goss_tensor *t)
{
    return t->type < 0 ? NULL : (const float *)(const void *)t->data;
}
static inline int goss_cpu_min(int a, int b) { return a < b ? a : b; }

/* ---- stage_kv.c ---- */
/* bytes of one head's keys (or values) of one page; 0: not possible */
size_t goss_cpu_kv_half(int type, int head_dim);
void goss_cpu_kv_put(cpu *c, const goss_kv *kv, int layer, int pos, int head, int value, const float *x, float *line);
/* The first n positions of a page's half as floats: keys (head_dim, 64), values (64, head_dim). */
void goss_cpu_kv_get(cpu *c, const goss_kv *kv, int layer, int page, int head, int value, int n, float *to);

/* ---- stages ---- */
int goss_cpu_attn_in(goss_backend *b, goss_step *s, int layer);
int goss_cpu_attend(goss_backend *b, goss_step *s, int layer);
int goss_cpu_attn_out(goss_backend *b, goss_step *s, int layer);
int goss_cpu_route(goss_backend *b, goss_step *s, int layer);
int goss_cpu_experts(goss_backend *b, goss_step *s, int layer);
int goss_cpu_ffn(goss_backend *b, goss_step *s, int layer);
#endif
