/* thought_key.h - what a call is remembered by where its client gives it an id of its own (LangChain's Ollama
 * does): the conversation before it and the call itself. Who knows the key has had that very conversation. */
#ifndef GOSS_SERVER_THOUGHT_KEY_H
#define GOSS_SERVER_THOUGHT_KEY_H
#include <gossamer.h>

enum { GOSS_SRV_THOUGHT_KEY = 72 };
/* The key of a call behind n messages; "" where they are so long that it would take too much time. Ids don't
 * count, nor what was thought, nor how the arguments' JSON is spaced. */
void goss_srv_thought_key(const goss_message *messages, int n, const goss_tool_call *call,
                          char to[GOSS_SRV_THOUGHT_KEY]);
#endif
