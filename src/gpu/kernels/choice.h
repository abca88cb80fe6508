/* choice.h - which kernels multiply, where a device offers several: by what its features say, or as it was
 * measured (step/measure.c), or as somebody wrote it. It lies outside as text, a section for each device:
 *
 *   device NAME; DRIVER; LIBRARY; FEATURES; kernels HASH        or "device *": any
 *   dense mx4 2880x4096 halves 0 1 1 2 2 3
 *   experts mx4 2880x2880 fixed
 *   few mx4 2880x2880 bytes 48
 *   end
 *
 * A line is a product by layout, values in and out (of experts: the model's and theirs). "fixed": what the
 * features say. dense, experts: products for many rows, made of halves, bytes or floats; of halves the size
 * of tile (prefill.c) for each step of goss_choice_step. few: the kernels for few rows, made of bytes or
 * floats, and the most rows that go through them. Empty lines and those that begin with # are skipped. A
 * section without its end was cut off: the text counts as broken. */
#ifndef GOSS_GPU_CHOICE_H
#define GOSS_GPU_CHOICE_H
#include "base/buf.h"
#include <gossamer.h>

enum { GOSS_CHOICE_DENSE, GOSS_CHOICE_EXPERTS, GOSS_CHOICE_FEW, GOSS_CHOICE_KINDS };
/* What a product is made of. */
enum { GOSS_TILE_FIXED = -1, GOSS_TILE_FLOATS, GOSS_TILE_BYTES, GOSS_TILE_HALVES, GOSS_TILE_OPERANDS };
enum {
    GOSS_CHOICE_LINES = 48,
    GOSS_CHOICE_STEPS = 6,
    GOSS_CHOICE_DEVICE = 480,
    GOSS_CHOICE_SECTIONS = 8, /* that are written: older ones go */
    GOSS_CHOICE_TEXT = 1 << 16
};

typedef struct goss_choice_line {
    int kind, layout;
    uint32_t n_in, n_out;
    int operands;
    uint32_t size[GOSS_CHOICE_STEPS]; /* few: [0] is the most rows */
    int used;                         /* goss_choice_find gave it */
} goss_choice_line;

typedef struct goss_choice {
    char device[GOSS_CHOICE_DEVICE];
    int n;
    goss_choice_line line[GOSS_CHOICE_LINES];
    goss_choice_line trial;
    int tries; /* measure.c: found before all others while tries is set */
} goss_choice;

/* Which of the sizes serves so many rows (of experts: those that one has on average): up to 32, 64, 128, 256,
 * 512, more; of experts up to 8, 16, 32, 64, 128, more. And the most rows of a step, 0: no bound. */
int goss_choice_step(int kind, uint32_t rows);
uint32_t goss_choice_rows(int kind, int step);
/* The lines for c->device. GOSS_ENOENT: there are none; GOSS_EFORMAT: the text is broken somewhere. On an
 * error there are no lines. */
int goss_choice_read(goss_choice *c, const char *text, goss_error *err);
/* c's section, and behind it those of other devices in `old` (NULL, or broken: none). */
void goss_choice_write(goss_buf *out, const goss_choice *c, const char *old);
/* A line, and what stands in it before its operands: the product. */
void goss_choice_line_text(goss_buf *out, const goss_choice_line *l);
void goss_choice_product_text(goss_buf *out, const goss_choice_line *l);
/* The line of a product, NULL: there is none, or it says "fixed". */
const goss_choice_line *goss_choice_find(goss_choice *c, int kind, int layout, uint32_t n_in, uint32_t n_out);
int goss_choice_same(const goss_choice_line *a, const goss_choice_line *b); /* 1: lines of one product */
const char *goss_choice_operands(int operands);                            /* as lines name them */
int goss_choice_knows(const goss_choice *c, const goss_choice_line *like);
int goss_choice_add(goss_choice *c, const goss_choice_line *l); /* GOSS_EFULL */
/* Of the lines that were found, 0: none was. Prefixes are kept under it. */
uint32_t goss_choice_mark(const goss_choice *c);
/* A candidate's time: made of what; rows of the step, and which goss_choice_step; which size of tile. Of few:
 * many says that it is the kernels for many rows. ms of 0: unknown; negative: it can't be done. */
typedef struct goss_choice_time {
    int operands, step, size, many;
    uint32_t rows;
    double ms;
} goss_choice_time;
/* Fills in operands and sizes by n times. t[0] is of what features say, whose sizes l has. */
void goss_choice_judge(goss_choice_line *l, const goss_choice_time *t, int n);
/* The first of n times that is within 3 % of the best; those of 0 and less don't count. -1: none does. */
int goss_choice_best(const double *times, int n);
/* Of the kernels' texts and this version. */
uint32_t goss_choice_kernels(void);
#endif
