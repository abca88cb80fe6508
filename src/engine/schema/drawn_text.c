/* drawn_text.c - see drawn_text.h: a walk over the automaton, byte by byte. Every state of a compiled
 * schema leads to an end, so what closes first ends a walk that has become long. */
#include "drawn_text.h"

enum { LONG = 160, SHORT = 60 };

static uint32_t draw(uint64_t *seed, uint32_t n)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((*seed >> 33) % n);
}

static int is_word(int b) { return (b >= 'a' && b <= 'z') || (b >= '0' && b <= '9'); }

/* Of n bytes: tidy takes letters and digits before other ASCII, spaces seldom; else the many bytes that
 * begin other characters come as often as the few of ASCII. */
static int choose(const uint8_t *may, int n, int tidy, uint64_t *seed)
{
    int b = may[draw(seed, (uint32_t)n)];
    for (int again = 0; again < (tidy ? 12 : 1); again++) {
        const int good = tidy ? is_word(b) || b == '"' || b == ',' || b == '{' || b == '[' : b < 0x80;
        if (good || (!tidy && draw(seed, 8) == 0)) break;
        b = may[draw(seed, (uint32_t)n)];
    }
    return b;
}

/* The next byte, -1: none. */
static int step(goss_dfa *d, int s, size_t length, int tidy, uint64_t *seed)
{
    static const char closers[] = "\"}]ue,:0";
    uint8_t may[256];
    int n = 0;
    for (int b = 0; b < 256; b++)
        if (!(tidy && b == '\n') && goss_dfa_next(d, s, (uint8_t)b) != GOSS_DEAD) may[n++] = (uint8_t)b;
    if (!n) return -1;
    const int ends = length > (size_t)(tidy ? SHORT : LONG) || (tidy && draw(seed, 8) == 0);
    for (const char *c = closers; *c && ends && draw(seed, 8); c++)
        for (int i = 0; i < n; i++)
            if (may[i] == (uint8_t)*c) return may[i];
    return choose(may, n, tidy, seed);
}

int goss_drawn_text(goss_dfa *d, int start, uint64_t *seed, int tidy, goss_buf *out)
{
    int s = goss_dfa_start(d, start);
    goss_buf_clear(out);
    while (out->len < out->max && !out->failed) {
        if (goss_dfa_accepts(d, s) && (out->len > LONG || draw(seed, 3) == 0)) return 1;
        const int b = step(d, s, out->len, tidy, seed);
        if (b < 0) return goss_dfa_accepts(d, s);
        const uint8_t byte = (uint8_t)b;
        goss_buf_append(out, &byte, 1);
        s = goss_dfa_next(d, s, byte);
    }
    return 0;
}
