/* decode.c - the calls of steps with up to GOSS_DECODE_ROWS rows (decoding, and what every step needs:
 * embedding, norms, attention, routing, the head and sampling): kernels, parameters, grids and groups. A
 * row of such a step comes out the same in any batch. */
#include "decode.h"
#include "calls.h"
#include "gpu/kernels/blocks.h"
#include <string.h>

#define NONE GOSS_GPU_NONE

/* Whether products with this matrix take packed activations in steps of few rows. */
static int packs(const goss_gpu_state *s, const goss_matrix *m)
{
    return s->facts.packed_few && m->n_in % 32 == 0 && goss_layout_packs(m->layout);
}

/* How many blocks of a row a thread asks for at once: enough loads in flight, few enough registers. */
static uint32_t at_once(const goss_gpu_state *s, const goss_matrix *m, uint32_t nr, uint32_t rows)
{
    if (rows > 1) return 1;
    const uint32_t rounds = goss_ceil_div(m->n_in / 32, s->facts.lanes),
                   most = s->facts.loads / (nr * (m->layout == GOSS_LAYOUT_Q8 ? 2 : 1));
    return most < 2 ? 1 : goss_ceil_div(rounds, goss_ceil_div(rounds, most));
}

/* How many output rows a thread shares in: as many as its registers hold, or fewer where else there were not
 * enough workgroups. */
static uint32_t matvec_rows(const goss_gpu_state *s, const goss_matrix *m, int packed, int batch)
{
    const int last = batch == GOSS_BATCHES - 1;
    if (goss_gpu_get_limits(s->gpu)->is_cpu) return s->facts.nr[batch];
    if (last && packed) return s->facts.nr[0];
    return m->n_out < 32768 ? 2 : s->facts.nr[batch];
}

/* matvec for 1, 4 and 8 rows at once; buffers[4] is x. */
static int matvec(goss_gpu_state *s, goss_call *c, const char *kind, int packed, const goss_matrix *m,
                  int piece, const goss_block_matvec *params, const int *buffers, goss_error *err)
{
    static const uint32_t batch[GOSS_BATCHES] = { 1, 4, GOSS_GPU_BATCH };
    const int qkv = !strncmp(kind, "QKV", 3);
    for (int i = 0; i < GOSS_BATCHES; i++) {
        goss_buf d = GOSS_BUF(1024);
        const int norm = strstr(kind, "NORM") != NULL;
        const uint32_t wg = norm ? s->facts.wg_norm : s->facts.wg, nr = matvec_rows(s, m, packed && !norm, i);
        goss_buf_printf(&d, "%s%s", packed && !norm ? "PACKED " : "", kind);
        if (norm) goss_buf_printf(&d, "=%u PACKED=normed", (uint32_t)(goss_layout_packed_bytes(m->n_in) / 4));
        goss_layout_defines(&d, m->layout);
        const uint32_t rows = norm ? 1 : batch[i];
        goss_buf_printf(&d, "B=%u NR=%u IT=%u ", rows, nr, at_once(s, m, nr, rows));
        goss_reduce_defines(&s->facts, &d, wg, s->facts.lanes, rows * nr);
        c->grid[i] = goss_ceil_div(m->piece[piece].n, wg / s->facts.lanes * nr);
        c->kernel[i] = goss_kernels_get(&s->kernels, "matvec.wgsl", qkv ? "urrrrrww" : "urrrrrw",
                                        goss_buf_cstr(&d), err);
        goss_buf_free(&d);
        if (c->kernel[i] < 0) return c->kernel[i];
    }
    c->params = goss_params_share(&s->weights, params, sizeof *params);
    c->times = 1;
    c->ops = 2 * (uint64_t)m->piece[piece].n * m->n_in;
    c->bytes = m->piece[piece].n * (goss_layout_q_bytes(m->layout, m->n_in) + goss_layout_s_bytes(m->layout,
                                                                      m->n_in));
    return goss_call_group(&s->weights, c, buffers, qkv ? 7 : 6, err);
}

/* packed: to s->buf.packed_x instead of s->buf.xn. */
static int norm_call(goss_gpu_state *s, goss_call *c, int packed, uint32_t gain, int small, int list,
                     goss_error *err)
{
    const goss_hparams *hp = &s->base.model->hp;
    goss_buf d = GOSS_BUF(512);
    goss_buf_printf(&d, "%sWG=%u ", packed ? "PACKED=y " : "", s->facts.wg_norm);
    if (s->facts.subgroup) goss_buf_printf(&d, "SG=%d", s->facts.subgroup);
    int r = 0;
    for (int g = 0; g < (list ? s->calls.head.n_groups : 1) && !r; g++) {
        const goss_block_norm p = { .n = (uint32_t)hp->n_embd, .eps = hp->rms_eps, .gain = gain,
                                    .list = (uint32_t)list, .first = (uint32_t)g * GOSS_DECODE_ROWS };
        if (g) goss_params_add(&s->weights, &p, sizeof p);
        else
            r = goss_call_make(&s->weights, c, "norm.wgsl", "urrrw", goss_buf_cstr(&d), &p, sizeof p,
                               (const int[]){ s->buf.step, small, s->buf.x, packed ? s->buf.packed_x
                                              : s->buf.xn }, err);
    }
    goss_buf_free(&d);
    return r;
}

static int qkv_call(goss_gpu_state *s, goss_layer_calls *l, int packed, int i, uint32_t first,
                    goss_error *err)
{
    const goss_hparams *hp = &s->base.model->hp;
    const goss_matrix *m = &l->w->qkv[i];
    const uint32_t nq = (uint32_t)(hp->n_head * hp->head_dim), nkv = (uint32_t)(hp->n_head_kv * hp->head_dim);
    const goss_block_matvec p = { .n_units = m->n_units, .scale_words = m->scale_words, .first = first,
                                  .n = m->n_out, .stride = nq + 2 * nkv, .bias = l->w->bqkv[i], .row0 = 0,
                                  .n_head = (uint32_t)hp->n_head, .n_kv = (uint32_t)hp->n_head_kv,
                                  .head_dim = (uint32_t)hp->head_dim, .rope_dim = (uint32_t)hp->rope_dim,
                                  .adjacent = hp->rope_half ? 0u : 1u, .cls = (uint32_t)l->w->cls,
                                  .gain = l->w->attn_norm, .eps = hp->rms_eps };
    const int few[] = { s->buf.step, m->piece[0].q, m->piece[0].s, l->w->small, packed ? s->buf.packed_x
                        : s->buf.xn, s->buf.qkv, l->w->kv },
              one[] = { s->buf.step, m->piece[0].q, m->piece[0].s, l->w->small, s->buf.x, s->buf.qkv,
                        l->w->kv };
    goss_buf kind = GOSS_BUF(64);
    goss_buf_printf(&kind, "QKV PAIRS %s", goss_kv_defines(&s->facts));
    int r = matvec(s, &l->decode.qkv[i], goss_buf_cstr(&kind), packed, m, 0, &p, few, err);
    goss_buf_str(&kind, " NORM");
    if (!r && l->norm_inside)
        r = matvec(s, &l->decode.qkv_one[i], goss_buf_cstr(&kind), 1, m, 0, &p, one, err);
    goss_buf_free(&kind);
    return r;
}

static void attend_defines(const goss_gpu_state *s, goss_buf *d, uint32_t heads, uint32_t hd, int final)
{
    const goss_gpu_limits *lim = goss_gpu_get_limits(s->gpu);
    goss_buf_str(d, goss_kv_defines(&s->facts));
    goss_attend_defines(d, lim, lim->is_cpu, s->facts.subgroup, heads, hd);
    if (final) goss_buf_str(d, " FINAL PACKED=y");
}

/* Rows that see many pages, where attention has no window. */
static int attend_long(goss_gpu_state *s, goss_layer_calls *l, const goss_block_attend *p, uint32_t heads,
                       goss_error *err)
{
    goss_buf d = GOSS_BUF(256);
    goss_buf_str(&d, goss_kv_defines(&s->facts));
    goss_attend_group_defines(&d, s->facts.subgroup, heads, p->head_dim, s->facts.long_pages);
    const int r = goss_call_make(
        &s->weights, &l->decode.attend_long, "attend_group.wgsl", "urrrww", goss_buf_cstr(&d), p, sizeof *p,
        (const int[]){ s->buf.step, s->buf.qkv, l->w->kv, s->buf.part, s->buf.stat }, err);
    goss_buf_free(&d);
    return r;
}

static int merge_call(goss_gpu_state *s, goss_call *c, const goss_layer_calls *l, int packed, goss_error *err)
{
    const goss_hparams *hp = &s->base.model->hp;
    const uint32_t window = l->w->cls == GOSS_KV_WINDOW ? (uint32_t)hp->window : 0,
        hd = (uint32_t)hp->head_dim;
    const goss_block_merge p = { .n_head = (uint32_t)hp->n_head, .head_dim = hd, .window = window,
                                 .sinks = l->w->sinks };
    goss_buf d = GOSS_BUF(128);
    goss_buf_printf(&d, "%s WG=64 HEADS_CHUNKS=%u", packed ? "PACKED=y" : "",
                    goss_ceil_div(256, hd) * GOSS_GPU_CHUNKS);
    const int r = goss_call_make(&s->weights, c, "merge.wgsl", "urrrrw", goss_buf_cstr(&d), &p, sizeof p,
        (const int[]){ s->buf.step, l->w->small, s->buf.part, s->buf.stat, packed ? s->buf.packed_x
                       : s->buf.att }, err);
    c->grid[0] = goss_ceil_div((uint32_t)hp->n_head * hd / 4, 64);
    goss_buf_free(&d);
    return r;
}

/* Workgroup memory of attend_tile. */
static uint32_t tile_bytes(uint32_t hd) { return 160 * hd * 4 + 32 * 17 * 4 + 2 * 32 * 4; }

/* Attention of many rows, where the device can: by fragments, or by tiles in f32. */
static int attend_many(goss_gpu_state *s, goss_layer_calls *l, const goss_block_attend *p, uint32_t heads,
                       goss_error *err)
{
    const goss_gpu_limits *lim = goss_gpu_get_limits(s->gpu);
    const uint32_t hd = p->head_dim, m = lim->fragment.m,
                   side = lim->fragment.n > lim->fragment.k ? lim->fragment.n : lim->fragment.k;
    const int fragments = s->facts.fragments && s->facts.kv_half && hd % side == 0 &&
                          GOSS_ATTEND_SUBGROUPS * m % heads == 0 && (uint32_t)s->facts.subgroup % m == 0 &&
                          goss_attend_fragment_bytes(lim, hd) <= lim->max_workgroup_bytes;
    l->attend_tiled =
        s->config.max_rows > GOSS_DECODE_ROWS &&
        (fragments || (32 % heads == 0 && hd >= 32 && tile_bytes(hd) <= lim->max_workgroup_bytes &&
                       (!lim->is_cpu || (s->tests && s->tests->packed_too))));
    if (!l->attend_tiled) return 0;
    goss_buf d = GOSS_BUF(512);
    goss_buf_str(&d, goss_kv_defines(&s->facts));
    if (fragments) goss_attend_fragment_defines(&d, lim, s->facts.subgroup, heads, hd);
    else goss_buf_printf(&d, " HEADS=%u HD=%u R=%u AP=%u", heads, hd, 32 / heads, goss_ceil_div(hd, 64));
    const int r = goss_call_make(
        &s->weights, &l->prefill.attend, fragments ? "attend_fragments.wgsl" : "attend_tile.wgsl", "urrrrw",
        goss_buf_cstr(&d), p, sizeof *p,
        (const int[]){ s->buf.step, s->buf.qkv, l->w->kv, l->w->small, s->buf.att }, err);
    l->prefill.attend.grid[0] = (fragments ? GOSS_ATTEND_SUBGROUPS * m : 32) / heads;
    goss_buf_free(&d);
    return r;
}

static int attention_calls(goss_gpu_state *s, goss_layer_calls *l, goss_error *err)
{
    const goss_hparams *hp = &s->base.model->hp;
    const uint32_t heads = (uint32_t)(hp->n_head / hp->n_head_kv), hd = (uint32_t)hp->head_dim,
                   window = l->w->cls == GOSS_KV_WINDOW ? (uint32_t)hp->window : 0;
    const int packed = packs(s, &l->w->wo);
    goss_buf d = GOSS_BUF(512);
    attend_defines(s, &d, heads, hd, 0);
    l->attend_parts = !window && s->facts.long_pages;
    if (l->attend_parts) goss_buf_printf(&d, " BELOW=%d", s->facts.long_pages);
    const goss_block_attend pa = { .n_head = (uint32_t)hp->n_head, .n_kv = (uint32_t)hp->n_head_kv,
                                   .head_dim = hd, .window = window, .cls = (uint32_t)l->w->cls,
                                   .stride = (uint32_t)(hp->n_head + 2 * hp->n_head_kv) * hd,
                                   .scale = hp->attn_scale, .sinks = l->w->sinks,
                                   .half = goss_rope_half(hp) };
    int r = goss_call_make(&s->weights, &l->decode.attend, "attend.wgsl", "urrrww", goss_buf_cstr(&d), &pa,
                           sizeof pa,
                           (const int[]){ s->buf.step, s->buf.qkv, l->w->kv, s->buf.part, s->buf.stat }, err);
    if (!r && l->attend_parts) r = attend_long(s, l, &pa, heads, err);
    l->attend_ends = packed && window && window <= 4 * GOSS_KV_PAGE && heads * hd % 32 == 0;
    if (!r && l->attend_ends) {
        goss_buf_clear(&d);
        attend_defines(s, &d, heads, hd, 1);
        r = goss_call_make(
            &s->weights, &l->decode.attend_end, "attend.wgsl", "urrrwr", goss_buf_cstr(&d), &pa, sizeof pa,
            (const int[]){ s->buf.step, s->buf.qkv, l->w->kv, s->buf.packed_x, l->w->small }, err);
    }
    goss_buf_free(&d);
    if (!r) r = attend_many(s, l, &pa, heads, err);
    if (!r) r = merge_call(s, &l->prefill.merge, l, 0, err);
    if (!r) r = merge_call(s, &l->decode.merge, l, packed, err);
    const goss_block_matvec po = { .n_units = l->w->wo.n_units, .scale_words = l->w->wo.scale_words,
                                   .first = 0, .n = l->w->wo.n_out, .stride = (uint32_t)hp->n_embd,
                                   .bias = l->w->bo, .row0 = 0 };
    if (!r)
        r = matvec(s, &l->decode.wo, "ADD", packed, &l->w->wo, 0, &po,
                   (const int[]){ s->buf.step, l->w->wo.piece[0].q, l->w->wo.piece[0].s, l->w->small,
                                  packed ? s->buf.packed_x : s->buf.att, s->buf.x },
                   err);
    return r;
}

static goss_block_route route_block(const goss_gpu_state *s, const goss_layer_calls *l, int layer)
{
    const goss_hparams *hp = &s->base.model->hp;
    return (goss_block_route){ .n = (uint32_t)hp->n_embd,
                               .eps = hp->rms_eps,
                               .gain = l->w->ffn_norm,
                               .router = l->w->router,
                               .bias = l->w->router_b,
                               .n_expert = (uint32_t)hp->n_expert,
                               .top_k = (uint32_t)hp->n_expert_used,
                               .layer = (uint32_t)layer };
}

/* few: of steps of few rows, which may be recorded. */
static int route_call(goss_gpu_state *s, goss_call *c, const goss_layer_calls *l, int layer, int packed,
                      int few, goss_error *err)
{
    const goss_hparams *hp = &s->base.model->hp;
    const goss_gpu_limits *lim = goss_gpu_get_limits(s->gpu);
    const uint32_t n_embd = (uint32_t)hp->n_embd, e = (uint32_t)hp->n_expert;
    const uint32_t threads = lim->is_cpu ? 64 : lim->max_invocations >= 1024 && !s->settings.smaller ? 1024
        : 256,
                   groups = threads / s->facts.lanes,
                   each = goss_ceil_div(e, groups) > 4 ? 4 : goss_ceil_div(e, groups);
    goss_buf d = GOSS_BUF(512);
    goss_buf_printf(&d, "EP=%u IT=%d %s", each, lim->is_cpu ? 1 : 5, packed ? "PACKED=y " : "");
    if (n_embd * 4 + threads * 16 <= lim->max_workgroup_bytes) goss_buf_printf(&d, "STAGED=%u ", n_embd / 4);
    goss_reduce_defines(&s->facts, &d, threads, s->facts.lanes, each);
    const goss_block_route p = route_block(s, l, layer);
    const int paged = s->weights.slots.on, seen = few && s->seen > 0;
    if (seen) goss_buf_printf(&d, " SEEN=%d", paged ? 8 : 7);
    const int r = goss_call_make(
        &s->weights, c, "route.wgsl",
        paged + seen == 2 ? "urrrwwwww"
        : paged + seen    ? "urrrwwww"
                          : "urrrwww",
        goss_buf_cstr(&d), &p, sizeof p,
        (const int[]){ l->w->small, s->buf.x, s->weights.slots.device, packed ? s->buf.packed_x : s->buf.xn,
                       s->buf.rlogits, s->buf.route, paged ? s->weights.slots.mark : s->seen, s->seen },
        err);
    goss_buf_free(&d);
    return r;
}

/* The router spread over workgroups, and the choice behind it; where a row's vectors fit a thread's
 * registers. Where experts_up chooses for a row alone (up_choose), each layer's logits have a place of their
 * own, so that the step's end can tell a recording what all of them chose (seen_gpu.c). */
enum { ROUTER_THREADS = 256, ROUTER_VECTORS = 8 };
static int router_calls(goss_gpu_state *s, goss_layer_calls *l, int layer, goss_error *err)
{
    const goss_hparams *hp = &s->base.model->hp;
    const uint32_t times = goss_ceil_div((uint32_t)hp->n_embd / 4, ROUTER_THREADS);
    l->spread = l->packed && !s->weights.slots.on && times <= ROUTER_VECTORS &&
                goss_gpu_get_limits(s->gpu)->max_invocations >= ROUTER_THREADS;
    if (!l->spread) return 0;
    goss_buf d = GOSS_BUF(512);
    goss_buf_printf(&d, "IT=%u PACKED=y ", times);
    goss_reduce_defines(&s->facts, &d, ROUTER_THREADS, ROUTER_THREADS, 1);
    goss_block_route p = route_block(s, l, layer), alone = p;
    const int buffers[] = { l->w->small, s->buf.x, s->buf.packed_x, s->buf.rlogits };
    alone.logits = (uint32_t)(layer * hp->n_expert);
    alone.norm = (uint32_t)(hp->n_layer * hp->n_expert + layer);
    int r = goss_call_make(&s->weights, &l->decode.router, "router.wgsl", "urrww", goss_buf_cstr(&d), &p,
                           sizeof p, buffers, err);
    goss_buf_str(&d, " ALONE=y");
    if (!r)
        r = goss_call_make(&s->weights, &l->decode.router_alone, "router.wgsl", "urrww", goss_buf_cstr(&d),
                           &alone, sizeof alone, buffers, err);
    goss_buf_free(&d);
    if (!r)
        r = goss_call_make(&s->weights, &l->decode.choose, "choose.wgsl", s->seen > 0 ? "urrww" : "urrw",
                           s->seen > 0 ? "WG=64 SEEN=y" : "WG=64", &p, sizeof p,
                           (const int[]){ s->buf.rlogits, s->weights.slots.device, s->buf.route, s->seen },
                           err);
    l->decode.router.grid[0] = l->decode.router_alone.grid[0] = (uint32_t)hp->n_expert;
    return r;
}

/* Experts on packed activations. One row: down makes the weighted sum itself; else a pair's result goes to
 * s->buf.ysplit. words: MANY, CHOOSE or nothing. */
static int up_kernel(goss_gpu_state *s, const goss_matrix *m, const goss_block_experts *p, const char *words,
                     const char *bindings, goss_error *err)
{
    const int many = !strcmp(words, "MANY");
    const uint32_t b = many ? 2 : 1, groups = s->facts.wg_up / s->facts.lanes, nr = 64 / groups;
    goss_buf d = GOSS_BUF(512);
    goss_buf_printf(&d, "PACKED=y ROWS_FIRST %s B=%u NR=%u IT=%u OUT=%u ", words, b, nr,
                    at_once(s, m, nr, b), 32 * b);
    if (many) goss_buf_printf(&d, "SHARERS=%u ", (uint32_t)s->facts.few_rows * p->top_k);
    goss_layout_defines(&d, m->layout);
    goss_reduce_defines(&s->facts, &d, s->facts.wg_up, s->facts.lanes, nr * b);
    const int r = goss_kernels_get(&s->kernels, "experts_up.wgsl", bindings, goss_buf_cstr(&d), err);
    goss_buf_free(&d);
    return r;
}

static int packed_up(goss_gpu_state *s, goss_layer_calls *l, int i, const goss_block_experts *p,
                     goss_error *err)
{
    goss_call *c = &l->decode.up[i], *one = &l->decode.up_choose[i];
    const goss_matrix *m = &l->w->up;
    c->kernel[0] = up_kernel(s, m, p, "", "urrrrrwr", err);
    c->kernel[1] = c->kernel[0] < 0 ? c->kernel[0] : up_kernel(s, m, p, "MANY", "urrrrrwr", err);
    if (c->kernel[1] < 0) return c->kernel[1];
    c->params = goss_params_share(&s->weights, p, sizeof *p);
    c->grid[0] = 2 * p->n_out / 64;
    const int buffers[] = { s->buf.route,    m->piece[i].q,   m->piece[i].s,           l->w->small,
                            s->buf.packed_x, s->buf.packed_h, s->weights.slots.device, s->buf.route };
    int r = goss_call_group(&s->weights, c, buffers, 7, err);
    if (r || !l->spread) return r;
    *one = *c;
    one->kernel[0] = up_kernel(s, m, p, "CHOOSE", "urrrrrwrw", err);
    int late[8];
    memcpy(late, buffers, sizeof late);
    late[0] = s->buf.rlogits;
    return one->kernel[0] < 0 ? one->kernel[0] : goss_call_group(&s->weights, one, late, 8, err);
}

static int packed_down(goss_gpu_state *s, goss_layer_calls *l, int i, int many, const goss_block_experts *p,
                       goss_error *err)
{
    goss_call *c = many ? &l->decode.down_many[i] : &l->decode.down[i];
    const goss_matrix *m = &l->w->down;
    const uint32_t b = many ? 2 : 1, wg = many ? s->facts.wg : p->top_k * s->facts.lanes, nr = many
        ? s->facts.nr[0] : 2;
    goss_buf d = GOSS_BUF(512);
    goss_buf_printf(&d, "PACKED B=%u NR=%u IT=%u ", b, nr, at_once(s, m, nr, b));
    if (many) goss_buf_printf(&d, "MANY SHARERS=%u ", (uint32_t)s->facts.few_rows * p->top_k);
    goss_layout_defines(&d, m->layout);
    goss_reduce_defines(&s->facts, &d, wg, s->facts.lanes, nr * b);
    const int r = goss_call_make(&s->weights, c, "experts_down.wgsl", "urrrrrwr", goss_buf_cstr(&d), p,
                                 sizeof *p,
                                 (const int[]){ s->buf.route, m->piece[i].q, m->piece[i].s, l->w->small,
                                                s->buf.packed_h,
                                                many ? s->buf.ysplit : s->buf.x, s->weights.slots.device },
                                 err);
    goss_buf_free(&d);
    c->grid[0] = goss_ceil_div(p->n_out, many ? wg / s->facts.lanes * nr : nr);
    return r;
}

static int float_up(goss_gpu_state *s, goss_layer_calls *l, int i, const goss_block_experts *p,
                    goss_error *err)
{
    goss_buf d = GOSS_BUF(512);
    goss_layout_defines(&d, l->w->up.layout);
    goss_buf_printf(&d, "NR=%u ", s->facts.nr[0]);
    goss_reduce_defines(&s->facts, &d, s->facts.wg, s->facts.lanes, s->facts.nr[0]);
    const int r = goss_call_make(&s->weights, &l->decode.up[i], "experts_up_float.wgsl", "urrrrrwr",
                                 goss_buf_cstr(&d), p, sizeof *p,
                                 (const int[]){ s->buf.route, l->w->up.piece[i].q, l->w->up.piece[i].s,
                                                l->w->small, s->buf.xn, s->buf.h, s->weights.slots.device },
                                 err);
    goss_buf_free(&d);
    l->decode.up[i].grid[0] = goss_ceil_div(2 * p->n_out, s->facts.wg / s->facts.lanes * s->facts.nr[0]);
    return r;
}

static int float_down(goss_gpu_state *s, goss_layer_calls *l, int i, const goss_block_experts *p,
                      goss_error *err)
{
    const int split = l->w->down.n_pieces > 1 || s->weights.slots.on;
    goss_buf d = GOSS_BUF(512);
    goss_layout_defines(&d, l->w->down.layout);
    const uint32_t nr = goss_gpu_get_limits(s->gpu)->is_cpu && !s->settings.smaller ? 8 : s->facts.nr[0];
    goss_buf_printf(&d, "NR=%u %s", nr, split ? "SPLIT " : "");
    goss_reduce_defines(&s->facts, &d, p->top_k * s->facts.lanes, s->facts.lanes, nr);
    const int r = goss_call_make(&s->weights, &l->decode.down[i], "experts_down_float.wgsl", "urrrrrwr",
                                 goss_buf_cstr(&d), p, sizeof *p,
                                 (const int[]){ s->buf.route, l->w->down.piece[i].q, l->w->down.piece[i].s,
                                                l->w->small, s->buf.h,
                                                split ? s->buf.ysplit : s->buf.x, s->weights.slots.device },
                                 err);
    goss_buf_free(&d);
    l->decode.down[i].grid[0] = goss_ceil_div(p->n_out, nr);
    return r;
}

static int expert_calls(goss_gpu_state *s, goss_layer_calls *l, int layer, goss_error *err)
{
    const goss_hparams *hp = &s->base.model->hp;
    const uint32_t n_embd = (uint32_t)hp->n_embd, n_ff = (uint32_t)hp->n_ff, k = (uint32_t)hp->n_expert_used,
                   e = (uint32_t)hp->n_expert, inverse = (uint32_t)hp->n_layer * e + (uint32_t)layer * e;
    l->packed = packs(s, &l->w->up) && packs(s, &l->w->down) && n_ff % 32 == 0;
    int r = route_call(s, &l->prefill.route, l, layer, 0, 0, err);
    if (!r) r = route_call(s, &l->decode.route, l, layer, l->packed, 1, err);
    if (!r) r = router_calls(s, l, layer, err);
    for (int i = 0; i < l->w->up.n_pieces && !r; i++) {
        const goss_block_experts p = { .n_units = l->w->up.n_units,
                                       .scale_words = l->w->up.scale_words,
                                       .n_out = n_ff,
                                       .top_k = k,
                                       .slot0 = l->w->up.piece[i].first / (2 * n_ff),
                                       .n_slots = l->w->up.piece[i].n / (2 * n_ff),
                                       .bias = l->w->up_b,
                                       .inverse = inverse,
                                       .alpha = hp->swiglu_alpha,
                                       .limit = hp->swiglu_limit,
                                       .forward = (uint32_t)layer * e,
                                       .n_expert = e };
        r = l->packed ? packed_up(s, l, i, &p, err) : float_up(s, l, i, &p, err);
        l->decode.up[i].ops = 4 * (uint64_t)n_ff * n_embd;
        l->decode.up[i].bytes =
            2 * n_ff *
            (goss_layout_q_bytes(l->w->up.layout, n_embd) + goss_layout_s_bytes(l->w->up.layout, n_embd));
    }
    for (int i = 0; i < l->w->down.n_pieces && !r; i++) {
        const goss_block_experts p = { .n_units = l->w->down.n_units, .scale_words = l->w->down.scale_words,
                                       .n_out = n_embd, .top_k = k,
                                       .slot0 = l->w->down.piece[i].first / n_embd,
                                       .n_slots = l->w->down.piece[i].n / n_embd, .bias = l->w->down_b,
                                       .inverse = inverse };
        if (!l->packed) r = float_down(s, l, i, &p, err);
        else {
            if (l->w->down.n_pieces == 1) r = packed_down(s, l, i, 0, &p, err);
            if (!r) r = packed_down(s, l, i, 1, &p, err);
        }
        l->decode.down[i].ops = 2 * (uint64_t)k * n_ff * n_embd;
        l->decode.down[i].bytes = k * (uint64_t)n_embd *
                             (goss_layout_q_bytes(l->w->down.layout,
                                                  n_ff) + goss_layout_s_bytes(l->w->down.layout, n_ff));
        l->decode.down_many[i].bytes = l->decode.down[i].bytes / k;
        l->decode.down_many[i].ops = l->decode.down[i].ops / k;
    }
    const goss_block_sum ps = { .n = n_embd, .top_k = k };
    if (!r)
        r = goss_call_make(&s->weights, &l->decode.sum, "experts_sum.wgsl", "urrw", "", &ps, sizeof ps,
                           (const int[]){ s->buf.route, s->buf.ysplit, s->buf.x }, err);
    return r;
}

static int ffn_calls(goss_gpu_state *s, goss_layer_calls *l, goss_error *err)
{
    const uint32_t n_embd = (uint32_t)s->base.model->hp.n_embd, n_ff = (uint32_t)s->base.model->hp.n_ff;
    const int packed = packs(s, &l->w->up);
    int r = norm_call(s, &l->prefill.ffn_norm, 0, l->w->ffn_norm, l->w->small, 0, err);
    if (!r) r = norm_call(s, &l->decode.ffn_norm, packed, l->w->ffn_norm, l->w->small, 0, err);
    const goss_block_matvec pu = { .n_units = l->w->up.n_units, .scale_words = l->w->up.scale_words,
                                   .first = 0, .n = l->w->up.n_out, .stride = n_ff, .bias = NONE, .row0 = 0 };
    if (!r)
        r = matvec(s, &l->decode.up[0], "PAIRS", packed, &l->w->up, 0, &pu,
                   (const int[]){ s->buf.step, l->w->up.piece[0].q, l->w->up.piece[0].s, l->w->small,
                                  packed ? s->buf.packed_x : s->buf.xn, s->buf.h },
                   err);
    const goss_block_matvec pd = { .n_units = l->w->down.n_units, .scale_words = l->w->down.scale_words,
                                   .first = 0, .n = l->w->down.n_out, .stride = n_embd, .bias = NONE,
                                   .row0 = 0 };
    if (!r)
        r = matvec(s, &l->decode.down[0], "ADD", 0, &l->w->down, 0, &pd,
                   (const int[]){ s->buf.step, l->w->down.piece[0].q, l->w->down.piece[0].s, l->w->small,
                                  s->buf.h, s->buf.x },
                   err);
    return r;
}

int goss_decode_build_layer(goss_gpu_state *s, int layer, goss_error *err)
{
    const goss_hparams *hp = &s->base.model->hp;
    goss_layer_calls *l = &s->calls.layers[layer];
    const uint32_t nq = (uint32_t)(hp->n_head * hp->head_dim), nkv = (uint32_t)(hp->n_head_kv * hp->head_dim);
    const uint32_t first[3] = { 0, nq, nq + nkv };
    int packed = 1;
    for (int i = 0; i < l->w->n_qkv; i++) packed &= packs(s, &l->w->qkv[i]);
    l->norm_inside = packed && goss_layout_packed_bytes((uint64_t)hp->n_embd) + 4096 <=
                                   goss_gpu_get_limits(s->gpu)->max_workgroup_bytes;
    int r = norm_call(s, &l->prefill.norm, 0, l->w->attn_norm, l->w->small, 0, err);
    if (!r) r = norm_call(s, &l->decode.norm, packed, l->w->attn_norm, l->w->small, 0, err);
    for (int i = 0; i < l->w->n_qkv && !r; i++) r = qkv_call(s, l, packed, i, first[i], err);
    if (!r) r = attention_calls(s, l, err);
    return r ? r : hp->n_expert ? expert_calls(s, l, layer, err) : ffn_calls(s, l, err);
}

int goss_decode_build_embed(goss_gpu_state *s, goss_error *err)
{
    int r = 0;
    for (int i = 0; i < s->weights.tok.n_pieces && !r; i++) {
        goss_buf d = GOSS_BUF(256);
        goss_layout_defines(&d, s->weights.tok.layout);
        const goss_block_embed p = { .n_units = s->weights.tok.n_units,
                                     .scale_words = s->weights.tok.scale_words,
                                     .first = s->weights.tok.piece[i].first, .n = s->weights.tok.piece[i].n,
                                     .history_stride = (uint32_t)s->config.max_kv + 1 };
        r = goss_call_make(&s->weights, &s->calls.head.embed[i], "embed.wgsl", "urrrww", goss_buf_cstr(&d),
                           &p, sizeof p,
                  (const int[]){ s->buf.step, s->weights.tok.piece[i].q, s->weights.tok.piece[i].s, s->buf.x,
                                 s->buf.history }, err);
        s->calls.head.embed[i].grid[0] = goss_ceil_div(s->weights.tok.n_units, 64);
        goss_buf_free(&d);
    }
    return r;
}

/* Calls with a parameter slot for each group of 16 rows, one behind the other. */
static int sample_call(goss_gpu_state *s, goss_call *c, const char *file, const char *bindings,
                       const int *buffers, goss_error *err)
{
    const uint32_t vocab = (uint32_t)s->base.model->hp.n_vocab;
    int r = 0;
    for (uint32_t g = 0; g < (uint32_t)s->calls.head.n_groups && !r; g++) {
        const goss_block_sample p = { .n_vocab = vocab,
                                      .history_stride = (uint32_t)s->config.max_kv + 1,
                                      .first = g * GOSS_DECODE_ROWS,
                                      .chunks = goss_ceil_div(vocab, GOSS_CHUNK_TOKENS) };
        if (g) goss_params_add(&s->weights, &p, sizeof p);
        else r = goss_call_make(&s->weights, c, file, bindings, "", &p, sizeof p, buffers, err);
    }
    return r;
}

int goss_decode_build_head(goss_gpu_state *s, goss_error *err)
{
    const goss_matrix *m = s->weights.tied ? &s->weights.tok : &s->weights.out;
    const uint32_t vocab = (uint32_t)s->base.model->hp.n_vocab, chunks = goss_ceil_div(vocab,
                                                                      GOSS_CHUNK_TOKENS),
                   groups = (uint32_t)s->calls.head.n_groups;
    const int packed = packs(s, m);
    int r = norm_call(s, &s->calls.head.norm, packed, 0, s->weights.out_small, 1, err);
    if (!r && s->crowds) r = norm_call(s, &s->calls.head.crowd_norm, 0, 0, s->weights.out_small, 1, err);
    for (int i = 0; i < m->n_pieces && !r; i++)
        for (uint32_t g = 0; g < groups && !r; g++) {
            const goss_block_matvec p = { .n_units = m->n_units, .scale_words = m->scale_words,
                                          .first = m->piece[i].first, .n = m->piece[i].n, .stride = vocab,
                                          .bias = NONE, .row0 = GOSS_STEP_GROUPS + g };
            if (g) goss_params_add(&s->weights, &p, sizeof p);
            else
                r = matvec(
                    s, &s->calls.head.product[i], "STORE", packed, m, i, &p,
                    (const int[]){ s->buf.step, m->piece[i].q, m->piece[i].s, s->weights.out_small,
                                   packed ? s->buf.packed_x : s->buf.xn, s->buf.logits },
                    err);
        }
    const int scan[] = { s->buf.step, s->buf.logits, s->buf.history, s->buf.mask, s->buf.xs, s->buf.chunk },
              draw[] = { s->buf.step, s->buf.xs, s->buf.exp2, s->buf.chunk },
              pick[] = { s->buf.step,   s->buf.xs,      s->buf.exp2, s->buf.chunk,
                         s->buf.logits, s->buf.history, s->buf.pick };
    if (!r) r = sample_call(s, &s->calls.head.scan, "sample_scan.wgsl", "urrrrww", scan, err);
    if (!r) r = sample_call(s, &s->calls.head.limit, "sample_limit.wgsl", "urrrw", draw, err);
    if (!r) r = sample_call(s, &s->calls.head.weigh, "sample_weigh.wgsl", "urrrw", draw, err);
    if (!r) r = sample_call(s, &s->calls.head.pick, "sample_pick.wgsl", "urrrwrww", pick, err);
    s->calls.head.scan.grid[0] = s->calls.head.weigh.grid[0] = chunks;
    return r;
}
