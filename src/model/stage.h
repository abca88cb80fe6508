/* stage.h - what a backend is: the stages of one step, and the same step for every backend.
 *
 * A step is a batch of rows through the model once. Rows of one sequence stand together, with ascending
 * positions that start at the number of positions its KV held before; the engine has already extended the KV
 * (kv.n counts this step's rows). goss_forward() is the forward pass: begin, embed, then for each layer
 * attn_in, attend, attn_out, and route + experts or ffn, then head and sample, submit. Stages queue or do
 * work and return 0 or an error; results are had by poll(). Of a step that may be paused a stage may also
 * return GOSS_EAGAIN: called again, it goes on. */
#ifndef GOSS_MODEL_STAGE_H
#define GOSS_MODEL_STAGE_H
#include "base/buf.h"
#include "arch.h"
#include "kv.h"
#include "sample.h"

/* row.token: whatever the device sampled last for this sequence (gpu only) */
enum { GOSS_TOKEN_SAMPLED = -1 };
enum { GOSS_FLIGHTS = 16 };         /* most steps in flight */
enum { GOSS_CROWD_ROWS = 64 };      /* of more sessions than few rows serve, that a GPU computes as a crowd */
enum { GOSS_DECODE_ROWS = 16 };     /* rows of a step that decodes, at most, where a backend says no other */
enum { GOSS_BESIDE_ROWS = 64 };     /* rows of a step that runs while another is paused, at most */
enum { GOSS_ROW_SAMPLE = 1, GOSS_ROW_LOGITS = 2 };
typedef struct goss_row { int32_t token, pos; int16_t seq; uint8_t want; /* GOSS_ROW_* bits */ } goss_row;
typedef struct goss_seq {
    goss_kv *kv;
    int slot;                      /* 0..max_sessions-1: where the device keeps this sequence's history */
    const int32_t *tokens;         /* by position, up to the last row whose token is known */
    const goss_sampler *sampler;
    const uint32_t *mask;          /* n_vocab bits, for all sampled rows of the sequence; NULL: everything */
} goss_seq;
typedef struct goss_step {
    const goss_row *rows; int n_rows;
    const goss_seq *seqs; int n_seqs;
    int many;                      /* 1: the kernels for many rows, however few there are (max_rows > 16) */
    int ticket;                    /* set by begin; names the step to poll, logits and discard */
    /* (n_layer * GOSS_LAYER_STAGES + 3) microseconds of layers' stages, embed, head and sample, of backends
     * that run a step at once, added to what is there; NULL: not asked for */
    float *stage_us;
    double until;                  /* goss_os_now_ms: it may be paused from then on; 0: it runs to its end */
    int layer, stage;              /* where it is, when it is paused (forward.c) */
} goss_step;
/* By which kernels its rows go. A row's result depends on them, and on nothing else of its step. */
static inline int goss_step_many(const goss_step *s) { return s->many || s->n_rows > GOSS_DECODE_ROWS; }

typedef enum goss_stage {
    GOSS_STAGE_EMBED,
    GOSS_STAGE_ATTN_IN,
    GOSS_STAGE_ATTEND,
    GOSS_STAGE_ATTN_OUT,
    GOSS_STAGE_ROUTE,
    GOSS_STAGE_EXPERTS,
    GOSS_STAGE_FFN,
    GOSS_STAGE_HEAD,
    GOSS_STAGE_SAMPLE,
    GOSS_N_STAGES
} goss_stage;
enum { GOSS_LAYER_STAGES = GOSS_STAGE_FFN - GOSS_STAGE_ATTN_IN + 1 }; /* of a layer */
const char *goss_stage_name(goss_stage s);
/* Sees every stage's output as float rows (n_rows, width): EMBED, ATTN_OUT, EXPERTS, FFN: the residual
 * (n_embd); ATTN_IN: q after RoPE, then k after RoPE, then v (n_head*hd + 2*n_head_kv*hd); ATTEND:
 * (n_head*hd); ROUTE: router logits (n_expert); HEAD: logits of the rows that want them (n_vocab). For parity
 * runs and layer telemetry. */
typedef void (*goss_tap_fn)(void *ctx, goss_stage stage, int layer, const float *values, int n_rows,
                            int width);

/* What a recording keeps of a row: the router's choice in each layer, best first, and where the watched head
 * of the watched layer looked, most first. Weights are in 65535ths. */
enum { GOSS_LOOKS = 16, GOSS_SEEN_EXPERTS = 1, GOSS_SEEN_LOOKS = 2, GOSS_SHARES = 65535 };
typedef struct goss_seen {
    uint16_t *expert, *weight; /* (n_layer, n_expert_used); the caller's memory */
    uint16_t watch[2];         /* the layer and head that looked */
    int n_looks;
    uint32_t look[GOSS_LOOKS];
    uint16_t look_weight[GOSS_LOOKS];
} goss_seen;
static inline uint16_t goss_share(float weight) { return (uint16_t)(weight * (float)GOSS_SHARES + 0.5f); }

typedef struct goss_backend goss_backend;
typedef struct goss_backend_config {
    const goss_model *model;       /* kept; a part of one has no tok_embd, or no output (type -1) */
    const goss_source *sources; int n_sources;   /* kept; for backends that fetch weights themselves */
    const goss_engine_config *engine;            /* borrowed */
    int max_rows, max_slots, max_kv;
    int early;                     /* gpu: load ends before the experts are there; fill() brings them */
    /* gpu: who computes the experts of the first layers; kept, may be NULL */
    goss_backend *host; int n_host_layers;
    /* gpu: bytes for everything, for experts; 0: as many as there are */
    uint64_t gpu_memory, expert_cache;
    /* kept, may be NULL; gpu: how many sizes smaller kernels' tiles are; it raises it */
    int *tiles;
    int n_pages[GOSS_KV_CLASSES]; int kv_type;   /* GOSS_F16, GOSS_F32, GOSS_Q8_0, GOSS_Q4_0 */
    /* gpu: pages that all sessions together could use, and positions of one, where the device has room beside
     * so many bytes: the KV then grows to them (goss_backend.grows); 0: it never does */
    int most_pages[GOSS_KV_CLASSES], most_kv; uint64_t beside_kv;
    /* telemetry lines; kept, may be NULL */
    void (*report)(void *ctx, const char *json, size_t n); void *report_ctx;
} goss_backend_config;
typedef struct goss_backend_stats {
    uint64_t bytes_allocated, kv_bytes, weight_bytes;
    uint64_t hits, misses, evictions, stalls, fetched_bytes;     /* experts that are paged */
    double progress, busy_ms, stall_ms;
} goss_backend_stats;

enum { GOSS_FILLED, GOSS_FILL_MORE /* call again */, GOSS_FILL_LATER /* nothing can be done now */ };
typedef struct goss_backend_vt {
    const char *name;                                         /* "ref", "cpu", "gpu" */
    int in_flight;                                            /* steps submitted before the first is polled */
    /* 1: the steps in flight are for different sessions, which wait for their tokens; 0: the device goes on
     * from what it sampled */
    int groups;
    /* GOSS_EAGAIN until the weights are usable: call again */
    int  (*load)(goss_backend *b, goss_error *err);
    int  (*begin)(goss_backend *b, goss_step *s, goss_error *err); /* takes a ticket */
    int  (*embed)(goss_backend *b, goss_step *s);
    int  (*attn_in)(goss_backend *b, goss_step *s, int layer);
    int  (*attend)(goss_backend *b, goss_step *s, int layer);
    int  (*attn_out)(goss_backend *b, goss_step *s, int layer);
    int  (*route)(goss_backend *b, goss_step *s, int layer);
    int  (*experts)(goss_backend *b, goss_step *s, int layer);
    int  (*ffn)(goss_backend *b, goss_step *s, int layer);
    int  (*head)(goss_backend *b, goss_step *s);
    int  (*sample)(goss_backend *b, goss_step *s);            /* NULL: head has done it */
    int  (*submit)(goss_backend *b, goss_step *s, goss_error *err);
    /* GOSS_EAGAIN, or 0 with one pick per row that has GOSS_ROW_SAMPLE, in row order; frees the ticket unless
     * a row had GOSS_ROW_LOGITS. */
    int  (*poll)(goss_backend *b, goss_step *s, int timeout_ms, goss_pick *picks, goss_error *err);
    /* After poll: n_vocab floats of a row that wanted them. */
    int  (*logits)(goss_backend *b, goss_step *s, int row, float *out);
    /* A paused step goes on. NULL: steps run to their end (or submit is only their beginning). */
    void (*go_on)(goss_backend *b, goss_step *s);
    /* frees a ticket that poll left or nobody wants, of a paused step too */
    void (*release)(goss_backend *b, goss_step *s);
    /* A step's residual behind its last layer (n_rows, n_embd): leave says before submit that it is wanted,
     * in head's place or behind it; left gives it after poll, before another step begins where one at most is
     * in flight. Then the step is released. Both NULL: not offered. */
    int (*leave)(goss_backend *b, goss_step *s);
    int (*left)(goss_backend *b, goss_step *s, float *x);
    /* Of a backend on memory, between its steps: the residual that the next route and experts work on;
     * many: by which kernels. NULL: not offered. */
    float *(*residual)(goss_backend *b, int many);
    /* After begin, in embed's place: the residual of the step's rows (n_rows, n_embd), for a head or for
     * layers behind those of another backend. 0 or an error. */
    int (*put)(goss_backend *b, const goss_step *s, const float *x);
    void (*kv_copy)(goss_backend *b, int cls, int from, int to);
    /* A page's bytes, between recordings of steps; all three NULL: not offered. bytes: how many, for all
     * layers of the class. read: 0 when they are in dst; GOSS_EAGAIN after at most timeout_ms: ask for the
     * same page again, or with dst NULL: it is not wanted any more. write: of a page whose positions nobody
     * holds; GOSS_EAGAIN: not now. */
    size_t (*kv_bytes)(const goss_backend *b, int cls);
    int (*kv_read)(goss_backend *b, int cls, int page, void *dst, int timeout_ms);
    int (*kv_write)(goss_backend *b, int cls, int page, const void *src);
    void (*read_done)(goss_backend *b, uint64_t tag, int status);
    /* Of a backend that is usable before all its weights are there: brings some nearer. GOSS_FILL_*, or an
     * error. NULL: they are all there when load says so. */
    int  (*fill)(goss_backend *b, goss_error *err);
    /* Of a backend that chooses by measuring: measures on, or waits at most timeout_ms for the device, while
     * no step is in flight. 1: there is more; 0: all is measured, what is to be kept was added to text (no
     * bytes: nothing new). Steps between two calls spoil nothing. NULL: not offered. */
    int (*measure)(goss_backend *b, int timeout_ms, goss_buf *text);
    void (*tap)(goss_backend *b, goss_tap_fn fn, void *ctx);  /* NULL switches it off */
    /* Which attention to show whoever draws on the device, and to record; may be NULL. */
    void (*watch)(goss_backend *b, int layer, int head);
    /* From now on (on 1) rows are recorded; 0 or GOSS_ENOMEM. And, after poll and before another step begins,
     * what was: the GOSS_SEEN bits of what is in *out. Both NULL: not offered. */
    int (*record)(goss_backend *b, int on);
    int (*seen)(const goss_backend *b, const goss_step *s, int row, goss_seen *out);
    void (*telemetry)(goss_backend *b, unsigned mask);        /* lines wanted from now on; may be NULL */
    void (*stats)(const goss_backend *b, goss_backend_stats *out);
    const char *(*level)(const goss_backend *b);              /* "avx2"; the adapter's name */
    void (*close)(goss_backend *b);
} goss_backend_vt;
struct goss_backend {
    const goss_backend_vt *vt; const goss_model *model;
    /* by shard, where weights may still be on their way (goss_source.need); else NULL */
    const goss_source *arriving;
    /* rows of a step that decodes, at most, once it is loaded: more count as many; 0: GOSS_DECODE_ROWS */
    int decode_rows;
    /* once it is loaded: pages that the KV grows to, positions of a sequence; 0: as configured */
    struct { int n_pages[GOSS_KV_CLASSES], max_kv; } grows;
};

/* need.c: waits until weights are in memory, where they are still arriving. 0, or an error. */
const goss_source *goss_arriving(const goss_source *sources, int n); /* for goss_backend.arriving */
int goss_need_embed(goss_backend *b, const goss_step *s);      /* the rows of the step's tokens */
int goss_need_layer(goss_backend *b, int layer);               /* all matrices but the experts */
int goss_need_head(goss_backend *b);
/* Of a part of a model: all of it now; or from now on nothing else unasked. */
int goss_need_part(const goss_source *sources, int n, const goss_model *part);
void goss_only_part(const goss_source *sources, int n, const goss_model *part);
/* by whoever knows what was chosen */
int goss_need_experts(goss_backend *b, int layer, const int32_t *chosen, int n);
/* On failure the step's ticket is released already. GOSS_EAGAIN: it is past step->until and paused; until it
 * goes on (goss_forward_on) or is released, the backend runs steps of GOSS_BESIDE_ROWS rows at most, and
 * pauses none of those. A step's result is the same however often it was paused. forward.c */
int goss_forward(goss_backend *b, goss_step *s, goss_error *err);
int goss_forward_on(goss_backend *b, goss_step *s, goss_error *err);
int goss_forward_layers(goss_backend *b, goss_step *s, int from, int to); /* layers [from, to) only */

/* model/stage_ref.c */
int goss_backend_open_ref(goss_backend **out, const goss_backend_config *c, goss_error *err);
/* cpu/stage_cpu.c */
int goss_backend_open_cpu(goss_backend **out, const goss_backend_config *c, goss_error *err);
/* gpu/stage_gpu.c */
int goss_backend_open_gpu(goss_backend **out, const goss_backend_config *c, goss_error *err);
/* gpu/step/speed_gpu.c: blocks. Opens the device, times copies within its memory and closes it: bytes that
 * it reads or writes in a ms. *own: it has a memory of its own. 0, or why there is no device. */
int goss_gpu_speed(const goss_engine_config *c, double *bytes_ms, int *own, goss_error *err);
#endif
