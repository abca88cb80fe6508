/* one_gpu.c - gossamer_one_gpu.so: a Vulkan layer that shows one device, the one whose identity is in the
 * environment (common/vulkan_abi.h), and hides the others. A webgpu.h library takes the first device that it
 * finds and can't be told which; this works with any such library and driver, and without privileges.
 * Everything but the list of devices goes past it. */
#include "common/vulkan_abi.h"
#include <stdlib.h>
#include <string.h>

enum { MOST = 64 };
/* What comes after this layer, asked for while an instance is made (later the loader gives the whole chain
 * again): the same for all instances of a process. */
static struct {
    vka_proc proc;
    vka_enumerate enumerate;
    vka_describe describe;
} next;

static int is_it(void *device)
{
    static const char digits[] = "0123456789abcdef";
    const char *wanted = getenv(GOSS_ONE_GPU);
    vka_id id = { .chain = { VKA_ID, 0 } };
    vka_properties p = { .chain = { VKA_PROPERTIES, &id.chain } };
    next.describe(device, &p);
    for (int i = 0; wanted && i < VKA_UUID; i++)
        if (wanted[2 * i] != digits[id.device[i] >> 4] || wanted[2 * i + 1] != digits[id.device[i] & 15])
            return 0;
    return wanted != NULL;
}

static int32_t enumerate(void *instance, uint32_t *n, void **devices)
{
    void *all[MOST], *found = NULL;
    uint32_t n_all = MOST;
    const int32_t rc = next.enumerate(instance, &n_all, all);
    if (rc < 0) return rc;
    for (uint32_t i = 0; i < n_all && !found; i++)
        if (is_it(all[i])) found = all[i];
    const uint32_t room = devices ? *n : 1;
    *n = found && room;
    if (*n && devices) *devices = found;
    return found && !room ? VKA_INCOMPLETE : 0;
}

static int32_t create(const vka_instance_info *info, const void *allocator, void **instance)
{
    vka_link_info *l = (vka_link_info *)info->chain.next;
    while (l && (l->chain.type != VKA_LINK || l->function)) l = (vka_link_info *)l->chain.next;
    if (!l) return VKA_INITIALIZATION_FAILED;
    next.proc = l->link->proc;
    l->link = l->link->next; /* for the layer after this one */
    const int32_t rc = ((vka_create)next.proc(NULL, "vkCreateInstance"))(info, allocator, instance);
    if (rc) return rc;
    next.enumerate = (vka_enumerate)next.proc(*instance, "vkEnumeratePhysicalDevices");
    next.describe = (vka_describe)next.proc(*instance, "vkGetPhysicalDeviceProperties2");
    if (!next.describe)
        next.describe = (vka_describe)next.proc(*instance, "vkGetPhysicalDeviceProperties2KHR");
    return 0;
}

static vka_call proc(void *instance, const char *name)
{
    if (!strcmp(name, "vkCreateInstance")) return (vka_call)create;
    if (!strcmp(name, "vkEnumeratePhysicalDevices") && next.describe) return (vka_call)enumerate;
    if (!strcmp(name, "vkGetInstanceProcAddr")) return (vka_call)proc;
    return next.proc ? next.proc(instance, name) : NULL;
}

__attribute__((visibility("default"))) int32_t vkNegotiateLoaderLayerInterfaceVersion(vka_negotiate *n);
int32_t vkNegotiateLoaderLayerInterfaceVersion(vka_negotiate *n)
{
    if (n->version < 2) return VKA_INITIALIZATION_FAILED;
    n->version = 2;
    n->instance_proc = proc;
    n->device_proc = n->physical_proc = NULL;
    return 0;
}
