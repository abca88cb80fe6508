/* job.h - a request on its way through the engine thread: its choices (lanes), what each has said so far, and the
 * writer that puts it into
 * a protocol's words. HTTP and the runner each hold one reference; everything but `out`, `canceled` and the
 * counters is the runner's. */
#ifndef GOSS_SERVER_JOB_H
#define GOSS_SERVER_JOB_H
#include "out.h"
#include "request.h"
#include <stdatomic.h>

enum { GOSS_SRV_REASONING, GOSS_SRV_SAID, GOSS_SRV_CALL };
typedef struct goss_srv_item {       /* one message of the answer, in order */
    int kind, message, closed;
    goss_buf text;                   /* reasoning, content or a call's arguments */
    char id[40], name[136];          /* name: of the function called, without "functions." */
    uint32_t first_prob;             /* GOSS_SRV_SAID: its tokens are records first_prob .. end_prob */
    uint32_t end_prob;
} goss_srv_item;

typedef struct goss_srv_record { int32_t token; float logprob; int n_top; goss_prob top[20]; } goss_srv_record;

enum { GOSS_SRV_ITEMS = 64 };        /* messages of one turn; more are joined to the last */
enum { GOSS_SRV_LANE_WAITS, GOSS_SRV_LANE_RUNS, GOSS_SRV_LANE_DONE };
typedef struct goss_srv_job goss_srv_job;
typedef struct goss_srv_lane {
    goss_srv_job *job;
    int index, prompt, state;
    goss_session *session;
    goss_srv_item items[GOSS_SRV_ITEMS]; int n_items;
    goss_buf probs;                  /* goss_srv_record each, when logprobs are asked for */
    uint32_t n_probs, probs_written; /* how many; how many a stream has carried */
    int stop, n_prompt, n_reused, n_generated, n_reasoning;
    double prefill_ms, decode_ms, start_ms, first_ms;
    size_t offset;                   /* completions: characters before the next record */
    goss_event event;                /* the one being written, for extras */
    goss_buf telemetry;              /* lines since the last chunk, joined by commas */
} goss_srv_lane;

typedef struct goss_srv_tokens { int32_t *ids; int n; } goss_srv_tokens;
typedef struct goss_srv_slot goss_srv_slot;
typedef struct goss_srv_writer goss_srv_writer;
struct goss_srv_job {
    atomic_int refs, canceled;
    goss_srv_request req;
    goss_srv_out out;
    atomic_int n_prompt, n_reused, n_generated, stop; /* for the log */
    double arrived_ms;
    int64_t created;
    char id[48];
    char model[128];                 /* the id of the model that answers */
    /* the runner's */
    goss_srv_job *next;
    goss_srv_slot *slot;
    goss_srv_tokens *prompts;        /* (n_prompts) */
    int n_prompts;
    goss_srv_lane *lanes; int n_lanes, n_started, n_done, begun;
    const goss_srv_writer *writer;
    goss_buf bytes;                  /* what the writer appends to */
    int sequence, n_blocks, block_open, n_outputs; /* the writers' counters */
    double load_ms;
    goss_srv_fail fail;
    const goss_engine *engine;       /* while running, for token texts */
};

/* A protocol's words. All append to job->bytes; `open`, `delta`, `close` and `lane_end` only in streams. */
struct goss_srv_writer {
    const char *stream_type;         /* Content-Type of streams */
    void (*begin)(goss_srv_job *job);
    void (*open)(goss_srv_job *job, goss_srv_lane *lane, goss_srv_item *item);
    void (*delta)(goss_srv_job *job, goss_srv_lane *lane, goss_srv_item *item, const char *text, size_t n);
    void (*close)(goss_srv_job *job, goss_srv_lane *lane, goss_srv_item *item);
    void (*lane_end)(goss_srv_job *job, goss_srv_lane *lane);
    void (*end)(goss_srv_job *job);  /* of the stream */
    void (*whole)(goss_srv_job *job); /* instead of all above, not streaming */
    void (*failed)(goss_srv_job *job); /* job->fail came after the stream had begun */
};
const goss_srv_writer *goss_srv_writer_of(goss_srv_api api);
/* The body of a refusal, in the words of the protocol. */
void goss_srv_write_fail(goss_buf *b, goss_srv_api api, const goss_srv_fail *fail);

/* What several writers need. */
void goss_srv_id(char *to, size_t cap, const char *prefix);    /* prefix and 24 random hex digits: unguessable */
const char *goss_srv_finish(const goss_srv_lane *lane);         /* "stop", "length", "tool_calls" */
size_t goss_srv_token_bytes(const goss_srv_job *job, int32_t token, char *to, size_t cap);
/* "token":"...","bytes":[...] */
void goss_srv_write_token(goss_buf *b, const goss_srv_job *job, int32_t token);
void goss_srv_write_record(goss_buf *b, const goss_srv_job *job, const goss_srv_record *r); /* OpenAI's chat form */
/* ,"extra":{...} when asked for */
void goss_srv_write_extra(goss_srv_job *job, goss_srv_lane *lane);
void goss_srv_write_stats(goss_srv_job *job, goss_srv_lane *lane);                          /* the same at the end */
/* a call's arguments as an object */
void goss_srv_write_arguments(goss_buf *b, const goss_srv_item *item);
/* OpenAI's chat and text completions: {...,"choices":[ and ],"usage":{...}} around the choices; the last chunks of a
 * stream; the error in a stream */
void goss_srv_write_choices(goss_srv_job *job);
void goss_srv_write_choices_end(goss_srv_job *job);
void goss_srv_write_done(goss_srv_job *job);
void goss_srv_write_failed(goss_srv_job *job);
void goss_srv_write_loaded(goss_srv_job *job); /* Ollama's answer to one that only loads or unloads */
void goss_srv_totals(const goss_srv_job *job, int *prompt, int *reused, int *generated, int *reasoning);
static inline const goss_srv_record *goss_srv_records(const goss_srv_lane *l) {
    return (const goss_srv_record *)l->probs.data;
}

/* lane.c: what the engine's events make of a lane. Calls the writer in streams. */
int goss_srv_lane_event(goss_srv_lane *lane, const goss_event *event); /* 1: the lane is done */
void goss_srv_lane_free(goss_srv_lane *lane);

int goss_srv_job_open(goss_srv_job **out, size_t max_unread);
void goss_srv_job_drop(goss_srv_job **job);  /* one reference */
#endif
