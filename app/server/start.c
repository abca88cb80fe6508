/* start.c - see start.h. */
#include "start.h"
#include "../../src/base/mem.h"
#include "../../src/base/os.h"
#include <math.h>
#include <string.h>
#include <sys/random.h>

enum { EVAL_BYTES = 1 << 28 }; /* most memory for the logits of an echoed prompt */

int goss_srv_fail_engine(goss_srv_fail *f, int rc, const goss_error *err) {
    const char *text = err->text[0] ? err->text : goss_error_name(rc);
    if (rc == GOSS_ELIMIT && (strstr(text, "context") || strstr(text, "prompt")))
        return goss_srv_refuse(f, 400, "context_length_exceeded", "messages", -1, "%s", text);
    if (rc == GOSS_EINVAL || rc == GOSS_EFORMAT || rc == GOSS_EUNSUPPORTED || rc == GOSS_ELIMIT)
        return goss_srv_refuse(f, 400, rc == GOSS_EUNSUPPORTED ? "unsupported_value" : "invalid_value", "", -1,
                               "%s", text);
    goss_srv_refuse(f, rc == GOSS_ENOMEM || rc == GOSS_EFULL ? 503 : 500, goss_error_name(rc), "", -1, "%s", text);
    f->stage = "inference";
    return -1;
}

static int no_memory(goss_srv_job *job) {
    return goss_srv_refuse(&job->fail, 500, "out_of_memory", "", -1, "out of memory");
}

/* ---- prompts --------------------------------------------------------------------------------- */
static int add_forced(goss_srv_job *job, goss_srv_tokens *t) {
    const char *text = job->req.forced;
    int n = goss_tokenize(job->engine, text, strlen(text), GOSS_TOKENIZE_SPECIAL, NULL, 0);
    int32_t *ids = n < 0 ? NULL : goss_mem_array((size_t)t->n + (size_t)n, sizeof *ids);
    if (!ids) return no_memory(job);
    memcpy(ids, t->ids, (size_t)t->n * sizeof *ids);
    goss_tokenize(job->engine, text, strlen(text), GOSS_TOKENIZE_SPECIAL, ids + t->n, n);
    goss_mem_free(t->ids);
    t->ids = ids;
    t->n += n;
    return 0;
}

static int render_chat(goss_srv_job *job, goss_srv_tokens *t) {
    goss_error err = { 0 };
    const char *json = (const char *)job->req.chat.data;
    int n = goss_chat_render(job->engine, json, job->req.chat.len, NULL, 0, &err);
    if (n < 0) return goss_srv_fail_engine(&job->fail, n, &err);
    if (!(t->ids = goss_mem_array((size_t)n + 1, sizeof *t->ids))) return no_memory(job);
    t->n = goss_chat_render(job->engine, json, job->req.chat.len, t->ids, n, &err);
    if (!job->req.forced) return 0;
    if (strcmp(job->slot->info.chat, "harmony"))
        return goss_srv_refuse(&job->fail, 400, "unsupported_value", "tool_choice", -1,
                               "this model's chat format (%s) has no tool calls", job->slot->info.chat);
    return add_forced(job, t);
}

static int encode(goss_srv_job *job, const goss_srv_prompt *p, goss_srv_tokens *t) {
    int n = p->text
                ? goss_tokenize(job->engine, p->text, p->n_text, GOSS_TOKENIZE_BOS | GOSS_TOKENIZE_SPECIAL, NULL, 0)
                : p->n_ids;
    if (n < 0) return goss_srv_refuse(&job->fail, 400, "invalid_value", "prompt", -1, "the prompt can't be encoded");
    if (!(t->ids = goss_mem_array((size_t)n + 1, sizeof *t->ids))) return no_memory(job);
    t->n = n;
    if (p->text) goss_tokenize(job->engine, p->text, p->n_text, GOSS_TOKENIZE_BOS | GOSS_TOKENIZE_SPECIAL, t->ids, n);
    else memcpy(t->ids, p->ids, (size_t)n * sizeof *t->ids);
    return n ? 0 : goss_srv_refuse(&job->fail, 400, "invalid_value", "prompt", -1, "the prompt is empty");
}

static int check_length(goss_srv_job *job, const goss_srv_tokens *t) {
    int most = job->slot->info.max_kv;
    if (job->req.max_kv && (!most || job->req.max_kv < most)) most = job->req.max_kv;
    if (!most || t->n < most) return 0;
    return goss_srv_refuse(&job->fail, 400, "context_length_exceeded", job->req.is_chat ? "messages" : "prompt", -1,
                           "the prompt has %d tokens, but the context holds %d and the answer needs room too", t->n,
                           most);
}

static int render(goss_srv_job *job) {
    int n = job->req.is_chat ? 1 : job->req.n_prompts;
    if (!(job->prompts = goss_mem_array((size_t)n, sizeof *job->prompts))) return no_memory(job);
    job->n_prompts = n;
    for (int i = 0; i < n; i++) {
        if (job->req.is_chat ? render_chat(job, &job->prompts[i])
                             : encode(job, &job->req.prompts[i], &job->prompts[i]))
            return -1;
        if (job->req.api != GOSS_SRV_COUNT && check_length(job, &job->prompts[i])) return -1;
    }
    return 0;
}

/* ---- answers without generation -------------------------------------------------------------- */
static int tokenize(goss_srv_job *job) {
    goss_buf *b = &job->bytes;
    unsigned flags = (job->req.special ? GOSS_TOKENIZE_SPECIAL : 0u) | (job->req.bos ? GOSS_TOKENIZE_BOS : 0u);
    int n = goss_tokenize(job->engine, job->req.text, job->req.n_text, flags, NULL, 0);
    int32_t *ids = n < 0 ? NULL : goss_mem_array((size_t)n + 1, sizeof *ids);
    if (!ids) return goss_srv_refuse(&job->fail, 400, "invalid_value", "content", -1, "the text can't be encoded");
    goss_tokenize(job->engine, job->req.text, job->req.n_text, flags, ids, n);
    goss_buf_str(b, "{\"tokens\":[");
    for (int i = 0; i < n; i++) {
        if (!job->req.pieces) { goss_buf_printf(b, "%s%d", i ? "," : "", ids[i]); continue; }
        char text[512];
        goss_buf_printf(b, "%s{\"id\":%d,\"piece\":", i ? "," : "", ids[i]);
        goss_buf_json_string(b, text, goss_srv_token_bytes(job, ids[i], text, sizeof text));
        goss_buf_str(b, "}");
    }
    goss_buf_printf(b, "],\"count\":%d}", n);
    goss_mem_free(ids);
    return 1;
}

static int detokenize(goss_srv_job *job) {
    const goss_srv_prompt *p = &job->req.prompts[0];
    goss_buf text = GOSS_BUF((size_t)1 << 28);
    int n = goss_detokenize(job->engine, p->ids, p->n_ids, NULL, 0);
    if (n < 0)
        return goss_srv_refuse(&job->fail, 400, "invalid_value", "tokens", -1, "an id is outside the vocabulary");
    if (goss_buf_reserve(&text, (size_t)n + 1)) return no_memory(job);
    goss_detokenize(job->engine, p->ids, p->n_ids, (char *)text.data, n);
    goss_buf_str(&job->bytes, "{\"content\":");
    goss_buf_json_string(&job->bytes, (const char *)text.data, (size_t)n);
    goss_buf_str(&job->bytes, "}");
    goss_buf_free(&text);
    return 1;
}

static int count(goss_srv_job *job) {
    if (render(job)) return -1;
    goss_buf_printf(&job->bytes, "{\"input_tokens\":%d}", job->prompts[0].n);
    return 1;
}

/* ---- lanes ----------------------------------------------------------------------------------- */
int goss_srv_start_job(goss_srv_job *job, const goss_srv_config *c) {
    static const char *const prefixes[] = { "chatcmpl-", "cmpl-", "resp_", "msg_", "", "" };
    goss_srv_request *r = &job->req;
    job->engine = job->slot->engine;
    if (r->api >= GOSS_SRV_COUNT) {
        return r->api == GOSS_SRV_COUNT      ? count(job)
               : r->api == GOSS_SRV_TOKENIZE ? tokenize(job)
                                             : detokenize(job);
    }
    if (r->load_only) return goss_srv_write_loaded(job), 1;
    if (render(job)) return -1;
    goss_srv_id(job->id, sizeof job->id, prefixes[r->api]);
    job->n_lanes = 0;
    if (!(job->lanes = goss_mem_array((size_t)(job->n_prompts * r->n), sizeof *job->lanes))) return no_memory(job);
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
static void rate(goss_srv_record *r, const float *row, size_t n_vocab, int most) {
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
static int echo_probs(goss_srv_lane *lane) {
    goss_srv_job *job = lane->job;
    const goss_srv_tokens *t = &job->prompts[lane->prompt];
    size_t n_vocab = (size_t)job->slot->info.n_vocab;
    goss_error err = { 0 };
    if (n_vocab * (size_t)t->n * sizeof(float) > EVAL_BYTES)
        return goss_srv_refuse(&job->fail, 400, "invalid_value", "prompt", -1,
                               "echo with logprobs takes prompts of at most %d tokens here",
                               (int)(EVAL_BYTES / sizeof(float) / n_vocab));
    float *logits = goss_mem_array(n_vocab * (size_t)t->n, sizeof *logits);
    if (!logits) return no_memory(job);
    int rc = goss_eval((goss_engine *)job->slot->engine, t->ids, t->n, 0, 1, logits, &err);
    for (int i = 0; i < t->n && rc >= 0; i++) {
        goss_srv_record r = { .token = t->ids[i], .logprob = 1 }; /* 1: the first token has none */
        if (i) rate(&r, logits + (size_t)(i - 1) * n_vocab, n_vocab, job->req.logprobs);
        if (!goss_buf_append(&lane->probs, &r, sizeof r)) lane->n_probs++;
    }
    goss_mem_free(logits);
    return rc < 0 ? goss_srv_fail_engine(&job->fail, rc, &err) : 0;
}

int goss_srv_start_lane(goss_srv_lane *lane, const goss_srv_config *c) {
    goss_srv_job *job = lane->job;
    const goss_srv_tokens *t = &job->prompts[lane->prompt];
    goss_params params = job->req.params;
    goss_error err = { 0 };
    (void)c;
    if (job->req.echo && job->req.logprobs >= 0 && echo_probs(lane)) return -1;
    params.seed += (uint64_t)lane->index;
    if (job->req.max_kv && params.max_tokens >= 0 &&
        (params.max_tokens == 0 || params.max_tokens > job->req.max_kv - t->n))
        params.max_tokens = job->req.max_kv - t->n;
    int rc = goss_session_open(job->slot->engine, &lane->session, &err);
    if (!rc) rc = goss_session_prompt(lane->session, t->ids, t->n, &params, &err);
    if (rc < 0) return goss_srv_fail_engine(&job->fail, rc, &err);
    lane->n_prompt = t->n;
    atomic_store(&job->n_prompt, t->n);
    lane->start_ms = goss_os_now_ms();
    lane->state = GOSS_SRV_LANE_RUNS;
    job->slot->n_lanes++;
    job->n_started++;
    return 0;
}
