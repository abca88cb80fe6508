/* check_wasm.c - gossamer-check inside WebAssembly, run by check.mjs: the same tests for the levels of the
 * module. */
#include "check.h"
#include "cpu/levels.h"
#include <string.h>

__attribute__((import_module("host"), import_name("say"))) void host_say(const char *level, const char *test,
                                                                         const char *what, double index,
                                                                         double got, double want);
__attribute__((import_module("host"), import_name("time"))) void host_time(const char *level,
                                                                           const char *test, const char *what,
                                                                           double ns, double gb, double gmac);
__attribute__((import_module("host"), import_name("now_ns"))) double host_now_ns(void);
__attribute__((export_name("check_main"))) int check_main(double seed, int bench);
extern unsigned char __heap_base;

void check_say(const check *c, const char *what, int64_t index, double got, double want)
{
    host_say(c->level, c->test, what, (double)index, got, want);
}
void check_time(const check *c, const char *what, double ns, double gb_per_s, double share, double gmac_per_s)
{
    (void)share;
    host_time(c->level, c->test, what, ns, gb_per_s, gmac_per_s);
}
double check_now_ns(void) { return host_now_ns(); }

/* Eight slots of 40 MB; a block ends where its slot does. */
void *check_memory(int slot, size_t n)
{
    const size_t size = (size_t)40 << 20, base = ((size_t)&__heap_base + 63) / 64 * 64;
    const size_t have = __builtin_wasm_memory_size(0) * 65536, need = base + 8 * size;
    if (have < need) __builtin_wasm_memory_grow(0, (need - have + 65535) / 65536);
    return (uint8_t *)base + (size_t)(slot + 1) * size - n;
}

/* Returns failed * 1000 + passed. */
int check_main(double seed, int bench)
{
    static check c;
    goss_kern ref, k;
    int passed = 0, failed = 0;
    unsigned need;
    const char *name;
    c.seed = (uint64_t)seed;
    goss_kern_init_ref(&ref);
    for (int i = 0; (name = goss_level_get(i, &need)); i++) {
        goss_level_kernels(&k, need);
        for (const check_test *t = check_tests; t->name; t++) {
            check_begin(&c, name, t, &ref, &k);
            t->run(&c, t->arg);
            if (c.failed) failed++; else passed++;
            if (bench && !c.failed && t->bench && i) t->bench(&c, t->arg);
        }
    }
    c.quiet = 1;
    for (const check_mutant *m = check_mutants; m->name; m++) {
        if (!strcmp(m->name, "rmsnorm_crash")) continue;     /* a trap ends the module */
        goss_level_kernels(&k, 0);
        m->install(&k);
        for (const check_test *t = check_tests; t->name; t++) {
            if (strcmp(t->name, m->test)) continue;
            check_begin(&c, "bad", t, &ref, &k);
            t->run(&c, t->arg);
            if (c.failed) { passed++; continue; }
            failed++;
            host_say("bad", t->name, m->name, 0, 0, 0);
        }
    }
    return failed * 1000 + passed;
}
