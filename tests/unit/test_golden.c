/* test_golden.c - the models against tests/golden (Hugging Face transformers in float32 on the dequantised
 * weights): ref's tokens identical and its logits within 2e-3; cpu against ref on the same file, in every
 * quantisation: the same best token wherever ref's best two are more than 0.25 apart, and a mean NLL over the
 * greedy tokens within 0.01 nats. Where a prompt begins as the one before it did, that beginning is not
 * computed again. usage: test_golden [gpu MODEL...]: the gpu backend instead of cpu, by the same rule, as
 * prefill, and in steps of 16 rows */
#include "gpu_open.h"
#include "model_run.h"
#include <math.h>

enum { MAX_IDS = 512 };
static run_opener other = goss_backend_open_cpu;        /* what is compared with ref */
static const int *chunks = (const int[]){ 0 };          /* its rows a step, 0: all: n_chunks ways in turn */
static int n_chunks = 1;

/* n_same: so many of ids are those of the prompt before. */
typedef struct golden { int32_t ids[MAX_IDS]; int n_prompt, n, n_same; goss_json json; int node; } golden;

static int read_ids(const goss_json *j, int array, int32_t *ids, int n)
{
    for (int node = goss_json_first(j, array); node >= 0 && n < MAX_IDS; node = goss_json_next(j, node))
        ids[n++] = (int32_t)goss_json_number(j, node, -1);
    return n;
}

static void read_prompt(golden *g)
{
    int32_t before[MAX_IDS];
    const int n_before = g->n;
    memcpy(before, g->ids, sizeof before);
    g->n_prompt = read_ids(&g->json, goss_json_get(&g->json, g->node, "ids"), g->ids, 0);
    g->n = read_ids(&g->json, goss_json_get(&g->json, g->node, "greedy"), g->ids, g->n_prompt);
    g->n_same = 0;
    while (g->n_same < n_before && g->n_same < g->n && before[g->n_same] == g->ids[g->n_same]) g->n_same++;
    CHECK(g->n_prompt > 0 && g->n > g->n_prompt);
}

/* Logits of all positions; those of the same beginning are there. */
static int run_prompt(run *r, const golden *g, int chunk, float *logits)
{
    return run_on(r, g->ids, goss_kv_can_truncate(&r->kv, g->n_same) ? g->n_same : 0, g->n, chunk, 1, logits);
}

static void check_ref_logits(const golden *g, const float *logits, int n_vocab)
{
    const goss_json *j = &g->json;
    double worst = 0;
    const int top = goss_json_get(j, g->node, "top"), sample = goss_json_get(j, g->node, "logits_sample");
    int n = 0;
    for (int t = goss_json_first(j, top); t >= 0; t = goss_json_next(j, t)) {
        const int id = (int)goss_json_number(j, goss_json_at(j, t, 0), -1);
        worst = fmax(worst, fabs((double)logits[id] - goss_json_number(j, goss_json_at(j, t, 1), 1e9)));
        n++;
    }
    CHECK_INT(n, 10);
    CHECK_INT((int)goss_json_number(j, goss_json_at(j, goss_json_first(j, top), 0), -1),
              run_argmax(logits, n_vocab));
    for (int t = goss_json_first(j, sample), id = 0; t >= 0; t = goss_json_next(j, t), id += 64, n++)
        worst = fmax(worst, fabs((double)logits[id] - goss_json_number(j, t, 1e9)));
    CHECK_INT(n, 10 + (n_vocab + 63) / 64);
    if (worst > 2e-3) printf("logits differ by %g\n", worst);
    CHECK(worst <= 2e-3);
}

/* Teacher forcing over prompt + greedy: the best token at each position must be the next greedy one. */
static void check_ref_tokens(const golden *g, const float *logits, int n_vocab)
{
    const goss_json *j = &g->json;
    int wrong = 0, i = 0;
    for (i = g->n_prompt - 1; i < g->n - 1; i++)
        wrong += run_argmax(logits + (size_t)i * (size_t)n_vocab, n_vocab) != g->ids[i + 1];
    CHECK_INT(wrong, 0);
    i = wrong = 0;
    for (int t = goss_json_first(j, goss_json_get(j, g->node, "argmax_every")); t >= 0;
         t = goss_json_next(j, t), i++)
        wrong +=
            i < g->n &&
            run_argmax(logits + (size_t)i * (size_t)n_vocab, n_vocab) != (int)goss_json_number(j, t, -1) &&
            run_gap(logits + (size_t)i * (size_t)n_vocab, n_vocab) > 2e-3;
    CHECK_INT(i, g->n);
    CHECK_INT(wrong, 0);
}

static double nll_sum(const float *logits, int n_vocab, const int32_t *ids, int from, int to)
{
    double sum = 0;
    for (int i = from; i < to; i++) {
        const float *l = logits + (size_t)(i - 1) * (size_t)n_vocab;
        double z = 0;
        for (int v = 0; v < n_vocab; v++) z += exp((double)l[v]);
        sum += log(z) - (double)l[ids[i]];
    }
    return sum;
}

/* The NLL of the whole sequence, as the golden has it. */
static void check_ref_nll(const golden *g, const float *logits, int n_vocab)
{
    const double nll = nll_sum(logits, n_vocab, g->ids, 1, g->n) / (g->n - 1);
    CHECK(fabs(nll - goss_json_number(&g->json, goss_json_get(&g->json, g->node, "nll"), 1e9)) < 1e-3);
}

typedef struct tally { double nll_ref, nll_cpu; int n_tokens, n_far, n_forks; double worst; } tally;

static void compare(const golden *g, const float *ref, const float *cpu, int n_vocab, tally *t)
{
    t->nll_ref += nll_sum(ref, n_vocab, g->ids, g->n_prompt, g->n);
    t->nll_cpu += nll_sum(cpu, n_vocab, g->ids, g->n_prompt, g->n);
    t->n_tokens += g->n - g->n_prompt;
    for (int i = 0; i < g->n; i++) {
        const float *a = ref + (size_t)i * (size_t)n_vocab, *b = cpu + (size_t)i * (size_t)n_vocab;
        const int far = run_gap(a, n_vocab) > 0.25;
        t->n_far += far;
        t->n_forks += far && run_argmax(a, n_vocab) != run_argmax(b, n_vocab);
        for (int v = 0; v < n_vocab; v++) t->worst = fmax(t->worst, fabs((double)a[v] - (double)b[v]));
    }
}

static void check_tally(const tally *t, const char *model, int n_prompts, const char *backend)
{
    CHECK(t->n_far > (unit_small() ? 20 : 100));
    CHECK_INT(t->n_forks, 0);
    CHECK(fabs(t->nll_ref - t->nll_cpu) / t->n_tokens < 0.01);
    printf("# %s: %d prompts, nll %.4f ref %.4f %s, %d positions with a gap, largest difference of a logit "
           "%.4f\n",
           model, n_prompts, t->nll_ref / t->n_tokens, t->nll_cpu / t->n_tokens, backend, t->n_far, t->worst);
}

/* One of the sizes of steps: its KV and logits are its own, since its next prompt may go on from them. */
typedef struct way {
    tally tally;
    goss_kv kv;
    float *logits;
} way;

static void open_way(way *w, run *r, int n_vocab)
{
    CHECK_INT(goss_kv_open(&w->kv, &r->pool, MAX_IDS), 0);
    w->logits = malloc((size_t)MAX_IDS * (size_t)n_vocab * sizeof *w->logits);
}

/* One prompt in this way, compared with ref's logits. */
static void go_way(way *w, run *r, const golden *g, int chunk, const float *ref, int n_vocab)
{
    const goss_kv own = r->kv;
    r->kv = w->kv;
    CHECK_INT(run_prompt(r, g, chunk, w->logits), 0);
    w->kv = r->kv;
    r->kv = own;
    compare(g, ref, w->logits, n_vocab, &w->tally);
}

static void close_way(way *w)
{
    goss_kv_close(&w->kv);
    free(w->logits);
}

static void test_model(const char *model, const char *golden_file, int exact)
{
    char path[200];
    size_t n_text = 0;
    run_model m;
    run ref, cpu;
    static golden g;
    way ways[2] = { 0 };
    snprintf(path, sizeof path, "tests/golden/%s.golden.json", golden_file);
    char *text = run_read_text(path, &n_text);
    CHECK(text != NULL);
    snprintf(path, sizeof path, "models/%s.gguf", model);
    CHECK_INT(run_open_file(&m, path, NULL), 0);
    CHECK_INT(goss_json_parse(&g.json, text, n_text, NULL, NULL), 0);
    CHECK_INT(run_start(&ref, &m, goss_backend_open_ref, MAX_IDS, MAX_IDS, GOSS_F32), 0);
    const int has_cpu = run_has(other, &m);
    if (has_cpu) CHECK_INT(run_start(&cpu, &m, other, MAX_IDS, MAX_IDS, GOSS_F16), 0);
    if (unit_failed) return;
    run *judged = has_cpu ? &cpu : &ref;
    const int n_vocab = m.model.hp.n_vocab;
    float *a = malloc((size_t)MAX_IDS * (size_t)n_vocab * sizeof *a);
    for (int c = 0; c < n_chunks; c++) open_way(&ways[c], judged, n_vocab);
    int n_prompts = 0;
    g.n = 0;
    for (g.node = goss_json_first(&g.json, 0); g.node >= 0;
         g.node = goss_json_next(&g.json, g.node), n_prompts++) {
        read_prompt(&g);
        CHECK_INT(run_prompt(&ref, &g, 0, a), 0);
        if (exact) {
            check_ref_logits(&g, a + (size_t)(g.n_prompt - 1) * (size_t)n_vocab, n_vocab);
            check_ref_tokens(&g, a, n_vocab);
            check_ref_nll(&g, a, n_vocab);
        }
        for (int c = 0; c < n_chunks; c++) go_way(&ways[c], judged, &g, chunks[c], a, n_vocab);
        if (unit_small() && n_prompts == 1) { n_prompts++; break; }
    }
    CHECK(n_prompts > 1);
    for (int c = 0; c < n_chunks; c++) {
        check_tally(&ways[c].tally, model, n_prompts, has_cpu ? cpu.b->vt->name : "(ref)");
        close_way(&ways[c]);
    }
    free(a);
    run_stop(&ref);
    if (has_cpu) run_stop(&cpu);
    run_close(&m);
    goss_json_free(&g.json);
    free(text);
}

static int gpu_main(int argc, char **argv)
{
    run_model m;
    goss_error err = { 0 };
    other = open_gpu;
    chunks = (const int[]){ 0, 16 };
    n_chunks = 2;
    if (run_open_file(&m, "models/demo-gptoss-draft.gguf", NULL) < 0) return 1;
    const int there = gpu_there(&m.model, &err);
    run_close(&m);
    if (!there) {
        printf("SKIP goldens on the GPU: %s\ngolden gpu: 0 passed, 0 failed, 1 skipped\n", err.text);
        return 0;
    }
    for (int i = 2; i < argc; i++)
        test_model(argv[i], strstr(argv[i], "llama") ? "demo-llama-f16.chat" : argv[i], 0);
    return unit_done("golden gpu");
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "gpu")) return gpu_main(argc, argv);
    test_model("demo-gptoss-draft", "demo-gptoss-draft", 1);
    if (unit_small()) return unit_done("golden");
    test_model("demo-gptoss", "demo-gptoss", 1);
    test_model("demo-llama-f16", "demo-llama-f16", 1);
    test_model("demo-llama-f16", "demo-llama-f16.chat", 1);
    test_model("demo-llama-Q6_K", "demo-llama-f16.chat", 0);
    test_model("demo-llama-Q5_K_M", "demo-llama-f16.chat", 0);
    test_model("demo-llama-Q4_K_M", "demo-llama-f16.chat", 0);
    test_model("demo-llama-Q3_K_M", "demo-llama-f16.chat", 0);
    test_model("demo-llama-Q2_K", "demo-llama-f16.chat", 0);
    return unit_done("golden");
}
