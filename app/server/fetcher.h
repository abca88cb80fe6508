/* fetcher.h - the process beside the server that fetches models and keeps their names, when the operator
 * allows it (--pull). It is forked before the server has threads and before it gives up files and sockets, so
 * that the server itself need neither. */
#ifndef GOSS_SERVER_FETCHER_H
#define GOSS_SERVER_FETCHER_H
#include <gossamer.h>

/* Talks over *fd, a socket: to it one line a request, words with tabs between, one request at a time:
 *     pull NAME | remove NAME | link NAME PATH | unlink NAME | stop (what is being pulled)
 * from it lines "P" and a JSON object (progress), and one that ends the request: "D PATH", or "E SENTENCE".
 * It ends with the server. 0 or an error. */
int goss_srv_fetcher_open(int *fd, const char *folder, goss_error *err);
#endif
