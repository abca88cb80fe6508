/* test_lanes.c - lines about all sessions: the rows of steps add up to the prompts and answers, who waits is
 * named with whom it waits for, KV pages are those of goss_stats, tensors are the file's, and a CPU's kernels
 * have read what the model says that a token reads. Nothing is said unless it is asked for. */
#include "engine_util.h"

enum { SLOTS = 3 };
typedef struct seen {
    int n_steps, together, next, gaps, prompts, waits, waits_for, reused[SLOTS], from[SLOTS], joined[SLOTS];
    int prompt_rows[SLOTS], rows[SLOTS], drafted, accepted, idle;
    double used, shared, tensors, tensor_bytes, kernels, experts_bytes, head_bytes, head_ops;
    int lines;
} seen;

static double number(const goss_json *j, int of, const char *name)
{
    return goss_json_number(j, goss_json_get(j, of, name), -1);
}

static int at(const goss_json *j, int array, int i)
{
    int k = goss_json_first(j, array);
    while (i-- && k >= 0) k = goss_json_next(j, k);
    return k;
}

static void on_steps(seen *s, const goss_json *j, int e)
{
    const int first = (int)number(j, e, "first");
    if (s->n_steps && first != s->next) s->gaps++;
    s->next = first;
    for (int step = goss_json_first(j, goss_json_get(j, e, "steps")); step >= 0;
         step = goss_json_next(j, step)) {
        int sessions = 0;
        s->next++;
        s->n_steps++;
        for (int r = at(j, step, 2); r >= 0; r = goss_json_next(j, r)) {
            double v[6] = { 0 };
            int n = 0;
            for (int k = goss_json_first(j, r); k >= 0 && n < 6; k = goss_json_next(j, k))
                v[n++] = goss_json_number(j, k, -1);
            const int slot = (int)v[0];
            sessions++;
            s->drafted += (int)v[4];
            s->accepted += (int)v[5];
            if (slot < 0 || slot >= SLOTS) {
                s->idle++;
                continue;
            }
            s->rows[slot] += (int)v[2];
            s->prompt_rows[slot] += (int)v[3];
        }
        s->together += sessions > 1;
    }
}

static void on_prompt(seen *s, const goss_json *j, int e)
{
    const int slot = (int)number(j, e, "session");
    s->prompts++;
    s->reused[slot] = (int)number(j, e, "reused");
    s->joined[slot] = (int)number(j, e, "joined");
    s->from[slot] = (int)number(j, e, "from");
}

static double both(const goss_json *j, int e, const char *name, int bytes)
{
    const int list = goss_json_get(j, e, name);
    return goss_json_number(j, at(j, list, 0), 0) * goss_json_number(j, at(j, bytes, 0), 0) +
           goss_json_number(j, at(j, list, 1), 0) * goss_json_number(j, at(j, bytes, 1), 0);
}

static void on_kernel(seen *s, const goss_json *j, int e)
{
    const int name = goss_json_get(j, e, "kernel");
    s->kernels++;
    CHECK(number(j, e, "gpu_us") > 0 && number(j, e, "roofline") > 0 && number(j, e, "ops") > 0);
    if (goss_json_is(j, name, "experts")) s->experts_bytes = number(j, e, "bytes");
    if (!goss_json_is(j, name, "head")) return;
    s->head_bytes = number(j, e, "bytes");
    s->head_ops = number(j, e, "ops");
}

static void on_line(void *ctx, const char *json, size_t n)
{
    seen *s = ctx;
    goss_json j = { 0 };
    goss_error err;
    s->lines++;
    CHECK_INT(goss_json_parse(&j, json, n, NULL, &err), 0);
    const int e = goss_json_get(&j, 0, "event"), type = goss_json_get(&j, e, "type");
    if (goss_json_is(&j, type, "steps")) on_steps(s, &j, e);
    if (goss_json_is(&j, type, "prompt")) on_prompt(s, &j, e);
    if (goss_json_is(&j, type, "kernel_time")) on_kernel(s, &j, e);
    if (goss_json_is(&j, type, "wait")) {
        s->waits++;
        s->waits_for = (int)number(&j, e, "for");
        CHECK_INT((int)number(&j, e, "session"), 1);
    }
    if (goss_json_is(&j, type, "kv_pages")) {
        const int bytes = goss_json_get(&j, e, "bytes");
        s->used = both(&j, e, "used", bytes);
        s->shared = both(&j, e, "shared", bytes);
    }
    for (int t = goss_json_is(&j, type, "tensors") ? goss_json_first(&j, goss_json_get(&j, e, "list")) : -1;
         t >= 0; t = goss_json_next(&j, t)) {
        s->tensors++;
        s->tensor_bytes += goss_json_number(&j, at(&j, t, 2), 0);
    }
    goss_json_free(&j);
}

static goss_engine *open_with(unsigned mask, seen *s)
{
    const goss_engine_config c = { .model_path = "models/demo-gptoss.gguf",
                                   .backend = "cpu",
                                   .max_kv = 1024,
                                   .max_sessions = SLOTS,
                                   .on_telemetry = on_line,
                                   .telemetry_ctx = s,
                                   .telemetry_mask = mask };
    goss_engine *e = NULL;
    goss_error err = { 0 };
    *s = (seen){ 0 };
    CHECK_INT(goss_engine_open(&e, &c, &err), 0);
    return e;
}

static void until_idle(goss_engine *e)
{
    goss_error err = { 0 };
    int rc;
    while ((rc = goss_engine_poll(e, 10, &err)) == 1) {}
    CHECK_INT(rc, 0);
}

/* The second asks the same while the first is being prefilled: it waits, and takes what both share. */
static void two_sessions(void)
{
    enum { N = 300, NEW = 12 };
    seen s;
    goss_error err = { 0 };
    goss_engine *e = open_with(GOSS_TELEMETRY_STEPS, &s);
    goss_session *a = NULL, *b = NULL;
    const goss_params p = greedy_params(NEW);
    int32_t ids[N];
    static answer got[2];
    memset(got, 0, sizeof got);
    for (int i = 0; i < N; i++) ids[i] = 100 + i % 97;
    CHECK_INT(goss_session_open(e, &a, &err), 0);
    CHECK_INT(goss_session_open(e, &b, &err), 0);
    CHECK_INT(goss_session_prompt(a, ids, N, &p, &err), 0);
    ids[N - 1] = 5;
    CHECK_INT(goss_session_prompt(b, ids, N, &p, &err), 0);
    while (!take_events(a, &got[0]) + !take_events(b, &got[1])) CHECK(goss_engine_poll(e, 10, &err) >= 0);
    until_idle(e);
    CHECK_INT(s.waits, 1);
    CHECK_INT(s.waits_for, 0);
    CHECK_INT(s.prompts, 2);
    CHECK_INT(s.reused[0], 0);
    CHECK_INT(s.from[0], -1);
    CHECK(s.reused[1] > 0 && s.joined[1] == s.reused[1]);
    CHECK_INT(s.from[1], 0);
    CHECK_INT(s.prompt_rows[0], N);
    CHECK_INT(s.prompt_rows[1], N - s.reused[1]);
    CHECK_INT(s.rows[0], N + NEW - 1);
    CHECK_INT(s.rows[1], N - s.reused[1] + NEW - 1);
    CHECK(s.together > 0);
    CHECK_INT(s.gaps, 0);
    goss_stats all;
    goss_engine_stats(e, &all);
    CHECK_INT(s.n_steps, (int)all.n_steps);
    CHECK(s.used > 0 && s.used == (double)all.kv_bytes_used);
    CHECK(s.shared > 0 && s.shared == (double)all.kv_bytes_shared);
    goss_model_info info;
    goss_engine_info(e, &info);
    CHECK(s.tensors > 60 && s.tensor_bytes > 0.8 * (double)info.file_bytes);
    CHECK(s.tensor_bytes < (double)info.file_bytes);
    CHECK_INT((int)s.kernels, 0);
    goss_engine_close(&e);
}

/* One session: its parts have read no more than a token reads, and its experts what they are. */
static void kernels(void)
{
    seen s;
    goss_error err = { 0 };
    goss_engine *e = open_with(GOSS_TELEMETRY_KERNELS, &s);
    char out[512];
    goss_params p = greedy_params(80);
    p.ignore_stop = 1;
    goss_model_info info;
    goss_engine_info(e, &info);
    CHECK(goss_complete(e, "Once upon a time there was a fox.", &p, out, sizeof out, &err) >= 0);
    CHECK(s.kernels >= 6 && s.n_steps == 0);
    CHECK(s.experts_bytes > 0.9 * (double)info.step_expert_bytes);
    CHECK(s.experts_bytes <= (double)info.step_expert_bytes);
    CHECK(s.head_bytes > 0 && s.head_bytes < (double)info.step_bytes);
    CHECK(s.head_ops == 2.0 * info.n_embd * info.n_vocab);
    goss_engine_telemetry(e, 0);
    const int lines = s.lines;
    CHECK(goss_complete(e, "Another one.", &p, out, sizeof out, &err) >= 0);
    CHECK_INT(s.lines, lines);
    goss_engine_close(&e);
}

/* Whoever listens later hears of steps from then on. */
static void later(void)
{
    seen s;
    goss_error err = { 0 };
    goss_engine *e = open_with(0, &s);
    char out[512];
    goss_params p = greedy_params(8);
    p.ignore_stop = 1;
    CHECK(goss_complete(e, "One.", &p, out, sizeof out, &err) >= 0);
    until_idle(e);
    CHECK_INT(s.lines, 0);
    goss_engine_telemetry(e, GOSS_TELEMETRY_STEPS);
    CHECK(goss_complete(e, "Two.", &p, out, sizeof out, &err) >= 0);
    until_idle(e);
    CHECK(s.n_steps >= 8 && s.n_steps < 16);
    goss_engine_close(&e);
}

int main(void)
{
    two_sessions();
    kernels();
    later();
    return unit_done("lanes");
}
