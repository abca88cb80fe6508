/* report.c - the telemetry lines of report.h. */
#include "report.h"
#include "base/fmt.h"
#include "base/os.h"
#include <string.h>

void goss_report_load(const goss_weights *w, const char *stage, const char *status, const char *detail,
                     uint64_t bytes, uint64_t total)
{
    if (!w->config->report) return;
    goss_buf b = GOSS_BUF(2048);
    goss_buf_printf(&b, "{\"type\":\"load_stage\",\"stage\":\"%s\",\"status\":\"%s\"", stage, status);
    if (detail) {
        goss_buf_str(&b, ",\"detail\":");
        goss_buf_json_string(&b, detail, strlen(detail));
    }
    if (total)
        goss_buf_printf(&b, ",\"bytes\":%llu,\"total_bytes\":%llu", (unsigned long long)bytes,
                        (unsigned long long)total);
    goss_buf_printf(&b, ",\"ts_ms\":%.1f}", goss_os_now_ms());
    if (!b.failed) w->config->report(w->config->report_ctx, (const char *)b.data, b.len);
    goss_buf_free(&b);
}

void goss_report_rate(const goss_weights *w, char *to, size_t n, const char *what)
{
    const double seconds = (goss_os_now_ms() - w->load.t_load) / 1e3;
    const double rate = seconds > 0 ? (double)w->load.bytes_done / seconds : 0;
    const double left = w->load.bytes_total > w->load.bytes_done
        ? (double)(w->load.bytes_total - w->load.bytes_done) : 0;
    goss_fmt(to, n, "tensor=%s rate=%.0f eta=%.1f", what, rate, rate > 0 ? left / rate : 0.0);
}

void goss_report_resident(const goss_weights *w, const goss_tensor *t)
{
    goss_buf b = GOSS_BUF(1024);
    if (!t || !w->config->report) return;
    goss_buf_str(&b, "{\"type\":\"inference_event\",\"event\":{\"type\":\"tensor_resident\",\"name\":");
    goss_buf_json_string(&b, t->name, strlen(t->name));
    goss_buf_printf(&b, ",\"bytes\":%llu,\"kind\":\"%s\"},\"ts_ms\":%.1f}", (unsigned long long)t->n_bytes,
                    goss_type_get(t->type)->name, goss_os_now_ms());
    if (!b.failed) w->config->report(w->config->report_ctx, (const char *)b.data, b.len);
    goss_buf_free(&b);
}
