/* lane.c - turns a session's events into items: reasoning, content, calls. Text of one message stays one
 * item; nothing is dropped. */
#include "job.h"
#include "tools.h"
#include "base/mem.h"
#include "base/os.h"
#include <stdio.h>
#include <string.h>

int goss_srv_job_open(goss_srv_job **out, size_t max_unread)
{
    goss_srv_job *job = *out = goss_mem_alloc(sizeof *job);
    if (!job) return GOSS_ENOMEM;
    if (goss_srv_out_open(&job->out, max_unread)) { goss_mem_free(job); *out = NULL; return GOSS_ENOMEM; }
    atomic_store(&job->refs, 1);
    job->arrived_ms = goss_os_now_ms();
    job->created = goss_os_unix_time();
    job->bytes = GOSS_BUF((size_t)1 << 30);
    return 0;
}

void goss_srv_lane_free(goss_srv_lane *lane)
{
    goss_session_close(&lane->session);
    for (int i = 0; i < lane->n_items; i++) {
        goss_buf_free(&lane->items[i].text);
        goss_buf_free(&lane->items[i].output);
    }
    goss_buf_free(&lane->probs);
    goss_buf_free(&lane->telemetry);
    goss_mem_free(lane->so_far.ids);
}

void goss_srv_job_drop(goss_srv_job **pointer)
{
    goss_srv_job *job = *pointer;
    *pointer = NULL;
    if (!job || atomic_fetch_sub(&job->refs, 1) > 1) return;
    for (int i = 0; i < job->n_lanes; i++) goss_srv_lane_free(&job->lanes[i]);
    for (int i = 0; i < job->n_prompts; i++) goss_mem_free(job->prompts[i].ids);
    goss_mem_free(job->lanes);
    goss_mem_free(job->prompts);
    goss_buf_free(&job->bytes);
    goss_srv_request_free(&job->req);
    goss_srv_out_close(&job->out);
    goss_mem_free(job);
}

static goss_srv_item *last(goss_srv_lane *lane)
{
    return lane->n_items ? &lane->items[lane->n_items - 1] : NULL;
}

static void close_item(goss_srv_lane *lane)
{
    goss_srv_item *item = last(lane);
    if (!item || item->closed) return;
    item->closed = 1;
    if (goss_srv_is_custom(item)) { /* its input was an argument: it is known when the call ends */
        goss_srv_tools_unwrap(&item->text);
        if (lane->job->req.stream)
            lane->job->writer->delta(lane->job, lane, item, (const char *)item->text.data, item->text.len);
    }
    if (item->kind == GOSS_SRV_MCP && !item->approval && (item->tool->argument || !item->text.len)) {
        goss_srv_mcp_wrap(&item->text, item->tool->argument);
        if (lane->job->req.stream)
            lane->job->writer->delta(lane->job, lane, item, (const char *)item->text.data, item->text.len);
    }
    item->end_prob = lane->n_probs;
    if (lane->job->req.stream && lane->job->writer->close) lane->job->writer->close(lane->job, lane, item);
}

/* The next item; the one before is closed. */
static goss_srv_item *add_item(goss_srv_lane *lane, int kind, const char *id)
{
    close_item(lane);
    goss_srv_item *item = &lane->items[lane->n_items++];
    item->kind = kind;
    item->text = item->output = GOSS_BUF((size_t)1 << 28);
    item->first_prob = lane->n_probs;
    goss_srv_id(item->id, sizeof item->id, id);
    return item;
}

/* Of a piece of text: who it is for. */
static int kind_of(const goss_srv_lane *lane, const goss_event *ev, const goss_srv_tool **tool)
{
    const char *channel = ev->channel ? ev->channel : "";
    *tool = NULL;
    if (!ev->recipient || !*ev->recipient)
        return !strcmp(channel, "analysis") ? GOSS_SRV_REASONING : GOSS_SRV_SAID;
    *tool = goss_srv_tools_find(&lane->job->req, goss_function_name(ev->recipient));
    return *tool && (*tool)->label ? GOSS_SRV_MCP : GOSS_SRV_CALL;
}

static goss_srv_item *open_item(goss_srv_lane *lane, int kind, const goss_srv_tool *tool,
                                const goss_event *ev)
{
    static const char *const ids[] = { "rs_", "msg_", "call_", "mcp_" };
    if (lane->n_items == GOSS_SRV_ITEMS) return last(lane);
    goss_srv_item *item = add_item(lane, kind, tool && tool->ask ? "mcpr_" : ids[kind]);
    item->message = ev->message;
    const char *name = goss_function_name(ev->recipient);
    item->tool = tool;
    item->ask = tool && tool->ask;
    item->failed = GOSS_SRV_MCP_CUT;
    snprintf(item->name, sizeof item->name, "%s", item->tool ? item->tool->name : name);
    if (lane->job->req.stream && lane->job->writer->open) lane->job->writer->open(lane->job, lane, item);
    return item;
}

goss_srv_item *goss_srv_lane_list(goss_srv_lane *lane, const goss_srv_listing *listing)
{
    if (lane->n_items == GOSS_SRV_ITEMS) return NULL;
    goss_srv_item *item = add_item(lane, GOSS_SRV_LISTED, "mcpl_");
    item->listing = listing;
    close_item(lane);
    return item;
}

goss_srv_item *goss_srv_lane_approved(goss_srv_lane *lane, const goss_srv_approval *approval)
{
    goss_srv_job *job = lane->job;
    if (lane->n_items == GOSS_SRV_ITEMS) return NULL;
    goss_srv_item *item = add_item(lane, GOSS_SRV_MCP, "mcp_");
    item->tool = approval->tool;
    item->failed = GOSS_SRV_MCP_CUT;
    item->approval = approval->id;
    if (job->req.stream && job->writer->open) job->writer->open(job, lane, item);
    goss_buf_append(&item->text, approval->arguments.s, (size_t)approval->arguments.n);
    if (job->req.stream) job->writer->delta(job, lane, item, (const char *)item->text.data, item->text.len);
    close_item(lane);
    return item;
}

/* Remembers a token of the content for logprobs. Control tokens at a message's end have no text and are none
 * of it. */
static void record(goss_srv_lane *lane, const goss_event *ev)
{
    char text[512];
    goss_srv_record r = { .token = ev->token,
                          .logprob = ev->logprob,
                          .n_top = ev->n_top > 20 ? 20 : ev->n_top };
    if (ev->token < 0) return;
    size_t n = goss_srv_token_bytes(lane->job, ev->token, text, sizeof text);
    if (!ev->n_text && (!n || (n >= 2 && !memcmp(text, "<|", 2)))) return;
    for (int i = 0; i < r.n_top; i++) r.top[i] = ev->top[i];
    if (!goss_buf_append(&lane->probs, &r, sizeof r)) lane->n_probs++;
}

static void take_text(goss_srv_lane *lane, const goss_event *ev)
{
    goss_srv_job *job = lane->job;
    const char *channel = ev->channel ? ev->channel : "";
    const goss_srv_tool *tool;
    const int kind = kind_of(lane, ev, &tool), call = kind >= GOSS_SRV_CALL;
    goss_srv_item *item = last(lane);
    if (!ev->n_text && !call && kind != GOSS_SRV_SAID) return;
    if (!ev->n_text && job->req.is_chat && !*channel) return; /* a header */
    if (!item || item->closed || item->kind != kind || item->message != ev->message) {
        if (!ev->n_text && !call) return;
        item = open_item(lane, kind, tool, ev);
    }
    if (kind == GOSS_SRV_SAID && job->req.logprobs >= 0) record(lane, ev);
    if (!ev->n_text) return;
    goss_buf_append(&item->text, ev->text, (size_t)ev->n_text);
    if (job->req.stream && !goss_srv_is_custom(item) && !(item->tool && item->tool->argument))
        job->writer->delta(job, lane, item, ev->text, (size_t)ev->n_text);
}

int goss_srv_lane_calls(const goss_srv_lane *lane)
{
    const goss_srv_item *item = lane->n_items ? &lane->items[lane->n_items - 1] : NULL;
    return lane->stop == GOSS_STOP_CALL && item && item->kind == GOSS_SRV_MCP && !item->ask &&
           item->failed == GOSS_SRV_MCP_CUT;
}

/* One lane alone, and once. */
int goss_srv_lane_lacks(const goss_srv_lane *lane)
{
    const goss_srv_item *item = lane->n_items ? &lane->items[lane->n_items - 1] : NULL;
    return lane->job->req.is_chat && lane->job->n_lanes == 1 && !lane->so_far.ids && item &&
           item->kind == GOSS_SRV_REASONING && (lane->stop == GOSS_STOP_EOS || lane->stop == GOSS_STOP_CALL);
}

int goss_srv_lane_event(goss_srv_lane *lane, const goss_event *ev)
{
    goss_srv_job *job = lane->job;
    lane->event = *ev;
    if (ev->kind == GOSS_EVENT_PREFILL) {
        lane->n_prompt = ev->n_total - lane->n_said;
        lane->n_prefilled = ev->n_done - lane->n_said;
        if (!lane->n_said) lane->n_reused = ev->n_reused;
        return 0;
    }
    if (ev->kind == GOSS_EVENT_TOKEN) {
        if (ev->token >= 0) lane->n_generated++, atomic_fetch_add(&job->n_generated, 1);
        if (ev->token >= 0 && ev->channel && !strcmp(ev->channel, "analysis")) lane->n_reasoning++;
        if (lane->first_ms == 0) lane->first_ms = goss_os_now_ms();
        take_text(lane, ev);
        return 0;
    }
    if (ev->n_text) take_text(lane, ev);
    close_item(lane);
    lane->stop = ev->stop;
    lane->n_prompt = ev->n_prompt - lane->n_said;
    if (!lane->n_said) lane->n_reused = ev->n_reused;
    lane->n_generated = ev->n_generated;
    lane->prefill_ms = ev->prefill_ms;
    lane->decode_ms = ev->decode_ms;
    lane->state = GOSS_SRV_LANE_DONE;
    atomic_store(&job->n_reused, lane->n_reused);
    atomic_store(&job->stop, ev->stop);
    if (ev->stop != GOSS_STOP_ERROR && job->req.stream && job->writer->lane_end &&
        !goss_srv_lane_calls(lane) && !goss_srv_lane_lacks(lane))
        job->writer->lane_end(job, lane);
    return 1;
}
