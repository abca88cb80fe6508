/* fmt.c - a small printf into memory, and the number reader. One writer (struct sink) counts what would have
 * been written and stores what fits, so that the return value is snprintf's. */
#include "fmt.h"
#include "decimal.h"
#include <math.h>
#include <string.h>

struct sink { char *dst; size_t cap, n; };
struct spec {
    int left, zero, plus, space, width, precision, size; /* size: 0 int, 1 long, 2 long long, 3 size_t */
};

static void put(struct sink *s, const char *bytes, size_t n)
{
    if (s->n < s->cap) {
        const size_t room = s->cap - s->n;
        memcpy(s->dst + s->n, bytes, n < room ? n : room);
    }
    s->n += n;
}

static void put_many(struct sink *s, char c, int n)
{
    for (; n > 0; n--)
        put(s, &c, 1);
}

/* A sign (or "0x") and a body, padded to the width: zeros go between them, blanks around both. */
static void put_padded(struct sink *s, const struct spec *p, const char *sign, const char *body, size_t n)
{
    const size_t n_sign = strlen(sign);
    const int pad = p->width > 0 && (size_t)p->width > n_sign + n ? p->width - (int)(n_sign + n) : 0;
    if (!p->left && !p->zero)
        put_many(s, ' ', pad);
    put(s, sign, n_sign);
    if (!p->left && p->zero)
        put_many(s, '0', pad);
    put(s, body, n);
    if (p->left)
        put_many(s, ' ', pad);
}

static const char *sign_of(const struct spec *p, int negative)
{
    return negative ? "-" : p->plus ? "+" : p->space ? " " : "";
}

static void put_integer(struct sink *s, struct spec p, const char *sign, uint64_t v, unsigned base, int upper)
{
    char text[72];
    size_t at = sizeof text;
    const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
    do
        text[--at] = digits[v % base];
    while ((v /= base) > 0);
    while (p.precision >= 0 && (int)(sizeof text - at) < p.precision && at > 0)
        text[--at] = '0';
    if (p.precision >= 0)
        p.zero = 0;
    put_padded(s, &p, sign, text + at, sizeof text - at);
}

/* d as plain digits with exactly n_after of them after the point, into text (large enough: 320 + n_after). */
static size_t plain(char *text, const goss_decimal *d, int n_after)
{
    size_t n = 0;
    if (d->point <= 0)
        text[n++] = '0';
    for (int i = 0; i < d->point; i++)
        text[n++] = i < d->n ? d->digit[i] : '0';
    if (n_after > 0)
        text[n++] = '.';
    for (int i = d->point; i < d->point + n_after; i++)
        text[n++] = i >= 0 && i < d->n ? d->digit[i] : '0';
    return n;
}

static size_t scientific(char *text, const goss_decimal *d)
{
    size_t n = 0;
    text[n++] = d->digit[0];
    if (d->n > 1)
        text[n++] = '.';
    memcpy(text + n, d->digit + 1, (size_t)(d->n - 1));
    n += (size_t)(d->n - 1);
    const int e = d->point - 1, size = e < 0 ? -e : e;
    text[n++] = 'e';
    text[n++] = e < 0 ? '-' : '+';
    if (size >= 100)
        text[n++] = (char)('0' + size / 100);
    text[n++] = (char)('0' + size / 10 % 10);
    text[n++] = (char)('0' + size % 10);
    return n;
}

enum { MAX_AFTER = 400, SHORTEST_PLAIN = 16 }; /* %g writes 1e+16 and up, and below 1e-4, with an exponent */

static void put_double(struct sink *s, struct spec p, double v, char kind)
{
    const char *sign = sign_of(&p, signbit(v) != 0);
    if (!isfinite(v)) {
        p.zero = 0;
        put_padded(s, &p, isnan(v) ? "" : sign, isnan(v) ? "nan" : "inf", 3);
        return;
    }
    char text[320 + MAX_AFTER + 8];
    goss_decimal d;
    size_t n;
    if (kind == 'f') {
        const int after = p.precision < 0 ? 6 : p.precision > MAX_AFTER ? MAX_AFTER : p.precision;
        goss_decimal_from(&d, v, GOSS_DECIMAL_FIXED, after);
        n = plain(text, &d, after);
    } else {
        const int digits = p.precision == 0 ? 1 : p.precision > MAX_AFTER ? MAX_AFTER : p.precision;
        goss_decimal_from(&d, v, p.precision < 0 ? GOSS_DECIMAL_SHORTEST : GOSS_DECIMAL_SIGNIFICANT, digits);
        const int most = p.precision < 0 ? SHORTEST_PLAIN : digits;
        if (d.n > 0 && (d.point < -3 || d.point > most))
            n = scientific(text, &d);
        else
            n = plain(text, &d, d.n > d.point ? d.n - d.point : 0);
    }
    put_padded(s, &p, sign, text, n);
}

static int read_number(const char **at, va_list *args)
{
    int v = 0;
    if (**at == '*') {
        ++*at;
        return va_arg(*args, int);
    }
    for (; **at >= '0' && **at <= '9'; ++*at)
        if (v < 100000)
            v = v * 10 + (**at - '0');
    return v;
}

static struct spec read_spec(const char **at, va_list *args)
{
    struct spec p = { .precision = -1 };
    for (;; ++*at) {
        if (**at == '-') p.left = 1;
        else if (**at == '0') p.zero = 1;
        else if (**at == '+') p.plus = 1;
        else if (**at == ' ') p.space = 1;
        else if (**at != '#') break;
    }
    p.width = read_number(at, args);
    if (p.width < 0) {
        p.left = 1;
        p.width = -p.width;
    }
    if (**at == '.') {
        ++*at;
        p.precision = read_number(at, args);
    }
    for (;; ++*at) {
        if (**at == 'l') p.size++;
        else if (**at == 'z' || **at == 't') p.size = 3;
        else if (**at != 'h') break;
    }
    return p;
}

static int64_t take_signed(const struct spec *p, va_list *args)
{
    if (p->size == 0) return va_arg(*args, int);
    if (p->size == 1) return va_arg(*args, long);
    if (p->size == 2) return va_arg(*args, long long);
    return va_arg(*args, ptrdiff_t);
}

static uint64_t take_unsigned(const struct spec *p, va_list *args)
{
    if (p->size == 0) return va_arg(*args, unsigned);
    if (p->size == 1) return va_arg(*args, unsigned long);
    if (p->size == 2) return va_arg(*args, unsigned long long);
    return va_arg(*args, size_t);
}

static void put_string(struct sink *s, struct spec p, const char *text)
{
    size_t n = 0;
    if (!text)
        text = "(null)";
    while ((p.precision < 0 || n < (size_t)p.precision) && text[n])
        n++;
    p.zero = 0;
    put_padded(s, &p, "", text, n);
}

/* One conversion; *at is on its letter. */
static void put_one(struct sink *s, struct spec p, char kind, va_list *args)
{
    switch (kind) {
    case 'd':
    case 'i': {
        const int64_t v = take_signed(&p, args);
        put_integer(s, p, sign_of(&p, v < 0), v < 0 ? 0 - (uint64_t)v : (uint64_t)v, 10, 0);
        break;
    }
    case 'u': put_integer(s, p, "", take_unsigned(&p, args), 10, 0); break;
    case 'x':
    case 'X': put_integer(s, p, "", take_unsigned(&p, args), 16, kind == 'X'); break;
    case 'p': put_integer(s, p, "0x", (uintptr_t)va_arg(*args, void *), 16, 0); break;
    case 'c': put_padded(s, &p, "", (char[1]){ (char)va_arg(*args, int) }, 1); break;
    case 's': put_string(s, p, va_arg(*args, const char *)); break;
    case 'f':
    case 'g': put_double(s, p, va_arg(*args, double), kind); break;
    default: put(s, &kind, 1);
    }
}

size_t goss_vfmt(char *dst, size_t cap, const char *format, va_list borrowed)
{
    struct sink s = { .dst = dst, .cap = cap > 0 ? cap - 1 : 0 };
    va_list args;
    va_copy(args, borrowed);
    for (const char *at = format; *at;) {
        const char *end = at;
        while (*end && *end != '%')
            end++;
        put(&s, at, (size_t)(end - at));
        at = end;
        if (!*at)
            break;
        at++;
        const struct spec p = read_spec(&at, &args);
        if (*at)
            put_one(&s, p, *at++, &args);
    }
    va_end(args);
    if (cap > 0)
        dst[s.n < s.cap ? s.n : s.cap] = 0;
    return s.n;
}

size_t goss_fmt(char *dst, size_t cap, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const size_t n = goss_vfmt(dst, cap, format, args);
    va_end(args);
    return n;
}

/* ---- reading ------------------------------------------------------------------------------------- */
/* The parts of a number of JSON's grammar: -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)? */
struct parts { size_t whole, n_whole, after, n_after, length; int negative, exponent; };

static size_t digits_at(const char *s, size_t n, size_t at)
{
    const size_t from = at;
    while (at < n && s[at] >= '0' && s[at] <= '9')
        at++;
    return at - from;
}

static int split_number(const char *s, size_t n, struct parts *p)
{
    *p = (struct parts){ 0 };
    size_t at = 0;
    if (n > 0 && s[0] == '-')
        p->negative = (int)++at;
    p->whole = at;
    p->n_whole = at < n && s[at] == '0' ? 1 : digits_at(s, n, at);
    if (p->n_whole == 0)
        return 0;
    at += p->n_whole;
    if (at < n && s[at] == '.' && (p->n_after = digits_at(s, n, at + 1)) > 0) {
        p->after = at + 1;
        at += 1 + p->n_after;
    }
    if (at < n && (s[at] == 'e' || s[at] == 'E')) {
        const int sign = at + 1 < n && (s[at + 1] == '+' || s[at + 1] == '-');
        const size_t from = at + 1 + (size_t)sign, k = digits_at(s, n, from);
        for (size_t i = 0; i < k; i++)
            if (p->exponent < 100000000)
                p->exponent = p->exponent * 10 + (s[from + i] - '0');
        if (k > 0 && sign && s[at + 1] == '-')
            p->exponent = -p->exponent;
        if (k > 0)
            at = from + k;
    }
    p->length = at;
    return 1;
}

/* Gathers significant digits; answers whether non-zero ones were cut off. */
static int gather(goss_decimal *d, const char *s, const struct parts *p)
{
    int more = 0;
    int64_t point = (int64_t)p->n_whole + p->exponent;
    d->n = 0;
    for (size_t i = 0; i < p->n_whole + p->n_after; i++) {
        const char c = i < p->n_whole ? s[p->whole + i] : s[p->after + i - p->n_whole];
        if (d->n == 0 && c == '0')
            point--;
        else if (d->n < GOSS_DECIMAL_DIGITS)
            d->digit[d->n++] = c;
        else
            more |= c != '0';
    }
    d->point = point > 100000 ? 100000 : point < -100000 ? -100000 : (int)point;
    return more;
}

/* Exact without big integers: both the digits and the power of ten are doubles without rounding, and one
 * operation rounds once. */
static int read_small(const goss_decimal *d, double *out)
{
    static const double power[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
    const int e = d->point - d->n;
    if (d->n > 15 || e > 22 || e < -22)
        return 0;
    double v = 0;
    for (int i = 0; i < d->n; i++)
        v = v * 10 + (d->digit[i] - '0');
    *out = e >= 0 ? v * power[e] : v / power[-e];
    return 1;
}

size_t goss_read_double(const char *s, size_t n, double *out)
{
    struct parts p;
    if (!split_number(s, n, &p))
        return 0;
    goss_decimal d;
    const int more = gather(&d, s, &p);
    double v;
    if (more || !read_small(&d, &v))
        v = goss_decimal_to(&d, more);
    *out = p.negative ? -v : v;
    return p.length;
}

int goss_hex_digit(char c)
{
    const char lower = (char)(c | 0x20);
    return c >= '0' && c <= '9' ? c - '0' : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}
