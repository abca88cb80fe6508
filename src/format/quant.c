/* quant.c - geometry and exact meaning of the tensor types: the definition that every faster kernel is tested
 * against.
 *
 * All products here are exact in f32 (an f16 scale has 11 bits, block scales at most 8, quants at most 8), so
 * the only rounding is the one addition of types with a minimum: what comes out does not depend on the order
 * of evaluation. Every type is a function over one block; rows of a tensor are whole blocks without padding.
 * Blocks are read byte by byte, since rows of MXFP4 or Q6_K have odd sizes and alignment. */
#include "quant.h"
#include <gossamer.h>
#include <math.h>
#include <string.h>

/* ---- geometry ------------------------------------------------------------------------------------ */
static const goss_type_info types[] = {
    { GOSS_F32, "F32", 1, 4, 1 },
    { GOSS_F16, "F16", 1, 2, 1 },
    { GOSS_Q4_0, "Q4_0", 32, 18, 1 },
    { GOSS_Q4_1, "Q4_1", 32, 20, 1 },
    { GOSS_Q5_0, "Q5_0", 32, 22, 1 },
    { GOSS_Q5_1, "Q5_1", 32, 24, 1 },
    { GOSS_Q8_0, "Q8_0", 32, 34, 1 },
    { GOSS_Q8_1, "Q8_1", 32, 36, 0 },
    { GOSS_Q2_K, "Q2_K", 256, 84, 1 },
    { GOSS_Q3_K, "Q3_K", 256, 110, 1 },
    { GOSS_Q4_K, "Q4_K", 256, 144, 1 },
    { GOSS_Q5_K, "Q5_K", 256, 176, 1 },
    { GOSS_Q6_K, "Q6_K", 256, 210, 1 },
    { GOSS_Q8_K, "Q8_K", 256, 292, 0 },
    { GOSS_IQ2_XXS, "IQ2_XXS", 256, 66, 0 },
    { GOSS_IQ2_XS, "IQ2_XS", 256, 74, 0 },
    { GOSS_IQ3_XXS, "IQ3_XXS", 256, 98, 0 },
    { GOSS_IQ1_S, "IQ1_S", 256, 50, 0 },
    { GOSS_IQ4_NL, "IQ4_NL", 32, 18, 1 },
    { GOSS_IQ3_S, "IQ3_S", 256, 110, 0 },
    { GOSS_IQ2_S, "IQ2_S", 256, 82, 0 },
    { GOSS_IQ4_XS, "IQ4_XS", 256, 136, 0 },
    { GOSS_I8, "I8", 1, 1, 0 },
    { GOSS_I16, "I16", 1, 2, 0 },
    { GOSS_I32, "I32", 1, 4, 0 },
    { GOSS_I64, "I64", 1, 8, 0 },
    { GOSS_F64, "F64", 1, 8, 0 },
    { GOSS_IQ1_M, "IQ1_M", 256, 56, 0 },
    { GOSS_BF16, "BF16", 1, 2, 1 },
    { GOSS_TQ1_0, "TQ1_0", 256, 54, 0 },
    { GOSS_TQ2_0, "TQ2_0", 256, 66, 0 },
    { GOSS_MXFP4, "MXFP4", 32, 17, 1 },
    { GOSS_NVFP4, "NVFP4", 64, 36, 0 },
    { GOSS_Q1_0, "Q1_0", 128, 18, 0 },
    { GOSS_Q2_0, "Q2_0", 64, 18, 0 },
};
enum { N_TYPES = sizeof types / sizeof types[0] };

const goss_type_info *goss_type_get(int id)
{
    for (int i = 0; i < N_TYPES; i++)
        if (types[i].id == id)
            return &types[i];
    return NULL;
}

int goss_type_by_name(const char *name)
{
    for (int i = 0; i < N_TYPES; i++)
        if (!strcmp(types[i].name, name))
            return types[i].id;
    return -1;
}

uint64_t goss_type_row_bytes(int id, int64_t n)
{
    const goss_type_info *t = goss_type_get(id);
    uint64_t bytes;
    if (!t || n <= 0 || n % t->block ||
        __builtin_mul_overflow((uint64_t)(n / t->block), (uint64_t)t->bytes, &bytes))
        return 0;
    return bytes;
}

/* ---- half precision ------------------------------------------------------------------------------ */
union bits32 { uint32_t u; float f; };

float goss_f16_to_f32(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16, e = h >> 10 & 31, m = h & 0x3FF;
    if (e == 0) { /* zero or subnormal: m * 2^-24, exact */
        const float v = (float)m * 0x1p-24f;
        return sign ? -v : v;
    }
    const union bits32 v = { sign | (e == 31 ? 0x7F800000 : (e + 112) << 23) | m << 13 };
    return v.f;
}

uint16_t goss_f32_to_f16(float f)
{
    const union bits32 v = { .f = f };
    const uint16_t sign = (uint16_t)(v.u >> 16 & 0x8000);
    const uint32_t a = v.u & 0x7FFFFFFF;
    if (a > 0x7F800000) /* NaN stays NaN, quiet */
        return (uint16_t)(sign | 0x7E00 | (a >> 13 & 0x3FF));
    if (a >= 0x477FF000) /* 65520 and up round to infinity */
        return (uint16_t)(sign | 0x7C00);
    uint32_t m, drop;
    if (a >= 0x38800000) { /* normal: re-bias, drop 13 bits */
        m = a - (112u << 23);
        drop = 13;
    } else { /* subnormal: the whole significand in units of 2^-24 */
        const uint32_t e = a >> 23;
        if (e < 102) /* below 2^-25: zero */
            return sign;
        m = (a & 0x7FFFFF) | 0x800000;
        drop = 126 - e;
    }
    const uint32_t half = 1u << (drop - 1), rest = m & ((1u << drop) - 1);
    m >>= drop;
    m += rest > half || (rest == half && (m & 1));
    return (uint16_t)(sign | m);
}

uint16_t goss_f32_to_bf16(float f)
{
    const union bits32 v = { .f = f };
    if ((v.u & 0x7FFFFFFF) > 0x7F800000)
        return (uint16_t)(v.u >> 16 | 0x40);
    return (uint16_t)((v.u + 0x7FFF + (v.u >> 16 & 1)) >> 16);
}

static uint16_t load16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
static uint32_t load32(const uint8_t *p) { return load16(p) | (uint32_t)load16(p + 2) << 16; }
static float loadh(const uint8_t *p) { return goss_f16_to_f32(load16(p)); }

static void store16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

/* ---- one block to floats ------------------------------------------------------------------------- */
static const int8_t iq4_values[16] = { -127, -104, -83, -65, -49, -35, -22, -10,
                                       1,    13,   25,  38,  53,  69,  89,  113 };
/* twice E2M1 */
static const int8_t mxfp4_values[16] = { 0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12 };

static void f32_block(const uint8_t *b, float *y)
{
    const union bits32 v = { load32(b) };
    y[0] = v.f;
}

static void f16_block(const uint8_t *b, float *y) { y[0] = loadh(b); }
static void bf16_block(const uint8_t *b, float *y) { y[0] = goss_bf16_to_f32(load16(b)); }

static void q4_0_block(const uint8_t *b, float *y)
{
    const float d = loadh(b);
    for (int j = 0; j < 16; j++) {
        y[j] = (float)((b[2 + j] & 15) - 8) * d;
        y[j + 16] = (float)((b[2 + j] >> 4) - 8) * d;
    }
}

static void q4_1_block(const uint8_t *b, float *y)
{
    const float d = loadh(b), m = loadh(b + 2);
    for (int j = 0; j < 16; j++) {
        y[j] = (float)(b[4 + j] & 15) * d + m;
        y[j + 16] = (float)(b[4 + j] >> 4) * d + m;
    }
}

/* Quant j of a five-bit block: four bits in qs, the fifth in bit j of the word qh. */
static int five_bits(const uint8_t *qs, uint32_t qh, int j)
{
    const int low = j < 16 ? qs[j] & 15 : qs[j - 16] >> 4;
    return low | (int)(qh >> j & 1) << 4;
}

static void q5_0_block(const uint8_t *b, float *y)
{
    const float d = loadh(b);
    for (int j = 0; j < 32; j++)
        y[j] = (float)(five_bits(b + 6, load32(b + 2), j) - 16) * d;
}

static void q5_1_block(const uint8_t *b, float *y)
{
    const float d = loadh(b), m = loadh(b + 2);
    for (int j = 0; j < 32; j++)
        y[j] = (float)five_bits(b + 8, load32(b + 4), j) * d + m;
}

static void q8_0_block(const uint8_t *b, float *y)
{
    const float d = loadh(b);
    for (int j = 0; j < 32; j++)
        y[j] = (float)(int8_t)b[2 + j] * d;
}

static void iq4_nl_block(const uint8_t *b, float *y)
{
    const float d = loadh(b);
    for (int j = 0; j < 16; j++) {
        y[j] = d * (float)iq4_values[b[2 + j] & 15];
        y[j + 16] = d * (float)iq4_values[b[2 + j] >> 4];
    }
}

static void iq4_xs_block(const uint8_t *b, float *y)
{
    const float d = loadh(b);
    const unsigned high = load16(b + 2);
    for (int i = 0; i < 8; i++) {
        const int scale = (b[4 + i / 2] >> 4 * (i % 2) & 15) | (int)(high >> 2 * i & 3) << 4;
        const float ds = d * (float)(scale - 32);
        for (int j = 0; j < 16; j++) {
            const uint8_t q = b[8 + 16 * i + j];
            y[32 * i + j] = ds * (float)iq4_values[q & 15];
            y[32 * i + j + 16] = ds * (float)iq4_values[q >> 4];
        }
    }
}

/* The scale of a block with exponent e: 2^(e - 128), half of the MX format's because the table is doubled. */
static float mxfp4_scale(uint8_t e)
{
    const union bits32 v = { e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23 };
    return v.f;
}

static void mxfp4_block(const uint8_t *b, float *y)
{
    const float d = mxfp4_scale(b[0]);
    for (int j = 0; j < 16; j++) {
        y[j] = d * (float)mxfp4_values[b[1 + j] & 15];
        y[j + 16] = d * (float)mxfp4_values[b[1 + j] >> 4];
    }
}

/* Q2_K and Q3_K: two halves, four bit pairs of the same 32 bytes, two groups of 16, each with its scale. */
static void q2_k_block(const uint8_t *b, float *y)
{
    const uint8_t *scales = b, *qs = b + 16;
    const float d = loadh(b + 80), dmin = loadh(b + 82);
    for (int g = 0; g < 16; g++) {
        const uint8_t *q = qs + g / 8 * 32 + g % 2 * 16;
        const int shift = g % 8 / 2 * 2;
        const float ds = d * (float)(scales[g] & 15), ms = dmin * (float)(scales[g] >> 4);
        for (int j = 0; j < 16; j++)
            y[16 * g + j] = ds * (float)(q[j] >> shift & 3) - ms;
    }
}

/* Scale g of Q3_K: its low four bits lie in bytes 0..7 (low nibbles, then high), its top two in bytes
 * 8..11. */
static int q3_k_scale(const uint8_t *s, int g)
{
    const int low = g < 8 ? s[g] & 15 : s[g - 8] >> 4, high = s[8 + g % 4] >> 2 * (g / 4) & 3;
    return (low | high << 4) - 32;
}

static void q3_k_block(const uint8_t *b, float *y)
{
    const uint8_t *hmask = b, *qs = b + 32;
    const float d = loadh(b + 108);
    for (int g = 0; g < 16; g++) {
        const uint8_t *q = qs + g / 8 * 32 + g % 2 * 16, *h = hmask + g % 2 * 16;
        const int shift = g % 8 / 2 * 2, bit = g / 2;
        const float ds = d * (float)q3_k_scale(b + 96, g);
        for (int j = 0; j < 16; j++)
            y[16 * g + j] = ds * (float)((q[j] >> shift & 3) - (h[j] >> bit & 1 ? 0 : 4));
    }
}

/* The six-bit scale and minimum of group j of Q4_K and Q5_K, packed in 12 bytes. */
static void k_scale(const uint8_t *s, int j, int *scale, int *min)
{
    *scale = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | s[j - 4] >> 6 << 4;
    *min = j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | s[j] >> 6 << 4;
}

static void q4_k_block(const uint8_t *b, float *y)
{
    const float d = loadh(b), dmin = loadh(b + 2);
    for (int g = 0; g < 8; g++) {
        int scale, min;
        k_scale(b + 4, g, &scale, &min);
        const float ds = d * (float)scale, ms = dmin * (float)min;
        const uint8_t *q = b + 16 + g / 2 * 32;
        for (int j = 0; j < 32; j++)
            y[32 * g + j] = ds * (float)(q[j] >> g % 2 * 4 & 15) - ms;
    }
}

static void q5_k_block(const uint8_t *b, float *y)
{
    const uint8_t *qh = b + 16;
    const float d = loadh(b), dmin = loadh(b + 2);
    for (int g = 0; g < 8; g++) {
        int scale, min;
        k_scale(b + 4, g, &scale, &min);
        const float ds = d * (float)scale, ms = dmin * (float)min;
        const uint8_t *q = b + 48 + g / 2 * 32;
        for (int j = 0; j < 32; j++)
            y[32 * g + j] = ds * (float)((q[j] >> g % 2 * 4 & 15) | (qh[j] >> g & 1) << 4) - ms;
    }
}

static void q6_k_block(const uint8_t *b, float *y)
{
    const float d = loadh(b + 208);
    for (int i = 0; i < 256; i++) {
        /* parts 0, 1: low nibbles; 2, 3: high ones */
        const int half = i / 128, part = i % 128 / 32, l = i % 32;
        const int low = b[64 * half + part % 2 * 32 + l] >> part / 2 * 4 & 15;
        const int high = b[128 + 32 * half + l] >> 2 * part & 3;
        const float ds = d * (float)(int8_t)b[192 + i / 16];
        y[i] = ds * (float)((low | high << 4) - 32);
    }
}

typedef void (*to_float_fn)(const uint8_t *block, float *y);

static to_float_fn to_float_of(int type)
{
    switch (type) {
    case GOSS_F32: return f32_block;
    case GOSS_F16: return f16_block;
    case GOSS_BF16: return bf16_block;
    case GOSS_Q4_0: return q4_0_block;
    case GOSS_Q4_1: return q4_1_block;
    case GOSS_Q5_0: return q5_0_block;
    case GOSS_Q5_1: return q5_1_block;
    case GOSS_Q8_0: return q8_0_block;
    case GOSS_Q2_K: return q2_k_block;
    case GOSS_Q3_K: return q3_k_block;
    case GOSS_Q4_K: return q4_k_block;
    case GOSS_Q5_K: return q5_k_block;
    case GOSS_Q6_K: return q6_k_block;
    case GOSS_IQ4_NL: return iq4_nl_block;
    case GOSS_IQ4_XS: return iq4_xs_block;
    case GOSS_MXFP4: return mxfp4_block;
    default: return NULL;
    }
}

int goss_to_float(int type, const void *blocks, float *dst, int64_t n)
{
    const to_float_fn fn = to_float_of(type);
    const goss_type_info *t = goss_type_get(type);
    if (!fn)
        return GOSS_EUNSUPPORTED;
    const uint8_t *b = blocks;
    for (int64_t i = 0; i < n; i += t->block, b += t->bytes)
        fn(b, dst + i);
    return 0;
}

/* ---- one block from floats ----------------------------------------------------------------------- */
/* floor(v) within 0..most; NaN becomes 0. */
static uint8_t clamp_floor(float v, int most)
{
    if (!(v > 0))
        return 0;
    return (uint8_t)(v >= (float)most ? most : (int)v);
}

static float inverse(float d) { return d != 0 ? 1 / d : 0; }

/* The value of largest size, with its sign. */
static float extreme(const float *x)
{
    float best = 0;
    for (int j = 0; j < 32; j++)
        if (fabsf(x[j]) > fabsf(best))
            best = x[j];
    return best;
}

static void range(const float *x, float *low, float *high)
{
    *low = *high = x[0];
    for (int j = 1; j < 32; j++) {
        *low = x[j] < *low ? x[j] : *low;
        *high = x[j] > *high ? x[j] : *high;
    }
}

static void pack_nibbles(uint8_t *qs, const uint8_t q[32])
{
    for (int j = 0; j < 16; j++)
        qs[j] = (uint8_t)((q[j] & 15) | (q[j + 16] & 15) << 4);
}

static void pack_fifth_bits(uint8_t *qh, const uint8_t q[32])
{
    uint32_t word = 0;
    for (int j = 0; j < 32; j++)
        word |= (uint32_t)(q[j] >> 4 & 1) << j;
    store16(qh, (uint16_t)word);
    store16(qh + 2, (uint16_t)(word >> 16));
}

static void to_f32(const float *x, uint8_t *b)
{
    const union bits32 v = { .f = x[0] };
    store16(b, (uint16_t)v.u);
    store16(b + 2, (uint16_t)(v.u >> 16));
}

static void to_f16(const float *x, uint8_t *b) { store16(b, goss_f32_to_f16(x[0])); }
static void to_bf16(const float *x, uint8_t *b) { store16(b, goss_f32_to_bf16(x[0])); }

/* Q4_0 and Q5_0: the extreme value takes the most negative quant, so one more step is used on its side. */
static float symmetric(const float *x, int zero, uint8_t q[32])
{
    const float d = extreme(x) / (float)-zero, id = inverse(d);
    for (int j = 0; j < 32; j++)
        q[j] = clamp_floor(x[j] * id + (float)zero + 0.5f, 2 * zero - 1);
    return d;
}

static void to_q4_0(const float *x, uint8_t *b)
{
    uint8_t q[32];
    store16(b, goss_f32_to_f16(symmetric(x, 8, q)));
    pack_nibbles(b + 2, q);
}

static void to_q5_0(const float *x, uint8_t *b)
{
    uint8_t q[32];
    store16(b, goss_f32_to_f16(symmetric(x, 16, q)));
    pack_fifth_bits(b + 2, q);
    pack_nibbles(b + 6, q);
}

/* Q4_1 and Q5_1: steps from the minimum. */
static void affine(const float *x, int steps, uint8_t *b, uint8_t q[32])
{
    float low, high;
    range(x, &low, &high);
    const float d = (high - low) / (float)steps, id = inverse(d);
    for (int j = 0; j < 32; j++)
        q[j] = clamp_floor((x[j] - low) * id + 0.5f, steps);
    store16(b, goss_f32_to_f16(d));
    store16(b + 2, goss_f32_to_f16(low));
}

static void to_q4_1(const float *x, uint8_t *b)
{
    uint8_t q[32];
    affine(x, 15, b, q);
    pack_nibbles(b + 4, q);
}

static void to_q5_1(const float *x, uint8_t *b)
{
    uint8_t q[32];
    affine(x, 31, b, q);
    pack_fifth_bits(b + 4, q);
    pack_nibbles(b + 8, q);
}

static void to_q8_0(const float *x, uint8_t *b)
{
    const float d = fabsf(extreme(x)) / 127, id = inverse(d);
    store16(b, goss_f32_to_f16(d));
    for (int j = 0; j < 32; j++) {
        const float v = x[j] * id;
        const uint8_t size = clamp_floor(fabsf(v) + 0.5f, 127);
        b[2 + j] = (uint8_t)(v < 0 ? -(int)size : (int)size);
    }
}

/* The first index of the table whose value is nearest to v. */
static uint8_t nearest(const int8_t table[16], float v)
{
    int best = 0;
    for (int i = 1; i < 16; i++)
        if (fabsf(v - (float)table[i]) < fabsf(v - (float)table[best]))
            best = i;
    return (uint8_t)best;
}

static float error_at(const float *x, float d)
{
    float sum = 0;
    for (int j = 0; j < 32; j++) {
        const float e = x[j] - d * (float)iq4_values[nearest(iq4_values, x[j] * inverse(d))];
        sum += e * e;
    }
    return sum;
}

/* Tries the scales that put the extreme value on one of the table's outer entries, on either side, and keeps
 * the best. */
static void to_iq4_nl(const float *x, uint8_t *b)
{
    static const int8_t targets[] = { -127, -104, 113, 89 };
    const float most = extreme(x);
    float best = most / (float)targets[0];
    for (int i = 1; i < 4 && most != 0; i++)
        if (error_at(x, most / (float)targets[i]) < error_at(x, best))
            best = most / (float)targets[i];
    uint8_t q[32];
    for (int j = 0; j < 32; j++)
        q[j] = nearest(iq4_values, x[j] * inverse(best));
    store16(b, goss_f32_to_f16(best));
    pack_nibbles(b + 2, q);
}

static void to_mxfp4(const float *x, uint8_t *b)
{
    int e = 0;
    const float most = fabsf(extreme(x));
    if (most > 0 && isfinite(most)) {
        frexpf(most, &e); /* floor(log2(most)) = e - 1 */
        e = e - 1 - 2 + 127;
        e = e < 0 ? 0 : e > 254 ? 254 : e;
    }
    b[0] = (uint8_t)e;
    const float d = mxfp4_scale(b[0]);
    uint8_t q[32];
    for (int j = 0; j < 32; j++)
        q[j] = nearest(mxfp4_values, x[j] / d);
    pack_nibbles(b + 1, q);
}

typedef void (*from_float_fn)(const float *x, uint8_t *block);

static from_float_fn from_float_of(int type)
{
    switch (type) {
    case GOSS_F32: return to_f32;
    case GOSS_F16: return to_f16;
    case GOSS_BF16: return to_bf16;
    case GOSS_Q4_0: return to_q4_0;
    case GOSS_Q4_1: return to_q4_1;
    case GOSS_Q5_0: return to_q5_0;
    case GOSS_Q5_1: return to_q5_1;
    case GOSS_Q8_0: return to_q8_0;
    case GOSS_IQ4_NL: return to_iq4_nl;
    case GOSS_MXFP4: return to_mxfp4;
    default: return NULL;
    }
}

int goss_from_float(int type, const float *src, void *blocks, int64_t n)
{
    const from_float_fn fn = from_float_of(type);
    const goss_type_info *t = goss_type_get(type);
    if (!fn)
        return GOSS_EUNSUPPORTED;
    uint8_t *b = blocks;
    for (int64_t i = 0; i < n; i += t->block, b += t->bytes)
        fn(src + i, b);
    return 0;
}
