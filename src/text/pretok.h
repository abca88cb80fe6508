/* pretok.h - cuts text into the pieces that BPE works on, exactly as the reference patterns do, without a
 * regex engine. */
#ifndef GOSS_TEXT_PRETOK_H
#define GOSS_TEXT_PRETOK_H
#include <stddef.h>
#include <stdint.h>
typedef enum goss_pretok {
    GOSS_PRETOK_O200K,
    GOSS_PRETOK_LLAMA3,
    GOSS_PRETOK_QWEN2,
    GOSS_PRETOK_GPT2
} goss_pretok;

/* The kind that tokenizer.ggml.pre names (n bytes). 0, or -1 for a name we don't know. */
int goss_pretok_by_name(const char *name, size_t n, goss_pretok *out);
/* The end of the piece that starts at p < n. Invalid UTF-8: each byte counts as one character of no class. */
size_t goss_pretok_next(goss_pretok kind, const uint8_t *s, size_t n, size_t p);
#endif
