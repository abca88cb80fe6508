/* test_gpu_pages.c - experts that don't fit: whatever the cap, down to as many slots as a token wants, logits
 * are the same to the bit and so are the tokens, in prefill in any chunking, in decoding with two steps in
 * flight, with several sessions, under taps; and with some layers' experts on the CPU the best tokens are.
 * Needs an adapter (SwiftShader will do). */
#include "engine_util.h"
#include "late_source.h"

static const char *const model = "models/demo-gptoss.gguf";
enum { N = 20, VOCAB = 4096, NEW = 8, CHUNKS = 3, SESSIONS = 3 };
static int32_t ids[N];

static int open_engine(goss_engine **e, uint64_t cache, int n_cpu_moe, goss_error *err)
{
    const goss_engine_config c = { .model_path = model, .backend = "gpu", .max_kv = 512, .max_sessions = 6,
                                   .webgpu_path = getenv("GOSSAMER_WEBGPU"), .expert_cache = cache,
                                   .n_cpu_moe = n_cpu_moe };
    int r = goss_engine_open(e, &c, err);
    while (!r && goss_engine_state(*e) == GOSS_ENGINE_LOADING)
        r = goss_engine_poll(*e, 10, err) < 0 ? err->code : 0;
    return r;
}

static float *logits_of(goss_engine *e, int chunk)
{
    goss_error err;
    float *v = malloc(sizeof *v * N * VOCAB);
    if (goss_eval(e, ids, N, chunk, 1, v, &err)) { printf("eval: %s\n", err.text); free(v); return NULL; }
    return v;
}

/* The tokens of n sessions that run at once, greedy and not. */
static void generate(goss_engine *e, int n, int32_t out[][NEW])
{
    goss_session *s[SESSIONS] = { 0 };
    goss_error err = { 0 };
    int done = 0, got[SESSIONS] = { 0 };
    for (int i = 0; i < n; i++) {
        goss_params p = goss_params_default();
        p.temperature = i & 1 ? 1.0f : 0.0f;
        p.seed = (uint64_t)i;
        p.ignore_stop = 1;
        p.max_tokens = NEW - 2 * i;
        CHECK_INT(goss_session_open(e, &s[i], &err), 0);
        CHECK_INT(goss_session_prompt(s[i], ids + i, 6 + 5 * i, &p, &err), 0);
    }
    while (done < n && goss_engine_poll(e, 100, &err) >= 0)
        for (int i = 0; i < n; i++) {
            goss_event ev;
            while (goss_session_event(s[i], &ev)) {
                if (ev.kind == GOSS_EVENT_TOKEN && got[i] < NEW) out[i][got[i]++] = ev.token;
                if (ev.kind == GOSS_EVENT_DONE) { done++; CHECK_INT(ev.stop, GOSS_STOP_LENGTH); }
            }
        }
    CHECK_INT(done, n);
    for (int i = 0; i < n; i++) goss_session_close(&s[i]);
}

static uint64_t sum_of; static int tapped;
static void tap(void *ctx, const char *stage, int layer, const float *values, int n_rows, int width)
{
    (void)ctx; (void)stage; (void)layer;
    tapped++;
    for (int i = 0; i < n_rows * width; i++) {
        union { float f; uint32_t u; } v = { values[i] };
        sum_of = sum_of * 31 + v.u;
    }
}

static uint64_t trace_of(goss_engine *e, int chunk)
{
    goss_error err = { 0 };
    sum_of = 0;
    tapped = 0;
    CHECK_INT(goss_trace(e, ids, N, chunk, tap, NULL, &err), 0);
    return sum_of;
}

static const int chunks[CHUNKS] = { 2, 16, 20 };
typedef struct expected {
    float *logits[CHUNKS];
    int32_t one[1][NEW], many[SESSIONS][NEW];
    uint64_t trace[2];
} expected;

static void run_all(goss_engine *e, expected *x)
{
    for (int i = 0; i < CHUNKS; i++) x->logits[i] = logits_of(e, chunks[i]);
    memset(x->one, 0, sizeof x->one);
    memset(x->many, 0, sizeof x->many);
    generate(e, 1, x->one);
    generate(e, SESSIONS, x->many);
    x->trace[0] = trace_of(e, 8);
    x->trace[1] = trace_of(e, N);
}

static void compare(const expected *a, const expected *b, const char *what)
{
    for (int i = 0; i < CHUNKS; i++) {
        long wrong = 0, first = -1;
        for (long k = 0; a->logits[i] && b->logits[i] && k < (long)N * VOCAB; k++)
            if (a->logits[i][k] != b->logits[i][k]) {
                if (first < 0) first = k;
                wrong++;
            }
        if (wrong)
            printf("%s, chunks of %d: %ld logits differ, first in row %ld\n", what, chunks[i], wrong,
                   first / VOCAB);
        CHECK(a->logits[i] && b->logits[i] && !wrong);
    }
    CHECK(!memcmp(a->one, b->one, sizeof a->one));
    CHECK(!memcmp(a->many, b->many, sizeof a->many));
    CHECK(a->trace[0] == b->trace[0]);
    CHECK(a->trace[1] == b->trace[1]);
}

/* The CPU's arithmetic is another: the best token must be the same wherever it leads by more than 0.25. */
static void compare_best(const float *a, const float *b, int *checked)
{
    for (int row = 0; row < N; row++, a += VOCAB, b += VOCAB) {
        int best = 0, other = 0;
        float second = -1e30f;
        for (int i = 1; i < VOCAB; i++) {
            if (a[i] > a[best]) best = i;
            if (b[i] > b[other]) other = i;
        }
        for (int i = 0; i < VOCAB; i++) if (i != best && a[i] > second) second = a[i];
        if (a[best] - second <= 0.25f) continue;
        CHECK_INT(other, best);
        ++*checked;
    }
}

static void on_host(const expected *all, uint64_t cache)
{
    static const int layers[] = { 6, 2 };
    goss_engine *e = NULL;
    goss_error err = { 0 };
    for (int i = 0; i < 2; i++) {
        int checked = 0;
        int32_t one[1][NEW], many[SESSIONS][NEW];
        CHECK_INT(open_engine(&e, i ? cache : 0, layers[i], &err), 0);
        if (!e) return;
        for (int k = 0; k < CHUNKS; k++) {
            float *v = logits_of(e, chunks[k]);
            CHECK(v != NULL);
            if (v) compare_best(all->logits[k], v, &checked);
            free(v);
        }
        CHECK(checked > N);
        generate(e, 1, one);
        generate(e, SESSIONS, many);
        CHECK(trace_of(e, 8) != 0);
        goss_engine_close(&e);
    }
}

/* The same model from a source that is read: weights, then experts as they are wanted. */
static void from_source(const expected *all, uint64_t cache)
{
    size_t size;
    late l = { .bytes = read_all(model, &size) };
    const goss_source src = { .name = "late", .size = size, .read = late_read, .ctx = &l };
    const goss_engine_config c = { .sources = &src,
                                   .n_sources = 1,
                                   .backend = "gpu",
                                   .max_kv = 512,
                                   .max_sessions = 6,
                                   .webgpu_path = getenv("GOSSAMER_WEBGPU"),
                                   .expert_cache = cache };
    goss_error err = { 0 };
    goss_session *s = NULL;
    goss_params p = goss_params_default();
    int got = 0, done = 0, r = goss_engine_open(&l.e, &c, &err);
    while (!r && goss_engine_state(l.e) == GOSS_ENGINE_LOADING) {
        r = goss_engine_poll(l.e, 1, &err) < 0;
        answer_one(&l);
    }
    CHECK(!r);
    p.temperature = 0;
    p.ignore_stop = 1;
    p.max_tokens = NEW;
    if (!r) {
        CHECK_INT(goss_session_open(l.e, &s, &err), 0);
        CHECK_INT(goss_session_prompt(s, ids, 6, &p, &err), 0);
        while (!done && goss_engine_poll(l.e, 1, &err) >= 0) {
            goss_event ev;
            answer_one(&l);
            while (goss_session_event(s, &ev)) {
                if (ev.kind == GOSS_EVENT_TOKEN && got < NEW) CHECK_INT(ev.token, all->one[0][got++]);
                done |= ev.kind == GOSS_EVENT_DONE;
            }
        }
        CHECK_INT(got, NEW);
        goss_session_close(&s);
    } else printf("source: %s\n", err.text);
    goss_engine_close(&l.e);
    free((char *)(uintptr_t)l.bytes);
}

static void free_logits(expected *x) { for (int i = 0; i < CHUNKS; i++) free(x->logits[i]); }

int main(void)
{
    static expected all, some;
    goss_engine *e = NULL;
    goss_error err = { 0 };
    uint32_t r = 7;
    for (int i = 0; i < N; i++) { r = r * 1664525u + 1013904223u; ids[i] = (int32_t)((r >> 8) % 4000); }
    if (open_engine(&e, 0, 0, &err)) {
        printf("SKIP no GPU: %s\n", err.text);
        return unit_done("test_gpu_pages");
    }
    run_all(e, &all);
    goss_stats st;
    goss_engine_stats(e, &st);
    CHECK(st.expert_misses == 0);
    goss_engine_close(&e);
    const uint64_t slot = 319488;                      /* bytes of one expert of each of the 6 layers */
    static const int slots[] = { 9, 4 };
    for (size_t i = 0; i < sizeof slots / sizeof *slots; i++) {
        char what[32];
        snprintf(what, sizeof what, "%d slots", slots[i]);
        CHECK_INT(open_engine(&e, slots[i] * slot, 0, &err), 0);
        if (!e) break;
        run_all(e, &some);
        compare(&all, &some, what);
        free_logits(&some);
        goss_engine_stats(e, &st);
        printf("%s: hits %llu misses %llu evictions %llu stalls %llu, %.0f ms\n", what,
               (unsigned long long)st.expert_hits, (unsigned long long)st.expert_misses,
               (unsigned long long)st.expert_evictions,
               (unsigned long long)st.expert_stalls, st.expert_stall_ms);
        CHECK(st.expert_misses > 0 && st.expert_evictions > 0 && st.expert_stalls > 0);
        goss_engine_close(&e);
    }
    CHECK_INT(open_engine(&e, 3 * slot, 0, &err), GOSS_ELIMIT);
    CHECK(strstr(err.text, "--expert-cache") != NULL);
    goss_engine_close(&e);
    from_source(&all, 5 * slot);
    on_host(&all, 5 * slot);
    free_logits(&all);
    return unit_done("test_gpu_pages");
}
