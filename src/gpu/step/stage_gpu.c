/* stage_gpu.c - the gpu backend: opens the device, lets it be built and loaded a bit at a time, and runs
 * steps, several in flight. A step is one submit, or some where the device waits for it; all that comes back
 * is a few words for each sampled row (and logits where they were asked for). */
#include "build.h"
#include "chosen.h"
#include "kv_gpu.h"
#include "launch.h"
#include "measure.h"
#include "paging.h"
#include "panels.h"
#include "profile.h"
#include "seen_gpu.h"
#include "retry.h"
#include "settle.h"
#include "stages.h"
#include "words.h"
#include "gpu/kernels/layout.h"
#include "gpu/weights/fill.h"
#include "gpu/weights/load_gpu.h"
#include "gpu/weights/report.h"
#include "base/error.h"
#include "base/fmt.h"
#include "base/mem.h"
#include "base/os.h"
#include <string.h>

enum { DRAWN_MS = 8, WATCHED_MS = 250 }; /* of a submit, where a page draws on the GPU, where not */

static goss_gpu_state *of(goss_backend *b) { return goss_gpu_state_of(b); }

/* ---- loading ------------------------------------------------------------------------------------------- */
static void tell_limits(goss_gpu_state *s)
{
    const goss_gpu_limits *l = goss_gpu_get_limits(s->gpu);
    char detail[420];
    goss_fmt(
        detail, sizeof detail,
        "max_buffer=%llu max_binding=%llu bind_groups=%u bindings_per_group=%u f16=%s subgroups=%s "
        "dot4=%s fragments=%s storage_buffers=%u workgroup_bytes=%u invocations=%u kernels=%s adapter=%s",
        (unsigned long long)l->max_buffer, (unsigned long long)l->max_binding, l->max_bind_groups,
        l->max_bindings_per_group, l->features & GOSS_GPU_F16 ? "yes" : "no",
        s->facts.subgroup ? "yes" : "no", s->facts.packed ? "yes" : "no", s->facts.fragments ? "yes" : "no",
        l->max_storage_buffers, l->max_workgroup_bytes, l->max_invocations, s->choice.n ? "chosen" : "fixed",
        l->adapter);
    goss_report_load(&s->weights, "gpu_limits", "completed", detail, 0, 0);
}

/* The kernels are made: by which of them is part of the name, and so of what prefixes are kept under. */
static void tell_level(goss_gpu_state *s)
{
    const uint32_t mark = goss_choice_mark(&s->choice);
    const size_t n = goss_fmt(s->level, sizeof s->level, "%s%s%s", goss_gpu_get_limits(s->gpu)->adapter,
                              s->facts.kv_half ? " f16" : "", s->facts.subgroup ? " subgroups" : "");
    if (mark && n < sizeof s->level) goss_fmt(s->level + n, sizeof s->level - n, " kernels=%08x", mark);
    goss_chosen_tell(s, mark);
}

/* Where products by fragments begin to win: experts have six rows each on average then
 * (docs/gpu-performance.md). */
enum { MOST_FEW = 64 /* rows that the kernels for few take */ };
static int fragments_from(const goss_hparams *hp)
{
    const int rows = 6 * hp->n_expert / hp->n_expert_used;
    return rows < GOSS_DECODE_ROWS ? GOSS_DECODE_ROWS : rows < MOST_FEW ? rows : MOST_FEW;
}

/* Rows that go through the kernels for few: more where these share a weight among all rows that want it, up
 * to where those for many are faster: as was chosen, or as features say. */
static int few_rows(const goss_gpu_state *s, const goss_choice_line *chosen)
{
    const goss_model *m = s->base.model;
    int all = s->facts.packed_few && (chosen || !goss_gpu_get_limits(s->gpu)->is_cpu) &&
              !s->config.n_host_layers && m->hp.n_expert > 0 && m->hp.n_embd % 32 == 0 &&
              m->hp.n_ff % 32 == 0;
    for (int i = 0; i < m->hp.n_layer; i++) {
        const goss_layer *l = &m->layers[i];
        const goss_tensor *t[] = { &l->wq, &l->wk, &l->wv, &l->wo, &l->gate, &l->up, &l->down };
        for (size_t k = 0; k < sizeof t / sizeof t[0]; k++)
            all &= goss_layout_packs(goss_layout_of(t[k]->type));
    }
    return !all                 ? GOSS_DECODE_ROWS
           : chosen             ? (int)chosen->size[0]
           : s->facts.fragments ? fragments_from(&m->hp)
                                : MOST_FEW;
}

/* Pages from which on attend_group is the faster one (docs/gpu-performance.md). */
enum { LONG_PAGES = 256 };

static int attends_in_groups(const goss_gpu_state *s)
{
    const goss_hparams *hp = &s->base.model->hp;
    return goss_attend_group_fits(goss_gpu_get_limits(s->gpu), s->facts.subgroup,
                                  (uint32_t)(hp->n_head / hp->n_head_kv), (uint32_t)hp->head_dim);
}

/* What the probe and the limits allow. */
static int choose(goss_gpu_state *s, goss_error *err)
{
    const goss_gpu_limits *l = goss_gpu_get_limits(s->gpu);
    const int packed_too = s->tests && s->tests->packed_too;
    const uint64_t split = s->tests ? s->tests->split : 0;
    s->facts.packed = (l->features & GOSS_GPU_DOT4) && (!l->is_cpu || packed_too);
    s->facts.kv_half = s->facts.half_ok && s->config.kv_type != GOSS_F32;
    s->facts.can_bytes = (l->features & GOSS_GPU_DOT4) != 0;
    s->facts.can_fragments = l->fragment.m && s->facts.half_ok && s->facts.subgroup &&
                             (l->features & GOSS_GPU_F16) && !s->settings.smaller;
    s->facts.fragments = s->facts.can_fragments && (!l->is_cpu || packed_too);
    const int r = goss_chosen_read(s, err);
    if (r) return r;
    const goss_choice_line *few = goss_chosen_few(s);
    s->facts.packed_few = few ? few->operands == GOSS_TILE_BYTES && s->facts.can_bytes : s->facts.packed;
    s->facts.few_rows = s->base.decode_rows = few_rows(s, few);
    if ((!l->is_cpu || packed_too) && attends_in_groups(s)) s->facts.long_pages = packed_too ? 2 : LONG_PAGES;
    s->facts.max_binding = l->max_binding < l->max_buffer ? l->max_binding : l->max_buffer;
    if (split && split < s->facts.max_binding) s->facts.max_binding = split;
    s->facts.wg = l->is_cpu ? 64 : 128;
    s->facts.lanes = l->is_cpu ? 4 : 32;
    if (s->facts.subgroup > (int)s->facts.lanes) s->facts.lanes = (uint32_t)s->facts.subgroup;
    s->facts.wg_up = s->facts.wg_norm = l->is_cpu ? 64 : 256;
    s->facts.loads = l->is_cpu ? 1 : 12;
    if (l->shared && s->rec.cut_ms <= 0) s->rec.cut_ms = s->settings.panels ? DRAWN_MS : WATCHED_MS;
    s->facts.nr[0] = 4;
    s->facts.nr[1] = l->is_cpu ? 2 : 4;
    s->facts.nr[2] = 2;
    /* a kernel failed: smaller ones (retry.c) */
    for (int i = 0; i < s->settings.smaller; i++) {
        /* rows go in pairs */
        for (int k = 0; k < GOSS_BATCHES; k++) if (s->facts.nr[k] > 2) s->facts.nr[k] /= 2;
        if (s->facts.wg > 64) s->facts.wg /= 2;
        if (s->facts.wg_up > 64) s->facts.wg_up /= 2;
    }
    return 0;
}

static void tell_allocation(goss_gpu_state *s)
{
    char detail[128];
    goss_fmt(detail, sizeof detail, "bytes=%llu buffers=%d kv=%llu",
             (unsigned long long)goss_gpu_allocated(s->gpu), goss_gpu_buffers(s->gpu),
             (unsigned long long)s->weights.kv_bytes);
    goss_report_load(&s->weights, "gpu_alloc", "completed", detail, 0, 0);
}

/* "auto" takes a GPU only where it is one: the CPU backend is many times faster than an adapter made of
 * software. */
static int suits(const goss_gpu_state *s, goss_error *err)
{
    const goss_gpu_limits *l = goss_gpu_get_limits(s->gpu);
    if (!l->is_cpu || s->settings.software_too) return 0;
    return goss_fail(err, GOSS_EUNSUPPORTED, -1,
                     "the only GPU adapter is software (%s): --backend gpu takes it all the same",
                         l->adapter);
}

static int gpu_load(goss_backend *b, goss_error *err)
{
    goss_gpu_state *s = of(b);
    int r = 0;
    if (s->phase == GOSS_GPU_OPENING && !(r = goss_gpu_ready(s->gpu, err)) && !(r = suits(s, err)))
        s->phase = GOSS_GPU_PROBING;
    if (s->phase == GOSS_GPU_PROBING && !r && !(r = goss_kernels_probe(&s->kernels, err))) {
        r = choose(s, err);
        if (!r) tell_limits(s);
        if (!r) goss_kv_plan_growth(s);
        /* weights come while the other kernels are compiled */
        if (!r) r = goss_weights_prepare(&s->weights, err);
        if (!r) r = goss_build(s, err);
        if (!r) tell_level(s);
        if (!r) r = goss_weights_plan(&s->weights, err);
        s->phase = GOSS_GPU_LOADING;
    }
    if (s->phase == GOSS_GPU_LOADING && !r) {          /* kernels are compiled meanwhile */
        r = goss_kernels_ready(&s->kernels, err);
        if (!r || r == GOSS_EAGAIN) r = goss_weights_load(&s->weights, err);
        if (!r) s->phase = GOSS_GPU_COMPILING;
    }
    if (s->phase == GOSS_GPU_COMPILING && !r && !(r = goss_kernels_ready(&s->kernels, err))) {
        s->phase = GOSS_GPU_USABLE;
        tell_allocation(s);
    } else if (s->phase == GOSS_GPU_COMPILING && r == GOSS_EAGAIN)
        goss_gpu_poll(s->gpu, 10); /* not asking takes no core */
    goss_error why;
    if (r && r != GOSS_EAGAIN && s->kernels.failed) return goss_retry_kernel(s, err);
    if (!r || r == GOSS_EAGAIN) {
        const int early = s->phase == GOSS_GPU_OPENING ||
                          s->kernels.n_ready < s->kernels.n; /* compilers speak for themselves */
        const int code = early ? 0 : goss_gpu_error(s->gpu, &why);
        if (code) { r = code; if (err) *err = why; }
    }
    return r;
}

static void gpu_read_done(goss_backend *b, uint64_t tag, int status)
{
    goss_weights_read_done(&of(b)->weights, tag, status);
}

/* ---- steps --------------------------------------------------------------------------------------------- */
static goss_gpu_ticket *ticket_of(goss_gpu_state *s, const goss_step *step)
{
    return step->ticket > 0 && step->ticket <= GOSS_TICKETS && s->tickets[step->ticket - 1].busy
               ? &s->tickets[step->ticket - 1]
               : NULL;
}

/* A read-back buffer that grows. */
static int room_back(goss_gpu_state *s, int *back, uint64_t *bytes, uint64_t need, const char *label)
{
    if (need <= *bytes) return 0;
    if (*back) goss_gpu_buffer_free(s->gpu, *back);
    *bytes = 0;
    *back = goss_gpu_buffer(s->gpu, need, GOSS_GPU_MAP_READ | GOSS_GPU_COPY_DST, label);
    if (*back < 0) return *back = 0, GOSS_ELIMIT;
    *bytes = need;
    return 0;
}

static int logits_room(goss_gpu_state *s, goss_gpu_ticket *t, goss_error *err)
{
    const uint64_t need = (uint64_t)t->n_logits * (uint64_t)s->base.model->hp.n_vocab * 4;
    const int r = room_back(s, &t->logits_back, &t->logits_bytes, need, "logits back");
    return r ? goss_fail(err, r, -1, "no room to read %d rows of logits back: ask for fewer at once",
                         t->n_logits)
             : 0;
}

/* Has the device nothing to do? A step that may be recorded again, with smaller kernels or when its experts
 * are there, is not asked about. */
static int is_idle(const goss_gpu_state *s)
{
    int idle = s->launched && !s->weights.slots.on;
    for (int i = 0; i < GOSS_TICKETS; i++) idle &= !s->tickets[i].busy || s->tickets[i].polled;
    return idle;
}

static int gpu_begin(goss_backend *b, goss_step *step, goss_error *err)
{
    goss_gpu_state *s = of(b);
    int i = 0;
    step->ticket = 0;
    if (step->n_rows < 1 || step->n_rows > s->config.max_rows)
        return goss_fail(err, GOSS_EINVAL, -1, "a step of %d rows, the most is %d", step->n_rows,
                         s->config.max_rows);
    while (i < GOSS_TICKETS && s->tickets[i].busy) i++;
    if (i == GOSS_TICKETS) return goss_fail(err, GOSS_ESTATE, -1, "too many steps in flight");
    if (goss_kv_follow(s, step))
        return goss_fail(err, GOSS_ENOMEM, -1,
                         "the GPU has no room for more keys and values (%llu MB now): --kv-cap sets a limit",
                         (unsigned long long)(s->weights.kv_bytes >> 20));
    goss_gpu_ticket *t = &s->tickets[i];
    s->ticket = t;
    goss_rec_start(&s->rec);
    if (is_idle(s)) {
        goss_rec_ahead(&s->rec);
        t->t_launch = goss_os_now_ms();
    }
    t->paged = s->weights.slots.on;
    t->state = GOSS_TICKET_DONE;
    int r = t->paged ? goss_paging_begin(s, step, t, err) : goss_words_begin(s, step, t, err);
    if (!r) r = logits_room(s, t, err);
    if (r) { s->ticket = NULL; return r; }
    t->busy = 1;
    t->polled = 0;
    t->left = GOSS_LEFT_NONE;
    t->n_rows = step->n_rows;
    t->many = goss_gpu_many(s, step);
    step->ticket = i + 1;
    goss_measure_disturb(s);
    s->current = step;
    goss_profile_begin(s);
    return 0;
}

static int gpu_submit(goss_backend *b, goss_step *step, goss_error *err)
{
    goss_gpu_state *s = of(b);
    goss_gpu_ticket *t = ticket_of(s, step);
    if (!t) return goss_fail(err, GOSS_ESTATE, -1, "a step without a ticket");
    const int r = t->paged ? goss_paging_submit(s, t, err) : goss_launch(s, t);
    s->ticket = NULL;
    if (!r) return 0;
    goss_error why = { 0 };
    if (r != GOSS_ELOST && goss_gpu_error(s->gpu, &why) && err) *err = why;
    else goss_fail(err, r, -1, r == GOSS_ELOST ? "the GPU device was lost" : "the GPU refused a step");
    return goss_retry_launch(s, r, err);
}

static void read_pick(const uint32_t *w, goss_pick *p)
{
    *p = (goss_pick){ .token = (int32_t)w[GOSS_PICK_TOKEN],
                      .logprob = goss_bits_float(w[GOSS_PICK_LOGPROB]),
                      .entropy = goss_bits_float(w[GOSS_PICK_ENTROPY]),
                      .n_top = (int)w[GOSS_PICK_N_TOP] };
    if (p->n_top > GOSS_TOP_MAX) p->n_top = GOSS_TOP_MAX;
    w += GOSS_PICK_TOP;
    for (int i = 0; i < p->n_top; i++)
        p->top[i] = (goss_prob){ (int32_t)w[2 * i], goss_bits_float(w[2 * i + 1]) };
}

/* 0 once the step's picks are on the host. */
static int poll_back(goss_gpu_state *s, goss_gpu_ticket *t, goss_error *err)
{
    if (!t->paged) return goss_gpu_read_poll(s->gpu, t->back, t->words, goss_launch_back_bytes(s, t));
    const int r = goss_paging_advance(s, t, err);
    return r ? r : t->state == GOSS_TICKET_DONE ? 0 : GOSS_EAGAIN;
}

static int gpu_poll(goss_backend *b, goss_step *step, int timeout_ms, goss_pick *picks, goss_error *err)
{
    goss_gpu_state *s = of(b);
    goss_gpu_ticket *t = ticket_of(s, step);
    if (!t) return goss_fail(err, GOSS_ESTATE, -1, "poll of a step without a ticket");
    int r = poll_back(s, t, err);
    if (r == GOSS_EAGAIN && timeout_ms > 0) {
        goss_gpu_poll(s->gpu, timeout_ms);
        r = poll_back(s, t, err);
    }
    if (r == GOSS_EAGAIN) return r;
    goss_error why = { 0 };
    const int code = goss_gpu_error(s->gpu, &why);
    if (r || code) {
        t->busy = 0;
        if (err && code) *err = why;
        else goss_fail(err, r, -1, r == GOSS_ELOST ? "the GPU device was lost"
                       : "reading a step's result back failed");
        return r == GOSS_ELOST ? r : goss_retry_launch(s, code ? code : r, err);
    }
    const uint32_t *w = t->words + goss_launch_report_bytes(s, t) / 4;
    for (int i = 0, n = 0; i < t->n_list; i++, w += GOSS_PICK_WORDS)
        if (t->want[t->list[i]] & GOSS_ROW_SAMPLE) {
            if (*w >= (uint32_t)b->model->hp.n_vocab)
                return goss_fail(err, GOSS_EGPU, -1, "the GPU sampled token %u", *w);
            if (picks) read_pick(w, &picks[n]);
            n++;
        }
    goss_profile_collect(s);
    goss_rec_took(&s->rec, b->model->hp.n_layer, t->n_rows, t->t_launch);
    t->polled = s->launched = 1;
    if (!t->n_logits && !t->left) t->busy = 0;
    return 0;
}

static int gpu_logits(goss_backend *b, goss_step *step, int row, float *out)
{
    goss_gpu_state *s = of(b);
    goss_gpu_ticket *t = ticket_of(s, step);
    int at = 0, r = 0;
    if (!t || !t->polled || row < 0 || row >= t->n_rows || !(t->want[row] & GOSS_ROW_LOGITS))
        return GOSS_EINVAL;
    for (int i = 0; i < row; i++) at += (t->want[i] & GOSS_ROW_LOGITS) != 0;
    const uint64_t n = (uint64_t)b->model->hp.n_vocab, all = (uint64_t)t->n_logits * n * 4;
    /* the first row asked for brings all of them to the host */
    if (t->polled == 1) {
        if (all > s->logits.bytes) {
            goss_mem_free(s->logits.floats);
            s->logits.floats = goss_mem_alloc((size_t)all);
            s->logits.bytes = s->logits.floats ? all : 0;
            if (!s->logits.floats) return GOSS_ENOMEM;
        }
        while ((r = goss_gpu_read_poll(s->gpu, t->logits_back, s->logits.floats, all)) == GOSS_EAGAIN)
            goss_gpu_poll(s->gpu, 1000);
        if (r) return r;
        t->polled = 2;
    }
    memcpy(out, s->logits.floats + (uint64_t)at * n, (size_t)n * 4);
    return 0;
}

/* A ticket that nobody wants may still be in flight: its reads are let run out first. */
static void gpu_release(goss_backend *b, goss_step *step)
{
    goss_gpu_state *s = of(b);
    goss_gpu_ticket *t = ticket_of(s, step);
    if (!t) return;
    if (s->ticket == t) { s->ticket = NULL; goss_rec_start(&s->rec); }
    else {
        goss_error ignored;
        if (t->paged) goss_paging_release(s, t);
        else
            while (!t->polled && goss_gpu_read_poll(s->gpu, t->back, t->words, goss_launch_back_bytes(s,
                                                                      t)) == GOSS_EAGAIN)
                goss_gpu_poll(s->gpu, 1000);
        if (t->n_logits &&
            t->polled != 2) { /* a map that nobody reads: the buffer goes, the next step makes another */
            goss_gpu_buffer_free(s->gpu, t->logits_back);
            t->logits_back = 0;
            t->logits_bytes = 0;
            while (goss_gpu_error(s->gpu, &ignored)) { }
        }
        if (t->left == GOSS_LEFT_WANTED) {
            goss_gpu_buffer_free(s->gpu, t->left_back);
            t->left_back = 0;
            t->left_bytes = 0;
            while (goss_gpu_error(s->gpu, &ignored)) { }
        }
    }
    t->busy = 0;
    step->ticket = 0;
}

/* Where experts are paged the step may stop before it has come so far. */
static int gpu_leave(goss_backend *b, goss_step *step)
{
    goss_gpu_state *s = of(b);
    goss_gpu_ticket *t = ticket_of(s, step);
    const uint64_t n = (uint64_t)step->n_rows * (uint64_t)b->model->hp.n_embd * 4;
    if (!t || s->weights.slots.on) return GOSS_EUNSUPPORTED;
    const int r = room_back(s, &t->left_back, &t->left_bytes, n, "residual back");
    if (r) return r;
    goss_rec_copy(&s->rec, s->buf.x, 0, t->left_back, 0, n);
    t->left = GOSS_LEFT_WANTED;
    return 0;
}

static int gpu_left(goss_backend *b, goss_step *step, float *x)
{
    goss_gpu_state *s = of(b);
    goss_gpu_ticket *t = ticket_of(s, step);
    const uint64_t n = (uint64_t)step->n_rows * (uint64_t)b->model->hp.n_embd * 4;
    int r = 0;
    if (!t || !t->polled || t->left != GOSS_LEFT_WANTED) return GOSS_EINVAL;
    while ((r = goss_gpu_read_poll(s->gpu, t->left_back, x, n)) == GOSS_EAGAIN) goss_gpu_poll(s->gpu, 1000);
    t->left = GOSS_LEFT_TAKEN;
    return r;
}

/* A model whose experts are paged may have to run a step again, which would need its residual again. */
static int gpu_put(goss_backend *b, const goss_step *step, const float *x)
{
    goss_gpu_state *s = of(b);
    if (s->weights.slots.on) return GOSS_EUNSUPPORTED;
    return goss_gpu_write(s->gpu, s->buf.x, 0, x,
                          (uint64_t)step->n_rows * (uint64_t)b->model->hp.n_embd * sizeof *x);
}

static void gpu_kv_copy(goss_backend *b, int cls, int from, int to)
{
    goss_gpu_state *s = of(b);
    if (s->weights.slots.on) { goss_paging_kv_copy(s, cls, from, to); return; }
    goss_kv_record_copy(s, cls, from, to);
    goss_rec_flush(&s->rec);
}

static void gpu_tap(goss_backend *b, goss_tap_fn fn, void *ctx)
{
    of(b)->settings.tap = fn;
    of(b)->settings.tap_ctx = ctx;
}

static double progress_of(const goss_gpu_state *s)
{
    const goss_gpu_loader *l = &s->weights.load;
    if (s->phase == GOSS_GPU_USABLE && !s->weights.slots.early) return 1;
    return l->bytes_total ? (double)l->bytes_done / (double)l->bytes_total : 0;
}

static void gpu_stats(const goss_backend *b, goss_backend_stats *out)
{
    const goss_gpu_state *s = (const goss_gpu_state *)b;
    const goss_slots *slots = &s->weights.slots;
    const goss_paging *p = &s->paging;
    *out = (goss_backend_stats){ .bytes_allocated = s->gpu ? goss_gpu_allocated(s->gpu) : 0,
                                 .kv_bytes = s->weights.kv_bytes,
                                 .weight_bytes = s->weights.bytes,
                                 .progress = progress_of(s),
                                 .hits = p->hits,
                                 .misses = p->misses,
                                 .evictions = slots->evictions,
                                 .stalls = p->stalls,
                                 .stall_ms = p->stall_ms,
                                 .fetched_bytes = slots->fetched_bytes };
}

static void gpu_watch(goss_backend *b, int layer, int head)
{
    goss_panels_watch(of(b), layer, head);
    goss_seen_watch(of(b), layer, head);
}

/* Whether rows are recorded was decided when the calls were made. */
static int gpu_record(goss_backend *b, int on)
{
    (void)b, (void)on;
    return 0;
}

static int gpu_seen(const goss_backend *b, const goss_step *step, int row, goss_seen *out)
{
    const goss_gpu_state *s = (const goss_gpu_state *)b;
    if (step->ticket < 1 || step->ticket > GOSS_TICKETS) return 0;
    return goss_seen_read(s, &s->tickets[step->ticket - 1], row, out);
}

static void gpu_telemetry(goss_backend *b, unsigned mask)
{
    goss_profile_ask(of(b), (mask & GOSS_TELEMETRY_KERNELS) != 0);
}

/* Whoever waits for a stopped step polls, and is served first. */
static int gpu_fill(goss_backend *b, goss_error *err)
{
    goss_gpu_state *s = of(b);
    if (goss_paging_stopped(s)) return GOSS_FILL_MORE;
    const int r = goss_fill_some(&s->weights, goss_paging_calm(s), err);
    return r == GOSS_FILLED ? goss_settle_some(s) : r;
}

static int gpu_measure(goss_backend *b, int timeout_ms, goss_buf *text)
{
    return goss_measure_some(of(b), timeout_ms, text);
}

static const char *gpu_level(const goss_backend *b) { return ((const goss_gpu_state *)b)->level; }

static void gpu_close(goss_backend *b)
{
    goss_gpu_state *s = of(b);
    if (!s) return;
    goss_retry_clear(s);
    goss_mem_free(s);
}

static const goss_backend_vt table = { .name = "gpu",
                                       .in_flight = GOSS_GPU_FLIGHTS,
                                       .load = gpu_load,
                                       .begin = gpu_begin,
                                       .embed = goss_stages_embed,
                                       .attn_in = goss_stages_attn_in,
                                       .attend = goss_stages_attend,
                                       .attn_out = goss_stages_attn_out,
                                       .route = goss_stages_route,
                                       .experts = goss_stages_experts,
                                       .ffn = goss_stages_ffn,
                                       .head = goss_stages_head,
                                       .submit = gpu_submit,
                                       .poll = gpu_poll,
                                       .logits = gpu_logits,
                                       .release = gpu_release,
                                       .leave = gpu_leave,
                                       .left = gpu_left,
                                       .put = gpu_put,
                                       .kv_copy = gpu_kv_copy,
                                       .kv_bytes = goss_kv_page_bytes,
                                       .kv_read = goss_kv_read_page,
                                       .kv_write = goss_kv_write_page,
                                       .read_done = gpu_read_done,
                                       .fill = gpu_fill,
                                       .measure = gpu_measure,
                                       .tap = gpu_tap,
                                       .stats = gpu_stats,
                                       .watch = gpu_watch,
                                       .record = gpu_record,
                                       .seen = gpu_seen,
                                       .telemetry = gpu_telemetry,
                                       .level = gpu_level,
                                       .close = gpu_close };

/* "f16,subgroups,dot4,timestamps,subgroup_matrix" */
static unsigned mask_of(const char *names)
{
    static const struct {
        const char *name;
        unsigned bit;
    } known[] = { { "f16", GOSS_GPU_F16 },
                  { "subgroups", GOSS_GPU_SUBGROUPS },
                  { "dot4", GOSS_GPU_DOT4 },
                  { "timestamps", GOSS_GPU_TIMESTAMPS },
                  { "subgroup_matrix", GOSS_GPU_SUBGROUP_MATRIX } };
    unsigned mask = 0;
    for (const char *n = names; n && *n;) {
        size_t len = strcspn(n, ",");
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
            if (strlen(known[i].name) == len && !memcmp(known[i].name, n, len)) mask |= known[i].bit;
        n += len + (n[len] == ',');
    }
    return mask;
}

int goss_backend_open_gpu(goss_backend **out, const goss_backend_config *c, goss_error *err)
{
    goss_gpu_state *s = goss_mem_alloc(sizeof *s);
    *out = NULL;
    if (!s) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for the gpu backend");
    s->base.vt = &table;
    s->base.model = c->model;
    s->config = *c;
    const goss_engine_config *e = c->engine;
    s->settings.options = (goss_gpu_options){ .path = e ? e->webgpu_path : NULL,
                                     .limits_default = e && e->gpu_limits_default,
                                     .mask = e ? mask_of(e->gpu_mask) : 0 };
    s->settings.smaller = c->tiles ? *c->tiles : 0;
    s->settings.software_too = !e || (e->backend && !strcmp(e->backend, "gpu"));
    s->config.engine = NULL;
    s->settings.early = c->early;
    s->experts_watched = goss_paging_watched;
    const int whole = c->model->tok_embd.type >= 0 && c->model->output.type >= 0;
    const unsigned shown = e && whole ? e->telemetry_mask : 0; /* of a part nobody sees anything */
    s->settings.profile = (shown & GOSS_TELEMETRY_KERNELS) != 0;
    s->settings.panels = (shown & GOSS_TELEMETRY_PANELS) != 0;
    s->settings.record = (shown & GOSS_TELEMETRY_RECORD) != 0;
    s->settings.kernels = e && whole ? e->gpu_kernels : NULL;
    s->settings.measures = e && whole && e->on_kernels;
    s->settings.panel_layer = e ? e->telemetry_layer : 0;
    s->settings.panel_head = e ? e->telemetry_head : 0;
    const goss_hparams *hp = &c->model->hp;
    int r = 0;
    if (hp->n_head % hp->n_head_kv || hp->head_dim % 16 || hp->head_dim > 256 ||
        hp->n_head / hp->n_head_kv > 16 || (hp->rope_half && hp->rope_dim % 4) || hp->n_expert > 256 ||
        c->max_rows > 2048)
        r = goss_fail(
            err, GOSS_EUNSUPPORTED, -1,
            "the GPU kernels don't cover %d heads of %d over %d KV heads with %d experts; use --backend cpu",
            hp->n_head, hp->head_dim, hp->n_head_kv, hp->n_expert);
    if (!r) r = goss_retry_open(s, err);
    if (r) { gpu_close(&s->base); return r; }
    *out = &s->base;
    return 0;
}
