/* wire.c - see wire.h. A connection is found by its socket's number. The thread that reads it owns its frame;
 * what others look at is atomic. `lock` keeps connections from going while others look at them. */
#include "wire.h"
#include "base/mem.h"
#include "base/os.h"
#include "frame.h"
#include <errno.h>
#include <fcntl.h>
#include <gossamer.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { PIECE = 16384, FDS_MAX = 1 << 16, RATE_MS = 10000, DRAIN = 1 << 20 };
enum { LINGERING = 64, LINGER_MS = 2000 };

/* A socket whose client may still send: closed at once, the answer would be lost with a reset. */
typedef struct lingering { int fd; double until; } lingering;
typedef struct wire {
    int fd;
    goss_srv_frame frame;
    char rest[GOSS_SRV_FRAME_MORE + 16];   /* what the library had no room for */
    size_t n_rest, at_rest;
    atomic_int phase, late, leaving;       /* late: too slow; leaving: it made room */
    atomic_uint requests, done;            /* judged, and answered */
    atomic_uint_fast64_t bytes;            /* of the body that comes, in this stretch of RATE_MS */
    _Atomic double since;                  /* when it began to wait, the head began, the stretch began */
} wire;

struct goss_srv_wires {
    pthread_mutex_t lock;
    double head_ms;
    uint64_t body_rate;
    int timer, n_fds;
    atomic_int armed, top;                 /* top: above every connection's number */
    _Atomic(wire *) *by_fd;
    lingering linger[LINGERING];           /* until 0: none */
};
static _Atomic(goss_srv_wires *) the_wires; /* recv() has no other way to them */

static wire *find(goss_srv_wires *w, int fd)
{
    return w && fd >= 0 && fd < w->n_fds ? atomic_load_explicit(&w->by_fd[fd], memory_order_acquire) : NULL;
}

/* ---- the clock ------------------------------------------------------------------------------- */
static void look_soon(goss_srv_wires *w)
{
    static const struct itimerspec second = { .it_value = { .tv_sec = 1 } };
    if (!atomic_exchange(&w->armed, 1)) timerfd_settime(w->timer, 0, &second, NULL);
}

/* What the last bytes have made of the connection. */
static void note(goss_srv_wires *w, wire *c, size_t got)
{
    const goss_srv_phase now = goss_srv_frame_phase(&c->frame);
    const uint32_t requests = c->frame.requests;
    const int changed = (int)now != atomic_load(&c->phase) || requests != atomic_load(&c->requests);
    if (now == GOSS_SRV_BODY && !changed) atomic_fetch_add(&c->bytes, got);
    if (!changed) return;
    atomic_store(&c->bytes, 0);
    atomic_store(&c->since, goss_os_now_ms());
    atomic_store(&c->requests, requests);
    atomic_store(&c->phase, (int)now);
    if (now == GOSS_SRV_HEAD || now == GOSS_SRV_BODY) look_soon(w);
}

/* ---- reading --------------------------------------------------------------------------------- */
static ssize_t plain_recv(int fd, void *to, size_t n, int flags)
{
    return recvfrom(fd, to, n, flags, NULL, NULL);
}

/* Takes away what is there, so that the answer isn't lost with a reset. As recv: 0 at the end, -1 and EAGAIN
 * when more may come. */
static ssize_t drain(int fd)
{
    char away[PIECE];
    for (size_t n = 0; n < DRAIN;) {
        const ssize_t k = plain_recv(fd, away, sizeof away, MSG_DONTWAIT);
        if (k <= 0) return k;
        n += (size_t)k;
    }
    errno = ECONNRESET;
    return -1;
}

static size_t take_rest(wire *c, char *to, size_t n)
{
    const size_t left = c->n_rest - c->at_rest, k = left < n ? left : n;
    memcpy(to, c->rest + c->at_rest, k);
    c->at_rest += k;
    if (c->at_rest == c->n_rest) c->at_rest = c->n_rest = 0;
    return k;
}

/* k bytes for a reader with room for n; what is more waits. */
static size_t hand_over(wire *c, const char *bytes, size_t k, char *to, size_t n)
{
    const size_t now = k < n ? k : n;
    memcpy(to, bytes, now);
    memcpy(c->rest, bytes + now, k - now);
    c->n_rest = k - now;
    return now;
}

static size_t end_late(goss_srv_wires *w, wire *c, char *to, size_t n)
{
    char why[128], out[GOSS_SRV_FRAME_MORE];
    snprintf(why, sizeof why, "408 the head took more than %g s (--head-timeout)", w->head_ms / 1000);
    return hand_over(c, out, goss_srv_frame_end(&c->frame, why, out), to, n);
}

/* One piece from the socket: bytes for the library (*got of the socket's), or recv's -1 and 0. *dry: it had
 * less than we asked for, so that no more is there. */
static ssize_t read_piece(wire *c, char *to, size_t n, size_t *got, int *dry)
{
    char in[PIECE], out[PIECE + GOSS_SRV_FRAME_MORE];
    const uint64_t plain = goss_srv_frame_plain(&c->frame);
    const size_t ask = plain > 0 ? (plain < n ? (size_t)plain : n) : n < PIECE ? n : PIECE;
    const ssize_t k = plain_recv(c->fd, plain ? to : in, ask, MSG_DONTWAIT);
    *got = k > 0 ? (size_t)k : 0;
    *dry = *got < ask;
    if (k <= 0) return k;
    if (plain) return goss_srv_frame_skip(&c->frame, (size_t)k), k;
    return (ssize_t)hand_over(c, out, goss_srv_frame_feed(&c->frame, in, (size_t)k, out), to, n);
}

/* Reads until the room is full or the socket empty: less than n means to the library that no more is there.
 * */
static ssize_t read_wire(goss_srv_wires *w, wire *c, char *to, size_t n)
{
    size_t have = take_rest(c, to, n), got, sum = 0;
    ssize_t k = 0;
    int dry = 0;
    while (have < n && !dry && goss_srv_frame_phase(&c->frame) != GOSS_SRV_BROKEN) {
        if (atomic_load(&c->late) && goss_srv_frame_phase(&c->frame) == GOSS_SRV_HEAD) {
            have += end_late(w, c, to + have, n - have);
            break;
        }
        k = read_piece(c, to + have, n - have, &got, &dry);
        if (!got) break;
        have += (size_t)k;
        sum += got;
        k = -1; /* if nothing of it is for the library, it tries again */
        errno = EAGAIN;
    }
    if (goss_srv_frame_phase(&c->frame) == GOSS_SRV_BROKEN) k = drain(c->fd);
    const int code = errno;
    note(w, c, sum);
    errno = code;
    return have ? (ssize_t)have : k;
}

__attribute__((visibility("default"))) ssize_t recv(int fd, void *to, size_t n, int flags)
{
    goss_srv_wires *w = atomic_load_explicit(&the_wires, memory_order_acquire);
    wire *c = find(w, fd);
    return c && n ? read_wire(w, c, to, n) : plain_recv(fd, to, n, flags);
}

/* ---- after a refusal ------------------------------------------------------------------------- */
/* Ends those whose other side is gone or has had its time. 1: some are left. Under the lock. */
static int end_lingering(goss_srv_wires *w, double now)
{
    int left = 0;
    for (int i = 0; i < LINGERING; i++) {
        lingering *l = &w->linger[i];
        if (l->until == 0) continue;
        const int gone = drain(l->fd) == 0 || now > l->until;
        if (gone) close(l->fd), l->until = 0;
        left |= !gone;
    }
    return left;
}

/* A free place, or that of who lingers longest. */
static lingering *linger_place(goss_srv_wires *w)
{
    lingering *first = &w->linger[0];
    for (int i = 1; i < LINGERING; i++)
        if (w->linger[i].until < first->until) first = &w->linger[i];
    return first;
}

/* Under the lock. */
static void let_linger(goss_srv_wires *w, int fd)
{
    const double now = goss_os_now_ms();
    const int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) return;
    lingering *l = linger_place(w);
    if (l->until > 0) end_lingering(w, now), l = linger_place(w);
    if (l->until > 0) close(l->fd);
    shutdown(copy, SHUT_WR);
    *l = (lingering){ copy, now + (double)LINGER_MS };
    look_soon(w);
}

/* ---- connections ----------------------------------------------------------------------------- */
int goss_srv_wire_open(goss_srv_wires *w, int fd)
{
    if (fd < 0 || fd >= w->n_fds) return GOSS_ELIMIT;
    wire *c = goss_mem_alloc(sizeof *c);
    if (!c) return GOSS_ENOMEM;
    c->fd = fd;
    atomic_store(&c->since, goss_os_now_ms());
    pthread_mutex_lock(&w->lock);
    atomic_store_explicit(&w->by_fd[fd], c, memory_order_release);
    if (fd >= atomic_load(&w->top)) atomic_store(&w->top, fd + 1);
    pthread_mutex_unlock(&w->lock);
    return 0;
}

void goss_srv_wire_close(goss_srv_wires *w, int fd)
{
    wire *c = find(w, fd);
    if (!c) return;
    pthread_mutex_lock(&w->lock);
    atomic_store(&w->by_fd[fd], NULL);
    if (goss_srv_frame_phase(&c->frame) == GOSS_SRV_BROKEN) let_linger(w, fd);
    pthread_mutex_unlock(&w->lock);
    goss_mem_free(c);
}

int goss_srv_wire_begun(goss_srv_wires *w, int fd)
{
    const wire *c = find(w, fd);
    return c && (c->frame.requests || goss_srv_frame_phase(&c->frame) == GOSS_SRV_BROKEN) ? 0 : GOSS_EINVAL;
}

void goss_srv_wire_done(goss_srv_wires *w, int fd)
{
    wire *c = find(w, fd);
    if (!c) return;
    atomic_fetch_add(&c->done, 1);
    atomic_store(&c->bytes, 0);
    atomic_store(&c->since, goss_os_now_ms());
}

/* What it keeps us waiting for; a request that came too early, behind one that we answer, is not waited for.
 * */
static goss_srv_phase waits(const wire *c)
{
    const goss_srv_phase phase = (goss_srv_phase)atomic_load(&c->phase);
    const uint32_t open = atomic_load(&c->requests) - atomic_load(&c->done);
    return open == (phase == GOSS_SRV_BODY) ? phase : GOSS_SRV_BROKEN;
}

/* heads before bodies, then who waits longest */
static int goes_before(const wire *a, const wire *b)
{
    const int body_a = waits(a) == GOSS_SRV_BODY, body_b = waits(b) == GOSS_SRV_BODY;
    return body_a != body_b ? body_b : atomic_load(&a->since) < atomic_load(&b->since);
}

int goss_srv_wires_make_room(goss_srv_wires *w)
{
    wire *best = NULL;
    pthread_mutex_lock(&w->lock);
    for (int fd = 0; fd < atomic_load(&w->top); fd++) {
        wire *c = find(w, fd);
        if (!c || atomic_load(&c->leaving) || waits(c) == GOSS_SRV_BROKEN) continue;
        if (!best || goes_before(c, best)) best = c;
    }
    if (best) {
        atomic_store(&best->leaving, 1);
        shutdown(best->fd, SHUT_RDWR);
    }
    pthread_mutex_unlock(&w->lock);
    return best != NULL;
}

/* ---- too slow -------------------------------------------------------------------------------- */
/* 1: it is to be looked at again */
static int look(goss_srv_wires *w, wire *c, double now)
{
    const goss_srv_phase phase = waits(c);
    const double past = now - atomic_load(&c->since);
    if (phase == GOSS_SRV_HEAD && past > w->head_ms && !atomic_exchange(&c->late, 1))
        shutdown(c->fd, SHUT_RD);
    if (phase == GOSS_SRV_BODY && past > (double)RATE_MS) {
        if ((double)atomic_load(&c->bytes) < (double)w->body_rate * past / 1000) shutdown(c->fd, SHUT_RDWR);
        atomic_store(&c->bytes, 0);
        atomic_store(&c->since, now);
    }
    return atomic_load(&c->phase) == GOSS_SRV_HEAD || atomic_load(&c->phase) == GOSS_SRV_BODY;
}

int goss_srv_wires_fd(const goss_srv_wires *w) { return w->timer; }

void goss_srv_wires_run(goss_srv_wires *w)
{
    uint64_t ticks;
    int busy = 0;
    const double now = goss_os_now_ms();
    if (read(w->timer, &ticks, sizeof ticks) != sizeof ticks) return;
    atomic_store(&w->armed, 0); /* whoever begins to send from here on sets it again */
    pthread_mutex_lock(&w->lock);
    for (int fd = 0; fd < atomic_load(&w->top); fd++) {
        wire *c = find(w, fd);
        if (c) busy |= look(w, c, now);
    }
    busy |= end_lingering(w, now);
    pthread_mutex_unlock(&w->lock);
    if (busy) look_soon(w);
}

/* ---- the whole ------------------------------------------------------------------------------- */
int goss_srv_wires_open(goss_srv_wires **out, double head_ms, uint64_t body_rate)
{
    struct rlimit files = { .rlim_cur = FDS_MAX };
    goss_srv_wires *w = *out = goss_mem_alloc(sizeof *w);
    if (!w) return GOSS_ENOMEM;
    pthread_mutex_init(&w->lock, NULL);
    getrlimit(RLIMIT_NOFILE, &files);
    w->head_ms = head_ms;
    w->body_rate = body_rate;
    w->n_fds = files.rlim_cur < FDS_MAX ? (int)files.rlim_cur : FDS_MAX;
    w->by_fd = goss_mem_array((size_t)w->n_fds, sizeof *w->by_fd);
    w->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (!w->by_fd || w->timer < 0) return goss_srv_wires_close(out), GOSS_ENOMEM;
    atomic_store_explicit(&the_wires, w, memory_order_release);
    return 0;
}

void goss_srv_wires_close(goss_srv_wires **pointer)
{
    goss_srv_wires *w = *pointer;
    if (!w) return;
    atomic_store(&the_wires, NULL);
    if (w->timer >= 0) close(w->timer);
    end_lingering(w, HUGE_VAL);
    pthread_mutex_destroy(&w->lock);
    goss_mem_free(w->by_fd);
    goss_mem_free(w);
    *pointer = NULL;
}
