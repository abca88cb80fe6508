/* gpu.c - the objects of gpu.h: their numbers, sizes and usages, and every check that needs no device. */
#include "gpu.h"
#include "gpu_faults.h"
#include "gpu_impl.h"
#include "base/error.h"
#include "base/fmt.h"
#include "base/mem.h"
#include <string.h>

enum { MAX_OBJECTS = 1 << 16, MAX_COLLECTED = 8 };
typedef struct buffer_info { uint64_t size; unsigned usage; int live, reading; } buffer_info;
typedef struct pipeline_info { char bindings[GOSS_GPU_MAX_BINDINGS + 1]; int live, broken; } pipeline_info;
/* again: the n bindings of one that has to be made again when a buffer grows, else NULL */
typedef struct group_info {
    int live, pipeline, n;
    uint64_t uniform_size, uniform_offset;
    goss_gpu_binding *again;
} group_info;
struct goss_gpu {
    const goss_gpu_impl *impl; void *ctx;
    int ready, lost;
    goss_gpu_limits limits;
    buffer_info *buffers; pipeline_info *pipelines; group_info *groups;
    int n_buffers, n_pipelines, n_groups, n_live;
    uint64_t allocated, memory;
    char broken[32]; int break_launch;
    goss_error errors[MAX_COLLECTED]; int n_errors;
};

static uint64_t memory_limit;                            /* of tests */
void goss_gpu_memory_limit(uint64_t bytes) { memory_limit = bytes; }

/* Collects an error of our own and returns its code. */
static int refuse(goss_gpu *g, int code, const char *what, uint64_t a, uint64_t b)
{
    if (g->n_errors < MAX_COLLECTED)
        goss_fail(&g->errors[g->n_errors++], code, -1, "GPU call refused: %s (%llu, limit %llu)", what,
                  (unsigned long long)a, (unsigned long long)b);
    return code;
}

int goss_gpu_open(goss_gpu **out, const goss_gpu_options *options, goss_error *err)
{
    goss_gpu *g = goss_mem_alloc(sizeof *g);
    *out = g;
    if (!g) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for the GPU device");
    g->impl = options->path && !strcmp(options->path, "null") ? &goss_gpu_null : &goss_gpu_device;
    g->memory = memory_limit;
    g->buffers = goss_mem_array(MAX_OBJECTS, sizeof *g->buffers);
    g->pipelines = goss_mem_array(1024, sizeof *g->pipelines);
    g->groups = goss_mem_array(MAX_OBJECTS, sizeof *g->groups);
    if (!g->buffers || !g->pipelines || !g->groups)
        return goss_fail(err, GOSS_ENOMEM, -1, "no memory for the GPU device");
    g->n_buffers = g->n_pipelines = g->n_groups = 1;
    return g->impl->open(&g->ctx, options, err);
}

int goss_gpu_ready(goss_gpu *g, goss_error *err)
{
    if (g->ready) return GOSS_OK;
    if (!g->ctx) return goss_fail(err, GOSS_ESTATE, -1, "the GPU device was not opened");
    const int r = g->impl->ready(g->ctx, &g->limits, err);
    g->ready = r == 0;
    if (g->memory) g->limits.memory = g->memory;
    return r;
}

void goss_gpu_close(goss_gpu **gp)
{
    goss_gpu *g = *gp;
    if (!g) return;
    if (g->ctx) g->impl->close(g->ctx);
    for (int i = 0; i < g->n_groups && g->groups; i++) goss_mem_free(g->groups[i].again);
    goss_mem_free(g->buffers); goss_mem_free(g->pipelines); goss_mem_free(g->groups);
    goss_mem_free(g);
    *gp = NULL;
}

const goss_gpu_limits *goss_gpu_get_limits(const goss_gpu *g) { return &g->limits; }
uint64_t goss_gpu_allocated(const goss_gpu *g) { return g->allocated; }
int goss_gpu_buffers(const goss_gpu *g) { return g->n_live; }

static int usable(const goss_gpu *g) { return g->lost ? GOSS_ELOST : g->ready ? 0 : GOSS_ESTATE; }

int goss_gpu_buffer(goss_gpu *g, uint64_t size, unsigned usage, const char *label)
{
    const int u = usable(g);
    if (u) return u;
    size = (size + 15) & ~(uint64_t)15;
    if (!size || size > g->limits.max_buffer)
        return refuse(g, GOSS_ELIMIT, "size of a buffer", size, g->limits.max_buffer);
    if (g->memory && (g->allocated > g->memory || size > g->memory - g->allocated))
        return refuse(g, GOSS_ENOMEM, "GPU memory", g->allocated + size, g->memory);
    if (!usage || usage >= 128) return refuse(g, GOSS_EINVAL, "usage of a buffer", usage, 127);
    int id = 1;
    while (id < g->n_buffers && g->buffers[id].live) id++;
    if (id == MAX_OBJECTS) return refuse(g, GOSS_EFULL, "number of buffers", id, MAX_OBJECTS);
    const int r = g->impl->buffer(g->ctx, id, size, usage & ~(unsigned)GOSS_GPU_GROWS, label);
    if (r) return r;
    if (id == g->n_buffers) g->n_buffers++;
    g->buffers[id] = (buffer_info){ .size = size, .usage = usage, .live = 1 };
    g->allocated += size;
    g->n_live++;
    return id;
}

static buffer_info *buffer_of(const goss_gpu *g, int id)
{
    return id > 0 && id < g->n_buffers && g->buffers[id].live ? &g->buffers[id] : NULL;
}

void goss_gpu_buffer_free(goss_gpu *g, int id)
{
    buffer_info *b = buffer_of(g, id);
    if (!b) return;
    g->impl->buffer_free(g->ctx, id);
    g->allocated -= b->size;
    g->n_live--;
    b->live = 0;
}

uint64_t goss_gpu_buffer_size(const goss_gpu *g, int id)
{
    const buffer_info *b = buffer_of(g, id);
    return b ? b->size : 0;
}

/* Is [offset, offset + n) inside a live buffer that has all bits of `usage`, in whole words? */
static int range_ok(goss_gpu *g, int id, uint64_t offset, uint64_t n, unsigned usage, const char *what)
{
    const buffer_info *b = buffer_of(g, id);
    if (!b) return refuse(g, GOSS_EINVAL, what, (uint64_t)id, (uint64_t)g->n_buffers);
    if ((b->usage & usage) != usage) return refuse(g, GOSS_EINVAL, what, b->usage, usage);
    if ((offset | n) & 3) return refuse(g, GOSS_EINVAL, what, offset, n);
    if (offset > b->size || n > b->size - offset) return refuse(g, GOSS_ELIMIT, what, offset + n, b->size);
    return 0;
}

int goss_gpu_write(goss_gpu *g, int id, uint64_t offset, const void *data, uint64_t n)
{
    int r = usable(g);
    if (!r) r = range_ok(g, id, offset, n, GOSS_GPU_COPY_DST, "range written");
    return r || !n ? r : g->impl->write(g->ctx, id, offset, data, n);
}

int goss_gpu_upload(goss_gpu *g, int id, uint64_t offset, const goss_source *s, uint64_t file_offset,
                    uint64_t n, uint64_t tag)
{
    int r = usable(g);
    if (!r) r = range_ok(g, id, offset, (n + 3) & ~(uint64_t)3, GOSS_GPU_COPY_DST, "range uploaded");
    if (!r && (file_offset > s->size || n > s->size - file_offset))
        r = refuse(g, GOSS_EINVAL, "range of a source", file_offset + n, s->size);
    return r ? r : g->impl->upload(g->ctx, id, offset, s, file_offset, n, tag);
}

int goss_gpu_uploaded(goss_gpu *g, uint64_t tag, int status)
{
    if (g->lost) return GOSS_ELOST;
    return g->impl->uploaded ? g->impl->uploaded(g->ctx, tag, status) : status < 0 ? status : 1;
}

int goss_gpu_pipeline(goss_gpu *g, const char *name, const char *wgsl, size_t n_wgsl, const char *bindings)
{
    const int u = usable(g);
    if (u) return u;
    uint32_t n_storage = 0;
    const size_t n = strlen(bindings);
    for (size_t i = 0; i < n; i++) n_storage += bindings[i] != 'u';
    if (n > GOSS_GPU_MAX_BINDINGS || n > g->limits.max_bindings_per_group || strspn(bindings, "urw") != n)
        return refuse(g, GOSS_ELIMIT, "bindings of a kernel", n, GOSS_GPU_MAX_BINDINGS);
    if (n_storage > g->limits.max_storage_buffers)
        return refuse(g, GOSS_ELIMIT, "storage buffers of a kernel", n_storage,
                      g->limits.max_storage_buffers);
    int id = 1;
    while (id < g->n_pipelines && g->pipelines[id].live) id++;
    if (id == 1024) return refuse(g, GOSS_EFULL, "number of pipelines", id, 1024);
    static const char broken[] = "@compute @workgroup_size(1) fn main() { broken by a test; }";
    const int hit = g->broken[0] && strstr(name, g->broken) != NULL, bad = hit && !g->break_launch;
    const int r =
        g->impl->pipeline(g->ctx, id, name, bad ? broken : wgsl, bad ? sizeof broken - 1 : n_wgsl, bindings);
    if (r) return r;
    g->pipelines[id].broken = hit;
    if (id == g->n_pipelines) g->n_pipelines++;
    g->pipelines[id].live = 1;
    memcpy(g->pipelines[id].bindings, bindings, n + 1);
    return id;
}

int goss_gpu_pipeline_ready(goss_gpu *g, int id, goss_error *err)
{
    if (g->lost) return goss_fail(err, GOSS_ELOST, -1, "the GPU device was lost");
    if (id <= 0 || id >= g->n_pipelines || !g->pipelines[id].live)
        return goss_fail(err, GOSS_EINVAL, -1, "no such pipeline");
    return g->impl->pipeline_ready(g->ctx, id, err);
}

void goss_gpu_pipeline_free(goss_gpu *g, int id)
{
    if (id <= 0 || id >= g->n_pipelines || !g->pipelines[id].live) return;
    g->impl->pipeline_free(g->ctx, id);
    g->pipelines[id].live = 0;
}

/* Checks one binding against its kind and the limits; fills in its size. */
static int binding_ok(goss_gpu *g, char kind, const goss_gpu_binding *b, uint64_t *size)
{
    const uint64_t whole = goss_gpu_buffer_size(g, b->buffer);
    const uint64_t align = kind == 'u' ? g->limits.uniform_align : g->limits.storage_align;
    *size = kind == 'u' ? 256 : b->size ? b->size : whole - b->offset;
    if (b->offset % align) return refuse(g, GOSS_EINVAL, "alignment of a binding", b->offset, align);
    if (kind != 'u' && *size > g->limits.max_binding)
        return refuse(g, GOSS_ELIMIT, "size of a binding", *size, g->limits.max_binding);
    return range_ok(g, b->buffer, b->offset, *size, kind == 'u' ? GOSS_GPU_UNIFORM : GOSS_GPU_STORAGE,
                    "range bound");
}

/* Checks the bindings of a group and makes it: number id. */
static int make_group(goss_gpu *g, int id, int pipeline, const goss_gpu_binding *bindings, int n)
{
    const char *kinds = g->pipelines[pipeline].bindings;
    int buffers[GOSS_GPU_MAX_BINDINGS];
    uint64_t offsets[GOSS_GPU_MAX_BINDINGS], sizes[GOSS_GPU_MAX_BINDINGS];
    for (int i = 0; i < n; i++) {
        const int r = binding_ok(g, kinds[i], &bindings[i], &sizes[i]);
        if (r) return r;
        buffers[i] = bindings[i].buffer;
        offsets[i] = bindings[i].offset;
        /* WebGPU: a written buffer may not be bound twice in ranges that meet */
        for (int k = 0; k < i; k++)
            if ((kinds[i] == 'w' || kinds[k] == 'w') && buffers[k] == buffers[i]
                && offsets[k] < offsets[i] + sizes[i] && offsets[i] < offsets[k] + sizes[k])
                return refuse(g, GOSS_EINVAL, "a written buffer bound twice", (uint64_t)k, (uint64_t)i);
    }
    return g->impl->group(g->ctx, id, pipeline, buffers, offsets, sizes, n);
}

int goss_gpu_group(goss_gpu *g, int pipeline, const goss_gpu_binding *bindings, int n)
{
    const int u = usable(g);
    if (u) return u;
    if (pipeline <= 0 || pipeline >= g->n_pipelines || !g->pipelines[pipeline].live)
        return refuse(g, GOSS_EINVAL, "pipeline of a group", (uint64_t)pipeline, (uint64_t)g->n_pipelines);
    const char *kinds = g->pipelines[pipeline].bindings;
    if ((size_t)n != strlen(kinds))
        return refuse(g, GOSS_EINVAL, "bindings of a group", (uint64_t)n, strlen(kinds));
    int id = 1, grows = 0;
    while (id < g->n_groups && g->groups[id].live) id++;
    if (id == MAX_OBJECTS) return refuse(g, GOSS_EFULL, "number of groups", id, MAX_OBJECTS);
    const int r = make_group(g, id, pipeline, bindings, n);
    if (r) return r;
    for (int i = 0; i < n; i++) grows |= g->buffers[bindings[i].buffer].usage & GOSS_GPU_GROWS;
    goss_gpu_binding *again = grows ? goss_mem_array((size_t)n, sizeof *again) : NULL;
    if (again) memcpy(again, bindings, (size_t)n * sizeof *again);
    else if (grows) { g->impl->group_free(g->ctx, id); return GOSS_ENOMEM; }
    if (id == g->n_groups) g->n_groups++;
    g->groups[id] = (group_info){ .live = 1, .pipeline = pipeline, .n = n, .again = again };
    if (kinds[0] == 'u') {
        g->groups[id].uniform_size = goss_gpu_buffer_size(g, bindings[0].buffer);
        g->groups[id].uniform_offset = bindings[0].offset;
    }
    return id;
}

void goss_gpu_group_free(goss_gpu *g, int id)
{
    if (id <= 0 || id >= g->n_groups || !g->groups[id].live) return;
    g->impl->group_free(g->ctx, id);
    goss_mem_free(g->groups[id].again);
    g->groups[id] = (group_info){ 0 };
}

/* A device that has no room says so of its own accord, natively at once: then the new buffer is nothing. */
static int has_room(goss_gpu *g)
{
    goss_error why = { 0 };
    const int r = goss_gpu_poll(g, 0);
    return r ? r : g->n_errors ? 0 : goss_gpu_error(g, &why);
}

int goss_gpu_buffer_grow(goss_gpu *g, int id, uint64_t size, const char *label)
{
    const buffer_info *old = buffer_of(g, id);
    const uint64_t n = old ? old->size : 0;
    if (!old || !(old->usage & GOSS_GPU_GROWS) || size <= n)
        return refuse(g, GOSS_EINVAL, "a buffer that grows", size, n);
    if (size > g->limits.max_binding)
        return refuse(g, GOSS_ELIMIT, "size of a binding", size, g->limits.max_binding);
    const int new = goss_gpu_buffer(g, size, old->usage, label);
    if (new < 0) return new;
    const uint32_t words[] = { GOSS_GPU_OP_COPY, (uint32_t)id, 0, (uint32_t)new, 0, (uint32_t)(n / 4) };
    int r = has_room(g);
    if (!r) r = goss_gpu_submit(g, words, sizeof words / sizeof *words);
    if (r) { goss_gpu_buffer_free(g, new); return r; }
    for (int i = 1; i < g->n_groups && !r; i++) {
        group_info *to = &g->groups[i];
        int has = 0;
        for (int k = 0; to->again && k < to->n; k++) {
            if (to->again[k].buffer != id) continue;
            to->again[k].buffer = new;
            has = 1;
        }
        if (!has) continue;
        g->impl->group_free(g->ctx, i);
        r = make_group(g, i, to->pipeline, to->again, to->n);
    }
    goss_gpu_buffer_free(g, id);
    return r ? r : new;
}

static int dispatch_ok(goss_gpu *g, const uint32_t *w)
{
    const uint32_t p = w[1], gr = w[2];
    if (!p || p >= (uint32_t)g->n_pipelines || !g->pipelines[p].live)
        return refuse(g, GOSS_EINVAL, "pipeline dispatched", p, (uint64_t)g->n_pipelines);
    if (!gr || gr >= (uint32_t)g->n_groups || !g->groups[gr].live)
        return refuse(g, GOSS_EINVAL, "group dispatched", gr, (uint64_t)g->n_groups);
    if (g->pipelines[p].broken && g->break_launch)
        return refuse(g, GOSS_EGPU, "a kernel that a test broke", p, gr);
    const group_info *gi = &g->groups[gr];
    if (strcmp(g->pipelines[gi->pipeline].bindings, g->pipelines[p].bindings))
        return refuse(g, GOSS_EINVAL, "group of another pipeline", gr, p);
    if (!gi->uniform_size && w[3] != GOSS_GPU_NONE)
        return refuse(g, GOSS_EINVAL, "offset without a uniform", w[3], 0);
    if (gi->uniform_size) {
        if (w[3] % g->limits.uniform_align)
            return refuse(g, GOSS_EINVAL, "dynamic offset", w[3], g->limits.uniform_align);
        if (gi->uniform_offset + w[3] + 256 > gi->uniform_size)
            return refuse(g, GOSS_ELIMIT, "dynamic offset", w[3], gi->uniform_size);
    }
    for (int i = 4; i < 7; i++)
        if (w[i] > g->limits.max_groups)
            return refuse(g, GOSS_ELIMIT, "workgroups of a dispatch", w[i], g->limits.max_groups);
    return 0;
}

/* The words of an op, 0 for an unknown one. */
static size_t op_words(uint32_t op)
{
#define OP_WORDS(name, number, words) [number] = words,
    static const uint8_t n[] = { GOSS_GPU_OPS(OP_WORDS) };
#undef OP_WORDS
    return op < sizeof n ? n[op] : 0;
}

static int words_ok(goss_gpu *g, const uint32_t *w, size_t n)
{
    int in_pass = 0, r = 0;
    for (size_t i = 0, k; i < n && !r; i += k) {
        k = op_words(w[i]);
        if (!k || i + k > n) return refuse(g, GOSS_EINVAL, "word of a submit", i, n);
        const int wants_pass = w[i] == GOSS_GPU_OP_DISPATCH || w[i] == GOSS_GPU_OP_END;
        if (wants_pass != in_pass) return refuse(g, GOSS_EINVAL, "op inside or outside a pass", w[i], i);
        switch (w[i]) {
        case GOSS_GPU_OP_PASS: in_pass = 1; break;
        case GOSS_GPU_OP_END: in_pass = 0; break;
        case GOSS_GPU_OP_DISPATCH: r = dispatch_ok(g, w + i); break;
        case GOSS_GPU_OP_COPY:
            r = range_ok(g, (int)w[i + 1], w[i + 2] * 4ull, w[i + 5] * 4ull, GOSS_GPU_COPY_SRC,
                         "range copied from");
            if (!r)
                r = range_ok(g, (int)w[i + 3], w[i + 4] * 4ull, w[i + 5] * 4ull, GOSS_GPU_COPY_DST,
                             "range copied to");
            if (!r && w[i + 1] == w[i + 3]) r = refuse(g, GOSS_EINVAL, "copy within one buffer", w[i + 1], 0);
            break;
        case GOSS_GPU_OP_CLEAR:
            r = range_ok(g, (int)w[i + 1], w[i + 2] * 4ull, w[i + 3] * 4ull, GOSS_GPU_COPY_DST,
                         "range cleared");
            break;
        case GOSS_GPU_OP_RESOLVE:
            r = range_ok(g, (int)w[i + 3], w[i + 4] * 4ull, w[i + 2] * 8ull, GOSS_GPU_QUERY,
                         "timestamps resolved to");
            break;
        }
    }
    return r ? r : in_pass ? refuse(g, GOSS_EINVAL, "pass without an end", n, n) : 0;
}

int goss_gpu_submit(goss_gpu *g, const uint32_t *words, size_t n_words)
{
    int r = usable(g);
    if (!r) r = words_ok(g, words, n_words);
    return r ? r : g->impl->submit(g->ctx, words, n_words);
}

int goss_gpu_read(goss_gpu *g, int id, uint64_t offset, uint64_t n)
{
    int r = usable(g);
    if (!r) r = range_ok(g, id, offset, n, GOSS_GPU_MAP_READ, "range read");
    if (!r && (offset & 7)) r = refuse(g, GOSS_EINVAL, "alignment of a read", offset, 8);
    if (!r && g->buffers[id].reading) r = refuse(g, GOSS_ESTATE, "two reads of one buffer", (uint64_t)id, 1);
    if (!r) r = g->impl->read(g->ctx, id, offset, n);
    if (!r) g->buffers[id].reading = 1;
    return r;
}

int goss_gpu_read_poll(goss_gpu *g, int id, void *dst, uint64_t n)
{
    if (g->lost) return GOSS_ELOST;
    buffer_info *b = buffer_of(g, id);
    if (!b || !b->reading) return refuse(g, GOSS_ESTATE, "poll of a read", (uint64_t)id, 0);
    const int r = g->impl->read_poll(g->ctx, id, dst, n);
    if (r != GOSS_EAGAIN) b->reading = 0;
    return r;
}

int goss_gpu_poll(goss_gpu *g, int timeout_ms)
{
    if (!g->ctx) return GOSS_ESTATE;
    if (g->lost) return GOSS_ELOST;
    const int r = g->impl->poll(g->ctx, timeout_ms);
    if (r == GOSS_ELOST) g->lost = 1;
    return r;
}

int goss_gpu_error(goss_gpu *g, goss_error *err)
{
    if (g->n_errors) {
        if (err) *err = g->errors[0];
        const int code = g->errors[0].code;
        memmove(g->errors, g->errors + 1, sizeof g->errors[0] * (size_t)--g->n_errors);
        return code;
    }
    return g->ctx ? g->impl->error(g->ctx, err) : 0;
}

void goss_gpu_break(goss_gpu *g, const char *part, int launch)
{
    goss_fmt(g->broken, sizeof g->broken, "%s", part);
    g->break_launch = launch;
}

void goss_gpu_lose(goss_gpu *g) { if (g->ready && !g->lost) g->impl->lose(g->ctx); }
