/* test_gpu.c - gpu.h on the null device (every refusal) and, where a WebGPU library and an adapter are found,
 * on the real one: compile, run, read back, errors as values, device loss. */
#include "gpu/device/gpu.h"
#include "gpu/device/gpu_faults.h"
#include "unit.h"
#include <stdlib.h>

static int open_device(goss_gpu **g, const char *path, goss_error *e)
{
    const goss_gpu_options o = { .path = path };
    int r = goss_gpu_open(g, &o, e);
    while (!r && (r = goss_gpu_ready(*g, e)) == GOSS_EAGAIN) r = 0;
    return r;
}

static void refusals(goss_gpu *g)
{
    goss_error e;
    const unsigned use = GOSS_GPU_STORAGE | GOSS_GPU_COPY_DST;
    CHECK_INT(goss_gpu_buffer(g, 0, use, "none"), GOSS_ELIMIT);
    CHECK_INT(goss_gpu_error(g, &e), GOSS_ELIMIT);
    CHECK_INT(goss_gpu_buffer(g, goss_gpu_get_limits(g)->max_buffer + 16, use, "large"), GOSS_ELIMIT);
    const int b = goss_gpu_buffer(g, 100, use, "b"), words[1] = { 0 };
    CHECK(b > 0);
    CHECK_INT(goss_gpu_buffer_size(g, b), 112);
    CHECK_INT(goss_gpu_allocated(g), 112);
    CHECK_INT(goss_gpu_write(g, b, 2, words, 4), GOSS_EINVAL);
    CHECK_INT(goss_gpu_write(g, b, 112, words, 4), GOSS_ELIMIT);
    CHECK_INT(goss_gpu_read(g, b, 0, 4), GOSS_EINVAL);
    const char *code = "@group(0) @binding(0) var<storage, read_write> x: array<u32>; @compute "
                       "@workgroup_size(1) fn main() { x[0] = 1u; }";
    const int p = goss_gpu_pipeline(g, "one", code, strlen(code), "w");
    CHECK(p > 0);
    CHECK_INT(goss_gpu_pipeline(g, "many", code, strlen(code), "wrrrrrrrrrr"), GOSS_ELIMIT);
    const goss_gpu_binding odd = { b, 4, 16 }, good = { b, 0, 0 }, out = { b, 0, 128 };
    CHECK_INT(goss_gpu_group(g, p, &odd, 1), GOSS_EINVAL);
    CHECK_INT(goss_gpu_group(g, p, &out, 1), GOSS_ELIMIT);
    const int group = goss_gpu_group(g, p, &good, 1);
    CHECK(group > 0);
    const uint32_t open_pass[] = { GOSS_GPU_OP_PASS,
                                   GOSS_GPU_NONE,
                                   GOSS_GPU_OP_DISPATCH,
                                   (uint32_t)p,
                                   (uint32_t)group,
                                   GOSS_GPU_NONE,
                                   1,
                                   1,
                                   1 };
    CHECK_INT(goss_gpu_submit(g, open_pass, 9), GOSS_EINVAL);
    const uint32_t wide[] = { GOSS_GPU_OP_PASS,
                              GOSS_GPU_NONE,
                              GOSS_GPU_OP_DISPATCH,
                              (uint32_t)p,
                              (uint32_t)group,
                              GOSS_GPU_NONE,
                              1u << 30,
                              1,
                              1,
                              GOSS_GPU_OP_END };
    CHECK_INT(goss_gpu_submit(g, wide, 10), GOSS_ELIMIT);
    while (goss_gpu_error(g, &e)) { }
    goss_gpu_buffer_free(g, b);
    CHECK_INT(goss_gpu_allocated(g), 0);
    CHECK_INT(goss_gpu_buffers(g), 0);
}

/* x, which w writes and copies to back, becomes larger: its bytes and its groups go with it. */
static void grows(goss_gpu *g, int a, int x, int back, const uint32_t *w, size_t n, uint32_t *got)
{
    goss_error e = { 0 };
    uint32_t again[64], marks[2] = { 0xabcdef, 0x123456 };
    CHECK_INT(goss_gpu_buffer_grow(g, a, 8000, "a"), GOSS_EINVAL);
    CHECK_INT(goss_gpu_buffer_grow(g, x, 4000, "x"), GOSS_EINVAL);
    CHECK_INT(goss_gpu_buffer_grow(g, x, goss_gpu_get_limits(g)->max_binding + 16, "x"), GOSS_ELIMIT);
    while (goss_gpu_error(g, &e)) { }
    const uint64_t before = goss_gpu_allocated(g);
    const int to = goss_gpu_buffer_grow(g, x, 8000, "x");
    CHECK(to > 0 && to != x);
    CHECK_INT(goss_gpu_allocated(g), before + 4000);
    CHECK_INT(goss_gpu_buffer_size(g, x), 0);
    CHECK_INT(goss_gpu_write(g, to, 7992, marks, sizeof marks), 0);
    memcpy(again, w, n * 4);
    again[n - 5] = (uint32_t)to;
    for (int round = 0; round < 2; round++) {              /* what was there; what is written anew */
        const uint32_t *words = round ? again : again + n - 6;
        const uint32_t zero = 0;
        int r, wrong = 0;
        if (round) CHECK_INT(goss_gpu_write(g, to, 400, &zero, 4), 0);
        CHECK_INT(goss_gpu_submit(g, words, round ? n : 6), 0);
        CHECK_INT(goss_gpu_read(g, back, 0, 4000), 0);
        while ((r = goss_gpu_read_poll(g, back, got, 4000)) == GOSS_EAGAIN) goss_gpu_poll(g, 100);
        CHECK_INT(r, 0);
        for (uint32_t i = 0; i < 1000; i++) wrong += got[i] != 3 * i + (i < 500 ? 9 : 7);
        CHECK_INT(wrong, 0);
    }
    CHECK_INT(goss_gpu_error(g, &e), 0);
}

static void runs(goss_gpu *g)
{
    const char *code = "struct P { n: u32, add: u32 } @group(0) @binding(0) var<uniform> p: P; @group(0) "
                       "@binding(1) var<storage, read> a: array<u32>;"
                       "@group(0) @binding(2) var<storage, read_write> x: array<u32>; const k = 3u;"
                       "@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) i: vec3u) { if "
                       "(i.x < p.n) { x[i.x] = a[i.x] * k + p.add; } }";
    goss_error e = { 0 };
    const unsigned use = GOSS_GPU_STORAGE | GOSS_GPU_COPY_DST | GOSS_GPU_COPY_SRC;
    const int a = goss_gpu_buffer(g, 4000, use, "a"), x = goss_gpu_buffer(g, 4000, use | GOSS_GPU_GROWS, "x"),
              u = goss_gpu_buffer(g, 512, GOSS_GPU_UNIFORM | GOSS_GPU_COPY_DST, "u"),
              back = goss_gpu_buffer(g, 4000, GOSS_GPU_MAP_READ | GOSS_GPU_COPY_DST, "back");
    uint32_t v[1000], got[1000], params[128] = { 1000, 7 };
    params[64] = 500; params[65] = 9;
    for (uint32_t i = 0; i < 1000; i++) v[i] = i;
    CHECK_INT(goss_gpu_write(g, a, 0, v, sizeof v), 0);
    CHECK_INT(goss_gpu_write(g, u, 0, params, sizeof params), 0);
    const int p = goss_gpu_pipeline(g, "affine", code, strlen(code), "urw");
    int r;
    while ((r = goss_gpu_pipeline_ready(g, p, &e)) == GOSS_EAGAIN) { }
    CHECK_INT(r, 0);
    const goss_gpu_binding b[] = { { u, 0, 0 }, { a, 0, 0 }, { x, 0, 0 } };
    const uint32_t group = (uint32_t)goss_gpu_group(g, p, b, 3), pl = (uint32_t)p;
    const uint32_t w[] = { GOSS_GPU_OP_PASS,
                           GOSS_GPU_NONE,
                           GOSS_GPU_OP_DISPATCH,
                           pl,
                           group,
                           0,
                           16,
                           1,
                           1,
                           GOSS_GPU_OP_DISPATCH,
                           pl,
                           group,
                           256,
                           16,
                           1,
                           1,
                           GOSS_GPU_OP_END,
                           GOSS_GPU_OP_COPY,
                           (uint32_t)x,
                           0,
                           (uint32_t)back,
                           0,
                           1000 };
    CHECK_INT(goss_gpu_submit(g, w, sizeof w / 4), 0);
    CHECK_INT(goss_gpu_read(g, back, 0, 4000), 0);
    while ((r = goss_gpu_read_poll(g, back, got, 4000)) == GOSS_EAGAIN) goss_gpu_poll(g, 100);
    CHECK_INT(r, 0);
    int wrong = 0;
    for (uint32_t i = 0; i < 1000; i++) wrong += got[i] != 3 * i + (i < 500 ? 9 : 7);
    CHECK_INT(wrong, 0);
    CHECK_INT(goss_gpu_error(g, &e), 0);
    grows(g, a, x, back, w, sizeof w / 4, got);
    const char *bad = "fn main( { }";
    const int q = goss_gpu_pipeline(g, "broken", bad, strlen(bad), "w");
    while ((r = goss_gpu_pipeline_ready(g, q, &e)) == GOSS_EAGAIN) { }
    CHECK_INT(r, GOSS_EGPU);
    CHECK(strstr(e.text, "broken") != NULL);
    CHECK_INT(goss_gpu_error(g, &e), 0);
    goss_gpu_lose(g);
    CHECK_INT(goss_gpu_poll(g, 0), GOSS_ELOST);
    CHECK_INT(goss_gpu_submit(g, w, sizeof w / 4), GOSS_ELOST);
}

int main(void)
{
    goss_gpu *g = NULL;
    goss_error e = { 0 };
    CHECK_INT(open_device(&g, "null", &e), 0);
    refusals(g);
    const uint32_t nothing[] = { GOSS_GPU_OP_PASS, GOSS_GPU_NONE, GOSS_GPU_OP_END };
    CHECK_INT(goss_gpu_submit(g, nothing, 3), GOSS_EUNSUPPORTED);
    goss_gpu_close(&g);
    CHECK_INT(open_device(&g, "/nowhere/libwebgpu.so", &e), GOSS_EGPU);
    goss_gpu_close(&g);
    if (open_device(&g, getenv("GOSSAMER_WEBGPU"), &e)) {
        printf("test_gpu: real device skipped: %s\n", e.text);
    } else {
        const goss_gpu_limits *l = goss_gpu_get_limits(g);
        printf("%s (%s): binding %llu MiB, features %u, subgroups %u-%u\n", l->adapter, l->backend,
               (unsigned long long)l->max_binding >> 20, l->features, l->subgroup_min, l->subgroup_max);
        refusals(g);
        runs(g);
    }
    goss_gpu_close(&g);
    return unit_done("test_gpu");
}
