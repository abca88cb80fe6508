/* telemetry.c - the only place that writes telemetry: one event, one line of JSON (docs/telemetry.md). Page, command
 * line and server all read these lines. The line's buffer is taken once and grows only for attention maps. */
#include "../base/fmt.h"
#include "engine.h"
#include <math.h>
#include <string.h>

int goss_telemetry_on(const goss_engine *e, unsigned bit)
{
    return (e->config.on_telemetry && (e->config.telemetry_mask & bit)) || e->on_line != NULL;
}

void goss_engine_telemetry(goss_engine *e, unsigned mask)
{
    if (e->backend && e->backend->vt->telemetry) e->backend->vt->telemetry(e->backend, mask);
    e->config.telemetry_mask = mask;
}

const goss_session *goss_telemetry_session(const goss_engine *e) { return e->about; }

static void begin(goss_engine *e)
{
    e->line.failed = 0;
    goss_buf_clear(&e->line);
}

static void stamp(goss_engine *e)
{
    goss_buf_printf(&e->line, ",\"ts_ms\":%.3f}", goss_os_now_ms());
}

static void send(goss_engine *e, unsigned bit)
{
    if (e->line.failed) return;
    goss_telemetry_line(e, bit, (const char *)e->line.data, e->line.len);
}

void goss_telemetry_line(goss_engine *e, unsigned bit, const char *json, size_t n)
{
    if (e->config.on_telemetry && (!bit || (e->config.telemetry_mask & bit)))
        e->config.on_telemetry(e->config.telemetry_ctx, json, n);
    if (e->on_line) e->on_line(e->on_line_ctx, json, n);
}

/* ---- stages ---------------------------------------------------------------------------------------------- */
static void stage_line(goss_engine *e, const char *type, const char *stage, const char *status, const char *detail)
{
    begin(e);
    goss_buf_printf(&e->line, "{\"type\":\"%s\",\"stage\":\"%s\",\"status\":\"%s\"", type, stage, status);
    if (detail && *detail) {
        goss_buf_str(&e->line, ",\"detail\":");
        goss_buf_json_string(&e->line, detail, strlen(detail));
    }
}

void goss_telemetry_bytes(goss_engine *e, const char *stage, const char *status, const char *detail,
                          uint64_t bytes, uint64_t total)
{
    if (!goss_telemetry_on(e, GOSS_TELEMETRY_LOAD)) return;
    stage_line(e, "load_stage", stage, status, detail);
    if (total)
        goss_buf_printf(&e->line, ",\"bytes\":%llu,\"total_bytes\":%llu", (unsigned long long)bytes,
                        (unsigned long long)total);
    stamp(e);
    send(e, GOSS_TELEMETRY_LOAD);
}

void goss_telemetry_load(goss_engine *e, const char *stage, const char *status, const char *detail)
{
    goss_telemetry_bytes(e, stage, status, detail, 0, 0);
}

void goss_telemetry_detail(goss_engine *e, unsigned bit, const char *stage, const char *status, int step,
                           int total, const char *detail)
{
    if (!goss_telemetry_on(e, bit)) return;
    stage_line(e, "inference_stage", stage, status, detail);
    if (total) goss_buf_printf(&e->line, ",\"step\":%d,\"total_steps\":%d", step, total);
    stamp(e);
    send(e, bit);
}

void goss_telemetry_stage(goss_engine *e, const char *stage, const char *status, int step, int total,
                          const char *detail)
{
    goss_telemetry_detail(e, GOSS_TELEMETRY_STAGES, stage, status, step, total, detail);
}

void goss_engine_note(goss_engine *e, const char *stage, const char *status, const char *detail)
{
    goss_telemetry_stage(e, stage, status, 0, 0, detail);
}

/* ---- one generation -------------------------------------------------------------------------------------- */
static double per_second(double n, double ms) { return ms > 0 ? n * 1000 / ms : 0; }

void goss_telemetry_prompt(goss_session *s)
{
    goss_engine *e = s->engine;
    if (!goss_telemetry_on(e, GOSS_TELEMETRY_STAGES)) return;
    e->about = s;
    const goss_hparams *h = &e->model.hp;
    char detail[256];
    goss_fmt(detail, sizeof detail, "layers=%d attn=%s moe=%s sample=%s kv_max=%d new=%d backend=%s kv=%s",
             h->n_layer, e->config.attn_dense || !h->window ? "dense" : "window",
             !h->n_expert             ? "none"
             : e->config.moe_fallback ? "fallback"
                                      : "active",
             s->sampler.greedy ? "greedy" : "random", e->max_kv, s->n_limit - s->n_prompt,
             e->backend ? e->backend->vt->name : "none", goss_engine_kv(e));
    goss_telemetry_stage(e, "runtime_mode", "completed", 0, 0, detail);
    goss_fmt(detail, sizeof detail, "format=%s tokens=%d kept=%d truncated=0",
             s->chat ? goss_chat_format_name(e->format) : "raw", s->n_prompt, s->n_prompt);
    goss_telemetry_stage(e, "prompt_encode", "completed", 0, 0, detail);
    goss_fmt(detail, sizeof detail, "tokens=%d stored=%d joined=%d", s->n_reused, s->n_stored, s->n_joined);
    if (s->n_reused) goss_telemetry_stage(e, "prefix_reuse", "completed", 0, 0, detail);
    goss_telemetry_stage(e, "generation", "started", 0, 0, NULL);
    goss_telemetry_stage(e, "prefill", "started", s->n_prefilled, s->n_prompt, NULL);
    e->about = NULL;
}

void goss_telemetry_prefill(goss_session *s, int n_rows)
{
    goss_engine *e = s->engine;
    if (!goss_telemetry_on(e, GOSS_TELEMETRY_STAGES)) return;
    e->about = s;
    const double ms = goss_os_now_ms() - s->t_prompt;
    const int done = s->n_prefilled >= s->n_prompt;
    char detail[96];
    goss_fmt(detail, sizeof detail, "rows=%d ms=%.1f tok/s=%.1f", n_rows, ms,
             per_second(s->n_prefilled - s->n_reused, ms));
    goss_telemetry_stage(e, "prefill", done ? "completed" : "progress", s->n_prefilled, s->n_prompt, detail);
    if (done && !s->prefill_only) goss_telemetry_stage(e, "decode", "started", 0, s->n_limit - s->n_prompt, NULL);
    e->about = NULL;
}

/* A rough word on the text: empty, or low when one token makes up most of the last 64. */
static const char *coherence(const goss_session *s, double *score)
{
    const int n = s->n_generated < 64 ? s->n_generated : 64;
    int most = 0;
    for (int i = 0; i < n; i++) {
        int same = 0;
        for (int k = 0; k < n; k++) same += s->tokens[s->n_known - 1 - k] == s->tokens[s->n_known - 1 - i];
        if (same > most) most = same;
    }
    *score = n ? 1 - (double)(most - 1) / n : 0;
    return !n ? "empty" : n >= 8 && most > n / 2 ? "low" : "ok";
}

static const char *stop_name(int stop)
{
    static const char *const names[] = { "none", "eos", "stop_text", "length", "tool_call", "canceled", "error" };
    return stop >= 0 && stop < (int)(sizeof names / sizeof *names) ? names[stop] : "";
}

/* What sessions have had of one another since the engine opened. */
static void sessions_line(goss_engine *e)
{
    goss_stats t;
    char detail[400];
    goss_engine_stats(e, &t);
    goss_fmt(detail, sizeof detail,
             "open=%d active=%d steps=%llu rows=%llu prompt=%llu reused=%llu stored=%llu joined=%llu drafted=%llu "
             "accepted=%llu guarded=%llu schema=%llu kv_used=%llu kv_shared=%llu",
             t.n_sessions, t.n_active, (unsigned long long)t.n_steps, (unsigned long long)t.n_rows,
             (unsigned long long)t.n_prompt_tokens, (unsigned long long)t.n_reused_tokens,
             (unsigned long long)t.n_stored_tokens, (unsigned long long)t.n_joined_tokens,
             (unsigned long long)t.n_drafted, (unsigned long long)t.n_accepted, (unsigned long long)t.n_guarded,
             (unsigned long long)t.n_schema, (unsigned long long)t.kv_bytes_used,
             (unsigned long long)t.kv_bytes_shared);
    goss_telemetry_stage(e, "sessions", "completed", 0, 0, detail);
}

void goss_telemetry_done(goss_session *s, int stop)
{
    goss_engine *e = s->engine;
    if (!goss_telemetry_on(e, GOSS_TELEMETRY_STAGES)) return;
    e->about = s;
    const double ms = s->t_last - s->t_first, each = s->n_generated > 1 ? ms / (s->n_generated - 1) : ms;
    const char *status = stop == GOSS_STOP_ERROR ? "failed" : "completed";
    char detail[160];
    if (!s->prefill_only) {
        goss_fmt(detail, sizeof detail, "stop_reason=%s ms=%.1f tok/s=%.1f", stop_name(stop), ms,
                 per_second(s->n_generated - 1, ms));
        goss_telemetry_stage(e, "decode", status, s->n_generated, s->n_limit - s->n_prompt, detail);
        goss_fmt(detail, sizeof detail, "avg_ms=%.2f label=%s", each, each < 50 ? "ok" : "slow");
        goss_telemetry_stage(e, "decode_budget", "completed", 0, 0, detail);
        double score;
        const char *label = coherence(s, &score);
        goss_fmt(detail, sizeof detail, "score=%.2f label=%s", score, label);
        goss_telemetry_stage(e, "coherence_check", "completed", 0, 0, detail);
    }
    goss_fmt(detail, sizeof detail, "stop_reason=%s ms=%.1f", stop_name(stop), s->t_last - s->t_prompt);
    goss_telemetry_stage(e, "generation", status, 0, 0, detail);
    sessions_line(e);
    goss_telemetry_memory(e);
    e->about = NULL;
}

/* ---- events ---------------------------------------------------------------------------------------------- */
static void event_begin(goss_engine *e, const char *type)
{
    begin(e);
    goss_buf_printf(&e->line, "{\"type\":\"inference_event\",\"event\":{\"type\":\"%s\"", type);
}

static void event_end(goss_engine *e, unsigned bit)
{
    goss_buf_str(&e->line, "}");
    stamp(e);
    send(e, bit);
}

static void token_text(goss_engine *e, int32_t token)
{
    const goss_str t = goss_vocab_bytes(e->vocab, token, 1);
    goss_buf_json_string(&e->line, t.s, (size_t)t.n);
}

void goss_telemetry_token(goss_session *s, const goss_pick *pick)
{
    goss_engine *e = s->engine;
    if (!goss_telemetry_on(e, GOSS_TELEMETRY_TOKENS)) return;
    e->about = s;
    event_begin(e, "token_generated");
    goss_buf_printf(&e->line, ",\"token_id\":%d,\"token_text\":", pick->token);
    token_text(e, pick->token);
    goss_buf_str(&e->line, ",\"top_k\":[");
    for (int i = 0; i < pick->n_top; i++) {
        goss_buf_printf(&e->line, "%s{\"token_id\":%d,\"token_text\":", i ? "," : "", pick->top[i].token);
        token_text(e, pick->top[i].token);
        goss_buf_printf(&e->line, ",\"probability\":%.6f}", exp((double)pick->top[i].logprob));
    }
    const double ms = s->t_last - s->t_first;
    goss_buf_printf(&e->line, "],\"entropy\":%.5f,\"tokens_per_sec\":%.2f,\"session\":%d",
                    (double)pick->entropy, per_second(s->n_generated - 1, ms), s->slot);
    event_end(e, GOSS_TELEMETRY_TOKENS);
    char detail[64];
    goss_fmt(detail, sizeof detail, "tok/s=%.1f", per_second(s->n_generated - 1, ms));
    goss_telemetry_stage(e, "decode", "progress", s->n_generated, s->n_limit - s->n_prompt, detail);
    if (s->n_generated == 1 || s->n_generated % 16 == 0)
        goss_telemetry_cache(e, -1, s->kv.n, e->max_kv, s->kv.base[GOSS_KV_WINDOW],
                             (uint64_t)s->kv.n * e->plan.kv_token_bytes);
    e->about = NULL;
}

void goss_telemetry_channel(goss_session *s)
{
    goss_engine *e = s->engine;
    if (!goss_telemetry_on(e, GOSS_TELEMETRY_TOKENS)) return;
    e->about = s;
    event_begin(e, "channel");
    goss_buf_printf(&e->line, ",\"channel\":\"%s\"", s->channel);
    if (s->recipient[0]) {
        goss_buf_str(&e->line, ",\"recipient\":");
        goss_buf_json_string(&e->line, s->recipient, strlen(s->recipient));
    }
    event_end(e, GOSS_TELEMETRY_TOKENS);
    e->about = NULL;
}

void goss_telemetry_speculation(goss_session *s, int drafted, int accepted)
{
    goss_engine *e = s->engine;
    if (!goss_telemetry_on(e, GOSS_TELEMETRY_TOKENS)) return;
    e->about = s;
    event_begin(e, "speculation");
    goss_buf_printf(&e->line, ",\"drafted\":%d,\"accepted\":%d", drafted, accepted);
    event_end(e, GOSS_TELEMETRY_TOKENS);
    e->about = NULL;
}

void goss_telemetry_cache(goss_engine *e, int layer, int seq_len, int max_len, int offset, uint64_t bytes)
{
    if (!goss_telemetry_on(e, GOSS_TELEMETRY_TOKENS)) return;
    event_begin(e, "cache_status");
    goss_buf_printf(&e->line,
                    ",\"layer\":%d,\"seq_len\":%d,\"max_len\":%d,\"offset\":%d,\"memory_bytes\":%llu", layer,
                    seq_len, max_len, offset, (unsigned long long)bytes);
    event_end(e, GOSS_TELEMETRY_TOKENS);
}

void goss_telemetry_memory(goss_engine *e)
{
    if (!goss_telemetry_on(e, GOSS_TELEMETRY_TOKENS)) return;
    goss_stats s;
    goss_engine_stats(e, &s);
    goss_backend_stats b = { 0 };
    if (e->backend) e->backend->vt->stats(e->backend, &b);
    const uint64_t other =
        b.bytes_allocated > b.kv_bytes + b.weight_bytes ? b.bytes_allocated - b.kv_bytes - b.weight_bytes : 0;
    event_begin(e, "memory_usage");
    goss_buf_printf(&e->line, ",\"gpu_allocated\":%llu,\"cache_total\":%llu,\"activations\":%llu",
                    (unsigned long long)s.gpu_bytes, (unsigned long long)s.kv_bytes_used,
                    (unsigned long long)other);
    event_end(e, GOSS_TELEMETRY_TOKENS);
}
