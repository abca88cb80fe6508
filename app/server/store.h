/* store.h - answers of /v1/responses kept for previous_response_id and GET, and the reasoning before tool calls:
 * bounded in number and bytes, the oldest
 * goes first. Thread-safe. */
#ifndef GOSS_SERVER_STORE_H
#define GOSS_SERVER_STORE_H
#include "../../src/base/buf.h"
void goss_srv_store_open(int max_items, uint64_t max_bytes);
void goss_srv_store_close(void);
/* Copies both: the conversation so far (messages joined by commas) and the response object. */
void goss_srv_store_put(const char *id, const goss_buf *conversation, const char *response, size_t n);
int goss_srv_store_conversation(const char *id, goss_buf *out); /* 1: appended, 0: unknown */
int goss_srv_store_response(const char *id, goss_buf *out);
int goss_srv_store_delete(const char *id);                      /* 1: it was there */
#endif
