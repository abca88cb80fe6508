/* background.c - see background.h. The runner owns the jobs; an entry lives from begin to end, and its job
 * for as long. Whoever follows a stream is a job of its own that never runs: it carries the bytes to a
 * connection. */
#include "background.h"
#include "base/mem.h"
#include "base/os.h"
#include "store.h"
#include <string.h>

typedef struct goss_srv_background {
    struct goss_srv_background *next;
    goss_srv_job *job;
    goss_buf pending;        /* the response as it is now */
    goss_buf events;         /* its stream, where it has one */
    goss_buf followers;      /* goss_srv_job *, a reference each */
    int over, cancelled;     /* over: it is stored, as cancelled or as what it came to */
    int full;                /* there was no room for its events */
} entry;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static entry *entries;
static int n_entries, most_entries;
static double most_ms;
static uint64_t bytes, max_bytes;

void goss_srv_background_open(int most, double seconds, uint64_t most_bytes)
{
    most_entries = most;
    most_ms = 1000 * seconds;
    max_bytes = most_bytes;
}

int goss_srv_background_count(void)
{
    pthread_mutex_lock(&lock);
    const int n = n_entries;
    pthread_mutex_unlock(&lock);
    return n;
}

/* The one of this id that is not over; locks. */
static entry *find(const char *id)
{
    pthread_mutex_lock(&lock);
    entry *e = entries;
    while (e && (e->over || strcmp(e->job->id, id))) e = e->next;
    return e;
}

static int leave(int rc)
{
    pthread_mutex_unlock(&lock);
    return rc;
}

/* Behind the event that begins at `at`. */
static size_t next_event(const char *text, size_t n, size_t at)
{
    while (at + 1 < n && (text[at] != '\n' || text[at + 1] != '\n')) at++;
    return at + 1 < n ? at + 2 : n;
}

/* ---- the runner's side ----------------------------------------------------------------------- */
int goss_srv_background_begin(goss_srv_job *job, goss_buf *pending)
{
    entry *e = pending->failed ? NULL : goss_mem_alloc(sizeof *e);
    if (!e) return GOSS_ENOMEM;
    *e = (entry){ .job = job, .pending = *pending };
    e->events = e->followers = GOSS_BUF(SIZE_MAX / 2);
    pthread_mutex_lock(&lock);
    const int full = n_entries >= most_entries;
    if (!full) {
        *pending = GOSS_BUF(pending->max);
        job->background = e;
        e->next = entries;
        entries = e;
        n_entries++;
    }
    pthread_mutex_unlock(&lock);
    if (full) goss_mem_free(e);
    return full ? GOSS_EFULL : 0;
}

/* The response is the same with another status: the first is the response's own. */
static void set_status(entry *e, const char *status)
{
    static const char key[] = "\"status\":\"";
    goss_buf b = GOSS_BUF(e->pending.max);
    const char *text = goss_buf_cstr(&e->pending), *at = strstr(text, key);
    if (!at) return;
    at += sizeof key - 1;
    goss_buf_append(&b, text, (size_t)(at - text));
    goss_buf_str(&b, status);
    goss_buf_str(&b, at + strcspn(at, "\""));
    if (b.failed) { goss_buf_free(&b); return; }
    goss_buf_free(&e->pending);
    e->pending = b;
}

void goss_srv_background_runs(goss_srv_job *job)
{
    pthread_mutex_lock(&lock);
    if (!job->background->over) set_status(job->background, "in_progress");
    pthread_mutex_unlock(&lock);
}

/* Those who follow get the bytes; those who are gone are let go. */
static void tell(entry *e, const void *events, size_t n, int last)
{
    goss_srv_job **jobs = (goss_srv_job **)(void *)e->followers.data;
    size_t left = 0;
    for (size_t i = 0; i < e->followers.len / sizeof *jobs; i++) {
        const int gone = goss_srv_out_write(&jobs[i]->out, events, n) || goss_srv_out_canceled(&jobs[i]->out);
        if (last) goss_srv_out_end(&jobs[i]->out);
        if (last || gone) goss_srv_job_drop(&jobs[i]);
        else jobs[left++] = jobs[i];
    }
    e->followers.len = left * sizeof *jobs;
}

/* The bytes without comments, which have no numbers. */
static void add(entry *e, const char *text, size_t n)
{
    for (size_t at = 0, end; at < n; at = end) {
        end = next_event(text, n, at);
        if (text[at] == ':') continue;
        if (bytes + (end - at) > max_bytes || goss_buf_append(&e->events, text + at, end - at)) e->full = 1;
        else bytes += end - at;
    }
}

void goss_srv_background_write(goss_srv_job *job)
{
    if (!job->req.stream) return;
    pthread_mutex_lock(&lock);
    if (!job->background->cancelled) {
        add(job->background, (const char *)job->bytes.data, job->bytes.len);
        tell(job->background, job->bytes.data, job->bytes.len, 0);
    }
    pthread_mutex_unlock(&lock);
}

void goss_srv_background_end(goss_srv_job *job)
{
    entry *e = job->background, **at = &entries;
    pthread_mutex_lock(&lock);
    while (*at != e) at = &(*at)->next;
    *at = e->next;
    n_entries--;
    bytes -= e->events.len;
    if (job->req.stream) {
        if (!e->cancelled) goss_buf_append(&e->events, job->bytes.data, job->bytes.len);
        if (!e->full && !e->events.failed) goss_srv_store_put_stream(job->id, e->events.data, e->events.len);
        tell(e, job->bytes.data, job->bytes.len, 1);
    }
    job->background = NULL;
    pthread_mutex_unlock(&lock);
    goss_buf_free(&e->pending);
    goss_buf_free(&e->events);
    goss_buf_free(&e->followers);
    goss_mem_free(e);
}

int goss_srv_background_late(const goss_srv_job *job, double now_ms)
{
    return job->background && (job->background->full || now_ms - job->arrived_ms > most_ms);
}

int goss_srv_background_hold(goss_srv_job *job)
{
    if (!job->background) return 1;
    pthread_mutex_lock(&lock);
    return job->background->over ? leave(0) : 1;
}

void goss_srv_background_release(goss_srv_job *job)
{
    if (!job->background) return;
    job->background->over = 1;
    leave(0);
}

/* ---- HTTP's side ----------------------------------------------------------------------------- */
int goss_srv_background_response(const char *id, goss_buf *out)
{
    const entry *e = find(id);
    if (e) goss_buf_append(out, e->pending.data, e->pending.len);
    return leave(e != NULL);
}

int goss_srv_background_cancel(const char *id)
{
    entry *e = find(id);
    if (!e) return leave(0);
    set_status(e, "cancelled");
    goss_srv_store_put(id, NULL, 0, NULL, 0, (goss_str){ (const char *)e->pending.data, e->pending.len },
                       e->job->req.input);
    e->over = e->cancelled = 1;
    goss_srv_request_let_go(&e->job->req);
    tell(e, "", 0, 1);
    goss_srv_out_cancel(&e->job->out);
    return leave(1);
}

size_t goss_srv_background_behind(const void *events, size_t n, int64_t after)
{
    const char *text = events;
    size_t at = 0;
    for (int64_t i = 0; i <= after && at < n; i++) at = next_event(text, n, at);
    return at;
}

int goss_srv_background_follow(const char *id, int64_t after, goss_srv_job *seen)
{
    pthread_mutex_lock(&lock);
    entry *e = entries;
    while (e && strcmp(e->job->id, id)) e = e->next;
    if (!e || !e->job->req.stream) return leave(e ? GOSS_EUNSUPPORTED : 0);
    const size_t at = goss_srv_background_behind(e->events.data, e->events.len, after);
    seen->out.buf.max += e->events.len - at;
    if (!e->cancelled) {
        if (goss_buf_append(&e->followers, &seen, sizeof seen)) return leave(GOSS_ENOMEM);
        atomic_fetch_add(&seen->refs, 1);
    }
    goss_srv_out_head(&seen->out, 200, "text/event-stream", 1);
    goss_srv_out_write(&seen->out, e->events.data + at, e->events.len - at);
    if (e->cancelled) goss_srv_out_end(&seen->out);
    return leave(1);
}
