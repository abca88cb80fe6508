/* vulkan_abi.h - what we use of Vulkan's and its loader's interfaces: instances and the names of devices
 * (gpus.c), and what a layer is asked for (app/layer). Numbers and layouts are the standard's. */
#ifndef GOSS_COMMON_VULKAN_ABI_H
#define GOSS_COMMON_VULKAN_ABI_H
#include <stdint.h>

/* What gpus.c tells the layer: the identity of the one device that is to be seen, as hexadecimal digits. */
#define GOSS_ONE_GPU "GOSSAMER_ONE_GPU"
#define GOSS_ONE_GPU_LAYER "VK_LAYER_GOSSAMER_one_gpu"

enum {
    VKA_APPLICATION = 0, VKA_INSTANCE = 1, VKA_LINK = 47, VKA_PROPERTIES = 1000059001, VKA_ID = 1000071004,
    VKA_API = 1 << 22 | 1 << 12, /* 1.1: devices have identities */
    VKA_TYPE_CPU = 4, VKA_INITIALIZATION_FAILED = -3, VKA_INCOMPLETE = 5, VKA_UUID = 16
};
typedef struct vka_chain { int32_t type; struct vka_chain *next; } vka_chain;
typedef struct vka_application {
    vka_chain chain; const char *name; uint32_t version; const char *engine; uint32_t engine_version, api;
} vka_application;
typedef struct vka_instance_info {
    vka_chain chain; uint32_t flags; const vka_application *application;
    uint32_t n_layers; const char *const *layers; uint32_t n_extensions; const char *const *extensions;
} vka_instance_info;
typedef struct vka_id {
    vka_chain chain; uint8_t device[VKA_UUID], driver[VKA_UUID], local[8]; uint32_t nodes, has_local;
} vka_id;
typedef struct vka_properties { /* rest: 548 bytes of limits, and room */
    vka_chain chain; uint32_t api, driver, vendor, device, type; char name[256]; uint8_t rest[768];
} vka_properties;

typedef void (*vka_call)(void);
typedef vka_call (*vka_proc)(void *instance, const char *name);
typedef int32_t (*vka_create)(const vka_instance_info *info, const void *allocator, void **instance);
typedef void (*vka_destroy)(void *instance, const void *allocator);
typedef int32_t (*vka_enumerate)(void *instance, uint32_t *n, void **devices);
typedef void (*vka_describe)(void *device, vka_properties *out);

/* The loader's side of a layer. function: 0 where it has a link. */
typedef struct vka_link { struct vka_link *next; vka_proc proc, device_proc; } vka_link;
typedef struct vka_link_info { vka_chain chain; int32_t function; vka_link *link; } vka_link_info;
typedef struct vka_negotiate {
    vka_chain chain; uint32_t version; vka_proc instance_proc, device_proc, physical_proc;
} vka_negotiate;
#endif
