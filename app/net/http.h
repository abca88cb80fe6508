/* http.h - one HTTP request with a byte range, over libcurl, with its answer explained. Shared by
 * source_curl.c and download.c. */
#ifndef GOSS_APP_HTTP_H
#define GOSS_APP_HTTP_H
#include <gossamer.h>
#include <stdint.h>

typedef struct goss_http goss_http;
typedef struct goss_http_answer {
    long status;
    /* of Content-Range; total also from Content-Length of a 200; total UINT64_MAX: not said */
    uint64_t from, end, total;  /* end: behind the last byte */
    char etag[160];             /* "" when there is none */
    char sha[65];               /* SHA-256 of the whole file, where a host of models names it; else "" */
    char said[120];             /* why a host of models refuses, in its own words; else "" */
    uint64_t received;
    int retry;                  /* the failure may pass: cut connection, time-out, 429, 5xx */
} goss_http_answer;
/* Takes body bytes; non-zero stops the transfer. Called only for statuses that were asked for, when the
 * answer's other fields are there; never with more bytes than were asked for. */
typedef int (*goss_http_sink)(void *ctx, const void *bytes, size_t n);

/* A host that breaks is asked so often, with growing pauses, until something comes again. */
enum { GOSS_HTTP_TRIES = 3, GOSS_HTTP_MOVED = 1 << 15 };
int goss_http_pause_ms(int attempt); /* after the attempt with this number, from 1 */
void goss_http_pause(int attempt);   /* sleeps so long */

int goss_http_open(goss_http **out, goss_error *err);
void goss_http_close(goss_http **http);
/* GET bytes from..to (inclusive; to UINT64_MAX: to the end). if_range: an ETag, or NULL. accept_200: a
 * whole file will do too. 0, or an error in one clear sentence; `a` is filled as far as the answer went.
 * Fewer bytes than Content-Range says are an error that may pass. */
int goss_http_get(goss_http *http, const char *url, uint64_t from, uint64_t to, const char *if_range,
                  int accept_200, goss_http_sink sink, void *ctx, goss_http_answer *a, goss_error *err);
#endif
