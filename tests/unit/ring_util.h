/* ring_util.h - a ring of threads, one a rank, for the engine's tests: what is sent arrives at the next one's
 * recv; the test says what goes wrong, and which backend each rank has. */
#ifndef RING_UTIL_H
#define RING_UTIL_H
#include "engine_util.h"
#include "pipeline/message.h"
#include <pthread.h>

enum { MOST = 16, WAITS = 256 };

typedef struct wire {
    void *bytes[WAITS];
    size_t n[WAITS];
    int first, count;
} wire; /* into a rank */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    wire wires[MOST];
    int n, lost; /* the rank that is lost, 0: none */
    goss_ring rings[MOST];
    void *held[MOST]; /* what recv gave last */
    pthread_t threads[MOST];
    const char *backends[MOST]; /* by rank; NULL: the CPU */
    char said[2000];
    int spoil; /* the byte of the next step's body that is changed; 0: none */
} r = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static inline int lost(goss_error *err)
{
    if (err) *err = (goss_error){ .code = GOSS_ELOST, .position = -1 };
    if (err) snprintf(err->text, sizeof err->text, "rank %d is lost", r.lost);
    return GOSS_ELOST;
}

static inline int ring_send(void *ctx, const void *bytes, size_t n, goss_error *err)
{
    const goss_ring *from = ctx;
    wire *w = &r.wires[(from->rank + 1) % r.n];
    int rc = 0;
    pthread_mutex_lock(&r.lock);
    if (r.lost) rc = lost(err);
    else {
        CHECK(w->count < WAITS);
        const int at = (w->first + w->count++) % WAITS;
        w->bytes[at] = malloc(n);
        w->n[at] = n;
        memcpy(w->bytes[at], bytes, n);
        goss_pipe_head *h = w->bytes[at];
        if (r.spoil && h->kind == GOSS_PIPE_STEP && !from->rank) {
            ((uint8_t *)(h + 1))[r.spoil] ^= 0x55;
            r.spoil = 0;
        }
    }
    pthread_cond_broadcast(&r.changed);
    pthread_mutex_unlock(&r.lock);
    return rc;
}

static inline int ring_recv(void *ctx, const void **bytes, size_t *n, int timeout_ms, goss_error *err)
{
    const goss_ring *to = ctx;
    wire *w = &r.wires[to->rank];
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += timeout_ms % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    int rc = 0;
    pthread_mutex_lock(&r.lock);
    while (!w->count && !r.lost && !rc)
        rc = timeout_ms < 0 ? pthread_cond_wait(&r.changed, &r.lock)
                            : pthread_cond_timedwait(&r.changed, &r.lock, &until);
    rc = r.lost ? lost(err) : w->count ? 0 : GOSS_EAGAIN;
    if (!rc) {
        free(r.held[to->rank]);
        *bytes = r.held[to->rank] = w->bytes[w->first];
        *n = w->n[w->first];
        w->first = (w->first + 1) % WAITS;
        w->count--;
    }
    pthread_mutex_unlock(&r.lock);
    return rc;
}

static inline void say(void *ctx, const char *sentence)
{
    (void)ctx;
    strncat(r.said, sentence, sizeof r.said - strlen(r.said) - 2);
    strcat(r.said, "\n");
}

static inline void *work(void *ctx)
{
    const goss_ring *ring = ctx;
    const goss_engine_config c = { .n_threads = 1,
                                   .backend = r.backends[ring->rank],
                                   .webgpu_path = getenv("GOSSAMER_WEBGPU"),
                                   .ring = ring };
    goss_error err = { 0 };
    const int rc = goss_ring_work(&c, &err);
    if (rc != 0 && rc != GOSS_ELOST) printf("rank %d: %s\n", c.ring->rank, err.text);
    return NULL;
}

/* n ranks; the engine of rank 0's configuration. */
static inline goss_engine_config begin(int n, const char *model, const char *split)
{
    r.n = n;
    r.lost = r.spoil = 0;
    r.said[0] = 0;
    for (int i = 0; i < n; i++)
        r.rings[i] = (goss_ring){ .ctx = &r.rings[i],
                                  .rank = i,
                                  .n = n,
                                  .host = "here",
                                  .send = ring_send,
                                  .recv = ring_recv,
                                  .say = say };
    for (int i = 1; i < n; i++) CHECK_INT(pthread_create(&r.threads[i], NULL, work, &r.rings[i]), 0);
    return (goss_engine_config){ .model_path = model,
                                 .backend = r.backends[0] ? r.backends[0] : "cpu",
                                 .webgpu_path = getenv("GOSSAMER_WEBGPU"),
                                 .n_threads = 1,
                                 .max_kv = 2048,
                                 .max_sessions = 16,
                                 .ring = n > 1 ? &r.rings[0] : NULL,
                                 .ring_split = split };
}

static inline void end(void)
{
    if (!r.lost) CHECK_INT(goss_ring_end(&r.rings[0], NULL), 0);
    for (int i = 1; i < r.n; i++) pthread_join(r.threads[i], NULL);
    for (int i = 0; i < r.n; i++) {
        wire *w = &r.wires[i];
        for (; w->count; w->count--, w->first = (w->first + 1) % WAITS) free(w->bytes[w->first]);
        free(r.held[i]);
        r.held[i] = NULL;
    }
}

static inline int try_open(goss_engine **e, const goss_engine_config *c, goss_error *err)
{
    int rc = goss_engine_open(e, c, err);
    while (rc >= 0 && goss_engine_state(*e) == GOSS_ENGINE_LOADING) rc = goss_engine_poll(*e, 100, err);
    return rc < 0 ? rc : 0;
}

static inline goss_engine *open_engine(const goss_engine_config *c)
{
    goss_engine *e = NULL;
    goss_error err = { 0 };
    if (try_open(&e, c, &err)) {
        printf("open: %s\n", err.text);
        exit(1);
    }
    return e;
}
#endif
