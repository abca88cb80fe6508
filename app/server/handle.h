/* handle.h - HTTP: libmicrohttpd's daemon and its callbacks. */
#ifndef GOSS_SERVER_HANDLE_H
#define GOSS_SERVER_HANDLE_H
#include "conn.h"
int goss_srv_http_open(goss_srv *s);         /* takes s->listen_fd */
void goss_srv_http_close(goss_srv *s);
#endif
