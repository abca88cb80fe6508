/* state.h - the gpu backend as its files in step/ share it: what was asked for, what the device is, its
 * weights, the buffers of a step, what is being recorded, steps in flight, paging, profile. */
#ifndef GOSS_GPU_STATE_H
#define GOSS_GPU_STATE_H
#include "record.h"
#include "gpu/kernels/choice.h"
#include "gpu/weights/weights.h"

enum { GOSS_GPU_FLIGHTS = 4, GOSS_TICKETS = GOSS_GPU_FLIGHTS + 2 };

/* ---- the dispatches of a layer ------------------------------------------------------------------------- */
/* A product for many rows, and what is made of its activations before (GOSS_TILE_*). product: a variant and
 * its grid's first number for each size of tile. times: rows of x for each row of the step; n_blocks: of 32
 * values a row; planes: halves a value of x; chosen: its line, or NULL; parts: how many of a crowd's
 * workgroups share the values of a tile (apart, sum: the calls then), 0: none. */
typedef struct goss_tile_call {
    goss_call convert, product, apart, sum;
    int operands;
    uint32_t times, n_blocks, planes, parts;
    const goss_choice_line *chosen;
} goss_tile_call;

typedef struct goss_layer_calls {
    const goss_layer_weights *w;
    struct { /* steps of few rows: decode.c */
        goss_call norm, qkv[3], qkv_one[3], attend, attend_long, attend_end, merge, wo, route, router,
            router_alone, choose, up[GOSS_MAX_PIECES], up_choose[GOSS_MAX_PIECES], down[GOSS_MAX_PIECES],
            down_many[GOSS_MAX_PIECES], sum, ffn_norm;
    } decode;
    struct { /* more rows: prefill.c */
        goss_call norm, attend, merge, route, ffn_norm, rows, group, sum;
        goss_tile_call qkv[3], wo, up[GOSS_MAX_PIECES], down[GOSS_MAX_PIECES];
    } prefill;
    struct { goss_call layer, attend; } panel;         /* panels.c */
    goss_call looks;                                   /* seen_gpu.c */
    /* decode: experts on packed activations; router and choice apart; one row: qkv makes the norm; attention
     * has kernels for short and for long rows; over one window it needs no merge; prefill: attention by tiles
     * of rows */
    int packed, spread, norm_inside, attend_parts, attend_ends, attend_tiled;
} goss_layer_calls;

/* Of what is not a layer's: a parameter slot for each of n_groups groups of GOSS_DECODE_ROWS rows. */
typedef struct goss_head_calls {
    goss_call embed[GOSS_MAX_PIECES], norm, product[GOSS_MAX_PIECES], scan, limit, weigh, pick;
    int n_groups;
    int crowd; /* logits of GOSS_CROWD_ROWS rows are made at once */
    goss_call crowd_norm;
    goss_tile_call crowd_product[GOSS_MAX_PIECES];
} goss_head_calls;

/* All that steps dispatch: each layer's, the head's, and what draws or records all layers at a step's end. */
typedef struct goss_calls {
    goss_layer_calls *layers;
    goss_head_calls head;
    goss_call panel_layers, seen_layers;
    int seen_late; /* all layers can choose late */
} goss_calls;

/* ---- a step in flight ---------------------------------------------------------------------------------- */
enum {
    GOSS_TICKET_HELD, GOSS_TICKET_FLYING, GOSS_TICKET_SERVED, GOSS_TICKET_STALE, GOSS_TICKET_HOSTED,
        GOSS_TICKET_DONE
};
typedef struct goss_gpu_ticket {
    int paged; /* it may have to run again */
    /* paging only: where the step stands (paging.c), its order, the step to record again, what the host
     * writes before it and which KV pages it copies first, the layer whose experts were counted last */
    int state; uint64_t serial; const goss_step *step; goss_buf writes, copies; int counted, reported, held,
        host_layer;
    uint32_t *words;                                   /* what came back */
    int busy, n_rows, many, n_list, n_samples, polled;
    double t_launch;
    int *list;                                         /* (max_rows) rows that want logits, in order */
    uint8_t *want;                                     /* (max_rows) */
    int n_logits;                                      /* rows whose logits were asked for */
    int back, logits_back;                             /* read-back buffers */
    uint64_t logits_bytes;
    int left_back;                                     /* read-back buffer of a residual, and how it stands */
    uint64_t left_bytes;
    enum { GOSS_LEFT_NONE, GOSS_LEFT_WANTED, GOSS_LEFT_TAKEN } left;
    uint64_t seen_at; /* of what came back: where seen_gpu.c's part begins */
} goss_gpu_ticket;

/* ---- experts that don't all fit, or are computed on the host (paging.c) -------------------------------- */
typedef struct goss_paging {
    int host_back;                                     /* read-back buffer of a residual */
    uint64_t serial;                                   /* of the last step */
    int layer, quiet, rounds;                          /* whose experts are wanted; the device's mark[1] */
    uint32_t todo[8], now[8];                          /* experts not computed yet; those on their way */
    uint32_t *predicted; int from; float accuracy[8];  /* by distance in layers */
    goss_buf copies; int copies_wait;                  /* KV copies before the next step; not made yet */
    uint64_t hits, misses, stalls, predictions; double stall_ms, t_stall, t_report;
} goss_paging;

/* ---- the backend --------------------------------------------------------------------------------------- */
/* What was asked for: outlives a device. */
typedef struct goss_gpu_settings {
    goss_gpu_options options;                          /* its path is borrowed as long as the backend lives */
    /* asked for by name: an adapter made of software will do */
    int software_too;
    int profile, panels, record, panel_layer, panel_head; /* the last two change while it runs (panels.c) */
    goss_tap_fn tap; void *tap_ctx;
    int early;                                         /* tokens before all experts are there */
    int smaller;                                       /* how many sizes smaller tiles are (retry.c) */
    const char *kernels; /* borrowed: the text of a choice, NULL: there is none */
    int measures;        /* what it lacks is measured */
} goss_gpu_settings;

/* What only tests ask for: the product's state points to none. */
typedef struct goss_gpu_tests {
    int packed_too;                                    /* packed activations on slow adapters too */
    /* matrices are cut to this many bytes, 0: to the limit */
    uint64_t split;
    struct { char name[32]; int opens, launch; } broken; /* kernels that fail on the next `opens` devices */
} goss_gpu_tests;

/* Buffers of activations and of what a step is told; their layouts: layout.h. */
typedef struct goss_step_buffers {
    int step, x, xn, qkv, att, part, stat, h, ysplit, rlogits, route, logits, xs, chunk, pick, exp2, history,
        mask,
        xq, xq_scale, tiles, packed_x, packed_h, kv_temp;
} goss_step_buffers;

typedef struct goss_gpu_profile {
    int stamps, stamps_back;                           /* buffers of timestamps */
    /* a kernel that only reads; where to; it ran; GB/s */
    goss_call roof_call; int roof, roof_known; double roof_rate;
    double t_report, t_begin, t_next;                  /* of the last report, of the step, of the next step */
    uint64_t n_steps;
    uint32_t n_queries;
} goss_gpu_profile;

enum { GOSS_GPU_OPENING, GOSS_GPU_PROBING, GOSS_GPU_LOADING, GOSS_GPU_COMPILING, GOSS_GPU_USABLE };
typedef struct goss_gpu_state {
    goss_backend base;
    goss_backend_config config;
    goss_gpu_settings settings;
    goss_gpu_tests *tests;
    /* From here on all is made anew with a device (retry.c). */
    goss_gpu *gpu;
    int phase, launched;                               /* launched: a step came back */
    goss_gpu_facts facts;
    goss_choice choice;
    struct goss_measure *measure; /* measure.c; NULL: not begun */
    struct goss_settle *settle;   /* settle.c; NULL: not begun, or over */
    goss_kernels kernels;
    goss_weights weights;
    goss_step_buffers buf;
    goss_calls calls;
    int crowds;                                        /* there are calls for them (goss_gpu_crowd) */
    goss_rec rec;
    goss_step *current; goss_gpu_ticket *ticket;       /* the step being recorded */
    struct { uint32_t *at, n, cap; } words;            /* of the step buffer */
    goss_gpu_ticket tickets[GOSS_TICKETS];
    goss_paging paging;
    goss_gpu_profile profile;
    struct { float *floats; uint64_t bytes; int back; } tapped;
    struct { float *floats; uint64_t bytes; } logits;
    /* kv_gpu.c: read-back buffer; the page on its way, 0: none; pages that there are; whether one was to be
     * copied to a page that can't be made (the step begun next says so) */
    struct { int back, reading, n_pages[GOSS_KV_CLASSES], failed; } kv;
    int panel;                                         /* what the page's maps are drawn from (panels.c) */
    int seen;                                          /* what is recorded of rows (seen_gpu.c) */
    char level[112];
    /* While a tap watches paged experts: fetches and computes a layer's before the next stage is recorded. 1:
     * the layer's products are made; 2: its experts are done. The backend sets it: stages.c is below
     * paging.c. */
    int (*experts_watched)(struct goss_gpu_state *s, goss_step *step, int layer);
} goss_gpu_state;

static inline goss_gpu_state *goss_gpu_state_of(goss_backend *b) { return (goss_gpu_state *)b; }
/* Whether a step goes through the kernels for many rows. */
static inline int goss_gpu_many(const goss_gpu_state *s, const goss_step *step)
{
    return step->many || step->n_rows > s->facts.few_rows;
}
/* Whether it decodes for more sessions than the kernels for few rows serve: its rows see different keys. */
static inline int goss_gpu_crowd(const goss_gpu_state *s, const goss_step *step)
{
    return goss_gpu_many(s, step) && !step->many && step->n_seqs > 1;
}
/* Chunks of a row's keys, at most: of many rows there is only room for so many. */
static inline int goss_gpu_chunks(const goss_gpu_state *s, const goss_step *step)
{
    const int most = goss_gpu_crowd(s, step) ? GOSS_CROWD_ROWS : s->facts.few_rows;
    return step->many || step->n_rows > most ? 1 : GOSS_GPU_CHUNKS;
}
/* How far apart the dims are that rotate together (0: neighbours). */
static inline uint32_t goss_rope_half(const goss_hparams *hp)
{
    return hp->rope_half ? (uint32_t)hp->rope_dim / 2 : 0;
}
#endif
