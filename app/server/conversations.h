/* conversations.h - /v1/conversations: what is kept of conversations, as OpenAI's clients make, read, add to
 * and delete it. The store has them (store.h); an answer of /v1/responses that names one adds to it. */
#ifndef GOSS_SERVER_CONVERSATIONS_H
#define GOSS_SERVER_CONVERSATIONS_H
#include "conn.h"
enum MHD_Result goss_srv_conversations_answer(goss_srv_conn *k);
#endif
