/* utf8_stream.h - UTF-8 that comes in pieces. */
#ifndef GOSS_BASE_UTF8_STREAM_H
#define GOSS_BASE_UTF8_STREAM_H
#include "buf.h"
/* Streaming: bytes in, whole characters out; an incomplete tail waits. */
typedef struct goss_utf8_stream { uint8_t tail[4]; int n_tail; } goss_utf8_stream;
/* Appends to out. flush: the tail becomes U+FFFD. */
int goss_utf8_push(goss_utf8_stream *u, const uint8_t *bytes, size_t n, int flush, goss_buf *out);
#endif
