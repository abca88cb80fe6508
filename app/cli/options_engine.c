/* options_engine.c - the options that every command with a model shares, and where the model is when none is named. */
#include "options.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void goss_engine_options_init(goss_engine_options *o)
{
    *o = (goss_engine_options){ 0 };
    goss_engine_config *c = &o->config;
    const goss_option rows[] = {
        { "--gguf,-m", GOSS_OPT_STR, &o->gguf, .arg = "PATH", .help = "the model, instead of an argument",
          .env = "GPT_OSS_GGUF_PATH" },
        { "--backend", GOSS_OPT_STR, &c->backend, .arg = "NAME", .help = "where it runs",
          .choices = "auto|gpu|cpu|ref" },
        { "--draft", GOSS_OPT_STR, &c->draft_path, .arg = "PATH", .help = "a draft model for speculation" },
        { "--threads,-t", GOSS_OPT_INT, &c->n_threads, .arg = "N", .help = "CPU threads (one per core)",
          .env = "GPT_OSS_GGUF_THREADS", .min = 0, .max = 256 },
        { "--max-kv", GOSS_OPT_INT, &c->max_kv, .arg = "N", .help = "most positions a session may use",
          .env = "GPT_OSS_GGUF_MAX_KV", .min = 0, .max = 16777216 },
        { "--kv", GOSS_OPT_STR, &c->kv_type, .arg = "TYPE", .help = "how keys and values are stored",
          .choices = "f16|q8|q4|f32" },
        { "--layers", GOSS_OPT_STR, &o->layers, .arg = "N|all", .help = "run only the first N layers, 0 none",
          .env = "GPT_OSS_GGUF_LAYER_LIMIT" },
        { "--moe-fallback", GOSS_OPT_FLAG, &c->moe_fallback, .help = "use expert 0 only",
          .env = "GPT_OSS_GGUF_MOE_FALLBACK" },
        { "--attn-dense", GOSS_OPT_FLAG, &c->attn_dense, .help = "ignore the sliding window" },
        { "--yarn", GOSS_OPT_STR, &o->yarn, .arg = "KIND", .help = "whose YaRN frequencies",
          .choices = "openai|llama.cpp" },
        { "--max-rows", GOSS_OPT_INT, &c->max_rows, .arg = "N", .help = "most rows of one step", .min = 0,
          .max = 65536 },
        { "--n-cpu-moe", GOSS_OPT_INT, &c->n_cpu_moe, .arg = "N",
          .help = "gpu: experts of the first N layers run on the CPU", .min = 0, .max = 100000 },
        { "--gpu-limits", GOSS_OPT_STR, &o->gpu_limits, .arg = "KIND", .help = "WebGPU limits to ask for",
          .choices = "default|adapter" },
        { "--gpu-memory", GOSS_OPT_SIZE, &c->gpu_memory, .arg = "SIZE", .help = "GPU memory to use" },
        { "--resident-cap", GOSS_OPT_SIZE, &c->resident_cap, .arg = "SIZE",
          .help = "weights kept on the GPU" },
        { "--expert-cache", GOSS_OPT_SIZE, &c->expert_cache, .arg = "SIZE",
          .help = "experts kept on the GPU when they don't all fit" },
        { "--kv-cap", GOSS_OPT_SIZE, &c->kv_cap, .arg = "SIZE", .help = "memory for keys and values" },
        { "--cpu-mask", GOSS_OPT_STR, &c->cpu_mask, .arg = "LIST",
          .help = "CPU features to leave off, e.g. avx512vnni,amx" },
        { "--gpu-mask", GOSS_OPT_STR, &c->gpu_mask, .arg = "LIST",
          .help = "GPU features to leave off, e.g. f16,subgroups" },
        { "--webgpu", GOSS_OPT_STR, &c->webgpu_path, .arg = "PATH", .help = "a webgpu.h library",
          .env = "GOSSAMER_WEBGPU" },
        { "--model-cache", GOSS_OPT_STR, &o->model_cache, .arg = "DIR",
          .help = "of a model that is an URL: where its file is kept (~/.cache/gossamer/models)" },
        { "--prefix-cache", GOSS_OPT_STR, &o->prefix_cache, .arg = "DIR",
          .help = "keep computed prefixes there, over restarts" },
        { "--prefix-cache-size", GOSS_OPT_SIZE, &c->prefix_store_bytes, .arg = "SIZE",
          .help = "most bytes there (4G)" },
        { "--telemetry", GOSS_OPT_STR, &o->telemetry, .arg = "FILE",
          .help = "write telemetry as JSON lines" },
        { 0 }
    };
    _Static_assert(sizeof rows <= sizeof o->table, "the table has room for its rows");
    memcpy(o->table, rows, sizeof rows);
}

static int set_layers(goss_engine_options *o, const char *command)
{
    char *end;
    if (!o->layers || !strcmp(o->layers, "all"))
        return 0;
    const long n = strtol(o->layers, &end, 10);
    if (*end || end == o->layers || n < 0 || n > 100000) {
        fprintf(stderr, "gossamer %s: --layers should be a number of layers or all, not \"%s\".\n", command, o->layers);
        return 2;
    }
    o->config.n_layers = n == 0 ? -1 : (int)n;
    return 0;
}

int goss_engine_options_finish(goss_engine_options *o, const char *command, const char *model)
{
    o->config.yarn_llamacpp = o->yarn && !strcmp(o->yarn, "llama.cpp");
    o->config.gpu_limits_default = o->gpu_limits && !strcmp(o->gpu_limits, "default");
    o->config.model_path = goss_model_argument(command, model, o->gguf, o->found, sizeof o->found);
    return o->config.model_path ? set_layers(o, command) : 2;
}

const char *goss_model_argument(const char *command, const char *argument, const char *gguf, char *room, size_t cap)
{
    if (argument || gguf)
        return argument ? argument : gguf;
    if (goss_demo_model(room, cap))
        return room;
    fprintf(stderr, "gossamer %s: no model: name a GGUF file, or set GPT_OSS_GGUF_PATH.\n", command);
    return NULL;
}

void goss_sampling_options_init(goss_sampling_options *o)
{
    *o = (goss_sampling_options){ .params = goss_params_default() };
    goss_params *p = &o->params;
    const goss_option rows[] = {
        { "--max-tokens,-n", GOSS_OPT_INT, &p->max_tokens, .arg = "N",
          .help = "most tokens to generate (the context)", .env = "GPT_OSS_GGUF_MAX_TOKENS", .min = 0,
          .max = 16777216 },
        { "--temp,--temperature", GOSS_OPT_FLOAT, &p->temperature, .arg = "T",
          .help = "temperature, 0: the best token (1)", .min = 0, .max = 100 },
        { "--top-k", GOSS_OPT_INT, &p->top_k, .arg = "N", .help = "only the N best tokens (0: all)", .min = 0,
          .max = 1000000 },
        { "--top-p", GOSS_OPT_FLOAT, &p->top_p, .arg = "P", .help = "only the best tokens of together P (1)",
          .min = 0, .max = 1 },
        { "--min-p", GOSS_OPT_FLOAT, &p->min_p, .arg = "P",
          .help = "only tokens at least P times as likely as the best (0)", .min = 0, .max = 1 },
        { "--repeat-penalty", GOSS_OPT_FLOAT, &p->repeat_penalty, .arg = "X",
          .help = "divide the logits of recent tokens (1)", .min = 0.01, .max = 100 },
        { "--repeat-last-n", GOSS_OPT_INT, &p->repeat_last_n, .arg = "N",
          .help = "how far penalties look back, -1: all (64)", .min = -1, .max = 16777216 },
        { "--presence-penalty", GOSS_OPT_FLOAT, &p->presence_penalty, .arg = "X",
          .help = "lower tokens that were there (0)", .min = -2, .max = 2 },
        { "--frequency-penalty", GOSS_OPT_FLOAT, &p->frequency_penalty, .arg = "X",
          .help = "lower tokens by how often they were there (0)", .min = -2, .max = 2 },
        { "--seed", GOSS_OPT_U64, &p->seed, .arg = "N", .help = "of the random numbers (0)" },
        { "--stop", GOSS_OPT_LIST, &o->stop, .arg = "TEXT",
          .help = "end before this text; may be given several times" },
        { "--ignore-stop", GOSS_OPT_FLAG, &p->ignore_stop, .help = "stop tokens don't end the generation" },
        { "--json-schema", GOSS_OPT_STR, &p->json_schema, .arg = "FILE",
          .help = "the answer must follow this schema (or its text: {...})" },
        { 0 }
    };
    _Static_assert(sizeof rows <= sizeof o->table, "the table has room for its rows");
    memcpy(o->table, rows, sizeof rows);
}

/* A schema's text begins with a brace; anything else names a file that holds one. */
static int read_schema(goss_sampling_options *o, const char *command)
{
    enum { MOST = 1 << 20 };
    const char *path = o->params.json_schema;
    if (!path || path[strspn(path, " \t\r\n")] == '{') return 0;
    FILE *f = fopen(path, "rb");
    size_t n = 0;
    o->schema = calloc(1, MOST + 1);
    if (f && o->schema) n = fread(o->schema, 1, MOST, f);
    const int bad = !f || ferror(f) || !n || n == MOST;
    const int why = errno;
    if (f) fclose(f);
    if (bad)
        fprintf(stderr, "gossamer %s: --json-schema %s: %s.\n", command, path,
                !f ? strerror(why) : n ? "a schema of more than 1 MB" : "no schema can be read from it");
    o->params.json_schema = o->schema;
    return bad ? 2 : 0;
}

int goss_sampling_options_finish(goss_sampling_options *o, const char *command)
{
    o->params.stop = o->stop.n ? o->stop.item : NULL;
    o->params.n_stop = o->stop.n;
    return read_schema(o, command);
}

/* The folder of the running program, without a slash; "." when the system does not say. */
static void program_folder(char *path, size_t cap)
{
    const ssize_t n = readlink("/proc/self/exe", path, cap - 1);
    path[n > 0 ? n : 0] = 0;
    char *slash = strrchr(path, '/');
    if (slash)
        *slash = 0;
    else
        snprintf(path, cap, ".");
}

int goss_demo_model(char *path, size_t cap)
{
    static const char *const places[] = { "../../models", "../share/gossamer/models", "models" };
    char folder[512];
    program_folder(folder, sizeof folder);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        snprintf(path, cap, "%s/%s/demo-gptoss.gguf", folder, places[i]);
        if (access(path, R_OK) == 0)
            return 1;
    }
    snprintf(path, cap, "models/demo-gptoss.gguf");
    return access(path, R_OK) == 0;
}
