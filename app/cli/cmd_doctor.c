/* cmd_doctor.c - gossamer doctor: what this machine has, what would fit, what is missing and how to get
 * it. */
#include "base/os.h"
#include "net/inputs.h"
#include "commands.h"
#include "model_cli.h"
#include "common/engine_options.h"
#include "common/gpus.h"
#include "common/kernels_file.h"
#include "common/share.h"
#include "base/library.h"
#include "progress.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the machine --------------------------------------------------------------------------------------- */
static void show_cpu(void)
{
    static const struct { unsigned bit; const char *name;
    } names[] = { { GOSS_CPU_AVX2, "avx2" },
                  { GOSS_CPU_AVXVNNI, "avxvnni" },
                  { GOSS_CPU_AVX512VNNI, "avx512vnni" },
                  { GOSS_CPU_AMX, "amx" },
                  { GOSS_CPU_NEON, "neon" },
                  { GOSS_CPU_DOTPROD, "dotprod" } };
    const unsigned have = goss_os_cpu_features();
    printf("cpu       %d cores,", goss_os_cores());
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (have & names[i].bit) printf(" %s", names[i].name);
    puts(have ? "" : " no instruction set beyond the portable one");
}

static uint64_t show_memory(void)
{
    uint64_t free_bytes = 0;
    char total[16], available[16];
    goss_human_bytes(total, (double)goss_os_memory(&free_bytes));
    goss_human_bytes(available, (double)free_bytes);
    printf("memory    %s, %s free\n", total, available);
    return free_bytes;
}

/* ---- libraries ----------------------------------------------------------------------------------------- */
/* Whether a library is there: opened, named, and closed again. */
static int tried(const char *what, const char *name, int verbose)
{
    void *lib = dlopen(name, RTLD_LAZY | RTLD_LOCAL);
    if (lib) printf("%-9s found (%s)\n", what, name);
    else if (verbose) printf("%-9s not %s: %s\n", what, name, dlerror());
    if (lib) dlclose(lib);
    return lib != NULL;
}

static void show_webgpu(const char *given, int verbose)
{
    char path[600];
    int found = 0;
    for (int i = 0; !found && goss_library_place(i, given, path, sizeof path); i++)
        found = tried("webgpu", path, verbose);
    if (!found)
        puts("webgpu    missing: the GPU can't be used natively; ./run fetches it, or give --webgpu PATH");
    if (!tried("vulkan", "libvulkan.so.1", verbose) && !tried("vulkan", "libvulkan.so", verbose))
        puts("vulkan    missing: apt install libvulkan1 mesa-vulkan-drivers");
}

/* What loading the demo model on the GPU says about the adapter: the telemetry's gpu_limits, or why there is
 * none. */
typedef struct adapter { char detail[512]; int known; } adapter;

static void on_line(void *ctx, const char *json, size_t n)
{
    adapter *a = ctx;
    static const char stage[] = "\"stage\":\"gpu_limits\",\"status\":\"completed\",\"detail\":\"";
    char line[2048];
    if (n >= sizeof line) return;
    memcpy(line, json, n);
    line[n] = 0;
    const char *at = strstr(line, stage);
    if (!at) return;
    at += sizeof stage - 1;
    snprintf(a->detail, sizeof a->detail, "%.*s", (int)strcspn(at, "\""), at);
    a->known = 1;
}

static void show_adapter(const goss_engine_config *given, const char *model)
{
    adapter a = { .known = 0 };
    goss_engine_config c = *given;
    goss_engine *e = NULL;
    goss_error err = { .position = -1 };
    c.model_path = model;
    c.backend = "gpu";
    c.max_kv = 64;
    c.max_rows = 1;
    c.n_layers = -1;                               /* the kernels of layers need not compile for this */
    c.max_sessions = 1;
    c.on_telemetry = on_line;
    c.telemetry_ctx = &a;
    c.telemetry_mask = GOSS_TELEMETRY_LOAD;
    int rc = goss_engine_open(&e, &c, &err);
    while (rc >= 0 && e && !a.known && goss_engine_state(e) == GOSS_ENGINE_LOADING)
        rc = goss_engine_poll(e, 20, &err);
    if (!a.known) printf("gpu       none: %s\n", err.text);
    for (const char *p = a.detail; a.known && *p;) {   /* k=v pairs, the adapter's name last */
        const int whole = !strncmp(p, "adapter=", 8), len = whole ? (int)strlen(p) : (int)strcspn(p, " ");
        printf("%-9s %.*s\n", p == a.detail ? "gpu" : "", len, p);
        p += len + (p[len] == ' ');
    }
    if (strstr(a.detail, "fragments=no"))
        puts("          fragments=no: long prompts go through the plain units. A Dawn of September 2026 or\n"
             "          later (Debian's libwebgpu-dawn0 from forky on, or GOSSAMER_WEBGPU) brings subgroup\n"
             "          matrices, and f16 on NVIDIA, where the device has them.");
    goss_engine_close(&e);
}

/* Where there are several: the numbers that --gpu takes. */
static void show_gpus(void)
{
    goss_gpu_seen list[GOSS_GPUS];
    const int n = goss_gpus_list(list);
    for (int i = 0; i < n && n > 1; i++)
        printf("%-9s %d %s%s\n", i ? "" : "gpus", i, list[i].name, list[i].is_cpu ? ", software" : "");
}

/* ---- what fits ----------------------------------------------------------------------------------------- */
static void show_fit(uint64_t available)
{
    /* weights; what must stay at hand when the experts are read from disk as they are needed; KV of 8,192
     * positions */
    static const struct { const char *name; double weights, dense, kv; } models[] = {
        { "gpt-oss-20b", 12.1e9, 1.94e9, 0.21e9 }, { "gpt-oss-120b", 63.4e9, 2.3e9, 0.31e9 } };
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        char need[16];
        goss_human_bytes(need, models[i].weights + models[i].kv);
        const double have = (double)available;
        printf("%-13s needs %s: %s\n", models[i].name, need,
               have >= models[i].weights + models[i].kv ? "fits in memory"
               : have >= models[i].dense + models[i].kv
                   ? "runs from disk: the file is mapped, experts are read as they are needed, slowly"
                   : "does not fit");
    }
}

/* One session's KV in each type, for as many positions as the plan gives. */
static void show_kv(const goss_engine_config *given, const goss_plan_info *p)
{
    static const char *const types[] = { "f16", "q8", "q4" };
    const int gpu = given->backend && !strcmp(given->backend, "gpu");
    printf("session   %d positions take", p->max_kv);
    for (int i = 0; i < (gpu ? 1 : 3); i++) {
        goss_engine_config c = *given;
        goss_plan_info other;
        char bytes[16];
        c.kv_type = types[i];
        c.max_kv = 0;
        if (goss_plan(&c, NULL, &other, NULL)) continue;
        goss_human_bytes(bytes, (double)other.kv_token_bytes * p->max_kv);
        printf("%s %s as %s", i ? "," : "", bytes, types[i]);
    }
    putchar('\n');
}

/* Who would have which layers. */
static int print_ranks(const goss_engine_config *config)
{
    char text[8192];
    goss_error err = { .position = -1 };
    if (goss_ring_plan(config, text, sizeof text, &err)) return goss_cli_fail("doctor", 1, &err);
    fputs(text, stdout);
    return 0;
}

static int print_plan(const goss_engine_config *config)
{
    goss_model_info m;
    goss_plan_info p;
    goss_error err = { .position = -1 };
    if (goss_plan(config, &m, &p, &err)) return goss_cli_fail("doctor", 1, &err);
    char a[16], b[16], c[16];
    goss_human_bytes(a, (double)p.weight_bytes);
    goss_human_bytes(b, (double)p.expert_bytes);
    printf("model     %s (%s, %s), %d layers, %d experts, context %d\n", m.name, m.arch, m.type, m.n_layer,
           m.n_expert, m.n_ctx);
    printf("weights   %s, of them experts %s\n", a, b);
    goss_human_bytes(a, (double)p.resident_bytes);
    goss_human_bytes(b, (double)p.expert_cache_bytes);
    printf("resident  %s%s%s\n", a,
           !p.expert_cache_bytes ? "" : p.n_slots ? ", room for paged experts " : ", no room for experts",
           p.expert_cache_bytes && p.n_slots ? b : "");
    goss_human_bytes(a, (double)p.kv_bytes);
    goss_human_bytes(b, (double)p.kv_token_bytes);
    goss_human_bytes(c, (double)m.step_bytes);
    printf("kv        at most %s for all sessions, %s a position, up to %d positions a session\n", a, b,
           p.max_kv);
    show_kv(config, &p);
    printf("reads     %s of weights a token\n", c);
    goss_human_bytes(a, (double)p.memory_total);
    goss_human_bytes(b, (double)p.memory_available);
    printf("memory    %s, %s free\n", a, b);
    printf("plan      %s\n", p.text);
    puts(p.fits ? "fits      yes" : "fits      no");
    return config->ring ? print_ranks(config) : 0;
}

static int show_plan(goss_engine_options *o, const char *path)
{
    goss_inputs set;
    goss_error err = { .position = -1 };
    if (goss_inputs_open(&set, path, &err)) return goss_cli_fail("doctor", 1, &err);
    o->config.model_path = NULL;
    o->config.sources = goss_inputs_sources(&set);
    o->config.n_sources = set.n;
    const int rc = o->config.sources ? print_plan(&o->config) : 1;
    goss_inputs_close(&set);
    return rc;
}

int goss_cmd_doctor(int argc, char **argv)
{
    goss_engine_options engine;
    const char *plan = NULL;
    int verbose = 0;
    const goss_option options[] = {
        { "--plan", GOSS_OPT_STR, &plan, .arg = "MODEL", .help = "what opening this model would use" },
        { "--verbose,-v", GOSS_OPT_FLAG, &verbose, .help = "say where was looked" },
        { 0 } };
    goss_engine_options_init(&engine, GOSS_FOR_COMMANDS);
    const goss_usage usage = {
        "doctor", "", "Shows what this machine has, what would fit and what is missing.",
        0,        0,  { options, engine.table }
    };
    const int n = goss_options_read(&usage, argc, argv, NULL);
    if (n < 0) return ~n;
    if (plan || engine.repo) {
        const int status = goss_cli_model_head(&engine, "doctor", plan);
        return status ? status : show_plan(&engine, engine.config.model_path);
    }
    const int status = goss_gpus_take(&engine, "doctor");
    if (status) return status;
    show_cpu();
    const uint64_t available = show_memory();
    show_webgpu(engine.config.webgpu_path, verbose);
    show_gpus();
    char demo[1024];
    printf("demo      %s\n", goss_demo_model(demo, sizeof demo)
                                 ? demo
                                 : "missing: models/demo-gptoss.gguf is not beside the program");
    goss_kernels_file kernels;
    goss_error err = { .position = -1 };
    if (goss_kernels_file_open(&kernels, &engine.config, engine.kernels, engine.model_cache, &err))
        printf("kernels   %s\n", err.text);
    if (goss_demo_model(demo, sizeof demo)) show_adapter(&engine.config, demo);
    if (*kernels.path)
        printf("kernels   %s what was measured in %s\n", kernels.text ? "has" : "lacks", kernels.path);
    goss_kernels_file_close(&kernels);
    show_fit(available);
    return 0;
}
