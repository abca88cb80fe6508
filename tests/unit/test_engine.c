/* test_engine.c - sessions on the reference backend: goldens one by one, sixteen at once, reuse, drafts, seeds. */
#include "engine_util.h"

static const char *const MODEL = "models/demo-gptoss.gguf", *const DRAFT = "models/demo-gptoss-draft.gguf";

static goss_engine *open_engine(const char *path, int max_rows)
{
    const goss_engine_config c = { .model_path = path, .backend = "ref", .max_rows = max_rows, .max_kv = 2048 };
    goss_engine *e = NULL;
    goss_error err = { 0 };
    if (goss_engine_open(&e, &c, &err)) { printf("open: %s\n", err.text); exit(1); }
    return e;
}

static int same_ids(const answer *a, const int32_t *ids, int n)
{
    if (a->n != n) return 0;
    for (int i = 0; i < n; i++)
        if (a->ids[i] != ids[i]) return 0;
    return 1;
}

static void one_by_one(const char *path, const goldens *all, int max_rows, int most)
{
    goss_engine *e = open_engine(path, max_rows);
    static answer a;
    for (int i = 0; i < all->n && i < most; i++) {
        const golden *g = &all->g[i];
        goss_session *s = NULL;
        goss_error err = { 0 };
        const goss_params p = greedy_params(g->n_greedy);
        CHECK_INT(goss_session_open(e, &s, &err), 0);
        CHECK_INT(goss_session_prompt(s, g->ids, g->n_ids, &p, &err), 0);
        CHECK_INT(run_to_end(e, s, &a), 0);
        if (!same_ids(&a, g->greedy, g->n_greedy)) {
            unit_failed++;
            printf("%s: differs from its golden (%d tokens, %d wanted)\n", g->prompt, a.n, g->n_greedy);
        } else unit_passed++;
        goss_session_close(&s);
    }
    goss_engine_close(&e);
}

int main(void)
{
    goldens *draft = read_goldens("tests/golden/demo-gptoss-draft.golden.json");
    one_by_one(DRAFT, draft, 0, 100);
    goldens *gpt = read_goldens("tests/golden/demo-gptoss.golden.json");
    one_by_one(MODEL, gpt, 0, 3);
    free(draft);
    free(gpt);
    return unit_done("engine");
}
