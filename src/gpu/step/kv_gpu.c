/* kv_gpu.c - pages of the KV cache on the device: copied, read back, written.
 *
 * A layer's keys and values are one buffer of pages. What the engine calls a page is that page of all
 * layers of its class, one behind the other. Reading goes through one buffer, a page at a time, and never
 * waits by itself: the copy is queued behind the steps submitted so far, and whoever asked asks again. */
#include "kv_gpu.h"

enum { NOBODY = -1 };                                  /* kv_reading: a read that nobody wants any more */

void goss_kv_record_copy(goss_gpu_state *s, int cls, int from, int to)
{
    const uint64_t bytes = goss_weights_page_bytes(&s->weights);
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
    for (int i = 0; i < b->model->hp.n_layer; i++) {
        if (s->weights.layers[i].cls != cls) continue;
        const int r = goss_gpu_write(s->gpu, s->weights.layers[i].kv, (uint64_t)page * bytes, from, bytes);
        if (r) return r;
        from += bytes;
    }
    return goss_gpu_poll(s->gpu, 0);                   /* what was written before leaves the staging memory */
}
