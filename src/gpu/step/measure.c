/* measure.c - see measure.h.
 *
 * A job is one product of the model (or its kernels for few rows) that the choice knows nothing of. Its
 * candidates are what it may be made of; each has its calls made for one layer, by the same code as at load,
 * with a line on trial. Then times are taken: some dispatches in one submit, from the submit to the read
 * behind it, the best of a few; what an empty one takes is known first, and what is timed lasts a multiple of
 * that, for a browser lets wait. Weights are the model's; activations are whatever the buffers hold, and rows
 * are shared out evenly among experts. Nothing that outlives a step is written: no keys, no values, no
 * sampler. What was made stays until the device is closed: some kernels and groups.
 *
 * Not measured: experts that are paged or computed on the host, and while a tap looks on. A software adapter
 * takes 64 rows at most. */
#include "measure.h"
#include "decode.h"
#include "chosen.h"
#include "prefill.h"
#include "stages.h"
#include "gpu/weights/report.h"
#include "base/fmt.h"
#include "base/mem.h"
#include "base/os.h"
#include <string.h>

enum {
    TIMES = 64,
    SAMPLES = 4, /* the first one warms up */
    MOST = 256,  /* dispatches a submit */
    SOFTWARE_ROWS = 64,
    QKV = 0,
    OUT = 3,
    UP = 4,
    DOWN = 5 /* a job's product in its layer */
};
/* A submit lasts so long, and at least so many empty ones. */
static const double ENOUGH_MS = 4, LATENCIES = 16, PATIENCE_MS = 60;

typedef struct job {
    goss_choice_line line;
    int layer, which;
} job;
struct goss_measure {
    job jobs[GOSS_CHOICE_LINES];
    int n_jobs, at;
    goss_choice found;
    goss_choice_time times[TIMES];
    int n_times, next; /* of the job */
    goss_layer_calls calls;
    int made; /* of which operands calls are, -1: none */
    int back;
    uint32_t *route; /* (max_rows, top_k) of (slot, weight) */
    int flying, disturbed, n_samples, repeat;
    double t0, best, spent, began;
    double empty, enough; /* ms that an empty submit takes, that one shall last; 0: not known yet */
};

/* ---- what there is to measure -------------------------------------------------------------------------- */
static const goss_tile_call *call_of(const goss_layer_calls *l, int which)
{
    return which < OUT    ? &l->prefill.qkv[which]
           : which == OUT ? &l->prefill.wo
           : which == UP  ? &l->prefill.up[0]
                          : &l->prefill.down[0];
}

static const goss_matrix *matrix_of(const goss_layer_weights *w, int which)
{
    return which < OUT ? &w->qkv[which] : which == OUT ? &w->wo : which == UP ? &w->up : &w->down;
}

static void add_job(goss_gpu_state *s, goss_measure *m, const goss_choice_line *like, int layer, int which)
{
    for (int i = 0; i < m->n_jobs; i++)
        if (goss_choice_same(&m->jobs[i].line, like)) return;
    if (goss_choice_knows(&s->choice, like) || s->choice.n + m->n_jobs >= GOSS_CHOICE_LINES) return;
    m->jobs[m->n_jobs++] = (job){ *like, layer, which };
}

static void list_layer(goss_gpu_state *s, goss_measure *m, int layer)
{
    const goss_hparams *hp = &s->base.model->hp;
    const goss_layer_weights *w = s->calls.layers[layer].w;
    for (int which = QKV; which <= DOWN; which++) {
        const goss_matrix *x = matrix_of(w, which);
        if ((which < OUT && which >= w->n_qkv) || (which >= UP && hp->n_expert)) continue;
        const goss_choice_line like = {
            .kind = GOSS_CHOICE_DENSE, .layout = x->layout, .n_in = x->n_in, .n_out = x->n_out
        };
        add_job(s, m, &like, layer, which);
    }
    const goss_choice_line like = { .kind = GOSS_CHOICE_EXPERTS,
                                    .layout = w->up.layout,
                                    .n_in = (uint32_t)hp->n_embd,
                                    .n_out = (uint32_t)hp->n_ff };
    if (hp->n_expert) add_job(s, m, &like, layer, UP);
}

static int open_measure(goss_gpu_state *s)
{
    const goss_hparams *hp = &s->base.model->hp;
    goss_measure *m = s->measure = goss_mem_alloc(sizeof *m);
    if (!m) return GOSS_ENOMEM;
    m->found = s->choice;
    m->made = GOSS_TILE_FIXED;
    m->began = goss_os_now_ms();
    if (s->config.max_rows > GOSS_DECODE_ROWS)
        for (int i = 0; i < hp->n_layer; i++) list_layer(s, m, i);
    const goss_choice_line few = goss_chosen_few_like(s);
    if (hp->n_layer) add_job(s, m, &few, 0, OUT);
    m->back = goss_gpu_buffer(s->gpu, 16, GOSS_GPU_MAP_READ | GOSS_GPU_COPY_DST, "measured");
    if (m->back < 0) return m->back;
    if (!hp->n_expert) return 0;
    const size_t n = (size_t)s->config.max_rows * (size_t)hp->n_expert_used;
    m->route = goss_mem_array(n, 8);
    if (!m->route) return GOSS_ENOMEM;
    for (size_t i = 0; i < n; i++) {
        m->route[2 * i] = (uint32_t)(i % (size_t)hp->n_expert);
        m->route[2 * i + 1] = goss_float_bits(1);
    }
    return 0;
}

void goss_measure_close(goss_measure **m)
{
    if (*m) goss_mem_free((*m)->route);
    goss_mem_free(*m);
    *m = NULL;
}

/* ---- a job's candidates -------------------------------------------------------------------------------- */
static void add_time(goss_measure *m, goss_choice_time t)
{
    if (m->n_times < TIMES) m->times[m->n_times++] = t;
}

/* Rows of a step for a size, 0: a step has no so many. */
static uint32_t rows_for(const goss_gpu_state *s, int kind, int step)
{
    const goss_hparams *hp = &s->base.model->hp;
    const uint32_t all = (uint32_t)s->config.max_rows,
                   most = goss_gpu_get_limits(s->gpu)->is_cpu && all > SOFTWARE_ROWS ? SOFTWARE_ROWS : all,
                   times = kind == GOSS_CHOICE_EXPERTS ? (uint32_t)(hp->n_expert / hp->n_expert_used) : 1,
                   rows = goss_choice_rows(kind, step) * times;
    if (rows) return rows <= most ? rows : 0;
    return goss_choice_rows(kind, step - 1) * times < most ? most : 0;
}

static void list_tiles(goss_gpu_state *s, goss_measure *m, const job *j, int operands)
{
    const goss_tile_call *c = call_of(&s->calls.layers[j->layer], j->which);
    const goss_tile_call like = { .planes = c->planes };
    const int kind = j->line.kind, top = goss_prefill_size(s, &like, kind, ~0u);
    for (int i = 0; i < GOSS_CHOICE_STEPS; i++) {
        const uint32_t rows = rows_for(s, kind, i);
        for (int v = 0; v <= (operands == GOSS_TILE_HALVES ? top : 0) && rows; v++)
            add_time(m, (goss_choice_time){ .operands = operands, .step = i, .size = v, .rows = rows });
    }
}

/* Today's come first; then halves, bytes, floats. */
static void list_products(goss_gpu_state *s, goss_measure *m, job *j)
{
    const goss_tile_call *c = call_of(&s->calls.layers[j->layer], j->which);
    const int can[] = { 1, s->facts.can_bytes, s->facts.can_fragments };
    for (int i = 0; i < GOSS_CHOICE_STEPS; i++) {
        const uint32_t bound = goss_choice_rows(j->line.kind, i);
        const goss_tile_call like = { .planes = c->planes };
        j->line.size[i] = (uint32_t)goss_prefill_size(s, &like, j->line.kind, bound ? bound : ~0u);
    }
    list_tiles(s, m, j, c->operands);
    for (int o = GOSS_TILE_HALVES; o >= GOSS_TILE_FLOATS; o--)
        if (o != c->operands && can[o]) list_tiles(s, m, j, o);
}

static void list_few(goss_gpu_state *s, goss_measure *m, job *j)
{
    static const uint32_t rows[] = { 1, 4 }, border[] = { 24, 32, 40, 48, 56, 64 };
    const int today = s->facts.packed_few ? GOSS_TILE_BYTES : GOSS_TILE_FLOATS,
              other = today == GOSS_TILE_BYTES ? GOSS_TILE_FLOATS : GOSS_TILE_BYTES,
              n = today == GOSS_TILE_FLOATS && !s->facts.can_bytes ? 1 : 2;
    j->line.size[0] = (uint32_t)s->facts.few_rows;
    for (int o = 0; o < n; o++)
        for (int i = 0; i < 2; i++)
            add_time(m, (goss_choice_time){ .operands = o ? other : today, .step = i, .rows = rows[i] });
    for (size_t i = 0; i < sizeof border / sizeof border[0]; i++) {
        const goss_choice_time few = { .operands = today, .step = GOSS_CHOICE_STEPS, .rows = border[i] };
        goss_choice_time many = few;
        many.many = 1;
        if (border[i] > (uint32_t)s->facts.few_rows || border[i] > (uint32_t)s->config.max_rows) break;
        add_time(m, few);
        add_time(m, many);
    }
}

static void begin_job(goss_gpu_state *s, goss_measure *m)
{
    job *j = &m->jobs[m->at];
    m->n_times = m->next = 0;
    m->made = GOSS_TILE_FIXED;
    if (j->line.kind == GOSS_CHOICE_FEW) list_few(s, m, j);
    else list_products(s, m, j);
}

/* ---- making a candidate's calls ------------------------------------------------------------------------ */
static int make_calls(goss_gpu_state *s, goss_measure *m, const job *j, int operands)
{
    const uint32_t first = s->weights.params.n;
    goss_layer_calls *layers = s->calls.layers;
    const int packed = s->facts.packed_few;
    goss_error ignored;
    memset(&m->calls, 0, sizeof m->calls);
    m->calls.w = s->calls.layers[j->layer].w;
    s->choice.trial = j->line;
    s->choice.trial.operands = operands;
    s->choice.tries = j->line.kind != GOSS_CHOICE_FEW;
    int r = 0;
    if (j->line.kind == GOSS_CHOICE_FEW) {
        s->facts.packed_few = operands == GOSS_TILE_BYTES;
        s->calls.layers = &m->calls;
        r = goss_decode_build_layer(s, 0, &ignored);
        s->calls.layers = layers;
        s->facts.packed_few = packed;
    }
    if (!r && s->config.max_rows > GOSS_DECODE_ROWS)
        r = goss_prefill_build_layer(s, &m->calls, j->layer, &ignored);
    s->choice.tries = 0;
    return r ? r : goss_params_write(&s->weights, first);
}

/* It can't be done: none of the job's times of these operands. */
static void give_up(goss_gpu_state *s, goss_measure *m, int operands)
{
    goss_error ignored;
    while (goss_gpu_error(s->gpu, &ignored)) {}
    for (int i = m->next; i < m->n_times; i++)
        if (m->times[i].operands == operands) m->times[i].ms = -1;
    s->kernels.failed = 0;
    m->flying = 0;
}

/* ---- timing -------------------------------------------------------------------------------------------- */
static void record(goss_gpu_state *s, goss_measure *m, const job *j, const goss_choice_time *t)
{
    if (j->line.kind == GOSS_CHOICE_DENSE) {
        goss_prefill_product(s, call_of(&m->calls, j->which), t->rows);
        return;
    }
    if (j->line.kind == GOSS_CHOICE_EXPERTS) {
        goss_prefill_experts(s, &m->calls, t->rows);
        return;
    }
    goss_layer_calls *layers = s->calls.layers;
    goss_step step = { .n_rows = (int)t->rows, .many = t->many };
    s->calls.layers = &m->calls;
    goss_stages_attn_out(&s->base, &step, 0);
    if (s->base.model->hp.n_expert) goss_stages_experts(&s->base, &step, 0);
    else goss_stages_ffn(&s->base, &step, 0);
    s->calls.layers = layers;
}

/* The line on trial says every size, so that calls take the one that is timed. */
static int set_trial(goss_gpu_state *s, goss_measure *m, const goss_choice_time *t)
{
    const goss_hparams *hp = &s->base.model->hp;
    for (int i = 0; i < GOSS_CHOICE_STEPS; i++) s->choice.trial.size[i] = (uint32_t)t->size;
    const int r = goss_gpu_write(s->gpu, s->buf.step, GOSS_STEP_N_ROWS * 4, &t->rows, 4);
    return r || !hp->n_expert ? r : goss_gpu_write(s->gpu, s->buf.route, 0, m->route,
                                                   t->rows * (uint64_t)hp->n_expert_used * 8);
}

/* Without a job an empty one. */
static int submit(goss_gpu_state *s, goss_measure *m, const job *j, const goss_choice_time *t)
{
    const int profiling = s->rec.profiling;
    int r = j ? set_trial(s, m, t) : 0;
    if (r) return r;
    s->rec.profiling = GOSS_PROFILE_OFF;
    goss_rec_start(&s->rec);
    for (int i = 0; j && i < m->repeat; i++) record(s, m, j, t);
    goss_rec_copy(&s->rec, s->buf.x, 0, m->back, 0, 16);
    m->t0 = goss_os_now_ms();
    r = goss_rec_flush(&s->rec);
    if (!r) r = goss_gpu_read(s->gpu, m->back, 0, 16);
    s->rec.profiling = profiling;
    m->flying = !r;
    m->disturbed = 0;
    return r;
}

/* One submit, made if none is under way. 0: it came back. */
static int fly(goss_gpu_state *s, goss_measure *m, const job *j, const goss_choice_time *t, int timeout_ms)
{
    uint32_t got[4];
    int r = m->flying ? 0 : submit(s, m, j, t);
    if (!r && (r = goss_gpu_read_poll(s->gpu, m->back, got, sizeof got)) == GOSS_EAGAIN) {
        goss_gpu_poll(s->gpu, timeout_ms);
        r = goss_gpu_read_poll(s->gpu, m->back, got, sizeof got);
    }
    if (!r) m->flying = 0;
    return r;
}

/* How long an empty submit is waited for. */
static int time_nothing(goss_gpu_state *s, goss_measure *m, int timeout_ms)
{
    char detail[64];
    const int r = fly(s, m, NULL, NULL, timeout_ms);
    if (r) return r;
    const double took = goss_os_now_ms() - m->t0;
    if (m->disturbed) return GOSS_EAGAIN;
    if (m->n_samples++ && (m->best <= 0 || took < m->best)) m->best = took;
    if (m->n_samples < SAMPLES) return GOSS_EAGAIN;
    m->empty = m->best;
    m->enough = m->empty * LATENCIES > ENOUGH_MS ? m->empty * LATENCIES : ENOUGH_MS;
    goss_fmt(detail, sizeof detail, "empty_us=%.0f submits_ms=%.1f", m->empty * 1e3, m->enough);
    goss_report_load(&s->weights, "gpu_kernels", "progress", detail, 0, 0);
    m->n_samples = 0;
    m->best = 0;
    return GOSS_EAGAIN;
}

/* One submit came back. 1: the time is known. */
static int take_sample(goss_measure *m, goss_choice_time *t)
{
    const double took = goss_os_now_ms() - m->t0, ms = took / m->repeat;
    if (m->disturbed) return 0;
    m->spent += took;
    if (m->n_samples++ == 0) {
        const double work = ms - m->empty;
        const int fit = work * (double)MOST > m->enough ? (int)(m->enough / work) : (int)MOST;
        m->repeat = fit < 1 ? 1 : fit;
        return 0;
    }
    if (m->best <= 0 || ms < m->best) m->best = ms;
    if (m->n_samples < SAMPLES && m->spent < PATIENCE_MS) return 0;
    t->ms = m->best;
    return 1;
}

static void tell_time(goss_gpu_state *s, const job *j, const goss_choice_time *t)
{
    char detail[256];
    goss_buf line = GOSS_BUF(256);
    goss_choice_product_text(&line, &j->line);
    goss_fmt(detail, sizeof detail, "product=%s of=%s tile=%d rows=%u%s us=%.1f", goss_buf_cstr(&line),
             goss_choice_operands(t->operands), t->size, t->rows,
             j->line.kind != GOSS_CHOICE_FEW ? ""
             : t->many                       ? " kernels=many"
                                             : " kernels=few",
             t->ms * 1e3);
    goss_report_load(&s->weights, "gpu_kernels", "progress", detail, 0, 0);
    goss_buf_free(&line);
}

/* The next time of the job. GOSS_EAGAIN: not yet; 0: it is known, or can't be. */
static int time_next(goss_gpu_state *s, goss_measure *m, const job *j, int timeout_ms)
{
    goss_choice_time *t = &m->times[m->next];
    goss_error why;
    int r = 0;
    if (t->ms < 0) return 0;
    if (m->made != t->operands) {
        r = make_calls(s, m, j, t->operands);
        m->made = t->operands;
        m->repeat = 1;
        m->n_samples = m->flying = 0;
        m->best = m->spent = 0;
    }
    if (!r && (r = goss_kernels_ready(&s->kernels, &why)) && s->kernels.failed) s->kernels.n_ready++;
    if (r == GOSS_EAGAIN) goss_gpu_poll(s->gpu, timeout_ms);
    if (!r) r = fly(s, m, j, t, timeout_ms);
    if (r == GOSS_EAGAIN || r == GOSS_ELOST) return r;
    if (r || goss_gpu_error(s->gpu, &why)) {
        give_up(s, m, t->operands);
        return 0;
    }
    if (!take_sample(m, t)) return GOSS_EAGAIN;
    tell_time(s, j, t);
    return 0;
}

void goss_measure_disturb(goss_gpu_state *s)
{
    if (s->measure) s->measure->disturbed = 1;
}

/* ---- the whole ----------------------------------------------------------------------------------------- */
static void end_job(goss_gpu_state *s, goss_measure *m)
{
    job *j = &m->jobs[m->at++];
    char detail[256];
    goss_buf line = GOSS_BUF(256);
    if (m->n_times && m->times[0].ms > 0) goss_choice_judge(&j->line, m->times, m->n_times);
    else j->line.operands = GOSS_TILE_FIXED;
    goss_choice_add(&m->found, &j->line);
    goss_choice_line_text(&line, &j->line);
    goss_fmt(detail, sizeof detail, "chosen=%s", goss_buf_cstr(&line));
    goss_report_load(&s->weights, "gpu_kernels", "progress", detail, 0, 0);
    goss_buf_free(&line);
}

/* Where all was known already there is nothing to tell. */
static int end_all(goss_gpu_state *s, goss_measure *m, goss_buf *text)
{
    char detail[64];
    if (m->n_jobs) {
        goss_choice_write(text, &m->found, s->settings.kernels);
        goss_fmt(detail, sizeof detail, "measured=%d ms=%.0f", m->n_jobs, goss_os_now_ms() - m->began);
        goss_report_load(&s->weights, "gpu_kernels", "completed", detail, 0, 0);
    }
    goss_measure_close(&s->measure);
    return 0;
}

int goss_measure_some(goss_gpu_state *s, int timeout_ms, goss_buf *text)
{
    if (!s->settings.measures || s->settings.smaller || s->settings.tap || s->weights.slots.on ||
        s->config.n_host_layers)
        return 0;
    int r = s->measure ? 0 : open_measure(s);
    goss_measure *m = s->measure;
    if (r) {
        goss_measure_close(&s->measure);
        return 0;
    }
    if (m->at == m->n_jobs) return end_all(s, m, text);
    if (m->enough <= 0) {
        r = time_nothing(s, m, timeout_ms);
        return r == GOSS_EAGAIN ? 1 : r;
    }
    if (!m->n_times) begin_job(s, m);
    if (m->n_times) r = time_next(s, m, &m->jobs[m->at], timeout_ms);
    if (r) return r == GOSS_EAGAIN ? 1 : r;
    m->repeat = 1;
    m->n_samples = 0;
    m->best = m->spent = 0;
    if (++m->next < m->n_times) return 1;
    end_job(s, m);
    m->n_times = 0;
    return 1;
}
