/* engine.h - what the files of src/engine share: the engine, its sessions, its steps in flight, its cache.
 *
 * The one representation that everything rests on: a session has `n_known` tokens whose ids the host knows and a KV
 * that holds `kv.n` positions, of which those in flight are not computed yet.
 *   kv.n <  n_known   the rest is to be put through the model: a prompt's chunk, or the one token sampled last
 *   kv.n == n_known   the token at position kv.n is being sampled; a device that keeps several steps in flight
 *   kv.n >  n_known   can be given its row already, and those behind it (GOSS_TOKEN_SAMPLED)
 * Stopping, cancelling, a rejected draft, a lost device: all are "forget what is in flight (epoch), truncate the KV".
 *
 *   load.c       sources, headers, shards, binding, opening the backend      plan.c       what fits
 *   engine.c     open, poll, close, info, stats                              session.c    open, prompt, events
 *   scheduler.c  steps out of sessions, and their results                    output.c     tokens to text, stops, events
 *   prefix.c     what can be reused, and idle-time warming                   speculate.c  drafts
 *   pace.c       how many drafts pay
 *   keep.c       prefixes in a store that outlives the engine
 *   schema.c, regex.c, automaton.c  JSON schemas; grammar.c: their masks        telemetry.c  every line of JSON
 *   observe.c    layer telemetry from the backend's taps                     api.c        the calls that block */
#ifndef GOSS_ENGINE_ENGINE_H
#define GOSS_ENGINE_ENGINE_H
#include "../base/arena.h"
#include "../base/buf.h"
#include "../base/error.h"
#include "../base/os.h"
#include "../base/utf8.h"
#include "../model/stage.h"
#include "../text/chat.h"
#include "grammar.h"

enum {
    /* a session's queue; it is not given rows while fewer than GOSS_EVENTS_SPARE are free */
    GOSS_EVENTS = 256,
    GOSS_EVENTS_SPARE = 64,
    GOSS_TEXT = 1 << 15,         /* bytes of text that wait with the events, and how many must be free */
    GOSS_TEXT_SPARE = 1 << 13,
    /* prefill rows of a step that others decode in: what a long prompt may delay them by */
    GOSS_ROWS = 512, GOSS_MOST_ROWS = 2048, /* of a step: at first; what a GPU may come to */
    GOSS_FAIR_ROWS = 128,
    /* with the token before them 16 rows: a row's result is bit-equal in batches up to that */
    GOSS_DRAFT_MAX = 15,
    GOSS_STOPS = 16, GOSS_STOP_BYTES = 256,
    GOSS_ROLLBACK = 64,          /* positions that every session's windowed layers can be taken back */
    GOSS_CACHED = 48,            /* sequences kept for reuse */
    GOSS_LOST_MOST = 5,          /* losses of the device without a step between, before the engine gives up */
    GOSS_FILES = 256             /* shards */
};

typedef struct goss_speculator goss_speculator; /* speculate.c */
typedef struct goss_observer goss_observer;     /* observe.c */
typedef struct goss_keeper goss_keeper;         /* keep.c */

/* ---- loading ------------------------------------------------------------------------------------------- */
typedef struct goss_file {
    goss_source source;
    goss_mapping mapping; int mapped;
    uint8_t *head; uint64_t n_head, want;   /* header bytes where the source has no map */
    uint8_t *bytes;                         /* the whole file, for backends that compute on memory */
    uint64_t n_read;
} goss_file;
enum { GOSS_READS = 4 };
typedef struct goss_loader {
    int phase, kind;                        /* GOSS_LOAD_*, GOSS_KIND_* */
    goss_file *files; int n_files, at;
    goss_source *sources;                   /* (n_files) for the backend */
    uint64_t next, total, done;             /* whole-file reads */
    struct { int busy; int file; uint64_t n; } read[GOSS_READS];
    int failed;                             /* status of a read that failed */
    double t0, reported;
} goss_loader;

/* ---- steps --------------------------------------------------------------------------------------------- */
typedef struct goss_cached goss_cached;
typedef struct goss_part {                  /* one sequence's rows of a step */
    goss_session *session; goss_cached *warm;
    uint32_t epoch;
    int pos, n_rows, n_drafts, n_picks;
} goss_part;
typedef struct goss_flight {
    goss_step step;
    goss_row *rows; goss_seq *seqs; goss_pick *picks; goss_part *parts;
    int n_decode, n_prefill;
    double t0;
} goss_flight;

/* A sequence kept for reuse: tokens[0..n) of which the KV holds kv.n. Wanted in full when `warm`. */
struct goss_cached {
    goss_kv kv; int32_t *tokens; int n, live, warm, busy; uint64_t used;
    int keep;                               /* in the store: GOSS_KEEP_* */
};
enum { GOSS_KEEP_NO, GOSS_KEEP_AT_END, GOSS_KEEP_SOON, GOSS_KEPT };

/* ---- sessions ------------------------------------------------------------------------------------------ */
typedef struct goss_queued { goss_event event; uint32_t text_at, recipient_at; } goss_queued;
typedef struct goss_stop_text { char bytes[GOSS_STOP_BYTES]; int n; } goss_stop_text;

struct goss_session {
    goss_engine *engine;
    int slot;
    goss_arena arena;
    goss_kv kv;
    int32_t *tokens;             /* (max_kv + GOSS_DRAFT_MAX + 2) by position */
    int n_known, n_prompt, n_reused, n_stored, n_joined, n_limit, n_generated, n_prefilled;
    int n_inflight;
    uint32_t epoch;              /* results of steps begun under another are thrown away */
    int active, canceled, closed, prefill_only;
    uint64_t used;               /* the engine's clock when it last ran */
    uint64_t born;               /* and when its prompt came */
    goss_session *follows; int follow_n; uint64_t follow_born; /* prefix.c: whose prefill it waits for */
    goss_sampler sampler;
    int max_tokens, ignore_stop, chat, no_guard, draft, n_probs;
    /* text */
    goss_utf8_stream utf8; goss_buf decoded, piece;
    goss_chat_parser *parser;
    goss_stop_text *stops; int n_stops;
    goss_buf held; const char *held_channel; char held_recipient[128]; int held_message;
    const char *channel; char recipient[128]; int message, in_content;
    uint32_t *mask; int guarded; /* (n_vocab bits); the guard's, not a schema's */
    goss_grammar *grammar;       /* the answer's schema and strict tools', NULL: none */
    /* events */
    goss_queued *queue; goss_prob *probs; int first_event, n_events;
    goss_buf text;
    /* drafts */
    int n_drafts, draft_want, draft_most, draft_pause, draft_rest, draft_probe; /* pace.c */
    double draft_hits, draft_tries;           /* of guesses, the older the lighter */
    int32_t *predicted; int n_predicted, predicted_at; /* params.predicted, and where the answer is in it */
    double t_prompt, t_first, t_last;
};

struct goss_engine {
    int state; goss_error error;
    goss_engine_config config;   /* its strings are copies */
    goss_buf strings;
    goss_loader load;
    goss_gguf gguf; goss_model model; int bound;
    goss_vocab *vocab; goss_chat_format format;
    int32_t tok_start, tok_end, tok_message, tok_channel, tok_call, tok_return; /* Harmony's, -1: none */
    goss_backend *backend, *host;            /* host: computes experts for a GPU (--n-cpu-moe), else NULL */
    goss_plan_info plan;
    goss_kv_pool pool; int pool_open;
    int max_sessions, max_rows, max_kv;
    int chunk_rows;              /* of max_rows, how many a step takes of prompts: pace.c */
    int filling;                 /* usable, but weights are still on their way */
    int gpu_tiles;               /* goss_backend_config.tiles */
    int n_lost;                  /* times the device was lost since a step last came back */
    goss_session **sessions;     /* (max_sessions), NULL: free */
    int turn;                    /* whose row comes first in the next step */
    goss_flight flight[GOSS_FLIGHTS]; int first_flight, n_flights;
    goss_cached cached[GOSS_CACHED]; int n_warm;
    uint64_t clock;
    goss_kv scratch;             /* for goss_eval and goss_trace */
    goss_word_list *words;       /* made when the first schema comes */
    goss_speculator *speculator;
    goss_observer *observer;
    goss_keeper *keeper;         /* NULL: prefixes live as long as the engine */
    goss_buf line;               /* a telemetry line */
    const goss_session *about;   /* the session that it is about, NULL: the engine */
    goss_telemetry_fn on_line; void *on_line_ctx; /* goss_generate's */
    goss_stats stats;
    double t_collected;          /* when a step's results last came */
    double step_ms[GOSS_DRAFT_MAX + 2]; /* what a step of so many decode rows takes, lately; 0: not known */
    double draft_ms;             /* what a round of the draft model takes */
    int n_deciding;              /* sessions whose next row is in the step that is being built */
    double t_poll, slow_ms;
};

/* load.c */
int goss_load_begin(goss_engine *e, goss_error *err);      /* takes sources or opens paths */
int goss_load_advance(goss_engine *e, goss_error *err);    /* GOSS_EAGAIN, 0 when ready, or what went wrong */
int goss_load_fill(goss_engine *e, goss_error *err);       /* weights that come later: 1 while there is more to do */
int goss_load_read_done(goss_engine *e, uint64_t tag, int status); /* 1: the tag was the loader's */
void goss_load_close(goss_engine *e);
void goss_load_restart(goss_engine *e);                    /* the device was lost: the backend is opened again */
/* one file's header; for listing */
int goss_load_header(goss_gguf *g, goss_mapping *m, const char *path, goss_error *err);
/* engine.c */
/* the backend is */
int goss_engine_ready(goss_engine *e, void (*kv_copy)(void *ctx, int cls, int from, int to), goss_error *err);
const char *goss_engine_kv(const goss_engine *e);          /* the KV's type as it is */
/* plan.c */
/* Most rows of a step, where nobody asked for a number. */
int goss_plan_rows(const goss_model *m, const goss_engine_config *c, int gpu);
int goss_plan_make(const goss_model *m, const goss_engine_config *c, int gpu, goss_plan_info *p, int *kv_type,
                   goss_error *err);
void goss_plan_describe(const goss_model *m, goss_model_info *out);
/* scheduler.c */
int goss_steps_open(goss_engine *e);
void goss_steps_close(goss_engine *e);
int goss_steps_advance(goss_engine *e, int timeout_ms, goss_error *err); /* 1: more to do, 0: idle */
void goss_steps_drain(goss_engine *e);                     /* waits for what is in flight */
int goss_steps_extend(goss_engine *e, goss_kv *kv, int n); /* goss_kv_extend, giving up cached sequences for room */
/* session.c */
void goss_session_free(goss_session *s);
void goss_session_begin(goss_session *s, int n_reused);    /* its prompt's first n_reused positions are there */
void goss_session_finish(goss_session *s, int stop, const goss_error *error); /* queues DONE */
int goss_session_room(const goss_session *s);
/* what is in flight is void; the KV goes back to n positions */
void goss_session_forget(goss_session *s, int n);
void goss_session_queue(goss_session *s, goss_event *ev, const char *text, size_t n, const char *recipient);
/* output.c */
int goss_output_open(goss_session *s);
void goss_output_close(goss_session *s);
int goss_output_begin(goss_session *s, const goss_params *p, goss_error *err);
int goss_output_resume(goss_session *s, const int32_t *ids, int n); /* a prompt that ends inside the assistant's turn */
int goss_output_token(goss_session *s, const goss_pick *pick);   /* a GOSS_STOP reason, GOSS_STOP_NONE to go on */
void goss_output_end(goss_session *s, goss_event *done);   /* flushes what was held back into events and `done` */
const uint32_t *goss_output_mask(goss_session *s);         /* for the next token; NULL: anything goes */
int goss_output_wants_mask(goss_session *s);
/* prefix.c */
int goss_prefix_open(goss_engine *e);
void goss_prefix_close(goss_engine *e);
/* fills s->kv; returns the positions it holds */
int goss_prefix_reuse(goss_session *s, const int32_t *ids, int n, int most);
/* Whether somebody computes the beginning of s's prompt now: then s waits for it. join: ends waits that are over. */
int goss_prefix_follow(goss_session *s);
void goss_prefix_join(goss_engine *e);
void goss_prefix_left(const goss_session *s);              /* nobody can follow s any more */
void goss_prefix_snapshot(goss_session *s);                /* after a chunk: message boundaries that it passed */
goss_cached *goss_prefix_keep(goss_engine *e, const goss_kv *kv, const int32_t *ids, int n); /* NULL: it is not */
goss_cached *goss_prefix_place(goss_engine *e, const int32_t *ids, int n); /* a live entry without KV, or NULL */
void goss_prefix_forget(goss_cached *c);
void goss_prefix_finished(goss_session *s, int stop);      /* the turn's canonical form, to be warmed */
int goss_prefix_evict(goss_engine *e, const goss_kv *but); /* 1: gave something back */
goss_cached *goss_prefix_warm(goss_engine *e);             /* what idle time should go on with, NULL: nothing */
void goss_prefix_drop(goss_engine *e);                     /* everything: the device lost it */
/* keep.c: prefixes in the application's store */
int goss_keep_open(goss_engine *e, goss_error *err);
void goss_keep_close(goss_engine *e);                      /* stores what is worth it */
/* Makes an entry of the store that shares more than `have` tokens with ids an entry in memory; 1: it did. */
int goss_keep_fetch(goss_engine *e, const int32_t *ids, int most, int have);
int goss_keep_waits(const goss_engine *e);                 /* something is to be stored in idle time */
void goss_keep_idle(goss_engine *e, int timeout_ms);       /* a page of it; waits so long for the device */
int goss_keep_give_up(goss_engine *e);                     /* 1: an entry was being written and is not any more */
/* speculate.c */
int goss_speculate_open(goss_engine *e, goss_error *err);  /* the draft model, if the config names one */
void goss_speculate_close(goss_engine *e);
int goss_speculate(goss_session *s, int most);             /* writes drafts behind the known tokens; returns how many */
void goss_speculate_batch(goss_engine *e);                 /* lets the draft model work for all sessions at once */
void goss_speculate_emitted(goss_session *s);              /* a token was sampled: the prediction moves with it */
int goss_speculate_predict(goss_session *s, const int32_t *ids, int n); /* copies; 0 or GOSS_ENOMEM */
/* pace.c: how many guesses pay */
int goss_pace_length(goss_session *s, double guess_ms);    /* for the next step; a guess costs guess_ms to make */
void goss_pace_result(goss_session *s, int drafted, int accepted);
void goss_pace_time(goss_engine *e, int n_rows, double ms); /* a step of n_rows decode rows alone took so long */
void goss_pace_chunk(goss_engine *e, int n_rows, double ms); /* one with rows of prompts: its like may take more */
void goss_pace_reset(goss_session *s);
/* telemetry.c */
int goss_telemetry_on(const goss_engine *e, unsigned bit);
void goss_telemetry_load(goss_engine *e, const char *stage, const char *status, const char *detail);
void goss_telemetry_bytes(goss_engine *e, const char *stage, const char *status, const char *detail,
                          uint64_t bytes, uint64_t total);
void goss_telemetry_stage(goss_engine *e, const char *stage, const char *status, int step, int total,
                          const char *detail);
void goss_telemetry_detail(goss_engine *e, unsigned bit, const char *stage, const char *status, int step,
                           int total, const char *detail);
void goss_telemetry_token(goss_session *s, const goss_pick *pick);
void goss_telemetry_channel(goss_session *s);
void goss_telemetry_prompt(goss_session *s);
void goss_telemetry_prefill(goss_session *s, int n_rows);
void goss_telemetry_done(goss_session *s, int stop);
void goss_telemetry_speculation(goss_session *s, int drafted, int accepted);
void goss_telemetry_memory(goss_engine *e);
void goss_telemetry_cache(goss_engine *e, int layer, int seq_len, int max_len, int offset, uint64_t bytes);
void goss_telemetry_line(goss_engine *e, unsigned bit, const char *json, size_t n); /* a backend's own line */
/* observe.c */
int goss_observe_open(goss_engine *e);
void goss_observe_close(goss_engine *e);
void goss_observe_attach(goss_engine *e);                  /* taps the backend (again) */
void goss_observe_step(goss_engine *e, const goss_step *step);
void goss_observe_reset(goss_engine *e);
#endif
