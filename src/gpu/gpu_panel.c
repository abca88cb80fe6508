/* gpu_panel.c - the buffer that a page draws its maps from, on the same device: kernels fill it, nothing is read back.
 * It exists where telemetry asks for panels (GOSS_TELEMETRY_PANELS), under the label "panels". Floats:
 *
 *   0  n_layer | n_expert | position of the last row | watched layer | watched head | most KV positions | 10 spare
 *   16 for each of 128 rows of the attention map: its first key + 1, or 0: the row is empty
 *   256 + layer * 544: | use of each expert (256), fading | weights now (256) | norm of the residual | keys |
 *                      | first kept | spare
 *   map = 256 + n_layer * 544: 128 rows (position % 128) of 256 weights, the first key's first
 *
 * A layer costs one small dispatch more, the watched one two. */
#include "gpu_state.h"
#include "../base/error.h"
#include "../base/mem.h"

enum { HEAD = 256, RECORD = 544, EXPERTS = 256, ROWS = 128, COLUMNS = 256, FIRSTS = 16 };

static uint32_t map_at(const goss_gpu_state *s) { return HEAD + (uint32_t)s->base.model->hp.n_layer * RECORD; }

static int build_layer(goss_gpu_state *s, goss_gpu_layer *l, int i, goss_error *err)
{
    const goss_hparams *hp = &s->base.model->hp;
    const uint32_t window = l->cls == GOSS_KV_WINDOW ? (uint32_t)hp->window : 0, hd = (uint32_t)hp->head_dim;
    const uint32_t p[] = { (uint32_t)i, (uint32_t)hp->n_layer, (uint32_t)hp->n_embd, (uint32_t)hp->n_expert,
                           (uint32_t)hp->n_expert_used, window };
    int r = goss_gpu_plain(s, &l->p_layer, "panel_layer.wgsl", "urrrw", "", p, sizeof p,
                           (const int[]){ s->step, s->x, hp->n_expert ? s->rlogits : s->dummy, s->panel }, err);
    const uint32_t a[] = { (uint32_t)hp->n_head, (uint32_t)hp->n_head_kv, hd, window, (uint32_t)l->cls,
                           (uint32_t)(hp->n_head + 2 * hp->n_head_kv) * hd, goss_gpu_bits(hp->attn_scale), l->sinks,
                           goss_gpu_rope_half(hp), map_at(s) };
    if (!r)
        r = goss_gpu_plain(s, &l->p_attend, "panel_attend.wgsl", "urrrrw", goss_gpu_kv_defines(s), a,
                           sizeof a, (const int[]){ s->step, s->qkv, l->kv, l->small, s->panel }, err);
    return r;
}

/* After all buffers of the layers. */
int goss_gpu_panel_build(goss_gpu_state *s, goss_error *err)
{
    const goss_hparams *hp = &s->base.model->hp;
    if (!s->panels || hp->n_expert > EXPERTS) return 0;
    s->panel = goss_gpu_buffer(s->gpu, (map_at(s) + ROWS * COLUMNS) * 4ull,
                               GOSS_GPU_STORAGE | GOSS_GPU_COPY_DST | GOSS_GPU_COPY_SRC, "panels");
    if (s->panel < 0) return goss_fail(err, s->panel, -1, "no GPU memory for the panels");
    int r = 0;
    for (int i = 0; i < hp->n_layer && !r; i++) r = build_layer(s, &s->layers[i], i, err);
    const float head[6] = { (float)hp->n_layer, (float)hp->n_expert, 0, (float)s->panel_layer, (float)s->panel_head,
                            (float)s->config.max_kv };
    return r ? r : goss_gpu_write(s->gpu, s->panel, 0, head, sizeof head);
}

/* Another head's rows begin anew. */
void goss_gpu_panel_watch(goss_gpu_state *s, int layer, int head)
{
    const float where[2] = { (float)layer, (float)head }, none[ROWS] = { 0 };
    s->panel_layer = layer;
    if (s->panel <= 0) return;
    goss_gpu_write(s->gpu, s->panel, 3 * sizeof(float), where, sizeof where);
    goss_gpu_write(s->gpu, s->panel, FIRSTS * sizeof(float), none, sizeof none);
}

void goss_gpu_panel_attend(goss_gpu_state *s, const goss_gpu_layer *l, int layer)
{
    if (s->panel > 0 && layer == s->panel_layer) goss_gpu_record(s, &l->p_attend, 0, 0, 1, 1, 1);
}

void goss_gpu_panel_layer(goss_gpu_state *s, const goss_gpu_layer *l)
{
    if (s->panel > 0) goss_gpu_record(s, &l->p_layer, 0, 0, 1, 1, 1);
}
