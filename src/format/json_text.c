/* json_text.c - see json_text.h. */
#include "json_text.h"
#include "base/utf8.h"
#include <string.h>

static unsigned hex4(const char *s)
{
    unsigned v = 0;
    for (int i = 0; i < 4; i++)
        v = v << 4 | (unsigned)(s[i] <= '9' ? s[i] - '0' : (s[i] | 0x20) - 'a' + 10);
    return v;
}

int goss_json_text_next(const char *s, size_t n, uint8_t out[4], size_t *used)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    out[0] = (uint8_t)s[0];
    *used = 1;
    if (s[0] != '\\' || n < 2)
        return 1;
    *used = 2;
    if (s[1] != 'u' || n < 6) {
        const char *hit = strchr(from, s[1]);
        out[0] = (uint8_t)(hit ? to[hit - from] : s[1]);
        return 1;
    }
    *used = 6;
    uint32_t cp = hex4(s + 2);
    if (cp >= 0xD800 && cp < 0xDC00 && n >= 12 && s[6] == '\\' && s[7] == 'u') {
        const uint32_t low = hex4(s + 8);
        if (low >= 0xDC00 && low < 0xE000) {
            cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
            *used = 12;
        }
    }
    return goss_utf8_encode(cp, out); /* half a pair becomes U+FFFD there */
}

int goss_json_text_compare(const char *a, size_t n_a, const char *b, size_t n_b)
{
    uint8_t x[4], y[4];
    int n_x = 0, n_y = 0, i_x = 0, i_y = 0;
    for (; n_a > 0 && n_b > 0 && *a == *b && *a != '\\'; n_a--, n_b--) a++, b++;
    for (;;) {
        size_t used;
        if (i_x == n_x && n_a > 0) {
            n_x = goss_json_text_next(a, n_a, x, &used);
            i_x = 0;
            a += used;
            n_a -= used;
        }
        if (i_y == n_y && n_b > 0) {
            n_y = goss_json_text_next(b, n_b, y, &used);
            i_y = 0;
            b += used;
            n_b -= used;
        }
        if (i_x == n_x || i_y == n_y)
            return (i_x < n_x) - (i_y < n_y);
        if (x[i_x] != y[i_y])
            return x[i_x] < y[i_y] ? -1 : 1;
        i_x++;
        i_y++;
    }
}
