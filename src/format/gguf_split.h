/* gguf_split.h - models in several files: their parts become one. */
#ifndef GOSS_FORMAT_GGUF_SPLIT_H
#define GOSS_FORMAT_GGUF_SPLIT_H
#include "gguf.h"

/* Adds the tensors of shard `shard` (1-based position after the first) and checks split.* against the
 * first. `part` is emptied. */
int goss_gguf_join(goss_gguf *g, goss_gguf *part, int shard, goss_error *err);
/* all shards there, split.tensors.count agrees */
int goss_gguf_complete(const goss_gguf *g, goss_error *err);
#endif
