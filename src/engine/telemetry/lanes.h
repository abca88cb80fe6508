/* lanes.h - lines that name several sessions: whose rows a step had, what a prompt found and whom it waited
 * for, who holds which KV pages (GOSS_TELEMETRY_STEPS). Steps are gathered, so that a line has those of some
 * GOSS_LANES_MS; while nobody listens nothing is. */
#ifndef GOSS_TELEMETRY_LANES_H
#define GOSS_TELEMETRY_LANES_H
#include "model/kv.h"
#include "turn.h"

enum { GOSS_LANES_MS = 100, GOSS_PAGES_MS = 250 };

typedef struct goss_lanes {
    goss_telemetry *sink;
    goss_buf steps;          /* of the line to come: "[began,ms,[...],...],..." */
    int n_steps, changed;    /* in it; 1: pages may be others than the last line said */
    uint64_t first;          /* number of the first of them */
    double t_first, t_pages; /* when it ended; when pages were told last */
} goss_lanes;

/* A sequence's rows of a step, n_prompt of them a prompt's. Slot -1: a prefix that idle time computes. */
typedef struct goss_lane_rows {
    int slot, pos, n_rows, n_prompt, n_drafts, n_accepted;
} goss_lane_rows;

void goss_lanes_open(goss_lanes *l, goss_telemetry *sink);
void goss_lanes_close(goss_lanes *l);
/* The engine's step of that number is done. 0: nobody listens; else its rows are said, then its end. */
int goss_lanes_step(goss_lanes *l, uint64_t number, double began, double ms);
void goss_lanes_rows(goss_lanes *l, const goss_lane_rows *r);
void goss_lanes_step_end(goss_lanes *l);
/* Says what was gathered, if it is time or nothing more comes (idle). 1: KV pages are to be told now, too. */
int goss_lanes_tell(goss_lanes *l, int idle);

void goss_lanes_prompt(goss_lanes *l, const goss_turn *turn);
/* The prompt waits for that of session `other`. */
void goss_lanes_wait(goss_lanes *l, const goss_turn *turn, int other);

/* KV pages: begin, each sequence that holds some, end. cached 1: no session's any more; slot: whose it is or
 * was, -1: nobody's. */
void goss_lanes_pages(goss_lanes *l, const goss_kv_pool *pool, const uint64_t page_bytes[GOSS_KV_CLASSES]);
void goss_lanes_held(goss_lanes *l, int slot, int cached, const goss_kv *kv);
void goss_lanes_pages_end(goss_lanes *l);
#endif
