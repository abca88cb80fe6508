/* library.h - where a webgpu.h library may lie: the GPU's device opens the first that is there, doctor names
 * it, a sandbox leaves it readable. */
#ifndef GOSS_BASE_LIBRARY_H
#define GOSS_BASE_LIBRARY_H
#include <stddef.h>

/* The i-th place in the order of looking, from 0 on: only `given` where one was named; else the system's
 * Dawn, by its name; else the pinned package, beside the program or in the current folder. 0: there is none
 * such. */
int goss_library_place(int i, const char *given, char *path, size_t cap);
#endif
