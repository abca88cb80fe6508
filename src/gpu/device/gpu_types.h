/* gpu_types.h - the words and records of gpu.h: what the engine, gpu.c and the implementations below it
 * share. */
#ifndef GOSS_GPU_TYPES_H
#define GOSS_GPU_TYPES_H
#include <gossamer.h>

/* X(name, number, words): the ops of a submit and how many words each has (gpu.h). tools/words.py makes
 * JavaScript's of them. */
#define GOSS_GPU_OPS(X) \
    X(PASS, 1, 2) X(DISPATCH, 2, 7) X(END, 3, 1) X(COPY, 4, 6) X(CLEAR, 5, 4) X(RESOLVE, 6, 5) X(CUT, 7, 1)
#define GOSS_GPU_OP_NUMBER(name, number, words) GOSS_GPU_OP_##name = number,
enum { GOSS_GPU_OPS(GOSS_GPU_OP_NUMBER) GOSS_GPU_OP_END_OF_LIST };
#define GOSS_GPU_NONE 0xffffffffu
enum {
    GOSS_GPU_STORAGE = 1,
    GOSS_GPU_UNIFORM = 2,
    GOSS_GPU_COPY_SRC = 4,
    GOSS_GPU_COPY_DST = 8,
    GOSS_GPU_MAP_READ = 16,
    GOSS_GPU_QUERY = 32,
    GOSS_GPU_GROWS = 64 /* goss_gpu_buffer_grow may follow */
};
enum {
    GOSS_GPU_F16 = 1,
    GOSS_GPU_SUBGROUPS = 2,
    GOSS_GPU_DOT4 = 4,
    GOSS_GPU_TIMESTAMPS = 8,
    GOSS_GPU_SUBGROUP_MATRIX = 16
};
enum { GOSS_GPU_MAX_BINDINGS = 10, GOSS_GPU_MAX_QUERIES = 4096 };

typedef struct goss_gpu_limits {
    uint64_t max_buffer, max_binding;
    uint64_t memory;                          /* bytes that the device has of its own; 0: unknown */
    /* max_groups: a dimension */
    uint32_t max_storage_buffers, max_workgroup_bytes, max_invocations, max_workgroup_x, max_groups;
    uint32_t max_bind_groups, max_bindings_per_group, storage_align, uniform_align;
    uint32_t subgroup_min, subgroup_max;      /* 0: unknown */
    unsigned features;                        /* GOSS_GPU_* bits that are on */
    /* A subgroup multiplies m x k halves by k x n, and adds in f32 (GOSS_GPU_SUBGROUP_MATRIX); 0: never */
    struct {
        uint32_t m, n, k;
    } fragment;
    int is_cpu;                               /* a software adapter */
    int shared;                               /* with a page that wants to be drawn, or under a watchdog */
    /* goss_gpu_upload waits for the device by itself: GOSS_EAGAIN */
    int bounded_uploads;
    /* driver: what the adapter says of itself; library: which is used, with its size. For who keeps what was
     * measured. */
    char adapter[96], backend[16], driver[160], library[96];
} goss_gpu_limits;

typedef struct goss_gpu_options {
    /* borrowed: library to load; NULL: the pinned package; "null": the null device */
    const char *path;
    int limits_default;        /* 1: WebGPU's default limits and no feature */
    unsigned mask;             /* features to leave off */
} goss_gpu_options;
typedef struct goss_gpu_binding {
    int buffer;
    uint64_t offset, size; /* size 0: the rest */
} goss_gpu_binding;
#endif
