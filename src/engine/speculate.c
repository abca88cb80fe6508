/* speculate.c - who drafts, and from what.
 *
 * Exact by construction: each drafted row is sampled with the random number of its own position, so what
 * comes out is what would have come out one token at a time; a wrong guess costs its row. Guesses come from
 * what the caller says the answer will probably be (an edited text, say) if it says so, else from the draft
 * model when there is one, else from the continuation of the last place where the newest tokens stood before.
 * How many are drafted: pace.c. */
#include "speculate.h"
#include "base/os.h"
#include "engine_state.h"
#include "guess.h"

static int may_draft(goss_session *s)
{
    return s->drafts.on && s->drafts.want > 0 && !goss_output_mask(&s->output);
}

/* Sessions whose next row is in the step that is being built. Returns whether anybody speculates. */
static int count_deciding(goss_engine *e)
{
    int any = 0;
    e->pace.n_deciding = 0;
    for (int i = 0; i < e->config.max_sessions; i++) {
        const goss_session *s = e->sessions[i];
        e->pace.n_deciding += s && s->seq.active && !s->seq.closed && s->seq.n - s->seq.kv.n <= 1;
        any |= s && s->drafts.on;
    }
    return any;
}

static int decides_now(const goss_session *s)
{
    return s && s->seq.active && !s->seq.closed && !s->canceled && !s->seq.n_inflight &&
           s->seq.n - s->seq.kv.n == 1;
}

void goss_speculate_all(goss_engine *e)
{
    goss_draft_model *d = e->draft_model;
    int n = 0;
    if (!count_deciding(e)) return;
    for (int i = 0; i < e->config.max_sessions; i++) {
        goss_session *s = e->sessions[i];
        if (!decides_now(s)) continue;
        goss_drafts *drafts = &s->drafts;
        const int by_model = d && !drafts->n_predicted, room = s->turn.n_limit - s->seq.n - 1;
        drafts->n = 0;
        drafts->want =
            drafts->on ? goss_pace_length(&e->pace, drafts, room, by_model ? e->pace.guess_ms : 0) : 0;
        if (by_model && goss_events_room(&s->events) && may_draft(s))
            e->asks[n++] = (goss_draft_ask){ s->slot, &s->seq, &s->sampler, drafts };
    }
    if (!n) return;
    const double t0 = goss_os_now_ms();
    const int rounds = goss_draft_model_guess(d, e->asks, n);
    goss_pace_guess(&e->pace, (goss_os_now_ms() - t0) / rounds);
}

int goss_speculate(goss_session *s, int most)
{
    const goss_engine *e = s->engine;
    const goss_drafts *d = &s->drafts;
    const int n_vocab = e->loaded.model.hp.n_vocab;
    if (!may_draft(s)) return 0;
    const int free = goss_output_free(&s->output) - 1; /* with the token behind the drafts */
    if (most > d->want) most = d->want;
    if (most > free) most = free;
    if (most <= 0) return 0;
    if (d->n_predicted)
        return goss_guess_predicted(d, s->seq.tokens, s->seq.n, most, e->loaded.vocab, n_vocab);
    if (!e->draft_model) return goss_guess_repeat(s->seq.tokens, s->seq.n, most, e->loaded.vocab, n_vocab);
    return d->n < most ? d->n : most;
}
