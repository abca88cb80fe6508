/* webgpu_abi.h - the few declarations of webgpu.h that gpu_native.c calls, as Dawn's binary interface has them in
 * 2026. Every object is an opaque pointer. tests/gpu/abi.c compares each with the header of Debian's package;
 * the pinned library ships none: tests/unit/test_gpu.c runs all of it. */
#ifndef GOSS_GPU_WEBGPU_ABI_H
#define GOSS_GPU_WEBGPU_ABI_H
#include <stddef.h>
#include <stdint.h>

typedef void *wg_object;
typedef struct wg_str { const char *data; size_t length; } wg_str;
#define WG_STRLEN ((size_t)-1)
typedef struct wg_chain { struct wg_chain *next; uint32_t type; } wg_chain;
typedef struct wg_future { uint64_t id; } wg_future;
typedef struct wg_wait { wg_future future; uint32_t completed; } wg_wait;

enum { WG_STYPE_WGSL = 2, WG_STYPE_TOGGLES = 0x5000A, WG_STYPE_MEMORY_HEAPS = 0x50013, WG_STYPE_MATRIX_CONFIGS = 0x5003B };
enum { WG_HEAP_DEVICE_LOCAL = 1 };
enum { WG_COMPONENT_F32 = 1, WG_COMPONENT_F16 = 2 };
enum { WG_MODE_WAIT_ONLY = 1, WG_MODE_PROCESS = 2, WG_MODE_SPONTANEOUS = 3 };
enum {
    WG_SUCCESS = 1,
    WG_BACKEND_NULL = 1,
    WG_BACKEND_VULKAN = 6,
    WG_ADAPTER_CPU = 3,
    WG_LEVEL_CORE = 2,
    WG_POWER_HIGH = 2
};
enum { WG_INSTANCE_TIMED_WAIT = 1 };
/* Features were numbered anew in late 2025; libraries from before export
 * wgpuComputePassEncoderSetImmediateData. */
enum { WG_FEATURE_TIMESTAMP = 9, WG_FEATURE_F16 = 11, WG_FEATURE_SUBGROUPS = 18, WG_FEATURE_SUBGROUP_MATRIX = 0x50034,
       WG_FEATURE_MEMORY_HEAPS = 0x50014,
       WG_OLD_TIMESTAMP = 3, WG_OLD_F16 = 10, WG_OLD_SUBGROUPS = 17, WG_OLD_SUBGROUP_MATRIX = 0x50038 };
enum { WG_LANG_DOT4 = 2 };
enum {
    WG_USE_MAP_READ = 1,
    WG_USE_MAP_WRITE = 2,
    WG_USE_COPY_SRC = 4,
    WG_USE_COPY_DST = 8,
    WG_USE_UNIFORM = 64,
    WG_USE_STORAGE = 128,
    WG_USE_QUERY = 512
};
enum {
    WG_BIND_UNIFORM = 2,
    WG_BIND_STORAGE = 3,
    WG_BIND_READ = 4,
    WG_STAGE_COMPUTE = 4,
    WG_MAP_READ = 1,
    WG_MAP_WRITE = 2,
    WG_QUERY_TIMESTAMP = 2
};
enum { WG_ERROR_VALIDATION = 2, WG_ERROR_MEMORY = 3, WG_ERROR_INTERNAL = 4, WG_LOST_DESTROYED = 2 };

/* callbacks: status, object or nothing, message, two user pointers */
typedef void (*wg_adapter_fn)(uint32_t status, wg_object adapter, wg_str message, void *u1, void *u2);
typedef void (*wg_map_fn)(uint32_t status, wg_str message, void *u1, void *u2);
typedef void (*wg_lost_fn)(const wg_object *device, uint32_t reason, wg_str message, void *u1, void *u2);
typedef struct wg_callback { wg_chain *next; uint32_t mode; wg_adapter_fn fn; void *u1, *u2; } wg_callback;
typedef struct wg_map_callback { wg_chain *next; uint32_t mode; wg_map_fn fn; void *u1, *u2; } wg_map_callback;
typedef struct wg_lost_callback { wg_chain *next; uint32_t mode; wg_lost_fn fn; void *u1, *u2; } wg_lost_callback;
typedef struct wg_error_callback { wg_chain *next; wg_lost_fn fn; void *u1, *u2; } wg_error_callback;

typedef struct wg_instance_desc {
    wg_chain *next;
    size_t n_features;
    const uint32_t *features;
    const void *limits;
} wg_instance_desc;
typedef struct wg_old_instance_desc {
    wg_chain *next, *capabilities_next;
    uint32_t timed_wait;
    size_t timed_wait_max;
} wg_old_instance_desc;
typedef struct wg_adapter_options {
    wg_chain *next;
    uint32_t level, power, fallback, backend;
    wg_object surface;
} wg_adapter_options;
typedef struct wg_toggles {
    wg_chain chain;
    size_t n_on;
    const char *const *on;
    size_t n_off;
    const char *const *off;
} wg_toggles;
typedef struct wg_limits {
    wg_chain *next;
    uint32_t texture_1d, texture_2d, texture_3d, texture_layers, bind_groups, bind_groups_and_vertex,
        bindings_per_group, dynamic_uniform, dynamic_storage, sampled_textures, samplers, storage_buffers,
        storage_textures, uniform_buffers;
    uint64_t uniform_binding, storage_binding;
    uint32_t uniform_align, storage_align, vertex_buffers;
    uint64_t buffer_size;
    uint32_t vertex_attributes, vertex_stride, inter_stage, color_attachments, color_bytes, workgroup_bytes,
        invocations, workgroup_x, workgroup_y, workgroup_z, groups, immediate;
    uint32_t more[8];                   /* what older and newer libraries have behind */
} wg_limits;
typedef struct wg_adapter_info {
    wg_chain *next; wg_str vendor, architecture, device, description;
    uint32_t backend, type, vendor_id, device_id, subgroup_min, subgroup_max;
} wg_adapter_info;
/* chained to an adapter's info: what subgroups multiply */
typedef struct wg_matrix_config { uint32_t component, result, m, n, k; } wg_matrix_config;
typedef struct wg_matrix_configs { wg_chain chain; size_t n; const wg_matrix_config *list; } wg_matrix_configs;
/* chained too: the adapter's memory */
typedef struct wg_memory_heap { uint64_t properties, size; } wg_memory_heap;
typedef struct wg_memory_heaps { wg_chain chain; size_t n; const wg_memory_heap *list; } wg_memory_heaps;
typedef struct wg_queue_desc { wg_chain *next; wg_str label; } wg_queue_desc;
typedef struct wg_device_desc {
    wg_chain *next; wg_str label; size_t n_features; const uint32_t *features; const wg_limits *limits;
    wg_queue_desc queue; wg_lost_callback lost; wg_error_callback error;
} wg_device_desc;
typedef struct wg_buffer_desc { wg_chain *next; wg_str label; uint64_t usage, size; uint32_t mapped; } wg_buffer_desc;
typedef struct wg_wgsl { wg_chain chain; wg_str code; } wg_wgsl;
/* shader module, encoder, command buffer */
typedef struct wg_label_desc { wg_chain *next; wg_str label; } wg_label_desc;
typedef struct wg_constant { wg_chain *next; wg_str key; double value; } wg_constant;
typedef struct wg_compute {
    wg_chain *next;
    wg_object module;
    wg_str entry;
    size_t n_constants;
    const wg_constant *constants;
} wg_compute;
typedef struct wg_pipeline_desc {
    wg_chain *next;
    wg_str label;
    wg_object layout;
    wg_compute compute;
} wg_pipeline_desc;
typedef struct wg_buffer_layout { wg_chain *next; uint32_t type, dynamic; uint64_t min_size; } wg_buffer_layout;
typedef struct wg_sampler_layout { wg_chain *next; uint32_t type; } wg_sampler_layout;
/* sampled and storage alike */
typedef struct wg_texture_layout { wg_chain *next; uint32_t a, b, c; } wg_texture_layout;
typedef struct wg_layout_entry {
    wg_chain *next; uint32_t binding; uint64_t visibility; uint32_t array_size;
    wg_buffer_layout buffer; wg_sampler_layout sampler; wg_texture_layout texture, storage_texture;
} wg_layout_entry;
typedef struct wg_layout_desc {
    wg_chain *next;
    wg_str label;
    size_t n;
    const wg_layout_entry *entries;
} wg_layout_desc;
typedef struct wg_pipeline_layout_desc {
    wg_chain *next;
    wg_str label;
    size_t n;
    const wg_object *layouts;
    uint32_t immediate;
} wg_pipeline_layout_desc;
typedef struct wg_group_entry {
    wg_chain *next;
    uint32_t binding;
    wg_object buffer;
    uint64_t offset, size;
    wg_object sampler, view;
} wg_group_entry;
typedef struct wg_group_desc {
    wg_chain *next;
    wg_str label;
    wg_object layout;
    size_t n;
    const wg_group_entry *entries;
} wg_group_desc;
typedef struct wg_timestamps { wg_chain *next; wg_object set; uint32_t begin, end; } wg_timestamps;
typedef struct wg_pass_desc { wg_chain *next; wg_str label; const wg_timestamps *timestamps; } wg_pass_desc;
typedef struct wg_query_desc { wg_chain *next; wg_str label; uint32_t type, count; } wg_query_desc;

/* X(result, name, parameters): what is loaded from the library as wgpuNAME. */
#define WG_CALLS(X)                                                                                                  \
    X(wg_object, CreateInstance, (const void *))                                                                     \
    X(void, InstanceProcessEvents, (wg_object))                                                                      \
    X(wg_future, InstanceRequestAdapter, (wg_object, const wg_adapter_options *, wg_callback))                       \
    X(uint32_t, InstanceWaitAny, (wg_object, size_t, wg_wait *, uint64_t))                                           \
    X(uint32_t, InstanceHasWGSLLanguageFeature, (wg_object, uint32_t))                                               \
    X(void, InstanceRelease, (wg_object))                                                                            \
    X(uint32_t, AdapterGetInfo, (wg_object, wg_adapter_info *))                                                      \
    X(uint32_t, AdapterGetLimits, (wg_object, wg_limits *))                                                          \
    X(uint32_t, AdapterHasFeature, (wg_object, uint32_t))                                                            \
    X(wg_future, AdapterRequestDevice, (wg_object, const wg_device_desc *, wg_callback))                             \
    X(void, AdapterInfoFreeMembers, (wg_adapter_info))                                                               \
    X(void, AdapterRelease, (wg_object))                                                                             \
    X(uint32_t, DeviceGetLimits, (wg_object, wg_limits *))                                                           \
    X(wg_object, DeviceGetQueue, (wg_object))                                                                        \
    X(wg_object, DeviceCreateBuffer, (wg_object, const wg_buffer_desc *))                                            \
    X(wg_object, DeviceCreateShaderModule, (wg_object, const wg_label_desc *))                                       \
    X(wg_object, DeviceCreateBindGroupLayout, (wg_object, const wg_layout_desc *))                                   \
    X(wg_object, DeviceCreatePipelineLayout, (wg_object, const wg_pipeline_layout_desc *))                           \
    X(wg_future, DeviceCreateComputePipelineAsync, (wg_object, const wg_pipeline_desc *, wg_callback))               \
    X(wg_object, DeviceCreateBindGroup, (wg_object, const wg_group_desc *))                                          \
    X(wg_object, DeviceCreateQuerySet, (wg_object, const wg_query_desc *))                                           \
    X(wg_object, DeviceCreateCommandEncoder, (wg_object, const wg_label_desc *))                                     \
    X(void, DeviceDestroy, (wg_object))                                                                              \
    X(void, DeviceRelease, (wg_object))                                                                              \
    X(void, QueueWriteBuffer, (wg_object, wg_object, uint64_t, const void *, size_t))                                \
    X(void, QueueSubmit, (wg_object, size_t, const wg_object *))                                                     \
    X(void, QueueRelease, (wg_object))                                                                               \
    X(wg_future, BufferMapAsync, (wg_object, uint64_t, size_t, size_t, wg_map_callback))                             \
    X(const void *, BufferGetConstMappedRange, (wg_object, size_t, size_t))                                          \
    X(void *, BufferGetMappedRange, (wg_object, size_t, size_t))                                                     \
    X(void, BufferUnmap, (wg_object))                                                                                \
    X(void, BufferDestroy, (wg_object))                                                                              \
    X(void, BufferRelease, (wg_object))                                                                              \
    X(wg_object, CommandEncoderBeginComputePass, (wg_object, const wg_pass_desc *))                                  \
    X(void, CommandEncoderCopyBufferToBuffer, (wg_object, wg_object, uint64_t, wg_object, uint64_t, uint64_t))       \
    X(void, CommandEncoderClearBuffer, (wg_object, wg_object, uint64_t, uint64_t))                                   \
    X(void, CommandEncoderResolveQuerySet, (wg_object, wg_object, uint32_t, uint32_t, wg_object, uint64_t))          \
    X(wg_object, CommandEncoderFinish, (wg_object, const wg_label_desc *))                                           \
    X(void, CommandEncoderRelease, (wg_object))                                                                      \
    X(void, CommandBufferRelease, (wg_object))                                                                       \
    X(void, ComputePassEncoderSetPipeline, (wg_object, wg_object))                                                   \
    X(void, ComputePassEncoderSetBindGroup, (wg_object, uint32_t, wg_object, size_t, const uint32_t *))              \
    X(void, ComputePassEncoderDispatchWorkgroups, (wg_object, uint32_t, uint32_t, uint32_t))                         \
    X(void, ComputePassEncoderEnd, (wg_object))                                                                      \
    X(void, ComputePassEncoderRelease, (wg_object))                                                                  \
    X(void, ShaderModuleRelease, (wg_object))                                                                        \
    X(void, BindGroupLayoutRelease, (wg_object))                                                                     \
    X(void, PipelineLayoutRelease, (wg_object))                                                                      \
    X(void, ComputePipelineRelease, (wg_object))                                                                     \
    X(void, BindGroupRelease, (wg_object))                                                                           \
    X(void, QuerySetRelease, (wg_object))
#endif
