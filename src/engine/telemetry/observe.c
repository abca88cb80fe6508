/* observe.c - shows the norms of each layer's parts, the router's choice, and the attention of one layer and
 * head.
 *
 * It watches the last row of a step. The attention map needs that sequence's keys: those of one KV head are
 * kept here by position as they pass (KEYS at most); keys that were reused from the cache were never seen and
 * count as absent. Only backends that run a step at once are tapped; a GPU sends such lines itself
 * (goss_backend_config.report).
 *
 * Looking at the clock after each stage costs a fast step more than the rest of what is told of it, so for
 * rows one decode step in TIMED_MS is timed; the others' times are NaN. */
#include "observe.h"
#include "base/fmt.h"
#include "base/mem.h"
#include "base/os.h"
#include <math.h>
#include <string.h>

enum { KEYS = 4096, TIMED_MS = 15 };
struct goss_observer {
    goss_telemetry *sink;
    goss_sheet *sheet; int lines;                /* who wants to know of the step: rows, NULL: not; lines */
    const goss_model *model;
    int layer, head;                             /* whose attention map is reported */
    int session;                                 /* whose row is observed: its slot */
    int slot, pos, n_rows;                       /* the observed sequence's slot, -1: none; its last row */
    int first_pos, first_row;                    /* its rows in the step */
    float *before, *query, *keys, *weights;      /* (n_embd), (head_dim), (KEYS, head_dim), (KEYS) */
    uint8_t seen[KEYS];
    double attention_norm, t_timed, t_last;      /* when a step was timed last; its last stage's end */
    int timed;                                   /* this step's stages are */
};

/* Sums are in eight parts, of which a compiler makes vectors: one sum is a chain of additions. */
enum { WIDE = 8 };
static double length_of(const float *v, int n)
{
    double part[WIDE] = { 0 }, sum = 0;
    int i = 0;
    for (; i + WIDE <= n; i += WIDE)
        for (int k = 0; k < WIDE; k++) part[k] += (double)v[i + k] * (double)v[i + k];
    for (int k = 0; k < WIDE; k++) sum += part[k];
    for (; i < n; i++) sum += (double)v[i] * (double)v[i];
    return sqrt(sum);
}

/* The length of what was added to the row since it was asked for last. */
static double change_of(goss_observer *o, const float *row, int n)
{
    for (int i = 0; i < n; i++) o->before[i] = row[i] - o->before[i];
    const double length = length_of(o->before, n);
    memcpy(o->before, row, (size_t)n * sizeof *row);
    return length;
}

/* ---- lines --------------------------------------------------------------------------------------------- */
/* Which of a row's times it is. */
static int part_of(goss_stage what)
{
    return what == GOSS_STAGE_FFN ? GOSS_COLUMN_PARTS - 1 : (int)what - (int)GOSS_STAGE_ATTN_IN;
}

static void stage(goss_observer *o, goss_stage what, const char *name, int layer, const char *extra)
{
    char detail[128];
    if (!o->timed) return;
    const double now = goss_os_now_ms();
    const double ms = now - o->t_last;
    size_t n = 0;
    o->t_last = now;
    if (layer >= 0) goss_sheet_part(o->sheet, o->session, layer, part_of(what), ms);
    else
        goss_sheet_ends(o->sheet, o->session,
                        what == GOSS_STAGE_EMBED ? GOSS_COLUMN_EMBED : GOSS_COLUMN_HEAD, ms);
    if (!o->lines) return;
    if (layer >= 0) n = goss_fmt(detail, sizeof detail, "layer=%d ", layer);
    goss_fmt(detail + n, sizeof detail - n, "%s%sms=%.3f", extra, *extra ? " " : "", ms);
    goss_telemetry_layer_stage(o->sink, name, detail);
}

static goss_buf *event_begin(goss_observer *o, const char *type, int layer)
{
    goss_buf *b = goss_telemetry_event_begin(o->sink, type);
    goss_buf_printf(b, ",\"layer\":%d", layer);
    return b;
}

static void event_end(goss_observer *o) { goss_telemetry_event_end(o->sink, GOSS_TELEMETRY_LAYERS); }

static void number_list(goss_buf *b, const float *v, int n)
{
    for (int i = 0; i < n; i++) goss_buf_printf(b, "%s%.5f", i ? "," : "", (double)v[i]);
}

/* ---- attention ----------------------------------------------------------------------------------------- */
static void take_keys(goss_observer *o, const float *values, int width)
{
    const goss_hparams *h = &o->model->hp;
    const int hd = h->head_dim, head = o->head, kv_head = head / (h->n_head / h->n_head_kv);
    for (int i = o->first_row; i < o->n_rows; i++) {
        const float *row = values + (size_t)i * (size_t)width;
        const int pos = o->first_pos + i - o->first_row;
        if (pos >= KEYS) break;
        memcpy(o->keys + (size_t)pos * (size_t)hd, row + (h->n_head + kv_head) * hd,
               (size_t)hd * sizeof *row);
        o->seen[pos] = 1;
    }
    memcpy(o->query, values + (size_t)(o->n_rows - 1) * (size_t)width + head * hd,
           (size_t)hd * sizeof *values);
}

static float dot(const float *a, const float *b, int n)
{
    float part[WIDE] = { 0 }, sum = 0;
    int i = 0;
    for (; i + WIDE <= n; i += WIDE)
        for (int k = 0; k < WIDE; k++) part[k] += a[i + k] * b[i + k];
    for (int k = 0; k < WIDE; k++) sum += part[k];
    for (; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* The weights of the last row's keys, sink included in the sum, as the model's softmax has them. */
static void send_attention(goss_observer *o, int layer)
{
    const goss_hparams *h = &o->model->hp;
    const goss_layer *l = &o->model->layers[layer];
    if (o->pos >= KEYS) return;
    const int from = l->windowed && o->pos >= h->window ? o->pos - h->window + 1 : 0, n = o->pos + 1 - from;
    const float *sinks = (const float *)(const void *)l->sinks.data;
    float max = sinks ? sinks[o->head] : -1e30f;
    double sum = 0;
    for (int i = 0; i < n; i++) {
        const float *key = o->keys + (size_t)(from + i) * (size_t)h->head_dim;
        o->weights[i] = o->seen[from + i] ? dot(o->query, key, h->head_dim) * h->attn_scale : -1e30f;
        if (o->weights[i] > max) max = o->weights[i];
    }
    if (sinks) sum = (double)expf(sinks[o->head] - max);
    for (int i = 0; i < n; i++) sum += (double)(o->weights[i] = expf(o->weights[i] - max));
    for (int i = 0; i < n; i++) o->weights[i] = (float)((double)o->weights[i] / sum);
    goss_sheet_map(o->sheet, o->session, layer, o->head, from, o->weights, n);
    if (!o->lines) return;
    goss_buf *b = event_begin(o, "attention_weights", layer);
    goss_buf_printf(b, ",\"head\":%d,\"first\":%d,\"weights\":[[", o->head, from);
    number_list(b, o->weights, n);
    goss_buf_str(b, "]]");
    event_end(o);
}

/* ---- the router ---------------------------------------------------------------------------------------- */
static void send_router(goss_observer *o, int layer, const float *logits, int n)
{
    enum { MOST = 64 };
    int chosen[MOST] = { 0 }, k = 0;
    const int used = o->model->hp.n_expert_used, most = used < MOST ? used : MOST;
    float weight[MOST] = { 0 }, sum = 0;
    for (int x = 0; x < n; x++) {
        if (k == most && !(logits[x] > logits[chosen[k - 1]])) continue;
        int at = k < most ? k++ : k - 1;
        for (; at > 0 && logits[x] > logits[chosen[at - 1]]; at--) chosen[at] = chosen[at - 1];
        chosen[at] = x;
    }
    for (int i = 0; i < k; i++) sum += weight[i] = expf(logits[chosen[i]] - logits[chosen[0]]);
    for (int i = 0; i < k; i++) weight[i] /= sum;
    goss_sheet_experts(o->sheet, o->session, layer, chosen, weight, k);
    if (!o->lines) return;
    goss_buf *b = event_begin(o, "router", layer);
    goss_buf_str(b, ",\"experts\":[");
    for (int i = 0; i < k; i++) goss_buf_printf(b, "%s%d", i ? "," : "", chosen[i]);
    goss_buf_str(b, "],\"weights\":[");
    number_list(b, weight, k);
    goss_buf_str(b, "]");
    event_end(o);
}

static void send_activation(goss_observer *o, int layer, const float *row, int width)
{
    const double norms[GOSS_COLUMN_NORMS] = { o->attention_norm, change_of(o, row, width),
                                              length_of(row, width) };
    goss_sheet_norms(o->sheet, o->session, layer, norms);
    if (!o->lines) return;
    goss_buf *b = event_begin(o, "layer_activation", layer);
    goss_buf_printf(b, ",\"attention_norm\":%.5f,\"mlp_norm\":%.5f,\"output_norm\":%.5f", norms[0],
                    norms[1], norms[2]);
    event_end(o);
}

/* ---- the tap ------------------------------------------------------------------------------------------- */
static void show(goss_observer *o, goss_stage what, int layer, const float *values, int n_rows, int width)
{
    const float *row = values + (size_t)(n_rows - 1) * (size_t)width;
    const int watched = layer == o->layer;
    char extra[32] = "";
    switch (what) {
    case GOSS_STAGE_EMBED:
        memcpy(o->before, row, (size_t)width * sizeof *row);
        stage(o, what, "token_embd", -1, "");
        break;
    case GOSS_STAGE_ATTN_IN:
        if (watched) take_keys(o, values, width);
        stage(o, what, "attn_qkv", layer, "");
        break;
    case GOSS_STAGE_ATTEND:
        if (watched) send_attention(o, layer);
        if (o->lines)
            goss_fmt(extra, sizeof extra, "cpu window=%d",
                     o->model->layers[layer].windowed ? o->model->hp.window : 0);
        stage(o, what, "attn_score", layer, extra);
        break;
    case GOSS_STAGE_ATTN_OUT:
        o->attention_norm = change_of(o, row, width);
        stage(o, what, "attn_out", layer, "");
        break;
    case GOSS_STAGE_ROUTE:
        send_router(o, layer, row, width);
        stage(o, what, "moe_router", layer, "");
        break;
    case GOSS_STAGE_EXPERTS: case GOSS_STAGE_FFN:
        send_activation(o, layer, row, width);
        stage(o, what, what == GOSS_STAGE_FFN ? "layer_mlp" : "moe_mlp", layer, "");
        break;
    case GOSS_STAGE_HEAD: stage(o, what, "lm_head", -1, ""); break;
    default: break;
    }
}

static void tap(void *ctx, goss_stage what, int layer, const float *values, int n_rows, int width)
{
    goss_observer *o = ctx;
    o->sheet = goss_telemetry_sheet(o->sink);
    o->lines = goss_telemetry_on(o->sink, GOSS_TELEMETRY_LAYERS);
    if (o->slot < 0 || (!o->sheet && !o->lines)) return;
    o->sink->session = o->session;
    show(o, what, layer, values, n_rows, width);
    o->sink->session = -1;
}

/* ---- opening and closing ------------------------------------------------------------------------------- */
int goss_observe_open(goss_observer **out, goss_telemetry *sink, const goss_model *m, int layer, int head)
{
    const goss_hparams *h = &m->hp;
    goss_observer *o = *out = goss_mem_alloc(sizeof *o);
    if (!o) return GOSS_ENOMEM;
    o->sink = sink;
    o->model = m;
    o->slot = -1;
    o->layer = layer;
    o->head = head;
    o->before = goss_mem_array((size_t)h->n_embd, sizeof *o->before);
    o->query = goss_mem_array((size_t)h->head_dim, sizeof *o->query);
    o->keys = goss_mem_array((size_t)KEYS * (size_t)h->head_dim, sizeof *o->keys);
    o->weights = goss_mem_array(KEYS, sizeof *o->weights);
    return o->before && o->query && o->keys && o->weights ? 0 : GOSS_ENOMEM;
}

void goss_observe_close(goss_observer **observer)
{
    goss_observer *o = *observer;
    if (!o) return;
    goss_mem_free(o->before);
    goss_mem_free(o->query);
    goss_mem_free(o->keys);
    goss_mem_free(o->weights);
    goss_mem_free(o);
    *observer = NULL;
}

void goss_observe_attach(goss_observer *o, goss_backend *b)
{
    if (o) b->vt->tap(b, tap, o);
}

void goss_observe_watch(goss_observer *o, int layer, int head)
{
    if (!o) return;
    o->layer = layer;
    o->head = head;
    memset(o->seen, 0, sizeof o->seen); /* the keys of another head have to pass by first */
}

void goss_observe_reset(goss_observer *o)
{
    if (o) o->slot = -1;
}

void goss_observe_fork(goss_observer *o, int from, int slot)
{
    if (o && o->slot == from) o->slot = slot;
}

/* Another sequence than before has keys of its own. */
void goss_observe_step(goss_observer *o, const goss_step *step, int session)
{
    if (!o) return;
    const goss_row *last = &step->rows[step->n_rows - 1];
    const int slot = step->seqs[last->seq].slot;
    o->first_row = step->n_rows - 1;
    while (o->first_row > 0 && step->rows[o->first_row - 1].seq == last->seq) o->first_row--;
    o->first_pos = step->rows[o->first_row].pos;
    if (slot != o->slot || !o->first_pos) memset(o->seen, 0, sizeof o->seen);
    o->slot = slot;
    o->session = session;
    o->pos = last->pos;
    o->n_rows = step->n_rows;
    o->t_last = goss_os_now_ms();
    o->timed = step->n_rows > 1 || o->t_last >= o->t_timed + (double)TIMED_MS ||
               goss_telemetry_on(o->sink, GOSS_TELEMETRY_LAYERS);
    if (o->timed) o->t_timed = o->t_last;
}
