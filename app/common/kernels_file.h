/* kernels_file.h - which kernels a GPU takes, as a file (--gpu-kernels). */
#ifndef GOSS_COMMON_KERNELS_FILE_H
#define GOSS_COMMON_KERNELS_FILE_H
#include "engine_table.h"

typedef struct goss_kernels_file {
    char path[1200]; /* where what is measured goes; "": nowhere */
    char *text;      /* what config.gpu_kernels points to, or NULL */
    int measured;    /* how often something came */
    int failed;      /* errno of what could not be written, 0: none */
} goss_kernels_file;

/* Reads what `kernels` names and sets c's three fields: NULL or "none" nothing; "auto" the file in `folder`
 * (NULL: where models are kept), if there is one, and has what it lacks measured; else a file, which must be
 * there. `f` is kept as long as the engine lives. */
int goss_kernels_file_open(goss_kernels_file *f, goss_engine_config *c, const char *kernels,
                           const char *folder, goss_error *err);
void goss_kernels_file_close(goss_kernels_file *f);
/* Where "auto" keeps it. 1: there is no such place. */
int goss_kernels_file_place(char *out, size_t cap, const char *folder);
/* goss_kernels_fn with a goss_kernels_file: replaces the file at f->path as a whole. */
void goss_kernels_file_keep(void *f, const char *text, size_t n);
#endif
