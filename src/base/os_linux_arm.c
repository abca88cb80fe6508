/* os_linux_arm.c - which of our arm64 levels this machine runs, by the kernel's hardware capabilities. */
#include "os.h"
#include <asm/hwcap.h>
#include <sys/auxv.h>

unsigned goss_os_cpu_features(void)
{
    const unsigned long caps = getauxval(AT_HWCAP);
    unsigned mask = 0;
    if (caps & HWCAP_ASIMD)
        mask |= GOSS_CPU_NEON;
    if (mask && (caps & HWCAP_ASIMDDP))
        mask |= GOSS_CPU_DOTPROD;
    return mask;
}
