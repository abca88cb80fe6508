/* seen_gpu.c - see seen_gpu.h. The buffer's words:
 *
 *   0  watched head | words of a row | 2 spare
 * 4 + row * words of a row:  layer << 16 | head | 16 positions, best first, or 0xffffffff | their 16
 * weights, as bits | n_layer * n_expert_used: expert << 16 | weight in 65535ths
 *
 * route.wgsl writes the experts, or choose.wgsl does: of one row alone, whose experts are chosen late
 * (stages.c), of all layers at the step's end. looks.wgsl writes all before them, for the watched layer. So a
 * recording costs a step of one row two dispatches. Steps of many rows leave the buffer as it is, and nothing
 * of it comes back with them. */
#include "seen_gpu.h"
#include "calls.h"
#include "gpu/kernels/blocks.h"
#include "base/error.h"

enum { HEAD_WORDS = 4, LOOK_AT = 1, WEIGHT_AT = 1 + GOSS_LOOKS, EXPERT_AT = 1 + 2 * GOSS_LOOKS };

static uint32_t row_words(const goss_gpu_state *s)
{
    const goss_hparams *hp = &s->base.model->hp;
    return (EXPERT_AT + (uint32_t)(hp->n_layer * hp->n_expert_used) + 3) & ~3u;
}

uint64_t goss_seen_row_bytes(const goss_gpu_state *s)
{
    return s->settings.record && s->base.model->hp.n_layer ? row_words(s) * 4ull : 0;
}

int goss_seen_open(goss_gpu_state *s, goss_error *err)
{
    if (!goss_seen_row_bytes(s)) return 0;
    const int r =
        goss_weights_buffer(&s->weights, &s->seen,
                            HEAD_WORDS * 4 + (uint64_t)s->facts.few_rows * goss_seen_row_bytes(s),
                            GOSS_BUFFER_RW, "seen", err);
    if (!r) goss_seen_watch(s, s->settings.panel_layer, s->settings.panel_head);
    return r;
}

/* The experts of all layers. */
static int late_call(goss_gpu_state *s, goss_error *err)
{
    const goss_hparams *hp = &s->base.model->hp;
    const goss_block_route p = { .n_expert = (uint32_t)hp->n_expert, .top_k = (uint32_t)hp->n_expert_used };
    return s->calls.seen_late ? goss_call_make(&s->weights, &s->calls.seen_layers, "choose.wgsl", "urw",
                                         "WG=64 SEEN=y LAYERS=y", &p, sizeof p,
                                         (const int[]){ s->buf.rlogits, s->seen }, err)
                        : 0;
}

int goss_seen_build(goss_gpu_state *s, goss_error *err)
{
    const goss_hparams *hp = &s->base.model->hp;
    s->calls.seen_late = 1;
    for (int i = 0; i < hp->n_layer; i++) s->calls.seen_late &= s->calls.layers[i].spread;
    int r = s->seen > 0 ? late_call(s, err) : 0;
    for (int i = 0; i < hp->n_layer && s->seen > 0 && !r; i++) {
        goss_layer_calls *l = &s->calls.layers[i];
        const uint32_t window = l->w->cls == GOSS_KV_WINDOW ? (uint32_t)hp->window : 0;
        const goss_block_looks p = { .n_head = (uint32_t)hp->n_head,
                                     .n_kv = (uint32_t)hp->n_head_kv,
                                     .head_dim = (uint32_t)hp->head_dim,
                                     .window = window,
                                     .cls = (uint32_t)l->w->cls,
                                     .stride = (uint32_t)((hp->n_head + 2 * hp->n_head_kv) * hp->head_dim),
                                     .scale = hp->attn_scale,
                                     .sinks = l->w->sinks,
                                     .half = goss_rope_half(hp),
                                     .layer = (uint32_t)i };
        r = goss_call_make(&s->weights, &l->looks, "looks.wgsl", "urrrrw", goss_kv_defines(&s->facts), &p,
                           sizeof p, (const int[]){ s->buf.step, s->buf.qkv, l->w->kv, l->w->small, s->seen },
                           err);
    }
    return r;
}

void goss_seen_watch(goss_gpu_state *s, int layer, int head)
{
    const uint32_t words[2] = { (uint32_t)head, row_words(s) };
    s->settings.panel_layer = layer;
    s->settings.panel_head = head;
    if (s->seen > 0) goss_gpu_write(s->gpu, s->seen, 0, words, sizeof words);
}

void goss_seen_attend(goss_gpu_state *s, const goss_layer_calls *l, int layer, const goss_step *step)
{
    if (s->seen > 0 && layer == s->settings.panel_layer && !goss_gpu_many(s, step))
        goss_rec_dispatch(&s->rec, &l->looks, 0, 0, (uint32_t)step->n_rows, 1, 1);
}

int goss_seen_late(const goss_gpu_state *s, int n_rows, int many)
{
    const int shown = s->seen > 0 || s->panel > 0;
    return n_rows == 1 && !many && !s->settings.tap && (!shown || s->calls.seen_late);
}

void goss_seen_copy(goss_gpu_state *s, const goss_gpu_ticket *t, uint64_t offset)
{
    if (s->seen > 0 && goss_seen_late(s, t->n_rows, t->many))
        goss_rec_dispatch(&s->rec, &s->calls.seen_layers, 0, 0, (uint32_t)s->base.model->hp.n_layer, 1, 1);
    if (s->seen > 0 && !t->many)
        goss_rec_copy(&s->rec, s->seen, HEAD_WORDS * 4, t->back, offset,
                      (uint64_t)t->n_rows * goss_seen_row_bytes(s));
}

int goss_seen_read(const goss_gpu_state *s, const goss_gpu_ticket *t, int row, goss_seen *out)
{
    const goss_hparams *hp = &s->base.model->hp;
    if (s->seen <= 0 || t->many || row >= t->n_rows) return 0;
    const uint32_t *w = t->words + t->seen_at / 4 + (uint32_t)row * row_words(s);
    out->watch[0] = (uint16_t)(w[0] >> 16);
    out->watch[1] = (uint16_t)w[0];
    out->n_looks = 0;
    for (int i = 0; i < GOSS_LOOKS && w[LOOK_AT + i] != UINT32_MAX; i++) {
        out->look[i] = w[LOOK_AT + i];
        out->look_weight[i] = goss_share(goss_bits_float(w[WEIGHT_AT + i]));
        out->n_looks++;
    }
    const int n = hp->n_layer * hp->n_expert_used;
    for (int i = 0; i < n; i++) {
        out->expert[i] = (uint16_t)(w[EXPERT_AT + i] >> 16);
        out->weight[i] = (uint16_t)w[EXPERT_AT + i];
    }
    return GOSS_SEEN_LOOKS | (n ? GOSS_SEEN_EXPERTS : 0);
}
