/* pulls.h - requests that change what models there are: pull, delete, copy, create, as Ollama's clients send
 * them. The fetcher (fetcher.h) does the work; a thread here talks to it, one request after the other. */
#ifndef GOSS_SERVER_PULLS_H
#define GOSS_SERVER_PULLS_H
#include "config.h"
#include "job.h"

typedef struct goss_srv_pulls goss_srv_pulls;
/* fd: the fetcher's, taken; -1: no model may be changed (the server runs without --pull). */
int goss_srv_pulls_open(goss_srv_pulls **out, const goss_srv_config *c, int fd);
void goss_srv_pulls_close(goss_srv_pulls **p);
/* Does the operator allow it? Else the refusal is in `fail`. */
int goss_srv_pulls_allowed(const goss_srv_pulls *p, goss_srv_fail *fail);

enum { GOSS_SRV_PULL, GOSS_SRV_DELETE, GOSS_SRV_COPY, GOSS_SRV_CREATE };
typedef struct goss_srv_change {
    int kind, stream;           /* stream: progress is shown */
    char name[GOSS_SRV_ID];     /* what is pulled, deleted or made */
    char other[GOSS_SRV_ID];    /* what a copy is of */
} goss_srv_change;
/* Takes a reference to the job, whose `out` is answered. 0, or GOSS_EFULL. */
int goss_srv_pulls_submit(goss_srv_pulls *p, goss_srv_job *job, const goss_srv_change *change);
/* Reads a body. 0, or -1 and `fail`. */
int goss_srv_change_read(goss_srv_change *change, int kind, const goss_buf *body, goss_srv_fail *fail);
#endif
