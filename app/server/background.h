/* background.h - responses for which nobody waits: asked for with background, they run on when their client
 * is gone. Who asks for one is told how far it is, or follows its stream from any event on. Bounded in
 * number, in time, and their streams in bytes together. What has ended is the store's. Thread-safe.
 *
 *   queued -> in_progress -> completed, incomplete, failed
 *        \-> cancelled <-/
 */
#ifndef GOSS_SERVER_BACKGROUND_H
#define GOSS_SERVER_BACKGROUND_H
#include "job.h"

/* At most so many at once, of so many seconds, with so many bytes of streams. */
void goss_srv_background_open(int most, double seconds, uint64_t max_bytes);
int goss_srv_background_count(void);

/* The job becomes one: `pending` is its response as long as it runs, with the status queued. Takes its
 * memory. 0, GOSS_EFULL or GOSS_ENOMEM. */
int goss_srv_background_begin(goss_srv_job *job, goss_buf *pending);
/* For the runner, of a job that is one. */
void goss_srv_background_runs(goss_srv_job *job);   /* from here on in_progress */
void goss_srv_background_write(goss_srv_job *job);  /* job->bytes are events */
void goss_srv_background_end(goss_srv_job *job);    /* job->bytes are the last; the job is one no more */
int goss_srv_background_late(const goss_srv_job *job, double now_ms); /* 1: its time is up, or its bytes */
/* Around what its response is stored by: 0: it was cancelled and is stored already. (1 for any other job.) */
int goss_srv_background_hold(goss_srv_job *job);
void goss_srv_background_release(goss_srv_job *job);

/* For HTTP. Each: 1, or 0: none of this id runs (it may be stored). */
int goss_srv_background_response(const char *id, goss_buf *out);
int goss_srv_background_cancel(const char *id);     /* it is stored as cancelled; the runner lets go of it */
/* `seen` gets the events behind number `after`, and those to come. GOSS_EUNSUPPORTED: it has no stream. */
int goss_srv_background_follow(const char *id, int64_t after, goss_srv_job *seen);
/* Where in a stream the events behind number `after` begin. */
size_t goss_srv_background_behind(const void *events, size_t n, int64_t after);
#endif
