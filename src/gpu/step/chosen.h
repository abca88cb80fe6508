/* chosen.h - the choice of kernels that a device is opened with (gpu/kernels/choice.h). */
#ifndef GOSS_GPU_CHOSEN_H
#define GOSS_GPU_CHOSEN_H
#include "state.h"

/* Names the device and reads what was chosen for it. An error where the text must have something, and has
 * not. */
int goss_chosen_read(goss_gpu_state *s, goss_error *err);
/* The line of the kernels for few rows; NULL: as features say. And its product, for measure.c. */
const goss_choice_line *goss_chosen_few(goss_gpu_state *s);
goss_choice_line goss_chosen_few_like(const goss_gpu_state *s);
/* Tells telemetry, once calls are made. */
void goss_chosen_tell(goss_gpu_state *s, uint32_t mark);
#endif
