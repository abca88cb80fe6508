/* kv_gpu.c - pages of the KV cache on the device: copied, read back, written.
 *
 * A layer's keys and values are one buffer of pages. What the engine calls a page is that page of all
 * layers of its class, one behind the other. Reading goes through one buffer, a page at a time, and never
 * waits by itself: the copy is queued behind the steps submitted so far, and whoever asked asks again.
 *
 * Where the device says how much memory it has, there are few pages at first, and twice as many whenever one
 * is used that isn't there: up to four fifths of the device with its weights. */
#include "kv_gpu.h"
#include <string.h>

enum { NOBODY = -1 };                                  /* kv_reading: a read that nobody wants any more */

void goss_kv_plan_growth(goss_gpu_state *s)
{
    const goss_backend_config *c = &s->config;
    const goss_gpu_limits *l = goss_gpu_get_limits(s->gpu);
    const uint64_t page = goss_weights_page_bytes(&s->weights), all = l->memory / 5 * 4,
                   room = all > c->beside_kv ? all - c->beside_kv : 0,
                   largest = (l->max_binding < l->max_buffer ? l->max_binding : l->max_buffer) / page;
    uint64_t layers[GOSS_KV_CLASSES] = { 0 }, most[GOSS_KV_CLASSES];
    for (int i = 0; i < s->base.model->hp.n_layer; i++) layers[s->base.model->layers[i].windowed != 0]++;
    for (int k = GOSS_KV_CLASSES - 1; k >= 0; k--) {   /* windows are small, and have what they need */
        const uint64_t spent = k ? 0 : most[GOSS_KV_WINDOW] * layers[GOSS_KV_WINDOW] * page,
                       left = room > spent ? room - spent : 0,
                   fits = layers[k] ? left / (k ? 2 : 1) / (layers[k] * page) : 0;
        most[k] = (uint64_t)c->most_pages[k] < fits ? (uint64_t)c->most_pages[k] : fits;
        if (most[k] > largest) most[k] = largest;
        if (most[k] < (uint64_t)c->n_pages[k]) most[k] = (uint64_t)c->n_pages[k];
    }
    memcpy(s->kv.n_pages, c->n_pages, sizeof s->kv.n_pages);
    if (!c->most_kv || most[0] <= (uint64_t)c->n_pages[0]) return;
    const int holds = ((int)most[GOSS_KV_FULL] - 1) * GOSS_KV_PAGE;
    for (int k = 0; k < GOSS_KV_CLASSES; k++) s->base.grows.n_pages[k] = (int)most[k];
    s->base.grows.max_kv = holds < c->most_kv ? holds : c->most_kv;
    if (s->base.grows.max_kv < c->max_kv) s->base.grows.max_kv = c->max_kv;
    s->config.max_kv = s->base.grows.max_kv;
}

static int make_pages(goss_gpu_state *s, int cls, int n)
{
    const uint64_t bytes = (uint64_t)n * goss_weights_page_bytes(&s->weights);
    int r = goss_rec_flush(&s->rec);
    for (int i = 0; i < s->base.model->hp.n_layer && !r; i++) {
        goss_layer_weights *l = &s->weights.layers[i];
        const uint64_t before = goss_gpu_buffer_size(s->gpu, l->kv);
        if (l->cls != cls || before >= bytes) continue;
        const int new = goss_gpu_buffer_grow(s->gpu, l->kv, bytes, "KV pages");
        if (new < 0) r = new;
        else { l->kv = new; s->weights.kv_bytes += goss_gpu_buffer_size(s->gpu, new) - before; }
    }
    if (!r) s->kv.n_pages[cls] = n;
    return r;
}

/* Makes n pages be there. */
static int room(goss_gpu_state *s, int cls, int n)
{
    const int have = s->kv.n_pages[cls], most = s->base.grows.n_pages[cls];
    if (n <= have) return 0;
    if (n > most) return GOSS_EFULL;
    const int twice = 2 * have < most ? 2 * have : most, want = n > twice ? n : twice;
    const int r = make_pages(s, cls, want);
    return r && want > n ? make_pages(s, cls, n) : r;  /* little room: only what is needed */
}

int goss_kv_follow(goss_gpu_state *s, const goss_step *step)
{
    int r = s->kv.failed;
    s->kv.failed = 0;
    for (int k = 0; k < GOSS_KV_CLASSES && s->base.grows.max_kv && !r; k++)
        r = room(s, k, step->seqs[0].kv->pool->n_touched[k]);
    return r;
}

void goss_kv_record_copy(goss_gpu_state *s, int cls, int from, int to)
{
    const uint64_t bytes = goss_weights_page_bytes(&s->weights);
    const int r = room(s, cls, to + 1);
    if (r) { s->kv.failed = r; return; }
    if (!s->buf.kv_temp) s->buf.kv_temp = goss_gpu_buffer(s->gpu, bytes,
                                                          GOSS_GPU_COPY_SRC | GOSS_GPU_COPY_DST, "KV copy");
    for (int i = 0; i < s->base.model->hp.n_layer && s->buf.kv_temp > 0; i++)
        if (s->weights.layers[i].cls == cls) {                 /* WebGPU copies only between buffers */
            goss_rec_copy(&s->rec, s->weights.layers[i].kv, (uint64_t)from * bytes, s->buf.kv_temp, 0, bytes);
            goss_rec_copy(&s->rec, s->buf.kv_temp, 0, s->weights.layers[i].kv, (uint64_t)to * bytes, bytes);
        }
}

size_t goss_kv_page_bytes(const goss_backend *b, int cls)
{
    const goss_gpu_state *s = (const goss_gpu_state *)b;
    size_t n = 0;
    for (int i = 0; i < b->model->hp.n_layer; i++) n += s->weights.layers[i].cls == cls;
    return n * (size_t)goss_weights_page_bytes(&s->weights);
}

static int begin_read(goss_gpu_state *s, int cls, int page, uint64_t n)
{
    const uint64_t bytes = goss_weights_page_bytes(&s->weights);
    uint64_t at = 0;
    if (s->kv.back > 0 && goss_gpu_buffer_size(s->gpu, s->kv.back) < n) {
        goss_gpu_buffer_free(s->gpu, s->kv.back);
        s->kv.back = 0;
    }
    if (!s->kv.back) s->kv.back = goss_gpu_buffer(s->gpu, n, GOSS_GPU_MAP_READ | GOSS_GPU_COPY_DST,
                                                  "KV back");
    if (s->kv.back < 0) {
        s->kv.back = 0;
        return GOSS_ENOMEM;
    }
    for (int i = 0; i < s->base.model->hp.n_layer; i++) {
        if (s->weights.layers[i].cls != cls) continue;
        goss_rec_copy(&s->rec, s->weights.layers[i].kv, (uint64_t)page * bytes, s->kv.back, at, bytes);
        at += bytes;
    }
    const int r = goss_rec_flush(&s->rec);
    return r ? r : goss_gpu_read(s->gpu, s->kv.back, 0, n);
}

int goss_kv_read_page(goss_backend *b, int cls, int page, void *dst, int timeout_ms)
{
    goss_gpu_state *s = (goss_gpu_state *)b;
    const uint64_t n = goss_kv_page_bytes(b, cls);
    const int this = 1 + 2 * page + cls;
    uint64_t ignored;
    if (!dst) {
        if (s->kv.reading) s->kv.reading = NOBODY;
        return 0;
    }
    for (;;) {
        int r = s->kv.reading ? 0 : begin_read(s, cls, page, n);
        if (r) return r;
        if (!s->kv.reading) s->kv.reading = this;
        const int mine = s->kv.reading == this;
        r = goss_gpu_read_poll(s->gpu, s->kv.back, mine ? dst : &ignored, mine ? n : sizeof ignored);
        if (r == GOSS_EAGAIN && timeout_ms > 0) {
            goss_gpu_poll(s->gpu, timeout_ms);
            timeout_ms = 0;
            continue;
        }
        if (r == GOSS_EAGAIN) return r;
        s->kv.reading = 0;
        if (r || mine) return r;
    }
}

/* Where experts are paged, a step in flight may stop and run again behind what is written now, into pages
 * that it no longer holds: then it has to wait. */
int goss_kv_write_page(goss_backend *b, int cls, int page, const void *src)
{
    goss_gpu_state *s = (goss_gpu_state *)b;
    const uint64_t bytes = goss_weights_page_bytes(&s->weights);
    const uint8_t *from = src;
    for (int i = 0; i < GOSS_TICKETS && s->weights.slots.on; i++)
        if (s->tickets[i].busy) return GOSS_EAGAIN;
    const int full = room(s, cls, page + 1);
    if (full) return full;
    for (int i = 0; i < b->model->hp.n_layer; i++) {
        if (s->weights.layers[i].cls != cls) continue;
        const int r = goss_gpu_write(s->gpu, s->weights.layers[i].kv, (uint64_t)page * bytes, from, bytes);
        if (r) return r;
        from += bytes;
    }
    return goss_gpu_poll(s->gpu, 0);                   /* what was written before leaves the staging memory */
}
