/* slots_gpu.h - which experts are on the device when not all of them fit, or before all have come. */
#ifndef GOSS_GPU_SLOTS_H
#define GOSS_GPU_SLOTS_H
#include "weights.h"

/* After everything but the experts has its buffers: how many slots each layer has, and whether experts are
 * paged. early: tokens may come before all experts are there. */
int goss_slots_plan(goss_weights *w, int early, goss_error *err);
void goss_slots_close(goss_weights *w);
int goss_slots_has(const goss_weights *w, int layer, int e);
int goss_slots_count(const goss_weights *w);           /* experts that are there */
void goss_slots_touch(goss_weights *w, int layer, int e);
/* Gives an absent expert the slot of one that is not in `but` and queues its bytes; 0: there is no such
 * slot. */
int goss_slots_fetch(goss_weights *w, int layer, int e, const uint32_t *but);
/* sends what is queued as far as it goes; 0: all has arrived */
int goss_slots_pump(goss_weights *w, goss_error *err);
/* layers that have room for all their experts: each its own */
int goss_slots_start(goss_weights *w);
int goss_slots_write(goss_weights *w);                 /* changed tables to the device */
void goss_slots_forget(goss_weights *w);               /* nothing is there any more */
void goss_slots_drop(goss_weights *w, int layer, int e); /* it is not there, whoever said so */
#endif
