/* seen_gpu.h - what a recording keeps of the rows of steps of few, on the GPU: there where telemetry asks
 * for it (GOSS_TELEMETRY_RECORD). */
#ifndef GOSS_GPU_SEEN_GPU_H
#define GOSS_GPU_SEEN_GPU_H
#include "state.h"

uint64_t goss_seen_row_bytes(const goss_gpu_state *s); /* that come back for a row; 0: nothing is recorded */
/* Before the calls of the layers; and after them. */
int goss_seen_open(goss_gpu_state *s, goss_error *err);
int goss_seen_build(goss_gpu_state *s, goss_error *err);
void goss_seen_watch(goss_gpu_state *s, int layer, int head);
/* Are the experts of a step told and drawn behind all layers? Of a row alone, where nobody looks on. */
int goss_seen_late(const goss_gpu_state *s, int n_rows, int many);
void goss_seen_attend(goss_gpu_state *s, const goss_layer_calls *l, int layer, const goss_step *step);
/* Copies what the step's rows have behind `offset` of the ticket's read-back buffer. */
void goss_seen_copy(goss_gpu_state *s, const goss_gpu_ticket *t, uint64_t offset);
int goss_seen_read(const goss_gpu_state *s, const goss_gpu_ticket *t, int row, goss_seen *out);
#endif
