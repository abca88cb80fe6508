/* log.h - one line per request and a few about the server itself, on stderr. Nothing that a client sent is
 * written unescaped. */
#ifndef GOSS_SERVER_LOG_H
#define GOSS_SERVER_LOG_H
#include <stddef.h>
enum { GOSS_SRV_LOG_NONE, GOSS_SRV_LOG_ERRORS, GOSS_SRV_LOG_ALL };
void goss_srv_log_level(int level);
typedef struct goss_srv_log_line {
    const char *peer, *method, *path, *note;  /* path and note: any bytes, note may be NULL */
    int status;
    unsigned long long bytes;
    double ms;
} goss_srv_log_line;
void goss_srv_log_request(const goss_srv_log_line *line);
void goss_srv_log(const char *format, ...) __attribute__((format(printf, 1, 2)));  /* "gossamer serve: ..." */
/* Copies text with anything but printable ASCII as \xNN, quotes and backslashes escaped, cut at cap with
 * "...". */
void goss_srv_log_escape(char *to, size_t cap, const char *text, size_t n);
/* Logs an ignored field, each name once in the life of the process (a bounded set). */
void goss_srv_log_ignored(const char *where, const char *name, size_t n);
/* The same of something in a request (a tool, an input item) that this server can do nothing with. */
void goss_srv_log_left_out(const char *where, const char *type, size_t n);
#endif
