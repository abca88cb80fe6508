/* test_telemetry.c - every line is JSON of the schema; the stages come in their order, once; layers only when asked. */
#include "engine_util.h"

typedef struct record { char *text; size_t n, cap; int lines, bad; } record;

static void on_line(void *ctx, const char *json, size_t n)
{
    record *r = ctx;
    goss_json j = { 0 };
    goss_error err;
    r->lines++;
    if (goss_json_parse(&j, json, n, NULL, &err) ||
        goss_json_number(&j, goss_json_get(&j, 0, "ts_ms"), -1) < 0 || memchr(json, '\n', n))
        r->bad++;
    const int event = goss_json_is(&j, goss_json_get(&j, 0, "type"), "inference_event");
    if (event != (goss_json_get(&j, 0, "event") >= 0) || event == (goss_json_get(&j, 0, "status") >= 0)) r->bad++;
    goss_json_free(&j);
    if (r->n + n + 2 > r->cap) r->text = realloc(r->text, r->cap = (r->n + n + 2) * 2);
    memcpy(r->text + r->n, json, n);
    r->n += n;
    r->text[r->n++] = '\n';
    r->text[r->n] = 0;
}

static int count(const record *r, const char *what)
{
    int n = 0;
    for (const char *p = r->text; (p = strstr(p, what)) != NULL; p++) n++;
    return n;
}

static void run(unsigned mask, record *r, int reads)
{
    const goss_engine_config c = { .model_path = "models/demo-gptoss-draft.gguf",
                                   .backend = "cpu",
                                   .max_kv = 512,
                                   .on_telemetry = on_line,
                                   .telemetry_ctx = r,
                                   .telemetry_mask = mask,
                                   .telemetry_layer = 1,
                                   .telemetry_head = 3 };
    goss_engine *e = NULL;
    goss_error err = { 0 };
    char out[512];
    goss_params p = greedy_params(reads);
    p.chat = 1;
    *r = (record){ 0 };
    CHECK_INT(goss_engine_open(&e, &c, &err), 0);
    CHECK(goss_complete(e,
                        "{\"messages\":[{\"role\":\"user\",\"content\":\"Which month comes after "
                        "June?\"}],\"date\":\"2025-06-28\"}",
                        &p, out, sizeof out, &err) >= 0);
    goss_engine_close(&e);
    CHECK_INT(r->bad, 0);
}

static void in_order(const record *r, const char *const *names)
{
    const char *at = r->text;
    for (; *names; names++) {
        const char *next = strstr(at, *names);
        if (!next) printf("%s is missing or out of order\n", *names);
        CHECK(next != NULL);
        if (next) at = next;
    }
}

int main(void)
{
    record r;
    run(GOSS_TELEMETRY_LOAD | GOSS_TELEMETRY_STAGES | GOSS_TELEMETRY_TOKENS, &r, 12);
    static const char *const names[] = { "\"load_start\"",
                                         "\"range_check\"",
                                         "\"gguf_parse\"",
                                         "\"gguf_meta\"",
                                         "\"model_config\"",
                                         "\"tokenizer_load\"",
                                         "\"memory_plan\"",
                                         "\"token_limits\"",
                                         "\"first_token_ready\"",
                                         "\"load_complete\"",
                                         "\"runtime_mode\"",
                                         "\"prompt_encode\"",
                                         "\"stage\":\"generation\",\"status\":\"started\"",
                                         "\"stage\":\"prefill\",\"status\":\"started\"",
                                         "\"stage\":\"prefill\",\"status\":\"completed\"",
                                         "\"stage\":\"decode\",\"status\":\"started\"",
                                         "token_generated",
                                         "\"channel\"",
                                         "\"stage\":\"decode\",\"status\":\"completed\"",
                                         "coherence_check",
                                         "\"stage\":\"generation\",\"status\":\"completed\"",
                                         "\"stage\":\"sessions\",\"status\":\"completed\"",
                                         "memory_usage",
                                         NULL };
    in_order(&r, names);
    CHECK_INT(count(&r, "token_generated"), 12);
    CHECK_INT(count(&r, "\"load_complete\""), 1);
    CHECK_INT(count(&r, "\"probability\""), 120);
    CHECK_INT(count(&r, "\"router\""), 0);
    CHECK(strstr(r.text, "stop_reason=length") != NULL);
    CHECK(strstr(r.text, " kv=f16") && strstr(r.text, " reused=0 ") && strstr(r.text, " kv_shared="));
    CHECK(strstr(r.text, " model=gpt2 pre=") && strstr(r.text, " pad=") && strstr(r.text, " rope_scale=32 "));
    free(r.text);
    run(GOSS_TELEMETRY_LAYERS, &r, 3);
    /* one prefill step and two decodes, two layers */
    CHECK_INT(count(&r, "\"type\":\"router\""), 6);
    CHECK_INT(count(&r, "\"type\":\"layer_activation\""), 6);
    CHECK_INT(count(&r, "\"type\":\"attention_weights\""), 3);
    CHECK_INT(count(&r, "\"head\":3"), 3);
    CHECK_INT(count(&r, "load_stage"), 0);
    CHECK_INT(count(&r, "token_generated"), 0);
    /* with the sink's share left out the weights of a row add up to less than 1 */
    const char *w = strstr(r.text, "\"weights\":[[");
    double sum = 0;
    for (const char *p = w ? w + 12 : ""; *p && *p != ']'; p = strpbrk(p, ",]"), p += *p == ',') sum += atof(p);
    CHECK(sum > 0.05 && sum < 1.001);
    free(r.text);
    run(0, &r, 2);
    CHECK_INT(r.lines, 0);
    return unit_done("telemetry");
}
