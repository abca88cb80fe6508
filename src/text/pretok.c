/* pretok.c - hand-written matchers for the patterns of REFERENCE 8.2 and 11.5. Each equals its regular
 * expression (leftmost, first alternative that matches, greedy with backtracking); a call reads the piece it
 * returns, at most a few times over, and one character more, or the run of spaces behind it, so that whole
 * texts take linear time. */
#include "pretok.h"
#include "base/utf8.h"
#include "unicode.h"
#include <string.h>

enum {
    UPPER = GOSS_CLASS_UPPER,
    LOWER = GOSS_CLASS_LOWER,
    LETTER = GOSS_CLASS_LETTER,
    NUMBER = GOSS_CLASS_NUMBER,
    SPACE = GOSS_CLASS_SPACE
};

typedef struct text {
    const uint8_t *s;
    size_t n;
} text;

static unsigned class_of_multibyte(text t, size_t p, unsigned *len)
{
    uint32_t cp = 0;
    int k = goss_utf8_decode(t.s + p, t.n - p, &cp);
    *len = k > 0 ? (unsigned)k : 1;
    return k > 0 ? goss_unicode_class(cp) : 0;
}

/* Class and length of the character at p; both 0 at the end. The first block of the table is ASCII. */
static inline unsigned class_at(text t, size_t p, unsigned *len)
{
    if (p >= t.n) {
        *len = 0;
        return 0;
    }
    if (t.s[p] < 0x80) {
        *len = 1;
        return goss_unicode_stage2[t.s[p]];
    }
    return class_of_multibyte(t, p, len);
}

static size_t skip_class(text t, size_t p, unsigned class)
{
    unsigned len;
    while (class_at(t, p, &len) & class) p += len;
    return p;
}

static inline int is_newline(uint8_t c) { return c == '\r' || c == '\n'; }

static inline uint8_t lower_at(text t, size_t p)
{
    uint8_t c = p < t.n ? t.s[p] : 0;
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

/* (?i:'s|'t|'re|'ve|'m|'ll|'d) at e: its end, or e. U+017F folds to s. */
static size_t contraction(text t, size_t e)
{
    if (e >= t.n || t.s[e] != '\'') return e;
    uint8_t a = lower_at(t, e + 1), b = lower_at(t, e + 2);
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return e + 2;
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return e + 3;
    return a == 0xC5 && b == 0xBF ? e + 3 : e;
}

/* [Lu Lt Lm Lo M]* [Ll Lm Lo M]+ contraction? : the end, or 0. Where no lower-case letter follows the first
 * run, the run gives back as much as the second class needs: up to the last of its characters that is in
 * both. */
static size_t word_ending_lower(text t, size_t p)
{
    unsigned c, len;
    size_t e = p, both = 0;
    for (; (c = class_at(t, e, &len)) & UPPER; e += len)
        if (c & LOWER) both = e + len;
    if (c & LOWER) return contraction(t, skip_class(t, e + len, LOWER));
    return both ? contraction(t, both) : 0;
}

/* [Lu Lt Lm Lo M]+ [Ll Lm Lo M]* contraction? : the end, or 0. */
static size_t word_beginning_upper(text t, size_t p)
{
    size_t e = skip_class(t, p, UPPER);
    return e == p ? 0 : contraction(t, skip_class(t, e, LOWER));
}

/* Alternatives 1 and 2 of o200k: words with one optional character before them. */
static size_t word_o200k(text t, size_t p, unsigned c, unsigned len)
{
    unsigned next_len,
        ahead = c & (LETTER | NUMBER) || is_newline(t.s[p]) ? 0 : class_at(t, p + len, &next_len);
    const unsigned word = UPPER | LOWER;
    size_t e;
    if (ahead & word && (e = word_ending_lower(t, p + len))) return e;
    if (c & word && (e = word_ending_lower(t, p))) return e;
    if (ahead & word && (e = word_beginning_upper(t, p + len))) return e;
    return c & word ? word_beginning_upper(t, p) : 0;
}

/* [^\r\n L N]? L+ */
static size_t word_llama3(text t, size_t p, unsigned c, unsigned len)
{
    unsigned next_len;
    if (c & LETTER) return skip_class(t, p, LETTER);
    if (!(c & NUMBER) && !is_newline(t.s[p]) && class_at(t, p + len, &next_len) & LETTER)
        return skip_class(t, p + len, LETTER);
    return 0;
}

/* " ?[^\s L N]+", then any of the bytes of `tail`: the end, or 0. */
static size_t punctuation(text t, size_t p, const char *tail)
{
    unsigned c, len;
    const size_t start = t.s[p] == ' ' ? p + 1 : p;
    size_t e = start;
    while (c = class_at(t, e, &len), len && !(c & (SPACE | LETTER | NUMBER))) e += len;
    if (e == start) return 0;
    while (e < t.n && t.s[e] && strchr(tail, t.s[e])) e++;
    return e;
}

static size_t digits(text t, size_t p, int most)
{
    unsigned len;
    for (int i = 0; i < most && class_at(t, p, &len) & NUMBER; i++) p += len;
    return p;
}

/* \s*[\r\n]+ (where newlines is set) | \s+(?!\S) | \s+ : a run goes up to its last line end; without one, all
 * but its last character, which belongs to the word behind. */
static size_t spaces(text t, size_t p, int newlines)
{
    unsigned len = 0;
    size_t e = p, last = p, line_end = 0;
    while (class_at(t, e, &len) & SPACE) {
        if (is_newline(t.s[e])) line_end = e + 1;
        last = e;
        e += len;
    }
    if (newlines && line_end) return line_end;
    return e == t.n || last == p ? e : last;
}

static size_t contraction_lower_case(text t, size_t p)
{
    const size_t e = contraction(t, p);
    for (size_t i = p + 1; i < e; i++)
        if (t.s[i] < 'a' || t.s[i] > 'z') return p;
    return e;
}

/* 's|'t|'re|'ve|'m|'ll|'d | ?L+ | ?N+ | ?[^\s L N]+ | \s+(?!\S) | \s+ */
static size_t next_gpt2(text t, size_t p)
{
    size_t e = contraction_lower_case(t, p);
    if (e != p) return e;
    unsigned len;
    const size_t q = t.s[p] == ' ' ? p + 1 : p;
    const unsigned c = class_at(t, q, &len);
    if (c & LETTER) return skip_class(t, q, LETTER);
    if (c & NUMBER) return skip_class(t, q, NUMBER);
    e = punctuation(t, p, "");
    return e ? e : spaces(t, p, 0);
}

size_t goss_pretok_next(goss_pretok kind, const uint8_t *s, size_t n, size_t p)
{
    const text t = { s, n };
    if (kind == GOSS_PRETOK_GPT2) return next_gpt2(t, p);
    unsigned len, c = class_at(t, p, &len);
    size_t e;
    if (kind == GOSS_PRETOK_O200K) {
        if ((e = word_o200k(t, p, c, len))) return e;
        if (c & NUMBER) return digits(t, p, 3);
        if ((e = punctuation(t, p, "\r\n/"))) return e;
    } else {
        if ((e = contraction(t, p)) != p) return e;
        if ((e = word_llama3(t, p, c, len))) return e;
        if (c & NUMBER) return digits(t, p, kind == GOSS_PRETOK_QWEN2 ? 1 : 3);
        if ((e = punctuation(t, p, "\r\n"))) return e;
    }
    return spaces(t, p, 1);
}

int goss_pretok_by_name(const char *name, size_t n, goss_pretok *out)
{
    static const struct {
        const char *name;
        goss_pretok kind;
    } known[] = {
        { "gpt-4o", GOSS_PRETOK_O200K },     { "o200k", GOSS_PRETOK_O200K },
        { "llama4", GOSS_PRETOK_O200K },     { "llama-bpe", GOSS_PRETOK_LLAMA3 },
        { "llama3", GOSS_PRETOK_LLAMA3 },    { "llama-v3", GOSS_PRETOK_LLAMA3 },
        { "smaug-bpe", GOSS_PRETOK_LLAMA3 }, { "dbrx", GOSS_PRETOK_LLAMA3 },
        { "qwen2", GOSS_PRETOK_QWEN2 },      { "deepseek-r1-qwen", GOSS_PRETOK_QWEN2 },
        { "gpt-2", GOSS_PRETOK_GPT2 },       { "gpt2", GOSS_PRETOK_GPT2 },
        { "default", GOSS_PRETOK_GPT2 },     { "", GOSS_PRETOK_GPT2 },
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i].name) == n && !memcmp(known[i].name, name, n)) {
            *out = known[i].kind;
            return 0;
        }
    return -1;
}
