/* start.c - see start.h. */
#include "start.h"
#include "base/mem.h"
#include "base/os.h"
#include "prepare.h"
#include "writers.h"
#include <math.h>
#include <string.h>
#include <sys/random.h>

enum { EVAL_BYTES = 1 << 28 }; /* most memory for the logits of an echoed prompt */

/* ---- lanes ----------------------------------------------------------------------------------- */
int goss_srv_start_job(goss_srv_job *job, const goss_srv_config *c)
{
    static const char *const prefixes[] = { "chatcmpl-", "cmpl-", "resp_", "msg_", "", "", "resp_" };
    goss_srv_request *r = &job->req;
    if (!*job->id) goss_srv_id(job->id, sizeof job->id, prefixes[r->api]);
    job->n_lanes = 0;
    if (!(job->lanes = goss_mem_array((size_t)(job->n_prompts * r->n), sizeof *job->lanes)))
        return goss_srv_fail_memory(job);
    job->n_lanes = job->n_prompts * r->n;
    job->writer = goss_srv_writer_of(r->api);
    if (!r->has_seed && getrandom(&r->params.seed, sizeof r->params.seed, 0) < 0)
        r->params.seed = (uint64_t)(goss_os_now_ms() * 1e6);
    if (c->max_tokens && (r->params.max_tokens == 0 || r->params.max_tokens > c->max_tokens))
        r->params.max_tokens = c->max_tokens;
    r->params.n_probs = r->logprobs > 0 ? r->logprobs : r->logprobs == 0;
    if (r->telemetry && r->telemetry_top_k > r->params.n_probs) r->params.n_probs = r->telemetry_top_k;
    for (int i = 0; i < job->n_lanes; i++) {
        goss_srv_lane *lane = &job->lanes[i];
        lane->job = job;
        lane->index = i;
        lane->prompt = i / r->n;
        lane->probs = GOSS_BUF((size_t)1 << 28);
        lane->telemetry = GOSS_BUF((size_t)1 << 20);
    }
    return 0;
}

/* What a row of logits gives the record's token, and its best few. */
static void rate(goss_srv_record *r, const float *row, size_t n_vocab, int most)
{
    double sum = 0, max = -1e30;
    for (size_t k = 0; k < n_vocab; k++) if ((double)row[k] > max) max = (double)row[k];
    for (size_t k = 0; k < n_vocab; k++) sum += exp((double)row[k] - max);
    const double log_sum = log(sum);
    for (size_t k = 0; k < n_vocab && most; k++) { /* insertion into the best few */
        float lp = (float)((double)row[k] - max - log_sum);
        int at = r->n_top;
        while (at > 0 && r->top[at - 1].logprob < lp) at--;
        if (at >= most) continue;
        if (r->n_top < most) r->n_top++;
        memmove(&r->top[at + 1], &r->top[at], (size_t)(r->n_top - 1 - at) * sizeof r->top[0]);
        r->top[at] = (goss_prob){ (int32_t)k, lp };
    }
    r->logprob = (float)((double)row[r->token] - max - log_sum);
}

/* Log-probabilities of an echoed prompt's own tokens, by one pass over it. */
static int echo_probs(goss_srv_lane *lane)
{
    goss_srv_job *job = lane->job;
    const goss_srv_tokens *t = &job->prompts[lane->prompt];
    size_t n_vocab = (size_t)job->seat->info.n_vocab;
    goss_error err = { 0 };
    if (n_vocab * (size_t)t->n * sizeof(float) > EVAL_BYTES)
        return goss_srv_refuse(&job->fail, 400, "invalid_value", "prompt", -1,
                               "echo with logprobs takes prompts of at most %d tokens here",
                               (int)(EVAL_BYTES / sizeof(float) / n_vocab));
    float *logits = goss_mem_array(n_vocab * (size_t)t->n, sizeof *logits);
    if (!logits) return goss_srv_fail_memory(job);
    int rc = goss_eval((goss_engine *)job->seat->engine, t->ids, t->n, 0, 1, logits, &err);
    for (int i = 0; i < t->n && rc >= 0; i++) {
        goss_srv_record r = { .token = t->ids[i], .logprob = 1 }; /* 1: the first token has none */
        if (i) rate(&r, logits + (size_t)(i - 1) * n_vocab, n_vocab, job->req.logprobs);
        if (!goss_buf_append(&lane->probs, &r, sizeof r)) lane->n_probs++;
    }
    goss_mem_free(logits);
    return rc < 0 ? goss_srv_fail_engine(&job->fail, rc, &err) : 0;
}

/* The conversation as a chat request, for a recording. */
static void tell_request(goss_session *session, const goss_conversation *c)
{
    static const char *const roles[] = { "", "developer", "user", "assistant", "tool" };
    goss_buf json = GOSS_BUF((size_t)1 << 28), text = GOSS_BUF((size_t)1 << 28);
    for (int i = 0; i < c->n_messages; i++) {
        const goss_message *m = &c->messages[i];
        goss_buf_clear(&text);
        for (int k = 0; k < m->n_parts; k++) goss_buf_append(&text, m->parts[k].s, (size_t)m->parts[k].n);
        goss_buf_printf(&json, "%s{\"role\":\"%s\",\"content\":", i ? "," : "{\"messages\":[",
                        roles[m->role]);
        goss_buf_json_string(&json, goss_buf_cstr(&text), text.len);
        for (int k = 0; k < m->n_calls; k++) {
            goss_buf_str(&json,
                         k ? ",{\"function\":{\"name\":" : ",\"tool_calls\":[{\"function\":{\"name\":");
            goss_buf_json_string(&json, m->calls[k].name.s, (size_t)m->calls[k].name.n);
            goss_buf_str(&json, ",\"arguments\":");
            goss_buf_json_string(&json, m->calls[k].arguments.s, (size_t)m->calls[k].arguments.n);
            goss_buf_str(&json, "}}");
        }
        goss_buf_str(&json, m->n_calls ? "]}" : "}");
    }
    goss_buf_str(&json, "]}");
    if (c->n_messages && !json.failed && !text.failed)
        goss_session_request(session, (const char *)json.data, json.len);
    goss_buf_free(&json);
    goss_buf_free(&text);
}

/* A lane that asked for telemetry hears of the model first, and says whose attention is told from now on. */
static int begin_telemetry(goss_srv_lane *lane)
{
    goss_srv_job *job = lane->job;
    const goss_srv_request *r = &job->req;
    const goss_buf *config = &job->seat->config;
    if (!r->telemetry) return 0;
    goss_buf_append(&lane->telemetry, config->data, config->len);
    if ((r->telemetry_layer < 0 && r->telemetry_head < 0) || !job->seat->info.n_layer) return 0;
    const int layer = r->telemetry_layer > 0 ? r->telemetry_layer : 0,
              head = r->telemetry_head > 0 ? r->telemetry_head : 0;
    if (!goss_engine_watch(job->seat->engine, layer, head)) return 0;
    return goss_srv_refuse(&job->fail, 400, "invalid_value", "telemetry_layer", -1,
                           "layer %d, head %d can't be watched: the model has %d and %d", layer, head,
                           job->seat->info.n_layer, job->seat->info.n_head);
}

int goss_srv_start_lane(goss_srv_lane *lane, const goss_srv_config *c)
{
    goss_srv_job *job = lane->job;
    const goss_srv_tokens *t = lane->so_far.ids ? &lane->so_far : &job->prompts[lane->prompt];
    goss_params params = job->req.params;
    goss_error err = { 0 };
    /* sessions that were closed while their rows were under way have their places until these are back */
    int rc = goss_session_open(job->seat->engine, &lane->session, &err);
    if (rc == GOSS_ELIMIT) return 1;
    if (begin_telemetry(lane)) return -1;
    if (job->req.echo && job->req.logprobs >= 0 && echo_probs(lane)) return -1;
    params.seed += (uint64_t)lane->index;
    if (params.max_tokens > 0) params.max_tokens -= lane->past.generated;
    if (lane->so_far.ids) params.reasoning_budget = 0;
    if (job->req.max_kv && params.max_tokens >= 0 &&
        (params.max_tokens == 0 || params.max_tokens > job->req.max_kv - t->n))
        params.max_tokens = job->req.max_kv - t->n;
    if (!rc && c->engine.record) tell_request(lane->session, &job->req.chat);
    if (!rc) rc = goss_session_prompt(lane->session, t->ids, t->n, &params, &err);
    if (rc < 0) return goss_srv_fail_engine(&job->fail, rc, &err);
    lane->n_prompt = t->n - lane->n_said;
    atomic_store(&job->n_prompt, lane->n_prompt);
    lane->start_ms = goss_os_now_ms();
    lane->state = GOSS_SRV_LANE_RUNS;
    job->seat->n_lanes++;
    job->n_started++;
    return 0;
}
