/* embed.h - answers of the embedding routes: one input after another, between the engine's steps. */
#ifndef GOSS_SERVER_EMBED_H
#define GOSS_SERVER_EMBED_H
#include "seats.h"

/* Its prompts are encoded: computes the next one's embedding. 0: there are more; 1: the answer is in
 * job->bytes; -1: job->fail is filled. On the engine's thread. */
int goss_srv_embed_next(goss_srv_job *job);
#endif
