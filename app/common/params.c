/* params.c - see params.h. The sampler has limits of its own (src/model/sample.c), which are wider: a
 * program that links the library may ask for more than a request may. */
#include "params.h"
#include "base/fmt.h"
#include <math.h>
#include <string.h>

#define AT(field) .at = offsetof(goss_params, field)
#define ALL (GOSS_FOR_COMMANDS | GOSS_FOR_SERVER | GOSS_FOR_BROWSER)

/* The server reads max_tokens and top_logprobs by itself: each protocol names them otherwise. */
const goss_option goss_param_rows[GOSS_PARAM_ROWS] = {
    { .kind = GOSS_OPT_INT, AT(max_tokens), .takers = GOSS_FOR_COMMANDS | GOSS_FOR_BROWSER,
      .key = "max_tokens,max_completion_tokens", .max = GOSS_PARAM_TOKENS,
      GOSS_PROGRAM("--max-tokens,-n", "N", "GPT_OSS_GGUF_MAX_TOKENS",
                   "most tokens to generate (the context)") },
    { .kind = GOSS_OPT_INT, AT(reasoning_budget), .takers = ALL,
      .key = "reasoning_budget_tokens,reasoning_budget,thinking_token_budget", .min = -1,
      .max = GOSS_PARAM_TOKENS,
      GOSS_PROGRAM("--reasoning-budget", "N", NULL,
                   "most tokens of reasoning, 0: none, -1: any number (-1)") },
    { .kind = GOSS_OPT_FLOAT, AT(temperature), .takers = ALL, .key = "temperature", .max = 2,
      GOSS_PROGRAM("--temp,--temperature", "T", NULL, "temperature, 0: the best token (1)") },
    { .kind = GOSS_OPT_INT, AT(top_k), .takers = ALL, .key = "top_k", .max = 1 << 24,
      GOSS_PROGRAM("--top-k", "N", NULL, "only the N best tokens (0: all)") },
    { .kind = GOSS_OPT_FLOAT, AT(top_p), .takers = ALL, .key = "top_p", .max = 1,
      GOSS_PROGRAM("--top-p", "P", NULL, "only the best tokens of together P (1)") },
    { .kind = GOSS_OPT_FLOAT, AT(min_p), .takers = ALL, .key = "min_p", .max = 1,
      GOSS_PROGRAM("--min-p", "P", NULL, "only tokens at least P times as likely as the best (0)") },
    { .kind = GOSS_OPT_FLOAT, AT(repeat_penalty), .takers = ALL, .key = "repetition_penalty,repeat_penalty",
      .min = 0.01, .max = 10,
      GOSS_PROGRAM("--repeat-penalty", "X", NULL, "divide the logits of recent tokens (1)") },
    { .kind = GOSS_OPT_INT, AT(repeat_last_n), .takers = ALL, .key = "repeat_last_n", .min = -1,
      .max = 1 << 20,
      GOSS_PROGRAM("--repeat-last-n", "N", NULL, "how far penalties look back, -1: all (64)") },
    { .kind = GOSS_OPT_FLOAT, AT(presence_penalty), .takers = ALL, .key = "presence_penalty", .min = -2,
      .max = 2,
      GOSS_PROGRAM("--presence-penalty", "X", NULL, "lower tokens that were there (0)") },
    { .kind = GOSS_OPT_FLOAT, AT(frequency_penalty), .takers = ALL, .key = "frequency_penalty", .min = -2,
      .max = 2,
      GOSS_PROGRAM("--frequency-penalty", "X", NULL, "lower tokens by how often they were there (0)") },
    { .kind = GOSS_OPT_U64, AT(seed), .takers = ALL, .key = "seed",
      GOSS_PROGRAM("--seed", "N", NULL, "of the random numbers (0)") },
    { .kind = GOSS_OPT_FLAG, AT(ignore_stop), .takers = GOSS_FOR_COMMANDS | GOSS_FOR_BROWSER,
      .key = "ignore_stop",
      GOSS_PROGRAM("--ignore-stop", NULL, NULL, "stop tokens don't end the generation") },
    { .kind = GOSS_OPT_INT, AT(n_probs), .takers = GOSS_FOR_BROWSER, .key = "top_logprobs",
      .max = GOSS_PARAM_TOP },
    { .kind = GOSS_OPT_FLAG, AT(draft), .takers = GOSS_FOR_BROWSER, .key = "draft" },
};

/* The token that a member's name is, -1: none. */
static int32_t token_named(const goss_json *j, int key)
{
    const goss_json_node *name = &j->nodes[key];
    const size_t n = name->end - name->start;
    double v;
    const int read = n && goss_read_double(j->text + name->start, n, &v) == n;
    return read && v >= 0 && v <= 1e9 && v == floor(v) ? (int32_t)v : -1;
}

static int read_bias(goss_reading *r, int o, goss_params *p)
{
    const char *name = "logit_bias";
    const int node = goss_reading_member(r, o, name);
    if (node < 0) return 0;
    if (goss_json_kind(r->j, node) != GOSS_JSON_OBJECT)
        return goss_reading_refuse(r, node, name, "must be an object of token ids");
    const uint32_t n = r->j->nodes[node].n;
    if (n > GOSS_PARAM_BIASES) return goss_reading_refuse(r, node, name, "may name 300 tokens at most");
    goss_logit_bias *bias = goss_owned_take(r->owned, (n + 1) * sizeof *bias);
    int k = 0;
    if (!bias) return goss_reading_refuse(r, node, name, "");
    for (int key = goss_json_first(r->j, node), value; key >= 0; key = goss_json_next(r->j, value)) {
        value = goss_json_next(r->j, key);
        const double weight = goss_json_number(r->j, value, NAN);
        const int32_t token = token_named(r->j, key);
        if (token < 0) return goss_reading_refuse(r, key, name, "names a token that is not an id");
        if (!(weight >= -100 && weight <= 100))
            return goss_reading_refuse(r, value, name, "must be numbers from -100 to 100");
        bias[k++] = (goss_logit_bias){ token, (float)weight };
    }
    p->bias = bias;
    p->n_bias = k;
    return 0;
}

int goss_params_read(goss_reading *r, int o, goss_params *p, unsigned taker)
{
    int sample = 1;
    if (goss_reading_rows(r, o, goss_param_rows, GOSS_PARAM_ROWS, p, taker) || read_bias(r, o, p) ||
        goss_reading_flag(r, o, "sample", &sample) < 0)
        return -1;
    if (!sample) p->temperature = 0;
    goss_params_settle(p);
    return 0;
}

int goss_params_read_stops(goss_reading *r, int o, const char *key, int most, goss_params *p)
{
    const int node = goss_reading_member(r, o, key), list = goss_json_kind(r->j, node) == GOSS_JSON_ARRAY;
    if (node < 0) return 0;
    const uint32_t n = list ? r->j->nodes[node].n : 1;
    if (n > (uint32_t)most)
        return goss_reading_refuse(r, node, key, "names too many stop strings (--max-stops)");
    const char **stops = goss_owned_take(r->owned, (n + 1) * sizeof *stops);
    int k = 0;
    if (!stops) return goss_reading_refuse(r, node, key, "");
    for (int s = list ? goss_json_first(r->j, node) : node; s >= 0; s = list ? goss_json_next(r->j, s) : -1) {
        if (goss_reading_text(r, s, key, &stops[k], NULL) < 0) return -1;
        if (strlen(stops[k]) > GOSS_PARAM_STOP_BYTES)
            return goss_reading_refuse(r, s, key, "is longer than 256 bytes");
        k += stops[k][0] != 0;
    }
    p->stop = stops;
    p->n_stop = k;
    return 0;
}

void goss_params_settle(goss_params *p)
{
    if (p->top_p <= 0) p->top_p = 1e-6f;
}
