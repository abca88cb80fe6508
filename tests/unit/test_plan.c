/* test_plan.c - what the planner says, on the demo model: caps, what is paged, what does not fit. Needs no
 * device. */
#include <gossamer.h>
#include "unit.h"
#include "engine/engine_state.h"
#include "engine/plan.h"
#include "engine/prefix/cache.h"

static goss_plan_info plan_of(goss_engine_config c)
{
    goss_plan_info p = { 0 };
    goss_model_info m;
    goss_error err = { 0 };
    c.model_path = "models/demo-gptoss.gguf";
    CHECK_INT(goss_plan(&c, &m, &p, &err), 0);
    return p;
}

/* The 20b model's shape: beside the weights at most 1 GB on a GPU, and room for a session of all
 * positions; more than that where one is asked for. */
static void twenty(int max_rows, const char *kv, int max_kv, uint64_t most)
{
    goss_layer layers[24] = { 0 };
    goss_model m = { .layers = layers, .weight_bytes = 12060000000 };
    m.hp = (goss_hparams){ .n_layer = 24,
                           .n_ctx = 131072,
                           .n_embd = 2880,
                           .n_head = 64,
                           .n_head_kv = 8,
                           .head_dim = 64,
                           .n_vocab = 201088,
                           .n_ff = 2880,
                           .n_expert = 32,
                           .n_expert_used = 4,
                           .window = 128,
                           .rope_dim = 64 };
    for (int i = 0; i < 24; i++) {
        layers[i].windowed = i % 2 == 0;
        layers[i].gate.n_bytes = layers[i].up.n_bytes = layers[i].down.n_bytes =
            32ull * 2880 * 2880 / 32 * 17;
    }
    const goss_engine_config c = { .backend = "gpu", .max_kv = max_kv, .max_rows = max_rows, .kv_type = kv };
    goss_plan_info p;
    goss_error err = { 0 };
    int type;
    CHECK_INT(goss_plan_make(&m, &c, 1, &p, &type, &err), 0);
    CHECK_INT(p.max_kv, max_kv);
    CHECK_INT(type, kv && !strcmp(kv, "f32") ? GOSS_F32 : GOSS_F16);
    CHECK(p.fits && p.n_slots == 32 && p.resident_bytes == m.weight_bytes);
    CHECK(p.kv_bytes + p.scratch_bytes <= most);
    CHECK(p.n_pages[0] > max_kv / 64);
    CHECK(p.n_pages[1] > goss_kv_window_pages(128, GOSS_ROLLBACK, goss_plan_rows(&m, &c, 1)));
    printf("# 20b shape, %d rows a step: %.0f MB for steps, %.0f MB for KV: %d pages of all positions, %d of "
           "windows\n",
           goss_plan_rows(&m, &c, 1), (double)p.scratch_bytes / 1e6, (double)p.kv_bytes / 1e6, p.n_pages[0],
           p.n_pages[1]);
}

/* A CPU's steps take what the plan says: activations of a step and of those beside it while it is paused. The
 * backend also has each thread's rows and the sampler's, and reserves logits for every row. */
static void on_cpu(int max_rows)
{
    const goss_engine_config c = { .model_path = "models/demo-gptoss.gguf", .backend = "cpu",
                                   .max_rows = max_rows, .n_threads = 1 };
    const goss_plan_info p = plan_of(c);
    goss_engine *e = NULL;
    goss_error err;
    goss_backend_stats st;
    CHECK_INT(goss_engine_open(&e, &c, &err), 0);
    e->loaded.backend->vt->stats(e->loaded.backend, &st);
    const uint64_t rows = (uint64_t)e->loaded.max_rows, beside = rows < 64 ? rows : 64,
                   vocab = (uint64_t)e->loaded.model.hp.n_vocab, logits = 4 * vocab;
    const uint64_t took = st.bytes_allocated - st.kv_bytes - (rows + beside) * logits - 16 * 8 * vocab,
                   plan = p.scratch_bytes - 32 * logits;
    printf("# CPU, %d rows: planned %.2f MB, took %.2f MB\n", (int)rows, (double)plan / 1e6,
           (double)took / 1e6);
    CHECK(plan <= took && took < plan + plan / 4 + (1 << 20));
    CHECK(strstr(p.text, "Steps take") != NULL);
    goss_engine_close(&e);
}

int main(void)
{
    const uint64_t beside = 1000000000;
    twenty(0, NULL, 8192, beside);
    twenty(0, NULL, 16384, beside);
    twenty(512, NULL, 8192, beside);
    twenty(512, "q8", 8192, beside);
    twenty(512, "f32", 8192, beside);
    twenty(0, NULL, 131072, 6 * beside); /* what is asked for, whatever it takes */
    const goss_plan_info all = plan_of((goss_engine_config){ .backend = "gpu" });
    CHECK(all.fits && all.n_slots == 16 && all.expert_cache_bytes == 0 &&
          all.resident_bytes == all.weight_bytes);
    CHECK(strstr(all.text, "stay on the GPU") != NULL);
    const uint64_t one = all.expert_bytes / 16, dense = all.weight_bytes - all.expert_bytes;

    goss_plan_info p = plan_of((goss_engine_config){ .backend = "gpu", .expert_cache = 5 * one + 1 });
    CHECK(p.fits && p.n_slots == 5 && p.resident_bytes == dense);
    CHECK(strstr(p.text, "5 of 16") != NULL);
    p = plan_of((goss_engine_config){ .backend = "gpu", .expert_cache = 4 * one });
    CHECK(p.fits && p.n_slots == 4);
    p = plan_of((goss_engine_config){ .backend = "gpu", .expert_cache = 4 * one - 1 });
    CHECK(!p.fits && p.n_slots == 3);
    CHECK(strstr(p.text, "does not do") != NULL);
    p = plan_of((goss_engine_config){ .backend = "gpu", .expert_cache = all.expert_bytes });
    CHECK(p.fits && p.n_slots == 16 && p.expert_cache_bytes == 0);

    /* a cap on memory: what is left after everything else, never more than was given */
    const uint64_t kv = 64 << 20,
                   steps = plan_of((goss_engine_config){ .backend = "gpu", .gpu_memory = 1u << 31 })
                               .scratch_bytes;
    CHECK(steps < all.scratch_bytes);                  /* fewer rows a step */
    for (int slots = 4; slots < 16; slots += 5) {
        const uint64_t give = dense + steps + kv + (uint64_t)slots * one + one / 2;
        p = plan_of((goss_engine_config){ .backend = "gpu", .gpu_memory = give, .kv_cap = kv });
        CHECK(p.fits && p.n_slots == slots);
        CHECK(p.resident_bytes + p.expert_cache_bytes + p.scratch_bytes + p.kv_bytes <= give);
    }
    p = plan_of((goss_engine_config){ .backend = "gpu", .gpu_memory = 1 << 20 });
    CHECK(!p.fits && p.n_slots == 0);
    p = plan_of((goss_engine_config){ .backend = "gpu", .resident_cap = all.weight_bytes - 1 });
    CHECK(p.fits && p.n_slots == 16);                  /* 2 GB for experts hold all of these */

    /* layers whose experts the CPU computes leave the GPU */
    p = plan_of((goss_engine_config){ .backend = "gpu", .n_cpu_moe = 3 });
    CHECK(p.fits && p.resident_bytes == all.weight_bytes - all.expert_bytes / 2);
    CHECK(strstr(p.text, "first 3 layers") != NULL);
    p = plan_of((goss_engine_config){ .backend = "gpu", .n_cpu_moe = 100 });
    CHECK(p.fits && p.resident_bytes == dense);

    on_cpu(0);
    on_cpu(40);
    p = plan_of((goss_engine_config){ .backend = "cpu", .gpu_memory = 1 });
    CHECK(p.fits && strstr(p.text, "in memory") != NULL);
    return unit_done("test_plan");
}
