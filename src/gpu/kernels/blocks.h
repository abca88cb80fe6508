/* blocks.h - the parameter blocks of the kernels and the layout of the panel buffer: the one place where a
 * word has its name. C's structs are made here, WGSL's by shader.c (#block NAME, #consts NAME), JavaScript's
 * constants by tools/words.py (web/js/core/words.js). Kernels explain on top what the words mean. U(name):
 * u32, F(name): f32. */
#ifndef GOSS_GPU_BLOCKS_H
#define GOSS_GPU_BLOCKS_H
#include <stdint.h>

#define GOSS_BLOCK_attend(U, F) \
    U(n_head) U(n_kv) U(head_dim) U(window) U(cls) U(stride) F(scale) U(sinks) U(half)
#define GOSS_BLOCK_embed(U, F) \
    U(n_units) U(scale_words) U(first) U(n) U(history_stride)
#define GOSS_BLOCK_experts(U, F) \
    U(n_units) U(scale_words) U(n_out) U(top_k) U(slot0) U(n_slots) U(bias) U(inverse) F(alpha) F(limit) \
    U(forward) U(n_expert)
#define GOSS_BLOCK_group(U, F) \
    U(top_k) U(n_slots) U(list) U(inverse)
#define GOSS_BLOCK_looks(U, F) \
    U(n_head) U(n_kv) U(head_dim) U(window) U(cls) U(stride) F(scale) U(sinks) U(half) U(layer)
#define GOSS_BLOCK_matmul(U, F) \
    U(n_units)                  \
    U(scale_words) U(n) U(first) U(stride) U(bias) U(top_k) U(list) U(slot0) U(n_slots) \
    F(alpha) F(limit) U(beyond)
#define GOSS_BLOCK_matvec(U, F) \
    U(n_units) U(scale_words) U(first) U(n) U(stride) U(bias) U(row0) \
    U(n_head) U(n_kv) U(head_dim) U(rope_dim) U(adjacent) U(cls) U(gain) F(eps)
#define GOSS_BLOCK_merge(U, F) \
    U(n_head) U(head_dim) U(window) U(sinks)
#define GOSS_BLOCK_norm(U, F) \
    U(n) F(eps) U(gain) U(list) U(first)
#define GOSS_BLOCK_panel_attend(U, F) \
    U(n_head) U(n_kv) U(head_dim) U(window) U(cls) U(stride) F(scale) U(sinks) U(half) U(map)
#define GOSS_BLOCK_panel_layer(U, F) \
    U(layer) U(n_layer) U(n_embd) U(n_expert) U(top_k)
#define GOSS_BLOCK_parts(U, F) \
    U(n) U(first) U(stride) U(bias)
#define GOSS_BLOCK_qkv_rows(U, F) \
    U(stride) U(n_head) U(n_kv) U(head_dim) U(rope_dim) U(adjacent) U(cls)
#define GOSS_BLOCK_quantize(U, F) \
    U(n_blocks) U(times) U(grid_x)
#define GOSS_BLOCK_repack(U, F) \
    U(n_rows) U(row_bytes) U(per_row) U(row0) U(mode) U(head_dim) U(rope_dim) U(n_units) U(scale_words) \
    U(source_row) U(grid_x) U(beyond)
#define GOSS_BLOCK_roof(U, F) \
    U(n) U(threads)
#define GOSS_BLOCK_route(U, F) \
    U(n) F(eps) U(gain) U(router) U(bias) U(n_expert) U(top_k) U(layer) U(logits) U(norm)
#define GOSS_BLOCK_sample(U, F) \
    U(n_vocab) U(history_stride) U(first) U(chunks)
#define GOSS_BLOCK_sum(U, F) \
    U(n) U(top_k)
#define GOSS_BLOCK_to_halves(U, F) \
    U(n) U(times) U(grid_x)

#define GOSS_BLOCKS(B)                                                                         \
    B(attend)                                                                                  \
    B(embed) B(experts) B(group) B(looks) B(matmul) B(matvec) B(merge) B(norm) B(panel_attend) \
        B(panel_layer) B(parts) B(qkv_rows) B(quantize) B(repack) B(roof) B(route) B(sample) B(sum)        \
            B(to_halves)

#define GOSS_WORD_U(name) uint32_t name;
#define GOSS_WORD_F(name) float name;
#define GOSS_BLOCK_STRUCT(b) \
    typedef struct goss_block_##b { GOSS_BLOCK_##b(GOSS_WORD_U, GOSS_WORD_F) } goss_block_##b;
GOSS_BLOCKS(GOSS_BLOCK_STRUCT)

/* The step buffer, 32-bit words (the picture is in layout.h): its head, the words of a row, of a sampler;
 * then what the sampler's kernels hand on: of a chunk of the vocabulary, and of a pick. WORDS: how many there
 * are. */
#define GOSS_STEP_LAYOUT(X) X(N_ROWS, 0) X(ROWS, 2) X(LIST, 3) X(ROPE, 4) X(CHUNKS, 5) X(GROUPS, 16)
#define GOSS_ROW_LAYOUT(X) \
    X(TOKEN, 0) X(POSITION, 1) X(SLOT, 2) X(PAGES, 3) X(INDEX, 5) X(SAMPLER, 6) X(MASK, 7) X(RANDOM, 8) X(LAST, 9) \
    X(WORDS, 16)
#define GOSS_SAMPLER_LAYOUT(X) \
    X(SCALE, 0) X(SCALE_POS, 1) X(SCALE_NEG, 2) X(PRESENCE, 3) X(FREQUENCY, 4) X(GREEDY, 5) X(LAST_N, 6) \
    X(N_PROBS, 7) X(N_BIAS, 8) X(TOP_K, 9) X(TOP_P14, 10) X(MIN_P_D, 11) X(BIAS, 16)
#define GOSS_CHUNK_LAYOUT(X) X(BEST, 0) X(TOKEN, 1) X(TOP, 2) X(SUM_E, 3) X(SUM_L, 4) X(LIMIT, 5) X(WEIGHT, 6) \
    X(FOUND, 8) X(WORDS, 48)
#define GOSS_PICK_LAYOUT(X) X(TOKEN, 0) X(LOGPROB, 1) X(ENTROPY, 2) X(N_TOP, 3) X(TOP, 4) X(WORDS, 48)
#define GOSS_STEP_ENUM(name, value) GOSS_STEP_##name = value,
#define GOSS_ROW_ENUM(name, value) GOSS_ROW_##name = value,
#define GOSS_SAMPLER_ENUM(name, value) GOSS_SAMPLER_##name = value,
#define GOSS_CHUNK_ENUM(name, value) GOSS_CHUNK_##name = value,
#define GOSS_PICK_ENUM(name, value) GOSS_PICK_##name = value,
enum {
    GOSS_STEP_LAYOUT(GOSS_STEP_ENUM) GOSS_ROW_LAYOUT(GOSS_ROW_ENUM) GOSS_SAMPLER_LAYOUT(GOSS_SAMPLER_ENUM)
    GOSS_CHUNK_LAYOUT(GOSS_CHUNK_ENUM) GOSS_PICK_LAYOUT(GOSS_PICK_ENUM)
    GOSS_STEP_HEADER = GOSS_STEP_GROUPS + 128
};

/* The panel buffer (step/panels.c draws it): floats. */
#define GOSS_PANEL_WORDS(X) \
    X(LAYERS, 0) X(N_EXPERT, 1) X(POSITION, 2) X(LAYER, 3) X(HEAD, 4) X(MAX_KV, 5) X(FIRSTS, 16) \
    X(RECORDS, 256) X(RECORD, 544) X(USE, 0) X(WEIGHTS, 256) X(NORM, 512) X(KEYS, 513) X(FIRST, 514) X(WINDOW, 515) \
    X(EXPERTS, 256) X(ROWS, 128) X(COLUMNS, 256)
#define GOSS_PANEL_ENUM(name, value) GOSS_PANEL_##name = value,
enum { GOSS_PANEL_WORDS(GOSS_PANEL_ENUM) GOSS_PANEL_END };
#endif
