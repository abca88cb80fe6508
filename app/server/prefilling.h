/* prefilling.h - says how far long prompts are: on their streams, on the console, in /metrics. */
#ifndef GOSS_SERVER_PREFILLING_H
#define GOSS_SERVER_PREFILLING_H
#include "job.h"

/* Between two steps, of a job that has begun: every pause_ms. Appends to job->bytes. */
void goss_srv_prefilling_tell(goss_srv_job *job, double pause_ms);
void goss_srv_prefilling_count(const goss_srv_job *jobs); /* for /metrics */
#endif
