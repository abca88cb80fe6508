/* cmd_probe.c - gossamer probe PART [MODEL]: one part of a model alone: tokenizer, embed, lm-head, layer,
 * attention, router or lens. Each prints what it saw and ends with PASS or FAIL; the exit status says the
 * same. */
#include "commands.h"
#include "model_cli.h"
#include "common/engine_options.h"
#include "traced.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct probe {
    goss_engine *engine;
    goss_model_info info;
    goss_error err;
    const char *text, *tokens;
    int layer, head, seq_len, show_top, show_experts;
    int32_t *ids; int n;
} probe;

static int verdict(int ok)
{
    printf("%s\n", ok ? "PASS" : "FAIL");
    return ok;
}

/* The bytes of a token, made fit for one line. */
static void show_token(const probe *p, int32_t id)
{
    char s[64];
    const int n = goss_detokenize(p->engine, &id, 1, s, sizeof s);
    putchar('"');
    for (int i = 0; i < n && i < (int)sizeof s; i++) {
        const unsigned char c = (unsigned char)s[i];
        if (c == '\n') printf("\\n");
        else if (c < 32 || c == 127) printf("\\x%02x", c);
        else putchar(c);
    }
    putchar('"');
}

/* ---- tokenizer: text to tokens and back ---- */
static int probe_tokenizer(probe *p)
{
    const size_t n_text = strlen(p->text);
    int32_t *ids = calloc(n_text + 8, sizeof *ids);
    char *back = calloc(1, n_text + 16);
    int ok = ids && back;
    if (ok) {
        const int n = goss_tokenize(p->engine, p->text, n_text, 0, ids, (int)n_text + 8);
        printf("%d tokens:", n);
        for (int i = 0; i < n; i++) printf(" %d", ids[i]);
        printf("\n");
        for (int i = 0; i < n; i++) {
            show_token(p, ids[i]);
            printf(i == n - 1 ? "\n" : " ");
        }
        const int n_back = n < 0 ? -1 : goss_detokenize(p->engine, ids, n, back, (int)n_text + 16);
        ok = n_back == (int)n_text && !memcmp(back, p->text, n_text);
        printf("round trip: %s\n", ok ? "identical" : "DIFFERENT");
        if (!ok) printf("got back: %s\n", back);
    }
    free(ids);
    free(back);
    return verdict(ok);
}

/* ---- embed: a row for each token ---- */
static int probe_embed(probe *p)
{
    goss_traces t;
    int ok = goss_cli_trace(p->engine, p->ids, p->n, 0, 0, &t, &p->err) == 0;
    const goss_traced *e = ok ? goss_traces_find(&t, "embed", -1) : NULL;
    if (ok && e) {
        long long bad = 0;
        printf("shape: %d x %d\n", e->n_rows, e->width);
        for (int i = 0; i < e->n_rows; i++) {
            const float *row = e->values + (size_t)i * (size_t)e->width;
            const goss_summary s = goss_summarize(row, (size_t)e->width);
            printf("token %6d ", p->ids[i]);
            show_token(p, p->ids[i]);
            printf("  rms %.5f  first %.5f %.5f %.5f\n", s.rms, (double)row[0], (double)row[1],
                   (double)row[2]);
            bad += s.n_bad + (s.rms == 0);
        }
        ok = bad == 0 && e->n_rows == p->n && e->width == p->info.n_embd;
        goss_traces_free(&t);
        return verdict(ok);
    }
    goss_traces_free(&t);
    return 0;
}

/* ---- lm-head: the best tokens; with --layers 0 of the embedding alone ---- */
static int probe_lm_head(probe *p)
{
    const int n_vocab = p->info.n_vocab;
    float *logits = malloc((size_t)n_vocab * sizeof *logits);
    if (!logits || goss_eval(p->engine, p->ids, p->n, 0, 0, logits, &p->err) < 0) {
        free(logits);
        return 0;
    }
    const goss_summary s = goss_summarize(logits, (size_t)n_vocab);
    double sum = 0;
    float last = INFINITY;
    int last_id = -1;
    for (int v = 0; v < n_vocab; v++) sum += exp((double)logits[v] - s.max_abs);
    printf("logits: %d  rms %.4f  NaN or infinite: %lld\n", n_vocab, s.rms, s.n_bad);
    for (int k = 0; k < p->show_top && k < n_vocab; k++) {
        int best = -1;
        for (int v = 0; v < n_vocab; v++) {
            const int left = logits[v] < last || (logits[v] == last && v > last_id); /* not shown yet */
            if (left && (best < 0 || logits[v] > logits[best])) best = v;
        }
        if (best < 0) break;
        printf("%2d. token %6d  logit %9.4f  p %.6f  ", k + 1, best, (double)logits[best],
               exp((double)logits[best] - s.max_abs) / sum);
        show_token(p, best);
        printf("\n");
        last = logits[best];
        last_id = best;
    }
    free(logits);
    return verdict(s.n_bad == 0 && s.rms > 0);
}

/* ---- layer: sizes of what every stage puts out ---- */
static int probe_layer(probe *p)
{
    goss_traces t;
    int ok = goss_cli_trace(p->engine, p->ids, p->n, 0, p->layer, &t, &p->err) == 0;
    long long bad = 0;
    int seen = 0;
    for (int i = 0; ok && i < t.n; i++) {
        const goss_traced *s = &t.list[i];
        const goss_summary sum = goss_summarize(s->values, (size_t)s->n_rows * (size_t)s->width);
        if (s->layer < 0) printf("          ");
        else printf("layer %3d ", s->layer);
        printf("%-9s %4d x %-6d rms %11.5f  max %11.5f  NaN or infinite %lld\n", s->stage, s->n_rows,
               s->width, sum.rms, sum.max_abs, sum.n_bad);
        bad += sum.n_bad;
        seen += s->layer >= 0;
    }
    goss_traces_free(&t);
    return ok ? verdict(bad == 0 && seen > 0) : 0;
}

/* ---- attention: the cache grows with the prompt, and what it holds is used again ---- */
static int prefill(probe *p, goss_session *s, int n, goss_event *done)
{
    goss_params params = goss_params_default();
    params.max_tokens = -1;
    if (goss_session_prompt(s, p->ids, n, &params, &p->err) < 0) return -1;
    for (;;) {
        goss_event ev;
        while (goss_session_event(s, &ev)) {
            if (ev.kind == GOSS_EVENT_PREFILL) done->n_reused = ev.n_reused;
            if (ev.kind != GOSS_EVENT_DONE) continue;
            p->err = ev.error;
            return ev.stop == GOSS_STOP_ERROR ? -1 : 0;
        }
        if (goss_engine_poll(p->engine, 100, &p->err) < 0) return -1;
    }
}

/* The positions that the last token looks at most. */
static int show_looks(probe *p)
{
    enum { SHOWN = 16 };
    const int layer = p->layer < 0 ? 0 : p->layer;
    float *w = calloc((size_t)p->n, sizeof *w);
    double sum = 0;
    int ok = w && goss_attention(p->engine, p->ids, p->n, layer, p->head, w, &p->err) == 0;
    for (int i = 0; ok && i < p->n; i++) sum += (double)w[i];
    if (ok && p->head < 0) printf("layer %d, all heads: the last token looks at:", layer);
    else if (ok) printf("layer %d, head %d: the last token looks at:", layer, p->head);
    for (int k = 0; ok && k < SHOWN; k++) {
        int best = -1;
        for (int i = 0; i < p->n; i++)
            if (w[i] > 0 && (best < 0 || w[i] > w[best])) best = i;
        if (best < 0) break;
        printf("  %d %.4f", best, (double)w[best]);
        w[best] = 0;
    }
    if (ok) printf("\nits weights sum to %.4f; sinks have the rest\n", sum);
    free(w);
    return ok && sum > 0 && sum < 1.0001;
}

static int probe_attention(probe *p)
{
    goss_session *s = NULL;
    int ok = goss_session_open(p->engine, &s, &p->err) == 0, before = 0;
    for (int k = 1; ok && k <= 4; k++) {
        const int n = p->n * k / 4;
        goss_event done = { 0 };
        goss_stats stats;
        if (n <= before) continue;
        if (prefill(p, s, n, &done) < 0) {
            goss_session_close(&s);
            return 0;
        }
        const int held = goss_session_tokens(s, NULL, 0);
        goss_engine_stats(p->engine, &stats);
        printf("prompt of %5d: the cache holds %5d positions, %5d of them used again, %llu bytes\n", n, held,
               done.n_reused, (unsigned long long)stats.kv_bytes_used);
        ok = held == n && done.n_reused <= before;
        before = held;
    }
    goss_session_close(&s);
    goss_traces t;
    if (!ok || goss_cli_trace(p->engine, p->ids, p->n, 0, p->layer < 0 ? 0 : p->layer, &t, &p->err) < 0)
        return p->err.code ? 0 : verdict(0);
    const goss_traced *a = goss_traces_find(&t, "attend", p->layer < 0 ? 0 : p->layer);
    if (a) {
        const goss_summary sum = goss_summarize(a->values, (size_t)a->n_rows * (size_t)a->width);
        printf("attention of layer %d: %d x %d, rms %.5f, NaN or infinite %lld\n", a->layer, a->n_rows,
               a->width, sum.rms, sum.n_bad);
        ok = sum.n_bad == 0;
    }
    ok = ok && a;
    goss_traces_free(&t);
    ok = ok && show_looks(p);
    return p->err.code ? 0 : verdict(ok);
}

/* ---- lens: what each layer would have said; the last one says what the model does ---- */
static int probe_lens(probe *p)
{
    const int n = p->info.n_layer + 1, n_vocab = p->info.n_vocab;
    goss_lens_row *rows = calloc((size_t)n, sizeof *rows);
    float *logits = malloc((size_t)n_vocab * sizeof *logits);
    int ok = rows && logits && goss_lens(p->engine, p->ids, p->n, rows, n, &p->err) == n, best = 0;
    for (int i = 0; ok && i < n; i++) {
        if (i) printf("layer %3d ", rows[i].layer);
        else printf("embedding ");
        printf("kl %8.5f  entropy %8.5f ", (double)rows[i].kl, (double)rows[i].entropy);
        for (int k = 0; k < rows[i].n_top; k++) {
            printf("  %d ", rows[i].top[k].token);
            show_token(p, rows[i].top[k].token);
            printf(" %.6f", exp((double)rows[i].top[k].logprob));
        }
        printf("\n");
        ok = isfinite(rows[i].kl) && isfinite(rows[i].entropy);
    }
    ok = ok && goss_eval(p->engine, p->ids, p->n, 0, 0, logits, &p->err) == 0;
    for (int v = 0; ok && v < n_vocab; v++)
        if (logits[v] > logits[best]) best = v;
    ok = ok && rows[n - 1].kl < 1e-4f && rows[n - 1].top[0].token == best;
    free(rows);
    free(logits);
    return p->err.code ? 0 : verdict(ok);
}

/* ---- router: who is chosen, with what weight, and how evenly ---- */
static int choose(const float *logits, int n_expert, int n, int *index, double *weight)
{
    double sum = 0;
    int finite = 1;
    for (int k = 0; k < n; k++) {
        int best = -1;
        for (int e = 0; e < n_expert; e++) {
            int taken = 0;
            for (int j = 0; j < k; j++) taken |= index[j] == e;
            finite &= isfinite(logits[e]) != 0;
            if (!taken && (best < 0 || logits[e] > logits[best])) best = e;
        }
        index[k] = best;
        weight[k] = exp((double)logits[best] - (double)logits[index[0]]);
        sum += weight[k];
    }
    for (int k = 0; k < n; k++) weight[k] /= sum;
    return finite;
}

static int show_router(const probe *p, const goss_traced *r)
{
    int index[32], ok = 1, distinct = 0;
    double weight[32], entropy = 0, *use = calloc((size_t)r->width, sizeof *use);
    const int used = p->info.n_expert_used < 32 ? p->info.n_expert_used : 32;
    if (!use) return 0;
    for (int i = 0; i < r->n_rows; i++) {
        double sum = 0;
        ok &= choose(r->values + (size_t)i * (size_t)r->width, r->width, used, index, weight);
        for (int k = 0; k < used; k++) {
            use[index[k]]++;
            sum += weight[k];
        }
        ok &= fabs(sum - 1) < 1e-6;
        if (i >= p->show_experts) continue;
        printf("layer %3d token %6d:", r->layer, p->ids[i]);
        for (int k = 0; k < used; k++) printf("  %d %.4f", index[k], weight[k]);
        printf("\n");
    }
    for (int e = 0; e < r->width; e++) {
        const double share = use[e] / ((double)r->n_rows * used);
        distinct += use[e] > 0;
        if (share > 0) entropy -= share * log(share);
    }
    printf("layer %3d: %d of %d experts used over %d tokens, entropy of use %.4f of ln %d\n", r->layer,
           distinct, r->width, r->n_rows, r->width > 1 ? entropy / log(r->width) : 1, r->width);
    free(use);
    return ok;
}

static int probe_router(probe *p)
{
    goss_traces t;
    int ok = goss_cli_trace(p->engine, p->ids, p->n, 0, p->layer, &t, &p->err) == 0, seen = 0;
    for (int i = 0; ok && i < t.n; i++)
        if (!strcmp(t.list[i].stage, "route")) {
            ok = show_router(p, &t.list[i]);
            seen++;
        }
    goss_traces_free(&t);
    if (p->err.code) return 0;
    if (!seen) printf("the model has no experts\n");
    return verdict(ok && seen);
}

static const struct { const char *name; int (*run)(probe *p);
} parts[] = { { "tokenizer", probe_tokenizer },
              { "embed", probe_embed },
              { "lm-head", probe_lm_head },
              { "layer", probe_layer },
              { "attention", probe_attention },
              { "router", probe_router },
              { "lens", probe_lens } };
enum { N_PARTS = sizeof parts / sizeof *parts };

static int run_probe(probe *p, const goss_engine_config *config, int part)
{
    int ok = 0;
    if (goss_cli_load(&p->engine, config, &p->err) < 0) return goss_cli_fail("probe", 1, &p->err);
    goss_engine_info(p->engine, &p->info);
    if (p->layer >= p->info.n_layer) {
        fprintf(stderr, "gossamer probe: --layer %d: the model has layers 0 to %d.\n", p->layer,
                p->info.n_layer - 1);
        goss_engine_close(&p->engine);
        return 2;
    }
    if (p->head >= p->info.n_head) {
        fprintf(stderr, "gossamer probe: --head %d: the model has heads 0 to %d.\n", p->head,
                p->info.n_head - 1);
        goss_engine_close(&p->engine);
        return 2;
    }
    p->n = goss_cli_tokens(p->engine, p->text, p->tokens, p->seq_len, &p->ids, &p->err);
    if (p->n > 0) ok = parts[part].run(p);
    free(p->ids);
    goss_engine_close(&p->engine);
    return p->err.code ? goss_cli_fail("probe", 1, &p->err) : !ok;
}

int goss_cmd_probe(int argc, char **argv)
{
    probe p = { .text = "Once upon a time there was a small crow named Theo who lived near a deep forest.",
                .layer = -1,
                .head = -1,
                .show_top = 5,
                .show_experts = 8 };
    goss_engine_options engine;
    const goss_option options[] = {
        { "--text,-p,--prompt", GOSS_OPT_STR, &p.text, .arg = "TEXT", .help = "what goes in" },
        { "--tokens", GOSS_OPT_STR, &p.tokens, .arg = "LIST",
          .help = "token ids with commas between, instead of text" },
        { "--seq-len", GOSS_OPT_INT, &p.seq_len, .arg = "N", .help = "repeat or cut the tokens to N",
          .min = 1, .max = 1000000 },
        { "--layer", GOSS_OPT_INT, &p.layer, .arg = "N", .help = "only layer N", .min = 0, .max = 100000 },
        { "--head", GOSS_OPT_INT, &p.head, .arg = "N", .help = "attention: of head N (all, on average)",
          .min = 0, .max = 100000 },
        { "--show-top", GOSS_OPT_INT, &p.show_top, .arg = "N", .help = "lm-head: how many tokens (5)",
          .min = 1, .max = 1000 },
        { "--show-experts", GOSS_OPT_INT, &p.show_experts, .arg = "N",
          .help = "router: for how many tokens (8)", .min = 0, .max = 1000000 },
        { 0 }
    };
    const char *args[2] = { NULL, NULL };
    goss_engine_options_init(&engine, GOSS_FOR_COMMANDS);
    const goss_usage usage = { "probe",
                               "tokenizer|embed|lm-head|layer|attention|router|lens [MODEL]",
                               "Runs one part of a model alone and shows what "
                               "it does.",
                               1,
                               2,
                               { options, engine.table } };
    const int n = goss_options_read(&usage, argc, argv, args);
    if (n < 0) return ~n;
    int part = 0;
    while (part < N_PARTS && strcmp(parts[part].name, args[0])) part++;
    if (part == N_PARTS) {
        fprintf(stderr,
                "gossamer probe: no part is called \"%s\": tokenizer, embed, lm-head, layer, attention, "
                "router and "
                "lens are.\n",
                args[0]);
        return 2;
    }
    const int status = goss_cli_model(&engine, "probe", n > 1 ? args[1] : NULL);
    return status ? status : run_probe(&p, &engine.config, part);
}
