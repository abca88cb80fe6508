/* kern.c - the ladder: which level of kernels a machine gets, and look-ups by weight type.
 *
 * A level stands on all lower ones: its init overrides entries and leaves the rest. */
#include "kern.h"
#include "../base/os.h"
#include <string.h>

typedef struct rung { const char *name; unsigned need; void (*init)(goss_kern *k); } rung;
static const rung ladder[] = {
    { "c", 0, goss_kern_init_c },
#if defined(__x86_64__)
    { "avx2", GOSS_CPU_AVX2, goss_kern_init_avx2 },
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
} masks[] = { { "avx2", GOSS_CPU_AVX2 | GOSS_CPU_AVX512VNNI | GOSS_CPU_AMX },
              { "avx512vnni", GOSS_CPU_AVX512VNNI | GOSS_CPU_AMX },
              { "amx", GOSS_CPU_AMX },
              { "neon", GOSS_CPU_NEON | GOSS_CPU_DOTPROD },
              { "dotprod", GOSS_CPU_DOTPROD },
              { "simd128", GOSS_CPU_SIMD128 | GOSS_CPU_RELAXED },
              { "relaxed", GOSS_CPU_RELAXED },
              { "all", ~0u },
              { "none", 0 } };

const char *goss_kern_rung(int i, unsigned *features)
{
    if (i < 0 || i >= N_RUNGS) return NULL;
    if (features) *features = ladder[i].need;
    return ladder[i].name;
}

void goss_kern_init(goss_kern *k, unsigned features)
{
    memset(k, 0, sizeof *k);
    for (int i = 0; i < N_RUNGS; i++)
        if ((features & ladder[i].need) == ladder[i].need) ladder[i].init(k);
}

const char *goss_kern_level(unsigned features)
{
    const char *name = ladder[0].name;
    for (int i = 0; i < N_RUNGS; i++)
        if ((features & ladder[i].need) == ladder[i].need) name = ladder[i].name;
    return name;
}

int goss_kern_mask(unsigned *features, const char *names)
{
    while (names && *names) {
        const size_t n = strcspn(names, ",");
        size_t i = 0;
        while (i < sizeof masks / sizeof *masks && (strlen(masks[i].name) != n || memcmp(masks[i].name, names, n))) i++;
        if (i == sizeof masks / sizeof *masks) return GOSS_EINVAL;
        *features &= ~masks[i].drop;
        names += n + (names[n] == ',');
    }
    return 0;
}

goss_matvec_fn goss_kern_matvec(const goss_kern *k, int type)
{
    switch (type) {
    case GOSS_F32: return k->matvec_f32;
    case GOSS_F16: return k->matvec_f16;
    case GOSS_BF16: return k->matvec_bf16;
    case GOSS_Q4_0: return k->matvec_q4_0;
    case GOSS_Q4_1: return k->matvec_q4_1;
    case GOSS_Q5_0: return k->matvec_q5_0;
    case GOSS_Q5_1: return k->matvec_q5_1;
    case GOSS_Q8_0: return k->matvec_q8_0;
    case GOSS_Q2_K: return k->matvec_q2_k;
    case GOSS_Q3_K: return k->matvec_q3_k;
    case GOSS_Q4_K: return k->matvec_q4_k;
    case GOSS_Q5_K: return k->matvec_q5_k;
    case GOSS_Q6_K: return k->matvec_q6_k;
    case GOSS_IQ4_NL: return k->matvec_iq4_nl;
    case GOSS_MXFP4: return k->matvec_mxfp4;
    default: return NULL;
    }
}

goss_pack_fn goss_kern_pack(const goss_kern *k, int type)
{
    switch (type) {
    case GOSS_Q4_0: return k->pack_q4_0;
    case GOSS_Q4_1: return k->pack_q4_1;
    case GOSS_Q5_0: return k->pack_q5_0;
    case GOSS_Q5_1: return k->pack_q5_1;
    case GOSS_Q8_0: return k->pack_q8_0;
    case GOSS_Q2_K: return k->pack_q2_k;
    case GOSS_Q3_K: return k->pack_q3_k;
    case GOSS_Q4_K: return k->pack_q4_k;
    case GOSS_Q5_K: return k->pack_q5_k;
    case GOSS_Q6_K: return k->pack_q6_k;
    case GOSS_IQ4_NL: return k->pack_iq4_nl;
    case GOSS_MXFP4: return k->pack_mxfp4;
    default: return NULL;
    }
}

/* e = 0 and 1 are subnormal floats; from 2 on the exponent field is e - 1. */
#define E1(e) ((e) < 2 ? 0x00200000u << ((e) & 1u) : ((e) - 1u) << 23)
#define E4(e) E1(e), E1(e + 1u), E1(e + 2u), E1(e + 3u)
#define E16(e) E4(e), E4(e + 4u), E4(e + 8u), E4(e + 12u)
#define E64(e) E16(e), E16(e + 16u), E16(e + 32u), E16(e + 48u)
const uint32_t goss_mxfp4_scale[256] = { E64(0u), E64(64u), E64(128u), E64(192u) };
const int8_t goss_mxfp4_values[16] = { 0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12 };
const int8_t goss_iq4_nl_values[16] = { -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113 };
