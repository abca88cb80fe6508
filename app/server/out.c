/* out.c - see out.h. MHD_suspend_connection is called only inside MHD's callbacks and under our lock;
 * MHD_resume_connection exactly once
 * per suspension, under the same lock, so that a resume can never meet a connection that is awake or gone. */
#include "out.h"
#include "../../src/base/os.h"
#include <gossamer.h>
#include <string.h>

int goss_srv_out_open(goss_srv_out *o, size_t max_bytes) {
    memset(o, 0, sizeof *o);
    o->buf = GOSS_BUF(max_bytes);
    o->last_ms = goss_os_now_ms();
    return pthread_mutex_init(&o->lock, NULL) ? GOSS_ENOMEM : 0;
}

void goss_srv_out_close(goss_srv_out *o) {
    goss_buf_free(&o->buf);
    pthread_mutex_destroy(&o->lock);
}

/* With the lock held. */
static void wake(goss_srv_out *o) {
    if (!o->asleep || !o->conn) return;
    o->asleep = 0;
    MHD_resume_connection(o->conn);
}

void goss_srv_out_head(goss_srv_out *o, int status, const char *type, int streaming) {
    pthread_mutex_lock(&o->lock);
    o->status = status;
    o->type = type;
    o->streaming = streaming;
    o->comments = streaming && !strncmp(type, "text/event-stream", 17);
    o->last_ms = goss_os_now_ms();
    if (streaming) wake(o);
    pthread_mutex_unlock(&o->lock);
}

int goss_srv_out_write(goss_srv_out *o, const void *bytes, size_t n) {
    if (!n) return 0;
    pthread_mutex_lock(&o->lock);
    if (o->sent == o->buf.len) goss_buf_clear(&o->buf), o->sent = 0;
    if (o->sent > 65536) { /* moves the rest down, so that the bound counts only what is unread */
        memmove(o->buf.data, o->buf.data + o->sent, o->buf.len - o->sent);
        o->buf.len -= o->sent;
        o->sent = 0;
    }
    if (!o->canceled && goss_buf_append(&o->buf, bytes, n) < 0) o->canceled = 1;
    o->last_ms = goss_os_now_ms();
    int canceled = o->canceled;
    if (o->streaming || canceled) wake(o);
    pthread_mutex_unlock(&o->lock);
    return canceled ? GOSS_ECANCELED : 0;
}

void goss_srv_out_end(goss_srv_out *o) {
    pthread_mutex_lock(&o->lock);
    o->ended = 1;
    wake(o);
    pthread_mutex_unlock(&o->lock);
}

int goss_srv_out_canceled(goss_srv_out *o) {
    pthread_mutex_lock(&o->lock);
    int canceled = o->canceled;
    pthread_mutex_unlock(&o->lock);
    return canceled;
}

int goss_srv_out_sleep(goss_srv_out *o, struct MHD_Connection *conn) {
    pthread_mutex_lock(&o->lock);
    o->conn = conn;
    int ready = o->canceled || o->ended || (o->status && o->streaming);
    if (!ready) {
        o->asleep = 1;
        MHD_suspend_connection(conn);
    }
    pthread_mutex_unlock(&o->lock);
    return !ready;
}

ssize_t goss_srv_out_read(void *out, uint64_t at, char *to, size_t n) {
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
        o->asleep = 1;
        MHD_suspend_connection(o->conn);
    }
    pthread_mutex_unlock(&o->lock);
    return got;
}

void goss_srv_out_cancel(goss_srv_out *o) {
    pthread_mutex_lock(&o->lock);
    if (!o->ended) o->canceled = 1;
    wake(o);
    pthread_mutex_unlock(&o->lock);
}

void goss_srv_out_detach(goss_srv_out *o) {
    pthread_mutex_lock(&o->lock);
    o->conn = NULL;
    if (!o->ended) o->canceled = 1;
    pthread_mutex_unlock(&o->lock);
}

void goss_srv_out_comment(goss_srv_out *o, double now_ms, double pause_ms) {
    static const char text[] = ": keep-alive\n\n";
    pthread_mutex_lock(&o->lock);
    if (o->comments && !o->ended && !o->canceled && now_ms - o->last_ms >= pause_ms) {
        if (goss_buf_append(&o->buf, text, sizeof text - 1) < 0) o->canceled = 1;
        o->last_ms = now_ms;
        wake(o);
    }
    pthread_mutex_unlock(&o->lock);
}
