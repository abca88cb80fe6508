/* feed.h - rows of a matrix on their way from their source to the device, through staging buffers. Nothing
 * waits: GOSS_EAGAIN is what can't be done now. */
#ifndef GOSS_GPU_FEED_H
#define GOSS_GPU_FEED_H
#include "weights.h"

int goss_feed_open(goss_weights *w);
void goss_feed_close(goss_weights *w);
int goss_feed_prepare(goss_weights *w, int type, goss_error *err); /* compiles what repacks it */
/* the item's next rows, if a lane is free */
int goss_feed_send(goss_weights *w, goss_load_item *it, goss_error *err);
int goss_feed_pump(goss_weights *w, goss_error *err);  /* repacks what has arrived */
/* pumps; 0: nothing is on its way, the device has done it all */
int goss_feed_drain(goss_weights *w, goss_error *err);
int goss_feed_idle(const goss_weights *w);
/* what is on its way goes nowhere, whether it comes or fails */
void goss_feed_void(goss_weights *w);
void goss_feed_done(goss_weights *w, uint64_t tag, int status); /* a read ended */
#endif
