/* embedded.h - files that tools/embed.c turned into C arrays. Bytes are followed by a NUL that size does not
 * count. */
#ifndef GOSS_BASE_EMBEDDED_H
#define GOSS_BASE_EMBEDDED_H
#include <stddef.h>
struct goss_embedded { const char *name; const unsigned char *bytes; size_t size; };
extern const struct goss_embedded goss_wgsl[];   /* src/gpu/kernels/, ended by a NULL name */
#endif
