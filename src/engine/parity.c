/* parity.c - the engine's backend beside `ref`, which is slow and obviously right, on the same weights and
 * tokens: how far each stage of each layer is from it.
 *
 * The reference is an engine of its own on the bytes that this one has in memory, with room for these tokens
 * alone. What its stages put out is kept while the other side runs: n * (3 to 5) * n_embd floats a layer. */
#include "base/error.h"
#include "base/mem.h"
#include "engine_state.h"
#include <math.h>
#include <string.h>

typedef struct kept { float *values; size_t n; } kept;
typedef struct sides {
    kept *of;               /* what the reference's stages put out, in order */
    int n, cap, at;         /* how many; of the other side's, which one comes */
    int failed;
    goss_parity_fn fn; void *ctx;
} sides;

static void keep(void *ctx, const char *stage, int layer, const float *values, int n_rows, int width)
{
    sides *s = ctx;
    (void)stage, (void)layer;
    const size_t n = (size_t)n_rows * (size_t)width;
    float *copy = s->n < s->cap ? goss_mem_array(n, sizeof *copy) : NULL;
    if (!copy) {
        s->failed = 1;
        return;
    }
    memcpy(copy, values, n * sizeof *copy);
    s->of[s->n++] = (kept){ copy, n };
}

static void compare(void *ctx, const char *stage, int layer, const float *values, int n_rows, int width)
{
    sides *s = ctx;
    goss_parity_row row = { .stage = stage, .layer = layer };
    const size_t n = (size_t)n_rows * (size_t)width;
    const kept *ref = s->at < s->n ? &s->of[s->at++] : NULL;
    if (!ref || ref->n != n) {
        s->failed = 1;
        return;
    }
    double squares = 0, sum = 0, max = 0;
    for (size_t i = 0; i < n; i++) {
        const double x = (double)ref->values[i], d = fabs(x - (double)values[i]);
        squares += x * x;
        sum += d;
        if (!(d <= max)) max = isfinite(d) ? d : INFINITY;
    }
    row.rms = sqrt(squares / (double)n);
    row.mean = sum / (double)n;
    row.max = max;
    s->fn(s->ctx, &row);
}

/* The reference, on the bytes of e's files. */
static int open_ref(const goss_engine *e, int n, goss_engine **ref, goss_error *err)
{
    const goss_loader *l = &e->load;
    goss_source *sources = goss_mem_array((size_t)l->n_files, sizeof *sources);
    if (!sources) return goss_fail(err, GOSS_ENOMEM, -1, "no memory for the reference");
    int rc = 0;
    for (int i = 0; i < l->n_files && !rc; i++) {
        const goss_file *f = &l->files[i];
        sources[i] = (goss_source){ .name = f->source.name, .size = f->source.size,
                                    .map = f->source.map ? f->source.map : f->bytes };
        if (!sources[i].map || goss_load_arriving(l))
            rc = goss_fail(err, GOSS_EUNSUPPORTED, -1, "the reference needs the whole model in memory");
    }
    const goss_engine_config c = { .sources = sources, .n_sources = l->n_files, .backend = "ref",
                                   .max_sessions = 1, .max_kv = n, .max_rows = n,
                                   .n_layers = e->config.n_layers, .moe_fallback = e->config.moe_fallback,
                                   .attn_dense = e->config.attn_dense,
                                   .yarn_llamacpp = e->config.yarn_llamacpp };
    if (!rc) rc = goss_engine_open(ref, &c, err);
    goss_mem_free(sources);
    return rc;
}

int goss_parity(goss_engine *e, const int32_t *ids, int n, goss_parity_fn fn, void *ctx, goss_error *err)
{
    enum { STAGES = 8 }; /* of a layer, at most; and of what belongs to none */
    goss_engine *ref = NULL;
    if (!e || !ids || !fn)
        return goss_fail(err, GOSS_EINVAL, -1, "no engine, no tokens, or nobody takes the differences");
    if (e->state != GOSS_ENGINE_READY) return goss_fail(err, GOSS_ESTATE, -1, "the model is not loaded");
    if (n < 1 || n > GOSS_PARITY_TOKENS)
        return goss_fail(err, GOSS_EINVAL, -1, "%d tokens: 1 to %d can be compared", n, GOSS_PARITY_TOKENS);
    sides s = { .cap = STAGES * (e->loaded.model.hp.n_layer + 1), .fn = fn, .ctx = ctx };
    s.of = goss_mem_array((size_t)s.cap, sizeof *s.of);
    int rc = s.of ? open_ref(e, n, &ref, err) : goss_fail(err, GOSS_ENOMEM, -1, "no memory to compare with");
    if (!rc) rc = goss_trace(ref, ids, n, 0, keep, &s, err);
    if (!rc) rc = goss_trace(e, ids, n, 0, compare, &s, err);
    if (!rc && (s.failed || s.at < s.n))
        rc = goss_fail(err, GOSS_ENOMEM, -1, "not all stages could be kept and compared");
    for (int i = 0; i < s.n; i++) goss_mem_free(s.of[i].values);
    goss_mem_free(s.of);
    goss_engine_close(&ref);
    return rc;
}
