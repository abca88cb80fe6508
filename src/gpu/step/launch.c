/* launch.c - what launch.h promises: the report and the picks are copied behind the step, and read. */
#include "launch.h"
#include "panels.h"
#include "profile.h"
#include "seen_gpu.h"
#include "base/os.h"

uint64_t goss_launch_report_bytes(const goss_gpu_state *s, const goss_gpu_ticket *t)
{
    return t->paged ? (uint64_t)s->weights.slots.n_report * 4 : 0;
}

static uint64_t picks_end(const goss_gpu_state *s, const goss_gpu_ticket *t)
{
    return goss_launch_report_bytes(s, t) + (uint64_t)(t->n_list ? t->n_list : 1) * GOSS_PICK_WORDS * 4;
}

uint64_t goss_launch_back_bytes(const goss_gpu_state *s, const goss_gpu_ticket *t)
{
    return picks_end(s, t) + (t->many ? 0 : (uint64_t)t->n_rows * goss_seen_row_bytes(s));
}

int goss_launch(goss_gpu_state *s, goss_gpu_ticket *t)
{
    const uint64_t bytes = goss_launch_back_bytes(s, t), report = goss_launch_report_bytes(s, t);
    t->seen_at = picks_end(s, t);
    if (report) goss_rec_copy(&s->rec, s->weights.slots.mark, 0, t->back, 0, report);
    goss_rec_copy(&s->rec, s->buf.pick, 0, t->back, report, t->seen_at - report);
    goss_panels_end(s, t);
    goss_seen_copy(s, t, t->seen_at);
    int r = goss_profile_record(s);
    if (!s->rec.ahead) t->t_launch = goss_os_now_ms();
    if (!r) r = goss_rec_flush(&s->rec);
    if (!r) r = goss_gpu_read(s->gpu, t->back, 0, bytes);
    if (!r) r = goss_profile_submitted(s);
    if (!r && t->left)
        r = goss_gpu_read(s->gpu, t->left_back, 0,
                          (uint64_t)t->n_rows * (uint64_t)s->base.model->hp.n_embd * 4);
    if (!r && t->n_logits)
        r = goss_gpu_read(s->gpu, t->logits_back, 0,
                          (uint64_t)t->n_logits * (uint64_t)s->base.model->hp.n_vocab * 4);
    return r;
}
