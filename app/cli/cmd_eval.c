/* cmd_eval.c - gossamer eval MODEL FILE: perplexity of a text, over windows that overlap by half so that
 * every token but those of the first window is judged after at least half a window of context. */
#include "base/error.h"
#include "base/os.h"
#include "commands.h"
#include "model_cli.h"
#include "common/engine_options.h"
#include "progress.h"
#include "traced.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct eval {
    goss_engine *engine;
    goss_model_info info;
    int window, max_tokens, json;
    int32_t *ids;
    int n;
    double sum, squares;
    int n_judged;
} eval;

static int read_tokens(eval *e, const char *path, goss_error *err)
{
    goss_mapping m = { 0 };
    int rc = goss_os_map(&m, path, err);
    if (rc < 0) return rc;
    const int cap = m.size < 1u << 30 ? (int)m.size + 8 : 0;
    e->ids = cap ? malloc((size_t)cap * sizeof *e->ids) : NULL;
    rc = e->ids ? goss_tokenize(e->engine, m.data, (size_t)m.size, GOSS_TOKENIZE_BOS, e->ids, cap)
                : goss_fail(err, GOSS_ENOMEM, -1, "the text is too large");
    goss_os_unmap(&m);
    if (rc >= 0 && rc < 2)
        rc = goss_fail(err, GOSS_EINVAL, -1, "%.160s has %d tokens: at least 2 are needed", path, rc);
    if (rc < 0) return rc;
    e->n = e->max_tokens && rc > e->max_tokens ? e->max_tokens : rc;
    return 0;
}

/* -log p of the next token. */
static double nll(const float *logits, int n_vocab, int32_t next)
{
    float top = logits[0];
    double z = 0;
    for (int v = 1; v < n_vocab; v++)
        if (logits[v] > top) top = logits[v];
    for (int v = 0; v < n_vocab; v++) z += exp((double)(logits[v] - top));
    return log(z) + (double)top - (double)logits[next];
}

static int judge(eval *e, goss_error *err)
{
    const int n_vocab = e->info.n_vocab, half = e->window / 2;
    float *logits = malloc((size_t)e->window * (size_t)n_vocab * sizeof *logits);
    goss_progress bar;
    if (!logits)
        return goss_fail(err, GOSS_ENOMEM, -1,
                         "out of memory for the logits of %d tokens: try a smaller --seq-len", e->window);
    goss_progress_start(&bar, "judging", 0, (uint64_t)e->n);
    int rc = 0;
    for (int from = 0, judged = 1; rc == 0 && judged < e->n; from += half) {
        const int n = e->n - from < e->window ? e->n - from : e->window;
        rc = goss_eval(e->engine, e->ids + from, n, 0, 1, logits, err);
        for (; rc == 0 && judged < from + n; judged++) {
            const double v =
                nll(logits + (size_t)(judged - 1 - from) * (size_t)n_vocab, n_vocab, e->ids[judged]);
            e->sum += v;
            e->squares += v * v;
            e->n_judged++;
        }
        goss_progress_update(&bar, (uint64_t)judged);
    }
    goss_progress_end(&bar);
    free(logits);
    return rc;
}

static int run_eval(eval *e, const goss_engine_config *config, const char *path)
{
    goss_error err = { 0 };
    int rc = goss_cli_load(&e->engine, config, &err);
    if (rc == 0) {
        goss_engine_info(e->engine, &e->info);
        if (e->window > e->info.max_kv) e->window = e->info.max_kv;
        rc = read_tokens(e, path, &err);
    }
    const double t0 = goss_os_now_ms();
    if (rc == 0) rc = judge(e, &err);
    if (rc == 0) {
        const double mean = e->sum / e->n_judged,
                     spread = sqrt(fmax(0, e->squares / e->n_judged - mean * mean) / e->n_judged);
        const double ms = goss_os_now_ms() - t0;
        if (e->json)
            printf("{\"model\":\"%s\",\"backend\":\"%s\",\"tokens\":%d,\"nll\":%.6f,\"nll_error\":%.6f,"
                   "\"perplexity\":%.4f,\"ms\":%.0f}\n",
                   e->info.name, e->info.backend, e->n_judged, mean, spread, exp(mean), ms);
        else
            printf("%d tokens in windows of %d: nll %.4f +- %.4f, perplexity %.4f\n", e->n_judged, e->window,
                   mean, spread, exp(mean));
    }
    free(e->ids);
    goss_engine_close(&e->engine);
    return rc < 0 ? goss_cli_fail("eval", 1, &err) : 0;
}

int goss_cmd_eval(int argc, char **argv)
{
    eval e = { .window = 512 };
    goss_engine_options engine;
    const goss_option options[] = { { "--seq-len", GOSS_OPT_INT, &e.window, .arg = "N",
                                      .help = "tokens of a window (512)", .min = 4, .max = 1 << 20 },
                                    { "--max-tokens,-n", GOSS_OPT_INT, &e.max_tokens, .arg = "N",
                                      .help = "only the first N tokens of the file", .min = 2, .max = 1e9 },
                                    { "--json", GOSS_OPT_FLAG, &e.json, .help = "as JSON" },
                                    { 0 } };
    const char *args[2] = { NULL };
    goss_engine_options_init(&engine, GOSS_FOR_COMMANDS);
    const goss_usage usage = {
        "eval",
        "[MODEL] FILE",
        "Measures how well a model predicts a text: mean negative log likelihood and perplexity.",
        1,
        2,
        { options, engine.table }
    };
    const int n = goss_options_read(&usage, argc, argv, args);
    if (n < 0) return ~n;
    const int status = goss_cli_model(&engine, "eval", n > 1 ? args[0] : NULL);
    return status ? status : run_eval(&e, &engine.config, args[n - 1]);
}
