/* gpu_engine.h - an engine on a GPU with the small draft model, and what telemetry told of it: for tests of
 * what becomes of a GPU. 16 rows: the kernels of prefill are not built, which would be most of the time. */
#ifndef GPU_ENGINE_H
#define GPU_ENGINE_H
#include "engine/engine_state.h"
#include "gpu/step/state.h"
#include "engine_util.h"

static const char *const DRAFT = "models/demo-gptoss-draft.gguf";
static const char *const CHAT = "{\"messages\":[{\"role\":\"user\",\"content\":\"Which month comes after "
                                "June?\"}],\"date\":\"2025-06-28\"}";
static goss_buf lines; /* the test says how many bytes there may be */

static void on_line(void *ctx, const char *json, size_t n)
{
    (void)ctx;
    goss_buf_append(&lines, json, n);
    goss_buf_append(&lines, "\n", 1);
}

static int said(const char *what) { return strstr(goss_buf_cstr(&lines), what) != NULL; }
static goss_gpu_state *state_of(goss_engine *e) { return (goss_gpu_state *)(void *)e->loaded.backend; }

/* Whose lines begin anew. */
static goss_engine_config gpu_config(unsigned telemetry)
{
    goss_buf_clear(&lines);
    return (goss_engine_config){ .model_path = DRAFT,
                                 .backend = "gpu",
                                 .max_kv = 256,
                                 .max_sessions = 2,
                                 .max_rows = 16,
                                 .webgpu_path = getenv("GOSSAMER_WEBGPU"),
                                 .gpu_mask = getenv("GOSSAMER_GPU_MASK"),
                                 .on_telemetry = on_line,
                                 .telemetry_mask = telemetry };
}
#endif
