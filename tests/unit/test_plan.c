/* test_plan.c - what the planner says, on the demo model: caps, what is paged, what does not fit. Needs no device. */
#include <gossamer.h>
#include "unit.h"

static goss_plan_info plan_of(goss_engine_config c)
{
    goss_plan_info p = { 0 };
    goss_model_info m;
    goss_error err = { 0 };
    c.model_path = "models/demo-gptoss.gguf";
    CHECK_INT(goss_plan(&c, &m, &p, &err), 0);
    return p;
}

int main(void)
{
    const goss_plan_info all = plan_of((goss_engine_config){ .backend = "gpu" });
    CHECK(all.fits && all.n_slots == 16 && all.expert_cache_bytes == 0 && all.resident_bytes == all.weight_bytes);
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
    const uint64_t kv = 64 << 20;
    for (int slots = 4; slots < 16; slots += 5) {
        const uint64_t give = dense + all.scratch_bytes + kv + (uint64_t)slots * one + one / 2;
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

    p = plan_of((goss_engine_config){ .backend = "cpu", .gpu_memory = 1 });
    CHECK(p.fits && strstr(p.text, "in memory") != NULL);
    return unit_done("test_plan");
}
