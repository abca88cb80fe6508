/* arriving.h - sources whose map is still being filled (goss_source.need): what a step or the load needs
 * is waited for, what nobody asked for is taken when it is there. */
#ifndef GOSS_GPU_ARRIVING_H
#define GOSS_GPU_ARRIVING_H
#include "weights.h"

/* Waits until bytes [from, from + n) of a tensor are in its source's map. */
int goss_arriving_need(const goss_weights *w, const goss_tensor *t, uint64_t from, uint64_t n,
                       goss_error *err);
/* the same for all that is queued in w->slots */
int goss_arriving_need_queue(goss_weights *w, goss_error *err);
int goss_arriving_has(const goss_weights *w, int layer, int e); /* all of an expert is there */
#endif
