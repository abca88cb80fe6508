/* wire.h - the server's connections below libmicrohttpd: what they send is judged (frame.h), how long they
 * take for it is bounded, and the one that has kept the server waiting longest makes room for another.
 *
 * libmicrohttpd reads with recv(). wire.c has that name in this program: on a connection that is open here it
 * gives what frame.c lets pass, on any other socket it is recv(). Nothing is copied twice but heads, and a
 * connection has one thread of libmicrohttpd, so reading takes no lock. */
#ifndef GOSS_SERVER_WIRE_H
#define GOSS_SERVER_WIRE_H
#include <stdint.h>

typedef struct goss_srv_wires goss_srv_wires;
/* A request's head must come within head_ms; of a body body_rate bytes a second, on the average of each 10 s.
 * One at a time in a process. */
int goss_srv_wires_open(goss_srv_wires **out, double head_ms, uint64_t body_rate);
void goss_srv_wires_close(goss_srv_wires **w);

int goss_srv_wire_open(goss_srv_wires *w, int fd);   /* 0, or GOSS_E*: the connection can't be served */
void goss_srv_wire_close(goss_srv_wires *w, int fd); /* before the socket is closed */
/* Before a request that libmicrohttpd shows is served: 0 when its bytes were judged. */
int goss_srv_wire_begun(goss_srv_wires *w, int fd);
void goss_srv_wire_done(goss_srv_wires *w, int fd);  /* it has its answer */
/* Closes the connection that waits for a request, or is in the middle of sending one, since longest. 1: there
 * is one. */
int goss_srv_wires_make_room(goss_srv_wires *w);

/* Readable while somebody sends a request and it is time to look at the clock; then call _run. */
int goss_srv_wires_fd(const goss_srv_wires *w);
void goss_srv_wires_run(goss_srv_wires *w);
#endif
