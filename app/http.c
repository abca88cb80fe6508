/* http.c - GET with Range through libcurl. The status decides in the header callback whether the body is
 * wanted, so that a server which ignores Range is not read for gigabytes.
 * Certificates are always verified: against the system's authorities, and those that the variables name which curl's
 * own command reads (libcurl itself reads none). What was asked for over https is not taken from a redirect to http. */
#include "http.h"
#include "../src/base/error.h"
#include "../src/base/fmt.h"
#include "../src/base/mem.h"
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { CONNECT_SECONDS = 20, STALL_SECONDS = 30 };

struct goss_http { CURL *curl; char curl_error[CURL_ERROR_SIZE]; };
struct transfer {
    goss_http_answer *a;
    goss_http_sink sink;
    void *ctx;
    CURL *curl;
    int accept_200, refused, stopped, secure, plain; /* plain: a redirect left https */
    uint64_t from, length;
};

int goss_http_open(goss_http **out, goss_error *err)
{
    static int ready;
    if (!ready && curl_global_init(CURL_GLOBAL_DEFAULT))
        return goss_fail(err, GOSS_EIO, -1, "The HTTP library (libcurl) could not be started.");
    ready = 1;
    goss_http *h = goss_mem_alloc(sizeof *h);
    if (!h || !(h->curl = curl_easy_init())) {
        goss_mem_free(h);
        return goss_fail(err, GOSS_ENOMEM, -1, "There is not enough memory for an HTTP connection.");
    }
    *out = h;
    return 0;
}

void goss_http_close(goss_http **http)
{
    if (!*http)
        return;
    curl_easy_cleanup((*http)->curl);
    goss_mem_free(*http);
    *http = NULL;
}

/* The value of header `name` in a line of n bytes, without blanks at its ends; NULL when the line is another. */
static const char *header_value(const char *line, size_t n, const char *name, size_t *n_value)
{
    const size_t k = strlen(name);
    if (n <= k || strncasecmp(line, name, k) || line[k] != ':')
        return NULL;
    size_t from = k + 1;
    while (from < n && (line[from] == ' ' || line[from] == '\t'))
        from++;
    while (n > from && (line[n - 1] == '\r' || line[n - 1] == '\n' || line[n - 1] == ' '))
        n--;
    *n_value = n - from;
    return line + from;
}

/* "bytes 0-99/1234" or "bytes ... / *" (the total not known, or 416's) */
static void read_content_range(goss_http_answer *a, const char *v, size_t n)
{
    char text[96];
    goss_fmt(text, sizeof text, "%.*s", (int)(n < 95 ? n : 95), v);
    const char *slash = strchr(text, '/');
    if (strncmp(text, "bytes ", 6) || !slash)
        return;
    if (text[6] != '*')
        a->from = strtoull(text + 6, NULL, 10);
    a->total = slash[1] == '*' ? UINT64_MAX : strtoull(slash + 1, NULL, 10);
}

static size_t on_header(char *line, size_t size, size_t n, void *ctx)
{
    struct transfer *t = ctx;
    size_t k;
    const char *v;
    if (n > 5 && !strncmp(line, "HTTP/", 5)) { /* a redirect's headers came before: begin anew */
        const char *space = memchr(line, ' ', n);
        *t->a = (goss_http_answer){ .status = space ? strtol(space, NULL, 10) : 0, .total = UINT64_MAX };
        t->length = UINT64_MAX;
    } else if ((v = header_value(line, n, "content-range", &k))) {
        read_content_range(t->a, v, k);
    } else if ((v = header_value(line, n, "content-length", &k))) {
        t->length = strtoull(v, NULL, 10);
    } else if ((v = header_value(line, n, "etag", &k)) && k < sizeof t->a->etag) {
        goss_fmt(t->a->etag, sizeof t->a->etag, "%.*s", (int)k, v);
    }
    return size * n;
}

static int is_secure(const char *url) { return !strncasecmp(url, "https:", 6); }

static size_t on_body(char *bytes, size_t size, size_t n, void *ctx)
{
    struct transfer *t = ctx;
    const char *now = NULL;
    if (t->secure && (curl_easy_getinfo(t->curl, CURLINFO_EFFECTIVE_URL, &now) || !now || !is_secure(now))) {
        t->plain = 1;
        return 0;
    }
    if (t->a->status != 206 && !(t->a->status == 200 && t->accept_200)) {
        t->refused = 1;
        return t->a->status >= 300 ? size * n : 0; /* error pages are read away, whole files are not */
    }
    if (t->a->status == 206 && t->a->from != t->from)
        return 0; /* other bytes than were asked for: none of them is taken */
    if (t->a->status == 200)
        t->a->total = t->length;
    t->a->received += n;
    t->stopped = t->sink(t->ctx, bytes, n);
    return t->stopped ? 0 : size * n;
}

static int explain_status(goss_http_answer *a, const char *url, uint64_t from, goss_error *err)
{
    switch (a->status) {
    case 200:
        return goss_fail(err, GOSS_EUNSUPPORTED, -1,
                         "Host does not support Range: it answers with the whole of %s; download it first.",
                         url);
    case 401:
    case 403: return goss_fail(err, GOSS_EIO, -1, "%s is not open to everyone (HTTP %ld).", url, a->status);
    case 404:
    case 410:
        return goss_fail(err, GOSS_ENOENT, -1, "There is nothing at %s (HTTP %ld): check the address.", url,
                         a->status);
    case 416:
        if (a->total == 0)
            return goss_fail(err, GOSS_EFORMAT, 0, "%s is empty.", url);
        return goss_fail(err, GOSS_EIO, (int64_t)from,
                         "%s has no byte %llu (HTTP 416): it is shorter than expected.", url,
                         (unsigned long long)from);
    default:
        a->retry = a->status == 408 || a->status == 429 || a->status >= 500;
        return goss_fail(err, GOSS_EIO, -1, "%s cannot be read now: the server answers HTTP %ld.", url, a->status);
    }
}

static int explain_curl(const goss_http *h, CURLcode code, goss_http_answer *a, const char *url, goss_error *err)
{
    const char *why = h->curl_error[0] ? h->curl_error : curl_easy_strerror(code);
    switch (code) {
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return goss_fail(err, GOSS_EINVAL, -1, "%s is not an address that can be read: %s.", url, why);
    case CURLE_COULDNT_RESOLVE_HOST:
        return goss_fail(err, GOSS_EIO, -1, "The host of %s is not known: check the address and the network.",
                         url);
    case CURLE_COULDNT_CONNECT:
        return goss_fail(err, GOSS_EIO, -1, "Cannot connect to the host of %s: nothing answers there.", url);
    case CURLE_TOO_MANY_REDIRECTS: return goss_fail(err, GOSS_EIO, -1, "%s redirects in circles.", url);
    case CURLE_PEER_FAILED_VERIFICATION:
        return goss_fail(err, GOSS_EIO, -1, "The certificate of %.90s is not trusted: %.60s (SSL_CERT_FILE names "
                         "an authority of your own).", url, strncmp(why, "SSL: ", 5) ? why : why + 5);
    case CURLE_SSL_CACERT_BADFILE:
        return goss_fail(err, GOSS_EIO, -1, "The certificates that CURL_CA_BUNDLE, SSL_CERT_FILE or SSL_CERT_DIR "
                         "name cannot be read.");
    case CURLE_SSL_CONNECT_ERROR:
        return goss_fail(err, GOSS_EIO, -1, "%.90s does not speak https: %.90s.", url, why);
    case CURLE_OPERATION_TIMEDOUT:
        a->retry = 1;
        return goss_fail(err, GOSS_EIO, -1, "%s gave nothing for %d seconds.", url, STALL_SECONDS);
    default:
        a->retry = 1;
        return goss_fail(err, GOSS_EIO, -1, "The connection to %s was cut after %llu bytes: %s.", url,
                         (unsigned long long)a->received, why);
    }
}

/* Authorities of the user's own, from where curl's command takes them. */
static void set_trust(CURL *curl)
{
    const char *file = getenv("CURL_CA_BUNDLE"), *folder = getenv("SSL_CERT_DIR");
    if (!file || !*file) file = getenv("SSL_CERT_FILE");
    if (file && *file) curl_easy_setopt(curl, CURLOPT_CAINFO, file);
    if (folder && *folder) curl_easy_setopt(curl, CURLOPT_CAPATH, folder);
}

static void set_request(goss_http *h, struct transfer *t, const char *url, const char *range,
                        struct curl_slist *headers)
{
    curl_easy_reset(h->curl); /* keeps the connection */
    h->curl_error[0] = 0;
    curl_easy_setopt(h->curl, CURLOPT_URL, url);
    curl_easy_setopt(h->curl, CURLOPT_USERAGENT, "gossamer/" GOSS_VERSION);
    curl_easy_setopt(h->curl, CURLOPT_RANGE, range);
    curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(h->curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(h->curl, CURLOPT_MAXREDIRS, 10L);
    curl_easy_setopt(h->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h->curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
    curl_easy_setopt(h->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(h->curl, CURLOPT_LOW_SPEED_TIME, (long)STALL_SECONDS);
    curl_easy_setopt(h->curl, CURLOPT_ERRORBUFFER, h->curl_error);
    curl_easy_setopt(h->curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(h->curl, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(h->curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(h->curl, CURLOPT_WRITEDATA, t);
    set_trust(h->curl);
}

int goss_http_get(goss_http *http, const char *url, uint64_t from, uint64_t to, const char *if_range, int accept_200,
                  goss_http_sink sink, void *ctx, goss_http_answer *a, goss_error *err)
{
    struct transfer t = {
        .a = a, .sink = sink, .ctx = ctx, .curl = http->curl, .accept_200 = accept_200, .secure = is_secure(url),
        .from = from, .length = UINT64_MAX
    };
    char range[64], line[200];
    struct curl_slist *headers = NULL;
    *a = (goss_http_answer){ .total = UINT64_MAX };
    goss_fmt(range, sizeof range, "%llu-", (unsigned long long)from);
    if (to != UINT64_MAX)
        goss_fmt(range, sizeof range, "%llu-%llu", (unsigned long long)from, (unsigned long long)to);
    if (if_range) {
        goss_fmt(line, sizeof line, "If-Range: %s", if_range);
        headers = curl_slist_append(NULL, line);
    }
    set_request(http, &t, url, range, headers);
    const CURLcode code = curl_easy_perform(http->curl);
    curl_slist_free_all(headers);
    if (t.plain)
        return goss_fail(err, GOSS_EIO, -1, "%.150s redirects to http, where anybody could change what comes.", url);
    const int wanted = a->status == 206 || (a->status == 200 && accept_200);
    if (a->status && !wanted && (code == CURLE_OK || t.refused))
        return explain_status(a, url, from, err);
    if (t.stopped)
        return GOSS_ECANCELED;
    if (a->status == 206 && a->from != from)
        return goss_fail(err, GOSS_EIO, (int64_t)from, "%s answers with other bytes than were asked for.", url);
    if (code != CURLE_OK)
        return explain_curl(http, code, a, url, err);
    if (a->status == 200)
        a->total = t.length;
    return 0;
}
