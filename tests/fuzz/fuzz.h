/* fuzz.h - what the fuzz targets share: libFuzzer's entry point (fuzz_replay.c calls it too) and a check
 * that stops the program. */
#ifndef FUZZ_H
#define FUZZ_H
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);
#define FUZZ_CHECK(cond)                                                        \
    do {                                                                        \
        if (!(cond)) {                                                          \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);          \
            abort();                                                            \
        }                                                                       \
    } while (0)
#endif
