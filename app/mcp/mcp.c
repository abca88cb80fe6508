/* mcp.c - see mcp.h. */
#include "mcp.h"
#include "base/error.h"
#include "base/fmt.h"
#include "base/mem.h"
#include "base/os.h"
#include "mcp_file.h"
#include <string.h>

enum { TOOLS = 128, PAGES = 64, TELL_MAX = 2048, RESULT_MAX = 32768, SCHEMA_MAX = 65536 };
enum { START_MS = 60000, CALL_MS = 300000 };
static const char VERSION[] = "2025-06-18";
static const char NOTHING[] = "{\"type\":\"object\",\"properties\":{}}";

typedef struct server { goss_rpc rpc; int n_tools; } server;
struct goss_mcp {
    goss_mcp_entry entries[GOSS_MCP_SERVERS];
    server servers[GOSS_MCP_SERVERS]; int n;
    goss_mcp_tool tools[TOOLS]; int n_tools;
    goss_owned *owned;          /* the file's texts */
    goss_owned *listed;         /* those of the tools */
    void (*say)(const char *sentence);
    double call_ms;
};

/* ---- beginning ----------------------------------------------------------------------------------------- */
static goss_rpc_wait wait_ms(int ms) { return (goss_rpc_wait){ .until_ms = goss_os_now_ms() + (double)ms }; }

static int initialize(goss_rpc *r, goss_error *err)
{
    goss_json j;
    goss_buf version = GOSS_BUF(64), params = GOSS_BUF(512);
    const goss_rpc_wait w = wait_ms(START_MS);
    int result;
    r->lost = 0;
    goss_buf_printf(&params,
                    "{\"protocolVersion\":\"%s\",\"capabilities\":{},\"clientInfo\":{\"name\":\"gossamer\","
                    "\"version\":\"" GOSS_VERSION "\"}}", VERSION);
    int rc = goss_rpc_call(r, "initialize", goss_buf_cstr(&params), &w, &j, &result, err);
    goss_buf_free(&params);
    if (rc) return rc;
    goss_json_string(&j, goss_json_get(&j, result, "protocolVersion"), &version);
    goss_json_free(&j);
    const char *v = goss_buf_cstr(&version);
    /* dates: those from the first version on speak of tools alike */
    if (strlen(v) != 10 || strspn(v, "0123456789-") != 10)
        rc = goss_fail(err, GOSS_EUNSUPPORTED, -1, "%s speaks another protocol than MCP %s.", r->name,
                       VERSION);
    if (!rc && r->agreed) r->agreed(r, v);
    goss_buf_free(&version);
    return rc ? rc : goss_rpc_notify(r, "notifications/initialized", NULL, err);
}

static int open_link(goss_rpc *r, const goss_mcp_entry *e, goss_error *err)
{
    *r = (goss_rpc){ .answer = GOSS_BUF(GOSS_RPC_MAX), .replies = GOSS_BUF(GOSS_RPC_MAX) };
    goss_fmt(r->name, sizeof r->name, "%.60s", e->name);
    const int rc = e->url ? goss_rpc_open_http(r, e->url, e->headers, err)
                          : goss_rpc_open_stdio(r, e->argv, e->env, err);
    return rc ? rc : initialize(r, err);
}

static int open_server(goss_mcp *m, const goss_mcp_entry *e, goss_error *err)
{
    goss_rpc *r = &m->servers[m->n].rpc;
    const int rc = open_link(r, e, err);
    if (rc) goss_rpc_close(r);
    else r->changed = 1, m->n++;
    return rc;
}

static goss_mcp *make(goss_mcp **out, double call_ms, void (*say)(const char *sentence), goss_error *err)
{
    goss_mcp *m = *out = goss_mem_alloc(sizeof *m);
    if (!m) goss_fail(err, GOSS_ENOMEM, -1, "There is no memory for tools.");
    else m->say = say, m->call_ms = call_ms;
    return m;
}

int goss_mcp_open(goss_mcp **out, const char *file, void (*say)(const char *sentence), goss_error *err)
{
    goss_mcp *m = make(out, CALL_MS, say, err);
    if (!m) return GOSS_ENOMEM;
    const int n = goss_mcp_file_read(file, m->entries, &m->owned, err);
    for (int i = 0; i < n; i++) {
        goss_error why = { .position = -1 };
        if (open_server(m, &m->entries[i], &why)) m->say(why.text);
    }
    if (n < 0) goss_mcp_close(out);
    return n < 0 ? n : 0;
}

int goss_mcp_open_one(goss_mcp **out, const goss_mcp_entry *entry, double call_ms,
                      void (*say)(const char *sentence), goss_error *err)
{
    goss_mcp *m = make(out, call_ms, say, err);
    const int rc = m ? open_server(m, entry, err) : GOSS_ENOMEM;
    if (rc) goss_mcp_close(out);
    return rc;
}

int goss_mcp_ended(const goss_mcp *m)
{
    for (int i = 0; i < m->n; i++)
        if (m->servers[i].rpc.ended) return 1;
    return 0;
}

void goss_mcp_close(goss_mcp **mcp)
{
    goss_mcp *m = *mcp;
    *mcp = NULL;
    if (!m) return;
    for (int i = 0; i < m->n; i++) goss_rpc_close(&m->servers[i].rpc);
    goss_owned_free(&m->owned);
    goss_owned_free(&m->listed);
    goss_mem_free(m);
}

/* ---- tools --------------------------------------------------------------------------------------------- */
/* As much of a text as ends with a whole character. */
static size_t cut_at(const uint8_t *s, size_t n, size_t most)
{
    if (n <= most) return n;
    while (most && (s[most] & 0xc0) == 0x80) most--;
    return most;
}

static const char *keep_text(goss_mcp *m, const goss_json *j, int node, size_t most)
{
    goss_buf b = GOSS_BUF(GOSS_RPC_MAX);
    if (goss_json_kind(j, node) == GOSS_JSON_STRING) goss_json_string(j, node, &b);
    const size_t n = cut_at(b.data, b.len, most);
    const char *s = goss_owned_text(&m->listed, n ? b.data : (const uint8_t *)"", n);
    goss_buf_free(&b);
    return s;
}

static const char *keep_json(goss_mcp *m, const goss_json *j, int node)
{
    goss_buf b = GOSS_BUF(SCHEMA_MAX);
    if (goss_json_kind(j, node) == GOSS_JSON_OBJECT) goss_json_write(j, node, &b);
    const char *s = b.failed || !b.len ? NOTHING : goss_owned_text(&m->listed, b.data, b.len);
    goss_buf_free(&b);
    return s;
}

static void add_tool(goss_mcp *m, const goss_rpc *r, const goss_json *j, int node)
{
    const char *name = keep_text(m, j, goss_json_get(j, node, "name"), 200);
    if (!name || !*name || m->n_tools == TOOLS) return;
    goss_mcp_tool *t = &m->tools[m->n_tools++];
    *t = (goss_mcp_tool){ .server = r->name, .name = name };
    t->description = keep_text(m, j, goss_json_get(j, node, "description"), TELL_MAX);
    t->schema = keep_json(m, j, goss_json_get(j, node, "inputSchema"));
    t->reads = goss_json_bool(j, goss_json_get(j, goss_json_get(j, node, "annotations"), "readOnlyHint"), 0);
    if (!t->description || !t->schema) m->n_tools--;
}

/* All pages of a server's list; a cursor that leads nowhere ends. */
static int list_tools(goss_mcp *m, goss_rpc *r, goss_error *err)
{
    goss_buf params = GOSS_BUF(1 << 16);
    int rc = 0, more = 1;
    for (int page = 0; !rc && more && page < PAGES; page++) {
        const goss_rpc_wait w = wait_ms(START_MS);
        goss_json j;
        int result;
        rc = goss_rpc_call(r, "tools/list", params.len ? goss_buf_cstr(&params) : NULL, &w, &j, &result, err);
        if (rc) break;
        const int tools = goss_json_get(&j, result, "tools"), cursor = goss_json_get(&j, result,
                                                                                     "nextCursor");
        for (int t = goss_json_first(&j, tools); t >= 0; t = goss_json_next(&j, t)) add_tool(m, r, &j, t);
        more = goss_json_kind(&j, cursor) == GOSS_JSON_STRING;
        goss_buf_clear(&params);
        goss_buf_str(&params, "{\"cursor\":");
        if (more) goss_json_write(&j, cursor, &params);
        goss_buf_str(&params, "}");
        goss_json_free(&j);
    }
    goss_buf_free(&params);
    return rc;
}

static int is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

static int is_taken(const goss_mcp *m, const goss_mcp_tool *t, const char *shown)
{
    for (int i = 0; i < m->n_tools; i++)
        if (&m->tools[i] != t && !strcmp(m->tools[i].shown, shown)) return 1;
    return 0;
}

/* Its name; with the server's before it where another has the same; with a number where that is taken. */
static void name_tool(goss_mcp *m, goss_mcp_tool *t)
{
    char base[300];
    int twice = 0;
    for (int i = 0; i < m->n_tools; i++) twice += !strcmp(m->tools[i].name, t->name);
    goss_fmt(base, sizeof base, "%s%s%s", twice > 1 ? t->server : "", twice > 1 ? "__" : "", t->name);
    for (char *c = base; *c; c++)
        if (!is_plain(*c)) *c = '_';
    goss_fmt(t->shown, sizeof t->shown, "%.64s", base);
    for (int i = 2; is_taken(m, t, t->shown); i++) goss_fmt(t->shown, sizeof t->shown, "%.58s_%d", base, i);
}

/* What was allowed stays allowed where the tool is still the same server's. */
static void keep_allowed(goss_mcp *m, const goss_mcp_tool *before, int n)
{
    for (int i = 0; i < m->n_tools; i++)
        for (int k = 0; k < n; k++)
            if (before[k].allowed && before[k].server == m->tools[i].server &&
                !strcmp(before[k].name, m->tools[i].name) && !strcmp(before[k].description,
                                                                     m->tools[i].description))
                m->tools[i].allowed = 1;
}

int goss_mcp_tools(goss_mcp *m, goss_mcp_tool **list)
{
    int changed = 0;
    for (int i = 0; i < m->n; i++) changed |= m->servers[i].rpc.changed;
    if (changed) {
        goss_mcp_tool *before = goss_mem_array(TOOLS, sizeof *before);
        goss_owned *texts = m->listed;
        const int n = before ? m->n_tools : 0;
        if (before) memcpy(before, m->tools, sizeof m->tools);
        m->listed = NULL;
        m->n_tools = 0;
        for (int i = 0; i < m->n; i++) {
            goss_error why = { .position = -1 };
            m->servers[i].rpc.changed = 0;
            if (list_tools(m, &m->servers[i].rpc, &why)) m->say(why.text);
        }
        for (int i = 0; i < m->n_tools; i++) name_tool(m, &m->tools[i]);
        keep_allowed(m, before, n);
        goss_owned_free(&texts);
        goss_mem_free(before);
    }
    *list = m->tools;
    return m->n_tools;
}

goss_mcp_tool *goss_mcp_find(goss_mcp *m, const char *shown)
{
    for (int i = 0; i < m->n_tools; i++)
        if (!strcmp(m->tools[i].shown, shown)) return &m->tools[i];
    return NULL;
}

void goss_mcp_write_tools(goss_mcp *m, goss_buf *b)
{
    goss_mcp_tool *list;
    const int n = goss_mcp_tools(m, &list);
    goss_buf_str(b, "[");
    for (int i = 0; i < n; i++) {
        goss_buf_printf(b, "%s{\"type\":\"function\",\"function\":{\"name\":\"%s\",\"description\":", i
                        ? "," : "",
                        list[i].shown);
        goss_buf_json_string(b, list[i].description, strlen(list[i].description));
        goss_buf_printf(b, ",\"parameters\":%s}}", list[i].schema);
    }
    goss_buf_str(b, "]");
}

/* ---- calls --------------------------------------------------------------------------------------------- */
static void put_line(goss_buf *to, const void *text, size_t n)
{
    if (to->len && n) goss_buf_append(to, "\n", 1);
    goss_buf_append(to, text, n);
}

static void put_text(goss_buf *to, const goss_json *j, int node)
{
    goss_buf b = GOSS_BUF(GOSS_RPC_MAX);
    if (!goss_json_string(j, node, &b)) put_line(to, b.data, b.len);
    goss_buf_free(&b);
}

/* One part of a result: texts as they are, all else as a sentence. */
static void put_part(goss_buf *to, const goss_json *j, int part)
{
    const int type = goss_json_get(j, part, "type"), resource = goss_json_get(j, part, "resource");
    goss_buf b = GOSS_BUF(4096);
    if (goss_json_is(j, type, "text")) { put_text(to, j, goss_json_get(j, part, "text")); return; }
    if (goss_json_get(j, resource, "text") >= 0) { put_text(to, j, goss_json_get(j, resource,
                                                                                 "text")); return; }
    const int uri = goss_json_get(j, resource >= 0 ? resource : part, "uri"),
              kind = goss_json_get(j, resource >= 0 ? resource : part, "mimeType");
    goss_buf_str(&b, "[");
    if (goss_json_string(j, type, &b)) goss_buf_str(&b, "a part of unknown type");
    if (kind >= 0) { goss_buf_str(&b, " "); goss_json_string(j, kind, &b); }
    if (uri >= 0) { goss_buf_str(&b, " "); goss_json_string(j, uri, &b); }
    goss_buf_str(&b, goss_json_is(j, type, "resource_link") ? "]"
                 : ": not shown, since this model reads text only]");
    put_line(to, b.data, b.len);
    goss_buf_free(&b);
}

static void write_result(goss_buf *to, const goss_json *j, int result)
{
    const int content = goss_json_get(j, result, "content"), data = goss_json_get(j, result,
                                                                                  "structuredContent");
    goss_buf all = GOSS_BUF(GOSS_RPC_MAX);
    if (goss_json_bool(j, goss_json_get(j, result, "isError"), 0)) goss_buf_str(&all, "The tool failed:");
    for (int p = goss_json_first(j, content); p >= 0; p = goss_json_next(j, p)) put_part(&all, j, p);
    if (goss_json_first(j, content) < 0 && data >= 0) goss_json_write(j, data, &all);
    const size_t n = cut_at(all.data, all.len, RESULT_MAX);
    goss_buf_append(to, all.data, n);
    if (n < all.len) goss_buf_printf(to, "\n[%zu more bytes are left out]", all.len - n);
    goss_buf_free(&all);
}

static goss_rpc *link_of(goss_mcp *m, const goss_mcp_tool *tool)
{
    for (int i = 0; i < m->n; i++)
        if (m->servers[i].rpc.name == tool->server) return &m->servers[i].rpc;
    return NULL;
}

static int write_params(goss_buf *b, const goss_mcp_tool *tool, const char *arguments, size_t n)
{
    goss_json j;
    goss_buf_str(b, "{\"name\":");
    goss_buf_json_string(b, tool->name, strlen(tool->name));
    goss_buf_str(b, ",\"arguments\":");
    if (n && goss_json_parse(&j, arguments, n, NULL, NULL)) return GOSS_EFORMAT;
    const int object = !n || goss_json_kind(&j, 0) == GOSS_JSON_OBJECT;
    if (n && object) goss_json_write(&j, 0, b);
    else goss_buf_str(b, "{}");
    if (n) goss_json_free(&j);
    goss_buf_str(b, "}");
    return object && !b->failed ? 0 : GOSS_EFORMAT;
}

int goss_mcp_call(goss_mcp *m, const goss_mcp_tool *tool, const char *arguments, size_t n,
                  int (*stop)(void *ctx), void *ctx, goss_buf *result)
{
    goss_rpc *r = link_of(m, tool);
    goss_json j;
    goss_error err = { .position = -1 };
    goss_buf params = GOSS_BUF(GOSS_RPC_MAX);
    const goss_rpc_wait w = { goss_os_now_ms() + m->call_ms, stop, ctx };
    int node, rc = write_params(&params, tool, arguments, n);
    if (rc) goss_fail(&err, rc, -1, "The arguments are not a JSON object.");
    for (int again = 0; !rc; again++) {
        rc = goss_rpc_call(r, "tools/call", goss_buf_cstr(&params), &w, &j, &node, &err);
        if (!rc || !r->lost || again || initialize(r, &err)) break;
        rc = 0;
    }
    goss_buf_free(&params);
    if (rc) {
        goss_buf_printf(result, "The call failed: %s", err.text);
        return rc == GOSS_ECANCELED && stop && stop(ctx) ? rc : GOSS_MCP_CALL_FAILED;
    }
    write_result(result, &j, node);
    const int failed = goss_json_bool(&j, goss_json_get(&j, node, "isError"), 0);
    goss_json_free(&j);
    return failed ? GOSS_MCP_TOOL_FAILED : GOSS_MCP_WELL;
}
