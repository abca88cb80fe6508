/* line.h - lines over a socket between the server and a process beside it: sent whole, taken one by one. */
#ifndef GOSS_SERVER_LINE_H
#define GOSS_SERVER_LINE_H
#include "base/buf.h"
#include <gossamer.h>

/* Forks such a process, which is there to do `what` ("to call tools"). *fd: each side's end. 1: this is the
 * process; 0: this is the server; or an error. */
int goss_srv_line_fork(int *fd, const char *what, goss_error *err);

enum { GOSS_SRV_LINE_MAX = 64 << 20 };
int goss_srv_line_send(int fd, const goss_buf *line); /* 0, or -1: nobody reads */

typedef struct goss_srv_lines {
    goss_buf buf;
    size_t seen;
} goss_srv_lines;
/* Reads once, and gives away each line that is whole. 1, or 0: the other side is gone. */
int goss_srv_lines_read(goss_srv_lines *l, int fd, void (*take)(void *ctx, const char *line, size_t n),
                        void *ctx);
#endif
