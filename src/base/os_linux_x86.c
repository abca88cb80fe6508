/* os_linux_x86.c - which of our x86 levels this machine runs. CPUID says what the silicon has, XGETBV what
 * the kernel saves on a task switch; both must agree. The AMX tiles must also be asked for (arch_prctl, per
 * process), and the answer is then tried: machines exist where CPUID shows AMX and the first tile instruction
 * is illegal all the same. */
#define _GNU_SOURCE
#include "os.h"
#include <cpuid.h>
#include <immintrin.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ARCH_REQ_XCOMP_PERM_ = 0x1023, XFEATURE_XTILEDATA_ = 18 };

struct regs { unsigned a, b, c, d; };

static struct regs cpuid(unsigned leaf, unsigned sub)
{
    struct regs r = { 0, 0, 0, 0 };
    __get_cpuid_count(leaf, sub, &r.a, &r.b, &r.c, &r.d);
    return r;
}

static __attribute__((target("xsave"))) uint64_t saved_state(void) { return _xgetbv(0); }

static int has(unsigned reg, unsigned mask) { return (reg & mask) == mask; }

/* A tile configuration with one 16-byte row in tile 0 (palette 1). gcc's _tile_loadconfig claims to read 8
 * bytes of it; the other 56 would be left out as dead stores. */
static __attribute__((target("amx-tile"))) void use_a_tile(void)
{
    const struct { unsigned char bytes[64]; } config = { { [0] = 1, [16] = 16, [48] = 1 } };
    __asm__ volatile("" : : "m"(config));
    _tile_loadconfig(&config);
    _tile_zero(0);
    _tile_release();
}

static sigjmp_buf after_trap;
static void on_trap(int sig) { (void)sig; siglongjmp(after_trap, 1); }

static int tiles_work(void)
{
    if (syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM_, XFEATURE_XTILEDATA_) != 0)
        return 0;
    struct sigaction mine = { .sa_handler = on_trap }, old_ill, old_segv;
    volatile int ok = 0;
    sigaction(SIGILL, &mine, &old_ill);
    sigaction(SIGSEGV, &mine, &old_segv);
    if (sigsetjmp(after_trap, 1) == 0) {
        use_a_tile();
        ok = 1;
    }
    sigaction(SIGILL, &old_ill, NULL);
    sigaction(SIGSEGV, &old_segv, NULL);
    return ok;
}

static unsigned ask(void)
{
    enum { FMA = 1 << 12, OSXSAVE = 1 << 27, AVX = 1 << 28, F16C = 1 << 29 };
    enum { YMM = 0x6, ZMM = 0xE6, TILES = 0x60000 };
    const struct regs one = cpuid(1, 0), seven = cpuid(7, 0);
    if (!has(one.c, (unsigned)(FMA | OSXSAVE | AVX | F16C)) ||
        !has(seven.b, 1u << 5 /* AVX2 */ | 1u << 8 /* BMI2 */))
        return 0;
    const uint64_t saved = saved_state();
    if ((saved & YMM) != YMM)
        return 0;
    const unsigned avx2 = GOSS_CPU_AVX2 | (cpuid(7, 1).a & 1u << 4 ? GOSS_CPU_AVXVNNI : 0);
    const unsigned avx512 = 1u << 16 /* F */ | 1u << 17 /* DQ */ | 1u << 30 /* BW */ | 1u << 31 /* VL */;
    if ((saved & ZMM) != ZMM || !has(seven.b, avx512) || !has(seven.c, 1u << 11 /* VNNI */))
        return avx2;
    if ((saved & TILES) != TILES || !has(seven.d, 1u << 24 /* AMX-TILE */ | 1u << 25 /* AMX-INT8 */) ||
        !tiles_work())
        return avx2 | GOSS_CPU_AVX512VNNI;
    return avx2 | GOSS_CPU_AVX512VNNI | GOSS_CPU_AMX;
}

unsigned goss_os_cpu_features(void)
{
    const unsigned asked = 1u << 31;
    static _Atomic unsigned known;
    unsigned mask = atomic_load(&known);
    if (!mask) {
        mask = ask() | asked;
        atomic_store(&known, mask);
    }
    return mask & ~asked;
}
