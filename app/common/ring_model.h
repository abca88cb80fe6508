/* ring_model.h - what a model's name means to a process of a pipeline. */
#ifndef GOSS_COMMON_RING_MODEL_H
#define GOSS_COMMON_RING_MODEL_H
#include <gossamer.h>

/* Whose process this is, and where models are kept (NULL: where they always are); both are kept. */
void goss_ring_model_begin(const goss_ring *ring, const char *folder);
/* goss_ring.find. A path is one, and what is kept here whole is a file; of what is at an address each process
 * fetches the bytes of its own layers alone, into a file of its own, which is kept for the next time. */
int goss_ring_model_find(void *ctx, const char *model, char *path, int cap, goss_source *to, goss_error *err);
#endif
