/* test_gpu_panel.c - what the page draws from (step/panels.c), against sums made here from the reference's
 * stages: attention of the watched layer and head, the router's choice, keys held, norms; and that
 * watching another head tells. GOSSAMER_GPU_PACKED=1: a row alone has its experts chosen late, and all its
 * layers drawn behind them. Skipped where there is no adapter. */
#include "gpu/step/state.h"
#include "model_run.h"
#include <math.h>

enum { N = 140, LAYERS = 64, HEAD = 256, RECORD = 544, COLUMNS = 256 };
static goss_engine_config engine = { .backend = "gpu", .telemetry_mask = GOSS_TELEMETRY_PANELS,
                                     .telemetry_layer = 1,
                                     .telemetry_head = 3 };
static float *qkv[LAYERS], *logits[LAYERS];
static double norms[LAYERS];

static void keep(void *ctx, goss_stage stage, int layer, const float *v, int n_rows, int width)
{
    (void)ctx;
    float **to = stage == GOSS_STAGE_ATTN_IN ? &qkv[layer]
                 : stage == GOSS_STAGE_ROUTE ? &logits[layer]
                                             : NULL;
    if (!to) return;
    free(*to);
    *to = malloc((size_t)n_rows * (size_t)width * sizeof *v);
    memcpy(*to, v, (size_t)n_rows * (size_t)width * sizeof *v);
}

static int open_gpu(goss_backend **out, const goss_backend_config *c, goss_error *err)
{
    goss_backend_config mine = *c;
    static goss_gpu_tests tests;
    mine.engine = &engine;
    const int r = goss_backend_open_gpu(out, &mine, err);
    tests.packed_too = getenv("GOSSAMER_GPU_PACKED") != NULL;
    if (!r) goss_gpu_state_of(*out)->tests = &tests;
    return r;
}

static int read_panel(goss_backend *b, float *to, uint64_t n)
{
    goss_gpu_state *s = (goss_gpu_state *)b;
    const int back = goss_gpu_buffer(s->gpu, n, GOSS_GPU_MAP_READ | GOSS_GPU_COPY_DST, "back");
    const uint32_t w[] = { GOSS_GPU_OP_COPY, (uint32_t)s->panel, 0, (uint32_t)back, 0, (uint32_t)(n / 4) };
    int r = back < 0 ? back : goss_gpu_submit(s->gpu, w, 6);
    if (!r) r = goss_gpu_read(s->gpu, back, 0, n);
    if (!r)
        while ((r = goss_gpu_read_poll(s->gpu, back, to, n)) == GOSS_EAGAIN) goss_gpu_poll(s->gpu, 1000);
    goss_gpu_buffer_free(s->gpu, back);
    return r;
}

/* Weights of the last row in one layer and head, by position; returns the largest score's magnitude. */
static double attention(const goss_model *m, int layer, int head, double *w)
{
    const goss_hparams *h = &m->hp;
    const int hd = h->head_dim, width = (h->n_head + 2 * h->n_head_kv) * hd,
              kv = head / (h->n_head / h->n_head_kv);
    const goss_layer *l = &m->layers[layer];
    const int from = l->windowed && N > h->window ? N - h->window : 0;
    const float *sinks = (const float *)(const void *)l->sinks.data;
    const float *q = qkv[layer] + (size_t)(N - 1) * (size_t)width + head * hd;
    double sum = sinks ? exp((double)sinks[head]) : 0, most = 0;
    for (int i = 0; i < N; i++) {
        const float *k = qkv[layer] + (size_t)i * (size_t)width + (h->n_head + kv) * hd;
        double dot = 0;
        for (int d = 0; d < hd; d++) dot += (double)q[d] * (double)k[d];
        most = fmax(most, fabs(dot * (double)h->attn_scale));
        w[i] = i < from ? 0 : exp(dot * (double)h->attn_scale);
        sum += w[i];
    }
    for (int i = 0; i < N; i++) w[i] /= sum;
    return most;
}

/* The largest difference over what stages may differ by (test_gpu_parity: 4e-3 of their values, so of
 * scores), as weights at most 1/2 from their ends feel it. */
static double attention_differs(const goss_model *m, const float *p, int layer, int head)
{
    const float *row = p + HEAD + m->hp.n_layer * RECORD + (N - 1) % 128 * COLUMNS;
    const int first = (int)p[16 + (N - 1) % 128] - 1;
    double w[N], worst = first < 0 ? 1 : 0;
    const double bound = 4e-3 * attention(m, layer, head, w) / 2;
    for (int i = 0; i < N && first >= 0; i++) {
        const double got = i < first ? 0 : (double)row[i - first];
        if (!(fabs(got - w[i]) <= worst)) worst = fabs(got - w[i]);
    }
    return worst / bound;
}

static void check_router(const goss_model *m, const float *p, int layer)
{
    const int n = m->hp.n_expert, k = m->hp.n_expert_used;
    const float *own = logits[layer] + (size_t)(N - 1) * (size_t)n, *now = p + HEAD + layer * RECORD + 256;
    int chosen = 0;
    for (int e = 0; e < n; e++) {
        int before = 0;
        for (int i = 0; i < n; i++) before += own[i] > own[e] || (own[i] == own[e] && i < e);
        chosen += now[e] > 0;
        CHECK((before < k) == (now[e] > 0));
    }
    CHECK_INT(chosen, k);
}

static void all(run *b, const run_model *m, float *p, uint64_t bytes)
{
    const goss_model *model = &m->model;
    CHECK_INT(read_panel(b->b, p, bytes), 0);
    CHECK_INT((int)p[0], model->hp.n_layer);
    CHECK_INT((int)p[1], model->hp.n_expert);
    CHECK_INT((int)p[2], N - 1);
    const double off = attention_differs(model, p, 1, 3);
    printf("attention of layer 1: head 3 is at %.2f of its bound, head 4's weights would be at %.2f\n", off,
           attention_differs(model, p, 1, 4));
    CHECK(off < 1);
    CHECK(attention_differs(model, p, 1, 4) > 4);
    for (int i = 0; i < model->hp.n_layer; i++) {
        const float *r = p + HEAD + i * RECORD + 512;
        check_router(model, p, i);
        CHECK_INT((int)r[1], N);
        CHECK_INT((int)r[2], model->layers[i].windowed ? N - model->hp.window : 0);
        CHECK(r[0] > 0 && (norms[i] <= 0 || fabs((double)r[0] / norms[i] - 1) < 0.02));
        norms[i] = (double)r[0];
    }
}

int main(void)
{
    run_model m;
    run a, b;
    engine.webgpu_path = getenv("GOSSAMER_WEBGPU");
    if (run_open_file(&m, "models/demo-gptoss.gguf", NULL) < 0) return 1;
    if (run_start(&b, &m, open_gpu, 160, 256, GOSS_F16) < 0) { printf("SKIP no GPU adapter\n"); return 0; }
    const int halves = ((goss_gpu_state *)(void *)b.b)->facts.kv_half;
    CHECK_INT(run_start(&a, &m, goss_backend_open_ref, 160, 256, halves ? GOSS_F16 : GOSS_F32), 0);
    int32_t ids[N];
    for (int i = 0; i < N; i++) ids[i] = (int32_t)((i * 7919 + 13) % 1000);
    float *out = malloc((size_t)m.model.hp.n_vocab * 4);
    const uint64_t bytes = (uint64_t)(HEAD + m.model.hp.n_layer * RECORD + 128 * COLUMNS) * 4;
    float *p = malloc(bytes);
    a.b->vt->tap(a.b, keep, NULL);
    CHECK_INT(run_all(&a, ids, N, N, 0, out), 0);
    CHECK_INT(run_all(&b, ids, N, N, 0, out), 0);             /* many rows at once, */
    all(&b, &m, p, bytes);
    b.b->vt->watch(b.b, 0, 0);
    CHECK_INT(read_panel(b.b, p, bytes), 0);
    for (int i = 0; i < 128; i++) CHECK(p[16 + i] == 0);      /* another head's map begins empty */
    goss_kv_clear(&b.kv);
    CHECK_INT(run_step(&b, ids, 0, N - 1, 0, out), 0);
    b.b->vt->watch(b.b, 1, 3);
    CHECK_INT(run_step(&b, ids, N - 1, N, 0, out), 0);        /* and one alone */
    all(&b, &m, p, bytes);
    CHECK_INT(goss_gpu_state_of(b.b)->calls.seen_late, getenv("GOSSAMER_GPU_PACKED") != NULL);
    for (int i = 0; i < LAYERS; i++) { free(qkv[i]); free(logits[i]); }
    free(out);
    free(p);
    run_stop(&a);
    run_stop(&b);
    run_close(&m);
    return unit_done("test_gpu_panel");
}
