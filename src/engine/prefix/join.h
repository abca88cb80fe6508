/* join.h - n answers to one prompt, or users with the same instructions: when the next comes while the first
 * is still being prefilled, it waits for what they share and takes it by reference, instead of computing it
 * once more. */
#ifndef GOSS_PREFIX_JOIN_H
#define GOSS_PREFIX_JOIN_H
#include "cache.h"

/* A session's prompt, as the others see it. */
typedef struct goss_join {
    uint64_t number;             /* no two prompts have the same; 0: there is none */
    int n_prompt, most;          /* its tokens; how many of them may be reused */
    int ends;                    /* 1: nobody may wait for it any more */
    int stuck;                   /* 1: it gets no rows, nobody reads its events */
    int waits;            /* 1: for prompt wanted_number in wanted_slot to have wanted_n positions computed */
    int wanted_slot, wanted_n; uint64_t wanted_number;
} goss_join;
typedef struct goss_joins {
    goss_join *prompt; goss_sequence **open; int n;   /* (n) by slot; open is goss_prefixes' */
} goss_joins;

/* Whether somebody computes the beginning of the prompt in `slot` now: then it waits. */
int goss_join_look(goss_joins *j, int slot);
/* 1: it waited, and the wait is over: what it wanted is there, or whoever computed it can't go on. */
int goss_join_over(const goss_joins *j, int slot);
#endif
