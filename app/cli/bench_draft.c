/* bench_draft.c - what speculation brings when a given share of the guesses is right, which random weights
 * can't give by themselves: the session decodes once without drafts, then again with those tokens as its
 * prediction, of which each is replaced by another with the remaining probability. Everything else is as
 * with any guesses: they are verified as rows of one step, and what comes out must be the same tokens. */
#include "base/error.h"
#include "bench_draft.h"
#include <stdlib.h>
#include <string.h>

typedef struct run { int32_t *ids; int n; double ms; } run;

static int decode(goss_bench *b, const int32_t *prompt, int n_prompt, const run *guess, run *out,
                  goss_error *err)
{
    goss_session *s = NULL;
    goss_event done;
    goss_params p = goss_params_default();
    p.temperature = 0;
    p.ignore_stop = 1;
    p.max_tokens = b->n_tokens + 1;
    if (guess) { p.predicted = guess->ids; p.n_predicted = guess->n; }
    int rc = goss_session_open(b->c.engine, &s, err);
    if (!rc) rc = goss_session_prompt(s, prompt, n_prompt, &p, err);
    if (!rc) rc = goss_bench_finish(b, s, &done, out->ids, b->n_tokens + 1, &out->n, err);
    goss_session_close(&s);
    out->ms = done.decode_ms;
    return rc;
}

static void spoil(goss_bench *b, const run *plain, int percent, run *guess)
{
    const uint32_t vocab = (uint32_t)b->info.n_vocab;
    guess->n = plain->n;
    for (int i = 0; i < plain->n; i++) {
        const int right = (int)(goss_bench_random(b) % 100) < percent;
        const uint32_t other = ((uint32_t)plain->ids[i] + 1 + goss_bench_random(b) % 97) % vocab;
        guess->ids[i] = right ? plain->ids[i] : (int32_t)other;
    }
}

static void report(goss_bench *b, int percent, const run *plain, const run *drafted, const goss_stats *from,
                   const goss_stats *to)
{
    goss_bench_result *r = goss_bench_add(b, "draft", percent, 1);
    if (!r) return;
    const double guesses = (double)(to->n_drafted - from->n_drafted),
        right = (double)(to->n_accepted - from->n_accepted);
    r->ms = drafted->ms / b->n_tokens;
    r->per_second = b->n_tokens * 1000 / drafted->ms;
    r->ratio = plain->ms / drafted->ms;
    snprintf(r->note, sizeof r->note, "times without; %.0f guesses, %.0f %% accepted, %.1f rows a step",
             guesses, guesses > 0 ? right / guesses * 100 : 0,
             (double)(to->n_rows - from->n_rows) / (double)(to->n_steps - from->n_steps));
}

int goss_bench_draft(goss_bench *b, int percent, goss_error *err)
{
    const size_t room = (size_t)b->n_tokens + 1;
    int32_t prompt[16];
    goss_stats from = { 0 }, to = { 0 };
    run plain = { .ids = calloc(room, 4) }, again = { .ids = calloc(room, 4) },
        guess = { .ids = calloc(room, 4) }, best = { 0 };
    int rc =
        plain.ids && again.ids && guess.ids ? 0 : goss_fail(err, GOSS_ENOMEM, -1, "no memory for the tokens");
    double plain_ms = 0;
    for (int i = 0; i < 16; i++)
        prompt[i] = (int32_t)(goss_bench_random(b) % (uint32_t)(b->info.n_vocab / 2));
    for (int i = 0; i < b->repeats && !rc; i++) { /* in turn; the best of each counts */
        rc = decode(b, prompt, 16, NULL, &plain, err);
        if (rc) break;
        if (plain_ms == 0 || plain.ms < plain_ms) plain_ms = plain.ms;
        spoil(b, &plain, percent, &guess);
        goss_stats before;
        goss_engine_stats(b->c.engine, &before);
        rc = decode(b, prompt, 16, &guess, &again, err);
        if (!rc && (again.n != plain.n || memcmp(again.ids, plain.ids, (size_t)plain.n * 4) != 0))
            rc = goss_fail(err, GOSS_ESTATE, -1, "with drafts other tokens came out");
        if (best.ms == 0 || again.ms < best.ms) {
            best.ms = again.ms;
            from = before;
            goss_engine_stats(b->c.engine, &to);
        }
    }
    plain.ms = plain_ms;
    if (!rc) report(b, percent, &plain, &best, &from, &to);
    free(plain.ids);
    free(again.ids);
    free(guess.ids);
    return rc;
}
