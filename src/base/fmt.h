/* fmt.h - formatting and parsing of numbers without libc's stdio or locale, the same in wasm.
 * Understands %s %.*s %c %d %u %x %X %ld %lu %lld %llu %zu %p %% %.Nf %f %g (shortest that reads back, with
 * %.Ng digits), width and 0. */
#ifndef GOSS_BASE_FMT_H
#define GOSS_BASE_FMT_H
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
size_t goss_fmt(char *dst, size_t cap, const char *format, ...)
    __attribute__((format(printf, 3, 4))); /* as snprintf */
size_t goss_vfmt(char *dst, size_t cap, const char *format, va_list args);
/* Reads a decimal number in JSON's grammar; returns bytes used, 0 if there is none. Correctly rounded. */
size_t goss_read_double(const char *s, size_t n, double *out);
int goss_hex_digit(char c); /* its value, -1: it is none */
#endif
