/* events.c - the ring and its text. */
#include "events.h"
#include "model/sample.h"
#include <string.h>

static const size_t QUEUE_BYTES = GOSS_EVENTS * sizeof(goss_queued),
                    PROBS_BYTES = GOSS_EVENTS * GOSS_TOP_MAX * sizeof(goss_prob);

size_t goss_events_bytes(void) { return QUEUE_BYTES + PROBS_BYTES; }

int goss_events_open(goss_events *q, goss_arena *arena)
{
    q->text = GOSS_BUF(1 << 20);
    q->queue = goss_arena_take(arena, QUEUE_BYTES);
    q->probs = goss_arena_take(arena, PROBS_BYTES);
    return !q->queue || !q->probs || goss_buf_reserve(&q->text, GOSS_TEXT) ? GOSS_ENOMEM : 0;
}

void goss_events_close(goss_events *q) { goss_buf_free(&q->text); }

void goss_events_clear(goss_events *q)
{
    q->first = q->n = 0;
    goss_buf_clear(&q->text);
}

int goss_events_room(const goss_events *q)
{
    return GOSS_EVENTS - q->n >= GOSS_EVENTS_SPARE && q->text.cap - q->text.len >= GOSS_TEXT_SPARE;
}

/* Static names for what the parser calls channels, so that events need no copy. */
static const char *static_name(const char *channel)
{
    static const char *const names[] = { "", "analysis", "commentary", "final" };
    for (int i = 0; channel && i < 4; i++)
        if (!strcmp(channel, names[i])) return names[i];
    return channel && *channel ? "final" : "";
}

void goss_events_put(goss_events *q, const goss_event *ev, const char *text, size_t n, const char *recipient)
{
    if (q->n == GOSS_EVENTS) return;
    const int at = (q->first + q->n) % GOSS_EVENTS;
    goss_queued *k = &q->queue[at];
    goss_prob *top = q->probs + (size_t)at * GOSS_TOP_MAX;
    k->event = *ev;
    k->event.channel = static_name(ev->channel);
    if (ev->n_top) memcpy(top, ev->top, (size_t)ev->n_top * sizeof *top);
    k->event.top = top;
    k->text_at = (uint32_t)q->text.len;
    k->event.n_text = (int)n;
    goss_buf_append(&q->text, text, n);
    goss_buf_append(&q->text, "", 1);
    k->recipient_at = (uint32_t)q->text.len;
    goss_buf_append(&q->text, recipient, strlen(recipient) + 1);
    q->n++;
}

/* What was read is moved out of the way when the buffer is half used: pointers of the event before die here,
 * not sooner. */
static void compact(goss_events *q)
{
    if (!q->n) { goss_buf_clear(&q->text); return; }
    const uint32_t from = q->queue[q->first].text_at;
    if (from < q->text.cap / 2) return;
    memmove(q->text.data, q->text.data + from, q->text.len - from);
    q->text.len -= from;
    for (int i = 0; i < q->n; i++) {
        goss_queued *k = &q->queue[(q->first + i) % GOSS_EVENTS];
        k->text_at -= from;
        k->recipient_at -= from;
    }
}

int goss_events_take(goss_events *q, goss_event *out)
{
    compact(q);
    if (!q->n) return 0;
    const goss_queued *k = &q->queue[q->first];
    *out = k->event;
    out->text = (const char *)q->text.data + k->text_at;
    out->recipient = (const char *)q->text.data + k->recipient_at;
    q->first = (q->first + 1) % GOSS_EVENTS;
    q->n--;
    return 1;
}
