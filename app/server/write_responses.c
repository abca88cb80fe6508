/* write_responses.c - answers of /v1/responses: the response object, and the stream's events in OpenAI's
 * order with sequence numbers.
 *
 *   created, in_progress, then for every item:  output_item.added
 *     reasoning   content_part.added  reasoning_text.delta*  reasoning_text.done  content_part.done
 *     message     content_part.added  output_text.delta*     output_text.done     content_part.done
 *                   and where summaries are asked for, the same text as the one part of its summary:
 *                   reasoning_summary_part.added  reasoning_summary_text.delta*  .done  reasoning_summary_part.done
 *     call        function_call_arguments.delta*  function_call_arguments.done
 *     custom      custom_tool_call_input.delta    custom_tool_call_input.done
 *     mcp         mcp_call.in_progress  mcp_call_arguments.delta*  .done, and when it was made  mcp_call.completed
 *                   or .failed; a request for approval has none of these
 *     listed      mcp_list_tools.in_progress  .completed
 *                                             output_item.done
 *   completed, incomplete or failed
 *
 * One in the background begins with created and queued before it runs. One that is a compaction has that as
 * its only item, once all is said. */
#include "background.h"
#include "compaction.h"
#include "said.h"
#include "store.h"
#include "base/fmt.h"
#include <string.h>

static void str(goss_buf *b, const char *s) { goss_buf_json_string(b, s, strlen(s)); }
static void str_or_null(goss_buf *b, const char *s) { if (s) str(b, s); else goss_buf_str(b, "null"); }

static void write_record_list(goss_buf *b, const goss_srv_job *job, const goss_srv_lane *lane, uint32_t from,
                              uint32_t to)
{
    goss_buf_str(b, "[");
    for (uint32_t i = from; i < to && job->req.logprobs >= 0; i++) {
        if (i > from) goss_buf_str(b, ",");
        goss_srv_write_record(b, job, &goss_srv_records(lane)[i]);
    }
    goss_buf_str(b, "]");
}

static void write_part(goss_buf *b, const goss_srv_job *job, const goss_srv_lane *lane,
                       const goss_srv_item *item, int full)
{
    const char *text = full ? (const char *)item->text.data : "";
    size_t n = full ? item->text.len : 0;
    if (item->kind == GOSS_SRV_REASONING) goss_buf_str(b, "{\"type\":\"reasoning_text\",\"text\":");
    else {
        goss_buf_str(b, "{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":");
        write_record_list(b, job, lane, item->first_prob, full ? item->end_prob : item->first_prob);
        goss_buf_str(b, ",\"text\":");
    }
    goss_buf_json_string(b, text, n);
    goss_buf_str(b, "}");
}

/* An item's id: a call's is made from its call id. */
static const char *item_id(const goss_srv_item *item, char *to, size_t cap)
{
    if (item->kind != GOSS_SRV_CALL) return item->id;
    goss_fmt(to, cap, "%s_%s", goss_srv_is_custom(item) ? "ctc" : "fc", item->id + 5);
    return to;
}

static void write_id(goss_buf *b, const goss_srv_item *item)
{
    char id[48];
    goss_buf_printf(b, "\"%s\"", item_id(item, id, sizeof id));
}

static void write_call(goss_buf *b, const goss_srv_item *item, int full)
{
    goss_buf_printf(
        b, "{\"type\":\"%s\",\"id\":", goss_srv_is_custom(item) ? "custom_tool_call" : "function_call");
    write_id(b, item);
    goss_buf_printf(b, ",\"call_id\":\"%s\",\"name\":", item->id);
    str(b, item->name);
    if (item->tool && item->tool->space) { goss_buf_str(b, ",\"namespace\":"); str(b, item->tool->space); }
    goss_buf_str(b, goss_srv_is_custom(item) ? ",\"input\":" : ",\"arguments\":");
    goss_buf_json_string(b, (const char *)item->text.data, full ? item->text.len : 0);
    goss_buf_printf(b, ",\"status\":\"%s\"}", full ? "completed" : "in_progress");
}

/* What of an MCP server: a call, with what came of it where `full`, or what it offers. */
static void write_mcp(goss_buf *b, const goss_srv_item *item, int full)
{
    const goss_srv_listing *l = item->listing;
    if (l) {
        goss_srv_mcp_write_list(b, item->id, l->label, l->offers, full ? l->n : 0);
        return;
    }
    const size_t n = full || item->ask ? item->text.len : 0;
    const goss_srv_mcp_call c = { item->id,
                                  item->tool->label,
                                  item->tool->name,
                                  { (const char *)item->text.data, n },
                                  item->approval,
                                  { (const char *)item->output.data, item->output.len },
                                  full ? item->failed : GOSS_SRV_MCP_RUNS };
    if (item->ask) goss_srv_mcp_write_request(b, &c);
    else goss_srv_mcp_write_call(b, &c);
}

static void write_summary(goss_buf *b, const goss_srv_item *item, int full)
{
    goss_buf_str(b, "{\"type\":\"summary_text\",\"text\":");
    goss_buf_json_string(b, (const char *)item->text.data, full ? item->text.len : 0);
    goss_buf_str(b, "}");
}

static void write_item(goss_buf *b, const goss_srv_job *job, const goss_srv_lane *lane,
                       const goss_srv_item *item, int full)
{
    const char *status = full ? "completed" : "in_progress";
    if (item->kind == GOSS_SRV_CALL) { write_call(b, item, full); return; }
    if (item->kind > GOSS_SRV_CALL) {
        write_mcp(b, item, full);
        return;
    }
    goss_buf_printf(b, "{\"type\":\"%s\",\"id\":\"%s\",",
                    item->kind == GOSS_SRV_REASONING ? "reasoning" : "message", item->id);
    if (item->kind == GOSS_SRV_REASONING) {
        goss_buf_str(b, "\"summary\":[");
        if (full && job->req.summary) write_summary(b, item, 1);
        goss_buf_printf(b, "],\"status\":\"%s\",\"content\":[", status);
    } else goss_buf_printf(b, "\"role\":\"assistant\",\"status\":\"%s\",\"content\":[", status);
    if (full) write_part(b, job, lane, item, 1);
    goss_buf_str(b, "]}");
}

static void write_output(goss_buf *b, const goss_srv_job *job)
{
    const goss_srv_lane *lane = job->lanes;
    if (job->req.compacts && lane) goss_srv_compaction_write(b, job, 1);
    for (int i = 0; lane && i < lane->n_items && !job->req.compacts; i++) {
        if (i) goss_buf_str(b, ",");
        write_item(b, job, lane, &lane->items[i], 1);
    }
}

static void write_response(goss_buf *b, const goss_srv_job *job, const char *status, int full)
{
    const goss_srv_request *r = &job->req;
    goss_buf_printf(
        b,
        "{\"id\":\"%s\",\"object\":\"response\",\"created_at\":%lld,\"status\":\"%s\",\"background\":%s,"
        "\"error\":",
        job->id, (long long)job->created, status, r->background ? "true" : "false");
    if (!strcmp(status, "failed")) {
        goss_buf_printf(b, "{\"code\":\"%s\",\"message\":",
                        job->fail.status < 500 ? "invalid_prompt" : "server_error");
        str(b, job->fail.message);
        goss_buf_str(b, "}");
    } else goss_buf_str(b, "null");
    goss_buf_printf(b, ",\"incomplete_details\":%s,\"instructions\":",
                    !strcmp(status, "incomplete") ? "{\"reason\":\"max_output_tokens\"}" : "null");
    str_or_null(b, r->instructions);
    if (r->params.max_tokens > 0)
        goss_buf_printf(b, ",\"max_output_tokens\":%d,\"model\":", r->params.max_tokens);
    else goss_buf_str(b, ",\"max_output_tokens\":null,\"model\":");
    str(b, job->model);
    goss_buf_str(b, ",\"output\":[");
    if (full) write_output(b, job);
    goss_buf_str(b, "],\"conversation\":");
    if (r->conversation) {
        goss_buf_str(b, "{\"id\":");
        str(b, r->conversation);
        goss_buf_str(b, "}");
    } else goss_buf_str(b, "null");
    goss_buf_printf(b,
                    ",\"parallel_tool_calls\":%s,\"previous_response_id\":", r->parallel ? "true" : "false");
    str_or_null(b, r->previous);
    goss_buf_printf(b,
                    ",\"reasoning\":{\"effort\":\"%s\",\"summary\":%s},\"store\":%s,\"temperature\":%.6g,"
                    "\"text\":%s,\"tool_choice\":%s,\"tools\":%s,"
                    "\"top_p\":%.6g,\"truncation\":\"disabled\",\"usage\":",
                    r->effort_echo, r->summary ? "\"detailed\"" : "null", r->store ? "true" : "false",
                    (double)r->params.temperature,
                    r->format_echo ? r->format_echo : "{\"format\":{\"type\":\"text\"}}",
                    r->choice_echo ? r->choice_echo : "\"auto\"", r->tools_echo ? r->tools_echo : "[]",
                    (double)r->params.top_p);
    if (full) goss_srv_write_counts(b, job);
    else goss_buf_str(b, "null");
    goss_buf_printf(b, ",\"user\":null,\"metadata\":%s}", r->metadata_echo ? r->metadata_echo : "{}");
}

/* ---- events ---------------------------------------------------------------------------------- */
static void event(goss_srv_job *job, const char *type)
{
    goss_buf_printf(&job->bytes, "event: %s\ndata: {\"type\":\"%s\",\"sequence_number\":%d", type, type,
                    job->sequence++);
}
static void event_end(goss_srv_job *job) { goss_buf_str(&job->bytes, "}\n\n"); }
static void item_event(goss_srv_job *job, const char *type, const goss_srv_lane *lane,
                       const goss_srv_item *item, int part)
{
    event(job, type);
    goss_buf_printf(&job->bytes, ",\"output_index\":%d,\"item_id\":", (int)(item - lane->items));
    write_id(&job->bytes, item);
    if (part) goss_buf_str(&job->bytes, ",\"content_index\":0");
}

/* The texts of an item have one event for pieces and one for the end. */
static const char *text_event(const goss_srv_item *item, int done)
{
    static const char *const names[][2] = {
        { "response.reasoning_text.delta", "response.reasoning_text.done" },
        { "response.output_text.delta", "response.output_text.done" },
        { "response.function_call_arguments.delta", "response.function_call_arguments.done" },
        { "response.mcp_call_arguments.delta", "response.mcp_call_arguments.done" },
        { "response.custom_tool_call_input.delta", "response.custom_tool_call_input.done" },
    };
    return names[goss_srv_is_custom(item) ? 4 : item->kind][done];
}

/* The events of a summary, where one is asked for. */
static int summarised(const goss_srv_job *job, const goss_srv_item *item)
{
    return item->kind == GOSS_SRV_REASONING && job->req.summary;
}
static void summary_event(goss_srv_job *job, const char *type, const goss_srv_lane *lane,
                          const goss_srv_item *item)
{
    item_event(job, type, lane, item, 0);
    goss_buf_str(&job->bytes, ",\"summary_index\":0");
}
static void summary_part(goss_srv_job *job, const char *type, const goss_srv_lane *lane,
                         const goss_srv_item *item, int full)
{
    summary_event(job, type, lane, item);
    goss_buf_str(&job->bytes, ",\"part\":");
    write_summary(&job->bytes, item, full);
    event_end(job);
}
static void summary_text(goss_srv_job *job, const char *type, const char *key, const goss_srv_lane *lane,
                         const goss_srv_item *item, const char *text, size_t n)
{
    summary_event(job, type, lane, item);
    goss_buf_printf(&job->bytes, ",\"%s\":", key);
    goss_buf_json_string(&job->bytes, text, n);
    event_end(job);
}

void goss_srv_write_pending(goss_buf *b, const goss_srv_job *job, const char *status)
{
    write_response(b, job, status, 0);
}

static void pending_event(goss_srv_job *job, const char *type, const char *status)
{
    event(job, type);
    goss_buf_str(&job->bytes, ",\"response\":");
    write_response(&job->bytes, job, status, 0);
    event_end(job);
}

void goss_srv_write_queued(goss_srv_job *job)
{
    pending_event(job, "response.created", "queued");
    pending_event(job, "response.queued", "queued");
}

static void begin(goss_srv_job *job)
{
    if (!job->background) pending_event(job, "response.created", "in_progress");
    pending_event(job, "response.in_progress", "in_progress");
}

/* An item begins, or is over. */
static void whole_item(goss_srv_job *job, const goss_srv_lane *lane, const goss_srv_item *item, int over)
{
    event(job, over ? "response.output_item.done" : "response.output_item.added");
    goss_buf_printf(&job->bytes, ",\"output_index\":%d,\"item\":", (int)(item - lane->items));
    write_item(&job->bytes, job, lane, item, over);
    event_end(job);
}

/* An event that says nothing but what it is about. */
static void plain_event(goss_srv_job *job, const char *type, const goss_srv_lane *lane,
                        const goss_srv_item *item)
{
    item_event(job, type, lane, item, 0);
    event_end(job);
}

static void open_item(goss_srv_job *job, goss_srv_lane *lane, goss_srv_item *item)
{
    if (item->ask || job->req.compacts) return; /* it comes whole */
    whole_item(job, lane, item, 0);
    if (item->kind == GOSS_SRV_MCP) plain_event(job, "response.mcp_call.in_progress", lane, item);
    if (item->kind >= GOSS_SRV_CALL) return;
    item_event(job, "response.content_part.added", lane, item, 1);
    goss_buf_str(&job->bytes, ",\"part\":");
    write_part(&job->bytes, job, lane, item, 0);
    event_end(job);
    if (summarised(job, item)) summary_part(job, "response.reasoning_summary_part.added", lane, item, 0);
}

static void delta(goss_srv_job *job, goss_srv_lane *lane, goss_srv_item *item, const char *text, size_t n)
{
    if (item->ask || job->req.compacts) return;
    if (summarised(job, item))
        summary_text(job, "response.reasoning_summary_text.delta", "delta", lane, item, text, n);
    item_event(job, text_event(item, 0), lane, item, item->kind < GOSS_SRV_CALL);
    goss_buf_str(&job->bytes, ",\"delta\":");
    goss_buf_json_string(&job->bytes, text, n);
    if (item->kind == GOSS_SRV_SAID) {
        goss_buf_str(&job->bytes, ",\"logprobs\":");
        write_record_list(&job->bytes, job, lane, lane->probs_written, lane->n_probs);
        lane->probs_written = lane->n_probs;
    }
    goss_srv_write_extra(job, lane);
    event_end(job);
}

static void close_listed(goss_srv_job *job, goss_srv_lane *lane, goss_srv_item *item)
{
    whole_item(job, lane, item, 0);
    plain_event(job, "response.mcp_list_tools.in_progress", lane, item);
    plain_event(job, "response.mcp_list_tools.completed", lane, item);
    whole_item(job, lane, item, 1);
}

/* The text of an item is whole. */
static void close_text(goss_srv_job *job, goss_srv_lane *lane, goss_srv_item *item)
{
    goss_buf *b = &job->bytes;
    item_event(job, text_event(item, 1), lane, item, item->kind < GOSS_SRV_CALL);
    if (item->kind == GOSS_SRV_CALL && !goss_srv_is_custom(item)) {
        goss_buf_str(b, ",\"name\":");
        str(b, item->name);
    }
    goss_buf_str(b, item->kind < GOSS_SRV_CALL ? ",\"text\":"
                    : goss_srv_is_custom(item) ? ",\"input\":"
                                               : ",\"arguments\":");
    goss_buf_json_string(b, (const char *)item->text.data, item->text.len);
    if (item->kind == GOSS_SRV_SAID) {
        goss_buf_str(b, ",\"logprobs\":");
        write_record_list(b, job, lane, item->first_prob, item->end_prob);
    }
    event_end(job);
}

static void close_item(goss_srv_job *job, goss_srv_lane *lane, goss_srv_item *item)
{
    const char *text = (const char *)item->text.data;
    if (job->req.compacts) return;
    if (item->kind == GOSS_SRV_LISTED) {
        close_listed(job, lane, item);
        return;
    }
    if (summarised(job, item)) {
        summary_text(job, "response.reasoning_summary_text.done", "text", lane, item, text, item->text.len);
        summary_part(job, "response.reasoning_summary_part.done", lane, item, 1);
    }
    if (item->ask) whole_item(job, lane, item, 0);
    else close_text(job, lane, item);
    if (item->kind < GOSS_SRV_CALL) {
        item_event(job, "response.content_part.done", lane, item, 1);
        goss_buf_str(&job->bytes, ",\"part\":");
        write_part(&job->bytes, job, lane, item, 1);
        event_end(job);
    }
    if (item->kind != GOSS_SRV_MCP || item->ask) whole_item(job, lane, item, 1);
}

/* A call that the server made is over. */
static void called(goss_srv_job *job, goss_srv_lane *lane, goss_srv_item *item)
{
    plain_event(job, item->failed ? "response.mcp_call.failed" : "response.mcp_call.completed", lane, item);
    whole_item(job, lane, item, 1);
}

/* ---- the end, and the store ------------------------------------------------------------------ */
/* The conversation that the response goes on from gets its items. */
static void extend(const goss_srv_job *job)
{
    const goss_srv_room all = { INT32_MAX, SIZE_MAX / 2 }; /* what was asked and answered has its place */
    const goss_srv_lane *lane = &job->lanes[0];
    const goss_str input = job->req.input;
    goss_buf text = GOSS_BUF(SIZE_MAX / 2), kept = GOSS_BUF(SIZE_MAX / 2);
    goss_buf_append(&text, input.s, (size_t)input.n);
    goss_buf_append(&kept, job->req.kept.data, job->req.kept.len);
    for (int i = 0; i < (job->req.compacts ? 1 : lane->n_items); i++) {
        char id[48];
        goss_srv_kept one = { .at = text.len };
        if (job->req.compacts) {
            goss_fmt(one.id, sizeof one.id, "cmp%s", strchr(job->id, '_'));
            goss_srv_compaction_write(&text, job, 1);
        } else {
            goss_fmt(one.id, sizeof one.id, "%s", item_id(&lane->items[i], id, sizeof id));
            write_item(&text, job, lane, &lane->items[i], 1);
        }
        one.n = text.len - one.at;
        goss_buf_append(&kept, &one, sizeof one);
    }
    if (!text.failed && !kept.failed)
        goss_srv_store_extend(job->req.conversation, &job->req, (const char *)text.data,
                              (const goss_srv_kept *)(const void *)kept.data,
                              (int)(kept.len / sizeof(goss_srv_kept)), &all);
    goss_buf_free(&text);
    goss_buf_free(&kept);
}

/* The messages behind which the next request goes on: the conversation without its instructions, with the
 * answer behind it; or the summary of both. 0, or GOSS_ENOMEM. */
static int messages_of(const goss_srv_job *job, goss_owned **owned, goss_buf *messages)
{
    const goss_conversation *c = &job->req.chat;
    goss_message summary;
    if (job->req.compacts)
        return goss_srv_compaction_message(job, owned, &summary) ||
               goss_buf_append(messages, &summary, sizeof summary);
    return goss_buf_append(messages, c->messages + job->req.n_instructions,
                           (size_t)(c->n_messages - job->req.n_instructions) * sizeof *c->messages) ||
           goss_srv_said_append(&job->lanes[0], job->first_item, owned, messages);
}

/* What the next request may refer to: what was said, and each item by its id. */
static void store(goss_srv_job *job, const char *response, size_t n)
{
    const goss_srv_lane *lane = &job->lanes[0];
    const int n_items = job->req.compacts ? 0 : lane->n_items;
    char ids[GOSS_SRV_ITEMS][48];
    goss_srv_stored items[GOSS_SRV_ITEMS];
    goss_buf messages = GOSS_BUF(SIZE_MAX / 2);
    goss_owned *owned = NULL;
    int failed = messages_of(job, &owned, &messages);
    for (int i = 0; i < n_items && !failed; i++) {
        items[i].id = item_id(&lane->items[i], ids[i], sizeof ids[i]);
        failed = goss_srv_said_item(&lane->items[i], &owned, &items[i].message);
    }
    if (!failed)
        goss_srv_store_put(job->id, (const goss_message *)(const void *)messages.data,
                           (int)(messages.len / sizeof(goss_message)), items, n_items,
                           (goss_str){ response, n }, job->req.input);
    goss_buf_free(&messages);
    goss_owned_free(&owned);
}

/* The response is whole. One in the background that was cancelled is remembered as that already. */
static void remember(goss_srv_job *job, const char *response, size_t n)
{
    if (job->bytes.failed || !goss_srv_background_hold(job)) return;
    if (job->req.store) store(job, response, n);
    if (job->req.conversation) extend(job);
    goss_srv_request_let_go(&job->req);
    goss_srv_background_release(job);
}

static const char *status_of(const goss_srv_job *job)
{
    return job->lanes[0].stop == GOSS_STOP_LENGTH ? "incomplete" : "completed";
}

/* The one item of a compaction. */
static void compaction_events(goss_srv_job *job)
{
    for (int full = 0; full < 2; full++) {
        event(job, full ? "response.output_item.done" : "response.output_item.added");
        goss_buf_str(&job->bytes, ",\"output_index\":0,\"item\":");
        goss_srv_compaction_write(&job->bytes, job, full);
        event_end(job);
    }
}

static void end(goss_srv_job *job)
{
    const char *status = status_of(job);
    goss_srv_lane *lane = &job->lanes[0];
    goss_srv_item *item = lane->n_items ? &lane->items[lane->n_items - 1] : NULL;
    if (item && item->kind == GOSS_SRV_MCP && !item->ask && item->failed == GOSS_SRV_MCP_CUT)
        whole_item(job, lane, item, 1);
    if (job->req.compacts) compaction_events(job);
    event(job, status[0] == 'i' ? "response.incomplete" : "response.completed");
    goss_buf_str(&job->bytes, ",\"response\":");
    size_t at = job->bytes.len;
    write_response(&job->bytes, job, status, 1);
    remember(job, (const char *)job->bytes.data + at, job->bytes.len - at);
    goss_srv_write_stats(job, &job->lanes[0]);
    event_end(job);
}

static void whole(goss_srv_job *job)
{
    write_response(&job->bytes, job, status_of(job), 1);
    remember(job, (const char *)job->bytes.data, job->bytes.len);
}

static void failed(goss_srv_job *job)
{
    event(job, "response.failed");
    goss_buf_str(&job->bytes, ",\"response\":");
    const size_t at = job->bytes.len;
    write_response(&job->bytes, job, "failed", 1);
    if (job->background && !job->bytes.failed && goss_srv_background_hold(job)) {
        goss_srv_store_put(job->id, NULL, 0, NULL, 0,
                           (goss_str){ (const char *)job->bytes.data + at, job->bytes.len - at },
                           job->req.input);
        goss_srv_background_release(job);
    }
    event_end(job);
}

extern const goss_srv_writer goss_srv_write_responses;
const goss_srv_writer goss_srv_write_responses = {
    "text/event-stream", begin, open_item, delta, close_item, NULL, end, whole, failed, NULL, called
};
