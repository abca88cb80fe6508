/* gpu_null.c - the device that isn't there: WebGPU's default limits, every check of gpu.c, and a refusal to
 * run. For tests of plans and sizes on any machine; nothing that it "did" can be mistaken for a result. */
#include "gpu_impl.h"
#include "base/error.h"
#include "base/fmt.h"
#include <string.h>

static int a_device;
static int null_open(void **ctx, const goss_gpu_options *o, goss_error *err)
{
    (void)o;
    (void)err;
    *ctx = &a_device;
    return 0;
}
static int null_ready(void *ctx, goss_gpu_limits *out, goss_error *err)
{
    (void)ctx; (void)err;
    *out = (goss_gpu_limits){ .max_buffer = 256u << 20, .max_binding = 128u << 20, .max_storage_buffers = 8,
        .max_workgroup_bytes = 16384, .max_invocations = 256, .max_workgroup_x = 256, .max_groups = 65535,
        .max_bind_groups = 4, .max_bindings_per_group = 1000, .storage_align = 256, .uniform_align = 256 };
    goss_fmt(out->adapter, sizeof out->adapter, "null device");
    goss_fmt(out->backend, sizeof out->backend, "null");
    return 0;
}
static void null_close(void *ctx) { (void)ctx; }
static int null_buffer(void *ctx, int id, uint64_t size, unsigned usage, const char *label)
{
    (void)ctx; (void)id; (void)size; (void)usage; (void)label;
    return 0;
}
static void null_free(void *ctx, int id) { (void)ctx; (void)id; }
static int null_write(void *ctx, int id, uint64_t offset, const void *data, uint64_t n)
{
    (void)ctx; (void)id; (void)offset; (void)data; (void)n;
    return 0;
}
static int null_upload(void *ctx, int id, uint64_t offset, const goss_source *s, uint64_t at, uint64_t n,
                       uint64_t tag)
{
    (void)ctx; (void)id; (void)offset; (void)s; (void)at; (void)n; (void)tag;
    return 1;
}
static int null_pipeline(void *ctx, int id, const char *name, const char *wgsl, size_t n,
                         const char *bindings)
{
    (void)ctx; (void)id; (void)name; (void)wgsl; (void)n; (void)bindings;
    return 0;
}
static int null_pipeline_ready(void *ctx, int id, goss_error *err)
{
    (void)ctx;
    (void)id;
    (void)err;
    return 0;
}
static int null_group(void *ctx, int id, int pipeline, const int *b, const uint64_t *o, const uint64_t *s,
                      int n)
{
    (void)ctx; (void)id; (void)pipeline; (void)b; (void)o; (void)s; (void)n;
    return 0;
}
static int null_submit(void *ctx, const uint32_t *words, size_t n)
{
    (void)ctx;
    (void)words;
    (void)n;
    return GOSS_EUNSUPPORTED;
}
static int null_read(void *ctx, int id, uint64_t offset, uint64_t n)
{
    (void)ctx;
    (void)id;
    (void)offset;
    (void)n;
    return GOSS_EUNSUPPORTED;
}
static int null_read_poll(void *ctx, int id, void *dst, uint64_t n)
{
    (void)ctx;
    (void)id;
    (void)dst;
    (void)n;
    return GOSS_EUNSUPPORTED;
}
static int null_poll(void *ctx, int timeout_ms) { (void)ctx; (void)timeout_ms; return 0; }
static int null_error(void *ctx, goss_error *err) { (void)ctx; (void)err; return 0; }
static void null_lose(void *ctx) { (void)ctx; }

const goss_gpu_impl goss_gpu_null = { "null",        null_open,           null_ready, null_close,
                                      null_buffer,   null_free,           null_write, null_upload, NULL,
                                      null_pipeline, null_pipeline_ready, null_free,  null_group,
                                      null_free,     null_submit,         null_read,  null_read_poll,
                                      null_poll,     null_error,          null_lose };
