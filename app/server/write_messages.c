/* write_messages.c - answers of Anthropic's /v1/messages. */
#include "job.h"
#include <string.h>

static void str(goss_buf *b, const char *s) { goss_buf_json_string(b, s, strlen(s)); }
static int shown(const goss_srv_job *job, const goss_srv_item *item)
{
    return item->kind != GOSS_SRV_REASONING || job->req.show_reasoning;
}
static void toolu(goss_buf *b, const goss_srv_item *item)
{
    goss_buf_printf(b, "\"toolu_%s\"", item->id + 5);
}

static void write_head(goss_srv_job *job)
{
    goss_buf_printf(&job->bytes,
                    "{\"id\":\"%s\",\"type\":\"message\",\"role\":\"assistant\",\"model\":", job->id);
    str(&job->bytes, job->model);
    goss_buf_str(&job->bytes, ",\"content\":[");
}

static void write_stop(goss_srv_job *job, const goss_srv_lane *lane)
{
    const char *finish = goss_srv_finish(lane);
    const goss_params *g = &job->req.params;
    const char *reason = lane->stop == GOSS_STOP_TEXT    ? "stop_sequence"
                         : !strcmp(finish, "length")     ? "max_tokens"
                         : !strcmp(finish, "tool_calls") ? "tool_use"
                                                         : "end_turn";
    goss_buf_printf(&job->bytes, "\"stop_reason\":\"%s\",\"stop_sequence\":", reason);
    if (lane->stop == GOSS_STOP_TEXT && g->n_stop == 1) str(&job->bytes, g->stop[0]);
    else goss_buf_str(&job->bytes, "null");
}

static void write_usage(goss_srv_job *job)
{
    int prompt, reused, generated, reasoning;
    goss_srv_totals(job, &prompt, &reused, &generated, &reasoning);
    goss_buf_printf(&job->bytes,
                    "\"usage\":{\"input_tokens\":%d,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":%"
                    "d,\"output_tokens\":%d}",
                    prompt - reused, reused, generated);
}

static void write_block(goss_srv_job *job, const goss_srv_item *item)
{
    goss_buf *b = &job->bytes;
    if (item->kind == GOSS_SRV_CALL) {
        goss_buf_str(b, "{\"type\":\"tool_use\",\"id\":");
        toolu(b, item);
        goss_buf_str(b, ",\"name\":");
        str(b, item->name);
        goss_buf_str(b, ",\"input\":");
        goss_srv_write_arguments(b, item);
        goss_buf_str(b, "}");
        return;
    }
    goss_buf_str(b, item->kind == GOSS_SRV_SAID ? "{\"type\":\"text\",\"text\":"
                                                : "{\"type\":\"thinking\",\"thinking\":");
    goss_buf_json_string(b, (const char *)item->text.data, item->text.len);
    goss_buf_str(b, item->kind == GOSS_SRV_SAID ? "}" : ",\"signature\":\"\"}");
}

static void whole(goss_srv_job *job)
{
    const goss_srv_lane *lane = &job->lanes[0];
    write_head(job);
    for (int i = 0, k = 0; i < lane->n_items; i++) {
        if (!shown(job, &lane->items[i])) continue;
        if (k++) goss_buf_str(&job->bytes, ",");
        write_block(job, &lane->items[i]);
    }
    goss_buf_str(&job->bytes, "],");
    write_stop(job, lane);
    goss_buf_str(&job->bytes, ",");
    write_usage(job);
    goss_srv_write_stats(job, &job->lanes[0]);
    goss_buf_str(&job->bytes, "}");
}

/* ---- streams --------------------------------------------------------------------------------- */
static void event(goss_srv_job *job, const char *type)
{
    goss_buf_printf(&job->bytes, "event: %s\ndata: {\"type\":\"%s\"", type, type);
}
static void event_end(goss_srv_job *job) { goss_buf_str(&job->bytes, "}\n\n"); }

static void begin(goss_srv_job *job)
{
    event(job, "message_start");
    goss_buf_str(&job->bytes, ",\"message\":");
    write_head(job);
    goss_buf_printf(
        &job->bytes,
        "],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":%d,"
        "\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,\"output_tokens\":0}}",
        job->prompts[0].n);
    event_end(job);
    event(job, "ping");
    event_end(job);
}

static void waits(goss_srv_job *job, int done, int total)
{
    (void)done; (void)total;
    event(job, "ping");
    event_end(job);
}

static void open_item(goss_srv_job *job, goss_srv_lane *lane, goss_srv_item *item)
{
    goss_buf *b = &job->bytes;
    (void)lane;
    if (!shown(job, item)) return;
    event(job, "content_block_start");
    goss_buf_printf(b, ",\"index\":%d,\"content_block\":", job->n_blocks);
    if (item->kind == GOSS_SRV_CALL) {
        goss_buf_str(b, "{\"type\":\"tool_use\",\"id\":");
        toolu(b, item);
        goss_buf_str(b, ",\"name\":");
        str(b, item->name);
        goss_buf_str(b, ",\"input\":{}}");
    } else
        goss_buf_str(b, item->kind == GOSS_SRV_SAID
                            ? "{\"type\":\"text\",\"text\":\"\"}"
                            : "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}");
    event_end(job);
}

static void delta(goss_srv_job *job, goss_srv_lane *lane, goss_srv_item *item, const char *text, size_t n)
{
    static const char *const types[] = { "{\"type\":\"thinking_delta\",\"thinking\":",
                                         "{\"type\":\"text_delta\",\"text\":",
                                         "{\"type\":\"input_json_delta\",\"partial_json\":" };
    if (!shown(job, item)) return;
    event(job, "content_block_delta");
    goss_buf_printf(&job->bytes, ",\"index\":%d,\"delta\":%s", job->n_blocks, types[item->kind]);
    goss_buf_json_string(&job->bytes, text, n);
    goss_buf_str(&job->bytes, "}");
    goss_srv_write_extra(job, lane);
    event_end(job);
}

static void close_item(goss_srv_job *job, goss_srv_lane *lane, goss_srv_item *item)
{
    (void)lane;
    if (!shown(job, item)) return;
    if (item->kind == GOSS_SRV_REASONING) {
        event(job, "content_block_delta");
        goss_buf_printf(&job->bytes,
                        ",\"index\":%d,\"delta\":{\"type\":\"signature_delta\",\"signature\":\"\"}",
                        job->n_blocks);
        event_end(job);
    }
    event(job, "content_block_stop");
    goss_buf_printf(&job->bytes, ",\"index\":%d", job->n_blocks++);
    event_end(job);
}

static void lane_end(goss_srv_job *job, goss_srv_lane *lane)
{
    event(job, "message_delta");
    goss_buf_str(&job->bytes, ",\"delta\":{");
    write_stop(job, lane);
    goss_buf_str(&job->bytes, "},");
    write_usage(job);
    goss_srv_write_stats(job, lane);
    event_end(job);
}

static void end(goss_srv_job *job)
{
    event(job, "message_stop");
    event_end(job);
}

static void failed(goss_srv_job *job)
{
    goss_buf_str(&job->bytes, "event: error\ndata: ");
    goss_srv_write_fail(&job->bytes, job->req.api, &job->fail);
    goss_buf_str(&job->bytes, "\n\n");
}

extern const goss_srv_writer goss_srv_write_messages;
const goss_srv_writer goss_srv_write_messages = {
    "text/event-stream", begin, open_item, delta, close_item, lane_end, end, whole, failed, waits, NULL
};
