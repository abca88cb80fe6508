/* progress.c - one line, redrawn in place:  model.gguf [#####-----] 45 %  5.4/12.1 GB  102 MB/s  1:06 left */
#include "progress.h"
#include "base/fmt.h"
#include "base/os.h"
#include <stdio.h>
#include <unistd.h>

void goss_human_bytes(char out[16], double bytes)
{
    static const char *const units[] = { "B", "kB", "MB", "GB", "TB" };
    int u = 0;
    while (bytes >= 999.5 && u < 4) {
        bytes /= 1000;
        u++;
    }
    goss_fmt(out, 16, u == 0 || bytes >= 99.95 ? "%.0f %s" : "%.1f %s", bytes, units[u]);
}

void goss_progress_start(goss_progress *p, const char *label, uint64_t from, uint64_t total)
{
    *p = (goss_progress){ .label = label,
                          .from = from,
                          .total = total,
                          .begun_ms = goss_os_now_ms(),
                          .shown = isatty(STDERR_FILENO) };
}

static void draw(const goss_progress *p, uint64_t done, double now)
{
    char bar[21], have[16], all[16], rate[16], left[24] = "";
    const double share = p->total ? (double)done / (double)p->total : 0, seconds = (now - p->begun_ms) / 1000;
    const double per_second = seconds > 0 ? (double)(done - p->from) / seconds : 0;
    for (int i = 0; i < 20; i++)
        bar[i] = (double)i < share * 20 ? '#' : '-';
    bar[20] = 0;
    goss_human_bytes(have, (double)done);
    goss_human_bytes(all, (double)p->total);
    goss_human_bytes(rate, per_second);
    if (per_second > 0 && p->total > done) {
        const int s = (int)((double)(p->total - done) / per_second + 1);
        goss_fmt(left, sizeof left, "  %d:%02d left", s / 60, s % 60);
    }
    if (p->total)
        fprintf(stderr, "\r\033[K%s [%s] %d %%  %s of %s  %s/s%s", p->label, bar, (int)(share * 100), have,
                all, rate, left);
    else
        fprintf(stderr, "\r\033[K%s  %s  %s/s", p->label, have, rate);
    fflush(stderr);
}

void goss_progress_update(goss_progress *p, uint64_t done)
{
    const double now = goss_os_now_ms();
    if (!p->shown || (p->drawn_ms > 0 && now - p->drawn_ms < 100))
        return;
    p->drawn_ms = now;
    draw(p, done, now);
}

void goss_progress_end(goss_progress *p)
{
    if (p->shown && p->drawn_ms > 0)
        fprintf(stderr, "\r\033[K");
}
