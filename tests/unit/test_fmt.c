/* test_fmt.c - formatting and reading numbers against the C library, which rounds correctly (glibc does). */
#include "base/fmt.h"
#include "unit.h"
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#define SAME(...) do { char want_[600], got_[600]; const int n_ = snprintf(want_, sizeof want_, __VA_ARGS__); \
    CHECK_INT(goss_fmt(got_, sizeof got_, __VA_ARGS__), n_); CHECK_STR(got_, want_); } while (0)

static uint64_t state = 12345;
static uint64_t next(void) { state ^= state << 13; state ^= state >> 7; state ^= state << 17; return state; }
static double of_bits(uint64_t u) { double d; memcpy(&d, &u, 8); return d; }

static void test_plain(void)
{
    SAME("%d|%5d|%-5d|%05d|%+d|% d|%d", 1, 2, 3, -4, 5, 6, INT32_MIN);
    SAME("%u %x %X %08x %lu %llu %zu", 1u, 0xabcu, 0xABCu, 0xbeefu, 123ul, 18446744073709551615ull,
         (size_t)9);
    SAME("%ld %lld %c%c %%", -5l, (long long)INT64_MIN, 'a', 'b');
    SAME("%s|%10s|%-10s|%.2s|%.*s|%*d", "abc", "abc", "abc", "abc", 1, "xyz", 6, 42);
    SAME("%-*d|%.3d|%8.3d|%hhu", 6, 42, 7, 7, (unsigned char)200);
    SAME("%p", (void *)(uintptr_t)0x1234);
    char small[5];
    CHECK_INT(goss_fmt(small, sizeof small, "%s", "abcdefgh"), 8);
    CHECK_STR(small, "abcd");
    CHECK_INT(goss_fmt(NULL, 0, "%d", 12345), 5);
}

static void test_double_edges(void)
{
    static const double edges[] = { 0,
                                    -0.0,
                                    1,
                                    -1,
                                    0.5,
                                    0.1,
                                    1.0 / 3,
                                    2.5,
                                    3.5,
                                    1e15,
                                    1e16,
                                    1e17,
                                    1e22,
                                    1e23,
                                    1e-4,
                                    1e-5,
                                    123456789.125,
                                    9.5,
                                    99.5,
                                    0.05,
                                    0.95,
                                    0.995,
                                    5e-324,
                                    2.2250738585072014e-308,
                                    1.7976931348623157e308,
                                    9007199254740993.0,
                                    5.9604644775390625e-08,
                                    INFINITY,
                                    -INFINITY };
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++) {
        SAME("%f %.0f %.1f %.2f %.3f %.10f %12.3f %-12.3f| %012.3f %+.1f", edges[i], edges[i], edges[i],
             edges[i], edges[i], edges[i], edges[i], edges[i], edges[i], edges[i]);
        SAME("%.1g %.3g %.6g %.9g %.17g", edges[i], edges[i], edges[i], edges[i], edges[i]);
    }
    SAME("%f %g %5.1f", NAN, NAN, NAN);
}

static void test_shortest(void)
{
    static const struct { double v; const char *want;
    } cases[] = { { 0, "0" },
                  { -0.0, "-0" },
                  { 0.1, "0.1" },
                  { 0.3, "0.3" },
                  { 100, "100" },
                  { 1e15, "1000000000000000" },
                  { 1e16, "1e+16" },
                  { 0.0001, "0.0001" },
                  { 0.00001, "1e-05" },
                  { 5e-324, "5e-324" },
                  { 1.7976931348623157e308, "1.7976931348623157e+308" },
                  { 9007199254740993.0, "9007199254740992" },
                  { 5.9604644775390625e-08, "5.960464477539063e-08" },
                  { 2.2250738585072014e-308, "2.2250738585072014e-308" },
                  { 1.0 / 3, "0.3333333333333333" },
                  { 123.456, "123.456" },
                  { 9.5367431640625e-07, "9.5367431640625e-07" },
                  { 1e23, "1e+23" },
                  { -2.5, "-2.5" } };
    char text[64];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        goss_fmt(text, sizeof text, "%g", cases[i].v);
        CHECK_STR(text, cases[i].want);
    }
}

/* Reads back, and no shorter form does: the C library's %.*g with one digit less must not read back. */
static void check_shortest(double v)
{
    char text[64], shorter[400];
    goss_fmt(text, sizeof text, "%g", v);
    double back = 0;
    int digits = 0, seen = 0;
    CHECK(goss_read_double(text, strlen(text), &back) == strlen(text));
    CHECK(!memcmp(&back, &v, 8) && strtod(text, NULL) == v);
    for (const char *s = text; *s && *s != 'e'; s++)
        if (*s >= '0' && *s <= '9')
            digits += (seen |= *s != '0');
    if (digits > 1 && fabs(v) < 1e15) {
        snprintf(shorter, sizeof shorter, "%.*g", digits - 1, v);
        CHECK(strtod(shorter, NULL) != v || (v == floor(v)));
    }
}

static void test_random(void)
{
    for (int i = 0; i < 20000; i++) {
        const double any = of_bits(next()), usual = (double)(int64_t)next() / 1e17, small = (float)usual;
        if (isfinite(any)) {
            check_shortest(any);
            SAME("%.17g %.5g", any, any);
        }
        check_shortest(usual);
        check_shortest(small);
        SAME("%.3f %.9g %.0f", usual, small, usual);
    }
    for (int e = -1074; e < 1024; e++)
        check_shortest(ldexp(1, e));
}

static void check_read(const char *text)
{
    double got = -1;
    const double want = strtod(text, NULL);
    const size_t n = goss_read_double(text, strlen(text), &got);
    if (n != strlen(text) || memcmp(&got, &want, 8)) {
        unit_failed++;
        printf("reading %s gave %.17g, should be %.17g\n", text, got, want);
    } else {
        unit_passed++;
    }
}

static void test_read(void)
{
    static const char *const good[] = { "0",
                                        "-0",
                                        "1",
                                        "10",
                                        "0.5",
                                        "1e5",
                                        "1E+5",
                                        "1e-5",
                                        "123456789012345678901234567890",
                                        "1e400",
                                        "-1e400",
                                        "1e-400",
                                        "4.9e-324",
                                        "2.4703282292062327e-324",
                                        "2.4703282292062328e-324",
                                        "2.2250738585072011e-308",
                                        "1.7976931348623158e308",
                                        "1.7976931348623159e308",
                                        "9007199254740993",
                                        "9007199254740992.9999999999999999",
                                        "9007199254740993.0000000000000000000000000000000001",
                                        "0.1e-1",
                                        "0e999999999",
                                        "1e999999999",
                                        "1e-999999999",
                                        "100000000000000000000000e-23",
                                        "0.000000000000000000000000000000000000000000000000001e51" };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        check_read(good[i]);
    static const struct {
        const char *s;
        size_t used;
    } partial[] = { { "", 0 },    { "-", 0 },    { ".5", 0 },     { "+1", 0 },  { "01", 1 },
                    { "1.", 1 },  { "1.e5", 1 }, { "1e", 1 },     { "1e+", 1 }, { "12x", 2 },
                    { "inf", 0 }, { "0x10", 1 }, { "1.5e3.2", 5 } };
    for (size_t i = 0; i < sizeof partial / sizeof partial[0]; i++) {
        double v;
        CHECK_INT(goss_read_double(partial[i].s, strlen(partial[i].s), &v), partial[i].used);
    }
    char text[2000];
    for (int i = 0; i < 20000; i++) {
        snprintf(text, sizeof text, "%s%llu.%llue%d", next() % 2 ? "-" : "", (unsigned long long)next(),
                 (unsigned long long)next(), (int)(next() % 700) - 350);
        check_read(text);
        snprintf(text, sizeof text, "%.*g", (int)(next() % 20) + 1, of_bits(next() & ~(1ull << 62)));
        check_read(text);
    }
    for (int i = 0; i < 300;
         i++) { /* exactly half way between two neighbours, and a hair beside it, with very many digits */
        const double v = of_bits(next() % (2046ull << 52));
        if (v < 1e-290 || v > 1e15)
            continue;
        snprintf(text, 1500, "%.1100Lf", ((long double)v + (long double)nextafter(v, INFINITY)) / 2);
        check_read(text);
        strcat(text, "000000001");
        check_read(text);
    }
}

int main(void)
{
    test_plain();
    test_double_edges();
    test_shortest();
    test_random();
    test_read();
    return unit_done("fmt");
}
