/* rate.h - how fast threads read memory and do nothing else: the roof of what reads weights. */
#ifndef GOSS_BASE_RATE_H
#define GOSS_BASE_RATE_H
#include "thread.h"

/* Bytes a millisecond: the best pass of those within `ms`, one at least. 0: too little to read. */
double goss_memory_rate(goss_pool *pool, const void *bytes, size_t n, double ms);
#endif
