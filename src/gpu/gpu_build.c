/* gpu_build.c - everything that is made once for a model: buffers, matrices cut to the limits, parameter slots.
 * The calls
 * that a step makes of them are gpu_few.c's and gpu_tiles.c's. */
#include "gpu_state.h"
#include "../base/error.h"
#include "../base/fmt.h"
#include "../base/mem.h"
#include <string.h>

#define NONE GOSS_GPU_NONE
enum { RW = GOSS_GPU_STORAGE | GOSS_GPU_COPY_SRC | GOSS_GPU_COPY_DST };

uint32_t goss_gpu_params(goss_gpu_state *s, const void *words, size_t n_bytes)
{
    if (s->n_params == s->cap_params) {
        const uint32_t cap = s->cap_params ? s->cap_params * 2 : 256;
        void *p = goss_mem_grow(s->param_bytes, (size_t)s->cap_params * 256, (size_t)cap * 256);
        if (!p) return 0;
        s->param_bytes = p;
        s->cap_params = cap;
    }
    uint8_t *slot = s->param_bytes + (size_t)s->n_params * 256;
    memset(slot, 0, 256);
    memcpy(slot, words, n_bytes);
    return s->n_params++ * 256;
}

uint32_t goss_gpu_shared_params(goss_gpu_state *s, const void *words, size_t n_bytes)
{
    const uint32_t at = goss_gpu_params(s, words, n_bytes);
    for (uint32_t i = 256; i < at; i += 256)
        if (!memcmp(s->param_bytes + i, s->param_bytes + at, 256)) { s->n_params--; return i; }
    return at;
}

static int make_buffer(goss_gpu_state *s, int *id, uint64_t size, unsigned usage, const char *label, goss_error *err)
{
    *id = goss_gpu_buffer(s->gpu, size ? size : 16, usage, label);
    if (*id > 0) return 0;
    const int code = *id;
    *id = 0;
    return goss_fail(
        err, code == GOSS_ELIMIT ? GOSS_ELIMIT : GOSS_ENOMEM, -1,
        "the GPU has no room for %s (%llu MB after %llu MB): use a smaller --max-kv, or --backend cpu", label,
        (unsigned long long)(size >> 20), (unsigned long long)(goss_gpu_allocated(s->gpu) >> 20));
}

/* ---- matrices ------------------------------------------------------------------------------------------ */
/* Cuts n_out rows into pieces of whole multiples of `together` rows that fit a binding, and makes their buffers. */
static int make_matrix(goss_gpu_state *s, goss_matrix *m, int layout, int64_t n_in, int64_t n_out,
                       int64_t together, const char *label, goss_error *err)
{
    if (layout < 0)
        return goss_fail(err, GOSS_EUNSUPPORTED, -1,
                         "the GPU does not compute on the type of %s; use --backend cpu", label);
    if (n_in % 8)
        return goss_fail(err, GOSS_EUNSUPPORTED, -1, "%s: rows of %lld values, the GPU needs a multiple of 8",
                         label, (long long)n_in);
    *m = (goss_matrix){ .layout = layout,
                        .n_in = (uint32_t)n_in,
                        .n_out = (uint32_t)n_out,
                        .n_units = (uint32_t)(n_in / 8),
                        .scale_words = goss_layout_scales(layout, (uint32_t)n_in) };
    const uint64_t q = goss_layout_q_bytes(layout, m->n_in), sc = goss_layout_s_bytes(layout, m->n_in);
    uint64_t rows = s->max_binding / q;
    if (sc && s->max_binding / sc < rows) rows = s->max_binding / sc;
    rows -= rows % (uint64_t)together;
    if (!rows)
        return goss_fail(err, GOSS_ELIMIT, -1,
                         "one part of %s is larger than a binding of this GPU (%llu MB)", label,
                         (unsigned long long)(s->max_binding >> 20));
    for (uint64_t first = 0; first < (uint64_t)n_out; first += rows) {
        if (m->n_pieces == GOSS_MAX_PIECES)
            return goss_fail(err, GOSS_ELIMIT, -1, "%s would be cut into more than %d pieces", label,
                             GOSS_MAX_PIECES);
        struct goss_piece *p = &m->piece[m->n_pieces++];
        p->first = (uint32_t)first;
        p->n = (uint32_t)((uint64_t)n_out - first < rows ? (uint64_t)n_out - first : rows);
        int r = make_buffer(s, &p->q, p->n * q, RW, label, err);
        if (!r && sc) r = make_buffer(s, &p->s, p->n * sc, RW, label, err);
        if (!sc) p->s = s->dummy;
        if (r) return r;
        s->weight_bytes += p->n * (q + sc);
    }
    return 0;
}

/* ---- buffers ------------------------------------------------------------------------------------------- */
/* Where the layer's vectors lie in its small buffer; absent ones are NONE. */
static uint32_t place(uint32_t *at, const goss_tensor *t)
{
    if (t->type < 0) return NONE;
    const uint32_t here = *at;
    *at += (uint32_t)(t->ne[0] * t->ne[1] * t->ne[2]);
    *at = (*at + 3) & ~3u;
    return here;
}

static void place_small(goss_gpu_layer *l, const goss_layer *t, int n_qkv)
{
    uint32_t at = 0;
    l->attn_norm = place(&at, &t->attn_norm);
    l->bqkv[0] = place(&at, &t->bq);
    uint32_t k = place(&at, &t->bk), v = place(&at, &t->bv);
    l->bqkv[1] = n_qkv > 1 ? k : NONE;
    l->bqkv[2] = n_qkv > 1 ? v : NONE;
    l->bo = place(&at, &t->bo);
    l->sinks = place(&at, &t->sinks);
    l->ffn_norm = place(&at, &t->ffn_norm);
    l->router = place(&at, &t->router);
    l->router_b = place(&at, &t->router_b);
    l->up_b = t->gate_b.type < 0 ? NONE : at;
    place(&at, &t->gate_b);
    place(&at, &t->up_b);
    l->down_b = place(&at, &t->down_b);
    l->small_floats = at;
}

static int build_layer(goss_gpu_state *s, int layer, goss_error *err)
{
    const goss_model *m = s->base.model;
    const goss_hparams *hp = &m->hp;
    const goss_layer *t = &m->layers[layer];
    goss_gpu_layer *l = &s->layers[layer];
    const int lq = goss_layout_of(t->wq.type), lk = goss_layout_of(t->wk.type), lv = goss_layout_of(t->wv.type);
    const int64_t nq = hp->n_head * hp->head_dim, nkv = hp->n_head_kv * hp->head_dim;
    l->cls = t->windowed ? GOSS_KV_WINDOW : GOSS_KV_FULL;
    l->n_qkv = lq == lk && lk == lv ? 1 : 3;
    place_small(l, t, l->n_qkv);
    int r = make_buffer(s, &l->small, l->small_floats * 4ull, RW, "vectors", err);
    const uint64_t kv = (uint64_t)(s->config.n_pages[l->cls] ? s->config.n_pages[l->cls] : 1) *
                        (uint64_t)nkv * 2 * GOSS_KV_PAGE * goss_gpu_kv_size(s);
    if (!r) r = make_buffer(s, &l->kv, kv, RW, "KV pages", err);
    s->kv_bytes += kv;
    if (!r && l->n_qkv == 1)
        r = make_matrix(s, &l->qkv[0], lq, hp->n_embd, nq + 2 * nkv, nq + 2 * nkv, "attn_qkv", err);
    if (!r && l->n_qkv == 3) r = make_matrix(s, &l->qkv[0], lq, hp->n_embd, nq, nq, "attn_q", err);
    if (!r && l->n_qkv == 3) r = make_matrix(s, &l->qkv[1], lk, hp->n_embd, nkv, nkv, "attn_k", err);
    if (!r && l->n_qkv == 3) r = make_matrix(s, &l->qkv[2], lv, hp->n_embd, nkv, nkv, "attn_v", err);
    if (!r) r = make_matrix(s, &l->wo, goss_layout_of(t->wo.type), nq, hp->n_embd, hp->n_embd, "attn_output", err);
    return r;
}

/* The matrices behind the attention, with as many slots as the layer has, and all of the layer's calls. */
static int build_experts(goss_gpu_state *s, int layer, goss_error *err)
{
    const goss_hparams *hp = &s->base.model->hp;
    const goss_layer *t = &s->base.model->layers[layer];
    goss_gpu_layer *l = &s->layers[layer];
    const int64_t e = l->n_slots, ff2 = 2 * (int64_t)hp->n_ff;
    int r = 0;
    if (goss_layout_of(t->gate.type) != goss_layout_of(t->up.type))
        r = goss_fail(err, GOSS_EUNSUPPORTED, -1,
                      "layer %d: gate and up have types that the GPU can't interleave; use --backend cpu",
                      layer);
    if (!r) r = make_matrix(s, &l->up, goss_layout_of(t->gate.type), hp->n_embd, ff2 * e, ff2, "ffn_gate_up", err);
    if (!r)
        r = make_matrix(s, &l->down, goss_layout_of(t->down.type), hp->n_ff, hp->n_embd * e, hp->n_embd,
                        "ffn_down", err);
    if (!r) r = goss_gpu_few_layer(s, layer, err);
    return r;
}

static int build_activations(goss_gpu_state *s, goss_error *err)
{
    const goss_hparams *hp = &s->base.model->hp;
    const uint64_t rows = (uint64_t)s->config.max_rows, few = rows < GOSS_GPU_FEW ? rows : GOSS_GPU_FEW;
    const uint64_t nq = (uint64_t)(hp->n_head * hp->head_dim), nkv = (uint64_t)(hp->n_head_kv * hp->head_dim),
                   k = hp->n_expert ? (uint64_t)hp->n_expert_used : 1;
    const uint64_t parts = few * GOSS_GPU_CHUNKS > rows ? few * GOSS_GPU_CHUNKS : rows, vocab = (uint64_t)hp->n_vocab;
    const uint64_t slots = (uint64_t)s->config.max_slots, pages = (uint64_t)s->config.max_kv / GOSS_KV_PAGE + 2;
    const uint64_t table = (uint64_t)(hp->n_layer ? hp->n_layer : 1) * (uint64_t)(hp->n_expert ? hp->n_expert : 1);
    const uint64_t hidden = k * (uint64_t)hp->n_ff,
                   wide = (uint64_t)hp->n_embd > nq ? (uint64_t)hp->n_embd : nq,
                   widest = hidden > wide ? hidden : wide;
    s->cap_step_words = (uint32_t)(GOSS_STEP_HEADER + rows * (GOSS_ROW_WORDS + 1 + (uint64_t)hp->rope_dim) +
                                   slots * (2 * pages + 16 + 2 * GOSS_BIAS_MAX) + 64);
    const struct { int *id; uint64_t size; const char *label;
    } list[] = {
        { &s->step, s->cap_step_words * 4ull, "step" },
        { &s->x, rows * (uint64_t)hp->n_embd * 4, "residual" },
        { &s->xn, rows * (uint64_t)hp->n_embd * 4, "normalised" },
        { &s->qkv, rows * (nq + 2 * nkv) * 4, "qkv" },
        { &s->att, rows * nq * 4, "attention" },
        { &s->part, parts * nq * 4, "attention parts" },
        { &s->stat, parts * (uint64_t)hp->n_head * 8, "attention sums" },
        { &s->h, rows * k * (uint64_t)hp->n_ff * 4, "hidden" },
        { &s->ysplit, rows * k * (uint64_t)hp->n_embd * 4, "expert outputs" },
        { &s->rlogits, rows * (uint64_t)(hp->n_expert + 1) * 4, "router logits" },
        { &s->route, rows * k * 8, "routes" },
        { &s->slots, table * 8, "expert slots" },
        { &s->logits, few * vocab * 4, "logits" },
        { &s->xs, few * vocab * 4, "sampler's logits" },
        { &s->chunk, few * (vocab / GOSS_CHUNK_TOKENS + 1) * GOSS_CHUNK_WORDS * 4, "sampler's chunks" },
        { &s->pick, rows * GOSS_PICK_WORDS * 4, "picks" },
        { &s->exp2, 4096 * 4, "exp2" },
        { &s->history, slots * ((uint64_t)s->config.max_kv + 1) * 4 + 4, "history" },
        { &s->mask_buf, slots * ((vocab + 31) / 32) * 4, "masks" },
        { &s->out_small, (uint64_t)hp->n_embd * 4, "output norm" },
        { &s->xq, rows * widest * 2, "bytes of activations" },
        { &s->xq_scale, rows * widest / 8, "their scales" },
        { &s->tiles, goss_gpu_tiles_words(s) * 4, "tiles of experts" },
        { &s->packed_x, few * goss_layout_packed_bytes(wide), "packed activations" },
        { &s->packed_h, few * k * goss_layout_packed_bytes((uint64_t)hp->n_ff), "packed hidden" },
    };
    s->pages.n_words = (hp->n_expert + 31) / 32;
    s->pages.n_report = 4 + ((hp->n_layer * s->pages.n_words + 3) & ~3);
    const uint64_t back = rows * GOSS_PICK_WORDS * 4 + (uint64_t)s->pages.n_report * 4;
    int r = 0;
    for (size_t i = 0; i < sizeof list / sizeof list[0] && !r; i++)
        r = make_buffer(s, list[i].id, list[i].size, RW, list[i].label, err);
    for (int i = 0; i < GOSS_TICKETS && !r; i++) {
        goss_gpu_ticket *t = &s->tickets[i];
        r = make_buffer(s, &t->back, back, GOSS_GPU_MAP_READ | GOSS_GPU_COPY_DST,
                        "picks back", err);
        t->list = goss_mem_array((size_t)rows, sizeof *t->list);
        t->want = goss_mem_array((size_t)rows, 1);
        t->words = goss_mem_alloc((size_t)back);
        if (!t->list || !t->want || !t->words) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for steps");
    }
    s->step_words = goss_mem_array(s->cap_step_words, 4);
    if (!s->step_words) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for steps");
    return r;
}

/* The parameter buffer comes first (groups name it) and is filled last; its size is counted generously. */
int goss_gpu_build(goss_gpu_state *s, goss_error *err)
{
    const goss_model *m = s->base.model;
    s->n_groups_max = (int)goss_gpu_ceil_div((uint32_t)s->config.max_rows, GOSS_GPU_FEW);
    const uint64_t slots = 64 + (uint64_t)m->hp.n_layer * (34 + 7 * GOSS_MAX_PIECES) +
                           (uint64_t)s->n_groups_max * (3 + GOSS_MAX_PIECES) + GOSS_MAX_PIECES;
    const uint32_t loader[64] = { 0 };
    for (int i = 0; i < GOSS_GPU_LANES; i++) goss_gpu_params(s, loader, sizeof loader);
    int r = make_buffer(s, &s->params, slots * 256, GOSS_GPU_UNIFORM | GOSS_GPU_COPY_DST, "parameters", err);
    if (!r) r = build_activations(s, err);
    s->layers = goss_mem_array((size_t)(m->hp.n_layer ? m->hp.n_layer : 1), sizeof *s->layers);
    if (!s->layers) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for layers");
    s->tied = m->output.offset == m->tok_embd.offset && m->output.shard == m->tok_embd.shard;
    if (!r)
        r = make_matrix(s, &s->tok, goss_layout_of(m->tok_embd.type), m->hp.n_embd, m->hp.n_vocab, 1,
                        "token_embd", err);
    if (!r && !s->tied)
        r = make_matrix(s, &s->out, goss_layout_of(m->output.type), m->hp.n_embd, m->hp.n_vocab, 1, "output",
                        err);
    for (int i = 0; i < m->hp.n_layer && !r; i++) r = build_layer(s, i, err);
    if (!r) r = goss_gpu_slots_plan(s, err);
    if (!r) r = goss_gpu_few_embed(s, err);
    for (int i = 0; i < m->hp.n_layer && !r; i++) r = build_experts(s, i, err);
    if (!r) r = goss_gpu_few_head(s, err);
    if (!r) r = goss_gpu_tiles_build(s, err);
    if (!r) r = goss_gpu_panel_build(s, err);
    if (!r) r = goss_gpu_profile_build(s, err);
    if (!r && s->n_params > slots) r = goss_fail(err, GOSS_ELIMIT, -1, "more GPU parameters than planned");
    if (!r) r = goss_gpu_write(s->gpu, s->params, 0, s->param_bytes, (uint64_t)s->n_params * 256);
    if (!r) r = goss_gpu_write(s->gpu, s->exp2, 0, goss_sample_exp2(), 4096 * 4);
    return r;
}
