/* quant.h - the tensor types of GGUF: geometry, and the exact meaning of every block (docs/reference.md 4.1
 * and 7). to_float is the definition that every faster kernel is tested against. */
#ifndef GOSS_FORMAT_QUANT_H
#define GOSS_FORMAT_QUANT_H
#include <stddef.h>
#include <stdint.h>

typedef enum goss_type {
    GOSS_F32 = 0, GOSS_F16 = 1, GOSS_Q4_0 = 2, GOSS_Q4_1 = 3, GOSS_Q5_0 = 6, GOSS_Q5_1 = 7,
    GOSS_Q8_0 = 8, GOSS_Q8_1 = 9,
    GOSS_Q2_K = 10, GOSS_Q3_K = 11, GOSS_Q4_K = 12, GOSS_Q5_K = 13, GOSS_Q6_K = 14, GOSS_Q8_K = 15,
    GOSS_IQ2_XXS = 16, GOSS_IQ2_XS = 17, GOSS_IQ3_XXS = 18, GOSS_IQ1_S = 19, GOSS_IQ4_NL = 20,
    GOSS_IQ3_S = 21, GOSS_IQ2_S = 22,
    GOSS_IQ4_XS = 23, GOSS_I8 = 24, GOSS_I16 = 25, GOSS_I32 = 26, GOSS_I64 = 27, GOSS_F64 = 28,
    GOSS_IQ1_M = 29, GOSS_BF16 = 30,
    GOSS_TQ1_0 = 34, GOSS_TQ2_0 = 35, GOSS_MXFP4 = 39, GOSS_NVFP4 = 40, GOSS_Q1_0 = 41, GOSS_Q2_0 = 42
} goss_type;

typedef struct goss_type_info {
    int id; const char *name;      /* "MXFP4" */
    int block;                     /* elements a block */
    int bytes;                     /* bytes a block; 0: geometry unknown */
    int computed;                  /* 1: the engine can multiply by it */
} goss_type_info;
const goss_type_info *goss_type_get(int id);     /* NULL for ids that no file may carry */
int goss_type_by_name(const char *name);         /* -1 */
/* Bytes of a row of n elements; 0 when n is not whole blocks or the type is unknown. */
uint64_t goss_type_row_bytes(int id, int64_t n);

/* n whole-block elements from raw blocks to floats, exactly. 0, or GOSS_EUNSUPPORTED. */
int goss_to_float(int type, const void *blocks, float *dst, int64_t n);
/* The writing direction, for synth and tests: F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, IQ4_NL, MXFP4. */
int goss_from_float(int type, const float *src, void *blocks, int64_t n);

float goss_f16_to_f32(uint16_t h);
uint16_t goss_f32_to_f16(float f);               /* round to nearest even, as hardware */
static inline float goss_bf16_to_f32(uint16_t b)
{
    const union { uint32_t u; float f; } v = { (uint32_t)b << 16 };
    return v.f;
}
uint16_t goss_f32_to_bf16(float f);
#endif
