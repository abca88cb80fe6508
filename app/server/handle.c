/* handle.c - libmicrohttpd's callbacks: routes, bodies, sleeping for the runner, answering.
 *
 *   first call      context made, request judged by its headers alone (host, origin, key, method, size)
 *   body calls      gathered, or thrown away when already refused
 *   last call       answered at once (files, lists, refusals), or a job is made: the connection is
 * suspended, then
 *                   the job submitted
 *   after a wake    the head is there: whole answers from the buffer, streams through goss_srv_out_read
 *   completed       logged, counted, released; an unfinished job is canceled
 */
#include "handle.h"
#include "base/mem.h"
#include "base/os.h"
#include "access.h"
#include "background.h"
#include "tool_calls.h"
#include "catalog.h"
#include "frame.h"
#include "log.h"
#include "metrics.h"
#include "prepare.h"
#include "read.h"
#include "reply.h"
#include "routes.h"
#include "store.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* a refused body up to this size is read and thrown away, so that the client sees the answer and no reset */
enum { DISCARD_MAX = 64 << 20 };
/* connections beyond --max-connections that are told so; more wait until one of those is closed */
enum { SPARE = 64 };

static const char *header(struct MHD_Connection *conn, const char *name)
{
    return MHD_lookup_connection_value(conn, MHD_HEADER_KIND, name);
}

static int socket_of(struct MHD_Connection *conn)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info ? info->connect_fd : -1;
}

/* ---- jobs ------------------------------------------------------------------------------------ */
/* The connection sleeps already: k->fail goes the way of an answer. */
static void refuse_asleep(goss_srv_conn *k)
{
    goss_srv_job *job = k->job;
    const goss_srv_api api = k->route->api >= 0 ? (goss_srv_api)k->route->api : GOSS_SRV_CHAT;
    goss_srv_write_fail(&job->bytes, api, &k->fail);
    goss_srv_out_write(&job->out, job->bytes.data, job->bytes.len);
    job->out.retry_after = k->fail.status == 429 || k->fail.status == 503;
    goss_srv_out_head(&job->out, k->fail.status, "application/json", 0);
    goss_srv_out_end(&job->out);
}

/* The connection is awake: the job's head may be there. */
static enum MHD_Result resume(goss_srv_conn *k)
{
    goss_srv_out *o = &k->job->out;
    if (goss_srv_out_sleep(o, k->conn)) return MHD_YES;
    if (goss_srv_out_canceled(o)) return MHD_NO;
    struct MHD_Response *r;
    if (o->streaming)
        r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16384, goss_srv_out_read, o, NULL);
    /* lives until the request is completed */
    else r = MHD_create_response_from_buffer(o->buf.len, o->buf.data, MHD_RESPMEM_PERSISTENT);
    if (!r) return MHD_NO;
    if (!o->streaming) k->bytes = o->buf.len;
    MHD_add_response_header(r, "Content-Type", o->type);
    MHD_add_response_header(r, "Cache-Control", "no-store");
    if (o->streaming) MHD_add_response_header(r, "X-Accel-Buffering", "no");
    if (o->retry_after) MHD_add_response_header(r, "Retry-After", "1");
    /* for a proxy: what refers to this response must come here */
    if (o->status == 200 && k->route->api == GOSS_SRV_RESPONSES)
        MHD_add_response_header(r, "X-Response-Id", k->job->id);
    return goss_srv_reply_queue(k, o->status, r);
}

/* Nothing is seen of it after all. */
static void drop_seen(goss_srv_conn *k)
{
    if (!k->job) return;
    goss_srv_watch_remove(k->server->watch, k->watch);
    goss_srv_out_detach(&k->job->out);
    k->watch = -1;
    goss_srv_job_drop(&k->job);
}

/* The queue did not take it. */
static void refuse_queued(goss_srv_conn *k, int rc)
{
    const goss_srv_config *c = k->server->c;
    if (rc == GOSS_EFULL) {
        /* a proxy asks the next one where the answer is 503 */
        goss_srv_refuse(&k->fail, c->replica ? 503 : 429, "queue_full", "", -1,
                        "%d requests are waiting already: try again in a second", c->queue);
        goss_srv_metrics_reject();
    } else goss_srv_refuse(&k->fail, 503, "server_stopping", "", -1, "the server is stopping");
}

/* What a client sees of a response that runs without it. 0, or GOSS_ENOMEM. */
static int open_seen(goss_srv_conn *k, const char *id, size_t max_unread)
{
    const int fd = socket_of(k->conn);
    if (goss_srv_job_open(&k->job, max_unread)) return GOSS_ENOMEM;
    snprintf(k->job->id, sizeof k->job->id, "%s", id);
    k->watch = fd >= 0 ? goss_srv_watch_add(k->server->watch, k->job, fd) : -1;
    if (k->chunks) k->job->out.fd = fd;
    return 0;
}

/* Makes it one that runs in the background, and what its client sees of it. 0, or -1: refused. */
static int begin_background(goss_srv_conn *k, goss_srv_job *job, goss_buf *pending)
{
    goss_srv_model m;
    if (goss_srv_catalog_find(job->req.model, &m))
        return goss_srv_refuse(&k->fail, 404, "model_not_found", "model", -1,
                               "there is no model of this name: GET /v1/models lists those that there are");
    memcpy(job->model, m.id, sizeof job->model);
    goss_srv_id(job->id, sizeof job->id, "resp_");
    goss_srv_write_pending(pending, job, "queued");
    if (open_seen(k, job->id, job->req.stream ? k->server->c->max_stream : SIZE_MAX / 2))
        return goss_srv_refuse(&k->fail, 500, "out_of_memory", "", -1, "out of memory");
    if (!job->req.stream) goss_srv_out_write(&k->job->out, pending->data, pending->len);
    const int rc = goss_srv_background_begin(job, pending);
    if (!rc) return 0;
    if (rc != GOSS_EFULL) return goss_srv_refuse(&k->fail, 500, "out_of_memory", "", -1, "out of memory");
    return goss_srv_refuse(&k->fail, k->server->c->replica ? 503 : 429, "background_full", "background", -1,
                           "%d responses run in the background already: try again later",
                           k->server->c->background);
}

/* The client is answered at once; the job runs on without it. */
static enum MHD_Result submit_background(goss_srv_conn *k, goss_srv_job *job)
{
    goss_buf pending = GOSS_BUF((size_t)1 << 30);
    int rc = begin_background(k, job, &pending);
    goss_buf_free(&pending);
    if (!rc && job->req.stream) {
        goss_srv_write_queued(job);
        goss_srv_background_write(job);
        goss_buf_clear(&job->bytes);
        rc = goss_srv_background_follow(job->id, -1, k->job) > 0 ? 0 : -1;
    }
    if (!rc && (rc = goss_srv_runner_submit(k->server->runner, job))) refuse_queued(k, rc);
    if (rc && job->background) goss_srv_background_end(job);
    goss_srv_job_drop(&job);
    if (!rc) {
        if (!k->job->out.streaming) goss_srv_out_head(&k->job->out, 200, "application/json", 0);
        if (!k->job->out.streaming) goss_srv_out_end(&k->job->out);
        return resume(k);
    }
    drop_seen(k);
    return goss_srv_reply_fail(k);
}

static int wants_stream(goss_srv_conn *k)
{
    const char *stream = MHD_lookup_connection_value(k->conn, MHD_GET_ARGUMENT_KIND, "stream");
    return !strcmp(k->method, "GET") && !strchr(k->rest, '/') && stream &&
           (!strcmp(stream, "true") || !strcmp(stream, "1"));
}

/* GET with stream=true: the events of a response in the background, those that were and those to come. */
static enum MHD_Result follow(goss_srv_conn *k)
{
    const char *after = MHD_lookup_connection_value(k->conn, MHD_GET_ARGUMENT_KIND, "starting_after");
    const int64_t from = after ? strtoll(after, NULL, 10) : -1;
    goss_buf events = GOSS_BUF((size_t)1 << 30);
    if (open_seen(k, k->rest, k->server->c->max_stream)) return MHD_NO;
    int rc = goss_srv_background_follow(k->rest, from, k->job);
    if (!rc && (rc = goss_srv_store_stream(k->rest, &events))) {
        const size_t at = goss_srv_background_behind(events.data, events.len, from);
        k->job->out.buf.max = SIZE_MAX / 2;
        goss_srv_out_head(&k->job->out, 200, "text/event-stream", 1);
        goss_srv_out_write(&k->job->out, events.data + at, events.len - at);
        goss_srv_out_end(&k->job->out);
    }
    goss_buf_free(&events);
    if (rc > 0) return resume(k);
    drop_seen(k);
    if (rc == GOSS_ENOMEM) return MHD_NO;
    if (rc || goss_srv_store_response(k->rest, &events))
        goss_srv_refuse(&k->fail, 400, "invalid_value", "stream", -1,
                        "stream: this response was not made with background and stream");
    else goss_srv_refuse(&k->fail, 404, "not_found", "", -1, "no response of this id is stored");
    goss_buf_free(&events);
    return goss_srv_reply_fail(k);
}

static enum MHD_Result submit(goss_srv_conn *k)
{
    goss_srv *s = k->server;
    const int fd = socket_of(k->conn);
    if (goss_srv_job_open(&k->job, s->c->max_stream)) return MHD_NO;
    goss_srv_job *job = k->job;
    if (goss_srv_request_read(&job->req, (goss_srv_api)k->route->api, s->c, &k->body, &k->fail)) {
        goss_srv_job_drop(&k->job);
        return goss_srv_reply_fail(k);
    }
    if (job->req.background) {
        k->job = NULL;
        return submit_background(k, job);
    }
    if (!job->req.stream) job->out.buf.max = (size_t)1 << 30;
    k->watch = fd >= 0 ? goss_srv_watch_add(s->watch, job, fd) : -1;
    if (k->chunks) job->out.fd = fd;
    goss_srv_out_sleep(&job->out, k->conn);
    int rc = goss_srv_runner_submit(s->runner, job);
    if (!rc) return MHD_YES;
    refuse_queued(k, rc);
    refuse_asleep(k);
    return MHD_YES;
}

/* A call that the client makes itself: to the thread that hears of calls. */
static enum MHD_Result submit_call(goss_srv_conn *k)
{
    goss_srv *s = k->server;
    const int fd = socket_of(k->conn);
    if (goss_srv_job_open(&k->job, SIZE_MAX / 2)) return MHD_NO;
    k->watch = fd >= 0 ? goss_srv_watch_add(s->watch, k->job, fd) : -1;
    goss_srv_out_sleep(&k->job->out, k->conn);
    if (goss_srv_calls_submit(k->job, &k->body, &k->fail)) refuse_asleep(k);
    return MHD_YES;
}

/* A change of the models that there are: to the thread that talks to the fetcher. */
static enum MHD_Result submit_change(goss_srv_conn *k)
{
    static const char *const names[] = { "api_pull", "api_delete", "api_copy", "api_create" };
    goss_srv *s = k->server;
    goss_srv_change change;
    const int fd = socket_of(k->conn);
    int kind = 0;
    while (strcmp(names[kind], k->route->name)) kind++;
    if (!goss_srv_pulls_allowed(s->pulls, &k->fail) || goss_srv_change_read(&change, kind, &k->body,
                                                                            &k->fail))
        return goss_srv_reply_fail(k);
    if (goss_srv_job_open(&k->job, s->c->max_stream)) return MHD_NO;
    k->watch = fd >= 0 ? goss_srv_watch_add(s->watch, k->job, fd) : -1;
    goss_srv_out_sleep(&k->job->out, k->conn);
    if (!goss_srv_pulls_submit(s->pulls, k->job, &change)) return MHD_YES;
    goss_srv_refuse(&k->fail, 429, "queue_full", "", -1, "too many changes of models wait: try again later");
    refuse_asleep(k);
    return MHD_YES;
}

/* Whether `method` is one of `methods` ("GET, HEAD"), whole. */
static int takes(const char *methods, const char *method)
{
    const size_t n = strlen(method);
    for (const char *at = methods; *at; at += strcspn(at, ","), at += strspn(at, ", "))
        if (strcspn(at, ",") == n && !memcmp(at, method, n)) return 1;
    return 0;
}

/* frame.c found bytes that are no request: 1, and the answer is refused with what it said. */
static int is_bad(goss_srv_conn *k, enum MHD_ValueKind kind)
{
    const char *why = MHD_lookup_connection_value(k->conn, kind, GOSS_SRV_BAD);
    if (!why) return 0;
    k->last = 1;
    const int status = atoi(why);
    goss_srv_refuse(&k->fail, status, status == 408 ? "request_timeout" : "bad_request", "", -1, "%s",
                    why + 4);
    return 1;
}

/* ---- the first call -------------------------------------------------------------------------- */
static void judge(goss_srv_conn *k, const char *url)
{
    goss_srv *s = k->server;
    const char *host = header(k->conn, "Host"), *origin = header(k->conn, "Origin"),
               *length = header(k->conn, "Content-Length");
    goss_srv_fail *f = &k->fail;
    const union MHD_ConnectionInfo *one =
        MHD_get_connection_info(k->conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    if (one && one->socket_context) {
        goss_srv_refuse(f, 503, "too_many_connections", "", -1,
                        "more than %d connections are open: close some, or see --max-connections",
                        s->c->max_connections);
        return;
    }
    if (goss_srv_access_path(url, k->path, sizeof k->path)) {
        goss_srv_refuse(f, 400, "bad_path", "", -1, "the path is malformed");
        return;
    }
    k->route = goss_srv_route_find(k->path, &k->rest);
    int open_to_all = k->route && k->route->kind == GOSS_SRV_ROUTE_MODEL_FILE;
    if (!goss_srv_access_host(s->c, host))
        goss_srv_refuse(f, 403, "host_not_allowed", "", -1,
                        "this Host is not served here (see --allow-host)");
    else if (!open_to_all && !goss_srv_access_origin(s->c, origin, host))
        goss_srv_refuse(f, 403, "origin_not_allowed", "", -1,
                        "pages of this origin may not call this server (see --allow-origin)");
    else if (!open_to_all && origin) snprintf(k->origin, sizeof k->origin, "%s", origin);
    if (f->status) return;
    int page = k->route && k->route->kind == GOSS_SRV_ROUTE_PAGE;
    if (page && *k->rest && !takes(k->route->methods, k->method) && strcmp(k->method, "OPTIONS"))
        k->route = NULL;
    if (!k->route) {
        goss_srv_refuse(f, 404, "not_found", "", -1,
                        "there is nothing at this path (the API: /v1/models, /v1/chat/completions, ...)");
    } else if (!strcmp(k->method, "OPTIONS")) k->preflight = !open_to_all;
    else if (!open_to_all && !takes(k->route->methods, k->method)) {
        goss_srv_refuse(f, 405, "method_not_allowed", "", -1, "this path answers %s", k->route->methods);
    } else if (k->route->guarded &&
               !goss_srv_access_key(s->c, header(k->conn, "Authorization"), header(k->conn, "x-api-key")))
        goss_srv_refuse(f, 401, "invalid_api_key", "", -1,
                        "this server wants its API key, as \"Authorization: Bearer KEY\" or \"x-api-key: KEY\"");
    else if (length && strtoull(length, NULL, 10) > s->c->max_body)
        goss_srv_refuse(f, 413, "body_too_large", "", -1, "the body is larger than %llu bytes (--max-body)",
                        (unsigned long long)s->c->max_body);
    k->allow = k->route ? k->route->methods : "";
}

static enum MHD_Result first_call(goss_srv *s, struct MHD_Connection *conn, const char *url,
                                  const char *method, const char *version, void **context)
{
    goss_srv_conn *k = goss_srv_wire_begun(s->wires, socket_of(conn)) ? NULL : goss_mem_alloc(sizeof *k);
    if (!k) return MHD_NO;
    *context = k;
    k->server = s;
    k->conn = conn;
    k->t0 = goss_os_now_ms();
    k->watch = -1;
    k->rest = k->allow = "";
    k->chunks = !strcmp(version, "HTTP/1.1"); /* streams to older clients are not chunked */
    k->body = GOSS_BUF(s->c->max_body);
    snprintf(k->method, sizeof k->method, "%s", method);
    snprintf(k->url, sizeof k->url, "%s", url);
    atomic_fetch_add(&s->n_requests, 1);
    if (is_bad(k, MHD_HEADER_KIND)) return goss_srv_reply_fail(k);
    judge(k, url);
    const char *length = header(conn, "Content-Length");
    if (k->fail.status && (header(conn, "Expect") || (length && strtoull(length, NULL, 10) > DISCARD_MAX)))
        return goss_srv_reply_fail(k);
    return MHD_YES;
}

static enum MHD_Result answer(goss_srv_conn *k)
{
    if (is_bad(k, MHD_FOOTER_KIND) || k->fail.status) return goss_srv_reply_fail(k);
    if (k->preflight) return goss_srv_reply_preflight(k);
    if (k->route->kind == GOSS_SRV_ROUTE_API) return submit(k);
    if (k->route->kind == GOSS_SRV_ROUTE_CHANGE) return submit_change(k);
    if (k->route->kind == GOSS_SRV_ROUTE_CALL) return submit_call(k);
    if (k->route->kind == GOSS_SRV_ROUTE_RESPONSE && wants_stream(k)) return follow(k);
    return goss_srv_route_answer(k);
}

static enum MHD_Result on_access(void *ctx, struct MHD_Connection *conn, const char *url, const char *method,
                                 const char *version, const char *data, size_t *n_data, void **context)
{
    goss_srv_conn *k = *context;
    if (!k) return first_call(ctx, conn, url, method, version, context);
    if (*n_data) {
        size_t n = *n_data;
        *n_data = 0;
        k->received += n;
        if (!k->fail.status && goss_buf_append(&k->body, data, n) < 0) {
            goss_srv_refuse(&k->fail, 413, "body_too_large", "", -1,
                            "the body is larger than %llu bytes (--max-body)",
                            (unsigned long long)k->server->c->max_body);
            goss_buf_free(&k->body);
        }
        return k->received > DISCARD_MAX + k->server->c->max_body ? MHD_NO : MHD_YES;
    }
    if (k->status) return MHD_YES;
    return k->job ? resume(k) : answer(k);
}

/* ---- the end --------------------------------------------------------------------------------- */
/* The client's address: with --replica the one that the proxy added last. */
static void peer_of(goss_srv_conn *k, char *to, size_t cap)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(k->conn, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const char *by = k->server->c->replica ? header(k->conn, "X-Forwarded-For") : NULL;
    unsigned char address[16];
    if (info && info->client_addr) {
        const struct sockaddr *a = info->client_addr;
        const void *from = a->sa_family == AF_INET6
                               ? (const void *)&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr
                               : (const void *)&((const struct sockaddr_in *)(const void *)a)->sin_addr;
        inet_ntop(a->sa_family, from, to, (socklen_t)cap);
    }
    if (by && strrchr(by, ',')) by = strrchr(by, ',') + 1;
    if (by) by += strspn(by, " \t");
    if (by && (inet_pton(AF_INET, by, address) == 1 || inet_pton(AF_INET6, by, address) == 1))
        snprintf(to, cap, "%s", by);
}

static void log_request(goss_srv_conn *k)
{
    static const char *const stops[] = { "none", "eos", "stop", "length", "call", "canceled", "error" };
    char peer[64] = "-", note[200] = "";
    peer_of(k, peer, sizeof peer);
    goss_srv_job *job = k->job;
    if (job && atomic_load(&job->n_prompt)) {
        int stop = atomic_load(&job->stop);
        snprintf(note, sizeof note, "prompt=%d reused=%d generated=%d stop=%s", atomic_load(&job->n_prompt),
                 atomic_load(&job->n_reused), atomic_load(&job->n_generated),
                 stops[stop >= 0 && stop < 7 ? stop : 0]);
    } else if (k->fail.status) snprintf(note, sizeof note, "%s", k->fail.code);
    else if (job && k->status >= 400 && k->status != 499 && job->fail.code) /* the runner is done with it */
        snprintf(note, sizeof note, "%s", job->fail.code);
    double ms = goss_os_now_ms() - k->t0;
    goss_srv_log_request(&(goss_srv_log_line){ peer, k->method, k->url, note, k->status, k->bytes, ms });
    goss_srv_metrics_request(k->route ? k->route->name : "none", k->status, ms);
}

static void on_completed(void *ctx, struct MHD_Connection *conn, void **context,
                         enum MHD_RequestTerminationCode code)
{
    goss_srv_conn *k = *context;
    goss_srv *s = ctx;
    (void)code;
    goss_srv_wire_done(s->wires, socket_of(conn));
    if (!k) return;
    *context = NULL;
    if (k->job) {
        goss_srv_watch_remove(s->watch, k->watch);
        goss_srv_out_detach(&k->job->out);
        if (k->job->out.streaming) k->bytes = k->job->out.total;
        if (goss_srv_out_canceled(&k->job->out)) {
            /* as nginx logs clients that went away */
            if (!k->status || k->job->out.streaming) k->status = 499;
            atomic_store(&k->job->stop, GOSS_STOP_CANCELED);
            goss_srv_runner_nudge(s->runner);
        }
    }
    log_request(k);
    goss_srv_job_drop(&k->job);
    goss_buf_free(&k->body);
    goss_mem_free(k);
    atomic_fetch_sub(&s->n_requests, 1);
}

/* *context is set where the connection is one too many: its first request is told so. */
static void on_connection(void *ctx, struct MHD_Connection *conn, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    goss_srv *s = ctx;
    const int fd = socket_of(conn);
    int change = code == MHD_CONNECTION_NOTIFY_STARTED ? 1 : -1;
    int before = atomic_fetch_add(&s->n_connections, change);
    if (change > 0) {
        const int room = before < s->c->max_connections || goss_srv_wires_make_room(s->wires);
        *context = goss_srv_wire_open(s->wires, fd) || !room ? s : NULL;
    } else goss_srv_wire_close(s->wires, fd);
    goss_srv_metrics_connections(change);
}

/* access.c decodes, strictly */
static size_t keep_escapes(void *ctx, struct MHD_Connection *conn, char *text)
{
    (void)ctx;
    (void)conn;
    return strlen(text);
}

/* libmicrohttpd's own words, mostly about broken clients */
static void on_message(void *ctx, const char *format, va_list args)
{
    (void)ctx;
    (void)format;
    (void)args;
}

int goss_srv_http_open(goss_srv *s)
{
    const goss_srv_config *c = s->c;
    unsigned flags =
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_SUSPEND_RESUME | MHD_USE_ERROR_LOG | MHD_USE_TURBO;
    int threads = c->http_threads > 1 ? c->http_threads : 0;
    s->http = MHD_start_daemon(flags, 0, NULL, NULL, on_access, s,
        MHD_OPTION_EXTERNAL_LOGGER, on_message, NULL,
        MHD_OPTION_LISTEN_SOCKET, s->listen_fd,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, s,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, s,
        MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)(c->max_connections + SPARE) * (unsigned)c->http_threads,
        MHD_OPTION_CONNECTION_TIMEOUT, goss_srv_reply_idle(c),
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)c->max_header,
        MHD_OPTION_THREAD_STACK_SIZE, (size_t)GOSS_SRV_STACK,
        threads ? MHD_OPTION_THREAD_POOL_SIZE : MHD_OPTION_END, (unsigned)threads,
        MHD_OPTION_END);
    return s->http ? 0 : GOSS_EIO;
}

void goss_srv_http_close(goss_srv *s)
{
    if (s->http) MHD_stop_daemon(s->http);
    s->http = NULL;
}
