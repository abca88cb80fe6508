/* runner.c - see runner.h. Jobs stay in one list in order of arrival, from queue to answer. */
#include "runner.h"
#include "../../src/base/error.h"
#include "../../src/base/fmt.h"
#include "../../src/base/mem.h"
#include "../../src/base/os.h"
#include "fault.h"
#include "log.h"
#include "metrics.h"
#include "start.h"
#include "store.h"
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
    int n_waiting, nudged, reload, stopping, ended;
    double deadline_ms;
    goss_srv_health health;
    goss_srv_loaded loaded[GOSS_SRV_SLOTS_MAX];
    int n_loaded;
    /* the thread's */
    goss_srv_job *jobs;
    goss_srv_slots slots;
    int busy, reload_default;
    int held;                    /* an earlier job waits for a model's slot: later ones must not take it */
    double stats_ms;
};

/* ---- from other threads ---------------------------------------------------------------------- */
int goss_srv_runner_submit(goss_srv_runner *r, goss_srv_job *job) {
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
    return rc;
}

static void tell(goss_srv_runner *r, int *flag) {
    pthread_mutex_lock(&r->lock);
    *flag = 1;
    pthread_cond_signal(&r->cond);
    pthread_mutex_unlock(&r->lock);
}
void goss_srv_runner_nudge(goss_srv_runner *r) { tell(r, &r->nudged); }
void goss_srv_runner_reload(goss_srv_runner *r) { tell(r, &r->reload); }

void goss_srv_runner_stop(goss_srv_runner *r, double deadline_ms) {
    pthread_mutex_lock(&r->lock);
    r->stopping = 1;
    r->deadline_ms = deadline_ms;
    r->health.state = GOSS_SRV_STOPPING;
    pthread_cond_signal(&r->cond);
    pthread_mutex_unlock(&r->lock);
}

int goss_srv_runner_stopped(goss_srv_runner *r) {
    pthread_mutex_lock(&r->lock);
    int ended = r->ended;
    pthread_mutex_unlock(&r->lock);
    return ended;
}

void goss_srv_runner_health(goss_srv_runner *r, goss_srv_health *out) {
    pthread_mutex_lock(&r->lock);
    *out = r->health;
    pthread_mutex_unlock(&r->lock);
}

int goss_srv_runner_loaded(goss_srv_runner *r, goss_srv_loaded *out, int max) {
    pthread_mutex_lock(&r->lock);
    int n = r->n_loaded < max ? r->n_loaded : max;
    memcpy(out, r->loaded, (size_t)n * sizeof *out);
    pthread_mutex_unlock(&r->lock);
    return n;
}

/* ---- health ---------------------------------------------------------------------------------- */
static void set_health(goss_srv_runner *r, int state, double progress, const char *model, const char *error) {
    pthread_mutex_lock(&r->lock);
    int changed = r->health.state != state;
    if (r->health.state != GOSS_SRV_STOPPING) r->health.state = state;
    r->health.progress = progress;
    r->health.loaded = 0;
    for (int i = 0; i < r->slots.n; i++) r->health.loaded += r->slots.slot[i].ready;
    if (model) memcpy(r->health.model, model, strlen(model) + 1);
    size_t n = strlen(error) < sizeof r->health.error ? strlen(error) : sizeof r->health.error - 1;
    memcpy(r->health.error, error, n);
    r->health.error[n] = 0;
    pthread_mutex_unlock(&r->lock);
    if (changed) r->wake(r->ctx);
}

static void on_progress(void *ctx, double progress) {
    goss_srv_runner *r = ctx;
    pthread_mutex_lock(&r->lock);
    if (progress > r->health.progress && progress <= 1) r->health.progress = progress;
    pthread_mutex_unlock(&r->lock);
}

/* A line of telemetry goes to every lane of the slot that asked for telemetry and that it is about. */
static void on_line(void *ctx, goss_srv_slot *slot, const char *json, size_t n) {
    goss_srv_runner *r = ctx;
    const goss_session *about = slot->engine ? goss_telemetry_session(slot->engine) : NULL;
    for (goss_srv_job *job = r->jobs; job; job = job->next) {
        if (job->slot != slot || !job->req.telemetry) continue;
        for (int i = 0; i < job->n_lanes; i++) {
            goss_srv_lane *lane = &job->lanes[i];
            if (about ? about != lane->session : lane->state != GOSS_SRV_LANE_RUNS) continue;
            if (lane->telemetry.len) goss_buf_str(&lane->telemetry, ",");
            goss_buf_append(&lane->telemetry, json, n);
        }
    }
}

/* ---- jobs ------------------------------------------------------------------------------------ */
static void flush(goss_srv_job *job) {
    goss_srv_out_write(&job->out, job->bytes.data, job->bytes.len);
    goss_buf_clear(&job->bytes);
}

/* The job has waited long enough: it runs now, or never will. */
static void leave_queue(goss_srv_runner *r) {
    pthread_mutex_lock(&r->lock);
    r->n_waiting--;
    pthread_mutex_unlock(&r->lock);
    goss_srv_metrics_jobs(-1, 0);
}

static void close_lanes(goss_srv_job *job) {
    for (int i = 0; i < job->n_lanes; i++) {
        goss_srv_lane *lane = &job->lanes[i];
        if (lane->state == GOSS_SRV_LANE_RUNS) job->slot->n_lanes--;
        goss_session_close(&lane->session);
        lane->state = GOSS_SRV_LANE_DONE;
    }
}

/* Takes the job out of everything. What is counted is settled before the client sees the end. */
static void take_out(goss_srv_runner *r, goss_srv_job *job) {
    goss_srv_job **at = &r->jobs;
    while (*at != job) at = &(*at)->next;
    *at = job->next;
    close_lanes(job);
    if (job->slot) {
        job->slot->n_jobs--;
        job->slot->used_ms = goss_os_now_ms();
    }
    if (job->begun) goss_srv_metrics_jobs(0, -1);
    else leave_queue(r);
}

/* The client is gone. */
static void forget(goss_srv_runner *r, goss_srv_job *job) {
    take_out(r, job);
    goss_srv_job_drop(&job);
}

/* job->bytes are the last of a stream (status 0), or the whole answer. */
static void end(goss_srv_runner *r, goss_srv_job *job, int status) {
    take_out(r, job);
    flush(job);
    if (status) goss_srv_out_head(&job->out, status, "application/json", 0);
    goss_srv_out_end(&job->out);
    goss_srv_job_drop(&job);
}

/* job->fail says why. */
static void refuse(goss_srv_runner *r, goss_srv_job *job) {
    int streaming = job->out.streaming;
    goss_buf_clear(&job->bytes);
    if (streaming) job->writer->failed(job);
    else goss_srv_write_fail(&job->bytes, job->req.api, &job->fail);
    end(r, job, streaming ? 0 : job->fail.status);
}

/* Many clients leave reasoning out when they send a call's result, but the model wants to see why it called: it is kept
 * under the call's id (store.h), and parsers put it back. */
static void remember_calls(const goss_srv_job *job) {
    int anthropic = job->req.api == GOSS_SRV_MESSAGES;
    for (int l = 0; l < job->n_lanes; l++) {
        goss_buf thought = GOSS_BUF((size_t)1 << 20);
        char id[48];
        for (int i = 0; i < job->lanes[l].n_items; i++) {
            const goss_srv_item *item = &job->lanes[l].items[i];
            if (item->kind == GOSS_SRV_REASONING) goss_buf_append(&thought, item->text.data, item->text.len);
            if (item->kind != GOSS_SRV_CALL || !thought.len || thought.failed) continue;
            goss_fmt(id, sizeof id, "%s%s", anthropic ? "toolu_" : "call_", item->id + 5);
            goss_srv_store_put(id, &thought, "", 0);
        }
        goss_buf_free(&thought);
    }
}

static void finish(goss_srv_runner *r, goss_srv_job *job) {
    const goss_srv_lane *lane = &job->lanes[0];
    double speed = lane->decode_ms > 0 ? 1000.0 * lane->n_generated / lane->decode_ms : 0;
    int prompt, reused, generated, reasoning;
    goss_srv_totals(job, &prompt, &reused, &generated, &reasoning);
    goss_srv_metrics_answer(prompt, reused, generated, lane->first_ms > 0 ? lane->first_ms - job->arrived_ms : 0,
                            speed);
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
static int place(goss_srv_runner *r, goss_srv_job *job) {
    goss_srv_model m;
    goss_srv_slot *slot;
    goss_error err = { 0 };
    double began = goss_os_now_ms();
    if (r->held) return 0;
    if (goss_srv_catalog_find(job->req.model, &m)) {
        goss_srv_refuse(&job->fail, 404, "model_not_found", "model", -1,
                        "there is no model of this name: GET /v1/models lists those that there are");
        return -1;
    }
    int rc = goss_srv_slots_get(&r->slots, &m, job->req.layers, job->req.moe_fallback, &slot, &err);
    if (rc == GOSS_EAGAIN) {
        if (slot) set_health(r, GOSS_SRV_LOADING, 0, m.id, "");
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
    job->slot = slot;
    job->slot->n_jobs++;
    job->slot->keep_ms = job->req.has_keep ? job->req.keep_ms : goss_srv_slots_keep(&r->slots);
    job->load_ms = goss_os_now_ms() - began;
    memcpy(job->model, m.id, sizeof job->model);
    return 1;
}

static void begin(goss_srv_runner *r, goss_srv_job *job) {
    job->begun = 1;
    goss_srv_metrics_jobs(0, 1);
    leave_queue(r);
    if (!job->req.stream) return;
    goss_srv_out_head(&job->out, 200, job->writer->stream_type, 1);
    if (job->writer->begin) job->writer->begin(job);
    flush(job);
}

/* Ollama's way to unload a model: no prompt and keep_alive 0. It is not loaded for that; running answers end first. */
static void let_go(goss_srv_runner *r, goss_srv_job *job) {
    goss_srv_model m;
    if (goss_srv_catalog_find(job->req.model, &m)) {
        goss_srv_refuse(&job->fail, 404, "model_not_found", "model", -1, "there is no model of this name");
        refuse(r, job);
        return;
    }
    goss_srv_slot *slot = goss_srv_slots_find(&r->slots, &m, job->req.layers, job->req.moe_fallback);
    if (slot) slot->keep_ms = 0;
    memcpy(job->model, m.id, sizeof job->model);
    goss_srv_write_loaded(job);
    end(r, job, 200);
}

/* Brings a job as far as it can go before the next step. */
static void advance(goss_srv_runner *r, goss_srv_job *job) {
    if (job->req.load_only && job->req.has_keep && job->req.keep_ms == 0) { let_go(r, job); return; }
    if (!job->slot) {
        int placed = place(r, job);
        if (placed < 0) refuse(r, job);
        if (placed <= 0) return;
        int rc = goss_srv_start_job(job, r->c);
        if (rc < 0) { refuse(r, job); return; }
        if (rc > 0) { end(r, job, 200); return; }
    }
    for (int i = job->n_started; i < job->n_lanes && job->slot->n_lanes < r->c->max_sessions; i++) {
        if (goss_srv_start_lane(&job->lanes[i], r->c)) { refuse(r, job); return; }
        if (!job->begun) begin(r, job);
    }
}

/* ---- events ---------------------------------------------------------------------------------- */
static void take_events(goss_srv_runner *r, goss_srv_job *job) {
    goss_event ev;
    for (int i = 0; i < job->n_lanes; i++) {
        goss_srv_lane *lane = &job->lanes[i];
        while (lane->state == GOSS_SRV_LANE_RUNS && goss_session_event(lane->session, &ev) > 0) {
            if (!goss_srv_lane_event(lane, &ev)) continue;
            job->n_done++;
            job->slot->n_lanes--;
            if (ev.stop == GOSS_STOP_ERROR) {
                goss_srv_fail_engine(&job->fail, ev.error.code ? ev.error.code : GOSS_EIO, &ev.error);
                refuse(r, job);
                return;
            }
            goss_session_close(&lane->session);
        }
    }
    if (job->req.stream && job->bytes.len) flush(job);
    if (job->begun && job->n_done == job->n_lanes) finish(r, job);
}

/* The engine has stopped with an error: all its answers end, and the next request loads it anew. */
static void lose_engine(goss_srv_runner *r, goss_srv_slot *slot, const goss_error *err) {
    goss_srv_log("%s has failed: %s", slot->model.id, err->text);
    for (goss_srv_job *job = r->jobs, *next; job; job = next) {
        next = job->next;
        if (job->slot != slot) continue;
        goss_srv_refuse(&job->fail, 500, "engine_failed", "", -1, "the engine has failed: %s", err->text);
        job->fail.stage = "inference";
        refuse(r, job);
    }
    goss_srv_slots_unload(&r->slots, slot);
    set_health(r, GOSS_SRV_FAILED, 0, slot->model.id, err->text);
}

/* A model whose file has been cut reads zeros from now on: it must not answer any more. */
static void lose_cut(goss_srv_runner *r) {
    goss_error err = { 0 };
    int known = 0;
    goss_fail(&err, GOSS_EIO, -1, "the model's file was cut while it was in use");
    for (int i = 0; i < r->slots.n; i++) known += r->slots.slot[i].engine && goss_srv_slots_changed(&r->slots.slot[i]);
    for (int i = 0; i < r->slots.n; i++) { /* a later part of a split file is not known by name: then all go */
        goss_srv_slot *slot = &r->slots.slot[i];
        if (slot->engine && (!known || goss_srv_slots_changed(slot))) lose_engine(r, slot, &err);
    }
}

static void poll_engines(goss_srv_runner *r) {
    r->busy = 0;
    for (int i = 0; i < r->slots.n; i++) {
        goss_srv_slot *slot = &r->slots.slot[i];
        goss_error err = { 0 };
        if (!slot->engine) continue;
        int rc = goss_engine_poll(slot->engine, 2, &err);
        r->busy |= rc > 0;
        if (!slot->ready) {
            rc = goss_srv_slots_check(&r->slots, slot, &err);
            r->busy |= rc == GOSS_EAGAIN;
            if (rc == 0) set_health(r, GOSS_SRV_OK, 1, slot->model.id, "");
            else if (rc != GOSS_EAGAIN) {
                goss_srv_log("%s could not be loaded: %s", slot->model.id, err.text);
                set_health(r, GOSS_SRV_FAILED, 0, slot->model.id, err.text);
            }
        } else if (rc < 0) lose_engine(r, slot, &err);
    }
    if (goss_srv_fault_take()) lose_cut(r);
}

static void count_stats(goss_srv_runner *r) {
    goss_stats sum = { 0 }, one;
    goss_srv_loaded list[GOSS_SRV_SLOTS_MAX];
    int loaded = 0;
    double now = goss_os_now_ms();
    for (int i = 0; i < r->slots.n; i++) {
        if (!r->slots.slot[i].ready) continue;
        const goss_srv_slot *slot = &r->slots.slot[i];
        goss_engine_stats(slot->engine, &one);
        double left = (slot->n_jobs ? 0 : slot->used_ms - now) + slot->keep_ms;
        goss_srv_loaded *l = &list[loaded++];
        *l = (goss_srv_loaded){ .bytes = slot->info.resident_bytes + one.kv_bytes_used,
                                .gpu_bytes = one.gpu_bytes,
                                .n_ctx = slot->info.max_kv ? slot->info.max_kv : slot->info.n_ctx,
                                .expires = slot->keep_ms < 0 ? -1 : goss_os_unix_time() + (int64_t)(left / 1000) };
        memcpy(l->id, slot->model.id, sizeof l->id);
        sum.n_steps += one.n_steps;
        sum.n_rows += one.n_rows;
        sum.n_drafted += one.n_drafted;
        sum.n_accepted += one.n_accepted;
        sum.n_stored_tokens += one.n_stored_tokens;
        sum.n_joined_tokens += one.n_joined_tokens;
        sum.n_guarded += one.n_guarded;
        sum.n_schema += one.n_schema;
        sum.kv_bytes_shared += one.kv_bytes_shared;
        sum.kv_bytes_used += one.kv_bytes_used;
        sum.gpu_bytes += one.gpu_bytes;
        sum.expert_hits += one.expert_hits;
        sum.expert_misses += one.expert_misses;
    }
    r->stats_ms = now;
    goss_srv_metrics_engine(&sum, loaded);
    pthread_mutex_lock(&r->lock);
    memcpy(r->loaded, list, (size_t)loaded * sizeof *list);
    r->n_loaded = loaded;
    pthread_mutex_unlock(&r->lock);
}

/* Engines report what somebody wants to hear, no more. */
static void set_mask(goss_srv_runner *r) {
    unsigned mask = r->slots.telemetry ? GOSS_TELEMETRY_LOAD | GOSS_TELEMETRY_STAGES | GOSS_TELEMETRY_TOKENS |
                                             GOSS_TELEMETRY_KERNELS
                                       : GOSS_TELEMETRY_LOAD;
    for (goss_srv_job *job = r->jobs; job; job = job->next)
        if (job->req.telemetry)
            mask |= GOSS_TELEMETRY_STAGES | GOSS_TELEMETRY_TOKENS | GOSS_TELEMETRY_LAYERS | GOSS_TELEMETRY_KERNELS;
    for (int i = 0; i < r->slots.n && mask != r->slots.mask; i++)
        if (r->slots.slot[i].engine) goss_engine_telemetry(r->slots.slot[i].engine, mask);
    r->slots.mask = mask;
}

/* ---- the thread ------------------------------------------------------------------------------ */
static void load_default(goss_srv_runner *r) {
    goss_srv_model m;
    goss_srv_slot *slot;
    goss_error err = { 0 };
    if (!*r->c->model || goss_srv_catalog_find("", &m)) {
        set_health(r, GOSS_SRV_OK, 1, NULL, "");
        return;
    }
    set_health(r, GOSS_SRV_LOADING, 0, m.id, "");
    int rc = goss_srv_slots_get(&r->slots, &m, goss_srv_config_layers(r->c->layers), r->c->moe_fallback, &slot, &err);
    r->busy = rc == GOSS_EAGAIN; /* a device loads bit by bit, with no request to keep the thread awake */
    if (rc == 0) set_health(r, GOSS_SRV_OK, 1, m.id, "");
    else if (rc != GOSS_EAGAIN) {
        goss_srv_log("%s could not be loaded: %s", m.id, err.text);
        set_health(r, GOSS_SRV_FAILED, 0, m.id, err.text);
    }
}

/* Unloads what has to go: stale models when nobody uses them, idle ones when their time is up. Returns ms until the
 * next is due, -1: none. */
static double unload(goss_srv_runner *r) {
    double now = goss_os_now_ms(), soonest = -1;
    for (int i = 0; i < r->slots.n; i++) {
        goss_srv_slot *slot = &r->slots.slot[i];
        if (!slot->engine || slot->n_jobs || !slot->ready) continue;
        double left = slot->used_ms + slot->keep_ms - now;
        if (slot->stale || slot->keep_ms == 0 || (slot->keep_ms > 0 && left <= 0)) {
            goss_srv_log("%s unloaded", slot->model.id);
            goss_srv_slots_unload(&r->slots, slot);
            set_health(r, GOSS_SRV_OK, 1, slot->model.id, "");
            count_stats(r);
        } else if (slot->keep_ms > 0 && (soonest < 0 || left < soonest)) soonest = left;
    }
    int stale = 0;
    for (int i = 0; i < r->slots.n; i++) stale += r->slots.slot[i].engine && r->slots.slot[i].stale;
    if (r->reload_default && !stale) {
        r->reload_default = 0;
        load_default(r);
    }
    return soonest;
}

/* Sleeps until there is something to do and takes in what has come. Returns 1 to go on, 0 when stopping and done. */
static int take(goss_srv_runner *r, double due_ms) {
    struct timespec until;
    double ms = r->jobs && !r->busy ? 1 : due_ms; /* jobs without work: somebody waits for a slot or a device */
    int rc = 0;
    pthread_mutex_lock(&r->lock);
    if (r->stopping && r->jobs) ms = 5;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(ms / 1000);
    until.tv_nsec += (long)((ms - 1000 * (double)(time_t)(ms / 1000)) * 1e6);
    if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
    while (!r->busy && !r->inbox && !r->nudged && !r->reload && !(r->stopping && !r->jobs) && rc != ETIMEDOUT) {
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
    for (int i = 0; i < r->slots.n && reload; i++) r->slots.slot[i].stale = r->slots.slot[i].engine != NULL;
    r->reload_default |= reload;
    for (goss_srv_job *job = r->jobs, *next; job && stop; job = next) {
        next = job->next;
        if (job->begun && goss_os_now_ms() < deadline) continue;
        goss_srv_refuse(&job->fail, 503, "server_stopping", "", -1, "the server is stopping");
        refuse(r, job);
    }
    return !(stop && !r->jobs);
}

static void *work(void *arg) {
    goss_srv_runner *r = arg;
    load_default(r);
    count_stats(r);
    double due = unload(r);
    while (take(r, due)) {
        r->held = 0;
        set_mask(r);
        for (goss_srv_job *job = r->jobs, *next; job; job = next) {
            next = job->next;
            if (goss_srv_out_canceled(&job->out)) { atomic_store(&job->stop, GOSS_STOP_CANCELED); forget(r, job); }
            else advance(r, job);
        }
        poll_engines(r);
        for (goss_srv_job *job = r->jobs, *next; job; job = next) {
            next = job->next;
            if (job->begun) take_events(r, job);
        }
        due = unload(r);
        if (!r->jobs || goss_os_now_ms() - r->stats_ms > 200) count_stats(r);
    }
    for (int i = 0; i < r->slots.n; i++)
        if (r->slots.slot[i].engine) goss_srv_slots_unload(&r->slots, &r->slots.slot[i]);
    pthread_mutex_lock(&r->lock);
    r->ended = 1;
    pthread_mutex_unlock(&r->lock);
    r->wake(r->ctx);
    return NULL;
}

int goss_srv_runner_open(goss_srv_runner **out, const goss_srv_config *c, void (*wake)(void *ctx), void *ctx) {
    goss_srv_runner *r = *out = goss_mem_alloc(sizeof *r);
    pthread_condattr_t attr;
    if (!r) return GOSS_ENOMEM;
    r->c = c;
    r->wake = wake;
    r->ctx = ctx;
    r->inbox_end = &r->inbox;
    r->slots.c = c;
    r->slots.n = c->max_models < GOSS_SRV_SLOTS_MAX ? c->max_models : GOSS_SRV_SLOTS_MAX;
    r->slots.mask = GOSS_TELEMETRY_LOAD;
    r->slots.on_progress = on_progress;
    r->slots.on_line = on_line;
    r->slots.ctx = r;
    if (*c->telemetry_file) {
        r->slots.telemetry = fopen(c->telemetry_file, "we");
        if (r->slots.telemetry) setvbuf(r->slots.telemetry, NULL, _IOLBF, 0); /* whoever follows the file sees lines */
        else goss_srv_log("%s: %s", c->telemetry_file, strerror(errno));
    }
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->cond, &attr);
    pthread_condattr_destroy(&attr);
    if (pthread_create(&r->thread, NULL, work, r)) {
        goss_mem_free(r);
        *out = NULL;
        return GOSS_ENOMEM;
    }
    return 0;
}

void goss_srv_runner_close(goss_srv_runner **pointer) {
    goss_srv_runner *r = *pointer;
    if (!r) return;
    pthread_join(r->thread, NULL);
    if (r->slots.telemetry) fclose(r->slots.telemetry);
    pthread_cond_destroy(&r->cond);
    pthread_mutex_destroy(&r->lock);
    goss_mem_free(r);
    *pointer = NULL;
}
