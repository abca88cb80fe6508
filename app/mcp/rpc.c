/* rpc.c - see rpc.h. */
#include "rpc.h"
#include "base/error.h"
#include "base/fmt.h"
#include "base/os.h"
#include <string.h>

enum { NOTE_MS = 5000 };

int goss_rpc_may_wait(const goss_rpc *r, const goss_rpc_wait *w, goss_error *err)
{
    if (w->stop && w->stop(w->ctx)) return goss_fail(err, GOSS_ECANCELED, -1, "%s was told to stop.",
                                                     r->name);
    if (goss_os_now_ms() < w->until_ms) return 0;
    return goss_fail(err, GOSS_ECANCELED, -1, "%s gave no answer in time.", r->name);
}

/* The server's own request: a ping is answered, all else is not what we can do. */
static void reply(goss_rpc *r, const goss_json *j, int id, int method)
{
    if (r->replies.len > GOSS_RPC_MAX / 16) return; /* it asks more than it listens */
    goss_buf_str(&r->replies, "{\"jsonrpc\":\"2.0\",\"id\":");
    goss_json_write(j, id, &r->replies);
    goss_buf_str(&r->replies, goss_json_is(j, method, "ping")
                                  ? ",\"result\":{}}\n"
                                  : ",\"error\":{\"code\":-32601,\"message\":\"Method not found\"}}\n");
}

int goss_rpc_take(goss_rpc *r, const char *text, size_t n, int64_t id)
{
    goss_json j;
    int mine = 0;
    if (goss_json_parse(&j, text, n, NULL, NULL)) return 0;
    const int method = goss_json_get(&j, 0, "method"), own = goss_json_get(&j, 0, "id"),
              kind = goss_json_kind(&j, own);
    if (goss_json_is(&j, method, "notifications/tools/list_changed")) r->changed = 1;
    if (method >= 0 && (kind == GOSS_JSON_NUMBER || kind == GOSS_JSON_STRING)) reply(r, &j, own, method);
    if (method < 0 && kind == GOSS_JSON_NUMBER && id >= 0)
        mine = goss_json_number(&j, own, -1) >= (double)id && goss_json_number(&j, own, -1) <= (double)id;
    goss_json_free(&j);
    if (!mine) return 0;
    goss_buf_clear(&r->answer);
    goss_buf_append(&r->answer, text, n);
    return 1;
}

static void write_message(goss_buf *b, const char *method, const char *params, int64_t id)
{
    goss_buf_str(b, "{\"jsonrpc\":\"2.0\",");
    if (id >= 0) goss_buf_printf(b, "\"id\":%lld,", (long long)id);
    goss_buf_printf(b, "\"method\":\"%s\"", method);
    if (params) goss_buf_str(b, ",\"params\":");
    if (params) goss_buf_str(b, params);
    goss_buf_str(b, "}");
}

int goss_rpc_notify(goss_rpc *r, const char *method, const char *params, goss_error *err)
{
    goss_buf b = GOSS_BUF(GOSS_RPC_MAX);
    const goss_rpc_wait w = { .until_ms = goss_os_now_ms() + (double)NOTE_MS };
    write_message(&b, method, params, -1);
    const int rc = b.failed ? goss_fail(err, GOSS_ENOMEM, -1, "A message to %s is too large.", r->name)
                            : r->exchange(r, (const char *)b.data, b.len, -1, &w, err);
    goss_buf_free(&b);
    return rc;
}

static void cancel(goss_rpc *r, int64_t id)
{
    char params[100];
    goss_fmt(params, sizeof params, "{\"requestId\":%lld,\"reason\":\"nobody waits any more\"}",
             (long long)id);
    goss_rpc_notify(r, "notifications/cancelled", params, NULL);
}

/* The server's sentence, as it may be shown. */
static int explain(const goss_rpc *r, const goss_json *j, int error, goss_error *err)
{
    goss_buf b = GOSS_BUF(1 << 20);
    goss_json_string(j, goss_json_get(j, error, "message"), &b);
    const int rc = goss_fail(err, GOSS_EIO, -1, "%s answers: %.150s", r->name,
                             b.len ? goss_buf_cstr(&b) : "an error without a message");
    goss_buf_free(&b);
    for (char *c = err ? err->text : NULL; c && *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127) *c = ' ';
    return rc;
}

int goss_rpc_call(goss_rpc *r, const char *method, const char *params, const goss_rpc_wait *w, goss_json *j,
                  int *result, goss_error *err)
{
    goss_buf b = GOSS_BUF(GOSS_RPC_MAX);
    const int64_t id = ++r->last_id;
    write_message(&b, method, params, id);
    int rc = b.failed ? goss_fail(err, GOSS_ENOMEM, -1, "A message to %s is too large.", r->name)
                      : r->exchange(r, (const char *)b.data, b.len, id, w, err);
    goss_buf_free(&b);
    if (rc == GOSS_ECANCELED && strcmp(method, "initialize") != 0) cancel(r, id);
    if (rc) return rc;
    if (r->answer.failed || goss_json_parse(j, (const char *)r->answer.data, r->answer.len, NULL, NULL))
        return goss_fail(err, GOSS_EFORMAT, -1, "%s gives an answer that cannot be read.", r->name);
    const int error = goss_json_get(j, 0, "error");
    *result = goss_json_get(j, 0, "result");
    if (error < 0 && goss_json_kind(j, *result) == GOSS_JSON_OBJECT) return 0;
    rc = error >= 0 ? explain(r, j, error, err)
                    : goss_fail(err, GOSS_EFORMAT, -1, "%s gives an answer without a result.", r->name);
    goss_json_free(j);
    return rc;
}

void goss_rpc_close(goss_rpc *r)
{
    if (r->impl) r->close(r);
    r->impl = NULL;
    goss_buf_free(&r->answer);
    goss_buf_free(&r->replies);
}
