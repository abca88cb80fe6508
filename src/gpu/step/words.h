/* words.h - the words that a step is told: the step buffer (layout.h), and what else the host writes
 * before it. */
#ifndef GOSS_GPU_WORDS_H
#define GOSS_GPU_WORDS_H
#include "state.h"

int goss_words_begin(goss_gpu_state *s, goss_step *step, goss_gpu_ticket *t, goss_error *err);
/* Plays a paged step's writes: they are kept with its ticket until it is launched, and after. */
int goss_words_play(goss_gpu_state *s, const goss_gpu_ticket *t);
#endif
