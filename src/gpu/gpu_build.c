/* gpu_build.c - everything that is made once for a model: buffers, matrices cut to the limits, pipelines,
 * groups and parameter
 * slots. After it a step only names calls and grids. */
#include "gpu_state.h"
#include "../base/error.h"
#include "../base/fmt.h"
#include "../base/mem.h"
#include <string.h>

#define NONE GOSS_GPU_NONE
enum { RW = GOSS_GPU_STORAGE | GOSS_GPU_COPY_SRC | GOSS_GPU_COPY_DST };

static uint32_t bits(float f) { union { float f; uint32_t u; } v = { f }; return v.u; }
static uint32_t ceil_div(uint32_t a, uint32_t b) { return (a + b - 1) / b; }

uint32_t goss_gpu_params(goss_gpu_state *s, const void *words, size_t n_bytes)
{
    if (s->n_params == s->cap_params) {
        const uint32_t cap = s->cap_params ? s->cap_params * 2 : 256;
        void *p = goss_mem_grow(s->param_bytes, (size_t)s->cap_params * 256, (size_t)cap * 256);
        if (!p) return 0;
        s->param_bytes = p;
        s->cap_params = cap;
    }
    memcpy(s->param_bytes + (size_t)s->n_params * 256, words, n_bytes);
    return s->n_params++ * 256;
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

/* ---- calls --------------------------------------------------------------------------------------------- */
static int make_group(goss_gpu_state *s, goss_call *c, const int *buffers, int n, goss_error *err)
{
    goss_gpu_binding b[GOSS_GPU_MAX_BINDINGS] = { { s->params, 0, 0 } };
    for (int i = 0; i < n; i++) b[i + 1].buffer = buffers[i];
    c->group = goss_gpu_group(s->gpu, s->kernels[c->kernel[0]].pipeline, b, n + 1);
    goss_error why = { 0 };
    if (c->group > 0) return 0;
    goss_gpu_error(s->gpu, &why);
    return goss_fail(err, c->group, -1, "the GPU refused the buffers of %s: %s",
                     s->kernels[c->kernel[0]].name, why.text);
}

static void layout_defines(goss_buf *d, int layout)
{
    const goss_layout_info *l = goss_layout_get(layout);
    goss_buf_printf(d, " %s WQ=%s WS=%s ", l->define, l->wq, l->ws);
}

/* A kernel without batches. */
static int plain(goss_gpu_state *s, goss_call *c, const char *file, const char *bindings, const char *defines,
                 const void *params, size_t n_params, const int *buffers, goss_error *err)
{
    const int k = goss_gpu_kernel(s, file, bindings, defines, err);
    if (k < 0) return k;
    for (int i = 0; i < GOSS_BATCHES; i++) c->kernel[i] = k;
    c->params = goss_gpu_params(s, params, n_params);
    return make_group(s, c, buffers, (int)strlen(bindings) - 1, err);
}

int goss_gpu_plain_call(goss_gpu_state *s, goss_call *c, const char *file, const char *bindings,
                        const char *defines, const void *params, size_t n_params, const int *buffers,
                        goss_error *err)
{
    return plain(s, c, file, bindings, defines, params, n_params, buffers, err);
}

void goss_gpu_layout_defines(goss_buf *d, int layout) { layout_defines(d, layout); }

/* matvec for 1, 4 and 16 rows at once. */
static int matvec(goss_gpu_state *s, goss_call *c, const char *kind, const goss_matrix *m, int piece,
                  const uint32_t *params, size_t n_params, const int *buffers, goss_error *err)
{
    static const uint32_t batch[GOSS_BATCHES] = { 1, 4, 16 };
    const int qkv = !strncmp(kind, "QKV", 3);
    for (int i = 0; i < GOSS_BATCHES; i++) {
        goss_buf d = GOSS_BUF(1024);
        goss_buf_printf(&d, "%s", kind);
        layout_defines(&d, m->layout);
        const uint32_t nr =
            m->n_out < 32768 && !goss_gpu_get_limits(s->gpu)->is_cpu ? 2 : s->nr[i]; /* enough workgroups */
        goss_buf_printf(&d, "B=%u NR=%u ", batch[i], nr);
        goss_gpu_reduce_defines(s, &d, s->wg, s->lanes, batch[i] * nr);
        c->grid[i] = ceil_div(m->piece[piece].n, s->wg / s->lanes * nr);
        c->kernel[i] = goss_gpu_kernel(s, "matvec.wgsl", qkv ? "urrrrrww" : "urrrrrw", goss_buf_cstr(&d), err);
        goss_buf_free(&d);
        if (c->kernel[i] < 0) return c->kernel[i];
    }
    c->params = goss_gpu_params(s, params, n_params);
    c->times = 1;
    c->bytes = m->piece[piece].n * (goss_layout_q_bytes(m->layout, m->n_in) + goss_layout_s_bytes(m->layout, m->n_in));
    return make_group(s, c, buffers, qkv ? 7 : 6, err);
}

static int norm_call(goss_gpu_state *s, goss_call *c, uint32_t gain, int small, int list, goss_error *err)
{
    const goss_hparams *hp = &s->base.model->hp;
    goss_buf d = GOSS_BUF(512);
    goss_gpu_reduce_defines(s, &d, 256, 256, 1);
    int r = 0;
    for (int g = 0; g < (list ? s->n_groups_max : 1) && !r; g++) {
        const uint32_t p[] = { (uint32_t)hp->n_embd, bits(hp->rms_eps), gain, (uint32_t)list,
                               (uint32_t)g * GOSS_GPU_FEW };
        if (g) goss_gpu_params(s, p, sizeof p);
        else
            r = plain(s, c, "norm.wgsl", "urrrw", goss_buf_cstr(&d), p, sizeof p,
                      (const int[]){ s->step, small, s->x, s->xn }, err);
    }
    goss_buf_free(&d);
    return r;
}

static int qkv_call(goss_gpu_state *s, goss_gpu_layer *l, int i, uint32_t first, goss_error *err)
{
    const goss_hparams *hp = &s->base.model->hp;
    const goss_matrix *m = &l->qkv[i];
    const uint32_t nq = (uint32_t)(hp->n_head * hp->head_dim), nkv = (uint32_t)(hp->n_head_kv * hp->head_dim);
    const uint32_t p[] = { m->n_units,
                           m->scale_words,
                           first,
                           m->n_out,
                           nq + 2 * nkv,
                           l->bqkv[i],
                           0,
                           (uint32_t)hp->n_head,
                           (uint32_t)hp->n_head_kv,
                           (uint32_t)hp->head_dim,
                           (uint32_t)hp->rope_dim,
                           hp->rope_half ? 0u : 1u,
                           (uint32_t)l->cls };
    return matvec(s, &l->c_qkv[i], s->f16 ? "QKV PAIRS KVT=f16 HALF" : "QKV PAIRS KVT=f32", m, 0, p, sizeof p,
                  (const int[]){ s->step, m->piece[0].q, m->piece[0].s, l->small, s->xn, s->qkv, l->kv }, err);
}

static int attention_calls(goss_gpu_state *s, goss_gpu_layer *l, goss_error *err)
{
    const goss_hparams *hp = &s->base.model->hp;
    const uint32_t heads = (uint32_t)(hp->n_head / hp->n_head_kv),
                   stride = (uint32_t)((hp->n_head + 2 * hp->n_head_kv) * hp->head_dim);
    const uint32_t window = l->cls == GOSS_KV_WINDOW ? (uint32_t)hp->window : 0;
    goss_buf d = GOSS_BUF(512);
    const uint32_t wg = heads > 2 ? 128 : 64, hd = (uint32_t)hp->head_dim;
    goss_buf_printf(&d, "%s HEADS=%u HD=%u WG=%u HP=%u AP=%u", s->f16 ? "KVT=f16 HALF" : "KVT=f32", heads, hd,
                    wg, ceil_div(heads * 64, wg), ceil_div(heads * hd / 4, wg));
    const uint32_t pa[] = { (uint32_t)hp->n_head,   (uint32_t)hp->n_head_kv,
                            (uint32_t)hp->head_dim, window,
                            (uint32_t)l->cls,       stride,
                            bits(hp->attn_scale) };
    int r = plain(s, &l->c_attend, "attend.wgsl", "urrrww", goss_buf_cstr(&d), pa, sizeof pa,
                  (const int[]){ s->step, s->qkv, l->kv, s->part, s->stat }, err);
    goss_buf_free(&d);
    const uint32_t pm[] = { (uint32_t)hp->n_head, (uint32_t)hp->head_dim, window, l->sinks };
    if (!r)
        r = plain(s, &l->c_merge, "merge.wgsl", "urrrrw", "", pm, sizeof pm,
                  (const int[]){ s->step, l->small, s->part, s->stat, s->att }, err);
    const uint32_t po[] = { l->wo.n_units, l->wo.scale_words, 0, l->wo.n_out, (uint32_t)hp->n_embd, l->bo, 0 };
    if (!r)
        r = matvec(s, &l->c_wo, "ADD", &l->wo, 0, po, sizeof po,
                   (const int[]){ s->step, l->wo.piece[0].q, l->wo.piece[0].s, l->small, s->att, s->x }, err);
    return r;
}

static int expert_calls(goss_gpu_state *s, goss_gpu_layer *l, int layer, goss_error *err)
{
    const goss_hparams *hp = &s->base.model->hp;
    const uint32_t n_embd = (uint32_t)hp->n_embd, n_ff = (uint32_t)hp->n_ff, k = (uint32_t)hp->n_expert_used,
                   e = (uint32_t)hp->n_expert;
    const uint32_t inverse = (uint32_t)(s->base.model->hp.n_layer) * e + (uint32_t)layer * e;
    goss_buf d = GOSS_BUF(512);
    const uint32_t most = goss_gpu_get_limits(s->gpu)->max_invocations,
                   threads = most >= 1024 && !goss_gpu_get_limits(s->gpu)->is_cpu ? 1024 : 256;
    const uint32_t groups = threads / s->lanes, each = ceil_div(e, groups) > 4 ? 4 : ceil_div(e, groups);
    goss_buf_printf(&d, "EP=%u ", each);
    goss_gpu_reduce_defines(s, &d, threads, s->lanes, each);
    const uint32_t pr[] = { n_embd, bits(hp->rms_eps), l->ffn_norm, l->router, l->router_b, e, k, (uint32_t)layer, 0 };
    int r = plain(s, &l->c_route, "route.wgsl", "urrrwww", goss_buf_cstr(&d), pr, sizeof pr,
                  (const int[]){ l->small, s->x, s->slots, s->xn, s->rlogits, s->route }, err);
    for (int i = 0; i < l->up.n_pieces && !r; i++) {
        goss_buf_clear(&d);
        layout_defines(&d, l->up.layout);
        goss_buf_printf(&d, "NR=%u ", s->nr[0]);
        goss_gpu_reduce_defines(s, &d, s->wg, s->lanes, s->nr[0]);
        const uint32_t p[] = { l->up.n_units,
                               l->up.scale_words,
                               n_ff,
                               k,
                               l->up.piece[i].first / (2 * n_ff),
                               l->up.piece[i].n / (2 * n_ff),
                               l->up_b,
                               inverse,
                               bits(hp->swiglu_alpha),
                               bits(hp->swiglu_limit) };
        r = plain(s, &l->c_up[i], "moe_up.wgsl", "urrrrrwr", goss_buf_cstr(&d), p, sizeof p,
                  (const int[]){ s->route, l->up.piece[i].q, l->up.piece[i].s, l->small, s->xn, s->h, s->slots }, err);
        l->c_up[i].grid[0] = ceil_div(2 * n_ff, s->wg / s->lanes * s->nr[0]);
        l->c_up[i].bytes =
            2 * n_ff *
            (goss_layout_q_bytes(l->up.layout, n_embd) + goss_layout_s_bytes(l->up.layout, n_embd));
    }
    const int split = l->down.n_pieces > 1;
    for (int i = 0; i < l->down.n_pieces && !r; i++) {
        goss_buf_clear(&d);
        layout_defines(&d, l->down.layout);
        goss_buf_printf(&d, "NR=%u %s", s->nr[0], split ? "SPLIT " : "");
        goss_gpu_reduce_defines(s, &d, k * s->lanes, s->lanes, s->nr[0]);
        const uint32_t p[] = { l->down.n_units,
                               l->down.scale_words,
                               n_embd,
                               k,
                               l->down.piece[i].first / n_embd,
                               l->down.piece[i].n / n_embd,
                               l->down_b,
                               inverse };
        r = plain(s, &l->c_down[i], "moe_down.wgsl", "urrrrrwr", goss_buf_cstr(&d), p, sizeof p,
                  (const int[]){ s->route, l->down.piece[i].q, l->down.piece[i].s, l->small, s->h,
                                 split ? s->ysplit : s->x, s->slots },
                  err);
        l->c_down[i].grid[0] = ceil_div(n_embd, s->nr[0]);
        l->c_down[i].bytes =
            k * (uint64_t)n_embd *
            (goss_layout_q_bytes(l->down.layout, n_ff) + goss_layout_s_bytes(l->down.layout, n_ff));
    }
    goss_buf_free(&d);
    const uint32_t ps[] = { n_embd, k };
    if (!r && split)
        r = plain(s, &l->c_sum, "moe_sum.wgsl", "urrw", "", ps, sizeof ps,
                  (const int[]){ s->route, s->ysplit, s->x }, err);
    return r;
}

static int ffn_calls(goss_gpu_state *s, goss_gpu_layer *l, goss_error *err)
{
    const uint32_t n_embd = (uint32_t)s->base.model->hp.n_embd, n_ff = (uint32_t)s->base.model->hp.n_ff;
    int r = norm_call(s, &l->c_ffn_norm, l->ffn_norm, l->small, 0, err);
    const uint32_t pu[] = { l->up.n_units, l->up.scale_words, 0, l->up.n_out, n_ff, NONE, 0 };
    if (!r)
        r = matvec(s, &l->c_up[0], "PAIRS", &l->up, 0, pu, sizeof pu,
                   (const int[]){ s->step, l->up.piece[0].q, l->up.piece[0].s, l->small, s->xn, s->h }, err);
    const uint32_t pd[] = { l->down.n_units, l->down.scale_words, 0, l->down.n_out, n_embd, NONE, 0 };
    if (!r)
        r = matvec(s, &l->c_down[0], "ADD", &l->down, 0, pd, sizeof pd,
                   (const int[]){ s->step, l->down.piece[0].q, l->down.piece[0].s, l->small, s->h, s->x },
                   err);
    return r;
}

static int embed_calls(goss_gpu_state *s, goss_error *err)
{
    int r = 0;
    for (int i = 0; i < s->tok.n_pieces && !r; i++) {
        goss_buf d = GOSS_BUF(256);
        layout_defines(&d, s->tok.layout);
        const uint32_t p[] = { s->tok.n_units, s->tok.scale_words, s->tok.piece[i].first, s->tok.piece[i].n,
                               (uint32_t)s->config.max_kv + 1 };
        r = plain(s, &s->c_embed[i], "embed.wgsl", "urrrww", goss_buf_cstr(&d), p, sizeof p,
                  (const int[]){ s->step, s->tok.piece[i].q, s->tok.piece[i].s, s->x, s->history }, err);
        s->c_embed[i].grid[0] = ceil_div(s->tok.n_units, 64);
        goss_buf_free(&d);
    }
    return r;
}

/* Calls with a parameter slot for each group of 16 rows, one behind the other. */
static int head_calls(goss_gpu_state *s, goss_error *err)
{
    const goss_matrix *m = s->tied ? &s->tok : &s->out;
    const uint32_t vocab = (uint32_t)s->base.model->hp.n_vocab, chunks = ceil_div(vocab, GOSS_CHUNK_TOKENS),
                   groups = (uint32_t)s->n_groups_max;
    int r = norm_call(s, &s->c_head_norm, 0, s->out_small, 1, err);
    for (int i = 0; i < m->n_pieces && !r; i++)
        for (uint32_t g = 0; g < groups && !r; g++) {
            const uint32_t p[] = { m->n_units, m->scale_words, m->piece[i].first,   m->piece[i].n,
                                   vocab,      NONE,           GOSS_STEP_GROUPS + g };
            if (g) goss_gpu_params(s, p, sizeof p);
            else
                r = matvec(
                    s, &s->c_head[i], "STORE", m, i, p, sizeof p,
                    (const int[]){ s->step, m->piece[i].q, m->piece[i].s, s->out_small, s->xn, s->logits },
                    err);
        }
    for (uint32_t g = 0; g < groups && !r; g++) {
        const uint32_t p[] = { vocab, (uint32_t)s->config.max_kv + 1, g * GOSS_GPU_FEW, chunks };
        if (g) goss_gpu_params(s, p, sizeof p);
        else
            r = plain(s, &s->c_scan, "sample_scan.wgsl", "urrrrww", "", p, sizeof p,
                      (const int[]){ s->step, s->logits, s->history, s->mask_buf, s->xs, s->chunk }, err);
    }
    for (uint32_t g = 0; g < groups && !r; g++) {
        const uint32_t p[] = { vocab, (uint32_t)s->config.max_kv + 1, g * GOSS_GPU_FEW, chunks };
        if (g) goss_gpu_params(s, p, sizeof p);
        else
            r = plain(s, &s->c_pick, "sample_pick.wgsl", "urrrrwww", "", p, sizeof p,
                      (const int[]){ s->step, s->logits, s->xs, s->exp2, s->chunk, s->history, s->pick },
                      err);
    }
    s->c_scan.grid[0] = chunks;
    return r;
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
                        (uint64_t)nkv * 2 * GOSS_KV_PAGE * (s->f16 ? 2 : 4);
    if (!r) r = make_buffer(s, &l->kv, kv, RW, "KV pages", err);
    s->kv_bytes += kv;
    if (!r && l->n_qkv == 1)
        r = make_matrix(s, &l->qkv[0], lq, hp->n_embd, nq + 2 * nkv, nq + 2 * nkv, "attn_qkv", err);
    if (!r && l->n_qkv == 3) r = make_matrix(s, &l->qkv[0], lq, hp->n_embd, nq, nq, "attn_q", err);
    if (!r && l->n_qkv == 3) r = make_matrix(s, &l->qkv[1], lk, hp->n_embd, nkv, nkv, "attn_k", err);
    if (!r && l->n_qkv == 3) r = make_matrix(s, &l->qkv[2], lv, hp->n_embd, nkv, nkv, "attn_v", err);
    if (!r) r = make_matrix(s, &l->wo, goss_layout_of(t->wo.type), nq, hp->n_embd, hp->n_embd, "attn_output", err);
    const int64_t e = hp->n_expert ? hp->n_expert : 1, ff2 = 2 * (int64_t)hp->n_ff;
    l->n_slots = (int)e;
    if (!r && goss_layout_of(t->gate.type) != goss_layout_of(t->up.type))
        r = goss_fail(err, GOSS_EUNSUPPORTED, -1,
                      "layer %d: gate and up have types that the GPU can't interleave; use --backend cpu",
                      layer);
    if (!r) r = make_matrix(s, &l->up, goss_layout_of(t->gate.type), hp->n_embd, ff2 * e, ff2, "ffn_gate_up", err);
    if (!r)
        r = make_matrix(s, &l->down, goss_layout_of(t->down.type), hp->n_ff, hp->n_embd * e, hp->n_embd,
                        "ffn_down", err);
    if (!r) r = norm_call(s, &l->c_norm, l->attn_norm, l->small, 0, err);
    const uint32_t first[3] = { 0, (uint32_t)nq, (uint32_t)(nq + nkv) };
    for (int i = 0; i < l->n_qkv && !r; i++) r = qkv_call(s, l, i, first[i], err);
    if (!r) r = attention_calls(s, l, err);
    if (!r) r = hp->n_expert ? expert_calls(s, l, layer, err) : ffn_calls(s, l, err);
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
        { &s->xq, rows * widest, "bytes of activations" },
        { &s->xq_scale, rows * widest / 8, "their scales" },
        { &s->tiles, goss_gpu_tiles_words(s) * 4, "tiles of experts" },
    };
    int r = 0;
    for (size_t i = 0; i < sizeof list / sizeof list[0] && !r; i++)
        r = make_buffer(s, list[i].id, list[i].size, RW, list[i].label, err);
    for (int i = 0; i < GOSS_TICKETS && !r; i++) {
        goss_gpu_ticket *t = &s->tickets[i];
        r = make_buffer(s, &t->back, rows * GOSS_PICK_WORDS * 4, GOSS_GPU_MAP_READ | GOSS_GPU_COPY_DST,
                        "picks back", err);
        t->list = goss_mem_array((size_t)rows, sizeof *t->list);
        t->want = goss_mem_array((size_t)rows, 1);
        if (!t->list || !t->want) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for steps");
    }
    s->step_words = goss_mem_array(s->cap_step_words, 4);
    s->back_words = goss_mem_array((size_t)rows * GOSS_PICK_WORDS, 4);
    if (!s->step_words || !s->back_words) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for steps");
    return r;
}

/* The parameter buffer comes first (groups name it) and is filled last; its size is counted generously. */
int goss_gpu_build(goss_gpu_state *s, goss_error *err)
{
    const goss_model *m = s->base.model;
    s->n_groups_max = (int)ceil_div((uint32_t)s->config.max_rows, GOSS_GPU_FEW);
    const uint64_t slots = 64 + (uint64_t)m->hp.n_layer * (24 + 6 * GOSS_MAX_PIECES) +
                           (uint64_t)s->n_groups_max * (3 + GOSS_MAX_PIECES) + GOSS_MAX_PIECES;
    const uint32_t loader[64] = { 0 };
    goss_gpu_params(s, loader, sizeof loader);         /* slot 0 */
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
    if (!r) r = embed_calls(s, err);
    for (int i = 0; i < m->hp.n_layer && !r; i++) r = build_layer(s, i, err);
    if (!r) r = head_calls(s, err);
    if (!r) r = goss_gpu_tiles_build(s, err);
    if (!r && s->n_params > slots) r = goss_fail(err, GOSS_ELIMIT, -1, "more GPU parameters than planned");
    if (!r) r = goss_gpu_write(s->gpu, s->params, 0, s->param_bytes, (uint64_t)s->n_params * 256);
    if (!r) r = goss_gpu_write(s->gpu, s->exp2, 0, goss_sample_exp2(), 4096 * 4);
    return r;
}
