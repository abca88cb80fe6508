/* source.h - where the bytes of a model come from, for commands that read them themselves: a mapped file or
 * an HTTP URL.
 * One shape for both, read synchronously by range. A split model is a set of inputs found by name. */
#ifndef GOSS_APP_SOURCE_H
#define GOSS_APP_SOURCE_H
#include "../src/base/buf.h"
#include "../src/format/gguf.h"

typedef struct goss_input goss_input;
struct goss_input {
    char name[1024];            /* path or URL, for messages */
    uint64_t size;
    const uint8_t *map;         /* the whole file in memory, or NULL */
    /* Reads exactly n bytes at offset, which must lie inside the file. 0 or an error, explained in err. */
    int (*read)(goss_input *in, uint64_t offset, void *dst, size_t n, goss_error *err);
    void (*close)(goss_input *in);
    void *impl;
};

int goss_input_open(goss_input *in, const char *path_or_url, goss_error *err);
int goss_input_open_file(goss_input *in, const char *path, goss_error *err); /* source_file.c */
int goss_input_open_url(goss_input *in, const char *url, goss_error *err);   /* source_curl.c */
const char *goss_input_etag(const goss_input *url); /* of an open one; "" when the server gave none */
void goss_input_close(goss_input *in);
int goss_is_url(const char *s);

/* The header of one input; a remote one is fetched in a window that grows as the parser asks. keep owns the
 * header's bytes. */
int goss_input_header(goss_input *in, goss_gguf *g, goss_buf *keep, goss_error *err);

/* A model's files, all open, with one joined header. */
enum { GOSS_MAX_SHARDS = 256 };
typedef struct goss_inputs { int n; goss_input *input; goss_buf *keep; goss_gguf gguf; } goss_inputs;
int goss_inputs_open(goss_inputs *set, const char *path_or_url, goss_error *err);
void goss_inputs_close(goss_inputs *set);

/* The name of part `shard` (from 0) of n, made from the first's: ...-00001-of-0000N.gguf. 0, or
 * GOSS_EFORMAT when `first` is not named so. */
int goss_split_name(const char *first, int shard, int n, char *out, size_t cap);

/* A whole file over HTTP. path gets the finished file; until then its bytes are in path.part, and what they
 * are of in path.part.json.
 * expect: SHA-256 in hex, or NULL. on_progress may be NULL. sha gets the file's SHA-256. */
typedef struct goss_download {
    const char *url, *path, *expect;
    /* begun: 1 when bytes begin to come, 2 when what was there before begins to be hashed, else 0 */
    void (*on_progress)(void *ctx, uint64_t done, uint64_t total, int begun);
    void *ctx;
    char sha[65];
    uint64_t size, resumed;     /* out: bytes of the file, and how many were there already */
} goss_download;
int goss_download_run(goss_download *d, goss_error *err);
#endif
