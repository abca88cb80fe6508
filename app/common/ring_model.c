/* ring_model.c - see ring_model.h. */
#include "ring_model.h"
#include "base/error.h"
#include "base/fmt.h"
#include "net/model_cache.h"
#include "net/model_name.h"
#include "net/source.h"
#include "net/stream.h"
#include <stdio.h>

static const goss_ring *ring;
static const char *folder;
static goss_source inner; /* of the model that is open; its ctx is a goss_stream */
static int failed;

void goss_ring_model_begin(const goss_ring *own, const char *models)
{
    ring = own;
    folder = models;
}

/* goss_source.close: says what it cost. */
static void close_stream(void *ctx)
{
    goss_stream *s = ctx;
    goss_stream_stats st;
    goss_stream_finish(s, NULL);
    goss_stream_get_stats(s, &st);
    fprintf(stderr,
            "gossamer: rank %d (%s) has %.1f MB of the model's %.1f MB, %.1f MB of them fetched now\n",
            ring->rank, ring->host, (double)(st.had + st.fetched) / 1e6, (double)st.total / 1e6,
            (double)st.fetched / 1e6);
    goss_stream_close(&s);
}

/* goss_source.need: says once why bytes don't come any more. */
static int need(void *ctx, const goss_range *ranges, int n)
{
    const int rc = inner.need(ctx, ranges, n);
    if (!rc) return 0;
    if (!failed++)
        fprintf(stderr, "gossamer: rank %d (%s) lost its model: %s\n", ring->rank, ring->host,
                goss_stream_error(ctx));
    return GOSS_EIO;
}

int goss_ring_model_find(void *ctx, const char *model, char *path, int cap, goss_source *to, goss_error *err)
{
    goss_model_place p;
    char file[700], whole[1500];
    (void)ctx;
    goss_fmt(path, (size_t)cap, "%s", model);
    if (!goss_is_url(model) && !goss_model_is_name(model)) return 0;
    int rc = goss_model_locate(&p, model, folder, 1, err);
    if (!rc && p.kept) goss_fmt(path, (size_t)cap, "%s", p.path);
    if (rc || p.kept) return rc;
    if (p.n_parts > 1)
        return goss_fail(err, GOSS_EUNSUPPORTED, -1,
                         "%s is a model of %d files: fetch it first (gossamer pull), on each machine", model,
                         p.n_parts);
    goss_fmt(file, sizeof file, "%s.%d-of-%d", p.file, ring->rank + 1, ring->n);
    const goss_stream_options options = { .folder = p.folder, .file = file, .some = 1 };
    goss_stream *s = NULL;
    rc = goss_stream_open(&s, p.url, &options, whole, sizeof whole, err);
    if (!rc && !s) goss_fmt(path, (size_t)cap, "%s", whole); /* its layers were all that there are */
    if (rc || !s) return rc;
    inner = *to = goss_stream_source(s);
    failed = 0;
    to->need = need;
    to->close = close_stream;
    return 1;
}
