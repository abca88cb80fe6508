/* metrics.h - counters for /metrics. Lock-free adds from any thread; the engine's figures are copied in by
 * the runner. */
#ifndef GOSS_SERVER_METRICS_H
#define GOSS_SERVER_METRICS_H
#include "base/buf.h"
#include <gossamer.h>
void goss_srv_metrics_request(const char *route, int status, double ms); /* route: static text */
void goss_srv_metrics_answer(int prompt, int reused, int generated, double first_ms, double tokens_per_s);
void goss_srv_metrics_engine(const goss_stats *stats, int loaded);
/* a round of the engine's thread: its processor time outside models */
void goss_srv_metrics_own(double ms);
void goss_srv_metrics_jobs(int waiting, int running);                     /* changes of the two gauges */
void goss_srv_metrics_prompts(int running, int left);  /* prompts being computed, their tokens that are not */
void goss_srv_metrics_connections(int change);
void goss_srv_metrics_reject(void);                                       /* the queue was full */
void goss_srv_metrics_write(goss_buf *b);
#endif
