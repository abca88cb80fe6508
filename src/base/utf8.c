/* utf8.c - strict UTF-8. The table of lead bytes gives length and the range that the second byte must lie in,
 * which is what rules out overlongs, surrogates and code points beyond U+10FFFF (Unicode, table 3-7). */
#include "utf8.h"
#include <string.h>

struct lead { int length; uint8_t low, high; };

static struct lead lead_of(uint8_t b)
{
    if (b < 0x80) return (struct lead){ 1, 0, 0 };
    if (b < 0xC2) return (struct lead){ 0, 0, 0 };
    if (b < 0xE0) return (struct lead){ 2, 0x80, 0xBF };
    if (b < 0xF0) return (struct lead){ 3, b == 0xE0 ? 0xA0 : 0x80, b == 0xED ? 0x9F : 0xBF };
    if (b < 0xF5) return (struct lead){ 4, b == 0xF0 ? 0x90 : 0x80, b == 0xF4 ? 0x8F : 0xBF };
    return (struct lead){ 0, 0, 0 };
}

int goss_utf8_decode(const uint8_t *s, size_t n, uint32_t *cp)
{
    if (n == 0)
        return 0;
    const struct lead lead = lead_of(s[0]);
    if (lead.length == 0)
        return -1;
    uint32_t c = lead.length == 1 ? s[0] : s[0] & (0xFFu >> (lead.length + 1));
    for (int i = 1; i < lead.length; i++) {
        if ((size_t)i == n)
            return 0;
        const uint8_t low = i == 1 ? lead.low : 0x80, high = i == 1 ? lead.high : 0xBF;
        if (s[i] < low || s[i] > high)
            return -i;
        c = c << 6 | (s[i] & 0x3F);
    }
    *cp = c;
    return lead.length;
}

int goss_utf8_encode(uint32_t cp, uint8_t out[4])
{
    if (cp > 0x10FFFF || (cp >= 0xD800 && cp < 0xE000))
        cp = 0xFFFD;
    if (cp < 0x80) {
        out[0] = (uint8_t)cp;
        return 1;
    }
    const int length = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (int i = length - 1; i > 0; i--, cp >>= 6)
        out[i] = (uint8_t)(0x80 | (cp & 0x3F));
    out[0] = (uint8_t)(0xF00u >> length | cp);
    return length;
}

int goss_utf8_valid(const uint8_t *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        const int k = goss_utf8_decode(s + i, n - i, &cp);
        if (k <= 0)
            return 0;
        i += (size_t)k;
    }
    return 1;
}
