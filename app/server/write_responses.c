/* write_responses.c - answers of /v1/responses: the response object, and the stream's events in OpenAI's order with
 * sequence numbers.
 *
 *   created, in_progress, then for every item:  output_item.added
 *     reasoning   content_part.added  reasoning_text.delta*  reasoning_text.done  content_part.done
 *     message     content_part.added  output_text.delta*     output_text.done     content_part.done
 *     call        function_call_arguments.delta*  function_call_arguments.done
 *                                             output_item.done
 *   completed, incomplete or failed */
#include "job.h"
#include "store.h"
#include "../../src/base/os.h"
#include <string.h>

static void str(goss_buf *b, const char *s) { goss_buf_json_string(b, s, strlen(s)); }
static void str_or_null(goss_buf *b, const char *s) { if (s) str(b, s); else goss_buf_str(b, "null"); }

static void write_record_list(goss_buf *b, const goss_srv_job *job, const goss_srv_lane *lane, uint32_t from,
                              uint32_t to) {
    goss_buf_str(b, "[");
    for (uint32_t i = from; i < to && job->req.logprobs >= 0; i++) {
        if (i > from) goss_buf_str(b, ",");
        goss_srv_write_record(b, job, &goss_srv_records(lane)[i]);
    }
    goss_buf_str(b, "]");
}

static void write_part(goss_buf *b, const goss_srv_job *job, const goss_srv_lane *lane, const goss_srv_item *item,
                       int full) {
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

static void write_item(goss_buf *b, const goss_srv_job *job, const goss_srv_lane *lane, const goss_srv_item *item,
                       int full) {
    const char *status = full ? "completed" : "in_progress";
    if (item->kind == GOSS_SRV_CALL) {
        goss_buf_printf(
            b, "{\"type\":\"function_call\",\"id\":\"fc_%s\",\"call_id\":\"%s\",\"name\":", item->id + 5, item->id);
        str(b, item->name);
        goss_buf_str(b, ",\"arguments\":");
        goss_buf_json_string(b, (const char *)item->text.data, full ? item->text.len : 0);
        goss_buf_printf(b, ",\"status\":\"%s\"}", status);
        return;
    }
    if (item->kind == GOSS_SRV_REASONING)
        goss_buf_printf(b, "{\"type\":\"reasoning\",\"id\":\"%s\",\"summary\":[],\"status\":\"%s\",\"content\":[",
                        item->id, status);
    else
        goss_buf_printf(
            b, "{\"type\":\"message\",\"id\":\"%s\",\"role\":\"assistant\",\"status\":\"%s\",\"content\":[",
            item->id, status);
    if (full) write_part(b, job, lane, item, 1);
    goss_buf_str(b, "]}");
}

static void write_usage(goss_buf *b, const goss_srv_job *job) {
    int prompt, reused, generated, reasoning;
    goss_srv_totals(job, &prompt, &reused, &generated, &reasoning);
    goss_buf_printf(b,
                    "{\"input_tokens\":%d,\"input_tokens_details\":{\"cached_tokens\":%d},\"output_tokens\":%d,"
                    "\"output_tokens_details\":{\"reasoning_tokens\":%d},"
                    "\"total_tokens\":%d}",
                    prompt, reused, generated, reasoning, prompt + generated);
}

static void write_response(goss_buf *b, const goss_srv_job *job, const char *status, int full) {
    const goss_srv_request *r = &job->req;
    const goss_srv_lane *lane = &job->lanes[0];
    goss_buf_printf(b,
                    "{\"id\":\"%s\",\"object\":\"response\",\"created_at\":%lld,\"status\":\"%s\",\"background\":"
                    "false,\"error\":",
                    job->id, (long long)job->created, status);
    if (!strcmp(status, "failed")) {
        goss_buf_str(b, "{\"code\":\"server_error\",\"message\":");
        str(b, job->fail.message);
        goss_buf_str(b, "}");
    } else goss_buf_str(b, "null");
    goss_buf_printf(b, ",\"incomplete_details\":%s,\"instructions\":",
                    !strcmp(status, "incomplete") ? "{\"reason\":\"max_output_tokens\"}" : "null");
    str_or_null(b, r->instructions);
    if (r->params.max_tokens > 0) goss_buf_printf(b, ",\"max_output_tokens\":%d,\"model\":", r->params.max_tokens);
    else goss_buf_str(b, ",\"max_output_tokens\":null,\"model\":");
    str(b, job->model);
    goss_buf_str(b, ",\"output\":[");
    for (int i = 0; i < lane->n_items && full; i++) {
        if (i) goss_buf_str(b, ",");
        write_item(b, job, lane, &lane->items[i], 1);
    }
    goss_buf_str(b, "],\"parallel_tool_calls\":false,\"previous_response_id\":");
    str_or_null(b, r->previous);
    goss_buf_printf(b,
                    ",\"reasoning\":{\"effort\":\"%s\",\"summary\":null},\"store\":%s,\"temperature\":%.6g,"
                    "\"text\":%s,\"tool_choice\":%s,\"tools\":%s,"
                    "\"top_p\":%.6g,\"truncation\":\"disabled\",\"usage\":",
                    r->effort_echo, r->store ? "true" : "false", (double)r->params.temperature,
                    r->format_echo ? r->format_echo : "{\"format\":{\"type\":\"text\"}}",
                    r->choice_echo ? r->choice_echo : "\"auto\"", r->tools_echo ? r->tools_echo : "[]",
                    (double)r->params.top_p);
    if (full) write_usage(b, job);
    else goss_buf_str(b, "null");
    goss_buf_printf(b, ",\"user\":null,\"metadata\":%s}", r->metadata_echo ? r->metadata_echo : "{}");
}

/* ---- events ---------------------------------------------------------------------------------- */
static void event(goss_srv_job *job, const char *type) {
    goss_buf_printf(&job->bytes, "event: %s\ndata: {\"type\":\"%s\",\"sequence_number\":%d", type, type,
                    job->sequence++);
}
static void event_end(goss_srv_job *job) { goss_buf_str(&job->bytes, "}\n\n"); }
static void item_event(goss_srv_job *job, const char *type, const goss_srv_lane *lane, const goss_srv_item *item,
                       int part) {
    event(job, type);
    goss_buf_printf(&job->bytes, ",\"output_index\":%d,\"item_id\":\"%s%s\"", (int)(item - lane->items),
                    item->kind == GOSS_SRV_CALL ? "fc_" : "", item->id + (item->kind == GOSS_SRV_CALL ? 5 : 0));
    if (part) goss_buf_str(&job->bytes, ",\"content_index\":0");
}

static void begin(goss_srv_job *job) {
    static const char *const types[] = { "response.created", "response.in_progress" };
    for (int i = 0; i < 2; i++) {
        event(job, types[i]);
        goss_buf_str(&job->bytes, ",\"response\":");
        write_response(&job->bytes, job, "in_progress", 0);
        event_end(job);
    }
}

static void open_item(goss_srv_job *job, goss_srv_lane *lane, goss_srv_item *item) {
    event(job, "response.output_item.added");
    goss_buf_printf(&job->bytes, ",\"output_index\":%d,\"item\":", (int)(item - lane->items));
    write_item(&job->bytes, job, lane, item, 0);
    event_end(job);
    if (item->kind == GOSS_SRV_CALL) return;
    item_event(job, "response.content_part.added", lane, item, 1);
    goss_buf_str(&job->bytes, ",\"part\":");
    write_part(&job->bytes, job, lane, item, 0);
    event_end(job);
}

static void delta(goss_srv_job *job, goss_srv_lane *lane, goss_srv_item *item, const char *text, size_t n) {
    static const char *const types[] = { "response.reasoning_text.delta", "response.output_text.delta",
                                         "response.function_call_arguments.delta" };
    item_event(job, types[item->kind], lane, item, item->kind != GOSS_SRV_CALL);
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

static void close_item(goss_srv_job *job, goss_srv_lane *lane, goss_srv_item *item) {
    static const char *const types[] = { "response.reasoning_text.done", "response.output_text.done",
                                         "response.function_call_arguments.done" };
    goss_buf *b = &job->bytes;
    item_event(job, types[item->kind], lane, item, item->kind != GOSS_SRV_CALL);
    if (item->kind == GOSS_SRV_CALL) { goss_buf_str(b, ",\"name\":"); str(b, item->name); }
    goss_buf_str(b, item->kind == GOSS_SRV_CALL ? ",\"arguments\":" : ",\"text\":");
    goss_buf_json_string(b, (const char *)item->text.data, item->text.len);
    if (item->kind == GOSS_SRV_SAID) {
        goss_buf_str(b, ",\"logprobs\":");
        write_record_list(b, job, lane, item->first_prob, item->end_prob);
    }
    event_end(job);
    if (item->kind != GOSS_SRV_CALL) {
        item_event(job, "response.content_part.done", lane, item, 1);
        goss_buf_str(b, ",\"part\":");
        write_part(b, job, lane, item, 1);
        event_end(job);
    }
    event(job, "response.output_item.done");
    goss_buf_printf(b, ",\"output_index\":%d,\"item\":", (int)(item - lane->items));
    write_item(b, job, lane, item, 1);
    event_end(job);
}

/* ---- the end, and the store ------------------------------------------------------------------ */
static void remember(goss_srv_job *job, const char *response, size_t n) {
    const goss_srv_lane *lane = &job->lanes[0];
    goss_buf *turn = &job->req.turn, thought = GOSS_BUF((size_t)1 << 28);
    for (int i = 0; i < lane->n_items; i++) {
        const goss_srv_item *item = &lane->items[i];
        if (item->kind == GOSS_SRV_REASONING) {
            goss_buf_append(&thought, item->text.data, item->text.len);
            continue;
        }
        goss_buf_str(turn, turn->len ? ",{\"role\":\"assistant\"" : "{\"role\":\"assistant\"");
        if (thought.len) {
            goss_buf_str(turn, ",\"reasoning_content\":");
            goss_buf_json_string(turn, (const char *)thought.data, thought.len);
            goss_buf_clear(&thought);
        }
        if (item->kind == GOSS_SRV_CALL) {
            goss_buf_printf(
                turn, ",\"tool_calls\":[{\"id\":\"%s\",\"type\":\"function\",\"function\":{\"name\":", item->id);
            str(turn, item->name);
            goss_buf_str(turn, ",\"arguments\":");
        } else goss_buf_str(turn, ",\"content\":");
        goss_buf_json_string(turn, (const char *)item->text.data, item->text.len);
        goss_buf_str(turn, item->kind == GOSS_SRV_CALL ? "}}]}" : "}");
    }
    goss_buf_free(&thought);
    if (!turn->failed) goss_srv_store_put(job->id, turn, response, n);
}

static const char *status_of(const goss_srv_job *job) {
    return job->lanes[0].stop == GOSS_STOP_LENGTH ? "incomplete" : "completed";
}

static void end(goss_srv_job *job) {
    const char *status = status_of(job);
    event(job, status[0] == 'i' ? "response.incomplete" : "response.completed");
    goss_buf_str(&job->bytes, ",\"response\":");
    size_t at = job->bytes.len;
    write_response(&job->bytes, job, status, 1);
    if (job->req.store && !job->bytes.failed) remember(job, (const char *)job->bytes.data + at, job->bytes.len - at);
    goss_srv_write_stats(job, &job->lanes[0]);
    event_end(job);
}

static void whole(goss_srv_job *job) {
    write_response(&job->bytes, job, status_of(job), 1);
    if (job->req.store && !job->bytes.failed) remember(job, (const char *)job->bytes.data, job->bytes.len);
}

static void failed(goss_srv_job *job) {
    event(job, "response.failed");
    goss_buf_str(&job->bytes, ",\"response\":");
    write_response(&job->bytes, job, "failed", 1);
    event_end(job);
}

extern const goss_srv_writer goss_srv_write_responses;
const goss_srv_writer goss_srv_write_responses = {
    "text/event-stream", begin, open_item, delta, close_item, NULL, end, whole, failed
};
