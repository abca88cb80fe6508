/* features.c - every level of x86-64, for run_emulated.sh. */
#include "base/os.h"
unsigned goss_os_cpu_features(void) { return GOSS_CPU_AVX2 | GOSS_CPU_AVXVNNI | GOSS_CPU_AVX512VNNI | GOSS_CPU_AMX; }
