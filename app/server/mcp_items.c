/* mcp_items.c - see mcp_items.h. */
#include "mcp_items.h"
#include "format/json.h"
#include "mcp/mcp.h"
#include <string.h>

static void member(goss_buf *b, const char *before, const char *s)
{
    goss_buf_str(b, before);
    goss_buf_json_string(b, s, strlen(s));
}

void goss_srv_mcp_wrap(goss_buf *text, const char *argument)
{
    goss_buf json = GOSS_BUF(text->max);
    if (!argument) {
        if (!text->len) goss_buf_str(text, "{}");
        return;
    }
    goss_buf_str(&json, "{");
    goss_buf_json_string(&json, argument, strlen(argument));
    goss_buf_str(&json, ":");
    goss_buf_json_string(&json, (const char *)text->data, text->len);
    goss_buf_str(&json, "}");
    goss_buf_free(text);
    *text = json;
}

goss_str goss_srv_mcp_plain(goss_owned **owned, goss_str arguments, const char *argument)
{
    goss_json j;
    goss_buf text = GOSS_BUF(SIZE_MAX / 2);
    if (!argument || goss_json_parse(&j, arguments.s, (size_t)arguments.n, NULL, NULL)) return arguments;
    const int found = !goss_json_string(&j, goss_json_get(&j, 0, argument), &text);
    goss_json_free(&j);
    const char *kept =
        found ? goss_owned_text(owned, text.len ? text.data : (const uint8_t *)"", text.len) : NULL;
    const goss_str plain = { kept, kept ? text.len : 0 };
    goss_buf_free(&text);
    return found ? plain : arguments;
}

void goss_srv_mcp_write_tool(goss_buf *b, const goss_srv_offer *o)
{
    member(b, "\"name\":", o->name);
    member(b, ",\"description\":", o->description);
    goss_buf_printf(b,
                    ",\"annotations\":{\"readOnlyHint\":%s},\"input_schema\":", o->reads ? "true" : "false");
    goss_buf_str(b, o->schema);
}

void goss_srv_mcp_write_list(goss_buf *b, const char *id, const char *label, const goss_srv_offer *list,
                             int n)
{
    member(b, "{\"type\":\"mcp_list_tools\",\"id\":", id);
    member(b, ",\"server_label\":", label);
    goss_buf_str(b, ",\"error\":null,\"tools\":[");
    for (int i = 0; i < n; i++) {
        goss_buf_str(b, i ? ",{" : "{");
        goss_srv_mcp_write_tool(b, &list[i]);
        goss_buf_str(b, "}");
    }
    goss_buf_str(b, "]}");
}

static void write_named(goss_buf *b, const char *type, const goss_srv_mcp_call *c)
{
    goss_buf_printf(b, "{\"type\":\"%s\"", type);
    member(b, ",\"id\":", c->id);
    member(b, ",\"server_label\":", c->label);
    member(b, ",\"name\":", c->name);
    goss_buf_str(b, ",\"arguments\":");
    goss_buf_json_string(b, c->arguments.s, (size_t)c->arguments.n);
}

void goss_srv_mcp_write_request(goss_buf *b, const goss_srv_mcp_call *c)
{
    write_named(b, "mcp_approval_request", c);
    goss_buf_str(b, "}");
}

void goss_srv_mcp_write_call(goss_buf *b, const goss_srv_mcp_call *c)
{
    const char *status = c->failed == GOSS_MCP_WELL       ? "completed"
                         : c->failed == GOSS_SRV_MCP_RUNS ? "in_progress"
                         : c->failed == GOSS_SRV_MCP_CUT  ? "incomplete"
                                                          : "failed";
    write_named(b, "mcp_call", c);
    goss_buf_printf(b, ",\"status\":\"%s\",\"approval_request_id\":", status);
    if (c->approval) goss_buf_json_string(b, c->approval, strlen(c->approval));
    else goss_buf_str(b, "null");
    goss_buf_str(b, ",\"output\":");
    if (c->failed == GOSS_MCP_WELL) goss_buf_json_string(b, c->output.s, (size_t)c->output.n);
    else goss_buf_str(b, "null");
    goss_buf_str(b, ",\"error\":");
    if (c->failed == GOSS_MCP_TOOL_FAILED)
        goss_buf_str(b, "{\"type\":\"mcp_tool_execution_error\",\"content\":[{\"type\":\"text\",\"text\":");
    else if (c->failed == GOSS_MCP_CALL_FAILED)
        goss_buf_str(b, "{\"type\":\"mcp_protocol_error\",\"code\":-32603,\"message\":");
    else {
        goss_buf_str(b, "null}");
        return;
    }
    goss_buf_json_string(b, c->output.s, (size_t)c->output.n);
    goss_buf_str(b, c->failed == GOSS_MCP_TOOL_FAILED ? "}]}}" : "}}");
}
