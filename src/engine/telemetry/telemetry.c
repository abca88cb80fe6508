/* telemetry.c - writes lines of telemetry and hands them to whoever wants them. */
#include "telemetry.h"
#include "base/os.h"
#include <string.h>

int goss_telemetry_open(goss_telemetry *t, const goss_engine_config *c)
{
    enum { FIRST = 1 << 16, MOST = 1 << 24 };
    *t = (goss_telemetry){ .fn = c->on_telemetry, .ctx = c->telemetry_ctx, .mask = c->telemetry_mask,
                           .session = -1 };
    t->line = GOSS_BUF(MOST);
    return goss_buf_reserve(&t->line, FIRST) ? GOSS_ENOMEM : 0;
}

void goss_telemetry_close(goss_telemetry *t)
{
    goss_buf_free(&t->line);
    goss_sheet_close(&t->sheet);
}

int goss_telemetry_on(const goss_telemetry *t, unsigned bit)
{
    return (t->fn && (t->mask & bit)) || t->call_fn != NULL;
}

goss_sheet *goss_telemetry_sheet(const goss_telemetry *t)
{
    return t->mask & GOSS_TELEMETRY_ROWS ? t->sheet : NULL;
}

void goss_telemetry_line(goss_telemetry *t, unsigned bit, const char *json, size_t n)
{
    if (t->fn && (!bit || (t->mask & bit))) t->fn(t->ctx, json, n);
    if (t->call_fn) t->call_fn(t->call_ctx, json, n);
}

static void begin(goss_telemetry *t)
{
    t->line.failed = 0;
    goss_buf_clear(&t->line);
}

static void say_session(goss_telemetry *t)
{
    if (t->session >= 0) goss_buf_printf(&t->line, ",\"session\":%d", t->session);
}

static void end(goss_telemetry *t, unsigned bit)
{
    goss_buf_printf(&t->line, ",\"ts_ms\":%.3f}", goss_os_now_ms());
    if (!t->line.failed) goss_telemetry_line(t, bit, (const char *)t->line.data, t->line.len);
}

/* ---- stages -------------------------------------------------------------------------------------------- */
static void stage_begin(goss_telemetry *t, const char *type, const char *stage, const char *status,
                        const char *detail)
{
    begin(t);
    goss_buf_printf(&t->line, "{\"type\":\"%s\",\"stage\":\"%s\",\"status\":\"%s\"", type, stage, status);
    say_session(t);
    if (detail && *detail) {
        goss_buf_str(&t->line, ",\"detail\":");
        goss_buf_json_string(&t->line, detail, strlen(detail));
    }
}

void goss_telemetry_bytes(goss_telemetry *t, const char *stage, const char *status, const char *detail,
                          uint64_t bytes, uint64_t total)
{
    if (!goss_telemetry_on(t, GOSS_TELEMETRY_LOAD)) return;
    stage_begin(t, "load_stage", stage, status, detail);
    if (total)
        goss_buf_printf(&t->line, ",\"bytes\":%llu,\"total_bytes\":%llu", (unsigned long long)bytes,
                        (unsigned long long)total);
    end(t, GOSS_TELEMETRY_LOAD);
}

void goss_telemetry_load(goss_telemetry *t, const char *stage, const char *status, const char *detail)
{
    goss_telemetry_bytes(t, stage, status, detail, 0, 0);
}

void goss_telemetry_stage(goss_telemetry *t, const char *stage, const char *status, int step, int total,
                          const char *detail)
{
    if (!goss_telemetry_on(t, GOSS_TELEMETRY_STAGES)) return;
    stage_begin(t, "inference_stage", stage, status, detail);
    if (total) goss_buf_printf(&t->line, ",\"step\":%d,\"total_steps\":%d", step, total);
    end(t, GOSS_TELEMETRY_STAGES);
}

void goss_telemetry_layer_stage(goss_telemetry *t, const char *stage, const char *detail)
{
    if (!goss_telemetry_on(t, GOSS_TELEMETRY_LAYERS)) return;
    stage_begin(t, "inference_stage", stage, "completed", detail);
    end(t, GOSS_TELEMETRY_LAYERS);
}

/* ---- events -------------------------------------------------------------------------------------------- */
goss_buf *goss_telemetry_event_begin(goss_telemetry *t, const char *type)
{
    begin(t);
    goss_buf_printf(&t->line, "{\"type\":\"inference_event\",\"event\":{\"type\":\"%s\"", type);
    say_session(t);
    return &t->line;
}

void goss_telemetry_event_end(goss_telemetry *t, unsigned bit)
{
    goss_buf_str(&t->line, "}");
    end(t, bit);
}
