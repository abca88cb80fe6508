/* body_quant.h - what a block of 32 weights is, for every quantised type, in the words of simd_*.h.
 *
 * A block is 32 int8 values q with scales s (lanes 0-3 for its first 16 elements, 4-7 for the others) and,
 * for types with minima, m0 and m1 for the two halves: w = s * q + m. K-quants are read as eight such blocks
 * a super-block. Exact: every q fits int8, every s and m is the float product that docs/reference.md 7 defines. */
#ifndef GOSS_CPU_BODY_QUANT_H
#define GOSS_CPU_BODY_QUANT_H
#include "kern.h"

typedef struct blk { b32 q; f8 s; float m0, m1; } blk;
typedef blk unpack_fn(const uint8_t *row, int b);

ALWAYS uint32_t bits32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }
ALWAYS blk blk_signed(b32 q, f8 s) { return (blk){ q, s, 0.0f, 0.0f }; }

ALWAYS blk unpack_mxfp4(const uint8_t *row, int b)
{
    const uint8_t *p = row + b * 17;
    return blk_signed(b32_lut(goss_mxfp4_values, b32_nibbles(p + 1)), f8_set1_bits(goss_mxfp4_scale[p[0]]));
}
ALWAYS blk unpack_iq4_nl(const uint8_t *row, int b)
{
    const uint8_t *p = row + b * 18;
    return blk_signed(b32_lut(goss_iq4_nl_values, b32_nibbles(p + 2)), f8_set1_f16(p));
}
ALWAYS blk unpack_q8_0(const uint8_t *row, int b)
{
    const uint8_t *p = row + b * 34;
    return blk_signed(b32_load(p + 2), f8_set1_f16(p));
}
ALWAYS blk unpack_q4_0(const uint8_t *row, int b)
{
    const uint8_t *p = row + b * 18;
    return blk_signed(b32_sub(b32_nibbles(p + 2), b32_set1(8)), f8_set1_f16(p));
}
ALWAYS blk unpack_q5_0(const uint8_t *row, int b)
{
    const uint8_t *p = row + b * 22;
    const b32 q = b32_or(b32_nibbles(p + 6), b32_bits(bits32(p + 2), 16));
    return blk_signed(b32_sub(q, b32_set1(16)), f8_set1_f16(p));
}
ALWAYS blk blk_min(b32 q, f8 s, float m) { return (blk){ q, s, m, m }; }
ALWAYS blk unpack_q4_1(const uint8_t *row, int b)
{
    const uint8_t *p = row + b * 20;
    return blk_min(b32_nibbles(p + 4), f8_set1_f16(p), f16_value(p + 2));
}
ALWAYS blk unpack_q5_1(const uint8_t *row, int b)
{
    const uint8_t *p = row + b * 24;
    return blk_min(b32_or(b32_nibbles(p + 8), b32_bits(bits32(p + 4), 16)), f8_set1_f16(p), f16_value(p + 2));
}

/* Six-bit scale and minimum j of Q4_K and Q5_K. */
ALWAYS void k4_scale(const uint8_t *b, int j, int *sc, int *mn)
{
    *sc = j < 4 ? b[j] & 63 : (b[j + 4] & 15) | (b[j - 4] >> 6) << 4;
    *mn = j < 4 ? b[j + 4] & 63 : b[j + 4] >> 4 | (b[j] >> 6) << 4;
}
ALWAYS blk unpack_q4_k(const uint8_t *row, int b)
{
    const uint8_t *p = row + (b >> 3) * 144;
    const int i = b & 7;
    int sc, mn;
    k4_scale(p + 4, i, &sc, &mn);
    const b32 q = b32_shr(b32_load(p + 16 + (i >> 1) * 32), (i & 1) * 4, 15);
    return blk_min(q, f8_set1(f16_value(p) * (float)sc), -(f16_value(p + 2) * (float)mn));
}
ALWAYS blk unpack_q5_k(const uint8_t *row, int b)
{
    const uint8_t *p = row + (b >> 3) * 176;
    const int i = b & 7;
    int sc, mn;
    k4_scale(p + 4, i, &sc, &mn);
    const b32 hi = b32_shl(b32_shr(b32_load(p + 16), i, 1), 4, 16);
    const b32 q = b32_or(b32_shr(b32_load(p + 48 + (i >> 1) * 32), (i & 1) * 4, 15), hi);
    return blk_min(q, f8_set1(f16_value(p) * (float)sc), -(f16_value(p + 2) * (float)mn));
}
ALWAYS blk unpack_q6_k(const uint8_t *row, int b)
{
    const uint8_t *p = row + (b >> 3) * 210;
    const int half = (b & 7) >> 2, part = b & 3;
    const int8_t *sc = (const int8_t *)p + 192 + half * 8 + part * 2;
    const float d = f16_value(p + 208);
    const b32 lo = b32_shr(b32_load(p + half * 64 + (part & 1) * 32), (part >> 1) * 4, 15);
    const b32 hi = b32_shl(b32_shr(b32_load(p + 128 + half * 32), part * 2, 3), 4, 48);
    return blk_signed(b32_sub(b32_or(lo, hi), b32_set1(32)), f8_halves(d * (float)sc[0], d * (float)sc[1]));
}
ALWAYS blk unpack_q2_k(const uint8_t *row, int b)
{
    const uint8_t *p = row + (b >> 3) * 84;
    const int i = b & 7, s0 = p[2 * i], s1 = p[2 * i + 1];
    const float d = f16_value(p + 80), dm = f16_value(p + 82);
    const b32 q = b32_shr(b32_load(p + 16 + (i >> 2) * 32), (i & 3) * 2, 3);
    return (blk){ q, f8_halves(d * (float)(s0 & 15), d * (float)(s1 & 15)), -(dm * (float)(s0 >> 4)),
                  -(dm * (float)(s1 >> 4)) };
}
/* Scale j of 16: four low bits from bytes 0-7, two high ones from bytes 8-11. */
ALWAYS float k3_scale(const uint8_t *b, int j, float d)
{
    const int lo = j < 8 ? b[j] & 15 : b[j - 8] >> 4, hi = b[8 + (j & 3)] >> (j >> 2) * 2 & 3;
    return d * (float)((lo | hi << 4) - 32);
}
ALWAYS blk unpack_q3_k(const uint8_t *row, int b)
{
    const uint8_t *p = row + (b >> 3) * 110;
    const int i = b & 7;
    const float d = f16_value(p + 108);
    const b32 hi = b32_shl(b32_shr(b32_load(p), i, 1), 2, 4);
    const b32 q = b32_or(b32_shr(b32_load(p + 32 + (i >> 2) * 32), (i & 3) * 2, 3), hi);
    return blk_signed(b32_sub(q, b32_set1(4)), f8_halves(k3_scale(p + 96, 2 * i, d), k3_scale(p + 96, 2 * i + 1, d)));
}

/* type, minima (0 none, 1 one a block, 2 one a half), scales a block, bias that makes it 0..31 (-1: it does
 * not fit) */
#define QUANT_TYPES(X) \
    X(q4_0, 0, 1, 8) X(q4_1, 1, 1, 0) X(q5_0, 0, 1, 16) X(q5_1, 1, 1, 0) X(q8_0, 0, 1, -1) X(q2_k, 2, 2, 0) \
    X(q3_k, 0, 2, 4) X(q4_k, 1, 1, 0) X(q5_k, 1, 1, 0) X(q6_k, 0, 2, -1) X(iq4_nl, 0, 1, -1) X(mxfp4, 0, 1, 12)
#endif
