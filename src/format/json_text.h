/* json_text.h - the characters of an escaped JSON string that was checked before. For json.c and
 * json_tree.c. */
#ifndef GOSS_FORMAT_JSON_TEXT_H
#define GOSS_FORMAT_JSON_TEXT_H
#include <stddef.h>
#include <stdint.h>
/* One character of s[0..n), n > 0, as 1 to 4 bytes of UTF-8 in out; *used says how much of s it took.
 * Returns the bytes in out. */
int goss_json_text_next(const char *s, size_t n, uint8_t out[4], size_t *used);
/* Order of two escaped strings by their bytes with escapes resolved. */
int goss_json_text_compare(const char *a, size_t n_a, const char *b, size_t n_b);
#endif
