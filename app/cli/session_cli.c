/* session_cli.c - see session_cli.h. */
#include "session_cli.h"
#include "../source.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

/* ---- the engine -------------------------------------------------------------------------------------------- */
static void write_line(void *ctx, const char *json, size_t n)
{
    FILE *f = ctx;
    fwrite(json, 1, n, f);
    fputc('\n', f);
}

int goss_cli_telemetry(goss_cli_engine *c, goss_engine_options *o, const char *command, int layers)
{
    if (!o->telemetry) return 0;
    c->telemetry = fopen(o->telemetry, "wb");
    if (!c->telemetry) {
        fprintf(stderr, "gossamer %s: cannot write %s: %s.\n", command, o->telemetry, strerror(errno));
        return 1;
    }
    o->config.on_telemetry = write_line;
    o->config.telemetry_ctx = c->telemetry;
    o->config.telemetry_mask = GOSS_TELEMETRY_LOAD | GOSS_TELEMETRY_STAGES | GOSS_TELEMETRY_TOKENS |
                               GOSS_TELEMETRY_KERNELS | (layers ? GOSS_TELEMETRY_LAYERS : 0);
    return 0;
}

/* ---- models that are URLs ---------------------------------------------------------------------------------- */
static void on_wait(void *ctx, uint64_t there, uint64_t total, int waiting)
{
    goss_cli_engine *c = ctx;
    if (!waiting) { if (c->waiting.label) goss_progress_end(&c->waiting); c->waiting.label = NULL; return; }
    if (!c->waiting.label) goss_progress_start(&c->waiting, "fetching", there, total);
    goss_progress_update(&c->waiting, there);
}

static int open_url(goss_cli_engine *c, goss_engine_options *o, goss_error *err)
{
    const goss_stream_options options = { o->model_cache, on_wait, c };
    const int rc = goss_stream_open(&c->stream, o->config.model_path, &options, c->path, sizeof c->path, err);
    if (rc) return rc;
    o->config.model_path = c->stream ? NULL : c->path;
    if (!c->stream) return 0;
    c->source = goss_stream_source(c->stream);
    o->config.sources = &c->source;
    o->config.n_sources = 1;
    return 0;
}

void goss_cli_token(goss_cli_engine *c)
{
    char detail[160];
    if (!c->stream || c->n_tokens++) return;
    const goss_stream_stats *f = &c->first;
    goss_stream_get_stats(c->stream, &c->first);
    snprintf(detail, sizeof detail, "there=%llu total=%llu touched=%llu beyond=%.4f",
             (unsigned long long)(f->had + f->fetched), (unsigned long long)f->total, (unsigned long long)f->touched,
             f->touched ? (double)(f->had + f->fetched) / (double)f->touched - 1 : 0.0);
    goss_engine_note(c->engine, "stream_share", "completed", detail);
}

/* What the first token cost of the download, and where it stands. */
static void report_stream(goss_cli_engine *c)
{
    goss_stream_stats s, f = c->first;
    char total[16], first[16], touched[16], all[16];
    goss_stream_get_stats(c->stream, &s);
    goss_human_bytes(total, (double)s.total);
    goss_human_bytes(all, (double)(s.had + s.fetched));
    if (c->n_tokens) {
        goss_human_bytes(first, (double)(f.had + f.fetched));
        goss_human_bytes(touched, (double)f.touched);
        fprintf(stderr,
            "the first token came with %s of %s there (%.1f %%); it touched %s: %.2f %% more was fetched.\n", first,
                total, 100.0 * (double)(f.had + f.fetched) / (double)f.total, touched,
                100.0 * ((double)(f.had + f.fetched) / (double)f.touched - 1));
    }
    fprintf(stderr, "%s of the model %s kept for the next time (%.1f %%).\n", all,
        s.had + s.fetched == s.total ? "are there and" : "are",
            100.0 * (double)(s.had + s.fetched) / (double)s.total);
}

int goss_cli_open(goss_cli_engine *c, goss_engine_options *o, const char *command, int layers)
{
    *c = (goss_cli_engine){ 0 };
    if (goss_cli_telemetry(c, o, command, layers)) return 1;
    goss_error err = { .position = -1 };
    int rc = 0;
    if (o->prefix_cache) {
        rc = goss_prefix_dir_open(&c->prefixes, o->prefix_cache, &err);
        o->config.prefix_store = &c->prefixes.store;
    }
    if (!rc && goss_is_url(o->config.model_path)) rc = open_url(c, o, &err);
    if (!rc) rc = goss_engine_open(&c->engine, &o->config, &err);
    goss_progress bar;
    goss_progress_start(&bar, "loading", 0, 1000);
    while (!rc && goss_engine_state(c->engine) == GOSS_ENGINE_LOADING) {
        goss_stats st;
        rc = goss_engine_poll(c->engine, 50, &err);
        goss_engine_stats(c->engine, &st);
        goss_progress_update(&bar, (uint64_t)(st.load_progress * 1000));
        if (rc > 0) rc = 0;
    }
    goss_progress_end(&bar);
    if (!rc) return 0;
    goss_cli_close(c, command);
    return goss_cli_fail(command, rc == GOSS_EINVAL ? 2 : 1, &err);
}

int goss_cli_close(goss_cli_engine *c, const char *command)
{
    goss_engine_close(&c->engine);
    goss_prefix_dir_close(&c->prefixes);
    if (c->stream) {
        report_stream(c);
        if (*goss_stream_error(c->stream)) fprintf(stderr, "gossamer %s: %s\n", command,
            goss_stream_error(c->stream));
        goss_stream_close(&c->stream);
    }
    if (!c->telemetry) return 0;
    const int bad = ferror(c->telemetry), closed = fclose(c->telemetry);
    c->telemetry = NULL;
    if (!bad && !closed) return 0;
    fprintf(stderr, "gossamer %s: the telemetry file could not be written: %s.\n", command, strerror(errno));
    return 1;
}

/* ---- Ctrl-C ------------------------------------------------------------------------------------------------ */
static volatile sig_atomic_t interrupts;

static void on_interrupt(int number)
{
    if (++interrupts < 3) return;
    signal(number, SIG_DFL);
    raise(number);
}

void goss_cli_catch_interrupts(void)
{
    struct sigaction a = { .sa_handler = on_interrupt }; /* no SA_RESTART: a wait for input ends too */
    sigemptyset(&a.sa_mask);
    sigaction(SIGINT, &a, NULL);
}

int goss_cli_interrupted(void) { return interrupts > 0; }
void goss_cli_reset_interrupt(void) { interrupts = 0; }

/* ---- requests ---------------------------------------------------------------------------------------------- */
void goss_cli_today(char out[11])
{
    const time_t now = time(NULL);
    struct tm day;
    localtime_r(&now, &day);
    strftime(out, 11, "%Y-%m-%d", &day);
}

void goss_cli_message(goss_buf *messages, const char *role, const char *text, size_t n)
{
    if (messages->len) goss_buf_str(messages, ",");
    goss_buf_printf(messages, "{\"role\":\"%s\",\"content\":", role);
    goss_buf_json_string(messages, text, n);
    goss_buf_str(messages, "}");
}
