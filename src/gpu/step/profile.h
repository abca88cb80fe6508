/* profile.h - GPU time of every kernel by timestamps, each dispatch in a pass of its own while a step is
 * profiled. */
#ifndef GOSS_GPU_PROFILE_H
#define GOSS_GPU_PROFILE_H
#include "state.h"

int goss_profile_build(goss_gpu_state *s, goss_error *err);
void goss_profile_ask(goss_gpu_state *s, int on);      /* off: reports what is not reported yet */
void goss_profile_begin(goss_gpu_state *s);            /* decides whether this step is profiled */
int goss_profile_record(goss_gpu_state *s);            /* before the submit: has the timestamps copied */
int goss_profile_submitted(goss_gpu_state *s);
/* after the step: adds up, now and then reports kernel_time */
void goss_profile_collect(goss_gpu_state *s);
#endif
