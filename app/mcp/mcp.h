/* mcp.h - the tools of other programs, by the Model Context Protocol (2025-06-18): those that a file names in
 * the notation of LM Studio and Cursor,
 *
 *   {"mcpServers": {"files": {"command": "...", "args": [...], "env": {...}},
 *                   "web": {"url": "https://...", "headers": {...}}}}
 *
 * A tool is shown to the model under its name in plain characters; where two servers have it, as
 * server__tool.
 * Whatever a server says is text: it is cut to what a model can read, and no part of it becomes a control
 * token. One thread may use it. */
#ifndef GOSS_MCP_MCP_H
#define GOSS_MCP_MCP_H
#include "base/buf.h"
#include "mcp_file.h"
#include <gossamer.h>

typedef struct goss_mcp goss_mcp;
typedef struct goss_mcp_tool {
    char shown[65];         /* what the model calls */
    const char *server, *name, *description;
    const char *schema;     /* of its arguments, JSON */
    int reads;              /* it says that it changes nothing */
    int allowed;            /* the caller's: it need not ask again */
} goss_mcp_tool;

/* Reads the file and starts what it names. A server that can't be had is said, and left out. 0, or an error
 * of the file. */
int goss_mcp_open(goss_mcp **out, const char *file, void (*say)(const char *sentence), goss_error *err);
/* The same for one server, whose calls may take so long. The entry is borrowed until the close. An error: it
 * can't be had. */
int goss_mcp_open_one(goss_mcp **out, const goss_mcp_entry *entry, double call_ms,
                      void (*say)(const char *sentence), goss_error *err);
int goss_mcp_ended(const goss_mcp *m);  /* a server is gone: to have it again, open it again */
void goss_mcp_close(goss_mcp **m);      /* ends the servers */
/* What there is now; a server whose tools have changed is asked again. */
int goss_mcp_tools(goss_mcp *m, goss_mcp_tool **list);
/* The list as OpenAI's chat requests have it. */
void goss_mcp_write_tools(goss_mcp *m, goss_buf *b);
goss_mcp_tool *goss_mcp_find(goss_mcp *m, const char *shown);
/* How a call went: the tool says that it failed; there is no answer from it. */
enum { GOSS_MCP_WELL, GOSS_MCP_TOOL_FAILED, GOSS_MCP_CALL_FAILED };
/* Calls a tool. `result` gets what the model is to read; a call that fails has a result, too. Arguments that
 * are no JSON object are not sent. GOSS_MCP_, or GOSS_ECANCELED when `stop` said so. */
int goss_mcp_call(goss_mcp *m, const goss_mcp_tool *tool, const char *arguments, size_t n,
                  int (*stop)(void *ctx), void *ctx, goss_buf *result);
#endif
