/* fault.h - a model's file that shrinks while it is mapped: reading what is lost raises SIGBUS, which would
 * end the process. Instead the lost page reads as zeros and the fault is remembered, so that the runner can
 * give up that model and the server lives on. */
#ifndef GOSS_SERVER_FAULT_H
#define GOSS_SERVER_FAULT_H
void goss_srv_fault_watch(void); /* once, before any model is loaded */
int goss_srv_fault_take(void);   /* 1: there was a fault since the last call */
#endif
