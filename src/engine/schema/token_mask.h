/* token_mask.h - which tokens an automaton lets through from a state: kept by state, and made in slices of
 * time, since a hostile pattern can ask for seconds of work at one place. */
#ifndef GOSS_SCHEMA_TOKEN_MASK_H
#define GOSS_SCHEMA_TOKEN_MASK_H
#include "automaton.h"
#include "word_list.h"

enum { GOSS_MASKS = 128 };
typedef struct goss_token_masks {    /* of one automaton */
    const goss_word_list *words; goss_dfa *dfa; goss_budget *budget;
    struct { int state; uint32_t *bits; } kept[GOSS_MASKS]; int n;
    int failed;                      /* GOSS_ENOMEM, GOSS_ELIMIT or GOSS_EFULL: budget.h */
} goss_token_masks;
typedef struct goss_mask_walk {      /* one being made; all zero: none */
    uint64_t lists;
    int at;                          /* those to be walked, the lowest bit first; its next word */
    int state; uint32_t *bits;       /* of which state, so far */
    int states[GOSS_WORD_BYTES + 1]; /* [k]: after k bytes of the word before */
} goss_mask_walk;

void goss_token_masks_drop(goss_token_masks *m);            /* when states get new numbers */
const uint32_t *goss_token_mask(const goss_token_masks *m, int state);   /* (n_vocab bits); NULL: not known */
/* Goes on with a state's mask until it is known or the time (goss_os_now_ms) has come. 1: goss_token_mask has
 * it; 0: later; or m->failed. The state is the same until then. */
int goss_token_mask_make(goss_token_masks *m, goss_mask_walk *w, int state, double until_ms);
void goss_mask_walk_end(goss_token_masks *m, goss_mask_walk *w);         /* leaves it */
/* After GOSS_LATER: 1: there is time, the automaton may go on. */
int goss_slice_more(goss_dfa *d, double until_ms);
#endif
