/* gpu_native.c - gpu.h over a webgpu.h library that is loaded when it is wanted. Errors and losses arrive in
 * callbacks while events are processed, and are kept until they are asked for. One thread. */
#define _GNU_SOURCE
#include "gpu_impl.h"
#include "base/library.h"
#include "webgpu_abi.h"
#include "base/error.h"
#include "base/fmt.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/thread.h"
#include <dlfcn.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_IDS = 1 << 16, MAX_PIPELINES = 1024, MAX_KEPT = 8 };
enum { STAGES = 8, STAGE_BYTES = 8 << 20, COPY_PART = 1 << 19, COPY_THREADS = 8 };
/* Memory that the device can read and that stays where it is: a library's own staging is made anew for every
 * large write (7 ms for 8 MB). state: 0 none yet, 1 mapped, 2 on its way back, 3 a source fills it, negative
 * failed. */
typedef struct native_stage {
    wg_object buffer; wg_future future; int state;
    int to; uint64_t tag, offset; size_t n;            /* where what a source brings belongs */
} native_stage;
typedef struct native_pipeline {
    wg_object pipeline, layout; wg_future future; int done;
    char name[64], message[232];
} native_pipeline;
typedef struct native_read {
    wg_future future;
    uint64_t offset;
    int status; /* 0 pending, 1 mapped, negative failed */
} native_read;
typedef struct native {
    void *library;
    int is_dawn, is_old;
#define X(result, name, parameters) result (*name) parameters;
    WG_CALLS(X)
#undef X
    wg_object instance, adapter, device, queue, queries;
    int opening, lost;                      /* opening: 1 adapter asked, 2 device asked, 0 done */
    goss_gpu_options options;
    goss_gpu_limits limits;
    wg_object *buffers, *groups;
    native_read *reads;
    native_pipeline *pipelines;
    goss_error kept[MAX_KEPT]; int n_kept;
    goss_error failure;                     /* why opening failed */
    native_stage stage[STAGES]; int at_stage;          /* in turn */
    goss_pool *copiers;
    int reading[16], n_reading;             /* buffers with a read pending, oldest first */
    int compiling;                          /* a pipeline that somebody waits for, 0: none */
} native;

static wg_str str(const char *s) { return (wg_str){ s, s ? WG_STRLEN : 0 }; }
static int text_length(wg_str s)
{
    const size_t n = s.data ? s.length == WG_STRLEN ? strlen(s.data) : s.length : 0;
    return n > 200 ? 200 : (int)n;
}

static void keep(native *n, int code, const char *what, wg_str message)
{
    if (n->n_kept < MAX_KEPT)
        goss_fail(&n->kept[n->n_kept++], code, -1, "%s: %.*s", what, text_length(message),
                  message.data ? message.data : "");
}

/* ---- opening ------------------------------------------------------------------------------------------- */
static void on_lost(const wg_object *device, uint32_t reason, wg_str message, void *u1, void *u2)
{
    (void)device; (void)u2;
    native *n = u1;
    if (!n->device) return;
    n->lost = 1;
    keep(n, GOSS_ELOST,
         reason == WG_LOST_DESTROYED ? "the GPU device was destroyed" : "the GPU device was lost", message);
}

static void on_error(const wg_object *device, uint32_t type, wg_str message, void *u1, void *u2)
{
    (void)device; (void)u2;
    keep(u1, type == WG_ERROR_MEMORY ? GOSS_ENOMEM : GOSS_EGPU,
         type == WG_ERROR_MEMORY       ? "GPU out of memory"
         : type == WG_ERROR_VALIDATION ? "GPU validation"
                                       : "GPU error",
         message);
}

static const char *const toggles_on[] = { "vulkan_enable_f16_on_nvidia",
                                          "use_vulkan_memory_model",
                                          "disable_robustness",
                                          "disable_workgroup_init",
                                          "disable_polyfills_on_integer_div_and_mod",
                                          "allow_unsafe_apis" };
static const char *const toggles_off[] = { "timestamp_quantization" };

static wg_toggles toggles(int checked)
/* without robustness and validation kernels run faster; tests want both on, and ask for the default limits */
{
    return (wg_toggles){ .chain = { NULL, WG_STYPE_TOGGLES },
                         .n_on = checked ? 2 : 6,
                         .on = toggles_on,
                         .n_off = 1,
                         .off = toggles_off };
}

static void on_device(uint32_t status, wg_object device, wg_str message, void *u1, void *u2)
{
    (void)u2;
    native *n = u1;
    n->opening = 0;
    if (status == WG_SUCCESS) n->device = device;
    else
        goss_fail(&n->failure, GOSS_EGPU, -1, "no GPU device: %.*s", text_length(message),
                  message.data ? message.data : "");
}

static unsigned features_of(native *n, uint32_t *list, size_t *n_list)
{
    static const struct {
        uint32_t feature[2];
        unsigned bit;
    } map[] = { { { WG_FEATURE_F16, WG_OLD_F16 }, GOSS_GPU_F16 },
                { { WG_FEATURE_SUBGROUPS, WG_OLD_SUBGROUPS }, GOSS_GPU_SUBGROUPS },
                { { WG_FEATURE_TIMESTAMP, WG_OLD_TIMESTAMP }, GOSS_GPU_TIMESTAMPS },
                { { WG_FEATURE_SUBGROUP_MATRIX, WG_OLD_SUBGROUP_MATRIX }, GOSS_GPU_SUBGROUP_MATRIX } };
    unsigned on = 0;
    *n_list = 0;
    for (size_t i = 0; i < sizeof map / sizeof map[0]; i++)
        if (!(n->options.mask & map[i].bit) && n->AdapterHasFeature(n->adapter, map[i].feature[n->is_old])
            && (!n->options.limits_default || map[i].bit == GOSS_GPU_TIMESTAMPS)) {
            list[(*n_list)++] = map[i].feature[n->is_old];
            on |= map[i].bit;
        }
    if (!(n->options.mask & GOSS_GPU_DOT4) && !n->options.limits_default &&
        n->InstanceHasWGSLLanguageFeature(n->instance, WG_LANG_DOT4))
        on |= GOSS_GPU_DOT4;
    return on;
}

static void limits_of(native *n, const wg_limits *l)
{
    goss_gpu_limits *o = &n->limits;
    o->max_buffer = l->buffer_size;
    o->max_binding = l->storage_binding;
    o->max_storage_buffers = l->storage_buffers;
    o->max_workgroup_bytes = l->workgroup_bytes;
    o->max_invocations = l->invocations;
    o->max_workgroup_x = l->workgroup_x;
    o->max_groups = l->groups;
    o->max_bind_groups = l->bind_groups;
    o->max_bindings_per_group = l->bindings_per_group;
    o->storage_align = l->storage_align; o->uniform_align = l->uniform_align;
    /* offsets inside a binding are 32-bit in WGSL */
    if (o->max_binding > 0xfffffffcu) o->max_binding = 0xfffffffcu;
}

static void choose_fragment(goss_gpu_limits *l, const wg_matrix_configs *all)
{
    for (size_t i = 0; i < all->n; i++) {
        const wg_matrix_config *c = &all->list[i];
        if (c->component == WG_COMPONENT_F16 && c->result == WG_COMPONENT_F32)
            goss_gpu_offer_fragment(l, c->m, c->n, c->k);
    }
}

/* The largest heap of its own that the adapter has. */
static void choose_memory(goss_gpu_limits *l, const wg_memory_heaps *all)
{
    for (size_t i = 0; i < all->n; i++)
        if (all->list[i].properties & WG_HEAP_DEVICE_LOCAL && all->list[i].size > l->memory)
            l->memory = all->list[i].size;
}

static void describe(native *n, const wg_adapter_info *info)
{
    const wg_str name = text_length(info->device) ? info->device : info->description;
    goss_fmt(n->limits.adapter, sizeof n->limits.adapter, "%.*s", text_length(name),
             name.data ? name.data : "");
    goss_fmt(n->limits.driver, sizeof n->limits.driver, "%.*s", text_length(info->description),
             info->description.data ? info->description.data : "");
    goss_fmt(n->limits.backend, sizeof n->limits.backend,
             info->backend == WG_BACKEND_VULKAN ? "vulkan" : "other");
    n->limits.is_cpu = info->type == WG_ADAPTER_CPU;
    n->limits.subgroup_min = info->subgroup_min;
    n->limits.subgroup_max = info->subgroup_max;
}

static void on_adapter(uint32_t status, wg_object adapter, wg_str message, void *u1, void *u2)
{
    (void)u2;
    native *n = u1;
    n->opening = 0;
    wg_adapter_info info;
    memset(&info, 0, sizeof info);
    if (status != WG_SUCCESS) {
        goss_fail(&n->failure, GOSS_EGPU, -1, "no GPU adapter: %.*s; use --backend cpu", text_length(message),
                  message.data ? message.data : "");
        return;
    }
    n->adapter = adapter;
    wg_matrix_configs matrices = { .chain = { NULL, WG_STYPE_MATRIX_CONFIGS } };
    wg_memory_heaps heaps = { .chain = { NULL, WG_STYPE_MEMORY_HEAPS } };
    if (!n->is_old && n->AdapterHasFeature(adapter, WG_FEATURE_SUBGROUP_MATRIX)) info.next = &matrices.chain;
    if (!n->is_old && n->AdapterHasFeature(adapter, WG_FEATURE_MEMORY_HEAPS)) {
        heaps.chain.next = info.next;
        info.next = &heaps.chain;
    }
    if (n->AdapterGetInfo(adapter, &info) == WG_SUCCESS) describe(n, &info);
    choose_fragment(&n->limits, &matrices);
    choose_memory(&n->limits, &heaps);
    if (info.backend == WG_BACKEND_NULL) {
        goss_fail(&n->failure, GOSS_EGPU, -1,
                  "the only GPU adapter is the null one, which computes nothing; use --backend cpu");
        n->AdapterInfoFreeMembers(info);
        return;
    }
    n->AdapterInfoFreeMembers(info);
    wg_limits all;
    memset(&all, 0, sizeof all);
    n->AdapterGetLimits(adapter, &all);
    all.next = NULL;
    uint32_t list[8];
    size_t n_list;
    n->limits.features = features_of(n, list, &n_list);
    if (!(n->limits.features & GOSS_GPU_SUBGROUP_MATRIX))
        memset(&n->limits.fragment, 0, sizeof n->limits.fragment);
    wg_toggles t = toggles(n->options.limits_default);
    wg_device_desc d = { .next = n->is_dawn ? &t.chain : NULL, .n_features = n_list, .features = list,
        .limits = n->options.limits_default ? NULL : &all,
        .lost = { NULL, WG_MODE_SPONTANEOUS, on_lost, n, NULL }, .error = { NULL, on_error, n, NULL } };
    n->opening = 2;
    n->AdapterRequestDevice(adapter, &d, (wg_callback){ NULL, WG_MODE_PROCESS, on_device, n, NULL });
}

static void *open_library(const char *given)
{
    char file[600];
    void *library = NULL;
    for (int i = 0; !library && goss_library_place(i, given, file, sizeof file); i++)
        library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    return library;
}

static int load_calls(native *n, goss_error *err)
{
#define X(result, name, parameters)                       \
    *(void **)&n->name = dlsym(n->library, "wgpu" #name); \
    if (!n->name)                                         \
        return goss_fail(err, GOSS_EGPU, -1, "the WebGPU library lacks wgpu" #name ": it is too old");
    WG_CALLS(X)
#undef X
    n->is_dawn = dlsym(n->library, "wgpuDeviceTick") != NULL;
    n->is_old = dlsym(n->library, "wgpuComputePassEncoderSetImmediateData") != NULL;
    return 0;
}

/* Its file's name, bytes and age: webgpu.h knows no version. */
static void name_library(native *n)
{
    Dl_info at;
    struct stat st;
    if (!dladdr(*(void **)&n->CreateInstance, &at) || !at.dli_fname || stat(at.dli_fname, &st)) return;
    const char *name = strrchr(at.dli_fname, '/');
    goss_fmt(n->limits.library, sizeof n->limits.library, "%.40s %lld %lld", name ? name + 1 : at.dli_fname,
             (long long)st.st_size, (long long)st.st_mtime);
}

static void native_close(void *ctx);

static int native_open(void **ctx, const goss_gpu_options *o, goss_error *err)
{
    native *n = goss_mem_alloc(sizeof *n);
    if (!n) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for the GPU device");
    n->options = *o;
    n->buffers = goss_mem_array(MAX_IDS, sizeof *n->buffers);
    n->groups = goss_mem_array(MAX_IDS, sizeof *n->groups);
    n->reads = goss_mem_array(MAX_IDS, sizeof *n->reads);
    n->pipelines = goss_mem_array(MAX_PIPELINES, sizeof *n->pipelines);
    int r = GOSS_ENOMEM, hushed = -1;
    if (!n->buffers || !n->groups || !n->reads || !n->pipelines) {
        goss_fail(err, r, -1, "no memory for the GPU device");
        goto fail;
    }
    n->library = open_library(o->path);
    if (!n->library) {
        r = goss_fail(err, GOSS_EGPU, -1,
                      "no WebGPU library %s%s: run npm ci, or set GOSSAMER_WEBGPU to one", o->path ? "at " : "",
                      o->path ? o->path : "in the system, beside the program or here");
        goto fail;
    }
    r = load_calls(n, err);
    if (r) goto fail;
    name_library(n);
    static const uint32_t features[] = { WG_INSTANCE_TIMED_WAIT };
    wg_toggles t = toggles(0);
    const wg_instance_desc id = { n->is_dawn ? &t.chain : NULL, 1, features, NULL };
    const wg_old_instance_desc old = { n->is_dawn ? &t.chain : NULL, NULL, 1, 0 };
    /* the Vulkan loader and its drivers write what they don't like about the machine */
    hushed = goss_os_hush();
    n->instance = n->CreateInstance(n->is_old ? (const void *)&old : &id);
    if (!n->instance) { r = goss_fail(err, GOSS_EGPU, -1, "the WebGPU library gave no instance"); goto fail; }
    const wg_adapter_options ao = { .next = n->is_dawn ? &t.chain : NULL,
                                    .level = WG_LEVEL_CORE,
                                    .power = WG_POWER_HIGH };
    n->opening = 1;
    n->InstanceRequestAdapter(n->instance, &ao, (wg_callback){ NULL, WG_MODE_PROCESS, on_adapter, n, NULL });
    goss_os_speak(hushed);
    *ctx = n;
    return 0;
fail:
    goss_os_speak(hushed);
    native_close(n);
    return r;
}

static int native_ready(void *ctx, goss_gpu_limits *out, goss_error *err)
{
    native *n = ctx;
    if (n->queue) { *out = n->limits; return 0; }
    n->InstanceProcessEvents(n->instance);
    if (n->failure.code) { if (err) *err = n->failure; return n->failure.code; }
    if (n->opening || !n->device) return GOSS_EAGAIN;
    wg_limits l;
    memset(&l, 0, sizeof l);
    n->DeviceGetLimits(n->device, &l);
    limits_of(n, &l);
    n->limits.bounded_uploads = 1;
    n->queue = n->DeviceGetQueue(n->device);
    if (n->limits.features & GOSS_GPU_TIMESTAMPS) {
        const wg_query_desc q = { .type = WG_QUERY_TIMESTAMP, .count = GOSS_GPU_MAX_QUERIES };
        n->queries = n->DeviceCreateQuerySet(n->device, &q);
    }
    *out = n->limits;
    return 0;
}

static void native_close(void *ctx)
{
    native *n = ctx;
    if (!n) return;
    for (int i = 0; n->pipelines && i < MAX_PIPELINES; i++) {
        if (n->pipelines[i].pipeline) n->ComputePipelineRelease(n->pipelines[i].pipeline);
        if (n->pipelines[i].layout) n->BindGroupLayoutRelease(n->pipelines[i].layout);
    }
    for (int i = 0; n->groups && i < MAX_IDS; i++) if (n->groups[i]) n->BindGroupRelease(n->groups[i]);
    for (int i = 0; n->buffers && i < MAX_IDS; i++)
        if (n->buffers[i]) {
            n->BufferDestroy(n->buffers[i]);
            n->BufferRelease(n->buffers[i]);
        }
    for (int i = 0; i < STAGES; i++)
        if (n->stage[i].buffer) {
            n->BufferDestroy(n->stage[i].buffer);
            n->BufferRelease(n->stage[i].buffer);
        }
    goss_pool_close(&n->copiers);
    if (n->queries) n->QuerySetRelease(n->queries);
    if (n->queue) n->QueueRelease(n->queue);
    if (n->device) {
        wg_object d = n->device;
        n->device = NULL;                   /* its loss is no news any more */
        n->DeviceDestroy(d);
        n->InstanceProcessEvents(n->instance);
        n->DeviceRelease(d);
    }
    if (n->adapter) n->AdapterRelease(n->adapter);
    if (n->instance) n->InstanceRelease(n->instance);
    /* the library stays loaded: Dawn keeps threads that outlive its objects */
    goss_mem_free(n->buffers); goss_mem_free(n->groups); goss_mem_free(n->reads); goss_mem_free(n->pipelines);
    goss_mem_free(n);
}

/* ---- buffers ------------------------------------------------------------------------------------------- */
static int native_buffer(void *ctx, int id, uint64_t size, unsigned usage, const char *label)
{
    native *n = ctx;
    static const struct {
        unsigned ours, theirs;
    } map[] = { { GOSS_GPU_STORAGE, WG_USE_STORAGE },   { GOSS_GPU_UNIFORM, WG_USE_UNIFORM },
                { GOSS_GPU_COPY_SRC, WG_USE_COPY_SRC }, { GOSS_GPU_COPY_DST, WG_USE_COPY_DST },
                { GOSS_GPU_MAP_READ, WG_USE_MAP_READ }, { GOSS_GPU_QUERY, WG_USE_QUERY } };
    wg_buffer_desc d = { .label = str(label), .size = size };
    for (size_t i = 0; i < sizeof map / sizeof map[0]; i++) if (usage & map[i].ours) d.usage |= map[i].theirs;
    const int before = n->n_kept;
    n->buffers[id] = n->DeviceCreateBuffer(n->device, &d);
    if (!n->buffers[id]) return GOSS_ENOMEM;
    if (n->n_kept > before) {               /* Dawn reports at once; what is left behind is an error object */
        const int code = n->kept[--n->n_kept].code;
        n->BufferRelease(n->buffers[id]);
        n->buffers[id] = NULL;
        return code;
    }
    return 0;
}

static void native_buffer_free(void *ctx, int id)
{
    native *n = ctx;
    n->BufferDestroy(n->buffers[id]);
    n->BufferRelease(n->buffers[id]);
    n->buffers[id] = NULL;
}

static int native_write(void *ctx, int id, uint64_t offset, const void *data, uint64_t size)
{
    native *n = ctx;
    n->QueueWriteBuffer(n->queue, n->buffers[id], offset, data, size);
    return n->lost ? GOSS_ELOST : 0;
}

/* ---- uploads ------------------------------------------------------------------------------------------- */
static void on_stage(uint32_t status, wg_str message, void *u1, void *u2)
{
    (void)message; (void)u2;
    ((native_stage *)u1)->state = status == WG_SUCCESS ? 1 : GOSS_EGPU;
}

/* The next stage in turn, mapped; NULL while the device still reads it or a source fills it. */
static native_stage *next_stage(native *n)
{
    native_stage *s = &n->stage[n->at_stage];
    if (!s->state) {
        const wg_buffer_desc d = { .label = str("upload"), .usage = WG_USE_MAP_WRITE | WG_USE_COPY_SRC,
                                   .size = STAGE_BYTES, .mapped = 1 };
        s->buffer = n->DeviceCreateBuffer(n->device, &d);
        s->state = s->buffer ? 1 : GOSS_ENOMEM;
    }
    if (s->state == 2) n->InstanceProcessEvents(n->instance);
    return s->state >= 2 ? NULL : s;
}

/* What a stage holds goes to its buffer, in the queue's order; the stage comes back by itself. */
static int send_stage(native *n, native_stage *s)
{
    const wg_label_desc none = { NULL, { NULL, 0 } };
    n->BufferUnmap(s->buffer);
    const wg_object encoder = n->DeviceCreateCommandEncoder(n->device, &none);
    n->CommandEncoderCopyBufferToBuffer(encoder, s->buffer, 0, n->buffers[s->to], s->offset, s->n);
    const wg_object commands = n->CommandEncoderFinish(encoder, &none);
    n->CommandEncoderRelease(encoder);
    n->QueueSubmit(n->queue, 1, &commands);
    n->CommandBufferRelease(commands);
    s->state = 2;
    s->future = n->BufferMapAsync(s->buffer, WG_MAP_WRITE, 0, STAGE_BYTES,
                                  (wg_map_callback){ NULL, WG_MODE_PROCESS, on_stage, s, n });
    return n->lost ? GOSS_ELOST : 1;
}

typedef struct copy { char *to; const char *from; size_t n; } copy;
static void copy_part(void *ctx, int task, int thread)
{
    const copy *c = ctx;
    const size_t at = (size_t)task * COPY_PART, left = c->n - at;
    (void)thread;
    memcpy(c->to + at, c->from + at, left < COPY_PART ? left : COPY_PART);
}

/* Pages of a mapped file are first touched here, so that too is shared among threads. */
static void copy_bytes(native *n, void *to, const void *from, size_t size)
{
    copy c = { to, from, size };
    const int parts = (int)((size + COPY_PART - 1) / COPY_PART), cores = goss_os_cores();
    if (!n->copiers && parts > 1 && cores > 2)
        goss_pool_open(&n->copiers, cores < COPY_THREADS ? cores : COPY_THREADS);
    if (n->copiers && parts > 1) goss_pool_run(n->copiers, copy_part, &c, parts);
    else memcpy(to, from, size);
}

static int native_upload(void *ctx, int id, uint64_t offset, const goss_source *s, uint64_t at, uint64_t size,
                         uint64_t tag)
{
    native *n = ctx;
    if (size > STAGE_BYTES || (!s->map && !s->read)) return GOSS_EUNSUPPORTED;
    native_stage *stage = next_stage(n);
    if (!stage) return n->lost ? GOSS_ELOST : GOSS_EAGAIN;
    const size_t whole = (size + 3) & ~(size_t)3;
    void *to = stage->state == 1 ? n->BufferGetMappedRange(stage->buffer, 0, whole) : NULL;
    if (!to) return n->lost ? GOSS_ELOST : stage->state < 0 ? stage->state : GOSS_EGPU;
    stage->to = id;
    stage->offset = offset;
    stage->n = whole;
    stage->tag = tag;
    if (!s->map) {
        const int r = s->read(s->ctx, at, to, size, tag);
        if (r < 0) return r;
        if (!r) stage->state = 3;
    } else copy_bytes(n, to, (const char *)s->map + at, size);
    n->at_stage = (n->at_stage + 1) % STAGES;
    return stage->state == 3 ? 0 : send_stage(n, stage);
}

static int native_uploaded(void *ctx, uint64_t tag, int status)
{
    native *n = ctx;
    for (int i = 0; i < STAGES; i++) {
        native_stage *s = &n->stage[i];
        if (s->state != 3 || s->tag != tag) continue;
        s->state = 1;
        return status < 0 ? status : send_stage(n, s);
    }
    return 1;
}

/* ---- pipelines and groups ------------------------------------------------------------------------------ */
static void on_pipeline(uint32_t status, wg_object pipeline, wg_str message, void *u1, void *u2)
{
    native_pipeline *p = u1;
    (void)u2;
    p->done = status == WG_SUCCESS ? 1 : -1;
    p->pipeline = status == WG_SUCCESS ? pipeline : NULL;
    if (p->done < 0)
        goss_fmt(p->message, sizeof p->message, "%.*s", text_length(message),
                 message.data ? message.data : "");
}

static wg_object layout_of(native *n, const char *bindings)
{
    wg_layout_entry e[GOSS_GPU_MAX_BINDINGS];
    memset(e, 0, sizeof e);
    const size_t count = strlen(bindings);
    for (size_t i = 0; i < count; i++) {
        e[i].binding = (uint32_t)i;
        e[i].visibility = WG_STAGE_COMPUTE;
        e[i].buffer.type = bindings[i] == 'u'   ? WG_BIND_UNIFORM
                           : bindings[i] == 'r' ? WG_BIND_READ
                                                : WG_BIND_STORAGE;
        e[i].buffer.dynamic = bindings[i] == 'u';
    }
    const wg_layout_desc d = { .n = count, .entries = e };
    return n->DeviceCreateBindGroupLayout(n->device, &d);
}

static int native_pipeline_start(void *ctx, int id, const char *name, const char *wgsl, size_t n_wgsl,
                                 const char *bindings)
{
    native *n = ctx;
    native_pipeline *p = &n->pipelines[id];
    memset(p, 0, sizeof *p);
    goss_fmt(p->name, sizeof p->name, "%s", name);
    const wg_wgsl code = { { NULL, WG_STYPE_WGSL }, { wgsl, n_wgsl } };
    wg_chain *chain = (wg_chain *)(uintptr_t)&code.chain;
    const wg_label_desc md = { chain, str(p->name) };
    const wg_object module = n->DeviceCreateShaderModule(n->device, &md);
    p->layout = layout_of(n, bindings);
    const wg_pipeline_layout_desc ld = { .n = 1, .layouts = &p->layout };
    const wg_object layout = n->DeviceCreatePipelineLayout(n->device, &ld);
    const wg_pipeline_desc d = { .label = str(p->name), .layout = layout,
                                 .compute = { .module = module, .entry = str("main") } };
    p->future = n->DeviceCreateComputePipelineAsync(
        n->device, &d, (wg_callback){ NULL, WG_MODE_PROCESS, on_pipeline, p, NULL });
    n->ShaderModuleRelease(module);
    n->PipelineLayoutRelease(layout);
    return 0;
}

static int native_pipeline_ready(void *ctx, int id, goss_error *err)
{
    native *n = ctx;
    native_pipeline *p = &n->pipelines[id];
    if (!p->done) n->InstanceProcessEvents(n->instance);
    n->compiling = p->done ? 0 : id;
    if (!p->done) return GOSS_EAGAIN;
    if (p->done > 0) return 0;
    /* the module's own error says more */
    for (int i = n->n_kept; i-- && n->kept[i].code == GOSS_EGPU; n->n_kept = i) {
        const char *at = strstr(n->kept[i].text, "rror while parsing WGSL: ");
        if (at) goss_fmt(p->message, sizeof p->message, "%s", at + 25);
    }
    return goss_fail(err, GOSS_EGPU, -1, "kernel %s does not compile: %s", p->name, p->message);
}

static void native_pipeline_free(void *ctx, int id)
{
    native *n = ctx;
    native_pipeline *p = &n->pipelines[id];
    while (!p->done && !n->lost) n->InstanceProcessEvents(n->instance);
    if (p->pipeline) n->ComputePipelineRelease(p->pipeline);
    if (p->layout) n->BindGroupLayoutRelease(p->layout);
    memset(p, 0, sizeof *p);
    if (n->compiling == id) n->compiling = 0;
}

static int native_group(void *ctx, int id, int pipeline, const int *b, const uint64_t *offsets,
                        const uint64_t *sizes, int count)
{
    native *n = ctx;
    wg_group_entry e[GOSS_GPU_MAX_BINDINGS];
    memset(e, 0, sizeof e);
    for (int i = 0; i < count; i++)
        e[i] = (wg_group_entry){
            .binding = (uint32_t)i, .buffer = n->buffers[b[i]], .offset = offsets[i], .size = sizes[i]
        };
    const wg_group_desc d = { .layout = n->pipelines[pipeline].layout, .n = (size_t)count, .entries = e };
    n->groups[id] = n->DeviceCreateBindGroup(n->device, &d);
    return n->groups[id] ? 0 : GOSS_EGPU;
}

static void native_group_free(void *ctx, int id)
{
    native *n = ctx;
    n->BindGroupRelease(n->groups[id]);
    n->groups[id] = NULL;
}

/* ---- running ------------------------------------------------------------------------------------------- */
static size_t replay_pass(native *n, wg_object encoder, const uint32_t *w)
{
    wg_timestamps t = { .set = n->queries, .begin = w[1] * 2, .end = w[1] * 2 + 1 };
    const wg_pass_desc d = { .timestamps = w[1] != GOSS_GPU_NONE && n->queries ? &t : NULL };
    const wg_object pass = n->CommandEncoderBeginComputePass(encoder, &d);
    size_t i = 2;
    uint32_t current = 0;
    for (; w[i] == GOSS_GPU_OP_DISPATCH; i += 7) {
        if (w[i + 1] != current)
            n->ComputePassEncoderSetPipeline(pass, n->pipelines[current = w[i + 1]].pipeline);
        const int dynamic = w[i + 3] != GOSS_GPU_NONE;
        n->ComputePassEncoderSetBindGroup(pass, 0, n->groups[w[i + 2]], (size_t)dynamic, &w[i + 3]);
        n->ComputePassEncoderDispatchWorkgroups(pass, w[i + 4], w[i + 5], w[i + 6]);
    }
    n->ComputePassEncoderEnd(pass);
    n->ComputePassEncoderRelease(pass);
    return i + 1;
}

static wg_object new_encoder(native *n)
{
    const wg_label_desc none = { NULL, { NULL, 0 } };
    return n->DeviceCreateCommandEncoder(n->device, &none);
}

static void send(native *n, wg_object encoder)
{
    const wg_label_desc none = { NULL, { NULL, 0 } };
    const wg_object commands = n->CommandEncoderFinish(encoder, &none);
    n->CommandEncoderRelease(encoder);
    n->QueueSubmit(n->queue, 1, &commands);
    n->CommandBufferRelease(commands);
}

static int native_submit(void *ctx, const uint32_t *w, size_t count)
{
    native *n = ctx;
    wg_object encoder = new_encoder(n);
    for (size_t i = 0; i < count;) {
        switch (w[i]) {
        case GOSS_GPU_OP_PASS: i += replay_pass(n, encoder, w + i); break;
        case GOSS_GPU_OP_COPY:
            n->CommandEncoderCopyBufferToBuffer(encoder, n->buffers[w[i + 1]], w[i + 2] * 4ull,
                                                n->buffers[w[i + 3]], w[i + 4] * 4ull, w[i + 5] * 4ull);
            i += 6;
            break;
        case GOSS_GPU_OP_CLEAR:
            n->CommandEncoderClearBuffer(encoder, n->buffers[w[i + 1]], w[i + 2] * 4ull, w[i + 3] * 4ull);
            i += 4;
            break;
        case GOSS_GPU_OP_RESOLVE:
            n->CommandEncoderResolveQuerySet(encoder, n->queries, w[i + 1], w[i + 2], n->buffers[w[i + 3]],
                                             w[i + 4] * 4ull);
            i += 5;
            break;
        case GOSS_GPU_OP_CUT:
            send(n, encoder);
            encoder = new_encoder(n);
            i += 1;
            break;
        default: return GOSS_EINVAL;
        }
    }
    send(n, encoder);
    return n->lost ? GOSS_ELOST : 0;
}

static void on_mapped(uint32_t status, wg_str message, void *u1, void *u2)
{
    native_read *r = u1;
    native *n = u2;
    r->status = status == WG_SUCCESS ? 1 : GOSS_EGPU;
    if (r->status < 0 && !n->lost && n->device) keep(n, GOSS_EGPU, "reading back failed", message);
}

static int native_read_start(void *ctx, int id, uint64_t offset, uint64_t size)
{
    native *n = ctx;
    native_read *r = &n->reads[id];
    *r = (native_read){ .offset = offset };
    r->future = n->BufferMapAsync(n->buffers[id], WG_MAP_READ, offset, size,
                                  (wg_map_callback){ NULL, WG_MODE_PROCESS, on_mapped, r, n });
    if (n->n_reading < 16) n->reading[n->n_reading++] = id;
    return 0;
}

static int native_read_poll(void *ctx, int id, void *dst, uint64_t size)
{
    native *n = ctx;
    native_read *r = &n->reads[id];
    if (!r->status) n->InstanceProcessEvents(n->instance);
    if (!r->status) return n->lost ? GOSS_ELOST : GOSS_EAGAIN;
    for (int i = 0; i < n->n_reading; i++)
        if (n->reading[i] == id) {
            memmove(n->reading + i, n->reading + i + 1, sizeof(int) * (size_t)(--n->n_reading - i));
            break;
        }
    if (r->status < 0) return n->lost ? GOSS_ELOST : r->status;
    const void *p = n->BufferGetConstMappedRange(n->buffers[id], r->offset, size);
    if (p) memcpy(dst, p, size);
    n->BufferUnmap(n->buffers[id]);
    return p ? 0 : GOSS_EGPU;
}

static int native_poll(void *ctx, int timeout_ms)
{
    native *n = ctx;
    n->InstanceProcessEvents(n->instance);
    if (timeout_ms > 0 && n->n_reading && !n->reads[n->reading[0]].status && !n->lost) {
        wg_wait w = { n->reads[n->reading[0]].future, 0 };
        n->InstanceWaitAny(n->instance, 1, &w, (uint64_t)timeout_ms * 1000000u);
    } else if (timeout_ms > 0 && !n->n_reading && n->stage[n->at_stage].state == 2 && !n->lost) {
        wg_wait w = { n->stage[n->at_stage].future, 0 };
        n->InstanceWaitAny(n->instance, 1, &w, (uint64_t)timeout_ms * 1000000u);
    } else if (timeout_ms > 0 && n->compiling && !n->pipelines[n->compiling].done && !n->lost) {
        wg_wait w = { n->pipelines[n->compiling].future, 0 };
        n->InstanceWaitAny(n->instance, 1, &w, (uint64_t)timeout_ms * 1000000u);
    }
    return n->lost ? GOSS_ELOST : 0;
}

static int native_error(void *ctx, goss_error *err)
{
    native *n = ctx;
    if (!n->n_kept) return 0;
    if (err) *err = n->kept[0];
    const int code = n->kept[0].code;
    memmove(n->kept, n->kept + 1, sizeof n->kept[0] * (size_t)--n->n_kept);
    return code;
}

static void native_lose(void *ctx)
{
    native *n = ctx;
    n->DeviceDestroy(n->device);
    n->InstanceProcessEvents(n->instance);
}

const goss_gpu_impl goss_gpu_device = {
    "webgpu.h",       native_open,           native_ready,          native_close,
    native_buffer,    native_buffer_free,    native_write,          native_upload,
    native_uploaded,  native_pipeline_start, native_pipeline_ready, native_pipeline_free,
    native_group,     native_group_free,     native_submit,         native_read_start,
    native_read_poll, native_poll,           native_error,          native_lose
};
