/* stream.h - a model that runs while it is downloaded: a sparse local file, mapped, that threads fill over
 * HTTP Range. What the engine needs now comes before everything else; then the matrices that every token
 * reads, then the rest. */
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
    const char *file;                /* its path in the folder; NULL: goss_stream_name() of the address */
    int anew;                        /* a finished file is replaced by what the host has now */
    /* while somebody waits; may be NULL */
    void (*on_wait)(void *ctx, uint64_t there, uint64_t total, int waiting);
    void *ctx;
    int some;                        /* only what is needed comes, and what goss_source.only names */
} goss_stream_options;
enum { GOSS_STREAM_GOES_ON, GOSS_STREAM_FETCHES, GOSS_STREAM_CHECKS }; /* on_wait's `waiting` */

/* Opens `url`: its header and small tensors are there on return. *path gets the finished file's name. When it
 * is whole already *out is NULL, and nothing was asked of the network. Blocks. */
int goss_stream_open(goss_stream **out, const char *url, const goss_stream_options *options, char *path,
                     size_t cap, goss_error *err);
/* for goss_engine_config.sources; close the engine first */
goss_source goss_stream_source(goss_stream *s);
void goss_stream_get_stats(goss_stream *s, goss_stream_stats *out);
const char *goss_stream_error(goss_stream *s);       /* why need() failed; "" when it did not */
/* Waits until all of it is there, and finishes. */
int goss_stream_whole(goss_stream *s, goss_error *err);
/* Stops fetching. What is whole is checked (its own head, the SHA-256 that a host of models gives) and gets
 * its name; beside it stands FILE.sha256, as sha256sum writes it. What turns out to be other bytes is
 * removed: an error, which goss_stream_error says, too. */
int goss_stream_finish(goss_stream *s, goss_error *err);
void goss_stream_close(goss_stream **s);             /* finishes; what was fetched stays */
/* gossamer/models in XDG_CACHE_HOME or ~/.cache; 1: there is none */
int goss_stream_folder(char *out, size_t cap);
/* "model-0123456789ab.gguf": the address's last part, and a hash of all of it */
void goss_stream_name(const char *url, char *out, size_t cap);
#endif
