/* wasm_request.h - requests from JavaScript (JSON) as the structs of gossamer.h. Everything that a struct
 * points to is owned by the same object and freed with it. */
#ifndef GOSS_APP_WASM_REQUEST_H
#define GOSS_APP_WASM_REQUEST_H
#include "base/buf.h"
#include "common/engine_table.h"
#include "common/params.h"

enum { GOSS_WASM_STOPS = 16, GOSS_WASM_SOURCES = 64, GOSS_WASM_PREFIXES = 256 };

/* {messages | prompt | tokens, tools?, response_format?, max_tokens?, temperature?, ... } in the shape of
 * OpenAI's requests, with top_k, min_p, repetition_penalty, ignore_stop, draft, prefill_only of ours. `raw`
 * 1: prompt is plain text. tokens: all of them as ids, of a chat with chat: true; echo is goss_params'. */
typedef struct goss_wasm_request {
    goss_json json;
    goss_params params;
    goss_buf prompt, schema, tools;
    goss_buf tokens;        /* int32; none: messages or prompt are rendered */
    goss_owned *owned;      /* stop texts, biases */
    int raw;
    unsigned tokenize_flags;
} goss_wasm_request;
int goss_wasm_request_read(goss_wasm_request *r, const char *text, size_t n, goss_error *err);
void goss_wasm_request_free(goss_wasm_request *r);   /* also after a failed read */

/* {sources:[{name, size, map?}], draft?, backend?, threads?, max_kv?, prefix_cache?, prefixes?: [{name,
 * bytes, used}], ...}; map is the address of the whole file's bytes. */
typedef struct goss_wasm_config {
    goss_json json;
    goss_engine_options options;
    goss_source sources[GOSS_WASM_SOURCES];
    goss_owned *owned;  /* names and strings */
    struct { char name[64]; uint64_t bytes, used; } prefixes[GOSS_WASM_PREFIXES];
    int n_prefixes;
} goss_wasm_config;
int goss_wasm_config_read(goss_wasm_config *c, const char *text, size_t n, goss_error *err);
void goss_wasm_config_free(goss_wasm_config *c);
#endif
