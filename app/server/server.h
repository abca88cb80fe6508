/* server.h - the whole: what HTTP's handlers reach, and the loop that owns signals, hang-ups and timers. */
#ifndef GOSS_SERVER_SERVER_H
#define GOSS_SERVER_SERVER_H
#include "config.h"
#include "files.h"
#include "job.h"
#include "runner.h"
#include <stdatomic.h>

typedef struct goss_srv_watch goss_srv_watch;
typedef struct goss_srv {
    const goss_srv_config *c;
    goss_srv_runner *runner;
    goss_srv_files *files;
    goss_srv_watch *watch;
    struct MHD_Daemon *http;
    int port, listen_fd, signal_fd, wake_fd;
    atomic_int n_requests;           /* being answered now */
    atomic_int n_connections;
    atomic_int stopping;
    double started_ms;
} goss_srv;

int goss_srv_main(const goss_srv_config *c); /* the process's exit status */

/* handle.c */
int goss_srv_http_open(goss_srv *s);         /* takes s->listen_fd */
void goss_srv_http_close(goss_srv *s);

/* watch.c: sockets of requests that sleep, which libmicrohttpd does not look at; and the pause that a comment
 * fills. */
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
