/* gpu_state.h - the gpu backend's state, shared by its files: gpu_kernels.c (pipelines), gpu_build.c
 * (buffers, matrices), gpu_few.c (calls for few rows), gpu_tiles.c (calls for many rows),
 * gpu_load.c (which weights), gpu_feed.c (how they get there), gpu_step.c (recording a step), gpu_slots.c and
 * gpu_pages.c (experts that don't fit), gpu_fill.c (experts that come later), gpu_kv.c (KV pages), stage_gpu.c (the
 * backend's table, submitting and polling). */
#ifndef GOSS_GPU_STATE_H
#define GOSS_GPU_STATE_H
#include "gpu.h"
#include "layout.h"
#include "../base/buf.h"
#include "../model/stage.h"

enum { GOSS_MAX_KERNELS = 160, GOSS_MAX_PIECES = 40, GOSS_TICKETS = GOSS_FLIGHTS + 2 };
enum { GOSS_BATCHES = 3 /* 1, 4, GOSS_GPU_BATCH rows at once */ };
enum {
    GOSS_GPU_LANES = 4,                                /* staging buffers; the first slots of `params` are theirs */
    GOSS_GPU_STAGING = 8 << 20,
    GOSS_GPU_FENCE = 64 << 20,                         /* bytes sent before the device is waited for */
    GOSS_TAG_RAW = 1, GOSS_TAG_LANE = 16               /* of reads */
};

typedef struct goss_kernel {
    char key[320], name[32];
    int pipeline, marked;                              /* marked: its last binding is the mark (gpu_pages.c) */
    uint64_t calls;
    double us;
    uint64_t bytes;
} goss_kernel;
typedef struct goss_matrix {
    int layout, n_pieces;
    uint32_t n_in, n_out, n_units, scale_words;       /* n_out: all rows */
    struct goss_piece { int q, s; uint32_t first, n; } piece[GOSS_MAX_PIECES];
} goss_matrix;
/* One dispatch that a step makes, all but its grid. kernel[i]: for 1, 4, 8 rows at once (kernels without
 * batches: [0]).
 * bytes: of weights that it reads, `times` over; times 0: for each y of the grid. */
typedef struct goss_call {
    int kernel[GOSS_BATCHES];
    int group;
    uint32_t params, grid[GOSS_BATCHES];
    uint64_t bytes;
    int times;
} goss_call;

/* A product for many rows, and the quantizing before it (n_blocks 0: none). nt: outputs a tile; n: outputs. */
typedef struct goss_tile_call { goss_call quantize, product; uint32_t n_blocks, nt, n; } goss_tile_call;

typedef struct goss_gpu_layer {
    int small, kv, cls;
    /* floats into small, NONE when absent */
    uint32_t attn_norm, bqkv[3], bo, sinks, ffn_norm, router, router_b, up_b, down_b;
    uint32_t small_floats;
    goss_matrix qkv[3], wo, up, down;                  /* up: gate and up interleaved, of all slots */
    int n_qkv, n_slots;
    goss_call c_norm, c_qkv[3], c_qkv_one[3], c_attend, c_attend_end, c_merge, c_wo, c_route, c_up[GOSS_MAX_PIECES],
        c_down[GOSS_MAX_PIECES], c_down_many[GOSS_MAX_PIECES], c_sum, c_ffn_norm;
    /* few rows: experts on packed activations; one row: qkv makes the norm; attention over one window needs no merge;
     * many rows: attention by tiles of rows */
    int packed, norm_inside, attend_ends, attend_tiled;
    goss_call p_layer, p_attend;                       /* gpu_panel.c */
    goss_call t_norm, t_attend, t_merge, t_route, t_ffn_norm, t_rows, t_group, t_sum; /* many rows: gpu_tiles.c */
    goss_tile_call t_qkv[3], t_wo, t_up[GOSS_MAX_PIECES], t_down[GOSS_MAX_PIECES];
} goss_gpu_layer;

/* One tensor, or one piece of one, on its way to the device. matrix NULL: floats for the layer's small
 * buffer (on the host first);
 * tensor NULL: the small buffer itself. */
typedef struct goss_load_item {
    const goss_tensor *tensor; const goss_matrix *matrix; int piece;
    uint32_t source_first, n_rows, row0, mode, done;   /* rows of the tensor; done: rows sent */
    int small; uint32_t small_floats;
} goss_load_item;

/* Rows of one tensor on their way through a staging buffer. state: FREE, READING, FULL of gpu_feed.c, or an error */
typedef struct goss_gpu_lane { int buffer, state; goss_load_item item; uint32_t n; } goss_gpu_lane;

enum {
    GOSS_TICKET_HELD, GOSS_TICKET_FLYING, GOSS_TICKET_SERVED, GOSS_TICKET_STALE, GOSS_TICKET_HOSTED, GOSS_TICKET_DONE
};
typedef struct goss_gpu_ticket {
    /* paging only: where the step stands (gpu_pages.c), its order, the step to record again, what the host writes
     * before it and which KV pages it copies first, the layer whose experts were counted last */
    int state; uint64_t serial; const goss_step *kept; goss_buf writes, copies; int counted, reported, held, host_layer;
    uint32_t *words;                                   /* what came back */
    int busy, n_rows, n_list, n_samples, polled;
    double t_launch;
    int *list;                                         /* (max_rows) rows that want logits, in order */
    uint8_t *want;                                     /* (max_rows) */
    int n_logits;                                      /* rows whose logits were asked for */
    int back, logits_back;                             /* read-back buffers */
    uint64_t logits_bytes;
} goss_gpu_ticket;

/* Experts that don't all fit, or are computed on the host (gpu_pages.c). Sets of experts are bits, n_words words a
 * layer. */
enum { GOSS_GPU_FILL = 2 };                            /* experts that are on their way unasked */
typedef struct goss_gpu_pages {
    int on, n_words, n_report;                         /* n_report: words of a step's report: mark, 3 more, used sets */
    int n_host, host_back;                             /* layers whose experts the host computes; read-back buffer */
    int mark;                                          /* buffer: 0 mark, 1 quiet, at 4: used sets */
    uint32_t *table;                                   /* (2, n_layer, n_expert): slot of expert, expert of slot */
    uint64_t *stamp, clock, serial;                    /* (n_layer, n_expert) by slot: when it was last used */
    uint8_t *dirty;                                    /* (n_layer): the table differs from the device's */
    int layer, quiet, rounds;                          /* whose experts are wanted; the device's mark[1] */
    uint32_t todo[8], now[8];                          /* experts not computed yet; those on their way */
    goss_load_item *queue; int n_queue, at_queue;      /* what has to be fetched */
    int n_needed;                                      /* of the queue, how many are in their source's map for sure */
    /* gpu_fill.c: experts are still on their way; layers before fill_layer have all (those before `told` have been
     * reported); those unasked: layer, expert */
    int early, fill_layer, told, n_fill, fill[GOSS_GPU_FILL][2]; double t_fill;
    uint32_t *predicted; int from; float accuracy[8];  /* by distance in layers */
    goss_buf copies; int copies_wait;                  /* KV copies before the next step; not made yet */
    uint64_t hits, misses, evictions, stalls, fetched_bytes, predictions; double stall_ms, t_stall, t_report;
} goss_gpu_pages;

enum { GOSS_GPU_OPENING, GOSS_GPU_PROBING, GOSS_GPU_LOADING, GOSS_GPU_COMPILING, GOSS_GPU_USABLE };
typedef struct goss_gpu_state {
    goss_backend base;
    goss_backend_config config;
    goss_gpu_options options;                          /* its path is borrowed as long as the backend lives */
    int software_too;                                  /* asked for by name: an adapter made of software will do */
    int profile, panels, panel_layer, panel_head;      /* asked for, the last two while it runs (gpu_panel.c) */
    goss_tap_fn tap; void *tap_ctx;
    int early; const goss_source *arriving;            /* gpu_fill.c: asked for; maps that are still being filled */
    int smaller;                                       /* gpu_retry.c: how many sizes smaller tiles are */
    int packed_too;                                    /* tests: packed activations on slow adapters too */
    uint64_t split;                                    /* tests: matrices are cut to this many bytes, 0: to the limit */
    /* a submit's most GPU time as far as it is known, 0: a step is one submit; tests set it */
    double cut_ms;
    struct { char name[32]; int opens, launch; } broken; /* tests: kernels that fail on the next `opens` devices */
    /* Above: what was asked for and outlives a device. From here on all is made anew with one (gpu_retry.c). */
    goss_gpu *gpu;
    int phase;
    int kernel_failed, launched;                       /* gpu_retry.c: a kernel was refused; a step came back */
    /* probed: subnormal halves; subgroup size in use or 0; KV in f16 */
    int half_ok, subgroup, kv_half, packed;
    uint64_t max_binding;
    /* kernels */
    goss_kernel kernels[GOSS_MAX_KERNELS]; int n_kernels, n_ready;
    /* matvec: threads (experts_up, norms), loads at once, threads a row, rows a group */
    uint32_t wg, wg_up, wg_norm, loads, lanes, nr[GOSS_BATCHES];
    /* buffers */
    int step, params, x, xn, qkv, att, part, stat, h, ysplit, rlogits, route, slots, logits, xs, chunk, pick, exp2,
        history, mask_buf, dummy, staging_back, query_buf, query_back, kv_temp, tap_back, xq, xq_scale, tiles,
        packed_x, packed_h;
    uint8_t *param_bytes; uint32_t n_params, cap_params; /* slots of 256 bytes */
    goss_matrix tok, out; int tied;
    goss_gpu_layer *layers; int out_small;
    /* head: a parameter slot for each group of 16 rows */
    goss_call c_embed[GOSS_MAX_PIECES], c_head_norm, c_head[GOSS_MAX_PIECES], c_scan, c_pick;
    int n_groups_max;
    /* gpu_profile.c: a kernel that only reads; where to; it ran; GB/s */
    goss_call c_roof; int roof, roof_known; double roof_rate;
    /* loading */
    goss_load_item *items; int n_items, cap_items, item;
    uint64_t bytes_done, bytes_total, since_fence; int fence;
    /* 0 idle, 1 asked, 2 there, negative failed */
    float *small_host; uint32_t small_cap; void *raw; uint64_t raw_cap; int raw_state;
    int repack_group;
    double t_report, t_load;
    goss_gpu_lane lane[GOSS_GPU_LANES];
    goss_gpu_pages pages;
    /* the step being recorded */
    goss_step *current; goss_gpu_ticket *ticket;
    uint32_t *words; size_t n_words, cap_words; int in_pass;
    uint32_t *step_words; uint32_t n_step_words, cap_step_words;
    double row_ms[2], since_cut, t_done;               /* gpu_step.c: what a layer takes: few rows, a row of many */
    int cuts;
    goss_gpu_ticket tickets[GOSS_TICKETS];
    float *tap_floats, *logits_floats; uint64_t tap_bytes, logits_cap;
    int panel;                                         /* what the page's maps are drawn from (gpu_panel.c) */
    int profiling;
    double t_profile, t_profiling, t_profile_next;     /* of the last report, of the step, of the next step */
    uint64_t profiled;
    uint32_t n_queries, query, query_kernel[GOSS_GPU_MAX_QUERIES / 2];
    uint64_t kv_bytes, weight_bytes;
    int kv_back, kv_reading;                           /* gpu_kv.c: read-back buffer; the page on its way, 0: none */
    double busy_ms;
    char level[112];
} goss_gpu_state;

static inline uint32_t goss_gpu_bits(float f) { union { float f; uint32_t u; } v = { f }; return v.u; }
/* How keys and values are stored: bytes of an element, the kernels' defines; how far apart the dims are that rotate
 * together (0: neighbours). */
static inline uint32_t goss_gpu_kv_size(const goss_gpu_state *s) { return s->kv_half ? 2 : 4; }
static inline const char *goss_gpu_kv_defines(const goss_gpu_state *s)
{
    return s->kv_half ? "KV_HALF KV2=u32 KV4=vec2<u32>" : "KV2=vec2<f32> KV4=vec4<f32>";
}
static inline uint32_t goss_gpu_rope_half(const goss_hparams *hp)
{
    return hp->rope_half ? (uint32_t)hp->rope_dim / 2 : 0;
}
static inline uint32_t goss_gpu_ceil_div(uint32_t a, uint32_t b) { return (a + b - 1) / b; }

/* gpu_kernels.c: the number of a kernel with these defines, compiling it when it is new; negative: an error. */
int goss_gpu_kernel(goss_gpu_state *s, const char *file, const char *bindings, const char *defines, goss_error *err);
int goss_gpu_kernels_ready(goss_gpu_state *s, goss_error *err);
/* The defines that threads and reductions need: values per thread, threads a group and all. */
void goss_gpu_reduce_defines(const goss_gpu_state *s, goss_buf *out, uint32_t wg, uint32_t lanes, uint32_t values);
int goss_gpu_probe(goss_gpu_state *s, goss_error *err); /* GOSS_EAGAIN, 0 */

/* gpu_build.c */
int goss_gpu_build(goss_gpu_state *s, goss_error *err);
uint32_t goss_gpu_params(goss_gpu_state *s, const void *words, size_t n_bytes); /* offset of a new parameter slot */
/* The same, or a slot with the same words: what all layers share stays in the device's caches. */
uint32_t goss_gpu_shared_params(goss_gpu_state *s, const void *words, size_t n_bytes);

/* gpu_few.c: the calls of a layer, of the embedding, of the head with sampling; and for gpu_tiles.c: one kernel without
 * batches with its parameters and buffers (the parameter buffer comes by itself), the defines of a layout. */
int goss_gpu_few_layer(goss_gpu_state *s, int layer, goss_error *err);
int goss_gpu_few_embed(goss_gpu_state *s, goss_error *err);
int goss_gpu_few_head(goss_gpu_state *s, goss_error *err);
int goss_gpu_plain(goss_gpu_state *s, goss_call *c, const char *file, const char *bindings, const char *defines,
                   const void *params, size_t n_params, const int *buffers, goss_error *err);
void goss_gpu_layout_defines(goss_buf *d, int layout);

/* gpu_retry.c */
int goss_gpu_state_open(goss_gpu_state *s, goss_error *err);  /* the device */
void goss_gpu_state_clear(goss_gpu_state *s);                 /* the device and all memory */
/* err says why a kernel did not compile. GOSS_EAGAIN: it will be tried with smaller tiles; else err's code. */
int goss_gpu_retry_kernel(goss_gpu_state *s, goss_error *err);
/* A step failed with code: GOSS_ELOST when it should be tried again with smaller tiles, else code. */
int goss_gpu_launch_failed(goss_gpu_state *s, int code, goss_error *err);

/* gpu_tiles.c: the stages of steps with more than GOSS_GPU_FEW rows, where they differ */
int goss_gpu_tiles_build(goss_gpu_state *s, goss_error *err);
uint64_t goss_gpu_tiles_words(const goss_gpu_state *s); /* of the buffer `tiles` */
void goss_gpu_tiles_qkv(goss_gpu_state *s, const goss_gpu_layer *l, uint32_t rows);
void goss_gpu_tiles_wo(goss_gpu_state *s, const goss_gpu_layer *l, uint32_t rows);
void goss_gpu_tiles_experts(goss_gpu_state *s, const goss_gpu_layer *l, uint32_t rows);
void goss_gpu_tiles_ffn(goss_gpu_state *s, const goss_gpu_layer *l, uint32_t rows);

/* gpu_panel.c: what a page draws on the same device, where telemetry asks for it */
int goss_gpu_panel_build(goss_gpu_state *s, goss_error *err);
void goss_gpu_panel_watch(goss_gpu_state *s, int layer, int head);
void goss_gpu_panel_attend(goss_gpu_state *s, const goss_gpu_layer *l, int layer);
void goss_gpu_panel_layer(goss_gpu_state *s, const goss_gpu_layer *l);

/* gpu_load.c */
int goss_gpu_load_prepare(goss_gpu_state *s, goss_error *err); /* compiles what repacks; before all other kernels */
int goss_gpu_load_plan(goss_gpu_state *s, goss_error *err);
int goss_gpu_load_some(goss_gpu_state *s, goss_error *err); /* GOSS_EAGAIN until all weights are there */
void goss_gpu_report(goss_gpu_state *s, const char *stage, const char *status, const char *detail,
                     uint64_t bytes, uint64_t total);
/* "tensor=WHAT rate=BYTES eta=SECONDS" of what has come since the load began */
void goss_gpu_rate(const goss_gpu_state *s, char *to, size_t n, const char *what);
void goss_gpu_tell_resident(goss_gpu_state *s, const goss_tensor *t); /* NULL: nothing to tell */

/* gpu_feed.c. feed: begins to send the item's next rows (it->done counts them); GOSS_EAGAIN: no lane is free.
 * pump: repacks what has arrived. drain: pumps; 0 when nothing is on its way and the device has done it all. */
int goss_gpu_feed_open(goss_gpu_state *s);
void goss_gpu_feed_close(goss_gpu_state *s);
int goss_gpu_feed(goss_gpu_state *s, goss_load_item *it, goss_error *err);
int goss_gpu_feed_pump(goss_gpu_state *s, goss_error *err);
int goss_gpu_feed_drain(goss_gpu_state *s, goss_error *err);
int goss_gpu_feed_idle(const goss_gpu_state *s);
void goss_gpu_feed_void(goss_gpu_state *s);            /* what is on its way goes nowhere, whether it comes or fails */
int goss_gpu_feed_prepare(goss_gpu_state *s, int type, goss_error *err); /* compiles what repacks it */
void goss_gpu_feed_done(goss_gpu_state *s, uint64_t tag, int status);

/* gpu_slots.c. plan: after everything but the experts has its buffers, decides how many slots each layer has and
 * whether experts are paged. fetch: gives an absent expert the slot of one that is not in `keep` and queues its bytes;
 * 0: there is no such slot. pump: sends what is queued as far as it goes; 0 when all of it has arrived. */
int goss_gpu_slots_plan(goss_gpu_state *s, goss_error *err);
void goss_gpu_slots_close(goss_gpu_state *s);
uint64_t goss_gpu_slot_bytes(const goss_model *m, int layer);
int goss_gpu_slots_has(const goss_gpu_state *s, int layer, int e);
void goss_gpu_slots_touch(goss_gpu_state *s, int layer, int e);
int goss_gpu_slots_fetch(goss_gpu_state *s, int layer, int e, const uint32_t *keep);
int goss_gpu_slots_pump(goss_gpu_state *s, goss_error *err);
int goss_gpu_slots_start(goss_gpu_state *s);           /* layers that have room for all their experts: each its own */
int goss_gpu_slots_write(goss_gpu_state *s);           /* changed tables to the device */
void goss_gpu_slots_forget(goss_gpu_state *s);         /* nothing is there any more */
void goss_gpu_slots_drop(goss_gpu_state *s, int layer, int e); /* it is not there, whoever said so */

/* gpu_pages.c, where paging is on */
int goss_gpu_pages_begin(goss_gpu_state *s, goss_step *step, goss_gpu_ticket *t, goss_error *err);
int goss_gpu_pages_submit(goss_gpu_state *s, goss_gpu_ticket *t, goss_error *err);
/* All tickets as far as they go, or until one is done: what is behind it may take its time. */
int goss_gpu_pages_advance(goss_gpu_state *s, const goss_gpu_ticket *until, goss_error *err);
void goss_gpu_pages_release(goss_gpu_state *s, goss_gpu_ticket *t);
int goss_gpu_pages_write_step(goss_gpu_state *s, int buffer, uint64_t offset, const void *data, uint64_t n);
void goss_gpu_pages_kv_copy(goss_gpu_state *s, int cls, int from, int to);
/* 1: the layer's products are made; 2: its experts are done */
int goss_gpu_pages_tapped(goss_gpu_state *s, goss_step *step, int layer);
void goss_gpu_pages_close(goss_gpu_state *s);
int goss_gpu_pages_stopped(const goss_gpu_state *s);   /* 1: a step waits, and what is behind it too */

/* gpu_fill.c. fill: brings experts nearer, as goss_backend_vt.fill. yield: what was not begun gives way. failed: the
 * source did; what was on its way is tried again later. need: waits until bytes [from, from + n) of a tensor are in
 * its source's map; fill_need: until all that is queued is. */
int goss_gpu_fill(goss_gpu_state *s, goss_error *err);
void goss_gpu_fill_yield(goss_gpu_state *s);
void goss_gpu_fill_failed(goss_gpu_state *s);
int goss_gpu_need(goss_gpu_state *s, const goss_tensor *t, uint64_t from, uint64_t n, goss_error *err);
int goss_gpu_fill_need(goss_gpu_state *s, goss_error *err);

/* gpu_kv.c: the backend's calls for KV pages (stage.h); copy_pages only records */
void goss_gpu_copy_pages(goss_gpu_state *s, int cls, int from, int to);
size_t goss_gpu_kv_bytes(const goss_backend *b, int cls);
int goss_gpu_kv_read(goss_backend *b, int cls, int page, void *dst, int timeout_ms);
int goss_gpu_kv_write(goss_backend *b, int cls, int page, const void *src);

/* gpu_profile.c: GPU time of every kernel by timestamps, each dispatch in a pass of its own while a step is
 * profiled. */
int goss_gpu_profile_build(goss_gpu_state *s, goss_error *err);
void goss_gpu_profile_ask(goss_gpu_state *s, int on);  /* off: reports what is not reported yet */
void goss_gpu_profile_begin(goss_gpu_state *s);        /* decides whether this step is */
int goss_gpu_profile_record(goss_gpu_state *s);        /* before the submit: has the timestamps copied */
int goss_gpu_profile_submitted(goss_gpu_state *s);
/* after the step: adds them up, now and then reports kernel_time */
void goss_gpu_profile_collect(goss_gpu_state *s);

/* gpu_step.c */
int goss_gpu_step_begin(goss_gpu_state *s, goss_step *step, goss_gpu_ticket *t, goss_error *err);
/* slot: which parameters */
void goss_gpu_record(goss_gpu_state *s, const goss_call *c, int batch, uint32_t slot, uint32_t x, uint32_t y,
                     uint32_t z);
void goss_gpu_end_pass(goss_gpu_state *s);
void goss_gpu_copy(goss_gpu_state *s, int from, uint64_t from_offset, int to, uint64_t to_offset, uint64_t n);
void goss_gpu_put(goss_gpu_state *s, const uint32_t *words, size_t n);
int goss_gpu_flush(goss_gpu_state *s);                 /* submits what is recorded */
void goss_gpu_step_took(goss_gpu_state *s, const goss_gpu_ticket *t); /* its result is there: how long are layers? */
/* The parts of a step that paging repeats on their own. */
void goss_gpu_expert_products(goss_gpu_state *s, int layer, uint32_t rows);
void goss_gpu_expert_sum(goss_gpu_state *s, int layer, uint32_t rows);
int goss_gpu_step_write(goss_gpu_state *s, int buffer, uint64_t offset, const void *data, uint64_t n);
void goss_gpu_clear(goss_gpu_state *s, int buffer, uint64_t offset, uint64_t n);
int goss_gpu_launch(goss_gpu_state *s, goss_gpu_ticket *t);    /* stage_gpu.c: ends and submits what is recorded */
int goss_gpu_do_embed(goss_backend *b, goss_step *step);
int goss_gpu_do_attn_in(goss_backend *b, goss_step *step, int layer);
int goss_gpu_do_attend(goss_backend *b, goss_step *step, int layer);
int goss_gpu_do_attn_out(goss_backend *b, goss_step *step, int layer);
int goss_gpu_do_route(goss_backend *b, goss_step *step, int layer);
int goss_gpu_do_experts(goss_backend *b, goss_step *step, int layer);
int goss_gpu_do_ffn(goss_backend *b, goss_step *step, int layer);
int goss_gpu_do_head(goss_backend *b, goss_step *step);
int goss_gpu_do_sample(goss_backend *b, goss_step *step);
#endif
