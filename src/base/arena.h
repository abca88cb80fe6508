/* arena.h - memory sized once and handed out in order; freed all at once. */
#ifndef GOSS_BASE_ARENA_H
#define GOSS_BASE_ARENA_H
#include <stddef.h>
#include <stdint.h>
typedef struct goss_arena { uint8_t *base; size_t size, used; } goss_arena;
int goss_arena_open(goss_arena *a, size_t size);     /* 0 or GOSS_ENOMEM */
void *goss_arena_take(goss_arena *a, size_t n);      /* 64-byte aligned, zero-filled; NULL when full */
void goss_arena_reset(goss_arena *a);
void goss_arena_close(goss_arena *a);
#endif
