/* levels.c - the ladder: which level of kernels a machine gets.
 *
 * A level stands on all lower ones: its init overrides entries and leaves the rest. */
#include "levels.h"
#include "base/os.h"
#include <string.h>

typedef struct rung { const char *name; unsigned need; void (*init)(goss_kern *k); } rung;
static const rung ladder[] = {
    { "c", 0, goss_kern_init_c },
#if defined(__x86_64__)
    { "avx2", GOSS_CPU_AVX2, goss_kern_init_avx2 },
    { "avxvnni", GOSS_CPU_AVX2 | GOSS_CPU_AVXVNNI, goss_kern_init_avxvnni },
    { "avx512vnni", GOSS_CPU_AVX2 | GOSS_CPU_AVX512VNNI, goss_kern_init_avx512vnni },
    { "amx", GOSS_CPU_AVX2 | GOSS_CPU_AVX512VNNI | GOSS_CPU_AMX, goss_kern_init_amx },
#elif defined(__aarch64__)
    { "neon", GOSS_CPU_NEON, goss_kern_init_neon },
    { "dotprod", GOSS_CPU_NEON | GOSS_CPU_DOTPROD, goss_kern_init_dotprod },
#elif defined(__wasm__)
    { "simd128", GOSS_CPU_SIMD128, goss_kern_init_simd128 },
#if GOSS_WASM_FEATURES & 64   /* the module that is loaded where relaxed SIMD validates */
    { "relaxed", GOSS_CPU_SIMD128 | GOSS_CPU_RELAXED, goss_kern_init_relaxed },
#endif
#endif
};
enum { N_RUNGS = sizeof ladder / sizeof *ladder };

/* Names that --cpu-mask knows, whatever the machine. */
static const struct { const char *name; unsigned drop;
} masks[] = { { "avx2", GOSS_CPU_AVX2 | GOSS_CPU_AVXVNNI | GOSS_CPU_AVX512VNNI | GOSS_CPU_AMX },
              { "avxvnni", GOSS_CPU_AVXVNNI | GOSS_CPU_AVX512VNNI | GOSS_CPU_AMX },
              { "avx512vnni", GOSS_CPU_AVX512VNNI | GOSS_CPU_AMX },
              { "amx", GOSS_CPU_AMX },
              { "neon", GOSS_CPU_NEON | GOSS_CPU_DOTPROD },
              { "dotprod", GOSS_CPU_DOTPROD },
              { "simd128", GOSS_CPU_SIMD128 | GOSS_CPU_RELAXED },
              { "relaxed", GOSS_CPU_RELAXED },
              { "all", ~0u },
              { "none", 0 } };

const char *goss_level_get(int i, unsigned *features)
{
    if (i < 0 || i >= N_RUNGS) return NULL;
    if (features) *features = ladder[i].need;
    return ladder[i].name;
}

void goss_level_kernels(goss_kern *k, unsigned features)
{
    memset(k, 0, sizeof *k);
    for (int i = 0; i < N_RUNGS; i++)
        if ((features & ladder[i].need) == ladder[i].need) ladder[i].init(k);
}

const char *goss_level_name(unsigned features)
{
    const char *name = ladder[0].name;
    for (int i = 0; i < N_RUNGS; i++)
        if ((features & ladder[i].need) == ladder[i].need) name = ladder[i].name;
    return name;
}

int goss_level_mask(unsigned *features, const char *names)
{
    while (names && *names) {
        const size_t n = strcspn(names, ",");
        size_t i = 0;
        while (i < sizeof masks / sizeof *masks &&
               (strlen(masks[i].name) != n || memcmp(masks[i].name, names, n)))
            i++;
        if (i == sizeof masks / sizeof *masks) return GOSS_EINVAL;
        *features &= ~masks[i].drop;
        names += n + (names[n] == ',');
    }
    return 0;
}
