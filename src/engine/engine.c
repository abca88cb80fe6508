/* engine.c - an engine's life: open, poll, close; what it says about itself.
 *
 * State: LOADING -> READY, or -> FAILED from either. A lost device goes back to LOADING with its sessions kept: their
 * tokens are known, so their KV is filled again and the streams go on where they were. */
#include "../base/fmt.h"
#include "../base/mem.h"
#include "engine.h"
#include <string.h>

/* ---- opening --------------------------------------------------------------------------------------------- */
/* Config strings are borrowed during open, but loading goes on after it. */
static int keep(goss_engine *e, const char **text)
{
    if (!*text) return 0;
    const size_t n = strlen(*text) + 1;
    if (e->strings.len + n > e->strings.cap) return GOSS_EINVAL;
    const char *at = (const char *)e->strings.data + e->strings.len;
    goss_buf_append(&e->strings, *text, n);
    *text = at;
    return 0;
}

static int copy_config(goss_engine *e, const goss_engine_config *c, goss_error *err)
{
    enum { STRINGS = 8192 };
    e->config = *c;
    e->strings = GOSS_BUF(STRINGS);
    e->line = GOSS_BUF(1 << 24);
    if (goss_buf_reserve(&e->strings, STRINGS) || goss_buf_reserve(&e->line, 1 << 16))
        return goss_fail(err, GOSS_ENOMEM, -1, "no memory for an engine");
    const char **all[] = { &e->config.model_path, &e->config.backend, &e->config.draft_path, &e->config.kv_type,
                           &e->config.cpu_mask, &e->config.gpu_mask, &e->config.webgpu_path };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (keep(e, all[i]))
            return goss_fail(err, GOSS_EINVAL, -1,
                             "the configuration's texts are longer than %d bytes together", (int)STRINGS);
    if (c->max_sessions < 0 || c->max_sessions > 1024)
        return goss_fail(err, GOSS_EINVAL, -1, "max_sessions %d: 1 to 1024", c->max_sessions);
    if (c->max_rows < 0 || c->max_rows > 4096)
        return goss_fail(err, GOSS_EINVAL, -1, "max_rows %d: 1 to 4096", c->max_rows);
    if (c->max_kv < 0) return goss_fail(err, GOSS_EINVAL, -1, "max_kv %d: must not be negative", c->max_kv);
    if (c->n_threads < 0 || c->n_threads > 1024)
        return goss_fail(err, GOSS_EINVAL, -1, "n_threads %d: 0 to 1024", c->n_threads);
    e->max_sessions = c->max_sessions ? c->max_sessions : 16;
    return 0;
}

int goss_engine_open(goss_engine **out, const goss_engine_config *config, goss_error *err)
{
    *out = NULL;
    goss_engine *e = goss_mem_alloc(sizeof *e);
    if (!e) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for an engine");
    goss_error failed = { .position = -1 };
    int rc = copy_config(e, config, &failed);
    if (!rc) rc = goss_load_begin(e, &failed);
    if (!rc) rc = goss_load_advance(e, &failed);
    if (rc == GOSS_EAGAIN) rc = 0;
    else if (!rc) e->state = GOSS_ENGINE_READY;
    if (!rc) { *out = e; return 0; }
    goss_telemetry_load(e, "load_failed", "failed", failed.text);
    goss_engine_close(&e);
    if (err) *err = failed;
    return rc;
}

int goss_engine_ready(goss_engine *e, void (*kv_copy)(void *ctx, int cls, int from, int to), goss_error *err)
{
    if (e->pool_open) { /* a device that came back */
        goss_observe_attach(e);
        return 0;
    }
    e->pool_open = 1;
    int rc = goss_kv_pool_open(&e->pool, e->plan.n_pages[0], e->plan.n_pages[1], e->model.hp.window, GOSS_ROLLBACK);
    e->pool.copy = kv_copy;
    e->pool.ctx = e;
    e->sessions = goss_mem_array((size_t)e->max_sessions, sizeof *e->sessions);
    if (!rc && !e->sessions) rc = GOSS_ENOMEM;
    if (!rc) rc = goss_kv_open(&e->scratch, &e->pool, e->max_kv);
    if (!rc) rc = goss_steps_open(e);
    if (!rc) rc = goss_prefix_open(e);
    if (!rc) rc = goss_observe_open(e);
    if (rc) return goss_fail(err, rc, -1, "no memory for %d sessions of %d positions", e->max_sessions, e->max_kv);
    rc = goss_keep_open(e, err);
    return rc ? rc : goss_speculate_open(e, err);
}

void goss_engine_close(goss_engine **engine)
{
    goss_engine *e = *engine;
    if (!e) return;
    goss_steps_drain(e);
    for (int i = 0; e->sessions && i < e->max_sessions; i++)
        if (e->sessions[i]) goss_session_free(e->sessions[i]);
    goss_word_list_close(&e->words);
    goss_keep_close(e);
    goss_speculate_close(e);
    goss_observe_close(e);
    goss_prefix_close(e);
    goss_steps_close(e);
    goss_kv_close(&e->scratch);
    if (e->pool_open) goss_kv_pool_close(&e->pool);
    goss_mem_free(e->sessions);
    goss_load_close(e);
    goss_buf_free(&e->strings);
    goss_buf_free(&e->line);
    goss_mem_free(e);
    *engine = NULL;
}

/* ---- polling --------------------------------------------------------------------------------------------- */
static int fail_engine(goss_engine *e, int rc, const goss_error *why, goss_error *err)
{
    e->state = GOSS_ENGINE_FAILED;
    e->error = *why;
    for (int i = 0; e->sessions && i < e->max_sessions; i++)
        if (e->sessions[i] && e->sessions[i]->active) goss_session_finish(e->sessions[i], GOSS_STOP_ERROR, why);
    if (err) *err = *why;
    return rc;
}

/* The device is gone and all its memory with it: what sessions know are their tokens. */
static void restore(goss_engine *e, const goss_error *why)
{
    goss_telemetry_stage(e, "device_lost", "failed", 0, 0, why->text);
    for (int i = 0; i < e->max_sessions; i++)
        if (e->sessions[i]) goss_session_forget(e->sessions[i], 0);
    e->n_flights = 0;
    for (int i = 0; i < e->max_sessions; i++)
        if (e->sessions[i]) e->sessions[i]->n_inflight = 0;
    goss_prefix_drop(e);
    goss_observe_reset(e);
    goss_load_restart(e);
    e->state = GOSS_ENGINE_LOADING;
}

int goss_engine_poll(goss_engine *e, int timeout_ms, goss_error *err)
{
    if (e->state == GOSS_ENGINE_FAILED) {
        if (err) *err = e->error;
        return e->error.code;
    }
    goss_error failed = { .position = -1 };
    if (e->state == GOSS_ENGINE_LOADING) {
        const int again = e->pool_open, rc = goss_load_advance(e, &failed);
        if (rc == GOSS_EAGAIN) return 1;
        if (rc) {
            goss_telemetry_load(e, "load_failed", "failed", failed.text);
            return fail_engine(e, rc, &failed, err);
        }
        e->state = GOSS_ENGINE_READY;
        if (again) goss_telemetry_stage(e, "device_restored", "completed", 0, 0, NULL);
        return 1;
    }
    const int rc = goss_steps_advance(e, timeout_ms, &failed);
    if (rc == GOSS_ELOST && ++e->n_lost <= GOSS_LOST_MOST) { restore(e, &failed); return 1; }
    return rc < 0 ? fail_engine(e, rc, &failed, err) : rc;
}

int goss_engine_state(const goss_engine *e) { return e->state; }

void goss_engine_read_done(goss_engine *e, uint64_t tag, int status)
{
    if (!goss_load_read_done(e, tag, status) && e->backend && e->backend->vt->read_done)
        e->backend->vt->read_done(e->backend, tag, status);
}

const char *goss_engine_kv(const goss_engine *e)
{
    const char *asked = e->config.kv_type ? e->config.kv_type : "f16", *name = e->backend ? e->backend->vt->name : "";
    return !strcmp(name, "ref") ? "f32" : !strcmp(name, "gpu") && strcmp(asked, "f32") ? "f16" : asked;
}

/* ---- what it says about itself --------------------------------------------------------------------------- */
void goss_engine_info(const goss_engine *e, goss_model_info *out)
{
    *out = (goss_model_info){ 0 };
    if (!e->bound) return;
    goss_plan_describe(&e->model, out);
    if (e->vocab) goss_fmt(out->chat, sizeof out->chat, "%s", goss_chat_format_name(e->format));
    out->max_kv = e->max_kv;
    goss_fmt(out->kv, sizeof out->kv, "%s", goss_engine_kv(e));
    out->n_threads = e->config.n_threads ? e->config.n_threads : goss_os_cores();
    out->resident_bytes = e->plan.resident_bytes;
    out->kv_bytes = e->plan.kv_bytes;
    out->file_bytes = 0;
    for (int i = 0; i < e->load.n_files; i++) out->file_bytes += e->load.files[i].source.size;
    if (!e->backend) return;
    goss_fmt(out->backend, sizeof out->backend, "%s", e->backend->vt->name);
    goss_fmt(out->level, sizeof out->level, "%s", e->backend->vt->level(e->backend));
}

void goss_engine_stats(const goss_engine *e, goss_stats *out)
{
    *out = e->stats;
    out->load_progress = e->state == GOSS_ENGINE_READY ? 1
                         : e->load.total               ? (double)e->load.done / (double)e->load.total
                                                       : 0;
    for (int i = 0; e->sessions && i < e->max_sessions; i++) {
        const goss_session *s = e->sessions[i];
        out->n_sessions += s && !s->closed;
        out->n_active += s && s->active;
    }
    for (int c = 0; e->pool_open && c < GOSS_KV_CLASSES; c++) {
        const int used = e->pool.n_pages[c] - e->pool.n_free[c];
        out->kv_bytes_used += (uint64_t)used * e->plan.page_bytes[c];
        for (int i = 0; i < e->pool.n_pages[c]; i++) {
            const int others = e->pool.refs[c][i] - 1;
            if (others > 0) out->kv_bytes_shared += (uint64_t)others * e->plan.page_bytes[c];
        }
    }
    if (!e->backend) return;
    goss_backend_stats b = { 0 };
    e->backend->vt->stats(e->backend, &b);
    out->gpu_bytes = strcmp(e->backend->vt->name, "gpu") ? 0 : b.bytes_allocated;
    out->expert_hits = b.hits;
    out->expert_misses = b.misses;
    out->expert_evictions = b.evictions;
    out->expert_stalls = b.stalls;
    out->expert_stall_ms = b.stall_ms;
    out->expert_bytes = b.fetched_bytes;
    if (e->state == GOSS_ENGINE_LOADING && b.progress > 0) out->load_progress = b.progress;
}

/* ---- text ------------------------------------------------------------------------------------------------ */
int goss_tokenize(const goss_engine *e, const char *text, size_t n, unsigned flags, int32_t *ids, int cap)
{
    if (!e->vocab) return GOSS_ESTATE;
    goss_buf b = GOSS_BUF((size_t)1 << 30);
    int rc = goss_vocab_encode(e->vocab, text, n, flags, &b);
    if (!rc) {
        const size_t count = b.len / sizeof *ids;
        if (count && cap > 0) memcpy(ids, b.data, sizeof *ids * (count < (size_t)cap ? count : (size_t)cap));
        rc = (int)count;
    }
    goss_buf_free(&b);
    return rc;
}

int goss_detokenize(const goss_engine *e, const int32_t *ids, int n_ids, char *text, int cap)
{
    if (!e->vocab) return GOSS_ESTATE;
    goss_buf b = GOSS_BUF((size_t)1 << 30);
    int rc = goss_vocab_decode(e->vocab, ids, (size_t)n_ids, 1, 1, &b);
    if (!rc) {
        if (b.len && cap > 0) memcpy(text, b.data, b.len < (size_t)cap ? b.len : (size_t)cap);
        rc = (int)b.len;
    }
    goss_buf_free(&b);
    return rc;
}

int goss_chat_render(const goss_engine *e, const char *json, size_t n, int32_t *ids, int cap, goss_error *err)
{
    if (!e->vocab) return goss_fail(err, GOSS_ESTATE, -1, "the model is not loaded yet");
    goss_json j = { 0 };
    goss_buf b = GOSS_BUF((size_t)1 << 28);
    int rc = goss_json_parse(&j, json, n, NULL, err);
    if (!rc) rc = goss_chat_encode(e->vocab, e->format, &j, 0, &b, err);
    if (!rc) {
        const size_t count = b.len / sizeof *ids;
        if (count && cap > 0) memcpy(ids, b.data, sizeof *ids * (count < (size_t)cap ? count : (size_t)cap));
        rc = (int)count;
    }
    goss_json_free(&j);
    goss_buf_free(&b);
    return rc;
}
