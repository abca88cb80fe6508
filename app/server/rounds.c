/* rounds.c - see rounds.h. */
#include "rounds.h"
#include "base/mem.h"
#include "log.h"
#include "prepare.h"
#include "said.h"
#include "seats.h"
#include "tool_calls.h"
#include <string.h>

enum { NONE, CALLS, PREPARES };
enum { ROUNDS = 32, SPARE_ITEMS = 8 };

void goss_srv_rounds_list(goss_srv_job *job)
{
    if (job->req.api != GOSS_SRV_RESPONSES) return;
    for (int i = 0; i < job->req.n_listings; i++)
        if (!job->req.listings[i].known) goss_srv_lane_list(&job->lanes[0], &job->req.listings[i]);
    job->first_item = job->lanes[0].n_items;
}

static int make_call(goss_srv_job *job, goss_srv_item *item, void (*told)(void *ctx), void *ctx)
{
    const goss_str arguments = { (const char *)item->text.data, item->text.len };
    job->round = CALLS;
    job->calling = item;
    item->failed = GOSS_SRV_MCP_RUNS;
    job->n_calls++;
    job->call = goss_srv_call_make(item->tool->number, item->tool->name, arguments, told, ctx);
    return job->call ? 0 : goss_srv_fail_memory(job);
}

/* The next of the calls that were approved. 1: there is none. */
static int make_approved(goss_srv_job *job, void (*told)(void *ctx), void *ctx)
{
    while (job->n_approved < job->req.n_approvals) {
        const goss_srv_approval *a = &job->req.approvals[job->n_approved++];
        goss_srv_item *item = a->result >= 0 ? goss_srv_lane_approved(&job->lanes[0], a) : NULL;
        if (item) return make_call(job, item, told, ctx);
    }
    return 1;
}

int goss_srv_rounds_open(goss_srv_job *job, void (*told)(void *ctx), void *ctx)
{
    return make_approved(job, told, ctx) < 0 ? -1 : 0;
}

/* What the round has read and written is added up; the lane waits for its next session. */
static void wait_again(goss_srv_lane *lane)
{
    lane->state = GOSS_SRV_LANE_WAITS;
    lane->job->n_started--;
    lane->past.generated += lane->n_generated;
    lane->n_generated = 0;
}

/* The turn as the session has it, with its last message ended as a message and another one begun. */
int goss_srv_round_answer(goss_srv_lane *lane)
{
    goss_srv_job *job = lane->job;
    const int n = goss_session_next_message(lane->session, NULL, 0),
              most = job->seat->info.max_kv ? job->seat->info.max_kv : job->seat->info.n_ctx,
              spent = job->req.params.max_tokens > 0 &&
                      lane->past.generated + lane->n_generated >= job->req.params.max_tokens;
    if (n <= lane->n_prompt || n >= most || spent) return 1;
    int32_t *ids = goss_mem_array((size_t)n, sizeof *ids);
    if (!ids) return 1;
    goss_session_next_message(lane->session, ids, n);
    lane->so_far = (goss_srv_tokens){ ids, n };
    lane->n_said = n - lane->n_prompt;
    wait_again(lane);
    return 0;
}

int goss_srv_round_begin(goss_srv_lane *lane, void (*told)(void *ctx), void *ctx)
{
    wait_again(lane);
    lane->past.prompt += lane->n_prompt;
    lane->past.reused += lane->n_reused;
    lane->n_prompt = lane->n_reused = lane->n_prefilled = lane->n_said = 0;
    goss_mem_free(lane->so_far.ids);
    lane->so_far = (goss_srv_tokens){ 0 };
    return make_call(lane->job, &lane->items[lane->n_items - 1], told, ctx);
}

/* ---- the result ---------------------------------------------------------------------------------------- */
static void log_call(const goss_srv_item *item)
{
    static const char *const words[] = { "well", "the tool failed", "no answer" };
    char name[100], label[100];
    goss_srv_log_escape(name, sizeof name, item->tool->name, strlen(item->tool->name));
    goss_srv_log_escape(label, sizeof label, item->tool->label, strlen(item->tool->label));
    goss_srv_log("called %s of %s: %s, %zu bytes", name, label, words[item->failed], item->output.len);
}

/* The conversation with what was said and called since, or with the result of a call that was approved. */
static int go_on_from(goss_srv_job *job, const goss_srv_item *item)
{
    goss_srv_request *r = &job->req;
    goss_message *messages = (goss_message *)(void *)r->messages.data;
    if (item->approval) {
        goss_str *part = goss_owned_take(&r->owned, sizeof *part);
        if (!part) return GOSS_ENOMEM;
        *part = (goss_str){ (const char *)item->output.data, item->output.len };
        goss_message *result = &messages[r->approvals[job->n_approved - 1].result];
        result->parts = part;
        result->n_parts = 1;
    } else if (goss_srv_said_append(&job->lanes[0], job->first_item, &r->owned, &r->messages))
        return GOSS_ENOMEM;
    job->first_item = job->lanes[0].n_items;
    r->chat.messages = (const goss_message *)(const void *)r->messages.data;
    r->chat.n_messages = (int)(r->messages.len / sizeof(goss_message));
    return 0;
}

/* What was prepared for the round before goes; what must be called has been. */
static int prepare_again(goss_srv_job *job, void (*told)(void *ctx), void *ctx)
{
    goss_srv_request *r = &job->req;
    const int most = r->max_calls && r->max_calls < ROUNDS ? r->max_calls : ROUNDS,
              last = job->n_calls >= most || job->lanes[0].n_items > GOSS_SRV_ITEMS - SPARE_ITEMS;
    for (int i = 0; i < job->n_prompts; i++) goss_mem_free(job->prompts[i].ids);
    goss_mem_free(job->prompts);
    job->prompts = NULL;
    job->n_prompts = 0;
    goss_schemas_close(&r->params.schemas);
    if (!job->calling->approval) {
        r->params.must_call = r->chat.must_call = 0;
        r->chat.choice = (goss_str){ 0 };
        r->params.tools_json = r->tools_after;
    }
    if (last) r->params.tools_json = r->tools_last, r->params.builtin = 0;
    atomic_store(&job->prepared, 0);
    job->round = PREPARES;
    return goss_srv_prepare_begin(job, told, ctx);
}

/* All tokens that the answer may have are spent. */
static int is_spent(goss_srv_job *job)
{
    goss_srv_lane *lane = &job->lanes[0];
    if (job->req.params.max_tokens <= 0 || lane->past.generated < job->req.params.max_tokens) return 0;
    lane->stop = GOSS_STOP_LENGTH;
    lane->state = GOSS_SRV_LANE_DONE;
    job->n_started++;
    job->n_done++;
    job->round = NONE;
    if (job->req.stream && job->writer->lane_end) job->writer->lane_end(job, lane);
    return 1;
}

static int take_result(goss_srv_job *job, void (*told)(void *ctx), void *ctx)
{
    goss_srv_item *item = job->calling;
    item->failed = goss_srv_call_take(job->call, &item->output);
    goss_srv_call_drop(&job->call);
    log_call(item);
    if (job->req.stream && job->writer->called) job->writer->called(job, &job->lanes[0], item);
    if (go_on_from(job, item)) return goss_srv_fail_memory(job);
    const int more = make_approved(job, told, ctx);
    if (more <= 0) return more;
    return is_spent(job) ? 0 : prepare_again(job, told, ctx);
}

int goss_srv_round_go(goss_srv_job *job, void (*told)(void *ctx), void *ctx)
{
    if (job->round == CALLS) {
        if (!goss_srv_call_done(job->call)) return 0;
        if (take_result(job, told, ctx)) return -1;
    }
    if (job->round == PREPARES) {
        if (goss_srv_prepares(job)) return 0;
        if (goss_srv_prepare_end(job) < 0) return -1;
        job->round = NONE;
    }
    return job->round == NONE;
}

int goss_srv_round_sleeps(const goss_srv_job *job) { return job->round == CALLS; }
void goss_srv_round_end(goss_srv_job *job) { goss_srv_call_drop(&job->call); }
