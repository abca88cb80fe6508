/* panels.c - the buffer that a page draws its maps from, on the same device: kernels fill it, nothing is
 * read back. It exists where telemetry asks for panels (GOSS_TELEMETRY_PANELS), under the label "panels".
 * Floats:
 *
 * 0  n_layer | n_expert | position of the last row | watched layer | watched head | most KV positions |
 *    10 spare
 * 16 for each of 128 rows of the attention map: its first key + 1, or 0: the row is empty
 * 256 + layer * 544: use of each expert (256), fading | weights now (256) | norm of the residual | keys |
 *    first kept | window | spare
 * map = 256 + n_layer * 544: 128 rows (position % 128) of 256 weights, the first key's first
 *
 * A layer costs one small dispatch more, the watched one two; a step of one row whose experts are chosen
 * late (stages.c) one behind all layers. */
#include "panels.h"
#include "seen_gpu.h"
#include "calls.h"
#include "gpu/kernels/blocks.h"
#include "base/error.h"

static uint32_t map_at(const goss_gpu_state *s)
{
    return GOSS_PANEL_RECORDS + (uint32_t)s->base.model->hp.n_layer * GOSS_PANEL_RECORD;
}

static int layer_call(goss_gpu_state *s, goss_call *c, int layer, const char *bindings, const char *defines,
                      goss_error *err)
{
    const goss_hparams *hp = &s->base.model->hp;
    const goss_block_panel_layer p = { .layer = (uint32_t)layer,
                                       .n_layer = (uint32_t)hp->n_layer,
                                       .n_embd = (uint32_t)hp->n_embd,
                                       .n_expert = (uint32_t)hp->n_expert,
                                       .top_k = (uint32_t)hp->n_expert_used };
    const int buffers[] = { s->buf.step, hp->n_expert ? s->buf.rlogits : s->kernels.spare, s->panel,
                            s->buf.x };
    return goss_call_make(&s->weights, c, "panel_layer.wgsl", bindings, defines, &p, sizeof p, buffers, err);
}

static int window_of(const goss_gpu_state *s, int layer)
{
    return s->weights.layers[layer].cls == GOSS_KV_WINDOW ? s->base.model->hp.window : 0;
}

static int build_layer(goss_gpu_state *s, goss_layer_calls *l, int i, goss_error *err)
{
    const goss_hparams *hp = &s->base.model->hp;
    const uint32_t window = (uint32_t)window_of(s, i), hd = (uint32_t)hp->head_dim;
    int r = layer_call(s, &l->panel.layer, i, "urrwr", "", err);
    const goss_block_panel_attend a = { .n_head = (uint32_t)hp->n_head, .n_kv = (uint32_t)hp->n_head_kv,
                                        .head_dim = hd, .window = window, .cls = (uint32_t)l->w->cls,
                                        .stride = (uint32_t)(hp->n_head + 2 * hp->n_head_kv) * hd,
                                        .scale = hp->attn_scale, .sinks = l->w->sinks,
                                        .half = goss_rope_half(hp), .map = map_at(s) };
    if (!r)
        r = goss_call_make(&s->weights, &l->panel.attend, "panel_attend.wgsl", "urrrrw",
                           goss_kv_defines(&s->facts), &a,
                           sizeof a, (const int[]){ s->buf.step, s->buf.qkv, l->w->kv, l->w->small,
                                                    s->panel }, err);
    return r;
}

int goss_panels_open(goss_gpu_state *s, goss_error *err)
{
    const goss_hparams *hp = &s->base.model->hp;
    int r = 0;
    if (!s->settings.panels || hp->n_expert > GOSS_PANEL_EXPERTS) return 0;
    s->panel = goss_gpu_buffer(s->gpu, (map_at(s) + GOSS_PANEL_ROWS * GOSS_PANEL_COLUMNS) * 4ull,
                               GOSS_GPU_STORAGE | GOSS_GPU_COPY_DST | GOSS_GPU_COPY_SRC, "panels");
    if (s->panel < 0) return goss_fail(err, s->panel, -1, "no GPU memory for the panels");
    for (int i = 0; i < hp->n_layer && !r; i++) {
        const float sees = (float)window_of(s, i);
        r = goss_gpu_write(s->gpu, s->panel,
                           (GOSS_PANEL_RECORDS + (uint32_t)i * GOSS_PANEL_RECORD + GOSS_PANEL_WINDOW) * 4ull,
                           &sees, 4);
    }
    const float head[6] = { (float)hp->n_layer, (float)hp->n_expert, 0, (float)s->settings.panel_layer,
                            (float)s->settings.panel_head,
                            (float)s->config.max_kv };
    return r ? r : goss_gpu_write(s->gpu, s->panel, 0, head, sizeof head);
}

int goss_panels_build(goss_gpu_state *s, goss_error *err)
{
    const goss_hparams *hp = &s->base.model->hp;
    if (s->panel <= 0) return 0;
    int r = hp->n_expert ? layer_call(s, &s->calls.panel_layers, 0, "urrw", "LAYERS=y", err) : 0;
    for (int i = 0; i < hp->n_layer && !r; i++) r = build_layer(s, &s->calls.layers[i], i, err);
    return r;
}

/* Another head's rows begin anew. */
void goss_panels_watch(goss_gpu_state *s, int layer, int head)
{
    const float where[2] = { (float)layer, (float)head }, none[GOSS_PANEL_ROWS] = { 0 };
    s->settings.panel_layer = layer;
    if (s->panel <= 0) return;
    goss_gpu_write(s->gpu, s->panel, GOSS_PANEL_LAYER * sizeof(float), where, sizeof where);
    goss_gpu_write(s->gpu, s->panel, GOSS_PANEL_FIRSTS * sizeof(float), none, sizeof none);
}

void goss_panels_attend(goss_gpu_state *s, const goss_layer_calls *l, int layer)
{
    if (s->panel > 0 && layer == s->settings.panel_layer) goss_rec_dispatch(&s->rec, &l->panel.attend, 0, 0,
                                                                      1, 1, 1);
}

void goss_panels_layer(goss_gpu_state *s, const goss_layer_calls *l)
{
    if (s->panel > 0) goss_rec_dispatch(&s->rec, &l->panel.layer, 0, 0, 1, 1, 1);
}

void goss_panels_end(goss_gpu_state *s, const goss_gpu_ticket *t)
{
    if (s->panel > 0 && goss_seen_late(s, t->n_rows, t->many))
        goss_rec_dispatch(&s->rec, &s->calls.panel_layers, 0, 0, (uint32_t)s->base.model->hp.n_layer, 1, 1);
}
