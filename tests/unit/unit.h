/* unit.h - the smallest test frame: CHECK counts, unit_done() prints "NAME: N passed, N failed" and gives
 * the exit status. */
#ifndef UNIT_H
#define UNIT_H
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static int unit_passed, unit_failed;
#define CHECK(cond)                                           \
    do {                                                      \
        if (cond) unit_passed++;                              \
        else {                                                \
            unit_failed++;                                    \
            printf("%s:%d: %s\n", __FILE__, __LINE__, #cond); \
        }                                                     \
    } while (0)
#define CHECK_INT(got, want)                                                                 \
    do {                                                                                     \
        const long long g_ = (got), w_ = (want);                                             \
        if (g_ == w_) unit_passed++;                                                         \
        else {                                                                               \
            unit_failed++;                                                                   \
            printf("%s:%d: %s is %lld, should be %lld\n", __FILE__, __LINE__, #got, g_, w_); \
        }                                                                                    \
    } while (0)
#define CHECK_STR(got, want)                                                                     \
    do {                                                                                         \
        const char *g_ = (got), *w_ = (want);                                                    \
        if (!strcmp(g_, w_)) unit_passed++;                                                      \
        else {                                                                                   \
            unit_failed++;                                                                       \
            printf("%s:%d: %s is \"%s\", should be \"%s\"\n", __FILE__, __LINE__, #got, g_, w_); \
        }                                                                                        \
    } while (0)
/* UNIT_SMALL=1: the smaller case of slow tests, for builds that are ten times slower (sanitizers). */
static inline int unit_small(void) { return getenv("UNIT_SMALL") != NULL; }
static inline int unit_done(const char *name)
{
    printf("%s: %d passed, %d failed\n", name, unit_passed, unit_failed);
    return unit_failed != 0;
}
#endif
