/* scheduler.c - whose rows a step takes.
 *
 * A step decodes or it prefills: a row's result depends on the kernels that it goes through (few rows or
 * many, goss_step_many), so which those are must not depend on who else is there. A prompt that has more
 * than decode_rows() positions to compute prefills, to its end and however it is cut; all else decodes,
 * each session its one row (or its drafts' rows, or its short prompt's). Where there is both, the two take
 * turns; while somebody waits for its first words, at most FIRST_STEPS steps decode before one prefills.
 *
 * Prompts: the one with the fewest rows left comes first; whoever is longest has an eighth of the step
 * nevertheless, so that it goes on whatever comes. On a device, while somebody waits, or did lately and may
 * come again, a step is as small as pace.c says, and while somebody decodes it has GOSS_FAIR_ROWS at most: a
 * long prompt delays the others' tokens by one such step. With nobody to serve, idle time goes into the
 * prefixes that the next turns will want (prefix/).
 *
 * A CPU can pause one step (goss_forward). There a step of prompts takes all rows that it may and runs a
 * slice at a time (pace.c):
 *
 *   built, its sequences' KV forked (aside) --slice--> paused --slice--> ... --slice--> done: the fork
 *                                                        |               becomes the session's KV
 *                                                        +--> dropped, when all its sessions have given up
 *
 * Between two slices others decode, and other prompts have small steps that run to their end. A slice is a
 * turn of prompts; with other prompts there, seven of eight turns are the one's that comes first. Until the
 * step is done its sessions look as they did before it: nobody sees its rows, and forgetting them is nothing.
 *
 * Several in flight: a session whose token is being sampled gets its next rows at once
 * (GOSS_TOKEN_SAMPLED). When that token then ends the generation, or the next one needs a mask that was
 * not up, those rows were wasted: their results are thrown away by their epoch and the KV truncated.
 * Sessions that draft, or are bound by a mask now, wait for their result. Browsers say late that a step is
 * done, so there are more than the two that keep a device busy; while a prompt waits there are two, since
 * its chunks take long, and whoever comes next waits for all that is under way.
 *
 * A schema's mask may take seconds to make: it is made in slices, between steps, and its session is not
 * ready until then. */
#include "scheduler.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/os.h"
#include "engine_state.h"
#include "session.h"
#include "speculate.h"
#include "told.h"
#include <limits.h>

/* ms of a poll that go into masks: what they may delay the others by. */
enum { SLICE_MS = 5 };
enum { FIRST_STEPS = 8 };
/* ms: who came while a prompt was prefilled may come again. */
enum { AGAIN_MS = 1000 };

/* ---- memory -------------------------------------------------------------------------------------------- */
static int can_pause(const goss_engine *e)
{
    const goss_backend_vt *vt = e->loaded.backend->vt;
    return vt->go_on && vt->in_flight == 1;
}

static int open_flight(goss_flight *f, size_t rows, size_t seqs)
{
    f->rows = goss_mem_array(rows, sizeof *f->rows);
    f->seqs = goss_mem_array(seqs, sizeof *f->seqs);
    f->parts = goss_mem_array(seqs, sizeof *f->parts);
    f->picks = goss_mem_array(rows, sizeof *f->picks);
    return f->rows && f->seqs && f->parts && f->picks ? 0 : GOSS_ENOMEM;
}

static void close_flight(goss_flight *f)
{
    goss_mem_free(f->rows);
    goss_mem_free(f->seqs);
    goss_mem_free(f->parts);
    goss_mem_free(f->picks);
}

/* The paused step, and the KV of whatever sessions it has rows of. */
static int open_paused(goss_engine *e, size_t rows, size_t seqs)
{
    const int n = e->config.max_sessions;
    int rc = open_flight(&e->flights.paused, rows, seqs);
    e->flights.aside = goss_mem_array((size_t)n, sizeof *e->flights.aside);
    if (!e->flights.aside) return GOSS_ENOMEM;
    for (int i = 0; i < n && !rc; i++) rc = goss_kv_open(&e->flights.aside[i], &e->pool, e->loaded.max_kv);
    return rc;
}

int goss_steps_open(goss_engine *e)
{
    const size_t seqs = (size_t)e->config.max_sessions + 1, rows = (size_t)e->loaded.max_rows;
    int rc = can_pause(e) ? open_paused(e, rows, seqs) : 0;
    e->flights.n_ring = e->loaded.backend->vt->in_flight;
    for (int i = 0; i < e->flights.n_ring && !rc; i++) rc = open_flight(&e->flights.ring[i], rows, seqs);
    return rc;
}

void goss_steps_close(goss_engine *e)
{
    for (int i = 0; i < e->flights.n_ring; i++) close_flight(&e->flights.ring[i]);
    close_flight(&e->flights.paused);
    for (int i = 0; e->flights.aside && i < e->config.max_sessions; i++) goss_kv_close(&e->flights.aside[i]);
    goss_mem_free(e->flights.aside);
}

/* ---- building ------------------------------------------------------------------------------------------ */
typedef struct goss_builder { goss_engine *e; goss_flight *f; int most, n_rows, n_parts, full; } builder;

static int on_device(const goss_engine *e)
{
    const goss_backend_vt *vt = e->loaded.backend->vt;
    return vt->in_flight > 1 && !vt->groups;
}

/* Whether the row behind a token that is still being sampled may go out already. */
static int may_pipeline(goss_session *s)
{
    return on_device(s->engine) && !s->drafts.on && !s->output.grammar &&
           s->seq.kv.n < s->turn.n_limit - 1 && !goss_output_mask(&s->output);
}

static int is_ready(goss_session *s)
{
    if (!s || !s->seq.active || s->seq.closed || s->canceled || s->join->waits ||
        goss_output_thinks(&s->output) || !goss_events_room(&s->events))
        return 0;
    const int pending = s->seq.n - s->seq.kv.n;
    if (!s->seq.n_inflight) return pending > 0;
    return s->seq.n_inflight < s->engine->loaded.backend->vt->in_flight && (pending > 0 || may_pipeline(s));
}

static int decode_rows(const goss_engine *e)
{
    const int rows = e->loaded.backend->decode_rows;
    return rows ? rows : GOSS_DECODE_ROWS;
}

/* Whether its next rows go through the kernels for many rows: decided when they are seen first. */
static int is_prefill(goss_session *s)
{
    if (s->seq.n - s->seq.kv.n > decode_rows(s->engine)) s->n_many = s->seq.n;
    return s->seq.kv.n < s->n_many;
}

/* How many sessions a step may have, so that all steps that can be in flight have as many: whoever decodes is
 * in one of them, or ready for one. */
static int group_size(goss_engine *e)
{
    const goss_backend_vt *vt = e->loaded.backend->vt;
    int n = 0;
    if (!vt->groups) return e->config.max_sessions;
    for (int i = 0; i < e->config.max_sessions; i++) {
        goss_session *s = e->sessions[i];
        n += is_ready(s) ? !is_prefill(s) : s && s->seq.active && s->seq.n_inflight && s->turn.n_generated;
    }
    return (n + vt->in_flight - 1) / vt->in_flight;
}

/* Adds a sequence's rows for positions [kv->n, kv->n + n). The last `sampled` of them are sampled. 0: no
 * room in the KV. */
static int add_rows(builder *b, goss_kv *kv, const int32_t *tokens, int n_known, int n, int sampled,
                    goss_part part, goss_seq seq)
{
    goss_flight *f = b->f;
    const int pos = kv->n;
    if (goss_prefix_extend(&b->e->prefixes, kv, pos + n)) { b->full = 1; return 0; }
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

/* The KV that a session's rows go into: of a step that may be paused one of their own, which shares what is
 * computed and takes the place of the session's when the step is done. Nobody sees it before, and what is
 * given up meanwhile leaves the session's as it was. */
static goss_kv *kv_for(const builder *b, goss_session *s)
{
    goss_kv *aside = b->f->aside ? &b->e->flights.aside[s->slot] : NULL;
    if (!aside) return &s->seq.kv;
    goss_kv_clear(aside);
    return goss_kv_fork(aside, &s->seq.kv, s->seq.kv.n) ? NULL : aside;
}

static int add_session(builder *b, goss_session *s, int n, int drafts)
{
    goss_kv *kv = kv_for(b, s);
    const int reaches = s->seq.kv.n + n >= s->seq.n, samples = reaches && !s->turn.prefill_only;
    /* where the token before is still being sampled the mask is not known yet */
    const uint32_t *mask = samples && s->seq.kv.n < s->seq.n ? goss_output_mask(&s->output) : NULL;
    const int prompt = s->turn.n_prompt - s->seq.kv.n;
    const goss_part part = { .session = s,
                             .epoch = s->epoch,
                             .n_drafts = drafts,
                             .n_prompt = prompt < 0   ? 0
                                         : prompt < n ? prompt
                                                      : n };
    const goss_seq seq = { .slot = s->slot, .sampler = &s->sampler, .mask = mask };
    if (!kv || !add_rows(b, kv, s->seq.tokens, s->seq.n + drafts, n + drafts, samples ? drafts + 1 : 0, part,
                         seq)) {
        if (kv && kv != &s->seq.kv) goss_kv_clear(kv);
        return 0;
    }
    if (mask) *(s->output.guarded ? &b->e->stats.n_guarded : &b->e->stats.n_schema) += 1;
    s->seq.n_inflight++;
    s->seq.used = b->e->prefixes.cache.clock;
    return 1;
}

/* Rows of short prompts, beyond one each, that still leave everybody a place among decode_rows().
 * *shorts: how many such prompts there are. */
static int spare_rows(const goss_engine *e, int *shorts)
{
    int spare = decode_rows(e);
    *shorts = 0;
    for (int i = 0; i < e->config.max_sessions; i++) {
        goss_session *s = e->sessions[i];
        if (!is_ready(s) || is_prefill(s)) continue;
        *shorts += s->seq.n - s->seq.kv.n > 1;
        spare--;
    }
    return spare > 0 ? spare : 0;
}

/* Returns the rows that it added. */
static int add_short(builder *b, goss_session *s, int most)
{
    const int room = b->most - b->n_rows;
    int n = s->seq.n - s->seq.kv.n;
    if (n > most) n = most;
    if (n > room) n = room;
    if (!add_session(b, s, n, 0)) return 0;
    b->f->n_prefill += n;
    return n;
}

static void add_decodes(builder *b)
{
    goss_engine *e = b->e;
    goss_speculate_all(e);
    int shorts, spare = spare_rows(e, &shorts);
    const int most = group_size(e);
    for (int i = 0; i < e->config.max_sessions && b->n_parts < most; i++) {
        goss_session *s = e->sessions[(e->flights.turn + i) % e->config.max_sessions];
        if (b->n_rows == b->most || !is_ready(s) || is_prefill(s)) continue;
        if (s->seq.n - s->seq.kv.n > 1) {
            const int added = add_short(b, s, spare + 1);
            spare -= added > 1 ? added - 1 : 0;
            continue;
        }
        const int room = shorts ? 0 : b->most - b->n_rows - 1,
                  drafts = s->seq.n_inflight
                               ? 0
                               : goss_speculate(s, room < GOSS_DRAFT_MAX ? room : GOSS_DRAFT_MAX);
        int added = add_session(b, s, 1, drafts);
        if (!added && drafts) added = add_session(b, s, 1, 0);
        b->f->n_decode += added;
    }
    e->flights.turn = (e->flights.turn + 1) % e->config.max_sessions;
}

/* A prompt's place among the others: by its rows that are left, then by when it came. */
typedef struct place { int rows; uint64_t number; } place;

static int is_before(place a, place b)
{
    return a.rows != b.rows ? a.rows < b.rows : a.number < b.number;
}

/* The first prompt behind `after` that could have rows, and its place; NULL: none. */
static goss_session *next_prompt(goss_engine *e, place after, place *at)
{
    goss_session *best = NULL;
    for (int i = 0; i < e->config.max_sessions; i++) {
        goss_session *s = e->sessions[i];
        if (!is_ready(s) || !is_prefill(s)) continue;
        const place p = { s->seq.n - s->seq.kv.n, s->join->number };
        if (is_before(after, p) && (!best || is_before(p, *at))) { best = s; *at = p; }
    }
    return best;
}

/* Somebody decodes: 2; somebody else has a prompt: 1; the only one: 0. */
static int others_wait(goss_engine *e)
{
    int prompts = 0, decodes = 0;
    for (int i = 0; i < e->config.max_sessions; i++) {
        goss_session *s = e->sessions[i];
        if (!s || !s->seq.active || s->seq.closed || s->canceled || s->join->waits || s->join->stuck)
            continue;
        if (is_prefill(s)) prompts++;
        else decodes++;
    }
    return decodes ? 2 : prompts > 1;
}

/* How many rows of prompts the step may have; `shortest` is what the first prompt has left. */
static int prompt_rows(builder *b, int shortest)
{
    goss_engine *e = b->e;
    const int waits = others_wait(e), aside = b->f->aside;
    const double now = goss_os_now_ms();
    if (waits) e->flights.t_waited = now;
    const int soon = e->flights.t_waited > 0 && now - e->flights.t_waited < (double)AGAIN_MS,
              small = can_pause(e) ? !aside : soon, rows = e->pace.chunk_rows[small],
              fair = waits == 2 && shortest > GOSS_FAIR_ROWS && !aside,
              most = fair ? GOSS_FAIR_ROWS : shortest + (shortest + 6) / 7;
    b->f->waits = small;
    return waits && rows > most ? most : rows;
}

static void share_prefills(builder *b)
{
    goss_engine *e = b->e;
    place at = { 0 }, next;
    goss_session *s = next_prompt(e, at, &at);
    int rest = s ? prompt_rows(b, at.rows) : 0;
    if (rest > b->most) rest = b->most;
    const int share = (rest + 7) / 8;
    for (goss_session *other; s && rest > 0; s = other, at = next) {
        other = next_prompt(e, at, &next);
        int n = other ? rest - share : rest;
        if (n > at.rows) n = at.rows;
        if (n < 1 || !add_session(b, s, n, 0)) continue;
        rest -= n;
        b->f->n_prefill += n;
    }
}

/* 1: there was something. Without room in the KV for a step that may be paused it is a small one. */
static int add_prefills(builder *b)
{
    goss_engine *e = b->e;
    b->f->aside = can_pause(e) && !e->flights.is_paused;
    share_prefills(b);
    if (!b->n_rows && b->f->aside) {
        b->f->aside = b->full = 0;
        share_prefills(b);
    }
    b->f->step.many = b->n_rows > 0 && e->loaded.max_rows > GOSS_DECODE_ROWS;
    return b->n_rows > 0;
}

/* What the paused step's first prompt has left, and when it came. */
static place paused_place(const goss_engine *e)
{
    const goss_flight *f = &e->flights.paused;
    place first = { INT_MAX, 0 };
    for (int i = 0; i < f->step.n_seqs; i++) {
        const goss_session *s = f->parts[i].session;
        const place p = { s->seq.n - s->seq.kv.n, s->join->number };
        if (is_before(p, first)) first = p;
    }
    return first;
}

/* Whether a turn of prompts is the paused step's. Where there are others, whoever is first by its place has
 * seven turns of eight. */
static int goes_on(goss_engine *e)
{
    place other = { 0 };
    if (!e->flights.is_paused) return 0;
    if (!next_prompt(e, other, &other)) return 1;
    const int first = is_before(paused_place(e), other), others_turn = e->flights.firsts == 7;
    e->flights.firsts = others_turn ? 0 : e->flights.firsts + 1;
    return first != others_turn;
}

/* Idle time: the next chunk of a prefix that is worth having. */
static void add_warm(builder *b)
{
    goss_cached *c = b->e->flights.n ? NULL : goss_cache_next_warm(&b->e->prefixes.cache);
    if (!c) return;
    int n = c->seq.n - c->seq.kv.n;
    if (n > b->e->pace.chunk_rows[1]) n = b->e->pace.chunk_rows[1];
    if (add_rows(b, &c->seq.kv, c->seq.tokens, c->seq.n, n, 0, (goss_part){ .warm = c },
                 (goss_seq){ .slot = b->e->config.max_sessions }))
        c->seq.n_inflight = 1;
    else c->warm = 0;
    b->f->step.many = b->e->loaded.max_rows > GOSS_DECODE_ROWS;
}

/* Somebody decodes its first tokens: most of an answer's header, then its first words. */
static int begins(goss_engine *e)
{
    for (int i = 0; i < e->config.max_sessions; i++) {
        goss_session *s = e->sessions[i];
        if (is_ready(s) && !is_prefill(s) && s->turn.n_generated < FIRST_STEPS) return 1;
    }
    return 0;
}

static int most_rows(const goss_engine *e)
{
    const int most = e->loaded.max_rows;
    return e->flights.is_paused && most > GOSS_BESIDE_ROWS ? GOSS_BESIDE_ROWS : most;
}

/* The step that runs next: a new one, or the paused one. NULL: there is nothing to do, or no room (*full). */
static goss_flight *build(goss_engine *e, int *full)
{
    goss_flight *f = &e->flights.ring[(e->flights.first + e->flights.n) % e->flights.n_ring];
    builder b = { .e = e, .f = f, .most = most_rows(e) };
    f->n_decode = f->n_prefill = f->waits = f->aside = 0;
    f->ran_ms = 0;
    f->step = (goss_step){ .rows = f->rows, .seqs = f->seqs };
    if (!e->flights.decodes || (e->flights.decodes < FIRST_STEPS && begins(e))) add_decodes(&b);
    const int on = !b.n_rows && goes_on(e);
    if (on || (!b.n_rows && add_prefills(&b))) e->flights.decodes = 0;
    else e->flights.decodes++;
    if (on) return &e->flights.paused;
    if (!b.n_rows) add_decodes(&b);
    if (!b.n_rows && e->flights.is_paused) return &e->flights.paused;
    *full = b.full && !b.n_rows;
    if (!b.n_rows && !*full) add_warm(&b);
    f->step.n_rows = b.n_rows;
    f->step.n_seqs = b.n_parts;
    return b.n_rows ? f : NULL;
}

/* ---- results ------------------------------------------------------------------------------------------- */
/* row: the number of the first one that is sampled, in the step. */
static void take_picks(goss_engine *e, goss_session *s, goss_part *p, const goss_step *step, int row,
                       const goss_pick *picks)
{
    int stop = GOSS_STOP_NONE, accepted = 0;
    for (int i = 0; i < p->n_picks && !stop; i++) {
        const int32_t draft = i < p->n_drafts ? s->seq.tokens[s->seq.n] : -1;
        goss_tape_row(e->tape, s->slot, step->rows[row + i].pos, -1, e->loaded.backend, step, row + i);
        goss_told_seen(e, s, step, row + i);
        stop = goss_session_token(s, &picks[i], i < p->n_drafts && picks[i].token == draft);
        if (i < p->n_drafts && picks[i].token != draft) break;
        accepted += i < p->n_drafts;
    }
    p->n_accepted = accepted;
    if (p->n_drafts) {
        goss_pace_result(&s->drafts, p->n_drafts, accepted);
        e->stats.n_drafted += (uint64_t)p->n_drafts;
        e->stats.n_accepted += (uint64_t)accepted;
        goss_telemetry_speculation(&e->telemetry, &s->turn, p->n_drafts, accepted);
        goss_tape_drafts(e->tape, p->n_drafts, accepted);
    }
    if (stop) goss_session_finish(s, stop, NULL);
    else if (p->n_drafts && s->seq.kv.n >= s->seq.n) goss_kv_truncate(&s->seq.kv, s->seq.n - 1);
    else if (s->seq.n_inflight && goss_output_mask(&s->output)) goss_session_forget(s, s->seq.n - 1);
}

/* Idle time has filled more of the cache than the last turn's end could tell. */
static void report_memory(goss_engine *e)
{
    goss_stats all;
    goss_backend_stats b = { 0 };
    if (!goss_telemetry_on(&e->telemetry, GOSS_TELEMETRY_TOKENS | GOSS_TELEMETRY_ROWS)) return;
    goss_engine_stats(e, &all);
    e->loaded.backend->vt->stats(e->loaded.backend, &b);
    goss_telemetry_memory(&e->telemetry, &all, &b);
}

/* The rows of the prompt that the step computed, from number `row` of it on. */
static void tape_prompt(goss_engine *e, const goss_part *p, const goss_step *step, int row)
{
    const goss_session *s = p->session;
    for (int i = 0; e->tape && i < p->n_rows && p->pos + i < s->turn.n_prompt; i++)
        goss_tape_row(e->tape, s->slot, p->pos + i, s->seq.tokens[p->pos + i], e->loaded.backend, step,
                      row + i);
}

static void take_part(goss_engine *e, goss_part *p, const goss_step *step, int row, const goss_pick *picks)
{
    if (p->warm) {
        p->warm->seq.n_inflight = 0;
        report_memory(e);
        return;
    }
    goss_session *s = p->session;
    s->seq.n_inflight--;
    if (s->seq.closed) {
        if (!s->seq.n_inflight) goss_session_free(s);
        return;
    }
    if (p->epoch != s->epoch || !s->seq.active) return;
    const int done = p->pos + p->n_rows < s->turn.n_prompt ? p->pos + p->n_rows : s->turn.n_prompt;
    if (done > s->turn.n_prefilled) goss_session_prefilled(s, done, p->n_rows);
    tape_prompt(e, p, step, row);
    take_picks(e, s, p, step, row + p->n_rows - p->n_picks, picks);
    if (s->seq.active && s->turn.prefill_only && s->seq.kv.n >= s->seq.n) {
        s->turn.t_first = goss_os_now_ms();
        goss_session_finish(s, s->turn.prefill_stop, NULL);
    }
}

/* The step's KV becomes its session's, if that still wants it. */
static void take_aside(goss_engine *e, const goss_part *p)
{
    goss_session *s = p->session;
    goss_kv *aside = &e->flights.aside[s->slot];
    if (p->epoch == s->epoch && s->seq.active && !s->seq.closed) {
        const goss_kv own = s->seq.kv;
        s->seq.kv = *aside;
        *aside = own;
    }
    goss_kv_clear(aside);
}

static void fail_parts(goss_engine *e, const goss_flight *f, const goss_error *why)
{
    for (int i = 0; i < f->step.n_seqs; i++) {
        const goss_part *p = &f->parts[i];
        if (f->aside) goss_kv_clear(&e->flights.aside[p->session->slot]);
        if (p->warm) {
            p->warm->seq.n_inflight = p->warm->warm = 0;
            goss_kv_truncate(&p->warm->seq.kv, p->pos);
            continue;
        }
        goss_session *s = p->session;
        s->seq.n_inflight--;
        if (s->seq.closed && !s->seq.n_inflight) goss_session_free(s);
        else if (p->epoch == s->epoch) {
            goss_session_forget(s, p->pos);
            goss_session_finish(s, GOSS_STOP_ERROR, why);
        }
    }
}

/* Returns how long it ran. */
static double account(goss_engine *e, const goss_flight *f)
{
    const double now = goss_os_now_ms(), ms = now - f->t0 + f->ran_ms;
    const double own = now - (f->t0 > e->flights.t_collected ? f->t0 : e->flights.t_collected);
    if (f->step.many && f->n_prefill) goss_pace_chunk(&e->pace, f->waits, f->step.n_rows, own);
    else if (f->n_decode && !f->n_prefill) goss_pace_time(&e->pace, f->step.n_rows, own);
    e->flights.t_collected = now;
    e->stats.n_steps++;
    e->stats.n_rows += (uint64_t)f->step.n_rows;
    if (f->n_prefill || !f->n_decode) e->stats.prefill_ms += ms;
    else e->stats.decode_ms += ms;
    goss_tape_step(e->tape, now - ms, ms, &f->step, f->n_prefill);
    return ms;
}

static void cut_tape(goss_engine *e)
{
    goss_stats stats;
    goss_engine_stats(e, &stats);
    goss_tape_cut(e->tape, &stats);
}

/* What all answers end with: a device or a rank that is lost; in a ring also a link that a rank's layers came
 * over, for no later step would do better. */
static int is_fatal(const goss_engine *e, int rc)
{
    return rc == GOSS_ELOST || (rc == GOSS_EIO && e->config.ring);
}

/* Takes the oldest step's results. 1: taken, 0: not there yet, or an error that the whole engine suffers. */
static int collect(goss_engine *e, int timeout_ms, goss_error *err)
{
    goss_flight *f = &e->flights.ring[e->flights.first];
    goss_error failed = { .position = -1 };
    const double began = goss_os_thread_ms();
    const int rc = e->loaded.backend->vt->poll(e->loaded.backend, &f->step, timeout_ms, f->picks, &failed);
    e->model_ms += goss_os_thread_ms() - began;
    if (rc == GOSS_EAGAIN) return 0;
    if (is_fatal(e, rc)) { *err = failed; return rc; }
    e->flights.first = (e->flights.first + 1) % e->flights.n_ring;
    e->flights.n--;
    if (rc) { fail_parts(e, f, &failed); return 1; }
    const double ms = account(e, f);
    e->load.n_lost = 0;
    const goss_pick *picks = f->picks;
    for (int i = 0, row = 0; i < f->step.n_seqs; i++) {
        if (f->aside) take_aside(e, &f->parts[i]);
        take_part(e, &f->parts[i], &f->step, row, picks);
        picks += f->parts[i].n_picks;
        row += f->parts[i].n_rows;
    }
    goss_told_step(e, f, ms);
    if (goss_tape_full(e->tape)) cut_tape(e);
    return 1;
}

static void swap_flights(goss_flight *a, goss_flight *b)
{
    const goss_flight f = *a;
    *a = *b;
    *b = f;
}

/* Its time is over, its rows are not done. */
static void pause_step(goss_engine *e, goss_flight *f)
{
    f->ran_ms += goss_os_now_ms() - f->t0;
    if (f == &e->flights.paused) return;
    swap_flights(f, &e->flights.paused);
    e->flights.is_paused = 1;
}

/* Before a step begins or goes on. */
static void announce(goss_engine *e, goss_flight *f)
{
    const goss_session *last = f->parts[f->rows[f->step.n_rows - 1].seq].session;
    if (f == &e->flights.paused) {
        if (e->flights.beside) goss_observe_reset(e->observer); /* it has seen another step's layers */
        e->flights.beside = 0;
        return;
    }
    goss_observe_step(e->observer, &f->step, last ? last->slot : -1);
    if (e->flights.is_paused && !e->flights.beside) e->stats.n_paused++;
    e->flights.beside = e->flights.is_paused;
}

/* A new step, or the paused one goes on. */
static int submit(goss_engine *e, goss_flight *f, goss_error *err)
{
    goss_error failed = { .position = -1 };
    goss_flight *next = &e->flights.ring[(e->flights.first + e->flights.n) % e->flights.n_ring];
    announce(e, f);
    f->t0 = goss_os_now_ms();
    f->step.stage_us = e->tape && !on_device(e) && !f->aside ? goss_tape_timed(e->tape) : NULL;
    if (f->aside) f->step.until = f->t0 + goss_pace_slice(&e->pace);
    const double began = goss_os_thread_ms();
    const int rc = f == next ? goss_forward(e->loaded.backend, &f->step, &failed)
                              : goss_forward_on(e->loaded.backend, &f->step, &failed);
    e->model_ms += goss_os_thread_ms() - began;
    if (is_fatal(e, rc)) { *err = failed; return rc; }
    if (rc == GOSS_EAGAIN && f->aside) { pause_step(e, f); return 1; }
    if (f != next) {
        swap_flights(f, next);
        e->flights.is_paused = 0;
    }
    if (rc) { fail_parts(e, next, &failed); return 1; }
    e->flights.n++;
    return 1;
}

/* Whether somebody still waits for the paused step's rows. */
static int is_wanted(const goss_flight *f)
{
    for (int i = 0; i < f->step.n_seqs; i++) {
        const goss_part *p = &f->parts[i];
        if (p->epoch == p->session->epoch && p->session->seq.active && !p->session->seq.closed) return 1;
    }
    return 0;
}

/* Gives the paused step up, when all its prompts were: their sessions may have others. */
static void drop_unwanted(goss_engine *e)
{
    goss_flight *f = &e->flights.paused;
    if (!e->flights.is_paused || is_wanted(f)) return;
    e->flights.is_paused = 0;
    e->loaded.backend->vt->release(e->loaded.backend, &f->step);
    for (int i = 0; i < f->step.n_seqs; i++) {
        goss_session *s = f->parts[i].session;
        goss_kv_clear(&e->flights.aside[s->slot]);
        s->seq.n_inflight--;
        if (s->seq.closed && !s->seq.n_inflight) goss_session_free(s);
    }
}

void goss_steps_drain(goss_engine *e)
{
    goss_error err;
    while (e->flights.n && e->loaded.backend && collect(e, 100, &err) >= 0) { }
    e->flights.n = 0;
}

void goss_steps_drop(goss_engine *e)
{
    e->flights.n = 0;
    for (int i = 0; i < e->config.max_sessions; i++) {
        if (!e->sessions[i]) continue;
        goss_session_forget(e->sessions[i], 0);
        e->sessions[i]->seq.n_inflight = 0;
    }
}

/* ---- polling ------------------------------------------------------------------------------------------- */
static void end_canceled(goss_engine *e)
{
    for (int i = 0; i < e->config.max_sessions; i++) {
        goss_session *s = e->sessions[i];
        if (s && s->seq.active && s->canceled) goss_session_finish(s, GOSS_STOP_CANCELED, NULL);
    }
}

static int thinks(const goss_session *s)
{
    return s && s->seq.active && !s->seq.closed && !s->canceled && goss_output_thinks(&s->output);
}

/* The masks of what is sampled next, for a slice of time, in turn. Returns how many are not known yet. */
static int think(goss_engine *e)
{
    const double until = goss_os_now_ms() + (double)SLICE_MS;
    int later = 0, any = 0;
    for (int i = 0; i < e->config.max_sessions; i++) {
        goss_session *s = e->sessions[(e->flights.turn + i) % e->config.max_sessions];
        goss_error err = { .position = -1 };
        if (!thinks(s)) continue;
        const int rc = any && goss_os_now_ms() >= until ? 0 : goss_output_think(&s->output, until, &err);
        any = 1;
        if (rc < 0) goss_session_finish(s, GOSS_STOP_ERROR, &err);
        later += !rc;
    }
    return later;
}

/* Prompts whose wait for another's prefill is over go on. */
static void end_waits(goss_engine *e)
{
    for (int i = 0; i < e->config.max_sessions; i++)
        if (e->sessions[i]) e->sessions[i]->join->stuck = !goss_events_room(&e->sessions[i]->events);
    for (int i = 0; i < e->config.max_sessions; i++)
        if (e->sessions[i] && goss_join_over(&e->joins, i)) goss_session_join(e->sessions[i]);
}

/* All that could run wants KV that nobody can give: the youngest gives up, so that the others go on. */
static void give_up_youngest(goss_engine *e)
{
    goss_session *youngest = NULL;
    for (int i = 0; i < e->config.max_sessions; i++) {
        goss_session *s = e->sessions[i];
        if (!s || !s->seq.active || s->join->waits || s->seq.n_inflight) continue;
        if (!youngest || s->turn.t_prompt > youngest->turn.t_prompt) youngest = s;
    }
    if (!youngest) return;
    goss_error err;
    goss_fail(&err, GOSS_EFULL, -1, "the KV cache is full: %d sessions share %llu MB of it",
              e->config.max_sessions, (unsigned long long)(e->loaded.plan.kv_bytes >> 20));
    goss_session_finish(youngest, GOSS_STOP_ERROR, &err);
    goss_kv_clear(&youngest->seq.kv);
}

/* A prompt that was only to be prefilled and was there already. */
static void end_prefilled(goss_engine *e)
{
    for (int i = 0; i < e->config.max_sessions; i++) {
        goss_session *s = e->sessions[i];
        if (!s || !s->seq.active || s->canceled || !s->turn.prefill_only || s->seq.n_inflight ||
            s->seq.kv.n < s->seq.n)
            continue;
        goss_session_finish(s, s->turn.prefill_stop, NULL);
    }
}

static int more_to_do(goss_engine *e)
{
    if (e->flights.n || e->flights.is_paused) return 1;
    for (int i = 0; i < e->config.max_sessions; i++) {
        goss_session *s = e->sessions[i];
        if (is_ready(s) || thinks(s) || (s && s->seq.active && (s->canceled || s->join->waits))) return 1;
    }
    return goss_cache_next_warm(&e->prefixes.cache) != NULL || goss_prefix_store_waits(e->prefixes.store);
}

static int most_in_flight(const goss_engine *e)
{
    const int most = e->loaded.backend->vt->in_flight;
    for (int i = 0; i < e->config.max_sessions && most > 2 && on_device(e); i++)
        if (is_ready(e->sessions[i]) && is_prefill(e->sessions[i])) return 2;
    return most;
}

int goss_steps_advance(goss_engine *e, int timeout_ms, goss_error *err)
{
    e->prefixes.cache.clock++;
    end_canceled(e);
    drop_unwanted(e);
    end_waits(e);
    end_prefilled(e);
    if (think(e)) timeout_ms = 0;
    const int most = most_in_flight(e);
    int submitted = 0, full = 0, rc;
    if (e->flights.n < most) {
        goss_flight *f = build(e, &full);
        if (f) {
            rc = submit(e, f, err);
            if (rc < 0) return rc;
            submitted = 1;
        } else if (full && !e->flights.n) give_up_youngest(e);
        else if (!e->flights.n) goss_prefix_store_idle(e->prefixes.store, timeout_ms);
    }
    if (e->flights.n) {
        const int room = submitted && e->flights.n < most;
        rc = collect(e, room ? 0 : timeout_ms, err);
        if (rc < 0) return rc;
    }
    rc = goss_load_fill(&e->load, err);
    const int more = more_to_do(e);
    goss_told(e, !more);
    return rc < 0 ? rc : rc | more;
}
