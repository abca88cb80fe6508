/* conn.h - one request on one connection, and the server as its handlers see it. */
#ifndef GOSS_SERVER_CONN_H
#define GOSS_SERVER_CONN_H
#include "files.h"
#include "model_files.h"
#include "pulls.h"
#include "runner.h"
#include "watch.h"
#include "wire.h"
#include <stdatomic.h>

typedef struct goss_srv {
    const goss_srv_config *c;
    goss_srv_runner *runner;
    goss_srv_files *files;
    goss_srv_model_files models;
    goss_srv_watch *watch;
    goss_srv_wires *wires;
    goss_srv_pulls *pulls;
    struct MHD_Daemon *http;
    int port, fetcher_fd, listen_fd, signal_fd, wake_fd;
    double lost_ms, term_ms;         /* of a pipeline: when a rank was lost; SIGTERM came; 0: not */
    atomic_int n_requests;           /* being answered now */
    atomic_int n_connections;
    atomic_int stopping;
    double started_ms;
} goss_srv;

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
    GOSS_SRV_ROUTE_RESPONSE,
    GOSS_SRV_ROUTE_CONVERSATION,
    GOSS_SRV_ROUTE_CHANGE,
    GOSS_SRV_ROUTE_TOOLS,
    GOSS_SRV_ROUTE_CALL
};
typedef struct goss_srv_route {
    const char *path;      /* a last '/' means: and anything below it */
    const char *methods;   /* as in an Allow header */
    const char *name;      /* in metrics */
    /* api: a goss_srv_api for bodies and the wording of errors, -1: OpenAI's wording */
    int kind, api;
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
    int status, watch, preflight, chunks, last; /* last: the connection ends with the answer */
    double t0;
} goss_srv_conn;
#endif
