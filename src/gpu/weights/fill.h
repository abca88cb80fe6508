/* fill.h - tokens before the experts are there: what nobody has asked for yet comes in the order of the
 * layers. */
#ifndef GOSS_GPU_FILL_H
#define GOSS_GPU_FILL_H
#include "weights.h"

/* Brings experts nearer, as goss_backend_vt.fill; no step is stopped. calm: nobody is about to ask for
 * others. */
int goss_fill_some(goss_weights *w, int calm, goss_error *err);
void goss_fill_yield(goss_weights *w);                 /* what was not begun gives way */
/* the source did; what was on its way is tried again later */
void goss_fill_failed(goss_weights *w);
#endif
