/* gpu_web.c - gpu.h's device in a browser (or Node with WebGPU): every call is one import, answered by
 * web/js/core/gpu.js, which keeps the tables from our numbers to WebGPU's objects and replays a submit's
 * words in one call.
 *
 * Nothing waits: opening, pipelines, reads and uploads end in a later poll, and their end wakes the worker's
 * loop. Bytes of an upload go from the network or the disk to the GPU's buffer in JavaScript and never pass
 * through this memory. */
#include "base/error.h"
#include "base/fmt.h"
#include "gpu_impl.h"
#include <string.h>

#define IMPORT(name) __attribute__((import_module("gpu"), import_name(name)))
IMPORT("open") int js_open(int limits_default, unsigned mask);
/* 1: ready, 0: not yet, -1: failed (see text) */
IMPORT("ready") int js_ready(double *numbers, int n_numbers);
/* a text of JavaScript's; returns its length */
IMPORT("text") int js_text(int what, char *dst, int cap);
IMPORT("close") void js_close(void);
IMPORT("buffer") int js_buffer(int id, double size, unsigned usage, const char *label, int n_label);
IMPORT("buffer_free") void js_buffer_free(int id);
IMPORT("write") int js_write(int id, double offset, const void *data, double n);
IMPORT("upload") int js_upload(int id, double offset, int source, double file_offset, double n, uint64_t tag);
IMPORT("pipeline")
int js_pipeline(int id, const char *name, int n_name, const char *wgsl, int n_wgsl, const char *bindings,
                int n_bindings);
IMPORT("pipeline_ready") int js_pipeline_ready(int id);          /* as ready */
IMPORT("pipeline_free") void js_pipeline_free(int id);
/* (n, 3): buffer, offset, size */
IMPORT("group") int js_group(int id, int pipeline, const double *bindings, int n);
IMPORT("group_free") void js_group_free(int id);
IMPORT("submit") int js_submit(const void *words, int n);
IMPORT("read") int js_read_start(int id, double offset, double n);
IMPORT("read_poll") int js_read_poll(int id, void *dst, double n); /* 1: copied, 0: not yet, -1: failed */
IMPORT("lost") int js_lost(void);
/* a code if there is an error (see text), else 0 */
IMPORT("error") int js_error(void);
IMPORT("lose") void js_lose(void);

enum { TEXT_FAILURE = 0, TEXT_ADAPTER = 1, TEXT_BACKEND = 2, TEXT_LIBRARY = 3 };
enum { N_LIMITS = 15, N_NUMBERS = N_LIMITS + 3 * 16 }; /* limits, then m, n, k of fragments */
static int the_device;

static int fail_with_text(goss_error *err, int code, const char *what)
{
    char text[200];
    int n = js_text(TEXT_FAILURE, text, sizeof text - 1);
    text[n < (int)sizeof text - 1 ? n : (int)sizeof text - 1] = 0;
    return goss_fail(err, code, -1, "%s: %s", what, text);
}

static int web_open(void **ctx, const goss_gpu_options *o, goss_error *err)
{
    if (js_open(o->limits_default, o->mask) < 0) return fail_with_text(err, GOSS_EGPU, "no WebGPU");
    *ctx = &the_device;
    return 0;
}

static int web_ready(void *ctx, goss_gpu_limits *out, goss_error *err)
{
    (void)ctx;
    double v[N_NUMBERS] = { 0 };
    int state = js_ready(v, N_NUMBERS);
    if (state < 0) return fail_with_text(err, GOSS_EGPU, "no WebGPU device");
    if (state == 0) return GOSS_EAGAIN;
    *out = (goss_gpu_limits){ .max_buffer = (uint64_t)v[0],
                              .max_binding = (uint64_t)v[1],
                              .max_storage_buffers = (uint32_t)v[2],
                              .max_workgroup_bytes = (uint32_t)v[3],
                              .max_invocations = (uint32_t)v[4],
                              .max_workgroup_x = (uint32_t)v[5],
                              .max_groups = (uint32_t)v[6],
                              .max_bind_groups = (uint32_t)v[7],
                              .max_bindings_per_group = (uint32_t)v[8],
                              .storage_align = (uint32_t)v[9],
                              .uniform_align = (uint32_t)v[10],
                              .subgroup_min = (uint32_t)v[11],
                              .subgroup_max = (uint32_t)v[12],
                              .features = (unsigned)v[13],
                              .is_cpu = (int)v[14],
                              .shared = 1 };
    if (out->max_binding > 0xfffffffcu)
        out->max_binding = 0xfffffffcu; /* offsets inside a binding are 32-bit in WGSL */
    for (const double *f = v + N_LIMITS; f + 3 <= v + N_NUMBERS; f += 3)
        goss_gpu_offer_fragment(out, (uint32_t)f[0], (uint32_t)f[1], (uint32_t)f[2]);
    js_text(TEXT_ADAPTER, out->adapter, sizeof out->adapter - 1);
    js_text(TEXT_BACKEND, out->backend, sizeof out->backend - 1);
    js_text(TEXT_LIBRARY, out->library, sizeof out->library - 1);
    return 0;
}

static void web_close(void *ctx)
{
    (void)ctx;
    js_close();
}

static int lost_or(int code) { return js_lost() ? GOSS_ELOST : code; }

static int web_buffer(void *ctx, int id, uint64_t size, unsigned usage, const char *label)
{
    (void)ctx;
    return js_buffer(id, (double)size, usage, label ? label : "", label ? (int)strlen(label) : 0) < 0
               ? lost_or(GOSS_ENOMEM)
               : 0;
}

static void web_buffer_free(void *ctx, int id)
{
    (void)ctx;
    js_buffer_free(id);
}

static int web_write(void *ctx, int id, uint64_t offset, const void *data, uint64_t n)
{
    (void)ctx;
    return lost_or(js_write(id, (double)offset, data, (double)n) < 0 ? GOSS_EGPU : 0);
}

static int web_upload(void *ctx, int id, uint64_t offset, const goss_source *s, uint64_t at, uint64_t n,
                      uint64_t tag)
{
    if (s->map) {
        const int rc = web_write(ctx, id, offset, (const uint8_t *)s->map + at, n);
        return rc ? rc : 1;
    }
    return lost_or(
        js_upload(id, (double)offset, (int)(intptr_t)s->ctx, (double)at, (double)n, tag) < 0 ? GOSS_EIO : 0);
}

static int web_pipeline(void *ctx, int id, const char *name, const char *wgsl, size_t n, const char *bindings)
{
    (void)ctx;
    const int r = js_pipeline(id, name, (int)strlen(name), wgsl, (int)n, bindings, (int)strlen(bindings));
    return r < 0 ? lost_or(GOSS_EGPU) : 0;
}

static int web_pipeline_ready(void *ctx, int id, goss_error *err)
{
    (void)ctx;
    int state = js_pipeline_ready(id);
    return state > 0    ? 0
           : state == 0 ? GOSS_EAGAIN
                        : fail_with_text(err, GOSS_EGPU, "a kernel does not compile");
}

static void web_pipeline_free(void *ctx, int id)
{
    (void)ctx;
    js_pipeline_free(id);
}

static int web_group(void *ctx, int id, int pipeline, const int *b, const uint64_t *offsets,
                     const uint64_t *sizes, int n)
{
    (void)ctx;
    double list[GOSS_GPU_MAX_BINDINGS * 3];
    for (int i = 0; i < n; i++) {
        list[3 * i] = b[i];
        list[3 * i + 1] = (double)offsets[i];
        list[3 * i + 2] = (double)sizes[i];
    }
    return js_group(id, pipeline, list, n) < 0 ? lost_or(GOSS_EGPU) : 0;
}

static void web_group_free(void *ctx, int id)
{
    (void)ctx;
    js_group_free(id);
}

static int web_submit(void *ctx, const uint32_t *words, size_t n)
{
    (void)ctx;
    return lost_or(js_submit(words, (int)n) < 0 ? GOSS_EGPU : 0);
}

static int web_read(void *ctx, int id, uint64_t offset, uint64_t n)
{
    (void)ctx;
    return lost_or(js_read_start(id, (double)offset, (double)n) < 0 ? GOSS_EGPU : 0);
}

static int web_read_poll(void *ctx, int id, void *dst, uint64_t n)
{
    (void)ctx;
    if (js_lost()) return GOSS_ELOST;
    int state = js_read_poll(id, dst, (double)n);
    return state > 0 ? 0 : state == 0 ? GOSS_EAGAIN : GOSS_EGPU;
}

static int web_poll(void *ctx, int timeout_ms)
{
    (void)ctx; (void)timeout_ms; /* callbacks run when the worker returns to its event loop */
    return lost_or(0);
}

static int web_error(void *ctx, goss_error *err)
{
    (void)ctx;
    int code = js_error();
    return code ? fail_with_text(err, code, "WebGPU") : 0;
}

static void web_lose(void *ctx)
{
    (void)ctx;
    js_lose();
}

const goss_gpu_impl goss_gpu_device = { "web",         web_open,        web_ready,          web_close,
                                        web_buffer,    web_buffer_free, web_write,          web_upload,
                                        NULL,          web_pipeline,    web_pipeline_ready, web_pipeline_free,
                                        web_group,     web_group_free,  web_submit,         web_read,
                                        web_read_poll, web_poll,        web_error,          web_lose };
