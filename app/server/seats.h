/* seats.h - the models in memory, each an engine. Only the runner's thread may call these. */
#ifndef GOSS_SERVER_SEATS_H
#define GOSS_SERVER_SEATS_H
#include "net/prefix_dir.h"
#include "common/kernels_file.h"
#include "common/record_file.h"
#include "catalog.h"
#include "job.h"
#include <stdio.h>
#include <sys/types.h>
#include <time.h>

enum { GOSS_SRV_SEATS_MAX = 16 };
typedef struct goss_srv_file { ino_t inode; off_t size; struct timespec written; } goss_srv_file;
struct goss_srv_seat {
    goss_srv_model model;
    goss_srv_file file;             /* as it was when it was loaded */
    int layers, moe_fallback;       /* the variant */
    goss_engine *engine;            /* NULL: the seat is free */
    goss_prefix_dir prefixes;
    goss_kernels_file kernels;
    goss_record_file *recording;
    goss_model_info info;
    goss_buf config;                /* telemetry's line of the model, for those who ask for telemetry */
    int ready, stale, n_lanes, n_jobs;
    double used_ms, began_ms, load_ms;
    double keep_ms;                 /* unloaded when idle for so long; < 0: never */
};
typedef struct goss_srv_seats {
    const goss_srv_config *c;
    goss_srv_seat seat[GOSS_SRV_SEATS_MAX];
    int n;                          /* how many may be used */
    FILE *telemetry;
    unsigned mask;                  /* what engines report now */
    unsigned changes;               /* engines opened and closed so far */
    void (*on_progress)(void *ctx, double progress);
    void (*on_line)(void *ctx, goss_srv_seat *seat, const char *json, size_t n);
    void *ctx;
} goss_srv_seats;

/* The seat for a model and variant. 0 and *out set when it is loaded; GOSS_EAGAIN when it is loading or has
 * to wait for another to become free; or what went wrong. */
int goss_srv_seats_get(goss_srv_seats *s, const goss_srv_model *m, int layers, int moe_fallback,
                       goss_srv_seat **out, goss_error *err);
/* Looks whether loading has come to an end. 0 when ready, GOSS_EAGAIN, or an error (the seat is free
 * again). */
int goss_srv_seats_check(goss_srv_seats *s, goss_srv_seat *seat, goss_error *err);
/* 1: somebody has written into the file or cut it since. Another file in its place (rename) is no change
 * until SIGHUP. */
int goss_srv_seats_changed(const goss_srv_seat *seat);
/* The seat that holds the model, loaded or loading; NULL: none. */
goss_srv_seat *goss_srv_seats_find(goss_srv_seats *s, const goss_srv_model *m, int layers, int moe_fallback);
double goss_srv_seats_keep(const goss_srv_seats *s); /* keep_ms where a request says nothing */
void goss_srv_seats_unload(goss_srv_seats *s, goss_srv_seat *seat);
#endif
