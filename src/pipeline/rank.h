/* rank.h - what a later rank of a pipeline does with the messages about its open model. */
#ifndef GOSS_PIPELINE_RANK_H
#define GOSS_PIPELINE_RANK_H
#include "message.h"

/* What a rank adds to OPEN. */
typedef struct goss_pipe_opened {
    char level[GOSS_PIPE_LEVEL];
    uint64_t page_bytes[GOSS_KV_CLASSES], kv_bytes, weight_bytes, bytes_allocated;
    int32_t is_gpu, decode_rows;
} goss_pipe_opened;
void goss_pipe_opened_by(goss_pipe_opened *o, const goss_backend *b);

/* A step that is under way here. */
typedef struct goss_rank_flight {
    goss_pipe_room room;
    goss_buf message; /* what goes on of what came */
    int ticket;
} goss_rank_flight;
typedef struct goss_rank {
    const goss_ring *ring;
    goss_backend *backend; /* borrowed: of this rank's layers */
    int is_last;
    goss_rank_flight flights[GOSS_FLIGHTS]; /* from number `first` on, n of them, in order; most at once */
    int first, n, most;
    goss_pick *picks;
    goss_buf out; /* the message that goes on */
} goss_rank;
/* GOSS_ENOMEM leaves what close takes. */
int goss_rank_open(goss_rank *r, const goss_ring *ring, goss_backend *b, const goss_pipe_open *o);
void goss_rank_close(goss_rank *r);
/* Does this rank's part of a STEP, COPY, READ or WRITE, and sends the message on: of a step when it is done,
 * that is, in goss_rank_advance. A failure of its own goes on in the message; what is returned is the
 * ring's. */
int goss_rank_handle(goss_rank *r, const goss_pipe_head *h, goss_error *err);
/* Sends on the oldest step under way, if it is done within timeout_ms: 0, GOSS_EAGAIN or the ring's. */
int goss_rank_advance(goss_rank *r, int timeout_ms, goss_error *err);
int goss_rank_drain(goss_rank *r, goss_error *err); /* all of them */
#endif
