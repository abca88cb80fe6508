/* read.c - a body to a request: the JSON, what all protocols have in common, then the protocol's own
 * reader. */
#include "read.h"
#include "parse.h"
#include <string.h>

static int (*const readers[GOSS_SRV_N_APIS])(goss_srv_parse *p) = {
    goss_srv_read_chat,     goss_srv_read_text,   goss_srv_read_responses,
    goss_srv_read_messages, goss_srv_read_ollama, goss_srv_read_ollama,
    goss_srv_read_compact,
    goss_srv_read_messages, goss_srv_read_tokens, goss_srv_read_tokens, goss_srv_read_responses,
    goss_srv_read_embed,    goss_srv_read_embed,  goss_srv_read_embed,
};

int goss_srv_request_read(goss_srv_request *r, goss_srv_api api, const goss_srv_config *c, goss_buf *body,
                          goss_srv_fail *fail)
{
    goss_json j = { 0 };
    goss_error err = { 0 };
    goss_json_limits limits = { .max_depth = (uint32_t)c->max_depth };
    memset(r, 0, sizeof *r);
    *r = (goss_srv_request){ .api = api,
                             .model = "",
                             .params = goss_params_default(),
                             .n = 1,
                             .logprobs = -1,
                             .telemetry_top_k = 5,
                             .telemetry_layer = -1,
                             .telemetry_head = -1,
                             .layers = c->engine.config.n_layers,
                             .moe_fallback = c->engine.config.moe_fallback,
                             .show_reasoning = 1,
                             .store = 1 };
    r->params.reasoning_budget = c->reasoning_budget;
    r->messages = GOSS_BUF(SIZE_MAX / 2);
    r->kept = GOSS_BUF(SIZE_MAX / 2);
    r->body = *body;
    *body = GOSS_BUF(body->max);
    goss_srv_parse p = { .j = &j, .r = r, .c = c, .fail = fail };
    p.read = (goss_reading){ .j = &j, .owned = &r->owned };
    int result = -1;
    if (goss_json_parse(&j, (const char *)r->body.data, r->body.len, &limits, &err) < 0) {
        goss_srv_refuse(fail, 400, "invalid_json", "", err.position, "the body is not JSON: %s", err.text);
    } else if (goss_json_kind(&j, 0) != GOSS_JSON_OBJECT) {
        goss_srv_refuse(fail, 400, "invalid_json", "", 0, "the body must be a JSON object");
    } else {
        result = goss_srv_get_text(&p, 0, "model", &r->model);
        if (!result && readers[api](&p)) result = -1;
        r->chat.messages = (const goss_message *)(const void *)r->messages.data;
        r->chat.n_messages = (int)(r->messages.len / sizeof(goss_message));
    }
    if (c->engine.speculate || c->engine.config.draft_path) r->params.draft = 1;
    goss_json_free(&j);
    if (result < 0) goss_srv_request_free(r);
    return result;
}
