/* test_gpu_choice.c - kernels chosen by measuring, through the engine: nothing is measured before the first
 * answer; what comes is read by the next engine, which measures nothing; a request meanwhile is answered and
 * spoils nothing; a choice that somebody wrote is used, told, and part of what prefixes are kept under; a
 * broken one, or one for another device, stops only who gave it by hand. Of the kernels for few rows alone,
 * since each device that is opened costs a software adapter seconds of compiling. Skipped where there is no
 * adapter. */
#include "base/fmt.h"
#include "gpu_engine.h"

#define BROKEN "device *\nfew mx4 64\nend\n"
enum { TOKENS = 16 };
static goss_buf kept;
static int n_kept;

static void on_kernels(void *ctx, const char *text, size_t n)
{
    (void)ctx;
    CHECK_INT(strlen(text), n);
    n_kept++;
    goss_buf_clear(&kept);
    goss_buf_append(&kept, text, n);
}

/* 0, or why not. */
static int open_engine(goss_engine **e, const char *kernels, int measures, goss_error *err)
{
    goss_engine_config c = gpu_config(GOSS_TELEMETRY_LOAD);
    c.gpu_kernels = kernels;
    c.on_kernels = measures ? on_kernels : NULL;
    n_kept = 0;
    int r = goss_engine_open(e, &c, err);
    while (r >= 0 && goss_engine_state(*e) == GOSS_ENGINE_LOADING) r = goss_engine_poll(*e, 20, err);
    return r < 0 ? r : 0;
}

static void ask(goss_engine *e, answer *a)
{
    goss_session *s = NULL;
    goss_error err = { 0 };
    int32_t ids[512];
    const int n = goss_chat_render(e, CHAT, strlen(CHAT), ids, 512, &err);
    goss_params p = greedy_params(TOKENS);
    p.ignore_stop = 1;
    CHECK_INT(goss_session_open(e, &s, &err), 0);
    CHECK_INT(goss_session_prompt(s, ids, n, &p, &err), 0);
    CHECK_INT(run_to_end(e, s, a), 0);
    CHECK_INT(a->n, TOKENS);
    goss_session_close(&s);
}

static void same(const answer *a, const answer *b)
{
    CHECK(!memcmp(a->ids, b->ids, sizeof(int32_t) * TOKENS));
}

/* Polls until nothing is left to do, or, with `until`, until telemetry says it. */
static void rest(goss_engine *e, const char *until)
{
    goss_error err = { 0 };
    int r = 1;
    while (r > 0 && !(until && said(until))) r = goss_engine_poll(e, 100, &err);
    CHECK(until ? said(until) : r == 0);
}

static void measured(goss_engine *e, answer *first)
{
    answer again;
    goss_error err = { 0 };
    goss_engine_poll(e, 10, &err);
    CHECK(!state_of(e)->measure && !said("product="));
    ask(e, first);
    CHECK_INT(n_kept, 0);
    rest(e, "product=few");
    ask(e, &again); /* in the middle of it */
    same(first, &again);
    CHECK_INT(n_kept, 0);
    rest(e, NULL);
    CHECK_INT(n_kept, 1);
    CHECK(said("chosen=few ") && said("measured=1 "));
    ask(e, &again);
    rest(e, NULL);
    same(first, &again);
    CHECK_INT(n_kept, 1);
}

/* The engine that comes next has the line and measures nothing. */
static void stored(const char *text, const answer *first)
{
    goss_engine *e = NULL;
    goss_error err = { 0 };
    answer a;
    CHECK_INT(open_engine(&e, text, 1, &err), 0);
    CHECK(said("\"detail\":\"lines=1 mark="));
    CHECK_INT(state_of(e)->choice.n, 1);
    ask(e, &a);
    rest(e, NULL);
    CHECK_INT(n_kept, 0);
    CHECK(!said("product="));
    if (said("mark=00000000")) same(first, &a);
    goss_engine_close(&e);
}

/* Of bytes where features say floats, or the other way. */
static void forced(goss_gpu_state *fixed, const char *level, const answer *first)
{
    const goss_model *m = fixed->base.model;
    const int to_bytes = !fixed->facts.packed_few;
    goss_engine *e = NULL;
    goss_error err = { 0 };
    answer a;
    char text[256];
    snprintf(text, sizeof text, "device *\nfew mx4 %dx%d %s 16\nend\n", m->hp.n_embd, m->hp.n_ff,
             to_bytes ? "bytes" : "floats");
    if (to_bytes && !fixed->facts.can_bytes) return;
    CHECK_INT(open_engine(&e, text, 0, &err), 0);
    CHECK_INT(state_of(e)->facts.packed_few, to_bytes);
    CHECK(said(" kernels=chosen ") && said("lines=1 mark=") && !said("mark=00000000"));
    CHECK(strstr(state_of(e)->level, " kernels=") && strcmp(state_of(e)->level, level) != 0);
    ask(e, &a);
    same(first, &a); /* their best tokens are clear */
    goss_engine_close(&e);
}

static void refused(void)
{
    static const char *const texts[] = { "device Somebody's; else\nend\n", BROKEN };
    for (int i = 0; i < 2; i++) {
        goss_engine *e = NULL;
        goss_error err = { 0 };
        CHECK_INT(open_engine(&e, texts[i], 0, &err), i ? GOSS_EFORMAT : GOSS_ENOENT);
        CHECK(strstr(err.text, i ? "line 2" : "\"device *\"") != NULL);
        goss_engine_close(&e);
    }
}

int main(void)
{
    goss_engine *e = NULL;
    goss_error err = { 0 };
    answer first;
    char level[112];
    lines = GOSS_BUF(1 << 22);
    kept = GOSS_BUF(1 << 17);
    /* what is broken was kept by us: it is measured anew */
    if (open_engine(&e, BROKEN, 1, &err)) {
        printf("SKIP test_gpu_choice: %s\ntest_gpu_choice: 0 passed, 0 failed, 1 skipped\n", err.text);
        goss_engine_close(&e);
        return 0;
    }
    CHECK(said(" kernels=fixed "));
    measured(e, &first);
    goss_fmt(level, sizeof level, "%s", state_of(e)->level);
    CHECK(!strstr(level, "kernels="));
    goss_buf text = GOSS_BUF(1 << 17);
    goss_buf_str(&text, goss_buf_cstr(&kept));
    forced(state_of(e), level, &first);
    goss_engine_close(&e);
    stored(goss_buf_cstr(&text), &first);
    refused();
    goss_buf_free(&text);
    goss_buf_free(&lines);
    goss_buf_free(&kept);
    return unit_done("test_gpu_choice");
}
