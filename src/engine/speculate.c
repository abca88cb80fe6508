/* speculate.c - drafts: tokens guessed cheaply, verified as rows of one step.
 *
 * Exact by construction: each drafted row is sampled with the random number of its own position, so what comes out is
 * what would have come out one token at a time; a wrong guess costs its row. Guesses are the continuation of the last
 * place where the newest tokens stood before (prompt look-up: 3, then 2 tokens).
 * How many are drafted follows what is accepted, and drafting pauses where it does not pay. Control tokens are never
 * drafted: behind one the guard may bind the next position, and rows of one step share one mask. */
#include "../base/mem.h"
#include "engine.h"

int goss_speculate_open(goss_engine *e, goss_error *err)
{
    (void)e;
    (void)err;
    return 0;
}

void goss_speculate_close(goss_engine *e) { (void)e; }

void goss_speculate_batch(goss_engine *e) { (void)e; }

void goss_speculate_reset(goss_session *s)
{
    s->draft_len = 4;
    s->draft_pause = 0;
    s->draft_rate = 0;
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

static int draft_ngram(goss_session *s, int most)
{
    int at = -1, n = 0;
    for (int len = 3; len >= 2 && at < 0; len--) at = s->n_known > len ? look_up(s->tokens, s->n_known, len) : -1;
    if (at < 0) return 0;
    for (; n < most && at + n < s->n_known; n++) {
        const int32_t token = s->tokens[at + n];
        if (goss_vocab_kind(s->engine->vocab, token) == GOSS_TOKEN_CONTROL) break;
        s->tokens[s->n_known + n] = token;
    }
    return n;
}

int goss_speculate(goss_session *s, int most)
{
    if (!s->draft || goss_output_wants_mask(s)) return 0;
    if (s->draft_pause > 0) { s->draft_pause--; return 0; }
    const int left = s->n_limit - s->n_known - 1;
    if (most > left) most = left;
    if (most > s->draft_len) most = s->draft_len;
    return most > 0 ? draft_ngram(s, most) : 0;
}

void goss_speculate_result(goss_session *s, int drafted, int accepted)
{
    if (accepted == drafted && s->draft_len < GOSS_DRAFT_MAX) s->draft_len += 2;
    if (accepted < drafted) s->draft_len = accepted + 2;
    if (s->draft_len > GOSS_DRAFT_MAX) s->draft_len = GOSS_DRAFT_MAX;
    if (!accepted) s->draft_pause = 4;
}
