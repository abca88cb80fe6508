/* levels.h - the ladder of kernel levels of this processor family: what a machine gets, and what a mask takes
 * away. */
#ifndef GOSS_CPU_LEVELS_H
#define GOSS_CPU_LEVELS_H
#include "kern.h"

/* The best kernels for a mask of GOSS_CPU_* (base/os.h); 0: portable ones. */
void goss_level_kernels(goss_kern *k, unsigned features);
/* "avx2": the highest level that features reach; "c" */
const char *goss_level_name(unsigned features);
/* Features without those in names ("avx512vnni,amx"; NULL: all stay). A level left out takes those above it
 * along. GOSS_EINVAL for a name that is no level. */
int goss_level_mask(unsigned *features, const char *names);
/* Lowest first: level i's name and the features it needs; NULL past the end. */
const char *goss_level_get(int i, unsigned *features);
#endif
