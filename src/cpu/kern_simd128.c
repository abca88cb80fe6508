/* kern_simd128.c - the WebAssembly level of every browser: SIMD without relaxed operations. */
#include <wasm_simd128.h>
#define SIMD_FORM 0 /* GOSS_TILE_SIGNED */
#define SIMD_FMA4(a, b, c) wasm_f32x4_add(wasm_f32x4_mul(a, b), c)
#define SIMD_DOT4 dot4
#include "simd_wasm.h"
#define K(name) name##_simd128
#include "body.h"

void goss_kern_init_simd128(goss_kern *k) { body_init(k); }
