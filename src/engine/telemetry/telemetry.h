/* telemetry.h - the sink for telemetry: one event is one line of JSON (docs/telemetry.md). Everybody may call
 * it; it calls nobody but the functions that lines go to. Page, command line and server all read these
 * lines. */
#ifndef GOSS_TELEMETRY_TELEMETRY_H
#define GOSS_TELEMETRY_TELEMETRY_H
#include <gossamer.h>
#include "base/buf.h"
#include "sheet.h"

typedef struct goss_telemetry {
    goss_telemetry_fn fn; void *ctx; unsigned mask;   /* the application's: lines of the kinds in mask */
    goss_telemetry_fn call_fn; void *call_ctx;        /* of goss_generate, while it runs: every line */
    const goss_session *about;                        /* the session that a line is about, NULL: the engine */
    int session;                                      /* its slot, -1: no line is about one */
    goss_sheet *sheet;                                /* rows for whoever takes them; NULL: nobody */
    goss_buf line;                                    /* taken once; grows only for attention maps */
} goss_telemetry;

int goss_telemetry_open(goss_telemetry *t, const goss_engine_config *c); /* 0 or GOSS_ENOMEM */
void goss_telemetry_close(goss_telemetry *t);
int goss_telemetry_on(const goss_telemetry *t, unsigned bit);            /* does anybody want such lines? */
goss_sheet *goss_telemetry_sheet(const goss_telemetry *t);               /* NULL: nobody wants rows */
/* A line that is whole, a backend's own say; bit 0: whatever the mask is. */
void goss_telemetry_line(goss_telemetry *t, unsigned bit, const char *json, size_t n);

/* Stages. detail: "key=value ..." or NULL. total 0: no count. */
void goss_telemetry_load(goss_telemetry *t, const char *stage, const char *status, const char *detail);
void goss_telemetry_bytes(goss_telemetry *t, const char *stage, const char *status, const char *detail,
                          uint64_t bytes, uint64_t total);
void goss_telemetry_stage(goss_telemetry *t, const char *stage, const char *status, int step, int total,
                          const char *detail);
void goss_telemetry_layer_stage(goss_telemetry *t, const char *stage, const char *detail);

/* An event: begin, what it has to say as ",\"key\":value" into the buffer, end. */
goss_buf *goss_telemetry_event_begin(goss_telemetry *t, const char *type);
void goss_telemetry_event_end(goss_telemetry *t, unsigned bit);
#endif
