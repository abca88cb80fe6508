/* start.h - from a request to running lanes. Only the runner's thread may call these. */
#ifndef GOSS_SERVER_START_H
#define GOSS_SERVER_START_H
#include "slots.h"
/* The job's slot is ready: renders its prompts and sets up its lanes, or answers at once (tokenize, detokenize,
 * count). 0: lanes wait; 1: job->bytes are the answer; -1: job->fail is filled. */
int goss_srv_start_job(goss_srv_job *job, const goss_srv_config *c);
/* Gives a waiting lane a session. 0, or -1 with job->fail filled. */
int goss_srv_start_lane(goss_srv_lane *lane, const goss_srv_config *c);
/* Refusals in the words of HTTP for what the engine said. */
int goss_srv_fail_engine(goss_srv_fail *f, int rc, const goss_error *err);
#endif
