/* config.c - reads what config.h lists. Nothing here is kept but pointers into argv and the environment. */
#include "config.h"
#include "../../src/base/fmt.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum kind { KIND_STR, KIND_INT, KIND_BOOL, KIND_SIZE, KIND_SECS, KIND_LIST };
typedef struct option { enum kind kind; size_t at; const char *flag, *arg, *env, *absent, *help; } option;
static const option options[] = {
#define ROW(kind, field, flag, arg, env, absent, help) \
    { KIND_##kind, offsetof(goss_srv_config, field), flag, arg, env, absent, help },
    GOSS_SRV_OPTIONS(ROW)
#undef ROW
};
enum { N_OPTIONS = sizeof options / sizeof options[0] };

static int read_bool(const char *s, int *out) {
    static const char *const yes[] = { "1", "true", "yes", "on" }, *const no[] = { "0", "false", "no", "off", "" };
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) if (!strcmp(s, yes[i])) return *out = 1, 0;
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++) if (!strcmp(s, no[i])) return *out = 0, 0;
    return -1;
}

static int read_size(const char *s, uint64_t *out) {
    double v;
    size_t n = goss_read_double(s, strlen(s), &v);
    if (!n || v < 0) return -1;
    static const char units[] = "KMGT";
    const char *unit = s[n] ? strchr(units, s[n] & ~0x20) : NULL;
    if (s[n] && (!unit || (s[n + 1] && strcmp(s + n + 1, "B") && strcmp(s + n + 1, "iB")))) return -1;
    for (long k = unit ? unit - units + 1 : 0; k > 0; k--) v *= 1024;
    if (v > 9e18) return -1;
    return *out = (uint64_t)v, 0;
}

/* 0, or -1 when the text is not of the option's kind. */
static int set(goss_srv_config *c, const option *o, const char *text) {
    char *field = (char *)c + o->at;
    double v;
    switch (o->kind) {
    case KIND_STR: *(const char **)field = text; return 0;
    case KIND_BOOL: return read_bool(text, (int *)field);
    case KIND_SIZE: return read_size(text, (uint64_t *)field);
    case KIND_INT:
    case KIND_SECS:
        if (goss_read_double(text, strlen(text), &v) != strlen(text) || !*text || v < 0 || v > INT_MAX) return -1;
        if (o->kind == KIND_SECS) return *(double *)field = v, 0;
        if (v != (double)(int)v) return -1;
        return *(int *)field = (int)v, 0;
    case KIND_LIST: {
        goss_srv_list *list = (goss_srv_list *)field;
        if (!*text) return 0;
        if (list->n == GOSS_SRV_LIST_MAX) return -1;
        list->item[list->n++] = text;
        return 0; }
    }
    return -1;
}

void goss_srv_config_help(void) {
    printf("usage: gossamer serve [MODEL] [options]\n\nServes the page, model files and the APIs of OpenAI, "
           "Anthropic and Ollama.\n\n");
    for (int i = 0; i < N_OPTIONS; i++) {
        const option *o = &options[i];
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", o->flag, *o->arg ? " " : "", o->arg);
        printf("  %-26s %s", left, o->help);
        if (*o->absent && o->kind != KIND_BOOL) printf(" [%s]", o->absent);
        printf("%s%s\n", *o->env ? "; variable " : "", o->env);
    }
}

static int usage(const char *format, const char *a, const char *b) {
    fprintf(stderr, "gossamer serve: ");
    fprintf(stderr, format, a, b);
    fprintf(stderr, " (see gossamer serve --help)\n");
    return -1;
}

static int defaults(goss_srv_config *c) {
    memset(c, 0, sizeof *c);
    c->model = "";
    for (int i = 0; i < N_OPTIONS; i++) {
        set(c, &options[i], options[i].absent);
        const char *env = *options[i].env ? getenv(options[i].env) : NULL;
        if (env && *env && set(c, &options[i], env) < 0)
            return usage("%s has a value that is not understood: '%s'", options[i].env, env);
    }
    const char *path = getenv("GPT_OSS_GGUF_PATH");
    if (path && *path) c->model = path;
    return 0;
}

/* One argument. Returns how many words it took, or -1. */
static int argument(goss_srv_config *c, const char *word, const char *next, int *n_models) {
    if (word[0] != '-' || !strncmp(word, "--gguf", 6)) {
        const char *path = word[0] != '-' ? word : word[6] == '=' ? word + 7 : next;
        if (!path) return usage("%s wants a value%s", word, "");
        if ((*n_models)++) return usage("one model at most; '%s' is one too many: use --models-dir%s", path, "");
        c->model = path;
        return path == next ? 2 : 1;
    }
    for (int i = 0; i < N_OPTIONS; i++) {
        const option *o = &options[i];
        size_t n = strlen(o->flag);
        if (strncmp(word, "--", 2) || strncmp(word + 2, o->flag, n) || (word[2 + n] && word[2 + n] != '=')) continue;
        const char *value = word[2 + n] == '=' ? word + 3 + n : o->kind == KIND_BOOL ? "1" : next;
        if (!value) return usage("%s wants a value%s", word, "");
        if (set(c, o, value) < 0) return usage("--%s does not understand '%s'", o->flag, value);
        return value == next ? 2 : 1;
    }
    return usage("unknown option '%s'%s", word, "");
}

static int read_key(goss_srv_config *c) {
    if (*c->api_key && *c->api_key_file) return usage("--api-key and --api-key-file exclude each other%s%s", "", "");
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

static int one_of(const char *flag, const char *value, const char *words) {
    const char *at = strstr(words, value);
    if (*value && at && (at == words || at[-1] == ' ') && (at[strlen(value)] == ' ' || !at[strlen(value)])) return 0;
    fprintf(stderr, "gossamer serve: --%s must be one of: %s\n", flag, words);
    return -1;
}

int goss_srv_config_read(goss_srv_config *c, int argc, char **argv) {
    int n_models = 0;
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) return goss_srv_config_help(), 1;
    if (defaults(c) < 0) return -1;
    for (int i = 1; i < argc; ) {
        int used = argument(c, argv[i], i + 1 < argc ? argv[i + 1] : NULL, &n_models);
        if (used < 0) return -1;
        i += used;
    }
    if (c->port > 65535) return usage("--port must be at most 65535%s%s", "", "");
    if (goss_srv_config_layers(c->layers) < -1) return usage("--layers does not understand '%s'%s", c->layers, "");
    if (one_of("log", c->log, "all errors none") || one_of("effort", c->effort, "low medium high") ||
        one_of("yarn", c->yarn, "openai llama.cpp") || one_of("gpu-limits", c->gpu_limits, "default adapter") ||
        one_of("backend", c->backend, "auto gpu cpu ref")) return -1;
    if (!c->max_kv) c->max_kv = c->context;
    if (c->max_sessions < 1) c->max_sessions = 1;
    if (c->max_models < 1) c->max_models = 1;
    if (c->http_threads < 1) c->http_threads = 1;
    if (c->max_header < 4096) c->max_header = 4096;
    return read_key(c);
}

int goss_srv_config_layers(const char *text) {
    double v;
    if (!strcmp(text, "all")) return 0;
    if (goss_read_double(text, strlen(text), &v) != strlen(text) || !*text || v < 0 || v > 4096 ||
        v != (double)(int)v)
        return -2;
    return (int)v == 0 ? -1 : (int)v;
}

goss_engine_config goss_srv_config_engine(const goss_srv_config *c, const char *path, int layers, int moe_fallback) {
    return (goss_engine_config){
        .model_path = path,
        .backend = c->backend,
        .draft_path = *c->draft ? c->draft : NULL,
        .n_threads = c->threads,
        .max_kv = c->max_kv,
        .max_sessions = c->max_sessions,
        .kv_type = *c->kv ? c->kv : NULL,
        .n_layers = layers,
        .moe_fallback = moe_fallback,
        .yarn_llamacpp = !strcmp(c->yarn, "llama.cpp"),
        .n_cpu_moe = c->n_cpu_moe,
        .gpu_limits_default = !strcmp(c->gpu_limits, "default"),
        .gpu_memory = c->gpu_memory,
        .resident_cap = c->resident_cap,
        .expert_cache = c->expert_cache,
        .kv_cap = c->kv_cap,
        .cpu_mask = *c->cpu_mask ? c->cpu_mask : NULL,
        .gpu_mask = *c->gpu_mask ? c->gpu_mask : NULL,
    };
}

int goss_srv_is_loopback(const char *host) {
    return !strcmp(host, "localhost") || !strncmp(host, "127.", 4) || !strcmp(host, "::1") || !strcmp(host, "[::1]");
}

int goss_srv_find_share(const char *name, char *out, size_t cap) {
    static const char *const places[] = { "%s/%s", "%s/../%s", "%s/../../%s", "%s/../share/gossamer/%s" };
    char exe[PATH_MAX], path[PATH_MAX + 64], real[PATH_MAX];
    struct stat st;
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n <= 0) return -1;
    exe[n] = 0;
    char *slash = strrchr(exe, '/');
    if (slash) *slash = 0;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        snprintf(path, sizeof path, places[i], exe, name);
        if (stat(path, &st) == 0 && S_ISDIR(st.st_mode) && realpath(path, real) && strlen(real) < cap)
            return strcpy(out, real), 0;
    }
    return -1;
}
