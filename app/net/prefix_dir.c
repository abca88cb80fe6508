/* prefix_dir.c - one file an entry. A file is written as .NAME.DIGITS, a name that nobody else has, and
 * renamed when it is whole and on the disk, so that a crash, a full disk or another process at the same
 * moment leave whole entries or none. Who writes holds a lock on the file: what a killed process left has
 * none, and is swept away by the next. Use is noted in the file's time, and that entries came or went in the
 * folder's. */
#include "prefix_dir.h"
#include "base/error.h"
#include "base/fmt.h"
#include "base/os.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static void path_of(const goss_prefix_dir *d, const char *name, char *out, size_t cap)
{
    goss_fmt(out, cap, "%s/%s", d->path, name);
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
    if (stat(path, &st)) return;
    const uint64_t ms = (uint64_t)st.st_mtim.tv_sec * 1000 + (uint64_t)st.st_mtim.tv_nsec / 1000000;
    l->entry(l->to, name, (uint64_t)st.st_size, ms);
}

/* An entry may have been replaced by another of its name. */
static void stop_reading(goss_prefix_dir *d)
{
    if (d->get_fd >= 0) close(d->get_fd);
    d->get_fd = -1;
}

/* A file system's clock stands still for some milliseconds: a folder that has just changed may change again
 * and keep its time. */
static struct timespec settled_time(const goss_prefix_dir *d)
{
    struct stat st;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (stat(d->path, &st) || now.tv_sec - st.st_mtim.tv_sec < 2) return (struct timespec){ 0 };
    return st.st_mtim;
}

static int list(void *ctx, void (*entry)(void *, const char *, uint64_t, uint64_t), void *to)
{
    goss_prefix_dir *d = ctx;
    listing l = { d, entry, to };
    stop_reading(d);
    d->listed = settled_time(d);
    return goss_os_list(d->path, list_file, &l, NULL);
}

static int changed(void *ctx)
{
    const goss_prefix_dir *d = ctx;
    struct stat st;
    return stat(d->path, &st) || st.st_mtim.tv_sec != d->listed.tv_sec ||
           st.st_mtim.tv_nsec != d->listed.tv_nsec;
}

static int get(void *ctx, const char *name, uint64_t offset, void *dst, size_t n)
{
    goss_prefix_dir *d = ctx;
    char path[900];
    if (d->get_fd < 0 || strcmp(d->reading, name) != 0) {
        stop_reading(d);
        path_of(d, name, path, sizeof path);
        d->get_fd = open(path, O_RDONLY | O_CLOEXEC);
        if (d->get_fd < 0) return errno == ENOENT ? GOSS_ENOENT : GOSS_EIO;
        goss_fmt(d->reading, sizeof d->reading, "%s", name);
    }
    for (size_t done = 0; done < n;) {
        const ssize_t k = pread(d->get_fd, (uint8_t *)dst + done, n - done, (off_t)(offset + done));
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return GOSS_EIO;
        done += (size_t)k;
    }
    return 0;
}

static int give_up(goss_prefix_dir *d)
{
    if (d->fd < 0) return GOSS_EIO;
    close(d->fd);
    d->fd = -1;
    unlink(d->part);
    return GOSS_EIO;
}

/* A file that nobody else has, locked. One that a sweeper took for abandoned before it was locked is gone. */
static int begin(goss_prefix_dir *d, const char *name)
{
    struct timespec t;
    struct stat st;
    for (int i = 0; i < 8; i++) {
        clock_gettime(CLOCK_REALTIME, &t);
        goss_fmt(d->part, sizeof d->part, "%s/.%s.%llx", d->path, name,
                 ((unsigned long long)t.tv_sec * 1000000000u + (unsigned long long)t.tv_nsec) ^
                     (unsigned long long)getpid() << 40);
        d->fd = open(d->part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (d->fd < 0 && errno == EEXIST) continue;
        if (d->fd < 0) return GOSS_EIO;
        if (!flock(d->fd, LOCK_EX) && !fstat(d->fd, &st) && st.st_nlink) return 0;
        give_up(d);
    }
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
    char path[900];
    if (last < 0) { give_up(d); return 0; }
    if (d->fd < 0 && begin(d, name)) return GOSS_EIO;
    if (write_all(d->fd, bytes, n)) return give_up(d);
    if (!last) return 0;
    path_of(d, name, path, sizeof path);
    if (fsync(d->fd) || rename(d->part, path)) return give_up(d);
    const int bad = close(d->fd);              /* the lock held until it had its name */
    d->fd = -1;
    stop_reading(d);
    return bad ? GOSS_EIO : 0;
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
    stop_reading(ctx);
    path_of(ctx, name, path, sizeof path);
    return unlink(path) ? GOSS_EIO : 0;
}

static void say(void *ctx, const char *sentence)
{
    (void)ctx;
    fprintf(stderr, "gossamer: %s\n", sentence);
}

/* What processes left that were killed while they wrote: .NAME.DIGITS without a lock. */
static void sweep(const goss_prefix_dir *d)
{
    char path[900];
    DIR *dir = opendir(d->path);
    for (const struct dirent *f; dir && (f = readdir(dir)) != NULL;) {
        const char *digits = strrchr(f->d_name, '.');
        if (f->d_name[0] != '.' || digits < f->d_name + 4 || strncmp(digits - 3, ".kv", 3) != 0) continue;
        path_of(d, f->d_name, path, sizeof path);
        const int fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd < 0) continue;
        if (!flock(fd, LOCK_EX | LOCK_NB)) unlink(path);
        close(fd);
    }
    if (dir) closedir(dir);
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
    sweep(d);
    d->store = (goss_store){ d, list, get, put, touch, drop, say, changed };
    return 0;
}

void goss_prefix_dir_close(goss_prefix_dir *d)
{
    if (!d->path[0]) return;
    if (d->get_fd >= 0) close(d->get_fd);
    if (d->fd >= 0) close(d->fd);
    *d = (goss_prefix_dir){ 0 };
}
