/* kquants_avx2.h - AVX2's products of few activation rows (1 to 16) with rows of K-quants straight from the file.
 * Part of close_avx2.h.
 *
 * As in few_avx2.h a lane is a weight row: words of eight rows are transposed in registers, scales of eight rows
 * are unpacked side by side, and a block's products add up in int16 as long as they fit. Groups and blocks are
 * added in order, whatever else runs beside a pair of rows: a row's result is bit-equal in any batch. Rows that
 * are missing at the end are the last one again, and are not stored. */
#ifndef GOSS_CPU_KQUANTS_AVX2_H
#define GOSS_CPU_KQUANTS_AVX2_H
#include "few_avx2.h"

enum { SUPER = 256, MOST = 4 /* activation rows taken at once */ };

/* A block of 32 weights of eight rows: unsigned values, four of a row in each word, and what they mean:
 * w = s (q - bias) - m, one s and m for each of its groups. */
typedef struct eight_block { b32 q[8]; f8 s[2], m[2]; } eight_block;

/* Products of four-element words k..k+3 of a block, in int32; `fit` of them add up in int16. */
ALWAYS w8 dot_half(const b32 *q, const int8_t *x, const int fit)
{
    const m16 a = m16_dot(m16_first(q[0], b32_bcast4(x)), q[1], b32_bcast4(x + 4));
    const m16 b = m16_dot(m16_first(q[2], b32_bcast4(x + 8)), q[3], b32_bcast4(x + 12));
    return fit < 4 ? w8_add(w8_from_m16(a), w8_from_m16(b)) : w8_from_m16(m16_add(a, b));
}

/* Block b to the sums of NM activation rows. groups, fit, bias and min are constants of the type. */
ALWAYS void add_block(f8 *acc, const eight_block *w, const goss_acts *x, int64_t row, int64_t b, const int NM,
                      const int groups, const int fit, const int bias, const int min)
{
    const int64_t nb = x->n / GOSS_BLOCK;
    UNROLL
    for (int j = 0; j < NM; j++) {
        const int8_t *q = x->q + (row + j) * x->n + b * GOSS_BLOCK;
        const int16_t *s = x->s + ((row + j) * nb + b) * 2;
        const float d = x->d[(row + j) * nb + b];
        const w8 lo = dot_half(w->q, q, fit), hi = dot_half(w->q + 4, q + 16, fit);
        if (groups == 1) {
            acc[j] = f8_fma(f8_mul(w->s[0], f8_set1(d)), f8_from_w8(w8_add(lo, hi)), acc[j]);
            if (min) acc[j] = _mm256_fnmadd_ps(w->m[0], f8_set1(d * (float)(s[0] + s[1])), acc[j]);
            continue;
        }
        UNROLL
        for (int g = 0; g < 2; g++) {
            const w8 sum = _mm256_sub_epi32(g ? hi : lo, w8_set1(bias * s[g]));
            acc[j] = f8_fma(f8_mul(w->s[g], f8_set1(d)), f8_from_w8(sum), acc[j]);
            if (min) acc[j] = _mm256_fnmadd_ps(w->m[g], f8_set1(d * (float)s[g]), acc[j]);
        }
    }
}

/* ---- parts of super-blocks, of eight rows ---------------------------------------------------------------- */
ALWAYS void load_words(b32 r[8], const uint8_t *const p[8], int at)
{
    UNROLL8
    for (int i = 0; i < 8; i++) r[i] = b32_load(p[i] + at);
    b32_transpose(r);
}
ALWAYS f8 load_f16(const uint8_t *const p[8], int at)
{
    const uint8_t *h[8];
    UNROLL8
    for (int i = 0; i < 8; i++) h[i] = p[i] + at;
    return scales_f16(h);
}
/* The halves in the low bytes of eight words. */
ALWAYS f8 f8_from_low_f16(w8 v)
{
    const __m256i low = _mm256_packus_epi32(_mm256_and_si256(v, w8_set1(0xffff)), w8_zero());
    return _mm256_cvtph_ps(_mm256_castsi256_si128(_mm256_permute4x64_epi64(low, 0x08)));
}
/* Byte i of each word. */
ALWAYS f8 f8_from_byte(w8 v, int i)
{
    return f8_from_w8(_mm256_and_si256(_mm256_srl_epi32(v, _mm_cvtsi32_si128(8 * i)), w8_set1(255)));
}
ALWAYS f8 f8_from_signed(w8 v, int i)
{
    return f8_from_w8(_mm256_srai_epi32(_mm256_sll_epi32(v, _mm_cvtsi32_si128(24 - 8 * i)), 24));
}

/* Scales and minima of Q4_K and Q5_K: six bits each, eight of both; c: the words of d, dmin and 12 bytes. */
typedef struct k4_scales { f8 d, dm; w8 s[2], m[2]; } k4_scales;
ALWAYS k4_scales load_k4(const uint8_t *const p[8])
{
    w8 c[4];
    load_four(c, p, 0);
    const w8 six = w8_set1(0x3f3f3f3f), four = w8_set1(0x0f0f0f0f), two = w8_set1(0x30303030);
    const w8 s_low = _mm256_and_si256(c[3], four), m_low = _mm256_and_si256(_mm256_srli_epi32(c[3], 4), four),
             s_high = _mm256_and_si256(_mm256_srli_epi32(c[1], 2), two),
             m_high = _mm256_and_si256(_mm256_srli_epi32(c[2], 2), two);
    return (k4_scales){ f8_from_low_f16(c[0]), f8_from_low_f16(_mm256_srli_epi32(c[0], 16)),
                        { _mm256_and_si256(c[1], six), _mm256_or_si256(s_low, s_high) },
                        { _mm256_and_si256(c[2], six), _mm256_or_si256(m_low, m_high) } };
}

/* ---- the types: super-block p of eight rows, its eight blocks to the sums ------------------------------- */
typedef void super_fn(f8 *acc, const uint8_t *const p[8], const goss_acts *x, int64_t row, int64_t b, const int NM);

ALWAYS void super_k4(f8 *acc, const uint8_t *const p[8], const goss_acts *x, int64_t row, int64_t b, const int NM,
                     const int five)
{
    const k4_scales k = load_k4(p);
    b32 h[8];
    if (five) load_words(h, p, 16);
    for (int c = 0; c < 4; c++) {
        b32 r[8];
        load_words(r, p, (five ? 48 : 16) + 32 * c);
        UNROLL
        for (int part = 0; part < 2; part++) {
            const int i = 2 * c + part;
            eight_block w;
            UNROLL8
            for (int t = 0; t < 8; t++) {
                w.q[t] = b32_shr(r[t], 4 * part, 15);
                if (five) w.q[t] = b32_or(w.q[t], _mm256_slli_epi16(b32_shr(h[t], i, 1), 4));
            }
            w.s[0] = f8_mul(k.d, f8_from_byte(k.s[i / 4], i % 4));
            w.m[0] = f8_mul(k.dm, f8_from_byte(k.m[i / 4], i % 4));
            add_block(acc, &w, x, row, b + i, NM, 1, 4, 0, 1);
        }
    }
}
ALWAYS void super_q4_k(f8 *acc, const uint8_t *const p[8], const goss_acts *x, int64_t row, int64_t b, const int NM)
{
    super_k4(acc, p, x, row, b, NM, 0);
}
ALWAYS void super_q5_k(f8 *acc, const uint8_t *const p[8], const goss_acts *x, int64_t row, int64_t b, const int NM)
{
    super_k4(acc, p, x, row, b, NM, 1);
}

ALWAYS void super_q6_k(f8 *acc, const uint8_t *const p[8], const goss_acts *x, int64_t row, int64_t b, const int NM)
{
    const f8 d = load_f16(p, 208);
    w8 s[4];
    load_four(s, p, 192);
    for (int half = 0; half < 2; half++) {
        b32 l[2][8], h[8];
        load_words(l[0], p, 64 * half);
        load_words(l[1], p, 64 * half + 32);
        load_words(h, p, 128 + 32 * half);
        UNROLL
        for (int part = 0; part < 4; part++) {
            eight_block w;
            UNROLL8
            for (int t = 0; t < 8; t++)
                w.q[t] = b32_or(b32_shr(l[part & 1][t], part / 2 * 4, 15),
                                _mm256_slli_epi16(b32_shr(h[t], 2 * part, 3), 4));
            UNROLL
            for (int g = 0; g < 2; g++)
                w.s[g] = f8_mul(d, f8_from_signed(s[2 * half + part / 2], part % 2 * 2 + g));
            add_block(acc, &w, x, row, b + 4 * half + part, NM, 2, 2, 32, 0);
        }
    }
}

ALWAYS void super_q2_k(f8 *acc, const uint8_t *const p[8], const goss_acts *x, int64_t row, int64_t b, const int NM)
{
    const f8 d = load_f16(p, 80), dm = load_f16(p, 82);
    w8 s[4];
    load_four(s, p, 0);
    for (int half = 0; half < 2; half++) {
        b32 r[8];
        load_words(r, p, 16 + 32 * half);
        for (int part = 0; part < 4; part++) {
            eight_block w;
            const w8 both = s[2 * half + part / 2], four = w8_set1(0x0f0f0f0f);
            UNROLL8
            for (int t = 0; t < 8; t++) w.q[t] = b32_shr(r[t], 2 * part, 3);
            UNROLL
            for (int g = 0; g < 2; g++) {
                const int at = part % 2 * 2 + g;
                w.s[g] = f8_mul(d, f8_from_byte(_mm256_and_si256(both, four), at));
                w.m[g] = f8_mul(dm, f8_from_byte(_mm256_and_si256(_mm256_srli_epi32(both, 4), four), at));
            }
            add_block(acc, &w, x, row, b + 4 * half + part, NM, 2, 4, 0, 1);
        }
    }
}

/* Sixteen scales of six bits, minus 32: the low four bits in 8 bytes, the high two in 4. */
ALWAYS void load_k3(w8 s[4], const uint8_t *const p[8])
{
    w8 c[4];
    load_four(c, p, 94); /* two bytes of values, then 12 of scales, then d */
    const w8 a = _mm256_or_si256(_mm256_srli_epi32(c[0], 16), _mm256_slli_epi32(c[1], 16)),
             e = _mm256_or_si256(_mm256_srli_epi32(c[1], 16), _mm256_slli_epi32(c[2], 16)),
             high = _mm256_or_si256(_mm256_srli_epi32(c[2], 16), _mm256_slli_epi32(c[3], 16)),
             four = w8_set1(0x0f0f0f0f), two = w8_set1(0x30303030);
    UNROLL
    for (int i = 0; i < 4; i++) {
        const w8 low = _mm256_and_si256(_mm256_srli_epi32(i & 1 ? e : a, i & 2 ? 4 : 0), four),
                 top = _mm256_and_si256(i < 2 ? _mm256_slli_epi32(high, 4 - 2 * i) : _mm256_srli_epi32(high, 2 * i - 4), two);
        s[i] = _mm256_sub_epi8(_mm256_or_si256(low, top), b32_set1(32));
    }
}
ALWAYS void super_q3_k(f8 *acc, const uint8_t *const p[8], const goss_acts *x, int64_t row, int64_t b, const int NM)
{
    const f8 d = load_f16(p, 108);
    w8 s[4];
    b32 h[8];
    load_k3(s, p);
    load_words(h, p, 0);
    for (int half = 0; half < 2; half++) {
        b32 r[8];
        load_words(r, p, 32 + 32 * half);
        for (int part = 0; part < 4; part++) {
            const int i = 4 * half + part;
            eight_block w;
            UNROLL8
            for (int t = 0; t < 8; t++)
                w.q[t] = b32_or(b32_shr(r[t], 2 * part, 3), _mm256_slli_epi16(b32_shr(h[t], i, 1), 2));
            UNROLL
            for (int g = 0; g < 2; g++)
                w.s[g] = f8_mul(d, f8_from_signed(s[2 * half + part / 2], part % 2 * 2 + g));
            add_block(acc, &w, x, row, b + i, NM, 2, 4, 4, 0);
        }
    }
}

/* ---- rows ------------------------------------------------------------------------------------------------ */
ALWAYS void eight_k(float *y, int64_t y_stride, const uint8_t *const rows[8], int n_rows, int64_t row_bytes,
                    const goss_acts *x, int64_t row, super_fn super, const int super_bytes, const int NM)
{
    f8 acc[MOST];
    UNROLL
    for (int j = 0; j < NM; j++) acc[j] = f8_set1(0.0f);
    for (int64_t b = 0, at = 0; b < x->n / GOSS_BLOCK; b += SUPER / GOSS_BLOCK, at += super_bytes) {
        const uint8_t *p[8];
        UNROLL8
        for (int i = 0; i < 8; i++) p[i] = rows[i] + at;
        ask(rows[0] + 8 * row_bytes, b / 8, 8 * super_bytes);
        super(acc, p, x, row, b, NM);
    }
    UNROLL
    for (int j = 0; j < NM; j++) {
        float to[8];
        if (n_rows == 8) f8_store(y + j * y_stride, acc[j]);
        else f8_store(to, acc[j]), memcpy(y + j * y_stride, to, (size_t)n_rows * sizeof *y);
    }
}

ALWAYS void rows_k(float *y, int64_t y_stride, const uint8_t *w, int64_t row_bytes, int n_rows, const goss_acts *x,
                   int first, int m, super_fn super, const int super_bytes)
{
    for (int i = 0; i < n_rows; i += 8) {
        const uint8_t *p[8];
        const int n = n_rows - i < 8 ? n_rows - i : 8;
        for (int r = 0; r < 8; r++) p[r] = w + (i + (r < n ? r : n - 1)) * row_bytes;
        for (int j = 0, k; j < m; j += k) {
            float *to = y + i + j * y_stride;
            k = m - j >= 4 ? 4 : m - j >= 2 ? 2 : 1;
            if (k == 4) eight_k(to, y_stride, p, n, row_bytes, x, first + j, super, super_bytes, 4);
            else if (k == 2) eight_k(to, y_stride, p, n, row_bytes, x, first + j, super, super_bytes, 2);
            else eight_k(to, y_stride, p, n, row_bytes, x, first + j, super, super_bytes, 1);
        }
    }
}
static void matvec_q2_k_few GOSS_MATVEC_ARGS { rows_k(y, y_stride, w, row_bytes, n_rows, x, first, m, super_q2_k, 84); }
static void matvec_q3_k_few GOSS_MATVEC_ARGS { rows_k(y, y_stride, w, row_bytes, n_rows, x, first, m, super_q3_k, 110); }
static void matvec_q4_k_few GOSS_MATVEC_ARGS { rows_k(y, y_stride, w, row_bytes, n_rows, x, first, m, super_q4_k, 144); }
static void matvec_q5_k_few GOSS_MATVEC_ARGS { rows_k(y, y_stride, w, row_bytes, n_rows, x, first, m, super_q5_k, 176); }
static void matvec_q6_k_few GOSS_MATVEC_ARGS { rows_k(y, y_stride, w, row_bytes, n_rows, x, first, m, super_q6_k, 210); }
#endif
