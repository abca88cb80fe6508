/* split.c - shares out layers.
 *
 * A rank's time is taken as the bytes that a step of some sessions reads of its layers (the last one's head
 * too), over the rank's measured bandwidth: right where reading bounds, and where computing does, near
 * enough, for that goes with the same bytes. Some sessions and not one, because one alone passes all ranks in
 * turn, and its time is the same however they share. A share that does not fit the rank's memory counts as a
 * thousand times as slow. The best split is found exactly, from the last rank to the first: best[r][l] is the
 * time of the slowest of ranks r to n - 1 when they have layers [l, all). Among equals the earlier ranks take
 * fewer: rank 0 has the engine too. */
#include "split.h"
#include "base/error.h"
#include "base/fmt.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/rate.h"
#include <string.h>

/* ---- what a rank has ----------------------------------------------------------------------------------- */
enum { ROOM = 64 << 20, ROOM_MS = 30 };

void goss_split_host(goss_pipe_fact *f, const char *host)
{
    *f = (goss_pipe_fact){ .bytes_ms = 1e6 };
    goss_fmt(f->host, sizeof f->host, "%s", host ? host : "here");
    goss_os_memory(&f->memory);
}

void goss_split_facts(goss_pipe_fact *f, const char *host, int n_threads)
{
    goss_split_host(f, host);
    goss_pool *pool = NULL;
    void *room = goss_mem_reserve(ROOM);
    if (room && !goss_pool_open(&pool, n_threads)) {
        memset(room, 1, ROOM);
        const double rate = goss_memory_rate(pool, room, ROOM, (double)ROOM_MS);
        if (rate > 0) f->bytes_ms = rate;
        goss_pool_close(&pool);
    }
    if (room) goss_mem_release(room, ROOM);
}

/* ---- shares -------------------------------------------------------------------------------------------- */
goss_model goss_split_part(const goss_model *m, int from, int to)
{
    goss_model part = *m;
    part.layers = m->layers + from;
    part.hp.n_layer = to - from;
    part.weight_bytes = 0;
    for (int l = from; l < to; l++) {
        const goss_layer *y = &m->layers[l];
        part.weight_bytes += y->wq.n_bytes + y->wk.n_bytes + y->wv.n_bytes + y->wo.n_bytes + y->gate.n_bytes +
                             y->up.n_bytes + y->down.n_bytes + y->router.n_bytes;
    }
    if (to == m->hp.n_layer) part.weight_bytes += m->output.n_bytes;
    else part.output = (goss_tensor){ .type = -1 };
    if (from == 0) part.weight_bytes += m->tok_embd.n_bytes;
    else part.tok_embd = (goss_tensor){ .type = -1 };
    return part;
}

enum { CROWD = 8 }; /* sessions of a step */

/* Bytes that a step reads of layers [from, to), of the head too where they are the last. */
static double reads(const goss_model *m, int from, int to)
{
    const goss_model part = goss_split_part(m, from, to);
    return goss_model_rows_bytes(&part, CROWD);
}

/* Ranks of one machine share its memory, but a device's own. */
static int shares(const goss_pipe_fact *a, const goss_pipe_fact *b)
{
    return a == b || (!a->own && !b->own && !strcmp(a->host, b->host));
}

static double memory_of(const goss_pipe_fact *facts, int n, int rank)
{
    int sharers = 0;
    for (int i = 0; i < n; i++) sharers += shares(&facts[i], &facts[rank]);
    return (double)facts[rank].memory / sharers;
}

/* They have as many threads and read at once: what differs between them is noise. */
static double speed_of(const goss_pipe_fact *facts, int n, int rank)
{
    double sum = 0;
    int sharers = 0;
    for (int i = 0; i < n; i++) {
        if (!shares(&facts[i], &facts[rank])) continue;
        sum += facts[i].bytes_ms;
        sharers++;
    }
    return sum / sharers;
}

static double time_of(const goss_model *m, const goss_pipe_fact *facts, int n, int rank, int from, int to)
{
    const double ms = reads(m, from, to) / speed_of(facts, n, rank);
    return (double)goss_split_part(m, from, to).weight_bytes > memory_of(facts, n, rank) ? 1000 * ms : ms;
}

static int share_out(int32_t *first, const goss_model *m, const goss_pipe_fact *facts, int n)
{
    const int all = m->hp.n_layer, width = all + 1;
    double *best = goss_mem_array((size_t)(n * width), sizeof *best);
    int *take = goss_mem_array((size_t)(n * width), sizeof *take);
    const int rc = best && take ? 0 : GOSS_ENOMEM;
    for (int r = n - 1; r >= 0 && !rc; r--)
        for (int l = r; l <= all - (n - r); l++) {
            double *b = &best[r * width + l];
            *b = -1;
            for (int k = r == n - 1 ? all - l : 1; k <= all - l - (n - 1 - r); k++) {
                double ms = time_of(m, facts, n, r, l, l + k);
                if (r < n - 1 && best[(r + 1) * width + l + k] > ms) ms = best[(r + 1) * width + l + k];
                if (*b < 0 || ms < *b) {
                    *b = ms;
                    take[r * width + l] = k;
                }
            }
        }
    first[0] = 0;
    for (int r = 0; r < n && !rc; r++) first[r + 1] = first[r] + take[r * width + first[r]];
    goss_mem_free(best);
    goss_mem_free(take);
    return rc;
}

static int read_shares(int32_t *first, const char *asked, int n)
{
    int r = 0;
    first[0] = 0;
    for (const char *p = asked;; p++) {
        int k = 0;
        if (*p < '0' || *p > '9' || r == n) return -1;
        for (; *p >= '0' && *p <= '9' && k <= GOSS_MAX_LAYERS; p++) k = k * 10 + (*p - '0');
        if (k < 1) return -1;
        first[r + 1] = first[r] + k;
        r++;
        if (*p != ',') return *p || r < n ? -1 : 0;
    }
}

int goss_split_layers(int32_t *first, const goss_model *m, const goss_pipe_fact *facts, int n,
                      const char *asked, goss_error *err)
{
    if (n > GOSS_PIPE_RANKS || m->hp.n_layer < n)
        return goss_fail(err, GOSS_EINVAL, -1, "%d layers can't be shared out among %d ranks, %d at most",
                         m->hp.n_layer, n, m->hp.n_layer < GOSS_PIPE_RANKS ? m->hp.n_layer : GOSS_PIPE_RANKS);
    if (asked) {
        if (read_shares(first, asked, n) || first[n] != m->hp.n_layer)
            return goss_fail(err, GOSS_EINVAL, -1,
                             "the split \"%s\" is not one number for each of %d ranks, %d layers together",
                             asked, n, m->hp.n_layer);
        return 0;
    }
    if (share_out(first, m, facts, n))
        return goss_fail(err, GOSS_ENOMEM, -1, "no memory to share out layers");
    return 0;
}

void goss_split_say(char *text, size_t cap, const goss_model *m, const goss_pipe_fact *facts, int n,
                    const int32_t *first, int rank)
{
    const goss_model part = goss_split_part(m, first[rank], first[rank + 1]);
    goss_fmt(text, cap, "rank %d (%s, reads %.1f GB/s): layers %d to %d%s, %.1f MB", rank, facts[rank].host,
             speed_of(facts, n, rank) / 1e6, (int)first[rank], (int)first[rank + 1] - 1,
             rank == n - 1 ? " and the head" : "", (double)part.weight_bytes / 1e6);
}
