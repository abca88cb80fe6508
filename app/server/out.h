/* out.h - the way back: what the engine thread produces for one request and the HTTP thread sends.
 *
 *   runner:  head(status, type, streaming)  write write write  end
 *   HTTP:    sleeps (connection suspended) until the head is there, then sends; sleeps again whenever it has sent
 *            everything. While it sleeps so, in a chunked stream, write() sends small pieces itself.
 *
 * The buffer is bounded: a client that does not read what was written counts as gone. All calls are safe from
 * any thread. */
#ifndef GOSS_SERVER_OUT_H
#define GOSS_SERVER_OUT_H
#include "base/buf.h"
#include <microhttpd.h>
#include <pthread.h>

enum {
    GOSS_SRV_OUT_AWAKE,
    GOSS_SRV_OUT_WAITS,
    GOSS_SRV_OUT_BETWEEN
}; /* waits: for the head; between: two chunks */
typedef struct goss_srv_out {
    pthread_mutex_t lock;
    struct MHD_Connection *conn;  /* NULL before the request sleeps for the first time and after it is gone */
    const char *type;             /* Content-Type */
    goss_buf buf;
    size_t sent;                  /* bytes of buf that HTTP has taken */
    uint64_t total;               /* bytes it has taken in all */
    double last_ms;               /* when something was last written */
    int status;                   /* 0: no head yet */
    int retry_after;              /* seconds, 0: no such header */
    int streaming, comments;      /* comments: the stream may carry ": keep-alive" lines */
    int fd;                       /* where write() may send chunks itself; -1: HTTP sends everything */
    int ended, asleep, canceled;  /* asleep: a GOSS_SRV_OUT_ value */
} goss_srv_out;

int goss_srv_out_open(goss_srv_out *o, size_t max_bytes);
void goss_srv_out_close(goss_srv_out *o);

/* For the runner. */
void goss_srv_out_head(goss_srv_out *o, int status, const char *type, int streaming);
/* 0, or GOSS_ECANCELED: the client is gone or does not read */
int goss_srv_out_write(goss_srv_out *o, const void *bytes, size_t n);
void goss_srv_out_end(goss_srv_out *o);
int goss_srv_out_canceled(goss_srv_out *o);

/* For HTTP. */
/* suspends conn until something happens; 0: the head is there, no sleep */
int goss_srv_out_sleep(goss_srv_out *o, struct MHD_Connection *conn);
ssize_t goss_srv_out_read(void *out, uint64_t at, char *to, size_t n); /* MHD_ContentReaderCallback */
/* the client is gone: wakes both sides */
void goss_srv_out_cancel(goss_srv_out *o);
/* the connection is finished with this request */
void goss_srv_out_detach(goss_srv_out *o);
void goss_srv_out_comment(goss_srv_out *o, double now_ms, double pause_ms);
#endif
