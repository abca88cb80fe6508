/* req_anthropic.c - reads /v1/messages and /v1/messages/count_tokens. */
#include "tools.h"
#include <string.h>

static int is_block(const goss_srv_parse *p, int block, const char *type)
{
    return goss_json_is(p->j, goss_json_get(p->j, block, "type"), type);
}

/* Every tool_result of a user's message, each as a message of its own. */
static int read_results(goss_srv_parse *p, int content)
{
    for (int b = goss_json_first(p->j, content); b >= 0; b = goss_json_next(p->j, b)) {
        goss_message m = { .role = GOSS_ROLE_TOOL };
        goss_str text = { 0 };
        const char *id = NULL;
        if (!is_block(p, b, "tool_result")) continue;
        if (goss_srv_get_text(p, b, "tool_use_id", &id)) return -1;
        if (!id) return goss_srv_bad(p, b, "messages.content", "has a tool_result without tool_use_id");
        m.call_id = goss_srv_str(id);
        if (goss_srv_content(p, goss_srv_field(p, b, "content"), "messages.content", &text) ||
            goss_srv_chat_content(p, &m, text) || goss_srv_chat_add(p, b, &m))
            return -1;
    }
    return 0;
}

/* The user's own words, if there are any; images and documents as sentences that name them. */
static int read_user(goss_srv_parse *p, int m, int content)
{
    goss_srv_joined joined = { 0 };
    goss_str text;
    int failed = 0, n = 0;
    for (int b = goss_json_first(p->j, content); b >= 0 && !failed; b = goss_json_next(p->j, b)) {
        if (is_block(p, b, "tool_result")) continue;
        if (n++) goss_srv_join(&joined, goss_srv_str("\n\n"));
        failed = goss_srv_content_part(p, b, "messages.content", &joined);
    }
    if (goss_srv_joined_end(p, &joined, &text) || failed) return -1;
    return n ? goss_srv_chat_add_text(p, m, GOSS_ROLE_USER, text) : 0;
}

static int read_use(goss_srv_parse *p, int b, goss_message *m, goss_tool_call *call)
{
    const char *id = NULL, *name = NULL, *args = "{}";
    const int in = goss_srv_field(p, b, "input"), first = m->n_calls == 1;
    if (goss_srv_get_text(p, b, "id", &id) || goss_srv_get_text(p, b, "name", &name) ||
        (in >= 0 && goss_srv_json_of(p, in, &args)))
        return -1;
    if (!id || !name) return goss_srv_bad(p, b, "messages.content", "has a tool_use without id or name");
    *call = (goss_tool_call){ goss_srv_str(id), goss_srv_str(goss_srv_tools_shown(p->r, name, NULL)),
                              goss_srv_str(args) };
    return first && !m->reasoning.n ? goss_srv_chat_recall(p, m) : 0;
}

/* The texts of all blocks of a type, joined. */
static int joined_blocks(goss_srv_parse *p, int content, const char *type, const char *key, goss_str *out)
{
    goss_srv_joined text = { 0 };
    goss_str s;
    int rc = 0;
    for (int b = goss_json_first(p->j, content); b >= 0 && rc != GOSS_ENOMEM; b = goss_json_next(p->j, b))
        if (is_block(p, b, type) &&
            !(rc = goss_json_str(p->j, goss_json_get(p->j, b, key), &p->r->owned, &s)))
            goss_srv_join(&text, s);
    if (goss_srv_joined_end(p, &text, out)) return -1;
    return rc == GOSS_ENOMEM ? goss_srv_no_memory(p) : 0;
}

/* What other servers' own tools were asked and answered is none of this model's. */
static int read_assistant(goss_srv_parse *p, int node, int content)
{
    goss_message m = { .role = GOSS_ROLE_ASSISTANT };
    goss_str text;
    goss_tool_call *calls = goss_owned_array(&p->r->owned, p->j->nodes[content].n, sizeof *calls);
    if (!calls) return goss_srv_no_memory(p);
    if (joined_blocks(p, content, "text", "text", &text) ||
        joined_blocks(p, content, "thinking", "thinking", &m.reasoning) || goss_srv_chat_content(p, &m, text))
        return -1;
    m.calls = calls;
    for (int b = goss_json_first(p->j, content); b >= 0; b = goss_json_next(p->j, b))
        if (is_block(p, b, "tool_use") && read_use(p, b, &m, &calls[m.n_calls++])) return -1;
    return goss_srv_chat_add(p, node, &m);
}

/* Instructions: those of the request, or some that come between messages. */
static int read_system(goss_srv_parse *p, int node)
{
    goss_str text = { 0 };
    if (goss_srv_content(p, node, "system", &text)) return -1;
    return text.n ? goss_srv_chat_add_text(p, node, GOSS_ROLE_DEVELOPER, text) : 0;
}

static int read_message(goss_srv_parse *p, int m)
{
    const int role = goss_json_get(p->j, m, "role"), content = goss_srv_field(p, m, "content"),
              user = goss_json_is(p->j, role, "user"),
              system = goss_json_is(p->j, role, "system") || goss_json_is(p->j, role, "developer");
    goss_str text;
    if (goss_json_kind(p->j, m) != GOSS_JSON_OBJECT) return goss_srv_bad(p, m, "messages", "must be objects");
    if (system) return read_system(p, content);
    if (!user && !goss_json_is(p->j, role, "assistant"))
        return goss_srv_bad(p, m, "messages.role", "must be user, assistant or system");
    if (goss_json_kind(p->j, content) == GOSS_JSON_STRING)
        return goss_srv_content(p, content, "messages.content", &text) ||
               goss_srv_chat_add_text(p, m, user ? GOSS_ROLE_USER : GOSS_ROLE_ASSISTANT, text);
    if (goss_json_kind(p->j, content) != GOSS_JSON_ARRAY)
        return goss_srv_bad(p, m, "messages.content", "must be a string or an array of blocks");
    return user ? read_results(p, content) || read_user(p, m, content) : read_assistant(p, m, content);
}

/* thinking.budget_tokens bounds the analysis, and stands for an effort: under 2,048 low, from 16,384 high.
 * disabled: there is none. Where nothing is said it is made but not shown. */
static int read_thinking(goss_srv_parse *p, const char **effort)
{
    int node = goss_srv_field(p, 0, "thinking"), type = goss_json_get(p->j, node, "type"), budget = 8192;
    p->r->show_reasoning = goss_json_is(p->j, type, "enabled") || goss_json_is(p->j, type, "adaptive");
    if (!p->r->show_reasoning) {
        if (node < 0) return 0;
        if (!goss_json_is(p->j, type, "disabled"))
            return goss_srv_bad(p, node, "thinking", "must be enabled, adaptive or disabled");
        p->r->params.reasoning_budget = 0;
        return 0;
    }
    if (goss_srv_get_int(p, node, "budget_tokens", 1, 1 << 30, &budget)) return -1;
    if (goss_srv_field(p, node, "budget_tokens") >= 0) p->r->params.reasoning_budget = budget;
    *effort = budget < 2048 ? "low" : budget < 16384 ? "medium" : "high";
    return 0;
}

static int read_format(goss_srv_parse *p)
{
    const int f = goss_srv_field(p, goss_srv_field(p, 0, "output_config"), "format");
    if (f < 0) return 0;
    if (!goss_json_is(p->j, goss_srv_field(p, f, "type"), "json_schema"))
        return goss_srv_bad(p, f, "output_config.format", "must be of type json_schema");
    return goss_srv_set_format(p, f, "output_config.format.schema");
}

/* Conversations that the server would hold between turns. Refused with the code that tells the client's
 * library to send all of it, every time. */
static int refuse_thread(goss_srv_parse *p)
{
    const int node = goss_srv_field(p, 0, "thread");
    return node < 0 ? 0
                    : goss_srv_refuse(p->fail, 400, GOSS_SRV_NO_THREADS, "thread", p->j->nodes[node].start,
                                      "thread is not supported: send the whole conversation in messages");
}

int goss_srv_read_messages(goss_srv_parse *p)
{
    static const char known[] =
        " messages model system tools tool_choice thinking max_tokens stop_sequences stream temperature "
        "top_p "
        "top_k metadata "
        "service_tier output_config thread " GOSS_SRV_EXTRAS "seed sample "
        "reasoning_budget_tokens reasoning_budget thinking_token_budget ";
    goss_srv_request *r = p->r;
    int messages = goss_srv_field(p, 0, "messages"), tools = goss_srv_field(p, 0, "tools");
    const int choice = goss_srv_field(p, 0, "tool_choice");
    const char *effort = NULL;
    goss_srv_note_unknown(p, 0, "/v1/messages", known);
    if (goss_json_kind(p->j, messages) != GOSS_JSON_ARRAY || !p->j->nodes[messages].n)
        return goss_srv_bad(p, messages, "messages", "must be an array with at least one message");
    if (refuse_thread(p) || goss_srv_tools_read(p, tools, "input_schema") ||
        goss_srv_tools_choose(p, choice) || goss_srv_tools_use(p) ||
        goss_srv_get_bool(p, choice, "disable_parallel_tool_use", &r->params.one_call) || read_format(p) ||
        read_thinking(p, &effort) ||
        goss_srv_read_effort(p, goss_srv_field(p, 0, "output_config"), "effort", &effort) ||
        goss_srv_get_bool(p, 0, "stream", &r->stream) || goss_srv_get_sampling(p, 0) ||
        goss_srv_get_extras(p, 0) || goss_srv_get_stops(p, 0, "stop_sequences") ||
        goss_srv_get_int(p, 0, "max_tokens", 1, 1 << 30, &r->params.max_tokens))
        return -1;
    if (r->api == GOSS_SRV_MESSAGES && goss_srv_field(p, 0, "max_tokens") < 0)
        return goss_srv_bad(p, -1, "max_tokens", "is missing");
    goss_srv_chat_begin(p, effort);
    if (read_system(p, goss_srv_field(p, 0, "system"))) return -1;
    for (int m = goss_json_first(p->j, messages); m >= 0; m = goss_json_next(p->j, m))
        if (read_message(p, m)) return -1;
    return 0;
}
