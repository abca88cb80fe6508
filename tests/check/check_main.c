/* check_main.c - gossamer-check, natively: arguments, crash recovery, guard pages, printing.
 *
 * usage: gossamer-check [--level NAME] [--test NAME] [--seed N] [--bench] [--list]
 *        [--gpu [--full | --rest] [--gpu-mask LIST]]
 * With no arguments: every level that the machine has, then the mutants. Exit 0: all passed; 1: something
 * failed; 2: usage. */
#include "check.h"
#include "native_gpu.h"
#include "base/os.h"
#include "cpu/levels.h"
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static sigjmp_buf back;
static void on_signal(int s) { siglongjmp(back, s); }

void check_say(const check *c, const char *what, int64_t index, double got, double want)
{
    printf("  %s %s: %s at %lld: got %.9g, should be %.9g (--level %s --test %s --seed %llu)\n", c->level,
           c->test, what, (long long)index, got, want, c->level, c->test, (unsigned long long)c->seed);
}
void check_time(const check *c, const char *what, double ns, double gb_per_s, double share, double gmac_per_s)
{
    printf("  %-10s %-15s %-24s %12.1f ns", c->level, c->test, what, ns);
    if (gb_per_s > 0) printf(" %8.2f GB/s", gb_per_s);
    if (share > 0) printf(" %4.0f %% of the roof", 100 * share);
    if (gmac_per_s > 0) printf(" %8.2f GMAC/s", gmac_per_s);
    printf("\n");
}
double check_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

/* Each slot is a mapping that grows, ended by a page without access. */
void *check_memory(int slot, size_t n)
{
    static struct { uint8_t *base; size_t size; } slots[8];
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), need = (n + page - 1) / page * page;
    if (slots[slot].size < need) {
        if (slots[slot].base) munmap(slots[slot].base, slots[slot].size + page);
        uint8_t *p = mmap(NULL, need + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED || mprotect(p + need, page, PROT_NONE)) {
            perror("gossamer-check: memory");
            exit(1);
        }
        slots[slot].base = p;
        slots[slot].size = need;
    }
    return slots[slot].base + slots[slot].size - n;
}

/* In a frame of its own, so that nothing in the caller lives across the jump. */
static void run_guarded(check *c, const check_test *t)
{
    const int sig = sigsetjmp(back, 1);
    if (!sig) t->run(c, t->arg);
    else check_fail(c, "crashed with signal", sig, sig, 0);
}

static int wanted(const char *only, const char *name) { return !only || !strcmp(only, name); }

static int run_level(check *c, const char *level, const goss_kern *ref, const goss_kern *k, const char *only)
{
    int passed = 0, failed = 0;
    for (const check_test *t = check_tests; t->name; t++) {
        if (!wanted(only, t->name)) continue;
        check_begin(c, level, t, ref, k);
        run_guarded(c, t);
        if (c->failed) { failed++; printf("  %s %s FAILED\n", level, t->name); } else passed++;
        if (only) printf("  %s %s: worst error %.3f of its bound\n", level, t->name, c->worst);
    }
    printf("check %-10s %d passed, %d failed\n", level, passed, failed);
    return failed;
}

static void bench_level(check *c, const char *level, const goss_kern *ref, const goss_kern *k,
                        const char *only)
{
    for (const check_test *t = check_tests; t->name; t++) {
        if (!wanted(only, t->name) || !t->bench) continue;
        check_begin(c, level, t, ref, k);
        t->bench(c, t->arg);
    }
}

/* Reading 256 MB with eight streams of 8 bytes: what one thread can hope for. */
static double read_roof(void)
{
    const size_t n = (size_t)32 << 20;
    uint64_t *p = check_memory(5, n * 8);
    memset(p, 1, n * 8);
    double best = 0;
    for (int round = 0; round < 3; round++) {
        uint64_t sum[8] = { 0 };
        const double t0 = check_now_ns();
        for (size_t i = 0; i < n; i += 8)
            for (int j = 0; j < 8; j++) sum[j] += p[i + (size_t)j];
        const double gb = (double)n * 8 / (check_now_ns() - t0);
        volatile uint64_t sink = sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7];
        (void)sink;
        if (gb > best) best = gb;
    }
    return best;
}

static int run_mutants(check *c, const goss_kern *ref)
{
    int caught = 0, missed = 0;
    c->quiet = 1;
    for (const check_mutant *m = check_mutants; m->name; m++) {
        goss_kern k;
        goss_level_kernels(&k, 0);
        m->install(&k);
        for (const check_test *t = check_tests; t->name; t++) {
            if (strcmp(t->name, m->test)) continue;
            check_begin(c, "bad", t, ref, &k);
            run_guarded(c, t);
            if (c->failed) caught++;
            else {
                missed++;
                printf("  mutant %s passed %s: the checker is blind to it\n", m->name, m->test);
            }
        }
    }
    c->quiet = 0;
    printf("check mutants    %d caught, %d missed\n", caught, missed);
    return missed;
}

typedef struct options {
    const char *level, *test, *gpu_mask;
    int bench, gpu, full, rest;
    uint64_t seed;
} options;

static int parse(options *o, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *v = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(argv[i], "--bench")) o->bench = 1;
        else if (!strcmp(argv[i], "--gpu")) o->gpu = 1;
        else if (!strcmp(argv[i], "--full")) o->full = 1;
        else if (!strcmp(argv[i], "--rest")) o->rest = 1;
        else if (v && !strcmp(argv[i], "--gpu-mask")) o->gpu_mask = argv[++i];
        else if (!strcmp(argv[i], "--list")) {
            for (const check_test *t = check_tests; t->name; t++) printf("%s\n", t->name);
            exit(0);
        } else if (v && !strcmp(argv[i], "--level")) o->level = argv[++i];
        else if (v && !strcmp(argv[i], "--test")) o->test = argv[++i];
        else if (v && !strcmp(argv[i], "--seed")) { o->seed = strtoull(v, NULL, 0); i++; }
        else {
            fprintf(stderr,
                    "usage: gossamer-check [--level NAME] [--test NAME] [--seed N] [--bench] [--list]\n"
                    "       gossamer-check --gpu [--full | --rest] [--level default|adapter] [--test NAME] "
                    "[--seed N] [--gpu-mask LIST]\n");
            return 2;
        }
    }
    return 0;
}

static int run_all(const options *o, check *c, const goss_kern *ref)
{
    const unsigned have = goss_os_cpu_features();
    unsigned need;
    int failed = 0, ran = 0;
    const char *name;
    for (int i = 0; (name = goss_level_get(i, &need)); i++) {
        goss_kern k;
        if (!wanted(o->level, name)) continue;
        if ((have & need) != need) { printf("check %-10s skipped: this machine lacks it\n", name); continue; }
        goss_level_kernels(&k, need);
        ran++;
        failed += run_level(c, name, ref, &k, o->test);
        if (!o->bench || failed) continue;
        if (!(c->roof > 0)) { c->roof = read_roof(); printf("  one thread reads %.1f GB/s\n", c->roof); }
        bench_level(c, name, ref, &k, o->test);
    }
    if (o->level && !ran && strcmp(o->level, "bad")) {
        fprintf(stderr, "gossamer-check: no level %s on this machine\n", o->level);
        return 2;
    }
    if (!o->test && !o->bench && (!o->level || !strcmp(o->level, "bad"))) failed += run_mutants(c, ref);
    return failed ? 1 : 0;
}

int main(int argc, char **argv)
{
    options o = { .seed = (uint64_t)time(NULL) * 2654435761u % 1000000007u };
    const int rc = parse(&o, argc, argv);
    if (rc) return rc;
    struct sigaction a = { .sa_handler = on_signal, .sa_flags = SA_NODEFER };
    const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE };
    for (int i = 0; i < 4; i++) sigaction(signals[i], &a, NULL);
    static check c;
    goss_kern ref;
    goss_kern_init_ref(&ref);
    c.seed = o.seed;
    printf("gossamer-check --seed %llu\n", (unsigned long long)o.seed);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (o.gpu) {
        const check_gpu_options g = { o.level, o.test, o.gpu_mask, o.full, o.rest, o.seed };
        return check_gpu_main(&g);
    }
    return run_all(&o, &c, &ref);
}
