/* request.h - one shape for what all protocols ask. A parser per protocol (req_*.c) turns a body into it; the
 * runner and the writers know nothing of bodies. A request owns all its memory. */
#ifndef GOSS_SERVER_REQUEST_H
#define GOSS_SERVER_REQUEST_H
#include "base/owned.h"
#include "format/json.h"
#include "config.h"
#include "mcp_items.h"

typedef enum goss_srv_api {
    GOSS_SRV_CHAT,
    GOSS_SRV_TEXT,
    GOSS_SRV_RESPONSES,
    GOSS_SRV_MESSAGES,
    GOSS_SRV_OLLAMA_CHAT,
    GOSS_SRV_OLLAMA_GENERATE,
    GOSS_SRV_COMPACT,
    GOSS_SRV_COUNT,
    GOSS_SRV_TOKENIZE,
    GOSS_SRV_DETOKENIZE,
    GOSS_SRV_COUNT_INPUT,
    GOSS_SRV_EMBED,
    GOSS_SRV_OLLAMA_EMBED,
    GOSS_SRV_OLLAMA_EMBEDDINGS,
    GOSS_SRV_N_APIS
} goss_srv_api;
const char *goss_srv_api_name(goss_srv_api api); /* "chat", for logs and metrics */

typedef struct goss_srv_fail {  /* why a request is refused */
    int status;                 /* HTTP; 0: nothing failed */
    const char *type, *code, *stage; /* static text; code and stage may be NULL */
    int64_t position;           /* byte in the body, -1: none */
    char param[64];             /* the field, "" for none */
    char message[400];
} goss_srv_fail;
/* A code that Anthropic's library looks for in the error's details, and then goes on without. */
#define GOSS_SRV_NO_THREADS "thread_unsupported_request"
/* Fills f and returns -1, so that callers write `return goss_srv_refuse(f, 400, "invalid_value", "n", at,
 * "...")`. */
int goss_srv_refuse(goss_srv_fail *f, int status, const char *code, const char *param, int64_t position,
                    const char *format, ...) __attribute__((format(printf, 6, 7)));

/* The same: a conversation is another request's at present. */
int goss_srv_refuse_locked(goss_srv_fail *f, int64_t position);

/* text, or ids when text is NULL */
typedef struct goss_srv_prompt {
    const char *text;
    size_t n_text;
    const int32_t *ids;
    int n_ids;
} goss_srv_prompt;

/* A tool as the client declared it, and as the model sees it (tools.h). */
typedef struct goss_srv_tool {
    const char *name, *space;      /* space: its namespace, NULL: none */
    const char *shown;
    goss_tool tool;                /* shown, with what the model reads of it */
    /* custom: its input is a text; strict: calls follow the schema; out: not to be called this time */
    int custom, strict, out;
    /* Of a tool that the server runs: the name and number of its MCP server (label NULL: the client runs it).
     * ask: a call waits for approval; own: 1 + GOSS_MCP_ where it stands for Harmony's own; argument: where
     * python's code goes. */
    const char *label, *argument;
    int number, ask, own;
} goss_srv_tool;

/* What an MCP server offers, where the answer is to say so. */
typedef struct goss_srv_listing {
    const char *label;
    const goss_srv_offer *offers;
    int n, known;
} goss_srv_listing;
/* A call whose approval was asked for before. result: the message that gets what comes of it, -1: not yet
 * approved. */
typedef struct goss_srv_approval {
    const char *id, *label, *name;
    goss_str arguments;
    const goss_srv_tool *tool;
    int result;
} goss_srv_approval;
enum { GOSS_SRV_LISTINGS = 8, GOSS_SRV_APPROVALS = 16 };

typedef struct goss_srv_request {
    goss_srv_api api;
    const char *model;             /* "" when the request names none */
    goss_params params;            /* pointers are into this request */
    int load_only;                 /* Ollama: a request that says nothing loads the model */
    int is_chat;                   /* the prompt is `chat`, rendered by the model's format; else `prompts` */
    goss_conversation chat;
    goss_buf messages;             /* chat.messages, one goss_message behind the other */
    int n_instructions;            /* Responses: of them, the first are no part of what is stored */
    goss_srv_prompt *prompts; int n_prompts;
    int n;                         /* choices of each prompt */
    int stream, include_usage, echo;
    int logprobs;                  /* -1: none; else how many alternatives beside the chosen token */
    int telemetry, telemetry_top_k;
    int telemetry_layer, telemetry_head; /* -1: not said */
    int max_kv;                    /* 0: the model's */
    int layers, moe_fallback;      /* the model's variant; layers as goss_engine_config.n_layers */
    int show_reasoning;            /* the answer carries the analysis */
    goss_srv_tool *tools; int n_tools;
    /* tools that the server runs: how many; the masks behind the first call, and where no more are made */
    int n_served;
    const char *tools_after, *tools_last;
    int max_calls; /* of them, in one answer */
    goss_srv_listing listings[GOSS_SRV_LISTINGS];
    int n_listings;
    goss_srv_approval approvals[GOSS_SRV_APPROVALS];
    int n_approvals;
    int has_seed;
    /* Ollama's keep_alive: how long the model stays after the answer; < 0: for ever */
    int has_keep; double keep_ms;
    /* what only one protocol wants back */
    /* Responses; "" or JSON */
    const char *instructions, *tools_echo, *choice_echo, *format_echo, *effort_echo, *metadata_echo,
        *previous;
    goss_str input;                /* Responses: as it stands in the body */
    /* Responses: reasoning summaries are asked for; parallel_tool_calls as it came; the answer is a
     * compaction (compaction.h) */
    int store, summary, parallel, background, compacts;
    /* Responses: the conversation that what was asked and answered is added to, NULL: none; its new items, a
     * goss_srv_kept each, in `input` */
    const char *conversation;
    goss_buf kept;
    const char *text; size_t n_text; /* tokenize */
    int special, bos, pieces;
    /* embeddings: pooling as goss_embed takes it; dimensions 0: all; truncate: too long inputs are cut */
    int pooling, dimensions, base64, truncate;
    goss_buf body;                 /* texts without escapes are where they stand in it */
    goss_owned *owned;             /* all other memory above */
} goss_srv_request;
void goss_srv_request_free(goss_srv_request *r);
/* Its conversation is free for the next request: before its client hears of the end. Freeing does it too. */
void goss_srv_request_let_go(const goss_srv_request *r);
#endif
