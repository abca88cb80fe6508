/* retry.c - a kernel that does not compile, or whose first launch fails: tiles become one size smaller,
 * which is reported (weights_retry), and everything is built again on a device opened anew. After the
 * smallest size the error stays: it names the kernel and has the compiler's words.
 *
 * Compiling: the backend opens itself again (nothing was loaded yet). Launching: the step is lost with the
 * device, and the engine does what it does for a lost one; goss_backend_config.tiles carries the size
 * over. */
#include "retry.h"
#include "measure.h"
#include "settle.h"
#include "gpu/device/gpu_faults.h"
#include "gpu/weights/slots_gpu.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/os.h"
#include <stddef.h>
#include <string.h>

enum { SMALLEST = 2 };

static void report(goss_gpu_state *s, const char *why)
{
    if (!s->config.report) return;
    goss_buf b = GOSS_BUF(2048), detail = GOSS_BUF(600);
    goss_buf_printf(&detail, "tile=%d/%d %.400s", s->settings.smaller, SMALLEST, why);
    goss_buf_str(
        &b, "{\"type\":\"inference_stage\",\"stage\":\"weights_retry\",\"status\":\"progress\",\"detail\":");
    goss_buf_json_string(&b, goss_buf_cstr(&detail), detail.len);
    goss_buf_printf(&b, ",\"ts_ms\":%.1f}", goss_os_now_ms());
    if (!b.failed) s->config.report(s->config.report_ctx, (const char *)b.data, b.len);
    goss_buf_free(&b);
    goss_buf_free(&detail);
}

/* 1: there is a smaller size, and it is chosen now. */
static int shrink(goss_gpu_state *s, const char *why)
{
    if (s->settings.smaller >= SMALLEST) return 0;
    s->settings.smaller++;
    if (s->config.tiles) *s->config.tiles = s->settings.smaller;
    report(s, why);
    return 1;
}

void goss_retry_clear(goss_gpu_state *s)
{
    goss_measure_close(&s->measure);
    goss_settle_close(&s->settle);
    goss_gpu_close(&s->gpu);
    goss_slots_close(&s->weights);
    goss_weights_clear(&s->weights);
    goss_buf_free(&s->paging.copies);
    for (int i = 0; i < GOSS_TICKETS; i++) {
        goss_gpu_ticket *t = &s->tickets[i];
        goss_mem_free(t->list);
        goss_mem_free(t->want);
        goss_mem_free(t->words);
        goss_buf_free(&t->writes);
        goss_buf_free(&t->copies);
    }
    void *const blocks[] = { s->calls.layers, s->rec.words, s->words.at, s->tapped.floats, s->logits.floats,
                             s->paging.predicted };
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) goss_mem_free(blocks[i]);
}

/* The parts of a state know the device and each other. */
static void connect(goss_gpu_state *s)
{
    s->kernels.gpu = s->weights.gpu = s->rec.gpu = s->gpu;
    s->kernels.facts = &s->facts;
    s->weights.kernels = s->rec.kernels = &s->kernels;
    s->weights.model = s->base.model;
    s->weights.config = &s->config;
    s->weights.arriving = s->settings.early ? goss_arriving(s->config.sources, s->config.n_sources) : NULL;
}

int goss_retry_open(goss_gpu_state *s, goss_error *err)
{
    const int r = goss_gpu_open(&s->gpu, &s->settings.options, err);
    connect(s);
    if (!r && s->tests && s->tests->broken.opens > 0) {
        s->tests->broken.opens--;
        goss_gpu_break(s->gpu, s->tests->broken.name, s->tests->broken.launch);
    }
    return r;
}

int goss_retry_kernel(goss_gpu_state *s, goss_error *err)
{
    if (!s->kernels.failed || !shrink(s, err ? err->text : "")) return err ? err->code : GOSS_EGPU;
    goss_retry_clear(s);
    memset(&s->gpu, 0, sizeof *s - offsetof(goss_gpu_state, gpu));
    const int r = goss_retry_open(s, err);
    return r ? r : GOSS_EAGAIN;
}

int goss_retry_launch(goss_gpu_state *s, int code, goss_error *err)
{
    if (code != GOSS_EGPU || s->launched || !s->config.tiles || !shrink(s, err ? err->text : "")) return code;
    if (err) err->code = GOSS_ELOST;
    return GOSS_ELOST;
}
