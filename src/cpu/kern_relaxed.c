/* kern_relaxed.c - WebAssembly with relaxed SIMD: fused multiply-add and the int8 dot product where the machine has them.
 *
 * The relaxed dot product is exact for one operand in 0..127 and sums that fit 16 bits twice over: the small tile form,
 * weights 0..31 (2 * 31 * 127 < 2^15). Wide weights take the plain products. */
#include <wasm_simd128.h>
#define SIMD_FORM 1 /* GOSS_TILE_SMALL */
#define SIMD_FMA4 wasm_f32x4_relaxed_madd
#define SIMD_DOT4(c, w, x) wasm_i32x4_relaxed_dot_i8x16_i7x16_add(x, w, c)
#include "simd_wasm.h"
#define K(name) name##_relaxed
#include "body.h"

void goss_kern_init_relaxed(goss_kern *k) { body_init(k); }
