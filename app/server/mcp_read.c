/* mcp_read.c - see mcp_read.h. What may be called, and without being asked for, is the operator's to say: a
 * request can only narrow it. */
#include "mcp_read.h"
#include "offers.h"
#include "store.h"
#include <string.h>

int goss_srv_mcp_runs(const goss_srv_parse *p)
{
    const int api = (int)p->r->api;
    return goss_srv_offers_any() &&
           (api == GOSS_SRV_CHAT || api == GOSS_SRV_RESPONSES || api == GOSS_SRV_COUNT_INPUT);
}

/* ---- tools --------------------------------------------------------------------------------------------- */
/* Whether a filter means the tool: an array of names, or {tool_names?, read_only?}. */
static int matches(const goss_srv_parse *p, int filter, const goss_srv_offer *o)
{
    const int array = goss_json_kind(p->j, filter) == GOSS_JSON_ARRAY,
              names = array ? filter : goss_srv_field(p, filter, "tool_names"),
              reads = array ? -1 : goss_srv_field(p, filter, "read_only");
    int named = names < 0;
    for (int n = goss_json_first(p->j, names); n >= 0; n = goss_json_next(p->j, n))
        named |= goss_json_is(p->j, n, o->name);
    return named && (reads < 0 || goss_json_bool(p->j, reads, 0) == o->reads);
}

static int is_filter(const goss_srv_parse *p, int node)
{
    return node < 0 || goss_json_kind(p->j, node) == GOSS_JSON_ARRAY ||
           goss_json_kind(p->j, node) == GOSS_JSON_OBJECT;
}

/* Whether a call of the tool waits for approval; -1: refused. Chat completions have no form to ask in. */
static int asks(goss_srv_parse *p, int tool, const goss_mcp_entry *e, const goss_srv_offer *o)
{
    const int chat = p->r->api == GOSS_SRV_CHAT, node = goss_srv_field(p, tool, "require_approval"),
              never = goss_srv_field(p, node, "never"),
              object = goss_json_kind(p->j, node) == GOSS_JSON_OBJECT;
    const int ask = node < 0 ? !chat
                    : object ? never < 0 || !matches(p, never, o)
                             : !goss_json_is(p->j, node, "never");
    if (node >= 0 && !object && !goss_json_is(p->j, node, "never") && !goss_json_is(p->j, node, "always"))
        return goss_srv_bad(p, node, "tools.require_approval",
                            "must be always, never or an object of filters");
    if (chat && (ask || !e->trust))
        return goss_srv_bad(
            p, tool, "tools.require_approval",
            "must be never in chat completions, and the server's operator must have marked the MCP "
            "server with \"trust\": true; /v1/responses can ask for each call");
    if (!ask && !e->trust)
        return goss_srv_bad(
            p, node, "tools.require_approval",
            "can be never only for MCP servers that the operator has marked with \"trust\": true");
    return ask;
}

/* The name of the text that a tool takes: its first required argument, else its first one. */
static const char *argument_of(goss_srv_parse *p, const char *schema)
{
    goss_json j;
    goss_buf name = GOSS_BUF(1 << 16);
    if (goss_json_parse(&j, schema, strlen(schema), NULL, NULL)) return "code";
    int node = goss_json_first(&j, goss_json_get(&j, 0, "required"));
    if (node < 0) node = goss_json_first(&j, goss_json_get(&j, 0, "properties"));
    goss_json_string(&j, node, &name);
    goss_json_free(&j);
    const char *kept = name.len ? goss_srv_keep_text(p->r, name.data, name.len) : "code";
    goss_buf_free(&name);
    return kept;
}

/* Which of Harmony's own tools it stands for (1 + GOSS_MCP_), 0: none. */
static int own_of(const goss_mcp_entry *e, const char *name, int has_browser)
{
    for (int i = 0; i < GOSS_MCP_OWN; i++)
        if (e->own[i] && !strcmp(e->own[i], name) && (i == GOSS_MCP_PYTHON || has_browser)) return 1 + i;
    return 0;
}

/* All three of a browser are there. */
static int has_browser(const goss_srv_parse *p, int allowed, const goss_mcp_entry *e,
                       const goss_srv_offer *list, int n)
{
    int found = 0;
    for (int i = 0; i < n; i++)
        for (int k = GOSS_MCP_SEARCH; k <= GOSS_MCP_FIND; k++)
            if (e->own[k] && !strcmp(e->own[k], list[i].name) &&
                (allowed < 0 || matches(p, allowed, &list[i])))
                found |= 1 << k;
    return found == 7;
}

static goss_srv_listing *listing_of(goss_srv_request *r, const char *label)
{
    for (int i = 0; i < r->n_listings; i++)
        if (!strcmp(r->listings[i].label, label)) return &r->listings[i];
    return NULL;
}

static int read_label(goss_srv_parse *p, int tool, int *number)
{
    const char *label = NULL;
    const int url = goss_srv_field(p, tool, "server_url");
    if (goss_srv_get_text(p, tool, "server_label", &label)) return -1;
    *number = label ? goss_srv_offers_label(label) : -1;
    if (*number < 0)
        return goss_srv_bad(
            p, tool, "tools.server_label",
            "must be one of the MCP servers that this server's operator has named: GET /v1/tools "
            "lists what they offer");
    const char *own = goss_srv_offers_entry(*number)->url;
    if (url >= 0 && (!own || !goss_json_is(p->j, url, own)))
        return goss_srv_bad(p, url, "tools.server_url",
                            "is not the address that this server's operator has named: leave it out");
    return 0;
}

int goss_srv_mcp_read_tool(goss_srv_parse *p, int tool,
                           int (*add)(goss_srv_parse *p, int node, const goss_srv_tool *what))
{
    static const char *const shown[] = { "browser.search", "browser.open", "browser.find", "python" };
    goss_srv_request *r = p->r;
    const goss_srv_offer *offers;
    const int allowed = goss_srv_field(p, tool, "allowed_tools");
    int number, kept = 0;
    goss_srv_note_unknown(p, tool, "an mcp tool",
                          " type server_label server_url server_description allowed_tools require_approval ");
    if (read_label(p, tool, &number)) return -1;
    const goss_mcp_entry *e = goss_srv_offers_entry(number);
    if (!is_filter(p, allowed))
        return goss_srv_bad(p, allowed, "tools.allowed_tools", "must be a list of names or a filter");
    if (r->n_listings == GOSS_SRV_LISTINGS || listing_of(r, e->name))
        return goss_srv_bad(p, tool, "tools", "have an MCP server twice, or more than 8 of them");
    const int n = goss_srv_offers_copy(number, &r->owned, &offers);
    if (n < 0) return goss_srv_no_memory(p);
    goss_srv_offer *list = goss_owned_array(&r->owned, (size_t)n, sizeof *list);
    if (!list) return goss_srv_no_memory(p);
    const int browser = has_browser(p, allowed, e, offers, n);
    for (int i = 0; i < n; i++) {
        const goss_srv_offer *o = &offers[i];
        if (allowed >= 0 && !matches(p, allowed, o)) continue;
        goss_srv_tool t = { .name = o->name,
                            .label = e->name,
                            .number = number,
                            .own = own_of(e, o->name, browser),
                            .ask = asks(p, tool, e, o) };
        if (t.ask < 0) return -1;
        if (t.own) t.shown = shown[t.own - 1];
        if (t.own == 1 + GOSS_MCP_PYTHON) t.argument = argument_of(p, o->schema);
        t.tool.description = goss_srv_str(o->description);
        t.tool.parameters = goss_srv_str(o->schema);
        if (add(p, tool, &t)) return -1;
        list[kept++] = *o;
    }
    r->listings[r->n_listings++] = (goss_srv_listing){ .label = e->name, .offers = list, .n = kept };
    return 0;
}

/* ---- what was listed ----------------------------------------------------------------------------------- */
static void known(goss_srv_request *r, const goss_json *j, int label)
{
    for (int i = 0; i < r->n_listings; i++)
        r->listings[i].known |= goss_json_is(j, label, r->listings[i].label);
}

/* The response says with which tools it was asked. */
void goss_srv_mcp_read_listed(goss_srv_parse *p, const char *response)
{
    goss_json j;
    goss_buf text = GOSS_BUF((size_t)1 << 30);
    const int rc = !p->r->n_listings || !goss_srv_store_response(response, &text) ||
                   goss_json_parse(&j, (const char *)text.data, text.len, NULL, NULL);
    for (int t = rc ? -1 : goss_json_first(&j, goss_json_get(&j, 0, "tools")); t >= 0;
         t = goss_json_next(&j, t))
        known(p->r, &j, goss_json_get(&j, t, "server_label"));
    if (!rc) goss_json_free(&j);
    goss_buf_free(&text);
}

int goss_srv_mcp_read_list(goss_srv_parse *p, int item)
{
    known(p->r, p->j, goss_srv_field(p, item, "server_label"));
    return 0;
}

/* ---- calls --------------------------------------------------------------------------------------------- */
static const goss_srv_tool *tool_of(const goss_srv_request *r, const goss_srv_approval *a)
{
    for (int i = 0; i < r->n_tools; i++)
        if (r->tools[i].label && !strcmp(r->tools[i].label, a->label) && !strcmp(r->tools[i].name, a->name))
            return &r->tools[i];
    return NULL;
}

/* A call and the place of its result, as messages. */
static int add_call(goss_srv_parse *p, int item, goss_message *m, const goss_srv_approval *a, goss_str result)
{
    const goss_srv_tool *t = tool_of(p->r, a);
    goss_tool_call *call = goss_srv_keep(p->r, sizeof *call);
    goss_message answer = { .role = GOSS_ROLE_TOOL, .call_id = goss_srv_str(a->id) };
    if (!call) return goss_srv_no_memory(p);
    *call = (goss_tool_call){ goss_srv_str(a->id), goss_srv_str(t ? t->shown : a->name),
                              goss_srv_mcp_plain(&p->r->owned, a->arguments, t ? t->argument : NULL) };
    if (!call->arguments.s) return goss_srv_no_memory(p);
    m->role = GOSS_ROLE_ASSISTANT;
    m->calls = call;
    m->n_calls = 1;
    return goss_srv_chat_add(p, item, m) || goss_srv_chat_content(p, &answer, result) ||
           goss_srv_chat_add(p, item, &answer);
}

static int read_named(goss_srv_parse *p, int item, goss_srv_approval *a)
{
    *a = (goss_srv_approval){ .result = -1, .arguments = goss_srv_str("{}") };
    if (goss_srv_get_text(p, item, "id", &a->id) || goss_srv_get_text(p, item, "server_label", &a->label) ||
        goss_srv_get_text(p, item, "name", &a->name) || goss_srv_get_str(p, item, "arguments", &a->arguments))
        return -1;
    return a->id && a->label && a->name
               ? 0
               : goss_srv_bad(p, item, "input",
                              "has a call of an MCP server without id, server_label or name");
}

int goss_srv_mcp_read_call(goss_srv_parse *p, int item, goss_message *m)
{
    goss_srv_approval a;
    goss_str result = { 0 };
    const char *json = NULL;
    const int error = goss_srv_field(p, item, "error");
    if (read_named(p, item, &a) || goss_srv_get_str(p, item, "output", &result)) return -1;
    if (!result.n && error >= 0 && goss_srv_json_of(p, error, &json)) return -1;
    return add_call(p, item, m, &a, json ? goss_srv_str(json) : result);
}

int goss_srv_mcp_read_request(goss_srv_parse *p, int item)
{
    goss_srv_request *r = p->r;
    if (r->n_approvals == GOSS_SRV_APPROVALS)
        return goss_srv_bad(p, item, "input", "has more than 16 requests for approval");
    return read_named(p, item, &r->approvals[r->n_approvals]) ? -1 : (r->n_approvals++, 0);
}

/* The request that is answered: of this input, or of an answer that is stored. NULL: refused. */
static goss_srv_approval *request_of(goss_srv_parse *p, int item, const char *id)
{
    goss_srv_request *r = p->r;
    goss_message m;
    for (int i = 0; i < r->n_approvals; i++)
        if (!strcmp(r->approvals[i].id, id)) return &r->approvals[i];
    const int found = goss_srv_store_item(id, &r->owned, &m);
    if (found < 0) return goss_srv_no_memory(p), NULL;
    if (!found || !m.name.s || m.n_calls != 1 || r->n_approvals == GOSS_SRV_APPROVALS) {
        goss_srv_refuse(p->fail, 404, "item_not_found", "input", p->j->nodes[item].start,
                        "no request for approval of the id \"%.60s\" is stored or in the input", id);
        return NULL;
    }
    goss_srv_approval *a = &r->approvals[r->n_approvals++];
    *a = (goss_srv_approval){ .id = id,
                              .label = m.name.s,
                              .name = m.calls[0].name.s,
                              .arguments = m.calls[0].arguments,
                              .result = -1 };
    return a;
}

static int refuse_call(goss_srv_parse *p, int item, goss_message *m, const goss_srv_approval *a)
{
    goss_buf b = GOSS_BUF(SIZE_MAX / 2);
    const char *reason = NULL;
    if (goss_srv_get_text(p, item, "reason", &reason)) return -1;
    goss_buf_str(&b, "The user did not allow this call.");
    if (reason && *reason) goss_buf_printf(&b, " Reason: %s", reason);
    const char *text = b.failed ? NULL : goss_srv_keep_text(p->r, b.data, b.len);
    const size_t n = b.len;
    goss_buf_free(&b);
    return text ? add_call(p, item, m, a, (goss_str){ text, n }) : goss_srv_no_memory(p);
}

int goss_srv_mcp_read_response(goss_srv_parse *p, int item, goss_message *m)
{
    const char *id = NULL;
    int approve = -1;
    if (goss_srv_get_text(p, item, "approval_request_id", &id) ||
        goss_srv_get_bool(p, item, "approve", &approve))
        return -1;
    if (!id || approve < 0)
        return goss_srv_bad(p, item, "input",
                            "has an mcp_approval_response without approval_request_id or approve");
    goss_srv_approval *a = request_of(p, item, id);
    if (!a) return -1;
    if (a->result >= 0) return goss_srv_bad(p, item, "input", "answers a request for approval twice");
    if (!m->reasoning.n && goss_srv_store_thought(id, &p->r->owned, &m->reasoning) < 0)
        return goss_srv_no_memory(p);
    if (!approve) return refuse_call(p, item, m, a);
    a->tool = tool_of(p->r, a);
    if (!a->tool)
        return goss_srv_bad(p, item, "tools", "lack the tool whose call is approved: send them again");
    if (add_call(p, item, m, a, (goss_str){ 0 })) return -1;
    a->result = (int)(p->r->messages.len / sizeof(goss_message)) - 1;
    return 0;
}
