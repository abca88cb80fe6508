/* session.c - opens sessions, takes their prompts, and ends their generations. */
#include "session.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/os.h"
#include "engine_state.h"
#include "guess.h"
#include "plan.h"
#include "text/harmony_turn.h"
#include <math.h>
#include <string.h>

/* ---- opening and closing ------------------------------------------------------------------------------- */
static size_t tokens_bytes(const goss_engine *e)
{
    return (size_t)(e->loaded.max_kv + GOSS_DRAFT_MAX + 2) * sizeof(int32_t);
}

static size_t arena_size(const goss_engine *e)
{
    const size_t slack = 64 * 16;           /* every part begins at a multiple of 64 bytes */
    return tokens_bytes(e) + goss_events_bytes() + goss_output_bytes(&e->loaded) + slack;
}

static int open_parts(goss_session *s)
{
    goss_engine *e = s->engine;
    s->output = (goss_output){ .loaded = &e->loaded, .room = &e->schemas, .events = &s->events,
                               .telemetry = &e->telemetry, .turn = &s->turn };
    if (goss_arena_open(&s->arena, arena_size(e))) return GOSS_ENOMEM;
    s->seq.tokens = goss_arena_take(&s->arena, tokens_bytes(e));
    if (!s->seq.tokens || goss_events_open(&s->events, &s->arena)) return GOSS_ENOMEM;
    if (goss_kv_open(&s->seq.kv, &e->pool, e->loaded.max_kv)) return GOSS_ENOMEM;
    return goss_output_open(&s->output, &s->arena);
}

int goss_session_open(goss_engine *e, goss_session **out, goss_error *err)
{
    if (out) *out = NULL;
    if (!e || !out) return goss_fail(err, GOSS_EINVAL, -1, "there is no engine, or no place for a session");
    const int most = e->config.max_sessions;
    if (e->state != GOSS_ENGINE_READY) return goss_fail(err, GOSS_ESTATE, -1, "the model is not loaded yet");
    int slot = 0;
    while (slot < most && e->sessions[slot]) slot++;
    if (slot == most) return goss_fail(err, GOSS_ELIMIT, -1, "%d sessions are open, that is the limit", most);
    goss_session *s = goss_mem_alloc(sizeof *s);
    if (!s) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for another session");
    s->engine = e;
    s->slot = slot;
    s->seq.owner = slot;
    s->turn = (goss_turn){ .session = s, .slot = slot };
    s->join = &e->joins.prompt[slot];
    *s->join = (goss_join){ 0 };
    if (open_parts(s)) {
        goss_session_free(s);
        return goss_fail(err, GOSS_ENOMEM, -1, "no memory for another session");
    }
    goss_tape_session(e->tape, slot, -1);
    e->sessions[slot] = s;
    e->prefixes.open[slot] = &s->seq;
    *out = s;
    return 0;
}

void goss_session_free(goss_session *s)
{
    if (!s) return;
    goss_engine *e = s->engine;
    if (e->sessions && e->sessions[s->slot] == s) {
        e->sessions[s->slot] = NULL;
        e->prefixes.open[s->slot] = NULL;
    }
    goss_output_close(&s->output);
    goss_events_close(&s->events);
    goss_mem_free(s->drafts.predicted);
    goss_kv_close(&s->seq.kv);
    goss_arena_close(&s->arena);
    goss_mem_free(s);
}

void goss_session_close(goss_session **session)
{
    goss_session *s = session ? *session : NULL;
    if (!s) return;
    *session = NULL;
    goss_sequence *q = &s->seq;
    goss_session_forget(s, q->n > 0 ? q->n - 1 : 0);
    goss_cached *c = q->kv.n > 0 ? goss_cache_keep(&s->engine->prefixes.cache, q, q->kv.n) : NULL;
    if (c && !s->output.chat && c->store < GOSS_STORE_AT_END) c->store = GOSS_STORE_AT_END;
    q->active = 0;
    q->closed = s->engine->lanes.changed = 1;
    if (!q->n_inflight) goss_session_free(s); /* else the scheduler does, when its rows are back */
}

/* ---- prompts ------------------------------------------------------------------------------------------- */
goss_params goss_params_default(void)
{
    return (goss_params){ .temperature = 1, .top_p = 1, .repeat_penalty = 1, .reasoning_budget = -1 };
}

static int check_prompt(const goss_session *s, const int32_t *ids, int n, goss_error *err)
{
    if (!s || (!ids && n > 0)) return goss_fail(err, GOSS_EINVAL, -1, "there is no session, or no prompt");
    const goss_engine *e = s->engine;
    const int max_kv = e->loaded.max_kv, n_vocab = e->loaded.model.hp.n_vocab;
    if (e->state == GOSS_ENGINE_FAILED) return goss_fail(err, GOSS_ESTATE, -1, "the engine has failed");
    if (s->seq.active)
        return goss_fail(err, GOSS_ESTATE, -1,
                         "the session is generating: cancel it and read its DONE event first");
    if (n < 1) return goss_fail(err, GOSS_EINVAL, -1, "the prompt is empty");
    if (n >= max_kv)
        return goss_fail(err, GOSS_ELIMIT, -1, "the prompt has %d tokens, the context holds %d", n, max_kv);
    for (int i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= n_vocab)
            return goss_fail(err, GOSS_EINVAL, i, "token %d is outside the vocabulary of %d", ids[i],
                             n_vocab);
    return 0;
}

/* The prompt's first n_reused positions are there: it goes on from them. */
static void begin(goss_session *s, int n_reused)
{
    enum { SHOWN = GOSS_COLUMN_TOPS };         /* best tokens that telemetry shows of each position */
    goss_engine *e = s->engine;
    const goss_hparams *h = &e->loaded.model.hp;
    s->join->waits = 0;
    s->turn.n_reused = s->turn.n_prefilled = n_reused;
    e->stats.n_reused_tokens += (uint64_t)n_reused;
    e->stats.n_stored_tokens += (uint64_t)s->turn.n_stored;
    e->stats.n_joined_tokens += (uint64_t)s->turn.n_joined;
    const char *backend = e->loaded.backend ? e->loaded.backend->vt->name : "";
    const goss_turn_mode mode = {
        .attn = e->config.attn_dense || !h->window ? "dense" : "window",
        .moe = !h->n_expert ? "none" : e->config.moe_fallback ? "fallback" : "active",
        .sample = s->sampler.greedy ? "greedy" : "random",
        .backend = *backend ? backend : "none",
        .kv = goss_plan_kv_name(e->config.kv_type, backend),
        .format = s->output.chat ? goss_chat_format_name(e->loaded.format) : "raw",
        .n_layer = h->n_layer, .max_kv = e->loaded.max_kv,
    };
    const int shown = goss_telemetry_sheet(&e->telemetry) != NULL ||
                      goss_telemetry_on(&e->telemetry, GOSS_TELEMETRY_TOKENS);
    if (shown && s->sampler.n_probs < SHOWN) s->sampler.n_probs = SHOWN;
    if (e->tape && s->sampler.n_probs < GOSS_TOP_SHOWN) s->sampler.n_probs = GOSS_TOP_SHOWN;
    goss_tape_begin(e->tape, s->slot, s->seq.tokens, s->turn.n_prompt, n_reused);
    goss_telemetry_prompt(&e->telemetry, &s->turn, &mode, e->loaded.vocab, s->seq.tokens);
    goss_lanes_prompt(&e->lanes, &s->turn);
}

/* What there is of ids[0..most) becomes the session's; how much. */
static int reuse(goss_session *s, const int32_t *ids, int most)
{
    const int n = goss_prefix_reuse(&s->engine->prefixes, &s->seq, ids, most, &s->turn.n_stored);
    s->turn.from = s->seq.from;
    return n;
}

static int is_list(const void *items, int n) { return n == 0 || (n > 0 && items); }

static int check_lists(const goss_params *p, goss_error *err)
{
    int ok = is_list(p->predicted, p->n_predicted) && is_list(p->bias, p->n_bias) &&
             is_list(p->stop, p->n_stop);
    for (int i = 0; ok && i < p->n_stop; i++) ok = p->stop[i] != NULL;
    return ok ? 0 : goss_fail(err, GOSS_EINVAL, -1, "a list of the parameters is missing or has a bad count");
}

/* What the parts make of the prompt's parameters. */
static int take_params(goss_session *s, const goss_params *p, goss_error *err)
{
    int rc = check_lists(p, err);
    if (!rc) rc = goss_sampler_init(&s->sampler, p, err);
    if (!rc) rc = goss_output_begin(&s->output, p, err);
    if (!rc && goss_guess_predict(&s->drafts, p->predicted, p->n_predicted))
        rc = goss_fail(err, GOSS_ENOMEM, -1, "no memory for %d predicted tokens", p->n_predicted);
    return rc;
}

int goss_session_prompt(goss_session *s, const int32_t *ids, int n, const goss_params *params,
                        goss_error *err)
{
    const goss_params defaults = goss_params_default();
    const goss_params *p = params ? params : &defaults;
    int rc = check_prompt(s, ids, n, err);
    if (!rc) rc = take_params(s, p, err);
    if (rc) return rc;
    goss_events_clear(&s->events);
    rc = goss_output_resume(&s->output, ids, n);
    if (rc) return goss_fail(err, rc, -1, "no memory for the answer that the prompt ends in");
    goss_engine *e = s->engine;
    const int max_kv = e->loaded.max_kv, ends = goss_output_ends(&s->output, ids[n - 1]),
              only = p->max_tokens < 0 || ends != GOSS_STOP_NONE;
    goss_turn *t = &s->turn;
    *t = (goss_turn){ .session = s, .slot = s->slot, .n_prompt = n, .prefill_only = only,
                      .prefill_stop = ends != GOSS_STOP_NONE ? ends : GOSS_STOP_LENGTH };
    t->n_limit = p->max_tokens > 0 && p->max_tokens < max_kv - n ? n + p->max_tokens : max_kv;
    t->t_prompt = t->t_first = t->t_last = goss_os_now_ms();
    goss_tape_prompt(e->tape, s->slot, ids, n, s->seq.tokens, s->seq.n);
    const int reused = reuse(s, ids, only ? n : n - 1);
    memcpy(s->seq.tokens, ids, (size_t)n * sizeof *ids);
    s->seq.n = n;
    s->seq.owner = s->slot;
    s->seq.active = 1;
    s->seq.used = ++e->prefixes.cache.clock;
    s->output.position = n - 1;
    s->canceled = s->n_many = 0;
    s->drafts.on = (p->draft || s->drafts.n_predicted) && !only;
    goss_pace_reset(&e->pace, &s->drafts);
    e->stats.n_prompt_tokens += (uint64_t)n;
    *s->join = (goss_join){ .number = s->seq.used, .n_prompt = n, .most = only ? n : n - 1 };
    if (!goss_join_look(&e->joins, s->slot)) begin(s, reused);
    else goss_lanes_wait(&e->lanes, t, s->join->wanted_slot);
    return 0;
}

void goss_session_join(goss_session *s)
{
    s->turn.n_joined = reuse(s, s->seq.tokens, s->join->most);
    begin(s, s->turn.n_joined);
}

int goss_session_fork(const goss_session *from, int n, goss_session **out, goss_error *err)
{
    const int held = goss_session_tokens(from, NULL, 0);
    goss_session *s = NULL;
    if (out) *out = NULL;
    if (!from || !out) return goss_fail(err, GOSS_EINVAL, -1, "there is no session, or no place for another");
    if (n > held)
        return goss_fail(err, GOSS_EINVAL, -1, "a fork at %d tokens: the session holds %d", n, held);
    if (n < 0) n = held;
    const int rc = goss_session_open(from->engine, &s, err);
    if (rc) return rc;
    if (n) memcpy(s->seq.tokens, from->seq.tokens, (size_t)n * sizeof *s->seq.tokens);
    s->seq.n = n;
    s->seq.owner = from->slot;
    goss_tape_session(from->engine->tape, s->slot, from->slot);
    goss_observe_fork(from->engine->observer, from->slot, s->slot);
    if (!goss_kv_can_truncate(&from->seq.kv, n) || goss_kv_fork(&s->seq.kv, &from->seq.kv, n))
        reuse(s, from->seq.tokens, n);
    *out = s;
    return s->seq.kv.n;
}

void goss_session_cancel(goss_session *s)
{
    if (s && s->seq.active) s->canceled = s->join->ends = 1;
}

int goss_session_tokens(const goss_session *s, int32_t *ids, int cap)
{
    if (!s || cap < 0 || (!ids && cap)) return GOSS_EINVAL;
    const int n = s->seq.kv.n < s->seq.n ? s->seq.kv.n : s->seq.n;
    if (cap > 0 && n > 0) memcpy(ids, s->seq.tokens, sizeof *ids * (size_t)(n < cap ? n : cap));
    return n;
}

int goss_session_next_message(const goss_session *s, int32_t *ids, int cap)
{
    const int n = goss_session_tokens(s, NULL, 0);
    if (n < 0 || cap < 0 || (!ids && cap)) return GOSS_EINVAL;
    const goss_loaded *m = &s->engine->loaded;
    goss_harmony_ids h;
    if (m->format != GOSS_CHAT_HARMONY || !goss_harmony_find(m->vocab, &h)) return GOSS_EUNSUPPORTED;
    goss_buf all = GOSS_BUF(SIZE_MAX);
    goss_buf_append(&all, s->seq.tokens, (size_t)n * sizeof *ids);
    const int rc = goss_harmony_next(m->vocab, &h, &all), count = (int)(all.len / sizeof *ids);
    if (!rc && ids) memcpy(ids, all.data, sizeof *ids * (size_t)(count < cap ? count : cap));
    goss_buf_free(&all);
    return rc ? rc : count;
}

int goss_session_event(goss_session *s, goss_event *event)
{
    return s && event ? goss_events_take(&s->events, event) : 0;
}

/* ---- results ------------------------------------------------------------------------------------------- */
void goss_session_prefilled(goss_session *s, int n_done, int n_rows)
{
    goss_engine *e = s->engine;
    goss_turn *t = &s->turn;
    t->n_prefilled = n_done;
    const goss_event ev = { .kind = GOSS_EVENT_PREFILL, .token = -1, .channel = "",
                            .n_done = n_done, .n_total = t->n_prompt, .n_reused = t->n_reused };
    goss_events_put(&s->events, &ev, "", 0, "");
    goss_telemetry_prefill(&e->telemetry, t, n_rows);
    goss_prefix_snapshot(&e->prefixes, &s->seq, t->n_prompt, t->n_reused, s->output.chat);
}

int goss_session_token(goss_session *s, const goss_pick *pick, int drafted)
{
    goss_engine *e = s->engine;
    goss_sequence *q = &s->seq;
    goss_turn *t = &s->turn;
    q->tokens[q->n++] = pick->token;
    t->n_generated++;
    if (isfinite(pick->logprob)) t->sum_logprob += (double)pick->logprob;
    goss_guess_move(&s->drafts, q->tokens, q->n, t->n_generated - 1);
    e->stats.n_generated_tokens++;
    t->t_last = goss_os_now_ms();
    if (t->n_generated == 1) t->t_first = t->t_last;
    const int stop = goss_output_token(&s->output, pick, q->n - 1);
    const goss_turn_kv kv = { q->kv.n, e->loaded.max_kv, q->kv.base[GOSS_KV_WINDOW],
                              (uint64_t)q->kv.n * e->loaded.plan.kv_token_bytes };
    goss_telemetry_token(&e->telemetry, t, e->loaded.vocab, pick, &kv);
    goss_tape_token(e->tape, s->slot, q->n - 1, pick, drafted, s->output.channel, s->output.recipient);
    return stop == GOSS_STOP_NONE && q->n >= t->n_limit ? GOSS_STOP_LENGTH : stop;
}

/* ---- ending -------------------------------------------------------------------------------------------- */
void goss_session_forget(goss_session *s, int n)
{
    s->epoch++;
    if (s->seq.kv.n <= n) return;
    if (goss_kv_truncate(&s->seq.kv, n)) goss_kv_clear(&s->seq.kv);
}

static void report_end(goss_session *s, int stop)
{
    goss_engine *e = s->engine;
    goss_stats all;
    goss_backend_stats b = { 0 };
    goss_telemetry_done(&e->telemetry, &s->turn, stop, s->seq.tokens + s->seq.n - 1);
    if (!goss_telemetry_on(&e->telemetry, GOSS_TELEMETRY_STAGES)) return;
    goss_engine_stats(e, &all);
    if (e->loaded.backend) e->loaded.backend->vt->stats(e->loaded.backend, &b);
    goss_telemetry_totals(&e->telemetry, &s->turn, &all, &b);
}

void goss_session_finish(goss_session *s, int stop, const goss_error *error)
{
    goss_sequence *q = &s->seq;
    goss_turn *t = &s->turn;
    if (!q->active) return;
    s->join->waits = 0;
    goss_session_forget(s, t->prefill_only ? q->n : q->n - 1);
    q->active = 0;
    if (!t->n_generated) t->t_last = goss_os_now_ms();
    goss_event ev = { .kind = GOSS_EVENT_DONE, .token = -1, .stop = stop,
                      .n_prompt = t->n_prompt, .n_generated = t->n_generated, .n_reused = t->n_reused,
                      .prefill_ms = t->t_first - t->t_prompt, .decode_ms = t->t_last - t->t_first };
    if (error) ev.error = *error;
    goss_output_end(&s->output, &ev);
    goss_tape_done(s->engine->tape, s->slot, goss_stop_name(stop), t->n_generated);
    report_end(s, stop);
    if (stop == GOSS_STOP_EOS && s->output.chat) goss_prefix_finished(&s->engine->prefixes, q);
}
