/* write_chat.c - answers of /v1/chat/completions. */
#include "job.h"
#include <string.h>

static void chunk_begin(goss_srv_job *job)
{
    goss_buf_str(&job->bytes, "data: ");
    goss_srv_write_choices(job);
}
static void chunk_end(goss_srv_job *job, goss_srv_lane *lane, int stats)
{
    goss_buf_str(&job->bytes, "]");
    if (job->req.include_usage) goss_buf_str(&job->bytes, ",\"usage\":null");
    if (lane) (stats ? goss_srv_write_stats : goss_srv_write_extra)(job, lane);
    goss_buf_str(&job->bytes, "}\n\n");
}

static void begin(goss_srv_job *job)
{
    for (int i = 0; i < job->n_lanes; i++) {
        chunk_begin(job);
        goss_buf_printf(&job->bytes,
                        "{\"index\":%d,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,"
                        "\"finish_reason\":null}",
                        i);
        chunk_end(job, NULL, 0);
    }
}

/* How many calls came before this item. */
static int call_index(const goss_srv_lane *lane, const goss_srv_item *item)
{
    int k = 0;
    for (const goss_srv_item *i = lane->items; i < item; i++) k += i->kind == GOSS_SRV_CALL;
    return k;
}

static int follows_same(const goss_srv_lane *lane, const goss_srv_item *item)
{
    for (const goss_srv_item *i = lane->items; i < item; i++)
        if (i->kind == item->kind && i->text.len) return 1;
    return 0;
}

/* "id":...,"type":...,"function":{"name":...,"arguments":TEXT}, or a custom tool's */
static void write_call(goss_buf *b, const goss_srv_item *item, size_t n)
{
    const char *type = goss_srv_is_custom(item) ? "custom" : "function";
    goss_buf_printf(b, "\"id\":\"%s\",\"type\":\"%s\",\"%s\":{\"name\":", item->id, type, type);
    goss_buf_json_string(b, item->name, strlen(item->name));
    goss_buf_str(b, goss_srv_is_custom(item) ? ",\"input\":" : ",\"arguments\":");
    goss_buf_json_string(b, (const char *)item->text.data, n);
    goss_buf_str(b, "}");
}

static void open_item(goss_srv_job *job, goss_srv_lane *lane, goss_srv_item *item)
{
    goss_buf *b = &job->bytes;
    if (item->kind != GOSS_SRV_CALL) return;
    chunk_begin(job);
    goss_buf_printf(b, "{\"index\":%d,\"delta\":{\"tool_calls\":[{\"index\":%d,", lane->index,
                    call_index(lane, item));
    write_call(b, item, 0);
    goss_buf_str(b, "}]},\"logprobs\":null,\"finish_reason\":null}");
    chunk_end(job, lane, 0);
}

static void write_logprobs(goss_srv_job *job, goss_srv_lane *lane, uint32_t from, uint32_t to)
{
    goss_buf *b = &job->bytes;
    if (job->req.logprobs < 0) { goss_buf_str(b, ",\"logprobs\":null"); return; }
    goss_buf_str(b, ",\"logprobs\":{\"content\":[");
    for (uint32_t i = from; i < to; i++) {
        if (i > from) goss_buf_str(b, ",");
        goss_srv_write_record(b, job, &goss_srv_records(lane)[i]);
    }
    goss_buf_str(b, "],\"refusal\":null}");
}

/* A piece of text; after an empty line where it begins another message of its kind. */
static void write_piece(goss_buf *b, const char *text, size_t n, int begins)
{
    const size_t at = b->len;
    goss_buf_json_string(b, text, n);
    if (!begins || b->failed) return;
    goss_buf_str(b, "    ");
    if (b->failed) return;
    memmove(b->data + at + 5, b->data + at + 1, b->len - at - 5); /* inside its quotes */
    memcpy(b->data + at + 1, "\\n\\n", 4);
}

static void delta(goss_srv_job *job, goss_srv_lane *lane, goss_srv_item *item, const char *text, size_t n)
{
    goss_buf *b = &job->bytes;
    if (item->kind > GOSS_SRV_CALL) return; /* the server's own: chat completions don't tell of it */
    /* messages of one kind are joined by an empty line */
    int begins = item->text.len == n && follows_same(lane, item);
    chunk_begin(job);
    goss_buf_printf(b, "{\"index\":%d,\"delta\":{", lane->index);
    if (item->kind == GOSS_SRV_CALL)
        goss_buf_printf(b, "\"tool_calls\":[{\"index\":%d,%s", call_index(lane, item),
                        goss_srv_is_custom(item) ? "\"custom\":{\"input\":" : "\"function\":{\"arguments\":");
    else goss_buf_str(b, item->kind == GOSS_SRV_SAID ? "\"content\":" : "\"reasoning_content\":");
    const size_t at = b->len;
    write_piece(b, text, n, begins && item->kind != GOSS_SRV_CALL);
    if (item->kind == GOSS_SRV_REASONING && !b->failed) { /* under both names that clients look for */
        const size_t len = b->len - at;
        goss_buf_str(b, ",\"reasoning\":");
        if (!goss_buf_reserve(b, len)) goss_buf_append(b, b->data + at, len);
    }
    if (item->kind == GOSS_SRV_CALL) goss_buf_str(b, "}}]");
    goss_buf_str(b, "}");
    if (item->kind == GOSS_SRV_SAID)
        write_logprobs(job, lane, lane->probs_written, lane->n_probs), lane->probs_written = lane->n_probs;
    else goss_buf_str(b, ",\"logprobs\":null");
    goss_buf_str(b, ",\"finish_reason\":null}");
    chunk_end(job, lane, 0);
}

static void lane_end(goss_srv_job *job, goss_srv_lane *lane)
{
    chunk_begin(job);
    goss_buf_printf(&job->bytes, "{\"index\":%d,\"delta\":{}", lane->index);
    if (lane->probs_written < lane->n_probs) write_logprobs(job, lane, lane->probs_written, lane->n_probs);
    else goss_buf_str(&job->bytes, ",\"logprobs\":null");
    goss_buf_printf(&job->bytes, ",\"finish_reason\":\"%s\"}", goss_srv_finish(lane));
    chunk_end(job, lane, 1);
}

/* The texts of one kind, joined by an empty line. */
static int write_joined(goss_buf *b, const goss_srv_lane *lane, int kind)
{
    goss_buf text = GOSS_BUF((size_t)1 << 28);
    int any = 0;
    for (int i = 0; i < lane->n_items; i++) {
        if (lane->items[i].kind != kind || !lane->items[i].text.len) continue;
        if (any++) goss_buf_str(&text, "\n\n");
        goss_buf_append(&text, lane->items[i].text.data, lane->items[i].text.len);
    }
    goss_buf_json_string(b, (const char *)text.data, text.len);
    goss_buf_free(&text);
    return any;
}

static void write_message(goss_srv_job *job, goss_srv_lane *lane)
{
    goss_buf *b = &job->bytes;
    int calls = 0, said = 0, thought = 0;
    for (int i = 0; i < lane->n_items; i++) {
        calls += lane->items[i].kind == GOSS_SRV_CALL;
        said += lane->items[i].kind == GOSS_SRV_SAID && lane->items[i].text.len;
        thought += lane->items[i].kind == GOSS_SRV_REASONING;
    }
    goss_buf_str(b, "\"message\":{\"role\":\"assistant\",\"content\":");
    if (said || !calls) write_joined(b, lane, GOSS_SRV_SAID);
    else goss_buf_str(b, "null");
    goss_buf_str(b, ",\"refusal\":null");
    if (thought) { /* under both names that clients look for */
        goss_buf_str(b, ",\"reasoning\":");
        write_joined(b, lane, GOSS_SRV_REASONING);
        goss_buf_str(b, ",\"reasoning_content\":");
        write_joined(b, lane, GOSS_SRV_REASONING);
    }
    for (int i = 0, k = 0; i < lane->n_items; i++) {
        const goss_srv_item *item = &lane->items[i];
        if (item->kind != GOSS_SRV_CALL) continue;
        goss_buf_str(b, k++ ? "," : ",\"tool_calls\":[");
        goss_buf_str(b, "{");
        write_call(b, item, item->text.len);
        goss_buf_str(b, "}");
    }
    goss_buf_str(b, calls ? "]}" : "}");
}

static void whole(goss_srv_job *job)
{
    goss_buf *b = &job->bytes;
    goss_srv_write_choices(job);
    for (int i = 0; i < job->n_lanes; i++) {
        goss_srv_lane *lane = &job->lanes[i];
        goss_buf_printf(b, "%s{\"index\":%d,", i ? "," : "", i);
        write_message(job, lane);
        write_logprobs(job, lane, 0, lane->n_probs);
        goss_buf_printf(b, ",\"finish_reason\":\"%s\"}", goss_srv_finish(lane));
    }
    goss_srv_write_choices_end(job);
}

extern const goss_srv_writer goss_srv_write_chat;
const goss_srv_writer goss_srv_write_chat = {
    "text/event-stream",   begin, open_item, delta, NULL, lane_end, goss_srv_write_done, whole,
    goss_srv_write_failed, NULL,  NULL
};
