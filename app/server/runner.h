/* runner.h - the one thread that owns the engines. Requests come in through a bounded queue; everything goes
 * out through goss_srv_out.
 *
 *   queue -> admitted (model loaded) -> prepared, in a thread of its own (prepare.h) -> lanes get sessions, first
 *   come first served -> events -> done
 *
 * The thread sleeps on a condition variable whenever no engine has work, so an idle server uses no CPU. */
#ifndef GOSS_SERVER_RUNNER_H
#define GOSS_SERVER_RUNNER_H
#include "config.h"
#include "job.h"

typedef struct goss_srv_runner goss_srv_runner;
enum { GOSS_SRV_LOADING, GOSS_SRV_OK, GOSS_SRV_FAILED, GOSS_SRV_STOPPING };
typedef struct goss_srv_health {
    int state, loaded;
    double progress;
    char model[GOSS_SRV_ID], backend[16], error[256]; /* backend: "" while it is loading */
} goss_srv_health;

typedef struct goss_srv_loaded {  /* a model in memory */
    char id[GOSS_SRV_ID];
    uint64_t bytes, gpu_bytes;
    int n_ctx;
    int64_t expires;               /* unix time; -1: never */
} goss_srv_loaded;

/* Starts the thread, which loads the default model at once. `wake` (any thread) is called when the state
 * changes. */
int goss_srv_runner_open(goss_srv_runner **out, const goss_srv_config *c, void (*wake)(void *ctx), void *ctx);
/* Takes a reference of its own. 0, GOSS_EFULL (429) or GOSS_ESTATE (stopping). */
int goss_srv_runner_submit(goss_srv_runner *r, goss_srv_job *job);
void goss_srv_runner_nudge(goss_srv_runner *r);                    /* a job was canceled: look */
/* models are loaded anew once their answers are done */
void goss_srv_runner_reload(goss_srv_runner *r);
/* no new jobs; what runs may finish until then (goss_os_now_ms) */
void goss_srv_runner_stop(goss_srv_runner *r, double deadline_ms);
int goss_srv_runner_stopped(goss_srv_runner *r);                   /* 1: the thread has ended */
void goss_srv_runner_health(goss_srv_runner *r, goss_srv_health *out);
void goss_srv_runner_lose(goss_srv_runner *r, const char *why);    /* that is its health until the end */
/* Those in memory now (at most a fifth of a second ago); returns how many. */
int goss_srv_runner_loaded(goss_srv_runner *r, goss_srv_loaded *out, int max);
void goss_srv_runner_close(goss_srv_runner **r);                   /* joins the thread */
#endif
