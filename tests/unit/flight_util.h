/* flight_util.h - a backend around another that loses its device, or keeps several steps in flight: a
 * submitted step is run when it is polled, in order, as a device does; GOSS_TOKEN_SAMPLED rows take the
 * slot's last sample. */
#ifndef GOSS_FLIGHT_UTIL_H
#define GOSS_FLIGHT_UTIL_H
#include "engine_util.h"
#include "base/error.h"
#include "engine/engine_state.h"
#include "engine/scheduler.h"

enum { W_DEEP = GOSS_FLIGHTS, W_ROWS = 512, W_SEQS = 32, W_PAGES = 1024 / GOSS_KV_PAGE };
typedef struct wrapper {
    goss_backend base;
    const goss_backend_vt *real_vt;
    goss_backend *real;
    int lose_at, n_submits, lost, first, n_queued;
    goss_row rows[W_DEEP][W_ROWS]; goss_seq seqs[W_DEEP][W_SEQS]; int n_rows[W_DEEP], n_seqs[W_DEEP];
    int32_t last[W_SEQS];
    goss_kv kv[W_DEEP][W_SEQS]; uint32_t *mask[W_DEEP][W_SEQS];
    int32_t page[W_DEEP][W_SEQS][2][W_PAGES]; /* as the sequences were when the step was submitted */
    /* to be made before the step */
    struct { int cls, from, to; } copies[W_DEEP][32]; int n_copies[W_DEEP];
} wrapper;
static wrapper w;
static goss_backend_vt wrapped;

static uint32_t w_random(uint32_t n)
{
    static uint64_t state = 42;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % n;
}

/* The engine may write another mask where this one is. */
static void w_keep_mask(int at, int i)
{
    const size_t n = ((size_t)w.real->model->hp.n_vocab + 31) / 32 * 4;
    if (!w.seqs[at][i].mask) return;
    if (!w.mask[at][i]) w.mask[at][i] = malloc(n);
    memcpy(w.mask[at][i], w.seqs[at][i].mask, n);
    w.seqs[at][i].mask = w.mask[at][i];
}

static int w_none(goss_backend *b, goss_step *s) { (void)b; (void)s; return 0; }
static int w_none_layer(goss_backend *b, goss_step *s, int l) { (void)b; (void)s; (void)l; return 0; }
static int w_begin(goss_backend *b, goss_step *s, goss_error *err) { (void)b; (void)s; (void)err; return 0; }

static int w_submit(goss_backend *b, goss_step *s, goss_error *err)
{
    (void)b;
    if (w.lose_at && ++w.n_submits == w.lose_at) {
        w.lost++;
        return goss_fail(err, GOSS_ELOST, -1, "the device was lost");
    }
    const int at = (w.first + w.n_queued++) % W_DEEP;
    CHECK(w.n_queued <= W_DEEP && s->n_rows <= W_ROWS && s->n_seqs <= W_SEQS);
    memcpy(w.rows[at], s->rows, (size_t)s->n_rows * sizeof *s->rows);
    memcpy(w.seqs[at], s->seqs, (size_t)s->n_seqs * sizeof *s->seqs);
    w.n_rows[at] = s->n_rows;
    w.n_seqs[at] = s->n_seqs;
    for (int i = 0; i < s->n_seqs; i++) {
        const size_t n_pages = (size_t)(s->seqs[i].kv->cap + GOSS_KV_PAGE - 1) / GOSS_KV_PAGE;
        w.kv[at][i] = *s->seqs[i].kv;
        for (int c = 0; c < 2; c++) {
            memcpy(w.page[at][i][c], s->seqs[i].kv->page[c], n_pages * sizeof(int32_t));
            w.kv[at][i].page[c] = w.page[at][i][c];
        }
        w.seqs[at][i].kv = &w.kv[at][i];
        w_keep_mask(at, i);
    }
    return 0;
}

static int w_poll(goss_backend *b, goss_step *s, int timeout, goss_pick *picks, goss_error *err)
{
    (void)b; (void)s;
    if (timeout == 0 && w_random(2)) return GOSS_EAGAIN;
    const int at = w.first, n = w.n_rows[at];
    w.first = (w.first + 1) % W_DEEP;
    w.n_queued--;
    for (int i = 0; i < w.n_copies[at]; i++)
        w.real_vt->kv_copy(w.real, w.copies[at][i].cls, w.copies[at][i].from, w.copies[at][i].to);
    w.n_copies[at] = 0;
    for (int i = 0; i < n; i++) {
        const goss_seq *q = &w.seqs[at][w.rows[at][i].seq];
        if (w.rows[at][i].token != GOSS_TOKEN_SAMPLED) continue;
        w.rows[at][i].token = w.last[q->slot];
    }
    goss_step step = { .rows = w.rows[at], .n_rows = n, .seqs = w.seqs[at], .n_seqs = w.n_seqs[at] };
    int rc = goss_forward(w.real, &step, err), k = 0;
    if (!rc) rc = w.real_vt->poll(w.real, &step, 100, picks, err);
    for (int i = 0; i < n && !rc; i++)
        if (w.rows[at][i].want & GOSS_ROW_SAMPLE)
            w.last[w.seqs[at][w.rows[at][i].seq].slot] = picks[k++].token;
    return rc;
}

static void w_close(goss_backend *b) { (void)b; w.real_vt->close(w.real); }
static void w_stats(const goss_backend *b, goss_backend_stats *out)
{
    (void)b;
    w.real_vt->stats(w.real, out);
}
static void w_copy(goss_backend *b, int cls, int from, int to)
{
    (void)b;
    const int at = (w.first + w.n_queued) % W_DEEP, k = w.n_copies[at]++;
    CHECK(w.n_queued < W_DEEP && k < 32);
    w.copies[at][k].cls = cls;
    w.copies[at][k].from = from;
    w.copies[at][k].to = to;
}

static const char *w_level(const goss_backend *b) { (void)b; return "wrapped"; }
static void w_tap(goss_backend *b, goss_tap_fn fn, void *ctx) { (void)b; w.real_vt->tap(w.real, fn, ctx); }

static void wrap(goss_engine *e, int in_flight, int lose_at)
{
    w = (wrapper){ .real = e->loaded.backend, .real_vt = e->loaded.backend->vt, .lose_at = lose_at };
    wrapped = *w.real_vt;
    wrapped.begin = w_begin;
    wrapped.embed = wrapped.head = wrapped.sample = w_none;
    wrapped.attn_in = wrapped.attend = wrapped.attn_out = wrapped.route = wrapped.experts = wrapped.ffn =
        w_none_layer;
    wrapped.submit = w_submit;
    wrapped.poll = w_poll;
    wrapped.in_flight = in_flight;
    w.base = (goss_backend){ .vt = &wrapped, .model = w.real->model };
    wrapped.close = w_close;
    wrapped.stats = w_stats;
    wrapped.kv_copy = w_copy;
    wrapped.level = w_level;
    wrapped.tap = w_tap;
    e->loaded.backend = &w.base;
    goss_steps_close(e); /* its ring has a place for each step in flight */
    memset(&e->flights, 0, sizeof e->flights);
    CHECK_INT(goss_steps_open(e), 0);
}

/* Before the engine closes; one whose device was lost has a backend of its own again. */
static void unwrap(goss_engine *e)
{
    if (e->loaded.backend == &w.base) e->loaded.backend = w.real;
}
#endif
