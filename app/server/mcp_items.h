/* mcp_items.h - the items of OpenAI's Responses that tell of tools which the server runs: what a server
 * offers, a call, a call that waits for its approval. */
#ifndef GOSS_SERVER_MCP_ITEMS_H
#define GOSS_SERVER_MCP_ITEMS_H
#include "base/buf.h"
#include "base/owned.h"
#include <gossamer.h>

/* A tool of an MCP server; schema: JSON; reads: it says that it changes nothing. */
typedef struct goss_srv_offer {
    const char *name, *description, *schema;
    int reads;
} goss_srv_offer;
enum { GOSS_SRV_MCP_RUNS = -1, GOSS_SRV_MCP_CUT = -2 };
typedef struct goss_srv_mcp_call {
    const char *id, *label, *name;
    goss_str arguments;   /* JSON */
    const char *approval; /* the request that allowed it, or NULL */
    goss_str output;
    int failed; /* a GOSS_MCP_ (mcp.h); _RUNS: it is under way; _CUT: the answer ended before it */
} goss_srv_mcp_call;

/* Arguments as the model writes them and as an MCP server gets them: the same, but for python's code, which
 * is a text and becomes the argument of that name (else NULL). plain: {0} where there is no memory. */
void goss_srv_mcp_wrap(goss_buf *text, const char *argument);
goss_str goss_srv_mcp_plain(goss_owned **owned, goss_str arguments, const char *argument);
void goss_srv_mcp_write_tool(goss_buf *b, const goss_srv_offer *o); /* its members, without { } */
void goss_srv_mcp_write_call(goss_buf *b, const goss_srv_mcp_call *c);
void goss_srv_mcp_write_request(goss_buf *b, const goss_srv_mcp_call *c);
void goss_srv_mcp_write_list(goss_buf *b, const char *id, const char *label, const goss_srv_offer *list,
                             int n);
#endif
