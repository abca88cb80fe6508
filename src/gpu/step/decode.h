/* decode.h - the calls of steps with up to GOSS_DECODE_ROWS rows, and what every step needs: embedding,
 * head, sampling. */
#ifndef GOSS_GPU_DECODE_H
#define GOSS_GPU_DECODE_H
#include "state.h"

int goss_decode_build_layer(goss_gpu_state *s, int layer, goss_error *err);
int goss_decode_build_embed(goss_gpu_state *s, goss_error *err);
int goss_decode_build_head(goss_gpu_state *s, goss_error *err);
#endif
