/* cpu_state.h - the CPU backend's state, shared by its stage files and by nobody else.
 *
 * A step runs inside begin..submit, on the pool. Two ways through every stage:
 *   few  (decoding, at most GOSS_FEW rows): weight rows straight from the file times the rows, in an order that does
 *        not depend on the batch, so that a row's result is bit-equal in any batch of 1 to 16 rows;
 *   many (prefill): sixteen weight rows at a time are unpacked to int8 in the thread's own memory and used
 *        for all rows; a row's result is bit-equal in any chunk.
 * All memory is taken in open; begin..poll allocates nothing.
 *
 * A step that may be paused stops between two tasks of a run, and its stage returns GOSS_EAGAIN. All that it
 * will want again is on its desk, so a step beside it has a desk of its own; threads' own memory holds nothing
 * between two tasks. A stage called again goes by the runs that are done (goss_cpu_run). Each task is done once,
 * by the same kernel from the same inputs, so a pause changes no bit. */
#ifndef GOSS_CPU_CPU_STATE_H
#define GOSS_CPU_CPU_STATE_H
#include "base/thread.h"
#include "model/stage.h"
#include "kern.h"

enum {
    GOSS_FEW = 16,
    GOSS_CHUNK = 32 /* output rows a task */,
    GOSS_HEAD_CHUNK = 64,
    GOSS_USED_MAX = 16 /* experts a row */,
    SPAN_PAGES = 16 /* pages of the KV that attention sums for themselves */
};

/* rows of one sequence, at most GOSS_FEW */
typedef struct cpu_chunk { int first, n; } cpu_chunk;
/* the most looked-at positions of a row, best first; scores, in the end weights */
typedef struct cpu_looks {
    int n, pos[GOSS_LOOKS];
    float score[GOSS_LOOKS];
} cpu_looks;
typedef struct cpu_group { int expert, first, n; } cpu_group;         /* places first..first+n-1 of order[] */

/* One thread's own memory. */
typedef struct cpu_thread {
    goss_tile tile;
    /* (max_rows or GOSS_FEW * used, GOSS_HEAD_CHUNK) products before bias, gate or weights */
    float *out, *out2;
    float *k, *v;                /* (head_dim, 64), (64, head_dim) one page's half as floats */
    goss_attn_q *queries;        /* (2, GOSS_FEW * heads of a group) of the spans before, of the next */
    float *later;                /* (GOSS_FEW * heads of a group, head_dim) the next span's sums */
    float *line;                 /* (head_dim) */
} cpu_thread;

/* Where one step works: everything that is between its stages. */
typedef struct cpu_desk {
    int max_rows, busy, paused, many;
    double until;                /* as goss_step has it */
    int run, seen, task;         /* of the stage: runs done, runs come by in this call; next task (goss_cpu_run) */
    float *x;                    /* (rows, n_embd) the residual */
    goss_acts norm;              /* (rows, n_embd) */
    /* (rows * 2, n_embd) norm in 16 bits: row 2i its int8 blocks, 2i + 1 those of what they left over */
    goss_acts fine;
    goss_wide wide;              /* (rows, n_embd) norm in 16 bits, where the level has kernels for it */
    goss_acts picked;            /* (rows * used, n_embd) norm in the order of the experts */
    float *qkv;                  /* (rows, (n_head + 2 n_head_kv) * head_dim) */
    goss_acts att;               /* (rows, n_head * head_dim) */
    /* (spans, GOSS_FEW, n_head, head_dim) and (spans, GOSS_FEW, n_head), where threads share a head */
    float *spans; goss_attn_q *span_sums;
    float *turn;                 /* (rows, rope_dim) */
    float *router;               /* (rows, n_expert) */
    int32_t *chosen; float *weight;          /* (rows, used) */
    /* (rows * used) pairs (row * used + slot) by expert; where a pair stands in order */
    int32_t *order, *place;
    cpu_group *groups; int n_groups, *group_first;   /* group_first: (n_expert + 1) scratch */
    goss_acts h;                 /* (rows * used, n_ff) in the order of order[] */
    float *pair_out;             /* (rows * used, n_embd) down's output, many only */
    cpu_chunk *chunks; int n_chunks;
    float *logits; int *want, n_want;        /* (rows, n_vocab) of want[0..n_want) */
    size_t logits_bytes;
    goss_pick *picks; int n_picks;
} cpu_desk;

typedef struct cpu {
    goss_backend base;
    goss_kern k;
    goss_pool *pool;
    int n_threads, max_kv;
    unsigned features;
    uint8_t *room; size_t room_bytes;        /* all activations */
    cpu_thread *thread;
    /* the first for any step, the second for those beside a step that is paused on the first; which is now */
    cpu_desk desks[2], *desk;
    goss_sampling *sampling; uint8_t *scratch;   /* of GOSS_FEW rows; n_vocab * 8 bytes each */
    /* KV: page, layer of its class, k or v, head: half_bytes each (stage_kv.c) */
    int kv_type, *layer_index;
    size_t half_bytes, page_bytes[GOSS_KV_CLASSES], kv_bytes[GOSS_KV_CLASSES];
    uint8_t *kv[GOSS_KV_CLASSES];
    goss_tap_fn tap; void *tap_ctx;
    /* what is recorded (seen.c): (rows of both desks, n_layer, used), (rows); NULL: nothing is */
    struct {
        int layer, head;
        uint16_t *expert, *weight;
        cpu_looks *looks;
    } seen;
    struct { /* profile_cpu.c: of the step on the first desk, where `now` */
        void (*report)(void *ctx, const char *json, size_t n);
        void *report_ctx;
        int on, now;
        uint64_t n_few;
        float *us;
        int *groups; /* as goss_step.stage_us; (n_layer) different experts */
        double roof; /* bytes a microsecond */
    } profile;
    double busy_ms, t_busy;      /* in steps; since when in this one */
} cpu;

/* ---- stage_linear.c ---- */
/* y[j * stride + i] = row from + i of matrix `expert` of w, times row first + j of x; i < n, j < m. No
 * bias. */
void goss_cpu_product(cpu *c, int thread, const goss_tensor *w, int expert, int from, int n,
                      const goss_acts *x, int first, int m, float *y, int64_t stride);
/* Fills norm rows 0..n-1 from rows of x (list[i], or i when list is NULL), as floats and as int8; and in 16
 * bits, as rows of fine or of wide. */
enum { GOSS_NORM_BYTES, GOSS_NORM_FINE, GOSS_NORM_WIDE };
int goss_cpu_norm(cpu *c, const goss_tensor *gain, const int *list, int n, int form);
void goss_cpu_norm_row(cpu *c, const goss_tensor *gain, int from, int to);
/* x as the window of `width` columns from `at` of its rows: for quantising parts of a row. */
goss_acts goss_cpu_columns(const goss_acts *x, int64_t row, int at);
/* A run of a stage: all tasks, or GOSS_EAGAIN when the step is past its time. The stage returns that, and does
 * all the same again when it is called again: runs that are done are passed over, one that was begun goes on
 * with its next task. What a stage does between its runs must bear being done twice. */
int goss_cpu_run(cpu *c, goss_task_fn fn, void *ctx, int n_tasks);
/* A stage has done its last run: its output is shown. Returns 0. */
int goss_cpu_done(cpu *c, goss_stage stage, int layer, const float *values, int n_rows, int width);
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

/* ---- seen.c: for a recording, where c->seen has the room ---- */
void goss_cpu_see_route(cpu *c, int layer, int n_rows);
/* The watched head of a row: its scores with a page's keys (head_dim, 64); then all its pages are done. */
void goss_cpu_see_page(cpu *c, int row, const goss_attn_q *q, const float *k, int base);
void goss_cpu_see_begin(cpu *c, int row);
void goss_cpu_see_end(cpu *c, int row, const goss_attn_q *q);

/* ---- profile_cpu.c: a step is announced, goes on after a pause, has so many groups in a layer, is done ---- */
void goss_cpu_profile(goss_backend *b, unsigned mask);
void goss_cpu_profile_close(cpu *c);
void goss_cpu_profile_begin(cpu *c, goss_step *s);
void goss_cpu_profile_go_on(cpu *c, goss_step *s);
void goss_cpu_profile_groups(cpu *c, int layer);
void goss_cpu_profile_end(cpu *c, const goss_step *s);

/* ---- stages ---- */
int goss_cpu_attn_in(goss_backend *b, goss_step *s, int layer);
int goss_cpu_attend(goss_backend *b, goss_step *s, int layer);
int goss_cpu_attn_out(goss_backend *b, goss_step *s, int layer);
int goss_cpu_route(goss_backend *b, goss_step *s, int layer);
int goss_cpu_experts(goss_backend *b, goss_step *s, int layer);
int goss_cpu_ffn(goss_backend *b, goss_step *s, int layer);
#endif
