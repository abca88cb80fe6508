/* runner.c - see runner.h. Jobs stay in one list in order of arrival, from queue to answer. */
#include "runner.h"
#include "base/error.h"
#include "base/fmt.h"
#include "base/mem.h"
#include "base/os.h"
#include "background.h"
#include "common/figures.h"
#include "embed.h"
#include "fault.h"
#include "log.h"
#include "metrics.h"
#include "prefilling.h"
#include "prepare.h"
#include "rounds.h"
#include "start.h"
#include "store.h"
#include "thought_key.h"
#include "writers.h"
#include <errno.h>
#include <string.h>
#include <time.h>

struct goss_srv_runner {
    const goss_srv_config *c;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    void (*wake)(void *ctx);
    void *ctx;
    /* under the lock */
    goss_srv_job *inbox, **inbox_end;
    int n_waiting, nudged, reload, stopping, ended, lost;
    double deadline_ms;
    goss_srv_health health;
    goss_srv_loaded loaded[GOSS_SRV_SEATS_MAX];
    int n_loaded;
    /* the thread's */
    goss_srv_job *jobs;
    goss_srv_seats seats;
    int busy, reload_default;
    int held;                    /* an earlier job waits for a model's seat: later ones must not take it */
    double stats_ms;
    double own_ms;               /* own() when the round began */
    unsigned changes;            /* seats.changes then */
};

/* ---- from other threads ---------------------------------------------------------------------- */
int goss_srv_runner_submit(goss_srv_runner *r, goss_srv_job *job)
{
    int rc = 0;
    pthread_mutex_lock(&r->lock);
    if (r->stopping) rc = GOSS_ESTATE;
    else if (r->n_waiting >= r->c->queue) rc = GOSS_EFULL;
    else {
        atomic_fetch_add(&job->refs, 1);
        job->next = NULL;
        *r->inbox_end = job;
        r->inbox_end = &job->next;
        r->n_waiting++;
        goss_srv_metrics_jobs(1, 0);
        pthread_cond_signal(&r->cond);
    }
    pthread_mutex_unlock(&r->lock);
    if (rc) goss_srv_request_let_go(&job->req);
    return rc;
}

static void tell(goss_srv_runner *r, int *flag)
{
    pthread_mutex_lock(&r->lock);
    *flag = 1;
    pthread_cond_signal(&r->cond);
    pthread_mutex_unlock(&r->lock);
}
void goss_srv_runner_nudge(goss_srv_runner *r) { tell(r, &r->nudged); }
void goss_srv_runner_reload(goss_srv_runner *r) { tell(r, &r->reload); }

void goss_srv_runner_stop(goss_srv_runner *r, double deadline_ms)
{
    pthread_mutex_lock(&r->lock);
    r->stopping = 1;
    r->deadline_ms = deadline_ms;
    r->health.state = GOSS_SRV_STOPPING;
    pthread_cond_signal(&r->cond);
    pthread_mutex_unlock(&r->lock);
}

int goss_srv_runner_stopped(goss_srv_runner *r)
{
    pthread_mutex_lock(&r->lock);
    int ended = r->ended;
    pthread_mutex_unlock(&r->lock);
    return ended;
}

void goss_srv_runner_health(goss_srv_runner *r, goss_srv_health *out)
{
    pthread_mutex_lock(&r->lock);
    *out = r->health;
    pthread_mutex_unlock(&r->lock);
}

void goss_srv_runner_lose(goss_srv_runner *r, const char *why)
{
    pthread_mutex_lock(&r->lock);
    r->lost = 1;
    r->health.state = GOSS_SRV_FAILED;
    goss_fmt(r->health.error, sizeof r->health.error, "%s", why);
    pthread_mutex_unlock(&r->lock);
}

int goss_srv_runner_loaded(goss_srv_runner *r, goss_srv_loaded *out, int max)
{
    pthread_mutex_lock(&r->lock);
    int n = r->n_loaded < max ? r->n_loaded : max;
    memcpy(out, r->loaded, (size_t)n * sizeof *out);
    pthread_mutex_unlock(&r->lock);
    return n;
}

/* ---- health ---------------------------------------------------------------------------------- */
static void set_health(goss_srv_runner *r, int state, double progress, const char *model, const char *error)
{
    pthread_mutex_lock(&r->lock);
    if (r->lost) {
        pthread_mutex_unlock(&r->lock);
        return;
    }
    int changed = r->health.state != state;
    if (r->health.state != GOSS_SRV_STOPPING) r->health.state = state;
    r->health.progress = progress;
    r->health.loaded = 0;
    if (model) memcpy(r->health.model, model, strlen(model) + 1);
    r->health.backend[0] = 0;
    for (int i = 0; i < r->seats.n; i++) {
        const goss_srv_seat *seat = &r->seats.seat[i];
        if (!seat->ready) continue;
        r->health.loaded++;
        if (!strcmp(seat->model.id, r->health.model))
            memcpy(r->health.backend, seat->info.backend, sizeof r->health.backend);
    }
    size_t n = strlen(error) < sizeof r->health.error ? strlen(error) : sizeof r->health.error - 1;
    memcpy(r->health.error, error, n);
    r->health.error[n] = 0;
    pthread_mutex_unlock(&r->lock);
    if (changed) r->wake(r->ctx);
}

static void on_progress(void *ctx, double progress)
{
    goss_srv_runner *r = ctx;
    pthread_mutex_lock(&r->lock);
    if (progress > r->health.progress && progress <= 1) r->health.progress = progress;
    pthread_mutex_unlock(&r->lock);
}

/* A line of telemetry goes to every lane of the seat that asked for telemetry and that it is about. */
static void on_line(void *ctx, goss_srv_seat *seat, const char *json, size_t n)
{
    goss_srv_runner *r = ctx;
    const goss_session *about = seat->engine ? goss_telemetry_session(seat->engine) : NULL;
    for (goss_srv_job *job = r->jobs; job; job = job->next) {
        if (job->seat != seat || !job->req.telemetry) continue;
        for (int i = 0; i < job->n_lanes; i++) {
            goss_srv_lane *lane = &job->lanes[i];
            if (about ? about != lane->session : lane->state != GOSS_SRV_LANE_RUNS) continue;
            if (lane->telemetry.len) goss_buf_str(&lane->telemetry, ",");
            goss_buf_append(&lane->telemetry, json, n);
        }
    }
}

/* ---- jobs ------------------------------------------------------------------------------------ */
static void flush(goss_srv_job *job)
{
    if (job->background) goss_srv_background_write(job);
    else goss_srv_out_write(&job->out, job->bytes.data, job->bytes.len);
    goss_buf_clear(&job->bytes);
}

/* The job has waited long enough: it runs now, or never will. */
static void leave_queue(goss_srv_runner *r)
{
    pthread_mutex_lock(&r->lock);
    r->n_waiting--;
    pthread_mutex_unlock(&r->lock);
    goss_srv_metrics_jobs(-1, 0);
}

static void close_lanes(goss_srv_job *job)
{
    for (int i = 0; i < job->n_lanes; i++) {
        goss_srv_lane *lane = &job->lanes[i];
        if (lane->state == GOSS_SRV_LANE_RUNS) job->seat->n_lanes--;
        goss_session_close(&lane->session);
        lane->state = GOSS_SRV_LANE_DONE;
    }
}

/* What of the engine a job has beside its lanes. */
static void give_back(goss_srv_job *job)
{
    goss_srv_prepare_end(job);
    goss_srv_round_end(job);
    goss_schemas_close(&job->req.params.schemas);
}

/* Takes the job out of everything. What is counted is settled before the client sees the end. */
static void take_out(goss_srv_runner *r, goss_srv_job *job)
{
    goss_srv_job **at = &r->jobs;
    while (*at != job) at = &(*at)->next;
    *at = job->next;
    close_lanes(job);
    give_back(job);
    goss_srv_request_let_go(&job->req);
    if (job->seat) {
        job->seat->n_jobs--;
        job->seat->used_ms = goss_os_now_ms();
    }
    if (job->begun) goss_srv_metrics_jobs(0, -1);
    else leave_queue(r);
}

/* The client is gone, or has cancelled it. */
static void forget(goss_srv_runner *r, goss_srv_job *job)
{
    take_out(r, job);
    goss_buf_clear(&job->bytes);
    if (job->background) goss_srv_background_end(job);
    goss_srv_job_drop(&job);
}

/* job->bytes are the last of a stream (status 0), or the whole answer. */
static void end(goss_srv_runner *r, goss_srv_job *job, int status)
{
    take_out(r, job);
    if (job->background) {
        goss_srv_background_end(job);
        goss_srv_job_drop(&job);
        return;
    }
    flush(job);
    if (status) goss_srv_out_head(&job->out, status, "application/json", 0);
    goss_srv_out_end(&job->out);
    goss_srv_job_drop(&job);
}

/* job->fail says why. */
static void refuse(goss_srv_runner *r, goss_srv_job *job)
{
    const int streaming = job->out.streaming || job->background;
    goss_buf_clear(&job->bytes);
    if (streaming) goss_srv_writer_of(job->req.api)->failed(job);
    else goss_srv_write_fail(&job->bytes, job->req.api, &job->fail);
    end(r, job, streaming ? 0 : job->fail.status);
}

/* The key of an answer's call; a custom tool's is remembered by its id alone. */
static void key_of(const goss_srv_job *job, const goss_srv_item *item, char to[GOSS_SRV_THOUGHT_KEY])
{
    const char *name = item->tool ? item->tool->shown : item->name;
    const goss_tool_call call = { .name = { name, strlen(name) },
                                  .arguments = { (const char *)item->text.data, item->text.len } };
    to[0] = 0;
    if (!goss_srv_is_custom(item))
        goss_srv_thought_key(job->req.chat.messages, job->req.chat.n_messages, &call, to);
}

/* Many clients leave reasoning out when they send a call's result, but the model wants to see why it called:
 * it is kept under the call's id (store.h), and parsers put it back. */
static void remember_calls(const goss_srv_job *job)
{
    int anthropic = job->req.api == GOSS_SRV_MESSAGES;
    for (int l = 0; l < job->n_lanes; l++) {
        goss_buf thought = GOSS_BUF((size_t)1 << 20);
        char id[48], key[GOSS_SRV_THOUGHT_KEY];
        for (int i = 0; i < job->lanes[l].n_items; i++) {
            const goss_srv_item *item = &job->lanes[l].items[i];
            const int ours = item->kind == GOSS_SRV_MCP;
            if (item->kind == GOSS_SRV_REASONING) goss_buf_append(&thought, item->text.data, item->text.len);
            if (ours && !item->ask) goss_buf_clear(&thought); /* it has been made */
            if ((item->kind != GOSS_SRV_CALL && !ours) || !thought.len || thought.failed) continue;
            goss_fmt(id, sizeof id, "%s%s",
                     ours        ? ""
                     : anthropic ? "toolu_"
                                 : "call_",
                     ours ? item->id : item->id + 5);
            key[0] = 0;
            if (!ours) key_of(job, item, key);
            goss_srv_store_put_thought(id, key, (goss_str){ (const char *)thought.data, thought.len });
        }
        goss_buf_free(&thought);
    }
}

static void finish(goss_srv_runner *r, goss_srv_job *job)
{
    const goss_srv_lane *lane = &job->lanes[0];
    double speed = lane->decode_ms > 0 ? 1000.0 * lane->n_generated / lane->decode_ms : 0;
    int prompt, reused, generated, reasoning;
    goss_srv_totals(job, &prompt, &reused, &generated, &reasoning);
    goss_srv_metrics_answer(prompt, reused, generated,
                            lane->first_ms > 0 ? lane->first_ms - job->arrived_ms : 0, speed);
    remember_calls(job);
    if (job->req.stream) {
        if (job->writer->end) job->writer->end(job);
    } else job->writer->whole(job);
    if (job->bytes.failed && !job->req.stream) {
        goss_srv_refuse(&job->fail, 500, "out_of_memory", "", -1, "the answer is too large");
        refuse(r, job);
    } else end(r, job, job->req.stream ? 0 : 200);
}

/* Finds the model and has it loaded. 1: it is; 0: not yet; -1: refused. */
static int place(goss_srv_runner *r, goss_srv_job *job)
{
    goss_srv_model m;
    goss_srv_seat *seat;
    goss_error err = { 0 };
    double began = goss_os_now_ms();
    if (r->held) return 0;
    if (goss_srv_catalog_find(job->req.model, &m)) {
        goss_srv_refuse(&job->fail, 404, "model_not_found", "model", -1,
                        "there is no model of this name: GET /v1/models lists those that there are");
        return -1;
    }
    int rc = goss_srv_seats_get(&r->seats, &m, job->req.layers, job->req.moe_fallback, &seat, &err);
    if (rc == GOSS_EAGAIN) {
        if (seat) set_health(r, GOSS_SRV_LOADING, 0, m.id, "");
        r->held = 1;
        return 0;
    }
    if (rc < 0) {
        goss_srv_refuse(&job->fail, 503, "model_load_failed", "model", -1, "%s could not be loaded: %s", m.id,
                        err.text);
        job->fail.stage = "load";
        set_health(r, GOSS_SRV_FAILED, 0, m.id, err.text);
        goss_srv_log("%s", job->fail.message);
        return -1;
    }
    set_health(r, GOSS_SRV_OK, 1, m.id, "");
    job->seat = seat;
    job->seat->n_jobs++;
    job->seat->keep_ms = job->req.has_keep ? job->req.keep_ms : goss_srv_seats_keep(&r->seats);
    job->load_ms = goss_os_now_ms() - began;
    memcpy(job->model, m.id, sizeof job->model);
    return 1;
}

static void begin(goss_srv_runner *r, goss_srv_job *job)
{
    job->begun = 1;
    goss_srv_metrics_jobs(0, 1);
    leave_queue(r);
    if (job->background) goss_srv_background_runs(job);
    if (!job->req.stream) {
        goss_srv_rounds_list(job);
        return;
    }
    goss_srv_out_head(&job->out, 200, job->writer->stream_type, 1);
    if (job->writer->begin) job->writer->begin(job);
    goss_srv_rounds_list(job);
    flush(job);
}

/* Ollama's way to unload a model: no prompt and keep_alive 0. It is not loaded for that; running answers end
 * first. */
static void let_go(goss_srv_runner *r, goss_srv_job *job)
{
    goss_srv_model m;
    if (goss_srv_catalog_find(job->req.model, &m)) {
        goss_srv_refuse(&job->fail, 404, "model_not_found", "model", -1, "there is no model of this name");
        refuse(r, job);
        return;
    }
    goss_srv_seat *seat = goss_srv_seats_find(&r->seats, &m, job->req.layers, job->req.moe_fallback);
    if (seat) seat->keep_ms = 0;
    memcpy(job->model, m.id, sizeof job->model);
    goss_srv_write_loaded(job);
    end(r, job, 200);
}

static void on_prepared(void *ctx) { goss_srv_runner_nudge(ctx); }

/* From the queue to lanes. 1: there are lanes; 0: not yet, or the job is over. */
static int start(goss_srv_runner *r, goss_srv_job *job)
{
    if (!job->seat) {
        int placed = place(r, job);
        if (placed < 0) refuse(r, job);
        if (placed <= 0) return 0;
        if (job->req.load_only) { goss_srv_write_loaded(job); end(r, job, 200); return 0; }
        if (goss_srv_prepare_begin(job, on_prepared, r)) { refuse(r, job); return 0; }
    }
    if (job->lanes) return 1;
    if (goss_srv_prepares(job)) return 0;
    int rc = goss_srv_prepare_end(job);
    if (!rc && job->req.api >= GOSS_SRV_EMBED) {
        rc = goss_srv_embed_next(job);
        if (!rc) return 0;
    } else if (!rc) rc = goss_srv_start_job(job, r->c);
    if (rc < 0) refuse(r, job);
    if (rc > 0) end(r, job, 200);
    return !rc;
}

/* Brings a job as far as it can go before the next step. */
static void advance(goss_srv_runner *r, goss_srv_job *job)
{
    if (job->req.load_only && job->req.has_keep && job->req.keep_ms == 0) { let_go(r, job); return; }
    if (!start(r, job)) return;
    if (job->req.n_approvals && !job->begun) {
        begin(r, job);
        if (goss_srv_rounds_open(job, on_prepared, r)) {
            refuse(r, job);
            return;
        }
    }
    const int ready = goss_srv_round_go(job, on_prepared, r);
    if (job->req.stream && job->bytes.len) flush(job);
    if (ready < 0) refuse(r, job);
    if (ready <= 0) return;
    for (int i = job->n_started; i < job->n_lanes && job->seat->n_lanes < r->c->engine.config.max_sessions;
         i++) {
        const int rc = goss_srv_start_lane(&job->lanes[i], r->c);
        if (rc < 0) refuse(r, job);
        if (rc) return;
        if (!job->begun) begin(r, job);
    }
}

/* ---- events ---------------------------------------------------------------------------------- */
static void take_events(goss_srv_runner *r, goss_srv_job *job)
{
    goss_event ev;
    for (int i = 0; i < job->n_lanes; i++) {
        goss_srv_lane *lane = &job->lanes[i];
        while (lane->state == GOSS_SRV_LANE_RUNS && goss_session_event(lane->session, &ev) > 0) {
            if (!goss_srv_lane_event(lane, &ev)) continue;
            job->seat->n_lanes--;
            if (ev.stop == GOSS_STOP_ERROR) {
                goss_srv_fail_engine(&job->fail, ev.error.code ? ev.error.code : GOSS_EIO, &ev.error);
                refuse(r, job);
                return;
            }
            const int lacks = goss_srv_lane_lacks(lane), goes_on = lacks && !goss_srv_round_answer(lane);
            if (lacks && !goes_on && job->req.stream && job->writer->lane_end)
                job->writer->lane_end(job, lane);
            goss_session_close(&lane->session);
            if (goes_on) continue;
            if (!goss_srv_lane_calls(lane)) {
                job->n_done++;
                continue;
            }
            if (goss_srv_round_begin(lane, on_prepared, r)) {
                refuse(r, job);
                return;
            }
        }
    }
    goss_srv_prefilling_tell(job, 1000 * r->c->comment / 2);
    if (job->req.stream && job->bytes.len) flush(job);
    if (job->begun && job->n_done == job->n_lanes) finish(r, job);
}

/* The engine has stopped with an error: all its answers end, and the next request loads it anew. */
static void lose_engine(goss_srv_runner *r, goss_srv_seat *seat, const goss_error *err)
{
    goss_srv_log("%s has failed: %s", seat->model.id, err->text);
    for (goss_srv_job *job = r->jobs, *next; job; job = next) {
        next = job->next;
        if (job->seat != seat) continue;
        goss_srv_refuse(&job->fail, 500, "engine_failed", "", -1, "the engine has failed: %s", err->text);
        job->fail.stage = "inference";
        refuse(r, job);
    }
    goss_srv_seats_unload(&r->seats, seat);
    set_health(r, GOSS_SRV_FAILED, 0, seat->model.id, err->text);
}

/* A model whose file has been cut reads zeros from now on: it must not answer any more. */
static void lose_cut(goss_srv_runner *r)
{
    goss_error err = { 0 };
    int known = 0;
    goss_fail(&err, GOSS_EIO, -1, "the model's file was cut while it was in use");
    for (int i = 0; i < r->seats.n; i++)
        known += r->seats.seat[i].engine && goss_srv_seats_changed(&r->seats.seat[i]);
    /* a later file of a split model is not known by name: then all go */
    for (int i = 0; i < r->seats.n; i++) {
        goss_srv_seat *seat = &r->seats.seat[i];
        if (seat->engine && (!known || goss_srv_seats_changed(seat))) lose_engine(r, seat, &err);
    }
}

static void poll_engines(goss_srv_runner *r)
{
    r->busy = 0;
    for (int i = 0; i < r->seats.n; i++) {
        goss_srv_seat *seat = &r->seats.seat[i];
        goss_error err = { 0 };
        if (!seat->engine) continue;
        int rc = goss_engine_poll(seat->engine, 2, &err);
        r->busy |= rc > 0;
        if (!seat->ready) {
            rc = goss_srv_seats_check(&r->seats, seat, &err);
            r->busy |= rc == GOSS_EAGAIN;
            if (rc == 0) set_health(r, GOSS_SRV_OK, 1, seat->model.id, "");
            else if (rc != GOSS_EAGAIN) {
                goss_srv_log("%s could not be loaded: %s", seat->model.id, err.text);
                set_health(r, GOSS_SRV_FAILED, 0, seat->model.id, err.text);
            }
        } else if (rc < 0) lose_engine(r, seat, &err);
    }
    if (goss_srv_fault_take()) lose_cut(r);
}

static void count_stats(goss_srv_runner *r)
{
    goss_stats sum = { 0 }, one;
    goss_srv_loaded list[GOSS_SRV_SEATS_MAX];
    int loaded = 0;
    double now = goss_os_now_ms();
    for (int i = 0; i < r->seats.n; i++) {
        if (!r->seats.seat[i].ready) continue;
        const goss_srv_seat *seat = &r->seats.seat[i];
        goss_engine_stats(seat->engine, &one);
        double left = (seat->n_jobs ? 0 : seat->used_ms - now) + seat->keep_ms;
        goss_srv_loaded *l = &list[loaded++];
        *l = (goss_srv_loaded){ .bytes = seat->info.resident_bytes + one.kv_bytes_used,
                                .gpu_bytes = one.gpu_bytes,
                                .n_ctx = seat->info.max_kv ? seat->info.max_kv : seat->info.n_ctx,
                                .expires =
                                    seat->keep_ms < 0 ? -1 : goss_os_unix_time() + (int64_t)(left / 1000) };
        memcpy(l->id, seat->model.id, sizeof l->id);
        goss_stats_add(&sum, &one);
    }
    r->stats_ms = now;
    goss_srv_metrics_engine(&sum, loaded);
    pthread_mutex_lock(&r->lock);
    memcpy(r->loaded, list, (size_t)loaded * sizeof *list);
    r->n_loaded = loaded;
    pthread_mutex_unlock(&r->lock);
}

/* Engines report what somebody wants to hear, no more. */
static void set_mask(goss_srv_runner *r)
{
    unsigned mask = r->seats.telemetry ? GOSS_TELEMETRY_LOAD | GOSS_TELEMETRY_STAGES | GOSS_TELEMETRY_TOKENS |
                                             GOSS_TELEMETRY_KERNELS | GOSS_TELEMETRY_STEPS
                                       : GOSS_TELEMETRY_LOAD;
    for (goss_srv_job *job = r->jobs; job; job = job->next)
        if (job->req.telemetry)
            mask |= GOSS_TELEMETRY_STAGES | GOSS_TELEMETRY_TOKENS | GOSS_TELEMETRY_SEEN |
                    GOSS_TELEMETRY_KERNELS | GOSS_TELEMETRY_STEPS;
    for (int i = 0; i < r->seats.n && mask != r->seats.mask; i++)
        if (r->seats.seat[i].engine) goss_engine_telemetry(r->seats.seat[i].engine, mask);
    r->seats.mask = mask;
}

/* ---- the thread ------------------------------------------------------------------------------ */
static void load_default(goss_srv_runner *r)
{
    goss_srv_model m;
    goss_srv_seat *seat;
    goss_error err = { 0 };
    if (!*r->c->model || goss_srv_catalog_find("", &m)) {
        set_health(r, GOSS_SRV_OK, 1, NULL, "");
        return;
    }
    set_health(r, GOSS_SRV_LOADING, 0, m.id, "");
    int rc = goss_srv_seats_get(&r->seats, &m, r->c->engine.config.n_layers, r->c->engine.config.moe_fallback,
                                &seat, &err);
    r->busy = rc == GOSS_EAGAIN; /* a device loads bit by bit, with no request to keep the thread awake */
    if (rc == 0) set_health(r, GOSS_SRV_OK, 1, m.id, "");
    else if (rc != GOSS_EAGAIN) {
        goss_srv_log("%s could not be loaded: %s", m.id, err.text);
        set_health(r, GOSS_SRV_FAILED, 0, m.id, err.text);
    }
}

/* Unloads what has to go: stale models when nobody uses them, idle ones when their time is up. Returns ms
 * until the next is due, -1: none. */
static double unload(goss_srv_runner *r)
{
    double now = goss_os_now_ms(), soonest = -1;
    for (int i = 0; i < r->seats.n; i++) {
        goss_srv_seat *seat = &r->seats.seat[i];
        if (!seat->engine || seat->n_jobs || !seat->ready) continue;
        double left = seat->used_ms + seat->keep_ms - now;
        if (seat->stale || seat->keep_ms == 0 || (seat->keep_ms > 0 && left <= 0)) {
            goss_srv_log("%s unloaded", seat->model.id);
            goss_srv_seats_unload(&r->seats, seat);
            set_health(r, GOSS_SRV_OK, 1, seat->model.id, "");
            count_stats(r);
        } else if (seat->keep_ms > 0 && (soonest < 0 || left < soonest)) soonest = left;
    }
    int stale = 0;
    for (int i = 0; i < r->seats.n; i++) stale += r->seats.seat[i].engine && r->seats.seat[i].stale;
    if (r->reload_default && !stale) {
        r->reload_default = 0;
        load_default(r);
    }
    return soonest;
}

/* Sleeps until there is something to do and takes in what has come. Returns 1 to go on, 0 when stopping and
 * done. */
static int take(goss_srv_runner *r, double due_ms)
{
    struct timespec until;
    /* jobs without work: somebody waits for a seat or a device, and who waits for a call is told of it */
    int waits = 0;
    for (const goss_srv_job *job = r->jobs; job; job = job->next) waits |= !goss_srv_round_sleeps(job);
    double ms = waits && !r->busy ? 1 : due_ms;
    int rc = 0;
    pthread_mutex_lock(&r->lock);
    if (r->stopping && r->jobs) ms = 5;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(ms / 1000);
    until.tv_nsec += (long)((ms - 1000 * (double)(time_t)(ms / 1000)) * 1e6);
    if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
    while (!r->busy && !r->inbox && !r->nudged && !r->reload && !(r->stopping && !r->jobs) &&
           rc != ETIMEDOUT) {
        if (ms < 0) pthread_cond_wait(&r->cond, &r->lock);
        else rc = pthread_cond_timedwait(&r->cond, &r->lock, &until);
    }
    goss_srv_job **end = &r->jobs;
    while (*end) end = &(*end)->next;
    *end = r->inbox;
    r->inbox = NULL;
    r->inbox_end = &r->inbox;
    r->nudged = 0;
    int reload = r->reload, stop = r->stopping;
    double deadline = r->deadline_ms;
    r->reload = 0;
    pthread_mutex_unlock(&r->lock);
    for (int i = 0; i < r->seats.n && reload; i++) r->seats.seat[i].stale = r->seats.seat[i].engine != NULL;
    r->reload_default |= reload;
    for (goss_srv_job *job = r->jobs, *next; job && stop; job = next) {
        next = job->next;
        if (goss_srv_prepares(job) || (job->begun && goss_os_now_ms() < deadline)) continue;
        goss_srv_refuse(&job->fail, 503, "server_stopping", "", -1, "the server is stopping");
        refuse(r, job);
    }
    return !(stop && !r->jobs);
}

/* Processor time of this thread, without what it spent in models. */
static double own(const goss_srv_runner *r)
{
    double ms = goss_os_thread_ms();
    for (int i = 0; i < r->seats.n; i++)
        if (r->seats.seat[i].engine) ms -= goss_engine_model_ms(r->seats.seat[i].engine);
    return ms;
}

static void begin_round(goss_srv_runner *r)
{
    r->own_ms = own(r);
    r->changes = r->seats.changes;
}

/* What a round took is what a request may have cost the others. Rounds that opened or closed a model don't
 * count: they are long. */
static void end_round(const goss_srv_runner *r)
{
    if (r->changes == r->seats.changes) goss_srv_metrics_own(own(r) - r->own_ms);
}

static void *work(void *arg)
{
    goss_srv_runner *r = arg;
    load_default(r);
    count_stats(r);
    double due = unload(r);
    while (take(r, due)) {
        r->held = 0;
        begin_round(r);
        set_mask(r);
        for (goss_srv_job *job = r->jobs, *next; job; job = next) {
            next = job->next;
            if (goss_srv_out_canceled(&job->out)) {
                if (goss_srv_prepares(job)) continue;
                atomic_store(&job->stop, GOSS_STOP_CANCELED);
                forget(r, job);
            } else if (goss_srv_background_late(job, goss_os_now_ms()) && !goss_srv_prepares(job)) {
                goss_srv_refuse(&job->fail, 503, "background_ended", "", -1,
                                "the response took longer, or its stream more memory, than the server allows "
                                "(--background-time, --store-bytes)");
                refuse(r, job);
            } else advance(r, job);
        }
        poll_engines(r);
        for (goss_srv_job *job = r->jobs, *next; job; job = next) {
            next = job->next;
            if (job->begun) take_events(r, job);
        }
        goss_srv_prefilling_count(r->jobs);
        due = unload(r);
        if (!r->jobs || goss_os_now_ms() - r->stats_ms > 200) count_stats(r);
        end_round(r);
    }
    for (int i = 0; i < r->seats.n; i++)
        if (r->seats.seat[i].engine) goss_srv_seats_unload(&r->seats, &r->seats.seat[i]);
    pthread_mutex_lock(&r->lock);
    r->ended = 1;
    pthread_mutex_unlock(&r->lock);
    r->wake(r->ctx);
    return NULL;
}

int goss_srv_runner_open(goss_srv_runner **out, const goss_srv_config *c, void (*wake)(void *ctx), void *ctx)
{
    goss_srv_runner *r = *out = goss_mem_alloc(sizeof *r);
    pthread_condattr_t attr;
    if (!r) return GOSS_ENOMEM;
    r->c = c;
    r->wake = wake;
    r->ctx = ctx;
    r->inbox_end = &r->inbox;
    r->seats.c = c;
    r->seats.n = c->max_models < GOSS_SRV_SEATS_MAX ? c->max_models : GOSS_SRV_SEATS_MAX;
    r->seats.mask = GOSS_TELEMETRY_LOAD;
    r->seats.on_progress = on_progress;
    r->seats.on_line = on_line;
    r->seats.ctx = r;
    if (c->engine.telemetry) {
        r->seats.telemetry = fopen(c->engine.telemetry, "we");
        /* whoever follows the file sees lines */
        if (r->seats.telemetry) setvbuf(r->seats.telemetry, NULL, _IOLBF, 0);
        else goss_srv_log("%s: %s", c->engine.telemetry, strerror(errno));
    }
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->cond, &attr);
    pthread_condattr_destroy(&attr);
    if (goss_srv_thread(&r->thread, GOSS_SRV_ENGINE_STACK, work, r)) {
        goss_mem_free(r);
        *out = NULL;
        return GOSS_ENOMEM;
    }
    return 0;
}

void goss_srv_runner_close(goss_srv_runner **pointer)
{
    goss_srv_runner *r = *pointer;
    if (!r) return;
    pthread_join(r->thread, NULL);
    if (r->seats.telemetry) fclose(r->seats.telemetry);
    pthread_cond_destroy(&r->cond);
    pthread_mutex_destroy(&r->lock);
    goss_mem_free(r);
    *pointer = NULL;
}
