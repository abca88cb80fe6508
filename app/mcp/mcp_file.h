/* mcp_file.h - mcp.json: which servers there are. */
#ifndef GOSS_MCP_MCP_FILE_H
#define GOSS_MCP_MCP_FILE_H
#include "base/owned.h"
#include "rpc.h"

enum { GOSS_MCP_SERVERS = 32, GOSS_MCP_WORDS = 64 };
/* Harmony's own tools. */
enum { GOSS_MCP_SEARCH, GOSS_MCP_OPEN, GOSS_MCP_FIND, GOSS_MCP_PYTHON, GOSS_MCP_OWN };
typedef struct goss_mcp_entry {
    const char *name, *url;
    char *argv[GOSS_MCP_WORDS + 1], *env[GOSS_MCP_WORDS + 1];    /* of a command */
    const char *headers[GOSS_MCP_WORDS + 1];                     /* of an address */
    int trust;                     /* its tools may be called without being asked for */
    const char *own[GOSS_MCP_OWN]; /* the tools that stand for Harmony's own, NULL: none */
} goss_mcp_entry;
/* Texts lie in `owned`. The number of entries (disabled ones are left out), or an error. */
int goss_mcp_file_read(const char *file, goss_mcp_entry *list, goss_owned **owned, goss_error *err);
#endif
