/* cmd_replay.c - gossamer replay FILE: what a recording holds: what was asked, the tokens, alternatives on
 * request; or as lines of telemetry, or a panel as a picture. */
#include "commands.h"
#include "base/fmt.h"
#include "base/os.h"
#include "common/options.h"
#include "replay.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct replay {
    const char *svg, *format;
    int turn, from, n, tokens, position;
} replay;

static void print_text(goss_str s)
{
    goss_buf b = GOSS_BUF(1 << 20);
    goss_replay_text(&b, s);
    fwrite(b.data, 1, b.len, stdout);
    goss_buf_free(&b);
}

static void print_head(const goss_recorded *r)
{
    const int n = goss_recorded_n_tokens(r);
    printf("%.*s, recorded by %.*s: %d tokens of %d turns in %d steps, %zu bytes (%.0f a token)%s\n",
           (int)r->name.n, r->name.s ? r->name.s : "", (int)r->program.n, r->program.s ? r->program.s : "", n,
           goss_recorded_n_turns(r), goss_recorded_n_steps(r), r->bytes, n ? (double)r->bytes / n : 0,
           r->whole ? "" : "; it ends early, this is what there is");
}

/* ---- tokens one by one --------------------------------------------------------------------------------- */
static void print_token(const goss_recorded *r, int i)
{
    const goss_recorded_token *t = &goss_recorded_tokens(r)[i];
    printf("%6d %7d \"", t->position, t->id);
    print_text(goss_recorded_word(r, t->id));
    printf("\"");
    if (!t->kind) printf("  prompt");
    else
        printf("  p %.6f  entropy %.5f%s%s%s", exp((double)t->logprob), (double)t->entropy,
               t->kind == 2 ? "  drafted" : "", *goss_recorded_channel(r, t->channel) ? "  " : "",
               goss_recorded_channel(r, t->channel));
    if (t->step >= 0 && t->step < goss_recorded_n_steps(r))
        printf("  step %lld (%.3f ms, %d rows)", (long long)t->step,
               (double)goss_recorded_steps(r)[t->step].took, goss_recorded_steps(r)[t->step].n_rows);
    printf("\n");
}

static void print_details(const goss_recorded *r, int i)
{
    const goss_recorded_token *t = &goss_recorded_tokens(r)[i];
    for (int k = 0; k < t->n_top; k++) {
        printf("       %d. token %6d  p %.6f  \"", k + 1, t->top_id[k], exp((double)t->top_logprob[k]));
        print_text(goss_recorded_word(r, t->top_id[k]));
        printf("\"\n");
    }
    for (int l = 0; l < r->n_layer; l++) {
        const uint16_t *weight, *expert = goss_recorded_experts(r, i, l, &weight);
        if (!expert) break;
        printf("       layer %3d:", l);
        for (int k = 0; k < r->n_expert_used; k++) printf("  %d %.4f", expert[k], (double)weight[k] / 65535);
        printf("\n");
    }
    if (t->n_looks) printf("       layer %d, head %d looked at:", t->watch[0], t->watch[1]);
    for (int k = 0; k < t->n_looks; k++) printf("  %d %.4f", t->look[k], (double)t->look_weight[k]);
    if (t->n_looks) printf("\n");
}

static void print_tokens(const replay *p, const goss_recorded *r)
{
    for (int i = 0; i < goss_recorded_n_tokens(r); i++) {
        const goss_recorded_token *t = &goss_recorded_tokens(r)[i];
        if ((p->turn >= 0 && t->turn != p->turn) || (p->position >= 0 && t->position != p->position))
            continue;
        print_token(r, i);
        if (p->position >= 0 || p->tokens > 1) print_details(r, i);
    }
}

/* ---- turns --------------------------------------------------------------------------------------------- */
static void print_request(const char *request)
{
    goss_json j = { 0 };
    goss_buf text = GOSS_BUF((size_t)1 << 28);
    goss_error err;
    if (!goss_json_parse(&j, request, strlen(request), NULL, &err)) {
        const int messages = goss_json_get(&j, 0, "messages");
        for (int i = goss_json_first(&j, messages); i >= 0; i = goss_json_next(&j, i)) {
            goss_buf_clear(&text);
            goss_json_string(&j, goss_json_get(&j, i, "role"), &text);
            printf("[%s] ", goss_buf_cstr(&text));
            goss_buf_clear(&text);
            if (goss_json_string(&j, goss_json_get(&j, i, "content"), &text))
                goss_json_write(&j, goss_json_get(&j, i, "content"), &text);
            printf("%s\n", goss_buf_cstr(&text));
        }
    }
    goss_json_free(&j);
    goss_buf_free(&text);
}

/* The text of a turn's tokens: of the prompt, or of the answer, with a name before each channel. */
static void print_side(const goss_recorded *r, int turn, int answer)
{
    int channel = -1;
    for (int i = 0; i < goss_recorded_n_tokens(r); i++) {
        const goss_recorded_token *t = &goss_recorded_tokens(r)[i];
        if (t->turn != turn || (t->kind > 0) != answer) continue;
        const char *name = goss_recorded_channel(r, t->channel);
        if (answer && !*name && t->channel != channel && channel >= 0) printf("\n");
        if (answer && *name && t->channel != channel) printf("[%s] ", name);
        channel = t->channel;
        const goss_str s = goss_recorded_word(r, t->id);
        if (!answer || *name || goss_recorded_turn_of(r, turn)->request == NULL)
            fwrite(s.s, 1, (size_t)s.n, stdout);
    }
    printf("\n");
}

static void print_turn(const goss_recorded *r, const goss_recorded_turn *t)
{
    printf("\nturn %d, session %d", t->turn, t->session);
    if (t->of >= 0) printf(", behind %d tokens of turn %d", t->from, t->of);
    printf(": %d tokens asked (%d computed before)", t->n_prompt, t->n_reused);
    if (*t->stop)
        printf(", %d answered in %.0f ms, stop: %s", t->n_generated, t->end_ms - t->begin_ms, t->stop);
    printf("\n");
    if (t->request) print_request(t->request);
    else print_side(r, t->turn, 0);
    print_side(r, t->turn, 1);
}

/* ---- the command --------------------------------------------------------------------------------------- */
static int write_out(goss_buf *b)
{
    if (b->failed) {
        fprintf(stderr, "gossamer replay: no memory for that much.\n");
        return 1;
    }
    fwrite(b->data, 1, b->len, stdout);
    return 0;
}

static int show(const replay *p, const goss_recorded *r)
{
    goss_buf out = GOSS_BUF((size_t)1 << 30);
    int status = 0;
    if (p->svg) {
        goss_replay_svg(r, p->svg, p->turn < 0 ? 0 : p->turn, p->from, p->n, &out);
        status = write_out(&out);
    } else if (!strcmp(p->format, "lines")) {
        goss_replay_lines(r, &out);
        status = write_out(&out);
    } else {
        print_head(r);
        if (p->tokens || p->position >= 0) print_tokens(p, r);
        for (int i = 0; i < goss_recorded_n_turns(r) && !p->tokens && p->position < 0; i++)
            if (p->turn < 0 || goss_recorded_turns(r)[i].turn == p->turn)
                print_turn(r, &goss_recorded_turns(r)[i]);
    }
    goss_buf_free(&out);
    return status;
}

int goss_cmd_replay(int argc, char **argv)
{
    replay p = { .format = "text", .turn = -1, .position = -1, .n = 256 };
    const char *args[1];
    int all = 0;
    const goss_option options[] = {
        { "--tokens", GOSS_OPT_FLAG, &p.tokens,
          .help = "token by token: probability, entropy, channel, step" },
        { "--all", GOSS_OPT_FLAG, &all, .help = "with their alternatives, experts and attention" },
        { "--position", GOSS_OPT_INT, &p.position, .arg = "N", .help = "all of the token at a position",
          .min = 0, .max = 1e9 },
        { "--turn", GOSS_OPT_INT, &p.turn, .arg = "N", .help = "of this turn only", .min = 0, .max = 1e9 },
        { "--svg", GOSS_OPT_STR, &p.svg, .arg = "PANEL", .help = "a picture of a turn (turn 0)",
          .choices = "timeline|experts|attention|steps" },
        { "--from", GOSS_OPT_INT, &p.from, .arg = "N", .help = "of the picture: the turn's first token (0)",
          .min = 0, .max = 1e9 },
        { "--n", GOSS_OPT_INT, &p.n, .arg = "N", .help = "of the picture: how many tokens (256)", .min = 1,
          .max = 100000 },
        { "--format", GOSS_OPT_STR, &p.format, .arg = "FORMAT",
          .help = "lines: telemetry, which a page replays with ?data=", .choices = "text|lines" },
        { 0 }
    };
    const goss_usage usage = { "replay", "FILE", "Shows what a recording holds (gossamer run --record).",
                               1,        1,      { options } };
    const int n = goss_options_read(&usage, argc, argv, args);
    if (n < 0) return ~n;
    p.tokens += all ? 2 : 0;
    goss_mapping map;
    goss_error err = { .position = -1 };
    goss_recorded r = { 0 };
    int rc = goss_os_map(&map, args[0], &err);
    if (!rc) {
        rc = goss_recorded_read(&r, map.data, (size_t)map.size, &err);
        goss_os_unmap(&map);
    }
    const int status = rc ? goss_cli_fail("replay", 1, &err) : show(&p, &r);
    goss_recorded_close(&r);
    return status;
}
