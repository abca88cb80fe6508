/* speculate.h - drafts: tokens guessed cheaply, verified as rows of one step. */
#ifndef GOSS_ENGINE_SPECULATE_H
#define GOSS_ENGINE_SPECULATE_H
#include "session.h"

/* Before a step: how many guesses each session may have, and the draft model's for all at once. */
void goss_speculate_all(goss_engine *e);
/* Writes at most `most` guesses behind the session's known tokens; returns how many. */
int goss_speculate(goss_session *s, int most);
#endif
