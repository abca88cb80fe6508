/* sample.h - the sampler that every backend implements with the same integers, so that the same logits and
 * seed give the same token everywhere (WGSL has no exact exp or 64-bit integers, so the definition uses
 * neither).
 *
 * For token i with logit l_i (f32), allowed by the mask:
 *   f_i = l_i * s       one f32 multiply; s is `scale`, or for tokens in the penalty window scale_pos (l_i > 0) or
 *                       scale_neg (l_i <= 0)
 *   x_i = (int32) rint(clamp(f_i, -2^30, 2^30)), NaN counts as -2^30;
 *         then x_i -= presence + count * frequency (in the window), x_i += bias (int32, clamped to +-2^30 after)
 * greedy: the largest x_i, the lowest i among equals. scale is 2^16 then.
 * else (scale = log2(e) / temperature * 2^GOSS_SAMPLE_BITS):
 *   d_i = max x - x_i                      (u32)
 *   w_i = d_i >> 12 >= 32 ? 0 : exp2_table[d_i & 4095] >> (d_i >> 12)      (u32, at most 2^31)
 *   top-k:  keep d_i <= the k-th smallest d (all equals of it too)
 *   top-p:  over what is left, total = sum w (u64); keep d_i <= the smallest D with
 *           sum of w over d_i <= D  >=  (total * p14 + 16383) >> 14
 *   min-p:  keep d_i <= min_p_d
 *   total over what is left; r = first word of Philox4x32-10(counter = (position, 0, 0, 0), key = (seed lo, seed hi));
 *   target = (total * r) >> 32 (exact, 96-bit);
 *   the token is the lowest i whose running sum of kept w (in order of i) exceeds target.
 * The penalty window is the last_n tokens before and including the row's own position.
 * position = the position that the sampled token will have = n_tokens.
 *
 * With a mask that allows nothing the token is -1. The host keeps |presence| and |bias| <= 2^28 and
 * |frequency| <= 2^17, merges equal bias tokens and cuts last_n to GOSS_PENALTY_MAX, so that no sum leaves
 * int32; n_vocab <= 2^18, so that no product leaves u64. Temperatures below 0.005 are greedy (logits would
 * leave the fixed point's range). */
#ifndef GOSS_MODEL_SAMPLE_H
#define GOSS_MODEL_SAMPLE_H
#include "sample_exp2.h"
#include <gossamer.h>
enum {
    GOSS_SAMPLE_BITS = 12,
    GOSS_SAMPLE_ALL_P14 = 16384, /* top_p14 of no top-p */
    GOSS_TOP_MAX = 20,
    GOSS_BIAS_MAX = 300,
    GOSS_PENALTY_MAX = 4096 /* longest window */
};
#define GOSS_SAMPLE_GREEDY_BELOW 0.005f

typedef struct goss_sampler {      /* goss_params resolved to integers by the host, once a generation */
    float scale, scale_pos, scale_neg;
    int32_t presence, frequency;
    int greedy, last_n, n_probs, n_bias;
    uint32_t top_k, top_p14, min_p_d;  /* off: 0, 16384, UINT32_MAX */
    uint32_t seed_lo, seed_hi;
    int32_t bias_token[GOSS_BIAS_MAX], bias[GOSS_BIAS_MAX];
} goss_sampler;
typedef struct goss_pick {
    int32_t token;
    float logprob, entropy;        /* of softmax(logits) before any change; natural log */
    /* the n_probs best of the same distribution, best first, then by id */
    int n_top; goss_prob top[GOSS_TOP_MAX];
} goss_pick;

/* GOSS_EINVAL with what is out of range. */
int goss_sampler_init(goss_sampler *s, const goss_params *p, goss_error *err);
/* Has it top-k or top-p? */
static inline int goss_sampler_cuts(const goss_sampler *s)
{
    return s->top_k || s->top_p14 < GOSS_SAMPLE_ALL_P14;
}
uint32_t goss_sample_random(uint32_t seed_lo, uint32_t seed_hi, uint32_t position);
/* The definition above, for one row. tokens[0..n_tokens) is the sequence up to and including the row.
 * mask: n_vocab bits or NULL. scratch: n_vocab * 8 bytes. */
void goss_sample(const goss_sampler *s, const float *logits, int n_vocab, const uint32_t *mask,
                 const int32_t *tokens, int n_tokens, void *scratch, goss_pick *out);

/* The same in phases, for backends with threads: begin, then for each phase every part (in any order, at once
 * if one likes) and then join; the last join fills out. All pointers are kept until then. */
enum { GOSS_SAMPLE_PARTS = 32, GOSS_SAMPLE_PHASES = 3 };
typedef struct goss_sample_part {
    float top; int32_t best, token; double sum, weighted; uint64_t total;
    int n_probs; goss_prob probs[GOSS_TOP_MAX];
} goss_sample_part;
typedef struct goss_sampling {
    const goss_sampler *s; const float *logits; const uint32_t *mask; const int32_t *tokens;
    int n_vocab, n_tokens, n_parts;
    int32_t *x; uint32_t *second;  /* the halves of scratch: fixed point; counts, then candidates */
    float top, floor; int32_t best, token; uint32_t limit;
    goss_sample_part part[GOSS_SAMPLE_PARTS];
} goss_sampling;
void goss_sampling_begin(goss_sampling *g, const goss_sampler *s, const float *logits, int n_vocab,
                         const uint32_t *mask, const int32_t *tokens, int n_tokens, void *scratch);
void goss_sampling_part(goss_sampling *g, int phase, int part);
void goss_sampling_join(goss_sampling *g, int phase, goss_pick *out);
#endif
