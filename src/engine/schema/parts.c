/* parts.c - see parts.h. */
#include "parts.h"
#include <string.h>

/* Digits of numbers without bounds: what JavaScript prints of any double, and a few more. */
enum { MAX_SPACES = 32, WHOLE_DIGITS = 21, FRACTION_DIGITS = 25 };

goss_parts goss_parts_for(goss_graph *g) { return (goss_parts){ g, -1, -1, -1, -1 }; }

int goss_part_either(goss_parts *p, int a, int b)
{
    return a == GOSS_NONE ? b : b == GOSS_NONE ? a : goss_graph_either(p->g, a, b);
}

int goss_part_text(goss_parts *p, const char *s, int next)
{
    return next == GOSS_NONE ? GOSS_NONE : goss_graph_text(p->g, s, strlen(s), next);
}

int goss_part_bytes(goss_parts *p, int lo, int hi, int next)
{
    return next == GOSS_NONE ? GOSS_NONE : goss_graph_bytes(p->g, lo, hi, next);
}

static int either3(goss_parts *p, int a, int b, int c)
{
    return goss_part_either(p, a, goss_part_either(p, b, c));
}

int goss_part_space(goss_parts *p, int next)
{
    goss_graph *g = p->g;
    if (next == GOSS_NONE) return GOSS_NONE;
    if (p->space < 0) {
        int indent = 0;
        for (int i = 0; i < MAX_SPACES; i++)
            indent = goss_graph_either(g, 0, goss_graph_bytes(g, ' ', ' ', indent));
        p->space = either3(p, 0, goss_graph_bytes(g, ' ', ' ', 0), goss_graph_bytes(g, '\n', '\n', indent));
    }
    return goss_graph_call(g, p->space, next);
}

/* ---- strings ------------------------------------------------------------------------------------------- */
static int hex(goss_parts *p, int next)
{
    return either3(p, goss_graph_bytes(p->g, '0', '9', next), goss_graph_bytes(p->g, 'a', 'f', next),
                   goss_graph_bytes(p->g, 'A', 'F', next));
}

/* \uXXXX but for surrogates. */
static int unicode_escape(goss_parts *p)
{
    goss_graph *g = p->g;
    const int h1 = hex(p, 0), h2 = hex(p, h1), h3 = hex(p, h2);
    const int d = goss_graph_bytes(g, '0', '7', h2);
    int first = either3(p, goss_graph_bytes(g, '0', '9', h3), goss_graph_bytes(g, 'a', 'c', h3),
                        goss_graph_bytes(g, 'A', 'C', h3));
    first = either3(p, first, goss_graph_bytes(g, 'e', 'f', h3), goss_graph_bytes(g, 'E', 'F', h3));
    first = either3(p, first, goss_graph_bytes(g, 'd', 'd', d), goss_graph_bytes(g, 'D', 'D', d));
    return goss_part_text(p, "\\u", first);
}

/* The characters that stand for themselves. */
static int unescaped(goss_parts *p)
{
    const int from = goss_graph_bytes(p->g, 0x20, 0x21, 0);
    const int out = either3(p, from, goss_graph_bytes(p->g, 0x23, 0x5B, 0),
                            goss_graph_codepoints(p->g, 0x5D, 0x10FFFF, 0));
    goss_graph_characters(p->g, from, out);
    return out;
}

static int short_escape(goss_parts *p, const char *letters)
{
    int out = GOSS_NONE;
    for (const char *c = letters; *c; c++) out = goss_part_either(p, out, goss_graph_bytes(p->g, *c, *c, 0));
    return goss_graph_bytes(p->g, '\\', '\\', out);
}

int goss_part_character(goss_parts *p)
{
    if (p->character < 0)
        p->character = either3(p, unescaped(p), short_escape(p, "\"\\/bfnrt"), unicode_escape(p));
    return p->character;
}

/* Controls without a letter of their own are \u00XX in small letters, as JSON.stringify writes them. */
int goss_part_plain(goss_parts *p)
{
    goss_graph *g = p->g;
    if (p->plain >= 0) return p->plain;
    int low = either3(p, goss_graph_bytes(g, '0', '7', 0), goss_graph_bytes(g, 'b', 'b', 0),
                      goss_graph_bytes(g, 'e', 'f', 0));
    int high = goss_part_either(p, goss_graph_bytes(g, '0', '9', 0), goss_graph_bytes(g, 'a', 'f', 0));
    const int control =
        goss_part_either(p, goss_graph_bytes(g, '0', '0', low), goss_graph_bytes(g, '1', '1', high));
    return p->plain =
               either3(p, unescaped(p), short_escape(p, "\"\\bfnrt"), goss_part_text(p, "\\u00", control));
}

int goss_part_call(goss_parts *p, int character, uint64_t left, int next)
{
    return goss_graph_promise(p->g, goss_graph_call(p->g, character, next), left);
}

int goss_part_loop(goss_parts *p, int character, int next)
{
    if (next == GOSS_NONE) return GOSS_NONE;
    const int loop = goss_graph_either(p->g, 0, 0);
    goss_graph_set(p->g, loop, goss_part_call(p, character, UINT64_MAX, loop), next);
    return loop;
}

int goss_part_string(goss_parts *p, int next)
{
    const int close = goss_part_text(p, "\"", next);
    return goss_part_text(p, "\"", goss_part_loop(p, goss_part_character(p), close));
}

/* ---- numbers ------------------------------------------------------------------------------------------- */
int goss_part_digits(goss_parts *p, int min, int max, int next)
{
    int out = next;
    for (int i = min; i < max; i++) out = goss_part_either(p, next, goss_part_bytes(p, '0', '9', out));
    for (int i = 0; i < min; i++) out = goss_part_bytes(p, '0', '9', out);
    return out;
}

static int magnitude(goss_parts *p, int next)
{
    return goss_part_either(p, goss_part_bytes(p, '0', '0', next),
                            goss_part_bytes(p, '1', '9', goss_part_digits(p, 0, WHOLE_DIGITS - 1, next)));
}

static int with_sign(goss_parts *p, int sign, int number)
{
    if (sign == GOSS_SIGN_NOT_NEGATIVE) return number;
    const int minus = goss_part_bytes(p, '-', '-', number);
    return sign == GOSS_SIGN_ANY ? goss_part_either(p, number, minus) : minus;
}

/* Where nothing positive may stand, zero may: alone, or as 0.0. */
static int with_zero(goss_parts *p, int sign, int number, int next)
{
    return sign == GOSS_SIGN_NOT_POSITIVE ? goss_part_either(p, number, goss_part_bytes(p, '0', '0', next))
                                          : number;
}

int goss_part_integer(goss_parts *p, int sign, int next)
{
    return with_zero(p, sign, with_sign(p, sign, magnitude(p, next)), next);
}

/* e, a sign, then the power. */
static int exponent(goss_parts *p, int power)
{
    const int sign =
        either3(p, power, goss_part_bytes(p, '+', '+', power), goss_part_bytes(p, '-', '-', power));
    return goss_part_either(p, goss_part_bytes(p, 'e', 'e', sign), goss_part_bytes(p, 'E', 'E', sign));
}

/* Powers of 100 to 307 follow one digit only, so that no number is beyond a double. */
int goss_part_number(goss_parts *p, int sign, int next)
{
    const int tens = goss_part_digits(p, 2, 2, next);
    const int large = either3(
        p, goss_part_bytes(p, '1', '2', tens),
        goss_part_bytes(p, '3', '3', goss_part_bytes(p, '0', '0', goss_part_bytes(p, '0', '7', next))),
        goss_part_digits(p, 1, 2, next));
    const int any = goss_part_either(p, next, exponent(p, goss_part_digits(p, 1, 2, next)));
    const int fraction = goss_part_bytes(p, '.', '.', goss_part_digits(p, 1, FRACTION_DIGITS, any));
    const int science = exponent(p, large);
    const int digit = goss_part_bytes(
        p, '1', '9',
        goss_part_either(p, science,
                         goss_part_bytes(p, '.', '.', goss_part_digits(p, 1, FRACTION_DIGITS, science))));
    const int number = goss_part_either(p, magnitude(p, goss_part_either(p, any, fraction)), digit);
    return with_zero(p, sign, with_sign(p, sign, number), next);
}

/* ---- any value ----------------------------------------------------------------------------------------- */
/* `open` item (, item)* `close`, or empty */
static int list_of(goss_parts *p, const char *open, int item_rule, const char *close, int next)
{
    goss_graph *g = p->g;
    const int end = goss_part_space(p, goss_part_text(p, close, next)), loop = goss_graph_either(g, 0, 0);
    const int item = goss_part_space(p, goss_graph_call(g, item_rule, loop));
    goss_graph_set(g, loop, end, goss_part_text(p, ",", item));
    return goss_part_text(p, open, goss_graph_either(g, end, item));
}

int goss_part_array(goss_parts *p, int next)
{
    return next == GOSS_NONE ? GOSS_NONE : list_of(p, "[", goss_part_value(p), "]", next);
}

int goss_part_object(goss_parts *p, int next)
{
    if (next == GOSS_NONE) return GOSS_NONE;
    const int value = goss_graph_call(p->g, goss_part_value(p), 0);
    const int member = goss_part_string(p, goss_part_text(p, ":", goss_part_space(p, value)));
    return list_of(p, "{", member, "}", next);
}

int goss_part_value(goss_parts *p)
{
    if (p->value >= 0) return p->value;
    p->value = goss_graph_either(p->g, 0, 0);
    const int words =
        either3(p, goss_part_text(p, "true", 0), goss_part_text(p, "false", 0), goss_part_text(p, "null", 0));
    const int scalars = either3(p, words, goss_part_string(p, 0), goss_part_number(p, GOSS_SIGN_ANY, 0));
    const int array = goss_part_array(p, 0), object = goss_part_object(p, 0);
    goss_graph_set(p->g, p->value, scalars, goss_part_either(p, array, object));
    return p->value;
}
