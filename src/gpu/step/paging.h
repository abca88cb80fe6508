/* paging.h - steps of a model whose experts don't all fit on the device, or are computed on the host. */
#ifndef GOSS_GPU_PAGING_H
#define GOSS_GPU_PAGING_H
#include "state.h"

int goss_paging_open(goss_gpu_state *s, goss_error *err); /* after the slots are planned */
int goss_paging_begin(goss_gpu_state *s, goss_step *step, goss_gpu_ticket *t, goss_error *err);
int goss_paging_submit(goss_gpu_state *s, goss_gpu_ticket *t, goss_error *err);
/* All tickets as far as they go, or until one is done: what is behind it may take its time. */
int goss_paging_advance(goss_gpu_state *s, const goss_gpu_ticket *until, goss_error *err);
void goss_paging_release(goss_gpu_state *s, goss_gpu_ticket *t);
void goss_paging_kv_copy(goss_gpu_state *s, int cls, int from, int to);
int goss_paging_watched(goss_gpu_state *s, goss_step *step, int layer); /* goss_gpu_state.experts_watched */
int goss_paging_stopped(const goss_gpu_state *s);      /* 1: a step waits, and what is behind it too */
/* Nobody is about to ask for experts: what comes unasked delays no one. */
int goss_paging_calm(const goss_gpu_state *s);
#endif
