/* recorded.h - a whole recording in memory: its model, turns, tokens and steps, as docs/recording.md has
 * them. */
#ifndef GOSS_COMMON_RECORDED_H
#define GOSS_COMMON_RECORDED_H
#include "record_read.h"

enum { GOSS_RECORDED_TOP = 8, GOSS_RECORDED_LOOKS = 16, GOSS_RECORDED_NONE = -1 };
typedef struct goss_recorded_token {
    int turn, position, id, kind, channel; /* channel: index in channels */
    float logprob, entropy;
    int64_t step, row_step; /* GOSS_RECORDED_NONE: none */
    int n_top, top_id[GOSS_RECORDED_TOP];
    float top_logprob[GOSS_RECORDED_TOP];
    int watch[2];
    int n_looks, look[GOSS_RECORDED_LOOKS];
    float look_weight[GOSS_RECORDED_LOOKS];
    int routed; /* 1: its experts are known */
} goss_recorded_token;
typedef struct goss_recorded_turn {
    int turn, session, of, from, n_prompt, n_reused, n_generated;
    double begin_ms, end_ms;    /* end_ms 0: it did not end */
    const char *stop, *request; /* "" and NULL: not there */
} goss_recorded_turn;
typedef struct goss_recorded_step {
    double ms;
    float took;
    int n_rows, n_prompt_rows, n_sessions, n_drafted, n_accepted;
} goss_recorded_step;

typedef struct goss_recorded {
    goss_owned *owned; /* of the texts */
    const char *head;  /* the head's JSON; NULL: there was none */
    goss_str name, program;
    int n_layer, n_expert, n_expert_used, window, n_head;
    double t0_ms;
    int whole;                       /* 1: it ends with its end */
    goss_buf tokens, steps, turns;   /* arrays of the structs above */
    goss_buf expert, expert_weight;  /* (tokens, n_layer, n_expert_used) u16 */
    goss_buf channels, words, lines; /* const char *; goss_str by id; JSON lines */
    size_t n_blocks, bytes;
} goss_recorded;

/* Reads all blocks. 0 or an error; close it in either case. */
int goss_recorded_read(goss_recorded *r, const uint8_t *bytes, size_t n, goss_error *err);
void goss_recorded_close(goss_recorded *r);

static inline int goss_recorded_n_tokens(const goss_recorded *r)
{
    return (int)(r->tokens.len / sizeof(goss_recorded_token));
}
static inline goss_recorded_token *goss_recorded_tokens(const goss_recorded *r)
{
    return (goss_recorded_token *)(void *)r->tokens.data;
}
static inline int goss_recorded_n_steps(const goss_recorded *r)
{
    return (int)(r->steps.len / sizeof(goss_recorded_step));
}
static inline const goss_recorded_step *goss_recorded_steps(const goss_recorded *r)
{
    return (const goss_recorded_step *)(const void *)r->steps.data;
}
static inline int goss_recorded_n_turns(const goss_recorded *r)
{
    return (int)(r->turns.len / sizeof(goss_recorded_turn));
}
static inline goss_recorded_turn *goss_recorded_turns(const goss_recorded *r)
{
    return (goss_recorded_turn *)(void *)r->turns.data;
}
/* The router's choice of token i in a layer: n_expert_used of them. NULL: not known. */
const uint16_t *goss_recorded_experts(const goss_recorded *r, int i, int layer, const uint16_t **weights);
goss_str goss_recorded_word(const goss_recorded *r, int id); /* its bytes; none when unknown */
const char *goss_recorded_channel(const goss_recorded *r, int channel);
goss_recorded_turn *goss_recorded_turn_of(const goss_recorded *r, int turn); /* NULL */
#endif
