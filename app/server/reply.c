/* reply.c - see reply.h. */
#include "reply.h"
#include <stdio.h>
#include <string.h>

static void add_cors(goss_srv_conn *k, struct MHD_Response *r)
{
    if (!k->origin[0]) return;
    MHD_add_response_header(r, "Access-Control-Allow-Origin", k->origin);
    MHD_add_response_header(r, "Vary", "Origin");
}

/* How long a connection lives between requests, in whole seconds: --timeout, rounded up. */
unsigned goss_srv_reply_idle(const goss_srv_config *c) { return (unsigned)(c->timeout + 0.999); }

enum MHD_Result goss_srv_reply_queue(goss_srv_conn *k, int status, struct MHD_Response *r) {
    char idle[32];
    if (!r) return MHD_NO;
    add_cors(k, r);
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    if (atomic_load(&k->server->stopping) || k->fail.status == 503 || k->last) {
        MHD_add_response_header(r, "Connection", "close");
    } else { /* a client that knows sends nothing into a connection that is about to be closed */
        snprintf(idle, sizeof idle, "timeout=%u", goss_srv_reply_idle(k->server->c));
        MHD_add_response_header(r, "Keep-Alive", idle);
    }
    k->status = status;
    enum MHD_Result ok = MHD_queue_response(k->conn, (unsigned)status, r);
    MHD_destroy_response(r);
    return ok;
}

enum MHD_Result goss_srv_reply(goss_srv_conn *k, int status, const char *type, const void *text, size_t n) {
    struct MHD_Response *r =
        MHD_create_response_from_buffer(n, (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
    if (!r) return MHD_NO;
    MHD_add_response_header(r, "Content-Type", type);
    MHD_add_response_header(r, "Cache-Control", "no-store");
    if (status == 401) MHD_add_response_header(r, "WWW-Authenticate", "Bearer");
    if (status == 405) MHD_add_response_header(r, "Allow", k->allow);
    if ((status == 429 || status == 503) && k->fail.status) MHD_add_response_header(r, "Retry-After", "1");
    k->bytes = n;
    return goss_srv_reply_queue(k, status, r);
}

enum MHD_Result goss_srv_reply_buf(goss_srv_conn *k, int status, const char *type, goss_buf *b) {
    enum MHD_Result ok = goss_srv_reply(k, b->failed ? 500 : status, type, b->data, b->failed ? 0 : b->len);
    goss_buf_free(b);
    return ok;
}

enum MHD_Result goss_srv_reply_fail(goss_srv_conn *k) {
    goss_buf b = GOSS_BUF(65536);
    goss_srv_api api = k->route && k->route->api >= 0 ? (goss_srv_api)k->route->api : GOSS_SRV_CHAT;
    if (!strncmp(k->url, "/api/", 5)) api = GOSS_SRV_OLLAMA_CHAT;
    goss_srv_write_fail(&b, api, &k->fail);
    return goss_srv_reply_buf(k, k->fail.status, "application/json", &b);
}

enum MHD_Result goss_srv_reply_preflight(goss_srv_conn *k) {
    struct MHD_Response *r = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    const char *wants = MHD_lookup_connection_value(k->conn, MHD_HEADER_KIND,
                                                    "Access-Control-Request-Headers");
    if (!r) return MHD_NO;
    MHD_add_response_header(r, "Allow", k->allow);
    if (k->origin[0]) {
        MHD_add_response_header(r, "Access-Control-Allow-Methods", "GET, POST, DELETE, OPTIONS");
        MHD_add_response_header(r, "Access-Control-Allow-Headers",
                                wants && strlen(wants) < 1024 ? wants
                                                              : "Authorization, Content-Type, x-api-key");
        MHD_add_response_header(r, "Access-Control-Allow-Private-Network", "true");
        MHD_add_response_header(r, "Access-Control-Max-Age", "600");
    }
    return goss_srv_reply_queue(k, 204, r);
}
