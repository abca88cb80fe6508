/* os_wasm.c - the system as a wasm module sees it: a clock and a memory size that JavaScript gives, and
 * nothing else. GOSS_WASM_FEATURES comes from the Makefile: what this module was compiled with (a module is
 * refused as a whole by a machine that lacks one of its instructions, so having been loaded is the proof). */
#include "error.h"
#include "os.h"

#define IMPORT(name) __attribute__((import_module("goss"), import_name(name)))
IMPORT("now_ms") double js_now_ms(void);
IMPORT("unix_time") double js_unix_time(void);
IMPORT("memory_max") double js_memory_max(void);
IMPORT("cores") int js_cores(void);

double goss_os_now_ms(void) { return js_now_ms(); }

double goss_os_thread_ms(void) { return js_now_ms(); }

int64_t goss_os_unix_time(void) { return (int64_t)js_unix_time(); }

int goss_os_cores(void) { return js_cores(); }

uint64_t goss_os_memory(uint64_t *available)
{
    uint64_t total = (uint64_t)js_memory_max(), used = (uint64_t)__builtin_wasm_memory_size(0) * 65536;
    if (available) *available = total > used ? total - used : 0;
    return total;
}

int goss_os_map(goss_mapping *m, const char *path, goss_error *err)
{
    *m = (goss_mapping){ .fd = -1 };
    return goss_fail(err, GOSS_EUNSUPPORTED, -1, "%s: there are no paths here; give the bytes as a source",
                     path);
}

int goss_os_list(const char *folder, void (*fn)(void *ctx, const char *name), void *ctx, goss_error *err)
{
    (void)fn;
    (void)ctx;
    return goss_fail(err, GOSS_EUNSUPPORTED, -1, "%s: there are no folders here", folder);
}

void goss_os_unmap(goss_mapping *m) { *m = (goss_mapping){ .fd = -1 }; }

unsigned goss_os_cpu_features(void) { return GOSS_WASM_FEATURES; }

