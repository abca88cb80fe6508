/* prefix_dir.h - a folder as the store of an engine's prefix cache (gossamer.h's goss_store). Any number of
 * processes may use one folder at once. */
#ifndef GOSS_APP_PREFIX_DIR_H
#define GOSS_APP_PREFIX_DIR_H
#include <gossamer.h>
#include <time.h>

typedef struct goss_prefix_dir {
    goss_store store;            /* for goss_engine_config.prefix_store */
    char path[800];
    int fd; char part[900];      /* the entry being put, under its other name */
    int get_fd; char reading[64];
    struct timespec listed;      /* the folder's time when it was listed; 0: it was changing */
} goss_prefix_dir;
/* Makes the folder where it is missing. `d` must outlive the engine. Sentences go to standard error. */
int goss_prefix_dir_open(goss_prefix_dir *d, const char *path, goss_error *err);
void goss_prefix_dir_close(goss_prefix_dir *d); /* all zero is fine */
#endif
