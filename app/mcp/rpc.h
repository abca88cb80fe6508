/* rpc.h - JSON-RPC 2.0 as MCP speaks it (2025-06-18), over one of two links: a child's standard input and
 * output (rpc_stdio.c) or POSTs to an address (rpc_http.c).
 *
 * What comes is believed only so far: a message has at most GOSS_RPC_MAX bytes, an answer has a deadline, and
 * whoever asks can be told to stop. Lines that are no messages are passed over. A server's ping is answered,
 * its other requests are refused, as it was told that we can do nothing for it. */
#ifndef GOSS_MCP_RPC_H
#define GOSS_MCP_RPC_H
#include "base/buf.h"
#include "format/json.h"
#include <gossamer.h>

enum { GOSS_RPC_MAX = 16 << 20, GOSS_RPC_HEADERS = 16 };
typedef struct goss_rpc_wait {
    double until_ms;                            /* goss_os_now_ms */
    int (*stop)(void *ctx); void *ctx;          /* asked now and then; may be NULL */
} goss_rpc_wait;

typedef struct goss_rpc goss_rpc;
struct goss_rpc {
    char name[64];
    int64_t last_id;
    int changed;            /* the server says that its tools are others now */
    int lost;               /* it does not know its session any more: initialize again */
    int ended;              /* it is gone, or not read any more: only another link can help */
    goss_buf answer;        /* the message that was waited for */
    goss_buf replies;       /* what the server's own requests are answered, a line each; links send it */
    /* Sends a message, and with id >= 0 waits until `answer` has what belongs to it. */
    int (*exchange)(goss_rpc *r, const char *message, size_t n, int64_t id, const goss_rpc_wait *w,
                    goss_error *err);
    void (*agreed)(goss_rpc *r, const char *version); /* the protocol's version,
        after initialize; may be NULL */
    void (*close)(goss_rpc *r);
    void *impl;
};

/* Calls a method. 0 and *result (a node of *j, which the caller frees), or an error: the link's, or the
 * server's own sentence. After GOSS_ECANCELED (stopped, or too late) the server was told. */
int goss_rpc_call(goss_rpc *r, const char *method, const char *params, const goss_rpc_wait *w, goss_json *j,
                  int *result, goss_error *err);
int goss_rpc_notify(goss_rpc *r, const char *method, const char *params, goss_error *err);
void goss_rpc_close(goss_rpc *r);

/* For links: a message came. 1: it is what is waited for. */
int goss_rpc_take(goss_rpc *r, const char *text, size_t n, int64_t id);
/* 0 while there is time and nobody says stop, else an error. */
int goss_rpc_may_wait(const goss_rpc *r, const goss_rpc_wait *w, goss_error *err);

/* Starts argv (ends with NULL) with further "NAME=VALUE" in its environment; it ends with us. */
int goss_rpc_open_stdio(goss_rpc *r, char *const argv[], char *const env[], goss_error *err);
/* headers: "Name: value", NULL behind the last. Borrowed until the close. */
int goss_rpc_open_http(goss_rpc *r, const char *url, const char *const headers[], goss_error *err);
#endif
