/* guess.c - guesses from tokens that are there: n-grams (3, then 2 tokens) and predictions. */
#include "guess.h"
#include "base/mem.h"
#include <string.h>

/* Tokens that must stand before a place for its continuation to be guessed. */
enum { LONGEST = 3, SHORTEST = 2 };

int goss_guess_may(const goss_vocab *v, int n_vocab, int32_t token)
{
    return token >= 0 && token < n_vocab && goss_vocab_kind(v, token) != GOSS_TOKEN_CONTROL;
}

/* Writes what stands at `from` to `to`, as far as it may be drafted. */
static int copy_guesses(int32_t *to, int most, const int32_t *from, int n_from, const goss_vocab *v,
                        int n_vocab)
{
    int n = 0;
    for (; n < most && n < n_from && goss_guess_may(v, n_vocab, from[n]); n++) to[n] = from[n];
    return n;
}

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

int goss_guess_repeat(int32_t *tokens, int n, int most, const goss_vocab *v, int n_vocab)
{
    int at = -1;
    for (int len = LONGEST; len >= SHORTEST && at < 0; len--) at = n > len ? look_up(tokens, n, len) : -1;
    return at < 0 ? 0 : copy_guesses(tokens + n, most, tokens + at, n - at, v, n_vocab);
}

/* ---- predictions --------------------------------------------------------------------------------------- */
int goss_guess_predict(goss_drafts *d, const int32_t *ids, int n)
{
    goss_mem_free(d->predicted);
    d->predicted = NULL;
    d->n_predicted = d->predicted_at = 0;
    if (n < 1 || !ids) return 0;
    if (!(d->predicted = goss_mem_array((size_t)n, sizeof *ids))) return GOSS_ENOMEM;
    memcpy(d->predicted, ids, (size_t)n * sizeof *ids);
    d->n_predicted = n;
    return 0;
}

/* A wrong guess stands for the token that was sampled instead; when two in a row were wrong, the place is
 * looked up anew by the newest tokens. */
void goss_guess_move(goss_drafts *d, const int32_t *tokens, int n, int n_generated)
{
    const int32_t *t = tokens + n, *p = d->predicted;
    const int at = ++d->predicted_at, n_predicted = d->n_predicted;
    if (n_predicted < LONGEST + 1 || n_generated < LONGEST || at < 2) return;
    if (at <= n_predicted && (t[-1] == p[at - 1] || t[-2] == p[at - 2])) return;
    for (int i = LONGEST; i < n_predicted; i++)
        if (!memcmp(p + i - LONGEST, t - LONGEST, LONGEST * sizeof *p)) { d->predicted_at = i; return; }
}

int goss_guess_predicted(const goss_drafts *d, int32_t *tokens, int n, int most, const goss_vocab *v,
                         int n_vocab)
{
    const int at = d->predicted_at;
    return at < d->n_predicted
               ? copy_guesses(tokens + n, most, d->predicted + at, d->n_predicted - at, v, n_vocab)
               : 0;
}
