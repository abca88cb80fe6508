/* log.c - see log.h. Every line is one write(2), so lines of different threads never mix. */
#include "log.h"
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int level = GOSS_SRV_LOG_ALL;
void goss_srv_log_level(int l) { level = l; }

static void put(const char *line, int n)
{
    /* a full or closed stderr must not stop the server */
    if (n > 0 && write(STDERR_FILENO, line, (size_t)n) < 0) return;
}

void goss_srv_log_escape(char *to, size_t cap, const char *text, size_t n)
{
    size_t k = 0, i = 0;
    for (; i < n && k + 8 < cap; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') to[k++] = (char)c;
        else k += (size_t)snprintf(to + k, 5, "\\x%02x", c);
    }
    if (i < n) memcpy(to + k, "...", 3), k += 3;
    to[k] = 0;
}

static void stamp(char *to, size_t cap)
{
    struct timespec t;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &tm);
    size_t n = strftime(to, cap, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(to + n, cap - n, ".%03dZ", (int)(t.tv_nsec / 1000000));
}

void goss_srv_log_request(const goss_srv_log_line *l)
{
    if (level == GOSS_SRV_LOG_NONE || (level == GOSS_SRV_LOG_ERRORS && l->status < 400)) return;
    char when[40], path[260], method[40], note[400], line[900];
    stamp(when, sizeof when);
    goss_srv_log_escape(method, sizeof method, l->method, strlen(l->method));
    goss_srv_log_escape(path, sizeof path, l->path, strlen(l->path));
    goss_srv_log_escape(note, sizeof note, l->note ? l->note : "", l->note ? strlen(l->note) : 0);
    int n = snprintf(line, sizeof line, "%s %s \"%s %s\" %d %llu %.1fms%s%s\n", when, l->peer, method, path,
                     l->status, l->bytes, l->ms, *note ? " " : "", note);
    put(line, n < (int)sizeof line ? n : (int)sizeof line - 1);
}

void goss_srv_log(const char *format, ...)
{
    char line[900];
    va_list args;
    int n = snprintf(line, sizeof line, "gossamer serve: ");
    va_start(args, format);
    n += vsnprintf(line + n, sizeof line - (size_t)n - 1, format, args);
    va_end(args);
    if (n > (int)sizeof line - 2) n = (int)sizeof line - 2;
    line[n++] = '\n';
    put(line, n);
}

static void log_once(const char *where, const char *what, const char *name, size_t n, const char *outcome)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static uint64_t seen[256];
    static int n_seen;
    uint64_t hash = 1469598103934665603u;
    for (const char *p = outcome; *p; p++) hash = (hash ^ (unsigned char)*p) * 1099511628211u;
    for (const char *p = where; *p; p++) hash = (hash ^ (unsigned char)*p) * 1099511628211u;
    for (size_t i = 0; i < n; i++) hash = (hash ^ (unsigned char)name[i]) * 1099511628211u;
    pthread_mutex_lock(&lock);
    int known = 0;
    for (int i = 0; i < n_seen; i++) known |= seen[i] == hash;
    int fresh = !known && n_seen < 256;
    if (fresh) seen[n_seen++] = hash;
    pthread_mutex_unlock(&lock);
    if (!fresh || level == GOSS_SRV_LOG_NONE) return;
    char text[120];
    goss_srv_log_escape(text, sizeof text, name, n);
    goss_srv_log("%s: %s\"%s\" %s", where, what, text, outcome);
}

void goss_srv_log_ignored(const char *where, const char *name, size_t n)
{
    log_once(where, "field ", name, n, "is unknown and ignored");
}

void goss_srv_log_left_out(const char *where, const char *type, size_t n)
{
    log_once(where, "", type, n, "is nothing this server can do and is left out");
}
