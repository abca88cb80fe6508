/* pace.c - how many guesses a step should verify: as many as make the most tokens a millisecond; and how
 * many rows of prompts one may take, by the rows a second that the last such steps made: as many as take a
 * quarter of a second, half a second where nobody waits, and GOSS_LEAST_ROWS at least. Where steps run one by
 * one (CPUs), one that others wait for takes no longer than CHUNK_STEPS decoded tokens besides, so that they
 * have their first words soon. A step that can be paused takes all rows that it may: small ones are dear
 * there, for every step unpacks the experts (of 20b's layers, 128 rows a step take 1.5 times the processor
 * time of 512; docs/waiting.md). It is paused after each slice of SLICE_STEPS decoded tokens' time, of
 * SLICE_MS while nobody has decoded; whoever comes waits for what is left of that slice.
 *
 * A step of r rows takes c(r): measured as steps go by (steps of decode rows alone, 1 to 16 rows), and
 * where that number of rows has not been seen, what the bytes say: every weight once, of the experts those
 * that r rows choose if they choose evenly. A guess is right with p, learnt from this session's guesses. k
 * guesses bring p + p^2 + ... + p^k tokens more.
 *
 *   length = the k that makes (R + p + ... + p^k) / (c(R + k) + k * what a guess costs) largest;
 *   R: rows of the step besides
 *
 * It begins with one guess, may double after each that was right to the end, and where k = 0 is best it
 * rests: 24 tokens, then 48, up to 384 while the guesses between fail too, so that what never pays costs
 * less than 3 %. The first guess and one after each rest is made whatever the times say: they may have
 * been taken in a bad moment. Steps stay within 16 rows, where a row's result does not depend on the
 * others'. The reference backend, whose time nobody counts, drafts as much as it may: its tests want many
 * drafts. */
#include "pace.h"
#include <math.h>

enum { REST_FIRST = 24, REST_MOST = 384, ROWS = GOSS_DRAFT_MAX + 1 };
enum { CHUNK_MS = 250, CHUNK_STEPS = 16, IDLE = 2, SLICE_STEPS = 8, SLICE_MS = 32 };
/* HITS of 1 try: what is believed before anything is known. */
static const double FADE = 0.9, HITS = 0.8, NEW = 0.5;

void goss_pace_open(goss_pace *p, const goss_model *m, int max_rows, int one_by_one, int counts_time)
{
    *p = (goss_pace){ .model = m, .counts_time = counts_time, .max_rows = max_rows };
    p->one_by_one = one_by_one;
}

void goss_pace_begin(goss_pace *p, int first_rows)
{
    const int least = p->max_rows < GOSS_LEAST_ROWS ? p->max_rows : GOSS_LEAST_ROWS;
    p->chunk_rows[0] = first_rows;
    p->chunk_rows[1] = least;
}

/* The bytes that r rows read, in units of what one row reads. */
static double bytes_of(const goss_pace *p, int r)
{
    const double one = goss_model_rows_bytes(p->model, 1);
    if (!p->model->hp.n_expert || one <= 0) return 1 + 0.1 * (r - 1);
    return goss_model_rows_bytes(p->model, r) / one;
}

/* c(r): measured, between two measured ones, or scaled from the nearest. */
static double cost(const goss_pace *p, int r)
{
    const double *ms = p->step_ms;
    if (r > ROWS) r = ROWS;
    if (ms[r] > 0) return ms[r];
    int low = r, high = r;
    while (low > 0 && ms[low] <= 0) low--;
    while (high < ROWS && ms[high] <= 0) high++;
    if (ms[high] <= 0) high = 0;
    if (low && high) return ms[low] + (ms[high] - ms[low]) * (r - low) / (high - low);
    const int near = low ? low : high;
    return near ? ms[near] * bytes_of(p, r) / bytes_of(p, near) : bytes_of(p, r);
}

void goss_pace_time(goss_pace *p, int n_rows, double ms)
{
    if (n_rows < 1 || n_rows > ROWS || ms <= 0) return;
    double *known = &p->step_ms[n_rows];
    if (*known <= 0) *known = ms;
    else *known += (ms - *known) * (ms < *known ? NEW : NEW / 4); /* what is slow once was disturbed */
}

/* What a step with rows of prompts may take. */
static double chunk_ms(const goss_pace *p)
{
    const double most = (double)CHUNK_MS, steps = p->one_by_one ? (double)CHUNK_STEPS * p->step_ms[1] : 0;
    return steps > 0 && steps < most ? steps : most;
}

/* A step has a fixed cost, so its speed says only what a step of about its size would take: what fits comes
 * nearer with each. A step much smaller than it may be says nothing. */
void goss_pace_chunk(goss_pace *p, int waits, int n_rows, double ms)
{
    int *rows = &p->chunk_rows[waits], most = p->max_rows, least = GOSS_LEAST_ROWS;
    if ((p->one_by_one && !waits) || 2 * n_rows < *rows || ms <= 0) return;
    const double fits = n_rows * chunk_ms(p) * (waits ? 1 : IDLE) / ms;
    if (most > 2 * *rows) most = 2 * *rows;
    if (least > most) least = most;
    *rows = fits > most ? most : fits < least ? least : (int)fits;
}

double goss_pace_slice(const goss_pace *p)
{
    const double ms = (double)SLICE_STEPS * p->step_ms[1];
    return ms <= 0 ? (double)SLICE_MS : ms < (double)CHUNK_MS ? ms : (double)CHUNK_MS;
}

void goss_pace_guess(goss_pace *p, double ms)
{
    p->guess_ms += (ms - p->guess_ms) * (p->guess_ms > 0 ? 0.2 : 1.0);
}

/* ---- a session ----------------------------------------------------------------------------------------- */
/* What is believed before anything is known, or after a rest. */
static void begin_again(goss_drafts *d)
{
    d->probe = 1;
    d->hits = HITS;
    d->tries = 1;
}

void goss_pace_reset(const goss_pace *p, goss_drafts *d)
{
    d->most = p->counts_time ? 1 : 4;
    d->pause = d->want = d->n = 0;
    d->rest = REST_FIRST;
    begin_again(d);
}

static int best_length(const goss_pace *p, const goss_drafts *d, int most, double guess_ms)
{
    const double right = d->hits / d->tries;
    const int rows = p->n_deciding > 1 ? p->n_deciding : 1;
    double gain = rows, last = 1, best = gain / cost(p, rows);
    int length = 0;
    if (most > ROWS - rows) most = ROWS - rows;
    for (int k = 1; k <= most; k++) {
        gain += last *= right;
        const double rate = gain / (cost(p, rows + k) + k * guess_ms);
        if (rate > best) { best = rate; length = k; }
    }
    return length;
}

int goss_pace_length(const goss_pace *p, goss_drafts *d, int room, double guess_ms)
{
    const int most = room < d->most ? room : d->most;
    if (d->pause > 0) { d->pause--; return 0; }
    if (most < 1) return 0;
    if (!p->counts_time) return most;
    if (p->step_ms[1] <= 0 && p->n_deciding <= 1) return 0; /* what there is to gain is not known yet */
    const int length = best_length(p, d, most, guess_ms);
    if (length || d->probe) return length ? length : 1;
    d->pause = d->rest;                           /* then one guess again, believed a little */
    if (d->rest < REST_MOST) d->rest *= 2;
    d->most = 1;
    begin_again(d);
    return 0;
}

void goss_pace_result(goss_drafts *d, int drafted, int accepted)
{
    d->probe = 0;
    d->hits = d->hits * FADE + accepted;
    d->tries = d->tries * FADE + accepted + (accepted < drafted);
    if (accepted) d->rest = REST_FIRST;
    if (accepted == drafted && drafted >= d->most) d->most *= 2;
    if (d->most > GOSS_DRAFT_MAX) d->most = GOSS_DRAFT_MAX;
}
