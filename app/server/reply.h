/* reply.h - answers that are there as a whole: a text, a buffer, a refusal, a preflight; and the headers of
 * all. */
#ifndef GOSS_SERVER_REPLY_H
#define GOSS_SERVER_REPLY_H
#include "conn.h"
enum MHD_Result goss_srv_reply(goss_srv_conn *k, int status, const char *type, const void *text,
                               size_t n); /* copies */
/* takes b's memory */
enum MHD_Result goss_srv_reply_buf(goss_srv_conn *k, int status, const char *type, goss_buf *b);
enum MHD_Result goss_srv_reply_fail(goss_srv_conn *k); /* k->fail */
enum MHD_Result goss_srv_reply_preflight(goss_srv_conn *k);
/* takes r, NULL is fine */
enum MHD_Result goss_srv_reply_queue(goss_srv_conn *k, int status, struct MHD_Response *r);
unsigned goss_srv_reply_idle(const goss_srv_config *c);
#endif
