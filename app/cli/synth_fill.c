/* synth_fill.c - four xoshiro256++ generators side by side (the compiler keeps them in vector registers)
 * write random bytes; the scales of the blocks are then put over them. Uniform quants are enough: rows of
 * thousands of them sum up normal. */
#include "synth_fill.h"
#include "format/quant.h"
#include <math.h>
#include <string.h>

enum { LANES = 4 };
typedef struct generator { uint64_t s[4][LANES]; } generator;

static uint64_t split_mix(uint64_t *x)
{
    uint64_t z = *x += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static void seed_generator(generator *g, uint64_t seed, uint64_t piece)
{
    uint64_t x = seed * 0xD1342543DE82EF95u + piece;
    for (int i = 0; i < 4; i++)
        for (int lane = 0; lane < LANES; lane++) g->s[i][lane] = split_mix(&x);
}

static void next(generator *g, uint64_t out[LANES])
{
    for (int i = 0; i < LANES; i++) {
        const uint64_t sum = g->s[0][i] + g->s[3][i], t = g->s[1][i] << 17;
        out[i] = (sum << 23 | sum >> 41) + g->s[0][i];
        g->s[2][i] ^= g->s[0][i];
        g->s[3][i] ^= g->s[1][i];
        g->s[1][i] ^= g->s[2][i];
        g->s[0][i] ^= g->s[3][i];
        g->s[2][i] ^= t;
        g->s[3][i] = g->s[3][i] << 45 | g->s[3][i] >> 19;
    }
}

static void random_bytes(generator *g, uint8_t *bytes, size_t n)
{
    uint64_t word[LANES];
    for (; n >= sizeof word; n -= sizeof word, bytes += sizeof word) {
        next(g, word);
        memcpy(bytes, word, sizeof word);
    }
    next(g, word);
    memcpy(bytes, word, n);
}

/* Scales are powers of two: two neighbouring ones in turn, so that the root mean square is met on average. */
static void finish_mxfp4(uint8_t *bytes, size_t n, float rms, int balanced)
{
    if (balanced) /* the upper half of a block (high nibbles) is the lower half with the other sign */
        for (size_t i = 0; i < n; i++) bytes[i] = (uint8_t)((bytes[i] & 15) | ((bytes[i] & 15) ^ 8) << 4);
    const double ideal = log2((double)rms / 2.926); /* root mean square of the sixteen values at scale 1 */
    const int low = (int)floor(ideal),
              share = (int)((exp2(2 * (ideal - low)) - 1) / 3 * 256 + 0.5); /* of blocks with the upper one */
    for (size_t i = 0; i + 17 <= n; i += 17) bytes[i] = (uint8_t)(127 + low + (bytes[i] < share));
}

/* Quants are -127 .. 127 as quantisers make them. */
static void finish_q8_0(uint8_t *bytes, size_t n, float rms)
{
    for (size_t i = 0; i < n; i++) bytes[i] = bytes[i] == 0x80 ? 0x81 : bytes[i];
    for (size_t i = 0; i + 34 <= n; i += 34) {
        const float spread = 0.75f + (float)bytes[i] / 512; /* 0.75 .. 1.25 */
        const uint16_t d = goss_f32_to_f16(rms / 73.3f * spread);
        memcpy(bytes + i, &d, 2);
    }
}

static void finish_f32(uint8_t *bytes, size_t n, float rms)
{
    /* uniform in +-sqrt(3) has a root mean square of 1 */
    const float scale = rms * 1.7320508f / 2147483648.0f;
    for (size_t i = 0; i + 4 <= n; i += 4) {
        int32_t r;
        memcpy(&r, bytes + i, 4);
        const float v = (float)r * scale;
        memcpy(bytes + i, &v, 4);
    }
}

void goss_synth_fill(const goss_synth_rule *r, uint64_t seed, uint64_t piece, void *bytes, size_t n)
{
    generator g;
    if (r->rms == 0) {
        for (size_t i = 0; i + 4 <= n; i += 4) memcpy((uint8_t *)bytes + i, &r->constant, 4);
        return;
    }
    seed_generator(&g, seed, piece);
    random_bytes(&g, bytes, n);
    if (r->type == GOSS_MXFP4) finish_mxfp4(bytes, n, r->rms, r->balanced);
    else if (r->type == GOSS_Q8_0) finish_q8_0(bytes, n, r->rms);
    else finish_f32(bytes, n, r->rms);
}
