/* prefilling.c - see prefilling.h. A stream's comment is nothing to whoever reads its events, and keeps
 * proxies and clients from giving up; what a protocol has for it besides is its writer's. */
#include "prefilling.h"
#include "base/os.h"
#include "log.h"
#include "metrics.h"

/* Tokens of its lanes' prompts, and how many of them are computed; 0: it is past that. */
static int prompts_of(const goss_srv_job *job, int *done)
{
    int total = 0;
    *done = 0;
    for (int i = 0; i < job->n_lanes; i++) {
        const goss_srv_lane *lane = &job->lanes[i];
        if (lane->state == GOSS_SRV_LANE_DONE || lane->first_ms > 0) continue;
        total += lane->n_prompt;
        *done += lane->n_prefilled;
    }
    return total;
}

static void log_line(const goss_srv_job *job, int done, int total, double now)
{
    const double s = (now - job->lanes[0].start_ms) / 1000;
    const int fresh = done - job->lanes[0].n_reused;
    if (fresh > 0 && s > 0)
        goss_srv_log("%s: prompt %d of %d tokens, %.0f tokens/s, about %.0f s left", job->model, done, total,
                     fresh / s, (total - done) * s / fresh);
    else goss_srv_log("%s: prompt %d of %d tokens", job->model, done, total);
}

void goss_srv_prefilling_tell(goss_srv_job *job, double pause_ms)
{
    int done;
    const int total = prompts_of(job, &done);
    const double now = goss_os_now_ms();
    if (!total) return;
    if (job->told_ms <= 0) job->told_ms = now;
    if (now - job->told_ms < pause_ms) return;
    job->told_ms = now;
    log_line(job, done, total, now);
    if (!job->req.stream) return;
    if (job->out.comments) goss_buf_printf(&job->bytes, ": prompt %d of %d tokens\n\n", done, total);
    if (job->writer->waits) job->writer->waits(job, done, total);
}

void goss_srv_prefilling_count(const goss_srv_job *jobs)
{
    int n = 0, left = 0;
    for (const goss_srv_job *job = jobs; job; job = job->next) {
        int done;
        const int total = prompts_of(job, &done);
        n += total > 0;
        left += total - done;
    }
    goss_srv_metrics_prompts(n, left);
}
