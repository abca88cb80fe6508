/* input_items.h - items as they are listed: what a stored response was asked with
 * (GET /v1/responses/ID/input_items), and what a conversation has. */
#ifndef GOSS_SERVER_INPUT_ITEMS_H
#define GOSS_SERVER_INPUT_ITEMS_H
#include "base/buf.h"
#include "format/json.h"
#include "page.h"

/* The list of `input` (JSON: a text, or an array of items, as it was sent). Items without an id get one, made
 * from the response's: the same each time. 0, or GOSS_ENOMEM. */
int goss_srv_input_items_write(goss_buf *b, const char *response, goss_str input, const goss_srv_page *page);
/* The items of `node` (a text, or an array of objects) as a conversation keeps them: `text` is an array of
 * them, each whole and with a new id, `kept` has a goss_srv_kept for each. Of a reference the item that it
 * means is kept, where it is stored; a compaction's trigger is no item. 0, or GOSS_ENOMEM. */
int goss_srv_input_items_keep(const goss_json *j, int node, goss_buf *text, goss_buf *kept);
#endif
