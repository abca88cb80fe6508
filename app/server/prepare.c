/* prepare.c - see prepare.h. The job belongs to its thread from goss_srv_prepare_begin until
 * goss_srv_prepare_end has joined it; the runner keeps the job and its engine for so long. */
#include "prepare.h"
#include "base/mem.h"
#include <string.h>

enum { SMALL = 1 << 14 }; /* bytes: at most 5 ms of work */

int goss_srv_fail_engine(goss_srv_fail *f, int rc, const goss_error *err)
{
    const char *text = err->text[0] ? err->text : goss_error_name(rc);
    if (rc == GOSS_ELIMIT && (strstr(text, "context") || strstr(text, "prompt")))
        return goss_srv_refuse(f, 400, "context_length_exceeded", "messages", -1, "%s", text);
    if (rc == GOSS_EINVAL || rc == GOSS_EFORMAT || rc == GOSS_EUNSUPPORTED || rc == GOSS_ELIMIT)
        return goss_srv_refuse(f, 400, rc == GOSS_EUNSUPPORTED ? "unsupported_value" : "invalid_value", "",
                               -1, "%s", text);
    goss_srv_refuse(f, rc == GOSS_ENOMEM || rc == GOSS_EFULL ? 503 : 500, goss_error_name(rc), "", -1, "%s",
                    text);
    f->stage = "inference";
    return -1;
}

int goss_srv_fail_memory(goss_srv_job *job)
{
    return goss_srv_refuse(&job->fail, 500, "out_of_memory", "", -1, "out of memory");
}

/* ---- prompts --------------------------------------------------------------------------------- */
/* A token has two bytes and more, as a rule: where it has not, we are told how much room it wants. */
static int room_for(size_t bytes) { return (int)(bytes / 2) + 1024; }

/* The bytes of all texts, and of a header for each message and call. */
static size_t text_bytes(const goss_conversation *c)
{
    enum { HEADER = 20 };
    uint64_t n = 0;
    for (int i = 0; i < c->n_tools; i++) n += c->tools[i].description.n + c->tools[i].parameters.n;
    for (int i = 0; i < c->n_messages; i++) {
        const goss_message *m = &c->messages[i];
        n += m->reasoning.n + HEADER;
        for (int k = 0; k < m->n_parts; k++) n += m->parts[k].n;
        for (int k = 0; k < m->n_calls; k++) n += m->calls[k].arguments.n + HEADER;
    }
    return (size_t)n;
}

/* The field that holds the conversation, or the text. */
static const char *said_in(const goss_srv_request *r)
{
    static const goss_srv_api apis[] = { GOSS_SRV_RESPONSES, GOSS_SRV_COMPACT, GOSS_SRV_COUNT_INPUT,
                                         GOSS_SRV_EMBED, GOSS_SRV_OLLAMA_EMBED };
    for (size_t i = 0; i < sizeof apis / sizeof *apis; i++)
        if (r->api == apis[i]) return "input";
    if (r->text) return "content";
    return r->is_chat ? "messages" : "prompt";
}

/* What the library says of a conversation that it doesn't render, with the field that holds it. */
static int refuse_chat(goss_srv_job *job, int rc, const goss_error *err)
{
    if (rc != GOSS_EINVAL) return goss_srv_fail_engine(&job->fail, rc, err);
    return goss_srv_refuse(&job->fail, 400, "invalid_value", said_in(&job->req), -1, "%s: %s",
                           said_in(&job->req), err->text);
}

static int render_chat(goss_srv_job *job, goss_srv_tokens *t)
{
    goss_error err = { 0 };
    const goss_conversation *c = &job->req.chat;
    int room = room_for(text_bytes(c));
    for (;;) {
        if (!(t->ids = goss_mem_array((size_t)room, sizeof *t->ids))) return goss_srv_fail_memory(job);
        t->n = goss_conversation_render(job->engine, c, t->ids, room, &err);
        if (t->n < 0) return refuse_chat(job, t->n, &err);
        if (t->n <= room) return 0;
        room = t->n;
        goss_mem_free(t->ids);
    }
}

static int encode_text(goss_srv_job *job, const char *text, size_t n, unsigned flags, goss_srv_tokens *t)
{
    for (int room = room_for(n);; room = t->n) {
        if (!(t->ids = goss_mem_array((size_t)room, sizeof *t->ids))) return goss_srv_fail_memory(job);
        t->n = goss_tokenize(job->engine, text, n, flags, t->ids, room);
        if (t->n <= room) break;
        goss_mem_free(t->ids);
    }
    return t->n < 0 ? goss_srv_refuse(&job->fail, 400, "invalid_value", said_in(&job->req), -1,
                                      "%s can't be encoded", said_in(&job->req))
                    : 0;
}

static int encode(goss_srv_job *job, const goss_srv_prompt *p, goss_srv_tokens *t)
{
    const unsigned flags = GOSS_TOKENIZE_BOS | (job->req.api < GOSS_SRV_EMBED ? GOSS_TOKENIZE_SPECIAL : 0u);
    if (p->text) {
        if (encode_text(job, p->text, p->n_text, flags, t)) return -1;
    } else {
        t->ids = goss_mem_array((size_t)p->n_ids + 1, sizeof *t->ids);
        if (!t->ids) return goss_srv_fail_memory(job);
        memcpy(t->ids, p->ids, (size_t)p->n_ids * sizeof *t->ids);
        t->n = p->n_ids;
    }
    return t->n ? 0 : goss_srv_refuse(&job->fail, 400, "invalid_value", said_in(&job->req), -1, "%s is empty",
                                      said_in(&job->req));
}

static int check_length(goss_srv_job *job, goss_srv_tokens *t)
{
    int most = job->seat->info.max_kv;
    if (job->req.max_kv && (!most || job->req.max_kv < most)) most = job->req.max_kv;
    if (!most || t->n < most) return 0;
    if (job->req.truncate) { t->n = most - 1; return 0; }
    return goss_srv_refuse(
        &job->fail, 400, "context_length_exceeded", said_in(&job->req), -1,
        "the prompt has %d tokens, but the context holds %d and the answer needs room too", t->n, most);
}

/* Asks how many tokens it has, not for an answer. */
static int counts(goss_srv_api api) { return api == GOSS_SRV_COUNT || api == GOSS_SRV_COUNT_INPUT; }

static int render(goss_srv_job *job)
{
    int n = job->req.is_chat ? 1 : job->req.n_prompts;
    if (!(job->prompts = goss_mem_array((size_t)n, sizeof *job->prompts))) return goss_srv_fail_memory(job);
    job->n_prompts = n;
    for (int i = 0; i < n; i++) {
        if (job->req.is_chat ? render_chat(job, &job->prompts[i])
                             : encode(job, &job->req.prompts[i], &job->prompts[i]))
            return -1;
        if (!counts(job->req.api) && check_length(job, &job->prompts[i])) return -1;
    }
    return 0;
}

/* ---- answers without generation -------------------------------------------------------------- */
static int tokenize(goss_srv_job *job)
{
    goss_buf *b = &job->bytes;
    unsigned flags =
        (job->req.special ? GOSS_TOKENIZE_SPECIAL : 0u) | (job->req.bos ? GOSS_TOKENIZE_BOS : 0u);
    goss_srv_tokens t = { 0 };
    if (encode_text(job, job->req.text, job->req.n_text, flags, &t)) { goss_mem_free(t.ids); return -1; }
    goss_buf_str(b, "{\"tokens\":[");
    for (int i = 0; i < t.n; i++) {
        if (!job->req.pieces) { goss_buf_printf(b, "%s%d", i ? "," : "", t.ids[i]); continue; }
        char text[512];
        goss_buf_printf(b, "%s{\"id\":%d,\"piece\":", i ? "," : "", t.ids[i]);
        goss_buf_json_string(b, text, goss_srv_token_bytes(job, t.ids[i], text, sizeof text));
        goss_buf_str(b, "}");
    }
    goss_buf_printf(b, "],\"count\":%d}", t.n);
    goss_mem_free(t.ids);
    return 1;
}

static int detokenize(goss_srv_job *job)
{
    const goss_srv_prompt *p = &job->req.prompts[0];
    goss_buf text = GOSS_BUF((size_t)1 << 28);
    int n = goss_detokenize(job->engine, p->ids, p->n_ids, NULL, 0);
    if (n < 0)
        return goss_srv_refuse(&job->fail, 400, "invalid_value", "tokens", -1,
                               "an id is outside the vocabulary");
    if (goss_buf_reserve(&text, (size_t)n + 1)) return goss_srv_fail_memory(job);
    goss_detokenize(job->engine, p->ids, p->n_ids, (char *)text.data, n);
    goss_buf_str(&job->bytes, "{\"content\":");
    goss_buf_json_string(&job->bytes, (const char *)text.data, (size_t)n);
    goss_buf_str(&job->bytes, "}");
    goss_buf_free(&text);
    return 1;
}

static int count(goss_srv_job *job)
{
    if (render(job)) return -1;
    goss_buf_printf(&job->bytes, "{%s\"input_tokens\":%d}",
                    job->req.api == GOSS_SRV_COUNT_INPUT ? "\"object\":\"response.input_tokens\"," : "",
                    job->prompts[0].n);
    return 1;
}

/* The field that holds the schemas; "" where two do. */
static const char *schema_in(const goss_srv_request *r)
{
    static const char *const answers[GOSS_SRV_COUNT] = {
        "response_format", "response_format", "text.format", "output_config.format", "format", "format"
    };
    int strict = 0;
    for (int i = 0; i < r->n_tools; i++) strict |= r->tools[i].strict && !r->tools[i].out;
    if (!r->params.json_schema) return "tools";
    return strict ? "" : answers[r->api];
}

/* ---- the thread ------------------------------------------------------------------------------ */
/* 0: lanes may start; 1: the answer is written; -1: refused. */
static int prepare(goss_srv_job *job)
{
    goss_srv_request *r = &job->req;
    goss_error err = { 0 };
    if (r->api >= GOSS_SRV_EMBED) return render(job);
    if (r->api >= GOSS_SRV_COUNT) {
        const int rc = counts(r->api)                ? count(job)
                       : r->api == GOSS_SRV_TOKENIZE ? tokenize(job)
                                                     : detokenize(job);
        if (rc > 0) goss_srv_out_write(&job->out, job->bytes.data, job->bytes.len);
        goss_buf_clear(&job->bytes);
        return rc;
    }
    if (render(job)) return -1;
    const int rc = goss_schemas_open(job->seat->engine, &r->params, &r->params.schemas, &err);
    if (!rc) return 0;
    goss_srv_fail_engine(&job->fail, rc, &err);
    if (job->fail.status == 400) {
        const char *in = schema_in(r);
        goss_srv_refuse(&job->fail, 400, job->fail.code, in, -1, "%s%s%s", in, *in ? ": " : "", err.text);
    }
    return -1;
}

static void *work(void *arg)
{
    goss_srv_job *job = arg;
    job->outcome = prepare(job);
    atomic_store(&job->prepared, 1);
    job->on_prepared(job->prepared_ctx);
    return NULL;
}

int goss_srv_thread(pthread_t *thread, size_t stack, void *(*fn)(void *), void *arg)
{
    pthread_attr_t attr;
    if (pthread_attr_init(&attr)) return GOSS_ENOMEM;
    const int rc = pthread_attr_setstacksize(&attr, stack) || pthread_create(thread, &attr, fn, arg);
    pthread_attr_destroy(&attr);
    return rc ? GOSS_ENOMEM : 0;
}

/* Ready sooner than a thread would begin. */
static int is_small(const goss_srv_job *job)
{
    const goss_srv_request *r = &job->req;
    size_t bytes = text_bytes(&r->chat) + r->n_text;
    for (int i = 0; i < r->n_prompts; i++) bytes += r->prompts[i].n_text + (size_t)r->prompts[i].n_ids;
    return bytes <= SMALL && !r->params.json_schema && !r->params.tools_json;
}

int goss_srv_prepare_begin(goss_srv_job *job, void (*done)(void *ctx), void *ctx)
{
    job->engine = job->seat->engine;
    if (is_small(job)) { job->outcome = prepare(job); return 0; }
    job->on_prepared = done;
    job->prepared_ctx = ctx;
    if (goss_srv_thread(&job->thread, GOSS_SRV_STACK, work, job)) return goss_srv_fail_memory(job);
    job->preparing = 1;
    return 0;
}

int goss_srv_prepares(const goss_srv_job *job) { return job->preparing && !atomic_load(&job->prepared); }

int goss_srv_prepare_end(goss_srv_job *job)
{
    if (!job->preparing) return job->outcome;
    pthread_join(job->thread, NULL);
    job->preparing = 0;
    return job->outcome;
}
