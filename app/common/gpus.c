/* gpus.c - see gpus.h. Numbers are those of Vulkan's list: real devices before software, cards by their place
 * on the bus. Whether the others are really hidden is looked at before anything is computed. */
#include "gpus.h"
#include "base/fmt.h"
#include "base/os.h"
#include "vulkan_abi.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- what there is ------------------------------------------------------------------------------------- */
static void describe(goss_gpu_seen *g, vka_describe call, void *device)
{
    vka_id id = { .chain = { VKA_ID, 0 } };
    vka_properties p = { .chain = { VKA_PROPERTIES, &id.chain } };
    call(device, &p);
    goss_fmt(g->name, sizeof g->name, "%.200s", p.name);
    g->is_cpu = p.type == VKA_TYPE_CPU;
    for (int i = 0; i < VKA_UUID; i++) snprintf(g->id + (size_t)i * 2, 3, "%02x", id.device[i]);
}

static int list_of(goss_gpu_seen *list, vka_proc proc, void *instance)
{
    void *devices[GOSS_GPUS];
    uint32_t n = GOSS_GPUS;
    const vka_enumerate all = (vka_enumerate)proc(instance, "vkEnumeratePhysicalDevices");
    const vka_describe call = (vka_describe)proc(instance, "vkGetPhysicalDeviceProperties2");
    if (!all || !call || all(instance, &n, devices) < 0) return 0;
    for (uint32_t i = 0; i < n; i++) describe(&list[i], call, devices[i]);
    return (int)n;
}

int goss_gpus_list(goss_gpu_seen *list)
{
    /* the library stays loaded: drivers keep threads that outlive their instances */
    void *library = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL), *instance = NULL;
    void *symbol = library ? dlsym(library, "vkGetInstanceProcAddr") : NULL;
    vka_proc proc;
    int n = 0;
    if (!symbol) return 0;
    memcpy(&proc, &symbol, sizeof proc);
    const vka_application a = { .chain = { VKA_APPLICATION, 0 }, .name = "gossamer", .api = VKA_API };
    const vka_instance_info info = { .chain = { VKA_INSTANCE, 0 }, .application = &a };
    const vka_create create = (vka_create)proc(NULL, "vkCreateInstance");
    const int hushed = goss_os_hush(); /* the loader and its drivers write what they don't like */
    if (create && !create(&info, NULL, &instance)) {
        n = list_of(list, proc, instance);
        const vka_destroy destroy = (vka_destroy)proc(instance, "vkDestroyInstance");
        if (destroy) destroy(instance, NULL);
    }
    goss_os_speak(hushed);
    return n;
}

/* ---- having one ---------------------------------------------------------------------------------------- */
static int find_layer(char *folder, size_t cap)
{
    static const char *const places[] = { "%s/vulkan", "%s/../lib/gossamer/vulkan" };
    char here[512], file[700];
    goss_os_program_folder(here, sizeof here);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        goss_fmt(folder, cap, places[i], here);
        goss_fmt(file, sizeof file, "%s/gossamer_one_gpu.json", folder);
        if (!access(file, R_OK)) return 0;
    }
    return -1;
}

/* One more word of a list in the environment. */
static void add(const char *name, const char *word, const char *otherwise)
{
    char list[4096];
    const char *before = getenv(name);
    if (!before || !*before) before = otherwise;
    goss_fmt(list, sizeof list, "%s%s%s", word, *before ? ":" : "", before);
    setenv(name, list, 1);
}

static int hide_all_but(const goss_gpu_seen *g)
{
    char folder[600];
    goss_gpu_seen left[GOSS_GPUS];
    if (find_layer(folder, sizeof folder)) return -1;
    /* a path that is set takes the place of the usual ones */
    add("VK_LAYER_PATH", folder,
        "/usr/local/share/vulkan/explicit_layer.d:/usr/share/vulkan/explicit_layer.d:"
        "/etc/vulkan/explicit_layer.d");
    add("VK_INSTANCE_LAYERS", GOSS_ONE_GPU_LAYER, "");
    setenv(GOSS_ONE_GPU, g->id, 1);
    return goss_gpus_list(left) == 1 && !strcmp(left->id, g->id) ? 0 : -1;
}

/* A rank's number, where it is to choose by itself; -1: nothing is to be chosen. Software is no choice where
 * there are GPUs. */
static int own_number(const goss_engine_options *o, const goss_gpu_seen *list, int n)
{
    const char *place = getenv("OMPI_COMM_WORLD_LOCAL_RANK");
    int real = 0;
    if (!place) place = getenv("SLURM_LOCALID");
    if (!place || !o->config.backend || strcmp(o->config.backend, "gpu") != 0) return -1;
    while (real < n && !list[real].is_cpu) real++;
    if (!real) real = n;
    return real > 1 ? (int)(strtoul(place, NULL, 10) % (unsigned)real) : -1;
}

static int refuse(const char *command, int number, const goss_gpu_seen *list, int n)
{
    fprintf(stderr, "gossamer %s: there is no GPU %d: %s", command, number,
            n ? "Vulkan finds" : "Vulkan (libvulkan.so.1 and a driver) finds none");
    for (int i = 0; i < n; i++) fprintf(stderr, "%s %d (%s)", i ? "," : "", i, list[i].name);
    fputs(".\n", stderr);
    return 2;
}

int goss_gpus_take(goss_engine_options *o, const char *command)
{
    goss_gpu_seen list[GOSS_GPUS];
    const int pipeline = o->pipeline || o->config.ring_split;
    if (o->gpu < 0 && !pipeline) return 0;
    if (o->gpu >= 0 && !o->config.backend) o->config.backend = "gpu";
    const int n = goss_gpus_list(list), number = o->gpu >= 0 ? o->gpu : own_number(o, list, n);
    if (number < 0) return 0;
    if (number >= n) return refuse(command, number, list, n);
    if (n == 1) return 0;
    if (hide_all_but(&list[number])) {
        fprintf(stderr,
                "gossamer %s: the Vulkan loader does not hide the other GPUs (by gossamer_one_gpu.so, in vulkan/ "
                "beside the program): examples/pipeline/one-gpu does, in a mount namespace.\n",
                command);
        return 1;
    }
    fprintf(stderr, "gossamer: this process has GPU %d of %d, %s\n", number, n, list[number].name);
    return 0;
}
