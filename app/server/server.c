/* server.c - start, the loop of signals, hang-ups and timers, and the end. The loop sleeps without a timeout
 * when no request is open. */
#include "server.h"
#include "base/mem.h"
#include "base/os.h"
#include "tool_calls.h"
#include "catalog.h"
#include "common/ring_join.h"
#include "fault.h"
#include "fetcher.h"
#include "handle.h"
#include "log.h"
#include "net/model_cache.h"
#include "common/kernels_file.h"
#include "net/model_links.h"
#include "sandbox.h"
#include "background.h"
#include "store.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

static void wake(void *ctx)
{
    goss_srv *s = ctx;
    eventfd_write(s->wake_fd, 1);
}

/* ---- start ----------------------------------------------------------------------------------- */
static int listen_on(goss_srv *s)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV },
                    *found = NULL;
    char port[16], host[256];
    int one = 1;
    size_t n = strlen(s->c->host);
    snprintf(port, sizeof port, "%d", s->c->port);
    snprintf(host, sizeof host, "%s", s->c->host);
    if (host[0] == '[' && host[n - 1] == ']') memmove(host, host + 1, n - 2), host[n - 2] = 0;
    int rc = getaddrinfo(host, port, &hints, &found);
    if (rc || !found) return goss_srv_log("%s is not an address: %s", s->c->host, gai_strerror(rc)), -1;
    s->listen_fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->listen_fd >= 0) setsockopt(s->listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    /* Nothing is lost between programs of one machine. BBR, a common default, would pace every write with
     * timers. */
    if (s->listen_fd >= 0 && goss_srv_is_loopback(s->c->host))
        setsockopt(s->listen_fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
    if (s->listen_fd < 0 || bind(s->listen_fd, found->ai_addr, found->ai_addrlen) ||
        listen(s->listen_fd, 511)) {
        goss_srv_log("can't listen on %s port %d: %s%s", s->c->host, s->c->port, strerror(errno),
                     errno == EADDRINUSE ? " (choose another with --port)" : "");
        freeaddrinfo(found);
        return -1;
    }
    freeaddrinfo(found);
    struct sockaddr_storage at;
    socklen_t size = sizeof at;
    if (!getsockname(s->listen_fd, (struct sockaddr *)&at, &size) &&
        !getnameinfo((struct sockaddr *)&at, size, NULL, 0, port, sizeof port, NI_NUMERICSERV))
        sscanf(port, "%d", &s->port);
    return 0;
}

static int take_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    if (pthread_sigmask(SIG_BLOCK, &set, NULL)) return -1;
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void allow_link(void *sandbox, const char *name, const char *path)
{
    (void)name;
    goss_srv_sandbox_may_read(sandbox, path);
}

/* --pull: the model cache, and what further names lead to. */
static void allow_cache(goss_srv_sandbox *what, const goss_srv_config *c)
{
    char folder[1000];
    if (!c->pull || goss_srv_cache_folder(c, folder, sizeof folder)) return;
    goss_srv_sandbox_may_read(what, folder);
    goss_links_each(folder, allow_link, what);
}

/* --gpu-kernels: the file, or the folder of what is measured. */
static void allow_kernels(goss_srv_sandbox *what, const goss_srv_config *c)
{
    char place[1200];
    const char *kernels = c->engine.kernels;
    if (!kernels || !strcmp(kernels, "none")) return;
    if (strcmp(kernels, "auto") != 0) goss_srv_sandbox_may_read(what, kernels);
    else if (!goss_kernels_file_place(place, sizeof place, c->engine.model_cache)) {
        *strrchr(place, '/') = 0;
        if (!goss_model_make_folder(place, NULL)) goss_srv_sandbox_may_write(what, place);
    }
}

/* Before any thread begins. 0, or -1: it was asked for, and can't be. */
static int confine(const goss_srv_config *c)
{
    goss_error err = { 0 };
    goss_srv_sandbox what;
    const int asked = !strcmp(c->sandbox, "on");
    if (c->engine.config.ring) { /* MPI opens files and sockets as it likes */
        if (asked) goss_srv_log("--sandbox on and --pipeline exclude each other");
        return asked ? -1 : 0;
    }
    const char *backend = c->engine.config.backend;
    if (!asked && (!strcmp(c->sandbox, "off") || !backend || strcmp(backend, "cpu") != 0)) return 0;
    goss_srv_sandbox_find(&what, c);
    allow_cache(&what, c);
    allow_kernels(&what, c);
    if (!goss_srv_sandbox_enter(&what, &err)) return 0;
    goss_srv_log("%s", err.text);
    return asked ? -1 : 0;
}

/* --pull: what fetches models begins before everything else. */
static int open_fetcher(goss_srv *s)
{
    goss_error err = { 0 };
    static char folder[1000];
    s->fetcher_fd = -1;
    if (!s->c->pull) return 0;
    if (goss_srv_cache_folder(s->c, folder, sizeof folder))
        return goss_srv_log("there is no folder for models: set HOME, or say --model-cache"), -1;
    if (!goss_model_make_folder(folder, &err) && !goss_srv_fetcher_open(&s->fetcher_fd, folder,
                                                                        &err)) return 0;
    return goss_srv_log("%s", err.text), -1;
}

static int start(goss_srv *s)
{
    goss_error err = { 0 };
    if (open_fetcher(s)) return -1;
    if (goss_srv_calls_open(s->c, &err)) return goss_srv_log("%s", err.text), -1;
    s->started_ms = goss_os_now_ms();
    goss_srv_fault_watch();
    s->signal_fd = take_signals();
    s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->signal_fd < 0 || s->wake_fd < 0)
        return goss_srv_log("can't watch signals: %s", strerror(errno)), -1;
    if (goss_srv_catalog_scan(s->c, &err)) return goss_srv_log("%s", err.text), -1;
    if (listen_on(s)) return -1;
    goss_srv_model_files_find(&s->models, s->c);
    goss_srv_store_open(s->c->store, s->c->store_bytes);
    goss_srv_background_open(s->c->background, s->c->background_time, s->c->store_bytes);
    if (goss_srv_files_open(&s->files, s->c)) return goss_srv_log("can't start: out of memory"), -1;
    if (confine(s->c)) return -1;
    if (goss_srv_watch_open(&s->watch, s->c->max_connections) ||
        goss_srv_wires_open(&s->wires, 1000 * s->c->head_timeout, s->c->body_rate) ||
        goss_srv_runner_open(&s->runner, s->c, wake, s) ||
        goss_srv_pulls_open(&s->pulls, s->c, s->fetcher_fd) || goss_srv_calls_begin() ||
        goss_srv_http_open(s))
        return goss_srv_log("can't start: out of memory or threads"), -1;
    const char *host = strchr(s->c->host, ':') && s->c->host[0] != '[' ? "[::1]" : s->c->host;
    goss_srv_log("listening on http://%s:%d/%s", host, s->port,
                 goss_srv_files_has_page(s->files) ? " (page: /gptoss)" : "");
    return 0;
}

/* ---- the end --------------------------------------------------------------------------------- */
/* With --replica the port stays open until all is answered: /health says `stopping` there, and what comes is
 * sent on to another by its 503. */
static void stop(goss_srv *s, double deadline)
{
    if (!atomic_exchange(&s->stopping, 1)) {
        MHD_socket fd = s->c->replica ? MHD_INVALID_SOCKET : MHD_quiesce_daemon(s->http);
        if (fd != MHD_INVALID_SOCKET) close(fd);
        goss_srv_log("stopping");
    }
    goss_srv_runner_stop(s->runner, deadline);
}

/* The runner has ended, so every answer is written; clients get a moment to read the rest. */
static void finish(goss_srv *s)
{
    double until = goss_os_now_ms() + 1000;
    while (atomic_load(&s->n_requests) > 0 && goss_os_now_ms() < until) poll(NULL, 0, 5);
    goss_srv_pulls_close(&s->pulls); /* answers what waits for it */
    goss_srv_http_close(s);
    goss_srv_runner_close(&s->runner);
    goss_srv_calls_close();
    goss_srv_files_close(&s->files);
    goss_srv_watch_close(&s->watch);
    goss_srv_wires_close(&s->wires);
    goss_srv_store_close();
    goss_srv_catalog_close();
    close(s->signal_fd);
    close(s->wake_fd);
}

/* ---- the loop -------------------------------------------------------------------------------- */
static void reload(goss_srv *s)
{
    goss_error err = { 0 };
    goss_srv_log("reloading");
    if (goss_srv_catalog_scan(s->c, &err)) goss_srv_log("%s: the models stay as they are", err.text);
    else goss_srv_runner_reload(s->runner);
}

/* ---- a pipeline ------------------------------------------------------------------------------ */
/* How long /health says which rank is lost before the process ends, and how long after a SIGTERM it takes to
 * see that it came because a rank died. */
static const double LOST_MS = 2000, SEE_MS = 700;

/* A rank that is lost takes the others along; the engine ends all answers. 1: it is time to go. */
static int watch_ring(goss_srv *s, double *deadline)
{
    const double now = goss_os_now_ms();
    goss_error err = { 0 };
    if (!s->c->engine.config.ring) return 0;
    if (s->lost_ms > 0) return now - s->lost_ms > LOST_MS;
    if (goss_ring_check(&err)) {
        s->lost_ms = now;
        goss_srv_log("%s", err.text);
        goss_srv_runner_lose(s->runner, err.text);
        goss_srv_runner_nudge(s->runner);
    } else if (s->term_ms > 0 && now - s->term_ms > SEE_MS && *deadline <= 0)
        stop(s, *deadline = now + 1000 * s->c->drain);
    return 0;
}

/* loading: nothing has ever been ready, so nothing can finish. */
static int on_signals(goss_srv *s, int loading, double *deadline)
{
    struct signalfd_siginfo info;
    while (read(s->signal_fd, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGHUP) { reload(s); continue; }
        double now = goss_os_now_ms();
        if (s->c->engine.config.ring && s->term_ms <= 0 && !loading) {
            s->term_ms = now; /* mpirun says so too when a rank has died */
            goss_ring_ending();
            continue;
        }
        *deadline = *deadline > 0 || loading ? now : now + 1000 * s->c->drain; /* asked twice: at once */
        stop(s, *deadline);
    }
    return 0;
}

static int run(goss_srv *s)
{
    double deadline = 0;
    int was_ok = 0, status = 0;
    eventfd_t value;
    while (!goss_srv_runner_stopped(s->runner)) {
        struct pollfd fds[4] = { { s->signal_fd, POLLIN, 0 },
                                 { s->wake_fd, POLLIN, 0 },
                                 { goss_srv_watch_fd(s->watch), POLLIN, 0 },
                                 { goss_srv_wires_fd(s->wires), POLLIN, 0 } };
        int quiet = !goss_srv_watch_count(s->watch) && deadline == 0 && !s->c->engine.config.ring;
        double pause = s->c->engine.config.ring ? 100 : 1000 * s->c->comment / 4;
        poll(fds, 4, quiet ? -1 : deadline > 0 || pause < 100 ? 100 : pause > 1000 ? 1000 : (int)pause);
        if (fds[1].revents) eventfd_read(s->wake_fd, &value);
        if (fds[3].revents) goss_srv_wires_run(s->wires);
        if (fds[0].revents) on_signals(s, !was_ok, &deadline);
        if (watch_ring(s, &deadline)) {
            goss_srv_log("a rank of the pipeline is lost: the server ends, start it anew");
            _exit(1);
        }
        if (goss_srv_watch_run(s->watch, 1000 * s->c->comment)) goss_srv_runner_nudge(s->runner);
        goss_srv_health h;
        goss_srv_runner_health(s->runner, &h);
        was_ok |= h.state == GOSS_SRV_OK;
        if (h.state == GOSS_SRV_FAILED && !was_ok && !*s->c->models_dir && deadline == 0) {
            status = 1; /* the one model does not load: nothing can be served */
            stop(s, deadline = goss_os_now_ms());
        }
        if (deadline > 0 && goss_os_now_ms() > deadline + (was_ok ? 5000 : 500)) {
            /* no stream is flushed: the thread that does not stop may hold its lock */
            goss_srv_log("%s: leaving at once",
                         was_ok ? "the engine does not stop" : "stopped while loading");
            _exit(was_ok ? 1 : status);
        }
    }
    return status;
}

int goss_srv_main(const goss_srv_config *c)
{
    goss_srv s = { .c = c, .listen_fd = -1, .signal_fd = -1, .wake_fd = -1 };
    goss_srv_log_level(!strcmp(c->log, "none")     ? GOSS_SRV_LOG_NONE
                       : !strcmp(c->log, "errors") ? GOSS_SRV_LOG_ERRORS
                                                   : GOSS_SRV_LOG_ALL);
    if (start(&s)) return 1;
    int status = run(&s);
    finish(&s);
    goss_srv_log("stopped");
    return status;
}
