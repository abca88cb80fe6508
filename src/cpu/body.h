/* body.h - all kernels of a level. A level's file includes its simd_*.h, defines K(name) as name##_level,
 * and includes this. */
#ifndef GOSS_CPU_BODY_H
#define GOSS_CPU_BODY_H
#include "kern.h"
#include <math.h>
#include <string.h>
#include "body_math.h"
#include "body_matvec.h"
#include "body_tile.h"

/* Fills the table with this level's kernels; topk is integer-like work that no level does better. */
ALWAYS void body_init(goss_kern *k)
{
#define X(type, min, groups, bias) k->matvec_##type = K(matvec_##type); k->pack_##type = K(pack_##type);
    QUANT_TYPES(X)
#undef X
    k->matvec_f32 = K(matvec_f32); k->matvec_f16 = K(matvec_f16); k->matvec_bf16 = K(matvec_bf16);
    k->gemm = K(gemm); k->tile_form = SIMD_TILE_FORM;
    k->rmsnorm = K(rmsnorm); k->quantize = K(quantize); k->rope = K(rope); k->attn = K(attn);
    k->f16_load = K(f16_load); k->f16_store = K(f16_store);
    k->swiglu = K(swiglu); k->silu_mul = K(silu_mul); k->axpy = K(axpy);
}
#endif
