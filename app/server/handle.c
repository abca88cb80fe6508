/* handle.c - libmicrohttpd's callbacks: routes, bodies, sleeping for the runner, answering.
 *
 *   first call      context made, request judged by its headers alone (host, origin, key, method, size)
 *   body calls      gathered, or thrown away when already refused
 *   last call       answered at once (files, lists, refusals), or a job is made: the connection is suspended, then
 *                   the job submitted
 *   after a wake    the head is there: whole answers from the buffer, streams through goss_srv_out_read
 *   completed       logged, counted, released; an unfinished job is canceled
 */
#include "../../src/base/mem.h"
#include "../../src/base/os.h"
#include "access.h"
#include "catalog.h"
#include "log.h"
#include "metrics.h"
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

static const char *header(struct MHD_Connection *conn, const char *name) {
    return MHD_lookup_connection_value(conn, MHD_HEADER_KIND, name);
}

/* ---- answering ------------------------------------------------------------------------------- */
static void add_cors(goss_srv_conn *k, struct MHD_Response *r) {
    if (!k->origin[0]) return;
    MHD_add_response_header(r, "Access-Control-Allow-Origin", k->origin);
    MHD_add_response_header(r, "Vary", "Origin");
}

/* How long a connection lives between requests, in whole seconds: --timeout, rounded up. */
static unsigned idle_seconds(const goss_srv_config *c) { return (unsigned)(c->timeout + 0.999); }

static enum MHD_Result queue(goss_srv_conn *k, int status, struct MHD_Response *r) {
    char idle[32];
    if (!r) return MHD_NO;
    add_cors(k, r);
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    if (atomic_load(&k->server->stopping) || k->fail.status == 503) {
        MHD_add_response_header(r, "Connection", "close");
    } else { /* a client that knows sends nothing into a connection that is about to be closed */
        snprintf(idle, sizeof idle, "timeout=%u", idle_seconds(k->server->c));
        MHD_add_response_header(r, "Keep-Alive", idle);
    }
    k->status = status;
    enum MHD_Result ok = MHD_queue_response(k->conn, (unsigned)status, r);
    MHD_destroy_response(r);
    return ok;
}

enum MHD_Result goss_srv_reply(goss_srv_conn *k, int status, const char *type, const void *text, size_t n) {
    struct MHD_Response *r = MHD_create_response_from_buffer(n, (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
    if (!r) return MHD_NO;
    MHD_add_response_header(r, "Content-Type", type);
    MHD_add_response_header(r, "Cache-Control", "no-store");
    if (status == 401) MHD_add_response_header(r, "WWW-Authenticate", "Bearer");
    if (status == 405) MHD_add_response_header(r, "Allow", k->allow);
    if (status == 503 && k->fail.status) MHD_add_response_header(r, "Retry-After", "1");
    k->bytes = n;
    return queue(k, status, r);
}

enum MHD_Result goss_srv_reply_buf(goss_srv_conn *k, int status, const char *type, goss_buf *b) {
    enum MHD_Result ok = goss_srv_reply(k, b->failed ? 500 : status, type, b->data, b->failed ? 0 : b->len);
    goss_buf_free(b);
    return ok;
}

enum MHD_Result goss_srv_reply_fail(goss_srv_conn *k) {
    goss_buf b = GOSS_BUF(65536);
    goss_srv_write_fail(&b, k->route && k->route->api >= 0 ? (goss_srv_api)k->route->api : GOSS_SRV_CHAT, &k->fail);
    return goss_srv_reply_buf(k, k->fail.status, "application/json", &b);
}

static enum MHD_Result preflight(goss_srv_conn *k) {
    struct MHD_Response *r = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    const char *wants = header(k->conn, "Access-Control-Request-Headers");
    if (!r) return MHD_NO;
    MHD_add_response_header(r, "Allow", k->allow);
    if (k->origin[0]) {
        MHD_add_response_header(r, "Access-Control-Allow-Methods", "GET, POST, DELETE, OPTIONS");
        MHD_add_response_header(r, "Access-Control-Allow-Headers",
                                wants && strlen(wants) < 1024 ? wants : "Authorization, Content-Type, x-api-key");
        MHD_add_response_header(r, "Access-Control-Allow-Private-Network", "true");
        MHD_add_response_header(r, "Access-Control-Max-Age", "600");
    }
    return queue(k, 204, r);
}

/* ---- jobs ------------------------------------------------------------------------------------ */
static int find_previous(void *ctx, const char *id, goss_buf *out) {
    (void)ctx;
    return goss_srv_store_conversation(id, out);
}

static enum MHD_Result submit(goss_srv_conn *k) {
    static const goss_srv_lookup lookup = { NULL, find_previous };
    goss_srv *s = k->server;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(k->conn, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (goss_srv_job_open(&k->job, s->c->max_stream)) return MHD_NO;
    goss_srv_job *job = k->job;
    if (goss_srv_request_read(&job->req, (goss_srv_api)k->route->api, s->c, &lookup, (const char *)k->body.data,
                              k->body.len, &k->fail)) {
        goss_srv_job_drop(&k->job);
        return goss_srv_reply_fail(k);
    }
    goss_buf_free(&k->body);
    if (!job->req.stream) job->out.buf.max = (size_t)1 << 30;
    k->watch = info ? goss_srv_watch_add(s->watch, job, info->connect_fd) : -1;
    if (info && k->chunks) job->out.fd = info->connect_fd;
    goss_srv_out_sleep(&job->out, k->conn);
    int rc = goss_srv_runner_submit(s->runner, job);
    if (!rc) return MHD_YES;
    if (rc == GOSS_EFULL) {
        goss_srv_refuse(&k->fail, 429, "queue_full", "", -1,
                        "%d requests are waiting already: try again in a second", s->c->queue);
        goss_srv_metrics_reject();
    } else goss_srv_refuse(&k->fail, 503, "server_stopping", "", -1, "the server is stopping");
    goss_srv_write_fail(&job->bytes, job->req.api, &k->fail);
    goss_srv_out_write(&job->out, job->bytes.data, job->bytes.len);
    job->out.retry_after = 1;
    goss_srv_out_head(&job->out, k->fail.status, "application/json", 0);
    goss_srv_out_end(&job->out);
    return MHD_YES;
}

/* The connection is awake: the job's head may be there. */
static enum MHD_Result resume(goss_srv_conn *k) {
    goss_srv_out *o = &k->job->out;
    if (goss_srv_out_sleep(o, k->conn)) return MHD_YES;
    if (goss_srv_out_canceled(o)) return MHD_NO;
    struct MHD_Response *r;
    if (o->streaming) r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16384, goss_srv_out_read, o, NULL);
    /* lives until the request is completed */
    else r = MHD_create_response_from_buffer(o->buf.len, o->buf.data, MHD_RESPMEM_PERSISTENT);
    if (!r) return MHD_NO;
    if (!o->streaming) k->bytes = o->buf.len;
    MHD_add_response_header(r, "Content-Type", o->type);
    MHD_add_response_header(r, "Cache-Control", "no-store");
    if (o->streaming) MHD_add_response_header(r, "X-Accel-Buffering", "no");
    if (o->retry_after) MHD_add_response_header(r, "Retry-After", "1");
    return queue(k, o->status, r);
}

/* ---- the first call -------------------------------------------------------------------------- */
static void judge(goss_srv_conn *k, const char *url) {
    goss_srv *s = k->server;
    const char *host = header(k->conn, "Host"), *origin = header(k->conn, "Origin"),
               *length = header(k->conn, "Content-Length");
    goss_srv_fail *f = &k->fail;
    const union MHD_ConnectionInfo *one = MHD_get_connection_info(k->conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
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
        goss_srv_refuse(f, 403, "host_not_allowed", "", -1, "this Host is not served here (see --allow-host)");
    else if (!open_to_all && !goss_srv_access_origin(s->c, origin, host))
        goss_srv_refuse(f, 403, "origin_not_allowed", "", -1,
                        "pages of this origin may not call this server (see --allow-origin)");
    else if (!open_to_all && origin) snprintf(k->origin, sizeof k->origin, "%s", origin);
    if (f->status) return;
    int page = k->route && k->route->kind == GOSS_SRV_ROUTE_PAGE;
    if (page && *k->rest && !strstr(k->route->methods, k->method) && strcmp(k->method, "OPTIONS")) k->route = NULL;
    if (!k->route) {
        goss_srv_refuse(f, 404, "not_found", "", -1,
                        "there is nothing at this path (the API: /v1/models, /v1/chat/completions, ...)");
    } else if (!strcmp(k->method, "OPTIONS")) k->preflight = !open_to_all;
    else if (!open_to_all && !strstr(k->route->methods, k->method)) {
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

static enum MHD_Result first_call(goss_srv *s, struct MHD_Connection *conn, const char *url, const char *method,
                                  const char *version, void **context) {
    goss_srv_conn *k = goss_mem_alloc(sizeof *k);
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
    judge(k, url);
    const char *length = header(conn, "Content-Length");
    if (k->fail.status && (header(conn, "Expect") || (length && strtoull(length, NULL, 10) > DISCARD_MAX)))
        return goss_srv_reply_fail(k);
    return MHD_YES;
}

static enum MHD_Result answer(goss_srv_conn *k) {
    if (k->fail.status) return goss_srv_reply_fail(k);
    if (k->preflight) return preflight(k);
    if (k->route->kind == GOSS_SRV_ROUTE_API) return submit(k);
    return goss_srv_route_answer(k);
}

static enum MHD_Result on_access(void *ctx, struct MHD_Connection *conn, const char *url, const char *method,
                                 const char *version, const char *data, size_t *n_data, void **context) {
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
static void log_request(goss_srv_conn *k) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(k->conn, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    static const char *const stops[] = { "none", "eos", "stop", "length", "call", "canceled", "error" };
    char peer[64] = "-", note[200] = "";
    if (info && info->client_addr) {
        const struct sockaddr *a = info->client_addr;
        const void *from = a->sa_family == AF_INET6
                               ? (const void *)&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr
                               : (const void *)&((const struct sockaddr_in *)(const void *)a)->sin_addr;
        inet_ntop(a->sa_family, from, peer, sizeof peer);
    }
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
                         enum MHD_RequestTerminationCode code) {
    goss_srv_conn *k = *context;
    goss_srv *s = ctx;
    (void)conn;
    (void)code;
    if (!k) return;
    *context = NULL;
    if (k->job) {
        goss_srv_watch_remove(s->watch, k->watch);
        goss_srv_out_detach(&k->job->out);
        if (k->job->out.streaming) k->bytes = k->job->out.total;
        if (goss_srv_out_canceled(&k->job->out)) {
            if (!k->status || k->job->out.streaming) k->status = 499; /* as nginx logs clients that went away */
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
                          enum MHD_ConnectionNotificationCode code) {
    goss_srv *s = ctx;
    int change = code == MHD_CONNECTION_NOTIFY_STARTED ? 1 : -1;
    int before = atomic_fetch_add(&s->n_connections, change);
    (void)conn;
    if (change > 0) *context = before >= s->c->max_connections ? s : NULL;
    goss_srv_metrics_connections(change);
}

static size_t keep_escapes(void *ctx, struct MHD_Connection *conn, char *text) { /* access.c decodes, strictly */
    (void)ctx;
    (void)conn;
    return strlen(text);
}

/* libmicrohttpd's own words, mostly about broken clients */
static void on_message(void *ctx, const char *format, va_list args) {
    (void)ctx;
    (void)format;
    (void)args;
}

int goss_srv_http_open(goss_srv *s) {
    const goss_srv_config *c = s->c;
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_SUSPEND_RESUME | MHD_USE_ERROR_LOG | MHD_USE_TURBO;
    int threads = c->http_threads > 1 ? c->http_threads : 0;
    s->http = MHD_start_daemon(flags, 0, NULL, NULL, on_access, s,
        MHD_OPTION_EXTERNAL_LOGGER, on_message, NULL,
        MHD_OPTION_LISTEN_SOCKET, s->listen_fd,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, s,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, s,
        MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)(c->max_connections + SPARE) * (unsigned)c->http_threads,
        MHD_OPTION_CONNECTION_TIMEOUT, idle_seconds(c),
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)c->max_header,
        threads ? MHD_OPTION_THREAD_POOL_SIZE : MHD_OPTION_END, (unsigned)threads,
        MHD_OPTION_END);
    return s->http ? 0 : GOSS_EIO;
}

void goss_srv_http_close(goss_srv *s) {
    if (s->http) MHD_stop_daemon(s->http);
    s->http = NULL;
}
