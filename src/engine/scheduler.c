/* scheduler.c - one step out of all sessions that are ready, and its results back to them.
 *
 * Decode rows come first, each session its one row (or its drafts' rows); then prompts share what is left of max_rows
 * evenly. While anybody decodes, at most GOSS_FAIR_ROWS rows of prompts join a step: a long prompt delays the others'
 * tokens by at most one such chunk. Whose row comes first rotates.
 * With nobody to serve, idle time goes into the prefixes that the next turns will want (prefix.c).
 *
 * Several in flight: a session whose token is being sampled gets its next rows at once (GOSS_TOKEN_SAMPLED). When that
 * token then ends the generation, or the next one needs a mask that was not up, those rows were wasted: their results
 * are thrown away by their epoch and the KV truncated. Sessions that draft, or are bound by a mask now, wait for their
 * result. Browsers say late that a step is done, so there are more than the two that keep a device busy; while a prompt
 * waits there are two, since its chunks take long, and whoever comes next waits for all that is under way. */
#include "../base/mem.h"
#include "engine.h"

/* ---- memory ------------------------------------------------------------------------------------------------ */
int goss_steps_open(goss_engine *e)
{
    for (int i = 0; i < GOSS_FLIGHTS; i++) {
        goss_flight *f = &e->flight[i];
        const size_t seqs = (size_t)e->max_sessions + 1;
        f->rows = goss_mem_array((size_t)e->max_rows, sizeof *f->rows);
        f->seqs = goss_mem_array(seqs, sizeof *f->seqs);
        f->parts = goss_mem_array(seqs, sizeof *f->parts);
        f->picks = goss_mem_array((size_t)e->max_rows, sizeof *f->picks);
        if (!f->rows || !f->seqs || !f->parts || !f->picks) return GOSS_ENOMEM;
    }
    return 0;
}

void goss_steps_close(goss_engine *e)
{
    for (int i = 0; i < GOSS_FLIGHTS; i++) {
        goss_mem_free(e->flight[i].rows);
        goss_mem_free(e->flight[i].seqs);
        goss_mem_free(e->flight[i].parts);
        goss_mem_free(e->flight[i].picks);
    }
}

int goss_steps_extend(goss_engine *e, goss_kv *kv, int n)
{
    int rc;
    while ((rc = goss_kv_extend(kv, n)) == GOSS_EFULL)
        if (!goss_prefix_evict(e, kv)) break;
    return rc;
}

/* ---- building ---------------------------------------------------------------------------------------------- */
typedef struct goss_builder { goss_engine *e; goss_flight *f; int n_rows, n_parts, full; } builder;

static int on_device(const goss_engine *e) { return e->backend->vt->in_flight > 1; }

/* Whether the row behind a token that is still being sampled may go out already. */
static int may_pipeline(goss_session *s)
{
    return on_device(s->engine) && !s->draft && !s->grammar &&
           s->kv.n < s->n_limit - 1 && !goss_output_wants_mask(s);
}

static int is_ready(goss_session *s)
{
    if (!s || !s->active || s->closed || s->canceled || s->follows || !goss_session_room(s)) return 0;
    const int pending = s->n_known - s->kv.n;
    if (!s->n_inflight) return pending > 0;
    return s->n_inflight < s->engine->backend->vt->in_flight && (pending > 0 || may_pipeline(s));
}

static int is_prefill(const goss_session *s) { return s->n_known - s->kv.n > 1; }

/* Adds a sequence's rows for positions [kv->n, kv->n + n). The last `sampled` of them are sampled. 0: no
 * room in the KV. */
static int add_rows(builder *b, goss_kv *kv, const int32_t *tokens, int n_known, int n, int sampled,
                    goss_part part, goss_seq seq)
{
    goss_flight *f = b->f;
    const int pos = kv->n;
    if (goss_steps_extend(b->e, kv, pos + n)) { b->full = 1; return 0; }
    for (int i = 0; i < n; i++)
        f->rows[b->n_rows++] = (goss_row){ .token = pos + i < n_known ? tokens[pos + i] : GOSS_TOKEN_SAMPLED,
                                           .pos = pos + i,
                                           .seq = (int16_t)b->n_parts,
                                           .want = i >= n - sampled ? GOSS_ROW_SAMPLE : 0 };
    part.pos = pos;
    part.n_rows = n;
    part.n_picks = sampled;
    seq.kv = kv;
    seq.tokens = tokens;
    f->seqs[b->n_parts] = seq;
    f->parts[b->n_parts++] = part;
    return 1;
}

static int add_session(builder *b, goss_session *s, int n, int drafts)
{
    const int reaches = s->kv.n + n >= s->n_known, samples = reaches && !s->prefill_only;
    const uint32_t *mask = samples && s->kv.n < s->n_known ? goss_output_mask(s) : NULL; /* else: not known yet */
    const goss_part part = { .session = s, .epoch = s->epoch, .n_drafts = drafts };
    const goss_seq seq = { .slot = s->slot, .sampler = &s->sampler, .mask = mask };
    if (!add_rows(b, &s->kv, s->tokens, s->n_known + drafts, n + drafts, samples ? drafts + 1 : 0, part, seq)) return 0;
    if (mask) *(s->guarded ? &b->e->stats.n_guarded : &b->e->stats.n_schema) += 1;
    s->n_inflight++;
    s->used = b->e->clock;
    return 1;
}

static void add_decodes(builder *b)
{
    goss_engine *e = b->e;
    goss_speculate_batch(e);
    for (int i = 0; i < e->max_sessions; i++) {
        goss_session *s = e->sessions[(e->turn + i) % e->max_sessions];
        if (b->n_rows == e->max_rows || !is_ready(s) || is_prefill(s)) continue;
        const int room = e->max_rows - b->n_rows - 1,
                  drafts =
                      s->n_inflight ? 0 : goss_speculate(s, room < GOSS_DRAFT_MAX ? room : GOSS_DRAFT_MAX);
        int added = add_session(b, s, 1, drafts);
        if (!added && drafts) added = add_session(b, s, 1, 0);
        b->f->n_decode += added;
    }
    e->turn = (e->turn + 1) % e->max_sessions;
}

static void add_prefills(builder *b)
{
    goss_engine *e = b->e;
    int waiting = 0, left = e->chunk_rows - b->n_rows;
    for (int i = 0; i < e->max_sessions; i++) waiting += is_ready(e->sessions[i]) && is_prefill(e->sessions[i]);
    if (b->f->n_decode && left > GOSS_FAIR_ROWS) left = GOSS_FAIR_ROWS;
    for (int i = 0; i < e->max_sessions && waiting && left > 0; i++) {
        goss_session *s = e->sessions[(e->turn + i) % e->max_sessions];
        if (!is_ready(s) || !is_prefill(s)) continue;
        int n = (left + waiting - 1) / waiting;
        waiting--;
        if (n > s->n_known - s->kv.n) n = s->n_known - s->kv.n;
        if (!add_session(b, s, n, 0)) continue;
        left -= n;
        b->f->n_prefill += n;
    }
}

/* Idle time: the next chunk of a prefix that is worth having. */
static void add_warm(builder *b)
{
    goss_cached *c = b->e->n_flights ? NULL : goss_prefix_warm(b->e);
    if (!c) return;
    int n = c->n - c->kv.n;
    if (n > GOSS_FAIR_ROWS) n = GOSS_FAIR_ROWS;
    if (n > b->e->max_rows) n = b->e->max_rows;
    if (add_rows(b, &c->kv, c->tokens, c->n, n, 0, (goss_part){ .warm = c },
                 (goss_seq){ .slot = b->e->max_sessions }))
        c->busy = 1;
    else c->warm = 0;
}

static goss_flight *build(goss_engine *e, int *full)
{
    goss_flight *f = &e->flight[(e->first_flight + e->n_flights) % GOSS_FLIGHTS];
    builder b = { .e = e, .f = f };
    f->n_decode = f->n_prefill = 0;
    add_decodes(&b);
    add_prefills(&b);
    *full = b.full && !b.n_rows;
    if (!b.n_rows && !*full) add_warm(&b);
    f->step = (goss_step){ .rows = f->rows, .n_rows = b.n_rows, .seqs = f->seqs, .n_seqs = b.n_parts };
    return b.n_rows ? f : NULL;
}

/* ---- results ----------------------------------------------------------------------------------------------- */
static void take_picks(goss_engine *e, goss_session *s, const goss_part *p, const goss_pick *picks)
{
    int stop = GOSS_STOP_NONE, accepted = 0;
    for (int i = 0; i < p->n_picks && !stop; i++) {
        const int32_t draft = i < p->n_drafts ? s->tokens[s->n_known] : -1;
        stop = goss_output_token(s, &picks[i]);
        if (i < p->n_drafts && picks[i].token != draft) break;
        accepted += i < p->n_drafts;
    }
    if (p->n_drafts) {
        goss_pace_result(s, p->n_drafts, accepted);
        e->stats.n_drafted += (uint64_t)p->n_drafts;
        e->stats.n_accepted += (uint64_t)accepted;
        goss_telemetry_speculation(s, p->n_drafts, accepted);
    }
    if (stop == GOSS_STOP_ERROR) {
        goss_error err;
        goss_fail(&err, GOSS_ENOMEM, -1, "no memory to hold the answer to its JSON schema");
        goss_session_finish(s, stop, &err);
    } else if (stop) goss_session_finish(s, stop, NULL);
    else if (p->n_drafts && s->kv.n >= s->n_known) goss_kv_truncate(&s->kv, s->n_known - 1);
    else if (s->n_inflight && goss_output_wants_mask(s)) goss_session_forget(s, s->n_known - 1);
}

static void take_part(goss_engine *e, const goss_part *p, const goss_pick *picks)
{
    if (p->warm) { p->warm->busy = 0; return; }
    goss_session *s = p->session;
    s->n_inflight--;
    if (s->closed) {
        if (!s->n_inflight) goss_session_free(s);
        return;
    }
    if (p->epoch != s->epoch || !s->active) return;
    const int done = p->pos + p->n_rows < s->n_prompt ? p->pos + p->n_rows : s->n_prompt;
    if (done > s->n_prefilled) {
        s->n_prefilled = done;
        goss_event ev = { .kind = GOSS_EVENT_PREFILL,
                          .token = -1,
                          .channel = "",
                          .n_done = done,
                          .n_total = s->n_prompt,
                          .n_reused = s->n_reused };
        goss_session_queue(s, &ev, "", 0, "");
        goss_telemetry_prefill(s, p->n_rows);
        goss_prefix_snapshot(s);
    }
    take_picks(e, s, p, picks);
    if (s->active && s->prefill_only && s->kv.n >= s->n_known) {
        s->t_first = goss_os_now_ms();
        goss_session_finish(s, GOSS_STOP_LENGTH, NULL);
    }
}

static void fail_parts(goss_engine *e, goss_flight *f, const goss_error *why)
{
    for (int i = 0; i < f->step.n_seqs; i++) {
        const goss_part *p = &f->parts[i];
        if (p->warm) { p->warm->busy = p->warm->warm = 0; goss_kv_truncate(&p->warm->kv, p->pos); continue; }
        goss_session *s = p->session;
        s->n_inflight--;
        if (s->closed && !s->n_inflight) goss_session_free(s);
        else if (p->epoch == s->epoch) {
            goss_session_forget(s, p->pos);
            goss_session_finish(s, GOSS_STOP_ERROR, why);
        }
    }
    (void)e;
}

static void account(goss_engine *e, const goss_flight *f)
{
    const double now = goss_os_now_ms(), ms = now - f->t0;
    const double own = now - (f->t0 > e->t_collected ? f->t0 : e->t_collected);
    if (f->n_prefill) goss_pace_chunk(e, f->step.n_rows, own);
    else if (f->n_decode) goss_pace_time(e, f->step.n_rows, own);
    e->t_collected = now;
    e->stats.n_steps++;
    e->stats.n_rows += (uint64_t)f->step.n_rows;
    if (f->n_prefill || !f->n_decode) e->stats.prefill_ms += ms;
    else e->stats.decode_ms += ms;
}

/* Takes the oldest step's results. 1: taken, 0: not there yet, or an error that the whole engine suffers. */
static int collect(goss_engine *e, int timeout_ms, goss_error *err)
{
    goss_flight *f = &e->flight[e->first_flight];
    goss_error failed = { .position = -1 };
    const int rc = e->backend->vt->poll(e->backend, &f->step, timeout_ms, f->picks, &failed);
    if (rc == GOSS_EAGAIN) return 0;
    if (rc == GOSS_ELOST) { *err = failed; return rc; }
    e->first_flight = (e->first_flight + 1) % GOSS_FLIGHTS;
    e->n_flights--;
    if (rc) { fail_parts(e, f, &failed); return 1; }
    account(e, f);
    e->n_lost = 0;
    const goss_pick *picks = f->picks;
    for (int i = 0; i < f->step.n_seqs; i++) {
        take_part(e, &f->parts[i], picks);
        picks += f->parts[i].n_picks;
    }
    return 1;
}

static int submit(goss_engine *e, goss_flight *f, goss_error *err)
{
    goss_error failed = { .position = -1 };
    f->t0 = goss_os_now_ms();
    goss_observe_step(e, &f->step);
    const int rc = goss_forward(e->backend, &f->step, &failed);
    if (rc == GOSS_ELOST) { *err = failed; return rc; }
    if (rc) { fail_parts(e, f, &failed); return 1; }
    e->n_flights++;
    return 1;
}

void goss_steps_drain(goss_engine *e)
{
    goss_error err;
    while (e->n_flights && e->backend && collect(e, 100, &err) >= 0) { }
    e->n_flights = 0;
}

/* ---- polling ----------------------------------------------------------------------------------------------- */
static void end_canceled(goss_engine *e)
{
    for (int i = 0; i < e->max_sessions; i++) {
        goss_session *s = e->sessions[i];
        if (s && s->active && s->canceled) goss_session_finish(s, GOSS_STOP_CANCELED, NULL);
    }
}

/* All that could run wants KV that nobody can give: the youngest gives up, so that the others go on. */
static void give_up_youngest(goss_engine *e)
{
    goss_session *youngest = NULL;
    for (int i = 0; i < e->max_sessions; i++) {
        goss_session *s = e->sessions[i];
        if (!s || !s->active || s->follows || s->n_inflight) continue;
        if (!youngest || s->t_prompt > youngest->t_prompt) youngest = s;
    }
    if (!youngest) return;
    goss_error err;
    goss_fail(&err, GOSS_EFULL, -1, "the KV cache is full: %d sessions share %llu MB of it", e->max_sessions,
              (unsigned long long)(e->plan.kv_bytes >> 20));
    goss_session_finish(youngest, GOSS_STOP_ERROR, &err);
    goss_kv_clear(&youngest->kv);
}

static int prefill_reused(goss_engine *e)
{
    int any = 0;
    for (int i = 0; i < e->max_sessions; i++) {
        goss_session *s = e->sessions[i];
        if (!s || !s->active || s->canceled || !s->prefill_only || s->n_inflight || s->kv.n < s->n_known) continue;
        goss_session_finish(s, GOSS_STOP_LENGTH, NULL);
        any = 1;
    }
    return any;
}

static int more_to_do(goss_engine *e)
{
    if (e->n_flights) return 1;
    for (int i = 0; i < e->max_sessions; i++)
        if (is_ready(e->sessions[i]) ||
            (e->sessions[i] && e->sessions[i]->active && (e->sessions[i]->canceled || e->sessions[i]->follows)))
            return 1;
    return goss_prefix_warm(e) != NULL || goss_keep_waits(e);
}

static int most_in_flight(const goss_engine *e)
{
    const int most = e->backend->vt->in_flight;
    for (int i = 0; i < e->max_sessions && most > 2; i++)
        if (is_ready(e->sessions[i]) && is_prefill(e->sessions[i])) return 2;
    return most;
}

int goss_steps_advance(goss_engine *e, int timeout_ms, goss_error *err)
{
    e->clock++;
    end_canceled(e);
    goss_prefix_join(e);
    prefill_reused(e);
    const int most = most_in_flight(e);
    int submitted = 0, full = 0, rc;
    if (e->n_flights < most) {
        goss_flight *f = build(e, &full);
        if (f) {
            rc = submit(e, f, err);
            if (rc < 0) return rc;
            submitted = 1;
        } else if (full && !e->n_flights) give_up_youngest(e);
        else if (!e->n_flights) goss_keep_idle(e, timeout_ms);
    }
    if (e->n_flights) {
        const int room = submitted && e->n_flights < most;
        rc = collect(e, room ? 0 : timeout_ms, err);
        if (rc < 0) return rc;
    }
    rc = goss_load_fill(e, err);
    return rc < 0 ? rc : rc | more_to_do(e);
}
