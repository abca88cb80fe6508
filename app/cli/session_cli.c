/* session_cli.c - see session_cli.h. */
#include "session_cli.h"
#include "progress.h"
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
