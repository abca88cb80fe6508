/* slots_gpu.c - which experts are on the device when not all of them fit: how many slots each layer gets,
 * which expert lies in which slot, who has to go (the least recently used of the same layer: over all
 * layers a ring of 96 wanted experts would never hit), and fetching.
 *
 * The tables here are what the device's will be once the fetches on their way have ended; nothing reads
 * the device's before that, because steps stand still meanwhile (paging.c). */
#include "slots_gpu.h"
#include "arriving.h"
#include "feed.h"
#include "report.h"
#include "base/error.h"
#include "base/fmt.h"
#include "base/mem.h"
#include <string.h>

#define NONE GOSS_GPU_NONE

static uint64_t rows_bytes(int layout, int64_t n_in, int64_t n)
{
    const uint32_t in = (uint32_t)n_in;
    return layout < 0 ? 0 : (uint64_t)n * (goss_layout_q_bytes(layout, in) + goss_layout_s_bytes(layout, in));
}

static uint64_t slot_bytes(const goss_model *m, int layer)
{
    const goss_layer *t = &m->layers[layer];
    return rows_bytes(goss_layout_of(t->gate.type), m->hp.n_embd, 2 * (int64_t)m->hp.n_ff) +
           rows_bytes(goss_layout_of(t->down.type), m->hp.n_ff, m->hp.n_embd);
}

/* ---- how many slots ------------------------------------------------------------------------------------ */
static int open_tables(goss_weights *w, goss_error *err)
{
    goss_slots *p = &w->slots;
    const goss_hparams *hp = &w->model->hp;
    const size_t n = (size_t)hp->n_layer * (size_t)hp->n_expert;
    p->on = w->kernels->paged = 1;
    p->table = goss_mem_array(2 * n, sizeof *p->table);
    p->stamp = goss_mem_array(n, sizeof *p->stamp);
    p->dirty = goss_mem_alloc((size_t)hp->n_layer);
    p->queue = goss_mem_array(3 * n, sizeof *p->queue);
    if (!p->table || !p->stamp || !p->dirty || !p->queue)
        return goss_fail(err, GOSS_ENOMEM, -1, "no memory for the tables of paged experts");
    memset(p->table, 0xff, 2 * n * sizeof *p->table);
    p->mark = goss_gpu_buffer(w->gpu, (uint64_t)p->n_report * 4, GOSS_BUFFER_RW, "mark");
    return p->mark < 0 ? goss_fail(err, p->mark, -1, "the GPU has no room for the experts' mark") : 0;
}

int goss_slots_plan(goss_weights *w, int early, goss_error *err)
{
    const goss_model *m = w->model;
    const int n_layer = m->hp.n_layer, e = m->hp.n_expert ? m->hp.n_expert : 1;
    uint64_t round = 0, room = w->config->expert_cache ? w->config->expert_cache : UINT64_MAX;
    const uint64_t used =
        goss_gpu_allocated(w->gpu) + GOSS_GPU_LANES * (uint64_t)GOSS_GPU_STAGING + (1 << 20);
    if (w->config->gpu_memory) {
        const uint64_t left = w->config->gpu_memory > used ? w->config->gpu_memory - used : 0;
        if (left < room) room = left;
    }
    const int wanted = w->config->host && m->hp.n_expert ? w->config->n_host_layers : 0,
              n_host = wanted < n_layer ? wanted : n_layer;
    for (int i = 0; i < n_layer; i++) {
        w->layers[i].n_slots = i < n_host ? 0 : e;
        if (i >= n_host) round += slot_bytes(m, i);
    }
    w->slots.n_host = n_host;
    w->slots.early = early && m->hp.n_expert && !n_host;
    if (!m->hp.n_expert || !round || round * (uint64_t)e <= room)
        return n_host || w->slots.early ? open_tables(w, err) : 0;
    const int slots = (int)(room / round);
    if (slots < m->hp.n_expert_used)
        return goss_fail(
            err, GOSS_ELIMIT, -1,
            "a token needs %d experts a layer, %llu MB; %llu MB are left for them after %llu MB: "
            "raise --gpu-memory or --expert-cache, or lower --max-kv",
            m->hp.n_expert_used, (unsigned long long)(round * (uint64_t)m->hp.n_expert_used >> 20),
            (unsigned long long)(room >> 20), (unsigned long long)(used >> 20));
    uint64_t rest = room - (uint64_t)slots * round;
    for (int i = n_host; i < n_layer; i++) {
        const uint64_t one = slot_bytes(m, i);
        w->layers[i].n_slots = slots + (slots < e && one <= rest);
        if (slots < e && one <= rest) rest -= one;
    }
    char detail[96];
    goss_fmt(detail, sizeof detail, "slots=%d experts=%d expert_cache=%llu", slots, e,
             (unsigned long long)((uint64_t)slots * round));
    goss_report_load(w, "memory_plan", "progress", detail, 0, 0);
    return open_tables(w, err);
}

void goss_slots_close(goss_weights *w)
{
    goss_slots *p = &w->slots;
    void *const blocks[] = { p->table, p->stamp, p->dirty, p->queue };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) goss_mem_free(blocks[i]);
}

/* ---- the tables ---------------------------------------------------------------------------------------- */
static uint32_t *slot_of(const goss_weights *w, int layer)
{
    return w->slots.table + (size_t)layer * (size_t)w->model->hp.n_expert;
}

static uint32_t *expert_of(const goss_weights *w, int layer)
{
    return slot_of(w, w->model->hp.n_layer + layer);
}

int goss_slots_has(const goss_weights *w, int layer, int e) { return slot_of(w, layer)[e] != NONE; }

int goss_slots_count(const goss_weights *w)
{
    int n = 0;
    for (int l = 0; l < w->model->hp.n_layer; l++)
        for (int e = 0; e < w->model->hp.n_expert; e++) n += goss_slots_has(w, l, e);
    return n;
}

void goss_slots_touch(goss_weights *w, int layer, int e)
{
    const uint32_t slot = slot_of(w, layer)[e];
    if (slot != NONE) w->slots.stamp[(size_t)layer * (size_t)w->model->hp.n_expert + slot] = w->slots.clock;
}

int goss_slots_write(goss_weights *w)
{
    const uint64_t e = (uint64_t)w->model->hp.n_expert;
    int r = 0;
    for (int i = 0; i < w->model->hp.n_layer && !r; i++) {
        if (!w->slots.dirty[i]) continue;
        const uint64_t at = (uint64_t)i * e * 4, half = (uint64_t)w->model->hp.n_layer * e * 4;
        r = goss_gpu_write(w->gpu, w->slots.device, at, slot_of(w, i), e * 4);
        if (!r) r = goss_gpu_write(w->gpu, w->slots.device, half + at, expert_of(w, i), e * 4);
        w->slots.dirty[i] = 0;
    }
    return r;
}

void goss_slots_forget(goss_weights *w)
{
    goss_slots *p = &w->slots;
    const goss_hparams *hp = &w->model->hp;
    memset(p->table, 0xff, 2 * (size_t)hp->n_layer * (size_t)hp->n_expert * sizeof *p->table);
    memset(p->dirty, 1, (size_t)w->model->hp.n_layer);
    p->n_queue = p->at_queue = p->n_needed = p->n_fill = p->fill_layer = p->told = 0;
    goss_feed_void(w);
}

int goss_slots_start(goss_weights *w)
{
    goss_slots_forget(w);
    const int n = w->slots.early ? -1 : w->model->hp.n_expert;
    for (int i = 0; i < w->model->hp.n_layer; i++)
        for (int e = 0; e < n && w->layers[i].n_slots == n; e++)
            slot_of(w, i)[e] = expert_of(w, i)[e] = (uint32_t)e;
    return goss_slots_write(w);
}

/* A free slot of the layer, or the least recently used one whose expert is not in `but`; -1: none. */
static int victim(const goss_weights *w, int layer, const uint32_t *but)
{
    const uint32_t *expert = expert_of(w, layer);
    const uint64_t *stamp = w->slots.stamp + (size_t)layer * (size_t)w->model->hp.n_expert;
    int best = -1;
    for (int i = 0; i < w->layers[layer].n_slots; i++) {
        const uint32_t e = expert[i];
        if (e == NONE) return i;
        if (!(but[e / 32] >> (e % 32) & 1) && (best < 0 || stamp[i] < stamp[best])) best = i;
    }
    return best;
}

void goss_slots_drop(goss_weights *w, int layer, int e)
{
    expert_of(w, layer)[slot_of(w, layer)[e]] = NONE;
    slot_of(w, layer)[e] = NONE;
}

/* ---- fetching ------------------------------------------------------------------------------------------ */
/* Rows [e * n, e * n + n) of a tensor become rows of a slot; `step`: 2 where gate and up share a matrix. */
static void enqueue(goss_weights *w, const goss_tensor *t, const goss_matrix *m, uint32_t e, uint32_t slot,
                    uint32_t n, uint32_t step, uint32_t which)
{
    const uint32_t row = slot * n * step;
    int i = 0;
    while (row >= m->piece[i].first + m->piece[i].n) i++;
    w->slots.queue[w->slots.n_queue++] =
        (goss_load_item){ .tensor = t, .matrix = m, .piece = i, .source_first = e * n, .n_rows = n,
                          .row0 = row + which - m->piece[i].first - step * e * n,
                          .mode = step == 2 ? GOSS_REPACK_PAIRS : GOSS_REPACK_PLAIN };
}

int goss_slots_fetch(goss_weights *w, int layer, int e, const uint32_t *but)
{
    const goss_layer *t = &w->model->layers[layer];
    const goss_layer_weights *l = &w->layers[layer];
    const uint32_t n_ff = (uint32_t)w->model->hp.n_ff, n_embd = (uint32_t)w->model->hp.n_embd;
    const int slot = victim(w, layer, but);
    if (slot < 0) return 0;
    uint32_t *old = &expert_of(w, layer)[slot];
    if (*old != NONE) {
        slot_of(w, layer)[*old] = NONE;
        w->slots.evictions++;
    }
    *old = (uint32_t)e;
    slot_of(w, layer)[e] = (uint32_t)slot;
    w->slots.dirty[layer] = 1;
    goss_slots_touch(w, layer, e);
    enqueue(w, &t->gate, &l->up, (uint32_t)e, (uint32_t)slot, n_ff, 2, 0);
    enqueue(w, &t->up, &l->up, (uint32_t)e, (uint32_t)slot, n_ff, 2, 1);
    enqueue(w, &t->down, &l->down, (uint32_t)e, (uint32_t)slot, n_embd, 1, 0);
    return 1;
}

int goss_slots_pump(goss_weights *w, goss_error *err)
{
    goss_slots *p = &w->slots;
    for (;;) {
        int r = goss_feed_pump(w, err);
        if (r) return r;
        if (p->at_queue == p->n_queue) break;
        goss_load_item *it = &p->queue[p->at_queue];
        r = goss_arriving_need_queue(w, err);
        if (!r) r = goss_feed_send(w, it, err);
        if (r) return r;
        if (it->done < it->n_rows) continue;
        p->fetched_bytes += goss_type_row_bytes(it->tensor->type, it->tensor->ne[0]) * it->n_rows;
        p->at_queue++;
    }
    p->n_queue = p->at_queue = p->n_needed = 0;
    if (!goss_feed_idle(w)) return GOSS_EAGAIN;
    p->n_fill = 0;
    return 0;
}
