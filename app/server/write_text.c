/* write_text.c - answers of /v1/completions. In chat form (harmony: true) the text is the answer and the
 * analysis is reasoning_content. */
#include "job.h"
#include <string.h>

/* The bytes of the prompt as the model sees them, for echo. */
static void write_prompt(goss_srv_job *job, int prompt, goss_buf *to)
{
    const goss_srv_tokens *t = &job->prompts[prompt];
    const goss_srv_prompt *p = job->req.prompts ? &job->req.prompts[prompt] : NULL;
    if (p && p->text) { goss_buf_append(to, p->text, p->n_text); return; }
    int n = goss_detokenize(job->engine, t->ids, t->n, NULL, 0);
    if (n > 0 && !goss_buf_reserve(to, (size_t)n)) {
        goss_detokenize(job->engine, t->ids, t->n, (char *)to->data + to->len, n);
        to->len += (size_t)n;
    }
}

static double finite(float v) { return v < -9999 || v != v ? -9999 : (double)v; }

static void write_alternatives(goss_srv_job *job, const goss_srv_record *r)
{
    goss_buf *b = &job->bytes;
    char text[512], before[512];
    goss_buf_str(b, "{");
    for (int i = 0, k = 0; i < r->n_top && i < job->req.logprobs; i++) {
        size_t n = goss_srv_token_bytes(job, r->top[i].token, text, sizeof text);
        int twice = 0; /* two tokens may have the same text: the better one stays */
        for (int o = 0; o < i && !twice; o++)
            twice = goss_srv_token_bytes(job, r->top[o].token, before, sizeof before) == n &&
                    !memcmp(text, before, n);
        if (twice) continue;
        if (k++) goss_buf_str(b, ",");
        goss_buf_json_string(b, text, n);
        goss_buf_printf(b, ":%.6g", finite(r->top[i].logprob));
    }
    goss_buf_str(b, "}");
}

/* The legacy form: parallel arrays. `offset` counts characters from the start of the choice's text. */
static void write_logprobs(goss_srv_job *job, goss_srv_lane *lane, uint32_t from, uint32_t to)
{
    goss_buf *b = &job->bytes;
    const goss_srv_record *r = goss_srv_records(lane);
    char text[512];
    if (job->req.logprobs < 0) { goss_buf_str(b, ",\"logprobs\":null"); return; }
    goss_buf_str(b, ",\"logprobs\":{\"tokens\":[");
    for (uint32_t i = from; i < to; i++) {
        if (i > from) goss_buf_str(b, ",");
        goss_buf_json_string(b, text, goss_srv_token_bytes(job, r[i].token, text, sizeof text));
    }
    goss_buf_str(b, "],\"token_logprobs\":[");
    for (uint32_t i = from; i < to; i++) {
        if (i > from) goss_buf_str(b, ",");
        if (r[i].logprob > 0) goss_buf_str(b, "null"); /* the first token of a prompt has none */
        else goss_buf_printf(b, "%.6g", finite(r[i].logprob));
    }
    goss_buf_str(b, "],\"top_logprobs\":[");
    for (uint32_t i = from; i < to; i++) {
        if (i > from) goss_buf_str(b, ",");
        if (r[i].logprob > 0) goss_buf_str(b, "null");
        else write_alternatives(job, &r[i]);
    }
    goss_buf_str(b, "],\"text_offset\":[");
    for (uint32_t i = from; i < to; i++) {
        goss_buf_printf(b, "%s%zu", i > from ? "," : "", lane->offset);
        size_t n = goss_srv_token_bytes(job, r[i].token, text, sizeof text);
        for (size_t k = 0; k < n; k++) lane->offset += ((unsigned char)text[k] & 0xC0) != 0x80;
    }
    goss_buf_str(b, "]}");
}

static void write_choice(goss_srv_job *job, goss_srv_lane *lane, const char *key, const char *text, size_t n,
                         const char *finish)
{
    goss_buf *b = &job->bytes;
    goss_buf_printf(b, "{\"index\":%d,", lane->index);
    if (strcmp(key, "text")) goss_buf_str(b, "\"text\":\"\",");
    goss_buf_printf(b, "\"%s\":", key);
    goss_buf_json_string(b, text, n);
    write_logprobs(job, lane, lane->probs_written, lane->n_probs);
    lane->probs_written = lane->n_probs;
    if (finish) goss_buf_printf(b, ",\"finish_reason\":\"%s\"}", finish);
    else goss_buf_str(b, ",\"finish_reason\":null}");
}

static void chunk(goss_srv_job *job, goss_srv_lane *lane, const char *key, const char *text, size_t n,
                  const char *finish)
{
    goss_buf_str(&job->bytes, "data: ");
    goss_srv_write_choices(job);
    write_choice(job, lane, key, text, n, finish);
    goss_buf_str(&job->bytes, "]");
    if (job->req.include_usage) goss_buf_str(&job->bytes, ",\"usage\":null");
    (finish ? goss_srv_write_stats : goss_srv_write_extra)(job, lane);
    goss_buf_str(&job->bytes, "}\n\n");
}

static void begin(goss_srv_job *job)
{
    for (int i = 0; i < job->n_lanes && job->req.echo; i++) {
        goss_buf text = GOSS_BUF((size_t)1 << 28);
        write_prompt(job, job->lanes[i].prompt, &text);
        chunk(job, &job->lanes[i], "text", (const char *)text.data, text.len, NULL);
        goss_buf_free(&text);
    }
}

static void delta(goss_srv_job *job, goss_srv_lane *lane, goss_srv_item *item, const char *text, size_t n)
{
    chunk(job, lane, item->kind == GOSS_SRV_REASONING ? "reasoning_content" : "text", text, n, NULL);
}

static void lane_end(goss_srv_job *job, goss_srv_lane *lane)
{
    chunk(job, lane, "text", "", 0, goss_srv_finish(lane));
}

static void whole(goss_srv_job *job)
{
    goss_buf *b = &job->bytes;
    goss_srv_write_choices(job);
    for (int i = 0; i < job->n_lanes; i++) {
        goss_srv_lane *lane = &job->lanes[i];
        goss_buf text = GOSS_BUF((size_t)1 << 28), thought = GOSS_BUF((size_t)1 << 28);
        if (job->req.echo) write_prompt(job, lane->prompt, &text);
        for (int k = 0; k < lane->n_items; k++) {
            const goss_srv_item *item = &lane->items[k];
            goss_buf_append(item->kind == GOSS_SRV_REASONING ? &thought : &text, item->text.data,
                            item->text.len);
        }
        if (i) goss_buf_str(b, ",");
        write_choice(job, lane, "text", (const char *)text.data, text.len, goss_srv_finish(lane));
        if (thought.len && !b->failed) {
            b->len--; /* reopens the choice */
            goss_buf_str(b, ",\"reasoning_content\":");
            goss_buf_json_string(b, (const char *)thought.data, thought.len);
            goss_buf_str(b, "}");
        }
        goss_buf_free(&text);
        goss_buf_free(&thought);
    }
    goss_srv_write_choices_end(job);
}

extern const goss_srv_writer goss_srv_write_text;
const goss_srv_writer goss_srv_write_text = {
    "text/event-stream",   begin, NULL, delta, NULL, lane_end, goss_srv_write_done, whole,
    goss_srv_write_failed, NULL,  NULL
};
