/* sheet.h - what is known of tokens as rows of numbers (GOSS_TELEMETRY_ROWS), for who shows them all: writing
 * and reading lines of JSON would take a tenth of a small model's time. All calls take NULL: then there are
 * no rows. */
#ifndef GOSS_TELEMETRY_SHEET_H
#define GOSS_TELEMETRY_SHEET_H
#include <gossamer.h>
#include "model/stage.h"

/* The first columns of a row; web/js/core/columns.js has what each is, and those behind them. */
#define GOSS_COLUMN_WORDS(X) \
    X(SESSION, 0) X(ID, 1) X(POSITION, 2) X(P, 3) X(ENTROPY, 4) X(MS, 5) X(SECONDS, 6) X(MILLI, 7) X(RATE, 8) \
    X(STEP, 9) X(MOST, 10) X(CHANNEL, 11) X(MADE, 12) X(EMBED, 13) X(HEAD, 14) X(LAYER, 15) X(WATCHED, 16)
/* How many there are of the others. */
#define GOSS_COLUMN_COUNTS(X) \
    X(TOPS, 10) X(LOOKS, 16) X(NORMS, 3) X(PARTS, 5)
#define GOSS_COLUMN_WORD(name, value) GOSS_COLUMN_##name = value,
enum { GOSS_COLUMN_WORDS(GOSS_COLUMN_WORD) GOSS_COLUMN_FIRSTS };
enum { GOSS_COLUMN_COUNTS(GOSS_COLUMN_WORD) };

typedef struct goss_sheet goss_sheet;
/* For a model's layers, in which so many experts work on a token. 0 or GOSS_ENOMEM. */
int goss_sheet_open(goss_sheet **out, int n_layer, int n_used, int n_slots);
void goss_sheet_close(goss_sheet **sheet);
/* How many rows wait; where out is given they are taken. */
int goss_sheet_take(goss_sheet *sheet, goss_rows *out);

/* ---- a step's, before its token comes; slot: whose, -1: nobody's ---- */
void goss_sheet_ends(goss_sheet *sheet, int slot, int column, double ms);    /* EMBED or HEAD */
void goss_sheet_part(goss_sheet *sheet, int slot, int layer, int part, double ms);
void goss_sheet_experts(goss_sheet *sheet, int slot, int layer, const int *expert, const float *weight,
                        int n);
void goss_sheet_norms(goss_sheet *sheet, int slot, int layer, const double norms[GOSS_COLUMN_NORMS]);
/* The attention of a head, of n keys from position `first` on. */
void goss_sheet_map(goss_sheet *sheet, int slot, int layer, int head, int first, const float *weights, int n);

/* ---- tokens ---- */
/* An answer begins behind a prompt, whose tokens are rows of their own. */
void goss_sheet_prompt(goss_sheet *sheet, int slot, const int32_t *ids, int n);
void goss_sheet_channel(goss_sheet *sheet, int slot, const char *channel);
/* A token has come, the step-th of at most `most`: what was told of its step is its row. */
void goss_sheet_token(goss_sheet *sheet, int slot, const goss_pick *pick, double ts, double rate, int step,
                      int most);
#endif
