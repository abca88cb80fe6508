/* panels.h - what a page draws on the same device, where telemetry asks for it. */
#ifndef GOSS_GPU_PANELS_H
#define GOSS_GPU_PANELS_H
#include "state.h"

int goss_panels_open(goss_gpu_state *s, goss_error *err); /* the buffer */
int goss_panels_build(goss_gpu_state *s, goss_error *err); /* the calls */
void goss_panels_watch(goss_gpu_state *s, int layer, int head);
void goss_panels_attend(goss_gpu_state *s, const goss_layer_calls *l, int layer);
void goss_panels_layer(goss_gpu_state *s, const goss_layer_calls *l);
void goss_panels_end(goss_gpu_state *s, const goss_gpu_ticket *t);
#endif
