/* line.c - see line.h. */
#include "line.h"
#include "base/error.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PIECE = 65536 };

int goss_srv_line_fork(int *fd, const char *what, goss_error *err)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
        return goss_fail(err, GOSS_EIO, -1, "no socket for a process %s: %s", what, strerror(errno));
    const pid_t pid = fork();
    if (pid < 0) {
        close(ends[0]);
        close(ends[1]);
        return goss_fail(err, GOSS_EIO, -1, "no process %s: %s", what, strerror(errno));
    }
    close(ends[pid ? 1 : 0]);
    *fd = ends[pid ? 0 : 1];
    return !pid;
}

int goss_srv_line_send(int fd, const goss_buf *line)
{
    for (size_t at = 0; at < line->len;) {
        const ssize_t k = send(fd, line->data + at, line->len - at, MSG_NOSIGNAL);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return -1;
        at += (size_t)k;
    }
    return 0;
}

int goss_srv_lines_read(goss_srv_lines *l, int fd, void (*take)(void *ctx, const char *line, size_t n),
                        void *ctx)
{
    if (goss_buf_reserve(&l->buf, PIECE)) return 0;
    const ssize_t k = read(fd, l->buf.data + l->buf.len, PIECE);
    if (k < 0 && errno == EINTR) return 1;
    if (k <= 0) return 0;
    l->buf.len += (size_t)k;
    size_t from = 0;
    for (uint8_t *end; (end = memchr(l->buf.data + l->seen, '\n', l->buf.len - l->seen));) {
        const size_t at = (size_t)(end - l->buf.data);
        take(ctx, (const char *)l->buf.data + from, at - from);
        from = l->seen = at + 1;
    }
    memmove(l->buf.data, l->buf.data + from, l->buf.len - from);
    l->buf.len -= from;
    l->seen = l->buf.len;
    return 1;
}
