/* start.h - from a request to running lanes. Only the runner's thread may call these. */
#ifndef GOSS_SERVER_START_H
#define GOSS_SERVER_START_H
#include "seats.h"
/* The job is prepared: sets up its lanes. 0, or -1 with job->fail filled. */
int goss_srv_start_job(goss_srv_job *job, const goss_srv_config *c);
/* Gives a waiting lane a session. 0, 1 when there is none just now, or -1 with job->fail filled. */
int goss_srv_start_lane(goss_srv_lane *lane, const goss_srv_config *c);
#endif
