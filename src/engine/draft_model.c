/* draft_model.c - the draft model's rounds: in the first it catches up with the tokens and guesses one, in
 * each later one the guess is put in and the next is guessed.
 *
 * It samples with the session's own sampler and random numbers, so that it agrees as often as it can. Its KV
 * lags behind a session's tokens and catches up by at most max_rows a step. */
#include "draft_model.h"
#include "base/error.h"
#include "base/mem.h"
#include "guess.h"
#include "plan.h"
#include <string.h>

static const float UNSURE = -1.2f;       /* a guess less likely than 0.3 is the last of its draft */

typedef struct drafter { goss_kv kv; int32_t *seen; } drafter; /* seen[0..kv.n): its KV's tokens */
struct goss_draft_model {
    const goss_loaded *main;             /* the model that it guesses for */
    goss_gguf gguf; goss_mapping map; goss_model model; int bound;
    goss_backend *backend;
    goss_source source;
    goss_kv_pool pool; int pool_open;
    drafter *drafters; int n, n_slots;   /* (n_slots) by session's slot; n: that are open */
    goss_row *rows; goss_seq *seqs; goss_pick *picks; int max_rows, max_kv;
};

/* ---- the draft model ----------------------------------------------------------------------------------- */
/* A draft must mean the same by every token. */
static int check_vocab(const goss_draft_model *d, const char *path, goss_error *err)
{
    const goss_loaded *m = d->main;
    goss_vocab *v = NULL;
    int rc = goss_vocab_open(&v, &d->gguf, err);
    if (rc) return rc;
    const int n = goss_vocab_size(v);
    int same = n == goss_vocab_size(m->vocab) && d->model.hp.n_vocab == m->model.hp.n_vocab;
    for (int i = 0; i < n && same; i++) {
        const goss_str a = goss_vocab_bytes(v, i, 1), b = goss_vocab_bytes(m->vocab, i, 1);
        same = a.n == b.n && !memcmp(a.s, b.s, (size_t)a.n);
    }
    goss_vocab_close(&v);
    return same ? 0
                : goss_fail(err, GOSS_EINVAL, -1, "the draft model %s has another vocabulary than the model",
                            path);
}

static void copy_page(void *ctx, int cls, int from, int to)
{
    goss_draft_model *d = ctx;
    d->backend->vt->kv_copy(d->backend, cls, from, to);
}

static int open_backend(goss_draft_model *d, const goss_engine_config *config, goss_plan_info *plan,
                        goss_error *err)
{
    goss_engine_config c = *config;
    c.max_kv = d->max_kv = d->main->max_kv < d->model.hp.n_ctx ? d->main->max_kv : d->model.hp.n_ctx;
    if (d->main->backend->grows.max_kv) c.max_kv = 0;  /* the model's may be more than fits here */
    c.n_layers = 0;
    const int ref = !strcmp(d->main->backend->vt->name, "ref");
    c.backend = ref ? "ref" : "cpu";
    int kv_type, rc = goss_plan_make(&d->model, &c, 0, plan, &kv_type, err);
    if (rc) return rc;
    if (plan->max_kv < d->max_kv) d->max_kv = plan->max_kv;
    d->source = (goss_source){ .name = c.draft_path, .size = d->map.size, .map = d->map.data };
    const goss_backend_config b = { .model = &d->model,
                                    .sources = &d->source,
                                    .n_sources = 1,
                                    .engine = &c,
                                    .max_rows = d->max_rows,
                                    .max_slots = d->n_slots + 1,
                                    .max_kv = d->max_kv,
                                    .n_pages = { plan->n_pages[0], plan->n_pages[1] },
                                    .kv_type = ref ? GOSS_F32 : kv_type };
    rc = ref ? goss_backend_open_ref(&d->backend, &b, err) : goss_backend_open_cpu(&d->backend, &b, err);
    return rc ? rc : d->backend->vt->load(d->backend, err);
}

static int open_drafters(goss_draft_model *d, const goss_plan_info *plan)
{
    d->pool_open = 1;
    int rc =
        goss_kv_pool_open(&d->pool, plan->n_pages[0], plan->n_pages[1], d->model.hp.window, GOSS_ROLLBACK);
    d->pool.copy = copy_page;
    d->pool.ctx = d;
    d->drafters = goss_mem_array((size_t)d->n_slots, sizeof *d->drafters);
    d->rows = goss_mem_array((size_t)d->max_rows, sizeof *d->rows);
    d->picks = goss_mem_array((size_t)d->max_rows, sizeof *d->picks);
    d->seqs = goss_mem_array((size_t)d->n_slots, sizeof *d->seqs);
    if (!d->drafters || !d->rows || !d->picks || !d->seqs) return GOSS_ENOMEM;
    for (d->n = 0; d->n < d->n_slots && !rc; d->n++) {
        drafter *w = &d->drafters[d->n];
        rc = goss_kv_open(&w->kv, &d->pool, d->max_kv);
        w->seen = goss_mem_array((size_t)d->max_kv, sizeof *w->seen);
        if (!w->seen) rc = GOSS_ENOMEM;
    }
    return rc;
}

int goss_draft_model_open(goss_draft_model **out, const goss_loaded *m, const goss_engine_config *c,
                          goss_error *err)
{
    *out = NULL;
    if (!c->draft_path) return 0;
    goss_draft_model *d = *out = goss_mem_alloc(sizeof *d);
    if (!d) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for a draft model");
    d->main = m;
    d->max_rows = m->max_rows;
    d->n_slots = c->max_sessions;
    goss_plan_info plan;
    int rc = goss_gguf_map(&d->gguf, &d->map, c->draft_path, err);
    if (rc) return rc;
    const goss_model_options opt = { .attn_dense = c->attn_dense, .yarn_llamacpp = c->yarn_llamacpp };
    d->bound = 1;
    rc = goss_model_bind(&d->model, &d->gguf, &opt, err);
    if (!rc) rc = check_vocab(d, c->draft_path, err);
    if (!rc) rc = open_backend(d, c, &plan, err);
    if (rc) return rc;
    rc = open_drafters(d, &plan);
    return rc ? goss_fail(err, rc, -1, "no memory for the draft model's sessions") : 0;
}

void goss_draft_model_close(goss_draft_model **model)
{
    goss_draft_model *d = *model;
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
    if (d->bound) goss_model_free(&d->model);
    goss_gguf_free(&d->gguf);
    if (d->map.data) goss_os_unmap(&d->map);
    goss_mem_free(d);
    *model = NULL;
}

/* ---- rounds -------------------------------------------------------------------------------------------- */
/* What the draft KV holds must be a prefix of the session's tokens. */
static void agree(drafter *w, const goss_sequence *q)
{
    const int most = w->kv.n < q->n - 1 ? w->kv.n : q->n - 1,
              same = goss_tokens_shared(w->seen, most, q->tokens, most);
    if (goss_kv_truncate(&w->kv, same)) goss_kv_clear(&w->kv);
}

/* Adds a session's rows up to position `to`; the last is sampled when it is the newest token's. Returns how
 * many. */
static int add_rows(goss_draft_model *d, const goss_draft_ask *ask, int to, int sample, int n_rows, int seq)
{
    drafter *w = &d->drafters[ask->slot];
    const int32_t *tokens = ask->seq->tokens;
    const int from = w->kv.n;
    if (to > d->max_kv || n_rows + to - from > d->max_rows || goss_kv_extend(&w->kv, to)) return 0;
    for (int p = from; p < to; p++) {
        w->seen[p] = tokens[p];
        d->rows[n_rows + p - from] = (goss_row){ .token = tokens[p],
                                                 .pos = p,
                                                 .seq = (int16_t)seq,
                                                 .want = sample && p == to - 1 ? GOSS_ROW_SAMPLE : 0 };
    }
    d->seqs[seq] = (goss_seq){ .kv = &w->kv, .slot = ask->slot, .tokens = tokens, .sampler = ask->sampler };
    return to - from;
}

/* One step of the draft model. 0, or an error: then nobody drafts this time. */
static int run(goss_draft_model *d, int n_rows, int n_seqs)
{
    goss_step step = { .rows = d->rows, .n_rows = n_rows, .seqs = d->seqs, .n_seqs = n_seqs };
    goss_error err;
    int rc = goss_forward(d->backend, &step, &err);
    if (rc) return rc;
    while ((rc = d->backend->vt->poll(d->backend, &step, 100, d->picks, &err)) == GOSS_EAGAIN) { }
    return rc;
}

/* The rows of a round. Puts those who will have a guess first; returns how many. */
static int fill_round(goss_draft_model *d, goss_draft_ask *asks, int n, int round, int *n_rows, int *n_seqs)
{
    int guessing = 0;
    for (int i = 0; i < n; i++) {
        goss_draft_ask ask = asks[i];
        drafter *w = &d->drafters[ask.slot];
        if (!round) agree(w, ask.seq);
        int to = ask.seq->n + round;
        const int most = w->kv.n + d->max_rows - *n_rows, whole = to <= most;
        if (!whole) to = most;
        const int added = to > w->kv.n ? add_rows(d, &ask, to, whole, *n_rows, *n_seqs) : 0;
        if (!added) continue;
        *n_rows += added;
        ++*n_seqs;
        if (whole) asks[guessing++] = ask;
    }
    return guessing;
}

/* One guess for each; those who want another come first then. Returns how many. */
static int do_round(goss_draft_model *d, goss_draft_ask *asks, int n, int round)
{
    int n_rows = 0, n_seqs = 0, going = 0;
    const int guessing = fill_round(d, asks, n, round, &n_rows, &n_seqs);
    if (!n_rows || run(d, n_rows, n_seqs)) return 0;
    for (int i = 0; i < guessing; i++) {
        const goss_draft_ask ask = asks[i];
        const goss_pick *p = &d->picks[i];
        if (!goss_guess_may(d->main->vocab, d->main->model.hp.n_vocab, p->token) ||
            (round && p->logprob < UNSURE))
            continue;
        ask.seq->tokens[ask.seq->n + ask.drafts->n++] = p->token;
        if (ask.drafts->n < ask.drafts->want) asks[going++] = ask;
    }
    return going;
}

int goss_draft_model_guess(goss_draft_model *d, goss_draft_ask *asks, int n)
{
    int rounds = 0;
    for (; n > 0 && rounds < GOSS_DRAFT_MAX; rounds++) n = do_round(d, asks, n, rounds);
    return rounds;
}
