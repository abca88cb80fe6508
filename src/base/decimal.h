/* decimal.h - doubles to decimal digits and back, exactly rounded. The arithmetic under fmt.h. */
#ifndef GOSS_BASE_DECIMAL_H
#define GOSS_BASE_DECIMAL_H
#include <stddef.h>
#include <stdint.h>

/* value = 0.d1 d2 d3 ... * 10^point; digits are '0'..'9', the first is not 0 (n 0: the value is, or rounds
 * to, zero). */
enum { GOSS_DECIMAL_DIGITS = 800 };
typedef struct goss_decimal { int n, point; char digit[GOSS_DECIMAL_DIGITS]; } goss_decimal;

/* How many digits: the fewest that read back as v, N significant ones, or N after the decimal point. Rounds
 * to nearest, ties to even. v must be finite; its sign is ignored. */
enum goss_decimal_mode { GOSS_DECIMAL_SHORTEST, GOSS_DECIMAL_SIGNIFICANT, GOSS_DECIMAL_FIXED };
void goss_decimal_from(goss_decimal *d, double v, enum goss_decimal_mode mode, int n);
/* The nearest double, ties to even; infinity beyond the largest. `more`: non-zero digits followed those in
 * d. */
double goss_decimal_to(const goss_decimal *d, int more);
#endif
