/* native_gpu.c - the GPU half of gossamer-check, natively:
 *     gossamer-check --gpu [--full | --rest] [--level L] [--test T] [--seed N]
 * --full: the real layers' shapes and all variants too; --rest: of those, what a run without has not done.
 * Two levels: "default" asks for WebGPU's default limits and no feature, with halves decoded by integers;
 * "adapter" for everything that the adapter has. Together they are every variant that a build can make on
 * this machine. */
#include "check_gpu.h"
#include "native_gpu.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void gc_say(gc *g, const char *line)
{
    (void)g;
    printf("%s\n", line);
}

static int open_level(gc *g, const char *level, const char *mask_off, goss_error *err)
{
    const int is_default = !strcmp(level, "default");
    unsigned mask = 0;
    if (mask_off)
        mask = (strstr(mask_off, "f16") ? GOSS_GPU_F16 : 0) |
               (strstr(mask_off, "subgroups") ? GOSS_GPU_SUBGROUPS : 0) |
               (strstr(mask_off, "dot4") ? GOSS_GPU_DOT4 : 0);
    const goss_gpu_options o = { .path = getenv("GOSSAMER_WEBGPU"),
                                 .limits_default = is_default,
                                 .mask = mask };
    int r = gc_open(g, &o, level, err);
    while (!r && (r = gc_ready(g, err)) == GOSS_EAGAIN) r = 0;
    g->exact_halves = is_default;
    return r;
}

static int run_level(const char *level, const check_gpu_options *o)
{
    static gc g;
    goss_error err = { 0 };
    if (open_level(&g, level, o->mask, &err)) {
        printf("SKIP check of the GPU's kernels: %s\ncheck gpu %s: 0 passed, 0 failed, 1 skipped\n", err.text,
               level);
        gc_close(&g);
        return 0;
    }
    g.seed = o->seed;
    g.full = o->full || o->rest;
    g.rest = g.no_mutants = o->rest;
    g.only = o->test;
    while (gc_advance(&g)) {}
    printf("%s: binding %llu MiB, %u invocations, %u bytes of workgroup memory, features %u, subgroups of "
           "%d%s\n",
           g.limits->adapter, (unsigned long long)g.limits->max_binding >> 20, g.limits->max_invocations,
           g.limits->max_workgroup_bytes, g.limits->features, g.subgroup,
           g.half_ok ? "" : ", halves by integers");
    printf("  %d mutants caught, %d missed; %llu values compared, the worst at %.3f of its bound, %d kernels "
           "compiled\n",
           g.caught, g.missed, (unsigned long long)g.n_compared, g.worst, g.n_pipelines);
    printf("check gpu %s: %d passed, %d failed, %d skipped\n", level, g.passed + g.caught,
           g.failed + g.missed, g.skipped);
    const int failed = g.failed + g.missed;
    gc_close(&g);
    return failed;
}

int check_gpu_main(const check_gpu_options *o)
{
    static const char *const levels[] = { "default", "adapter" };
    int failed = 0;
    for (int i = 0; i < 2; i++)
        if (!o->level || !strcmp(o->level, levels[i])) failed += run_level(levels[i], o);
    return failed ? 1 : 0;
}
