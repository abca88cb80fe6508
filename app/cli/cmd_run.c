/* cmd_run.c - gossamer run: one prompt, one answer. The answer's text alone goes to standard output;
 * reasoning (dimmed on a
 * terminal, or when asked for), tool calls and figures go to standard error. */
#include "commands.h"
#include "sampling_options.h"
#include "session_cli.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

typedef struct runner {
    goss_buf answer, reasoning, calls;
    goss_cli_engine *cli;
    int json, show, dim, in_reasoning, n_tokens, stop;
    char last;                      /* of what was printed */
    goss_event done;
} runner;

static void end_reasoning(runner *r)
{
    if (!r->in_reasoning) return;
    fputs(r->dim ? "\033[0m\n" : "\n", stderr);
    r->in_reasoning = 0;
}

static void take_reasoning(runner *r, const char *text, int n)
{
    goss_buf_append(&r->reasoning, text, (size_t)n);
    if (!r->show) return;
    if (!r->in_reasoning && r->dim) fputs("\033[2m", stderr);
    r->in_reasoning = 1;
    fwrite(text, 1, (size_t)n, stderr);
    fflush(stderr);
}

static void take_answer(runner *r, const char *text, int n)
{
    end_reasoning(r);
    goss_buf_append(&r->answer, text, (size_t)n);
    if (r->json) return;
    fwrite(text, 1, (size_t)n, stdout);
    fflush(stdout);
    r->last = text[n - 1];
}

static int on_event(void *ctx, const goss_event *ev)
{
    runner *r = ctx;
    if (ev->kind == GOSS_EVENT_TOKEN && ev->token >= 0) {
        r->n_tokens++;
        goss_cli_token(r->cli);
    }
    if (ev->kind != GOSS_EVENT_PREFILL && ev->n_text) {
        if (ev->recipient[0]) goss_buf_append(&r->calls, ev->text, (size_t)ev->n_text);
        else if (!strcmp(ev->channel, "analysis")) take_reasoning(r, ev->text, ev->n_text);
        else take_answer(r, ev->text, ev->n_text);
    }
    if (ev->kind == GOSS_EVENT_DONE) r->done = *ev;
    return goss_cli_interrupted();
}

/* ---- the request --------------------------------------------------------------------------------------- */
static int read_stdin(goss_buf *b)
{
    char part[4096];
    size_t n;
    while ((n = fread(part, 1, sizeof part, stdin)) > 0) goss_buf_append(b, part, n);
    return ferror(stdin) || b->failed;
}

static void chat_request(goss_buf *out, const char *prompt, size_t n, const char *system, const char *effort,
                         const char *date)
{
    goss_buf messages = GOSS_BUF((size_t)1 << 26);
    char today[11];
    goss_cli_today(today);
    if (system) goss_cli_message(&messages, "system", system, strlen(system));
    goss_cli_message(&messages, "user", prompt, n);
    goss_buf_printf(out, "{\"date\":\"%s\",", date ? date : today);
    if (effort) goss_buf_printf(out, "\"reasoning_effort\":\"%s\",", effort);
    goss_buf_str(out, "\"messages\":[");
    goss_buf_append(out, messages.data, messages.len);
    goss_buf_str(out, "]}");
    if (messages.failed) out->failed = messages.failed;
    goss_buf_free(&messages);
}

/* ---- results ------------------------------------------------------------------------------------------- */
static double per_second(double n, double ms) { return ms > 0 ? n * 1000 / ms : 0; }

static const char *stop_name(int stop)
{
    static const char *const names[] = { "", "eos", "stop", "length", "tool_call", "canceled", "error" };
    return stop >= 0 && stop < 7 ? names[stop] : "";
}

static void print_json(const runner *r)
{
    goss_buf b = GOSS_BUF((size_t)1 << 28);
    goss_buf_str(&b, "{\"text\":");
    goss_buf_json_string(&b, (const char *)r->answer.data, r->answer.len);
    goss_buf_str(&b, ",\"reasoning\":");
    goss_buf_json_string(&b, (const char *)r->reasoning.data, r->reasoning.len);
    if (r->calls.len) {
        goss_buf_str(&b, ",\"tool_call\":");
        goss_buf_json_string(&b, (const char *)r->calls.data, r->calls.len);
    }
    goss_buf_printf(&b,
                    ",\"stop_reason\":\"%s\",\"prompt_tokens\":%d,\"generated_tokens\":%d,\"prefill_ms\":%."
                    "2f,\"decode_ms\":%.2f,\"tokens_per_sec\":%.2f}\n",
                    stop_name(r->done.stop), r->done.n_prompt, r->done.n_generated, r->done.prefill_ms,
                    r->done.decode_ms, per_second(r->done.n_generated - 1, r->done.decode_ms));
    fwrite(b.data, 1, b.len, stdout);
    goss_buf_free(&b);
}

static void print_end(runner *r, int verbose)
{
    end_reasoning(r);
    if (r->json) print_json(r);
    else if (r->last && r->last != '\n') putchar('\n');
    if (r->calls.len && !r->json) fprintf(stderr, "tool call: %s\n", goss_buf_cstr(&r->calls));
    if (!verbose) return;
    fprintf(stderr, "%d prompt tokens in %.0f ms (%.1f/s), %d generated in %.0f ms (%.1f/s), stop: %s\n",
            r->done.n_prompt, r->done.prefill_ms,
            per_second(r->done.n_prompt - r->done.n_reused, r->done.prefill_ms), r->done.n_generated,
            r->done.decode_ms, per_second(r->done.n_generated - 1, r->done.decode_ms),
            stop_name(r->done.stop));
}

static int generate(goss_cli_engine *c, const goss_params *p, const char *prompt, runner *r, int verbose)
{
    goss_error err = { .position = -1 };
    r->cli = c;
    goss_cli_catch_interrupts();
    const int rc = goss_generate(c->engine, prompt, p, on_event, NULL, r, &err);
    if (rc == 0) print_end(r, verbose);
    else end_reasoning(r);
    const int status = rc == 0
                           ? (r->done.stop == GOSS_STOP_CANCELED ? 130 : 0)
                           : goss_cli_fail("run", rc == GOSS_EINVAL || rc == GOSS_EUNSUPPORTED ? 2 : 1, &err);
    goss_buf_free(&r->answer);
    goss_buf_free(&r->reasoning);
    goss_buf_free(&r->calls);
    return status;
}

static int open_and_generate(goss_engine_options *engine, int layers, goss_params *p, const char *request,
                             runner *r, int verbose)
{
    goss_cli_engine c;
    int status = goss_cli_open(&c, engine, "run", layers);
    if (status) return status;
    status = generate(&c, p, request, r, verbose);
    const int closed = goss_cli_close(&c, "run");
    return status ? status : closed;
}

int goss_cmd_run(int argc, char **argv)
{
    goss_engine_options engine;
    goss_sampling_options sampling;
    const char *prompt = NULL, *system = NULL, *effort = NULL, *date = NULL, *args[1];
    int raw = 0, harmony = 1, json = 0, show = 0, verbose = 0, layers = 0;
    const goss_option options[] = {
        { "--prompt,-p", GOSS_OPT_STR, &prompt, .arg = "TEXT",
          .help = "what to say (standard input when not given)" },
        { "--raw", GOSS_OPT_FLAG, &raw, .help = "continue the text, without a chat format" },
        { "--harmony", GOSS_OPT_FLAG, &harmony, .help = "the model's chat format (the default)",
          .env = "GPT_OSS_GGUF_HARMONY" },
        { "--system", GOSS_OPT_STR, &system, .arg = "TEXT", .help = "instructions" },
        { "--effort", GOSS_OPT_STR, &effort, .arg = "LEVEL", .help = "how much it reasons (medium)",
          .choices = "low|medium|high" },
        { "--date", GOSS_OPT_STR, &date, .arg = "YYYY-MM-DD", .help = "the date it is told (today)" },
        { "--show-reasoning", GOSS_OPT_FLAG, &show, .help = "print the reasoning on standard error" },
        { "--speculate", GOSS_OPT_FLAG, &sampling.params.draft,
          .help = "draft tokens ahead (on with --draft)" },
        { "--telemetry-layers", GOSS_OPT_FLAG, &layers, .help = "telemetry of every layer too" },
        { "--json", GOSS_OPT_FLAG, &json, .help = "print one JSON object" },
        { "--verbose,-v", GOSS_OPT_FLAG, &verbose, .help = "print tokens and times on standard error" },
        { 0 }
    };
    goss_engine_options_init(&engine, GOSS_FOR_COMMANDS);
    goss_sampling_options_init(&sampling);
    const goss_usage usage = {
        "run",
        "[MODEL]",
        "Answers one prompt: the answer goes to standard output, all else to standard error.",
        0,
        1,
        { options, sampling.table, engine.table }
    };
    const int n = goss_options_read(&usage, argc, argv, args);
    if (n < 0) return ~n;
    int status = goss_engine_options_finish(&engine, "run", n ? args[0] : NULL);
    if (status) return status;
    status = goss_sampling_options_finish(&sampling, "run");
    if (status) return status;
    goss_params *p = &sampling.params;
    p->chat = !raw && harmony;
    p->tools_json = "[]";
    p->draft |= engine.config.draft_path != NULL;
    goss_buf text = GOSS_BUF((size_t)1 << 26), request = GOSS_BUF((size_t)1 << 27);
    if (prompt) goss_buf_str(&text, prompt);
    else if (read_stdin(&text)) {
        fprintf(stderr, "gossamer run: standard input cannot be read: %s.\n", strerror(errno));
        return 1;
    }
    if (p->chat) chat_request(&request, goss_buf_cstr(&text), text.len, system, effort, date);
    else goss_buf_append(&request, text.data, text.len);
    runner r = { .answer = GOSS_BUF((size_t)1 << 28),
                 .reasoning = GOSS_BUF((size_t)1 << 28),
                 .calls = GOSS_BUF((size_t)1 << 28),
                 .json = json };
    r.dim = isatty(STDERR_FILENO);
    r.show = show || (r.dim && !json);
    status = open_and_generate(&engine, layers, p, goss_buf_cstr(&request), &r, verbose);
    goss_buf_free(&text);
    goss_buf_free(&request);
    return status;
}
