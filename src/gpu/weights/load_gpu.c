/* load_gpu.c - what is loaded, in which order: matrices through feed.c, vectors put in order on the host,
 * a layer at a time. Nothing waits here: goss_weights_load() does what can be done and says GOSS_EAGAIN. */
#include "load_gpu.h"
#include "arriving.h"
#include "feed.h"
#include "report.h"
#include "slots_gpu.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/os.h"
#include <string.h>

/* ---- the list of what to load -------------------------------------------------------------------------- */
static int add(goss_weights *w, goss_load_item item)
{
    if (w->load.n_items == w->load.cap_items) {
        const int cap = w->load.cap_items ? w->load.cap_items * 2 : 256;
        const size_t each = sizeof *w->load.items;
        void *p = goss_mem_grow(w->load.items, (size_t)w->load.cap_items * each, (size_t)cap * each);
        if (!p) return GOSS_ENOMEM;
        w->load.items = p;
        w->load.cap_items = cap;
    }
    w->load.items[w->load.n_items++] = item;
    if (item.tensor && item.matrix)
        w->load.bytes_total += goss_type_row_bytes(item.tensor->type, item.tensor->ne[0]) * item.n_rows;
    return 0;
}

/* All pieces of a matrix from one tensor whose rows keep their numbers (or are every second row, `which`
 * first). */
static int add_matrix(goss_weights *w, const goss_tensor *t, const goss_matrix *m, uint32_t mode,
                      uint32_t which)
{
    const uint32_t step = mode == GOSS_REPACK_PAIRS ? 2 : 1;
    int r = 0;
    for (int i = 0; i < m->n_pieces && !r; i++)
        r = add(w, (goss_load_item){ .tensor = t,
                                     .matrix = m,
                                     .piece = i,
                                     .source_first = m->piece[i].first / step,
                                     .n_rows = m->piece[i].n / step,
                                     .row0 = which - m->piece[i].first,
                                     .mode = mode });
    return r;
}

static int add_small(goss_weights *w, const goss_tensor *t, uint32_t at, uint32_t mode)
{
    return t->type < 0 ? 0 : add(w, (goss_load_item){ .tensor = t, .row0 = at, .mode = mode });
}

static int plan_small(goss_weights *w, const goss_layer *t, const goss_layer_weights *l)
{
    const uint32_t rope = w->model->hp.rope_half ? GOSS_REPACK_ROPE : GOSS_REPACK_PLAIN;
    uint32_t b[3] = { l->bqkv[0], l->bqkv[1], l->bqkv[2] };
    /* one matrix: the three biases lie behind one another */
    if (l->n_qkv == 1 && t->bq.type >= 0) {
        b[1] = b[0] + (uint32_t)t->bq.ne[0];
        b[2] = b[1] + (uint32_t)t->bk.ne[0];
    }
    int r = add_small(w, &t->attn_norm, l->attn_norm, 0);
    if (!r) r = add_small(w, &t->bq, b[0], rope);
    if (!r) r = add_small(w, &t->bk, b[1], rope);
    if (!r) r = add_small(w, &t->bv, b[2], 0);
    if (!r) r = add_small(w, &t->bo, l->bo, 0);
    if (!r) r = add_small(w, &t->sinks, l->sinks, 0);
    if (!r) r = add_small(w, &t->ffn_norm, l->ffn_norm, 0);
    if (!r) r = add_small(w, &t->router, l->router, 0);
    if (!r) r = add_small(w, &t->router_b, l->router_b, 0);
    if (!r) r = add_small(w, &t->gate_b, l->up_b, GOSS_REPACK_PAIRS);
    if (!r) r = add_small(w, &t->up_b, l->up_b + 1, GOSS_REPACK_PAIRS);
    if (!r) r = add_small(w, &t->down_b, l->down_b, 0);
    return r ? r : add(w, (goss_load_item){ .small = l->small, .small_floats = l->small_floats });
}

/* Experts that come behind everything else. */
static void plan_later(goss_weights *w)
{
    const goss_model *m = w->model;
    for (int l = 0; l < m->hp.n_layer && w->slots.early; l++)
        if (w->layers[l].n_slots == m->hp.n_expert)
            w->load.bytes_total +=
                m->layers[l].gate.n_bytes + m->layers[l].up.n_bytes + m->layers[l].down.n_bytes;
}

int goss_weights_prepare(goss_weights *w, goss_error *err)
{
    const goss_model *m = w->model;
    int r = m->tok_embd.type >= 0 ? goss_feed_prepare(w, m->tok_embd.type, err) : 0;
    if (!r && m->output.type >= 0) r = goss_feed_prepare(w, m->output.type, err);
    for (int i = 0; i < m->hp.n_layer; i++) {
        const goss_layer *l = &m->layers[i];
        const goss_tensor *const all[] = { &l->wq, &l->wk, &l->wv, &l->wo, &l->gate, &l->up, &l->down };
        for (int k = 0; k < 7 && !r; k++) r = goss_feed_prepare(w, all[k]->type, err);
    }
    return r;
}

static int plan_layer(goss_weights *w, int layer)
{
    const goss_layer *t = &w->model->layers[layer];
    const goss_layer_weights *l = &w->layers[layer];
    const uint32_t rope = w->model->hp.rope_half ? GOSS_REPACK_ROPE : GOSS_REPACK_PLAIN;
    const goss_tensor *const qkv[3] = { &t->wq, &t->wk, &t->wv };
    uint32_t first = 0;
    int r = plan_small(w, t, l);
    for (int i = 0; i < 3 && !r; i++) {
        const int own = l->n_qkv == 3;
        r = add(w, (goss_load_item){ .tensor = qkv[i],
                                     .matrix = &l->qkv[own ? i : 0],
                                     .n_rows = (uint32_t)qkv[i]->ne[1],
                                     .row0 = own ? 0 : first,
                                     .mode = i < 2 ? rope : 0 });
        first += (uint32_t)qkv[i]->ne[1];
    }
    if (!r) r = add_matrix(w, &t->wo, &l->wo, 0, 0);
    if (w->slots.on && (w->slots.early || l->n_slots < w->model->hp.n_expert))
        return r;
    if (!r) r = add_matrix(w, &t->gate, &l->up, GOSS_REPACK_PAIRS, 0);
    if (!r) r = add_matrix(w, &t->up, &l->up, GOSS_REPACK_PAIRS, 1);
    if (!r) r = add_matrix(w, &t->down, &l->down, 0, 0);
    return r;
}

/* Experts start where they belong: slot e of a layer is expert e. */
static int write_slots(goss_weights *w)
{
    if (w->slots.on) return goss_slots_start(w);
    const goss_hparams *hp = &w->model->hp;
    const uint32_t n = (uint32_t)(hp->n_layer * hp->n_expert);
    uint32_t *table = n ? goss_mem_array(n, 8) : NULL;
    if (!n) return 0;
    if (!table) return GOSS_ENOMEM;
    for (uint32_t i = 0; i < 2 * n; i++) table[i] = i % (uint32_t)hp->n_expert;
    const int r = goss_gpu_write(w->gpu, w->slots.device, 0, table, n * 8ull);
    goss_mem_free(table);
    return r;
}

int goss_weights_plan(goss_weights *w, goss_error *err)
{
    const goss_model *m = w->model;
    int r = w->embeds ? add_matrix(w, &m->tok_embd, &w->tok, 0, 0) : 0;
    for (int i = 0; i < m->hp.n_layer && !r; i++) r = plan_layer(w, i);
    if (!r) r = add_small(w, &m->out_norm, 0, 0);
    if (!r) r = add(w, (goss_load_item){ .small = w->out_small, .small_floats = (uint32_t)m->hp.n_embd });
    if (!r && w->has_head && !w->tied) r = add_matrix(w, &m->output, &w->out, 0, 0);
    if (!r) r = write_slots(w);
    plan_later(w);
    w->load.t_load = goss_os_now_ms();
    for (int i = 0; i < w->load.n_items; i++)
        if (w->load.items[i].small_floats > w->load.small_cap)
            w->load.small_cap = w->load.items[i].small_floats;
    w->load.small_host = goss_mem_array(w->load.small_cap, 4);
    if (!r && !w->load.small_host) r = GOSS_ENOMEM;
    if (!r) r = goss_feed_open(w);
    return r < 0 ? goss_fail(err, r, -1,
                             "no memory to load the weights with: use a smaller --max-kv, or --backend cpu")
                 : 0;
}

/* ---- vectors ------------------------------------------------------------------------------------------- */
static uint32_t place_of(const goss_weights *w, uint32_t mode, uint32_t r)
{
    const uint32_t hd = (uint32_t)w->model->hp.head_dim, half = (uint32_t)w->model->hp.rope_dim / 2,
                   j = r % hd;
    if (mode == GOSS_REPACK_PAIRS) return 2 * r;
    if (mode == GOSS_REPACK_ROPE && j < 2 * half) return r - j + (j < half ? 2 * j : 2 * (j - half) + 1);
    return r;
}

/* The tensor's raw bytes: from the mapping, or read into w->load.raw (GOSS_EAGAIN until they are there). */
static int raw_bytes(goss_weights *w, const goss_tensor *t, const void **out)
{
    if (t->data) { *out = t->data; return goss_arriving_need(w, t, 0, t->n_bytes, NULL); }
    if (t->shard >= w->config->n_sources) return GOSS_EIO;
    const goss_source *src = &w->config->sources[t->shard];
    if (src->map) { *out = (const char *)src->map + t->offset; return 0; }
    if (!w->load.raw_state) {
        if (t->n_bytes > w->load.raw_cap) {
            goss_mem_free(w->load.raw);
            w->load.raw = goss_mem_alloc((size_t)t->n_bytes);
            w->load.raw_cap = w->load.raw ? t->n_bytes : 0;
            if (!w->load.raw) return GOSS_ENOMEM;
        }
        w->load.raw_state = 1;
        const int r = src->read(src->ctx, t->offset, w->load.raw, (size_t)t->n_bytes, GOSS_TAG_RAW);
        if (r) w->load.raw_state = r < 0 ? r : 2;
    }
    if (w->load.raw_state < 0) return w->load.raw_state;
    if (w->load.raw_state == 1) return GOSS_EAGAIN;
    w->load.raw_state = 0;
    *out = w->load.raw;
    return 0;
}

static int load_small(goss_weights *w, const goss_load_item *it, goss_error *err)
{
    if (!it->tensor) {
        const int r = goss_gpu_write(w->gpu, it->small, 0, w->load.small_host, it->small_floats * 4ull);
        memset(w->load.small_host, 0, w->load.small_cap * 4ull);
        return r;
    }
    const goss_tensor *t = it->tensor;
    const uint32_t n = (uint32_t)(t->ne[0] * t->ne[1] * t->ne[2]);
    const void *raw;
    int r = raw_bytes(w, t, &raw);
    if (r) return r == GOSS_EAGAIN ? r : goss_fail(err, r, -1, "reading %s failed", t->name);
    float *f = it->mode ? goss_mem_array(n, 4) : w->load.small_host + it->row0;
    if (!f) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for %s", t->name);
    r = goss_to_float(t->type, raw, f, n);
    for (uint32_t i = 0; it->mode && !r && i < n; i++) w->load.small_host[it->row0 + place_of(w, it->mode,
                                                                      i)] = f[i];
    if (it->mode) goss_mem_free(f);
    return r ? goss_fail(err, r, -1, "%s has a type that is not supported", t->name) : 0;
}

static void progress(goss_weights *w, int last)
{
    const double now = goss_os_now_ms();
    if (!last && now - w->load.t_report < 100) return;
    w->load.t_report = now;
    char detail[160];
    const goss_tensor *t = w->load.item < w->load.n_items ? w->load.items[w->load.item].tensor : NULL;
    goss_report_rate(w, detail, sizeof detail, t ? t->name : w->slots.early ? "experts" : "");
    goss_report_load(w, "weights_fetch", last && !w->slots.early ? "completed" : "progress", detail,
                     w->load.bytes_done,
                    w->load.bytes_total);
}

/* A tensor whose file is still arriving is waited for in runs of several uploads. */
static int need_rows(goss_weights *w, const goss_load_item *it, goss_error *err)
{
    const uint64_t row = goss_type_row_bytes(it->tensor->type, it->tensor->ne[0]);
    const uint64_t run = row < GOSS_GPU_STAGING ? GOSS_GPU_STAGING / row * 8 : 1,
        left = it->n_rows - it->done;
    if (!w->arriving || it->done % run) return 0;
    return goss_arriving_need(w, it->tensor, (it->source_first + it->done) * row,
                              (run < left ? run : left) * row, err);
}

/* Sends the list on as far as it goes now. */
static int load_items(goss_weights *w, double until, goss_error *err)
{
    while (w->load.item < w->load.n_items) {
        goss_load_item *it = &w->load.items[w->load.item];
        int r = goss_feed_pump(w, err);
        if (!r && it->matrix) r = need_rows(w, it, err);
        if (!r) r = it->matrix ? goss_feed_send(w, it, err) : load_small(w, it, err);
        if (r) return r;
        if (!it->matrix || it->done == it->n_rows) {
            goss_report_resident(w, it->tensor);
            w->load.item++;
        }
        progress(w, 0);
        if (goss_os_now_ms() > until) return GOSS_EAGAIN;
    }
    return goss_feed_drain(w, err);
}

int goss_weights_load(goss_weights *w, goss_error *err)
{
    const int r = load_items(w, goss_os_now_ms() + 30, err);
    if (r) return r;
    progress(w, 1);
    goss_mem_free(w->load.small_host); goss_mem_free(w->load.raw); goss_mem_free(w->load.items);
    w->load.small_host = NULL; w->load.raw = NULL; w->load.items = NULL;
    if (!w->slots.on) goss_feed_close(w);
    return 0;
}

void goss_weights_read_done(goss_weights *w, uint64_t tag, int status)
{
    if (tag >= GOSS_TAG_LANE) goss_feed_done(w, tag, status);
    else w->load.raw_state = status < 0 ? status : 2;
}
