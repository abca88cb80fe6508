/* embed.c - see embed.h. goss_embed blocks for one input; chats go on between two. */
#include "embed.h"
#include "base/mem.h"
#include "base/os.h"
#include "metrics.h"
#include "prepare.h"
#include <math.h>
#include <string.h>

static void write_base64(goss_buf *b, const uint8_t *bytes, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        const size_t k = n - i < 3 ? n - i : 3;
        const uint32_t v = (uint32_t)bytes[i] << 16 | (k > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
                           (k > 2 ? bytes[i + 2] : 0);
        char four[4];
        for (size_t j = 0; j < 4; j++) four[j] = j <= k ? digits[v >> (18 - 6 * j) & 63] : '=';
        goss_buf_append(b, four, 4);
    }
}

/* Fewer dimensions: the first ones, of length 1 again. */
static void shorten(float *v, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += (double)v[i] * (double)v[i];
    const float scale = sum > 0 ? (float)(1 / sqrt(sum)) : 0;
    for (int i = 0; i < n; i++) v[i] *= scale;
}

static void write_vector(goss_srv_job *job, const float *v, int n)
{
    goss_buf *b = &job->bytes;
    if (job->req.base64) {
        goss_buf_str(b, "\"");
        write_base64(b, (const uint8_t *)v, (size_t)n * sizeof *v);
        goss_buf_str(b, "\"");
        return;
    }
    goss_buf_str(b, "[");
    for (int i = 0; i < n; i++) goss_buf_printf(b, "%s%.9g", i ? "," : "", (double)v[i]);
    goss_buf_str(b, "]");
}

static void write_begin(goss_srv_job *job)
{
    if (job->req.api == GOSS_SRV_EMBED) goss_buf_str(&job->bytes, "{\"object\":\"list\",\"data\":[");
    else if (job->req.api == GOSS_SRV_OLLAMA_EMBED) goss_buf_str(&job->bytes, "{\"embeddings\":[");
    else goss_buf_str(&job->bytes, "{\"embedding\":");
}

static void write_one(goss_srv_job *job, const float *v, int n)
{
    goss_buf *b = &job->bytes;
    const int i = job->n_embedded;
    if (i) goss_buf_str(b, ",");
    if (job->req.api == GOSS_SRV_EMBED)
        goss_buf_printf(b, "{\"object\":\"embedding\",\"index\":%d,\"embedding\":", i);
    write_vector(job, v, n);
    if (job->req.api == GOSS_SRV_EMBED) goss_buf_str(b, "}");
}

static void write_end(goss_srv_job *job, int tokens)
{
    goss_buf *b = &job->bytes;
    if (job->req.api == GOSS_SRV_OLLAMA_EMBEDDINGS) { goss_buf_str(b, "}"); return; }
    goss_buf_str(b, "],\"model\":");
    goss_buf_json_string(b, job->model, strlen(job->model));
    if (job->req.api == GOSS_SRV_EMBED)
        goss_buf_printf(b, ",\"usage\":{\"prompt_tokens\":%d,\"total_tokens\":%d}}", tokens, tokens);
    else
        goss_buf_printf(b, ",\"total_duration\":%.0f,\"load_duration\":%.0f,\"prompt_eval_count\":%d}",
                        (goss_os_now_ms() - job->arrived_ms) * 1e6, job->load_ms * 1e6, tokens);
}

/* The whole answer: what is counted is settled before it leaves. */
static int end(goss_srv_job *job)
{
    int tokens = 0;
    for (int i = 0; i < job->n_prompts; i++) tokens += job->prompts[i].n;
    write_end(job, tokens);
    goss_srv_metrics_answer(tokens, 0, 0, 0, 0);
    atomic_store(&job->n_prompt, tokens);
    return job->bytes.failed ? goss_srv_fail_memory(job) : 1;
}

int goss_srv_embed_next(goss_srv_job *job)
{
    const goss_srv_tokens *t = &job->prompts[job->n_embedded];
    const int n_embd = job->seat->info.n_embd, n = job->req.dimensions ? job->req.dimensions : n_embd;
    goss_error err = { 0 };
    if (n > n_embd)
        return goss_srv_refuse(&job->fail, 400, "invalid_value", "dimensions", -1,
                               "the model's embeddings have %d dimensions", n_embd);
    float *v = goss_mem_array((size_t)n_embd, sizeof *v);
    if (!v) return goss_srv_fail_memory(job);
    const int rc = goss_embed(job->seat->engine, t->ids, t->n, job->req.pooling, v, &err);
    if (!rc) {
        if (!job->n_embedded) write_begin(job);
        if (n < n_embd) shorten(v, n);
        write_one(job, v, n);
        job->n_embedded++;
    }
    goss_mem_free(v);
    if (rc) return goss_srv_fail_engine(&job->fail, rc, &err);
    return job->n_embedded < job->n_prompts ? 0 : end(job);
}
