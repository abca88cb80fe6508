/* cmd_bench.c - gossamer bench: how fast, and how near the memory's roofline.
 *
 * Prefill: tokens a second of prompts of several lengths. Decode: tokens a second behind several depths, and
 * with N sessions at once. The roofline is the read bandwidth measured here, with the engine's number of
 * threads, against the bytes of weights that one token must read (step_bytes). Token ids are random: speed
 * does not depend on sense, but on experts it does, so the distinct ones are counted. */
#include "base/thread.h"
#include "bench.h"
#include "bench_draft.h"
#include "bench_turn.h"
#include "common/figures.h"
#include "commands.h"
#include <stdlib.h>
#include <string.h>

typedef goss_bench bench;
typedef goss_bench_result result;
typedef goss_bench_kernel kernel_time;

static int read_list(const char *text, goss_bench_list *out)
{
    out->n = 0;
    for (char *end; *text && out->n < GOSS_BENCH_LIST; text = *end == ',' ? end + 1 : end) {
        const long v = strtol(text, &end, 10);
        if (end == text || v < 0 || v > 10000000) return 1;
        out->v[out->n++] = (int)v;
    }
    return out->n == 0 || *text;
}

/* ---- the roof ------------------------------------------------------------------------------------------ */
typedef struct reader { const uint64_t *data; size_t n_each; uint64_t sum[64]; } reader;

static void read_part(void *ctx, int task, int thread)
{
    reader *r = ctx;
    const uint64_t *p = r->data + (size_t)task * r->n_each;
    uint64_t a = 0, b = 0, c = 0, d = 0;
    for (size_t i = 0; i + 4 <= r->n_each; i += 4) { a += p[i]; b += p[i + 1]; c += p[i + 2]; d += p[i + 3]; }
    r->sum[thread & 63] += a + b + c + d;
}

/* The best of some passes over 256 MB, with as many threads as the engine has. */
static double read_bandwidth(int n_threads)
{
    enum { TASKS = 64 };
    const size_t bytes = (size_t)256 << 20;
    uint64_t *data = malloc(bytes);
    goss_pool *pool = NULL;
    double best = 0;
    if (data && !goss_pool_open(&pool, n_threads)) {
        memset(data, 1, bytes);
        reader r = { .data = data, .n_each = bytes / 8 / TASKS };
        for (int i = 0; i < 5; i++) {
            const double t0 = goss_bench_now();
            goss_pool_run(pool, read_part, &r, TASKS);
            const double rate = (double)bytes / ((goss_bench_now() - t0) / 1000);
            if (rate > best) best = rate;
        }
        if (r.sum[0] == 1) putchar(0); /* the sums are used: the loop stays */
    }
    goss_pool_close(&pool);
    free(data);
    return best;
}

/* ---- prompts ------------------------------------------------------------------------------------------- */
static void random_tokens(bench *b, int32_t *ids, int n)
{
    const uint32_t vocab = (uint32_t)b->info.n_vocab, safe = vocab > 512 ? vocab - 256 : vocab;
    for (int i = 0; i < n; i++) ids[i] = (int32_t)(goss_bench_random(b) % safe);
}

static goss_session *begin(bench *b, int n_prompt, int n_new, goss_error *err)
{
    goss_session *s = NULL;
    int32_t *ids = malloc(sizeof *ids * (size_t)(n_prompt + 1));
    goss_params p = goss_params_default();
    p.temperature = 0;
    p.ignore_stop = 1;
    p.max_tokens = n_new;
    if (!ids) return NULL;
    random_tokens(b, ids, n_prompt);
    if (goss_session_open(b->c.engine, &s, err) || goss_session_prompt(s, ids, n_prompt, &p, err))
        goss_session_close(&s);
    free(ids);
    return s;
}

/* ---- how many experts a step touches ------------------------------------------------------------------- */
typedef struct touched { int k, n_expert, layers; double distinct; } touched;

static void count_experts(void *ctx, const char *stage, int layer, const float *values, int n_rows, int width)
{
    touched *t = ctx;
    unsigned char seen[1024] = { 0 };
    (void)layer;
    if (strcmp(stage, "route") != 0 || width > 1024) return;
    for (int r = 0; r < n_rows; r++) {
        const float *v = values + (size_t)r * (size_t)width;
        for (int e = 0; e < width; e++) {
            int above = 0;
            for (int o = 0; o < width; o++) above += v[o] > v[e] || (v[o] == v[e] && o < e);
            if (above < t->k) seen[e] = 1;
        }
    }
    for (int e = 0; e < width; e++) t->distinct += seen[e];
    t->layers++;
}

/* Distinct experts a layer for n random tokens in one step; 0 for models without. */
static double distinct_experts(bench *b, int n)
{
    int32_t ids[1024];
    touched t = { .k = b->info.n_expert_used, .n_expert = b->info.n_expert };
    goss_error err;
    if (!b->info.n_expert || n > 1024) return 0;
    random_tokens(b, ids, n);
    if (goss_trace(b->c.engine, ids, n, n, count_experts, &t, &err)) return 0;
    return t.layers ? t.distinct / t.layers : 0;
}

/* ---- runs ---------------------------------------------------------------------------------------------- */
static int bench_one(bench *b, int n_prompt, int n_new, double *prefill_ms, double *decode_ms,
                     goss_error *err)
{
    goss_event done = { 0 };
    goss_session *s = begin(b, n_prompt, n_new, err);
    int n_ids;
    const int rc = !s || goss_bench_finish(b, s, &done, NULL, 0, &n_ids, err);
    goss_session_close(&s);
    *prefill_ms = done.prefill_ms;
    *decode_ms = done.decode_ms;
    return rc;
}

static int bench_prefill(bench *b, int n, goss_error *err)
{
    double best = 0, ms, ignored;
    for (int i = 0; i < b->repeats; i++) {
        if (bench_one(b, n, 1, &ms, &ignored, err)) return 1;
        if (best == 0 || ms < best) best = ms;
    }
    result *r = goss_bench_add(b, "prefill", n, 1);
    if (r) { r->ms = best; r->per_second = n * 1000 / best; }
    return 0;
}

static int bench_decode(bench *b, int depth, goss_error *err)
{
    double best = 0, ms, ignored;
    for (int i = 0; i < b->repeats; i++) {
        if (bench_one(b, depth > 0 ? depth : 1, b->n_tokens + 1, &ignored, &ms, err)) return 1;
        if (best == 0 || ms < best) best = ms;
    }
    result *r = goss_bench_add(b, "decode", depth, 1);
    if (!r) return 0;
    r->ms = best / b->n_tokens;
    r->per_second = b->n_tokens * 1000 / best;
    r->experts = b->info.n_expert_used;
    if (b->bandwidth > 0) r->roofline = r->per_second * (double)b->info.step_bytes / b->bandwidth;
    return 0;
}

/* ---- a GPU's kernels ----------------------------------------------------------------------------------- */
static double number_of(const char *line, const char *key)
{
    const char *at = strstr(line, key);
    return at ? strtod(at + strlen(key), NULL) : 0;
}

/* A kernel's name, and of a product with many rows what becomes of its sums. */
static void name_kernel(const char *line, char *name, size_t n_name)
{
    static const char *const words[] = { "STORE", "ADD", "UP", "DOWN", "SILU" };
    const char *at = strstr(line, "\"kernel\":\"") + 10, *variant = strstr(line, "\"variant\":\"");
    snprintf(name, n_name, "%.*s", (int)strcspn(at, "\""), at);
    for (size_t i = 0; i < sizeof words / sizeof words[0] && variant && !strncmp(name, "matmul", 6); i++) {
        char word[12];
        snprintf(word, sizeof word, " %s ", words[i]);
        const char *found = strstr(variant, word);
        if (!found || found > variant + strcspn(variant, "}")) continue;
        snprintf(name, n_name, "matmul %s", words[i]);
        return;
    }
}

/* Adds up kernel_time lines by kernel. */
static void on_kernel(void *ctx, const char *json, size_t n)
{
    bench *b = ctx;
    char line[1500];
    if (n >= sizeof line) return;
    memcpy(line, json, n);
    line[n] = 0;
    const char *at = strstr(line, "\"type\":\"kernel_time\",\"kernel\":\"");
    char name[sizeof b->kernels[0].name];
    int i = 0;
    if (!at) return;
    name_kernel(at, name, sizeof name);
    while (i < b->n_kernels && strcmp(b->kernels[i].name, name)) i++;
    if (i == 64) return;
    kernel_time *k = &b->kernels[i];
    if (i == b->n_kernels) {
        *k = (kernel_time){ .us = 0 };
        snprintf(k->name, sizeof k->name, "%s", name);
        b->n_kernels++;
    }
    k->dispatches += number_of(at, "\"dispatches\":");
    k->us += number_of(at, "\"gpu_us\":");
    k->bytes += number_of(at, "\"bytes\":");
    const double roofline = number_of(at, "\"roofline\":");
    if (roofline > 0) k->roofline = roofline / number_of(at, "\"gb_per_s\":");
    if (!strcmp(k->name, "embed")) b->steps += number_of(at, "\"dispatches\":");
}

static int slower(const void *a, const void *b)
{
    const kernel_time *x = a, *y = b;
    return x->us < y->us ? 1 : x->us > y->us ? -1 : 0;
}

/* One run with timestamps around every dispatch, and what each kernel took of a step: of decoding (n_prompt
 * 1), or of a prompt. */
static int bench_kernels(bench *b, int n_prompt, int n_new, goss_error *err)
{
    double ignored, ms, all = 0;
    b->n_kernels = 0;
    b->steps = 0;
    goss_engine_telemetry(b->c.engine, GOSS_TELEMETRY_KERNELS);
    const int rc = bench_one(b, n_prompt, n_new, &ignored, &ms, err);
    goss_engine_telemetry(b->c.engine, 0);
    if (rc || !b->n_kernels || b->steps < 1) return rc;
    printf("%s\n", n_prompt > 1 ? "a step of the prompt" : "a step of decoding");
    qsort(b->kernels, (size_t)b->n_kernels, sizeof *b->kernels, slower);
    for (int i = 0; i < b->n_kernels; i++) if (strcmp(b->kernels[i].name, "roof")) all += b->kernels[i].us;
    printf("%-14s %10s %12s %8s %10s %9s\n", "kernel", "a step", "us a step", "share", "GB/s", "roofline");
    for (int i = 0; i < b->n_kernels; i++) {
        const kernel_time *k = &b->kernels[i];
        const double rate = k->us > 0 ? k->bytes / k->us / 1e3 : 0;
        if (!strcmp(k->name, "roof")) {
            printf("%-14s %10s %12s %8s %10.1f\n", "(reading only)", "", "", "", rate);
            continue;
        }
        printf("%-14s %10.1f %12.1f %7.1f%% ", k->name, k->dispatches / b->steps, k->us / b->steps,
               k->us / all * 100);
        if (rate > 0) printf("%10.1f %8.1f%%", rate, rate * k->roofline * 100);
        putchar('\n');
    }
    printf("%-14s %10s %12.1f\n", "all", "", all / b->steps);
    return 0;
}

static int fits(const bench *b, int n) { return n > 0 && n + b->n_tokens + 2 < b->info.max_kv; }

static int all_kernels(bench *b, goss_error *err)
{
    int rc = bench_kernels(b, 1, b->n_tokens + 1, err);
    for (int i = 0; i < b->prefill.n && !rc; i++)
        if (b->prefill.v[i] > 1 && fits(b, b->prefill.v[i])) rc = bench_kernels(b, b->prefill.v[i], 1, err);
    return rc;
}

/* n sessions; counted from the moment all have their first token until the first of them ends. */
static int bench_sessions(bench *b, int n, goss_error *err)
{
    goss_session *s[256] = { 0 };
    int got[256] = { 0 }, started = 0, ended = 0, counted = 0, rc = 0;
    double t0 = 0, t1 = 0;
    for (int i = 0; i < n && !rc; i++) rc = !(s[i] = begin(b, 16, b->n_tokens + 1, err));
    while (!ended && !rc) {
        rc = goss_engine_poll(b->c.engine, 100, err) < 0;
        for (int i = 0; i < n; i++) {
            goss_event ev;
            while (goss_session_event(s[i], &ev)) {
                if (ev.kind == GOSS_EVENT_DONE) ended = 1;
                if (ev.kind != GOSS_EVENT_TOKEN) continue;
                if (!got[i]++) started++;
                else if (t0 > 0) counted++;
            }
        }
        t1 = goss_bench_now();
        if (started == n && t0 == 0) t0 = t1;
        if (goss_cli_interrupted()) ended = 1;
    }
    for (int i = 0; i < n; i++) goss_session_close(&s[i]);
    while (!rc && goss_engine_poll(b->c.engine, 100, err) > 0) {} /* what is under way has their places */
    result *r = rc ? NULL : goss_bench_add(b, "sessions", 16, n);
    if (!r) return rc;
    r->ms = t1 - t0;
    r->per_second = counted * 1000 / (t1 - t0);
    r->experts = distinct_experts(b, n);
    if (b->bandwidth > 0) { /* one step reads the distinct experts once, for all sessions */
        const double more = r->experts > 0 ? r->experts / b->info.n_expert_used - 1 : 0;
        const double bytes = (double)b->info.step_bytes + more * (double)b->info.step_expert_bytes;
        r->roofline = r->per_second / n * bytes / b->bandwidth;
    }
    return 0;
}

/* ---- the report ---------------------------------------------------------------------------------------- */
static void print_totals(const bench *b, const goss_stats *st)
{
    printf("kv        %s, up to %d positions a session, %.2f GB for all\n", b->info.kv, b->info.max_kv,
           (double)b->info.kv_bytes / 1e9);
    printf("steps     %llu of %.1f rows; of %llu prompt tokens %llu reused (%llu stored, %llu joined)\n",
           (unsigned long long)st->n_steps, st->n_steps ? (double)st->n_rows / (double)st->n_steps : 0.0,
           (unsigned long long)st->n_prompt_tokens, (unsigned long long)st->n_reused_tokens,
           (unsigned long long)st->n_stored_tokens, (unsigned long long)st->n_joined_tokens);
    if (st->n_drafted)
        printf("drafts    %llu of %llu accepted\n", (unsigned long long)st->n_accepted,
               (unsigned long long)st->n_drafted);
}

static void print_table(const bench *b)
{
    const goss_model_info *m = &b->info;
    printf("model     %s (%s, %s), %.2f B parameters, %.2f GB\n", m->name, m->arch, m->type,
           (double)m->n_params / 1e9, (double)m->file_bytes / 1e9);
    printf("backend   %s (%s), %d threads\n", m->backend, m->level, m->n_threads);
    printf("memory    %.1f GB/s read here; a token reads %.1f MB of weights\n", b->bandwidth / 1e9,
           (double)m->step_bytes / 1e6);
    printf("%-10s %8s %8s %12s %10s %9s %8s\n", "test", "tokens", "sessions", "tokens/s", "ms", "roofline",
           "experts");
    for (int i = 0; i < b->n_results; i++) {
        const result *r = &b->results[i];
        printf("%-10s %8d %8d %12.2f %10.3f ", r->kind, r->length, r->sessions, r->per_second, r->ms);
        if (r->roofline > 0) printf("%8.1f%% ", r->roofline * 100);
        else printf("%9s ", "");
        if (r->experts > 0) printf("%8.1f", r->experts);
        if (r->ratio > 0) printf("%*s%.3f %s", r->experts > 0 ? 2 : 10, "", r->ratio, r->note);
        putchar('\n');
    }
    goss_stats st;
    goss_engine_stats(b->c.engine, &st);
    printf("tokens    hash %016llx\n", (unsigned long long)b->tokens);
    printf("load      %.2f s\n", b->load_ms / 1000);
    print_totals(b, &st);
    if (st.gpu_bytes) printf("gpu       %.2f GB allocated\n", (double)st.gpu_bytes / 1e9);
    if (!st.expert_misses) return;
    printf("experts   %.1f%% found on the GPU of %llu wanted, %llu fetched, %llu evicted, %.2f GB read; "
           "%llu stalls, %.1f s\n",
           100.0 * (double)st.expert_hits / (double)(st.expert_hits + st.expert_misses),
           (unsigned long long)(st.expert_hits + st.expert_misses), (unsigned long long)st.expert_misses,
           (unsigned long long)st.expert_evictions, (double)st.expert_bytes / 1e9,
           (unsigned long long)st.expert_stalls, st.expert_stall_ms / 1000);
}

static void print_json(const bench *b)
{
    goss_buf out = GOSS_BUF(1 << 20);
    goss_stats st;
    goss_figures_json(&out, goss_info_list, &b->info, 1);
    goss_buf_printf(&out, ",\"read_bytes_per_s\":%.0f,\"results\":[", b->bandwidth);
    for (int i = 0; i < b->n_results; i++) {
        const result *r = &b->results[i];
        goss_buf_printf(&out,
                        "%s{\"test\":\"%s\",\"tokens\":%d,\"sessions\":%d,\"tokens_per_s\":%.3f,\"ms\":%.4f,"
                        "\"roofline\":%.4f,\"experts\":%.2f,\"ratio\":%.4f,\"note\":\"%s\"}",
                        i ? "," : "", r->kind, r->length, r->sessions, r->per_second, r->ms, r->roofline,
                        r->experts, r->ratio, r->note);
    }
    goss_engine_stats(b->c.engine, &st);
    goss_buf_str(&out, "]");
    goss_figures_json(&out, goss_stats_list, &st, 1);
    goss_buf_printf(&out, ",\"tokens_hash\":\"%016llx\",\"load_ms\":%.1f}", (unsigned long long)b->tokens,
                    b->load_ms);
    printf("{%s\n", goss_buf_cstr(&out) + !out.failed); /* without the first comma */
    goss_buf_free(&out);
}


static int run_all(bench *b)
{
    goss_error err = { .position = -1 };
    int rc = 0;
    for (int i = 0; i < b->prefill.n && !rc && !goss_cli_interrupted(); i++)
        if (fits(b, b->prefill.v[i])) rc = bench_prefill(b, b->prefill.v[i], &err);
    for (int i = 0; i < b->depths.n && !rc && !goss_cli_interrupted(); i++)
        if (fits(b, b->depths.v[i] + 1)) rc = bench_decode(b, b->depths.v[i], &err);
    for (int i = 0; i < b->sessions.n && !rc && !goss_cli_interrupted(); i++)
        if (b->sessions.v[i] > 0) rc = bench_sessions(b, b->sessions.v[i], &err);
    for (int i = 0; i < b->turns.n && !rc && !goss_cli_interrupted(); i++)
        rc = goss_bench_turn(b, b->turns.v[i], &err);
    for (int i = 0; i < b->drafts.n && !rc && !goss_cli_interrupted(); i++)
        rc = goss_bench_draft(b, b->drafts.v[i], &err);
    if (rc) return goss_cli_fail("bench", 1, &err);
    if (b->json) print_json(b);
    else print_table(b);
    if (!b->json && b->kernels_too && all_kernels(b, &err)) return goss_cli_fail("bench", 1, &err);
    return 0;
}

/* ---- choosing a GPU kernels ---------------------------------------------------------------------------- */
/* A line of telemetry's gpu_kernels: a time, or what came of a product's. */
static void on_choice(void *ctx, const char *json, size_t n)
{
    static const char stage[] = "\"stage\":\"gpu_kernels\"", detail[] = "\"detail\":\"";
    char line[1500];
    (void)ctx;
    if (n >= sizeof line) return;
    memcpy(line, json, n);
    line[n] = 0;
    const char *at = strstr(line, stage) ? strstr(line, detail) : NULL;
    if (!at) return;
    at += sizeof detail - 1;
    printf("%.*s\n", (int)strcspn(at, "\""), at);
    fflush(stdout);
}

/* One answer, then everything is measured and written. */
static int choose(bench *b, goss_engine_options *engine)
{
    goss_error err = { .position = -1 };
    double prefill, decode;
    goss_kernels_file out = { .text = NULL };
    snprintf(out.path, sizeof out.path, "%s", b->choose);
    engine->kernels = NULL;
    engine->config.on_kernels = goss_kernels_file_keep;
    engine->config.kernels_ctx = &out;
    if (!engine->telemetry) {
        engine->config.on_telemetry = on_choice;
        engine->config.telemetry_mask = GOSS_TELEMETRY_LOAD;
    }
    const int status = goss_cli_open(&b->c, engine, "bench", 0);
    if (status) return status;
    goss_cli_catch_interrupts();
    goss_engine_info(b->c.engine, &b->info);
    int rc = bench_one(b, 1, 1, &prefill, &decode, &err);
    while (!rc && !out.measured && !goss_cli_interrupted() &&
           (rc = goss_engine_poll(b->c.engine, 100, &err)) > 0)
        rc = 0;
    goss_cli_close(&b->c, "bench");
    if (rc < 0) return goss_cli_fail("bench", 1, &err);
    if (!out.measured)
        fputs("gossamer bench: nothing was measured: this needs a GPU that has all experts.\n", stderr);
    else if (out.failed)
        fprintf(stderr, "gossamer bench: cannot write %s: %s.\n", b->choose, strerror(out.failed));
    else printf("written   %s\n", b->choose);
    return !out.measured || out.failed;
}

static int open_and_run(bench *b, goss_engine_options *engine)
{
    int most = 1;
    for (int i = 0; i < b->sessions.n; i++) most = b->sessions.v[i] > most ? b->sessions.v[i] : most;
    if (most > 256) {
        fputs("gossamer bench: at most 256 sessions.\n", stderr);
        return 2;
    }
    engine->config.max_sessions = most;
    b->tokens = 14695981039346656037u;
    if (b->kernels_too && !engine->telemetry) {
        engine->config.on_telemetry = on_kernel;
        engine->config.telemetry_ctx = b;
        engine->config.telemetry_mask = GOSS_TELEMETRY_KERNELS;
    }
    const double t0 = goss_bench_now();
    int status = goss_cli_open(&b->c, engine, "bench", 0);
    b->load_ms = goss_bench_now() - t0;
    if (status) return status;
    if (b->kernels_too) goss_engine_telemetry(b->c.engine, 0);
    goss_cli_catch_interrupts();
    goss_engine_info(b->c.engine, &b->info);
    b->bandwidth = read_bandwidth(b->info.n_threads);
    status = run_all(b);
    goss_cli_close(&b->c, "bench");
    return status;
}

int goss_cmd_bench(int argc, char **argv)
{
    goss_engine_options engine;
    const char *prefill = "128,512", *depths = "0,512", *sessions = "4,16", *turns = NULL, *drafts = NULL,
               *args[1];
    bench *b = calloc(1, sizeof *b);
    if (!b) return 1;
    b->n_tokens = 64;
    b->repeats = 3;
    b->random = 42;
    const goss_option options[] = {
        { "--prefill", GOSS_OPT_STR, &prefill, .arg = "N,N,...", .help = "prompt lengths (128,512)" },
        { "--depths", GOSS_OPT_STR, &depths, .arg = "N,N,...",
          .help = "tokens in front of the decoded ones (0,512)" },
        { "--sessions", GOSS_OPT_STR, &sessions, .arg = "N,N,...",
          .help = "sessions at once (4,16); 0: none" },
        { "--turn", GOSS_OPT_STR, &turns, .arg = "N,N,...",
          .help = "a chat's second turn behind N tokens of history: warm and cold" },
        { "--draft-accept", GOSS_OPT_STR, &drafts, .arg = "P,P,...",
          .help = "speculation when P percent of the guesses are right" },
        { "--no-cold", GOSS_OPT_FLAG, &b->no_cold, .help = "of --turn: the warm one only" },
        { "--max-tokens,-n", GOSS_OPT_INT, &b->n_tokens, .arg = "N", .help = "tokens to decode (64)",
          .min = 1, .max = 100000 },
        { "--repeat,-r", GOSS_OPT_INT, &b->repeats, .arg = "N", .help = "runs of each, the best counts (3)",
          .min = 1, .max = 1000 },
        { "--kernels", GOSS_OPT_FLAG, &b->kernels_too,
          .help = "gpu: what each kernel took of a decoding step, by timestamps" },
        { "--choose", GOSS_OPT_STR, &b->choose, .arg = "FILE",
          .help = "gpu: only times candidates for its kernels, and writes FILE for --gpu-kernels" },
        { "--json", GOSS_OPT_FLAG, &b->json, .help = "print one JSON object" },
        { 0 }
    };
    goss_engine_options_init(&engine, GOSS_FOR_COMMANDS);
    const goss_usage usage = {
        "bench", "[MODEL]", "Measures prefill and decode speed and the share of the memory roofline.",
        0,       1,         { options, engine.table }
    };
    const int n = goss_options_read(&usage, argc, argv, args);
    int status = n < 0 ? ~n : goss_engine_options_finish(&engine, "bench", n ? args[0] : NULL);
    if (n >= 0 && !status &&
        (read_list(prefill, &b->prefill) || read_list(depths, &b->depths) ||
         read_list(sessions, &b->sessions) || (turns && read_list(turns, &b->turns)) ||
         (drafts && read_list(drafts, &b->drafts)))) {
        fputs("gossamer bench: a list should be numbers with commas between, as 128,512.\n", stderr);
        status = 2;
    }
    if (n >= 0 && !status) status = b->choose ? choose(b, &engine) : open_and_run(b, &engine);
    free(b);
    return status;
}
