/* progress.h - a progress bar on standard error, drawn only when that is a terminal, at most ten times a
 * second. */
#ifndef GOSS_CLI_PROGRESS_H
#define GOSS_CLI_PROGRESS_H
#include <stdint.h>
typedef struct goss_progress {
    const char *label;
    uint64_t from, total;
    double begun_ms, drawn_ms;
    int shown;
} goss_progress;
/* from: what was done before (a resumed download); it counts for the bar and not for the rate. total 0:
 * unknown. */
void goss_progress_start(goss_progress *p, const char *label, uint64_t from, uint64_t total);
void goss_progress_update(goss_progress *p, uint64_t done);
void goss_progress_end(goss_progress *p);          /* clears the line */
/* "12.1 GB": powers of 1000, as disks and networks count */
void goss_human_bytes(char out[16], double bytes);
#endif
