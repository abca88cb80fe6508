/* gpu_slots.c - which experts are on the device when not all of them fit: how many slots each layer gets, which expert
 * lies in which slot, who has to go (the least recently used of the same layer: over all layers a ring of 96 wanted
 * experts would never hit), and fetching.
 *
 * The tables here are what the device's will be once the fetches on their way have ended; nothing reads the device's
 * before that, because steps stand still meanwhile (gpu_pages.c). */
#include "gpu_state.h"
#include "../base/error.h"
#include "../base/fmt.h"
#include "../base/mem.h"
#include <string.h>

#define NONE GOSS_GPU_NONE

static uint64_t rows_bytes(int layout, int64_t n_in, int64_t n)
{
    const uint32_t in = (uint32_t)n_in;
    return layout < 0 ? 0 : (uint64_t)n * (goss_layout_q_bytes(layout, in) + goss_layout_s_bytes(layout, in));
}

uint64_t goss_gpu_slot_bytes(const goss_model *m, int layer)
{
    const goss_layer *t = &m->layers[layer];
    return rows_bytes(goss_layout_of(t->gate.type), m->hp.n_embd, 2 * (int64_t)m->hp.n_ff) +
           rows_bytes(goss_layout_of(t->down.type), m->hp.n_ff, m->hp.n_embd);
}

/* ---- how many slots -------------------------------------------------------------------------------------- */
static int open_tables(goss_gpu_state *s, goss_error *err)
{
    goss_gpu_pages *p = &s->pages;
    const goss_hparams *hp = &s->base.model->hp;
    const size_t n = (size_t)hp->n_layer * (size_t)hp->n_expert;
    p->on = 1;
    p->table = goss_mem_array(2 * n, sizeof *p->table);
    p->stamp = goss_mem_array(n, sizeof *p->stamp);
    p->dirty = goss_mem_alloc((size_t)hp->n_layer);
    p->queue = goss_mem_array(3 * n, sizeof *p->queue);
    p->predicted = goss_mem_array((size_t)p->n_report, sizeof *p->predicted);
    p->copies = GOSS_BUF(1 << 20);
    if (!p->table || !p->stamp || !p->dirty || !p->queue || !p->predicted)
        return goss_fail(err, GOSS_ENOMEM, -1, "no memory for the tables of paged experts");
    memset(p->table, 0xff, 2 * n * sizeof *p->table);
    p->from = -1;
    p->mark = goss_gpu_buffer(s->gpu, (uint64_t)p->n_report * 4,
                              GOSS_GPU_STORAGE | GOSS_GPU_COPY_SRC | GOSS_GPU_COPY_DST, "mark");
    if (p->mark > 0 && p->n_host)
        p->host_back = goss_gpu_buffer(s->gpu, (uint64_t)s->config.max_rows * (uint64_t)hp->n_embd * 4,
                                       GOSS_GPU_MAP_READ | GOSS_GPU_COPY_DST, "residual back");
    if (p->host_back < 0) return goss_fail(err, p->host_back, -1, "the GPU has no room to give the residual back");
    return p->mark < 0 ? goss_fail(err, p->mark, -1, "the GPU has no room for the experts' mark") : 0;
}

int goss_gpu_slots_plan(goss_gpu_state *s, goss_error *err)
{
    const goss_model *m = s->base.model;
    const int n_layer = m->hp.n_layer, e = m->hp.n_expert ? m->hp.n_expert : 1;
    uint64_t round = 0, room = s->config.expert_cache ? s->config.expert_cache : UINT64_MAX;
    const uint64_t used = goss_gpu_allocated(s->gpu) + GOSS_GPU_LANES * (uint64_t)GOSS_GPU_STAGING + (1 << 20);
    if (s->config.gpu_memory) {
        const uint64_t left = s->config.gpu_memory > used ? s->config.gpu_memory - used : 0;
        if (left < room) room = left;
    }
    const int wanted = s->config.host && m->hp.n_expert ? s->config.n_host_layers : 0,
              n_host = wanted < n_layer ? wanted : n_layer;
    for (int i = 0; i < n_layer; i++) {
        s->layers[i].n_slots = i < n_host ? 0 : e;
        if (i >= n_host) round += goss_gpu_slot_bytes(m, i);
    }
    s->pages.n_host = n_host;
    s->pages.early = s->early && m->hp.n_expert && !n_host;
    if (!m->hp.n_expert || !round || round * (uint64_t)e <= room)
        return n_host || s->pages.early ? open_tables(s, err) : 0;
    const int slots = (int)(room / round);
    if (slots < m->hp.n_expert_used)
        return goss_fail(err, GOSS_ELIMIT, -1,
                         "a token needs %d experts a layer, %llu MB; %llu MB are left for them after %llu MB: "
                         "raise --gpu-memory or --expert-cache, or lower --max-kv",
                         m->hp.n_expert_used, (unsigned long long)(round * (uint64_t)m->hp.n_expert_used >> 20),
                         (unsigned long long)(room >> 20), (unsigned long long)(used >> 20));
    uint64_t rest = room - (uint64_t)slots * round;
    for (int i = n_host; i < n_layer; i++) {
        const uint64_t one = goss_gpu_slot_bytes(m, i);
        s->layers[i].n_slots = slots + (slots < e && one <= rest);
        if (slots < e && one <= rest) rest -= one;
    }
    char detail[96];
    goss_fmt(detail, sizeof detail, "slots=%d experts=%d expert_cache=%llu", slots, e,
             (unsigned long long)((uint64_t)slots * round));
    goss_gpu_report(s, "memory_plan", "progress", detail, 0, 0);
    return open_tables(s, err);
}

void goss_gpu_slots_close(goss_gpu_state *s)
{
    goss_gpu_pages *p = &s->pages;
    void *const blocks[] = { p->table, p->stamp, p->dirty, p->queue, p->predicted };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) goss_mem_free(blocks[i]);
}

/* ---- the tables ------------------------------------------------------------------------------------------ */
static uint32_t *slot_of(const goss_gpu_state *s, int layer)
{
    return s->pages.table + (size_t)layer * (size_t)s->base.model->hp.n_expert;
}

static uint32_t *expert_of(const goss_gpu_state *s, int layer)
{
    return slot_of(s, s->base.model->hp.n_layer + layer);
}

int goss_gpu_slots_has(const goss_gpu_state *s, int layer, int e) { return slot_of(s, layer)[e] != NONE; }

void goss_gpu_slots_touch(goss_gpu_state *s, int layer, int e)
{
    const uint32_t slot = slot_of(s, layer)[e];
    if (slot != NONE) s->pages.stamp[(size_t)layer * (size_t)s->base.model->hp.n_expert + slot] = s->pages.clock;
}

int goss_gpu_slots_write(goss_gpu_state *s)
{
    const uint64_t e = (uint64_t)s->base.model->hp.n_expert;
    int r = 0;
    for (int i = 0; i < s->base.model->hp.n_layer && !r; i++) {
        if (!s->pages.dirty[i]) continue;
        const uint64_t at = (uint64_t)i * e * 4, half = (uint64_t)s->base.model->hp.n_layer * e * 4;
        r = goss_gpu_write(s->gpu, s->slots, at, slot_of(s, i), e * 4);
        if (!r) r = goss_gpu_write(s->gpu, s->slots, half + at, expert_of(s, i), e * 4);
        s->pages.dirty[i] = 0;
    }
    return r;
}

void goss_gpu_slots_forget(goss_gpu_state *s)
{
    goss_gpu_pages *p = &s->pages;
    const goss_hparams *hp = &s->base.model->hp;
    memset(p->table, 0xff, 2 * (size_t)hp->n_layer * (size_t)hp->n_expert * sizeof *p->table);
    memset(p->dirty, 1, (size_t)s->base.model->hp.n_layer);
    p->n_queue = p->at_queue = p->n_needed = p->n_fill = p->fill_layer = p->told = 0;
    goss_gpu_feed_void(s);
}

int goss_gpu_slots_start(goss_gpu_state *s)
{
    goss_gpu_slots_forget(s);
    const int n = s->pages.early ? -1 : s->base.model->hp.n_expert;
    for (int i = 0; i < s->base.model->hp.n_layer; i++)
        for (int e = 0; e < n && s->layers[i].n_slots == n; e++)
            slot_of(s, i)[e] = expert_of(s, i)[e] = (uint32_t)e;
    return goss_gpu_slots_write(s);
}

/* A free slot of the layer, or the least recently used one whose expert is not in `keep`; -1: none. */
static int victim(const goss_gpu_state *s, int layer, const uint32_t *keep)
{
    const uint32_t *expert = expert_of(s, layer);
    const uint64_t *stamp = s->pages.stamp + (size_t)layer * (size_t)s->base.model->hp.n_expert;
    int best = -1;
    for (int i = 0; i < s->layers[layer].n_slots; i++) {
        const uint32_t e = expert[i];
        if (e == NONE) return i;
        if (!(keep[e / 32] >> (e % 32) & 1) && (best < 0 || stamp[i] < stamp[best])) best = i;
    }
    return best;
}

void goss_gpu_slots_drop(goss_gpu_state *s, int layer, int e)
{
    expert_of(s, layer)[slot_of(s, layer)[e]] = NONE;
    slot_of(s, layer)[e] = NONE;
}

/* ---- fetching -------------------------------------------------------------------------------------------- */
/* Rows [e * n, e * n + n) of a tensor become rows of a slot; `step`: 2 where gate and up share a matrix. */
static void enqueue(goss_gpu_state *s, const goss_tensor *t, const goss_matrix *m, uint32_t e, uint32_t slot,
                    uint32_t n, uint32_t step, uint32_t which)
{
    const uint32_t row = slot * n * step;
    int i = 0;
    while (row >= m->piece[i].first + m->piece[i].n) i++;
    s->pages.queue[s->pages.n_queue++] =
        (goss_load_item){ .tensor = t, .matrix = m, .piece = i, .source_first = e * n, .n_rows = n,
                          .row0 = row + which - m->piece[i].first - step * e * n,
                          .mode = step == 2 ? GOSS_REPACK_PAIRS : GOSS_REPACK_PLAIN };
}

int goss_gpu_slots_fetch(goss_gpu_state *s, int layer, int e, const uint32_t *keep)
{
    const goss_layer *t = &s->base.model->layers[layer];
    const goss_gpu_layer *l = &s->layers[layer];
    const uint32_t n_ff = (uint32_t)s->base.model->hp.n_ff, n_embd = (uint32_t)s->base.model->hp.n_embd;
    const int slot = victim(s, layer, keep);
    if (slot < 0) return 0;
    uint32_t *old = &expert_of(s, layer)[slot];
    if (*old != NONE) {
        slot_of(s, layer)[*old] = NONE;
        s->pages.evictions++;
    }
    *old = (uint32_t)e;
    slot_of(s, layer)[e] = (uint32_t)slot;
    s->pages.dirty[layer] = 1;
    goss_gpu_slots_touch(s, layer, e);
    enqueue(s, &t->gate, &l->up, (uint32_t)e, (uint32_t)slot, n_ff, 2, 0);
    enqueue(s, &t->up, &l->up, (uint32_t)e, (uint32_t)slot, n_ff, 2, 1);
    enqueue(s, &t->down, &l->down, (uint32_t)e, (uint32_t)slot, n_embd, 1, 0);
    return 1;
}

int goss_gpu_slots_pump(goss_gpu_state *s, goss_error *err)
{
    goss_gpu_pages *p = &s->pages;
    for (;;) {
        int r = goss_gpu_feed_pump(s, err);
        if (r) return r;
        if (p->at_queue == p->n_queue) break;
        goss_load_item *it = &p->queue[p->at_queue];
        r = goss_gpu_fill_need(s, err);
        if (!r) r = goss_gpu_feed(s, it, err);
        if (r) return r;
        if (it->done < it->n_rows) continue;
        p->fetched_bytes += goss_type_row_bytes(it->tensor->type, it->tensor->ne[0]) * it->n_rows;
        p->at_queue++;
    }
    p->n_queue = p->at_queue = p->n_needed = 0;
    if (!goss_gpu_feed_idle(s)) return GOSS_EAGAIN;
    p->n_fill = 0;
    return 0;
}
