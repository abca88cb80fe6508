/* kern_attn_avx512vnni.c - attention with AVX-512: body_attn.h with its two inner loops sixteen lanes wide
 * and four queries at once. Each lane is summed in the same order as by AVX2. */
#define K(name) name##_avx512vnni
#define SIMD_ATTN_OWN
#include "simd_avx2.h"
#include "kern.h"
enum { SIMD_ATTN_Q = 4 };

#ifndef KEEP512   /* the emulated instructions have no registers */
#define KEEP512(v) __asm__("" : "+v"(v))   /* loaded once, not again for each use */
#endif

/* Scores of 32 keys of the page. */
ALWAYS void attn_scores(float s[][GOSS_ATTN_KEYS], const goss_attn_q *q, const float *k, int head_dim,
                        int half, const int NQ)
{
    __m512 a[SIMD_ATTN_Q][2];
    UNROLL
    for (int t = 0; t < NQ; t++) a[t][0] = a[t][1] = _mm512_setzero_ps();
    for (int i = 0; i < head_dim; i++) {
        const float *at = k + i * GOSS_ATTN_KEYS + half * 32;
        __m512 k0 = _mm512_loadu_ps(at), k1 = _mm512_loadu_ps(at + 16);
        KEEP512(k0);
        KEEP512(k1);
        UNROLL
        for (int t = 0; t < NQ; t++) {
            const __m512 x = _mm512_set1_ps(q[t].q[i]);
            a[t][0] = _mm512_fmadd_ps(x, k0, a[t][0]);
            a[t][1] = _mm512_fmadd_ps(x, k1, a[t][1]);
        }
    }
    UNROLL
    for (int t = 0; t < NQ; t++) {
        _mm512_storeu_ps(s[t] + half * 32, a[t][0]);
        _mm512_storeu_ps(s[t] + half * 32 + 16, a[t][1]);
    }
}
/* acc = acc * c + sum of p[key] * v[key], 32 dimensions of it from `at`. */
ALWAYS void attn_values(const goss_attn_q *q, const float p[][GOSS_ATTN_KEYS], const float *c, const float *v,
                        int head_dim, int at, const int NQ)
{
    __m512 a[SIMD_ATTN_Q][2];
    UNROLL
    for (int t = 0; t < NQ; t++) {
        a[t][0] = _mm512_mul_ps(_mm512_loadu_ps(q[t].acc + at), _mm512_set1_ps(c[t]));
        a[t][1] = _mm512_mul_ps(_mm512_loadu_ps(q[t].acc + at + 16), _mm512_set1_ps(c[t]));
    }
    for (int key = q->lo; key < q->hi; key++) {
        const float *vk = v + (int64_t)key * head_dim + at;
        __m512 v0 = _mm512_loadu_ps(vk), v1 = _mm512_loadu_ps(vk + 16);
        KEEP512(v0);
        KEEP512(v1);
        UNROLL
        for (int t = 0; t < NQ; t++) {
            const __m512 x = _mm512_set1_ps(p[t][key]);
            a[t][0] = _mm512_fmadd_ps(x, v0, a[t][0]);
            a[t][1] = _mm512_fmadd_ps(x, v1, a[t][1]);
        }
    }
    UNROLL
    for (int t = 0; t < NQ; t++) {
        _mm512_storeu_ps(q[t].acc + at, a[t][0]);
        _mm512_storeu_ps(q[t].acc + at + 16, a[t][1]);
    }
}
#include "body_attn.h"

void goss_kern_init_attn_avx512vnni(goss_kern *k) { k->attn = attn_avx512vnni; }
