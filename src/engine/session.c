/* session.c - a session's life: everything it will ever need is taken when it opens (one arena, its KV's page tables,
 * its parser), so that decoding allocates nothing. Events wait in a ring with their text in one buffer; a session whose
 * ring is nearly full gets no rows until somebody reads it, so a slow reader costs nobody else anything. */
#include "../base/mem.h"
#include "engine.h"
#include <string.h>

/* ---- opening and closing --------------------------------------------------------------------------------- */
static size_t arena_size(const goss_engine *e)
{
    const size_t slack = 64 * 16;
    return (size_t)(e->max_kv + GOSS_DRAFT_MAX + 2) * sizeof(int32_t) +
           GOSS_EVENTS * (sizeof(goss_queued) + GOSS_TOP_MAX * sizeof(goss_prob)) +
           GOSS_STOPS * sizeof(goss_stop_text) + (size_t)(e->model.hp.n_vocab + 31) / 32 * 4 + slack;
}

int goss_session_open(goss_engine *e, goss_session **out, goss_error *err)
{
    *out = NULL;
    if (e->state != GOSS_ENGINE_READY) return goss_fail(err, GOSS_ESTATE, -1, "the model is not loaded yet");
    int slot = 0;
    while (slot < e->max_sessions && e->sessions[slot]) slot++;
    if (slot == e->max_sessions)
        return goss_fail(err, GOSS_ELIMIT, -1, "%d sessions are open, that is the limit", e->max_sessions);
    goss_session *s = goss_mem_alloc(sizeof *s);
    if (!s) goto fail;
    s->engine = e;
    s->slot = slot;
    s->text = GOSS_BUF(1 << 20);
    if (goss_arena_open(&s->arena, arena_size(e))) goto fail;
    s->tokens = goss_arena_take(&s->arena, (size_t)(e->max_kv + GOSS_DRAFT_MAX + 2) * sizeof *s->tokens);
    s->queue = goss_arena_take(&s->arena, GOSS_EVENTS * sizeof *s->queue);
    s->probs = goss_arena_take(&s->arena, GOSS_EVENTS * GOSS_TOP_MAX * sizeof *s->probs);
    s->stops = goss_arena_take(&s->arena, GOSS_STOPS * sizeof *s->stops);
    s->mask = goss_arena_take(&s->arena, (size_t)(e->model.hp.n_vocab + 31) / 32 * 4);
    if (goss_kv_open(&s->kv, &e->pool, e->max_kv)) goto fail;
    if (goss_buf_reserve(&s->text, GOSS_TEXT) || goss_output_open(s)) goto fail;
    e->sessions[slot] = s;
    *out = s;
    return 0;
fail:
    goss_session_free(s);
    return goss_fail(err, GOSS_ENOMEM, -1, "no memory for another session");
}

void goss_session_free(goss_session *s)
{
    if (!s) return;
    goss_engine *e = s->engine;
    if (e->sessions && e->sessions[s->slot] == s) e->sessions[s->slot] = NULL;
    goss_prefix_left(s);
    goss_output_close(s);
    goss_mem_free(s->predicted);
    goss_kv_close(&s->kv);
    goss_buf_free(&s->text);
    goss_arena_close(&s->arena);
    goss_mem_free(s);
}

void goss_session_close(goss_session **session)
{
    goss_session *s = *session;
    *session = NULL;
    if (!s) return;
    goss_session_forget(s, s->n_known > 0 ? s->n_known - 1 : 0);
    goss_cached *c = s->kv.n > 0 ? goss_prefix_keep(s->engine, &s->kv, s->tokens, s->kv.n) : NULL;
    if (c && !s->chat && c->keep < GOSS_KEEP_AT_END) c->keep = GOSS_KEEP_AT_END;
    s->active = 0;
    s->closed = 1;
    if (!s->n_inflight) goss_session_free(s); /* else the scheduler does, when its rows are back */
}

/* ---- prompts --------------------------------------------------------------------------------------------- */
static int check_prompt(const goss_session *s, const int32_t *ids, int n, goss_error *err)
{
    const goss_engine *e = s->engine;
    if (e->state == GOSS_ENGINE_FAILED) return goss_fail(err, GOSS_ESTATE, -1, "the engine has failed");
    if (s->active)
        return goss_fail(err, GOSS_ESTATE, -1,
                         "the session is generating: cancel it and read its DONE event first");
    if (n < 1) return goss_fail(err, GOSS_EINVAL, -1, "the prompt is empty");
    if (n >= e->max_kv)
        return goss_fail(err, GOSS_ELIMIT, -1, "the prompt has %d tokens, the context holds %d", n,
                         e->max_kv);
    for (int i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= e->model.hp.n_vocab)
            return goss_fail(err, GOSS_EINVAL, i, "token %d is outside the vocabulary of %d", ids[i],
                             e->model.hp.n_vocab);
    return 0;
}

int goss_session_prompt(goss_session *s, const int32_t *ids, int n, const goss_params *params, goss_error *err)
{
    goss_engine *e = s->engine;
    const goss_params defaults = goss_params_default();
    const goss_params *p = params ? params : &defaults;
    int rc = check_prompt(s, ids, n, err);
    if (!rc) rc = goss_sampler_init(&s->sampler, p, err);
    if (!rc) rc = goss_output_begin(s, p, err);
    if (!rc) rc = goss_output_resume(s, ids, n);
    if (!rc && goss_speculate_predict(s, p->predicted, p->n_predicted))
        rc = goss_fail(err, GOSS_ENOMEM, -1, "no memory for %d predicted tokens", p->n_predicted);
    if (rc) return rc;
    s->first_event = s->n_events = 0;
    goss_buf_clear(&s->text);
    s->prefill_only = p->max_tokens < 0;
    s->ignore_stop = p->ignore_stop;
    s->draft = (p->draft || s->n_predicted) && !s->prefill_only;
    s->n_probs = s->sampler.n_probs;
    const int reused = goss_prefix_reuse(s, ids, n, s->prefill_only ? n : n - 1);
    memcpy(s->tokens, ids, (size_t)n * sizeof *ids);
    s->n_known = s->n_prompt = n;
    s->n_generated = 0;
    s->n_limit = p->max_tokens > 0 && p->max_tokens < e->max_kv - n ? n + p->max_tokens : e->max_kv;
    s->canceled = 0;
    s->active = 1;
    s->used = s->born = ++e->clock;
    s->t_prompt = s->t_first = s->t_last = goss_os_now_ms();
    goss_pace_reset(s);
    e->stats.n_prompt_tokens += (uint64_t)n;
    if (goss_telemetry_on(e, GOSS_TELEMETRY_TOKENS) && s->sampler.n_probs < 10) s->sampler.n_probs = 10;
    s->n_reused = s->n_joined = s->n_prefilled = 0;
    if (!goss_prefix_follow(s)) goss_session_begin(s, reused);
    return 0;
}

void goss_session_begin(goss_session *s, int n_reused)
{
    s->follows = NULL;
    s->n_reused = s->n_prefilled = n_reused;
    s->engine->stats.n_reused_tokens += (uint64_t)n_reused;
    s->engine->stats.n_stored_tokens += (uint64_t)s->n_stored;
    s->engine->stats.n_joined_tokens += (uint64_t)s->n_joined;
    goss_telemetry_prompt(s);
}

int goss_session_fork(const goss_session *from, int n, goss_session **out, goss_error *err)
{
    const int held = goss_session_tokens(from, NULL, 0);
    goss_session *s = NULL;
    *out = NULL;
    if (n > held)
        return goss_fail(err, GOSS_EINVAL, -1, "a fork at %d tokens: the session holds %d", n, held);
    if (n < 0) n = held;
    const int rc = goss_session_open(from->engine, &s, err);
    if (rc) return rc;
    if (n) memcpy(s->tokens, from->tokens, (size_t)n * sizeof *s->tokens);
    s->n_known = n;
    if (!goss_kv_can_truncate(&from->kv, n) || goss_kv_fork(&s->kv, &from->kv, n))
        goss_prefix_reuse(s, from->tokens, n, n);
    *out = s;
    return s->kv.n;
}

void goss_session_cancel(goss_session *s)
{
    if (s->active) s->canceled = 1;
}

int goss_session_tokens(const goss_session *s, int32_t *ids, int cap)
{
    const int n = s->kv.n < s->n_known ? s->kv.n : s->n_known;
    if (cap > 0 && n > 0) memcpy(ids, s->tokens, sizeof *ids * (size_t)(n < cap ? n : cap));
    return n;
}

/* ---- events ---------------------------------------------------------------------------------------------- */
int goss_session_room(const goss_session *s)
{
    return GOSS_EVENTS - s->n_events >= GOSS_EVENTS_SPARE && s->text.cap - s->text.len >= GOSS_TEXT_SPARE;
}

/* Static names for what the parser calls channels, so that events need no copy. */
static const char *intern(const char *channel)
{
    static const char *const names[] = { "", "analysis", "commentary", "final" };
    for (int i = 0; channel && i < 4; i++)
        if (!strcmp(channel, names[i])) return names[i];
    return channel && *channel ? "final" : "";
}

/* Takes the event with its top list in event->top (n_top of them) and puts it last. There is always room: rows are only
 * given to sessions with GOSS_EVENTS_SPARE free, and a step brings at most 16 tokens. */
void goss_session_queue(goss_session *s, goss_event *ev, const char *text, size_t n, const char *recipient)
{
    if (s->n_events == GOSS_EVENTS) return;
    const int at = (s->first_event + s->n_events) % GOSS_EVENTS;
    goss_queued *q = &s->queue[at];
    q->event = *ev;
    q->event.channel = intern(ev->channel);
    goss_prob *top = s->probs + (size_t)at * GOSS_TOP_MAX;
    if (ev->n_top) memcpy(top, ev->top, (size_t)ev->n_top * sizeof *top);
    q->event.top = top;
    q->text_at = (uint32_t)s->text.len;
    q->event.n_text = (int)n;
    goss_buf_append(&s->text, text, n);
    goss_buf_append(&s->text, "", 1);
    q->recipient_at = (uint32_t)s->text.len;
    goss_buf_append(&s->text, recipient, strlen(recipient) + 1);
    s->n_events++;
}

/* What was read is moved out of the way when the buffer is half used: pointers of the event before die here,
 * not sooner. */
static void compact(goss_session *s)
{
    if (!s->n_events) { goss_buf_clear(&s->text); return; }
    const uint32_t from = s->queue[s->first_event].text_at;
    if (from < s->text.cap / 2) return;
    memmove(s->text.data, s->text.data + from, s->text.len - from);
    s->text.len -= from;
    for (int i = 0; i < s->n_events; i++) {
        goss_queued *q = &s->queue[(s->first_event + i) % GOSS_EVENTS];
        q->text_at -= from;
        q->recipient_at -= from;
    }
}

int goss_session_event(goss_session *s, goss_event *event)
{
    compact(s);
    if (!s->n_events) return 0;
    const goss_queued *q = &s->queue[s->first_event];
    *event = q->event;
    event->text = (const char *)s->text.data + q->text_at;
    event->recipient = (const char *)s->text.data + q->recipient_at;
    s->first_event = (s->first_event + 1) % GOSS_EVENTS;
    s->n_events--;
    return 1;
}

/* ---- ending ---------------------------------------------------------------------------------------------- */
void goss_session_forget(goss_session *s, int n)
{
    s->epoch++;
    if (s->kv.n <= n) return;
    if (goss_kv_truncate(&s->kv, n)) goss_kv_clear(&s->kv);
}

void goss_session_finish(goss_session *s, int stop, const goss_error *error)
{
    if (!s->active) return;
    s->follows = NULL;
    goss_session_forget(s, s->prefill_only ? s->n_known : s->n_known - 1);
    s->active = 0;
    s->t_last = goss_os_now_ms();
    goss_event ev = { .kind = GOSS_EVENT_DONE,
                      .token = -1,
                      .stop = stop,
                      .n_prompt = s->n_prompt,
                      .n_generated = s->n_generated,
                      .n_reused = s->n_reused };
    ev.prefill_ms = s->t_first - s->t_prompt;
    ev.decode_ms = s->t_last - s->t_first;
    if (error) ev.error = *error;
    goss_output_end(s, &ev);
    goss_telemetry_done(s, stop);
    if (stop != GOSS_STOP_ERROR) goss_prefix_finished(s, stop);
}
