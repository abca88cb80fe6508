/* layout.c - geometry of the layouts that layout.h draws, and which GGUF type becomes which. */
#include "layout.h"
#include "format/quant.h"
#include <stddef.h>

static const goss_layout_info infos[GOSS_N_LAYOUTS] = {
    [GOSS_LAYOUT_MX4] = { "MX4", "u32", "u32", 1 },
    [GOSS_LAYOUT_Q8] = { "Q8", "vec2<u32>", "u32", 2 },
    [GOSS_LAYOUT_I8] = { "I8", "vec2<u32>", "vec2<f32>", 2 },
    [GOSS_LAYOUT_F16] = { "F16W", "vec4<u32>", "u32", 4 },
    [GOSS_LAYOUT_BF16] = { "BF16W", "vec4<u32>", "u32", 4 },
    [GOSS_LAYOUT_F32] = { "F32W", "vec4<u32>", "u32", 8 },
};

const goss_layout_info *goss_layout_get(int layout)
{
    return (unsigned)layout < GOSS_N_LAYOUTS ? &infos[layout] : NULL;
}

int goss_layout_of(int type)
{
    switch (type) {
    case GOSS_MXFP4: return GOSS_LAYOUT_MX4;
    case GOSS_Q8_0: return GOSS_LAYOUT_Q8;
    case GOSS_F16: return GOSS_LAYOUT_F16;
    case GOSS_BF16: return GOSS_LAYOUT_BF16;
    case GOSS_F32: return GOSS_LAYOUT_F32;
    case GOSS_Q4_0: case GOSS_Q4_1: case GOSS_Q5_0: case GOSS_Q5_1: case GOSS_IQ4_NL:
    case GOSS_Q2_K: case GOSS_Q3_K: case GOSS_Q4_K: case GOSS_Q5_K: case GOSS_Q6_K: return GOSS_LAYOUT_I8;
    default: return -1;
    }
}

uint32_t goss_layout_scales(int layout, uint32_t n_in)
{
    switch (layout) {
    case GOSS_LAYOUT_MX4: return (n_in / 32 + 3) / 4;
    case GOSS_LAYOUT_Q8: return (n_in / 32 + 1) / 2;
    case GOSS_LAYOUT_I8: return n_in / 16;
    default: return 0;
    }
}

uint64_t goss_layout_q_bytes(int layout, uint32_t n_in)
{
    return (uint64_t)(n_in / 8) * (uint64_t)infos[layout].unit_words * 4;
}

uint64_t goss_layout_s_bytes(int layout, uint32_t n_in)
{
    return (uint64_t)goss_layout_scales(layout, n_in) * (layout == GOSS_LAYOUT_I8 ? 8 : 4);
}

uint64_t goss_layout_packed_bytes(uint64_t n) { return n / 32 * 64 + (n / 32 + 3) / 4 * 32; }

int goss_layout_packs(int layout) { return layout == GOSS_LAYOUT_MX4 || layout == GOSS_LAYOUT_Q8; }
