/* gossamer.h - the whole public interface of libgossamer, which runs gpt-oss and llama models from GGUF
 * files.
 *
 * A tour. An engine is one loaded model on one backend; a session is one conversation with it.
 *   goss_engine_open      begins to load a file or sources; goss_engine_poll until it is GOSS_ENGINE_READY
 *   goss_chat_render      makes tokens of a conversation (goss_tokenize: of plain text)
 *   goss_session_open     opens a session; many of them share the model and every prefix that was computed
 *   goss_session_prompt   gives it all the tokens so far, and how to sample: the generation begins
 *   goss_engine_poll      advances all sessions by what can be done now; call it as long as it returns 1
 *   goss_session_event    takes what has come of it: prefill, tokens with their text, and one DONE
 *   goss_session_close, goss_engine_close
 * Who wants to block calls goss_load, goss_generate or goss_complete, which are loops over these.
 *
 * Nothing else blocks but the few calls marked "blocks". One thread owns an engine and everything opened from
 * it; different engines may live on different threads. Calls return 0 (or a count) or a negative GOSS_E code,
 * GOSS_EINVAL (or do nothing) for a NULL or a negative count that means nothing; a goss_error* may be NULL.
 * The library opens no socket, reads no environment, prints nothing and never exits.
 *
 * Words. Token: a piece of text with a number. Position: a token's place in its sequence. Row: one token of
 * one sequence in a step. Step: a batch of rows through the model once. KV: the keys and values of positions
 * that went through. Prefill: putting a prompt through; decode: one row for each new token. Pointer
 * parameters are borrowed (read during the call), kept (must outlive the object), or taken (now ours). */
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

#define GOSS_VERSION "0.2.0"

/* ---- errors -------------------------------------------------------------------------------------------- */
#define GOSS_ERRORS(X)                                                                                      \
    X(EAGAIN, 1, "not finished yet, poll again")                                                            \
    X(EINVAL, 2, "bad argument")                                                                            \
    X(ENOMEM, 3, "out of memory")                                                                           \
    X(EIO, 4, "reading or writing failed")                                                                  \
    X(EFORMAT, 5, "malformed file or text")                                                                 \
    X(EUNSUPPORTED, 6, "well-formed but not supported")                                                     \
    X(ELIMIT, 7, "a limit would be exceeded")                                                               \
    X(EGPU, 8, "the GPU refused")                                                                           \
    X(ELOST, 9, "the GPU device, or a process of the ring, was lost")                                       \
    X(ECANCELED, 10, "canceled")                                                                            \
    X(EFULL, 11, "no room left")                                                                            \
    X(ENOENT, 12, "not found")                                                                              \
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

typedef struct goss_str { const char *s; uint64_t n; } goss_str; /* no NUL behind it; s NULL: none */

/* ---- sources: where model bytes come from -------------------------------------------------------------- */
typedef struct goss_range { uint64_t offset, n; } goss_range;
typedef struct goss_source {
    void *ctx;
    const char *name;   /* for messages; kept */
    uint64_t size;
    const void *map;    /* the whole file in memory, or NULL */
    /* Starts a read of n bytes at offset into dst. 1: done at once. 0: goss_engine_read_done(engine, tag,
     * status) will be called later, on the engine's thread. Negative: failed. Needed only where map is NULL.
     * In a browser whoever drives the GPU moves weights by itself; then read is called for the header
     * only. */
    int (*read)(void *ctx, uint64_t offset, void *dst, size_t n, uint64_t tag);
    void (*close)(void *ctx); /* may be NULL */
    /* Of a map that is still being filled (a model that runs while it is downloaded): returns when all n
     * ranges are in it, the ones asked for before all others; 0, or an error. The header and every tensor of
     * at most 2 MB are in it from the start. NULL: everything is. */
    int (*need)(void *ctx, const goss_range *ranges, int n);
    /* Where need is: 1 when all n ranges are in the map now; asks for nothing. A GPU that has it is ready
     * before the experts are there and takes them as they arrive. NULL: a GPU waits for the whole file. */
    int (*have)(void *ctx, const goss_range *ranges, int n);
    /* Where need is: of what nobody asks for, these ranges alone are to come (the rank of a ring reads its
     * layers alone). NULL: what comes is the source's own affair. */
    void (*only)(void *ctx, const goss_range *ranges, int n);
} goss_source;

/* ---- stores: where prefixes that were computed outlive the engine (a folder, say) ---------------------- */
/* Entries have names of at most 63 plain characters. All calls return at once or block shortly: 0, or an
 * error. */
typedef struct goss_store {
    void *ctx;                     /* kept, as everything it means */
    /* entry() for each that is there: its bytes, and when it was last put or used, in any unit */
    int (*list)(void *ctx, void (*entry)(void *to, const char *name, uint64_t bytes, uint64_t used),
                void *to);
    /* exactly n bytes; GOSS_ENOENT: there is no such entry any more */
    int (*get)(void *ctx, const char *name, uint64_t offset, void *dst, size_t n);
    /* The next n bytes of a new entry. last 1: it is whole now and appears under its name, 0: more follow,
     * -1: it is given up. Until it is whole, and whatever happens, nobody sees a part of it. */
    int (*put)(void *ctx, const char *name, const void *bytes, size_t n, int last);
    int (*touch)(void *ctx, const char *name);   /* it was used */
    int (*drop)(void *ctx, const char *name);
    void (*say)(void *ctx, const char *sentence); /* an entry that is ignored, and why; may be NULL */
    /* 1: entries may have come or gone since the last list(), by others; cheap, for it is asked with every
     * prompt. NULL: nobody else writes. */
    int (*changed)(void *ctx);
} goss_store;

/* ---- rings: how the processes of one model reach each other (docs/pipeline.md) ------------------------- */
/* n processes, rank 0 to n - 1. Each sends to the next, the last to rank 0; what is sent arrives whole and in
 * order. send and recv are called by one thread at a time. A negative result, GOSS_EAGAIN aside, says in *err
 * which rank is lost, and stays. */
typedef struct goss_ring {
    void *ctx;                     /* kept, as everything it means */
    int rank, n;
    const char *host;              /* this rank's machine, for messages */
    /* Copies the bytes and returns at once. */
    int (*send)(void *ctx, const void *bytes, size_t n, goss_error *err);
    /* The next message of the rank before, valid until the next call; GOSS_EAGAIN after timeout_ms, -1:
     * waits. */
    int (*recv)(void *ctx, const void **bytes, size_t *n, int timeout_ms, goss_error *err);
    void (*say)(void *ctx, const char *sentence); /* who has which layers; may be NULL */
    /* What rank 0's model_path means to this rank: 0: a file, at path; 1: a source, closed with the model; or
     * an error. NULL: it is a file's path. */
    int (*find)(void *ctx, const char *model, char *path, int cap, goss_source *to, goss_error *err);
} goss_ring;

/* ---- engine -------------------------------------------------------------------------------------------- */
typedef struct goss_engine goss_engine;
typedef struct goss_session goss_session;
typedef struct goss_schemas goss_schemas;

/* One telemetry event as a line of JSON (docs/telemetry.md), not NUL-terminated, valid during the call. */
typedef void (*goss_telemetry_fn)(void *ctx, const char *json, size_t n);
/* text: what a GPU's kernels were chosen by, to be kept (n bytes and a NUL) */
typedef void (*goss_kernels_fn)(void *ctx, const char *text, size_t n);
enum {                              /* bits of telemetry_mask */
       GOSS_TELEMETRY_LOAD = 1,     /* load_stage */
       GOSS_TELEMETRY_STAGES = 2,   /* inference_stage: one a prompt, prefill chunk, decode, generation */
       GOSS_TELEMETRY_TOKENS = 4,   /* token_generated, channel, cache_status, memory_usage, speculation */
       GOSS_TELEMETRY_LAYERS = 8,   /* per layer: stages, router, layer_activation, attention_weights */
       GOSS_TELEMETRY_KERNELS = 16, /* kernel_time */
       GOSS_TELEMETRY_PANELS = 32, /* no lines: the GPU keeps a buffer that a page draws on the same device */
       GOSS_TELEMETRY_RECORD = 64, /* no lines: the GPU keeps what a recording needs of each row */
       /* numbers instead of the lines of tokens and layers, for goss_rows_take; channel, cache_status,
        * memory_usage and speculation stay lines */
       GOSS_TELEMETRY_ROWS = 128,
       /* steps, prompt, wait, kv_pages: whose rows, whose pages; of all sessions */
       GOSS_TELEMETRY_STEPS = 256,
       /* prompt_tokens, seen: what a recording has of each row, as lines; a GPU opens with RECORD then */
       GOSS_TELEMETRY_SEEN = 512
};

typedef struct goss_engine_config { /* zero means default everywhere */
    const char *model_path;        /* borrowed; a GGUF file, or the first of a split set */
    const goss_source *sources;    /* borrowed array, taken contents: instead of model_path, in shard order */
    int n_sources;
    const char *backend;           /* borrowed: "auto" (default), "gpu", "cpu", "ref" */
    const char *draft_path;        /* borrowed: a draft model for speculation */
    int n_threads;                 /* 0: one per core */
    int max_kv;                    /* most positions of a session; 0: the model's context, as memory allows */
    int max_sessions;              /* 0: 16 */
    int max_rows;                  /* most rows of one step; 0: 512, up to 2,048 on a fast GPU */
    const char *kv_type;           /* borrowed: "f16" (default), "q8", "q4", "f32" */
    int n_layers;                  /* 0: all; N > 0: only the first N; -1: none (embedding and head only) */
    int moe_fallback;              /* 1: expert 0 only */
    int attn_dense;                /* 1: ignore the sliding window */
    int yarn_llamacpp;             /* 1: llama.cpp's truncated YaRN */
    int early;                     /* gpu: ready before its experts are there; goss_source.have implies it */
    int n_cpu_moe;                 /* gpu: experts of the first N layers run on the CPU */
    int gpu_limits_default;        /* 1: ask for WebGPU's default limits and no feature */
    uint64_t gpu_memory, resident_cap, expert_cache, kv_cap; /* bytes; 0: what the planner finds */
    const char *cpu_mask, *gpu_mask; /* borrowed: features not to use, with commas, e.g. "avx512vnni,amx" */
    const char *webgpu_path;       /* borrowed: a webgpu.h library; NULL: the package beside the program */
    goss_telemetry_fn on_telemetry; /* kept */
    void *telemetry_ctx;           /* kept */
    unsigned telemetry_mask;
    int telemetry_layer, telemetry_head; /* which attention map to report */
    const goss_store *prefix_store; /* borrowed, its contents kept: prefixes are kept there too */
    uint64_t prefix_store_bytes;   /* most bytes there, of all models; 0: 4 GB */
    const char *weights_mark;      /* borrowed: of weights that are not in memory a hash, so that their
                                    * prefixes are kept too; NULL: they are not */
    /* the most that compiled JSON schemas take: bytes of all requests together (0: 512 MB) and of one (0: 64
     * MB), ms of processor time of one (0: 5000; 1 more with every token) */
    uint64_t schemas_bytes, schema_bytes;
    int schema_ms;
    const goss_ring *ring;         /* kept: the layers are shared out among its ranks, this is rank 0 */
    const char *ring_split;        /* borrowed: layers of each rank, "12,12"; NULL: by memory and speed */
    /* borrowed: which kernels a GPU takes (docs/gpu-performance.md), the text that on_kernels gave; NULL: as
     * its features say. Without on_kernels it must have something for this device. */
    const char *gpu_kernels;
    goss_kernels_fn on_kernels; /* kept; not NULL: what gpu_kernels lacks is measured when nobody waits,
                                    * behind the first answer, and comes here for engines opened later */
    void *kernels_ctx;          /* kept */
} goss_engine_config;

enum { GOSS_ENGINE_LOADING = 0, GOSS_ENGINE_READY = 1, GOSS_ENGINE_FAILED = 2 };

/* Begins to load and returns; poll until goss_engine_state() is no longer LOADING. With a mapped file and the
 * cpu or ref backend it is ready on return. */
GOSS_API int goss_engine_open(goss_engine **out, const goss_engine_config *config, goss_error *err);
GOSS_API void goss_engine_close(goss_engine **engine); /* closes its sessions too */
/* Advances everything by what can be done now, then waits at most timeout_ms for the device or a source when
 * there is work in flight and nothing else to do. Returns 1 when more work is ready or in flight, 0 when
 * idle, or the error that stopped the engine (also in *err). */
GOSS_API int goss_engine_poll(goss_engine *engine, int timeout_ms, goss_error *err);
GOSS_API int goss_engine_state(const goss_engine *engine);
/* Which lines on_telemetry is to get from now on. */
GOSS_API void goss_engine_telemetry(goss_engine *engine, unsigned mask);
/* During a call of on_telemetry: the session that the line is about, NULL: the engine. */
GOSS_API const goss_session *goss_telemetry_session(const goss_engine *engine);
/* What telemetry knows of tokens, a row each (docs/telemetry.md, "Rows"); valid until the next poll. */
typedef struct goss_rows {
    int n, width;                   /* rows; numbers in each */
    const float *row;               /* (n, width) */
    /* of each row with attention: its place among these, how many weights, the position of the first, the
     * weights; one behind the other, n_map numbers */
    const float *map;
    size_t n_map;
} goss_rows;
/* How many rows wait. Where there is a place for them they are taken. */
GOSS_API int goss_rows_take(goss_engine *engine, goss_rows *rows);
/* An inference stage of the caller's own (a probe, say) among the engine's. status: "completed", "failed". */
GOSS_API void goss_engine_note(goss_engine *engine, const char *stage, const char *status,
                               const char *detail);
/* Which attention map telemetry reports from now on; out of range is GOSS_EINVAL, without layer telemetry
 * nothing happens. */
GOSS_API int goss_engine_watch(goss_engine *engine, int layer, int head);
/* A read that a source's read() has started is done: status 0, or what went wrong. */
GOSS_API void goss_engine_read_done(goss_engine *engine, uint64_t tag, int status);

typedef struct goss_model_info {
    char name[64], arch[16], type[32], backend[16], level[24]; /* "gpt-oss", "MXFP4", "cpu", "avx512vnni" */
    char chat[16];                 /* "harmony", "zephyr", "llama2", "llama3", "chatml", "raw" */
    int n_layer, n_embd, n_head, n_head_kv, head_dim, n_ff, n_expert, n_expert_used, n_vocab, n_ctx, window;
    int max_kv, n_threads;
    char kv[8];                    /* how keys and values are kept: "f16" */
    int64_t n_params;
    uint64_t file_bytes, resident_bytes, kv_bytes;
    uint64_t step_bytes, step_expert_bytes; /* weights that one decoded token reads; experts' of them */
} goss_model_info;
GOSS_API void goss_engine_info(const goss_engine *engine, goss_model_info *out);

typedef struct goss_stats {
    uint64_t n_steps, n_rows, n_prompt_tokens, n_reused_tokens, n_generated_tokens;
    uint64_t n_drafted, n_accepted; /* tokens guessed by speculation, of them right */
    /* of the reused: read from the store; computed for somebody else while the prompt waited */
    uint64_t n_stored_tokens, n_joined_tokens;
    uint64_t n_paused;             /* times that a step of prompts stood aside for others' */
    uint64_t n_guarded, n_schema;  /* tokens sampled under a mask of the Harmony guard; of a schema */
    uint64_t schema_bytes, schema_nodes, schemas_refused; /* compiled schemas; those beyond their budgets */
    double schema_ms;              /* processor time that schemas took */
    double prefill_ms, decode_ms;  /* time inside steps of that kind */
    uint64_t kv_bytes_used, gpu_bytes;
    uint64_t kv_bytes_shared;      /* what kv_bytes_used would be more, if no two sequences shared any */
    /* experts that are paged: (layer, expert) wanted and there, absent, evicted; steps that waited; bytes */
    uint64_t expert_hits, expert_misses, expert_evictions, expert_stalls, expert_bytes;
    double expert_stall_ms;
    int n_sessions, n_active;
    double load_progress;          /* 0..1 */
} goss_stats;
GOSS_API void goss_engine_stats(const goss_engine *engine, goss_stats *out);
/* Processor time that the calls of the engine's thread have spent in the model: loading and steps. What they
 * take beyond that is what one request may cost the others. */
GOSS_API double goss_engine_model_ms(const goss_engine *engine);

/* ---- text ---------------------------------------------------------------------------------------------- */
enum {
    GOSS_TOKENIZE_SPECIAL = 1,     /* "<|start|>" in the text is the token, not its letters */
    GOSS_TOKENIZE_BOS = 2          /* the token that begins a text comes first */
};
/* Writes at most cap ids; returns how many the text has (call again with more room), or an error. */
GOSS_API int goss_tokenize(const goss_engine *engine, const char *text, size_t n, unsigned flags,
                           int32_t *ids, int cap);
/* Writes at most cap bytes; returns how many there are. The bytes may end inside a UTF-8 sequence. */
GOSS_API int goss_detokenize(const goss_engine *engine, const int32_t *ids, int n_ids, char *text, int cap);

/* ---- chat ---------------------------------------------------------------------------------------------- */
/* A conversation. All of it is borrowed; what is zero is absent. Texts may hold anything: nothing in them
 * becomes a control token. Names are shown to the model with '_' for every ASCII character that is none of
 * [A-Za-z0-9_.-], and cut behind 64 bytes; events call a tool so. */
enum { GOSS_ROLE_DEVELOPER = 1, GOSS_ROLE_USER, GOSS_ROLE_ASSISTANT, GOSS_ROLE_TOOL };
typedef struct goss_tool_call {    /* of a tool, by the assistant */
    goss_str id, name, arguments;
} goss_tool_call;
typedef struct goss_message {
    int role;                      /* a GOSS_ROLE; what APIs call "system" is the developer's */
    int n_parts; const goss_str *parts; /* its content, each part encoded on its own */
    goss_str name;                 /* the user's, or the tool's that a TOOL message has the result of */
    goss_str call_id;              /* of a TOOL message: the call that it answers */
    goss_str reasoning;            /* the assistant's, before the content; shown until an answer ends it */
    int n_calls; const goss_tool_call *calls; /* the assistant's, behind the content */
} goss_message;
typedef struct goss_tool {
    goss_str name, description;
    goss_str parameters;           /* a JSON schema; absent: it takes none */
} goss_tool;
enum { GOSS_FORMAT_TEXT, GOSS_FORMAT_OBJECT, GOSS_FORMAT_SCHEMA };
typedef struct goss_conversation {
    int n_messages; const goss_message *messages;
    int n_tools; const goss_tool *tools;
    int must_call;                 /* 1, with tools: the answer begins with a call */
    goss_str choice;               /* of this tool; absent: of any */
    int format;                    /* a GOSS_FORMAT: what the answer is to be */
    goss_str schema, schema_name, schema_description; /* GOSS_FORMAT_SCHEMA's, as compact JSON */
    int effort;                    /* of reasoning: 1 low, 2 medium (as 0), 3 high */
    int browser, python;           /* the model's own tools */
    goss_str identity, knowledge_cutoff; /* absent: those that gpt-oss was trained with */
    goss_str date;                 /* "YYYY-MM-DD"; absent: today; no bytes at a pointer: none */
} goss_conversation;
/* Renders it to tokens that end where the assistant begins. Returns the number of tokens, writing at most
 * cap, or an error; its position is the message that it is about, -1: none. */
GOSS_API int goss_conversation_render(const goss_engine *engine, const goss_conversation *conversation,
                                      int32_t *ids, int cap, goss_error *err);
/* The same from JSON (borrowed), an object in the shape of OpenAI's chat requests: {messages:[{role, content,
 * reasoning_content?, tool_calls?, tool_call_id?, name?}], tools?, reasoning_effort?, response_format?,
 * builtin_tools?:["browser","python"], date?:"YYYY-MM-DD", identity?, knowledge_cutoff?, tool_choice?}. A
 * tool_choice of "required" or {function:{name}} begins the call. An error's position is the byte in the
 * JSON. */
GOSS_API int goss_chat_render(const goss_engine *engine, const char *json, size_t n, int32_t *ids, int cap,
                              goss_error *err);
/* What a model that speaks Harmony would have generated behind a rendered conversation: its reasoning, its
 * answer, and as the last one the token that ends a turn. Returns as goss_chat_render does. */
GOSS_API int goss_chat_turn(const goss_engine *engine, goss_str reasoning, goss_str answer, int32_t *ids,
                            int cap, goss_error *err);
/* The tool's name in an event's recipient: "f" of "functions.f"; any other recipient as it is. */
GOSS_API const char *goss_function_name(const char *recipient);

/* ---- sessions ------------------------------------------------------------------------------------------ */
typedef struct goss_logit_bias { int32_t token; float bias; } goss_logit_bias;
enum { GOSS_TOOL_BROWSER = 1, GOSS_TOOL_PYTHON = 2 };
typedef struct goss_params { /* start from goss_params_default() */
    float temperature;             /* 0: the best token */
    int top_k;                     /* 0: off */
    float top_p, min_p;            /* 1 and 0: off */
    float repeat_penalty, presence_penalty, frequency_penalty; /* 1, 0, 0: off */
    int repeat_last_n;             /* tokens that penalties look back on; 0: 64, -1: all */
    uint64_t seed;
    int max_tokens;                /* 0: up to the context */
    /* chat: tokens of analysis, behind which the answer or a call must begin; 0: none, -1: any number */
    int reasoning_budget;
    int n_probs;                   /* report this many best tokens with each event, at most 20 */
    int ignore_stop;               /* 1: stop tokens don't end the generation */
    int chat;                      /* 1: parse the model's chat format: events carry channel and content */
    int no_guard;                  /* 1: malformed Harmony headers may be sampled; the parser copes */
    int draft;                     /* 1: speculate (draft model, else n-grams) */
    const int32_t *predicted; int n_predicted; /* copied: the probable answer: drafts are taken from it */
    const goss_logit_bias *bias; int n_bias;         /* borrowed */
    const char *const *stop; int n_stop; /* borrowed: texts that end the generation, not emitted */
    /* borrowed: constrains the answer (chat: all that is for the user, so there are no preambles, no_guard
     * is ignored, and the reasoning can't end the generation); "{}" any JSON object */
    const char *json_schema;
    /* borrowed: the request's tools array: only these may be called ("[]": none; NULL: anybody); strict ones
     * constrain their arguments */
    const char *tools_json;
    goss_schemas *schemas;         /* kept: both of them compiled before; NULL: the prompt compiles them */
    int must_call;                 /* 1: the prompt begins a call: all tools' arguments are constrained as if
                                    * they were strict (to any object where their schema can't be) */
    int one_call;                  /* 1: the generation ends with its first call */
    int builtin;                   /* GOSS_TOOL_ bits: with tools_json, these may be called too */
    /* chat, above 0: the prompt ends in an answer that began at this position. What it has said comes first,
     * a text-only event for each of its messages; where the prompt ends with a stop token the answer does. */
    int echo;
} goss_params;
/* temperature 1, top_p 1, repeat_penalty 1, reasoning_budget -1, everything else off */
GOSS_API goss_params goss_params_default(void);

/* Compiles what binds a request's answers: json_schema and (chat) tools_json of its parameters. *out may
 * serve several sessions, and is NULL when there is neither. Any thread may call it while the engine is
 * ready, beside the engine's own; so it is with goss_tokenize, goss_detokenize and goss_chat_render: they may
 * take long, and change nothing. GOSS_EUNSUPPORTED: the schema can't be enforced; GOSS_ELIMIT: it is larger
 * than its budget. */
GOSS_API int goss_schemas_open(goss_engine *engine, const goss_params *params, goss_schemas **out,
                               goss_error *err);
GOSS_API void goss_schemas_close(goss_schemas **schemas); /* any thread; sessions keep what they use */

enum { GOSS_EVENT_TOKEN = 1, GOSS_EVENT_PREFILL = 2, GOSS_EVENT_DONE = 3 };
enum {
    GOSS_STOP_NONE = 0,
    GOSS_STOP_EOS = 1,             /* the model ended it */
    GOSS_STOP_TEXT = 2,            /* a text of params.stop */
    GOSS_STOP_LENGTH = 3,          /* max_tokens, or the context is full */
    GOSS_STOP_CALL = 4,            /* a tool call */
    GOSS_STOP_CANCELED = 5,
    GOSS_STOP_ERROR = 6
};
typedef struct goss_prob { int32_t token; float logprob; } goss_prob;
typedef struct goss_event {
    int kind;
    /* TOKEN */
    int32_t token;                 /* -1: text only, held back before or recovered from a broken header */
    int position;
    /* whole UTF-8 characters that became final with this token; valid until the next call on the session.
     * chat: content of the channel only, never header text */
    const char *text; int n_text;
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
/* Opens a branch: a session that begins with the first n tokens that `from` holds (n < 0: all), their KV
 * shared by reference; `from` may be generating. Prompts of it that begin with those tokens go on from there.
 * Returns how many of them are shared: n, or fewer where windowed layers have released that point (what is
 * missing is computed with the prompt); or an error. */
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
/* The same with its last message ended and the assistant's next one begun: a prompt that goes on from a turn
 * that ended early. Returns the count, or GOSS_EUNSUPPORTED where a turn is one message (all but Harmony). */
GOSS_API int goss_session_next_message(const goss_session *session, int32_t *ids, int cap);

/* ---- recordings ---------------------------------------------------------------------------------------- */
typedef struct goss_record_config {
    /* A block of a recording (docs/recording.md) that is whole: n bytes, valid during the call, with so many
     * tokens from number `first` on. Other than 0: it can't be kept, nothing more is handed out. */
    int (*block)(void *ctx, const void *bytes, size_t n, uint32_t first, uint32_t n_tokens);
    void *ctx;        /* kept */
    int block_tokens; /* a block has so many tokens, or a few more; 0: 64 */
} goss_record_config;
/* Records what all sessions do from now on (config is copied), or with NULL ends the recording with its last
 * block. The head comes during the call. A GPU tells experts and attention only where it was opened with
 * GOSS_TELEMETRY_RECORD in its mask. */
GOSS_API int goss_engine_record(goss_engine *engine, const goss_record_config *config, goss_error *err);
/* Hands out what has come since the last block, for who shows it live. 0, or what block() said. */
GOSS_API int goss_record_cut(goss_engine *engine);
/* What the session's next prompt was made of, as JSON: it is recorded with the prompt. */
GOSS_API int goss_session_request(goss_session *session, const char *json, size_t n);

/* ---- parity and evaluation (block) --------------------------------------------------------------------- */
/* Runs the tokens through the model from an empty cache, in chunks of `chunk` rows (0: one step), and writes
 * the logits of every position (all = 1) or of the last: n * n_vocab floats or n_vocab. Blocks. */
GOSS_API int goss_eval(goss_engine *engine, const int32_t *ids, int n, int chunk, int all, float *logits,
                       goss_error *err);
/* As goss_eval, but shows what every stage of every layer put out, as float rows (n_rows, width), in order.
 * stage: "embed", "attn_out", "experts", "ffn": the residual; "attn_in": q, k (after RoPE), v; "attend";
 * "route": router logits; "head": logits of the last row. layer is -1 for embed and head. Blocks. */
typedef void (*goss_trace_fn)(void *ctx, const char *stage, int layer, const float *values, int n_rows,
                              int width);
GOSS_API int goss_trace(goss_engine *engine, const int32_t *ids, int n, int chunk, goss_trace_fn fn,
                        void *ctx, goss_error *err);

/* One stage of the engine's backend beside `ref`'s on the same weights: the root mean square of the
 * reference's values, and how far the other's are from them. Both go on from their own residual, so what
 * differs in a layer adds up in those behind it. */
enum { GOSS_PARITY_TOKENS = 64 };
typedef struct goss_parity_row {
    const char *stage; /* as goss_trace's */
    int layer;
    double rms, max, mean;
} goss_parity_row;
typedef void (*goss_parity_fn)(void *ctx, const goss_parity_row *row);
/* Shows every stage for these tokens, from an empty cache. Blocks; the reference takes many times as long as
 * the backend, and needs the whole model in memory. */
GOSS_API int goss_parity(goss_engine *engine, const int32_t *ids, int n, goss_parity_fn fn, void *ctx,
                         goss_error *err);

/* ---- looking inside (block) ---------------------------------------------------------------------------- */
enum { GOSS_LENS_TOP = 5 };
typedef struct goss_lens_row {
    int layer;         /* the residual is what this layer leaves; -1: the embedding */
    float kl, entropy; /* nats; kl: of the model's own distribution from this one */
    int n_top;
    goss_prob top[GOSS_LENS_TOP];
} goss_lens_row;
/* The logit lens: what each layer would have said behind the last of the tokens: the model's last norm and
 * head on its residual. Writes at most cap rows, from the embedding to the last layer, which is what the
 * model says; returns how many there are, n_layer + 1, or an error. What the cache has of the tokens before
 * the last is not computed again. Blocks. */
GOSS_API int goss_lens(goss_engine *engine, const int32_t *ids, int n, goss_lens_row *rows, int cap,
                       goss_error *err);
enum { GOSS_HEADS_MEAN = -1, GOSS_HEADS_EACH = -2 };
/* Where the last of the tokens looks, in a layer and a head, or on average over the layer's heads
 * (GOSS_HEADS_MEAN): n weights by position, which with the sink's share sum to 1. GOSS_HEADS_EACH: so many
 * for each head, one head behind the other. Blocks. */
GOSS_API int goss_attention(goss_engine *engine, const int32_t *ids, int n, int layer, int head,
                            float *weights, goss_error *err);

/* ---- embeddings (block) -------------------------------------------------------------------------------- */
enum { GOSS_POOL_MEAN = 0, GOSS_POOL_LAST = 1 };
/* What the model makes of the tokens before its vocabulary: the states behind the last norm, their mean over
 * all positions or the last position's, as n_embd floats of length 1. gpt-oss was not trained for it: near
 * texts come out near, but a model made for embeddings does it better. Blocks. */
GOSS_API int goss_embed(goss_engine *engine, const int32_t *ids, int n, int pooling, float *out,
                        goss_error *err);

/* ---- planning ------------------------------------------------------------------------------------------ */
typedef struct goss_plan_info {
    uint64_t memory_total, memory_available; /* of this machine */
    uint64_t weight_bytes, expert_bytes;     /* all weights; of them the experts */
    uint64_t resident_bytes;                 /* weights that stay in memory */
    uint64_t expert_cache_bytes;             /* room for experts that are paged; 0: all are resident */
    uint64_t kv_bytes, kv_token_bytes;       /* KV at first; of one position in layers that see everything */
    uint64_t page_bytes[2];                  /* a page of KV: layers that see everything, windowed layers */
    uint64_t scratch_bytes;                  /* activations, logits, a GPU's staging */
    int max_kv, n_pages[2], fits;            /* fits 0: not even this plan does */
    int n_slots;                             /* experts of each layer that have room at once */
    char text[640];                          /* the plan in sentences */
} goss_plan_info;
/* Reads the header only (config->model_path, else the sources, whose reads must be done at once) and says
 * what opening it so would use. Either result may be NULL. */
GOSS_API int goss_plan(const goss_engine_config *config, goss_model_info *model, goss_plan_info *plan,
                       goss_error *err);

/* ---- one model over several processes ------------------------------------------------------------------ */
/* What the other ranks do: blocks, and computes what rank 0's engines want of this one, until rank 0 says
 * that it is over (0) or is lost. config: its ring, backend, threads and masks count. */
GOSS_API int goss_ring_work(const goss_engine_config *config, goss_error *err);
/* Rank 0's: ends goss_ring_work on all others; its engines are closed. */
GOSS_API int goss_ring_end(const goss_ring *ring, goss_error *err);
/* Rank 0's, before an engine is opened: blocks, asks all ranks for their memory and speed, and says in text
 * who would have which layers, a line for each rank. */
GOSS_API int goss_ring_plan(const goss_engine_config *config, char *text, int cap, goss_error *err);

/* ---- schemas ------------------------------------------------------------------------------------------- */
typedef struct goss_schema_report {
    double compile_ms;
    uint64_t graph_bytes; /* of what it is compiled to */
    int n_states;         /* that the texts reach; more come as others are written */
    double first_mask_ms; /* over the engine's vocabulary; 0 without an engine */
    int n_texts;          /* up to 3, fewer where there are no more or none is short */
    char text[3][400];
} goss_schema_report;
/* Whether goss_params.json_schema could be this: 0, or GOSS_EUNSUPPORTED or GOSS_ELIMIT with the reason
 * and its place in the schema, GOSS_EFORMAT when it is no JSON. engine (may be NULL): a loaded one, for whose
 * vocabulary the first mask is made. report may be NULL. */
GOSS_API int goss_schema_check(goss_engine *engine, const char *schema, size_t n, goss_schema_report *report,
                               goss_error *err);

/* ---- for programs that want to block ------------------------------------------------------------------- */
typedef int (*goss_token_fn)(void *ctx, const goss_event *event); /* non-zero stops the generation */
/* Blocks: opens and polls until the engine is ready. */
GOSS_API int goss_load(goss_engine **out, const char *path, goss_error *err);
/* Blocks. prompt is plain text, or a chat request (JSON object) when params->chat is 1; its tool_choice,
 * parallel_tool_calls and builtin_tools count beside params. params may be NULL. */
GOSS_API int goss_generate(goss_engine *engine, const char *prompt, const goss_params *params,
                           goss_token_fn on_token, goss_telemetry_fn on_telemetry, void *ctx,
                           goss_error *err);
/* Blocks. The answer's text (chat: the final channel) into out, NUL-terminated; returns its full length. */
GOSS_API int goss_complete(goss_engine *engine, const char *prompt, const goss_params *params, char *out,
                           int cap, goss_error *err);
/* Blocks. As goss_complete, piece by piece; on_text returns non-zero to stop. */
GOSS_API int goss_complete_stream(goss_engine *engine, const char *prompt, const goss_params *params,
                                  int (*on_text)(void *ctx, const char *text, int n), void *ctx,
                                  goss_error *err);
/* Calls back for every GGUF model in a folder (first files of split sets only); returns how many. */
GOSS_API int goss_list(const char *folder,
                       void (*on_model)(void *ctx, const char *path, const goss_model_info *info), void *ctx,
                       goss_error *err);

#ifdef __cplusplus
}
#endif
#endif
