/* gpu_kv.c - pages of the KV cache on the device: copied, read back, written.
 *
 * A layer's keys and values are one buffer of pages. What the engine calls a page is that page of all layers of its
 * class, one behind the other. Reading goes through one buffer, a page at a time, and never waits by itself: the copy
 * is queued behind the steps submitted so far, and whoever asked asks again. */
#include "gpu_state.h"

enum { NOBODY = -1 };                                  /* kv_reading: a read that nobody wants any more */

static uint64_t layer_bytes(const goss_gpu_state *s)
{
    const goss_hparams *hp = &s->base.model->hp;
    return (uint64_t)(hp->n_head_kv * hp->head_dim) * 2 * GOSS_KV_PAGE * goss_gpu_kv_size(s);
}

void goss_gpu_copy_pages(goss_gpu_state *s, int cls, int from, int to)
{
    const uint64_t bytes = layer_bytes(s);
    if (!s->kv_temp) s->kv_temp = goss_gpu_buffer(s->gpu, bytes, GOSS_GPU_COPY_SRC | GOSS_GPU_COPY_DST, "KV copy");
    for (int i = 0; i < s->base.model->hp.n_layer && s->kv_temp > 0; i++)
        if (s->layers[i].cls == cls) {                 /* WebGPU copies only between buffers */
            goss_gpu_copy(s, s->layers[i].kv, (uint64_t)from * bytes, s->kv_temp, 0, bytes);
            goss_gpu_copy(s, s->kv_temp, 0, s->layers[i].kv, (uint64_t)to * bytes, bytes);
        }
}

size_t goss_gpu_kv_bytes(const goss_backend *b, int cls)
{
    const goss_gpu_state *s = (const goss_gpu_state *)b;
    size_t n = 0;
    for (int i = 0; i < b->model->hp.n_layer; i++) n += s->layers[i].cls == cls;
    return n * (size_t)layer_bytes(s);
}

static int begin_read(goss_gpu_state *s, int cls, int page, uint64_t n)
{
    const uint64_t bytes = layer_bytes(s);
    uint64_t at = 0;
    if (s->kv_back > 0 && goss_gpu_buffer_size(s->gpu, s->kv_back) < n) {
        goss_gpu_buffer_free(s->gpu, s->kv_back);
        s->kv_back = 0;
    }
    if (!s->kv_back) s->kv_back = goss_gpu_buffer(s->gpu, n, GOSS_GPU_MAP_READ | GOSS_GPU_COPY_DST, "KV back");
    if (s->kv_back < 0) {
        s->kv_back = 0;
        return GOSS_ENOMEM;
    }
    for (int i = 0; i < s->base.model->hp.n_layer; i++) {
        if (s->layers[i].cls != cls) continue;
        goss_gpu_copy(s, s->layers[i].kv, (uint64_t)page * bytes, s->kv_back, at, bytes);
        at += bytes;
    }
    const int r = goss_gpu_flush(s);
    return r ? r : goss_gpu_read(s->gpu, s->kv_back, 0, n);
}

int goss_gpu_kv_read(goss_backend *b, int cls, int page, void *dst, int timeout_ms)
{
    goss_gpu_state *s = (goss_gpu_state *)b;
    const uint64_t n = goss_gpu_kv_bytes(b, cls);
    const int this = 1 + 2 * page + cls;
    uint64_t ignored;
    if (!dst) {
        if (s->kv_reading) s->kv_reading = NOBODY;
        return 0;
    }
    for (;;) {
        int r = s->kv_reading ? 0 : begin_read(s, cls, page, n);
        if (r) return r;
        if (!s->kv_reading) s->kv_reading = this;
        const int mine = s->kv_reading == this;
        r = goss_gpu_read_poll(s->gpu, s->kv_back, mine ? dst : &ignored, mine ? n : sizeof ignored);
        if (r == GOSS_EAGAIN && timeout_ms > 0) {
            goss_gpu_poll(s->gpu, timeout_ms);
            timeout_ms = 0;
            continue;
        }
        if (r == GOSS_EAGAIN) return r;
        s->kv_reading = 0;
        if (r || mine) return r;
    }
}

/* Where experts are paged, a step in flight may stop and run again behind what is written now, into pages that it no
 * longer holds: then it has to wait. */
int goss_gpu_kv_write(goss_backend *b, int cls, int page, const void *src)
{
    goss_gpu_state *s = (goss_gpu_state *)b;
    const uint64_t bytes = layer_bytes(s);
    const uint8_t *from = src;
    for (int i = 0; i < GOSS_TICKETS && s->pages.on; i++)
        if (s->tickets[i].busy) return GOSS_EAGAIN;
    for (int i = 0; i < b->model->hp.n_layer; i++) {
        if (s->layers[i].cls != cls) continue;
        const int r = goss_gpu_write(s->gpu, s->layers[i].kv, (uint64_t)page * bytes, from, bytes);
        if (r) return r;
        from += bytes;
    }
    return goss_gpu_poll(s->gpu, 0);                   /* what was written before leaves the staging memory */
}
