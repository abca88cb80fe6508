/* ring_mpi.c - gossamer_mpi.so: a ring (gossamer.h) over MPI, for OpenMPI 4.
 *
 * Two threads call MPI, never both at once (the lock): the one that sends and receives, and a helper. No call
 * waits: a receive is probed for and tested, for SPIN_MS between yields, then with pauses that grow with the
 * time that has been waited, a sixty-fourth of it and PAUSE_MOST_US at most: a small model's token finds its
 * next rank awake, no wait is stretched by more than that, and a long one costs a hundredth of a core. Sends
 * are copied; the helper moves on those that did not go out at once.
 *
 * Every rank's helper beats: rank 0 hears all, all hear rank 0. Who is silent for SILENT_MS is lost, dead or
 * stopped or cut off, and the ring with it: from then on every call says so. When the job is being ended
 * (mpirun sends SIGTERM to all ranks as soon as one has died, and SIGKILL soon after), HURRY_MS are
 * enough. */
#include "common/ring_module.h"
#include <errno.h>
#include <mpi.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

enum { TAG_MESSAGE = 1, TAG_BEAT = 2 };
enum { BEAT_MS = 100, SILENT_MS = 3000, ZERO_SILENT_MS = 10000, HURRY_MS = 500, MUST_MS = 1500 };
enum { SPIN_MS = 2, PAUSE_MOST_US = 4000, PUSH_US = 50, HOST = 64 };

typedef struct parcel { /* a message on its way out */
    struct parcel *next;
    MPI_Request request;
    char bytes[];
} parcel;
static struct {
    int rank, n;
    char (*hosts)[HOST];  /* (n) */
    pthread_mutex_t lock; /* of MPI and of what follows */
    pthread_cond_t wake;  /* there are parcels, or it ends */
    parcel *first, **last;
    MPI_Request incoming;
    int n_incoming;
    char *room;
    size_t cap;         /* what is received */
    MPI_Request *beats; /* (n) */
    double *heard;      /* (n) ms: when the rank last beat; of rank 0 alone where this is another */
    pthread_t helper;
    int ends;
    atomic_int lost;
    char why[200];
    _Atomic double ending;
    atomic_int must;
} m;

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int fail(goss_error *err, int code, const char *text)
{
    if (err) {
        *err = (goss_error){ .code = code, .position = -1 };
        snprintf(err->text, sizeof err->text, "%s", text);
    }
    return code;
}

/* ---- being lost ---------------------------------------------------------------------------------------- */
/* Under the lock. */
static int lose(const char *why)
{
    if (!atomic_load(&m.lost)) snprintf(m.why, sizeof m.why, "%s", why);
    atomic_store(&m.lost, 1);
    return GOSS_ELOST;
}

static int check(void *ctx, goss_error *err)
{
    (void)ctx;
    return atomic_load(&m.lost) ? fail(err, GOSS_ELOST, m.why) : 0;
}

static void ending(void *ctx, int must)
{
    (void)ctx;
    atomic_store(&m.ending, now_ms());
    if (must) atomic_store(&m.must, 1);
}

/* What MPI says is an error of a peer: it is gone. Under the lock. */
static int mpi(int rc, const char *what)
{
    char text[MPI_MAX_ERROR_STRING], why[200];
    int n = 0;
    if (rc == MPI_SUCCESS) return 0;
    MPI_Error_string(rc, text, &n);
    snprintf(why, sizeof why, "a rank is lost: %s failed: %.120s", what, text);
    return lose(why);
}

/* ---- sending ------------------------------------------------------------------------------------------- */
/* Frees what has gone out; under the lock. */
static void push(void)
{
    while (m.first) {
        parcel *p = m.first;
        int done = 0;
        if (mpi(MPI_Test(&p->request, &done, MPI_STATUS_IGNORE), "sending") || !done) return;
        m.first = p->next;
        if (!m.first) m.last = &m.first;
        free(p);
    }
}

static int ring_send(void *ctx, const void *bytes, size_t n, goss_error *err)
{
    if (check(ctx, err)) return GOSS_ELOST;
    if (n > INT32_MAX) return fail(err, GOSS_ELIMIT, "a message between ranks is longer than 2 GB");
    parcel *p = malloc(sizeof *p + n);
    if (!p) return fail(err, GOSS_ENOMEM, "no memory for a message to the next rank");
    memcpy(p->bytes, bytes, n);
    p->next = NULL;
    pthread_mutex_lock(&m.lock);
    int rc = mpi(
        MPI_Isend(p->bytes, (int)n, MPI_BYTE, (m.rank + 1) % m.n, TAG_MESSAGE, MPI_COMM_WORLD, &p->request),
        "sending");
    if (rc) free(p);
    else {
        *m.last = p;
        m.last = &p->next;
        push();
        if (m.first) pthread_cond_signal(&m.wake);
    }
    pthread_mutex_unlock(&m.lock);
    return rc ? check(ctx, err) : 0;
}

/* ---- receiving ----------------------------------------------------------------------------------------- */
static void pause_for(double waited_ms)
{
    double us = waited_ms * 1000 / 64;
    if (waited_ms < (double)SPIN_MS) {
        sched_yield();
        return;
    }
    if (us > PAUSE_MOST_US) us = PAUSE_MOST_US;
    nanosleep(&(struct timespec){ 0, (long)(us * 1000) }, NULL);
}

/* Begins a receive where a message waits; under the lock. */
static int begin(void)
{
    MPI_Status status;
    int there = 0, n = 0;
    const int from = (m.rank + m.n - 1) % m.n;
    if (mpi(MPI_Iprobe(from, TAG_MESSAGE, MPI_COMM_WORLD, &there, &status), "receiving")) return GOSS_ELOST;
    if (!there) return 0;
    MPI_Get_count(&status, MPI_BYTE, &n);
    if ((size_t)n > m.cap) {
        char *more = realloc(m.room, (size_t)n);
        if (!more) return lose("no memory for a message of another rank");
        m.room = more;
        m.cap = (size_t)n;
    }
    m.n_incoming = n;
    return mpi(MPI_Irecv(m.room, n, MPI_BYTE, from, TAG_MESSAGE, MPI_COMM_WORLD, &m.incoming), "receiving");
}

/* 1: a message is there whole. */
static int receive(void)
{
    int done = 0;
    pthread_mutex_lock(&m.lock);
    push();
    if (m.incoming == MPI_REQUEST_NULL) begin();
    if (m.incoming != MPI_REQUEST_NULL) mpi(MPI_Test(&m.incoming, &done, MPI_STATUS_IGNORE), "receiving");
    pthread_mutex_unlock(&m.lock);
    return done;
}

static int ring_recv(void *ctx, const void **bytes, size_t *n, int timeout_ms, goss_error *err)
{
    static _Thread_local int fine;
    if (!fine) fine = !prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL); /* pauses of µs, not of 50 */
    const double began = now_ms();
    for (;;) {
        if (check(ctx, err)) return GOSS_ELOST;
        if (receive()) break;
        const double waited = now_ms() - began;
        if (timeout_ms >= 0 && waited >= timeout_ms) return GOSS_EAGAIN;
        pause_for(waited);
    }
    *bytes = m.room;
    *n = (size_t)m.n_incoming;
    return 0;
}

/* ---- the helper ---------------------------------------------------------------------------------------- */
static void beat_to(int rank)
{
    int done = 1;
    if (m.beats[rank] != MPI_REQUEST_NULL) MPI_Test(&m.beats[rank], &done, MPI_STATUS_IGNORE);
    if (done) MPI_Isend(NULL, 0, MPI_BYTE, rank, TAG_BEAT, MPI_COMM_WORLD, &m.beats[rank]);
}

static void hear(double now)
{
    MPI_Status status;
    int there = 0;
    while (!MPI_Iprobe(MPI_ANY_SOURCE, TAG_BEAT, MPI_COMM_WORLD, &there, &status) && there) {
        if (MPI_Recv(NULL, 0, MPI_BYTE, status.MPI_SOURCE, TAG_BEAT, MPI_COMM_WORLD, MPI_STATUS_IGNORE))
            return;
        m.heard[status.MPI_SOURCE] = now;
    }
}

/* Who has been silent for too long. */
static void judge(double now)
{
    const double since = atomic_load(&m.ending);
    const double most = m.rank ? (double)ZERO_SILENT_MS : since > 0 ? (double)HURRY_MS : (double)SILENT_MS;
    char why[200];
    for (int r = m.rank ? 0 : 1; r < (m.rank ? 1 : m.n); r++) {
        if (now - m.heard[r] <= most) continue;
        snprintf(why, sizeof why,
                 "rank %d (%s) has not been heard for %.1f s: it is dead, stopped or cut off", r, m.hosts[r],
                 (now - m.heard[r]) / 1000);
        lose(why);
    }
    if (since > 0 && atomic_load(&m.must) && now - since > MUST_MS) lose("the job was ended by a signal");
}

static void *help(void *arg)
{
    double beat = 0, last = now_ms();
    (void)arg;
    pthread_mutex_lock(&m.lock);
    while (!m.ends) {
        const double now = now_ms();
        if (now - last > SILENT_MS / 2) /* it was this rank that stood still */
            for (int r = 0; r < m.n; r++) m.heard[r] = now;
        last = now;
        push();
        if (now >= beat) {
            for (int r = m.rank ? 0 : 1; r < (m.rank ? 1 : m.n); r++) beat_to(r);
            hear(now);
            judge(now);
            beat = now + BEAT_MS;
        }
        if (m.first) {
            pthread_mutex_unlock(&m.lock);
            nanosleep(&(struct timespec){ 0, PUSH_US * 1000 }, NULL);
            pthread_mutex_lock(&m.lock);
            continue;
        }
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += BEAT_MS * 1000000L;
        if (until.tv_nsec >= 1000000000L) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000L;
        }
        pthread_cond_timedwait(&m.wake, &m.lock, &until);
    }
    pthread_mutex_unlock(&m.lock);
    return NULL;
}

/* ---- opening and closing ------------------------------------------------------------------------------- */
static void ring_close(void *ctx)
{
    (void)ctx;
    for (double began = now_ms(); m.first && now_ms() - began < SILENT_MS && !atomic_load(&m.lost);) {
        pthread_mutex_lock(&m.lock);
        push();
        pthread_mutex_unlock(&m.lock);
        sched_yield();
    }
    pthread_mutex_lock(&m.lock);
    m.ends = 1;
    pthread_cond_signal(&m.wake);
    pthread_mutex_unlock(&m.lock);
    pthread_join(m.helper, NULL);
    if (!atomic_load(&m.lost)) MPI_Finalize();
    free(m.room);
    free(m.beats);
    free(m.heard);
    free(m.hosts);
}

static int find_hosts(void)
{
    char name[MPI_MAX_PROCESSOR_NAME] = { 0 }, mine[HOST] = { 0 };
    int n = 0;
    MPI_Get_processor_name(name, &n);
    snprintf(mine, sizeof mine, "%.63s", name);
    return MPI_Allgather(mine, HOST, MPI_BYTE, m.hosts, HOST, MPI_BYTE, MPI_COMM_WORLD);
}

static int begin_mpi(goss_error *err)
{
    int has = 0;
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &has) || has < MPI_THREAD_SERIALIZED)
        return fail(err, GOSS_EUNSUPPORTED, "this MPI can't be called from more than one thread");
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &m.rank);
    MPI_Comm_size(MPI_COMM_WORLD, &m.n);
    m.hosts = calloc((size_t)m.n, sizeof *m.hosts);
    m.beats = calloc((size_t)m.n, sizeof *m.beats);
    m.heard = calloc((size_t)m.n, sizeof *m.heard);
    if (!m.hosts || !m.beats || !m.heard) return fail(err, GOSS_ENOMEM, "no memory for a ring");
    for (int r = 0; r < m.n; r++) m.beats[r] = MPI_REQUEST_NULL;
    return find_hosts() ? fail(err, GOSS_EIO, "the ranks can't reach each other") : 0;
}

static int begin_helper(goss_error *err)
{
    pthread_condattr_t clock;
    pthread_mutex_init(&m.lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&m.wake, &clock);
    for (int r = 0; r < m.n; r++) m.heard[r] = now_ms();
    return pthread_create(&m.helper, NULL, help, NULL) ? fail(err, GOSS_ENOMEM, "no thread for a ring") : 0;
}

__attribute__((visibility("default"))) int goss_ring_mpi(int version, goss_ring_module *out, goss_error *err);
int goss_ring_mpi(int version, goss_ring_module *out, goss_error *err)
{
    if (version != GOSS_RING_MODULE)
        return fail(err, GOSS_EUNSUPPORTED, "gossamer_mpi.so is of another version than the program");
    sigset_t all, before; /* signals are for the program's threads, not for MPI's or the helper */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    m.last = &m.first;
    m.incoming = MPI_REQUEST_NULL;
    int rc = begin_mpi(err);
    if (!rc) rc = begin_helper(err);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc) return rc;
    *out = (goss_ring_module){
        .ring = { .rank = m.rank, .n = m.n, .host = m.hosts[m.rank], .send = ring_send, .recv = ring_recv },
        .check = check,
        .ending = ending,
        .close = ring_close
    };
    return 0;
}
