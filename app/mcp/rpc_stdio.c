/* rpc_stdio.c - a server that is a child of ours: a message a line on its standard input and output; what it
 * says on standard error is the user's to see. It leads a process group, which ends with it: by the end of
 * its
 * input, then by signals. It gets SIGTERM from the kernel where we are killed. */
#include "rpc.h"
#include "base/error.h"
#include "base/fmt.h"
#include "base/mem.h"
#include "base/os.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOOK_MS = 100, END_MS = 2000, PIECE = 65536 };
typedef struct child {
    pid_t pid;
    int in, out;
    goss_buf line;
    size_t seen;
} child; /* in, out: its own */

/* ---- starting ------------------------------------------------------------------------------------------ */
/* In the child, before its program: errno goes back through `told`. */
static void become(char *const argv[], char *const env[], int in, int out, int told, pid_t parent)
{
    sigset_t none;
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(127);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    const int heard[] = { SIGPIPE, SIGINT, SIGTERM, SIGHUP };
    for (int i = 0; i < 4; i++) signal(heard[i], SIG_DFL);
    for (int i = 0; env && env[i]; i++) putenv(env[i]);
    if (dup2(in, 0) >= 0 && dup2(out, 1) >= 0) execvp(argv[0], argv);
    const int no = errno;
    if (write(told, &no, sizeof no) < 0) _exit(126);
    _exit(127);
}

static int open_pipe(int ends[2])
{
    if (pipe(ends)) return -1;
    return fcntl(ends[0], F_SETFD, FD_CLOEXEC) || fcntl(ends[1], F_SETFD, FD_CLOEXEC) ? -1 : 0;
}

/* 0 when the program runs, else errno. One at a time: no other child inherits the pipes. */
static int start_alone(child *c, char *const argv[], char *const env[])
{
    int in[2] = { -1, -1 }, out[2] = { -1, -1 }, told[2] = { -1, -1 }, no = 0;
    const pid_t parent = getpid();
    if (open_pipe(in) || open_pipe(out) || open_pipe(told) || (c->pid = fork()) < 0)
        no = errno ? errno : EIO;
    else if (!c->pid) become(argv, env, in[0], out[1], told[1], parent);
    if (told[1] >= 0) close(told[1]);
    if (!no && read(told[0], &no, sizeof no) != (ssize_t)sizeof no) no = 0; /* closed by exec */
    const int ours[] = { in[0], out[1], told[0] };
    for (int i = 0; i < 3; i++)
        if (ours[i] >= 0) close(ours[i]);
    c->in = in[1];
    c->out = out[0];
    return no;
}

static int start(child *c, char *const argv[], char *const env[])
{
    static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&one);
    const int no = start_alone(c, argv, env);
    pthread_mutex_unlock(&one);
    return no;
}

/* ---- talking ------------------------------------------------------------------------------------------- */
static int gone(goss_rpc *r, goss_error *err)
{
    r->ended = 1;
    return goss_fail(err, GOSS_EIO, -1, "%s has ended: its tools can't be called any more.", r->name);
}

/* Whole lines of what came; 1: one of them is what is waited for. */
static int take_lines(goss_rpc *r, int64_t id)
{
    child *c = r->impl;
    int found = 0;
    for (uint8_t *end; (end = memchr(c->line.data + c->seen, '\n', c->line.len - c->seen));) {
        const size_t n = (size_t)(end - c->line.data);
        if (goss_rpc_take(r, (const char *)c->line.data, n, id)) found = 1;
        memmove(c->line.data, end + 1, c->line.len - n - 1);
        c->line.len -= n + 1;
        c->seen = 0;
    }
    c->seen = c->line.len;
    return found;
}

static int receive(goss_rpc *r, int64_t id, int *found, goss_error *err)
{
    child *c = r->impl;
    if (goss_buf_reserve(&c->line, PIECE)) {
        r->ended = 1;
        return goss_fail(err, GOSS_ELIMIT, -1, "%s sends more than %d MB at once: it is not read any more.",
                         r->name, GOSS_RPC_MAX >> 20);
    }
    const ssize_t k = read(c->out, c->line.data + c->line.len, PIECE);
    if (k < 0 && (errno == EINTR || errno == EAGAIN)) return 0;
    if (k <= 0) return gone(r, err);
    c->line.len += (size_t)k;
    *found |= take_lines(r, id);
    return 0;
}

/* Both ways at once: who writes much must not wait for one who writes much. */
static int exchange(goss_rpc *r, const char *message, size_t n, int64_t id, const goss_rpc_wait *w,
                    goss_error *err)
{
    child *c = r->impl;
    goss_buf out = GOSS_BUF((size_t)GOSS_RPC_MAX * 2);
    size_t sent = 0;
    int rc = r->ended ? gone(r, err) : 0, found = 0;
    goss_buf_append(&out, message, n);
    goss_buf_append(&out, "\n", 1);
    while (!rc && (sent < out.len || (id >= 0 && !found))) {
        struct pollfd fds[2] = { { c->out, POLLIN, 0 }, { sent < out.len ? c->in : -1, POLLOUT, 0 } };
        poll(fds, 2, LOOK_MS);
        if (fds[1].revents & (POLLERR | POLLHUP)) rc = gone(r, err);
        else if (fds[1].revents) {
            const ssize_t k = write(c->in, out.data + sent, out.len - sent);
            if (k > 0) sent += (size_t)k;
            else if (errno != EAGAIN && errno != EINTR) rc = gone(r, err);
        }
        if (!rc && fds[0].revents) rc = receive(r, id, &found, err);
        goss_buf_append(&out, r->replies.data, r->replies.len);
        goss_buf_clear(&r->replies);
        if (!rc && !(found && sent == out.len)) rc = goss_rpc_may_wait(r, w, err);
    }
    if (rc && sent && sent < out.len) r->ended = 1; /* half a line */
    goss_buf_free(&out);
    return rc;
}

/* ---- the end ------------------------------------------------------------------------------------------- */
static int has_ended(pid_t pid, int ms)
{
    const double until = goss_os_now_ms() + ms;
    for (;;) {
        if (waitpid(pid, NULL, WNOHANG)) return 1;
        if (goss_os_now_ms() >= until) return 0;
        poll(NULL, 0, 10);
    }
}

static void end(goss_rpc *r)
{
    child *c = r->impl;
    if (c->in >= 0) close(c->in);
    if (c->out >= 0) close(c->out);
    if (c->pid > 0) {
        int ended = has_ended(c->pid, END_MS);
        kill(-c->pid, SIGTERM); /* with what it started */
        if (!ended) ended = has_ended(c->pid, END_MS);
        if (!ended) kill(-c->pid, SIGKILL);
        if (!ended) waitpid(c->pid, NULL, 0);
    }
    goss_buf_free(&c->line);
    goss_mem_free(c);
}

int goss_rpc_open_stdio(goss_rpc *r, char *const argv[], char *const env[], goss_error *err)
{
    child *c = r->impl = goss_mem_alloc(sizeof *c);
    r->exchange = exchange;
    r->close = end;
    r->agreed = NULL;
    if (!c) return goss_fail(err, GOSS_ENOMEM, -1, "There is no memory to start %s.", r->name);
    *c = (child){ .pid = -1, .in = -1, .out = -1, .line = GOSS_BUF((size_t)GOSS_RPC_MAX + PIECE) };
    signal(SIGPIPE, SIG_IGN);
    const int no = start(c, argv, env);
    if (no) return goss_fail(err, GOSS_ENOENT, -1, "%s cannot be started: %.80s: %s.", r->name, argv[0],
                             strerror(no));
    fcntl(c->in, F_SETFL, O_NONBLOCK);
    fcntl(c->out, F_SETFL, O_NONBLOCK);
    return 0;
}
