/* tools.h - the tools that a request declares, as the model sees them and as the client named them.
 *
 * The model is shown every tool as a function under a name of its own: 64 characters at most, of
 * [A-Za-z0-9_.-], never twice, so that no name can hold control tokens. Calls go back under the client's
 * name, in the client's shape: a function, a member of a namespace, or a custom tool (whose input is a text,
 * shown to the model as the one argument "input"). Tools of MCP servers that this server runs (mcp_read.h)
 * are shown like the client's, but for those that stand for Harmony's own, python and browser. What this
 * server can't run and the client doesn't (web search, images) is left out and logged. */
#ifndef GOSS_SERVER_TOOLS_H
#define GOSS_SERVER_TOOLS_H
#include "parse.h"

/* Reads `tools` in any protocol's shape into p->r->tools. `schema` names the key of the parameters in flat
 * ones. */
int goss_srv_tools_read(goss_srv_parse *p, int tools, const char *schema);
/* Reads tool_choice in any protocol's shape: what is not allowed is left out, what must be called is
 * forced. */
int goss_srv_tools_choose(goss_srv_parse *p, int choice);
/* Those that are left are the conversation's, and what the engine's masks know of. */
int goss_srv_tools_use(goss_srv_parse *p);
/* What the model calls the tool of this name (and namespace, NULL: none); the name itself when it is not
 * declared. */
const char *goss_srv_tools_shown(const goss_srv_request *r, const char *name, const char *space);
/* The tool that the model calls so, NULL when there is none. */
const goss_srv_tool *goss_srv_tools_find(const goss_srv_request *r, const char *shown);
/* A custom tool's input as the arguments that the model sees ({0}: no memory), and back. */
goss_str goss_srv_tools_wrap(goss_owned **owned, goss_str input);
void goss_srv_tools_unwrap(goss_buf *arguments);
#endif
