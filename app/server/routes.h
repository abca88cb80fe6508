/* routes.h - which path is what, and the answers that need no engine thread. */
#ifndef GOSS_SERVER_ROUTES_H
#define GOSS_SERVER_ROUTES_H
#include "conn.h"
const goss_srv_route *goss_srv_route_find(const char *path, const char **rest); /* NULL: nothing there */
enum MHD_Result goss_srv_route_answer(goss_srv_conn *k);
#endif
