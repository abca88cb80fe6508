/* bounds.h - numbers that are compared with others and multiples of others, exactly: everything is
 * decimal. */
#ifndef GOSS_SCHEMA_BOUNDS_H
#define GOSS_SCHEMA_BOUNDS_H
#include "parts.h"

enum { GOSS_LESS = 1, GOSS_SAME = 2, GOSS_MORE = 4 };
enum { GOSS_MAX_COMPARES = 8, GOSS_MAX_MULTIPLES = 6, GOSS_MAX_DIGITS = 400 };
/* |value| = whole.fraction, without zeros in front and at the end */
typedef struct goss_decimal_text {
    int negative, n_whole, n_fraction;
    char whole[GOSS_MAX_DIGITS], fraction[GOSS_MAX_DIGITS];
} goss_decimal_text;
/* A number as it stands in JSON; 0: it has too many digits. */
int goss_decimal_read(goss_decimal_text *d, const char *s, size_t n);

typedef struct goss_number_rules {
    int integers, fractions; /* which of the two may stand */
    struct {
        goss_decimal_text to;
        int allowed;
    } compare[GOSS_MAX_COMPARES];
    int n_compares;
    struct {
        goss_decimal_text of;
        int not ;
    } multiple[GOSS_MAX_MULTIPLES];
    int n_multiples;
} goss_number_rules;
/* *start: the text of such a number, then next (GOSS_NONE: there is none). Plain decimals, no exponent,
 * unless the sign is all that is asked for. NULL or why it can't be done. */
const char *goss_bounds_compile(goss_parts *p, const goss_number_rules *rules, int next, int *start);
#endif
