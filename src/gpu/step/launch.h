/* launch.h - the end of a recorded step: its submit, and the reading back of what it gives. */
#ifndef GOSS_GPU_LAUNCH_H
#define GOSS_GPU_LAUNCH_H
#include "state.h"

int goss_launch(goss_gpu_state *s, goss_gpu_ticket *t);
/* of a paged step's report, before its picks */
uint64_t goss_launch_report_bytes(const goss_gpu_state *s, const goss_gpu_ticket *t);
/* of all that is read back */
uint64_t goss_launch_back_bytes(const goss_gpu_state *s, const goss_gpu_ticket *t);
#endif
