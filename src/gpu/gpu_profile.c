/* gpu_profile.c - GPU time of every kernel. While a step is profiled each dispatch is a pass of its own with two
 * timestamps; they come back with the step's result. Such a step takes a multiple of others in a browser, so after one
 * come sixteen times as long, a second at most, without. The first profiled step also reads the head's matrix with a
 * kernel that does nothing else: the roof that the others' rates are shares of. */
#include "gpu_state.h"
#include "../base/error.h"
#include "../base/mem.h"
#include "../base/os.h"
#include <string.h>

static const double REST = 16, REST_MS = 1000;
enum { REPORT_MS = 500, ROOF_THREADS = 1 << 18, ROOF_EACH = 16 /* vectors a thread, in small matrices */ };

int goss_gpu_profile_build(goss_gpu_state *s, goss_error *err)
{
    const goss_matrix *m = s->tied ? &s->tok : &s->out;
    if (!s->profile || !(goss_gpu_get_limits(s->gpu)->features & GOSS_GPU_TIMESTAMPS)) return 0;
    const uint64_t bytes = m->piece[0].n * goss_layout_q_bytes(m->layout, m->n_in);
    const uint32_t n = (uint32_t)(bytes / 16), groups = goss_gpu_ceil_div(n, ROOF_EACH * 256),
                   threads = groups * 256 < ROOF_THREADS ? groups * 256 : ROOF_THREADS, p[] = { n, threads };
    s->roof = goss_gpu_buffer(s->gpu, ROOF_THREADS * 4, GOSS_GPU_STORAGE, "roof");
    if (s->roof < 0) return goss_fail(err, s->roof, -1, "the GPU has no memory for the profile");
    s->c_roof.bytes = bytes;
    s->c_roof.grid[0] = threads / 256;
    return goss_gpu_plain(s, &s->c_roof, "roof.wgsl", "urw", "", p, sizeof p,
                          (const int[]){ m->piece[0].q, s->roof }, err);
}

void goss_gpu_profile_begin(goss_gpu_state *s)
{
    s->query = 0;
    if (s->profiling == 2) return;                     /* timestamps of an earlier step are on their way */
    s->t_profiling = goss_os_now_ms();
    s->profiling = s->profile && s->t_profiling >= s->t_profile_next && !s->tap &&
                   (goss_gpu_get_limits(s->gpu)->features & GOSS_GPU_TIMESTAMPS);
    if (!s->profiling || s->query_buf) return;
    s->query_buf = goss_gpu_buffer(s->gpu, GOSS_GPU_MAX_QUERIES * 8, GOSS_GPU_QUERY | GOSS_GPU_COPY_SRC, "timestamps");
    s->query_back = goss_gpu_buffer(s->gpu, GOSS_GPU_MAX_QUERIES * 8, GOSS_GPU_MAP_READ | GOSS_GPU_COPY_DST,
                                    "timestamps back");
    if (s->query_buf < 0 || s->query_back < 0) s->profile = s->profiling = s->query_buf = 0;
}

int goss_gpu_profile_record(goss_gpu_state *s)
{
    if (s->profiling != 1 || !s->query) return 0;
    if (s->roof && !s->roof_known) {
        goss_gpu_record(s, &s->c_roof, 0, 0, s->c_roof.grid[0], 1, 1);
        s->roof_known = 1;
    }
    goss_gpu_end_pass(s);
    const uint32_t w[] = { GOSS_GPU_OP_RESOLVE, 0, s->query * 2, (uint32_t)s->query_buf, 0 };
    goss_gpu_put(s, w, 5);
    goss_gpu_copy(s, s->query_buf, 0, s->query_back, 0, s->query * 16ull);
    return 0;
}

int goss_gpu_profile_submitted(goss_gpu_state *s)
{
    if (s->profiling != 1 || !s->query) return 0;
    s->profiling = 2;
    s->n_queries = s->query;
    return goss_gpu_read(s->gpu, s->query_back, 0, s->n_queries * 16ull);
}

static void report(goss_gpu_state *s)
{
    if (s->c_roof.bytes && s->kernels[s->c_roof.kernel[0]].us > 0)
        s->roof_rate = (double)s->c_roof.bytes / s->kernels[s->c_roof.kernel[0]].us / 1e3;
    for (int i = 0; i < s->n_kernels; i++) {
        goss_kernel *k = &s->kernels[i];
        if (!k->calls) continue;
        const double rate = k->us > 0 ? (double)k->bytes / k->us / 1e3 : 0;
        goss_buf b = GOSS_BUF(1024);
        goss_buf_printf(&b,
                        "{\"type\":\"inference_event\",\"event\":{\"type\":\"kernel_time\",\"kernel\":\"%s\","
                        "\"variant\":\"%s\",\"dispatches\":%llu,\"gpu_us\":%.1f,"
                        "\"bytes\":%llu,\"gb_per_s\":%.2f,\"roofline\":%.4f,\"steps\":%llu},\"ts_ms\":%.1f}",
                        k->name, k->key, (unsigned long long)k->calls, k->us, (unsigned long long)k->bytes, rate,
                        s->roof_rate > 0 ? rate / s->roof_rate : 0.0, (unsigned long long)s->profiled,
                        goss_os_now_ms());
        if (!b.failed && s->config.report) s->config.report(s->config.report_ctx, (const char *)b.data, b.len);
        goss_buf_free(&b);
        k->calls = k->bytes = 0;
        k->us = 0;
    }
    s->profiled = 0;
}

void goss_gpu_profile_ask(goss_gpu_state *s, int on)
{
    if (s->profile && !on && s->profiled) report(s);
    if (!s->profile) s->t_profile_next = 0;
    s->profile = on;
}

void goss_gpu_profile_collect(goss_gpu_state *s)
{
    if (s->profiling != 2) return;
    uint64_t *t = goss_mem_array(s->n_queries, 16);
    if (!t) return;
    const int r = goss_gpu_read_poll(s->gpu, s->query_back, t, s->n_queries * 16ull);
    if (r != GOSS_EAGAIN) s->profiling = 0;
    for (uint32_t i = 0; !r && i < s->n_queries; i++)
        if (t[2 * i + 1] > t[2 * i]) s->kernels[s->query_kernel[i]].us += (double)(t[2 * i + 1] - t[2 * i]) / 1e3;
    goss_mem_free(t);
    if (r) return;
    const double now = goss_os_now_ms(), rest = REST * (now - s->t_profiling);
    s->t_profile_next = now + (rest < REST_MS ? rest : REST_MS);
    s->profiled++;
    if (now - s->t_profile < (double)REPORT_MS) return;
    s->t_profile = now;
    report(s);
}
