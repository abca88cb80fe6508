/* gpu_wasm.c - the GPU half of gossamer-check inside WebAssembly, for the page /check: JavaScript opens a
 * level, calls gpu_check_advance until it answers 0, letting its event loop run in between, and reads the
 * counts. */
#include "check_gpu.h"
#include "base/error.h"
#include <string.h>

#define EXPORT(name) __attribute__((export_name(#name))) name
__attribute__((import_module("host"), import_name("line"))) void host_line(const char *text, int n,
                                                                           int failed);
/* most: cases a test, 0: all of the quick ones */
int EXPORT(gpu_check_open)(int limits_default, double seed, int most, int no_mutants);
int EXPORT(gpu_check_ready)(void);
int EXPORT(gpu_check_advance)(void);
int EXPORT(gpu_check_count)(int what);
void EXPORT(gpu_check_close)(void);

/* 32 bytes for the name of the one test to run, NUL-terminated; empty: all */
char *EXPORT(gpu_check_only)(void);

static gc g;
static char only[32];

char *gpu_check_only(void) { return only; }

void gc_say(gc *c, const char *line)
{
    (void)c;
    host_line(line, (int)strlen(line), 1); /* nothing is said of what passed */
}

int gpu_check_open(int limits_default, double seed, int most, int no_mutants)
{
    goss_error err = { 0 };
    const goss_gpu_options o = { .limits_default = limits_default };
    memset(&g, 0, sizeof g);
    const int r = gc_open(&g, &o, limits_default ? "default" : "adapter", &err);
    g.seed = (uint64_t)seed;
    g.most = most;
    g.no_mutants = no_mutants;
    g.only = only[0] ? only : NULL;
    g.exact_halves = limits_default;
    if (r) host_line(err.text, (int)strlen(err.text), 1);
    return r;
}

/* 0 ready, 1 not yet, negative: why has been said. */
int gpu_check_ready(void)
{
    goss_error err = { 0 };
    const int r = gc_ready(&g, &err);
    if (r && r != GOSS_EAGAIN) host_line(err.text, (int)strlen(err.text), 1);
    return r == GOSS_EAGAIN ? 1 : r;
}

int gpu_check_advance(void) { return gc_advance(&g); }

/* 0: passed (with mutants caught), 1: failed (with mutants missed), 2: skipped, 3: values compared in
 * thousands, 4: kernels */
int gpu_check_count(int what)
{
    switch (what) {
    case 0: return g.passed + g.caught;
    case 1: return g.failed + g.missed;
    case 2: return g.skipped;
    case 3: return (int)(g.n_compared / 1000);
    default: return g.n_pipelines;
    }
}

void gpu_check_close(void) { gc_close(&g); }
