/* mcp_file.c - see mcp_file.h. Members that are not known here (LM Studio and Cursor have more) are passed
 * over. */
#include "mcp_file.h"
#include "base/error.h"
#include "base/fmt.h"
#include "base/os.h"
#include <string.h>

typedef struct reading {
    const goss_json *j;
    goss_owned **owned;
    const char *file, *server; /* server: which is being read, or NULL */
    goss_error *err;
} reading;

static int bad(const reading *r, const char *what)
{
    return goss_fail(r->err, GOSS_EINVAL, -1, "%.80s: %s%.40s%s%s.", r->file, r->server ? "the server \""
                     : "",
                     r->server ? r->server : "", r->server ? "\" " : "", what);
}

/* A string without NULs and line breaks, which no header or variable may have. */
static char *text(const reading *r, int node)
{
    goss_buf b = GOSS_BUF(1 << 16);
    char *copy = NULL;
    if (goss_json_kind(r->j, node) == GOSS_JSON_STRING && !goss_json_string(r->j, node, &b) &&
        !memchr(b.data, 0, b.len) && !memchr(b.data, '\n', b.len) && !memchr(b.data, '\r', b.len))
        copy = (char *)(uintptr_t)goss_owned_text(r->owned, b.len ? b.data : (const uint8_t *)"", b.len);
    goss_buf_free(&b);
    return copy;
}

/* {"NAME": "value"} as "NAME<between>value". */
static int pairs(const reading *r, int object, const char *between, char **list)
{
    int n = 0;
    for (int k = goss_json_first(r->j, object); k >= 0; k = goss_json_next(r->j, goss_json_next(r->j, k))) {
        const char *name = text(r, k), *value = text(r, goss_json_next(r->j, k));
        goss_buf b = GOSS_BUF(1 << 16);
        if (!name || !value || n == GOSS_MCP_WORDS) return -1;
        goss_buf_printf(&b, "%s%s%s", name, between, value);
        list[n] = (char *)(uintptr_t)goss_owned_text(r->owned, b.data, b.len);
        goss_buf_free(&b);
        if (!list[n++]) return -1;
    }
    return 0;
}

static int read_command(const reading *r, int o, goss_mcp_entry *e)
{
    int n = 1;
    e->argv[0] = text(r, goss_json_get(r->j, o, "command"));
    if (!e->argv[0] || !*e->argv[0]) return bad(r, "has no command and no url");
    for (int a = goss_json_first(r->j, goss_json_get(r->j, o, "args")); a >= 0; a = goss_json_next(r->j, a)) {
        if (n == GOSS_MCP_WORDS) return bad(r, "has too many args");
        if (!(e->argv[n++] = text(r, a))) return bad(r, "has args that are no plain strings");
    }
    return pairs(r, goss_json_get(r->j, o, "env"), "=", e->env) ? bad(r,
                                                                      "has an env that is no plain strings") : 0;
}

/* "python": "TOOL", "browser": {"search": "TOOL", "open": "TOOL", "find": "TOOL"}. */
static int read_own(const reading *r, int o, goss_mcp_entry *e)
{
    static const char *const keys[] = { "search", "open", "find" };
    const int python = goss_json_get(r->j, o, "python"), browser = goss_json_get(r->j, o, "browser");
    if (python >= 0 && !(e->own[GOSS_MCP_PYTHON] = text(r, python)))
        return bad(r, "has a python that is no tool's name");
    for (int i = 0; browser >= 0 && i < 3; i++)
        if (!(e->own[i] = text(r, goss_json_get(r->j, browser, keys[i]))))
            return bad(r, "has a browser that does not name its tools search, open and find");
    return 0;
}

static int read_entry(const reading *r, int o, goss_mcp_entry *e)
{
    const int url = goss_json_get(r->j, o, "url");
    if (goss_json_kind(r->j, o) != GOSS_JSON_OBJECT) return bad(r, "is no object");
    e->trust = goss_json_bool(r->j, goss_json_get(r->j, o, "trust"), 0);
    if (read_own(r, o, e)) return GOSS_EINVAL;
    if (url < 0) return read_command(r, o, e);
    e->url = text(r, url);
    if (!e->url || (strncmp(e->url, "http://", 7) && strncmp(e->url, "https://", 8)))
        return bad(r, "has a url that is neither http nor https");
    return pairs(r, goss_json_get(r->j, o, "headers"), ": ", (char **)(uintptr_t)e->headers)
               ? bad(r, "has headers that are no plain strings") : 0;
}

static int read_all(reading *r, goss_mcp_entry *list)
{
    const int servers = goss_json_get(r->j, 0, "mcpServers");
    int n = 0;
    if (goss_json_kind(r->j, servers) != GOSS_JSON_OBJECT) return bad(r, "it has no \"mcpServers\"");
    for (int k = goss_json_first(r->j, servers); k >= 0; k = goss_json_next(r->j, goss_json_next(r->j, k))) {
        const int o = goss_json_next(r->j, k);
        r->server = NULL;
        if (n == GOSS_MCP_SERVERS) return bad(r, "it has more than 32 servers");
        list[n] = (goss_mcp_entry){ .name = text(r, k) };
        if (!list[n].name || !*list[n].name) return bad(r, "it has a server without a name");
        if (goss_json_bool(r->j, goss_json_get(r->j, o, "disabled"), 0)) continue;
        r->server = list[n].name;
        if (read_entry(r, o, &list[n++])) return GOSS_EINVAL;
    }
    return n;
}

int goss_mcp_file_read(const char *file, goss_mcp_entry *list, goss_owned **owned, goss_error *err)
{
    goss_mapping m;
    goss_json j;
    goss_error inner = { .position = -1 };
    reading r = { .j = &j, .owned = owned, .file = file, .err = err };
    int rc = goss_os_map(&m, file, err);
    if (rc) return rc;
    if (goss_json_parse(&j, m.data, (size_t)m.size, NULL, &inner))
        rc = goss_fail(err, GOSS_EINVAL, inner.position, "%.90s is not JSON: %.110s", file, inner.text);
    else {
        rc = read_all(&r, list);
        goss_json_free(&j);
    }
    goss_os_unmap(&m);
    return rc;
}
