/* prefill.h - the stages of steps with more than GOSS_DECODE_ROWS rows, where they differ. */
#ifndef GOSS_GPU_PREFILL_H
#define GOSS_GPU_PREFILL_H
#include "state.h"

int goss_prefill_build(goss_gpu_state *s, goss_error *err);
int goss_prefill_build_head(goss_gpu_state *s, goss_error *err);
/* The calls of one layer anew, into l (measure.c: under another choice). */
int goss_prefill_build_layer(goss_gpu_state *s, goss_layer_calls *l, int layer, goss_error *err);
/* One dense product; and the size of tile that features give its halves. */
void goss_prefill_product(goss_gpu_state *s, const goss_tile_call *c, uint32_t rows);
int goss_prefill_size(const goss_gpu_state *s, const goss_tile_call *c, int kind, uint32_t each);
uint64_t goss_prefill_tile_words(const goss_gpu_state *s); /* of the buffer `tiles` */
void goss_prefill_qkv(goss_gpu_state *s, const goss_layer_calls *l, const goss_step *step);
void goss_prefill_wo(goss_gpu_state *s, const goss_layer_calls *l, const goss_step *step);
void goss_prefill_experts(goss_gpu_state *s, const goss_layer_calls *l, uint32_t rows);
void goss_prefill_ffn(goss_gpu_state *s, const goss_layer_calls *l, uint32_t rows);
void goss_prefill_head(goss_gpu_state *s, uint32_t rows); /* logits of the first rows of s->buf.xn */
#endif
