/* write.c - what the writers of all protocols share, and refusals. */
#include "job.h"
#include "base/mem.h"
#include "base/os.h"
#include <string.h>

static const char *anthropic_type(const goss_srv_fail *f)
{
    return f->status == 401   ? "authentication_error"
           : f->status == 403 ? "permission_error"
           : f->status == 404 ? "not_found_error"
           : f->status == 413 ? "request_too_large"
           : f->status == 429 ? "rate_limit_error"
           : f->status == 503 ? "overloaded_error"
           : f->status >= 500 ? "api_error"
                              : "invalid_request_error";
}

void goss_srv_write_fail(goss_buf *b, goss_srv_api api, const goss_srv_fail *f)
{
    if (api == GOSS_SRV_OLLAMA_CHAT || api == GOSS_SRV_OLLAMA_GENERATE || api >= GOSS_SRV_OLLAMA_EMBED) {
        goss_buf_str(b, "{\"error\":");
        goss_buf_json_string(b, f->message, strlen(f->message));
        goss_buf_str(b, "}");
        return;
    }
    int anthropic = api == GOSS_SRV_MESSAGES || api == GOSS_SRV_COUNT;
    goss_buf_str(b, anthropic ? "{\"type\":\"error\",\"error\":{\"message\":" : "{\"error\":{\"message\":");
    goss_buf_json_string(b, f->message, strlen(f->message));
    goss_buf_printf(b, ",\"type\":\"%s\",\"stage\":\"%s\",\"param\":",
                    anthropic ? anthropic_type(f)
                    : f->type ? f->type
                              : "server_error",
                    f->stage ? f->stage : "request");
    if (*f->param) goss_buf_json_string(b, f->param, strlen(f->param));
    else goss_buf_str(b, "null");
    if (f->code) goss_buf_printf(b, ",\"code\":\"%s\"", f->code);
    else goss_buf_str(b, ",\"code\":null");
    if (f->position >= 0) goss_buf_printf(b, ",\"position\":%lld", (long long)f->position);
    if (anthropic && f->code && !strcmp(f->code, GOSS_SRV_NO_THREADS))
        goss_buf_printf(b, ",\"details\":{\"error_code\":\"%s\",\"unsupported\":[\"thread\"]}", f->code);
    goss_buf_str(b, "}}");
}

const char *goss_srv_finish(const goss_srv_lane *lane)
{
    if (lane->stop == GOSS_STOP_LENGTH) return "length";
    for (int i = 0; i < lane->n_items; i++) if (lane->items[i].kind == GOSS_SRV_CALL) return "tool_calls";
    return "stop";
}

size_t goss_srv_token_bytes(const goss_srv_job *job, int32_t token, char *to, size_t cap)
{
    int n = goss_detokenize(job->engine, &token, 1, to, (int)cap);
    return n < 0 ? 0 : (size_t)n < cap ? (size_t)n : cap;
}

void goss_srv_write_token(goss_buf *b, const goss_srv_job *job, int32_t token)
{
    char text[512];
    size_t n = goss_srv_token_bytes(job, token, text, sizeof text);
    goss_buf_str(b, "\"token\":");
    goss_buf_json_string(b, text, n);
    goss_buf_str(b, ",\"bytes\":[");
    for (size_t i = 0; i < n; i++) goss_buf_printf(b, "%s%d", i ? "," : "", (unsigned char)text[i]);
    goss_buf_str(b, "]");
}

static double finite(float v) { return v < -9999 || v != v ? -9999 : (double)v; } /* JSON has no infinity */

void goss_srv_write_record(goss_buf *b, const goss_srv_job *job, const goss_srv_record *r)
{
    goss_buf_str(b, "{");
    goss_srv_write_token(b, job, r->token);
    goss_buf_printf(b, ",\"logprob\":%.6g,\"top_logprobs\":[", finite(r->logprob));
    for (int i = 0; i < r->n_top && i < job->req.logprobs; i++) {
        goss_buf_str(b, i ? ",{" : "{");
        goss_srv_write_token(b, job, r->top[i].token);
        goss_buf_printf(b, ",\"logprob\":%.6g}", finite(r->top[i].logprob));
    }
    goss_buf_str(b, "]}");
}

/* SURFACE: extra:{telemetry, token_id, entropy, tokens_per_sec, top_k:[...], stage, stats}. */
static void write_telemetry(goss_buf *b, goss_srv_lane *lane)
{
    if (!lane->telemetry.len) return;
    goss_buf_str(b, ",\"telemetry\":[");
    goss_buf_append(b, lane->telemetry.data, lane->telemetry.len);
    goss_buf_str(b, "]");
    goss_buf_clear(&lane->telemetry);
}

static double speed(const goss_srv_lane *lane)
{
    double ms = goss_os_now_ms() - lane->first_ms;
    return lane->first_ms > 0 && ms > 0 && lane->n_generated > 1 ? 1000.0 * (lane->n_generated - 1) / ms : 0;
}

void goss_srv_write_extra(goss_srv_job *job, goss_srv_lane *lane)
{
    goss_buf *b = &job->bytes;
    const goss_event *ev = &lane->event;
    if (!job->req.telemetry) return;
    goss_buf_printf(b, ",\"extra\":{\"stage\":\"decode\",\"tokens_per_sec\":%.2f", speed(lane));
    if (ev->kind == GOSS_EVENT_TOKEN && ev->token >= 0) {
        goss_buf_printf(b, ",\"token_id\":%d,\"entropy\":%.6g,\"top_k\":[", ev->token, finite(ev->entropy));
        for (int i = 0; i < ev->n_top && i < job->req.telemetry_top_k; i++) {
            char text[512];
            size_t n = goss_srv_token_bytes(job, ev->top[i].token, text, sizeof text);
            goss_buf_printf(b, "%s{\"token_id\":%d,\"token_text\":", i ? "," : "", ev->top[i].token);
            goss_buf_json_string(b, text, n);
            goss_buf_printf(b, ",\"logprob\":%.6g}", finite(ev->top[i].logprob));
        }
        goss_buf_str(b, "]");
    }
    write_telemetry(b, lane);
    goss_buf_str(b, "}");
}

void goss_srv_write_stats(goss_srv_job *job, goss_srv_lane *lane)
{
    goss_buf *b = &job->bytes;
    if (!job->req.telemetry) return;
    double tps = lane->decode_ms > 0 ? 1000.0 * lane->n_generated / lane->decode_ms : 0;
    goss_buf_printf(
        b,
        ",\"extra\":{\"stage\":\"generation\",\"tokens_per_sec\":%.2f,\"stats\":{\"prompt_tokens\":%d,"
        "\"reused_tokens\":%d,\"generated_tokens\":%d,"
        "\"prefill_ms\":%.3f,\"decode_ms\":%.3f}",
        tps, lane->n_prompt, lane->n_reused, lane->n_generated, lane->prefill_ms, lane->decode_ms);
    write_telemetry(b, lane);
    goss_buf_str(b, "}");
}

void goss_srv_write_arguments(goss_buf *b, const goss_srv_item *item)
{
    goss_json j = { 0 };
    const char *text = (const char *)item->text.data;
    int ok = item->text.len && goss_json_parse(&j, text, item->text.len, NULL, NULL) == 0 &&
             goss_json_kind(&j, 0) == GOSS_JSON_OBJECT;
    if (ok) goss_json_write(&j, 0, b);
    else if (!item->text.len) goss_buf_str(b, "{}");
    else { /* not an object: shown as it came, so that nothing is lost */
        goss_buf_str(b, "{\"arguments\":");
        goss_buf_json_string(b, text, item->text.len);
        goss_buf_str(b, "}");
    }
    goss_json_free(&j);
}

void goss_srv_totals(const goss_srv_job *job, int *prompt, int *reused, int *generated, int *reasoning)
{
    *prompt = *reused = *generated = *reasoning = 0;
    for (int i = 0; i < job->n_lanes; i++) {
        const goss_srv_lane *l = &job->lanes[i];
        int first = i % job->req.n == 0; /* the choices of one prompt share it */
        if (first) *prompt += l->past.prompt + l->n_prompt, *reused += l->past.reused + l->n_reused;
        *generated += l->past.generated + l->n_generated;
        *reasoning += l->n_reasoning;
    }
}

void goss_srv_write_counts(goss_buf *b, const goss_srv_job *job)
{
    int prompt, reused, generated, reasoning;
    goss_srv_totals(job, &prompt, &reused, &generated, &reasoning);
    goss_buf_printf(
        b,
        "{\"input_tokens\":%d,\"input_tokens_details\":{\"cached_tokens\":%d},\"output_tokens\":%d,"
        "\"output_tokens_details\":{\"reasoning_tokens\":%d},"
        "\"total_tokens\":%d}",
        prompt, reused, generated, reasoning, prompt + generated);
}

/* ---- OpenAI's chat and text completions ------------------------------------------------------ */
void goss_srv_write_choices(goss_srv_job *job)
{
    const char *object = job->req.api == GOSS_SRV_TEXT ? "text_completion"
                         : job->req.stream             ? "chat.completion.chunk"
                                                       : "chat.completion";
    goss_buf_printf(&job->bytes, "{\"id\":\"%s\",\"object\":\"%s\",\"created\":%lld,\"model\":", job->id,
                    object, (long long)job->created);
    goss_buf_json_string(&job->bytes, job->model, strlen(job->model));
    goss_buf_str(&job->bytes, ",\"choices\":[");
}

static void write_usage(goss_srv_job *job)
{
    int prompt, reused, generated, reasoning;
    goss_srv_totals(job, &prompt, &reused, &generated, &reasoning);
    goss_buf_printf(&job->bytes,
                    "],\"usage\":{\"prompt_tokens\":%d,\"completion_tokens\":%d,\"total_tokens\":%d,"
                    "\"prompt_tokens_details\":{\"cached_tokens\":%d},"
                    "\"completion_tokens_details\":{\"reasoning_tokens\":%d}}",
                    prompt, generated, prompt + generated, reused, reasoning);
}

void goss_srv_write_choices_end(goss_srv_job *job)
{
    write_usage(job);
    goss_srv_write_stats(job, &job->lanes[0]);
    goss_buf_str(&job->bytes, "}");
}

void goss_srv_write_done(goss_srv_job *job)
{
    if (job->req.include_usage) {
        goss_buf_str(&job->bytes, "data: ");
        goss_srv_write_choices(job);
        write_usage(job);
        goss_buf_str(&job->bytes, "}\n\n");
    }
    goss_buf_str(&job->bytes, "data: [DONE]\n\n");
}

void goss_srv_write_failed(goss_srv_job *job)
{
    goss_buf_str(&job->bytes, "data: ");
    goss_srv_write_fail(&job->bytes, job->req.api, &job->fail);
    goss_buf_str(&job->bytes, "\n\ndata: [DONE]\n\n");
}
