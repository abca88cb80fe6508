/* download.c - a file over HTTP into path, so that nothing already fetched is fetched again.
 *
 *   path.part        the bytes so far, in order
 *   path.part.json   {"url":..., "etag":..., "size":...}: what they are the beginning of
 *
 * A resumed request carries If-Range with the ETag: the server continues (206) or, when the file changed,
 * begins anew (200). When it has become shorter, or of another length, it begins anew as well. Without an
 * ETag nothing proves that the rest fits, so the download begins anew too. The finished file gets its name by
 * rename(). */
#include "download.h"
#include "http.h"
#include "base/error.h"
#include "base/fmt.h"
#include "base/os.h"
#include "base/sha256.h"
#include "format/gguf_head.h"
#include "format/json.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { CHUNK = 1 << 20, NO_ROOM = -1, CHANGED = -2 };

struct job {
    goss_download *d;
    goss_http *http;
    int fd, broken;             /* broken: an errno of writing, or NO_ROOM or CHANGED before the first byte */
    char part[1100], info[1110], etag[160];
    uint64_t have, total;       /* bytes in the part file; of the whole */
    goss_sha256 sha;            /* of the first `hashed` bytes of the part file */
    uint64_t hashed;
    goss_http_answer answer;
    uint64_t room;              /* on the disk, when it was too little */
    goss_error *err;
};

/* ---- what is there already ----------------------------------------------------------------------- */
static int write_all(int fd, const void *bytes, size_t n)
{
    for (size_t done = 0; done < n;) {
        const ssize_t k = write(fd, (const uint8_t *)bytes + done, n - done);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return errno;
        done += (size_t)k;
    }
    return 0;
}

static void save_info(const struct job *j)
{
    goss_buf b = GOSS_BUF(1 << 16);
    goss_buf_str(&b, "{\"url\":");
    goss_buf_json_string(&b, j->d->url, strlen(j->d->url));
    goss_buf_str(&b, ",\"etag\":");
    goss_buf_json_string(&b, j->etag, strlen(j->etag));
    goss_buf_printf(&b, ",\"size\":%llu}\n", (unsigned long long)j->total);
    const int fd = open(j->info, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd >= 0) { /* failing to note it only costs a later resume */
        write_all(fd, b.data, b.len);
        close(fd);
    }
    goss_buf_free(&b);
}

/* Fills etag and total from the note when it is of this URL; else the part is of something else. */
static int load_info(struct job *j)
{
    goss_mapping m;
    goss_json json;
    goss_buf etag = GOSS_BUF(sizeof j->etag - 1);
    int ok = 0;
    if (goss_os_map(&m, j->info, NULL))
        return 0;
    if (goss_json_parse(&json, m.data, (size_t)m.size, NULL, NULL) == 0) {
        ok = goss_json_is(&json, goss_json_get(&json, 0, "url"), j->d->url) &&
             goss_json_string(&json, goss_json_get(&json, 0, "etag"), &etag) == 0;
        goss_fmt(j->etag, sizeof j->etag, "%s", goss_buf_cstr(&etag));
        j->total = (uint64_t)goss_json_number(&json, goss_json_get(&json, 0, "size"), 0);
        goss_json_free(&json);
    }
    goss_buf_free(&etag);
    goss_os_unmap(&m);
    return ok && j->etag[0];
}

/* What is there is of no use: the next request is for all of it. */
static void forget(struct job *j)
{
    j->have = j->d->resumed = 0;
    j->etag[0] = 0;
    j->total = UINT64_MAX;
}

static int cannot(struct job *j, const char *doing, int code)
{
    if (code == NO_ROOM)
        return goss_fail(j->err, GOSS_EFULL, -1, "The disk has room for %llu bytes and %s needs %llu more.",
                         (unsigned long long)j->room, j->d->path, (unsigned long long)(j->total - j->have));
    if (code == ENOSPC || code == EDQUOT || code == EFBIG)
        return goss_fail(
            j->err, GOSS_EFULL, (int64_t)j->have,
            "The disk is full at byte %llu of %s: make room and run it again, it continues there.",
            (unsigned long long)j->have, j->d->path);
    if (code == CHANGED)
        return goss_fail(j->err, GOSS_EIO, -1, "%s changes its size from one request to the next.",
                         j->d->url);
    return goss_fail(j->err, GOSS_EIO, -1, "Cannot %s %s: %s.", doing, j->part, strerror(code));
}

static int open_part(struct job *j)
{
    struct stat st;
    j->fd = open(j->part, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (j->fd < 0)
        return cannot(j, "write", errno);
    if (fstat(j->fd, &st))
        return cannot(j, "read", errno);
    j->have = (uint64_t)st.st_size;
    if (j->have > 0 && (!load_info(j) || j->have > j->total))
        forget(j);
    j->d->resumed = j->have;
    return 0;
}

/* ---- the transfer -------------------------------------------------------------------------------- */
/* The first body bytes of an answer: it says what file this is. */
static int begin_body(struct job *j)
{
    const goss_http_answer *a = &j->answer;
    if (a->status == 200) /* the whole file from its start: no Range there, or the file changed */
        j->have = 0;
    if (a->status == 200 && j->d->resumed)
        j->d->resumed = 0;
    else if (j->total != UINT64_MAX && a->total != j->total) /* of another size than what is there says */
        return CHANGED;
    j->total = a->total;
    if (j->hashed > j->have) {
        goss_sha256_init(&j->sha);
        j->hashed = 0;
    }
    if (ftruncate(j->fd, (off_t)j->have) || lseek(j->fd, (off_t)j->have, SEEK_SET) < 0)
        return errno;
    memcpy(j->etag, a->etag, sizeof j->etag);
    save_info(j);
    struct statvfs fs;
    if (j->total != UINT64_MAX && fstatvfs(j->fd, &fs) == 0) {
        j->room = (uint64_t)fs.f_bavail * fs.f_frsize;
        if (j->room < j->total - j->have)
            return NO_ROOM;
    }
    if (j->d->on_progress)
        j->d->on_progress(j->d->ctx, j->have, j->total == UINT64_MAX ? 0 : j->total, 1);
    return 0;
}

static int take(void *ctx, const void *bytes, size_t n)
{
    struct job *j = ctx;
    if (j->answer.received == n)
        j->broken = begin_body(j);
    if (!j->broken)
        j->broken = write_all(j->fd, bytes, n);
    if (j->broken)
        return 1;
    if (j->hashed == j->have) { /* else what was there before is hashed with the rest, at the end */
        goss_sha256_update(&j->sha, bytes, n);
        j->hashed += n;
    }
    j->have += n;
    if (j->d->on_progress)
        j->d->on_progress(j->d->ctx, j->have, j->total == UINT64_MAX ? 0 : j->total, 0);
    return 0;
}

static int is_whole(const struct job *j) { return j->total != UINT64_MAX && j->have == j->total; }

static int fetch_once(struct job *j)
{
    int rc = goss_http_get(j->http, j->d->url, j->have, UINT64_MAX, j->have && j->etag[0] ? j->etag : NULL, 1,
                           take, j, &j->answer, j->err);
    if (j->broken)
        return cannot(j, "write", j->broken);
    if (rc == 0 && j->total != UINT64_MAX && !is_whole(j)) {
        j->answer.retry = j->have < j->total;
        rc = goss_fail(
            j->err, GOSS_EIO, (int64_t)j->have,
            "The connection to %s was cut after %llu of %llu bytes: run it again, it continues there.",
            j->d->url, (unsigned long long)j->have, (unsigned long long)j->total);
    }
    return rc;
}

static int fetch(struct job *j)
{
    for (int attempt = 1;; attempt++) {
        if (j->have > 0 && !j->etag[0])
            forget(j);
        const uint64_t before = j->have;
        const int rc = fetch_once(j);
        if (before && (j->broken == CHANGED || j->answer.status == 416)) {
            forget(j);
            j->answer.retry = 1;
        }
        if (rc && j->answer.received >= GOSS_HTTP_MOVED)
            attempt = 1; /* it moves: keep trying */
        if (rc == 0 || !j->answer.retry || attempt >= GOSS_HTTP_TRIES)
            return rc;
        j->broken = 0;
        goss_http_pause(attempt);
    }
}

/* ---- the end ------------------------------------------------------------------------------------- */
/* Hashes what was not hashed on its way in. */
static int hash_rest(struct job *j)
{
    static uint8_t chunk[CHUNK];
    uint8_t digest[32];
    for (int begun = 0; j->hashed < j->have; begun = 1) {
        if (!begun && j->d->on_progress)
            j->d->on_progress(j->d->ctx, j->hashed, j->have, 2);
        const ssize_t k = pread(j->fd, chunk, sizeof chunk, (off_t)j->hashed);
        if (k <= 0)
            return cannot(j, "read", k < 0 ? errno : EIO);
        goss_sha256_update(&j->sha, chunk, (size_t)k);
        j->hashed += (uint64_t)k;
        if (j->d->on_progress)
            j->d->on_progress(j->d->ctx, j->hashed, j->have, 0);
    }
    goss_sha256_final(&j->sha, digest);
    goss_sha256_hex(digest, j->d->sha);
    return 0;
}

static int is_named_model(const char *path)
{
    const size_t n = strlen(path);
    return n > 5 && !strcasecmp(path + n - 5, ".gguf");
}

/* A model must be as long as its own header says: the host's word is not enough. */
static int check_model(struct job *j)
{
    char magic[4] = "";
    goss_gguf g = { 0 };
    goss_mapping m = { 0 };
    goss_error inner = { 0 };
    if (pread(j->fd, magic, 4, 0) < 0)
        return cannot(j, "read", errno);
    if (memcmp(magic, "GGUF", 4) && !is_named_model(j->d->path))
        return 0;
    const int rc = goss_gguf_map(&g, &m, j->part, &inner);
    goss_gguf_free(&g);
    goss_os_unmap(&m);
    if (rc == 0)
        return 0;
    unlink(j->part);
    unlink(j->info);
    return goss_fail(j->err, rc, inner.position,
                     "What %.120s gave is no whole model and was removed: %.160s", j->d->url, inner.text);
}

static int finish(struct job *j)
{
    int rc = hash_rest(j);
    if (rc)
        return rc;
    if (j->d->expect && strcasecmp(j->d->expect, j->d->sha)) {
        unlink(j->part);
        unlink(j->info);
        return goss_fail(j->err, GOSS_EFORMAT, -1,
                         "%s came with the SHA-256 %s, not the one that was asked for, and was removed.",
                         j->d->path, j->d->sha);
    }
    rc = check_model(j);
    if (rc)
        return rc;
    if (fsync(j->fd))
        return cannot(j, "write", errno);
    if (rename(j->part, j->d->path))
        return goss_fail(j->err, GOSS_EIO, -1, "Cannot rename %s to %s: %s.", j->part, j->d->path,
                         strerror(errno));
    unlink(j->info);
    j->d->size = j->have;
    return 0;
}

int goss_download_run(goss_download *d, goss_error *err)
{
    struct job j = { .d = d, .fd = -1, .err = err, .total = UINT64_MAX };
    d->resumed = d->size = 0;
    if (goss_fmt(j.part, sizeof j.part, "%s.part", d->path) >= 1024)
        return goss_fail(err, GOSS_ELIMIT, -1, "The file name is longer than 1000 characters.");
    struct stat there;
    /* the file takes its place: a device would be gone */
    if (!stat(d->path, &there) && !S_ISREG(there.st_mode))
        return goss_fail(err, GOSS_EINVAL, -1, "%s is there and is no file: nothing was fetched.", d->path);
    goss_fmt(j.info, sizeof j.info, "%s.json", j.part);
    goss_sha256_init(&j.sha);
    int rc = goss_http_open(&j.http, err);
    if (rc == 0)
        rc = open_part(&j);
    if (rc == 0 && !(j.have > 0 && is_whole(&j)))
        rc = fetch(&j);
    if (rc == 0)
        rc = finish(&j);
    if (j.fd >= 0)
        close(j.fd);
    if (rc && j.have == 0) { /* nothing worth keeping */
        unlink(j.part);
        unlink(j.info);
    }
    goss_http_close(&j.http);
    return rc;
}
