/* os_macos.c - cores, memory and CPU features of macOS, all by sysctl. Written to the documented interface;
 * it has not been run. */
#include "os.h"
#include <mach/mach.h>
#include <mach-o/dyld.h>
#include <string.h>
#include <sys/sysctl.h>
#include <sys/types.h>

static uint64_t number(const char *name)
{
    uint64_t v = 0; /* the values are 4 or 8 bytes, little-endian */
    size_t n = sizeof v;
    return sysctlbyname(name, &v, &n, NULL, 0) == 0 ? v : 0;
}

/* The performance cores where the machine has two kinds: an even split over unequal cores waits for the slow
 * ones. */
int goss_os_cores(void)
{
    uint64_t n = number("hw.perflevel0.logicalcpu");
    if (n == 0)
        n = number("hw.activecpu");
    return n > 0 ? (int)n : 1;
}

uint64_t goss_os_memory(uint64_t *available)
{
    const uint64_t total = number("hw.memsize");
    vm_statistics64_data_t vm;
    mach_msg_type_number_t n = HOST_VM_INFO64_COUNT;
    if (available) {
        *available = total / 2;
        if (host_statistics64(mach_host_self(), HOST_VM_INFO64, (host_info64_t)&vm, &n) == KERN_SUCCESS)
            *available =
                ((uint64_t)vm.free_count + vm.inactive_count + vm.purgeable_count) * number("hw.pagesize");
    }
    return total;
}

unsigned goss_os_cpu_features(void)
{
    unsigned mask = 0;
    if (number("hw.optional.avx2_0") && number("hw.optional.fma") && number("hw.optional.f16c"))
        mask |= GOSS_CPU_AVX2;
    if ((mask & GOSS_CPU_AVX2) && number("hw.optional.avx512f") && number("hw.optional.avx512bw") &&
        number("hw.optional.avx512vl") && number("hw.optional.avx512dq") && number("hw.optional.avx512vnni"))
        mask |= GOSS_CPU_AVX512VNNI;
    if (number("hw.optional.AdvSIMD") || number("hw.optional.neon"))
        mask |= GOSS_CPU_NEON;
    if ((mask & GOSS_CPU_NEON) && number("hw.optional.arm.FEAT_DotProd"))
        mask |= GOSS_CPU_DOTPROD;
    return mask;
}

void goss_os_program_folder(char *dst, size_t cap)
{
    uint32_t n = (uint32_t)cap;
    char *slash = NULL;
    if (_NSGetExecutablePath(dst, &n) == 0)
        slash = strrchr(dst, '/');
    if (slash)
        *slash = 0;
    else
        dst[0] = '.', dst[1] = 0;
}
