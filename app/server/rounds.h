/* rounds.h - answers that take several generations: those in which the server runs tools. A lane whose
 * generation ends with such a call waits for it, in no session; then the conversation, with the call and its
 * result behind it, is rendered again, and the lane goes on. The runner's thread alone calls these; it never
 * waits.
 *
 *   runs -> call -> CALLS -> result -> PREPARES -> session -> runs ... -> done
 *
 * Calls that a request has approved are made first, one after the other. An answer has at most ROUNDS calls
 * (max_tool_calls: fewer); then the model can call the client's tools alone.
 *
 * An answer that is reasoning alone, since the model ended its turn there, goes on once, behind that
 * reasoning and without more of it: nobody is given nothing. */
#ifndef GOSS_SERVER_ROUNDS_H
#define GOSS_SERVER_ROUNDS_H
#include "job.h"

void goss_srv_rounds_list(goss_srv_job *job); /* the answer begins: items of what MCP servers offer */
/* Each: 0, or -1 with job->fail filled. `told` (any thread) is called when there is something to do. */
int goss_srv_rounds_open(goss_srv_job *job, void (*told)(void *ctx), void *ctx);   /* the approved calls */
int goss_srv_round_begin(goss_srv_lane *lane, void (*told)(void *ctx), void *ctx); /* goss_srv_lane_calls */
/* goss_srv_lane_lacks; its session is open yet. 1: there is no way: the lane is done. */
int goss_srv_round_answer(goss_srv_lane *lane);
/* 1: lanes may have sessions; 0: not yet, or the answer is over; -1: job->fail is filled. */
int goss_srv_round_go(goss_srv_job *job, void (*told)(void *ctx), void *ctx);
int goss_srv_round_sleeps(const goss_srv_job *job); /* 1: nothing to do until told */
void goss_srv_round_end(goss_srv_job *job);         /* a call that is under way is cancelled */
#endif
