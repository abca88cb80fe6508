/* arch.h - what a model is: hyperparameters from metadata, and every tensor bound to its place and checked
 * for shape. gpt-oss (any size; Ollama's and unsloth's naming too) and llama. All missing or misshapen
 * tensors are reported together. */
#ifndef GOSS_MODEL_ARCH_H
#define GOSS_MODEL_ARCH_H
#include "hparams.h"

/* A weight that a file lacks has type -1. Fused attn_qkv is bound as three views by rows. Norms, biases and
 * sinks are F32 wherever the file is mapped (converted if need be). With moe_fallback n_expert and
 * n_expert_used are 1 and the views hold expert 0 alone, so backends need no case for it; with attn_dense no
 * layer is windowed. */
typedef struct goss_layer {
    int windowed;                /* 1: sees only hp.window keys */
    goss_tensor attn_norm;       /* (n_embd) */
    goss_tensor wq, wk, wv;      /* (n_embd -> n_head * head_dim), (n_embd -> n_head_kv * head_dim) */
    goss_tensor bq, bk, bv;
    goss_tensor wo, bo;          /* (n_head * head_dim -> n_embd) */
    goss_tensor sinks;           /* (n_head), F32 */
    goss_tensor ffn_norm;        /* post_attention_norm in gpt-oss files */
    goss_tensor router, router_b;            /* (n_embd -> n_expert) */
    /* gpt-oss: (n_embd -> n_ff, n_expert); llama: (n_embd -> n_ff) */
    goss_tensor gate, up, down;
    goss_tensor gate_b, up_b, down_b;
} goss_layer;

typedef struct goss_model {
    goss_hparams hp;
    goss_gguf *gguf;             /* kept: owned by whoever opened the files */
    goss_tensor tok_embd, out_norm, output, rope_freqs; /* output is tok_embd again when tied */
    goss_layer *layers;          /* (n_layer_file) */
    uint64_t weight_bytes;       /* all bound tensors */
    void *converted;             /* owned: small vectors that the file has in another type than F32 */
} goss_model;

/* opt may be NULL. On failure m is empty; missing and misshapen tensors are all counted, and named as far as
 * the text holds. */
int goss_model_bind(goss_model *m, goss_gguf *g, const goss_model_options *opt, goss_error *err);
void goss_model_free(goss_model *m);
uint64_t goss_model_step_bytes(const goss_model *m);   /* weights that one decoded token reads */
/* Those that a step of so many tokens reads: on average, for each token chooses its experts. */
double goss_model_rows_bytes(const goss_model *m, int rows);
uint64_t goss_model_step_expert_bytes(const goss_model *m);   /* of them those of its experts; 0: none */
#endif
