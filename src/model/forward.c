/* forward.c - the forward pass, the same for every backend: a straight loop over layers, calling the
 * backend's stages. A paused step goes on with the stage that was not finished; what is behind it is not
 * called again. */
#include "stage.h"
#include "base/error.h"
#include "base/os.h"

const char *goss_stage_name(goss_stage s)
{
    static const char *const names[GOSS_N_STAGES] = { "embed",   "attn_in", "attend", "attn_out", "route",
                                                      "experts", "ffn",     "head",   "sample" };
    return (unsigned)s < GOSS_N_STAGES ? names[s] : "";
}

/* The time of a stage, all slices together, where it is asked for; layer n_layer: of those before and behind
 * the layers. */
static void took(const goss_step *s, int layer, int stage, double began)
{
    if (s->stage_us)
        s->stage_us[layer * GOSS_LAYER_STAGES + stage] += (float)((goss_os_now_ms() - began) * 1000);
}

typedef int (*layer_stage)(goss_backend *b, goss_step *s, int layer);

static int of_layer(goss_backend *b, goss_step *s, int layer, goss_stage stage, layer_stage run)
{
    const double began = s->stage_us ? goss_os_now_ms() : 0;
    const int rc = run(b, s, layer);
    took(s, layer, (int)stage - GOSS_STAGE_ATTN_IN, began);
    return rc;
}

/* s->stage: the one that comes next; not 0 where the step was paused within the layer. */
static int forward_layer(goss_backend *b, goss_step *s, int layer)
{
    static const goss_stage with_experts[] = { GOSS_STAGE_ATTN_IN, GOSS_STAGE_ATTEND, GOSS_STAGE_ATTN_OUT,
                                               GOSS_STAGE_ROUTE, GOSS_STAGE_EXPERTS },
                            dense[] = { GOSS_STAGE_ATTN_IN, GOSS_STAGE_ATTEND, GOSS_STAGE_ATTN_OUT,
                                        GOSS_STAGE_FFN };
    const goss_backend_vt *vt = b->vt;
    const int experts = b->model->hp.n_expert != 0, n = experts ? 5 : 4;
    const layer_stage all[] = { vt->attn_in, vt->attend, vt->attn_out, experts ? vt->route : vt->ffn,
                                vt->experts };
    int rc = b->arriving && !s->stage ? goss_need_layer(b, layer) : 0;
    while (rc == 0 && s->stage < n) {
        rc = of_layer(b, s, layer, experts ? with_experts[s->stage] : dense[s->stage], all[s->stage]);
        if (rc == 0) s->stage++;
    }
    if (rc == 0) s->stage = 0;
    return rc;
}

int goss_forward_layers(goss_backend *b, goss_step *s, int from, int to)
{
    for (s->layer = from; s->layer < to; s->layer++) {
        const int rc = forward_layer(b, s, s->layer);
        if (rc < 0) return rc;
    }
    return 0;
}

static int wants_head(const goss_step *s)
{
    for (int i = 0; i < s->n_rows; i++)
        if (s->rows[i].want) return 1;
    return 0;
}

/* embed, head, sample: `place` is 0, 1 or 2. */
static int of_step(goss_backend *b, goss_step *s, int place, int (*run)(goss_backend *b, goss_step *s))
{
    const double began = s->stage_us ? goss_os_now_ms() : 0;
    const int rc = run(b, s);
    took(s, b->model->hp.n_layer, place, began);
    return rc;
}

static int embed(goss_backend *b, goss_step *s)
{
    int rc = b->arriving ? goss_need_embed(b, s) : 0;
    if (rc == 0) rc = of_step(b, s, 0, b->vt->embed);
    if (rc == 0) s->layer = 0;
    return rc;
}

static int run_stages(goss_backend *b, goss_step *s)
{
    int rc = s->layer < 0 ? embed(b, s) : 0;
    if (rc == 0) rc = goss_forward_layers(b, s, s->layer, b->model->hp.n_layer);
    if (rc == 0 && b->arriving && wants_head(s)) rc = goss_need_head(b);
    if (rc == 0) rc = of_step(b, s, 1, b->vt->head);
    if (rc == 0 && b->vt->sample) rc = of_step(b, s, 2, b->vt->sample);
    return rc;
}

static int run(goss_backend *b, goss_step *s, goss_error *err)
{
    int rc = run_stages(b, s);
    if (rc == GOSS_EAGAIN && s->until > 0) return rc;
    if (rc == GOSS_EIO) goss_fail(err, rc, -1, "bytes of the model can't be had");
    else if (rc < 0) goss_fail(err, rc, -1, "a stage of the forward pass failed: %s", goss_error_name(rc));
    else rc = b->vt->submit(b, s, err);
    if (rc < 0) b->vt->release(b, s);
    return rc;
}

/* A step that fails between begin and submit is released here; the caller has nothing to clean up. */
int goss_forward(goss_backend *b, goss_step *s, goss_error *err)
{
    const int rc = b->vt->begin(b, s, err);
    s->layer = -1;
    s->stage = 0;
    return rc < 0 ? rc : run(b, s, err);
}

int goss_forward_on(goss_backend *b, goss_step *s, goss_error *err)
{
    b->vt->go_on(b, s);
    return run(b, s, err);
}
