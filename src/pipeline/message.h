/* message.h - what the ranks of a pipeline say to each other: one kind of message for all, each a head and a
 * body, in the bytes of the machine (all ranks run the same program).
 *
 * A message begins at rank 0, goes round the ring once, and ends there; each rank does its part, changes the
 * body, and sends it on. So every rank sees everything in one order, and no rank needs to wait for another:
 *
 *   HELLO   a goss_pipe_fact of each rank is added
 *   OPEN    goss_pipe_open: the model, the options, who has which layers; each rank opens its backend and adds
 *           its level (GOSS_PIPE_LEVEL bytes)
 *   STEP    the step, then the residual (n_rows, n_embd) that the ranks before left; the last rank puts picks,
 *           logits and (where it was asked for) the residual in the place of all that
 *   COPY    class, from, to: a page of KV is copied
 *   READ    class, page; each rank adds its layers' bytes of it: together they are what one process would have
 *   WRITE   class, page, bytes of all ranks' layers, of which each takes its own
 *   CLOSE   the model is closed; END   so are the ranks
 *
 * A rank that fails sets status and why; those behind it pass the message on as it is. */
#ifndef GOSS_PIPELINE_MESSAGE_H
#define GOSS_PIPELINE_MESSAGE_H
#include "base/buf.h"
#include "model/stage.h"

enum {
    GOSS_PIPE_HELLO = 1,
    GOSS_PIPE_OPEN,
    GOSS_PIPE_STEP,
    GOSS_PIPE_COPY,
    GOSS_PIPE_READ,
    GOSS_PIPE_WRITE,
    GOSS_PIPE_CLOSE,
    GOSS_PIPE_END
};
enum { GOSS_PIPE_RANKS = 64, GOSS_PIPE_LEVEL = 112, GOSS_PIPE_PATH = 1024 };

typedef struct goss_pipe_head {
    char version[16]; /* GOSS_VERSION */
    int32_t kind, status, ticket, unused;
    uint64_t n_body;
    char why[200]; /* where status is an error */
} goss_pipe_head;
typedef struct goss_pipe_fact {
    char host[64];
    uint64_t memory;
    double bytes_ms;
    int32_t own, unused; /* 1: of a device's own memory, which no other rank has a part of */
} goss_pipe_fact;
typedef struct goss_pipe_open {
    char path[GOSS_PIPE_PATH];
    uint64_t file_bytes, n_tensors; /* the ranks' files must be the same */
    int32_t n_layers, yarn_llamacpp, attn_dense, moe_fallback;
    int32_t max_rows, max_slots, max_kv, n_pages[GOSS_KV_CLASSES], kv_type;
    int32_t first[GOSS_PIPE_RANKS + 1]; /* rank r has layers [first[r], first[r + 1]) */
} goss_pipe_open;
typedef struct goss_pipe_page {
    int32_t cls, from, to, unused;
} goss_pipe_page;
/* What of a result comes back. */
typedef struct goss_pipe_result {
    int32_t n_picks, n_logits, n_residual, unused;
} goss_pipe_result;

/* The sizes that a step's message depends on. */
typedef struct goss_pipe_shape {
    int n_embd, n_vocab, max_rows, max_slots, max_kv, n_pages[GOSS_KV_CLASSES];
} goss_pipe_shape;

/* Begins a message in b, and ends it: its length is known then. */
void goss_pipe_begin(goss_buf *b, int kind, int ticket);
void goss_pipe_end(goss_buf *b);
/* The head of a message, NULL when these bytes are none of this version. */
const goss_pipe_head *goss_pipe_head_of(const void *bytes, size_t n);
/* Whole rows of what was received go on as they are, with a failure in the head. */
void goss_pipe_fail(goss_buf *b, int kind, int ticket, const goss_error *why);

/* Adds a step to b, all but its residual. keep: the residual is wanted back. */
void goss_pipe_put_step(goss_buf *b, const goss_pipe_shape *shape, const goss_step *s, int keep);

/* Where a received step is unfolded; its masks lie in the message. */
typedef struct goss_pipe_room {
    goss_pipe_shape shape;
    goss_step step;
    int keep;
    const float *x; /* (n_rows, n_embd), in the message */
    size_t n_said;  /* bytes of the body before it */
    goss_row *rows;
    goss_seq *seqs;
    goss_kv *kv;
    goss_sampler *samplers;
    int32_t *pages[GOSS_KV_CLASSES]; /* (max_slots, pages of max_kv) */
    int32_t *tokens;
    size_t n_tokens; /* (max_slots, max_kv + 1): of penalties' windows alone */
} goss_pipe_room;
int goss_pipe_room_open(goss_pipe_room *r, const goss_pipe_shape *shape); /* 0 or GOSS_ENOMEM */
void goss_pipe_room_close(goss_pipe_room *r);
/* 0, or GOSS_EFORMAT: the bytes are no step of this shape. */
int goss_pipe_get_step(goss_pipe_room *r, const uint8_t *body, size_t n);
#endif
