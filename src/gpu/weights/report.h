/* report.h - what is said while weights arrive: telemetry lines for goss_backend_config.report. */
#ifndef GOSS_GPU_REPORT_H
#define GOSS_GPU_REPORT_H
#include "weights.h"

void goss_report_load(const goss_weights *w, const char *stage, const char *status, const char *detail,
                      uint64_t bytes,
                      uint64_t total);
void goss_report_resident(const goss_weights *w, const goss_tensor *t); /* NULL: nothing to tell */
/* "tensor=WHAT rate=BYTES eta=SECONDS" of what has come since the load began */
void goss_report_rate(const goss_weights *w, char *to, size_t n, const char *what);
#endif
