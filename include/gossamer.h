/* gossamer.h - the whole public interface of libgossamer.
 *
 * An engine is one loaded model on one backend. Sessions are queues: a full token prefix goes in, events come
 * out. Nothing here blocks but the few calls marked "blocks": goss_engine_poll() advances every session by what
 * can be done now and returns. One thread owns an engine and everything opened from it; different engines may
 * live on different threads. Calls return 0 (or a count) or a negative GOSS_E code; where a goss_error* is
 * taken it may be NULL. The library opens no socket, reads no environment, prints nothing and never exits.
 *
 * Pointer parameters are: borrowed (read during the call), kept (must outlive the object), taken (now ours). */
#ifndef GOSSAMER_H
#define GOSSAMER_H
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif
#if defined(__GNUC__)
#define GOSS_API __attribute__((visibility("default")))
#else
#define GOSS_API
#endif

#define GOSS_VERSION "0.1.0"

/* ---- errors ------------------------------------------------------------------------------------------- */
#define GOSS_ERRORS(X)                                                                                          \
    X(EAGAIN, 1, "not finished yet, poll again")                                                                \
    X(EINVAL, 2, "bad argument")                                                                                \
    X(ENOMEM, 3, "out of memory")                                                                               \
    X(EIO, 4, "reading or writing failed")                                                                      \
    X(EFORMAT, 5, "malformed file or text")                                                                     \
    X(EUNSUPPORTED, 6, "well-formed but not supported")                                                         \
    X(ELIMIT, 7, "a limit would be exceeded")                                                                   \
    X(EGPU, 8, "the GPU refused")                                                                               \
    X(ELOST, 9, "the GPU device was lost")                                                                      \
    X(ECANCELED, 10, "canceled")                                                                                \
    X(EFULL, 11, "no room left")                                                                                \
    X(ENOENT, 12, "not found")                                                                                  \
    X(ESTATE, 13, "not now: the object is in the wrong state")
enum {
    GOSS_OK = 0,
#define GOSS_X(name, n, text) GOSS_##name = -n,
    GOSS_ERRORS(GOSS_X)
#undef GOSS_X
};
typedef struct goss_error {
    int code;           /* a GOSS_E code, 0 when nothing failed */
    int64_t position;   /* byte (file, text) where it went wrong, -1 when there is none */
    char text[232];     /* one sentence: what, where, what to do */
} goss_error;
GOSS_API const char *goss_error_name(int code); /* "EFORMAT"; "" for unknown codes */

/* ---- sources: where model bytes come from --------------------------------------------------------------- */
typedef struct goss_range { uint64_t offset, n; } goss_range;
typedef struct goss_source {
    void *ctx;
    const char *name;   /* for messages; kept */
    uint64_t size;
    const void *map;    /* the whole file in memory, or NULL */
    /* Starts a read of n bytes at offset into dst. 1: done at once. 0: goss_engine_read_done(engine, tag, status)
     * will be called later, on the engine's thread. Negative: failed. dst == NULL with a GPU device in a browser:
     * the replayer moves the bytes itself (see src/gpu/gpu.h), read is not called. Needed only where map is NULL. */
    int (*read)(void *ctx, uint64_t offset, void *dst, size_t n, uint64_t tag);
    void (*close)(void *ctx); /* may be NULL */
    /* Of a map that is still being filled (a model that runs while it is downloaded): returns when all n ranges are
     * in it, the ones asked for before all others; 0, or an error. The header and every tensor of at most 2 MB are in
     * it from the start. NULL: everything is. */
    int (*need)(void *ctx, const goss_range *ranges, int n);
    /* Where need is: 1 when all n ranges are in the map now; asks for nothing. A GPU that has it is ready before the
     * experts are there and takes them as they come. NULL: a GPU waits for the whole file. */
    int (*have)(void *ctx, const goss_range *ranges, int n);
} goss_source;

/* ---- stores: where prefixes that were computed outlive the engine (a folder, say) ------------------------ */
/* Entries have names of at most 63 plain characters. All calls return at once or block shortly, 0 or an error. */
typedef struct goss_store {
    void *ctx;                     /* kept, as everything it means */
    /* entry() for each that is there: its bytes, and when it was last put or used, in any unit */
    int (*list)(void *ctx, void (*entry)(void *to, const char *name, uint64_t bytes, uint64_t used), void *to);
    int (*get)(void *ctx, const char *name, uint64_t offset, void *dst, size_t n); /* exactly n bytes */
    /* The next n bytes of a new entry. last 1: it is whole now and appears under its name, 0: more come, -1: it is
     * given up. Until it is whole, and whatever happens, nobody sees a part of it. */
    int (*put)(void *ctx, const char *name, const void *bytes, size_t n, int last);
    int (*touch)(void *ctx, const char *name);   /* it was used */
    int (*drop)(void *ctx, const char *name);
    void (*say)(void *ctx, const char *sentence); /* an entry that is ignored, and why; may be NULL */
} goss_store;

/* ---- engine -------------------------------------------------------------------------------------------- */
typedef struct goss_engine goss_engine;
typedef struct goss_session goss_session;

/* One telemetry event as a line of JSON (docs/telemetry.md), not NUL-terminated, valid during the call. */
typedef void (*goss_telemetry_fn)(void *ctx, const char *json, size_t n);
enum { /* bits of telemetry_mask */
    GOSS_TELEMETRY_LOAD = 1,       /* load_stage */
    GOSS_TELEMETRY_STAGES = 2,     /* inference_stage: one a prompt, prefill chunk, decode, generation */
    GOSS_TELEMETRY_TOKENS = 4,     /* token_generated, channel, cache_status, memory_usage, speculation */
    GOSS_TELEMETRY_LAYERS = 8,     /* per layer and operation: stages, router, layer_activation, attention_weights */
    GOSS_TELEMETRY_KERNELS = 16,   /* kernel_time */
    GOSS_TELEMETRY_PANELS = 32     /* no lines: the GPU keeps a buffer that a page draws on the same device */
};

typedef struct goss_engine_config { /* zero means default everywhere */
    const char *model_path;        /* borrowed; a GGUF file, or the first of a split set */
    const goss_source *sources;    /* borrowed array, taken contents: instead of model_path, in shard order */
    int n_sources;
    const char *backend;           /* borrowed: "auto" (default), "gpu", "cpu", "ref" */
    const char *draft_path;        /* borrowed: a draft model for speculation */
    int n_threads;                 /* 0: one per core */
    int max_kv;                    /* most positions a session may use; 0: the model's context, as memory allows */
    int max_sessions;              /* 0: 16 */
    int max_rows;                  /* most rows of one step; 0: 512, up to 2,048 on a fast GPU */
    const char *kv_type;           /* borrowed: "f16" (default), "q8", "q4", "f32" */
    int n_layers;                  /* 0: all; N > 0: only the first N; -1: none (embedding and head only) */
    int moe_fallback;              /* 1: expert 0 only */
    int attn_dense;                /* 1: ignore the sliding window */
    int yarn_llamacpp;             /* 1: llama.cpp's truncated YaRN */
    int early;                     /* gpu: ready before its experts are there; with goss_source.have it always is */
    int n_cpu_moe;                 /* gpu: experts of the first N layers run on the CPU */
    int gpu_limits_default;        /* 1: ask for WebGPU's default limits and no feature */
    uint64_t gpu_memory, resident_cap, expert_cache, kv_cap; /* bytes; 0: what the planner finds */
    const char *cpu_mask, *gpu_mask; /* borrowed: features to leave off, comma-separated, e.g. "avx512vnni,amx" */
    const char *webgpu_path;       /* borrowed: a webgpu.h library; NULL: the pinned package beside the program */
    goss_telemetry_fn on_telemetry; /* kept */
    void *telemetry_ctx;           /* kept */
    unsigned telemetry_mask;
    int telemetry_layer, telemetry_head; /* which attention map to report */
    const goss_store *prefix_store; /* borrowed, its contents kept: prefixes are kept there too */
    uint64_t prefix_store_bytes;   /* most bytes there, of all models; 0: 4 GB */
} goss_engine_config;

enum { GOSS_ENGINE_LOADING = 0, GOSS_ENGINE_READY = 1, GOSS_ENGINE_FAILED = 2 };

/* Begins to load and returns; poll until goss_engine_state() is no longer LOADING. With a mapped file and the
 * cpu or ref backend it is ready on return. */
GOSS_API int goss_engine_open(goss_engine **out, const goss_engine_config *config, goss_error *err);
GOSS_API void goss_engine_close(goss_engine **engine); /* closes its sessions too */
/* Advances everything by what can be done now, then waits at most timeout_ms for the device or a source when
 * there is work in flight and nothing else to do. Returns 1 when more work is ready or in flight, 0 when idle,
 * or the error that stopped the engine (also in *err). */
GOSS_API int goss_engine_poll(goss_engine *engine, int timeout_ms, goss_error *err);
GOSS_API int goss_engine_state(const goss_engine *engine);
/* Which lines on_telemetry is to get from now on; and, during a call of it, the session that the line is
 * about (NULL: the engine). */
GOSS_API void goss_engine_telemetry(goss_engine *engine, unsigned mask);
/* An inference stage of the caller's own (a probe, say) among the engine's. status: "completed" or "failed". */
GOSS_API void goss_engine_note(goss_engine *engine, const char *stage, const char *status, const char *detail);
GOSS_API const goss_session *goss_telemetry_session(const goss_engine *engine);
/* Which attention map telemetry reports from now on; out of range is GOSS_EINVAL, without layer telemetry
 * nothing happens. */
GOSS_API int goss_engine_watch(goss_engine *engine, int layer, int head);
GOSS_API void goss_engine_read_done(goss_engine *engine, uint64_t tag, int status);

typedef struct goss_model_info {
    char name[64], arch[16], type[32], backend[16], level[24]; /* "gpt-oss", "MXFP4", "cpu", "avx512vnni" */
    char chat[16];                 /* "harmony", "zephyr", "llama2", "llama3", "chatml", "raw" */
    int n_layer, n_embd, n_head, n_head_kv, head_dim, n_ff, n_expert, n_expert_used, n_vocab, n_ctx, window;
    int max_kv, n_threads;
    char kv[8];                    /* how keys and values are kept: "f16" */
    int64_t n_params;
    uint64_t file_bytes, resident_bytes, kv_bytes, step_bytes; /* step_bytes: weights one decoded token reads */
    uint64_t step_expert_bytes;    /* of them those of its experts */
} goss_model_info;
GOSS_API void goss_engine_info(const goss_engine *engine, goss_model_info *out);

typedef struct goss_stats {
    uint64_t n_steps, n_rows, n_prompt_tokens, n_reused_tokens, n_generated_tokens, n_drafted, n_accepted;
    /* of the reused: read from the store; computed for somebody else while the prompt waited */
    uint64_t n_stored_tokens, n_joined_tokens;
    uint64_t n_guarded, n_schema;  /* tokens sampled under a mask of the Harmony guard; of a schema */
    double prefill_ms, decode_ms;  /* time inside steps of that kind */
    uint64_t kv_bytes_used, gpu_bytes;
    uint64_t kv_bytes_shared;      /* what kv_bytes_used would be more, if every session and kept prefix had its own */
    /* experts that are paged: (layer, expert) wanted and there, absent, thrown out; steps that waited; bytes fetched */
    uint64_t expert_hits, expert_misses, expert_evictions, expert_stalls, expert_bytes;
    double expert_stall_ms;
    int n_sessions, n_active;
    double load_progress;          /* 0..1 */
} goss_stats;
GOSS_API void goss_engine_stats(const goss_engine *engine, goss_stats *out);

/* ---- text ---------------------------------------------------------------------------------------------- */
enum { GOSS_TOKENIZE_SPECIAL = 1 /* "<|start|>" in the text is the token, not its letters */, GOSS_TOKENIZE_BOS = 2 };
/* Writes at most cap ids; returns how many the text has (call again with more room), or an error. */
GOSS_API int goss_tokenize(const goss_engine *engine, const char *text, size_t n, unsigned flags,
                           int32_t *ids, int cap);
/* Writes at most cap bytes; returns how many there are. The bytes may end inside a UTF-8 sequence. */
GOSS_API int goss_detokenize(const goss_engine *engine, const int32_t *ids, int n_ids, char *text, int cap);

/* ---- chat ---------------------------------------------------------------------------------------------- */
/* Renders a conversation to tokens that end where the assistant begins. `json` (borrowed) is an object in the
 * shape of OpenAI's chat requests: {messages:[{role, content, reasoning_content?, tool_calls?, tool_call_id?,
 * name?}], tools?, reasoning_effort?, response_format?, builtin_tools?:["browser","python"], date?:"YYYY-MM-DD",
 * identity?, knowledge_cutoff?}. Returns the number of tokens, writing at most cap, or an error with the
 * position in the JSON. */
GOSS_API int goss_chat_render(const goss_engine *engine, const char *json, size_t n, int32_t *ids, int cap,
                              goss_error *err);

/* ---- sessions ------------------------------------------------------------------------------------------ */
typedef struct goss_logit_bias { int32_t token; float bias; } goss_logit_bias;
typedef struct goss_params { /* start from goss_params_default() */
    float temperature;             /* 0: the best token */
    int top_k;                     /* 0: off */
    float top_p, min_p;            /* 1 and 0: off */
    float repeat_penalty, presence_penalty, frequency_penalty; /* 1, 0, 0: off */
    int repeat_last_n;             /* tokens that penalties look back on; 0: 64, -1: all */
    uint64_t seed;
    int max_tokens;                /* 0: up to the context */
    int n_probs;                   /* report this many best tokens with each event, at most 20 */
    int ignore_stop;               /* 1: stop tokens don't end the generation */
    int chat;                      /* 1: parse the model's chat format: events carry channel and content text */
    int no_guard;                  /* 1: malformed Harmony headers may be sampled; the parser makes the best of them */
    int draft;                     /* 1: speculate (draft model, else n-grams) */
    const int32_t *predicted; int n_predicted; /* copied: what the answer will probably be; drafts come from it first */
    const goss_logit_bias *bias; int n_bias;         /* borrowed */
    const char *const *stop; int n_stop;             /* borrowed: texts that end the generation, not emitted */
    /* borrowed: constrains the answer (chat: the final channel only); "{}" any JSON object */
    const char *json_schema;
    const char *
        tools_json; /* borrowed: the request's tools array: only these may be called ("[]": none; NULL: anybody); strict
                                    * ones constrain their arguments */
} goss_params;
GOSS_API goss_params goss_params_default(void); /* temperature 1, top_p 1, repeat_penalty 1, everything else off */

enum { GOSS_EVENT_TOKEN = 1, GOSS_EVENT_PREFILL = 2, GOSS_EVENT_DONE = 3 };
enum {
    GOSS_STOP_NONE = 0,
    GOSS_STOP_EOS = 1,
    GOSS_STOP_TEXT = 2,
    GOSS_STOP_LENGTH = 3,
    GOSS_STOP_CALL = 4 /* a tool call */,
    GOSS_STOP_CANCELED = 5,
    GOSS_STOP_ERROR = 6
};
typedef struct goss_prob { int32_t token; float logprob; } goss_prob;
typedef struct goss_event {
    int kind;
    /* TOKEN */
    int32_t token;                 /* -1: text only, held back from earlier tokens or recovered from a broken header */
    int position;
    const char *text;
    int n_text; /* whole UTF-8 characters that became final with this token; valid until the next call on the session.
                                    * chat: content of the channel only, never header text */
    const char *channel;           /* chat: "analysis", "commentary", "final", "" in a header; else "" */
    const char *recipient;         /* chat: "functions.get_weather"; else "" */
    int message;                   /* chat: counts the messages of this turn from 0 */
    float logprob, entropy;        /* of the model's distribution before filters; entropy in nats */
    int n_top; const goss_prob *top;
    /* PREFILL */
    int n_done, n_total, n_reused;
    /* DONE; text may hold a last piece */
    int stop;                      /* a GOSS_STOP reason */
    int n_prompt, n_generated;
    double prefill_ms, decode_ms;
    goss_error error;
} goss_event;

GOSS_API int goss_session_open(goss_engine *engine, goss_session **out, goss_error *err);
GOSS_API void goss_session_close(goss_session **session);
/* Opens a branch: a session that begins with the first n tokens that `from` holds (n < 0: all), their KV shared by
 * reference; `from` may be generating. Prompts of it that begin with those tokens go on from there. Returns how many of
 * them are shared: n, or fewer where windowed layers have given that point up (what is missing is computed with the
 * prompt); or an error. */
GOSS_API int goss_session_fork(const goss_session *from, int n, goss_session **out, goss_error *err);
/* Begins a generation after the full token prefix (borrowed); what it shares with anything cached is reused.
 * With max_tokens < 0 the prompt is only prefilled. GOSS_ELIMIT when it does not fit the context. */
GOSS_API int goss_session_prompt(goss_session *session, const int32_t *ids, int n, const goss_params *params,
                                 goss_error *err);
GOSS_API int goss_session_event(goss_session *session, goss_event *event); /* 1: an event, 0: none now */
/* a DONE event with GOSS_STOP_CANCELED follows within one step */
GOSS_API void goss_session_cancel(goss_session *session);
/* what its KV holds; returns the count */
GOSS_API int goss_session_tokens(const goss_session *session, int32_t *ids, int cap);

/* ---- parity and evaluation (block) --------------------------------------------------------------------- */
/* Runs the tokens through the model from an empty cache, in chunks of `chunk` rows (0: one step), and gives
 * the logits of
 * every position (all = 1) or of the last: n * n_vocab floats or n_vocab. Blocks. */
GOSS_API int goss_eval(goss_engine *engine, const int32_t *ids, int n, int chunk, int all, float *logits,
                       goss_error *err);
/* As goss_eval, but shows what every stage of every layer put out, rows in order, as float rows (n_rows,
 * width). stage: "embed",
 * "attn_out", "experts", "ffn": the residual; "attn_in": q, k (after RoPE), v; "attend"; "route": router
 * logits; "head": logits of
 * the last row. layer is -1 for embed and head. Blocks. */
typedef void (*goss_trace_fn)(void *ctx, const char *stage, int layer, const float *values, int n_rows, int width);
GOSS_API int goss_trace(goss_engine *engine, const int32_t *ids, int n, int chunk, goss_trace_fn fn,
                        void *ctx, goss_error *err);

/* ---- planning ------------------------------------------------------------------------------------------ */
typedef struct goss_plan_info {
    uint64_t memory_total, memory_available; /* of this machine */
    uint64_t weight_bytes, expert_bytes;     /* all weights; of them the experts */
    uint64_t resident_bytes;                 /* weights that stay in memory */
    uint64_t expert_cache_bytes;             /* room for experts that are paged; 0: all are resident */
    uint64_t kv_bytes, kv_token_bytes;       /* KV reserved; and of one position in layers that see everything */
    uint64_t page_bytes[2];                  /* a page of KV: layers that see everything, windowed layers */
    uint64_t scratch_bytes;                  /* on a GPU: activations, logits, staging */
    int max_kv, n_pages[2], fits;            /* fits 0: not even this plan does */
    int n_slots;                             /* experts of each layer that have room at once */
    char text[640];                          /* the plan in sentences */
} goss_plan_info;
/* Reads the header only (config->model_path, else the sources, whose read must be done at once) and says what opening
 * it so would use. Either result may be NULL. */
GOSS_API int goss_plan(const goss_engine_config *config, goss_model_info *model, goss_plan_info *plan, goss_error *err);

/* ---- for programs that want to block ------------------------------------------------------------------- */
typedef int (*goss_token_fn)(void *ctx, const goss_event *event); /* non-zero stops the generation */
GOSS_API int goss_load(goss_engine **out, const char *path, goss_error *err); /* blocks: open and poll until ready */
/* Blocks. prompt is plain text, or a chat request (JSON object) when params->chat is 1. params may be NULL. */
GOSS_API int goss_generate(goss_engine *engine, const char *prompt, const goss_params *params,
                           goss_token_fn on_token, goss_telemetry_fn on_telemetry, void *ctx, goss_error *err);
/* Blocks. The answer's text (chat: the final channel) into out, NUL-terminated; returns its full length. */
GOSS_API int goss_complete(goss_engine *engine, const char *prompt, const goss_params *params, char *out,
                           int cap, goss_error *err);
/* Blocks. As goss_complete, piece by piece; on_text returns non-zero to stop. */
GOSS_API int goss_complete_stream(goss_engine *engine, const char *prompt, const goss_params *params,
                                  int (*on_text)(void *ctx, const char *text, int n), void *ctx, goss_error *err);
/* Calls back for every GGUF model in a folder (first files of split sets only); returns how many. */
GOSS_API int goss_list(const char *folder,
                       void (*on_model)(void *ctx, const char *path, const goss_model_info *info), void *ctx,
                       goss_error *err);

#ifdef __cplusplus
}
#endif
#endif
