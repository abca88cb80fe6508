/* speed_gpu.c - how fast a device's memory is, for whoever shares out layers before there are any on it:
 * copies from one buffer to another, more of them each time until they take long enough to be timed. */
#include "gpu/device/gpu.h"
#include "model/stage.h"
#include "base/error.h"
#include "base/os.h"

enum { BYTES = 64 << 20, MOST = 256, WORDS = 6 };
static const double ENOUGH_MS = 5;

/* How long n copies take, from the submit to the read behind them. */
static int time_copies(goss_gpu *g, const int *buffers, int n, double *ms)
{
    uint32_t words[(MOST + 1) * WORDS], mark;
    const double began = goss_os_now_ms();
    for (int i = 0; i <= n; i++) {
        const uint32_t copy[WORDS] = { GOSS_GPU_OP_COPY, (uint32_t)buffers[i == n], 0,
                                       (uint32_t)buffers[1 + (i == n)], 0, i == n ? 1 : BYTES / 4 };
        for (int k = 0; k < WORDS; k++) words[i * WORDS + k] = copy[k];
    }
    int r = goss_gpu_submit(g, words, (size_t)(n + 1) * WORDS);
    if (!r) r = goss_gpu_read(g, buffers[2], 0, sizeof mark);
    while (!r && (r = goss_gpu_read_poll(g, buffers[2], &mark, sizeof mark)) == GOSS_EAGAIN)
        r = goss_gpu_poll(g, 1000);
    *ms = goss_os_now_ms() - began;
    return r;
}

static int measure(goss_gpu *g, double *bytes_ms)
{
    const unsigned both = GOSS_GPU_COPY_SRC | GOSS_GPU_COPY_DST;
    const int buffers[] = { goss_gpu_buffer(g, BYTES, both, "from"), goss_gpu_buffer(g, BYTES, both, "to"),
                            goss_gpu_buffer(g, 16, GOSS_GPU_MAP_READ | GOSS_GPU_COPY_DST, "mark") };
    double ms = 0;
    for (int i = 0; i < 3; i++)
        if (buffers[i] < 0) return buffers[i];
    int r = time_copies(g, buffers, 1, &ms); /* memory is there from now on */
    for (int n = 1; n <= MOST && !r; n *= 2) {
        r = time_copies(g, buffers, n, &ms);
        if (ms > 0) *bytes_ms = 2.0 * (double)BYTES * n / ms;
        if (ms >= ENOUGH_MS) break;
    }
    return r;
}

int goss_gpu_speed(const goss_engine_config *c, double *bytes_ms, int *own, goss_error *err)
{
    const goss_gpu_options options = { .path = c->webgpu_path };
    goss_gpu *g = NULL;
    int r = goss_gpu_open(&g, &options, err);
    while (!r && (r = goss_gpu_ready(g, err)) == GOSS_EAGAIN) r = 0;
    const int failed = r ? 0 : measure(g, bytes_ms);
    if (!r) *own = !goss_gpu_get_limits(g)->is_cpu;
    goss_gpu_close(&g);
    return failed ? goss_fail(err, failed, -1, "the GPU does not copy: %s", goss_error_name(failed)) : r;
}
