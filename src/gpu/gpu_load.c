/* gpu_load.c - what is loaded, in which order: matrices through gpu_feed.c, vectors put in order on the host, a layer
 * at a time. Nothing waits here: goss_gpu_load_some() does what can be done and says GOSS_EAGAIN. */
#include "gpu_state.h"
#include "../base/error.h"
#include "../base/fmt.h"
#include "../base/mem.h"
#include "../base/os.h"
#include <string.h>

void goss_gpu_report(goss_gpu_state *s, const char *stage, const char *status, const char *detail,
                     uint64_t bytes, uint64_t total)
{
    if (!s->config.report) return;
    goss_buf b = GOSS_BUF(2048);
    goss_buf_printf(&b, "{\"type\":\"load_stage\",\"stage\":\"%s\",\"status\":\"%s\"", stage, status);
    if (detail) {
        goss_buf_str(&b, ",\"detail\":");
        goss_buf_json_string(&b, detail, strlen(detail));
    }
    if (total)
        goss_buf_printf(&b, ",\"bytes\":%llu,\"total_bytes\":%llu", (unsigned long long)bytes,
                        (unsigned long long)total);
    goss_buf_printf(&b, ",\"ts_ms\":%.1f}", goss_os_now_ms());
    if (!b.failed) s->config.report(s->config.report_ctx, (const char *)b.data, b.len);
    goss_buf_free(&b);
}

/* ---- the list of what to load -------------------------------------------------------------------------- */
static int add(goss_gpu_state *s, goss_load_item item)
{
    if (s->n_items == s->cap_items) {
        const int cap = s->cap_items ? s->cap_items * 2 : 256;
        void *p = goss_mem_grow(s->items, (size_t)s->cap_items * sizeof *s->items, (size_t)cap * sizeof *s->items);
        if (!p) return GOSS_ENOMEM;
        s->items = p;
        s->cap_items = cap;
    }
    s->items[s->n_items++] = item;
    if (item.tensor && item.matrix)
        s->bytes_total += goss_type_row_bytes(item.tensor->type, item.tensor->ne[0]) * item.n_rows;
    return 0;
}

/* All pieces of a matrix from one tensor whose rows keep their numbers (or are every second row, `which` first). */
static int add_matrix(goss_gpu_state *s, const goss_tensor *t, const goss_matrix *m, uint32_t mode, uint32_t which)
{
    const uint32_t step = mode == GOSS_REPACK_PAIRS ? 2 : 1;
    int r = 0;
    for (int i = 0; i < m->n_pieces && !r; i++)
        r = add(s, (goss_load_item){ .tensor = t,
                                     .matrix = m,
                                     .piece = i,
                                     .source_first = m->piece[i].first / step,
                                     .n_rows = m->piece[i].n / step,
                                     .row0 = which - m->piece[i].first,
                                     .mode = mode });
    return r;
}

static int add_small(goss_gpu_state *s, const goss_tensor *t, uint32_t at, uint32_t mode)
{
    return t->type < 0 ? 0 : add(s, (goss_load_item){ .tensor = t, .row0 = at, .mode = mode });
}

static int plan_small(goss_gpu_state *s, const goss_layer *t, const goss_gpu_layer *l)
{
    const uint32_t rope = s->base.model->hp.rope_half ? GOSS_REPACK_ROPE : GOSS_REPACK_PLAIN;
    uint32_t b[3] = { l->bqkv[0], l->bqkv[1], l->bqkv[2] };
    if (l->n_qkv == 1 && t->bq.type >= 0) {            /* one matrix: the three biases lie behind one another */
        b[1] = b[0] + (uint32_t)t->bq.ne[0];
        b[2] = b[1] + (uint32_t)t->bk.ne[0];
    }
    int r = add_small(s, &t->attn_norm, l->attn_norm, 0);
    if (!r) r = add_small(s, &t->bq, b[0], rope);
    if (!r) r = add_small(s, &t->bk, b[1], rope);
    if (!r) r = add_small(s, &t->bv, b[2], 0);
    if (!r) r = add_small(s, &t->bo, l->bo, 0);
    if (!r) r = add_small(s, &t->sinks, l->sinks, 0);
    if (!r) r = add_small(s, &t->ffn_norm, l->ffn_norm, 0);
    if (!r) r = add_small(s, &t->router, l->router, 0);
    if (!r) r = add_small(s, &t->router_b, l->router_b, 0);
    if (!r) r = add_small(s, &t->gate_b, l->up_b, GOSS_REPACK_PAIRS);
    if (!r) r = add_small(s, &t->up_b, l->up_b + 1, GOSS_REPACK_PAIRS);
    if (!r) r = add_small(s, &t->down_b, l->down_b, 0);
    return r ? r : add(s, (goss_load_item){ .small = l->small, .small_floats = l->small_floats });
}

/* Experts that come behind everything else. */
static void plan_later(goss_gpu_state *s)
{
    const goss_model *m = s->base.model;
    for (int l = 0; l < m->hp.n_layer && s->pages.early; l++)
        if (s->layers[l].n_slots == m->hp.n_expert)
            s->bytes_total += m->layers[l].gate.n_bytes + m->layers[l].up.n_bytes + m->layers[l].down.n_bytes;
}

int goss_gpu_load_prepare(goss_gpu_state *s, goss_error *err)
{
    const goss_model *m = s->base.model;
    int r = goss_gpu_feed_prepare(s, m->tok_embd.type, err);
    if (!r && m->output.type >= 0) r = goss_gpu_feed_prepare(s, m->output.type, err);
    for (int i = 0; i < m->hp.n_layer; i++) {
        const goss_layer *l = &m->layers[i];
        const goss_tensor *const all[] = { &l->wq, &l->wk, &l->wv, &l->wo, &l->gate, &l->up, &l->down };
        for (int k = 0; k < 7 && !r; k++) r = goss_gpu_feed_prepare(s, all[k]->type, err);
    }
    return r;
}

static int plan_layer(goss_gpu_state *s, int layer)
{
    const goss_layer *t = &s->base.model->layers[layer];
    const goss_gpu_layer *l = &s->layers[layer];
    const uint32_t rope = s->base.model->hp.rope_half ? GOSS_REPACK_ROPE : GOSS_REPACK_PLAIN;
    const goss_tensor *const qkv[3] = { &t->wq, &t->wk, &t->wv };
    uint32_t first = 0;
    int r = plan_small(s, t, l);
    for (int i = 0; i < 3 && !r; i++) {
        const int own = l->n_qkv == 3;
        r = add(s, (goss_load_item){ .tensor = qkv[i],
                                     .matrix = &l->qkv[own ? i : 0],
                                     .n_rows = (uint32_t)qkv[i]->ne[1],
                                     .row0 = own ? 0 : first,
                                     .mode = i < 2 ? rope : 0 });
        first += (uint32_t)qkv[i]->ne[1];
    }
    if (!r) r = add_matrix(s, &t->wo, &l->wo, 0, 0);
    if (s->pages.on && (s->pages.early || l->n_slots < s->base.model->hp.n_expert))
        return r;
    if (!r) r = add_matrix(s, &t->gate, &l->up, GOSS_REPACK_PAIRS, 0);
    if (!r) r = add_matrix(s, &t->up, &l->up, GOSS_REPACK_PAIRS, 1);
    if (!r) r = add_matrix(s, &t->down, &l->down, 0, 0);
    return r;
}

/* Experts start where they belong: slot e of a layer is expert e. */
static int write_slots(goss_gpu_state *s)
{
    if (s->pages.on) return goss_gpu_slots_start(s);
    const goss_hparams *hp = &s->base.model->hp;
    const uint32_t n = (uint32_t)(hp->n_layer * hp->n_expert);
    uint32_t *table = n ? goss_mem_array(n, 8) : NULL;
    if (!n) return 0;
    if (!table) return GOSS_ENOMEM;
    for (uint32_t i = 0; i < 2 * n; i++) table[i] = i % (uint32_t)hp->n_expert;
    const int r = goss_gpu_write(s->gpu, s->slots, 0, table, n * 8ull);
    goss_mem_free(table);
    return r;
}

int goss_gpu_load_plan(goss_gpu_state *s, goss_error *err)
{
    const goss_model *m = s->base.model;
    int r = add_matrix(s, &m->tok_embd, &s->tok, 0, 0);
    for (int i = 0; i < m->hp.n_layer && !r; i++) r = plan_layer(s, i);
    if (!r) r = add_small(s, &m->out_norm, 0, 0);
    if (!r) r = add(s, (goss_load_item){ .small = s->out_small, .small_floats = (uint32_t)m->hp.n_embd });
    if (!r && !s->tied) r = add_matrix(s, &m->output, &s->out, 0, 0);
    if (!r) r = write_slots(s);
    plan_later(s);
    s->t_load = goss_os_now_ms();
    for (int i = 0; i < s->n_items; i++)
        if (s->items[i].small_floats > s->small_cap) s->small_cap = s->items[i].small_floats;
    s->small_host = goss_mem_array(s->small_cap, 4);
    if (!r && !s->small_host) r = GOSS_ENOMEM;
    if (!r) r = goss_gpu_feed_open(s);
    return r < 0 ? goss_fail(err, r, -1,
                             "no memory to load the weights with: use a smaller --max-kv, or --backend cpu")
                 : 0;
}

/* ---- vectors ------------------------------------------------------------------------------------------- */
static uint32_t place_of(const goss_gpu_state *s, uint32_t mode, uint32_t r)
{
    const uint32_t hd = (uint32_t)s->base.model->hp.head_dim, half = (uint32_t)s->base.model->hp.rope_dim / 2,
                   j = r % hd;
    if (mode == GOSS_REPACK_PAIRS) return 2 * r;
    if (mode == GOSS_REPACK_ROPE && j < 2 * half) return r - j + (j < half ? 2 * j : 2 * (j - half) + 1);
    return r;
}

/* The tensor's raw bytes: from the mapping, or read into s->raw (GOSS_EAGAIN until they are there). */
static int raw_bytes(goss_gpu_state *s, const goss_tensor *t, const void **out)
{
    if (t->data) { *out = t->data; return goss_gpu_need(s, t, 0, t->n_bytes, NULL); }
    if (t->shard >= s->config.n_sources) return GOSS_EIO;
    const goss_source *src = &s->config.sources[t->shard];
    if (src->map) { *out = (const char *)src->map + t->offset; return 0; }
    if (!s->raw_state) {
        if (t->n_bytes > s->raw_cap) {
            goss_mem_free(s->raw);
            s->raw = goss_mem_alloc((size_t)t->n_bytes);
            s->raw_cap = s->raw ? t->n_bytes : 0;
            if (!s->raw) return GOSS_ENOMEM;
        }
        s->raw_state = 1;
        const int r = src->read(src->ctx, t->offset, s->raw, (size_t)t->n_bytes, GOSS_TAG_RAW);
        if (r) s->raw_state = r < 0 ? r : 2;
    }
    if (s->raw_state < 0) return s->raw_state;
    if (s->raw_state == 1) return GOSS_EAGAIN;
    s->raw_state = 0;
    *out = s->raw;
    return 0;
}

static int load_small(goss_gpu_state *s, const goss_load_item *it, goss_error *err)
{
    if (!it->tensor) {
        const int r = goss_gpu_write(s->gpu, it->small, 0, s->small_host, it->small_floats * 4ull);
        memset(s->small_host, 0, s->small_cap * 4ull);
        return r;
    }
    const goss_tensor *t = it->tensor;
    const uint32_t n = (uint32_t)(t->ne[0] * t->ne[1] * t->ne[2]);
    const void *raw;
    int r = raw_bytes(s, t, &raw);
    if (r) return r == GOSS_EAGAIN ? r : goss_fail(err, r, -1, "reading %s failed", t->name);
    float *f = it->mode ? goss_mem_array(n, 4) : s->small_host + it->row0;
    if (!f) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for %s", t->name);
    r = goss_to_float(t->type, raw, f, n);
    for (uint32_t i = 0; it->mode && !r && i < n; i++) s->small_host[it->row0 + place_of(s, it->mode, i)] = f[i];
    if (it->mode) goss_mem_free(f);
    return r ? goss_fail(err, r, -1, "%s has a type that is not supported", t->name) : 0;
}

void goss_gpu_rate(const goss_gpu_state *s, char *to, size_t n, const char *what)
{
    const double seconds = (goss_os_now_ms() - s->t_load) / 1e3;
    const double rate = seconds > 0 ? (double)s->bytes_done / seconds : 0;
    const double left = s->bytes_total > s->bytes_done ? (double)(s->bytes_total - s->bytes_done) : 0;
    goss_fmt(to, n, "tensor=%s rate=%.0f eta=%.1f", what, rate, rate > 0 ? left / rate : 0.0);
}

static void progress(goss_gpu_state *s, int last)
{
    const double now = goss_os_now_ms();
    if (!last && now - s->t_report < 100) return;
    s->t_report = now;
    char detail[160];
    const goss_tensor *t = s->item < s->n_items ? s->items[s->item].tensor : NULL;
    goss_gpu_rate(s, detail, sizeof detail, t ? t->name : s->pages.early ? "experts" : "");
    goss_gpu_report(s, "weights_fetch", last && !s->pages.early ? "completed" : "progress", detail, s->bytes_done,
                    s->bytes_total);
}

void goss_gpu_tell_resident(goss_gpu_state *s, const goss_tensor *t)
{
    goss_buf b = GOSS_BUF(1024);
    if (!t || !s->config.report) return;
    goss_buf_str(&b, "{\"type\":\"inference_event\",\"event\":{\"type\":\"tensor_resident\",\"name\":");
    goss_buf_json_string(&b, t->name, strlen(t->name));
    goss_buf_printf(&b, ",\"bytes\":%llu,\"kind\":\"%s\"},\"ts_ms\":%.1f}", (unsigned long long)t->n_bytes,
                    goss_type_get(t->type)->name, goss_os_now_ms());
    if (!b.failed) s->config.report(s->config.report_ctx, (const char *)b.data, b.len);
    goss_buf_free(&b);
}

/* A tensor whose file is still arriving is waited for in runs of several uploads. */
static int need_rows(goss_gpu_state *s, const goss_load_item *it, goss_error *err)
{
    const uint64_t row = goss_type_row_bytes(it->tensor->type, it->tensor->ne[0]);
    const uint64_t run = row < GOSS_GPU_STAGING ? GOSS_GPU_STAGING / row * 8 : 1, left = it->n_rows - it->done;
    if (!s->arriving || it->done % run) return 0;
    return goss_gpu_need(s, it->tensor, (it->source_first + it->done) * row, (run < left ? run : left) * row, err);
}

/* Sends the list on as far as it goes now. */
static int load_items(goss_gpu_state *s, double until, goss_error *err)
{
    while (s->item < s->n_items) {
        goss_load_item *it = &s->items[s->item];
        int r = goss_gpu_feed_pump(s, err);
        if (!r && it->matrix) r = need_rows(s, it, err);
        if (!r) r = it->matrix ? goss_gpu_feed(s, it, err) : load_small(s, it, err);
        if (r) return r;
        if (!it->matrix || it->done == it->n_rows) {
            goss_gpu_tell_resident(s, it->tensor);
            s->item++;
        }
        progress(s, 0);
        if (goss_os_now_ms() > until) return GOSS_EAGAIN;
    }
    return goss_gpu_feed_drain(s, err);
}

int goss_gpu_load_some(goss_gpu_state *s, goss_error *err)
{
    const int r = load_items(s, goss_os_now_ms() + 30, err);
    if (r) return r;
    progress(s, 1);
    goss_mem_free(s->small_host); goss_mem_free(s->raw); goss_mem_free(s->items);
    s->small_host = NULL; s->raw = NULL; s->items = NULL;
    if (!s->pages.on) goss_gpu_feed_close(s);
    return 0;
}
