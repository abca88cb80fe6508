/* os.h - what differs between systems: os_linux.c, os_macos.c (+ os_posix.c for what they share),
 * os_wasm.c. */
#ifndef GOSS_BASE_OS_H
#define GOSS_BASE_OS_H
#include <gossamer.h>
double goss_os_now_ms(void);                     /* monotonic */
double goss_os_thread_ms(void);                  /* processor time of this thread (wasm: monotonic time) */
int64_t goss_os_unix_time(void);                 /* seconds */
int goss_os_cores(void);
/* where the running program's file lies, "." when unknown */
void goss_os_program_folder(char *dst, size_t cap);
uint64_t goss_os_memory(uint64_t *available);    /* bytes of RAM */
/* Maps a file read-only. Fails with one sentence. The fd stays open with the mapping, so a replaced file
 * keeps its bytes. */
typedef struct goss_mapping { const void *data; uint64_t size; int fd; } goss_mapping;
int goss_os_map(goss_mapping *m, const char *path, goss_error *err);
void goss_os_unmap(goss_mapping *m);
/* Calls back with the name of every regular file of a folder, in no order. 0 or an error. */
int goss_os_list(const char *folder, void (*fn)(void *ctx, const char *name), void *ctx, goss_error *err);
/* CPU features by asking the machine (and the kernel, for AMX): a mask of GOSS_CPU_* of src/cpu/kern.h
 * order. */
enum {
    GOSS_CPU_AVX2 = 1, GOSS_CPU_AVX512VNNI = 2, GOSS_CPU_AMX = 4, GOSS_CPU_NEON = 8, GOSS_CPU_DOTPROD = 16,
    GOSS_CPU_SIMD128 = 32, GOSS_CPU_RELAXED = 64, GOSS_CPU_AVXVNNI = 128
};
unsigned goss_os_cpu_features(void);

/* Sends what other libraries write to standard error nowhere, until goss_os_speak(what goss_os_hush()
 * gave). */
int goss_os_hush(void);
void goss_os_speak(int hushed);

/* For mem.c alone. Zeroed bytes aligned for any type, or NULL. */
void *goss_os_heap_get(size_t n);
void goss_os_heap_put(void *p);
/* Zero pages that cost nothing until touched (where the system can), or NULL; n as it was asked for. */
void *goss_os_reserve(size_t n);
void goss_os_release(void *p, size_t n);
#endif
