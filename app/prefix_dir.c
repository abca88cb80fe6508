/* prefix_dir.c - one file an entry. A file is written as .NAME.PID and renamed when it is whole and on the disk,
 * so that a
 * crash, a full disk or another process at the same moment leave whole entries or none. Use is noted in the file's
 * time. */
#include "prefix_dir.h"
#include "../src/base/error.h"
#include "../src/base/fmt.h"
#include "../src/base/os.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void path_of(const goss_prefix_dir *d, const char *name, char *out, size_t cap)
{
    goss_fmt(out, cap, "%s/%s", d->path, name);
}

static void temporary(const goss_prefix_dir *d, const char *name, char *out, size_t cap)
{
    goss_fmt(out, cap, "%s/.%s.%d", d->path, name, (int)getpid());
}

typedef struct listing {
    goss_prefix_dir *d;
    void (*entry)(void *, const char *, uint64_t, uint64_t); void *to;
} listing;

static void list_file(void *ctx, const char *name)
{
    const listing *l = ctx;
    char path[900];
    struct stat st;
    const size_t n = strlen(name);
    if (n < 4 || n >= 64 || name[0] == '.' || strcmp(name + n - 3, ".kv") != 0) return;
    path_of(l->d, name, path, sizeof path);
    if (stat(path, &st) == 0) l->entry(l->to, name, (uint64_t)st.st_size, (uint64_t)st.st_mtime);
}

static int list(void *ctx, void (*entry)(void *, const char *, uint64_t, uint64_t), void *to)
{
    listing l = { ctx, entry, to };
    return goss_os_list(l.d->path, list_file, &l, NULL);
}

static int get(void *ctx, const char *name, uint64_t offset, void *dst, size_t n)
{
    goss_prefix_dir *d = ctx;
    char path[900];
    if (d->get_fd < 0 || strcmp(d->reading, name) != 0) {
        if (d->get_fd >= 0) close(d->get_fd);
        path_of(d, name, path, sizeof path);
        d->get_fd = open(path, O_RDONLY | O_CLOEXEC);
        goss_fmt(d->reading, sizeof d->reading, "%s", name);
    }
    for (size_t done = 0; done < n;) {
        const ssize_t k = d->get_fd < 0 ? -1 : pread(d->get_fd, (uint8_t *)dst + done, n - done,
            (off_t)(offset + done));
        if (k < 0 && errno == EINTR && d->get_fd >= 0) continue;
        if (k <= 0) return GOSS_EIO;
        done += (size_t)k;
    }
    return 0;
}

static int give_up(goss_prefix_dir *d, const char *name)
{
    char path[900];
    if (d->fd >= 0) close(d->fd);
    d->fd = -1;
    temporary(d, name, path, sizeof path);
    unlink(path);
    return GOSS_EIO;
}

static int write_all(int fd, const void *bytes, size_t n)
{
    for (size_t done = 0; done < n;) {
        const ssize_t k = write(fd, (const uint8_t *)bytes + done, n - done);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return 1;
        done += (size_t)k;
    }
    return 0;
}

static int put(void *ctx, const char *name, const void *bytes, size_t n, int last)
{
    goss_prefix_dir *d = ctx;
    char part[900], path[900];
    if (last < 0) { give_up(d, name); return 0; }
    temporary(d, name, part, sizeof part);
    if (d->fd < 0 && (d->fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) < 0) return GOSS_EIO;
    if (write_all(d->fd, bytes, n)) return give_up(d, name);
    if (!last) return 0;
    path_of(d, name, path, sizeof path);
    const int bad = fsync(d->fd) | close(d->fd);
    d->fd = -1;
    return bad || rename(part, path) ? give_up(d, name) : 0;
}

static int touch(void *ctx, const char *name)
{
    char path[900];
    path_of(ctx, name, path, sizeof path);
    return utimensat(AT_FDCWD, path, NULL, 0) ? GOSS_EIO : 0;
}

static int drop(void *ctx, const char *name)
{
    char path[900];
    path_of(ctx, name, path, sizeof path);
    return unlink(path) ? GOSS_EIO : 0;
}

static void say(void *ctx, const char *sentence)
{
    (void)ctx;
    fprintf(stderr, "gossamer: %s\n", sentence);
}

int goss_prefix_dir_open(goss_prefix_dir *d, const char *path, goss_error *err)
{
    struct stat st;
    *d = (goss_prefix_dir){ .fd = -1, .get_fd = -1 };
    if (goss_fmt(d->path, sizeof d->path, "%s", path) >= sizeof d->path)
        return goss_fail(err, GOSS_ELIMIT, -1, "The prefix cache's path is longer than %d characters.",
            (int)sizeof d->path - 1);
    if (mkdir(path, 0700) && errno != EEXIST)
        return goss_fail(err, GOSS_EIO, -1, "The prefix cache's folder %s cannot be made: %s.", path,
            strerror(errno));
    if (stat(path, &st) || !S_ISDIR(st.st_mode) || access(path, W_OK))
        return goss_fail(err, GOSS_EIO, -1, "The prefix cache %s is no folder that can be written to.", path);
    d->store = (goss_store){ d, list, get, put, touch, drop, say };
    return 0;
}

void goss_prefix_dir_close(goss_prefix_dir *d)
{
    if (!d->path[0]) return;
    if (d->get_fd >= 0) close(d->get_fd);
    if (d->fd >= 0) close(d->fd);
    *d = (goss_prefix_dir){ 0 };
}
