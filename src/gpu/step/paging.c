/* paging.c - steps of a model whose experts don't all fit on the device.
 *
 * A step runs as if everything were there. The router notes every expert it wants; where one is absent it
 * sets the mark, and each later kernel of this step and of all behind it returns at once (the mark is
 * sticky). The routers go on: what they would choose on the residual as it stands is a prediction of what
 * the later layers want. The report, the mark and the wanted sets, comes back with the step's picks.
 *
 *   HELD ---- launch ----> FLYING ---- no mark ----> DONE
 *    ^                       |  ^
 *    |                  mark |  | resumed at the marked layer: what is before it is still valid
 *    |                       v  |
 *   STALE <- all behind -- SERVED: its experts are fetched
 *
 * 1. Steps are launched, served and ended in the order of their submits; only the oldest is ever resumed.
 * 2. A stopped step has written no residual, KV, history or pick behind the mark. What the host writes for
 *    a step (`writes`) and the KV pages it copies first (`copies`) are kept with its ticket and played
 *    again before it.
 * 3. The queue keeps the order of fetches, tables and steps, so a table never names what isn't there yet.
 * 4. The first n_host layers' experts are computed on the host (--n-cpu-moe): a step is launched up to
 *    such a layer (HOSTED), its residual comes back, the host's backend makes router and experts, and it
 *    goes on behind them.
 * 5. A layer that needs more experts than it has slots computes them in rounds ("quiet": absent experts
 *    set no mark and leave their results alone); the weighted sum comes after the last. Rounds and their
 *    order change no bit: each (row, expert) result stands by itself, and the sum has one order. */
#include "paging.h"
#include "kv_gpu.h"
#include "launch.h"
#include "stages.h"
#include "words.h"
#include "gpu/weights/feed.h"
#include "gpu/weights/fill.h"
#include "gpu/weights/slots_gpu.h"
#include "base/error.h"
#include "base/fmt.h"
#include "base/mem.h"
#include "base/os.h"
#include <string.h>

enum { FIRST_LAYER = 65536, USED = 4, REPORT_MS = 250, CALM_MS = 50 };
static const float SURE = 0.6f;          /* share of right predictions from which they are fetched */

static int has(const uint32_t *set, int e) { return (int)(set[e / 32] >> (e % 32) & 1); }
static void put(uint32_t *set, int e) { set[e / 32] |= 1u << (e % 32); }

static void record_copies(goss_gpu_state *s, const goss_buf *copies)
{
    for (size_t at = 0; at < copies->len; at += 3 * sizeof(int)) {
        int c[3];
        memcpy(c, copies->data + at, sizeof c);
        goss_kv_record_copy(s, c[0], c[1], c[2]);
    }
}

static int set_mark(goss_gpu_state *s, int quiet)
{
    const uint32_t w[4] = { 0, (uint32_t)quiet, 0, 0 };
    s->paging.quiet = quiet;
    return goss_gpu_write(s->gpu, s->weights.slots.mark, 0, w, sizeof w);
}

static void start_recording(goss_gpu_state *s, goss_gpu_ticket *t)
{
    s->ticket = t;
    s->current = (goss_step *)(uintptr_t)t->step;
    goss_rec_start(&s->rec);
}

static void clear_used(goss_gpu_state *s)
{
    goss_rec_clear(&s->rec, s->weights.slots.mark, USED * 4,
                   (uint64_t)(s->weights.slots.n_report - USED) * 4);
}

/* Brings the residual of a layer's experts to the host. */
static int fetch_residual(goss_gpu_state *s, const goss_step *step)
{
    const uint64_t bytes = (uint64_t)step->n_rows * (uint64_t)s->base.model->hp.n_embd * 4;
    goss_rec_copy(&s->rec, s->buf.x, 0, s->paging.host_back, 0, bytes);
    const int r = goss_rec_flush(&s->rec);
    return r ? r : goss_gpu_read(s->gpu, s->paging.host_back, 0, bytes);
}

/* The layer's router and experts on the host. GOSS_EAGAIN: the residual isn't there yet. */
static int compute_on_host(goss_gpu_state *s, goss_step *step, int layer)
{
    goss_backend *h = s->config.host;
    const uint64_t bytes = (uint64_t)step->n_rows * (uint64_t)s->base.model->hp.n_embd * 4;
    float *x = h->vt->residual(h, goss_gpu_many(s, step));
    int r = goss_gpu_read_poll(s->gpu, s->paging.host_back, x, bytes);
    if (!r) r = h->vt->route(h, step, layer);
    if (!r) r = h->vt->experts(h, step, layer);
    return r ? r : goss_gpu_write(s->gpu, s->buf.x, 0, x, bytes);
}

/* Layers [from, end), the head and the end of a step; or as far as a layer of the host's. */
static int launch_rest(goss_gpu_state *s, goss_gpu_ticket *t, int from)
{
    int r;
    if (from < s->weights.slots.n_host) {
        t->host_layer = from;
        r = goss_stages_attn_in(&s->base, s->current, from);
        if (!r) r = goss_stages_attend(&s->base, s->current, from);
        if (!r) r = goss_stages_attn_out(&s->base, s->current, from);
        if (!r) r = fetch_residual(s, s->current);
        s->ticket = NULL;
        t->state = GOSS_TICKET_HOSTED;
        return r;
    }
    s->current->stage = 0;
    r = goss_forward_layers(&s->base, s->current, from, s->base.model->hp.n_layer);
    if (!r) r = goss_stages_head(&s->base, s->current);
    if (!r) r = goss_launch(s, t);
    s->ticket = NULL;
    t->state = GOSS_TICKET_FLYING;
    return r;
}

static int go_on_behind_host(goss_gpu_state *s, goss_gpu_ticket *t)
{
    const int r = compute_on_host(s, (goss_step *)(uintptr_t)t->step, t->host_layer);
    if (r) return r;
    start_recording(s, t);
    return launch_rest(s, t, t->host_layer + 1);
}

static int relaunch(goss_gpu_state *s, goss_gpu_ticket *t)
{
    int r = goss_words_play(s, t);
    start_recording(s, t);
    record_copies(s, &t->copies);
    clear_used(s);
    if (!r) r = goss_stages_embed(&s->base, s->current);
    t->counted = 0;
    return r ? r : launch_rest(s, t, 0);
}

/* ---- order --------------------------------------------------------------------------------------------- */
static goss_gpu_ticket *oldest(goss_gpu_state *s)
{
    goss_gpu_ticket *best = NULL;
    for (int i = 0; i < GOSS_TICKETS; i++) {
        goss_gpu_ticket *t = &s->tickets[i];
        if (t->busy && t != s->ticket && t->state != GOSS_TICKET_DONE && (!best || t->serial < best->serial))
            best = t;
    }
    return best;
}

/* What was launched behind a mark ran in vain. */
static void make_stale(goss_gpu_state *s, const goss_gpu_ticket *but)
{
    for (int i = 0; i < GOSS_TICKETS; i++) {
        goss_gpu_ticket *t = &s->tickets[i];
        if (t->busy && t != but && t != s->ticket && t->state == GOSS_TICKET_FLYING)
            t->state = GOSS_TICKET_STALE;
    }
}

/* Is a step stopped, so that what is launched now would run before what it stands behind? */
int goss_paging_stopped(const goss_gpu_state *s)
{
    for (int i = 0; i < GOSS_TICKETS; i++) {
        const goss_gpu_ticket *t = &s->tickets[i];
        if (t->busy && t != s->ticket && t->state != GOSS_TICKET_DONE && t->state != GOSS_TICKET_FLYING)
            return 1;
    }
    return 0;
}

void goss_paging_kv_copy(goss_gpu_state *s, int cls, int from, int to)
{
    const int c[3] = { cls, from, to };
    const int later = s->paging.copies_wait || goss_paging_stopped(s);
    goss_buf_append(&s->paging.copies, c, sizeof c);
    s->paging.copies_wait = later;
    if (later) return;
    goss_kv_record_copy(s, cls, from, to);
    goss_rec_flush(&s->rec);
}

/* ---- which experts ------------------------------------------------------------------------------------- */
static const uint32_t *used(const goss_gpu_state *s, const uint32_t *report, int layer)
{
    return report + USED + layer * s->weights.slots.n_words;
}

/* How right the last prediction was about a layer that has run since. */
static void learn(goss_gpu_state *s, const uint32_t *report, int layer)
{
    goss_paging *p = &s->paging;
    const uint32_t *real = used(s, report, layer), *said = used(s, p->predicted, layer);
    int n = 0, right = 0;
    if (p->from < 0 || layer <= p->from) return;
    for (int e = 0; e < s->base.model->hp.n_expert; e++)
        if (has(said, e)) {
            n++;
            right += has(real, e);
        }
    float *a = &p->accuracy[layer - p->from > 8 ? 7 : layer - p->from - 1];
    if (n) *a += ((float)right / (float)n - *a) * 0.05f;
}

/* Layers that ran to their end. */
static void count_hits(goss_gpu_state *s, goss_gpu_ticket *t, int to)
{
    for (; t->counted < to; t->counted++) {
        const uint32_t *set = used(s, t->words, t->counted);
        learn(s, t->words, t->counted);
        for (int e = 0; e < s->base.model->hp.n_expert; e++)
            if (has(set, e)) {
                s->paging.hits++;
                goss_slots_touch(&s->weights, t->counted, e);
            }
    }
}

/* Absent experts of the predictions that have been good enough. */
static void fetch_predicted(goss_gpu_state *s, const goss_gpu_ticket *t)
{
    goss_paging *p = &s->paging;
    memcpy(p->predicted, t->words, (size_t)s->weights.slots.n_report * 4);
    p->from = p->layer;
    if (t->many) return;
    for (int l = p->layer + 1; l < s->base.model->hp.n_layer; l++) {
        const uint32_t *said = used(s, p->predicted, l);
        int n = 0;
        if (p->accuracy[l - p->layer > 8 ? 7 : l - p->layer - 1] < SURE) continue;
        for (int e = 0; e < s->base.model->hp.n_expert; e++) n += has(said, e);
        for (int e = 0; e < s->base.model->hp.n_expert && n <= s->weights.layers[l].n_slots; e++)
            if (has(said, e)) {
                if (goss_slots_has(&s->weights, l, e)) goss_slots_touch(&s->weights, l, e);
                else if (goss_slots_fetch(&s->weights, l, e, said)) p->predictions++;
            }
    }
}

/* The next experts of `todo`, as many as there are slots: those that are there, then others. */
static void next_round(goss_gpu_state *s)
{
    goss_paging *p = &s->paging;
    const int e_all = s->base.model->hp.n_expert, slots = s->weights.layers[p->layer].n_slots;
    int n = 0;
    memset(p->now, 0, sizeof p->now);
    for (int there = 1; there >= 0; there--)
        for (int e = 0; e < e_all && n < slots; e++)
            if (has(p->todo, e) && !has(p->now, e) && goss_slots_has(&s->weights, p->layer, e) == there) {
                put(p->now, e);
                n++;
            }
    for (int e = 0; e < e_all; e++) {
        if (!has(p->now, e)) continue;
        if (!goss_slots_has(&s->weights, p->layer, e)) goss_slots_fetch(&s->weights, p->layer, e, p->now);
        else goss_slots_touch(&s->weights, p->layer, e);
    }
}

/* Plans the layer's rounds from the set that it wants; the first round's fetches begin. */
static void plan_layer(goss_gpu_state *s, int layer, const uint32_t *wanted)
{
    goss_paging *p = &s->paging;
    int n = 0;
    p->layer = layer;
    s->weights.slots.clock++;
    memset(p->todo, 0, sizeof p->todo);
    memcpy(p->todo, wanted, (size_t)s->weights.slots.n_words * 4);
    for (int e = 0; e < s->base.model->hp.n_expert; e++) {
        if (!has(p->todo, e)) continue;
        n++;
        if (goss_slots_has(&s->weights, layer, e)) p->hits++;
        else p->misses++;
    }
    p->rounds = n > s->weights.layers[layer].n_slots;
    next_round(s);
}

/* ---- serving ------------------------------------------------------------------------------------------- */
/* The experts that are there: of each layer hexadecimal digits, the lowest bit of the first is expert 0. */
static void tell_slots(const goss_gpu_state *s)
{
    const goss_hparams *hp = &s->base.model->hp;
    goss_buf b = GOSS_BUF(1 << 16);
    goss_buf_printf(
        &b, "{\"type\":\"inference_event\",\"event\":{\"type\":\"expert_slots\",\"experts\":%d,\"here\":[",
        hp->n_expert);
    for (int l = 0; l < hp->n_layer; l++) {
        goss_buf_str(&b, l ? ",\"" : "\"");
        for (int e = 0; e < hp->n_expert; e += 4) {
            int digit = 0;
            for (int k = 0; k < 4 && e + k < hp->n_expert; k++)
                digit |= goss_slots_has(&s->weights, l, e + k) << k;
            goss_buf_printf(&b, "%x", (unsigned)digit);
        }
        goss_buf_str(&b, "\"");
    }
    goss_buf_printf(&b, "]},\"ts_ms\":%.1f}", goss_os_now_ms());
    if (!b.failed) s->config.report(s->config.report_ctx, (const char *)b.data, b.len);
    goss_buf_free(&b);
}

static void tell(goss_gpu_state *s)
{
    const goss_paging *p = &s->paging;
    const double now = goss_os_now_ms();
    const int entries = goss_slots_count(&s->weights);
    if (!s->config.report || now - p->t_report < (double)REPORT_MS) return;
    s->paging.t_report = now;
    char line[320];
    const size_t n = goss_fmt(line, sizeof line,
                              "{\"type\":\"inference_stage\",\"stage\":\"expert_cache\",\"status\":\"progress\","
                              "\"detail\":\"hits=%llu misses=%llu evict=%llu bytes=%llu entries=%d stalls=%llu "
                              "stall_ms=%.1f predicted=%llu\",\"ts_ms\":%.1f}",
                              (unsigned long long)p->hits, (unsigned long long)p->misses,
                              (unsigned long long)s->weights.slots.evictions,
                                  (unsigned long long)s->weights.slots.fetched_bytes, entries,
                              (unsigned long long)p->stalls, p->stall_ms, (unsigned long long)p->predictions,
                                  now);
    s->config.report(s->config.report_ctx, line, n);
    tell_slots(s);
}

/* The device's words are this step's again: the next one's may have come since. */
static int begin_service(goss_gpu_state *s, goss_gpu_ticket *t)
{
    const int layer = FIRST_LAYER - (int)t->words[0];
    make_stale(s, t);
    t->state = GOSS_TICKET_SERVED;
    goss_fill_yield(&s->weights);
    s->paging.t_stall = goss_os_now_ms();
    count_hits(s, t, layer);
    t->counted = layer + 1;
    plan_layer(s, layer, used(s, t->words, layer));
    fetch_predicted(s, t);
    return goss_words_play(s, t);
}

/* The experts of `now` are there: the router again, then their products. */
static void record_products(goss_gpu_state *s, const goss_step *step)
{
    goss_stages_router(s, s->paging.layer, step);
    goss_stages_expert_products(s, s->paging.layer, step);
}

static int run_round(goss_gpu_state *s, const goss_step *step)
{
    goss_paging *p = &s->paging;
    int r = goss_slots_write(&s->weights);
    if (!r && !p->quiet) r = set_mark(s, 1);
    record_products(s, step);
    if (!r) r = goss_rec_flush(&s->rec);
    for (int i = 0; i < s->weights.slots.n_words; i++) p->todo[i] &= ~p->now[i];
    return r;
}

static int is_empty(const uint32_t *set)
{
    uint32_t all = 0;
    for (int i = 0; i < 8; i++) all |= set[i];
    return !all;
}

static int serve(goss_gpu_state *s, goss_gpu_ticket *t)
{
    goss_paging *p = &s->paging;
    int r;
    start_recording(s, t);
    if (p->rounds) {
        r = run_round(s, t->step);
        if (!is_empty(p->todo)) next_round(s);
        if (r || !is_empty(p->todo)) { s->ticket = NULL; return r; }
        start_recording(s, t);
    } else r = goss_slots_write(&s->weights);
    if (!r) r = set_mark(s, 0);
    clear_used(s);
    if (!p->rounds) record_products(s, t->step);
    goss_stages_expert_sum(s, p->layer, t->step);
    if (!r) r = launch_rest(s, t, p->layer + 1);
    p->stalls++;
    p->stall_ms += goss_os_now_ms() - p->t_stall;
    tell(s);
    return r;
}

/* A launched step's report. */
static int take_back(goss_gpu_state *s, goss_gpu_ticket *t)
{
    uint32_t ignored;
    int r = 0;
    if (!t->reported) {
        r = goss_gpu_read_poll(s->gpu, t->back, t->words, goss_launch_back_bytes(s, t));
        if (r) return r;
        t->reported = 1;
    }
    if (t->state == GOSS_TICKET_FLYING && !t->words[0]) {
        s->weights.slots.clock++;
        count_hits(s, t, s->base.model->hp.n_layer);
        s->paging.from = -1;
        t->state = GOSS_TICKET_DONE;
        return 0;
    }
    /* of no use: the read has to end */
    if (t->n_logits) r = goss_gpu_read_poll(s->gpu, t->logits_back, &ignored, 4);
    if (r) return r;
    t->reported = 0;
    if (t->state == GOSS_TICKET_FLYING) return begin_service(s, t);
    t->state = GOSS_TICKET_HELD;
    return 0;
}

/* Everything that was on its way is void; the tickets fail one by one as they are polled. */
static int give_up(goss_gpu_state *s, int code)
{
    goss_slots_forget(&s->weights);
    make_stale(s, NULL);
    set_mark(s, 0);
    return code;
}

int goss_paging_advance(goss_gpu_state *s, const goss_gpu_ticket *until, goss_error *err)
{
    while (!until || until->state != GOSS_TICKET_DONE) {
        int r = goss_slots_pump(&s->weights, err);
        goss_gpu_ticket *t = oldest(s);
        /* nobody waits for what is on its way */
        if (s->weights.slots.n_fill && (!t || t->state != GOSS_TICKET_SERVED)) {
            if (r == GOSS_EIO) goss_fill_failed(&s->weights);
            if (r == GOSS_EIO || r == GOSS_EAGAIN) r = 0;
        }
        if (r) return r == GOSS_EAGAIN ? r : give_up(s, r);
        if (!t) return 0;
        if (t->state == GOSS_TICKET_HELD) r = relaunch(s, t);
        else if (t->state == GOSS_TICKET_SERVED) r = serve(s, t);
        else if (t->state == GOSS_TICKET_HOSTED) r = go_on_behind_host(s, t);
        else r = take_back(s, t);
        if (r == GOSS_EAGAIN) return r;
        if (r)
            return goss_fail(err, give_up(s, r), -1,
                             r == GOSS_ELOST ? "the GPU device was lost" : "the GPU refused a step");
    }
    return 0;
}

/* ---- a step's life ------------------------------------------------------------------------------------- */
/* All steps before this one come to their end: what taps see must be of one step alone. */
static int wait_for_all(goss_gpu_state *s, goss_error *err)
{
    int r;
    while ((r = goss_paging_advance(s, NULL, err)) == GOSS_EAGAIN) goss_gpu_poll(s->gpu, 10);
    return r;
}

int goss_paging_begin(goss_gpu_state *s, goss_step *step, goss_gpu_ticket *t, goss_error *err)
{
    goss_paging *p = &s->paging;
    if (!t->writes.max) t->writes = GOSS_BUF((size_t)1 << 28);
    goss_buf_clear(&t->writes);
    int r = s->settings.tap ? wait_for_all(s, err) : 0;
    start_recording(s, t);
    if (!r) r = goss_words_begin(s, step, t, err);
    if (r) return r;
    const goss_buf swap = t->copies;
    t->copies = p->copies;
    t->held = p->copies_wait;
    p->copies = swap;
    p->copies.max = t->copies.max;
    p->copies.len = 0;
    p->copies_wait = 0;
    t->serial = ++p->serial;
    t->step = step;
    t->counted = t->reported = 0;
    t->state = GOSS_TICKET_HELD;
    clear_used(s);
    if (s->settings.tap) {
        r = goss_words_play(s, t);
        if (!r) r = set_mark(s, 1);
    }
    return r ? goss_fail(err, r, -1, "the GPU refused a step") : 0;
}

int goss_paging_submit(goss_gpu_state *s, goss_gpu_ticket *t, goss_error *err)
{
    if (s->settings.tap) {
        const int r = goss_launch(s, t);
        t->state = GOSS_TICKET_FLYING;
        return r ? r : set_mark(s, 0);
    }
    if (!t->held && !goss_paging_stopped(s) && !s->weights.slots.n_host) {
        int r = goss_words_play(s, t);
        if (!r) r = goss_launch(s, t);
        t->state = GOSS_TICKET_FLYING;
        return r;
    }
    goss_rec_start(&s->rec);                           /* it is recorded again when its turn comes */
    s->rec.profiling = s->rec.profiling == 1 ? 0 : s->rec.profiling;
    s->ticket = NULL;
    const int r = goss_paging_advance(s, NULL, err);
    return r == GOSS_EAGAIN ? 0 : r;
}

/* While a tap watches, a layer's experts are fetched and computed before the next stage is recorded. */
int goss_paging_watched(goss_gpu_state *s, goss_step *step, int layer)
{
    goss_paging *p = &s->paging;
    uint32_t wanted[8] = { 0 };
    const uint64_t bytes = (uint64_t)s->weights.slots.n_words * 4;
    goss_error err;
    int r, absent = 0;
    if (layer < s->weights.slots.n_host) {
        r = fetch_residual(s, step);
        while (!r && (r = compute_on_host(s, step, layer)) == GOSS_EAGAIN) { goss_gpu_poll(s->gpu, 1000);
                                                                      r = 0; }
        return r ? r : 2;
    }
    while ((r = goss_slots_pump(&s->weights, &err)) == GOSS_EAGAIN) goss_gpu_poll(s->gpu, 10);
    while (!r && (r = goss_feed_drain(&s->weights, &err)) == GOSS_EAGAIN) {
        goss_gpu_poll(s->gpu, 10);
        r = 0;
    }
    if (!r) r = goss_slots_write(&s->weights);
    goss_rec_copy(&s->rec, s->weights.slots.mark, (uint64_t)(USED + layer * s->weights.slots.n_words) * 4,
                  s->kernels.back, 0, bytes);
    if (!r) r = goss_rec_flush(&s->rec);
    if (!r) r = goss_gpu_read(s->gpu, s->kernels.back, 0, bytes);
    while (!r && (r = goss_gpu_read_poll(s->gpu, s->kernels.back, wanted, bytes)) == GOSS_EAGAIN) {
        goss_gpu_poll(s->gpu, 1000);
        r = 0;
    }
    for (int e = 0; e < s->base.model->hp.n_expert; e++) absent += has(wanted, e)
        && !goss_slots_has(&s->weights, layer, e);
    if (r || !absent) return r;
    plan_layer(s, layer, wanted);
    while (!r && !is_empty(p->todo)) {
        while ((r = goss_slots_pump(&s->weights, &err)) == GOSS_EAGAIN) goss_gpu_poll(s->gpu, 10);
        if (!r) r = run_round(s, step);
        if (!is_empty(p->todo)) next_round(s);
    }
    return r ? r : 1;
}

/* The ticket's read ends first; whoever is behind it is launched again, for its mark may stand. */
void goss_paging_release(goss_gpu_state *s, goss_gpu_ticket *t)
{
    if (t->state == GOSS_TICKET_DONE) return;
    while (t->state == GOSS_TICKET_FLYING || t->state == GOSS_TICKET_STALE) {
        if (t->reported || goss_gpu_read_poll(s->gpu, t->back, t->words, goss_launch_back_bytes(s,
                                                                      t)) != GOSS_EAGAIN) break;
        goss_gpu_poll(s->gpu, 1000);
    }
    float *x = t->state == GOSS_TICKET_HOSTED ? s->config.host->vt->residual(s->config.host, t->many)
        : NULL;
    while (x && goss_gpu_read_poll(s->gpu, s->paging.host_back, x, 16) == GOSS_EAGAIN) goss_gpu_poll(s->gpu,
                                                                      1000);
    t->state = GOSS_TICKET_DONE;
    if (!s->weights.slots.on) return; /* settle.c: none is marked */
    make_stale(s, t);
    set_mark(s, 0);
}

int goss_paging_open(goss_gpu_state *s, goss_error *err)
{
    goss_paging *p = &s->paging;
    p->predicted = goss_mem_array((size_t)s->weights.slots.n_report, sizeof *p->predicted);
    p->copies = GOSS_BUF(1 << 20);
    p->from = -1;
    if (!p->predicted) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for the tables of paged experts");
    if (!s->weights.slots.n_host) return 0;
    p->host_back =
        goss_gpu_buffer(s->gpu, (uint64_t)s->config.max_rows * (uint64_t)s->base.model->hp.n_embd * 4,
                        GOSS_GPU_MAP_READ | GOSS_GPU_COPY_DST, "residual back");
    if (p->host_back < 0) return goss_fail(err, p->host_back, -1,
                                           "the GPU has no room to give the residual back");
    return 0;
}

/* Over a network what nobody asked for would delay what the next miss asks for. */
int goss_paging_calm(const goss_gpu_state *s)
{
    int busy = 0;
    for (int i = 0; i < GOSS_TICKETS; i++) busy |= s->tickets[i].busy;
    return !busy || s->base.model->tok_embd.data || goss_os_now_ms() - s->paging.t_stall > (double)CALM_MS;
}
