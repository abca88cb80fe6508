/* decimal.c - exact conversion with plain big integers.
 *
 * Printing is Steele and White's free-format algorithm: with the value as the fraction R/S, digits are
 * generated until what is left lies within half a unit in the last place, so that the result is both the
 * shortest that reads back and the closest of its length. Reading divides big integers to 64 bits and a
 * remainder, then rounds once. A conversion costs 1 to 20 us. Goldens and telemetry have thousands of
 * numbers, not millions, and the reader's usual case (at most 15 digits, small exponent) never comes here; so
 * the plain algorithm was kept. */
#include "decimal.h"
#include <math.h>
#include <string.h>

/* The largest number that occurs: 10^1124 shifted by 64 bits (reading 800 digits at the smallest exponent):
 * 3,800 bits. */
enum { WORDS = 136 };
typedef struct big { int n; uint32_t w[WORDS]; } big; /* n words, the highest not 0; n 0: zero */

static void big_set(big *a, uint64_t v)
{
    a->w[0] = (uint32_t)v;
    a->w[1] = (uint32_t)(v >> 32);
    a->n = a->w[1] ? 2 : a->w[0] ? 1 : 0;
}

static void big_mul_add(big *a, uint32_t m, uint32_t add)
{
    uint64_t carry = add;
    for (int i = 0; i < a->n; i++) {
        carry += (uint64_t)a->w[i] * m;
        a->w[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry)
        a->w[a->n++] = (uint32_t)carry;
}

static void big_mul_pow10(big *a, int k)
{
    for (; k >= 9; k -= 9)
        big_mul_add(a, 1000000000, 0);
    for (; k > 0; k--)
        big_mul_add(a, 10, 0);
}

static void big_shift(big *a, int bits)
{
    const int words = bits / 32, rest = bits % 32;
    if (a->n == 0 || bits == 0)
        return;
    if (rest > 0) {
        uint32_t carry = 0;
        for (int i = 0; i < a->n; i++) {
            const uint32_t w = a->w[i];
            a->w[i] = w << rest | carry;
            carry = w >> (32 - rest);
        }
        if (carry)
            a->w[a->n++] = carry;
    }
    memmove(a->w + words, a->w, (size_t)a->n * sizeof a->w[0]);
    memset(a->w, 0, (size_t)words * sizeof a->w[0]);
    a->n += words;
}

static int big_compare(const big *a, const big *b)
{
    if (a->n != b->n)
        return a->n < b->n ? -1 : 1;
    for (int i = a->n - 1; i >= 0; i--)
        if (a->w[i] != b->w[i])
            return a->w[i] < b->w[i] ? -1 : 1;
    return 0;
}

static void big_sub(big *a, const big *b) /* a >= b */
{
    int64_t borrow = 0;
    for (int i = 0; i < a->n; i++) {
        const int64_t d = (int64_t)a->w[i] - (i < b->n ? b->w[i] : 0) + borrow;
        a->w[i] = (uint32_t)d;
        borrow = d < 0 ? -1 : 0;
    }
    while (a->n > 0 && a->w[a->n - 1] == 0)
        a->n--;
}

static int big_compare_sum(const big *a, const big *b, const big *c) /* a + b against c */
{
    big sum = *a;
    uint64_t carry = 0;
    for (int i = 0; i < b->n || i < a->n; i++) {
        carry += (uint64_t)(i < a->n ? a->w[i] : 0) + (i < b->n ? b->w[i] : 0);
        sum.w[i] = (uint32_t)carry;
        carry >>= 32;
    }
    sum.n = a->n > b->n ? a->n : b->n;
    if (carry)
        sum.w[sum.n++] = (uint32_t)carry;
    return big_compare(&sum, c);
}

static int big_bits(const big *a) { return a->n == 0 ? 0 : 32 * a->n - __builtin_clz(a->w[a->n - 1]); }

/* R/S = v / 10^point with 0.1 <= R/S < 1, and M- / S, M+ / S the half distances to the neighbours. */
struct fraction { big r, s, m_minus, m_plus; int point, even; };

static void fraction_of(struct fraction *f, double v)
{
    int e;
    const double fr = frexp(v, &e);
    uint64_t m = (uint64_t)ldexp(fr, 53);
    e -= 53;
    if (e < -1074) { /* subnormal: fewer bits */
        m >>= -1074 - e;
        e = -1074;
    }
    const int narrow = m == (uint64_t)1 << 52 && e > -1074; /* the neighbour below is half as far */
    f->even = m % 2 == 0;
    big_set(&f->r, m);
    big_set(&f->s, 1);
    big_set(&f->m_minus, 1);
    big_shift(&f->r, (e > 0 ? e : 0) + 1 + narrow);
    big_shift(&f->s, (e < 0 ? -e : 0) + 1 + narrow);
    big_shift(&f->m_minus, e > 0 ? e : 0);
    f->m_plus = f->m_minus;
    big_shift(&f->m_plus, narrow);
    /* An estimate of the decimal exponent that is right or one too small, then made right. */
    const int bits = 64 - __builtin_clzll(m) + e;
    f->point = (int)floor((bits - 1) * 0.30102999566398114);
    if (f->point >= 0) {
        big_mul_pow10(&f->s, f->point);
    } else {
        big_mul_pow10(&f->r, -f->point);
        big_mul_pow10(&f->m_minus, -f->point);
        big_mul_pow10(&f->m_plus, -f->point);
    }
    while (big_compare(&f->r, &f->s) >= 0) {
        big_mul_add(&f->s, 10, 0);
        f->point++;
    }
}

static int next_digit(struct fraction *f)
{
    int d = 0;
    big_mul_add(&f->r, 10, 0);
    for (; big_compare(&f->r, &f->s) >= 0; d++)
        big_sub(&f->r, &f->s);
    return d;
}

static void round_up(goss_decimal *d)
{
    int i = d->n - 1;
    for (; i >= 0 && d->digit[i] == '9'; i--)
        d->digit[i] = '0';
    if (i >= 0) {
        d->digit[i]++;
        return;
    }
    memmove(d->digit + 1, d->digit, (size_t)(d->n > 0 ? d->n - 1 : 0));
    d->digit[0] = '1'; /* 999 became 1000: one more before the point */
    d->point++;
    if (d->n == 0)
        d->n = 1;
}

static void shortest(goss_decimal *d, struct fraction *f)
{
    for (;;) {
        big_mul_add(&f->m_minus, 10, 0);
        big_mul_add(&f->m_plus, 10, 0);
        const int digit = next_digit(f);
        const int low = big_compare(&f->r, &f->m_minus) < f->even; /* the digits so far read back */
        /* with the last one raised they do */
        const int high = big_compare_sum(&f->r, &f->m_plus, &f->s) > -f->even;
        d->digit[d->n++] = (char)('0' + digit);
        if (!low && !high)
            continue;
        big twice = f->r;
        big_shift(&twice, 1);
        const int half = big_compare(&twice, &f->s);
        if (low && high ? half > 0 || (half == 0 && digit % 2) : high)
            round_up(d);
        return;
    }
}

static void counted(goss_decimal *d, struct fraction *f, int n)
{
    if (n < 0)
        return;
    if (n > GOSS_DECIMAL_DIGITS)
        n = GOSS_DECIMAL_DIGITS;
    while (d->n < n && f->r.n > 0)
        d->digit[d->n++] = (char)('0' + next_digit(f));
    if (f->r.n == 0)
        return;
    big_shift(&f->r, 1);
    const int half = big_compare(&f->r, &f->s);
    if (half > 0 || (half == 0 && d->n > 0 && (d->digit[d->n - 1] - '0') % 2))
        round_up(d);
}

void goss_decimal_from(goss_decimal *d, double v, enum goss_decimal_mode mode, int n)
{
    d->n = d->point = 0;
    v = fabs(v);
    if (v == 0)
        return;
    struct fraction f;
    fraction_of(&f, v);
    d->point = f.point;
    if (mode == GOSS_DECIMAL_SHORTEST)
        shortest(d, &f);
    else
        counted(d, &f, mode == GOSS_DECIMAL_FIXED ? f.point + n : n);
    while (d->n > 0 && d->digit[d->n - 1] == '0')
        d->n--;
    if (d->n == 0)
        d->point = 0;
}

/* m * 2^e with m's top bit set and `more` for bits below it, rounded once to a double. */
static double assemble(uint64_t m, int e, int more)
{
    int drop = 11; /* 64 -> 53 bits; a subnormal keeps fewer */
    if (e + drop < -1074)
        drop = -1074 - e;
    if (drop > 64)
        return 0;
    const uint64_t kept = drop == 64 ? 0 : m >> drop;
    const uint64_t rest = drop == 64 ? m : m & (((uint64_t)1 << drop) - 1), half = (uint64_t)1 << (drop - 1);
    const int up = rest > half || (rest == half && (more || kept % 2));
    return ldexp((double)(kept + (uint64_t)up), e + drop);
}

double goss_decimal_to(const goss_decimal *d, int more)
{
    if (d->n == 0 || d->point < -330)
        return 0;
    if (d->point > 310)
        return (double)INFINITY;
    big num, den;
    big_set(&num, 0);
    big_set(&den, 1);
    for (int i = 0; i < d->n; i++)
        big_mul_add(&num, 10, (uint32_t)(d->digit[i] - '0'));
    const int e10 = d->point - d->n;
    big_mul_pow10(e10 >= 0 ? &num : &den, e10 >= 0 ? e10 : -e10);
    int e = big_bits(&num) - big_bits(&den); /* 2^(e-1) < num / den < 2^(e+1) */
    big_shift(e >= 0 ? &den : &num, e >= 0 ? e : -e);
    if (big_compare(&num, &den) < 0) {
        big_shift(&num, 1);
        e--;
    }
    uint64_t m = 0; /* 1 <= num / den < 2: 64 bits by long division */
    for (int bit = 63; bit >= 0; bit--) {
        if (big_compare(&num, &den) >= 0) {
            big_sub(&num, &den);
            m |= (uint64_t)1 << bit;
        }
        big_shift(&num, 1);
    }
    return assemble(m, e - 63, more || num.n > 0);
}
