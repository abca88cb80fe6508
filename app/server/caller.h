/* caller.h - the process beside the server that talks to the MCP servers of --mcp FILE. It is forked before
 * the server has threads and before it gives up files and sockets, so that the server itself needs none: it
 * starts no program and opens no connection. It has a thread for each MCP server, so that one that hangs
 * holds only those who call it.
 *
 * Over a socket go lines of JSON. To it:
 *     {"id":N,"server":I,"tool":NAME,"arguments":TEXT}    a call
 *     {"cancel":N}                                        nobody waits for it any more
 * from it:
 *     {"server":I,"tools":[...]}   what the server offers, when it begins and whenever that changes
 *     {"server":I,"error":TEXT}    it can't be had
 *     {"id":N,"failed":K,"text":TEXT}   how a call went: GOSS_MCP_WELL and its like
 * An MCP server that has ended is started again by the next call. */
#ifndef GOSS_SERVER_CALLER_H
#define GOSS_SERVER_CALLER_H
#include "mcp/mcp_file.h"

/* The process ends, and its servers with it, when *fd is closed. 0 or an error. */
int goss_srv_caller_open(int *fd, const goss_mcp_entry *entries, int n, double call_ms, goss_error *err);
#endif
