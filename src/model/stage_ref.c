/* stage_ref.c - the reference backend: double arithmetic, plain loops, every formula as docs/reference.md 2
 * writes it.
 *
 * Weights are dequantised row by row with goss_to_float, the definition. Activations, softmax and sums are
 * double; only the KV cache is float (config.kv_type GOSS_F16: floats that are halves). A row's result does
 * not depend on its batch: every sum runs over its own inputs in index order. Work is spread over a pool by
 * output rows, heads and batch rows, none of which share a sum.
 *
 * Matrix products take eight batch rows side by side (x8: [block of 8 rows][input][8]), so that a dequantised
 * weight is used eight times and the compiler may put the eight sums into vector registers; the order of each
 * sum stays the same. */
#include "stage.h"
#include "format/quant.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/thread.h"
#include <math.h>
#include <string.h>

enum { LANES = 8, ROWS_A_TASK = 16, MAX_BLOCKS = 24 };

typedef struct ref {
    goss_backend base;
    goss_pool *pool;
    void *blocks[MAX_BLOCKS]; int n_blocks; uint64_t bytes; /* all memory below but kv */
    int max_rows, max_width, max_kv, busy;  /* busy: a ticket is out */
    int halves;                             /* keys and values are rounded to halves */
    int *layer_index;                /* (n_layer) number of the layer among those of its class */
    size_t page_floats[GOSS_KV_CLASSES], kv_bytes[GOSS_KV_CLASSES];
    float *kv[GOSS_KV_CLASSES];      /* (page, layer of the class, position in the page, k then v) */
    /* activations of the step, all (n_rows, ...) */
    double *x, *norm, *qkv, *att, *gates, *ups, *expert_out, *x8;
    double *router, *chosen_w;       /* (n_expert), (n_expert_used) */
    int32_t *chosen, *row_list;      /* (n_expert_used); rows of one expert */
    float *weights;                  /* (thread, max_width) one dequantised row */
    double *scores;                  /* (thread, max_kv) */
    float *logits; int *logits_row, n_logits;   /* of the rows that want them, in order */
    goss_pick *picks; int n_picks;
    void *scratch;                   /* for goss_sample */
    float *tap_values;
    goss_tap_fn tap; void *tap_ctx;
} ref;

static ref *ref_of(goss_backend *b)
{
    return (ref *)b;
}

static const goss_kv *kv_of(const goss_step *s, int row)
{
    return s->seqs[s->rows[row].seq].kv;
}

static const float *vector(const goss_tensor *t)
{
    return t->type < 0 ? NULL : (const float *)(const void *)t->data;
}

static int show(ref *r, goss_stage stage, int layer, const double *values, int n_rows, int width)
{
    if (!r->tap) return 0;
    const size_t n = (size_t)n_rows * (size_t)width;
    for (size_t i = 0; i < n; i++) r->tap_values[i] = (float)values[i];
    r->tap(r->tap_ctx, stage, layer, r->tap_values, n_rows, width);
    return 0;
}

/* ---- y[row][o] = sum_i w[o][i] * x[row][i] + bias[o] ---- */
typedef struct product {
    ref *r;
    const goss_tensor *w;
    const uint8_t *rows;         /* first row of the matrix (of one expert) */
    const float *bias;           /* (n_out) or NULL */
    int n_in, n_out, n_rows;
    double *y;                   /* (n_rows, stride) */
    int stride;
} product;

/* Batch rows side by side, the last block filled up with zeros. list: which rows of x, or NULL for all in
 * order. */
static void side_by_side(ref *r, const double *x, int n_in, const int32_t *list, int n_rows)
{
    for (int block = 0; block * LANES < n_rows; block++)
        for (int lane = 0; lane < LANES; lane++) {
            const int row = block * LANES + lane;
            const double *from = row < n_rows ? x + (size_t)(list ? list[row] : row) * n_in : NULL;
            double *to = r->x8 + (size_t)block * n_in * LANES + lane;
            for (int i = 0; i < n_in; i++) to[(size_t)i * LANES] = from ? from[i] : 0;
        }
}

static void product_task(void *ctx, int task, int thread)
{
    const product *p = ctx;
    float *w = p->r->weights + (size_t)thread * p->r->max_width;
    const uint64_t row_bytes = goss_type_row_bytes(p->w->type, p->n_in);
    const int end = (task + 1) * ROWS_A_TASK < p->n_out ? (task + 1) * ROWS_A_TASK : p->n_out;
    for (int o = task * ROWS_A_TASK; o < end; o++) {
        goss_to_float(p->w->type, p->rows + row_bytes * (uint64_t)o, w, p->n_in);
        for (int block = 0; block * LANES < p->n_rows; block++) {
            const double *x = p->r->x8 + (size_t)block * p->n_in * LANES;
            double sum[LANES] = { 0 };
            for (int i = 0; i < p->n_in; i++)
                for (int lane = 0; lane < LANES; lane++)
                    sum[lane] += (double)w[i] * x[(size_t)i * LANES + lane];
            for (int lane = 0; lane < LANES && block * LANES + lane < p->n_rows; lane++)
                p->y[(size_t)(block * LANES + lane) * p->stride + o] =
                    sum[lane] + (p->bias ? (double)p->bias[o] : 0);
        }
    }
}

/* Multiplies what side_by_side() put there. expert: which matrix of a stack, 0 for a plain one. */
static void multiply(ref *r, const goss_tensor *w, const goss_tensor *bias, int expert, int n_rows, double *y,
                     int stride)
{
    const int n_in = (int)w->ne[0], n_out = (int)w->ne[1];
    const float *b = bias ? vector(bias) : NULL;
    product p = { .r = r, .w = w, .n_in = n_in, .n_out = n_out, .n_rows = n_rows, .y = y, .stride = stride,
                  .rows = w->data + goss_type_row_bytes(w->type, n_in) * (uint64_t)n_out * (uint64_t)expert,
                  .bias = b ? b + (size_t)expert * n_out : NULL };
    goss_pool_run(r->pool, product_task, &p, (n_out + ROWS_A_TASK - 1) / ROWS_A_TASK);
}

static void rms_norm(const goss_hparams *hp, const goss_tensor *gain, const double *x, double *y)
{
    double sum = 0;
    for (int i = 0; i < hp->n_embd; i++) sum += x[i] * x[i];
    const double scale = 1 / sqrt(sum / hp->n_embd + (double)hp->rms_eps);
    for (int i = 0; i < hp->n_embd; i++) y[i] = x[i] * scale * (double)vector(gain)[i];
}

static void norm_rows(ref *r, const goss_tensor *gain, int n_rows)
{
    const goss_hparams *hp = &r->base.model->hp;
    for (int i = 0; i < n_rows; i++)
        rms_norm(hp, gain, r->x + (size_t)i * hp->n_embd, r->norm + (size_t)i * hp->n_embd);
}

static void add(double *x, const double *y, size_t n)
{
    for (size_t i = 0; i < n; i++) x[i] += y[i];
}

/* ---- stages ---- */
static int ref_embed(goss_backend *b, goss_step *s)
{
    ref *r = ref_of(b);
    const goss_model *m = b->model;
    const int n = m->hp.n_embd;
    const uint64_t row_bytes = goss_type_row_bytes(m->tok_embd.type, n);
    for (int i = 0; i < s->n_rows; i++) {
        if ((uint32_t)s->rows[i].token >= (uint32_t)m->hp.n_vocab) return GOSS_EINVAL;
        goss_to_float(m->tok_embd.type, m->tok_embd.data + row_bytes * (uint64_t)s->rows[i].token, r->weights,
                      n);
        for (int j = 0; j < n; j++) r->x[(size_t)i * n + j] = (double)r->weights[j];
    }
    return show(r, GOSS_STAGE_EMBED, -1, r->x, s->n_rows, n);
}

/* Rotates one head. Pairs are (i, i + half) or (2i, 2i + 1); dimensions beyond rope_dim stay. */
static void rotate(const goss_hparams *hp, int64_t pos, double *head)
{
    const int half = hp->rope_dim / 2;
    for (int i = 0; i < half; i++) {
        const double angle = (double)pos * hp->rope_freq[i];
        const double c = hp->rope_mag * cos(angle), sn = hp->rope_mag * sin(angle);
        double *a = head + (hp->rope_half ? i : 2 * i), *z = hp->rope_half ? a + half : a + 1;
        const double first = *a, second = *z;
        *a = first * c - second * sn;
        *z = second * c + first * sn;
    }
}

/* Where layer l keeps k (and kv_width floats on, v) of a position. */
static float *kv_at(const ref *r, const goss_kv *kv, int layer, int pos)
{
    const goss_hparams *hp = &r->base.model->hp;
    const int c = r->base.model->layers[layer].windowed ? GOSS_KV_WINDOW : GOSS_KV_FULL;
    const size_t width = (size_t)hp->n_head_kv * hp->head_dim;
    const size_t page = (size_t)kv->page[c][pos / GOSS_KV_PAGE];
    return r->kv[c] + page * r->page_floats[c]
        + ((size_t)r->layer_index[layer] * GOSS_KV_PAGE + (size_t)(pos % GOSS_KV_PAGE)) * 2 * width;
}

static int ref_attn_in(goss_backend *b, goss_step *s, int layer)
{
    ref *r = ref_of(b);
    const goss_hparams *hp = &b->model->hp;
    const goss_layer *l = &b->model->layers[layer];
    const int nq = hp->n_head * hp->head_dim, nkv = hp->n_head_kv * hp->head_dim, width = nq + 2 * nkv;
    norm_rows(r, &l->attn_norm, s->n_rows);
    side_by_side(r, r->norm, hp->n_embd, NULL, s->n_rows);
    multiply(r, &l->wq, &l->bq, 0, s->n_rows, r->qkv, width);
    multiply(r, &l->wk, &l->bk, 0, s->n_rows, r->qkv + nq, width);
    multiply(r, &l->wv, &l->bv, 0, s->n_rows, r->qkv + nq + nkv, width);
    for (int i = 0; i < s->n_rows; i++) {
        double *row = r->qkv + (size_t)i * width;
        float *to = kv_at(r, kv_of(s, i), layer, s->rows[i].pos);
        for (int h = 0; h < hp->n_head + hp->n_head_kv; h++)
            rotate(hp, s->rows[i].pos, row + (size_t)h * hp->head_dim);
        for (int j = 0; j < 2 * nkv; j++)
            to[j] = r->halves ? goss_f16_to_f32(goss_f32_to_f16((float)row[nq + j])) : (float)row[nq + j];
    }
    return show(r, GOSS_STAGE_ATTN_IN, layer, r->qkv, s->n_rows, width);
}

typedef struct attention { ref *r; const goss_step *s; int layer; } attention;

/* One head of one row: softmax over the visible keys and the head's sink, which has no value. */
static void attend_task(void *ctx, int task, int thread)
{
    const attention *a = ctx;
    ref *r = a->r;
    const goss_hparams *hp = &r->base.model->hp;
    const goss_layer *l = &r->base.model->layers[a->layer];
    const int row = task / hp->n_head, h = task % hp->n_head, hd = hp->head_dim;
    const int nkv = hp->n_head_kv * hd, kv_offset = h / (hp->n_head / hp->n_head_kv) * hd;
    const double *q = r->qkv + (size_t)row * (size_t)(hp->n_head * hd + 2 * nkv) + (size_t)h * hd;
    const goss_kv *kv = kv_of(a->s, row);
    const int pos = a->s->rows[row].pos, from = l->windowed && pos >= hp->window ? pos - hp->window + 1 : 0;
    const float *sinks = vector(&l->sinks);
    double *score = r->scores + (size_t)thread * r->max_kv,
           *out = r->att + ((size_t)row * hp->n_head + h) * hd;
    double top = sinks ? (double)sinks[h] : -INFINITY;
    for (int j = from; j <= pos; j++) {
        const float *k = kv_at(r, kv, a->layer, j) + kv_offset;
        double dot = 0;
        for (int i = 0; i < hd; i++) dot += q[i] * (double)k[i];
        score[j - from] = dot * (double)hp->attn_scale;
        if (score[j - from] > top) top = score[j - from];
    }
    double sum = sinks ? exp((double)sinks[h] - top) : 0;
    for (int i = 0; i < hd; i++) out[i] = 0;
    for (int j = from; j <= pos; j++) {
        const float *v = kv_at(r, kv, a->layer, j) + nkv + kv_offset;
        const double p = exp(score[j - from] - top);
        sum += p;
        for (int i = 0; i < hd; i++) out[i] += p * (double)v[i];
    }
    for (int i = 0; i < hd; i++) out[i] /= sum;
}

static int ref_attend(goss_backend *b, goss_step *s, int layer)
{
    ref *r = ref_of(b);
    attention a = { r, s, layer };
    goss_pool_run(r->pool, attend_task, &a, s->n_rows * b->model->hp.n_head);
    return show(r, GOSS_STAGE_ATTEND, layer, r->att, s->n_rows, b->model->hp.n_head * b->model->hp.head_dim);
}

static int ref_attn_out(goss_backend *b, goss_step *s, int layer)
{
    ref *r = ref_of(b);
    const goss_hparams *hp = &b->model->hp;
    const goss_layer *l = &b->model->layers[layer];
    side_by_side(r, r->att, hp->n_head * hp->head_dim, NULL, s->n_rows);
    multiply(r, &l->wo, &l->bo, 0, s->n_rows, r->norm, hp->n_embd);
    add(r->x, r->norm, (size_t)s->n_rows * (size_t)hp->n_embd);
    return show(r, GOSS_STAGE_ATTN_OUT, layer, r->x, s->n_rows, hp->n_embd);
}

/* The n largest logits, best first, the lower index first among equals; softmax over these alone. */
static void choose(const double *logits, int n_expert, int n, int32_t *index, double *weight)
{
    double sum = 0;
    for (int k = 0; k < n; k++) {
        int best = -1;
        for (int e = 0; e < n_expert; e++) {
            int taken = 0;
            for (int j = 0; j < k; j++) taken |= index[j] == e;
            if (!taken && (best < 0 || logits[e] > logits[best])) best = e;
        }
        index[k] = best;
        weight[k] = exp(logits[best] - logits[index[0]]);
        sum += weight[k];
    }
    for (int k = 0; k < n; k++) weight[k] /= sum;
}

static int ref_route(goss_backend *b, goss_step *s, int layer)
{
    ref *r = ref_of(b);
    const goss_hparams *hp = &b->model->hp;
    const goss_layer *l = &b->model->layers[layer];
    norm_rows(r, &l->ffn_norm, s->n_rows);
    side_by_side(r, r->norm, hp->n_embd, NULL, s->n_rows);
    multiply(r, &l->router, &l->router_b, 0, s->n_rows, r->router, hp->n_expert);
    for (int i = 0; i < s->n_rows; i++)
        choose(r->router + (size_t)i * hp->n_expert, hp->n_expert, hp->n_expert_used,
               r->chosen + (size_t)i * hp->n_expert_used, r->chosen_w + (size_t)i * hp->n_expert_used);
    return show(r, GOSS_STAGE_ROUTE, layer, r->router, s->n_rows, hp->n_expert);
}

/* gate is clamped from above only, up from both sides; biases are in already. */
static double swiglu_oai(const goss_hparams *hp, double gate, double up)
{
    const double limit = (double)hp->swiglu_limit;
    const double g = gate < limit ? gate : limit, u = up < -limit ? -limit : up < limit ? up : limit;
    return g / (1 + exp(-(double)hp->swiglu_alpha * g)) * (u + 1);
}

/* All rows that chose expert e. Slot k of a row's choice gets its output, so that rows add theirs up in order
 * of choice. */
static void run_expert(ref *r, const goss_step *s, const goss_layer *l, int e)
{
    const goss_hparams *hp = &r->base.model->hp;
    const int used = hp->n_expert_used, ff = hp->n_ff;
    int n = 0;
    for (int i = 0; i < s->n_rows * used; i++)
        if (r->chosen[i] == e) r->row_list[n++] = i / used;
    if (!n) return;
    side_by_side(r, r->norm, hp->n_embd, r->row_list, n);
    multiply(r, &l->gate, &l->gate_b, e, n, r->gates, ff);
    multiply(r, &l->up, &l->up_b, e, n, r->ups, ff);
    for (size_t i = 0; i < (size_t)n * (size_t)ff; i++) r->gates[i] = swiglu_oai(hp, r->gates[i], r->ups[i]);
    side_by_side(r, r->gates, ff, NULL, n);
    multiply(r, &l->down, &l->down_b, e, n, r->ups, hp->n_embd);
    for (int i = 0, at = 0; i < s->n_rows * used; i++)
        if (r->chosen[i] == e)
            memcpy(r->expert_out + (size_t)i * hp->n_embd, r->ups + (size_t)at++ * hp->n_embd,
                   (size_t)hp->n_embd * sizeof(double));
}

static int ref_experts(goss_backend *b, goss_step *s, int layer)
{
    ref *r = ref_of(b);
    const goss_hparams *hp = &b->model->hp;
    const int used = hp->n_expert_used, n = hp->n_embd,
              rc = b->arriving ? goss_need_experts(b, layer, r->chosen, s->n_rows * used) : 0;
    if (rc < 0) return rc;
    for (int e = 0; e < hp->n_expert; e++) run_expert(r, s, &b->model->layers[layer], e);
    for (int i = 0; i < s->n_rows * used; i++)
        for (int j = 0; j < n; j++)
            r->x[(size_t)(i / used) * n + j] += r->chosen_w[i] * r->expert_out[(size_t)i * n + j];
    return show(r, GOSS_STAGE_EXPERTS, layer, r->x, s->n_rows, n);
}

static int ref_ffn(goss_backend *b, goss_step *s, int layer)
{
    ref *r = ref_of(b);
    const goss_hparams *hp = &b->model->hp;
    const goss_layer *l = &b->model->layers[layer];
    norm_rows(r, &l->ffn_norm, s->n_rows);
    side_by_side(r, r->norm, hp->n_embd, NULL, s->n_rows);
    multiply(r, &l->gate, &l->gate_b, 0, s->n_rows, r->gates, hp->n_ff);
    multiply(r, &l->up, &l->up_b, 0, s->n_rows, r->ups, hp->n_ff);
    for (size_t i = 0; i < (size_t)s->n_rows * (size_t)hp->n_ff; i++)
        r->gates[i] = r->gates[i] / (1 + exp(-r->gates[i])) * r->ups[i];
    side_by_side(r, r->gates, hp->n_ff, NULL, s->n_rows);
    multiply(r, &l->down, &l->down_b, 0, s->n_rows, r->norm, hp->n_embd);
    add(r->x, r->norm, (size_t)s->n_rows * (size_t)hp->n_embd);
    return show(r, GOSS_STAGE_FFN, layer, r->x, s->n_rows, hp->n_embd);
}

/* Logits of the rows that want them or are sampled, in blocks of LANES rows; kept as float. */
static int ref_head(goss_backend *b, goss_step *s)
{
    ref *r = ref_of(b);
    const goss_hparams *hp = &b->model->hp;
    double *y = r->expert_out;   /* (LANES, n_vocab): sized for it */
    r->n_logits = 0;
    for (int i = 0; i < s->n_rows; i++)
        if (s->rows[i].want) {
            rms_norm(hp, &b->model->out_norm, r->x + (size_t)i * hp->n_embd,
                     r->norm + (size_t)r->n_logits * hp->n_embd);
            r->logits_row[r->n_logits++] = i;
        }
    for (int i = 0; i < r->n_logits; i += LANES) {
        const int n = r->n_logits - i < LANES ? r->n_logits - i : LANES;
        side_by_side(r, r->norm + (size_t)i * hp->n_embd, hp->n_embd, NULL, n);
        multiply(r, &b->model->output, NULL, 0, n, y, hp->n_vocab);
        for (size_t j = 0; j < (size_t)n * (size_t)hp->n_vocab; j++)
            r->logits[(size_t)i * hp->n_vocab + j] = (float)y[j];
    }
    if (r->tap && r->n_logits) r->tap(r->tap_ctx, GOSS_STAGE_HEAD, -1, r->logits, r->n_logits, hp->n_vocab);
    return 0;
}

static int ref_put(goss_backend *b, const goss_step *s, const float *x)
{
    const size_t n = (size_t)s->n_rows * (size_t)b->model->hp.n_embd;
    for (size_t i = 0; i < n; i++) ref_of(b)->x[i] = (double)x[i];
    return 0;
}

static int ref_sample(goss_backend *b, goss_step *s)
{
    ref *r = ref_of(b);
    const int n_vocab = b->model->hp.n_vocab;
    r->n_picks = 0;
    for (int i = 0; i < r->n_logits; i++) {
        const goss_row *row = &s->rows[r->logits_row[i]];
        const goss_seq *seq = &s->seqs[row->seq];
        if (!(row->want & GOSS_ROW_SAMPLE)) continue;
        goss_sample(seq->sampler, r->logits + (size_t)i * n_vocab, n_vocab, seq->mask, seq->tokens,
                    row->pos + 1, r->scratch, &r->picks[r->n_picks++]);
    }
    return 0;
}

/* ---- steps ---- */
static int ref_begin(goss_backend *b, goss_step *s, goss_error *err)
{
    ref *r = ref_of(b);
    if (r->busy) return goss_fail(err, GOSS_ESTATE, -1, "the reference backend runs one step at a time");
    if (s->n_rows < 1 || s->n_rows > r->max_rows)
        return goss_fail(err, GOSS_ELIMIT, -1, "a step of %d rows, should be 1 to %d", s->n_rows,
                         r->max_rows);
    r->busy = 1;
    s->ticket = 1;
    return 0;
}

static int ref_submit(goss_backend *b, goss_step *s, goss_error *err)
{
    (void)b; (void)s; (void)err;
    return 0;
}

static void ref_release(goss_backend *b, goss_step *s)
{
    (void)s;
    ref_of(b)->busy = 0;
}

static int ref_poll(goss_backend *b, goss_step *s, int timeout_ms, goss_pick *picks, goss_error *err)
{
    ref *r = ref_of(b);
    int keep = 0;
    (void)timeout_ms; (void)err;
    if (r->n_picks) memcpy(picks, r->picks, (size_t)r->n_picks * sizeof *picks);
    for (int i = 0; i < s->n_rows; i++) keep |= s->rows[i].want & GOSS_ROW_LOGITS;
    if (!keep) ref_release(b, s);
    return 0;
}

static int ref_logits(goss_backend *b, goss_step *s, int row, float *out)
{
    const ref *r = ref_of(b);
    const size_t n = (size_t)b->model->hp.n_vocab;
    (void)s;
    for (int i = 0; i < r->n_logits; i++)
        if (r->logits_row[i] == row) {
            memcpy(out, r->logits + (size_t)i * n, n * sizeof *out);
            return 0;
        }
    return GOSS_EINVAL;
}

static void ref_kv_copy(goss_backend *b, int cls, int from, int to)
{
    ref *r = ref_of(b);
    const size_t n = r->page_floats[cls];
    memcpy(r->kv[cls] + (size_t)to * n, r->kv[cls] + (size_t)from * n, n * sizeof(float));
}

static size_t ref_kv_bytes(const goss_backend *b, int cls)
{
    return ((const ref *)b)->page_floats[cls] * sizeof(float);
}

static int ref_kv_read(goss_backend *b, int cls, int page, void *dst, int timeout_ms)
{
    const ref *r = ref_of(b);
    (void)timeout_ms;
    if (dst) memcpy(dst, r->kv[cls] + (size_t)page * r->page_floats[cls], ref_kv_bytes(b, cls));
    return 0;
}

static int ref_kv_write(goss_backend *b, int cls, int page, const void *src)
{
    ref *r = ref_of(b);
    memcpy(r->kv[cls] + (size_t)page * r->page_floats[cls], src, ref_kv_bytes(b, cls));
    return 0;
}

static void ref_read_done(goss_backend *b, uint64_t tag, int status)
{
    (void)b; (void)tag; (void)status; /* reads nothing: the file is mapped */
}

static void ref_tap(goss_backend *b, goss_tap_fn fn, void *ctx)
{
    ref_of(b)->tap = fn;
    ref_of(b)->tap_ctx = ctx;
}

static int ref_load(goss_backend *b, goss_error *err)
{
    (void)b; (void)err;
    return 0;
}

static void ref_stats(const goss_backend *b, goss_backend_stats *out)
{
    const ref *r = (const ref *)b;
    const uint64_t kv_bytes = r->kv_bytes[GOSS_KV_FULL] + r->kv_bytes[GOSS_KV_WINDOW];
    *out = (goss_backend_stats){ .bytes_allocated = r->bytes + kv_bytes, .kv_bytes = kv_bytes,
                                 .weight_bytes = b->model->weight_bytes, .progress = 1 };
}

static const char *ref_level(const goss_backend *b)
{
    (void)b;
    return "double";
}

static void ref_close(goss_backend *b)
{
    ref *r = ref_of(b);
    goss_pool_close(&r->pool);
    for (int i = 0; i < r->n_blocks; i++) goss_mem_free(r->blocks[i]);
    for (int c = 0; c < GOSS_KV_CLASSES; c++)
        if (r->kv[c]) goss_mem_release(r->kv[c], r->kv_bytes[c]);
    goss_mem_free(r);
}

/* ---- opening ---- */
static const goss_backend_vt ref_vt = {
    .name = "ref",
    .in_flight = 1,
    .load = ref_load,
    .begin = ref_begin,
    .embed = ref_embed,
    .attn_in = ref_attn_in,
    .attend = ref_attend,
    .attn_out = ref_attn_out,
    .route = ref_route,
    .experts = ref_experts,
    .ffn = ref_ffn,
    .head = ref_head,
    .put = ref_put,
    .sample = ref_sample,
    .submit = ref_submit,
    .poll = ref_poll,
    .logits = ref_logits,
    .release = ref_release,
    .kv_copy = ref_kv_copy,
    .kv_bytes = ref_kv_bytes,
    .kv_read = ref_kv_read,
    .kv_write = ref_kv_write,
    .read_done = ref_read_done,
    .tap = ref_tap,
    .stats = ref_stats,
    .level = ref_level,
    .close = ref_close,
};

/* Zero-filled memory that close() gives back; untouched pages of it cost nothing. */
static void *room(ref *r, size_t count, size_t size)
{
    void *p = r->n_blocks < MAX_BLOCKS ? goss_mem_array(count ? count : 1, size) : NULL;
    if (p) {
        r->blocks[r->n_blocks++] = p;
        r->bytes += count * size;
    }
    return p;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static int make_room(ref *r)
{
    const goss_hparams *hp = &r->base.model->hp;
    const size_t rows = (size_t)r->max_rows, threads = (size_t)goss_pool_threads(r->pool),
                 n_embd = (size_t)hp->n_embd;
    const size_t nq = (size_t)hp->n_head * hp->head_dim, nkv = (size_t)hp->n_head_kv * hp->head_dim,
                 ff = (size_t)hp->n_ff;
    const size_t used = (size_t)hp->n_expert_used, n_vocab = (size_t)hp->n_vocab;
    const size_t width = larger(larger(n_embd, nq), ff),
                 shown = larger(larger(n_embd, nq + 2 * nkv), (size_t)hp->n_expert);
    r->max_width = (int)width;
    return (r->x = room(r, rows * n_embd, sizeof(double))) &&
                   (r->norm = room(r, rows * n_embd, sizeof(double))) &&
                   (r->qkv = room(r, rows * (nq + 2 * nkv), sizeof(double))) &&
                   (r->att = room(r, rows * nq, sizeof(double))) &&
                   (r->gates = room(r, rows * ff, sizeof(double))) &&
                   (r->ups = room(r, rows * larger(ff, n_embd), sizeof(double))) &&
                   (r->expert_out = room(r, larger(rows * used * n_embd, LANES * n_vocab), sizeof(double))) &&
                   (r->x8 = room(r, (rows + LANES) * width, sizeof(double))) &&
                   (r->router = room(r, rows * (size_t)hp->n_expert, sizeof(double))) &&
                   (r->chosen_w = room(r, rows * used, sizeof(double))) &&
                   (r->chosen = room(r, rows * used, sizeof(int32_t))) &&
                   (r->row_list = room(r, rows, sizeof(int32_t))) &&
                   (r->weights = room(r, threads * width, sizeof(float))) &&
                   (r->scores = room(r, threads * (size_t)r->max_kv, sizeof(double))) &&
                   (r->logits = room(r, rows * n_vocab, sizeof(float))) &&
                   (r->logits_row = room(r, rows, sizeof(int))) &&
                   (r->picks = room(r, rows, sizeof(goss_pick))) && (r->scratch = room(r, n_vocab, 8)) &&
                   (r->tap_values = room(r, rows * shown, sizeof(float))) &&
                   (r->layer_index = room(r, (size_t)hp->n_layer, sizeof(int)))
               ? 0
               : GOSS_ENOMEM;
}

static int make_kv(ref *r, const goss_backend_config *c)
{
    const goss_hparams *hp = &r->base.model->hp;
    size_t n_layers[GOSS_KV_CLASSES] = { 0 };
    for (int l = 0; l < hp->n_layer; l++)
        r->layer_index[l] =
            (int)n_layers[r->base.model->layers[l].windowed ? GOSS_KV_WINDOW : GOSS_KV_FULL]++;
    for (int k = 0; k < GOSS_KV_CLASSES; k++) {
        r->page_floats[k] = n_layers[k] * GOSS_KV_PAGE * 2 * (size_t)hp->n_head_kv * (size_t)hp->head_dim;
        r->kv_bytes[k] = (size_t)c->n_pages[k] * r->page_floats[k] * sizeof(float);
        if (!r->kv_bytes[k]) continue;
        r->kv[k] = goss_mem_reserve(r->kv_bytes[k]);
        if (!r->kv[k]) return GOSS_ENOMEM;
    }
    return 0;
}

int goss_backend_open_ref(goss_backend **out, const goss_backend_config *c, goss_error *err)
{
    *out = NULL;
    if (!c->model->tok_embd.data)
        return goss_fail(err, GOSS_EUNSUPPORTED, -1,
                         "the reference backend needs the whole file in memory or mapped");
    ref *r = goss_mem_alloc(sizeof *r);
    if (!r) return goss_fail(err, GOSS_ENOMEM, -1, "out of memory for the reference backend");
    r->base = (goss_backend){ .vt = &ref_vt,
                                .model = c->model,
                                .arriving = goss_arriving(c->sources, c->n_sources) };
    r->max_rows = c->max_rows;
    r->max_kv = c->max_kv;
    r->halves = c->kv_type == GOSS_F16;
    int rc = goss_pool_open(&r->pool, c->engine ? c->engine->n_threads : 0);
    if (rc == 0) rc = make_room(r);
    if (rc == 0) rc = make_kv(r, c);
    if (rc < 0) {
        ref_close(&r->base);
        return goss_fail(err, rc, -1, "out of memory for the reference backend");
    }
    *out = &r->base;
    return 0;
}
