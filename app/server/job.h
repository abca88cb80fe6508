/* job.h - a request on its way through the engine thread: its choices (lanes), what each has said so far, and
 * the writer that puts it into a protocol's words. HTTP and the runner each hold one reference; everything
 * but `out`, `canceled` and the counters is the runner's. */
#ifndef GOSS_SERVER_JOB_H
#define GOSS_SERVER_JOB_H
#include "ids.h"
#include "out.h"
#include "request.h"
#include <stdatomic.h>

/* mcp: a call that the server makes; listed: what an MCP server offers */
enum { GOSS_SRV_REASONING, GOSS_SRV_SAID, GOSS_SRV_CALL, GOSS_SRV_MCP, GOSS_SRV_LISTED };
typedef struct goss_srv_item {       /* one message of the answer, in order */
    int kind, message, closed;
    goss_buf text;                   /* reasoning, content or a call's arguments */
    char id[40], name[136];          /* name: of the function called, in the client's words */
    const goss_srv_tool *tool;       /* the one called, NULL: not declared */
    uint32_t first_prob;             /* GOSS_SRV_SAID: its tokens are records first_prob .. end_prob */
    uint32_t end_prob;
    /* GOSS_SRV_MCP: it waits for approval; the request that allowed it; what came of it, as mcp_items.h has
     * it */
    int ask, failed;
    const char *approval;
    goss_buf output;
    const goss_srv_listing *listing; /* GOSS_SRV_LISTED */
} goss_srv_item;

/* A call of a custom tool: its text is the input as it is. */
static inline int goss_srv_is_custom(const goss_srv_item *item) { return item->tool && item->tool->custom; }

typedef struct goss_srv_record {
    int32_t token;
    float logprob;
    int n_top;
    goss_prob top[20];
} goss_srv_record;

typedef struct goss_srv_tokens {
    int32_t *ids;
    int n;
} goss_srv_tokens;
enum { GOSS_SRV_ITEMS = 64 };        /* of one answer; more are joined to the last */
enum { GOSS_SRV_LANE_WAITS, GOSS_SRV_LANE_RUNS, GOSS_SRV_LANE_DONE };
typedef struct goss_srv_job goss_srv_job;
typedef struct goss_srv_lane {
    goss_srv_job *job;
    int index, prompt, state;
    goss_session *session;
    goss_srv_item items[GOSS_SRV_ITEMS]; int n_items;
    goss_buf probs;                  /* goss_srv_record each, when logprobs are asked for */
    uint32_t n_probs, probs_written; /* how many; how many a stream has carried */
    int stop, n_prompt, n_prefilled, n_reused, n_generated, n_reasoning;
    struct {
        int prompt, reused, generated;
    } past; /* of the rounds before (rounds.h) */
    /* an answer that was reasoning alone: where it goes on from, how much of that is no prompt */
    goss_srv_tokens so_far;
    int n_said;
    double prefill_ms, decode_ms, start_ms, first_ms;
    size_t offset;                   /* completions: characters before the next record */
    goss_event event;                /* the one being written, for extras */
    goss_buf telemetry;              /* lines since the last chunk, joined by commas */
} goss_srv_lane;

typedef struct goss_srv_seat goss_srv_seat;
typedef struct goss_srv_writer goss_srv_writer;
struct goss_srv_job {
    atomic_int refs, canceled;
    goss_srv_request req;
    goss_srv_out out;
    atomic_int n_prompt, n_reused, n_generated, stop; /* for the log */
    double arrived_ms;
    int64_t created;
    char id[48];
    char model[GOSS_SRV_ID];                 /* the id of the model that answers */
    /* the runner's */
    goss_srv_job *next;
    goss_srv_seat *seat;
    /* of its preparing thread (prepare.h), which has the job for itself until `prepared` */
    pthread_t thread; int preparing, outcome;
    atomic_int prepared;
    void (*on_prepared)(void *ctx); void *prepared_ctx;
    goss_srv_tokens *prompts;        /* (n_prompts) */
    int n_prompts;
    goss_srv_lane *lanes; int n_lanes, n_started, n_done, begun;
    const goss_srv_writer *writer;
    goss_buf bytes;                  /* what the writer appends to */
    int sequence, n_blocks, block_open, n_outputs; /* the writers' counters */
    /* rounds.h: what the job waits for, the call that is made and its item, how many were made and how many
     * of them had been approved before, the first item that is no message of the conversation yet */
    int round, n_calls, n_approved, first_item;
    struct goss_srv_call *call;
    goss_srv_item *calling;
    double load_ms;
    int n_embedded;                  /* prompts whose embeddings are written */
    struct goss_srv_background *background; /* background.h; NULL: somebody waits for the answer */
    double told_ms;                  /* when it was last said how far its prompt is (prefilling.h) */
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
    /* the prompt takes long: so many of its tokens are computed. NULL: a comment says it */
    void (*waits)(goss_srv_job *job, int done, int total);
    /* a call that the server made is over. NULL: the protocol does not tell of such calls */
    void (*called)(goss_srv_job *job, goss_srv_lane *lane, goss_srv_item *item);
};
/* The body of a refusal, in the words of the protocol. */
void goss_srv_write_fail(goss_buf *b, goss_srv_api api, const goss_srv_fail *fail);

/* What several writers need. */
const char *goss_srv_finish(const goss_srv_lane *lane);         /* "stop", "length", "tool_calls" */
size_t goss_srv_token_bytes(const goss_srv_job *job, int32_t token, char *to, size_t cap);
/* "token":"...","bytes":[...] */
void goss_srv_write_token(goss_buf *b, const goss_srv_job *job, int32_t token);
/* OpenAI's chat form */
void goss_srv_write_record(goss_buf *b, const goss_srv_job *job, const goss_srv_record *r);
/* ,"extra":{...} when asked for */
void goss_srv_write_extra(goss_srv_job *job, goss_srv_lane *lane);
/* the same at the end */
void goss_srv_write_stats(goss_srv_job *job, goss_srv_lane *lane);
/* a call's arguments as an object */
void goss_srv_write_arguments(goss_buf *b, const goss_srv_item *item);
/* OpenAI's chat and text completions: {...,"choices":[ and ],"usage":{...}} around the choices; the last
 * chunks of a stream; the error in a stream */
void goss_srv_write_choices(goss_srv_job *job);
void goss_srv_write_choices_end(goss_srv_job *job);
void goss_srv_write_done(goss_srv_job *job);
void goss_srv_write_failed(goss_srv_job *job);
void goss_srv_write_loaded(goss_srv_job *job); /* Ollama's answer to one that only loads or unloads */
/* what was counted, as Responses have it */
void goss_srv_write_counts(goss_buf *b, const goss_srv_job *job);
/* a response that is not there yet, with this status; of one in the background, its first events */
void goss_srv_write_pending(goss_buf *b, const goss_srv_job *job, const char *status);
void goss_srv_write_queued(goss_srv_job *job);
void goss_srv_totals(const goss_srv_job *job, int *prompt, int *reused, int *generated, int *reasoning);
static inline const goss_srv_record *goss_srv_records(const goss_srv_lane *l)
{
    return (const goss_srv_record *)l->probs.data;
}

/* lane.c: what the engine's events make of a lane. Calls the writer in streams. */
int goss_srv_lane_event(goss_srv_lane *lane, const goss_event *event); /* 1: the lane is done */
/* 1: it is, but for a call that the server makes now; for an answer: the model ended its turn behind the
 * reasoning */
int goss_srv_lane_calls(const goss_srv_lane *lane);
int goss_srv_lane_lacks(const goss_srv_lane *lane);
/* Items that no event of the engine makes: what an MCP server offers; a call that was approved. NULL: there
 * is no room for more. */
goss_srv_item *goss_srv_lane_list(goss_srv_lane *lane, const goss_srv_listing *listing);
goss_srv_item *goss_srv_lane_approved(goss_srv_lane *lane, const goss_srv_approval *approval);
void goss_srv_lane_free(goss_srv_lane *lane);

int goss_srv_job_open(goss_srv_job **out, size_t max_unread);
void goss_srv_job_drop(goss_srv_job **job);  /* one reference */
#endif
