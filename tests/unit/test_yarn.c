/* test_yarn.c - --yarn llama.cpp against llama.cpp itself (bench/peers): its greedy tokens on the demo model,
 * each under the rule of 0.25. GOSS_PEER is the command that gives them (bench/peers/llama.sh); SKIP without
 * it.
 *
 * Both sides see llama.cpp's tokens, so that a fork does not end the comparison. Where ref's two best logits
 * are more than 0.25 apart, the best must be the token that llama.cpp took; cpu is held to the same. That the
 * variant matters is seen from ref's gaps, which must be nearer to llama.cpp's with it than with OpenAI's. */
#define _GNU_SOURCE
#include "engine_util.h"
#include <math.h>

static const char *const MODEL = "models/demo-gptoss.gguf";
enum { N_DECODE = 48, ROOM = 1200 };
/* gap[i]: of the token at i */
typedef struct peer { int32_t ids[ROOM]; int n_prompt, n; float gap[ROOM]; } peer;

/* Asks the peer for N_DECODE tokens behind the prompt. */
static int ask(const char *command, peer *p)
{
    char line[ROOM * 8];
    int at = snprintf(line, sizeof line, "%s %s greedy 1 %d", command, MODEL, N_DECODE);
    for (int i = 0; i < p->n_prompt; i++)
        at += snprintf(line + at, sizeof line - (size_t)at, " %d", p->ids[i]);
    FILE *f = popen(line, "r");
    if (!f) return 0;
    p->n = p->n_prompt;
    while (p->n < p->n_prompt + N_DECODE && fscanf(f, "%d %f", &p->ids[p->n], &p->gap[p->n]) == 2) p->n++;
    return pclose(f) == 0 && p->n == p->n_prompt + N_DECODE;
}

static goss_engine *open_on(const char *backend, int llamacpp)
{
    const goss_engine_config c = {
        .model_path = MODEL, .backend = backend, .max_kv = 2048, .yarn_llamacpp = llamacpp
    };
    goss_engine *e = NULL;
    goss_error err = { 0 };
    if (goss_engine_open(&e, &c, &err) < 0) { printf("open: %s\n", err.text); exit(1); }
    while (goss_engine_state(e) == GOSS_ENGINE_LOADING && goss_engine_poll(e, 100, &err) >= 0) { }
    return e;
}

static int best(const float *v, int n, float *gap)
{
    int b = 0;
    float second = -INFINITY;
    for (int i = 1; i < n; i++)
        if (v[i] > v[b]) b = i;
    for (int i = 0; i < n; i++)
        if (i != b && v[i] > second) second = v[i];
    *gap = v[b] - second;
    return b;
}

typedef struct tally { int clear, forks; double gap_error; } tally;

/* ref_clear: where ref's gap is over 0.25; written by ref's own run, read by the others. */
static tally compare(goss_engine *e, const peer *p, int n_vocab, unsigned char *ref_clear, int is_ref)
{
    tally t = { 0 };
    goss_error err = { 0 };
    float *logits = malloc(sizeof *logits * (size_t)p->n * (size_t)n_vocab);
    CHECK_INT(goss_eval(e, p->ids, p->n, 64, 1, logits, &err), 0);
    for (int i = p->n_prompt; i < p->n; i++) {
        float gap;
        const int b = best(logits + (size_t)(i - 1) * (size_t)n_vocab, n_vocab, &gap);
        if (is_ref) ref_clear[i] = gap > 0.25f;
        t.clear += ref_clear[i];
        t.forks += ref_clear[i] && b != p->ids[i];
        t.gap_error += fabs((double)gap - (double)p->gap[i]) / (double)N_DECODE;
    }
    free(logits);
    return t;
}

int main(void)
{
    const char *command = getenv("GOSS_PEER");
    if (!command) {
        printf("SKIP yarn: GOSS_PEER names no peer\nyarn: 0 passed, 0 failed, 1 skipped\n");
        return 0;
    }
    goldens *all = read_goldens("tests/golden/demo-gptoss.golden.json");
    goss_engine *ref = open_on("ref", 1), *cpu = open_on("cpu", 1), *openai = open_on("ref", 0);
    goss_model_info info;
    goss_engine_info(ref, &info);
    double with = 0, without = 0;
    int clear = 0;
    static peer p;
    static unsigned char ref_clear[ROOM];
    for (int i = 0; i <= all->n; i++) { /* each prompt, then all of them as one */
        p.n_prompt = 0;
        for (int k = 0; k < all->n; k++) {
            if ((i < all->n && k != i) || p.n_prompt + all->g[k].n_ids > 800) continue;
            memcpy(p.ids + p.n_prompt, all->g[k].ids, (size_t)all->g[k].n_ids * sizeof *p.ids);
            p.n_prompt += all->g[k].n_ids;
        }
        CHECK(ask(command, &p));
        if (p.n != p.n_prompt + N_DECODE) break;
        const tally r = compare(ref, &p, info.n_vocab, ref_clear, 1),
                    c = compare(cpu, &p, info.n_vocab, ref_clear, 0);
        CHECK_INT(r.forks, 0);
        CHECK_INT(c.forks, 0);
        clear += r.clear;
        with += r.gap_error;
        const tally o = compare(openai, &p, info.n_vocab, ref_clear, 0);
        without += o.gap_error;
        printf("# %d ids, %d clear positions: forks %d on ref, %d on cpu; gaps differ by %.4f, OpenAI's YaRN "
               "%.4f\n",
               p.n_prompt, r.clear, r.forks, c.forks, r.gap_error, o.gap_error);
    }
    CHECK(clear > 100);
    CHECK(with < without);
    goss_engine_close(&ref);
    goss_engine_close(&cpu);
    goss_engine_close(&openai);
    free(all);
    return unit_done("yarn");
}
