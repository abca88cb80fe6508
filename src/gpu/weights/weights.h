/* weights.h - what the device holds of a model: matrices cut to the limits, a layer's vectors, KV pages,
 * parameter slots; the list of what is still to be loaded; the tables of experts that don't all fit. Its
 * files take goss_weights and know nothing of steps: load_gpu.c (which weights, in which order), feed.c
 * (how rows get there), arriving.c (files that are not there yet), slots_gpu.c (which experts are there),
 * fill.c (experts that come later), report.c (what is said). */
#ifndef GOSS_GPU_WEIGHTS_H
#define GOSS_GPU_WEIGHTS_H
#include "gpu/kernels/kernels.h"
#include "gpu/kernels/layout.h"
#include "model/stage.h"

enum {
    GOSS_MAX_PIECES = 40,
    /* staging buffers; the first parameter slots are theirs */
    GOSS_GPU_LANES = 4,
    GOSS_GPU_STAGING = 8 << 20,
    GOSS_GPU_FENCE = 64 << 20,                         /* bytes sent before the device is waited for */
    GOSS_TAG_RAW = 1, GOSS_TAG_LANE = 16,              /* of reads */
    GOSS_GPU_FILL = 2,                                 /* experts that are on their way unasked */
    GOSS_BUFFER_RW = GOSS_GPU_STORAGE | GOSS_GPU_COPY_SRC | GOSS_GPU_COPY_DST
};

typedef struct goss_matrix {
    int layout, n_pieces;
    uint32_t n_in, n_out, n_units, scale_words;        /* n_out: all rows */
    /* beyond: entry of s that says whether a weight leaves the range of halves, NONE: there is none */
    struct goss_piece { int q, s; uint32_t first, n, beyond; } piece[GOSS_MAX_PIECES];
} goss_matrix;

typedef struct goss_layer_weights {
    /* buffers: vectors, KV pages; GOSS_KV_FULL or GOSS_KV_WINDOW */
    int small, kv, cls;
    /* floats into small, NONE when absent */
    uint32_t attn_norm, bqkv[3], bo, sinks, ffn_norm, router, router_b, up_b, down_b;
    uint32_t small_floats;
    goss_matrix qkv[3], wo, up, down;                  /* up: gate and up interleaved, of all slots */
    int n_qkv, n_slots;
} goss_layer_weights;

/* One tensor, or one piece of one, on its way to the device. matrix NULL: floats for the layer's small
 * buffer (on the host first); tensor NULL: the small buffer itself. */
typedef struct goss_load_item {
    const goss_tensor *tensor; const goss_matrix *matrix; int piece;
    uint32_t source_first, n_rows, row0, mode, done;   /* rows of the tensor; done: rows sent */
    int small; uint32_t small_floats;
} goss_load_item;

/* Rows of one tensor on their way through a staging buffer. state: FREE, READING, FULL of feed.c, or an
 * error */
typedef struct goss_gpu_lane { int buffer, state; goss_load_item item; uint32_t n; } goss_gpu_lane;

typedef struct goss_gpu_loader {
    goss_load_item *items; int n_items, cap_items, item;
    uint64_t bytes_done, bytes_total, since_fence; int fence;
    float *small_host; uint32_t small_cap;
    void *raw; uint64_t raw_cap; int raw_state;        /* 0 idle, 1 asked, 2 there, negative failed */
    double t_report, t_load;
    goss_gpu_lane lane[GOSS_GPU_LANES];
} goss_gpu_loader;

/* Slots of experts where not all of them are on the device, or not yet. Sets of experts are bits, n_words
 * words a layer. */
typedef struct goss_slots {
    /* n_report: words of a step's report: mark, 3 more, used sets */
    int on, n_words, n_report;
    int n_host;                                        /* layers whose experts the host computes */
    /* buffers: the tables; 0 mark, 1 quiet, at 4: used sets */
    int device, mark;
    /* (2, n_layer, n_expert): slot of expert, expert of slot */
    uint32_t *table;
    /* (n_layer, n_expert) by slot: when it was last used */
    uint64_t *stamp, clock;
    uint8_t *dirty;                                    /* (n_layer): the table differs from the device's */
    goss_load_item *queue; int n_queue, at_queue;      /* what has to be fetched */
    /* of the queue, how many are in their source's map for sure */
    int n_needed;
    /* fill.c: experts are still on their way; layers before fill_layer have all (those before `told` have
     * been reported); those unasked: layer, expert */
    int early, fill_layer, told, n_fill, fill[GOSS_GPU_FILL][2]; double t_fill;
    uint64_t evictions, fetched_bytes;
} goss_slots;

/* Parameter slots of 256 bytes: filled on the host while kernels are chosen, written to `buffer` at the end,
 * which has room for so many. */
typedef struct goss_param_slots { int buffer; uint8_t *bytes; uint32_t n, cap, room; } goss_param_slots;

typedef struct goss_weights {
    goss_gpu *gpu;
    goss_kernels *kernels;
    const goss_model *model;
    const goss_backend_config *config;
    /* sources whose maps are still being filled, or NULL */
    const goss_source *arriving;
    /* of a part of a model: whether it has them; out_small: buffer of the last norm's gain */
    int embeds, has_head;
    goss_matrix tok, out; int tied, out_small;
    goss_layer_weights *layers;
    goss_param_slots params;
    goss_gpu_loader load;
    goss_slots slots;
    uint64_t bytes, kv_bytes;                          /* of matrices, of KV pages */
} goss_weights;

/* weights.c. A buffer, or an error that says what there is no room for; a matrix of n_out rows, cut to
 * pieces of whole multiples of `together` rows that fit a binding; a layer's matrices up to the experts,
 * and those of as many experts as it has slots; how many bytes a page of the KV cache has in one layer. */
int goss_weights_buffer(goss_weights *w, int *id, uint64_t size, unsigned usage, const char *label,
                        goss_error *err);
int goss_weights_matrix(goss_weights *w, goss_matrix *m, int layout, int64_t n_in, int64_t n_out,
                        int64_t together,
                        const char *label, goss_error *err);
int goss_weights_build(goss_weights *w, goss_error *err);
int goss_weights_build_experts(goss_weights *w, int layer, goss_error *err);
uint64_t goss_weights_page_bytes(const goss_weights *w);
/* Those from `first` on, to the device. GOSS_EFULL: there are more than it has room for. */
int goss_params_write(goss_weights *w, uint32_t first);
/* offset of a new parameter slot */
uint32_t goss_params_add(goss_weights *w, const void *words, size_t n_bytes);
/* The same, or a slot with the same words: what all layers share stays in the device's caches. */
uint32_t goss_params_share(goss_weights *w, const void *words, size_t n_bytes);
void goss_weights_clear(goss_weights *w);              /* all memory of the host's */
#endif
