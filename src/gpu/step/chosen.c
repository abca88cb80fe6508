/* chosen.c - see chosen.h. A choice is for one adapter, driver, library, set of features and text of the
 * kernels: under any other of these it is not read. Where a kernel failed (retry.c) there is none. */
#include "chosen.h"
#include "gpu/weights/report.h"
#include "base/fmt.h"

static void name_device(goss_gpu_state *s)
{
    const goss_gpu_limits *l = goss_gpu_get_limits(s->gpu);
    char *name = s->choice.device;
    const unsigned f = l->features;
    goss_fmt(name, sizeof s->choice.device, "%s; %s; %s;%s%s%s%s%s; kernels %08x", l->adapter, l->driver,
             l->library, f & GOSS_GPU_F16 ? " f16" : "", f & GOSS_GPU_SUBGROUPS ? " subgroups" : "",
             f & GOSS_GPU_DOT4 ? " dot4" : "", l->fragment.m ? " matrices" : "",
             s->facts.kv_half ? " kv16" : "", goss_choice_kernels());
    for (char *c = name; *c; c++)
        if ((unsigned char)*c < ' ') *c = ' ';
}

int goss_chosen_read(goss_gpu_state *s, goss_error *err)
{
    goss_error ignored;
    s->choice.n = 0;
    if (!s->settings.kernels && !s->settings.measures) return 0;
    name_device(s);
    if (s->settings.smaller || !s->settings.kernels) return 0;
    const int r = goss_choice_read(&s->choice, s->settings.kernels, s->settings.measures ? &ignored : err);
    return s->settings.measures ? 0 : r;
}

goss_choice_line goss_chosen_few_like(const goss_gpu_state *s)
{
    const goss_model *m = s->base.model;
    return (goss_choice_line){ .kind = GOSS_CHOICE_FEW,
                               .layout = m->hp.n_layer ? goss_layout_of(m->layers[0].gate.type) : -1,
                               .n_in = (uint32_t)m->hp.n_embd,
                               .n_out = (uint32_t)m->hp.n_ff };
}

const goss_choice_line *goss_chosen_few(goss_gpu_state *s)
{
    const goss_choice_line like = goss_chosen_few_like(s);
    return goss_choice_find(&s->choice, GOSS_CHOICE_FEW, like.layout, like.n_in, like.n_out);
}

void goss_chosen_tell(goss_gpu_state *s, uint32_t mark)
{
    char detail[GOSS_CHOICE_DEVICE + 64];
    if (!*s->choice.device) return;
    goss_fmt(detail, sizeof detail, "lines=%d mark=%08x device=%s", s->choice.n, mark, s->choice.device);
    goss_report_load(&s->weights, "gpu_kernels", "completed", detail, 0, 0);
}
