/* load.h - from paths or sources to a model on a backend that is ready, in steps that never block. */
#ifndef GOSS_ENGINE_LOAD_H
#define GOSS_ENGINE_LOAD_H
#include "format/gguf_head.h"
#include "model/stage.h"
#include "pipeline/message.h"
#include "telemetry/telemetry.h"
#include "text/chat.h"
#include "text/harmony.h"

enum {
    GOSS_READS = 4,              /* reads of whole files at once */
    GOSS_LOST_MOST = 5           /* losses of the device without a step between, before the engine gives up */
};

/* What loading gives: a model, its texts, and whoever computes it. */
typedef struct goss_loaded {
    goss_gguf gguf; goss_model model; int bound;
    goss_vocab *vocab; goss_chat_format format;
    goss_harmony_ids ids;                   /* Harmony's tokens, -1: none */
    goss_backend *backend, *host;           /* host: computes experts for a GPU (--n-cpu-moe), else NULL */
    goss_model part;                        /* of a later rank of a ring: its layers; the backend's model */
    goss_plan_info plan;
    int max_rows, max_kv;                   /* rows of a step, positions of a sequence */
} goss_loaded;

typedef struct goss_file {
    goss_source source;
    goss_mapping mapping; int mapped;
    goss_gguf_head head;
    uint8_t *bytes;                         /* the whole file, for backends that compute on memory */
} goss_file;
typedef struct goss_loader {
    goss_engine_config *config;             /* its kv_cap shrinks when a GPU has too little memory */
    goss_telemetry *telemetry;
    goss_loaded *to;
    int phase, kind;                        /* PHASE_*, KIND_* of load.c */
    goss_file *files; int n_files, at;
    goss_source *sources;                   /* (n_files) for the backend */
    char path[1500]; goss_source found;     /* what the ring's name of the model means here; "": itself */
    uint64_t next, total, done;             /* whole-file reads */
    struct { int busy; int file; uint64_t at, n; } read[GOSS_READS];
    int planned, kv_type;                   /* 1: the plan is made, with this type of KV */
    uint64_t n_told;                        /* tensors that were said to be there, of whole-file reads */
    int failed;                             /* status of a read that failed */
    int filling;                            /* usable, but weights are still on their way */
    int restarted;                          /* the device was lost and is opened again */
    int n_lost;                             /* times that it was since a step last came back */
    const goss_pipe_open *share;            /* of a later rank of a ring: what rank 0 decided, else NULL */
    int gpu_tiles;                      /* goss_backend_config.tiles: kept while the device is opened again */
    double t0, reported;
} goss_loader;

/* config, telemetry and to are set. Takes sources or opens paths. */
int goss_load_begin(goss_loader *l, goss_error *err);
/* GOSS_EAGAIN, 0 when the weights are usable, or what went wrong. */
int goss_load_advance(goss_loader *l, goss_error *err);
/* Whoever loads is ready for prompts: says so. */
void goss_load_finish(goss_loader *l);
int goss_load_fill(goss_loader *l, goss_error *err); /* weights that come later: 1: more is to come */
int goss_load_read_done(goss_loader *l, uint64_t tag, int status); /* 1: the tag was the loader's */
int goss_load_arriving(const goss_loader *l);              /* 1: a source's bytes are still on their way */
void goss_load_restart(goss_loader *l);                 /* the device was lost: the backend is opened again */
void goss_load_close(goss_loader *l);
/* What this rank has, of a ring: measured. 0, or why its device can't be used. */
int goss_ring_facts(const goss_engine_config *c, goss_pipe_fact *f, goss_error *err);
#endif
