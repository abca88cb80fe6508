/* write_ollama.c - answers of Ollama's /api/chat and /api/generate: lines of JSON, or one object. Calls come
 * whole, as Ollama sends them. */
#include "job.h"
#include "base/os.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

static int is_chat(const goss_srv_job *job) { return job->req.api == GOSS_SRV_OLLAMA_CHAT; }

static void write_head(goss_srv_job *job)
{
    struct timespec t;
    struct tm tm;
    char when[32];
    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &tm);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &tm);
    goss_buf_str(&job->bytes, "{\"model\":");
    goss_buf_json_string(&job->bytes, job->model, strlen(job->model));
    goss_buf_printf(&job->bytes, ",\"created_at\":\"%s.%06ldZ\",", when, t.tv_nsec / 1000);
}

/* The records from..to, in the shape of OpenAI's chat, where logprobs are asked for. */
static void write_logprobs(goss_srv_job *job, const goss_srv_lane *lane, uint32_t from, uint32_t to)
{
    goss_buf *b = &job->bytes;
    if (job->req.logprobs < 0) return;
    goss_buf_str(b, ",\"logprobs\":[");
    for (uint32_t i = from; i < to; i++) {
        if (i > from) goss_buf_str(b, ",");
        goss_srv_write_record(b, job, &goss_srv_records(lane)[i]);
    }
    goss_buf_str(b, "]");
}

static void write_calls(goss_buf *b, const goss_srv_item *item)
{
    goss_buf_printf(b, "{\"id\":\"%s\",\"function\":{\"name\":", item->id);
    goss_buf_json_string(b, item->name, strlen(item->name));
    goss_buf_str(b, ",\"arguments\":");
    goss_srv_write_arguments(b, item);
    goss_buf_str(b, "}}");
}

static void delta(goss_srv_job *job, goss_srv_lane *lane, goss_srv_item *item, const char *text, size_t n)
{
    goss_buf *b = &job->bytes;
    int thought = item->kind == GOSS_SRV_REASONING;
    if (item->kind == GOSS_SRV_CALL || (thought && !job->req.show_reasoning)) return;
    write_head(job);
    if (is_chat(job))
        goss_buf_str(b, thought ? "\"message\":{\"role\":\"assistant\",\"content\":\"\",\"thinking\":"
                                : "\"message\":{\"role\":\"assistant\",\"content\":");
    else goss_buf_str(b, thought ? "\"response\":\"\",\"thinking\":" : "\"response\":");
    goss_buf_json_string(b, text, n);
    goss_buf_str(b, is_chat(job) ? "},\"done\":false" : ",\"done\":false");
    if (!thought) {
        write_logprobs(job, lane, lane->probs_written, lane->n_probs);
        lane->probs_written = lane->n_probs;
    }
    goss_srv_write_extra(job, lane);
    goss_buf_str(b, "}\n");
}

/* Ollama has nothing for it: an empty piece of the answer, which every client takes. */
static void waits(goss_srv_job *job, int done, int total)
{
    write_head(job);
    goss_buf_str(&job->bytes, is_chat(job) ? "\"message\":{\"role\":\"assistant\",\"content\":\"\"}"
                                           : "\"response\":\"\"");
    goss_buf_printf(&job->bytes,
                    ",\"done\":false,\"prompt_progress\":{\"done\":%d,\"total\":%d}}\n", done,
                    total);
}

static void close_item(goss_srv_job *job, goss_srv_lane *lane, goss_srv_item *item)
{
    (void)lane;
    if (item->kind != GOSS_SRV_CALL) return;
    write_head(job);
    goss_buf_str(&job->bytes, "\"message\":{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[");
    write_calls(&job->bytes, item);
    goss_buf_str(&job->bytes, "]},\"done\":false}\n");
}

static void write_done(goss_srv_job *job, const goss_srv_lane *lane)
{
    double total = goss_os_now_ms() - job->arrived_ms;
    goss_buf_printf(&job->bytes,
                    "\"done\":true,\"done_reason\":\"%s\",\"total_duration\":%.0f,\"load_duration\":%.0f,\"prompt_"
                    "eval_count\":%d,\"prompt_eval_duration\":%.0f,"
                    "\"eval_count\":%d,\"eval_duration\":%.0f",
                    lane->stop == GOSS_STOP_LENGTH ? "length" : "stop", total * 1e6, job->load_ms * 1e6,
                    lane->n_prompt, lane->prefill_ms * 1e6, lane->n_generated, lane->decode_ms * 1e6);
}

static void lane_end(goss_srv_job *job, goss_srv_lane *lane)
{
    write_head(job);
    goss_buf_str(&job->bytes, is_chat(job) ? "\"message\":{\"role\":\"assistant\",\"content\":\"\"},"
                                           : "\"response\":\"\",");
    write_done(job, lane);
    goss_srv_write_stats(job, lane);
    goss_buf_str(&job->bytes, "}\n");
}

static void gather(const goss_srv_lane *lane, int kind, goss_buf *out)
{
    for (int i = 0; i < lane->n_items; i++)
        if (lane->items[i].kind == kind)
            goss_buf_append(out, lane->items[i].text.data, lane->items[i].text.len);
}

static void whole(goss_srv_job *job)
{
    goss_buf *b = &job->bytes, said = GOSS_BUF((size_t)1 << 28), thought = GOSS_BUF((size_t)1 << 28);
    const goss_srv_lane *lane = &job->lanes[0];
    int calls = 0;
    gather(lane, GOSS_SRV_SAID, &said);
    if (job->req.show_reasoning) gather(lane, GOSS_SRV_REASONING, &thought);
    write_head(job);
    goss_buf_str(b, is_chat(job) ? "\"message\":{\"role\":\"assistant\",\"content\":" : "\"response\":");
    goss_buf_json_string(b, (const char *)said.data, said.len);
    if (thought.len) {
        goss_buf_str(b, ",\"thinking\":");
        goss_buf_json_string(b, (const char *)thought.data, thought.len);
    }
    for (int i = 0; i < lane->n_items && is_chat(job); i++) {
        if (lane->items[i].kind != GOSS_SRV_CALL) continue;
        goss_buf_str(b, calls++ ? "," : ",\"tool_calls\":[");
        write_calls(b, &lane->items[i]);
    }
    if (calls) goss_buf_str(b, "]");
    goss_buf_str(b, is_chat(job) ? "}," : ",");
    write_done(job, lane);
    write_logprobs(job, lane, 0, lane->n_probs);
    goss_srv_write_stats(job, &job->lanes[0]);
    goss_buf_str(b, "}");
    goss_buf_free(&said);
    goss_buf_free(&thought);
}

void goss_srv_write_loaded(goss_srv_job *job)
{
    write_head(job);
    goss_buf_str(&job->bytes, is_chat(job) ? "\"message\":{\"role\":\"assistant\",\"content\":\"\"},"
                                           : "\"response\":\"\",");
    goss_buf_printf(&job->bytes, "\"done\":true,\"done_reason\":\"%s\"}",
                    job->req.has_keep && job->req.keep_ms == 0 ? "unload" : "load");
}

static void failed(goss_srv_job *job)
{
    goss_srv_write_fail(&job->bytes, job->req.api, &job->fail);
    goss_buf_str(&job->bytes, "\n");
}

extern const goss_srv_writer goss_srv_write_ollama;
const goss_srv_writer goss_srv_write_ollama = {
    "application/x-ndjson", NULL, NULL, delta, close_item, lane_end, NULL, whole, failed, waits, NULL
};
