/* pace.h - how many guesses a step should verify, and how many rows of prompts one may take. */
#ifndef GOSS_ENGINE_PACE_H
#define GOSS_ENGINE_PACE_H
#include "model/arch.h"

/* Most guesses of a step: with the token before them 16 rows, up to which a row's result is the same in any
 * batch. */
enum { GOSS_DRAFT_MAX = 15 };

/* What steps take on this engine's backend. */
typedef struct goss_pace {
    const goss_model *model;
    int counts_time;             /* 0: the reference backend, whose tests want many drafts */
    int max_rows, one_by_one;    /* of a step; as goss_pace_open takes it */
    int chunk_rows[2];           /* of prompts, now: where nobody waits for a step, where somebody does */
    int n_deciding;              /* sessions whose next row is in the step that is being built */
    double step_ms[GOSS_DRAFT_MAX + 2]; /* what a step of so many decode rows takes, lately; 0: not known */
    double guess_ms;             /* what a round of the draft model takes */
} goss_pace;
/* What a session's guesses have been worth. */
typedef struct goss_drafts {
    int on;                      /* it speculates */
    int n, want;                 /* the draft model's that stand behind the known tokens; wanted */
    int most, pause;             /* the longest draft now; tokens until the next */
    int rest, probe;             /* how long the next pause is; 1: one guess, whatever the times say */
    double hits, tries;          /* of guesses, the older the lighter */
    int32_t *predicted; int n_predicted, predicted_at; /* params.predicted, and where the answer is in it */
} goss_drafts;

/* Rows of prompts in a step: at least, whatever they take; at most while others decode. */
enum { GOSS_LEAST_ROWS = 16, GOSS_FAIR_ROWS = 128 };

/* one_by_one: steps run while the engine's thread waits (CPUs): whoever comes waits for all of one. */
void goss_pace_open(goss_pace *p, const goss_model *m, int max_rows, int one_by_one, int counts_time);
void goss_pace_begin(goss_pace *p, int first_rows);       /* a device's speed is not known, or not any more */
void goss_pace_reset(const goss_pace *p, goss_drafts *d);        /* a new prompt */
/* Guesses for the next step, of which there is room for `room`; a guess costs guess_ms to make. */
int goss_pace_length(const goss_pace *p, goss_drafts *d, int room, double guess_ms);
void goss_pace_result(goss_drafts *d, int drafted, int accepted);
void goss_pace_time(goss_pace *p, int n_rows, double ms); /* of a step of n_rows decode rows alone */
/* of one of n_rows rows of prompts; waits: others waited for it */
void goss_pace_chunk(goss_pace *p, int waits, int n_rows, double ms);
double goss_pace_slice(const goss_pace *p);  /* ms of a step that can be paused, before it is */
void goss_pace_guess(goss_pace *p, double ms);                   /* a round of the draft model took so long */
#endif
