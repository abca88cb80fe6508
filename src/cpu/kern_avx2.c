/* kern_avx2.c - AVX2 with FMA and F16C: the bodies of all kernels, and closer ones for MXFP4 and Q8_0.
 *
 * MXFP4 is shifted up by 12 through its table to 0..24, so that vpmaddubsw takes it as its unsigned side without the
 * body's sign operations; what the shift adds (12 times the activations) is taken back in int32 before anything is
 * scaled: exact, since |sum of four pairs of products| <= 4 * 2 * 24 * 127 < 2^15. */
#define K(name) name##_avx2
#include "simd_avx2.h"
#include "body.h"
#include "tile_avx2.h"
#include "few_avx2.h"
#include "wide_avx2.h"

void goss_kern_init_avx2(goss_kern *k)
{
    body_init(k);
    k->matvec_mxfp4 = matvec_mxfp4_few;
    k->matvec_q8_0 = matvec_q8_0_few;
    k->pack_mxfp4 = pack_mxfp4_close;
    k->pack_q8_0 = pack_q8_0_close;
    k->gemm = gemm_close;
    k->widen = widen_avx2;
    k->wide_q8_0 = wide_q8_0_avx2;
}
