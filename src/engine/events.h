/* events.h - a session's queue of events: a ring, with their text in one buffer. A session whose queue is
 * nearly full gets no rows until somebody reads it, so a slow reader costs nobody else anything. */
#ifndef GOSS_ENGINE_EVENTS_H
#define GOSS_ENGINE_EVENTS_H
#include <gossamer.h>
#include "base/arena.h"
#include "base/buf.h"

enum {
    GOSS_EVENTS = 256,           /* places of the ring */
    GOSS_EVENTS_SPARE = 64,      /* that must be free for rows: a step brings at most 16 tokens */
    GOSS_TEXT = 1 << 15,         /* bytes of text that wait with the events, and how many must be free */
    GOSS_TEXT_SPARE = 1 << 13
};
typedef struct goss_queued { goss_event event; uint32_t text_at, recipient_at; } goss_queued;
typedef struct goss_events {
    goss_queued *queue; goss_prob *probs;   /* (GOSS_EVENTS), (GOSS_EVENTS, GOSS_TOP_MAX) */
    int first, n;
    goss_buf text;
} goss_events;

size_t goss_events_bytes(void);                         /* of the arena */
int goss_events_open(goss_events *q, goss_arena *arena);  /* 0 or GOSS_ENOMEM */
void goss_events_close(goss_events *q);
void goss_events_clear(goss_events *q);
int goss_events_room(const goss_events *q);             /* enough for a step's tokens */
/* Puts the event last; its text, recipient and top list are copied. */
void goss_events_put(goss_events *q, const goss_event *ev, const char *text, size_t n, const char *recipient);
int goss_events_take(goss_events *q, goss_event *out); /* 1: the first; it lives until the next call */
#endif
