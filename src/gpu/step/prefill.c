/* prefill.c - the calls of steps with many rows (prefill, and many sessions): products in tiles, rows
 * grouped by expert on the device (group.wgsl). Where the device multiplies fragments, operands are halves
 * (to_halves.wgsl, matmul_fragments.wgsl; two a value before queries and keys, whose products are large) and
 * tiles come in four sizes; else one size, on 16 bits as bytes where the device multiplies packed ones
 * (quantize.wgsl, matmul.wgsl), or floats. A choice (choice.h) may say otherwise for a product. Steps of up
 * to GOSS_DECODE_ROWS rows never come here, so that a row of theirs is the same in any batch. */
#include "prefill.h"
#include "calls.h"
#include "gpu/kernels/blocks.h"
#include <string.h>

#define NONE GOSS_GPU_NONE
enum { TILE = 64 /* rows of dense ones, without fragments */, GRID_X = 4096 };
/* Workgroups that are enough for a device to have of a product; those that share a tile's values, at most. */
enum { ENOUGH = 512, MOST_PARTS = 4 };

/* Sizes of tiles by fragments, in rising order: rows and outputs, a subgroup's, values a step; `most` rows
 * (of an expert: on average) that a size serves. Measured on an H100 and an H200 (docs/gpu-performance.md):
 * there the experts' second size was never the fastest; on other devices a choice (choice.h) may take it. */
typedef struct tile_size {
    uint32_t rows, outs, sub_rows, sub_outs, depth, most;
} tile_size;
static const tile_size dense_sizes[GOSS_VARIANTS] = { { 32, 64, 16, 32, 64, 128 },
                                                      { 64, 64, 32, 32, 64, 256 },
                                                      { 128, 128, 64, 32, 64, 512 },
                                                      { 128, 128, 64, 32, 64, ~0u } };
static const tile_size expert_sizes[GOSS_VARIANTS] = { { 16, 64, 16, 16, 64, 17 },
                                                       { 32, 64, 16, 32, 64, 17 },
                                                       { 64, 128, 32, 32, 32, 80 },
                                                       { 128, 256, 64, 32, 32, ~0u } };

static int multiplies_halves(const goss_matrix *m)
{
    return m->n_in % 32 == 0 && m->layout != GOSS_LAYOUT_BF16 && m->layout != GOSS_LAYOUT_F32;
}

static int multiplies_bytes(const goss_matrix *m)
{
    return m->n_units % 4 == 0 && goss_layout_packs(m->layout);
}

static int made_of(const goss_matrix *m, int halves, int bytes)
{
    return halves && multiplies_halves(m) ? GOSS_TILE_HALVES
           : bytes && multiplies_bytes(m) ? GOSS_TILE_BYTES
                                          : GOSS_TILE_FLOATS;
}

/* What a product is made of: as was chosen, where the device and the matrix can, else by features. Up and
 * down (m and its second) go through one list of tiles: both of halves, or neither. */
static int operands_of(const goss_gpu_state *s, const goss_matrix *m, const goss_matrix *second,
                       const goss_choice_line *chosen)
{
    const int halves = multiplies_halves(m) && multiplies_halves(second),
              asked = chosen ? chosen->operands : GOSS_TILE_FIXED;
    if (asked == GOSS_TILE_HALVES && s->facts.can_fragments && halves) return GOSS_TILE_HALVES;
    if (asked == GOSS_TILE_BYTES && s->facts.can_bytes) return made_of(m, 0, 1);
    if (asked == GOSS_TILE_FLOATS) return GOSS_TILE_FLOATS;
    return made_of(m, s->facts.fragments && halves, s->facts.packed);
}

/* Workgroup memory of a tile: both operands of a step, rows eight halves apart, and a fragment of sums a
 * subgroup. */
static uint32_t tile_bytes(const goss_gpu_limits *lim, const tile_size *z, uint32_t depth, uint32_t planes)
{
    return (planes * z->rows + z->outs) * (depth + 8) * 2 +
           z->rows / z->sub_rows * (z->outs / z->sub_outs) * lim->fragment.m * lim->fragment.n * 4;
}

/* Values of a step: fewer where rows have no multiple of them, or memory is short. */
static uint32_t depth_of(const goss_gpu_limits *lim, const tile_size *z, uint32_t n_in, uint32_t planes)
{
    return n_in % z->depth || tile_bytes(lim, z, z->depth, planes) > lim->max_workgroup_bytes ? 32 : z->depth;
}

/* Which size serves so many rows of one matrix; none that the device can't. */
static int size_for(const goss_gpu_state *s, const tile_size *sizes, uint32_t rows, uint32_t planes)
{
    const goss_gpu_limits *lim = goss_gpu_get_limits(s->gpu);
    int v = 0;
    while (v < GOSS_VARIANTS - 1 && sizes[v].most < rows &&
           tile_bytes(lim, &sizes[v + 1], 32, planes) <= lim->max_workgroup_bytes)
        v++;
    return v;
}

/* As was chosen for this product, where the device can; each: rows, of an expert on average. */
static int size_of(const goss_gpu_state *s, const goss_tile_call *c, const tile_size *sizes, uint32_t each)
{
    const int fixed = size_for(s, sizes, each, c->planes), most = size_for(s, sizes, ~0u, c->planes);
    const int kind = sizes == expert_sizes ? GOSS_CHOICE_EXPERTS : GOSS_CHOICE_DENSE;
    if (!c->chosen || c->chosen->operands != GOSS_TILE_HALVES) return fixed;
    const int v = (int)c->chosen->size[goss_choice_step(kind, each)];
    return v < most ? v : most;
}

/* Rows of an expert's tile. Without fragments an expert that has a few more than its share of 512 rows'
 * choices still fits one. */
static uint32_t expert_tile(const goss_gpu_state *s, int fragments, int v)
{
    return fragments ? expert_sizes[v].rows : goss_gpu_get_limits(s->gpu)->is_cpu ? 64 : 128;
}

static uint32_t most_tiles(const goss_gpu_state *s, uint32_t rows, uint32_t tile)
{
    const goss_hparams *hp = &s->base.model->hp;
    const uint32_t entries = rows * (uint32_t)hp->n_expert_used;
    return entries / tile + ((uint32_t)hp->n_expert < entries ? (uint32_t)hp->n_expert : entries);
}

/* Where the list of entries begins, behind as many tiles as the smallest size may give. */
static uint32_t list_of(const goss_gpu_state *s)
{
    return 4 + 4 * most_tiles(s, (uint32_t)s->config.max_rows,
                              s->facts.can_fragments ? expert_sizes[0].rows : 64);
}

/* rows a tile, 32 nh outputs; how many vectors of x and units of W a thread brings: 8 parts a row of x in
 * f32 where workgroup memory allows, else 4. */
static void tile_defines(const goss_gpu_state *s, goss_buf *d, uint32_t rows, uint32_t nh, int packed)
{
    const goss_gpu_limits *lim = goss_gpu_get_limits(s->gpu);
    const uint32_t outs = 32 * nh,
                   units = !lim->is_cpu && lim->max_workgroup_bytes >= 8 * 16 * (rows + outs + 4) ? 4 : 2;
    goss_buf_printf(d, "TILE=%u NI=%u NT=%u NH=%u ", rows, rows / 16, outs, nh);
    if (packed) goss_buf_printf(d, "XV=%u", goss_ceil_div(rows * 4, 256));
    else
        goss_buf_printf(d, "KU=%u XV=%u WV=%u", units, goss_ceil_div(rows * 2 * units, 256),
                        goss_ceil_div(outs * units, 256));
}

static int convert_call(goss_gpu_state *s, goss_tile_call *c, const goss_matrix *m, int x, goss_error *err)
{
    const int *buffers = (const int[]){ s->buf.step, x, s->buf.xq, s->buf.xq_scale };
    if (c->operands == GOSS_TILE_HALVES) {
        const goss_block_to_halves p = { .n = m->n_in / 4, .times = c->times, .grid_x = GRID_X };
        return goss_call_make(&s->weights, &c->convert, "to_halves.wgsl", "urrww",
                              c->planes > 1 ? "SPLIT" : "", &p, sizeof p, buffers, err);
    }
    const goss_block_quantize p = { .n_blocks = c->n_blocks, .times = c->times, .grid_x = GRID_X };
    return goss_call_make(&s->weights, &c->convert, "quantize.wgsl", "urrww", "", &p, sizeof p, buffers, err);
}

/* The defines of a size, and how many outputs its tiles have. */
static uint32_t product_defines(const goss_gpu_state *s, const goss_tile_call *c, goss_buf *d,
                                const goss_matrix *m, const tile_size *z, uint32_t rows)
{
    const goss_gpu_limits *lim = goss_gpu_get_limits(s->gpu);
    goss_layout_defines(d, m->layout);
    if (c->operands == GOSS_TILE_HALVES) {
        goss_fragment_defines(d, lim, s->facts.subgroup, m->layout,
                              (const uint32_t[]){ z->rows, z->outs, z->sub_rows, z->sub_outs },
                              depth_of(lim, z, m->n_in, c->planes), c->planes);
        return z->outs;
    }
    const int packed = c->operands == GOSS_TILE_BYTES;
    const uint32_t wide = !packed && rows > TILE && 4 * 16 * (rows + 128 + 4) <= lim->max_workgroup_bytes ? 4
                                                                                                          : 2,
                   nh = s->settings.smaller ? 1 : wide; /* pairs of outputs that a thread makes */
    goss_buf_printf(d, "%s", packed ? "DOT4 " : "");
    tile_defines(s, d, rows, nh, packed);
    return 32 * nh;
}

/* One product with n_times rows of x for each row of the step. kind: put.inc.wgsl's words; rows:
 * of a tile without fragments. The caller sets c->planes, operands and chosen. */
static int tile_call(goss_gpu_state *s, goss_tile_call *c, const char *kind, uint32_t rows,
                     const goss_matrix *m, int piece, int x, uint32_t n_times, goss_block_matmul *p, int info,
                     int small, int y, goss_error *err)
{
    const struct goss_piece *w = &m->piece[piece];
    const int fragments = c->operands == GOSS_TILE_HALVES;
    c->times = n_times;
    c->n_blocks = m->n_units / 4;
    int r = c->operands == GOSS_TILE_FLOATS ? 0 : convert_call(s, c, m, x, err);
    const tile_size *sizes = strncmp(kind, "EXPERT", 6) ? dense_sizes : expert_sizes;
    for (int i = 0, last = size_for(s, sizes, ~0u, c->planes); i < GOSS_VARIANTS && r >= 0; i++) {
        goss_buf d = GOSS_BUF(512);
        goss_buf_printf(&d, "%s ", kind);
        c->product.grid[i] =
            goss_ceil_div(p->n, product_defines(s, c, &d, m, &sizes[i < last ? i : last], rows));
        r = goss_kernels_get(&s->kernels, fragments ? "matmul_fragments.wgsl" : "matmul.wgsl", "urrrrrrw",
                             goss_buf_cstr(&d), err);
        c->product.kernel[i] = r;
        goss_buf_free(&d);
    }
    if (r < 0) return r;
    p->n_units = m->n_units;
    p->scale_words = m->scale_words;
    p->beyond = w->beyond;
    c->product.params = goss_params_share(&s->weights, p, sizeof *p);
    const int none = c->operands == GOSS_TILE_FLOATS;
    return goss_call_group(&s->weights, &c->product,
                           (const int[]){ info, w->q, w->s, small, none ? x : s->buf.xq,
                                          none ? s->kernels.spare : s->buf.xq_scale, y },
                           7, err);
}

static int dense_call(goss_gpu_state *s, goss_tile_call *c, const char *kind, uint32_t planes,
                      const goss_matrix *m, uint32_t first, uint32_t stride, uint32_t bias, int x, int small,
                      int y, goss_error *err)
{
    char words[32] = "DENSE ";
    memcpy(words + 6, kind, strlen(kind) + 1);
    goss_block_matmul p = { .n = m->n_out, .first = first, .stride = stride, .bias = bias };
    c->planes = planes;
    c->chosen = goss_choice_find(&s->choice, GOSS_CHOICE_DENSE, m->layout, m->n_in, m->n_out);
    c->operands = operands_of(s, m, m, c->chosen);
    return tile_call(s, c, words, TILE, m, 0, x, 1, &p, s->buf.step, small, y, err);
}

/* A crowd's product of few tiles: workgroups share the values of each, so that they are enough for a device.
 * Call it behind dense_call, with the same. */
static int apart_call(goss_gpu_state *s, goss_tile_call *c, const char *kind, const goss_matrix *m,
                      uint32_t first, uint32_t stride, uint32_t bias, int small, int y, goss_error *err)
{
    const goss_hparams *hp = &s->base.model->hp;
    const tile_size *z = &dense_sizes[0];
    const uint32_t steps = m->n_in / depth_of(goss_gpu_get_limits(s->gpu), z, m->n_in, c->planes),
                   tiles = goss_ceil_div(m->n_out, z->outs) * (GOSS_CROWD_ROWS / z->rows),
                   parts = ENOUGH / tiles < MOST_PARTS ? ENOUGH / tiles : MOST_PARTS;
    const uint64_t room = (uint64_t)s->config.max_rows * (uint64_t)hp->n_embd *
                          (uint64_t)(hp->n_expert ? hp->n_expert_used : 1);
    if (!s->crowds || c->operands != GOSS_TILE_HALVES || parts < 2 ||
        (parts - 1) * goss_ceil_div(steps, parts) >= steps ||
        (uint64_t)parts * GOSS_CROWD_ROWS * m->n_out > room)
        return 0;
    const goss_block_matmul p = { .n_units = m->n_units, .scale_words = m->scale_words, .n = m->n_out,
                                  .stride = m->n_out, .bias = NONE, .beyond = m->piece[0].beyond };
    const goss_block_parts ps = { .n = m->n_out, .first = first, .stride = stride, .bias = bias };
    goss_buf d = GOSS_BUF(512);
    goss_buf_printf(&d, "DENSE STORE APART=%u ", parts);
    c->parts = parts;
    c->apart.grid[0] = goss_ceil_div(m->n_out, product_defines(s, c, &d, m, z, 0));
    c->sum.grid[0] = goss_ceil_div(m->n_out, 64);
    int r = goss_call_make(&s->weights, &c->apart, "matmul_fragments.wgsl", "urrrrrrw", goss_buf_cstr(&d), &p,
                           sizeof p,
                           (const int[]){ s->buf.step, m->piece[0].q, m->piece[0].s, small, s->buf.xq,
                                          s->buf.xq_scale, s->buf.ysplit }, err);
    goss_buf_clear(&d);
    goss_buf_printf(&d, "%s APART=%u", kind, parts);
    if (!r)
        r = goss_call_make(&s->weights, &c->sum, "sum_parts.wgsl", "urrrw", goss_buf_cstr(&d), &ps, sizeof ps,
                           (const int[]){ s->buf.step, small, s->buf.ysplit, y }, err);
    goss_buf_free(&d);
    return r;
}

static int group_call(goss_gpu_state *s, goss_layer_calls *l, uint32_t list, uint32_t inverse, int fragments,
                      goss_error *err)
{
    const goss_block_group p = { .top_k = (uint32_t)s->base.model->hp.n_expert_used,
                                 .n_slots = (uint32_t)l->w->n_slots,
                                 .list = list,
                                 .inverse = inverse };
    goss_call *c = &l->prefill.group;
    int r = 0;
    for (int v = 0; v < GOSS_VARIANTS && r >= 0; v++) {
        goss_buf d = GOSS_BUF(32);
        goss_buf_printf(&d, "TILE=%u", expert_tile(s, fragments, v));
        r = goss_kernels_get(&s->kernels, "group.wgsl", "urrrw", goss_buf_cstr(&d), err);
        c->kernel[v] = r;
        goss_buf_free(&d);
    }
    if (r < 0) return r;
    c->params = goss_params_share(&s->weights, &p, sizeof p);
    return goss_call_group(&s->weights, c,
                           (const int[]){ s->buf.step, s->buf.route, s->weights.slots.device, s->buf.tiles },
                           4, err);
}

/* Of a piece of up or down. */
static int expert_call(goss_gpu_state *s, goss_tile_call *c, const char *kind, const goss_layer_calls *l,
                       const goss_matrix *m, int piece, int x, uint32_t n_times, goss_block_matmul *p, int y,
                       goss_error *err)
{
    const goss_hparams *hp = &s->base.model->hp;
    c->planes = 1;
    c->chosen = goss_choice_find(&s->choice, GOSS_CHOICE_EXPERTS, l->w->up.layout, (uint32_t)hp->n_embd,
                                 (uint32_t)hp->n_ff);
    c->operands = operands_of(s, m, m == &l->w->up ? &l->w->down : &l->w->up, c->chosen);
    return tile_call(s, c, kind, expert_tile(s, 0, 0), m, piece, x, n_times, p, s->buf.tiles, l->w->small, y,
                     err);
}

static int expert_tiles(goss_gpu_state *s, goss_layer_calls *l, int layer, goss_error *err)
{
    const goss_hparams *hp = &s->base.model->hp;
    const uint32_t e = (uint32_t)hp->n_expert, k = (uint32_t)hp->n_expert_used, n_ff = (uint32_t)hp->n_ff,
                   n_embd = (uint32_t)hp->n_embd;
    const uint32_t list = list_of(s), inverse = (uint32_t)hp->n_layer * e + (uint32_t)layer * e;
    int r = 0;
    for (int i = 0; i < l->w->up.n_pieces && !r; i++) {
        goss_block_matmul p = { .n = 2 * n_ff, .stride = n_ff, .bias = l->w->up_b, .top_k = k,
                                .list = list, .slot0 = l->w->up.piece[i].first / (2 * n_ff),
                                .n_slots = l->w->up.piece[i].n / (2 * n_ff),
                                .alpha = hp->swiglu_alpha, .limit = hp->swiglu_limit };
        r = expert_call(s, &l->prefill.up[i], "EXPERT UP", l, &l->w->up, i, s->buf.xn, 1, &p, s->buf.h, err);
    }
    for (int i = 0; i < l->w->down.n_pieces && !r; i++) {
        goss_block_matmul p = { .n = n_embd, .stride = n_embd, .bias = l->w->down_b, .top_k = k,
                                .list = list, .slot0 = l->w->down.piece[i].first / n_embd,
                                .n_slots = l->w->down.piece[i].n / n_embd };
        r = expert_call(s, &l->prefill.down[i], "EXPERT DOWN", l, &l->w->down, i, s->buf.h, k, &p,
                        s->buf.ysplit, err);
    }
    if (!r) r = group_call(s, l, list, inverse, l->prefill.up[0].operands == GOSS_TILE_HALVES, err);
    const goss_block_sum ps = { .n = n_embd, .top_k = k };
    if (!r)
        r = goss_call_make(&s->weights, &l->prefill.sum, "experts_sum.wgsl", "urrw", "", &ps, sizeof ps,
                                (const int[]){ s->buf.route, s->buf.ysplit, s->buf.x }, err);
    return r;
}

static int layer_tiles(goss_gpu_state *s, goss_layer_calls *l, int layer, goss_error *err)
{
    const goss_hparams *hp = &s->base.model->hp;
    const uint32_t hd = (uint32_t)hp->head_dim, nq = (uint32_t)hp->n_head * hd,
                   nkv = (uint32_t)hp->n_head_kv * hd, n_embd = (uint32_t)hp->n_embd;
    const uint32_t first[3] = { 0, nq, nq + nkv };
    int r = 0;
    for (int i = 0; i < l->w->n_qkv && !r; i++) {
        goss_tile_call *c = &l->prefill.qkv[i];
        r = dense_call(s, c, "STORE", 2, &l->w->qkv[i], first[i], nq + 2 * nkv, l->w->bqkv[i], s->buf.xn,
                       l->w->small, s->buf.qkv, err);
        if (!r)
            r = apart_call(s, c, "STORE", &l->w->qkv[i], first[i], nq + 2 * nkv, l->w->bqkv[i], l->w->small,
                           s->buf.qkv, err);
    }
    const goss_block_qkv_rows p = { .stride = nq + 2 * nkv, .n_head = (uint32_t)hp->n_head,
                                    .n_kv = (uint32_t)hp->n_head_kv, .head_dim = hd,
                                    .rope_dim = (uint32_t)hp->rope_dim, .adjacent = hp->rope_half ? 0u : 1u,
                                    .cls = (uint32_t)l->w->cls };
    if (!r)
        r = goss_call_make(&s->weights, &l->prefill.rows, "qkv_rows.wgsl", "urww", goss_kv_defines(&s->facts),
                                &p, sizeof p, (const int[]){ s->buf.step, s->buf.qkv, l->w->kv }, err);
    if (!r)
        r = dense_call(s, &l->prefill.wo, "ADD", 1, &l->w->wo, 0, n_embd, l->w->bo, s->buf.att, l->w->small,
                       s->buf.x, err);
    if (!r)
        r = apart_call(s, &l->prefill.wo, "ADD", &l->w->wo, 0, n_embd, l->w->bo, l->w->small, s->buf.x, err);
    if (r || hp->n_expert) return r ? r : expert_tiles(s, l, layer, err);
    r = dense_call(s, &l->prefill.up[0], "SILU", 1, &l->w->up, 0, (uint32_t)hp->n_ff, NONE, s->buf.xn,
                   l->w->small, s->buf.h, err);
    return r ? r
             : dense_call(s, &l->prefill.down[0], "ADD", 1, &l->w->down, 0, n_embd, NONE, s->buf.h,
                          l->w->small, s->buf.x, err);
}

/* Two halves a value: a logit is as near as by the kernels for few rows. */
int goss_prefill_build_head(goss_gpu_state *s, goss_error *err)
{
    const goss_matrix *m = s->weights.tied ? &s->weights.tok : &s->weights.out;
    int r = 0;
    s->calls.head.crowd = s->crowds && s->weights.has_head && multiplies_halves(m);
    for (int i = 0; s->calls.head.crowd && i < m->n_pieces && !r; i++) {
        goss_tile_call *c = &s->calls.head.crowd_product[i];
        goss_block_matmul p = { .n = m->piece[i].n, .first = m->piece[i].first,
                                .stride = (uint32_t)s->base.model->hp.n_vocab, .bias = NONE };
        *c = (goss_tile_call){ .planes = 2, .operands = GOSS_TILE_HALVES };
        r = tile_call(s, c, "DENSE STORE", TILE, m, i, s->buf.xn, 1, &p, s->buf.step, s->weights.out_small,
                      s->buf.logits, err);
    }
    return r;
}

uint64_t goss_prefill_tile_words(const goss_gpu_state *s)
{
    return list_of(s) + (uint64_t)s->config.max_rows * (uint64_t)s->base.model->hp.n_expert_used;
}

int goss_prefill_build_layer(goss_gpu_state *s, goss_layer_calls *l, int layer, goss_error *err)
{
    return layer_tiles(s, l, layer, err);
}

int goss_prefill_build(goss_gpu_state *s, goss_error *err)
{
    int r = 0;
    if (s->config.max_rows <= GOSS_DECODE_ROWS) return 0;
    for (int i = 0; i < s->base.model->hp.n_layer && !r; i++) r = layer_tiles(s, &s->calls.layers[i], i, err);
    return r;
}

/* ---- recording ----------------------------------------------------------------------------------------- */
static void convert(goss_gpu_state *s, const goss_tile_call *c, uint32_t rows)
{
    if (c->operands == GOSS_TILE_FLOATS) return;
    const uint32_t groups =
        c->operands == GOSS_TILE_HALVES ? rows * c->times : goss_ceil_div(rows * c->times * c->n_blocks, 64);
    goss_rec_dispatch(&s->rec, &c->convert, 0, 0, groups < GRID_X ? groups : GRID_X,
                      goss_ceil_div(groups, GRID_X), 1);
}

static void product(goss_gpu_state *s, const goss_tile_call *c, int v, uint32_t tiles)
{
    goss_rec_dispatch(&s->rec, &c->product, v, 0, c->product.grid[v], tiles, 1);
}

static void dense(goss_gpu_state *s, const goss_tile_call *c, uint32_t rows)
{
    const int v = c->operands == GOSS_TILE_HALVES ? size_of(s, c, dense_sizes, rows) : 0;
    convert(s, c, rows);
    product(s, c, v, goss_ceil_div(rows, c->operands == GOSS_TILE_HALVES ? dense_sizes[v].rows : TILE));
}

void goss_prefill_product(goss_gpu_state *s, const goss_tile_call *c, uint32_t rows) { dense(s, c, rows); }

/* One of a step's, which may be a crowd's. */
static void step_dense(goss_gpu_state *s, const goss_tile_call *c, const goss_step *step)
{
    const uint32_t rows = (uint32_t)step->n_rows;
    if (!c->parts || rows > GOSS_CROWD_ROWS || !goss_gpu_crowd(s, step)) {
        dense(s, c, rows);
        return;
    }
    convert(s, c, rows);
    goss_rec_dispatch(&s->rec, &c->apart, 0, 0, c->apart.grid[0], goss_ceil_div(rows, dense_sizes[0].rows),
                      c->parts);
    goss_rec_dispatch(&s->rec, &c->sum, 0, 0, c->sum.grid[0], rows, 1);
}

int goss_prefill_size(const goss_gpu_state *s, const goss_tile_call *c, int kind, uint32_t each)
{
    return size_for(s, kind == GOSS_CHOICE_EXPERTS ? expert_sizes : dense_sizes, each, c->planes);
}

void goss_prefill_qkv(goss_gpu_state *s, const goss_layer_calls *l, const goss_step *step)
{
    const goss_hparams *hp = &s->base.model->hp;
    for (int i = 0; i < l->w->n_qkv; i++) step_dense(s, &l->prefill.qkv[i], step);
    goss_rec_dispatch(&s->rec, &l->prefill.rows, 0, 0, (uint32_t)(hp->n_head + 2 * hp->n_head_kv),
                      (uint32_t)step->n_rows, 1);
}

void goss_prefill_wo(goss_gpu_state *s, const goss_layer_calls *l, const goss_step *step)
{
    step_dense(s, &l->prefill.wo, step);
}

/* The size of tile is chosen by the rows that an expert has on average. */
void goss_prefill_experts(goss_gpu_state *s, const goss_layer_calls *l, uint32_t rows)
{
    const goss_hparams *hp = &s->base.model->hp;
    const uint32_t each = rows * (uint32_t)hp->n_expert_used / (uint32_t)hp->n_expert;
    const int fragments = l->prefill.up[0].operands == GOSS_TILE_HALVES,
              v = fragments ? size_of(s, &l->prefill.up[0], expert_sizes, each) : 0;
    const uint32_t tiles = most_tiles(s, rows, expert_tile(s, fragments, v));
    goss_rec_dispatch(&s->rec, &l->prefill.group, v, 0, 1, 1, 1);
    convert(s, &l->prefill.up[0], rows);
    for (int i = 0; i < l->w->up.n_pieces; i++) product(s, &l->prefill.up[i], v, tiles);
    convert(s, &l->prefill.down[0], rows);
    for (int i = 0; i < l->w->down.n_pieces; i++) product(s, &l->prefill.down[i], v, tiles);
}

void goss_prefill_ffn(goss_gpu_state *s, const goss_layer_calls *l, uint32_t rows)
{
    dense(s, &l->prefill.up[0], rows);
    dense(s, &l->prefill.down[0], rows);
}

void goss_prefill_head(goss_gpu_state *s, uint32_t rows)
{
    const goss_matrix *m = s->weights.tied ? &s->weights.tok : &s->weights.out;
    const goss_tile_call *c = s->calls.head.crowd_product;
    const int v = size_of(s, c, dense_sizes, rows);
    convert(s, c, rows);
    for (int i = 0; i < m->n_pieces; i++) product(s, &c[i], v, goss_ceil_div(rows, dense_sizes[v].rows));
}
