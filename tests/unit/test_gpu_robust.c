/* test_gpu_robust.c - what goes wrong with a GPU, end to end through the engine: a device lost in the middle
 * of a stream and while it loads, too little memory, kernels that don't compile or launch, what telemetry
 * says about memory. Skipped where there is no adapter. usage: test_gpu_robust [quick]: one loss only, since
 * each device that is opened costs a software adapter seconds of compiling */
#include "gpu/device/gpu_faults.h"
#include "engine/telemetry/turn.h"
#include "gpu_engine.h"

enum { TOKENS = 24 };

static goss_engine_config config(void)
{
    return gpu_config(GOSS_TELEMETRY_LOAD | GOSS_TELEMETRY_STAGES | GOSS_TELEMETRY_TOKENS);
}

static int load(goss_engine *e, goss_error *err)
{
    int r = 1;
    while (r > 0 && goss_engine_state(e) == GOSS_ENGINE_LOADING) r = goss_engine_poll(e, 20, err);
    return goss_engine_state(e) == GOSS_ENGINE_READY ? 0 : r < 0 ? r : -1;
}

/* Greedy tokens of one prompt; the device is lost after each of the counts in lose (ended by 0). */
static void stream(goss_engine *e, const int *lose, answer *a)
{
    goss_session *s = NULL;
    goss_error err = { 0 };
    int32_t ids[512];
    const int n = goss_chat_render(e, CHAT, strlen(CHAT), ids, 512, &err);
    goss_params p = greedy_params(TOKENS);
    p.ignore_stop = 1;
    memset(a, 0, sizeof *a);
    CHECK_INT(goss_session_open(e, &s, &err), 0);
    CHECK_INT(goss_session_prompt(s, ids, n, &p, &err), 0);
    while (!take_events(s, a)) {
        if (*lose && a->n >= *lose && goss_engine_state(e) == GOSS_ENGINE_READY) {
            goss_gpu_lose(state_of(e)->gpu);
            lose++;
        }
        if (goss_engine_poll(e, 50, &err) < 0) {
            printf("poll: %s\n", err.text);
            CHECK(0);
            break;
        }
    }
    CHECK_INT(*lose, 0);
    CHECK_INT(a->error.code, 0);
    goss_session_close(&s);
}

static void same(const answer *a, const answer *b)
{
    CHECK_INT(a->n, TOKENS);
    CHECK_INT(b->n, TOKENS);
    CHECK(!memcmp(a->ids, b->ids, sizeof(int32_t) * TOKENS));
}

/* Telemetry's gpu_allocated is the sum of the live buffers. */
static void accounts(goss_engine *e)
{
    const goss_gpu_state *s = state_of(e);
    uint64_t sum = 0;
    int n = 0;
    char want[64];
    for (int id = 1; id < 65536; id++) {
        sum += goss_gpu_buffer_size(s->gpu, id);
        n += goss_gpu_buffer_size(s->gpu, id) > 0;
    }
    goss_stats stats;
    goss_engine_stats(e, &stats);
    CHECK(sum > 0 && stats.gpu_bytes == sum && goss_gpu_allocated(s->gpu) == sum &&
          goss_gpu_buffers(s->gpu) == n);
    const goss_turn none = { 0 };
    goss_backend_stats parts = { 0 };
    goss_buf_clear(&lines);
    e->loaded.backend->vt->stats(e->loaded.backend, &parts);
    goss_telemetry_totals(&e->telemetry, &none, &stats, &parts);
    snprintf(want, sizeof want, "\"gpu_allocated\":%llu,", (unsigned long long)sum);
    CHECK(said(want));
}

static void clean(goss_engine *e)
{
    goss_error err = { 0 };
    if (goss_gpu_error(state_of(e)->gpu, &err)) {
        printf("%s\n", err.text);
        CHECK(0);
    }
}

/* Cut where nothing is known or a layer takes longer than it may, whole where all fits; the tokens are the
 * same. */
static void cut(goss_engine *e, const answer *whole)
{
    static const int never[] = { 0 };
    static answer a;
    goss_gpu_state *s = state_of(e);
    const int layers = s->base.model->hp.n_layer;
    CHECK_INT(s->rec.cuts, 0);
    s->rec.cut_ms = 0.001;
    stream(e, never, &a);
    same(&a, whole);
    CHECK(s->rec.cuts >= TOKENS * layers);
    s->rec.cut_ms = 1e6;
    s->rec.cuts = 0;
    stream(e, never, &a);
    same(&a, whole);
    CHECK_INT(s->rec.cuts, 0);
    s->rec.cut_ms = 0.001;                                 /* the device is lost like this */
}

/* e is loaded, and closed here. */
static void lost(goss_engine *e, answer *whole, int quick)
{
    static const int never[] = { 0 }, twice[] = { 1, 10, 0 };
    const int *sometimes = quick ? twice + 1 : twice;
    goss_error err = { 0 };
    static answer a;
    CHECK(said("gpu_limits") && said("max_binding="));
    stream(e, never, whole);
    cut(e, whole);
    clean(e);
    stream(e, sometimes, &a);
    same(&a, whole);
    CHECK(said("device_lost") && said("device_restored"));
    clean(e);
    accounts(e);
    goss_engine_close(&e);
    if (quick) return;
    const goss_engine_config c = config();             /* while it loads, and for good */
    CHECK_INT(goss_engine_open(&e, &c, &err), 0);
    while (goss_engine_state(e) == GOSS_ENGINE_LOADING && state_of(e)->phase < GOSS_GPU_COMPILING)
        goss_engine_poll(e, 20, &err);
    goss_gpu_lose(state_of(e)->gpu);
    CHECK_INT(load(e, &err), 0);
    stream(e, never, &a);
    same(&a, whole);
    goss_engine_close(&e);
}

/* Room for the weights and a little more: the KV shrinks; without that room, one sentence that names what to
 * do. */
static void memory(const answer *whole, uint64_t weights)
{
    static const int never[] = { 0 };
    goss_engine *e = NULL;
    goss_error err = { 0 };
    static answer a;
    const uint64_t limit = weights + (80 << 20);
    goss_engine_config c = config();
    c.max_kv = 0;
    goss_gpu_memory_limit(limit);
    CHECK_INT(goss_engine_open(&e, &c, &err), 0);
    CHECK_INT(load(e, &err), 0);
    if (goss_engine_state(e) != GOSS_ENGINE_READY) {
        printf("# %s\n", err.text);
        goss_engine_close(&e);
        goss_gpu_memory_limit(0);
        return;
    }
    const uint64_t used = goss_gpu_allocated(state_of(e)->gpu);
    CHECK(used <= limit);
    const goss_plan_info *plan = &e->loaded.plan;
    CHECK(used <= state_of(e)->weights.bytes + plan->kv_bytes + plan->scratch_bytes); /* as the plan said */
    CHECK(state_of(e)->weights.kv_bytes <= plan->kv_bytes);
    CHECK(e->loaded.max_kv >= 64);
    CHECK(said("kv=") && said("->"));
    stream(e, never, &a);
    same(&a, whole);
    goss_engine_close(&e);
    c = config();
    goss_gpu_memory_limit(weights / 2);
    err = (goss_error){ 0 };
    int r = goss_engine_open(&e, &c, &err);
    if (!r) r = load(e, &err);
    CHECK(r == GOSS_ENOMEM || r == GOSS_ELIMIT);
    CHECK(strstr(err.text, "--max-kv") != NULL);
    goss_gpu_memory_limit(0);
    printf("# %s\n", err.text);
    goss_engine_close(&e);
}

/* Kernels that don't compile, or can't be dispatched, on the first `opens` devices. */
static void broken(const answer *whole, const char *name, int launch, int opens, int works)
{
    static const int never[] = { 0 };
    goss_engine *e = NULL;
    goss_error err = { 0 };
    static answer a;
    goss_engine_config c = config();
    CHECK_INT(goss_engine_open(&e, &c, &err), 0);
    goss_gpu_state *s = state_of(e);
    static goss_gpu_tests tests;
    snprintf(tests.broken.name, sizeof tests.broken.name, "%s", name);
    tests.broken.launch = launch;
    tests.broken.opens = launch ? 0 : opens - 1;
    s->tests = &tests;
    goss_gpu_break(s->gpu, name, launch);
    const int r = load(e, &err);
    if (!works) {
        CHECK_INT(r, GOSS_EGPU);
        CHECK(strstr(err.text, name) && strstr(err.text, "broken by a test"));
        printf("# %s\n", err.text);
    } else {
        if (r) printf("%s: %s\n", name, err.text);
        CHECK_INT(r, 0);
        if (r) {
            goss_engine_close(&e);
            return;
        }
        stream(e, never, &a);
        same(&a, whole);
    }
    CHECK(said("weights_retry") && said("tile=1/2"));
    CHECK_INT(said("tile=2/2"), opens > 1);
    goss_engine_close(&e);
}

int main(int argc, char **argv)
{
    const int quick = argc > 1 && !strcmp(argv[1], "quick");
    static answer whole;
    goss_engine *e = NULL;
    goss_error err = { 0 };
    setvbuf(stdout, NULL, _IOLBF, 0);
    lines = GOSS_BUF(1 << 22);
    goss_engine_config c = config();
    int r = goss_engine_open(&e, &c, &err);
    if (!r) r = load(e, &err);
    const uint64_t weights = r ? 0 : state_of(e)->weights.bytes;
    if (r) {
        goss_engine_close(&e);
        printf("SKIP test_gpu_robust: %s\ntest_gpu_robust: 0 passed, 0 failed, 1 skipped\n", err.text);
        return strstr(err.text, "adapter") || strstr(err.text, "WebGPU library") ? 0 : 1;
    }
    lost(e, &whole, quick);
    if (!quick) memory(&whole, weights);
    if (!quick) {
        broken(&whole, "merge.wgsl", 0, 1, 1);
        broken(&whole, "matvec.wgsl", 0, 3, 0);
        broken(&whole, "norm.wgsl", 1, 1, 1);
    }
    goss_buf_free(&lines);
    return unit_done("test_gpu_robust");
}
