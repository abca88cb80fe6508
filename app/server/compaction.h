/* compaction.h - a conversation made short: the model sums up what was said, and an item of the type
 * compaction carries that. Its encrypted_content is the summary as it is, behind a word that names this
 * server: nothing is secret in it, for it is the client's own conversation, and any server of this kind
 * understands it. */
#ifndef GOSS_SERVER_COMPACTION_H
#define GOSS_SERVER_COMPACTION_H
#include "job.h"

#define GOSS_SRV_COMPACTED "gossamer:1:"
/* Before the summary, where it stands for what it sums up. */
#define GOSS_SRV_COMPACTED_SAYS "What was said before, as the assistant summed it up:\n\n"
#define GOSS_SRV_COMPACTED_ELSEWHERE \
    "[What was said before was compacted by another server. You can't read it.]"
#define GOSS_SRV_COMPACT_ASKS \
    "Sum up this conversation for yourself, since only your summary will be left of it: what was asked for, " \
    "what was done and found (names, figures, file names, decisions), and what remains to be done. Answer " \
    "with the summary alone."

/* The item that the answer is, with what the model said in it where `full`. */
void goss_srv_compaction_write(goss_buf *b, const goss_srv_job *job, int full);
/* The message that stands for it. 0, or GOSS_ENOMEM. */
int goss_srv_compaction_message(const goss_srv_job *job, goss_owned **owned, goss_message *out);
#endif
