/* gpu_step.c - a step as the device sees it: the words of the step buffer, and the dispatches of every stage
 * with their grids. */
#include "gpu_state.h"
#include "../base/error.h"
#include "../base/mem.h"
#include "../base/os.h"
#include <string.h>

static goss_gpu_state *of(goss_backend *b) { return (goss_gpu_state *)b; }

/* ---- recording ----------------------------------------------------------------------------------------- */
static uint32_t *room(goss_gpu_state *s, size_t n)
{
    if (s->n_words + n > s->cap_words) {
        const size_t cap = s->cap_words ? s->cap_words * 2 : 16384;
        void *p = goss_mem_grow(s->words, s->cap_words * 4, cap * 4);
        if (!p) return NULL;
        s->words = p;
        s->cap_words = cap;
    }
    uint32_t *w = s->words + s->n_words;
    s->n_words += n;
    return w;
}

void goss_gpu_put(goss_gpu_state *s, const uint32_t *w, size_t n)
{
    uint32_t *to = room(s, n);
    if (to) memcpy(to, w, n * 4);
}

void goss_gpu_end_pass(goss_gpu_state *s)
{
    const uint32_t end = GOSS_GPU_OP_END;
    if (s->in_pass) goss_gpu_put(s, &end, 1);
    s->in_pass = 0;
}

void goss_gpu_copy(goss_gpu_state *s, int from, uint64_t from_offset, int to, uint64_t to_offset, uint64_t n)
{
    goss_gpu_end_pass(s);
    const uint32_t w[] = {
        GOSS_GPU_OP_COPY,          (uint32_t)from,   (uint32_t)(from_offset / 4), (uint32_t)to,
        (uint32_t)(to_offset / 4), (uint32_t)(n / 4)
    };
    goss_gpu_put(s, w, 6);
}

void goss_gpu_clear(goss_gpu_state *s, int buffer, uint64_t offset, uint64_t n)
{
    goss_gpu_end_pass(s);
    const uint32_t w[] = { GOSS_GPU_OP_CLEAR, (uint32_t)buffer, (uint32_t)(offset / 4), (uint32_t)(n / 4) };
    goss_gpu_put(s, w, 4);
}

/* What the host tells the device for one step. */
int goss_gpu_step_write(goss_gpu_state *s, int buffer, uint64_t offset, const void *data, uint64_t n)
{
    return s->pages.on ? goss_gpu_pages_write_step(s, buffer, offset, data, n)
                       : goss_gpu_write(s->gpu, buffer, offset, data, n);
}

void goss_gpu_record(goss_gpu_state *s, const goss_call *c, int batch, uint32_t slot, uint32_t x, uint32_t y,
                     uint32_t z)
{
    const int k = c->kernel[batch];
    const int timed = s->profiling == 1 && s->query < GOSS_GPU_MAX_QUERIES / 2 - 1;
    if (s->profiling == 1) goss_gpu_end_pass(s);
    if (!s->in_pass) {
        const uint32_t begin[] = { GOSS_GPU_OP_PASS, timed ? s->query : GOSS_GPU_NONE };
        goss_gpu_put(s, begin, 2);
        s->in_pass = 1;
        if (timed) s->query_kernel[s->query++] = (uint32_t)k;
    }
    const uint32_t w[] = { GOSS_GPU_OP_DISPATCH,
                           (uint32_t)s->kernels[k].pipeline,
                           (uint32_t)c->group,
                           c->params + slot * 256,
                           x,
                           y,
                           z };
    goss_gpu_put(s, w, 7);
    if (timed) {
        s->kernels[k].calls++;
        s->kernels[k].bytes += c->bytes * (c->times ? (uint32_t)c->times : y);
    }
}

/* ---- pace: a step's submits -------------------------------------------------------------------------------
 * Whoever draws on the same GPU waits for a submit to end, and watchdogs reset a GPU that one keeps busy. So where
 * cut_ms says so a step is cut between layers, or where one takes longer within it; until a step has been timed,
 * between all layers. */
static int is_many(int n_rows) { return n_rows > GOSS_GPU_FEW; }

static double layer_ms(const goss_gpu_state *s, const goss_step *step)
{
    const int many = is_many(step->n_rows);
    return s->row_ms[many] * (many ? step->n_rows : 1);
}

static void cut(goss_gpu_state *s, const goss_step *step)
{
    const uint32_t op = GOSS_GPU_OP_CUT;
    const double ms = layer_ms(s, step);
    if (s->cut_ms <= 0 || !s->n_words || (ms > 0 && (s->since_cut += ms) + ms <= s->cut_ms)) return;
    goss_gpu_end_pass(s);
    goss_gpu_put(s, &op, 1);
    s->since_cut = 0;
    s->cuts++;
}

static void cut_within(goss_gpu_state *s, const goss_step *step)
{
    if (layer_ms(s, step) > s->cut_ms) cut(s, step);
}

void goss_gpu_step_took(goss_gpu_state *s, const goss_gpu_ticket *t)
{
    const double now = goss_os_now_ms(), ms = now - (t->t_launch > s->t_done ? t->t_launch : s->t_done);
    const int many = is_many(t->n_rows);
    const double each = ms / (s->base.model->hp.n_layer + 1) / (many ? t->n_rows : 1);
    double *known = &s->row_ms[many];
    s->t_done = now;
    *known = *known <= 0 ? each : *known + (each - *known) / 4;
}

int goss_gpu_flush(goss_gpu_state *s)
{
    s->since_cut = 0;
    goss_gpu_end_pass(s);
    const int r = s->n_words ? goss_gpu_submit(s->gpu, s->words, s->n_words) : 0;
    s->n_words = 0;
    return r;
}

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
    goss_gpu_record(s, c, b, slot, c->grid[b], 1, z);
}

/* ---- the step's words ---------------------------------------------------------------------------------- */
/* Tokens of a sequence that the device has not seen at their positions, where a penalty will look for them. */
static int send_history(goss_gpu_state *s, const goss_seq *q, int pos)
{
    const goss_sampler *p = q->sampler;
    if (!p || p->last_n <= 0) return 0;
    const size_t stride = (size_t)s->config.max_kv + 1;
    int from = pos - p->last_n + 1 > 0 ? pos - p->last_n + 1 : 0;
    if (from >= pos || !q->tokens) return 0;
    return goss_gpu_step_write(s, s->history, ((uint64_t)q->slot * stride + (uint64_t)from) * 4,
                          q->tokens + from, (uint64_t)(pos - from) * 4);
}

static uint32_t put_sampler(goss_gpu_state *s, uint32_t at, const goss_sampler *p)
{
    uint32_t *w = s->step_words + at;
    memset(w, 0, 16 * 4);
    if (!p) {
        w[0] = w[1] = w[2] = goss_gpu_bits(65536.0f);
        w[5] = 1;
        w[10] = 16384;
        w[11] = 0xffffffffu;
        return at + 16;
    }
    w[0] = goss_gpu_bits(p->scale); w[1] = goss_gpu_bits(p->scale_pos); w[2] = goss_gpu_bits(p->scale_neg);
    w[3] = (uint32_t)p->presence; w[4] = (uint32_t)p->frequency; w[5] = (uint32_t)p->greedy; w[6] = (uint32_t)p->last_n;
    w[7] = (uint32_t)p->n_probs; w[8] = (uint32_t)p->n_bias; w[9] = p->top_k; w[10] = p->top_p14; w[11] = p->min_p_d;
    for (int i = 0; i < p->n_bias; i++) {
        w[16 + 2 * i] = (uint32_t)p->bias_token[i];
        w[17 + 2 * i] = (uint32_t)p->bias[i];
    }
    return at + 16 + 2 * (uint32_t)p->n_bias;
}

/* Page tables, sampler and mask of one sequence; the row words that point to them go to head[3..7]. */
static uint32_t put_sequence(goss_gpu_state *s, uint32_t at, const goss_seq *q, int index, int last_pos, uint32_t *head)
{
    const int pages = last_pos / GOSS_KV_PAGE + 1;
    for (int c = 0; c < GOSS_KV_CLASSES; c++) {
        head[3 + c] = at;
        for (int i = 0; i < pages; i++)
            s->step_words[at++] = q->kv->page[c] && q->kv->page[c][i] >= 0 ? (uint32_t)q->kv->page[c][i] : 0;
    }
    head[6] = at;
    at = put_sampler(s, at, q->sampler);
    head[7] = GOSS_GPU_NONE;
    if (q->mask) {
        const uint32_t words = (uint32_t)(s->base.model->hp.n_vocab + 31) / 32;
        head[7] = (uint32_t)index * words;
        goss_gpu_step_write(s, s->mask_buf, (uint64_t)index * words * 4, q->mask, words * 4ull);
    }
    return at;
}

static void put_list(goss_gpu_state *s, const goss_step *step, goss_gpu_ticket *t, uint32_t at)
{
    t->n_list = t->n_samples = t->n_logits = 0;
    for (int i = 0; i < step->n_rows; i++) {
        t->want[i] = step->rows[i].want;
        if (!step->rows[i].want) continue;
        s->step_words[at + (uint32_t)t->n_list] = (uint32_t)i;
        t->list[t->n_list++] = i;
        t->n_samples += (step->rows[i].want & GOSS_ROW_SAMPLE) != 0;
        t->n_logits += (step->rows[i].want & GOSS_ROW_LOGITS) != 0;
    }
    for (int g = 0; g < s->n_groups_max; g++) {
        const int left = t->n_list - g * GOSS_GPU_FEW;
        s->step_words[GOSS_STEP_GROUPS + g] = (uint32_t)(left < 0 ? 0 : left > GOSS_GPU_FEW ? GOSS_GPU_FEW : left);
    }
}

int goss_gpu_step_begin(goss_gpu_state *s, goss_step *step, goss_gpu_ticket *t, goss_error *err)
{
    const goss_hparams *hp = &s->base.model->hp;
    const uint32_t n = (uint32_t)step->n_rows, rows = GOSS_STEP_HEADER, list = rows + n * GOSS_ROW_WORDS,
                   rope = list + n;
    uint32_t at = rope + n * (uint32_t)hp->rope_dim;
    uint32_t *w = s->step_words;
    memset(w, 0, GOSS_STEP_HEADER * 4);
    w[0] = n; w[GOSS_STEP_ROWS] = rows; w[GOSS_STEP_LIST] = list; w[GOSS_STEP_ROPE] = rope;
    w[GOSS_STEP_CHUNKS] = n <= GOSS_GPU_FEW ? GOSS_GPU_CHUNKS : 1;
    put_list(s, step, t, list);
    uint32_t index = 0;
    for (uint32_t i = 0; i < n;) {
        const int seq = step->rows[i].seq;
        const goss_seq *q = &step->seqs[seq];
        uint32_t end = i, head[GOSS_ROW_WORDS] = { 0 };
        while (end < n && step->rows[end].seq == seq) end++;
        at = put_sequence(s, at, q, seq, step->rows[end - 1].pos, head);
        int r = send_history(s, q, step->rows[i].pos);
        if (r) return goss_fail(err, r, -1, "the GPU refused a step");
        for (; i < end; i++) {
            const goss_row *row = &step->rows[i];
            if (row->token >= hp->n_vocab || row->token < GOSS_TOKEN_SAMPLED)
                return goss_fail(err, GOSS_EINVAL, -1, "token %d is not in the vocabulary", row->token);
            uint32_t *to = w + rows + i * GOSS_ROW_WORDS;
            memcpy(to, head, sizeof head);
            to[0] = (uint32_t)row->token; to[1] = (uint32_t)row->pos; to[2] = (uint32_t)q->slot;
            to[5] = row->want ? index++ : GOSS_GPU_NONE;
            to[8] = q->sampler
                        ? goss_sample_random(q->sampler->seed_lo, q->sampler->seed_hi, (uint32_t)row->pos + 1)
                        : 0;
            to[9] = i + 1 == end && (row->want & GOSS_ROW_SAMPLE) && row->pos + 1 <= s->config.max_kv;
            goss_rope_table(hp, row->pos, (float *)(void *)(w + rope + i * (uint32_t)hp->rope_dim));
        }
    }
    s->n_step_words = at;
    const int r = goss_gpu_step_write(s, s->step, 0, w, at * 4ull);
    return r ? goss_fail(err, r, -1, "the GPU refused a step") : 0;
}

/* ---- taps: what a stage made, as the reference names it ------------------------------------------------ */
static int show(goss_gpu_state *s, goss_stage stage, int layer, int buffer, int n_rows, int width)
{
    if (!s->tap) return 0;
    const uint64_t n = (uint64_t)n_rows * (uint64_t)width * 4;
    if (n > s->tap_bytes) {
        if (s->tap_back) goss_gpu_buffer_free(s->gpu, s->tap_back);
        s->tap_floats = goss_mem_grow(s->tap_floats, (size_t)s->tap_bytes, (size_t)n);
        s->tap_back = goss_gpu_buffer(s->gpu, n, GOSS_GPU_MAP_READ | GOSS_GPU_COPY_DST, "tap");
        if (!s->tap_floats || s->tap_back < 0) return GOSS_ENOMEM;
        s->tap_bytes = n;
    }
    goss_gpu_copy(s, buffer, 0, s->tap_back, 0, n);
    int r = goss_gpu_flush(s);
    if (!r) r = goss_gpu_read(s->gpu, s->tap_back, 0, n);
    if (!r)
        while ((r = goss_gpu_read_poll(s->gpu, s->tap_back, s->tap_floats, n)) == GOSS_EAGAIN)
            goss_gpu_poll(s->gpu, 1000);
    if (!r) s->tap(s->tap_ctx, stage, layer, s->tap_floats, n_rows, width);
    return r;
}

/* ---- stages -------------------------------------------------------------------------------------------- */
int goss_gpu_do_embed(goss_backend *b, goss_step *step)
{
    goss_gpu_state *s = of(b);
    for (int i = 0; i < s->tok.n_pieces; i++)
        goss_gpu_record(s, &s->c_embed[i], 0, 0, s->c_embed[i].grid[0], (uint32_t)step->n_rows, 1);
    return show(s, GOSS_STAGE_EMBED, -1, s->x, step->n_rows, b->model->hp.n_embd);
}

int goss_gpu_do_attn_in(goss_backend *b, goss_step *step, int layer)
{
    goss_gpu_state *s = of(b);
    const goss_gpu_layer *l = &s->layers[layer];
    const goss_hparams *hp = &b->model->hp;
    const int many = step->n_rows > GOSS_GPU_FEW, one = step->n_rows == 1 && l->norm_inside;
    if (layer) cut(s, step);
    if (!one) goss_gpu_record(s, many ? &l->t_norm : &l->c_norm, 0, 0, (uint32_t)step->n_rows, 1, 1);
    if (one)
        for (int i = 0; i < l->n_qkv; i++) matvec(s, &l->c_qkv_one[i], 1, 0);
    else if (many) goss_gpu_tiles_qkv(s, l, (uint32_t)step->n_rows);
    else for (int i = 0; i < l->n_qkv; i++) matvec(s, &l->c_qkv[i], step->n_rows, 0);
    return show(s, GOSS_STAGE_ATTN_IN, layer, s->qkv, step->n_rows, (hp->n_head + 2 * hp->n_head_kv) * hp->head_dim);
}

/* The most chunks that any row's keys make in this layer. */
static uint32_t chunks_of(const goss_gpu_state *s, const goss_step *step, int cls)
{
    const int window = cls == GOSS_KV_WINDOW ? s->base.model->hp.window : 0,
              most = step->n_rows <= GOSS_GPU_FEW ? GOSS_GPU_CHUNKS : 1;
    int chunks = 1;
    for (int i = 0; i < step->n_rows; i++) {
        const int pos = step->rows[i].pos, first = window && pos + 1 > window ? pos + 1 - window : 0;
        const int pages = pos / GOSS_KV_PAGE - first / GOSS_KV_PAGE + 1, per = (pages + most - 1) / most,
                  c = (pages + per - 1) / per;
        if (c > chunks) chunks = c;
    }
    return (uint32_t)chunks;
}

int goss_gpu_do_attend(goss_backend *b, goss_step *step, int layer)
{
    goss_gpu_state *s = of(b);
    const goss_gpu_layer *l = &s->layers[layer];
    const goss_hparams *hp = &b->model->hp;
    const uint32_t rows = (uint32_t)step->n_rows, n_kv = (uint32_t)hp->n_head_kv;
    const int many = step->n_rows > GOSS_GPU_FEW, ends = l->attend_ends && !many;
    cut_within(s, step);
    if (many && l->attend_tiled)
        goss_gpu_record(s, &l->t_attend, 0, 0, n_kv, goss_gpu_ceil_div(rows, l->t_attend.grid[0]), 1);
    else if (!ends || s->tap) {                        /* whoever looks on wants floats as well */
        goss_gpu_record(s, &l->c_attend, 0, 0, n_kv, chunks_of(s, step, l->cls), rows);
        if (many || s->tap) goss_gpu_record(s, &l->t_merge, 0, 0, l->t_merge.grid[0], rows, 1);
        if (!many && !ends) goss_gpu_record(s, &l->c_merge, 0, 0, l->c_merge.grid[0], rows, 1);
    }
    if (ends) goss_gpu_record(s, &l->c_attend_end, 0, 0, n_kv, 1, rows);
    goss_gpu_panel_attend(s, l, layer);
    return show(s, GOSS_STAGE_ATTEND, layer, s->att, step->n_rows, hp->n_head * hp->head_dim);
}

int goss_gpu_do_attn_out(goss_backend *b, goss_step *step, int layer)
{
    goss_gpu_state *s = of(b);
    cut_within(s, step);
    if (step->n_rows > GOSS_GPU_FEW) goss_gpu_tiles_wo(s, &s->layers[layer], (uint32_t)step->n_rows);
    else matvec(s, &s->layers[layer].c_wo, step->n_rows, 0);
    return show(s, GOSS_STAGE_ATTN_OUT, layer, s->x, step->n_rows, b->model->hp.n_embd);
}

int goss_gpu_do_route(goss_backend *b, goss_step *step, int layer)
{
    goss_gpu_state *s = of(b);
    const goss_gpu_layer *l = &s->layers[layer];
    goss_gpu_record(s, step->n_rows > GOSS_GPU_FEW ? &l->t_route : &l->c_route, 0, 0, (uint32_t)step->n_rows, 1, 1);
    goss_gpu_panel_layer(s, l);
    return show(s, GOSS_STAGE_ROUTE, layer, s->rlogits, step->n_rows, b->model->hp.n_expert);
}

/* Does down leave its results apart, for moe_sum to end? Many rows, several rows packed, several pieces, paging. */
static int leaves_sum(const goss_gpu_state *s, const goss_gpu_layer *l, uint32_t rows)
{
    return rows > GOSS_GPU_FEW || (l->packed && rows > 1) || l->down.n_pieces > 1 || s->pages.on;
}

void goss_gpu_expert_products(goss_gpu_state *s, int layer, uint32_t rows)
{
    const goss_gpu_layer *l = &s->layers[layer];
    const uint32_t k = (uint32_t)s->base.model->hp.n_expert_used;
    if (rows > GOSS_GPU_FEW) { goss_gpu_tiles_experts(s, l, rows); return; }
    for (int i = 0; i < l->up.n_pieces; i++)
        goss_gpu_record(s, &l->c_up[i], rows > 1, 0, l->c_up[i].grid[0], rows * k, 1);
    for (int i = 0; i < l->down.n_pieces; i++)
        if (l->packed && leaves_sum(s, l, rows))
            goss_gpu_record(s, &l->c_down_many[i], 0, 0, l->c_down_many[i].grid[0], rows * k, 1);
        else goss_gpu_record(s, &l->c_down[i], 0, 0, l->c_down[i].grid[0], rows, 1);
}

void goss_gpu_expert_sum(goss_gpu_state *s, int layer, uint32_t rows)
{
    const goss_gpu_layer *l = &s->layers[layer];
    if (leaves_sum(s, l, rows))
        goss_gpu_record(s, rows > GOSS_GPU_FEW ? &l->t_sum : &l->c_sum, 0, 0,
                        ((uint32_t)s->base.model->hp.n_embd + 63) / 64, rows, 1);
}

int goss_gpu_do_experts(goss_backend *b, goss_step *step, int layer)
{
    goss_gpu_state *s = of(b);
    cut_within(s, step);
    const int made = s->pages.on && s->tap ? goss_gpu_pages_tapped(s, step, layer) : 0;
    if (made < 0) return made;
    if (!made) goss_gpu_expert_products(s, layer, (uint32_t)step->n_rows);
    if (made < 2) goss_gpu_expert_sum(s, layer, (uint32_t)step->n_rows);
    return show(s, GOSS_STAGE_EXPERTS, layer, s->x, step->n_rows, b->model->hp.n_embd);
}

int goss_gpu_do_ffn(goss_backend *b, goss_step *step, int layer)
{
    goss_gpu_state *s = of(b);
    const goss_gpu_layer *l = &s->layers[layer];
    cut_within(s, step);
    goss_gpu_record(s, step->n_rows > GOSS_GPU_FEW ? &l->t_ffn_norm : &l->c_ffn_norm, 0, 0,
                    (uint32_t)step->n_rows, 1, 1);
    if (step->n_rows > GOSS_GPU_FEW) goss_gpu_tiles_ffn(s, l, (uint32_t)step->n_rows);
    else {
        matvec(s, &l->c_up[0], step->n_rows, 0);
        matvec(s, &l->c_down[0], step->n_rows, 0);
    }
    goss_gpu_panel_layer(s, l);
    return show(s, GOSS_STAGE_FFN, layer, s->x, step->n_rows, b->model->hp.n_embd);
}

/* Logits are made for 16 rows at a time and used at once: sampled, and copied to where the host can read them. */
int goss_gpu_do_head(goss_backend *b, goss_step *step)
{
    goss_gpu_state *s = of(b);
    goss_gpu_ticket *t = s->ticket;
    const goss_matrix *m = s->tied ? &s->tok : &s->out;
    const uint64_t row_bytes = (uint64_t)b->model->hp.n_vocab * 4;
    uint64_t out = 0;
    cut(s, step);
    for (int first = 0, g = 0; first < t->n_list; first += GOSS_GPU_FEW, g++) {
        const int n = t->n_list - first < GOSS_GPU_FEW ? t->n_list - first : GOSS_GPU_FEW;
        int sampled = 0;
        goss_gpu_record(s, &s->c_head_norm, 0, (uint32_t)g, (uint32_t)n, 1, 1);
        for (int i = 0; i < m->n_pieces; i++) matvec(s, &s->c_head[i], n, (uint32_t)g);
        for (int i = 0; i < n; i++) sampled |= t->want[t->list[first + i]] & GOSS_ROW_SAMPLE;
        if (sampled) {
            goss_gpu_record(s, &s->c_scan, 0, (uint32_t)g, s->c_scan.grid[0], (uint32_t)n, 1);
            goss_gpu_record(s, &s->c_pick, 0, (uint32_t)g, (uint32_t)n, 1, 1);
        }
        for (int i = 0; i < n && t->n_logits; i++)
            if (t->want[t->list[first + i]] & GOSS_ROW_LOGITS) {
                goss_gpu_copy(s, s->logits, (uint64_t)i * row_bytes, t->logits_back, out, row_bytes);
                out += row_bytes;
            }
        const int r = show(s, GOSS_STAGE_HEAD, -1, s->logits, n, b->model->hp.n_vocab);
        if (r) return r;
    }
    return 0;
}

int goss_gpu_do_sample(goss_backend *b, goss_step *step) { (void)b; (void)step; return 0; }
