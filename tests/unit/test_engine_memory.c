/* test_engine_memory.c - decoding allocates nothing; every allocation failing once, in turn, over load and
 * generate leaves a clean error and no leak. */
#include "engine_util.h"

static const char *const DRAFT = "models/demo-gptoss-draft.gguf";
static const char *const CHAT = "{\"messages\":[{\"role\":\"user\",\"content\":\"Which month comes after "
                                "June?\"}],\"date\":\"2025-06-28\"}";

static void decode_allocates_nothing(const char *backend, int chat, int draft, float temperature)
{
    const goss_engine_config c = {
        .model_path = DRAFT, .backend = backend, .max_kv = 1024, .max_sessions = 4
    };
    goss_engine *e = NULL;
    goss_session *s[4] = { 0 };
    goss_error err = { 0 };
    int32_t ids[512];
    CHECK_INT(goss_engine_open(&e, &c, &err), 0);
    const int n = chat ? goss_chat_render(e, CHAT, strlen(CHAT), ids, 512, &err)
                       : goss_tokenize(e, "Once upon a time", 16, 0, ids, 512);
    CHECK(n > 0);
    static const char *const stops[] = { "never in this text", "nor this" };
    for (int i = 0; i < 4; i++) {
        goss_params p = greedy_params(300);
        p.ignore_stop = 1;
        p.chat = chat;
        p.draft = draft;
        p.temperature = temperature;
        p.seed = (uint64_t)i;
        p.n_probs = 20;
        p.repeat_penalty = 1.1f;
        p.stop = stops;
        p.n_stop = 2;
        CHECK_INT(goss_session_open(e, &s[i], &err), 0);
        CHECK_INT(goss_session_prompt(s[i], ids, n, &p, &err), 0);
    }
    goss_event ev;
    int started = 0;
    for (int i = 0; i < 64 && started < 4; i++) {
        CHECK(goss_engine_poll(e, 100, &err) >= 0);
        for (int k = 0; k < 4; k++)
            while (goss_session_event(s[k], &ev)) started += ev.kind == GOSS_EVENT_TOKEN && ev.position == n;
    }
    const uint64_t before = goss_mem_get_stats().n_allocs;
    for (int i = 0; i < 100; i++) {
        CHECK(goss_engine_poll(e, 100, &err) >= 0);
        for (int k = 0; k < 4; k++)
            while (goss_session_event(s[k], &ev)) CHECK(ev.kind != GOSS_EVENT_DONE || draft);
    }
    CHECK_INT(goss_mem_get_stats().n_allocs - before, 0);
    for (int k = 0; k < 4; k++) goss_session_close(&s[k]);
    goss_engine_close(&e);
}

/* One load and one short chat. Returns 0 or the first error's code. */
static int load_and_generate(goss_error *err, int schema)
{
    const goss_engine_config c = { .model_path = DRAFT,
                                   .backend = "ref",
                                   .max_kv = 512,
                                   .max_sessions = 2,
                                   .max_rows = 64,
                                   .draft_path = schema ? NULL : DRAFT };
    goss_engine *e = NULL;
    goss_params p = greedy_params(4);
    p.chat = 1;
    p.draft = 1;
    p.json_schema = schema ? "{\"type\":\"object\",\"properties\":{\"month\":{\"enum\":[\"May\",\"July\"]}},"
                             "\"required\":[\"month\"]}"
                           : NULL;
    char out[256];
    int rc = goss_engine_open(&e, &c, err);
    if (!rc) rc = goss_complete(e, CHAT, &p, out, sizeof out, err);
    goss_engine_close(&e);
    return rc < 0 ? rc : 0;
}

static void every_allocation_fails(int schema)
{
    goss_error err = { 0 };
    const goss_mem_stats start = goss_mem_get_stats();
    CHECK_INT(load_and_generate(&err, schema), 0);
    const uint64_t n = goss_mem_get_stats().n_allocs - start.n_allocs;
    CHECK(n > 20);
    int failed = 0;
    for (uint64_t i = 1; i <= n; i++) {
        err = (goss_error){ 0 };
        goss_mem_fail_at(i);
        const int rc = load_and_generate(&err, schema);
        goss_mem_fail_at(0);
        if (rc) {
            failed++;
            CHECK_INT(rc, GOSS_ENOMEM);
            CHECK(err.code == GOSS_ENOMEM && err.text[0]);
            if (rc != GOSS_ENOMEM) printf("allocation %d of %d: %s\n", (int)i, (int)n, err.text);
        }
        const goss_mem_stats now = goss_mem_get_stats();
        if (now.n_live != start.n_live) printf("allocation %d of %d leaks\n", (int)i, (int)n);
        CHECK_INT(now.n_live, start.n_live);
    }
    CHECK(failed > (int)n / 2);
    printf("%d allocations, %d of them fatal\n", (int)n, failed);
}

int main(void)
{
    decode_allocates_nothing("ref", 0, 0, 0);
    decode_allocates_nothing("ref", 1, 0, 0.7f);
    decode_allocates_nothing("ref", 0, 1, 0);
    decode_allocates_nothing("cpu", 0, 0, 0);
    decode_allocates_nothing("cpu", 1, 1, 0.7f);
    every_allocation_fails(0);
    every_allocation_fails(1);
    return unit_done("engine_memory");
}
