/* test_sandbox.c - from inside a server's sandbox: what is named can be read or written, and nothing else; no
 * program, process, socket or privilege is to be had; threads are. */
#include "server/sandbox.h"
#include "unit.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64], model[128], other[128], store[128], lines[128];

static int opens(const char *path, int flags)
{
    const int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd >= 0) close(fd);
    return fd >= 0;
}

static void put(const char *path)
{
    FILE *f = fopen(path, "w");
    if (f) fclose(f);
}

static void *nothing(void *ctx) { return ctx; }

static void inside_files(void)
{
    char path[256];
    CHECK(opens(model, O_RDONLY) && opens("/etc/passwd", O_RDONLY) && opens("/proc/meminfo", O_RDONLY));
    CHECK(!opens(other, O_RDONLY) && errno == EACCES);
    CHECK(!opens("/root", O_RDONLY) && !opens("/", O_RDONLY) && !opens(folder, O_RDONLY));
    CHECK(!opens(model, O_WRONLY) && !opens(other, O_WRONLY) && unlink(model) && unlink(other));
    snprintf(path, sizeof path, "%s/new", store);
    CHECK(opens(path, O_WRONLY | O_CREAT) && opens(path, O_RDONLY) && !unlink(path));
    CHECK(opens(lines, O_WRONLY | O_TRUNC));
    snprintf(path, sizeof path, "%s/new", folder);
    CHECK(!opens(path, O_WRONLY | O_CREAT) && symlink(model, path) && mkdir(path, 0700));
    CHECK(rename(model, path));
    snprintf(path, sizeof path, "%s/../other/secret", store);
    CHECK(!opens(path, O_RDONLY));
}

static void inside_calls(int listening)
{
    pthread_t thread;
    char *const args[] = { "/bin/true", NULL };
    CHECK(socket(AF_INET, SOCK_STREAM, 0) < 0 && errno == EPERM);
    CHECK(socket(AF_UNIX, SOCK_STREAM, 0) < 0 && errno == EPERM);
    CHECK(accept(listening, NULL, NULL) < 0 && errno == EAGAIN);
    execv(args[0], args);
    CHECK(errno == EPERM);
    CHECK(fork() < 0 && errno == EPERM);
    CHECK(ptrace(PTRACE_ATTACH, getppid(), 0, 0) < 0 && errno == EPERM);
    CHECK(syscall(SYS_unshare, 0x10000000) < 0 && errno == EPERM);
    CHECK(kill(getppid(), 0) < 0 && errno == EPERM);
    CHECK(!pthread_create(&thread, NULL, nothing, NULL) && !pthread_join(thread, NULL));
}

static int has_landlock(void) { return syscall(444, NULL, 0, 1) >= 6; }

int main(void)
{
    static goss_srv_config c;
    static goss_srv_sandbox s;
    goss_error err = { 0 };
    int status;
    snprintf(folder, sizeof folder, "/tmp/gossamer-sandbox-%d", (int)getpid());
    const char *const parts[] = { "models", "other", "store" };
    mkdir(folder, 0700);
    for (int i = 0; i < 3; i++) {
        snprintf(other, sizeof other, "%s/%s", folder, parts[i]);
        mkdir(other, 0700);
    }
    snprintf(model, sizeof model, "%s/models/m.gguf", folder);
    snprintf(other, sizeof other, "%s/other/secret", folder);
    snprintf(store, sizeof store, "%s/store", folder);
    snprintf(lines, sizeof lines, "%s/lines", folder);
    put(model);
    put(other);
    c.model = model;
    c.models_dir = "";
    c.engine.prefix_cache = store;
    c.engine.telemetry = lines;
    goss_srv_sandbox_find(&s, &c);
    const int listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in any = { .sin_family = AF_INET };
    CHECK(!bind(listening, (struct sockaddr *)&any, sizeof any) && !listen(listening, 1));
    if (!has_landlock()) printf("SKIP sandbox: this kernel has no Landlock, or an old one\n");
    const pid_t child = fork();
    if (!child) {
        const int rc = goss_srv_sandbox_enter(&s, &err);
        CHECK(rc == 0 || !has_landlock());
        if (has_landlock()) inside_files();
        if (has_landlock()) inside_calls(listening);
        fflush(stdout);
        _exit(unit_failed ? 1 : unit_passed > 15 || !has_landlock() ? 0 : 2);
    }
    waitpid(child, &status, 0);
    CHECK_INT(status, 0);
    unlink(model), unlink(other), unlink(lines);
    for (int i = 0; i < 3; i++) {
        snprintf(other, sizeof other, "%s/%s", folder, parts[i]);
        rmdir(other);
    }
    CHECK(!rmdir(folder));
    return unit_done("test_sandbox");
}
