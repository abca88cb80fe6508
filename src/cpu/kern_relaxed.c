/* kern_relaxed.c - WebAssembly with relaxed SIMD: fused multiply-add where the machine has it.
 *
 * The relaxed int8 dot product is left alone: V8 11.3 (Node 20) swaps its operands in one of its two
 * compilers, so that results change once a function is hot; gossamer-check saw 4 of 132 tests fail. */
#include <wasm_simd128.h>
#define SIMD_FORM 0 /* GOSS_TILE_SIGNED */
#define SIMD_FMA4 wasm_f32x4_relaxed_madd
#define SIMD_DOT4 dot4
#include "simd_wasm.h"
#define K(name) name##_relaxed
#include "body.h"

void goss_kern_init_relaxed(goss_kern *k) { body_init(k); }
