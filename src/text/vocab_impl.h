/* vocab_impl.h - what a goss_vocab holds, for the files of src/text/ that look inside: vocab_load.c makes it,
 * vocab_ids.c asks it, merge.c and encode.c turn text into ids with it.
 *
 * Invariants: bytes of token i are bytes[offset[i] .. offset[i + 1]); tables never change after loading, so
 * that any number of threads may read them; `table` holds the tokens that text can turn into by merging
 * (normal ones), the first id among equals; SPM's U+2581 is stored as the space that it stands for, <0xXX> as
 * the byte. */
#ifndef GOSS_TEXT_VOCAB_IMPL_H
#define GOSS_TEXT_VOCAB_IMPL_H
#include "pretok.h"
#include "vocab.h"
#include <string.h>

enum { GOSS_RANK_NONE = -1 }; /* as uint32: greater than every rank */
typedef enum goss_vocab_model { GOSS_VOCAB_RANKED, GOSS_VOCAB_MERGES, GOSS_VOCAB_SPM } goss_vocab_model;
typedef struct goss_slot {
    uint32_t tag;
    int32_t id;
} goss_slot; /* id -1: empty */
typedef struct goss_merge_slot {
    int32_t left, right, id;
    uint32_t rank;
} goss_merge_slot; /* id -1: empty */
enum { GOSS_STOPS_MAX = 32 };

struct goss_vocab {
    goss_vocab_model model;
    goss_pretok pretok;
    int n, adds_bos, space_prefix;
    int whole_first; /* a piece that is a token becomes it without merging */
    int spm_words;   /* SPM: no token has a space after another character, so words merge on their own */
    int32_t bos, eos, unk;
    uint8_t *bytes, *kind;
    uint32_t *offset; /* (n + 1) */
    uint32_t *rank;   /* SPM: (n), the higher the score the lower */
    uint32_t longest; /* bytes of the longest token in the table */
    goss_slot *table;
    uint32_t table_mask;
    int32_t *pair;        /* (65536) ids of the tokens of two bytes, first byte high; -1: none */
    int32_t byte_id[256]; /* BPE: tokens of one byte; SPM: <0xXX>; -1: none */
    goss_merge_slot *merges;
    uint32_t merge_mask;
    int32_t *special;
    int n_special;              /* control and user-defined tokens, longest first */
    uint8_t special_first[256]; /* 1: some special begins with this byte */
    int32_t stop[GOSS_STOPS_MAX];
    int n_stop;
};

static inline goss_str goss_vocab_raw(const goss_vocab *v, int32_t id)
{
    return (goss_str){ (const char *)v->bytes + v->offset[id], v->offset[id + 1] - v->offset[id] };
}

static inline uint64_t goss_load_le(const uint8_t *s, size_t n)
{
    uint64_t x = 0;
    memcpy(&x, s, n);
    return x;
}

/* Mixes the bytes eight at a time; the last step overlaps, so that short strings take one or two loads. */
static inline uint64_t goss_hash(const uint8_t *s, size_t n)
{
    uint64_t h = n * 0x9E3779B97F4A7C15u;
    size_t i = 0;
    for (; i + 8 < n; i += 8) {
        h = (h ^ goss_load_le(s + i, 8)) * 0xD6E8FEB86659FD93u;
        h ^= h >> 32;
    }
    if (n >= 8)
        h ^= goss_load_le(s + n - 8, 8);
    else if (n >= 4)
        h ^= goss_load_le(s, 4) | goss_load_le(s + n - 4, 4) << 32;
    else if (n)
        h ^= (uint64_t)s[0] << 16 | (uint64_t)s[n >> 1] << 8 | s[n - 1];
    h *= 0xA0761D6478BD642Fu;
    h ^= h >> 32;
    h *= 0xE7037ED1A0B428DBu;
    h ^= h >> 29;
    return h;
}

/* The id of the token with these bytes, -1 when there is none. */
static inline int32_t goss_vocab_lookup(const goss_vocab *v, const uint8_t *s, size_t n)
{
    if (n == 0 || n > v->longest) return -1;
    const uint64_t h = goss_hash(s, n);
    for (uint32_t i = (uint32_t)h & v->table_mask;; i = (i + 1) & v->table_mask) {
        const goss_slot e = v->table[i];
        if (e.id < 0) return -1;
        if (e.tag == (uint32_t)(h >> 32) && v->offset[e.id + 1] - v->offset[e.id] == n &&
            !memcmp(v->bytes + v->offset[e.id], s, n))
            return e.id;
    }
}

static inline uint32_t goss_merge_hash(int32_t left, int32_t right)
{
    uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9E3779B97F4A7C15u;
    h ^= h >> 32;
    return (uint32_t)((h * 0xD6E8FEB86659FD93u) >> 32);
}

/* merge.c: appends the ids of s[0..n) merged as the model does; no cutting, no specials. n < 2^31. */
int goss_merge(const goss_vocab *v, const uint8_t *s, size_t n, goss_buf *ids);
#endif
