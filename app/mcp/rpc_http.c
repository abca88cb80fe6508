/* rpc_http.c - a server at an address: each message is a POST, the answer JSON or a stream of events (MCP's
 * "streamable HTTP"). The session that it names is sent along, and deleted at the end. Redirects are not
 * followed: what the user's headers open is for that address alone. Variables that name authorities count, as
 * for downloads. */
#include "rpc.h"
#include "base/error.h"
#include "base/fmt.h"
#include "base/mem.h"
#include "net/curl_setup.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { END_SECONDS = 2 };
typedef struct web {
    CURL *curl;
    const char *url;
    const char *const *headers;
    char session[300], version[40];
} web;
typedef struct transfer {
    goss_rpc *r;
    int64_t id;
    const goss_rpc_wait *w;
    goss_error *err;
    long status;
    int events, found, rc;
    goss_buf body;      /* JSON: all of it. Events: the line that is not whole yet */
    goss_buf data;      /* of the event that is being read */
    char session[300];
} transfer;

/* ---- what comes ---------------------------------------------------------------------------------------- */
static int value_of(const char *line, size_t n, const char *name, char *out, size_t cap)
{
    const size_t k = strlen(name);
    if (n <= k + 1 || strncasecmp(line, name, k) || line[k] != ':') return 0;
    size_t from = k + 1;
    while (from < n && line[from] == ' ') from++;
    while (n > from && (line[n - 1] == '\r' || line[n - 1] == '\n')) n--;
    return goss_fmt(out, cap, "%.*s", (int)(n - from), line + from) < cap;
}

static size_t on_header(char *line, size_t size, size_t n, void *ctx)
{
    transfer *t = ctx;
    char value[300];
    if (n > 5 && !strncmp(line, "HTTP/", 5)) {
        const char *space = memchr(line, ' ', n);
        t->status = space ? strtol(space, NULL, 10) : 0;
    } else if (value_of(line, n, "content-type", value, sizeof value))
        t->events = !strncasecmp(value, "text/event-stream", 17);
    else if (value_of(line, n, "mcp-session-id", value, sizeof value))
        memcpy(t->session, value, sizeof value);
    return size * n;
}

/* A line of an event stream; an empty one ends the event. */
static void take_line(transfer *t, const char *line, size_t n)
{
    if (n && line[n - 1] == '\r') n--;
    if (n >= 5 && !strncmp(line, "data:", 5)) {
        const size_t from = n > 5 && line[5] == ' ' ? 6 : 5;
        if (t->data.len) goss_buf_append(&t->data, "\n", 1);
        goss_buf_append(&t->data, line + from, n - from);
    }
    if (n || !t->data.len) return;
    t->found |= goss_rpc_take(t->r, (const char *)t->data.data, t->data.len, t->id);
    goss_buf_clear(&t->data);
}

static void take_events(transfer *t)
{
    size_t at = 0;
    for (uint8_t *end; (end = memchr(t->body.data + at, '\n', t->body.len - at));) {
        take_line(t, (const char *)t->body.data + at, (size_t)(end - t->body.data) - at);
        at = (size_t)(end - t->body.data) + 1;
    }
    memmove(t->body.data, t->body.data + at, t->body.len - at);
    t->body.len -= at;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *ctx)
{
    transfer *t = ctx;
    goss_buf_append(&t->body, bytes, n);
    if (t->events && t->status == 200 && t->body.len) take_events(t);
    if (t->body.failed || t->data.failed) return 0;
    return t->found ? 0 : size * n; /* the answer is there: the rest of the stream is not waited for */
}

static int on_count(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    transfer *t = ctx;
    (void)a, (void)b, (void)c, (void)d;
    t->rc = goss_rpc_may_wait(t->r, t->w, t->err);
    return t->rc != 0;
}

/* ---- a request ----------------------------------------------------------------------------------------- */
static struct curl_slist *make_headers(const web *h)
{
    char line[400];
    struct curl_slist *list = curl_slist_append(NULL, "Content-Type: application/json");
    list = curl_slist_append(list, "Accept: application/json, text/event-stream");
    if (*h->version) goss_fmt(line, sizeof line, "MCP-Protocol-Version: %s", h->version);
    if (*h->version) list = curl_slist_append(list, line);
    if (*h->session) goss_fmt(line, sizeof line, "Mcp-Session-Id: %s", h->session);
    if (*h->session) list = curl_slist_append(list, line);
    for (int i = 0; h->headers && h->headers[i]; i++) list = curl_slist_append(list, h->headers[i]);
    return list;
}

static CURLcode perform(web *h, transfer *t, const char *message, size_t n)
{
    struct curl_slist *headers = make_headers(h);
    const goss_curl_calls calls = { on_header, on_body, on_count, t };
    goss_curl_begin(h->curl, h->url, headers, &calls);
    if (message) {
        curl_easy_setopt(h->curl, CURLOPT_POSTFIELDSIZE, (long)n);
        curl_easy_setopt(h->curl, CURLOPT_POSTFIELDS, message);
    } else {
        curl_easy_setopt(h->curl, CURLOPT_CUSTOMREQUEST, "DELETE");
        curl_easy_setopt(h->curl, CURLOPT_TIMEOUT, (long)END_SECONDS);
    }
    const CURLcode code = curl_easy_perform(h->curl);
    curl_slist_free_all(headers);
    return code;
}

static int explain(const transfer *t, CURLcode code)
{
    const char *name = t->r->name;
    if (t->rc) return t->rc;
    if (t->body.failed || t->data.failed)
        return goss_fail(t->err, GOSS_ELIMIT, -1, "%s sends more than %d MB at once.", name,
                         GOSS_RPC_MAX >> 20);
    if (t->status == 401 || t->status == 403)
        return goss_fail(t->err, GOSS_EIO, -1, "%s wants a key (HTTP %ld): give its headers in the file.",
                         name,
                         t->status);
    if (t->status >= 300)
        return goss_fail(t->err, GOSS_EIO, -1, "%s answers HTTP %ld at its address.", name, t->status);
    if (code) return goss_fail(t->err, GOSS_EIO, -1, "%s cannot be reached: %s.", name,
                               curl_easy_strerror(code));
    return goss_fail(t->err, GOSS_EIO, -1, "%s ended its answer too soon.", name);
}

static int post(goss_rpc *r, const char *message, size_t n, int64_t id, const goss_rpc_wait *w,
                goss_error *err)
{
    web *h = r->impl;
    transfer t = { .r = r, .id = id, .w = w, .err = err, .body = GOSS_BUF(GOSS_RPC_MAX),
                   .data = GOSS_BUF(GOSS_RPC_MAX) };
    int rc = goss_rpc_may_wait(r, w, err);
    const CURLcode code = rc ? CURLE_OK : perform(h, &t, message, n);
    if (t.status == 404 && *h->session) h->session[0] = t.session[0] = 0, r->lost = 1;
    if (!rc && !t.events && t.body.len) /* errors come with any status */
        t.found |= goss_rpc_take(r, (const char *)t.body.data, t.body.len, id);
    if (t.events && t.data.len) take_line(&t, "", 0); /* a stream that ends without an empty line */
    if (*t.session) memcpy(h->session, t.session, sizeof h->session);
    const int well = id < 0 ? !code && t.status >= 200 && t.status < 300 : t.found;
    if (!rc && !well) rc = explain(&t, code);
    goss_buf_free(&t.body);
    goss_buf_free(&t.data);
    return rc;
}

/* What the server asked meanwhile is answered by POSTs of its own. */
static int exchange(goss_rpc *r, const char *message, size_t n, int64_t id, const goss_rpc_wait *w,
                    goss_error *err)
{
    const int rc = post(r, message, n, id, w, err);
    goss_buf replies = r->replies;
    r->replies = GOSS_BUF(replies.max);
    for (size_t at = 0; at < replies.len;) {
        const uint8_t *end = memchr(replies.data + at, '\n', replies.len - at);
        const size_t k = (size_t)(end - replies.data) - at;
        post(r, (const char *)replies.data + at, k, -1, w, NULL);
        at += k + 1;
    }
    goss_buf_free(&replies);
    return rc;
}

static void agreed(goss_rpc *r, const char *version)
{
    web *h = r->impl;
    goss_fmt(h->version, sizeof h->version, "%.39s", version);
}

static int go_on(void *ctx)
{
    (void)ctx;
    return 0;
}

static void end(goss_rpc *r)
{
    web *h = r->impl;
    const goss_rpc_wait w = { .until_ms = 1e300, .stop = go_on };
    transfer t = { .r = r, .id = -1, .w = &w, .body = GOSS_BUF(1 << 16), .data = GOSS_BUF(1 << 16) };
    if (*h->session) perform(h, &t, NULL, 0);
    goss_buf_free(&t.body);
    goss_buf_free(&t.data);
    curl_easy_cleanup(h->curl);
    goss_mem_free(h);
}

int goss_rpc_open_http(goss_rpc *r, const char *url, const char *const headers[], goss_error *err)
{
    web *h = r->impl = goss_mem_alloc(sizeof *h);
    r->exchange = exchange;
    r->close = end;
    r->agreed = agreed;
    if (!h || !(h->curl = curl_easy_init())) {
        goss_mem_free(h);
        r->impl = NULL;
        return goss_fail(err, GOSS_ENOMEM, -1, "There is no memory to reach %s.", r->name);
    }
    h->url = url;
    h->headers = headers;
    return 0;
}
