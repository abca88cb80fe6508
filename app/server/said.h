/* said.h - an answer's items as messages of a conversation: what the next round of it is told, and the next
 * request that goes on from it. */
#ifndef GOSS_SERVER_SAID_H
#define GOSS_SERVER_SAID_H
#include "job.h"

/* One item, with what it points to in `owned`. A call that the server made has its result as its parts; one
 * that waits for approval is named after its MCP server, and called as that has it. 0, or GOSS_ENOMEM. */
int goss_srv_said_item(const goss_srv_item *item, goss_owned **owned, goss_message *out);
/* The items from number `from` on, behind the messages: what was thought belongs to the message that follows
 * it; a call that the server made is followed by its result; one that waits for approval is left out, with
 * what was thought before it. 0, or GOSS_ENOMEM. */
int goss_srv_said_append(const goss_srv_lane *lane, int from, goss_owned **owned, goss_buf *messages);
#endif
