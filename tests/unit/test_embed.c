/* test_embed.c - embeddings: the CPU's against the reference's, and both against the states that goss_trace
 * shows, normed and pooled here. */
#include "engine_util.h"
#include <math.h>

enum { N = 40, MOST = 4096 };

static goss_engine *open_engine(const char *path, const char *backend)
{
    const goss_engine_config c = { .model_path = path, .backend = backend, .max_kv = 512, .max_rows = 16 };
    goss_engine *e = NULL;
    goss_error err = { 0 };
    if (goss_engine_open(&e, &c, &err)) { printf("open: %s\n", err.text); exit(1); }
    return e;
}

/* Positions of the last layer's output: the stages of one layer come chunk by chunk. */
typedef struct seen { float *x; int n, n_layer; } seen;
static void on_trace(void *ctx, const char *stage, int layer, const float *v, int n_rows, int width)
{
    seen *s = ctx;
    if (layer != s->n_layer - 1 || (strcmp(stage, "experts") && strcmp(stage, "ffn"))) return;
    memcpy(s->x + (size_t)s->n * (size_t)width, v, (size_t)n_rows * (size_t)width * sizeof *v);
    s->n += n_rows;
}

static double dot(const float *a, const float *b, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

static void test_model(const char *path, double least)
{
    goss_engine *ref = open_engine(path, "ref"), *cpu = open_engine(path, "cpu");
    goss_model_info info;
    goss_error err = { 0 };
    static float a[MOST], b[MOST], last[MOST];
    int32_t ids[N];
    goss_engine_info(ref, &info);
    const int n = info.n_embd;
    seen s = { .x = malloc((size_t)N * (size_t)n * sizeof *s.x), .n_layer = info.n_layer };
    for (int i = 0; i < N; i++) ids[i] = (i * 37 + 11) % 900;
    CHECK_INT(goss_embed(ref, ids, N, GOSS_POOL_MEAN, a, &err), 0);
    CHECK_INT(goss_embed(cpu, ids, N, GOSS_POOL_MEAN, b, &err), 0);
    printf("# %s: cosine %.6f\n", path, dot(a, b, n));
    CHECK(fabs(dot(a, a, n) - 1) < 1e-5 && fabs(dot(b, b, n) - 1) < 1e-5);
    CHECK(dot(a, b, n) > least);
    CHECK_INT(goss_embed(ref, ids, N, GOSS_POOL_LAST, last, &err), 0);
    CHECK(fabs(dot(last, last, n) - 1) < 1e-5 && dot(last, a, n) < 0.9999);
    CHECK_INT(goss_trace(ref, ids, N, 0, on_trace, &s, &err), 0);
    CHECK_INT(s.n, N);
    /* a gain is the same for all positions: last / (the last position's residual) shows it up to a factor */
    double gain_free = 0, sum[MOST] = { 0 };
    for (int r = 0; r < N; r++) {
        const float *x = s.x + (size_t)r * (size_t)n,
                    *end = s.x + (size_t)(N - 1) * (size_t)n;
        const double scale = sqrt(n / dot(x, x, n));
        for (int i = 0; i < n; i++)
            if (fabs((double)end[i]) > 1e-9)
                sum[i] += (double)x[i] * scale * (double)last[i] / (double)end[i];
    }
    double squares = 0;
    for (int i = 0; i < n; i++) squares += sum[i] * sum[i];
    for (int i = 0; i < n; i++) gain_free += sum[i] * (double)a[i] / sqrt(squares);
    CHECK(gain_free > 0.9999);
    CHECK_INT(goss_embed(cpu, ids, 0, GOSS_POOL_MEAN, b, &err), GOSS_EINVAL);
    CHECK_INT(goss_embed(cpu, ids, N, 2, b, &err), GOSS_EINVAL);
    free(s.x);
    goss_engine_close(&ref);
    goss_engine_close(&cpu);
}

int main(void)
{
    test_model("models/demo-gptoss-draft.gguf", 0.995);
    test_model("models/demo-llama-f16.gguf", 0.9999);
    return unit_done("embed");
}
