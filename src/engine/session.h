/* session.h - a session's life: everything it will ever need is taken when it opens (one arena, its KV's page
 * tables, its parser), so that decoding allocates nothing.
 *
 * The one representation that everything rests on: a session has `seq.n` tokens whose ids the host knows and
 * a KV that holds `seq.kv.n` positions, of which those in flight are not computed yet.
 *   kv.n <  n   the rest is to be put through the model: a prompt's chunk, or the one token sampled last
 *   kv.n == n   the token at position kv.n is being sampled; a device that keeps several steps in flight
 *   kv.n >  n   can be given its row already, and those behind it (GOSS_TOKEN_SAMPLED)
 * Stopping, cancelling, a rejected draft, a lost device: all are "forget what is in flight (epoch), truncate
 * the KV". */
#ifndef GOSS_ENGINE_SESSION_H
#define GOSS_ENGINE_SESSION_H
#include "base/arena.h"
#include "events.h"
#include "output.h"
#include "pace.h"
#include "prefix/join.h"
#include "telemetry/turn.h"

struct goss_session {
    goss_engine *engine;
    int slot;
    goss_arena arena;
    int n_many;                  /* positions before it are computed by the kernels for many rows */
    goss_sequence seq;           /* its tokens: (max_kv + GOSS_DRAFT_MAX + 2) by position */
    goss_turn turn;
    goss_join *join;             /* the engine's, by slot */
    goss_sampler sampler;
    goss_output output;
    goss_events events;
    goss_drafts drafts;
    uint32_t epoch;              /* results of steps begun under another are thrown away */
    int canceled;
};

void goss_session_free(goss_session *s);
/* A prompt that waited for another's prefill goes on with what there is. */
void goss_session_join(goss_session *s);
/* A token was sampled (drafted: as it was guessed): it is known now and becomes events. A GOSS_STOP
 * reason, GOSS_STOP_NONE to go on. */
int goss_session_token(goss_session *s, const goss_pick *pick, int drafted);
/* So many positions of the prompt have their KV, n_rows of them by the last step. */
void goss_session_prefilled(goss_session *s, int n_done, int n_rows);
void goss_session_finish(goss_session *s, int stop, const goss_error *error); /* queues DONE */
/* What is in flight is void; the KV goes back to n positions. */
void goss_session_forget(goss_session *s, int n);
#endif
