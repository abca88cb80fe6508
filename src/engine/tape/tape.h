/* tape.h - what an engine tells of itself while it is recorded, put into blocks (docs/recording.md) and
 * handed to whoever asked. All calls take NULL: then nothing is recorded. Once it is open, tokens and
 * steps allocate nothing; prompts may. */
#ifndef GOSS_TAPE_TAPE_H
#define GOSS_TAPE_TAPE_H
#include "model/stage.h"
#include "text/vocab.h"

enum { GOSS_TOP_SHOWN = 5, GOSS_TIMED_EVERY = 64 };

typedef struct goss_tape goss_tape;
/* model and vocab are kept. 0 or GOSS_ENOMEM. */
int goss_tape_open(goss_tape **out, const goss_record_config *c, const goss_model *m, const goss_vocab *v,
                   int max_sessions);
void goss_tape_close(goss_tape **tape);
void goss_tape_head(goss_tape *t, const goss_model_info *info, int layer, int head);
/* What has come, whole block or not. What the receiver said, which is kept: other than 0 nothing is handed
 * out any more. stats may be NULL. */
int goss_tape_cut(goss_tape *t, const goss_stats *stats);
void goss_tape_end(goss_tape *t);
int goss_tape_full(const goss_tape *t); /* 1: it is time to cut */

/* ---- sessions, by slot ---- */
/* A session opens, as a fork of another one or (from -1) of none. */
void goss_tape_session(goss_tape *t, int slot, int from);
/* What the next prompt was made of, as JSON. */
void goss_tape_request(goss_tape *t, int slot, const char *json, size_t n);
/* A prompt comes behind `old`, the tokens that the session had; and then: n_reused of it are computed. */
void goss_tape_prompt(goss_tape *t, int slot, const int32_t *ids, int n, const int32_t *old, int n_old);
void goss_tape_begin(goss_tape *t, int slot, const int32_t *ids, int n, int n_reused);
/* A token was sampled, in the newest step. channel, recipient: as events have them. */
void goss_tape_token(goss_tape *t, int slot, int pos, const goss_pick *pick, int drafted, const char *channel,
                     const char *recipient);
void goss_tape_done(goss_tape *t, int slot, const char *stop, int n_generated);

/* ---- steps ---- */
/* Where the next step's stages are to be timed (goss_step.stage_us): NULL, this one isn't. */
float *goss_tape_timed(goss_tape *t);
/* A step's results are there. */
void goss_tape_step(goss_tape *t, double t0, double ms, const goss_step *s, int n_prompt_rows);
void goss_tape_drafts(goss_tape *t, int drafted, int accepted);
/* The newest step put the row of this token through. id -1: of an answer, else a prompt's. */
void goss_tape_row(goss_tape *t, int slot, int pos, int32_t id, goss_backend *b, const goss_step *s, int row);
#endif
