/* trace_last.h - the stages of one token behind others that may be computed already. */
#ifndef GOSS_ENGINE_TRACE_LAST_H
#define GOSS_ENGINE_TRACE_LAST_H
#include <gossamer.h>

/* As goss_trace, but what the prefix cache has of the tokens before the last is taken from there; what it
 * lacks is computed, shown, and kept in it. Blocks. */
int goss_trace_last(goss_engine *e, const int32_t *ids, int n, goss_trace_fn fn, void *ctx, goss_error *err);
#endif
