/* source_curl.c - inputs that are URLs: ranges read when they are asked for, tried again when a connection
 * breaks, and refused when the file changes on the server between two reads. */
#include "source_curl.h"
#include "http.h"
#include "base/error.h"
#include "base/fmt.h"
#include "base/mem.h"
#include <string.h>

struct remote { goss_http *http; char etag[160], sha[65]; };
struct target { uint8_t *dst; size_t n, got; };

static int take(void *ctx, const void *bytes, size_t n)
{
    struct target *t = ctx;
    memcpy(t->dst + t->got, bytes, n);
    t->got += n;
    return 0;
}

/* One request for what is still missing. */
static int read_once(goss_input *in, uint64_t offset, struct target *t, goss_http_answer *a, goss_error *err)
{
    struct remote *r = in->impl;
    const uint64_t from = offset + t->got, to = offset + t->n - 1;
    const int rc = goss_http_get(r->http, in->name, from, to, NULL, 0, take, t, a, err);
    if (a->status == 206 && (a->total != in->size || strcmp(a->etag, r->etag))) {
        a->retry = 0;
        return goss_fail(err, GOSS_EIO, (int64_t)from,
                         "%s changed on the server while it was being read: start again.", in->name);
    }
    if (rc == 0 && t->got < t->n) { /* a short answer without an error is a cut connection */
        a->retry = 1;
        return goss_fail(err, GOSS_EIO, (int64_t)(offset + t->got),
                         "The connection to %s was cut at byte %llu.", in->name,
                         (unsigned long long)(offset + t->got));
    }
    return rc;
}

static int read_url(goss_input *in, uint64_t offset, void *dst, size_t n, goss_error *err)
{
    struct target t = { .dst = dst, .n = n };
    for (int attempt = 1;; attempt++) {
        goss_http_answer a;
        const int rc = n == 0 ? 0 : read_once(in, offset, &t, &a, err);
        if (rc && a.received >= GOSS_HTTP_MOVED) attempt = 1; /* it moves */
        if (rc == 0 || !a.retry || attempt >= GOSS_HTTP_TRIES)
            return rc;
        goss_http_pause(attempt);
    }
}

static void close_url(goss_input *in)
{
    struct remote *r = in->impl;
    goss_http_close(&r->http);
    goss_mem_free(r);
}

static int ignore(void *ctx, const void *bytes, size_t n)
{
    (void)ctx, (void)bytes, (void)n;
    return 0;
}

/* The size comes from the answer to a request for the first byte. */
static int probe(goss_input *in, goss_error *err)
{
    struct remote *r = in->impl;
    goss_http_answer a;
    for (int attempt = 1;; attempt++) {
        const int rc = goss_http_get(r->http, in->name, 0, 0, NULL, 0, ignore, NULL, &a, err);
        if (rc && a.retry && attempt < GOSS_HTTP_TRIES) {
            goss_http_pause(attempt);
            continue;
        }
        if (rc)
            return rc;
        break;
    }
    if (a.total == UINT64_MAX || a.total == 0)
        return goss_fail(err, GOSS_EUNSUPPORTED, -1, "The server of %s does not say how large the file is.",
                         in->name);
    in->size = a.total;
    memcpy(r->etag, a.etag, sizeof r->etag);
    memcpy(r->sha, a.sha, sizeof r->sha);
    return 0;
}

const char *goss_input_etag(const goss_input *url)
{
    const struct remote *r = url->impl;
    return r->etag;
}

const char *goss_input_sha(const goss_input *url)
{
    const struct remote *r = url->impl;
    return r->sha;
}

int goss_input_open_url(goss_input *in, const char *url, goss_error *err)
{
    *in = (goss_input){ .read = read_url, .close = close_url };
    if (goss_fmt(in->name, sizeof in->name, "%s", url) >= sizeof in->name)
        return goss_fail(err, GOSS_ELIMIT, -1, "The address is longer than %d characters.",
                         (int)sizeof in->name - 1);
    struct remote *r = in->impl = goss_mem_alloc(sizeof *r);
    if (!r)
        return goss_fail(err, GOSS_ENOMEM, -1, "There is not enough memory to open %s.", url);
    int rc = goss_http_open(&r->http, err);
    if (rc == 0)
        rc = probe(in, err);
    if (rc)
        goss_input_close(in);
    return rc;
}
