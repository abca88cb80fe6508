/* test_sample.c - the sampler: its integers against an independent slow version of the same definition, its
 * distribution against softmax in double, every filter's edges, and golden draws that any backend must
 * reproduce.
 */
#include "model/sample.h"
#include "unit.h"
#include <math.h>
#include <stdlib.h>

__extension__ typedef unsigned __int128 u128;
enum { N = 1000 };
static float logits[N];
static char scratch[N * 8];

static uint32_t rng_state = 1;
static uint32_t rng(void)
{
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 17;
    rng_state ^= rng_state << 5;
    return rng_state;
}
static float uniform(float lo, float hi) { return lo + (hi - lo) * (float)(rng() >> 8) / 16777216.0f; }

static goss_params defaults(void)
{
    return (goss_params){ .temperature = 1, .top_p = 1, .repeat_penalty = 1 };
}

static goss_pick pick(const goss_params *p, int n, const uint32_t *mask, const int32_t *tokens, int n_tokens)
{
    goss_sampler s;
    goss_pick out;
    CHECK_INT(goss_sampler_init(&s, p, NULL), 0);
    goss_sample(&s, logits, n, mask, tokens, n_tokens, scratch, &out);
    return out;
}

/* ---- the definition of sample.h once more, with sorting and long double where the text allows no doubt - */
static int compare_u32(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}
static uint32_t slow_weight(uint32_t d)
{
    return d >> 12 >= 32 ? 0 : goss_sample_exp2()[d & 4095] >> (d >> 12);
}

static int32_t slow_sample(const goss_sampler *s, int n, const uint32_t *mask, const int32_t *tokens,
                           int n_tokens)
{
    static int64_t x[N];
    static uint32_t d[N], sorted[N];
    static int keep[N];
    int64_t best = INT64_MIN;
    int32_t best_i = -1;
    int n_sorted = 0;
    for (int i = 0; i < n; i++) {
        int count = 0;
        for (int j = n_tokens - 1; j >= 0 && j >= n_tokens - s->last_n; j--) count += tokens[j] == i;
        float f = logits[i] * (!count ? s->scale : logits[i] > 0 ? s->scale_pos : s->scale_neg);
        if (f != f || f < -1073741824.0f) f = -1073741824.0f;
        if (f > 1073741824.0f) f = 1073741824.0f;
        x[i] = (int64_t)rintf(f);
        if (count) x[i] -= s->presence + (int64_t)count * s->frequency;
        for (int j = 0; j < s->n_bias; j++) if (s->bias_token[j] == i) x[i] += s->bias[j];
        if (x[i] > 1 << 30) x[i] = 1 << 30;
        if (x[i] < -(1 << 30)) x[i] = -(1 << 30);
        keep[i] = !mask || (mask[i / 32] >> (i % 32) & 1);
        if (keep[i] && x[i] > best) { best = x[i]; best_i = i; }
    }
    if (s->greedy || best_i < 0) return best_i;
    for (int i = 0; i < n; i++) if (keep[i]) sorted[n_sorted++] = d[i] = (uint32_t)(best - x[i]);
    qsort(sorted, (size_t)n_sorted, sizeof *sorted, compare_u32);
    if (s->top_k && s->top_k < (uint32_t)n_sorted)
        for (int i = 0; i < n; i++) keep[i] = keep[i] && d[i] <= sorted[s->top_k - 1];
    if (s->top_p14 < 16384) {
        u128 total = 0, sum = 0;
        for (int i = 0; i < n; i++) if (keep[i]) total += slow_weight(d[i]);
        const u128 need = (total * s->top_p14 + 16383) >> 14;
        uint32_t limit = 0;
        for (int i = 0; i < n_sorted && sum < need; i++) sum += slow_weight(limit = sorted[i]);
        for (int i = 0; i < n; i++) keep[i] = keep[i] && d[i] <= limit;
    }
    u128 total = 0, running = 0;
    for (int i = 0; i < n; i++) {
        keep[i] = keep[i] && d[i] <= s->min_p_d;
        if (keep[i]) total += slow_weight(d[i]);
    }
    const u128 target = (total * goss_sample_random(s->seed_lo, s->seed_hi, (uint32_t)n_tokens)) >> 32;
    for (int i = 0; i < n; i++) if (keep[i] && (running += slow_weight(d[i])) > target) return i;
    return -1;
}

/* As threads might: the parts of a phase in another order. */
static void sample_backwards(const goss_sampler *s, int n, const uint32_t *mask, const int32_t *tokens,
                             int n_tokens, goss_pick *out)
{
    static goss_sampling g;
    goss_sampling_begin(&g, s, logits, n, mask, tokens, n_tokens, scratch);
    for (int phase = 0; phase < GOSS_SAMPLE_PHASES; phase++) {
        for (int part = g.n_parts; part-- > 0;) goss_sampling_part(&g, phase, part);
        goss_sampling_join(&g, phase, out);
    }
}

static void test_against_slow(void)
{
    static uint32_t mask[(N + 31) / 32];
    static int32_t tokens[300];
    int wrong = 0;
    for (int round = 0; round < 4000; round++) {
        goss_params p = defaults();
        goss_logit_bias bias[4];
        const int n = 1 + (int)(rng() % N), n_tokens = (int)(rng() % 300);
        const float spread = (float[]){ 0, 0.1f, 3, 20, 400 }[rng() % 5];
        for (int i = 0; i < n; i++) logits[i] = uniform(-spread, spread);
        if (rng() % 4 == 0) for (int i = 0; i < n; i++) logits[i] = rintf(logits[i]); /* many equals */
        if (rng() % 8 == 0) logits[rng() % (uint32_t)n] = NAN;
        if (rng() % 8 == 0) logits[rng() % (uint32_t)n] = INFINITY;
        if (rng() % 8 == 0) logits[rng() % (uint32_t)n] = -INFINITY;
        p.temperature = (float[]){ 0, 0.01f, 0.7f, 1, 2, 100 }[rng() % 6];
        p.top_k = (int[]){ 0, 0, 1, 2, 40, 5000 }[rng() % 6];
        p.top_p = (float[]){ 1, 1, 0, 0.00001f, 0.5f, 0.95f, 0.99999f }[rng() % 7];
        p.min_p = (float[]){ 0, 0, 0.05f, 0.9f, 1 }[rng() % 5];
        p.repeat_penalty = (float[]){ 1, 1.1f, 0.5f, 100 }[rng() % 4];
        p.presence_penalty = (float[]){ 0, 2, -2 }[rng() % 3];
        p.frequency_penalty = (float[]){ 0, 2, -2, 10 }[rng() % 4];
        p.repeat_last_n = (int[]){ 0, -1, 1, 7 }[rng() % 4];
        p.seed = rng() * (uint64_t)rng();
        for (int i = 0; i < n_tokens; i++) tokens[i] = (int32_t)(rng() % (uint32_t)n);
        for (int i = 0; i < 4; i++)
            bias[i] = (goss_logit_bias){ (int32_t)(rng() % (uint32_t)(n + 1)), uniform(-200, 200) };
        p.bias = bias;
        p.n_bias = (int)(rng() % 5);
        for (int i = 0; i < (N + 31) / 32; i++) mask[i] = rng() & rng();
        const uint32_t *m = rng() % 3 ? NULL : mask;
        goss_sampler s;
        goss_pick out;
        if (goss_sampler_init(&s, &p, NULL) < 0) { wrong++; continue; }
        if (round & 1) sample_backwards(&s, n, m, tokens, n_tokens, &out);
        else goss_sample(&s, logits, n, m, tokens, n_tokens, scratch, &out);
        const int32_t want = slow_sample(&s, n, m, tokens, n_tokens);
        if (out.token != want && wrong++ < 3)
            printf("round %d: token %d, should be %d\n", round, out.token, want);
    }
    CHECK_INT(wrong, 0);
}

/* Chi-square of many draws against softmax in double: 19 degrees of freedom, 99.99 % below 50. */
static void test_distribution(void)
{
    const int n = 20, draws = 200000;
    for (int round = 0; round < 4; round++) {
        double p[20], sum = 0, chi = 0;
        int seen[20] = { 0 };
        goss_params params = defaults();
        params.temperature = (float[]){ 1, 0.5f, 2, 1.3f }[round];
        for (int i = 0; i < n; i++) {
            logits[i] = uniform(-2, 2);
            sum += p[i] = exp((double)logits[i] / (double)params.temperature);
        }
        goss_sampler s;
        params.seed = 42u + (uint64_t)round;
        CHECK_INT(goss_sampler_init(&s, &params, NULL), 0);
        for (int i = 0; i < draws; i++) {
            goss_pick out;
            /* no penalties: only the position counts */
            goss_sample(&s, logits, n, NULL, NULL, i, scratch, &out);
            seen[out.token]++;
        }
        for (int i = 0; i < n; i++) {
            const double want = draws * p[i] / sum;
            chi += (seen[i] - want) * (seen[i] - want) / want;
        }
        if (chi >= 50) printf("chi-square %f\n", chi);
        CHECK(chi < 50);
    }
}

static void test_random(void)
{
    /* The known answers of Philox4x32-10 for key 0 and all-ones; the counter is (position, 0, 0, 0) here. */
    CHECK_INT(goss_sample_random(0, 0, 0), 0x6627e8d5);
    for (int i = 0; i < 4096; i++) {
        const long double v = 2147483648.0L * exp2l(-i / 4096.0L);
        if (goss_sample_exp2()[i] != (uint32_t)floorl(v + 0.5L)) { CHECK_INT(i, -1); break; }
    }
}

static void test_filters(void)
{
    goss_params p = defaults();
    for (int i = 0; i < 10; i++) logits[i] = 0;
    logits[3] = logits[7] = 2;
    p.top_k = 1; /* equals of the k-th stay */
    int seen3 = 0, seen7 = 0, other = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        p.seed = seed;
        const int32_t t = pick(&p, 10, NULL, NULL, 0).token;
        seen3 += t == 3; seen7 += t == 7; other += t != 3 && t != 7;
    }
    CHECK(seen3 > 50 && seen7 > 50);
    CHECK_INT(other, 0);
    /* top-p: 0.5 of (0.4, 0.3, 0.3): the best alone has too little, and the equals of the second come with
     * it */
    logits[0] = logf(0.4f); logits[1] = logf(0.3f); logits[2] = logf(0.3f);
    p = defaults();
    p.top_p = 0.5f;
    int seen[3] = { 0 };
    for (uint64_t seed = 0; seed < 300; seed++) { p.seed = seed; seen[pick(&p, 3, NULL, NULL, 0).token]++; }
    CHECK(seen[0] > 60 && seen[1] > 40 && seen[2] > 40);
    p.top_p = 0.39f; /* the best alone is enough */
    for (uint64_t seed = 0; seed < 50; seed++) {
        p.seed = seed;
        if (pick(&p, 3, NULL, NULL, 0).token != 0) {
            CHECK(0);
            break;
        }
    }
    p.top_p = 1;
    p.min_p = 0.8f; /* 0.3 < 0.8 * 0.4 */
    for (uint64_t seed = 0; seed < 50; seed++) {
        p.seed = seed;
        if (pick(&p, 3, NULL, NULL, 0).token != 0) {
            CHECK(0);
            break;
        }
    }
    p.min_p = 0.74f; /* 0.3 > 0.74 * 0.4 */
    memset(seen, 0, sizeof seen);
    for (uint64_t seed = 0; seed < 300; seed++) { p.seed = seed; seen[pick(&p, 3, NULL, NULL, 0).token]++; }
    CHECK(seen[0] && seen[1] && seen[2]);
    /* greedy: the lowest id among equals; a mask; an empty mask */
    const uint32_t only2 = 4, none = 0;
    p = defaults();
    p.temperature = 0;
    logits[0] = 1; logits[1] = 5; logits[2] = 5;
    CHECK_INT(pick(&p, 3, NULL, NULL, 0).token, 1);
    CHECK_INT(pick(&p, 3, &only2, NULL, 0).token, 2);
    CHECK_INT(pick(&p, 3, &none, NULL, 0).token, -1);
    p.temperature = 1;
    CHECK_INT(pick(&p, 3, &none, NULL, 0).token, -1);
    CHECK_INT(pick(&p, 3, &only2, NULL, 0).token, 2);
}

static void test_penalties(void)
{
    const int32_t tokens[] = { 2, 2, 2, 1 };
    goss_params p = defaults();
    p.temperature = 0;
    logits[0] = 4; logits[1] = 5; logits[2] = 6;
    CHECK_INT(pick(&p, 3, NULL, tokens, 4).token, 2);
    p.frequency_penalty = 0.5f; /* 6 - 1.5, 5 - 0.5: 2 and 1 tie at 4.5 */
    CHECK_INT(pick(&p, 3, NULL, tokens, 4).token, 1);
    p.frequency_penalty = 0;
    p.repeat_penalty = 1.6f;    /* 3.75, 3.125, 4 */
    CHECK_INT(pick(&p, 3, NULL, tokens, 4).token, 0);
    p.repeat_last_n = 1;        /* only token 1 is in the window */
    CHECK_INT(pick(&p, 3, NULL, tokens, 4).token, 2);
    p = defaults();
    p.temperature = 0;
    p.presence_penalty = 2;
    p.repeat_last_n = 3;
    CHECK_INT(pick(&p, 3, NULL, tokens, 4).token, 0);
    logits[0] = -1; logits[1] = -2; logits[2] = -0.9f; /* below 0 the penalty multiplies */
    p = defaults();
    p.temperature = 0;
    p.repeat_penalty = 1.2f;
    CHECK_INT(pick(&p, 3, NULL, tokens, 4).token, 0);
    const goss_logit_bias bias[] = { { 1, 100 }, { 0, -100 }, { 77, 5 } };
    p.bias = bias;
    p.n_bias = 3;
    CHECK_INT(pick(&p, 3, NULL, tokens, 4).token, 1);
}

static void test_refusals(void)
{
    goss_sampler s;
    goss_error err;
    goss_params p = defaults();
    const goss_logit_bias bias = { 1, NAN };
#define REFUSED(field, value, word) do { p = defaults(); p.field = value; memset(&err, 0, sizeof err); \
        CHECK_INT(goss_sampler_init(&s, &p, &err), GOSS_EINVAL); CHECK(strstr(err.text, word)); } while (0)
    REFUSED(temperature, -0.1f, "temperature");
    REFUSED(temperature, NAN, "temperature");
    REFUSED(top_k, -1, "top_k");
    REFUSED(top_p, 1.01f, "top_p");
    REFUSED(min_p, -1, "min_p");
    REFUSED(repeat_penalty, 0, "repeat_penalty");
    REFUSED(n_probs, 21, "n_probs");
    REFUSED(n_bias, 301, "n_bias");
    p = defaults();
    p.bias = &bias;
    p.n_bias = 1;
    CHECK_INT(goss_sampler_init(&s, &p, &err), GOSS_EINVAL);
}

static void test_description(void)
{
    goss_params p = defaults();
    double sum = 0, entropy = 0;
    p.n_probs = 5;
    p.temperature = 0.3f;
    for (int i = 0; i < N; i++) logits[i] = uniform(-4, 4);
    logits[17] = logits[400] = 6;
    for (int i = 0; i < N; i++) sum += exp((double)logits[i]);
    for (int i = 0; i < N; i++) entropy -= exp((double)logits[i]) / sum * ((double)logits[i] - log(sum));
    const goss_pick out = pick(&p, N, NULL, NULL, 3);
    CHECK(fabs((double)out.entropy - entropy) < 1e-4);
    CHECK(fabs((double)out.logprob - ((double)logits[out.token] - log(sum))) < 1e-4);
    CHECK_INT(out.n_top, 5);
    CHECK_INT(out.top[0].token, 17);
    CHECK_INT(out.top[1].token, 400);
    CHECK(fabs((double)out.top[0].logprob - (6 - log(sum))) < 1e-4);
    for (int i = 1; i < 5; i++) CHECK(out.top[i].logprob <= out.top[i - 1].logprob);
    for (int i = 0; i < N; i++)
        if (logits[i] > logits[out.top[4].token]) {
            int there = 0;
            for (int j = 0; j < 4; j++) there |= out.top[j].token == i;
            CHECK(there);
        }
    p.n_probs = 20;
    CHECK_INT(pick(&p, 7, NULL, NULL, 3).n_top, 7);
}

/* Draws over logits that are a formula of the id: other backends and other machines must give the same. */
static void test_golden_draws(void)
{
    static const int32_t want[16] = { 719, 20,  20,  165, 99,  653, 132, 508,
                                      198, 442, 297, 963, 330, 554, 165, 653 };
    goss_params p = defaults();
    int same = 1;
    p.temperature = 0.8f;
    p.top_k = 50;
    p.top_p = 0.9f;
    p.min_p = 0.02f;
    p.seed = 0x123456789abcdefULL;
    for (int i = 0; i < N; i++) logits[i] = (float)((i * 7919) % 1009) / 128.0f;
    for (int i = 0; i < 16; i++) {
        const int32_t t = pick(&p, N, NULL, NULL, i * 37).token;
        if (t != want[i]) { printf("draw %d is %d\n", i, t); same = 0; }
    }
    CHECK(same);
}

int main(void)
{
    test_random();
    test_against_slow();
    test_distribution();
    test_filters();
    test_penalties();
    test_refusals();
    test_description();
    test_golden_draws();
    return unit_done("sample");
}
