/* gpu_impl.h - what an implementation of gpu.h supplies: gpu_native.c, gpu_web.c, gpu_null.c. gpu.c owns the
 * objects' numbers and all checks, so an implementation is told only valid things and keeps a table from
 * number to its own object. */
#ifndef GOSS_GPU_IMPL_H
#define GOSS_GPU_IMPL_H
#include "gpu_types.h"

typedef struct goss_gpu_impl {
    const char *name;
    int  (*open)(void **ctx, const goss_gpu_options *o, goss_error *err);
    int  (*ready)(void *ctx, goss_gpu_limits *out, goss_error *err);
    void (*close)(void *ctx);
    int  (*buffer)(void *ctx, int id, uint64_t size, unsigned usage, const char *label);
    void (*buffer_free)(void *ctx, int id);
    int  (*write)(void *ctx, int id, uint64_t offset, const void *data, uint64_t n);
    int (*upload)(void *ctx, int id, uint64_t offset, const goss_source *s, uint64_t file_offset, uint64_t n,
                  uint64_t tag);
    int  (*uploaded)(void *ctx, uint64_t tag, int status);   /* NULL: nothing is left to do */
    int  (*pipeline)(void *ctx, int id, const char *name, const char *wgsl, size_t n, const char *bindings);
    int  (*pipeline_ready)(void *ctx, int id, goss_error *err);
    void (*pipeline_free)(void *ctx, int id);
    int (*group)(void *ctx, int id, int pipeline, const int *buffers, const uint64_t *offsets,
                 const uint64_t *sizes, int n);
    void (*group_free)(void *ctx, int id);
    int  (*submit)(void *ctx, const uint32_t *words, size_t n);
    int  (*read)(void *ctx, int id, uint64_t offset, uint64_t n);
    int  (*read_poll)(void *ctx, int id, void *dst, uint64_t n);
    int  (*poll)(void *ctx, int timeout_ms);
    int  (*error)(void *ctx, goss_error *err);
    void (*lose)(void *ctx);
} goss_gpu_impl;
/* A fragment of halves that the device multiplies, sums in f32: the largest is kept, 16 a side at most. */
static inline void goss_gpu_offer_fragment(goss_gpu_limits *l, uint32_t m, uint32_t n, uint32_t k)
{
    if (m > 16 || n > 16 || k > 16 || m * n * k <= l->fragment.m * l->fragment.n * l->fragment.k) return;
    l->fragment.m = m;
    l->fragment.n = n;
    l->fragment.k = k;
}
extern const goss_gpu_impl goss_gpu_device;  /* gpu_native.c, or gpu_web.c in the browser's module */
extern const goss_gpu_impl goss_gpu_null;    /* gpu_null.c */
#endif
