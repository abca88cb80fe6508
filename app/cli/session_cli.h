/* session_cli.h - what run, chat and bench share: an engine opened with its options, progress and telemetry
 * file; Ctrl-C; chat requests as JSON. */
#ifndef GOSS_CLI_SESSION_CLI_H
#define GOSS_CLI_SESSION_CLI_H
#include "base/buf.h"
#include "net/prefix_dir.h"
#include "net/stream.h"
#include "common/engine_options.h"
#include "common/kernels_file.h"
#include "common/record_file.h"
#include "progress.h"
#include <stdio.h>

/* Stays where it is while the engine is open. */
typedef struct goss_cli_engine {
    goss_engine *engine;
    FILE *telemetry;
    goss_record_file *recording;
    goss_prefix_dir prefixes;
    goss_kernels_file kernels;
    goss_stream *stream; goss_source source;   /* the model is an URL, and not all there yet */
    goss_stream_stats first; int n_tokens;     /* how it stood at the first token */
    goss_progress waiting;
    char path[1500];                           /* of what came from elsewhere and is there */
} goss_cli_engine;
/* A token came: notes what of a model that is still arriving was fetched for the first one. */
void goss_cli_token(goss_cli_engine *c);
/* Opens the file of --telemetry, if there is one, and has the engine's configuration write to it. 1: it
 * can't, said. */
int goss_cli_telemetry(goss_cli_engine *c, goss_engine_options *o, const char *command, int layers);
/* Opens the model that o names (after goss_engine_options_finish) and waits until it is ready, with a
 * progress bar where it takes long. `layers`: 1 adds the per-layer telemetry. 0, or the exit status after an
 * explanation. */
int goss_cli_open(goss_cli_engine *c, goss_engine_options *o, const char *command, int layers);
/* 0, or 1 when telemetry or a recording could not be written, which it says */
int goss_cli_close(goss_cli_engine *c, const char *command);

/* From now on Ctrl-C only counts; the third without a reset between ends the program. */
void goss_cli_catch_interrupts(void);
int goss_cli_interrupted(void);     /* 1 when it was pressed since the last reset */
void goss_cli_reset_interrupt(void);

void goss_cli_today(char out[11]);  /* YYYY-MM-DD, local time */
/* Appends {"role":R,"content":TEXT}, with a comma before when the list is not empty. */
void goss_cli_message(goss_buf *messages, const char *role, const char *text, size_t n);
#endif
