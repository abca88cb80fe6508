/* out.c - see out.h. MHD_suspend_connection is called only inside MHD's callbacks and under our lock, which
 * sets `asleep`. Whoever clears it under the lock, and nobody else, calls MHD_resume_connection, once, after
 * the lock is free: until then the connection sleeps, so it can be neither awake nor gone. (With the lock
 * held, the thread that the resume wakes would find it taken, sleep again and have to be woken twice.) */
#include "out.h"
#include "base/os.h"
#include <errno.h>
#include <gossamer.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum {
    CHUNK_MAX = 1024
}; /* framed; one segment almost everywhere, so that it is taken whole or not at all */

int goss_srv_out_open(goss_srv_out *o, size_t max_bytes)
{
    memset(o, 0, sizeof *o);
    o->buf = GOSS_BUF(max_bytes);
    o->fd = -1;
    o->last_ms = goss_os_now_ms();
    return pthread_mutex_init(&o->lock, NULL) ? GOSS_ENOMEM : 0;
}

void goss_srv_out_close(goss_srv_out *o)
{
    goss_buf_free(&o->buf);
    pthread_mutex_destroy(&o->lock);
}

/* Frees the lock, and wakes the connection if `wake` and it sleeps. */
static void leave(goss_srv_out *o, int wake)
{
    struct MHD_Connection *conn = wake && o->asleep ? o->conn : NULL;
    if (conn) o->asleep = GOSS_SRV_OUT_AWAKE;
    pthread_mutex_unlock(&o->lock);
    if (conn) MHD_resume_connection(conn);
}

void goss_srv_out_head(goss_srv_out *o, int status, const char *type, int streaming)
{
    pthread_mutex_lock(&o->lock);
    o->status = status;
    o->type = type;
    o->streaming = streaming;
    o->comments = streaming && !strncmp(type, "text/event-stream", 17);
    o->last_ms = goss_os_now_ms();
    leave(o, streaming);
}

/* Sends a piece of a chunked stream from the caller's thread: the connection sleeps between two chunks, so
 * nobody else uses its socket, all before is with the kernel, and libmicrohttpd keeps no count of chunks. A
 * token then wakes one thread, the client's, not two. 1: sent, 0: not now, -1: the client is gone (or got
 * half: the stream is broken). */
static int send_chunk(goss_srv_out *o, const void *bytes, size_t n)
{
    char chunk[CHUNK_MAX];
    int unsent = 0;
    if (o->asleep != GOSS_SRV_OUT_BETWEEN || o->fd < 0 || n > CHUNK_MAX - 16) return 0;
    if (ioctl(o->fd, SIOCOUTQNSD, &unsent) || unsent) return 0;
    size_t head = (size_t)snprintf(chunk, 16, "%zX\r\n", n);
    memcpy(chunk + head, bytes, n);
    memcpy(chunk + head + n, "\r\n", 2);
    ssize_t sent = send(o->fd, chunk, head + n + 2, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN || errno == EINTR ? 0 : -1;
    o->total += n;
    return (size_t)sent == head + n + 2 ? 1 : -1;
}

int goss_srv_out_write(goss_srv_out *o, const void *bytes, size_t n)
{
    if (!n) return 0;
    pthread_mutex_lock(&o->lock);
    int direct = send_chunk(o, bytes, n);
    if (direct < 0) o->canceled = 1;
    if (o->sent == o->buf.len) goss_buf_clear(&o->buf), o->sent = 0;
    if (o->sent > 65536) { /* moves the rest down, so that the bound counts only what is unread */
        memmove(o->buf.data, o->buf.data + o->sent, o->buf.len - o->sent);
        o->buf.len -= o->sent;
        o->sent = 0;
    }
    if (!direct && !o->canceled && goss_buf_append(&o->buf, bytes, n) < 0) o->canceled = 1;
    o->last_ms = goss_os_now_ms();
    int canceled = o->canceled;
    leave(o, (o->streaming && !direct) || canceled);
    return canceled ? GOSS_ECANCELED : 0;
}

void goss_srv_out_end(goss_srv_out *o)
{
    pthread_mutex_lock(&o->lock);
    o->ended = 1;
    leave(o, 1);
}

int goss_srv_out_canceled(goss_srv_out *o)
{
    pthread_mutex_lock(&o->lock);
    int canceled = o->canceled;
    pthread_mutex_unlock(&o->lock);
    return canceled;
}

int goss_srv_out_sleep(goss_srv_out *o, struct MHD_Connection *conn)
{
    pthread_mutex_lock(&o->lock);
    o->conn = conn;
    int ready = o->canceled || o->ended || (o->status && o->streaming);
    if (!ready) {
        o->asleep = GOSS_SRV_OUT_WAITS;
        MHD_suspend_connection(conn);
    }
    pthread_mutex_unlock(&o->lock);
    return !ready;
}

ssize_t goss_srv_out_read(void *out, uint64_t at, char *to, size_t n)
{
    goss_srv_out *o = out;
    ssize_t got = 0;
    (void)at;
    pthread_mutex_lock(&o->lock);
    if (o->canceled) {
        got = MHD_CONTENT_READER_END_WITH_ERROR;
    } else if (o->sent < o->buf.len) {
        size_t left = o->buf.len - o->sent;
        if (n > left) n = left;
        memcpy(to, o->buf.data + o->sent, n);
        o->sent += n;
        o->total += n;
        got = (ssize_t)n;
    } else if (o->ended) {
        got = MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        o->asleep = GOSS_SRV_OUT_BETWEEN;
        MHD_suspend_connection(o->conn);
    }
    pthread_mutex_unlock(&o->lock);
    return got;
}

void goss_srv_out_cancel(goss_srv_out *o)
{
    pthread_mutex_lock(&o->lock);
    if (!o->ended) o->canceled = 1;
    leave(o, 1);
}

void goss_srv_out_detach(goss_srv_out *o)
{
    pthread_mutex_lock(&o->lock);
    o->conn = NULL;
    if (!o->ended) o->canceled = 1;
    pthread_mutex_unlock(&o->lock);
}

void goss_srv_out_comment(goss_srv_out *o, double now_ms, double pause_ms)
{
    static const char text[] = ": keep-alive\n\n";
    pthread_mutex_lock(&o->lock);
    int due = o->comments && !o->ended && !o->canceled && now_ms - o->last_ms >= pause_ms;
    if (due) {
        if (goss_buf_append(&o->buf, text, sizeof text - 1) < 0) o->canceled = 1;
        o->last_ms = now_ms;
    }
    leave(o, due);
}
