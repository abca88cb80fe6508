/* close_avx2.h - all kernels of AVX2's and AVX-VNNI's levels: the bodies, and closer ones for MXFP4, Q8_0 and
 * K-quants. The level's file defines K(name), and SIMD_VNNI where it is AVX-VNNI's.
 *
 * MXFP4 is shifted up by 12 through its table to 0..24, so that the products take it as their unsigned side without
 * the body's sign operations; what the shift adds (12 times the activations) is taken back in int32 before anything
 * is scaled: exact, in int16 too, since |sum of four pairs of products| <= 4 * 2 * 24 * 127 < 2^15. */
#ifndef GOSS_CPU_CLOSE_AVX2_H
#define GOSS_CPU_CLOSE_AVX2_H
#include "simd_avx2.h"
#include "body.h"
#include "tile_avx2.h"
#include "few_avx2.h"
#include "wide_avx2.h"
#include "kquants_avx2.h"

ALWAYS void close_init(goss_kern *k)
{
    body_init(k);
    k->matvec_mxfp4 = matvec_mxfp4_few;
    k->matvec_q8_0 = matvec_q8_0_few;
    k->matvec_q2_k = matvec_q2_k_few;
    k->matvec_q3_k = matvec_q3_k_few;
    k->matvec_q4_k = matvec_q4_k_few;
    k->matvec_q5_k = matvec_q5_k_few;
    k->matvec_q6_k = matvec_q6_k_few;
    k->pack_mxfp4 = pack_mxfp4_close;
    k->pack_q8_0 = pack_q8_0_close;
    k->gemm = gemm_close;
    k->widen = K(widen);
    k->wide_q8_0 = K(wide_q8_0);
}
#endif
