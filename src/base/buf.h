/* buf.h - a growing byte buffer with a maximum, and checked size arithmetic.
 * Once an append fails, `failed` stays set and later appends do nothing: check once, at the end. */
#ifndef GOSS_BASE_BUF_H
#define GOSS_BASE_BUF_H
#include <stddef.h>
#include <stdint.h>

typedef struct goss_buf { uint8_t *data; size_t len, cap, max; int failed; } goss_buf;
#define GOSS_BUF(maximum) ((goss_buf){ .max = (maximum) })

/* 0 or GOSS_ENOMEM / GOSS_ELIMIT; append may be zero bytes */
int goss_buf_append(goss_buf *b, const void *bytes, size_t n);
int goss_buf_reserve(goss_buf *b, size_t n);                     /* room for n more without moving */
int goss_buf_printf(goss_buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
int goss_buf_str(goss_buf *b, const char *s);
/* with quotes; invalid UTF-8 becomes U+FFFD */
int goss_buf_json_string(goss_buf *b, const char *s, size_t n);
const char *goss_buf_cstr(goss_buf *b);                          /* NUL-terminated view, "" after failure */
void goss_buf_clear(goss_buf *b);                                /* keeps the memory */
void goss_buf_free(goss_buf *b);

/* Typed use: goss_buf of int32 tokens. */
static inline int goss_buf_i32(goss_buf *b, int32_t v) { return goss_buf_append(b, &v, sizeof v); }

/* 1: overflow */
static inline int goss_mul_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    return __builtin_mul_overflow(a, b, out);
}
static inline int goss_add_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    return __builtin_add_overflow(a, b, out);
}
#endif
