/* tool_calls.c - see tool_calls.h. */
#include "tool_calls.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/os.h"
#include "caller.h"
#include "line.h"
#include "log.h"
#include "mcp/mcp.h"
#include "offers.h"
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { START_MS = 10000, LOOK_MS = 200, DIRECT = 64 };
struct goss_srv_call {
    goss_srv_call *next;
    int64_t id;
    int done, failed;
    goss_buf text;
    void (*told)(void *ctx);
    void *ctx;
};
/* A call that a client asked for itself. */
typedef struct direct {
    goss_srv_job *job;
    goss_srv_call *call;
    goss_srv_mcp_call what;
} direct;

static struct {
    int n, fd, wake_fd, has_thread, stopping;
    pthread_t thread;
    goss_srv_lines lines; /* the thread's */
    /* under the lock */
    pthread_mutex_t lock;
    goss_srv_call *calls;
    int64_t last_id;
    int gone;
    direct direct[DIRECT];
    int n_direct;
} all = { .fd = -1, .wake_fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- what comes ---------------------------------------------------------------------------------------- */
static void take_result(const goss_json *j, int64_t id)
{
    for (goss_srv_call *c = all.calls; c; c = c->next) {
        if (c->id != id || c->done) continue;
        c->failed = (int)goss_json_number(j, goss_json_get(j, 0, "failed"), GOSS_MCP_CALL_FAILED);
        goss_json_string(j, goss_json_get(j, 0, "text"), &c->text);
        c->done = 1;
        c->told(c->ctx);
    }
}

static void take(void *ctx, const char *line, size_t n)
{
    goss_json j;
    (void)ctx;
    if (goss_json_parse(&j, line, n, NULL, NULL)) return;
    const int id = goss_json_get(&j, 0, "id");
    const double server = goss_json_number(&j, goss_json_get(&j, 0, "server"), -1);
    pthread_mutex_lock(&all.lock);
    if (id >= 0) take_result(&j, (int64_t)goss_json_number(&j, id, -1));
    pthread_mutex_unlock(&all.lock);
    if (server >= 0 && server < all.n) goss_srv_offers_take((int)server, &j, goss_json_get(&j, 0, "tools"));
    goss_json_free(&j);
}

/* The process has ended: so have all calls. Under the lock. */
static void lose(void)
{
    static const char why[] = "The call failed: the process that calls tools has ended.";
    if (!all.gone && !all.stopping)
        goss_srv_log("the process that calls tools has ended: start the server again");
    all.gone = 1;
    for (goss_srv_call *c = all.calls; c; c = c->next) {
        if (c->done) continue;
        c->failed = GOSS_MCP_CALL_FAILED;
        goss_buf_str(&c->text, why);
        c->done = 1;
        c->told(c->ctx);
    }
}

/* ---- calls that clients make themselves ---------------------------------------------------------------- */
static void answer(direct *d)
{
    goss_buf text = GOSS_BUF(GOSS_SRV_LINE_MAX), b = GOSS_BUF(GOSS_SRV_LINE_MAX);
    d->what.failed = goss_srv_call_take(d->call, &text);
    d->what.output = (goss_str){ (const char *)text.data, text.len };
    goss_srv_mcp_write_call(&b, &d->what);
    goss_srv_out_write(&d->job->out, b.data, b.len);
    goss_srv_out_head(&d->job->out, b.failed ? 500 : 200, "application/json", 0);
    goss_srv_out_end(&d->job->out);
    goss_buf_free(&text);
    goss_buf_free(&b);
}

static void wake(void *ctx)
{
    (void)ctx;
    eventfd_write(all.wake_fd, 1);
}

/* Those that are done are answered, those that nobody waits for are dropped. How many are left. */
static int run_direct(void)
{
    pthread_mutex_lock(&all.lock);
    for (int i = 0; i < all.n_direct;) {
        direct d = all.direct[i];
        const int canceled = goss_srv_out_canceled(&d.job->out);
        if (!d.call->done && !canceled) {
            i++;
            continue;
        }
        all.direct[i] = all.direct[--all.n_direct];
        pthread_mutex_unlock(&all.lock);
        if (!canceled) answer(&d);
        goss_srv_call_drop(&d.call);
        goss_srv_job_drop(&d.job);
        pthread_mutex_lock(&all.lock);
    }
    const int left = all.n_direct;
    pthread_mutex_unlock(&all.lock);
    return left;
}

static void *work(void *ctx)
{
    int here = 1;
    (void)ctx;
    for (;;) {
        struct pollfd fds[2] = { { all.wake_fd, POLLIN, 0 }, { here ? all.fd : -1, POLLIN, 0 } };
        eventfd_t value;
        poll(fds, 2, run_direct() ? LOOK_MS : -1);
        if (fds[0].revents) eventfd_read(all.wake_fd, &value);
        if (fds[1].revents) here = goss_srv_lines_read(&all.lines, all.fd, take, NULL);
        pthread_mutex_lock(&all.lock);
        if (!here) lose();
        const int ends = all.stopping && !all.n_direct;
        pthread_mutex_unlock(&all.lock);
        if (ends) return NULL;
    }
}

/* ---- the beginning and the end ------------------------------------------------------------------------- */
static int heard_all(void)
{
    int n = 0;
    for (int i = 0; i < all.n; i++) n += goss_srv_offers_heard(i);
    return n == all.n;
}

int goss_srv_calls_open(const goss_srv_config *c, goss_error *err)
{
    if (!*c->mcp) return 0;
    const double until = goss_os_now_ms() + (double)START_MS;
    all.n = goss_srv_offers_open(c->mcp, err);
    if (all.n < 0) return all.n;
    const int rc = goss_srv_caller_open(&all.fd, goss_srv_offers_entry(0), all.n, 1000 * c->mcp_timeout, err);
    if (rc) return rc;
    all.lines.buf = GOSS_BUF(GOSS_SRV_LINE_MAX);
    while (!heard_all() && goss_os_now_ms() < until) {
        struct pollfd fd = { all.fd, POLLIN, 0 };
        if (poll(&fd, 1, LOOK_MS) > 0 && !goss_srv_lines_read(&all.lines, all.fd, take, NULL)) break;
    }
    for (int i = 0; i < all.n; i++)
        if (!goss_srv_offers_heard(i))
            goss_srv_log("the tools of %s come later: it does not say yet which there are",
                         goss_srv_offers_entry(i)->name);
    return 0;
}

int goss_srv_calls_begin(void)
{
    if (all.fd < 0) return 0;
    all.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    all.has_thread = all.wake_fd >= 0 && !pthread_create(&all.thread, NULL, work, NULL);
    return all.has_thread ? 0 : GOSS_ENOMEM;
}

void goss_srv_calls_close(void)
{
    pthread_mutex_lock(&all.lock);
    all.stopping = 1;
    pthread_mutex_unlock(&all.lock);
    if (all.has_thread) {
        wake(NULL);
        pthread_join(all.thread, NULL);
    }
    if (all.fd >= 0) close(all.fd);
    if (all.wake_fd >= 0) close(all.wake_fd);
    goss_buf_free(&all.lines.buf);
    goss_srv_offers_close();
}

/* ---- calls --------------------------------------------------------------------------------------------- */
goss_srv_call *goss_srv_call_make(int label, const char *tool, goss_str arguments, void (*told)(void *ctx),
                                  void *ctx)
{
    goss_srv_call *c = goss_mem_alloc(sizeof *c);
    goss_buf line = GOSS_BUF(GOSS_SRV_LINE_MAX);
    if (!c) return NULL;
    pthread_mutex_lock(&all.lock);
    *c = (goss_srv_call){
        .next = all.calls, .id = ++all.last_id, .text = GOSS_BUF(GOSS_SRV_LINE_MAX), .told = told, .ctx = ctx
    };
    all.calls = c;
    goss_buf_printf(&line, "{\"id\":%lld,\"server\":%d,\"tool\":", (long long)c->id, label);
    goss_buf_json_string(&line, tool, strlen(tool));
    goss_buf_str(&line, ",\"arguments\":");
    goss_buf_json_string(&line, arguments.s, (size_t)arguments.n);
    goss_buf_str(&line, "}\n");
    if (all.gone || line.failed || goss_srv_line_send(all.fd, &line)) lose();
    pthread_mutex_unlock(&all.lock);
    goss_buf_free(&line);
    return c;
}

int goss_srv_call_done(goss_srv_call *call)
{
    pthread_mutex_lock(&all.lock);
    const int done = call->done;
    pthread_mutex_unlock(&all.lock);
    return done;
}

int goss_srv_call_take(goss_srv_call *call, goss_buf *text)
{
    goss_buf_append(text, call->text.data, call->text.len);
    return call->failed;
}

void goss_srv_call_drop(goss_srv_call **pointer)
{
    goss_srv_call *c = *pointer;
    goss_buf line = GOSS_BUF(64);
    *pointer = NULL;
    if (!c) return;
    pthread_mutex_lock(&all.lock);
    goss_srv_call **at = &all.calls;
    while (*at != c) at = &(*at)->next;
    *at = c->next;
    goss_buf_printf(&line, "{\"cancel\":%lld}\n", (long long)c->id);
    if (!c->done && goss_srv_line_send(all.fd, &line)) lose();
    pthread_mutex_unlock(&all.lock);
    goss_buf_free(&line);
    goss_buf_free(&c->text);
    goss_mem_free(c);
}

/* ---- POST /v1/tools/call ------------------------------------------------------------------------------- */
/* The member's text, kept in the job's memory. */
static const char *word(goss_srv_job *job, const goss_json *j, const char *key)
{
    goss_str s = { 0 };
    const int node = goss_json_get(j, 0, key);
    if (goss_json_kind(j, node) != GOSS_JSON_STRING || goss_json_str(j, node, &job->req.owned, &s))
        return NULL;
    return memchr(s.s, 0, (size_t)s.n) ? NULL : goss_owned_text(&job->req.owned, s.s, (size_t)s.n);
}

/* An object, or one as a text. */
static const char *arguments_of(goss_srv_job *job, const goss_json *j, int node)
{
    goss_buf b = GOSS_BUF(GOSS_SRV_LINE_MAX);
    if (goss_json_kind(j, node) == GOSS_JSON_STRING) goss_json_string(j, node, &b);
    else goss_json_write(j, node, &b);
    const char *text = b.failed || !b.len ? NULL : goss_owned_text(&job->req.owned, b.data, b.len);
    goss_buf_free(&b);
    return text;
}

static int read_arguments(goss_srv_job *job, const goss_json *j, goss_str *out, goss_srv_fail *fail)
{
    const int node = goss_json_get(j, 0, "arguments"), kind = goss_json_kind(j, node);
    const char *text = !kind                                                  ? "{}"
                       : kind == GOSS_JSON_STRING || kind == GOSS_JSON_OBJECT ? arguments_of(job, j, node)
                                                                              : NULL;
    if (!text)
        return goss_srv_refuse(fail, 400, "invalid_value", "arguments", -1,
                               "arguments must be an object, or one as a text");
    *out = (goss_str){ text, strlen(text) };
    return 0;
}

static int read_body(goss_srv_job *job, const goss_json *j, goss_srv_mcp_call *what, int *number,
                     goss_srv_fail *fail)
{
    what->label = word(job, j, "server_label");
    what->name = word(job, j, "name");
    *number = what->label ? goss_srv_offers_label(what->label) : -1;
    if (*number < 0)
        return goss_srv_refuse(fail, 404, "not_found", "server_label", -1,
                               "server_label must be one that GET /v1/tools lists");
    if (!what->name)
        return goss_srv_refuse(fail, 400, "invalid_value", "name", -1, "name must be that of a tool");
    if (!goss_srv_offers_entry(*number)->trust && !goss_json_bool(j, goss_json_get(j, 0, "approve"), 0))
        return goss_srv_refuse(
            fail, 403, "approval_required", "approve", -1,
            "a tool of this server is called when its user allows the call: send approve: true "
            "then");
    return read_arguments(job, j, &what->arguments, fail);
}

int goss_srv_calls_submit(goss_srv_job *job, const goss_buf *body, goss_srv_fail *fail)
{
    goss_json j;
    goss_error err = { .position = -1 };
    direct d = { .job = job };
    int number;
    if (goss_json_parse(&j, (const char *)body->data, body->len, NULL, &err))
        return goss_srv_refuse(fail, 400, "invalid_json", "", err.position, "the body is not JSON: %s",
                               err.text);
    const int rc = read_body(job, &j, &d.what, &number, fail);
    goss_json_free(&j);
    if (rc) return rc;
    goss_srv_id(job->id, sizeof job->id, "mcp_");
    d.what.id = job->id;
    if (!(d.call = goss_srv_call_make(number, d.what.name, d.what.arguments, wake, NULL)))
        return goss_srv_refuse(fail, 500, "out_of_memory", "", -1, "out of memory");
    pthread_mutex_lock(&all.lock);
    const int room = all.n_direct < DIRECT;
    if (room) {
        atomic_fetch_add(&job->refs, 1);
        all.direct[all.n_direct++] = d;
    }
    pthread_mutex_unlock(&all.lock);
    if (!room) goss_srv_call_drop(&d.call);
    wake(NULL);
    return room ? 0 : goss_srv_refuse(fail, 429, "queue_full", "", -1, "too many calls are under way");
}
