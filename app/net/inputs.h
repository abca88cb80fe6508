/* inputs.h - a model's files by path or URL: a split model is a set of sources found by name, with one
 * joined header. */
#ifndef GOSS_NET_INPUTS_H
#define GOSS_NET_INPUTS_H
#include "format/gguf_head.h"
#include "source.h"

int goss_input_open(goss_input *in, const char *path_or_url, goss_error *err);
/* The header of one source; a remote one is fetched in a window that grows as the parser asks. `head` owns
 * its bytes. */
int goss_input_header(goss_input *in, goss_gguf *g, goss_gguf_head *head, goss_error *err);

/* A model's files, all open, with one joined header. */
enum { GOSS_MAX_SHARDS = 256 };
typedef struct goss_inputs {
    int n; goss_input *input; goss_gguf_head *head; goss_gguf gguf;
    struct goss_input_known *known; /* of goss_inputs_sources */
    goss_source *sources;
} goss_inputs;
int goss_inputs_open(goss_inputs *set, const char *path_or_url, goss_error *err);
/* Its n files as sources, for calls that read headers alone (goss_plan): what is known of those is not
 * fetched again. The set has them. NULL: no memory. */
const goss_source *goss_inputs_sources(goss_inputs *set);
void goss_inputs_close(goss_inputs *set);

/* The name of part `shard` (from 0) of n, made from the first's: ...-00001-of-0000N.gguf. 0, or
 * GOSS_EFORMAT when `first` is not named so. */
int goss_split_name(const char *first, int shard, int n, char *out, size_t cap);
#endif
