/* kern.c - kernels by weight type, and the tables that all levels share. */
#include "kern.h"

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
const int8_t goss_iq4_nl_values[16] = { -127, -104, -83, -65, -49, -35, -22, -10,
                                        1,    13,   25,  38,  53,  69,  89,  113 };
