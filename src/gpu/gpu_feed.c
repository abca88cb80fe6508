/* gpu_feed.c - rows of a matrix from their source to the device: raw blocks go to a staging buffer, a kernel repacks
 * them from there (layout.h). Several staging buffers ("lanes") are on their way at once where the source answers
 * later; where the bytes are at hand a lane is free again as soon as its repacking is queued, because the queue keeps
 * the order. Nothing waits here: what can't be done now is GOSS_EAGAIN. */
#include "gpu_state.h"
#include "../base/error.h"
#include <string.h>

enum { FREE, READING, FULL };

int goss_gpu_feed_open(goss_gpu_state *s)
{
    for (int i = 0; i < GOSS_GPU_LANES; i++) {
        goss_gpu_lane *l = &s->lane[i];
        if (l->buffer > 0) continue;
        l->buffer = goss_gpu_buffer(s->gpu, GOSS_GPU_STAGING, GOSS_GPU_STORAGE | GOSS_GPU_COPY_DST | GOSS_GPU_COPY_SRC,
                                    "staging");
        if (l->buffer < 0) return l->buffer;
    }
    return 0;
}

void goss_gpu_feed_close(goss_gpu_state *s)
{
    for (int i = 0; i < GOSS_GPU_LANES; i++) {
        goss_gpu_buffer_free(s->gpu, s->lane[i].buffer);
        s->lane[i].buffer = 0;
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
    case GOSS_IQ4_XS: return "I8 IQ4_XS";
    case GOSS_Q2_K: return "I8 Q2_K";
    case GOSS_Q3_K: return "I8 Q3_K";
    case GOSS_Q4_K: return "I8 Q45_K BLOCK_BYTES=144";
    case GOSS_Q5_K: return "I8 Q45_K BLOCK_BYTES=176";
    case GOSS_Q6_K: return "I8 Q6_K";
    default: return NULL;
    }
}

int goss_gpu_feed_prepare(goss_gpu_state *s, int type, goss_error *err)
{
    const char *defines = repack_defines(type);
    const int k = defines ? goss_gpu_kernel(s, "repack.wgsl", "urww", defines, err) : 0;
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
static int repack(goss_gpu_state *s, const goss_gpu_lane *lane, goss_error *err)
{
    const goss_load_item *it = &lane->item;
    const goss_matrix *m = it->matrix;
    const uint32_t at = (uint32_t)(lane - s->lane) * 256;
    const int k = goss_gpu_kernel(s, "repack.wgsl", "urww", repack_defines(it->tensor->type), err);
    if (k < 0) return k;
    int r = goss_gpu_pipeline_ready(s->gpu, s->kernels[k].pipeline, err);
    if (r) return r;
    const uint32_t per_row = threads_a_row(m), groups = (lane->n * per_row + 63) / 64,
                   x = groups > 32768 ? 32768 : groups;
    const uint32_t p[64] = { lane->n, (uint32_t)row_bytes_of(it), per_row, it->row0, it->mode,
                             (uint32_t)s->base.model->hp.head_dim, (uint32_t)s->base.model->hp.rope_dim,
                             m->n_units, m->scale_words, it->source_first + it->done, x };
    r = goss_gpu_write(s->gpu, s->params, at, p, sizeof p);
    const goss_gpu_binding b[] = { { s->params, 0, 0 },
                                   { lane->buffer, 0, 0 },
                                   { m->piece[it->piece].q, 0, 0 },
                                   { m->piece[it->piece].s, 0, 0 } };
    const int group = goss_gpu_group(s->gpu, s->kernels[k].pipeline, b, 4);
    if (group < 0) return goss_fail(err, group, -1, "the GPU refused to repack %s", it->tensor->name);
    const uint32_t w[] = { GOSS_GPU_OP_PASS, GOSS_GPU_NONE, GOSS_GPU_OP_DISPATCH, (uint32_t)s->kernels[k].pipeline,
                           (uint32_t)group, at, x, (groups + x - 1) / x, 1, GOSS_GPU_OP_END };
    if (!r) r = goss_gpu_submit(s->gpu, w, sizeof w / 4);
    goss_gpu_group_free(s->gpu, group);
    return r ? goss_fail(err, r, -1, "the GPU failed to repack %s", it->tensor->name) : 0;
}

/* Waits, without blocking, until the device has done what was sent: bounds what the driver keeps. */
static int fence(goss_gpu_state *s, goss_error *err)
{
    uint32_t got[4];
    if (!s->fence) {
        const uint32_t w[] = { GOSS_GPU_OP_COPY, (uint32_t)s->lane[0].buffer, 0, (uint32_t)s->staging_back, 0, 4 };
        int r = goss_gpu_submit(s->gpu, w, 6);
        if (!r) r = goss_gpu_read(s->gpu, s->staging_back, 0, 16);
        if (r) return goss_fail(err, r, -1, "the GPU stopped while weights were loaded");
        s->fence = 1;
    }
    goss_gpu_poll(s->gpu, 5);
    const int r = goss_gpu_read_poll(s->gpu, s->staging_back, got, 16);
    if (r == GOSS_EAGAIN) return r;
    s->fence = 0;
    s->since_fence = 0;
    return r ? goss_fail(err, r, -1, "the GPU stopped while weights were loaded") : 0;
}

int goss_gpu_feed_pump(goss_gpu_state *s, goss_error *err)
{
    for (int i = 0; i < GOSS_GPU_LANES; i++) {
        goss_gpu_lane *l = &s->lane[i];
        if (l->state < 0) {
            const int code = l->state;
            l->state = FREE;
            if (!l->item.matrix) continue;
            return goss_fail(err, code, -1, "reading %s failed", l->item.tensor->name);
        }
        if (l->state != FULL) continue;
        if (!l->item.matrix) { l->state = FREE; continue; }
        const int r = repack(s, l, err);
        if (r) return r;
        l->state = FREE;
        s->bytes_done += l->n * row_bytes_of(&l->item);
        s->since_fence += l->n * row_bytes_of(&l->item);
    }
    const uint64_t most = goss_gpu_get_limits(s->gpu)->bounded_uploads ? UINT64_MAX : GOSS_GPU_FENCE;
    return s->since_fence >= most || s->fence ? fence(s, err) : 0;
}

int goss_gpu_feed(goss_gpu_state *s, goss_load_item *it, goss_error *err)
{
    const goss_tensor *t = it->tensor;
    const uint64_t row_bytes = row_bytes_of(it);
    uint32_t n = (uint32_t)(row_bytes > GOSS_GPU_STAGING ? 0 : GOSS_GPU_STAGING / row_bytes);
    int i = 0;
    if (!n)
        return goss_fail(err, GOSS_ELIMIT, -1, "%s: rows of %llu bytes are too long for the GPU loader",
                         t->name, (unsigned long long)row_bytes);
    while (i < GOSS_GPU_LANES && s->lane[i].state) i++;
    if (i == GOSS_GPU_LANES) return GOSS_EAGAIN;
    if (n > it->n_rows - it->done) n = it->n_rows - it->done;
    if (!t->data && t->shard >= s->config.n_sources) return goss_fail(err, GOSS_EIO, -1, "%s has no source", t->name);
    goss_gpu_lane *l = &s->lane[i];
    const goss_source mapped = { .name = t->name, .size = t->n_bytes, .map = t->data };
    const uint64_t at = (it->source_first + it->done) * row_bytes;
    const int r = goss_gpu_upload(s->gpu, l->buffer, 0, t->data ? &mapped : &s->config.sources[t->shard],
                                  t->data ? at : t->offset + at, n * row_bytes, GOSS_TAG_LANE + (uint64_t)i);
    if (r == GOSS_EAGAIN) {                            /* the device has to catch up */
        const int lost = goss_gpu_poll(s->gpu, 2);
        return lost ? goss_fail(err, lost, -1, "the GPU device was lost") : r;
    }
    if (r < 0) return goss_fail(err, r, -1, "sending %s to the GPU failed", t->name);
    l->item = *it;
    l->n = n;
    l->state = r ? FULL : READING;
    it->done += n;
    return 0;
}

void goss_gpu_feed_done(goss_gpu_state *s, uint64_t tag, int status)
{
    const uint64_t i = tag - GOSS_TAG_LANE;
    if (i >= GOSS_GPU_LANES || s->lane[i].state != READING) return;
    const int r = goss_gpu_uploaded(s->gpu, tag, status);
    s->lane[i].state = r < 0 ? r : FULL;
}

void goss_gpu_feed_void(goss_gpu_state *s)
{
    for (int i = 0; i < GOSS_GPU_LANES; i++)
        if (s->lane[i].state) s->lane[i].item.matrix = NULL;
}

int goss_gpu_feed_idle(const goss_gpu_state *s)
{
    for (int i = 0; i < GOSS_GPU_LANES; i++) if (s->lane[i].state && s->lane[i].item.matrix) return 0;
    return 1;
}

int goss_gpu_feed_drain(goss_gpu_state *s, goss_error *err)
{
    const int r = goss_gpu_feed_pump(s, err);
    if (r) return r;
    if (!goss_gpu_feed_idle(s)) return GOSS_EAGAIN;
    return s->since_fence ? fence(s, err) : 0;
}
