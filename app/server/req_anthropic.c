/* req_anthropic.c - reads /v1/messages and /v1/messages/count_tokens. */
#include "parse.h"
#include "../../src/base/mem.h"
#include <string.h>

static int is_block(const goss_srv_parse *p, int block, const char *type) {
    return goss_json_is(p->j, goss_json_get(p->j, block, "type"), type);
}

static int refuse_block(goss_srv_parse *p, int block) {
    return goss_srv_bad(
        p, block, "messages.content",
        "has a block of a kind this model does not read: text, thinking, tool_use and tool_result are");
}

/* Every tool_result of a user's message, each as a message of its own. */
static int write_results(goss_srv_parse *p, int content) {
    for (int b = goss_json_first(p->j, content); b >= 0; b = goss_json_next(p->j, b)) {
        goss_buf text = GOSS_BUF(SIZE_MAX / 2);
        const char *id = NULL;
        if (!is_block(p, b, "tool_result")) continue;
        if (goss_srv_get_text(p, b, "tool_use_id", &id)) return -1;
        if (!id) return goss_srv_bad(p, b, "messages.content", "has a tool_result without tool_use_id");
        if (goss_srv_chat_message(p, b, "tool")) return -1;
        int failed = goss_srv_content(p, goss_srv_field(p, b, "content"), "messages.content", " text ", &text);
        goss_srv_chat_text(p, "content", (const char *)text.data, text.len);
        goss_buf_free(&text);
        goss_srv_chat_text(p, "tool_call_id", id, strlen(id));
        goss_buf_str(&p->r->chat, "}");
        if (failed) return -1;
    }
    return 0;
}

/* The user's own words, if there are any. */
static int write_user(goss_srv_parse *p, int m, int content) {
    goss_buf text = GOSS_BUF(SIZE_MAX / 2);
    int failed = 0, n = 0;
    for (int b = goss_json_first(p->j, content); b >= 0 && !failed; b = goss_json_next(p->j, b)) {
        int t = goss_json_get(p->j, b, "text");
        if (is_block(p, b, "tool_result")) continue;
        if (!is_block(p, b, "text") || goss_json_kind(p->j, t) != GOSS_JSON_STRING) failed = refuse_block(p, b);
        else if (n++) goss_buf_str(&text, "\n\n");
        if (!failed) goss_json_string(p->j, t, &text);
    }
    if (!failed && n) failed = goss_srv_chat_message(p, m, "user");
    if (!failed && n) {
        goss_srv_chat_text(p, "content", (const char *)text.data, text.len);
        goss_buf_str(&p->r->chat, "}");
    }
    goss_buf_free(&text);
    return failed;
}

static int write_use(goss_srv_parse *p, int b, int first, int thought) {
    const char *id = NULL, *name = NULL, *args = "{}";
    int in = goss_srv_field(p, b, "input");
    if (goss_srv_get_text(p, b, "id", &id) || goss_srv_get_text(p, b, "name", &name) ||
        (in >= 0 && goss_srv_json_of(p, in, &args)))
        return -1;
    if (!id || !name) return goss_srv_bad(p, b, "messages.content", "has a tool_use without id or name");
    if (first && !thought) goss_srv_chat_recall(p, id);
    goss_buf_str(&p->r->chat, first ? ",\"tool_calls\":[" : ",");
    goss_srv_chat_call(p, id, name, args, strlen(args));
    return 0;
}

static int write_assistant(goss_srv_parse *p, int m, int content) {
    goss_buf text = GOSS_BUF(SIZE_MAX / 2), thought = GOSS_BUF(SIZE_MAX / 2);
    int failed = goss_srv_chat_message(p, m, "assistant"), n_calls = 0;
    for (int b = goss_json_first(p->j, content); b >= 0 && !failed; b = goss_json_next(p->j, b)) {
        if (is_block(p, b, "text")) goss_json_string(p->j, goss_json_get(p->j, b, "text"), &text);
        else if (is_block(p, b, "thinking")) goss_json_string(p->j, goss_json_get(p->j, b, "thinking"), &thought);
        else if (!is_block(p, b, "tool_use") && !is_block(p, b, "redacted_thinking")) failed = refuse_block(p, b);
    }
    if (text.len) goss_srv_chat_text(p, "content", (const char *)text.data, text.len);
    if (thought.len) goss_srv_chat_text(p, "reasoning_content", (const char *)thought.data, thought.len);
    for (int b = goss_json_first(p->j, content); b >= 0 && !failed; b = goss_json_next(p->j, b))
        if (is_block(p, b, "tool_use")) failed = write_use(p, b, !n_calls++, thought.len > 0);
    goss_buf_str(&p->r->chat, n_calls ? "]}" : "}");
    goss_buf_free(&text);
    goss_buf_free(&thought);
    return failed;
}

static int write_message(goss_srv_parse *p, int m) {
    int role = goss_json_get(p->j, m, "role"), content = goss_srv_field(p, m, "content"),
        user = goss_json_is(p->j, role, "user");
    if (goss_json_kind(p->j, m) != GOSS_JSON_OBJECT) return goss_srv_bad(p, m, "messages", "must be objects");
    if (!user && !goss_json_is(p->j, role, "assistant"))
        return goss_srv_bad(p, m, "messages.role", "must be user or assistant");
    if (goss_json_kind(p->j, content) == GOSS_JSON_STRING) {
        const char *text;
        size_t n;
        if (goss_srv_text_of(p, content, "messages.content", &text, &n) ||
            goss_srv_chat_message(p, m, user ? "user" : "assistant"))
            return -1;
        goss_srv_chat_text(p, "content", text, n);
        goss_buf_str(&p->r->chat, "}");
        return 0;
    }
    if (goss_json_kind(p->j, content) != GOSS_JSON_ARRAY)
        return goss_srv_bad(p, m, "messages.content", "must be a string or an array of blocks");
    return user ? write_results(p, content) || write_user(p, m, content) ? -1 : 0 : write_assistant(p, m, content);
}

static int write_system(goss_srv_parse *p) {
    goss_buf text = GOSS_BUF(SIZE_MAX / 2);
    int node = goss_srv_field(p, 0, "system");
    if (node < 0) return 0;
    int failed = goss_srv_content(p, node, "system", " text ", &text);
    if (!failed && text.len) {
        failed = goss_srv_chat_message(p, node, "developer");
        goss_srv_chat_text(p, "content", (const char *)text.data, text.len);
        goss_buf_str(&p->r->chat, "}");
    }
    goss_buf_free(&text);
    return failed;
}

static int read_choice(goss_srv_parse *p, int tools, int n_tools, int *none) {
    int node = goss_srv_field(p, 0, "tool_choice"), type = goss_json_get(p->j, node, "type");
    const char *name = NULL;
    *none = goss_json_is(p->j, type, "none");
    if (node < 0 || *none || goss_json_is(p->j, type, "auto")) return 0;
    if (goss_json_is(p->j, type, "any")) return goss_srv_set_choice(p, node, "required", NULL, n_tools);
    if (!goss_json_is(p->j, type, "tool"))
        return goss_srv_bad(p, node, "tool_choice", "must be of type auto, any, tool or none");
    if (goss_srv_get_text(p, node, "name", &name)) return -1;
    for (int t = goss_json_first(p->j, tools); t >= 0 && name; t = goss_json_next(p->j, t))
        if (goss_json_is(p->j, goss_json_get(p->j, t, "name"), name))
            return goss_srv_set_choice(p, node, "named", name, n_tools);
    return goss_srv_bad(p, node, "tool_choice", "names a tool that is not declared");
}

/* thinking.budget_tokens stands for an effort: under 2,048 low, from 16,384 high. Without thinking the analysis is
 * made but not shown. */
static int read_thinking(goss_srv_parse *p, const char **effort) {
    int node = goss_srv_field(p, 0, "thinking"), type = goss_json_get(p->j, node, "type"), budget = 8192;
    p->r->show_reasoning = goss_json_is(p->j, type, "enabled") || goss_json_is(p->j, type, "adaptive");
    if (!p->r->show_reasoning)
        return node < 0 || goss_json_is(p->j, type, "disabled")
                   ? 0
                   : goss_srv_bad(p, node, "thinking", "must be enabled, adaptive or disabled");
    if (goss_srv_get_int(p, node, "budget_tokens", 1, 1 << 30, &budget)) return -1;
    *effort = budget < 2048 ? "low" : budget < 16384 ? "medium" : "high";
    return 0;
}

int goss_srv_read_messages(goss_srv_parse *p) {
    static const char known[] =
        " messages model system tools tool_choice thinking max_tokens stop_sequences stream temperature top_p "
        "top_k metadata "
        "service_tier output_config telemetry telemetry_top_k max_kv layers moe_fallback seed sample ";
    goss_srv_request *r = p->r;
    int messages = goss_srv_field(p, 0, "messages"), tools = goss_srv_field(p, 0, "tools"), none, n_tools;
    const char *tools_text, *effort = NULL;
    goss_srv_note_unknown(p, 0, "/v1/messages", known);
    if (goss_json_kind(p->j, messages) != GOSS_JSON_ARRAY || !p->j->nodes[messages].n)
        return goss_srv_bad(p, messages, "messages", "must be an array with at least one message");
    if (goss_srv_read_flat_tools(p, tools, "input_schema", &tools_text, &n_tools) ||
        read_choice(p, tools, n_tools, &none) || read_thinking(p, &effort) ||
        goss_srv_read_effort(p, goss_srv_field(p, 0, "output_config"), "effort", &effort) ||
        goss_srv_get_bool(p, 0, "stream", &r->stream) || goss_srv_get_sampling(p, 0) || goss_srv_get_extras(p, 0) ||
        goss_srv_get_stops(p, 0, "stop_sequences") ||
        goss_srv_get_int(p, 0, "max_tokens", 1, 1 << 30, &r->params.max_tokens))
        return -1;
    if (r->api == GOSS_SRV_MESSAGES && goss_srv_field(p, 0, "max_tokens") < 0)
        return goss_srv_bad(p, -1, "max_tokens", "is missing");
    goss_srv_chat_begin(p);
    if (write_system(p)) return -1;
    for (int m = goss_json_first(p->j, messages); m >= 0; m = goss_json_next(p->j, m))
        if (write_message(p, m)) return -1;
    return goss_srv_chat_end(p, none ? NULL : tools_text, NULL, effort);
}
