/* observe.c - telemetry of every layer (GOSS_TELEMETRY_LAYERS), from what a backend's taps show: the norms
 * of each layer's
 * parts, the router's choice, and the attention of one layer and head.
 *
 * It watches the last row of a step. The attention map needs that sequence's keys: those of one KV head are
 * kept here by
 * position as they pass (KEYS at most); keys that were reused from the cache were never seen and count as absent.
 * Only backends that run a step at once are tapped; a GPU sends such lines itself (goss_backend_config.report). */
#include "../base/fmt.h"
#include "../base/mem.h"
#include "engine.h"
#include <math.h>
#include <string.h>

enum { KEYS = 4096 };
struct goss_observer {
    const goss_kv *kv; int pos, n_rows;          /* the observed sequence and its last row */
    int first_pos, first_row;                    /* its rows in the step */
    float *before, *query, *keys, *weights;      /* (n_embd), (head_dim), (KEYS, head_dim), (KEYS) */
    uint8_t seen[KEYS];
    double attention_norm, t_last;
    goss_buf line;
};

static int watches(const goss_engine *e)
{
    return e->config.on_telemetry && (e->config.telemetry_mask & GOSS_TELEMETRY_LAYERS) &&
           e->backend->vt->in_flight == 1;
}

static double length_of(const float *v, const float *minus, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) {
        const double d = (double)v[i] - (minus ? (double)minus[i] : 0);
        sum += d * d;
    }
    return sqrt(sum);
}

/* ---- lines ------------------------------------------------------------------------------------------------- */
static void stage(goss_engine *e, const char *name, int layer, const char *extra)
{
    goss_observer *o = e->observer;
    char detail[128];
    const double now = goss_os_now_ms();
    size_t n = 0;
    if (layer >= 0) n = goss_fmt(detail, sizeof detail, "layer=%d ", layer);
    goss_fmt(detail + n, sizeof detail - n, "%s%sms=%.3f", extra, *extra ? " " : "", now - o->t_last);
    o->t_last = now;
    goss_telemetry_detail(e, GOSS_TELEMETRY_LAYERS, name, "completed", 0, 0, detail);
}

static goss_buf *event_begin(goss_engine *e, const char *type, int layer)
{
    goss_buf *b = &e->observer->line;
    b->failed = 0;
    goss_buf_clear(b);
    goss_buf_printf(b, "{\"type\":\"inference_event\",\"event\":{\"type\":\"%s\",\"layer\":%d", type, layer);
    return b;
}

static void event_end(goss_engine *e)
{
    goss_buf *b = &e->observer->line;
    goss_buf_printf(b, "},\"ts_ms\":%.3f}", goss_os_now_ms());
    if (!b->failed) goss_telemetry_line(e, GOSS_TELEMETRY_LAYERS, (const char *)b->data, b->len);
}

static void number_list(goss_buf *b, const float *v, int n)
{
    for (int i = 0; i < n; i++) goss_buf_printf(b, "%s%.5f", i ? "," : "", (double)v[i]);
}

/* ---- attention --------------------------------------------------------------------------------------------- */
static void keep_keys(goss_engine *e, const float *values, int width)
{
    goss_observer *o = e->observer;
    const goss_hparams *h = &e->model.hp;
    const int hd = h->head_dim, head = e->config.telemetry_head, kv_head = head / (h->n_head / h->n_head_kv);
    for (int i = o->first_row; i < o->n_rows; i++) {
        const float *row = values + (size_t)i * (size_t)width;
        const int pos = o->first_pos + i - o->first_row;
        if (pos >= KEYS) break;
        memcpy(o->keys + (size_t)pos * (size_t)hd, row + (h->n_head + kv_head) * hd, (size_t)hd * sizeof *row);
        o->seen[pos] = 1;
    }
    memcpy(o->query, values + (size_t)(o->n_rows - 1) * (size_t)width + head * hd, (size_t)hd * sizeof *values);
}

/* The weights of the last row's keys, sink included in the sum, as the model's softmax has them. */
static void send_attention(goss_engine *e, int layer)
{
    goss_observer *o = e->observer;
    const goss_hparams *h = &e->model.hp;
    const goss_layer *l = &e->model.layers[layer];
    if (o->pos >= KEYS) return;
    const int from = l->windowed && o->pos >= h->window ? o->pos - h->window + 1 : 0, n = o->pos + 1 - from;
    const float *sinks = (const float *)(const void *)l->sinks.data;
    double max = sinks ? (double)sinks[e->config.telemetry_head] : -1e30, sum = 0;
    for (int i = 0; i < n; i++) {
        double dot = 0;
        for (int k = 0; k < h->head_dim; k++)
            dot +=
                (double)o->query[k] * (double)o->keys[(size_t)(from + i) * (size_t)h->head_dim + (size_t)k];
        o->weights[i] = o->seen[from + i] ? (float)(dot * (double)h->attn_scale) : -1e30f;
        if ((double)o->weights[i] > max) max = (double)o->weights[i];
    }
    if (sinks) sum = exp((double)sinks[e->config.telemetry_head] - max);
    for (int i = 0; i < n; i++) sum += exp((double)o->weights[i] - max);
    for (int i = 0; i < n; i++) o->weights[i] = (float)(exp((double)o->weights[i] - max) / sum);
    goss_buf *b = event_begin(e, "attention_weights", layer);
    goss_buf_printf(b, ",\"head\":%d,\"first\":%d,\"weights\":[[", e->config.telemetry_head, from);
    number_list(b, o->weights, n);
    goss_buf_str(b, "]]");
    event_end(e);
}

/* ---- the router -------------------------------------------------------------------------------------------- */
static void send_router(goss_engine *e, int layer, const float *logits, int n)
{
    int chosen[64], k = e->model.hp.n_expert_used;
    float weight[64];
    if (k > 64) k = 64;
    for (int i = 0; i < k; i++) {
        int best = -1;
        for (int x = 0; x < n; x++) {
            int taken = 0;
            for (int c = 0; c < i; c++) taken |= chosen[c] == x;
            if (!taken && (best < 0 || logits[x] > logits[best])) best = x;
        }
        chosen[i] = best;
    }
    float sum = 0;
    for (int i = 0; i < k; i++) sum += weight[i] = expf(logits[chosen[i]] - logits[chosen[0]]);
    for (int i = 0; i < k; i++) weight[i] /= sum;
    goss_buf *b = event_begin(e, "router", layer);
    goss_buf_str(b, ",\"experts\":[");
    for (int i = 0; i < k; i++) goss_buf_printf(b, "%s%d", i ? "," : "", chosen[i]);
    goss_buf_str(b, "],\"weights\":[");
    number_list(b, weight, k);
    goss_buf_str(b, "]");
    event_end(e);
}

static void send_activation(goss_engine *e, int layer, const float *row, int width)
{
    goss_observer *o = e->observer;
    goss_buf *b = event_begin(e, "layer_activation", layer);
    goss_buf_printf(b, ",\"attention_norm\":%.5f,\"mlp_norm\":%.5f,\"output_norm\":%.5f", o->attention_norm,
                    length_of(row, o->before, width), length_of(row, NULL, width));
    event_end(e);
}

/* ---- the tap ----------------------------------------------------------------------------------------------- */
static void tap(void *ctx, goss_stage what, int layer, const float *values, int n_rows, int width)
{
    goss_engine *e = ctx;
    goss_observer *o = e->observer;
    const float *row = values + (size_t)(n_rows - 1) * (size_t)width;
    const int watched = layer == e->config.telemetry_layer;
    char extra[32] = "";
    if (!o->kv) return;
    switch (what) {
    case GOSS_STAGE_EMBED:
        memcpy(o->before, row, (size_t)width * sizeof *row);
        stage(e, "token_embd", -1, "");
        break;
    case GOSS_STAGE_ATTN_IN:
        if (watched) keep_keys(e, values, width);
        stage(e, "attn_qkv", layer, "");
        break;
    case GOSS_STAGE_ATTEND:
        if (watched) send_attention(e, layer);
        goss_fmt(extra, sizeof extra, "cpu window=%d", e->model.layers[layer].windowed ? e->model.hp.window : 0);
        stage(e, "attn_score", layer, extra);
        break;
    case GOSS_STAGE_ATTN_OUT:
        o->attention_norm = length_of(row, o->before, width);
        memcpy(o->before, row, (size_t)width * sizeof *row);
        stage(e, "attn_out", layer, "");
        break;
    case GOSS_STAGE_ROUTE:
        send_router(e, layer, row, width);
        stage(e, "moe_router", layer, "");
        break;
    case GOSS_STAGE_EXPERTS: case GOSS_STAGE_FFN:
        send_activation(e, layer, row, width);
        memcpy(o->before, row, (size_t)width * sizeof *row);
        stage(e, what == GOSS_STAGE_FFN ? "layer_mlp" : "moe_mlp", layer, "");
        break;
    case GOSS_STAGE_HEAD: stage(e, "lm_head", -1, ""); break;
    default: break;
    }
}

void goss_observe_attach(goss_engine *e)
{
    if (e->observer) e->backend->vt->tap(e->backend, tap, e);
}

int goss_observe_open(goss_engine *e)
{
    const goss_hparams *h = &e->model.hp;
    if (!watches(e)) return 0;
    if (e->config.telemetry_layer < 0 || e->config.telemetry_layer >= h->n_layer) e->config.telemetry_layer = 0;
    if (e->config.telemetry_head < 0 || e->config.telemetry_head >= h->n_head) e->config.telemetry_head = 0;
    goss_observer *o = e->observer = goss_mem_alloc(sizeof *o);
    if (!o) return GOSS_ENOMEM;
    o->line = GOSS_BUF(1 << 20);
    o->before = goss_mem_array((size_t)h->n_embd, sizeof *o->before);
    o->query = goss_mem_array((size_t)h->head_dim, sizeof *o->query);
    o->keys = goss_mem_array((size_t)KEYS * (size_t)h->head_dim, sizeof *o->keys);
    o->weights = goss_mem_array(KEYS, sizeof *o->weights);
    if (!o->before || !o->query || !o->keys || !o->weights || goss_buf_reserve(&o->line, 1 << 16)) return GOSS_ENOMEM;
    goss_observe_attach(e);
    return 0;
}

void goss_observe_close(goss_engine *e)
{
    goss_observer *o = e->observer;
    if (!o) return;
    goss_mem_free(o->before);
    goss_mem_free(o->query);
    goss_mem_free(o->keys);
    goss_mem_free(o->weights);
    goss_buf_free(&o->line);
    goss_mem_free(o);
    e->observer = NULL;
}

int goss_engine_watch(goss_engine *e, int layer, int head)
{
    const goss_hparams *h = &e->model.hp;
    if (layer < 0 || layer >= h->n_layer || head < 0 || head >= h->n_head) return GOSS_EINVAL;
    e->config.telemetry_layer = layer;
    e->config.telemetry_head = head;
    if (e->backend && e->backend->vt->watch) e->backend->vt->watch(e->backend, layer, head);
    if (!e->observer) return 0;
    memset(e->observer->seen, 0, sizeof e->observer->seen); /* the keys of another head have to pass by first */
    return 0;
}

void goss_observe_reset(goss_engine *e)
{
    if (e->observer) e->observer->kv = NULL;
}

/* The step that comes next: its last row's sequence is watched; another sequence than before has keys of its own. */
void goss_observe_step(goss_engine *e, const goss_step *step)
{
    goss_observer *o = e->observer;
    if (!o) return;
    const goss_row *last = &step->rows[step->n_rows - 1];
    const goss_kv *kv = step->seqs[last->seq].kv;
    o->first_row = step->n_rows - 1;
    while (o->first_row > 0 && step->rows[o->first_row - 1].seq == last->seq) o->first_row--;
    o->first_pos = step->rows[o->first_row].pos;
    if (kv != o->kv || !o->first_pos) memset(o->seen, 0, sizeof o->seen);
    o->kv = kv;
    o->pos = last->pos;
    o->n_rows = step->n_rows;
    o->t_last = goss_os_now_ms();
}
