/* weights.c - buffers, matrices cut to the limits, and parameter slots, as weights.h has them. */
#include "weights.h"
#include "base/error.h"
#include "base/mem.h"
#include <string.h>

#define NONE GOSS_GPU_NONE

uint32_t goss_params_add(goss_weights *w, const void *words, size_t n_bytes)
{
    if (w->params.n == w->params.cap) {
        const uint32_t cap = w->params.cap ? w->params.cap * 2 : 256;
        void *p = goss_mem_grow(w->params.bytes, (size_t)w->params.cap * 256, (size_t)cap * 256);
        if (!p) return 0;
        w->params.bytes = p;
        w->params.cap = cap;
    }
    uint8_t *slot = w->params.bytes + (size_t)w->params.n * 256;
    memset(slot, 0, 256);
    memcpy(slot, words, n_bytes);
    return w->params.n++ * 256;
}

uint32_t goss_params_share(goss_weights *w, const void *words, size_t n_bytes)
{
    const uint32_t at = goss_params_add(w, words, n_bytes);
    for (uint32_t i = 256; i < at; i += 256)
        if (!memcmp(w->params.bytes + i, w->params.bytes + at, 256)) { w->params.n--; return i; }
    return at;
}

int goss_params_write(goss_weights *w, uint32_t first)
{
    const uint32_t n = w->params.n;
    if (n > w->params.room) return GOSS_EFULL;
    return n == first ? 0
                      : goss_gpu_write(w->gpu, w->params.buffer, first * 256ull,
                                       w->params.bytes + first * 256ull, (n - first) * 256ull);
}

int goss_weights_buffer(goss_weights *w, int *id, uint64_t size, unsigned usage, const char *label,
                        goss_error *err)
{
    *id = goss_gpu_buffer(w->gpu, size ? size : 16, usage, label);
    if (*id > 0) return 0;
    const int code = *id;
    *id = 0;
    return goss_fail(
        err, code == GOSS_ELIMIT ? GOSS_ELIMIT : GOSS_ENOMEM, -1,
        "the GPU has no room for %s (%llu MB after %llu MB): use a smaller --max-kv, or --backend cpu", label,
        (unsigned long long)(size >> 20), (unsigned long long)(goss_gpu_allocated(w->gpu) >> 20));
}

/* ---- matrices ------------------------------------------------------------------------------------------ */
/* Cuts n_out rows into pieces of whole multiples of `together` rows that fit a binding, and makes their
 * buffers. */
int goss_weights_matrix(goss_weights *w, goss_matrix *m, int layout, int64_t n_in, int64_t n_out,
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
    uint64_t rows = w->kernels->facts->max_binding / q;
    if (sc && (w->kernels->facts->max_binding - 16) / sc < rows)
        rows = (w->kernels->facts->max_binding - 16) / sc;
    rows -= rows % (uint64_t)together;
    if (!rows)
        return goss_fail(err, GOSS_ELIMIT, -1,
                         "one part of %s is larger than a binding of this GPU (%llu MB)", label,
                         (unsigned long long)(w->kernels->facts->max_binding >> 20));
    for (uint64_t first = 0; first < (uint64_t)n_out; first += rows) {
        if (m->n_pieces == GOSS_MAX_PIECES)
            return goss_fail(err, GOSS_ELIMIT, -1, "%s would be cut into more than %d pieces", label,
                             GOSS_MAX_PIECES);
        struct goss_piece *p = &m->piece[m->n_pieces++];
        p->first = (uint32_t)first;
        p->n = (uint32_t)((uint64_t)n_out - first < rows ? (uint64_t)n_out - first : rows);
        int r = goss_weights_buffer(w, &p->q, p->n * q, GOSS_BUFFER_RW, label, err);
        p->beyond = sc ? p->n * m->scale_words : NONE;
        if (!r && sc) r = goss_weights_buffer(w, &p->s, p->n * sc + 8, GOSS_BUFFER_RW, label, err);
        if (!sc) p->s = w->kernels->spare;
        if (r) return r;
        w->bytes += p->n * (q + sc);
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

static void place_small(goss_layer_weights *l, const goss_layer *t, int n_qkv)
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

static int build_layer(goss_weights *w, int layer, goss_error *err)
{
    const goss_model *m = w->model;
    const goss_hparams *hp = &m->hp;
    const goss_layer *t = &m->layers[layer];
    goss_layer_weights *l = &w->layers[layer];
    const int lq = goss_layout_of(t->wq.type), lk = goss_layout_of(t->wk.type),
        lv = goss_layout_of(t->wv.type);
    const int64_t nq = hp->n_head * hp->head_dim, nkv = hp->n_head_kv * hp->head_dim;
    l->cls = t->windowed ? GOSS_KV_WINDOW : GOSS_KV_FULL;
    l->n_qkv = lq == lk && lk == lv ? 1 : 3;
    place_small(l, t, l->n_qkv);
    int r = goss_weights_buffer(w, &l->small, l->small_floats * 4ull, GOSS_BUFFER_RW, "vectors", err);
    const uint64_t kv = (uint64_t)(w->config->n_pages[l->cls] ? w->config->n_pages[l->cls] : 1) *
                        goss_weights_page_bytes(w);
    if (!r) r = goss_weights_buffer(w, &l->kv, kv, GOSS_BUFFER_RW | GOSS_GPU_GROWS, "KV pages", err);
    w->kv_bytes += kv;
    if (!r && l->n_qkv == 1)
        r = goss_weights_matrix(w, &l->qkv[0], lq, hp->n_embd, nq + 2 * nkv, nq + 2 * nkv, "attn_qkv", err);
    if (!r && l->n_qkv == 3) r = goss_weights_matrix(w, &l->qkv[0], lq, hp->n_embd, nq, nq, "attn_q", err);
    if (!r && l->n_qkv == 3) r = goss_weights_matrix(w, &l->qkv[1], lk, hp->n_embd, nkv, nkv, "attn_k", err);
    if (!r && l->n_qkv == 3) r = goss_weights_matrix(w, &l->qkv[2], lv, hp->n_embd, nkv, nkv, "attn_v", err);
    if (!r) r = goss_weights_matrix(w, &l->wo, goss_layout_of(t->wo.type), nq, hp->n_embd, hp->n_embd,
                                    "attn_output", err);
    return r;
}

/* The matrices behind the attention, with as many slots as the layer has. */
int goss_weights_build_experts(goss_weights *w, int layer, goss_error *err)
{
    const goss_hparams *hp = &w->model->hp;
    const goss_layer *t = &w->model->layers[layer];
    goss_layer_weights *l = &w->layers[layer];
    const int64_t e = l->n_slots, ff2 = 2 * (int64_t)hp->n_ff;
    int r = 0;
    if (goss_layout_of(t->gate.type) != goss_layout_of(t->up.type))
        r = goss_fail(err, GOSS_EUNSUPPORTED, -1,
                      "layer %d: gate and up have types that the GPU can't interleave; use --backend cpu",
                      layer);
    if (!r) r = goss_weights_matrix(w, &l->up, goss_layout_of(t->gate.type), hp->n_embd, ff2 * e, ff2,
                                    "ffn_gate_up", err);
    if (!r)
        r = goss_weights_matrix(w, &l->down, goss_layout_of(t->down.type), hp->n_ff, hp->n_embd * e,
                                hp->n_embd,
                        "ffn_down", err);
    return r;
}

uint64_t goss_weights_page_bytes(const goss_weights *w)
{
    const goss_hparams *hp = &w->model->hp;
    return (uint64_t)(hp->n_head_kv * hp->head_dim) * 2 * GOSS_KV_PAGE * goss_kv_size(w->kernels->facts);
}

int goss_weights_build(goss_weights *w, goss_error *err)
{
    const goss_model *m = w->model;
    w->layers = goss_mem_array((size_t)(m->hp.n_layer ? m->hp.n_layer : 1), sizeof *w->layers);
    if (!w->layers) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for layers");
    w->embeds = m->tok_embd.type >= 0;
    w->has_head = m->output.type >= 0;
    w->tied = w->embeds && w->has_head && m->output.offset == m->tok_embd.offset &&
              m->output.shard == m->tok_embd.shard;
    int r = goss_weights_buffer(w, &w->out_small, (uint64_t)m->hp.n_embd * 4, GOSS_BUFFER_RW, "output norm",
                                err);
    if (!r && w->embeds)
        r = goss_weights_matrix(w, &w->tok, goss_layout_of(m->tok_embd.type), m->hp.n_embd, m->hp.n_vocab, 1,
                                "token_embd", err);
    if (!r && w->has_head && !w->tied)
        r = goss_weights_matrix(w, &w->out, goss_layout_of(m->output.type), m->hp.n_embd, m->hp.n_vocab, 1,
                                "output",
                                err);
    for (int i = 0; i < m->hp.n_layer && !r; i++) r = build_layer(w, i, err);
    return r;
}

void goss_weights_clear(goss_weights *w)
{
    void *const blocks[] = { w->params.bytes, w->layers, w->load.items, w->load.small_host, w->load.raw };
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) goss_mem_free(blocks[i]);
}
