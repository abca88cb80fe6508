/* forward.c - the forward pass, the same for every backend: a straight loop over layers, calling the backend's
 * stages. */
#include "stage.h"
#include "../base/error.h"

const char *goss_stage_name(goss_stage s)
{
    static const char *const names[GOSS_N_STAGES] = { "embed", "attn_in", "attend", "attn_out", "route", "experts",
                                                      "ffn", "head", "sample" };
    return (unsigned)s < GOSS_N_STAGES ? names[s] : "";
}

int goss_forward_layers(goss_backend *b, goss_step *s, int from, int to)
{
    const goss_backend_vt *vt = b->vt;
    for (int l = from; l < to; l++) {
        int rc = b->arriving ? goss_need_layer(b, l) : 0;
        if (rc == 0) rc = vt->attn_in(b, s, l);
        if (rc == 0) rc = vt->attend(b, s, l);
        if (rc == 0) rc = vt->attn_out(b, s, l);
        if (b->model->hp.n_expert) {
            if (rc == 0) rc = vt->route(b, s, l);
            if (rc == 0) rc = vt->experts(b, s, l);
        } else if (rc == 0) {
            rc = vt->ffn(b, s, l);
        }
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

static int run_stages(goss_backend *b, goss_step *s)
{
    int rc = b->arriving ? goss_need_embed(b, s) : 0;
    if (rc == 0) rc = b->vt->embed(b, s);
    if (rc == 0) rc = goss_forward_layers(b, s, 0, b->model->hp.n_layer);
    if (rc == 0 && b->arriving && wants_head(s)) rc = goss_need_head(b);
    if (rc == 0) rc = b->vt->head(b, s);
    if (rc == 0) rc = b->vt->sample(b, s);
    return rc;
}

/* A step that fails between begin and submit is released here; the caller has nothing to clean up. */
int goss_forward(goss_backend *b, goss_step *s, goss_error *err)
{
    int rc = b->vt->begin(b, s, err);
    if (rc < 0) return rc;
    rc = run_stages(b, s);
    if (rc < 0) goss_fail(err, rc, -1, "a stage of the forward pass failed: %s", goss_error_name(rc));
    else rc = b->vt->submit(b, s, err);
    if (rc < 0) b->vt->release(b, s);
    return rc;
}
