/* gates_model.c - gates C to G: what a backend computes against the reference backend, through the public
 * interface alone.
 *
 * A difference is measured against the root mean square of the reference's values, since sums of products err
 * in proportion to their terms. Stages are compared in the first layer, where both sides begin with the same
 * numbers; later layers add up what went before, and there the rule is that of whole models: the same best
 * token wherever the reference's best two are more than 0.25 apart. */
#include "format/gguf.h"
#include "gates.h"
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME(x) ((x) ? (x) : "auto")

static int failed(goss_gate *g, const goss_error *err)
{
    snprintf(g->figure, sizeof g->figure, "%s", err->text[0] ? err->text : goss_error_name(err->code));
    return GOSS_GATE_FAIL;
}

/* Opens the model on one backend. SKIP when the machine or the build has no such backend. */
static int open_on(goss_gate *g, const char *backend, int n_layers, int default_limits, goss_engine **out)
{
    goss_engine_config c = *g->config;
    goss_error err = { 0 };
    c.backend = backend;
    if (n_layers) c.n_layers = n_layers;
    if (default_limits) c.gpu_limits_default = 1;
    /* the kernels of few rows: prefill's tiles round activations to 8 bits, and a router may then choose
     * otherwise */
    if (n_layers && !c.max_rows && !strcmp(backend, "gpu")) c.max_rows = 16;
    *out = NULL;
    const int rc = goss_cli_load(out, &c, &err);
    if (rc >= 0) return GOSS_GATE_PASS;
    failed(g, &err);
    return rc == GOSS_EUNSUPPORTED || rc == GOSS_EGPU || rc == GOSS_ENOENT ? GOSS_GATE_SKIP : GOSS_GATE_FAIL;
}

typedef struct difference { double max, mean, rms; } difference;

/* Columns [from, to) of all rows. NaN anywhere makes the difference infinite. */
static difference differ(const goss_traced *a, const goss_traced *b, int from, int to)
{
    difference d = { 0 };
    const size_t n = (size_t)a->n_rows * (size_t)(to - from);
    for (int r = 0; r < a->n_rows; r++)
        for (int i = from; i < to; i++) {
            const double x = (double)a->values[(size_t)r * (size_t)a->width + (size_t)i];
            const double e = fabs(x - (double)b->values[(size_t)r * (size_t)b->width + (size_t)i]);
            d.rms += x * x;
            d.mean += e;
            if (!(e <= d.max)) d.max = isfinite(e) ? e : INFINITY;
        }
    d.rms = sqrt(d.rms / (double)n);
    d.mean /= (double)n;
    return d;
}

/* ---- C ---- */
/* The file with the last norm's gain zero from column k on: only the first k columns of the product count
 * then. The pages that change are this process's own. */
typedef struct columns { void *map; size_t size; goss_source source; goss_engine_config config; } columns;

static int set_columns(columns *c, goss_gate *g, int k)
{
    const int fd = open(g->config->model_path, O_RDONLY);
    struct stat st;
    goss_gguf head = { 0 };
    goss_error err = { 0 };
    uint64_t want = 0;
    c->map = MAP_FAILED;
    if (fd >= 0 && !fstat(fd, &st) && st.st_size > 0) {
        c->size = (size_t)st.st_size;
        c->map = mmap(NULL, c->size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    }
    if (fd >= 0) close(fd);
    if (c->map == MAP_FAILED || goss_gguf_parse(&head, c->map, c->size, c->size, &want, &err)) {
        snprintf(g->figure, sizeof g->figure, "--k needs a file on this machine");
        return GOSS_GATE_FAIL;
    }
    const goss_tensor *gain = goss_gguf_tensor(&head, "output_norm.weight");
    const int ok = gain && gain->type == GOSS_F32 && k <= gain->ne[0] && head.n_shards <= 1;
    if (ok) memset((uint8_t *)c->map + gain->offset + (size_t)k * 4, 0, (size_t)(gain->ne[0] - k) * 4);
    else snprintf(g->figure, sizeof g->figure, "--k %d: more than the product's columns, or a split file", k);
    goss_gguf_free(&head);
    c->source = (goss_source){ .name = g->config->model_path, .size = c->size, .map = c->map };
    c->config = *g->config;
    c->config.model_path = NULL;
    c->config.sources = &c->source;
    c->config.n_sources = 1;
    return ok ? GOSS_GATE_PASS : GOSS_GATE_FAIL;
}

static int product_agrees(goss_gate *g, int k)
{
    goss_engine *ref, *gpu;
    goss_error err = { 0 };
    int32_t *ids = NULL;
    int state = open_on(g, "gpu", -1, 0, &gpu);
    if (state != GOSS_GATE_PASS) return state;
    state = open_on(g, "ref", -1, 0, &ref);
    if (state == GOSS_GATE_PASS) {
        goss_model_info info;
        goss_engine_info(ref, &info);
        const int n_ids = goss_cli_tokens(ref, g->text, NULL, 0, &ids, &err),
                  n = g->n && g->n < info.n_vocab ? g->n : info.n_vocab;
        float *a = malloc(2 * sizeof *a * (size_t)info.n_vocab), *b = a + info.n_vocab;
        if (a && n_ids > 0 && goss_eval(ref, ids, n_ids, 0, 0, a, &err) == 0
            && goss_eval(gpu, ids, n_ids, 0, 0, b, &err) == 0) {
            const goss_traced x = { .n_rows = 1, .width = info.n_vocab, .values = a },
                              y = { .n_rows = 1, .width = info.n_vocab, .values = b };
            const difference d = differ(&x, &y, 0, n);
            const double tolerance = g->tolerance > 0 ? (double)g->tolerance : 0.02;
            snprintf(g->figure, sizeof g->figure,
                     "output.weight, k %d, n %d: max_abs=%.3g mean_abs=%.3g tol=%.3g (rms %.3g)",
                     k ? k : info.n_embd, n, d.max, d.mean, tolerance * d.rms, d.rms);
            state = d.max <= tolerance * d.rms;
        } else {
            state = failed(g, &err);
        }
        free(a);
        free(ids);
    }
    goss_engine_close(&ref);
    goss_engine_close(&gpu);
    return state;
}

int goss_gate_c(goss_gate *g)
{
    if (!g->k) return product_agrees(g, 0);
    columns c;
    int state = set_columns(&c, g, g->k);
    if (state == GOSS_GATE_PASS) {
        const goss_engine_config *whole = g->config;
        g->config = &c.config;
        state = product_agrees(g, g->k);
        g->config = whole;
    }
    if (c.map != MAP_FAILED) munmap(c.map, c.size);
    return state;
}

/* ---- D ---- */
typedef struct parity {
    const goss_traces *ref, *got;
    goss_engine *engine;         /* whose telemetry the probes go to */
    double tolerance;
    goss_gate *g;
    size_t n;
    int ok;
} parity;

/* As the schema has it: NAME_probe with its figures. */
static void note(const parity *p, const char *probe, const difference *d, int ok)
{
    char stage[32], detail[120];
    snprintf(stage, sizeof stage, "%.20s_probe", strcmp(probe, "attention") ? probe : "attn");
    snprintf(detail, sizeof detail, "max_abs=%.4g mean_abs=%.4g tol=%.4g", d->max, d->mean,
             p->tolerance * d->rms);
    goss_engine_note(p->engine, stage, ok ? "completed" : "failed", detail);
}

/* One probe: columns of one stage. to < 0: to the end. */
static void check(parity *p, const char *probe, const char *stage, int layer, int from, int to)
{
    const goss_traced *a = goss_traces_find(p->ref, stage, layer),
                      *b = goss_traces_find(p->got, stage, layer);
    if (!a && !b) return; /* the model has no such stage */
    if (!a || !b || a->width != b->width || a->n_rows != b->n_rows) {
        p->ok = 0;
        return;
    }
    const difference d = differ(a, b, from, to < 0 ? a->width : to);
    const int ok = d.max <= p->tolerance * d.rms;
    p->ok &= ok;
    note(p, probe, &d, ok);
    p->n += (size_t)snprintf(p->g->figure + p->n, sizeof p->g->figure - p->n, "%s%s %.2g%s", p->n ? ", " : "",
                             probe, d.max / d.rms, ok ? "" : "!");
    if (p->n >= sizeof p->g->figure) p->n = sizeof p->g->figure - 1;
}

static int compare_stages(goss_gate *g, goss_engine *ref, goss_engine *other, const goss_model_info *info)
{
    goss_traces a = { 0 }, b = { 0 };
    goss_error err = { 0 };
    int32_t *ids = NULL;
    int state = GOSS_GATE_FAIL;
    const int n = goss_cli_tokens(ref, g->text, NULL, 0, &ids, &err);
    if (n > 0 && goss_cli_trace(ref, ids, n, 0, 0, &a, &err) == 0
        && goss_cli_trace(other, ids, n, 0, 0, &b, &err) == 0) {
        parity p = { &a, &b, other, g->tolerance > 0 ? (double)g->tolerance : 0.05, g, strlen(g->figure), 1 };
        const int q = info->n_head * info->head_dim, kv = info->n_head_kv * info->head_dim;
        check(&p, "rope", "attn_in", 0, 0, q + kv);
        check(&p, "q8_0", "attn_in", 0, q + kv, -1);
        check(&p, "attention", "attend", 0, 0, -1);
        check(&p, "rmsnorm", "route", 0, 0, -1);
        check(&p, "mxfp4", "experts", 0, 0, -1);
        check(&p, "ffn", "ffn", 0, 0, -1);
        check(&p, "logits", "head", -1, 0, -1);
        state = p.ok ? GOSS_GATE_PASS : GOSS_GATE_FAIL;
    } else {
        failed(g, &err);
    }
    goss_traces_free(&a);
    goss_traces_free(&b);
    free(ids);
    return state;
}

static void append(char *to, size_t size, const char *text)
{
    size_t n = strlen(to);
    while (*text && n + 1 < size) to[n++] = *text++;
    to[n] = 0;
}

/* One layer on ref and on each other backend there is; the head then follows that layer. */
int goss_gate_d(goss_gate *g)
{
    static const char *const names[] = { "cpu", "gpu" };
    goss_engine *ref;
    goss_model_info info;
    int state = open_on(g, "ref", 1, 0, &ref), n_seen = 0;
    char figure[sizeof g->figure] = "", why[sizeof g->figure] = "";
    if (state != GOSS_GATE_PASS) return state;
    goss_engine_info(ref, &info);
    for (int i = 0; i < 2 && state == GOSS_GATE_PASS; i++) {
        goss_engine *other;
        const int opened = open_on(g, names[i], 1, 0, &other);
        if (opened == GOSS_GATE_SKIP) {
            memcpy(why, g->figure, sizeof why);
            continue;
        }
        n_seen++;
        g->figure[0] = 0;
        state = opened == GOSS_GATE_PASS ? compare_stages(g, ref, other, &info) : opened;
        goss_engine_close(&other);
        append(figure, sizeof figure, figure[0] ? "; " : "");
        append(figure, sizeof figure, names[i]);
        append(figure, sizeof figure, ": ");
        append(figure, sizeof figure, g->figure);
    }
    goss_engine_close(&ref);
    memcpy(g->figure, n_seen ? figure : why, sizeof g->figure);
    return n_seen ? state : GOSS_GATE_SKIP;
}

/* ---- F ---- */
static int best_of(const float *v, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        if (v[i] > v[best]) best = i;
    return best;
}

static double gap_of(const float *v, int n)
{
    const int best = best_of(v, n);
    double second = -INFINITY;
    for (int i = 0; i < n; i++)
        if (i != best && (double)v[i] > second) second = (double)v[i];
    return (double)v[best] - second;
}

static long long count_bad(const goss_traces *t)
{
    long long bad = 0;
    for (int i = 0; i < t->n; i++)
        bad += goss_summarize(t->list[i].values, (size_t)t->list[i].n_rows * (size_t)t->list[i].width).n_bad;
    return bad;
}

static int compare_logits(goss_gate *g, const float *ref, const float *got, int n_rows, int n_vocab,
                          long long bad, const char *backend)
{
    int far = 0, forks = 0;
    double worst = 0;
    for (int r = 0; r < n_rows; r++) {
        const float *a = ref + (size_t)r * (size_t)n_vocab, *b = got + (size_t)r * (size_t)n_vocab;
        const int clear = gap_of(a, n_vocab) > 0.25;
        far += clear;
        forks += clear && best_of(a, n_vocab) != best_of(b, n_vocab);
        for (int v = 0; v < n_vocab; v++) {
            const double e = fabs((double)a[v] - (double)b[v]);
            if (!(e <= worst)) worst = isfinite(e) ? e : INFINITY;
        }
    }
    snprintf(g->figure, sizeof g->figure,
             "%s: %d positions, NaN or infinite %lld, largest difference of a logit %.3g, %d of %d clear best "
             "tokens differ",
             backend, n_rows, bad, worst, forks, far);
    return bad == 0 && forks == 0 && isfinite(worst) ? GOSS_GATE_PASS : GOSS_GATE_FAIL;
}

int goss_gate_f(goss_gate *g)
{
    goss_engine *ref = NULL, *other;
    goss_error err = { 0 };
    goss_traces t = { 0 };
    int32_t *ids = NULL;
    int state = open_on(g, NAME(g->config->backend), 0, 0, &other);
    if (state != GOSS_GATE_PASS) return state;
    state = open_on(g, "ref", 0, 0, &ref);
    if (state == GOSS_GATE_PASS) {
        goss_model_info info;
        goss_engine_info(other, &info);
        const int n = goss_cli_tokens(ref, g->text, NULL, 0, &ids, &err);
        const size_t room = n > 0 ? (size_t)n * (size_t)info.n_vocab : 0;
        float *a = room ? malloc(2 * room * sizeof *a) : NULL;
        if (a && goss_eval(ref, ids, n, 0, 1, a, &err) == 0 &&
            goss_eval(other, ids, n, 0, 1, a + room, &err) == 0 &&
            goss_cli_trace(other, ids, n, 0, -1, &t, &err) == 0)
            state = compare_logits(g, a, a + room, n, info.n_vocab, count_bad(&t), info.backend);
        else
            state = failed(g, &err);
        free(a);
    }
    goss_traces_free(&t);
    free(ids);
    goss_engine_close(&ref);
    goss_engine_close(&other);
    return state;
}

/* ---- G and E ---- */
typedef struct answer {
    char text[600], first_channel[16];
    size_t n;
    int n_tokens, n_distinct, stop, final;
    int32_t seen[256];
} answer;

static int take_event(void *ctx, const goss_event *ev)
{
    answer *a = ctx;
    int known = 0;
    if (ev->kind == GOSS_EVENT_PREFILL) return 0;
    if (ev->kind == GOSS_EVENT_DONE) a->stop = ev->stop;
    if (ev->kind == GOSS_EVENT_TOKEN && ev->token >= 0) {
        a->n_tokens++;
        for (int i = 0; i < a->n_distinct; i++) known |= a->seen[i] == ev->token;
        if (!known && a->n_distinct < 256) a->seen[a->n_distinct++] = ev->token;
    }
    if (!ev->n_text) return 0;
    if (!a->first_channel[0]) snprintf(a->first_channel, sizeof a->first_channel, "%s", ev->channel);
    if (ev->channel[0] && strcmp(ev->channel, "final")) return 0;
    a->final = 1;
    for (int i = 0; i < ev->n_text && a->n + 1 < sizeof a->text; i++) a->text[a->n++] = ev->text[i];
    return 0;
}

/* Greedy, in the model's chat format; raw models go on with a text. */
static int ask(goss_engine *e, const goss_model_info *info, answer *a, goss_error *err)
{
    goss_params p = goss_params_default();
    *a = (answer){ 0 };
    p.temperature = 0;
    p.max_tokens = 256;
    p.chat = strcmp(info->chat, "raw") != 0;
    return goss_generate(e,
                         p.chat ? "{\"messages\":[{\"role\":\"user\",\"content\":\"Which month comes after "
                                  "June?\"}],\"date\":\"2025-06-28\"}"
                                : "Once upon a time",
                         &p, take_event, NULL, a, err);
}

/* One line: what is not printable becomes a space. */
static void flatten(char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 32) *s = ' ';
}

static int judge(goss_gate *g, answer *a, const goss_model_info *info, const char *backend)
{
    const int harmony = !strcmp(info->chat, "harmony"), demo = !strcmp(info->name, "demo-gptoss");
    int ok = a->n > 0 && a->final && a->n_tokens > 2 &&
             a->n_distinct * 4 > (a->n_tokens < 256 ? a->n_tokens : 256);
    if (harmony) ok &= a->stop == GOSS_STOP_EOS && !strcmp(a->first_channel, "analysis");
    if (demo) ok &= !strcmp(a->text, "July comes after June.");
    flatten(a->text);
    snprintf(g->figure, sizeof g->figure, "%s: %d tokens, %d of them distinct, %s%s%s\"%.120s\"", backend,
             a->n_tokens, a->n_distinct, harmony ? "first channel " : "", harmony ? a->first_channel : "",
             harmony ? ", " : "", a->text);
    return ok ? GOSS_GATE_PASS : GOSS_GATE_FAIL;
}

static int generate_on(goss_gate *g, const char *backend, int default_limits)
{
    goss_engine *e;
    goss_error err = { 0 };
    goss_model_info info;
    answer a;
    int state = open_on(g, backend, 0, default_limits, &e);
    if (state != GOSS_GATE_PASS) return state;
    goss_engine_info(e, &info);
    state = ask(e, &info, &a, &err) < 0 ? failed(g, &err) : judge(g, &a, &info, info.backend);
    goss_engine_close(&e);
    return state;
}

int goss_gate_e(goss_gate *g)
{
    return generate_on(g, "gpu", 1);
}

int goss_gate_g(goss_gate *g)
{
    return generate_on(g, NAME(g->config->backend), 0);
}
