/* stages.h - the dispatches of every stage (stage.h). */
#ifndef GOSS_GPU_STAGES_H
#define GOSS_GPU_STAGES_H
#include "state.h"

int goss_stages_embed(goss_backend *b, goss_step *step);
int goss_stages_attn_in(goss_backend *b, goss_step *step, int layer);
int goss_stages_attend(goss_backend *b, goss_step *step, int layer);
int goss_stages_attn_out(goss_backend *b, goss_step *step, int layer);
int goss_stages_route(goss_backend *b, goss_step *step, int layer);
int goss_stages_experts(goss_backend *b, goss_step *step, int layer);
int goss_stages_ffn(goss_backend *b, goss_step *step, int layer);
int goss_stages_head(goss_backend *b, goss_step *step);
/* The parts of a step that paging repeats on their own. */
void goss_stages_router(goss_gpu_state *s, int layer, const goss_step *step);
void goss_stages_expert_products(goss_gpu_state *s, int layer, const goss_step *step);
void goss_stages_expert_sum(goss_gpu_state *s, int layer, const goss_step *step);
#endif
