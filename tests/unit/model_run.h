/* model_run.h - opens a model file and runs tokens through a backend's stages directly, for tests below the
 * engine. */
#ifndef MODEL_RUN_H
#define MODEL_RUN_H
#include "base/mem.h"
#include "base/os.h"
#include "format/json.h"
#include "model/stage.h"
#include "unit.h"
#include <stdlib.h>

typedef struct run_model { goss_mapping map; goss_gguf gguf; goss_model model; } run_model;

static inline int run_open_bytes(run_model *m, const void *data, uint64_t size, const goss_model_options *opt,
                                 goss_error *err)
{
    uint64_t want = 0;
    int rc = goss_gguf_parse(&m->gguf, data, size, size, &want, err);
    for (uint64_t i = 0; rc == 0 && i < m->gguf.n_tensors; i++)
        m->gguf.tensors[i].data = (const uint8_t *)data + m->gguf.tensors[i].offset;
    return rc < 0 ? rc : goss_model_bind(&m->model, &m->gguf, opt, err);
}

static inline int run_open_file(run_model *m, const char *path, const goss_model_options *opt)
{
    goss_error err = { 0 };
    memset(m, 0, sizeof *m);
    int rc = goss_os_map(&m->map, path, &err);
    if (rc == 0) rc = run_open_bytes(m, m->map.data, m->map.size, opt, &err);
    if (rc < 0) printf("%s: %s\n", path, err.text);
    return rc;
}

static inline void run_close(run_model *m)
{
    goss_model_free(&m->model);
    goss_gguf_free(&m->gguf);
    if (m->map.data) goss_os_unmap(&m->map);
}

/* One sequence on one backend. */
typedef struct run {
    goss_backend *b; goss_kv_pool pool; goss_kv kv; int max_rows, many; goss_row *rows;
} run;
static const char *run_cpu_mask;      /* of what run_start opens */
static int run_cpu_threads = 2;
static int run_slots = 20;            /* sequences that the backend keeps apart */
static int run_pages;                 /* of the KV at first, where it grows; 0: all */
typedef int (*run_opener)(goss_backend **out, const goss_backend_config *c, goss_error *err);

static inline void run_kv_copy(void *ctx, int cls, int from, int to)
{
    goss_backend *b = ctx;
    b->vt->kv_copy(b, cls, from, to);
}

static inline int run_start(run *r, const run_model *m, run_opener open, int max_rows, int max_kv,
                            int kv_type)
{
    const goss_engine_config engine = { .n_threads = run_cpu_threads, .cpu_mask = run_cpu_mask };
    goss_error err = { 0 };
    memset(r, 0, sizeof *r);
    r->max_rows = max_rows;
    const int window = m->model.hp.window, full = 2 * (max_kv / GOSS_KV_PAGE + 2);
    goss_backend_config config = { .model = &m->model,
                                   .engine = &engine,
                                   .max_rows = max_rows,
                                   .max_slots = run_slots,
                                   .max_kv = max_kv,
                                   .n_pages = { full, window ? full : 0 },
                                   .kv_type = kv_type };
    for (int k = 0; run_pages && k < GOSS_KV_CLASSES; k++) {
        config.most_kv = max_kv;
        config.most_pages[k] = config.n_pages[k];
        if (run_pages < config.n_pages[k]) config.n_pages[k] = run_pages;
    }
    int rc = open(&r->b, &config, &err);
    if (rc == 0)
        while ((rc = r->b->vt->load(r->b, &err)) == GOSS_EAGAIN) {}
    const int *pages = r->b && r->b->grows.max_kv ? r->b->grows.n_pages : config.n_pages;
    if (rc == 0) rc = goss_kv_pool_open(&r->pool, pages[0], pages[1], window, 64);
    if (rc == 0) rc = goss_kv_open(&r->kv, &r->pool, max_kv);
    if (rc < 0) {
        printf("backend: %s (%d)\n", err.text, rc);
        return rc;
    }
    r->rows = malloc((size_t)max_rows * sizeof *r->rows);
    r->pool.copy = run_kv_copy;
    r->pool.ctx = r->b;
    return 0;
}

static inline void run_stop(run *r)
{
    if (r->kv.pool) goss_kv_close(&r->kv);
    goss_kv_pool_close(&r->pool);
    if (r->b) r->b->vt->close(r->b);
    free(r->rows);
    memset(r, 0, sizeof *r);
}

/* ids[from, to) as one step after what the KV holds; logits (to - from, n_vocab) of all rows, or of the last
 * only. */
static inline int run_step(run *r, const int32_t *ids, int from, int to, int all, float *logits)
{
    const goss_seq seq = { .kv = &r->kv, .tokens = ids };
    goss_step step = { .rows = r->rows, .n_rows = to - from, .seqs = &seq, .n_seqs = 1,
                       .many = r->many };
    const size_t n_vocab = (size_t)r->b->model->hp.n_vocab;
    goss_error err = { 0 };
    int rc = goss_kv_extend(&r->kv, to);
    for (int i = from; i < to; i++)
        r->rows[i - from] = (goss_row){ ids[i], i, 0, all || i == to - 1 ? GOSS_ROW_LOGITS : 0 };
    if (rc == 0) rc = goss_forward(r->b, &step, &err);
    if (rc < 0) {
        printf("step: %s (%d)\n", err.text, rc);
        return rc;
    }
    while ((rc = r->b->vt->poll(r->b, &step, 1000, NULL, &err)) == GOSS_EAGAIN) {}
    for (int i = all ? 0 : to - from - 1; rc == 0 && i < to - from; i++)
        rc = r->b->vt->logits(r->b, &step, i, logits + (all ? (size_t)i : 0) * n_vocab);
    r->b->vt->release(r->b, &step);
    return rc;
}

/* Tokens [from, n) in chunks, behind the first `from` of what the KV holds. */
static inline int run_on(run *r, const int32_t *ids, int from, int n, int chunk, int all, float *logits)
{
    int rc = goss_kv_truncate(&r->kv, from);
    if (chunk <= 0 || chunk > r->max_rows) chunk = r->max_rows;
    for (int i = from; i < n && rc == 0; i += chunk)
        rc = run_step(r, ids, i, i + chunk < n ? i + chunk : n, all,
                      logits + (all ? (size_t)i * (size_t)r->b->model->hp.n_vocab : 0));
    return rc;
}

/* All n tokens from an empty KV. */
static inline int run_all(run *r, const int32_t *ids, int n, int chunk, int all, float *logits)
{
    goss_kv_clear(&r->kv);
    return run_on(r, ids, 0, n, chunk, all, logits);
}

/* 1 when this build has the backend; says so when not. */
static inline int run_has(run_opener open, const run_model *m)
{
    run r;
    if (open != goss_backend_open_cpu) return 1;
    if (run_start(&r, m, open, 1, GOSS_KV_PAGE, GOSS_F16) == GOSS_EUNSUPPORTED) {
        printf("SKIP this build has no CPU backend\n");
        return 0;
    }
    run_stop(&r);
    return 1;
}

static inline int run_argmax(const float *v, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++) if (v[i] > v[best]) best = i;
    return best;
}

/* The distance between the best two. */
static inline double run_gap(const float *v, int n)
{
    const int best = run_argmax(v, n);
    double second = -1e30;
    for (int i = 0; i < n; i++) if (i != best && (double)v[i] > second) second = (double)v[i];
    return (double)v[best] - second;
}

/* A whole file, NUL-terminated; NULL when it can't be read. */
static inline char *run_read_text(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    fseek(f, 0, SEEK_END);
    *n = (size_t)ftell(f);
    rewind(f);
    char *text = malloc(*n + 1);
    if (text && fread(text, 1, *n, f) != *n) { free(text); text = NULL; }
    if (text) text[*n] = 0;
    fclose(f);
    return text;
}
#endif
