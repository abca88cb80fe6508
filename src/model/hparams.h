/* hparams.h - the hyperparameters of a model, read from metadata: sizes, RoPE's frequencies, and what an
 * option of the engine changes in them. */
#ifndef GOSS_MODEL_HPARAMS_H
#define GOSS_MODEL_HPARAMS_H
#include "format/gguf.h"

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

typedef enum goss_arch { GOSS_ARCH_GPTOSS, GOSS_ARCH_LLAMA } goss_arch;
typedef struct goss_hparams {
    goss_arch arch;
    int n_layer;                 /* layers that run (after a limit) */
    int n_layer_file;            /* layers in the file */
    int n_ctx, n_embd, n_head, n_head_kv, head_dim, n_vocab;
    int n_ff;                    /* of an expert, or of the dense FFN */
    int n_expert, n_expert_used; /* 0 for llama */
    int window;                  /* keys a windowed layer sees, itself included; 0: none */
    int rope_dim, rope_half;     /* rope_half 1: pairs (i, i + rope_dim/2), 0: pairs (2i, 2i+1) */
    float rms_eps, attn_scale;   /* 1/sqrt(head_dim) unless the file says else */
    float swiglu_alpha, swiglu_limit; /* gpt-oss: 1.702 and 7 */
    double rope_mag;             /* both cos and sin are multiplied by it: 1.3466 for gpt-oss */
    /* (rope_dim / 2) radians a position; YaRN and rope_freqs are already in it */
    double *rope_freq;
    char name[64];
    int64_t n_params;
} goss_hparams;

typedef struct goss_model_options {
    int n_layers; /* as goss_engine_config */
    int yarn_llamacpp, attn_dense, moe_fallback;
} goss_model_options;

typedef struct goss_rope_scaling {
    enum { GOSS_ROPE_PLAIN, GOSS_ROPE_LINEAR, GOSS_ROPE_YARN } kind;
    double base, factor, orig_ctx, beta_fast, beta_slow, ext_factor, attn_factor;
    int truncate;              /* YaRN: 1 rounds the ramp's ends to whole dimensions */
} goss_rope_scaling;

/* Reads every hyperparameter but rope_freq; refuses absurd ones with one sentence. n_vocab, n_params come
 * with the tensors. */
int goss_hparams_read(goss_hparams *hp, goss_rope_scaling *rope, const goss_gguf *g,
                      const goss_model_options *opt, goss_error *err);
/* 1 when layer l sees only the window (before attn_dense). */
int goss_hparams_windowed(const goss_hparams *hp, const goss_gguf *g, int l);
/* Fills freq[dim / 2] (radians a position) and returns the factor of cos and sin. factors: rope_freqs (dim /
 * 2) or NULL. */
double goss_rope_frequencies(const goss_rope_scaling *s, int dim, const float *factors, double *freq);
/* cos and sin (times rope_mag) of every pair at a position: out holds 2 * rope_dim/2 floats, cos then sin;
 * computed in double. */
void goss_rope_table(const goss_hparams *hp, int64_t pos, float *out);
#endif
