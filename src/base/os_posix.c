/* os_posix.c - what Linux and macOS share: clocks, mapped files, the heap and the page reserve below
 * mem.c. */
#include "error.h"
#include "os.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

double goss_os_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

double goss_os_thread_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

int64_t goss_os_unix_time(void) { return (int64_t)time(NULL); }

static int map_failed(goss_mapping *m, const char *path, goss_error *err)
{
    const int code = errno == ENOENT ? GOSS_ENOENT : errno == ENOMEM ? GOSS_ENOMEM : GOSS_EIO;
    goss_fail(err, code, -1, "Cannot open %s: %s.", path, strerror(errno));
    goss_os_unmap(m);
    return code;
}

int goss_os_map(goss_mapping *m, const char *path, goss_error *err)
{
    struct stat st;
    /* a pipe with no writer would block */
    *m = (goss_mapping){ .fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) };
    if (m->fd < 0 || fstat(m->fd, &st))
        return map_failed(m, path, err);
    if (!S_ISREG(st.st_mode)) {
        goss_os_unmap(m);
        return goss_fail(err, GOSS_EIO, -1, "Cannot open %s: it is not a file.", path);
    }
    if (st.st_size == 0) {
        goss_os_unmap(m);
        return goss_fail(err, GOSS_EFORMAT, 0, "%s is empty.", path);
    }
    void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, m->fd, 0);
    if (data == MAP_FAILED)
        return map_failed(m, path, err);
    m->data = data;
    m->size = (uint64_t)st.st_size;
    return 0;
}

void goss_os_unmap(goss_mapping *m)
{
    if (m->data)
        munmap((void *)(uintptr_t)m->data, (size_t)m->size);
    if (m->fd >= 0)
        close(m->fd);
    *m = (goss_mapping){ .fd = -1 };
}

int goss_os_hush(void)
{
    const int kept = dup(STDERR_FILENO), nowhere = open("/dev/null", O_WRONLY);
    if (kept >= 0 && nowhere >= 0) dup2(nowhere, STDERR_FILENO);
    if (nowhere >= 0) close(nowhere);
    return kept;
}

void goss_os_speak(int hushed)
{
    if (hushed < 0) return;
    dup2(hushed, STDERR_FILENO);
    close(hushed);
}

void *goss_os_heap_get(size_t n) { return calloc(1, n); }
void goss_os_heap_put(void *p) { free(p); }

void *goss_os_reserve(size_t n)
{
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

void goss_os_release(void *p, size_t n) { munmap(p, n); }

int goss_os_list(const char *folder, void (*fn)(void *ctx, const char *name), void *ctx, goss_error *err)
{
    DIR *dir = opendir(folder);
    if (!dir)
        return goss_fail(err, errno == ENOENT ? GOSS_ENOENT : GOSS_EIO, -1, "Cannot read the folder %s: %s.",
                         folder, strerror(errno));
    for (const struct dirent *d; (d = readdir(dir)) != NULL;)
        if (d->d_name[0] != '.')
            fn(ctx, d->d_name);
    closedir(dir);
    return 0;
}
