/* layout.h - how everything lies in GPU memory. The kernels and the C that feeds them agree on this page.
 *
 * Matrices, (n_in -> n_out): a row is n_in weights, cut into units of 8 consecutive ones; n_units = n_in / 8.
 *   layout  quants (wq)                               scales (ws)                                  made from
 *   MX4     u32 a unit: nibble 2k = element k,        one E8M0 byte a 32, rows padded to words     MXFP4
 *           nibble 2k + 1 = element k + 4; each the
 *           code of its value (mx4.inc.wgsl)
 *   Q8      2 u32 a unit: signed bytes in order       one half a 32, rows padded to words          Q8_0
 *   I8      2 u32 a unit: signed bytes in order       (scale, minimum) as two floats a 16:         all other
 *                                                     weight = scale * byte + minimum              quants, exactly
 *   F16W    4 u32 a unit: halves in order             none                                         F16
 *   BF16W   4 u32 a unit                              none                                         BF16
 *   F32W    8 u32 a unit                              none                                         F32
 *   wq:  | row 0: unit 0, unit 1 ... | row 1 ... |        ws: | row 0: scale_words entries | row 1 ... |
 * A matrix is cut by rows into pieces, each in buffers of its own, wherever it would pass the limit of a
 * binding.
 *
 * Order of rows:
 *   qkv   q heads, k heads, v heads in one matrix where their layouts agree (else one matrix each). Within each
 *         q and k head the two dims that rotate together are neighbours: rows 2i, 2i + 1 are dims i,
 *         i + rope_dim / 2 (gpt-oss), or as they are (llama's pairs are neighbours already). Results are written
 *         in the usual order (matvec QKV: finish_pair).
 *   gate, up   interleaved: row 2i is gate i, row 2i + 1 is up i; biases likewise
 *   experts    expert in slot s of a piece: rows [s * rows_of_one, (s + 1) * rows_of_one)
 *
 * KV pages: a buffer a layer, of halves, two neighbours a word (or of f32: --kv f32, or a device that loses
 * subnormal halves); page = 64 positions; for each KV head of a page, K then V. A head's K has the order of
 * the matrix's rows.
 *   page p, head h:  base = (p * n_head_kv + h) * 2 * 64 * head_dim
 *   K   base + (d / 4) * 256 + position * 4 + d % 4      vec4 of dims, all positions side by side: lanes are keys
 *   V   base + 64 * head_dim + position * head_dim + d   lanes are dims
 *
 * Activations are f32, row-major in the usual order: x (rows, n_embd) residual; xn (rows, n_embd)
 * normalised;
 * qkv (rows, q | k | v); att (rows, n_head * head_dim); h (rows * top_k, n_ff) after SwiGLU;
 * logits (16, n_vocab); route (rows, top_k) of (slot, weight bits).
 *
 * Packed activations (steps of few rows, where the device multiplies packed bytes): a row of n values in
 * nb = n / 32 blocks is 4 nb vectors of four words, then the scales as floats, padded to whole vectors, then
 * the blocks' sums of 256 * high + low as integers, padded likewise:
 *   | high bytes of elements 0..15 of every block | of 16..31 | low bytes of 0..15 | of 16..31 | scales | sums |
 *   value = scale * (256 * high + low), both signed
 *
 * The step buffer, 32-bit words (their names: blocks.h); words 0 to 3 of a step are the device's own, the
 * host writes the rest:
 *   | head: number of rows, where the parts below start, most chunks of a row's attention, from GROUPS on the rows of
 *   |       each group (16 each) of the list                                                                   |
 *   | a row: token, position, slot, where its page table of each class starts, its index in the list, where its
 *   |        sampler's words and its mask start, a random word, whether it is the last of its sequence          |
 *   | the list of rows that want logits                                                                         |
 *   | RoPE: for each row rope_dim floats: cosines, sines (already times rope_mag)                               |
 *   | page tables, samplers (then n_bias pairs of token and bias)                                               | */
#ifndef GOSS_GPU_LAYOUT_H
#define GOSS_GPU_LAYOUT_H
#include "blocks.h"
#include <stdint.h>

typedef enum goss_layout {
    GOSS_LAYOUT_MX4,
    GOSS_LAYOUT_Q8,
    GOSS_LAYOUT_I8,
    GOSS_LAYOUT_F16,
    GOSS_LAYOUT_BF16,
    GOSS_LAYOUT_F32,
    GOSS_N_LAYOUTS
} goss_layout;
enum {
    GOSS_GPU_BATCH = 8 /* of them at once in a product, at most */,
    GOSS_GPU_CHUNKS = 32 /* of a row's keys then */,
    GOSS_CHUNK_TOKENS = 1024 /* of the vocabulary, that one workgroup of the sampler scans */
};
enum { GOSS_REPACK_PLAIN = 0, GOSS_REPACK_ROPE = 1, GOSS_REPACK_PAIRS = 2 };

/* Geometry of a layout. */
typedef struct goss_layout_info { const char *define, *wq, *ws; int unit_words; } goss_layout_info;
const goss_layout_info *goss_layout_get(int layout);
/* of a GGUF type, -1 when the GPU does not compute on it */
int goss_layout_of(int type);
/* entries of ws a row (words; pairs of floats for I8) */
uint32_t goss_layout_scales(int layout, uint32_t n_in);
uint64_t goss_layout_q_bytes(int layout, uint32_t n_in);   /* bytes of wq a row */
uint64_t goss_layout_s_bytes(int layout, uint32_t n_in);   /* bytes of ws a row */
uint64_t goss_layout_packed_bytes(uint64_t n);             /* of a row of n packed activations */
int goss_layout_packs(int layout);                         /* products with them are of bytes */
#endif
