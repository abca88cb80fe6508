/* ring_work.c - the public calls of a ring: what the later ranks do all the time, and how rank 0 asks
 * them and ends them. A later rank has no engine: a model that is bound, its layers on a backend, and
 * messages. */
#include "load.h"
#include "base/error.h"
#include "base/fmt.h"
#include "base/mem.h"
#include "pipeline/pipeline.h"
#include "pipeline/rank.h"
#include "pipeline/split.h"
#include "plan.h"
#include <string.h>

enum { END_MS = 60000, STEP_MS = 1 };

/* One model at a time. */
typedef struct worker {
    const goss_ring *ring;
    goss_engine_config config; /* with what OPEN says */
    goss_pipe_fact facts;
    goss_error no_facts;
    goss_pipe_open share;
    goss_telemetry silent;
    goss_loader load;
    goss_loaded loaded;
    int is_open;
    goss_rank rank;
    goss_buf out;
} worker;

static void close_model(worker *w)
{
    goss_rank_close(&w->rank);
    if (w->is_open) goss_load_close(&w->load);
    w->is_open = 0;
}

static int open_model(worker *w, const goss_pipe_head *h, goss_error *err)
{
    close_model(w);
    if (h->n_body < sizeof w->share) return goss_fail(err, GOSS_EFORMAT, -1, "a model came without its name");
    memcpy(&w->share, h + 1, sizeof w->share);
    w->share.path[GOSS_PIPE_PATH - 1] = 0;
    w->config.model_path = w->share.path;
    w->config.sources = NULL;
    w->config.n_sources = 0;
    w->config.n_layers = w->share.n_layers;
    w->config.yarn_llamacpp = w->share.yarn_llamacpp;
    w->config.attn_dense = w->share.attn_dense;
    w->config.moe_fallback = w->share.moe_fallback;
    w->loaded = (goss_loaded){ 0 };
    w->load =
        (goss_loader){ .config = &w->config, .telemetry = &w->silent, .to = &w->loaded, .share = &w->share };
    w->is_open = 1;
    int rc = goss_load_begin(&w->load, err);
    if (!rc)
        while ((rc = goss_load_advance(&w->load, err)) == GOSS_EAGAIN) {}
    if (!rc) rc = goss_rank_open(&w->rank, w->ring, w->loaded.backend, &w->share);
    return rc == GOSS_ENOMEM ? goss_fail(err, rc, -1, "no memory for %d rows a step", w->share.max_rows) : rc;
}

/* The message, with what this rank adds to it, or why it can't. */
static int add(worker *w, const goss_pipe_head *h, const void *own, size_t n, const goss_error *failed,
               goss_error *err)
{
    if (failed->code) {
        goss_error said = { .code = failed->code };
        goss_fmt(said.text, sizeof said.text, "rank %d (%s): %s", w->ring->rank, w->ring->host, failed->text);
        goss_pipe_fail(&w->out, h->kind, h->ticket, &said);
    } else {
        goss_pipe_begin(&w->out, h->kind, h->ticket);
        goss_buf_append(&w->out, h + 1, (size_t)h->n_body);
        goss_buf_append(&w->out, own, n);
    }
    goss_pipe_end(&w->out);
    return w->out.failed ? goss_fail(err, GOSS_ENOMEM, -1, "no memory for a message")
                         : w->ring->send(w->ring->ctx, w->out.data, w->out.len, err);
}

static int handle(worker *w, const goss_pipe_head *h, goss_error *err)
{
    goss_error failed = { .position = -1 };
    goss_pipe_opened opened = { 0 };
    const int of_model = h->kind >= GOSS_PIPE_STEP && h->kind <= GOSS_PIPE_WRITE && w->rank.backend,
              rc = of_model ? 0 : goss_rank_drain(&w->rank, err);
    if (rc) return rc;
    if (!h->status && h->kind == GOSS_PIPE_HELLO)
        return add(w, h, &w->facts, sizeof w->facts, &w->no_facts, err);
    if (!h->status && h->kind == GOSS_PIPE_OPEN) {
        if (!open_model(w, h, &failed)) goss_pipe_opened_by(&opened, w->loaded.backend);
        else if (!failed.code) goss_fail(&failed, GOSS_EIO, -1, "the model can't be opened");
        return add(w, h, &opened, sizeof opened, &failed, err);
    }
    if (of_model) return goss_rank_handle(&w->rank, h, err);
    if (h->kind == GOSS_PIPE_CLOSE) close_model(w);
    return w->ring->send(w->ring->ctx, h, sizeof *h + (size_t)h->n_body, err);
}

int goss_ring_work(const goss_engine_config *config, goss_error *err)
{
    if (!config || !config->ring || config->ring->rank < 1)
        return goss_fail(err, GOSS_EINVAL, -1, "only the ranks behind the first of a ring work for it");
    worker *w = goss_mem_alloc(sizeof *w);
    if (!w) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for a rank");
    w->ring = config->ring;
    w->config = *config;
    w->out = GOSS_BUF(SIZE_MAX / 2);
    goss_ring_facts(config, &w->facts, &w->no_facts);
    int rc = 0, ends = 0;
    while (!rc && !ends) {
        const void *bytes;
        size_t n;
        rc = w->ring->recv(w->ring->ctx, &bytes, &n, w->rank.n ? 0 : -1, err);
        if (rc == GOSS_EAGAIN) {
            rc = goss_rank_advance(&w->rank, STEP_MS, err);
            if (rc == GOSS_EAGAIN) rc = 0;
            continue;
        }
        const goss_pipe_head *h = rc ? NULL : goss_pipe_head_of(bytes, n);
        if (!rc && !h) rc = goss_fail(err, GOSS_EFORMAT, -1, "the ranks run different versions of gossamer");
        if (rc) continue;
        ends = h->kind == GOSS_PIPE_END;
        rc = handle(w, h, err);
    }
    close_model(w);
    goss_buf_free(&w->out);
    goss_mem_free(w);
    return rc;
}

int goss_ring_end(const goss_ring *ring, goss_error *err)
{
    if (!ring || ring->rank) return goss_fail(err, GOSS_EINVAL, -1, "only rank 0 ends a ring");
    if (ring->n < 2) return 0;
    goss_buf b = GOSS_BUF(4096);
    goss_pipe_begin(&b, GOSS_PIPE_END, 0);
    goss_pipe_end(&b);
    int rc = b.failed ? GOSS_ENOMEM : ring->send(ring->ctx, b.data, b.len, err), ended = 0;
    while (!rc && !ended) {
        const void *bytes;
        size_t n;
        rc = ring->recv(ring->ctx, &bytes, &n, END_MS, err);
        const goss_pipe_head *h = rc ? NULL : goss_pipe_head_of(bytes, n);
        ended = !h || h->kind == GOSS_PIPE_END;
    }
    goss_buf_free(&b);
    return rc;
}

/* ---- planning ------------------------------------------------------------------------------------------ */
typedef struct planned {
    goss_engine_config config;
    goss_pipe_fact own, facts[GOSS_PIPE_RANKS];
    goss_buf text;
} planned;

static int plan_model(void *ctx, const goss_model *m, uint64_t file_bytes, goss_error *err)
{
    planned *p = ctx;
    (void)file_bytes;
    const goss_ring *ring = p->config.ring;
    int32_t first[GOSS_PIPE_RANKS + 1];
    const int rc = goss_split_layers(first, m, p->facts, ring->n, p->config.ring_split, err);
    for (int r = 0; r < ring->n && !rc; r++) {
        char line[200];
        goss_split_say(line, sizeof line, m, p->facts, ring->n, first, r);
        goss_buf_printf(&p->text, "%s\n", line);
    }
    return rc;
}

int goss_ring_plan(const goss_engine_config *config, char *text, int cap, goss_error *err)
{
    if (!config || !config->ring || config->ring->rank || config->ring->n > GOSS_PIPE_RANKS || cap < 0 ||
        (!text && cap))
        return goss_fail(err, GOSS_EINVAL, -1, "no ring, no room, or this is not its rank 0");
    planned *p = goss_mem_alloc(sizeof *p);
    if (!p) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for a plan");
    p->config = *config;
    p->text = GOSS_BUF(1 << 16);
    int rc = goss_ring_facts(config, &p->own, err);
    if (!rc) rc = goss_pipeline_facts(config->ring, &p->own, p->facts, err);
    if (!rc) rc = goss_plan_with(config, plan_model, p, err);
    if (!rc && cap) goss_fmt(text, (size_t)cap, "%s", goss_buf_cstr(&p->text));
    goss_buf_free(&p->text);
    goss_mem_free(p);
    return rc;
}
