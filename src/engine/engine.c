/* engine.c - an engine's life: puts its parts together, polls them, closes them; and what it does with texts
 * alone.
 *
 * State: LOADING -> READY, or -> FAILED from either. A lost device goes back to LOADING with its sessions
 * kept: their tokens are known, so their KV is filled again and the streams go on where they were. */
#include "base/error.h"
#include "base/mem.h"
#include "base/os.h"
#include "engine_state.h"
#include "plan.h"
#include "scheduler.h"
#include "session.h"
#include <string.h>

/* ---- opening ------------------------------------------------------------------------------------------- */
/* Config strings are borrowed during open, but loading goes on after it. */
static int copy_text(goss_engine *e, const char **text)
{
    if (!*text) return 0;
    const size_t n = strlen(*text) + 1;
    if (e->strings.len + n > e->strings.cap) return GOSS_EINVAL;
    const char *at = (const char *)e->strings.data + e->strings.len;
    goss_buf_append(&e->strings, *text, n);
    *text = at;
    return 0;
}

static int check_config(const goss_engine_config *c, goss_error *err)
{
    const struct { const char *name; int value, most; } all[] = {
        { "max_sessions", c->max_sessions, 1024 },
        { "max_rows", c->max_rows, 4096 },
        { "n_threads", c->n_threads, 1024 },
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].value < 0 || all[i].value > all[i].most)
            return goss_fail(err, GOSS_EINVAL, -1, "%s %d: 1 to %d, 0: as many as are sensible", all[i].name,
                             all[i].value, all[i].most);
    if (c->n_sources < 0 || (c->n_sources && !c->sources))
        return goss_fail(err, GOSS_EINVAL, -1, "%d sources that are not there", c->n_sources);
    if (c->max_kv < 0) return goss_fail(err, GOSS_EINVAL, -1, "max_kv %d: must not be negative", c->max_kv);
    return 0;
}

static int copy_config(goss_engine *e, const goss_engine_config *c, goss_error *err)
{
    enum { STRINGS = 8192, KERNELS = 1 << 16 };
    e->config = *c;
    const size_t room = STRINGS + (c->gpu_kernels ? strlen(c->gpu_kernels) + 1 : 0);
    if (room > STRINGS + KERNELS)
        return goss_fail(err, GOSS_EINVAL, -1, "gpu_kernels has more than %d bytes", (int)KERNELS);
    e->strings = GOSS_BUF(room);
    if (goss_telemetry_open(&e->telemetry, c) || goss_buf_reserve(&e->strings, room))
        return goss_fail(err, GOSS_ENOMEM, -1, "no memory for an engine");
    goss_lanes_open(&e->lanes, &e->telemetry);
    const char **all[] = { &e->config.model_path,  &e->config.backend,    &e->config.draft_path,
                           &e->config.kv_type,     &e->config.cpu_mask,   &e->config.gpu_mask,
                           &e->config.webgpu_path, &e->config.ring_split, &e->config.gpu_kernels };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (copy_text(e, all[i]))
            return goss_fail(err, GOSS_EINVAL, -1,
                             "the configuration's texts are longer than %d bytes together", (int)STRINGS);
    if (!c->max_sessions) e->config.max_sessions = GOSS_SESSIONS;
    return check_config(c, err);
}

/* ---- putting together ---------------------------------------------------------------------------------- */
static void copy_page(void *ctx, int cls, int from, int to)
{
    goss_backend *b = ((goss_engine *)ctx)->loaded.backend;
    b->vt->kv_copy(b, cls, from, to);
}

static int evict(void *ctx, const goss_kv *but)
{
    return goss_prefix_evict(&((goss_engine *)ctx)->prefixes, but);
}

static int open_pool(goss_engine *e)
{
    const goss_loaded *m = &e->loaded;
    const int *n = m->plan.n_pages;
    e->pool_open = 1;
    const int rc =
        goss_kv_pool_open(&e->pool, n[GOSS_KV_FULL], n[GOSS_KV_WINDOW], m->model.hp.window, GOSS_ROLLBACK);
    e->pool.copy = copy_page;
    e->pool.ctx = e;
    return rc ? rc : goss_kv_open(&e->scratch, &e->pool, m->max_kv);
}

/* Sessions by slot, and what others know of them. */
static int open_slots(goss_engine *e)
{
    const size_t n = (size_t)e->config.max_sessions;
    e->sessions = goss_mem_array(n, sizeof *e->sessions);
    e->asks = goss_mem_array(n, sizeof *e->asks);
    e->prefixes.open = goss_mem_array(n, sizeof *e->prefixes.open);
    e->joins.prompt = goss_mem_array(n, sizeof *e->joins.prompt);
    if (!e->sessions || !e->asks || !e->prefixes.open || !e->joins.prompt) return GOSS_ENOMEM;
    e->joins.open = e->prefixes.open;
    e->joins.n = e->prefixes.n_open = (int)n;
    return 0;
}

static int open_prefixes(goss_engine *e)
{
    const goss_loaded *m = &e->loaded;
    goss_prefixes *p = &e->prefixes;
    p->vocab = m->vocab;
    p->ids = &m->ids;
    p->is_harmony = m->format == GOSS_CHAT_HARMONY;
    p->window = m->model.hp.window;
    p->max_rows = m->max_rows;
    return goss_cache_open(&p->cache, &e->pool, m->max_kv);
}

static int open_store(goss_engine *e, goss_error *err)
{
    const goss_prefix_store_config c = {
        .engine = &e->config,
        .gguf = &e->loaded.gguf,
        .model = &e->loaded.model,
        .backend = &e->loaded.backend,
        .arriving = goss_load_arriving(&e->load),
        .pool = &e->pool,
        .max_kv = e->loaded.max_kv,
        .cache = &e->prefixes.cache,
        .evict = evict,
        .evict_ctx = e,
        .telemetry = &e->telemetry,
    };
    return goss_prefix_store_open(&e->prefixes.store, &c, err);
}

static void clamp(int *value, int n)
{
    if (*value < 0 || *value >= n) *value = 0;
}

static int open_observer(goss_engine *e)
{
    goss_engine_config *c = &e->config;
    const goss_model *m = &e->loaded.model;
    const int lines = c->on_telemetry && (e->telemetry.mask & GOSS_TELEMETRY_LAYERS);
    if ((!lines && !e->telemetry.sheet) || e->loaded.backend->vt->in_flight != 1) return 0;
    clamp(&c->telemetry_layer, m->hp.n_layer);
    clamp(&c->telemetry_head, m->hp.n_head);
    return goss_observe_open(&e->observer, &e->telemetry, m, c->telemetry_layer, c->telemetry_head);
}

static int open_sheet(goss_engine *e)
{
    const goss_hparams *h = &e->loaded.model.hp;
    if (!(e->telemetry.mask & GOSS_TELEMETRY_ROWS)) return 0;
    return goss_sheet_open(&e->telemetry.sheet, h->n_layer, h->n_expert ? h->n_expert_used : 0,
                           e->config.max_sessions);
}

/* Rows of prompts that a step takes at first; it may come to max_rows. */
static int first_chunk(const goss_engine *e)
{
    return e->config.max_rows || e->loaded.max_rows < GOSS_ROWS ? e->loaded.max_rows : GOSS_ROWS;
}

/* The model is loaded for the first time. */
static int open_parts(goss_engine *e, goss_error *err)
{
    goss_loaded *m = &e->loaded;
    goss_schema_room_open(&e->schemas, m->vocab, m->model.hp.n_vocab, e->config.schemas_bytes,
                          e->config.schema_bytes, e->config.schema_ms);
    goss_pace_open(&e->pace, &m->model, m->max_rows, m->backend->vt->in_flight == 1 || m->backend->vt->groups,
                   strcmp(m->backend->vt->name, "ref") != 0);
    int rc = open_pool(e);
    if (!rc) rc = open_slots(e);
    if (!rc) rc = goss_steps_open(e);
    if (!rc) rc = open_prefixes(e);
    if (!rc) rc = open_sheet(e);
    if (!rc) rc = open_observer(e);
    if (rc)
        return goss_fail(err, rc, -1, "no memory for %d sessions of %d positions", e->config.max_sessions,
                         m->max_kv);
    rc = open_store(e, err);
    return rc ? rc : goss_draft_model_open(&e->draft_model, m, &e->config, err);
}

int goss_engine_see(goss_engine *e)
{
    goss_backend *b = e->loaded.backend;
    const goss_hparams *h = &e->loaded.model.hp;
    const size_t n = (size_t)h->n_layer * (size_t)h->n_expert_used;
    const int on = e->tape || (e->telemetry.mask & GOSS_TELEMETRY_SEEN);
    if (on == e->sees || !b || !b->vt->record) return 0;
    if (n && !e->seen && !(e->seen = goss_mem_array(2 * n, sizeof *e->seen))) return GOSS_ENOMEM;
    const int rc = b->vt->record(b, on);
    if (rc) return rc;
    e->sees = on;
    if (on) goss_engine_watch(e, e->config.telemetry_layer, e->config.telemetry_head);
    return 0;
}

/* Loads on; when the weights are usable, the engine is ready. GOSS_EAGAIN, 0, or what went wrong. */
static int load(goss_engine *e, goss_error *err)
{
    int rc = goss_load_advance(&e->load, err);
    if (rc) return rc;
    if (!e->pool_open) rc = open_parts(e, err);
    if (rc) return rc;
    goss_pace_begin(&e->pace, first_chunk(e));
    goss_observe_attach(e->observer, e->loaded.backend);
    if ((rc = goss_engine_see(e)))
        return goss_fail(err, rc, -1, "no memory to record with");
    goss_prefix_store_rest(e->prefixes.store, 0);
    goss_load_finish(&e->load);
    rc = goss_load_fill(&e->load, err);
    if (rc < 0) return rc;
    e->state = GOSS_ENGINE_READY;
    return 0;
}

int goss_engine_open(goss_engine **out, const goss_engine_config *config, goss_error *err)
{
    if (out) *out = NULL;
    if (!out || !config) return goss_fail(err, GOSS_EINVAL, -1, "there is no configuration, or no place");
    goss_engine *e = goss_mem_alloc(sizeof *e);
    if (!e) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for an engine");
    goss_error failed = { .position = -1 };
    e->load.config = &e->config;
    e->load.telemetry = &e->telemetry;
    e->load.to = &e->loaded;
    int rc = copy_config(e, config, &failed);
    if (!rc) rc = goss_load_begin(&e->load, &failed);
    if (!rc) rc = load(e, &failed);
    if (!rc || rc == GOSS_EAGAIN) { *out = e; return 0; }
    goss_telemetry_load(&e->telemetry, "load_failed", "failed", failed.text);
    goss_engine_close(&e);
    if (err) *err = failed;
    return rc;
}

void goss_engine_close(goss_engine **engine)
{
    goss_engine *e = engine ? *engine : NULL;
    if (!e) return;
    goss_steps_drain(e);
    goss_lanes_tell(&e->lanes, 1);
    for (int i = 0; e->sessions && i < e->config.max_sessions; i++)
        if (e->sessions[i]) goss_session_free(e->sessions[i]);
    goss_tape_end(e->tape);
    goss_tape_close(&e->tape);
    goss_mem_free(e->seen);
    goss_schema_room_close(&e->schemas);
    goss_prefix_store_close(&e->prefixes.store, e->loaded.backend && e->state == GOSS_ENGINE_READY);
    goss_draft_model_close(&e->draft_model);
    goss_observe_close(&e->observer);
    goss_cache_close(&e->prefixes.cache);
    goss_steps_close(e);
    goss_kv_close(&e->scratch);
    if (e->pool_open) goss_kv_pool_close(&e->pool);
    goss_mem_free(e->sessions);
    goss_mem_free(e->asks);
    goss_mem_free(e->prefixes.open);
    goss_mem_free(e->joins.prompt);
    goss_load_close(&e->load);
    goss_buf_free(&e->strings);
    goss_lanes_close(&e->lanes);
    goss_telemetry_close(&e->telemetry);
    goss_mem_free(e);
    *engine = NULL;
}

/* ---- polling ------------------------------------------------------------------------------------------- */
static int fail_engine(goss_engine *e, int rc, const goss_error *why, goss_error *err)
{
    e->state = GOSS_ENGINE_FAILED;
    e->error = *why;
    for (int i = 0; e->sessions && i < e->config.max_sessions; i++)
        if (e->sessions[i] && e->sessions[i]->seq.active)
            goss_session_finish(e->sessions[i], GOSS_STOP_ERROR, why);
    if (err) *err = *why;
    return rc;
}

/* The device is gone and all its memory with it: what sessions know are their tokens. */
static void restore(goss_engine *e, const goss_error *why)
{
    goss_telemetry_stage(&e->telemetry, "device_lost", "failed", 0, 0, why->text);
    goss_steps_drop(e);
    goss_prefix_store_give_up(e->prefixes.store);
    goss_prefix_store_rest(e->prefixes.store, 1);
    goss_cache_clear(&e->prefixes.cache);
    goss_observe_reset(e->observer);
    goss_load_restart(&e->load);
    e->state = GOSS_ENGINE_LOADING;
}

/* Nobody waits and something was answered: a device that chooses its kernels by measuring does so, for the
 * engines opened later. 1: there is more. A device that is lost over it is not measured again. */
static int measure(goss_engine *e, int timeout_ms, goss_error *err)
{
    goss_backend *b = e->loaded.backend;
    goss_buf text = GOSS_BUF(1 << 17);
    const int early = e->load.filling || !e->stats.n_generated_tokens;
    if (e->measured || early || !e->config.on_kernels || !b->vt->measure) return 0;
    const int rc = b->vt->measure(b, timeout_ms, &text);
    if (!rc && text.len && !text.failed)
        e->config.on_kernels(e->config.kernels_ctx, goss_buf_cstr(&text), text.len);
    e->measured = rc <= 0;
    goss_buf_free(&text);
    return rc < 0 ? goss_fail(err, rc, -1, "the GPU was lost while kernels were measured") : rc;
}

int goss_engine_poll(goss_engine *e, int timeout_ms, goss_error *err)
{
    if (!e) return goss_fail(err, GOSS_EINVAL, -1, "there is no engine");
    if (e->state == GOSS_ENGINE_FAILED) {
        if (err) *err = e->error;
        return e->error.code;
    }
    goss_error failed = { .position = -1 };
    if (e->state == GOSS_ENGINE_LOADING) {
        const double began = goss_os_thread_ms();
        const int again = e->load.restarted, rc = load(e, &failed);
        e->model_ms += goss_os_thread_ms() - began;
        if (rc == GOSS_EAGAIN) return 1;
        if (rc) {
            goss_telemetry_load(&e->telemetry, "load_failed", "failed", failed.text);
            return fail_engine(e, rc, &failed, err);
        }
        if (again) goss_telemetry_stage(&e->telemetry, "device_restored", "completed", 0, 0, NULL);
        return 1;
    }
    int rc = goss_steps_advance(e, timeout_ms, &failed);
    if (!rc) rc = measure(e, timeout_ms, &failed);
    if (rc == GOSS_ELOST && !e->config.ring && ++e->load.n_lost <= GOSS_LOST_MOST) {
        restore(e, &failed);
        return 1;
    }
    return rc < 0 ? fail_engine(e, rc, &failed, err) : rc;
}

int goss_engine_state(const goss_engine *e) { return e ? (int)e->state : GOSS_ENGINE_FAILED; }

void goss_engine_read_done(goss_engine *e, uint64_t tag, int status)
{
    goss_backend *b = e ? e->loaded.backend : NULL;
    if (!e) return;
    if (!goss_load_read_done(&e->load, tag, status) && b && b->vt->read_done)
        b->vt->read_done(b, tag, status);
}

/* ---- telemetry ----------------------------------------------------------------------------------------- */
void goss_engine_telemetry(goss_engine *e, unsigned mask)
{
    goss_backend *b = e ? e->loaded.backend : NULL;
    if (!e) return;
    if (b && b->vt->telemetry) b->vt->telemetry(b, mask);
    e->config.telemetry_mask = e->telemetry.mask = mask;
    goss_engine_see(e); /* without memory for it nothing is seen */
}

const goss_session *goss_telemetry_session(const goss_engine *e)
{
    return e ? e->telemetry.about : NULL;
}

int goss_rows_take(goss_engine *e, goss_rows *rows)
{
    if (rows) *rows = (goss_rows){ 0 };
    return e ? goss_sheet_take(e->telemetry.sheet, rows) : GOSS_EINVAL;
}

void goss_engine_note(goss_engine *e, const char *stage, const char *status, const char *detail)
{
    if (!e || !stage || !status) return;
    goss_telemetry_stage(&e->telemetry, stage, status, 0, 0, detail);
}

int goss_engine_watch(goss_engine *e, int layer, int head)
{
    if (!e) return GOSS_EINVAL;
    const goss_hparams *h = &e->loaded.model.hp;
    goss_backend *b = e->loaded.backend;
    if (layer < 0 || layer >= h->n_layer || head < 0 || head >= h->n_head) return GOSS_EINVAL;
    e->config.telemetry_layer = layer;
    e->config.telemetry_head = head;
    if (b && b->vt->watch) b->vt->watch(b, layer, head);
    goss_observe_watch(e->observer, layer, head);
    return 0;
}

/* ---- text ---------------------------------------------------------------------------------------------- */
/* Hands out what was encoded: as many ids as there is room for, and their number. */
static int give(goss_buf *b, int rc, int32_t *ids, int cap)
{
    const size_t n = b->len / sizeof *ids;
    if (!rc && n && cap > 0) memcpy(ids, b->data, sizeof *ids * (n < (size_t)cap ? n : (size_t)cap));
    goss_buf_free(b);
    return rc ? rc : (int)n;
}

int goss_tokenize(const goss_engine *e, const char *text, size_t n, unsigned flags, int32_t *ids, int cap)
{
    if (!e || (!text && n) || cap < 0 || (!ids && cap)) return GOSS_EINVAL;
    if (!e->loaded.vocab) return GOSS_ESTATE;
    goss_buf b = GOSS_BUF((size_t)1 << 30);
    return give(&b, goss_vocab_encode(e->loaded.vocab, text, n, flags, &b), ids, cap);
}

int goss_schemas_open(goss_engine *e, const goss_params *p, goss_schemas **out, goss_error *err)
{
    if (out) *out = NULL;
    if (!e || !out) return goss_fail(err, GOSS_EINVAL, -1, "no engine, or nowhere to put schemas");
    if (e->state != GOSS_ENGINE_READY) return goss_fail(err, GOSS_ESTATE, -1, "the model is not loaded yet");
    if (!p) return 0;
    return goss_schemas_compile(out, &e->schemas, p->json_schema, p->chat ? p->tools_json : NULL,
                                p->must_call, err);
}

void goss_schemas_close(goss_schemas **s)
{
    if (s) goss_schemas_release(s);
}

int goss_detokenize(const goss_engine *e, const int32_t *ids, int n_ids, char *text, int cap)
{
    if (!e || n_ids < 0 || (!ids && n_ids) || cap < 0 || (!text && cap)) return GOSS_EINVAL;
    if (!e->loaded.vocab) return GOSS_ESTATE;
    goss_buf b = GOSS_BUF((size_t)1 << 30);
    int rc = goss_vocab_decode(e->loaded.vocab, ids, (size_t)n_ids, 1, 1, &b);
    if (!rc) {
        if (b.len && cap > 0) memcpy(text, b.data, b.len < (size_t)cap ? b.len : (size_t)cap);
        rc = (int)b.len;
    }
    goss_buf_free(&b);
    return rc;
}

static int not_loaded(goss_error *err)
{
    return goss_fail(err, GOSS_ESTATE, -1, "the model is not loaded yet");
}

int goss_conversation_render(const goss_engine *e, const goss_conversation *c, int32_t *ids, int cap,
                             goss_error *err)
{
    if (!e || !c || cap < 0 || (!ids && cap))
        return goss_fail(err, GOSS_EINVAL, -1, "there is no engine, no conversation or no room");
    if (!e->loaded.vocab) return not_loaded(err);
    goss_buf b = GOSS_BUF((size_t)1 << 28);
    return give(&b, goss_chat_encode(e->loaded.vocab, e->loaded.format, c, &b, err), ids, cap);
}

int goss_chat_render(const goss_engine *e, const char *json, size_t n, int32_t *ids, int cap, goss_error *err)
{
    if (!e || !json || cap < 0 || (!ids && cap))
        return goss_fail(err, GOSS_EINVAL, -1, "there is no engine, no conversation or no room");
    if (!e->loaded.vocab) return not_loaded(err);
    goss_buf b = GOSS_BUF((size_t)1 << 28);
    return give(&b, goss_chat_encode_json(e->loaded.vocab, e->loaded.format, json, n, &b, NULL, err), ids,
                cap);
}

int goss_chat_turn(const goss_engine *e, goss_str reasoning, goss_str answer, int32_t *ids, int cap,
                   goss_error *err)
{
    goss_harmony_ids h;
    if (!e || !reasoning.s || !answer.s || cap < 0 || (!ids && cap))
        return goss_fail(err, GOSS_EINVAL, -1, "there is no engine, no turn or no room");
    if (!e->loaded.vocab) return not_loaded(err);
    if (!goss_harmony_find(e->loaded.vocab, &h))
        return goss_fail(err, GOSS_EUNSUPPORTED, -1, "the model does not speak Harmony");
    goss_buf b = GOSS_BUF((size_t)1 << 28);
    return give(&b, goss_harmony_turn(e->loaded.vocab, &h, reasoning, answer, &b), ids, cap);
}
