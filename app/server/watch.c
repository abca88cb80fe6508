/* watch.c - see watch.h. One epoll over the sockets of sleeping requests, edge-triggered once: a hang-up
 * cancels, anything else (a client that sends its next request early) is libmicrohttpd's business. A handle
 * is removed before the socket is closed, so none is ever stale. */
#include "watch.h"
#include "base/mem.h"
#include "base/os.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

typedef struct entry { goss_srv_job *job; int fd; uint32_t use; } entry;
struct goss_srv_watch {
    pthread_mutex_t lock;
    /* first: an eventfd that wakes the loop when it has to start looking at the clock */
    int epoll, first;
    entry *entries;
    int max, n;
};

int goss_srv_watch_open(goss_srv_watch **out, int max)
{
    goss_srv_watch *w = *out = goss_mem_alloc(sizeof *w);
    if (!w) return GOSS_ENOMEM;
    w->max = max;
    pthread_mutex_init(&w->lock, NULL);
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    w->first = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    w->entries = goss_mem_array((size_t)max, sizeof *w->entries);
    struct epoll_event ev = { .events = EPOLLIN, .data.u64 = UINT64_MAX };
    if (w->epoll < 0 || w->first < 0 || !w->entries || epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->first, &ev))
        return goss_srv_watch_close(out), GOSS_ENOMEM;
    return 0;
}

void goss_srv_watch_close(goss_srv_watch **pointer)
{
    goss_srv_watch *w = *pointer;
    if (!w) return;
    if (w->epoll >= 0) close(w->epoll);
    if (w->first >= 0) close(w->first);
    pthread_mutex_destroy(&w->lock);
    goss_mem_free(w->entries);
    goss_mem_free(w);
    *pointer = NULL;
}

int goss_srv_watch_fd(const goss_srv_watch *w) { return w->epoll; }

int goss_srv_watch_add(goss_srv_watch *w, goss_srv_job *job, int fd)
{
    int at = 0;
    pthread_mutex_lock(&w->lock);
    while (at < w->max && w->entries[at].job) at++;
    if (at < w->max) {
        entry *e = &w->entries[at];
        e->job = job;
        e->fd = fd;
        e->use++;
        atomic_fetch_add(&job->refs, 1);
        struct epoll_event ev = { .events = EPOLLRDHUP | EPOLLET,
                                  .data.u64 = (uint64_t)e->use << 32 | (uint32_t)at };
        epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &ev);
        if (!w->n++) eventfd_write(w->first, 1);
    }
    pthread_mutex_unlock(&w->lock);
    return at < w->max ? at : -1;
}

void goss_srv_watch_remove(goss_srv_watch *w, int handle)
{
    goss_srv_job *job = NULL;
    if (handle < 0) return;
    pthread_mutex_lock(&w->lock);
    entry *e = &w->entries[handle];
    if (e->job) {
        epoll_ctl(w->epoll, EPOLL_CTL_DEL, e->fd, NULL);
        job = e->job;
        e->job = NULL;
        w->n--;
    }
    pthread_mutex_unlock(&w->lock);
    goss_srv_job_drop(&job);
}

int goss_srv_watch_run(goss_srv_watch *w, double comment_ms)
{
    struct epoll_event events[64];
    eventfd_t value;
    int gone = 0, n = epoll_wait(w->epoll, events, 64, 0);
    double now = goss_os_now_ms();
    pthread_mutex_lock(&w->lock);
    for (int i = 0; i < n; i++) {
        uint64_t id = events[i].data.u64;
        if (id == UINT64_MAX) { eventfd_read(w->first, &value); continue; }
        entry *e = &w->entries[(uint32_t)id];
        if (!e->job || e->use != id >> 32) continue;
        goss_srv_out_cancel(&e->job->out);
        gone++;
    }
    for (int i = 0; i < w->max && w->n; i++)
        if (w->entries[i].job) goss_srv_out_comment(&w->entries[i].job->out, now, comment_ms);
    pthread_mutex_unlock(&w->lock);
    return gone;
}

int goss_srv_watch_count(goss_srv_watch *w)
{
    pthread_mutex_lock(&w->lock);
    int n = w->n;
    pthread_mutex_unlock(&w->lock);
    return n;
}
