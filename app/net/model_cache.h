/* model_cache.h - the models that are kept on this machine, and how they get there.
 *
 *   FOLDER/hf/OWNER/REPO/FILE.gguf         of a name (model_name.h)
 *   FOLDER/LASTPART-0123456789ab.gguf      of an address
 *
 * FOLDER is goss_stream_folder() where none is given. What stands beside a file: stream.h. What is kept
 * answers first; only a pull asks the host for what it has now. */
#ifndef GOSS_NET_MODEL_CACHE_H
#define GOSS_NET_MODEL_CACHE_H
#include "model_name.h"

typedef struct goss_model_place {
    char name[520];         /* as it is listed: "hf:OWNER/REPO:FILE", or what was said */
    char path[1500];        /* of its (first) file, which is there when it is kept */
    char url[1024];         /* where its (first) file comes from; "": nowhere, it is a path of the user's */
    char folder[1000];      /* FOLDER */
    char file[560];         /* path below FOLDER */
    int n_parts, kept;
} goss_model_place;

/* Where the model is that `said` means: a name, an address or a path (which counts as kept). With `ask` the
 * host is asked which file a name means when none is kept. GOSS_ENOENT: none is kept, nobody was asked. */
int goss_model_locate(goss_model_place *p, const char *said, const char *folder, int ask, goss_error *err);

typedef struct goss_model_pull {
    const char *said, *folder;
    int update;             /* asks the host what it has now, even where one is kept */
    /* waiting: as stream.h's on_wait has it */
    void (*on_progress)(void *ctx, const char *file, uint64_t done, uint64_t total, int waiting);
    void *ctx;
    goss_model_place place; /* out */
    uint64_t size;          /* out: of all parts */
    char sha[65];           /* out: of the first file, "" where the host gave none */
} goss_model_pull;
/* Brings all its files. 0, or an error. */
int goss_model_pull_run(goss_model_pull *p, goss_error *err);

/* Removes a kept model with its parts, and what is there of an unfinished one. A repository of which several
 * are kept wants the file's name. */
int goss_model_remove(const char *said, const char *folder, goss_error *err);
int goss_model_make_folder(const char *folder, goss_error *err); /* with those that it lies in */
/* Every model that is kept, of a split one its first part. */
int goss_model_each(const char *folder, void (*fn)(void *ctx, const char *name, const char *path), void *ctx);
#endif
