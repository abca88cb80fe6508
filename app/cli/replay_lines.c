/* replay_lines.c - a recording as lines of telemetry: those that it holds, then a line for everything that
 * a token tells, with the times that they had. */
#include "replay.h"
#include <math.h>
#include <string.h>

void goss_replay_text(goss_buf *b, goss_str text)
{
    for (uint64_t i = 0; i < text.n; i++) {
        const unsigned char c = (unsigned char)text.s[i];
        if (c == '\n') goss_buf_str(b, "\\n");
        else if (c < 32 || c == 127) goss_buf_printf(b, "\\x%02x", c);
        else goss_buf_append(b, &text.s[i], 1);
    }
}

static void stage(goss_buf *b, const char *name, const char *status, int session, const char *detail,
                  double ms)
{
    goss_buf_printf(b, "{\"type\":\"inference_stage\",\"stage\":\"%s\",\"status\":\"%s\",\"session\":%d",
                    name, status, session);
    if (*detail) goss_buf_printf(b, ",\"detail\":\"%s\"", detail);
    goss_buf_printf(b, ",\"ts_ms\":%.3f}\n", ms);
}

static void event(goss_buf *b, const char *type, int session)
{
    goss_buf_printf(b, "{\"type\":\"inference_event\",\"event\":{\"type\":\"%s\",\"session\":%d", type,
                    session);
}

static void word(const goss_recorded *r, goss_buf *b, int id)
{
    const goss_str text = goss_recorded_word(r, id);
    goss_buf_printf(b, "\"token_id\":%d,\"token_text\":", id);
    goss_buf_json_string(b, text.s, (size_t)text.n);
}

static double finite_or_0(float v) { return isfinite(v) ? (double)v : 0; }

static void token_line(const goss_recorded *r, const goss_recorded_token *t, int session, double rate,
                       double ms, goss_buf *b)
{
    event(b, "token_generated", session);
    goss_buf_str(b, ",");
    word(r, b, t->id);
    goss_buf_str(b, ",\"top_k\":[");
    for (int k = 0; k < t->n_top; k++) {
        goss_buf_str(b, k ? ",{" : "{");
        word(r, b, t->top_id[k]);
        goss_buf_printf(b, ",\"probability\":%.6f}", exp(finite_or_0(t->top_logprob[k])));
    }
    goss_buf_printf(b, "],\"entropy\":%.5f,\"tokens_per_sec\":%.2f},\"ts_ms\":%.3f}\n",
                    finite_or_0(t->entropy), rate, ms);
}

static void router_lines(const goss_recorded *r, int i, int session, double ms, goss_buf *b)
{
    for (int l = 0; l < r->n_layer; l++) {
        const uint16_t *weights, *experts = goss_recorded_experts(r, i, l, &weights);
        if (!experts) return;
        event(b, "router", session);
        goss_buf_printf(b, ",\"layer\":%d,\"experts\":[", l);
        for (int k = 0; k < r->n_expert_used; k++) goss_buf_printf(b, "%s%d", k ? "," : "", experts[k]);
        goss_buf_str(b, "],\"weights\":[");
        for (int k = 0; k < r->n_expert_used; k++)
            goss_buf_printf(b, "%s%.5f", k ? "," : "", (double)weights[k] / 65535);
        goss_buf_printf(b, "]},\"ts_ms\":%.3f}\n", ms);
    }
}

/* The positions between those that were looked at most count as 0. */
static void attention_line(const goss_recorded_token *t, int session, double ms, goss_buf *b)
{
    enum { WIDEST = 4096 };
    int first = t->position;
    for (int k = 0; k < t->n_looks; k++)
        if (t->look[k] < first && t->look[k] > t->position - WIDEST) first = t->look[k];
    if (!t->n_looks) return;
    event(b, "attention_weights", session);
    goss_buf_printf(b, ",\"layer\":%d,\"head\":%d,\"first\":%d,\"weights\":[[", t->watch[0], t->watch[1],
                    first);
    for (int at = first; at <= t->position; at++) {
        double w = 0;
        for (int k = 0; k < t->n_looks; k++)
            if (t->look[k] == at) w = (double)t->look_weight[k];
        goss_buf_printf(b, w > 0 ? "%s%.5f" : "%s0", at > first ? "," : "", w);
    }
    goss_buf_printf(b, "]]},\"ts_ms\":%.3f}\n", ms);
}

static double time_of(const goss_recorded *r, const goss_recorded_token *t, double otherwise)
{
    const int64_t step = t->step >= 0 ? t->step : t->row_step;
    if (step < 0 || step >= goss_recorded_n_steps(r)) return otherwise;
    const goss_recorded_step *s = &goss_recorded_steps(r)[step];
    return s->ms + (double)s->took;
}

static void turn_begins(const goss_recorded_turn *t, goss_buf *b)
{
    goss_buf detail = GOSS_BUF(256);
    goss_buf_printf(&detail, "tokens=%d kept=%d truncated=0", t->n_prompt, t->n_prompt);
    stage(b, "prompt_encode", "completed", t->session, goss_buf_cstr(&detail), t->begin_ms);
    goss_buf_clear(&detail);
    goss_buf_printf(&detail, "tokens=%d", t->n_reused);
    if (t->n_reused) stage(b, "prefix_reuse", "completed", t->session, goss_buf_cstr(&detail), t->begin_ms);
    stage(b, "generation", "started", t->session, "", t->begin_ms);
    goss_buf_free(&detail);
}

static void turn_ends(const goss_recorded_turn *t, goss_buf *b)
{
    goss_buf detail = GOSS_BUF(256);
    goss_buf_printf(&detail, "stop_reason=%s ms=%.1f", t->stop, t->end_ms - t->begin_ms);
    if (t->end_ms > 0) stage(b, "generation", "completed", t->session, goss_buf_cstr(&detail), t->end_ms);
    goss_buf_free(&detail);
}

static void channel_line(const char *name, int session, double ms, goss_buf *b)
{
    const char *to = strstr(name, " to=");
    const size_t n = to ? (size_t)(to - name) : strlen(name);
    event(b, "channel", session);
    goss_buf_str(b, ",\"channel\":");
    goss_buf_json_string(b, name, n);
    if (to) {
        goss_buf_str(b, ",\"recipient\":");
        goss_buf_json_string(b, to + 4, strlen(to + 4));
    }
    goss_buf_printf(b, "},\"ts_ms\":%.3f}\n", ms);
}

void goss_replay_lines(const goss_recorded *r, goss_buf *out)
{
    const goss_recorded_token *t = goss_recorded_tokens(r);
    const int n = goss_recorded_n_tokens(r);
    int turn = -1, channel = -1;
    double first = 0, ms = r->t0_ms;
    long long generated = 0;
    for (size_t i = 0; i < r->lines.len; i++) /* without the blanks behind each block's */
        if (r->lines.data[i] != ' ' || i == 0 ||
            (r->lines.data[i - 1] != '\n' && r->lines.data[i - 1] != ' '))
            goss_buf_append(out, r->lines.data + i, 1);
    for (int i = 0; i < n; i++) {
        const goss_recorded_turn *own = goss_recorded_turn_of(r, t[i].turn);
        const int session = own ? own->session : 0;
        if (own && t[i].turn != turn) {
            const goss_recorded_turn *before = goss_recorded_turn_of(r, turn);
            if (before) turn_ends(before, out);
            turn_begins(own, out);
            channel = -1;
            generated = 0;
        }
        turn = t[i].turn;
        ms = time_of(r, &t[i], ms);
        if (t[i].kind) {
            if (!generated++) first = ms;
            if (t[i].channel != channel && *goss_recorded_channel(r, t[i].channel))
                channel_line(goss_recorded_channel(r, t[i].channel), session, ms, out);
            channel = t[i].channel;
            token_line(r, &t[i], session, ms > first ? (double)(generated - 1) * 1000 / (ms - first) : 0, ms,
                       out);
        }
        router_lines(r, i, session, ms, out);
        attention_line(&t[i], session, ms, out);
    }
    const goss_recorded_turn *last = goss_recorded_turn_of(r, turn);
    if (last) turn_ends(last, out);
}
