/* few_avx512vnni.h - AVX-512 VNNI's products of several activation rows with rows of MXFP4 and Q8_0 straight
 * from the file. Part of kern_avx512vnni.c.
 *
 * Every pair of rows takes the operations of dots_* in the same order (a lane is a group of elements), so
 * that a row's result is the same to the bit alone, where dots_* runs, and in any batch. What is done once
 * instead of for each pair: the activations of a call are put into the registers' form; four weight rows are
 * unpacked for a whole group of activation rows, whose sums stay in registers (MXFP4 keeps them in the first
 * cache for the call's next groups; Q8_0's are cheap to unpack and would not fit, only their scales are
 * kept). A call asks for its first four rows at once and for the next four a few lines a step, over all its
 * groups, so that products never wait for a burst of reading; never past its own end, where another thread
 * works. Operations of the two 512-bit units for a weight row, counted in the code gcc makes; dots_* in
 * brackets:
 *   MXFP4, 128 elements   2 rows 20 (24)   3 rows 25 (41)   4 rows 30 (43)   16 rows 90 (170)
 *   Q8_0, 64 elements     2 rows 12 (20)   3 rows 16 (35)   4 rows 20 (35)   16 rows 76 (140) */
#ifndef GOSS_CPU_FEW_AVX512VNNI_H
#define GOSS_CPU_FEW_AVX512VNNI_H

enum { FEW_MXFP4 = 2, FEW_Q8_0 = 3,     /* from this number of activation rows on */
       FEW_ROWS = 16,                   /* activation rows prepared at once */
       FEW_LENGTH = 4096,               /* elements of a row; longer ones go by dots_* */
       FOURS = FEW_LENGTH / GOSS_BLOCK / 4, PAIRS = FEW_LENGTH / GOSS_BLOCK / 2,
       GROUP_MXFP4 = 4, GROUP_Q8_0 = 6, /* activation rows at once: all their sums with four weight rows in registers */
       GROUP_MOST = 6 };

/* The sums over the lanes of each of four registers, in _mm512_reduce_add_ps's order. */
ALWAYS __m128 sum_lanes(__m512 a, __m512 b, __m512 c, __m512 d)
{
    const __m512 ab = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
    const __m512 cd = _mm512_add_ps(_mm512_shuffle_f32x4(c, d, 0x44), _mm512_shuffle_f32x4(c, d, 0xee));
    const __m512 v = _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd));
    const __m512 u = _mm512_add_ps(v, _mm512_permute_ps(v, 0x4e)), t = _mm512_add_ps(u, _mm512_permute_ps(u, 0xb1));
    const __m512i at = _mm512_setr_epi32(0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12);
    return _mm512_castps512_ps128(_mm512_permutexvar_ps(at, t));
}
ALWAYS void store_sums(float *y, int64_t y_stride, __m512 acc[4][GROUP_MOST], const int NR, const int NM)
{
    UNROLL
    for (int j = 0; j < NM; j++) {
        if (NR == 4) _mm_storeu_ps(y + j * y_stride, sum_lanes(acc[0][j], acc[1][j], acc[2][j], acc[3][j]));
        else y[j * y_stride] = _mm512_reduce_add_ps(acc[0][j]);
    }
}

/* What a group does with the weights: all unpack but LATER ones, which find them kept. */
enum { ALONE, FIRST, LATER };
/* Bytes [at, at + n) of what will be read next. */
ALWAYS void ask(const uint8_t *next, int64_t at, int64_t n)
{
    for (int64_t i = 0; i < n; i += 64) _mm_prefetch((const char *)next + at + i, _MM_HINT_T0);
}

/* The weight rows of a call that are done together, from row i on; where the next four are, and how much of
 * each step's share of them is asked for in a group. */
typedef struct fours { const uint8_t *at, *next; int64_t share; int rows; } fours;
ALWAYS fours fours_at(const uint8_t *w, int64_t row_bytes, int i, int n_rows, int n_groups)
{
    const uint8_t *at = w + i * row_bytes;
    return (fours){ at, at + 4 * row_bytes, i + 4 >= n_rows ? 0 : (4 * 68 + n_groups - 1) / n_groups,
                    i + 4 <= n_rows ? 4 : 1 };
}

/* ---- MXFP4 ---- */
typedef struct four_weights { __m512i lo, hi; __m512 s; } four_weights;
ALWAYS void group_mxfp4(float *y, int64_t y_stride, const uint8_t *w, int64_t row_bytes, int nb, const four_acts *x,
                        four_weights *kept, const uint8_t *next, int64_t share, const int use, const int NR,
                        const int NM)
{
    const __m512i low = _mm512_set1_epi8(15), table = _mm512_broadcast_i32x4(_mm_setr_epi8(
                                                  12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0));
    const int64_t steps = (nb + 3) / 4;
    __m512 acc[4][GROUP_MOST];
    UNROLL
    for (int r = 0; r < NR; r++)
        UNROLL
        for (int j = 0; j < NM; j++) acc[r][j] = _mm512_setzero_ps();
    for (int64_t i = 0; i < steps; i++) {
        ask(next, i * share, share);
        UNROLL
        for (int r = 0; r < NR; r++) {
            four_weights k;
            if (use == LATER) k = kept[i * NR + r];
            else {
                const __m512i v = four_codes(w + r * row_bytes, (int)i * 4, nb - 1);
                k.lo = _mm512_shuffle_epi8(table, _mm512_and_si512(v, low));
                k.hi = _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(v, 4), low));
                k.s = four_scales(w + r * row_bytes, (int)i * 4, nb - 1);
            }
            if (use == FIRST) kept[i * NR + r] = k;
            UNROLL
            for (int j = 0; j < NM; j++) {
                const four_acts *xj = &x[j * steps + i];
                const __m512i p = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(xj->start, k.lo, xj->lo), k.hi, xj->hi);
                acc[r][j] = _mm512_fmadd_ps(_mm512_mul_ps(k.s, xj->d), _mm512_cvtepi32_ps(p), acc[r][j]);
            }
        }
    }
    store_sums(y, y_stride, acc, NR, NM);
}
ALWAYS void prepare_mxfp4(four_acts *to, const goss_acts *x, int first, int m)
{
    const int nb = x->n / GOSS_BLOCK;
    const int8_t *q = x->q + (int64_t)first * x->n;
    const float *d = x->d + (int64_t)first * nb;
    for (int j = 0; j < m; j++)
        for (int b = 0; b < nb; b += 4) *to++ = acts_at(q, d, (int64_t)j * nb + b, nb - b < 4 ? nb - b : 4);
}

#define GO(use, NR, NM) group_mxfp4(to, y_stride, f.at, row_bytes, nb, xg, kept, f.next, f.share, use, NR, NM)
#define GO_ANY(use, NR)              \
    switch (n) {                     \
    case 1: GO(use, NR, 1); break;   \
    case 2: GO(use, NR, 2); break;   \
    case 3: GO(use, NR, 3); break;   \
    default: GO(use, NR, 4);         \
    }
static void few_mxfp4(float *y, int64_t y_stride, const uint8_t *w, int64_t row_bytes, int n_rows,
                      const goss_acts *x, int first, int m)
{
    four_acts acts[FEW_ROWS * FOURS];
    four_weights kept[4 * FOURS];
    const int nb = x->n / GOSS_BLOCK, n_groups = (m + GROUP_MXFP4 - 1) / GROUP_MXFP4;
    const int64_t steps = (nb + 3) / 4;
    ask(w, 0, (n_rows < 4 ? n_rows : 4) * row_bytes);
    prepare_mxfp4(acts, x, first, m);
    fours f;
    for (int i = 0; i < n_rows; i += f.rows) {
        f = fours_at(w, row_bytes, i, n_rows, n_groups);
        for (int g = 0, j = 0, n; g < n_groups; g++, j += n, f.next += steps * f.share) {
            float *to = y + i + j * y_stride;
            const four_acts *xg = acts + j * steps;
            n = (m + g) / n_groups;
            if (f.rows == 1) GO_ANY(ALONE, 1)
            else if (n_groups == 1) GO_ANY(ALONE, 4)
            else if (g == 0) GO_ANY(FIRST, 4)
            else GO_ANY(LATER, 4)
        }
    }
}
#undef GO_ANY
#undef GO

/* ---- Q8_0: activations unsigned, weights signed; a sum starts at minus 128 times the weights' ---- */
typedef struct pair_acts { __m512i x; __m512 d; } pair_acts;
ALWAYS void prepare_q8_0(pair_acts *to, const goss_acts *x, int first, int m)
{
    const int nb = x->n / GOSS_BLOCK;
    const __m512i shift = _mm512_set1_epi8((char)128);
    for (int j = first; j < first + m; j++) {
        const int8_t *q = x->q + (int64_t)j * x->n;
        const float *d = x->d + (int64_t)j * nb;
        for (int b = 0; b < nb; b += 2, to++) {
            const int one = b + 1 == nb;
            to->x = _mm512_xor_si512(_mm512_maskz_loadu_epi64(one ? 0x0f : 0xff, q + b * GOSS_BLOCK), shift);
            to->d = two_scales(d[b], one ? 0.0f : d[b + 1]);
        }
    }
}
/* The scales of up to four rows as floats, PAIR_SCALES apart; the one past an odd end is 0. All are collected
 * before the first is converted: a wide load waits until the narrow stores that it covers have left the store
 * buffer. */
enum { PAIR_SCALES = 2 * PAIRS + 16 };
ALWAYS void scales_q8_0(float *to, const uint8_t *w, int64_t row_bytes, int rows, int nb)
{
    uint16_t h[4 * PAIR_SCALES];
    for (int r = 0; r < rows; r++) {
        for (int b = 0; b < nb; b++) memcpy(h + r * PAIR_SCALES + b, w + r * row_bytes + b * 34, 2);
        memset(h + r * PAIR_SCALES + nb, 0, 16 * sizeof *h);
    }
    for (int r = 0; r < rows; r++)
        for (int i = r * PAIR_SCALES, end = i + nb; i <= end; i += 16)
            _mm512_storeu_ps(to + i, _mm512_cvtph_ps(_mm256_loadu_si256((const void *)(h + i))));
}
/* s: from scales_q8_0. */
ALWAYS void group_q8_0(float *y, int64_t y_stride, const uint8_t *w, int64_t row_bytes, int nb, const pair_acts *x,
                       const float *s, const uint8_t *next, int64_t share, const int NR, const int NM)
{
    const __m512i zero = _mm512_setzero_si512(), shift = _mm512_set1_epi8((char)128);
    const int64_t steps = (nb + 1) / 2;
    __m512 acc[4][GROUP_MOST];
    UNROLL
    for (int r = 0; r < NR; r++)
        UNROLL
        for (int j = 0; j < NM; j++) acc[r][j] = _mm512_setzero_ps();
    for (int64_t i = 0; i < steps; i++) {
        const int64_t second = 2 * i + 1 == nb ? 2 : 36;
        ask(next, i * share, share);
        UNROLL
        for (int r = 0; r < NR; r++) {
            const uint8_t *p = w + r * row_bytes + i * 68;
            const __m512i q = two256(p + 2, p + second);
            const __m512i start = _mm512_sub_epi32(zero, _mm512_dpbusd_epi32(zero, shift, q));
            const __m512 scale = two_scales(s[r * PAIR_SCALES + 2 * i], s[r * PAIR_SCALES + 2 * i + 1]);
            UNROLL
            for (int j = 0; j < NM; j++) {
                const pair_acts *xj = &x[j * steps + i];
                const __m512i sum = _mm512_dpbusd_epi32(start, xj->x, q);
                acc[r][j] = _mm512_fmadd_ps(_mm512_mul_ps(scale, xj->d), _mm512_cvtepi32_ps(sum), acc[r][j]);
            }
        }
    }
    store_sums(y, y_stride, acc, NR, NM);
}
#define GO(NR, NM) group_q8_0(to, y_stride, f.at, row_bytes, nb, xg, s, f.next, f.share, NR, NM)
static void few_q8_0(float *y, int64_t y_stride, const uint8_t *w, int64_t row_bytes, int n_rows, const goss_acts *x,
                     int first, int m)
{
    pair_acts acts[FEW_ROWS * PAIRS];
    float s[4 * PAIR_SCALES];
    const int nb = x->n / GOSS_BLOCK, n_groups = (m + GROUP_Q8_0 - 1) / GROUP_Q8_0;
    const int64_t steps = (nb + 1) / 2;
    ask(w, 0, (n_rows < 4 ? n_rows : 4) * row_bytes);
    prepare_q8_0(acts, x, first, m);
    fours f;
    for (int i = 0; i < n_rows; i += f.rows) {
        f = fours_at(w, row_bytes, i, n_rows, n_groups);
        scales_q8_0(s, f.at, row_bytes, f.rows, nb);
        for (int g = 0, j = 0, n; g < n_groups; g++, j += n, f.next += steps * f.share) {
            float *to = y + i + j * y_stride;
            const pair_acts *xg = acts + j * steps;
            n = (m + g) / n_groups;
            if (f.rows == 1) {
                for (int k = 0; k < n; k++, to += y_stride, xg += steps) GO(1, 1);
                continue;
            }
            switch (n) {
            case 1: GO(4, 1); break;
            case 2: GO(4, 2); break;
            case 3: GO(4, 3); break;
            case 4: GO(4, 4); break;
            case 5: GO(4, 5); break;
            default: GO(4, 6);
            }
        }
    }
}
#undef GO
#endif
