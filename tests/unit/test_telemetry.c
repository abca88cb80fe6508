/* test_telemetry.c - every line is JSON of the schema; the stages come in their order, once; layers only when
 * asked; rows say the same as the lines of tokens and layers. */
#include "engine_util.h"
#include "engine/telemetry/sheet.h"
#include <math.h>

typedef struct record {
    char *text; size_t n, cap; int lines, bad;
    goss_rows rows;                                    /* of the whole run; row and map are owned */
} record;

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
    if (event != (goss_json_get(&j, 0, "event") >= 0) || event == (goss_json_get(&j, 0, "status") >= 0))
        r->bad++;
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

static const float *copied(const float *from, size_t n)
{
    return n ? memcpy(malloc(n * sizeof *from), from, n * sizeof *from) : NULL;
}

static void keep_rows(record *r, goss_engine *e)
{
    const int n = goss_rows_take(e, NULL);
    CHECK_INT(goss_rows_take(e, &r->rows), n);
    CHECK_INT(r->rows.n, n);
    CHECK_INT(goss_rows_take(e, NULL), 0);
    r->rows.row = copied(r->rows.row, (size_t)n * (size_t)r->rows.width);
    r->rows.map = copied(r->rows.map, r->rows.n_map);
}

static void forget(record *r)
{
    free(r->text);
    free((void *)(uintptr_t)r->rows.row);
    free((void *)(uintptr_t)r->rows.map);
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
    CHECK_INT(goss_rows_take(e, NULL), 0);
    CHECK(goss_complete(e,
                        "{\"messages\":[{\"role\":\"user\",\"content\":\"Which month comes after "
                        "June?\"}],\"date\":\"2025-06-28\"}",
                        &p, out, sizeof out, &err) >= 0);
    keep_rows(r, e);
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

/* ---- rows against lines -------------------------------------------------------------------------------- */
enum { LAYERS_N = 2, USED = 2, N_PARTS = 5, TOP_ID = GOSS_COLUMN_FIRSTS, LOOK = TOP_ID + 2 * GOSS_COLUMN_TOPS,
       LAYER_0 = LOOK + 2 * GOSS_COLUMN_LOOKS };

/* The numbers behind the k-th `what` and then `key`, as many as wanted. */
static void numbers(const record *r, const char *what, int k, const char *key, double *out, int n)
{
    const char *p = r->text;
    for (; k >= 0 && p && (p = strstr(p, what)); k--) p += strlen(what);
    p = p ? strstr(p, key) : NULL;
    for (int i = 0; i < n; i++) {
        if (p) p = strpbrk(p + (i ? 0 : strlen(key)), "-0123456789");
        char *end = NULL;
        out[i] = p ? strtod(p, &end) : -1e9;
        p = end;
    }
}

static void near(double got, double want, double most, const char *what)
{
    if (!(fabs(got - want) <= most)) printf("%s: %g, not %g\n", what, got, want);
    CHECK(fabs(got - want) <= most);
}

/* The k-th token's row. */
static void check_token(const record *r, const float *row, int k, int n_prompt)
{
    double id, p, entropy, top;
    numbers(r, "\"token_generated\"", k, "\"token_id\":", &id, 1);
    numbers(r, "\"token_generated\"", k, "\"entropy\":", &entropy, 1);
    numbers(r, "\"token_generated\"", k, "\"top_k\":[{\"token_id\":", &top, 1);
    numbers(r, "\"token_generated\"", k, "\"probability\":", &p, 1);
    near(row[GOSS_COLUMN_ID], id, 0, "id");
    near(row[GOSS_COLUMN_ENTROPY], entropy, 1e-4, "entropy");
    near(row[TOP_ID], top, 0, "the best");
    near(row[TOP_ID + GOSS_COLUMN_TOPS], p, 1e-5, "its probability");
    near(row[GOSS_COLUMN_P], p, 1e-5, "the chosen's");                       /* greedy: it is the best */
    near(row[GOSS_COLUMN_POSITION], n_prompt + k, 0, "position");
    near(row[GOSS_COLUMN_STEP], k + 1, 0, "step");
    near(row[GOSS_COLUMN_SESSION], 0, 0, "session");
    CHECK(k ? row[GOSS_COLUMN_MS] >= 0 : isnan(row[GOSS_COLUMN_MS]));
    CHECK(row[GOSS_COLUMN_EMBED] >= 0 && row[GOSS_COLUMN_HEAD] >= 0);
}

/* What the k-th token's step said of a layer. */
static void check_layer(const record *r, const float *row, int k, int layer)
{
    const float *at = row + LAYER_0 + layer * (2 * USED + GOSS_COLUMN_NORMS + N_PARTS);
    double expert[USED], weight[USED], norm;
    numbers(r, "\"router\"", k * LAYERS_N + layer, "\"experts\":[", expert, USED);
    numbers(r, "\"router\"", k * LAYERS_N + layer, "\"weights\":[", weight, USED);
    numbers(r, "\"layer_activation\"", k * LAYERS_N + layer, "\"output_norm\":", &norm, 1);
    for (int i = 0; i < USED; i++) {
        near(at[i], expert[i], 0, "expert");
        near(at[USED + i], weight[i], 1e-5, "weight");
    }
    near(at[2 * USED + 2], norm, 1e-4 * norm, "norm");
    for (int i = 0; i < N_PARTS; i++) CHECK(at[2 * USED + GOSS_COLUMN_NORMS + i] >= 0);
}

/* The k-th token's map, which begins at `map`; returns where the next one does. */
static const float *check_map(const record *r, const float *row, int k, const float *map, int place)
{
    double first, weight[3];
    numbers(r, "\"attention_weights\"", k, "\"first\":", &first, 1);
    numbers(r, "\"attention_weights\"", k, "\"weights\":[[", weight, 3);
    const int n = (int)map[1], best = (int)row[LOOK] - (int)map[2];
    near(map[0], place, 0, "the map's row");
    near(map[2], first, 0, "its first position");
    for (int i = 0; i < 3; i++) near(map[3 + i], weight[i], 1e-5, "attention");
    near(row[GOSS_COLUMN_LAYER], 1, 0, "the layer");
    near(row[GOSS_COLUMN_WATCHED], 3, 0, "the head");
    CHECK(best >= 0 && best < n && n > GOSS_COLUMN_LOOKS);
    near(row[LOOK + GOSS_COLUMN_LOOKS], map[3 + best], 0, "what was looked at most");
    for (int i = 0; i < n; i++) CHECK(map[3 + i] <= row[LOOK + GOSS_COLUMN_LOOKS]);
    return map + 3 + n;
}

static void check_rows(const record *r, int n_made)
{
    const int n_prompt = r->rows.n - n_made;
    const float *map = r->rows.map;
    CHECK_INT(r->rows.width, LAYER_0 + LAYERS_N * (2 * USED + GOSS_COLUMN_NORMS + N_PARTS));
    CHECK(n_prompt > 10);
    for (int i = 0; i < r->rows.n; i++) {
        const float *row = r->rows.row + (size_t)i * (size_t)r->rows.width;
        const int k = i - n_prompt;
        near(row[GOSS_COLUMN_MADE], k >= 0, 0, "made");
        near(row[GOSS_COLUMN_POSITION], i, 0, "position");
        if (k < 0) CHECK(isnan(row[GOSS_COLUMN_P]) && isnan(row[TOP_ID]) && isnan(row[LAYER_0]));
        if (k < 0) continue;
        check_token(r, row, k, n_prompt);
        for (int layer = 0; layer < LAYERS_N; layer++) check_layer(r, row, k, layer);
        map = check_map(r, row, k, map, i);
    }
    CHECK_INT(map - r->rows.map, (long)r->rows.n_map);
    double rate;
    numbers(r, "stop_reason=", 0, "tok/s=", &rate, 1);
    near(r->rows.row[(r->rows.n - 1) * r->rows.width + GOSS_COLUMN_RATE], rate, 0.051,
         "an answer ends with its last token's rate");
}

static void rows(void)
{
    enum { TOKENS = 12 };
    const unsigned lines = GOSS_TELEMETRY_STAGES | GOSS_TELEMETRY_TOKENS | GOSS_TELEMETRY_LAYERS;
    record r;
    run(lines | GOSS_TELEMETRY_ROWS, &r, TOKENS);
    check_rows(&r, TOKENS);
    forget(&r);
    run(GOSS_TELEMETRY_STAGES | GOSS_TELEMETRY_ROWS, &r, TOKENS);
    CHECK_INT(r.rows.n > TOKENS, 1);
    static const char *const none[] = { "token_generated", "\"progress\"", "router", "layer_activation",
                                        "attention_weights", "attn_qkv", "lm_head" };
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) CHECK_INT(count(&r, none[i]), 0);
    static const char *const beside[] = { "\"channel\"", "cache_status", "memory_usage" };
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) CHECK(count(&r, beside[i]) > 0);
    forget(&r);
}

int main(void)
{
    record r;
    rows();
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
    CHECK(strstr(r.text, "\"stage\":\"prefill\",\"status\":\"started\",\"session\":0") != NULL);
    CHECK(strstr(r.text, "\"type\":\"token_generated\",\"session\":0,") != NULL);
    CHECK(strstr(r.text, " kv=f16") && strstr(r.text, " reused=0 ") && strstr(r.text, " kv_shared="));
    CHECK(strstr(r.text, " model=gpt2 pre=") && strstr(r.text, " pad=") && strstr(r.text, " rope_scale=32 "));
    forget(&r);
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
    for (const char *p = w ? w + 12 : ""; *p && *p != ']'; p = strpbrk(p, ",]"), p += *p == ',')
        sum += atof(p);
    CHECK(sum > 0.05 && sum < 1.001);
    forget(&r);
    /* what a recording has of rows, as lines: the prompt's tokens, and of each token what its row saw */
    run(GOSS_TELEMETRY_SEEN, &r, 3);
    CHECK_INT(count(&r, "\"type\":\"prompt_tokens\",\"session\":0,\"first\":0,\"tokens\":[["), 1);
    CHECK_INT(count(&r, "\"type\":\"seen\",\"session\":0,\"layer\":1,\"head\":3,\"looks\":[["), 3);
    CHECK_INT(count(&r, "\"experts\":[["), 3);
    CHECK_INT(r.lines, 4);
    forget(&r);
    run(0, &r, 2);
    CHECK_INT(r.lines, 0);
    CHECK_INT(r.rows.n, 0);
    forget(&r);
    return unit_done("telemetry");
}
