/* pace.c - how many guesses a step should verify: as many as make the most tokens a millisecond; and how many rows of
 * prompts it may take: on a GPU it begins with GOSS_ROWS and doubles as long as a step stays below half a second.
 *
 * A step of r rows takes c(r): measured as steps go by (steps of decode rows alone, 1 to 16 rows), and where that
 * number of
 * rows has not been seen, what the bytes say: every weight once, of the experts those that r rows choose if they
 * choose
 * evenly. A guess is right with p, learnt from this session's guesses. k guesses bring p + p^2 + ... + p^k tokens
 * more.
 *
 *   length = the k that makes (R + p + ... + p^k) / (c(R + k) + k * what a guess costs) largest; R: rows of the
 * step besides
 *
 * It begins with one guess, may double after each that was right to the end, and where k = 0 is best it rests: 24
 * tokens,
 * then 48, up to 384 while the guesses between fail too, so that what never pays costs less than 3 %. The first guess
 * and one after each rest is made whatever the times say: they may have been taken in a bad moment. Steps stay
 * within 16
 * rows, where a row's result does not depend on the others'. The reference backend, whose time nobody counts,
 * drafts as
 * much as it may: its tests want many drafts. */
#include "engine.h"
#include <math.h>
#include <string.h>

enum { REST_FIRST = 24, REST_MOST = 384, ROWS = GOSS_DRAFT_MAX + 1, CHUNK_MS = 500 };
static const double FADE = 0.9, HITS = 0.8, NEW = 0.5;   /* HITS of 1 try: what is believed before anything is known */

static int counts_time(const goss_engine *e) { return strcmp(e->backend->vt->name, "ref") != 0; }

/* The bytes that r rows read, in units of what one row reads. */
static double bytes_of(const goss_engine *e, int r)
{
    const goss_hparams *h = &e->model.hp;
    const double all = (double)goss_model_step_bytes(&e->model),
        experts = (double)goss_model_step_expert_bytes(&e->model);
    if (!h->n_expert || all <= 0) return 1 + 0.1 * (r - 1);
    const double share = (double)h->n_expert_used / h->n_expert;
    return 1 + experts / all * ((1 - pow(1 - share, r)) / share - 1);
}

/* c(r): measured, between two measured ones, or scaled from the nearest. */
static double cost(const goss_engine *e, int r)
{
    const double *ms = e->step_ms;
    if (r > ROWS) r = ROWS;
    if (ms[r] > 0) return ms[r];
    int low = r, high = r;
    while (low > 0 && ms[low] <= 0) low--;
    while (high < ROWS && ms[high] <= 0) high++;
    if (ms[high] <= 0) high = 0;
    if (low && high) return ms[low] + (ms[high] - ms[low]) * (r - low) / (high - low);
    const int near = low ? low : high;
    return near ? ms[near] * bytes_of(e, r) / bytes_of(e, near) : bytes_of(e, r);
}

void goss_pace_time(goss_engine *e, int n_rows, double ms)
{
    if (n_rows < 1 || n_rows > ROWS || ms <= 0) return;
    double *known = &e->step_ms[n_rows];
    if (*known <= 0) *known = ms;
    else *known += (ms - *known) * (ms < *known ? NEW : NEW / 4); /* what is slow once was disturbed */
}

void goss_pace_chunk(goss_engine *e, int n_rows, double ms)
{
    while (2 * n_rows >= e->chunk_rows && 2 * e->chunk_rows <= e->max_rows &&
           ms * 2 * e->chunk_rows <= (double)n_rows * (double)CHUNK_MS)
        e->chunk_rows *= 2;
}

/* ---- a session ----------------------------------------------------------------------------------------------- */
void goss_pace_reset(goss_session *s)
{
    s->draft_most = counts_time(s->engine) ? 1 : 4;
    s->draft_pause = s->draft_want = s->n_drafts = 0;
    s->draft_probe = 1;
    s->draft_rest = REST_FIRST;
    s->draft_hits = HITS;
    s->draft_tries = 1;
}

static int best_length(const goss_session *s, int most, double guess_ms)
{
    const goss_engine *e = s->engine;
    const double p = s->draft_hits / s->draft_tries;
    const int rows = e->n_deciding > 1 ? e->n_deciding : 1;
    double gain = rows, last = 1, best = gain / cost(e, rows);
    int length = 0;
    if (most > ROWS - rows) most = ROWS - rows;
    for (int k = 1; k <= most; k++) {
        gain += last *= p;
        const double rate = gain / (cost(e, rows + k) + k * guess_ms);
        if (rate > best) { best = rate; length = k; }
    }
    return length;
}

int goss_pace_length(goss_session *s, double guess_ms)
{
    const int left = s->n_limit - s->n_known - 1, most = left < s->draft_most ? left : s->draft_most;
    if (s->draft_pause > 0) { s->draft_pause--; return 0; }
    if (most < 1) return 0;
    if (!counts_time(s->engine)) return most;
    if (s->engine->step_ms[1] <= 0 &&
        s->engine->n_deciding <= 1) return 0; /* what there is to gain is not known yet */
    const int length = best_length(s, most, guess_ms);
    if (length || s->draft_probe) return length ? length : 1;
    s->draft_pause = s->draft_rest;               /* then one guess again, believed a little */
    if (s->draft_rest < REST_MOST) s->draft_rest *= 2;
    s->draft_most = s->draft_probe = 1;
    s->draft_hits = HITS;
    s->draft_tries = 1;
    return 0;
}

void goss_pace_result(goss_session *s, int drafted, int accepted)
{
    s->draft_probe = 0;
    s->draft_hits = s->draft_hits * FADE + accepted;
    s->draft_tries = s->draft_tries * FADE + accepted + (accepted < drafted);
    if (accepted) s->draft_rest = REST_FIRST;
    if (accepted == drafted && drafted >= s->draft_most) s->draft_most *= 2;
    if (s->draft_most > GOSS_DRAFT_MAX) s->draft_most = GOSS_DRAFT_MAX;
}
