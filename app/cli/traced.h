/* traced.h - what probe, gate and eval share: an engine loaded while one waits, a prompt as tokens, and what
 * the stages put out. */
#ifndef GOSS_CLI_TRACED_H
#define GOSS_CLI_TRACED_H
#include <gossamer.h>

/* Opens and polls until the model is ready. */
int goss_cli_load(goss_engine **out, const goss_engine_config *config, goss_error *err);

/* The tokens of `list` ("1,2,3") if it is given, else of `text` with special tokens; repeated up to seq_len
 * or cut to it when that is not 0. The caller frees *ids. Returns how many, or an error. */
int goss_cli_tokens(const goss_engine *e, const char *text, const char *list, int seq_len, int32_t **ids,
                    goss_error *err);

/* A stage's output: rows of all chunks one below the other. */
typedef struct goss_traced { char stage[16]; int layer, n_rows, width; float *values; } goss_traced;
typedef struct goss_traces {
    goss_traced *list;
    int n, cap, failed;
    int only_layer; /* -1: every layer */
} goss_traces;
/* Traces ids in chunks and keeps everything (of the layer wanted, and embed and head). */
int goss_cli_trace(goss_engine *e, const int32_t *ids, int n, int chunk, int only_layer, goss_traces *out,
                   goss_error *err);
void goss_traces_free(goss_traces *t);
const goss_traced *goss_traces_find(const goss_traces *t, const char *stage, int layer);

/* n_bad: NaN and infinite */
typedef struct goss_summary { double rms, mean, max_abs; long long n_bad; } goss_summary;
goss_summary goss_summarize(const float *v, size_t n);
#endif
