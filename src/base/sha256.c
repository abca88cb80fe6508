/* sha256.c - SHA-256 as FIPS 180-4 gives it. */
#include "sha256.h"
#include <string.h>

static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotr(uint32_t x, int k) { return x >> k | x << (32 - k); }

static uint32_t load_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* One round on the eight state words in the order a..h; the caller passes them rotated, so that nothing is
 * moved. */
#define ROUND(a, b, c, d, e, f, g, h, kw)                                                                  \
    do {                                                                                                   \
        const uint32_t t1_ = h + (rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25)) + (g ^ (e & (f ^ g))) + (kw);    \
        d += t1_;                                                                                          \
        h = t1_ + (rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22)) + ((a & b) | (c & (a | b)));                    \
    } while (0)

/* The next word of the message schedule, in place in a ring of 16. */
static inline uint32_t schedule(uint32_t w[16], int i)
{
    const uint32_t x = w[(i + 1) & 15], y = w[(i + 14) & 15];
    w[i & 15] +=
        (rotr(x, 7) ^ rotr(x, 18) ^ x >> 3) + w[(i + 9) & 15] + (rotr(y, 17) ^ rotr(y, 19) ^ y >> 10);
    return w[i & 15];
}

/* Rounds r to r + 7; `word` gives message word i. */
#define EIGHT(r, word)                                                                                     \
    ROUND(a, b, c, d, e, f, g, h, K[r] + word(r));                                                         \
    ROUND(h, a, b, c, d, e, f, g, K[r + 1] + word(r + 1));                                                 \
    ROUND(g, h, a, b, c, d, e, f, K[r + 2] + word(r + 2));                                                 \
    ROUND(f, g, h, a, b, c, d, e, K[r + 3] + word(r + 3));                                                 \
    ROUND(e, f, g, h, a, b, c, d, K[r + 4] + word(r + 4));                                                 \
    ROUND(d, e, f, g, h, a, b, c, K[r + 5] + word(r + 5));                                                 \
    ROUND(c, d, e, f, g, h, a, b, K[r + 6] + word(r + 6));                                                 \
    ROUND(b, c, d, e, f, g, h, a, K[r + 7] + word(r + 7))

static void compress(uint32_t s[8], const uint8_t *block)
{
    uint32_t w[16], a = s[0], b = s[1], c = s[2], d = s[3], e = s[4], f = s[5], g = s[6], h = s[7];
    for (int i = 0; i < 16; i++)
        w[i] = load_be32(block + 4 * i);
#define FIRST(i) w[i]
#define LATER(i) schedule(w, i)
    EIGHT(0, FIRST);
    EIGHT(8, FIRST);
    for (int r = 16; r < 64; r += 16) {
        EIGHT(r, LATER);
        EIGHT(r + 8, LATER);
    }
#undef FIRST
#undef LATER
    s[0] += a; s[1] += b; s[2] += c; s[3] += d;
    s[4] += e; s[5] += f; s[6] += g; s[7] += h;
}

void goss_sha256_init(goss_sha256 *s)
{
    *s = (goss_sha256){ .h = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c,
                               0x1f83d9ab, 0x5be0cd19 } };
}

void goss_sha256_update(goss_sha256 *s, const void *data, size_t n)
{
    const uint8_t *p = data;
    const size_t have = (size_t)(s->n % 64);
    s->n += n;
    if (have > 0) {
        const size_t take = n < 64 - have ? n : 64 - have;
        memcpy(s->block + have, p, take);
        p += take;
        n -= take;
        if (have + take < 64)
            return;
        compress(s->h, s->block);
    }
    for (; n >= 64; n -= 64, p += 64)
        compress(s->h, p);
    if (n > 0)
        memcpy(s->block, p, n);
}

void goss_sha256_final(goss_sha256 *s, uint8_t out[32])
{
    const uint64_t bits = s->n * 8;
    uint8_t tail[72] = { 0x80 };
    const size_t pad = 64 - (size_t)((s->n + 8) % 64); /* 1..64: the 0x80 and zeros up to the length */
    for (int i = 0; i < 8; i++)
        tail[pad + (size_t)i] = (uint8_t)(bits >> (56 - 8 * i));
    goss_sha256_update(s, tail, pad + 8);
    for (int i = 0; i < 32; i++)
        out[i] = (uint8_t)(s->h[i / 4] >> (24 - 8 * (i % 4)));
}

void goss_sha256_hex(const uint8_t digest[32], char out[65])
{
    for (int i = 0; i < 32; i++) {
        out[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    out[64] = 0;
}
