/* engine_state.h - an engine is put together of parts that know nothing of it; each has a header of its own.
 * Only the files that bring parts together take the whole: session, speculate, scheduler, stats, engine,
 * api. */
#ifndef GOSS_ENGINE_ENGINE_STATE_H
#define GOSS_ENGINE_ENGINE_STATE_H
#include "draft_model.h"
#include "load.h"
#include "pace.h"
#include "prefix/join.h"
#include "prefix/reuse.h"
#include "schema/grammar.h"
#include "tape/tape.h"
#include "telemetry/lanes.h"
#include "telemetry/observe.h"
#include "telemetry/telemetry.h"

typedef struct goss_part {                 /* one sequence's rows of a step: a session's, or a cached one's */
    goss_session *session; goss_cached *warm;
    uint32_t epoch;
    int pos, n_rows, n_drafts, n_picks;
    int n_prompt, n_accepted; /* of the rows: a prompt's; of the drafts: right ones */
} goss_part;
typedef struct goss_flight {                /* a step under way */
    goss_step step;
    goss_row *rows; goss_seq *seqs; goss_pick *picks; goss_part *parts;
    int n_decode, n_prefill;                /* rows of either kind; short prompts' go with the decoding */
    int waits;                              /* others wait for it */
    int aside;                              /* its sequences' KV is goss_flights.aside: it may be paused */
    double t0, ran_ms;                      /* when it began, or went on; what it ran before its last pause */
} goss_flight;
typedef struct goss_flights {
    goss_flight ring[GOSS_FLIGHTS]; /* n_ring of them, as many as there may be in flight */
    int n_ring;
    int first, n;
    int turn;                               /* the slot whose row comes first in the next step */
    double t_waited;                        /* when somebody last waited for another's prompt */
    int decodes;                            /* steps that decoded since one prefilled */
    double t_collected;                     /* when a step's results last came */
    goss_flight paused; int is_paused;      /* the step that is paused, if one is: it is not in the ring */
    goss_kv *aside;                         /* (max_sessions) by slot, where steps can be paused */
    int beside;                             /* 1: another ran since it was paused */
    int firsts;                             /* turns of the first prompt since another had one */
} goss_flights;

struct goss_engine {
    int state; goss_error error;            /* GOSS_ENGINE_*; why it failed */
    goss_engine_config config;             /* its strings are copies, in `strings`; max_sessions is never 0 */
    goss_buf strings;
    goss_telemetry telemetry;
    goss_lanes lanes;
    goss_loader load;
    goss_loaded loaded;
    goss_kv_pool pool; int pool_open;
    goss_session **sessions;                /* (max_sessions), NULL: free */
    goss_prefixes prefixes;
    goss_joins joins;
    goss_flights flights;
    goss_kv scratch;                        /* for goss_eval and goss_trace */
    goss_schema_room schemas;               /* what compiled schemas share, and may take */
    goss_pace pace;
    goss_draft_model *draft_model;          /* NULL: none */
    goss_draft_ask *asks;                   /* (max_sessions) of the draft model */
    goss_observer *observer;                /* NULL: nobody looks at layers */
    goss_tape *tape;                        /* NULL: nothing is recorded */
    int sees;                               /* 1: the backend keeps what it sees of rows */
    uint16_t *seen;                         /* (2, n_layer, n_expert_used) experts of a row, their weights */
    goss_stats stats;
    double model_ms;                        /* processor time in loading and steps */
    int measured;                           /* 1: nothing is left to measure, or it can't be */
};

/* The backend keeps what it sees of rows from now on, or no longer, as a recording or telemetry wants it. 0
 * or GOSS_ENOMEM. */
int goss_engine_see(goss_engine *e);
#endif
