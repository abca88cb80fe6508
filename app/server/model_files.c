/* model_files.c - /models/FILE: GET, HEAD and OPTIONS with ranges, open to every origin, sent by sendfile
 * from the page cache.
 *
 * What can be had: *.gguf directly in the models folder (--models-dir, else the one that ships with the
 * program) and the model named on the command line under its base name. A name is one path segment; what it
 * resolves to must lie in the folder, so a symbolic link out of it is refused. The file is opened once and
 * judged by what was opened. */
#include "model_files.h"
#include "access.h"
#include "common/share.h"
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void goss_srv_model_files_find(goss_srv_model_files *f, const goss_srv_config *c)
{
    char real[PATH_MAX];
    const char *slash = strrchr(c->model, '/');
    f->model = c->model;
    f->folder[0] = 0;
    if (*c->models_dir) {
        if (realpath(c->models_dir, real) && strlen(real) < sizeof f->folder)
            memcpy(f->folder, real, strlen(real) + 1);
    } else if (goss_share_find("models", f->folder, sizeof f->folder)) f->folder[0] = 0;
    snprintf(f->name, sizeof f->name, "%s", slash ? slash + 1 : c->model);
}

static int good_name(const char *name)
{
    size_t n = strlen(name);
    return n > 5 && n < 200 && !strchr(name, '/') && name[0] != '.' && !strcmp(name + n - 5, ".gguf");
}

static int open_regular(const char *path, struct stat *st)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0 && (fstat(fd, st) || !S_ISREG(st->st_mode))) { close(fd); fd = -1; }
    return fd;
}

static int open_model(const goss_srv_model_files *f, const char *name, struct stat *st)
{
    char path[PATH_MAX], real[PATH_MAX];
    struct stat there;
    size_t n = strlen(f->folder);
    if (!good_name(name)) return -1;
    if (!strcmp(name, f->name)) return open_regular(f->model, st);
    if (!n || snprintf(path, sizeof path, "%s/%s", f->folder, name) >= (int)sizeof path) return -1;
    int fd = open_regular(path, st);
    if (fd < 0) return -1;
    if (!realpath(path, real) || strncmp(real, f->folder, n) || real[n] != '/' || stat(real, &there) ||
        there.st_dev != st->st_dev || there.st_ino != st->st_ino) { close(fd); return -1; }
    return fd;
}

enum { RANGE_NONE, RANGE_PART, RANGE_BAD };
/* One range of bytes. Several at once, other units and malformed ones are ignored, as RFC 9110 allows. */
static int read_range(const char *h, uint64_t size, uint64_t *from, uint64_t *n)
{
    char *end;
    if (!h || strncmp(h, "bytes=", 6) || strchr(h, ',')) return RANGE_NONE;
    h += 6;
    if (*h == '-') {
        if (h[1] < '0' || h[1] > '9') return RANGE_NONE;
        uint64_t last = strtoull(h + 1, &end, 10);
        if (*end) return RANGE_NONE;
        if (!last || !size) return RANGE_BAD;
        *n = last < size ? last : size;
        *from = size - *n;
        return RANGE_PART;
    }
    if (*h < '0' || *h > '9') return RANGE_NONE;
    uint64_t a = strtoull(h, &end, 10), b = UINT64_MAX;
    if (*end++ != '-') return RANGE_NONE;
    if (*end) {
        if (*end < '0' || *end > '9') return RANGE_NONE;
        b = strtoull(end, &end, 10);
        if (*end || b < a) return RANGE_NONE;
    }
    if (a >= size) return RANGE_BAD;
    if (b >= size) b = size - 1;
    *from = a;
    *n = b - a + 1;
    return RANGE_PART;
}

static void cors(struct MHD_Response *r)
{
    MHD_add_response_header(r, "Access-Control-Allow-Origin", "*");
    MHD_add_response_header(r, "Access-Control-Expose-Headers",
                            "Content-Range, Content-Length, Accept-Ranges, ETag");
    MHD_add_response_header(r, "Cross-Origin-Resource-Policy", "cross-origin");
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
}

static int send_small(struct MHD_Connection *conn, int status, const char *text, uint64_t size,
                      const char *etag, uint64_t *bytes)
{
    struct MHD_Response *r = MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text,
                                                             MHD_RESPMEM_PERSISTENT);
    char range[64];
    cors(r);
    if (*text) MHD_add_response_header(r, "Content-Type", "application/json");
    if (status == 204) {
        MHD_add_response_header(r, "Access-Control-Allow-Methods", "GET, HEAD, OPTIONS");
        MHD_add_response_header(r, "Access-Control-Allow-Headers", "Range, If-Range, If-None-Match");
        MHD_add_response_header(r, "Access-Control-Allow-Private-Network", "true");
        MHD_add_response_header(r, "Access-Control-Max-Age", "86400");
        MHD_add_response_header(r, "Allow", "GET, HEAD, OPTIONS");
    }
    if (status == 405) MHD_add_response_header(r, "Allow", "GET, HEAD, OPTIONS");
    if (status == 416) {
        snprintf(range, sizeof range, "bytes */%llu", (unsigned long long)size);
        MHD_add_response_header(r, "Content-Range", range);
        MHD_add_response_header(r, "Accept-Ranges", "bytes");
    }
    if (etag) {
        MHD_add_response_header(r, "ETag", etag);
        MHD_add_response_header(r, "Cache-Control", "public, max-age=3600");
    }
    *bytes = strlen(text);
    int ok = MHD_queue_response(conn, (unsigned)status, r) == MHD_YES;
    MHD_destroy_response(r);
    return ok ? status : 0;
}

int goss_srv_model_files_send(const goss_srv_model_files *f, struct MHD_Connection *conn, const char *method,
                              const char *name, uint64_t *bytes)
{
    const char *if_range = MHD_lookup_connection_value(conn, MHD_HEADER_KIND, "If-Range");
    const char *known = MHD_lookup_connection_value(conn, MHD_HEADER_KIND, "If-None-Match");
    const char *range = MHD_lookup_connection_value(conn, MHD_HEADER_KIND, "Range");
    struct stat st;
    char etag[80], text[96];
    uint64_t from = 0, n;
    if (!strcmp(method, "OPTIONS")) return send_small(conn, 204, "", 0, NULL, bytes);
    if (strcmp(method, "GET") && strcmp(method, "HEAD"))
        return send_small(
            conn, 405,
            "{\"error\":{\"message\":\"only GET, HEAD and OPTIONS are answered "
            "here\",\"type\":\"invalid_request_error\",\"stage\":\"request\",\"code\":\"method_not_allowed\"}}",
            0, NULL, bytes);
    int fd = open_model(f, name, &st);
    if (fd < 0)
        return send_small(
            conn, 404,
            "{\"error\":{\"message\":\"there is no model file of this "
            "name\",\"type\":\"invalid_request_error\",\"stage\":\"request\",\"code\":\"not_found\"}}",
            0, NULL, bytes);
    uint64_t size = n = (uint64_t)st.st_size;
    snprintf(etag, sizeof etag, "\"%llx-%llx%08lx-%llx\"", (unsigned long long)size,
             (unsigned long long)st.st_mtim.tv_sec, (unsigned long)st.st_mtim.tv_nsec,
             (unsigned long long)st.st_ino);
    if (known && goss_srv_access_lists(known, etag)) {
        close(fd);
        return send_small(conn, 304, "", size, etag, bytes);
    }
    if (range && if_range && strcmp(if_range, etag)) range = NULL; /* another version: all of this one */
    int kind = read_range(range, size, &from, &n);
    if (kind == RANGE_BAD) {
        close(fd);
        return send_small(
            conn, 416,
            "{\"error\":{\"message\":\"the range begins behind the end of the "
            "file\",\"type\":\"invalid_request_error\",\"stage\":\"request\",\"code\":\"range_not_satisfiable\"}}",
            size, etag, bytes);
    }
    struct MHD_Response *r = MHD_create_response_from_fd_at_offset64(n, fd, from); /* takes fd */
    if (!r) { close(fd); return 0; }
    if (kind == RANGE_PART) {
        snprintf(text, sizeof text, "bytes %llu-%llu/%llu", (unsigned long long)from,
                 (unsigned long long)(from + n - 1), (unsigned long long)size);
        MHD_add_response_header(r, "Content-Range", text);
    }
    cors(r);
    MHD_add_response_header(r, "Content-Type", "application/octet-stream");
    MHD_add_response_header(r, "Accept-Ranges", "bytes");
    MHD_add_response_header(r, "ETag", etag);
    MHD_add_response_header(r, "Cache-Control", "public, max-age=3600");
    int status = kind == RANGE_PART ? 206 : 200,
        ok = MHD_queue_response(conn, (unsigned)status, r) == MHD_YES;
    MHD_destroy_response(r);
    *bytes = !strcmp(method, "HEAD") ? 0 : n;
    return ok ? status : 0;
}
