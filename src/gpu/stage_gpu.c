/* stage_gpu.c - the gpu backend: opens the device, lets it be built and loaded a bit at a time, and runs
 * steps, several in flight.
 * A step is one submit; all that comes back is a few words for each sampled row (and logits where they were
 * asked for). */
#include "gpu_state.h"
#include "../base/error.h"
#include "../base/fmt.h"
#include "../base/mem.h"
#include "../base/os.h"
#include <string.h>

enum { DRAWN_MS = 8, WATCHED_MS = 250 };               /* of a submit, where a page draws on the GPU, where not */

static goss_gpu_state *of(goss_backend *b) { return (goss_gpu_state *)b; }

/* ---- loading ------------------------------------------------------------------------------------------- */
static void tell_limits(goss_gpu_state *s)
{
    const goss_gpu_limits *l = goss_gpu_get_limits(s->gpu);
    char detail[400];
    goss_fmt(detail, sizeof detail,
             "max_buffer=%llu max_binding=%llu bind_groups=%u bindings_per_group=%u f16=%s subgroups=%s "
             "dot4=%s storage_buffers=%u workgroup_bytes=%u invocations=%u adapter=%s",
             (unsigned long long)l->max_buffer, (unsigned long long)l->max_binding, l->max_bind_groups,
             l->max_bindings_per_group, l->features & GOSS_GPU_F16 ? "yes" : "no", s->subgroup ? "yes" : "no",
             s->packed ? "yes" : "no", l->max_storage_buffers, l->max_workgroup_bytes, l->max_invocations, l->adapter);
    goss_gpu_report(s, "gpu_limits", "completed", detail, 0, 0);
    goss_fmt(s->level, sizeof s->level, "%s%s%s", l->adapter, s->kv_half ? " f16" : "",
             s->subgroup ? " subgroups" : "");
}

/* What the probe and the limits allow. */
static void choose(goss_gpu_state *s)
{
    const goss_gpu_limits *l = goss_gpu_get_limits(s->gpu);
    s->packed = (l->features & GOSS_GPU_DOT4) && (!l->is_cpu || s->packed_too);
    s->kv_half = s->half_ok && s->config.kv_type != GOSS_F32;
    s->max_binding = l->max_binding < l->max_buffer ? l->max_binding : l->max_buffer;
    if (s->split && s->split < s->max_binding) s->max_binding = s->split;
    s->wg = l->is_cpu ? 64 : 128;
    s->lanes = l->is_cpu ? 4 : 32;
    if (s->subgroup > (int)s->lanes) s->lanes = (uint32_t)s->subgroup;
    s->wg_up = s->wg_norm = l->is_cpu ? 64 : 256;
    s->loads = l->is_cpu ? 1 : 12;
    if (l->shared && s->cut_ms <= 0) s->cut_ms = s->panels ? DRAWN_MS : WATCHED_MS;
    s->nr[0] = 4;
    s->nr[1] = l->is_cpu ? 2 : 4;
    s->nr[2] = 2;
    for (int i = 0; i < s->smaller; i++) {                /* a kernel failed: smaller ones (gpu_retry.c) */
        for (int k = 0; k < GOSS_BATCHES; k++) if (s->nr[k] > 2) s->nr[k] /= 2; /* rows go in pairs */
        if (s->wg > 64) s->wg /= 2;
        if (s->wg_up > 64) s->wg_up /= 2;
    }
}

static void tell_allocation(goss_gpu_state *s)
{
    char detail[128];
    goss_fmt(detail, sizeof detail, "bytes=%llu buffers=%d kv=%llu",
             (unsigned long long)goss_gpu_allocated(s->gpu), goss_gpu_buffers(s->gpu),
             (unsigned long long)s->kv_bytes);
    goss_gpu_report(s, "gpu_alloc", "completed", detail, 0, 0);
}

/* "auto" takes a GPU only where it is one: the CPU backend is many times faster than an adapter made of software. */
static int suits(const goss_gpu_state *s, goss_error *err)
{
    const goss_gpu_limits *l = goss_gpu_get_limits(s->gpu);
    if (!l->is_cpu || s->software_too) return 0;
    return goss_fail(err, GOSS_EUNSUPPORTED, -1,
                     "the only GPU adapter is software (%s): --backend gpu takes it all the same", l->adapter);
}

static int gpu_load(goss_backend *b, goss_error *err)
{
    goss_gpu_state *s = of(b);
    int r = 0;
    if (s->phase == GOSS_GPU_OPENING && !(r = goss_gpu_ready(s->gpu, err)) && !(r = suits(s, err)))
        s->phase = GOSS_GPU_PROBING;
    if (s->phase == GOSS_GPU_PROBING && !r && !(r = goss_gpu_probe(s, err))) {
        choose(s);
        tell_limits(s);
        r = goss_gpu_load_prepare(s, err);             /* weights come while the other kernels are compiled */
        if (!r) r = goss_gpu_build(s, err);
        if (!r) r = goss_gpu_load_plan(s, err);
        s->phase = GOSS_GPU_LOADING;
    }
    if (s->phase == GOSS_GPU_LOADING && !r) {          /* kernels are compiled meanwhile */
        r = goss_gpu_kernels_ready(s, err);
        if (!r || r == GOSS_EAGAIN) r = goss_gpu_load_some(s, err);
        if (!r) s->phase = GOSS_GPU_COMPILING;
    }
    if (s->phase == GOSS_GPU_COMPILING && !r && !(r = goss_gpu_kernels_ready(s, err))) {
        s->phase = GOSS_GPU_USABLE;
        tell_allocation(s);
    } else if (s->phase == GOSS_GPU_COMPILING && r == GOSS_EAGAIN)
        goss_gpu_poll(s->gpu, 10); /* not asking takes no core */
    goss_error why;
    if (r && r != GOSS_EAGAIN && s->kernel_failed) return goss_gpu_retry_kernel(s, err);
    if (!r || r == GOSS_EAGAIN) {
        const int early =
            s->phase == GOSS_GPU_OPENING || s->n_ready < s->n_kernels; /* compilers speak for themselves */
        const int code = early ? 0 : goss_gpu_error(s->gpu, &why);
        if (code) { r = code; if (err) *err = why; }
    }
    return r;
}

static void gpu_read_done(goss_backend *b, uint64_t tag, int status)
{
    if (tag >= GOSS_TAG_LANE) goss_gpu_feed_done(of(b), tag, status);
    else of(b)->raw_state = status < 0 ? status : 2;
}

/* ---- steps --------------------------------------------------------------------------------------------- */
static goss_gpu_ticket *ticket_of(goss_gpu_state *s, const goss_step *step)
{
    return step->ticket > 0 && step->ticket <= GOSS_TICKETS && s->tickets[step->ticket - 1].busy
               ? &s->tickets[step->ticket - 1]
               : NULL;
}

static int logits_room(goss_gpu_state *s, goss_gpu_ticket *t, goss_error *err)
{
    const uint64_t need = (uint64_t)t->n_logits * (uint64_t)s->base.model->hp.n_vocab * 4;
    if (need <= t->logits_bytes) return 0;
    if (t->logits_back) goss_gpu_buffer_free(s->gpu, t->logits_back);
    t->logits_bytes = 0;
    t->logits_back = goss_gpu_buffer(s->gpu, need, GOSS_GPU_MAP_READ | GOSS_GPU_COPY_DST, "logits back");
    if (t->logits_back < 0) {
        t->logits_back = 0;
        return goss_fail(err, GOSS_ELIMIT, -1,
                         "no room to read %d rows of logits back: ask for fewer at once", t->n_logits);
    }
    t->logits_bytes = need;
    return 0;
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
    goss_gpu_ticket *t = &s->tickets[i];
    s->ticket = t;
    s->n_words = 0;
    s->in_pass = 0;
    int r = s->pages.on ? goss_gpu_pages_begin(s, step, t, err) : goss_gpu_step_begin(s, step, t, err);
    if (!r) r = logits_room(s, t, err);
    if (r) { s->ticket = NULL; return r; }
    t->busy = 1;
    t->polled = 0;
    t->n_rows = step->n_rows;
    step->ticket = i + 1;
    s->current = step;
    goss_gpu_profile_begin(s);
    return 0;
}

/* Of the read-back: a paged step's report, then its picks. */
static uint64_t report_bytes(const goss_gpu_state *s) { return s->pages.on ? (uint64_t)s->pages.n_report * 4 : 0; }
static uint64_t back_bytes(const goss_gpu_state *s, const goss_gpu_ticket *t)
{
    return report_bytes(s) + (uint64_t)(t->n_list ? t->n_list : 1) * GOSS_PICK_WORDS * 4;
}

int goss_gpu_launch(goss_gpu_state *s, goss_gpu_ticket *t)
{
    const uint64_t bytes = back_bytes(s, t), report = report_bytes(s);
    if (report) goss_gpu_copy(s, s->pages.mark, 0, t->back, 0, report);
    goss_gpu_copy(s, s->pick, 0, t->back, report, bytes - report);
    int r = goss_gpu_profile_record(s);
    t->t_launch = goss_os_now_ms();
    if (!r) r = goss_gpu_flush(s);
    if (!r) r = goss_gpu_read(s->gpu, t->back, 0, bytes);
    if (!r) r = goss_gpu_profile_submitted(s);
    if (!r && t->n_logits)
        r = goss_gpu_read(s->gpu, t->logits_back, 0,
                          (uint64_t)t->n_logits * (uint64_t)s->base.model->hp.n_vocab * 4);
    return r;
}

static int gpu_submit(goss_backend *b, goss_step *step, goss_error *err)
{
    goss_gpu_state *s = of(b);
    goss_gpu_ticket *t = ticket_of(s, step);
    if (!t) return goss_fail(err, GOSS_ESTATE, -1, "a step without a ticket");
    const int r = s->pages.on ? goss_gpu_pages_submit(s, t, err) : goss_gpu_launch(s, t);
    s->ticket = NULL;
    if (!r) return 0;
    goss_error why = { 0 };
    if (r != GOSS_ELOST && goss_gpu_error(s->gpu, &why) && err) *err = why;
    else goss_fail(err, r, -1, r == GOSS_ELOST ? "the GPU device was lost" : "the GPU refused a step");
    return goss_gpu_launch_failed(s, r, err);
}

static float as_float(uint32_t u) { union { uint32_t u; float f; } v = { u }; return v.f; }

static void read_pick(const uint32_t *w, goss_pick *p)
{
    *p = (goss_pick){
        .token = (int32_t)w[0], .logprob = as_float(w[1]), .entropy = as_float(w[2]), .n_top = (int)w[3]
    };
    if (p->n_top > GOSS_TOP_MAX) p->n_top = GOSS_TOP_MAX;
    for (int i = 0; i < p->n_top; i++) p->top[i] = (goss_prob){ (int32_t)w[4 + 2 * i], as_float(w[5 + 2 * i]) };
}

/* 0 once the step's picks are on the host. */
static int poll_back(goss_gpu_state *s, goss_gpu_ticket *t, goss_error *err)
{
    if (!s->pages.on) return goss_gpu_read_poll(s->gpu, t->back, t->words, back_bytes(s, t));
    const int r = goss_gpu_pages_advance(s, t, err);
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
        else goss_fail(err, r, -1, r == GOSS_ELOST ? "the GPU device was lost" : "reading a step's result back failed");
        return r == GOSS_ELOST ? r : goss_gpu_launch_failed(s, code ? code : r, err);
    }
    const uint32_t *w = t->words + report_bytes(s) / 4;
    for (int i = 0, n = 0; i < t->n_list; i++, w += GOSS_PICK_WORDS)
        if (t->want[t->list[i]] & GOSS_ROW_SAMPLE) {
            if (*w >= (uint32_t)b->model->hp.n_vocab)
                return goss_fail(err, GOSS_EGPU, -1, "the GPU sampled token %u", *w);
            if (picks) read_pick(w, &picks[n]);
            n++;
        }
    goss_gpu_profile_collect(s);
    goss_gpu_step_took(s, t);
    t->polled = s->launched = 1;
    if (!t->n_logits) t->busy = 0;
    return 0;
}

static int gpu_logits(goss_backend *b, goss_step *step, int row, float *out)
{
    goss_gpu_state *s = of(b);
    goss_gpu_ticket *t = ticket_of(s, step);
    int at = 0, r = 0;
    if (!t || !t->polled || row < 0 || row >= t->n_rows || !(t->want[row] & GOSS_ROW_LOGITS)) return GOSS_EINVAL;
    for (int i = 0; i < row; i++) at += (t->want[i] & GOSS_ROW_LOGITS) != 0;
    const uint64_t n = (uint64_t)b->model->hp.n_vocab, all = (uint64_t)t->n_logits * n * 4;
    if (t->polled == 1) {                              /* the first row asked for brings all of them to the host */
        if (all > s->logits_cap) {
            goss_mem_free(s->logits_floats);
            s->logits_floats = goss_mem_alloc((size_t)all);
            s->logits_cap = s->logits_floats ? all : 0;
            if (!s->logits_floats) return GOSS_ENOMEM;
        }
        while ((r = goss_gpu_read_poll(s->gpu, t->logits_back, s->logits_floats, all)) == GOSS_EAGAIN)
            goss_gpu_poll(s->gpu, 1000);
        if (r) return r;
        t->polled = 2;
    }
    memcpy(out, s->logits_floats + (uint64_t)at * n, (size_t)n * 4);
    return 0;
}

/* A ticket that nobody wants may still be in flight: its reads are let run out first. */
static void gpu_release(goss_backend *b, goss_step *step)
{
    goss_gpu_state *s = of(b);
    goss_gpu_ticket *t = ticket_of(s, step);
    if (!t) return;
    if (s->ticket == t) { s->ticket = NULL; s->n_words = 0; s->in_pass = 0; }
    else {
        goss_error ignored;
        if (s->pages.on) goss_gpu_pages_release(s, t);
        else
            while (!t->polled && goss_gpu_read_poll(s->gpu, t->back, t->words, back_bytes(s, t)) == GOSS_EAGAIN)
                goss_gpu_poll(s->gpu, 1000);
        if (t->n_logits &&
            t->polled != 2) { /* a map that nobody reads: the buffer goes, the next step makes another */
            goss_gpu_buffer_free(s->gpu, t->logits_back);
            t->logits_back = 0;
            t->logits_bytes = 0;
            while (goss_gpu_error(s->gpu, &ignored)) { }
        }
    }
    t->busy = 0;
    step->ticket = 0;
}

static void gpu_kv_copy(goss_backend *b, int cls, int from, int to)
{
    goss_gpu_state *s = of(b);
    if (s->pages.on) { goss_gpu_pages_kv_copy(s, cls, from, to); return; }
    goss_gpu_copy_pages(s, cls, from, to);
    goss_gpu_flush(s);
}

static void gpu_tap(goss_backend *b, goss_tap_fn fn, void *ctx)
{
    of(b)->tap = fn;
    of(b)->tap_ctx = ctx;
}

static void gpu_stats(const goss_backend *b, goss_backend_stats *out)
{
    const goss_gpu_state *s = (const goss_gpu_state *)b;
    *out = (goss_backend_stats){ .bytes_allocated = s->gpu ? goss_gpu_allocated(s->gpu) : 0,
                                 .kv_bytes = s->kv_bytes,
                                 .weight_bytes = s->weight_bytes,
                                 .progress = s->phase == GOSS_GPU_USABLE && !s->pages.early ? 1
                                             : s->bytes_total ? (double)s->bytes_done / (double)s->bytes_total
                                                              : 0,
                                 .hits = s->pages.hits,
                                 .misses = s->pages.misses,
                                 .evictions = s->pages.evictions,
                                 .stalls = s->pages.stalls,
                                 .stall_ms = s->pages.stall_ms,
                                 .fetched_bytes = s->pages.fetched_bytes,
                                 .busy_ms = s->busy_ms };
}

static void gpu_watch(goss_backend *b, int layer, int head) { goss_gpu_panel_watch(of(b), layer, head); }
static void gpu_telemetry(goss_backend *b, unsigned mask)
{
    goss_gpu_profile_ask(of(b), (mask & GOSS_TELEMETRY_KERNELS) != 0);
}

static int gpu_fill(goss_backend *b, goss_error *err) { return goss_gpu_fill(of(b), err); }

static const char *gpu_level(const goss_backend *b) { return ((const goss_gpu_state *)b)->level; }

static void gpu_close(goss_backend *b)
{
    goss_gpu_state *s = of(b);
    if (!s) return;
    goss_gpu_state_clear(s);
    goss_mem_free(s);
}

static const goss_backend_vt table = { .name = "gpu",
                                       .in_flight = GOSS_FLIGHTS,
                                       .load = gpu_load,
                                       .begin = gpu_begin,
                                       .embed = goss_gpu_do_embed,
                                       .attn_in = goss_gpu_do_attn_in,
                                       .attend = goss_gpu_do_attend,
                                       .attn_out = goss_gpu_do_attn_out,
                                       .route = goss_gpu_do_route,
                                       .experts = goss_gpu_do_experts,
                                       .ffn = goss_gpu_do_ffn,
                                       .head = goss_gpu_do_head,
                                       .sample = goss_gpu_do_sample,
                                       .submit = gpu_submit,
                                       .poll = gpu_poll,
                                       .logits = gpu_logits,
                                       .release = gpu_release,
                                       .kv_copy = gpu_kv_copy,
                                       .kv_bytes = goss_gpu_kv_bytes,
                                       .kv_read = goss_gpu_kv_read,
                                       .kv_write = goss_gpu_kv_write,
                                       .read_done = gpu_read_done,
                                       .fill = gpu_fill,
                                       .tap = gpu_tap,
                                       .stats = gpu_stats,
                                       .watch = gpu_watch,
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
    s->options = (goss_gpu_options){ .path = e ? e->webgpu_path : NULL,
                                     .limits_default = e && e->gpu_limits_default,
                                     .mask = e ? mask_of(e->gpu_mask) : 0 };
    s->smaller = c->tiles ? *c->tiles : 0;
    s->software_too = !e || (e->backend && !strcmp(e->backend, "gpu"));
    s->config.engine = NULL;
    s->early = c->early;
    s->arriving = c->early ? goss_arriving(c->sources, c->n_sources) : NULL;
    s->profile = e && (e->telemetry_mask & GOSS_TELEMETRY_KERNELS);
    s->panels = e && (e->telemetry_mask & GOSS_TELEMETRY_PANELS);
    s->panel_layer = e ? e->telemetry_layer : 0;
    s->panel_head = e ? e->telemetry_head : 0;
    const goss_hparams *hp = &c->model->hp;
    int r = 0;
    if (hp->n_head % hp->n_head_kv || hp->head_dim % 16 || hp->head_dim > 256 ||
        hp->n_head / hp->n_head_kv > 16 || (hp->rope_half && hp->rope_dim % 4) || hp->n_expert > 256 ||
        c->max_rows > 2048)
        r = goss_fail(
            err, GOSS_EUNSUPPORTED, -1,
            "the GPU kernels don't cover %d heads of %d over %d KV heads with %d experts; use --backend cpu",
            hp->n_head, hp->head_dim, hp->n_head_kv, hp->n_expert);
    if (!r) r = goss_gpu_state_open(s, err);
    if (r) { gpu_close(&s->base); return r; }
    *out = &s->base;
    return 0;
}
