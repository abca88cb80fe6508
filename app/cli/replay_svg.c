/* replay_svg.c - a panel of a recording as SVG: axes, units, a legend, and a title for every mark, which
 * is what a browser shows beside the pointer. Colours are chosen to be told apart on white, also in print. */
#include "replay.h"
#include <math.h>
#include <stdarg.h>
#include <string.h>

static const int LEFT = 64, TOP = 56, RIGHT = 16, BOTTOM = 64, CELL = 8, HIGH = 240;

typedef struct picture {
    const goss_recorded *r;
    goss_buf *out;
    int *token, n; /* places in the recording of the tokens that are drawn */
    int width, height;
} picture;

/* ---- parts --------------------------------------------------------------------------------------------- */
static void xml(goss_buf *b, const char *s, size_t n)
{
    goss_buf plain = GOSS_BUF(1 << 20);
    goss_replay_text(&plain, (goss_str){ s, n });
    for (size_t i = 0; i < plain.len; i++) {
        const char c = (char)plain.data[i];
        if (c == '<') goss_buf_str(b, "&lt;");
        else if (c == '&') goss_buf_str(b, "&amp;");
        else if (c == '"') goss_buf_str(b, "&quot;");
        else goss_buf_append(b, &c, 1);
    }
    goss_buf_free(&plain);
}

/* The text of a token in quotes; bytes that are no whole characters are shown as U+FFFD. */
static void word(const picture *p, int id)
{
    const goss_str s = goss_recorded_word(p->r, id);
    goss_buf json = GOSS_BUF(1 << 20);
    goss_buf_json_string(&json, s.s, (size_t)s.n);
    if (json.len > 2) xml(p->out, (const char *)json.data + 1, json.len - 2);
    goss_buf_free(&json);
}

static void begin(picture *p, const char *title, int width, int height)
{
    p->width = LEFT + width + RIGHT;
    p->height = TOP + height + BOTTOM;
    goss_buf_printf(
        p->out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" "
        "font-family=\"sans-serif\" font-size=\"11\" role=\"img\">\n<title>%s of ",
        p->width, p->height, p->width, p->height, title);
    xml(p->out, p->r->name.s, (size_t)p->r->name.n);
    goss_buf_printf(p->out,
                    "</title>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n"
                    "<text x=\"%d\" y=\"20\" font-size=\"14\" font-weight=\"bold\">%s</text>\n",
                    LEFT, title);
}

static void label(const picture *p, double x, double y, const char *anchor, const char *text)
{
    goss_buf_printf(p->out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor);
    xml(p->out, text, strlen(text));
    goss_buf_str(p->out, "</text>\n");
}

static void number(const picture *p, double x, double y, const char *anchor, double v)
{
    goss_buf_printf(p->out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%g</text>\n", x, y, anchor, v);
}

/* The axis of tokens: positions, every 10th or 100th. */
static void token_axis(const picture *p, double cell, int height)
{
    const int every = cell >= 8 ? 10 : 100;
    for (int i = 0; i < p->n; i++) {
        const int pos = goss_recorded_tokens(p->r)[p->token[i]].position;
        if (pos % every == 0) number(p, LEFT + (i + 0.5) * cell, TOP + height + 14, "middle", pos);
    }
    label(p, LEFT + p->n * cell / 2, TOP + height + 30, "middle", "position of the token");
}

static void mark_begin(const picture *p, double x, double y, double w, double h, const char *color,
                       double opacity)
{
    goss_buf_printf(
        p->out,
        "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\" fill-opacity=\"%.3f\">"
        "<title>",
        x, y, w, h, color, opacity);
}

static void mark_end(const picture *p) { goss_buf_str(p->out, "</title></rect>\n"); }

static const char *color_of(const picture *p, const goss_recorded_token *t)
{
    const char *channel = goss_recorded_channel(p->r, t->channel);
    return !t->kind                              ? "#9a9a9a"
           : !strncmp(channel, "analysis", 8)    ? "#c17900"
           : !strncmp(channel, "commentary", 10) ? "#8a3ffc"
           : *channel                            ? "#0f62fe"
                                                 : "#525252";
}

static void legend(const picture *p, const char *const *entries, int n)
{
    int x = LEFT;
    for (int i = 0; i < n; i++) {
        goss_buf_printf(p->out, "<rect x=\"%d\" y=\"%d\" width=\"10\" height=\"10\" fill=\"%s\"/>\n", x,
                        TOP - 22, entries[2 * i + 1]);
        label(p, x + 14, TOP - 13, "start", entries[2 * i]);
        x += 30 + 7 * (int)strlen(entries[2 * i]);
    }
}

/* ---- panels -------------------------------------------------------------------------------------------- */
/* Entropy as bars, the channel as colour, the probability of what was taken as a point. */
static void timeline(picture *p)
{
    static const char *const names[] = { "prompt",
                                         "#9a9a9a",
                                         "header",
                                         "#525252",
                                         "analysis",
                                         "#c17900",
                                         "commentary",
                                         "#8a3ffc",
                                         "final",
                                         "#0f62fe",
                                         "probability (0 to 1)",
                                         "#da1e28" };
    const goss_recorded_token *t = goss_recorded_tokens(p->r);
    double most = 0.5;
    for (int i = 0; i < p->n; i++)
        if ((double)t[p->token[i]].entropy > most) most = (double)t[p->token[i]].entropy;
    begin(p, "Timeline: entropy of each token (nats)", p->n * CELL, HIGH);
    legend(p, names, 6);
    for (int k = 0; k <= 4; k++)
        number(p, LEFT - 6, TOP + HIGH - k * HIGH / 4.0 + 4, "end", round(most * k * 25) / 100);
    for (int i = 0; i < p->n; i++) {
        const goss_recorded_token *own = &t[p->token[i]];
        const int chosen = own->kind && isfinite(own->entropy) && isfinite(own->logprob);
        const double h = chosen ? (double)own->entropy / most * HIGH : 2, x = LEFT + i * CELL;
        mark_begin(p, x, TOP + HIGH - h, CELL - 1, h < 1 ? 1 : h, color_of(p, own), 0.9);
        goss_buf_printf(p->out, "position %d: ", own->position);
        word(p, own->id);
        if (chosen)
            goss_buf_printf(p->out, "; entropy %.3f, probability %.4f; ", (double)own->entropy,
                            exp((double)own->logprob));
        for (int k = 0; k < own->n_top; k++) {
            goss_buf_str(p->out, k ? ", " : "best: ");
            word(p, own->top_id[k]);
            goss_buf_printf(p->out, " %.3f", exp((double)own->top_logprob[k]));
        }
        mark_end(p);
        if (chosen)
            goss_buf_printf(p->out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2\" fill=\"#da1e28\"/>\n",
                            x + CELL / 2.0, TOP + HIGH * (1 - exp((double)own->logprob)));
    }
    token_axis(p, CELL, HIGH);
}

/* Layers down, tokens across; a stripe an expert that was chosen, its place in the cell is its number. */
static void experts(picture *p)
{
    const int row = 24, height = p->r->n_layer * row;
    begin(p, "Experts: which were chosen, in each layer", p->n * CELL, height);
    label(p, LEFT, TOP - 13, "start",
          "each stripe is an expert, the first on top; the darker, the more weight");
    for (int l = 0; l < p->r->n_layer; l++) number(p, LEFT - 6, TOP + l * row + 15, "end", l);
    for (int i = 0; i < p->n; i++)
        for (int l = 0; l < p->r->n_layer; l++) {
            const uint16_t *weight, *expert = goss_recorded_experts(p->r, p->token[i], l, &weight);
            for (int k = 0; expert && k < p->r->n_expert_used && p->r->n_expert; k++) {
                const double h = (double)(row - 2) / p->r->n_expert;
                mark_begin(p, LEFT + i * CELL, TOP + l * row + expert[k] * h, CELL - 1, h < 1 ? 1 : h,
                           "#0f62fe", 0.2 + 0.8 * weight[k] / 65535);
                word(p, goss_recorded_tokens(p->r)[p->token[i]].id);
                goss_buf_printf(p->out, ", layer %d: expert %d, weight %.3f", l, expert[k],
                                (double)weight[k] / 65535);
                mark_end(p);
            }
        }
    token_axis(p, CELL, height);
    label(p, 4, TOP - 4, "start", "layer");
}

/* Tokens down, what they looked at across. */
static void attention(picture *p)
{
    const goss_recorded_token *t = goss_recorded_tokens(p->r);
    const int first = p->n ? t[p->token[0]].position : 0, last = p->n ? t[p->token[p->n - 1]].position : 0;
    int least = first;
    for (int i = 0; i < p->n; i++)
        for (int k = 0; k < t[p->token[i]].n_looks; k++)
            if (t[p->token[i]].look[k] < least) least = t[p->token[i]].look[k];
    begin(p, "Attention: the most looked-at positions", (last - least + 1) * CELL, p->n * CELL);
    if (p->n) {
        goss_buf_printf(p->out,
                        "<text x=\"%d\" y=\"%d\">layer %d, head %d; the darker, the more weight</text>\n",
                        LEFT, TOP - 13, t[p->token[0]].watch[0], t[p->token[0]].watch[1]);
    }
    for (int i = 0; i < p->n; i++) {
        const goss_recorded_token *own = &t[p->token[i]];
        if (own->position % 10 == 0) number(p, LEFT - 6, TOP + i * CELL + 8, "end", own->position);
        for (int k = 0; k < own->n_looks; k++) {
            mark_begin(p, LEFT + (own->look[k] - least) * CELL, TOP + i * CELL, CELL - 1, CELL - 1, "#0f62fe",
                       (double)own->look_weight[k]);
            goss_buf_printf(p->out, "%d ", own->position);
            word(p, own->id);
            goss_buf_printf(p->out, " looked at %d, weight %.4f", own->look[k], (double)own->look_weight[k]);
            mark_end(p);
        }
    }
    for (int at = least; at <= last; at++)
        if (at % 10 == 0) number(p, LEFT + (at - least + 0.5) * CELL, TOP + p->n * CELL + 14, "middle", at);
    label(p, LEFT + (last - least + 1) * CELL / 2.0, TOP + p->n * CELL + 30, "middle",
          "position that was looked at");
    label(p, 4, TOP - 4, "start", "position");
}

/* The time of the step that made each token. */
static void steps(picture *p)
{
    const goss_recorded_token *t = goss_recorded_tokens(p->r);
    double most = 0.01;
    for (int pass = 0; pass < 2; pass++) {
        if (pass) {
            begin(p, "Steps: the time of the step that made each token (ms)", p->n * CELL, HIGH);
            for (int k = 0; k <= 4; k++)
                number(p, LEFT - 6, TOP + HIGH - k * HIGH / 4.0 + 4, "end", round(most * k * 250) / 1000);
        }
        for (int i = 0; i < p->n; i++) {
            const goss_recorded_token *own = &t[p->token[i]];
            const int64_t step = own->step >= 0 ? own->step : own->row_step;
            if (step < 0 || step >= goss_recorded_n_steps(p->r)) continue;
            const goss_recorded_step *s = &goss_recorded_steps(p->r)[step];
            if (!pass && (double)s->took > most) most = (double)s->took;
            if (!pass) continue;
            const double h = (double)s->took / most * HIGH;
            mark_begin(p, LEFT + i * CELL, TOP + HIGH - h, CELL - 1, h < 1 ? 1 : h, color_of(p, own), 0.9);
            goss_buf_printf(p->out, "step %lld: %.3f ms, %d rows of %d sessions, %d of them of prompts",
                            (long long)step, (double)s->took, s->n_rows, s->n_sessions, s->n_prompt_rows);
            mark_end(p);
        }
    }
    token_axis(p, CELL, HIGH);
}

int goss_replay_svg(const goss_recorded *r, const char *panel, int turn, int from, int n, goss_buf *out)
{
    static const struct {
        const char *name;
        void (*draw)(picture *p);
    } panels[] = {
        { "timeline", timeline }, { "experts", experts }, { "attention", attention }, { "steps", steps }
    };
    const int all = goss_recorded_n_tokens(r);
    goss_buf places = GOSS_BUF((size_t)1 << 30);
    int at = -1, skipped = 0;
    for (size_t i = 0; i < sizeof panels / sizeof *panels; i++)
        if (!strcmp(panels[i].name, panel)) at = (int)i;
    if (at < 0) return -1;
    for (int i = 0; i < all && places.len / sizeof i < (size_t)n; i++)
        if (goss_recorded_tokens(r)[i].turn == turn && skipped++ >= from)
            goss_buf_append(&places, &i, sizeof i);
    picture p = {
        .r = r, .out = out, .token = (int *)(void *)places.data, .n = (int)(places.len / sizeof(int))
    };
    panels[at].draw(&p);
    goss_buf_str(out, "</svg>\n");
    goss_buf_free(&places);
    return 0;
}
