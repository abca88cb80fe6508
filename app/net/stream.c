/* stream.c - see stream.h. Two files, which become one:
 *
 *   NAME.part        as long as the model, with holes where nothing was fetched yet; renamed to NAME when it is whole
 *   NAME.part.have   head (below), then a bit for each chunk of 32 KB that is there, then a sum over both
 *
 * The bits are written beside and renamed, after the data is on the disk, every few seconds and at the end:
 * what they claim is there. They hold for the ETag in the head: when the server's is another, everything is
 * fetched anew. Without an ETag nothing that was left can be trusted. One program at a time (flock on the
 * part file).
 *
 * A chunk is missing, busy (a thread fetches it) or there; a request is a run of missing chunks. Threads take
 * what is needed first, and go on with the rest only while nobody waits or has just waited: needs come layer
 * by layer, and what was begun between two of them would be in the second one's way. For the same reason two
 * threads never do. */
#include "stream.h"
#include "http.h"
#include "source_curl.h"
#include "stream_plan.h"
#include "base/error.h"
#include "base/fmt.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/sha256.h"
#include "format/gguf_head.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 1 << 15, RUN = 64, THREADS = 8, REST_THREADS = 6, NEEDS = 512, SAVE_SECONDS = 5,
       TOUCHED = 1 << 14, CALM_MS = 80 };
typedef struct have_head { char magic[8]; uint64_t size, chunk; char etag[160]; } have_head;
static const char MAGIC[] = "GOSSHAV1"; /* without its NUL in the file */

struct goss_stream {
    char url[1024], path[1500], part[1510], bits[1520], etag[160], sha[65];
    int fd;
    uint64_t size, n_chunks;
    uint8_t *map, *have, *busy;      /* bits */
    goss_stream_options options;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t threads[THREADS]; int n_threads, n_rest, stopping; /* n_rest: fetch what nobody waits for */
    goss_range needs[NEEDS]; int n_needs;      /* what somebody waits for */
    goss_range *small; int n_small;            /* what every run reads; counted as touched from the start */
    goss_range *plan; int n_plan, at; uint64_t at_chunk; /* the rest, in order */
    uint64_t there, fetched, had, touched;     /* bytes; fetched: over the network */
    uint64_t *seen; int n_seen;      /* offsets + 1 of ranges that were touched, by hash */
    double wait_ms, saved_at, calm_at;   /* calm_at: from then on the rest is fetched */
    uint64_t saved;                  /* `there` when the bits were saved */
    int failed; goss_error why;
    int model, whole, finished;      /* model: its head says so; -1: it is none */
};

/* ---- bits ---------------------------------------------------------------------------------------------- */
static int get_bit(const uint8_t *bits, uint64_t i) { return bits[i >> 3] >> (i & 7) & 1; }
static void set_bit(uint8_t *bits, uint64_t i) { bits[i >> 3] |= (uint8_t)(1 << (i & 7)); }
static void clear_bit(uint8_t *bits, uint64_t i) { bits[i >> 3] &= (uint8_t)~(1 << (i & 7)); }
static uint64_t chunk_bytes(const goss_stream *s, uint64_t c)
{
    return c + 1 < s->n_chunks ? CHUNK : s->size - c * CHUNK;
}
static size_t n_bit_bytes(const goss_stream *s) { return (size_t)(s->n_chunks + 7) / 8; }

static uint64_t sum_of(const have_head *h, const uint8_t *bits, size_t n)
{
    uint64_t sum = 14695981039346656037u;
    for (size_t i = 0; i < sizeof *h; i++) sum = (sum ^ ((const uint8_t *)h)[i]) * 1099511628211u;
    for (size_t i = 0; i < n; i++) sum = (sum ^ bits[i]) * 1099511628211u;
    return sum;
}

static int write_all(int fd, const void *bytes, size_t n, uint64_t at)
{
    for (size_t done = 0; done < n;) {
        const ssize_t k = pwrite(fd, (const uint8_t *)bytes + done, n - done, (off_t)(at + done));
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return 1;
        done += (size_t)k;
    }
    return 0;
}

/* Without the lock; `bits` is a copy. Failing to note it only costs fetching it again. */
static void save_bits(const goss_stream *s, const uint8_t *bits)
{
    char name[1530];
    have_head h = { .size = s->size, .chunk = CHUNK };
    memcpy(h.magic, MAGIC, sizeof h.magic);
    memcpy(h.etag, s->etag, sizeof h.etag);
    const size_t n = n_bit_bytes(s);
    const uint64_t sum = sum_of(&h, bits, n);
    goss_fmt(name, sizeof name, "%s.new", s->bits);
    if (fdatasync(s->fd)) return;
    const int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return;
    const int bad = write_all(fd, &h, sizeof h, 0) || write_all(fd, bits, n, sizeof h) ||
                    write_all(fd, &sum, 8, sizeof h + n);
    if (close(fd) || bad || rename(name, s->bits)) unlink(name);
}

/* Takes over what an earlier run left, if it is of this file. */
static void load_bits(goss_stream *s)
{
    have_head h;
    uint64_t sum;
    const size_t n = n_bit_bytes(s);
    const int fd = s->etag[0] ? open(s->bits, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return;
    const int ok = pread(fd, &h, sizeof h, 0) == (ssize_t)sizeof h &&
                   pread(fd, s->have, n, sizeof h) == (ssize_t)n &&
                   pread(fd, &sum, 8, (off_t)(sizeof h + n)) == 8 && sum == sum_of(&h, s->have, n) &&
                   !memcmp(h.magic, MAGIC, sizeof h.magic) && h.size == s->size && h.chunk == CHUNK &&
                   !strcmp(h.etag, s->etag);
    close(fd);
    if (!ok) memset(s->have, 0, n);
    for (uint64_t c = 0; c < s->n_chunks; c++)
        if (get_bit(s->have, c)) s->there += chunk_bytes(s, c);
    s->had = s->there;
}

/* ---- fetching ------------------------------------------------------------------------------------------ */
typedef struct fetch {
    goss_stream *s;
    const goss_http_answer *answer;
    uint64_t from, n, got, marked;
    int rest; /* nobody waits for it */
} fetch;

/* Chunks of a fetch that are complete become visible. */
static void mark(fetch *f, int over)
{
    goss_stream *s = f->s;
    pthread_mutex_lock(&s->lock);
    for (; f->marked < f->n; f->marked++) {
        const uint64_t c = f->from + f->marked;
        const int complete = f->got >= f->marked * CHUNK + chunk_bytes(s, c);
        if (!complete && !over) break;
        clear_bit(s->busy, c);
        if (!complete || get_bit(s->have, c)) continue;
        set_bit(s->have, c);
        s->there += chunk_bytes(s, c);
    }
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

static int has_changed(const goss_stream *s, const goss_http_answer *a)
{
    return a->status == 206 && (a->total != s->size || strcmp(a->etag, s->etag) != 0);
}

static int take(void *ctx, const void *bytes, size_t n)
{
    fetch *f = ctx;
    if (has_changed(f->s, f->answer)) return 1; /* before any of it is written */
    const uint64_t want = (f->n - 1) * CHUNK + chunk_bytes(f->s, f->from + f->n - 1);
    if (f->s->stopping) return 1;
    if (write_all(f->s->fd, bytes, n, f->from * CHUNK + f->got)) return 1;
    const uint64_t before = f->got / CHUNK;
    f->got += n;
    if (f->got / CHUNK > before || f->got == want) mark(f, 0);
    return 0;
}

/* One request. 0, or an error that may pass (a->retry) or not. */
static int fetch_once(goss_stream *s, goss_http *http, fetch *f, goss_http_answer *a, goss_error *err)
{
    const uint64_t last = f->from + f->n - 1, from = f->from * CHUNK,
                   to = last * CHUNK + chunk_bytes(s, last) - 1;
    f->answer = a;
    f->got = f->marked = 0;
    errno = 0;
    int rc = goss_http_get(http, s->url, from, to, NULL, 0, take, f, a, err);
    if (rc == GOSS_ECANCELED && !s->stopping)
        rc = goss_fail(err, errno == EIO ? GOSS_EIO : GOSS_EFULL, -1, "%s could not be written: %s.", s->part,
                       strerror(errno));
    if (has_changed(s, a)) {
        a->retry = 0;
        return goss_fail(err, GOSS_EIO, -1, "%s changed on the server while it was being read: start again.",
                         s->url);
    }
    return rc;
}

static int missing(const goss_stream *s, uint64_t c) { return !get_bit(s->have, c) && !get_bit(s->busy, c); }

/* A run of missing chunks that begins within [from, to). 0: none. */
static uint64_t run_in(const goss_stream *s, uint64_t *from, uint64_t to)
{
    uint64_t n = 0;
    while (*from < to && !missing(s, *from)) ++*from;
    while (*from + n < to && n < RUN && missing(s, *from + n)) n++;
    return n;
}

static uint64_t first_of(const goss_range *r) { return r->offset / CHUNK; }
static uint64_t end_of(const goss_range *r) { return (r->offset + r->n + CHUNK - 1) / CHUNK; }

/* What to fetch next, with the lock. 0: nothing now. */
static int next_fetch(goss_stream *s, fetch *f)
{
    *f = (fetch){ .s = s };
    if (s->n_plan && s->at >= s->n_plan && s->there < s->size) { /* what failed before */
        s->at = s->options.some ? 0 : s->n_plan - 1;
        s->at_chunk = 0;
    }
    for (int i = 0; i < s->n_needs && !f->n; i++) {
        f->from = first_of(&s->needs[i]);
        f->n = run_in(s, &f->from, end_of(&s->needs[i]));
    }
    while (!f->n && !s->n_needs && s->n_rest < REST_THREADS && s->at < s->n_plan &&
           goss_os_now_ms() >= s->calm_at) {
        f->rest = 1;
        const goss_range *r = &s->plan[s->at];
        if (s->at_chunk < first_of(r)) s->at_chunk = first_of(r);
        f->from = s->at_chunk;
        f->n = run_in(s, &f->from, end_of(r));
        s->at_chunk = f->from + f->n;
        if (!f->n) { s->at++; s->at_chunk = 0; }
    }
    for (uint64_t i = 0; i < f->n; i++) set_bit(s->busy, f->from + i);
    s->n_rest += f->n && f->rest;
    return f->n > 0;
}

static void save_now_and_then(goss_stream *s, int always)
{
    const double now = goss_os_now_ms();
    uint8_t *copy;
    pthread_mutex_lock(&s->lock);
    const int due = s->there != s->saved && (always || now - s->saved_at > 1000.0 * (int)SAVE_SECONDS);
    copy = due ? goss_mem_alloc(n_bit_bytes(s)) : NULL;
    if (copy) {
        memcpy(copy, s->have, n_bit_bytes(s));
        s->saved = s->there;
        s->saved_at = now;
    }
    pthread_mutex_unlock(&s->lock);
    if (copy) save_bits(s, copy);
    goss_mem_free(copy);
}

/* With the lock: until something changes, at most so long. */
static void wait_ms(goss_stream *s, int ms)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += (long)(ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) { t.tv_sec++; t.tv_nsec -= 1000000000; }
    if (!s->stopping) pthread_cond_timedwait(&s->changed, &s->lock, &t);
}

static void pause_ms(goss_stream *s, int ms)
{
    const double until = goss_os_now_ms() + ms;
    pthread_mutex_lock(&s->lock);
    for (double left = ms; left > 0 && !s->stopping && !s->failed; left = until - goss_os_now_ms())
        wait_ms(s, (int)left + 1);
    pthread_mutex_unlock(&s->lock);
}

static void fail(goss_stream *s, const goss_error *err)
{
    pthread_mutex_lock(&s->lock);
    if (!s->failed && !s->stopping) {
        s->failed = err->code ? err->code : GOSS_EIO;
        s->why = *err;
    }
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

/* Counts what came; returns how much is there, of whichever fetch. */
static uint64_t count(goss_stream *s, uint64_t got)
{
    pthread_mutex_lock(&s->lock);
    s->fetched += got;
    const uint64_t there = s->there;
    pthread_mutex_unlock(&s->lock);
    return there;
}

/* A fetch with its repetitions: they end when nothing comes to any thread. What is left of a fetch that moves
 * is asked for again. */
static void run_fetch(goss_stream *s, goss_http *http, fetch *f)
{
    goss_error err = { 0 };
    goss_http_answer a = { 0 };
    const uint64_t before = count(s, 0);
    for (int attempt = 1; !s->stopping; attempt++) {
        const int rc = fetch_once(s, http, f, &a, &err);
        mark(f, 1);
        const uint64_t there = count(s, f->got);
        if (rc == 0 || (a.retry && f->got >= GOSS_HTTP_MOVED)) return;
        if (!a.retry || (attempt >= GOSS_HTTP_TRIES && there == before)) {
            fail(s, &err);
            return;
        }
        pause_ms(s, goss_http_pause_ms(attempt));
    }
    mark(f, 1);
}

static void *work(void *ctx)
{
    goss_stream *s = ctx;
    goss_http *http = NULL;
    goss_error err;
    if (goss_http_open(&http, &err)) return NULL;
    for (;;) {
        fetch f;
        pthread_mutex_lock(&s->lock);
        while (!s->stopping && (s->failed || !next_fetch(s, &f))) {
            const double calm = s->calm_at - goss_os_now_ms();
            if (calm > 0 && !s->failed) wait_ms(s, (int)calm + 1);
            else pthread_cond_wait(&s->changed, &s->lock);
        }
        const int stop = s->stopping;
        pthread_mutex_unlock(&s->lock);
        if (stop) break;
        run_fetch(s, http, &f);
        pthread_mutex_lock(&s->lock);
        s->n_rest -= f.rest;
        pthread_cond_broadcast(&s->changed);
        pthread_mutex_unlock(&s->lock);
        save_now_and_then(s, 0);
    }
    goss_http_close(&http);
    return NULL;
}

/* ---- needing ------------------------------------------------------------------------------------------- */
static int is_there(const goss_stream *s, const goss_range *r)
{
    for (uint64_t c = first_of(r), end = end_of(r); c < end; c++)
        if (!get_bit(s->have, c)) return 0;
    return 1;
}

/* Ranges are always named alike: their first bytes tell them apart. */
static void count_touch(goss_stream *s, const goss_range *r)
{
    uint64_t h = (r->offset * 0x9E3779B97F4A7C15u) >> 50;
    for (int i = 0; i < s->n_small; i++)
        if (r->offset >= s->small[i].offset && r->offset + r->n <= s->small[i].offset + s->small[i].n) return;
    for (; s->seen[h % TOUCHED]; h++)
        if (s->seen[h % TOUCHED] == r->offset + 1) return;
    if (s->n_seen >= TOUCHED / 2) return;
    s->seen[h % TOUCHED] = r->offset + 1;
    s->n_seen++;
    s->touched += r->n;
}

static int wait_for(goss_stream *s, const goss_range *r, int n)
{
    s->n_needs = 0;
    for (int i = 0; i < n; i++)
        if (!is_there(s, &r[i])) s->needs[s->n_needs++] = r[i];
    if (!s->n_needs) return 0;
    const double t0 = goss_os_now_ms();
    pthread_cond_broadcast(&s->changed);
    while (!s->failed) {
        int there = 1;
        for (int i = 0; i < n && there; i++) there = is_there(s, &r[i]);
        if (there) break;
        pthread_cond_wait(&s->changed, &s->lock);
        if (s->options.on_wait) s->options.on_wait(s->options.ctx, s->there, s->size, GOSS_STREAM_FETCHES);
    }
    s->n_needs = 0;
    s->calm_at = goss_os_now_ms() + (double)CALM_MS;
    s->wait_ms += goss_os_now_ms() - t0;
    pthread_cond_broadcast(&s->changed);
    if (s->options.on_wait) s->options.on_wait(s->options.ctx, s->there, s->size, GOSS_STREAM_GOES_ON);
    return s->failed;
}

static int need(void *ctx, const goss_range *ranges, int n)
{
    goss_stream *s = ctx;
    int rc = 0;
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < n; i++)
        if (ranges[i].offset + ranges[i].n > s->size) rc = GOSS_EINVAL;
        else count_touch(s, &ranges[i]);
    for (int i = 0; i < n && !rc; i += NEEDS) rc = wait_for(s, ranges + i, n - i < NEEDS ? n - i : NEEDS);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

static int have(void *ctx, const goss_range *ranges, int n)
{
    goss_stream *s = ctx;
    int there = 1;
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < n && there; i++)
        there = ranges[i].offset + ranges[i].n <= s->size && is_there(s, &ranges[i]);
    pthread_mutex_unlock(&s->lock);
    return there;
}

static void only(void *ctx, const goss_range *ranges, int n)
{
    goss_stream *s = ctx;
    goss_range *plan = goss_mem_array((size_t)n + 1, sizeof *plan);
    if (!plan) return; /* the rest comes when it is needed */
    memcpy(plan, ranges, (size_t)n * sizeof *plan);
    pthread_mutex_lock(&s->lock);
    goss_mem_free(s->plan);
    s->plan = plan;
    s->n_plan = n;
    s->at = 0;
    s->at_chunk = 0;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

/* ---- opening ------------------------------------------------------------------------------------------- */
int goss_stream_folder(char *out, size_t cap)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache && *cache) return goss_fmt(out, cap, "%s/gossamer/models", cache) >= cap;
    return !home || !*home || goss_fmt(out, cap, "%s/.cache/gossamer/models", home) >= cap;
}

/* Those that `path`, a file's, lies in. */
static int make_folders(const char *path)
{
    char part[1500];
    for (size_t i = 1; path[i]; i++)
        if (path[i] == '/') {
            goss_fmt(part, sizeof part, "%.*s", (int)i, path);
            if (mkdir(part, 0777) && errno != EEXIST) return errno;
        }
    return 0;
}

void goss_stream_name(const char *url, char *out, size_t cap)
{
    char digits[65];
    uint8_t hash[32];
    goss_sha256 h;
    const char *end = url + strcspn(url, "?#"), *from = end;
    while (from > url && from[-1] != '/') from--;
    int n = (int)(end - from < 80 ? end - from : 80);
    if (n > 5 && !strncmp(from + n - 5, ".gguf", 5)) n -= 5;
    goss_sha256_init(&h);
    goss_sha256_update(&h, url, strlen(url));
    goss_sha256_final(&h, hash);
    goss_sha256_hex(hash, digits);
    goss_fmt(out, cap, "%.*s-%.12s.gguf", n, from, digits);
}

static int name_files(goss_stream *s, goss_error *err)
{
    char folder[1000], file[100];
    if (s->options.folder) goss_fmt(folder, sizeof folder, "%s", s->options.folder);
    else if (goss_stream_folder(folder, sizeof folder))
        return goss_fail(err, GOSS_ENOENT, -1,
                         "There is no folder for models: set HOME, or say --model-cache.");
    goss_stream_name(s->url, file, sizeof file);
    goss_fmt(s->path, sizeof s->path, "%s/%s", folder, s->options.file ? s->options.file : file);
    goss_fmt(s->part, sizeof s->part, "%s.part", s->path);
    goss_fmt(s->bits, sizeof s->bits, "%s.have", s->part);
    const int no = make_folders(s->path);
    return no ? goss_fail(err, GOSS_EIO, -1, "The folder %s cannot be made: %s.", folder, strerror(no)) : 0;
}

static int open_file(goss_stream *s, goss_error *err)
{
    struct statvfs fs;
    struct stat held, named;
    s->fd = open(s->part, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (s->fd < 0) return goss_fail(err, GOSS_EIO, -1, "%s cannot be written: %s.", s->part, strerror(errno));
    /* whoever held it may have given it its name since: then this is the finished file */
    if (flock(s->fd, LOCK_EX | LOCK_NB) || fstat(s->fd, &held) || stat(s->part, &named) ||
        held.st_ino != named.st_ino)
        return goss_fail(err, GOSS_ESTATE, -1, "%s is being filled by another program: wait for it.",
                         s->part);
    s->n_chunks = (s->size + CHUNK - 1) / CHUNK;
    s->have = goss_mem_alloc(n_bit_bytes(s));
    s->busy = goss_mem_alloc(n_bit_bytes(s));
    s->seen = goss_mem_array(TOUCHED, sizeof *s->seen);
    if (!s->have || !s->busy || !s->seen)
        return goss_fail(err, GOSS_ENOMEM, -1, "There is no memory to open %s.", s->url);
    load_bits(s);
    if (!s->had && ftruncate(s->fd, 0)) return goss_fail(err, GOSS_EIO, -1, "%s cannot be cut: %s.", s->part,
        strerror(errno));
    if (fstatvfs(s->fd, &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize < s->size - s->there)
        return goss_fail(err, GOSS_EFULL, -1, "The disk has room for %llu bytes and %s needs %llu more.",
                         (unsigned long long)((uint64_t)fs.f_bavail * fs.f_frsize), s->part,
                         (unsigned long long)(s->size - s->there));
    if (ftruncate(s->fd, (off_t)s->size))
        return goss_fail(err, GOSS_EIO, -1, "%s cannot be made %llu bytes long: %s.", s->part,
            (unsigned long long)s->size,
                         strerror(errno));
    s->map = mmap(NULL, (size_t)s->size, PROT_READ, MAP_SHARED, s->fd, 0);
    if (s->map == MAP_FAILED) {
        s->map = NULL;
        return goss_fail(err, GOSS_ENOMEM, -1, "%s cannot be mapped: %s.", s->part, strerror(errno));
    }
    return 0;
}

static int probe(goss_stream *s, goss_error *err)
{
    goss_input in;
    const int rc = goss_input_open_url(&in, s->url, err);
    if (rc) return rc;
    s->size = in.size;
    goss_fmt(s->etag, sizeof s->etag, "%s", goss_input_etag(&in));
    goss_fmt(s->sha, sizeof s->sha, "%s", goss_input_sha(&in));
    goss_input_close(&in);
    return 0;
}

static int start_threads(goss_stream *s, goss_error *err)
{
    for (; s->n_threads < THREADS; s->n_threads++)
        if (pthread_create(&s->threads[s->n_threads], NULL, work, s))
            return goss_fail(err, GOSS_ENOMEM, -1, "No thread could be started to fetch %s.", s->url);
    return 0;
}

/* The header, as far as its parser asks, then what every run reads; the order of the rest. */
static int first_bytes(goss_stream *s, goss_error *err)
{
    goss_gguf g = { 0 };
    goss_gguf_head h;
    int rc;
    goss_gguf_head_begin(&h, s->map, 0, s->size);
    while ((rc = goss_gguf_head_parse(&h, &g, err)) == GOSS_EAGAIN) {
        const goss_range head = { 0, h.want };
        rc = need(s, &head, 1);
        if (rc) { if (err) *err = s->why; return rc; }
        s->touched = 0;
        memset(s->seen, 0, TOUCHED * sizeof *s->seen);
        h.n = h.want;
    }
    s->model = rc ? -1 : 1;
    if (rc) {
        const goss_error inner = err ? *err : (goss_error){ 0 };
        goss_gguf_free(&g);
        return goss_fail(err, rc, inner.position, "%.100s: %s", s->url, inner.text);
    }
    goss_range *small = NULL;
    int n_small = 0;
    pthread_mutex_lock(&s->lock);
    rc = goss_stream_plan(&g, s->size, &small, &n_small, &s->plan, &s->n_plan);
    if (s->options.some) s->n_plan = 0;
    pthread_mutex_unlock(&s->lock);
    goss_gguf_free(&g);
    if (rc) return goss_fail(err, rc, -1, "There is no memory to plan the reading of %s.", s->url);
    rc = need(s, small, n_small);
    s->small = small;
    s->n_small = n_small;
    if (rc && err) *err = s->why;
    return rc;
}

int goss_stream_open(goss_stream **out, const char *url, const goss_stream_options *options, char *path,
                     size_t cap, goss_error *err)
{
    struct stat st;
    *out = NULL;
    goss_stream *s = goss_mem_alloc(sizeof *s);
    if (!s) return goss_fail(err, GOSS_ENOMEM, -1, "There is no memory to open %s.", url);
    s->fd = -1;
    if (options) s->options = *options;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    int rc = goss_fmt(s->url, sizeof s->url, "%s", url) >= sizeof s->url
                 ? goss_fail(err, GOSS_ELIMIT, -1, "The address is longer than %d characters.",
                     (int)sizeof s->url - 1)
                 : name_files(s, err);
    if (!rc) goss_fmt(path, cap, "%s", s->path);
    if (!rc && !s->options.anew && stat(s->path, &st) == 0) {
        goss_stream_close(&s);
        return 0;
    }
    if (!rc) rc = probe(s, err);
    if (!rc) rc = open_file(s, err);
    if (!rc) rc = start_threads(s, err);
    if (!rc) rc = first_bytes(s, err);
    if (rc) goss_stream_close(&s);
    *out = s;
    return rc;
}

goss_source goss_stream_source(goss_stream *s)
{
    return (goss_source){ .ctx = s, .name = s->url, .size = s->size, .map = s->map, .need = need,
        .have = have, .only = s->options.some ? only : NULL };
}

void goss_stream_get_stats(goss_stream *s, goss_stream_stats *out)
{
    pthread_mutex_lock(&s->lock);
    *out = (goss_stream_stats){ s->size, s->fetched, s->had, s->touched, s->wait_ms };
    pthread_mutex_unlock(&s->lock);
}

const char *goss_stream_error(goss_stream *s) { return s->failed ? s->why.text : ""; }

/* ---- the end ------------------------------------------------------------------------------------------- */
static int is_there_all(const goss_stream *s) { return s->model > 0 && s->there == s->size; }

/* SHA-256 of the whole, in hex. */
static void hash_all(goss_stream *s, char digits[65])
{
    const uint64_t step = 1 << 22;
    uint8_t digest[32];
    goss_sha256 h;
    goss_sha256_init(&h);
    for (uint64_t at = 0; at < s->size; at += step) {
        if (s->options.on_wait) s->options.on_wait(s->options.ctx, at, s->size, GOSS_STREAM_CHECKS);
        goss_sha256_update(&h, s->map + at, (size_t)(s->size - at < step ? s->size - at : step));
    }
    if (s->options.on_wait) s->options.on_wait(s->options.ctx, s->size, s->size, GOSS_STREAM_GOES_ON);
    goss_sha256_final(&h, digest);
    goss_sha256_hex(digest, digits);
}

static void note_sum(const goss_stream *s)
{
    char name[1530], line[1600];
    const char *slash = strrchr(s->path, '/');
    goss_fmt(name, sizeof name, "%s.sha256", s->path);
    const size_t n = goss_fmt(line, sizeof line, "%.64s  %s\n", s->sha, slash + 1);
    const int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return; /* it only costs hashing the file again */
    if (write_all(fd, line, n, 0)) unlink(name);
    close(fd);
}

/* The host's word for the bytes against what came. */
static int check_sum(goss_stream *s)
{
    char digits[65];
    if (!s->sha[0]) return 0;
    hash_all(s, digits);
    if (!strcasecmp(digits, s->sha)) return 0;
    s->model = -1;
    s->failed = goss_fail(&s->why, GOSS_EFORMAT, -1,
                          "%.100s came with the SHA-256 %.16s..., not %.16s... as its host says: it was removed.",
                          s->url, digits, s->sha);
    return s->failed;
}

static void stop_threads(goss_stream *s)
{
    pthread_mutex_lock(&s->lock);
    s->stopping = 1;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    for (int i = 0; i < s->n_threads; i++) pthread_join(s->threads[i], NULL);
    s->n_threads = 0;
}

/* It gets its name. An older file's sum must not stand beside it for a moment. */
static int take_name(goss_stream *s)
{
    char sum[1530];
    goss_fmt(sum, sizeof sum, "%s.sha256", s->path);
    unlink(sum);
    if (fsync(s->fd) || rename(s->part, s->path))
        return s->failed = goss_fail(&s->why, GOSS_EIO, -1, "%s cannot get its name: %s.", s->part,
                                     strerror(errno));
    unlink(s->bits);
    s->whole = 1;
    if (s->sha[0]) note_sum(s);
    return 0;
}

int goss_stream_finish(goss_stream *s, goss_error *err)
{
    if (s->finished) return s->failed;
    s->finished = 1;
    stop_threads(s);
    if (!s->map) return s->failed;
    if (is_there_all(s) && !check_sum(s)) take_name(s);
    if (s->model < 0) { /* what is no model is not kept */
        unlink(s->bits);
        unlink(s->part);
    } else if (!s->whole) save_now_and_then(s, 1);
    if (s->failed && err) *err = s->why;
    return s->failed;
}

int goss_stream_whole(goss_stream *s, goss_error *err)
{
    pthread_mutex_lock(&s->lock);
    while (!s->failed && s->there < s->size) {
        pthread_cond_wait(&s->changed, &s->lock);
        if (s->options.on_wait) s->options.on_wait(s->options.ctx, s->there, s->size, GOSS_STREAM_FETCHES);
    }
    pthread_mutex_unlock(&s->lock);
    return goss_stream_finish(s, err);
}

void goss_stream_close(goss_stream **stream)
{
    goss_stream *s = *stream;
    *stream = NULL;
    if (!s) return;
    goss_stream_finish(s, NULL);
    if (s->map) munmap(s->map, (size_t)s->size);
    if (s->fd >= 0) close(s->fd);
    goss_mem_free(s->have);
    goss_mem_free(s->busy);
    goss_mem_free(s->seen);
    goss_mem_free(s->plan);
    goss_mem_free(s->small);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->changed);
    goss_mem_free(s);
}
