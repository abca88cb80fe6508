/* drawn_text.h - texts that an automaton lets through. */
#ifndef GOSS_SCHEMA_DRAWN_TEXT_H
#define GOSS_SCHEMA_DRAWN_TEXT_H
#include "automaton.h"
/* A text drawn with *seed (which moves on); `tidy`: few spaces, ASCII where it can be, short. 1: `out` has
 * it, 0: no end was found within its maximum. */
int goss_drawn_text(goss_dfa *d, int start, uint64_t *seed, int tidy, goss_buf *out);
#endif
