/* error.h - filling goss_error: one sentence with what, where, what to do. Owns the list of codes' names. */
#ifndef GOSS_BASE_ERROR_H
#define GOSS_BASE_ERROR_H
#include <gossamer.h>

/* Fills err (may be NULL) and returns code, so that callers write `return goss_fail(err, GOSS_EFORMAT, pos,
 * "...")`. The format is goss_fmt's (fmt.h). position -1: none. A filled err is overwritten. The
 * sentence is UTF-8, whatever bytes it quotes. */
int goss_fail(goss_error *err, int code, int64_t position, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
#endif
