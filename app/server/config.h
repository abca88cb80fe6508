/* config.h - everything `gossamer serve` can be told: one table (GOSS_SRV_OPTIONS) drives parsing, the environment,
 * --help and docs/server.md. Flags win over the environment, the environment over defaults. */
#ifndef GOSS_SERVER_CONFIG_H
#define GOSS_SERVER_CONFIG_H
#include <gossamer.h>

enum { GOSS_SRV_LIST_MAX = 16 };
typedef struct goss_srv_list { const char *item[GOSS_SRV_LIST_MAX]; int n; } goss_srv_list;

/* kind, field, flag, argument's name, environment variable, default as text, help.
 * kinds: STR, INT, SIZE (bytes; K, M, G), SECS (seconds, may be fractional), BOOL, LIST (may be repeated). */
#define GOSS_SRV_OPTIONS(X) \
    X(STR, host, "host", "ADDR", "", "127.0.0.1", "address to listen on; any but loopback demands an API key") \
    X(INT, port, "port", "N", "", "8080", "port to listen on; 0 picks a free one") \
    X(STR, api_key, "api-key", "KEY", "GOSSAMER_API_KEY", "", \
      "key that API requests must carry (Bearer or x-api-key)") \
    X(STR, api_key_file, "api-key-file", "FILE", "", "", \
      "reads the key from FILE, so that it shows in no process list") \
    X(LIST, allow_origin, "allow-origin", "URL", "", "", "lets pages of this origin call the API; may be repeated") \
    X(LIST, allow_host, "allow-host", "NAME", "", "", "accepts this name in Host (behind a proxy); may be repeated") \
    X(STR, models_dir, "models-dir", "DIR", "", "", "serves every model in DIR, loaded when a request names it") \
    X(INT, max_models, "max-models", "N", "", "1", "models kept loaded at once; the least recently used goes first") \
    X(STR, model_id, "model-id", "NAME", "GPT_OSS_GGUF_MODEL_ID", "", \
      "the model's name in the API; default: its file's") \
    X(SECS, keep_alive, "keep-alive", "SECONDS", "", "0", "unloads a model idle for so long; 0: never") \
    X(STR, web, "web", "DIR", "", "", "folder of the page; default: found beside the program") \
    X(STR, date, "date", "YYYY-MM-DD", "", "", "date in the system message; default: today (UTC)") \
    X(STR, identity, "identity", "TEXT", "", "", "first line of the system message instead of the model's own") \
    X(STR, effort, "effort", "WORD", "", "medium", "reasoning effort where a request names none: low, medium, high") \
    X(BOOL, harmony, "harmony", "", "GPT_OSS_GGUF_HARMONY", "0", "/v1/completions wraps prompts in the chat format") \
    X(INT, max_tokens, "max-tokens", "N", "GPT_OSS_GGUF_MAX_TOKENS", "0", \
      "most tokens of one answer; 0: the context") \
    X(INT, max_sessions, "max-sessions", "N", "", "16", "answers generated at once") \
    X(INT, queue, "queue", "N", "", "64", "requests that may wait; beyond: 429 with Retry-After") \
    X(INT, max_choices, "max-choices", "N", "", "16", "most choices (n times prompts) of one request") \
    X(SIZE, max_body, "max-body", "BYTES", "", "16M", "largest request body") \
    X(SIZE, max_header, "max-header", "BYTES", "", "32K", "memory for one request's line and headers") \
    X(INT, max_depth, "max-depth", "N", "", "64", "deepest nesting of request JSON") \
    X(INT, max_connections, "max-connections", "N", "", "256", "connections open at once") \
    X(INT, max_tools, "max-tools", "N", "", "128", "most tools a request may declare") \
    X(SIZE, max_schema, "max-schema", "BYTES", "", "64K", "largest JSON schema, each") \
    X(INT, max_messages, "max-messages", "N", "", "4096", "most messages in one conversation") \
    X(INT, max_stops, "max-stops", "N", "", "16", "most stop strings") \
    X(SIZE, max_stream, "max-stream", "BYTES", "", "4M", \
      "unread bytes of a stream after which its client counts as gone") \
    X(INT, store, "store", "N", "", "512", "answers kept: for previous_response_id, and why calls were made") \
    X(SIZE, store_bytes, "store-bytes", "BYTES", "", "64M", "memory for them") \
    X(SECS, timeout, "timeout", "SECONDS", "", "60", "a connection without any progress for so long is closed") \
    X(SECS, drain, "drain", "SECONDS", "", "10", "time that running answers have to finish on SIGTERM") \
    X(SECS, comment, "comment", "SECONDS", "", "15", "pause after which a quiet stream gets a comment") \
    X(INT, http_threads, "http-threads", "N", "", "2", "threads for connections and files") \
    X(STR, log, "log", "WHAT", "", "all", "request log: all, errors or none") \
    X(STR, telemetry_file, "telemetry", "FILE", "", "", "writes the engine's telemetry as JSON lines") \
    X(STR, backend, "backend", "NAME", "", "auto", "auto, gpu, cpu or ref") \
    X(INT, threads, "threads", "N", "GPT_OSS_GGUF_THREADS", "0", "threads of the CPU backend; 0: one per core") \
    X(INT, max_kv, "max-kv", "N", "GPT_OSS_GGUF_MAX_KV", "0", "most positions of a session; 0: the model's context") \
    X(INT, context, "context-length", "N", "GPT_OSS_GGUF_CONTEXT_LENGTH", "0", \
      "the same, as llama.cpp's users name it") \
    X(STR, kv, "kv", "TYPE", "", "", "f16, q8, q4 or f32") \
    X(STR, layers, "layers", "N", "GPT_OSS_GGUF_LAYER_LIMIT", "all", "only the first N layers; 0: none, all: all") \
    X(BOOL, moe_fallback, "moe-fallback", "", "GPT_OSS_GGUF_MOE_FALLBACK", "0", "expert 0 only") \
    X(STR, draft, "draft", "FILE", "", "", "draft model for speculation") \
    X(BOOL, speculate, "speculate", "", "", "0", "speculates from n-grams where there is no draft model") \
    X(STR, yarn, "yarn", "KIND", "", "openai", "openai or llama.cpp") \
    X(INT, n_cpu_moe, "n-cpu-moe", "N", "", "0", "gpu: experts of the first N layers run on the CPU") \
    X(SIZE, gpu_memory, "gpu-memory", "BYTES", "", "0", "gpu: most memory to use") \
    X(SIZE, resident_cap, "resident-cap", "BYTES", "", "0", "gpu: most memory for resident weights") \
    X(SIZE, expert_cache, "expert-cache", "BYTES", "", "0", "gpu: memory for paged experts") \
    X(SIZE, kv_cap, "kv-cap", "BYTES", "", "0", "most memory for KV") \
    X(STR, prefix_cache, "prefix-cache", "DIR", "", "", "keeps computed prefixes there, over restarts") \
    X(SIZE, prefix_cache_size, "prefix-cache-size", "BYTES", "", "4G", "most bytes there") \
    X(STR, gpu_limits, "gpu-limits", "WHICH", "", "adapter", "default or adapter") \
    X(STR, gpu_mask, "gpu-mask", "LIST", "", "", "GPU features to leave off") \
    X(STR, cpu_mask, "cpu-mask", "LIST", "", "", "CPU features to leave off")

typedef struct goss_srv_config {
#define GOSS_SRV_STR(f) const char *f;
#define GOSS_SRV_INT(f) int f;
#define GOSS_SRV_BOOL(f) int f;
#define GOSS_SRV_SIZE(f) uint64_t f;
#define GOSS_SRV_SECS(f) double f;
#define GOSS_SRV_LIST(f) goss_srv_list f;
#define GOSS_SRV_FIELD(kind, field, flag, arg, env, absent, help) GOSS_SRV_##kind(field)
    GOSS_SRV_OPTIONS(GOSS_SRV_FIELD)
#undef GOSS_SRV_FIELD
    const char *model;          /* path of the default model; "" when only a folder is served */
    char key[256];              /* the key in force, "" for none */
} goss_srv_config;

/* Fills c from defaults, environment and arguments (argv[0] is the command's name). Returns 0, 1 when --help was
 * printed, or -1 after one line on stderr. */
int goss_srv_config_read(goss_srv_config *c, int argc, char **argv);
void goss_srv_config_help(void);
/* The engine's configuration for one model file. Strings are c's. */
goss_engine_config goss_srv_config_engine(const goss_srv_config *c, const char *path, int layers, int moe_fallback);
/* "all" or a number as goss_engine_config.n_layers wants it; -2 when it is neither. */
int goss_srv_config_layers(const char *text);
int goss_srv_is_loopback(const char *host);
/* The folder `name` that belongs to this program (build tree or installed under share/gossamer): 0, or -1. */
int goss_srv_find_share(const char *name, char *out, size_t cap);
#endif
