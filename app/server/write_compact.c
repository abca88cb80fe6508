/* write_compact.c - answers of /v1/responses/compact, and the item of a compaction (compaction.h). */
#include "compaction.h"
#include <string.h>

/* The texts of the answer, behind `before`. */
static void summary(const goss_srv_job *job, const char *before, goss_buf *out)
{
    const goss_srv_lane *lane = job->lanes;
    goss_buf_str(out, before);
    for (int i = 0; lane && i < lane->n_items; i++)
        if (lane->items[i].kind == GOSS_SRV_SAID)
            goss_buf_append(out, lane->items[i].text.data, lane->items[i].text.len);
}

void goss_srv_compaction_write(goss_buf *b, const goss_srv_job *job, int full)
{
    goss_buf text = GOSS_BUF(SIZE_MAX / 2);
    if (full) summary(job, GOSS_SRV_COMPACTED, &text);
    goss_buf_printf(b, "{\"id\":\"cmp%s\",\"type\":\"compaction\",\"encrypted_content\":",
                    strchr(job->id, '_'));
    goss_buf_json_string(b, (const char *)text.data, text.len);
    goss_buf_str(b, "}");
    goss_buf_free(&text);
}

int goss_srv_compaction_message(const goss_srv_job *job, goss_owned **owned, goss_message *out)
{
    goss_buf text = GOSS_BUF(SIZE_MAX / 2);
    summary(job, GOSS_SRV_COMPACTED_SAYS, &text);
    goss_str *part = goss_owned_take(owned, sizeof *part);
    if (part && !text.failed) *part = (goss_str){ goss_owned_text(owned, text.data, text.len), text.len };
    goss_buf_free(&text);
    *out = (goss_message){ .role = GOSS_ROLE_USER, .parts = part, .n_parts = 1 };
    return part && part->s ? 0 : GOSS_ENOMEM;
}

/* The user's messages stay as they are; an earlier summary is in the new one. */
static int stays(const goss_message *m)
{
    const size_t n = strlen(GOSS_SRV_COMPACTED_SAYS);
    return m->role == GOSS_ROLE_USER && m->n_parts &&
           !(m->parts[0].n >= n && !memcmp(m->parts[0].s, GOSS_SRV_COMPACTED_SAYS, n));
}

static void write_message(goss_buf *b, const goss_message *m)
{
    char id[48];
    goss_buf text = GOSS_BUF(SIZE_MAX / 2);
    for (int i = 0; i < m->n_parts; i++) goss_buf_append(&text, m->parts[i].s, (size_t)m->parts[i].n);
    goss_srv_id(id, sizeof id, "msg_");
    goss_buf_printf(b, "{\"id\":\"%s\",\"type\":\"message\",\"role\":\"user\",\"status\":\"completed\","
                       "\"content\":[{\"type\":\"input_text\",\"text\":", id);
    goss_buf_json_string(b, (const char *)text.data, text.len);
    goss_buf_str(b, "}]},");
    goss_buf_free(&text);
}

static void whole(goss_srv_job *job)
{
    const goss_conversation *c = &job->req.chat;
    goss_buf *b = &job->bytes;
    goss_buf_printf(b, "{\"id\":\"%s\",\"object\":\"response.compaction\",\"created_at\":%lld,\"output\":[",
                    job->id, (long long)job->created);
    for (int i = 0; i < c->n_messages - 1; i++) /* the last one asks for the summary */
        if (stays(&c->messages[i])) write_message(b, &c->messages[i]);
    goss_srv_compaction_write(b, job, 1);
    goss_buf_str(b, "],\"usage\":");
    goss_srv_write_counts(b, job);
    goss_buf_str(b, "}");
}

extern const goss_srv_writer goss_srv_write_compact;
const goss_srv_writer goss_srv_write_compact = { .stream_type = "application/json", .whole = whole };
