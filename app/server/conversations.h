/* conversations.h - /v1/conversations: what is kept of conversations, as OpenAI's clients make, read, add to
 * and delete it. The store has them (store.h); an answer of /v1/responses that names one adds to it. */
#ifndef GOSS_SERVER_CONVERSATIONS_H
#define GOSS_SERVER_CONVERSATIONS_H
#include "conn.h"
#include "input_items.h"
enum MHD_Result goss_srv_conversations_answer(goss_srv_conn *k);
/* What part of a list the request wants (limit, order, after): 0, or -1 with k->fail filled. */
int goss_srv_conversations_page(goss_srv_conn *k, goss_srv_page *page);
#endif
