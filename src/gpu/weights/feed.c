/* feed.c - rows of a matrix from their source to the device: raw blocks go to a staging buffer, a kernel
 * repacks them from there (layout.h). Several staging buffers ("lanes") are on their way at once where the
 * source answers later; where the bytes are at hand a lane is free again as soon as its repacking is
 * queued, because the queue keeps the order. Nothing waits here: what can't be done now is GOSS_EAGAIN. */
#include "feed.h"
#include "gpu/kernels/blocks.h"
#include "base/error.h"
#include <string.h>

enum { FREE, READING, FULL };

int goss_feed_open(goss_weights *w)
{
    for (int i = 0; i < GOSS_GPU_LANES; i++) {
        goss_gpu_lane *l = &w->load.lane[i];
        if (l->buffer > 0) continue;
        l->buffer = goss_gpu_buffer(w->gpu, GOSS_GPU_STAGING,
                                    GOSS_GPU_STORAGE | GOSS_GPU_COPY_DST | GOSS_GPU_COPY_SRC,
                                    "staging");
        if (l->buffer < 0) return l->buffer;
    }
    return 0;
}

void goss_feed_close(goss_weights *w)
{
    for (int i = 0; i < GOSS_GPU_LANES; i++) {
        goss_gpu_buffer_free(w->gpu, w->load.lane[i].buffer);
        w->load.lane[i].buffer = 0;
    }
}

static const char *repack_defines(int type)
{
    switch (type) {
    case GOSS_MXFP4: return "MX4";
    case GOSS_Q8_0: return "Q8";
    case GOSS_F16: case GOSS_BF16: return "PLAIN UNIT_WORDS=4";
    case GOSS_F32: return "PLAIN UNIT_WORDS=8";
    case GOSS_Q4_0: return "I8 LEGACY BLOCK_BYTES=18 HAS_MIN=0 HAS_FIFTH=0 IS_IQ4=0 BIAS=8";
    case GOSS_Q4_1: return "I8 LEGACY BLOCK_BYTES=20 HAS_MIN=1 HAS_FIFTH=0 IS_IQ4=0 BIAS=0";
    case GOSS_Q5_0: return "I8 LEGACY BLOCK_BYTES=22 HAS_MIN=0 HAS_FIFTH=1 IS_IQ4=0 BIAS=16";
    case GOSS_Q5_1: return "I8 LEGACY BLOCK_BYTES=24 HAS_MIN=1 HAS_FIFTH=1 IS_IQ4=0 BIAS=0";
    case GOSS_IQ4_NL: return "I8 LEGACY BLOCK_BYTES=18 HAS_MIN=0 HAS_FIFTH=0 IS_IQ4=1 BIAS=0";
    case GOSS_Q2_K: return "I8 Q2_K";
    case GOSS_Q3_K: return "I8 Q3_K";
    case GOSS_Q4_K: return "I8 Q45_K BLOCK_BYTES=144";
    case GOSS_Q5_K: return "I8 Q45_K BLOCK_BYTES=176";
    case GOSS_Q6_K: return "I8 Q6_K";
    default: return NULL;
    }
}

int goss_feed_prepare(goss_weights *w, int type, goss_error *err)
{
    const char *defines = repack_defines(type);
    const int k = defines ? goss_kernels_get(w->kernels, "repack.wgsl", "urww", defines, err) : 0;
    return k < 0 ? k : 0;
}

static uint32_t threads_a_row(const goss_matrix *m)
{
    switch (m->layout) {
    case GOSS_LAYOUT_MX4: case GOSS_LAYOUT_Q8: return m->scale_words;
    case GOSS_LAYOUT_I8: return m->n_in / 32;
    default: return m->n_units;
    }
}

static uint64_t row_bytes_of(const goss_load_item *it)
{
    return goss_type_row_bytes(it->tensor->type, it->tensor->ne[0]);
}

/* Queues the repacking of the rows that lie in a lane's buffer. The lane's parameters lie in slot `lane`. */
static int repack(goss_weights *w, const goss_gpu_lane *lane, goss_error *err)
{
    const goss_load_item *it = &lane->item;
    const goss_matrix *m = it->matrix;
    const uint32_t at = (uint32_t)(lane - w->load.lane) * 256;
    const int k = goss_kernels_get(w->kernels, "repack.wgsl", "urww", repack_defines(it->tensor->type), err);
    if (k < 0) return k;
    int r = goss_gpu_pipeline_ready(w->gpu, w->kernels->list[k].pipeline, err);
    if (r) return r;
    const uint32_t per_row = threads_a_row(m), groups = (lane->n * per_row + 63) / 64,
                   x = groups > 32768 ? 32768 : groups;
    const goss_block_repack p = { .n_rows = lane->n,
                                  .row_bytes = (uint32_t)row_bytes_of(it),
                                  .per_row = per_row,
                                  .row0 = it->row0,
                                  .mode = it->mode,
                                  .head_dim = (uint32_t)w->model->hp.head_dim,
                                  .rope_dim = (uint32_t)w->model->hp.rope_dim,
                                  .n_units = m->n_units,
                                  .scale_words = m->scale_words,
                                  .source_row = it->source_first + it->done,
                                  .grid_x = x,
                                  .beyond =
                                      m->piece[it->piece].beyond * (m->layout == GOSS_LAYOUT_I8 ? 2 : 1) };
    r = goss_gpu_write(w->gpu, w->params.buffer, at, &p, sizeof p);
    const goss_gpu_binding b[] = { { w->params.buffer, 0, 0 },
                                   { lane->buffer, 0, 0 },
                                   { m->piece[it->piece].q, 0, 0 },
                                   { m->piece[it->piece].s, 0, 0 } };
    const int group = goss_gpu_group(w->gpu, w->kernels->list[k].pipeline, b, 4);
    if (group < 0) return goss_fail(err, group, -1, "the GPU refused to repack %s", it->tensor->name);
    const uint32_t ops[] = { GOSS_GPU_OP_PASS, GOSS_GPU_NONE, GOSS_GPU_OP_DISPATCH,
                             (uint32_t)w->kernels->list[k].pipeline,
                           (uint32_t)group, at, x, (groups + x - 1) / x, 1, GOSS_GPU_OP_END };
    if (!r) r = goss_gpu_submit(w->gpu, ops, sizeof ops / 4);
    goss_gpu_group_free(w->gpu, group);
    return r ? goss_fail(err, r, -1, "the GPU failed to repack %s", it->tensor->name) : 0;
}

/* Waits, without blocking, until the device has done what was sent: bounds what the driver keeps. */
static int fence(goss_weights *w, goss_error *err)
{
    uint32_t got[4];
    if (!w->load.fence) {
        const uint32_t ops[] = { GOSS_GPU_OP_COPY, (uint32_t)w->load.lane[0].buffer, 0,
                                 (uint32_t)w->kernels->back, 0, 4 };
        int r = goss_gpu_submit(w->gpu, ops, 6);
        if (!r) r = goss_gpu_read(w->gpu, w->kernels->back, 0, 16);
        if (r) return goss_fail(err, r, -1, "the GPU stopped while weights were loaded");
        w->load.fence = 1;
    }
    goss_gpu_poll(w->gpu, 5);
    const int r = goss_gpu_read_poll(w->gpu, w->kernels->back, got, 16);
    if (r == GOSS_EAGAIN) return r;
    w->load.fence = 0;
    w->load.since_fence = 0;
    return r ? goss_fail(err, r, -1, "the GPU stopped while weights were loaded") : 0;
}

int goss_feed_pump(goss_weights *w, goss_error *err)
{
    for (int i = 0; i < GOSS_GPU_LANES; i++) {
        goss_gpu_lane *l = &w->load.lane[i];
        if (l->state < 0) {
            const int code = l->state;
            l->state = FREE;
            if (!l->item.matrix) continue;
            return goss_fail(err, code, -1, "reading %s failed", l->item.tensor->name);
        }
        if (l->state != FULL) continue;
        if (!l->item.matrix) { l->state = FREE; continue; }
        const int r = repack(w, l, err);
        if (r) return r;
        l->state = FREE;
        w->load.bytes_done += l->n * row_bytes_of(&l->item);
        w->load.since_fence += l->n * row_bytes_of(&l->item);
    }
    const uint64_t most = goss_gpu_get_limits(w->gpu)->bounded_uploads ? UINT64_MAX : GOSS_GPU_FENCE;
    return w->load.since_fence >= most || w->load.fence ? fence(w, err) : 0;
}

int goss_feed_send(goss_weights *w, goss_load_item *it, goss_error *err)
{
    const goss_tensor *t = it->tensor;
    const uint64_t row_bytes = row_bytes_of(it);
    uint32_t n = (uint32_t)(row_bytes > GOSS_GPU_STAGING ? 0 : GOSS_GPU_STAGING / row_bytes);
    int i = 0;
    if (!n)
        return goss_fail(err, GOSS_ELIMIT, -1, "%s: rows of %llu bytes are too long for the GPU loader",
                         t->name, (unsigned long long)row_bytes);
    while (i < GOSS_GPU_LANES && w->load.lane[i].state) i++;
    if (i == GOSS_GPU_LANES) return GOSS_EAGAIN;
    if (n > it->n_rows - it->done) n = it->n_rows - it->done;
    if (!t->data && t->shard >= w->config->n_sources) return goss_fail(err, GOSS_EIO, -1, "%s has no source",
                                                                      t->name);
    goss_gpu_lane *l = &w->load.lane[i];
    const goss_source mapped = { .name = t->name, .size = t->n_bytes, .map = t->data };
    const uint64_t at = (it->source_first + it->done) * row_bytes;
    const int r = goss_gpu_upload(w->gpu, l->buffer, 0, t->data ? &mapped : &w->config->sources[t->shard],
                                  t->data ? at : t->offset + at, n * row_bytes, GOSS_TAG_LANE + (uint64_t)i);
    if (r == GOSS_EAGAIN) {                            /* the device has to catch up */
        const int lost = goss_gpu_poll(w->gpu, 2);
        return lost ? goss_fail(err, lost, -1, "the GPU device was lost") : r;
    }
    if (r < 0) return goss_fail(err, r, -1, "sending %s to the GPU failed", t->name);
    l->item = *it;
    l->n = n;
    l->state = r ? FULL : READING;
    it->done += n;
    return 0;
}

void goss_feed_done(goss_weights *w, uint64_t tag, int status)
{
    const uint64_t i = tag - GOSS_TAG_LANE;
    if (i >= GOSS_GPU_LANES || w->load.lane[i].state != READING) return;
    const int r = goss_gpu_uploaded(w->gpu, tag, status);
    w->load.lane[i].state = r < 0 ? r : FULL;
}

void goss_feed_void(goss_weights *w)
{
    for (int i = 0; i < GOSS_GPU_LANES; i++)
        if (w->load.lane[i].state) w->load.lane[i].item.matrix = NULL;
}

int goss_feed_idle(const goss_weights *w)
{
    for (int i = 0; i < GOSS_GPU_LANES; i++) if (w->load.lane[i].state && w->load.lane[i].item.matrix)
        return 0;
    return 1;
}

int goss_feed_drain(goss_weights *w, goss_error *err)
{
    const int r = goss_feed_pump(w, err);
    if (r) return r;
    if (!goss_feed_idle(w)) return GOSS_EAGAIN;
    return w->load.since_fence ? fence(w, err) : 0;
}
