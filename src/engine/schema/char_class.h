/* char_class.h - characters by classes, those that patterns mostly treat alike: letters and digits in five
 * classes, each other character of ASCII, all others by the first byte of their UTF-8. A set of classes is
 * the bits of a uint64_t. */
#ifndef GOSS_SCHEMA_CHAR_CLASS_H
#define GOSS_SCHEMA_CHAR_CLASS_H
#include <stdint.h>

/* Those before GOSS_CLASS_QUOTE are of text: characters that stand for themselves in a string. BROKEN: bytes
 * that begin no character, or one that does not go on. */
enum { GOSS_CLASS_QUOTE = 48, GOSS_CLASS_BACKSLASH, GOSS_CLASS_CONTROL, GOSS_CLASS_BROKEN, GOSS_CLASSES };
#define GOSS_CLASS_BIT(c) ((uint64_t)1 << (c))
#define GOSS_CLASSES_TEXT (GOSS_CLASS_BIT(GOSS_CLASS_QUOTE) - 1)
#define GOSS_CLASSES_ALL (GOSS_CLASS_BIT(GOSS_CLASSES) - 1)

int goss_char_class(uint8_t first);          /* of the characters that begin with a byte */
/* How many bytes follow a first byte of UTF-8, and the range of the next one; -1: it begins no character. */
int goss_char_tail(uint8_t first, int *lo, int *hi);
/* Bytes of the character at s, or (n) of its beginning where the n bytes end before it does; 0: there is
 * none. Surrogates and overlong forms are none. */
uint64_t goss_char_bytes(const uint8_t *s, uint64_t n);
#endif
