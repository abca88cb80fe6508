/* server.h - the whole: start, the loop of signals, hang-ups and timers, and the end. */
#ifndef GOSS_SERVER_SERVER_H
#define GOSS_SERVER_SERVER_H
#include "config.h"
int goss_srv_main(const goss_srv_config *c); /* the process's exit status */
#endif
