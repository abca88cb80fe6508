/* speculate.c - drafts: tokens guessed cheaply, verified as rows of one step.
 *
 * Exact by construction: each drafted row is sampled with the random number of its own position, so what comes out is
 * what would have come out one token at a time; a wrong guess costs its row. Guesses come from the draft
 * model when there
 * is one - it samples with the session's own sampler and random numbers, so that it agrees as often as it
 * can - else from
 * the continuation of the last place where the newest tokens stood before (prompt look-up: 3, then 2 tokens).
 * A caller that knows what is probably coming (an edited text, say) hands it over: then guesses come from there.
 * How many are drafted: pace.c. Control tokens are never drafted: behind one the guard may bind the next position,
 * and
 * rows of one step share one mask.
 *
 * The draft model runs on the CPU (ref beside ref) in rounds over all sessions that draft: its steps are short.
 * Its KV
 * lags behind a session's tokens and catches up by at most max_rows a step. */
#include "../base/mem.h"
#include "engine.h"
#include <string.h>

static const float UNSURE = -1.2f;       /* a guess less likely than 0.3 is the last of its draft */

typedef struct drafter { goss_kv kv; int32_t *seen; } drafter;   /* seen[0..kv.n): what the KV was computed from */
struct goss_speculator {
    goss_gguf gguf; goss_mapping map; goss_model model; int bound;
    goss_backend *backend;
    goss_source source;
    goss_kv_pool pool; int pool_open;
    drafter *drafters; int n;            /* (max_sessions) by slot */
    goss_row *rows; goss_seq *seqs; goss_pick *picks; goss_session **who;
    int max_rows, max_kv;
};

/* ---- the draft model ----------------------------------------------------------------------------------------- */
/* A draft must mean the same by every token. */
static int check_vocab(const goss_engine *e, const goss_speculator *d, goss_error *err)
{
    goss_vocab *v = NULL;
    int rc = goss_vocab_open(&v, &d->gguf, err);
    if (rc) return rc;
    const int n = goss_vocab_size(v);
    int same = n == goss_vocab_size(e->vocab) && d->model.hp.n_vocab == e->model.hp.n_vocab;
    for (int i = 0; i < n && same; i++) {
        const goss_str a = goss_vocab_bytes(v, i, 1), b = goss_vocab_bytes(e->vocab, i, 1);
        same = a.n == b.n && !memcmp(a.s, b.s, (size_t)a.n);
    }
    goss_vocab_close(&v);
    return same ? 0
                : goss_fail(err, GOSS_EINVAL, -1, "the draft model %s has another vocabulary than the model",
                            e->config.draft_path);
}

static void copy_page(void *ctx, int cls, int from, int to)
{
    goss_speculator *d = ctx;
    d->backend->vt->kv_copy(d->backend, cls, from, to);
}

static int open_backend(goss_engine *e, goss_speculator *d, goss_plan_info *plan, goss_error *err)
{
    goss_engine_config c = e->config;
    c.max_kv = d->max_kv = e->max_kv < d->model.hp.n_ctx ? e->max_kv : d->model.hp.n_ctx;
    c.n_layers = 0;
    const int ref = !strcmp(e->backend->vt->name, "ref");
    c.backend = ref ? "ref" : "cpu";
    int kv_type, rc = goss_plan_make(&d->model, &c, 0, plan, &kv_type, err);
    if (rc) return rc;
    d->source = (goss_source){ .name = e->config.draft_path, .size = d->map.size, .map = d->map.data };
    const goss_backend_config b = { .model = &d->model,
                                    .sources = &d->source,
                                    .n_sources = 1,
                                    .engine = &c,
                                    .max_rows = d->max_rows,
                                    .max_slots = e->max_sessions + 1,
                                    .max_kv = d->max_kv,
                                    .n_pages = { plan->n_pages[0], plan->n_pages[1] },
                                    .kv_type = ref ? GOSS_F32 : kv_type };
    rc = ref ? goss_backend_open_ref(&d->backend, &b, err) : goss_backend_open_cpu(&d->backend, &b, err);
    return rc ? rc : d->backend->vt->load(d->backend, err);
}

static int open_drafters(goss_engine *e, goss_speculator *d, const goss_plan_info *plan)
{
    d->pool_open = 1;
    int rc = goss_kv_pool_open(&d->pool, plan->n_pages[0], plan->n_pages[1], d->model.hp.window, GOSS_ROLLBACK);
    d->pool.copy = copy_page;
    d->pool.ctx = d;
    d->drafters = goss_mem_array((size_t)e->max_sessions, sizeof *d->drafters);
    d->rows = goss_mem_array((size_t)d->max_rows, sizeof *d->rows);
    d->picks = goss_mem_array((size_t)d->max_rows, sizeof *d->picks);
    d->seqs = goss_mem_array((size_t)e->max_sessions, sizeof *d->seqs);
    d->who = goss_mem_array((size_t)e->max_sessions, sizeof *d->who);
    if (!d->drafters || !d->rows || !d->picks || !d->seqs || !d->who) return GOSS_ENOMEM;
    for (d->n = 0; d->n < e->max_sessions && !rc; d->n++) {
        drafter *w = &d->drafters[d->n];
        rc = goss_kv_open(&w->kv, &d->pool, d->max_kv);
        w->seen = goss_mem_array((size_t)d->max_kv, sizeof *w->seen);
        if (!w->seen) rc = GOSS_ENOMEM;
    }
    return rc;
}

int goss_speculate_open(goss_engine *e, goss_error *err)
{
    if (!e->config.draft_path) return 0;
    goss_speculator *d = e->speculator = goss_mem_alloc(sizeof *d);
    if (!d) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for a draft model");
    d->max_rows = e->max_rows;
    goss_plan_info plan;
    int rc = goss_load_header(&d->gguf, &d->map, e->config.draft_path, err);
    if (rc) return rc;
    const goss_model_options opt = { .attn_dense = e->config.attn_dense, .yarn_llamacpp = e->config.yarn_llamacpp };
    d->bound = 1;
    rc = goss_model_bind(&d->model, &d->gguf, &opt, err);
    if (!rc) rc = check_vocab(e, d, err);
    if (!rc) rc = open_backend(e, d, &plan, err);
    if (rc) return rc;
    rc = open_drafters(e, d, &plan);
    return rc ? goss_fail(err, rc, -1, "no memory for the draft model's sessions") : 0;
}

void goss_speculate_close(goss_engine *e)
{
    goss_speculator *d = e->speculator;
    if (!d) return;
    for (int i = 0; i < d->n; i++) {
        goss_kv_close(&d->drafters[i].kv);
        goss_mem_free(d->drafters[i].seen);
    }
    if (d->pool_open) goss_kv_pool_close(&d->pool);
    if (d->backend) d->backend->vt->close(d->backend);
    goss_mem_free(d->drafters);
    goss_mem_free(d->rows);
    goss_mem_free(d->picks);
    goss_mem_free(d->seqs);
    goss_mem_free(d->who);
    if (d->bound) goss_model_free(&d->model);
    goss_gguf_free(&d->gguf);
    if (d->map.data) goss_os_unmap(&d->map);
    goss_mem_free(d);
    e->speculator = NULL;
}

/* ---- rounds ------------------------------------------------------------------------------------------------ */
static int may_draft(goss_session *s)
{
    return s->draft && s->draft_want > 0 && !goss_output_wants_mask(s);
}

/* What the draft KV holds must be a prefix of the session's tokens. */
static void agree(goss_speculator *d, const goss_session *s)
{
    drafter *w = &d->drafters[s->slot];
    const int most = w->kv.n < s->n_known - 1 ? w->kv.n : s->n_known - 1;
    int same = 0;
    while (same < most && w->seen[same] == s->tokens[same]) same++;
    if (goss_kv_truncate(&w->kv, same)) goss_kv_clear(&w->kv);
}

/* Adds the session's rows up to position `to`; the last is sampled when it is the newest token's. */
static int add_rows(goss_speculator *d, goss_session *s, int to, int sample, int n_rows, int seq)
{
    drafter *w = &d->drafters[s->slot];
    const int from = w->kv.n;
    if (to > d->max_kv || n_rows + to - from > d->max_rows || goss_kv_extend(&w->kv, to)) return 0;
    for (int p = from; p < to; p++) {
        w->seen[p] = s->tokens[p];
        d->rows[n_rows + p - from] = (goss_row){ .token = s->tokens[p],
                                                 .pos = p,
                                                 .seq = (int16_t)seq,
                                                 .want = sample && p == to - 1 ? GOSS_ROW_SAMPLE : 0 };
    }
    d->seqs[seq] = (goss_seq){ .kv = &w->kv, .slot = s->slot, .tokens = s->tokens, .sampler = &s->sampler };
    return to - from;
}

/* One step of the draft model. 0, or an error: then nobody drafts this time. */
static int run(goss_speculator *d, int n_rows, int n_seqs)
{
    goss_step step = { .rows = d->rows, .n_rows = n_rows, .seqs = d->seqs, .n_seqs = n_seqs };
    goss_error err;
    int rc = goss_forward(d->backend, &step, &err);
    if (rc) return rc;
    while ((rc = d->backend->vt->poll(d->backend, &step, 100, d->picks, &err)) == GOSS_EAGAIN) { }
    return rc;
}

/* Round 0 catches up with the tokens and guesses the first; each later round puts the guess in and guesses the
 * next. */
static int round_of(goss_engine *e, goss_speculator *d, goss_session **who, int n, int round)
{
    int n_rows = 0, n_seqs = 0, kept = 0;
    for (int i = 0; i < n; i++) {
        goss_session *s = who[i];
        drafter *w = &d->drafters[s->slot];
        if (!round) agree(d, s);
        int to = s->n_known + round;
        const int most = w->kv.n + d->max_rows - n_rows, whole = to <= most;
        if (!whole) to = most;
        const int added = to > w->kv.n ? add_rows(d, s, to, whole, n_rows, n_seqs) : 0;
        if (!added) continue;
        n_rows += added;
        n_seqs++;
        if (whole) who[kept++] = s;
    }
    if (!n_rows) return 0;
    if (run(d, n_rows, n_seqs)) return 0;
    int going = 0;
    for (int i = 0; i < kept; i++) {
        goss_session *s = who[i];
        const goss_pick *p = &d->picks[i];
        if (goss_vocab_kind(e->vocab, p->token) == GOSS_TOKEN_CONTROL || (round && p->logprob < UNSURE)) continue;
        s->tokens[s->n_known + s->n_drafts++] = p->token;
        if (s->n_drafts < s->draft_want) who[going++] = s;
    }
    return going;
}

void goss_speculate_batch(goss_engine *e)
{
    goss_speculator *d = e->speculator;
    int n = 0, any = 0;
    e->n_deciding = 0;
    for (int i = 0; i < e->max_sessions; i++) {
        const goss_session *s = e->sessions[i];
        e->n_deciding += s && s->active && !s->closed && s->n_known - s->kv.n <= 1;
        any |= s && s->draft;
    }
    for (int i = 0; any && i < e->max_sessions; i++) {
        goss_session *s = e->sessions[i];
        if (!s || !s->active || s->closed || s->canceled || s->n_inflight || s->n_known - s->kv.n != 1) continue;
        s->n_drafts = 0;
        s->draft_want = s->draft ? goss_pace_length(s, d && !s->n_predicted ? e->draft_ms : 0) : 0;
        if (d && !s->n_predicted && goss_session_room(s) && may_draft(s)) d->who[n++] = s;
    }
    const double t0 = goss_os_now_ms();
    int rounds = 0;
    for (; n > 0 && rounds < GOSS_DRAFT_MAX; rounds++) n = round_of(e, d, d->who, n, rounds);
    if (!rounds) return;
    const double each = (goss_os_now_ms() - t0) / rounds;
    e->draft_ms += (each - e->draft_ms) * (e->draft_ms > 0 ? 0.2 : 1.0);
}

/* ---- n-grams ----------------------------------------------------------------------------------------------- */
/* The place behind the last earlier occurrence of the n newest tokens, -1: none. */
static int look_up(const int32_t *t, int n_tokens, int n)
{
    for (int at = n_tokens - n - 1; at >= 0; at--) {
        int k = 0;
        while (k < n && t[at + k] == t[n_tokens - n + k]) k++;
        if (k == n) return at + n;
    }
    return -1;
}

/* Writes what stands at `from` behind the known tokens, as far as it may be drafted. */
static int draft_from(goss_session *s, const int32_t *from, int n_from, int most)
{
    int n = 0;
    for (; n < most && n < n_from; n++) {
        const int32_t token = from[n];
        if (token < 0 || token >= s->engine->model.hp.n_vocab ||
            goss_vocab_kind(s->engine->vocab, token) == GOSS_TOKEN_CONTROL)
            break;
        s->tokens[s->n_known + n] = token;
    }
    return n;
}

static int draft_ngram(goss_session *s, int most)
{
    int at = -1;
    for (int len = 3; len >= 2 && at < 0; len--) at = s->n_known > len ? look_up(s->tokens, s->n_known, len) : -1;
    return at < 0 ? 0 : draft_from(s, s->tokens + at, s->n_known - at, most);
}

/* ---- predictions ------------------------------------------------------------------------------------------- */
int goss_speculate_predict(goss_session *s, const int32_t *ids, int n)
{
    goss_mem_free(s->predicted);
    s->predicted = NULL;
    s->n_predicted = s->predicted_at = 0;
    if (n < 1 || !ids) return 0;
    if (!(s->predicted = goss_mem_array((size_t)n, sizeof *ids))) return GOSS_ENOMEM;
    memcpy(s->predicted, ids, (size_t)n * sizeof *ids);
    s->n_predicted = n;
    return 0;
}

/* A wrong guess stands for the token that came instead; when two in a row were wrong, the place is looked up anew
 * by the
 * newest tokens. */
void goss_speculate_emitted(goss_session *s)
{
    enum { SAME = 3 };
    const int32_t *t = s->tokens + s->n_known, *p = s->predicted;
    const int at = ++s->predicted_at, n = s->n_predicted;
    if (n < SAME + 1 || s->n_generated < SAME || at < 2) return;
    if (at <= n && (t[-1] == p[at - 1] || t[-2] == p[at - 2])) return;
    for (int i = SAME; i < n; i++)
        if (!memcmp(p + i - SAME, t - SAME, SAME * sizeof *p)) { s->predicted_at = i; return; }
}

static int draft_predicted(goss_session *s, int most)
{
    const int at = s->predicted_at;
    return at < s->n_predicted ? draft_from(s, s->predicted + at, s->n_predicted - at, most) : 0;
}

/* ---- sessions ---------------------------------------------------------------------------------------------- */
int goss_speculate(goss_session *s, int most)
{
    if (!may_draft(s)) return 0;
    if (most > s->draft_want) most = s->draft_want;
    if (most <= 0) return 0;
    if (s->n_predicted) return draft_predicted(s, most);
    if (!s->engine->speculator) return draft_ngram(s, most);
    return s->n_drafts < most ? s->n_drafts : most;
}
