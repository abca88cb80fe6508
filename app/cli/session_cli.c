/* session_cli.c - see session_cli.h. */
#include "session_cli.h"
#include "base/fmt.h"
#include "model_cli.h"
#include "net/source.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

/* ---- the engine ---------------------------------------------------------------------------------------- */
/* A recording has tokens in blocks of its own; of telemetry it keeps what happens seldom. */
static int is_recorded(const char *json, size_t n)
{
    static const char *const kinds[] = {
        "{\"type\":\"load_stage\"", "{\"type\":\"inference_event\",\"event\":{\"type\":\"kernel_time\""
    };
    /* it names a folder of this machine */
    static const char start[] = "{\"type\":\"load_stage\",\"stage\":\"load_start\"";
    if (n > sizeof start && !memcmp(json, start, sizeof start - 1)) return 0;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (n > strlen(kinds[i]) && !memcmp(json, kinds[i], strlen(kinds[i]))) return 1;
    return 0;
}

static void write_line(void *ctx, const char *json, size_t n)
{
    goss_cli_engine *c = ctx;
    if (c->recording && is_recorded(json, n)) goss_record_file_line(c->recording, json, n);
    if (!c->telemetry) return;
    fwrite(json, 1, n, c->telemetry);
    fputc('\n', c->telemetry);
}

/* Opens the file of --record. */
static int open_recording(goss_cli_engine *c, goss_engine_options *o, const char *command)
{
    goss_error err = { .position = -1 };
    if (!o->record) return 0;
    if (goss_record_file_open(&c->recording, o->record, &err)) return goss_cli_fail(command, 1, &err);
    o->config.on_telemetry = write_line;
    o->config.telemetry_ctx = c;
    o->config.telemetry_mask |= GOSS_TELEMETRY_LOAD | GOSS_TELEMETRY_KERNELS | GOSS_TELEMETRY_RECORD;
    return 0;
}

/* The model is there: everything is recorded from here on. */
static int begin_recording(goss_cli_engine *c, goss_error *err)
{
    const goss_record_config config = { .block = goss_record_file_block, .ctx = c->recording };
    return c->recording ? goss_engine_record(c->engine, &config, err) : 0;
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
    o->config.telemetry_ctx = c;
    o->config.telemetry_mask = GOSS_TELEMETRY_LOAD | GOSS_TELEMETRY_STAGES | GOSS_TELEMETRY_TOKENS |
                               GOSS_TELEMETRY_KERNELS | GOSS_TELEMETRY_STEPS |
                               (layers ? GOSS_TELEMETRY_LAYERS : 0);
    return 0;
}

/* ---- models that are URLs ------------------------------------------------------------------------------ */
static void on_wait(void *ctx, uint64_t there, uint64_t total, int waiting)
{
    goss_cli_engine *c = ctx;
    const char *label = waiting == GOSS_STREAM_FETCHES ? "fetching" : waiting ? "checking" : NULL;
    if (c->waiting.label && c->waiting.label != label) {
        goss_progress_end(&c->waiting);
        c->waiting.label = NULL;
    }
    if (!label) return;
    if (!c->waiting.label) goss_progress_start(&c->waiting, label, there, total);
    goss_progress_update(&c->waiting, there);
}

/* A model of one file runs while it comes; one of several comes first. 0, or the exit status after an
 * explanation. */
static int find_model(goss_cli_engine *c, goss_engine_options *o, const char *command)
{
    const char *said = o->config.model_path;
    goss_model_pull p = { .said = said, .folder = o->model_cache };
    goss_error err = { .position = -1 };
    int rc = goss_cli_bring(&o->config.draft_path, o->model_cache, command, o->draft, sizeof o->draft);
    if (rc || o->config.ring || (!goss_is_url(said) && !goss_model_is_name(said))) return rc;
    rc = goss_model_locate(&p.place, said, o->model_cache, 1, &err);
    if (!rc && !p.place.kept && p.place.n_parts > 1) {
        if (goss_cli_pull(&p, command)) return 1;
    }
    goss_fmt(c->path, sizeof c->path, "%s", p.place.path);
    o->config.model_path = c->path;
    if (!rc && !p.place.kept) {
        const goss_stream_options options = {
            .folder = p.place.folder, .file = p.place.file, .on_wait = on_wait, .ctx = c
        };
        rc = goss_stream_open(&c->stream, p.place.url, &options, c->path, sizeof c->path, &err);
    }
    if (rc) return goss_cli_fail(command, rc == GOSS_EINVAL ? 2 : 1, &err);
    if (!c->stream) return 0;
    o->config.model_path = NULL;
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
             (unsigned long long)(f->had + f->fetched), (unsigned long long)f->total,
             (unsigned long long)f->touched,
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
    if (open_recording(c, o, command)) {
        goss_cli_close(c, command);
        return 1;
    }
    goss_error err = { .position = -1 };
    int rc = 0, status;
    if (o->prefix_cache) {
        rc = goss_prefix_dir_open(&c->prefixes, o->prefix_cache, &err);
        o->config.prefix_store = &c->prefixes.store;
    }
    if (!rc) rc = goss_kernels_file_open(&c->kernels, &o->config, o->kernels, o->model_cache, &err);
    if (!rc && (status = find_model(c, o, command))) { goss_cli_close(c, command); return status; }
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
    if (!rc) rc = begin_recording(c, &err);
    if (!rc) return 0;
    goss_cli_close(c, command);
    return goss_cli_fail(command, rc == GOSS_EINVAL ? 2 : 1, &err);
}

int goss_cli_close(goss_cli_engine *c, const char *command)
{
    goss_engine_close(&c->engine);
    goss_prefix_dir_close(&c->prefixes);
    goss_kernels_file_close(&c->kernels);
    if (c->stream) {
        goss_stream_finish(c->stream, NULL);
        report_stream(c);
        if (*goss_stream_error(c->stream)) fprintf(stderr, "gossamer %s: %s\n", command,
            goss_stream_error(c->stream));
        goss_stream_close(&c->stream);
    }
    goss_error err = { .position = -1 };
    const int unwritten = goss_record_file_close(&c->recording, &err) ? goss_cli_fail(command, 1, &err) : 0;
    if (!c->telemetry) return unwritten;
    const int bad = ferror(c->telemetry), closed = fclose(c->telemetry);
    c->telemetry = NULL;
    if (!bad && !closed) return unwritten;
    fprintf(stderr, "gossamer %s: the telemetry file could not be written: %s.\n", command, strerror(errno));
    return 1;
}

/* ---- Ctrl-C -------------------------------------------------------------------------------------------- */
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

/* ---- requests ------------------------------------------------------------------------------------------ */
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
