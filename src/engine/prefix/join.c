/* join.c - who waits for whose prefill. A wait names a prompt by its slot and number, so whoever has gone is
 * simply not found any more. */
#include "join.h"

int goss_join_look(goss_joins *j, int slot)
{
    enum { WORTH = 32 };                 /* positions: less is computed sooner than waited for */
    goss_join *mine = &j->prompt[slot];
    const goss_sequence *q = j->open[slot];
    int best = q->kv.n + WORTH;
    mine->waits = 0;
    for (int i = 0; i < j->n; i++) {
        const goss_sequence *o = j->open[i];
        const goss_join *other = &j->prompt[i];
        if (!o || i == slot || !o->active || other->ends || o->kv.n >= other->n_prompt) continue;
        const int n = goss_tokens_shared(o->tokens, other->n_prompt, q->tokens, mine->most);
        if (n < best || n <= o->kv.n || (n == best && mine->waits && other->waits)) continue;
        best = n;
        mine->waits = 1;
        mine->wanted_slot = i;
        mine->wanted_n = n;
        mine->wanted_number = other->number;
    }
    return mine->waits;
}

int goss_join_over(const goss_joins *j, int slot)
{
    const goss_join *mine = &j->prompt[slot], *other = &j->prompt[mine->wanted_slot];
    const goss_sequence *o = j->open[mine->wanted_slot];
    if (!mine->waits) return 0;
    const int computes = o && other->number == mine->wanted_number && o->active && !other->ends &&
                         o->kv.n < mine->wanted_n;
    return !computes || (!other->waits && !o->n_inflight && other->stuck);
}
