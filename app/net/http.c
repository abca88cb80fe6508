/* http.c - GET with Range through libcurl. The status decides in the header callback whether the body is
 * wanted, so that a server which ignores Range is not read for gigabytes. Certificates are always verified:
 * against the system's authorities, and those that the variables name which curl's own command reads (libcurl
 * itself reads none). What was asked for over https is not taken from a redirect to http.
 *
 * Where a redirect led is remembered for a while, so that a model in a thousand pieces does not ask its host
 * a thousand times; a refusal there (a signed address that has expired) goes back to the first address at
 * once. The token of the model host (model_host.h) is sent to its origin alone: libcurl drops a header of
 * ours named Authorization when a redirect leaves host, port or scheme. */
#include "http.h"
#include "curl_setup.h"
#include "model_host.h"
#include "base/error.h"
#include "base/fmt.h"
#include "base/mem.h"
#include "base/os.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* A host is believed only so far: how slow it may be, what is read of it that nobody asked for, and how large
 * a file that it gives no length for. */
enum { STALL_SECONDS = 30, STALL_BYTES = 64 };
enum { ASIDE_MAX = 1 << 16, HEADERS_MAX = 1 << 17, LED_MS = 300000 };
static const uint64_t UNKNOWN_MAX = (uint64_t)64 << 30;

struct goss_http {
    CURL *curl;
    char curl_error[CURL_ERROR_SIZE];
    char asked[1024], led[4096]; double led_ms; /* a redirect from here to there, and when; led "": none */
};
struct transfer {
    goss_http_answer *a;
    goss_http_sink sink;
    void *ctx;
    CURL *curl;
    int accept_200, refused, stopped, secure, plain; /* plain: a redirect left https */
    uint64_t from, to, length, aside, headers;       /* aside: of bodies that nobody wants */
    int coded;                                       /* Content-Encoding */
    const char *odd;                                 /* what is wrong with the answer */
    char sha[65];                                    /* of any hop */
};

int goss_http_pause_ms(int attempt) { return attempt < 2 ? 500 : 2000; }
void goss_http_pause(int attempt) { usleep(1000u * (useconds_t)goss_http_pause_ms(attempt)); }


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

/* The value of header `name` in a line of n bytes, without blanks at its ends; NULL when the line is
 * another. */
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
    const char *dash = strchr(text, '-');
    if (text[6] != '*' && dash && dash < slash) {
        a->from = strtoull(text + 6, NULL, 10);
        a->end = strtoull(dash + 1, NULL, 10) + 1;
    }
    a->total = slash[1] == '*' ? UINT64_MAX : strtoull(slash + 1, NULL, 10);
}

/* X-Linked-Etag: what the file's bytes hash to, on the redirect that leads to them. */
static void read_linked(struct transfer *t, const char *v, size_t n)
{
    char sha[65];
    if (n == 66 && v[0] == '"' && v[65] == '"') v++, n = 64;
    goss_fmt(sha, sizeof sha, "%.*s", (int)(n == 64 ? n : 0), v);
    if (strspn(sha, "0123456789abcdefABCDEF") == 64) memcpy(t->sha, sha, sizeof sha);
}

/* X-Error-Message: plain characters only, since it is shown. */
static void read_said(goss_http_answer *a, const char *v, size_t n)
{
    goss_fmt(a->said, sizeof a->said, "%.*s", (int)(n < sizeof a->said ? n : sizeof a->said - 1), v);
    for (char *c = a->said; *c; c++)
        if (*c < ' ' || *c > '~') *c = '?';
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
        t->coded = 0;
    } else if ((v = header_value(line, n, "content-range", &k))) {
        read_content_range(t->a, v, k);
    } else if ((v = header_value(line, n, "content-length", &k))) {
        t->length = strtoull(v, NULL, 10);
    } else if ((v = header_value(line, n, "content-encoding", &k))) {
        t->coded = !(k == 8 && !strncasecmp(v, "identity", 8));
    } else if ((v = header_value(line, n, "etag", &k)) && k < sizeof t->a->etag) {
        goss_fmt(t->a->etag, sizeof t->a->etag, "%.*s", (int)k, v);
    } else if ((v = header_value(line, n, "x-linked-etag", &k))) {
        read_linked(t, v, k);
    } else if ((v = header_value(line, n, "x-error-message", &k))) {
        read_said(t->a, v, k);
    }
    t->headers += n;
    if (t->headers > HEADERS_MAX) t->odd = "answers with headers that do not end";
    return t->odd ? 0 : size * n;
}

/* What is wrong with an answer whose body is wanted; NULL: nothing. */
static const char *find_odd(const struct transfer *t)
{
    const goss_http_answer *a = t->a;
    if (t->coded) return "answers in a Content-Encoding that was not asked for";
    if (a->status == 206 && (a->end <= a->from || a->from != t->from || a->end - 1 > t->to ||
                             (a->total != UINT64_MAX && a->end > a->total)))
        return "answers with other bytes than were asked for";
    return NULL;
}

/* Bytes that the answer may have. */
static uint64_t find_most(const struct transfer *t)
{
    if (t->a->status == 206) return t->a->end - t->a->from;
    return t->length != UINT64_MAX ? t->length : UNKNOWN_MAX;
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
        t->aside += n; /* error pages are read away, whole files are not */
        return t->a->status >= 300 && t->aside <= ASIDE_MAX ? size * n : 0;
    }
    if (t->a->status == 200) {
        t->a->total = t->length;
        t->a->from = 0;
    }
    t->odd = find_odd(t);
    if (!t->odd && n > find_most(t) - t->a->received) t->odd = "sends more bytes than were asked for";
    if (t->odd) return 0; /* none of them is taken */
    t->a->received += n;
    t->stopped = t->sink(t->ctx, bytes, n);
    return t->stopped ? 0 : size * n;
}

/* libcurl reads the bodies of redirects itself. */
static int on_count(void *ctx, curl_off_t total, curl_off_t n, curl_off_t up_total, curl_off_t up)
{
    const struct transfer *t = ctx;
    (void)total, (void)up_total, (void)up;
    return t->a->status >= 300 && t->a->status < 400 && n > ASIDE_MAX;
}

static int explain_status(goss_http_answer *a, const char *url, uint64_t from, goss_error *err)
{
    switch (a->status) {
    case 200:
        return goss_fail(err, GOSS_EUNSUPPORTED, -1,
                         "Host does not support Range: it answers with the whole of %s; download it first.",
                         url);
    case 401:
    case 403:
        return goss_fail(err, GOSS_EIO, -1, "%.*s is not open to everyone (HTTP %ld)%s%s%s",
                         *a->said ? 80 : 180, url, a->status, *a->said ? ": " : ".", a->said,
                         goss_model_host_owns(url) ? " HF_TOKEN is sent where it is set." : "");
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
        return goss_fail(err, GOSS_EIO, -1, "%s cannot be read now: the server answers HTTP %ld.", url,
                         a->status);
    }
}

static int explain_curl(const goss_http *h, CURLcode code, goss_http_answer *a, const char *url,
                        goss_error *err)
{
    const char *why = h->curl_error[0] ? h->curl_error : curl_easy_strerror(code);
    switch (code) {
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        if (a->status)
            return goss_fail(err, GOSS_EIO, -1, "%.150s redirects to what is neither http nor https.", url);
        return goss_fail(err, GOSS_EINVAL, -1, "%s is not an address that can be read: %s.", url, why);
    case CURLE_COULDNT_RESOLVE_HOST:
        return goss_fail(err, GOSS_EIO, -1, "The host of %s is not known: check the address and the network.",
                         url);
    case CURLE_COULDNT_CONNECT:
        return goss_fail(err, GOSS_EIO, -1, "Cannot connect to the host of %s: nothing answers there.", url);
    case CURLE_ABORTED_BY_CALLBACK:
        return goss_fail(err, GOSS_EIO, -1, "%s redirects with a text that does not end.", url);
    case CURLE_TOO_MANY_REDIRECTS: return goss_fail(err, GOSS_EIO, -1, "%s redirects in circles.", url);
    case CURLE_PEER_FAILED_VERIFICATION:
        return goss_fail(err, GOSS_EIO, -1,
                         "The certificate of %.90s is not trusted: %.60s (SSL_CERT_FILE names "
                         "an authority of your own).",
                         url, strncmp(why, "SSL: ", 5) ? why : why + 5);
    case CURLE_SSL_CACERT_BADFILE:
        return goss_fail(err, GOSS_EIO, -1,
                         "The certificates that CURL_CA_BUNDLE, SSL_CERT_FILE or SSL_CERT_DIR "
                         "name cannot be read.");
    case CURLE_SSL_CONNECT_ERROR:
        return goss_fail(err, GOSS_EIO, -1, "%.90s does not speak https: %.90s.", url, why);
    case CURLE_OPERATION_TIMEDOUT:
        a->retry = 1;
        return goss_fail(err, GOSS_EIO, -1, "%s gave next to nothing for %d seconds.", url, STALL_SECONDS);
    default:
        a->retry = 1;
        return goss_fail(err, GOSS_EIO, -1, "The connection to %s was cut after %llu bytes: %s.", url,
                         (unsigned long long)a->received, why);
    }
}

/* Authorities of the user's own, from where curl's command takes them. */
static void set_request(goss_http *h, struct transfer *t, const char *url, const char *range,
                        struct curl_slist *headers)
{
    const goss_curl_calls calls = { on_header, on_body, on_count, t };
    goss_curl_begin(h->curl, url, headers, &calls);
    h->curl_error[0] = 0;
    curl_easy_setopt(h->curl, CURLOPT_RANGE, range);
    curl_easy_setopt(h->curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(h->curl, CURLOPT_MAXREDIRS, 10L);
    curl_easy_setopt(h->curl, CURLOPT_LOW_SPEED_LIMIT, (long)STALL_BYTES);
    curl_easy_setopt(h->curl, CURLOPT_LOW_SPEED_TIME, (long)STALL_SECONDS);
    curl_easy_setopt(h->curl, CURLOPT_ERRORBUFFER, h->curl_error);
}

static struct curl_slist *make_headers(const char *at, const char *if_range)
{
    char line[300];
    struct curl_slist *headers = NULL;
    const char *token = goss_model_host_token(at);
    if (if_range) {
        goss_fmt(line, sizeof line, "If-Range: %s", if_range);
        headers = curl_slist_append(headers, line);
    }
    if (token) {
        goss_fmt(line, sizeof line, "Authorization: Bearer %s", token);
        headers = curl_slist_append(headers, line);
    }
    return headers;
}

/* One request at `at`, which is `url` or where that led. */
static CURLcode perform(goss_http *h, struct transfer *t, const char *at, const char *if_range)
{
    char range[64];
    struct curl_slist *headers = make_headers(at, if_range);
    *t->a = (goss_http_answer){ .total = UINT64_MAX };
    t->length = UINT64_MAX;
    t->headers = t->aside = 0;
    t->refused = 0;
    goss_fmt(range, sizeof range, "%llu-", (unsigned long long)t->from);
    if (t->to != UINT64_MAX)
        goss_fmt(range, sizeof range, "%llu-%llu", (unsigned long long)t->from, (unsigned long long)t->to);
    set_request(h, t, at, range, headers);
    const CURLcode code = curl_easy_perform(h->curl);
    curl_slist_free_all(headers);
    return code;
}

/* Where `url` led the last time, or NULL. */
static const char *led_from(const goss_http *h, const char *url)
{
    const double age = goss_os_now_ms() - h->led_ms;
    return h->led[0] && !strcmp(h->asked, url) && age < (double)LED_MS ? h->led : NULL;
}

static void remember(goss_http *h, const char *url)
{
    const char *now = NULL;
    long n = 0;
    curl_easy_getinfo(h->curl, CURLINFO_REDIRECT_COUNT, &n);
    curl_easy_getinfo(h->curl, CURLINFO_EFFECTIVE_URL, &now);
    if (n < 1 || !now || strlen(now) >= sizeof h->led || strlen(url) >= sizeof h->asked) return;
    goss_fmt(h->asked, sizeof h->asked, "%s", url);
    goss_fmt(h->led, sizeof h->led, "%s", now);
    h->led_ms = goss_os_now_ms();
}

int goss_http_get(goss_http *http, const char *url, uint64_t from, uint64_t to, const char *if_range,
                  int accept_200, goss_http_sink sink, void *ctx, goss_http_answer *a, goss_error *err)
{
    struct transfer t = { .a = a,
                          .sink = sink,
                          .ctx = ctx,
                          .curl = http->curl,
                          .accept_200 = accept_200,
                          .secure = is_secure(url),
                          .from = from,
                          .to = to };
    const char *led = led_from(http, url);
    CURLcode code = perform(http, &t, led ? led : url, if_range);
    if (led && (a->status >= 400 || (code && !a->received && !t.stopped))) {
        http->led[0] = 0;
        t.odd = NULL;
        code = perform(http, &t, url, if_range);
    }
    if (!code && a->status < 300) remember(http, url);
    memcpy(a->sha, t.sha, sizeof a->sha);
    if (t.plain)
        return goss_fail(err, GOSS_EIO, -1,
                         "%.150s redirects to http, where anybody could change what comes.", url);
    const int wanted = a->status == 206 || (a->status == 200 && accept_200);
    if (a->status && !wanted && !t.odd && (code == CURLE_OK || t.refused))
        return explain_status(a, url, from, err);
    if (t.stopped)
        return GOSS_ECANCELED;
    if (wanted && !t.odd && !a->received)
        t.odd = find_odd(&t);
    if (t.odd)
        return goss_fail(err, GOSS_EIO, (int64_t)from, "%s %s.", url, t.odd);
    if (code != CURLE_OK)
        return explain_curl(http, code, a, url, err);
    if (a->status == 206 && a->received < a->end - a->from) {
        a->retry = 1;
        return goss_fail(err, GOSS_EIO, (int64_t)(from + a->received),
                         "%s gives %llu bytes where it says that it gives %llu.", url,
                         (unsigned long long)a->received, (unsigned long long)(a->end - a->from));
    }
    if (a->status == 200)
        a->total = t.length;
    return 0;
}
