/* pulls.c - see pulls.h. The thread sleeps until there is a request, then until the fetcher says something or
 * the client is gone. */
#include "pulls.h"
#include "base/error.h"
#include "base/fmt.h"
#include "base/mem.h"
#include "catalog.h"
#include "log.h"
#include "net/model_links.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST = 16, LINE = 4096, LOOK_MS = 200 };
typedef struct entry { goss_srv_job *job; goss_srv_change change; } entry;
struct goss_srv_pulls {
    const goss_srv_config *c;
    int fd, has_thread;
    atomic_int stopping;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    entry queue[MOST]; int n;
};

/* ---- the answer ---------------------------------------------------------------------------------------- */
typedef struct answer { goss_srv_job *job; const goss_srv_change *change; int begun; } answer;

/* A line of progress, which only streams show. */
static void progress(answer *a, const char *json)
{
    goss_buf b = GOSS_BUF(LINE + 16);
    if (!a->change->stream) return;
    if (!a->begun) goss_srv_out_head(&a->job->out, 200, "application/x-ndjson", 1);
    a->begun = 1;
    goss_buf_printf(&b, "%s\n", json);
    goss_srv_out_write(&a->job->out, b.data, b.len);
    goss_buf_free(&b);
}

static void end(answer *a, int status, const char *text, size_t n)
{
    goss_srv_out *out = &a->job->out;
    goss_srv_out_write(out, text, n);
    if (a->begun) goss_srv_out_write(out, "\n", 1);
    else goss_srv_out_head(out, status, "application/json", 0);
    goss_srv_out_end(out);
}

static void end_well(answer *a)
{
    static const char success[] = "{\"status\":\"success\"}";
    const int says = a->change->kind == GOSS_SRV_PULL || a->change->kind == GOSS_SRV_CREATE;
    end(a, 200, success, says ? sizeof success - 1 : 0);
}

static void end_badly(answer *a, int status, const char *why)
{
    goss_buf b = GOSS_BUF(1 << 14);
    goss_buf_str(&b, "{\"error\":");
    goss_buf_json_string(&b, why, strlen(why));
    goss_buf_str(&b, "}");
    end(a, status, (const char *)b.data, b.len);
    goss_buf_free(&b);
}

/* ---- the fetcher --------------------------------------------------------------------------------------- */
static int say(int fd, const char *text)
{
    for (size_t n = strlen(text); n;) {
        const ssize_t k = send(fd, text, n, MSG_NOSIGNAL);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return -1;
        text += k;
        n -= (size_t)k;
    }
    return 0;
}

/* One line. A client that is gone, or a server that ends, has the pull stopped. 0, or -1: the fetcher is
 * gone. */
static int read_line(goss_srv_pulls *p, answer *a, char line[LINE], int *stopped)
{
    for (size_t n = 0; n < LINE;) {
        struct pollfd fd = { p->fd, POLLIN, 0 };
        const int over = !n && !*stopped && (goss_srv_out_canceled(&a->job->out) ||
                                             atomic_load(&p->stopping));
        if (over && say(p->fd, "stop\n")) return -1;
        *stopped |= over;
        if (!poll(&fd, 1, LOOK_MS)) continue;
        const ssize_t k = read(p->fd, line + n, 1);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return -1;
        if (line[n++] == '\n') return line[n - 1] = 0, 0;
    }
    return -1;
}

/* Has the fetcher do `request`, and passes on what it says. 0; or the error is in `why`. */
static int ask(goss_srv_pulls *p, answer *a, const char *request, char why[LINE])
{
    int stopped = 0;
    goss_fmt(why, LINE, "the process that fetches models has ended: start the server again");
    if (say(p->fd, request)) return -1;
    for (;;) {
        char line[LINE];
        if (read_line(p, a, line, &stopped)) return -1;
        if (line[0] == 'P') progress(a, line + 1);
        else return goss_fmt(why, LINE, "%s", line + 1), line[0] == 'D' ? 0 : -1;
    }
}

/* ---- what is asked for --------------------------------------------------------------------------------- */
/* Removes a name; with its last one a model of the cache goes, too. */
static int delete_model(goss_srv_pulls *p, answer *a, char why[LINE], int *status)
{
    char line[LINE];
    goss_srv_model m;
    goss_fmt(why, LINE, "there is no model of this name");
    *status = 404;
    if (goss_srv_catalog_find_named(a->change->name, &m)) return -1;
    *status = 403;
    goss_fmt(why, LINE, "this model's file is not the cache's: it is not removed here");
    if (m.origin == GOSS_SRV_OWN) return -1;
    *status = 500;
    goss_fmt(line, sizeof line, "unlink\t%s\n", m.id);
    if (m.origin == GOSS_SRV_LINKED && ask(p, a, line, why)) return -1;
    if (!*m.kept || goss_srv_catalog_names(m.path) > 1) return 0;
    goss_fmt(line, sizeof line, "remove\t%s\n", m.kept);
    return ask(p, a, line, why);
}

static int copy_model(goss_srv_pulls *p, answer *a, char why[LINE], int *status)
{
    char line[LINE];
    goss_srv_model m;
    goss_fmt(why, LINE, "there is no model of this name");
    *status = 404;
    if (goss_srv_catalog_find(a->change->other, &m)) return -1;
    *status = 400;
    goss_fmt(why, LINE, "a name has letters, digits and _.-:/ alone, at most %d of them", GOSS_LINK_NAME - 1);
    if (!goss_link_good_name(a->change->name)) return -1;
    *status = 500;
    goss_fmt(line, sizeof line, "link\t%s\t%s\n", a->change->name, m.path);
    return ask(p, a, line, why);
}

static int pull_model(goss_srv_pulls *p, answer *a, char why[LINE], int *status)
{
    char line[LINE];
    *status = 500;
    goss_fmt(line, sizeof line, "pull\t%s\n", a->change->name);
    return ask(p, a, line, why);
}

static void change_models(goss_srv_pulls *p, const entry *e)
{
    char why[LINE];
    int status = 500;
    goss_error err = { .position = -1 };
    answer a = { e->job, &e->change, 0 };
    const int bad = e->change.kind == GOSS_SRV_PULL     ? pull_model(p, &a, why, &status)
                    : e->change.kind == GOSS_SRV_DELETE ? delete_model(p, &a, why, &status)
                                                        : copy_model(p, &a, why, &status);
    if (!bad && goss_srv_catalog_scan(p->c, &err)) goss_srv_log("the models stay as they are: %s", err.text);
    if (bad) end_badly(&a, status, why);
    else end_well(&a);
}

static void *work(void *ctx)
{
    goss_srv_pulls *p = ctx;
    for (;;) {
        pthread_mutex_lock(&p->lock);
        while (!p->n && !p->stopping) pthread_cond_wait(&p->cond, &p->lock);
        entry e = p->n ? p->queue[0] : (entry){ .job = NULL };
        if (p->n) memmove(p->queue, p->queue + 1, (size_t)--p->n * sizeof e);
        pthread_mutex_unlock(&p->lock);
        if (!e.job) return NULL;
        change_models(p, &e);
        goss_srv_job_drop(&e.job);
    }
}

/* ---- from other threads -------------------------------------------------------------------------------- */
int goss_srv_pulls_open(goss_srv_pulls **out, const goss_srv_config *c, int fd)
{
    goss_srv_pulls *p = *out = goss_mem_alloc(sizeof *p);
    if (!p) return GOSS_ENOMEM;
    p->c = c;
    p->fd = fd;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->cond, NULL);
    p->has_thread = fd >= 0 && !pthread_create(&p->thread, NULL, work, p);
    return fd < 0 || p->has_thread ? 0 : GOSS_ENOMEM;
}

void goss_srv_pulls_close(goss_srv_pulls **pulls)
{
    goss_srv_pulls *p = *pulls;
    *pulls = NULL;
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    p->stopping = 1;
    pthread_cond_signal(&p->cond);
    pthread_mutex_unlock(&p->lock);
    if (p->has_thread) pthread_join(p->thread, NULL);
    if (p->fd >= 0) close(p->fd);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->cond);
    goss_mem_free(p);
}

int goss_srv_pulls_allowed(const goss_srv_pulls *p, goss_srv_fail *fail)
{
    return p->fd >= 0 || goss_srv_refuse(fail, 403, "pull_not_allowed", "", -1,
                                         "this server changes no models: its operator allows it with --pull") == 0;
}

int goss_srv_pulls_submit(goss_srv_pulls *p, goss_srv_job *job, const goss_srv_change *change)
{
    int rc = 0;
    pthread_mutex_lock(&p->lock);
    if (p->n == MOST || p->stopping) rc = GOSS_EFULL;
    else {
        atomic_fetch_add(&job->refs, 1);
        p->queue[p->n++] = (entry){ job, *change };
        pthread_cond_signal(&p->cond);
    }
    pthread_mutex_unlock(&p->lock);
    return rc;
}

/* ---- bodies -------------------------------------------------------------------------------------------- */
/* The first of two members that is there, as a word on a line. */
static int read_name(char to[GOSS_SRV_ID], const goss_json *j, const char *key, const char *other,
                     goss_srv_fail *fail)
{
    goss_buf b = GOSS_BUF(4096);
    int node = goss_json_get(j, 0, key);
    if (node < 0 && other) node = goss_json_get(j, 0, other);
    const int bad = goss_json_string(j, node, &b) || !b.len || b.len >= GOSS_SRV_ID;
    goss_fmt(to, GOSS_SRV_ID, "%s", bad ? "" : goss_buf_cstr(&b));
    goss_buf_free(&b);
    for (const char *c = to; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127) to[0] = 0;
    return *to ? 0 : goss_srv_refuse(fail, 400, "invalid_value", key, -1, "%s must be the name of a model",
                                     key);
}

/* create: from a model that is there, and nothing else, is a copy. */
static int read_create(goss_srv_change *change, const goss_json *j, goss_srv_fail *fail)
{
    static const char *const no[] = { "files", "adapters", "template", "system", "parameters", "messages",
                                      "quantize", "modelfile", "license" };
    for (size_t i = 0; i < sizeof no / sizeof *no; i++) {
        const int kind = goss_json_kind(j, goss_json_get(j, 0, no[i]));
        if (kind && kind != GOSS_JSON_NULL)
            return goss_srv_refuse(fail, 400, "unsupported_value", no[i], -1,
                                   "a model is created here as another name of one that is there (from): %s is not kept "
                                   "with it; send it with each request", no[i]);
    }
    return read_name(change->name, j, "model", "name", fail) || read_name(change->other, j, "from", NULL,
                                                                          fail);
}

int goss_srv_change_read(goss_srv_change *change, int kind, const goss_buf *body, goss_srv_fail *fail)
{
    goss_json j;
    goss_error err = { .position = -1 };
    *change = (goss_srv_change){ .kind = kind };
    if (goss_json_parse(&j, (const char *)body->data, body->len, NULL, &err))
        return goss_srv_refuse(fail, 400, "invalid_json", "", err.position, "the body is not JSON: %s",
                               err.text);
    const int says = kind == GOSS_SRV_PULL || kind == GOSS_SRV_CREATE;
    change->stream = says && goss_json_bool(&j, goss_json_get(&j, 0, "stream"), 1);
    int rc = kind == GOSS_SRV_CREATE ? read_create(change, &j, fail)
             : kind == GOSS_SRV_COPY ? read_name(change->other, &j, "source", NULL, fail) ||
                                           read_name(change->name, &j, "destination", NULL, fail)
                                     : read_name(change->name, &j, "model", "name", fail);
    goss_json_free(&j);
    return rc ? -1 : 0;
}
