/* api.c - the calls that block, all of them loops over goss_engine_poll: load, generate, complete, evaluate,
 * trace, list. */
#include "../base/fmt.h"
#include "../base/mem.h"
#include "engine.h"
#include <string.h>

goss_params goss_params_default(void)
{
    return (goss_params){ .temperature = 1, .top_p = 1, .repeat_penalty = 1 };
}

int goss_load(goss_engine **out, const char *path, goss_error *err)
{
    const goss_engine_config config = { .model_path = path };
    int rc = goss_engine_open(out, &config, err);
    while (!rc && goss_engine_state(*out) == GOSS_ENGINE_LOADING) {
        rc = goss_engine_poll(*out, 100, err);
        if (rc > 0) rc = 0;
    }
    if (rc) goss_engine_close(out);
    return rc;
}

/* ---- generating ------------------------------------------------------------------------------------------ */
/* The prompt's tokens: a chat request rendered, or plain text with the tokens that the model begins with. */
static int encode_prompt(const goss_engine *e, const char *prompt, int chat, goss_buf *ids, goss_error *err)
{
    const size_t n = strlen(prompt);
    if (!chat) {
        const int rc = goss_vocab_encode(
            e->vocab, prompt, n,
            GOSS_TOKENIZE_SPECIAL | (goss_vocab_adds_bos(e->vocab) ? GOSS_TOKENIZE_BOS : 0), ids);
        return rc ? goss_fail(err, rc, -1, "the prompt can't be encoded") : 0;
    }
    goss_json j = { 0 };
    int rc = goss_json_parse(&j, prompt, n, NULL, err);
    if (!rc) rc = goss_chat_encode(e->vocab, e->format, &j, 0, ids, err);
    goss_json_free(&j);
    return rc;
}

/* Polls until the session is done. on_token is called for every event; non-zero cancels. */
static int run_session(goss_engine *e, goss_session *s, goss_token_fn on_token, void *ctx, goss_error *err)
{
    for (;;) {
        goss_event ev;
        while (goss_session_event(s, &ev)) {
            if (on_token && on_token(ctx, &ev)) goss_session_cancel(s);
            if (ev.kind != GOSS_EVENT_DONE) continue;
            if (ev.stop != GOSS_STOP_ERROR) return 0;
            if (err) *err = ev.error;
            return ev.error.code ? ev.error.code : GOSS_EIO;
        }
        const int rc = goss_engine_poll(e, 100, err);
        if (rc < 0) return rc;
    }
}

int goss_generate(goss_engine *e, const char *prompt, const goss_params *params, goss_token_fn on_token,
                  goss_telemetry_fn on_telemetry, void *ctx, goss_error *err)
{
    if (e->state != GOSS_ENGINE_READY) return goss_fail(err, GOSS_ESTATE, -1, "the model is not loaded");
    goss_buf ids = GOSS_BUF((size_t)1 << 28);
    goss_session *s = NULL;
    int rc = encode_prompt(e, prompt, params && params->chat, &ids, err);
    if (!rc) rc = goss_session_open(e, &s, err);
    e->on_line = on_telemetry;
    e->on_line_ctx = ctx;
    if (!rc)
        rc = goss_session_prompt(s, (const int32_t *)(const void *)ids.data, (int)(ids.len / sizeof(int32_t)),
                                 params, err);
    if (!rc) rc = run_session(e, s, on_token, ctx, err);
    e->on_line = NULL;
    goss_session_close(&s);
    goss_buf_free(&ids);
    return rc;
}

/* ---- text only ------------------------------------------------------------------------------------------- */
typedef struct completion {
    int (*on_text)(void *ctx, const char *text, int n);
    void *ctx;
    char *out;
    int cap;
    int64_t n;
} completion;

static int complete_event(void *ctx, const goss_event *ev)
{
    completion *c = ctx;
    if (ev->kind == GOSS_EVENT_PREFILL || !ev->n_text) return 0;
    if (ev->channel[0] && (strcmp(ev->channel, "final") != 0 || ev->recipient[0])) return 0;
    if (c->on_text) return c->on_text(c->ctx, ev->text, ev->n_text);
    for (int i = 0; i < ev->n_text; i++, c->n++)
        if (c->n + 1 < c->cap) c->out[c->n] = ev->text[i];
    return 0;
}

int goss_complete(goss_engine *e, const char *prompt, const goss_params *params, char *out, int cap, goss_error *err)
{
    completion c = { .out = out, .cap = cap };
    const int rc = goss_generate(e, prompt, params, complete_event, NULL, &c, err);
    if (cap > 0) out[rc || c.n < cap ? (rc ? 0 : c.n) : cap - 1] = 0;
    return rc ? rc : (int)c.n;
}

int goss_complete_stream(goss_engine *e, const char *prompt, const goss_params *params,
                         int (*on_text)(void *ctx, const char *text, int n), void *ctx, goss_error *err)
{
    completion c = { .on_text = on_text, .ctx = ctx };
    return goss_generate(e, prompt, params, complete_event, NULL, &c, err);
}

/* ---- evaluation ------------------------------------------------------------------------------------------ */
typedef struct tracer { goss_trace_fn fn; void *ctx; } tracer;

static void trace_tap(void *ctx, goss_stage stage, int layer, const float *values, int n_rows, int width)
{
    const tracer *t = ctx;
    t->fn(t->ctx, goss_stage_name(stage), stage == GOSS_STAGE_EMBED || stage == GOSS_STAGE_HEAD ? -1 : layer,
          values, n_rows, width);
}

/* One chunk [at, at + n) of the tokens; logits of its rows from `first` on go to out. */
static int eval_chunk(goss_engine *e, const int32_t *ids, int at, int n, int first, float *out, goss_error *err)
{
    goss_flight *f = &e->flight[0];
    int rc = goss_steps_extend(e, &e->scratch, at + n);
    if (rc) return goss_fail(err, rc, at, "no room in the KV cache for %d positions", at + n);
    for (int i = 0; i < n; i++)
        f->rows[i] =
            (goss_row){ .token = ids[at + i], .pos = at + i, .want = i >= first ? GOSS_ROW_LOGITS : 0 };
    f->seqs[0] = (goss_seq){ .kv = &e->scratch, .slot = e->max_sessions, .tokens = ids };
    f->step = (goss_step){ .rows = f->rows, .n_rows = n, .seqs = f->seqs, .n_seqs = 1 };
    rc = goss_forward(e->backend, &f->step, err);
    if (rc) return rc;
    while ((rc = e->backend->vt->poll(e->backend, &f->step, 1000, f->picks, err)) == GOSS_EAGAIN) { }
    const size_t n_vocab = (size_t)e->model.hp.n_vocab;
    for (int i = first; i < n && !rc; i++)
        rc = e->backend->vt->logits(e->backend, &f->step, i, out + (size_t)(i - first) * n_vocab);
    e->backend->vt->release(e->backend, &f->step);
    return rc < 0 && err && !err->code ? goss_fail(err, rc, -1, "the logits can't be read") : rc;
}

static int evaluate(goss_engine *e, const int32_t *ids, int n, int chunk, int all, float *logits, goss_error *err)
{
    if (e->state != GOSS_ENGINE_READY) return goss_fail(err, GOSS_ESTATE, -1, "the model is not loaded");
    if (n < 1 || n > e->max_kv)
        return goss_fail(err, GOSS_EINVAL, -1, "%d tokens: 1 to %d can be evaluated", n, e->max_kv);
    for (int i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= e->model.hp.n_vocab)
            return goss_fail(err, GOSS_EINVAL, i, "token %d is outside the vocabulary", ids[i]);
    if (chunk < 1 || chunk > e->max_rows) chunk = e->max_rows;
    if (err) *err = (goss_error){ .position = -1 };
    goss_steps_drain(e);
    goss_kv_clear(&e->scratch);
    goss_observe_reset(e);
    int rc = 0;
    for (int at = 0; at < n && !rc; at += chunk) {
        const int rows = n - at < chunk ? n - at : chunk, last = at + rows == n;
        const int first = all ? 0 : last ? rows - 1 : rows;
        rc = eval_chunk(e, ids, at, rows, first, all ? logits + (size_t)at * (size_t)e->model.hp.n_vocab : logits, err);
    }
    goss_kv_clear(&e->scratch);
    return rc;
}

int goss_eval(goss_engine *e, const int32_t *ids, int n, int chunk, int all, float *logits, goss_error *err)
{
    return evaluate(e, ids, n, chunk, all, logits, err);
}

int goss_trace(goss_engine *e, const int32_t *ids, int n, int chunk, goss_trace_fn fn, void *ctx, goss_error *err)
{
    if (e->state != GOSS_ENGINE_READY) return goss_fail(err, GOSS_ESTATE, -1, "the model is not loaded");
    float *logits = goss_mem_array((size_t)e->model.hp.n_vocab, sizeof *logits);
    if (!logits) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for logits");
    tracer t = { fn, ctx };
    e->backend->vt->tap(e->backend, trace_tap, &t);
    const int rc = evaluate(e, ids, n, chunk, 0, logits, err);
    e->backend->vt->tap(e->backend, NULL, NULL);
    goss_observe_attach(e);
    goss_mem_free(logits);
    return rc;
}

/* ---- listing --------------------------------------------------------------------------------------------- */
typedef struct lister {
    const char *folder;
    void (*on_model)(void *ctx, const char *path, const goss_model_info *info);
    void *ctx;
    int n;
} lister;

static int is_model_file(const char *name)
{
    const size_t n = strlen(name);
    if (n < 6 || strcmp(name + n - 5, ".gguf") != 0) return 0;
    return n < 20 || memcmp(name + n - 14, "-of-", 4) != 0 || !memcmp(name + n - 19, "00001", 5);
}

static void list_one(void *ctx, const char *name)
{
    lister *l = ctx;
    char path[1024];
    if (!is_model_file(name) || strlen(l->folder) + strlen(name) + 2 > sizeof path) return;
    goss_fmt(path, sizeof path, "%s/%s", l->folder, name);
    const goss_engine_config config = { .model_path = path };
    goss_model_info info;
    if (goss_plan(&config, &info, NULL, NULL)) return;
    l->on_model(l->ctx, path, &info);
    l->n++;
}

int goss_list(const char *folder, void (*on_model)(void *ctx, const char *path, const goss_model_info *info),
              void *ctx, goss_error *err)
{
    lister l = { .folder = folder, .on_model = on_model, .ctx = ctx };
    const int rc = goss_os_list(folder, list_one, &l, err);
    return rc ? rc : l.n;
}
