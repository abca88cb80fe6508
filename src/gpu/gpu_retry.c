/* gpu_retry.c - a kernel that does not compile, or whose first launch fails: tiles become one size smaller, which is
 * reported (weights_retry), and everything is built again on a device opened anew. After the smallest size the error
 * stays: it names the kernel and has the compiler's words.
 *
 * Compiling: the backend opens itself again (nothing was loaded yet). Launching: the step is lost with the device, and
 * the engine does what it does for a lost one; goss_backend_config.tiles carries the size over. */
#include "gpu_state.h"
#include "../base/error.h"
#include "../base/mem.h"
#include "../base/os.h"
#include <stddef.h>
#include <string.h>

enum { SMALLEST = 2 };

static void report(goss_gpu_state *s, const char *why)
{
    if (!s->config.report) return;
    goss_buf b = GOSS_BUF(2048), detail = GOSS_BUF(600);
    goss_buf_printf(&detail, "tile=%d/%d %.400s", s->smaller, SMALLEST, why);
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
    if (s->smaller >= SMALLEST) return 0;
    s->smaller++;
    if (s->config.tiles) *s->config.tiles = s->smaller;
    report(s, why);
    return 1;
}

void goss_gpu_state_clear(goss_gpu_state *s)
{
    goss_gpu_close(&s->gpu);
    goss_gpu_pages_close(s);
    for (int i = 0; i < GOSS_TICKETS; i++) {
        goss_gpu_ticket *t = &s->tickets[i];
        goss_mem_free(t->list);
        goss_mem_free(t->want);
        goss_mem_free(t->words);
    }
    void *const blocks[] = { s->param_bytes, s->layers, s->items,      s->small_host,   s->raw,
                             s->words,       s->step_words, s->tap_floats, s->logits_floats };
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) goss_mem_free(blocks[i]);
}

int goss_gpu_state_open(goss_gpu_state *s, goss_error *err)
{
    const int r = goss_gpu_open(&s->gpu, &s->options, err);
    if (!r && s->broken.opens > 0) {
        s->broken.opens--;
        goss_gpu_break(s->gpu, s->broken.name, s->broken.launch);
    }
    return r;
}

int goss_gpu_retry_kernel(goss_gpu_state *s, goss_error *err)
{
    if (!s->kernel_failed || !shrink(s, err ? err->text : "")) return err ? err->code : GOSS_EGPU;
    goss_gpu_state_clear(s);
    memset(&s->gpu, 0, sizeof *s - offsetof(goss_gpu_state, gpu));
    const int r = goss_gpu_state_open(s, err);
    return r ? r : GOSS_EAGAIN;
}

int goss_gpu_launch_failed(goss_gpu_state *s, int code, goss_error *err)
{
    if (code != GOSS_EGPU || s->launched || !s->config.tiles || !shrink(s, err ? err->text : "")) return code;
    if (err) err->code = GOSS_ELOST;
    return GOSS_ELOST;
}
