/* turn.h - one generation in numbers, and the lines about it: what a session counts while it answers one
 * prompt is what telemetry says of it. */
#ifndef GOSS_TELEMETRY_TURN_H
#define GOSS_TELEMETRY_TURN_H
#include "model/stage.h"
#include "telemetry.h"
#include "text/vocab.h"

typedef struct goss_turn {
    const goss_session *session; int slot;   /* whose it is; a name only */
    int n_prompt, n_prefilled;               /* tokens of the prompt; of them those whose KV is there */
    int n_reused, n_stored, n_joined;        /* of the prompt: not computed; from the store; by joining */
    int from;                                /* slot of the session that computed what is reused, -1: none */
    int n_generated, n_limit;                /* tokens generated; the position where it ends at the latest */
    int prefill_only, prefill_stop;          /* 1: nothing is generated; the GOSS_STOP reason then */
    double sum_logprob;                      /* of the generated tokens */
    double t_prompt, t_first, t_last;        /* when the prompt came, the first token, the last or the end */
} goss_turn;

/* How a turn is computed: words and numbers for its first line. */
typedef struct goss_turn_mode {
    const char *attn, *moe, *sample, *backend, *kv, *format;
    int n_layer, max_kv;
} goss_turn_mode;
/* How full the KV of its sequence is. */
typedef struct goss_turn_kv { int n, most, window_base; uint64_t bytes; } goss_turn_kv;

const char *goss_stop_name(int stop); /* of a GOSS_STOP: "eos" */
/* ids: the prompt's tokens */
void goss_telemetry_prompt(goss_telemetry *t, const goss_turn *turn, const goss_turn_mode *mode,
                           const goss_vocab *v, const int32_t *ids);
/* What is known of the row that chose the next token; got: which parts of it are there (GOSS_SEEN). */
void goss_telemetry_seen(goss_telemetry *t, const goss_turn *turn, const goss_seen *seen, int got,
                         int n_layer, int n_used);
void goss_telemetry_prefill(goss_telemetry *t, const goss_turn *turn, int n_rows);
void goss_telemetry_token(goss_telemetry *t, const goss_turn *turn, const goss_vocab *v,
                          const goss_pick *pick, const goss_turn_kv *kv);
void goss_telemetry_channel(goss_telemetry *t, const goss_turn *turn, const char *channel,
                            const char *recipient);
void goss_telemetry_speculation(goss_telemetry *t, const goss_turn *turn, int drafted, int accepted);
/* The turn is over. newest: the newest token's place in the turn's tokens, n_generated of which stand before
 * it. */
void goss_telemetry_done(goss_telemetry *t, const goss_turn *turn, int stop, const int32_t *newest);
/* What sessions have had of one another since the engine opened, and the memory. */
void goss_telemetry_totals(goss_telemetry *t, const goss_turn *turn, const goss_stats *all,
                           const goss_backend_stats *backend);
/* The memory alone. */
void goss_telemetry_memory(goss_telemetry *t, const goss_stats *s, const goss_backend_stats *b);
#endif
