/* profile.c - GPU time of every kernel. While a step is profiled each dispatch is a pass of its own with
 * two timestamps; they come back with the step's result. Such a step takes a multiple of others in a
 * browser, so after one come sixteen times as long, a second at most, without. The first profiled step
 * also reads the head's matrix with a kernel that does nothing else: the roof that the others' rates are
 * shares of. */
#include "profile.h"
#include "calls.h"
#include "gpu/kernels/blocks.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/os.h"
#include <string.h>

/* RECORDED: so many times as rarely while a recording asks for it, which may cost little. */
static const double REST = 16, REST_MS = 1000, RECORDED = 4;
enum { REPORT_MS = 500, ROOF_THREADS = 1 << 18, ROOF_EACH = 16 /* vectors a thread, in small matrices */ };

int goss_profile_build(goss_gpu_state *s, goss_error *err)
{
    const goss_matrix *m = s->weights.tied ? &s->weights.tok : &s->weights.out;
    if (!s->settings.profile || !(goss_gpu_get_limits(s->gpu)->features & GOSS_GPU_TIMESTAMPS)) return 0;
    const uint64_t bytes = m->piece[0].n * goss_layout_q_bytes(m->layout, m->n_in);
    const uint32_t n = (uint32_t)(bytes / 16), groups = goss_ceil_div(n, ROOF_EACH * 256),
                   threads = groups * 256 < ROOF_THREADS ? groups * 256 : ROOF_THREADS;
    const goss_block_roof p = { .n = n, .threads = threads };
    s->profile.roof = goss_gpu_buffer(s->gpu, ROOF_THREADS * 4, GOSS_GPU_STORAGE, "roof");
    if (s->profile.roof < 0) return goss_fail(err, s->profile.roof, -1,
                                              "the GPU has no memory for the profile");
    s->profile.roof_call.bytes = bytes;
    s->profile.roof_call.grid[0] = threads / 256;
    return goss_call_make(&s->weights, &s->profile.roof_call, "roof.wgsl", "urw", "", &p, sizeof p,
                          (const int[]){ m->piece[0].q, s->profile.roof }, err);
}

void goss_profile_begin(goss_gpu_state *s)
{
    s->rec.query = 0;
    if (s->rec.profiling == GOSS_PROFILE_AWAITED) return;
    s->profile.t_begin = goss_os_now_ms();
    s->rec.profiling = s->settings.profile && s->profile.t_begin >= s->profile.t_next && !s->settings.tap &&
                   (goss_gpu_get_limits(s->gpu)->features & GOSS_GPU_TIMESTAMPS);
    if (!s->rec.profiling || s->profile.stamps) return;
    s->profile.stamps = goss_gpu_buffer(s->gpu, GOSS_GPU_MAX_QUERIES * 8, GOSS_GPU_QUERY | GOSS_GPU_COPY_SRC,
                                        "timestamps");
    s->profile.stamps_back = goss_gpu_buffer(s->gpu, GOSS_GPU_MAX_QUERIES * 8,
                                             GOSS_GPU_MAP_READ | GOSS_GPU_COPY_DST,
                                    "timestamps back");
    if (s->profile.stamps < 0 || s->profile.stamps_back < 0)
        s->settings.profile = s->rec.profiling = s->profile.stamps = 0;
}

int goss_profile_record(goss_gpu_state *s)
{
    if (s->rec.profiling != GOSS_PROFILE_ON || !s->rec.query) return 0;
    if (s->profile.roof && !s->profile.roof_known) {
        goss_rec_dispatch(&s->rec, &s->profile.roof_call, 0, 0, s->profile.roof_call.grid[0], 1, 1);
        s->profile.roof_known = 1;
    }
    goss_rec_end_pass(&s->rec);
    const uint32_t w[] = { GOSS_GPU_OP_RESOLVE, 0, s->rec.query * 2, (uint32_t)s->profile.stamps, 0 };
    goss_rec_put(&s->rec, w, 5);
    goss_rec_copy(&s->rec, s->profile.stamps, 0, s->profile.stamps_back, 0, s->rec.query * 16ull);
    return 0;
}

int goss_profile_submitted(goss_gpu_state *s)
{
    if (s->rec.profiling != GOSS_PROFILE_ON || !s->rec.query) return 0;
    s->rec.profiling = GOSS_PROFILE_AWAITED;
    s->profile.n_queries = s->rec.query;
    return goss_gpu_read(s->gpu, s->profile.stamps_back, 0, s->profile.n_queries * 16ull);
}

static void report(goss_gpu_state *s)
{
    const goss_call *roof = &s->profile.roof_call;
    const double roof_us = s->kernels.list[roof->kernel[0]].us;
    if (roof->bytes && roof_us > 0) s->profile.roof_rate = (double)roof->bytes / roof_us / 1e3;
    for (int i = 0; i < s->kernels.n; i++) {
        goss_kernel *k = &s->kernels.list[i];
        if (!k->calls) continue;
        const double rate = k->us > 0 ? (double)k->bytes / k->us / 1e3 : 0;
        goss_buf b = GOSS_BUF(1024);
        goss_buf_printf(
            &b,
            "{\"type\":\"inference_event\",\"event\":{\"type\":\"kernel_time\",\"kernel\":\"%s\","
            "\"variant\":\"%s\",\"dispatches\":%llu,\"gpu_us\":%.1f,"
            "\"bytes\":%llu,\"ops\":%llu,\"gb_per_s\":%.2f,\"roofline\":%.4f,\"steps\":%llu},\"ts_ms\":%.1f}",
            k->name, k->key, (unsigned long long)k->calls, k->us, (unsigned long long)k->bytes,
            (unsigned long long)k->ops, rate, s->profile.roof_rate > 0 ? rate / s->profile.roof_rate : 0.0,
            (unsigned long long)s->profile.n_steps, goss_os_now_ms());
        if (!b.failed && s->config.report) s->config.report(s->config.report_ctx, (const char *)b.data,
                                                            b.len);
        goss_buf_free(&b);
        k->calls = k->bytes = k->ops = 0;
        k->us = 0;
    }
    s->profile.n_steps = 0;
}

void goss_profile_ask(goss_gpu_state *s, int on)
{
    if (s->settings.profile && !on && s->profile.n_steps) report(s);
    if (!s->settings.profile) s->profile.t_next = 0;
    s->settings.profile = on;
}

void goss_profile_collect(goss_gpu_state *s)
{
    if (s->rec.profiling != GOSS_PROFILE_AWAITED) return;
    uint64_t *t = goss_mem_array(s->profile.n_queries, 16);
    if (!t) return;
    const int r = goss_gpu_read_poll(s->gpu, s->profile.stamps_back, t, s->profile.n_queries * 16ull);
    if (r != GOSS_EAGAIN) s->rec.profiling = 0;
    for (uint32_t i = 0; !r && i < s->profile.n_queries; i++)
        if (t[2 * i + 1] > t[2 * i]) s->kernels.list[s->rec.query_kernel[i]].us +=
            (double)(t[2 * i + 1] - t[2 * i]) / 1e3;
    goss_mem_free(t);
    if (r) return;
    const double now = goss_os_now_ms(), times = s->settings.record ? RECORDED : 1,
                 rest = times * REST * (now - s->profile.t_begin);
    s->profile.t_next = now + (rest < times * REST_MS ? rest : times * REST_MS);
    s->profile.n_steps++;
    if (now - s->profile.t_report < (double)REPORT_MS) return;
    s->profile.t_report = now;
    report(s);
}
