/* watch.h - the sockets of requests that sleep, which libmicrohttpd does not look at; and the pause that a
 * comment fills. */
#ifndef GOSS_SERVER_WATCH_H
#define GOSS_SERVER_WATCH_H
#include "job.h"

typedef struct goss_srv_watch goss_srv_watch;
int goss_srv_watch_open(goss_srv_watch **out, int max);
void goss_srv_watch_close(goss_srv_watch **w);
/* becomes readable when a client has hung up, or when the first one came */
int goss_srv_watch_fd(const goss_srv_watch *w);
int goss_srv_watch_add(goss_srv_watch *w, goss_srv_job *job, int fd); /* a handle >= 0, or -1 */
void goss_srv_watch_remove(goss_srv_watch *w, int handle);
/* cancels what hung up (returned: how many), comments on quiet streams */
int goss_srv_watch_run(goss_srv_watch *w, double comment_ms);
int goss_srv_watch_count(goss_srv_watch *w);
#endif
