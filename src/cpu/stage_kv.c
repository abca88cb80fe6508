/* stage_kv.c - where keys and values are kept, and in which form.
 *
 * A page's bytes: for each layer of its class: keys of each head, then values of each head; a half is one
 * head's 64 keys or values. Keys lie transposed, so that scores of neighbouring keys are neighbours and need
 * no sum across lanes:
 *   keys   element (d, pos) at d * 64 + pos         scale of block d / 32 at d / 32 * 64 + pos
 *   values element (pos, d) at pos * head_dim + d   scale at pos * (head_dim / 32) + d / 32
 * Q8_0: int8, then f16 scales. Q4_0: two elements a byte (even index low), value (nibble - 8) * scale, then
 * f16 scales. */
#include "cpu_state.h"
#include <math.h>
#include <string.h>

enum { PAGE = GOSS_KV_PAGE };

size_t goss_cpu_kv_half(int type, int head_dim)
{
    const size_t n = (size_t)head_dim * PAGE;
    switch (type) {
    case GOSS_F32: return n * 4;
    case GOSS_F16: return n * 2;
    case GOSS_Q8_0: return head_dim % GOSS_BLOCK ? 0 : n + n / GOSS_BLOCK * 2;
    case GOSS_Q4_0: return head_dim % GOSS_BLOCK ? 0 : n / 2 + n / GOSS_BLOCK * 2;
    default: return 0;
    }
}

static uint8_t *half_at(const cpu *c, const goss_kv *kv, int layer, int page, int head, int value)
{
    const int heads = c->base.model->hp.n_head_kv;
    const int cls = c->base.model->layers[layer].windowed ? GOSS_KV_WINDOW : GOSS_KV_FULL;
    const size_t half = ((size_t)c->layer_index[layer] * 2 + (size_t)value) * (size_t)heads + (size_t)head;
    return c->kv[cls] + (size_t)kv->page[cls][page] * c->page_bytes[cls] + half * c->half_bytes;
}

/* Blocks of 32 of one position: integers to their places, `step` apart, and a scale each. */
static void put_blocks(uint8_t *q, uint16_t *scales, int type, const float *x, int n, size_t at, size_t step,
                       size_t scale_at, size_t scale_step)
{
    const float top_q = type == GOSS_Q8_0 ? 127.0f : 7.0f;
    for (int b = 0; b < n / GOSS_BLOCK; b++, x += GOSS_BLOCK) {
        float top = 0.0f;
        for (int i = 0; i < GOSS_BLOCK; i++) top = fmaxf(top, fabsf(x[i]));
        const uint16_t half = goss_f32_to_f16(top / top_q);
        const float d = goss_f16_to_f32(half);
        memcpy(scales + scale_at + (size_t)b * scale_step, &half, 2);
        for (int i = 0; i < GOSS_BLOCK; i++) {
            const float r = d > 0 ? rintf(x[i] / d) : 0.0f;
            const int v = (int)fmaxf(-top_q, fminf(top_q, r));
            const size_t e = at + (size_t)(b * GOSS_BLOCK + i) * step;
            if (type == GOSS_Q8_0) q[e] = (uint8_t)(int8_t)v;
            else q[e / 2] = (uint8_t)(e & 1 ? (q[e / 2] & 15) | (v + 8) << 4 : (q[e / 2] & 0xf0) | (v + 8));
        }
    }
}

void goss_cpu_kv_put(cpu *c, const goss_kv *kv, int layer, int pos, int head, int value, const float *x,
                     float *line)
{
    const int hd = c->base.model->hp.head_dim;
    const size_t in = (size_t)pos % PAGE, step = value ? 1 : PAGE, at = value ? in * (size_t)hd : in;
    uint8_t *half = half_at(c, kv, layer, pos / PAGE, head, value);
    const size_t n = (size_t)hd * PAGE;
    if (c->kv_type == GOSS_F32) {
        float *to = (float *)(void *)half + at;
        for (int d = 0; d < hd; d++) to[(size_t)d * step] = x[d];
    } else if (c->kv_type == GOSS_F16) {
        uint16_t *from = (uint16_t *)(void *)line, *to = (uint16_t *)(void *)half + at;
        c->k.f16_store(from, x, hd);
        for (int d = 0; d < hd; d++) to[(size_t)d * step] = from[d];
    } else {
        uint16_t *scales = (uint16_t *)(void *)(half + (c->kv_type == GOSS_Q8_0 ? n : n / 2));
        put_blocks(half, scales, c->kv_type, x, hd, at, step, value ? in * (size_t)(hd / GOSS_BLOCK) : in,
                   value ? 1 : PAGE);
    }
}

static void get_blocks(const uint8_t *half, int type, int hd, int value, int n, float *to)
{
    const size_t all = (size_t)hd * PAGE;
    const uint16_t *scales = (const uint16_t *)(const void *)(half + (type == GOSS_Q8_0 ? all : all / 2));
    const int outer = value ? n : hd, inner = value ? hd : PAGE;
    for (int o = 0; o < outer; o++)
        for (int i = 0; i < inner; i++) {
            const size_t e = (size_t)o * (size_t)inner + (size_t)i;
            const uint16_t s = scales[value ? (size_t)o * (size_t)(hd / GOSS_BLOCK) + (size_t)i / GOSS_BLOCK
                                            : (size_t)o / GOSS_BLOCK * PAGE + (size_t)i];
            const int v = type == GOSS_Q8_0 ? (int8_t)half[e] : (half[e / 2] >> (e & 1) * 4 & 15) - 8;
            to[e] = (float)v * goss_f16_to_f32(s);
        }
}

void goss_cpu_kv_get(cpu *c, const goss_kv *kv, int layer, int page, int head, int value, int n, float *to)
{
    const int hd = c->base.model->hp.head_dim;
    const uint8_t *half = half_at(c, kv, layer, page, head, value);
    const int count = value ? n * hd : PAGE * hd;
    if (c->kv_type == GOSS_F32) memcpy(to, half, (size_t)count * sizeof *to);
    else if (c->kv_type == GOSS_F16) c->k.f16_load(to, (const uint16_t *)(const void *)half, count);
    else get_blocks(half, c->kv_type, hd, value, n, to);
}
