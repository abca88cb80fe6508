/* tools.c - see tools.h. */
#include "tools.h"
#include "log.h"
#include "mcp/mcp_file.h"
#include "mcp_read.h"
#include <string.h>

enum { SHOWN = 64, NAME = 128 };

/* ---- reading ------------------------------------------------------------------------------------ */
/* `name` (in `space`) in the characters that the model is shown; a number behind it where that was there
 * before. */
static const char *show(goss_srv_parse *p, const char *name, const char *space)
{
    goss_buf b = GOSS_BUF(4096);
    name = goss_function_name(name); /* that is put before it anyway */
    if (space)
        goss_buf_printf(&b, "%s%s", space,
                        strlen(space) > 2 && !strcmp(space + strlen(space) - 2, "__") ? "" : "__");
    goss_buf_str(&b, name);
    for (size_t i = 0; i < b.len; i++) {
        const uint8_t c = b.data[i];
        const int plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && c != '_' && c != '.' && c != '-') b.data[i] = '_';
    }
    if (b.len > SHOWN) b.len = SHOWN;
    const size_t n = b.len;
    for (int i = 2; !b.failed && goss_srv_tools_find(p->r, goss_buf_cstr(&b)); i++) {
        b.len = n > SHOWN - 5 ? SHOWN - 5 : n;
        goss_buf_printf(&b, "_%d", i);
    }
    const char *shown = b.failed ? NULL : goss_srv_keep_text(p->r, b.data, b.len);
    goss_buf_free(&b);
    return shown;
}

/* A custom tool's description, with its grammar in words: the model's calls are JSON, their input is a
 * text. */
static int describe_custom(goss_srv_parse *p, int tool, goss_tool *to)
{
    static const char parameters[] =
        "{\"type\":\"object\",\"properties\":{\"input\":{\"type\":\"string\"}},"
        "\"required\":[\"input\"],\"additionalProperties\":false}";
    const int about = goss_srv_field(p, tool, "description"), format = goss_srv_field(p, tool, "format"),
              inner = goss_srv_field(p, format, "grammar"), grammar = inner >= 0 ? inner : format,
              definition = goss_srv_field(p, grammar, "definition");
    goss_srv_joined text = { 0 };
    goss_str s;
    if (!goss_json_str(p->j, about, &p->r->owned, &s)) goss_srv_join(&text, s);
    if (!goss_json_str(p->j, definition, &p->r->owned, &s)) {
        goss_srv_join(&text, goss_srv_str("\n\nThe input is a text of this grammar:\n"));
        goss_srv_join(&text, s);
    }
    to->parameters = (goss_str){ parameters, sizeof parameters - 1 };
    return goss_srv_joined_end(p, &text, &to->description);
}

static int describe(goss_srv_parse *p, int tool, int parameters, goss_tool *to)
{
    const int about = goss_srv_field(p, tool, "description");
    if (parameters >= 0) to->parameters = goss_json_source(p->j, parameters);
    const int rc = goss_json_str(p->j, about, &p->r->owned, &to->description);
    return rc == GOSS_ENOMEM ? goss_srv_no_memory(p) : 0;
}

static int add(goss_srv_parse *p, int tool, const char *schema, const char *space, int custom)
{
    goss_srv_request *r = p->r;
    const int node = goss_json_get(p->j, tool, "name"),
              parameters = custom ? -1 : goss_srv_field(p, tool, schema);
    const char *name = NULL;
    if (goss_json_kind(p->j, node) == GOSS_JSON_STRING &&
        goss_srv_text_of(p, node, "tools.name", &name, NULL))
        return -1;
    if (!name || !*name || strlen(name) > NAME)
        return goss_srv_bad(p, tool, "tools.name", "must have 1 to 128 bytes");
    const char *field = strcmp(schema, "input_schema") ? "tools.parameters" : "tools.input_schema";
    if (parameters >= 0 && goss_json_kind(p->j, parameters) != GOSS_JSON_OBJECT)
        return goss_srv_bad(p, parameters, field, "must be a JSON schema (an object)");
    if (parameters >= 0 && p->j->nodes[parameters].end - p->j->nodes[parameters].start > p->c->max_schema)
        return goss_srv_bad(p, parameters, field, "is larger than --max-schema allows");
    if (r->n_tools == p->c->max_tools)
        return goss_srv_bad(p, tool, "tools", "are more than --max-tools allows");
    goss_srv_tool *t = &r->tools[r->n_tools];
    *t = (goss_srv_tool){ .name = name, .space = space, .custom = custom, .shown = show(p, name, space) };
    if (!t->shown) return goss_srv_no_memory(p);
    t->tool.name = goss_srv_str(t->shown);
    t->strict = custom || goss_json_bool(p->j, goss_srv_field(p, tool, "strict"), 0);
    if (custom ? describe_custom(p, tool, &t->tool) : describe(p, tool, parameters, &t->tool)) return -1;
    r->n_tools++;
    return 0;
}

/* A tool that this server runs. */
static int add_served(goss_srv_parse *p, int node, const goss_srv_tool *what)
{
    goss_srv_request *r = p->r;
    if (r->n_tools == p->c->max_tools)
        return goss_srv_bad(p, node, "tools", "are more than --max-tools allows");
    goss_srv_tool *t = &r->tools[r->n_tools];
    *t = *what;
    if (t->own && goss_srv_tools_find(r, t->shown))
        return goss_srv_bad(p, node, "tools", "have a name twice that is one of the model's own tools");
    if (!t->own && !(t->shown = show(p, t->name, NULL))) return goss_srv_no_memory(p);
    t->tool.name = goss_srv_str(t->shown);
    r->n_tools++;
    r->n_served++;
    return 0;
}

static void left_out(goss_srv_parse *p, int type)
{
    const goss_json_node *t = &p->j->nodes[type];
    goss_srv_log_left_out(goss_srv_api_name(p->r->api), p->j->text + t->start, t->end - t->start);
}

static int read_one(goss_srv_parse *p, int t, const char *schema, const char *space)
{
    const int type = goss_srv_field(p, t, "type"), kind = goss_json_kind(p->j, type),
              f = goss_srv_field(p, t, "function"), c = goss_srv_field(p, t, "custom");
    const char *name = NULL;
    if (goss_json_kind(p->j, t) != GOSS_JSON_OBJECT) return goss_srv_bad(p, t, "tools", "must be objects");
    if (kind && kind != GOSS_JSON_STRING) return goss_srv_bad(p, type, "tools.type", "must be a string");
    if (!kind || goss_json_is(p->j, type, "function"))
        return f >= 0 ? add(p, f, "parameters", space, 0) : add(p, t, schema, space, 0);
    if (goss_json_is(p->j, type, "custom")) /* Anthropic's own tools are called so, too */
        return goss_srv_field(p, t, "input_schema") >= 0 ? add(p, t, schema, space, 0)
                                                         : add(p, c >= 0 ? c : t, schema, space, 1);
    if (goss_json_is(p->j, type, "mcp") && goss_srv_mcp_runs(p))
        return goss_srv_mcp_read_tool(p, t, add_served);
    if (!goss_json_is(p->j, type, "namespace")) return left_out(p, type), 0;
    if (space) return goss_srv_bad(p, t, "tools", "have a namespace in a namespace");
    if (goss_srv_get_text(p, t, "name", &name)) return -1;
    if (!name || !*name || strlen(name) > NAME)
        return goss_srv_bad(p, t, "tools.name", "must have 1 to 128 bytes");
    for (int m = goss_json_first(p->j, goss_srv_field(p, t, "tools")); m >= 0; m = goss_json_next(p->j, m))
        if (read_one(p, m, schema, name)) return -1;
    return 0;
}

int goss_srv_tools_read(goss_srv_parse *p, int tools, const char *schema)
{
    if (tools < 0) return 0;
    if (goss_json_kind(p->j, tools) != GOSS_JSON_ARRAY)
        return goss_srv_bad(p, tools, "tools", "must be an array");
    if (!(p->r->tools = goss_owned_array(&p->r->owned, (size_t)p->c->max_tools, sizeof *p->r->tools)))
        return goss_srv_no_memory(p);
    for (int t = goss_json_first(p->j, tools); t >= 0; t = goss_json_next(p->j, t))
        if (read_one(p, t, schema, NULL)) return -1;
    return 0;
}

/* What the engine's masks want to know: all names, the schemas of strict tools, and of those that must be
 * called. */
static void write_masked(goss_buf *b, const goss_srv_tool *t, int must_call)
{
    goss_buf_printf(b, "%s{\"name\":\"%s\"", b->len > 1 ? "," : "", t->shown);
    if (t->strict) goss_buf_str(b, ",\"strict\":true");
    if ((t->strict || must_call) && t->tool.parameters.s) {
        goss_buf_str(b, ",\"parameters\":");
        goss_buf_append(b, t->tool.parameters.s, (size_t)t->tool.parameters.n);
    }
    goss_buf_str(b, "}");
}

/* The mask of the tools that are not out: of those that the server runs, too, or of the client's alone. */
static const char *mask(goss_srv_request *r, int must_call, int served)
{
    goss_buf b = GOSS_BUF(SIZE_MAX / 2);
    goss_buf_str(&b, "[");
    for (int i = 0; i < r->n_tools; i++) {
        const goss_srv_tool *t = &r->tools[i];
        if (t->out || t->own || (t->label && !served)) continue;
        if (!must_call || !r->chat.choice.s || r->chat.choice.s == t->tool.name.s)
            write_masked(&b, t, must_call);
    }
    goss_buf_str(&b, "]");
    const char *text = b.failed ? NULL : goss_srv_keep_text(r, b.data, b.len);
    goss_buf_free(&b);
    return text;
}

int goss_srv_tools_use(goss_srv_parse *p)
{
    goss_srv_request *r = p->r;
    goss_tool *list = goss_owned_array(&r->owned, (size_t)r->n_tools, sizeof *list);
    if (!list) return goss_srv_no_memory(p);
    r->params.must_call = r->chat.must_call;
    for (int i = 0; i < r->n_tools; i++) {
        const goss_srv_tool *t = &r->tools[i];
        if (t->out) continue;
        if (!t->own) list[r->chat.n_tools++] = t->tool;
        else if (t->own == 1 + GOSS_MCP_PYTHON) r->chat.python = 1, r->params.builtin |= GOSS_TOOL_PYTHON;
        else r->chat.browser = 1, r->params.builtin |= GOSS_TOOL_BROWSER;
    }
    r->chat.tools = list;
    r->params.tools_json = mask(r, r->chat.must_call, 1);
    if (!r->n_served) return r->params.tools_json ? 0 : goss_srv_no_memory(p);
    r->tools_after = mask(r, 0, 1);
    r->tools_last = mask(r, 0, 0);
    return r->params.tools_json && r->tools_after && r->tools_last ? 0 : goss_srv_no_memory(p);
}

/* ---- choosing ----------------------------------------------------------------------------------- */
/* Where a choice of a tool has its name: {"name"}, {"function":{"name"}} or {"custom":{"name"}}. */
static int name_of(const goss_srv_parse *p, int choice)
{
    const int f = goss_srv_field(p, choice, "function"), c = goss_srv_field(p, choice, "custom");
    return goss_srv_field(p, f >= 0 ? f : c >= 0 ? c : choice, "name");
}

static goss_srv_tool *chosen(goss_srv_parse *p, int choice)
{
    const int name = name_of(p, choice), space = goss_srv_field(p, choice, "namespace"),
              label = goss_srv_field(p, choice, "server_label");
    for (int i = 0; i < p->r->n_tools; i++) {
        goss_srv_tool *t = &p->r->tools[i];
        if (goss_json_is(p->j, name, t->name) &&
            (label < 0 ? !t->label : t->label && goss_json_is(p->j, label, t->label)) &&
            (space < 0 || (t->space && goss_json_is(p->j, space, t->space))))
            return t;
    }
    return NULL;
}

static int force(goss_srv_parse *p, int node, const goss_srv_tool *t)
{
    const goss_srv_tool *last = NULL;
    int n = 0;
    for (int i = 0; i < p->r->n_tools; i++)
        if (!p->r->tools[i].out && !p->r->tools[i].own) n++, last = &p->r->tools[i];
    if (n == 1) t = last;
    if (t && t->own) return goss_srv_bad(p, node, "tool_choice", "can't be one of the model's own tools");
    if (!n) return goss_srv_bad(p, node, "tool_choice", "asks for a call but no tools are declared");
    p->r->chat.must_call = 1;
    if (t) p->r->chat.choice = t->tool.name;
    return 0;
}

/* {"type": "mcp", "server_label", "name"?}: that tool, or any of that MCP server. */
static int force_served(goss_srv_parse *p, int choice)
{
    const int label = goss_srv_field(p, choice, "server_label");
    const goss_srv_tool *t = goss_srv_field(p, choice, "name") >= 0 ? chosen(p, choice) : NULL;
    for (int i = 0; i < p->r->n_tools && !t; i++) {
        goss_srv_tool *other = &p->r->tools[i];
        other->out |= !other->label || !goss_json_is(p->j, label, other->label);
    }
    return force(p, choice, t);
}

static int only(goss_srv_parse *p, int node)
{
    const int inner = goss_srv_field(p, node, "allowed_tools"), list = inner >= 0 ? inner : node;
    for (int i = 0; i < p->r->n_tools; i++) p->r->tools[i].out = 1;
    for (int c = goss_json_first(p->j, goss_srv_field(p, list, "tools")); c >= 0;
         c = goss_json_next(p->j, c)) {
        goss_srv_tool *t = chosen(p, c);
        if (t) t->out = 0;
        if (t || !goss_json_is(p->j, goss_srv_field(p, c, "type"), "mcp")) continue;
        for (int i = 0; i < p->r->n_tools; i++) /* all of an MCP server */
            if (p->r->tools[i].label &&
                goss_json_is(p->j, goss_srv_field(p, c, "server_label"), p->r->tools[i].label))
                p->r->tools[i].out = 0;
    }
    return goss_json_is(p->j, goss_srv_field(p, list, "mode"), "required") ? force(p, node, NULL) : 0;
}

int goss_srv_tools_choose(goss_srv_parse *p, int choice)
{
    const int object = goss_json_kind(p->j, choice) == GOSS_JSON_OBJECT,
              word = object ? goss_srv_field(p, choice, "type") : choice;
    if (choice < 0 || goss_json_is(p->j, word, "auto")) return 0;
    if (goss_json_is(p->j, word, "none")) {
        for (int i = 0; i < p->r->n_tools; i++) p->r->tools[i].out = 1;
        return 0;
    }
    if (goss_json_is(p->j, word, "required") || goss_json_is(p->j, word, "any"))
        return force(p, choice, NULL);
    if (object && goss_json_is(p->j, word, "allowed_tools")) return only(p, choice);
    if (object && goss_json_is(p->j, word, "mcp")) return force_served(p, choice);
    if (!object || (!goss_json_is(p->j, word, "function") && !goss_json_is(p->j, word, "custom") &&
                    !goss_json_is(p->j, word, "tool")))
        return goss_srv_bad(p, choice, "tool_choice",
                            "must be none, auto, required, allowed_tools or a declared tool");
    const goss_srv_tool *t = chosen(p, choice);
    return t ? force(p, choice, t)
             : goss_srv_bad(p, choice, "tool_choice", "names a tool that is not declared");
}

/* ---- names -------------------------------------------------------------------------------------- */
const char *goss_srv_tools_shown(const goss_srv_request *r, const char *name, const char *space)
{
    for (int i = 0; i < r->n_tools; i++) {
        const goss_srv_tool *t = &r->tools[i];
        if (!t->label && !strcmp(t->name, name) &&
            (!space ? !t->space : t->space && !strcmp(t->space, space)))
            return t->shown;
    }
    return name;
}

const goss_srv_tool *goss_srv_tools_find(const goss_srv_request *r, const char *shown)
{
    for (int i = 0; i < r->n_tools; i++)
        if (!strcmp(r->tools[i].shown, shown)) return &r->tools[i];
    return NULL;
}

goss_str goss_srv_tools_wrap(goss_owned **owned, goss_str input)
{
    goss_buf b = GOSS_BUF(SIZE_MAX / 2);
    goss_buf_str(&b, "{\"input\":");
    goss_buf_json_string(&b, input.s, (size_t)input.n);
    goss_buf_str(&b, "}");
    const char *text = b.failed ? NULL : goss_owned_text(owned, b.data, b.len);
    const goss_str wrapped = { text, text ? b.len : 0 };
    goss_buf_free(&b);
    return wrapped;
}

void goss_srv_tools_unwrap(goss_buf *arguments)
{
    goss_json j = { 0 };
    goss_buf text = GOSS_BUF((size_t)1 << 28);
    const int ok = arguments->len &&
                   !goss_json_parse(&j, (const char *)arguments->data, arguments->len, NULL, NULL) &&
                   goss_json_kind(&j, goss_json_get(&j, 0, "input")) == GOSS_JSON_STRING &&
                   goss_json_string(&j, goss_json_get(&j, 0, "input"), &text) >= 0;
    goss_json_free(&j);
    if (!ok) {
        goss_buf_free(&text);
        return;
    } /* not as asked for: shown as it came, so that nothing is lost */
    goss_buf_free(arguments);
    *arguments = text;
}
