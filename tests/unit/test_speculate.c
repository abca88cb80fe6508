/* test_speculate.c - drafts: what a caller predicts comes out the same whether right, wrong or shifted; the
 * distribution of drafted rows is the model's; how many guesses are made follows what they cost and bring. */
#include "engine/pace.h"
#include "engine_util.h"
#include <math.h>

static const char *const DRAFT = "models/demo-gptoss-draft.gguf";

static goss_engine *open_engine(const char *backend)
{
    const goss_engine_config c = { .model_path = DRAFT, .backend = backend, .max_kv = 1024, .max_sessions = 2,
        .n_threads = 1 };
    goss_engine *e = NULL;
    goss_error err = { 0 };
    if (goss_engine_open(&e, &c, &err)) { printf("open: %s\n", err.text); exit(1); }
    return e;
}

static void answer_to(goss_engine *e, const golden *g, const goss_params *p, answer *a)
{
    goss_session *s = NULL;
    goss_error err = { 0 };
    CHECK_INT(goss_session_open(e, &s, &err), 0);
    CHECK_INT(goss_session_prompt(s, g->ids, g->n_ids, p, &err), 0);
    CHECK_INT(run_to_end(e, s, a), 0);
    goss_session_close(&s);
}

/* ---- predictions --------------------------------------------------------------------------------------- */
static void predictions(const char *backend, const golden *g)
{
    static answer plain, a;
    int32_t guess[300];
    for (int kind = 0; kind < 6; kind++) {
        goss_engine *e = open_engine(backend);
        goss_params p = goss_params_default();
        p.temperature = kind == 5 ? 0.9f : 0;
        p.seed = 5;
        p.max_tokens = 100;
        p.ignore_stop = 1;
        answer_to(e, g, &p, &plain);
        int n = 0;
        for (int i = 0; i < plain.n; i++) {
            if (kind == 2 && i % 9 == 4) { guess[n++] = 300 + i; continue; }   /* one replaced */
            if (kind == 3 && i == 20) { guess[n++] = 301; guess[n++] = 302; }  /* two put in */
            if (kind == 4 && i > 30 && i < 37) continue;                       /* some left out */
            guess[n++] = kind == 1 ? (plain.ids[i] + 1) % 4000 : plain.ids[i];
        }
        p.predicted = guess;
        p.n_predicted = n;
        goss_stats before, after;
        goss_engine_stats(e, &before);
        answer_to(e, g, &p, &a);
        goss_engine_stats(e, &after);
        const int accepted = (int)(after.n_accepted - before.n_accepted),
            drafted = (int)(after.n_drafted - before.n_drafted);
        CHECK(a.n == plain.n && !memcmp(a.ids, plain.ids, (size_t)a.n * sizeof *a.ids));
        CHECK(drafted > 0);
        goss_engine_close(&e);
        if (strcmp(backend, "ref")) continue;      /* how many depends on this machine's moment */
        if (kind == 0 || kind == 5) CHECK(accepted == drafted && accepted > 60);
        if (kind == 1) CHECK(accepted < 5);
        if (kind == 2) CHECK(accepted > 40 && accepted < drafted);
        if (kind == 3 || kind == 4) CHECK(accepted > 40);
    }
}

/* ---- the distribution ---------------------------------------------------------------------------------- */
enum { SEEDS = 700, BINS = 4096 };

static void softmax(const float *logits, int n, double temperature, double *p)
{
    double top = -1e30, sum = 0;
    for (int i = 0; i < n; i++) top = logits[i] > top ? (double)logits[i] : top;
    for (int i = 0; i < n; i++) sum += p[i] = exp(((double)logits[i] - top) / temperature);
    for (int i = 0; i < n; i++) p[i] /= sum;
}

/* How far counts are from n * p, in standard deviations of the chi-square that is to be expected. */
static double distance(const int *counts, int n, const double *p, int n_bins)
{
    double chi = 0, rest_p = 0, rest = 0;
    int free = -1;
    for (int i = 0; i < n_bins; i++) {
        const double want = n * p[i];
        if (want < 8) { rest_p += want; rest += counts[i]; continue; }
        chi += (counts[i] - want) * (counts[i] - want) / want;
        free++;
    }
    if (rest_p >= 1) { chi += (rest - rest_p) * (rest - rest_p) / rest_p; free++; }
    return free > 0 ? (chi - free) / sqrt(2.0 * free) : 0;
}

/* Tokens behind a prompt at temperature 4, many seeds: the second of them, which was verified as a draft's
 * row, where the first is the one that was guessed. */
static void distribution(const golden *g)
{
    static int counts[2][BINS];
    static double p[BINS];
    static float logits[BINS];
    static answer a;
    int32_t ids[1100], guess[4], n_first = 0;
    goss_error err;
    goss_engine *e = open_engine("cpu");
    goss_params greedy = greedy_params(4);
    answer_to(e, g, &greedy, &a);
    memcpy(guess, a.ids, sizeof guess);
    memcpy(ids, g->ids, (size_t)g->n_ids * sizeof *ids);
    ids[g->n_ids] = guess[0];
    const goss_logit_bias bias = { guess[0], 13 }; /* so that the guess is right about every second time */
    goss_params q = goss_params_default();
    q.temperature = 4;
    q.bias = &bias;
    q.n_bias = 1;
    q.max_tokens = 3;
    q.ignore_stop = 1;
    q.predicted = guess;
    q.n_predicted = 4;
    const int seeds = unit_small() ? SEEDS / 3 : SEEDS;
    for (int seed = 0; seed < seeds; seed++) {
        q.seed = (uint64_t)seed * 104729 + 3;
        answer_to(e, g, &q, &a);
        counts[0][a.ids[0]]++;
        if (a.ids[0] != guess[0]) continue;
        n_first++;
        counts[1][a.ids[1]]++;
    }
    goss_stats st;
    goss_engine_stats(e, &st);
    CHECK(st.n_drafted > (uint64_t)seeds / 2);
    for (int k = 0; k < 2; k++) {
        const int n = k ? n_first : seeds;
        CHECK_INT(goss_eval(e, ids, g->n_ids + k, 0, 0, logits, &err), 0);
        logits[guess[0]] += bias.bias;
        softmax(logits, BINS, 4, p);
        const double right = distance(counts[k], n, p, BINS);
        softmax(logits, BINS, 3, p);
        const double wrong = distance(counts[k], n, p, BINS);
        printf("token %d: %d samples, %.2f deviations from the model's distribution, %.0f from that at 3\n",
               k, n, right, wrong);
        CHECK(n > 60);
        CHECK(fabs(right) < 5);
        CHECK(wrong > 10);
    }
    goss_engine_close(&e);
}

/* ---- pace ---------------------------------------------------------------------------------------------- */
/* A session of 2,000 tokens whose guesses are right with probability `right`, where r rows take `times[r]`
 * ms. Returns the time a token took against one row's, *guesses counts. */
static double paced(const double *times, double right, int *guesses)
{
    enum { ROOM = 1 << 20 };
    static const goss_model model;
    goss_pace p;
    goss_drafts d = { 0 };
    uint64_t random = 12345;
    double ms = 0;
    int n = 0;
    goss_pace_open(&p, &model, 512, 512, 1);
    p.n_deciding = 1;
    goss_pace_reset(&p, &d);
    for (*guesses = 0; n < 2000;) {
        const int drafted = goss_pace_length(&p, &d, ROOM - n, 0);
        int accepted = 0;
        CHECK(drafted >= 0 && drafted <= GOSS_DRAFT_MAX);
        for (; accepted < drafted; accepted++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            if ((double)(random >> 40) / (1 << 24) >= right) break;
        }
        goss_pace_time(&p, drafted + 1, times[drafted + 1]);
        if (drafted) goss_pace_result(&d, drafted, accepted);
        ms += times[drafted + 1];
        n += accepted + 1;
        *guesses += drafted;
    }
    return n * times[1] / ms;
}

static void pace(void)
{
    double flat[17], steep[17], wall[17];
    int n;
    for (int r = 1; r <= 16; r++) {
        flat[r] = 10 + 0.5 * r;
        steep[r] = 10 * (double)r;
        wall[r] = r <= 4 ? 10 + 2 * r : 100;       /* up to 4 rows are cheap */
    }
    CHECK(paced(flat, 1, &n) > 8);
    CHECK(paced(flat, 0.9, &n) > 3);
    CHECK(paced(flat, 0, &n) > 0.99);
    CHECK(paced(steep, 0.9, &n) > 0.97);
    CHECK(paced(steep, 0, &n) > 0.97);
    CHECK(paced(wall, 0, &n) > 0.97);
    CHECK(paced(wall, 0.95, &n) > 1.8);            /* 3 guesses: 3.7 tokens in 18 ms instead of 44 */
    for (double right = 0; right < 1.01; right += 0.1) CHECK(paced(wall, right, &n) > 0.96);
}

int main(void)
{
    goldens *all = read_goldens("tests/golden/demo-gptoss-draft.golden.json");
    predictions("ref", &all->g[0]);
    predictions("cpu", &all->g[0]);
    distribution(&all->g[0]);
    pace();
    free(all);
    return unit_done("speculate");
}
