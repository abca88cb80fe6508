/* turn.c - writes the lines about one generation: its prompt, its tokens, its end. */
#include "turn.h"
#include "base/fmt.h"
#include "base/os.h"
#include <math.h>
#include <string.h>

/* Of these four there are lines beside rows. */
enum { BESIDE = GOSS_TELEMETRY_TOKENS | GOSS_TELEMETRY_ROWS };

static double per_second(double n, double ms) { return ms > 0 ? n * 1000 / ms : 0; }

/* Tokens a second since the first. */
static double decode_rate(const goss_turn *turn)
{
    return per_second(turn->n_generated - 1, turn->t_last - turn->t_first);
}

static int most_generated(const goss_turn *turn) { return turn->n_limit - turn->n_prompt; }

/* Whether anybody wants such lines; then they are about the turn's session until done(). */
static int about(goss_telemetry *t, const goss_turn *turn, unsigned bit)
{
    if (!goss_telemetry_on(t, bit)) return 0;
    t->about = turn->session;
    t->session = turn->slot;
    return 1;
}

static void done(goss_telemetry *t)
{
    t->about = NULL;
    t->session = -1;
}

/* ---- stages -------------------------------------------------------------------------------------------- */
static void prompt_lines(goss_telemetry *t, const goss_turn *turn, const goss_turn_mode *m)
{
    if (!about(t, turn, GOSS_TELEMETRY_STAGES)) return;
    char detail[256];
    goss_fmt(detail, sizeof detail, "layers=%d attn=%s moe=%s sample=%s kv_max=%d new=%d backend=%s kv=%s",
             m->n_layer, m->attn, m->moe, m->sample, m->max_kv, most_generated(turn), m->backend, m->kv);
    goss_telemetry_stage(t, "runtime_mode", "completed", 0, 0, detail);
    goss_fmt(detail, sizeof detail, "format=%s tokens=%d kept=%d truncated=0", m->format, turn->n_prompt,
             turn->n_prompt);
    goss_telemetry_stage(t, "prompt_encode", "completed", 0, 0, detail);
    goss_fmt(detail, sizeof detail, "tokens=%d stored=%d joined=%d", turn->n_reused, turn->n_stored,
             turn->n_joined);
    if (turn->n_reused) goss_telemetry_stage(t, "prefix_reuse", "completed", 0, 0, detail);
    goss_telemetry_stage(t, "generation", "started", 0, 0, NULL);
    goss_telemetry_stage(t, "prefill", "started", turn->n_prefilled, turn->n_prompt, NULL);
    done(t);
}

static void token_text(goss_buf *line, const goss_vocab *v, int32_t token)
{
    const goss_str text = goss_vocab_bytes(v, token, 1);
    goss_buf_json_string(line, text.s, (size_t)text.n);
}

/* The newest of the prompt's tokens. */
static void prompt_tokens(goss_telemetry *t, const goss_turn *turn, const goss_vocab *v, const int32_t *ids)
{
    enum { MOST = 2048 };
    const int first = turn->n_prompt > MOST ? turn->n_prompt - MOST : 0;
    if (!(t->mask & GOSS_TELEMETRY_SEEN) || !about(t, turn, GOSS_TELEMETRY_SEEN)) return;
    goss_buf *line = goss_telemetry_event_begin(t, "prompt_tokens");
    goss_buf_printf(line, ",\"first\":%d,\"tokens\":[", first);
    for (int i = first; i < turn->n_prompt; i++) {
        goss_buf_printf(line, "%s[%d,", i > first ? "," : "", ids[i]);
        token_text(line, v, ids[i]);
        goss_buf_str(line, "]");
    }
    goss_buf_str(line, "]");
    goss_telemetry_event_end(t, GOSS_TELEMETRY_SEEN);
    done(t);
}

void goss_telemetry_prompt(goss_telemetry *t, const goss_turn *turn, const goss_turn_mode *m,
                           const goss_vocab *v, const int32_t *ids)
{
    prompt_lines(t, turn, m);
    prompt_tokens(t, turn, v, ids);
    goss_sheet_prompt(goss_telemetry_sheet(t), turn->slot, ids, turn->n_prompt);
}

void goss_telemetry_prefill(goss_telemetry *t, const goss_turn *turn, int n_rows)
{
    if (!about(t, turn, GOSS_TELEMETRY_STAGES)) return;
    const double ms = goss_os_now_ms() - turn->t_prompt;
    const int whole = turn->n_prefilled >= turn->n_prompt;
    char detail[96];
    goss_fmt(detail, sizeof detail, "rows=%d ms=%.1f tok/s=%.1f", n_rows, ms,
             per_second(turn->n_prefilled - turn->n_reused, ms));
    goss_telemetry_stage(t, "prefill", whole ? "completed" : "progress", turn->n_prefilled, turn->n_prompt,
                         detail);
    if (whole && !turn->prefill_only)
        goss_telemetry_stage(t, "decode", "started", 0, most_generated(turn), NULL);
    done(t);
}

/* A rough word on the text: how likely its tokens were (the geometric mean of their probabilities), times the
 * share of the last 64 that is not one token again. Low: mostly one token, or hardly likely at all. */
static const char *coherence(const goss_turn *turn, const int32_t *newest, double *score)
{
    enum { LAST = 64, FEW = 8 };
    const double UNLIKELY = 0.15;
    const int n = turn->n_generated < LAST ? turn->n_generated : LAST;
    int most = 0;
    for (int i = 0; i < n; i++) {
        int same = 0;
        for (int k = 0; k < n; k++) same += newest[-k] == newest[-i];
        if (same > most) most = same;
    }
    const double likely = n ? exp(turn->sum_logprob / turn->n_generated) : 0;
    *score = n ? likely * (1 - (double)(most - 1) / n) : 0;
    return !n ? "empty" : n >= FEW && (most > n / 2 || likely < UNLIKELY) ? "low" : "ok";
}

const char *goss_stop_name(int stop)
{
    static const char *const names[] = { "none",      "eos",      "stop_text", "length",
                                         "tool_call", "canceled", "error" };
    return stop >= 0 && stop < (int)(sizeof names / sizeof *names) ? names[stop] : "";
}

/* What the decoding of a turn came to. */
static void decode_lines(goss_telemetry *t, const goss_turn *turn, int stop, const char *status,
                         const int32_t *newest)
{
    enum { SLOW_MS = 50 };
    const double ms = turn->t_last - turn->t_first,
                 each = turn->n_generated > 1 ? ms / (turn->n_generated - 1) : ms;
    char detail[160];
    double score;
    goss_fmt(detail, sizeof detail, "stop_reason=%s ms=%.1f tok/s=%.1f", goss_stop_name(stop), ms,
             decode_rate(turn));
    goss_telemetry_stage(t, "decode", status, turn->n_generated, most_generated(turn), detail);
    goss_fmt(detail, sizeof detail, "avg_ms=%.2f label=%s", each, each < (double)SLOW_MS ? "ok" : "slow");
    goss_telemetry_stage(t, "decode_budget", "completed", 0, 0, detail);
    const char *label = coherence(turn, newest, &score);
    goss_fmt(detail, sizeof detail, "score=%.2f label=%s", score, label);
    goss_telemetry_stage(t, "coherence_check", "completed", 0, 0, detail);
}

void goss_telemetry_done(goss_telemetry *t, const goss_turn *turn, int stop, const int32_t *newest)
{
    if (!about(t, turn, GOSS_TELEMETRY_STAGES)) return;
    const char *status = stop == GOSS_STOP_ERROR ? "failed" : "completed";
    char detail[160];
    if (!turn->prefill_only) decode_lines(t, turn, stop, status, newest);
    goss_fmt(detail, sizeof detail, "stop_reason=%s ms=%.1f", goss_stop_name(stop),
             turn->t_last - turn->t_prompt);
    goss_telemetry_stage(t, "generation", status, 0, 0, detail);
    done(t);
}

static void sessions_line(goss_telemetry *t, const goss_stats *s)
{
    char detail[400];
    goss_fmt(
        detail, sizeof detail,
        "open=%d active=%d steps=%llu rows=%llu prompt=%llu reused=%llu stored=%llu joined=%llu drafted=%llu "
        "accepted=%llu guarded=%llu schema=%llu kv_used=%llu kv_shared=%llu",
        s->n_sessions, s->n_active, (unsigned long long)s->n_steps, (unsigned long long)s->n_rows,
        (unsigned long long)s->n_prompt_tokens, (unsigned long long)s->n_reused_tokens,
        (unsigned long long)s->n_stored_tokens, (unsigned long long)s->n_joined_tokens,
        (unsigned long long)s->n_drafted, (unsigned long long)s->n_accepted, (unsigned long long)s->n_guarded,
        (unsigned long long)s->n_schema, (unsigned long long)s->kv_bytes_used,
        (unsigned long long)s->kv_bytes_shared);
    goss_telemetry_stage(t, "sessions", "completed", 0, 0, detail);
}

void goss_telemetry_memory(goss_telemetry *t, const goss_stats *s, const goss_backend_stats *b)
{
    if (!goss_telemetry_on(t, BESIDE)) return;
    const uint64_t known = b->kv_bytes + b->weight_bytes;
    goss_buf *line = goss_telemetry_event_begin(t, "memory_usage");
    goss_buf_printf(line, ",\"gpu_allocated\":%llu,\"cache_total\":%llu,\"activations\":%llu",
                    (unsigned long long)s->gpu_bytes, (unsigned long long)s->kv_bytes_used,
                    (unsigned long long)(b->bytes_allocated > known ? b->bytes_allocated - known : 0));
    goss_telemetry_event_end(t, BESIDE);
}

void goss_telemetry_totals(goss_telemetry *t, const goss_turn *turn, const goss_stats *all,
                           const goss_backend_stats *backend)
{
    if (!about(t, turn, GOSS_TELEMETRY_STAGES)) return;
    sessions_line(t, all);
    goss_telemetry_memory(t, all, backend);
    done(t);
}

/* ---- events -------------------------------------------------------------------------------------------- */
static double part_of_all(uint16_t share) { return (double)share / (double)GOSS_SHARES; }

static void looks(goss_buf *line, const goss_seen *seen)
{
    goss_buf_printf(line, ",\"layer\":%d,\"head\":%d,\"looks\":[", seen->watch[0], seen->watch[1]);
    for (int i = 0; i < seen->n_looks; i++)
        goss_buf_printf(line, "%s[%u,%.5f]", i ? "," : "", seen->look[i], part_of_all(seen->look_weight[i]));
    goss_buf_str(line, "]");
}

static void experts(goss_buf *line, const goss_seen *seen, int n_layer, int n_used)
{
    goss_buf_str(line, ",\"experts\":[");
    for (int i = 0; i < n_layer * n_used; i++)
        goss_buf_printf(line, "%s[%d,%.5f]", i ? "," : "", seen->expert[i], part_of_all(seen->weight[i]));
    goss_buf_str(line, "]");
}

void goss_telemetry_seen(goss_telemetry *t, const goss_turn *turn, const goss_seen *seen, int got,
                         int n_layer, int n_used)
{
    if (!about(t, turn, GOSS_TELEMETRY_SEEN)) return;
    goss_buf *line = goss_telemetry_event_begin(t, "seen");
    if (got & GOSS_SEEN_LOOKS) looks(line, seen);
    if (got & GOSS_SEEN_EXPERTS) experts(line, seen, n_layer, n_used);
    goss_telemetry_event_end(t, GOSS_TELEMETRY_SEEN);
    done(t);
}

static void token_event(goss_telemetry *t, const goss_turn *turn, const goss_vocab *v, const goss_pick *pick)
{
    goss_buf *line = goss_telemetry_event_begin(t, "token_generated");
    goss_buf_printf(line, ",\"token_id\":%d,\"token_text\":", pick->token);
    token_text(line, v, pick->token);
    goss_buf_str(line, ",\"top_k\":[");
    for (int i = 0; i < pick->n_top; i++) {
        goss_buf_printf(line, "%s{\"token_id\":%d,\"token_text\":", i ? "," : "", pick->top[i].token);
        token_text(line, v, pick->top[i].token);
        goss_buf_printf(line, ",\"probability\":%.6f}", exp((double)pick->top[i].logprob));
    }
    goss_buf_printf(line, "],\"entropy\":%.5f,\"tokens_per_sec\":%.2f", (double)pick->entropy,
                    decode_rate(turn));
    goss_telemetry_event_end(t, GOSS_TELEMETRY_TOKENS);
}

static void kv_event(goss_telemetry *t, const goss_turn_kv *kv)
{
    goss_buf *line = goss_telemetry_event_begin(t, "cache_status");
    goss_buf_printf(line, ",\"layer\":-1,\"seq_len\":%d,\"max_len\":%d,\"offset\":%d,\"memory_bytes\":%llu",
                    kv->n, kv->most, kv->window_base, (unsigned long long)kv->bytes);
    goss_telemetry_event_end(t, BESIDE);
}

static void token_lines(goss_telemetry *t, const goss_turn *turn, const goss_vocab *v, const goss_pick *pick)
{
    char detail[64];
    token_event(t, turn, v, pick);
    goss_fmt(detail, sizeof detail, "tok/s=%.1f", decode_rate(turn));
    goss_telemetry_stage(t, "decode", "progress", turn->n_generated, most_generated(turn), detail);
}

void goss_telemetry_token(goss_telemetry *t, const goss_turn *turn, const goss_vocab *v,
                          const goss_pick *pick, const goss_turn_kv *kv)
{
    enum { KV_EVERY = 16 };
    goss_sheet_token(goss_telemetry_sheet(t), turn->slot, pick, turn->t_last, decode_rate(turn),
                     turn->n_generated, most_generated(turn));
    if (!about(t, turn, BESIDE)) return;
    if (goss_telemetry_on(t, GOSS_TELEMETRY_TOKENS)) token_lines(t, turn, v, pick);
    if (turn->n_generated == 1 || turn->n_generated % KV_EVERY == 0) kv_event(t, kv);
    done(t);
}

void goss_telemetry_channel(goss_telemetry *t, const goss_turn *turn, const char *channel,
                            const char *recipient)
{
    goss_sheet_channel(goss_telemetry_sheet(t), turn->slot, channel);
    if (!about(t, turn, BESIDE)) return;
    goss_buf *line = goss_telemetry_event_begin(t, "channel");
    goss_buf_printf(line, ",\"channel\":\"%s\"", channel);
    if (recipient[0]) {
        goss_buf_str(line, ",\"recipient\":");
        goss_buf_json_string(line, recipient, strlen(recipient));
    }
    goss_telemetry_event_end(t, BESIDE);
    done(t);
}

void goss_telemetry_speculation(goss_telemetry *t, const goss_turn *turn, int drafted, int accepted)
{
    if (!about(t, turn, BESIDE)) return;
    goss_buf *line = goss_telemetry_event_begin(t, "speculation");
    goss_buf_printf(line, ",\"drafted\":%d,\"accepted\":%d", drafted, accepted);
    goss_telemetry_event_end(t, BESIDE);
    done(t);
}
