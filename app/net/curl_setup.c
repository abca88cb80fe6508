/* curl_setup.c - see curl_setup.h. */
#include "curl_setup.h"
#include <gossamer.h>
#include <stdlib.h>

enum { CONNECT_SECONDS = 20 };

static void set_trust(CURL *curl)
{
    const char *file = getenv("CURL_CA_BUNDLE"), *folder = getenv("SSL_CERT_DIR");
    if (!file || !*file) file = getenv("SSL_CERT_FILE");
    if (file && *file) curl_easy_setopt(curl, CURLOPT_CAINFO, file);
    if (folder && *folder) curl_easy_setopt(curl, CURLOPT_CAPATH, folder);
}

/* Redirects, too: libcurl alone would follow them to ftp. */
static void set_protocols(CURL *curl)
{
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
}

void goss_curl_begin(CURL *curl, const char *url, struct curl_slist *headers, const goss_curl_calls *calls)
{
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "gossamer/" GOSS_VERSION);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, calls->on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, calls->ctx);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, calls->on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, calls->ctx);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, calls->on_count);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, calls->ctx);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    set_protocols(curl);
    set_trust(curl);
}
