/* api.c - the calls that block, all of them loops over goss_engine_poll: load, generate, complete, evaluate,
 * trace, embed, list. */
#include "base/error.h"
#include "base/fmt.h"
#include "base/mem.h"
#include "base/os.h"
#include "engine_state.h"
#include "scheduler.h"
#include "trace_last.h"
#include <math.h>
#include <string.h>

int goss_load(goss_engine **out, const char *path, goss_error *err)
{
    if (out) *out = NULL;
    if (!out || !path) return goss_fail(err, GOSS_EINVAL, -1, "there is no path, or no place for the engine");
    const goss_engine_config config = { .model_path = path };
    int rc = goss_engine_open(out, &config, err);
    while (!rc && goss_engine_state(*out) == GOSS_ENGINE_LOADING) {
        rc = goss_engine_poll(*out, 100, err);
        if (rc > 0) rc = 0;
    }
    if (rc) goss_engine_close(out);
    return rc;
}

/* ---- generating ---------------------------------------------------------------------------------------- */
/* The prompt's tokens: plain text with the tokens that the model begins with, or a chat request rendered;
 * what this says that parameters have words for goes into them. */
static int encode_prompt(const goss_engine *e, const char *prompt, goss_params *p, goss_buf *ids,
                         goss_error *err)
{
    const goss_vocab *v = e->loaded.vocab;
    const size_t n = strlen(prompt);
    if (!p->chat) {
        const int bos = goss_vocab_adds_bos(v) ? GOSS_TOKENIZE_BOS : 0,
                  rc = goss_vocab_encode(v, prompt, n, GOSS_TOKENIZE_SPECIAL | bos, ids);
        return rc ? goss_fail(err, rc, -1, "the prompt can't be encoded") : 0;
    }
    goss_chat_asks asks = { 0 };
    const int rc = goss_chat_encode_json(v, e->loaded.format, prompt, n, ids, &asks, err);
    p->builtin |= asks.builtin;
    p->must_call |= asks.must_call;
    p->one_call |= asks.one_call;
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
    if (!e || !prompt) return goss_fail(err, GOSS_EINVAL, -1, "there is no engine, or no prompt");
    if (e->state != GOSS_ENGINE_READY) return goss_fail(err, GOSS_ESTATE, -1, "the model is not loaded");
    goss_buf ids = GOSS_BUF((size_t)1 << 28);
    goss_session *s = NULL;
    goss_params own = params ? *params : goss_params_default();
    int rc = encode_prompt(e, prompt, &own, &ids, err);
    if (!rc) rc = goss_session_open(e, &s, err);
    e->telemetry.call_fn = on_telemetry;
    e->telemetry.call_ctx = ctx;
    if (!rc && own.chat) goss_session_request(s, prompt, strlen(prompt));
    if (!rc)
        rc = goss_session_prompt(s, (const int32_t *)(const void *)ids.data, (int)(ids.len / sizeof(int32_t)),
                                 &own, err);
    if (!rc) rc = run_session(e, s, on_token, ctx, err);
    e->telemetry.call_fn = NULL;
    goss_session_close(&s);
    goss_buf_free(&ids);
    return rc;
}

/* ---- text only ----------------------------------------------------------------------------------------- */
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

int goss_complete(goss_engine *e, const char *prompt, const goss_params *params, char *out, int cap,
                  goss_error *err)
{
    if (cap < 0 || (!out && cap)) return goss_fail(err, GOSS_EINVAL, -1, "there is no room for the answer");
    completion c = { .out = out, .cap = cap };
    const int rc = goss_generate(e, prompt, params, complete_event, NULL, &c, err);
    if (cap > 0) out[rc || c.n < cap ? (rc ? 0 : c.n) : cap - 1] = 0;
    return rc ? rc : (int)c.n;
}

int goss_complete_stream(goss_engine *e, const char *prompt, const goss_params *params,
                         int (*on_text)(void *ctx, const char *text, int n), void *ctx, goss_error *err)
{
    if (!on_text) return goss_fail(err, GOSS_EINVAL, -1, "nobody takes the text");
    completion c = { .on_text = on_text, .ctx = ctx };
    return goss_generate(e, prompt, params, complete_event, NULL, &c, err);
}

/* ---- evaluation ---------------------------------------------------------------------------------------- */
typedef struct tracer { goss_trace_fn fn; void *ctx; } tracer;

static void trace_tap(void *ctx, goss_stage stage, int layer, const float *values, int n_rows, int width)
{
    const tracer *t = ctx;
    t->fn(t->ctx, goss_stage_name(stage), stage == GOSS_STAGE_EMBED || stage == GOSS_STAGE_HEAD ? -1 : layer,
          values, n_rows, width);
}

/* The step of rows [at, at + n) of the tokens; logits of its rows from `first` on go to out. */
static int eval_step(goss_engine *e, const int32_t *ids, int at, int n, int many, int first, float *out,
                     goss_error *err)
{
    goss_flight *f = &e->flights.ring[0];
    int rc = goss_prefix_extend(&e->prefixes, &e->scratch, at + n);
    if (rc) return goss_fail(err, rc, at, "no room in the KV cache for %d positions", at + n);
    for (int i = 0; i < n; i++)
        f->rows[i] =
            (goss_row){ .token = ids[at + i], .pos = at + i, .want = i >= first ? GOSS_ROW_LOGITS : 0 };
    f->seqs[0] = (goss_seq){ .kv = &e->scratch, .slot = e->config.max_sessions, .tokens = ids };
    f->step = (goss_step){ .rows = f->rows, .n_rows = n, .seqs = f->seqs, .n_seqs = 1, .many = many };
    rc = goss_forward(e->loaded.backend, &f->step, err);
    if (rc) return rc;
    while ((rc = e->loaded.backend->vt->poll(e->loaded.backend, &f->step, 1000, f->picks, err)) ==
           GOSS_EAGAIN) {}
    const size_t n_vocab = (size_t)e->loaded.model.hp.n_vocab;
    for (int i = first; i < n && !rc; i++)
        rc = e->loaded.backend->vt->logits(e->loaded.backend, &f->step, i,
                                           out + (size_t)(i - first) * n_vocab);
    e->loaded.backend->vt->release(e->loaded.backend, &f->step);
    return rc < 0 && err && !err->code ? goss_fail(err, rc, -1, "the logits can't be read") : rc;
}

/* One chunk [at, at + n) of the tokens: a step, or several beside a paused one, by the same kernels. */
static int eval_chunk(goss_engine *e, const int32_t *ids, int at, int n, int first, float *out,
                      goss_error *err)
{
    const size_t n_vocab = (size_t)e->loaded.model.hp.n_vocab;
    const int most = e->flights.is_paused && n > GOSS_BESIDE_ROWS ? GOSS_BESIDE_ROWS : n;
    int rc = 0;
    for (int i = 0; i < n && !rc; i += most) {
        const int rows = n - i < most ? n - i : most, before = i < first ? i : first, skip = first - before;
        rc = eval_step(e, ids, at + i, rows, most < n, skip, out + (size_t)(i - before) * n_vocab,
                       err);
    }
    return rc;
}

/* The scratch KV begins with what there is of the tokens before the last. */
static int take_prefix(goss_engine *e, const int32_t *ids, int n)
{
    goss_sequence q = { .kv = e->scratch };
    int n_stored;
    goss_prefix_reuse(&e->prefixes, &q, ids, n - 1, &n_stored);
    e->scratch = q.kv;
    return e->scratch.n;
}

/* all: 1: every row's logits, 0: the last one's, -1: none. reuse: what is cached is not computed again. */
static int evaluate(goss_engine *e, const int32_t *ids, int n, int chunk, int all, int reuse, float *logits,
                    goss_error *err)
{
    if (!e || !ids || !logits) return goss_fail(err, GOSS_EINVAL, -1, "no engine, no tokens or no room");
    if (e->state != GOSS_ENGINE_READY) return goss_fail(err, GOSS_ESTATE, -1, "the model is not loaded");
    if (n < 1 || n > e->loaded.max_kv)
        return goss_fail(err, GOSS_EINVAL, -1, "%d tokens: 1 to %d can be evaluated", n, e->loaded.max_kv);
    for (int i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= e->loaded.model.hp.n_vocab)
            return goss_fail(err, GOSS_EINVAL, i, "token %d is outside the vocabulary", ids[i]);
    if (chunk < 1 || chunk > e->loaded.max_rows) chunk = e->loaded.max_rows;
    if (err) *err = (goss_error){ .position = -1 };
    goss_steps_drain(e);
    goss_kv_clear(&e->scratch);
    const double began = goss_os_thread_ms();
    const int before = reuse ? take_prefix(e, ids, n) : 0;
    int rc = 0;
    for (int at = before; at < n && !rc; at += chunk) {
        const int rows = n - at < chunk ? n - at : chunk, last = at + rows == n;
        const int first = all > 0 ? 0 : last && !all ? rows - 1 : rows;
        rc = eval_chunk(e, ids, at, rows, first,
                        all > 0 ? logits + (size_t)at * (size_t)e->loaded.model.hp.n_vocab : logits, err);
    }
    e->model_ms += goss_os_thread_ms() - began;
    if (reuse && !rc && n - before > 1) goss_cache_add(&e->prefixes.cache, &e->scratch, ids, n);
    goss_kv_clear(&e->scratch);
    return rc;
}

int goss_eval(goss_engine *e, const int32_t *ids, int n, int chunk, int all, float *logits, goss_error *err)
{
    if (e) goss_observe_reset(e->observer);
    return evaluate(e, ids, n, chunk, all, 0, logits, err);
}

static int trace(goss_engine *e, const int32_t *ids, int n, int chunk, int reuse, goss_trace_fn fn, void *ctx,
                 goss_error *err)
{
    if (!e || !fn) return goss_fail(err, GOSS_EINVAL, -1, "there is no engine, or nobody takes the trace");
    if (e->state != GOSS_ENGINE_READY) return goss_fail(err, GOSS_ESTATE, -1, "the model is not loaded");
    if (e->loaded.backend->vt->groups)
        return goss_fail(err, GOSS_EUNSUPPORTED, -1, "the stages of a pipeline are in several processes");
    float *logits = goss_mem_array((size_t)e->loaded.model.hp.n_vocab, sizeof *logits);
    if (!logits) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for logits");
    tracer t = { fn, ctx };
    e->loaded.backend->vt->tap(e->loaded.backend, trace_tap, &t);
    const int rc = evaluate(e, ids, n, chunk, 0, reuse, logits, err);
    e->loaded.backend->vt->tap(e->loaded.backend, NULL, NULL);
    goss_observe_attach(e->observer, e->loaded.backend);
    goss_mem_free(logits);
    return rc;
}

int goss_trace(goss_engine *e, const int32_t *ids, int n, int chunk, goss_trace_fn fn, void *ctx,
               goss_error *err)
{
    return trace(e, ids, n, chunk, 0, fn, ctx, err);
}

int goss_trace_last(goss_engine *e, const int32_t *ids, int n, goss_trace_fn fn, void *ctx, goss_error *err)
{
    return trace(e, ids, n, 0, 1, fn, ctx, err);
}

/* ---- embeddings ---------------------------------------------------------------------------------------- */
typedef struct pool { const goss_model *model; const float *gain; int last; double *sum; } pool;

/* The last norm of a row of the residual. */
static void pool_row(pool *p, const float *x, int n)
{
    double squares = 0;
    for (int i = 0; i < n; i++) squares += (double)x[i] * (double)x[i];
    const double scale = 1 / sqrt(squares / n + (double)p->model->hp.rms_eps);
    for (int i = 0; i < n; i++)
        p->sum[i] = (p->last ? 0 : p->sum[i]) + (double)x[i] * scale * (double)p->gain[i];
}

/* The residual that the last layer leaves, or the embeddings where there is no layer. */
static void pool_tap(void *ctx, goss_stage stage, int layer, const float *values, int n_rows, int width)
{
    pool *p = ctx;
    const int ends = stage == GOSS_STAGE_EXPERTS || stage == GOSS_STAGE_FFN, n_layer = p->model->hp.n_layer;
    if (n_layer ? !ends || layer != n_layer - 1 : stage != GOSS_STAGE_EMBED) return;
    for (int i = 0; i < n_rows; i++) pool_row(p, values + (size_t)i * (size_t)width, width);
}

static int embed(goss_engine *e, const int32_t *ids, int n, pool *p, float *gain, float *out, goss_error *err)
{
    const goss_tensor *norm = &p->model->out_norm;
    const int n_embd = p->model->hp.n_embd;
    goss_backend *b = e->loaded.backend;
    if (!norm->data) return goss_fail(err, GOSS_EUNSUPPORTED, -1, "the model's file is not in memory here");
    goss_to_float(norm->type, norm->data, gain, n_embd);
    b->vt->tap(b, pool_tap, p);
    const int rc = evaluate(e, ids, n, 0, -1, 0, out, err);
    b->vt->tap(b, NULL, NULL);
    goss_observe_attach(e->observer, b);
    double squares = 0;
    for (int i = 0; i < n_embd; i++) squares += p->sum[i] * p->sum[i];
    const double scale = squares > 0 ? 1 / sqrt(squares) : 0;
    for (int i = 0; i < n_embd && !rc; i++) out[i] = (float)(p->sum[i] * scale);
    return rc;
}

int goss_embed(goss_engine *e, const int32_t *ids, int n, int pooling, float *out, goss_error *err)
{
    if (!e || !ids || !out || pooling < GOSS_POOL_MEAN || pooling > GOSS_POOL_LAST)
        return goss_fail(err, GOSS_EINVAL, -1, "no engine, no tokens, no room or no such pooling");
    if (e->state != GOSS_ENGINE_READY) return goss_fail(err, GOSS_ESTATE, -1, "the model is not loaded");
    const size_t n_embd = (size_t)e->loaded.model.hp.n_embd;
    double *sum = goss_mem_array(n_embd, sizeof *sum);
    float *gain = goss_mem_array(n_embd, sizeof *gain);
    pool p = { .model = &e->loaded.model, .gain = gain, .last = pooling == GOSS_POOL_LAST, .sum = sum };
    const int rc = sum && gain ? embed(e, ids, n, &p, gain, out, err)
                               : goss_fail(err, GOSS_ENOMEM, -1, "no memory for an embedding");
    goss_mem_free(sum);
    goss_mem_free(gain);
    return rc;
}

/* ---- listing ------------------------------------------------------------------------------------------- */
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
    if (!folder || !on_model) return goss_fail(err, GOSS_EINVAL, -1, "no folder, or nobody takes the list");
    lister l = { .folder = folder, .on_model = on_model, .ctx = ctx };
    const int rc = goss_os_list(folder, list_one, &l, err);
    return rc ? rc : l.n;
}
