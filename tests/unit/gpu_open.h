/* gpu_open.h - the gpu backend as the tests open it. GOSSAMER_WEBGPU names the library; GOSSAMER_GPU_MASK
 * switches features off; GOSSAMER_GPU_LIMITS=default asks for WebGPU's default limits;
 * GOSSAMER_GPU_SPLIT=BYTES has matrices cut to that size where a device has larger bindings;
 * GOSSAMER_GPU_PACKED=1 has packed activations on software adapters; GOSSAMER_GPU_KERNELS=FILE has the
 * kernels that FILE says (gpu/kernels/choice.h) */
#ifndef GPU_OPEN_H
#define GPU_OPEN_H
#include "gpu/step/state.h"
#include <stdio.h>
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
    static goss_gpu_tests tests;
    const char *split = getenv("GOSSAMER_GPU_SPLIT");
    tests.split = split ? (uint64_t)atoll(split) : 0;
    tests.packed_too = getenv("GOSSAMER_GPU_PACKED") != NULL;
    const char *kernels = getenv("GOSSAMER_GPU_KERNELS");
    static char text[8192];
    FILE *f = kernels ? fopen(kernels, "rb") : NULL;
    if (f) text[fread(text, 1, sizeof text - 1, f)] = 0;
    if (kernels) goss_gpu_state_of(*out)->settings.kernels = text;
    if (f) fclose(f);
    goss_gpu_state_of(*out)->tests = &tests;
    return 0;
}

/* Whether a device can be had for this model; no kernel of a step is compiled for that. */
static inline int gpu_there(const goss_model *m, goss_error *err)
{
    const goss_backend_config c = { .model = m, .max_rows = 1, .max_slots = 1, .max_kv = 64,
                                    .n_pages = { 2, 2 }, .kv_type = GOSS_F16 };
    goss_backend *b = NULL;
    int r = open_gpu(&b, &c, err);
    while (!r && goss_gpu_state_of(b)->phase == GOSS_GPU_OPENING && (r = b->vt->load(b, err)) == GOSS_EAGAIN)
        r = 0;
    if (b) b->vt->close(b);
    return !r || r == GOSS_EAGAIN;
}
#endif
