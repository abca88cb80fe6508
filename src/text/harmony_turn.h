/* harmony_turn.h - a turn of a Harmony conversation as tokens, and what of them comes again with the next
 * prompt. */
#ifndef GOSS_TEXT_HARMONY_TURN_H
#define GOSS_TEXT_HARMONY_TURN_H
#include "harmony.h"

/* A finished conversation as the next prompt will show it: without the analysis, <|return|> turned to
 * <|end|>. Writes at most n tokens to out, returns how many. */
int goss_harmony_canonical(const goss_vocab *v, const goss_harmony_ids *h, const int32_t *ids, int n,
                           int32_t *out);
/* Where the first user's message begins, if the prompt says anything before it: every conversation with the
 * same instructions begins with the same tokens. -1: nowhere. */
int goss_harmony_instructions_end(const goss_vocab *v, const goss_harmony_ids *h, const int32_t *ids, int n);
/* Appends what a model would have generated behind a prompt: reasoning, answer and the turn's end. */
int goss_harmony_turn(const goss_vocab *v, const goss_harmony_ids *h, goss_str reasoning, goss_str answer,
                      goss_buf *ids);
/* Ends the message that the tokens end in, if it has not ended, and begins the assistant's next. */
int goss_harmony_next(const goss_vocab *v, const goss_harmony_ids *h, goss_buf *ids);
#endif
