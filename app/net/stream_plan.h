/* stream_plan.h - in which order a model's bytes are fetched when nobody asks for others. */
#ifndef GOSS_APP_STREAM_PLAN_H
#define GOSS_APP_STREAM_PLAN_H
#include "format/gguf.h"
#include <gossamer.h>

/* *small: the header and tensors of at most 2 MB, which must be there before the engine opens. *plan: first
 * the matrices that every token reads, then experts layer by layer, then the embedding, then whatever is
 * between. Both are the caller's to free. 0 or GOSS_ENOMEM. */
int goss_stream_plan(const goss_gguf *g, uint64_t size, goss_range **small, int *n_small, goss_range **plan,
                     int *n_plan);
#endif
