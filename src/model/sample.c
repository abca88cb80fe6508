/* sample.c - the sampler of sample.h, for backends that sample on the host.
 *
 * Thresholds (top-k, top-p) are found without sorting: what matters lies in d < 2^17 (beyond it the weight is
 * 0), so two histograms, of the high 8 and then of the low 9 bits of d, give the exact value in two passes
 * over the candidates.
 *
 * All that touches every token is done in parts whose bounds depend on the vocabulary alone, so that a
 * backend may give them to several threads: the draw is exact in integers, and sums of floats are those of
 * the parts, in order. */
#include "sample.h"
#include "base/error.h"
#include <math.h>
#include <string.h>

enum { PART_TOKENS = 256, ONE_BITS = 12, D_END = 32 << ONE_BITS, LOW_BITS = 9,
       N_LOW = 1 << LOW_BITS, N_HIGH = D_END >> LOW_BITS };
#define X_MAX (1 << 30)
/* of a bias or a presence penalty; with count * frequency <= 2^29 no sum leaves int32 */
#define SHIFT_MAX (1 << 28)
#define FREQUENCY_MAX (1 << 17)
#define LOG2_E 1.4426950408889634

/* ---- parameters to integers ---- */
static int32_t to_units(double v, double scale, int32_t limit)
{
    const double u = rint(v * scale);
    return u > limit ? limit : u < -limit ? -limit : (int32_t)u;
}

static int check_params(const goss_params *p, goss_error *err)
{
    const struct { const char *name; double value, lo, hi; } ranges[] = {
        { "temperature", (double)p->temperature, 0, 100 },
        { "top_k", p->top_k, 0, INT32_MAX },
        { "top_p", (double)p->top_p, 0, 1 },
        { "min_p", (double)p->min_p, 0, 1 },
        { "repeat_penalty", (double)p->repeat_penalty, 0.01, 100 },
        { "presence_penalty", (double)p->presence_penalty, -10, 10 },
        { "frequency_penalty", (double)p->frequency_penalty, -10, 10 },
        { "repeat_last_n", p->repeat_last_n, -1, INT32_MAX },
        { "n_probs", p->n_probs, 0, GOSS_TOP_MAX },
        { "n_bias", p->n_bias, 0, GOSS_BIAS_MAX },
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (!(ranges[i].value >= ranges[i].lo && ranges[i].value <= ranges[i].hi))
            return goss_fail(err, GOSS_EINVAL, -1, "%s is %g, should be %g to %g", ranges[i].name,
                             ranges[i].value, ranges[i].lo, ranges[i].hi);
    return 0;
}

/* Equal tokens are merged into one entry, so that the sum is clamped before it meets int32. */
static int set_bias(goss_sampler *s, const goss_params *p, double scale, goss_error *err)
{
    for (int i = 0; i < p->n_bias; i++) {
        const float bias = p->bias[i].bias;
        int j = 0;
        if (isnan(bias))
            return goss_fail(err, GOSS_EINVAL, -1, "the bias of token %d is not a number", p->bias[i].token);
        while (j < s->n_bias && s->bias_token[j] != p->bias[i].token) j++;
        if (j == s->n_bias) s->bias_token[s->n_bias++] = p->bias[i].token;
        const int64_t sum = (int64_t)s->bias[j] + to_units((double)bias, scale, SHIFT_MAX);
        s->bias[j] = sum > SHIFT_MAX ? SHIFT_MAX : sum < -SHIFT_MAX ? -SHIFT_MAX : (int32_t)sum;
    }
    return 0;
}

int goss_sampler_init(goss_sampler *s, const goss_params *p, goss_error *err)
{
    memset(s, 0, sizeof *s);
    int rc = check_params(p, err);
    if (rc < 0) return rc;
    s->greedy = p->temperature < GOSS_SAMPLE_GREEDY_BELOW;
    const double scale = s->greedy ? 65536 : LOG2_E / (double)p->temperature * (1 << GOSS_SAMPLE_BITS);
    s->scale = (float)scale;
    s->scale_pos = (float)(scale / (double)p->repeat_penalty);
    s->scale_neg = (float)(scale * (double)p->repeat_penalty);
    /* A logit of 1 is 2^16 units when greedy, scale units else: penalties and biases are added to the
     * logits. */
    s->presence = to_units((double)p->presence_penalty, scale, SHIFT_MAX);
    s->frequency = to_units((double)p->frequency_penalty, scale, FREQUENCY_MAX);
    if (p->repeat_penalty != 1.0f || s->presence || s->frequency) {
        s->last_n = p->repeat_last_n == 0 ? 64 : p->repeat_last_n;
        if (s->last_n < 0 || s->last_n > GOSS_PENALTY_MAX) s->last_n = GOSS_PENALTY_MAX;
    }
    s->n_probs = p->n_probs;
    s->top_k = (uint32_t)p->top_k;
    s->top_p14 = (uint32_t)rint((double)p->top_p * (double)GOSS_SAMPLE_ALL_P14);
    s->min_p_d = UINT32_MAX;
    if (p->min_p > 0) s->min_p_d = (uint32_t)floor(-log2((double)p->min_p) * (1 << GOSS_SAMPLE_BITS));
    s->seed_lo = (uint32_t)p->seed;
    s->seed_hi = (uint32_t)(p->seed >> 32);
    return set_bias(s, p, scale, err);
}

/* ---- random numbers: Philox4x32-10, the first word of the block ---- */
uint32_t goss_sample_random(uint32_t seed_lo, uint32_t seed_hi, uint32_t position)
{
    uint32_t c0 = position, c1 = 0, c2 = 0, c3 = 0, k0 = seed_lo, k1 = seed_hi;
    for (int round = 0; round < 10; round++) {
        const uint64_t a = (uint64_t)0xD2511F53u * c0, b = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)b;
        c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)a;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return c0;
}

/* ---- logits to fixed point ---- */
static int32_t to_fixed(float logit, float scale)
{
    const float f = logit * scale;
    if (f >= (float)X_MAX) return X_MAX;
    if (f > -(float)X_MAX) return (int32_t)lrintf(f);
    return -X_MAX; /* NaN too */
}

static int32_t clamp(int32_t x)
{
    return x > X_MAX ? X_MAX : x < -X_MAX ? -X_MAX : x;
}

/* Tokens in the window or with a bias differ from l * scale. count: scratch of n values. */
static void penalties(const goss_sampler *s, const float *logits, int n, const int32_t *tokens, int n_tokens,
                      int32_t *x, uint32_t *count)
{
    const int from = s->last_n < n_tokens ? n_tokens - s->last_n : 0;
    const int to = s->last_n ? n_tokens : from;
    for (int i = from; i < to; i++) if ((uint32_t)tokens[i] < (uint32_t)n) count[tokens[i]] = 0;
    for (int i = from; i < to; i++) if ((uint32_t)tokens[i] < (uint32_t)n) count[tokens[i]]++;
    for (int i = from; i < to; i++) {
        const uint32_t t = (uint32_t)tokens[i];
        if (t >= (uint32_t)n || !count[t]) continue;
        x[t] = to_fixed(logits[t], logits[t] > 0 ? s->scale_pos : s->scale_neg);
        x[t] -= s->presence + (int32_t)count[t] * s->frequency;
        count[t] = 0;
    }
    for (int i = 0; i < s->n_bias; i++)
        if ((uint32_t)s->bias_token[i] < (uint32_t)n) x[s->bias_token[i]] += s->bias[i];
    for (int i = from; i < to; i++) if ((uint32_t)tokens[i] < (uint32_t)n) x[tokens[i]] = clamp(x[tokens[i]]);
    for (int i = 0; i < s->n_bias; i++)
        if ((uint32_t)s->bias_token[i] < (uint32_t)n) x[s->bias_token[i]] = clamp(x[s->bias_token[i]]);
}

static int allowed(const uint32_t *mask, int i)
{
    return !mask || (mask[i >> 5] >> (i & 31) & 1);
}

/* ---- thresholds ---- */
static uint32_t weight(uint32_t d)
{
    return d >= D_END ? 0 : goss_sample_exp2()[d & ((1 << ONE_BITS) - 1)] >> (d >> ONE_BITS);
}

/* The smallest D with (number, or sum of weights, of candidates with d <= D) >= target; `limit` when there is
 * none. All d <= limit. */
static uint32_t threshold(const uint32_t *d, int n, int by_weight, uint64_t target, uint32_t limit)
{
    uint64_t bins[N_LOW] = { 0 };
    uint64_t below = 0;
    uint32_t high = 0, low = 0;
    if (target == 0) return 0;
    for (int i = 0; i < n; i++) bins[d[i] >> LOW_BITS] += by_weight ? weight(d[i]) : 1;
    while (high < N_HIGH && below + bins[high] < target) below += bins[high++];
    if (high == N_HIGH) return limit;
    memset(bins, 0, sizeof bins);
    for (int i = 0; i < n; i++)
        if (d[i] >> LOW_BITS == high) bins[d[i] & (N_LOW - 1)] += by_weight ? weight(d[i]) : 1;
    while (below + bins[low] < target) below += bins[low++];
    return high << LOW_BITS | low;
}

/* Keeps candidates with d <= limit, in order. */
static int narrow(uint32_t *d, int n, uint32_t limit)
{
    int kept = 0;
    for (int i = 0; i < n; i++) if (d[i] <= limit) d[kept++] = d[i];
    return kept;
}

static uint64_t total_weight(const uint32_t *d, int n)
{
    uint64_t sum = 0;
    for (int i = 0; i < n; i++) sum += weight(d[i]);
    return sum;
}

/* The largest d that survives top-k, top-p and min-p. cand: room for n values. */
static uint32_t keep_limit(const goss_sampler *s, const int32_t *x, int n, const uint32_t *mask, int32_t best,
                           uint32_t *cand)
{
    uint32_t limit = D_END - 1; /* beyond it weights are 0: keeping such a token or not changes nothing */
    int n_cand = 0;
    if (!goss_sampler_cuts(s)) return s->min_p_d < limit ? s->min_p_d : limit;
    for (int i = 0; i < n; i++) {
        const uint32_t d = (uint32_t)best - (uint32_t)x[i];
        if (allowed(mask, i) && d < D_END) cand[n_cand++] = d;
    }
    if (s->top_k) {
        limit = threshold(cand, n_cand, 0, s->top_k, limit);
        n_cand = narrow(cand, n_cand, limit);
    }
    if (s->top_p14 < GOSS_SAMPLE_ALL_P14)
        limit = threshold(cand, n_cand, 1, (total_weight(cand, n_cand) * s->top_p14 + 16383) >> 14, limit);
    return s->min_p_d < limit ? s->min_p_d : limit;
}

/* ---- in parts: what is done to every token, and what joins the parts ----------------------------------- */
static int part_start(const goss_sampling *g, int part)
{
    return (int)((int64_t)g->n_vocab * part / g->n_parts);
}

static void part_fixed(goss_sampling *g, goss_sample_part *p, int from, int to)
{
    const float scale = g->s->scale;
    float top = -INFINITY;
    for (int i = from; i < to; i++) {
        g->x[i] = to_fixed(g->logits[i], scale);
        if (g->logits[i] > top) top = g->logits[i];
    }
    p->top = top;
}

/* The n_probs best logits, best first and then by id, of those offered so far. */
static void offer(goss_prob *best, int *n, int most, int32_t token, float logit)
{
    int at = *n;
    if (logit != logit || (at == most && !(logit > best[at - 1].logprob))) return;
    if (at == most) at--;
    else (*n)++;
    for (; at > 0 && logit > best[at - 1].logprob; at--) best[at] = best[at - 1];
    best[at] = (goss_prob){ token, logit };
}

/* The best token, and what telemetry shows: the model's own distribution. */
static void part_best(goss_sampling *g, goss_sample_part *p, int from, int to)
{
    const float *logits = g->logits;
    p->token = -1;
    p->best = 0;
    p->sum = p->weighted = 0;
    p->n_probs = 0;
    for (int i = from; i < to; i++)
        if ((p->token < 0 || g->x[i] > p->best) && allowed(g->mask, i)) { p->best = g->x[i]; p->token = i; }
    for (int i = from; i < to; i++) {
        const float l = logits[i] - g->top, e = expf(l);
        if (!(e > 0)) continue; /* NaN and what is too small to count */
        p->sum += (double)e;
        p->weighted += (double)e * (double)l;
    }
    const int most = g->s->n_probs;
    for (int i = from; i < to && most && p->top >= g->floor; i++)
        if (logits[i] >= g->floor) offer(p->probs, &p->n_probs, most, i, logits[i]);
}

static void part_total(goss_sampling *g, goss_sample_part *p, int from, int to)
{
    p->total = 0;
    for (int i = from; i < to; i++) {
        const uint32_t d = (uint32_t)g->best - (uint32_t)g->x[i];
        if (d <= g->limit && allowed(g->mask, i)) p->total += weight(d);
    }
}

void goss_sampling_part(goss_sampling *g, int phase, int part)
{
    const int from = part_start(g, part), to = part_start(g, part + 1);
    goss_sample_part *p = &g->part[part];
    if (phase == 0) part_fixed(g, p, from, to);
    else if (phase == 1) part_best(g, p, from, to);
    else if (!g->s->greedy && g->token >= 0) part_total(g, p, from, to);
}

/* What the n_probs best logits are not below: as many parts have a logit of at least that much. */
static float floor_of(const goss_sampling *g)
{
    goss_prob best[GOSS_TOP_MAX];
    const int most = g->s->n_probs;
    int n = 0;
    for (int i = 0; i < g->n_parts && most; i++) offer(best, &n, most, i, g->part[i].top);
    return most && n == most ? best[n - 1].logprob : -INFINITY;
}

static void join_best(goss_sampling *g)
{
    g->token = -1;
    for (int i = 0; i < g->n_parts; i++)
        if (g->part[i].token >= 0 && (g->token < 0 || g->part[i].best > g->best)) {
            g->best = g->part[i].best;
            g->token = g->part[i].token;
        }
    if (!g->s->greedy && g->token >= 0)
        g->limit = keep_limit(g->s, g->x, g->n_vocab, g->mask, g->best, g->second);
}

static int32_t draw(const goss_sampling *g)
{
    uint64_t total = 0, running = 0;
    const uint32_t r = goss_sample_random(g->s->seed_lo, g->s->seed_hi, (uint32_t)g->n_tokens);
    int part = 0;
    for (int i = 0; i < g->n_parts; i++) total += g->part[i].total;
    /* (total * r) >> 32, exactly */
    const uint64_t target = (total >> 32) * r + (((total & 0xFFFFFFFFu) * r) >> 32);
    while (part < g->n_parts && running + g->part[part].total <= target) running += g->part[part++].total;
    if (part == g->n_parts) return -1;
    for (int i = part_start(g, part);; i++) {
        const uint32_t d = (uint32_t)g->best - (uint32_t)g->x[i];
        if (d > g->limit || !allowed(g->mask, i)) continue;
        running += weight(d);
        if (running > target) return i;
    }
}

static void describe(const goss_sampling *g, goss_pick *out)
{
    double sum = 0, weighted = 0;
    out->n_top = 0;
    for (int i = 0; i < g->n_parts; i++) {
        const goss_sample_part *p = &g->part[i];
        sum += p->sum;
        weighted += p->weighted;
        for (int k = 0; k < p->n_probs; k++)
            offer(out->top, &out->n_top, g->s->n_probs, p->probs[k].token, p->probs[k].logprob);
    }
    const double log_sum = sum > 0 ? log(sum) : 0;
    out->entropy = sum > 0 ? (float)(log_sum - weighted / sum) : 0;
    out->logprob = out->token < 0 ? 0 : (float)((double)(g->logits[out->token] - g->top) - log_sum);
    for (int i = 0; i < out->n_top; i++)
        out->top[i].logprob = (float)((double)(out->top[i].logprob - g->top) - log_sum);
}

void goss_sampling_join(goss_sampling *g, int phase, goss_pick *out)
{
    if (phase == 0) {
        g->top = -INFINITY;
        for (int i = 0; i < g->n_parts; i++) if (g->part[i].top > g->top) g->top = g->part[i].top;
        g->floor = floor_of(g);
        penalties(g->s, g->logits, g->n_vocab, g->tokens, g->n_tokens, g->x, g->second);
    } else if (phase == 1) join_best(g);
    else {
        out->token = g->s->greedy || g->token < 0 ? g->token : draw(g);
        describe(g, out);
    }
}

void goss_sampling_begin(goss_sampling *g, const goss_sampler *s, const float *logits, int n_vocab,
                         const uint32_t *mask, const int32_t *tokens, int n_tokens, void *scratch)
{
    const int parts = n_vocab / PART_TOKENS;
    *g = (goss_sampling){ .s = s, .logits = logits, .n_vocab = n_vocab, .mask = mask, .tokens = tokens,
                          .n_tokens = n_tokens, .x = scratch, .second = (uint32_t *)scratch + n_vocab,
                          .n_parts = parts < 1 ? 1 : parts > GOSS_SAMPLE_PARTS ? GOSS_SAMPLE_PARTS : parts };
}

void goss_sample(const goss_sampler *s, const float *logits, int n_vocab, const uint32_t *mask,
                 const int32_t *tokens, int n_tokens, void *scratch, goss_pick *out)
{
    goss_sampling g;
    goss_sampling_begin(&g, s, logits, n_vocab, mask, tokens, n_tokens, scratch);
    for (int phase = 0; phase < GOSS_SAMPLE_PHASES; phase++) {
        for (int part = 0; part < g.n_parts; part++) goss_sampling_part(&g, phase, part);
        goss_sampling_join(&g, phase, out);
    }
}
