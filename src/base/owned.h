/* owned.h - memory of many small pieces that one object owns and frees together. */
#ifndef GOSS_BASE_OWNED_H
#define GOSS_BASE_OWNED_H
#include <stddef.h>

typedef struct goss_owned goss_owned;
/* n bytes and a zero behind them, zero-filled, aligned for any type; NULL when there is no memory. *list is
 * NULL at first. */
void *goss_owned_take(goss_owned **list, size_t n);
/* The same for an array, with the product checked. */
void *goss_owned_array(goss_owned **list, size_t count, size_t size);
const char *goss_owned_text(goss_owned **list, const void *bytes, size_t n); /* a NUL-terminated copy */
size_t goss_owned_bytes(const goss_owned *list); /* how many were taken */
void goss_owned_free(goss_owned **list);
#endif
