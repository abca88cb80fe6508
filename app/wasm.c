/* wasm.c - what the module exports to JavaScript: one engine and its sessions behind numbers and JSON.
 *
 * JavaScript writes requests into memory from goss_wasm_alloc and calls; answers come through two imports,
 * whose bytes are
 * valid during the call: goss.telemetry (the engine's lines, untouched) and goss.emit (objects with a `kind`):
 *   {kind:"info"|"stats"|"tokens"|"text", ...}   the answer to the call that is running
 *   {kind:"error", code, name, message, position} before a call returns a negative code
 *   {kind:"token"|"prefill"|"done", session, ...} events, from goss_wasm_poll
 *   {kind:"notice", message}                     something for the log
 * One instance holds one engine; only the thread that opened it calls in (others park in goss_wasm_thread). */
#include "wasm_request.h"
#include "../src/base/mem.h"
#include <string.h>

#define EXPORT(name) __attribute__((export_name(#name))) name
#define IMPORT(name) __attribute__((import_module("goss"), import_name(name)))
IMPORT("emit") void js_emit(const void *json, int n);
IMPORT("telemetry") void js_telemetry(const void *json, int n);
IMPORT("store_get") int js_store_get(const char *name, int length, double offset, void *dst, int n);
IMPORT("store_put") int js_store_put(const char *name, int length, const void *bytes, int n, int last);
IMPORT("store_used") void js_store_used(const char *name, int length, int dropped);
IMPORT("read") int js_read(int source, double offset, void *dst, int n, uint64_t tag);

/* Results are 0 or a negative GOSS_E code unless said otherwise; session_open returns the session's number. */
void *EXPORT(goss_wasm_alloc)(size_t n);
void EXPORT(goss_wasm_free)(void *p);
int EXPORT(goss_wasm_open)(const char *json, int n);
void EXPORT(goss_wasm_close)(void);
int EXPORT(goss_wasm_state)(void);
void EXPORT(goss_wasm_read_done)(uint64_t tag, int status);
int EXPORT(goss_wasm_watch)(int layer, int head);
void EXPORT(goss_wasm_info)(void);
void EXPORT(goss_wasm_stats)(void);
int EXPORT(goss_wasm_tokenize)(const char *text, int n, int flags);
int EXPORT(goss_wasm_render)(const char *json, int n);
void EXPORT(goss_wasm_detokenize)(const int32_t *tokens, int n);
int EXPORT(goss_wasm_session_open)(void);
void EXPORT(goss_wasm_session_close)(int i);
void EXPORT(goss_wasm_session_cancel)(int i);
int EXPORT(goss_wasm_session_prompt)(int i, const char *json, int n);
/* Advances the engine and emits all events; returns goss_engine_poll's result. */
int EXPORT(goss_wasm_poll)(int timeout_ms);

enum { MAX_SESSIONS = 64 };
static goss_engine *engine;
static goss_wasm_config config;      /* the engine keeps the sources' names */
static goss_session *sessions[MAX_SESSIONS];
static goss_buf out = { .max = 1u << 26 };

static void emit(void) {
    if (!out.failed) js_emit(out.data, (int)out.len);
}

static goss_buf *begin(const char *kind) {
    goss_buf_clear(&out);
    goss_buf_printf(&out, "{\"kind\":\"%s\"", kind);
    return &out;
}

static void end(void) {
    goss_buf_str(&out, "}");
    emit();
}

static void put_text(const char *key, const char *s, size_t n) {
    goss_buf_printf(&out, ",\"%s\":", key);
    goss_buf_json_string(&out, s, n);
}

static void put_cstr(const char *key, const char *s) { put_text(key, s ? s : "", s ? strlen(s) : 0); }

static int failed(int code, const goss_error *err) {
    goss_buf_printf(begin("error"), ",\"code\":%d,\"position\":%lld", code, (long long)err->position);
    put_cstr("name", goss_error_name(code));
    put_cstr("message", err->text[0] ? err->text : goss_error_name(code));
    end();
    return code;
}

/* ---- memory and engine ---------------------------------------------------------------------------------- */
void *goss_wasm_alloc(size_t n) { return goss_mem_alloc(n); }

void goss_wasm_free(void *p) { goss_mem_free(p); }

static void on_telemetry(void *ctx, const char *json, size_t n) {
    (void)ctx;
    js_telemetry(json, (int)n);
}

static int read_source(void *ctx, uint64_t offset, void *dst, size_t n, uint64_t tag) {
    return js_read((int)(uintptr_t)ctx, (double)offset, dst, (int)n, tag);
}

/* ---- prefixes that outlive the page: the request lists those that are there, JavaScript holds their bytes ---- */
static int store_list(void *ctx, void (*entry)(void *, const char *, uint64_t, uint64_t), void *to) {
    const goss_wasm_config *c = ctx;
    for (int i = 0; i < c->n_prefixes; i++)
        entry(to, c->prefixes[i].name, c->prefixes[i].bytes, c->prefixes[i].used);
    return 0;
}

static int store_get(void *ctx, const char *name, uint64_t offset, void *dst, size_t n) {
    (void)ctx;
    return js_store_get(name, (int)strlen(name), (double)offset, dst, (int)n) ? GOSS_EIO : 0;
}

static int store_put(void *ctx, const char *name, const void *bytes, size_t n, int last) {
    (void)ctx;
    return js_store_put(name, (int)strlen(name), bytes, (int)n, last) ? GOSS_EIO : 0;
}

static int store_touch(void *ctx, const char *name) {
    (void)ctx;
    js_store_used(name, (int)strlen(name), 0);
    return 0;
}

static int store_drop(void *ctx, const char *name) {
    (void)ctx;
    js_store_used(name, (int)strlen(name), 1);
    return 0;
}

static void store_say(void *ctx, const char *sentence) {
    (void)ctx;
    begin("notice");
    put_cstr("message", sentence);
    end();
}

static const goss_store store = { &config, store_list, store_get, store_put, store_touch, store_drop, store_say };

int goss_wasm_open(const char *json, int n) {
    goss_error err = { 0 };
    if (engine) return failed(GOSS_ESTATE, &err);
    int rc = goss_wasm_config_read(&config, json, (size_t)n, &err);
    for (int i = 0; i < config.engine.n_sources; i++)
        if (!config.sources[i].map) config.sources[i].read = read_source;
    config.engine.on_telemetry = on_telemetry;
    if (config.engine.prefix_store_bytes) config.engine.prefix_store = &store;
    if (!rc) rc = goss_engine_open(&engine, &config.engine, &err);
    if (!rc) return 0;
    goss_wasm_config_free(&config);
    return failed(rc, &err);
}

void goss_wasm_close(void) {
    goss_engine_close(&engine);
    memset(sessions, 0, sizeof sessions);
    goss_wasm_config_free(&config);
    memset(&config, 0, sizeof config);
}

int goss_wasm_state(void) { return engine ? goss_engine_state(engine) : GOSS_ESTATE; }

void goss_wasm_read_done(uint64_t tag, int status) {
    if (engine) goss_engine_read_done(engine, tag, status);
}

int goss_wasm_watch(int layer, int head) { return engine ? goss_engine_watch(engine, layer, head) : GOSS_ESTATE; }

void goss_wasm_info(void) {
    goss_model_info m;
    goss_engine_info(engine, &m);
    begin("info");
    put_cstr("name", m.name), put_cstr("arch", m.arch), put_cstr("type", m.type), put_cstr("backend", m.backend);
    put_cstr("level", m.level), put_cstr("chat", m.chat);
    goss_buf_printf(
        &out, ",\"n_layer\":%d,\"n_embd\":%d,\"n_head\":%d,\"n_head_kv\":%d,\"head_dim\":%d,\"n_ff\":%d",
        m.n_layer, m.n_embd, m.n_head, m.n_head_kv, m.head_dim, m.n_ff);
    goss_buf_printf(&out,
                    ",\"n_expert\":%d,\"n_expert_used\":%d,\"n_vocab\":%d,\"n_ctx\":%d,\"window\":%d,\"max_"
                    "kv\":%d,\"n_threads\":%d",
                    m.n_expert, m.n_expert_used, m.n_vocab, m.n_ctx, m.window, m.max_kv, m.n_threads);
    goss_buf_printf(&out,
                    ",\"n_params\":%lld,\"file_bytes\":%llu,\"resident_bytes\":%llu,\"kv_bytes\":%llu,\"step_"
                    "bytes\":%llu",
                    (long long)m.n_params, (unsigned long long)m.file_bytes,
                    (unsigned long long)m.resident_bytes, (unsigned long long)m.kv_bytes,
                    (unsigned long long)m.step_bytes);
    end();
}

void goss_wasm_stats(void) {
    goss_stats s;
    goss_engine_stats(engine, &s);
    goss_buf_printf(begin("stats"),
                    ",\"n_steps\":%llu,\"n_rows\":%llu,\"n_prompt_tokens\":%llu,\"n_reused_tokens\":%llu,\"n_"
                    "generated_tokens\":%llu",
                    (unsigned long long)s.n_steps, (unsigned long long)s.n_rows,
                    (unsigned long long)s.n_prompt_tokens, (unsigned long long)s.n_reused_tokens,
                    (unsigned long long)s.n_generated_tokens);
    goss_buf_printf(&out,
                    ",\"n_stored_tokens\":%llu,\"n_joined_tokens\":%llu,\"n_guarded\":%llu,\"n_schema\":%llu,"
                    "\"kv_bytes_shared\":%llu",
                    (unsigned long long)s.n_stored_tokens, (unsigned long long)s.n_joined_tokens,
                    (unsigned long long)s.n_guarded, (unsigned long long)s.n_schema,
                    (unsigned long long)s.kv_bytes_shared);
    goss_buf_printf(&out,
                    ",\"n_drafted\":%llu,\"n_accepted\":%llu,\"prefill_ms\":%.3f,\"decode_ms\":%.3f,\"kv_"
                    "bytes_used\":%llu,\"gpu_bytes\":%llu",
                    (unsigned long long)s.n_drafted, (unsigned long long)s.n_accepted, s.prefill_ms,
                    s.decode_ms, (unsigned long long)s.kv_bytes_used, (unsigned long long)s.gpu_bytes);
    goss_buf_printf(&out,
                    ",\"expert_hits\":%llu,\"expert_misses\":%llu,\"expert_evictions\":%llu,\"n_sessions\":%"
                    "d,\"n_active\":%d,\"load_progress\":%.4f",
                    (unsigned long long)s.expert_hits, (unsigned long long)s.expert_misses,
                    (unsigned long long)s.expert_evictions, s.n_sessions, s.n_active, s.load_progress);
    end();
}

/* ---- text ---------------------------------------------------------------------------------------------- */
typedef struct ids { int32_t *v; int n; } ids;

static int tokenize(const char *text, size_t n, unsigned flags, ids *to) {
    int cap = (int)n + 16;
    to->v = goss_mem_array((size_t)cap, sizeof *to->v);
    to->n = to->v ? goss_tokenize(engine, text, n, flags, to->v, cap) : GOSS_ENOMEM;
    return to->n < 0 ? to->n : 0;
}

/* Renders twice when the first guess of the length was too small. */
static int render(const char *json, size_t n, ids *to, goss_error *err) {
    for (int cap = (int)n + 4096, tries = 0; tries < 2; tries++) {
        goss_mem_free(to->v);
        to->v = goss_mem_array((size_t)cap, sizeof *to->v);
        if (!to->v) return GOSS_ENOMEM;
        to->n = goss_chat_render(engine, json, n, to->v, cap, err);
        if (to->n <= cap) break;
        cap = to->n;
    }
    return to->n < 0 ? to->n : 0;
}

static void emit_tokens(const ids *t) {
    goss_buf_str(begin("tokens"), ",\"ids\":[");
    for (int i = 0; i < t->n; i++) goss_buf_printf(&out, i ? ",%d" : "%d", t->v[i]);
    goss_buf_str(&out, "]");
    end();
}

int goss_wasm_tokenize(const char *text, int n, int flags) {
    goss_error err = { 0 };
    ids t = { 0 };
    int rc = tokenize(text, (size_t)n, (unsigned)flags, &t);
    if (rc) failed(rc, &err);
    else emit_tokens(&t);
    goss_mem_free(t.v);
    return rc;
}

int goss_wasm_render(const char *json, int n) {
    goss_error err = { 0 };
    ids t = { 0 };
    int rc = render(json, (size_t)n, &t, &err);
    if (rc) failed(rc, &err);
    else emit_tokens(&t);
    goss_mem_free(t.v);
    return rc;
}

static void put_token_text(const int32_t *tokens, int n) {
    char small[256], *text = small;
    int len = goss_detokenize(engine, tokens, n, small, (int)sizeof small);
    if (len > (int)sizeof small && (text = goss_mem_alloc((size_t)len)))
        len = goss_detokenize(engine, tokens, n, text, len);
    put_text("text", text ? text : "", text && len > 0 ? (size_t)len : 0);
    if (text != small) goss_mem_free(text);
}

void goss_wasm_detokenize(const int32_t *tokens, int n) {
    begin("text");
    put_token_text(tokens, n);
    end();
}

/* ---- sessions ------------------------------------------------------------------------------------------ */
int goss_wasm_session_open(void) {
    goss_error err = { 0 };
    int i = 0;
    while (i < MAX_SESSIONS && sessions[i]) i++;
    int rc = !engine ? GOSS_ESTATE : i == MAX_SESSIONS ? GOSS_ELIMIT : goss_session_open(engine, &sessions[i], &err);
    return rc ? failed(rc, &err) : i;
}

static goss_session *session(int i) { return i >= 0 && i < MAX_SESSIONS ? sessions[i] : NULL; }

void goss_wasm_session_close(int i) {
    if (session(i)) goss_session_close(&sessions[i]);
}

void goss_wasm_session_cancel(int i) {
    if (session(i)) goss_session_cancel(sessions[i]);
}

int goss_wasm_session_prompt(int i, const char *json, int n) {
    goss_error err = { 0 };
    goss_wasm_request r;
    ids t = { 0 };
    int rc = session(i) ? goss_wasm_request_read(&r, json, (size_t)n, &err) : GOSS_ESTATE;
    if (!session(i)) return failed(rc, &err);
    if (!rc)
        rc = r.raw ? tokenize((const char *)r.prompt.data, r.prompt.len, r.tokenize_flags, &t)
                   : render(json, (size_t)n, &t, &err);
    if (!rc) rc = goss_session_prompt(sessions[i], t.v, t.n, &r.params, &err);
    goss_mem_free(t.v);
    goss_wasm_request_free(&r);
    return rc ? failed(rc, &err) : 0;
}

static void put_top(const goss_event *e) {
    goss_buf_str(&out, ",\"top\":[");
    for (int i = 0; i < e->n_top; i++) {
        goss_buf_printf(&out, "%s{\"token\":%d,\"logprob\":%.5g", i ? "," : "", e->top[i].token,
                        (double)e->top[i].logprob);
        put_token_text(&e->top[i].token, 1);
        goss_buf_str(&out, "}");
    }
    goss_buf_str(&out, "]");
}

static const char *stop_name(int stop) {
    static const char *const names[] = { "none", "eos", "text", "length", "call", "canceled", "error" };
    return stop >= 0 && stop < (int)(sizeof names / sizeof *names) ? names[stop] : "none";
}

static void emit_event(int i, const goss_event *e) {
    goss_buf_printf(begin(e->kind == GOSS_EVENT_TOKEN     ? "token"
                          : e->kind == GOSS_EVENT_PREFILL ? "prefill"
                                                          : "done"),
                    ",\"session\":%d", i);
    if (e->kind == GOSS_EVENT_PREFILL)
        goss_buf_printf(&out, ",\"done\":%d,\"total\":%d,\"reused\":%d", e->n_done, e->n_total, e->n_reused);
    else put_text("text", e->text ? e->text : "", e->text ? (size_t)e->n_text : 0);
    if (e->kind == GOSS_EVENT_TOKEN) {
        goss_buf_printf(&out,
                        ",\"token\":%d,\"position\":%d,\"message\":%d,\"logprob\":%.6g,\"entropy\":%.5g",
                        e->token, e->position, e->message, (double)e->logprob, (double)e->entropy);
        if (e->n_top) put_top(e);
    }
    if (e->kind != GOSS_EVENT_PREFILL) put_cstr("channel", e->channel), put_cstr("recipient", e->recipient);
    if (e->kind == GOSS_EVENT_DONE) {
        put_cstr("stop", stop_name(e->stop));
        goss_buf_printf(
            &out, ",\"n_prompt\":%d,\"n_generated\":%d,\"prefill_ms\":%.3f,\"decode_ms\":%.3f,\"message\":%d",
            e->n_prompt, e->n_generated, e->prefill_ms, e->decode_ms, e->message);
        if (e->stop == GOSS_STOP_ERROR) put_cstr("error", e->error.text);
    }
    end();
}

int goss_wasm_poll(int timeout_ms) {
    goss_error err = { 0 };
    goss_event e;
    if (!engine) return 0;
    int rc = goss_engine_poll(engine, timeout_ms, &err);
    for (int i = 0; i < MAX_SESSIONS; i++)
        while (sessions[i] && goss_session_event(sessions[i], &e) == 1) emit_event(i, &e);
    return rc < 0 ? failed(rc, &err) : rc;
}
