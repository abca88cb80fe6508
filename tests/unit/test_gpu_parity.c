/* test_gpu_parity.c - every stage of every layer on the GPU against the reference, on the demo models;
 * skipped where there is no adapter. usage: test_gpu_parity [MODEL...]; variables: gpu_open.h. */
#include "gpu_open.h"
#include "model_run.h"
#include <math.h>

/* STEP: tokens for which the demo's routers are nowhere nearer to another choice than 6.5e-4 of their largest
 * logit. */
enum { N_TOKENS = 150, STEP = 173, MOST_TURNED = 3 };
#define BOUND 4e-3 /* of a stage, relative to the largest value of its row */
#define BOUND_HALVES 2e-2 /* of many rows by fragments: operands are halves, which adds up over the layers */
#define NEAR 1e-3  /* two experts' logits so near, relative to the largest, may be chosen one for the other */
typedef struct trace { float *values[GOSS_N_STAGES][64]; int rows[GOSS_N_STAGES][64],
                       width[GOSS_N_STAGES][64]; } trace;

static void keep(void *ctx, goss_stage stage, int layer, const float *v, int n_rows, int width)
{
    trace *t = ctx;
    const int l = layer < 0 ? 0 : layer;
    free(t->values[stage][l]);
    t->values[stage][l] = malloc((size_t)n_rows * (size_t)width * sizeof *v);
    memcpy(t->values[stage][l], v, (size_t)n_rows * (size_t)width * sizeof *v);
    t->rows[stage][l] = n_rows;
    t->width[stage][l] = width;
}

/* What the device complained about, now or earlier, is a failure. */
static void is_clean(goss_backend *b)
{
    goss_error e = { 0 };
    goss_gpu_state *s = (goss_gpu_state *)(void *)b;
    while (goss_gpu_error(s->gpu, &e)) { printf("%s\n", e.text); CHECK(0); }
    if (!getenv("GOSSAMER_GPU_SPLIT")) return;
    CHECK(s->weights.tok.n_pieces > 1 && s->weights.layers[0].up.n_pieces > 1
          && s->weights.layers[0].down.n_pieces > 1);
}

/* Is expert e among the k chosen of a row? */
static int chosen(const float *v, int n, int k, int e)
{
    int before = 0;
    for (int i = 0; i < n; i++) before += v[i] > v[e] || (v[i] == v[e] && i < e);
    return before < k;
}

/* from[row]: the layer from whose experts on a row goes another way, because its router had two experts
 * nearly alike at the edge of its choice; 64: nowhere. A router that chose otherwise without that excuse
 * fails. Returns such rows. */
static int turns(const trace *a, const trace *b, int k, int *from)
{
    const int n = a->rows[GOSS_STAGE_ROUTE][0], w = a->width[GOSS_STAGE_ROUTE][0];
    int turned = 0;
    for (int r = 0; r < N_TOKENS; r++) from[r] = 64;
    for (int l = 0; l < 64 && a->values[GOSS_STAGE_ROUTE][l]; l++)
        for (int r = 0; r < n; r++) {
            const float *x = a->values[GOSS_STAGE_ROUTE][l] + r * w,
                *y = b->values[GOSS_STAGE_ROUTE][l] + r * w;
            double in = 1e9, out = -1e9, top = 0;
            int other = 0;
            for (int e = 0; e < w; e++) {
                other |= chosen(x, w, k, e) != chosen(y, w, k, e);
                if (chosen(x, w, k, e)) in = fmin(in, (double)x[e]);
                else out = fmax(out, (double)x[e]);
                top = fmax(top, fabs((double)x[e]));
            }
            if (!other || from[r] < 64) continue;
            from[r] = l;
            turned++;
            printf("row %d chose otherwise in layer %d: its logits are %.1e of the largest apart\n", r, l,
                   (in - out) / top);
            CHECK(in - out < NEAR * top);
        }
    return turned;
}

/* The largest difference, relative to the largest value of its row, of rows that went the same way. */
static double compare(const trace *a, const trace *b, const int *from, int stage, int l)
{
    const int n = a->rows[stage][l], w = a->width[stage][l];
    double worst = 0;
    if (n != b->rows[stage][l] || w != b->width[stage][l]) return 1e9;
    for (int r = 0; r < n; r++) {
        double top = 1e-6, diff = 0;
        if (l > from[r] || (l == from[r] && stage == GOSS_STAGE_EXPERTS)) continue;
        for (int i = 0; i < w; i++) {
            const double x = (double)a->values[stage][l][r * w + i],
                y = (double)b->values[stage][l][r * w + i];
            if (fabs(x) > top) top = fabs(x);
            if (!(fabs(x - y) <= diff)) diff = fabs(x - y);
        }
        if (!(diff / top <= worst)) worst = diff / top;
    }
    return worst;
}

static void free_trace(trace *t)
{
    for (int s = 0; s < GOSS_N_STAGES; s++) for (int l = 0; l < 64; l++) free(t->values[s][l]);
    memset(t, 0, sizeof *t);
}

static void one_model(const char *path)
{
    run_model m;
    run a, b;
    static trace ta, tb;
    if (run_open_file(&m, path, NULL) < 0) { CHECK(0); return; }
    const int n_vocab = m.model.hp.n_vocab;
    int32_t ids[N_TOKENS];
    for (int i = 0; i < N_TOKENS; i++) ids[i] = (int32_t)((i * STEP + 13) % (n_vocab < 1000 ? n_vocab
                                                                      : 1000));
    float *la = malloc((size_t)N_TOKENS * (size_t)n_vocab * 4),
        *lb = malloc((size_t)N_TOKENS * (size_t)n_vocab * 4);
    const int started = run_start(&b, &m, open_gpu, 160, 256, GOSS_F16);
    CHECK_INT(started, 0);
    if (!started) printf("%s\n", b.b->vt->level(b.b));
    const int halves = !started && ((goss_gpu_state *)(void *)b.b)->facts.kv_half;
    CHECK_INT(run_start(&a, &m, goss_backend_open_ref, 160, 256, halves ? GOSS_F16 : GOSS_F32), 0);
    const int chunks[] = { 150, 4, 1 };
    for (size_t c = 0; c < sizeof chunks / sizeof chunks[0] && !started; c++) {
        const int n = chunks[c] < 16 ? 10 : N_TOKENS;
        a.b->vt->tap(a.b, keep, &ta);
        b.b->vt->tap(b.b, keep, &tb);
        CHECK_INT(run_all(&a, ids, n, chunks[c], 1, la), 0);
        CHECK_INT(run_all(&b, ids, n, chunks[c], 1, lb), 0);
        double worst[GOSS_N_STAGES] = { 0 };
        int from[N_TOKENS];
        const goss_layer_calls *l0 = ((goss_gpu_state *)(void *)b.b)->calls.layers;
        const int fragments =
            chunks[c] > GOSS_DECODE_ROWS && (((goss_gpu_state *)(void *)b.b)->facts.fragments ||
                                             l0->prefill.qkv[0].operands == GOSS_TILE_HALVES);
        const double bound = fragments ? BOUND_HALVES : BOUND;
        CHECK(turns(&ta, &tb, m.model.hp.n_expert_used, from) <= MOST_TURNED);
        for (int s = 0; s < GOSS_N_STAGES; s++)
            for (int l = 0; l < 64; l++)
                if (ta.values[s][l] && s != GOSS_STAGE_HEAD) {
                    const double d = compare(&ta, &tb, from, s, l);
                    if (d > worst[s]) worst[s] = d;
                    if (!(d <= bound))
                        printf("%s: %s of layer %d is off by %g\n", path, goss_stage_name((goss_stage)s), l,
                               d);
                    CHECK(d <= bound);
                }
        int agree = 0;
        double diff = 0;
        for (int i = 0; i < n; i++) {
            const float *x = la + (size_t)i * (size_t)n_vocab, *y = lb + (size_t)i * (size_t)n_vocab;
            if (chunks[c] == n && from[i] < 64) { agree++; continue; }
            for (int k = 0; k < n_vocab; k++) diff = fmax(diff, fabs((double)x[k] - (double)y[k]));
            agree += run_argmax(x, n_vocab) == run_argmax(y, n_vocab) || run_gap(x, n_vocab) < 0.25;
        }
        CHECK_INT(agree, n);
        CHECK(diff < (fragments ? 0.25 : 0.05));
        printf("%s chunk %d:", strrchr(path, '/') + 1, chunks[c]);
        for (int s = 0; s < GOSS_N_STAGES; s++)
            if (worst[s] > 0) printf(" %s %.1e", goss_stage_name((goss_stage)s), worst[s]);
        printf(" logits %.1e\n", diff);
        free_trace(&ta);
        free_trace(&tb);
        a.b->vt->tap(a.b, NULL, NULL);
        b.b->vt->tap(b.b, NULL, NULL);
    }
    if (!started) is_clean(b.b);
    run_stop(&a);
    run_stop(&b);
    free(la);
    free(lb);
    run_close(&m);
}

static int have_adapter(void)
{
    run_model m;
    goss_error err = { 0 };
    if (run_open_file(&m, "models/demo-gptoss.gguf", NULL) < 0) return 0;
    const int there = gpu_there(&m.model, &err);
    if (!there) printf("test_gpu_parity: skipped: %s\n", err.text);
    run_close(&m);
    return there || !strstr(err.text, "adapter");
}

int main(int argc, char **argv)
{
    static const char *const models[] = { "models/demo-gptoss.gguf",       "models/demo-gptoss-draft.gguf",
                                          "models/demo-llama-f16.gguf",    "models/demo-llama-Q2_K.gguf",
                                          "models/demo-llama-Q3_K_M.gguf", "models/demo-llama-Q4_K_M.gguf",
                                          "models/demo-llama-Q5_K_M.gguf", "models/demo-llama-Q6_K.gguf" };
    if (!have_adapter()) return unit_done("test_gpu_parity");
    run_slots = GOSS_CROWD_ROWS + 1;                   /* many rows are a crowd to the head */
    for (int i = 1; i < argc; i++) one_model(argv[i]);
    for (size_t i = 0; argc < 2 && i < sizeof models / sizeof models[0]; i++) one_model(models[i]);
    return unit_done("test_gpu_parity");
}
