/* mcp_read.h - what a request says about tools that the server runs: {"type": "mcp", "server_label", ...}
 * among its tools, and the input items of earlier answers that had such tools. */
#ifndef GOSS_SERVER_MCP_READ_H
#define GOSS_SERVER_MCP_READ_H
#include "parse.h"

/* 1: the server has MCP servers, and the protocol a form for them. */
int goss_srv_mcp_runs(const goss_srv_parse *p);
/* Reads such a tool: gives each tool of that MCP server that the request allows to `add`. */
int goss_srv_mcp_read_tool(goss_srv_parse *p, int tool,
                           int (*add)(goss_srv_parse *p, int node, const goss_srv_tool *what));
/* previous_response_id: what was listed then is not listed again. */
void goss_srv_mcp_read_listed(goss_srv_parse *p, const char *response);
/* An input item mcp_list_tools: the same. */
int goss_srv_mcp_read_list(goss_srv_parse *p, int item);
/* An input item mcp_call: the call and its result become messages. m: an assistant's message that may hold
 * what was thought before. */
int goss_srv_mcp_read_call(goss_srv_parse *p, int item, goss_message *m);
/* mcp_approval_request is kept until its response comes. */
int goss_srv_mcp_read_request(goss_srv_parse *p, int item);
/* mcp_approval_response: the call is made before the answer begins, or the model is told that it was not
 * allowed. m: as above. */
int goss_srv_mcp_read_response(goss_srv_parse *p, int item, goss_message *m);
#endif
