/* vocab.h - tokens of a model and both directions between text and ids (docs/reference.md 8 and 11.4-11.5).
 * Kinds: byte-level BPE (o200k ranked by id, GPT-2 and Llama-3 style ranked by the merges list) and SPM with
 * byte fallback. */
#ifndef GOSS_TEXT_VOCAB_H
#define GOSS_TEXT_VOCAB_H
#include "base/buf.h"
#include "format/gguf.h"

typedef struct goss_vocab goss_vocab;
enum {
    GOSS_TOKEN_NORMAL = 1,
    GOSS_TOKEN_UNKNOWN = 2,
    GOSS_TOKEN_CONTROL = 3,
    GOSS_TOKEN_USER = 4,
    GOSS_TOKEN_UNUSED = 5,
    GOSS_TOKEN_BYTE = 6
};

int goss_vocab_open(goss_vocab **out, const goss_gguf *g,
                    goss_error *err); /* copies what it needs: g may be freed after */
void goss_vocab_close(goss_vocab **v);
int goss_vocab_size(const goss_vocab *v);
int goss_vocab_kind(const goss_vocab *v, int32_t id); /* a GOSS_TOKEN_* */
/* The bytes that the token stands for in text ("" for control tokens; their literal name with specials = 1).
 */
goss_str goss_vocab_bytes(const goss_vocab *v, int32_t id, int specials);
int32_t goss_vocab_find(const goss_vocab *v,
                        const char *special); /* control tokens by name, e.g. "<|start|>"; -1 */
int32_t goss_vocab_bos(const goss_vocab *v);  /* -1: none */
int32_t goss_vocab_eos(const goss_vocab *v);
int goss_vocab_adds_bos(const goss_vocab *v);
/* 1 for tokens that end a generation: eos, eos_token_ids, <|return|>, <|call|>, <|endoftext|>, <|eot_id|>,
 * <|im_end|>; never <|end|> of Harmony. */
int goss_vocab_is_stop(const goss_vocab *v, int32_t id);
/* Appends int32 ids to out. flags: GOSS_TOKENIZE_*. SPM's space prefix applies at the start of the text and
 * after specials. */
int goss_vocab_encode(const goss_vocab *v, const char *text, size_t n, unsigned flags, goss_buf *ids);
/* Appends bytes. `start`: the first id begins the output (SPM drops one leading space there). */
int goss_vocab_decode(const goss_vocab *v, const int32_t *ids, size_t n, int specials, int start,
                      goss_buf *out);
#endif
