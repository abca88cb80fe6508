/* config.h - everything `gossamer serve` can be told: what concerns the engine is
 * common/engine_options.h's, the rest is the table here (GOSS_SRV_OPTIONS). Both drive parsing, the
 * environment, --help and docs/server.md. Flags win over the environment, the environment over defaults. */
#ifndef GOSS_SERVER_CONFIG_H
#define GOSS_SERVER_CONFIG_H
#include "common/engine_options.h"

/* kind, field, option, argument's name, environment variable, default as text, help. kinds: STR, WORD (one
 * of the argument's names), INT, SIZE (bytes; K, M, G), SECS (seconds, may be fractional), BOOL, LIST (may
 * be repeated). */
#define GOSS_SRV_OPTIONS(X) \
    X(STR, host, "host", "ADDR", "", "127.0.0.1", \
      "address to listen on; any but loopback demands an API key") \
    X(INT, port, "port", "N", "", "8080", "port to listen on; 0 picks a free one") \
    X(STR, api_key, "api-key", "KEY", "GOSSAMER_API_KEY", "", \
      "key that API requests must carry (Bearer or x-api-key)") \
    X(STR, api_key_file, "api-key-file", "FILE", "", "", \
      "reads the key from FILE, so that it shows in no process list") \
    X(LIST, allow_origin, "allow-origin", "URL", "", "", \
      "lets pages of this origin call the API; may be repeated") \
    X(LIST, allow_host, "allow-host", "NAME", "", "", \
      "accepts this name in Host (behind a proxy); may be repeated") \
    X(STR, models_dir, "models-dir", "DIR", "", "", \
      "serves every model in DIR, loaded when a request names it") \
    X(BOOL, pull, "pull", "", "", "0", \
      "serves the models of the model cache too, and lets clients fetch, copy and delete them") \
    X(INT, max_models, "max-models", "N", "", "1", \
      "models kept loaded at once; the least recently used goes first") \
    X(STR, model_id, "model-id", "NAME", "GPT_OSS_GGUF_MODEL_ID", "", \
      "the model's name in the API; default: its file's") \
    X(SECS, keep_alive, "keep-alive", "SECONDS", "", "0", "unloads a model idle for so long; 0: never") \
    X(STR, web, "web", "DIR", "", "", "folder of the page; default: found beside the program") \
    X(STR, date, "date", "YYYY-MM-DD", "", "", "date in the system message; default: today (UTC)") \
    X(STR, identity, "identity", "TEXT", "", "", \
      "first line of the system message instead of the model's own") \
    X(WORD, effort, "effort", "low|medium|high", "", "medium", \
      "reasoning effort where a request names none") \
    X(BOOL, harmony, "harmony", "", "GPT_OSS_GGUF_HARMONY", "0", \
      "/v1/completions wraps prompts in the chat format") \
    X(INT, max_tokens, "max-tokens", "N", "GPT_OSS_GGUF_MAX_TOKENS", "0", \
      "most tokens of one answer; 0: the context") \
    X(MOST, reasoning_budget, "reasoning-budget", "N", "", "-1", \
      "most tokens of reasoning where a request says nothing; 0: none, -1: any number") \
    X(INT, queue, "queue", "N", "", "64", "requests that may wait; beyond: 429 (--replica: 503) with Retry-After") \
    X(INT, max_choices, "max-choices", "N", "", "16", "most choices (n times prompts) of one request") \
    X(SIZE, max_body, "max-body", "BYTES", "", "16M", "largest request body") \
    X(SIZE, max_header, "max-header", "BYTES", "", "32K", "memory for one request's line and headers") \
    X(INT, max_depth, "max-depth", "N", "", "64", "deepest nesting of request JSON") \
    X(INT, max_connections, "max-connections", "N", "", "256", "connections open at once; the one that sends nothing for longest makes room") \
    X(INT, max_tools, "max-tools", "N", "", "128", "most tools a request may declare") \
    X(SIZE, max_schema, "max-schema", "BYTES", "", "64K", "largest JSON schema, each") \
    X(INT, max_messages, "max-messages", "N", "", "4096", "most messages in one conversation") \
    X(INT, max_stops, "max-stops", "N", "", "16", "most stop strings") \
    X(SIZE, max_stream, "max-stream", "BYTES", "", "4M", \
      "unread bytes of a stream after which its client counts as gone") \
    X(INT, store, "store", "N", "", "512", \
      "responses kept with their items, as many conversations, and calls of which is known why they were made") \
    X(SIZE, store_bytes, "store-bytes", "BYTES", "", "64M", "memory for them") \
    X(INT, background, "background", "N", "", "16", "responses in the background at once; beyond: 429") \
    X(SECS, background_time, "background-time", "SECONDS", "", "3600", "time that each of them may take") \
    X(STR, mcp, "mcp", "FILE", "", "", \
      "MCP servers whose tools requests may name (an mcp.json; docs/tools.md)") \
    X(SECS, mcp_timeout, "mcp-timeout", "SECONDS", "", "60", "time that a call of such a tool may take") \
    X(SECS, timeout, "timeout", "SECONDS", "", "60", \
      "a connection without any progress for so long is closed") \
    X(SECS, head_timeout, "head-timeout", "SECONDS", "", "10", \
      "time that a request's line and headers may take") \
    X(SIZE, body_rate, "body-rate", "BYTES", "", "1K", \
      "least bytes a second of a request's body, over 10 s; 0: any") \
    X(SECS, drain, "drain", "SECONDS", "", "10", "time that running answers have to finish on SIGTERM") \
    X(BOOL, replica, "replica", "", "", "0", \
      "one of several behind a proxy: answers 503 where it is full, and listens until it has drained") \
    X(SECS, comment, "comment", "SECONDS", "", "8", "pause after which a quiet stream gets a comment") \
    X(INT, http_threads, "http-threads", "N", "", "2", "threads for connections and files") \
    X(WORD, sandbox, "sandbox", "auto|on|off", "GOSSAMER_SANDBOX", "auto", \
      "gives up what a server doesn't need; auto: with --backend cpu") \
    X(WORD, log, "log", "all|errors|none", "", "all", "request log")

enum { GOSS_SRV_ID = 512 }; /* bytes of a model's name */
typedef struct goss_srv_config {
#define GOSS_SRV_STR(f) const char *f;
#define GOSS_SRV_WORD(f) const char *f;
#define GOSS_SRV_INT(f) int f;
#define GOSS_SRV_MOST(f) int f;
#define GOSS_SRV_BOOL(f) int f;
#define GOSS_SRV_SIZE(f) uint64_t f;
#define GOSS_SRV_SECS(f) double f;
#define GOSS_SRV_LIST(f) goss_option_list f;
#define GOSS_SRV_FIELD(kind, field, option, arg, env, absent, help) GOSS_SRV_##kind(field)
    GOSS_SRV_OPTIONS(GOSS_SRV_FIELD)
#undef GOSS_SRV_FIELD
    goss_engine_options engine; /* what every engine is opened with, where a request names nothing else */
    const char *model;          /* path of the default model; "" when only a folder is served */
    char key[256];              /* the key in force, "" for none */
} goss_srv_config;

/* Fills c from defaults, environment and arguments (argv[0] is the command's name). Returns 0, 1 when
 * --help was printed, or -1 after one line on stderr. */
int goss_srv_config_read(goss_srv_config *c, int argc, char **argv);
/* The engine's configuration for one model file. Strings are c's. */
goss_engine_config goss_srv_config_engine(const goss_srv_config *c, const char *path, int layers,
                                          int moe_fallback);
int goss_srv_is_loopback(const char *host);
#endif
