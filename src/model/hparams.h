/* hparams.h - what arch.c and its tests need of hparams.c. */
#ifndef GOSS_MODEL_HPARAMS_H
#define GOSS_MODEL_HPARAMS_H
#include "arch.h"

enum {
    GOSS_MAX_LAYERS = 1024,
    GOSS_MAX_EMBD = 1 << 16,
    GOSS_MAX_HEADS = 4096,
    GOSS_MAX_HEAD_DIM = 512,
    GOSS_MAX_FF = 1 << 20,
    GOSS_MAX_EXPERTS = 1024,
    GOSS_MAX_EXPERTS_USED = 32,
    GOSS_MAX_VOCAB = 1 << 18,
    GOSS_MAX_CTX = 1 << 24
};

typedef struct goss_rope_scaling {
    enum { GOSS_ROPE_PLAIN, GOSS_ROPE_LINEAR, GOSS_ROPE_YARN } kind;
    double base, factor, orig_ctx, beta_fast, beta_slow, ext_factor, attn_factor;
    int truncate;              /* YaRN: 1 rounds the ramp's ends to whole dimensions */
} goss_rope_scaling;

/* Reads every hyperparameter but rope_freq; refuses absurd ones with one sentence. n_vocab, n_params come with the
 * tensors. */
int goss_hparams_read(goss_hparams *hp, goss_rope_scaling *rope, const goss_gguf *g, const goss_model_options *opt,
                      goss_error *err);
/* 1 when layer l sees only the window (before attn_dense). */
int goss_hparams_windowed(const goss_hparams *hp, const goss_gguf *g, int l);
/* Fills freq[dim / 2] (radians a position) and returns the factor of cos and sin. factors: rope_freqs (dim / 2) or
 * NULL. */
double goss_rope_frequencies(const goss_rope_scaling *s, int dim, const float *factors, double *freq);
#endif
