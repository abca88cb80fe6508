/* engine_table.h - everything an engine can be told, in one table: the command line, `serve` and the wasm
 * module read it, each the rows that name it among their takers. */
#ifndef GOSS_COMMON_ENGINE_TABLE_H
#define GOSS_COMMON_ENGINE_TABLE_H
#include "options.h"

enum { GOSS_ENGINE_ROWS = 42 };

/* What the rows' `at` lies in. */
typedef struct goss_engine_options {
    goss_engine_config config;
    const char *gguf, *repo;                /* the model, where no argument names it; repo: without "hf:" */
    const char *telemetry;                  /* a file for the lines, or NULL */
    const char *record;                     /* a file (server: a folder) for a recording, or NULL */
    const char *prefix_cache, *model_cache; /* folders, or NULL */
    const char *kernels;                    /* "none", "auto" or a file: kernels_file.h */
    int speculate;                          /* requests of the server draft, with n-grams if need be */
    int pipeline;                           /* this process is one of several, see ring_join.h */
    int gpu;                                /* which of several, -1: the first (gpus.h) */
    int telemetry_mask;                     /* the browser's: goss_engine_config.telemetry_mask */
    int gpu_measures;                       /* the browser's: what config.gpu_kernels lacks is measured */
    char found[1500];                       /* the model, when none was named, or where a name led */
    char draft[1500];                       /* the draft model, where a name led */
    goss_option table[GOSS_ENGINE_ROWS + 1]; /* for goss_usage.groups */
} goss_engine_options;

extern const goss_option goss_engine_rows[GOSS_ENGINE_ROWS];
#endif
