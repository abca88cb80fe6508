/* req_responses.c - reads /v1/responses. Input items become messages one by one; reasoning waits for the
 * assistant's item that follows it. */
#include "parse.h"
#include "../../src/base/mem.h"
#include <string.h>

typedef struct input { goss_srv_parse *p; goss_buf reasoning; } input;

static void take_reasoning(input *in) {
    if (in->reasoning.len)
        goss_srv_chat_text(in->p, "reasoning_content", (const char *)in->reasoning.data, in->reasoning.len);
    goss_buf_clear(&in->reasoning);
}

static int message_item(input *in, int item) {
    static const char *const roles[] = { "system", "developer", "user", "assistant" };
    goss_srv_parse *p = in->p;
    goss_buf text = GOSS_BUF(SIZE_MAX / 2);
    const char *role = NULL;
    int r = 0, content = goss_srv_field(p, item, "content");
    if (goss_srv_get_text(p, item, "role", &role)) return -1;
    for (; r < 4 && (!role || strcmp(role, roles[r])); r++) {}
    if (r == 4) return goss_srv_bad(p, item, "input.role", "must be system, developer, user or assistant");
    if (content < 0) return goss_srv_bad(p, item, "input.content", "is missing");
    if (goss_srv_chat_message(p, item, roles[r])) return -1;
    int failed = goss_srv_content(p, content, "input.content", " input_text output_text text refusal ", &text);
    goss_srv_chat_text(p, "content", (const char *)text.data, text.len);
    goss_buf_free(&text);
    if (r == 3) take_reasoning(in);
    goss_buf_str(&p->r->chat, "}");
    return failed;
}

static int call_item(input *in, int item) {
    goss_srv_parse *p = in->p;
    const char *name = NULL, *id = NULL, *args = "{}";
    if (goss_srv_get_text(p, item, "name", &name) || goss_srv_get_text(p, item, "call_id", &id) ||
        goss_srv_get_text(p, item, "arguments", &args))
        return -1;
    if (!name || !id) return goss_srv_bad(p, item, "input", "has a function_call without name or call_id");
    if (goss_srv_chat_message(p, item, "assistant")) return -1;
    if (!in->reasoning.len) goss_srv_chat_recall(p, id);
    take_reasoning(in);
    goss_buf_str(&p->r->chat, ",\"tool_calls\":[");
    goss_srv_chat_call(p, id, name, args, strlen(args));
    goss_buf_str(&p->r->chat, "]}");
    return 0;
}

static int result_item(input *in, int item) {
    goss_srv_parse *p = in->p;
    goss_buf text = GOSS_BUF(SIZE_MAX / 2);
    const char *id = NULL;
    int output = goss_srv_field(p, item, "output");
    if (goss_srv_get_text(p, item, "call_id", &id)) return -1;
    if (!id || output < 0)
        return goss_srv_bad(p, item, "input", "has a function_call_output without call_id or output");
    if (goss_srv_chat_message(p, item, "tool")) return -1;
    int failed = goss_srv_content(p, output, "input.output", " input_text output_text text ", &text);
    goss_srv_chat_text(p, "content", (const char *)text.data, text.len);
    goss_buf_free(&text);
    goss_srv_chat_text(p, "tool_call_id", id, strlen(id));
    goss_buf_str(&p->r->chat, "}");
    return failed;
}

static int reasoning_item(input *in, int item) {
    goss_srv_parse *p = in->p;
    int content = goss_srv_field(p, item, "content");
    if (content < 0 || !p->j->nodes[content].n) content = goss_srv_field(p, item, "summary");
    return goss_srv_content(p, content, "input.content", " reasoning_text summary_text text ", &in->reasoning);
}

static int read_item(input *in, int item) {
    goss_srv_parse *p = in->p;
    int type = goss_json_get(p->j, item, "type");
    if (goss_json_kind(p->j, item) != GOSS_JSON_OBJECT)
        return goss_srv_bad(p, item, "input", "must be a string or an array of items");
    if (type < 0 || goss_json_is(p->j, type, "message")) return message_item(in, item);
    if (goss_json_is(p->j, type, "function_call")) return call_item(in, item);
    if (goss_json_is(p->j, type, "function_call_output")) return result_item(in, item);
    if (goss_json_is(p->j, type, "reasoning")) return reasoning_item(in, item);
    return goss_srv_bad(p, item, "input",
                        "has an item of a type that is not supported: message, reasoning, function_call and "
                        "function_call_output are");
}

static int read_input(goss_srv_parse *p) {
    input in = { .p = p, .reasoning = GOSS_BUF(SIZE_MAX / 2) };
    int node = goss_srv_field(p, 0, "input"), kind = goss_json_kind(p->j, node), failed = 0;
    if (kind == GOSS_JSON_STRING) {
        const char *text;
        size_t n;
        if (goss_srv_text_of(p, node, "input", &text, &n) || goss_srv_chat_message(p, node, "user")) return -1;
        goss_srv_chat_text(p, "content", text, n);
        goss_buf_str(&p->r->chat, "}");
        return 0;
    }
    if (kind != GOSS_JSON_ARRAY || !p->j->nodes[node].n)
        return goss_srv_bad(p, node, "input", "must be a string or an array of items");
    for (int item = goss_json_first(p->j, node); item >= 0 && !failed; item = goss_json_next(p->j, item))
        failed = read_item(&in, item);
    goss_buf_free(&in.reasoning);
    return failed;
}

/* The conversation that previous_response_id names, as messages. */
static int read_previous(goss_srv_parse *p) {
    goss_buf before = GOSS_BUF(SIZE_MAX / 2);
    int node = goss_srv_field(p, 0, "previous_response_id");
    if (goss_srv_get_text(p, 0, "previous_response_id", &p->r->previous)) return -1;
    if (!p->r->previous || !*p->r->previous) return 0;
    int found = p->previous && p->previous->find(p->previous->ctx, p->r->previous, &before);
    if (found && p->n_messages++) goss_buf_str(&p->r->chat, ",");
    if (found) goss_buf_append(&p->r->chat, before.data, before.len);
    goss_buf_free(&before);
    if (!found)
        goss_srv_refuse(p->fail, 404, "previous_response_not_found", "previous_response_id",
                        p->j->nodes[node].start,
                        "no response of this id is stored (it may have made room for newer ones: see --store)");
    return found ? 0 : -1;
}

int goss_srv_read_flat_tools(goss_srv_parse *p, int tools, const char *schema, const char **text, int *n) {
    goss_buf b = GOSS_BUF(SIZE_MAX / 2);
    *text = NULL;
    *n = 0;
    if (tools < 0) return 0;
    if (goss_json_kind(p->j, tools) != GOSS_JSON_ARRAY) return goss_srv_bad(p, tools, "tools", "must be an array");
    if (p->j->nodes[tools].n > (uint32_t)p->c->max_tools)
        return goss_srv_bad(p, tools, "tools", "are more than --max-tools allows");
    int failed = 0;
    for (int t = goss_json_first(p->j, tools); t >= 0 && !failed; t = goss_json_next(p->j, t)) {
        int type = goss_json_get(p->j, t, "type"), name = goss_json_get(p->j, t, "name"),
            about = goss_srv_field(p, t, "description");
        int parameters = goss_srv_field(p, t, schema), strict = goss_srv_field(p, t, "strict");
        if (type >= 0 && !goss_json_is(p->j, type, "function") && !goss_json_is(p->j, type, "custom"))
            failed = goss_srv_bad(p, t, "tools", "must be functions: this server runs none itself");
        else if (goss_json_kind(p->j, name) != GOSS_JSON_STRING ||
                 p->j->nodes[name].end == p->j->nodes[name].start ||
                 p->j->nodes[name].end - p->j->nodes[name].start > 64)
            failed = goss_srv_bad(p, t, "tools.name", "must have 1 to 64 characters");
        else if (parameters >= 0 && goss_json_kind(p->j, parameters) != GOSS_JSON_OBJECT)
            failed = goss_srv_bad(p, parameters, "tools", "must have a JSON schema (an object)");
        else if (parameters >= 0 && p->j->nodes[parameters].end - p->j->nodes[parameters].start > p->c->max_schema)
            failed = goss_srv_bad(p, parameters, "tools", "have a schema larger than --max-schema allows");
        if (failed) break;
        goss_buf_printf(&b, "%s{\"type\":\"function\",\"function\":{\"name\":", (*n)++ ? "," : "[");
        goss_json_write(p->j, name, &b);
        if (about >= 0) { goss_buf_str(&b, ",\"description\":"); goss_json_write(p->j, about, &b); }
        if (parameters >= 0) { goss_buf_str(&b, ",\"parameters\":"); goss_json_write(p->j, parameters, &b); }
        if (goss_json_bool(p->j, strict, 0)) goss_buf_str(&b, ",\"strict\":true");
        goss_buf_str(&b, "}}");
    }
    if (*n) goss_buf_str(&b, "]");
    if (!failed && *n && !(*text = goss_srv_keep_text(p->r, b.data, b.len)))
        failed = goss_srv_bad(p, tools, "tools", "do not fit in memory");
    goss_buf_free(&b);
    return failed;
}

static int read_choice(goss_srv_parse *p, int tools, int n_tools, int *none) {
    int node = goss_srv_field(p, 0, "tool_choice");
    const char *name = NULL;
    *none = goss_json_is(p->j, node, "none");
    if (node < 0 || *none || goss_json_is(p->j, node, "auto")) return 0;
    if (goss_json_is(p->j, node, "required")) return goss_srv_set_choice(p, node, "required", NULL, n_tools);
    if (goss_json_kind(p->j, node) != GOSS_JSON_OBJECT ||
        !goss_json_is(p->j, goss_json_get(p->j, node, "type"), "function"))
        return goss_srv_bad(p, node, "tool_choice",
                            "must be none, auto, required or {\"type\":\"function\",\"name\":...}");
    if (goss_srv_get_text(p, node, "name", &name)) return -1;
    for (int t = goss_json_first(p->j, tools); t >= 0 && name; t = goss_json_next(p->j, t))
        if (goss_json_is(p->j, goss_json_get(p->j, t, "name"), name))
            return goss_srv_set_choice(p, node, "named", name, n_tools);
    return goss_srv_bad(p, node, "tool_choice", "names a function that is not among the tools");
}

/* text.format in the shape that the renderer knows from chat requests. */
static int read_format(goss_srv_parse *p, const char **text) {
    int whole = goss_srv_field(p, 0, "text"), f = goss_srv_field(p, whole, "format"),
        type = goss_json_get(p->j, f, "type");
    goss_buf b = GOSS_BUF(SIZE_MAX / 2);
    *text = NULL;
    if (whole >= 0 && goss_srv_json_of(p, whole, &p->r->format_echo)) return -1;
    if (f < 0 || goss_json_is(p->j, type, "text")) return 0;
    if (goss_json_is(p->j, type, "json_object"))
        return p->r->params.json_schema = "{}", *text = "{\"type\":\"json_object\"}", 0;
    if (!goss_json_is(p->j, type, "json_schema"))
        return goss_srv_bad(p, f, "text.format", "must be of type text, json_object or json_schema");
    if (goss_srv_set_schema(p, goss_json_get(p->j, f, "schema"), "text.format.schema")) return -1;
    goss_buf_str(&b, "{\"type\":\"json_schema\",\"json_schema\":");
    goss_json_write(p->j, f, &b);
    goss_buf_str(&b, "}");
    *text = goss_srv_keep_text(p->r, b.data, b.len);
    goss_buf_free(&b);
    return *text ? 0 : goss_srv_bad(p, f, "text.format", "does not fit in memory");
}

static int read_logprobs(goss_srv_parse *p) {
    int include = goss_srv_field(p, 0, "include"), top = -1;
    if (goss_srv_get_int(p, 0, "top_logprobs", 0, 20, &top)) return -1;
    for (int i = goss_json_first(p->j, include); i >= 0; i = goss_json_next(p->j, i))
        if (goss_json_is(p->j, i, "message.output_text.logprobs")) p->r->logprobs = top > 0 ? top : 0;
    return 0;
}

static int refuse_state(goss_srv_parse *p) {
    static const char *const keys[] = { "background", "conversation", "prompt" };
    for (int i = 0; i < 3; i++) {
        int node = goss_srv_field(p, 0, keys[i]);
        if (node >= 0 && goss_json_kind(p->j, node) != GOSS_JSON_FALSE)
            return goss_srv_bad(p, node, keys[i],
                                "is not supported: send input, with previous_response_id for earlier turns");
    }
    return 0;
}

int goss_srv_read_responses(goss_srv_parse *p) {
    static const char known[] = " input model instructions tools tool_choice parallel_tool_calls reasoning text "
                                "stream stream_options temperature top_p top_k min_p "
                                "max_output_tokens previous_response_id store metadata include top_logprobs "
                                "truncation user background conversation prompt seed "
                                "presence_penalty frequency_penalty repetition_penalty logit_bias stop telemetry "
                                "telemetry_top_k max_kv layers moe_fallback sample ";
    goss_srv_request *r = p->r;
    int tools = goss_srv_field(p, 0, "tools"), reasoning = goss_srv_field(p, 0, "reasoning"),
        choice = goss_srv_field(p, 0, "tool_choice");
    int metadata = goss_srv_field(p, 0, "metadata"), none, n_tools, parallel = 0;
    const char *tools_text, *format, *effort = NULL;
    goss_srv_note_unknown(p, 0, "/v1/responses", known);
    if (refuse_state(p) || goss_srv_read_flat_tools(p, tools, "parameters", &tools_text, &n_tools) ||
        read_choice(p, tools, n_tools, &none) || read_format(p, &format) ||
        goss_srv_read_effort(p, reasoning, "effort", &effort) || goss_srv_get_bool(p, 0, "stream", &r->stream) ||
        goss_srv_get_bool(p, 0, "store", &r->store) || goss_srv_get_sampling(p, 0) || goss_srv_get_extras(p, 0) ||
        goss_srv_get_stops(p, 0, "stop") ||
        goss_srv_get_int(p, 0, "max_output_tokens", 1, 1 << 30, &r->params.max_tokens) || read_logprobs(p) ||
        goss_srv_get_text(p, 0, "instructions", &r->instructions) ||
        goss_srv_get_bool(p, 0, "parallel_tool_calls", &parallel) ||
        (tools >= 0 && goss_srv_json_of(p, tools, &r->tools_echo)) ||
        (choice >= 0 && goss_srv_json_of(p, choice, &r->choice_echo)) ||
        (metadata >= 0 && goss_srv_json_of(p, metadata, &r->metadata_echo)))
        return -1;
    if (parallel)
        return goss_srv_bad(p, goss_json_get(p->j, 0, "parallel_tool_calls"), "parallel_tool_calls",
                            "is not possible: this model makes one call a turn; send false or leave it out");
    r->effort_echo = effort ? effort : p->c->effort;
    goss_srv_chat_begin(p);
    if (r->instructions && *r->instructions) {
        if (goss_srv_chat_message(p, 0, "developer")) return -1;
        goss_srv_chat_text(p, "content", r->instructions, strlen(r->instructions));
        goss_buf_str(&r->chat, "}");
    }
    size_t mark = r->chat.len + (p->n_messages > 0);
    if (read_previous(p) || read_input(p)) return -1;
    goss_buf_append(&r->turn, r->chat.data + mark, r->chat.len - mark);
    return goss_srv_chat_end(p, none ? NULL : tools_text, format, effort);
}
