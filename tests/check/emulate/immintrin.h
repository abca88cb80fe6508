/* immintrin.h - stands in for the compiler's: the AVX-VNNI, AVX-512 and AMX operations that src/cpu uses, in plain loops over the
 * machine's own vectors, so that those levels' arithmetic is tested on machines without them (run_emulated.sh). Each follows the
 * pseudo-code of the instruction's manual page. That the real instructions agree is for gossamer-check on a machine that has them. */
#include_next <immintrin.h>
#ifndef EMULATE_IMMINTRIN_H
#define EMULATE_IMMINTRIN_H
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#pragma GCC diagnostic ignored "-Wpsabi"

/* ---- AVX-VNNI ---- */
static inline __m256i e_dpbusd256(__m256i c, __m256i a, __m256i b)
{
    union { __m256i v; uint8_t u[32]; int8_t s[32]; int32_t i[8]; } x = { a }, y = { b }, r = { c };
    for (int k = 0; k < 32; k++) r.i[k / 4] += (int)x.u[k] * y.s[k];
    return r.v;
}
static inline __m256i e_dpwssd256(__m256i c, __m256i a, __m256i b)
{
    union { __m256i v; int16_t s[16]; int32_t i[8]; } x = { a }, y = { b }, r = { c };
    for (int k = 0; k < 16; k++) r.i[k / 2] += (int)x.s[k] * y.s[k];
    return r.v;
}
#undef _mm256_dpbusd_avx_epi32
#undef _mm256_dpwssd_avx_epi32
#define _mm256_dpbusd_avx_epi32 e_dpbusd256
#define _mm256_dpwssd_avx_epi32 e_dpwssd256

#define KEEP512(v) ((void)0)
typedef struct e512 { union { int8_t b[64]; uint8_t u[64]; int32_t i[16]; float f[16]; __m256i y[2]; }; } e512;
#define __m512 e512
#define __m512i e512
#define E(n, expr) e512 r; for (int k = 0; k < (n); k++) expr; return r
static inline e512 e_zero(void) { e512 r; memset(&r, 0, sizeof r); return r; }
static inline e512 e_load(const void *p) { e512 r; memcpy(&r, p, 64); return r; }
static inline e512 e_set1_ps(float a) { E(16, r.f[k] = a); }
static inline e512 e_set1_epi32(int a) { E(16, r.i[k] = a); }
static inline e512 e_set1_epi8(char a) { E(64, r.b[k] = a); }
static inline e512 e_from256(__m256i a) { e512 r = e_zero(); r.y[0] = a; return r; }
static inline e512 e_insert256(e512 a, __m256i b, int at) { a.y[at] = b; return a; }
static inline e512 e_bcast128(__m128i a) { e512 r; for (int k = 0; k < 4; k++) memcpy(r.b + 16 * k, &a, 16); return r; }
static inline e512 e_blend(unsigned m, e512 a, e512 b) { E(16, r.f[k] = (m >> k) & 1 ? b.f[k] : a.f[k]); }
static inline e512 e_xor(e512 a, e512 b) { E(64, r.b[k] = a.b[k] ^ b.b[k]); }
static inline e512 e_shuffle8(e512 a, e512 i) { E(64, r.b[k] = i.b[k] < 0 ? 0 : a.b[(k & 48) + (i.b[k] & 15)]); }
static inline e512 e_sub(e512 a, e512 b) { E(16, r.i[k] = a.i[k] - b.i[k]); }
static inline e512 e_dpbusd(e512 c, e512 a, e512 b)
{
    for (int k = 0; k < 64; k++) c.i[k / 4] += (int)a.u[k] * b.b[k];
    return c;
}
static inline e512 e_fmadd(e512 a, e512 b, e512 c) { E(16, r.f[k] = __builtin_fmaf(a.f[k], b.f[k], c.f[k])); }
static inline e512 e_mul(e512 a, e512 b) { E(16, r.f[k] = a.f[k] * b.f[k]); }
static inline e512 e_cvt(e512 a) { E(16, r.f[k] = (float)a.i[k]); }
static inline float e_reduce(e512 a)
{
    for (int n = 8; n; n /= 2) for (int k = 0; k < n; k++) a.f[k] += a.f[k + n];
    return a.f[0];
}
static inline void e_mask_store(float *p, unsigned m, e512 a) { for (int k = 0; k < 16; k++) if ((m >> k) & 1) p[k] = a.f[k]; }
static inline void e_store(float *p, e512 a) { memcpy(p, &a, 64); }
static inline uint64_t e_signs(e512 a) { uint64_t m = 0; for (int k = 0; k < 64; k++) m |= (uint64_t)(a.b[k] < 0) << k; return m; }
static inline e512 e_mask_sub8(e512 s, uint64_t m, e512 a, e512 b) { E(64, r.b[k] = (int8_t)((m >> k) & 1 ? a.b[k] - b.b[k] : s.b[k])); }
static inline e512 e_abs8(e512 a) { E(64, r.u[k] = (uint8_t)(a.b[k] < 0 ? -a.b[k] : a.b[k])); }
static inline e512 e_and(e512 a, e512 b) { E(64, r.b[k] = a.b[k] & b.b[k]); }
static inline e512 e_srl16(e512 a, int n) { for (int k = 0; k < 64; k += 2) { uint16_t v; memcpy(&v, a.b + k, 2); v = (uint16_t)(v >> n); memcpy(a.b + k, &v, 2); } return a; }
static inline e512 e_from128(__m128i a) { e512 r; memset(&r, 0x5a, sizeof r); memcpy(&r, &a, 16); return r; }
static inline e512 e_from128f(__m128 a) { e512 r; memset(&r, 0x5a, sizeof r); memcpy(&r, &a, 16); return r; }
static inline e512 e_insert128(e512 a, __m128i b, int at) { memcpy(a.b + 16 * at, &b, 16); return a; }
static inline e512 e_unpack(e512 a, e512 b, int size, int hi)
{
    e512 r;
    for (int l = 0; l < 64; l += 16)
        for (int k = 0; k < 8 / size; k++) {
            memcpy(r.b + l + 2 * k * size, a.b + l + 8 * hi + k * size, (size_t)size);
            memcpy(r.b + l + (2 * k + 1) * size, b.b + l + 8 * hi + k * size, (size_t)size);
        }
    return r;
}
static inline e512 e_lanes(e512 a, e512 b, int at)
{
    e512 r;
    for (int k = 0; k < 4; k++) memcpy(r.b + 16 * k, (k < 2 ? a : b).b + 16 * (at >> 2 * k & 3), 16);
    return r;
}
static inline e512 e_maskz_load(unsigned m, const void *p)
{
    e512 r = e_zero();
    for (int k = 0; k < 8; k++) if (m >> k & 1) memcpy(r.b + 8 * k, (const char *)p + 8 * k, 8);
    return r;
}
static inline __m128 e_maskz_load4(unsigned m, const float *p)
{
    float f[4] = { 0 };
    for (int k = 0; k < 4; k++) if (m >> k & 1) f[k] = p[k];
    return _mm_loadu_ps(f);
}
static inline e512 e_setr(int a, int b, int c, int d, int e, int f, int g, int h, int i, int j, int k, int l, int m, int n, int o, int p)
{
    const int v[16] = { a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p };
    return e_load(v);
}
static inline e512 e_permute(e512 i, e512 a) { E(16, r.f[k] = a.f[i.i[k] & 15]); }
static inline void e_store_i(void *p, e512 a) { memcpy(p, &a, 64); }
static inline e512 e_add(e512 a, e512 b) { E(16, r.f[k] = a.f[k] + b.f[k]); }
static inline e512 e_permute4(e512 a, int at) { E(16, r.f[k] = a.f[(k & 12) + (at >> 2 * (k & 3) & 3)]); }
static inline e512 e_from_half(__m256i a) { E(16, r.f[k] = _cvtsh_ss((unsigned short)((__v16hi)a)[k])); }
static inline __m128 e_first128(e512 a) { return _mm_loadu_ps(a.f); }
#undef _mm512_shuffle_f32x4
#undef _mm512_permute_ps
#undef _mm512_cvtph_ps
#define _mm512_add_ps e_add
#define _mm512_shuffle_f32x4 e_lanes
#define _mm512_permute_ps e_permute4
#define _mm512_cvtph_ps e_from_half
#define _mm512_castps512_ps128 e_first128
#undef _mm512_unpacklo_epi32
#undef _mm512_shuffle_i32x4
#undef _mm512_setr_epi32
#define _mm512_and_si512 e_and
#define _mm512_srli_epi16 e_srl16
#define _mm512_castsi128_si512 e_from128
#define _mm512_castps128_ps512 e_from128f
#undef _mm512_inserti32x4
#define _mm512_inserti32x4 e_insert128
#define _mm512_unpacklo_epi32(a, b) e_unpack(a, b, 4, 0)
#define _mm512_unpackhi_epi32(a, b) e_unpack(a, b, 4, 1)
#define _mm512_unpacklo_epi64(a, b) e_unpack(a, b, 8, 0)
#define _mm512_unpackhi_epi64(a, b) e_unpack(a, b, 8, 1)
#define _mm512_shuffle_i32x4 e_lanes
#define _mm512_maskz_loadu_epi64 e_maskz_load
#define _mm_maskz_loadu_ps e_maskz_load4
#define _mm512_setr_epi32 e_setr
#define _mm512_permutexvar_ps e_permute
#define _mm512_storeu_si512 e_store_i
#define _mm512_setzero_ps e_zero
#define _mm512_setzero_si512 e_zero
#define _mm512_loadu_si512 e_load
#define _mm512_loadu_ps e_load
#define _mm512_load_ps e_load
#define _mm512_storeu_ps e_store
#define _mm512_set1_ps e_set1_ps
#define _mm512_set1_epi32 e_set1_epi32
#define _mm512_set1_epi8 e_set1_epi8
#define _mm512_castsi256_si512 e_from256
#define _mm512_inserti64x4 e_insert256
#define _mm512_broadcast_i32x4 e_bcast128
#define _mm512_mask_blend_ps e_blend
#define _mm512_xor_si512 e_xor
#define _mm512_shuffle_epi8 e_shuffle8
#define _mm512_sub_epi32 e_sub
#define _mm512_dpbusd_epi32 e_dpbusd
#define _mm512_fmadd_ps e_fmadd
#define _mm512_mul_ps e_mul
#define _mm512_cvtepi32_ps e_cvt
#define _mm512_reduce_add_ps e_reduce
#define _mm512_mask_storeu_ps e_mask_store
#define _mm512_movepi8_mask e_signs
#define _mm512_mask_sub_epi8 e_mask_sub8
#define _mm512_abs_epi8 e_abs8

/* ---- tiles: what a wrong shape would do is a crash here, as it is a fault there --------------------------------------------- */
static struct { int on, rows[8], bytes[8]; uint8_t data[8][16][64]; } e_tiles;
static inline void e_must(int ok) { if (!ok) abort(); }
static inline void e_config(const void *p)
{
    const uint8_t *c = p;
    e_must(c[0] == 1);
    e_tiles.on = 1;
    for (int i = 0; i < 8; i++) {
        uint16_t bytes;
        memcpy(&bytes, c + 16 + 2 * i, 2);
        e_tiles.bytes[i] = bytes;
        e_tiles.rows[i] = c[48 + i];
        e_must(bytes <= 64 && c[48 + i] <= 16 && !bytes == !c[48 + i]);
    }
    memset(e_tiles.data, 0, sizeof e_tiles.data);
}
static inline void e_tile_load(int t, const void *p, int64_t stride)
{
    e_must(e_tiles.on && e_tiles.rows[t]);
    memset(e_tiles.data[t], 0, sizeof e_tiles.data[t]);
    for (int r = 0; r < e_tiles.rows[t]; r++) memcpy(e_tiles.data[t][r], (const char *)p + r * stride, (size_t)e_tiles.bytes[t]);
}
static inline void e_tile_store(int t, void *p, int64_t stride)
{
    e_must(e_tiles.on && e_tiles.rows[t]);
    for (int r = 0; r < e_tiles.rows[t]; r++) memcpy((char *)p + r * stride, e_tiles.data[t][r], (size_t)e_tiles.bytes[t]);
}
static inline void e_tile_zero(int t) { e_must(e_tiles.on && e_tiles.rows[t]); memset(e_tiles.data[t], 0, sizeof e_tiles.data[t]); }
static inline void e_tile_dp(int c, int a, int b)
{
    e_must(e_tiles.on && e_tiles.rows[c] == e_tiles.rows[a] && e_tiles.bytes[c] == e_tiles.bytes[b] && e_tiles.bytes[a] / 4 == e_tiles.rows[b]);
    for (int m = 0; m < e_tiles.rows[c]; m++)
        for (int k = 0; k < e_tiles.bytes[a] / 4; k++)
            for (int n = 0; n < e_tiles.bytes[c] / 4; n++) {
                int32_t v;
                memcpy(&v, e_tiles.data[c][m] + 4 * n, 4);
                for (int i = 0; i < 4; i++) v += (int8_t)e_tiles.data[a][m][4 * k + i] * (int8_t)e_tiles.data[b][k][4 * n + i];
                memcpy(e_tiles.data[c][m] + 4 * n, &v, 4);
            }
}
#undef _tile_loadd
#undef _tile_stored
#undef _tile_zero
#undef _tile_dpbssd
#define _tile_loadconfig e_config
#define _tile_release() (e_tiles.on = 0)
#define _tile_loadd e_tile_load
#define _tile_stored e_tile_store
#define _tile_zero e_tile_zero
#define _tile_dpbssd e_tile_dp
#endif
