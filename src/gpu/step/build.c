/* build.c - the buffers and calls of a model's steps, made after its weights' buffers. Buffers are made once
 * for a device, calls a second time where paging ends (settle.c); they are decode.c's and prefill.c's. */
#include "build.h"
#include "decode.h"
#include "paging.h"
#include "panels.h"
#include "prefill.h"
#include "profile.h"
#include "seen_gpu.h"
#include "gpu/weights/slots_gpu.h"
#include "base/error.h"
#include "base/mem.h"

/* What comes back of a step, and where it is put; the words of a step. */
static int build_tickets(goss_gpu_state *s, goss_error *err)
{
    const uint64_t rows = (uint64_t)s->config.max_rows;
    const uint64_t back = rows * GOSS_PICK_WORDS * 4 + (uint64_t)s->weights.slots.n_report * 4 +
                          (uint64_t)s->facts.few_rows * goss_seen_row_bytes(s);
    int r = 0;
    for (int i = 0; i < GOSS_TICKETS && !r; i++) {
        goss_gpu_ticket *t = &s->tickets[i];
        r = goss_weights_buffer(&s->weights, &t->back, back, GOSS_GPU_MAP_READ | GOSS_GPU_COPY_DST,
                        "picks back", err);
        t->list = goss_mem_array((size_t)rows, sizeof *t->list);
        t->want = goss_mem_array((size_t)rows, 1);
        t->words = goss_mem_alloc((size_t)back);
        if (!t->list || !t->want || !t->words) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for steps");
    }
    s->words.at = goss_mem_array(s->words.cap, 4);
    if (!s->words.at) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for steps");
    return r;
}

static int build_activations(goss_gpu_state *s, goss_error *err)
{
    const goss_hparams *hp = &s->base.model->hp;
    const uint64_t rows = (uint64_t)s->config.max_rows, most = (uint64_t)s->facts.few_rows,
                   few = rows < most ? rows : most, group = s->crowds ? GOSS_CROWD_ROWS
                   : rows < GOSS_DECODE_ROWS                    ? rows
                                                                : GOSS_DECODE_ROWS;
    const uint64_t nq = (uint64_t)(hp->n_head * hp->head_dim), nkv = (uint64_t)(hp->n_head_kv * hp->head_dim),
                   k = hp->n_expert ? (uint64_t)hp->n_expert_used : 1;
    const uint64_t chunked = rows < GOSS_CROWD_ROWS ? rows : GOSS_CROWD_ROWS, vocab = (uint64_t)hp->n_vocab,
        parts = chunked * GOSS_GPU_CHUNKS > rows ? chunked * GOSS_GPU_CHUNKS : rows;
    const uint64_t slots = (uint64_t)s->config.max_slots,
        pages = (uint64_t)s->config.max_kv / GOSS_KV_PAGE + 2;
    const uint64_t table = (uint64_t)(hp->n_layer ? hp->n_layer : 1) * (uint64_t)(hp->n_expert ? hp->n_expert
                                                                      : 1);
    const uint64_t logits = rows * (uint64_t)(hp->n_expert + 1), late = table + (uint64_t)hp->n_layer;
    const uint64_t hidden = k * (uint64_t)hp->n_ff,
                   wide = (uint64_t)hp->n_embd > nq ? (uint64_t)hp->n_embd : nq,
                   split = 2 * (uint64_t)hp->n_embd, wider = split > wide ? split : wide,
                   widest = hidden > wider ? hidden : wider;
    s->words.cap = (uint32_t)(GOSS_STEP_HEADER + rows * (GOSS_ROW_WORDS + 1 + (uint64_t)hp->rope_dim) +
                                   slots * (2 * pages + 16 + 2 * GOSS_BIAS_MAX) + 64);
    const struct { int *id; uint64_t size; const char *label;
    } list[] = {
        { &s->buf.step, s->words.cap * 4ull, "step" },
        { &s->buf.x, rows * (uint64_t)hp->n_embd * 4, "residual" },
        { &s->buf.xn, rows * (uint64_t)hp->n_embd * 4, "normalised" },
        { &s->buf.qkv, rows * (nq + 2 * nkv) * 4, "qkv" },
        { &s->buf.att, rows * nq * 4, "attention" },
        { &s->buf.part, parts * nq * 4, "attention parts" },
        { &s->buf.stat, parts * (uint64_t)hp->n_head * 8, "attention sums" },
        { &s->buf.h, rows * k * (uint64_t)hp->n_ff * 4, "hidden" },
        { &s->buf.ysplit, rows * k * (uint64_t)hp->n_embd * 4, "expert outputs" },
        { &s->buf.rlogits, (logits > late ? logits : late) * 4, "router logits" },
        { &s->buf.route, rows * k * 8, "routes" },
        { &s->weights.slots.device, table * 8, "expert slots" },
        { &s->buf.logits, group * vocab * 4, "logits" },
        { &s->buf.xs, group * vocab * 4, "sampler's logits" },
        { &s->buf.chunk, group * (vocab / GOSS_CHUNK_TOKENS + 1) * GOSS_CHUNK_WORDS * 4, "sampler's chunks" },
        { &s->buf.pick, rows * GOSS_PICK_WORDS * 4, "picks" },
        { &s->buf.exp2, 4096 * 4, "exp2" },
        { &s->buf.history, slots * ((uint64_t)s->config.max_kv + 1) * 4 + 4, "history" },
        { &s->buf.mask, slots * ((vocab + 31) / 32) * 4, "masks" },
        { &s->buf.xq, rows * widest * 2, "bytes of activations" },
        { &s->buf.xq_scale, rows * widest / 8, "their scales" },
        { &s->buf.tiles, goss_prefill_tile_words(s) * 4, "tiles of experts" },
        { &s->buf.packed_x, few * goss_layout_packed_bytes(wide), "packed activations" },
        { &s->buf.packed_h, few * k * goss_layout_packed_bytes((uint64_t)hp->n_ff), "packed hidden" },
    };
    s->weights.slots.n_words = (hp->n_expert + 31) / 32;
    s->weights.slots.n_report = 4 + ((hp->n_layer * s->weights.slots.n_words + 3) & ~3);
    int r = 0;
    for (size_t i = 0; i < sizeof list / sizeof list[0] && !r; i++)
        r = goss_weights_buffer(&s->weights, list[i].id, list[i].size, GOSS_BUFFER_RW, list[i].label, err);
    return r ? r : build_tickets(s, err);
}

int goss_build_calls(goss_gpu_state *s, goss_error *err)
{
    const goss_weights *w = &s->weights;
    int r = w->embeds ? goss_decode_build_embed(s, err) : 0;
    for (int i = 0; i < s->base.model->hp.n_layer && !r; i++) {
        s->calls.layers[i].w = &w->layers[i];
        r = goss_decode_build_layer(s, i, err);
    }
    if (!r && w->has_head) r = goss_decode_build_head(s, err);
    if (!r) r = goss_prefill_build(s, err);
    if (!r) r = goss_prefill_build_head(s, err);
    if (!r) r = goss_panels_build(s, err);
    return r ? r : goss_seen_build(s, err);
}

/* The parameter buffer comes first (groups name it) and is filled last; its size is counted generously, and
 * twice where all calls will be made a second time. */
int goss_build(goss_gpu_state *s, goss_error *err)
{
    goss_weights *w = &s->weights;
    const goss_hparams *hp = &s->base.model->hp;
    const int n_groups = (int)goss_ceil_div((uint32_t)s->config.max_rows, GOSS_DECODE_ROWS);
    const uint64_t slots = 64 + (uint64_t)hp->n_layer * (43 + 7 * GOSS_MAX_PIECES) +
                           (uint64_t)n_groups * (4 + GOSS_MAX_PIECES) + 2 * GOSS_MAX_PIECES;
    const uint32_t loader[64] = { 0 };
    w->params.room = (uint32_t)(s->settings.early ? 2 * slots : slots);
    s->calls.head.n_groups = n_groups;
    s->crowds = s->facts.fragments && s->config.max_slots - 1 > s->facts.few_rows &&
                s->config.max_rows >= GOSS_CROWD_ROWS;
    for (int i = 0; i < GOSS_GPU_LANES; i++) goss_params_add(w, loader, sizeof loader);
    s->calls.layers = goss_mem_array((size_t)(hp->n_layer ? hp->n_layer : 1), sizeof *s->calls.layers);
    if (!s->calls.layers) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for layers");
    int r = goss_weights_buffer(w, &w->params.buffer, w->params.room * 256ull,
                                GOSS_GPU_UNIFORM | GOSS_GPU_COPY_DST, "parameters", err);
    if (!r) r = build_activations(s, err);
    if (!r) r = goss_weights_build(w, err);
    if (!r) r = goss_slots_plan(w, s->settings.early, err);
    if (!r && w->slots.on && !(w->embeds && w->has_head))
        r = goss_fail(err, GOSS_ELIMIT, -1,
                      "a GPU of a pipeline takes all experts of its layers: give it fewer (--pipeline-split), or "
                      "more --gpu-memory");
    if (!r && w->slots.on) r = goss_paging_open(s, err);
    if (!r) r = goss_seen_open(s, err);
    for (int i = 0; i < hp->n_layer && !r; i++) r = goss_weights_build_experts(w, i, err);
    if (!r) r = goss_panels_open(s, err);
    if (!r) r = goss_build_calls(s, err);
    if (!r) r = goss_profile_build(s, err);
    if (!r && w->params.n > slots) r = goss_fail(err, GOSS_ELIMIT, -1, "more GPU parameters than planned");
    if (!r) r = goss_params_write(w, 0);
    if (!r) r = goss_gpu_write(s->gpu, s->buf.exp2, 0, goss_sample_exp2(), 4096 * 4);
    return r;
}
