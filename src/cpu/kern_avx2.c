/* kern_avx2.c - AVX2 with FMA and F16C: the bodies of all kernels, and closer ones for MXFP4 and for Q8_0 tiles.
 *
 * MXFP4 is shifted up by 12 through its table to 0..24, so that vpmaddubsw takes it as its unsigned side without the
 * body's sign operations; what the shift adds (12 times the activations) is taken back in int16 before anything is
 * scaled: exact, since |sum of four products| <= 4 * 24 * 127 < 2^15.
 *   matvec  two blocks a step: low nibbles of both in one register, high ones in another; a lane of 128 bits is a block
 *   pack    16 rows are transposed while they are still nibbles, a quarter of the bytes
 *   gemm    16 weight rows by two activation rows: a broadcast serves two registers of weights, and all sums stay in
 *           registers (the body's 8 by 4 does not fit 16 of them: 52 against 103 G products/s on a Zen 3) */
#define K(name) name##_avx2
#include "simd_avx2.h"
#include "body.h"

/* ---- matvec, MXFP4 ------------------------------------------------------------------------------------------- */
/* An activation row's blocks b and b + 1 (one: b alone, the other is 0): first halves, second halves, what the shift
 * adds to their products, their scales. */
typedef struct two_acts { __m256i lo, hi, shift; __m256 d; } two_acts;
ALWAYS two_acts acts_at(const int8_t *q, const float *d, int64_t at, int one)
{
    const __m256i a = _mm256_loadu_si256((const void *)(q + at * GOSS_BLOCK));
    const __m256i b = one ? _mm256_setzero_si256() : _mm256_loadu_si256((const void *)(q + (at + 1) * GOSS_BLOCK));
    const __m256i twelve = _mm256_set1_epi8(12);
    two_acts x = { _mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31), a, f8_set1(0.0f) };
    x.shift = _mm256_add_epi16(_mm256_maddubs_epi16(twelve, x.lo), _mm256_maddubs_epi16(twelve, x.hi));
    x.d = f8_halves(d[at], one ? 0.0f : d[at + 1]);
    return x;
}
ALWAYS f8 scale_at(const uint8_t *p) { return f8_set1_bits(goss_mxfp4_scale[*p]); }

ALWAYS void dots_mxfp4(float *y, int64_t y_stride, const uint8_t *w, int64_t row_bytes, const goss_acts *x, int first,
                       const int NR, const int NM)
{
    const int nb = x->n / GOSS_BLOCK;
    const int8_t *q = x->q + (int64_t)first * x->n;
    const float *d = x->d + (int64_t)first * nb;
    const __m256i low = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
    const __m256i table = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0));
    f8 acc[4][4];
    UNROLL
    for (int r = 0; r < NR; r++)
        UNROLL
        for (int j = 0; j < NM; j++) acc[r][j] = f8_set1(0.0f);
    for (int b = 0; b < nb; b += 2) {
        const int one = b + 1 == nb;
        two_acts xj[4];
        UNROLL
        for (int j = 0; j < NM; j++) xj[j] = acts_at(q, d, (int64_t)j * nb + b, one);
        UNROLL
        for (int r = 0; r < NR; r++) {
            const uint8_t *p = w + r * row_bytes + b * 17, *p2 = one ? p : p + 17;
            __builtin_prefetch(p + NR * row_bytes);
            const __m128i v1 = _mm_loadu_si128((const void *)(p + 1)), v2 = _mm_loadu_si128((const void *)(p2 + 1));
            const __m256i v = _mm256_set_m128i(v2, v1);
            const __m256i lo = _mm256_shuffle_epi8(table, _mm256_and_si256(v, low));
            const __m256i hi = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(v, 4), low));
            const f8 s = _mm256_blend_ps(scale_at(p), scale_at(p2), 0xf0);
            UNROLL
            for (int j = 0; j < NM; j++) {
                const __m256i both = _mm256_add_epi16(_mm256_maddubs_epi16(lo, xj[j].lo),
                                                      _mm256_maddubs_epi16(hi, xj[j].hi));
                const __m256i sums = _mm256_madd_epi16(_mm256_sub_epi16(both, xj[j].shift), ones);
                acc[r][j] = f8_fma(f8_mul(s, f8_from_w8(sums)), xj[j].d, acc[r][j]);
            }
        }
    }
    UNROLL
    for (int r = 0; r < NR; r++)
        UNROLL
        for (int j = 0; j < NM; j++) y[j * y_stride + r] = f8_sum(acc[r][j]);
}

#define AT(i) ((const uint8_t *)w + (i) * row_bytes)
static void matvec_mxfp4_close GOSS_MATVEC_ARGS
{
    for (int j = 0, k; j < m; j += k, y += k * y_stride) {
        int i = 0;
        k = m - j >= 4 ? 4 : m - j >= 2 ? 2 : 1;
        for (; k == 4 && i < n_rows; i++) dots_mxfp4(y + i, y_stride, AT(i), row_bytes, x, first + j, 1, 4);
        for (; k == 2 && i + 2 <= n_rows; i += 2) dots_mxfp4(y + i, y_stride, AT(i), row_bytes, x, first + j, 2, 2);
        for (; k == 2 && i < n_rows; i++) dots_mxfp4(y + i, y_stride, AT(i), row_bytes, x, first + j, 1, 2);
        for (; k == 1 && i + 4 <= n_rows; i += 4) dots_mxfp4(y + i, y_stride, AT(i), row_bytes, x, first + j, 4, 1);
        for (; i < n_rows; i++) dots_mxfp4(y + i, y_stride, AT(i), row_bytes, x, first + j, 1, 1);
    }
}

/* ---- pack, MXFP4 --------------------------------------------------------------------------------------------- */
static void pack_mxfp4_close GOSS_PACK_ARGS
{
    static const uint8_t nothing[17];
    const int bias = tile_bias(t->form, 0, 12);
    const __m128i values = _mm_loadu_si128((const void *)goss_mxfp4_values);
    const __m256i low = _mm256_set1_epi8(15);
    const __m256i table = _mm256_add_epi8(_mm256_broadcastsi128_si256(values), _mm256_set1_epi8((char)bias));
    for (int b = 0; b < n / GOSS_BLOCK; b++)
        for (int half = 0; half < 2; half++) {
            const uint8_t *p[8];
            __m256i a[4];
            for (int i = 0; i < 8; i++) {
                const int row = half * 8 + i;
                p[i] = row < n_rows ? AT(row) + b * 17 : nothing;
                const uint32_t s = row < n_rows ? goss_mxfp4_scale[p[i][0]] : 0;
                memcpy(t->s + (size_t)b * GOSS_TILE_ROWS + row, &s, 4);
            }
            UNROLL
            for (int i = 0; i < 4; i++) /* lane l of a[i]: row 4 l + i */
                a[i] = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const void *)(p[i] + 1))),
                                               _mm_loadu_si128((const void *)(p[i + 4] + 1)), 1);
            const __m256i b0 = _mm256_unpacklo_epi32(a[0], a[1]), b1 = _mm256_unpackhi_epi32(a[0], a[1]);
            const __m256i b2 = _mm256_unpacklo_epi32(a[2], a[3]), b3 = _mm256_unpackhi_epi32(a[2], a[3]);
            const __m256i c[4] = { _mm256_unpacklo_epi64(b0, b2), _mm256_unpackhi_epi64(b0, b2),
                                   _mm256_unpacklo_epi64(b1, b3), _mm256_unpackhi_epi64(b1, b3) };
            uint8_t *to = t->q + (size_t)b * 512 + half * 32;
            UNROLL
            for (int k = 0; k < 4; k++) { /* c[k]: bytes 4 k .. 4 k + 3 of the eight rows */
                b32_store(to + k * 64, _mm256_shuffle_epi8(table, _mm256_and_si256(c[k], low)));
                b32_store(to + k * 64 + 256,
                          _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(c[k], 4), low)));
            }
        }
    t->n = n; t->n_rows = n_rows; t->groups = 1; t->has_min = 0; t->small = 1; t->bias = bias;
}

enum { SLAB = 30 /* blocks of a tile that stay in the first cache, 15 KB, while all activation rows pass */ };
/* ---- gemm of 16 weight rows by NM (1 or 2) activation rows --------------------------------------------------- */
/* Weights are read once, not again for each use, and sums grow in order: gcc would load again, or turn the sum into a
 * tree that needs more than 16 registers. Loads are what bounds these loops. */
#define KEEP(v) __asm__("" : "+x"(v))
/* Half a block (16 of its 32 elements) of 16 rows into int16 pairs; small types: w is unsigned. */
ALWAYS void half_small(__m256i a[2][2], const uint8_t *w, const int8_t *q, int64_t stride, const int NM)
{
    UNROLL
    for (int k = 0; k < 4; k++) {
        __m256i w0 = b32_load(w + k * 64), w1 = b32_load(w + k * 64 + 32);
        KEEP(w0);
        KEEP(w1);
        UNROLL
        for (int j = 0; j < NM; j++) {
            const __m256i x = b32_bcast4(q + j * stride + k * 4);
            const __m256i p0 = _mm256_maddubs_epi16(w0, x), p1 = _mm256_maddubs_epi16(w1, x);
            a[j][0] = k ? _mm256_add_epi16(a[j][0], p0) : p0;
            a[j][1] = k ? _mm256_add_epi16(a[j][1], p1) : p1;
            KEEP(a[j][0]);
            KEEP(a[j][1]);
        }
    }
}
ALWAYS void gemm_small(float *y, int64_t y_stride, const goss_tile *t, const goss_acts *x, int64_t row,
                       int64_t from, int64_t to, const int NM)
{
    const int64_t nb = t->n / GOSS_BLOCK, stride = x->n;
    const int8_t *q = x->q + row * stride;
    const float *d = x->d + row * nb;
    const int16_t *s = x->s + row * nb * 2;
    const __m256i ones = _mm256_set1_epi16(1);
    f8 acc[2][2];
    UNROLL
    for (int j = 0; j < NM; j++)
        for (int h = 0; h < 2; h++) acc[j][h] = from ? f8_load(y + j * y_stride + 8 * h) : f8_set1(0.0f);
    for (int64_t b = from; b < to; b++) {
        const uint8_t *w = t->q + b * 512;
        __m256i a[2][2], p[2][2];
        half_small(a, w, q + b * GOSS_BLOCK, stride, NM);
        UNROLL
        for (int j = 0; j < NM; j++) {
            const __m256i shift = w8_set1(t->bias * (s[2 * (j * nb + b)] + s[2 * (j * nb + b) + 1]));
            p[j][0] = _mm256_sub_epi32(_mm256_madd_epi16(a[j][0], ones), shift);
            p[j][1] = _mm256_sub_epi32(_mm256_madd_epi16(a[j][1], ones), shift);
        }
        half_small(a, w + 256, q + b * GOSS_BLOCK + 16, stride, NM);
        const f8 s0 = f8_load(t->s + b * GOSS_TILE_ROWS), s1 = f8_load(t->s + b * GOSS_TILE_ROWS + 8);
        UNROLL
        for (int j = 0; j < NM; j++) {
            const f8 dj = f8_set1(d[j * nb + b]);
            p[j][0] = w8_add(p[j][0], _mm256_madd_epi16(a[j][0], ones));
            p[j][1] = w8_add(p[j][1], _mm256_madd_epi16(a[j][1], ones));
            acc[j][0] = f8_fma(f8_mul(s0, dj), f8_from_w8(p[j][0]), acc[j][0]);
            acc[j][1] = f8_fma(f8_mul(s1, dj), f8_from_w8(p[j][1]), acc[j][1]);
        }
    }
    UNROLL
    for (int j = 0; j < NM; j++) { f8_store(y + j * y_stride, acc[j][0]); f8_store(y + j * y_stride + 8, acc[j][1]); }
}

/* Types that need all eight bits: |w| times x with w's sign, widened at once. */
ALWAYS void gemm_signed(float *y, int64_t y_stride, const goss_tile *t, const goss_acts *x, int64_t row,
                        int64_t from, int64_t to, const int NM)
{
    const int64_t nb = t->n / GOSS_BLOCK, stride = x->n;
    const int8_t *q = x->q + row * stride;
    const float *d = x->d + row * nb;
    const __m256i ones = _mm256_set1_epi16(1);
    f8 acc[2][2];
    UNROLL
    for (int j = 0; j < NM; j++)
        for (int h = 0; h < 2; h++) acc[j][h] = from ? f8_load(y + j * y_stride + 8 * h) : f8_set1(0.0f);
    for (int64_t b = from; b < to; b++) {
        const uint8_t *w = t->q + b * 512;
        __m256i p[2][2];
        UNROLL
        for (int j = 0; j < NM; j++) p[j][0] = p[j][1] = w8_zero();
        _Pragma("GCC unroll 8")
        for (int k = 0; k < 8; k++) {
            __m256i w0 = b32_load(w + k * 64), w1 = b32_load(w + k * 64 + 32);
            KEEP(w0);
            KEEP(w1);
            const __m256i a0 = _mm256_abs_epi8(w0), a1 = _mm256_abs_epi8(w1);
            UNROLL
            for (int j = 0; j < NM; j++) {
                const __m256i v = b32_bcast4(q + j * stride + b * GOSS_BLOCK + k * 4);
                const __m256i p0 = _mm256_maddubs_epi16(a0, _mm256_sign_epi8(v, w0));
                const __m256i p1 = _mm256_maddubs_epi16(a1, _mm256_sign_epi8(v, w1));
                p[j][0] = w8_add(p[j][0], _mm256_madd_epi16(p0, ones));
                p[j][1] = w8_add(p[j][1], _mm256_madd_epi16(p1, ones));
                KEEP(p[j][0]);
                KEEP(p[j][1]);
            }
        }
        const f8 s0 = f8_load(t->s + b * GOSS_TILE_ROWS), s1 = f8_load(t->s + b * GOSS_TILE_ROWS + 8);
        UNROLL
        for (int j = 0; j < NM; j++) {
            const f8 dj = f8_set1(d[j * nb + b]);
            acc[j][0] = f8_fma(f8_mul(s0, dj), f8_from_w8(p[j][0]), acc[j][0]);
            acc[j][1] = f8_fma(f8_mul(s1, dj), f8_from_w8(p[j][1]), acc[j][1]);
        }
    }
    UNROLL
    for (int j = 0; j < NM; j++) { f8_store(y + j * y_stride, acc[j][0]); f8_store(y + j * y_stride + 8, acc[j][1]); }
}

/* Blocks [from, to) of all m rows. */
ALWAYS void gemm_slab(float *y, int64_t y_stride, const goss_tile *t, const goss_acts *x, int64_t first, int m,
                      int64_t from, int64_t to, const int small)
{
    int j = 0;
    for (; j + 2 <= m; j += 2)
        if (small) gemm_small(y + j * y_stride, y_stride, t, x, first + j, from, to, 2);
        else gemm_signed(y + j * y_stride, y_stride, t, x, first + j, from, to, 2);
    if (j == m) return;
    if (small) gemm_small(y + j * y_stride, y_stride, t, x, first + j, from, to, 1);
    else gemm_signed(y + j * y_stride, y_stride, t, x, first + j, from, to, 1);
}
static void gemm_close(float *y, int64_t y_stride, const goss_tile *t, const goss_acts *x, int first, int m)
{
    const int64_t nb = t->n / GOSS_BLOCK;
    if (t->groups != 1 || t->has_min || t->n_rows < GOSS_TILE_ROWS) { gemm_avx2(y, y_stride, t, x, first, m); return; }
    for (int64_t b = 0; b < nb; b += SLAB) {
        const int64_t to = b + SLAB < nb ? b + SLAB : nb;
        if (t->small) gemm_slab(y, y_stride, t, x, first, m, b, to, 1);
        else gemm_slab(y, y_stride, t, x, first, m, b, to, 0);
    }
}

void goss_kern_init_avx2(goss_kern *k)
{
    body_init(k);
    k->matvec_mxfp4 = matvec_mxfp4_close;
    k->pack_mxfp4 = pack_mxfp4_close;
    k->gemm = gemm_close;
}
