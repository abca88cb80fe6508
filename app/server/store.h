/* store.h - answers of /v1/responses kept for previous_response_id, references to their items and GET;
 * conversations with their items; and the reasoning before tool calls. Each kind has ids of its own: none
 * finds another kind. Bounded in bytes together and in number each; the oldest goes first, a response with
 * its items, a conversation where it was used last longest ago. Thread-safe. */
#ifndef GOSS_SERVER_STORE_H
#define GOSS_SERVER_STORE_H
#include "base/buf.h"
#include "base/owned.h"
#include <gossamer.h>

typedef struct goss_srv_stored { const char *id; goss_message message; } goss_srv_stored; /* an item */

/* At most so many responses, as many conversations, and as many calls. */
void goss_srv_store_open(int most, uint64_t max_bytes);
void goss_srv_store_close(void);
/* Copies all: the conversation so far, the answer's items, the response object, what it was asked with
 * (JSON). */
void goss_srv_store_put(const char *id, const goss_message *messages, int n_messages,
                        const goss_srv_stored *items, int n_items, goss_str response, goss_str input);
/* What was thought before the call of this id; it is found by its key, too (thought_key.h; "": none). */
void goss_srv_store_put_thought(const char *call_id, const char *key, goss_str thought);
/* 1: found, with a copy in `owned`; 0: unknown; GOSS_ENOMEM. */
int goss_srv_store_messages(const char *id, goss_owned **owned, const goss_message **out, int *n);
int goss_srv_store_item(const char *id, goss_owned **owned, goss_message *out);
int goss_srv_store_thought(const char *call_id, goss_owned **owned, goss_str *out);
/* Each: 1: appended, 0: unknown. */
int goss_srv_store_response(const char *id, goss_buf *out);
int goss_srv_store_input(const char *id, goss_buf *out);
int goss_srv_store_delete(const char *id);                      /* 1: the response was there */
/* The response that has the item of this id. */
int goss_srv_store_response_of(const char *item, goss_buf *out);
/* The stream of a response, for those who ask for it again: none is kept unless it is given. */
void goss_srv_store_put_stream(const char *id, const void *events, size_t n);
int goss_srv_store_stream(const char *id, goss_buf *out);       /* 0 where none is kept, too */

/* Conversations. Their items are JSON, each where a text has it, with an id of its own. */
typedef struct goss_srv_kept { char id[48]; size_t at, n; } goss_srv_kept;
typedef struct goss_srv_room { int items; size_t bytes; } goss_srv_room; /* what a conversation may have */
int goss_srv_store_begin(const char *id, int64_t created, goss_str metadata);   /* 0 or GOSS_ENOMEM */
/* Each: 1: done or appended, 0: unknown; GOSS_ENOMEM; GOSS_ELIMIT: there is no room for all, and none is
 * taken; GOSS_EAGAIN: another request holds the conversation. */
int goss_srv_store_hold(const char *id, const void *holder);   /* its items are the holder's to change */
void goss_srv_store_let_go(const char *id, const void *holder); /* nothing, where it is not the holder */
int goss_srv_store_extend(const char *id, const void *holder, const char *text, const goss_srv_kept *items,
                          int n, const goss_srv_room *room);
int goss_srv_store_describe(const char *id, goss_str metadata);
int goss_srv_store_about(const char *id, goss_buf *out);        /* the conversation object */
int goss_srv_store_items(const char *id, goss_buf *out);        /* all items, as an array */
int goss_srv_store_kept(const char *id, const char *item, goss_buf *out);
int goss_srv_store_drop_kept(const char *id, const char *item);
int goss_srv_store_end(const char *id);                         /* the conversation, with its items */

typedef struct goss_srv_stock { int responses, conversations, calls; uint64_t bytes; } goss_srv_stock;
void goss_srv_store_count(goss_srv_stock *out);                 /* what there is, for /metrics */
#endif
