/* req_responses.c - reads /v1/responses and /v1/responses/compact. Input items become messages one by one,
 * those of a conversation before them; reasoning waits for the assistant's item that follows it. */
#include "tools.h"
#include "base/fmt.h"
#include "compaction.h"
#include "input_items.h"
#include "log.h"
#include "mcp_read.h"
#include "store.h"
#include <string.h>

typedef struct input { goss_srv_parse *p; goss_srv_joined reasoning; } input;

/* What was thought before the assistant's item, if anything. */
static int take_reasoning(input *in, goss_message *m)
{
    return goss_srv_joined_length(&in->reasoning) ? goss_srv_joined_end(in->p, &in->reasoning, &m->reasoning)
                                                  : 0;
}

static int message_item(input *in, int item)
{
    static const struct { const char *word; int role; } roles[] = {
        { "system", GOSS_ROLE_DEVELOPER }, { "developer", GOSS_ROLE_DEVELOPER },
        { "user", GOSS_ROLE_USER },        { "assistant", GOSS_ROLE_ASSISTANT },
    };
    goss_srv_parse *p = in->p;
    goss_message m = { 0 };
    goss_str text = { 0 };
    const char *role = NULL;
    const int content = goss_srv_field(p, item, "content");
    if (goss_srv_get_text(p, item, "role", &role)) return -1;
    for (int i = 0; role && i < 4 && !m.role; i++)
        if (!strcmp(role, roles[i].word)) m.role = roles[i].role;
    if (!m.role) return goss_srv_bad(p, item, "input.role", "must be system, developer, user or assistant");
    if (content < 0) return goss_srv_bad(p, item, "input.content", "is missing");
    if (goss_srv_content(p, content, "input.content", &text) || goss_srv_chat_content(p, &m, text)) return -1;
    if (m.role == GOSS_ROLE_ASSISTANT && take_reasoning(in, &m)) return -1;
    return goss_srv_chat_add(p, item, &m);
}

/* A call that the assistant made: of a function, of a custom tool (its input is a text) or of the client's
 * shell. */
static int call_item(input *in, int item)
{
    goss_srv_parse *p = in->p;
    const int type = goss_json_get(p->j, item, "type"), custom = goss_json_is(p->j, type, "custom_tool_call"),
              shell = goss_json_is(p->j, type, "local_shell_call"),
              action = goss_srv_field(p, item, "action");
    const char *name = shell ? "local_shell" : NULL, *space = NULL, *id = NULL, *json = NULL;
    goss_str args = goss_srv_str(custom ? "" : "{}");
    if (goss_srv_get_text(p, item, "name", &name) || goss_srv_get_text(p, item, "namespace", &space) ||
        goss_srv_get_text(p, item, "call_id", &id) || (!id && goss_srv_get_text(p, item, "id", &id)) ||
        goss_srv_get_str(p, item, custom ? "input" : "arguments", &args) ||
        (shell && action >= 0 && goss_srv_json_of(p, action, &json)))
        return -1;
    if (!name || !id) return goss_srv_bad(p, item, "input", "has a function_call without name or call_id");
    if (json) args = goss_srv_str(json);
    if (custom) args = goss_srv_tools_wrap(&p->r->owned, args);
    goss_tool_call *call = goss_srv_keep(p->r, sizeof *call);
    goss_message m = { .role = GOSS_ROLE_ASSISTANT, .calls = call, .n_calls = 1 };
    if (!call || !args.s) return goss_srv_no_memory(p);
    *call = (goss_tool_call){ goss_srv_str(id), goss_srv_str(goss_srv_tools_shown(p->r, name, space)), args };
    if (!goss_srv_joined_length(&in->reasoning) && goss_srv_chat_recall(p, &m)) return -1;
    return take_reasoning(in, &m) || goss_srv_chat_add(p, item, &m);
}

static int result_item(input *in, int item)
{
    goss_srv_parse *p = in->p;
    goss_message m = { .role = GOSS_ROLE_TOOL };
    goss_str text = { 0 };
    const char *id = NULL, *json = NULL;
    const int output = goss_srv_field(p, item, "output");
    if (goss_srv_get_text(p, item, "call_id", &id) || (!id && goss_srv_get_text(p, item, "id", &id)))
        return -1;
    if (!id || output < 0)
        return goss_srv_bad(p, item, "input", "has a function_call_output without call_id or output");
    const int failed = goss_json_kind(p->j, output) == GOSS_JSON_OBJECT
                           ? goss_srv_json_of(p, output, &json)
                           : goss_srv_content(p, output, "input.output", &text);
    m.call_id = goss_srv_str(id);
    return failed || goss_srv_chat_content(p, &m, json ? goss_srv_str(json) : text) ||
           goss_srv_chat_add(p, item, &m);
}

/* An item of an earlier answer by its id, where the store still has it. */
static int referred_item(input *in, int item)
{
    goss_srv_parse *p = in->p;
    goss_message m;
    const char *id = NULL;
    if (goss_srv_get_text(p, item, "id", &id)) return -1;
    const int found = id ? goss_srv_store_item(id, &p->r->owned, &m) : 0;
    if (found < 0) return goss_srv_no_memory(p);
    if (!found)
        return goss_srv_refuse(p->fail, 404, "item_not_found", "input", p->j->nodes[item].start,
                               "no item of the id \"%.60s\" is stored (it may have made room for newer "
                               "ones: see --store)",
                               id ? id : "");
    if (!m.n_parts && !m.n_calls) return goss_srv_join(&in->reasoning, m.reasoning), 0;
    if (m.n_calls && m.name.s) return 0; /* a request for approval: its response tells of the call */
    if (m.n_calls && m.n_parts) {
        const goss_message result = {
            .role = GOSS_ROLE_TOOL, .parts = m.parts, .n_parts = m.n_parts, .call_id = m.calls[0].id
        };
        m.parts = NULL;
        m.n_parts = 0;
        return take_reasoning(in, &m) || goss_srv_chat_add(p, item, &m) ||
               goss_srv_chat_add(p, item, &result);
    }
    return take_reasoning(in, &m) || goss_srv_chat_add(p, item, &m);
}

static int reasoning_item(input *in, int item)
{
    goss_srv_parse *p = in->p;
    goss_str text = { 0 };
    int content = goss_srv_field(p, item, "content");
    if (content < 0 || !p->j->nodes[content].n) content = goss_srv_field(p, item, "summary");
    if (goss_srv_content(p, content, "input.content", &text)) return -1;
    goss_srv_join(&in->reasoning, text);
    return 0;
}

/* What earlier answers had of MCP servers. */
static int mcp_call_item(input *in, int item)
{
    goss_message m = { 0 };
    return take_reasoning(in, &m) || goss_srv_mcp_read_call(in->p, item, &m);
}
static int mcp_list_item(input *in, int item) { return goss_srv_mcp_read_list(in->p, item); }
static int mcp_request_item(input *in, int item) { return goss_srv_mcp_read_request(in->p, item); }
static int mcp_response_item(input *in, int item)
{
    goss_message m = { 0 };
    return take_reasoning(in, &m) || goss_srv_mcp_read_response(in->p, item, &m);
}

/* What a compaction holds stands for what it was made of. It is the user's, for it tells what tools and
 * others said. One of another server can't be read: the model is told so. */
static int compaction_item(input *in, int item)
{
    goss_srv_parse *p = in->p;
    goss_str text = { 0 };
    goss_buf all = GOSS_BUF(SIZE_MAX / 2);
    const size_t n = strlen(GOSS_SRV_COMPACTED);
    if (goss_srv_get_str(p, item, "encrypted_content", &text)) return -1;
    if (text.n < n || memcmp(text.s, GOSS_SRV_COMPACTED, n))
        return goss_srv_chat_add_text(p, item, GOSS_ROLE_USER, goss_srv_str(GOSS_SRV_COMPACTED_ELSEWHERE));
    goss_buf_str(&all, GOSS_SRV_COMPACTED_SAYS);
    goss_buf_append(&all, text.s + n, (size_t)text.n - n);
    text = (goss_str){ all.failed ? NULL : goss_srv_keep_text(p->r, all.data, all.len), all.len };
    goss_buf_free(&all);
    return text.s ? goss_srv_chat_add_text(p, item, GOSS_ROLE_USER, text) : goss_srv_no_memory(p);
}

static int trigger_item(input *in, int item)
{
    (void)item;
    in->p->r->compacts = 1;
    return 0;
}

static const struct { const char *type; int (*read)(input *in, int item);
} items[] = {
    { "message", message_item },
    { "function_call", call_item },
    { "custom_tool_call", call_item },
    { "local_shell_call", call_item },
    { "function_call_output", result_item },
    { "custom_tool_call_output", result_item },
    { "local_shell_call_output", result_item },
    { "reasoning", reasoning_item },
    { "item_reference", referred_item },
    { "compaction", compaction_item },
    { "compaction_summary", compaction_item }, /* as Codex once named it */
    { "compaction_trigger", trigger_item },
    { "mcp_list_tools", mcp_list_item },
    { "mcp_call", mcp_call_item },
    { "mcp_approval_request", mcp_request_item },
    { "mcp_approval_response", mcp_response_item },
};

static int read_item(input *in, int item)
{
    goss_srv_parse *p = in->p;
    const int type = goss_srv_field(p, item, "type");
    if (goss_json_kind(p->j, item) != GOSS_JSON_OBJECT)
        return goss_srv_bad(p, item, "input", "must be a string or an array of items");
    if (type < 0)
        return goss_srv_field(p, item, "role") < 0 && goss_srv_field(p, item, "id") >= 0
                   ? referred_item(in, item)
                   : message_item(in, item);
    if (goss_json_kind(p->j, type) != GOSS_JSON_STRING)
        return goss_srv_bad(p, type, "input.type", "must be a string");
    for (size_t i = 0; i < sizeof items / sizeof *items; i++)
        if (goss_json_is(p->j, type, items[i].type)) return items[i].read(in, item);
    goss_srv_log_left_out("/v1/responses", p->j->text + p->j->nodes[type].start,
                          p->j->nodes[type].end - p->j->nodes[type].start);
    return 0;
}

static int read_items(input *in, int node)
{
    const goss_json *j = in->p->j;
    int failed = 0;
    for (int item = goss_json_first(j, node); item >= 0 && !failed; item = goss_json_next(j, item))
        failed = read_item(in, item);
    return failed;
}

/* `text` begins with "input", which is called otherwise here. */
static void rename_input(char *text, size_t cap, const char *field)
{
    static const char before[] = "input";
    char rest[400];
    if (strncmp(text, before, sizeof before - 1)) return;
    goss_fmt(rest, sizeof rest, "%s", text + sizeof before - 1);
    goss_fmt(text, cap, "%s%s", field, rest);
}

int goss_srv_read_items(goss_srv_parse *p, int node, const char *field)
{
    input in = { .p = p };
    if (goss_json_kind(p->j, node) != GOSS_JSON_ARRAY)
        return goss_srv_bad(p, node, field, "must be an array of items");
    const int failed = read_items(&in, node);
    goss_buf_free(&in.reasoning.all);
    if (!failed) return 0;
    rename_input(p->fail->param, sizeof p->fail->param, field);
    rename_input(p->fail->message, sizeof p->fail->message, field);
    return -1;
}

/* What a conversation gets of the input, and what is listed of it then. */
static int keep_input(goss_srv_parse *p, int node)
{
    goss_buf text = GOSS_BUF(SIZE_MAX / 2);
    const int rc = goss_srv_input_items_keep(p->j, node, &text, &p->r->kept);
    p->r->input = (goss_str){ rc ? NULL : goss_srv_keep_text(p->r, text.data, text.len), text.len };
    goss_buf_free(&text);
    return p->r->input.s ? 0 : goss_srv_no_memory(p);
}

static int read_input(input *in)
{
    goss_srv_parse *p = in->p;
    goss_str text;
    const int node = goss_srv_field(p, 0, "input"), kind = goss_json_kind(p->j, node);
    if (kind == GOSS_JSON_STRING) {
        const char *json;
        if (goss_srv_json_of(p, node, &json)) return -1;
        p->r->input = goss_srv_str(json);
        if (goss_srv_content(p, node, "input", &text) ||
            goss_srv_chat_add_text(p, node, GOSS_ROLE_USER, text))
            return -1;
    } else if (kind != GOSS_JSON_ARRAY || !p->j->nodes[node].n) {
        return goss_srv_bad(p, node, "input", "must be a string or an array of items");
    } else {
        p->r->input = goss_json_source(p->j, node);
        if (read_items(in, node)) return -1;
    }
    return p->r->conversation ? keep_input(p, node) : 0;
}

/* The items that a conversation has: JSON of its own, which the request owns. Who is answered in it holds it;
 * who only counts does not. */
static int read_kept(input *in, int node)
{
    goss_srv_parse *p = in->p;
    const goss_json *body = p->j;
    goss_json j = { 0 };
    goss_buf text = GOSS_BUF(SIZE_MAX / 2);
    if (p->r->api == GOSS_SRV_RESPONSES && goss_srv_store_hold(p->r->conversation, p->r) == GOSS_EAGAIN)
        return goss_srv_refuse_locked(p->fail, body->nodes[node].start);
    const int found = goss_srv_store_items(p->r->conversation, &text);
    const char *own = found > 0 ? goss_srv_keep_text(p->r, text.data, text.len) : NULL;
    const size_t n = text.len;
    goss_buf_free(&text);
    if (!found)
        return goss_srv_refuse(
            p->fail, 404, "conversation_not_found", "conversation", body->nodes[node].start,
            "no conversation of this id is stored (it may have made room for newer ones: see --store)");
    if (!own) return goss_srv_no_memory(p);
    int failed = goss_json_parse(&j, own, n, NULL, NULL) ? goss_srv_no_memory(p) : 0;
    p->j = p->read.j = &j;
    if (!failed) failed = read_items(in, 0);
    p->j = p->read.j = body;
    goss_json_free(&j);
    if (failed) p->fail->position = -1;
    return failed;
}

/* The conversation that the answer goes on with: {id}, or its id. */
static int read_conversation(input *in)
{
    goss_srv_parse *p = in->p;
    const int node = goss_srv_field(p, 0, "conversation"),
              id = goss_json_kind(p->j, node) == GOSS_JSON_OBJECT ? goss_srv_field(p, node, "id") : node;
    if (node < 0) return 0;
    if (goss_json_kind(p->j, id) != GOSS_JSON_STRING)
        return goss_srv_bad(p, node, "conversation", "must be an id, or an object with one");
    if (p->r->previous && *p->r->previous)
        return goss_srv_bad(p, node, "conversation", "can't be used with previous_response_id");
    if (goss_srv_text_of(p, id, "conversation", &p->r->conversation, NULL)) return -1;
    return read_kept(in, node);
}

/* The conversation that previous_response_id names. */
static int read_previous(goss_srv_parse *p)
{
    const goss_message *before = NULL;
    int node = goss_srv_field(p, 0, "previous_response_id"), n = 0;
    if (goss_srv_get_text(p, 0, "previous_response_id", &p->r->previous)) return -1;
    if (!p->r->previous || !*p->r->previous) return 0;
    const int found = goss_srv_store_messages(p->r->previous, &p->r->owned, &before, &n);
    if (!found)
        return goss_srv_refuse(
            p->fail, 404, "previous_response_not_found", "previous_response_id", p->j->nodes[node].start,
            "no response of this id is stored (it may have made room for newer ones: see --store)");
    if (found > 0) goss_srv_mcp_read_listed(p, p->r->previous);
    return found < 0 || goss_buf_append(&p->r->messages, before, (size_t)n * sizeof *before)
               ? goss_srv_no_memory(p)
               : 0;
}

static int read_format(goss_srv_parse *p)
{
    int whole = goss_srv_field(p, 0, "text"), f = goss_srv_field(p, whole, "format"),
        type = goss_json_get(p->j, f, "type");
    if (whole >= 0 && goss_srv_json_of(p, whole, &p->r->format_echo)) return -1;
    if (f < 0 || goss_json_is(p->j, type, "text")) return 0;
    if (goss_json_is(p->j, type, "json_schema")) return goss_srv_set_format(p, f, "text.format.schema");
    if (!goss_json_is(p->j, type, "json_object"))
        return goss_srv_bad(p, f, "text.format", "must be of type text, json_object or json_schema");
    goss_srv_set_object(p);
    return 0;
}

static int read_logprobs(goss_srv_parse *p)
{
    int include = goss_srv_field(p, 0, "include"), top = -1;
    if (goss_srv_get_int(p, 0, "top_logprobs", 0, 20, &top)) return -1;
    for (int i = goss_json_first(p->j, include); i >= 0; i = goss_json_next(p->j, i))
        if (goss_json_is(p->j, i, "message.output_text.logprobs")) p->r->logprobs = top > 0 ? top : 0;
    return 0;
}

static int refuse_prompt(goss_srv_parse *p)
{
    const int node = goss_srv_field(p, 0, "prompt");
    return node < 0 ? 0 : goss_srv_bad(p, node, "prompt", "is not supported: send instructions and input");
}

static int read_background(goss_srv_parse *p)
{
    goss_srv_request *r = p->r;
    if (goss_srv_get_bool(p, 0, "background", &r->background)) return -1;
    if (r->background && !r->store)
        return goss_srv_bad(p, goss_srv_field(p, 0, "background"), "background", "needs store");
    return 0;
}

/* All that was said, what came before it first. */
static int read_said(goss_srv_parse *p)
{
    goss_srv_request *r = p->r;
    input in = { .p = p };
    if (r->instructions && *r->instructions &&
        goss_srv_chat_add_text(p, 0, GOSS_ROLE_DEVELOPER, goss_srv_str(r->instructions)))
        return -1;
    r->n_instructions = p->n_messages;
    const int failed = read_previous(p) || read_conversation(&in) || read_input(&in);
    goss_buf_free(&in.reasoning.all);
    if (failed) return -1;
    return r->messages.len ? 0
                           : goss_srv_bad(p, goss_srv_field(p, 0, "input"), "input",
                                          "has no item that can be shown to the model");
}

/* The answer is a summary of what was said: nothing is called, and it has no other form. */
static int ask_summary(goss_srv_parse *p)
{
    p->r->params.tools_json = "[]";
    p->r->params.json_schema = NULL;
    p->r->chat.format = 0;
    p->r->chat.must_call = p->r->params.must_call = 0;
    p->r->n_served = p->r->n_listings = 0;
    p->r->compacts = 1;
    return goss_srv_chat_add_text(p, 0, GOSS_ROLE_USER, goss_srv_str(GOSS_SRV_COMPACT_ASKS));
}

int goss_srv_read_responses(goss_srv_parse *p)
{
    static const char known[] =
        " input model instructions tools tool_choice parallel_tool_calls reasoning text "
        "stream stream_options temperature top_p top_k min_p "
        "max_output_tokens max_tool_calls previous_response_id store metadata include top_logprobs "
        "truncation user background conversation prompt seed prompt_cache_key client_metadata "
        "safety_identifier "
        "presence_penalty frequency_penalty repetition_penalty logit_bias stop " GOSS_SRV_EXTRAS "sample "
        "reasoning_budget_tokens reasoning_budget thinking_token_budget ";
    goss_srv_request *r = p->r;
    int tools = goss_srv_field(p, 0, "tools"), reasoning = goss_srv_field(p, 0, "reasoning"),
        choice = goss_srv_field(p, 0, "tool_choice");
    int metadata = goss_srv_field(p, 0, "metadata");
    const char *effort = NULL;
    goss_srv_note_unknown(p, 0, "/v1/responses", known);
    r->parallel = 1;
    if (refuse_prompt(p) || goss_srv_tools_read(p, tools, "parameters") || goss_srv_tools_choose(p, choice) ||
        goss_srv_tools_use(p) || read_format(p) || goss_srv_read_effort(p, reasoning, "effort", &effort) ||
        goss_srv_get_bool(p, 0, "stream", &r->stream) || goss_srv_get_bool(p, 0, "store", &r->store) ||
        read_background(p) || goss_srv_get_sampling(p, 0) || goss_srv_get_extras(p, 0) ||
        goss_srv_get_stops(p, 0, "stop") ||
        goss_srv_get_int(p, 0, "max_output_tokens", 1, 1 << 30, &r->params.max_tokens) || read_logprobs(p) ||
        goss_srv_get_int(p, 0, "max_tool_calls", 1, 1 << 20, &r->max_calls) ||
        goss_srv_get_text(p, 0, "instructions", &r->instructions) ||
        goss_srv_get_bool(p, 0, "parallel_tool_calls", &r->parallel) ||
        (tools >= 0 && goss_srv_json_of(p, tools, &r->tools_echo)) ||
        (choice >= 0 && goss_srv_json_of(p, choice, &r->choice_echo)) ||
        (metadata >= 0 && goss_srv_json_of(p, metadata, &r->metadata_echo)))
        return -1;
    r->params.one_call = !r->parallel || r->n_served;
    r->summary = goss_srv_field(p, reasoning, "summary") >= 0 &&
                 !goss_json_is(p->j, goss_srv_field(p, reasoning, "summary"), "none");
    r->effort_echo = effort ? effort : p->c->effort;
    goss_srv_chat_begin(p, effort);
    return read_said(p) || (r->compacts && ask_summary(p)) ? -1 : 0;
}

int goss_srv_read_compact(goss_srv_parse *p)
{
    static const char known[] = " model input instructions previous_response_id prompt_cache_key "
                                "service_tier prompt_cache_options prompt_cache_retention ";
    goss_srv_request *r = p->r;
    const int without = goss_srv_field(p, 0, "input") < 0;
    goss_srv_note_unknown(p, 0, "/v1/responses/compact", known);
    if (goss_srv_get_text(p, 0, "instructions", &r->instructions) ||
        goss_srv_get_text(p, 0, "previous_response_id", &r->previous))
        return -1;
    r->effort_echo = p->c->effort;
    goss_srv_chat_begin(p, NULL);
    if (!without || !r->previous || !*r->previous) return read_said(p) || ask_summary(p) ? -1 : 0;
    return read_previous(p) || ask_summary(p) ? -1 : 0;
}
