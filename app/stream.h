/* stream.h - a model that runs while it is downloaded: a sparse local file, mapped, that threads fill over HTTP
 * Range.
 * What the engine needs now comes before everything else; then the matrices that every token reads, then the rest. */
#ifndef GOSS_APP_STREAM_H
#define GOSS_APP_STREAM_H
#include <gossamer.h>

typedef struct goss_stream goss_stream;
typedef struct goss_stream_stats {
    uint64_t total, fetched, had;    /* bytes: of the file, over the network, there when it was opened */
    uint64_t touched;                /* that the engine asked for, or that it always reads */
    double wait_ms;                  /* the engine waited */
} goss_stream_stats;
typedef struct goss_stream_options {
    const char *folder;              /* where the file is kept; NULL: goss_stream_folder() */
    void (*on_wait)(void *ctx, uint64_t there, uint64_t total, int waiting); /* while the engine waits; may be NULL */
    void *ctx;
} goss_stream_options;

/* Opens `url`: its header and small tensors are there on return. *path gets the finished file's name when it is whole
 * already: then *out is NULL, and nothing was asked of the network. Blocks. */
int goss_stream_open(goss_stream **out, const char *url, const goss_stream_options *options, char *path, size_t cap,
                     goss_error *err);
goss_source goss_stream_source(goss_stream *s);      /* for goss_engine_config.sources; close the engine first */
void goss_stream_get_stats(goss_stream *s, goss_stream_stats *out);
const char *goss_stream_error(goss_stream *s);       /* why need() failed; "" when it did not */
void goss_stream_close(goss_stream **s);             /* what was fetched stays */
int goss_stream_folder(char *out, size_t cap); /* gossamer/models in XDG_CACHE_HOME or ~/.cache; 1: there is none */
#endif
