/* read.h - a request from its body. */
#ifndef GOSS_SERVER_READ_H
#define GOSS_SERVER_READ_H
#include "request.h"
/* 0, or -1 with *fail filled. Takes the body, which is empty then. */
int goss_srv_request_read(goss_srv_request *r, goss_srv_api api, const goss_srv_config *c, goss_buf *body,
                          goss_srv_fail *fail);
#endif
