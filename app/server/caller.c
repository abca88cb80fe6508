/* caller.c - see caller.h. The first thread reads lines and gives each to the thread of its MCP server; those
 * write what comes of it. */
#include "caller.h"
#include "base/error.h"
#include "base/mem.h"
#include "line.h"
#include "mcp/mcp.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct call call;
struct call {
    call *next;
    int64_t id;
    atomic_int canceled;
    goss_buf tool, arguments;
};
typedef struct worker {
    int number, has_thread;
    const goss_mcp_entry *entry;
    pthread_t thread;
    pthread_cond_t cond;
    call *waiting, *running; /* under the lock */
    goss_mcp *mcp;           /* the thread's; NULL: it could not be had */
    goss_buf told;           /* the tools as they were said last */
} worker;
static struct { /* of this process */
    int fd;
    double call_ms;
    pthread_mutex_t lock, out; /* out: one line at a time */
    atomic_int stopping;
    worker workers[GOSS_MCP_SERVERS];
    int n;
} all;

/* ---- what is said -------------------------------------------------------------------------------------- */
static void say(goss_buf *line)
{
    goss_buf_str(line, "\n");
    pthread_mutex_lock(&all.out);
    if (!line->failed && goss_srv_line_send(all.fd, line)) atomic_store(&all.stopping, 1);
    pthread_mutex_unlock(&all.out);
    goss_buf_free(line);
}

static void note(const char *sentence) { fprintf(stderr, "gossamer serve: %s\n", sentence); }

static void say_error(const worker *w, const char *sentence)
{
    goss_buf line = GOSS_BUF(1 << 16);
    note(sentence);
    goss_buf_printf(&line, "{\"server\":%d,\"error\":", w->number);
    goss_buf_json_string(&line, sentence, strlen(sentence));
    goss_buf_str(&line, "}");
    say(&line);
}

static void say_end(const call *c, int failed, const char *text, size_t n)
{
    goss_buf line = GOSS_BUF(GOSS_SRV_LINE_MAX);
    goss_buf_printf(&line, "{\"id\":%lld,\"failed\":%d,\"text\":", (long long)c->id, failed);
    goss_buf_json_string(&line, text, n);
    goss_buf_str(&line, "}");
    say(&line);
}

static void write_tool(goss_buf *b, const goss_mcp_tool *t)
{
    goss_buf_str(b, "{\"name\":");
    goss_buf_json_string(b, t->name, strlen(t->name));
    goss_buf_str(b, ",\"description\":");
    goss_buf_json_string(b, t->description, strlen(t->description));
    goss_buf_printf(b, ",\"reads\":%s,\"schema\":%s}", t->reads ? "true" : "false", t->schema);
}

/* Says which tools there are, where that is new. */
static void say_tools(worker *w)
{
    goss_mcp_tool *list;
    goss_buf line = GOSS_BUF(GOSS_SRV_LINE_MAX), now = GOSS_BUF(GOSS_SRV_LINE_MAX);
    const int n = goss_mcp_tools(w->mcp, &list);
    goss_buf_printf(&now, "{\"server\":%d,\"tools\":[", w->number);
    for (int i = 0; i < n; i++) {
        if (i) goss_buf_str(&now, ",");
        write_tool(&now, &list[i]);
    }
    goss_buf_str(&now, "]}");
    const int same = now.len == w->told.len && !memcmp(now.data, w->told.data, now.len);
    goss_buf_append(&line, now.data, now.len);
    goss_buf_free(&w->told);
    w->told = now;
    if (same) goss_buf_free(&line);
    else say(&line);
}

/* ---- a server's thread --------------------------------------------------------------------------------- */
static int stops(void *ctx)
{
    const call *c = ctx;
    return atomic_load(&c->canceled) || atomic_load(&all.stopping);
}

static void begin(worker *w)
{
    goss_error err = { .position = -1 };
    goss_mcp_close(&w->mcp);
    if (goss_mcp_open_one(&w->mcp, w->entry, all.call_ms, note, &err)) say_error(w, err.text);
    else say_tools(w);
}

static const goss_mcp_tool *tool_of(worker *w, const char *name)
{
    goss_mcp_tool *list;
    const int n = w->mcp ? goss_mcp_tools(w->mcp, &list) : 0;
    for (int i = 0; i < n; i++)
        if (!strcmp(list[i].name, name)) return &list[i];
    return NULL;
}

static void answer(worker *w, call *c)
{
    goss_buf text = GOSS_BUF(GOSS_SRV_LINE_MAX / 8);
    if (!w->mcp || goss_mcp_ended(w->mcp)) begin(w);
    const goss_mcp_tool *tool = tool_of(w, goss_buf_cstr(&c->tool));
    int failed = GOSS_MCP_CALL_FAILED;
    if (tool)
        failed =
            goss_mcp_call(w->mcp, tool, (const char *)c->arguments.data, c->arguments.len, stops, c, &text);
    else
        goss_buf_str(&text, w->mcp ? "The call failed: there is no tool of this name."
                                   : "The call failed: its server can't be had.");
    say_end(c, failed < 0 ? GOSS_MCP_CALL_FAILED : failed, (const char *)text.data, text.len);
    goss_buf_free(&text);
    if (w->mcp && !goss_mcp_ended(w->mcp)) say_tools(w);
}

static void drop(call *c)
{
    goss_buf_free(&c->tool);
    goss_buf_free(&c->arguments);
    goss_mem_free(c);
}

static void *work(void *ctx)
{
    worker *w = ctx;
    begin(w);
    pthread_mutex_lock(&all.lock);
    while (!atomic_load(&all.stopping)) {
        call *c = w->waiting;
        if (!c) {
            pthread_cond_wait(&w->cond, &all.lock);
            continue;
        }
        w->waiting = c->next;
        w->running = c;
        pthread_mutex_unlock(&all.lock);
        if (!atomic_load(&c->canceled)) answer(w, c);
        pthread_mutex_lock(&all.lock);
        w->running = NULL;
        drop(c);
    }
    pthread_mutex_unlock(&all.lock);
    goss_mcp_close(&w->mcp);
    return NULL;
}

/* ---- what comes ---------------------------------------------------------------------------------------- */
static void take_call(const goss_json *j, int64_t id)
{
    const double number = goss_json_number(j, goss_json_get(j, 0, "server"), -1);
    call *c = goss_mem_alloc(sizeof *c);
    if (!c || number < 0 || number >= all.n) {
        goss_mem_free(c);
        return;
    }
    worker *w = &all.workers[(int)number];
    *c = (call){ .id = id, .tool = GOSS_BUF(GOSS_SRV_LINE_MAX), .arguments = GOSS_BUF(GOSS_SRV_LINE_MAX) };
    goss_json_string(j, goss_json_get(j, 0, "tool"), &c->tool);
    goss_json_string(j, goss_json_get(j, 0, "arguments"), &c->arguments);
    pthread_mutex_lock(&all.lock);
    call **end = &w->waiting;
    while (*end) end = &(*end)->next;
    *end = c;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&all.lock);
}

static void take_cancel(int64_t id)
{
    pthread_mutex_lock(&all.lock);
    for (int i = 0; i < all.n; i++) {
        worker *w = &all.workers[i];
        if (w->running && w->running->id == id) atomic_store(&w->running->canceled, 1);
        for (call *c = w->waiting; c; c = c->next)
            if (c->id == id) atomic_store(&c->canceled, 1);
    }
    pthread_mutex_unlock(&all.lock);
}

static void take(void *ctx, const char *line, size_t n)
{
    goss_json j;
    (void)ctx;
    if (goss_json_parse(&j, line, n, NULL, NULL)) return;
    const int id = goss_json_get(&j, 0, "id"), cancel = goss_json_get(&j, 0, "cancel");
    if (id >= 0) take_call(&j, (int64_t)goss_json_number(&j, id, -1));
    else if (cancel >= 0) take_cancel((int64_t)goss_json_number(&j, cancel, -1));
    goss_json_free(&j);
}

static void serve(void)
{
    goss_srv_lines lines = { .buf = GOSS_BUF(GOSS_SRV_LINE_MAX) };
    for (int i = 0; i < all.n; i++) {
        worker *w = &all.workers[i];
        pthread_cond_init(&w->cond, NULL);
        w->has_thread = !pthread_create(&w->thread, NULL, work, w);
        if (!w->has_thread) say_error(w, "there is no thread for its tools");
    }
    while (!atomic_load(&all.stopping) && goss_srv_lines_read(&lines, all.fd, take, NULL) > 0) {}
    goss_buf_free(&lines.buf);
    pthread_mutex_lock(&all.lock);
    atomic_store(&all.stopping, 1);
    for (int i = 0; i < all.n; i++) pthread_cond_signal(&all.workers[i].cond);
    pthread_mutex_unlock(&all.lock);
    for (int i = 0; i < all.n; i++)
        if (all.workers[i].has_thread) pthread_join(all.workers[i].thread, NULL);
}

int goss_srv_caller_open(int *fd, const goss_mcp_entry *entries, int n, double call_ms, goss_error *err)
{
    const int rc = goss_srv_line_fork(fd, "to call tools", err);
    if (rc <= 0) return rc;
    const int heard[] = { SIGINT, SIGTERM, SIGHUP, SIGPIPE }; /* the server says when */
    for (int i = 0; i < 4; i++) signal(heard[i], SIG_IGN);
    all.fd = *fd;
    all.call_ms = call_ms;
    all.n = n;
    pthread_mutex_init(&all.lock, NULL);
    pthread_mutex_init(&all.out, NULL);
    for (int i = 0; i < n; i++) all.workers[i] = (worker){ .number = i, .entry = &entries[i] };
    for (int i = 0; i < n; i++) all.workers[i].told = GOSS_BUF(GOSS_SRV_LINE_MAX);
    serve();
    _exit(0);
}
