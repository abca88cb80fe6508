/* curl_setup.h - what each of our requests asks of libcurl: who asks, http and https alone (redirects too),
 * whom to trust (CURL_CA_BUNDLE, SSL_CERT_FILE, SSL_CERT_DIR), how long a connection may take, and who is
 * told what comes. */
#ifndef GOSS_NET_CURL_SETUP_H
#define GOSS_NET_CURL_SETUP_H
#include <curl/curl.h>

typedef struct goss_curl_calls {
    size_t (*on_header)(char *line, size_t size, size_t n, void *ctx);
    size_t (*on_body)(char *bytes, size_t size, size_t n, void *ctx);
    int (*on_count)(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d);
    void *ctx;
} goss_curl_calls;

/* Forgets what was set for the request before; the connection stays. */
void goss_curl_begin(CURL *curl, const char *url, struct curl_slist *headers, const goss_curl_calls *calls);
#endif
