/* output.h - from sampled tokens to events: stop tokens, the chat parser, UTF-8, stop texts, and the mask for
 * the next token. */
#ifndef GOSS_ENGINE_OUTPUT_H
#define GOSS_ENGINE_OUTPUT_H
#include "base/arena.h"
#include "base/utf8_stream.h"
#include "events.h"
#include "load.h"
#include "schema/grammar.h"
#include "telemetry/turn.h"

enum { GOSS_STOPS = 16, GOSS_STOP_BYTES = 256 };   /* stop texts of a prompt; bytes of one */
typedef struct goss_stop_text { char bytes[GOSS_STOP_BYTES]; int n; } goss_stop_text;

typedef struct goss_output {
    const goss_loaded *loaded;
    goss_schema_room *room;      /* the engine's, for schemas */
    goss_events *events;
    goss_telemetry *telemetry; const goss_turn *turn;
    int chat, no_guard, ignore_stop, one_call, n_probs, echo; /* as goss_params has them */
    int budget, n_thought;       /* tokens of analysis: at most, -1: any number; so far */
    int called;                  /* the last token ended a call */
    int position;                /* of the newest token */
    goss_utf8_stream utf8; goss_buf decoded, piece;
    goss_chat_parser *parser;
    goss_stop_text *stops; int n_stops;
    goss_buf held;               /* text that may be the start of a stop text */
    const char *channel; char recipient[128]; int message;
    uint32_t *mask; int guarded; /* (n_vocab bits); 1: the guard's, not a schema's */
    goss_grammar *grammar;       /* the answer's schema and strict tools', NULL: none */
} goss_output;

size_t goss_output_bytes(const goss_loaded *m);          /* of the arena */
/* loaded, room, events, telemetry and turn are set, and kept. 0 or GOSS_ENOMEM. */
int goss_output_open(goss_output *o, goss_arena *arena);
void goss_output_close(goss_output *o);
int goss_output_begin(goss_output *o, const goss_params *p, goss_error *err);
/* Of a prompt that ends inside the assistant's turn: what follows there is read in its place, and told where
 * params.echo wants it. */
int goss_output_resume(goss_output *o, const int32_t *ids, int n);
/* The token at `position`: a GOSS_STOP reason, GOSS_STOP_NONE to go on. */
int goss_output_token(goss_output *o, const goss_pick *pick, int position);
/* The GOSS_STOP reason that a prompt ends with which is an answer to its end, or GOSS_STOP_NONE. */
int goss_output_ends(const goss_output *o, int32_t last);
void goss_output_end(goss_output *o, goss_event *done); /* what was held back goes into `done` */
/* Works on the next token's mask until then (goss_os_now_ms). 1: known; 0: later; an error: the answer can't
 * go on, *err says why. */
int goss_output_think(goss_output *o, double until_ms, goss_error *err);
int goss_output_thinks(const goss_output *o);             /* 1: the mask is not known yet */
/* How many tokens may come before the budget may change the mask. */
int goss_output_free(const goss_output *o);
/* For the next token; NULL: anything may come. While it is not known: one that nothing may be sampled by. */
const uint32_t *goss_output_mask(goss_output *o);
#endif
