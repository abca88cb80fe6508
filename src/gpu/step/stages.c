/* stages.c - the dispatches of every stage of a step, with their grids. */
#include "stages.h"
#include "panels.h"
#include "seen_gpu.h"
#include "prefill.h"
#include "base/mem.h"

static goss_gpu_state *of(goss_backend *b) { return goss_gpu_state_of(b); }

/* Which variant serves n rows, and how often. */
static int batch_of(int n, uint32_t *times)
{
    *times = n <= GOSS_GPU_BATCH ? 1 : (uint32_t)(n + GOSS_GPU_BATCH - 1) / GOSS_GPU_BATCH;
    return n == 1 ? 0 : n <= 4 ? 1 : 2;
}

static void matvec(goss_gpu_state *s, const goss_call *c, int n_rows, uint32_t slot)
{
    uint32_t z;
    const int b = batch_of(n_rows, &z);
    s->rec.rows = (uint32_t)n_rows;
    goss_rec_dispatch(&s->rec, c, b, slot, c->grid[b], 1, z);
}

/* ---- taps: what a stage made, as the reference names it ------------------------------------------------ */
static int show(goss_gpu_state *s, goss_stage stage, int layer, int buffer, int n_rows, int width)
{
    if (!s->settings.tap) return 0;
    const uint64_t n = (uint64_t)n_rows * (uint64_t)width * 4;
    if (n > s->tapped.bytes) {
        if (s->tapped.back) goss_gpu_buffer_free(s->gpu, s->tapped.back);
        s->tapped.floats = goss_mem_grow(s->tapped.floats, (size_t)s->tapped.bytes, (size_t)n);
        s->tapped.back = goss_gpu_buffer(s->gpu, n, GOSS_GPU_MAP_READ | GOSS_GPU_COPY_DST, "tap");
        if (!s->tapped.floats || s->tapped.back < 0) return GOSS_ENOMEM;
        s->tapped.bytes = n;
    }
    goss_rec_copy(&s->rec, buffer, 0, s->tapped.back, 0, n);
    int r = goss_rec_flush(&s->rec);
    if (!r) r = goss_gpu_read(s->gpu, s->tapped.back, 0, n);
    if (!r)
        while ((r = goss_gpu_read_poll(s->gpu, s->tapped.back, s->tapped.floats, n)) == GOSS_EAGAIN)
            goss_gpu_poll(s->gpu, 1000);
    if (!r) s->settings.tap(s->settings.tap_ctx, stage, layer, s->tapped.floats, n_rows, width);
    return r;
}

/* ---- stages -------------------------------------------------------------------------------------------- */
int goss_stages_embed(goss_backend *b, goss_step *step)
{
    goss_gpu_state *s = of(b);
    for (int i = 0; i < s->weights.tok.n_pieces; i++) {
        const goss_call *c = &s->calls.head.embed[i];
        goss_rec_dispatch(&s->rec, c, 0, 0, c->grid[0], (uint32_t)step->n_rows, 1);
    }
    return show(s, GOSS_STAGE_EMBED, -1, s->buf.x, step->n_rows, b->model->hp.n_embd);
}

int goss_stages_attn_in(goss_backend *b, goss_step *step, int layer)
{
    goss_gpu_state *s = of(b);
    const goss_layer_calls *l = &s->calls.layers[layer];
    const goss_hparams *hp = &b->model->hp;
    const int many = goss_gpu_many(s, step), one = step->n_rows == 1 && !many && l->norm_inside;
    const int r = layer ? goss_rec_cut(&s->rec, step->n_rows) : 0;
    if (r) return r;
    if (!one) goss_rec_dispatch(&s->rec, many ? &l->prefill.norm : &l->decode.norm, 0, 0,
                                (uint32_t)step->n_rows, 1, 1);
    if (one)
        for (int i = 0; i < l->w->n_qkv; i++) matvec(s, &l->decode.qkv_one[i], 1, 0);
    else if (many) goss_prefill_qkv(s, l, step);
    else for (int i = 0; i < l->w->n_qkv; i++) matvec(s, &l->decode.qkv[i], step->n_rows, 0);
    return show(s, GOSS_STAGE_ATTN_IN, layer, s->buf.qkv, step->n_rows,
                (hp->n_head + 2 * hp->n_head_kv) * hp->head_dim);
}

/* The most chunks that any row's keys make in this layer. */
static uint32_t chunks_of(const goss_gpu_state *s, const goss_step *step, int cls)
{
    const int window = cls == GOSS_KV_WINDOW ? s->base.model->hp.window : 0,
              most = goss_gpu_chunks(s, step);
    int chunks = 1;
    for (int i = 0; i < step->n_rows; i++) {
        const int pos = step->rows[i].pos, first = window && pos + 1 > window ? pos + 1 - window : 0;
        const int pages = pos / GOSS_KV_PAGE - first / GOSS_KV_PAGE + 1, per = (pages + most - 1) / most,
                  c = (pages + per - 1) / per;
        if (c > chunks) chunks = c;
    }
    return (uint32_t)chunks;
}

/* Each kernel leaves the other one's rows alone, so that what a row gets does not depend on its
 * neighbours. */
static void attend_rows(goss_gpu_state *s, const goss_layer_calls *l, const goss_step *step)
{
    const uint32_t n_kv = (uint32_t)s->base.model->hp.n_head_kv, rows = (uint32_t)step->n_rows,
                   chunks = chunks_of(s, step, l->w->cls);
    int n_long = 0;
    for (int i = 0; l->attend_parts && i < step->n_rows; i++)
        n_long += step->rows[i].pos / GOSS_KV_PAGE + 1 >= s->facts.long_pages;
    if (n_long < step->n_rows) goss_rec_dispatch(&s->rec, &l->decode.attend, 0, 0, n_kv, chunks, rows);
    if (n_long) goss_rec_dispatch(&s->rec, &l->decode.attend_long, 0, 0, n_kv, chunks, rows);
}

int goss_stages_attend(goss_backend *b, goss_step *step, int layer)
{
    goss_gpu_state *s = of(b);
    const goss_layer_calls *l = &s->calls.layers[layer];
    const goss_hparams *hp = &b->model->hp;
    const uint32_t rows = (uint32_t)step->n_rows, n_kv = (uint32_t)hp->n_head_kv;
    const int many = goss_gpu_many(s, step), ends = l->attend_ends && !many;
    goss_rec_cut_within(&s->rec, step->n_rows);
    if (many && l->attend_tiled && !goss_gpu_crowd(s, step))
        goss_rec_dispatch(&s->rec, &l->prefill.attend, 0, 0, n_kv,
                          goss_ceil_div(rows, l->prefill.attend.grid[0]), 1);
    else if (!ends || s->settings.tap) {                        /* whoever looks on wants floats as well */
        attend_rows(s, l, step);
        if (many || s->settings.tap) goss_rec_dispatch(&s->rec, &l->prefill.merge, 0, 0,
                                                       l->prefill.merge.grid[0], rows, 1);
        if (!many && !ends) goss_rec_dispatch(&s->rec, &l->decode.merge, 0, 0, l->decode.merge.grid[0], rows,
                                              1);
    }
    if (ends) goss_rec_dispatch(&s->rec, &l->decode.attend_end, 0, 0, n_kv, 1, rows);
    goss_panels_attend(s, l, layer);
    goss_seen_attend(s, l, layer, step);
    return show(s, GOSS_STAGE_ATTEND, layer, s->buf.att, step->n_rows, hp->n_head * hp->head_dim);
}

int goss_stages_attn_out(goss_backend *b, goss_step *step, int layer)
{
    goss_gpu_state *s = of(b);
    goss_rec_cut_within(&s->rec, step->n_rows);
    if (goss_gpu_many(s, step)) goss_prefill_wo(s, &s->calls.layers[layer], step);
    else matvec(s, &s->calls.layers[layer].decode.wo, step->n_rows, 0);
    return show(s, GOSS_STAGE_ATTN_OUT, layer, s->buf.x, step->n_rows, b->model->hp.n_embd);
}

/* Do the experts' products choose? Then nobody sees the choice of one row before them. */
static int chooses_late(const goss_gpu_state *s, const goss_layer_calls *l, const goss_step *step)
{
    return l->spread && goss_seen_late(s, step->n_rows, goss_gpu_many(s, step));
}

void goss_stages_router(goss_gpu_state *s, int layer, const goss_step *step)
{
    const goss_layer_calls *l = &s->calls.layers[layer];
    if (l->spread && !goss_gpu_many(s, step)) {
        const int late = chooses_late(s, l, step);
        const goss_call *router = late ? &l->decode.router_alone : &l->decode.router;
        goss_rec_dispatch(&s->rec, router, 0, 0, router->grid[0], (uint32_t)step->n_rows, 1);
        if (!late) goss_rec_dispatch(&s->rec, &l->decode.choose, 0, 0, (uint32_t)step->n_rows, 1, 1);
        return;
    }
    goss_rec_dispatch(&s->rec, goss_gpu_many(s, step) ? &l->prefill.route : &l->decode.route, 0, 0,
                      (uint32_t)step->n_rows, 1, 1);
}

int goss_stages_route(goss_backend *b, goss_step *step, int layer)
{
    goss_gpu_state *s = of(b);
    goss_stages_router(s, layer, step);
    if (!chooses_late(s, &s->calls.layers[layer], step)) goss_panels_layer(s, &s->calls.layers[layer]);
    return show(s, GOSS_STAGE_ROUTE, layer, s->buf.rlogits, step->n_rows, b->model->hp.n_expert);
}

/* Does down leave its results apart, for experts_sum to end? Many rows, several rows packed, several pieces,
 * paging. */
static int leaves_sum(const goss_gpu_state *s, const goss_layer_calls *l, const goss_step *step)
{
    return goss_gpu_many(s, step) || (l->packed && step->n_rows > 1) || l->w->down.n_pieces > 1 ||
           s->weights.slots.on;
}

void goss_stages_expert_products(goss_gpu_state *s, int layer, const goss_step *step)
{
    const goss_layer_calls *l = &s->calls.layers[layer];
    const uint32_t k = (uint32_t)s->base.model->hp.n_expert_used, rows = (uint32_t)step->n_rows;
    if (goss_gpu_many(s, step)) {
        goss_prefill_experts(s, l, rows);
        return;
    }
    for (int i = 0; i < l->w->up.n_pieces; i++)
        goss_rec_dispatch(&s->rec, chooses_late(s, l, step) ? &l->decode.up_choose[i] : &l->decode.up[i],
                          rows > 1, 0, l->decode.up[i].grid[0], rows * k, 1);
    for (int i = 0; i < l->w->down.n_pieces; i++)
        if (l->packed && leaves_sum(s, l, step))
            goss_rec_dispatch(&s->rec, &l->decode.down_many[i], 0, 0, l->decode.down_many[i].grid[0],
                              rows * k, 1);
        else goss_rec_dispatch(&s->rec, &l->decode.down[i], 0, 0, l->decode.down[i].grid[0], rows, 1);
}

void goss_stages_expert_sum(goss_gpu_state *s, int layer, const goss_step *step)
{
    const goss_layer_calls *l = &s->calls.layers[layer];
    if (leaves_sum(s, l, step))
        goss_rec_dispatch(&s->rec, goss_gpu_many(s, step) ? &l->prefill.sum : &l->decode.sum, 0, 0,
                          ((uint32_t)s->base.model->hp.n_embd + 63) / 64, (uint32_t)step->n_rows, 1);
}

int goss_stages_experts(goss_backend *b, goss_step *step, int layer)
{
    goss_gpu_state *s = of(b);
    goss_rec_cut_within(&s->rec, step->n_rows);
    const int made = s->weights.slots.on && s->settings.tap ? s->experts_watched(s, step, layer) : 0;
    if (made < 0) return made;
    if (!made) goss_stages_expert_products(s, layer, step);
    if (made < 2) goss_stages_expert_sum(s, layer, step);
    return show(s, GOSS_STAGE_EXPERTS, layer, s->buf.x, step->n_rows, b->model->hp.n_embd);
}

int goss_stages_ffn(goss_backend *b, goss_step *step, int layer)
{
    goss_gpu_state *s = of(b);
    const goss_layer_calls *l = &s->calls.layers[layer];
    goss_rec_cut_within(&s->rec, step->n_rows);
    goss_rec_dispatch(&s->rec, goss_gpu_many(s, step) ? &l->prefill.ffn_norm : &l->decode.ffn_norm, 0, 0,
                      (uint32_t)step->n_rows, 1, 1);
    if (goss_gpu_many(s, step)) goss_prefill_ffn(s, l, (uint32_t)step->n_rows);
    else {
        matvec(s, &l->decode.up[0], step->n_rows, 0);
        matvec(s, &l->decode.down[0], step->n_rows, 0);
    }
    goss_panels_layer(s, l);
    return show(s, GOSS_STAGE_FFN, layer, s->buf.x, step->n_rows, b->model->hp.n_embd);
}

/* Group g: n rows of the list, from `first` on. What only rows that draw need is left out where none does. */
static void sample(goss_gpu_state *s, const goss_step *step, int first, int n, uint32_t g)
{
    int draws = 0, cuts = 0;
    for (int i = first; i < first + n; i++) {
        const goss_sampler *p = step->seqs[step->rows[s->ticket->list[i]].seq].sampler;
        if (!p || p->greedy) continue;
        draws = 1;
        cuts |= goss_sampler_cuts(p);
    }
    const goss_head_calls *h = &s->calls.head;
    goss_rec_dispatch(&s->rec, &h->scan, 0, g, h->scan.grid[0], (uint32_t)n, 1);
    if (cuts) goss_rec_dispatch(&s->rec, &h->limit, 0, g, (uint32_t)n, 1, 1);
    if (draws) goss_rec_dispatch(&s->rec, &h->weigh, 0, g, h->weigh.grid[0], (uint32_t)n, 1);
    goss_rec_dispatch(&s->rec, &h->pick, 0, g, (uint32_t)n, 1, 1);
}

/* Logits of n rows of the list, of group g and those behind it. */
static void logits(goss_gpu_state *s, const goss_matrix *m, int n, uint32_t g, int crowd)
{
    const goss_head_calls *h = &s->calls.head;
    goss_rec_dispatch(&s->rec, crowd ? &h->crowd_norm : &h->norm, 0, g, (uint32_t)n, 1, 1);
    if (crowd) goss_prefill_head(s, (uint32_t)n);
    else for (int i = 0; i < m->n_pieces; i++) matvec(s, &h->product[i], n, g);
}

/* Logits are made for 16 rows at a time (a crowd's 64) and used at once: sampled, and copied to where the
 * host can read them. */
int goss_stages_head(goss_backend *b, goss_step *step)
{
    goss_gpu_state *s = of(b);
    goss_gpu_ticket *t = s->ticket;
    const goss_matrix *m = s->weights.tied ? &s->weights.tok : &s->weights.out;
    const uint64_t row_bytes = (uint64_t)b->model->hp.n_vocab * 4;
    uint64_t out = 0;
    const int crowd = s->calls.head.crowd && goss_gpu_many(s, step) && t->n_list > GOSS_DECODE_ROWS,
              most = crowd ? GOSS_CROWD_ROWS : GOSS_DECODE_ROWS;
    int r = goss_rec_cut(&s->rec, step->n_rows);
    for (int first = 0, g = 0; !r && first < t->n_list; first += most, g += most / GOSS_DECODE_ROWS) {
        const int n = t->n_list - first < most ? t->n_list - first : most;
        int sampled = 0;
        logits(s, m, n, (uint32_t)g, crowd);
        for (int i = 0; i < n; i++) sampled |= t->want[t->list[first + i]] & GOSS_ROW_SAMPLE;
        if (sampled) sample(s, step, first, n, (uint32_t)g);
        for (int i = 0; i < n && t->n_logits; i++)
            if (t->want[t->list[first + i]] & GOSS_ROW_LOGITS) {
                goss_rec_copy(&s->rec, s->buf.logits, (uint64_t)i * row_bytes, t->logits_back, out,
                              row_bytes);
                out += row_bytes;
            }
        r = show(s, GOSS_STAGE_HEAD, -1, s->buf.logits, n, b->model->hp.n_vocab);
    }
    return r;
}
