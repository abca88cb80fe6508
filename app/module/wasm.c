/* wasm.c - what the module exports to JavaScript: one engine and its sessions behind numbers and JSON.
 *
 * JavaScript writes requests into memory from goss_wasm_alloc and calls; answers come through two imports,
 * whose bytes are valid during the call: goss.telemetry (the engine's lines, untouched) and goss.emit
 * (objects with a `kind`):
 *   {kind:"info"|"plan"|"stats"|"tokens"|"text"|"lens"|"parity"|"attention", ...} the answer to the call that
 *                                                runs
 *   {kind:"error", code, name, message, position} before a call returns a negative code
 *   {kind:"token"|"prefill"|"done", session, ...} events, from goss_wasm_poll
 *   {kind:"notice", message}                     something for the log
 *   {kind:"kernels", text}                       what kernels were measured: gpu_kernels of later loads
 * One instance holds one engine; only the thread that opened it calls in (others park in
 * goss_wasm_thread). */
#include "wasm_request.h"
#include "base/error.h"
#include "base/mem.h"
#include "common/figures.h"
#include <math.h>
#include <string.h>

#define EXPORT(name) __attribute__((export_name(#name))) name
#define IMPORT(name) __attribute__((import_module("goss"), import_name(name)))
IMPORT("emit") void js_emit(const void *json, int n);
IMPORT("telemetry") void js_telemetry(const void *json, int n);
IMPORT("store_get") int js_store_get(const char *name, int length, double offset, void *dst, int n);
IMPORT("store_put") int js_store_put(const char *name, int length, const void *bytes, int n, int last);
IMPORT("store_used") void js_store_used(const char *name, int length, int dropped);
IMPORT("read") int js_read(int source, double offset, void *dst, int n, uint64_t tag);
IMPORT("head") int js_head(int source, double offset, void *dst, int n);

/* Results are 0 or a negative GOSS_E code unless said otherwise; session_open returns the session's
 * number. */
void *EXPORT(goss_wasm_alloc)(size_t n);
void EXPORT(goss_wasm_free)(void *p);
int EXPORT(goss_wasm_open)(const char *json, int n);
int EXPORT(goss_wasm_plan)(const char *json, int n);
void EXPORT(goss_wasm_close)(void);
int EXPORT(goss_wasm_state)(void);
void EXPORT(goss_wasm_read_done)(uint64_t tag, int status);
int EXPORT(goss_wasm_watch)(int layer, int head);
void EXPORT(goss_wasm_info)(void);
void EXPORT(goss_wasm_stats)(void);
int EXPORT(goss_wasm_tokenize)(const char *text, int n, int flags);
int EXPORT(goss_wasm_render)(const char *json, int n);
void EXPORT(goss_wasm_detokenize)(const int32_t *tokens, int n);
void EXPORT(goss_wasm_schema)(const char *schema, int n);
int EXPORT(goss_wasm_session_open)(void);
/* A branch: the number of a session that begins with the first n tokens of session i, -1: with all. */
int EXPORT(goss_wasm_session_fork)(int i, int n);
void EXPORT(goss_wasm_session_close)(int i);
void EXPORT(goss_wasm_session_cancel)(int i);
int EXPORT(goss_wasm_session_prompt)(int i, const char *json, int n);
/* What each layer would have said behind the last of these tokens. */
int EXPORT(goss_wasm_lens)(const int32_t *tokens, int n);
/* Each stage for these tokens beside the reference. */
int EXPORT(goss_wasm_parity)(const int32_t *tokens, int n);
/* Where the token at position `row` of what session i holds looks, in all heads of a layer: floats (heads,
 * row + 1) at `at`, valid until the next call. */
int EXPORT(goss_wasm_attention)(int i, int row, int layer);
/* Advances the engine and emits all events; returns goss_engine_poll's result. */
int EXPORT(goss_wasm_poll)(int timeout_ms);
/* goss_rows_take(): how many wait; and them, taken: n, width, and where row, map and n_map are, a word
 * each. */
int EXPORT(goss_wasm_rows)(void);
const goss_rows *EXPORT(goss_wasm_take_rows)(void);

enum { MAX_SESSIONS = 64 };
static goss_engine *engine;
static goss_wasm_config config;      /* the engine keeps the sources' names */
static goss_session *sessions[MAX_SESSIONS];
static goss_buf out = { .max = 1u << 26 };
static float *looked;                /* goss_wasm_attention's */

static void emit(void)
{
    if (!out.failed) js_emit(out.data, (int)out.len);
}

static goss_buf *begin(const char *kind)
{
    goss_buf_clear(&out);
    goss_buf_printf(&out, "{\"kind\":\"%s\"", kind);
    return &out;
}

static void end(void)
{
    goss_buf_str(&out, "}");
    emit();
}

static void put_text(const char *key, const char *s, size_t n)
{
    goss_buf_printf(&out, ",\"%s\":", key);
    goss_buf_json_string(&out, s, n);
}

static void put_cstr(const char *key, const char *s) { put_text(key, s ? s : "", s ? strlen(s) : 0); }

static int failed(int code, const goss_error *err)
{
    goss_buf_printf(begin("error"), ",\"code\":%d,\"position\":%lld", code, (long long)err->position);
    put_cstr("name", goss_error_name(code));
    put_cstr("message", err->text[0] ? err->text : goss_error_name(code));
    end();
    return code;
}

/* ---- memory and engine --------------------------------------------------------------------------------- */
void *goss_wasm_alloc(size_t n) { return goss_mem_alloc(n); }

void goss_wasm_free(void *p) { goss_mem_free(p); }

static void on_telemetry(void *ctx, const char *json, size_t n)
{
    (void)ctx;
    js_telemetry(json, (int)n);
}

static int read_source(void *ctx, uint64_t offset, void *dst, size_t n, uint64_t tag)
{
    return js_read((int)(uintptr_t)ctx, (double)offset, dst, (int)n, tag);
}

/* ---- prefixes that outlive the page: the request lists them, JavaScript holds their bytes ------------- */
static int store_list(void *ctx, void (*entry)(void *, const char *, uint64_t, uint64_t), void *to)
{
    const goss_wasm_config *c = ctx;
    for (int i = 0; i < c->n_prefixes; i++)
        entry(to, c->prefixes[i].name, c->prefixes[i].bytes, c->prefixes[i].used);
    return 0;
}

static int store_get(void *ctx, const char *name, uint64_t offset, void *dst, size_t n)
{
    (void)ctx;
    return js_store_get(name, (int)strlen(name), (double)offset, dst, (int)n) ? GOSS_EIO : 0;
}

static int store_put(void *ctx, const char *name, const void *bytes, size_t n, int last)
{
    (void)ctx;
    return js_store_put(name, (int)strlen(name), bytes, (int)n, last) ? GOSS_EIO : 0;
}

static int store_touch(void *ctx, const char *name)
{
    (void)ctx;
    js_store_used(name, (int)strlen(name), 0);
    return 0;
}

static int store_drop(void *ctx, const char *name)
{
    (void)ctx;
    js_store_used(name, (int)strlen(name), 1);
    return 0;
}

static void store_say(void *ctx, const char *sentence)
{
    (void)ctx;
    begin("notice");
    put_cstr("message", sentence);
    end();
}

static void on_kernels(void *ctx, const char *text, size_t n)
{
    (void)ctx;
    begin("kernels");
    put_text("text", text, n);
    end();
}

static const goss_store store = { &config,     store_list, store_get, store_put,
                                  store_touch, store_drop, store_say, NULL };

int goss_wasm_open(const char *json, int n)
{
    goss_error err = { 0 };
    if (engine) return failed(GOSS_ESTATE, &err);
    int rc = goss_wasm_config_read(&config, json, (size_t)n, &err);
    for (int i = 0; i < config.options.config.n_sources; i++)
        if (!config.sources[i].map) config.sources[i].read = read_source;
    config.options.config.on_telemetry = on_telemetry;
    if (config.options.gpu_measures) config.options.config.on_kernels = on_kernels;
    if (config.options.config.prefix_store_bytes) config.options.config.prefix_store = &store;
    if (!rc) rc = goss_engine_open(&engine, &config.options.config, &err);
    if (!rc) return 0;
    goss_wasm_config_free(&config);
    return failed(rc, &err);
}

/* Bytes of a header that are at hand. */
static int read_head(void *ctx, uint64_t offset, void *dst, size_t n, uint64_t tag)
{
    (void)tag;
    return js_head((int)(uintptr_t)ctx, (double)offset, dst, (int)n) ? GOSS_EIO : 1;
}

/* What opening would use, of the request that goss_wasm_open takes. GOSS_EIO after js_head had not enough:
 * the same again when there is more. */
int goss_wasm_plan(const char *json, int n)
{
    goss_wasm_config *c = goss_mem_alloc(sizeof *c);
    goss_model_info m = { 0 };
    goss_plan_info p;
    goss_error err = { 0 };
    if (!c) return failed(GOSS_ENOMEM, &err);
    int rc = goss_wasm_config_read(c, json, (size_t)n, &err);
    for (int i = 0; i < c->options.config.n_sources; i++) c->sources[i].read = read_head;
    if (!rc) rc = goss_plan(&c->options.config, &m, &p, &err);
    goss_wasm_config_free(c);
    goss_mem_free(c);
    if (rc) return failed(rc, &err);
    goss_figures_json(begin("plan"), goss_info_list, &m, 0);
    goss_buf_printf(&out, ",\"fits\":%s,\"memory\":%llu", p.fits ? "true" : "false",
                    (unsigned long long)p.memory_available);
    put_cstr("text", p.text);
    end();
    return 0;
}

void goss_wasm_close(void)
{
    goss_engine_close(&engine);
    memset(sessions, 0, sizeof sessions);
    goss_mem_free(looked);
    looked = NULL;
    goss_wasm_config_free(&config);
    memset(&config, 0, sizeof config);
}

int goss_wasm_state(void) { return engine ? goss_engine_state(engine) : GOSS_ESTATE; }

void goss_wasm_read_done(uint64_t tag, int status)
{
    if (engine) goss_engine_read_done(engine, tag, status);
}

int goss_wasm_watch(int layer, int head)
{
    return engine ? goss_engine_watch(engine, layer, head) : GOSS_ESTATE;
}

int goss_wasm_rows(void) { return engine ? goss_rows_take(engine, NULL) : 0; }

const goss_rows *goss_wasm_take_rows(void)
{
    static goss_rows rows;
    goss_rows_take(engine, &rows);
    return &rows;
}

void goss_wasm_info(void)
{
    goss_model_info m;
    goss_engine_info(engine, &m);
    goss_figures_json(begin("info"), goss_info_list, &m, 0);
    end();
}

void goss_wasm_stats(void)
{
    goss_stats s;
    goss_engine_stats(engine, &s);
    goss_figures_json(begin("stats"), goss_stats_list, &s, 0);
    end();
}

/* ---- text ---------------------------------------------------------------------------------------------- */
typedef struct ids { int32_t *v; int n; } ids;

static int tokenize(const char *text, size_t n, unsigned flags, ids *to)
{
    int cap = (int)n + 16;
    to->v = goss_mem_array((size_t)cap, sizeof *to->v);
    to->n = to->v ? goss_tokenize(engine, text, n, flags, to->v, cap) : GOSS_ENOMEM;
    return to->n < 0 ? to->n : 0;
}

/* Renders twice when the first guess of the length was too small. */
static int render(const char *json, size_t n, ids *to, goss_error *err)
{
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

static void emit_tokens(const ids *t)
{
    goss_buf_str(begin("tokens"), ",\"ids\":[");
    for (int i = 0; i < t->n; i++) goss_buf_printf(&out, i ? ",%d" : "%d", t->v[i]);
    goss_buf_str(&out, "]");
    end();
}

/* A schema that can't be held to is an answer, not an error. */
void goss_wasm_schema(const char *schema, int n)
{
    goss_error err = { 0 };
    goss_schema_report r = { 0 };
    const int rc = goss_schema_check(engine, schema, (size_t)n, &r, &err);
    goss_buf_printf(begin("schema"), ",\"held\":%s,\"reason\":", rc ? "false" : "true");
    goss_buf_json_string(&out, err.text, rc ? strlen(err.text) : 0);
    goss_buf_printf(&out, ",\"compileMs\":%.3f,\"firstMaskMs\":%.3f", r.compile_ms, r.first_mask_ms);
    goss_buf_printf(&out, ",\"bytes\":%llu,\"states\":%d,\"texts\":[", (unsigned long long)r.graph_bytes,
                    r.n_states);
    for (int i = 0; i < r.n_texts; i++) {
        if (i) goss_buf_str(&out, ",");
        goss_buf_json_string(&out, r.text[i], strlen(r.text[i]));
    }
    goss_buf_str(&out, "]");
    end();
}

int goss_wasm_tokenize(const char *text, int n, int flags)
{
    goss_error err = { 0 };
    ids t = { 0 };
    int rc = tokenize(text, (size_t)n, (unsigned)flags, &t);
    if (rc) failed(rc, &err);
    else emit_tokens(&t);
    goss_mem_free(t.v);
    return rc;
}

static int copy(const int32_t *tokens, int n, ids *to)
{
    to->v = goss_mem_array((size_t)n, sizeof *to->v);
    if (!to->v) return GOSS_ENOMEM;
    memcpy(to->v, tokens, (size_t)n * sizeof *tokens);
    to->n = n;
    return 0;
}

/* A request's tokens: its own, those of its prompt where it is a text, else of its conversation. */
static int prompt_of(const goss_wasm_request *r, const char *json, size_t n, ids *t, goss_error *err)
{
    if (r->tokens.len)
        return copy((const int32_t *)(const void *)r->tokens.data, (int)(r->tokens.len / sizeof(int32_t)), t);
    return r->raw ? tokenize((const char *)r->prompt.data, r->prompt.len, r->tokenize_flags, t)
                  : render(json, n, t, err);
}

int goss_wasm_render(const char *json, int n)
{
    goss_error err = { 0 };
    goss_wasm_request r;
    ids t = { 0 };
    int rc = goss_wasm_request_read(&r, json, (size_t)n, &err);
    if (!rc) rc = prompt_of(&r, json, (size_t)n, &t, &err);
    goss_wasm_request_free(&r);
    if (rc) failed(rc, &err);
    else emit_tokens(&t);
    goss_mem_free(t.v);
    return rc;
}

static void put_token_text(const int32_t *tokens, int n)
{
    char small[256], *text = small;
    int len = goss_detokenize(engine, tokens, n, small, (int)sizeof small);
    if (len > (int)sizeof small && (text = goss_mem_alloc((size_t)len)))
        len = goss_detokenize(engine, tokens, n, text, len);
    put_text("text", text ? text : "", text && len > 0 ? (size_t)len : 0);
    if (text != small) goss_mem_free(text);
}

void goss_wasm_detokenize(const int32_t *tokens, int n)
{
    begin("text");
    put_token_text(tokens, n);
    end();
}

/* ---- sessions ------------------------------------------------------------------------------------------ */
static goss_session *session(int i) { return i >= 0 && i < MAX_SESSIONS ? sessions[i] : NULL; }

static int free_number(void)
{
    int i = 0;
    while (i < MAX_SESSIONS && sessions[i]) i++;
    return i;
}

int goss_wasm_session_open(void)
{
    goss_error err = { 0 };
    const int i = free_number();
    int rc = !engine             ? GOSS_ESTATE
             : i == MAX_SESSIONS ? GOSS_ELIMIT
                                 : goss_session_open(engine, &sessions[i], &err);
    return rc ? failed(rc, &err) : i;
}

int goss_wasm_session_fork(int i, int n)
{
    goss_error err = { 0 };
    const int to = free_number();
    int rc = !session(i)          ? GOSS_ESTATE
             : to == MAX_SESSIONS ? GOSS_ELIMIT
                                  : goss_session_fork(sessions[i], n, &sessions[to], &err);
    return rc < 0 ? failed(rc, &err) : to;
}

void goss_wasm_session_close(int i)
{
    if (session(i)) goss_session_close(&sessions[i]);
}

void goss_wasm_session_cancel(int i)
{
    if (session(i)) goss_session_cancel(sessions[i]);
}

int goss_wasm_session_prompt(int i, const char *json, int n)
{
    goss_error err = { 0 };
    goss_wasm_request r;
    ids t = { 0 };
    int rc = session(i) ? goss_wasm_request_read(&r, json, (size_t)n, &err) : GOSS_ESTATE;
    if (!session(i)) return failed(rc, &err);
    if (!rc) rc = prompt_of(&r, json, (size_t)n, &t, &err);
    if (!rc) rc = goss_session_prompt(sessions[i], t.v, t.n, &r.params, &err);
    goss_mem_free(t.v);
    goss_wasm_request_free(&r);
    return rc ? failed(rc, &err) : 0;
}

/* Alternatives, with so many digits of each log probability. */
static void put_top(const goss_prob *top, int n, int digits)
{
    goss_buf_str(&out, ",\"top\":[");
    for (int i = 0; i < n; i++) {
        goss_buf_printf(&out, "%s{\"token\":%d,\"logprob\":%.*g", i ? "," : "", top[i].token, digits,
                        (double)top[i].logprob);
        put_token_text(&top[i].token, 1);
        goss_buf_str(&out, "}");
    }
    goss_buf_str(&out, "]");
}

static const char *stop_name(int stop)
{
    static const char *const names[] = { "none", "eos", "text", "length", "call", "canceled", "error" };
    return stop >= 0 && stop < (int)(sizeof names / sizeof *names) ? names[stop] : "none";
}

static void emit_event(int i, const goss_event *e)
{
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
        if (e->n_top) put_top(e->top, e->n_top, 5);
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

int goss_wasm_poll(int timeout_ms)
{
    goss_error err = { 0 };
    goss_event e;
    if (!engine) return 0;
    int rc = goss_engine_poll(engine, timeout_ms, &err);
    for (int i = 0; i < MAX_SESSIONS; i++)
        while (sessions[i] && goss_session_event(sessions[i], &e) == 1) emit_event(i, &e);
    return rc < 0 ? failed(rc, &err) : rc;
}

/* ---- looking inside ------------------------------------------------------------------------------------ */
/* What blocks can't wait for a GPU here: its results come when JavaScript gets its turn. */
static int may_look(goss_error *err)
{
    goss_model_info m;
    if (!engine) return goss_fail(err, GOSS_ESTATE, -1, "no model is loaded");
    goss_engine_info(engine, &m);
    return strcmp(m.backend, "gpu") != 0
               ? 0
               : goss_fail(err, GOSS_EUNSUPPORTED, -1,
                           "in a browser the lens and other heads are computed on the CPU only: load the "
                           "model with backend=cpu, or use gossamer probe");
}

static void put_lens_row(const goss_lens_row *r, int first)
{
    goss_buf_printf(&out, "%s{\"layer\":%d,\"kl\":%.6g,\"entropy\":%.6g", first ? "" : ",",
                    r->layer, (double)r->kl, (double)r->entropy);
    put_top(r->top, r->n_top, 6);
    goss_buf_str(&out, "}");
}

int goss_wasm_lens(const int32_t *tokens, int n)
{
    goss_error err = { 0 };
    goss_model_info m;
    goss_lens_row *rows = NULL;
    int rc = may_look(&err);
    if (rc) return failed(rc, &err);
    goss_engine_info(engine, &m);
    rows = goss_mem_array((size_t)m.n_layer + 1, sizeof *rows);
    rc = rows ? goss_lens(engine, tokens, n, rows, m.n_layer + 1, &err) : GOSS_ENOMEM;
    if (rc >= 0) {
        goss_buf_str(begin("lens"), ",\"rows\":[");
        for (int i = 0; i < rc; i++) put_lens_row(&rows[i], !i);
        goss_buf_str(&out, "]");
        end();
    }
    goss_mem_free(rows);
    return rc < 0 ? failed(rc, &err) : 0;
}

static void put_parity_row(void *ctx, const goss_parity_row *r)
{
    int *n = ctx;
    goss_buf_printf(&out, "%s{\"stage\":\"%s\",\"layer\":%d,\"rms\":%.6g,\"max\":%.6g,\"mean\":%.6g}",
                    (*n)++ ? "," : "", r->stage, r->layer, r->rms, isfinite(r->max) ? r->max : 1e300,
                    isfinite(r->mean) ? r->mean : 1e300);
}

int goss_wasm_parity(const int32_t *tokens, int n)
{
    goss_error err = { 0 };
    int rc = may_look(&err), count = 0;
    if (rc) return failed(rc, &err);
    goss_buf_str(begin("parity"), ",\"rows\":[");
    rc = goss_parity(engine, tokens, n, put_parity_row, &count, &err);
    if (rc) return failed(rc, &err);
    goss_buf_str(&out, "]");
    end();
    return 0;
}

int goss_wasm_attention(int i, int row, int layer)
{
    goss_error err = { 0 };
    goss_model_info m;
    ids held = { 0 };
    int rc = may_look(&err), n = session(i) ? goss_session_tokens(sessions[i], NULL, 0) : 0;
    if (!rc && (row < 0 || row >= n))
        rc = goss_fail(&err, GOSS_EINVAL, -1, "position %d: the session holds %d", row, n);
    if (rc) return failed(rc, &err);
    goss_engine_info(engine, &m);
    goss_mem_free(looked);
    looked = goss_mem_array((size_t)m.n_head, ((size_t)row + 1) * sizeof *looked);
    held.v = goss_mem_array((size_t)n, sizeof *held.v);
    rc = looked && held.v ? 0 : GOSS_ENOMEM;
    if (!rc) goss_session_tokens(sessions[i], held.v, n);
    if (!rc) rc = goss_attention(engine, held.v, row + 1, layer, GOSS_HEADS_EACH, looked, &err);
    goss_mem_free(held.v);
    if (rc) return failed(rc, &err);
    goss_buf_printf(begin("attention"), ",\"row\":%d,\"layer\":%d,\"heads\":%d,\"at\":%u", row, layer,
                    m.n_head, (unsigned)(uintptr_t)looked);
    end();
    return 0;
}
