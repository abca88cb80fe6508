/* config.c - reads what config.h lists. Nothing here is kept but pointers into argv and the environment. */
#include "config.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    WORD = 64, /* the argument's name is the choices */
    LOW = 128, /* -1 is a value */
    KIND_STR = GOSS_OPT_STR,
    KIND_WORD = GOSS_OPT_STR | WORD,
    KIND_INT = GOSS_OPT_INT,
    KIND_MOST = GOSS_OPT_INT | LOW,
    KIND_BOOL = GOSS_OPT_FLAG,
    KIND_SIZE = GOSS_OPT_SIZE,
    KIND_SECS = GOSS_OPT_SECONDS,
    KIND_LIST = GOSS_OPT_LIST
};
static const goss_option rows[] = {
#define ROW(type, field, option, argument, variable, missing, text) \
    { "--" option, KIND_##type & ~(WORD | LOW), .at = offsetof(goss_srv_config, field), .env = variable, \
      .arg = KIND_##type & WORD ? "WORD" : argument, .choices = KIND_##type & WORD ? argument : NULL, \
      .min = KIND_##type & LOW ? -1 : 0, .max = (KIND_##type & ~LOW) == KIND_INT ? INT32_MAX : 0, \
      .absent = missing, .help = text },
    GOSS_SRV_OPTIONS(ROW)
#undef ROW
};
enum { N_ROWS = sizeof rows / sizeof rows[0] };

static int usage(const char *format, const char *a, const char *b)
{
    fprintf(stderr, "gossamer serve: ");
    fprintf(stderr, format, a, b);
    fprintf(stderr, " (see gossamer serve --help)\n");
    return -1;
}

static int read_key(goss_srv_config *c)
{
    if (*c->api_key && *c->api_key_file)
        return usage("--api-key and --api-key-file exclude each other%s%s", "", "");
    snprintf(c->key, sizeof c->key, "%s", c->api_key);
    if (strlen(c->api_key) >= sizeof c->key) return usage("the API key is too long%s%s", "", "");
    if (*c->api_key_file) {
        FILE *f = fopen(c->api_key_file, "r");
        if (!f) return usage("%s: %s", c->api_key_file, strerror(errno));
        if (!fgets(c->key, sizeof c->key, f)) c->key[0] = 0;
        fclose(f);
        c->key[strcspn(c->key, "\r\n")] = 0;
        if (!c->key[0]) return usage("%s holds no key%s", c->api_key_file, "");
    }
    if (!c->key[0] && !goss_srv_is_loopback(c->host))
        return usage("listening on %s opens the API to others: give an --api-key%s", c->host, "");
    return 0;
}

static int at_least(int value, int least) { return value < least ? least : value; }

int goss_srv_config_read(goss_srv_config *c, int argc, char **argv)
{
    goss_option table[N_ROWS + 1];
    const char *model = NULL;
    const goss_usage what = {
        "serve", "[MODEL]", "Serves the page, model files and the APIs of OpenAI, Anthropic and Ollama.",
        0,       1,         { table, c->engine.table }
    };
    *c = (goss_srv_config){ 0 };
    goss_engine_options_init(&c->engine, GOSS_FOR_SERVER);
    goss_options_bind(table, rows, N_ROWS, c, GOSS_FOR_SERVER);
    goss_options_defaults(table);
    const int n = goss_options_read(&what, argc, argv, &model);
    if (n < 0) return n == ~0 ? 1 : -1;
    if (!model && c->engine.repo) {
        snprintf(c->engine.found, sizeof c->engine.found, "hf:%s", c->engine.repo);
        model = c->engine.found;
    }
    c->model = model ? model : c->engine.gguf ? c->engine.gguf : "";
    if (c->port > 65535) return usage("--port must be at most 65535%s%s", "", "");
    c->engine.config.max_sessions = c->engine.config.max_sessions ? c->engine.config.max_sessions : 16;
    c->max_models = at_least(c->max_models, 1);
    c->http_threads = at_least(c->http_threads, 1);
    c->max_header = c->max_header < 4096 ? 4096 : c->max_header;
    return read_key(c);
}

goss_engine_config goss_srv_config_engine(const goss_srv_config *c, const char *path, int layers,
                                          int moe_fallback)
{
    goss_engine_config engine = c->engine.config;
    engine.model_path = path;
    engine.n_layers = layers;
    engine.moe_fallback = moe_fallback;
    return engine;
}

int goss_srv_is_loopback(const char *host)
{
    return !strcmp(host, "localhost") || !strncmp(host, "127.", 4) || !strcmp(host, "::1") ||
           !strcmp(host, "[::1]");
}
