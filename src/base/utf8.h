/* utf8.h - strict UTF-8 (no overlongs, no surrogates, at most U+10FFFF). */
#ifndef GOSS_BASE_UTF8_H
#define GOSS_BASE_UTF8_H
#include <stddef.h>
#include <stdint.h>
/* Decodes one code point. Returns its length 1..4; 0 when the n bytes are a valid but incomplete start; for
 * an invalid sequence returns -k where k >= 1 bytes are to be replaced by one U+FFFD (the maximal subpart, as
 * WHATWG). */
int goss_utf8_decode(const uint8_t *s, size_t n, uint32_t *cp);
int goss_utf8_encode(uint32_t cp, uint8_t out[4]);   /* returns the length */
int goss_utf8_valid(const uint8_t *s, size_t n);
#endif
