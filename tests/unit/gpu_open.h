/* gpu_open.h - the gpu backend as the tests open it. GOSSAMER_WEBGPU names the library; GOSSAMER_GPU_MASK switches
 * features off; GOSSAMER_GPU_LIMITS=default asks for WebGPU's default limits; GOSSAMER_GPU_SPLIT=BYTES has matrices cut
 * to that size where a device has larger bindings; GOSSAMER_GPU_PACKED=1 has packed activations on software adapters */
#ifndef GPU_OPEN_H
#define GPU_OPEN_H
#include "../../src/gpu/gpu_state.h"
#include <stdlib.h>

static int open_gpu(goss_backend **out, const goss_backend_config *c, goss_error *err)
{
    const goss_engine_config engine = { .backend = "gpu",
                                        .webgpu_path = getenv("GOSSAMER_WEBGPU"),
                                        .gpu_mask = getenv("GOSSAMER_GPU_MASK"),
                                        .gpu_limits_default = getenv("GOSSAMER_GPU_LIMITS") != NULL };
    goss_backend_config mine = *c;
    mine.engine = &engine;
    const int r = goss_backend_open_gpu(out, &mine, err);
    if (r) return r;
    goss_gpu_state *s = (goss_gpu_state *)(void *)*out;
    const char *split = getenv("GOSSAMER_GPU_SPLIT");
    if (split) s->split = (uint64_t)atoll(split);
    s->packed_too = getenv("GOSSAMER_GPU_PACKED") != NULL;
    return 0;
}
#endif
