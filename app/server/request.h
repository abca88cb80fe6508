/* request.h - one shape for what all protocols ask. A parser per protocol (req_*.c) turns a body into it; the
 * runner and the writers know
 * nothing of bodies. A request owns all its memory. */
#ifndef GOSS_SERVER_REQUEST_H
#define GOSS_SERVER_REQUEST_H
#include "../../src/format/json.h"
#include "config.h"

typedef enum goss_srv_api {
    GOSS_SRV_CHAT,
    GOSS_SRV_TEXT,
    GOSS_SRV_RESPONSES,
    GOSS_SRV_MESSAGES,
    GOSS_SRV_OLLAMA_CHAT,
    GOSS_SRV_OLLAMA_GENERATE,
    GOSS_SRV_COUNT,
    GOSS_SRV_TOKENIZE,
    GOSS_SRV_DETOKENIZE,
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
/* Fills f and returns -1, so that callers write `return goss_srv_refuse(f, 400, "invalid_value", "n", at, "...")`. */
int goss_srv_refuse(goss_srv_fail *f, int status, const char *code, const char *param, int64_t position,
                    const char *format, ...) __attribute__((format(printf, 6, 7)));

/* text, or ids when text is NULL */
typedef struct goss_srv_prompt { const char *text; size_t n_text; const int32_t *ids; int n_ids; } goss_srv_prompt;

typedef struct goss_srv_block goss_srv_block;
typedef struct goss_srv_request {
    goss_srv_api api;
    const char *model;             /* "" when the request names none */
    goss_params params;            /* pointers are into this request */
    int load_only;                 /* Ollama: a request that says nothing loads the model */
    int is_chat;                   /* the prompt is `chat`, rendered by the model's format; else `prompts` */
    goss_buf chat;                 /* a conversation as goss_chat_render reads it */
    goss_srv_prompt *prompts; int n_prompts;
    int n;                         /* choices of each prompt */
    int stream, include_usage, echo;
    int logprobs;                  /* -1: none; else how many alternatives beside the chosen token */
    int telemetry, telemetry_top_k;
    int max_kv;                    /* 0: the model's */
    int layers, moe_fallback;      /* the model's variant; layers as goss_engine_config.n_layers */
    int show_reasoning;            /* the answer carries the analysis */
    /* what the assistant's turn begins with, special tokens as text (tool_choice); NULL: nothing */
    const char *forced;
    int has_seed;
    int has_keep; double keep_ms;  /* Ollama's keep_alive: how long the model stays after the answer; < 0: for ever */
    /* what only one protocol wants back */
    /* Responses; "" or JSON */
    const char *instructions, *tools_echo, *choice_echo, *format_echo, *effort_echo, *metadata_echo, *previous;
    int store;
    /* Responses: the conversation without instructions, as messages joined by commas */
    goss_buf turn;
    const char *text; size_t n_text; /* tokenize */
    int special, bos, pieces;
    goss_srv_block *blocks;        /* all memory above */
} goss_srv_request;

/* Parses a body. 0, or -1 with *fail filled. `previous` finds the stored conversation of a response id (messages
 * joined by commas) and may be NULL. */
typedef struct goss_srv_lookup {
    void *ctx;
    int (*find)(void *ctx, const char *id, goss_buf *messages);
} goss_srv_lookup;
int goss_srv_request_read(goss_srv_request *r, goss_srv_api api, const goss_srv_config *c,
                          const goss_srv_lookup *previous, const char *body, size_t n, goss_srv_fail *fail);
void goss_srv_request_free(goss_srv_request *r);
#endif
