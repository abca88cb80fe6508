/* source_curl.h - a URL as a source. */
#ifndef GOSS_NET_SOURCE_CURL_H
#define GOSS_NET_SOURCE_CURL_H
#include "source.h"

int goss_input_open_url(goss_input *in, const char *url, goss_error *err);
/* Of an open one; "" when the server gave none. The second: SHA-256 of the whole, in hex. */
const char *goss_input_etag(const goss_input *url);
const char *goss_input_sha(const goss_input *url);
#endif
