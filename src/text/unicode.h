/* unicode.h - the character classes that the pre-tokenizers' patterns name, in a two-stage table
 * (unicode_tables.c). One byte a code point; 128 code points share a block, equal blocks are stored once. */
#ifndef GOSS_TEXT_UNICODE_H
#define GOSS_TEXT_UNICODE_H
#include <stdint.h>
enum {
    GOSS_CLASS_UPPER = 1,  /* Lu Lt Lm Lo M: what may stand in the first part of a word */
    GOSS_CLASS_LOWER = 2,  /* Ll Lm Lo M: what may stand in the second; Lm, Lo and M are in both */
    GOSS_CLASS_LETTER = 4, /* L */
    GOSS_CLASS_NUMBER = 8, /* N */
    GOSS_CLASS_SPACE = 16  /* White_Space */
};
extern const char goss_unicode_version[];
extern const uint8_t goss_unicode_stage1[];
extern const uint8_t goss_unicode_stage2[];

/* The class bits of a code point below U+110000. Surrogates have none. */
static inline unsigned goss_unicode_class(uint32_t cp)
{
    return goss_unicode_stage2[(uint32_t)goss_unicode_stage1[cp >> 7] << 7 | (cp & 127)];
}
#endif
