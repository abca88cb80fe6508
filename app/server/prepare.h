/* prepare.h - what a request needs before the engine sees it, in a thread of its own, so that a large body
 * holds nobody else: its prompts are rendered and its schemas compiled, or its whole answer is made, where
 * nothing is generated (tokenize, detokenize, count). (What is small and has no schema is prepared at once.)
 * There are as many threads as requests wait (--queue at most), and the system shares the cores among them:
 * a small request is ready before a large one that came earlier. */
#ifndef GOSS_SERVER_PREPARE_H
#define GOSS_SERVER_PREPARE_H
#include "seats.h"

/* Bytes of stack: of the threads that read and prepare requests, and of the engine's thread, in which a GPU's
 * driver compiles shaders. Nothing recurses over what a client sends beyond a depth that is checked;
 * tests/unit/test_stack.c runs the deepest of each kind on it, and half of it must do. */
enum { GOSS_SRV_STACK = 1 << 20, GOSS_SRV_ENGINE_STACK = 8 << 20 };
int goss_srv_thread(pthread_t *thread, size_t stack, void *(*fn)(void *), void *arg);   /* 0 or GOSS_ENOMEM */

/* The job's seat is ready. `done` is called in the thread at its end. 0, or -1 with job->fail filled. */
int goss_srv_prepare_begin(goss_srv_job *job, void (*done)(void *ctx), void *ctx);
int goss_srv_prepares(const goss_srv_job *job);       /* 1: under way */
/* Waits for the thread. 0: lanes may start; 1: the answer is in job->out; -1: job->fail is filled. */
int goss_srv_prepare_end(goss_srv_job *job);

/* Refusals in the words of HTTP for what the engine said; -1. */
int goss_srv_fail_engine(goss_srv_fail *f, int rc, const goss_error *err);
int goss_srv_fail_memory(goss_srv_job *job);
#endif
