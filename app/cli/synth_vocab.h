/* synth_vocab.h - a made-up vocabulary in o200k's form, for files made by `gossamer synth`. */
#ifndef GOSS_CLI_SYNTH_VOCAB_H
#define GOSS_CLI_SYNTH_VOCAB_H
#include "format/gguf_write.h"

enum { GOSS_SYNTH_SPECIALS = 21, GOSS_SYNTH_VOCAB_MIN = 1024 };
typedef struct goss_synth_vocab {
    goss_str *tokens, *merges;      /* (n), (n_merges): GPT-2's byte-to-unicode spelling */
    int32_t *types;                 /* (n) 1 normal, 3 control, 5 unused */
    int n, n_merges, first_special; /* <|startoftext|>; the 20 others follow, then padding */
    char *text; size_t n_text, room;/* owns what the strings point at */
} goss_synth_vocab;

/* n tokens: bytes, some words, then letter sequences, each of which merges from tokens before it; the 21
 * special tokens of gpt-oss follow at first_special = min(199998, n - 21), and padding up to n. 0 or
 * GOSS_ENOMEM. */
int goss_synth_vocab_make(goss_synth_vocab *v, int n);
void goss_synth_vocab_free(goss_synth_vocab *v);
/* Writes the tokenizer.ggml.* keys. */
void goss_synth_vocab_put(const goss_synth_vocab *v, goss_gguf_writer *w);
#endif
