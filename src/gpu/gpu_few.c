/* gpu_few.c - the calls of steps with up to GOSS_GPU_FEW rows (decoding, and what every step needs: embedding, norms,
 * attention, routing, the head and sampling): kernels, parameters, grids and groups. A row of such a step comes out the
 * same in any batch. */
#include "gpu_state.h"
#include "../base/error.h"
#include <string.h>

#define NONE GOSS_GPU_NONE

/* ---- calls --------------------------------------------------------------------------------------------- */
static int make_group(goss_gpu_state *s, goss_call *c, const int *buffers, int n, goss_error *err)
{
    goss_gpu_binding b[GOSS_GPU_MAX_BINDINGS] = { { s->params, 0, 0 } };
    for (int i = 0; i < n; i++) b[i + 1].buffer = buffers[i];
    if (s->kernels[c->kernel[0]].marked) b[++n].buffer = s->pages.mark;
    c->group = goss_gpu_group(s->gpu, s->kernels[c->kernel[0]].pipeline, b, n + 1);
    goss_error why = { 0 };
    if (c->group > 0) return 0;
    goss_gpu_error(s->gpu, &why);
    return goss_fail(err, c->group, -1, "the GPU refused the buffers of %s: %s",
                     s->kernels[c->kernel[0]].name, why.text);
}

void goss_gpu_layout_defines(goss_buf *d, int layout)
{
    const goss_layout_info *l = goss_layout_get(layout);
    goss_buf_printf(d, " %s WQ=%s WS=%s ", l->define, l->wq, l->ws);
}

int goss_gpu_plain(goss_gpu_state *s, goss_call *c, const char *file, const char *bindings, const char *defines,
                 const void *params, size_t n_params, const int *buffers, goss_error *err)
{
    const int k = goss_gpu_kernel(s, file, bindings, defines, err);
    if (k < 0) return k;
    for (int i = 0; i < GOSS_BATCHES; i++) c->kernel[i] = k;
    c->params = goss_gpu_shared_params(s, params, n_params);
    return make_group(s, c, buffers, (int)strlen(bindings) - 1, err);
}

/* Whether products with this matrix take packed activations in steps of few rows. */
static int packs(const goss_gpu_state *s, const goss_matrix *m)
{
    return s->packed && m->n_in % 32 == 0 && (m->layout == GOSS_LAYOUT_MX4 || m->layout == GOSS_LAYOUT_Q8);
}

/* How many blocks of a row a thread asks for at once: enough loads in flight, few enough registers. */
static uint32_t at_once(const goss_gpu_state *s, const goss_matrix *m, uint32_t nr, uint32_t rows)
{
    if (rows > 1) return 1;
    const uint32_t rounds = goss_gpu_ceil_div(m->n_in / 32, s->lanes),
                   most = s->loads / (nr * (m->layout == GOSS_LAYOUT_Q8 ? 2 : 1));
    return most < 2 ? 1 : goss_gpu_ceil_div(rounds, goss_gpu_ceil_div(rounds, most));
}

/* matvec for 1, 4 and 8 rows at once; buffers[4] is x. */
static int matvec(goss_gpu_state *s, goss_call *c, const char *kind, int packed, const goss_matrix *m,
                  int piece, const uint32_t *params, size_t n_params, const int *buffers, goss_error *err)
{
    static const uint32_t batch[GOSS_BATCHES] = { 1, 4, GOSS_GPU_BATCH };
    const int qkv = !strncmp(kind, "QKV", 3);
    for (int i = 0; i < GOSS_BATCHES; i++) {
        goss_buf d = GOSS_BUF(1024);
        const int norm = strstr(kind, "NORM") != NULL;
        const uint32_t wg = norm ? s->wg_norm : s->wg, nr = m->n_out < 32768 && !goss_gpu_get_limits(s->gpu)->is_cpu
                                                         ? 2
                                                         : s->nr[i]; /* enough workgroups */
        goss_buf_printf(&d, "%s%s", packed && !norm ? "PACKED " : "", kind);
        if (norm) goss_buf_printf(&d, "=%u PACKED=normed", (uint32_t)(goss_layout_packed_bytes(m->n_in) / 4));
        goss_gpu_layout_defines(&d, m->layout);
        const uint32_t rows = norm ? 1 : batch[i];
        goss_buf_printf(&d, "B=%u NR=%u IT=%u ", rows, nr, at_once(s, m, nr, rows));
        goss_gpu_reduce_defines(s, &d, wg, s->lanes, rows * nr);
        c->grid[i] = goss_gpu_ceil_div(m->piece[piece].n, wg / s->lanes * nr);
        c->kernel[i] = goss_gpu_kernel(s, "matvec.wgsl", qkv ? "urrrrrww" : "urrrrrw", goss_buf_cstr(&d), err);
        goss_buf_free(&d);
        if (c->kernel[i] < 0) return c->kernel[i];
    }
    c->params = goss_gpu_shared_params(s, params, n_params);
    c->times = 1;
    c->bytes = m->piece[piece].n * (goss_layout_q_bytes(m->layout, m->n_in) + goss_layout_s_bytes(m->layout, m->n_in));
    return make_group(s, c, buffers, qkv ? 7 : 6, err);
}

/* packed: to s->packed_x instead of s->xn. */
static int norm_call(goss_gpu_state *s, goss_call *c, int packed, uint32_t gain, int small, int list, goss_error *err)
{
    const goss_hparams *hp = &s->base.model->hp;
    goss_buf d = GOSS_BUF(512);
    goss_buf_printf(&d, "%sWG=%u ", packed ? "PACKED=y " : "", s->wg_norm);
    if (s->subgroup) goss_buf_printf(&d, "SG=%d", s->subgroup);
    int r = 0;
    for (int g = 0; g < (list ? s->n_groups_max : 1) && !r; g++) {
        const uint32_t p[] = { (uint32_t)hp->n_embd, goss_gpu_bits(hp->rms_eps), gain, (uint32_t)list,
                               (uint32_t)g * GOSS_GPU_FEW };
        if (g) goss_gpu_params(s, p, sizeof p);
        else
            r = goss_gpu_plain(s, c, "norm.wgsl", "urrrw", goss_buf_cstr(&d), p, sizeof p,
                               (const int[]){ s->step, small, s->x, packed ? s->packed_x : s->xn }, err);
    }
    goss_buf_free(&d);
    return r;
}

static int qkv_call(goss_gpu_state *s, goss_gpu_layer *l, int packed, int i, uint32_t first, goss_error *err)
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
                           (uint32_t)l->cls,
                           l->attn_norm,
                           goss_gpu_bits(hp->rms_eps) };
    const int few[] = { s->step, m->piece[0].q, m->piece[0].s, l->small, packed ? s->packed_x : s->xn, s->qkv, l->kv },
              one[] = { s->step, m->piece[0].q, m->piece[0].s, l->small, s->x, s->qkv, l->kv };
    goss_buf kind = GOSS_BUF(64);
    goss_buf_printf(&kind, "QKV PAIRS %s", goss_gpu_kv_defines(s));
    int r = matvec(s, &l->c_qkv[i], goss_buf_cstr(&kind), packed, m, 0, p, sizeof p, few, err);
    goss_buf_str(&kind, " NORM");
    if (!r && l->norm_inside)
        r = matvec(s, &l->c_qkv_one[i], goss_buf_cstr(&kind), 1, m, 0, p, sizeof p, one, err);
    goss_buf_free(&kind);
    return r;
}

/* How attend divides its work: see the kernel's head. */
static void attend_defines(const goss_gpu_state *s, goss_buf *d, uint32_t heads, uint32_t hd, int final)
{
    const goss_gpu_limits *lim = goss_gpu_get_limits(s->gpu);
    const uint32_t outs = heads * hd / 4, most = lim->is_cpu ? 64 : lim->max_invocations < 512 ? 256 : 512;
    uint32_t wg = 64, kg = 1;
    while (wg * 2 <= most && wg * 2 <= heads * 64) wg *= 2;
    while (kg * 2 * outs <= wg && kg < 16) kg *= 2;
    const int waves = !lim->is_cpu && s->subgroup && 64 % s->subgroup == 0 && heads * 64 % wg == 0;
    const int ahead = !lim->is_cpu && 64 / kg <= 16 && outs <= wg;
    goss_buf_printf(d, "%s%s HEADS=%u HD=%u WG=%u HP=%u AP=%u KG=%u KG_MANY=%d KU=%d VS=%u%s",
                    goss_gpu_kv_defines(s), waves ? " WAVES" : "", heads, hd, wg,
                    goss_gpu_ceil_div(heads * 64, wg), goss_gpu_ceil_div(outs, wg), kg, kg > 1,
                    lim->is_cpu || hd % 64 ? 4 : 16, ahead || 64 / kg < 8 ? 64 / kg : 8, ahead ? " AHEAD" : "");
    if (waves) goss_buf_printf(d, " SG=%d", s->subgroup);
    if (final) goss_buf_printf(d, " FINAL PACKED=y");
}

static int merge_call(goss_gpu_state *s, goss_call *c, const goss_gpu_layer *l, int packed, goss_error *err)
{
    const goss_hparams *hp = &s->base.model->hp;
    const uint32_t window = l->cls == GOSS_KV_WINDOW ? (uint32_t)hp->window : 0, hd = (uint32_t)hp->head_dim;
    const uint32_t p[] = { (uint32_t)hp->n_head, hd, window, l->sinks };
    goss_buf d = GOSS_BUF(128);
    goss_buf_printf(&d, "%s WG=64 HEADS_CHUNKS=%u", packed ? "PACKED=y" : "",
                    goss_gpu_ceil_div(256, hd) * GOSS_GPU_CHUNKS);
    const int r = goss_gpu_plain(
        s, c, "merge.wgsl", "urrrrw", goss_buf_cstr(&d), p, sizeof p,
        (const int[]){ s->step, l->small, s->part, s->stat, packed ? s->packed_x : s->att }, err);
    c->grid[0] = goss_gpu_ceil_div((uint32_t)hp->n_head * hd / 4, 64);
    goss_buf_free(&d);
    return r;
}

/* Workgroup memory of attend_tile. */
static uint32_t tile_bytes(uint32_t hd) { return 160 * hd * 4 + 32 * 17 * 4 + 2 * 32 * 4; }

static int attention_calls(goss_gpu_state *s, goss_gpu_layer *l, goss_error *err)
{
    const goss_hparams *hp = &s->base.model->hp;
    const uint32_t heads = (uint32_t)(hp->n_head / hp->n_head_kv), hd = (uint32_t)hp->head_dim,
                   window = l->cls == GOSS_KV_WINDOW ? (uint32_t)hp->window : 0;
    const int packed = packs(s, &l->wo);
    goss_buf d = GOSS_BUF(512);
    attend_defines(s, &d, heads, hd, 0);
    const uint32_t pa[] = { (uint32_t)hp->n_head,
                            (uint32_t)hp->n_head_kv,
                            hd,
                            window,
                            (uint32_t)l->cls,
                            (uint32_t)(hp->n_head + 2 * hp->n_head_kv) * hd,
                            goss_gpu_bits(hp->attn_scale),
                            l->sinks,
                            goss_gpu_rope_half(hp) };
    int r = goss_gpu_plain(s, &l->c_attend, "attend.wgsl", "urrrww", goss_buf_cstr(&d), pa, sizeof pa,
                           (const int[]){ s->step, s->qkv, l->kv, s->part, s->stat }, err);
    l->attend_ends = packed && window && window <= 4 * GOSS_KV_PAGE && heads * hd % 32 == 0;
    if (!r && l->attend_ends) {
        goss_buf_clear(&d);
        attend_defines(s, &d, heads, hd, 1);
        r = goss_gpu_plain(s, &l->c_attend_end, "attend.wgsl", "urrrwr", goss_buf_cstr(&d), pa, sizeof pa,
                           (const int[]){ s->step, s->qkv, l->kv, s->packed_x, l->small }, err);
    }
    l->attend_tiled = s->config.max_rows > GOSS_GPU_FEW && 32 % heads == 0 && hd >= 32 &&
                      (!goss_gpu_get_limits(s->gpu)->is_cpu || s->packed_too) &&
                      tile_bytes(hd) <= goss_gpu_get_limits(s->gpu)->max_workgroup_bytes;
    if (!r && l->attend_tiled) {
        goss_buf_clear(&d);
        goss_buf_printf(&d, "%s HEADS=%u HD=%u R=%u AP=%u", goss_gpu_kv_defines(s), heads, hd, 32 / heads,
                        goss_gpu_ceil_div(hd, 64));
        r = goss_gpu_plain(s, &l->t_attend, "attend_tile.wgsl", "urrrrw", goss_buf_cstr(&d), pa, sizeof pa,
                           (const int[]){ s->step, s->qkv, l->kv, l->small, s->att }, err);
        l->t_attend.grid[0] = 32 / heads;
    }
    goss_buf_free(&d);
    if (!r) r = merge_call(s, &l->t_merge, l, 0, err);
    if (!r) r = merge_call(s, &l->c_merge, l, packed, err);
    const uint32_t po[] = { l->wo.n_units, l->wo.scale_words, 0, l->wo.n_out, (uint32_t)hp->n_embd, l->bo, 0 };
    if (!r)
        r = matvec(s, &l->c_wo, "ADD", packed, &l->wo, 0, po, sizeof po,
                   (const int[]){ s->step, l->wo.piece[0].q, l->wo.piece[0].s, l->small,
                                  packed ? s->packed_x : s->att, s->x },
                   err);
    return r;
}

static int route_call(goss_gpu_state *s, goss_call *c, const goss_gpu_layer *l, int layer, int packed, goss_error *err)
{
    const goss_hparams *hp = &s->base.model->hp;
    const goss_gpu_limits *lim = goss_gpu_get_limits(s->gpu);
    const uint32_t n_embd = (uint32_t)hp->n_embd, e = (uint32_t)hp->n_expert;
    const uint32_t threads = lim->is_cpu ? 64 : lim->max_invocations >= 1024 && !s->smaller ? 1024 : 256,
                   groups = threads / s->lanes,
                   each = goss_gpu_ceil_div(e, groups) > 4 ? 4 : goss_gpu_ceil_div(e, groups);
    goss_buf d = GOSS_BUF(512);
    goss_buf_printf(&d, "EP=%u IT=%d %s", each, lim->is_cpu ? 1 : 5, packed ? "PACKED=y " : "");
    if (n_embd * 4 + threads * 16 <= lim->max_workgroup_bytes) goss_buf_printf(&d, "STAGED=%u ", n_embd / 4);
    goss_gpu_reduce_defines(s, &d, threads, s->lanes, each);
    const uint32_t p[] = { n_embd, goss_gpu_bits(hp->rms_eps), l->ffn_norm, l->router, l->router_b, e,
                           (uint32_t)hp->n_expert_used, (uint32_t)layer, 0 };
    const int r = goss_gpu_plain(s, c, "route.wgsl", s->pages.on ? "urrrwwww" : "urrrwww", goss_buf_cstr(&d),
                                 p, sizeof p,
                                 (const int[]){ l->small, s->x, s->slots, packed ? s->packed_x : s->xn,
                                                s->rlogits, s->route, s->pages.mark },
                                 err);
    goss_buf_free(&d);
    return r;
}

/* Experts on packed activations. One row: down makes the weighted sum itself; else a pair's result goes to
 * s->ysplit. */
static int packed_up(goss_gpu_state *s, goss_gpu_layer *l, int i, const uint32_t *p, size_t n_params, goss_error *err)
{
    goss_call *c = &l->c_up[i];
    const goss_matrix *m = &l->up;
    int r = 0;
    for (int many = 0; many < 2 && !r; many++) {
        const uint32_t b = many ? 2 : 1, groups = s->wg_up / s->lanes, nr = 64 / groups;
        goss_buf d = GOSS_BUF(512);
        goss_buf_printf(&d, "PACKED=y B=%u NR=%u IT=%u OUT=%u ", b, nr, at_once(s, m, nr, b), 32 * b);
        if (many) goss_buf_printf(&d, "MANY MATES=%u ", GOSS_GPU_FEW * p[3]);
        goss_gpu_layout_defines(&d, m->layout);
        goss_gpu_reduce_defines(s, &d, s->wg_up, s->lanes, nr * b);
        r = goss_gpu_kernel(s, "experts_up.wgsl", "urrrrrwr", goss_buf_cstr(&d), err);
        c->kernel[many] = c->kernel[GOSS_BATCHES - 1] = r;
        r = r < 0 ? r : 0;
        goss_buf_free(&d);
    }
    if (r) return r;
    c->params = goss_gpu_shared_params(s, p, n_params);
    c->grid[0] = 2 * p[2] / 64;
    return make_group(s, c, (const int[]){ s->route, m->piece[i].q, m->piece[i].s, l->small, s->packed_x, s->packed_h,
                                           s->slots }, 7, err);
}

static int packed_down(goss_gpu_state *s, goss_gpu_layer *l, int i, int many, const uint32_t *p, size_t n_params,
                       goss_error *err)
{
    goss_call *c = many ? &l->c_down_many[i] : &l->c_down[i];
    const goss_matrix *m = &l->down;
    const uint32_t b = many ? 2 : 1, wg = many ? s->wg : p[3] * s->lanes, nr = many ? s->nr[0] : 2;
    goss_buf d = GOSS_BUF(512);
    goss_buf_printf(&d, "PACKED B=%u NR=%u IT=%u ", b, nr, at_once(s, m, nr, b));
    if (many) goss_buf_printf(&d, "MANY MATES=%u ", GOSS_GPU_FEW * p[3]);
    goss_gpu_layout_defines(&d, m->layout);
    goss_gpu_reduce_defines(s, &d, wg, s->lanes, nr * b);
    const int r = goss_gpu_plain(s, c, "experts_down.wgsl", "urrrrrwr", goss_buf_cstr(&d), p, n_params,
                                 (const int[]){ s->route, m->piece[i].q, m->piece[i].s, l->small, s->packed_h,
                                                many ? s->ysplit : s->x, s->slots },
                                 err);
    goss_buf_free(&d);
    c->grid[0] = goss_gpu_ceil_div(p[2], many ? wg / s->lanes * nr : nr);
    return r;
}

static int float_up(goss_gpu_state *s, goss_gpu_layer *l, int i, const uint32_t *p, size_t n_params, goss_error *err)
{
    goss_buf d = GOSS_BUF(512);
    goss_gpu_layout_defines(&d, l->up.layout);
    goss_buf_printf(&d, "NR=%u ", s->nr[0]);
    goss_gpu_reduce_defines(s, &d, s->wg, s->lanes, s->nr[0]);
    const int r = goss_gpu_plain(s, &l->c_up[i], "moe_up.wgsl", "urrrrrwr", goss_buf_cstr(&d), p, n_params,
                                 (const int[]){ s->route, l->up.piece[i].q, l->up.piece[i].s, l->small, s->xn, s->h,
                                                s->slots },
                                 err);
    goss_buf_free(&d);
    l->c_up[i].grid[0] = goss_gpu_ceil_div(2 * p[2], s->wg / s->lanes * s->nr[0]);
    return r;
}

static int float_down(goss_gpu_state *s, goss_gpu_layer *l, int i, const uint32_t *p, size_t n_params, goss_error *err)
{
    const int split = l->down.n_pieces > 1 || s->pages.on;
    goss_buf d = GOSS_BUF(512);
    goss_gpu_layout_defines(&d, l->down.layout);
    const uint32_t nr = goss_gpu_get_limits(s->gpu)->is_cpu && !s->smaller ? 8 : s->nr[0];
    goss_buf_printf(&d, "NR=%u %s", nr, split ? "SPLIT " : "");
    goss_gpu_reduce_defines(s, &d, p[3] * s->lanes, s->lanes, nr);
    const int r = goss_gpu_plain(s, &l->c_down[i], "moe_down.wgsl", "urrrrrwr", goss_buf_cstr(&d), p, n_params,
                                 (const int[]){ s->route, l->down.piece[i].q, l->down.piece[i].s, l->small, s->h,
                                                split ? s->ysplit : s->x, s->slots },
                                 err);
    goss_buf_free(&d);
    l->c_down[i].grid[0] = goss_gpu_ceil_div(p[2], nr);
    return r;
}

static int expert_calls(goss_gpu_state *s, goss_gpu_layer *l, int layer, goss_error *err)
{
    const goss_hparams *hp = &s->base.model->hp;
    const uint32_t n_embd = (uint32_t)hp->n_embd, n_ff = (uint32_t)hp->n_ff, k = (uint32_t)hp->n_expert_used,
                   e = (uint32_t)hp->n_expert, inverse = (uint32_t)hp->n_layer * e + (uint32_t)layer * e;
    l->packed = packs(s, &l->up) && packs(s, &l->down) && n_ff % 32 == 0;
    int r = route_call(s, &l->t_route, l, layer, 0, err);
    if (!r) r = route_call(s, &l->c_route, l, layer, l->packed, err);
    for (int i = 0; i < l->up.n_pieces && !r; i++) {
        const uint32_t p[] = { l->up.n_units, l->up.scale_words, n_ff, k, l->up.piece[i].first / (2 * n_ff),
                               l->up.piece[i].n / (2 * n_ff), l->up_b, inverse, goss_gpu_bits(hp->swiglu_alpha),
                               goss_gpu_bits(hp->swiglu_limit) };
        r = l->packed ? packed_up(s, l, i, p, sizeof p, err) : float_up(s, l, i, p, sizeof p, err);
        l->c_up[i].bytes =
            2 * n_ff *
            (goss_layout_q_bytes(l->up.layout, n_embd) + goss_layout_s_bytes(l->up.layout, n_embd));
    }
    for (int i = 0; i < l->down.n_pieces && !r; i++) {
        const uint32_t p[] = { l->down.n_units, l->down.scale_words, n_embd, k, l->down.piece[i].first / n_embd,
                               l->down.piece[i].n / n_embd, l->down_b, inverse };
        if (!l->packed) r = float_down(s, l, i, p, sizeof p, err);
        else {
            if (l->down.n_pieces == 1) r = packed_down(s, l, i, 0, p, sizeof p, err);
            if (!r) r = packed_down(s, l, i, 1, p, sizeof p, err);
        }
        l->c_down[i].bytes = k * (uint64_t)n_embd *
                             (goss_layout_q_bytes(l->down.layout, n_ff) + goss_layout_s_bytes(l->down.layout, n_ff));
        l->c_down_many[i].bytes = l->c_down[i].bytes / k;
    }
    const uint32_t ps[] = { n_embd, k };
    if (!r)
        r = goss_gpu_plain(s, &l->c_sum, "moe_sum.wgsl", "urrw", "", ps, sizeof ps,
                           (const int[]){ s->route, s->ysplit, s->x }, err);
    return r;
}

static int ffn_calls(goss_gpu_state *s, goss_gpu_layer *l, goss_error *err)
{
    const uint32_t n_embd = (uint32_t)s->base.model->hp.n_embd, n_ff = (uint32_t)s->base.model->hp.n_ff;
    const int packed = packs(s, &l->up);
    int r = norm_call(s, &l->t_ffn_norm, 0, l->ffn_norm, l->small, 0, err);
    if (!r) r = norm_call(s, &l->c_ffn_norm, packed, l->ffn_norm, l->small, 0, err);
    const uint32_t pu[] = { l->up.n_units, l->up.scale_words, 0, l->up.n_out, n_ff, NONE, 0 };
    if (!r)
        r = matvec(s, &l->c_up[0], "PAIRS", packed, &l->up, 0, pu, sizeof pu,
                   (const int[]){ s->step, l->up.piece[0].q, l->up.piece[0].s, l->small,
                                  packed ? s->packed_x : s->xn, s->h },
                   err);
    const uint32_t pd[] = { l->down.n_units, l->down.scale_words, 0, l->down.n_out, n_embd, NONE, 0 };
    if (!r)
        r = matvec(s, &l->c_down[0], "ADD", 0, &l->down, 0, pd, sizeof pd,
                   (const int[]){ s->step, l->down.piece[0].q, l->down.piece[0].s, l->small, s->h, s->x },
                   err);
    return r;
}

int goss_gpu_few_layer(goss_gpu_state *s, int layer, goss_error *err)
{
    const goss_hparams *hp = &s->base.model->hp;
    goss_gpu_layer *l = &s->layers[layer];
    const uint32_t nq = (uint32_t)(hp->n_head * hp->head_dim), nkv = (uint32_t)(hp->n_head_kv * hp->head_dim);
    const uint32_t first[3] = { 0, nq, nq + nkv };
    int packed = 1;
    for (int i = 0; i < l->n_qkv; i++) packed &= packs(s, &l->qkv[i]);
    l->norm_inside = packed && goss_layout_packed_bytes((uint64_t)hp->n_embd) + 4096 <=
                                   goss_gpu_get_limits(s->gpu)->max_workgroup_bytes;
    int r = norm_call(s, &l->t_norm, 0, l->attn_norm, l->small, 0, err);
    if (!r) r = norm_call(s, &l->c_norm, packed, l->attn_norm, l->small, 0, err);
    for (int i = 0; i < l->n_qkv && !r; i++) r = qkv_call(s, l, packed, i, first[i], err);
    if (!r) r = attention_calls(s, l, err);
    return r ? r : hp->n_expert ? expert_calls(s, l, layer, err) : ffn_calls(s, l, err);
}

int goss_gpu_few_embed(goss_gpu_state *s, goss_error *err)
{
    int r = 0;
    for (int i = 0; i < s->tok.n_pieces && !r; i++) {
        goss_buf d = GOSS_BUF(256);
        goss_gpu_layout_defines(&d, s->tok.layout);
        const uint32_t p[] = { s->tok.n_units, s->tok.scale_words, s->tok.piece[i].first, s->tok.piece[i].n,
                               (uint32_t)s->config.max_kv + 1 };
        r = goss_gpu_plain(s, &s->c_embed[i], "embed.wgsl", "urrrww", goss_buf_cstr(&d), p, sizeof p,
                  (const int[]){ s->step, s->tok.piece[i].q, s->tok.piece[i].s, s->x, s->history }, err);
        s->c_embed[i].grid[0] = goss_gpu_ceil_div(s->tok.n_units, 64);
        goss_buf_free(&d);
    }
    return r;
}

/* Calls with a parameter slot for each group of 16 rows, one behind the other. */
int goss_gpu_few_head(goss_gpu_state *s, goss_error *err)
{
    const goss_matrix *m = s->tied ? &s->tok : &s->out;
    const uint32_t vocab = (uint32_t)s->base.model->hp.n_vocab, chunks = goss_gpu_ceil_div(vocab, GOSS_CHUNK_TOKENS),
                   groups = (uint32_t)s->n_groups_max;
    const int packed = packs(s, m);
    int r = norm_call(s, &s->c_head_norm, packed, 0, s->out_small, 1, err);
    for (int i = 0; i < m->n_pieces && !r; i++)
        for (uint32_t g = 0; g < groups && !r; g++) {
            const uint32_t p[] = { m->n_units, m->scale_words, m->piece[i].first,   m->piece[i].n,
                                   vocab,      NONE,           GOSS_STEP_GROUPS + g };
            if (g) goss_gpu_params(s, p, sizeof p);
            else
                r = matvec(
                    s, &s->c_head[i], "STORE", packed, m, i, p, sizeof p,
                    (const int[]){ s->step, m->piece[i].q, m->piece[i].s, s->out_small,
                                   packed ? s->packed_x : s->xn, s->logits },
                    err);
        }
    for (uint32_t g = 0; g < groups && !r; g++) {
        const uint32_t p[] = { vocab, (uint32_t)s->config.max_kv + 1, g * GOSS_GPU_FEW, chunks };
        if (g) goss_gpu_params(s, p, sizeof p);
        else
            r = goss_gpu_plain(s, &s->c_scan, "sample_scan.wgsl", "urrrrww", "", p, sizeof p,
                      (const int[]){ s->step, s->logits, s->history, s->mask_buf, s->xs, s->chunk }, err);
    }
    for (uint32_t g = 0; g < groups && !r; g++) {
        const uint32_t p[] = { vocab, (uint32_t)s->config.max_kv + 1, g * GOSS_GPU_FEW, chunks };
        if (g) goss_gpu_params(s, p, sizeof p);
        else
            r = goss_gpu_plain(s, &s->c_pick, "sample_pick.wgsl", "urrrrwww", "", p, sizeof p,
                      (const int[]){ s->step, s->logits, s->xs, s->exp2, s->chunk, s->history, s->pick },
                      err);
    }
    s->c_scan.grid[0] = chunks;
    return r;
}
