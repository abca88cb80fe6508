/* cmd_doctor.c - gossamer doctor: what this machine has, what would fit, what is missing and how to get it. */
#include "../../src/base/os.h"
#include "../source.h"
#include "commands.h"
#include "options.h"
#include "progress.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the machine ------------------------------------------------------------------------------------------- */
static void show_cpu(void)
{
    static const struct { unsigned bit; const char *name;
    } names[] = { { GOSS_CPU_AVX2, "avx2" },
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

/* ---- libraries --------------------------------------------------------------------------------------------- */
static int show_library(const char *what, const char *const *names, const char *missing, int verbose)
{
    for (; *names; names++) {
        void *lib = dlopen(*names, RTLD_LAZY | RTLD_LOCAL);
        if (lib) {
            printf("%-9s found (%s)\n", what, *names);
            dlclose(lib);
            return 1;
        }
        if (verbose) printf("%-9s not %s: %s\n", what, *names, dlerror());
    }
    printf("%-9s missing: %s\n", what, missing);
    return 0;
}

static void show_webgpu(const char *given, int verbose)
{
    char beside[600] = "";
    const ssize_t n = readlink("/proc/self/exe", beside, 480);
    beside[n > 0 ? n : 0] = 0;
    char *slash = strrchr(beside, '/');
    if (slash) snprintf(slash, 120, "/../../node_modules/bun-webgpu-linux-x64/libwebgpu_wrapper.so");
    const char *const names[] = { given ? given : "node_modules/bun-webgpu-linux-x64/libwebgpu_wrapper.so",
                                  beside, "libwebgpu_dawn.so", "libwgpu_native.so", NULL };
    show_library("webgpu", names, "the GPU can't be used natively; ./run fetches it, or give --webgpu PATH", verbose);
    static const char *const vulkan[] = { "libvulkan.so.1", "libvulkan.so", NULL };
    show_library("vulkan", vulkan, "apt install libvulkan1 mesa-vulkan-drivers", verbose);
}

/* What loading the demo model on the GPU says about the adapter: the telemetry's gpu_limits, or why there is none. */
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
    while (rc >= 0 && e && !a.known && goss_engine_state(e) == GOSS_ENGINE_LOADING) rc = goss_engine_poll(e, 20, &err);
    if (!a.known) printf("gpu       none: %s\n", err.text);
    for (const char *p = a.detail; a.known && *p;) {   /* k=v pairs, the adapter's name last */
        const int whole = !strncmp(p, "adapter=", 8), len = whole ? (int)strlen(p) : (int)strcspn(p, " ");
        printf("%-9s %.*s\n", p == a.detail ? "gpu" : "", len, p);
        p += len + (p[len] == ' ');
    }
    goss_engine_close(&e);
}

/* ---- what fits --------------------------------------------------------------------------------------------- */
static void show_fit(uint64_t available)
{
    /* weights; what must stay at hand when the experts are read from disk as they are needed; KV of 8,192 positions */
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

/* What is known of a file's header is not fetched again. */
typedef struct header { goss_input *in; const goss_buf *known; } header;

static int read_header(void *ctx, uint64_t offset, void *dst, size_t n, uint64_t tag)
{
    header *h = ctx;
    (void)tag;
    if (offset + n > h->known->len) {
        const int rc = h->in->read(h->in, offset, dst, n, NULL);
        return rc ? rc : 1;
    }
    memcpy(dst, h->known->data + offset, n);
    return 1;
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
    printf("kv        at most %s for all sessions, %s a position, up to %d positions a session\n", a, b, p.max_kv);
    show_kv(config, &p);
    printf("reads     %s of weights a token\n", c);
    goss_human_bytes(a, (double)p.memory_total);
    goss_human_bytes(b, (double)p.memory_available);
    printf("memory    %s, %s free\n", a, b);
    printf("plan      %s\n", p.text);
    puts(p.fits ? "fits      yes" : "fits      no");
    return 0;
}

static int show_plan(goss_engine_options *o, const char *path)
{
    goss_inputs set;
    goss_error err = { .position = -1 };
    if (goss_inputs_open(&set, path, &err)) return goss_cli_fail("doctor", 1, &err);
    goss_source *sources = calloc((size_t)set.n, sizeof *sources);
    header *headers = calloc((size_t)set.n, sizeof *headers);
    int rc = 1;
    for (int i = 0; i < set.n && sources && headers; i++) {
        headers[i] = (header){ &set.input[i], &set.keep[i] };
        sources[i] = (goss_source){ .ctx = &headers[i], .name = set.input[i].name, .size = set.input[i].size,
                                    .map = set.input[i].map, .read = read_header };
    }
    o->config.model_path = NULL;
    o->config.sources = sources;
    o->config.n_sources = set.n;
    if (sources && headers) rc = print_plan(&o->config);
    free(sources);
    free(headers);
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
    goss_engine_options_init(&engine);
    const goss_usage usage = {
        "doctor", "", "Shows what this machine has, what would fit and what is missing.",
        0,        0,  { options, engine.table }
    };
    const int n = goss_options_read(&usage, argc, argv, NULL);
    if (n < 0) return ~n;
    if (plan) {
        const int status = goss_engine_options_finish(&engine, "doctor", plan);
        return status ? status : show_plan(&engine, plan);
    }
    show_cpu();
    const uint64_t available = show_memory();
    show_webgpu(engine.config.webgpu_path, verbose);
    char demo[1024];
    printf("demo      %s\n", goss_demo_model(demo, sizeof demo)
                                 ? demo
                                 : "missing: models/demo-gptoss.gguf is not beside the program");
    if (goss_demo_model(demo, sizeof demo)) show_adapter(&engine.config, demo);
    show_fit(available);
    return 0;
}
