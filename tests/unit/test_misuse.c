/* test_misuse.c - every call of gossamer.h with each argument spoilt, from the list that tools/misuse.py
 * makes of the header: an error or nothing, never a crash, and the engine works as before. Each runs in a
 * process of its own. */
#include "unit.h"
#include <gossamer.h>
#include <limits.h>
#include <sys/wait.h>
#include <unistd.h>

#define GOSS_TEST_MODEL "models/demo-gptoss-draft.gguf"
enum { SECONDS = 120 };
typedef struct good {
    goss_engine *engine;
    goss_session *session;
    goss_engine_config config;
    goss_params params;
    goss_conversation talk;
    float *logits;
} good;

static void on_trace(void *ctx, const char *stage, int layer, const float *values, int n_rows, int width)
{
    (void)ctx, (void)stage, (void)layer, (void)values, (void)n_rows, (void)width;
}
static void on_parity(void *ctx, const goss_parity_row *row) { (void)ctx, (void)row; }
static int on_token(void *ctx, const goss_event *event) { return ctx && event->kind == GOSS_EVENT_DONE; }
static int on_text(void *ctx, const char *text, int n) { return ctx && text && n < 0; }
static void on_telemetry(void *ctx, const char *json, size_t n) { (void)ctx, (void)json, (void)n; }
static int on_block(void *ctx, const void *bytes, size_t n, uint32_t first, uint32_t n_tokens)
{
    (void)ctx, (void)bytes, (void)n, (void)first, (void)n_tokens;
    return 0;
}
static void on_model(void *ctx, const char *path, const goss_model_info *info)
{
    (void)ctx, (void)path, (void)info;
}

/* A prompt that was taken is generated, too. */
static int run(good *g, int rc)
{
    goss_event ev = { 0 };
    for (int i = 0; !rc && i < 1000 && ev.kind != GOSS_EVENT_DONE; i++) {
        goss_engine_poll(g->engine, 10, NULL);
        while (ev.kind != GOSS_EVENT_DONE && goss_session_event(g->session, &ev)) {}
    }
    return rc;
}

static void prepare(good *g)
{
    *g = (good){ .config = { .model_path = GOSS_TEST_MODEL, .backend = "cpu", .n_threads = 1, .max_kv = 64 },
                 .params = goss_params_default() };
    goss_error err;
    g->params.max_tokens = 4;
    if (goss_engine_open(&g->engine, &g->config, &err)) exit(3);
    while (goss_engine_state(g->engine) == GOSS_ENGINE_LOADING) goss_engine_poll(g->engine, 100, &err);
    if (goss_session_open(g->engine, &g->session, &err)) exit(3);
    g->logits = calloc(1 << 20, sizeof *g->logits);
}

/* 0: the case number `at` behaves, 1: it doesn't, 2: there is none. Says its name. */
static int run_case(int at, char *name, size_t cap, int only_name)
{
    good all = { 0 }, *g = &all;
    goss_engine *other = NULL;
    goss_session *another = NULL;
    goss_schemas *schemas = NULL;
    goss_error err;
    goss_model_info info;
    goss_stats stats;
    goss_schema_report report;
    goss_plan_info plan;
    goss_event event;
    goss_lens_row lens[4];
    goss_rows told_rows;
    const goss_record_config record = { .block = on_block };
    const goss_ring ring = { .n = 1 }; /* nobody to end */
    int32_t ids[64] = { 5, 6 };
    char text[64] = "ab";
    const char *chat = "{}";
    int i = 0, bad = 0;
    if (!only_name) prepare(g);
#define TRY(what, ...)                                       \
    if (i++ == at) {                                         \
        snprintf(name, cap, "%s", what);                     \
        if (only_name) return 0;                             \
        __VA_ARGS__;                                         \
    }
#define MAY(what, call) TRY(what, (void)(call))
#define MUST_FAIL(what, call) TRY(what, bad = (call) >= 0)
#include "gen/misuse.h"
    if (at >= i) return 2;
    /* and the engine is as it was */
    char answer[32] = "";
    goss_params four = goss_params_default();
    four.max_tokens = 4;
    four.ignore_stop = 1;
    bad |= goss_complete(g->engine, "Once", &four, answer, sizeof answer, &err) < 1 || !answer[0];
    goss_session_close(&another);
    goss_schemas_close(&schemas);
    goss_engine_close(&other);
    goss_session_close(&g->session);
    goss_engine_close(&g->engine);
    free(g->logits);
    return bad;
}

int main(void)
{
    for (int at = 0;; at++) {
        char name[120] = "";
        int status = 0;
        if (run_case(at, name, sizeof name, 1) == 2) break;
        fflush(stdout);
        const pid_t child = fork();
        if (!child) {
            alarm(SECONDS);
            _exit(run_case(at, name, sizeof name, 0));
        }
        waitpid(child, &status, 0);
        if (status) printf("%s: %s %d\n", name, WIFSIGNALED(status) ? "signal" : "status",
                           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        CHECK(!status);
    }
    CHECK(unit_passed + unit_failed > 150);
    return unit_done("test_misuse");
}
