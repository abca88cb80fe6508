/* routes.h - which path is what, and the answers that need no engine thread. */
#ifndef GOSS_SERVER_ROUTES_H
#define GOSS_SERVER_ROUTES_H
#include "server.h"

enum {
    GOSS_SRV_ROUTE_API,
    GOSS_SRV_ROUTE_PAGE,
    GOSS_SRV_ROUTE_MODEL_FILE,
    GOSS_SRV_ROUTE_HEALTH,
    GOSS_SRV_ROUTE_METRICS,
    GOSS_SRV_ROUTE_MODELS,
    GOSS_SRV_ROUTE_MODEL,
    GOSS_SRV_ROUTE_TAGS,
    GOSS_SRV_ROUTE_SHOW,
    GOSS_SRV_ROUTE_PS,
    GOSS_SRV_ROUTE_VERSION,
    GOSS_SRV_ROUTE_RESPONSE
};
typedef struct goss_srv_route {
    const char *path;      /* a last '/' means: and anything below it */
    const char *methods;   /* as in an Allow header */
    const char *name;      /* in metrics */
    int kind, api;         /* api: a goss_srv_api for bodies and the wording of errors, -1: OpenAI's wording */
    int guarded;           /* needs the API key */
} goss_srv_route;

typedef struct goss_srv_conn {  /* one request on one connection */
    goss_srv *server;
    struct MHD_Connection *conn;
    const goss_srv_route *route;
    goss_srv_job *job;
    goss_srv_fail fail;
    goss_buf body;
    char method[16], url[512], path[1024], origin[256];
    const char *rest, *allow; /* rest: the path below the route's */
    uint64_t received, bytes;
    int status, watch, preflight, chunks;
    double t0;
} goss_srv_conn;

const goss_srv_route *goss_srv_route_find(const char *path, const char **rest); /* NULL: nothing there */
enum MHD_Result goss_srv_route_answer(goss_srv_conn *k);

/* handle.c */
/* copies */
enum MHD_Result goss_srv_reply(goss_srv_conn *k, int status, const char *type, const void *text, size_t n);
/* takes b's memory */
enum MHD_Result goss_srv_reply_buf(goss_srv_conn *k, int status, const char *type, goss_buf *b);
/* k->fail */
enum MHD_Result goss_srv_reply_fail(goss_srv_conn *k);
#endif
