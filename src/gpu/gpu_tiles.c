/* gpu_tiles.c - the calls of steps with many rows (prefill): products in tiles (matmul.wgsl), activations in 16 bits as
 * bytes where the device multiplies packed ones (quantize.wgsl), rows grouped by expert on the device (group.wgsl).
 * Steps of up to GOSS_GPU_FEW rows never come here, so that a row of theirs is the same in any batch. */
#include "gpu_state.h"
#include "../base/error.h"
#include <string.h>

#define NONE GOSS_GPU_NONE
enum { TILE = 64 /* rows of dense ones */, GRID_X = 4096 };

/* Rows of an expert's tile: an expert that has a few more than its share of 512 rows' choices still fits one. */
static uint32_t expert_tile(const goss_gpu_state *s) { return goss_gpu_get_limits(s->gpu)->is_cpu ? 64 : 128; }

static uint32_t most_tiles(const goss_gpu_state *s, uint32_t rows)
{
    const goss_hparams *hp = &s->base.model->hp;
    const uint32_t entries = rows * (uint32_t)hp->n_expert_used;
    return entries / expert_tile(s) + ((uint32_t)hp->n_expert < entries ? (uint32_t)hp->n_expert : entries);
}

/* rows a tile, 32 nh outputs; how many vectors of x and units of W a thread brings: 8 parts a row of x in f32 where
 * workgroup memory allows, else 4. */
static void tile_defines(const goss_gpu_state *s, goss_buf *d, uint32_t rows, uint32_t nh, int packed)
{
    const goss_gpu_limits *lim = goss_gpu_get_limits(s->gpu);
    const uint32_t outs = 32 * nh,
                   units = !lim->is_cpu && lim->max_workgroup_bytes >= 8 * 16 * (rows + outs + 4) ? 4 : 2;
    goss_buf_printf(d, "TILE=%u NI=%u NT=%u NH=%u ", rows, rows / 16, outs, nh);
    if (packed) goss_buf_printf(d, "XV=%u", goss_gpu_ceil_div(rows * 4, 256));
    else
        goss_buf_printf(d, "KU=%u XV=%u WV=%u", units, goss_gpu_ceil_div(rows * 2 * units, 256),
                        goss_gpu_ceil_div(outs * units, 256));
}

/* One product with n_times rows of x for each row of the step. kind: matmul.wgsl's words. */
static int tile_call(goss_gpu_state *s, goss_tile_call *c, const char *kind, uint32_t rows, const goss_matrix *m,
                     int piece, int x, uint32_t n_times, uint32_t *p, int info, int small, int y,
                     goss_error *err)
{
    const int packed =
        s->packed && m->n_units % 4 == 0 && (m->layout == GOSS_LAYOUT_MX4 || m->layout == GOSS_LAYOUT_Q8);
    const struct goss_piece *w = &m->piece[piece];
    goss_buf d = GOSS_BUF(512);
    int r = 0;
    const uint32_t room = goss_gpu_get_limits(s->gpu)->max_workgroup_bytes,
                   wide = !packed && rows > TILE && 4 * 16 * (rows + 128 + 4) <= room ? 4 : 2,
                   nh = s->smaller ? 1 : wide;                 /* pairs of outputs that a thread makes */
    c->nt = 32 * nh;
    c->n_blocks = packed ? m->n_units / 4 * n_times : 0;
    if (packed) {
        const uint32_t q[] = { m->n_units / 4, n_times, GRID_X };
        r = goss_gpu_plain(s, &c->quantize, "quantize.wgsl", "urrww", "", q, sizeof q,
                           (const int[]){ s->step, x, s->xq, s->xq_scale }, err);
    }
    goss_buf_printf(&d, "%s %s", kind, packed ? "DOT4" : "");
    goss_gpu_layout_defines(&d, m->layout);
    tile_defines(s, &d, rows, nh, packed);
    p[0] = m->n_units;
    p[1] = m->scale_words;
    if (!r)
        r = goss_gpu_plain(
            s, &c->product, "matmul.wgsl", "urrrrrrw", goss_buf_cstr(&d), p, 12 * sizeof *p,
            (const int[]){ info, w->q, w->s, small, packed ? s->xq : x, packed ? s->xq_scale : s->dummy, y },
            err);
    goss_buf_free(&d);
    c->n = p[2];
    return r;
}

static int dense_call(goss_gpu_state *s, goss_tile_call *c, const char *kind, const goss_matrix *m,
                      uint32_t first, uint32_t stride, uint32_t bias, int x, int small, int y,
                      goss_error *err)
{
    char words[32] = "DENSE ";
    memcpy(words + 6, kind, strlen(kind) + 1);
    uint32_t p[12] = { [2] = m->n_out, [3] = first, [4] = stride, [5] = bias };
    return tile_call(s, c, words, TILE, m, 0, x, 1, p, s->step, small, y, err);
}

static int expert_tiles(goss_gpu_state *s, goss_gpu_layer *l, int layer, goss_error *err)
{
    const goss_hparams *hp = &s->base.model->hp;
    const uint32_t e = (uint32_t)hp->n_expert, k = (uint32_t)hp->n_expert_used, n_ff = (uint32_t)hp->n_ff,
                   n_embd = (uint32_t)hp->n_embd;
    const uint32_t list = 4 + 4 * most_tiles(s, (uint32_t)s->config.max_rows),
                   inverse = (uint32_t)hp->n_layer * e + (uint32_t)layer * e;
    const uint32_t g[] = { k, (uint32_t)l->n_slots, list, inverse };
    const uint32_t tile = expert_tile(s);
    goss_buf d = GOSS_BUF(32);
    goss_buf_printf(&d, "TILE=%u", tile);
    int r = goss_gpu_plain(s, &l->t_group, "group.wgsl", "urrrw", goss_buf_cstr(&d), g, sizeof g,
                                (const int[]){ s->step, s->route, s->slots, s->tiles }, err);
    goss_buf_free(&d);
    for (int i = 0; i < l->up.n_pieces && !r; i++) {
        uint32_t p[12] = { [2] = 2 * n_ff,
                           [4] = n_ff,
                           [5] = l->up_b,
                           [6] = k,
                           [7] = list,
                           [8] = l->up.piece[i].first / (2 * n_ff),
                           [9] = l->up.piece[i].n / (2 * n_ff),
                           [10] = goss_gpu_bits(hp->swiglu_alpha),
                           [11] = goss_gpu_bits(hp->swiglu_limit) };
        r = tile_call(s, &l->t_up[i], "EXPERT UP", tile, &l->up, i, s->xn, 1, p, s->tiles, l->small, s->h, err);
    }
    for (int i = 0; i < l->down.n_pieces && !r; i++) {
        uint32_t p[12] = { [2] = n_embd,
                           [4] = n_embd,
                           [5] = l->down_b,
                           [6] = k,
                           [7] = list,
                           [8] = l->down.piece[i].first / n_embd,
                           [9] = l->down.piece[i].n / n_embd };
        r = tile_call(s, &l->t_down[i], "EXPERT DOWN", tile, &l->down, i, s->h, k, p, s->tiles, l->small, s->ysplit,
                      err);
    }
    const uint32_t ps[] = { n_embd, k };
    if (!r)
        r = goss_gpu_plain(s, &l->t_sum, "moe_sum.wgsl", "urrw", "", ps, sizeof ps,
                                (const int[]){ s->route, s->ysplit, s->x }, err);
    return r;
}

static int layer_tiles(goss_gpu_state *s, goss_gpu_layer *l, int layer, goss_error *err)
{
    const goss_hparams *hp = &s->base.model->hp;
    const uint32_t hd = (uint32_t)hp->head_dim, nq = (uint32_t)hp->n_head * hd,
                   nkv = (uint32_t)hp->n_head_kv * hd, n_embd = (uint32_t)hp->n_embd;
    const uint32_t first[3] = { 0, nq, nq + nkv };
    int r = 0;
    for (int i = 0; i < l->n_qkv && !r; i++)
        r = dense_call(s, &l->t_qkv[i], "STORE", &l->qkv[i], first[i], nq + 2 * nkv, l->bqkv[i], s->xn,
                       l->small, s->qkv, err);
    const uint32_t p[] = { nq + 2 * nkv,           (uint32_t)hp->n_head,    (uint32_t)hp->n_head_kv, hd,
                           (uint32_t)hp->rope_dim, hp->rope_half ? 0u : 1u, (uint32_t)l->cls };
    if (!r)
        r = goss_gpu_plain(s, &l->t_rows, "qkv_rows.wgsl", "urww", goss_gpu_kv_defines(s),
                                p, sizeof p, (const int[]){ s->step, s->qkv, l->kv }, err);
    if (!r) r = dense_call(s, &l->t_wo, "ADD", &l->wo, 0, n_embd, l->bo, s->att, l->small, s->x, err);
    if (r || hp->n_expert) return r ? r : expert_tiles(s, l, layer, err);
    r = dense_call(s, &l->t_up[0], "SILU", &l->up, 0, (uint32_t)hp->n_ff, NONE, s->xn, l->small, s->h, err);
    return r ? r : dense_call(s, &l->t_down[0], "ADD", &l->down, 0, n_embd, NONE, s->h, l->small, s->x, err);
}

uint64_t goss_gpu_tiles_words(const goss_gpu_state *s)
{
    const uint32_t rows = (uint32_t)s->config.max_rows;
    return 4 + 4 * (uint64_t)most_tiles(s, rows) + (uint64_t)rows * (uint64_t)s->base.model->hp.n_expert_used;
}

int goss_gpu_tiles_build(goss_gpu_state *s, goss_error *err)
{
    int r = 0;
    if (s->config.max_rows <= GOSS_GPU_FEW) return 0;
    for (int i = 0; i < s->base.model->hp.n_layer && !r; i++) r = layer_tiles(s, &s->layers[i], i, err);
    return r;
}

/* ---- recording ----------------------------------------------------------------------------------------- */
static void quantize(goss_gpu_state *s, const goss_tile_call *c, uint32_t rows)
{
    const uint32_t groups = goss_gpu_ceil_div(rows * c->n_blocks, 64);
    if (c->n_blocks)
        goss_gpu_record(s, &c->quantize, 0, 0, groups < GRID_X ? groups : GRID_X, goss_gpu_ceil_div(groups, GRID_X),
                        1);
}

static void product(goss_gpu_state *s, const goss_tile_call *c, uint32_t tiles)
{
    goss_gpu_record(s, &c->product, 0, 0, goss_gpu_ceil_div(c->n, c->nt), tiles, 1);
}

static void dense(goss_gpu_state *s, const goss_tile_call *c, uint32_t rows)
{
    quantize(s, c, rows);
    product(s, c, goss_gpu_ceil_div(rows, TILE));
}

void goss_gpu_tiles_qkv(goss_gpu_state *s, const goss_gpu_layer *l, uint32_t rows)
{
    const goss_hparams *hp = &s->base.model->hp;
    for (int i = 0; i < l->n_qkv; i++) dense(s, &l->t_qkv[i], rows);
    goss_gpu_record(s, &l->t_rows, 0, 0, (uint32_t)(hp->n_head + 2 * hp->n_head_kv), rows, 1);
}

void goss_gpu_tiles_wo(goss_gpu_state *s, const goss_gpu_layer *l, uint32_t rows) { dense(s, &l->t_wo, rows); }

void goss_gpu_tiles_experts(goss_gpu_state *s, const goss_gpu_layer *l, uint32_t rows)
{
    const uint32_t tiles = most_tiles(s, rows);
    goss_gpu_record(s, &l->t_group, 0, 0, 1, 1, 1);
    quantize(s, &l->t_up[0], rows);
    for (int i = 0; i < l->up.n_pieces; i++) product(s, &l->t_up[i], tiles);
    quantize(s, &l->t_down[0], rows);
    for (int i = 0; i < l->down.n_pieces; i++) product(s, &l->t_down[i], tiles);
}

void goss_gpu_tiles_ffn(goss_gpu_state *s, const goss_gpu_layer *l, uint32_t rows)
{
    dense(s, &l->t_up[0], rows);
    dense(s, &l->t_down[0], rows);
}
