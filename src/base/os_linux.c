/* os_linux.c - cores and memory as this process may use them: the affinity mask and the control group (v2)
 * count, not only the machine. CPU features are in os_linux_x86.c and os_linux_arm.c. */
#define _GNU_SOURCE
#include "fmt.h"
#include "os.h"
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

/* The file's first bytes, NUL-terminated; 0 when it cannot be read. */
static size_t read_small_file(const char *path, char *text, size_t cap)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    const ssize_t n = read(fd, text, cap - 1);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    return n > 0 ? (size_t)n : 0;
}

static int number_at(const char *s, double *out) { return goss_read_double(s, strlen(s), out) > 0; }

int goss_os_cores(void)
{
    cpu_set_t set;
    int n =
        sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : (int)sysconf(_SC_NPROCESSORS_ONLN);
    char text[64];
    double quota, period; /* "QUOTA PERIOD" in microseconds, or "max PERIOD" */
    if (read_small_file("/sys/fs/cgroup/cpu.max", text, sizeof text) && number_at(text, &quota)) {
        const char *second = strchr(text, ' ');
        if (second && number_at(second + 1, &period) && period > 0 && quota / period < n)
            n = (int)(quota / period + 0.999);
    }
    return n > 0 ? n : 1;
}

/* "Name:   N kB" in /proc/meminfo, in bytes. */
static uint64_t meminfo(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    double kb;
    if (!at)
        return 0;
    at += strlen(name);
    at += strspn(at, ": ");
    return number_at(at, &kb) ? (uint64_t)kb * 1024 : 0;
}

uint64_t goss_os_memory(uint64_t *available)
{
    char text[4096];
    double limit, used;
    uint64_t total = 0, free_now = 0;
    if (read_small_file("/proc/meminfo", text, sizeof text)) {
        total = meminfo(text, "MemTotal");
        free_now = meminfo(text, "MemAvailable");
    }
    if (read_small_file("/sys/fs/cgroup/memory.max", text, sizeof text) && number_at(text, &limit) &&
        limit < (double)total) {
        total = (uint64_t)limit;
        if (read_small_file("/sys/fs/cgroup/memory.current", text, sizeof text) && number_at(text, &used)) {
            const uint64_t left = used < limit ? (uint64_t)(limit - used) : 0;
            free_now = left < free_now ? left : free_now;
        }
    }
    if (available)
        *available = free_now;
    return total;
}

void goss_os_program_folder(char *dst, size_t cap)
{
    const ssize_t n = readlink("/proc/self/exe", dst, cap - 1);
    dst[n > 0 ? n : 0] = 0;
    char *slash = strrchr(dst, '/');
    if (slash)
        *slash = 0;
    else
        goss_fmt(dst, cap, ".");
}
