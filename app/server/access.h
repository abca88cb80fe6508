/* access.h - what a request's headers and path say: who asks (Host: DNS rebinding; Origin: other pages; the
 * API key), which file, what the client has. Pure functions. */
#ifndef GOSS_SERVER_ACCESS_H
#define GOSS_SERVER_ACCESS_H
#include "config.h"
#include <stddef.h>
/* 1 when a request with this Host may be answered: loopback names, literal addresses, the address we listen
 * on, --allow-host. */
int goss_srv_access_host(const goss_srv_config *c, const char *host);
/* 1 when a page of this origin may call: none given, the same origin as Host, or --allow-origin. */
int goss_srv_access_origin(const goss_srv_config *c, const char *origin, const char *host);
/* 1 when no key is set, or one of the two headers carries it. Compares in constant time. */
int goss_srv_access_key(const goss_srv_config *c, const char *authorization, const char *x_api_key);
/* Decodes the path of a request target into `to`: percent escapes resolved. 0, or -1 when it is malformed,
 * holds a NUL, a backslash, a control character, or a segment "." or "..". */
int goss_srv_access_path(const char *target, char *to, size_t cap);
/* 1 when the comma-separated header names the bare word, as If-None-Match and Accept-Encoding need it; "q=0"
 * is honoured. */
int goss_srv_access_lists(const char *header, const char *word);
#endif
