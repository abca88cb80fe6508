/* said.c - see said.h. */
#include "said.h"
#include "tools.h"
#include <string.h>

static goss_str str_of(const char *s) { return (goss_str){ s, s ? strlen(s) : 0 }; }

/* The call of an item. */
static goss_str arguments_of(const goss_srv_item *item, goss_owned **owned, goss_str text)
{
    if (goss_srv_is_custom(item)) return goss_srv_tools_wrap(owned, text);
    return item->kind == GOSS_SRV_MCP && !item->ask ? goss_srv_mcp_plain(owned, text, item->tool->argument)
                                                    : text;
}

int goss_srv_said_item(const goss_srv_item *item, goss_owned **owned, goss_message *out)
{
    const goss_str text = { (const char *)item->text.data, item->text.len };
    goss_str *part = goss_owned_take(owned, sizeof *part);
    goss_tool_call *call = goss_owned_take(owned, sizeof *call);
    *out = (goss_message){ .role = GOSS_ROLE_ASSISTANT };
    if (!part || !call) return GOSS_ENOMEM;
    *part =
        item->kind == GOSS_SRV_MCP ? (goss_str){ (const char *)item->output.data, item->output.len } : text;
    if (item->kind == GOSS_SRV_REASONING) out->reasoning = text;
    else if (item->kind == GOSS_SRV_SAID || (item->kind == GOSS_SRV_MCP && !item->ask))
        out->parts = part, out->n_parts = 1;
    if (item->kind != GOSS_SRV_CALL && item->kind != GOSS_SRV_MCP) return 0;
    const char *name = !item->tool ? item->name : item->ask ? item->tool->name : item->tool->shown;
    if (item->ask) out->name = str_of(item->tool->label);
    *call = (goss_tool_call){ str_of(item->id), str_of(name), arguments_of(item, owned, text) };
    out->calls = call;
    out->n_calls = 1;
    return text.n && !call->arguments.s ? GOSS_ENOMEM : 0;
}

/* A call and its result are two messages. */
static void put(goss_buf *messages, goss_message m)
{
    const goss_message result = { .role = GOSS_ROLE_TOOL,
                                  .parts = m.parts,
                                  .n_parts = m.n_parts,
                                  .call_id = m.n_calls ? m.calls[0].id : (goss_str){ 0 } };
    const int two = m.n_calls && m.n_parts;
    if (two) m.parts = NULL, m.n_parts = 0;
    goss_buf_append(messages, &m, sizeof m);
    if (two) goss_buf_append(messages, &result, sizeof result);
}

int goss_srv_said_append(const goss_srv_lane *lane, int from, goss_owned **owned, goss_buf *messages)
{
    goss_buf thought = GOSS_BUF((size_t)1 << 28);
    int failed = 0;
    for (int i = from; i < lane->n_items && !failed; i++) {
        const goss_srv_item *item = &lane->items[i];
        goss_message m;
        if (item->kind == GOSS_SRV_LISTED || item->ask || item->approval) continue;
        failed = goss_srv_said_item(item, owned, &m);
        goss_buf_append(&thought, m.reasoning.s, (size_t)m.reasoning.n);
        if (item->kind == GOSS_SRV_REASONING) continue;
        m.reasoning = (goss_str){ goss_owned_text(owned, thought.data, thought.len), thought.len };
        goss_buf_clear(&thought);
        put(messages, m);
    }
    failed |= thought.failed | messages->failed;
    goss_buf_free(&thought);
    return failed ? GOSS_ENOMEM : 0;
}
