/* fetcher.c - see fetcher.h. It waits for lines, and does each in a child of its own: a pull that is stopped
 * is a child that is killed, and what it had fetched is kept as after any kill (net/stream.c). */
#include "fetcher.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/fmt.h"
#include "base/os.h"
#include "base/sha256.h"
#include "line.h"
#include "net/model_cache.h"
#include "net/model_links.h"
#include "net/stream.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LINE = 4096, WORDS = 3, TELL_MS = 100 };
typedef struct fetcher { int fd; const char *folder; double told_ms; int checks; } fetcher;

/* ---- in the child -------------------------------------------------------------------------------------- */
static void say(int fd, const char *text, size_t n)
{
    while (n) {
        const ssize_t k = send(fd, text, n, MSG_NOSIGNAL);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) _exit(0); /* nobody listens any more */
        text += k;
        n -= (size_t)k;
    }
}

static size_t make_line(char line[LINE], char kind, const char *text)
{
    size_t n = goss_fmt(line, LINE - 1, "%c%s", kind, text);
    if (n > LINE - 2) n = LINE - 2;
    for (size_t i = 0; i < n; i++)
        if (line[i] == '\n') line[i] = ' ';
    line[n] = '\n';
    return n + 1;
}

static void say_line(int fd, char kind, const char *text)
{
    char line[LINE];
    say(fd, line, make_line(line, kind, text));
}

/* As Ollama says it. Its "digest" here names the file; it is not a hash of its bytes. */
static void on_progress(void *ctx, const char *file, uint64_t done, uint64_t total, int waiting)
{
    fetcher *f = ctx;
    char line[400], hex[65];
    uint8_t digest[32];
    goss_sha256 h;
    const double now = goss_os_now_ms();
    if (waiting == GOSS_STREAM_CHECKS && !f->checks) say_line(f->fd, 'P',
                                                              "{\"status\":\"verifying sha256 digest\"}");
    f->checks = waiting == GOSS_STREAM_CHECKS;
    if (waiting != GOSS_STREAM_FETCHES || (done != total && now - f->told_ms < (double)TELL_MS)) return;
    f->told_ms = now;
    goss_sha256_init(&h);
    goss_sha256_update(&h, file, strlen(file));
    goss_sha256_final(&h, digest);
    goss_sha256_hex(digest, hex);
    goss_fmt(line, sizeof line,
             "{\"status\":\"pulling %.12s\",\"digest\":\"sha256:%s\",\"total\":%llu,\"completed\":%llu}",
             hex, hex, (unsigned long long)total, (unsigned long long)done);
    say_line(f->fd, 'P', line);
}

static int pull(fetcher *f, const char *name, char *path, size_t cap, goss_error *err)
{
    goss_model_pull p = { .said = name, .folder = f->folder, .update = 1, .on_progress = on_progress, .ctx =
        f };
    if (!goss_model_is_name(name))
        return goss_fail(err, GOSS_EINVAL, -1, "\"%.100s\" cannot be pulled: names have the form "
                         "hf.co/OWNER/REPO[:QUANT], or are gpt-oss:20b or gpt-oss:120b.", name);
    say_line(f->fd, 'P', "{\"status\":\"pulling manifest\"}");
    int rc = goss_model_pull_run(&p, err);
    if (!rc) say_line(f->fd, 'P', "{\"status\":\"writing manifest\"}");
    if (!rc && goss_link_good_name(name)) rc = goss_links_set(p.place.folder, name, p.place.path, err);
    goss_fmt(path, cap, "%s", p.place.path);
    return rc;
}

/* Says how it went to `to`: the parent passes it on when this process has ended. */
static void work(fetcher *f, int to, char *const words[WORDS])
{
    char line[LINE];
    char path[1600] = "";
    goss_error err = { .position = -1 };
    int rc = GOSS_EINVAL;
    goss_fail(&err, rc, -1, "the request is not understood");
    if (!strcmp(words[0], "pull")) rc = pull(f, words[1], path, sizeof path, &err);
    else if (!strcmp(words[0], "remove")) rc = goss_model_remove(words[1], f->folder, &err);
    else if (!strcmp(words[0], "link")) rc = goss_links_set(f->folder, words[1], words[2], &err);
    else if (!strcmp(words[0], "unlink")) rc = goss_links_set(f->folder, words[1], NULL, &err);
    const size_t n = make_line(line, rc ? 'E' : 'D', rc ? err.text : path);
    if (write(to, line, n) != (ssize_t)n) _exit(1);
}

/* ---- the process --------------------------------------------------------------------------------------- */
/* The child's end of a pipe tells how it went, and that it has ended. */
static pid_t begin(fetcher *f, char *line, int *ended)
{
    char *words[WORDS] = { line, (char[]){ "" }, (char[]){ "" } };
    int ends[2];
    for (int i = 1; i < WORDS; i++) {
        char *tab = strchr(words[i - 1], '\t');
        if (!tab) break;
        *tab = 0;
        words[i] = tab + 1;
    }
    if (pipe(ends)) return -1;
    const pid_t parent = getpid(), pid = fork();
    if (!pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) _exit(0);
        work(f, ends[1], words);
        _exit(0);
    }
    close(ends[1]);
    *ended = ends[0];
    if (pid < 0) close(ends[0]);
    return pid;
}

/* One line from the server; 0: it is gone. */
static int read_line(int fd, char *line)
{
    for (size_t n = 0; n < LINE;) {
        const ssize_t k = read(fd, line + n, 1);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return 0;
        if (line[n++] == '\n') return line[n - 1] = 0, 1;
    }
    return 0;
}

/* Until it ends, or the server says stop or is gone. 0: gone. */
static int wait_for(fetcher *f, pid_t pid, int ended)
{
    char line[LINE];
    int here = 1;
    struct pollfd fds[2] = { { ended, POLLIN, 0 }, { f->fd, POLLIN, 0 } };
    while (poll(fds, 2, -1) < 0 && errno == EINTR) {}
    if (fds[1].revents && !fds[0].revents) {
        here = read_line(f->fd, line);
        kill(pid, SIGKILL);
    }
    const ssize_t n = read(ended, line, sizeof line);
    close(ended);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {}
    if (here && n > 0) say(f->fd, line, (size_t)n);
    else if (here) say_line(f->fd, 'E', "it was stopped");
    return here;
}

static void serve(fetcher *f)
{
    char line[LINE];
    int ended;
    while (read_line(f->fd, line)) {
        if (!strcmp(line, "stop")) continue; /* it had just ended */
        const pid_t pid = begin(f, line, &ended);
        if (pid < 0) say_line(f->fd, 'E', "no process could be started");
        else if (!wait_for(f, pid, ended)) return;
    }
}

int goss_srv_fetcher_open(int *fd, const char *folder, goss_error *err)
{
    const pid_t parent = getpid();
    const int rc = goss_srv_line_fork(fd, "to fetch models", err);
    if (rc <= 0) return rc;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGINT, SIG_IGN); /* the server says when */
    signal(SIGHUP, SIG_IGN);
    fetcher f = { .fd = *fd, .folder = folder };
    if (getppid() == parent) serve(&f);
    _exit(0);
}
