/* tool_calls.h - calls of the tools of MCP servers (offers.h). The process of caller.h makes them; a thread
 * here hears from it. Nobody else waits for a call: it is begun, and one looks again when told.
 * Thread-safe. */
#ifndef GOSS_SERVER_TOOL_CALLS_H
#define GOSS_SERVER_TOOL_CALLS_H
#include "base/buf.h"
#include "config.h"
#include "job.h"

/* Before any thread begins and before files and sockets are given up: reads the file, starts the process, and
 * waits a while for its servers to begin. 0 (without --mcp, too), or an error of the file. */
int goss_srv_calls_open(const goss_srv_config *c, goss_error *err);
int goss_srv_calls_begin(void);  /* the thread */
void goss_srv_calls_close(void); /* ends the servers; all calls are over by then */

typedef struct goss_srv_call goss_srv_call;
/* Begins a call; `done` (another thread's, quick) is told at its end. NULL: no memory. */
goss_srv_call *goss_srv_call_make(int label, const char *tool, goss_str arguments, void (*done)(void *ctx),
                                  void *ctx);
int goss_srv_call_done(goss_srv_call *call);
int goss_srv_call_take(goss_srv_call *call, goss_buf *text); /* done: what came of it; a GOSS_MCP_ (mcp.h) */
void goss_srv_call_drop(goss_srv_call **call);               /* one that is under way is cancelled */

/* POST /v1/tools/call: reads the body, and has the job's `out` answered. 0, or -1 with `fail` filled. */
int goss_srv_calls_submit(goss_srv_job *job, const goss_buf *body, goss_srv_fail *fail);
#endif
