/* strings.h - strings for which several things hold at once: patterns, formats, lengths, lists of texts,
 * and the opposites of them. */
#ifndef GOSS_SCHEMA_STRINGS_H
#define GOSS_SCHEMA_STRINGS_H
#include "format/gguf.h"
#include "parts.h"
#include <gossamer.h>

enum { GOSS_MAX_LANGUAGES = 30, GOSS_MAX_LENGTH = 100000 };
typedef struct goss_strings goss_strings;
int goss_strings_open(goss_strings **out, goss_parts *p); /* 0 or GOSS_ENOMEM; p is kept */
void goss_strings_close(goss_strings **s);
/* Adds a language: its number, or a negative error. */
int goss_strings_pattern(goss_strings *s, goss_str pattern, goss_error *err);
int goss_strings_texts(goss_strings *s, const goss_str *texts, int n, goss_error *err);
/* A graph of whole strings, quotes included; it is taken, and emptied on failure too. */
int goss_strings_graph(goss_strings *s, goss_graph *g, int start, goss_error *err);
/* In characters; both hold. More than GOSS_MAX_LENGTH are never let through where there is a most. */
void goss_strings_lengths(goss_strings *s, uint64_t min, uint64_t max);
int goss_strings_bounded(const goss_strings *s, uint64_t *min, uint64_t *max); /* whether lengths matter */

/* Strings in a language for each bit of `in`, in none for each bit of `out`: the node of the opening quote;
 * GOSS_NONE or an error (*rc) with the reason. */
int goss_strings_compile(goss_strings *s, uint32_t in, uint32_t out, int next, int *rc, goss_error *err);
/* The same where what follows depends on which languages a string is in: end(ctx, their bits), GOSS_NONE: it
 * may not stand here. From behind the opening quote. */
int goss_strings_sort(goss_strings *s, int (*end)(void *ctx, uint32_t languages), void *ctx, int *rc,
                      goss_error *err);
/* The languages that a text (of a string, unescaped) is in. */
uint32_t goss_strings_languages(goss_strings *s, goss_str text);
#endif
