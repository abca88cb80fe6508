/* seen.h - what a recording keeps of the rows of the CPU backend's newest step. */
#ifndef GOSS_CPU_SEEN_H
#define GOSS_CPU_SEEN_H
#include "cpu_state.h"

int goss_cpu_record(goss_backend *b, int on);
void goss_cpu_watch(goss_backend *b, int layer, int head);
int goss_cpu_seen(const goss_backend *b, const goss_step *s, int row, goss_seen *out);
void goss_cpu_seen_close(cpu *c);
#endif
