/* test_parity.c - goss_parity: a backend beside `ref`, stage by stage, against what goss_trace shows of two
 * engines that were opened from the file; and what it refuses. */
#include <gossamer.h>
#include "unit.h"
#include <math.h>

enum { MOST = 256, TOKENS = 6 };
static const char *const MODEL = "models/demo-gptoss.gguf";
static const int32_t ids[TOKENS] = { 4083, 404, 4085, 352, 358, 512 };

typedef struct traced { char stage[16]; int layer; size_t n; float *values; } traced;
typedef struct trace { traced of[MOST]; int n; } trace;
typedef struct rows { goss_parity_row of[MOST]; char stage[MOST][16]; int n; } rows;

static goss_engine *open_on(const char *backend)
{
    const goss_engine_config c = { .model_path = MODEL, .backend = backend, .max_kv = 128 };
    goss_engine *e = NULL;
    goss_error err;
    if (goss_engine_open(&e, &c, &err)) { printf("open: %s\n", err.text); exit(1); }
    return e;
}

static void on_stage(void *ctx, const char *stage, int layer, const float *values, int n_rows, int width)
{
    trace *t = ctx;
    const size_t n = (size_t)n_rows * (size_t)width;
    traced *s = &t->of[t->n++];
    snprintf(s->stage, sizeof s->stage, "%s", stage);
    s->layer = layer;
    s->n = n;
    s->values = memcpy(malloc(n * sizeof *values), values, n * sizeof *values);
}

static void on_row(void *ctx, const goss_parity_row *row)
{
    rows *r = ctx;
    snprintf(r->stage[r->n], sizeof r->stage[r->n], "%s", row->stage);
    r->of[r->n++] = *row;
}

static void forget(trace *t)
{
    for (int i = 0; i < t->n; i++) free(t->of[i].values);
}

/* A row's figures, computed from the two sides' values. */
static void check_row(const goss_parity_row *row, const traced *ref, const traced *got)
{
    double squares = 0, sum = 0, max = 0;
    CHECK(ref->n == got->n);
    for (size_t i = 0; i < ref->n; i++) {
        const double d = fabs((double)ref->values[i] - (double)got->values[i]);
        squares += (double)ref->values[i] * (double)ref->values[i];
        sum += d;
        if (d > max) max = d;
    }
    CHECK(fabs(row->rms - sqrt(squares / (double)ref->n)) <= 1e-9 * row->rms);
    CHECK(fabs(row->mean - sum / (double)ref->n) <= 1e-9);
    CHECK(row->max == max);
}

static void beside_traces(void)
{
    static trace ref, got;
    static rows r;
    goss_engine *right = open_on("ref"), *e = open_on("cpu");
    CHECK_INT(goss_trace(right, ids, TOKENS, 0, on_stage, &ref, NULL), 0);
    CHECK_INT(goss_trace(e, ids, TOKENS, 0, on_stage, &got, NULL), 0);
    CHECK_INT(goss_parity(e, ids, TOKENS, on_row, &r, NULL), 0);
    CHECK_INT(r.n, ref.n);
    int away = 0;
    for (int i = 0; i < r.n; i++) {
        CHECK_STR(r.stage[i], ref.of[i].stage);
        CHECK_INT(r.of[i].layer, ref.of[i].layer);
        check_row(&r.of[i], &ref.of[i], &got.of[i]);
        away += r.of[i].max > 0;
        if (r.of[i].layer == 0) CHECK(r.of[i].max <= 0.05 * r.of[i].rms);
    }
    CHECK(away > r.n / 2); /* the two do compute by themselves */
    static rows same;
    CHECK_INT(goss_parity(right, ids, TOKENS, on_row, &same, NULL), 0);
    CHECK_INT(same.n, r.n);
    for (int i = 0; i < same.n; i++) CHECK(same.of[i].max == 0 && same.of[i].rms == r.of[i].rms);
    forget(&ref);
    forget(&got);
    goss_engine_close(&right);
    goss_engine_close(&e);
}

static void refused(void)
{
    static rows r;
    goss_error err;
    goss_engine *e = open_on("cpu");
    CHECK_INT(goss_parity(e, ids, 0, on_row, &r, &err), GOSS_EINVAL);
    CHECK_INT(goss_parity(e, ids, GOSS_PARITY_TOKENS + 1, on_row, &r, &err), GOSS_EINVAL);
    CHECK(strstr(err.text, "1 to 64") != NULL);
    CHECK_INT(goss_parity(e, (const int32_t[]){ 1 << 30 }, 1, on_row, &r, &err), GOSS_EINVAL);
    CHECK_INT(r.n, 0);
    char answer[64];
    goss_params p = goss_params_default();
    p.max_tokens = 4;
    p.ignore_stop = 1;
    CHECK(goss_complete(e, "Once", &p, answer, sizeof answer, &err) >= 1); /* the engine goes on */
    goss_engine_close(&e);
}

int main(void)
{
    beside_traces();
    refused();
    return unit_done("parity");
}
